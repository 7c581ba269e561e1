//! The engine: decides everything and does nothing.
//!
//! It has no clock, no I/O, no tokio and no randomness of its own. It is told what happened ([`Input`]) and at what time
//! ([`Now`]), changes its state once, and is then drained of what is to be done ([`Output`]):
//!
//! ```text
//! loop { one Input; engine.handle(now, input); while let Some(output) = engine.poll() { perform(output) } }
//! ```
//!
//! After every input [`Engine::handle`] ends with `settle()`, which does the upkeep: fires what is due, greets a fresh
//! child, flushes the queue to a serving one, answers what can no longer be served, and ends when nothing is left. No
//! hash map is iterated over, so a run can be reproduced from its seed.
//!
//! # Invariants
//! The simulator asserts them after every step.
//!
//! 1. Every host request gets exactly one answer, unless the host cancelled it.
//! 2. Nothing reaches the host that is not an answer it waits for, a notification, an error without id where the
//!    revision allows it, or a request of the living child. The exception is a ping of ours, once the process that
//!    started us is gone and it is not known whether that was the host. No request is answered twice. A request whose
//!    id is still in flight is not well-formed: it is forwarded untracked. For each line that could not be read as a
//!    request and that went to this child, one answer that matches nothing asked may pass. Progress of a request that
//!    the host does not wait for is dropped, except for tasks, whose tokens outlive their requests.
//! 3. A child hears nothing before its greeting is done, and first what the host opened with; answers to a replayed
//!    greeting never reach the host.
//! 4. A request is written to at most one generation; only those that are safe to repeat, or that `--repeat-on-401`
//!    lets through after a refusal, may be written to a second. A call is safe if its tool was declared safe by the
//!    child that had it, or by another one of the same executable since the last change, order or upgrade. If neither
//!    has declared anything, the next child is asked first. Listening streams are opened again in each child.
//! 5. Nothing from an older generation reaches the host; no host answer meant for a dead child reaches a new one. From
//!    the second generation on, the generation is spliced into the ids of server requests and taken out on the way
//!    back; the era without server requests has no splice. While this child owes an answer that the host does not wait
//!    for, a new request with that id, its twin or its progress token is written under an id of ours (see `matching`).
//! 6. Forwarded bytes are the bytes received. The exceptions: that splice, and the same for server-chosen progress
//!    tokens and `notifications/cancelled.requestId`; a leading byte order mark; progress that a repetition would send
//!    backwards, or that belongs to nothing the host waits for; acknowledgements of what we asked again; a server's
//!    goodbye to streams while we end it; answers that came too late or twice; host notifications that a fresh or dead
//!    child must not hear; lines longer than `--max-answer`; a message at the end of a line of noise, which is cut out
//!    of it; invalid UTF-8 in an answer or a notification, which becomes U+FFFD, and `NaN` and its like, which become
//!    `null`; ids that come back in another spelling, and ids of ours that stand for the host's; tool results caused by
//!    the API behind the server, which become guidance; a batch with an element that is one of these; `ttlMs` in
//!    answers that we give again; `listChanged: true` in the capabilities that an `initialize` answer names.
//! 7. At most one child at a time; every queue, buffer and delay is bounded; a stop always ends in [`Output::Exit`].
//! 8. No token is in here, only numbers that stand for them: see [`lease`].

mod account;
mod answers;
mod asked;
mod away;
pub mod backoff;
mod book;
mod compare;
mod config;
mod current;
mod doubt;
mod embedded;
mod era;
mod from_host;
mod from_server;
pub mod good;
mod greeting;
pub mod guidance;
mod inflight;
mod inject;
pub mod io;
pub mod ladder;
pub mod lease;
mod listen;
mod lookup;
mod matching;
mod memory;
pub mod note;
mod own;
pub mod phase;
mod planned;
pub mod process;
mod pulse;
mod queue;
mod repeat;
mod replay;
mod session;
#[cfg(test)]
mod sim;
#[cfg(test)]
pub(crate) use sim::{SEEDS as SIMULATED, simulated};
mod starter;
mod stopping;
mod story;
mod strays;
mod suspect;
mod tally;
mod timers;
mod tools;
pub mod upstream;
mod waiting;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

pub use self::config::{Config, Repeat};

