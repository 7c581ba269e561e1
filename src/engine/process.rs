//! What there is to say of a server's process: its number, how it ended, why it could not be started. Plain data.

use std::fmt;

/// The number of a child: 1 for the first that was spawned, one more for each later one. Everything from or for a child
/// carries it, so that nothing of a dead child can be taken for something of the living one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Gen(pub u32);

impl fmt::Display for Gen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It returned this code, 0 to 255.
    Code(i32),
    /// It was killed by this signal number.
    Signal(i32),
}

impl Exit {
    /// The exit as a shell tells it: the code, or 128 + the signal.
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// The short form that guidance carries: `code 1`, `signal 9`.
impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

/// Why a child could not be spawned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpawnFault {
    /// No such command: a shell would say 127.
    NotFound,
    /// The same, and so many bytes of it, which end before a blank, are the path of an executable file: it is a whole
    /// command line.
    WholeLine(usize),
    /// There is something, but it cannot be executed (a directory, no permission, no interpreter): a shell would say 126.
    NotExecutable,
    /// The file is being written (`ETXTBSY`): worth another try in a moment.
    Busy,
    /// The container of the server before is still being stopped: worth another try in a moment.
    Stopping,
    /// The system has no process left for this user, service or container (`EAGAIN`): worth another try.
    ProcessLimit,
    /// The system refused for now, for instance for lack of memory: worth another try.
    System,
}

/// What has stopped a process. The number of a signal differs between systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoppedBy {
    /// SIGSTOP, or a stop signal that is not listed here.
    Stop,
    /// SIGTSTP, as of Ctrl-Z.
    Suspend,
    /// SIGTTIN: a background job has read from its terminal.
    TerminalInput,
    /// SIGTTOU: a background job has written to its terminal, or changed how it works.
    TerminalOutput,
    /// An unknown signal, which has not stopped the process that was started but another one of its group.
    Member,
}

impl fmt::Display for StoppedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stop => "SIGSTOP",
            Self::Suspend => "SIGTSTP",
            Self::TerminalInput => "SIGTTIN",
            Self::TerminalOutput => "SIGTTOU",
            Self::Member => "an unknown signal",
        })
    }
}
