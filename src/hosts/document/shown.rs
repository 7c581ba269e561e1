//! A config as it may be shown: what is secret in it is left out, and everything else is there, line by line. Pure.
//!
//! What is secret is for a [`Veil`] to say. In here is known where to look: the values of variables and of other members by their
//! names, all headers, command lines word by word, other texts by what is in them. A comment is often an entry that somebody has
//! switched off, without the structure that would tell its parts: of what stands between quotes in it, only keys are shown, and what
//! cannot be a secret.

use std::collections::BTreeSet;
use std::ops::Range;

use jsonc_parser::ast::{Object, StringLit, Value};
use jsonc_parser::common::Ranged as _;

use super::edit::Edit;
use super::{Document, MARK, Server, groups, literal, parsed, shifted, steps, value};

/// What stands where a secret stood.
const HIDDEN: &str = "***";
/// The least number of digits with which a number is a secret by the name of its member: a limit or a port has fewer.
const DIGITS: usize = 8;
/// The keys in comments whose values are shown, as far as they have no secrets in them.
const PLAIN: [&str; 5] = ["command", "cwd", "name", "type", "url"];

/// Tells what is secret.
pub trait Veil {
    /// A command line as it may be shown, with as many words.
    fn words(&self, words: &[String]) -> Vec<String>;
    /// A text as it may be shown.
    fn text(&self, text: &str) -> String;
    /// Whether what has this name is secret, whatever it is.
    fn is_secret(&self, name: &str) -> bool;
}

impl Document<'_> {
    /// The text as it may be shown, with as many lines.
    pub fn shown(&self, veil: &dyn Veil) -> String {
        let mut edits: Vec<Edit> = Vec::new();
        for server in &self.servers {
            let shown = veil.words(&server.words);
            for ((range, shown), word) in ranges(server).zip(shown).zip(&server.words) {
                if shown != *word {
                    edits.push((range, literal(&shown)));
                }
            }
        }
        let mark = if self.text.starts_with(MARK) { MARK.len_utf8() } else { 0 };
        if let Ok(read) = parsed(&self.text[mark..])
            && let Some(root) = &read.value
        {
            let groups = root.as_object().map(|root| groups(root, self.shape)).unwrap_or_default();
            let entries = groups.iter().flat_map(|(_, servers)| &servers.properties);
            let mut walk = Walk {
                veil,
                mark,
                words: self.servers.iter().flat_map(ranges).map(|range| range.start).collect(),
                entries: entries.map(|entry| entry.value.range().start).collect(),
                edits,
            };
            walk.value(root, "", None);
            edits = walk.edits;
        }
        for comment in &self.comments {
            let text = &self.text[comment.clone()];
            let lines: Vec<String> = text.split('\n').map(|line| line_of_comment(line, veil)).collect();
            edits.push((comment.clone(), lines.join("\n")));
        }
        edits.sort_by_key(|(range, _)| range.start);
        for (range, new) in &mut edits {
            // As many lines, whatever is in a text.
            let lines = |text: &str| text.matches('\n').count();
            let missing = lines(&self.text[range.clone()]).saturating_sub(lines(new));
            new.push_str(&"\n".repeat(missing));
        }
        self.edited(&edits)
    }
}

/// Where the words of a server are.
fn ranges(server: &Server) -> impl Iterator<Item = Range<usize>> {
    server.place.iter().flat_map(|place| {
        let elements = place.args.iter().flat_map(|args| args.elements.iter().cloned());
        [place.command.clone()].into_iter().chain(elements)
    })
}

/// Looks for what is secret, and is no word of a server's command line.
struct Walk<'w> {
    veil: &'w dyn Veil,
    /// What stands before the text that was parsed, in bytes.
    mark: usize,
    /// Where the words of command lines begin.
    words: BTreeSet<usize>,
    /// Where the entries of servers begin, in the parsed text: what a server is called says nothing of what is in it.
    entries: BTreeSet<usize>,
    edits: Vec<Edit>,
}

