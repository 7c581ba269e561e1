//! The greeting: sent to each fresh child before anything else, and what follows from its answer.
//!
//! The host greets once. While it waits for the answer, a child gets the host's own line and the host gets the child's;
//! after that each new child is greeted in the host's words under an id of ours, and its answer stays here.

use std::time::Duration;

use bytes::Bytes;

use super::era::Opening;
use super::io::Gen;
use super::note::Note;
use super::own::Own;
use super::phase::Phase;
use super::replay::{Replay, Version, own_greeting_id, string_at};
use super::story::Why;
use super::timers::Timer;
use super::{Doom, Engine, Greeting, answers, planted};
use crate::wire::{Id, Response, edit};

/// How long a child may take to answer its greeting: `npx` may be downloading.
pub(super) const STARTUP: Duration = Duration::from_secs(5 * 60);
/// How long hosts wait for their greeting at least, less a margin.
const INIT_TIMEOUT: Duration = Duration::from_secs(25);
/// The same for Claude Desktop, which gives up after 60 s.
const INIT_TIMEOUT_CLAUDE_DESKTOP: Duration = Duration::from_secs(50);
/// How Claude Desktop calls itself.
const CLAUDE_DESKTOP: &str = "claude-ai";
/// The same for Claude Code (2.1.228 and later). It gives up its first attempt at a server after 3.0 s and starts the
/// server anew, which would kill a download each time.
const INIT_TIMEOUT_CLAUDE_CODE: Duration = Duration::from_millis(2500);
/// The name by which Claude Code identifies itself.
const CLAUDE_CODE: &str = "claude-code";
/// The longest that a list is waited for.
const LIST_WAIT: Duration = Duration::from_secs(50);
/// How much of what the server says of itself is told on, in characters.
const SAID: usize = 500;
/// The code of the error by which a server says that it does not speak the version that it is asked for.
const UNSUPPORTED_VERSION: &str = "-32022";
/// How long a child must serve for its crashes to be forgotten.
const SUSTAINED: Duration = Duration::from_secs(60);

impl Engine {
    /// Greets a fresh child with what the host opened with.
    pub(super) fn greet(&mut self) {
        let Some(child) = &self.child else { return };
        let ready =
            child.runs && child.listens() && child.useless.is_none() && child.greeting == Greeting::Unsent;
        if !ready || self.phase != Phase::Starting {
            return;
        }
        let generation = child.generation;
        if self.replay.greeting.is_none() {
            if self.opening == Opening::Bare {
                self.greeted(generation);
            }
            return;
        }
        self.send_greeting(generation);
        self.timers.arm(Timer::Startup, self.now.mono + STARTUP);
    }

    /// Sends the host's greeting: as it is while the host waits for its answer, else under an id of ours.
    pub(super) fn send_greeting(&mut self, generation: Gen) {
        let waiting = self.replay.greeting_id.clone().filter(|id| {
            self.inflight
                .get(id)
                .is_some_and(|pending| &*pending.method == "initialize" && !pending.cancelled)
        });
        let (id, line) = match (waiting, self.replay.greeting.clone()) {
            (Some(id), Some(line)) => {
                self.inflight.written(&id, generation, self.next_line(), false, self.ends);
                (id, line)
            }
            _ => match self.replay.greeting_for(generation) {
                Some(greeting) => greeting,
                None => return,
            },
        };
        if let Some(child) = &mut self.child {
            child.greeting = Greeting::Sent(id);
        }
        self.tell_child(generation, line);
    }

