//! The checker: its own bookkeeping, written from the invariants and not from the engine's code, asked after each step.
//!
//! This file has the state and the rules about time; `check_host` what may reach the host, `check_child` what may
//! reach a child, `check_life` spawning, dying and the phases.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::Violation;
use super::books::{Ask, Kid, Pages, Request, Rules, Tool};
use super::check_account::Account;
use super::check_era::{Memory, Opened, Stream};
use super::check_inject::Injection;
use super::check_match::is_doubtful;
use super::check_plans::Plans;
use super::check_pulse::Manners;
use super::check_session::Session;
use super::cover::Cover;
use super::parse;
use super::world::Said;
use crate::engine::Snapshot;
use crate::engine::guidance::Status;
use crate::engine::io::{Changed, Exit, Holder, Input, Order, Output};
use crate::engine::note::{DropCause, Note};
use crate::engine::phase::Phase;

/// With more open requests than this, not each step is followed by a look at all of them.
const MANY: usize = 100;

/// How soon all is over after an end of input if nothing is owed.
const SILENT_END: Duration = Duration::from_millis(8500);
/// The same after a signal.
const SIGNALLED_END: Duration = Duration::from_secs(3);

pub(super) type Checked = Result<(), Violation>;

/// Fails with the name of an invariant.
macro_rules! violated {
    ($invariant:expr, $($detail:tt)*) => {
        return Err(Violation::new($invariant, format!($($detail)*)))
    };
}
pub(super) use violated;

/// What the checker is told of an input, beyond the input.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    Nothing,
    Host(String),
    /// A request with this id that was too long to read.
    HostTooMuch(String),
    Child(u32, Said),
    Exit(u32, Exit),
    Silence(u32),
}

/// The books.
#[derive(Debug)]
pub(super) struct Checker {
    pub rules: Rules,
    pub cover: Cover,
    /// The run has ended.
    pub over: bool,
    pub steps: u64,
    pub now: Duration,
    pub current: Seen,
    pub phase: Phase,
    pub phase_since: Duration,
    pub left: Phase,
    pub kids: BTreeMap<u32, Kid>,
    pub living: u32,

    pub open: BTreeMap<String, Request>,
    pub closed: BTreeSet<String>,
    /// The last answer of a server under each id.
    pub told_before: BTreeMap<String, String>,
    /// Ids under which a second request was made while the first was in flight.
    pub doubled: BTreeSet<String>,
    pub next_request: u64,
    /// Lines of the host that may be passed on as they are, and to which child only.
    pub passing: BTreeMap<String, Vec<Option<u32>>>,
    pub opened: Opened,
    pub greeting: Option<String>,
    pub client: String,
    pub told: Option<String>,
    pub told_result: Value,
    pub initialized: Option<String>,
    pub level: Option<String>,
    pub subscribed: Vec<String>,
    /// What we have answered in this step and must know later.
    pub learned: BTreeMap<u64, Request>,
    pub tools: BTreeMap<String, Tool>,
    /// Whether the next child may be of another executable.
    pub outdated: bool,
    pub lists: BTreeMap<String, Pages>,
    pub memory: Memory,
    pub streams: BTreeMap<String, Stream>,
    pub manners: Manners,
    pub plans: Plans,
    pub session: Session,
    pub account: Account,
    /// `None` where the server does not get the token by its environment.
    pub injection: Option<Injection>,

    pub asks: BTreeMap<String, Ask>,
    pub tokens: BTreeMap<String, (u32, String)>,
    /// An answer of the host that must be written in this step.
    pub due: Option<(u32, String)>,
    /// The calls that were answered in this step because they take too long.
    pub timed_out: BTreeSet<String>,
    /// What was forwarded to the host in this step.
    pub forwarded: Vec<String>,
    /// Ids that were answered by the server in this step.
    pub served: Vec<String>,

    pub crashes: VecDeque<Duration>,
    pub in_a_row: u32,
    pub gone_at: Duration,
    pub handoff: bool,
    pub last_handoff: Option<Duration>,
    pub eof: bool,
    pub exit_by: Option<Duration>,
}

