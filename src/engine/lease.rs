//! The life of the session token: whether it serves, when it is renewed, and what follows when an API refuses it.
//!
//! The tokens themselves are not in here. Whoever holds them gives each a number ([`TokenId`]), the same for the same
//! text, and hands in what it says of itself ([`io::Claims`]). What is to be done comes out as [`Act`]s, one stream of them:
//!
//! ```text
//!  what was found where it is kept  --.              .-->  Look, Renew, Write
//!  how a renewal ended              --+--> Lease ----+-->  Publish: this one serves from now on
//!  a request was refused, or ended  --|              |-->  Verdict on a refused request
//!  the time                         --'              '-->  Tell: what happened, for logs
//! ```
//!
//! Times that a token names are wall-clock time, which may jump and goes on while the machine sleeps; waiting is measured in
//! monotonic time. So a point of wall-clock time is never waited for in one piece, but for a minute at most, and is compared each time.
//!
//! # Invariants
//! 1. At most one renewal is under way.
//! 2. Each refused request gets one verdict, within 7 s; it is repeated only with another token than the
//!    one that was refused.
//! 3. A token is given up only because its time has passed, or because the API has said so of this very token.
//! 4. What serves is what was published last.
//! 5. One token is not renewed twice without a pause.
//! 6. Each request of the server for a renewal gets one answer, once no renewal is under way.

mod answer;
pub mod io;
mod refusal;
mod renewal;
#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

pub use self::answer::Answer;

use self::io::{Act, Cause, Event, Fact, Found, RequestId, Standing, Token, TokenId};
use self::refusal::{ANSWER, Doubt, Refusal};
use self::renewal::{Schedule, Unwritten};
use super::io::Now;
use super::planted;

/// How often the file is looked at besides, and how long a point of wall-clock time is waited for in one piece.
const LOOK: Duration = Duration::from_secs(60);
/// How many tokens that are over are remembered.
const REMEMBERED: usize = 64;
/// A token that ends earlier than this before now, or later than this after, does not tell the time.
const PAST: Duration = Duration::from_secs(10 * 366 * 24 * 3600);
const FUTURE: Duration = Duration::from_secs(367 * 24 * 3600);

/// How tokens are renewed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// At which part of its life a token is renewed, above 0 and below 1. `None`: never.
    pub renew_at: Option<f64>,
    /// Where the jitter of retries begins.
    pub seed: u64,
}

/// The token's life.
#[derive(Debug)]
pub struct Lease {
    options: Options,
    now: Now,
    token: Option<Token>,
    standing: Standing,
    schedule: Schedule,
    /// Which token the API was last asked to renew, and when. `None` before.
    asked: Option<(TokenId, Duration)>,
    /// What is under way renews the token whatever the file holds.
    regardless: bool,
    /// The token was once too early for a renewal.
    was_early: bool,
    /// Tokens that are over: the API has refused them, or they were renewed. The oldest are forgotten.
    over: BTreeSet<TokenId>,
    doubt: Option<Doubt>,
    refusals: VecDeque<Refusal>,
    /// How often was looked so far.
    looks: u64,
    /// The last look that was answered.
    answered: u64,
    /// When is looked next, in monotonic time.
    look_at: Duration,
    unwritten: Option<Unwritten>,
    /// Requests of the server for a renewal, which wait for one that is under way.
    wanted: Vec<RequestId>,
    /// What was planned when the renewal that is under way was begun before its time.
    planned: Option<Schedule>,
    /// When the last renewal succeeded, in monotonic time.
    granted_at: Option<Duration>,
    /// When a request was last let through although the session has expired.
    probed: Option<Duration>,
    /// What was told of the file last: it is told once.
    unusable: Option<String>,
    /// When. `None` before the first time.
    unusable_at: Option<Duration>,
    seed: u64,
    acts: VecDeque<Act>,
    #[cfg(test)]
    pub(super) planted: Option<super::sim::Bug>,
}

impl Lease {
    /// Without a token. Its first act is to look for one.
    pub fn new(options: Options, now: Now) -> Self {
        Self {
            options,
            now,
            token: None,
            standing: Standing::Unknown,
            schedule: Schedule::Never,
            asked: None,
            regardless: false,
            was_early: false,
            over: BTreeSet::new(),
            doubt: None,
            refusals: VecDeque::new(),
            looks: 1,
            answered: 0,
            look_at: now.mono + LOOK,
            unwritten: None,
            wanted: Vec::new(),
            planned: None,
            granted_at: None,
            probed: None,
            unusable: None,
            unusable_at: None,
            seed: options.seed,
            acts: VecDeque::from([Act::Look(1)]),
            #[cfg(test)]
            planted: None,
        }
    }

