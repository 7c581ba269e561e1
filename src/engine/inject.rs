//! The token in the server's environment: a restart when it is another one, and the 401 rule where only a tool's words tell
//! of a refusal.
//!
//! A server that gets its token by a variable has it for as long as it runs. When the token is another one, the server is
//! drained and started again with it. A failed call of which the text says that the token was refused is withheld: after
//! the same wait as at the gateway it is made once more with the newer token, or the chat is told that there is none.
//!
//! A text is no proof. So only what is safe to repeat is repeated, unless the user says otherwise; and the session counts
//! as expired, with all that follows for other calls, from the second such text on between which no call has succeeded.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::guidance::Guidance;
use super::inflight::Pending;
use super::io::Gen;
use super::lease::Lease;
use super::lease::io::{Cause, End, Event, RequestId, Standing, TokenId};
use super::note::Note;
use super::phase::Phase;
use super::timers::Timer;
use super::tools::Safety;
use super::upstream::{self, Inject, State};
use super::{Engine, planted};
use crate::wire::{Id, Response};

/// How long the first child waits for its token: a file is read in a millisecond, if its file system answers.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// How often a server is started again for another token, unless a call has been refused: a file that changes all the
/// time is no reason to start a server all the time.
const PAUSE: Duration = Duration::from_secs(5);
/// Why a child is replaced then.
const ROTATED: &str = "its session token had been replaced";

/// Which token children get.
#[derive(Debug, Default)]
pub(super) struct Injection {
    /// The next one's. `None` for none.
    token: Option<TokenId>,
    /// When a child was last replaced for another one.
    replaced: Option<Duration>,
    /// Which token a text has spoken against, with nothing said for it since.
    suspected: Option<TokenId>,
}

/// A result that says that the token was refused.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusal {
    /// Its words, fit for the chat. Empty if there are none.
    said: Box<str>,
    /// The token of the child that has said it.
    token: Option<TokenId>,
}

impl Pending {
    /// Whether it was refused with this token, and waits for a child with another one.
    pub(super) fn needs_other_than(&self, token: Option<TokenId>) -> bool {
        self.is_made_again() && self.refused.as_ref().is_some_and(|refusal| refusal.token == token)
    }
}

impl Engine {
    pub(super) fn injects(&self) -> Option<&Inject> {
        self.config.session.as_ref()?.inject.as_ref()
    }

    /// The first child: at once, or as soon as its token is known.
    pub(super) fn begin(&mut self) {
        if self.injects().is_some() {
            self.phase = Phase::Waiting;
            self.timers.arm(Timer::Restart, self.now.mono + FIRST_LOOK);
        } else {
            self.spawn();
        }
    }

    /// Whether there was no child yet, because its token is not known.
    pub(super) fn awaits_token(&self) -> bool {
        self.generation == Gen(0) && self.phase == Phase::Waiting
    }

    /// The token of the next child.
    pub(super) fn next_token(&self) -> Option<TokenId> {
        self.injection.token
    }

    /// From now on children get this token, or none.
    pub(super) fn hand_over(&mut self, token: Option<TokenId>) {
        if self.injects().is_none() {
            return;
        }
        self.injection.token = token;
        if self.awaits_token() {
            self.timers.disarm(Timer::Restart);
            self.start();
        }
    }

    /// A child that has another token than the next one would get is replaced when it has nothing to do, and at once if a
    /// call has shown that its token is refused. One that is starting is not disturbed, for it may take longer than tokens
    /// live, unless its token was refused, or it has none.
    pub(super) fn rotate(&mut self) {
        let Some(child) = &self.child else { return };
        if child.token == self.injection.token || child.doom.is_some() {
            return;
        }
        let needs_another =
            |id: &Id| self.inflight.get(id).is_some_and(|pending| pending.needs_other_than(child.token));
        let now = child.token.is_some() && child.token == self.injection.suspected
            || self.inflight.made_again().any(needs_another);
        let starting =
            self.phase == Phase::Starting && (now || child.token.is_none()) && !self.runs_first_calls();
        if !(starting || self.phase == Phase::Serving) || planted!(self, KeepOldToken) {
            return;
        }
        let earliest = self.injection.replaced.map_or(Duration::ZERO, |at| at + PAUSE);
        if !now && self.now.mono < earliest && !planted!(self, RotateAlways) {
            return self.timers.arm_once(Timer::Rotate, earliest);
        }
        self.timers.disarm(Timer::Rotate);
        self.injection.replaced = Some(self.now.mono);
        if starting {
            self.replace(ROTATED);
        } else {
            self.drain_for(ROTATED, false);
        }
    }