use self::account::Account;
use self::asked::Asked;
use self::backoff::Backoff;
use self::book::Book;
use self::compare::Seen;
use self::current::{Child, Doom, Greeting};
use self::era::{Envelope, Opening};
use self::good::Good;
use self::guidance::Status;
use self::inflight::Inflight;
use self::inject::Injection;
use self::io::{Gen, Input, Now, Order, Origin, Output};
use self::lease::Lease;
use self::listen::Listens;
use self::lookup::Lookup;
use self::note::{DropCause, Note, StopCause};
use self::phase::Phase;
use self::planned::Change;
use self::pulse::Manners;
use self::queue::Queue;
use self::replay::Replay;
use self::story::Trouble;
use self::timers::{Timer, Timers};
use self::upstream::{ApiState, Ends};

/// What the engine is doing, for whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The phase.
    pub phase: Phase,
    /// The youngest child.
    pub generation: Gen,
    /// How many children have run after the first.
    pub restarts: u32,
    /// How many answers the host waits for.
    pub owed: usize,
    /// How many lines wait for a server.
    pub waiting: usize,
}

/// The habits of the server that were reported to a person. One report of each is enough: the handling never changes.
#[derive(Clone, Copy, Debug, Default)]
struct Oddities {
    /// Ids come back in another spelling.
    ids: bool,
    /// There are numbers that JSON does not have.
    numbers: bool,
}

/// The supervisor's mind.
#[derive(Debug)]
pub struct Engine {
    config: Config,
    now: Now,
    phase: Phase,
    outputs: VecDeque<Output>,
    timers: Timers,
    child: Option<Child>,
    generation: Gen,
    /// How many children have run.
    started: u32,
    /// Whether the current child is an attempt to leave the degraded phase.
    trying: bool,
    /// That attempt was made because it was time for one, and nobody asked for it.
    by_routine: bool,
    last_attempt: Duration,
    last_handoff: Option<Duration>,
    backoff: Backoff,
    inflight: Inflight,
    queue: Queue,
    asked: Asked,
    book: Book,
    replay: Replay,
    opening: Opening,
    /// The host's own envelope, of the modern era. `None` if none was seen.
    envelope: Option<Envelope>,
    listens: Listens,
    /// What earlier runs have left.
    last_good: Vec<Good>,
    seen: Seen,
    /// The lists that the host has seen are to be compared with those of the child.
    compare_due: bool,
    /// A child has served in this run.
    has_served: bool,
    /// Since when a failure has kept the host from being served. `None` while nothing is wrong, or the host is served.
    away_since: Option<Duration>,
    lookup: Lookup,
    /// How the server takes pings.
    manners: Manners,
    account: Account,
    /// The life of the token. `None` where the server needs none of ours.
    lease: Option<Lease>,
    /// How requests to the API have ended.
    ends: Ends,
    /// What is known of the API: the state that was last told.
    api: ApiState,
    /// What is known of restarts because its API was away when a child was started.
    away: away::Away,
    /// Why nobody keeps the session any more. `None` while somebody does.
    lost: Option<String>,
    /// Which token children get, where they get it by their environment.
    injection: Injection,
    /// Changes on disk that may not be over. `None` if there are none.
    change: Option<Change>,
    /// How many changes in a row may have been the server's own doing.
    own_changes: u32,
    /// Since when the command's file is being written, as far as attempts to start it show. `None` while it is not.
    busy_since: Option<Duration>,
    host_eof: bool,
    next_batch: u64,
    /// The host was shown the status tool: we answer for it from then on.
    status_tool_shown: bool,
    oddities: Oddities,
    /// The last thing that went wrong.
    trouble: Option<Trouble>,
    exit_code: i32,
    /// Until when slow readers may hold up the exit, in monotonic time. `None` while something else holds it up.
    words_until: Option<Duration>,
    #[cfg(test)]
    planted: Option<sim::Bug>,
}

/// Whether a bug is planted, so that the simulator can be shown to find it. Never outside of tests.
macro_rules! planted {
    ($engine:expr, $bug:ident) => {{
        #[cfg(test)]
        let planted = $engine.planted == Some($crate::engine::sim::Bug::$bug);
        #[cfg(not(test))]
        let planted = {
            let _ = &$engine;
            false
        };
        planted
    }};
}
use planted;

