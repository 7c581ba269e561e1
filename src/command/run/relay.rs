//! The loop in which the engine and the doers meet: one input, one step of the engine, all its outputs performed.
//!
//! It runs on one thread and waits in one place ([`Relay::wait`]). Each direction has a bounded buffer of its own and
//! stops reading when that is full, so that neither direction ever waits for the other; only our own answers, when they
//! fill the host's buffer, stop the reading from the host.

mod ending;

use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use nix::libc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::yield_now;
use tokio::time::{Instant, Sleep, sleep_until};

use super::beside::{Beside, News};
use super::input::Lines;
use super::log::{Log, Noise};
use super::outbox::Outbox;
use super::running::Running;
use crate::child::{Guardian, Spec, spawn};
use crate::engine::Engine;
use crate::engine::io::{Exit, Gen, Input, Now, Origin, Output, StopSignal};
use crate::stream::{Sink, Source};

/// After how many steps of the engine the system is asked for news, even if there is still something to do.
const STEPS: u32 = 256;

/// What the relay needs from outside.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) spec: Spec,
    pub(super) beside: Beside,
    pub(super) guardian: Option<Guardian>,
    pub(super) max_line: usize,
    pub(super) log: Log,
    pub(super) noise: Noise,
    pub(super) stdin: Source,
    pub(super) stdout: Sink,
    pub(super) stderr: Sink,
}

/// The doers of one supervised server, and the engine that they serve.
#[derive(Debug)]
pub(super) struct Relay {
    engine: Engine,
    started: Instant,
    spec: Spec,
    /// `None` once all is over.
    beside: Option<Beside>,
    guardian: Option<Guardian>,
    max_line: usize,
    from_host: Lines,
    host_eof_told: bool,
    /// Some of what was read from the host may still wait in our own buffer.
    host_unheard: bool,
    /// The host has ended its side; what it has written is still to be read.
    host_ending: bool,
    to_host: Outbox,
    stdout: Sink,
    host_gone: bool,
    child: Option<Running>,
    log: Log,
    noise: Noise,
    to_log: Outbox,
    stderr: Sink,
    log_gone: bool,
    signals: Signals,
    in_haste: bool,
    timer: Pin<Box<Sleep>>,
    inputs: VecDeque<Input>,
}

#[derive(Debug)]
struct Signals {
    term: Signal,
    /// `None` where whoever started us wants it ignored, as `nohup` does: then it stays so, for the server too.
    int: Option<Signal>,
    hup: Option<Signal>,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: heeded(SignalKind::interrupt())?,
            hup: heeded(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> StopSignal {
        tokio::select! {
            _ = self.term.recv() => StopSignal::Term,
            () = received(&mut self.int) => StopSignal::Int,
            () = received(&mut self.hup) => StopSignal::Hup,
        }
    }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => pending().await,
    }
}

/// Listens for a signal, unless it is ignored.
fn heeded(kind: SignalKind) -> io::Result<Option<Signal>> {
    let mut current = MaybeUninit::<libc::sigaction>::uninit();
    #[expect(unsafe_code, reason = "the safe wrappers change the disposition that is to be asked for")]
    // SAFETY: without a new action the call only writes the present one, which is read only if it was written.
    let ignored = unsafe {
        libc::sigaction(kind.as_raw_value(), std::ptr::null(), current.as_mut_ptr()) == 0
            && current.assume_init().sa_sigaction == libc::SIG_IGN
    };
    if ignored { Ok(None) } else { signal(kind).map(Some) }
}

/// What ended the waiting.
enum Event {
    Signal(StopSignal),
    ChildExited(Exit),
    ChildRead,
    ChildStderr(Bytes),
    ChildWritten(io::Result<()>),
    HostRead,
    HostEnding,
    HostWritten(io::Result<()>),
    HostGone,
    LogWritten(io::Result<()>),
    News(News),
    Timer,
}

