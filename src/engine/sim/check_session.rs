//! The session: renewals, verdicts, expiry, and what calls are told of it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Violation;
use super::books::Request;
use super::check::{Checked, Checker, violated};
use super::parse::{self, Message};
use super::world::Said;
use crate::engine::io::Input;
use crate::engine::lease::io::{Act, Cause, End, Event, Fact, Found, Renewal, Token};
use crate::engine::phase::Phase;
use crate::engine::upstream::ApiState;

/// How long a refused request may wait for its verdict: a renewal that is under way, and a look at the file.
pub(super) const VERDICT: Duration = Duration::from_millis(7050);
/// How often a call is let through while the session has expired.
const PROBE: Duration = Duration::from_secs(5);
/// The states of the API, in the order in which they are told.
const STATES: [&str; 3] = ["session_expired", "kill_switch_active", "daemon_unavailable"];

/// How long at least passes between two restarts of servers that had missed their API.
const MEAGER: Duration = Duration::from_secs(60);

/// How the session stands, by what was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stands {
    #[default]
    Unknown,
    Absent,
    Alive,
    /// Its time is over.
    Over,
    /// The API has said that it is over; when a call was last let through.
    Refused(Option<Duration>),
}

/// The books of the session.
#[derive(Debug, Default)]
pub(super) struct Session {
    /// Calls are answered while it has expired.
    answers: bool,
    stands: Stands,
    pub(super) wall: Duration,
    /// When each token that was seen ends.
    ends: BTreeMap<u32, Option<Duration>>,
    used: Option<u32>,
    /// When another token was last used.
    used_since: Duration,
    renewing: Option<u32>,
    /// Tokens that the API has spoken against.
    accused: BTreeSet<u32>,
    refused: BTreeMap<u64, (u32, Duration)>,
    /// Requests of the server for a renewal, and when each came.
    wanted: BTreeMap<u64, Duration>,
    /// How many requests to the API were heard, refused, locked out, unanswered.
    heard: u64,
    bad: [u64; 3],
    /// How many of them the API may have carried out, though it has not answered.
    lost_answers: u64,
    /// There is no way to the API any more.
    lost: bool,
    /// How they had ended when the present child was started.
    at_spawn: Window,
    /// Which state of the API the present child met before it served, and nothing better.
    missed: Option<usize>,
    /// The API has answered, in this step.
    answered: bool,
    /// When a child that had missed it was last replaced, and whether it was not away since.
    brought_back: Option<Duration>,
    well_since: bool,
    /// Requests that have begun and not ended.
    asking: u32,
    /// What is known of the API, and what was last told of it.
    api: ApiState,
    told: ApiState,
}

impl Session {
    pub(super) fn new(answers: bool) -> Self {
        Self { answers, ..Self::default() }
    }

    /// The token that is used.
    pub(super) fn used(&self) -> Option<u32> {
        self.used
    }

    /// A tool says that the API has spoken against this one.
    pub(super) fn accuse(&mut self, token: Option<u32>) {
        self.accused.extend(token);
    }

    /// Since when.
    pub(super) fn used_since(&self) -> Duration {
        self.used_since
    }

    /// Whether the keeper of the session has ended: no news comes of a token that was refused then.
    pub(super) fn is_lost(&self) -> bool {
        self.lost
    }

    pub(super) fn is_alive(&self) -> bool {
        self.stands == Stands::Alive
    }

    /// Whether there is a token that was not there then, which is a reason to try a server again.
    pub(super) fn is_new_since(&self, then: Duration) -> bool {
        self.used.is_some() && self.used_since >= then
    }

    fn sees(&mut self, token: Token) {
        self.ends.insert(token.id.0, token.claims.expires);
    }
}

/// How the requests to the API had ended when a call was written.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    heard: u64,
    bad: [u64; 3],
    lost_answers: u64,
}

impl Checker {
    pub(super) fn window(&self) -> Window {
        Window { heard: self.session.heard, bad: self.session.bad, lost_answers: self.session.lost_answers }
    }