impl Engine {
    /// An engine whose first output starts the first child: before the host's first byte. One that gets a token by its
    /// environment is started as soon as that is known.
    pub fn new(config: Config, now: Now) -> Self {
        let mut engine = Self {
            backoff: Backoff::new(config.restarts, config.seed),
            lease: config.session.as_ref().map(|session| Lease::new(session.lease, now)),
            ends: Ends::default(),
            api: ApiState::default(),
            away: away::Away::default(),
            lost: None,
            injection: Injection::default(),
            config,
            now,
            phase: Phase::Starting,
            outputs: VecDeque::new(),
            timers: Timers::default(),
            child: None,
            generation: Gen(0),
            started: 0,
            trying: false,
            by_routine: false,
            last_attempt: now.mono,
            last_handoff: None,
            inflight: Inflight::default(),
            queue: Queue::default(),
            asked: Asked::default(),
            book: Book::default(),
            replay: Replay::default(),
            opening: Opening::default(),
            envelope: None,
            listens: Listens::default(),
            last_good: Vec::new(),
            seen: Seen::default(),
            compare_due: false,
            has_served: false,
            away_since: None,
            lookup: Lookup::default(),
            manners: Manners::default(),
            account: Account::default(),
            change: None,
            own_changes: 0,
            busy_since: None,
            host_eof: false,
            next_batch: 0,
            status_tool_shown: false,
            oddities: Oddities::default(),
            trouble: None,
            exit_code: 0,
            words_until: None,
            #[cfg(test)]
            planted: None,
        };
        engine.begin();
        engine
    }

    /// One thing has happened, at this time.
    pub fn handle(&mut self, now: Now, input: Input) {
        self.now = Now { mono: self.now.mono.max(now.mono), wall: now.wall };
        if self.phase == Phase::Stopped {
            return;
        }
        match input {
            Input::Host(line) => self.host_line(line),
            Input::HostEof => self.host_eof = true,
            Input::HostGone => self.stop(StopCause::HostGone),
            Input::StarterGone(holder) => self.starter_gone(holder),
            Input::Child(child, line) => self.child_line(child, line),
            Input::Spawned(child, pid) => self.spawned(child, pid),
            Input::SpawnFailed(child, fault, reason) => self.spawn_failed(child, fault, &reason),
            Input::Exited(child, exit) => self.exited(child, exit),
            Input::Silent { from, stderr_tail, unsent } => self.silent(from, stderr_tail, &unsent),
            Input::Mute(child) => self.useless(child, "it closed its standard output and went on running"),
            Input::Deaf(child) => self.useless(child, "it closed its standard input and went on running"),
            Input::Stop(signal) => self.signalled(signal),
            Input::Order(Order::Stop) => self.stop(StopCause::Asked),
            Input::Order(Order::Restart) => self.restart_as_asked(false),
            Input::Order(Order::RestartSoon) => self.restart_as_asked(true),
            Input::Group { child, empty } => self.looked_at_group(child, empty),
            Input::Stdin { child, read } => self.looked_at_stdin(child, read),
            Input::Inspected { child, stopped } => self.inspected(child, stopped),
            Input::Quoted { from, text } => self.quoted(from, &text),
            Input::LastGood(good) => self.remember_earlier(good),
            Input::LoginPath(answer) => self.login_path(answer),
            Input::Changed(what) => self.changed(what),
            Input::Session(event) => self.session_event(event),
            Input::Timer => {}
        }
        self.settle();
    }

    /// The next thing to do. `None` when there is nothing more to do until the next input.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Input::Timer`] is wanted, in monotonic time. `None` if not before another input.
    pub fn deadline(&self) -> Option<Duration> {
        let ended = matches!(self.phase, Phase::Stopping | Phase::Stopped) && self.child.is_none();
        let session = self.lease.as_ref().filter(|_| !ended).map(Lease::deadline);
        self.timers.next().into_iter().chain(self.answers_due()).chain(session).min()
    }

