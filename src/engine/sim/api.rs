//! The model of an API with sessions, of the file in which its token is kept, and of the gateway on the way to it.
//!
//! It knows which token is good. Others renew the session behind our back, revoke it, write to the file; answers are lost.

use std::collections::BTreeMap;
use std::time::Duration;

use super::check_inject::REFUSED;
use super::rng::Rng;
use super::world::{Event, Sched};
use crate::engine::io::{Changed, Input};
use crate::engine::lease::io::{Act, Claims, End, Event as News, Found, Renewal, RequestId, Token, TokenId};
use crate::engine::lease::{Answer, Options};
use crate::engine::upstream::{Inject, OnExpired, Session};
use crate::pattern::Pattern;

/// What is going to happen to the session.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    /// The file is read for this look.
    Looks(u64),
    /// A renewal of this token reaches the API, or is not made because of what the file holds.
    Renews(u32, bool),
    /// Its answer arrives.
    Answers(Renewal),
    Writes(u32),
    /// A request of the server reaches the API with this token.
    Asks(u32),
    /// We ask, to see whether it answers.
    Probes,
    /// A refused one does once more.
    AsksAgain(u32),
    /// Somebody else does something.
    Others,
}

/// A token, as the API knows it.
#[derive(Clone, Copy, Debug)]
struct Truth {
    claims: Claims,
    good: bool,
}

/// The API, and what lies in the file.
#[derive(Debug)]
pub(super) struct Api {
    tokens: BTreeMap<u32, Truth>,
    file: Found,
    /// What the gateway puts on requests.
    used: Option<u32>,
    refused: BTreeMap<u64, u32>,
    requests: u64,
}

impl Api {
    /// How the engine is told of it.
    pub(super) fn session(rng: &mut Rng, seed: u64) -> Session {
        Session {
            lease: Options { renew_at: rng.percent(85).then_some(0.6), seed },
            on_expired: if rng.percent(85) { OnExpired::Answer } else { OnExpired::Relay },
            api: Some("http://127.0.0.1:3100".to_owned()),
            remedy: "Begin another session.".to_owned(),
            inject: rng
                .percent(40)
                .then(|| Inject { refused: Pattern::known(REFUSED), repeat: rng.percent(40) }),
        }
    }

    pub(super) fn new(sched: &mut Sched) -> Self {
        let mut api = Self {
            tokens: BTreeMap::new(),
            file: Found::Nothing,
            used: None,
            refused: BTreeMap::new(),
            requests: 0,
        };
        if sched.rng.percent(85) {
            api.file = Found::Token(api.issue(sched));
        }
        api
    }

    fn revoke(&mut self, sched: &mut Sched) {
        self.tokens.values_mut().for_each(|token| token.good = false);
        sched.good = None;
    }

    /// What the engine has last published.
    pub(super) fn used(&self) -> Option<u32> {
        self.used
    }

    /// A new token, the only good one from now on.
    fn issue(&mut self, sched: &mut Sched) -> Token {
        self.revoke(sched);
        let lives = *sched.rng.pick(&[Some(10), Some(60), Some(60), Some(600), None]);
        let expires = lives.map(|lives| sched.wall() + Duration::from_secs(lives));
        let claims = Claims { issued: Some(sched.wall()), expires };
        let id = u32::try_from(self.tokens.len()).unwrap() + 1;
        self.tokens.insert(id, Truth { claims, good: true });
        sched.good = Some((id, expires));
        Token { id: TokenId(id), claims }
    }

    fn is_good(&self, token: u32, wall: Duration) -> bool {
        let truth = self.tokens[&token];
        truth.good && truth.claims.expires.is_none_or(|end| end > wall)
    }

    /// Does what the engine asks for, some time later.
    pub(super) fn performs(&mut self, act: &Act, sched: &mut Sched) {
        let soon = sched.rng.mostly(90, 5, 3000);
        match *act {
            Act::Look(look) => {
                if !sched.rng.percent(2) {
                    sched.after(soon, Event::Session(Deed::Looks(look)));
                }
            }
            Act::Renew(token) => sched.after(soon, Event::Session(Deed::Renews(token.0, false))),
            Act::RenewRegardless(token, _) => sched.after(soon, Event::Session(Deed::Renews(token.0, true))),
            Act::Write(token) => sched.after(soon, Event::Session(Deed::Writes(token.0))),
            Act::Publish(token) => self.used = Some(token.0),
            Act::Lack => self.used = None,
            Act::Verdict(request, again) => {
                let token = self.refused.remove(&request.0);
                match (again, token) {
                    (Some(again), _) => sched.after(soon, Event::Session(Deed::AsksAgain(again.0))),
                    (None, Some(token)) => {
                        let ended = Input::Session(News::Ended(TokenId(token), End::Refused));
                        sched.after(Duration::ZERO, Event::Happens(ended));
                    }
                    (None, None) => {}
                }
            }
            Act::Probe => sched.after(soon, Event::Session(Deed::Probes)),
            Act::Answer(_) | Act::Tell(_) => {}
        }
    }

