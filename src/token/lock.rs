//! Who renews: several supervisors may share one token, and two renewals at once would leave one of them without.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use tokio::time::{sleep, timeout};

use super::Place;
use super::file::directory;
use crate::threads;

/// How often it is tried again while somebody else holds it: the system's own waiting could not be given up.
const AGAIN: Duration = Duration::from_millis(25);

/// The right to renew, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _held: Vec<Flock<File>>,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoLock {
    /// Somebody else has held it for all that time.
    Held,
    /// It cannot be had here; why, in the system's words.
    Impossible(String),
}

impl Place {
    /// Waits for the lock on this file, `FILE.lock` beside it, so long at most. As long as the older file would be read in
    /// its place, for the lock on that one too, and first: others know no other file. The files of the locks stay, for
    /// whoever removed one would take it from others.
    ///
    /// # Errors
    /// If somebody else keeps it, or it cannot be had.
    pub async fn lock(&self, within: Duration) -> Result<Lock, NoLock> {
        timeout(within, obtain(self.clone())).await.unwrap_or(Err(NoLock::Held))
    }

    /// The files that must not be read and written by two at once, in the order in which everybody locks them.
    fn contended(&self) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = self.files().collect();
        if fs::symlink_metadata(self.path()).is_ok() {
            files.truncate(1);
        }
        files.reverse();
        files
    }
}

/// The file of the lock on a file.
fn lock_file(path: &Path) -> io::Result<File> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".lock");
    let directory = directory(path);
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(directory.join(name))
}

/// Tries until they are had. A file system that does not answer holds up no more than a thread that has nothing else to do.
async fn obtain(place: Place) -> Result<Lock, NoLock> {
    let failed = |error: io::Error| NoLock::Impossible(error.to_string());
    let mut held = Vec::new();
    for path in threads::blocking(move || place.contended()).await.map_err(failed)? {
        let opened = threads::blocking(move || lock_file(&path)).await.map_err(failed)?;
        held.push(hold(opened.map_err(|error| NoLock::Impossible(error.to_string()))?).await?);
    }
    Ok(Lock { _held: held })
}

async fn hold(mut file: File) -> Result<Flock<File>, NoLock> {
    loop {
        let tried = threads::blocking(move || Flock::lock(file, FlockArg::LockExclusiveNonblock)).await;
        match tried {
            Ok(Ok(held)) => return Ok(held),
            Ok(Err((back, Errno::EWOULDBLOCK | Errno::EINTR))) => file = back,
            Ok(Err((_, fault))) => return Err(NoLock::Impossible(fault.desc().to_owned())),
            Err(error) => return Err(NoLock::Impossible(error.to_string())),
        }
        sleep(AGAIN).await;
    }
}
