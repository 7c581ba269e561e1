//! What goes into the engine and what comes out of it: plain data, shared with the doers.
//!
//! The two enums are closed on purpose: whoever reads [`Input`] has seen everything that can wake the supervisor, and
//! whoever reads [`Output`] has seen everything that it can do. Nothing in here decides or acts.

use std::ffi::OsString;
use std::time::Duration;

use bytes::Bytes;

pub use super::good::{Era, Good};
use super::lease::io as lease;
use super::note::Note;
pub use super::process::{Exit, Gen, SpawnFault, StoppedBy};
use crate::wire::Line;

/// The time of one input. Both clocks, because back-off and graces must not jump with the wall clock, and a token's
/// `exp` is told in wall-clock time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Monotonic time since the supervisor started. Never goes back.
    pub mono: Duration,
    /// Wall-clock time since the Unix epoch. May jump either way.
    pub wall: Duration,
}

/// A signal that asks the supervisor to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// SIGTERM.
    Term,
    /// SIGINT.
    Int,
    /// SIGHUP.
    Hup,
}

/// What can be asked for over the control socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Start the server anew, once it has done what it does.
    Restart,
    /// The same in a hurry: a server that does not end with its input has less time.
    RestartSoon,
    /// End, and the server with us.
    Stop,
}

/// A signal for processes of a child's group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupSignal {
    /// SIGINT.
    Int,
    /// SIGTERM.
    Term,
    /// SIGHUP.
    Hup,
    /// SIGKILL. For a container client the doer also kills the container.
    Kill,
}

impl GroupSignal {
    /// Its number, the same on all systems that we know.
    pub fn number(self) -> i32 {
        match self {
            Self::Hup => 1,
            Self::Int => 2,
            Self::Kill => 9,
            Self::Term => 15,
        }
    }
}

impl From<StopSignal> for GroupSignal {
    fn from(signal: StopSignal) -> Self {
        match signal {
            StopSignal::Term => Self::Term,
            StopSignal::Int => Self::Int,
            StopSignal::Hup => Self::Hup,
        }
    }
}

/// Which processes of a child's group a signal is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    /// The process that we have started.
    Leader,
    /// All others.
    Rest,
    /// All of them.
    Group,
}

/// Who holds the other end of our stdin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// No process that is older than we are: the host is gone.
    Nobody,
    /// Such a process; or stdin is nothing whose other end a process holds.
    Other,
    /// It is not known, because the system does not show it.
    Unknown,
}

/// What has changed on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Changed {
    /// A path that `--watch` names, or something below it.
    Watched,
    /// The file that the command's name stands for.
    Executable,
    /// The file in which the session token is kept.
    Token,
}

/// What the user's login shell says of the `PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginPath {
    /// The shell that was asked, as a path.
    pub shell: String,
    /// The `PATH`; else why there is none, as a clause that fits after `it`: `did not answer within 5 s`.
    pub path: Result<OsString, String>,
}

