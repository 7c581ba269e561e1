//! The folder on disk: reading a server's file, and replacing it by one that knows more.
//!
//! ```text
//! make the folder (0700) -> is it ours alone? -> lock -> read again -> merge -> write beside (0600), sync, rename -> tidy
//! ```
//!
//! The lock keeps two writers from undoing each other's work and is advisory: one that cannot be had in time, as on some
//! network file systems, is done without. Readers need none, for a rename is one step. A file is opened without
//! following a link and without waiting for whoever might be at the other end of a FIFO; it is used and replaced only if
//! it is a regular file of ours. The folder is never made safer than it was found: where others may write it is refused.

#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc;
use nix::unistd::geteuid;

use super::entries::{Entries, Entry};
use super::fault::{Fault, Unusable};
use super::format;
use super::key::{self, Key};

/// The longest file that is read, in bytes. Longer than what is written, should that bound ever change.
const LONGEST_READ: u64 = 32 * 1024 * 1024;
/// The most servers that are remembered; of more, those go that were written longest ago.
const MOST_FILES: usize = 256;
/// How often the lock is tried, and how long is waited in between: half a second, long enough for ten writers on a slow
/// disk and short enough for the end of a supervisor.
const TRIES: u32 = 50;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);
/// The start of the name of a file that is being written.
const UNFINISHED: &str = ".new-";
/// When such a file was left by somebody who was killed, and is not being written any more.
const ABANDONED: Duration = Duration::from_secs(60 * 60);
/// What others must not be allowed: to write, as group or as anybody.
const OTHERS_WRITE: u32 = 0o022;

/// The folder of all servers' files.
pub(super) struct Folder {
    path: PathBuf,
    /// The user that folder and files must belong to.
    owner: u32,
    tries: u32,
}

impl Folder {
    /// The folder at this path, which need not exist, for the user that we are.
    pub(super) fn ours(path: PathBuf) -> Self {
        Self { path, owner: geteuid().as_raw(), tries: TRIES }
    }

    /// What is known of a server: nothing if there is no file, or no folder. Changes nothing.
    pub(super) fn read(&self, key: &Key) -> Result<Entries, Fault> {
        match self.open() {
            Ok(_) => {
                let path = self.path.join(key.file_name());
                self.read_file(&path).map_err(|why| Fault::Read { path, why })
            }
            Err(Unusable::System(error)) if error.kind() == io::ErrorKind::NotFound => Ok(Entries::default()),
            Err(why) => Err(self.unusable(why)),
        }
    }

    /// Merges these, in their order, into what is known of a server. A file of ours that cannot be read is told and
    /// replaced. Writes nothing if nothing changes.
    pub(super) fn update(&self, key: &Key, news: &[Entry], tell: &mut dyn FnMut(Fault)) -> Result<(), Fault> {
        let folder = self.make().and_then(|()| self.open()).map_err(|why| self.unusable(why))?;
        let _lock = self.lock(folder);
        let path = self.path.join(key.file_name());
        let old = match self.read_file(&path) {
            Ok(old) => old,
            Err(why) if !is_lost(&why) => return Err(Fault::Read { path, why }),
            Err(why) => {
                tell(Fault::Read { path: path.clone(), why });
                Entries::default()
            }
        };
        let mut new = old.clone();
        for entry in news {
            new.merge(entry.clone());
        }
        format::trim(&mut new);
        if new.say_the_same_as(&old) {
            return Ok(());
        }
        let written =
            self.replace(&path, &new).map_err(|source| Fault::Write { path: path.clone(), source })?;
        self.tidy(&path, written);
        Ok(())
    }

    fn unusable(&self, why: Unusable) -> Fault {
        Fault::Folder { path: self.path.clone(), why }
    }

    fn make(&self) -> Result<(), Unusable> {
        Ok(DirBuilder::new().recursive(true).mode(0o700).create(&self.path)?)
    }

    /// Opens the folder, if nobody but its owner can have put anything into it.
    fn open(&self) -> Result<File, Unusable> {
        let mut options = OpenOptions::new();
        options.read(true).custom_flags(libc::O_DIRECTORY | libc::O_NOFOLLOW);
        let folder =
            options.open(&self.path).map_err(|error| match error.raw_os_error().map(Errno::from_raw) {
                Some(Errno::ENOTDIR | Errno::ELOOP) => Unusable::NotAFolder,
                Some(_) | None => error.into(),
            })?;
        self.trust(&folder.metadata()?)?;
        Ok(folder)
    }

