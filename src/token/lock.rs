//! Who renews: several supervisors may share one token, and two renewals at once would leave one of them without.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::Place;

/// How often it is tried again while somebody else holds it: the system's own waiting could not be given up.
const AGAIN: Duration = Duration::from_millis(25);

/// The right to renew, until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _held: Flock<File>,
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
    /// Waits for the lock on this file, `FILE.lock` beside it, so long at most. The file of the lock stays, for whoever
    /// removed it would take it from others.
    ///
    /// # Errors
    /// If somebody else keeps it, or it cannot be had.
    pub async fn lock(&self, within: Duration) -> Result<Lock, NoLock> {
        timeout(within, obtain(self.clone())).await.unwrap_or(Err(NoLock::Held))
    }

    fn lock_file(&self) -> io::Result<File> {
        let mut name = self.path().file_name().unwrap_or_default().to_owned();
        name.push(".lock");
        let directory = self.directory();
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
            .open(directory.join(name))
    }
}

/// Tries until it is had. A file system that does not answer holds up no more than a thread that has nothing else to do.
async fn obtain(place: Place) -> Result<Lock, NoLock> {
    let opened = spawn_blocking(move || place.lock_file()).await;
    let mut file = match opened {
        Ok(Ok(file)) => file,
        Ok(Err(error)) => return Err(NoLock::Impossible(error.to_string())),
        Err(_) => return Err(NoLock::Impossible("that has panicked".to_owned())),
    };
    loop {
        let tried = spawn_blocking(move || Flock::lock(file, FlockArg::LockExclusiveNonblock)).await;
        match tried {
            Ok(Ok(held)) => return Ok(Lock { _held: held }),
            Ok(Err((back, Errno::EWOULDBLOCK | Errno::EINTR))) => file = back,
            Ok(Err((_, fault))) => return Err(NoLock::Impossible(fault.desc().to_owned())),
            Err(_) => return Err(NoLock::Impossible("that has panicked".to_owned())),
        }
        sleep(AGAIN).await;
    }
}
