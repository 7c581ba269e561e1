//! Lines that no host reads, and the messages that they were meant to be. Pure.
//!
//! A server that writes every message in a wrong form would get a finding for each question. Here the form is recognised
//! and the message restored, so that the form is found once and by its own name.

use std::sync::LazyLock;

use bytes::Bytes;
use regex_lite::Regex;
use serde_json::Value;

use super::seen::Form;
use crate::wire::{Frame, Malformed, Parsed, mend};

/// The most that is held of a message over several lines, in bytes.
const MOST_HELD: usize = 4 * 1024 * 1024;

/// What a line that is no message was meant to be: its form, and the message. `None` for what cannot be told.
pub(super) fn meant(line: &Bytes) -> Option<(Form, Bytes)> {
    if let Ok(value) = serde_json::from_slice::<Value>(line) {
        return restored(value);
    }
    let mended = mend(line)?;
    let is_message = matches!(mended.frame.parsed, Parsed::One(_));
    let form = if mended.numbers > 0 { Form::Numbers } else { Form::Encoding };
    is_message.then_some((form, mended.frame.bytes))
}

/// An answer with a result and an error, or without a version.
fn restored(mut value: Value) -> Option<(Form, Bytes)> {
    let members = value.as_object_mut()?;
    let is_answer = members.contains_key("result") || members.get("error").is_some_and(Value::is_object);
    if !is_answer || !members.get("id").is_some_and(|id| id.is_string() || id.is_i64() || id.is_u64()) {
        return None;
    }
    let form = if members.get("jsonrpc").is_none_or(|version| version != "2.0") {
        members.insert("jsonrpc".to_owned(), "2.0".into());
        Form::Version
    } else if members.contains_key("result") && members.contains_key("error") {
        Form::Both
    } else {
        return None;
    };
    if members.contains_key("result") {
        members.remove("error");
    }
    let bytes = Bytes::from(format!("{value}\n"));
    matches!(Frame::read(bytes.clone()).parsed, Parsed::One(_)).then_some((form, bytes))
}

/// The text of a line in UTF-16, of either byte order, with a line feed. `None` if it is not in UTF-16. A codec of lines
/// cuts such text within the line feed, so one byte of zero too many can be at either end. Which order it is cannot be told
/// from such a line where all else is Latin-1, and what is not may be read wrongly: that is enough to know the message.
pub(super) fn from_utf16(line: &[u8]) -> Option<String> {
    let zeros = memchr::memchr_iter(0, line).count();
    if line.len() < 4 || zeros * 4 < line.len() {
        return None;
    }
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let odd = line.len() % 2 == 1;
    let little = if odd { line.strip_prefix(&[0]) } else { Some(line) };
    let big = if odd { line.strip_suffix(&[0]) } else { Some(line) };
    let read = |bytes: Option<&[u8]>, unit: fn([u8; 2]) -> u16| {
        let units = bytes?.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
        let text = String::from_utf16(&units.collect::<Vec<_>>()).ok()?;
        // In the wrong order plain text becomes characters of other scripts.
        let plain = text.chars().filter(char::is_ascii).count();
        (plain * 2 > text.chars().count() && !text.contains('\0')).then_some(text)
    };
    let text = read(little, u16::from_le_bytes).or_else(|| read(big, u16::from_be_bytes))?;
    Some(format!("{}\n", text.trim_start_matches('\u{feff}').trim_end_matches('\r')))
}

/// What stands before the header of a frame, as language servers write it, in a line that ends with one. `None` if the line
/// has no such header.
pub(super) fn before_header(line: &[u8]) -> Option<&[u8]> {
    static HEADER: LazyLock<Result<Regex, regex_lite::Error>> =
        LazyLock::new(|| Regex::new(r"(?i)content-(?:length:[ \t]*\d+|type:[^{}]*)[ \t]*\r?\n?$"));
    let text = std::str::from_utf8(line).ok()?;
    let header = HEADER.as_ref().ok()?.find(text)?;
    let before = &line[..header.start()];
    (before.is_empty() || before.ends_with(b"}") || before.ends_with(b"]")).then_some(before)
}

/// What a line is to a message over several lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// It belongs to one that is not complete.
    Held,
    /// It completes this one.
    Whole(Bytes),
    /// It belongs to none.
    Other,
}

/// The lines so far of a message over several lines.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    text: Vec<u8>,
    depth: usize,
    in_string: bool,
}

impl Pieces {
    /// Takes in a line that is no message by itself. [`Piece::Other`] says that what was held is no message either, and is
    /// forgotten.
    pub(super) fn take(&mut self, line: &[u8]) -> Piece {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let starts = line.trim_ascii_start().first().is_some_and(|byte| matches!(byte, b'{' | b'['));
        let is_first = self.text.is_empty();
        if is_first && !starts || self.text.len() + line.len() > MOST_HELD || !self.scan(line) {
            self.forget();
            return Piece::Other;
        }
        self.text.extend_from_slice(line);
        if self.depth > 0 {
            // A line feed within a text was meant as one.
            self.text.extend_from_slice(if self.in_string { b"\\n" } else { b"\n" });
            return Piece::Held;
        }
        let mut text = std::mem::take(&mut self.text);
        self.forget();
        text.push(b'\n');
        let whole = one_line(&text);
        match whole {
            Some(whole) if !is_first => Piece::Whole(whole),
            Some(_) | None => Piece::Other,
        }
    }

