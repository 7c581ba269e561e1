//! What of a check must not be shown: secrets of the environment, of the command line and of calls. Pure.

use std::ffi::OsStr;

use serde_json::Value;

use crate::mask::Mask;

/// Knows the secrets of these variables, of these words of a command line, and of the arguments of calls.
pub(super) fn mask<'e>(
    variables: impl Iterator<Item = (&'e OsStr, &'e OsStr)>,
    words: &[String],
    calls: &[Value],
) -> Mask {
    let text = |text: &OsStr| text.to_string_lossy().into_owned();
    let mask = Mask::new(variables.map(|(name, value)| (text(name), text(value))));
    mask.learn_words(words);
    for arguments in calls {
        mask.learn_arguments(arguments);
    }
    mask
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
