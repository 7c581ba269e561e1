//! What the three standard streams of a supervisor can be, and the host's ends of them.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, SetArg, tcgetattr, tcsetattr};

/// What a stream is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// A pipe, as shells and most hosts make them.
    Pipe,
    /// One half of a pair of sockets, as Node makes them.
    Socket,
    /// A file, which the supervisor reads or writes from its start on.
    File(PathBuf),
    /// A terminal that does not echo.
    Terminal,
}

/// Both ends of a stream: the supervisor's, and the host's where there is one.
pub(crate) fn stdin(kind: &Kind) -> (OwnedFd, Option<File>) {
    match kind {
        Kind::Pipe => {
            let (theirs, ours) = io::pipe().expect("the system has pipes");
            (theirs.into(), Some(OwnedFd::from(ours).into()))
        }
        Kind::File(path) => (File::open(path).expect("the test has written it").into(), None),
        Kind::Socket | Kind::Terminal => both(kind),
    }
}

/// The same for what the supervisor writes.
pub(crate) fn stdout(kind: &Kind) -> (OwnedFd, Option<File>) {
    match kind {
        Kind::Pipe => {
            let (ours, theirs) = io::pipe().expect("the system has pipes");
            (theirs.into(), Some(OwnedFd::from(ours).into()))
        }
        Kind::File(path) => (File::create(path).expect("the folder is ours").into(), None),
        Kind::Socket | Kind::Terminal => both(kind),
    }
}

/// The status flags of the description behind a descriptor.
pub(crate) fn flags(fd: impl AsFd) -> OFlag {
    OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).expect("it is open"))
}

fn both(kind: &Kind) -> (OwnedFd, Option<File>) {
    if let Kind::Terminal = kind {
        let terminal = openpty(None, None).expect("the system has terminals");
        let mut modes = tcgetattr(&terminal.slave).expect("it is a terminal");
        modes.local_flags -= LocalFlags::ECHO;
        tcsetattr(&terminal.slave, SetArg::TCSANOW, &modes).expect("it is a terminal");
        return (terminal.slave, Some(terminal.master.into()));
    }
    let (theirs, ours) = UnixStream::pair().expect("the system has sockets");
    (theirs.into(), Some(OwnedFd::from(ours).into()))
}
