//! What is told when a request cannot be served: which answer a method gets, and the sentences in it.

use std::collections::BTreeMap;

use super::backoff::RETRY_ON_CALL;
use super::compare::SeenPage;
use super::era::{self, Opening};
use super::guidance::{Guidance, Outcome, Status, exit_words, last_lines};
use super::inflight::Pending;
use super::io::{Era, Exit, Gen, SpawnFault};
use super::note::DropCause;
use super::phase::Phase;
use super::timers::Timer;
use super::upstream::State;
use super::{Engine, answers, as_array, book, planted};
use crate::wire::{Id, ListPage};

/// The most that guidance carries of what the server wrote to stderr, in bytes: a chat is no log file.
const TAIL_IN_GUIDANCE: usize = 2048;

/// Why we answer ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// No server is there, and none is expected soon.
    Unavailable,
    /// The server died with the request in flight.
    Restarted,
    /// It has waited long enough.
    Held,
    /// The server has had it for longer than it may take.
    TooLong,
    /// Too much waits already.
    QueueFull,
    /// We are about to end.
    Stopping,
}

/// The last thing that went wrong with the server.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    /// How it ended. `None` if it did not even start.
    exit: Option<Exit>,
    /// What it last wrote to stderr, masked.
    tail: String,
    /// Why it could not be started, and in the system's words, masked.
    fault: Option<(SpawnFault, String)>,
    /// Why we ended it, where we did: one clause, masked.
    reason: Option<String>,
}

impl Trouble {
    pub(super) fn spawn(fault: SpawnFault, reason: String) -> Self {
        Self { exit: None, tail: String::new(), fault: Some((fault, reason)), reason: None }
    }

    pub(super) fn exit(exit: Option<Exit>, tail: String, reason: Option<String>) -> Self {
        Self { exit, tail, fault: None, reason }
    }

    /// One clause: "it exited with code 1".
    fn clause(&self) -> String {
        match (&self.fault, &self.reason, self.exit) {
            (Some((SpawnFault::NotFound, _)), ..) => "its command was not found".to_owned(),
            (Some((SpawnFault::NotExecutable, _)), ..) => "its command cannot be executed".to_owned(),
            (Some((SpawnFault::Busy, _)), ..) => "its file is being written".to_owned(),
            (Some((SpawnFault::System, _)), ..) => "the system could not start it".to_owned(),
            (None, Some(reason), _) => reason.clone(),
            (None, None, Some(exit @ Exit::Code(_))) => format!("it {}", exit_words(exit, false)),
            (None, None, Some(exit @ Exit::Signal(_))) => format!("it was {}", exit_words(exit, false)),
            (None, None, None) => "it could not be ended".to_owned(),
        }
    }
}

impl Engine {
    /// Answers these requests ourselves; those of one batch in one array.
    pub(super) fn answer_ourselves(&mut self, ids: &[Id], why: Why) {
        let mut batches: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for id in ids {
            let Some(pending) = self.inflight.take(id) else { continue };
            self.queue.remove(id);
            if pending.cancelled {
                continue;
            }
            let (text, status) = self.compose(&pending, why);
            self.note_answer(&pending, status);
            if planted!(self, AnswerTwice) {
                self.say_to_host(text.clone());
            }
            match pending.batch {
                Some(batch) => batches.entry(batch).or_default().push(text),
                None => self.say_to_host(text),
            }
        }
        for answers in batches.into_values() {
            let array = as_array(&answers);
            self.hand_to_host(array, super::io::Origin::Supervisor);
        }
    }

    /// Answers a request with this text of ours.
    pub(super) fn answer_with(&mut self, id: &Id, text: String) {
        let Some(pending) = self.inflight.take(id) else { return };
        self.queue.remove(id);
        self.note_answer(&pending, None);
        self.say_to_host(if pending.batch.is_some() { format!("[{text}]") } else { text });
    }

    /// Answers a request with this guidance.
    pub(super) fn answer_with_guidance(&mut self, id: &Id, guidance: &Guidance) {
        let Some(pending) = self.inflight.take(id).filter(|pending| !pending.cancelled) else { return };
        self.queue.remove(id);
        if pending.stream {
            self.listens.close(id);
        }
        let text = self.tell(&pending, guidance);
        self.note_answer(&pending, Some(guidance.status));
        self.say_to_host(if pending.batch.is_some() { format!("[{text}]") } else { text });
    }

