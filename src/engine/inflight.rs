//! Who owes whom an answer: the requests of the host that are not answered yet, and where each of them is.
//!
//! The table registers, completes and cancels. It writes nothing and decides nothing; it only makes it impossible to
//! answer a request twice, for an answer is given by taking the request out of here. It also knows the names under which
//! the child has a request: the host's own id and progress token, or ones of ours in their place.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::era::answers_soon;
use super::inject::Refusal;
use super::io::Gen;
use super::listen::LISTEN;
use super::tally::Tally;
use super::tools::Edition;
use super::upstream::Ends;
use crate::wire::{Id, Method, Request};

/// The bytes of written requests that are kept for a repetition, all together at most, in bytes. What does not fit is
/// not repeated.
const KEPT: usize = 16 * 1024 * 1024;
/// Up to this length, in bytes, a request that is kept is copied out of the buffer that it was read into.
const SMALL: usize = 16 * 1024;
/// The most tokens of tasks that are remembered.
const TASKS: usize = 1024;

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
    /// The id of ours under which that child has it. `None` where the child has the host's id.
    pub(super) alias: Option<Id>,
    /// Which of the lines for that child it is in, counted from 0.
    pub(super) line: u64,
    /// To how many children it has been written.
    pub times_written: u8,
    /// How many children have ended by themselves while they had it.
    pub(super) ended: u8,
    /// Whether one of these had nothing else to work on.
    pub(super) ended_alone: bool,
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
    /// Whether it is set aside until its tool's declaration is known: the child that had it is gone without one.
    pub(super) doubted: bool,
    /// The edition of the child that it was last written to.
    pub(super) edition: Edition,
    /// The edition of the child before that one, in case only that child can have read it.
    edition_before: Edition,
    /// That result. `None` if there was none.
    pub(super) refused: Option<Refusal>,
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
            alias: None,
            line: 0,
            times_written: 0,
            ended: 0,
            ended_alone: false,
            kept: Some(bytes),
            batch: None,
            cancelled: false,
            token: params.meta_progress_token,
            progress: None,
            unsent: false,
            floor: None,
            ends: Ends::default(),
            withheld: false,
            doubted: false,
            edition: Edition::default(),
            edition_before: Edition::default(),
            refused: None,
        }
    }

    /// Whether it was refused, and waits for a child with another token.
    pub(super) fn is_made_again(&self) -> bool {
        self.refused.is_some() && !self.withheld && !self.doubted && self.written.is_none()
    }

    /// Whether its bytes count with those that are kept for a repetition, and not with those of the queue.
    fn is_kept(&self) -> bool {
        self.written.is_some() || self.withheld || self.doubted
    }

    /// How many bytes are kept of it to write it again.
    pub(super) fn kept_bytes(&self) -> usize {
        if self.is_kept() { self.kept.as_ref().map_or(0, Bytes::len) } else { 0 }
    }

    /// Whether the host waits for an answer.
    pub(super) fn is_owed(&self) -> bool {
        !self.cancelled && !self.stream
    }

    /// Whether a child has it and owes the answer.
    pub(super) fn is_worked_on(&self) -> bool {
        self.written.is_some() && self.is_owed()
    }

    /// Whether a child that is up answers it soon, so that its silence says that it is not. It need not answer what the
    /// host has cancelled.
    pub(super) fn is_soon_answered(&self) -> bool {
        self.written.is_some() && !self.cancelled && answers_soon(&self.method)
    }

    /// The id by which the child knows it.
    pub(super) fn wire_id(&self) -> &Id {
        self.alias.as_ref().unwrap_or(&self.id)
    }

    /// The token under which the child reports its progress. `None` if it reports none.
    pub(super) fn wire_token(&self) -> Option<&Id> {
        let token = self.token.as_ref()?;
        Some(self.alias.as_ref().unwrap_or(token))
    }
}