impl Checker {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            account: Account::default(),
            rules,
            cover: Cover::default(),
            over: false,
            steps: 0,
            now: Duration::ZERO,
            current: Seen::Nothing,
            phase: Phase::Starting,
            phase_since: Duration::ZERO,
            left: Phase::Starting,
            kids: BTreeMap::new(),
            living: 0,
            open: BTreeMap::new(),
            closed: BTreeSet::new(),
            told_before: BTreeMap::new(),
            doubled: BTreeSet::new(),
            passing: BTreeMap::new(),
            opened: Opened::Nothing,
            greeting: None,
            client: String::new(),
            told: None,
            told_result: Value::Null,
            initialized: None,
            level: None,
            subscribed: Vec::new(),
            learned: BTreeMap::new(),
            next_request: 0,
            tools: BTreeMap::new(),
            outdated: false,
            lists: BTreeMap::new(),
            memory: Memory::default(),
            streams: BTreeMap::new(),
            manners: Manners::default(),
            plans: Plans::default(),
            session: Session::default(),
            injection: None,
            asks: BTreeMap::new(),
            tokens: BTreeMap::new(),
            due: None,
            timed_out: BTreeSet::new(),
            forwarded: Vec::new(),
            served: Vec::new(),
            crashes: VecDeque::new(),
            in_a_row: 0,
            gone_at: Duration::ZERO,
            handoff: false,
            last_handoff: None,
            eof: false,
            exit_by: None,
        }
    }

    /// An input is about to be handled.
    pub(super) fn begins(&mut self, now: Duration, input: &Input, seen: Seen) {
        self.now = now;
        let answered = self.owed_answers(&seen);
        let seen = self.in_the_hosts_words(seen);
        for id in answered {
            self.kid().owed.remove(&id);
        }
        self.forgets_what_was_too_long(&seen);
        self.current = seen.clone();
        self.forwarded.clear();
        self.served.clear();
        self.due = None;
        self.begins_step();
        match seen {
            Seen::Host(line) => self.host_says(&line),
            Seen::Child(child, said) if is_doubtful(&said) => self.is_embedded(child, &said),
            Seen::Child(child, said) => self.child_says(child, &said),
            Seen::Exit(child, exit) => self.exits(child, exit),
            Seen::Silence(child) => {
                self.kids.get_mut(&child).unwrap().silent = true;
            }
            Seen::HostTooMuch(_) => self.cover.hit("host line too long"),
            Seen::Nothing => {}
        }
        if let Input::Spawned(child, _) = input {
            self.account.is_born();
            self.plans.is_born();
            self.kids.entry(child.0).and_modify(|kid| kid.born = true);
        }
        match input {
            Input::SpawnFailed(child, fault, _) => self.spawn_fails(child.0, *fault),
            Input::HostEof => {
                self.eof = true;
                if self.owed() > 0 {
                    self.cover.hit("end of input with answers owed");
                }
                self.exit_within(self.rules.hold + SILENT_END);
            }
            Input::Order(Order::Restart | Order::RestartSoon) => {
                self.outdated = true;
                self.is_ordered();
            }
            Input::HostGone | Input::Order(Order::Stop) | Input::StarterGone(Holder::Nobody) => {
                self.exit_within(SILENT_END);
            }
            Input::Stop(signal) => {
                self.exit_within(SIGNALLED_END);
                self.is_signalled((*signal).into());
            }
            Input::Group { child, empty } => {
                if let Some(kid) = self.kids.get_mut(&child.0) {
                    kid.stop.empty |= *empty;
                }
            }
            Input::Stdin { child, read } => {
                if let Some(kid) = self.kids.get_mut(&child.0) {
                    kid.reads |= *read;
                }
            }
            Input::Deaf(child) if child.0 == self.living => {
                self.kid().stop.unfit = true;
                self.cover.hit("deaf child");
            }
            Input::Mute(child) if child.0 == self.living => {
                self.kid().stop.unfit = true;
                self.cover.hit("mute child");
            }
            Input::Silent { from, unsent, .. } if from.0 == self.living => self.never_left(from.0, unsent),
            Input::Host(_)
            | Input::Child(..)
            | Input::Spawned(..)
            | Input::Exited(..)
            | Input::Silent { .. }
            | Input::Deaf(_)
            | Input::StarterGone(_)
            | Input::Mute(_)
            | Input::LoginPath(_)
            | Input::Quoted { .. }
            | Input::Session(_)
            | Input::Timer => {}
            Input::Inspected { child, stopped } => self.is_inspected(child.0, stopped.is_some()),
            Input::LastGood(good) => self.recalls(good),
            Input::Changed(what) => {
                self.outdated |= *what != Changed::Token;
                self.plans.changes(now, *what);
            }
        }
    }

    /// What never left us was never written.
    fn never_left(&mut self, child: u32, lines: &[Bytes]) {
        for line in lines.iter().filter_map(|line| std::str::from_utf8(line).ok()).map(str::trim) {
            let line = &*self.unrenamed(child, line);
            let requests = self.open.values_mut().filter(|request| request.at == Some(child));
            for request in requests.filter(|request| request.line == line || line.contains(&request.line)) {
                request.written.retain(|at| *at != child);
                request.came_back = true;
                self.cover.hit("request that never left us");
            }
        }
    }

    fn exit_within(&mut self, time: Duration) {
        let at = self.now + time;
        self.exit_by = Some(self.exit_by.map_or(at, |by| by.min(at)));
    }

    pub(super) fn owed(&self) -> usize {
        self.open.values().filter(|request| !request.cancelled && !request.stream).count()
    }

    pub(super) fn kid(&mut self) -> &mut Kid {
        self.kids.get_mut(&self.living).unwrap()
    }

    /// The engine asks for something.
    pub(super) fn output(&mut self, output: &Output) -> Checked {
        if self.over {
            violated!("nothing comes after the end", "{output:?}");
        }
        self.account.is_asked_for(output);
        match output {
            Output::ToHost(line, origin) => self.host_hears(line, *origin),
            Output::ToChild(child, line) => self.child_hears(child.0, line),
            Output::Noise(child, bytes) => self.noise(child.0, bytes),
            Output::Spawn(child) => self.spawns(child.0),
            Output::CloseStdin(child) => self.closes_stdin(child.0),
            Output::Signal(child, signal, whom) => self.signals(child.0, *signal, *whom),
            Output::LookAtGroup(child) | Output::LookAtStdin(child) | Output::Quote(child) => {
                self.speaks_of(child.0)
            }
            Output::Forget { child, group_left } => {
                self.is_let_go(child.0, *group_left)?;
                self.forgets(child.0)
            }
            Output::AskLoginShell => self.asks_shell(),
            Output::Remember(good) => self.remembers(good),
            Output::Session(act) => self.session_act(act),
            Output::UsePath(_) => {
                self.outdated = true;
                Ok(())
            }
            Output::Inspect(_) => Ok(()),
            Output::Note(note) => self.note(note),
            Output::Exit { until, .. } => {
                self.over = true;
                if *until > self.now + Duration::from_millis(500) {
                    violated!("slow readers hold up the exit for half a second", "until {until:?}");
                }
                if self.owed() > 0 {
                    violated!("every request gets an answer", "{:?}", self.open.keys());
                }
                self.accounts_agree()
            }
        }
    }

    fn note(&mut self, note: &Note) -> Checked {
        self.enters(note);
        match note {
            Note::Phase { from, to } => return self.phase_changes(*from, *to),
            Note::Repeated { id, .. } => self.is_repeated(&id.to_string()),
            Note::Refused { id, again } => return self.is_refused(&id.to_string(), *again),
            Note::VersionLowered { .. } => self.cover.hit("version lowered"),
            Note::Unusable { .. } if !self.kid().stop.unfit => {
                self.kid().stop.unfit = true;
                return self.note(note);
            }
            Note::Unusable { reason, .. } if reason.contains("protocol version") => {
                self.cover.hit("version unusable");
            }
            Note::Session { fact, .. } => return self.session_note(fact),
            Note::Api { state } => return self.api_note(*state),
            Note::RestartAsked => self.restarts_as_asked(),
            Note::Suspect { child } => return self.is_suspect(child.0),
            Note::Hung { child } => {
                self.kid().stop.unfit = true;
                return self.is_hung(child.0);
            }
            Note::Replaced { child, reason } => {
                self.session_replaces(reason);
                self.replaced_because(reason)?;
                return self.is_replaced(child.0);
            }
            Note::Changed { what: Changed::Token } => {}
            Note::Changed { .. } => return self.has_changed(),
            Note::ChangesByItself => self.cover.hit("files change with each start"),
            Note::LoginShellAnswered { .. } => self.cover.hit("login shell asked"),
            Note::HandedOff { .. } => {
                self.outdated = true;
                self.cover.hit("handed off by code 75");
            }
            Note::Mended { .. } => self.cover.hit("text that is no UTF-8 mended"),
            Note::NumbersMended { .. } => self.cover.hit("numbers that JSON does not have mended"),
            Note::IdRespelled { .. } => self.cover.hit("id in another spelling"),
            Note::Salvaged { .. } => self.is_salvaged(),
            Note::ReplayRefused { .. } => self.cover.hit("replay refused"),
            Note::Retrying => self.cover.hit("degraded server tried again"),
            Note::Dropped { cause, .. } => match cause {
                DropCause::AnswerToDead => self.cover.hit("late host answer dropped"),
                DropCause::AnswerToNothing => self.cover.hit("stray answer dropped"),
                DropCause::NotificationToDead => self.cover.hit("notification to the dead dropped"),
                DropCause::CancelOfDead => self.cover.hit("cancellation for the dead dropped"),
                DropCause::RequestOfDead => self.cover.hit("request of the dead dropped"),
                DropCause::ProgressOfNothing => self.cover.hit("progress of nothing dropped"),
                DropCause::ProgressBackwards => self.cover.hit("progress backwards dropped"),
                DropCause::Goodbye => self.cover.hit("goodbye of a server that is ended"),
                DropCause::JunkToDead | DropCause::TooLarge | DropCause::QueueFull => {}
            },
            Note::Answered { status: Some(Status::AnswerTooLarge), .. } => self.cover.hit("answer too large"),
            Note::Answered { status: Some(Status::ServerTimeout), .. } => {
                self.cover.hit("request held too long");
            }
            Note::Answered { .. }
            | Note::Spawned { .. }
            | Note::SpawnFailed { .. }
            | Note::Greeted { .. }
            | Note::Exited { .. }
            | Note::Unusable { .. }
            | Note::Back { .. }
            | Note::Restarting { .. }
            | Note::Done { .. }
            | Note::Noise { .. }
            | Note::Named { .. }
            | Note::Requested { .. }
            | Note::Heard
            | Note::Carried { .. }
            | Note::Stopping { .. }
            | Note::Stopped { .. } => {}
        }
        Ok(())
    }

    /// What a child may not be told or done to when it is not there.
    pub(super) fn speaks_of(&self, child: u32) -> Checked {
        match self.kids.get(&child) {
            Some(kid) if child == self.living && !kid.gone => Ok(()),
            _ => violated!("only the living child is spoken to", "child {child}"),
        }
    }

    /// The input is handled.
    pub(super) fn ends(&mut self, snapshot: Snapshot) -> Checked {
        if self.over {
            return Ok(());
        }
        for request in std::mem::take(&mut self.learned).into_values() {
            self.learns_state(&request);
        }
        self.order_is_followed()?;
        self.hands_on()?;
        self.state_is_told()?;
        self.ends_step()?;
        self.opens_in_time()?;
        self.life_ends()?;
        self.stop_ends()?;
        self.session_ends()?;
        self.inject_ends()?;
        self.steps += 1;
        if self.open.len() > MANY && !self.steps.is_multiple_of(64) {
            // Thousands of requests are not looked at after each one of them.
            return Ok(());
        }
        let repeated = self
            .open
            .values()
            .filter(|request| request.at.is_none() && (request.came_back || !request.written.is_empty()));
        if snapshot.waiting > 1024 + repeated.count() {
            violated!("the queue is bounded", "{} lines wait", snapshot.waiting);
        }
        if snapshot.owed != self.owed() {
            violated!(
                "every request gets an answer",
                "{} are owed, and the engine says {}",
                self.owed(),
                snapshot.owed
            );
        }
        let serving = self.phase == Phase::Serving;
        for request in self.open.values().filter(|request| !request.cancelled && !request.stream) {
            let id = request.message.id.as_ref().unwrap();
            if request.withheld.is_some() {
                continue;
            }
            let examined = self.kids[&self.living].pulse.is_examined(self.now);
            let asked_about = self.is_asked_about(request) || self.doubled.contains(id);
            if serving && request.at.is_none() && !examined && !asked_about {
                violated!("a serving child gets what waits", "request {id}");
            }
            if self.phase == Phase::Degraded {
                violated!("who has no server is answered at once", "request {id}");
            }
            if let Some((since, bound)) = self.bound(request)
                && self.now > since + bound
            {
                violated!("every delay is bounded", "request {id} waits since {:?}", request.waits_since);
            }
        }
        if self.eof && self.owed() == 0 {
            self.exit_within(SILENT_END);
        }
        if let Some(by) = self.exit_by
            && self.now > by
        {
            violated!("a stop ends in time", "it was to end by {by:?}");
        }
        Ok(())
    }

    /// Since when and how long this request may wait. `None` while a server that may take its time has it.
    fn bound(&self, request: &Request) -> Option<(Duration, Duration)> {
        let init = self.rules.init_timeout.unwrap_or_else(|| {
            Duration::from_millis(match &*self.client {
                "claude-ai" => 50_000,
                "claude-code" => 2500,
                _ => 25_000,
            })
        });
        if self.phase == Phase::Stopping {
            // The end is bounded, and answers everything.
            return None;
        }
        let waits = request.waits_since;
        let unproven = request.at.is_none_or(|child| self.kids[&child].serving_since.is_none());
        if request.greets && unproven {
            return Some(self.memory.greeting_bound(&self.rules, waits, init));
        }
        if request.message.method() == "tools/call"
            && let (Some(_), Some(limit)) = (request.at, self.rules.call_timeout)
        {
            return Some((request.at_since, limit));
        }
        if request.message.method() == "server/discover" && (request.at.is_none() || unproven) {
            return Some((waits, Duration::from_secs(8)));
        }
        let list = request.message.method().ends_with("/list");
        let patience =
            if list { self.rules.hold.max((init * 2).min(Duration::from_secs(50))) } else { self.rules.hold };
        let open = matches!(self.opened, Opened::Modern | Opened::Probe) && request.is_soon() && unproven;
        (request.at.is_none() || open).then_some((waits, patience + request.doubted))
    }

    /// Whether this call waits for its tool's declaration: the child that had it is gone, and none of its edition has
    /// made one.
    pub(super) fn is_doubted(&self, request: &Request) -> bool {
        let tool = self.tools.get(request.name());
        let edition = self.kids[&self.living].edition;
        self.rules.repeats
            && request.message.method() == "tools/call"
            && request.at.is_none()
            && request.written.len() == 1
            && self.kids[&request.written[0]].edition == edition
            && tool.is_none_or(|tool| tool.edition != edition)
    }

    /// Whether this call waits for its tool's declaration, and the living child was asked.
    fn is_asked_about(&self, request: &Request) -> bool {
        self.is_doubted(request) && self.kids[&self.living].own.iter().any(|id| id.contains(":tools/list:"))
    }

    /// Whether the request may be sent twice, by its method, or by what the child that has it or one of its edition
    /// declared.
    pub(super) fn is_safe(&self, request: &Request) -> bool {
        let had = request.written.last().map(|child| self.kids[child].edition);
        had.is_some_and(|edition| self.is_safe_in(request, edition))
    }

    /// The same for a child of this edition.
    pub(super) fn is_safe_in(&self, request: &Request, edition: u32) -> bool {
        self.rules.repeats
            && match request.message.method() {
                "tools/call" => {
                    self.tools.get(request.name()).is_some_and(|tool| tool.safe && tool.edition == edition)
                }
                "ping" | "completion/complete" | "logging/setLevel" => true,
                "server/discover" => self.opened == Opened::Modern,
                method => {
                    ["tools/", "prompts/", "resources/", "tasks/"].iter().any(|kind| method.starts_with(kind))
                }
            }
    }

    /// Which messages are on a line of the host, and which of them are well-formed requests.
    fn host_says(&mut self, line: &str) {
        if let Some(message) = parse::message(line) {
            return self.host_sends(message, line);
        }
        let batches = self.told.as_deref() == Some("2025-03-26");
        match parse::elements(line).filter(|elements| batches && !elements.is_empty()) {
            Some(elements) => {
                self.cover.hit("batch of the host");
                for element in elements {
                    match parse::message(&element) {
                        Some(message) => self.host_sends(message, &element),
                        None => self.may_pass(&element, None),
                    }
                }
            }
            None => self.may_pass(line, None),
        }
    }
}
