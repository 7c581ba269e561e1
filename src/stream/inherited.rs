//! What an inherited descriptor is, and how to use it without waiting and without disturbing others who hold it.
//!
//! `O_NONBLOCK` belongs to the open file description, which a dup and a fork share: set on our stdin, it is set for the
//! shell that started us too, whose next read then fails. So a socket is used with calls that do not wait, and a pipe is
//! opened anew, which makes a description of our own. Only where neither works is the flag set, and noted, so that
//! [`restore_flags`] can take it back; a process that is killed cannot, and that is the price.
//!
//! The descriptor itself stays open and untouched as long as the process lives: a FIFO that was opened for reading and
//! writing counts on it, and nobody else can get its number.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl, open};
use nix::libc;
use nix::sys::stat::{Mode, SFlag, fstat};

/// What we want to do with a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// An inherited descriptor, sorted by how it can be used.
#[derive(Debug)]
pub(super) enum Inherited {
    Polled(Fd),
    File(File),
    Closed,
}

/// A descriptor of ours that can be polled and whose calls do not wait.
#[derive(Debug)]
pub(super) struct Fd {
    /// Dropped before the descriptor is closed.
    _loan: Option<Loan>,
    owned: OwnedFd,
    /// The description is blocking: each call has to say that it does not wait.
    pub(super) dont_wait: bool,
    pub(super) is_socket: bool,
    /// Whether it is a pipe in packet mode (`O_DIRECT`): each read returns what one write put in, and nothing more.
    pub(super) in_packets: bool,
}

impl AsFd for Fd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.owned.as_fd()
    }
}

impl AsRawFd for Fd {
    fn as_raw_fd(&self) -> RawFd {
        self.owned.as_raw_fd()
    }
}

/// Takes a descriptor that nobody else holds.
pub(super) fn own(fd: OwnedFd) -> io::Result<Fd> {
    set_nonblocking(fd.as_fd())?;
    let is_socket = kind(fd.as_fd())? == SFlag::S_IFSOCK;
    let in_packets = is_in_packets(fd.as_fd());
    Ok(Fd { _loan: None, owned: fd, dont_wait: false, is_socket, in_packets })
}

/// Lets a pipe hold more, four times the usual, so that a long line needs fewer turns. Where the system does not allow it,
/// it stays as it is. Not for every pipe: what one user may have in pipes before the system makes new ones smaller is 64 MiB.
pub(super) fn enlarge(fd: BorrowedFd<'_>) {
    #[cfg(target_os = "linux")]
    let _ = fcntl(fd, FcntlArg::F_SETPIPE_SZ(256 * 1024));
    #[cfg(not(target_os = "linux"))]
    let _ = fd;
}

/// Takes a share in a descriptor that others hold as well.
pub(super) fn adopt(fd: BorrowedFd<'_>, access: Access) -> io::Result<Inherited> {
    let kind = match kind(fd) {
        Ok(kind) => kind,
        // Rust's own start-up puts /dev/null in the place of a closed 0, 1 or 2, so this is rare.
        Err(Errno::EBADF) => return Ok(Inherited::Closed),
        Err(errno) => return Err(errno.into()),
    };
    let is_socket = kind == SFlag::S_IFSOCK;
    // A description of our own would not tell it.
    let in_packets = is_in_packets(fd);
    // On macOS a send waits in spite of MSG_DONTWAIT.
    if is_socket && cfg!(target_os = "linux") {
        return Ok(Inherited::Polled(Fd {
            _loan: None,
            owned: own_dup(fd)?,
            dont_wait: true,
            is_socket,
            in_packets,
        }));
    }
    if !is_socket && kind != SFlag::S_IFIFO {
        // epoll refuses files, and a terminal's flags are shared with everyone who sits at it.
        return Ok(Inherited::File(File::from(own_dup(fd)?)));
    }
    if !is_socket && let Some(fd) = reopen(fd, access) {
        return Ok(Inherited::Polled(Fd { _loan: None, owned: fd, dont_wait: false, is_socket, in_packets }));
    }
    lend(fd, is_socket).map(Inherited::Polled)
}

/// The last resort: `O_NONBLOCK` on a description that others share.
pub(super) fn lend(fd: BorrowedFd<'_>, is_socket: bool) -> io::Result<Fd> {
    let fd = own_dup(fd)?;
    let loan = Loan::take(fd.as_fd())?;
    let in_packets = is_in_packets(fd.as_fd());
    Ok(Fd { _loan: Some(loan), owned: fd, dont_wait: false, is_socket, in_packets })
}

