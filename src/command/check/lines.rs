//! What a line on stdout says, and how much of it is shown. Pure.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::mask::Mask;

/// How much of a text is shown, in characters.
const SHOWN: usize = 120;
/// How much is shown around a place in a text, in bytes.
const AROUND: usize = 40;
/// How deep an answer is read. What is nested deeper is left out: that is a limit of ours, which is told where it matters.
const DEEPEST: usize = 110;
/// The members of a message.
const MEMBERS: [&str; 6] = ["jsonrpc", "id", "method", "params", "result", "error"];

/// An error whose id is `null` is valid in no revision, and is what most servers mean by none.
pub(super) fn nothing_but_a_null_id(line: &Bytes) -> bool {
    serde_json::from_slice::<Value>(line).is_ok_and(|value| {
        value["jsonrpc"] == "2.0" && value.get("id") == Some(&Value::Null) && value.get("error").is_some()
    })
}

/// The message, for what reads it. One that cannot be read is an error that says so.
pub(super) fn read(bytes: &[u8]) -> Value {
    let text = String::from_utf8_lossy(bytes);
    let text = cut(&text).map_or(text, Cow::Owned);
    let whole = |error| json!({"error": {"message": format!("this answer cannot be read: {error}")}});
    match serde_json::from_str(&text) {
        Ok(message) => message,
        // Half a pair of `\u` escapes, as of an emoji that was cut, which JavaScript writes and reads.
        Err(error) => serde_json::from_str(&whole_pairs(&text)).unwrap_or_else(|_| whole(error)),
    }
}

/// The text with empty objects in the places of what is nested too deep. `None` if nothing is.
fn cut(text: &str) -> Option<String> {
    let (mut shorter, mut kept, mut depth, mut in_string) = (String::new(), 0, 0_usize, false);
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'\\' if in_string => drop(bytes.next()),
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                if depth == DEEPEST {
                    shorter.push_str(&text[kept..at]);
                    shorter.push_str("{}");
                }
                depth += 1;
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == DEEPEST {
                    kept = at + 1;
                }
            }
            _ => {}
        }
    }
    // What does not end as it should is left to who reads it.
    (!shorter.is_empty() && depth == 0).then(|| shorter + &text[kept..])
}

/// Where halves of surrogate pairs are written as `\u` escapes without their other half.
fn halves(text: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = 0;
    let unit = |at: usize| {
        let escape = text.get(at..at + 6)?.strip_prefix(b"\\u")?;
        u16::from_str_radix(std::str::from_utf8(escape).ok()?, 16).ok()
    };
    while let Some(next) = text[at..].iter().position(|byte| *byte == b'\\') {
        at += next;
        at += match unit(at) {
            Some(0xd800..=0xdbff) if matches!(unit(at + 6), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => {
                found.push(at);
                6
            }
            Some(_) => 6,
            None => 2,
        };
        if at >= text.len() {
            break;
        }
    }
    found
}

/// The surroundings of the first half of a surrogate pair. `None` if the message has none.
pub(super) fn half(mask: &Mask, bytes: &[u8]) -> Option<String> {
    let at = *halves(bytes).first()?;
    let (from, to) = (at.saturating_sub(AROUND), bytes.len().min(at + AROUND));
    Some(excerpt(mask, &bytes[from..to]))
}

/// The text with U+FFFD in the place of halves of pairs.
fn whole_pairs(text: &str) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut kept = 0;
    for at in halves(text.as_bytes()) {
        whole.push_str(&text[kept..at]);
        whole.push_str("\\ufffd");
        kept = at + 6;
    }
    whole + &text[kept..]
}

/// What clients refuse of a message that is one otherwise, as a clause. `None` if nothing.
pub(super) fn refused(message: &Value) -> Option<String> {
    if let Some(other) = message.as_object()?.keys().find(|name| !MEMBERS.contains(&&***name)) {
        return Some(format!("a message has the member {other:?}, which no message has"));
    }
    if let Some(params) = message.get("params") {
        let method = message["method"].as_str().unwrap_or_default();
        if !params.is_object() {
            return Some(format!("the params of {method} are {}, and no object", kind(params)));
        }
        if params.get("_meta").is_some_and(|meta| !meta.is_object()) {
            return Some(format!("the _meta of {method} is {}, and no object", kind(&params["_meta"])));
        }
    }
    match (message.get("result"), message.get("error")) {
        (Some(result), None | Some(Value::Null)) if !result.is_object() => {
            Some(format!("a result is {}, and no object", kind(result)))
        }
        (Some(result), _) if result.get("_meta").is_some_and(|meta| !meta.is_object()) => {
            Some(format!("the _meta of a result is {}, and no object", kind(&result["_meta"])))
        }
        (None | Some(Value::Null), Some(error)) => {
            if !error.is_object() {
                Some(format!("an error is {}, and no object", kind(error)))
            } else if !error["code"].is_i64() {
                Some(format!("the code of an error is {}, and no integer", kind(&error["code"])))
            } else if !error["message"].is_string() {
                Some(format!("the message of an error is {}, and no text", kind(&error["message"])))
            } else {
                None
            }
        }
        _ => None,
    }
}

