//! Servers that are where no host has them whose config this is: under the key of another program, by name at the top level of a
//! file, in a list. They are not changed, since nobody knows how they would be read; they are told of by their key. Pure.

use std::collections::BTreeSet;

use jsonc_parser::ast::{Object, Value};
use jsonc_parser::common::Ranged as _;

use super::read::{has_address, is_on_stdio, kind};
use super::{is_ours, value};

/// Servers of one key that are not where they are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elsewhere {
    /// The keys that lead there, with dots between them and `[]` for a list that has no key. Empty for the top level.
    pub key: String,
    /// What they are called: by key, by their own words, or by number. Empty where the file is one server itself.
    pub names: Vec<String>,
    /// Whether one of them is started by us already.
    pub ours: bool,
}

/// All of them. `known`: where the objects begin, in the parsed text, whose servers are read.
pub(super) fn elsewhere(root: &Value<'_>, known: &BTreeSet<usize>) -> Vec<Elsewhere> {
    let mut walk = Walk { known, path: Vec::new(), found: Vec::new() };
    if is_server(root, false) {
        walk.found.push(Elsewhere { key: String::new(), names: Vec::new(), ours: is_started_by_us(root) });
    } else {
        walk.value(root);
    }
    walk.found
}

struct Walk<'k, 'p> {
    known: &'k BTreeSet<usize>,
    path: Vec<&'p str>,
    found: Vec<Elsewhere>,
}

impl<'p> Walk<'_, 'p> {
    fn value(&mut self, value: &'p Value<'_>) {
        let is_known = self.known.contains(&value.range().start);
        match value {
            Value::Object(object) if !is_known => {
                let all = object.properties.iter();
                let named = all.map(|property| (Some(property.name.as_str()), &property.value));
                self.members(named.collect(), false);
            }
            Value::Array(array) => {
                self.members(array.elements.iter().map(|element| (None, element)).collect(), true);
            }
            Value::Object(_)
            | Value::StringLit(_)
            | Value::NumberLit(_)
            | Value::BooleanLit(_)
            | Value::NullKeyword(_) => {}
        }
    }

    fn members(&mut self, members: Vec<(Option<&'p str>, &'p Value<'_>)>, list: bool) {
        let says_servers = self.path.last().is_some_and(|key| {
            let key = key.to_ascii_lowercase();
            key.contains("mcp") || key.contains("server")
        });
        let mut names = Vec::new();
        let mut ours = false;
        for (at, (name, value)) in members.into_iter().enumerate() {
            if is_server(value, says_servers) {
                names.push(name.map_or_else(|| own_name(value, at), str::to_owned));
                ours |= is_started_by_us(value);
                continue;
            }
            self.path.push(if list { "[]" } else { name.unwrap_or_default() });
            self.value(value);
            self.path.pop();
        }
        if !names.is_empty() {
            // A list under a key goes by that key.
            let root = if list { "[]" } else { "" };
            let key =
                if self.path.is_empty() { root.to_owned() } else { self.path.join(".").replace(".[]", "[]") };
            self.found.push(Elsewhere { key, names, ours });
        }
    }
}

/// What an element of a list calls itself.
fn own_name(value: &Value<'_>, at: usize) -> String {
    let named = value.as_object().and_then(|object| {
        ["name", "id", "key", "label"]
            .iter()
            .find_map(|key| Some(self::value(object, key)?.as_string_lit()?.value.to_string()))
    });
    named.unwrap_or_else(|| format!("#{}", at + 1))
}

/// Whether this is the entry of a server, as one host or another writes it. An address alone is one where a type says so, or where
/// `says_servers`: the key above it.
fn is_server(value: &Value<'_>, says_servers: bool) -> bool {
    let Value::Object(entry) = value else { return false };
    match kind(entry) {
        Some(kind) if is_on_stdio(&kind) => has_command(entry),
        // A `command` that is a line for a shell, an input of VS Code, a hook.
        Some(kind) => {
            has_address(entry)
                && ["http", "sse", "ws", "remote"].iter().any(|word| kind.to_ascii_lowercase().contains(word))
        }
        None => has_command(entry) || (says_servers && has_address(entry)),
    }
}

/// Whether it has a command: as a text, as a list of words, or as an object with its path.
fn has_command(entry: &Object<'_>) -> bool {
    first_word(entry).is_some_and(|word| !word.trim().is_empty())
}

fn first_word(entry: &Object<'_>) -> Option<String> {
    let word = match value(entry, "command").or_else(|| value(entry, "cmd"))? {
        Value::StringLit(text) => text,
        Value::Array(words) => words.elements.first()?.as_string_lit()?,
        Value::Object(command) => value(command, "path")?.as_string_lit()?,
        Value::NumberLit(_) | Value::BooleanLit(_) | Value::NullKeyword(_) => return None,
    };
    Some(word.value.to_string())
}

fn is_started_by_us(value: &Value<'_>) -> bool {
    value.as_object().and_then(first_word).is_some_and(|word| is_ours(&word))
}
