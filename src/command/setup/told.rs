//! What was done, as a text for a person and as one JSON object for a program. Pure functions; there is no token in what
//! they are given.

use std::fmt::Write as _;
use std::path::Path;

use serde::Serialize;

use super::entry::Config;
use super::failure::Failure;
use super::owner::{Owner, shown};
use super::session::Obtained;
use super::write::Written;
use crate::daemon::Expiry;
use crate::report;

/// All that came of it.
pub(super) struct Told<'a> {
    /// The daemon's address.
    pub(super) base_url: &'a str,
    /// Each session with the key of its entry.
    pub(super) sessions: &'a [(String, Obtained)],
    /// Who has none, and why.
    pub(super) failures: &'a [(Owner, Failure)],
    /// What was told on stderr, and stopped nothing.
    pub(super) warnings: &'a [String],
    /// The entries.
    pub(super) config: &'a Config,
    /// What became of a host's config. `None` where none was to be written, or could be.
    pub(super) written: Option<&'a Written>,
}

/// The JSON object, field by field as the manual has them.
#[derive(Serialize)]
struct Object<'a> {
    base_url: &'a str,
    sessions: Vec<Session<'a>>,
    failures: Vec<Missing<'a>>,
    warnings: &'a [String],
    config: &'a Config,
    written: Option<&'a Written>,
}

#[derive(Serialize)]
#[expect(clippy::struct_field_names, reason = "these are the names that the manual has")]
struct Session<'a> {
    wallet_id: Option<&'a str>,
    wallet_name: Option<&'a str>,
    wallet_ids: Vec<&'a str>,
    session_id: Option<&'a str>,
    token_file: String,
    expires_at: Option<i64>,
    key: &'a str,
    replaced: Option<Before<'a>>,
}

#[derive(Serialize)]
struct Before<'a> {
    session_id: Option<&'a str>,
    revoked: bool,
}

#[derive(Serialize)]
struct Missing<'a> {
    wallet_id: Option<&'a str>,
    wallet_name: Option<&'a str>,
    wallet_ids: Vec<&'a str>,
    exit_code: i32,
    message: &'a str,
    hint: Option<&'a str>,
}

impl Told<'_> {
    /// For a program.
    pub(super) fn json(&self) -> serde_json::Result<String> {
        let sessions = self.sessions.iter().map(|(key, obtained)| Session {
            wallet_id: obtained.owner.wallet().map(|wallet| &*wallet.id),
            wallet_name: obtained.owner.wallet().and_then(|wallet| wallet.name.as_deref()),
            wallet_ids: ids(&obtained.owner),
            session_id: obtained.session.as_deref(),
            token_file: obtained.file.display().to_string(),
            expires_at: obtained.expires.and_then(Expiry::seconds),
            key,
            replaced: obtained
                .replaced
                .as_ref()
                .map(|old| Before { session_id: old.session.as_deref(), revoked: old.revoked }),
        });
        let failures = self.failures.iter().map(|(owner, failure)| Missing {
            wallet_id: owner.wallet().map(|wallet| &*wallet.id),
            wallet_name: owner.wallet().and_then(|wallet| wallet.name.as_deref()),
            wallet_ids: ids(owner),
            exit_code: failure.code,
            message: &failure.message,
            hint: failure.hint.as_deref(),
        });
        let object = Object {
            base_url: self.base_url,
            sessions: sessions.collect(),
            failures: failures.collect(),
            warnings: self.warnings,
            config: self.config,
            written: self.written,
        };
        Ok(report::json(&serde_json::to_string_pretty(&object)?) + "\n")
    }

    /// For a person. Empty if nothing was done.
    pub(super) fn text(&self) -> serde_json::Result<String> {
        let mut text = String::new();
        if self.sessions.is_empty() {
            return Ok(text);
        }
        // Writing to a string cannot fail.
        let mut line = |name: &str, what: &str| {
            let _ = writeln!(text, "{name:<8} {}", report::line(what));
        };
        line("daemon", self.base_url);
        for (_, obtained) in self.sessions {
            for wallet in obtained.owner.wallets() {
                line("wallet", &shown(wallet));
            }
            let session = obtained.session.as_deref().unwrap_or("of an unknown id");
            let lasts = match obtained.expires {
                None => String::new(),
                Some(Expiry::Never) => format!(", lasts {}", Expiry::Never),
                Some(end @ Expiry::At(_)) => format!(", lasts {end} unless it is renewed"),
            };
            line("session", &format!("{session}{lasts}"));
            line("token", &obtained.file.display().to_string());
            if let Some(old) = &obtained.replaced {
                let id = old.session.as_deref().unwrap_or("of an unknown id");
                let what =
                    if old.revoked { "is revoked" } else { "is not revoked: with --revoke-old it would be" };
                line("before", &format!("the session {id} {what}"));
            }
        }
        if let Some(written) = self.written {
            written.tell(&mut text);
            return Ok(text);
        }
        let (entries, were) = match self.sessions.len() {
            1 => ("this entry", "A supervisor"),
            _ => ("these entries", "Supervisors"),
        };
        let config = report::json(&serde_json::to_string_pretty(self.config)?);
        let _ = write!(
            text,
            "\n{were} already running with such a token file will use the new token at once.\n\
             For a host that does not know the server yet, put {entries} into its config, beside the \"mcpServers\" that\n\
             are there: Claude Desktop has it in claude_desktop_config.json (Settings, Developer), Cursor in\n\
             ~/.cursor/mcp.json, Claude Code in .mcp.json. Then restart the host.\n\n{config}\n"
        );
        Ok(text)
    }
}

