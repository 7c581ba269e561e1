//! The exit codes, all of them. They are promises: scripts and hosts read them, so none changes its meaning.
//!
//! `run` exits 0 when the server's last exit was code 0 or a signal of our own stop, else with that exit as a shell tells
//! it: its code, 128 + its signal, [`NOT_FOUND`] or [`NOT_EXECUTABLE`].

/// All is well.
pub const DONE: i32 = 0;
/// Something failed that has no code of its own: an error of the system, or a `demo` that did not go as it should.
pub const UNEXPECTED: i32 = 1;
/// The command line, or an environment variable, cannot be understood.
pub const USAGE: i32 = 2;
/// The server's command is there and cannot be executed.
pub const NOT_EXECUTABLE: i32 = 126;
/// The server's command is not there.
pub const NOT_FOUND: i32 = 127;
/// What a signal's number is added to, when a signal ended the server.
pub const SIGNAL: i32 = 128;
