//! The ledger: what the notes of one supervisor add up to, for whoever looks from outside.
//!
//! A session is one run of one supervisor. The ledger is told each [`Note`] with its time and keeps the session's row
//! ([`Session`]), what a row has no room for ([`Gauges`]), and gives out the events that are worth remembering
//! ([`Event`]). The store writes them down, the control socket shows them; neither counts anything itself.
//!
//! It reads no clock and does no I/O, and takes from a note what it counts and nothing else: no payload, no argument, no
//! token can come to be in here.

mod event;
mod gauges;
mod session;
mod shared;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::event::{Event, Kind};
pub use self::gauges::{Gauges, Histogram, LATENCY_BOUNDS, RECOVERY_BOUNDS};
pub use self::session::{CloseReason, Session, TokenState};
pub use self::shared::{Batch, Shared};

use self::event::tale;
use crate::engine::note::{Note, Peer, StopCause};
use crate::engine::phase::Phase;
pub use crate::engine::upstream::ApiState;

/// The longest name or version of a peer that is kept, in characters: one that is longer is no name.
const LONGEST_NAME: usize = 120;

/// Wall-clock time since the Unix epoch in whole milliseconds: how times are written in rows and events.
pub fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// What the notes of one supervisor have added up to so far.
#[derive(Clone, Debug)]
pub struct Ledger {
    session: Session,
    gauges: Gauges,
    /// One more with each change that is worth showing.
    version: u64,
    /// The server was not available, and has not served since.
    degraded: bool,
    /// When the server was last lost, in monotonic time. `None` while there is none to recover.
    lost: Option<Duration>,
    /// Why the next child takes the place of the last one. `None` after a crash.
    replaced: Option<&'static str>,
    started: u32,
}

impl Ledger {
    /// The ledger of a session that begins. The row's identity is given, everything that is counted must be zero.
    pub fn new(session: Session) -> Self {
        Self {
            session,
            gauges: Gauges::default(),
            version: 0,
            degraded: false,
            lost: None,
            replaced: None,
            started: 0,
        }
    }

    /// The row as it is now.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// What the row has no room for.
    pub fn gauges(&self) -> &Gauges {
        &self.gauges
    }

    /// A number that grows with each change of the two.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The supervisor lives, whether or not anything happens.
    pub fn alive(&mut self, wall: Duration) {
        self.session.alive_at = self.session.alive_at.max(millis(wall));
    }

    /// Enters a note of this time: monotonic, and on the wall. The event that it makes, if it makes one.
    pub fn note(&mut self, mono: Duration, wall: Duration, note: &Note) -> Option<Event> {
        self.version += 1;
        self.alive(wall);
        let row = &mut self.session;
        let short =
            |text: &str| text.replace(char::is_control, " ").chars().take(LONGEST_NAME).collect::<String>();
        match note {
            Note::Requested { method, .. } => {
                row.last_active = Some(millis(wall));
                row.requests += 1;
                row.tool_calls += u64::from(&**method == "tools/call");
            }
            Note::Heard => row.last_active = Some(millis(wall)),
            Note::Carried { to_server, to_host } => {
                row.bytes_to_server = *to_server;
                row.bytes_to_host = *to_host;
            }
            Note::Done { took, is_error, .. } => {
                row.errors += u64::from(*is_error);
                self.gauges.latency.enter(*took, &LATENCY_BOUNDS);
            }
            Note::Answered { status, took, .. } => {
                row.guidance_answers += u64::from(status.is_some());
                self.gauges.latency.enter(*took, &LATENCY_BOUNDS);
                if let Some(status) = status {
                    self.gauges.guidance(status.as_str());
                }
            }
            Note::Noise { .. } => row.noise_lines += 1,
            Note::Named { peer, name, version } => {
                let (name, version) = (Some(short(name)), version.as_deref().map(short));
                match peer {
                    Peer::Host => (row.client_name, row.client_version) = (name, version),
                    Peer::Server => (row.server_name, row.server_version) = (name, version),
                }
            }
            Note::Spawned { pid, .. } => {
                self.started += 1;
                row.restarts = u64::from(self.started - 1);
                self.gauges.server_pid = Some(*pid);
            }
            Note::Greeted { version, .. } => {
                row.protocol_version = Some(short(version));
                if let Some(lost) = self.lost.take() {
                    self.gauges.recovery.enter(mono.saturating_sub(lost), &RECOVERY_BOUNDS);
                }
            }
            Note::Exited { .. } => {
                self.gauges.server_pid = None;
                self.lost.get_or_insert(mono);
            }
            Note::Phase { to, .. } => row.phase = to.to_string(),
            Note::Session { fact, expires } => {
                row.token_state = TokenState::after(fact).unwrap_or(row.token_state);
                row.token_expires_at = expires.map(millis);
            }
            Note::Api { state } => row.api_state = *state,
            Note::Stopping { cause } => {
                row.close_reason = Some(match cause {
                    StopCause::HostEof => CloseReason::HostEof,
                    StopCause::HostGone => CloseReason::HostGone,
                    StopCause::Signal => CloseReason::Signal,
                    StopCause::Asked => CloseReason::Asked,
                });
            }
            Note::Stopped { .. } => {
                row.closed_at = Some(millis(wall));
            }
            Note::SpawnFailed { .. }
            | Note::VersionLowered { .. }
            | Note::ReplayRefused { .. }
            | Note::Unusable { .. }
            | Note::Back { .. }
            | Note::Restarting { .. }
            | Note::HandedOff { .. }
            | Note::Replaced { .. }
            | Note::Suspect { .. }
            | Note::Hung { .. }
            | Note::Changed { .. }
            | Note::ChangesByItself
            | Note::LoginShellAnswered { .. }
            | Note::RestartAsked
            | Note::Retrying
            | Note::Refused { .. }
            | Note::Repeated { .. }
            | Note::Dropped { .. }
            | Note::Mended { .. }
            | Note::NumbersMended { .. }
            | Note::IdRespelled { .. }
            | Note::Salvaged { .. } => {}
        }
        let told = self.event(note);
        told.map(|(kind, text)| Event { session: self.session.id.clone(), at: millis(wall), kind, text })
    }

    /// What is worth remembering of a note: the kind of event, and its words.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "these depend on what was before; the rest is the tale's"
    )]
    fn event(&mut self, note: &Note) -> Option<(Kind, String)> {
        match note {
            Note::Replaced { reason, .. } => {
                self.replaced = Some(reason);
                return None;
            }
            Note::Phase { to: Phase::Degraded, .. } if !std::mem::replace(&mut self.degraded, true) => {
                return Some((Kind::Degraded, tale::DEGRADED.to_owned()));
            }
            Note::Phase { to: Phase::Serving, .. } if std::mem::take(&mut self.degraded) => {
                return Some((Kind::Recovered, tale::RECOVERED.to_owned()));
            }
            Note::Spawned { child: _, pid } if self.started > 1 => {
                let why = self.replaced.take();
                return Some((Kind::Restarted, tale::restarted(self.started - 1, *pid, why)));
            }
            _ => {}
        }
        tale::of(note)
    }
}
