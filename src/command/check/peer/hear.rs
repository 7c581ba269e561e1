//! What is heard on stdout: lines, the messages in them, and what each of these is to the requests that were made.

use bytes::Bytes;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::codec::Decoder as _;

use super::super::lines::{excerpt, half, nothing_but_a_null_id, read, refused};
use super::super::nearly::{Piece, before_header, from_utf16, meant};
use super::super::seen::Form;
use super::Peer;
use crate::wire::{Frame, Id, Line, Message, Notification, Parsed, Response, salvage};

impl Peer {
    pub(super) fn take_all(&mut self) {
        while let Ok(Some(line)) = self.codec.decode(&mut self.heard) {
            self.take(line);
        }
    }

    /// What is left at the end of stdout is a line without an end.
    pub(super) fn finish(&mut self) {
        if let Ok(Some(line)) = self.codec.decode_eof(&mut self.heard) {
            let start = match &line {
                Line::Whole(bytes) => bytes,
                Line::Oversize(ends) => &ends.head,
            };
            // Of a line feed in UTF-16 a part is left, and a message behind a header has none.
            let forms = &self.output.forms;
            let is_rest =
                start.iter().all(|byte| matches!(byte, 0 | b'\n')) || forms.contains_key(&Form::Frames);
            if !is_rest {
                self.output.unfinished = Some(excerpt(&self.mask, start));
            }
        }
    }

