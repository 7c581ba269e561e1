//! What of a config may be shown. Much of it is nobody's business: keys of APIs, what was said to a model. Pure.

use std::collections::BTreeSet;
use std::ops::Range;

use jsonc_parser::ast::{Object, Value};

use super::{Document, Server, literal, shifted, value};

/// What stands where something else stood.
const HIDDEN: &str = "***";
/// The keys whose texts say what a server is.
const PLAIN: [&str; 1] = ["type"];

impl Document<'_> {
    /// The text as it may be shown, with as many lines. Of its texts it has the command lines of servers, as `words` gives them
    /// back; the others, and comments, may be anything.
    pub fn shown(&self, words: &dyn Fn(&[String]) -> Vec<String>) -> String {
        let hidden = self.hidden.iter().map(|range| (range.clone(), literal(HIDDEN)));
        let mut edits: Vec<(Range<usize>, String)> = hidden.collect();
        for server in &self.servers {
            let shown = words(&server.words);
            for ((range, shown), word) in ranges(server).zip(shown).zip(&server.words) {
                if shown != *word {
                    edits.push((range, literal(&shown)));
                }
            }
        }
        for comment in &self.comments {
            let text = &self.text[comment.clone()];
            let lines: Vec<&str> = text.split('\n').map(|_| "\u{2026}").collect();
            let end = if text.starts_with("/*") { " */" } else { "" };
            edits.push((comment.clone(), format!("{} {}{end}", &text[..2], lines.join("\n"))));
        }
        self.edited(edits)
    }
}

/// Where the words of a server are.
fn ranges(server: &Server) -> impl Iterator<Item = Range<usize>> {
    server.place.iter().flat_map(|place| {
        let elements = place.args.iter().flat_map(|args| args.elements.iter().cloned());
        [place.command.clone()].into_iter().chain(elements)
    })
}

/// The texts that are not to be shown: all but the command lines of these servers. `mark`: what stands before the text that was
/// parsed, in bytes.
pub(super) fn hidden(root: &Object<'_>, mark: usize, servers: &[Server]) -> Vec<Range<usize>> {
    let shown: BTreeSet<usize> = servers.iter().flat_map(ranges).map(|range| range.start).collect();
    let mut found = Vec::new();
    each_text(root, &mut |key, text| {
        let range = shifted(text.range.start..text.range.end, mark);
        if !shown.contains(&range.start) && !key.is_some_and(|key| PLAIN.contains(&key)) {
            found.push(range);
        }
    });
    found
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

/// Each text that is a value, with the key of which it is the value.
fn each_text<'a>(root: &Object<'a>, found: &mut dyn FnMut(Option<&str>, &jsonc_parser::ast::StringLit<'a>)) {
    fn walk<'a>(
        key: Option<&str>,
        value: &Value<'a>,
        found: &mut dyn FnMut(Option<&str>, &jsonc_parser::ast::StringLit<'a>),
    ) {
        match value {
            Value::StringLit(text) => found(key, text),
            Value::Array(array) => array.elements.iter().for_each(|element| walk(None, element, found)),
            Value::Object(object) => each_text(object, found),
            Value::NumberLit(_) | Value::BooleanLit(_) | Value::NullKeyword(_) => {}
        }
    }
    for property in &root.properties {
        walk(Some(property.name.as_str()), &property.value, found);
    }
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
