//! Who owes whom an answer: the requests of the host that are not answered yet, and where each of them is.
//!
//! The table registers, completes and cancels. It writes nothing and decides nothing; it only makes it impossible to
//! answer a request twice, for whoever answers must first take it out of here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::io::Gen;
use super::listen::LISTEN;
use super::upstream::Ends;
use crate::wire::{Id, Method, Request};

/// The bytes of written requests that are kept for a repetition, all together at most, in bytes. What does not fit is
/// not repeated.
const KEPT: usize = 16 * 1024 * 1024;
/// Up to this length, in bytes, a request that is kept is copied out of the buffer that it was read into.
const SMALL: usize = 16 * 1024;

/// A request of the host that is not answered yet.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    /// The order of arrival.
    pub seq: u64,
    /// Its id.
    pub id: Id,
    /// Its method.
    pub method: Method,
    /// The tool's or prompt's name. `None` where it has none.
    pub name: Option<Box<str>>,
    /// Whether it is task-augmented.
    pub task: bool,
    /// Whether it names the protocol version, as requests of the modern era do.
    pub enveloped: bool,
    /// Whether it stays open, and is answered when it ends: it is owed no answer before.
    pub stream: bool,
    /// The JSON text of the one parameter that matters later: the cursor of a list, the URI of a subscription, the
    /// level of logging. `None` where the method has none, or it is absent.
    pub detail: Option<Box<str>>,
    /// When it arrived.
    pub arrived: Duration,
    /// Until when its answer is waited for: while it waits for a server, or where it may take no longer. `None` for as
    /// long as it takes.
    pub(super) deadline: Option<Duration>,
    /// The child that has it. `None` while it waits for one.
    pub written: Option<Gen>,
    /// Which of the lines for that child it is in, counted from 0.
    pub(super) line: u64,
    /// To how many children it has been written.
    pub times_written: u8,
    /// Its bytes, one message; with its line feed where it came alone. `None` if it is written and must not be repeated.
    pub kept: Option<Bytes>,
    /// The batch it came in.
    pub batch: Option<u64>,
    /// Whether the host has cancelled it: it is owed no answer.
    pub cancelled: bool,
    /// The token of its progress notifications.
    pub token: Option<Id>,
    /// The last progress that the host has seen.
    pub progress: Option<f64>,
    /// Whether it turned out that the child which has it cannot have read it.
    pub(super) unsent: bool,
    /// After a repetition: progress up to this would go backwards.
    pub floor: Option<f64>,
    /// How requests to the API had ended when it was written.
    pub(super) ends: Ends,
    /// Whether its result is withheld, because it says that the token was refused.
    pub(super) withheld: bool,
    /// What that result says. `None` if there was none.
    pub(super) refused: Option<Box<str>>,
}

impl Pending {
    /// A request that has just arrived.
    pub(super) fn new(request: Request, bytes: Bytes, arrived: Duration, detail: Option<Box<str>>) -> Self {
        let params = request.params;
        Self {
            seq: 0,
            id: request.id,
            stream: params.enveloped && &*request.method == LISTEN,
            method: request.method,
            name: params.name,
            task: params.task,
            enveloped: params.enveloped,
            detail,
            arrived,
            deadline: None,
            written: None,
            line: 0,
            times_written: 0,
            kept: Some(bytes),
            batch: None,
            cancelled: false,
            token: params.meta_progress_token,
            progress: None,
            unsent: false,
            floor: None,
            ends: Ends::default(),
            withheld: false,
            refused: None,
        }
    }

    /// Whether it was refused, and waits for a child with another token.
    pub(super) fn is_made_again(&self) -> bool {
        self.refused.is_some() && !self.withheld && self.written.is_none()
    }

    /// Whether the host waits for an answer.
    fn is_owed(&self) -> bool {
        !self.cancelled && !self.stream
    }
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Inflight {
    /// Boxed, for a tree moves what it holds whenever something comes or goes.
    requests: BTreeMap<Id, Box<Pending>>,
    tokens: BTreeMap<Id, Id>,
    /// The deadlines in the order in which they come.
    deadlines: BTreeSet<(Duration, Id)>,
    next_seq: u64,
    kept: usize,
    owed: usize,
}

impl Inflight {
    /// Enters a request. Its id must not be in the table.
    pub(super) fn register(&mut self, mut pending: Pending) {
        debug_assert!(!self.contains(&pending.id), "an id in flight is not well-formed");
        pending.seq = self.next_seq;
        self.next_seq += 1;
        if let Some(token) = &pending.token {
            self.tokens.insert(token.clone(), pending.id.clone());
        }
        self.owed += usize::from(pending.is_owed());
        self.requests.insert(pending.id.clone(), Box::new(pending));
    }

