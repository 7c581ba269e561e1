//! What the tools of the server declare, and which child has declared it.
//!
//! Whether a result is typed may be known from any run. That a call may be made twice must be declared by the child
//! that has it, or by another child of the same edition: of the same executable, if no change, order or upgrade came
//! between. What an earlier run has left proves nothing about the server of this one.

use std::collections::BTreeMap;

use super::io::Gen;
use crate::wire::{Declared, ListPage};

/// The number of a series of children that are assumed to have the same executable, counted from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Edition(u32);

/// Whether a request is safe to make twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Safety {
    /// It is.
    Safe,
    /// Making it twice may do more.
    Unsafe,
    /// Its server has not declared it, and can still be asked.
    Unknown,
}

/// What is known of a tool.
#[derive(Clone, Copy, Debug)]
struct Tool {
    /// It has an output schema: a result without structured content would be refused by the host.
    typed: bool,
    /// Whether a child of this run has declared it safe to call twice, and the edition of that child. `None` if only an
    /// earlier run has seen it.
    declared: Option<(Edition, bool)>,
    /// The listing in which it was last seen.
    listing: u64,
}

/// How far the list has been read, page by page, from a child of this edition.
#[derive(Debug, Default)]
enum Listing {
    #[default]
    Unread,
    /// This child is to give the page at this cursor (JSON text) next.
    Next(Gen, Box<str>),
    Whole,
}

/// The tools of the server.
#[derive(Debug, Default)]
pub(super) struct Tools {
    by_name: BTreeMap<String, Tool>,
    /// The edition of the youngest child.
    edition: Edition,
    /// The next child may be of another edition.
    outdated: bool,
    /// How many first pages have been read.
    listings: u64,
    listing: Listing,
    /// Whether more is known of the tools, or there is another child to ask, since that was last looked up.
    news: bool,
}

impl Tools {
    /// The edition of the youngest child.
    pub(super) fn edition(&self) -> Edition {
        self.edition
    }

    /// Whatever is started from now on may be another executable.
    pub(super) fn outdate(&mut self) {
        self.outdated = true;
    }

    /// As if nothing had changed: one of the bugs that the simulator must find.
    #[cfg(test)]
    pub(super) fn stay(&mut self) {
        self.outdated = false;
    }

    /// A child is started, which may be of another edition than its predecessor.
    pub(super) fn start(&mut self) {
        if std::mem::take(&mut self.outdated) {
            self.edition.0 += 1;
            self.listing = Listing::Unread;
            self.news = true;
        }
    }

    /// Whether more is known of the tools, or there is another child to ask, than at the last call.
    pub(super) fn has_news(&mut self) -> bool {
        std::mem::take(&mut self.news)
    }

    /// The living child has given a page of its list: the one at this cursor (JSON text), `None` for the first.
    pub(super) fn learn(&mut self, child: Gen, cursor: Option<&str>, page: &ListPage<'_>) {
        let Some(filled) = page.filled else { return };
        self.news = true;
        self.listings += u64::from(cursor.is_none());
        self.enter(&page.tools, Some(self.edition));
        let follows = match (&self.listing, cursor) {
            (_, None) => true,
            (Listing::Next(from, next), Some(cursor)) => *from == child && **next == *cursor,
            (Listing::Unread | Listing::Whole, Some(_)) => false,
        };
        if !follows {
            return;
        }
        if let Some(next) = page.next {
            self.listing = Listing::Next(child, next.into());
            return;
        }
        self.listing = Listing::Whole;
        if filled {
            // An empty list may come from a server that does not know its tools yet.
            self.by_name.retain(|_, tool| tool.listing == self.listings);
        }
    }

    /// An earlier run has left a page. What this run has seen takes precedence.
    pub(super) fn recall(&mut self, page: &ListPage<'_>) {
        let known = std::mem::take(&mut self.by_name);
        self.enter(&page.tools, None);
        self.by_name.extend(known);
    }

    /// As if what an earlier run has left were of this one: one of the bugs that the simulator must find.
    #[cfg(test)]
    pub(super) fn trust(&mut self, page: &ListPage<'_>) {
        self.enter(&page.tools, Some(self.edition));
    }

