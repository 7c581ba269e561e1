//! Secrets in a command line, and in the arguments of calls: here it is known where a value begins and ends, and by which name it
//! goes.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::Value;

use super::{MASKED, Mask, is_secret_name};

/// Options before a variable for the server, as docker has them.
const ENVIRONMENT: [&str; 3] = ["-e", "--env", "--environment"];
/// Options before a header of HTTP.
const HEADER: [&str; 2] = ["-H", "--header"];
/// The least number of digits with which a number is a secret by the name of its member.
const DIGITS: usize = 8;

impl Mask {
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

    /// The words of a command line, each masked. The value of an option or of an assignment is masked whole, whatever quotes and
    /// spaces are in it.
    pub fn words<'w>(&self, argv: &'w [String]) -> Vec<Cow<'w, str>> {
        let secrets = secrets(argv).into_iter().zip(argv);
        let masked = secrets.map(|(secret, word)| match secret {
            Some(Secret::From(at)) => Cow::Owned(format!("{}{MASKED}", self.apply(&word[..at]))),
            Some(Secret::Members(all)) => Cow::Owned(self.apply(&without(word, &all)).into_owned()),
            // Before it is quoted, for that may change how a secret is spelled; what two words show follows in `command`.
            None => self.apply(word),
        });
        masked.collect()
    }

    /// Masks what is secret in this command line wherever else it stands.
    pub fn learn_words(&self, argv: &[String]) {
        for (secret, word) in secrets(argv).into_iter().zip(argv) {
            match secret {
                Some(Secret::From(at)) => self.learn_text(word[at..].trim()),
                Some(Secret::Members(all)) => self.learn_all(&all),
                None => {}
            }
        }
    }

    /// Masks what is secret in the arguments of a call wherever else it stands.
    pub fn learn_arguments(&self, arguments: &Value) {
        let mut found = Vec::new();
        members(arguments, false, &mut found);
        self.learn_all(&found);
    }

    fn learn_all(&self, secrets: &[String]) {
        for secret in secrets {
            self.learn_text(secret);
        }
    }
}

/// What of a word is secret.
enum Secret {
    /// All from this byte on.
    From(usize),
    /// These, in a JSON text.
    Members(Vec<String>),
}

/// What of each word of a command line is secret.
fn secrets(argv: &[String]) -> Vec<Option<Secret>> {
    let mut before = "";
    let mut secrets = Vec::with_capacity(argv.len());
    for word in argv {
        let secret = secret_part(before, word);
        // A value is no option, whatever it looks like.
        before = if matches!(secret, Some(Secret::From(0))) { "" } else { word };
        secrets.push(secret);
    }
    secrets
}

/// What of this word is secret that stands behind that one.
fn secret_part(before: &str, word: &str) -> Option<Secret> {
    // Two dashes are another option's.
    if is_secret_option(before) && !word.starts_with("--") {
        return Some(Secret::From(0));
    }
    let of = |option: &str, at: usize| Some(value(option, &word[at..])?.moved(at));
    let of_the_one_before = before.starts_with('-').then(|| of(before, 0)).flatten();
    if of_the_one_before.is_some() {
        return of_the_one_before;
    }
    if let Some((name, _)) = word.split_once('=') {
        let at = name.len() + 1;
        if is_secret_option(name) || is_secret_assignment(name) {
            return Some(Secret::From(at));
        }
        let of_this = name.starts_with('-').then(|| of(name, at)).flatten();
        if of_this.is_some() {
            return of_this;
        }
    }
    // `-eNAME=value`, `-HName: value`.
    let mut attached = ["-e", "-H"].into_iter().filter(|option| word.len() > 2 && word.starts_with(option));
    attached.find_map(|option| of(option, 2)).or_else(|| value("", word))
}

/// What of the value of this option is secret.
fn value(option: &str, value: &str) -> Option<Secret> {
    if HEADER.contains(&option) {
        // Any header may be what lets its bearer in.
        return Some(match value.split_once(':') {
            Some((name, rest)) => {
                let space = rest.len() - rest.trim_start().len();
                Secret::From(name.len() + 1 + space)
            }
            None => Secret::From(0),
        });
    }
    if ENVIRONMENT.contains(&option)
        && let Some((name, _)) = value.split_once('=').filter(|(name, _)| is_secret_name(name))
    {
        return Some(Secret::From(name.len() + 1));
    }
    let json = value.starts_with(['{', '[']).then(|| serde_json::from_str(value).ok()).flatten()?;
    let mut found = Vec::new();
    members(&json, false, &mut found);
    (!found.is_empty()).then_some(Secret::Members(found))
}

impl Secret {
    /// The same, where what was looked at begins at this byte of the word.
    fn moved(self, by: usize) -> Self {
        match self {
            Self::From(at) => Self::From(at + by),
            Self::Members(all) => Self::Members(all),
        }
    }
}

/// The texts that members with names of secrets have.
fn members(value: &Value, secret: bool, found: &mut Vec<String>) {
    match value {
        Value::Object(all) => {
            all.iter().for_each(|(name, value)| members(value, secret || is_secret_name(name), found));
        }
        Value::Array(all) => all.iter().for_each(|value| members(value, secret, found)),
        Value::String(text) if secret && !text.is_empty() => found.push(text.clone()),
        Value::Number(number) if secret && number.to_string().len() >= DIGITS => {
            found.push(number.to_string());
        }
        Value::String(_) | Value::Number(_) | Value::Null | Value::Bool(_) => {}
    }
}

/// A JSON text without these texts in it. Numbers become texts.
fn without(json: &str, secrets: &[String]) -> String {
    let mut text = json.to_owned();
    for secret in secrets {
        let quoted = Value::from(secret.as_str()).to_string();
        let number = secret.bytes().all(|byte| byte.is_ascii_digit());
        text = text.replace(&quoted, &format!("\"{MASKED}\""));
        for spelled in super::spellings(secret) {
            if spelled.len() >= super::SHORTEST || !number {
                text = text.replace(&format!("\"{spelled}\""), &format!("\"{MASKED}\""));
            }
        }
        if number {
            text = text.replace(secret, &format!("\"{MASKED}\""));
        }
    }
    text
}

/// Whether the word after this option is a secret: `--api-key`, and not `--api-key=value`.
fn is_secret_option(word: &str) -> bool {
    word.strip_prefix("--").is_some_and(|name| !name.contains('=') && is_secret_name(name))
}

/// Whether this is what an assignment of a secret to an environment variable starts with, as in `-e GITHUB_TOKEN=value`.
fn is_secret_assignment(name: &str) -> bool {
    is_secret_name(name) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
