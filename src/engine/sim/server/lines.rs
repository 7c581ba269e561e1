//! The lines that a model server writes: messages alone, behind noise, in batches, in the other spelling of their ids, and
//! what is no message.

use std::time::Duration;

use super::super::check_inject::REFUSED;
use super::super::parse;
use super::super::rng::Rng;
use super::super::world::{Event, Said, Sched};
use super::{Server, Shape};

impl Server {
    /// It may take the decimal text of a number for the number, or the reverse.
    pub(super) fn spelled(&self, id: String) -> String {
        if !self.twins || id.starts_with("\"mcp-supervise") {
            return id;
        }
        match id.strip_prefix('"').and_then(|id| id.strip_suffix('"')) {
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.to_owned(),
            Some(_) => id,
            None => format!("\"{id}\""),
        }
    }

    /// Says one message, sometimes behind noise or as a batch.
    pub(super) fn say(&self, delay: Duration, message: String, sched: &mut Sched) {
        let wild = sched.profile.wild;
        let (line, shape) = if message.len() > sched.profile.max_answer && sched.rng.percent(50) {
            (message.clone(), Shape::TooMuch)
        } else if sched.rng.percent(wild / 5) && may_be_glued(&message) {
            (format!("[info] ready {{ok}} {message}"), Shape::Glued)
        } else if self.batches && !message.contains("protocolVersion") && sched.rng.percent(wild / 4) {
            (format!("[{message}]"), Shape::Batch)
        } else if sched.rng.percent(2) {
            (format!("\u{feff}{message}\r"), Shape::Plain)
        } else {
            (message.clone(), Shape::Plain)
        };
        self.says(delay, Said { line, inner: vec![message], shape }, sched);
    }

    pub(super) fn says(&self, delay: Duration, said: Said, sched: &mut Sched) {
        // A server that hangs by then no longer says what it would have said.
        sched.after(delay, Event::Says(self.generation, said));
    }
}

/// Whether the checker can follow this message behind noise: a tool's result, or a notification that only servers send.
fn may_be_glued(message: &str) -> bool {
    let Some(parsed) = parse::message(message) else { return false };
    match parsed.method.as_deref() {
        Some("notifications/cancelled" | "notifications/tasks/status") => false,
        Some(_) => !parsed.is_request(),
        None => {
            message.contains("\"content\":[{")
                && !message.contains(REFUSED)
                && !message.contains("mcp-supervise:")
        }
    }
}

pub(super) fn noise(rng: &mut Rng) -> Said {
    let line = *rng.pick(&[
        "Listening on stdio",
        "",
        "{\"level\":30,\"msg\":\"pino\"}",
        "{not json}",
        "[1, 2]",
        "[]",
        "null",
        "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"result\":{}}",
        "{\"jsonrpc\":\"2.0\",\"id\":0}",
        "{{{{{{{{{{ \"jsonrpc\"",
    ]);
    Said { line: line.to_owned(), inner: Vec::new(), shape: Shape::Noise }
}
