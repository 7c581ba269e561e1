//! What a server offered when a person last looked: a file to review and commit. Text in, text out.
//!
//! It has each tool, prompt and resource template as the server defined it, by name and in order, and its instructions:
//! all that a model is told by it. Resources are not in it, for they are data that comes and goes, nor is `_meta`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::seen::{Kind, Life};

/// The form that this release writes.
const FORM: u64 = 1;
/// What is kept.
const KINDS: [Kind; 3] = [Kind::Tools, Kind::Prompts, Kind::Templates];

/// Definitions by kind and name.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Baseline {
    pub(super) definitions: BTreeMap<(Kind, String), Value>,
    /// `None` if it has none.
    pub(super) instructions: Option<String>,
}

impl Baseline {
    /// What this server offers.
    pub(super) fn of(life: &Life) -> Self {
        let entries = KINDS.into_iter().flat_map(|kind| {
            let entries = kind.definitions(life.entries(kind).unwrap_or_default());
            entries.into_iter().map(move |(name, entry)| ((kind, name), entry))
        });
        let instructions = life.greeting().and_then(|greeting| greeting["instructions"].as_str());
        Self { definitions: entries.collect(), instructions: instructions.map(str::to_owned) }
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// If it is no baseline, as a clause.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let file: Value = serde_json::from_str(text).map_err(|error| format!("it is not JSON: {error}"))?;
        match file["mcpSuperviseBaseline"].as_u64() {
            Some(FORM) => {}
            Some(form) => return Err(format!("it has the form {form}, and this release knows {FORM}")),
            None => return Err("it has no member mcpSuperviseBaseline".to_owned()),
        }
        let mut definitions = BTreeMap::new();
        for kind in KINDS {
            let member = kind.member();
            let entries = match file.get(member) {
                None => continue,
                Some(Value::Object(entries)) => entries,
                Some(_) => return Err(format!("{member} is no object")),
            };
            definitions.extend(entries.iter().map(|(name, entry)| ((kind, name.clone()), entry.clone())));
        }
        Ok(Self { definitions, instructions: file["instructions"].as_str().map(str::to_owned) })
    }

    /// The file's text. The same server gives the same text, so that a difference is one.
    pub(super) fn text(&self) -> String {
        let mut file = Map::new();
        file.insert("mcpSuperviseBaseline".to_owned(), FORM.into());
        if let Some(instructions) = &self.instructions {
            file.insert("instructions".to_owned(), json!(instructions));
        }
        for kind in KINDS {
            let entries = self.definitions.iter().filter(|((its, _), _)| *its == kind);
            let entries: Map<String, Value> =
                entries.map(|((_, name), entry)| (name.clone(), entry.clone())).collect();
            if !entries.is_empty() {
                file.insert(kind.member().to_owned(), Value::Object(entries));
            }
        }
        let file = Value::Object(file);
        format!("{file:#}\n")
    }
}