    /// Something is about to be told of the session.
    pub(super) fn session_begins(&mut self, wall: Duration, input: &Input) {
        let session = &mut self.session;
        session.wall = wall;
        let Input::Session(event) = input else { return };
        match event {
            Event::Found { file, environment, .. } => {
                for found in [file, environment] {
                    if let Found::Token(token) = found {
                        session.sees(*token);
                    }
                }
            }
            Event::Renewed(renewal) => {
                let asked = session.renewing.take();
                match renewal {
                    Renewal::Granted(token, _) => {
                        session.sees(*token);
                        if session.api != ApiState::Unknown {
                            session.api = ApiState::Ok;
                        }
                    }
                    Renewal::Superseded(token) => session.sees(*token),
                    Renewal::Refused(_) => session.accused.extend(asked),
                    Renewal::Failed(_) => {}
                }
            }
            Event::Refused { request, token, .. } => {
                session.accused.insert(token.0);
                session.refused.insert(request.0, (token.0, self.now));
                self.cover.hit("request to the API refused");
            }
            Event::Asked => session.asking += 1,
            Event::Ended(token, end) => {
                session.asking = session.asking.saturating_sub(1);
                session.api = known_after(*end).unwrap_or(session.api);
                match end {
                    End::Heard | End::Unrelated => {
                        session.heard += 1;
                        session.answered = *end == End::Heard;
                    }
                    End::Refused => {
                        session.accused.insert(token.0);
                        session.bad[0] += 1;
                    }
                    End::Locked => session.bad[1] += 1,
                    End::Unsent => session.bad[2] += 1,
                    End::Unreachable => {
                        session.bad[2] += 1;
                        session.lost_answers += 1;
                    }
                    End::Left => session.lost_answers += 1,
                }
            }
            Event::Probed(end) => {
                session.api = known_after(*end).unwrap_or(session.api);
                session.answered = matches!(end, End::Heard | End::Unrelated);
                session.well_since &= session.answered;
                self.cover.hit("API probed");
            }
            Event::Wanted(request) => {
                session.wanted.insert(request.0, self.now);
                self.cover.hit("renewal wanted by the server");
            }
            Event::Seen(token) => session.sees(*token),
            Event::Lacked => session.bad[0] += 1,
            Event::Lost(_) => (session.lost, session.api) = (true, ApiState::Unknown),
            Event::Stirred | Event::Written(..) | Event::Timer => {}
        }
    }

    /// The engine wants something done about the session.
    pub(super) fn session_act(&mut self, act: &Act) -> Checked {
        let session = &mut self.session;
        match *act {
            Act::Renew(token) | Act::RenewRegardless(token, _) => {
                if let Some(other) = session.renewing.replace(token.0) {
                    violated!("one renewal at a time", "{} while {other} is being renewed", token.0);
                }
                if session.used != Some(token.0) {
                    violated!(
                        "what is renewed is what is used",
                        "{}, and {:?} is used",
                        token.0,
                        session.used
                    );
                }
                self.cover.hit("token renewed");
            }
            Act::Publish(token) => {
                if session.ends[&token.0].is_some_and(|end| end <= session.wall) {
                    violated!("what is used has not expired", "{}", token.0);
                }
                session.used = Some(token.0);
                session.used_since = self.now;
                session.stands = Stands::Alive;
                let early = session.brought_back.is_some_and(|at| self.now < at + MEAGER);
                if session.missed == Some(0) && session.well_since && !early && self.phase == Phase::Serving {
                    session.missed = None;
                }
            }
            Act::Lack => session.stands = Stands::Absent,
            Act::Answer(request) => {
                if session.renewing.is_some() || session.wanted.remove(&request.0).is_none() {
                    violated!("each request for a renewal gets one answer", "{}", request.0);
                }
            }
            Act::Verdict(request, None) if session.wanted.remove(&request.0).is_some() => {}
            Act::Verdict(request, again) => {
                let Some((token, _)) = session.refused.remove(&request.0) else {
                    violated!("each refused request gets one verdict", "{}", request.0);
                };
                if let Some(again) = again {
                    if again.0 == token || session.used != Some(again.0) {
                        violated!("a request goes again only with another token", "{again:?} after {token}");
                    }
                    self.cover.hit("request to the API made again");
                }
            }
            Act::Look(_) | Act::Write(_) | Act::Probe => {}
            Act::Tell(_) => violated!("what is told is a note", "{act:?}"),
        }
        Ok(())
    }

