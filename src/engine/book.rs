//! The book of good answers: the lists of this run as the server last gave them, and what its [tools](super::tools) declare.
//!
//! Lists are kept as the bytes of their result, page by page, and served when the server cannot be asked. Pages of two
//! generations are never mixed, and a good list is never replaced by an empty one. What earlier runs have left counts as
//! of generation 0.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;

use super::compare::SeenPage as Seen;
use super::io::Gen;
use super::tools::Tools;
use crate::wire::ListPage;

/// The most bytes of pages that are kept.
const BOOK_BYTES: usize = 16 * 1024 * 1024;

/// The list of tools.
pub(super) const TOOLS: &str = "tools/list";
/// The lists that can be served from the book, and the member of their result that must not be empty.
const LISTS: [(&str, &str); 4] = [
    (TOOLS, "tools"),
    ("prompts/list", "prompts"),
    ("resources/list", "resources"),
    ("resources/templates/list", "resourceTemplates"),
];

/// The pages and the tools.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// By method, and within that by cursor (its JSON text; empty for the first page).
    pages: BTreeMap<&'static str, Pages>,
    pub(super) tools: Tools,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Pages {
    from: Gen,
    /// Whether there is an entry on any of them.
    filled: bool,
    by_cursor: BTreeMap<String, Page>,
}

impl Pages {
    fn bytes(&self) -> usize {
        self.by_cursor.values().map(|page| page.result.len()).sum()
    }
}

/// A page as it is kept, with what is known of it, so that it is not read again.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// The JSON text of its result.
    pub(super) result: Bytes,
    /// Where in `result` the value of `ttlMs` is. `None` where there is none.
    ttl: Option<Range<usize>>,
    /// What it is compared by.
    pub(super) seen: Seen,
}

impl Page {
    pub(super) fn of(page: &ListPage<'_>) -> Self {
        let result = Bytes::copy_from_slice(page.result.as_bytes());
        Self { result, ttl: page.ttl.clone(), seen: Seen::of(page) }
    }

    /// Its result, to be served again. A `ttlMs` in it becomes 0, which makes the answer stale at once.
    pub(super) fn stale(&self) -> String {
        let text = String::from_utf8_lossy(&self.result);
        match &self.ttl {
            Some(ttl) => format!("{}0{}", &text[..ttl.start], &text[ttl.end..]),
            None => text.into_owned(),
        }
    }
}

/// The member that holds the entries in the result of this list.
pub(super) fn member_of(list: &str) -> &'static str {
    LISTS.iter().find(|(known, _)| *known == list).map_or("", |(_, member)| member)
}

/// Whether this method asks for a list.
pub(super) fn is_list(method: &str) -> bool {
    list_named(method).is_some()
}

/// The list that this method asks for. `None` if it asks for none.
pub(super) fn list_named(method: &str) -> Option<&'static str> {
    LISTS.iter().map(|(list, _)| *list).find(|list| *list == method)
}

impl Book {
    /// A child has answered a list request with this page. Returns the result if it is worth keeping beyond this run.
    pub(super) fn learn(
        &mut self,
        child: Gen,
        method: &'static str,
        cursor: Option<&str>,
        page: &ListPage<'_>,
    ) -> Option<Bytes> {
        if method == TOOLS {
            self.tools.learn(child, cursor, page);
        }
        self.keep(child, method, cursor, page)
    }

    /// Keeps a page, if it is not worse than what is kept. Gives it if it is worth to be kept beyond this run.
    fn keep(
        &mut self,
        child: Gen,
        method: &'static str,
        cursor: Option<&str>,
        page: &ListPage<'_>,
    ) -> Option<Bytes> {
        // A result without the list itself is not one that could be served.
        let filled = page.filled?;
        let pages = self.pages.entry(method).or_default();
        if !filled && pages.filled {
            return None;
        }
        if pages.from != child && cursor.is_some() {
            // A page of this child beside pages of an earlier one: its first page has not been seen.
            return None;
        }
        if pages.from != child || cursor.is_none() {
            self.bytes -= pages.bytes();
            pages.by_cursor.clear();
            pages.from = child;
            pages.filled = false;
        }
        pages.filled |= filled;
        let cursor = cursor.unwrap_or_default().to_owned();
        if self.bytes + page.result.len() > BOOK_BYTES {
            return None;
        }
        self.bytes += page.result.len();
        let kept = Page::of(page);
        let result = kept.result.clone();
        self.bytes -= pages.by_cursor.insert(cursor, kept).map_or(0, |old| old.result.len());
        filled.then_some(result)
    }

    /// An earlier run has left this page. What this run has seen is better.
    pub(super) fn recall(&mut self, method: &'static str, cursor: Option<&str>, page: &ListPage<'_>) {
        let of_this_run = self.pages.get(method).is_some_and(|pages| pages.from != Gen(0) && pages.filled);
        if of_this_run || page.filled.is_none() {
            return;
        }
        if method == TOOLS {
            self.tools.recall(page);
        }
        self.keep(Gen(0), method, cursor, page);
    }

    /// Forgets what earlier runs have left.
    pub(super) fn forget_recalled(&mut self) {
        let bytes = &mut self.bytes;
        self.pages.retain(|_, pages| {
            let recalled = pages.from == Gen(0);
            if recalled {
                *bytes -= pages.bytes();
            }
            !recalled
        });
    }

    /// The result of the last good page of this list, as JSON text.
    pub(super) fn page(&self, method: &str, cursor: Option<&str>) -> Option<&Page> {
        self.pages.get(method)?.by_cursor.get(cursor.unwrap_or_default())
    }

    /// The child that the known pages of this list come from; 0 for an earlier run.
    pub(super) fn is_from(&self, method: &str) -> Gen {
        self.pages.get(method).map_or(Gen(0), |pages| pages.from)
    }
}
