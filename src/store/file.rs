//! The file on disk: whether it may be used, how it is opened, and what becomes of one that is damaged.
//!
//! The directory and the file must be ours alone; a link is not followed. Opening is cheap, about a millisecond, and is done for
//! each batch, under the lock.
//!
//! `SQLite` keeps the index of its log in memory that it shares with others, in a file that is mapped (`-shm`): somebody who
//! truncates that ends the process with a signal. Whoever is alone with the file from the first read on needs none of it, and
//! under the lock we are alone. Only where a program of another kind has the file open is the index shared with it, and the
//! thread made to survive that ([`bus`]).

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

#[cfg(target_os = "linux")]
use nix::libc;
use nix::unistd::geteuid;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use super::fault::{Fault, Unusable};
use super::lock::{Lock, Pauses};
use super::{bus, schema};
use crate::datadir::data_dir;

/// What others must not be allowed: to write, as group or as anybody.
const OTHERS_WRITE: u32 = 0o022;
/// How much of the file is kept in memory, in KiB: a batch needs a few pages of it.
const CACHE_KIB: i64 = 128;
/// After how many pages the log is written back into the file: it is read whole by whoever opens the file first.
const CHECKPOINT_PAGES: i64 = 200;
/// How long a writer waits for others. A batch takes a few milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long we wait to be alone with the file, before it is shared with a program of another kind that has it open.
const PATIENCE_ALONE: Duration = Duration::from_millis(250);
/// How often a batch is tried that finds a damaged file.
const ATTEMPTS: u32 = 3;

/// Where the file is.
pub(super) fn path(dir: Option<&Path>) -> Result<PathBuf, Fault> {
    Ok(data_dir(dir).ok_or(Fault::NoPlace)?.join(super::FILE))
}

/// Has something written to the file, which is made, with what it is in, where it is not there. A damaged one is set
/// aside, which is told, and the same is written to a new one. Others are waited for unless there is something else to do.
pub(super) fn write<T>(
    path: &Path,
    pauses: Pauses,
    other: &dyn Fn() -> bool,
    tell: &mut dyn FnMut(Fault),
    mut work: impl FnMut(&mut Connection) -> rusqlite::Result<T>,
) -> Result<T, Fault> {
    prepare(path)?;
    let _lock = Lock::take(path, PATIENCE, pauses, other)?;
    let mut attempts = 0;
    loop {
        attempts += 1;
        make(path)?;
        let opened = open(path, PATIENCE);
        match opened.and_then(|mut db| work(&mut db).map_err(|error| Trouble::of(path, error))) {
            Ok(done) => return Ok(done),
            Err(Trouble::Damage) if attempts < ATTEMPTS => set_aside(path, tell)?,
            Err(trouble) => return Err(trouble.into_fault(path)),
        }
    }
}

/// Makes the directory, where it is not there, and looks whether it is ours alone.
pub(super) fn prepare(path: &Path) -> Result<(), Fault> {
    make_dir(path)?;
    check_dir(path)
}

/// A file that is open for looking, and for closing what is lost. In the order in which they are given back.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) db: Connection,
    /// What is looked at, where the file itself can only be read. `None` where it is the file.
    pub(super) copy: Option<TempDir>,
    /// None of ours writes as long as it is held. `None` where nothing can be written.
    _lock: Option<Lock>,
}

/// Opens the file for looking, if there is one. Waits so long for others.
pub(super) fn open_to_read(path: &Path, patience: Duration) -> Result<Opened, Fault> {
    check_dir(path)?;
    check(path)?;
    let lock = Lock::to_look(path, patience)?;
    let opened = match open(path, patience) {
        Err(Trouble::Fault(Fault::ReadOnly(_) | Fault::Database { .. })) => {
            let copy = copy(path).map_err(|error| file_fault(path, error))?;
            open(&copy.path().join(super::FILE), patience).map(|db| (db, Some(copy)))
        }
        opened => opened.map(|db| (db, None)),
    };
    let (db, copy) = opened.map_err(|trouble| trouble.into_fault(path))?;
    Ok(Opened { db, copy, _lock: lock })
}