    pub(super) fn session_note(&mut self, fact: &Fact) -> Checked {
        let Fact::Expired(cause) = fact else { return Ok(()) };
        let session = &mut self.session;
        let Some(used) = session.used else { violated!("a token expires only with cause", "there is none") };
        let over = session.ends[&used].is_some_and(|end| end <= session.wall);
        let is_so = match cause {
            Cause::Time => over,
            Cause::Request | Cause::Renewal => session.accused.contains(&used),
        };
        if !is_so {
            violated!("a token expires only with cause", "{used}: {cause:?}");
        }
        session.stands = if *cause == Cause::Time { Stands::Over } else { Stands::Refused(None) };
        self.cover.hit("session expired");
        Ok(())
    }

    /// It is told what is known of the API.
    pub(super) fn api_note(&mut self, state: ApiState) -> Checked {
        let before = std::mem::replace(&mut self.session.told, state);
        if before == state {
            violated!("a change of what is known of the API is told", "{state:?} again");
        }
        self.cover.hit("change of the API told");
        Ok(())
    }

    /// A call is written to a child.
    pub(super) fn session_admits(&mut self, line: &str) -> Checked {
        let session = &mut self.session;
        if !session.answers {
            return Ok(());
        }
        match session.stands {
            Stands::Unknown | Stands::Alive => {}
            Stands::Absent | Stands::Over => violated!("no call is made without a session", "{line}"),
            Stands::Refused(last) => {
                if last.is_some_and(|last| self.now < last + PROBE) {
                    violated!("no call is made without a session", "after {last:?}: {line}");
                }
                session.stands = Stands::Refused(Some(self.now));
                self.cover.hit("call let through although the session has expired");
            }
        }
        Ok(())
    }

    /// We answer a call with this status.
    pub(super) fn session_answers(&mut self, status: &str, line: &str) -> Checked {
        if !STATES.contains(&status) {
            return Ok(());
        }
        let dead = matches!(self.session.stands, Stands::Absent | Stands::Over | Stands::Refused(_));
        if status != STATES[0] || !dead || !self.session.answers {
            violated!("a state of the API is told only if it is one", "{:?}: {line}", self.session.stands);
        }
        self.cover.hit("call answered because the session has expired");
        Ok(())
    }

