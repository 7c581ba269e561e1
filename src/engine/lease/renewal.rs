//! When the token is renewed, and what follows from how that ended.

use std::time::Duration;

use super::answer::{Answer, Meaning};
use super::io::{Act, Cause, Fact, Found, Renewal, RequestId, Standing, Token, TokenId};
use super::{Lease, planted};

/// When a renewal that was too early is tried once more.
const EARLY: Duration = Duration::from_secs(30);
/// How long at least passes before one token is renewed again.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a renewal is new: who asks for another one meanwhile has not heard of it, and gets its answer.
const NEW: Duration = Duration::from_secs(60);
/// How long after the first, second and third failure a renewal is tried again.
const RETRIES: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4)];
/// How long after every other one.
const RETRY: Duration = Duration::from_secs(60);
/// How long at least, also where the API answers other requests.
const SOON: Duration = Duration::from_secs(5);
/// The longest that an API may ask us to wait.
const LONGEST_RETRY: Duration = Duration::from_secs(3600);

/// When the next renewal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schedule {
    /// Never again.
    Never,
    /// At this wall-clock time.
    At(Duration),
    /// At this monotonic time: after so many failures in a row, or after it was too early.
    Again(Duration, u32),
    /// One of this token is under way, after so many failures in a row.
    UnderWay(TokenId, u32),
}

/// A token that is used and not in the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unwritten {
    pub(super) failures: u32,
    /// When it is written again, in monotonic time. `None` while it is being written.
    pub(super) at: Option<Duration>,
}

impl Lease {
    /// When this token is renewed.
    pub(super) fn scheduled(&self, token: &Token) -> Schedule {
        let (Some(part), Some(end)) = (self.options.renew_at, token.claims.expires) else {
            return Schedule::Never;
        };
        let begin = token.claims.issued.unwrap_or(self.now.wall).min(end);
        Schedule::At(begin + end.saturating_sub(begin).mul_f64(part))
    }

    pub(super) fn renew_in_time(&mut self) {
        let Some(token) = self.token.filter(|_| self.standing == Standing::Active) else { return };
        let failures = match self.schedule {
            Schedule::At(at) if at <= self.now.wall => 0,
            Schedule::Again(at, failures) if at <= self.now.mono => failures,
            Schedule::Never | Schedule::At(_) | Schedule::Again(..) | Schedule::UnderWay(..) => return,
        };
        // It may have expired and come back meanwhile, by a clock that jumps.
        let before = self.asked.filter(|(asked, _)| *asked == token.id);
        if let Some((_, at)) = before.filter(|(_, at)| self.now.mono < *at + PAUSE) {
            self.schedule = Schedule::Again(at + PAUSE, failures);
            return;
        }
        self.renew(token.id, failures);
    }

    fn renew(&mut self, token: TokenId, failures: u32) {
        self.asked = Some((token, self.now.mono));
        self.schedule = Schedule::UnderWay(token, failures);
        self.acts.push_back(Act::Renew(token));
        if planted!(self, RenewTwice) {
            self.acts.push_back(Act::Renew(token));
        }
    }

    /// The server asks for a renewal. It would get the token, and void ours: so we renew in its place.
    pub(super) fn wanted(&mut self, request: RequestId) {
        let Some(token) = self.token.filter(|_| self.standing == Standing::Active) else {
            self.acts.push_back(Act::Verdict(request, None));
            return;
        };
        let asked = self.asked.filter(|(asked, _)| *asked == token.id).map(|(_, at)| at);
        let is_new = self.granted_at.is_some_and(|at| self.now.mono < at + NEW);
        if matches!(self.schedule, Schedule::UnderWay(..)) {
            self.wanted.push(request);
        } else if is_new || self.doubt.is_some() || asked.is_some_and(|at| self.now.mono < at + PAUSE) {
            self.acts.push_back(Act::Answer(request));
        } else {
            self.wanted.push(request);
            self.planned = Some(self.schedule);
            self.renew(token.id, 0);
        }
    }

    /// The renewal that was just asked for is not made, and none is any more: nobody waits for it.
    pub fn let_go(&mut self) {
        self.schedule = Schedule::Never;
        let wanted = std::mem::take(&mut self.wanted);
        self.acts.extend(wanted.into_iter().map(|request| Act::Verdict(request, None)));
    }

