//! The era of the conversation: what the host opened with, and what follows for a fresh child.
//!
//! Some servers lock a process to one era by the first request that it hears, so a fresh child hears first what the
//! host opened with and nothing of ours before it. `server/discover` alone is a probe and leaves the era open. The
//! modern era has no greeting: a fresh child gets the first request that waits, and the others once it has answered
//! something. A stream, which a server may never answer, and a call, which may take its time, do not hold up other
//! requests. If a child has served in this run, and the new one has read its first request, that request holds up the
//! others only for a moment: the server is known, and its requests run side by side. A first child that says nothing
//! may still be downloading, and the chat learns so with each request that waits.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::good::Era;
use super::greeting::STARTUP;
use super::inflight::Pending;
use super::io::{Gen, Output};
use super::listen::LISTEN;
use super::note::Note;
use super::own::Own;
use super::phase::Phase;
use super::replay::own_id;
use super::timers::Timer;
use super::{Doom, Engine, Greeting, answers, book, planted};
use crate::wire::{ENVELOPE_VERSION, Id, Request, edit};

/// How long `server/discover` waits for a server: clients give it 10 s.
pub(super) const DISCOVER_WAIT: Duration = Duration::from_secs(8);
/// How long a fresh child may be silent after its first request. If it has read the request by then, it gets the others
/// too. This is longer than a running server needs for its first answer, and too short to be noticed.
const SILENCE: Duration = Duration::from_millis(250);
/// The method of the probe.
pub(super) const DISCOVER: &str = "server/discover";
/// What of a host's envelope is put on requests of ours.
const ENVELOPE: [&str; 4] = [
    ENVELOPE_VERSION,
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/clientCapabilities",
    "io.modelcontextprotocol/logLevel",
];

/// What the host opened with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Opening {
    /// It has asked for nothing yet.
    #[default]
    Nothing,
    /// `server/discover` alone: it may go on in either era.
    Probe,
    /// `initialize`: the legacy era.
    Greeting,
    /// A request in an envelope: the modern era.
    Enveloped,
    /// Something else. There is no greeting to wait for, but one may come.
    Bare,
}

/// What may be written to a child that has not answered anything yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// Nothing.
    Shut,
    /// What a server that is up answers soon. A call waits until this child, the first one, has answered something: one
    /// that is not written can be answered as not executed.
    Soon,
    /// Everything.
    Open,
}

/// The host's own envelope, for requests that we make ourselves.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    /// The protocol version in it.
    pub(super) version: String,
    /// What of it goes on, as a JSON object.
    meta: String,
}

impl Envelope {
    /// The envelope of a request. `None` if it has none.
    fn of(line: &[u8]) -> Option<Self> {
        let meta = edit::find_in(line, &["params", "_meta"])?;
        let members: BTreeMap<String, &RawValue> = serde_json::from_str(meta).ok()?;
        let version = serde_json::from_str(members.get(ENVELOPE_VERSION)?.get()).ok()?;
        let kept: BTreeMap<&str, &RawValue> =
            ENVELOPE.iter().filter_map(|name| Some((*name, *members.get(*name)?))).collect();
        Some(Self { version, meta: serde_json::to_string(&kept).ok()? })
    }
}

impl Engine {
    /// Whether the conversation is of the modern era.
    pub(super) fn is_modern(&self) -> bool {
        self.opening == Opening::Enveloped
    }