    /// What the API has to do with it that this call has failed.
    fn cause_of(&self, request: &Request) -> Option<&'static str> {
        // Then only a text that says so tells that the API cannot be reached, and no model says it.
        if self.session.lost && self.injection.is_none() {
            return None;
        }
        let before = request.window;
        if self.session.heard != before.heard {
            return None;
        }
        STATES
            .iter()
            .zip(self.session.bad.iter().zip(before.bad))
            .find(|(_, (now, then))| *now != then)
            .map(|(state, _)| *state)
    }

    /// A result which says that a tool has failed is handed on as it came: only where the API is not why.
    pub(super) fn keeps_result(&self, id: &str, message: &Message, line: &str) -> Checked {
        let Some(request) = self.open.get(id) else { return Ok(()) };
        let failed = message.result.as_ref().is_some_and(|result| result["isError"] == true);
        let call = request.message.method() == "tools/call" && !request.cancelled;
        let stops = self.phase == Phase::Stopping;
        if call && !stops && self.injection.is_some() && super::check_inject::says_refused(message) {
            violated!("a refused call is withheld", "{line}");
        }
        if failed && call && self.cause_of(request).is_some() {
            violated!("a call that fails because of the API is told so", "{line}");
        }
        Ok(())
    }

    /// The result that a child gave in the place of which this is told. `None` if it is no state of the API.
    pub(super) fn stands_for(&self, said: &Said, message: &Message) -> Option<(Message, String)> {
        let id = message.id.as_ref()?;
        let status = status_of(message)?;
        let request = self.open.get(id)?;
        let told = STATES.contains(&status.as_str()) && request.message.method() == "tools/call";
        let is_it = |own: &Message| own.id.as_ref() == Some(id) && own.method.is_none();
        let mut own = said.inner.iter().filter_map(|inner| Some((parse::message(inner)?, inner.clone())));
        own.find(|(own, _)| told && is_it(own))
    }

    /// A state of the API is told in the place of a result.
    pub(super) fn replaces_result(
        &mut self,
        id: &str,
        own: &Message,
        message: &Message,
        line: &str,
    ) -> Checked {
        let status = status_of(message).unwrap_or_default();
        let Some(request) = self.open.get(id) else {
            violated!("only answers that it waits for reach the host", "{line}");
        };
        let failed = own.result.as_ref().is_some_and(|result| result["isError"] == true);
        if !failed || request.cancelled || self.cause_of(request) != Some(status.as_str()) {
            violated!("a state of the API is told only if it is one", "{:?}: {line}", self.cause_of(request));
        }
        let refused = self.session.lost_answers == request.window.lost_answers
            && self.session.asking == 0
            && request.written.len() == 1;
        let outcome = if refused { "not_executed" } else { "unknown" };
        if guidance_in(message)["outcome"] != outcome {
            violated!("guidance tells the outcome", "{outcome}: {line}");
        }
        if message.error.is_some() != self.wants_error(request) {
            violated!("guidance comes as the method wants it", "{line}");
        }
        self.cover.hit("failed call told as a state of the API");
        self.account.guided();
        Ok(())
    }

    /// A child is started.
    pub(super) fn session_spawns(&mut self) {
        self.session.at_spawn = self.window();
        self.session.missed = None;
    }

    /// The child serves, or no longer does.
    pub(super) fn session_phase(&mut self, to: Phase) {
        let now = self.window();
        let session = &mut self.session;
        let before = session.at_spawn;
        if to == Phase::Serving && now.heard == before.heard {
            session.missed = now.bad.iter().zip(before.bad).position(|(now, then)| *now != then);
        }
        session.well_since &= to != Phase::Serving || session.missed.is_some();
    }

    /// A child is replaced, for this reason.
    pub(super) fn session_replaces(&mut self, reason: &str) {
        if reason.contains("API had been away") {
            self.session.brought_back = Some(self.now);
            self.session.well_since = true;
            self.cover.hit("server that had missed its API started again");
        }
    }

    /// A child that has missed its API is replaced in the moment in which the API is back.
    fn is_brought_back(&mut self) -> Checked {
        let early = self.session.brought_back.is_some_and(|at| self.now < at + MEAGER);
        let answered = std::mem::take(&mut self.session.answered);
        if answered && self.session.missed.is_some() && self.phase == Phase::Serving && !early {
            // It was replaced for that already, and the API was there since.
            if self.session.well_since {
                self.session.missed = None;
                self.cover.hit("server that misses an API which is not away left as it is");
                return Ok(());
            }
            violated!("a server that has missed its API is started again", "child {}", self.living);
        }
        Ok(())
    }

    pub(super) fn session_ends(&mut self) -> Checked {
        self.is_brought_back()?;
        let session = &self.session;
        if session.told != session.api {
            violated!(
                "a change of what is known of the API is told",
                "{:?}, and {:?} was told",
                session.api,
                session.told
            );
        }
        if let Some((request, (_, since))) =
            session.refused.iter().find(|(_, (_, since))| self.now > *since + VERDICT)
        {
            violated!("each refused request gets one verdict", "{request} waits since {since:?}");
        }
        if let Some((request, since)) = session.wanted.iter().next().filter(|_| session.renewing.is_none()) {
            violated!("each request for a renewal gets one answer", "{request} waits since {since:?}");
        }
        Ok(())
    }
}

/// What is known of the API once a request to it has ended so. `None` if it says nothing.
fn known_after(end: End) -> Option<ApiState> {
    match end {
        End::Heard | End::Unrelated | End::Refused => Some(ApiState::Ok),
        End::Locked => Some(ApiState::Locked),
        End::Unsent | End::Unreachable => Some(ApiState::Unreachable),
        End::Left => None,
    }
}

/// The status in guidance.
fn status_of(message: &Message) -> Option<String> {
    Some(guidance_in(message)["status"].as_str()?.to_owned())
}

fn guidance_in(message: &Message) -> serde_json::Value {
    let text = message.result.as_ref().and_then(|result| result["content"][0]["text"].as_str());
    match (text, &message.error) {
        (Some(text), _) => serde_json::from_str(text).unwrap_or_default(),
        (None, error) => error.as_ref().map(|error| error["data"].clone()).unwrap_or_default(),
    }
}
