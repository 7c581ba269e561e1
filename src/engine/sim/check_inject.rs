//! The token in the server's environment: a server gets the newest one, and a call that was refused is withheld, then made
//! once more with another token or told.

use std::time::Duration;

use super::Violation;
use super::books::{Kid, Request};
use super::check::{Checked, Checker, Seen, violated};
use super::check_session::VERDICT;
use super::parse::{self, Message};
use crate::engine::phase::Phase;

/// What a tool says whose token the API has refused.
pub(super) const REFUSED: &str = "401 unauthorized";
/// How long the first child waits for its token.
const FIRST_LOOK: Duration = Duration::from_secs(1);
/// How often a server is started again for another token.
const PAUSE: Duration = Duration::from_secs(5);

/// What is known of it.
#[derive(Debug)]
pub(super) struct Injection {
    /// Refused calls are made again whatever their tools declare.
    pub repeats: bool,
    /// When a child was last replaced for another token, or was to be.
    pub replaced: Duration,
    /// When the last replacement for another token began, and whether a call was refused since.
    began: Option<Duration>,
    refused: bool,
}

/// Whether a result says that the token was refused.
pub(super) fn says_refused(message: &Message) -> bool {
    let result = message.result.as_ref().filter(|result| result["isError"] == true);
    result.is_some_and(|result| {
        result["content"][0]["text"].as_str().is_some_and(|text| text.contains(REFUSED))
    })
}

impl Checker {
    /// The server gets the token by its environment: it is started when that is known.
    pub(super) fn injects(&mut self, repeats: bool) {
        self.injection = Some(Injection { repeats, replaced: Duration::ZERO, began: None, refused: false });
        self.phase = Phase::Waiting;
        // Nobody, in the place of a child.
        self.kids.insert(0, Kid { gone: true, ..Kid::new(Duration::ZERO, false, None) });
    }

    /// The token that a child which is started now gets.
    pub(super) fn token_to_inject(&self) -> Option<u32> {
        self.injection.as_ref().and_then(|_| self.session.used())
    }

    /// A child was replaced for this reason.
    pub(super) fn replaced_because(&mut self, reason: &str) -> Checked {
        let (now, began) =
            (self.now, if self.phase == Phase::Draining { self.phase_since } else { self.now });
        let Some(injection) = self.injection.as_mut().filter(|_| reason.contains("token")) else {
            return Ok(());
        };
        injection.replaced = now;
        let last = injection.began.replace(began);
        if last.is_some_and(|last| began < last + PAUSE) && !std::mem::take(&mut injection.refused) {
            violated!("a server is not replaced for each token", "at {began:?}, and at {last:?} before");
        }
        self.cover.hit("server started again with another token");
        Ok(())
    }

    /// The result of a call is withheld.
    pub(super) fn is_refused(&mut self, id: &str, again: bool) -> Checked {
        let Seen::Child(child, said) = self.current.clone() else {
            violated!("only a refused call is withheld", "nobody has said so: {id}");
        };
        let is_it = |own: &Message| own.id.as_deref() == Some(id) && says_refused(own);
        let said = said.inner.iter().filter_map(|inner| parse::message(inner)).any(|own| is_it(&own));
        let token = self.kids[&child].token;
        let Some(request) = self.open.get_mut(id).filter(|request| {
            said && request.at == Some(child) && !request.cancelled && self.injection.is_some()
        }) else {
            violated!("only a refused call is withheld", "{id}");
        };
        if request.message.method() != "tools/call" || again != (request.refused > 0) {
            violated!("only a refused call is withheld", "{again}: {}", request.line);
        }
        request.at = None;
        request.refused += 1;
        request.refused_with = token;
        request.withheld = Some(self.now);
        self.session.accuse(token);
        if let Some(injection) = &mut self.injection {
            injection.refused = true;
        }
        self.cover.hit("refused call withheld");
        Ok(())
    }

    /// A request is put in front of what waits.
    pub(super) fn is_repeated(&mut self, id: &str) {
        self.cover.hit("request repeated");
        let now = self.now;
        if let Some(request) = self.open.get_mut(id)
            && request.withheld.take().is_some()
        {
            request.waits_since = now;
        }
    }

    /// A call is written to this child once more.
    pub(super) fn is_made_again(&mut self, child: u32, request: &Request) -> Checked {
        if request.refused == 0 {
            return Ok(());
        }
        if request.withheld.is_some() || request.refused > 1 {
            violated!("a refused call is made again once", "{}", request.line);
        }
        if self.kids[&child].token == request.refused_with {
            violated!("a refused call is made again with another token", "{}", request.line);
        }
        self.cover.hit("refused call made again");
        Ok(())
    }

    /// We tell that a call was refused.
    pub(super) fn tells_refused(&mut self, request: &Request, line: &str) -> Checked {
        let verdict = request.withheld.is_some() && request.refused == 1 && self.phase != Phase::Stopping;
        let other =
            self.session.used() != request.refused_with && self.session.is_alive() && !self.session.is_lost();
        let may =
            request.safe && self.is_safe(request) || self.injection.as_ref().is_some_and(|it| it.repeats);
        let limit = self.rules.call_timeout.filter(|_| request.withheld.is_some());
        let over = limit.is_some_and(|limit| self.now >= request.at_since + limit);
        // The host's other id may have been used again, which is not the same call.
        if verdict && !over && other && may && request.written.len() < 2 {
            violated!("a refused call is made again where it may be", "{line}");
        }
        self.cover.hit("refused call told");
        Ok(())
    }

    pub(super) fn inject_ends(&self) -> Checked {
        let Some(injection) = &self.injection else { return Ok(()) };
        if self.living == 0 {
            if self.now > FIRST_LOOK && !matches!(self.phase, Phase::Stopping | Phase::Stopped) {
                violated!("the first child does not wait long for its token", "{}", self.phase);
            }
            return Ok(());
        }
        let kid = &self.kids[&self.living];
        let since = self.session.used_since().max(kid.serving_since.unwrap_or_default());
        let by = since.max(injection.replaced + PAUSE);
        let old = kid.token != self.session.used();
        if self.phase == Phase::Serving && old && kid.exit.is_none() && !kid.laddered && self.now > by {
            violated!("a server has the newest token", "{:?} since {since:?}", kid.token);
        }
        if let Some(late) = self.open.values().find(|request| {
            request.withheld.is_some_and(|since| {
                self.now > since + VERDICT && !self.is_doubted(request) || request.refused > 1
            })
        }) && self.phase != Phase::Stopping
        {
            violated!("a withheld call is answered soon", "{}", late.line);
        }
        Ok(())
    }
}