/// What a value is, in a word or two.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The start of a text, in quotes.
pub(super) fn excerpt(mask: &Mask, bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = mask.apply(text.trim_end_matches(['\r', '\n']));
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if shown.len() < text.len() { "..." } else { "" };
    format!("{shown:?}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_pair_is_read_and_what_cannot_be_is_told() {
        let answer = |text: &str| read(format!(r#"{{"jsonrpc":"2.0","id":1,"result":{text}}}"#).as_bytes());
        assert_eq!(answer(r#""a\ud83d""#)["result"], "a\u{fffd}");
        assert_eq!(answer(r#""\ud83e\udd80 \\ud83d \udd80""#)["result"], "\u{1f980} \\ud83d \u{fffd}");
        let why = answer("1e400")["error"]["message"].to_string();
        assert!(why.contains("cannot be read"), "{why}");
    }

    #[test]
    fn halves_of_pairs_are_found_and_whole_pairs_are_not() {
        let mask = Mask::new(std::iter::empty());
        let half = |text: &str| half(&mask, text.as_bytes());
        for text in
            [r#""\ud83d it""#, r#""\uDE00""#, r#""\ud83d\ud83d\ude00""#, r#""\\\ud83d""#, r#""\ud83d"#]
        {
            assert!(half(text).is_some(), "{text}");
        }
        for text in [r#""\ud83d\ude00""#, r#""\\ud83d""#, r#""\u00e9\n""#, r#""\"#, "\"\u{1f980}\""] {
            assert_eq!(half(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_nested_too_deep_is_left_out_and_the_rest_is_read() {
        let deep = format!(r#"{{"a":{}1{},"b":"]]}}"}}"#, r#"[{"c":"#.repeat(300), "}]".repeat(300));
        let value = read(deep.as_bytes());
        assert_eq!(value["b"], "]]}");
        assert!(value["a"][0]["c"].is_array());
        assert!(read(b"[[[").get("error").is_some());
        let unclosed = "[".repeat(300);
        assert!(read(unclosed.as_bytes()).get("error").is_some());
    }

    #[test]
    fn what_clients_refuse_of_a_message_is_told() {
        let wrong = |more: &str| {
            let message: Value = serde_json::from_str(&format!(r#"{{"jsonrpc":"2.0",{more}}}"#)).unwrap();
            refused(&message)
        };
        for more in [
            r#""id":1,"result":null"#,
            r#""id":1,"result":[]"#,
            r#""id":1,"result":{"_meta":null}"#,
            r#""id":1,"result":{},"took":5"#,
            r#""id":1,"error":"no""#,
            r#""id":1,"error":{"code":"E1","message":"no"}"#,
            r#""id":1,"error":{"code":-32603.5,"message":"no"}"#,
            r#""id":1,"error":{"code":1}"#,
            r#""method":"notifications/message","params":null"#,
            r#""method":"notifications/message","params":[]"#,
            r#""method":"notifications/message","params":{"_meta":null}"#,
        ] {
            assert!(wrong(more).is_some(), "{more}");
        }
        for more in [
            r#""id":1,"result":{"_meta":{}}"#,
            r#""id":1,"error":{"code":-1,"message":"no","data":null}"#,
            r#""method":"notifications/message","params":{}"#,
            r#""id":0,"method":"ping""#,
        ] {
            assert_eq!(wrong(more), None, "{more}");
        }
    }

    #[test]
    fn what_is_shown_is_masked_before_it_is_cut() {
        let mask = Mask::new([("A_KEY".to_owned(), "sesame-open".to_owned())].into_iter());
        let line = format!("{}sesame-open{}", "x".repeat(SHOWN - 5), "y".repeat(50));
        let shown = excerpt(&mask, line.as_bytes());
        assert!(!shown.contains("sesame") && shown.ends_with("..."), "{shown}");
    }
}
