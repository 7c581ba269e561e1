//! The entries, in a host's config.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;

use super::entry::{self, Common, Kin};
use super::rival::supervised;
use super::session::Obtained;
use crate::cli::setup::Setup;
use crate::command::configs::{backups, failure, host, split, surroundings, unreadable};
use crate::command::failure::Failure;
use crate::hosts::{self, Document, Host, New, Shape, entries, of_user, with_servers};
use crate::report;

/// A config that the entries are to go into.
pub(super) struct Target {
    /// As it was read.
    config: hosts::Config,
    host: Option<Host>,
    backups: PathBuf,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Written {
    /// The config.
    pub(super) file: PathBuf,
    /// Where what it was is kept. `None` where there was none, and where nothing changed.
    pub(super) kept: Option<PathBuf>,
    /// The keys whose servers were there already, and are something else.
    pub(super) left: Vec<String>,
    /// The keys of servers of the same wallets that had no supervisor, and have one now.
    pub(super) replaced: Vec<String>,
    /// The keys of those that have none still.
    pub(super) unsupervised: Vec<String>,
    /// The keys of those that had one before.
    #[serde(skip)]
    pub(super) supervised: Vec<String>,
    /// What else there is to be told of them.
    #[serde(skip)]
    pub(super) warnings: Vec<String>,
    /// Whether anything is new.
    #[serde(skip)]
    pub(super) changed: bool,
    /// Who reads it. `None` where nobody has said so.
    #[serde(skip)]
    pub(super) host: Option<&'static str>,
}

impl Written {
    /// Nothing as yet.
    fn of(file: &Path, host: Option<Host>) -> Self {
        Self {
            file: file.to_owned(),
            kept: None,
            left: Vec::new(),
            replaced: Vec::new(),
            unsupervised: Vec::new(),
            supervised: Vec::new(),
            warnings: Vec::new(),
            changed: false,
            host: host.map(Host::name),
        }
    }

    /// A server of the wallet goes on without a supervisor. `what`: what becomes of it, and why.
    fn leave(&mut self, key: &str, what: &str) {
        let is = "is of the same wallet and has no supervisor";
        self.warnings.push(format!("the server `{key}` of the config {is}: {what}"));
        self.unsupervised.push(key.to_owned());
    }

    /// Whether each session has its entry.
    pub(super) fn is_whole(&self) -> bool {
        self.left.is_empty() && self.unsupervised.is_empty()
    }
}

impl Target {
    /// The one that was asked for, read: what is wrong with it is to be told before a session is asked for. `None` where nothing
    /// is to be written.
    pub(super) fn of(options: &Setup) -> Result<Option<Self>, Failure> {
        if !options.write {
            return Ok(None);
        }
        let host = options.host.map(host);
        let path = match (&options.config, host) {
            (Some(path), _) => path.clone(),
            (None, Some(host)) => of_user(&surroundings()?, host),
            (None, None) => {
                return Err(Failure::usage(
                    "--write does not say into which config",
                    "name a host with --host, such as claude-desktop, or a file with --config",
                ));
            }
        };
        let config = hosts::Config::read_or_new(&path).map_err(|fault| failure(&fault))?;
        let target = Self { config, host, backups: backups(options.data_dir.as_deref())? };
        target.with(target.config.text(), &[])?;
        target.config.is_alone().map_err(|fault| failure(&fault))?;
        Ok(Some(target))
    }

    fn with(&self, text: &str, servers: &[New]) -> Result<hosts::Added, Failure> {
        with_servers(text, self.shape(), servers).map_err(|bad| self.unreadable(&bad))
    }

    fn shape(&self) -> Shape {
        self.host.map_or(Shape::Unknown, Host::shape)
    }

    fn unreadable(&self, bad: &hosts::Bad) -> Failure {
        unreadable(self.path(), bad, "name another one")
    }

    fn path(&self) -> &Path {
        &self.config.path
    }

    /// Writes an entry for each of these sessions, by its key, where no server of its wallet is there. One that has no supervisor gets
    /// one if `replace` says so, or the person at the terminal.
    pub(super) fn write(
        &self,
        common: &Common,
        sessions: &[(String, Obtained)],
        replace: bool,
    ) -> Result<Written, Failure> {
        let there = entries(self.config.text(), self.shape()).map_err(|bad| self.unreadable(&bad))?;
        let mut text = self.config.text().to_owned();
        let mut servers = Vec::new();
        let mut written = Written::of(self.path(), self.host);
        for (key, session) in sessions {
            let wallet = session.owner.wallet();
            // A key that is there twice is what is worse of the two.
            let mut kin: BTreeMap<&str, Kin> = BTreeMap::new();
            for (name, entry) in &there {
                if let Some(found) = common.kin(entry, wallet) {
                    kin.entry(name).and_modify(|known| *known = found.max(*known)).or_insert(found);
                }
            }
            if kin.is_empty() {
                let members = common.entry(key, wallet).members();
                servers.push(New { name: key.clone(), members, over: false });
            }
            for (name, kin) in kin {
                if kin == Kin::Supervised {
                    written.supervised.push(name.to_owned());
                    continue;
                }
                match supervised(&text, self.shape(), name, common, wallet) {
                    Err(why) => written.leave(name, &format!("it is left as it is: {why}")),
                    Ok(new) if replace || self.is_wanted(name)? => {
                        text = new;
                        written.replaced.push(name.to_owned());
                    }
                    Ok(_) => written.leave(name, "it is left as it is; with --replace it gets one"),
                }
            }
        }
        let added = self.with(&text, &servers)?;
        written.changed = !written.replaced.is_empty() || added.left.len() < servers.len();
        if written.changed {
            let kept = self.config.replace(&added.text, &self.backups).map_err(|fault| failure(&fault))?;
            written.kept = kept;
        }
        written.left = added.left;
        self.warn(&there, &mut written)?;
        Ok(written)
    }

    /// Adds to the warnings what else a person should know of these servers.
    fn warn(&self, there: &[(String, Value)], written: &mut Written) -> Result<(), Failure> {
        for key in &written.left {
            written.warnings.push(format!(
                "the config has another server `{key}`, which is left as it is: take it out to have the new entry"
            ));
        }
        let document = Document::read(self.config.text(), self.shape(), &split);
        let document = document.map_err(|bad| self.unreadable(&bad))?;
        for key in written.supervised.iter().chain(&written.replaced) {
            let is_disabled = document
                .servers()
                .iter()
                .any(|server| server.name == *key && server.project.is_none() && server.disabled);
            if is_disabled {
                written.warnings.push(format!(
                    "the server `{key}` of the config is disabled: its host does not start it until it is enabled there"
                ));
            }
            if there.iter().any(|(name, entry)| name == key && entry::has_token(entry)) {
                written.warnings.push(format!(
                    "the server `{key}` of the config still has a token in {}: it is of no use any more, and may be taken out",
                    entry::TOKEN
                ));
            }
        }
        Ok(())
    }

    /// Whether the person wants the supervisor before this server. `false` where nobody can be asked.
    fn is_wanted(&self, name: &str) -> Result<bool, Failure> {
        if !io::stdin().is_terminal() {
            return Ok(false);
        }
        let file = self.path().display();
        report::agreed(format_args!(
            "The server `{name}` in {file} is of the same wallet and has no supervisor. Put it before that? [y/N] "
        ))
        .map_err(|error| Failure::unexpected(format!("failed to ask: {error}")))
    }
}
