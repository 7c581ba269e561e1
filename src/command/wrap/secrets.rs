//! What is secret in a config, by name, by shape, and by value wherever else it stands.
//!
//! A config may name thousands of servers, each with secrets of its own. They are looked for in every text in one pass, whatever
//! their number, and never one after the other.

use std::borrow::Cow;
use std::collections::HashSet;

use crate::hosts::{Document, Veil, steps};
use crate::mask::Mask;

/// What stands where a secret stood.
pub(super) const MASKED: &str = "***";
/// The shortest value that is taken for a secret wherever it stands, in bytes: a shorter one would mask words.
const SHORTEST: usize = 8;

/// The secrets of a config. It must never show them.
#[derive(Default)]
pub(super) struct Secrets {
    values: HashSet<String>,
    /// What their values begin with: most texts have none of these.
    heads: HashSet<Vec<u8>>,
    /// How long they are, the longest first, each length once.
    lengths: Vec<usize>,
    /// Knows names and shapes.
    mask: Mask,
}

impl Secrets {
    /// Those of this config.
    pub(super) fn of(document: &Document<'_>) -> Self {
        let mut found = Self::default();
        for (name, value) in document.variables() {
            if found.is_secret(name) {
                found.learn(value);
            }
        }
        for server in document.servers() {
            let shown: Vec<String> =
                found.mask.words(&server.words).into_iter().map(Cow::into_owned).collect();
            for (word, shown) in server.words.iter().zip(&shown) {
                let before =
                    shown.strip_suffix(MASKED).filter(|before| word != shown && word.starts_with(before));
                if let Some(before) = before {
                    found.learn(&word[before.len()..]);
                }
            }
        }
        found.lengths.sort_unstable_by(|a, b| b.cmp(a));
        found.lengths.dedup();
        found
    }

    /// A value, each of its lines, and how JSON spells them.
    fn learn(&mut self, value: &str) {
        for text in [value].into_iter().chain(value.lines()).map(str::trim) {
            let json = serde_json::Value::from(text).to_string();
            for spelled in [text, &json[1..json.len() - 1]] {
                if spelled.len() >= SHORTEST && self.values.insert(spelled.to_owned()) {
                    self.heads.insert(spelled.as_bytes()[..SHORTEST].to_owned());
                    self.lengths.push(spelled.len());
                }
            }
        }
    }

    /// A command line as one text.
    pub(super) fn command(&self, words: &[String]) -> String {
        self.mask.command(&self.words(words))
    }

    fn without_values(&self, text: &str) -> String {
        let mut shown = String::with_capacity(text.len());
        let (mut from, mut at) = (0, 0);
        while let Some(head) = text.as_bytes().get(at..at + SHORTEST) {
            steps::count(1);
            match self.heads.contains(head).then(|| self.longest(text, at)).flatten() {
                Some(length) => {
                    shown.push_str(&text[from..at]);
                    shown.push_str(MASKED);
                    at += length;
                    from = at;
                }
                None => at += 1,
            }
        }
        shown + &text[from..]
    }

    /// The length of the longest of them that stands here.
    fn longest(&self, text: &str, at: usize) -> Option<usize> {
        self.lengths.iter().copied().find(|length| {
            steps::count(1);
            text.get(at..at + length).is_some_and(|part| self.values.contains(part))
        })
    }
}

impl Veil for Secrets {
    fn words(&self, words: &[String]) -> Vec<String> {
        self.mask.words(words).into_iter().map(|word| self.without_values(&word)).collect()
    }

    fn text(&self, text: &str) -> String {
        let text = [self.without_values(text)];
        self.mask.words(&text).into_iter().map(Cow::into_owned).collect()
    }

    fn is_secret(&self, name: &str) -> bool {
        // As the value of a variable that is given to a program, which is masked by its name alone.
        let words = ["--env".to_owned(), format!("{}=x", name.replace('=', "_"))];
        self.mask.words(&words)[1] != words[1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosts::Shape;

    fn secrets(text: &str) -> Secrets {
        Secrets::of(&Document::read(text, Shape::Servers, &|_| None).unwrap_or_else(|bad| panic!("{bad}")))
    }

    #[test]
    fn a_secret_of_one_server_is_known_in_every_text() {
        let secrets = secrets(
            r#"{"mcpServers": {"a": {"command": "x", "args": ["--api-key", "from-a-word", "--n=1"], "env":
                {"A_TOKEN": "tok-1234", "B_TOKEN": "tok-12345678", "PEM_KEY": "line-one-1\nline-two-2", "Q_PASS": "quote\"d-9", "MODE": "production"}}}}"#,
        );
        for (text, shown) in [
            ("tok-1234", "***"),
            ("<tok-12345678>", "<***>"),
            ("tok-1234567", "***567"),
            ("from-a-word and line-two-2", "*** and ***"),
            ("\u{e4}tok-1234\u{e4}", "\u{e4}***\u{e4}"),
            (r#"it is "quote\"d-9""#, r#"it is "***""#),
            ("production tok-123", "production tok-123"),
            ("", ""),
        ] {
            assert_eq!(secrets.text(text), shown);
        }
        assert_eq!(secrets.command(&["run", "tok-1234"].map(str::to_owned)), "run ***");
    }

    #[test]
    fn a_name_tells_whether_its_value_is_secret() {
        let secrets = Secrets::default();
        for name in ["API_KEY", "accessToken", "db-password", "client secret", "A=TOKEN"] {
            assert!(secrets.is_secret(name), "{name}");
        }
        for name in ["MODE", "cwd", "url", "", "emailAddress"] {
            assert!(!secrets.is_secret(name), "{name}");
        }
    }
}