    /// Answers what has waited long enough; in the degraded phase, everything.
    pub(super) fn answer_overdue(&mut self) {
        let now = self.now.mono;
        if self.phase == Phase::Degraded {
            self.abandon_doubted();
            let unwritten = |id: &&Id| self.inflight.get(id).is_some_and(|it| it.written.is_none());
            let greeting = self.replay.greeting_id.iter().filter(unwritten);
            let waiting = self.queue.requests().chain(greeting).cloned().collect();
            self.answer_ourselves(&self.inflight.in_order(waiting), Why::Unavailable);
            for _ in 0..self.queue.clear() {
                self.dropped(DropCause::NotificationToDead, 0);
            }
        }
        // A result that is withheld has its limit in every phase.
        if self.inflight.earliest_deadline().is_some_and(|at| at <= now) && !planted!(self, HoldForEver) {
            let (mut waiting, mut unproven, mut slow) = (Vec::new(), Vec::new(), Vec::new());
            let mut lost = Vec::new();
            for id in self.inflight.overdue(now) {
                let Some(pending) = self.inflight.get(&id) else { continue };
                match (pending.written, &*pending.method) {
                    (None, _) if pending.withheld => self.tell_refused(&id, State::Doubted),
                    (None, _) if pending.refused.is_some() => self.tell_refused(&id, State::Expired),
                    (None, _) if pending.doubted => lost.push(id),
                    (None, _) => waiting.push(id),
                    (Some(_), "tools/call") => slow.push(id),
                    (Some(child), method) => {
                        unproven.push((id, child, method.to_owned(), pending.detail.clone()));
                    }
                }
            }
            let why = if self.trying { Why::Unavailable } else { Why::Held };
            self.answer_ourselves(&waiting, why);
            self.answer_ourselves(&lost, Why::Restarted);
            self.time_out(&slow);
            for (id, child, method, cursor) in unproven {
                self.answer_ourselves(std::slice::from_ref(&id), Why::Held);
                if child == self.generation {
                    self.keep_answer(&id, &method, cursor.as_deref());
                }
            }
        }
    }

    /// The answer to one request, and the status in it where it is guidance.
    fn compose(&mut self, pending: &Pending, why: Why) -> (String, Option<Status>) {
        let id = &pending.id;
        let method = &*pending.method;
        let detail = pending.detail.as_deref();
        let era = self.era_of(pending);
        if let Some((name, flag)) =
            needed_capability(method, era).filter(|(name, flag)| !self.replay.can(name, *flag))
        {
            let flag = flag.map_or_else(String::new, |flag| format!(".{flag}"));
            let message = format!("the server does not offer {name}{flag}");
            return (answers::error(id, answers::METHOD_NOT_FOUND, &message), None);
        }
        let result = match method {
            era::DISCOVER => {
                let Some(good) = &self.replay.discovered else {
                    let message = "no server has answered this";
                    return (answers::error(id, answers::METHOD_NOT_FOUND, message), None);
                };
                Some(answers::stale(good))
            }
            _ if pending.stream => Some(answers::stream_end(id)),
            "completion/complete" => Some(answers::no_completion(era)),
            "ping" | "initialize" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe"
                if era == Era::Modern =>
            {
                let message = "there is no such method in this revision";
                return (answers::error(id, answers::METHOD_NOT_FOUND, message), None);
            }
            "ping" => Some("{}".to_owned()),
            "initialize" => Some(self.greeting_from_us(id)),
            "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe" => {
                self.replay.learn(method, detail);
                Some("{}".to_owned())
            }
            "tools/call" if self.is_status_tool(pending) => {
                let story = self.guidance(pending, why).to_json();
                return (
                    answers::result(id, &answers::text_result(&story, era)),
                    Some(Status::ServerUnavailable),
                );
            }
            // What waits is too much, and that passes: it is no reason to show the tool of a server that is away.
            _ if book::is_list(method)
                && (why != Why::QueueFull || self.book.page(method, detail).is_some()) =>
            {
                self.list_from_us(method, detail, era)
            }
            _ => None,
        };
        if let Some(result) = result {
            return (answers::result(id, &result), None);
        }
        let guidance = self.guidance(pending, why);
        (self.tell(pending, &guidance), Some(guidance.status))
    }

    /// In which era's form this request is to be answered.
    fn era_of(&self, pending: &Pending) -> Era {
        if pending.enveloped && self.opening != Opening::Greeting { Era::Modern } else { Era::Legacy }
    }

    /// Guidance as the answer to this request: an ordinary result where that is valid, else an error.
    pub(super) fn tell(&self, pending: &Pending, guidance: &Guidance) -> String {
        let typed = self.book.tools.is_typed(pending.name.as_deref());
        if &*pending.method == "tools/call" && !pending.task && !typed {
            answers::guidance_result(&pending.id, guidance, self.era_of(pending))
        } else {
            answers::guidance_error(&pending.id, guidance)
        }
    }

