//! The socket itself: where it is, who may come in, and what becomes of those that were left behind.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::signal::kill;
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, UnixAddr, socket};
use nix::unistd::{Pid, geteuid};

/// What others must not be allowed in the directory: anything.
const OTHERS: u32 = 0o077;
/// The longest path that an address of a socket holds on every system, in bytes: macOS has 104, one of them for its end.
const LONGEST_PATH: usize = 103;
/// How the name of a socket ends.
const ENDING: &str = ".sock";

/// Why there is no control socket. A text that fits after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The directory cannot be made or read.
    #[error("open the control socket in {path}: {source}")]
    System {
        /// The directory.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The directory is not ours alone.
    #[error("open the control socket in {path}: {why}; hint: {}", .why.hint(.path))]
    Unsafe {
        /// The directory.
        path: PathBuf,
        /// Why.
        why: Unsafe,
    },
    /// It could not be opened without a reason that the system knows.
    #[error("open the control socket: it has panicked")]
    Panicked,
}

/// Why a directory is not ours alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsafe {
    /// It is a file, or a link.
    #[error("it is not a directory")]
    NotADirectory,
    /// Somebody else has made it.
    #[error("it belongs to another user")]
    Foreign,
    /// It is ours, and open.
    #[error("others may look into it")]
    Open,
}

impl Unsafe {
    /// What helps.
    fn hint(self, dir: &Path) -> String {
        let dir = dir.display();
        match self {
            Self::NotADirectory => "remove it, or give another --runtime-dir".to_owned(),
            // Only that user, or the superuser, can remove it.
            Self::Foreign => "give a --runtime-dir of your own, as in your home directory".to_owned(),
            Self::Open => format!("close it to others with `chmod 700 {dir}`, or give another --runtime-dir"),
        }
    }
}

/// The open socket of this supervisor. Removed when it is dropped.
#[derive(Debug)]
pub struct Door {
    path: PathBuf,
    listener: Option<UnixListener>,
}

/// Where the socket of a supervisor is: its process and session are its name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address {
    pub(super) path: PathBuf,
    pub(super) pid: i32,
    pub(super) session: String,
}

impl Door {
    /// Opens the socket of this session in the first of these directories that can be used, and removes those of the dead.
    ///
    /// # Errors
    /// If none can be used: why the first cannot.
    pub fn open(dirs: &[PathBuf], session: &str) -> Result<Self, Fault> {
        let mut first = None;
        for dir in dirs {
            match Self::open_in(dir, session) {
                Ok(door) => return Ok(door),
                Err(fault) => _ = first.get_or_insert(fault),
            }
        }
        let none = || Fault::System { path: PathBuf::new(), source: io::ErrorKind::NotFound.into() };
        Err(first.unwrap_or_else(none))
    }

    fn open_in(dir: &Path, session: &str) -> Result<Self, Fault> {
        let system = |source| Fault::System { path: dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(system)?;
        check(dir)?;
        for address in addresses(dir).map_err(system)? {
            remove_if_dead(&address);
        }
        remove_unnamed(dir);
        let name = format!("{}.{session}{ENDING}", std::process::id());
        // Under another name until it listens: who finds it must be able to connect.
        let new = dir.join(format!(".{}.{session}", std::process::id()));
        let path = dir.join(name);
        let open = || {
            let listener = short(&new, |path| UnixListener::bind(path))?;
            fs::set_permissions(&new, Permissions::from_mode(0o600))?;
            listener.set_nonblocking(true)?;
            fs::rename(&new, &path)?;
            Ok(listener)
        };
        match open() {
            Ok(listener) => Ok(Self { path, listener: Some(listener) }),
            Err(source) => {
                let _ = fs::remove_file(&new);
                Err(system(source))
            }
        }
    }

    /// The listener, once. It does not block.
    pub fn listener(&mut self) -> Option<UnixListener> {
        self.listener.take()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether the directory is ours alone.
pub(super) fn check(dir: &Path) -> Result<(), Fault> {
    let unsafe_for = |why| Fault::Unsafe { path: dir.to_owned(), why };
    let found = fs::symlink_metadata(dir).map_err(|source| Fault::System { path: dir.to_owned(), source })?;
    if !found.is_dir() {
        return Err(unsafe_for(Unsafe::NotADirectory));
    }
    if found.uid() != geteuid().as_raw() {
        return Err(unsafe_for(Unsafe::Foreign));
    }
    if found.mode() & OTHERS != 0 {
        return Err(unsafe_for(Unsafe::Open));
    }
    Ok(())
}

/// The sockets in a directory, in the order of their sessions. None where there is no directory.
pub(super) fn addresses(dir: &Path) -> io::Result<Vec<Address>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let address = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let (pid, session) = name.to_str()?.strip_suffix(ENDING)?.split_once('.')?;
        Some(Address { path: entry.path(), pid: pid.parse().ok()?, session: session.to_owned() })
    };
    let mut found: Vec<Address> = entries.filter_map(|entry| address(entry.ok()?)).collect();
    found.sort_by(|a, b| a.session.cmp(&b.session));
    Ok(found)
}

/// Removes a socket whose process is gone and on which nobody listens. A process of another container cannot be seen, and
/// then only the second counts.
pub(super) fn remove_if_dead(address: &Address) {
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if is_gone(address.pid) && connect(&address.path).is_err_and(refused) {
        let _ = fs::remove_file(&address.path);
    }
}

fn is_gone(pid: i32) -> bool {
    kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH)
}

