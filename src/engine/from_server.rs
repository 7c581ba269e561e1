//! What a child says: admitted to the host, taken for ourselves, or told to be noise.

use bytes::Bytes;

use super::answers;
use super::compare::SeenPage;
use super::era::DISCOVER;
use super::io::{Gen, Output};
use super::note::{DropCause, Note};
use super::waiting::wants_server;
use super::{Doom, Engine, Greeting, as_array, book, listen, planted};
use crate::wire::{
    Element, Frame, Id, Line, ListPage, Malformed, Message, Notification, Parsed, Request, Response, ends,
    salvage,
};

/// The revision from which on an error may lack its id.
const IDLESS_ERRORS: &str = "2025-11-25";
/// The revision with batches.
const BATCH_REVISION: &str = "2025-03-26";

/// What becomes of one message of a child.
enum Admission {
    /// The host gets these bytes.
    Forward(Bytes),
    /// The host does not get it.
    Keep,
    /// It is no message that a server may send.
    Noise,
}

impl Engine {
    pub(super) fn child_line(&mut self, child: Gen, line: Line) {
        let current = self.child.as_ref().is_some_and(|current| current.generation == child);
        if !current {
            if let Line::Whole(line) = &line {
                self.dropped(DropCause::AnswerToNothing, line.len());
            }
            return;
        }
        match line {
            Line::Whole(bytes) => self.child_bytes(child, bytes),
            Line::Oversize(oversize) => {
                let (id, method) = ends(&oversize);
                if id.is_none() {
                    self.noise(child, oversize.head.clone());
                    self.noise(child, oversize.tail);
                    return;
                }
                self.child_too_large(child, id.as_ref(), method.is_some(), oversize.len);
            }
        }
    }

    fn child_bytes(&mut self, child: Gen, bytes: Bytes) {
        let frame = Frame::read(bytes);
        if let Some(current) = &mut self.child
            && !matches!(frame.parsed, Parsed::Malformed(_))
        {
            current.pulse.felt();
        }
        match frame.parsed {
            Parsed::One(message) if len_of(&frame.bytes) > self.config.max_answer => {
                self.message_too_large(child, &message, len_of(&frame.bytes) as u64);
            }
            Parsed::One(message) => match self.admit(child, &message, &frame.bytes) {
                Admission::Forward(line) => self.forward_to_host(line),
                Admission::Keep => {}
                Admission::Noise => self.noise(child, frame.bytes),
            },
            Parsed::Batch(elements) if self.replay.told.as_deref() == Some(BATCH_REVISION) => {
                self.child_batch(child, &frame.bytes, elements);
            }
            Parsed::Malformed(Malformed::NotJson) if self.mended(child, &frame.bytes) => {}
            Parsed::Malformed(Malformed::NotJson) => self.salvage(child, &frame.bytes),
            // Whole JSON with nothing in front of it: a message inside it is quoted, in a log for instance.
            Parsed::Batch(_) | Parsed::Malformed(Malformed::NotJsonRpc) => self.noise(child, frame.bytes),
        }
    }

    fn child_batch(&mut self, child: Gen, line: &Bytes, elements: Vec<Element>) {
        let mut parts: Vec<Bytes> = Vec::with_capacity(elements.len());
        let mut intact = true;
        for element in elements {
            let bytes = line.slice(element.range);
            let admission = match &element.message {
                Ok(message) if bytes.len() > self.config.max_answer => {
                    self.message_too_large(child, message, bytes.len() as u64);
                    Admission::Keep
                }
                Ok(message) => self.admit(child, message, &bytes),
                Err(_) => Admission::Noise,
            };
            match admission {
                Admission::Forward(passed) => {
                    intact &= passed == bytes;
                    parts.push(passed);
                }
                Admission::Keep => intact = false,
                Admission::Noise => {
                    intact = false;
                    self.noise(child, bytes);
                }
            }
        }
        let too_large = len_of(line) > self.config.max_answer;
        match (parts.is_empty(), intact, too_large) {
            (true, ..) => {}
            (false, true, false) => self.forward_to_host(line.clone()),
            (false, false, false) => self.forward_to_host(as_array(&parts)),
            // What the host would not take as one line it takes one by one.
            (false, _, true) => parts.into_iter().for_each(|part| self.forward_to_host(part)),
        }
    }

