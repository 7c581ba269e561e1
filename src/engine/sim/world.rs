//! The world around the engine: virtual time, what happens in it, and a doer that does what the engine asks.

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::api::{Api, Deed};
use super::books::Rules;
use super::check::{Checker, Seen};
use super::check_session::Session;
use super::host::Host;
use super::log::{Entry, Log};
use super::profile::Profile;
use super::rng::Rng;
use super::server::{Injected, Server, Shape, TOOLS};
use super::{Bug, Violation};
use crate::engine::backoff::Limits;
use crate::engine::io::{
    Changed, Era, Exit, Gen, Good, Input, LoginPath, Now, Order, Output, SpawnFault, StopSignal, StoppedBy,
};
use crate::engine::upstream::OnExpired;
use crate::engine::{Config, Engine, Repeat};
use crate::wire::{ENDS, Line, Oversize};

/// A run that needs more inputs than this does not end.
const MOST_STEPS: usize = 20_000;

/// Made once, for a mask compiles its patterns.
static DEFAULT: LazyLock<Config> = LazyLock::new(Config::default);

/// One thing that is going to happen.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// The host does the next thing.
    HostActs,
    /// The host writes this line.
    HostSays(String),
    /// The host writes a request with this id that is longer than we read.
    HostSaysTooMuch(String),
    HostEof,
    HostGone,
    Stop(StopSignal),
    Order(Order),
    Born(u32),
    Unborn(u32, SpawnFault),
    /// The child does something of its own accord.
    Acts(u32),
    Says(u32, Said),
    Exits(u32, Exit),
    Silence(u32),
    /// The other processes of the child's group have ended.
    HelpersEnd(u32),
    Deaf(u32),
    /// The host has waited long enough for its probe.
    HostLosesPatience,
    /// The child goes on after it was stopped.
    Thaws(u32),
    /// Something happens to the session.
    Session(Deed),
    /// Something that only the engine and the checker hear of.
    Happens(Input),
}

/// A line that a server writes, and which messages are in it.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub line: String,
    pub inner: Vec<String>,
    pub shape: Shape,
}

/// Time, what is going to happen in it, and the dice.
#[derive(Debug)]
pub(super) struct Sched {
    pub rng: Rng,
    pub now: Duration,
    pub profile: Profile,
    /// The wall clock when the run began; it may jump.
    epoch: Duration,
    /// The token that the API takes, and when it ends.
    pub good: Option<(u32, Option<Duration>)>,
    events: BTreeMap<(Duration, u64), Event>,
    number: u64,
}

impl Sched {
    /// The time on the wall.
    pub(super) fn wall(&self) -> Duration {
        self.epoch + self.now
    }

    /// The clock is set, or the machine has slept.
    pub(super) fn clock_jumps(&mut self) {
        let jump = self.rng.millis(0, 600_000);
        let later = self.rng.percent(70);
        self.epoch = if later { self.epoch + jump } else { self.epoch.saturating_sub(jump) };
    }

    pub(super) fn after(&mut self, delay: Duration, event: Event) {
        self.number += 1;
        self.events.insert((self.now + delay, self.number), event);
    }
}

/// The world.
#[derive(Debug)]
pub(super) struct World {
    sched: Sched,
    host: Host,
    servers: BTreeMap<u32, Server>,
    /// The API that the server needs. `None` if it needs none.
    api: Option<Api>,
    /// The server gets the token by its environment.
    injects: bool,
    heard: Vec<String>,
    pub checker: Checker,
    /// Whether what follows is the end of the run: no further faults.
    ending: bool,
}

