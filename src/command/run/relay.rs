//! The loop in which the engine and the doers meet: one input, one step of the engine, all its outputs performed.
//!
//! It runs on one thread and waits in one place ([`Relay::poll_event`]). Each direction has a bounded buffer of its own
//! and stops reading when that is full, so that neither direction ever waits for the other; only our own answers, when
//! they fill the host's buffer, stop the reading from the host.
//!
//! What a message meets on its way is kept short: one wait, one read, one write. Whoever seldom has something to say is
//! asked only when it has ([`cold`]).

mod cold;
mod ending;
mod heard;
mod signals;
mod time;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use nix::errno::Errno;
use tokio::io::AsyncWrite as _;
use tokio::sync::mpsc;
use tokio::task::yield_now;

use self::cold::Cold;
use self::signals::Signals;
use super::alarm::Alarm;
use super::beside::{Beside, News};
use super::clock::Clock;
use super::injection::Injection;
use super::input::Lines;
use super::log::{Log, Noise};
use super::memory::Rest;
use super::outbox::Outbox;
use super::print::Print;
use super::running::Running;
use super::starter::Starter;
use crate::child::{Guardian, Spec, executable, spawn};
use crate::engine::Engine;
use crate::engine::io::{Changed, Exit, Gen, Holder, Input, Now, Origin, Output, StopSignal};
use crate::engine::lease::io::Act;
use crate::engine::note::Note;
use crate::engine::phase::Phase;
use crate::exit_code;
use crate::ledger::Shared;
use crate::stream::{Sink, Source};
use crate::threads;

/// After how many steps of the engine the system is asked for news, even if there is still something to do.
const STEPS: u32 = 256;

/// How often services that got no thread are tried again.
const THREADS_AGAIN: Duration = Duration::from_secs(1);

/// What the relay needs from outside.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) spec: Spec,
    pub(super) guardian: Option<Guardian>,
    pub(super) max_line: usize,
    /// How the keeper of the session is told what to do. `None` where there is none.
    pub(super) acts: Option<mpsc::UnboundedSender<Act>>,
    /// Where the server gets the token itself. `None` where it does not.
    pub(super) injection: Option<Injection>,
    /// What the notes add up to.
    pub(super) shared: Arc<Shared>,
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
    clock: Clock,
    spec: Spec,
    /// `None` before the first child was started, and once all is over.
    beside: Option<Beside>,
    guardian: Option<Guardian>,
    max_line: usize,
    /// `None` where no session is kept, and once all is over.
    acts: Option<mpsc::UnboundedSender<Act>>,
    injection: Option<Injection>,
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
    shared: Arc<Shared>,
    log: Log,
    noise: Noise,
    to_log: Outbox,
    stderr: Sink,
    log_gone: bool,
    signals: Signals,
    starter: Starter,
    alarm: Alarm,
    /// When the alarm rings. `None` while it is not set, or nobody waits for it.
    alarm_at: Option<Duration>,
    cold: Cold,
    /// Which side's turn it is to be asked first: whoever always has something to say must not keep the other from being
    /// heard.
    host_first: bool,
    /// The same for stderr and the messages.
    log_first: bool,
    rest: Rest,
    now: Now,
    inputs: VecDeque<Input>,
    /// The engine's deadline when the wait began.
    deadline: Option<Duration>,
    /// How many of the next inputs arrived before a deadline that has passed, and the time at which they count as
    /// received.
    early: (usize, Now),
    /// The command's file at the last start. `None` where there was none.
    executable: Option<Print>,
    /// Whether something for the host could not be written.
    output_lost: bool,
    /// When services that got no thread are tried again.
    threads_at: Duration,
}

/// What ended the waiting.
enum Event {
    Signal(StopSignal),
    ChildExited(Exit),
    ChildRead,
    ChildStderr(Bytes),
    ChildDeaf,
    HostRead,
    HostEnding,
    HostGone,
    /// Output for the host cannot be written, although the host has not closed it.
    OutputLost(io::Error),
    LogGone,
    StarterGone(Holder),
    News(News),
    Timer,
    /// There is room again where there was none.
    Room,
}

