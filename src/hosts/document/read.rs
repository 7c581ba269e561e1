//! From what was parsed to servers: where they are in a config, and what each entry is.

use std::collections::BTreeMap;
use std::ops::Range;

use jsonc_parser::ast::{Array, Object, ObjectProp, Value};
use jsonc_parser::common::Ranged as _;

use super::by_hand::is_by_hand;
use super::{Args, Place, Server, Shape, Split, State, is_ours, shifted, steps, value};

/// What has the address of a server that is not started: as most hosts call it, and as Windsurf and Gemini do.
const ADDRESSES: [&str; 3] = ["url", "serverUrl", "httpUrl"];
/// The types of servers on stdio, the second one Copilot's.
const ON_STDIO: [&str; 2] = ["stdio", "local"];
/// What switches a server off, with the value that does.
const SWITCHES: [(&str, bool); 3] = [("disabled", true), ("enabled", false), ("isActive", false)];

/// The objects with servers, each with the project that it is for.
pub(super) fn groups<'o, 'a>(root: &'o Object<'a>, shape: Shape) -> Vec<(Option<String>, &'o Object<'a>)> {
    let of = |key| value(root, key).and_then(Value::as_object);
    let plain = |key| of(key).map(|servers| (None, servers));
    let projects = || {
        let projects = of("projects").into_iter().flat_map(|projects| &projects.properties);
        projects.filter_map(|project| {
            let servers = value(project.value.as_object()?, "mcpServers")?.as_object()?;
            Some((Some(project.name.as_str().to_owned()), servers))
        })
    };
    match shape {
        Shape::Servers => plain("mcpServers").into_iter().collect(),
        Shape::VsCode => plain("servers").into_iter().collect(),
        Shape::Projects => plain("mcpServers").into_iter().chain(projects()).collect(),
        Shape::Unknown => {
            let known: Vec<_> = plain("mcpServers").into_iter().chain(projects()).collect();
            if known.is_empty() { plain("servers").into_iter().collect() } else { known }
        }
    }
}

/// Reads entries.
pub(super) struct Reader<'r> {
    /// What stands before the text that was parsed, in bytes.
    pub(super) mark: usize,
    pub(super) split: Split<'r>,
}

impl Reader<'_> {
    pub(super) fn servers(&self, servers: &Object<'_>, project: Option<&str>) -> Vec<Server> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for entry in &servers.properties {
            steps::count(1);
            *counts.entry(entry.name.as_str()).or_default() += 1;
        }
        let server = |entry: &ObjectProp<'_>| {
            let name = entry.name.as_str().to_owned();
            let twice = counts.get(&*name).is_some_and(|count| *count > 1);
            let blank = Server {
                name,
                project: project.map(str::to_owned),
                state: State::Odd("it is there twice"),
                disabled: false,
                words: Vec::new(),
                place: None,
            };
            if twice { blank } else { self.server(blank, &entry.value) }
        };
        servers.properties.iter().map(server).collect()
    }

    fn server(&self, blank: Server, entry: &Value<'_>) -> Server {
        let odd = |why| Server { state: State::Odd(why), ..blank.clone() };
        let Value::Object(entry) = entry else { return odd("it is no object") };
        let names: Vec<&str> = entry.properties.iter().map(|property| property.name.as_str()).collect();
        let is_twice = |name: &&str| names.iter().filter(|other| *other == name).count() > 1;
        let switches = SWITCHES.iter().map(|(key, _)| key);
        if ["command", "args", "url", "type"].iter().chain(switches).any(is_twice) {
            return odd("it has a key twice");
        }
        let is_off = |(key, off): &(&str, bool)| matches!(value(entry, key), Some(Value::BooleanLit(flag)) if flag.value == *off);
        let blank = Server { disabled: SWITCHES.iter().any(is_off), ..blank };
        let is_remote = match kind(entry) {
            // Where both are there, the type says which of them is meant.
            Some(kind) if is_on_stdio(&kind) => {
                has_address(entry) && value(entry, "command").is_none_or(is_nothing)
            }
            Some(_) => true,
            None => has_address(entry),
        };
        if is_remote {
            return Server { state: State::Remote, ..blank };
        }
        let odd = |why| Server { state: State::Odd(why), ..blank.clone() };
        let Some(property) = entry.properties.iter().find(|property| property.name.as_str() == "command")
        else {
            return odd("it has no command");
        };
        let Value::StringLit(command) = &property.value else { return odd("its command is no text") };
        let args = match entry.properties.iter().find(|property| property.name.as_str() == "args") {
            None => None,
            Some(ObjectProp { value: Value::Array(array), .. }) => Some(array),
            Some(_) => return odd("its arguments are no list"),
        };
        let elements: &[Value<'_>] = args.map_or(&[], |array| &array.elements);
        let texts = elements.iter().map(|element| Some(element.as_string_lit()?.value.to_string()));
        let Some(args_words) = texts.collect::<Option<Vec<String>>>() else {
            return odd("its arguments are not all texts");
        };
        let debugged =
            value(entry, "dev").and_then(Value::as_object).is_some_and(|dev| value(dev, "debug").is_some());
        if command.value.is_empty() {
            return odd("its command is empty");
        }
        let (state, ours) = if is_ours(&command.value) {
            match (self.split)(&args_words) {
                Some(ours) => (State::Wrapped, ours),
                None => {
                    return odd(
                        "its command is mcp-supervise, with no server behind it, or with options that are not known",
                    );
                }
            }
        } else if is_by_hand(&command.value, &args_words) {
            (State::ByHand, 0)
        } else if debugged {
            (State::Debugged, 0)
        } else {
            (State::Plain, 0)
        };
        let place = Place {
            property: self.range(property.range()),
            command: self.range(command.range),
            colon: self.mark + property.name.range().end..self.mark + command.range.start,
            args: args.map(|array| self.args(entry, property, array)),
            ours,
        };
        let words = [command.value.to_string()].into_iter().chain(args_words).collect();
        Server { state, words, place: Some(place), ..blank }
    }

    fn args(&self, entry: &Object<'_>, command: &ObjectProp<'_>, array: &Array<'_>) -> Args {
        let next = entry.properties.iter().find(|property| property.range.start >= command.range.end);
        Args {
            follows: next.is_some_and(|next| next.name.as_str() == "args"),
            array: self.range(array.range),
            elements: array.elements.iter().map(|element| self.range(element.range())).collect(),
        }
    }

    fn range(&self, range: jsonc_parser::common::Range) -> Range<usize> {
        shifted(range.start..range.end, self.mark)
    }
}

/// What an entry says of how its server is reached. `None` where it does not say so.
pub(super) fn kind(entry: &Object<'_>) -> Option<String> {
    let text = value(entry, "type")?.as_string_lit()?.value.trim().to_owned();
    Some(text).filter(|text| !text.is_empty())
}

/// Whether this type is one of servers on stdio; people write it in capitals too.
pub(super) fn is_on_stdio(kind: &str) -> bool {
    ON_STDIO.iter().any(|known| kind.eq_ignore_ascii_case(known))
}

/// Whether an entry has an address. A form that was left empty writes one that is null or has no letters.
pub(super) fn has_address(entry: &Object<'_>) -> bool {
    ADDRESSES.iter().any(|key| value(entry, key).is_some_and(|address| !is_nothing(address)))
}

fn is_nothing(value: &Value<'_>) -> bool {
    match value {
        Value::NullKeyword(_) => true,
        Value::StringLit(text) => text.value.trim().is_empty(),
        Value::BooleanLit(flag) => !flag.value,
        Value::NumberLit(_) | Value::Object(_) | Value::Array(_) => false,
    }
}