impl World {
    pub(super) fn new(seed: u64) -> (Self, Config) {
        let mut rng = Rng::new(seed);
        let mut profile = Profile::draw(&mut rng);
        profile.extend(&mut Rng::new(!seed));
        let mut config = Config { seed, max_answer: profile.max_answer, ..DEFAULT.clone() };
        if rng.percent(15) {
            config.repeat = Repeat::Never;
        }
        if rng.percent(20) {
            config.hold = Duration::from_secs(2);
        }
        if rng.percent(20) {
            config.init_timeout = Some(Duration::from_secs(5));
        }
        if rng.percent(15) {
            let initial = Duration::from_millis(*rng.pick(&[0, 1000]));
            config.restarts = Limits { max_restarts: 2, initial, ..config.restarts };
        }
        config.bare_command = rng.percent(70);
        config.path = Some("/bin".into());
        config.instant_start = rng.percent(15);
        config.ping_interval = Duration::from_secs(*rng.pick(&[60, 60, 10, 0]));
        if rng.percent(10) {
            config.call_timeout = Some(Duration::from_secs(5));
        }
        let host = Host::new(&mut rng, &profile);
        // The checker could not tell which of two requests is meant.
        let profile = Profile { twins: profile.twins && !host.has_twins(), ..profile };
        let rules = Rules { twins: host.has_twins(), ..Rules::new(&config) };
        let epoch = Duration::from_secs(1_700_000_000);
        let mut sched = Sched {
            rng,
            now: Duration::ZERO,
            profile,
            epoch,
            good: None,
            events: BTreeMap::new(),
            number: 0,
        };
        let mut checker = Checker::new(rules);
        if sched.rng.percent(30) {
            sched.profile.fails = 40;
            let session = Api::session(&mut sched.rng, seed);
            checker.session = Session::new(session.on_expired == OnExpired::Answer);
            if let Some(inject) = &session.inject {
                checker.injects(inject.repeat);
                if sched.rng.percent(30) {
                    // The time of a withheld call may run out before its verdict, when no server is left.
                    config.call_timeout = Some(Duration::from_millis(40));
                    config.restarts.max_restarts = 0;
                    checker.rules.call_timeout = config.call_timeout;
                    checker.rules.restarts = config.restarts;
                }
            }
            config.session = Some(session);
        }
        let api = config.session.is_some().then(|| Api::new(&mut sched));
        let injects = config.session.as_ref().is_some_and(|session| session.inject.is_some());
        let world = Self {
            injects,
            sched,
            host,
            servers: BTreeMap::new(),
            api,
            heard: Vec::new(),
            checker,
            ending: false,
        };
        (world, config)
    }

    /// Runs to the end, or to the first violation.
    pub(super) fn run(
        &mut self,
        config: Config,
        planted: Option<Bug>,
        log: &mut Log,
    ) -> Result<(), Violation> {
        let mut engine = Engine::new(config, Now { mono: Duration::ZERO, wall: self.sched.wall() });
        engine.planted = planted;
        if let Some(lease) = &mut engine.lease {
            lease.planted = planted;
        }
        self.host.starts(&mut self.sched);
        let good = self.disk();
        let soon = self.sched.rng.mostly(90, 4, 400);
        self.sched.after(soon, Event::Happens(Input::LastGood(good)));
        self.drain(&mut engine, log)?;
        for _ in 0..MOST_STEPS {
            let Some(input) = self.next(&engine) else {
                return Err(Violation::new(
                    "a stop ends in time",
                    "nothing more can happen, and it has not ended",
                ));
            };
            let Some((input, seen)) = input else { continue };
            log.push(Entry::Input(self.sched.now, input.clone()));
            self.checker.begins(self.sched.now, &input, seen);
            self.checker.session_begins(self.sched.wall(), &input);
            let timer = matches!(input, Input::Timer);
            let now = Now { mono: self.sched.now, wall: self.sched.wall() };
            engine.handle(now, input);
            self.drain(&mut engine, log)?;
            self.checker.ends(engine.snapshot())?;
            if timer && engine.deadline().is_some_and(|at| at <= self.sched.now) {
                return Err(Violation::new(
                    "no deadline stays in the past",
                    format!("{:?}", engine.deadline()),
                ));
            }
            if self.checker.over {
                engine.handle(now, Input::Timer);
                engine.handle(now, Input::Exited(Gen(1), Exit::Code(0)));
                return match engine.poll() {
                    None => Ok(()),
                    Some(output) => Err(Violation::new("nothing comes after the end", format!("{output:?}"))),
                };
            }
        }
        Err(Violation::new("a run ends", "too many steps"))
    }

    /// The next input, at its time. Inside: `None` if what was to happen does not happen any more.
    #[expect(clippy::option_option, reason = "nothing left to happen, and nothing happened")]
    fn next(&mut self, engine: &Engine) -> Option<Option<(Input, Seen)>> {
        let event = self.sched.events.first_key_value().map(|((at, _), _)| *at);
        match (engine.deadline(), event) {
            (Some(deadline), event) if event.is_none_or(|at| deadline <= at) => {
                self.sched.now = self.sched.now.max(deadline);
                Some(Some((Input::Timer, Seen::Nothing)))
            }
            (_, None) => None,
            _ => {
                let ((at, _), event) = self.sched.events.pop_first()?;
                self.sched.now = self.sched.now.max(at);
                Some(self.happens(event))
            }
        }
    }

