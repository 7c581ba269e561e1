//! The peek: what a line is, without parsing what it carries.
//!
//! One pass of `serde_json` validates the line and picks out the few members that a supervisor must know. Payloads are
//! skipped over. Traps that this avoids: a derived struct takes an array for its fields; `Option` turns `"id": null`
//! into a missing id; borrowed strings fail on escapes.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::id::Id;

/// The member of `_meta` that names the protocol version of a request.
pub const ENVELOPE_VERSION: &str = "io.modelcontextprotocol/protocolVersion";

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
    pub method: Box<str>,
    /// What was seen of its parameters.
    pub params: Params,
}

/// A notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Its method.
    pub method: Box<str>,
    /// What was seen of its parameters.
    pub params: Params,
}

/// A response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The id of the request it answers. `None` in an error about a request whose id could not be read.
    pub id: Option<Id>,
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
    let text = line.trim_matches([' ', '\t', '\r', '\n']);
    match text.as_bytes().first() {
        Some(b'{') => peek(text).map_or_else(Parsed::Malformed, Parsed::One),
        Some(b'[') => batch(line, text),
        _ => Parsed::Malformed(Malformed::NotJson),
    }
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
/// integer, a member twice, a method and a result at once.
pub fn peek(text: &str) -> Result<Message, Malformed> {
    if !text.starts_with('{') {
        return Err(Malformed::NotJsonRpc);
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let envelope = deserializer.deserialize_map(EnvelopeVisitor).map_err(|_| Malformed::NotJson)?;
    deserializer.end().map_err(|_| Malformed::NotJson)?;
    envelope.message().ok_or(Malformed::NotJsonRpc)
}

#[derive(Default)]
struct Envelope<'de> {
    version: Option<&'de RawValue>,
    id: Option<&'de RawValue>,
    method: Option<&'de RawValue>,
    params: Option<Params>,
    result: bool,
    error: bool,
    repeated: bool,
}

impl Envelope<'_> {
    fn message(self) -> Option<Message> {
        if self.repeated || text(self.version?)? != "2.0" {
            return None;
        }
        let id = self.id.map(|raw| Id::from_json(raw.get()));
        let answers = self.result || self.error;
        match (self.method, id) {
            (Some(method), id) if !answers => {
                let method = text(method)?.into();
                let params = self.params.unwrap_or_default();
                match id {
                    Some(id) => Some(Message::Request(Request { id: id?, method, params })),
                    None => Some(Message::Notification(Notification { method, params })),
                }
            }
            (None, Some(id)) if self.result != self.error => {
                Some(Message::Response(Response { id: Some(id?), is_error: self.error }))
            }
            (None, None) if self.error && !self.result => {
                Some(Message::Response(Response { id: None, is_error: true }))
            }
            _ => None,
        }
    }
}

/// The string in a JSON text. `None` if it is no string.
fn text(raw: &RawValue) -> Option<Cow<'_, str>> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(raw.get()).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// A member's name, of which only the named ones matter.
struct KeyVisitor(&'static [&'static str]);

impl<'de> serde::de::DeserializeSeed<'de> for KeyVisitor {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeyVisitor {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|known| *known == name))
    }
}

struct EnvelopeVisitor;

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON-RPC message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Envelope<'de>, A::Error> {
        const NAMES: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];
        let mut envelope = Envelope::default();
        let mut seen = [false; NAMES.len()];
        while let Some(name) = map.next_key_seed(KeyVisitor(&NAMES))? {
            if let Some(name) = name {
                envelope.repeated |= seen[name];
                seen[name] = true;
            }
            match name {
                Some(0) => envelope.version = Some(map.next_value()?),
                Some(1) => envelope.id = Some(map.next_value()?),
                Some(2) => envelope.method = Some(map.next_value()?),
                Some(3) => envelope.params = Some(map.next_value_seed(ParamsVisitor { meta: false })?),
                Some(member) => {
                    map.next_value::<IgnoredAny>()?;
                    envelope.result |= member == 4;
                    envelope.error |= member == 5;
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(envelope)
    }
}

/// Reads `params`, or the `_meta` inside it, of whatever type it is.
struct ParamsVisitor {
    meta: bool,
}

impl<'de> serde::de::DeserializeSeed<'de> for ParamsVisitor {
    type Value = Params;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Params, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ParamsVisitor {
    type Value = Params;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("parameters")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Params, A::Error> {
        const NAMES: [&str; 7] =
            ["name", "task", "requestId", "progressToken", "progress", "_meta", ENVELOPE_VERSION];
        let mut params = Params::default();
        while let Some(name) = map.next_key_seed(KeyVisitor(&NAMES))? {
            let scalar = |map: &mut A| map.next_value::<&'de RawValue>();
            match name {
                Some(0) if !self.meta => params.name = text(scalar(&mut map)?).map(Into::into),
                Some(1) if !self.meta => params.task = scalar(&mut map)?.get() != "null",
                Some(2) if !self.meta => params.request_id = Id::from_json(scalar(&mut map)?.get()),
                Some(3) => params.progress_token = Id::from_json(scalar(&mut map)?.get()),
                Some(4) if !self.meta => params.progress = Some(scalar(&mut map)?.get().into()),
                Some(5) if !self.meta => {
                    let meta = map.next_value_seed(Self { meta: true })?;
                    params.meta_progress_token = meta.progress_token;
                    params.enveloped = meta.enveloped;
                }
                Some(6) if self.meta => params.enveloped = scalar(&mut map)?.get().starts_with('"'),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(params)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Params, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Params::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Params, E> {
        Ok(Params::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Params, E> {
        Ok(Params::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Params, E> {
        Ok(Params::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Params, E> {
        Ok(Params::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Params, E> {
        Ok(Params::default())
    }

    fn visit_unit<E>(self) -> Result<Params, E> {
        Ok(Params::default())
    }
}