/// The fate of a progress notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// The host gets it, with this token of its own.
    Of(Id),
    /// It would go backwards.
    Backwards,
    /// Its request was given up.
    Unwanted,
    /// It belongs to no request that the child has.
    Unknown,
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Inflight {
    /// Boxed, for a tree moves what it holds whenever something comes or goes.
    requests: BTreeMap<Id, Box<Pending>>,
    /// The requests by the progress tokens that the child has.
    tokens: BTreeMap<Id, Id>,
    /// The requests that the child has under ids of ours, by those ids.
    aliases: BTreeMap<Id, Id>,
    /// The tokens of tasks, which outlive their requests: the child's token and the host's.
    tasks: VecDeque<(Id, Id)>,
    next_seq: u64,
    tally: Tally,
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
        self.tally.enter(&pending);
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

    /// The request with this id, or else with its twin.
    pub(super) fn get_like(&self, id: &Id) -> Option<&Pending> {
        self.get(id).or_else(|| self.get(&id.twin()?))
    }

    /// Changes a request, which is counted anew. `None` if there is none with this id.
    fn change<R>(&mut self, id: &Id, change: impl FnOnce(&mut Pending) -> R) -> Option<R> {
        let pending = self.requests.get_mut(id)?;
        self.tally.leave(pending);
        let result = change(pending);
        self.tally.enter(pending);
        Some(result)
    }

    /// Notes that a request was written to this child, in this line. Its bytes are kept only if it may be repeated and they fit.
    pub(super) fn written(&mut self, id: &Id, child: Gen, line: u64, repeatable: bool, ends: Ends) {
        let room = KEPT.saturating_sub(self.tally.kept);
        self.change(id, |pending| {
            pending.ends = ends;
            pending.written = Some(child);
            pending.line = line;
            pending.times_written = pending.times_written.saturating_add(1);
            pending.deadline = None;
            let size = pending.kept.as_ref().map_or(0, Bytes::len);
            // Opening a stream again costs a server nothing, however often.
            let again = repeatable && pending.times_written < 2 && size <= room;
            if !again && !pending.stream {
                pending.kept = None;
            } else if let Some(bytes) = pending.kept.as_mut().filter(|bytes| bytes.len() <= SMALL) {
                // Else a few bytes would keep all that was read with them.
                *bytes = Bytes::copy_from_slice(bytes);
            }
        });
    }

    /// The child gets a request under this id of ours, which is also its progress token.
    pub(super) fn rename(&mut self, id: &Id, alias: &Id) {
        let Some(pending) = self.requests.get_mut(id) else { return };
        forget_names(&mut self.tokens, &mut self.aliases, pending);
        pending.alias = Some(alias.clone());
        self.aliases.insert(alias.clone(), id.clone());
        if pending.token.is_some() {
            self.tokens.insert(alias.clone(), id.clone());
        }
    }

    /// The host's id of the request that this child has under this id.
    pub(super) fn known_as<'i>(&'i self, id: &'i Id, child: Gen) -> Option<&'i Id> {
        let own = |id: &&Id| {
            self.requests.get(*id).is_some_and(|it| it.written == Some(child) && it.alias.is_none())
        };
        match self.aliases.get(id) {
            None => Some(id).filter(own),
            named => named.filter(|id| self.requests.get(*id).is_some_and(|it| it.written == Some(child))),
        }
    }

    /// The request has become a task, so its progress goes on under the same token.
    pub(super) fn goes_on(&mut self, pending: &Pending) {
        if let (Some(wire), Some(own)) = (pending.wire_token(), &pending.token) {
            if self.tasks.len() >= TASKS {
                self.tasks.pop_front();
            }
            self.tasks.push_back((wire.clone(), own.clone()));
        }
    }

    /// The child is gone, and its tasks with it.
    pub(super) fn forget_tasks(&mut self) {
        self.tasks.clear();
    }

    /// Takes a request out because it is answered, or nobody waits for it any more.
    pub(super) fn take(&mut self, id: &Id) -> Option<Box<Pending>> {
        let pending = self.requests.remove(id)?;
        forget_names(&mut self.tokens, &mut self.aliases, &pending);
        self.tally.leave(&pending);
        Some(pending)
    }

    /// Takes a request out because this child has answered it. `None` if the child does not have it.
    pub(super) fn complete(&mut self, id: &Id, child: Gen) -> Option<Box<Pending>> {
        if self.requests.get(id)?.written == Some(child) { self.take(id) } else { None }
    }

    /// Notes until when an answer is waited for.
    pub(super) fn wait_until(&mut self, id: &Id, deadline: Duration) {
        self.change(id, |pending| pending.deadline = Some(deadline));
    }

    /// This child has turned out to be there: what it has may take as long as it takes, but for tool calls with a limit.
    pub(super) fn settle_down(&mut self, child: Gen) {
        let bound: Vec<Id> = self.tally.deadlines.values().cloned().collect();
        for id in bound {
            let free = |pending: &Pending| pending.written == Some(child) && &*pending.method != "tools/call";
            if self.get(&id).is_some_and(free) {
                self.change(&id, |pending| pending.deadline = None);
            }
        }
    }

    /// Notes that a request which was written to this child, in this line and as these bytes, never left us.
    pub(super) fn unsend(&mut self, id: &Id, child: Gen, line: u64, bytes: Bytes) {
        self.change(id, |pending| {
            // Another request with the same id may have been passed on untracked.
            if pending.written == Some(child) && pending.line == line {
                pending.unsent = true;
                pending.edition = pending.edition_before;
                pending.times_written = pending.times_written.saturating_sub(1);
                pending.kept = Some(bytes);
            }
        });
    }

    /// The child has answered, and its answer is withheld: only what this says of it is kept, and the request, which counts
    /// with those that are written.
    pub(super) fn withhold(&mut self, id: &Id, refusal: Refusal) {
        self.change(id, |pending| {
            pending.written = None;
            pending.withheld = true;
            pending.refused = Some(refusal);
        });
    }

    /// Records the edition of the child to which a request has just been written.
    pub(super) fn is_of(&mut self, id: &Id, edition: Edition) {
        if let Some(pending) = self.requests.get_mut(id) {
            pending.edition_before = std::mem::replace(&mut pending.edition, edition);
        }
    }

    /// Sets a request aside until its tool is declared safe. It waits until `deadline`; a request from the queue keeps
    /// its own deadline.
    pub(super) fn doubt(&mut self, id: &Id, deadline: Duration) {
        self.change(id, |pending| {
            if pending.is_kept() {
                pending.floor = pending.progress;
                pending.deadline = Some(deadline);
            }
            pending.written = None;
            pending.withheld = false;
            pending.unsent = false;
            pending.doubted = true;
            pending.deadline.get_or_insert(deadline);
        });
    }

    /// The requests that wait for what their tools declare, in the order of arrival.
    pub(super) fn doubted(&self) -> impl ExactSizeIterator<Item = &Id> {
        self.tally.doubted.values()
    }

    /// The request that arrived as this one, if its result is withheld.
    pub(super) fn withheld(&self, seq: u64) -> Option<&Pending> {
        self.get(self.tally.withheld.get(&seq)?)
    }

    /// The requests that were refused and wait for a child with another token, in the order of arrival.
    pub(super) fn made_again(&self) -> impl ExactSizeIterator<Item = &Id> {
        self.tally.made_again.values()
    }

    /// Puts a request that a child had back among those that wait, until `deadline` where there is one. `false` if it waits
    /// already.
    pub(super) fn requeue(&mut self, id: &Id, deadline: Option<Duration>) -> bool {
        let requeued = self.change(id, |pending| {
            let comes = pending.is_kept();
            if comes {
                pending.written = None;
                pending.withheld = false;
                pending.doubted = false;
                pending.unsent = false;
                pending.floor = pending.progress;
                pending.deadline = deadline;
            }
            comes
        });
        if let Some(pending) = self.requests.get_mut(id).filter(|_| requeued == Some(true)) {
            // The next child knows it by the host's own names.
            forget_names(&mut self.tokens, &mut self.aliases, pending);
            pending.alias = None;
            if let Some(token) = &pending.token {
                self.tokens.insert(token.clone(), id.clone());
            }
        }
        requeued.unwrap_or(false)
    }

    /// As if a request had never been written: one of the bugs that the simulator must find.
    #[cfg(test)]
    pub(super) fn forget_writes(&mut self, id: &Id) {
        if let Some(pending) = self.requests.get_mut(id) {
            pending.times_written = 0;
        }
    }

    /// Notes that this child has ended by itself with the requests that it may have read and not yet answered.
    pub(super) fn outlived(&mut self, child: Gen) {
        let had = |pending: &Pending| pending.written == Some(child) && pending.is_owed() && !pending.unsent;
        let ids = self.ids(had);
        for id in &ids {
            let Some(pending) = self.requests.get_mut(id) else { continue };
            pending.ended = pending.ended.saturating_add(1);
            pending.ended_alone |= ids.len() == 1;
        }
    }

    /// Notes that the host has cancelled a request: no answer is owed any more, and it is not written again.
    pub(super) fn cancel(&mut self, id: &Id) {
        self.change(id, |pending| {
            pending.cancelled = true;
            pending.deadline = None;
            pending.kept = None;
        });
    }

    /// The fate of a progress notification of this child with this token. Records the progress that is forwarded.
    pub(super) fn progress(&mut self, child: Gen, token: &Id, progress: Option<&str>) -> Progress {
        let holder = self.tokens.get(token).and_then(|id| self.requests.get_mut(id));
        if holder.as_ref().is_some_and(|it| it.written == Some(child) && it.cancelled) {
            return Progress::Unwanted;
        }
        let Some(pending) = holder.filter(|it| it.written == Some(child)) else {
            let task = self.tasks.iter().find(|(wire, _)| wire == token);
            return task.map_or(Progress::Unknown, |(_, own)| Progress::Of(own.clone()));
        };
        let own = pending.token.clone().unwrap_or_else(|| token.clone());
        let Some(progress) = progress.and_then(|text| text.parse::<f64>().ok()) else {
            return Progress::Of(own);
        };
        if pending.floor.is_some_and(|floor| progress <= floor) {
            return Progress::Backwards;
        }
        pending.progress = Some(progress);
        Progress::Of(own)
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
        self.tally.deadlines.first_key_value().map(|((deadline, _), _)| *deadline)
    }

    /// The requests whose answers have been waited for long enough, in the order of their arrival.
    pub(super) fn overdue(&self, now: Duration) -> Vec<Id> {
        let due = self.tally.deadlines.range(..=(now, u64::MAX)).map(|(_, id)| id.clone());
        self.in_order(due.collect())
    }

    /// These requests in the order of their arrival.
    pub(super) fn in_order(&self, mut ids: Vec<Id>) -> Vec<Id> {
        ids.sort_by_cached_key(|id| self.get(id).map(|pending| pending.seq));
        ids
    }

    /// Whether there is a request like this.
    pub(super) fn any(&self, wanted: impl Fn(&Pending) -> bool) -> bool {
        self.requests.values().any(|pending| wanted(pending))
    }

    /// The oldest request that the host has cancelled and no server has answered.
    pub(super) fn oldest_cancelled(&self) -> Option<&Id> {
        self.tally.cancelled.values().next()
    }

    /// How many requests the host has cancelled that no server has answered.
    pub(super) fn cancelled(&self) -> usize {
        self.tally.cancelled.len()
    }

    /// Whether a child has a request that it answers soon if it is up.
    pub(super) fn any_soon_answered(&self) -> bool {
        self.tally.soon > 0
    }

    /// How many answers the host still waits for.
    pub(super) fn owed(&self) -> usize {
        self.tally.owed
    }

    /// How many requests the child has that it is to finish.
    pub(super) fn working(&self) -> usize {
        self.tally.working
    }

    /// How many requests are in the table, those that were cancelled included.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }
}

