//! Answers that may not be genuine: those embedded at the end of a line that is no message, and damaged ones.
//!
//! Servers print to stdout without a line feed, so an answer can follow on the same line. They also log what they send
//! and fetch. Ids can be guessed, and a quotation must never stand for the answer. An embedded answer is therefore held
//! back for a moment: if a line of its own comes for that id, that line wins. A damaged answer is held back likewise,
//! and then the host learns what came.
//!
//! The same holds for an embedded request of the server. Methods that hosts use too are never taken out of noise.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::from_server::BATCH_REVISION;
use super::guidance::{Guidance, Outcome, Status};
use super::io::{Exit, Gen, Output};
use super::note::Note;
use super::timers::Timer;
use super::{Doom, Engine, Greeting, len_of, planted};
use crate::wire::{Id, Message, Notification, Request, edit, remains_of, salvage};

/// How long an embedded answer is held back while a line of its own may come for its id.
const EMBEDDED: Duration = Duration::from_millis(250);
/// The same for a damaged answer, before the host learns of it.
const DAMAGED: Duration = Duration::from_secs(1);
/// How much of a damaged answer is examined for an excerpt, in bytes, and how long the excerpt is, in characters.
const EXCERPT: (usize, usize) = (4096, 200);

/// An answer that is held back.
#[derive(Clone, Debug)]
struct Candidate {
    /// The number of the host's request that it answers. `None` for a request of ours.
    seq: Option<u64>,
    found: Found,
}

#[derive(Clone, Debug)]
enum Found {
    /// A message behind noise.
    Embedded(Bytes, Box<Message>),
    /// The beginning of a damaged answer.
    Damaged(Bytes),
}

impl Found {
    /// The id of an answer, as it is spelled.
    fn id(&self) -> Option<&Id> {
        match self {
            Self::Embedded(_, message) => match &**message {
                Message::Response(response) => response.id.as_ref(),
                Message::Request(_) | Message::Notification(_) => None,
            },
            Self::Damaged(_) => None,
        }
    }
}

/// A request of a child that is held back.
#[derive(Clone, Debug)]
struct Question {
    bytes: Bytes,
    message: Box<Message>,
}

/// What is held back, by ids, and when each of it is judged.
#[derive(Debug)]
struct Held<T> {
    by_id: BTreeMap<Id, (Duration, T)>,
    order: BTreeSet<(Duration, Id)>,
}

impl<T> Default for Held<T> {
    fn default() -> Self {
        Self { by_id: BTreeMap::new(), order: BTreeSet::new() }
    }
}

impl<T> Held<T> {
    /// Holds this back, in place of what is held under the same id. The first of several decides how long the host
    /// waits.
    fn insert(&mut self, id: Id, at: Duration, what: T) {
        let at = self.remove(&id).map_or(at, |(earlier, _)| at.min(earlier));
        self.order.insert((at, id.clone()));
        self.by_id.insert(id, (at, what));
    }

    fn get(&self, id: &Id) -> Option<&T> {
        self.by_id.get(id).map(|(_, what)| what)
    }

    fn remove(&mut self, id: &Id) -> Option<(Duration, T)> {
        let (at, what) = self.by_id.remove(id)?;
        self.order.remove(&(at, id.clone()));
        Some((at, what))
    }

    /// When the first is judged.
    fn next(&self) -> Option<Duration> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out the first that is due.
    fn due(&mut self, now: Duration) -> Option<(Id, T)> {
        let (_, id) = self.order.first().filter(|(at, _)| *at <= now)?.clone();
        let (_, what) = self.remove(&id)?;
        Some((id, what))
    }
}

/// What is held back of one child.
#[derive(Debug, Default)]
pub(super) struct HeldBack {
    /// Answers, by the ids under which the child was asked.
    answers: Held<Candidate>,
    /// Requests, by the ids that the child gave them.
    questions: Held<Question>,
}

impl HeldBack {
    /// A whole line has come for this id. Returns the embedded answer that turns out to be a quotation.
    pub(super) fn dispel(&mut self, id: &Id) -> Option<Bytes> {
        match self.answers.remove(id)?.1.found {
            Found::Embedded(bytes, _) => Some(bytes),
            Found::Damaged(_) => None,
        }
    }

    /// A whole line has come with this request of the child. Returns the embedded one, which is a quotation.
    pub(super) fn dispel_question(&mut self, id: &Id) -> Option<Bytes> {
        self.questions.remove(id).map(|(_, question)| question.bytes)
    }

    fn next(&self) -> Option<Duration> {
        self.answers.next().into_iter().chain(self.questions.next()).min()
    }
}

