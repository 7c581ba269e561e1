//! The board: what is known of all sessions, as their supervisors tell it, and what of that is news to others.
//!
//! ```text
//! Status, Event, Alive --> board --> Change: created, updated, disconnected, happened
//! ```
//!
//! A session is live from the first status of its supervisor until its end is known. Rows of those that have ended are
//! kept for a while, for a supervisor may store nothing. Changes of a row are told at most once in [`PACE`].
//!
//! It reads no clock and does no I/O: time is handed in. It adds up what supervisors have counted, and counts nothing
//! that they do.

mod figures;
mod history;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde::Serialize;

pub(super) use self::figures::Figures;
pub(super) use self::history::Minute;

use self::history::History;
use crate::control::Status;
use crate::ledger::{ApiState, CloseReason, Event, Gauges, Session, TokenState};

/// How often the row of a session is told.
pub(super) const PACE: Duration = Duration::from_millis(250);
/// A supervisor that has said nothing for this long is silent: three signs of life were missed.
pub(super) const SILENCE: Duration = Duration::from_secs(15);
/// The most rows that are told in one go: listeners get the time to take them.
const AT_ONCE: usize = 256;
/// The most sessions that are remembered after their end; the store has the others.
const ENDED: usize = 256;
/// The most events that are remembered of a session; the store has the others.
const EVENTS: usize = 100;
/// The most names of servers that are counted apart. Whatever is beyond is [`OTHER`].
const NAMES: usize = 200;
/// What the others are called together.
const OTHER: &str = "other";
/// The longest name that is counted under, in characters.
const LONGEST_NAME: usize = 120;

/// The states that a session token can be in, where there is one.
pub(super) const TOKEN_STATES: [TokenState; 4] =
    [TokenState::Unknown, TokenState::Absent, TokenState::Active, TokenState::Expired];
/// What can be known of the API behind a server.
pub(super) const API_STATES: [ApiState; 4] =
    [ApiState::Unknown, ApiState::Ok, ApiState::Locked, ApiState::Unreachable];

/// Both clocks: the monotonic one from the monitor's start on, the wall's in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Now {
    pub(super) mono: Duration,
    pub(super) wall: i64,
}

/// What is news.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type")]
pub(super) enum Change {
    /// A session that was not known.
    #[serde(rename = "session_created")]
    Created { session: Session },
    /// Its row is another one.
    #[serde(rename = "session_updated")]
    Updated { session: Session },
    /// It has ended.
    #[serde(rename = "session_disconnected")]
    Disconnected { session: Session },
    /// Something has happened to it that is worth remembering.
    #[serde(rename = "session_event")]
    Happened { session: Session, event: Event },
}

/// Why nothing is heard of a supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It does not answer.
    Silent,
    /// What it says cannot be understood.
    Strange,
}

/// How it stands with the supervisors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Voices {
    /// How many have been heard of late.
    pub(super) answering: usize,
    /// How many have not.
    pub(super) silent: usize,
    /// How many say what cannot be understood.
    pub(super) strange: usize,
}

#[derive(Debug)]
struct Live {
    session: Session,
    gauges: Gauges,
    /// The name that it is counted under.
    label: String,
    /// When its supervisor was last heard.
    heard: Duration,
    /// When its row was last told.
    told: Duration,
    /// The row has changed since.
    changed: bool,
    events: VecDeque<Event>,
}

/// A session that has ended.
#[derive(Clone, Debug)]
pub(super) struct Ended {
    pub(super) session: Session,
    /// The row is that of the store.
    pub(super) stored: bool,
    events: VecDeque<Event>,
}

/// What is known of all sessions.
#[derive(Debug)]
pub(super) struct Board {
    live: BTreeMap<String, Live>,
    /// In the order in which they ended.
    ended: VecDeque<Ended>,
    troubles: BTreeMap<String, Trouble>,
    names: BTreeSet<String>,
    /// What the sessions that have ended add up to, by name.
    past: BTreeMap<String, Figures>,
    closed: BTreeMap<String, u64>,
    history: History,
    /// Why the directory of sockets cannot be looked at. `None` where it can.
    pub(super) sockets: Option<String>,
}

impl Board {
    /// Nothing is known yet at this time.
    pub(super) fn new(now: Now) -> Self {
        Self {
            live: BTreeMap::new(),
            ended: VecDeque::new(),
            troubles: BTreeMap::new(),
            names: BTreeSet::new(),
            past: BTreeMap::new(),
            closed: BTreeMap::new(),
            history: History::new(now.wall),
            sockets: None,
        }
    }