/// Removes the names under which the child has a request, unless another request has them now.
fn forget_names(tokens: &mut BTreeMap<Id, Id>, aliases: &mut BTreeMap<Id, Id>, pending: &Pending) {
    if let Some(token) = pending.wire_token()
        && tokens.get(token) == Some(&pending.id)
    {
        tokens.remove(token);
    }
    if let Some(alias) = &pending.alias {
        aliases.remove(alias);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::{Duration, Ends, Gen, Id, Inflight, KEPT, Pending, Refusal, Tally};
    use crate::wire::{Frame, Message, Parsed};

    fn request(number: u8, size: usize) -> Pending {
        let line = format!("{{\"jsonrpc\":\"2.0\",\"id\":{number},\"method\":\"tools/call\"}}");
        let Parsed::One(Message::Request(request)) = Frame::read(line.into()).parsed else {
            panic!("it is a request")
        };
        Pending::new(request, Bytes::from(vec![0; size]), Duration::ZERO, None)
    }

    fn id(number: u8) -> Id {
        Id::from_json(&number.to_string()).unwrap()
    }

    /// Does the thing with this number to this request.
    fn does(table: &mut Inflight, what: u8, number: u8, time: u8) {
        let (id, time) = (id(number), Duration::from_secs(time.into()));
        match what {
            0..3 if !table.contains(&id) => table.register(request(number, KEPT / 3)),
            0..3 => table.written(&id, Gen(1), 0, what > 0, Ends::default()),
            3 => table.wait_until(&id, time),
            4 => table.withhold(&id, Refusal::default()),
            5 => table.doubt(&id, time),
            6 => _ = table.requeue(&id, Some(time)),
            7 => table.cancel(&id),
            8 => table.unsend(&id, Gen(1), 0, Bytes::from_static(b"{}")),
            9 => table.settle_down(Gen(1)),
            _ => _ = table.take(&id),
        }
    }

    proptest! {
        /// Whatever happens to requests, what is counted of them is what they are, and an empty table counts nothing.
        #[test]
        fn the_counts_are_those_of_the_requests(deeds in prop::collection::vec((0..11_u8, 0..6_u8, 0..4_u8), 0..80)) {
            let mut table = Inflight::default();
            for (what, number, time) in deeds {
                does(&mut table, what, number, time);
                let mut counted = Tally::default();
                table.requests.values().for_each(|pending| counted.enter(pending));
                prop_assert_eq!(&counted, &table.tally);
            }
            (0..6).for_each(|number| _ = table.take(&id(number)));
            prop_assert_eq!(&table.tally, &Tally::default());
            prop_assert!(table.tokens.is_empty());
        }
    }

    #[test]
    fn what_the_host_cancels_gives_back_its_bytes_and_its_part_of_the_budget() {
        let mut table = Inflight::default();
        for number in 0..100 {
            table.register(request(number, KEPT / 2));
            table.written(&id(number), Gen(1), 0, true, Ends::default());
            assert!(table.get(&id(number)).unwrap().kept.is_some(), "request {number} is not kept");
            table.cancel(&id(number));
        }
        assert!(table.requests.values().all(|pending| pending.kept.is_none()));
    }
}