    /// A token was in an answer of the API. One that is newer than ours may have been made in its place.
    pub(super) fn seen(&mut self, token: Token) {
        let ours = self.token.filter(|_| self.standing == Standing::Active);
        let is_newer = ours.is_none_or(|ours| ours.claims.issued < token.claims.issued);
        if ours.is_some_and(|ours| ours.id == token.id) || !is_newer || self.objection(&token).is_some() {
            return;
        }
        if let Some(ours) = ours {
            self.is_over(ours.id);
        }
        self.adopt(token);
        self.not_at_once();
        self.unwritten = Some(Unwritten { failures: 0, at: Some(self.now.mono) });
    }

    pub(super) fn renewed(&mut self, renewal: Renewal) {
        let Schedule::UnderWay(asked, failures) = self.schedule else { return };
        let planned = self.planned.take();
        self.judged(asked, failures, renewal, planned);
        if !matches!(self.schedule, Schedule::UnderWay(..)) && !planted!(self, ForgetWanted) {
            let wanted = std::mem::take(&mut self.wanted);
            self.acts.extend(wanted.into_iter().map(Act::Answer));
        }
    }

    /// What a renewal of this token came to, after so many failures in a row. `planned` is what was to come if it had not been
    /// begun before its time: that it came to nothing then is no reason to try again.
    fn judged(&mut self, asked: TokenId, failures: u32, renewal: Renewal, planned: Option<Schedule>) {
        let regardless = std::mem::take(&mut self.regardless);
        self.schedule = self.token.map_or(Schedule::Never, |token| self.scheduled(&token));
        // What is said of another token than the one that is used no longer matters.
        let ours = self.standing == Standing::Active && self.token.is_some_and(|token| token.id == asked);
        match renewal {
            // Somebody may have put another one into the file meanwhile: that is the one to use.
            Renewal::Granted(..) if !ours && self.standing == Standing::Active => {}
            Renewal::Granted(token, written) => match self.objection(&token) {
                None => self.granted(asked, token, written),
                Some(objection) if ours => self.again(failures, None, format!("the answer {objection}")),
                Some(_) => {}
            },
            Renewal::Superseded(token) => {
                self.found(&Found::Token(token), &Found::Nothing);
                let unusable = ours && self.other_than(asked).is_none();
                if unusable && !regardless {
                    // The API was not asked, and what lies there, as after a write that failed, must not keep us from it.
                    self.schedule = Schedule::UnderWay(asked, failures);
                    self.planned = planned;
                    self.regardless = true;
                    self.acts.push_back(Act::RenewRegardless(asked, token.id));
                } else if unusable {
                    self.again(failures, None, "the file holds another token".to_owned());
                }
            }
            _ if !ours => {}
            Renewal::Failed(why) => match planned {
                Some(planned) => self.schedule = planned,
                None => self.again(failures, None, why),
            },
            Renewal::Refused(answer) => match (answer.meaning(), planned) {
                (Meaning::TooEarly | Meaning::Later, Some(planned)) => self.schedule = planned,
                (meaning, _) => self.refused(asked, failures, &answer, meaning),
            },
        }
    }

    fn refused(&mut self, asked: TokenId, failures: u32, answer: &Answer, meaning: Meaning) {
        match meaning {
            Meaning::TooEarly => self.too_early(answer),
            Meaning::Unlimited => self.schedule = Schedule::Never,
            Meaning::NoMore => {
                self.schedule = Schedule::Never;
                self.tell(Fact::NoMoreRenewals(answer.words()));
            }
            Meaning::Later => self.again(failures, answer.retry_after, answer.words()),
            // The token serves all the same: an API compares what was renewed when it renews, and nowhere else.
            Meaning::Overtaken => {
                self.schedule = Schedule::Never;
                self.tell(Fact::NoMoreRenewals(answer.words()));
                self.look();
            }
            Meaning::Over => {
                self.schedule = Schedule::Never;
                self.doubt(asked, Cause::Renewal);
            }
        }
    }

    fn granted(&mut self, asked: TokenId, token: Token, written: Result<(), String>) {
        self.granted_at = Some(self.now.mono);
        if token.id != asked {
            self.is_over(asked);
        }
        self.tell(Fact::Renewed(token.id));
        self.take(token);
        self.not_at_once();
        if let Err(why) = written {
            self.not_written(why);
        }
    }