/// A copy of a file that can only be read, with its log: to be alone with a file is to write a lock into it, and without that
/// the index would have to be shared, for which there may be no place.
pub(super) fn copy(path: &Path) -> io::Result<TempDir> {
    let private = Permissions::from_mode(0o700);
    let dir = tempfile::Builder::new().prefix("mcp-supervise-").permissions(private).tempdir()?;
    for part in ["", "-wal"] {
        let mut from = match File::open(aside_of(path, part)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !part.is_empty() => continue,
            opened => opened?,
        };
        let to = aside_of(&dir.path().join(super::FILE), part);
        let mut to = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
        io::copy(&mut from, &mut to)?;
    }
    Ok(dir)
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

/// Whether we are alone with the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    Alone,
    /// Programs of another kind may have it open.
    Shared,
}

/// Opens the file. To be called under the lock.
fn open(path: &Path, patience: Duration) -> Result<Connection, Trouble> {
    match connect(path, Company::Alone, PATIENCE_ALONE.min(patience)) {
        Err(Trouble::Fault(Fault::Locked(_))) => {
            bus::survive();
            connect(path, Company::Shared, patience)
        }
        opened => opened,
    }
}

fn connect(path: &Path, company: Company, patience: Duration) -> Result<Connection, Trouble> {
    let trouble = |error| Trouble::of(path, error);
    let flags =
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    // The library follows links in the directory's path too, unless it is resolved.
    let real = path.parent().and_then(|dir| dir.canonicalize().ok()).map(|dir| dir.join(super::FILE));
    let mut db = Connection::open_with_flags(real.as_deref().unwrap_or(path), flags).map_err(trouble)?;
    // The library opens a file that is write-protected all the same.
    if db.is_readonly("main").map_err(trouble)? {
        return Err(Trouble::Fault(Fault::ReadOnly(path.to_owned())));
    }
    let settings = |db: &Connection| {
        if company == Company::Alone {
            // Before anything is read, or the index is mapped already.
            db.pragma_update(None, "locking_mode", "exclusive")?;
        }
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
    let mode = db.pragma_update_and_check(None, "journal_mode", "wal", |row| row.get::<_, String>(0));
    if mode.map_err(trouble)? != "wal" {
        // It has no shared memory for it.
        return Err(Trouble::Fault(Fault::Network(path.to_owned())));
    }
    let ready = |db: &mut Connection| {
        // What a loss of power may cost are the last batches, and not the file.
        db.pragma_update(None, "synchronous", "normal")?;
        db.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
        schema::migrate(db)
    };
    ready(&mut db).map_err(trouble)?;
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
pub(super) fn file_fault(path: &Path, error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::NotFound => Fault::Absent(path.to_owned()),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Fault::Full(path.to_owned()),
        io::ErrorKind::ReadOnlyFilesystem => Fault::ReadOnly(path.to_owned()),
        _ => Fault::File { path: path.to_owned(), why: error.into() },
    }
}

/// Whether nobody but us can put anything into the directory, and locks in it can be relied on.
fn check_dir(path: &Path) -> Result<(), Fault> {
    let Some((dir, found)) = path.parent().and_then(|dir| Some((dir, fs::metadata(dir).ok()?))) else {
        return Ok(());
    };
    let why = if found.uid() != geteuid().as_raw() {
        Unusable::Foreign
    } else if found.mode() & OTHERS_WRITE != 0 {
        Unusable::OthersWrite
    } else if is_on_network(dir) {
        return Err(Fault::Network(path.to_owned()));
    } else {
        return Ok(());
    };
    Err(Fault::Directory { path: dir.to_owned(), why })
}

/// Whether nobody but us can have put anything into the file.
fn check(path: &Path) -> Result<(), Fault> {
    let found = fs::symlink_metadata(path).map_err(|error| file_fault(path, error))?;
    let why = if !found.is_file() {
        Unusable::NotAFile
    } else if found.uid() != geteuid().as_raw() {
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
