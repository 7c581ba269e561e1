//! What secrets look like: those that nobody has told us are known by what stands around them.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex_lite::{Captures, Regex};

use super::{MASKED, is_secret_name};

/// Words that a sentence goes on with after the name of an option, and no secret is.
const PROSE: [&str; 36] = [
    "a", "an", "and", "are", "argument", "as", "by", "can", "cannot", "does", "flag", "for", "from", "has",
    "if", "in", "instead", "is", "may", "missing", "must", "needs", "not", "of", "on", "option", "or",
    "required", "should", "the", "to", "value", "was", "when", "will", "with",
];
/// Kinds of values, as usage texts name them after an option.
const KINDS: [&str; 14] = [
    "bool",
    "boolean",
    "dir",
    "directory",
    "duration",
    "file",
    "filename",
    "int",
    "number",
    "path",
    "string",
    "stringarray",
    "strings",
    "text",
];

/// A secret that is known by what stands around it.
pub(super) struct Shape {
    /// Whether the text may hold one at all: no shape is looked for, and made ready, in a text that has no sign of it.
    sign: fn(&str) -> bool,
    regex: LazyLock<Result<Regex, regex_lite::Error>>,
    /// What stands behind the first group: `***`, and what of the match stays.
    tail: &'static str,
    /// Whether what stands there, behind this, is none after all.
    spares: fn(&str, &str) -> bool,
}

/// What secrets look like. The first group stays, the second is the secret.
pub(super) static SHAPES: [Shape; 7] = [
    Shape {
        sign: |text| has_word(text, "bearer"),
        regex: LazyLock::new(|| Regex::new(r#"(?i)\b(bearer\s+)([^\s"',;]+)"#)),
        tail: "",
        spares: never,
    },
    Shape {
        sign: |text| text.contains('=') && text.contains(['?', '&']),
        regex: LazyLock::new(|| {
            Regex::new(r#"(?i)([?&][\w.-]*(?:key|token|secret|password)[\w.-]*=)([^\s&"']+)"#)
        }),
        tail: "",
        spares: never,
    },
    Shape {
        sign: |text| has_word(text, "authorization:"),
        regex: LazyLock::new(|| Regex::new(r#"(?i)\b(authorization:\s*\w+\s+)([^\s"',;]+)"#)),
        tail: "",
        spares: never,
    },
    Shape {
        sign: |text| ["key:", "token:", "secret:"].iter().any(|word| has_word(text, word)),
        regex: LazyLock::new(|| Regex::new(r#"(?i)\b([\w-]*(?:key|token|secret):\s*)([^\s"',{\[]{8,})"#)),
        tail: "",
        spares: never,
    },
    // A user without a name is what a Redis password comes with.
    Shape {
        sign: |text| text.contains("://") && text.contains('@'),
        regex: LazyLock::new(|| Regex::new(r"(?i)\b([a-z][a-z0-9+.-]*://)([^\s/@:]*(?::[^\s/]*)?)@")),
        tail: "@",
        spares: never,
    },
    // Usage texts put more than one space between an option and what it is for.
    Shape {
        sign: |text| text.contains("--"),
        regex: LazyLock::new(|| {
            Regex::new(
                r#"(?i)(--[\w-]*(?:key|token|secret|pass|credential)[\w-]*(?: |\n|=))("[^"]*"|'[^']*'|[^\s"']+)"#,
            )
        }),
        tail: "",
        spares: |option, value| !is_secret_name(name_in(option)) || is_of_a_usage_text(value),
    },
    Shape {
        sign: |text| text.contains('='),
        regex: LazyLock::new(|| {
            Regex::new(
                r#"\b([A-Z0-9_]*(?:KEY|TOKEN|SECRET|PASS|CREDENTIAL)[A-Z0-9_]*=)("[^"]*"|'[^']*'|[^\s"']+)"#,
            )
        }),
        tail: "",
        spares: |variable, value| !is_secret_name(name_in(variable)) || is_placeholder(value),
    },
];

impl Shape {
    /// The text without secrets of this shape.
    pub(super) fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match &*self.regex {
            Ok(regex) if (self.sign)(text) => regex.replace_all(text, |found: &Captures<'_>| {
                let part = |group: usize| found.get(group).map_or("", |part| part.as_str());
                if (self.spares)(part(1), part(2)) {
                    part(0).to_owned()
                } else {
                    format!("{}{MASKED}{}", part(1), self.tail)
                }
            }),
            _ => Cow::Borrowed(text),
        }
    }

    #[cfg(test)]
    pub(super) fn is_without_sign(&self, text: &str) -> bool {
        let regex = self.regex.as_ref().unwrap();
        regex.is_match(text) && !(self.sign)(text)
    }
}

fn never(_: &str, _: &str) -> bool {
    false
}

/// The name of an option or a variable, without what separates it from its value.
fn name_in(text: &str) -> &str {
    text.trim_start_matches('-').trim_end_matches([' ', '\n', '='])
}

/// Whether this, after the name of an option, is what a manual or an error says of the option.
fn is_of_a_usage_text(value: &str) -> bool {
    let word = value.trim_end_matches(['.', ',', ';', ':', ')']).to_ascii_lowercase();
    is_placeholder(value)
        || PROSE.contains(&&*word)
        || KINDS.contains(&&*word)
        || value.starts_with('-') && !value.contains('=')
}

/// Whether this stands for a value: `<KEY>`, `[KEY]`, `$KEY`, `${KEY}`, `API_KEY`.
fn is_placeholder(value: &str) -> bool {
    let value = value.trim_matches(['"', '\'']).trim_end_matches([',', '.', ';', ')']);
    let inner = match value.as_bytes() {
        [b'<', ..] | [b'[', .., b']'] | [b'$', b'{', .., b'}'] => return true,
        [b'$', ..] => &value[1..],
        _ => value,
    };
    !inner.is_empty() && inner.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

/// Whether this is in the text, in letters of either case.
fn has_word(text: &str, word: &str) -> bool {
    text.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}
