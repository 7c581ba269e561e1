//! The entries, in a host's config.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::entry::{self, Common, Entry};
use super::session::Obtained;
use crate::cli::setup::Setup;
use crate::command::configs::{backups, failure, host, surroundings, unreadable};
use crate::command::failure::Failure;
use crate::hosts::{self, Host, New, Shape, entries, of_user, with_servers};
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
    /// Whether anything is new.
    #[serde(skip)]
    pub(super) changed: bool,
    /// Who reads it. `None` where nobody has said so.
    #[serde(skip)]
    pub(super) host: Option<&'static str>,
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
        target.with(&[])?;
        Ok(Some(target))
    }

    fn with(&self, servers: &[New]) -> Result<hosts::Added, Failure> {
        with_servers(self.config.text(), self.shape(), servers).map_err(|bad| self.unreadable(&bad))
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

    /// Writes an entry for each of these sessions, by its key. A server of the same wallet that has no supervisor gets one if
    /// `replace` says so, or the person at the terminal.
    pub(super) fn write(
        &self,
        common: &Common,
        sessions: &[(String, Obtained)],
        replace: bool,
    ) -> Result<Written, Failure> {
        let there = entries(self.config.text(), self.shape()).map_err(|bad| self.unreadable(&bad))?;
        let (mut servers, mut replaced, mut unsupervised) = (Vec::new(), Vec::new(), Vec::new());
        for (key, session) in sessions {
            let wallet = session.owner.wallet();
            let entry = common.entry(key, wallet);
            let new = |name: &str, entry: &Entry, over| New {
                name: name.to_owned(),
                members: entry.members(),
                over,
            };
            let has_it = there.iter().any(|(name, found)| name == key && *found == entry.value());
            let rival = there
                .iter()
                .find_map(|(name, found)| Some((name, entry::unsupervised(found, wallet)?)))
                .filter(|_| !has_it);
            match rival {
                None => servers.push(new(key, &entry, false)),
                Some((name, words)) if replace || self.is_wanted(name)? => {
                    servers.push(new(name, &common.before(name, wallet, &words), true));
                    replaced.push(name.clone());
                }
                Some((name, _)) => unsupervised.push(name.clone()),
            }
        }
        let added = self.with(&servers)?;
        let changed = added.text != self.config.text() && added.left.len() < servers.len();
        let kept = if changed {
            self.config.replace(&added.text, &self.backups).map_err(|fault| failure(&fault))?
        } else {
            None
        };
        let (file, host) = (self.path().to_owned(), self.host.map(Host::name));
        Ok(Written { file, kept, left: added.left, replaced, unsupervised, changed, host })
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
