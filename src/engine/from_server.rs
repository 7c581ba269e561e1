//! What a child says: admitted to the host, taken for ourselves, or told to be noise.

use bytes::Bytes;

use super::answers;
use super::compare::SeenPage;
use super::era::{DISCOVER, Opening};
use super::inflight::{Pending, Progress};
use super::io::Gen;
use super::note::{DropCause, Note};
use super::own::Own;
use super::replay::OWN_IDS;
use super::waiting::wants_server;
use super::{Doom, Engine, Greeting, as_array, book, is_server_method, len_of, listen, planted};
use crate::wire::{
    Element, Frame, Id, Line, ListPage, Malformed, Mended, Message, Notification, Parsed, Response, edit,
    mend, remains,
};

/// The revision from which on an error may lack its id.
const IDLESS_ERRORS: &str = "2025-11-25";
/// The revision with batches.
pub(super) const BATCH_REVISION: &str = "2025-03-26";

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
        if let Some(current) = &mut self.child {
            current.pulse.spoke();
        }
        match line {
            Line::Whole(bytes) => self.child_bytes(child, bytes),
            Line::Oversize(oversize) => {
                let remains = remains(&oversize);
                // A log line may contain an id too.
                if remains.id.is_none() || !remains.versioned {
                    self.noise(child, oversize.head.clone());
                    self.noise(child, oversize.tail);
                    return;
                }
                self.child_too_large(child, remains.id.as_ref(), remains.method.is_some(), oversize.len);
            }
        }
    }

    fn child_bytes(&mut self, child: Gen, bytes: Bytes) {
        let frame = Frame::read(bytes);
        if matches!(frame.parsed, Parsed::Malformed(_)) {
            self.may_answer_ping(&frame.bytes);
        }
        match &frame.parsed {
            Parsed::Malformed(Malformed::NotJson) => match mend(&frame.bytes) {
                Some(mended) => self.child_mended(child, mended, frame.bytes),
                None => self.embedded(child, &frame.bytes),
            },
            Parsed::One(_) | Parsed::Batch(_) | Parsed::Malformed(Malformed::NotJsonRpc) => {
                self.child_frame(child, frame);
            }
        }
    }

    /// A line that is JSON.
    fn child_frame(&mut self, child: Gen, frame: Frame) {
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
            Parsed::Batch(elements) if self.answers_strays(child, &elements) => {
                self.forward_to_host(frame.bytes);
            }
            // Whole JSON with nothing in front of it: a message inside it is quoted, in a log for instance.
            Parsed::Batch(_) => self.noise(child, frame.bytes),
            Parsed::Malformed(_) => {
                let answers = |name: &&str| edit::find_in(&frame.bytes, &[*name]).is_some();
                if ["result", "error"].iter().any(answers) {
                    self.damaged(child, &frame.bytes);
                }
                self.noise(child, frame.bytes);
            }
        }
    }

    /// A line that is JSON once it is mended. An awaited answer must not be lost because of a number or a text that
    /// JSON does not have, and hosts that read such a line at all read it in the same way.
    fn child_mended(&mut self, child: Gen, mended: Mended, line: Bytes) {
        // With other numbers the line is intact. Text that was cut in one place may have been cut elsewhere too.
        let is_text = std::str::from_utf8(&line).is_ok();
        let believed = match &mended.frame.parsed {
            _ if is_text => true,
            Parsed::One(Message::Response(response)) => {
                response.id.as_ref().is_some_and(|id| self.awaited(child, id).is_some())
            }
            Parsed::One(Message::Notification(notification)) => is_server_method(&notification.method),
            // The answer would go back under an id that may not be the one of the request.
            Parsed::One(Message::Request(_)) | Parsed::Malformed(_) => false,
            Parsed::Batch(_) => self.replay.told.as_deref() == Some(BATCH_REVISION),
        };
        if !believed {
            return self.noise(child, line);
        }
        if mended.numbers == 0 {
            self.note(Note::Mended { child });
        } else if !std::mem::replace(&mut self.oddities.numbers, true) {
            self.note(Note::NumbersMended { child });
        }
        self.child_frame(child, mended.frame);
    }

    /// Whether all of these answer lines that we could not read, such as an array from the host in a revision without
    /// arrays. If so, they are counted off.
    fn answers_strays(&mut self, child: Gen, elements: &[Element]) -> bool {
        let stray = |element: &Element| match &element.message {
            Ok(Message::Response(response)) => {
                let is_known = |id: &Id| self.inflight.contains(id) || self.awaited(child, id).is_some();
                response.id.as_ref().is_none_or(|id| !is_known(id) && !is_ours(id))
            }
            Ok(Message::Request(_) | Message::Notification(_)) | Err(_) => false,
        };
        let ids: Vec<&Id> = elements.iter().filter_map(id_of).collect();
        elements.iter().all(stray) && self.is_stray(child, elements.len(), &ids)
    }

    /// Whether this child may still give so many answers to lines that we could not read. If so, they are counted off.
    fn is_stray(&mut self, child: Gen, answers: usize, ids: &[&Id]) -> bool {
        let current = self.child.as_mut().filter(|current| current.generation == child);
        current.is_some_and(|current| current.strays.take(answers, ids))
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

    /// The bytes of a message that the host gets. `None` if it gets nothing.
    pub(super) fn admitted(&mut self, child: Gen, message: &Message, line: &Bytes) -> Option<Bytes> {
        match self.admit(child, message, line) {
            Admission::Forward(line) => Some(line),
            Admission::Keep => None,
            Admission::Noise => {
                self.noise(child, line.clone());
                None
            }
        }
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
                let current = self.child.as_mut();
                let quotation = current.and_then(|child| child.held_back.dispel_question(&request.id));
                if let Some(quotation) = quotation {
                    self.noise(child, quotation);
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
        let Some(current) = self.child.as_mut() else { return Admission::Keep };
        let Some(said) = &response.id else { return self.admit_without_id(child, response, line) };
        current.spoke = true;
        let Some(wire) = self.awaited(child, said) else {
            if let Some(current) = &mut self.child {
                current.pulse.answered_else();
            }
            return self.admit_stray(child, said, line);
        };
        let line = &self.as_asked(child, said, &wire, line);
        let Some(current) = self.child.as_mut() else { return Admission::Keep };
        if let Some(quotation) = current.held_back.dispel(&wire) {
            self.noise(child, quotation);
        }
        let Some(current) = self.child.as_mut() else { return Admission::Keep };
        if current.own.get(&wire) != Some(&Own::Ping) {
            current.pulse.answered_else();
        }
        if current.greeting == Greeting::Sent(wire.clone()) {
            if current.doom.is_some() && !self.inflight.contains(&wire) {
                // It has answered already, or too late.
                self.dropped(DropCause::AnswerToNothing, line.len());
                return Admission::Keep;
            }
            let line = self.greeting_answer(child, &wire, response, line);
            self.has_answered(wire, None);
            return line.map_or(Admission::Keep, Admission::Forward);
        }
        if let Some(own) = current.own.remove(&wire) {
            let token = if let Own::Late { token, .. } = &own { token.as_ref() } else { None };
            if let Some(token) = token {
                current.owed_tokens.remove(token);
            }
            let token = token.cloned();
            self.has_answered(wire, token.as_ref());
            self.own_answer(child, &own, response, line);
            return Admission::Keep;
        }
        let Some(id) = self.inflight.known_as(&wire, child).cloned() else { return Admission::Keep };
        if self.withhold(child, &id, response, line) {
            let token = self.inflight.get(&id).and_then(|pending| pending.wire_token().cloned());
            self.has_answered(wire, token.as_ref());
            return Admission::Keep;
        }
        if self.is_goodbye(child, &id) && !planted!(self, TellGoodbye) {
            self.dropped(DropCause::Goodbye, line.len());
            return Admission::Keep;
        }
        let Some(pending) = self.inflight.complete(&id, child) else { return Admission::Keep };
        self.has_answered(wire, pending.wire_token());
        if &*pending.method == DISCOVER {
            // The host has its answer from the child itself, and can choose its era.
            if let Some(current) = &mut self.child {
                current.probed = false;
            }
        }
        if pending.stream {
            self.listens.close(&id);
        }
        if wants_server(&pending.method)
            && let Some(current) = &mut self.child
        {
            current.worked = true;
        }
        if !response.is_error {
            self.learn(child, &pending, line);
        } else if &*pending.method == DISCOVER && self.opening != Opening::Greeting {
            self.unlearn_discovered();
        }
        if pending.cancelled
            && let (Some(current), Some(token)) = (&mut self.child, pending.wire_token())
        {
            current.owed_tokens.remove(token);
        }
        if pending.token.is_some() && !pending.cancelled && begins_task(&pending, line) {
            self.inflight.goes_on(&pending);
        }
        if let Some(guidance) = self.verdict_on(&pending, response, line) {
            let text = self.tell(&pending, &guidance);
            self.note_answer(&pending, Some(guidance.status));
            return Admission::Forward(text.into());
        }
        self.note_done(&pending, response, line);
        Admission::Forward(line.clone())
    }

    /// The child has answered what it knows by these, so that another answer to it is one too many.
    fn has_answered(&mut self, wire: Id, token: Option<&Id>) {
        if let Some(current) = self.child.as_mut().filter(|_| !is_ours(&wire)) {
            current.strays.done(wire, token);
        }
    }

    /// An answer that names no request.
    fn admit_without_id(&mut self, child: Gen, response: &Response, line: &Bytes) -> Admission {
        self.may_answer_ping(line);
        let may_lack = self.replay.told_at_least(IDLESS_ERRORS) || self.is_modern();
        if may_lack && !response.has_odd_id || self.is_stray(child, 1, &[]) {
            Admission::Forward(line.clone())
        } else {
            Admission::Noise
        }
    }

    /// An answer to no request: to a line of the host that we could not read, or one too many.
    fn admit_stray(&mut self, child: Gen, id: &Id, line: &Bytes) -> Admission {
        // A request that waits for another child, or for a verdict, is not answered by this child.
        let pending = |id: &Id| self.inflight.contains(id);
        let matches = is_ours(id) || pending(id) || id.twin().is_some_and(|twin| pending(&twin));
        if planted!(self, ForwardStrayAnswers) || !matches && self.is_stray(child, 1, &[id]) {
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
        if notification.null_id {
            // Hosts that validate messages refuse such a notification.
            return Admission::Noise;
        }
        let params = &notification.params;
        let (request, line) = if self.is_modern() {
            let Some(about) = self.about_stream(child, notification, line) else {
                self.dropped(DropCause::Goodbye, line.len());
                return Admission::Keep;
            };
            about
        } else {
            (params.request_id.clone(), line.clone())
        };
        match (&*notification.method, &params.progress_token, &request) {
            ("notifications/progress", Some(token), _) => {
                self.admit_progress(child, token, params.progress.as_deref(), &line)
            }
            // The server sends no requests in this era, so it can only end a stream.
            ("notifications/cancelled", _, Some(id))
                if self.is_modern() && !planted!(self, SpliceStreams) =>
            {
                if !self.ends_stream(child, id, &line) {
                    self.dropped(DropCause::Goodbye, line.len());
                    return Admission::Keep;
                }
                Admission::Forward(line)
            }
            ("notifications/cancelled", _, Some(id)) => {
                Admission::Forward(self.asked.withdraw(child, id, &line))
            }
            (listen::ACKNOWLEDGED, ..) if self.is_modern() => {
                if let Some(current) = &mut self.child {
                    current.spoke = true;
                }
                if self.acknowledged(&line) { Admission::Forward(line) } else { Admission::Keep }
            }
            _ => Admission::Forward(line),
        }
    }

    /// Drops progress of requests that the host no longer waits for: hosts close the connection because of it.
    fn admit_progress(&mut self, child: Gen, token: &Id, progress: Option<&str>, line: &Bytes) -> Admission {
        let owed = |token: &Id| self.child.as_ref().is_some_and(|child| child.owed_tokens.contains(token));
        let found = match (self.inflight.progress(child, token, progress), token.twin()) {
            (Progress::Unknown, _) if owed(token) => Progress::Unwanted,
            (Progress::Unknown, Some(twin)) => self.inflight.progress(child, &twin, progress),
            (found, _) => found,
        };
        match found {
            Progress::Of(own) if own.is_spelled_like(token) => Admission::Forward(line.clone()),
            Progress::Of(own) => {
                Admission::Forward(edit::replace(line, &["params", "progressToken"], &own.to_json()))
            }
            Progress::Backwards if planted!(self, ProgressBackwards) => Admission::Forward(line.clone()),
            Progress::Backwards => {
                self.dropped(DropCause::ProgressBackwards, line.len());
                Admission::Keep
            }
            // It may belong to a line that we could not read.
            Progress::Unknown if self.child.as_ref().is_some_and(|child| child.strays.may_report(token)) => {
                Admission::Forward(line.clone())
            }
            Progress::Unwanted | Progress::Unknown if planted!(self, ProgressOfNothing) => {
                Admission::Forward(line.clone())
            }
            Progress::Unwanted | Progress::Unknown => {
                self.dropped(DropCause::ProgressOfNothing, line.len());
                Admission::Keep
            }
        }
    }

    pub(super) fn message_too_large(&mut self, child: Gen, message: &Message, len: u64) {
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
        let Some(id) = self.awaited(child, id) else { return };
        if let Some(current) = &mut self.child {
            current.spoke = true;
            current.held_back.dispel(&id);
            match current.own.remove(&id) {
                // What the answer to a ping says does not matter.
                Some(Own::Ping) => return self.ping_answered(),
                Some(own) => {
                    current.pulse.answered_else();
                    return self.own_answer_is_lost(&own);
                }
                None => current.pulse.answered_else(),
            }
        }
        let greeting =
            self.child.as_ref().is_some_and(|current| current.greeting == Greeting::Sent(id.clone()));
        if greeting {
            self.doom(Doom::Crash("its greeting is longer than a host takes".to_owned()));
        } else if let Some(own) = self.inflight.known_as(&id, child).cloned() {
            let token = self.inflight.get(&own).and_then(|pending| pending.wire_token().cloned());
            self.answer_too_large(&own, len);
            self.has_answered(id, token.as_ref());
        }
    }
}

/// The id of an answer in an array.
fn id_of(element: &Element) -> Option<&Id> {
    match &element.message {
        Ok(Message::Response(response)) => response.id.as_ref(),
        Ok(Message::Request(_) | Message::Notification(_)) | Err(_) => None,
    }
}

/// Whether this is an id of ours.
fn is_ours(id: &Id) -> bool {
    id.as_text().is_some_and(|text| text.starts_with(OWN_IDS))
}

/// Whether a request goes on as a task after this answer: it asked for one, or the server made it one.
fn begins_task(pending: &Pending, line: &[u8]) -> bool {
    pending.task || edit::find_in(line, &["result", "resultType"]) == Some("\"task\"")
}
