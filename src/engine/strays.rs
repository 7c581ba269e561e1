//! The answers that a child may give to lines of the host that could not be read as requests.
//!
//! Such a line may be answered once, under an id that is not known, and reported on under a token that is not known.
//! A second answer to a request that was read, and progress of one that is done, look the same: hosts close the
//! connection over those. So what the child has answered since such a line came, and just before, is known, and is never
//! taken for more.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use crate::wire::{Id, remains_of};

/// The most ids and tokens that are known, the last ones.
const DONE: usize = 512;
/// The most bytes that one of them holds: an id may be as long as a line, and nobody's is.
const LONGEST: usize = 256;

/// What one child may still say about lines that could not be read.
#[derive(Debug, Default)]
pub(super) struct Strays {
    answers: usize,
    /// The ids that can be read in such lines, and how often: one may be that of another request.
    named: BTreeMap<Id, usize>,
    /// Whether a line asks for progress, as far as that can be seen.
    reports: bool,
    /// The ids and tokens of what the child has answered, as it knows them, the last ones.
    done: VecDeque<Id>,
}

impl Strays {
    /// The child gets a line that may be answered so often.
    pub(super) fn expect(&mut self, answers: u32, line: &Bytes) {
        if answers == 0 {
            return;
        }
        self.answers = self.answers.saturating_add(answers as usize);
        self.reports |= memchr::memmem::find(line, b"progressToken").is_some();
        if let Some(id) = remains_of(line).id.filter(|_| self.named.len() < DONE) {
            *self.named.entry(id).or_default() += 1;
        }
    }

    /// Whether so many answers, under these ids, may be to such lines. If so, they are counted off.
    pub(super) fn take(&mut self, answers: usize, ids: &[&Id]) -> bool {
        if self.answers < answers || ids.iter().any(|id| self.is_done(id) && !self.named.contains_key(id)) {
            return false;
        }
        self.answers -= answers;
        for id in ids {
            if let Some(count) = self.named.get_mut(id) {
                *count -= 1;
                if *count == 0 {
                    self.named.remove(id);
                }
            }
        }
        if self.answers == 0 {
            self.named.clear();
            self.reports = false;
        }
        true
    }

    /// Whether progress under this token may be of such a line.
    pub(super) fn may_report(&self, token: &Id) -> bool {
        self.answers > 0 && self.reports && !self.is_done(token)
    }

    /// The child has answered a request that it knows by these.
    pub(super) fn done(&mut self, id: Id, token: Option<&Id>) {
        let token = token.filter(|token| **token != id).cloned();
        let names = [Some(id), token].into_iter().flatten();
        for name in names.filter(|name| name.size() <= LONGEST) {
            if self.done.len() == DONE {
                self.done.pop_front();
            }
            self.done.push_back(name);
        }
    }

    /// Whether the child has answered a request under this id, or under its twin, not long ago.
    fn is_done(&self, name: &Id) -> bool {
        let twin = name.twin();
        self.done.iter().any(|known| known == name || Some(known) == twin.as_ref())
    }

    /// Whether the child has answered a request under just this id not long ago.
    pub(super) fn has_answered(&self, id: &Id) -> bool {
        self.done.contains(id)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{DONE, LONGEST, Strays};
    use crate::wire::Id;

    fn id(json: &str) -> Id {
        Id::from_json(json).expect("it is an id")
    }

    fn line(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn what_was_answered_is_no_answer_to_a_line_that_could_not_be_read() {
        let mut strays = Strays::default();
        strays.done(id("1"), None);
        assert!(!strays.take(1, &[&id("5")]));
        strays.expect(2, &line("{\"id\":9,\"method\":\"tools/call\"}"));
        strays.done(id("2"), Some(&id("\"t\"")));
        assert!(!strays.take(1, &[&id("1")]), "it was answered just before");
        assert!(!strays.take(1, &[&id("2")]));
        assert!(!strays.take(1, &[&id("\"2\"")]), "it is the same id for many SDKs");
        assert!(!strays.take(3, &[]));
        assert!(strays.take(1, &[&id("9")]));
        assert!(strays.take(1, &[]));
        assert!(!strays.take(1, &[]));
    }

    #[test]
    fn a_line_may_have_the_id_of_another_request() {
        let mut strays = Strays::default();
        strays.expect(1, &line("{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\"}"));
        strays.expect(1, &line("hello"));
        strays.done(id("2"), None);
        assert!(strays.take(1, &[&id("2")]));
        assert!(!strays.take(1, &[&id("2")]));
    }

    #[test]
    fn only_a_line_that_names_a_token_may_be_reported_on() {
        let mut strays = Strays::default();
        strays.expect(1, &line("{\"id\":9}"));
        assert!(!strays.may_report(&id("5")));
        strays.expect(1, &line("{\"id\":1.5,\"params\":{\"_meta\":{\"progressToken\":5}}}"));
        strays.done(id("2"), Some(&id("7")));
        assert!(strays.may_report(&id("5")));
        assert!(!strays.may_report(&id("7")));
    }

    #[test]
    fn what_is_known_is_bounded() {
        let mut strays = Strays::default();
        for number in 0..3 * DONE {
            strays.done(Id::text(&number.to_string()), Some(&Id::text("token")));
        }
        assert_eq!(strays.done.len(), DONE);
        assert!(strays.has_answered(&Id::text(&(3 * DONE - 1).to_string())));
        assert!(!strays.has_answered(&Id::text("0")));
        strays.done(Id::text(&"x".repeat(LONGEST + 1)), Some(&Id::text("y")));
        assert!(strays.has_answered(&Id::text("y")) && strays.done.iter().all(|id| id.size() <= LONGEST));
    }
}
