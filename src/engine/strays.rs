//! The answers that a child may give to lines of the host that could not be read as requests.
//!
//! Such a line may be answered once, under an id that is not known, and reported on under a token that is not known.
//! A second answer to a request that was read, and progress of one that is done, look the same: hosts close the
//! connection over those. So what the child has answered since such a line came, and just before, is known, and is never
//! taken for more.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::wire::{Id, remains_of};

/// The most ids and tokens that are known, the last ones.
const DONE: usize = 1024;
/// The same while no such line is to be answered: a second answer follows the first soon.
const RECENT: usize = 256;

/// What one child may still say about lines that could not be read.
#[derive(Debug, Default)]
pub(super) struct Strays {
    answers: usize,
    /// The ids that can be read in such lines, and how often: one may be that of another request.
    named: BTreeMap<Id, usize>,
    /// Whether a line asks for progress, as far as that can be seen.
    reports: bool,
    /// The ids and tokens of what the child has answered, as it knows them, in that order.
    order: VecDeque<Id>,
    /// The same, to be searched. Empty while no line is to be answered.
    done: BTreeSet<Id>,
}

impl Strays {
    /// The child gets a line that may be answered so often.
    pub(super) fn expect(&mut self, answers: u32, line: &Bytes) {
        if answers == 0 {
            return;
        }
        if self.answers == 0 {
            self.done = self.order.iter().cloned().collect();
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
            let mut order = std::mem::take(&mut self.order);
            order.drain(..order.len().saturating_sub(RECENT));
            *self = Self { order, ..Self::default() };
        }
        true
    }

    /// Whether progress under this token may be of such a line.
    pub(super) fn may_report(&self, token: &Id) -> bool {
        self.answers > 0 && self.reports && !self.is_done(token)
    }

    /// The child has answered a request that it knows by these.
    pub(super) fn done(&mut self, id: &Id, token: Option<&Id>) {
        let (owes, most) = if self.answers > 0 { (true, DONE) } else { (false, RECENT) };
        for name in [Some(id), token.filter(|token| *token != id)].into_iter().flatten() {
            if owes && !self.done.insert(name.clone()) {
                continue;
            }
            self.order.push_back(name.clone());
            if self.order.len() > most
                && let Some(oldest) = self.order.pop_front()
                && owes
            {
                self.done.remove(&oldest);
            }
        }
    }

    fn is_done(&self, name: &Id) -> bool {
        self.done.contains(name) || name.twin().is_some_and(|twin| self.done.contains(&twin))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{DONE, RECENT, Strays};
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
        strays.done(&id("1"), None);
        assert!(!strays.take(1, &[&id("5")]));
        strays.expect(2, &line("{\"id\":9,\"method\":\"tools/call\"}"));
        strays.done(&id("2"), Some(&id("\"t\"")));
        assert!(!strays.take(1, &[&id("1")]), "it was answered just before");
        assert!(!strays.take(1, &[&id("2")]));
        assert!(!strays.take(1, &[&id("\"2\"")]), "it is the same id for many SDKs");
        assert!(!strays.take(3, &[]));
        assert!(strays.take(1, &[&id("9")]));
        assert!(strays.take(1, &[]));
        assert!(!strays.take(1, &[]));
        assert!(strays.done.is_empty(), "without such a line nothing is searched");
    }

    #[test]
    fn a_line_may_have_the_id_of_another_request() {
        let mut strays = Strays::default();
        strays.expect(1, &line("{\"jsonrpc\":\"2.0\",\"id\":2,\"method\":\"tools/call\"}"));
        strays.expect(1, &line("hello"));
        strays.done(&id("2"), None);
        assert!(strays.take(1, &[&id("2")]));
        assert!(!strays.take(1, &[&id("2")]));
    }

    #[test]
    fn only_a_line_that_names_a_token_may_be_reported_on() {
        let mut strays = Strays::default();
        strays.expect(1, &line("{\"id\":9}"));
        assert!(!strays.may_report(&id("5")));
        strays.expect(1, &line("{\"id\":1.5,\"params\":{\"_meta\":{\"progressToken\":5}}}"));
        strays.done(&id("2"), Some(&id("7")));
        assert!(strays.may_report(&id("5")));
        assert!(!strays.may_report(&id("7")));
    }

    #[test]
    fn what_is_known_is_bounded() {
        let mut strays = Strays::default();
        for (most, known) in [(RECENT, 0), (DONE, DONE)] {
            for number in 0..3 * DONE {
                strays.done(&Id::text(&number.to_string()), None);
            }
            assert_eq!((strays.order.len(), strays.done.len()), (most, known));
            strays.expect(1, &line("x"));
        }
        assert!(strays.take(2, &[&Id::text("another")]));
        assert_eq!((strays.order.len(), strays.done.len()), (RECENT, 0));
    }
}