    fn happens(&mut self, event: Event) -> Option<(Input, Seen)> {
        match event {
            Event::HostActs => {
                self.host.acts(&mut self.sched);
                if let Some(api) = &mut self.api {
                    let asked = if self.injects { 0 } else { self.sched.rng.below(3) };
                    for _ in 0..asked {
                        api.is_asked(&mut self.sched);
                    }
                    // Only a call tells of a refusal there.
                    let others = if self.injects { 30 } else { 12 };
                    if !self.ending && self.sched.rng.percent(others) {
                        self.sched.after(Duration::ZERO, Event::Session(Deed::Others));
                    }
                }
                let changes = self.sched.profile.changes;
                if !self.ending && self.sched.rng.percent(changes) {
                    self.files_change();
                }
                if !self.ending && self.sched.rng.percent(changes) {
                    let at = self.sched.rng.millis(0, 2000);
                    let order = if self.sched.rng.percent(70) { Order::Restart } else { Order::RestartSoon };
                    self.sched.after(at, Event::Order(order));
                }
                let fault = self.sched.profile.fault;
                if !self.ending && self.sched.rng.percent(fault) {
                    self.fault();
                }
                None
            }
            Event::HostSays(_) | Event::HostSaysTooMuch(_) if self.host.ended => None,
            Event::HostSays(line) => {
                let input = Input::Host(Line::Whole(format!("{line}\n").into()));
                Some((input, Seen::Host(line)))
            }
            Event::HostSaysTooMuch(id) => {
                let head = format!(
                    "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"tools/call\",\"params\":{{\"a\":\""
                );
                let tail = Bytes::from("x".repeat(100));
                let line = Oversize { head: head.into(), tail, len: 70_000_000 };
                Some((Input::Host(Line::Oversize(line)), Seen::HostTooMuch(id)))
            }
            Event::HostEof => {
                self.ending = true;
                (!std::mem::replace(&mut self.host.ended, true)).then_some((Input::HostEof, Seen::Nothing))
            }
            Event::HostGone => {
                self.ending = true;
                Some((Input::HostGone, Seen::Nothing))
            }
            Event::Stop(signal) => {
                self.ending = true;
                Some((Input::Stop(signal), Seen::Nothing))
            }
            Event::Order(order) => {
                self.ending |= order == Order::Stop;
                Some((Input::Order(order), Seen::Nothing))
            }
            Event::Unborn(child, fault) => {
                let reason = "the system's words".to_owned();
                // One that was ended before it was known is told no second time.
                let gone = std::mem::replace(&mut self.servers.get_mut(&child)?.forgotten, true);
                (!gone).then_some(())?;
                Some((Input::SpawnFailed(Gen(child), fault, reason), Seen::Nothing))
            }
            Event::Born(child) => {
                self.servers.get_mut(&child)?.is_born(&mut self.heard, &mut self.sched);
                Some((Input::Spawned(Gen(child), 1000 + child), Seen::Nothing))
            }
            Event::Acts(child) => {
                self.servers.get_mut(&child)?.acts(&self.heard, &mut self.sched);
                None
            }
            Event::HostLosesPatience => {
                self.host.loses_patience(&mut self.sched);
                None
            }
            Event::Thaws(child) => {
                let server = self.servers.get_mut(&child)?;
                server.frozen = false;
                server.hung = false;
                None
            }
            Event::Session(deed) => {
                let event = self.api.as_mut()?.does(deed, &mut self.sched)?;
                Some((Input::Session(event), Seen::Nothing))
            }
            Event::Happens(input) => Some((input, Seen::Nothing)),
            Event::Says(child, said) => self.says(child, said),
            Event::Exits(child, exit) => self.exits(child, exit),
            Event::Silence(child) => {
                let server = self.servers.get_mut(&child)?;
                if server.alive {
                    let told = std::mem::replace(&mut server.mute, true) || server.forgotten;
                    return (!told).then_some((Input::Mute(Gen(child)), Seen::Nothing));
                }
                let late = server.forgotten && !self.sched.rng.percent(50);
                if late || std::mem::replace(&mut server.silent, true) {
                    return None;
                }
                let stderr_tail = "a last word".to_owned();
                let unsent = std::mem::take(&mut server.unsent);
                Some((Input::Silent { from: Gen(child), stderr_tail, unsent }, Seen::Silence(child)))
            }
            Event::HelpersEnd(child) => {
                self.servers.get_mut(&child)?.helpers = false;
                None
            }
            Event::Deaf(child) => {
                let server = self.servers.get_mut(&child)?;
                (server.alive && !server.forgotten).then_some((Input::Deaf(Gen(child)), Seen::Nothing))
            }
        }
    }

