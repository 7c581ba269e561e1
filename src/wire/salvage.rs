//! Messages in the wreck: one glued behind noise on the same line, and the id of a line that was too long to read.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::codec::Oversize;
use super::id::Id;
use super::message::{Message, peek};

/// How many places of one line are tried as the start of a message: noise full of braces must stay cheap.
pub const SALVAGE_STARTS: usize = 64;

/// How many bytes of one line are looked at for that, all starts together: a start is read to its end, which can be the
/// line's.
const SALVAGE_BYTES: usize = 4 * 1024 * 1024;

/// A message found inside a line.
#[derive(Clone, Debug)]
pub struct Salvaged {
    /// Where it is in the line.
    pub range: Range<usize>,
    /// What it is.
    pub message: Message,
}

/// The messages inside a line that is none itself, in their order. Whether one is to be believed is for the caller to
/// say. At most [`SALVAGE_STARTS`] places are tried, and fewer in a long line.
pub fn salvage(line: &[u8]) -> Vec<Salvaged> {
    let mut found = Vec::new();
    if memchr::memmem::find(line, b"\"jsonrpc\"").is_none() {
        return found;
    }
    let mut from = 0;
    let starts = (SALVAGE_BYTES / line.len().max(1)).clamp(1, SALVAGE_STARTS);
    for _ in 0..starts {
        let Some(brace) = memchr::memchr(b'{', &line[from..]) else { break };
        let start = from + brace;
        from = start + 1;
        if let Some((len, message)) = message_at(&line[start..]) {
            found.push(Salvaged { range: start..start + len, message });
            from = start + len;
        }
    }
    found
}

/// The message that these bytes start with, and its length.
fn message_at(bytes: &[u8]) -> Option<(usize, Message)> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<&RawValue>();
    let raw = values.next()?.ok()?;
    Some((raw.get().len(), peek(raw.get()).ok()?))
}

/// The id and the method in what is left of a line that was too long: `None` where they were in the lost part.
pub fn ends(line: &Oversize) -> (Option<Id>, Option<String>) {
    let head = RefCell::default();
    read_members(&line.head, &head);
    let mut seen: Seen = head.into_inner();
    for start in memchr::memchr_iter(b'"', &line.tail) {
        if seen.id.is_some() && seen.method.is_some() {
            break;
        }
        // The tail from here on is a run of the outermost object's members exactly if it is one object when an opening
        // brace is put in front: it has then just one closing brace more than opening ones.
        let members = [b"{", &line.tail[start..]].concat();
        let tail = RefCell::default();
        if read_members(&members, &tail) {
            let tail: Seen = tail.into_inner();
            seen.id = seen.id.or(tail.id);
            seen.method = seen.method.or(tail.method);
            break;
        }
    }
    (seen.id, seen.method)
}

#[derive(Default)]
struct Seen {
    id: Option<Id>,
    method: Option<String>,
}

/// Reads the members of the object that these bytes start with into `seen`, as far as they go. Whether it was whole.
fn read_members(bytes: &[u8], seen: &RefCell<Seen>) -> bool {
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
    seen: &'s RefCell<Seen>,
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

    use super::{Oversize, ends, salvage};
    use crate::wire::{ENDS, Message};

    fn oversize(line: &str) -> Oversize {
        let line = line.as_bytes();
        Oversize {
            head: Bytes::copy_from_slice(&line[..line.len().min(ENDS)]),
            tail: Bytes::copy_from_slice(&line[line.len().saturating_sub(ENDS)..]),
            len: line.len() as u64,
        }
    }

    #[test]
    fn a_message_behind_noise_is_cut_out() {
        let line = br#"[info] {a} {"x":1} done {"jsonrpc":"2.0","id":1,"result":{"t":"{"}}{"jsonrpc":"2.0","method":"m"} tail"#;
        let found = salvage(line);
        assert_eq!(found.len(), 2);
        assert_eq!(&line[found[0].range.clone()], br#"{"jsonrpc":"2.0","id":1,"result":{"t":"{"}}"#);
        assert!(
            matches!(&found[1].message, Message::Notification(notification) if &*notification.method == "m")
        );
    }

    #[test]
    fn only_the_first_starts_are_tried() {
        let line = format!("{}{}", "{ ".repeat(64), r#"{"jsonrpc":"2.0","method":"m"}"#);
        assert!(salvage(line.as_bytes()).is_empty());
    }

    #[test]
    fn an_id_is_found_at_either_end() {
        let payload = "x{\\\"id\\\":9}".repeat(10_000);
        let front = format!(r#"{{"jsonrpc":"2.0","id":7,"method":"m","params":{{"a":"{payload}"}}}}"#);
        let back = format!(
            r#"{{"params":{{"a":"{payload}","n":{{"id":8}}}},"method":"m","jsonrpc":"2.0","id":"é"}}"#
        );
        let (id, method) = ends(&oversize(&front));
        assert_eq!((id.unwrap().to_json(), method.unwrap()), ("7".to_owned(), "m".to_owned()));
        let (id, method) = ends(&oversize(&back));
        assert_eq!((id.unwrap().to_json(), method.unwrap()), ("\"é\"".to_owned(), "m".to_owned()));
        let (id, method) = ends(&oversize(&format!("{{\"a\":\"{payload}\"}}")));
        assert!(id.is_none() && method.is_none());
    }
}