    /// One thing has happened, at this time.
    pub fn handle(&mut self, now: Now, event: Event) {
        self.now = Now { mono: self.now.mono.max(now.mono), wall: now.wall };
        match event {
            Event::Found { look, file, environment } => {
                // What an earlier look has found is no news after a later one.
                if look.is_none_or(|look| look >= self.answered) {
                    self.answered = look.unwrap_or(self.answered);
                    self.found(&file, &environment);
                }
                self.looked(look);
            }
            Event::Stirred => _ = self.look(),
            Event::Renewed(renewal) => self.renewed(renewal),
            Event::Written(token, written) => self.written(token, written),
            Event::Refused { request, token, certain } => {
                // Who has put another one into the file may have done so before anybody could tell.
                if self.other_than(token).is_none() && self.answered == self.looks {
                    self.look();
                }
                let arrived = self.now.mono;
                self.refusals.push_back(Refusal { request, token, certain, arrived, looking: None });
            }
            Event::Wanted(request) => self.wanted(request),
            Event::Seen(token) => self.seen(token),
            Event::Ended(token, end) => self.ended(token, end),
            Event::Asked | Event::Lacked | Event::Probed(_) | Event::Lost(_) | Event::Timer => {}
        }
        self.settle();
    }

    /// The next thing to do. `None` when there is nothing more to do until the next event.
    pub fn poll(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    /// How it stands.
    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether a token is used against which nothing has been said.
    pub fn is_trusted(&self) -> bool {
        self.standing == Standing::Active && self.doubt.is_none()
    }

    /// When [`Event::Timer`] is wanted, in monotonic time.
    pub fn deadline(&self) -> Duration {
        let (mono, wall) = (self.now.mono, self.now.wall);
        // What is told by the wall clock is looked at again and again: nobody says when that clock jumps.
        let at_wall = |at: Duration| mono + at.saturating_sub(wall).min(LOOK);
        let schedule = match self.schedule {
            Schedule::At(at) if self.standing == Standing::Active => Some(at_wall(at)),
            Schedule::Again(at, _) if self.standing == Standing::Active => Some(at),
            Schedule::Never | Schedule::At(_) | Schedule::Again(..) | Schedule::UnderWay(..) => None,
        };
        let end = self.token.and_then(|token| token.claims.expires);
        let end = end.filter(|_| self.standing == Standing::Active).map(at_wall);
        let refusals = self.refusals.iter().map(|refusal| self.due(refusal));
        let write = self.unwritten.and_then(|unwritten| unwritten.at);
        let doubt = self.doubt.map(|doubt| doubt.since + ANSWER);
        [schedule, end, write, doubt].into_iter().flatten().chain(refusals).fold(self.look_at, Duration::min)
    }

    /// Whether [`Event::Timer`] is wanted now: also because the wall clock has jumped, or the machine has slept.
    pub fn is_due(&self, now: Now) -> bool {
        let end = self.token.and_then(|token| token.claims.expires);
        let renewal = matches!(self.schedule, Schedule::At(at) if at <= now.wall);
        let over = end.is_some_and(|end| end <= now.wall);
        self.deadline() <= now.mono || self.standing == Standing::Active && (renewal || over)
    }

    /// The upkeep after every event.
    fn settle(&mut self) {
        self.look_in_time();
        self.expire_in_time();
        self.renew_in_time();
        self.write_in_time();
        self.judge();
    }

    fn tell(&mut self, fact: Fact) {
        self.acts.push_back(Act::Tell(fact));
    }

    fn look_in_time(&mut self) {
        if self.now.mono >= self.look_at {
            self.look();
        }
    }

    fn look(&mut self) -> u64 {
        self.looks += 1;
        self.look_at = self.now.mono + LOOK;
        self.acts.push_back(Act::Look(self.looks));
        self.looks
    }

    /// Why a token cannot be used; `None` if it can.
    fn objection(&self, token: &Token) -> Option<&'static str> {
        let wall = self.now.wall;
        match token.claims.expires {
            _ if self.over.contains(&token.id) => Some("holds a token that is over"),
            Some(end) if end.saturating_add(PAST) < wall || end > wall.saturating_add(FUTURE) => {
                Some("holds a token whose `exp` is no time of our days")
            }
            Some(end) if end <= wall => Some("holds a token that has expired"),
            _ => None,
        }
    }

