//! The sentences for a person when the server cannot answer, and the data that comes with each.

use super::printed::Looks;
use super::{Trouble, Why};
use crate::engine::backoff::RETRY_ON_CALL;
use crate::engine::guidance::{Guidance, Outcome, Status, last_lines};
use crate::engine::inflight::Pending;
use crate::engine::io::Era;
use crate::engine::phase::Phase;
use crate::engine::{Child, Engine, answers};
use crate::wire::Id;

/// The most that guidance carries of what the server wrote to stderr, in bytes: a chat is no log file.
const TAIL_IN_GUIDANCE: usize = 2048;
/// How many children must have ended with a request for it to count as the cause.
const KILLER: u8 = 2;

/// What seems to have ended the server, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Killer {
    /// This request: once the server had nothing else to work on.
    Itself,
    /// This request or another one: each time the server worked on several.
    OneOfSeveral,
}

impl Killer {
    /// `None` if too few servers have ended with this request to tell.
    fn of(pending: &Pending) -> Option<Self> {
        let killer = if pending.ended_alone { Self::Itself } else { Self::OneOfSeveral };
        Some(killer).filter(|_| pending.ended >= KILLER)
    }
}

/// As much of the end of a text as guidance carries.
pub(super) fn last_of(text: &str) -> &str {
    last_lines(text, TAIL_IN_GUIDANCE)
}

impl Engine {
    /// A call of the status tool while the server runs.
    pub(super) fn status_while_serving(&self, id: &Id) -> String {
        let name = &self.config.name;
        let again = self
            .trouble
            .as_ref()
            .map_or_else(String::new, |trouble| format!(" Before that, {}.", trouble.clause()));
        let story = format!(
            "The MCP server {name:?} is running.{again} Ask for the list of tools to see its own tools."
        );
        let era = if self.is_modern() { Era::Modern } else { Era::Legacy };
        answers::result(id, &answers::text_result(&story, era))
    }

    /// What went wrong last, if it applies to the present server: a command that could not be started does not describe
    /// one that was.
    fn present_trouble(&self) -> Option<&Trouble> {
        let runs = self.child.as_ref().is_some_and(|child| child.runs);
        self.trouble.as_ref().filter(|trouble| trouble.fault.is_none() || !runs)
    }

    /// A running child that has answered nothing, but has printed something.
    fn babbler(&self) -> Option<&Child> {
        self.child.as_ref().filter(|child| !child.served && child.is_ready() && !child.printed.is_empty())
    }

    /// Whether another attempt fails in the same way until a person has changed something.
    fn is_hopeless(&self) -> bool {
        let served = self.child.as_ref().is_some_and(|child| child.served);
        !served && !self.lookup.is_under_way() && self.present_trouble().is_some_and(Trouble::is_permanent)
    }

