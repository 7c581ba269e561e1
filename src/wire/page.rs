//! A page of a list, read in one pass: where its parts are, what its tools declare, and a digest to compare it by.
//!
//! Lists are the longest messages that are parsed, so nothing is built from them but the names of tools.

use std::borrow::Cow;
use std::ops::Range;

use super::json::{NoJson, Text, Walk};

/// The depth down to which values are digested member by member. A deeper value is digested as its text.
const DEPTH: u32 = 64;

/// What a tool declares of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared<'t> {
    /// Its name.
    pub name: Cow<'t, str>,
    /// Whether it declares itself read-only or idempotent, and does not contradict itself.
    pub safe: bool,
    /// It has an output schema.
    pub typed: bool,
}

/// A page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPage<'t> {
    /// The JSON text of the whole result.
    pub result: &'t str,
    /// Whether the list has an entry. `None` where the result has no array under the name of the list.
    pub filled: Option<bool>,
    /// The cursor of the page after it, as JSON text. `None` for the last page.
    pub next: Option<&'t str>,
    /// Where in `result` the value of `ttlMs` is. `None` where there is none.
    pub ttl: Option<Range<usize>>,
    /// The JSON text of the server's name for itself. `None` where it does not give one.
    pub server_info: Option<&'t str>,
    /// The JSON text of `_meta`. `None` where there is none.
    pub meta: Option<&'t str>,
    /// Equal for two pages that say the same: spaces, the order of members, cursors, and what describes the answer
    /// itself (`_meta`, `ttlMs`) do not count.
    pub digest: u64,
    /// What the tools in it declare, if it is a list of tools.
    pub tools: Vec<Declared<'t>>,
}

impl<'t> ListPage<'t> {
    /// Reads the result in this line, whose list is the member `list`. `None` if the line has no result that is an object.
    pub fn in_line(line: &'t [u8], list: &str) -> Option<Self> {
        let mut page = None;
        let mut walk = Walk::new(std::str::from_utf8(line).ok()?);
        let read = walk.object(|walk, name| match name {
            b"result" if walk.peek() == b'{' => {
                page = Some(Self::read(walk, list)?);
                Ok(())
            }
            _ => walk.pass(),
        });
        page.filter(|_| read.is_ok())
    }

    /// Reads this result. `None` if it is no object.
    pub fn of_result(result: &'t str, list: &str) -> Option<Self> {
        let mut walk = Walk::new(result);
        Self::read(&mut walk, list).ok()
    }

    fn read(walk: &mut Walk<'t>, list: &str) -> Result<Self, NoJson> {
        let mut page = Self {
            result: "",
            filled: None,
            next: None,
            ttl: None,
            server_info: None,
            meta: None,
            digest: 0,
            tools: Vec::new(),
        };
        let mut digest = Members::default();
        walk.peek();
        let from = walk.place();
        walk.object(|walk, name| {
            match name {
                b"_meta" => page.meta = Some(walk.value()?.json),
                b"nextCursor" => page.next = Some(walk.value()?.json).filter(|next| *next != "null"),
                b"ttlMs" => {
                    walk.peek();
                    let at = walk.place() - from;
                    page.ttl = Some(at..at + walk.value()?.json.len());
                }
                name if name == list.as_bytes() && walk.peek() == b'[' => {
                    page.tools.clear();
                    let tools = (list == "tools").then_some(&mut page.tools);
                    let (filled, value) = read_items(walk, tools)?;
                    page.filled = Some(filled);
                    digest.add(name, value);
                }
                _ if walk.peek() == b'[' => digest.add(name, read_items(walk, None)?.1),
                b"serverInfo" => {
                    let info = walk.value()?.json;
                    page.server_info = Some(info);
                    digest.add(name, digest_of(&mut Walk::new(info), DEPTH)?);
                }
                _ => digest.add(name, digest_of(walk, DEPTH)?),
            }
            Ok(())
        })?;
        page.result = walk.since(from);
        page.digest = digest.finish();
        Ok(page)
    }
}