    /// The result of a greeting: the one that the host was told, else the last good one, else one that promises tools
    /// only. The host is then told.
    pub(super) fn greeting_from_us(&mut self, id: &Id) -> String {
        if self.replay.greeting_id.as_ref() == Some(id) {
            self.timers.disarm(Timer::Greeting);
            self.replay.greeting_id = None;
        }
        let result =
            if let Some(good) = self.replay.told_result.as_ref().or(self.replay.good_greeting.as_ref()) {
                String::from_utf8_lossy(good).into_owned()
            } else {
                let requested = self.replay.requested();
                answers::minimal_greeting(answers::version_for(requested.as_deref()), &self.config.name)
            };
        let told = crate::wire::edit::find(&result, &["protocolVersion"]);
        self.replay.told = told.and_then(|told| serde_json::from_str(told).ok());
        self.replay.told_result = Some(result.clone().into());
        result
    }

    /// The result of a list: the last good page, else the status tool. `None` where neither serves.
    fn list_from_us(&mut self, method: &str, cursor: Option<&str>, era: Era) -> Option<String> {
        let list = book::list_named(method)?;
        if let Some(page) = self.book.page(list, cursor) {
            let (seen, result) = (page.seen.clone(), page.stale());
            self.seen.shown(self.book.is_from(list), list, cursor, seen);
            return Some(result);
        }
        if list != book::TOOLS || cursor.is_some() {
            return None;
        }
        if planted!(self, EmptyList) {
            return Some("{\"tools\":[]}".to_owned());
        }
        self.status_tool_shown = true;
        let result = answers::status_tool_list(&self.config.name, era);
        if let Some(page) = ListPage::of_result(&result, book::member_of(list)) {
            self.seen.shown(Gen(0), list, None, SeenPage::of(&page));
        }
        Some(result)
    }

    /// Whether this calls the tool that we have shown and therefore answer for.
    pub(super) fn is_status_tool(&self, pending: &Pending) -> bool {
        self.status_tool_shown
            && &*pending.method == "tools/call"
            && pending.name.as_deref() == Some(answers::STATUS_TOOL)
    }

