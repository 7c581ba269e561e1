//! Recovers messages: those that are glued behind noise on the same line, and the remains of one that cannot be read.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::codec::{ENDS, Oversize};
use super::id::Id;
use super::mend::mend;
use super::message::{Frame, Malformed, Message, Parsed};

/// A message found at the end of a line.
#[derive(Clone, Debug)]
pub struct Salvaged {
    /// Where it is in the line.
    pub range: Range<usize>,
    /// Its bytes; mended where they were not quite JSON.
    pub bytes: Bytes,
    /// What it is.
    pub message: Message,
}

/// The messages at the end of a line that is no message itself, in their order: noise that was printed without a line
/// feed comes before its message. A message with more text behind it is a quotation, as in a log, and is not returned.
/// The caller decides whether to believe a message. With `batches` an array of messages counts as well. Reads each byte
/// a few times at most.
pub fn salvage(line: &Bytes, batches: bool) -> Vec<Salvaged> {
    let mut found = Vec::new();
    let mut end = line.trim_ascii_end().len();
    while let Some(start) = start_of_value(&line[..end], batches) {
        let Some(mut messages) = messages_in(&line.slice(start..end), start..end) else { break };
        messages.reverse();
        found.extend(messages);
        end = line[..start].trim_ascii_end().len();
    }
    found.reverse();
    found
}

/// The start of the object, or with `arrays` the array, at the end of these bytes. `None` if they do not end with one.
/// The search goes backwards, because what comes before is no JSON. A quote with an even number of backslashes before
/// it begins or ends a string.
fn start_of_value(bytes: &[u8], arrays: bool) -> Option<usize> {
    let mut depth = 0_usize;
    let mut at = bytes.len();
    let opening = match bytes.last()? {
        b'}' => b'{',
        b']' if arrays => b'[',
        _ => return None,
    };
    while at > 0 {
        at -= 1;
        match bytes[at] {
            b'}' | b']' => depth += 1,
            b'{' | b'[' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return (bytes[at] == opening).then_some(at);
                }
            }
            b'"' => at = start_of_string(&bytes[..at])?,
            _ => {}
        }
    }
    None
}

/// The start of the string whose closing quote comes right after these bytes.
fn start_of_string(bytes: &[u8]) -> Option<usize> {
    let mut end = bytes.len();
    loop {
        let quote = memchr::memrchr(b'"', &bytes[..end])?;
        let backslashes = bytes[..quote].iter().rev().take_while(|byte| **byte == b'\\').count();
        if backslashes % 2 == 0 {
            return Some(quote);
        }
        end = quote - backslashes;
    }
}

/// The messages in these bytes, which are at `range` in their line.
fn messages_in(bytes: &Bytes, range: Range<usize>) -> Option<Vec<Salvaged>> {
    let frame = Frame::read(bytes.clone());
    let frame = match frame.parsed {
        Parsed::Malformed(Malformed::NotJson) => mend(bytes)?.frame,
        Parsed::One(_) | Parsed::Batch(_) | Parsed::Malformed(Malformed::NotJsonRpc) => frame,
    };
    match frame.parsed {
        Parsed::One(message) => Some(vec![Salvaged { range, bytes: frame.bytes, message }]),
        Parsed::Batch(elements) => elements
            .into_iter()
            .map(|element| {
                let bytes = frame.bytes.slice(element.range);
                Some(Salvaged { range: range.clone(), bytes, message: element.message.ok()? })
            })
            .collect(),
        Parsed::Malformed(_) => None,
    }
}

/// What can still be read of a message that is too long or damaged. Each part is `None` or `false` if it was lost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Remains {
    /// Its id.
    pub id: Option<Id>,
    /// Its method.
    pub method: Option<String>,
    /// Whether it says that it is JSON-RPC 2.0. Logs name ids too.
    pub versioned: bool,
}

/// The remains of a whole line that is no JSON, from its first and its last [`ENDS`] bytes.
pub fn remains_of(line: &Bytes) -> Remains {
    let line = line.slice(..line.trim_ascii_end().len());
    let (head, tail) = (line.slice(..line.len().min(ENDS)), line.slice(line.len().saturating_sub(ENDS)..));
    remains(&Oversize { head, tail, len: line.len() as u64 })
}

/// What remains of a line that was too long.
pub fn remains(line: &Oversize) -> Remains {
    let head = RefCell::default();
    read_members(&line.head, &head);
    let mut seen: Remains = head.into_inner();
    for start in memchr::memchr_iter(b'"', &line.tail) {
        if seen.id.is_some() && seen.method.is_some() && seen.versioned {
            break;
        }
        // The tail from here on is a run of the outermost object's members exactly if it is one object when an opening
        // brace is put in front: it has then just one closing brace more than opening ones.
        let members = [b"{", &line.tail[start..]].concat();
        let tail = RefCell::default();
        if read_members(&members, &tail) {
            let tail: Remains = tail.into_inner();
            seen.id = seen.id.or(tail.id);
            seen.method = seen.method.or(tail.method);
            seen.versioned |= tail.versioned;
            break;
        }
    }
    seen
}

/// Reads the members of the object that these bytes start with into `seen`, as far as they go. Whether it was whole.
fn read_members(bytes: &[u8], seen: &RefCell<Remains>) -> bool {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        // The head may end in the middle of a character.
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    };
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let end = text.as_bytes().as_ptr_range().end as usize;
    let read = deserializer.deserialize_map(Members { seen, end });
    read.is_ok() && deserializer.end().is_ok() && text.len() == bytes.len()
}

