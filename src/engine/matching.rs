//! Matches answers to requests: the ids under which a child knows what it was asked, and the way back.
//!
//! An answer is matched by the exact value of its id. If nothing is awaited under that id, its twin is tried, because
//! SDK clients take `"0"` for 0. The answer is forwarded with the id as the host wrote it.
//!
//! A child may still owe an answer under an id that the host uses again: to a request that took too long, was
//! cancelled, or was answered by us. That answer may never come, so nothing can wait for it. If it comes, it must not
//! be taken for the answer to the new request. The new request is therefore written under an id of ours, and everything
//! that names it is translated: its progress, its cancellation, its subscription.

use bytes::Bytes;

use super::inflight::Pending;
use super::io::Gen;
use super::note::Note;
use super::own::Own;
use super::{Engine, Greeting, book, planted};
use crate::engine::era::{DISCOVER, answers_soon};
use crate::wire::{Id, Notification, edit};

/// The most late answers of a child that are remembered. Further ones are not recognised as late.
const OWED: usize = 65_536;
/// Where a notification of the modern era names its stream.
const SUBSCRIPTION: [&str; 3] = ["params", "_meta", "io.modelcontextprotocol/subscriptionId"];
/// Where the last result of a stream names it.
const ENDED_SUBSCRIPTION: [&str; 3] = ["result", "_meta", "io.modelcontextprotocol/subscriptionId"];

impl Engine {
    /// The id, as it was written to this child, that this id in an answer stands for: the same one, or its twin. `None`
    /// if the answer belongs to nothing that was asked.
    pub(super) fn awaited(&self, child: Gen, id: &Id) -> Option<Id> {
        let expected = |id: &Id| {
            self.inflight.known_as(id, child).is_some()
                || self.child.as_ref().is_some_and(|current| {
                    current.generation == child
                        && (current.own.contains(id) || current.greeting == Greeting::Sent(id.clone()))
                })
        };
        if expected(id) {
            return Some(id.clone());
        }
        id.twin().filter(|twin| expected(twin) && !planted!(self, IgnoreTwins))
    }

    /// Rewrites an answer, which this child has given under the id `said`, for the request that it has under `wire`.
    pub(super) fn as_asked(&mut self, child: Gen, said: &Id, wire: &Id, line: &Bytes) -> Bytes {
        let renamed = self.inflight.known_as(wire, child).filter(|known| *known != wire).cloned();
        if let Some(own) = renamed {
            let line = edit::replace(line, &["id"], &own.to_json());
            return respelled(&line, &ENDED_SUBSCRIPTION, wire, &own);
        }
        let asked = self.inflight.get(wire).map_or(wire, |pending| &pending.id).clone();
        if said.is_spelled_like(&asked) {
            return line.clone();
        }
        self.told_of_twins(child, said, &asked);
        let line = edit::replace(line, &["id"], &asked.to_json());
        if self.is_modern() { respelled(&line, &ENDED_SUBSCRIPTION, said, &asked) } else { line }
    }

    /// Warns once of ids that come back in another spelling.
    fn told_of_twins(&mut self, child: Gen, said: &Id, asked: &Id) {
        if !std::mem::replace(&mut self.oddities.ids, true) {
            self.note(Note::IdRespelled { child, asked: asked.clone(), said: said.clone() });
        }
    }

    /// Gives a request an id of ours if the child still owes an answer under the request's own. Returns the bytes to
    /// write. `None` if the request keeps its id.
    pub(super) fn renamed(&mut self, id: &Id, bytes: &Bytes) -> Option<Bytes> {
        let pending = self.inflight.get(id)?;
        if !self.is_owed_another(pending) || planted!(self, ReuseOwedIds) {
            return None;
        }
        let reports = pending.token.is_some();
        let alias = self.fresh_own_id("again");
        self.inflight.rename(id, &alias);
        let bytes = edit::replace(bytes, &["id"], &alias.to_json());
        if !reports {
            return Some(bytes);
        }
        Some(edit::replace(&bytes, &["params", "_meta", "progressToken"], &alias.to_json()))
    }

