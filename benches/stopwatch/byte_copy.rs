//! The baseline: a relay that knows nothing, with two threads that each wait in a read and then write what they got.
//!
//! It is the least that a process in between can cost. It must not get cleverer: every figure is a ratio to it.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::thread;

/// What a pipe holds, in bytes.
const ROOM: usize = 64 * 1024;

/// Runs the command and copies stdin to it and its stdout to ours, until both have ended.
pub(crate) fn copy(command: &[OsString]) {
    #[expect(clippy::disallowed_methods, reason = "the baseline is a program of its own")]
    let mut child = Command::new(&command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the server starts");
    let (mut to_child, mut from_child) = (child.stdin.take(), child.stdout.take());
    let to_server = thread::spawn(move || {
        // Not by `io::stdin`, whose buffer is a copy more.
        let mut stdin = std::fs::File::from(io::stdin().as_fd().try_clone_to_owned().expect("stdin is open"));
        pump(&mut stdin, to_child.as_mut().expect("it is piped"));
    });
    let mut stdout = std::fs::File::from(io::stdout().as_fd().try_clone_to_owned().expect("stdout is open"));
    pump(from_child.as_mut().expect("it is piped"), &mut stdout);
    drop(stdout);
    to_server.join().expect("the copying ends");
    child.wait().expect("the server is ours");
}

/// Copies until the end of one side or the other.
fn pump(from: &mut impl Read, to: &mut impl Write) {
    let mut buffer = vec![0; ROOM];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            return;
        }
    }
}