impl Engine {
    /// Handles a line that is no message. Messages at its end are cut out if they are awaited, or if a server may send
    /// them. An answer counts only if no line of its own comes.
    pub(super) fn embedded(&mut self, child: Gen, line: &Bytes) {
        let mut rest = 0;
        let batches = self.replay.told.as_deref() == Some(BATCH_REVISION);
        for found in salvage(line, batches) {
            match &found.message {
                Message::Response(response) => {
                    let Some(id) = response.id.as_ref().and_then(|id| self.awaited(child, id)) else {
                        continue;
                    };
                    if planted!(self, BelieveQuotations) {
                        self.believe(child, &found.bytes, &found.message);
                    } else {
                        self.hold_back(
                            child,
                            id,
                            EMBEDDED,
                            Found::Embedded(found.bytes, Box::new(found.message)),
                        );
                    }
                }
                Message::Request(Request { id, method, .. }) => {
                    let id = id.clone();
                    if !is_asked_by_servers(method) || self.is_modern() || self.asked.is_live(child, &id) {
                        continue;
                    }
                    self.hold_back_question(id, found.bytes, found.message);
                }
                Message::Notification(Notification { method, .. }) => {
                    if !is_told_by_servers(method) {
                        continue;
                    }
                    self.believe(child, &found.bytes, &found.message);
                }
            }
            if found.range.start > rest {
                self.noise(child, line.slice(rest..found.range.start));
            }
            rest = found.range.end;
        }
        if rest == 0 {
            self.damaged(child, line);
        }
        let tail = line.slice(rest..);
        if rest == 0 || !tail.iter().all(u8::is_ascii_whitespace) {
            self.noise(child, tail);
        }
    }

    /// A line that begins as a message does, but is none, may be an awaited answer.
    pub(super) fn damaged(&mut self, child: Gen, line: &Bytes) {
        if !line.trim_ascii_start().starts_with(b"{") {
            return;
        }
        let remains = remains_of(line);
        if !remains.versioned || remains.method.is_some() {
            return;
        }
        if let Some(id) = remains.id.and_then(|id| self.awaited(child, &id)) {
            let beginning = Bytes::copy_from_slice(&line[..line.len().min(EXCERPT.0)]);
            self.hold_back(child, id, DAMAGED, Found::Damaged(beginning));
        }
    }

    fn hold_back(&mut self, child: Gen, id: Id, wait: Duration, found: Found) {
        let at = self.now.mono + wait;
        let own = self.inflight.known_as(&id, child);
        let seq = own.and_then(|own| self.inflight.get(own)).map(|pending| pending.seq);
        let Some(current) = &mut self.child else { return };
        current.spoke = true;
        let before = current.held_back.answers.get(&id).map(|doubt| &doubt.found);
        if matches!((before, &found), (Some(Found::Embedded(..)), Found::Damaged(_))) {
            return;
        }
        // An answer under the id itself is not replaced by one under its twin that another request had: it is a second one.
        let another = found.id().filter(|said| **said != id && current.strays.has_answered(said));
        if another.is_some() && before.is_some_and(|before| before.id() == Some(&id)) {
            return;
        }
        current.held_back.answers.insert(id, at, Candidate { seq, found });
        self.judge_at_next();
    }

    fn hold_back_question(&mut self, id: Id, bytes: Bytes, message: Message) {
        let at = self.now.mono + EMBEDDED;
        let Some(current) = &mut self.child else { return };
        current.held_back.questions.insert(id, at, Question { bytes, message: Box::new(message) });
        self.judge_at_next();
    }

    fn judge_at_next(&mut self) {
        if let Some(at) = self.child.as_ref().and_then(|child| child.held_back.next()) {
            self.timers.arm(Timer::Embedded, at);
        }
    }

    /// Judges what has been held back long enough.
    pub(super) fn judge_embedded(&mut self) {
        let (now, generation) = (self.now.mono, self.generation);
        while let Some((id, doubt)) = self.held_back().and_then(|held| held.answers.due(now)) {
            self.judge(generation, &id, doubt);
        }
        while let Some((id, question)) = self.held_back().and_then(|held| held.questions.due(now)) {
            if !self.asked.is_live(generation, &id) {
                self.believe(generation, &question.bytes, &question.message);
            }
        }
        self.judge_at_next();
    }

    fn held_back(&mut self) -> Option<&mut HeldBack> {
        self.child.as_mut().map(|child| &mut child.held_back)
    }

    /// The child's output is over. Answers that it has embedded in noise count now, and damaged ones are lost. A child
    /// that fails may have ended between a quotation and the answer, so its outcome is unknown.
    pub(super) fn believe_the_last(&mut self) {
        self.timers.disarm(Timer::Embedded);
        let fails = |child: &super::Child| {
            child.ladder.is_none() && child.exited.is_some_and(|exit| exit != Exit::Code(0))
        };
        if self.child.as_ref().is_some_and(fails) && !planted!(self, BelieveQuotations) {
            return;
        }
        let generation = self.generation;
        while let Some((id, doubt)) = self.held_back().and_then(|held| held.answers.due(Duration::MAX)) {
            if matches!(doubt.found, Found::Embedded(..)) {
                self.judge(generation, &id, doubt);
            }
        }
    }

