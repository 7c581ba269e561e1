//! The peek: what a line is, without parsing what it carries.
//!
//! One pass validates the line and picks out the few members that a supervisor must know ([`Walk`]). Payloads are skipped
//! over. Names may be written with escapes, an id may be `null`, and a member may be there twice.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::id::Id;
use super::json::{NoJson, Text, Walk};
use super::method::Method;

/// The member of `_meta` that names the protocol version of a request.
pub const ENVELOPE_VERSION: &str = "io.modelcontextprotocol/protocolVersion";

/// How the names of all notifications begin.
const NOTIFICATIONS: &str = "notifications/";

/// A line and what it is.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The line as it came, with its line feed, without a leading byte order mark.
    pub bytes: Bytes,
    /// What it is.
    pub parsed: Parsed,
}

/// What a line is.
#[derive(Clone, Debug)]
pub enum Parsed {
    /// One message.
    One(Message),
    /// An array with at least one element (JSON-RPC batching, in revision 2025-03-26 only).
    Batch(Vec<Element>),
    /// Neither.
    Malformed(Malformed),
}

/// One element of a batch.
#[derive(Clone, Debug)]
pub struct Element {
    /// Where its bytes are in [`Frame::bytes`].
    pub range: Range<usize>,
    /// The message; `Err` if the element is none.
    pub message: Result<Message, Malformed>,
}

/// One JSON-RPC message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// It asks for an answer.
    Request(Request),
    /// It asks for none.
    Notification(Notification),
    /// It answers.
    Response(Response),
}

/// A request with a well-formed id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its id.
    pub id: Id,
    /// Its method.
    pub method: Method,
    /// What was seen of its parameters.
    pub params: Params,
}

/// A notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Its method.
    pub method: Method,
    /// What was seen of its parameters.
    pub params: Params,
    /// Whether it has an `id` of `null`, as some hosts write where they mean none. No revision allows it.
    pub null_id: bool,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The id of the request it answers. `None` in an error about a request whose id could not be read, and where it is
    /// odd.
    pub id: Option<Id>,
    /// Whether it has an id that is neither a string nor an integer, such as `1.5` or `null`.
    pub has_odd_id: bool,
    /// Whether it is an error.
    pub is_error: bool,
}

/// The few parameters that a supervisor looks at. Each is `None` where it is absent or of another type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// `name`: of a tool or a prompt.
    pub name: Option<Box<str>>,
    /// Whether there is a `task` member (a task-augmented request).
    pub task: bool,
    /// `requestId`: of a cancellation.
    pub request_id: Option<Id>,
    /// `progressToken`: of a progress notification.
    pub progress_token: Option<Id>,
    /// `_meta.progressToken`: of a request that wants progress.
    pub meta_progress_token: Option<Id>,
    /// `progress`, as its JSON text: of a progress notification.
    pub progress: Option<Box<str>>,
    /// Whether `_meta` names the protocol version, as each request does from revision 2026-07-28 on.
    pub enveloped: bool,
}

/// Why a line is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// It is no JSON object or array, or no valid JSON, or not UTF-8.
    NotJson,
    /// It is JSON, but no JSON-RPC 2.0 message.
    NotJsonRpc,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotJson => "not JSON",
            Self::NotJsonRpc => "not JSON-RPC 2.0",
        })
    }
}

impl Frame {
    /// Looks at a line. The bytes are kept as they are, but for a leading byte order mark, which no SDK gets over.
    pub fn read(line: Bytes) -> Self {
        let bytes = if line.starts_with("\u{feff}".as_bytes()) { line.slice(3..) } else { line };
        let parsed = std::str::from_utf8(&bytes).map_or(Parsed::Malformed(Malformed::NotJson), read);
        Self { bytes, parsed }
    }
}

fn read(line: &str) -> Parsed {
    let text = trimmed(line);
    match text.as_bytes().first() {
        Some(b'{') => peek(text).map_or_else(Parsed::Malformed, Parsed::One),
        Some(b'[') => batch(line, text),
        _ => Parsed::Malformed(Malformed::NotJson),
    }
}

/// The text without JSON's white space around it. Works on bytes, for a line of white space may be as long as lines
/// get.
fn trimmed(line: &str) -> &str {
    let is_text = |byte: &u8| !matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let Some(from) = line.bytes().position(|byte| is_text(&byte)) else { return "" };
    let to = line.as_bytes().iter().rposition(is_text).map_or(from, |last| last + 1);
    &line[from..to]
}

fn batch(line: &str, text: &str) -> Parsed {
    let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(text) else {
        return Parsed::Malformed(Malformed::NotJson);
    };
    if elements.is_empty() {
        return Parsed::Malformed(Malformed::NotJsonRpc);
    }
    let element = |raw: &&RawValue| {
        let start = raw.get().as_ptr() as usize - line.as_ptr() as usize;
        Element { range: start..start + raw.get().len(), message: peek(raw.get()) }
    };
    Parsed::Batch(elements.iter().map(element).collect())
}