    /// Whether it is its owner's alone.
    fn trust(&self, found: &Metadata) -> Result<(), Unusable> {
        if found.uid() != self.owner {
            return Err(Unusable::Foreign);
        }
        if found.mode() & OTHERS_WRITE != 0 {
            return Err(Unusable::OthersWrite);
        }
        Ok(())
    }

    /// `None` if it cannot be had, or not in time. Asked for again and again, for a wait in the system has no bound.
    fn lock(&self, mut folder: File) -> Option<Flock<File>> {
        for _ in 0..self.tries {
            match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Some(lock),
                Err((back, Errno::EWOULDBLOCK | Errno::EINTR)) => folder = back,
                Err(_) => return None,
            }
            thread::sleep(BETWEEN_TRIES);
        }
        None
    }

    /// Empty if there is no file.
    fn read_file(&self, path: &Path) -> Result<Entries, Unusable> {
        // Before it is opened: to open a device can do something.
        match fs::symlink_metadata(path) {
            Ok(found) => self.is_replaceable(&found)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Entries::default()),
            Err(error) => return Err(error.into()),
        }
        let file = open_file(path)?;
        let found = file.metadata()?;
        self.is_replaceable(&found)?;
        self.trust(&found)?;
        let mut text = Vec::new();
        file.take(LONGEST_READ + 1).read_to_end(&mut text)?;
        if text.len() as u64 > LONGEST_READ {
            return Err(Unusable::TooLarge);
        }
        format::read(&text)
    }

    /// Whether what has a file's name is a file, and our own.
    fn is_replaceable(&self, found: &Metadata) -> Result<(), Unusable> {
        if !found.is_file() {
            return Err(Unusable::NotAFile);
        }
        if found.uid() != self.owner {
            return Err(Unusable::Foreign);
        }
        Ok(())
    }

    /// Gives the time at which it was written, by the clock of the file system.
    fn replace(&self, path: &Path, entries: &Entries) -> io::Result<SystemTime> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(UNFINISHED).rand_bytes(12).permissions(Permissions::from_mode(0o600));
        let mut unfinished = builder.tempfile_in(&self.path)?;
        let mut writer = BufWriter::new(unfinished.as_file_mut());
        format::write(entries, &mut writer)?;
        writer.flush()?;
        drop(writer);
        // Else a loss of power could leave the name with nothing behind it.
        unfinished.as_file().sync_data()?;
        let file = unfinished.persist(path).map_err(|error| error.error)?;
        file.metadata()?.modified()
    }

    /// Removes what was abandoned half written, and the files that are too many. What cannot be removed now is tried
    /// again after the next write.
    fn tidy(&self, written: &Path, now: SystemTime) {
        let Ok(listing) = fs::read_dir(&self.path) else { return };
        let mut files = Vec::new();
        for entry in listing.flatten() {
            let (path, name) = (entry.path(), entry.file_name());
            let Ok(found) = entry.metadata() else { continue };
            let Ok(changed) = found.modified() else { continue };
            if self.is_replaceable(&found).is_err() || path == written {
                continue;
            }
            if key::is_file_name(&name) {
                files.push((changed, path));
            } else if is_unfinished(&name) && now.duration_since(changed).is_ok_and(|age| age > ABANDONED) {
                let _ = fs::remove_file(path);
            }
        }
        files.sort();
        // The one just written counts too, and stays.
        let too_many = (files.len() + 1).saturating_sub(MOST_FILES);
        for (_, path) in files.drain(..too_many) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Whether what is in a file is of no more use to us and may be replaced: not if it is none of ours, and not if the
/// system may give it another time.
fn is_lost(why: &Unusable) -> bool {
    match why {
        Unusable::System(error) => error.kind() == io::ErrorKind::PermissionDenied,
        Unusable::NotAFile | Unusable::NotAFolder | Unusable::Foreign => false,
        Unusable::OthersWrite
        | Unusable::TooLarge
        | Unusable::NotJson { .. }
        | Unusable::Shape
        | Unusable::Format(_) => true,
    }
}

/// Opens a file for reading. Fails at a link, and does not wait at a FIFO.
fn open_file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY);
    options.open(path)
}

fn is_unfinished(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(UNFINISHED))
}
