//! The API behind the server: how the requests to it end, what that means for tool calls, and what the chat is told of it.
//!
//! Which request to the API belongs to which tool call is known to nobody but the server. So a call is judged by its
//! window, from when it was written to the server until its result: what the server calls a failure is told as a state of
//! the API only if a request to the API ended like that in the window, and none ended well.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::backoff::RETRY_ON_CALL;
use super::guidance::{Guidance, Outcome, Status, last_lines};
use super::inflight::Pending;
use super::io::Output;
use super::lease::Lease;
use super::lease::io::{Act, Cause, End, Event, Renewal, Standing};
use super::note::Note;
use super::phase::Phase;
use super::timers::Timer;
use super::{Engine, planted};
use crate::pattern::Pattern;
use crate::wire::{Response, edit};

/// The most that guidance carries of the server's own text, in bytes.
const DETAIL: usize = 2048;
/// The longest result, in bytes, that is searched for words which say that it is a failure: those that do are short.
const MARKED: usize = 16 * 1024;
/// How much of each end of a text, in bytes, is searched for words that tell of a refusal.
const END: usize = 8 * 1024;
/// No token is longer, in bytes: of a text that is cut, so much may be a part of one.
const WORD: usize = 16 * 1024;

/// What is done with tool calls while the session has expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExpired {
    /// They are answered at once, but for one every 5 s.
    #[default]
    Answer,
    /// The server gets them as ever.
    Relay,
}

/// How the server gets the token by its environment.
#[derive(Clone, Debug)]
pub struct Inject {
    /// What the text of a failed tool says when the API has refused the token.
    pub refused: Pattern,
    /// A refused call is made again also if its tool is not safe to repeat.
    pub repeat: bool,
}

/// The session that the server needs, as far as the engine has to know it.
#[derive(Clone, Debug)]
pub struct Session {
    /// How its token is renewed.
    pub lease: super::lease::Options,
    /// What is done with calls while it has expired.
    pub on_expired: OnExpired,
    /// The API, for the person: its address without secrets. `None` where nobody knows it.
    pub api: Option<String>,
    /// What a person does to begin another session: a sentence.
    pub remedy: String,
    /// How the server gets the token by its environment. `None` where it does not.
    pub inject: Option<Inject>,
}

/// What is known of the API, by how the last request to it has ended. That the session has expired is not in here: it is
/// the token's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiState {
    /// No request to it has ended yet, or nobody leads there any more.
    #[default]
    Unknown,
    /// It answers.
    Ok,
    /// It says that it is locked, by its kill switch.
    Locked,
    /// It does not answer.
    Unreachable,
}

impl ApiState {
    /// What is known after this event. One that says nothing of the API leaves it at what was known before.
    fn after(self, event: &Event) -> Self {
        match event {
            Event::Ended(_, end) | Event::Probed(end) => match end {
                // Who refuses a session answers.
                End::Heard | End::Unrelated | End::Refused => Self::Ok,
                End::Locked => Self::Locked,
                End::Unsent | End::Unreachable => Self::Unreachable,
                End::Left => self,
            },
            // It has answered us. Where nobody sees the server's own requests, that says nothing of how they end.
            Event::Renewed(Renewal::Granted(..)) if self != Self::Unknown => Self::Ok,
            Event::Lost(_) => Self::Unknown,
            Event::Renewed(_)
            | Event::Found { .. }
            | Event::Stirred
            | Event::Written(..)
            | Event::Refused { .. }
            | Event::Wanted(_)
            | Event::Seen(_)
            | Event::Asked
            | Event::Lacked
            | Event::Timer => self,
        }
    }
}

/// What a remedy says of a server that works with the next token at once, and what is true of one that was started without.
pub const AT_ONCE: &str = "it is used at once, and nothing need be restarted";
const ANEW: &str = "it is used at once, and the server, which was started without one and may offer fewer tools, is started again by \
                    itself";

/// What a server says that has not reached its API.
static CANNOT_CONNECT: LazyLock<Pattern> = LazyLock::new(|| {
    Pattern::known(r"(?i)connect|network|fetch failed|socket|unreachable|refused|timed? ?out")
});

/// What the API has to do with a call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The session is over.
    Expired,
    /// It is locked.
    Locked,
    /// It does not answer.
    Unreachable,
    /// Nobody leads there any more.
    Lost,
    /// The server says that the session is over; nothing else does.
    Doubted,
}