    /// Guidance about this request.
    pub(in crate::engine) fn guidance(&self, pending: &Pending, why: Why) -> Guidance {
        let trouble = self.present_trouble();
        let outcome = if pending.times_written > 0 { Outcome::Unknown } else { Outcome::NotExecuted };
        // A request that is safe to repeat can be made again, whatever its outcome.
        let again = outcome == Outcome::NotExecuted || self.is_safe(pending);
        let hopeless = self.is_hopeless();
        let babbler = self.babbler().filter(|_| matches!(why, Why::Held | Why::Asked));
        let (status, retryable) = match why {
            Why::Restarted => {
                (Status::ServerRestarted, again && Killer::of(pending) == Some(Killer::OneOfSeveral))
            }
            Why::Stopping if outcome == Outcome::Unknown => (Status::ServerRestarted, false),
            Why::Stopping => (Status::ServerUnavailable, false),
            Why::TooLong => (Status::ServerTimeout, false),
            Why::Held => (Status::ServerTimeout, again && !hopeless),
            Why::QueueFull => (Status::ServerUnavailable, true),
            Why::Unavailable | Why::Asked => (Status::ServerUnavailable, again && !hopeless),
        };
        let waits = self.phase == Phase::Degraded && !self.trying;
        let retry_after = match why {
            Why::Restarted | Why::TooLong | Why::Stopping => None,
            _ if hopeless => None,
            Why::Unavailable | Why::Asked if !retryable => None,
            Why::Unavailable | Why::Asked if waits => {
                Some((self.last_attempt + RETRY_ON_CALL).saturating_sub(self.now.mono))
            }
            Why::Unavailable | Why::Asked | Why::Held | Why::QueueFull => Some(RETRY_ON_CALL),
        };
        let tail = match babbler {
            Some(child) => &*child.printed,
            None => trouble.map_or("", |trouble| last_of(&trouble.tail)),
        };
        // An answer that quotes this child does not describe the end of another one.
        let past = trouble.filter(|_| babbler.is_none());
        Guidance {
            status,
            message: self.message(pending, why, outcome),
            hint: self.hint(pending, why, again),
            retryable,
            outcome: Some(outcome).filter(|_| why != Why::Asked),
            // Rounded up, for a retry must not come too early.
            retry_after_ms: retry_after
                .and_then(|after| u64::try_from(after.as_micros().div_ceil(1000)).ok()),
            server: self.config.name.clone(),
            // If we ended the server, the reason says more than the signal that we sent.
            exit: past
                .filter(|trouble| trouble.reason.is_none())
                .and_then(|trouble| trouble.exit)
                .map(|exit| exit.to_string()),
            restarts: Some(self.restarts()).filter(|restarts| *restarts > 0),
            stderr_tail: Some(tail.to_owned()).filter(|tail| !tail.is_empty()),
            detail: past.and_then(|trouble| self.detail(trouble.fault.as_ref(), trouble.exit)),
        }
    }

    /// The sentence for the person.
    fn message(&self, pending: &Pending, why: Why, outcome: Outcome) -> String {
        let name = &self.config.name;
        let effect = match outcome {
            _ if why == Why::Asked => "",
            Outcome::NotExecuted => ", so this request was not executed",
            Outcome::Unknown => ", so whether this request took effect is unknown",
        };
        let clause = self.present_trouble().map(Trouble::clause);
        let because = clause.as_ref().map_or_else(String::new, |clause| format!(" ({clause})"));
        let babbler = self.babbler();
        match why {
            Why::Restarted => {
                let words = clause.unwrap_or_else(|| "it ended".to_owned());
                let culprit = match Killer::of(pending) {
                    None => {
                        return format!(
                            "The MCP server {name:?} stopped while it ran this request ({words}){effect}."
                        );
                    }
                    Some(Killer::Itself) => "the call itself seems to end it",
                    Some(Killer::OneOfSeveral) => "this call or another that ran beside it seems to end it",
                };
                let call = pending
                    .name
                    .as_ref()
                    .map_or_else(|| format!("{:?}", pending.method), |tool| format!("call of {tool:?}"));
                format!(
                    "The MCP server {name:?} got this {call} twice, because it is safe to repeat, and ended both times ({words}): {culprit}, and whether it took effect is unknown."
                )
            }
            Why::Held if self.phase == Phase::Draining => {
                let reason = self.child.as_ref().and_then(|child| child.leaving).unwrap_or("it is replaced");
                format!(
                    "The MCP server {name:?} still runs another request before it is started again ({reason}){effect}."
                )
            }
            Why::Held | Why::Asked if let Some(child) = babbler => {
                let since = self.now.mono.saturating_sub(child.spawned).as_secs();
                format!(
                    "The MCP server {name:?} has been running for {since} s and has printed something, but has answered nothing yet{effect}."
                )
            }
            Why::Held if self.is_hopeless() => {
                format!("The MCP server {name:?} is not running{because}{effect}.")
            }
            Why::Held => format!("The MCP server {name:?} is not ready yet{because}{effect}."),
            Why::Asked if self.is_unasked() => {
                format!("The MCP server {name:?} runs and has not been asked for anything yet.")
            }
            Why::Asked if self.phase != Phase::Degraded && clause.is_none() => {
                format!("The MCP server {name:?} is being started and has not answered yet.")
            }
            Why::TooLong => {
                let limit = self.config.call_timeout.unwrap_or_default();
                format!(
                    "The MCP server {name:?} has not answered within {limit:?}{effect}; the request was cancelled."
                )
            }
            Why::QueueFull => format!("Too many requests wait for the MCP server {name:?}{because}{effect}."),
            Why::Stopping => format!("The MCP server {name:?} is being stopped{effect}."),
            Why::Unavailable | Why::Asked if self.trying || self.phase != Phase::Degraded => {
                format!("The MCP server {name:?} is being started again{because}{effect}.")
            }
            Why::Unavailable | Why::Asked => {
                format!("The MCP server {name:?} is not running{because}{effect}.")
            }
        }
    }

