//! Where a token is kept: one file, read with care and written in one step.
//!
//! What others could have put there is not read: a link, a file of another user, one that anybody may write to. What is
//! written takes the place of the old file at once, and is on the disk before anybody is told that it is: whoever
//! is killed at any point leaves the old token or the new one, and never half of one.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::unistd::geteuid;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};

use super::claims::LONGEST;
use crate::disk::sync;

/// Who may write to a file besides its owner and its group.
const WORLD_WRITABLE: u32 = 0o002;
/// Who may do anything with a file besides its owner.
const OTHERS: u32 = 0o077;
/// What a file that is being written is called, between a dot with the file's own name and something random.
const UNFINISHED: &str = ".new-";
/// An unfinished file this much older than another one is nobody's any more.
const ABANDONED: Duration = Duration::from_secs(60);

/// The file of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    path: PathBuf,
    /// Where it was kept by older versions of the daemon: read if there is nothing else, and never written.
    older: Option<PathBuf>,
}

/// What was found there.
pub enum Reading {
    /// Nothing.
    Nothing,
    /// This.
    Text {
        /// What the file holds.
        text: Zeroizing<Vec<u8>>,
        /// Whether others than its owner may read it, or its group may write to it.
        exposed: bool,
    },
    /// What must not be read, or cannot; why, as words that fit after "the token file".
    Refused(String),
}

impl Place {
    /// This file.
    pub fn new(path: PathBuf) -> Self {
        Self { path, older: None }
    }

    /// The file of a wallet in the daemon's directory: `mcp-tokens/ID`, and where there is none the older `mcp-token`.
    ///
    /// # Errors
    /// If the wallet's id cannot be the name of a file.
    pub fn of_wallet(data_dir: &Path, wallet: &str) -> Result<Self, String> {
        let is_name = |c: char| !c.is_control() && !matches!(c, '/' | '\\' | '.');
        if wallet.is_empty() || !wallet.chars().all(is_name) {
            return Err(format!("{wallet:?} is no wallet's id: it may hold neither dots nor slashes"));
        }
        Ok(Self { path: data_dir.join("mcp-tokens").join(wallet), older: Some(older(data_dir)) })
    }

    /// The file of servers without a wallet's id: the older `mcp-token` itself.
    pub fn of_no_wallet(data_dir: &Path) -> Self {
        Self::new(older(data_dir))
    }

    /// The file that is written, and read first.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that are read.
    pub fn files(&self) -> impl Iterator<Item = PathBuf> {
        [Some(self.path.clone()), self.older.clone()].into_iter().flatten()
    }

    /// What is there now. Never waits for anybody, whatever is there.
    pub fn read(&self) -> Reading {
        match (read(&self.path), &self.older) {
            (Reading::Nothing, Some(older)) => read(older),
            (reading, _) => reading,
        }
    }

    /// Puts a token there. When this returns, it is on the disk.
    ///
    /// # Errors
    /// Why it is not there, as words that fit after "the token file". What was there before is there still.
    pub fn write(&self, token: &SecretString) -> Result<(), String> {
        match fs::symlink_metadata(&self.path) {
            Ok(there) => {
                if let Some(wrong) = objection(&there).filter(|_| !there.is_file()) {
                    return Err(wrong.to_owned());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(self.fault(&error)),
        }
        self.replace(token).map_err(|error| self.fault(&error))
    }

    fn replace(&self, token: &SecretString) -> io::Result<()> {
        let directory = self.directory();
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let prefix = format!(".{name}{UNFINISHED}");
        let mut file = tempfile::Builder::new().prefix(&prefix).tempfile_in(directory)?;
        // By the file itself: an error would else name a file that is gone when it is told.
        file.as_file_mut().write_all(token.expose_secret().as_bytes())?;
        sync(file.as_file())?;
        remove_abandoned(directory, &prefix, &file.as_file().metadata()?);
        file.persist(&self.path).map_err(|fault| fault.error)?;
        sync(&File::open(directory)?)
    }

    /// With the directory: a person has to know which disk is full.
    fn fault(&self, error: &io::Error) -> String {
        format!("cannot be written in {}: {error}", self.directory().display())
    }

    fn directory(&self) -> &Path {
        directory(&self.path)
    }
}

/// Where tokens were before each wallet had a file of its own.
fn older(data_dir: &Path) -> PathBuf {
    data_dir.join("mcp-token")
}

/// The directory that a file is in.
pub(super) fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

fn read(path: &Path) -> Reading {
    // Without waiting for the writer of a pipe.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let opened = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Reading::Nothing,
        Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => {
            return Reading::Refused(LINK.to_owned());
        }
        Err(error) => return Reading::Refused(format!("cannot be read: {error}")),
    };
    let there = match file.metadata() {
        Ok(there) => there,
        Err(error) => return Reading::Refused(format!("cannot be read: {error}")),
    };
    if let Some(wrong) = objection(&there) {
        return Reading::Refused(wrong.to_owned());
    }
    // One byte more than a token with some white space around it: what is longer is seen to be. Held from the beginning,
    // for a buffer that grows leaves copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(LONGEST + 1024));
    let most = text.capacity() as u64;
    if let Err(error) = file.take(most).read_to_end(&mut text) {
        return Reading::Refused(format!("cannot be read: {error}"));
    }
    if text.len() as u64 == most {
        return Reading::Refused("holds more than a token".to_owned());
    }
    Reading::Text { text, exposed: there.mode() & OTHERS != 0 }
}

const LINK: &str = "is a symbolic link, which is not followed";

/// What is wrong with a file for a token.
fn objection(there: &Metadata) -> Option<&'static str> {
    if there.file_type().is_symlink() {
        Some(LINK)
    } else if !there.is_file() {
        Some("is no regular file")
    } else if there.uid() != geteuid().as_raw() {
        Some("belongs to another user")
    } else if there.mode() & WORLD_WRITABLE != 0 {
        Some("can be written to by anybody")
    } else {
        None
    }
}

/// Removes what writers left that were killed: there is a token in it.
fn remove_abandoned(directory: &Path, prefix: &str, new: &Metadata) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    let made = |there: &Metadata| Duration::from_secs(u64::try_from(there.mtime()).unwrap_or(0));
    for entry in entries.flatten() {
        let named = entry.file_name().to_string_lossy().starts_with(prefix);
        let old = entry.metadata().is_ok_and(|there| made(&there) + ABANDONED < made(new));
        if named && old {
            // Whoever else removes it does the same.
            let _ = fs::remove_file(entry.path());
        }
    }
}