    /// A message in which a text is no UTF-8 is handed on with U+FFFD in its place, as hosts that read such a line at all
    /// read it: an answer that somebody waits for must not get lost for that. `false` if it is no such message.
    fn mended(&mut self, child: Gen, line: &Bytes) -> bool {
        if std::str::from_utf8(line).is_ok() {
            return false;
        }
        let frame = Frame::read(String::from_utf8_lossy(line).into_owned().into());
        let message = match frame.parsed {
            Parsed::One(message) => message,
            Parsed::Batch(elements) if self.replay.told.as_deref() == Some(BATCH_REVISION) => {
                self.note(Note::Mended { child });
                self.child_batch(child, &frame.bytes, elements);
                return true;
            }
            Parsed::Batch(_) | Parsed::Malformed(_) => return false,
        };
        let believed = match &message {
            Message::Response(response) => response.id.as_ref().is_some_and(|id| self.is_awaited(child, id)),
            Message::Notification(notification) => is_server_method(&notification.method),
            // Its answer would go back under an id that may not be the one it was asked under.
            Message::Request(_) => false,
        };
        if !believed {
            return false;
        }
        if let Some(current) = &mut self.child {
            current.pulse.felt();
        }
        if len_of(&frame.bytes) > self.config.max_answer {
            self.message_too_large(child, &message, len_of(&frame.bytes) as u64);
            return true;
        }
        match self.admit(child, &message, &frame.bytes) {
            Admission::Forward(passed) => {
                self.note(Note::Mended { child });
                self.forward_to_host(passed);
            }
            Admission::Keep => {}
            Admission::Noise => return false,
        }
        true
    }

    /// Messages behind noise on the same line are cut out, if somebody waits for them or a server may send them.
    fn salvage(&mut self, child: Gen, line: &Bytes) {
        let mut rest = 0;
        for found in salvage(line) {
            let believed = match &found.message {
                Message::Response(response) => {
                    response.id.as_ref().is_some_and(|id| self.is_awaited(child, id))
                }
                Message::Request(Request { method, .. })
                | Message::Notification(Notification { method, .. }) => is_server_method(method),
            };
            if !believed {
                continue;
            }
            if let Some(current) = &mut self.child {
                current.pulse.felt();
            }
            let bytes = line.slice(found.range.clone());
            if bytes.len() > self.config.max_answer {
                self.message_too_large(child, &found.message, bytes.len() as u64);
            } else if let Admission::Forward(passed) = self.admit(child, &found.message, &bytes) {
                self.forward_to_host(passed);
            }
            self.note(Note::Salvaged { child });
            if found.range.start > rest {
                self.noise(child, line.slice(rest..found.range.start));
            }
            rest = found.range.end;
        }
        let tail = line.slice(rest..);
        if rest == 0 || !tail.iter().all(u8::is_ascii_whitespace) {
            self.noise(child, tail);
        }
    }

    fn noise(&mut self, child: Gen, bytes: Bytes) {
        self.note(Note::Noise { child, bytes: bytes.len() });
        self.outputs.push_back(Output::Noise(child, bytes));
    }

    /// Whether an answer with this id is expected from this child.
    fn is_awaited(&self, child: Gen, id: &Id) -> bool {
        self.inflight.get(id).is_some_and(|pending| pending.written == Some(child))
            || self.child.as_ref().is_some_and(|current| {
                current.greeting == Greeting::Sent(id.clone()) || current.own.contains_key(id)
            })
    }

    fn admit(&mut self, child: Gen, message: &Message, line: &Bytes) -> Admission {
        match message {
            Message::Response(response) => self.admit_response(child, response, line),
            // No server asks anything in the modern era.
            Message::Request(_) if self.is_modern() => Admission::Noise,
            Message::Request(request) => {
                if self.child.as_ref().is_some_and(|current| current.exited.is_some()) {
                    // Nobody is left to hear the answer.
                    self.dropped(DropCause::RequestOfDead, line.len());
                    return Admission::Keep;
                }
                if planted!(self, KeepDeadIds) {
                    self.asked.register(Gen(1), &request.id, &request.params, line);
                    return Admission::Forward(line.clone());
                }
                Admission::Forward(self.asked.register(child, &request.id, &request.params, line))
            }
            Message::Notification(notification) => self.admit_notification(child, notification, line),
        }
    }

    fn admit_response(&mut self, child: Gen, response: &Response, line: &Bytes) -> Admission {
        let Some(id) = &response.id else {
            return if self.replay.told_at_least(IDLESS_ERRORS) || self.is_modern() {
                Admission::Forward(line.clone())
            } else {
                Admission::Noise
            };
        };
        let Some(current) = self.child.as_mut() else { return Admission::Keep };
        current.spoke = true;
        if current.greeting == Greeting::Sent(id.clone()) {
            if current.doom.is_some() && !self.inflight.contains(id) {
                // It has answered already, or too late.
                self.dropped(DropCause::AnswerToNothing, line.len());
                return Admission::Keep;
            }
            return self
                .greeting_answer(child, id, response, line)
                .map_or(Admission::Keep, Admission::Forward);
        }
        if let Some(own) = current.own.remove(id) {
            self.own_answer(child, &own, response, line);
            return Admission::Keep;
        }
        if self.withhold(child, id, response, line) {
            return Admission::Keep;
        }
        if let Some(pending) = self.inflight.complete(id, child) {
            if &*pending.method == DISCOVER {
                // The host has its answer from the child itself, and knows what it is doing.
                if let Some(current) = &mut self.child {
                    current.probed = false;
                }
            }
            if pending.stream {
                self.listens.close(id);
            }
            if wants_server(&pending.method)
                && let Some(current) = &mut self.child
            {
                current.worked = true;
            }
            if !response.is_error {
                self.learn(child, &pending, line);
            }
            if let Some(guidance) = self.verdict_on(&pending, response, line) {
                let text = self.tell(&pending, &guidance);
                self.note_answer(&pending, Some(guidance.status));
                return Admission::Forward(text.into());
            }
            self.note_done(&pending, response, line);
            return Admission::Forward(line.clone());
        }
        if planted!(self, ForwardStrayAnswers) {
            return Admission::Forward(line.clone());
        }
        self.dropped(DropCause::AnswerToNothing, line.len());
        Admission::Keep
    }