impl Relay {
    pub(super) fn new(engine: Engine, clock: Clock, setup: Setup) -> io::Result<Self> {
        Ok(Self {
            engine,
            clock,
            spec: setup.spec,
            beside: None,
            guardian: setup.guardian,
            max_line: setup.max_line,
            acts: setup.acts,
            injection: setup.injection,
            from_host: Lines::new(setup.stdin, setup.max_line),
            host_eof_told: false,
            host_unheard: false,
            host_ending: false,
            to_host: Outbox::default(),
            stdout: setup.stdout,
            host_gone: false,
            child: None,
            shared: setup.shared,
            log: setup.log,
            noise: setup.noise,
            to_log: Outbox::default(),
            stderr: setup.stderr,
            log_gone: false,
            signals: Signals::new()?,
            starter: Starter::new(),
            alarm: Alarm::new()?,
            alarm_at: None,
            cold: Cold::default(),
            host_first: false,
            log_first: false,
            rest: Rest::default(),
            now: Now::default(),
            inputs: VecDeque::new(),
            deadline: None,
            early: (0, Now::default()),
            executable: None,
            output_lost: false,
            threads_at: Duration::ZERO,
        })
    }

    /// Relays until the engine says that it is done. Gives our exit code. `beside` is called as soon as the first child is
    /// on its way, so that what is slow or optional does not stand before it.
    pub(super) async fn run(mut self, beside: impl FnOnce(&Spec) -> Beside) -> i32 {
        let mut beside = Some(beside);
        let mut steps = 0;
        if self.stdout.is_closed() {
            self.lose_output(&io::Error::from(Errno::EBADF));
        }
        loop {
            if let Some((code, until)) = self.perform_all() {
                self.last_words(until).await;
                if let Some(guardian) = self.guardian.take() {
                    guardian.dismiss();
                }
                let lost = self.output_lost && code == exit_code::DONE;
                return if lost { exit_code::OUTPUT_LOST } else { code };
            }
            if let Some(start) = beside.take() {
                self.beside = Some(start(&self.spec));
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
                self.look_at_clock();
                steps = 0;
            }
            let event = poll_fn(|cx| self.poll_event(cx)).await;
            self.look_at_clock();
            if let Some(deadline) = self.deadline.filter(|deadline| *deadline <= self.now.mono) {
                self.hear_in_time(deadline).await;
            }
            if threads::is_awaited() && self.now.mono >= self.threads_at {
                self.threads_at = self.now.mono + THREADS_AGAIN;
                threads::retry();
            }
            match event {
                Event::Signal(signal) => self.inputs.push_back(Input::Stop(signal)),
                Event::ChildExited(exit) => self.child_exited(exit),
                Event::ChildRead => self.child_lines(),
                Event::ChildStderr(bytes) => self.child_stderr(bytes),
                Event::ChildDeaf => self.child_deaf(),
                Event::HostRead => self.host_unheard = true,
                Event::HostEnding => self.host_ending = true,
                Event::HostGone => self.lose_host(),
                Event::OutputLost(error) => {
                    self.lose_output(&error);
                    self.lose_host();
                }
                Event::LogGone => self.log_gone = true,
                Event::StarterGone(holder) => self.inputs.push_back(Input::StarterGone(holder)),
                Event::News(News::Input(input)) => self.inputs.push_back(input),
                Event::News(News::Watching) => self.log.watching(),
                Event::News(News::Fault(fault)) => self.log.fault(&fault),
                Event::News(News::Warning(text)) => self.log.warning(&text),
                Event::Timer => {
                    self.rest();
                    self.inputs.push_back(Input::Timer);
                }
                Event::News(News::End) | Event::Room => {}
            }
        }
    }