/// How many requests to the API have ended so, since the start. The counts may wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ends {
    heard: u32,
    refused: u32,
    locked: u32,
    unsent: u32,
    unreachable: u32,
    left: u32,
    /// How many have begun and not ended.
    open: u32,
}

impl Ends {
    fn ended(&mut self, end: End) {
        self.open = self.open.saturating_sub(1);
        self.count(end);
    }

    fn count(&mut self, end: End) {
        let count = match end {
            End::Heard | End::Unrelated => &mut self.heard,
            End::Refused => &mut self.refused,
            End::Locked => &mut self.locked,
            End::Unsent => &mut self.unsent,
            End::Unreachable => &mut self.unreachable,
            End::Left => &mut self.left,
        };
        *count = count.wrapping_add(1);
    }

    /// What those that have ended since `before` say, if none ended well.
    pub(super) fn since(self, before: Self) -> Option<State> {
        if self.heard != before.heard {
            None
        } else if self.refused != before.refused {
            Some(State::Expired)
        } else if self.locked != before.locked {
            Some(State::Locked)
        } else if (self.unsent, self.unreachable) != (before.unsent, before.unreachable) {
            Some(State::Unreachable)
        } else {
            None
        }
    }

    /// Whether the API may have carried out what was asked of it since `before`, or does so now.
    fn may_have_acted_since(self, before: Self) -> bool {
        let of = |ends: Self| (ends.heard, ends.unreachable, ends.left);
        self.open > 0 || of(self) != of(before)
    }
}

impl Engine {
    /// Something has happened to the session.
    pub(super) fn session_event(&mut self, event: Event) {
        let Some(lease) = &mut self.lease else { return };
        match event {
            Event::Asked => self.ends.open += 1,
            Event::Ended(_, end) => self.ends.ended(end),
            Event::Lacked => self.ends.count(End::Refused),
            Event::Lost(ref why) => self.lost = Some(self.config.mask.apply(why).into_owned()),
            Event::Found { .. }
            | Event::Stirred
            | Event::Renewed(_)
            | Event::Written(..)
            | Event::Probed(_)
            | Event::Wanted(_)
            | Event::Seen(_)
            | Event::Refused { .. }
            | Event::Timer => {}
        }
        let known = self.api.after(&event);
        let heard = matches!(event, Event::Ended(_, End::Heard) | Event::Probed(End::Heard | End::Unrelated));
        self.away.seen |= matches!(event, Event::Probed(_)) && !heard;
        lease.handle(self.now, event);
        if known != self.api && !planted!(self, KeepApiState) {
            self.api = known;
            self.note(Note::Api { state: known });
        }
        if heard {
            self.api_is_back();
        }
    }

    /// What the lease wants done is asked of the doers.
    pub(super) fn keep_session(&mut self) {
        let Some(lease) = &mut self.lease else { return };
        // What a renewal brought would be lost with us.
        let stopping = self.phase == Phase::Stopping;
        // A server that saves while it is stopped may wait for a verdict on what it asks of the API.
        if lease.is_due(self.now) && !(stopping && self.child.is_none()) {
            lease.handle(self.now, Event::Timer);
        }
        let mut verdicts = BTreeMap::new();
        while let Some(act) = self.lease.as_mut().and_then(Lease::poll) {
            match act {
                Act::Tell(fact) => {
                    let expires = self.lease.as_ref().and_then(Lease::expires);
                    self.note(Note::Session { fact, expires });
                }
                Act::Publish(token) => {
                    self.outputs.push_back(Output::Session(Act::Publish(token)));
                    self.hand_over(Some(token));
                    self.try_with_new_token();
                    if self.missed() == Some(State::Expired) {
                        self.api_is_back();
                    }
                }
                Act::Lack => {
                    self.outputs.push_back(Output::Session(Act::Lack));
                    self.hand_over(None);
                }
                Act::Verdict(request, other) if self.injects().is_some() => {
                    verdicts.insert(request, other);
                }
                Act::Renew(_) | Act::RenewRegardless(..) if stopping => {
                    self.lease.iter_mut().for_each(Lease::let_go);
                }
                act @ (Act::Look(_)
                | Act::Renew(_)
                | Act::RenewRegardless(..)
                | Act::Write(_)
                | Act::Answer(_)
                | Act::Probe
                | Act::Verdict(..)) => {
                    self.outputs.push_back(Output::Session(act));
                }
            }
        }
        if !verdicts.is_empty() {
            self.judge_calls(&verdicts);
        }
    }