    /// The server asks the API for something, with what the gateway has.
    pub(super) fn is_asked(&mut self, sched: &mut Sched) {
        let soon = sched.rng.mostly(90, 5, 3000);
        if self.used.is_some() && sched.rng.percent(4) {
            self.requests += 1;
            let wanted = Input::Session(News::Wanted(RequestId(self.requests)));
            return sched.after(soon, Event::Happens(wanted));
        }
        if self.used.is_some() {
            sched.after(Duration::ZERO, Event::Happens(Input::Session(News::Asked)));
        }
        sched.after(
            soon,
            match self.used {
                Some(token) => Event::Session(Deed::Asks(token)),
                None => Event::Happens(Input::Session(News::Lacked)),
            },
        );
    }

    /// What the engine hears of it. `None` if nothing.
    pub(super) fn does(&mut self, deed: Deed, sched: &mut Sched) -> Option<News> {
        match deed {
            Deed::Looks(look) => {
                Some(News::Found { look: Some(look), file: self.file.clone(), environment: Found::Nothing })
            }
            Deed::Renews(token, regardless) => {
                self.renews(token, regardless, sched);
                None
            }
            Deed::Answers(renewal) => Some(News::Renewed(renewal)),
            Deed::Writes(token) => {
                let written = self.writes(token, sched);
                Some(News::Written(TokenId(token), written))
            }
            Deed::Asks(token) => Some(self.asks(token, sched)),
            Deed::AsksAgain(token) => {
                let end = if self.is_good(token, sched.wall()) { End::Heard } else { End::Refused };
                Some(News::Ended(TokenId(token), end))
            }
            Deed::Probes => Some(News::Probed(match (sched.rng.below(100), self.used) {
                (0..20, _) => End::Unreachable,
                (20..40, _) => End::Unsent,
                (40..60, _) => End::Locked,
                (_, Some(token)) if self.is_good(token, sched.wall()) => End::Heard,
                _ => End::Refused,
            })),
            Deed::Others => self.others(sched),
        }
    }

    fn asks(&mut self, token: u32, sched: &mut Sched) -> News {
        let id = TokenId(token);
        match sched.rng.below(100) {
            0..4 => News::Ended(id, End::Unreachable),
            4..8 => News::Ended(id, End::Unsent),
            8..15 => News::Ended(id, End::Locked),
            15 => News::Ended(id, End::Left),
            _ if self.is_good(token, sched.wall()) => News::Ended(id, End::Heard),
            // Its body was too long to be kept.
            16..25 => News::Ended(id, End::Refused),
            _ => {
                self.requests += 1;
                self.refused.insert(self.requests, token);
                News::Refused { request: RequestId(self.requests), token: id, certain: true }
            }
        }
    }

    fn renews(&mut self, token: u32, regardless: bool, sched: &mut Sched) {
        if let Found::Token(other) = self.file
            && other.id.0 != token
            && !regardless
        {
            return sched.after(Duration::ZERO, Event::Session(Deed::Answers(Renewal::Superseded(other))));
        }
        let failed = || Renewal::Failed("no answer".to_owned());
        let refused = |status, code: &str| {
            Renewal::Refused(Answer { status, code: Some(code.to_owned()), retry_after: None })
        };
        let renewal = match sched.rng.below(100) {
            0..20 => failed(),
            20..25 => refused(403, "RENEWAL_TOO_EARLY"),
            25..28 => refused(403, "RENEWAL_LIMIT_REACHED"),
            28..31 => refused(429, "SLOW_DOWN"),
            _ if !self.is_good(token, sched.wall()) => {
                let code: &&str = sched.rng.pick(&["SESSION_REVOKED", "SESSION_RENEWAL_MISMATCH"]);
                refused(403, code)
            }
            // The answer is lost, and the new token with it.
            31..35 => {
                self.issue(sched);
                failed()
            }
            _ => {
                let new = self.issue(sched);
                let written = self.writes(new.id.0, sched);
                Renewal::Granted(new, written)
            }
        };
        let soon = sched.rng.mostly(70, 20, 6000);
        sched.after(soon, Event::Session(Deed::Answers(renewal)));
    }

    fn writes(&mut self, token: u32, sched: &mut Sched) -> Result<(), String> {
        if sched.rng.percent(15) {
            return Err("cannot be written: no space".to_owned());
        }
        let claims = self.tokens[&token].claims;
        self.file = Found::Token(Token { id: TokenId(token), claims });
        Ok(())
    }

    fn others(&mut self, sched: &mut Sched) -> Option<News> {
        match sched.rng.below(40) {
            // Whoever led requests to it is gone.
            39 if sched.rng.percent(20) => return Some(News::Lost("it has panicked".to_owned())),
            // Another supervisor renews it.
            0..16 => self.file = Found::Token(self.issue(sched)),
            // Somebody renews it and keeps the token.
            16..20 => _ = self.issue(sched),
            20..28 => self.revoke(sched),
            28..32 => self.file = Found::Nothing,
            32..36 => self.file = Found::Unusable("is empty".to_owned()),
            // The machine sleeps, or its clock is set.
            _ => sched.clock_jumps(),
        }
        if sched.rng.percent(80) {
            let soon = sched.rng.mostly(90, 50, 3000);
            sched.after(soon, Event::Happens(Input::Changed(Changed::Token)));
        }
        None
    }
}