/// Everything that can happen to the supervisor.
#[derive(Clone, Debug)]
pub enum Input {
    /// A line from the host's side of our stdin.
    Host(Line),
    /// The host closed our stdin: no further [`Input::Host`].
    HostEof,
    /// Our stdout has lost its reader: nothing can be told to the host any more.
    HostGone,
    /// The process that started us is gone, or the process that held the other end of our stdin then; and who holds it
    /// now.
    StarterGone(Holder),
    /// A line from a child's stdout.
    Child(Gen, Line),
    /// The child was started; its process id, which is also its process group's.
    Spawned(Gen, u32),
    /// The child could not be started, and why, in the system's words. Nothing else comes from this generation.
    SpawnFailed(Gen, SpawnFault, String),
    /// The child's process ended. Its output may still hold lines: [`Input::Silent`] comes after the last of them.
    Exited(Gen, Exit),
    /// The child's stdout has ended, though it runs.
    Mute(Gen),
    /// The child has exited, and what it had written is read.
    Silent {
        /// Whose output.
        from: Gen,
        /// The last of what the child wrote to stderr, and of what it wrote to stdout that was no message. Not masked.
        stderr_tail: String,
        /// The lines for this child whose JSON was not written to its last byte, in their order, each with its line
        /// feed: the child cannot have acted on them. The first may be the rest of a batch.
        unsent: Vec<Bytes>,
    },
    /// The child no longer reads its stdin, though it runs.
    Deaf(Gen),
    /// The answer to [`Output::Inspect`].
    Inspected {
        /// Which child.
        child: Gen,
        /// What has stopped its process. `None` while it is not stopped.
        stopped: Option<StoppedBy>,
    },
    /// The answer to [`Output::Quote`].
    Quoted {
        /// Which child.
        from: Gen,
        /// The last of what it has printed that is no message, to stderr and to stdout. Not masked.
        text: String,
    },
    /// The answer to [`Output::LookAtGroup`].
    Group {
        /// Whose group.
        child: Gen,
        /// Whether no process of it runs.
        empty: bool,
    },
    /// The answer to [`Output::LookAtStdin`].
    Stdin {
        /// Whose stdin.
        child: Gen,
        /// Whether the child has read all that was written to it.
        read: bool,
    },
    /// What earlier runs have left on disk of this server. Comes once, soon after the start; empty where there is nothing.
    LastGood(Vec<Good>),
    /// The answer to [`Output::AskLoginShell`].
    LoginPath(LoginPath),
    /// Something has changed on disk. Comes for each of many changes in a row.
    Changed(Changed),
    /// Something has happened to the session token, or to a request that was made with it.
    Session(lease::Event),
    /// A signal asked us to stop.
    Stop(StopSignal),
    /// Somebody asks for something over the control socket.
    Order(Order),
    /// The time that [`super::Engine::deadline`] named has come.
    Timer,
}

/// Who composed a message for the host: the doer bounds the two apart, because only what we write ourselves may hold
/// up reading from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The server wrote it; it is forwarded.
    Server,
    /// The supervisor wrote it.
    Supervisor,
}

/// Everything that the engine can ask of the doers.
#[derive(Clone, Debug)]
pub enum Output {
    /// Write these bytes, one line with its line feed, to our stdout.
    ToHost(Bytes, Origin),
    /// Write these bytes, one line with its line feed, to this child's stdin.
    ToChild(Gen, Bytes),
    /// A child printed this to stdout and it is no message: pass it to our stderr and keep it in the tail.
    Noise(Gen, Bytes),
    /// Start the server's command as this generation.
    Spawn(Gen),
    /// Start the command with this `PATH` from now on, and look for it there.
    UsePath(OsString),
    /// Ask the user's login shell for its `PATH`, without holding anything up: [`Input::LoginPath`] comes.
    AskLoginShell,
    /// Look whether this child's process is stopped: [`Input::Inspected`] comes.
    Inspect(Gen),
    /// Report what this running child has printed besides messages: [`Input::Quoted`] comes, before anything else from
    /// it.
    Quote(Gen),
    /// Keep this on disk for later runs. The first page of a list replaces all pages of that list. An empty result
    /// erases what is kept.
    Remember(Good),
    /// Close this child's stdin, after what was written to it.
    CloseStdin(Gen),
    /// Send this signal to these processes of this child's group.
    Signal(Gen, GroupSignal, Whom),
    /// Look whether a process of this child's group still runs: [`Input::Group`] comes.
    LookAtGroup(Gen),
    /// Look whether this child has read what was written to it: [`Input::Stdin`] comes.
    LookAtStdin(Gen),
    /// The child is done with: reap it. `group_left` when its helpers may live on (it left politely), so that nobody
    /// ends them later either.
    Forget {
        /// Which child.
        child: Gen,
        /// Its process group is left alone.
        group_left: bool,
    },
    /// Do this with the session token. [`lease::Act::Tell`] is never in here: it is a [`Note`].
    Session(lease::Act),
    /// Log, count, store, show this.
    Note(Note),
    /// Write out the rest, as long as there is time for it, and exit. Nothing comes after it.
    Exit {
        /// With this code.
        code: i32,
        /// Until when readers of our stdout and stderr may hold that up, both together, in monotonic time.
        until: Duration,
    },
}
