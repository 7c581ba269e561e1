//! Where last good answers lie: the directory that was given, else the platform's, and in it the folder `last-good`.
//!
//! The platform decides only the directory's place; everything else is the same on Linux and macOS. Asked anew for each
//! reading and writing, on the room's own thread: to look up a user can take long.

use std::env;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy as _;

use super::entries::Entry;
use super::fault::Fault;
use super::folder::Folder;
use super::key::Key;
use super::room::Disk;
use crate::engine::io::Good;

/// The place of one server's file.
pub(super) struct Shelf {
    data_dir: Option<PathBuf>,
    key: Key,
}

impl Shelf {
    /// `data_dir` is `None` for the platform's.
    pub(super) fn new(data_dir: Option<PathBuf>, key: Key) -> Self {
        Self { data_dir, key }
    }

    fn folder(&self) -> Result<Folder, Fault> {
        let data_dir = self.data_dir.clone().or_else(state_dir).ok_or(Fault::NoPlace)?;
        Ok(Folder::ours(data_dir.join("last-good")))
    }
}

impl Disk for Shelf {
    fn load(&mut self) -> Result<Vec<Good>, Fault> {
        Ok(self.folder()?.read(&self.key)?.into_goods())
    }

    fn write(&mut self, news: &[Entry], tell: &mut dyn FnMut(Fault)) -> Result<(), Fault> {
        self.folder()?.update(&self.key, news, tell)
    }
}

/// The platform's directory for what we store. `None` without a home.
fn state_dir() -> Option<PathBuf> {
    // The library would go on to look the user up, and a process that was started without a home is to have none.
    let told = |name| env::var_os(name).is_some_and(|path| Path::new(&path).is_absolute());
    if !told("HOME") && (cfg!(target_os = "macos") || !told("XDG_STATE_HOME")) {
        return None;
    }
    let platform = etcetera::base_strategy::choose_native_strategy().ok()?;
    // On macOS state has no directory of its own.
    Some(platform.state_dir().unwrap_or_else(|| platform.data_dir()).join("mcp-supervise"))
}