    fn found(&mut self, file: &Found, environment: &Found) {
        let usable = |found: &Found| match found {
            Found::Token(token) if self.objection(token).is_none() => Some(*token),
            Found::Token(_) | Found::Nothing | Found::Unusable(_) => None,
        };
        let in_file = usable(file);
        // What the environment holds is as old as this process: it counts only where there is no file.
        let in_environment = usable(environment).filter(|_| *file == Found::Nothing);
        let ours = self.token.filter(|_| self.standing == Standing::Active);
        let problem = match file {
            Found::Unusable(why) => Some(why.clone()),
            Found::Token(token) => self.objection(token).map(str::to_owned),
            Found::Nothing => None,
        };
        // What is told of our own token is told by its end, and that the file still holds the one before it is known.
        let before = |token: &Token| self.unwritten.is_some() && self.over.contains(&token.id);
        let is_ours = |token: &Token| self.token.is_some_and(|ours| ours.id == token.id);
        let known = matches!(file, Found::Token(token) if is_ours(token) || before(token));
        // A file in which there is something else each time is told of once a minute.
        let told = self.unusable_at.is_some_and(|at| self.now.mono < at + LOOK);
        if !known && problem != self.unusable && (problem.is_none() || !told) {
            self.unusable.clone_from(&problem);
            if let Some(why) = problem {
                self.unusable_at = Some(self.now.mono);
                self.tell(Fact::NotUsable(why));
            }
        }
        match (in_file, ours) {
            (Some(token), Some(ours)) if token.id == ours.id => {}
            (Some(token), _) => self.adopt(token),
            // The file has gone, or holds nothing better: what we have serves on.
            (None, Some(_)) => {}
            (None, None) => in_environment.into_iter().for_each(|token| self.adopt(token)),
        }
        if self.standing == Standing::Unknown {
            self.standing = Standing::Absent;
            self.tell(Fact::Absent);
            self.acts.push_back(Act::Lack);
        }
    }

    /// What waited for this look has waited long enough.
    fn looked(&mut self, look: Option<u64>) {
        let Some(look) = look else { return };
        if let Some(doubt) = self.doubt.take_if(|doubt| doubt.look <= look) {
            self.give_up(doubt.token, doubt.cause);
        }
        for number in (0..self.refusals.len()).rev() {
            if self.refusals[number].looking.is_some_and(|(waited, _)| waited <= look)
                && let Some(refusal) = self.refusals.remove(number)
            {
                self.sentence(refusal);
            }
        }
    }

    /// When the token that is used ends, in wall-clock time. `None` if it does not, or none is used.
    pub fn expires(&self) -> Option<Duration> {
        self.token.filter(|_| self.standing == Standing::Active)?.claims.expires
    }

    /// Uses another token from now on.
    fn adopt(&mut self, token: Token) {
        let same = self.token.is_some_and(|ours| ours.id == token.id);
        self.tell(if same { Fact::Revived(token.id) } else { Fact::Adopted(token.id) });
        self.take(token);
    }

    fn take(&mut self, token: Token) {
        if self.token.is_none_or(|ours| ours.id != token.id) {
            self.unwritten = None;
        }
        self.token = Some(token);
        self.standing = Standing::Active;
        self.was_early = false;
        self.doubt = None;
        if !matches!(self.schedule, Schedule::UnderWay(..)) {
            self.schedule = self.scheduled(&token);
        }
        self.acts.push_back(Act::Publish(token.id));
    }

    fn expire_in_time(&mut self) {
        let end = self.token.and_then(|token| token.claims.expires);
        if self.standing == Standing::Active && end.is_some_and(|end| end <= self.now.wall) {
            self.expire(Cause::Time);
        }
    }

    fn expire(&mut self, cause: Cause) {
        if let (Some(token), true) = (self.token, cause != Cause::Time) {
            self.is_over(token.id);
        }
        self.standing = Standing::Expired(cause);
        self.probed = None;
        self.tell(Fact::Expired(cause));
    }

    fn is_over(&mut self, token: TokenId) {
        self.over.insert(token);
        if self.over.len() > REMEMBERED {
            self.over.pop_first();
        }
    }
}
