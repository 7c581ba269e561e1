//! What a line on stdout says, and how much of it is shown. Pure.

use std::sync::LazyLock;

use bytes::Bytes;
use regex_lite::Regex;
use serde_json::{Value, json};

use crate::mask::Mask;

/// How much of a text is shown, in characters.
const SHOWN: usize = 120;

/// An error whose id is `null` is valid in no revision, and is what most servers mean by none.
pub(super) fn nothing_but_a_null_id(line: &Bytes) -> bool {
    serde_json::from_slice::<Value>(line).is_ok_and(|value| {
        value["jsonrpc"] == "2.0" && value.get("id") == Some(&Value::Null) && value.get("error").is_some()
    })
}

/// The answer, for what reads it. One that cannot be read is an error that says so.
pub(super) fn read(bytes: &[u8]) -> Value {
    let whole = |error| json!({"error": {"message": format!("this answer cannot be read: {error}")}});
    match serde_json::from_slice(bytes) {
        Ok(answer) => answer,
        // Half a pair of `\u` escapes, as of an emoji that was cut, which JavaScript writes and reads.
        Err(error) => serde_json::from_str(&whole_pairs(&String::from_utf8_lossy(bytes)))
            .unwrap_or_else(|_| whole(error)),
    }
}

/// The text with U+FFFD in the place of halves of pairs.
fn whole_pairs(text: &str) -> String {
    static HALVES: LazyLock<Result<Regex, regex_lite::Error>> = LazyLock::new(|| {
        Regex::new(r"(?i)(?:\\\\)|(\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})|(\\ud[89a-f][0-9a-f]{2})")
    });
    let Ok(halves) = &*HALVES else { return text.to_owned() };
    let replace = |found: &regex_lite::Captures<'_>| {
        let whole = found.get(0).map_or("", |whole| whole.as_str());
        if found.get(2).is_some() { "\\ufffd".to_owned() } else { whole.to_owned() }
    };
    halves.replace_all(text, replace).into_owned()
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
    fn what_is_shown_is_masked_before_it_is_cut() {
        let mask = Mask::new([("A_KEY".to_owned(), "sesame-open".to_owned())].into_iter());
        let line = format!("{}sesame-open{}", "x".repeat(SHOWN - 5), "y".repeat(50));
        let shown = excerpt(&mask, line.as_bytes());
        assert!(!shown.contains("sesame") && shown.ends_with("..."), "{shown}");
    }
}