/// Walks over the items of the array that begins here. Returns whether there is one, and a digest, in which the `_meta`
/// of an item does not count.
fn read_items<'t>(
    walk: &mut Walk<'t>,
    mut tools: Option<&mut Vec<Declared<'t>>>,
) -> Result<(bool, u64), NoJson> {
    let mut digest = Mix::new(b'[');
    let mut filled = false;
    walk.array(|walk| {
        filled = true;
        if walk.peek() != b'{' {
            digest.add(digest_of(walk, DEPTH)?);
            return Ok(());
        }
        let (mut members, mut tool) = (Members::default(), Tool::default());
        walk.object(|walk, name| {
            match name {
                b"_meta" => return walk.pass(),
                b"name" if tools.is_some() && walk.peek() == b'"' => {
                    let text = walk.value()?;
                    tool.name = text.string();
                    members.add(name, digest_of_text(text));
                }
                b"annotations" if tools.is_some() => {
                    tool.annotated = tool.annotated.saturating_add(1);
                    let hints = walk.value()?.json;
                    tool.read_hints(hints)?;
                    members.add(name, digest_of(&mut Walk::new(hints), DEPTH)?);
                }
                b"outputSchema" => {
                    tool.typed = walk.peek() != b'n';
                    members.add(name, digest_of(walk, DEPTH)?);
                }
                _ => members.add(name, digest_of(walk, DEPTH)?),
            }
            Ok(())
        })?;
        digest.add(members.finish());
        if let (Some(tools), Some(declared)) = (&mut tools, tool.declared()) {
            tools.push(declared);
        }
        Ok(())
    })?;
    Ok((filled, digest.finish()))
}

/// What is read of a tool.
#[derive(Default)]
struct Tool<'t> {
    name: Option<Cow<'t, str>>,
    typed: bool,
    /// How many times the tool has annotations.
    annotated: u8,
    /// Whether its annotations are malformed.
    odd: bool,
    read_only: bool,
    destructive: bool,
    idempotent: bool,
}

impl<'t> Tool<'t> {
    fn read_hints(&mut self, hints: &'t str) -> Result<(), NoJson> {
        let mut walk = Walk::new(hints);
        if walk.peek() != b'{' {
            self.odd |= hints != "null";
            return Ok(());
        }
        let mut seen = [false; 3];
        walk.object(|walk, name| {
            let (hint, number) = match name {
                b"readOnlyHint" => (&mut self.read_only, 0),
                b"destructiveHint" => (&mut self.destructive, 1),
                b"idempotentHint" => (&mut self.idempotent, 2),
                _ => return walk.pass(),
            };
            self.odd |= std::mem::replace(&mut seen[number], true);
            match walk.value()?.json {
                "true" => *hint = true,
                "false" | "null" => {}
                _ => self.odd = true,
            }
            Ok(())
        })
    }

    /// A tool with malformed annotations is not safe. The other tools are not affected.
    fn declared(self) -> Option<Declared<'t>> {
        let contradiction = self.read_only && self.destructive;
        let safe = (self.read_only || self.idempotent) && !contradiction && !self.odd && self.annotated < 2;
        Some(Declared { name: self.name?, safe, typed: self.typed })
    }
}

/// A digest of the value that begins here.
fn digest_of(walk: &mut Walk<'_>, depth: u32) -> Result<u64, NoJson> {
    match walk.peek() {
        b'{' if depth > 0 => {
            let mut members = Members::default();
            walk.object(|walk, name| {
                members.add(name, digest_of(walk, depth - 1)?);
                Ok(())
            })?;
            Ok(members.finish())
        }
        b'[' if depth > 0 => {
            let mut items = Mix::new(b'[');
            walk.array(|walk| {
                items.add(digest_of(walk, depth - 1)?);
                Ok(())
            })?;
            Ok(items.finish())
        }
        _ => Ok(digest_of_text(walk.value()?)),
    }
}

/// A digest of a value that is no array and no object. It depends on the value, however that is written.
fn digest_of_text(text: Text<'_>) -> u64 {
    if let Some(string) = text.string() {
        return Mix::of(b'"', string.as_bytes());
    }
    let json = text.json;
    let fraction =
        json.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) && !json.starts_with(['{', '[', '"']);
    match json.parse::<f64>() {
        Ok(number) if fraction => Mix::of(b'.', &number.to_bits().to_le_bytes()),
        _ => Mix::of(b'0', json.as_bytes()),
    }
}