    /// Whether the child waits for the host: in the modern era a child answers nothing before it is asked.
    fn is_unasked(&self) -> bool {
        self.phase == Phase::Starting
            && self.child.as_ref().is_some_and(|child| child.is_ready() && child.asked_at.is_none())
    }

    /// What to do. `again` is whether the request may be made again, whatever its outcome.
    fn hint(&self, pending: &Pending, why: Why, again: bool) -> String {
        const CHECK: &str = "Check whether the request took effect before making it again";
        let command = &self.config.command;
        let look = format!("run this in a terminal to see why: {command}");
        let babbler = self.babbler().filter(|_| matches!(why, Why::Held | Why::Asked));
        match why {
            Why::Stopping => return "Connect to the server again.".to_owned(),
            Why::Restarted if Killer::of(pending) == Some(Killer::OneOfSeveral) => {
                return format!(
                    "Make this call again alone: if the server ends again, this call is the cause. The server's last output may tell more; if it does not, {look}"
                );
            }
            Why::Restarted if Killer::of(pending) == Some(Killer::Itself) => {
                return format!(
                    "Do not make the same call again: change what it asks for, or use another tool. The server's last output may tell why; if it does not, {look}"
                );
            }
            Why::Restarted => return format!("{CHECK}."),
            Why::TooLong => {
                return format!("{CHECK}, or ask for less at once; --call-timeout sets the limit.");
            }
            Why::Held if self.phase == Phase::Draining && again => {
                return "Try again when that request is done, or in half a minute.".to_owned();
            }
            Why::Held | Why::Asked | Why::QueueFull | Why::Unavailable => {}
        }
        if let Some(child) = babbler {
            let hint = Looks::of(&child.printed).hint(command);
            return if again { hint } else { format!("{CHECK}. {hint}") };
        }
        let served = self.child.as_ref().is_some_and(|child| child.served);
        if let Some(trouble) = self.present_trouble().filter(|_| !served) {
            if let Some(hint) = trouble.cause.hint(command) {
                return hint;
            }
            if trouble.is_always_the_same() && again {
                return format!(
                    "It fails in the same way each time, so trying again will not help until the cause is fixed. Read its last output, and {look}"
                );
            }
        }
        match why {
            _ if !again => format!("{CHECK}. If the server stays away, {look}"),
            Why::Asked if self.is_unasked() => "Ask for the list of tools to see its own tools.".to_owned(),
            Why::Unavailable => format!(
                "Try again in a few seconds: a call starts the server again. If it stays away, {look}"
            ),
            Why::Restarted | Why::Held | Why::TooLong | Why::Asked | Why::QueueFull | Why::Stopping => {
                format!("Try again in a few seconds. If it stays like this, {look}")
            }
        }
    }

    /// The answer to a request whose answer is longer than the host would take.
    pub(in crate::engine) fn answer_too_large(&mut self, id: &Id, len: u64) {
        let name = &self.config.name;
        let limit = self.config.max_answer;
        // A shorter answer was refused by the limit on what is read, which the engine does not know.
        let (limit, cut) = if len > limit as u64 {
            (format!("{limit} bytes (--max-answer)"), " Hosts cut the connection at 10 MiB.")
        } else {
            ("--max-line".to_owned(), "")
        };
        let guidance = Guidance {
            status: Status::AnswerTooLarge,
            message: format!(
                "The answer of the MCP server {name:?} is {len} bytes long, more than the limit of {limit}, so the host did not get it."
            ),
            hint: format!("Ask for less at once: a smaller range, fewer items, a filter.{cut}"),
            retryable: false,
            outcome: Some(Outcome::Unknown),
            retry_after_ms: None,
            server: name.clone(),
            exit: None,
            restarts: None,
            stderr_tail: None,
            detail: None,
        };
        self.answer_with_guidance(id, &guidance);
    }
}
