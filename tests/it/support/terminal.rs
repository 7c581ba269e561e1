//! A terminal, with a program at it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::pty::openpty;
use nix::sys::termios::{LocalFlags, tcgetattr};

use super::process::eventually;

/// A program at a terminal of its own.
pub(crate) struct Terminal {
    pub(crate) child: Child,
    screen: File,
    shown: Vec<u8>,
}

impl Terminal {
    pub(crate) fn start(mut command: Command) -> Self {
        let ends = openpty(None, None).expect("there are terminals");
        let dup = || Stdio::from(ends.slave.try_clone().expect("it can be doubled"));
        command.stdin(dup()).stdout(dup()).stderr(dup());
        #[expect(unsafe_code, reason = "there is no safe way to a controlling terminal")]
        // SAFETY: both calls are safe between fork and exec.
        unsafe {
            command.pre_exec(|| {
                nix::unistd::setsid()?;
                match nix::libc::ioctl(0, nix::libc::TIOCSCTTY, 0) {
                    0 => Ok(()),
                    _ => Err(std::io::Error::last_os_error()),
                }
            });
        }
        let child = command.spawn().expect("the program was built for this test");
        // Ours must go, or the end of the program would not be the end of the terminal.
        drop((command, ends.slave));
        Self { child, screen: ends.master.into(), shown: Vec::new() }
    }

    /// Waits until this is shown.
    pub(crate) fn until_shown(&mut self, words: &str) {
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&self.shown).contains(words) {
            let count = self.screen.read(&mut buffer).unwrap_or(0);
            assert!(count > 0, "no {words}: {}", String::from_utf8_lossy(&self.shown));
            self.shown.extend_from_slice(&buffer[..count]);
        }
    }

    pub(crate) fn type_in(&mut self, text: &str) {
        self.screen.write_all(text.as_bytes()).expect("the terminal is there");
    }

    /// Whether what is typed is shown.
    pub(crate) fn echoes(&self) -> bool {
        tcgetattr(&self.screen).expect("it is a terminal").local_flags.contains(LocalFlags::ECHO)
    }

    /// Waits for the program's end. Gives how it ended, and all that was shown.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let mut buffer = [0; 4096];
        // A terminal that nobody has any more cannot be read: that is its end.
        while let Ok(count @ 1..) = self.screen.read(&mut buffer) {
            self.shown.extend_from_slice(&buffer[..count]);
        }
        let status = eventually(|| self.child.try_wait().expect("it is our child")).expect("it ends");
        (status, String::from_utf8_lossy(&self.shown).into_owned())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