    /// That there was no good token may be why the server does not start.
    fn try_with_new_token(&mut self) {
        if self.phase != Phase::Degraded {
            return;
        }
        // A file that changes all the time is no reason to start a server all the time.
        let at = self.last_attempt + RETRY_ON_CALL;
        if at <= self.now.mono {
            self.retry();
        } else {
            self.timers.arm(Timer::Retry, at);
        }
    }

    /// Whether a call may be made, as far as the session goes. One that may is made: only one every 5 s may while the session
    /// has expired.
    pub(super) fn admits_call(&mut self) -> bool {
        let answers =
            self.config.session.as_ref().is_some_and(|session| session.on_expired == OnExpired::Answer);
        let now = self.now;
        match &mut self.lease {
            Some(lease) if answers => lease.admits(now) || planted!(self, CallOnDeadSession),
            _ => true,
        }
    }

    /// What is told in the place of a result which says that the tool has failed, if the API is why.
    pub(super) fn verdict_on(
        &self,
        pending: &Pending,
        response: &Response,
        line: &Bytes,
    ) -> Option<Guidance> {
        if self.ends == pending.ends && (self.lost.is_none() || self.injects().is_some())
            || pending.cancelled
            || response.is_error
            || &*pending.method != "tools/call"
        {
            return None;
        }
        let state = match self.ends.since(pending.ends) {
            // Nobody says any more how requests end: what cannot connect speaks for itself.
            _ if self.lost.is_some() => {
                if !CANNOT_CONNECT.is_in(&ends_of(&text_of(line))) {
                    return None;
                }
                State::Lost
            }
            None if planted!(self, TellStateWithoutCause) => State::Unreachable,
            state => state.filter(|_| !planted!(self, PassStateOn))?,
        };
        if !has_failed(line) {
            return None;
        }
        let detail = self.as_detail(&text_of(line));
        // The server is done with it: nothing more is asked of the API.
        let refused = matches!(state, State::Expired | State::Locked | State::Unreachable)
            && pending.times_written == 1
            && !self.ends.may_have_acted_since(pending.ends);
        Some(Guidance { detail, ..self.upstream_guidance(pending, state, refused) })
    }

    /// The end of what a server says, as guidance may carry it. `None` if it says nothing.
    pub(super) fn as_detail(&self, text: &str) -> Option<String> {
        let text = self.config.mask.apply(tail_of(text, DETAIL + WORD));
        Some(last_lines(&text, DETAIL).to_owned()).filter(|text| !text.is_empty())
    }

