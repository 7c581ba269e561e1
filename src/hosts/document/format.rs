//! Which other format a text is in that is no JSON: some hosts have their servers in TOML or YAML. Pure.

use std::fmt;

/// A format that is not changed by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// As Codex has it.
    Toml,
    /// As Goose and Continue have it.
    Yaml,
}

impl Format {
    /// By the end of a file's name, in lower case and without its dot.
    pub fn of_extension(extension: &str) -> Option<Self> {
        match extension {
            "toml" => Some(Self::Toml),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }

    /// By what the first line looks like that says something.
    pub(super) fn of_text(text: &str) -> Option<Self> {
        let line = text.lines().map(str::trim_end).find(|line| {
            let line = line.trim_start();
            !line.is_empty() && !line.starts_with('#')
        })?;
        let begin = line.trim_start();
        if line == "---" || line.starts_with("%YAML") || begin.starts_with("- ") {
            return Some(Self::Yaml);
        }
        if is_table(begin) {
            return Some(Self::Toml);
        }
        let end = begin.find(['=', ':'])?;
        let (key, rest) = begin.split_at(end);
        if !is_key(key.trim()) {
            return None;
        }
        match rest.strip_prefix(':') {
            None => Some(Self::Toml),
            Some(value) => (value.is_empty() || value.starts_with([' ', '\t'])).then_some(Self::Yaml),
        }
    }

    /// How the servers of a host are started through this program, in this format.
    pub fn by_hand(self, program: &str) -> String {
        match self {
            Self::Toml => format!(
                "command = {program:?} and args = [\"--name\", NAME, \"--\", the former command, the former args]"
            ),
            Self::Yaml => {
                format!(
                    "command: {program} and args: [--name, NAME, --, the former command, the former args]"
                )
            }
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Toml => "TOML",
            Self::Yaml => "YAML",
        })
    }
}

/// Whether this is how a table of TOML begins: `[a.b]`, `[[a]]`.
fn is_table(line: &str) -> bool {
    let inside = line.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(inside, _)| inside);
    inside.is_some_and(|inside| is_key(inside.trim_start_matches('[').trim()))
}

/// Whether this is a key, with or without quotes, perhaps with a path before it.
fn is_key(text: &str) -> bool {
    let is_plain = |letter: char| {
        letter.is_alphanumeric() || matches!(letter, '_' | '-' | '.' | ' ' | '"' | '\'' | '/' | '@')
    };
    text.starts_with(|first: char| first.is_alphabetic() || matches!(first, '_' | '"' | '\''))
        && text.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_is_known_by_its_first_words() {
        for (text, format) in [
            ("model = \"m\"\n\n[mcp_servers.a]\n", Some(Format::Toml)),
            ("# mine\n\n[mcp_servers.\"a b\"]\ncommand = \"x\"", Some(Format::Toml)),
            ("[[servers]]\n", Some(Format::Toml)),
            ("mcpServers:\n  - name: a\n", Some(Format::Yaml)),
            ("extensions:\r\n  a:\r\n", Some(Format::Yaml)),
            ("---\na: 1\n", Some(Format::Yaml)),
            ("- command: x\n", Some(Format::Yaml)),
            ("# c\n\"a b\": 1\n", Some(Format::Yaml)),
            ("{\"a\": 1", None),
            ("{a: 1}", None),
            ("{'a' = 1}", None),
            ("[{\"a\": 1}", None),
            ("[1, 2", None),
            ("<servers a=\"1\">", None),
            ("https://host/x", None),
            ("", None),
            ("# nothing", None),
        ] {
            assert_eq!(Format::of_text(text), format, "{text}");
        }
        assert_eq!(Format::of_extension("yml"), Some(Format::Yaml));
        assert_eq!(Format::of_extension("json"), None);
    }
}
