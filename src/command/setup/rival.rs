//! A server that a config has without the supervisor: the text in which it is behind one. Pure functions.
//!
//! Its command line is changed as `wrap` does it, so that `unwrap` gives it back; its variables are added to.

use serde_json::Value;

use super::entry::Common;
use crate::command::configs::{obstacle, split};
use crate::daemon::Wallet;
use crate::hosts::{Document, New, Shape, State, entries, with_servers};

const ODD: &str = "it cannot be understood";

/// The text of a config in which the server with this key, which is this wallet's, is behind the supervisor. As an error, why it cannot
/// be, as words that fit after "it is left as it is:".
pub(super) fn supervised(
    text: &str,
    shape: Shape,
    key: &str,
    common: &Common,
    wallet: Option<&Wallet>,
) -> Result<String, &'static str> {
    let document = Document::read(text, shape, &split).map_err(|_| ODD)?;
    let is_it = |name: &str, project: Option<&str>| name == key && project.is_none();
    let server = document.servers().iter().find(|server| is_it(&server.name, server.project.as_deref()));
    let server = server.ok_or(ODD)?;
    if let Some(why) = obstacle(&server.state) {
        return Err(why);
    }
    if server.state != State::Plain {
        return Err(ODD);
    }
    let options = common.options();
    let options = &options[..];
    let wrapped = document.wrapped(&[server], &common.program, &|_| options).text;
    let members = vec![("env", common.variables(wallet))];
    let new = New { name: key.to_owned(), members, over: true };
    let new = with_servers(&wrapped, shape, &[new]).map_err(|_| ODD)?.text;
    // A mistake is not to cost anybody a config; and what is there twice has been changed where no host looks.
    let one = |text| {
        entries(text, shape).ok()?.into_iter().find_map(|(name, entry)| (name == key).then_some(entry))
    };
    let is_as_meant = one(text)
        .zip(one(&new))
        .is_some_and(|(old, new)| is_same_behind_us(old, &new, &server.words, common, wallet));
    if is_as_meant { Ok(new) } else { Err("it has a key twice") }
}

/// Whether an entry is what it was, with the supervisor before its words, and our variables.
fn is_same_behind_us(
    old: Value,
    new: &Value,
    words: &[String],
    common: &Common,
    wallet: Option<&Wallet>,
) -> bool {
    let Value::Object(mut meant) = old else { return false };
    let Value::Object(variables) = common.variables(wallet) else { return false };
    let mut env = match meant.remove("env") {
        Some(Value::Object(env)) => env,
        _ => serde_json::Map::new(),
    };
    env.extend(variables);
    let args = new["args"].as_array().map(Vec::as_slice).unwrap_or_default();
    let own = args.iter().rev().zip(words.iter().rev()).filter(|(arg, word)| arg.as_str() == Some(word));
    let has_words = own.count() == words.len();
    meant.extend([
        ("command".to_owned(), common.program.clone().into()),
        ("args".to_owned(), new["args"].clone()),
        ("env".to_owned(), env.into()),
    ]);
    has_words && new.as_object() == Some(&meant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn common() -> Common {
        Common {
            program: "/opt/mcp-supervise".to_owned(),
            base_url: "http://127.0.0.1:3100".to_owned(),
            data_dir: "/home/a/.waiaas".to_owned(),
            ca: Some("/etc/ca.pem".to_owned()),
        }
    }

    fn behind(text: &str, key: &str) -> Result<String, &'static str> {
        supervised(text, Shape::Servers, key, &common(), None)
    }

    /// The text with each server that is wrapped taken out again.
    fn unwrapped(text: &str) -> String {
        let document = Document::read(text, Shape::Servers, &split).unwrap_or_else(|bad| panic!("{bad}"));
        let wrapped = document.servers().iter().filter(|server| server.state == State::Wrapped);
        document.unwrapped(&wrapped.collect::<Vec<_>>()).text
    }

    #[test]
    fn every_byte_of_the_command_line_comes_back() {
        let env =
            r#""env": {"WAIAAS_BASE_URL": "http://127.0.0.1:3100", "WAIAAS_DATA_DIR": "/home/a/.waiaas"}"#;
        for (key, entry) in [
            ("w", r#"{"command": "npx", "args": ["-y", "@waiaas/mcp"], ENV}"#),
            (
                "w",
                "{ // mine\r\n \"command\": \"npx\", // runs it\r\n \"args\": [\r\n  // yes\r\n  \"-y\",\r\n  \"@waiaas/mcp\", // it\r\n ],\r\n ENV // where\r\n}",
            ),
            ("--help", r#"{"args": ["@waiaas/mcp@2", "--", "x"], ENV, "command": "bunx"}"#),
            ("", r#"{"command": "@waiaas/mcp", ENV}"#),
        ] {
            let entry = entry.replace("ENV", env);
            let text = format!("{{\"mcpServers\": {{{}: {entry}}}}}", Value::from(key));
            let new = behind(&text, key).unwrap_or_else(|why| panic!("{why}: {text}"));
            for part in ["/opt/mcp-supervise", "--profile", "--upstream-ca", "/etc/ca.pem"] {
                assert!(new.contains(part), "{new}");
            }
            assert_eq!(new.contains("\"--name=--help\""), key == "--help", "{new}");
            assert_eq!(unwrapped(&new), text);
        }
    }

    #[test]
    fn what_hosts_may_read_otherwise_is_left() {
        let w = r#""w": {"command": "npx", "args": ["@waiaas/mcp"]}"#;
        for (servers, why) in [
            (format!("{w}, {w}"), "it is there twice"),
            (format!(r#"{w}, "w": {{"command": "x"}}"#), "it is there twice"),
            (r#""w": {"command": "npx", "command": "npx", "args": ["@waiaas/mcp"]}"#.to_owned(), "it has a key twice"),
            (
                r#""w": {"command": "npx", "args": ["@waiaas/mcp"], "env": {}, "env": {"A": "1"}}"#.to_owned(),
                "it has a key twice",
            ),
            (
                r#""w": {"command": "npx", "args": ["@waiaas/mcp"], "env": {"WAIAAS_DATA_DIR": "/x", "WAIAAS_DATA_DIR": "/y"}}"#
                    .to_owned(),
                "it has a key twice",
            ),
            (r#""w": {"command": "npx", "args": ["@waiaas/mcp", 1]}"#.to_owned(), "its arguments are not all texts"),
            (
                r#""w": {"type": "http", "url": "https://x", "command": "npx", "args": ["@waiaas/mcp"]}"#.to_owned(),
                "it is not started by its host, but somewhere else",
            ),
            (r#""v": {}"#.to_owned(), ODD),
        ] {
            let text = format!(r#"{{"mcpServers": {{{servers}}}}}"#);
            assert_eq!(behind(&text, "w"), Err(why), "{text}");
        }
    }

    #[test]
    fn variables_are_added_to_those_that_are_there() {
        let text =
            r#"{"mcpServers": {"w": {"command": "npx", "args": ["@waiaas/mcp"], "env": null, "cwd": "/x"}}}"#;
        let new = behind(text, "w").unwrap_or_else(|why| panic!("{why}"));
        let found = entries(&new, Shape::Servers).unwrap_or_else(|bad| panic!("{bad}"));
        assert_eq!(found[0].1["env"], common().variables(None), "{new}");
        assert_eq!(found[0].1["cwd"], "/x", "{new}");
    }
}