struct Members<'s> {
    seen: &'s RefCell<Remains>,
    /// The address at which the text ends.
    end: usize,
}

impl<'de> Visitor<'de> for Members<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(name) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match &*name {
                "id" => {
                    let id = map.next_value::<&RawValue>()?;
                    // A number that ends with the text may have been cut off.
                    let cut = id.get().as_bytes().as_ptr_range().end as usize == self.end;
                    if !cut || id.get().starts_with('"') {
                        self.seen.borrow_mut().id = Id::from_json(id.get());
                    }
                }
                "jsonrpc" => {
                    let version = map.next_value::<&RawValue>()?;
                    self.seen.borrow_mut().versioned = version.get() == "\"2.0\"";
                }
                "method" => {
                    let method = map.next_value::<&RawValue>()?;
                    self.seen.borrow_mut().method = serde_json::from_str(method.get()).ok();
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Oversize, Remains, remains, remains_of, salvage};
    use crate::wire::{ENDS, Id, Message};

    fn oversize(line: &str) -> Oversize {
        let line = line.as_bytes();
        Oversize {
            head: Bytes::copy_from_slice(&line[..line.len().min(ENDS)]),
            tail: Bytes::copy_from_slice(&line[line.len().saturating_sub(ENDS)..]),
            len: line.len() as u64,
        }
    }

    fn salvaged(line: &str) -> Vec<String> {
        let line = Bytes::copy_from_slice(line.as_bytes());
        salvage(&line, false)
            .into_iter()
            .map(|found| String::from_utf8(found.bytes.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn messages_that_end_a_line_are_cut_out_of_it() {
        let line = r#"[info] {a} {"x":1} "done {"jsonrpc":"2.0","id":1,"result":{"t":"{\\\"\\"}} {"jsonrpc":"2.0","method":"m"}"#;
        let found = salvage(&Bytes::copy_from_slice(line.as_bytes()), false);
        assert_eq!(&line[found[0].range.clone()], r#"{"jsonrpc":"2.0","id":1,"result":{"t":"{\\\"\\"}}"#);
        assert!(
            matches!(&found[1].message, Message::Notification(notification) if &*notification.method == "m")
        );
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn what_is_quoted_in_the_middle_of_a_line_is_not() {
        for line in [
            r#"got {"jsonrpc":"2.0","id":1,"result":{}} from there"#,
            r#"got {"a":{"jsonrpc":"2.0","id":1,"result":{}}}"#,
            r#"got "{"jsonrpc":"2.0","id":1,"result":{}}""#,
            r#"got [{"jsonrpc":"2.0","id":1,"result":{}}]"#,
            r#"{"id":1,"result":{}}"#,
        ] {
            assert_eq!(salvaged(line), [""; 0], "{line}");
        }
    }

    #[test]
    fn noise_of_any_kind_may_come_before() {
        let message = r#"{"jsonrpc":"2.0","id":1,"result":{"a":["}",{"b":"]"}]}}"#;
        for noise in
            ["{ ".repeat(10_000), "{\"a\":".repeat(10_000), "[\"".repeat(9_999), "\\\"".repeat(9_999)]
        {
            assert_eq!(salvaged(&format!("{noise}{message}\r\n")), [message], "{}", &noise[..8]);
        }
    }

    #[test]
    fn an_array_counts_where_there_are_batches() {
        let messages =
            [r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, r#"{"jsonrpc":"2.0","id":2,"result":{"a":"]"}}"#];
        let line = Bytes::from(format!("up [{}]", messages.join(" , ")));
        assert!(salvage(&line, false).is_empty());
        let found: Vec<Bytes> = salvage(&line, true).into_iter().map(|found| found.bytes).collect();
        assert_eq!(found, messages);
    }

    #[test]
    fn one_that_is_nearly_json_is_mended() {
        assert_eq!(
            salvaged("up {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":NaN}}"),
            [r#"{"jsonrpc":"2.0","id":1,"result":{"a":null}}"#]
        );
    }

    #[test]
    fn an_id_is_found_at_either_end() {
        let payload = "x{\\\"id\\\":9}".repeat(10_000);
        let front = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"m","params":{{"a":"{payload}"}}}}"#);
        let back = format!(
            r#"{{"params":{{"a":"{payload}","n":{{"id":8}}}},"method":"m","jsonrpc":"2.0","id":"é"}}"#
        );
        let of = |id: &str| Remains { id: Id::from_json(id), method: Some("m".to_owned()), versioned: true };
        assert_eq!(remains(&oversize(&front)), of("7"));
        assert_eq!(remains(&oversize(&back)), of("\"é\""));
        assert_eq!(remains(&oversize(&format!("{{\"a\":\"{payload}\"}}"))), Remains::default());
    }

    #[test]
    fn a_damaged_line_says_what_it_can() {
        let remains = |line: &str| remains_of(&Bytes::copy_from_slice(line.as_bytes()));
        let cut = remains("{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":\"b\n");
        assert_eq!(cut, Remains { id: Id::from_json("1"), method: None, versioned: true });
        let inside = remains("{\"result\":{\"a\":'b'},\"jsonrpc\":\"2.0\",\"id\":1}\n");
        assert_eq!(inside, Remains { id: Id::from_json("1"), method: None, versioned: true });
        assert!(!remains("{\"id\":1,\"msg\":\"cut").versioned);
    }
}