/// What the JSON object in `text` is.
///
/// # Errors
/// If it is no JSON object, or one that is no JSON-RPC message: a wrong version, an id that is neither a string nor an
/// integer, a member twice, both a method and a result, or both a result and an error. Of a result and an error, one
/// that is `null` counts as absent beside the other. An answer may have an odd id, since its request may have had one.
pub fn peek(text: &str) -> Result<Message, Malformed> {
    if !text.starts_with('{') {
        return Err(Malformed::NotJsonRpc);
    }
    let envelope = Envelope::read(text).map_err(|NoJson| Malformed::NotJson)?;
    envelope.message().ok_or(Malformed::NotJsonRpc)
}

/// The members of a message; each is the JSON text of its value.
#[derive(Default)]
struct Envelope<'t> {
    version: Option<Text<'t>>,
    id: Option<Text<'t>>,
    method: Option<Text<'t>>,
    params: Option<Params>,
    result: Part,
    error: Part,
    repeated: bool,
}

/// A member of which only this matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Absent,
    Null,
    Value,
}

impl Part {
    /// Walks over the value. Returns whether the member was there before.
    fn read(&mut self, walk: &mut Walk<'_>) -> Result<bool, NoJson> {
        let part = if walk.peek() == b'n' { Self::Null } else { Self::Value };
        walk.pass()?;
        Ok(std::mem::replace(self, part) != Self::Absent)
    }
}

impl<'t> Envelope<'t> {
    fn read(text: &'t str) -> Result<Self, NoJson> {
        let mut envelope = Self::default();
        let mut walk = Walk::new(text);
        walk.object(|walk, name| {
            let repeated = match name {
                b"jsonrpc" => envelope.version.replace(walk.value()?).is_some(),
                b"id" => envelope.id.replace(walk.value()?).is_some(),
                b"method" => envelope.method.replace(walk.value()?).is_some(),
                b"params" => envelope.params.replace(Params::read(walk)?).is_some(),
                b"result" => envelope.result.read(walk)?,
                b"error" => envelope.error.read(walk)?,
                _ => walk.pass().map(|()| false)?,
            };
            envelope.repeated |= repeated;
            Ok(())
        })?;
        walk.end()?;
        Ok(envelope)
    }

    fn message(self) -> Option<Message> {
        if self.repeated || self.version?.string()? != "2.0" {
            return None;
        }
        let null_id = self.id.as_ref().is_some_and(|id| id.json == "null");
        let id = self.id.map(|id| Id::from_json(id.json));
        let is_error = match (self.result, self.error) {
            (Part::Absent, Part::Absent) => None,
            (Part::Value, Part::Value) => return None,
            (Part::Value | Part::Null, Part::Absent | Part::Null) => Some(false),
            (Part::Absent | Part::Null, Part::Null | Part::Value) => Some(true),
        };
        // What writes all messages by one form writes down that an answer has no method.
        let method = self.method.filter(|method| is_error.is_none() || method.json != "null");
        match (method, id, is_error) {
            (Some(method), id, None) => {
                let method = Method::new(&method.string()?);
                let params = self.params.unwrap_or_default();
                // A message with the name of a notification is one, even if its sender wrote an `id` of `null`.
                match id.filter(|_| !null_id || !method.starts_with(NOTIFICATIONS)) {
                    Some(id) => Some(Message::Request(Request { id: id?, method, params })),
                    None => Some(Message::Notification(Notification { method, params, null_id })),
                }
            }
            (None, Some(id), Some(is_error)) => {
                Some(Message::Response(Response { has_odd_id: id.is_none(), id, is_error }))
            }
            (None, None, Some(true)) => {
                Some(Message::Response(Response { id: None, has_odd_id: false, is_error: true }))
            }
            _ => None,
        }
    }
}

impl Params {
    /// Goes over the value of `params`, of whatever type it is.
    fn read(walk: &mut Walk<'_>) -> Result<Self, NoJson> {
        let mut params = Self::default();
        if walk.peek() != b'{' {
            walk.pass()?;
            return Ok(params);
        }
        walk.object(|walk, name| {
            match name {
                b"name" => params.name = walk.value()?.string().map(Into::into),
                b"task" => params.task = walk.value()?.json != "null",
                b"requestId" => params.request_id = Id::from_json(walk.value()?.json),
                b"progressToken" => params.progress_token = Id::from_json(walk.value()?.json),
                b"progress" => params.progress = Some(walk.value()?.json.into()),
                b"_meta" => params.read_meta(walk)?,
                _ => walk.pass()?,
            }
            Ok(())
        })?;
        Ok(params)
    }

    fn read_meta(&mut self, walk: &mut Walk<'_>) -> Result<(), NoJson> {
        (self.meta_progress_token, self.enveloped) = (None, false);
        if walk.peek() != b'{' {
            return walk.pass();
        }
        walk.object(|walk, name| {
            match name {
                b"progressToken" => self.meta_progress_token = Id::from_json(walk.value()?.json),
                name if name == ENVELOPE_VERSION.as_bytes() => {
                    self.enveloped = walk.value()?.json.starts_with('"');
                }
                _ => walk.pass()?,
            }
            Ok(())
        })
    }
}