    /// What is told of a call in this state of the API. `refused`: the API has refused all that was asked of it for the call, and
    /// carried none of it out.
    pub(super) fn upstream_guidance(&self, pending: &Pending, state: State, refused: bool) -> Guidance {
        let name = &self.config.name;
        let (api, remedy) = self
            .config
            .session
            .as_ref()
            .map_or((None, ""), |session| (session.api.as_deref(), session.remedy.as_str()));
        let api = api.unwrap_or("its API");
        let asked = pending.times_written > 0;
        let outcome = if asked && !refused { Outcome::Unknown } else { Outcome::NotExecuted };
        let again = outcome == Outcome::NotExecuted || self.is_safe(pending);
        let effect = match outcome {
            Outcome::NotExecuted if asked => "the API did not carry this request out",
            Outcome::NotExecuted => "this request was not executed",
            Outcome::Unknown => "whether this request took effect is unknown",
        };
        let check = if again { "" } else { " Check whether the request took effect before making it again." };
        let meager = if self.missed().is_some() {
            " The server was started while the API was away, and may offer fewer tools; it is started again when the API is back."
        } else {
            ""
        };
        let (status, message, hint, retryable) = match state {
            // It was refused with a token that is no longer used.
            State::Expired if self.lease.as_ref().is_some_and(Lease::is_trusted) => (
                Status::SessionExpired,
                format!(
                    "A request of the MCP server {name:?} was refused at {api}, and the session was renewed meanwhile, so {effect}."
                ),
                format!("Call again.{check}"),
                again,
            ),
            State::Doubted => (
                Status::SessionExpired,
                format!(
                    "A request of the MCP server {name:?} was refused at {api}, as if its session were over, so {effect}."
                ),
                format!("If the session is over: {remedy}{check}"),
                false,
            ),
            State::Expired => {
                let what = match self.lease.as_ref().map(Lease::standing) {
                    Some(Standing::Absent) => {
                        format!("There is no session for the MCP server {name:?} at {api}")
                    }
                    Some(
                        Standing::Expired(Cause::Time | Cause::Request | Cause::Renewal) | Standing::Active,
                    ) => {
                        format!("The session of the MCP server {name:?} at {api} has expired")
                    }
                    Some(Standing::Unknown) | None => {
                        format!("The session of the MCP server {name:?} at {api} is not known yet")
                    }
                };
                let hint = match &self.lost {
                    Some(why) => format!(
                        "Nobody looks for another token any more ({why}): start the host again, or the server in it.{check}"
                    ),
                    None if self.missed().is_some() => format!("{}{check}", remedy.replace(AT_ONCE, ANEW)),
                    None => format!("{remedy}{check}"),
                };
                (Status::SessionExpired, format!("{what}, so {effect}."), hint, false)
            }
            State::Unreachable => (
                Status::DaemonUnavailable,
                format!(
                    "The API at {api}, which the MCP server {name:?} needs, does not answer, so {effect}."
                ),
                format!("See that it runs and can be reached, then try again.{meager}{check}"),
                again,
            ),
            State::Lost => {
                let why = self.lost.as_deref().unwrap_or("unknown");
                (
                    Status::DaemonUnavailable,
                    format!(
                        "The supervisor no longer leads the MCP server {name:?} to the API at {api} ({why}), so {effect}."
                    ),
                    format!("Start the host again, or the server in it.{check}"),
                    false,
                )
            }
            State::Locked => (
                Status::KillSwitchActive,
                format!(
                    "The API at {api}, which the MCP server {name:?} needs, is locked by its kill switch, so {effect}."
                ),
                format!(
                    "Unlock it, if that is what you want: all its sessions end with that, so another one is to be begun \
                     then.{meager}{check}"
                ),
                false,
            ),
        };
        Guidance {
            status,
            message,
            hint,
            retryable,
            outcome: Some(outcome),
            retry_after_ms: None,
            server: name.clone(),
            exit: None,
            restarts: Some(self.restarts()).filter(|restarts| *restarts > 0),
            stderr_tail: None,
            detail: None,
        }
    }
}

/// Whether a tool's result says that it has failed: by `isError`, or in words. The MCP server of a `WAIaaS` daemon tells of an
/// expired session, and of a daemon that does not answer, in ordinary results.
pub(super) fn has_failed(line: &Bytes) -> bool {
    if edit::find_in(line, &["result", "isError"]) == Some("true") {
        return true;
    }
    let marks = ["session_expired", "network_error"];
    let bears = |mark: &&str| line.windows(mark.len()).any(|part| part == mark.as_bytes());
    if line.len() > MARKED || !marks.iter().any(bears) {
        return false;
    }
    let text = text_of(line);
    let told: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    told.is_some_and(|told| marks.iter().any(|mark| told[*mark] == true))
}

/// The texts in the content of a tool's result, one a line.
pub(super) fn text_of(line: &Bytes) -> String {
    let items = edit::find_in(line, &["result", "content"]);
    let items: Vec<serde_json::Value> =
        items.and_then(|items| serde_json::from_str(items).ok()).unwrap_or_default();
    let texts: Vec<&str> = items.iter().filter_map(|item| item["text"].as_str()).collect();
    texts.join("\n")
}

/// Both ends of a text: what is told of a failure is at one of them, and a search through megabytes would hold up everybody.
pub(super) fn ends_of(text: &str) -> String {
    if text.len() <= 2 * END {
        return text.to_owned();
    }
    let head = (0..=END).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    format!("{}\n{}", &text[..head], tail_of(text, END))
}

/// The end of a text, of this many bytes at most, that begins with a word: what is cut would not be known for a secret.
fn tail_of(text: &str, most: usize) -> &str {
    if text.len() <= most {
        return text;
    }
    let from = (text.len() - most..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    let tail = &text[from..];
    tail.find(char::is_whitespace).map_or("", |end| &tail[end..])
}
