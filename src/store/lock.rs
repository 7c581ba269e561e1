//! The lock: one of ours at a time has the file open.
//!
//! It is on a file of its own that nobody else can open: whoever can open a file or a directory can lock it for ever, and a
//! directory may be there for all to read. A lock file that others could open is replaced. Two of ours that have the lock at
//! once, because it was replaced or removed, are kept apart by the library's own locks.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc;
use nix::unistd::geteuid;

use super::fault::{Fault, Unusable};
use super::file::file_fault;

/// The lock file, beside the file.
const FILE: &str = "sessions.lock";
/// What others must not be allowed: anything.
const OTHERS: u32 = 0o077;
/// How often a lock file is replaced that others could open.
const ATTEMPTS: u32 = 3;

/// Between two tries to have the lock: at first, and at most, for each try makes it twice as long. Hundreds may write at once;
/// of them those come first who end, and before them all who wait for what is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pauses(Duration, Duration);

impl Pauses {
    pub(super) const TO_WRITE: Self = Self(Duration::from_millis(2), Duration::from_millis(16));
    pub(super) const TO_END: Self = Self(Duration::from_millis(2), Duration::from_millis(2));
    const TO_LOOK: Self = Self(Duration::from_micros(500), Duration::from_micros(500));
}

/// The lock, which is given back when it is dropped.
#[derive(Debug)]
pub(super) struct Lock {
    _held: Flock<File>,
}

impl Lock {
    /// Takes the lock for the file of this path, and waits for others for so long, unless there is something else to do.
    pub(super) fn take(
        path: &Path,
        patience: Duration,
        pauses: Pauses,
        other: &dyn Fn() -> bool,
    ) -> Result<Self, Fault> {
        hold(path, open(path)?, patience, pauses, other)
    }

    /// Takes it for a look. `None` where there is no lock file and none can be made: then nothing can be written.
    pub(super) fn to_look(path: &Path, patience: Duration) -> Result<Option<Self>, Fault> {
        // On a disk that can only be read one that is there can still be locked.
        let Ok(file) = open(path).or_else(|_| File::open(beside(path))) else { return Ok(None) };
        hold(path, file, patience, Pauses::TO_LOOK, &|| false).map(Some)
    }
}

fn beside(path: &Path) -> PathBuf {
    path.with_file_name(FILE)
}

/// Opens the lock file, which is made where it is not there.
fn open(path: &Path) -> Result<File, Fault> {
    let lock = beside(path);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).mode(0o600);
    // Neither a link nor a pipe that nobody reads leads anywhere.
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    for _ in 0..ATTEMPTS {
        let opened = options.open(&lock);
        match opened.and_then(|file| Ok((file.metadata()?, file))) {
            Ok((found, file)) if is_private(&found) => return Ok(file),
            Err(error) if !is_something_else(&error) => return Err(file_fault(path, error)),
            Ok(_) | Err(_) => fs::remove_file(&lock).map_err(|error| file_fault(path, error))?,
        }
    }
    Err(Fault::File { path: lock, why: Unusable::OthersWrite })
}

/// Whether nobody else can have it open.
fn is_private(found: &fs::Metadata) -> bool {
    found.is_file() && found.uid() == geteuid().as_raw() && found.mode() & OTHERS == 0
}

/// Whether this is what is told of a link, or of a file that we may not open: neither was made by us.
fn is_something_else(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::PermissionDenied || error.raw_os_error() == Some(libc::ELOOP)
}

/// Asks for the lock again and again, for a wait in the system has no bound.
fn hold(
    path: &Path,
    mut file: File,
    patience: Duration,
    Pauses(mut pause, longest): Pauses,
    other: &dyn Fn() -> bool,
) -> Result<Lock, Fault> {
    let mut waited = Duration::ZERO;
    loop {
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(held) => return Ok(Lock { _held: held }),
            Err((back, Errno::EWOULDBLOCK | Errno::EINTR)) if waited < patience && !other() => file = back,
            Err((_, Errno::EWOULDBLOCK | Errno::EINTR)) => return Err(Fault::Locked(path.to_owned())),
            Err((_, error)) => return Err(file_fault(path, error.into())),
        }
        thread::sleep(pause);
        waited += pause;
        pause = (pause * 2).min(longest);
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn locked(file: &Path) -> Flock<File> {
        Flock::lock(File::open(file).unwrap(), FlockArg::LockExclusive).map_err(|(_, error)| error).unwrap()
    }

    #[test]
    fn whoever_has_the_directory_or_a_file_that_all_can_open_does_not_have_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let (path, lock) = (dir.path().join("sessions.db"), dir.path().join(FILE));
        fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
        let take = || Lock::take(&path, Duration::ZERO, Pauses::TO_WRITE, &|| false);
        let _directory = locked(dir.path());
        drop(take().unwrap());
        fs::set_permissions(&lock, Permissions::from_mode(0o644)).unwrap();
        let _open = locked(&lock);
        drop(take().unwrap());
        assert_eq!(fs::metadata(&lock).unwrap().mode() & 0o7777, 0o600, "it was replaced");
        fs::remove_file(&lock).unwrap();
        symlink(dir.path().join("elsewhere"), &lock).unwrap();
        drop(take().unwrap());
        assert!(fs::symlink_metadata(&lock).unwrap().is_file() && !dir.path().join("elsewhere").exists());
    }

    #[test]
    fn whoever_has_the_lock_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sessions.db");
        let patience = Duration::from_millis(20);
        let held = Lock::take(&path, patience, Pauses::TO_END, &|| false).unwrap();
        let other = Lock::take(&path, patience, Pauses::TO_END, &|| false);
        assert!(matches!(other, Err(Fault::Locked(_))), "{other:?}");
        let other = Lock::take(&path, Duration::MAX, Pauses::TO_END, &|| true);
        assert!(matches!(other, Err(Fault::Locked(_))), "it has something else to do: {other:?}");
        assert!(Lock::to_look(&path, Duration::ZERO).is_err());
        drop(held);
        assert!(Lock::to_look(&path, Duration::ZERO).unwrap().is_some());
    }
}
