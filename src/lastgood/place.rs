//! Where last good answers lie: the directory that was given, else the platform's, and in it the folder `last-good`.
//!
//! The directory's place is asked anew for each reading and writing, on the room's own thread: to look up a user can take
//! long.

use std::path::PathBuf;

use super::entries::Entry;
use super::fault::Fault;
use super::folder::Folder;
use super::key::Key;
use super::room::Disk;
use crate::datadir::data_dir;
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
        let data_dir = data_dir(self.data_dir.as_deref()).ok_or(Fault::NoPlace)?;
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
