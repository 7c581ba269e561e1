//! Secrets out of texts: whatever we write or answer goes through here first.
//!
//! Works on plain text, inside strings and never on JSON's own syntax, so that what was valid stays valid. It knows
//! what a secret is by value (environment variables whose names say so) and by shape (Bearer values, user info in a
//! URL, the word after an option whose name says so). It must never print, log or show what it knows.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::sync::{Arc, LazyLock, PoisonError, RwLock};

use regex_lite::Regex;
use secrecy::{ExposeSecret as _, SecretString};

/// What stands where a secret stood.
const MASKED: &str = "***";

/// The shortest value of an environment variable that is taken for a secret, in bytes: a shorter one would mask words.
const SHORTEST: usize = 8;

/// How many secrets are learned: more than a supervisor sees of tokens in days.
const LEARNED: usize = 256;

/// What secrets look like.
static SHAPES: [Shape; 7] = [
    Shape {
        sign: |text| has_word(text, "bearer"),
        regex: LazyLock::new(|| Regex::new(r#"(?i)\b(bearer\s+)[^\s"',;]+"#)),
        with: "${1}***",
    },
    Shape {
        sign: |text| text.contains('=') && text.contains(['?', '&']),
        regex: LazyLock::new(|| {
            Regex::new(r#"(?i)([?&][\w.-]*(?:key|token|secret|password)[\w.-]*=)[^\s&"']+"#)
        }),
        with: "${1}***",
    },
    Shape {
        sign: |text| has_word(text, "authorization:"),
        regex: LazyLock::new(|| Regex::new(r#"(?i)\b(authorization:\s*\w+\s+)[^\s"',;]+"#)),
        with: "${1}***",
    },
    Shape {
        sign: |text| ["key:", "token:", "secret:"].iter().any(|word| has_word(text, word)),
        regex: LazyLock::new(|| Regex::new(r#"(?i)\b([\w-]*(?:key|token|secret):\s*)[^\s"',{\[]{8,}"#)),
        with: "${1}***",
    },
    // A user without a name is what a Redis password comes with.
    Shape {
        sign: |text| text.contains("://") && text.contains('@'),
        regex: LazyLock::new(|| Regex::new(r"(?i)\b([a-z][a-z0-9+.-]*://)[^\s/@:]*(:[^\s/]*)?@")),
        with: "${1}***@",
    },
    Shape {
        sign: |text| text.contains("--"),
        regex: LazyLock::new(|| {
            Regex::new(
                r#"(?i)(--[\w-]*(?:key|token|secret|pass|credential)[\w-]*(?:\s+|=))("[^"]*"|'[^']*'|[^\s"']+)"#,
            )
        }),
        with: "${1}***",
    },
    Shape {
        sign: |text| text.contains('='),
        regex: LazyLock::new(|| {
            Regex::new(r#"\b([A-Z0-9_]*(?:KEY|TOKEN|SECRET|PASS)[A-Z0-9_]*=)("[^"]*"|'[^']*'|[^\s"']+)"#)
        }),
        with: "${1}***",
    },
];

/// A secret that is known by what stands around it.
struct Shape {
    /// Whether the text may hold one at all: no shape is looked for, and made ready, in a text that has no sign of it.
    sign: fn(&str) -> bool,
    regex: LazyLock<Result<Regex, regex_lite::Error>>,
    with: &'static str,
}

/// Replaces secrets in texts.
#[derive(Clone, Default)]
pub struct Mask {
    /// The longest first, so that a secret which contains another one is masked whole.
    values: Vec<String>,
    /// What was learned since, by whoever holds a clone of this mask.
    learned: Arc<RwLock<Vec<SecretString>>>,
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mask").field("values", &self.values.len()).finish_non_exhaustive()
    }
}

impl Mask {
    /// A mask that knows the values of those of these environment variables whose names say that they are secret.
    pub fn new(environment: impl Iterator<Item = (String, String)>) -> Self {
        let mut values: Vec<String> = environment
            .filter(|(name, value)| is_secret_name(name) && value.len() >= SHORTEST)
            .map(|(_, value)| value.trim().to_owned())
            .filter(|value| value.len() >= SHORTEST)
            .collect();
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Self { values, learned: Arc::default() }
    }

    /// Masks this text from now on too, in all clones of this mask. Of many, the oldest are forgotten.
    pub fn learn(&self, secret: &SecretString) {
        let text = secret.expose_secret();
        let mut learned = self.learned.write().unwrap_or_else(PoisonError::into_inner);
        if text.len() < SHORTEST || learned.iter().any(|known| known.expose_secret() == text) {
            return;
        }
        if learned.len() == LEARNED {
            learned.remove(0);
        }
        learned.push(secret.clone());
    }

    /// The text without its secrets.
    pub fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut masked = Cow::Borrowed(text);
        for value in &self.values {
            if masked.contains(value.as_str()) {
                masked = Cow::Owned(masked.replace(value.as_str(), MASKED));
            }
        }
        for secret in self.learned.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if masked.contains(secret.expose_secret()) {
                masked = Cow::Owned(masked.replace(secret.expose_secret(), MASKED));
            }
        }
        for shape in &SHAPES {
            if (shape.sign)(&masked)
                && let Ok(regex) = &*shape.regex
                && let Cow::Owned(changed) = regex.replace_all(&masked, shape.with)
            {
                masked = Cow::Owned(changed);
            }
        }
        masked
    }

    /// A command line as one text, each word masked, words with spaces quoted.
    pub fn command(&self, argv: &[String]) -> String {
        let mut line = String::new();
        for word in self.words(argv) {
            if !line.is_empty() {
                line.push(' ');
            }
            if word.is_empty() || word.contains(|c: char| c.is_whitespace() || c == '"') {
                // Writing to a string cannot fail.
                let _ = write!(line, "{word:?}");
            } else {
                line.push_str(&word);
            }
        }
        self.apply(&line).into_owned()
    }

    /// The words of a command line, each masked.
    ///
    /// Here it is known where a word begins and ends, so the value of an option or of an assignment is masked whole,
    /// whatever quotes and spaces are in it.
    pub fn words<'w>(&self, argv: &'w [String]) -> Vec<Cow<'w, str>> {
        let mut secret = false;
        let mut header = false;
        let mut words = Vec::with_capacity(argv.len());
        for word in argv {
            let names_secret = is_secret_option(word);
            let masked = match word.split_once('=') {
                _ if secret => Cow::Borrowed(MASKED),
                Some((name, _)) if is_secret_option(name) || is_secret_assignment(name) => {
                    Cow::Owned(format!("{}={MASKED}", self.apply(name)))
                }
                // Any header may be what lets its bearer in.
                _ if header => match word.split_once(':') {
                    Some((name, _)) => Cow::Owned(format!("{}: {MASKED}", self.apply(name))),
                    None => Cow::Borrowed(MASKED),
                },
                // Before it is quoted, for that may change how a secret is spelled; what two words show follows below.
                _ => self.apply(word),
            };
            secret = names_secret && !secret;
            header = matches!(&**word, "-H" | "--header");
            words.push(masked);
        }
        words
    }
}

/// Whether this is in the text, in letters of either case.
fn has_word(text: &str, word: &str) -> bool {
    text.as_bytes().windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
}

/// Whether the word after this option is a secret: `--api-key`, and not `--api-key=value`.
fn is_secret_option(word: &str) -> bool {
    word.strip_prefix("--").is_some_and(|name| {
        let name = name.to_ascii_lowercase();
        !name.contains('=')
            && ["key", "token", "secret", "pass", "credential"].iter().any(|part| name.contains(part))
    })
}

/// Whether this is what an assignment of a secret to an environment variable starts with, as in `-e GITHUB_TOKEN=value`.
fn is_secret_assignment(name: &str) -> bool {
    is_secret_name(name) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ["KEY", "TOKEN", "SECRET", "PASS"].iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::{Mask, SHAPES};

    fn mask() -> Mask {
        let environment = [
            ("API_KEY", "s3cr3t-value"),
            ("SHORT_TOKEN", "abc"),
            ("PATH", "/usr/bin:/bin"),
            ("DB_PASS", "s3cr3t"),
        ];
        Mask::new(environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn secrets_are_masked_by_value_and_by_shape() {
        let rows = [
            ("key is s3cr3t-value.", "key is ***."),
            ("Authorization: Bearer abc.def-ghi, next", "Authorization: Bearer ***, next"),
            ("see https://me:pw@host/x and http://tok@host", "see https://***@host/x and http://***@host"),
            ("see redis://:pw@host:6379/1", "see redis://***@host:6379/1"),
            ("run --api-key abc --verbose", "run --api-key *** --verbose"),
            (
                "run --pass abc --credentials=x --passphrase y z",
                "run --pass *** --credentials=*** --passphrase *** z",
            ),
            ("run --token=abc --github-secret 'a b' end", "run --token=*** --github-secret *** end"),
            (
                "docker run -e GITHUB_TOKEN=ghp_x -e MODE=1 image",
                "docker run -e GITHUB_TOKEN=*** -e MODE=1 image",
            ),
            ("https://host/mcp?api_key=abc&x=1", "https://host/mcp?api_key=***&x=1"),
            ("--header 'Authorization: Basic dTpw'", "--header 'Authorization: Basic ***'"),
            ("--header X-Api-Key:0123456789", "--header X-Api-Key:***"),
            ("abc in /usr/bin:/bin and s3cr3t", "abc in /usr/bin:/bin and s3cr3t"),
        ];
        for (text, expected) in rows {
            assert_eq!(mask().apply(text), expected);
        }
    }

    #[test]
    fn a_command_line_is_masked_word_by_word() {
        let argv = ["npx", "server", "--password", "hunter two", "--url=http://u:p@h"].map(str::to_owned);
        assert_eq!(mask().command(&argv), "npx server --password *** --url=http://***@h");
        let argv =
            ["run", "--token", "it's so", "--key=a\"b c", "-e", "DB_PASS=a 'b", "--secret", "x\"y z", "end"];
        let shown = "run --token *** --key=*** -e DB_PASS=*** --secret *** end";
        assert_eq!(mask().command(&argv.map(str::to_owned)), shown);
    }

    #[test]
    fn a_mask_does_not_show_what_it_knows() {
        assert!(!format!("{:?}", mask()).contains("s3cr3t"));
    }

    proptest! {
        #[test]
        fn no_secret_value_is_left(
            secrets in vec("[!-~]{8,20}", 1..4), texts in vec("[a-z \\n\"=:/@-]{0,12}", 4)
        ) {
            let environment = secrets.iter().enumerate().map(|(at, value)| (format!("TOKEN_{at}"), value.clone()));
            let mask = Mask::new(environment);
            let mut text = String::new();
            for (part, secret) in texts.iter().zip(secrets.iter().cycle()) {
                text.push_str(part);
                text.push_str(secret);
            }
            for secret in &secrets {
                prop_assert!(!mask.apply(&text).contains(secret.as_str()), "{secret} in {}", mask.apply(&text));
                let command = mask.command(&[text.clone(), secret.clone()]);
                let quoted = format!("{secret:?}");
                prop_assert!(!command.contains(secret.as_str()) && !command.contains(quoted.trim_matches('"')));
            }
        }

        #[test]
        fn a_text_without_secrets_stays(text in "[a-z0-9 .,\\n{}\\[\\]\"'=/-]{0,200}") {
            prop_assume!(!text.contains("bearer") && !text.contains("--") && !text.contains("://"));
            prop_assert_eq!(&*mask().apply(&text), text.as_str());
        }

        #[test]
        fn masking_twice_is_masking_once(text in "([a-z ]|--token |s3cr3t-value|Bearer |://me:pw@){0,12}") {
            let once = mask().apply(&text).into_owned();
            prop_assert_eq!(mask().apply(&once), once.clone());
        }

        #[test]
        fn no_shape_is_without_its_sign(
            text in "([a-z ]|-?-(api-key|ToKen)[ =]|https?://me:pw@|[?&]Secret=|(X-)?[kK]ey: ?|A_PASS=|(B|b)earer |Authorization: ?|12345678){0,12}"
        ) {
            for shape in &SHAPES {
                let regex = shape.regex.as_ref().unwrap();
                prop_assert!((shape.sign)(&text) || !regex.is_match(&text), "{regex} in {text}");
            }
        }
    }
}
