//! The entries, in a host's config.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::entry::Config;
use crate::cli::setup::Setup;
use crate::command::configs::{backups, failure, host, surroundings, unreadable};
use crate::command::failure::Failure;
use crate::hosts::{self, Host, Shape, of_user, with_servers};

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
        target.with(&Config::default())?;
        Ok(Some(target))
    }

    fn with(&self, entries: &Config) -> Result<hosts::Added, Failure> {
        let servers: Vec<_> =
            entries.servers.iter().map(|(key, entry)| (key.clone(), entry.members())).collect();
        let shape = self.host.map_or(Shape::Unknown, Host::shape);
        let bad = |bad| unreadable(self.path(), &bad, "name another one");
        with_servers(self.config.text(), shape, &servers).map_err(bad)
    }

    fn path(&self) -> &Path {
        &self.config.path
    }

    /// Writes them.
    pub(super) fn write(&self, entries: &Config) -> Result<Written, Failure> {
        let added = self.with(entries)?;
        let changed = added.left.len() < entries.servers.len() && added.text != self.config.text();
        let kept = if changed {
            self.config.replace(&added.text, &self.backups).map_err(|fault| failure(&fault))?
        } else {
            None
        };
        let host = self.host.map(Host::name);
        Ok(Written { file: self.path().to_owned(), kept, left: added.left, changed, host })
    }
}
