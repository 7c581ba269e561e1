//! The file on disk: whether it may be used, how it is opened, and what becomes of one that is damaged.
//!
//! The directory and the file must be ours alone; a link is not followed. Opening is cheap, about a millisecond, and is done for
//! each batch.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc;
use nix::unistd::geteuid;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::fault::{Fault, Unusable};
use super::schema;
use crate::datadir::data_dir;

/// What others must not be allowed: to write, as group or as anybody.
const OTHERS_WRITE: u32 = 0o022;
/// How much of the file is kept in memory, in KiB: a batch needs a few pages of it.
const CACHE_KIB: i64 = 128;
/// After how many pages the log is written back into the file: it is read whole by whoever opens the file first.
const CHECKPOINT_PAGES: i64 = 200;
/// How long a writer waits for others. A batch takes a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two tries to have the lock of the directory: at first, and at most, for each try makes it twice as long. Hundreds
/// may write at once; of them those come first who end, and before them all who wait for what is shown.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pauses(Duration, Duration);

impl Pauses {
    pub(super) const TO_WRITE: Self = Self(Duration::from_millis(2), Duration::from_millis(16));
    pub(super) const TO_END: Self = Self(Duration::from_millis(2), Duration::from_millis(2));
    const TO_LOOK: Self = Self(Duration::from_micros(500), Duration::from_micros(500));
}

/// How often a batch is tried that finds a damaged file.
const ATTEMPTS: u32 = 3;

/// Where the file is.
pub(super) fn path(dir: Option<&Path>) -> Result<PathBuf, Fault> {
    Ok(data_dir(dir).ok_or(Fault::NoPlace)?.join(super::FILE))
}

/// Has something written to the file, which is made, with what it is in, where it is not there. A damaged one is set
/// aside, which is told, and the same is written to a new one.
pub(super) fn write<T>(
    path: &Path,
    pauses: Pauses,
    tell: &mut dyn FnMut(Fault),
    mut work: impl FnMut(&mut Connection) -> rusqlite::Result<T>,
) -> Result<T, Fault> {
    make_dir(path)?;
    let _lock = lock(path, PATIENCE, pauses)?;
    let mut attempts = 0;
    loop {
        attempts += 1;
        make(path)?;
        let opened = open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, PATIENCE);
        match opened.and_then(|mut db| work(&mut db).map_err(|error| Trouble::of(path, error))) {
            Ok(done) => return Ok(done),
            Err(Trouble::Damage) if attempts < ATTEMPTS => set_aside(path, tell)?,
            Err(trouble) => return Err(trouble.into_fault(path)),
        }
    }
}

/// Opens the file for looking, if there is one, and for closing what is lost, if that may be. Waits so long for others.
/// Nobody else opens it as long as the lock is held.
pub(super) fn open_to_read(path: &Path, patience: Duration) -> Result<(Connection, Lock), Fault> {
    check(path)?;
    let lock = lock(path, patience, Pauses::TO_LOOK)?;
    let opened = match open(path, OpenFlags::SQLITE_OPEN_READ_WRITE, patience) {
        Err(Trouble::Fault(Fault::ReadOnly(_) | Fault::Database { .. })) => {
            open(path, OpenFlags::SQLITE_OPEN_READ_ONLY, patience)
        }
        opened => opened,
    };
    Ok((opened.map_err(|trouble| trouble.into_fault(path))?, lock))
}

/// Why there is no connection.
enum Trouble {
    Fault(Fault),
    Damage,
}

impl Trouble {
    fn of(path: &Path, error: rusqlite::Error) -> Self {
        if Fault::is_damage(&error) { Self::Damage } else { Self::Fault(Fault::of(path, error)) }
    }

    fn into_fault(self, path: &Path) -> Fault {
        match self {
            Self::Fault(fault) => fault,
            Self::Damage => Fault::Unsound(path.to_owned()),
        }
    }
}

fn open(path: &Path, access: OpenFlags, patience: Duration) -> Result<Connection, Trouble> {
    let trouble = |error| Trouble::of(path, error);
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    // The library follows links in the directory's path too, unless it is resolved.
    let real = path.parent().and_then(|dir| dir.canonicalize().ok()).map(|dir| dir.join(super::FILE));
    let mut db = Connection::open_with_flags(real.as_deref().unwrap_or(path), flags).map_err(trouble)?;
    let settings = |db: &Connection| {
        db.busy_timeout(patience)?;
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        db.pragma_update(None, "cache_size", -CACHE_KIB)?;
        db.pragma_update(None, "trusted_schema", false)?;
        schema::version(db)
    };
    let found = settings(&db).map_err(trouble)?;
    if found > schema::VERSION {
        let path = path.to_owned();
        return Err(Trouble::Fault(Fault::Newer { path, found, known: schema::VERSION }));
    }
    if access == OpenFlags::SQLITE_OPEN_READ_WRITE {
        // We are alone with it anyway: then nothing of the file is mapped into our memory, where somebody who truncates it
        // would end us with a signal.
        db.pragma_update(None, "locking_mode", "exclusive").map_err(trouble)?;
        let mode = db.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0));
        if mode.map_err(trouble)? != "wal" {
            // It has no shared memory for it.
            return Err(Trouble::Fault(Fault::Network(path.to_owned())));
        }
        let prepare = |db: &mut Connection| {
            // What a loss of power may cost are the last batches, and not the file.
            db.pragma_update(None, "synchronous", "normal")?;
            db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
            schema::migrate(db)
        };
        prepare(&mut db).map_err(trouble)?;
    }
    Ok(db)
}

/// Makes the directory for its owner alone, where it is not there.
fn make_dir(path: &Path) -> Result<(), Fault> {
    let Some(dir) = path.parent() else { return Ok(()) };
    let unusable = |why| Fault::Directory { path: dir.to_owned(), why };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
    made.map_err(|error| {
        let taken = matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory);
        unusable(if taken { Unusable::NotADirectory } else { error.into() })
    })
}