impl Relay {
    pub(super) fn new(engine: Engine, started: Instant, setup: Setup) -> io::Result<Self> {
        Ok(Self {
            engine,
            started,
            spec: setup.spec,
            beside: Some(setup.beside),
            guardian: setup.guardian,
            max_line: setup.max_line,
            from_host: Lines::new(setup.stdin, setup.max_line),
            host_eof_told: false,
            host_unheard: false,
            host_ending: false,
            to_host: Outbox::default(),
            stdout: setup.stdout,
            host_gone: false,
            child: None,
            log: setup.log,
            noise: setup.noise,
            to_log: Outbox::default(),
            stderr: setup.stderr,
            log_gone: false,
            signals: Signals::new()?,
            in_haste: false,
            timer: Box::pin(sleep_until(started)),
            inputs: VecDeque::new(),
        })
    }

    /// Relays until the engine says that it is done. Gives our exit code.
    pub(super) async fn run(mut self) -> i32 {
        let mut steps = 0;
        loop {
            if let Some(code) = self.perform_all() {
                self.last_words().await;
                if let Some(guardian) = self.guardian.take() {
                    guardian.dismiss();
                }
                return code;
            }
            if self.inputs.is_empty() {
                self.follow_exit();
            }
            if let Some(input) = self.inputs.pop_front() {
                self.handle(input);
                steps += 1;
                continue;
            }
            let ending = self.host_ending || !self.from_host.is_open();
            if self.host_unheard && (ending || !self.to_host.is_full_of_own()) {
                self.host_line();
                continue;
            }
            if steps >= STEPS {
                // As long as somebody always has something to say, nobody else's news would come in.
                yield_now().await;
                steps = 0;
            }
            match self.wait().await {
                Event::Signal(signal) => {
                    self.in_haste = true;
                    self.inputs.push_back(Input::Stop(signal));
                }
                Event::ChildExited(exit) => self.child_exited(exit),
                Event::ChildRead => self.child_lines(),
                Event::ChildStderr(bytes) => self.child_stderr(bytes),
                Event::ChildWritten(Err(_)) => self.child_deaf(),
                Event::HostRead => self.host_unheard = true,
                Event::HostEnding => self.host_ending = true,
                Event::HostWritten(Err(_)) | Event::HostGone => self.lose_host(),
                Event::LogWritten(Err(_)) => self.log_gone = true,
                Event::News(News::Input(input)) => self.inputs.push_back(input),
                Event::News(News::Watching) => self.log.watching(),
                Event::News(News::Fault(fault)) => self.log.fault(&fault),
                Event::Timer => self.inputs.push_back(Input::Timer),
                Event::ChildWritten(Ok(())) | Event::HostWritten(Ok(())) | Event::LogWritten(Ok(())) => {}
            }
        }
    }