    /// The one place where we wait: what is on its way is written, then the two sides are read.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        self.set_alarm();
        let cold = self.cold.due(cx);
        if let Some(waker) = &cold {
            let event = self.poll_cold(&mut Context::from_waker(waker));
            if event.is_ready() {
                // The others may have something to say as well.
                self.cold.ask_again();
                return event;
            }
        }
        let Some(waker) = cold else { return self.poll_hot(cx) };
        // A server may write to stderr as fast as it can, and messages may come as fast as they can: in turns.
        let mut log_cx = Context::from_waker(&waker);
        self.log_first = !self.log_first;
        let first = if self.log_first { self.poll_log(&mut log_cx) } else { self.poll_hot(cx) };
        let event = match first {
            Poll::Ready(event) => Poll::Ready(event),
            Poll::Pending if self.log_first => self.poll_hot(cx),
            Poll::Pending => self.poll_log(&mut log_cx),
        };
        if event.is_ready() {
            self.cold.ask_again();
        }
        event
    }

    fn poll_hot(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if !self.to_host.is_empty() && !self.host_gone {
            let was_full = self.to_host.is_full_of_own();
            if let Poll::Ready(Err(error)) = self.to_host.poll_write_all(cx, &mut self.stdout) {
                return Poll::Ready(Event::of_output(error));
            }
            if was_full && self.host_unheard && !self.to_host.is_full_of_own() {
                return Poll::Ready(Event::Room);
            }
        }
        // For a file or a terminal, the outcome of a write is known only later.
        if !self.host_gone
            && let Poll::Ready(Err(error)) = Pin::new(&mut self.stdout).poll_flush(cx)
        {
            return Poll::Ready(Event::of_output(error));
        }
        if let Some(child) = self.child.as_mut().filter(|child| !child.exited && !child.stdin.is_empty())
            && let Poll::Ready(Err(_)) = child.stdin.poll_write(cx)
        {
            return Poll::Ready(Event::ChildDeaf);
        }
        self.host_first = !self.host_first;
        let first = if self.host_first { self.poll_host(cx) } else { self.poll_child(cx) };
        if first.is_ready() {
            return first;
        }
        if self.host_first { self.poll_child(cx) } else { self.poll_host(cx) }
    }

    fn poll_child(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let host_reads = !self.to_host.is_full();
        match &mut self.child {
            Some(child) if child.stdout.is_open() && host_reads => {
                child.stdout.poll_read(cx).map(|()| Event::ChildRead)
            }
            _ => Poll::Pending,
        }
    }

    fn poll_host(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if !self.from_host.is_open() {
            return Poll::Pending;
        }
        let child_reads = self.child.as_ref().is_none_or(|child| !child.stdin.is_full());
        // What a host that has ended its side has still written is bounded: it is read whatever is full, for without it
        // the end would never be seen.
        let hear = self.host_ending || (child_reads && !self.to_host.is_full_of_own());
        if hear && !self.host_unheard {
            self.from_host.poll_read(cx).map(|()| Event::HostRead)
        } else {
            self.from_host.poll_writer_lost(cx).map(|()| Event::HostEnding)
        }
    }

    /// Asks those who seldom have something to say; an exit comes before the timer that waits for it.
    fn poll_cold(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Poll::Ready(signal) = self.signals.poll_next(cx) {
            return Poll::Ready(Event::Signal(signal));
        }
        if let Some(child) = self.child.as_mut().filter(|child| !child.exited) {
            if let Poll::Ready(exit) = child.process.poll_exited(cx) {
                return Poll::Ready(Event::ChildExited(exit));
            }
            if child.stdin.poll_deaf(cx).is_ready() {
                return Poll::Ready(Event::ChildDeaf);
            }
        }
        if self.alarm_at.is_some() && self.alarm.poll(cx).is_ready() {
            self.alarm_at = None;
            return Poll::Ready(Event::Timer);
        }
        if let Some(beside) = &mut self.beside
            && let Poll::Ready(news) = beside.poll_next(cx)
        {
            return Poll::Ready(Event::News(news));
        }
        if !self.host_gone && self.stdout.poll_reader_lost(cx).is_ready() {
            return Poll::Ready(Event::HostGone);
        }
        if let Poll::Ready(holder) = self.starter.poll_gone(cx) {
            return Poll::Ready(Event::StarterGone(holder));
        }
        Poll::Pending
    }

    /// Writes to stderr, and reads from the child's.
    fn poll_log(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if !self.log_gone && !self.to_log.is_empty() {
            match self.to_log.poll_write(cx, &mut self.stderr) {
                Poll::Ready(Ok(())) => return Poll::Ready(Event::Room),
                Poll::Ready(Err(_)) => return Poll::Ready(Event::LogGone),
                Poll::Pending => {}
            }
        }
        let log_reads = !self.to_log.is_full() || self.log_gone;
        // What a dead child left behind is bounded too.
        let stderr =
            self.child.as_mut().filter(|child| child.stderr.is_open() && (log_reads || child.draining));
        match stderr {
            Some(child) => child.stderr.poll_read(cx).map(Event::ChildStderr),
            None => Poll::Pending,
        }
    }

    /// Performs the engine's outputs. Once the engine asks for the exit: our exit code, and until when slow readers may
    /// delay it.
    fn perform_all(&mut self) -> Option<(i32, Duration)> {
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
                    if let Some(line) = self.noise.line(&line, self.clock.elapsed(), self.to_log.is_full()) {
                        self.to_log.push(line, Origin::Server);
                        self.cold.ask_again();
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
                        beside.ask_login_shell(&self.spec, self.guardian.as_ref());
                    }
                }
                Output::Inspect(generation) => {
                    if let Some(child) = self.child_of(generation) {
                        let stopped = child.process.stopped_by();
                        self.inputs.push_back(Input::Inspected { child: generation, stopped });
                    }
                }
                Output::Quote(generation) => {
                    if let Some(text) = self.child_of(generation).map(|child| child.tail.text()) {
                        self.inputs.push_back(Input::Quoted { from: generation, text });
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
                Output::LookAtGroup(generation) => {
                    if let Some(child) = self.child_of(generation) {
                        let empty = !child.process.group_runs();
                        self.inputs.push_back(Input::Group { child: generation, empty });
                    }
                }
                Output::LookAtStdin(generation) => {
                    if let Some(child) = self.child_of(generation) {
                        let read = child.stdin.is_read();
                        self.inputs.push_back(Input::Stdin { child: generation, read });
                    }
                }
                Output::Signal(generation, signal, whom) => {
                    let sent = self.child_of(generation).map(|child| child.process.send(signal, whom));
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
                Output::Session(act) => {
                    if let Some(injection) = &self.injection {
                        injection.follow(&act, &mut self.spec);
                    }
                    if let Some(acts) = &self.acts {
                        // The keeper may have come to an end, which it has told.
                        let _ = acts.send(act);
                    }
                }
                Output::Note(note) => {
                    if matches!(note, Note::Phase { to: Phase::Degraded, .. })
                        && let Some(beside) = &mut self.beside
                    {
                        beside.watch_executable(&self.spec);
                    }
                    if let (Note::Phase { to: Phase::Serving, .. }, Some(child)) = (&note, &mut self.child) {
                        child.process.leave_terminal();
                    }
                    self.shared.note(self.now.mono, self.now.wall, &note);
                    self.log.note(&note);
                }
                Output::Exit { code, until } => {
                    self.absorb_log();
                    return Some((code, until));
                }
            }
        }
        self.absorb_log();
        None
    }

    /// Moves log lines to everything else that goes to stderr, as far as there is room. Returns whether there were any.
    fn absorb_log(&mut self) -> bool {
        let mut some = false;
        while !self.to_log.is_full()
            && let Some(line) = self.log.next_line()
        {
            if !self.log_gone {
                self.to_log.push(line, Origin::Supervisor);
                self.cold.ask_again();
                some = true;
            }
        }
        some
    }

    fn child_of(&mut self, generation: Gen) -> Option<&mut Running> {
        self.child.as_mut().filter(|child| child.generation == generation)
    }

    fn handle(&mut self, input: Input) {
        let (early, then) = &mut self.early;
        let now = if *early > 0 { *then } else { self.now };
        *early = early.saturating_sub(1);
        self.engine.handle(now, input);
    }

    fn spawn(&mut self, generation: Gen) {
        let executable = executable(&self.spec).and_then(|file| Print::of(&file));
        let unwatched = self.beside.as_ref().is_some_and(|beside| !beside.watches_executable());
        if unwatched && executable.is_some() && self.executable.is_some() && executable != self.executable {
            self.inputs.push_back(Input::Changed(Changed::Executable));
        }
        self.executable = executable;
        let input = match spawn(&self.spec, self.guardian.as_ref()) {
            Ok(child) => {
                let pid = child.process.pid();
                self.child = Some(Running::new(generation, child, self.max_line));
                Input::Spawned(generation, pid)
            }
            Err(error) => Input::SpawnFailed(generation, error.fault, error.message),
        };
        // That took its time, and there is somebody new to listen to.
        self.look_at_clock();
        self.cold.ask_again();
        self.inputs.push_back(input);
    }

    fn lose_host(&mut self) {
        self.host_gone = true;
        self.to_host.clear();
        self.inputs.push_back(Input::HostGone);
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