    /// Its time to be renewed may be over already: an API is not asked without a pause.
    fn not_at_once(&mut self) {
        if matches!(self.schedule, Schedule::At(at) if at <= self.now.wall) {
            self.schedule = Schedule::Again(self.now.mono + EARLY, 0);
        }
    }

    /// The token is accepted, although a request, or its renewal, was refused: what has said no once is not asked again and
    /// again.
    pub(super) fn renew_later(&mut self, cause: Cause) {
        if cause == Cause::Renewal && !matches!(self.schedule, Schedule::UnderWay(..)) {
            self.schedule = Schedule::Never;
            self.tell(Fact::NoMoreRenewals(
                "it was refused, and the token is accepted all the same".to_owned(),
            ));
        }
        self.not_at_once();
    }

    /// A renewal has come to nothing, after so many that had before.
    fn again(&mut self, failures: u32, asked_for: Option<Duration>, why: String) {
        // Whoever waits too long has no token any more.
        let left = self
            .token
            .and_then(|token| token.claims.expires)
            .map(|end| end.saturating_sub(self.now.wall) / 2);
        let asked_for = asked_for.unwrap_or_default().min(left.unwrap_or(LONGEST_RETRY)).min(LONGEST_RETRY);
        let delay = self.delay(failures).max(asked_for);
        self.schedule = Schedule::Again(self.now.mono + delay, failures + 1);
        // One word of it is enough for as long as it lasts.
        if failures == 0 || failures as usize == RETRIES.len() {
            self.tell(Fact::NotRenewed(why));
        }
    }

    /// Once more soon; after that, half way to the end.
    fn too_early(&mut self, answer: &Answer) {
        if !std::mem::replace(&mut self.was_early, true) {
            self.schedule = Schedule::Again(self.now.mono + EARLY, 0);
            return;
        }
        self.tell(Fact::NotRenewed(answer.words()));
        let end = self.token.and_then(|token| token.claims.expires);
        let half_way = end.map(|end| self.now.wall + end.saturating_sub(self.now.wall) / 2);
        self.schedule = match (self.schedule, half_way) {
            (Schedule::At(at), Some(half_way)) => Schedule::At(at.max(half_way)),
            (other, _) => other,
        };
    }

    /// The API answers again: a renewal that waits to be tried again waits no longer.
    pub(super) fn renew_soon(&mut self) {
        if let Schedule::Again(at, failures @ 1..) = self.schedule {
            let soon = self.asked.map_or(self.now.mono, |(_, asked)| asked + SOON);
            self.schedule = Schedule::Again(at.min(soon), failures);
        }
    }

    /// The delay after so many failures: between half of it and the whole.
    fn delay(&mut self, failures: u32) -> Duration {
        let whole = RETRIES.get(failures as usize).copied().unwrap_or(RETRY);
        // Two supervisors of one token must not retry in step.
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let part = f64::from(u32::try_from(self.seed >> 33).unwrap_or(0)) / f64::from(u32::MAX >> 1);
        whole.mul_f64(0.5 + part.min(1.0) / 2.0)
    }

    /// What is told of another token than the one that is used no longer matters.
    pub(super) fn written(&mut self, token: TokenId, written: Result<(), String>) {
        match written {
            _ if self.token.is_none_or(|ours| ours.id != token) => {}
            Ok(()) => self.unwritten = None,
            Err(why) => self.not_written(why),
        }
    }

    fn not_written(&mut self, why: String) {
        let failures = self.unwritten.map_or(0, |unwritten| unwritten.failures);
        if failures == 0 {
            self.tell(Fact::NotWritten(why));
        }
        let at = self.now.mono + self.delay(failures);
        self.unwritten = Some(Unwritten { failures: failures + 1, at: Some(at) });
    }

    pub(super) fn write_in_time(&mut self) {
        let now = self.now.mono;
        let Some(unwritten) =
            self.unwritten.as_mut().filter(|unwritten| unwritten.at.is_some_and(|at| at <= now))
        else {
            return;
        };
        unwritten.at = None;
        self.token.into_iter().for_each(|token| self.acts.push_back(Act::Write(token.id)));
    }
}