impl Walk<'_> {
    /// `key`: what it goes by. `secret`: by what stands before it, with the least number of digits of a number that is.
    fn value(&mut self, value: &Value<'_>, key: &str, secret: Option<usize>) {
        steps::count(1);
        match value {
            Value::Object(object) => {
                let above = secret.filter(|_| !self.entries.contains(&object.range.start));
                // A variable is what its name says, also where that is a number.
                let digits = if key == "env" { 1 } else { DIGITS };
                for property in &object.properties {
                    let name = property.name.as_str();
                    let own = is_headers(name) || self.veil.is_secret(name);
                    self.value(&property.value, name, above.or(own.then_some(digits)));
                }
            }
            // It may be a command line, of a server that is not understood: then a word tells what the next one is.
            Value::Array(array) => {
                let word = |element: &Value<'_>| {
                    element.as_string_lit().map(|text| text.value.to_string()).unwrap_or_default()
                };
                let words: Vec<String> = array.elements.iter().map(word).collect();
                for (element, shown) in array.elements.iter().zip(self.veil.words(&words)) {
                    if let Value::StringLit(text) = element {
                        self.text(text, if secret.is_some() { HIDDEN } else { &shown });
                    } else {
                        self.value(element, key, secret);
                    }
                }
            }
            Value::StringLit(text) => {
                let shown = if secret.is_some() { HIDDEN.to_owned() } else { self.veil.text(&text.value) };
                self.text(text, &shown);
            }
            Value::NumberLit(number) => {
                if secret.is_some_and(|digits| number.value.len() >= digits) {
                    let range = shifted(number.range.start..number.range.end, self.mark);
                    self.edits.push((range, literal(HIDDEN)));
                }
            }
            Value::BooleanLit(_) | Value::NullKeyword(_) => {}
        }
    }

    fn text(&mut self, text: &StringLit<'_>, shown: &str) {
        let range = shifted(text.range.start..text.range.end, self.mark);
        if !text.value.is_empty() && *shown != *text.value && !self.words.contains(&range.start) {
            self.edits.push((range, literal(shown)));
        }
    }
}

/// Whether this is what headers of HTTP are called: any of them may be what lets its bearer in.
fn is_headers(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with("headers")
}

/// A line of a comment as it may be shown.
fn line_of_comment(line: &str, veil: &dyn Veil) -> String {
    let mut shown = String::new();
    let mut rest = line;
    let mut key = "";
    while let Some((before, quoted)) = rest.split_once('"') {
        let Some(end) = end_of_text(quoted) else { break };
        let (text, after) = (&quoted[..end], &quoted[end + 1..]);
        shown += &veil.text(before);
        let is_key = after.trim_start().starts_with(':');
        let inside = if is_key {
            key = text;
            text.to_owned()
        } else if text.is_empty() || PLAIN.contains(&key) {
            veil.text(text)
        } else {
            HIDDEN.to_owned()
        };
        shown.extend(["\"", &inside, "\""]);
        rest = after;
    }
    shown + &veil.text(rest)
}

/// Where the text ends that follows a quote.
fn end_of_text(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

/// The variables of all environments, wherever they are.
pub(super) fn variables(root: &Object<'_>) -> Vec<(String, String)> {
    let mut found = Vec::new();
    each_object(root, &mut |object| {
        let Some(Value::Object(variables)) = value(object, "env") else { return };
        for variable in &variables.properties {
            if let Value::StringLit(text) = &variable.value {
                found.push((variable.name.as_str().to_owned(), text.value.to_string()));
            }
        }
    });
    found
}

/// Each object, this one first.
fn each_object<'a>(root: &Object<'a>, found: &mut dyn FnMut(&Object<'a>)) {
    fn walk<'a>(value: &Value<'a>, found: &mut dyn FnMut(&Object<'a>)) {
        match value {
            Value::Object(object) => each_object(object, found),
            Value::Array(array) => array.elements.iter().for_each(|element| walk(element, found)),
            Value::StringLit(_) | Value::NumberLit(_) | Value::BooleanLit(_) | Value::NullKeyword(_) => {}
        }
    }
    found(root);
    root.properties.iter().for_each(|property| walk(&property.value, found));
}
