//! The requests that a crash leaves behind: which are sent again, which are answered, which are forgotten, and about
//! which the next child is [asked](super::doubt) first.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::era::{DISCOVER, DISCOVER_WAIT};
use super::inflight::Pending;
use super::io::Gen;
use super::note::{DropCause, Note};
use super::phase::Phase;
use super::queue::{BatchElement, Waiting};
use super::story::{Trouble, Why};
use super::tools::{Edition, Safety};
use super::{Engine, Repeat, planted};
use crate::wire::{Frame, Id, Message, Parsed};

impl Engine {
    /// The last of the lines that were `written` to the dead child never reached it: their requests are simply sent to the next one.
    pub(super) fn unsend(&mut self, dead: Gen, written: u64, lines: &[Bytes]) {
        let first = written.saturating_sub(lines.len() as u64);
        for (number, line) in (first..).zip(lines) {
            match Frame::read(line.clone()).parsed {
                Parsed::One(Message::Request(request)) => {
                    self.unsend_one(&request.id, dead, number, line);
                }
                Parsed::Batch(elements) => {
                    for element in elements {
                        if let Ok(Message::Request(request)) = element.message {
                            self.unsend_one(&request.id, dead, number, &line.slice(element.range));
                        }
                    }
                }
                Parsed::One(Message::Notification(_) | Message::Response(_)) | Parsed::Malformed(_) => {
                    self.dropped(DropCause::NotificationToDead, line.len());
                }
            }
        }
    }

    fn unsend_one(&mut self, wire: &Id, dead: Gen, number: u64, bytes: &Bytes) {
        if let Some(id) = self.inflight.known_as(wire, dead).cloned() {
            let bytes = self.unrenamed(&id, bytes);
            self.inflight.unsend(&id, dead, number, bytes);
        }
    }

    /// Handles what the dead child had not answered. A cancelled request is forgotten, and one that is safe is sent
    /// again. If the next child has to be asked whether it is safe, it is set aside. Any other is answered, and its
    /// outcome is unknown. `crashed` is whether the child ended for another reason than a plan of ours.
    pub(super) fn settle_inflight(&mut self, dead: Gen, crashed: bool) {
        let mut again: Vec<Id> = Vec::new();
        let mut lost: Vec<Id> = Vec::new();
        let mut doubted: Vec<Id> = Vec::new();
        if crashed && self.trouble.as_ref().is_some_and(Trouble::is_its_own) {
            self.inflight.outlived(dead);
        }
        for id in self.inflight.ids(|pending| pending.written == Some(dead)) {
            let Some(pending) = self.inflight.get(&id) else { continue };
            if pending.cancelled && !planted!(self, RepeatCancelled) {
                self.inflight.take(&id);
                if self.replay.greeting_id.as_ref() == Some(&id) {
                    // The host may use the id for another request.
                    self.replay.greeting_id = None;
                }
            } else if pending.stream && self.phase != Phase::Stopping {
                self.inflight.requeue(&id, None);
            } else if self.replay.greeting_id.as_ref() == Some(&id) {
                // The host waits for its greeting: the next child gets it first.
                self.inflight.requeue(&id, None);
            } else if self.phase == Phase::Stopping {
                lost.push(id);
            } else {
                match self.may_repeat(pending) {
                    Safety::Safe => again.push(id),
                    Safety::Unsafe => lost.push(id),
                    Safety::Unknown => doubted.push(id),
                }
            }
        }
        if planted!(self, LoseAnswerAtCrash) {
            for id in &lost {
                self.inflight.take(id);
            }
            lost.clear();
        }
        let why = if self.phase == Phase::Stopping { Why::Stopping } else { Why::Restarted };
        self.answer_ourselves(&lost, why);
        self.doubt(&doubted);
        self.requeue(&again);
    }

    /// Whether a request that a child had may be written to the next one.
    pub(super) fn may_repeat(&self, pending: &Pending) -> Safety {
        if pending.unsent && pending.times_written == 0 {
            return Safety::Safe;
        }
        if planted!(self, RepeatUnsafe) && pending.kept.is_some() {
            return Safety::Safe;
        }
        if pending.kept.is_none() || pending.times_written >= 2 {
            return Safety::Unsafe;
        }
        self.repeatable(pending, pending.edition)
    }