    /// The child has answered the greeting `id`. Gives what the host is to have of it.
    pub(super) fn greeting_answer(
        &mut self,
        child: Gen,
        id: &Id,
        response: &Response,
        line: &Bytes,
    ) -> Option<Bytes> {
        // A host that we have greeted meanwhile may have given the id to another request.
        let greets = self.inflight.get(id).is_some_and(|pending| &*pending.method == "initialize");
        let host = if greets { self.inflight.complete(id, child) } else { None };
        // A host that took this greeting back and was told another answer since is not told this one as well.
        let host = host.filter(|pending| !pending.cancelled || self.replay.told.is_none());
        if host.is_some() {
            self.timers.disarm(Timer::Greeting);
            self.replay.greeting_id = None;
        }
        self.timers.disarm(Timer::Startup);
        if response.is_error {
            if host.is_none() {
                let message = string_at(line, &["error", "message"]);
                let reason = message.map_or_else(
                    || "no reason".to_owned(),
                    |message| format!("\"{}\"", self.said_by_server(&message)),
                );
                let reason = format!("it refused its greeting: {reason}");
                let other_era =
                    edit::find_in(line, &["error", "code"]).is_some_and(|code| code == UNSUPPORTED_VERSION);
                // A server that speaks another era by now will say the same again.
                self.doom(if other_era { Doom::Degrade(reason) } else { Doom::Crash(reason) });
                return None;
            }
            // The host's own greeting was refused: that is the server's answer, and the host may greet again, or open in
            // another way.
            self.replay.greeting = None;
            self.opening = Opening::Nothing;
            self.set_greeting(Greeting::Unsent);
            host.inspect(|pending| self.note_done(pending, response, line));
            return Some(line.clone());
        }
        let line = &answers::with_list_changed(line, &["result"]);
        let answered = Replay::version_in(line);
        // A result without a version is none that could be given again.
        let result = edit::find_in(line, &["result"]).filter(|_| answered.is_some());
        let result = result.map(|text| Bytes::copy_from_slice(text.as_bytes()));
        let version = answered.or_else(|| self.replay.requested()).unwrap_or_default();
        // A host that greets twice may have been told a version since: it is told the same again.
        let host = match host {
            Some(pending) if self.replay.told.as_ref().is_some_and(|told| *told != version) => {
                let again = self.greeting_from_us(id);
                self.note_answer(&pending, None);
                self.say_to_host(answers::result(id, &again));
                None
            }
            host => host,
        };
        if let Some(pending) = &host {
            self.replay.told = Some(version.clone());
            self.replay.told_result.clone_from(&result);
            self.note_done(pending, response, line);
        } else {
            match self.replay.compare(&version) {
                Version::Same => {}
                Version::Lower => {
                    let told = self.replay.told.clone().unwrap_or_default();
                    self.note(Note::VersionLowered { told, now: version.clone() });
                }
                Version::Unusable if *id != own_greeting_id(child) && self.host_asked_otherwise() => {
                    // The next child is asked for what the host was told, and the next run knows what this one would say.
                    if let Some(result) = result {
                        self.remember("initialize", None, result);
                    }
                    self.replace("it was greeted before the host was told another version of the protocol");
                    return None;
                }
                Version::Unusable => {
                    let told = self.replay.told.clone().unwrap_or_default();
                    let version = self.said_by_server(&version);
                    self.doom(Doom::Degrade(format!(
                        "it now speaks protocol version {version}, and the host was told {told}"
                    )));
                    return None;
                }
            }
        }
        if let Some(result) = result {
            // What was asked in other words is no answer to the host's.
            if *id != own_greeting_id(child) || !self.host_asked_otherwise() {
                self.remember("initialize", None, result.clone());
            }
            self.replay.good_greeting = Some(result);
        }
        let after =
            self.now.mono.saturating_sub(self.child.as_ref().map_or(Duration::ZERO, |child| child.spawned));
        self.note(Note::Greeted { child, version: self.said_by_server(&version), after });
        self.name_server(line);
        // The greeting goes out before what `greeted` may tell the host.
        let forwarded = host.is_some() || planted!(self, ForwardReplayedGreeting);
        if forwarded && self.phase == Phase::Starting {
            self.forward_to_host(line.clone());
            self.greeted(child);
            return None;
        }
        self.greeted(child);
        forwarded.then(|| line.clone())
    }

    /// Whether the host has asked for another version than it was told.
    fn host_asked_otherwise(&self) -> bool {
        self.replay.requested() != self.replay.told
    }

    /// What the server says of itself, fit for a sentence of ours: masked, and not longer than one.
    pub(super) fn said_by_server(&self, text: &str) -> String {
        let text = self.config.mask.apply(text);
        match text.char_indices().nth(SAID) {
            Some((end, _)) => format!("{} ...", &text[..end]),
            None => text.into_owned(),
        }
    }

    fn set_greeting(&mut self, greeting: Greeting) {
        if let Some(child) = &mut self.child {
            child.greeting = greeting;
        }
    }

    /// The child may be spoken to: it is told what its predecessor knew, and serves.
    fn greeted(&mut self, generation: Gen) {
        self.set_greeting(Greeting::Done);
        let useless = self.child.as_ref().is_some_and(|child| child.useless.is_some() || !child.listens());
        if self.phase != Phase::Starting || useless {
            return;
        }
        self.serve();
        if self.replay.greeting.is_some() {
            self.replay_state(generation);
        }
    }