    fn take(&mut self, line: Line) {
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::Oversize(ends) => {
                self.output.longest = self.output.longest.max(ends.len);
                self.noise(&ends.head);
                return;
            }
        };
        self.output.longest = self.output.longest.max(bytes.len() as u64 - 1);
        self.output.crlf += usize::from(bytes.ends_with(b"\r\n"));
        self.output.bom |= bytes.starts_with("\u{feff}".as_bytes());
        if let Some(text) = from_utf16(&bytes) {
            self.formed(Form::Utf16, text.as_bytes());
            self.take_message(&Frame::read(text.into()));
            return;
        }
        self.take_message(&Frame::read(bytes));
    }

    fn take_message(&mut self, frame: &Frame) {
        match &frame.parsed {
            Parsed::One(Message::Response(Response { has_odd_id: true, is_error: false, .. })) => {
                let answer = read(&frame.bytes);
                self.instead = Some((answer["id"].to_string(), answer, Instant::now()));
            }
            Parsed::One(message)
                if !matches!(
                    message,
                    Message::Notification(Notification { null_id: true, .. })
                        | Message::Response(Response { has_odd_id: true, .. })
                ) =>
            {
                self.let_go();
                self.hear(message, &frame.bytes);
            }
            Parsed::Batch(elements) if elements.iter().all(|element| element.message.is_err()) => {
                self.noise(&frame.bytes);
            }
            Parsed::Batch(elements) => {
                self.output.batches.add(|| excerpt(&self.mask, &frame.bytes));
                for element in elements {
                    if let Ok(message) = &element.message {
                        self.hear(message, &frame.bytes[element.range.clone()]);
                    }
                }
            }
            Parsed::One(_) | Parsed::Malformed(_) => self.take_other(&frame.bytes),
        }
    }

    /// A line that no host reads.
    fn take_other(&mut self, bytes: &Bytes) {
        if nothing_but_a_null_id(bytes) {
            self.output.null_ids += 1;
            return;
        }
        if let Some((form, message)) = meant(bytes) {
            self.formed(form, bytes);
            if let Parsed::One(message_of) = &Frame::read(message.clone()).parsed {
                self.hear(message_of, &message);
            }
            return;
        }
        if let Some(before) = before_header(bytes) {
            self.formed(Form::Frames, bytes);
            let before = Bytes::copy_from_slice(before);
            if let Parsed::One(message) = &Frame::read(before.clone()).parsed {
                self.hear(message, &before);
            }
            return;
        }
        // Headers end with an empty line.
        if bytes.trim_ascii().is_empty() && self.output.forms.contains_key(&Form::Frames) {
            return;
        }
        // A host loses a message that is glued behind noise. What it was is asked for all the same, so that there is one
        // finding and not one for each answer.
        let found = salvage(bytes, false);
        if !found.is_empty() {
            self.let_go();
            self.noise(bytes);
            for found in found {
                self.hear(&found.message, &found.bytes);
            }
            return;
        }
        match self.pieces.take(bytes) {
            Piece::Held => self.held.add(|| excerpt(&self.mask, bytes)),
            Piece::Whole(message) => {
                let first = std::mem::take(&mut self.held).first.into_iter().next();
                self.output.forms.entry(Form::Spread).or_default().add(|| first.unwrap_or_default());
                if let Parsed::One(message_of) = &Frame::read(message.clone()).parsed {
                    self.hear(message_of, &message);
                }
            }
            Piece::Other => {
                self.let_go();
                self.noise(bytes);
            }
        }
    }

    fn noise(&mut self, bytes: &[u8]) {
        self.output.noise_now(self.closing, self.terminated).add(|| excerpt(&self.mask, bytes));
    }

    fn formed(&mut self, form: Form, bytes: &[u8]) {
        self.output.forms.entry(form).or_default().add(|| excerpt(&self.mask, bytes));
    }

    /// Lines that were held as parts of a message are no message.
    pub(super) fn let_go(&mut self) {
        self.pieces.forget();
        let held = std::mem::take(&mut self.held);
        self.output.noise_now(self.closing, self.terminated).append(held);
    }

    fn hear(&mut self, message: &Message, bytes: &[u8]) {
        let whole = read(bytes);
        if let Some(half) = half(&self.mask, bytes) {
            self.output.halves.add_once(|| half);
        }
        if let Some(why) = refused(&whole) {
            self.output.refused.add_once(|| why);
        }
        match message {
            Message::Response(response) => {
                let Some(id) = &response.id else { return };
                if whole.get("result").is_some() && whole.get("error").is_some() {
                    self.formed(Form::Both, bytes);
                }
                self.hear_answer(id, response.is_error, whole);
            }
            Message::Request(request) => {
                let method = request.method.to_string();
                let id = request.id.to_json();
                if method == "ping" {
                    self.reply(&format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{}}}}"#));
                    return;
                }
                if self.greeted {
                    self.output.asks.add(|| method);
                } else {
                    self.output.early.add(|| method);
                }
                let error = r#"{"code":-32601,"message":"this client offers no such thing"}"#;
                self.reply(&format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#));
            }
            Message::Notification(notification) => {
                let method = notification.method.to_string();
                if method == "notifications/progress" {
                    self.hear_progress(notification, &whole["params"]["progressToken"]);
                }
                if !self.greeted && method != "notifications/message" {
                    self.output.early.add(|| method);
                }
            }
        }
    }

    fn hear_answer(&mut self, id: &Id, is_error: bool, answer: Value) {
        let awaited = |id: &Id| self.asked.get(id).filter(|id| !self.answered.contains(*id)).cloned();
        // An integer and its text are one id to some clients.
        let Some(asked) = awaited(id).or_else(|| awaited(&id.twin()?)) else {
            if self.answered.contains(id) {
                self.output.twice.add(|| id.to_json());
            } else {
                self.output.unasked.add(|| id.to_json());
            }
            self.instead = Some((id.to_json(), answer, Instant::now()));
            return;
        };
        if !id.is_spelled_like(&asked) {
            self.output.respelled.add(|| format!("{} with {}", asked.to_json(), id.to_json()));
        }
        self.output.at_end += usize::from(self.closing);
        // What comes after it, in the same write too, comes after the greeting.
        self.greeted |= !is_error;
        self.answered.insert(asked.clone());
        self.answers.insert(asked, answer);
    }

    fn hear_progress(&mut self, notification: &Notification, token: &Value) {
        let given = notification.params.progress_token.as_ref();
        let known = given
            .and_then(|id| self.tracked.get(id).cloned().or_else(|| self.tracked.get(&id.twin()?).cloned()));
        match known {
            Some(id) if self.answered.contains(&id) => {
                self.output.progress.add_once(|| format!("of the call {} after its result", id.to_json()));
            }
            Some(_) => {}
            None => {
                self.output.progress.add_once(|| format!("with the token {token}, which it was not given"));
            }
        }
    }
}
