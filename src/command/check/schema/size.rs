//! How much work a schema stands for: its parts, with all references followed. Pure.
//!
//! References are followed by what they can mean, and not by what a base address makes of them: where several parts go by a
//! name, the largest counts. So nothing is counted as less than it is.

use std::collections::{BTreeMap, BTreeSet};

use percent_encoding::percent_decode_str;
use serde_json::Value;

/// How many parts a schema may come to: more than tools of people have.
pub(super) const MOST_PARTS: u64 = 200_000;
/// How long a way through parts and references may be: readers go it by recursion.
const LONGEST_WAY: usize = 400;
/// How often a reference may be held against a name.
const MOST_LOOKS: usize = 4_000_000;
/// The members that refer to another part.
const REFERENCES: [&str; 3] = ["$ref", "$dynamicRef", "$recursiveRef"];

/// Whether it comes to more than [`MOST_PARTS`].
pub(super) fn is_too_large(schema: &Value) -> bool {
    let mut names =
        Names { root: schema, anchors: BTreeMap::new(), addresses: BTreeMap::new(), named: 0, references: 0 };
    names.collect(schema);
    // Each reference is held against each name.
    names.named.saturating_mul(names.references) > MOST_LOOKS
        || size(&names, schema, &mut BTreeMap::new(), 0) > MOST_PARTS
}

/// What parts go by.
struct Names<'s> {
    root: &'s Value,
    anchors: BTreeMap<&'s str, Vec<&'s Value>>,
    /// By the last word of an address: the whole depends on where it stands.
    addresses: BTreeMap<&'s str, Vec<&'s Value>>,
    /// How many parts have a name, and how many refer to one.
    named: usize,
    references: usize,
}

impl<'s> Names<'s> {
    fn collect(&mut self, part: &'s Value) {
        match part {
            Value::Object(members) => {
                let text = |name: &str| members.get(name).and_then(Value::as_str);
                self.references += REFERENCES.into_iter().filter_map(text).count();
                for anchor in ["$anchor", "$dynamicAnchor"].into_iter().filter_map(text) {
                    self.named += 1;
                    self.anchors.entry(anchor).or_default().push(part);
                }
                for address in ["$id", "id"].into_iter().filter_map(text) {
                    self.named += 1;
                    let (path, anchor) = address.split_once('#').unwrap_or((address, ""));
                    if !anchor.is_empty() {
                        self.anchors.entry(anchor).or_default().push(part);
                    }
                    if !path.is_empty() {
                        self.addresses.entry(last_word(path)).or_default().push(part);
                    }
                }
                members.values().for_each(|inner| self.collect(inner));
            }
            Value::Array(all) => all.iter().for_each(|inner| self.collect(inner)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    /// Whatever a reference can mean.
    fn targets(&self, reference: &str) -> Vec<&'s Value> {
        let (path, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let fragment = percent_decode_str(fragment).decode_utf8_lossy();
        let named = || self.addresses.get(last_word(path)).cloned().unwrap_or_default();
        let bases = if path.is_empty() {
            // Within a part with an address of its own it is meant from there.
            let all: Vec<&Value> = self.addresses.values().flatten().copied().collect();
            std::iter::once(self.root).chain(all).collect()
        } else {
            named()
        };
        if fragment.is_empty() {
            return if path.is_empty() { vec![self.root] } else { bases };
        }
        if fragment.starts_with('/') {
            return bases.iter().filter_map(|base| base.pointer(&fragment)).collect();
        }
        self.anchors.get(&*fragment).cloned().unwrap_or_default()
    }
}

fn last_word(path: &str) -> &str {
    path.trim_end_matches('/').rsplit(['/', ':']).next().unwrap_or(path)
}

/// How many parts a part comes to. One that refers to itself counts once: it ends with its value.
fn size<'s>(names: &Names<'s>, part: &'s Value, sizes: &mut BTreeMap<usize, u64>, way: usize) -> u64 {
    let key = std::ptr::from_ref(part) as usize;
    if let Some(known) = sizes.get(&key) {
        return *known;
    }
    if way > LONGEST_WAY {
        return MOST_PARTS + 1;
    }
    sizes.insert(key, 1);
    let mut sum: u64 = 1;
    let mut add = |more: u64| sum = sum.saturating_add(more);
    match part {
        Value::Object(members) => {
            for (name, inner) in members {
                add(size(names, inner, sizes, way + 1));
                let Some(reference) = inner.as_str().filter(|_| REFERENCES.contains(&&**name)) else {
                    continue;
                };
                let mut seen = BTreeSet::new();
                let targets = names.targets(reference);
                let targets = targets.into_iter().filter(|it| seen.insert(std::ptr::from_ref(*it) as usize));
                add(targets.map(|target| size(names, target, sizes, way + 1)).max().unwrap_or(0));
            }
        }
        Value::Array(all) => {
            for inner in all {
                add(size(names, inner, sizes, way + 1));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    sizes.insert(key, sum);
    sum
}
