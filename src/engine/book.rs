//! The book of good answers: the lists of this run as the server last gave them, and what its tools declare.
//!
//! Lists are kept as the bytes of their result, page by page, and served when the server cannot be asked. Pages of two
//! generations are never mixed, and a good list is never replaced by an empty one. What earlier runs have left counts as
//! of generation 0.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::io::Gen;
use crate::wire::edit;

/// The most bytes of pages that are kept.
const BOOK_BYTES: usize = 16 * 1024 * 1024;

/// The lists that can be served from the book, and the member of their result that must not be empty.
const LISTS: [(&str, &str); 4] = [
    ("tools/list", "tools"),
    ("prompts/list", "prompts"),
    ("resources/list", "resources"),
    ("resources/templates/list", "resourceTemplates"),
];

/// What a tool declares of itself, as last seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tool {
    /// It may be called twice: it says that it only reads or that it is idempotent, and does not contradict itself.
    pub repeatable: bool,
    /// It has an output schema: a result without structured content would be refused by the host.
    pub typed: bool,
}

/// The pages and the tools.
#[derive(Debug, Default)]
pub(super) struct Book {
    /// By method, and within that by cursor (its JSON text; empty for the first page).
    pages: BTreeMap<&'static str, Pages>,
    tools: BTreeMap<String, Tool>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Pages {
    from: Gen,
    /// Whether there is an entry on any of them.
    filled: bool,
    by_cursor: BTreeMap<String, Bytes>,
}

#[derive(Deserialize)]
struct ToolPage<'a> {
    #[serde(borrow)]
    tools: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ToolEntry {
    name: String,
    #[serde(default)]
    annotations: Option<Annotations>,
    #[serde(default)]
    output_schema: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Annotations {
    #[serde(rename = "readOnlyHint")]
    read_only: Option<bool>,
    #[serde(rename = "destructiveHint")]
    destructive: Option<bool>,
    #[serde(rename = "idempotentHint")]
    idempotent: Option<bool>,
}

impl From<ToolEntry> for Tool {
    fn from(entry: ToolEntry) -> Self {
        let hints = entry.annotations.unwrap_or_default();
        let contradiction = hints.read_only == Some(true) && hints.destructive == Some(true);
        let safe = hints.read_only == Some(true) || hints.idempotent == Some(true);
        Self { repeatable: safe && !contradiction, typed: entry.output_schema.is_some() }
    }
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
    /// A child has answered a list request with this result. Gives what is worth to be kept beyond this run.
    pub(super) fn learn(
        &mut self,
        child: Gen,
        method: &str,
        cursor: Option<&str>,
        result: &str,
    ) -> Option<Bytes> {
        let (method, member) = LISTS.iter().find(|(list, _)| *list == method)?;
        // A result without the list itself is not one that could be served.
        edit::find(result, &[member])?;
        if *member == "tools" {
            self.learn_tools(result, cursor.is_none());
        }
        self.keep(child, method, member, cursor, result)
    }

    /// Keeps a page, if it is not worse than what is kept. Gives it if it is worth to be kept beyond this run.
    fn keep(
        &mut self,
        child: Gen,
        method: &'static str,
        member: &str,
        cursor: Option<&str>,
        result: &str,
    ) -> Option<Bytes> {
        let list = edit::find(result, &[member]).filter(|list| list.starts_with('['))?;
        let empty = list.trim_matches(['[', ']', ' ', '\t']).is_empty();
        let pages = self.pages.entry(method).or_default();
        if empty && pages.filled {
            return None;
        }
        if pages.from != child && cursor.is_some() {
            // A page of this child beside pages of an earlier one: its first page has not been seen.
            return None;
        }
        if pages.from != child || cursor.is_none() {
            self.bytes -= pages.by_cursor.values().map(Bytes::len).sum::<usize>();
            pages.by_cursor.clear();
            pages.from = child;
            pages.filled = false;
        }
        pages.filled |= !empty;
        let cursor = cursor.unwrap_or_default().to_owned();
        if self.bytes + result.len() > BOOK_BYTES {
            return None;
        }
        self.bytes += result.len();
        let page = Bytes::copy_from_slice(result.as_bytes());
        self.bytes -= pages.by_cursor.insert(cursor, page.clone()).map_or(0, |old| old.len());
        (!empty).then_some(page)
    }

    /// An earlier run has left this page. What this run has seen is better.
    pub(super) fn recall(&mut self, method: &str, cursor: Option<&str>, result: &Bytes) {
        let Ok(text) = std::str::from_utf8(result) else { return };
        let Some((method, member)) = LISTS.iter().find(|(list, _)| *list == method) else { return };
        let of_this_run = self.pages.get(method).is_some_and(|pages| pages.from != Gen(0) && pages.filled);
        if of_this_run {
            return;
        }
        if *member == "tools" {
            // What a server of this run has said of a tool holds.
            let known = std::mem::take(&mut self.tools);
            self.learn_tools(text, false);
            self.tools.extend(known);
        }
        self.keep(Gen(0), method, member, cursor, text);
    }

    /// Forgets what earlier runs have left.
    pub(super) fn forget_recalled(&mut self) {
        let bytes = &mut self.bytes;
        self.pages.retain(|_, pages| {
            let recalled = pages.from == Gen(0);
            if recalled {
                *bytes -= pages.by_cursor.values().map(Bytes::len).sum::<usize>();
            }
            !recalled
        });
    }

    /// One tool that is declared oddly does not make the others unknown.
    fn learn_tools(&mut self, result: &str, anew: bool) {
        let Ok(page) = serde_json::from_str::<ToolPage<'_>>(result) else { return };
        if anew && !page.tools.is_empty() {
            self.tools.clear();
        }
        for entry in page.tools {
            if let Ok(entry) = serde_json::from_str::<ToolEntry>(entry.get()) {
                self.tools.insert(entry.name.clone(), entry.into());
            } else if let Some(name) =
                edit::find(entry.get(), &["name"]).and_then(|name| serde_json::from_str(name).ok())
            {
                let typed = edit::find(entry.get(), &["outputSchema"]).is_some();
                self.tools.insert(name, Tool { repeatable: false, typed });
            }
        }
    }

    /// The result of the last good page of this list, as JSON text.
    pub(super) fn page(&self, method: &str, cursor: Option<&str>) -> Option<&Bytes> {
        self.pages.get(method)?.by_cursor.get(cursor.unwrap_or_default())
    }

    /// The child that the known pages of this list come from; 0 for an earlier run.
    pub(super) fn is_from(&self, method: &str) -> Gen {
        self.pages.get(method).map_or(Gen(0), |pages| pages.from)
    }

    /// What this tool declares; the cautious reading if it has not been seen.
    pub(super) fn tool(&self, name: Option<&str>) -> Tool {
        name.and_then(|name| self.tools.get(name)).copied().unwrap_or_default()
    }
}
