//! What the supervisor answers when a request cannot be served: which answer a method gets, and when.
//!
//! [`cause`] judges what went wrong, and [`printed`] what a silent server seems to do. [`sentences`] has the sentences.

mod cause;
mod printed;
mod sentences;
mod trouble;

use std::collections::BTreeMap;
use std::time::Duration;

use super::compare::SeenPage;
use super::current::Quote;
use super::era::{self, Opening};
use super::guidance::{Guidance, Status};
use super::inflight::Pending;
use super::io::{Era, Gen, Output};
use super::note::DropCause;
use super::phase::Phase;
use super::timers::Timer;
use super::upstream::State;
use super::{Engine, answers, as_array, book, planted};
use crate::wire::{Id, ListPage};

pub(super) use self::cause::{CommandLine, Ending, meaning, whole_line};
pub(super) use self::trouble::Trouble;

/// How long an answer waits for the report of what a child has printed, which comes at once.
const QUOTE_PATIENCE: Duration = Duration::from_millis(50);

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
    /// Our own status tool is called.
    Asked,
    /// Too much waits already.
    QueueFull,
    /// We are about to end.
    Stopping,
}

impl Engine {
    /// Answers these requests ourselves; those of one batch in one array.
    pub(super) fn answer_ourselves(&mut self, ids: &[Id], why: Why) {
        let mut batches: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for id in ids {
            let Some(pending) = self.inflight.take(id) else { continue };
            self.queue.remove(id);
            self.owe(&pending);
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
        // A withheld result has its limit in every phase.
        let due = self.inflight.earliest_deadline().is_some_and(|at| at <= now);
        if due && !planted!(self, HoldForEver) && !self.awaits_quote() {
            self.answer_due();
            if let Some(child) = &mut self.child {
                child.quote = Quote::Unasked;
            }
        }
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
    }

    fn answer_due(&mut self) {
        let (mut asked, mut waiting) = (Vec::new(), Vec::new());
        let (mut unproven, mut slow, mut lost) = (Vec::new(), Vec::new(), Vec::new());
        for id in self.inflight.overdue(self.now.mono) {
            let Some(pending) = self.inflight.get(&id) else { continue };
            match (pending.written, &*pending.method) {
                (None, _) if self.is_status_tool(pending) => asked.push(id),
                (None, _)
                    if pending.withheld
                        && self.phase == Phase::Degraded
                        && planted!(self, ForgetWithheld) => {}
                (None, _) if pending.withheld => self.tell_refused(&id, State::Doubted),
                (None, _) if pending.refused.is_some() => self.tell_refused(&id, State::Expired),
                (None, _) if pending.doubted => lost.push(id),
                (None, _) => waiting.push(id),
                (Some(_), "tools/call") => slow.push(id),
                (Some(_), _) => unproven.push(id),
            }
        }
        self.answer_ourselves(&asked, Why::Asked);
        let away = self.trying || self.phase == Phase::Degraded;
        self.answer_ourselves(&waiting, if away { Why::Unavailable } else { Why::Held });
        self.answer_ourselves(&lost, Why::Restarted);
        self.time_out(&slow);
        self.answer_ourselves(&unproven, Why::Held);
    }

    /// Whether an answer of ours has to wait for what a running child that does not serve has printed. Asks for that on
    /// the first call; the report comes at once.
    fn awaits_quote(&mut self) -> bool {
        let Some(child) = self.child.as_mut().filter(|child| !child.served && child.is_ready()) else {
            return false;
        };
        let now = self.now.mono;
        if child.quote == Quote::Unasked {
            child.quote = Quote::Asked(now + QUOTE_PATIENCE);
            self.outputs.push_back(Output::Quote(child.generation));
        }
        matches!(child.quote, Quote::Asked(until) if now < until)
    }

    /// When the next answer of ours is due.
    pub(super) fn answers_due(&self) -> Option<Duration> {
        let due = self.inflight.earliest_deadline()?;
        match self.child.as_ref().map(|child| child.quote) {
            Some(Quote::Asked(until)) => Some(due.max(until)),
            Some(Quote::Unasked | Quote::Known) | None => Some(due),
        }
    }

    /// What a child has printed so far.
    pub(super) fn quoted(&mut self, from: Gen, text: &str) {
        let printed = self.config.mask.apply(text);
        if let Some(child) = self.child.as_mut().filter(|child| child.generation == from) {
            sentences::last_of(&printed).clone_into(&mut child.printed);
            child.quote = Quote::Known;
        }
    }

    /// Answers a call of our status tool at once. The call is also reason enough to try a degraded server again.
    pub(super) fn tell_status(&mut self, id: &Id) {
        if matches!(self.phase, Phase::Serving | Phase::Draining) {
            return self.answer_with(id, self.status_while_serving(id));
        }
        if self.phase == Phase::Degraded && self.may_try(std::slice::from_ref(id)) {
            self.retry();
        }
        self.inflight.wait_until(id, self.now.mono);
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