    /// The one place where we wait. Everything in it is cancel-safe: what did not happen has taken nothing.
    async fn wait(&mut self) -> Event {
        let deadline = self.engine.deadline().map(|at| self.started + at);
        if let Some(deadline) = deadline.filter(|at| *at != self.timer.deadline()) {
            self.timer.as_mut().reset(deadline);
        }
        let host_reads = !self.to_host.is_full();
        let log_reads = !self.to_log.is_full() || self.log_gone;
        let child_reads = self.child.as_ref().is_none_or(|child| !child.stdin.is_full());
        // What a host that has ended its side has still written is bounded: it is read whatever is full, for without it
        // the end would never be seen.
        let hear_host = self.host_ending || (child_reads && !self.to_host.is_full_of_own());
        let hear_gone = !self.host_gone;
        let (mut stdin, mut stdout, mut stderr, mut process) = (None, None, None, None);
        if let Some(child) = &mut self.child {
            stdin = (!child.exited).then_some(&mut child.stdin);
            stdout = (child.stdout.is_open() && host_reads).then_some(&mut child.stdout);
            // What a dead child left behind is bounded too.
            stderr = (child.stderr.is_open() && (log_reads || child.draining)).then_some(&mut child.stderr);
            process = (!child.exited).then_some(&child.process);
        }
        let write_to_child = async {
            match stdin {
                Some(stdin) => stdin.write().await,
                None => pending().await,
            }
        };
        let read_from_child = async {
            match stdout {
                // An error is the end of it, and that the lines know.
                Some(stdout) => drop(stdout.read().await),
                None => pending().await,
            }
        };
        let read_stderr = async {
            match stderr {
                Some(stderr) => poll_fn(|cx| stderr.poll_read(cx)).await,
                None => pending().await,
            }
        };
        let exit = async {
            match process {
                Some(process) => process.exited().await,
                None => pending().await,
            }
        };
        let from_host = &mut self.from_host;
        let unheard = self.host_unheard;
        let read_from_host = async {
            if !from_host.is_open() {
                pending().await
            } else if hear_host && !unheard {
                // An error is the end of it, and that the lines know.
                drop(from_host.read().await);
                Event::HostRead
            } else {
                from_host.writer_lost().await;
                Event::HostEnding
            }
        };
        let (to_host, sink) = (&mut self.to_host, &mut self.stdout);
        let host = async {
            // One of the two at a time, for both need the descriptor: while there is something to write, a lost reader
            // shows by the error.
            if to_host.is_empty() {
                sink.reader_lost().await;
                Event::HostGone
            } else {
                Event::HostWritten(poll_fn(|cx| to_host.poll_write(cx, sink)).await)
            }
        };
        let (to_log, log) = (&mut self.to_log, &mut self.stderr);
        let beside = &mut self.beside;
        let news = async {
            match beside {
                Some(beside) => Event::News(beside.next().await),
                None => pending().await,
            }
        };
        // Whoever always has something to say must not keep the others from being heard: no fixed order here.
        let reads = async {
            tokio::select! {
                () = read_from_child => Event::ChildRead,
                event = read_from_host => event,
                bytes = read_stderr => Event::ChildStderr(bytes),
            }
        };
        // What is rare comes first, and an exit before the timer that waits for it; what is written was read before.
        tokio::select! {
            biased;
            signal = self.signals.next() => Event::Signal(signal),
            exit = exit => Event::ChildExited(exit),
            () = &mut self.timer, if deadline.is_some() => Event::Timer,
            event = news => event,
            event = host, if hear_gone => event,
            written = write_to_child => Event::ChildWritten(written),
            written = poll_fn(|cx| to_log.poll_write(cx, log)), if !self.log_gone => Event::LogWritten(written),
            event = reads => event,
        }
    }

    /// Performs what the engine asks for. The exit code when it asks for the exit.
    fn perform_all(&mut self) -> Option<i32> {
        while let Some(output) = self.engine.poll() {
            match output {
                Output::ToHost(line, origin) if !self.host_gone => self.to_host.push(line, origin),
                Output::ToHost(..) => {}
                Output::ToChild(generation, line) => {
                    if let Some(child) = self.child_of(generation) {
                        child.stdin.push(line);
                    }
                }
                Output::Noise(generation, line) => {
                    if let Some(child) = self.child_of(generation) {
                        child.tail.push(&line);
                    }
                    if let Some(line) = self.noise.line(&line, self.started.elapsed(), self.to_log.is_full())
                    {
                        self.to_log.push(line, Origin::Server);
                    }
                }
                Output::Spawn(generation) => self.spawn(generation),
                Output::UsePath(path) => {
                    if let Some(beside) = &mut self.beside {
                        beside.use_path(&mut self.spec, path);
                    }
                }
                Output::AskLoginShell => {
                    if let Some(beside) = &mut self.beside {
                        beside.ask_login_shell(self.guardian.as_ref());
                    }
                }
                Output::Inspect(generation) => {
                    if let Some(child) = self.child_of(generation) {
                        let stopped = child.process.is_stopped();
                        self.inputs.push_back(Input::Inspected { child: generation, stopped });
                    }
                }
                Output::Remember(good) => {
                    if let Some(beside) = &self.beside {
                        beside.remember(good);
                    }
                }
                Output::CloseStdin(generation) => {
                    if let Some(child) = self.child_of(generation) {
                        child.stdin.close();
                    }
                }
                Output::Signal(generation, signal) => {
                    let sent = self.child_of(generation).map(|child| child.process.signal(signal));
                    if let Some(Err(error)) = sent {
                        self.log.signal_failed(generation, signal, &error);
                    }
                }
                Output::Forget { child: generation, group_left } => {
                    if self.child_of(generation).is_some()
                        && let Some(child) = self.child.take()
                    {
                        child.process.forget(group_left);
                    }
                }
                Output::Note(note) => self.log.note(&note),
                Output::Exit(code) => {
                    self.absorb_log();
                    return Some(code);
                }
            }
        }
        self.absorb_log();
        None
    }