impl Written {
    /// For a person.
    fn tell(&self, text: &mut String) {
        let host = self.host.unwrap_or("the host that reads it");
        let what = match (self.changed, self.is_whole()) {
            (true, true) => format!("has the entry now: restart {host}"),
            // What is missing in it stands in the warnings.
            (true, false) => format!("has changed: restart {host}"),
            (false, true) => "has the entry already".to_owned(),
            (false, false) => "is as it was".to_owned(),
        };
        // Writing to a string cannot fail.
        let shown = |path: &Path| report::line(&path.display().to_string());
        let _ = writeln!(text, "{:<8} {} {what}", "config", shown(&self.file));
        for key in &self.supervised {
            let what = format!("the server `{}` has the supervisor before it already", report::line(key));
            let _ = writeln!(text, "{:<8} {what}", "");
        }
        for key in &self.replaced {
            let what = format!("the server `{}` has the supervisor before it now", report::line(key));
            let _ = writeln!(text, "{:<8} {what}", "");
        }
        if let Some(kept) = &self.kept {
            let _ = writeln!(text, "{:<8} what the config was is in {}", "", shown(kept));
        }
    }
}

fn ids(owner: &Owner) -> Vec<&str> {
    owner.wallets().iter().map(|wallet| &*wallet.id).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::entry::Common;
    use super::super::session::Replaced;
    use super::*;
    use crate::daemon::Wallet;
    use crate::report::plain;

    #[test]
    fn words_of_a_daemon_do_nothing_to_a_terminal_and_its_names_are_as_they_were_in_the_config() {
        let odd = || "x\u{1b}[2J\u{9b}\u{202e}\u{2028}\u{e0041}\nforged".to_owned();
        let wallet = Wallet { id: odd(), name: Some(odd()), terminated: false };
        let common =
            Common { program: odd(), base_url: "http://x".to_owned(), data_dir: "/x".to_owned(), ca: None };
        let config = Config { servers: BTreeMap::from([(odd(), common.entry(&odd(), Some(&wallet)))]) };
        let obtained = Obtained {
            owner: Owner::Wallet(wallet.clone()),
            session: Some(odd()),
            file: odd().into(),
            expires: None,
            replaced: Some(Replaced { session: Some(odd()), revoked: true }),
        };
        let sessions = [(odd(), obtained)];
        let failures = [(Owner::Wallet(wallet), Failure::unexpected(odd()))];
        let (base_url, warnings) = (&*odd(), &[odd()][..]);
        let told = Told {
            base_url,
            sessions: &sessions,
            failures: &failures,
            warnings,
            config: &config,
            written: None,
        };
        let (text, json) = (told.text().unwrap(), told.json().unwrap());
        assert_eq!((plain(&text), plain(&json)), (text.clone(), json.clone()));
        assert!(!text.lines().any(|line| line.starts_with("forged")), "{text}");
        let shown: serde_json::Value = serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap();
        let given: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(shown, given["config"]);
        assert!(shown["mcpServers"].get(odd()).is_some(), "{shown}");
    }
}
