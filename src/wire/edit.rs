//! Edits in place: one value of a message replaced, every other byte kept. And the splice, which makes the ids that
//! different children choose distinct for a host that believes in one server.

use std::fmt;

use bytes::{Bytes, BytesMut};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::id::Id;

/// The JSON text of the value at this path of member names. `None` if there is none or `json` is not valid.
pub fn find<'a>(json: &'a str, path: &[&str]) -> Option<&'a str> {
    let json = json.trim_matches([' ', '\t', '\r', '\n']);
    let Some((name, rest)) = path.split_first() else { return Some(json) };
    if !json.starts_with('{') {
        return None;
    }
    let raw = MemberSeed(name).deserialize(&mut serde_json::Deserializer::from_str(json)).ok()??;
    find(raw.get(), rest)
}

/// [`find`] in bytes that may not be UTF-8.
pub fn find_in<'a>(line: &'a [u8], path: &[&str]) -> Option<&'a str> {
    find(std::str::from_utf8(line).ok()?, path)
}

/// The line with the value at this path replaced by another JSON text; the line itself if there is no such value.
pub fn replace(line: &Bytes, path: &[&str], with: &str) -> Bytes {
    let Some(value) = find_in(line, path) else { return line.clone() };
    let start = value.as_ptr() as usize - line.as_ptr() as usize;
    let mut edited = BytesMut::with_capacity(line.len() - value.len() + with.len());
    edited.extend_from_slice(&line[..start]);
    edited.extend_from_slice(with.as_bytes());
    edited.extend_from_slice(&line[start + value.len()..]);
    edited.freeze()
}

/// The id by which the host knows what the server called `id`: unique over the generations, for a server starts at 0
/// again in each new process, and a host must never see an id twice.
pub fn splice(generation: u32, id: &Id) -> Id {
    Id::text(&format!("mcp-supervise:g{generation}:{id}"))
}

/// The generation and the server's own id in an id that [`splice`] made. `None` for any other id.
pub fn unsplice(id: &Id) -> Option<(u32, Id)> {
    let (generation, id) = id.as_text()?.strip_prefix("mcp-supervise:g")?.split_once(':')?;
    Some((generation.parse().ok()?, Id::from_json(id)?))
}

struct MemberSeed<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for MemberSeed<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MemberSeed<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(matches) = map.next_key_seed(IsName(self.0))? {
            if matches {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

struct IsName<'n>(&'n str);

impl<'de> DeserializeSeed<'de> for IsName<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsName<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{find, replace, splice, unsplice};
    use crate::wire::Id;

    const LINE: &str = "{ \"a\" : 1e0 ,\"params\":{\"\\u0069d\": 7,\"_meta\":{\"t\":\"x\"}},  \"id\":\t12345678901234567890 }\n";

    #[test]
    fn a_value_is_found_and_replaced_and_nothing_else_moves() {
        assert_eq!(find(LINE, &["id"]), Some("12345678901234567890"));
        assert_eq!(find(LINE, &["params", "_meta", "t"]), Some("\"x\""));
        assert_eq!(find(LINE, &["params", "id"]), Some("7"));
        assert_eq!(find(LINE, &["a", "b"]), None);
        let edited = replace(&Bytes::from_static(LINE.as_bytes()), &["params", "_meta", "t"], "0");
        assert_eq!(edited, LINE.replace("\"x\"", "0").as_bytes());
        let untouched = replace(&Bytes::from_static(LINE.as_bytes()), &["nothing"], "0");
        assert_eq!(untouched, LINE.as_bytes());
    }

    #[test]
    fn a_spliced_id_comes_back_as_it_was() {
        for raw in ["0", "\"0\"", "-1", "1.0", "\"a:b\\\"c\"", "99999999999999999999"] {
            let id = Id::from_json(raw).unwrap();
            let (generation, back) = unsplice(&splice(7, &id)).unwrap();
            assert_eq!((generation, back.to_json()), (7, raw.to_owned()));
        }
        assert!(unsplice(&Id::text("mcp-supervise:3:initialize")).is_none());
        assert!(unsplice(&Id::text("0")).is_none());
    }
}