    /// Forgets what is held.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Follows the brackets. `false` if they are none of one value.
    fn scan(&mut self, line: &[u8]) -> bool {
        let mut bytes = line.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' if self.in_string && bytes.as_slice().is_empty() => return false,
                b'\\' if self.in_string => drop(bytes.next()),
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    let Some(depth) = self.depth.checked_sub(1) else { return false };
                    self.depth = depth;
                    if depth == 0 {
                        return bytes.as_slice().trim_ascii().is_empty();
                    }
                }
                _ => {}
            }
        }
        true
    }
}

/// The message in this text. `None` if it is none.
fn one_line(text: &[u8]) -> Option<Bytes> {
    let frame = Frame::read(Bytes::copy_from_slice(text));
    match frame.parsed {
        Parsed::One(_) => Some(frame.bytes),
        Parsed::Malformed(Malformed::NotJsonRpc) => meant(&frame.bytes).map(|(_, bytes)| bytes),
        Parsed::Batch(_) | Parsed::Malformed(Malformed::NotJson) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(line: &str) -> Option<(Form, String)> {
        let (form, bytes) = meant(&Bytes::copy_from_slice(line.as_bytes()))?;
        Some((form, String::from_utf8(bytes.to_vec()).unwrap()))
    }

    #[test]
    fn answers_in_a_wrong_form_are_restored() {
        let (what, bytes) =
            form(r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"a"}}"#).unwrap();
        assert_eq!(what, Form::Both);
        assert!(!bytes.contains("error"), "{bytes}");
        assert_eq!(form(r#"{"id":1,"result":{}}"#).unwrap().0, Form::Version);
        assert_eq!(form(r#"{"jsonrpc":2.0,"id":"a","result":{}}"#).unwrap().0, Form::Version);
        assert_eq!(form(r#"{"jsonrpc":"2.0","id":1,"result":{"a":NaN}}"#).unwrap().0, Form::Numbers);
        let latin = Bytes::from_static(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"a\":\"caf\xe9\"}}\n");
        assert_eq!(meant(&latin).unwrap().0, Form::Encoding);
        // What servers log is no answer.
        for log in [
            r#"{"level":30,"msg":"a"}"#,
            r#"{"id":1,"error":"disk"}"#,
            r#"{"result":{}}"#,
            "caf\u{e9}",
            "NaN",
        ] {
            assert_eq!(form(log), None, "{log}");
        }
        assert_eq!(meant(&Bytes::from_static(b"caf\xe9 \xff\n")), None);
    }

    #[test]
    fn utf16_is_read_in_either_order_and_however_it_was_cut() {
        let line = "{\"a\":\"\u{e9}\"}\r\n{\"b\":1}\n";
        for (order, bom) in [(true, true), (true, false), (false, true), (false, false)] {
            let text = if bom { format!("\u{feff}{line}") } else { line.to_owned() };
            let bytes: Vec<u8> = text
                .encode_utf16()
                .flat_map(|unit| if order { unit.to_le_bytes() } else { unit.to_be_bytes() })
                .collect();
            let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
            assert_eq!(from_utf16(lines[0]).as_deref(), Some("{\"a\":\"\u{e9}\"}\n"), "{order} {bom}");
            assert_eq!(from_utf16(lines[1]).as_deref(), Some("{\"b\":1}\n"), "{order} {bom}");
        }
        assert_eq!(from_utf16(b"{\"a\":1}\n"), None);
        assert_eq!(from_utf16(&[0; 64]), None);
    }

    #[test]
    fn headers_of_frames_are_known_alone_and_behind_a_message() {
        assert_eq!(before_header(b"Content-Length: 52\r\n"), Some(&b""[..]));
        assert_eq!(before_header(b"{\"a\":1}content-length:52\r\n"), Some(&b"{\"a\":1}"[..]));
        assert_eq!(
            before_header(b"Content-Type: application/vscode-jsonrpc; charset=utf-8\r\n"),
            Some(&b""[..])
        );
        assert_eq!(before_header(b"the Content-Length: 52 was wrong\n"), None);
        assert_eq!(before_header(b"sent Content-Length: 52\n"), None);
    }

    #[test]
    fn a_message_over_several_lines_is_put_together() {
        let mut pieces = Pieces::default();
        let mut take = |line: &str| pieces.take(line.as_bytes());
        assert_eq!(take("{\n"), Piece::Held);
        assert_eq!(take("  \"jsonrpc\": \"2.0\", \"id\": 1,\r\n"), Piece::Held);
        assert_eq!(take("  \"result\": {\"a\": \"}\\\"{\", \"b\": \"one\n"), Piece::Held);
        assert_eq!(take("two\"}\n"), Piece::Held);
        let Piece::Whole(whole) = take("}\n") else { panic!("it is complete") };
        let value: Value = serde_json::from_slice(&whole).unwrap();
        assert_eq!(value["result"]["b"], "one\ntwo");
        // What is none.
        assert_eq!(take("{\"level\":30}\n"), Piece::Other);
        assert_eq!(take("a line of text\n"), Piece::Other);
        assert_eq!(take("{ starting\n"), Piece::Held);
        assert_eq!(take("} done\n"), Piece::Other);
        assert_eq!(take("{\n"), Piece::Held);
        assert_eq!(take("\"level\": 30}\n"), Piece::Other);
    }
}