    /// A supervisor tells how it stands.
    pub(super) fn status(&mut self, now: Now, status: Status) -> Option<Change> {
        let Status { mut session, gauges, release: _, options: _ } = status;
        self.troubles.remove(&session.id);
        if self.has_ended(&session.id) {
            return None;
        }
        // A clock that is set back makes no row older than it was.
        let before = self.live.get(&session.id).map_or(now.wall, |live| live.session.alive_at);
        session.alive_at = session.alive_at.max(now.wall).max(before);
        self.count(now, &session);
        let over = !session.is_open();
        let label = self.label(&session.name);
        let change = if let Some(live) = self.live.get_mut(&session.id) {
            live.heard = now.mono;
            let row = Session { alive_at: live.session.alive_at, ..session.clone() };
            live.changed |= row != live.session;
            (live.session, live.gauges) = (session.clone(), gauges);
            live.due(now)
        } else {
            let live = Live {
                session: session.clone(),
                gauges,
                label,
                heard: now.mono,
                told: now.mono,
                changed: false,
                events: VecDeque::new(),
            };
            self.live.insert(session.id.clone(), live);
            Some(Change::Created { session: session.clone() })
        };
        // It has written its end itself, and goes.
        if over { self.end(now, session, false) } else { change }
    }

    /// Something has happened to a session. Nothing is told of one that is not known.
    pub(super) fn event(&mut self, now: Now, event: Event) -> Option<Change> {
        let (session, events) = if let Some(live) = self.live.get_mut(&event.session) {
            live.heard = now.mono;
            (&live.session, &mut live.events)
        } else {
            let ended = self.ended.iter_mut().find(|ended| ended.session.id == event.session)?;
            (&ended.session, &mut ended.events)
        };
        if events.len() == EVENTS {
            events.pop_front();
        }
        events.push_back(event.clone());
        Some(Change::Happened { session: session.clone(), event })
    }

    /// A supervisor is still there.
    pub(super) fn alive(&mut self, now: Now, id: &str) {
        if let Some(live) = self.live.get_mut(id) {
            live.heard = now.mono;
            live.session.alive_at = live.session.alive_at.max(now.wall);
        }
    }

    /// A session has ended with this row, which may be older than what was heard; `stored`: the store has it like this.
    pub(super) fn end(&mut self, now: Now, session: Session, stored: bool) -> Option<Change> {
        self.troubles.remove(&session.id);
        if !self.live.contains_key(&session.id) {
            return None;
        }
        let read = session.clone();
        let session = newest(session, &self.live.get(&read.id)?.session);
        self.count(now, &session);
        let live = self.live.remove(&session.id)?;
        // What the store has otherwise is to be put right wherever it is shown.
        let stored = stored && read == session;
        self.past.entry(live.label).or_default().add(&session, &live.gauges);
        let reason = session.close_reason.unwrap_or(CloseReason::Lost);
        *self.closed.entry(reason.to_string()).or_default() += 1;
        if self.ended.len() == ENDED {
            self.ended.pop_front();
        }
        self.ended.push_back(Ended { session: session.clone(), stored, events: live.events });
        Some(Change::Disconnected { session })
    }

    /// Rows that have changed and are due to be told.
    pub(super) fn due(&mut self, now: Now) -> Vec<Change> {
        self.live.values_mut().filter_map(|live| live.due(now)).take(AT_ONCE).collect()
    }

    /// Nothing is heard of this supervisor, for this reason; `None` where it is heard, or gone.
    pub(super) fn trouble(&mut self, id: &str, trouble: Option<Trouble>) {
        match trouble {
            Some(trouble) => self.troubles.insert(id.to_owned(), trouble),
            None => self.troubles.remove(id),
        };
    }

    /// The row of a live session.
    pub(super) fn live_row(&self, id: &str) -> Option<&Session> {
        self.live.get(id).map(|live| &live.session)
    }

    /// The row of a session, live or ended.
    pub(super) fn row(&self, id: &str) -> Option<&Session> {
        let ended = || self.ended.iter().find(|ended| ended.session.id == id).map(|ended| &ended.session);
        self.live_row(id).or_else(ended)
    }

    /// The rows of all live sessions, the oldest first.
    pub(super) fn live(&self) -> impl Iterator<Item = &Session> {
        self.live.values().map(|live| &live.session)
    }

    /// The sessions that have ended of late.
    pub(super) fn ended(&self) -> impl Iterator<Item = &Ended> {
        self.ended.iter()
    }

    /// The events that are remembered, of a session or of all of them, in no order.
    pub(super) fn events<'a>(&'a self, of: Option<&'a str>) -> impl Iterator<Item = &'a Event> {
        let live = self.live.values().flat_map(|live| &live.events);
        let ended = self.ended.iter().flat_map(|ended| &ended.events);
        live.chain(ended).filter(move |event| of.is_none_or(|of| event.session == of))
    }

    /// How it stands with the supervisors.
    pub(super) fn voices(&self, now: Now) -> Voices {
        let mut voices = Voices::default();
        for (id, live) in &self.live {
            let quiet = now.mono.saturating_sub(live.heard) > SILENCE;
            if quiet || self.troubles.get(id) == Some(&Trouble::Silent) {
                voices.silent += 1;
            } else {
                voices.answering += 1;
            }
        }
        for (id, trouble) in &self.troubles {
            match trouble {
                Trouble::Silent if !self.live.contains_key(id) => voices.silent += 1,
                Trouble::Silent => {}
                Trouble::Strange => voices.strange += 1,
            }
        }
        voices
    }