    /// Withholds the result of a call that says that the token was refused, until it is known what follows. `false` if it
    /// says nothing of that, or is not to be withheld.
    pub(super) fn withhold(&mut self, from: Gen, id: &Id, response: &Response, line: &Bytes) -> bool {
        let Some(inject) = self.injects() else { return false };
        let Some(pending) = self.inflight.get(id).filter(|pending| pending.written == Some(from)) else {
            return false;
        };
        let ends = self.phase == Phase::Stopping;
        if response.is_error || pending.cancelled || &*pending.method != "tools/call" || ends {
            return false;
        }
        if !upstream::has_failed(line) {
            self.has_worked();
            return false;
        }
        let text = upstream::ends_of(&upstream::text_of(line));
        if !inject.refused.is_in(&text) || planted!(self, PassRefusalOn) {
            return false;
        }
        let (request, again) = (RequestId(pending.seq), pending.refused.is_some());
        self.note(Note::Refused { id: id.clone(), again });
        let token = self.child.as_ref().and_then(|child| child.token);
        let said = self.as_detail(&text).unwrap_or_default().into();
        self.inflight.withhold(id, Refusal { said, token });
        let certain = token.is_some() && self.injection.suspected == token;
        self.injection.suspected = token;
        let Some(lease) = &mut self.lease else { return false };
        match token {
            // Nobody would say whether there is another one.
            _ if self.lost.is_some() => self.tell_refused(id, State::Expired),
            // It was made once more already.
            Some(token) if again => {
                if certain {
                    lease.handle(self.now, Event::Ended(token, End::Refused));
                }
                self.tell_refused(id, State::Doubted);
            }
            Some(token) => lease.handle(self.now, Event::Refused { request, token, certain }),
            // It was started without one.
            None => self.judge_calls(&BTreeMap::from([(request, self.injection.token)])),
        }
        true
    }

    /// A call has succeeded: as far as can be seen from here, the API takes the token.
    fn has_worked(&mut self) {
        self.injection.suspected = None;
        let over = |lease: &Lease| lease.standing() == Standing::Expired(Cause::Request);
        if let Some(token) = self.child.as_ref().and_then(|child| child.token)
            && let Some(lease) = self.lease.as_mut().filter(|lease| over(lease))
        {
            lease.handle(self.now, Event::Ended(token, End::Heard));
        }
    }

    /// The verdicts on calls that were refused: there is another token by now, or there is none.
    pub(super) fn judge_calls(&mut self, verdicts: &BTreeMap<RequestId, Option<TokenId>>) {
        let (mut again, mut doubted) = (Vec::new(), Vec::new());
        for (request, other) in verdicts {
            // The host may have cancelled others meanwhile.
            let Some(pending) = self.inflight.withheld(request.0) else { continue };
            let id = pending.id.clone();
            match other.map(|_| self.may_make_again(pending)) {
                Some(Safety::Safe) => again.push(id),
                Some(Safety::Unsafe) => self.tell_refused(&id, State::Expired),
                Some(Safety::Unknown) => doubted.push(id),
                None => self.tell_refused(&id, State::Doubted),
            }
        }
        self.doubt(&doubted);
        if !again.is_empty() {
            // Those that wait already are put in with them: all go in the order in which the host has asked.
            again.extend(self.inflight.made_again().cloned());
            let ids = self.inflight.in_order(again);
            for id in &ids {
                self.queue.remove(id);
            }
            self.requeue(&ids);
        }
        if verdicts.values().any(Option::is_some) {
            self.rotate();
        }
    }

    /// Whether a refused call may be written to another child.
    fn may_make_again(&self, pending: &Pending) -> Safety {
        if pending.kept.is_none() || pending.times_written >= 2 {
            Safety::Unsafe
        } else if self.repeats_refused() || planted!(self, RepeatRefused) {
            Safety::Safe
        } else {
            self.repeatable(pending, pending.edition)
        }
    }

    /// Whether refused calls are made again whatever their tools declare.
    pub(super) fn repeats_refused(&self) -> bool {
        self.injects().is_some_and(|inject| inject.repeat)
    }

    /// Tells the chat that a call was refused, and what that means. A session that has expired since is told as such.
    pub(super) fn tell_refused(&mut self, id: &Id, state: State) {
        let Some(pending) = self.inflight.get(id) else { return };
        let over = self.lease.as_ref().is_none_or(|lease| !lease.is_trusted());
        let state = if over { State::Expired } else { state };
        let said = pending.refused.as_ref().map(|refusal| &*refusal.said);
        let detail = said.filter(|said| !said.is_empty()).map(str::to_owned);
        let guidance = Guidance { detail, ..self.upstream_guidance(pending, state, false) };
        self.answer_with_guidance(id, &guidance);
    }
}