/// Takes back `O_NONBLOCK` wherever it had to be set on a description that others share. Call it before
/// [`std::process::exit`], which drops nothing, and use no [`Source`](super::Source) or [`Sink`](super::Sink) of our own
/// stdio after it: its calls would wait. Dropping the last of them does the same.
pub fn restore_flags() {
    give_back(&mut loans());
}

/// Whether stdout was closed when the process began. Rust's own start-up, before `main`, puts `/dev/null` in its place,
/// where everything seems to be written.
pub(super) fn stdout_was_closed() -> bool {
    STDOUT_WAS_CLOSED.load(Ordering::Relaxed)
}

static STDOUT_WAS_CLOSED: AtomicBool = AtomicBool::new(false);

#[expect(unsafe_code, reason = "only what the system runs before Rust's start-up can see it")]
// SAFETY: the section holds addresses of functions that take and return nothing, and are called once, on the only thread.
#[used]
#[cfg_attr(target_os = "linux", unsafe(link_section = ".init_array"))]
#[cfg_attr(target_os = "macos", unsafe(link_section = "__DATA,__mod_init_func"))]
static LOOK_AT_STDOUT: extern "C" fn() = look_at_stdout;

extern "C" fn look_at_stdout() {
    #[expect(unsafe_code, reason = "the descriptor may be closed, so it has no safe type")]
    // SAFETY: it reads the flags of a descriptor; for a closed one it is an error without effect.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    STDOUT_WAS_CLOSED.store(flags < 0, Ordering::Relaxed);
}

fn kind(fd: BorrowedFd<'_>) -> Result<SFlag, Errno> {
    Ok(SFlag::from_bits_truncate(fstat(fd)?.st_mode) & SFlag::S_IFMT)
}

/// Whether it is a pipe in packet mode.
#[cfg(target_os = "linux")]
fn is_in_packets(fd: BorrowedFd<'_>) -> bool {
    fcntl(fd, FcntlArg::F_GETFL).is_ok_and(|flags| OFlag::from_bits_retain(flags).contains(OFlag::O_DIRECT))
}

#[cfg(not(target_os = "linux"))]
fn is_in_packets(_fd: BorrowedFd<'_>) -> bool {
    false
}

/// A dup that no child inherits.
fn own_dup(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    fd.try_clone_to_owned()
}

/// The same pipe with a description of our own. `None` without /proc, for a pipe of another user, and for one that has
/// lost its reader.
fn reopen(fd: BorrowedFd<'_>, access: Access) -> Option<OwnedFd> {
    if cfg!(not(target_os = "linux")) {
        return None;
    }
    let mode = match access {
        Access::Read => OFlag::O_RDONLY,
        Access::Write => OFlag::O_WRONLY,
    };
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    open(path.as_str(), mode | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Mode::empty()).ok()
}

/// Sets `O_NONBLOCK` and tells whether it was not set before.
fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    if flags.contains(OFlag::O_NONBLOCK) {
        return Ok(false);
    }
    fcntl(fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(true)
}

/// The descriptions whose flags are not as we found them. Two descriptors may share one (`2>&1`), which cannot be told
/// from outside, so all are given back together when the last user is gone.
#[derive(Debug)]
struct Loans {
    users: usize,
    changed: Vec<OwnedFd>,
}

static LOANS: Mutex<Loans> = Mutex::new(Loans { users: 0, changed: Vec::new() });

fn loans() -> MutexGuard<'static, Loans> {
    LOANS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn give_back(loans: &mut Loans) {
    for fd in loans.changed.drain(..) {
        if let Ok(flags) = fcntl(&fd, FcntlArg::F_GETFL) {
            let flags = OFlag::from_bits_retain(flags) - OFlag::O_NONBLOCK;
            // Nobody could do anything about a failure here.
            let _ = fcntl(&fd, FcntlArg::F_SETFL(flags));
        }
    }
}

/// One user of a description on which `O_NONBLOCK` had to be set.
#[derive(Debug)]
struct Loan(());

impl Loan {
    fn take(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let ours = own_dup(fd)?;
        let mut loans = loans();
        if set_nonblocking(fd)? {
            loans.changed.push(ours);
        }
        loans.users += 1;
        Ok(Self(()))
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut loans = loans();
        loans.users -= 1;
        if loans.users == 0 {
            give_back(&mut loans);
        }
    }
}