    /// What has been counted in each of the last minutes, the oldest first.
    pub(super) fn minutes(&self, now: Now) -> Vec<Minute> {
        self.history.minutes(now.wall)
    }

    /// Since when it is counted, in milliseconds since the Unix epoch.
    pub(super) fn since(&self) -> i64 {
        self.history.since()
    }

    /// What all sessions add up to that were ever known here, by name. No figure ever falls.
    pub(super) fn figures(&self) -> BTreeMap<String, Figures> {
        let mut all = self.past.clone();
        for live in self.live.values() {
            all.entry(live.label.clone()).or_default().add(&live.session, &live.gauges);
        }
        all
    }

    /// How many sessions have ended here, by their reasons.
    pub(super) fn closed(&self) -> &BTreeMap<String, u64> {
        &self.closed
    }

    /// How many live sessions have a token in each of [`TOKEN_STATES`], by name, where there is one.
    pub(super) fn tokens(&self) -> BTreeMap<String, [u64; 4]> {
        let mut tokens = BTreeMap::<String, [u64; 4]>::new();
        for live in self.live.values() {
            if let Some(at) = TOKEN_STATES.iter().position(|state| *state == live.session.token_state) {
                tokens.entry(live.label.clone()).or_default()[at] += 1;
            }
        }
        tokens
    }

    /// Of how many live sessions each of [`API_STATES`] is known, by name, where there is a token for an API.
    pub(super) fn apis(&self) -> BTreeMap<String, [u64; 4]> {
        let mut apis = BTreeMap::<String, [u64; 4]>::new();
        for live in self.live.values().filter(|live| live.session.token_state != TokenState::None) {
            if let Some(at) = API_STATES.iter().position(|state| *state == live.session.api_state) {
                apis.entry(live.label.clone()).or_default()[at] += 1;
            }
        }
        apis
    }

    fn has_ended(&self, id: &str) -> bool {
        self.ended.iter().any(|ended| ended.session.id == id)
    }

    /// Enters in the history what this row has more than the last one. What a session did before it was known here, and
    /// before the monitor was there, is not of these minutes.
    fn count(&mut self, now: Now, session: &Session) {
        let (calls, restarts) = match self.live_row(&session.id) {
            Some(before) => (before.tool_calls, before.restarts),
            None if session.created_at >= self.since() => (0, 0),
            None => return,
        };
        let (calls, restarts) =
            (session.tool_calls.saturating_sub(calls), session.restarts.saturating_sub(restarts));
        self.history.count(now.wall, calls, restarts);
    }

    /// The name that a server is counted under.
    fn label(&mut self, name: &str) -> String {
        let name: String = name.chars().take(LONGEST_NAME).collect();
        if self.names.contains(&name) {
            return name;
        }
        if self.names.len() >= NAMES {
            return OTHER.to_owned();
        }
        self.names.insert(name.clone());
        name
    }
}

impl Live {
    /// Its row, if it has changed and was not told just now.
    fn due(&mut self, now: Now) -> Option<Change> {
        if !self.changed || now.mono.saturating_sub(self.told) < PACE {
            return None;
        }
        (self.changed, self.told) = (false, now.mono);
        Some(Change::Updated { session: self.session.clone() })
    }
}

/// The row of a session that has ended, as the store has it, with all that was heard of it and is not written: a supervisor
/// that is killed has not written the last seconds. No count falls.
fn newest(row: Session, heard: &Session) -> Session {
    let alive_at = row.alive_at.max(heard.alive_at);
    Session {
        client_name: row.client_name.or_else(|| heard.client_name.clone()),
        client_version: row.client_version.or_else(|| heard.client_version.clone()),
        protocol_version: row.protocol_version.or_else(|| heard.protocol_version.clone()),
        server_name: row.server_name.or_else(|| heard.server_name.clone()),
        server_version: row.server_version.or_else(|| heard.server_version.clone()),
        last_active: row.last_active.max(heard.last_active),
        alive_at,
        tool_calls: row.tool_calls.max(heard.tool_calls),
        requests: row.requests.max(heard.requests),
        errors: row.errors.max(heard.errors),
        guidance_answers: row.guidance_answers.max(heard.guidance_answers),
        restarts: row.restarts.max(heard.restarts),
        noise_lines: row.noise_lines.max(heard.noise_lines),
        bytes_to_server: row.bytes_to_server.max(heard.bytes_to_server),
        bytes_to_host: row.bytes_to_host.max(heard.bytes_to_host),
        closed_at: row.closed_at.map(|closed| closed.max(alive_at)),
        ..row
    }
}
