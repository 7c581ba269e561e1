//! What waits for a server: for how long, what it gets when nobody comes, and how it is written to one that does.

use std::time::Duration;

use bytes::Bytes;

use super::backoff::RETRY_ON_CALL;
use super::era::{DISCOVER, DISCOVER_WAIT, Opening};
use super::inflight::Pending;
use super::phase::Phase;
use super::queue::{BatchElement, Waiting};
use super::story::Why;
use super::suspect::SIGN;
use super::tools::Safety;
use super::upstream::State;
use super::{Engine, as_array, book, planted};
use crate::wire::Id;

impl Engine {
    /// Lets requests wait for a server, or answers them where none is to be expected.
    pub(super) fn wait(&mut self, ids: &[&Id], waiting: Waiting, bytes: usize) {
        let owned: Vec<Id> = ids.iter().map(|id| (*id).clone()).collect();
        if self.phase == Phase::Degraded && self.may_try(&owned) {
            for id in &owned {
                self.inflight.wait_until(id, self.now.mono + self.config.hold);
            }
            if self.queue.push(waiting, bytes).is_ok() {
                self.retry();
                return;
            }
            self.answer_ourselves(&owned, Why::QueueFull);
            return;
        }
        if self.phase == Phase::Degraded || self.trying && !self.may_come_to_serve() {
            self.answer_ourselves(&owned, Why::Unavailable);
            return;
        }
        // If no sign of life comes, the next child has as long for these requests as if they had come then. A host waits no
        // longer for its probe.
        let doubtful = self.is_doubtful();
        self.examine();
        for id in &owned {
            let Some(pending) = self.inflight.get(id) else { continue };
            let sign = if doubtful && &*pending.method != DISCOVER { SIGN } else { Duration::ZERO };
            let patience = self.patience(pending);
            self.inflight.wait_until(id, self.now.mono + sign + patience);
        }
        if self.queue.push(waiting, bytes).is_err() {
            self.answer_ourselves(&owned, Why::QueueFull);
        }
    }

    /// Whether a child that is an attempt runs and waits for the host, as one of the modern era does until it is asked.
    fn may_come_to_serve(&self) -> bool {
        let opens = matches!(self.opening, Opening::Enveloped | Opening::Probe);
        opens && self.phase == Phase::Starting && self.child.as_ref().is_some_and(super::Child::is_ready)
    }

    /// How long a request waits for a server that is on its way.
    pub(super) fn patience(&self, pending: &Pending) -> Duration {
        let list = book::is_list(&pending.method);
        let known = list && self.book.page(&pending.method, pending.detail.as_deref()).is_some();
        let discovers = &*pending.method == DISCOVER;
        if self.config.instant_start
            && !self.has_served
            && (known || discovers && self.replay.discovered.is_some())
        {
            return Duration::ZERO;
        }
        match (discovers, list && !known) {
            (true, _) => DISCOVER_WAIT,
            (false, true) => self.list_wait(),
            (false, false) => self.config.hold,
        }
    }

    /// Whether one of these requests is reason enough to try a degraded server again now.
    pub(super) fn may_try(&self, ids: &[Id]) -> bool {
        !self.host_eof
            && self.now.mono >= self.last_attempt + RETRY_ON_CALL
            && ids.iter().filter_map(|id| self.inflight.get(id)).any(|pending| wants_server(&pending.method))
    }

    /// Writes what waits to a serving child.
    pub(super) fn flush(&mut self) {
        while (self.phase == Phase::Serving && !self.awaits_sign())
            || (self.phase == Phase::Starting && planted!(self, WriteBeforeGreeting))
        {
            if let Some(id) = self.listens.unwritten(&self.inflight) {
                self.write(&id);
                continue;
            }
            let Some(waiting) = self.queue.pop() else { return };
            match waiting {
                Waiting::Request(id) => self.write(&id),
                Waiting::Other { line, answers } => {
                    self.expect_strays(answers, &line);
                    self.tell_child(self.generation, line);
                }
                Waiting::Batch { whole, elements } => self.write_batch(whole, elements),
            }
        }
    }