/// Removes what somebody has left who was killed before the socket had its name.
fn remove_unnamed(dir: &Path) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = || name.to_str()?.strip_prefix('.')?.split_once('.')?.0.parse().ok();
        if pid().is_some_and(is_gone) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Connects to a socket, without ever waiting: a supervisor that hangs takes no connections, and its queue may be full
/// ([`io::ErrorKind::WouldBlock`]). What is read and written does not wait either.
pub(super) fn connect(path: &Path) -> io::Result<UnixStream> {
    short(path, |path| {
        let socket = socket(AddressFamily::Unix, SockType::Stream, SockFlag::empty(), None)?;
        fcntl(&socket, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
        fcntl(&socket, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        socket::connect(socket.as_raw_fd(), &UnixAddr::new(path)?)?;
        Ok(socket.into())
    })
}

/// Does something with a path that may be too long for an address: by way of its open directory, where the system has
/// such a way.
fn short<T>(path: &Path, what: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else { return what(path) };
    if path.as_os_str().as_bytes().len() <= LONGEST_PATH {
        return what(path);
    }
    if cfg!(target_os = "linux") {
        let dir = File::open(dir)?;
        return what(&PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name));
    }
    let length = path.as_os_str().as_bytes().len();
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!(
            "its path is {length} bytes long, and at most {LONGEST_PATH} can be; hint: give a shorter --runtime-dir"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::slice;

    use super::super::client::{Supervisor, Supervisors};
    use super::*;

    const SESSION: &str = "0198f0c2-0000-7000-8000-000000000001";

    fn private() -> tempfile::TempDir {
        tempfile::Builder::new().permissions(Permissions::from_mode(0o700)).tempdir().unwrap()
    }

    #[test]
    fn the_socket_is_for_its_owner_only_and_goes_with_the_door() {
        let dir = private();
        let dir = dir.path().join("made");
        let door = Door::open(slice::from_ref(&dir), SESSION).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o7777, 0o700);
        assert_eq!(fs::metadata(door.path()).unwrap().mode() & 0o7777, 0o600);
        connect(door.path()).unwrap();
        let [address] = &addresses(&dir).unwrap()[..] else { panic!("one socket") };
        assert_eq!((address.pid.cast_unsigned(), &*address.session), (std::process::id(), SESSION));
        drop(door);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 0, "nothing is left");
    }

    #[test]
    fn the_sockets_of_the_dead_are_removed_and_those_of_the_living_are_not() {
        let dir = private();
        let living = Door::open(&[dir.path().to_owned()], SESSION).unwrap();
        // Listened on by us, as if by a process of another container.
        let elsewhere = dir.path().join("4194304.elsewhere.sock");
        let _listener = UnixListener::bind(&elsewhere).unwrap();
        let dead = dir.path().join("4194303.dead.sock");
        drop(UnixListener::bind(&dead).unwrap());
        assert_eq!(connect(&dead).unwrap_err().kind(), ErrorKind::ConnectionRefused);
        let unnamed = dir.path().join(".4194303.dead");
        drop(UnixListener::bind(&unnamed).unwrap());
        let other = Door::open(&[dir.path().to_owned()], "other").unwrap();
        assert!(!unnamed.exists());
        let mut left: Vec<PathBuf> =
            addresses(dir.path()).unwrap().into_iter().map(|address| address.path).collect();
        left.sort();
        let mut expected = vec![elsewhere, living.path().to_owned(), other.path().to_owned()];
        expected.sort();
        assert_eq!(left, expected);
    }

    #[test]
    fn a_directory_that_others_can_use_is_refused() {
        let dir = private();
        fs::set_permissions(dir.path(), Permissions::from_mode(0o750)).unwrap();
        assert!(matches!(Door::open(&[dir.path().to_owned()], SESSION), Err(Fault::Unsafe { .. })));
        let dir = private();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        let told = Door::open(&[link], SESSION).unwrap_err().to_string();
        assert!(told.contains("it is not a directory") && told.contains("hint:"), "{told}");
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(Door::open(&[file], SESSION).is_err());
    }

    /// A directory as another user can have made it in `/tmp`.
    fn foreign(home: &Path) -> PathBuf {
        if !geteuid().is_root() {
            return "/".into();
        }
        let dir = home.join("foreign");
        DirBuilder::new().mode(0o700).create(&dir).unwrap();
        std::os::unix::fs::chown(&dir, Some(65534), None).unwrap();
        dir
    }

    #[test]
    fn where_another_user_has_made_the_first_directory_the_next_one_is_used_and_found() {
        let home = private();
        let dirs = [foreign(home.path()), home.path().join("stored/sockets")];
        let door = Door::open(&dirs, SESSION).unwrap();
        assert_eq!(door.path().parent(), Some(&*dirs[1]));
        let found = Supervisors::in_dirs(dirs.to_vec()).list().unwrap();
        assert_eq!(found.iter().map(Supervisor::session).collect::<Vec<_>>(), [SESSION]);
        let told = Door::open(&dirs[..1], SESSION).unwrap_err().to_string();
        assert!(told.contains("another user; hint: give a --runtime-dir of your own"), "{told}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_path_may_be_longer_than_an_address() {
        let dir = private();
        let long = dir.path().join("a".repeat(200));
        let door = Door::open(&[long], SESSION).unwrap();
        assert!(door.path().as_os_str().len() > 200);
        connect(door.path()).unwrap();
    }
}