    /// What was logged goes out with everything else that goes to stderr, as soon as there is room.
    fn absorb_log(&mut self) {
        while !self.to_log.is_full()
            && let Some(line) = self.log.next_line()
        {
            if !self.log_gone {
                self.to_log.push(line, Origin::Supervisor);
            }
        }
    }

    fn child_of(&mut self, generation: Gen) -> Option<&mut Running> {
        self.child.as_mut().filter(|child| child.generation == generation)
    }

    fn handle(&mut self, input: Input) {
        let mono = self.started.elapsed();
        #[expect(clippy::disallowed_methods, reason = "this is where time is read for the engine")]
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.engine.handle(Now { mono, wall }, input);
    }

    fn spawn(&mut self, generation: Gen) {
        let input = match spawn(&self.spec, self.guardian.as_ref()) {
            Ok(child) => {
                let pid = child.process.pid();
                self.child = Some(Running::new(generation, child, self.max_line));
                Input::Spawned(generation, pid)
            }
            Err(error) => Input::SpawnFailed(generation, error.fault, error.message),
        };
        self.inputs.push_back(input);
    }

    /// One line of what was read from the host: what it is answered may be far longer than it is.
    fn host_line(&mut self) {
        if let Some(line) = self.from_host.next() {
            self.inputs.push_back(Input::Host(line));
            return;
        }
        self.host_unheard = false;
        if !self.from_host.is_open() && !std::mem::replace(&mut self.host_eof_told, true) {
            self.inputs.push_back(Input::HostEof);
        }
    }

    fn lose_host(&mut self) {
        self.host_gone = true;
        self.in_haste = true;
        self.to_host.clear();
        self.inputs.push_back(Input::HostGone);
    }

    fn child_lines(&mut self) {
        let Some(child) = &mut self.child else { return };
        while let Some(line) = child.stdout.next() {
            self.inputs.push_back(Input::Child(child.generation, line));
        }
        if !child.stdout.is_open() && !child.exited && !std::mem::replace(&mut child.mute_told, true) {
            self.inputs.push_back(Input::Mute(child.generation));
        }
    }

    fn child_stderr(&mut self, bytes: Bytes) {
        let Some(child) = &mut self.child else { return };
        if !bytes.is_empty() {
            child.tail.push(&bytes);
            // What is read of a dead child's stderr although nobody reads ours does not pile up.
            let piles_up = child.draining && self.to_log.is_full();
            if !self.log_gone && !piles_up {
                self.to_log.push(bytes, Origin::Server);
            }
        }
    }

    fn child_deaf(&mut self) {
        if let Some(child) = &self.child {
            self.inputs.push_back(Input::Deaf(child.generation));
        }
    }

    fn child_exited(&mut self, exit: Exit) {
        if let Some(child) = &mut self.child {
            child.exited = true;
            self.inputs.push_back(Input::Exited(child.generation, exit));
        }
    }

    /// After an exit has been told and answered: what is there to read is read, and then its end is told.
    fn follow_exit(&mut self) {
        let Some(child) = self.child.as_mut().filter(|child| child.exited) else { return };
        if !std::mem::replace(&mut child.draining, true) {
            child.drain();
            self.child_lines();
        }
        let Some(child) = self.child.as_mut().filter(|child| child.is_silent()) else { return };
        if !std::mem::replace(&mut child.silent_told, true) {
            let unsent = child.stdin.unsent();
            self.inputs.push_back(Input::Silent {
                from: child.generation,
                stderr_tail: child.tail.text(),
                unsent,
            });
        }
    }
}
