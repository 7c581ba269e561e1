//! Texts of others in the log of a CI system: they must not be its commands. Pure.
//!
//! Runners read the log. GitHub takes a line that begins with `::` for a command, white space aside, and `##[` anywhere in
//! a line; Azure Pipelines takes `##vso[` and `##[` so. A server that is checked decides what its name and its texts are.

use std::sync::LazyLock;

use regex_lite::Regex;

/// In a text, or in XML: a space takes its form from a command. References to characters would keep the text in XML, and some
/// readers of test reports do not know them.
pub(super) fn in_text(text: &str) -> String {
    let lines = text.split_inclusive(['\n', '\r']).map(|line| {
        let (before, shown) = line.split_at(shown_from(line));
        match shown.strip_prefix("::") {
            Some(rest) => format!("{before}: :{rest}"),
            None => line.to_owned(),
        }
    });
    let text: String = lines.collect();
    let Ok(brackets) = &*BRACKETS else { return text };
    brackets.replace_all(&text, "$1 [").into_owned()
}

/// The same for JSON: it stays the same value.
pub(super) fn in_json(json: &str) -> String {
    // A colon at the beginning of a line is in no string, for strings have no line feeds.
    BRACKETS
        .as_ref()
        .map_or_else(|_| json.to_owned(), |found| found.replace_all(json, "$1\\u005b").into_owned())
}

type Pattern = LazyLock<Result<Regex, regex_lite::Error>>;

static BRACKETS: Pattern = LazyLock::new(|| Regex::new(r"(?i)(##(?:[a-z]*))\["));

/// Where a line begins for who trims it, and takes colours out.
fn shown_from(line: &str) -> usize {
    let mut letters = line.char_indices();
    while let Some((at, letter)) = letters.next() {
        if letter == '\u{1b}' && letters.as_str().starts_with('[') {
            letters.next();
            // To the end of the sequence.
            let _ = letters.find(|(_, letter)| matches!(letter, '@'..='~'));
        } else if !(letter.is_whitespace()
            || letter.is_control()
            || matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}'))
        {
            return at;
        }
    }
    line.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_a_command_in_any_form() {
        for line in [
            "::set-output name=a::b",
            "  ::error::x",
            "\u{a0}\t::stop-commands::x",
            "\u{1b}[1m::error::x",
            "\u{feff}::error::x",
            "name ##[set-env name=A]b",
            "##vso[task.setvariable variable=A]b",
            "a ##VSO[task.complete]",
            "first\n::error::x",
            "first\r::error::x",
        ] {
            let text = in_text(line);
            let plain = text.replace("\u{1b}[1m", "");
            let mut lines = plain.split(['\n', '\r']);
            assert!(
                !lines.any(|line| line.trim().trim_start_matches('\u{feff}').starts_with("::")),
                "{text}"
            );
            assert!(!text.to_lowercase().contains("##vso[") && !text.contains("##["), "{text}");
        }
    }

    #[test]
    fn what_is_no_command_stays_as_it_is() {
        for text in ["std::vector is a::b\n", "a # [b]\n", "issue ##12 [x]\n", "\u{1b}[1mname\u{1b}[0m: :\n"]
        {
            assert_eq!(in_text(text), text);
        }
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::json!({"##[a]": ["##vso[b]", "::c"], "d": ["##", []]});
        let json = in_json(&format!("{value:#}"));
        assert!(!json.contains("##[") && !json.contains("##vso["), "{json}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap(), value);
    }
}
