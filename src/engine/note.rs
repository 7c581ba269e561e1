//! The one stream of facts: what is logged, stored, shown and counted. There is no second bookkeeping.
//!
//! A note carries methods, ids, sizes, times and exits; never a payload, an argument or a token.

use std::time::Duration;

use super::guidance::Status;
use super::io::Changed;
use super::lease::io::Fact;
use super::phase::Phase;
use super::process::{Exit, Gen, SpawnFault};
use super::upstream::ApiState;
use crate::wire::{Id, Method};

/// Why we stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// The host closed our stdin.
    HostEof,
    /// The host no longer reads our stdout.
    HostGone,
    /// A signal.
    Signal,
    /// Somebody has asked for it over the control socket.
    Asked,
}

/// One of the two that talk by way of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// The host.
    Host,
    /// The server.
    Server,
}

/// Why a message was not handed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropCause {
    /// An answer that nobody waits for: it came too late, or twice, or was never asked for.
    AnswerToNothing,
    /// A host's answer to a request of a server that is dead.
    AnswerToDead,
    /// A notification that a fresh or dead server must not hear.
    NotificationToDead,
    /// A cancellation of a request that no living server has.
    CancelOfDead,
    /// A host line that is no message, while no server is there.
    JunkToDead,
    /// A request of a server that had exited already.
    RequestOfDead,
    /// A progress notification that a repetition would send backwards.
    ProgressBackwards,
    /// A progress notification of no request that the host waits for.
    ProgressOfNothing,
    /// A line of the server that is longer than `--max-answer`.
    TooLarge,
    /// A server that we are ending ends a stream, which goes on with the next server; or a server ends a stream that it
    /// does not have.
    Goodbye,
    /// The queue was full.
    QueueFull,
}

