//! Secrets out of texts: whatever we write or answer goes through here first.
//!
//! Works on plain text, inside strings and never on JSON's own syntax, so that what was valid stays valid. It knows
//! what a secret is by value (environment variables, options and members whose names say so, tokens), in each of its lines and
//! as JSON spells it; and by shape (Bearer values, user info in a URL, the word after an option whose name says so). It must
//! never print, log or show what it knows.

mod shapes;
mod words;

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::sync::{Arc, PoisonError, RwLock};

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use self::shapes::SHAPES;

/// What stands where a secret stood.
const MASKED: &str = "***";

/// The shortest value that is taken for a secret wherever it stands, in bytes: a shorter one would mask words.
const SHORTEST: usize = 8;

/// How many secrets are learned: more than a supervisor sees of tokens in days, with their spellings.
const LEARNED: usize = 512;

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
        let secret = environment.filter(|(name, _)| is_secret_name(name));
        let mut values: Vec<String> = secret.flat_map(|(_, value)| all_of(&value)).collect();
        values.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        values.dedup();
        Self { values, learned: Arc::default() }
    }

    /// Masks this text from now on too, in all clones of this mask, in each of its lines and spellings. Of many, the oldest are
    /// forgotten.
    pub fn learn(&self, secret: &SecretString) {
        self.learn_text(secret.expose_secret());
    }

    fn learn_text(&self, secret: &str) {
        let mut learned = self.learned.write().unwrap_or_else(PoisonError::into_inner);
        for text in all_of(secret) {
            if learned.iter().any(|known| known.expose_secret() == text) {
                continue;
            }
            if learned.len() == LEARNED {
                learned.remove(0);
            }
            learned.push(text.into());
        }
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
            if let Cow::Owned(changed) = shape.apply(&masked) {
                masked = Cow::Owned(changed);
            }
        }
        masked
    }
}

/// A secret, its lines, and how each is spelled, as far as they are long enough. The longest first, so that what contains another
/// one is masked whole.
fn all_of(secret: &str) -> Vec<String> {
    let lines = secret.lines().filter(|line| line.trim() != secret.trim());
    let texts = [secret].into_iter().chain(lines).map(str::trim).filter(|text| text.len() >= SHORTEST);
    let mut all: Vec<String> =
        texts.flat_map(|text| [text.to_owned()].into_iter().chain(spellings(text))).collect();
    all.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
    all.dedup();
    all
}

/// How a text is written between quotes where that differs: in JSON, in JSON of ASCII alone and with its slashes escaped, and by
/// us.
fn spellings(text: &str) -> impl Iterator<Item = String> {
    let json = Value::from(text).to_string();
    let json = json[1..json.len() - 1].to_owned();
    let mut ascii = String::new();
    for unit in json.encode_utf16() {
        match u8::try_from(unit).ok().filter(u8::is_ascii) {
            Some(byte) => ascii.push(char::from(byte)),
            // Writing to a string cannot fail.
            None => _ = write!(ascii, "\\u{unit:04x}"),
        }
    }
    let slashes = json.replace('/', "\\/");
    let debug = format!("{text:?}");
    let all = [slashes, ascii, debug[1..debug.len() - 1].to_owned(), json];
    let text = text.to_owned();
    all.into_iter().filter(move |spelled| *spelled != text)
}

/// Ends of names that say where a secret is, or how much of something there may be, and not what it is.
const PLACES: [&str; 7] = ["_ENV", "_FILE", "KEYFILE", "_PATH", "_DIR", "MAX_TOKENS", "TOKEN_LIMIT"];
/// How words with `key` or `pass` at their beginning go on where they are no secrets.
const OTHERS: [&str; 7] =
    ["KEYBOARD", "KEYCLOAK", "KEYSPACE", "PASSIVE", "PASSTHROUGH", "PASS_THROUGH", "BYPASS"];