    /// The child serves the host from now on.
    pub(super) fn serve(&mut self) {
        self.set_phase(Phase::Serving);
        self.tell_back();
        self.trying = false;
        self.has_served = true;
        self.compare_due = true;
        if let Some(child) = &mut self.child {
            child.served = true;
        }
        self.judge_start();
        self.timers.arm(Timer::Sustained, self.now.mono + SUSTAINED);
        self.watch_pulse();
    }

    /// Notes that the host is served again after something went wrong.
    fn tell_back(&mut self) {
        let (Some(since), Some(child)) = (self.away_since.take(), &self.child) else { return };
        let asked = child.asked_at.map_or(Duration::ZERO, |at| self.now.mono.saturating_sub(at));
        let away = child.spawned.saturating_sub(since) + asked;
        let limits = self.config.restarts;
        let number = self.backoff.crashes_in_window(self.now.mono);
        let restart = (1..=limits.max_restarts).contains(&number);
        self.note(Note::Back {
            child: self.generation,
            away,
            again: self.has_served,
            restart: restart.then_some((number, limits.max_restarts, limits.window)),
        });
    }

    fn replay_state(&mut self, generation: Gen) {
        if let Some(line) = self.replay.initialized.clone()
            && !planted!(self, ForgetInitialized)
        {
            self.tell_child(generation, line);
        }
        for (id, own, line) in self.replay.state_for(generation) {
            if matches!(own, Own::Subscribe(_)) && planted!(self, ForgetSubscription) {
                continue;
            }
            if let Some(child) = &mut self.child {
                child.own.insert(id, own);
            }
            self.tell_child(generation, line);
        }
    }

    /// A child has answered a request of ours that is no greeting, or one that we have answered in its place.
    pub(super) fn own_answer(&mut self, child: Gen, own: &Own, response: &Response, line: &Bytes) {
        match own {
            Own::Level | Own::Subscribe(_) if response.is_error => {
                self.note(Note::ReplayRefused { method: own.method() });
            }
            // What changed while nobody was subscribed was missed: let the host look again.
            Own::Subscribe(uri) => self.say_to_host(answers::resource_updated(uri, None)),
            Own::Compare { .. } => self.compared(own, response, line),
            Own::Page { .. } if response.is_error => {}
            Own::Discover if response.is_error => self.unlearn_discovered(),
            Own::Page { method, cursor } => self.learn_late_page(child, method, cursor.as_deref(), line),
            Own::Discover => self.learn_discovered(line),
            Own::Ping => self.ping_answered(),
            Own::Level | Own::Sign | Own::Late { .. } => {}
        }
    }

    /// How long a greeting waits for a server.
    pub(super) fn init_timeout(&self) -> Duration {
        self.config.init_timeout.unwrap_or_else(|| match self.replay.client().as_deref() {
            Some(CLAUDE_DESKTOP) => INIT_TIMEOUT_CLAUDE_DESKTOP,
            Some(CLAUDE_CODE) => INIT_TIMEOUT_CLAUDE_CODE,
            _ => INIT_TIMEOUT,
        })
    }

    /// How long a list waits for a server when nothing good is known.
    pub(super) fn list_wait(&self) -> Duration {
        (self.init_timeout() * 2).min(LIST_WAIT)
    }

    /// Lets the host's greeting wait as long as it may: less where an earlier answer is known.
    pub(super) fn let_greeting_wait(&mut self) {
        let Some(arrived) = self
            .replay
            .greeting_id
            .as_ref()
            .and_then(|id| self.inflight.get(id))
            .map(|pending| pending.arrived)
        else {
            return;
        };
        let longest = self.init_timeout();
        let good = self.replay.good_greeting.as_ref().filter(|_| !planted!(self, IgnoreGrace));
        let wait = match (good, self.config.instant_start) {
            (Some(_), true) => Duration::ZERO,
            (Some(_), false) => self.config.init_grace.min(longest),
            (None, _) => longest,
        };
        self.timers.arm(Timer::Greeting, arrived + wait);
    }

    /// The host has waited for its greeting as long as it may: it gets one from us.
    pub(super) fn greeting_overdue(&mut self) {
        if let Some(id) = self.replay.greeting_id.clone().filter(|id| self.inflight.contains(id)) {
            self.answer_ourselves(&[id], Why::Held);
        }
    }
}
