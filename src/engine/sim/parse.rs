//! A reader of messages that shares nothing with the engine's.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

/// A well-formed JSON-RPC message.
#[derive(Clone, Debug)]
pub(super) struct Message {
    /// The id's JSON text. The models spell each id in one way only.
    pub id: Option<String>,
    pub method: Option<String>,
    pub params: Value,
    pub result: Option<Value>,
    pub error: Option<Value>,
}

impl Message {
    pub(super) fn is_request(&self) -> bool {
        self.id.is_some() && self.method.is_some()
    }

    pub(super) fn method(&self) -> &str {
        self.method.as_deref().unwrap_or_default()
    }
}

/// The message on this line. `None` if there is none, or it is not well-formed.
pub(super) fn message(line: &str) -> Option<Message> {
    let members: BTreeMap<&str, &RawValue> = serde_json::from_str(line).ok()?;
    let value = |name: &str| members.get(name).and_then(|raw| serde_json::from_str::<Value>(raw.get()).ok());
    if value("jsonrpc")? != "2.0" {
        return None;
    }
    let id = match members.get("id").map(|raw| raw.get()) {
        Some(raw) if raw.starts_with('"') || raw.parse::<i128>().is_ok() => Some(raw.to_owned()),
        Some(_) => return None,
        None => None,
    };
    let method = match value("method") {
        Some(Value::String(method)) => Some(method),
        Some(_) => return None,
        None => None,
    };
    let (result, error) = (value("result"), value("error"));
    match (method.is_some(), result.is_some(), error.is_some(), id.is_some()) {
        (true, false, false, _) | (false, true, false, true) | (false, false, true, _) => {}
        _ => return None,
    }
    Some(Message { id, method, params: value("params").unwrap_or_default(), result, error })
}

/// The elements of an array, as they are written.
pub(super) fn elements(line: &str) -> Option<Vec<String>> {
    let elements: Vec<&RawValue> = serde_json::from_str(line).ok()?;
    Some(elements.into_iter().map(|raw| raw.get().to_owned()).collect())
}

/// The line with the value at this path written differently; as it is if there is none.
pub(super) fn with_value(line: &str, path: &[&str], text: &str) -> String {
    let mut raw: &str = line.trim();
    for name in path {
        let Ok(members) = serde_json::from_str::<BTreeMap<String, &RawValue>>(raw) else {
            return line.to_owned();
        };
        let Some(member) = members.get(*name) else { return line.to_owned() };
        raw = member.get();
    }
    let start = raw.as_ptr() as usize - line.as_ptr() as usize;
    format!("{}{text}{}", &line[..start], &line[start + raw.len()..])
}
