//! A file that does not answer, as one on a disk that is gone: whoever opens it waits in the system.
//!
//! The system keeps who opens a file waiting for as long as another has a lease on it, and no longer than
//! `/proc/sys/fs/lease-break-time`, 45 s.

#![expect(unsafe_code, reason = "the library has no leases")]

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;

use nix::libc;
use nix::sys::signal::{SigHandler, Signal, signal};

/// The lease on a file, given back when it is dropped.
pub(crate) struct Lease(File);

impl Lease {
    /// `None` where the file system has none. Nobody else may have the file open.
    pub(crate) fn on(file: File) -> Option<Self> {
        // SAFETY: nothing is called by it. Whoever is waited for is told by this signal, which would end this process.
        unsafe { signal(Signal::SIGIO, SigHandler::SigIgn) }.expect("it can be ignored");
        // SAFETY: the file is open, and the call touches nothing of ours.
        let taken = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, libc::F_WRLCK) };
        if taken == -1 {
            let _ = writeln!(io::stderr(), "no lease can be had here: not tested");
        }
        (taken == 0).then_some(Self(file))
    }

    /// Somebody waits: the system asks for it to be given back.
    pub(crate) fn is_wanted(&self) -> bool {
        // SAFETY: as above.
        unsafe { libc::fcntl(self.0.as_raw_fd(), libc::F_GETLEASE) != libc::F_WRLCK }
    }
}