    /// Restores a request's own bytes from those that were written to a child.
    pub(super) fn unrenamed(&self, id: &Id, bytes: &Bytes) -> Bytes {
        let Some(pending) = self.inflight.get(id).filter(|pending| pending.alias.is_some()) else {
            return bytes.clone();
        };
        let bytes = edit::replace(bytes, &["id"], &pending.id.to_json());
        match &pending.token {
            Some(token) => edit::replace(&bytes, &["params", "_meta", "progressToken"], &token.to_json()),
            None => bytes,
        }
    }

    /// Whether the child owes an answer under this request's id or its twin, or progress under its token.
    fn is_owed_another(&self, pending: &Pending) -> bool {
        let Some(child) = &self.child else { return false };
        let owes = |id: &Id| child.own.contains(id);
        if child.own.len() > 0 && (owes(&pending.id) || pending.id.twin().is_some_and(|twin| owes(&twin))) {
            return true;
        }
        let reports = |token: &Id| child.owed_tokens.contains(token);
        if !child.owed_tokens.is_empty() && pending.token.as_ref().is_some_and(reports) {
            return true;
        }
        let abandoned = |twin: Id| {
            self.inflight.get(&twin).is_some_and(|it| it.cancelled && it.written == Some(child.generation))
        };
        self.inflight.len() > self.inflight.owed() && pending.id.twin().is_some_and(abandoned)
    }

    /// The living child may still answer a request that is no longer waited for. That answer will not be forwarded.
    pub(super) fn owe(&mut self, pending: &Pending) {
        let soon = answers_soon(&pending.method) && !pending.cancelled;
        let Some(child) = self.child.as_mut().filter(|child| pending.written == Some(child.generation))
        else {
            return;
        };
        let wire = pending.wire_id().clone();
        if child.greeting == Greeting::Sent(wire.clone()) || child.own.len() >= OWED {
            return;
        }
        let token = pending.wire_token().cloned();
        child.owed_tokens.extend(token.clone());
        let own = match &*pending.method {
            DISCOVER if !pending.cancelled => Own::Discover,
            method if book::is_list(method) && !pending.cancelled => {
                Own::Page { method: pending.method.clone(), cursor: pending.detail.clone() }
            }
            _ => Own::Late { token, soon },
        };
        child.own.insert(wire, own);
    }

    /// The host has cancelled a request and uses its id for another. The child's answer to the first will not be
    /// forwarded.
    pub(super) fn let_go(&mut self, id: &Id) {
        let Some(pending) = self.inflight.take(id) else { return };
        self.owe(&pending);
        if self.replay.greeting_id.as_ref() == Some(id) {
            self.replay.greeting_id = None;
        }
    }

    /// A notification about a stream, with the stream's id as the host knows it; and the id of the request that it
    /// names, `None` if it names none that this child has. Nothing if it is about a stream that this child no longer
    /// has, and the host uses the id for another request.
    pub(super) fn about_stream(
        &self,
        child: Gen,
        told: &Notification,
        line: &Bytes,
    ) -> Option<(Option<Id>, Bytes)> {
        let known = |id: &Id| {
            self.awaited(child, id).and_then(|wire| Some(self.inflight.known_as(&wire, child)?.clone()))
        };
        let is_another = |id: &Id| self.inflight.get_like(id).is_some();
        let mut line = line.clone();
        if let Some(id) = edit::find_in(&line, &SUBSCRIPTION).and_then(Id::from_json) {
            match known(&id) {
                Some(own) => line = respelled(&line, &SUBSCRIPTION, &id, &own),
                None if is_another(&id) => return None,
                None => {}
            }
        }
        let Some(id) = &told.params.request_id else { return Some((None, line)) };
        match known(id) {
            Some(own) => {
                let line = respelled(&line, &["params", "requestId"], id, &own);
                Some((Some(own), line))
            }
            None if is_another(id) => None,
            None => Some((None, line)),
        }
    }
}

/// The line with `said`, an id of ours or a twin, in the host's own spelling.
fn respelled(line: &Bytes, path: &[&str], said: &Id, own: &Id) -> Bytes {
    let there = edit::find_in(line, path).and_then(Id::from_json);
    if said.is_spelled_like(own) || there.as_ref() != Some(said) {
        return line.clone();
    }
    edit::replace(line, path, &own.to_json())
}
