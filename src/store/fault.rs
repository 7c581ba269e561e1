//! What can go wrong with the store. Each is a text that fits after "failed to".

use std::io;
use std::path::{Path, PathBuf};

/// Something is done without.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// There is no home, and no directory was given.
    #[error("keep a record of sessions: there is no home directory; hint: set HOME, or give --data-dir")]
    NoPlace,
    /// The directory cannot be used.
    #[error("keep a record of sessions in {path}: {why}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        why: Unusable,
    },
    /// The file cannot be used.
    #[error("keep a record of sessions in {path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        why: Unusable,
    },
    /// There is no file.
    #[error("find {0}: nothing was recorded yet")]
    Absent(PathBuf),
    /// A newer release has written the file.
    #[error(
        "use {path}: its version {found} is that of a newer release, and this one knows {known}; hint: update mcp-supervise"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// Ours.
        known: i64,
    },
    /// The file was damaged, and is kept under another name.
    #[error("read {path}, which is damaged; it was set aside as {aside}, and a new one was begun")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Its name from now on.
        aside: PathBuf,
    },
    /// The file is damaged, and was not set aside.
    #[error("read {0}, which is damaged; the next supervisor that starts sets it aside")]
    Unsound(PathBuf),
    /// It is on another machine, where locks and shared memory cannot be relied on.
    #[error(
        "keep a record of sessions in {0}, which is on a network file system; hint: give a local --data-dir"
    )]
    Network(PathBuf),
    /// Somebody else has it locked for too long.
    #[error("write to {0}: another program has it locked")]
    Locked(PathBuf),
    /// The disk is full.
    #[error("write to {0}: the disk is full")]
    Full(PathBuf),
    /// It can only be read.
    #[error("write to {0}: it is read-only")]
    ReadOnly(PathBuf),
    /// Something else, in the library's words.
    #[error("use {path}: {source}")]
    Database {
        /// The file.
        path: PathBuf,
        /// What the library says.
        source: rusqlite::Error,
    },
    /// There is no thread for it.
    #[error("start recording sessions: {0}")]
    Thread(io::Error),
    /// Its thread has panicked.
    #[error("go on recording sessions: its thread has panicked")]
    Panicked,
    /// The end did not wait.
    #[error("finish recording the session in time")]
    Late,
}

/// Whether there is no room left for a batch where this is. Asks the system.
fn is_full(path: &Path) -> bool {
    /// Some pages of the file and of its log, in bytes.
    const ROOM: u128 = 64 * 1024;
    let found = path.parent().and_then(|dir| nix::sys::statvfs::statvfs(dir).ok());
    found.is_some_and(|found| u128::from(found.blocks_available()) * u128::from(found.fragment_size()) < ROOM)
}

/// Why a file or a directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The system says so.
    #[error("{0}")]
    System(#[from] io::Error),
    /// It is no regular file.
    #[error("it is not a regular file")]
    NotAFile,
    /// It is no directory.
    #[error("it is not a directory")]
    NotADirectory,
    /// It belongs to somebody else.
    #[error("it belongs to another user")]
    Foreign,
    /// Somebody else may write to it.
    #[error("others may write to it")]
    OthersWrite,
}

impl Fault {
    /// What the library says, as far as it has a name here.
    pub(super) fn of(path: &Path, source: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Locked(path),
            Some(ErrorCode::DiskFull) => Self::Full(path),
            Some(ErrorCode::ReadOnly) => Self::ReadOnly(path),
            // A disk that becomes full in the wrong moment gives other errors, too.
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) if is_full(&path) => Self::Full(path),
            _ => Self::Database { path, source },
        }
    }

    /// Whether the file itself is damaged.
    pub(super) fn is_damage(source: &rusqlite::Error) -> bool {
        use rusqlite::ErrorCode;
        matches!(source.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
    }
}
