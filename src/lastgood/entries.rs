//! What one file holds, and the rules by which something new is merged into it. No I/O.
//!
//! An entry is looked up by era, version, method and cursor. They stand in the order in which they were written, oldest
//! first, and that order is all that is known of time. The rules:
//!
//! - The first page of a list takes the place of all pages of that list; anything else takes the place of what has its
//!   key.
//! - A list without entries never takes the place of one with entries: what a server says of itself while it is not well
//!   must not cost the host its tools. Where nothing better is known it is kept.
//! - What the server now refuses is erased by an entry that is not kept itself.
//! - At most [`VERSIONS`] versions an era, and no more bytes than fit a file: what was written longest ago goes first,
//!   greetings after all lists, and a list with all its pages, for half a list would be taken for the whole.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::fault::Misfit;
use crate::engine::io::{Era, Good};

/// The most versions of one era that are kept. Hosts ask for whatever they like; there are five revisions so far.
pub(super) const VERSIONS: usize = 64;

/// One answer that is worth keeping.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) era: Era,
    pub(super) version: String,
    pub(super) method: String,
    pub(super) cursor: Option<String>,
    /// One JSON object on one line.
    pub(super) result: Box<RawValue>,
    /// It is a page of a list and has entries.
    has_entries: bool,
    /// Whether it erases what has this address: the server now refuses what it once answered.
    erases: bool,
}

/// Everything by which an entry is looked up.
type Address<'a> = (Era, &'a str, &'a str, Option<&'a str>);

impl Entry {
    /// Fails if the result is not an object, or is spread over several lines: the engine makes one line of it.
    pub(super) fn new(
        era: Era,
        version: String,
        method: String,
        cursor: Option<String>,
        result: Box<RawValue>,
    ) -> Result<Self, Misfit> {
        if !result.get().starts_with('{') || result.get().contains('\n') {
            return Err(Misfit::NoObject);
        }
        let has_entries = has_entries(&method, result.get());
        Ok(Self { era, version, method, cursor, result, has_entries, erases: false })
    }

    fn address(&self) -> Address<'_> {
        (self.era, &self.version, &self.method, self.cursor.as_deref())
    }

    fn is_list(&self) -> bool {
        list(&self.method).is_some()
    }

    fn is_of_same_list(&self, other: &Self) -> bool {
        (self.era, &self.version, &self.method) == (other.era, &other.version, &other.method)
    }

    /// Whether the other one goes when this one comes.
    fn takes_place_of(&self, other: &Self) -> bool {
        if self.is_list() && self.cursor.is_none() {
            self.is_of_same_list(other)
        } else {
            self.address() == other.address()
        }
    }
}

impl TryFrom<Good> for Entry {
    type Error = Misfit;

    fn try_from(good: Good) -> Result<Self, Misfit> {
        if good.result.is_empty() {
            let (result, has_entries) = (RawValue::NULL.to_owned(), false);
            let Good { era, version, method, cursor, .. } = good;
            return Ok(Self { era, version, method, cursor, result, has_entries, erases: true });
        }
        let result = String::from_utf8(good.result.to_vec()).map_err(|_| Misfit::NoObject)?;
        let result = RawValue::from_string(result).map_err(|_| Misfit::NoObject)?;
        Self::new(good.era, good.version, good.method, good.cursor, result)
    }
}

impl From<Entry> for Good {
    fn from(entry: Entry) -> Self {
        let Entry { era, version, method, cursor, result, has_entries: _, erases: _ } = entry;
        let result = Bytes::from(String::from(Box::<str>::from(result)));
        Self { era, version, method, cursor, result }
    }
}

/// The entries of one file, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries(Vec<Entry>);

impl Entries {
    /// Enters what was learned, unless a rule forbids it.
    pub(super) fn merge(&mut self, new: Entry) {
        let would_empty = |old: &Entry| old.has_entries && new.takes_place_of(old);
        if new.erases {
            return self.0.retain(|old| !new.takes_place_of(old));
        }
        if new.is_list() && !new.has_entries && self.0.iter().any(would_empty) {
            return;
        }
        self.0.retain(|old| !new.takes_place_of(old));
        self.0.push(new);
    }

    /// Removes what is too much: `weight` says how many bytes an entry takes in the file, and `room` how many there are.
    pub(super) fn trim(&mut self, room: usize, weight: impl Fn(&Entry) -> usize) {
        for era in [Era::Legacy, Era::Modern] {
            self.trim_versions(era);
        }
        let mut total: usize = self.0.iter().map(&weight).sum();
        while total > room {
            let first_list = self.0.iter().position(Entry::is_list);
            if self.0.is_empty() {
                return;
            }
            let oldest = self.0.remove(first_list.unwrap_or(0));
            total -= weight(&oldest);
            if oldest.is_list() {
                self.0.retain(|other| {
                    let goes = oldest.is_of_same_list(other);
                    total -= if goes { weight(other) } else { 0 };
                    !goes
                });
            }
        }
    }

    fn trim_versions(&mut self, era: Era) {
        let mut latest = Vec::new();
        for entry in self.0.iter().rev().filter(|entry| entry.era == era) {
            if !latest.contains(&entry.version) {
                latest.push(entry.version.clone());
            }
        }
        let dropped = latest.get(VERSIONS..).unwrap_or_default();
        self.0.retain(|entry| entry.era != era || !dropped.contains(&entry.version));
    }

    /// Whether both say the same, in whatever order.
    pub(super) fn say_the_same_as(&self, other: &Self) -> bool {
        self.said() == other.said()
    }

    fn said(&self) -> BTreeMap<Address<'_>, &str> {
        self.0.iter().map(|entry| (entry.address(), entry.result.get())).collect()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter()
    }

    pub(super) fn into_goods(self) -> Vec<Good> {
        self.0.into_iter().map(Good::from).collect()
    }
}

/// What the entries of a list are called in its result. `None` for a method that gives no list.
fn list(method: &str) -> Option<&str> {
    let of = method.strip_suffix("/list")?;
    Some(if of == "resources/templates" { "resourceTemplates" } else { of.rsplit('/').next().unwrap_or(of) })
}

/// Whether this is a list with something in it.
fn has_entries(method: &str, result: &str) -> bool {
    let Some(name) = list(method) else { return false };
    let members: Option<BTreeMap<Cow<'_, str>, &RawValue>> = serde_json::from_str(result).ok();
    let entries = members.and_then(|members| members.get(name).copied());
    let entries: Option<Vec<IgnoredAny>> = entries.and_then(|text| serde_json::from_str(text.get()).ok());
    entries.is_some_and(|entries| !entries.is_empty())
}