    fn enter(&mut self, tools: &[Declared<'_>], of: Option<Edition>) {
        for Declared { name, safe, typed } in tools {
            let tool = Tool { typed: *typed, declared: of.map(|of| (of, *safe)), listing: self.listings };
            self.by_name.insert(name.clone().into_owned(), tool);
        }
    }

    /// Whether this tool has an output schema; `false` if it has not been seen.
    pub(super) fn is_typed(&self, name: Option<&str>) -> bool {
        name.and_then(|name| self.by_name.get(name)).is_some_and(|tool| tool.typed)
    }

    /// Whether a child of this edition has declared that this tool may be called twice.
    pub(super) fn safety(&self, name: Option<&str>, of: Edition) -> Safety {
        let Some(name) = name else { return Safety::Unsafe };
        match self.by_name.get(name).and_then(|tool| tool.declared) {
            Some((edition, true)) if edition == of => Safety::Safe,
            Some((edition, false)) if edition == of => Safety::Unsafe,
            // No child of that edition is left to be asked, or it has listed all its tools.
            _ if of != self.edition || self.outdated || matches!(self.listing, Listing::Whole) => {
                Safety::Unsafe
            }
            _ => Safety::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Gen, ListPage, Safety, Tools};

    const READS: &str = r#"{"tools":[{"name":"a","annotations":{"readOnlyHint":true},"outputSchema":{}}]}"#;
    const WRITES: &str = r#"{"tools":[{"name":"a"}]}"#;

    fn page(result: &str) -> ListPage<'_> {
        ListPage::of_result(result, "tools").unwrap()
    }

    fn safety(tools: &Tools, name: &str) -> Safety {
        tools.safety(Some(name), tools.edition())
    }

    #[test]
    fn what_an_earlier_run_has_left_says_that_a_result_is_typed_and_never_that_a_call_is_safe() {
        let mut tools = Tools::default();
        tools.recall(&page(READS));
        assert_eq!((tools.is_typed(Some("a")), safety(&tools, "a")), (true, Safety::Unknown));
        tools.learn(Gen(1), None, &page(WRITES));
        tools.recall(&page(READS));
        assert_eq!((tools.is_typed(Some("a")), safety(&tools, "a")), (false, Safety::Unsafe));
    }

    #[test]
    fn a_declaration_holds_for_the_edition_whose_child_has_made_it() {
        let mut tools = Tools::default();
        tools.learn(Gen(1), None, &page(READS));
        let first = tools.edition();
        tools.start();
        assert_eq!((safety(&tools, "a"), tools.edition()), (Safety::Safe, first));
        tools.outdate();
        assert_eq!(safety(&tools, "a"), Safety::Safe);
        assert_eq!(safety(&tools, "b"), Safety::Unsafe);
        tools.start();
        assert_eq!((safety(&tools, "a"), tools.safety(Some("a"), first)), (Safety::Unknown, Safety::Safe));
        tools.learn(Gen(3), None, &page(WRITES));
        assert_eq!((safety(&tools, "a"), tools.safety(Some("a"), first)), (Safety::Unsafe, Safety::Unsafe));
    }

    #[test]
    fn what_is_not_in_a_list_that_was_read_to_its_end_is_not_safe() {
        let mut tools = Tools::default();
        let with_next = |next: &str| format!("{{\"tools\":[{{\"name\":\"a\"}}],\"nextCursor\":{next}}}");
        tools.learn(Gen(1), None, &page(&with_next("\"1\"")));
        assert_eq!(safety(&tools, "b"), Safety::Unknown);
        // Pages of another child, or at another cursor, do not continue it.
        tools.learn(Gen(2), Some("\"1\""), &page(WRITES));
        tools.learn(Gen(1), Some("\"0\""), &page(WRITES));
        assert_eq!(safety(&tools, "b"), Safety::Unknown);
        tools.learn(Gen(1), Some("\"1\""), &page(&with_next("null")));
        assert_eq!(safety(&tools, "b"), Safety::Unsafe);
    }

    #[test]
    fn a_tool_is_forgotten_once_a_list_without_it_has_been_read_to_its_end() {
        let mut tools = Tools::default();
        tools.learn(Gen(1), None, &page(READS));
        tools.learn(Gen(1), None, &page(r#"{"tools":[]}"#));
        assert!(tools.is_typed(Some("a")));
        tools.learn(Gen(1), None, &page(r#"{"tools":[{"name":"b"}],"nextCursor":"1"}"#));
        assert!(tools.is_typed(Some("a")));
        tools.learn(Gen(1), Some("\"1\""), &page(r#"{"tools":[{"name":"c"}]}"#));
        assert!(!tools.is_typed(Some("a")));
    }
}