    /// Whether this id is in flight.
    pub(super) fn contains(&self, id: &Id) -> bool {
        self.requests.contains_key(id)
    }

    /// The request with this id.
    pub(super) fn get(&self, id: &Id) -> Option<&Pending> {
        self.requests.get(id).map(|pending| &**pending)
    }

    /// Notes that a request was written to this child, in this line. Its bytes are kept only if it may be repeated and they fit.
    pub(super) fn written(&mut self, id: &Id, child: Gen, line: u64, repeatable: bool, ends: Ends) {
        let Some(pending) = self.requests.get_mut(id) else { return };
        pending.ends = ends;
        pending.written = Some(child);
        pending.line = line;
        pending.times_written = pending.times_written.saturating_add(1);
        let size = pending.kept.as_ref().map_or(0, Bytes::len);
        // A stream is no burden for a server, however often it is asked for it.
        let again = pending.stream || repeatable && pending.times_written < 2;
        let deadline = pending.deadline.take();
        if let Some(deadline) = deadline {
            self.deadlines.remove(&(deadline, id.clone()));
        }
        if again && (self.kept + size <= KEPT || pending.stream) {
            self.kept += size;
            if let Some(bytes) = pending.kept.as_mut().filter(|bytes| bytes.len() <= SMALL) {
                // Else a few bytes would keep all that was read with them.
                *bytes = Bytes::copy_from_slice(bytes);
            }
        } else {
            pending.kept = None;
        }
    }

    /// Takes a request out because it is answered, or nobody waits for it any more.
    pub(super) fn take(&mut self, id: &Id) -> Option<Box<Pending>> {
        let pending = self.requests.remove(id)?;
        // The host may have given another request the same token since.
        if let Some(token) = &pending.token
            && self.tokens.get(token) == Some(id)
        {
            self.tokens.remove(token);
        }
        if let Some(deadline) = pending.deadline {
            self.deadlines.remove(&(deadline, id.clone()));
        }
        self.owed -= usize::from(pending.is_owed());
        self.unkeep(&pending);
        Some(pending)
    }

    /// Takes a request out because this child has answered it. `None` if the child does not have it.
    pub(super) fn complete(&mut self, id: &Id, child: Gen) -> Option<Box<Pending>> {
        if self.requests.get(id)?.written == Some(child) { self.take(id) } else { None }
    }

    /// Notes until when an answer is waited for.
    pub(super) fn wait_until(&mut self, id: &Id, deadline: Duration) {
        self.set_deadline(id, Some(deadline));
    }

    fn set_deadline(&mut self, id: &Id, deadline: Option<Duration>) {
        let Some(pending) = self.requests.get_mut(id) else { return };
        if let Some(before) = pending.deadline {
            self.deadlines.remove(&(before, id.clone()));
        }
        pending.deadline = deadline;
        if let Some(deadline) = deadline {
            self.deadlines.insert((deadline, id.clone()));
        }
    }

    /// This child has turned out to be there: what it has may take as long as it takes, but for tool calls with a limit.
    pub(super) fn settle_down(&mut self, child: Gen) {
        let bound: Vec<Id> = self.deadlines.iter().map(|(_, id)| id.clone()).collect();
        for id in bound {
            let free = |pending: &Pending| pending.written == Some(child) && &*pending.method != "tools/call";
            if self.get(&id).is_some_and(free) {
                self.set_deadline(&id, None);
            }
        }
    }

    /// Notes that a request which was written to this child, in this line and as these bytes, never left us.
    pub(super) fn unsend(&mut self, id: &Id, child: Gen, line: u64, bytes: Bytes) {
        // Another request with the same id may have been passed on untracked.
        let is_it = |pending: &&mut Box<Pending>| pending.written == Some(child) && pending.line == line;
        let Some(pending) = self.requests.get_mut(id).filter(is_it) else { return };
        pending.unsent = true;
        pending.times_written = pending.times_written.saturating_sub(1);
        self.kept -= pending.kept.as_ref().map_or(0, Bytes::len);
        self.kept += bytes.len();
        pending.kept = Some(bytes);
    }

