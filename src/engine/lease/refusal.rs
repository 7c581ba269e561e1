//! What follows when a request was refused: a short wait, a look at the file, a verdict; and when it was not.

use std::time::Duration;

use super::io::{Act, Cause, End, RequestId, Standing, TokenId};
use super::renewal::Schedule;
use super::{Lease, planted};
use crate::engine::io::Now;

/// How long the wait after a refusal is: a renewal may be about to finish.
const WAIT: Duration = Duration::from_millis(50);
/// How long a refused request waits for a renewal that is under way.
const SETTLE: Duration = Duration::from_secs(5);
/// How long the file may take to be read for a refused request.
pub(super) const ANSWER: Duration = Duration::from_secs(2);
/// After a refusal, how often one request is let through to see whether it still holds.
const PROBE: Duration = Duration::from_secs(5);

/// A refused request on its way to a verdict.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    pub(super) request: RequestId,
    pub(super) token: TokenId,
    pub(super) certain: bool,
    pub(super) arrived: Duration,
    /// Which look it waits for, and since when.
    pub(super) looking: Option<(u64, Duration)>,
}

/// What the API has said of the token that is used, while it is looked whether somebody has put another one in its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubt {
    pub(super) token: TokenId,
    pub(super) cause: Cause,
    pub(super) look: u64,
    pub(super) since: Duration,
}

impl Lease {
    /// Whether a request may be made: while the session has expired because the API has said so, one every 5 s may, to see
    /// whether it still does.
    pub fn admits(&mut self, now: Now) -> bool {
        match self.standing {
            Standing::Unknown | Standing::Active => true,
            Standing::Absent | Standing::Expired(Cause::Time) => false,
            Standing::Expired(Cause::Request | Cause::Renewal) => {
                let may = self.probed.is_none_or(|at| now.mono >= at + PROBE);
                if may {
                    self.probed = Some(now.mono);
                }
                may
            }
        }
    }

    /// The API has said that the token is over: somebody may have put another one into the file.
    pub(super) fn doubt(&mut self, token: TokenId, cause: Cause) {
        let look = self.look();
        self.doubt = Some(Doubt { token, cause, look, since: self.now.mono });
    }

    /// The token is over, unless another one is used by now.
    pub(super) fn give_up(&mut self, token: TokenId, cause: Cause) {
        if self.standing == Standing::Active && self.token.is_some_and(|ours| ours.id == token) {
            self.expire(cause);
        }
    }

    pub(super) fn ended(&mut self, token: TokenId, end: End) {
        if self.token.is_none_or(|ours| ours.id != token) {
            return;
        }
        if end == End::Heard {
            self.renew_soon();
        }
        match (end, self.standing) {
            (End::Heard | End::Locked, Standing::Expired(cause @ (Cause::Request | Cause::Renewal))) => {
                self.over.remove(&token);
                // Its time may have passed meanwhile.
                if let Some(token) = self.token.filter(|token| self.objection(token).is_none()) {
                    self.adopt(token);
                    self.renew_later(cause);
                }
            }
            (End::Heard, Standing::Active) if planted!(self, ExpireWithoutCause) => {
                self.expire(Cause::Request);
            }
            (End::Heard | End::Locked, _) => {
                if let Some(doubt) = self.doubt.take() {
                    self.renew_later(doubt.cause);
                }
            }
            (End::Refused, Standing::Active) if self.doubt.is_none() => self.doubt(token, Cause::Request),
            (End::Unrelated | End::Refused | End::Unsent | End::Unreachable | End::Left, _) => {}
        }
    }

    /// What a refused request waits for next, until when at most.
    pub(super) fn due(&self, refusal: &Refusal) -> Duration {
        match (refusal.looking, self.schedule) {
            (Some((_, since)), _) => since + ANSWER,
            (None, Schedule::UnderWay(..)) => refusal.arrived + SETTLE,
            (None, _) => refusal.arrived + WAIT,
        }
    }

    /// Whose time has come is answered, or waits for a look at the file.
    pub(super) fn judge(&mut self) {
        if let Some(doubt) = self.doubt.take_if(|doubt| doubt.since + ANSWER <= self.now.mono) {
            self.give_up(doubt.token, doubt.cause);
        }
        let mut shared = None;
        for mut refusal in std::mem::take(&mut self.refusals) {
            if self.due(&refusal) > self.now.mono {
                self.refusals.push_back(refusal);
            } else if self.other_than(refusal.token).is_some() || refusal.looking.is_some() {
                self.sentence(refusal);
            } else {
                let look = *shared.get_or_insert_with(|| self.look());
                refusal.looking = Some((look, self.now.mono));
                self.refusals.push_back(refusal);
            }
        }
    }

    /// What is used now, if it is another one.
    pub(super) fn other_than(&self, token: TokenId) -> Option<TokenId> {
        let ours = self.token.filter(|_| self.standing == Standing::Active);
        ours.map(|ours| ours.id).filter(|ours| *ours != token)
    }

    /// The verdict.
    pub(super) fn sentence(&mut self, refusal: Refusal) {
        let other = self.other_than(refusal.token);
        if other.is_none() && refusal.certain {
            self.give_up(refusal.token, Cause::Request);
        }
        if planted!(self, ForgetVerdict) && other.is_none() {
            return;
        }
        let same = planted!(self, RepeatWithSameToken).then_some(refusal.token);
        self.acts.push_back(Act::Verdict(refusal.request, other.or(same)));
    }
}