    /// A well-answered request may tell something that matters later.
    fn learn(&mut self, child: Gen, pending: &super::inflight::Pending, line: &Bytes) {
        let method = &*pending.method;
        if let Some(list) = book::list_named(method) {
            let Some(page) = ListPage::in_line(line, book::member_of(list)) else { return };
            self.learn_page(child, list, pending.detail.as_deref(), &page);
            if self.is_modern() {
                self.name_server_of(&page);
            }
            if !pending.cancelled {
                self.seen.shown(child, list, pending.detail.as_deref(), SeenPage::of(&page));
            }
        } else if method == DISCOVER {
            self.learn_discovered(line);
        } else {
            self.replay.learn(method, pending.detail.as_deref());
        }
    }

    pub(super) fn note_done(
        &mut self,
        pending: &super::inflight::Pending,
        response: &Response,
        line: &Bytes,
    ) {
        self.account.due = true;
        self.note(Note::Done {
            id: pending.id.clone(),
            method: pending.method.clone(),
            name: pending.name.clone(),
            took: self.now.mono.saturating_sub(pending.arrived),
            is_error: response.is_error,
            bytes: line.len(),
        });
    }

    fn admit_notification(&mut self, child: Gen, notification: &Notification, line: &Bytes) -> Admission {
        let params = &notification.params;
        match (&*notification.method, &params.progress_token, &params.request_id) {
            ("notifications/progress", Some(token), _) => {
                if self.inflight.progress(token, params.progress.as_deref())
                    || planted!(self, ProgressBackwards)
                {
                    Admission::Forward(line.clone())
                } else {
                    self.dropped(DropCause::ProgressBackwards, line.len());
                    Admission::Keep
                }
            }
            ("notifications/cancelled", _, Some(id)) => {
                Admission::Forward(self.asked.withdraw(child, id, line))
            }
            (listen::ACKNOWLEDGED, ..) if self.is_modern() => {
                if let Some(current) = &mut self.child {
                    current.spoke = true;
                }
                if self.acknowledged(line) { Admission::Forward(line.clone()) } else { Admission::Keep }
            }
            _ => Admission::Forward(line.clone()),
        }
    }

    fn message_too_large(&mut self, child: Gen, message: &Message, len: u64) {
        let (id, asks) = match message {
            Message::Request(request) => (Some(&request.id), true),
            Message::Response(response) => (response.id.as_ref(), false),
            Message::Notification(_) => (None, true),
        };
        self.child_too_large(child, id, asks, len);
    }

    /// A line longer than the host would take. Whoever waits for it gets an answer from us.
    fn child_too_large(&mut self, child: Gen, id: Option<&Id>, asks: bool, len: u64) {
        self.dropped(DropCause::TooLarge, usize::try_from(len).unwrap_or(usize::MAX));
        let Some(id) = id else { return };
        if asks {
            let message =
                format!("the request is {len} bytes long, more than a host takes: it was not handed on");
            let refusal = answers::error(id, answers::INVALID_REQUEST, &message);
            if self.child.as_ref().is_some_and(super::Child::listens) {
                self.tell_child(child, refusal.into());
            }
            return;
        }
        if let Some(current) = &mut self.child {
            current.spoke = true;
            if let Some(own) = current.own.remove(id) {
                return self.own_answer_is_lost(&own);
            }
        }
        let greeting =
            self.child.as_ref().is_some_and(|current| current.greeting == Greeting::Sent(id.clone()));
        if greeting {
            self.doom(Doom::Crash("its greeting is longer than a host takes".to_owned()));
        } else if self.inflight.get(id).is_some_and(|pending| pending.written == Some(child)) {
            self.answer_too_large(id, len);
        }
    }
}

/// The length of a line as limits have it: without its line feed.
fn len_of(line: &[u8]) -> usize {
    line.strip_suffix(b"\n").unwrap_or(line).len()
}

/// Whether a server may send this of its own accord.
fn is_server_method(method: &str) -> bool {
    matches!(
        method,
        "ping"
            | "roots/list"
            | "sampling/createMessage"
            | "elicitation/create"
            | "tasks/get"
            | "tasks/list"
            | "tasks/result"
            | "tasks/cancel"
    ) || method.starts_with("notifications/")
}