    fn says(&mut self, child: u32, said: Said) -> Option<(Input, Seen)> {
        let server = self.servers.get(&child)?;
        if server.hung && server.alive
            || !server.born
            || ((server.silent || server.mute) && !server.forgotten)
        {
            return None;
        }
        // What a forgotten child still says should not be read any more; the engine must not rely on that.
        if server.forgotten && !self.sched.rng.percent(25) {
            return None;
        }
        let line = if said.shape == Shape::TooMuch {
            let line = said.line.as_bytes();
            let (head, tail) = (&line[..line.len().min(ENDS)], &line[line.len().saturating_sub(ENDS)..]);
            let [head, tail] = [head, tail].map(Bytes::copy_from_slice);
            Line::Oversize(Oversize { head, tail, len: 70_000_000 })
        } else {
            Line::Whole(format!("{}\n", said.line).into())
        };
        Some((Input::Child(Gen(child), line), Seen::Child(child, said)))
    }

    fn exits(&mut self, child: u32, exit: Exit) -> Option<(Input, Seen)> {
        let server = self.servers.get_mut(&child)?;
        if !std::mem::replace(&mut server.alive, false) {
            return None;
        }
        let forgotten = server.forgotten;
        if !server.silent {
            // What it had written is still in the pipe, or a helper of its holds it for a while.
            let linger = self.sched.rng.mostly(20, 250, 5);
            self.sched.after(linger, Event::Silence(child));
        }
        (!forgotten || self.sched.rng.percent(50))
            .then_some((Input::Exited(Gen(child), exit), Seen::Exit(child, exit)))
    }

    /// Something befalls the living server.
    fn fault(&mut self) {
        let Some(server) = self.servers.values_mut().next_back().filter(|server| server.alive && server.born)
        else {
            return;
        };
        let rng = &mut self.sched.rng;
        if rng.percent(self.sched.profile.hangs) {
            server.hung = true;
            server.frozen = rng.percent(50);
            let child = server.generation;
            if rng.percent(30) {
                let later = rng.millis(1000, 200_000);
                self.sched.after(later, Event::Thaws(child));
            }
            return;
        }
        let delay = rng.mostly(70, 3, 2000);
        match rng.below(10) {
            0 => self.sched.after(delay, Event::Deaf(server.generation)),
            1 => self.sched.after(delay, Event::Silence(server.generation)),
            _ => server.dies(delay, &mut self.sched),
        }
    }

    /// Somebody builds, or installs a new version.
    fn files_change(&mut self) {
        let rng = &mut self.sched.rng;
        let what = if rng.percent(70) { Changed::Watched } else { Changed::Executable };
        let mut at = rng.millis(0, 500);
        for _ in 0..=rng.below(6) {
            self.sched.after(at, Event::Happens(Input::Changed(what)));
            at += self.sched.rng.mostly(80, 400, 3000);
        }
    }

    /// What earlier runs have left.
    fn disk(&mut self) -> Vec<Good> {
        let rng = &mut self.sched.rng;
        let mut good = Vec::new();
        if rng.percent(60) {
            return good;
        }
        let versions = [self.host.version, "2026-07-28"];
        for (era, version) in [Era::Legacy, Era::Modern].into_iter().zip(versions) {
            let mut keep = |method: &str, cursor: Option<&str>, result: serde_json::Value| {
                let (version, cursor) = (version.to_owned(), cursor.map(str::to_owned));
                let result = result.to_string().into();
                good.push(Good { era, version, method: method.to_owned(), cursor, result });
            };
            match era {
                Era::Legacy => keep(
                    "initialize",
                    None,
                    json!({"protocolVersion": version,
                    "capabilities": {"tools": {"listChanged": true}, "resources": {"subscribe": true, "listChanged": true},
                    "prompts": {"listChanged": true}, "logging": {}, "completions": {}, "tasks": {}},
                    "serverInfo": {"name": "model", "version": "0"}}),
                ),
                Era::Modern => keep(
                    "server/discover",
                    None,
                    json!({"supportedVersions": [version],
                    "capabilities": {"tools": {}, "resources": {}, "prompts": {}, "completions": {}, "tasks": {}},
                    "resultType": "complete", "ttlMs": 60_000, "cacheScope": "private"}),
                ),
            }
            if rng.percent(70) {
                // The declarations of an earlier run's server differ from this one's.
                let reads = json!({"readOnlyHint": true});
                let tools: Vec<_> =
                    TOOLS.iter().map(|name| json!({"name": name, "annotations": reads})).collect();
                let mut page = json!({ "tools": tools });
                if era == Era::Modern {
                    page = json!({"tools": page["tools"], "resultType": "complete", "ttlMs": 60_000, "cacheScope": "private"});
                }
                keep("tools/list", None, page);
            }
        }
        good
    }