    /// Writes one request to the child.
    pub(super) fn write(&mut self, id: &Id) {
        let Some(pending) = self.inflight.get(id) else { return };
        if self.is_status_tool(pending) {
            return self.tell_status(id);
        }
        if let Some((bytes, _)) = self.mark_written(id) {
            self.tell_child(self.generation, bytes);
        }
    }

    /// Lines that could not be read as requests may get so many answers.
    pub(super) fn expect_strays(&mut self, answers: u32, line: &Bytes) {
        if let Some(child) = &mut self.child {
            child.strays.expect(answers, line);
        }
    }

    /// Marks a request as written. Returns its bytes, and whether they are the host's.
    fn mark_written(&mut self, id: &Id) -> Option<(Bytes, bool)> {
        let pending = self.inflight.get(id)?;
        let was_written = pending.times_written > 0 && !pending.stream;
        let refused = pending.refused.is_some() && self.repeats_refused() || planted!(self, RepeatRefused);
        if was_written && !refused {
            match self.repeatable(pending, pending.edition) {
                Safety::Safe => {}
                // Since the request was queued again, the server has declared the tool unsafe.
                Safety::Unsafe => {
                    self.answer_ourselves(std::slice::from_ref(id), Why::Restarted);
                    return None;
                }
                Safety::Unknown => {
                    self.doubt(std::slice::from_ref(id));
                    return None;
                }
            }
        }
        let call = &*pending.method == "tools/call";
        if call && !self.admits_call() {
            let guidance = self.upstream_guidance(self.inflight.get(id)?, State::Expired, false);
            self.answer_with_guidance(id, &guidance);
            return None;
        }
        let pending = self.inflight.get(id)?;
        let bytes = pending.kept.clone()?;
        let edition = self.book.tools.edition();
        let repeatable = self.repeatable(pending, edition) != Safety::Unsafe
            || call && self.repeats_refused()
            || planted!(self, RepeatRefused);
        self.inflight.written(id, self.generation, self.next_line(), repeatable, self.ends);
        self.inflight.is_of(id, edition);
        if let Some(limit) = self.config.call_timeout.filter(|limit| call && !limit.is_zero()) {
            self.inflight.wait_until(id, self.now.mono + limit);
        }
        let renamed = self.renamed(id, &bytes);
        let own = renamed.is_none();
        Some((renamed.unwrap_or(bytes), own))
    }

    pub(super) fn write_batch(&mut self, mut whole: Option<Bytes>, elements: Vec<BatchElement>) {
        let mut parts: Vec<Bytes> = Vec::with_capacity(elements.len());
        for element in elements {
            match element {
                BatchElement::Request(id)
                    if self.inflight.get(&id).is_some_and(|it| self.is_status_tool(it)) =>
                {
                    self.tell_status(&id);
                    whole = None;
                }
                BatchElement::Request(id) => match self.mark_written(&id) {
                    Some((bytes, own)) => {
                        whole = whole.filter(|_| own);
                        parts.push(bytes);
                    }
                    // It is answered, and must not be written with the others.
                    None => whole = None,
                },
                BatchElement::Other(bytes, answers) => {
                    self.expect_strays(answers, &bytes);
                    parts.push(bytes);
                }
            }
        }
        if !parts.is_empty() {
            self.tell_child(self.generation, whole.unwrap_or_else(|| as_array(&parts)));
        }
    }
}

/// Whether a request asks the server itself for something that nobody can answer in its place.
pub(super) fn wants_server(method: &str) -> bool {
    !book::is_list(method)
        && !matches!(
            method,
            "initialize"
                | DISCOVER
                | "ping"
                | "completion/complete"
                | "logging/setLevel"
                | "resources/subscribe"
                | "resources/unsubscribe"
        )
}