    fn judge(&mut self, child: Gen, id: &Id, doubt: Candidate) {
        let own = self.inflight.known_as(id, child).cloned();
        let pending = own.as_ref().and_then(|own| self.inflight.get(own));
        if pending.map(|pending| pending.seq) != doubt.seq {
            // The request was answered or given up meanwhile.
            return;
        }
        match (doubt.found, own) {
            (Found::Embedded(bytes, message), _) => self.believe_answer(child, id, &bytes, *message),
            (Found::Damaged(beginning), own) => {
                let greeting =
                    self.child.as_ref().is_some_and(|child| child.greeting == Greeting::Sent(id.clone()));
                let excerpt = self.excerpt(&beginning);
                if greeting {
                    self.doom(Doom::Crash(format!("its greeting is no JSON: {excerpt}")));
                } else if let Some(own) = own {
                    self.answer_unreadable(&own, excerpt);
                } else if let Some(child) = &mut self.child {
                    child.own.remove(id);
                }
            }
        }
    }

    /// Handles an embedded answer like any other. If it came under the twin of its id, the host may have used that for
    /// another request meanwhile.
    fn believe_answer(&mut self, child: Gen, id: &Id, bytes: &Bytes, mut message: Message) {
        let mut bytes = bytes.clone();
        if let Message::Response(response) = &mut message
            && let Some(said) = &response.id
            && self.awaited(child, said).as_ref() != Some(id)
        {
            bytes = edit::replace(&bytes, &["id"], &id.to_json());
            response.id = Some(id.clone());
        }
        self.believe(child, &bytes, &message);
    }

    /// Handles a message that was found in a line like any other.
    fn believe(&mut self, child: Gen, bytes: &Bytes, message: &Message) {
        self.note(Note::Salvaged { child });
        if len_of(bytes) > self.config.max_answer {
            self.message_too_large(child, message, len_of(bytes) as u64);
        } else if let Some(passed) = self.admitted(child, message, bytes) {
            self.forward_to_host(passed);
        }
    }

    /// The beginning of a server's line, masked and cut for the chat.
    fn excerpt(&self, beginning: &[u8]) -> String {
        let text = String::from_utf8_lossy(beginning);
        let text = self.config.mask.apply(text.trim());
        let mut excerpt: String = text.chars().take(EXCERPT.1).collect();
        if excerpt.len() < text.len() {
            excerpt.push_str(" ...");
        }
        excerpt
    }

    /// Answers a request with guidance, because the server's answer cannot be read.
    fn answer_unreadable(&mut self, id: &Id, excerpt: String) {
        let Some(pending) = self.inflight.get(id) else { return };
        let again = self.is_safe(pending);
        let pending = pending.clone();
        let name = &self.config.name;
        let hint = if again {
            "Try again. If it stays like this, report it to the server's authors: `detail` shows the beginning of the line."
        } else {
            "Check whether the request took effect before making it again, and report it to the server's authors: `detail` shows the beginning of the line."
        };
        let guidance = Guidance {
            status: Status::AnswerUnreadable,
            message: format!(
                "The MCP server {name:?} has answered this request with a line that is not a valid JSON-RPC message, so its answer cannot be forwarded."
            ),
            hint: hint.to_owned(),
            retryable: again,
            outcome: Some(Outcome::Unknown),
            retry_after_ms: None,
            server: name.clone(),
            exit: None,
            restarts: None,
            stderr_tail: None,
            detail: Some(excerpt),
        };
        self.owe(&pending);
        self.answer_with_guidance(id, &guidance);
    }

    pub(super) fn noise(&mut self, child: Gen, bytes: Bytes) {
        self.note(Note::Noise { child, bytes: bytes.len() });
        self.outputs.push_back(Output::Noise(child, bytes));
    }
}

/// Whether only servers make such requests. The others are tasks and `ping`, which a log may quote from either side.
fn is_asked_by_servers(method: &str) -> bool {
    matches!(method, "roots/list" | "sampling/createMessage" | "elicitation/create")
}

/// Whether servers send such notifications, and a quotation of the host's is recognized: its progress by the token.
fn is_told_by_servers(method: &str) -> bool {
    let from_hosts = [
        "notifications/cancelled",
        "notifications/initialized",
        "notifications/roots/list_changed",
        "notifications/tasks/status",
    ];
    method.starts_with("notifications/") && !from_hosts.contains(&method)
}