/// The lock on the directory: one of ours at a time has the file open. Given back when it is dropped.
pub(super) type Lock = Flock<File>;

/// Takes the lock. Asked for again and again, for a wait in the system has no bound.
fn lock(path: &Path, patience: Duration, Pauses(mut pause, longest): Pauses) -> Result<Lock, Fault> {
    let fault = |error: io::Error| file_fault(path, error);
    let mut folder = File::open(path.parent().unwrap_or(Path::new("/"))).map_err(fault)?;
    let mut waited = Duration::ZERO;
    loop {
        match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => return Ok(lock),
            Err((back, Errno::EWOULDBLOCK | Errno::EINTR)) if waited < patience => folder = back,
            Err((_, Errno::EWOULDBLOCK | Errno::EINTR)) => return Err(Fault::Locked(path.to_owned())),
            Err((_, error)) => return Err(fault(error.into())),
        }
        thread::sleep(pause);
        waited += pause;
        pause = (pause * 2).min(longest);
    }
}

/// Makes the file for its owner alone, where it is not there.
fn make(path: &Path) -> Result<(), Fault> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(file_fault(path, error)),
    }
    check(path)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the system's list is open")]
fn file_fault(path: &Path, error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::NotFound => Fault::Absent(path.to_owned()),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Fault::Full(path.to_owned()),
        io::ErrorKind::ReadOnlyFilesystem => Fault::ReadOnly(path.to_owned()),
        _ => Fault::File { path: path.to_owned(), why: error.into() },
    }
}

/// Whether nobody but us can have put anything into the file.
fn check(path: &Path) -> Result<(), Fault> {
    let owner = geteuid().as_raw();
    if let Some(dir) = path.parent()
        && let Ok(found) = fs::metadata(dir)
    {
        let why = if found.uid() != owner {
            Some(Unusable::Foreign)
        } else if found.mode() & OTHERS_WRITE != 0 {
            Some(Unusable::OthersWrite)
        } else {
            None
        };
        if let Some(why) = why {
            return Err(Fault::Directory { path: dir.to_owned(), why });
        }
        if is_on_network(dir) {
            return Err(Fault::Network(path.to_owned()));
        }
    }
    let found = fs::symlink_metadata(path).map_err(|error| file_fault(path, error))?;
    let why = if !found.is_file() {
        Unusable::NotAFile
    } else if found.uid() != owner {
        Unusable::Foreign
    } else if found.mode() & OTHERS_WRITE != 0 {
        Unusable::OthersWrite
    } else {
        return Ok(());
    };
    Err(Fault::File { path: path.to_owned(), why })
}

/// Whether what is in this directory is on another machine.
#[cfg(target_os = "linux")]
fn is_on_network(dir: &Path) -> bool {
    nix::sys::statfs::statfs(dir).is_ok_and(|found| is_network(found.filesystem_type().0))
}

#[cfg(target_os = "macos")]
fn is_on_network(dir: &Path) -> bool {
    let local = |found: nix::sys::statfs::Statfs| {
        found.flags().bits() & u64::from(nix::libc::MNT_LOCAL.cast_unsigned()) != 0
    };
    nix::sys::statfs::statfs(dir).is_ok_and(|found| !local(found))
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn is_on_network(_: &Path) -> bool {
    false
}

/// Whether file systems of this number, from the system's `magic.h`, are on other machines: NFS, SMB of all ages, AFS, Coda,
/// Ceph, and 9P, as which Windows shows its own drives to Linux.
#[cfg(target_os = "linux")]
fn is_network(number: libc::__fsword_t) -> bool {
    [
        0x6969,
        0x517b,
        0xff53_4d42,
        0xfe53_4d42,
        0x5346_414f,
        0x6b41_4653,
        0x7375_7245,
        0x00c3_6400,
        0x0102_1997,
    ]
    .contains(&(number & 0xffff_ffff))
}

/// Gives a damaged file another name. To be called under the lock: whoever comes second finds a file that is sound.
fn set_aside(path: &Path, tell: &mut dyn FnMut(Fault)) -> Result<(), Fault> {
    let fault = |error: io::Error| file_fault(path, error);
    let aside = (0..u32::MAX).map(|number| aside(path, number)).find(|aside| !aside.exists());
    let aside = aside.unwrap_or_else(|| aside_of(path, ".damaged"));
    fs::rename(path, &aside).map_err(fault)?;
    for part in ["-wal", "-shm"] {
        // They belong to it; the new one must not take them for its own.
        let _ = fs::rename(aside_of(path, part), aside_of(&aside, part));
    }
    tell(Fault::Damaged { path: path.to_owned(), aside });
    Ok(())
}

/// The name of a file that is set aside now.
fn aside(path: &Path, number: u32) -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "a name that was not there before")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let number = if number == 0 { String::new() } else { format!(".{number}") };
    aside_of(path, &format!(".damaged-{now}{number}"))
}

fn aside_of(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_another_machine_is_known_by_its_number() {
        for (number, network) in [
            (libc::NFS_SUPER_MAGIC, true),
            (libc::SMB_SUPER_MAGIC, true),
            (libc::AFS_SUPER_MAGIC, true),
            (libc::CODA_SUPER_MAGIC, true),
            (0xff53_4d42, true),
            (libc::EXT4_SUPER_MAGIC, false),
            (libc::TMPFS_MAGIC, false),
            (libc::BTRFS_SUPER_MAGIC, false),
            (libc::FUSE_SUPER_MAGIC, false),
        ] {
            assert_eq!(is_network(number), network, "{number:x}");
        }
    }
}
