//! Laws of the wire, by proptest: what holds for any bytes and any JSON.

use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;
use tokio_util::codec::Decoder;

use super::{
    ENDS, Frame, Id, Line, LineCodec, Message, Oversize, Parsed, edit, mend, peek, remains, salvage,
};

/// All lines of these reads, and the most that the codec held at once.
fn lines(max_line: usize, reads: &[&[u8]]) -> (Vec<Line>, usize) {
    let mut codec = LineCodec::new(max_line);
    let mut buffer = BytesMut::new();
    let mut lines = Vec::new();
    let mut held = 0;
    for read in reads {
        buffer.extend_from_slice(read);
        while let Some(line) = codec.decode(&mut buffer).unwrap() {
            lines.push(line);
        }
        held = held.max(buffer.len());
    }
    while let Some(line) = codec.decode_eof(&mut buffer).unwrap() {
        lines.push(line);
    }
    (lines, held)
}

/// Bytes with many line feeds and the beginnings of JSON.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        vec(any::<u8>(), 0..40),
        "[ \t\r]{0,3}[{\\[]?[a-z\"{}]{0,60}".prop_map(String::into_bytes),
        Just(b"\n".to_vec()),
        Just(b"\r\n".to_vec()),
        Just("\u{feff}".as_bytes().to_vec()),
        (0_usize..3 * ENDS).prop_map(|len| vec![b'x'; len]),
    ];
    vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn cut<'s>(stream: &'s [u8], cuts: &[prop::sample::Index]) -> Vec<&'s [u8]> {
    let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
    at.extend([0, stream.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

/// Any JSON text, as others would write it: spaces, escapes, exponents, big numbers, members twice.
fn json(depth: u32) -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        prop::sample::select(vec!["0", "-0", "1.0", "1e1", "1.5", "12345678901234567890123", "1E-7"])
            .prop_map(str::to_owned),
        "[a-z{}\\[\\],:]{0,8}".prop_map(|text| format!("\"{text}\"")),
        prop::sample::select(vec!["\"\\u0041\"", "\"\\\\\"", "\"\\\"id\\\":7\"", "\"\u{e9}\""])
            .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(depth, 32, 4, |inner| {
        let name = prop_oneof![
            3 => prop::sample::select(vec![
                "jsonrpc", "id", "method", "params", "result", "error", "name", "task", "requestId", "progressToken",
                "progress", "_meta", "i\\u0064",
            ]).prop_map(str::to_owned),
            1 => "[a-z]{0,3}",
        ];
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(" , "))),
            vec((name, inner), 0..5).prop_map(|members| {
                let members: Vec<String> =
                    members.into_iter().map(|(name, value)| format!("\"{name}\" :{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// The text of an object that is about a message: the known members, mostly well, in any order.
fn message() -> impl Strategy<Value = String> {
    let member = prop_oneof![
        4 => Just("\"jsonrpc\":\"2.0\"".to_owned()),
        4 => prop::sample::select(vec!["7", "\"7\"", "0", "1e1", "1.5", "null", "12345678901234567890123", "\"\\u0061\""])
            .prop_map(|id| format!("\"id\": {id}")),
        3 => prop::sample::select(vec!["\"ping\"", "\"tools\\/call\"", "\"notifications\\/x\"", "5"]).prop_map(|method| format!("\"method\":{method}")),
        2 => json(4).prop_map(|value| format!("\"params\":{value}")),
        2 => json(3).prop_map(|value| format!("\"result\" : {value}")),
        1 => json(3).prop_map(|value| format!("\"error\":{value}")),
        2 => ("[a-z]{1,4}", json(3)).prop_map(|(name, value)| format!("\"{name}\":{value}")),
    ];
    vec(member, 0..7).prop_map(|members| format!("{{{}}}", members.join(" ,\t")))
}

/// What the peek should say, by a reader that parses everything. `None`: it is no message. Members that occur twice are
/// not for this reader: it keeps the last.
fn by_value(text: &str) -> Option<Message> {
    let value: Value = serde_json::from_str(text).ok()?;
    let object = value.as_object()?;
    if object.get("jsonrpc")? != "2.0" {
        return None;
    }
    let id = match object.get("id") {
        // The exact digits of a big number are only in the text.
        Some(Value::Number(_)) => Some(Id::from_json(edit::find(text, &["id"])?)),
        Some(Value::String(id)) => Some(Some(Id::text(id))),
        Some(Value::Null) if named_notification(object) => None,
        Some(_) => Some(None),
        None => None,
    };
    let null_id = object.get("id").is_some_and(Value::is_null);
    let params = super::Params {
        name: object.get("params").and_then(|params| params["name"].as_str()).map(Into::into),
        task: object.get("params").is_some_and(|params| !params["task"].is_null()),
        request_id: scalar(text, &["params", "requestId"]),
        progress_token: scalar(text, &["params", "progressToken"]),
        meta_progress_token: scalar(text, &["params", "_meta", "progressToken"]),
        progress: edit::find(text, &["params", "progress"]).map(Into::into),
        enveloped: object
            .get("params")
            .is_some_and(|params| params["_meta"][super::ENVELOPE_VERSION].is_string()),
    };
    let part = |name| object.get(name).map(Value::is_null);
    let is_error = match (part("result"), part("error")) {
        (None, None) => None,
        (Some(false), Some(false)) => return None,
        (None, Some(_)) | (Some(true), Some(false)) => Some(true),
        (Some(_), _) => Some(false),
    };
    match (object.get("method").filter(|it| is_error.is_none() || !it.is_null()), is_error, id) {
        (Some(method), None, id) => {
            let method = method.as_str()?.into();
            Some(match id {
                Some(id) => Message::Request(super::Request { id: id?, method, params }),
                None => Message::Notification(super::Notification { method, params, null_id }),
            })
        }
        (None, Some(is_error), Some(id)) => {
            Some(Message::Response(super::Response { has_odd_id: id.is_none(), id, is_error }))
        }
        (None, Some(true), None) => {
            Some(Message::Response(super::Response { id: None, has_odd_id: false, is_error: true }))
        }
        _ => None,
    }
}

fn named_notification(object: &serde_json::Map<String, Value>) -> bool {
    object.get("method").and_then(Value::as_str).is_some_and(|method| method.starts_with("notifications/"))
}

fn scalar(text: &str, path: &[&str]) -> Option<Id> {
    Id::from_json(edit::find(text, path)?)
}

fn any_id() -> impl Strategy<Value = Id> {
    let raw = prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        "-?[1-9][0-9]{18,30}",
        prop::sample::select(vec!["0", "-0", "1.0", "1e3", "\"\\u0030\"", "\"mcp-supervise:g2:0\"", "\":\""])
            .prop_map(str::to_owned),
        any::<String>().prop_map(|text| Value::from(text).to_string()),
    ];
    raw.prop_map(|raw| Id::from_json(&raw).unwrap())
}

proptest! {
    #[test]
    fn lines_do_not_depend_on_how_the_stream_was_cut(
        stream in stream(), cuts in vec(any::<prop::sample::Index>(), 0..12), max_line in 0_usize..2 * ENDS
    ) {
        let (whole, _) = lines(max_line, &[&stream]);
        let reads = cut(&stream, &cuts);
        let (split, held) = lines(max_line, &reads);
        prop_assert_eq!(&split, &whole);
        let longest = reads.iter().map(|read| read.len()).max().unwrap_or(0);
        prop_assert!(held <= max_line.max(longest), "{} bytes held, {}", held, max_line);
    }

    #[test]
    fn no_byte_of_a_stream_is_lost(stream in stream(), max_line in 0_usize..2 * ENDS) {
        let (lines, _) = lines(max_line, &[&stream]);
        let mut at = 0;
        for line in &lines {
            let rest = &stream[at..];
            let len = match line {
                Line::Whole(bytes) => {
                    prop_assert!(bytes.ends_with(b"\n") && bytes.len() <= max_line + 1);
                    let content = &bytes[..bytes.len() - 1];
                    prop_assert!(rest.starts_with(content));
                    content.len()
                }
                Line::Oversize(line) => {
                    let len = usize::try_from(line.len).unwrap();
                    prop_assert!(len > max_line && rest.len() >= len);
                    prop_assert_eq!(&line.head[..], &rest[..len.min(ENDS)]);
                    prop_assert_eq!(&line.tail[..], &rest[len.saturating_sub(ENDS)..len]);
                    len
                }
            };
            at += len;
            if at < stream.len() {
                prop_assert_eq!(stream[at], b'\n');
                at += 1;
            }
        }
        prop_assert_eq!(at, stream.len());
    }

    #[test]
    fn the_peek_agrees_with_a_reader_that_parses_everything(text in prop_oneof![message(), json(6)]) {
        let peeked = peek(&text);
        let twice = has_member_twice(&text);
        if !twice {
            prop_assert_eq!(peeked.ok(), by_value(&text));
        } else if let Ok(message) = peeked {
            // Only what does not matter occurs twice, or something inside the parameters.
            prop_assert_eq!(std::mem::discriminant(&message), std::mem::discriminant(&by_value(&text).unwrap()));
        }
    }

    #[test]
    fn the_peek_gets_over_depth(depth in 0_usize..100) {
        let nested = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let value = if depth == 0 { "1" } else { &*nested };
        for member in ["params", "result", "x"] {
            let text = format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"{member}\":{value},\"{}\":\"m\"}}",
                if member == "result" { "y" } else { "method" });
            prop_assert!(peek(&text).is_ok(), "{}", text);
        }
    }

    #[test]
    fn nothing_panics_on_any_bytes(bytes in prop_oneof![vec(any::<u8>(), 0..200), "[\\[\\]{}\":,0-9a-z\\\\ ]{0,200}".prop_map(String::into_bytes)]) {
        let frame = Frame::read(Bytes::from(bytes.clone()));
        if let Parsed::Batch(elements) = &frame.parsed {
            prop_assert!(elements.iter().all(|element| frame.bytes.get(element.range.clone()).is_some()));
        }
        salvage(&frame.bytes, true);
        mend(&frame.bytes);
        let head = Bytes::copy_from_slice(&bytes[..bytes.len().min(ENDS)]);
        remains(&Oversize { head: head.clone(), tail: head, len: bytes.len() as u64 });
        edit::find_in(&bytes, &["params", "id"]);
    }

    #[test]
    fn a_batch_gives_each_of_its_elements(elements in vec(json(3), 1..6)) {
        let line = format!(" [{}]\r\n", elements.join(" ,"));
        let frame = Frame::read(Bytes::from(line));
        let Parsed::Batch(found) = &frame.parsed else { panic!("{:?}", frame.parsed) };
        let found: Vec<&[u8]> = found.iter().map(|element| &frame.bytes[element.range.clone()]).collect();
        prop_assert_eq!(found, elements.iter().map(String::as_bytes).collect::<Vec<_>>());
    }

    #[test]
    fn a_splice_is_taken_out_again(generation: u32, id in any_id()) {
        let spliced = edit::splice(generation, &id);
        prop_assert_ne!(&spliced, &id);
        let (back_to, back) = edit::unsplice(&spliced).unwrap();
        prop_assert_eq!((back_to, back.to_json()), (generation, id.to_json()));
        // It is written and read again as the host does.
        prop_assert_eq!(Id::from_json(&spliced.to_json()).unwrap(), spliced);
    }

    #[test]
    fn splices_are_distinct(one in (any::<u32>(), any_id()), other in (any::<u32>(), any_id())) {
        let same = one.0 == other.0 && one.1.to_json() == other.1.to_json();
        prop_assert_eq!(edit::splice(one.0, &one.1) == edit::splice(other.0, &other.1), same);
    }

    #[test]
    fn an_edit_changes_one_value_and_nothing_else(before in json(2), value in json(3), after in json(2), with in json(2)) {
        let (front, back) = (format!("{{\"a\":{before} , \"p\": {{\"x\":1,\"v\":\t"), format!(" ,\"y\":2}},\"z\":{after}}}\r\n"));
        let line = Bytes::from(format!("{front}{value}{back}"));
        prop_assert_eq!(edit::find_in(&line, &["p", "v"]), Some(&*value));
        let edited = edit::replace(&line, &["p", "v"], &with);
        prop_assert_eq!(edited, format!("{front}{with}{back}"));
        let untouched = edit::replace(&line, &["p", "w"], &with);
        prop_assert_eq!(untouched, line);
    }

    #[test]
    fn a_message_behind_noise_is_found(
        noise in "[^\n]{0,300}", tail in "[ \t\r]{0,3}", more in "[^{} \t\r\n][^{}]{0,40}", message in message()
    ) {
        let Ok(expected) = peek(&message) else { return Ok(()) };
        let line = Bytes::from(format!("{noise}{message}{tail}"));
        let found = salvage(&line, false).pop().expect("it ends the line");
        prop_assert_eq!(&found.message, &expected);
        prop_assert_eq!((&line[found.range.clone()], &found.bytes[..]), (message.as_bytes(), message.as_bytes()));
        let quoted = Bytes::from(format!("{noise}{message}{more}"));
        prop_assert!(salvage(&quoted, false).is_empty(), "what follows makes it a quotation");
    }

    #[test]
    fn what_is_mended_is_json_and_what_is_json_is_let_be(text in json(4), place in any::<prop::sample::Index>()) {
        prop_assert!(mend(&Bytes::from(text.clone())).is_none(), "there is nothing to mend");
        let values: Vec<usize> = text.match_indices("null").map(|(at, _)| at).collect();
        prop_assume!(!values.is_empty() && text.starts_with(['{', '[']));
        let at = values[place.index(values.len())];
        let broken = format!("{}NaN{}", &text[..at], &text[at + 4..]);
        let mended = mend(&Bytes::from(broken)).expect("it is JSON but for that");
        prop_assert_eq!((&mended.frame.bytes[..], mended.numbers), (text.as_bytes(), 1));
    }

    #[test]
    fn an_id_is_found_at_either_end_of_a_line_without_end(id in any_id(), payload in "[a-z{}\\[\\],: ]{0,50}", times in 200_usize..400) {
        prop_assume!(id.to_json().len() < 200);
        let payload = payload.repeat(times);
        let front = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"a\":\"{payload}\"}}}}");
        let back = format!("{{\"result\":{{\"a\":\"{payload}\",\"id\":0}},\"jsonrpc\":\"2.0\",\"id\":{id}}}");
        for line in [front, back] {
            let line = line.as_bytes();
            let oversize = Oversize {
                head: Bytes::copy_from_slice(&line[..line.len().min(ENDS)]),
                tail: Bytes::copy_from_slice(&line[line.len().saturating_sub(ENDS)..]),
                len: line.len() as u64,
            };
            prop_assert_eq!(remains(&oversize).id.map(|found| found.to_json()), Some(id.to_json()));
        }
    }
}

/// Whether an object in this text has a member twice, its name unescaped.
fn has_member_twice(text: &str) -> bool {
    struct Names(bool);
    impl<'de> serde::de::DeserializeSeed<'de> for &mut Names {
        type Value = ();
        fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_any(self)
        }
    }
    impl<'de> serde::de::Visitor<'de> for &mut Names {
        type Value = ();
        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("JSON")
        }
        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
            let mut seen = std::collections::BTreeSet::new();
            while let Some(name) = map.next_key::<String>()? {
                self.0 |= !seen.insert(name);
                map.next_value_seed(&mut *self)?;
            }
            Ok(())
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
            while seq.next_element_seed(&mut *self)?.is_some() {}
            Ok(())
        }
        fn visit_bool<E>(self, _: bool) -> Result<(), E> {
            Ok(())
        }
        fn visit_i64<E>(self, _: i64) -> Result<(), E> {
            Ok(())
        }
        fn visit_u64<E>(self, _: u64) -> Result<(), E> {
            Ok(())
        }
        fn visit_f64<E>(self, _: f64) -> Result<(), E> {
            Ok(())
        }
        fn visit_str<E>(self, _: &str) -> Result<(), E> {
            Ok(())
        }
        fn visit_unit<E>(self) -> Result<(), E> {
            Ok(())
        }
    }
    let mut names = Names(false);
    let _ =
        serde::de::DeserializeSeed::deserialize(&mut names, &mut serde_json::Deserializer::from_str(text));
    names.0
}