/// Whether a variable, an option or a member with this name is a secret.
fn is_secret_name(name: &str) -> bool {
    let mut name = name.to_ascii_uppercase().replace('-', "_");
    if PLACES.iter().any(|place| name.ends_with(place)) {
        return false;
    }
    for other in OTHERS {
        name = name.replace(other, "");
    }
    ["KEY", "TOKEN", "SECRET", "PASS", "CREDENTIAL"].iter().any(|word| name.contains(word))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use serde_json::json;

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
    fn what_is_no_secret_is_not_hidden() {
        for text in [
            "  --tls-key   Path to the key",
            "      --tls-key string   Path to the key",
            "  --api-key <KEY>  The key\n  --token TOKEN",
            "error: --api-key is required",
            "missing --token, or --password; --secret must be given",
            "set API_KEY=<your key> or TOKEN=$TOKEN",
            "use --token --verbose",
            "--api-key-env OPENAI_API_KEY --tls-keyfile /etc/ssl/server.pem --max-tokens 16384000 --keyboard us",
            "KEYBOARD=us PASSIVE=1 API_KEY_FILE=/run/secrets/key",
        ] {
            assert_eq!(mask().apply(text), text);
        }
    }

    #[test]
    fn what_says_where_a_secret_is_does_not_hide_the_remedy() {
        let argv =
            ["x", "--api-key-env", "OPENAI_API_KEY", "--tls-keyfile", "/k.pem", "--max-tokens", "16384000"];
        let argv = [&argv[..], &["--passive", "--keys", "--token", "--verbose"]].concat();
        let argv: Vec<String> = argv.into_iter().map(str::to_owned).collect();
        assert_eq!(mask().command(&argv), argv.join(" "));
        let learned = mask();
        learned.learn_words(&argv);
        let text = "OPENAI_API_KEY is not set, and /k.pem is not there";
        assert_eq!(learned.apply(text), text);
    }

    #[test]
    fn the_value_of_an_option_is_known_in_every_form() {
        for (word, shown) in [
            ("--env=API_KEY=abc def", "--env=API_KEY=***"),
            ("-eAPI_KEY=abc", "-eAPI_KEY=***"),
            ("--header=Cookie: sid=1", "--header=Cookie: ***"),
            ("-HCookie:sid=1", "-HCookie:***"),
            ("AWS_CREDENTIALS=x", "AWS_CREDENTIALS=***"),
            ("--credentials-json=x y", "--credentials-json=***"),
            (
                r#"{"apiKey":"a\"b","region":"north","deep":[{"password":"x"}]}"#,
                r#"{"apiKey":"***","region":"north","deep":[{"password":"***"}]}"#,
            ),
            (
                r#"--config={"token": 1234567890, "maxTokens": 100}"#,
                r#"--config={"token": "***", "maxTokens": 100}"#,
            ),
            (r#"{"auth":{"secrets":["one","two"]}}"#, r#"{"auth":{"secrets":["***","***"]}}"#),
            ("--region=north", "--region=north"),
        ] {
            assert_eq!(mask().words(&[word.to_owned()]), [shown], "{word}");
        }
        let argv =
            ["-e", "MY_KEY=v", "--header", "X-Auth: abc", "--config", r#"{"key":"v"}"#, "--env", "A=b"];
        let shown =
            ["-e", "MY_KEY=***", "--header", "X-Auth: ***", "--config", r#"{"key":"***"}"#, "--env", "A=b"];
        assert_eq!(mask().words(&argv.map(str::to_owned)), shown);
    }

    #[test]
    fn what_is_learned_is_known_by_lines_and_in_json() {
        let pem = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nBKcwggSjAgEAAoIB\n-----END KEY-----";
        let environment = [
            ("SIGNING_KEY".to_owned(), pem.to_owned()),
            ("A_PASS".to_owned(), "caf\u{e9}/\"s3cret".to_owned()),
        ];
        let mask = Mask::new(environment.into_iter());
        mask.learn_words(
            &["--api-key", "sk-12345678", "--config", r#"{"apiKey":"json-12345678"}"#].map(str::to_owned),
        );
        mask.learn_arguments(&json!({"deep": [{"access_token": "call-12345678", "text": "nothing"}]}));
        for secret in [
            "MIIEvQIBADANBgkq",
            r"MIIEvQIBADANBgkq\nBKcwggSjAgEAAoIB",
            "caf\u{e9}/\"s3cret",
            r#"caf\u00e9/\"s3cret"#,
            "caf\u{e9}\\/\\\"s3cret",
            "sk-12345678",
            "json-12345678",
            "call-12345678",
        ] {
            let shown = mask.apply(&format!("it said <{secret}>.")).into_owned();
            assert_eq!(shown.replace("\\n", "").replace("******", "***"), "it said <***>.", "{secret}");
        }
        assert_eq!(mask.apply("nothing in north"), "nothing in north");
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
                prop_assert!(!shape.is_without_sign(&text), "{text}");
            }
        }
    }
}
