//! What of a check must not be shown: secrets of the environment, of the command line and of calls. Pure.
//!
//! A report has texts in quotes, and in JSON, so that a secret is known in these spellings too, and in its single lines.

use std::ffi::OsStr;

use secrecy::SecretString;
use serde_json::Value;

use crate::mask::Mask;

/// Words in names of what is secret.
const NAMES: [&str; 5] = ["KEY", "TOKEN", "SECRET", "PASS", "CREDENTIAL"];
/// Shorter ones would mask words, in bytes.
const SHORTEST: usize = 8;

/// Knows the secrets of these variables, of these words of a command line, and of the arguments of calls.
pub(super) fn mask<'e>(
    variables: impl Iterator<Item = (&'e OsStr, &'e OsStr)> + Clone,
    words: &[String],
    calls: &[Value],
) -> Mask {
    let text = |text: &OsStr| text.to_string_lossy().into_owned();
    let mask = Mask::new(variables.clone().map(|(name, value)| (text(name), text(value))));
    for (_, value) in variables.filter(|(name, _)| is_secret(&name.to_string_lossy())) {
        learn(&mask, &text(value));
    }
    // What is masked by where it stands is a secret wherever else it stands.
    for (word, shown) in words.iter().zip(mask.words(words)) {
        if let Some((before, after)) = shown.split_once("***") {
            let inner = word.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
            learn(&mask, inner.unwrap_or(word));
        }
    }
    for arguments in calls {
        of_call(&mask, arguments);
    }
    mask
}

fn is_secret(name: &str) -> bool {
    let name = name.to_uppercase();
    NAMES.iter().any(|word| name.contains(word))
}

fn of_call(mask: &Mask, arguments: &Value) {
    match arguments {
        Value::Object(members) => {
            for (name, value) in members {
                match value.as_str().filter(|_| is_secret(name)) {
                    Some(secret) => learn(mask, secret),
                    None => of_call(mask, value),
                }
            }
        }
        Value::Array(all) => {
            for inner in all {
                of_call(mask, inner);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The secret, its lines, and how these are written between quotes, in JSON and by us.
fn learn(mask: &Mask, secret: &str) {
    for text in [secret].into_iter().chain(secret.lines()) {
        let (json, debug) = (Value::from(text).to_string(), format!("{text:?}"));
        for spelled in [text, &json[1..json.len() - 1], &debug[1..debug.len() - 1]] {
            if spelled.len() >= SHORTEST {
                mask.learn(&SecretString::from(spelled));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_known_in_quotes_by_lines_and_from_words_and_calls() {
        let variables = [
            ("MY_API_KEY", "pass\"word-1"),
            ("PRIVATE_KEY", "-----BEGIN\nabcdefgh\nijklmnop"),
            ("HOME", "/home/ada"),
        ];
        let variables = variables.map(|(name, value)| (OsStr::new(name), OsStr::new(value)));
        let words =
            ["env", "GITHUB_TOKEN=ghp_12345678", "server", "--api-key", "sk-12345678"].map(str::to_owned);
        let calls = [json!({"text": 5, "deep": [{"api_key": "call-secret-1"}]})];
        let mask = mask(variables.into_iter(), &words, &calls);
        for secret in [r#"pass\"word-1"#, "ijklmnop", "ghp_12345678", "sk-12345678", "call-secret-1"] {
            let shown = mask.apply(&format!("it said {secret}.")).into_owned();
            assert!(!shown.contains(secret), "{shown}");
        }
        assert_eq!(mask.apply("in /home/ada"), "in /home/ada");
    }
}