    /// A call of the status tool while the server runs.
    pub(super) fn status_tool_while_serving(&self, id: &Id) -> String {
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

    /// Guidance about this request.
    pub(super) fn guidance(&self, pending: &Pending, why: Why) -> Guidance {
        let name = &self.config.name;
        let trouble = self.trouble.as_ref();
        let clause = trouble.map(Trouble::clause);
        let outcome = if pending.times_written > 0 { Outcome::Unknown } else { Outcome::NotExecuted };
        // Whoever only reads can do so again, whatever came of it.
        let again = outcome == Outcome::NotExecuted || self.is_safe(pending);
        let effect = match outcome {
            Outcome::NotExecuted => "this request was not executed",
            Outcome::Unknown => "whether this request took effect is unknown",
        };
        let because = clause.as_ref().map_or_else(String::new, |clause| format!(" ({clause})"));
        let (status, message, retryable) = match why {
            Why::Restarted => {
                let words = clause.unwrap_or_else(|| "it ended".to_owned());
                let message = format!(
                    "The MCP server {name:?} stopped while it ran this request ({words}), so {effect}."
                );
                (Status::ServerRestarted, message, false)
            }
            Why::Held if self.phase == Phase::Draining => {
                let reason = self.child.as_ref().and_then(|child| child.leaving).unwrap_or("it is replaced");
                let message = format!(
                    "The MCP server {name:?} still runs another request before it is started again ({reason}), so {effect}."
                );
                (Status::ServerTimeout, message, again)
            }
            Why::Held => {
                let message = format!("The MCP server {name:?} is not ready yet{because}, so {effect}.");
                (Status::ServerTimeout, message, again)
            }
            Why::TooLong => {
                let limit = self.config.call_timeout.unwrap_or_default();
                let message = format!(
                    "The MCP server {name:?} has not answered within {limit:?}, so {effect}; it was told to leave it."
                );
                (Status::ServerTimeout, message, false)
            }
            Why::QueueFull => {
                let message =
                    format!("Too many requests wait for the MCP server {name:?}{because}, so {effect}.");
                (Status::ServerUnavailable, message, true)
            }
            Why::Stopping => {
                let message = format!("The MCP server {name:?} is being stopped, so {effect}.");
                let status = if outcome == Outcome::Unknown {
                    Status::ServerRestarted
                } else {
                    Status::ServerUnavailable
                };
                (status, message, false)
            }
            Why::Unavailable if self.trying => {
                let message =
                    format!("The MCP server {name:?} is being started again{because}, so {effect}.");
                (Status::ServerUnavailable, message, again)
            }
            Why::Unavailable => {
                let message = format!("The MCP server {name:?} is not running{because}, so {effect}.");
                (Status::ServerUnavailable, message, again)
            }
        };
        let retry_after = match why {
            Why::Unavailable if self.trying && retryable => Some(RETRY_ON_CALL),
            Why::Held | Why::QueueFull => Some(RETRY_ON_CALL),
            Why::Unavailable if retryable => {
                Some((self.last_attempt + RETRY_ON_CALL).saturating_sub(self.now.mono))
            }
            Why::Unavailable | Why::Restarted | Why::TooLong | Why::Stopping => None,
        };
        let tail = trouble.map_or("", |trouble| last_lines(&trouble.tail, TAIL_IN_GUIDANCE));
        Guidance {
            status,
            message,
            hint: self.hint(why, again),
            retryable,
            outcome,
            // Rounded up: a millisecond too early is too early.
            retry_after_ms: retry_after
                .and_then(|after| u64::try_from(after.as_micros().div_ceil(1000)).ok()),
            server: name.clone(),
            // Where we have ended it, the reason says more than the signal that we sent.
            exit: trouble
                .filter(|trouble| trouble.reason.is_none())
                .and_then(|trouble| trouble.exit)
                .map(|exit| exit.to_string()),
            restarts: Some(self.restarts()).filter(|restarts| *restarts > 0),
            stderr_tail: Some(tail.to_owned()).filter(|tail| !tail.is_empty()),
            detail: trouble.and_then(|trouble| self.detail(trouble.fault.as_ref(), trouble.exit)),
        }
    }

    /// What to do. `again` is whether the request may be made again whatever came of it.
    fn hint(&self, why: Why, again: bool) -> String {
        let command = &self.config.command;
        let fault = self.trouble.as_ref().and_then(|trouble| trouble.fault.as_ref()).map(|(fault, _)| *fault);
        let look = format!("run this in a terminal to see why: {command}");
        match (why, again, fault) {
            (Why::Stopping, ..) => "Connect to the server again.".to_owned(),
            (Why::Restarted, ..) => {
                "Check whether the request took effect before making it again.".to_owned()
            }
            (Why::TooLong, ..) => {
                "Check whether the request took effect before making it again, or ask for less at once; --call-timeout sets the limit.".to_owned()
            }
            (_, _, Some(SpawnFault::NotFound)) => format!(
                "Install the command or write its full path into the host's configuration; it is then started by the next call. The command is: {command}"
            ),
            (_, _, Some(SpawnFault::NotExecutable)) => format!(
                "Make the command executable or correct its path in the host's configuration; it is then started by the next call. The command is: {command}"
            ),
            (Why::Held, true, _) if self.phase == Phase::Draining => {
                "Try again when that request is done, or in half a minute.".to_owned()
            }
            (_, false, _) => format!(
                "Check whether the request took effect before making it again. If the server stays away, {look}"
            ),
            (Why::Held | Why::QueueFull, ..) => {
                format!("Try again in a few seconds. If it stays like this, {look}")
            }
            (Why::Unavailable, ..) => {
                format!(
                    "Try again in a few seconds: a call starts the server again. If it stays away, {look}"
                )
            }
        }
    }

    /// The answer to a request whose answer is longer than the host would take.
    pub(super) fn answer_too_large(&mut self, id: &Id, len: u64) {
        let name = &self.config.name;
        let limit = self.config.max_answer;
        let guidance = Guidance {
            status: Status::AnswerTooLarge,
            message: format!(
                "The answer of the MCP server {name:?} is {len} bytes long, and hosts cut the connection at 10 MiB, so it was not handed on."
            ),
            hint: format!(
                "Ask for less at once: a smaller range, fewer items, a filter. Answers up to {limit} bytes are handed on (--max-answer)."
            ),
            retryable: false,
            outcome: Outcome::Unknown,
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

/// The capability that a method needs, and the flag inside it. `None` for methods that need none.
fn needed_capability(method: &str, era: Era) -> Option<(&'static str, Option<&'static str>)> {
    match method {
        "resources/subscribe" | "resources/unsubscribe" => Some(("resources", Some("subscribe"))),
        "logging/setLevel" => Some(("logging", None)),
        _ => match method.split_once('/')?.0 {
            "tools" => Some(("tools", None)),
            "prompts" => Some(("prompts", None)),
            "resources" => Some(("resources", None)),
            // In the modern era tasks are an extension.
            "tasks" if era == Era::Legacy => Some(("tasks", None)),
            _ => None,
        },
    }
}