    /// A request of the host has come: it may decide the era.
    pub(super) fn open_with(&mut self, request: &Request, line: &[u8]) {
        let method = &*request.method;
        if request.params.enveloped
            && (self.envelope.is_none() || method == DISCOVER || book::is_list(method))
            && let Some(envelope) = Envelope::of(line)
        {
            self.envelope = Some(envelope);
            self.name_host(&["params", "_meta", "io.modelcontextprotocol/clientInfo"], line);
        }
        let before = self.opening;
        self.opening = match (before, method) {
            (Opening::Greeting | Opening::Enveloped, _) => return,
            (_, "initialize") => Opening::Greeting,
            (Opening::Bare, DISCOVER) => Opening::Bare,
            (_, DISCOVER) => Opening::Probe,
            _ if request.params.enveloped => Opening::Enveloped,
            // A ping belongs to no era, and we may answer it ourselves.
            (Opening::Nothing | Opening::Probe, "ping") => before,
            _ => Opening::Bare,
        };
        if self.opening != before {
            self.recall();
        }
        let probed = self.child.as_ref().is_some_and(|child| child.probed);
        if before == Opening::Probe
            && self.opening == Opening::Greeting
            && probed
            && !planted!(self, KeepProbedChild)
        {
            // It may be locked to the modern era by now.
            self.replace("it had heard a question of the other era of the protocol");
        }
    }

    /// The era and the protocol version that the host asked for, by which answers are kept. `None` while that is open.
    pub(super) fn kept_as(&self) -> Option<(Era, String)> {
        match self.opening {
            Opening::Greeting => Some((Era::Legacy, self.replay.requested()?)),
            Opening::Enveloped | Opening::Probe => {
                Some((Era::Modern, self.envelope.as_ref()?.version.clone()))
            }
            Opening::Nothing | Opening::Bare => None,
        }
    }

    /// Lets a fresh child of the modern era serve once it has answered something. Until then it gets only what
    /// `may_open` allows.
    pub(super) fn open(&mut self) {
        let spoke = self.child.as_ref().is_some_and(|child| child.spoke && child.is_ready());
        let opens = matches!(self.opening, Opening::Enveloped | Opening::Probe);
        if spoke && self.phase == Phase::Starting && opens {
            // It is there. What it waits for now is the host.
            self.timers.disarm(Timer::Startup);
        }
        if spoke && self.phase == Phase::Starting && self.is_modern() {
            self.inflight.settle_down(self.generation);
            if let (Some(child), Some(envelope)) = (&mut self.child, &self.envelope) {
                child.greeting = Greeting::Done;
                let after = self.now.mono.saturating_sub(child.spawned);
                let version = self.said_by_server(&envelope.version);
                self.note(Note::Greeted { child: self.generation, version, after });
            }
            self.serve();
        }
        loop {
            let gate = self.gate();
            if gate == Gate::Shut {
                return;
            }
            let Some(child) = &self.child else { return };
            let inflight = &self.inflight;
            let token = child.token;
            let passes = |id: &Id| {
                inflight.get(id).is_none_or(|pending| {
                    (gate == Gate::Open || answers_soon(&pending.method)) && !pending.needs_other_than(token)
                })
            };
            let stream = self.listens.unwritten(inflight);
            let Some(id) = stream.or_else(|| self.queue.pop_request_if(passes)) else { return };
            self.write_to_unproven(&id);
        }
    }

    /// What may be written to a child of the modern era that has not answered anything yet.
    pub(super) fn gate(&self) -> Gate {
        let Some(child) = &self.child else { return Gate::Shut };
        let opens = matches!(self.opening, Opening::Enveloped | Opening::Probe)
            && self.phase == Phase::Starting
            && child.is_ready();
        if !opens {
            return Gate::Shut;
        }
        let reads = child.reads && !planted!(self, OneByOne);
        if self.has_served && reads {
            return Gate::Open;
        }
        // Requests of an earlier child do not count here: they are forgotten, or wait for this child.
        let listens = |pending: &Pending| {
            pending.written == Some(child.generation) && !pending.cancelled && &*pending.method == LISTEN
        };
        let held_up = child.own.any_soon()
            || self.inflight.any_soon_answered()
            || planted!(self, ListenHoldsUp) && self.inflight.any(listens);
        match (held_up, reads) {
            (false, _) => Gate::Open,
            (true, true) => Gate::Soon,
            (true, false) => Gate::Shut,
        }
    }

    /// Whether a child that has said nothing gets no further request until it has answered one of this method.
    fn holds_up(&self, method: &str) -> bool {
        answers_soon(method) || method == LISTEN && planted!(self, ListenHoldsUp)
    }