    /// The child has answered, and its answer is withheld: only what this says of it is kept, and the request, which counts
    /// with those that are written.
    pub(super) fn withhold(&mut self, id: &Id, said: Box<str>) {
        let Some(pending) = self.requests.get_mut(id) else { return };
        pending.written = None;
        pending.withheld = true;
        pending.refused = Some(said);
    }

    /// Puts a request that a child had back among those that wait, until `deadline` where there is one. `false` if it waits
    /// already.
    pub(super) fn requeue(&mut self, id: &Id, deadline: Option<Duration>) -> bool {
        let Some(pending) = self.requests.get_mut(id) else { return false };
        if pending.written.is_none() && !pending.withheld {
            return false;
        }
        self.kept -= pending.kept.as_ref().map_or(0, Bytes::len);
        pending.written = None;
        pending.withheld = false;
        pending.unsent = false;
        pending.floor = pending.progress;
        self.set_deadline(id, deadline);
        true
    }

    /// As if a request had never been written: one of the bugs that the simulator must find.
    #[cfg(test)]
    pub(super) fn forget_writes(&mut self, id: &Id) {
        if let Some(pending) = self.requests.get_mut(id) {
            pending.times_written = 0;
        }
    }

    /// Notes that the host has cancelled a request: no answer is owed any more.
    pub(super) fn cancel(&mut self, id: &Id) {
        if let Some(pending) = self.requests.get_mut(id) {
            self.owed -= usize::from(pending.is_owed());
            pending.cancelled = true;
            self.set_deadline(id, None);
        }
    }

    /// Whether a progress notification for this token may be handed on; it is noted then. One for a token that is not
    /// known may.
    pub(super) fn progress(&mut self, token: &Id, progress: Option<&str>) -> bool {
        let Some(pending) = self.tokens.get(token).and_then(|id| self.requests.get_mut(id)) else {
            return true;
        };
        let Some(progress) = progress.and_then(|text| text.parse::<f64>().ok()) else { return true };
        if pending.floor.is_some_and(|floor| progress <= floor) {
            return false;
        }
        pending.progress = Some(progress);
        true
    }

    /// The requests that fulfil `wanted`, in the order of their arrival.
    pub(super) fn ids(&self, wanted: impl Fn(&Pending) -> bool) -> Vec<Id> {
        let mut found: Vec<&Box<Pending>> =
            self.requests.values().filter(|pending| wanted(pending)).collect();
        found.sort_unstable_by_key(|pending| pending.seq);
        found.into_iter().map(|pending| pending.id.clone()).collect()
    }

    /// When the first of the answers has been waited for long enough.
    pub(super) fn earliest_deadline(&self) -> Option<Duration> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// The requests whose answers have been waited for long enough, in the order of their arrival.
    pub(super) fn overdue(&self, now: Duration) -> Vec<Id> {
        let due = self.deadlines.iter().take_while(|(deadline, _)| *deadline <= now);
        let mut found: Vec<&Box<Pending>> = due.filter_map(|(_, id)| self.requests.get(id)).collect();
        found.sort_unstable_by_key(|pending| pending.seq);
        found.into_iter().map(|pending| pending.id.clone()).collect()
    }

    /// Whether there is a request like this.
    pub(super) fn any(&self, wanted: impl Fn(&Pending) -> bool) -> bool {
        self.requests.values().any(|pending| wanted(pending))
    }

    /// The oldest request that the host has cancelled and no server has answered.
    pub(super) fn oldest_cancelled(&self) -> Option<&Id> {
        self.requests
            .values()
            .filter(|pending| pending.cancelled)
            .min_by_key(|pending| pending.seq)
            .map(|p| &p.id)
    }

    /// How many answers the host still waits for.
    pub(super) fn owed(&self) -> usize {
        self.owed
    }

    /// How many requests are in the table, those that were cancelled included.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }

    fn unkeep(&mut self, pending: &Pending) {
        if pending.written.is_some() || pending.withheld {
            self.kept -= pending.kept.as_ref().map_or(0, Bytes::len);
        }
    }
}
