//! What the host says: registered, recorded, and written to the child, queued, answered or dropped.

use bytes::Bytes;

use super::asked::Asked;
use super::era::Opening;
use super::inflight::Pending;
use super::io::Gen;
use super::note::{DropCause, Note};
use super::phase::Phase;
use super::queue::{BatchElement, Waiting};
use super::story::Why;
use super::timers::Timer;
use super::{Engine, answers, book};
use crate::wire::{
    Element, Frame, Id, Line, Message, Notification, Oversize, Parsed, Remains, Request, Response, edit,
    remains,
};

/// The most requests that are unanswered at once, those that the host has cancelled included.
const IN_FLIGHT: usize = 65_536;
/// Of how many cancelled requests a late answer is still expected.
const CANCELLED: usize = 1024;
/// The revision with batches.
const BATCH_REVISION: &str = "2025-03-26";

impl Engine {
    pub(super) fn host_line(&mut self, line: Line) {
        self.timers.disarm(Timer::Host);
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::Oversize(oversize) => return self.host_oversize(&oversize),
        };
        let frame = Frame::read(bytes);
        if !matches!(&frame.parsed, Parsed::One(Message::Request(request)) if self.is_new(&request.id)) {
            self.note(Note::Heard);
        }
        match frame.parsed {
            Parsed::One(Message::Request(request)) if self.is_new(&request.id) => {
                self.host_request(request, &frame.bytes);
            }
            Parsed::One(Message::Notification(notification)) => {
                if let Some(line) = self.host_notification(&notification, frame.bytes) {
                    self.pass_on(line, 0);
                }
            }
            Parsed::One(Message::Response(response)) => self.host_response(&response, &frame.bytes),
            Parsed::Batch(elements) if self.replay.told.as_deref() == Some(BATCH_REVISION) => {
                self.host_batch(&frame.bytes, elements);
            }
            // Its id is in flight. Two answers under one id could not be told apart, so it is not tracked.
            Parsed::One(Message::Request(_)) => {
                self.examine();
                self.pass_on(frame.bytes, 0);
            }
            Parsed::Batch(elements) => {
                let answers = elements.iter().filter(|element| may_be_answered(element)).count();
                // A server may take the array for a request.
                self.examine();
                self.pass_on(frame.bytes, u32::try_from(answers).unwrap_or(u32::MAX));
            }
            Parsed::Malformed(_) => {
                let answers = u32::from(!frame.bytes.trim_ascii().is_empty());
                self.examine();
                self.pass_on(frame.bytes, answers);
            }
        }
    }

    /// Whether no request with this id waits for an answer.
    fn is_new(&self, id: &Id) -> bool {
        self.inflight.get(id).is_none_or(|pending| pending.cancelled)
    }

    /// Enters a request. `false` if it has been answered already.
    fn register(&mut self, request: Request, bytes: &Bytes, batch: Option<u64>) -> bool {
        let id = request.id.clone();
        self.let_go(&id);
        self.note(Note::Requested {
            id: id.clone(),
            method: request.method.clone(),
            name: request.params.name.clone(),
        });
        // While a child is drained, a ping would wait for the next one.
        let ping = &*request.method == "ping" && self.phase != Phase::Serving && !request.params.enveloped;
        let detail = match &*request.method {
            "logging/setLevel" => edit::find_in(bytes, &["params", "level"]),
            "resources/subscribe" | "resources/unsubscribe" => edit::find_in(bytes, &["params", "uri"]),
            method if book::is_list(method) => {
                edit::find_in(bytes, &["params", "cursor"]).filter(|raw| *raw != "null")
            }
            _ => None,
        };
        let mut pending = Pending::new(request, bytes.clone(), self.now.mono, detail.map(Into::into));
        pending.batch = batch;
        pending.stream &= self.is_modern();
        let too_many = self.inflight.len() >= IN_FLIGHT;
        let status_tool = self.is_status_tool(&pending);
        self.inflight.register(pending);
        if too_many {
            self.answer_ourselves(std::slice::from_ref(&id), Why::QueueFull);
            return false;
        }
        if status_tool {
            self.tell_status(&id);
            return false;
        }
        if ping {
            self.answer_with(&id, answers::result(&id, "{}"));
            return false;
        }
        true
    }

    fn host_request(&mut self, request: Request, bytes: &Bytes) {
        let greets = &*request.method == "initialize"
            && self.opening != Opening::Enveloped
            && self.replay.greeting.is_none();
        if greets {
            self.replay.greeting = Some(bytes.clone());
            self.name_host(&["params", "clientInfo"], bytes);
        }
        self.open_with(&request, bytes);
        let id = request.id.clone();
        if !self.register(request, bytes, None) {
            return;
        }
        if self.inflight.get(&id).is_some_and(|pending| pending.stream) {
            // It waits for a child in its own place, for as long as it is open.
            self.examine();
            return self.listens.open(&id);
        }
        if greets {
            self.replay.greeting_id = Some(id);
            self.let_greeting_wait();
            if self.phase == Phase::Serving {
                // The host had opened with something else and greets now.
                self.send_greeting(self.generation);
            }
            return;
        }
        if self.phase == Phase::Serving && !self.is_doubtful() {
            self.write(&id);
            return;
        }
        self.wait(&[&id], Waiting::Request(id.clone()), bytes.len());
    }

    fn host_batch(&mut self, line: &Bytes, elements: Vec<Element>) {
        let batch = self.next_batch;
        self.next_batch += 1;
        let mut whole = Some(line.clone());
        let mut waiting: Vec<BatchElement> = Vec::with_capacity(elements.len());
        for element in elements {
            let bytes = line.slice(element.range);
            match element.message {
                Ok(Message::Request(request)) if self.is_new(&request.id) => {
                    let id = request.id.clone();
                    if self.register(request, &bytes, Some(batch)) {
                        waiting.push(BatchElement::Request(id));
                    } else {
                        whole = None;
                    }
                }
                Ok(Message::Notification(notification)) => {
                    match self.host_notification(&notification, bytes.clone()) {
                        Some(passed) => {
                            if passed != bytes {
                                whole = None;
                            }
                            waiting.push(BatchElement::Other(passed, 0));
                        }
                        None => whole = None,
                    }
                }
                Ok(Message::Response(response)) => {
                    // It goes on its own: its id may have to be changed back, and it never waits.
                    whole = None;
                    self.host_response(&response, &bytes);
                }
                Ok(Message::Request(_)) => waiting.push(BatchElement::Other(bytes, 0)),
                Err(_) => waiting.push(BatchElement::Other(bytes, 1)),
            }
        }
        if waiting.is_empty() {
            return;
        }
        if self.phase == Phase::Serving && !self.is_doubtful() {
            self.write_batch(whole, waiting);
            return;
        }
        let ids: Vec<Id> = waiting
            .iter()
            .filter_map(|element| match element {
                BatchElement::Request(id) => Some(id.clone()),
                BatchElement::Other(..) => None,
            })
            .collect();
        self.wait(&ids.iter().collect::<Vec<_>>(), Waiting::Batch { whole, elements: waiting }, line.len());
    }

    /// A notification of the host. Gives the bytes to pass on, where they are to be passed on.
    fn host_notification(&mut self, notification: &Notification, line: Bytes) -> Option<Bytes> {
        let child = self.generation;
        match &*notification.method {
            "notifications/initialized" => {
                self.replay.initialized = Some(line.clone());
                if self.awaits_sign() {
                    // The next child gets it in any case.
                    self.tell_child(child, line);
                    return None;
                }
                // A child that is not greeted yet is told when it is.
                (self.phase == Phase::Serving || self.opening == Opening::Bare).then_some(line)
            }
            "notifications/cancelled" => match notification.params.request_id.clone() {
                Some(id) => self.host_cancels(&id, line),
                None => Some(line),
            },
            "notifications/progress" => match &notification.params.progress_token {
                // It must not wait: the next child may have chosen the same token.
                Some(_) if !matches!(self.phase, Phase::Serving | Phase::Draining) => {
                    self.dropped(DropCause::NotificationToDead, line.len());
                    None
                }
                Some(token) => {
                    let passed = Asked::progress(child, token, &line);
                    match passed {
                        None => self.dropped(DropCause::NotificationToDead, line.len()),
                        // It is not to wait for the next child.
                        Some(passed) if self.phase == Phase::Draining || self.awaits_sign() => {
                            self.tell_child(child, passed);
                        }
                        Some(passed) => return Some(passed),
                    }
                    None
                }
                None => Some(line),
            },
            // A fresh server asks for the roots by itself.
            "notifications/roots/list_changed" if self.phase != Phase::Serving && child > Gen(1) => {
                self.dropped(DropCause::NotificationToDead, line.len());
                None
            }
            "notifications/tasks/status" if self.asked.is_dead_task(child, &line) => {
                self.dropped(DropCause::NotificationToDead, line.len());
                None
            }
            _ => Some(line),
        }
    }

    fn host_cancels(&mut self, said: &Id, line: Bytes) -> Option<Bytes> {
        let Some(pending) = self.inflight.get_like(said) else {
            if self.generation > Gen(1) || self.phase != Phase::Serving {
                // It may be meant for a request that only a dead server had, or that we have answered.
                self.dropped(DropCause::CancelOfDead, line.len());
                return None;
            }
            return Some(line);
        };
        let id = &pending.id.clone();
        let (stream, written) = (pending.stream, pending.written);
        let line = match pending.wire_id() {
            wire if wire.is_spelled_like(said) => line,
            wire => edit::replace(&line, &["params", "requestId"], &wire.to_json()),
        };
        let token = pending.wire_token().cloned();
        let is_greeting = self.replay.greeting_id.as_ref() == Some(id);
        if stream {
            self.listens.close(id);
        }
        if written.is_none() {
            self.queue.remove(id);
            self.inflight.take(id);
            if is_greeting {
                self.timers.disarm(Timer::Greeting);
                self.replay.greeting_id = None;
            }
            return None;
        }
        let first = self.inflight.get(id).is_some_and(|pending| !pending.cancelled);
        self.inflight.cancel(id);
        if let Some(child) = self.child.as_mut().filter(|child| written == Some(child.generation)) {
            child.owed_tokens.extend(token);
        }
        if is_greeting {
            self.timers.disarm(Timer::Greeting);
        }
        if self.inflight.cancelled() > CANCELLED {
            let oldest = self.inflight.oldest_cancelled().cloned();
            oldest.inspect(|id| self.let_go(id));
        }
        // A server that has not answered its greeting must not hear anything, and hosts end the connection after this.
        if is_greeting {
            return None;
        }
        let listening =
            self.child.as_ref().is_some_and(|child| child.listens() && written == Some(child.generation));
        if listening && first && !stream {
            self.told_to_leave();
        }
        if listening && (matches!(self.phase, Phase::Starting | Phase::Draining) || self.awaits_sign()) {
            // It is not to wait behind what waits for another child, or for a sign of this one.
            self.tell_child(self.generation, line);
            return None;
        }
        (self.phase == Phase::Serving).then_some(line)
    }

    fn host_response(&mut self, response: &Response, line: &Bytes) {
        if Self::is_of_our_ping(response.id.as_ref()) {
            return;
        }
        let listening = self.child.as_ref().filter(|child| child.listens()).map(|child| child.generation);
        let Some(id) = &response.id else { return self.pass_on(line.clone(), 0) };
        match listening.and_then(|child| Some((child, self.asked.answer(child, id, line)?))) {
            Some((child, answer)) => self.tell_child(child, answer),
            None => self.dropped(DropCause::AnswerToDead, line.len()),
        }
    }

    /// Passes on a line that is no tracked request, and to which this many answers may come. It is written to a serving
    /// child, kept for one that is on its way, and dropped otherwise.
    fn pass_on(&mut self, line: Bytes, answers: u32) {
        let len = line.len();
        match self.phase {
            Phase::Serving if !self.awaits_sign() => {
                self.expect_strays(answers, &line);
                self.tell_child(self.generation, line);
            }
            Phase::Serving | Phase::Starting | Phase::Crashed | Phase::Waiting | Phase::Draining
                if !self.trying =>
            {
                if self.queue.push(Waiting::Other { line, answers }, len).is_err() {
                    self.dropped(DropCause::QueueFull, len);
                }
            }
            Phase::Serving
            | Phase::Starting
            | Phase::Crashed
            | Phase::Waiting
            | Phase::Draining
            | Phase::Degraded
            | Phase::Stopping
            | Phase::Stopped => self.dropped(DropCause::JunkToDead, len),
        }
    }

    /// A line that is longer than we read. If it is a request it gets an answer, for the host waits for one.
    fn host_oversize(&mut self, line: &Oversize) {
        let Remains { id, method, .. } = remains(line);
        let len = usize::try_from(line.len).unwrap_or(usize::MAX);
        self.dropped(DropCause::TooLarge, len);
        let Some(id) = id.filter(|id| !self.inflight.contains(id)) else { return };
        let listening = self.child.as_ref().filter(|child| child.listens()).map(|child| child.generation);
        let message =
            format!("the message is {len} bytes long, more than is read (--max-line): it was not handed on");
        let refusal: Bytes = answers::error(&id, answers::INVALID_REQUEST, &message).into();
        let answers = listening.filter(|_| method.is_none());
        match answers.and_then(|child| Some((child, self.asked.answer(child, &id, &refusal)?))) {
            // It was the host's answer to a request of the server, which waits for one.
            Some((child, refusal)) => self.tell_child(child, refusal),
            None => self.say_to_host(String::from_utf8_lossy(&refusal).into_owned()),
        }
    }
}

/// Whether a server that takes arrays may answer this element of one.
fn may_be_answered(element: &Element) -> bool {
    match &element.message {
        Ok(Message::Request(_)) | Err(_) => true,
        Ok(Message::Notification(_) | Message::Response(_)) => false,
    }
}