    /// Whether a request that a child of this edition has may be written to a second child.
    pub(super) fn repeatable(&self, pending: &Pending, of: Edition) -> Safety {
        match self.config.repeat {
            Repeat::Safe => self.safety(pending, of),
            Repeat::Never => Safety::Unsafe,
        }
    }

    /// Whether a request that a child has, or had, is known to be safe to repeat.
    pub(super) fn is_safe(&self, pending: &Pending) -> bool {
        self.safety(pending, pending.edition) == Safety::Safe
    }

    /// Whether a request does no more when it is made twice: by its method, or by what its tool declares.
    fn safety(&self, pending: &Pending, of: Edition) -> Safety {
        let safe = match &*pending.method {
            "tools/call" if planted!(self, RepeatUnsafe) => true,
            "tools/call" => {
                let safety = self.book.tools.safety(pending.name.as_deref(), of);
                if safety == Safety::Unknown && planted!(self, RepeatUnasked) {
                    return Safety::Safe;
                }
                // A server without tools would refuse to list them.
                let asks = safety != Safety::Unknown || self.replay.can("tools", None);
                return if asks { safety } else { Safety::Unsafe };
            }
            "ping"
            | "tools/list"
            | "prompts/list"
            | "prompts/get"
            | "resources/list"
            | "resources/templates/list"
            | "resources/read"
            | "resources/subscribe"
            | "resources/unsubscribe"
            | "completion/complete"
            | "logging/setLevel"
            | "tasks/get"
            | "tasks/update"
            | "tasks/list"
            | "tasks/result"
            | "tasks/cancel" => true,
            // A child that dies on the probe is not fed it again; in the modern era it is a request like others.
            DISCOVER => self.is_modern() || planted!(self, RepeatProbe),
            _ => false,
        };
        if safe { Safety::Safe } else { Safety::Unsafe }
    }

    /// Puts requests that a child had in front of what waits, in their order, those of a batch together.
    pub(super) fn requeue(&mut self, ids: &[Id]) {
        let hold = self.now.mono + self.config.hold;
        let mut lines: Vec<(bool, Vec<Id>, usize)> = Vec::new();
        let mut batches: BTreeMap<u64, usize> = BTreeMap::new();
        for id in ids {
            let probes = self.inflight.get(id).filter(|pending| &*pending.method == DISCOVER);
            // A request that was set aside has waited since then, and keeps its deadline.
            let aside = self.inflight.get(id).filter(|pending| pending.doubted);
            let hold = aside.and_then(|pending| pending.deadline).unwrap_or(hold);
            let deadline = probes.map_or(hold, |pending| hold.min(pending.arrived + DISCOVER_WAIT));
            let comes = self.inflight.requeue(id, Some(deadline));
            #[cfg(test)]
            if planted!(self, RepeatForEver) {
                self.inflight.forget_writes(id);
            }
            let Some(pending) = self.inflight.get(id) else { continue };
            let size = pending.kept.as_ref().map_or(0, Bytes::len);
            let (batch, method, times_written) =
                (pending.batch, pending.method.clone(), pending.times_written);
            let new = lines.len();
            let line = batch.map_or(new, |batch| *batches.entry(batch).or_insert(new));
            if line == new {
                lines.push((batch.is_some(), Vec::new(), 0));
            }
            if let Some((_, ids, bytes)) = lines.get_mut(line) {
                ids.push(id.clone());
                *bytes += size;
            }
            if times_written > 0 && comes {
                self.note(Note::Repeated { id: id.clone(), method });
            }
        }
        for (batch, ids, size) in lines.into_iter().rev() {
            let waiting = match (batch, ids.as_slice()) {
                (false, [id]) => Waiting::Request(id.clone()),
                _ => Waiting::Batch {
                    whole: None,
                    elements: ids.into_iter().map(BatchElement::Request).collect(),
                },
            };
            self.queue.push_front(waiting, size);
        }
    }
}