/// A fact.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// The phase changed.
    Phase {
        /// Before.
        from: Phase,
        /// Now.
        to: Phase,
    },
    /// A child runs.
    Spawned {
        /// Which.
        child: Gen,
        /// Its process id.
        pid: u32,
    },
    /// A peer has said who it is. Comes again with each greeting.
    Named {
        /// Which one.
        peer: Peer,
        /// What it calls itself: one line, masked, and no longer than a sentence.
        name: String,
        /// Its version, likewise. `None` where it does not say.
        version: Option<String>,
    },
    /// A child could not be started.
    SpawnFailed {
        /// Which.
        child: Gen,
        /// The kind of fault.
        fault: SpawnFault,
        /// In the system's words, secrets masked.
        reason: String,
    },
    /// A child has answered its greeting.
    Greeted {
        /// Which.
        child: Gen,
        /// The protocol version it answered with.
        version: String,
        /// Since its spawn.
        after: Duration,
    },
    /// A restarted server speaks a lower protocol version than the host was told.
    VersionLowered {
        /// What the host was told.
        told: String,
        /// What the server answers now.
        now: String,
    },
    /// What a fresh child was told again was refused.
    ReplayRefused {
        /// The method.
        method: &'static str,
    },
    /// A child ended.
    Exited {
        /// Which.
        child: Gen,
        /// How.
        exit: Exit,
        /// Whether this was unasked for.
        crash: bool,
        /// Whether it was on the ladder, so that a signal was ours.
        by_us: bool,
    },
    /// A child is to be ended because it cannot be used; why.
    Unusable {
        /// Which.
        child: Gen,
        /// One clause, secrets masked.
        reason: String,
    },
    /// The host is served again, after the server had ended by itself, had not started, or had been ended as unusable.
    Back {
        /// Which child.
        child: Gen,
        /// How long the host could not be served. The time in which a child that serves only when it is asked was asked
        /// nothing does not count.
        away: Duration,
        /// Whether a child of this run had served before.
        again: bool,
        /// Which of the counted restarts it was: its number, their limit, and the window of that limit. `None` if none
        /// was counted, or more than the limit.
        restart: Option<(u32, u32, Duration)>,
    },
    /// The next child is spawned after this delay.
    Restarting {
        /// The delay.
        delay: Duration,
    },
    /// The server asked for its restart by its exit code.
    HandedOff {
        /// Which child.
        child: Gen,
    },
    /// A child was ended for another one to take its place, which is no crash.
    Replaced {
        /// Which child.
        child: Gen,
        /// Why, as one clause.
        reason: &'static str,
    },
    /// An idle child has not reacted to questions whether it lives. It is left alone until the host asks for something.
    Suspect {
        /// Which.
        child: Gen,
    },
    /// A child has given no sign of life while the host waited for one, or was stopped for too long.
    Hung {
        /// Which.
        child: Gen,
    },
    /// Files have changed, and it has been quiet since.
    Changed {
        /// Which files.
        what: Changed,
    },
    /// Several times in a row, watched files have changed soon after a start: by the server itself, it seems. Restarts for
    /// that become ever rarer.
    ChangesByItself,
    /// The user's login shell was asked for its `PATH`.
    LoginShellAnswered {
        /// The shell.
        shell: String,
        /// Why it gave none, as one clause. `None` if it did.
        reason: Option<String>,
    },
    /// Something has happened to the session token.
    Session {
        /// What.
        fact: Fact,
        /// When the token that is used from now on ends, in wall-clock time since the Unix epoch. `None` if it does not end,
        /// or none is used.
        expires: Option<Duration>,
    },
    /// What is known of the API behind the server has changed.
    Api {
        /// What is known from now on.
        state: ApiState,
    },
    /// Somebody has asked for a restart over the control socket.
    RestartAsked,
    /// A degraded server is tried again.
    Retrying,
    /// The host has made a request: it is answered once ([`Note::Done`] or [`Note::Answered`]), unless the host cancels it.
    Requested {
        /// Its id.
        id: Id,
        /// Its method.
        method: Method,
        /// The tool or prompt that it names, in full length. `None` where it names none.
        name: Option<Box<str>>,
    },
    /// The host has said something else than a request.
    Heard,
    /// How much was handed on since the start, in bytes with line feeds, our own messages included. Comes with each request
    /// that is done, and last before [`Note::Stopped`].
    Carried {
        /// To all children together.
        to_server: u64,
        /// To the host.
        to_host: u64,
    },
    /// A request of the host is done.
    Done {
        /// Its id.
        id: Id,
        /// Its method.
        method: Method,
        /// The tool or prompt that it names. `None` where it names none.
        name: Option<Box<str>>,
        /// From its arrival to its answer.
        took: Duration,
        /// Whether the answer is a JSON-RPC error.
        is_error: bool,
        /// The length of the answer's line in bytes.
        bytes: usize,
    },
    /// We answered a request ourselves.
    Answered {
        /// Its id.
        id: Id,
        /// Its method.
        method: Method,
        /// The tool or prompt that it names. `None` where it names none.
        name: Option<Box<str>>,
        /// The guidance's status. `None` for an answer that is no guidance.
        status: Option<Status>,
        /// From its arrival to its answer.
        took: Duration,
    },
    /// A tool says that the token was refused: what follows is told next.
    Refused {
        /// The id of its call.
        id: Id,
        /// The call was made again after an earlier refusal.
        again: bool,
    },
    /// A request that was in flight at a crash, or was refused with an older token, is sent again.
    Repeated {
        /// Its id.
        id: Id,
        /// Its method.
        method: Method,
    },
    /// A message was not handed on.
    Dropped {
        /// Why.
        cause: DropCause,
        /// Its length in bytes.
        bytes: usize,
    },
    /// A child printed something that is no message.
    Noise {
        /// Which child.
        child: Gen,
        /// Its length in bytes.
        bytes: usize,
    },
    /// A message of a child was no UTF-8 in some text, and was handed on with U+FFFD in its place.
    Mended {
        /// Which.
        child: Gen,
    },
    /// Numbers that JSON does not have (`NaN`) became `null` in a message of a child. Comes once.
    NumbersMended {
        /// Which.
        child: Gen,
    },
    /// A child answers under its request's id in another spelling, such as `"0"` for 0. The host gets its own. Comes
    /// once.
    IdRespelled {
        /// Which.
        child: Gen,
        /// As it was asked.
        asked: Id,
        /// As it answers.
        said: Id,
    },
    /// A message was cut out of noise and handed on.
    Salvaged {
        /// Which child.
        child: Gen,
    },
    /// We stop.
    Stopping {
        /// Why.
        cause: StopCause,
    },
    /// We are done.
    Stopped {
        /// Our exit code.
        code: i32,
    },
}