    /// What it is doing.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            phase: self.phase,
            generation: self.generation,
            restarts: self.restarts(),
            owed: self.inflight.owed(),
            waiting: self.queue.len(),
        }
    }

    /// The upkeep after every input.
    fn settle(&mut self) {
        self.fire_timers();
        self.keep_session();
        // This comes after an answer with news of the tools was forwarded, and before anything is written.
        self.judge_doubted();
        self.greet();
        self.open();
        self.rotate();
        self.flush();
        self.compare();
        self.ask_of_doubted();
        self.answer_overdue();
        self.drain();
        self.tell_carried();
        self.end_if_done();
    }

    fn fire_timers(&mut self) {
        let now = self.now.mono;
        if self.timers.next().is_none_or(|at| at > now) {
            return;
        }
        if self.timers.fired(Timer::Restart, now) {
            self.start();
        }
        if self.timers.fired(Timer::Retry, now) && self.phase == Phase::Degraded {
            self.retry();
            self.by_routine = true;
        }
        if self.timers.fired(Timer::Greeting, now) {
            self.greeting_overdue();
        }
        if self.timers.fired(Timer::Startup, now) {
            self.startup_overdue();
        }
        if self.timers.fired(Timer::Sustained, now) {
            self.forgive();
        }
        if self.timers.fired(Timer::Mute, now) {
            self.mute_overdue();
        }
        if self.timers.fired(Timer::Ping, now) {
            self.take_pulse();
        }
        if self.timers.fired(Timer::Sign, now) {
            self.sign_overdue();
        }
        if self.timers.fired(Timer::SideBySide, now) {
            self.look_at_stdin();
        }
        if self.timers.fired(Timer::Quiet, now) {
            self.changes_are_over();
        }
        if self.timers.fired(Timer::Rotate, now) {
            self.rotate();
        }
        if self.timers.fired(Timer::Away, now) {
            self.look_for_api();
        }
        if self.timers.fired(Timer::Drain, now) {
            self.drained();
        }
        if self.timers.fired(Timer::Lookup, now) {
            self.lookup_overdue();
        }
        if self.timers.fired(Timer::Embedded, now) {
            self.judge_embedded();
        }
        if self.timers.fired(Timer::Rung, now) {
            self.descend_further();
        }
        if self.timers.fired(Timer::Host, now) {
            self.host_silent();
        }
        if self.timers.fired(Timer::Words, now) {
            self.words_overdue();
        }
        if self.timers.fired(Timer::Owed, now) {
            self.stop(StopCause::HostEof);
        }
    }

    /// The number of the next line that is written to the child.
    fn next_line(&self) -> u64 {
        self.child.as_ref().map_or(0, |child| child.lines)
    }

    /// How many children have run after the first.
    fn restarts(&self) -> u32 {
        self.started.saturating_sub(1)
    }

    /// The one place where the phase changes.
    fn set_phase(&mut self, to: Phase) {
        let from = self.phase;
        if from == to {
            return;
        }
        debug_assert!(from.may_become(to), "{from} may not become {to}");
        self.phase = to;
        self.note(Note::Phase { from, to });
    }

    fn note(&mut self, note: Note) {
        self.outputs.push_back(Output::Note(note));
    }

    fn dropped(&mut self, cause: DropCause, bytes: usize) {
        self.note(Note::Dropped { cause, bytes });
    }

    fn tell_child(&mut self, child: Gen, line: Bytes) {
        if let Some(current) = self.child.as_mut().filter(|current| current.generation == child) {
            if current.lines == 0 {
                current.asked_at = Some(self.now.mono);
            }
            current.lines += 1;
        }
        let line = with_line_feed(line);
        self.account.to_server += line.len() as u64;
        self.outputs.push_back(Output::ToChild(child, line));
    }

    fn forward_to_host(&mut self, line: Bytes) {
        self.hand_to_host(with_line_feed(line), Origin::Server);
    }

    /// A message of our own, one JSON text without line feed.
    fn say_to_host(&mut self, text: String) {
        self.hand_to_host(with_line_feed(text.into()), Origin::Supervisor);
    }

    /// A line with its line feed.
    fn hand_to_host(&mut self, line: Bytes, origin: Origin) {
        self.account.to_host += line.len() as u64;
        self.outputs.push_back(Output::ToHost(line, origin));
    }

    fn note_answer(&mut self, pending: &inflight::Pending, status: Option<Status>) {
        let took = self.now.mono.saturating_sub(pending.arrived);
        self.account.due = true;
        self.note(Note::Answered {
            id: pending.id.clone(),
            method: pending.method.clone(),
            name: pending.name.clone(),
            status,
            took,
        });
    }
}

/// The length of a line as limits count it: without its line feed.
fn len_of(line: &[u8]) -> usize {
    line.strip_suffix(b"\n").unwrap_or(line).len()
}

/// Whether a server may send this of its own accord.
fn is_server_method(method: &str) -> bool {
    matches!(
        method,
        "ping"
            | "roots/list"
            | "sampling/createMessage"
            | "elicitation/create"
            | "tasks/get"
            | "tasks/list"
            | "tasks/result"
            | "tasks/cancel"
    ) || method.starts_with("notifications/")
}

/// The line with a line feed at its end; itself if it has one.
fn with_line_feed(line: Bytes) -> Bytes {
    if line.ends_with(b"\n") {
        return line;
    }
    let mut fed = BytesMut::with_capacity(line.len() + 1);
    fed.extend_from_slice(&line);
    fed.extend_from_slice(b"\n");
    fed.freeze()
}

/// The elements as one JSON array.
fn as_array<T: AsRef<[u8]>>(elements: &[T]) -> Bytes {
    let mut array = BytesMut::from(&b"["[..]);
    for (position, element) in elements.iter().enumerate() {
        if position > 0 {
            array.extend_from_slice(b",");
        }
        array.extend_from_slice(element.as_ref());
    }
    array.extend_from_slice(b"]\n");
    array.freeze()
}
