//! What the host has last seen of the lists that it asked for, and whether a server still has the same.
//!
//! A restarted server may have other tools. Its lists are asked for under ids of ours, page by page, after what waits for
//! it, and the host is told only where one differs from what it has last seen. The same corrects a host that was given a
//! list from an earlier run.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::io::Gen;
use super::own::Own;
use super::phase::Phase;
use super::{Engine, book, planted};
use crate::wire::{ListPage, Response};

/// The most pages of one list that are remembered; a longer list counts as changed by every restart.
const PAGES: usize = 1024;

/// One page as the host has seen it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SeenPage {
    /// A digest of all that matters in it.
    digest: u64,
    /// The cursor of the page after it, as JSON text. `None` for the last page.
    next: Option<Box<str>>,
}

impl SeenPage {
    pub(super) fn of(page: &ListPage<'_>) -> Self {
        Self { digest: page.digest, next: page.next.map(Into::into) }
    }
}

/// One list as the host has seen it.
#[derive(Debug, Default)]
struct List {
    /// The child that has it: given by it, or compared with its own. Generation 0 for what came from the disk.
    of: Gen,
    pages: Vec<SeenPage>,
}

/// The lists that this host has asked for.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<&'static str, List>);

impl Seen {
    /// The host is given a page. `of` is the child that it comes from.
    pub(super) fn shown(&mut self, of: Gen, method: &'static str, cursor: Option<&str>, page: SeenPage) {
        if cursor.is_none() {
            self.0.insert(method, List { of, pages: vec![page] });
        } else if let Some(list) = self.0.get_mut(method)
            && list.pages.len() < PAGES
            && list.pages.last().is_some_and(|last| last.next.as_deref() == cursor)
        {
            list.of = list.of.min(of);
            list.pages.push(page);
        }
    }

    /// The lists that this child has not been compared with.
    fn unlike(&self, child: Gen) -> Vec<&'static str> {
        self.0.iter().filter(|(_, list)| list.of != child).map(|(method, _)| *method).collect()
    }
}

/// What follows from a page of a restarted server.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// The list is another one.
    Differs,
    /// As far as the host has seen it, it is the same.
    Same,
    /// The next page has to be compared.
    Next,
}

impl List {
    fn judge(&self, number: usize, page: &SeenPage) -> Verdict {
        let Some(seen) = self.pages.get(number) else { return Verdict::Same };
        match (&page.next, self.pages.len() > number + 1) {
            _ if seen.digest != page.digest => Verdict::Differs,
            (Some(_), true) => Verdict::Next,
            (None, true) => Verdict::Differs,
            (Some(_), false) if seen.next.is_none() => Verdict::Differs,
            (None, false) if seen.next.is_some() => Verdict::Differs,
            (_, false) => Verdict::Same,
        }
    }
}

impl Engine {
    /// Asks a serving child for the lists that the host knows from elsewhere.
    pub(super) fn compare(&mut self) {
        if !self.compare_due || self.phase != Phase::Serving {
            return;
        }
        self.compare_due = false;
        for method in self.seen.unlike(self.generation) {
            // What the host asks itself it sees itself.
            let asked = self
                .inflight
                .any(|pending| &*pending.method == method && pending.detail.is_none() && !pending.cancelled);
            if !self.is_asked_for(method) && !asked && self.can_tell_list_changed(method) {
                self.ask_for_page(method, 0, None);
            }
        }
    }

    /// Whether the living child has been asked for a page of this list under an id of ours.
    pub(super) fn is_asked_for(&self, method: &str) -> bool {
        let asks = |own: &Own| matches!(own, Own::Compare { method: asked, .. } if *asked == method);
        self.child.as_ref().is_some_and(|child| child.own.any(asks))
    }

    pub(super) fn ask_for_page(&mut self, method: &'static str, page: usize, cursor: Option<String>) {
        let id = self.fresh_own_id(method);
        let line = self.own_request(&id, method, cursor.as_deref());
        if let Some(child) = &mut self.child {
            child.own.insert(id, Own::Compare { method, page, cursor });
        }
        self.tell_child(self.generation, line);
    }