/// A digest of members, whatever their order.
#[derive(Debug, Default)]
struct Members {
    sum: u64,
    count: u64,
}

impl Members {
    fn add(&mut self, name: &[u8], value: u64) {
        let mut member = Mix::new(b':');
        member.add(Mix::of(b'"', name));
        member.add(value);
        self.sum = self.sum.wrapping_add(member.finish());
        self.count += 1;
    }

    fn finish(&self) -> u64 {
        let mut members = Mix::new(b'{');
        members.add(self.sum);
        members.add(self.count);
        members.finish()
    }
}

/// A fixed hash of words of eight bytes. It need not resist attacks: a server that makes two lists look the same
/// deceives only its own host.
#[derive(Debug)]
struct Mix(u64);

impl Mix {
    fn new(kind: u8) -> Self {
        Self(u64::from(kind).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn of(kind: u8, bytes: &[u8]) -> u64 {
        let mut mix = Self::new(kind);
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            mix.add(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        mix.add(u64::from_le_bytes(last));
        mix.add(bytes.len() as u64);
        mix.finish()
    }

    fn add(&mut self, word: u64) {
        let mixed = (self.0 ^ word).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        self.0 = (mixed ^ mixed >> 29).rotate_left(23);
    }

    fn finish(&self) -> u64 {
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::{Declared, ListPage};

    /// Small values of few names and words, so that two of them are often alike.
    fn values() -> impl Strategy<Value = Value> {
        let word = prop::sample::select(vec!["", "a", "b", "\u{e9}\"\\", "12345678"]);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-1..2_i64).prop_map(Value::from),
            word.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            let name = prop::sample::select(vec!["a", "_meta", "tools", "ttlMs", "\n"]);
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::vec((name, inner), 0..3).prop_map(|members| {
                    Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
                }),
            ]
        })
    }

    fn results() -> impl Strategy<Value = Map<String, Value>> {
        let name = prop::sample::select(vec!["tools", "_meta", "ttlMs", "nextCursor", "more"]);
        prop::collection::vec((name, values()), 0..3)
            .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// A result without what does not count.
    fn counting(mut result: Map<String, Value>) -> Map<String, Value> {
        for name in ["_meta", "ttlMs", "nextCursor"] {
            result.remove(name);
        }
        for item in result.values_mut().filter_map(Value::as_array_mut).flatten() {
            item.as_object_mut().map(|item| item.remove("_meta"));
        }
        result
    }

    proptest! {
        /// Two pages have the same digest exactly if they say the same, however they are written.
        #[test]
        fn a_digest_is_of_what_a_page_says(one in results(), other in results()) {
            let pretty = serde_json::to_string_pretty(&one).unwrap();
            let plain = Value::Object(other.clone()).to_string();
            let same = page(&pretty).digest == page(&plain).digest;
            prop_assert_eq!(same, counting(one) == counting(other));
            prop_assert_eq!(page(&plain).result, &plain);
        }
    }

    fn page(result: &str) -> ListPage<'_> {
        ListPage::of_result(result, "tools").unwrap()
    }

