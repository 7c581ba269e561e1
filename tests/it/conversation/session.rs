//! The session in conversations: what is found where the token is kept, how renewals end, how requests to the API end.
//!
//! Inputs: `config session=answer|relay` (there is a session, with renewal; `inject` or `inject-and-repeat`: the server gets the
//! token by its environment), `file ID SECONDS` (the look that is asked for
//! finds this token in the file, with so long to live from now on; `-` for one without end), `file nothing`, `environment ID
//! SECONDS`, `renewed ID SECONDS` (`unwritten WHY` after it where the file could not be written), `renewal-refused STATUS
//! CODE`, `renewal-fails WHY`, `refused REQUEST TOKEN`, `ended TOKEN heard|refused|locked|unreachable`, `lost WHY` (nobody keeps the session), `changed token`.

use std::time::Duration;

use mcp_supervise::engine::io::{Changed, Input, Output};
use mcp_supervise::engine::lease::io::{Act, Claims, End, Event, Found, Renewal, RequestId, Token, TokenId};
use mcp_supervise::engine::lease::{Answer, Options};
use mcp_supervise::engine::upstream::{Inject, OnExpired, Session};
use mcp_supervise::pattern::Pattern;

use super::Stage;

pub(super) fn configured(value: &str) -> Session {
    let injects = value.starts_with("inject");
    Session {
        lease: Options { renew_at: Some(0.6), seed: 0 },
        on_expired: if value == "relay" { OnExpired::Relay } else { OnExpired::Answer },
        api: (!injects).then(|| "http://127.0.0.1:3100".to_owned()),
        remedy: "Run `mcp-supervise setup` in a terminal to begin another session; it is used at once."
            .to_owned(),
        inject: injects
            .then(|| Inject { refused: Pattern::known("401|expired"), repeat: value == "inject-and-repeat" }),
    }
}

/// What is asked for, as it is shown.
pub(super) fn shown(act: &Act) -> String {
    match act {
        Act::Look(_) => "look at the token file".to_owned(),
        Act::Renew(token) => format!("renew token {}", token.0),
        Act::RenewRegardless(token, other) => {
            format!("renew token {}, although the file holds {}", token.0, other.0)
        }
        Act::Write(token) => format!("write token {}", token.0),
        Act::Publish(token) => format!("use token {}", token.0),
        Act::Lack => "there is no token".to_owned(),
        Act::Probe => "ask the API for something".to_owned(),
        Act::Answer(request) => format!("request {} gets what the last renewal came to", request.0),
        Act::Verdict(request, Some(token)) => {
            format!("request {} goes again with token {}", request.0, token.0)
        }
        Act::Verdict(request, None) => format!("request {} gets its refusal", request.0),
        Act::Tell(fact) => panic!("{fact:?} is a note"),
    }
}

impl Stage {
    /// Plays a directive of the session. `false` if it is none.
    pub(super) fn play_session(&mut self, word: &str, rest: &str) -> bool {
        let event = match word {
            "file" => self.found(rest, |file| (file, Found::Nothing)),
            "environment" => self.found(rest, |environment| (Found::Nothing, environment)),
            "renewed" => {
                let (token, written) = rest
                    .split_once(" unwritten ")
                    .map_or((rest, Ok(())), |(token, why)| (token, Err(why.to_owned())));
                Event::Renewed(Renewal::Granted(self.token(token), written))
            }
            "renewal-refused" => {
                let (status, code) = rest.split_once(' ').expect("a status and a code");
                let status = status.parse().expect("a status");
                Event::Renewed(Renewal::Refused(Answer {
                    status,
                    code: Some(code.to_owned()),
                    retry_after: None,
                }))
            }
            "renewal-fails" => Event::Renewed(Renewal::Failed(rest.to_owned())),
            "refused" => {
                let (request, token) = rest.split_once(' ').expect("a request and a token");
                Event::Refused { request: RequestId(number(request)), token: id(token), certain: true }
            }
            "ended" => {
                let (token, end) = rest.split_once(' ').expect("a token and an end");
                Event::Ended(
                    id(token),
                    match end {
                        "heard" => End::Heard,
                        "refused" => End::Refused,
                        "locked" => End::Locked,
                        "unreachable" => End::Unreachable,
                        "unsent" => End::Unsent,
                        "left" => End::Left,
                        other => panic!("no such end: {other}"),
                    },
                )
            }
            "asked" => Event::Asked,
            "lacked" => Event::Lacked,
            "probed" => Event::Probed(if rest == "heard" { End::Heard } else { End::Unsent }),
            "wanted" => Event::Wanted(RequestId(number(rest))),
            "seen" => Event::Seen(self.token(rest)),
            "lost" => Event::Lost(rest.to_owned()),
            "changed" if rest == "token" => {
                self.input(Input::Changed(Changed::Token));
                return true;
            }
            _ => return false,
        };
        self.input(Input::Session(event));
        true
    }

    pub(super) fn notes_look(&mut self, output: &Output) {
        if let Output::Session(Act::Look(look)) = output {
            self.look = Some(*look);
        }
    }

    fn found(&mut self, rest: &str, places: impl Fn(Found) -> (Found, Found)) -> Event {
        let found = if rest == "nothing" { Found::Nothing } else { Found::Token(self.token(rest)) };
        let (file, environment) = places(found);
        Event::Found { look: self.look.take(), file, environment }
    }

    fn token(&self, text: &str) -> Token {
        let (token, seconds) = text.split_once(' ').expect("a token and how long it lives");
        let now = self.now().wall;
        let lives = seconds.parse().ok().map(Duration::from_secs);
        Token { id: id(token), claims: Claims { issued: Some(now), expires: lives.map(|lives| now + lives) } }
    }
}

fn id(token: &str) -> TokenId {
    TokenId(u32::try_from(number(token)).expect("a token"))
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}