    /// A request whose answer is not long in coming keeps its deadline: if it is not kept, the server is still starting.
    fn write_to_unproven(&mut self, id: &Id) {
        let Some(pending) = self.inflight.get(id) else { return };
        let (deadline, probes) = (pending.deadline, &*pending.method == DISCOVER);
        let holds_up = self.holds_up(&pending.method);
        self.write(id);
        let written = self.inflight.get(id).is_some_and(|pending| pending.written == Some(self.generation));
        if !written || !holds_up {
            return;
        }
        if let Some(deadline) = deadline {
            self.inflight.wait_until(id, deadline);
        }
        let now = self.now.mono;
        if let Some(child) = &mut self.child {
            child.probed |= probes;
        }
        self.timers.arm_once(Timer::SideBySide, now + SILENCE);
        self.timers.arm_once(Timer::Startup, now + STARTUP);
    }

    /// A child was silent for a moment after its first request. If it has read that, it is running and takes its time.
    pub(super) fn look_at_stdin(&mut self) {
        if self.phase == Phase::Starting
            && let Some(child) = &self.child
        {
            self.outputs.push_back(Output::LookAtStdin(child.generation));
        }
    }

    /// A child that has not read its request is still starting. Nothing more is written to it, so that what waits can
    /// be answered as not executed.
    pub(super) fn looked_at_stdin(&mut self, from: Gen, read: bool) {
        let starting = self.phase == Phase::Starting;
        let Some(child) = self.child.as_mut().filter(|child| child.generation == from && starting) else {
            return;
        };
        child.reads |= read;
        let now = self.now.mono;
        if !read {
            return self.timers.arm(Timer::SideBySide, now + SILENCE);
        }
        // A server that ignores what it has read of `server/discover` may speak another era by now. Later runs are not
        // to tell their hosts otherwise, unless it answers after all.
        let asked = |pending: &Pending| &*pending.method == DISCOVER && pending.written == Some(from);
        if child.own.any(|own| *own == Own::Discover) || self.inflight.any(asked) {
            let patience = child.asked_at.unwrap_or(now) + DISCOVER_WAIT;
            if now < patience {
                return self.timers.arm(Timer::SideBySide, patience);
            }
            self.erase_discovered();
        }
    }

    /// A child has used up the time that even a download needs.
    pub(super) fn startup_overdue(&mut self) {
        let greets = self.replay.greeting.is_some();
        if !greets && self.inflight.any(|pending| self.works_on(pending)) {
            // It may still carry out requests that it has, and ending it would lose them.
            return self.timers.arm(Timer::Startup, self.now.mono + STARTUP);
        }
        let what = if greets { "its greeting" } else { "its first request" };
        self.doom(Doom::Crash(format!("it did not answer {what} in time")));
    }

    /// A request of ours, in the host's envelope where there is one.
    pub(super) fn own_request(&self, id: &Id, method: &str, cursor: Option<&str>) -> Bytes {
        let cursor = cursor.map(|cursor| format!("\"cursor\":{cursor}"));
        let envelope = self.envelope.as_ref().filter(|_| self.is_modern());
        let meta = envelope.map(|envelope| format!("\"_meta\":{}", envelope.meta));
        let params: Vec<String> = cursor.into_iter().chain(meta).collect();
        answers::request(id, method, &format!("{{{}}}", params.join(",")))
    }

    /// An id of ours that the living child has not seen.
    pub(super) fn fresh_own_id(&mut self, what: &str) -> Id {
        let number = self.child.as_mut().map_or(0, |child| {
            child.next_own += 1;
            child.next_own
        });
        own_id(self.generation, &format!("{what}:{number}"))
    }
}

/// Whether a running server answers this method soon, so that silence means that it is not running yet.
pub(super) fn answers_soon(method: &str) -> bool {
    book::is_list(method)
        || matches!(method, DISCOVER | "resources/read" | "prompts/get" | "completion/complete")
}