    /// Does what the engine asks, after the checker has seen it.
    fn drain(&mut self, engine: &mut Engine, log: &mut Log) -> Result<(), Violation> {
        while let Some(output) = engine.poll() {
            log.push(Entry::Output(output.clone()));
            self.checker.output(&output)?;
            match output {
                Output::ToHost(line, _) => {
                    let line = String::from_utf8(line.to_vec()).unwrap();
                    self.host.hears(&line, &mut self.sched);
                }
                Output::ToChild(child, line) => {
                    let server = self.servers.get_mut(&child.0).unwrap();
                    // Once its pipe is full nothing gets through any more, and after its end nothing does at all.
                    server.stuck |= !server.alive || self.sched.rng.percent(1);
                    if server.stuck {
                        server.unsent.push(line);
                    } else {
                        let line = String::from_utf8_lossy(&line).into_owned();
                        server.is_told(line, &mut self.heard, &mut self.sched);
                    }
                }
                Output::Spawn(child) => self.spawn(child.0),
                Output::CloseStdin(child) => {
                    self.servers.get_mut(&child.0).unwrap().stdin_closes(&mut self.sched);
                }
                Output::Signal(child, signal, whom) => {
                    self.servers.get_mut(&child.0).unwrap().signalled(signal, whom, &mut self.sched);
                }
                Output::LookAtGroup(child) => {
                    let empty = !self.servers[&child.0].helpers;
                    self.sched.after(Duration::ZERO, Event::Happens(Input::Group { child, empty }));
                }
                Output::LookAtStdin(child) => {
                    let server = &self.servers[&child.0];
                    let read = server.born && !server.stuck && !self.sched.rng.percent(20);
                    self.sched.after(Duration::ZERO, Event::Happens(Input::Stdin { child, read }));
                }
                Output::Forget { child, .. } => self.servers.get_mut(&child.0).unwrap().forgotten = true,
                Output::AskLoginShell => {
                    let rng = &mut self.sched.rng;
                    let path = match rng.below(10) {
                        0..5 => Ok("/home/bin:/bin".into()),
                        5..7 => Ok("/bin".into()),
                        _ => Err("did not answer".to_owned()),
                    };
                    let answer = Input::LoginPath(LoginPath { shell: "/bin/sh".to_owned(), path });
                    let delay = rng.mostly(80, 800, 5200);
                    if !rng.percent(10) {
                        self.sched.after(delay, Event::Happens(answer));
                    }
                }
                // There the command is found.
                Output::UsePath(_) => self.sched.profile.spawn_fault /= 2,
                Output::Inspect(child) => {
                    let stopped = self.servers[&child.0].frozen.then_some(StoppedBy::Stop);
                    let input = Input::Inspected { child, stopped };
                    self.sched.after(Duration::ZERO, Event::Happens(input));
                }
                Output::Quote(from) => {
                    let input = Input::Quoted { from, text: "starting".to_owned() };
                    self.sched.after(Duration::ZERO, Event::Happens(input));
                }
                Output::Session(act) => {
                    if let Some(api) = &mut self.api {
                        api.performs(&act, &mut self.sched);
                    }
                }
                Output::Remember(_) | Output::Noise(..) | Output::Note(_) | Output::Exit { .. } => {}
            }
        }
        Ok(())
    }

    fn spawn(&mut self, child: u32) {
        let mut server = Server::new(child, &mut self.sched);
        if let Some(api) = self.api.as_ref().filter(|_| self.injects) {
            server.token = api.used().map_or(Injected::None, Injected::Token);
        }
        self.servers.insert(child, server);
        let sched = &mut self.sched;
        let delay = sched.rng.mostly(80, 1, 30);
        let fault = sched.profile.spawn_fault;
        if sched.rng.percent(fault) {
            let any = *sched.rng.pick(&[
                SpawnFault::NotFound,
                SpawnFault::NotExecutable,
                SpawnFault::ProcessLimit,
                SpawnFault::System,
            ]);
            let fault = sched.profile.spawn_fault_kind.unwrap_or(any);
            sched.after(delay, Event::Unborn(child, fault));
        } else {
            sched.after(delay, Event::Born(child));
        }
    }
}