    #[test]
    fn the_parts_of_a_page_are_found_in_its_line() {
        let line = r#" { "id":1, "result" : {"nextCursor": "p" ,"tools":[ {} ],"ttlMs":  50, "_meta":{"a":1},"serverInfo":{"name":"s"}} ,"jsonrpc":"2.0"}"#;
        let page = ListPage::in_line(line.as_bytes(), "tools").unwrap();
        assert!(page.result.starts_with("{\"nextCursor\"") && page.result.ends_with("\"s\"}}"));
        assert_eq!((page.filled, page.next), (Some(true), Some("\"p\"")));
        assert_eq!(page.ttl.map(|at| &page.result[at]), Some("50"));
        assert_eq!((page.meta, page.server_info), (Some("{\"a\":1}"), Some("{\"name\":\"s\"}")));
        assert!(ListPage::in_line(br#"{"id":1,"error":{}}"#, "tools").is_none());
        assert!(ListPage::in_line(br#"{"id":1,"result":[]}"#, "tools").is_none());
    }

    #[test]
    fn an_empty_list_is_none_without_entries_and_no_list_is_none() {
        for (result, filled) in [
            (r#"{"tools":[ ]}"#, Some(false)),
            (r#"{"tools":[null]}"#, Some(true)),
            (r#"{"tools":{}}"#, None),
            (r#"{"prompts":[1]}"#, None),
        ] {
            assert_eq!(page(result).filled, filled, "{result}");
        }
    }

    #[test]
    fn a_tool_is_safe_only_if_it_says_so_and_nothing_else() {
        for (members, safe, typed) in [
            (r#""annotations":{"readOnlyHint":true}"#, true, false),
            (r#""annotations":{"idempotentHint":true,"destructiveHint":true}"#, true, false),
            (r#""annotations":{"readOnlyHint":true,"destructiveHint":true}"#, false, false),
            (
                r#""annotations":{"idempotentHint":true,"readOnlyHint":true,"destructiveHint":true}"#,
                false,
                false,
            ),
            (r#""annotations":{"readOnlyHint":"true"}"#, false, false),
            (r#""annotations":{"readOnlyHint":true,"destructiveHint":1}"#, false, false),
            (r#""annotations":{"readOnlyHint":false,"readOnlyHint":true}"#, false, false),
            (r#""annotations":{"readOnlyHint":true},"annotations":{}"#, false, false),
            (r#""annotations":{"\u0072eadOnlyHint":true,"title":"t"},"outputSchema":{}"#, true, true),
            (r#""annotations":null,"outputSchema":null"#, false, false),
            (r#""annotations":[true]"#, false, false),
        ] {
            let result = format!("{{\"tools\":[7,{{\"title\":\"x\"}},{{\"name\":\"\\u0061\",{members}}}]}}");
            let expected = [Declared { name: "a".into(), safe, typed }];
            assert_eq!(page(&result).tools, expected, "{members}");
        }
    }

    #[test]
    fn what_may_differ_between_two_same_answers_does_not_matter() {
        let one = r#"{"tools":[{"name":"a","x":[1.50,{"a":1,"b":"\u00e9"}],"_meta":{"x":1}}],"ttlMs":5,"nextCursor":"p","_meta":{"y":2}}"#;
        let same = "{ \"_meta\":{\"y\":3},\"tools\":[ {\"x\":[15e-1,{\"b\":\"\u{e9}\", \"a\":1}],\"_meta\":{},\"name\":\"a\"}] }";
        assert_eq!(page(one).digest, page(same).digest);
    }

    #[test]
    fn all_else_matters() {
        let all = [
            r#"{"tools":[{"name":"a"}]}"#,
            r#"{"tools":[{"name":"b"}]}"#,
            r#"{"tools":[{"name":"a","description":"new"}]}"#,
            r#"{"tools":[{"name":"a","description":""}]}"#,
            r#"{"tools":[{"name":"a","description":null}]}"#,
            r#"{"tools":[{"name":"a","description":"null"}]}"#,
            r#"{"tools":[{"a":"name"}]}"#,
            r#"{"tools":[{"name":"a"},{"name":"a"}]}"#,
            r#"{"tools":["name","a"]}"#,
            r#"{"tools":["a","name"]}"#,
            r#"{"tools":[["name"],"a"]}"#,
            r#"{"tools":[]}"#,
            r#"{"tools":{}}"#,
            "{}",
            r#"{"tools":[1]}"#,
            r#"{"tools":[1.0]}"#,
            r#"{"tools":[1.5]}"#,
            r#"{"tools":[true]}"#,
            r#"{"tools":[{"a":{"_meta":1}}]}"#,
            r#"{"tools":[{"a":{"_meta":2}}]}"#,
            r#"{"tools":[{"x":"12345678"}]}"#,
            r#"{"tools":[{"x":"12345678\u0000"}]}"#,
        ];
        for (number, one) in all.iter().enumerate() {
            for other in &all[number + 1..] {
                assert_ne!(page(one).digest, page(other).digest, "{one} and {other}");
            }
        }
    }

    #[test]
    fn nesting_has_no_bound() {
        let deep = |inner: &str| format!("{{\"tools\":[{}{inner}{}]}}", "[".repeat(5000), "]".repeat(5000));
        assert_eq!(page(&deep("1")).digest, page(&deep("1")).digest);
        assert_ne!(page(&deep("1")).digest, page(&deep("2")).digest);
    }
}