    /// A child has answered one of these requests.
    pub(super) fn compared(&mut self, own: &Own, response: &Response, line: &Bytes) {
        let Own::Compare { method, page, cursor } = own else { return };
        let read = ListPage::in_line(line, book::member_of(method)).filter(|_| !response.is_error);
        let Some(read) = read else { return self.has_no_more_pages(method) };
        self.learn_page(self.generation, method, cursor.as_deref(), &read);
        let is_list = read.filled.is_some();
        let read = SeenPage::of(&read);
        self.judge_doubted();
        let compares = self.compare_page(method, *page, &read);
        let wanted = compares && self.phase == Phase::Serving
            // In the modern era this very answer makes the child serve, and the comparison follows then.
            || is_list && self.asks_of_doubted(method) && self.may_be_asked();
        match read.next.filter(|_| wanted && page + 1 < PAGES) {
            Some(next) => self.ask_for_page(method, page + 1, Some(next.into())),
            None => self.has_no_more_pages(method),
        }
    }

    /// Compares a page with the one that the host has seen. Returns whether the next one has to be compared.
    fn compare_page(&mut self, method: &'static str, number: usize, page: &SeenPage) -> bool {
        let generation = self.generation;
        let Some(list) = self.seen.0.get_mut(method).filter(|list| list.of != generation) else {
            // Meanwhile the host has asked for the list itself, or it never has.
            return false;
        };
        match list.judge(number, page) {
            Verdict::Next => return true,
            Verdict::Same => {
                list.of = generation;
                if planted!(self, AlwaysListChanged) {
                    self.tell_list_changed(method);
                }
            }
            Verdict::Differs => {
                list.of = generation;
                if !planted!(self, NeverListChanged) {
                    self.tell_list_changed(method);
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::{Gen, List, ListPage, Seen, SeenPage, Verdict};

    fn page_of(result: &str) -> SeenPage {
        SeenPage::of(&ListPage::of_result(result, "tools").unwrap())
    }

    #[test]
    fn pages_are_compared_by_their_place() {
        let page = |name: &str, next: Option<&str>| {
            let next = next.map_or_else(String::new, |next| format!(",\"nextCursor\":{next}"));
            page_of(&format!("{{\"tools\":[{{\"name\":\"{name}\"}}]{next}}}"))
        };
        let list = List { of: Gen(1), pages: vec![page("a", Some("\"1\"")), page("b", None)] };
        assert_eq!(list.judge(0, &page("a", Some("7"))), Verdict::Next);
        assert_eq!(list.judge(0, &page("a", None)), Verdict::Differs);
        assert_eq!(list.judge(0, &page("x", Some("7"))), Verdict::Differs);
        assert_eq!(list.judge(1, &page("b", None)), Verdict::Same);
        assert_eq!(list.judge(1, &page("b", Some("9"))), Verdict::Differs);
        let partly = List { of: Gen(1), pages: vec![page("a", Some("\"1\""))] };
        assert_eq!(partly.judge(0, &page("a", Some("8"))), Verdict::Same);
    }

    #[test]
    fn a_first_page_begins_a_list_anew_and_a_stray_page_is_no_part_of_it() {
        let mut seen = Seen::default();
        seen.shown(Gen(1), "tools/list", None, page_of(r#"{"tools":[],"nextCursor":"a"}"#));
        seen.shown(Gen(1), "tools/list", Some("\"b\""), page_of(r#"{"tools":[1]}"#));
        assert_eq!(seen.0["tools/list"].pages.len(), 1);
        seen.shown(Gen(2), "tools/list", Some("\"a\""), page_of(r#"{"tools":[2]}"#));
        assert_eq!((seen.0["tools/list"].pages.len(), seen.0["tools/list"].of), (2, Gen(1)));
        assert_eq!(seen.unlike(Gen(1)), Vec::<&str>::new());
        seen.shown(Gen(2), "tools/list", None, page_of(r#"{"tools":[]}"#));
        assert_eq!((seen.unlike(Gen(1)), seen.0["tools/list"].pages.len()), (vec!["tools/list"], 1));
    }
}
