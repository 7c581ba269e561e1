//! What the server has asked of the host: requests in the other direction, under the ids by which the host knows them.
//!
//! The first child's ids pass as they are. Each later child starts counting at the same number again, so from the second
//! generation on the host is given the spliced id, and the way back takes the splice out again.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::io::Gen;
use crate::wire::{Id, Params, edit};

/// The most requests of one child that are remembered: as many as the host may have open. Of more, the oldest are
/// forgotten, and an answer is dropped.
const ASKED: usize = 65_536;
/// The most tasks that are remembered, over all generations.
const TASKS: usize = 1024;

#[derive(Debug)]
struct Ask {
    /// The id as the server chose it.
    own: Id,
    /// Whether the server asked for a task.
    task: bool,
    seq: u64,
}

/// The requests of the living child that the host has not answered.
#[derive(Debug, Default)]
pub(super) struct Asked {
    live: BTreeMap<Id, Ask>,
    /// The same in the order of asking.
    order: BTreeMap<u64, Id>,
    /// Tasks that the host runs for a server, and for which child.
    tasks: VecDeque<(String, Gen)>,
    next_seq: u64,
}

impl Asked {
    /// Enters a request of this child. Gives the line that the host is to have.
    pub(super) fn register(&mut self, child: Gen, id: &Id, params: &Params, line: &Bytes) -> Bytes {
        let known = known_as(child, id);
        self.close(&known);
        if self.live.len() >= ASKED
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.live.remove(&oldest);
        }
        self.live.insert(known.clone(), Ask { own: id.clone(), task: params.task, seq: self.next_seq });
        self.order.insert(self.next_seq, known.clone());
        self.next_seq += 1;
        if child.0 <= 1 {
            return line.clone();
        }
        let line = edit::replace(line, &["id"], &known.to_json());
        match &params.meta_progress_token {
            Some(token) => edit::replace(
                &line,
                &["params", "_meta", "progressToken"],
                &edit::splice(child.0, token).to_json(),
            ),
            None => line,
        }
    }

    /// The host has answered `id`. Gives the line that this child is to have; `None` if it does not wait for it.
    pub(super) fn answer(&mut self, child: Gen, id: &Id, line: &Bytes) -> Option<Bytes> {
        let known = self.known(id)?;
        let ask = self.close(&known)?;
        if ask.task {
            self.remember_task(child, line);
        }
        let same = child.0 <= 1 && id.is_spelled_like(&ask.own);
        Some(if same { line.clone() } else { edit::replace(line, &["id"], &ask.own.to_json()) })
    }

    /// The server takes a request of its own back. Gives the line that the host is to have.
    pub(super) fn withdraw(&mut self, child: Gen, id: &Id, line: &Bytes) -> Bytes {
        let known = known_as(child, id);
        let known = self.known(&known).or_else(|| self.known(&known_as(child, &id.twin()?))).unwrap_or(known);
        let asked = self.close(&known).map(|ask| ask.own);
        if child.0 <= 1 && asked.is_none_or(|asked| asked.is_spelled_like(id)) {
            line.clone()
        } else {
            edit::replace(line, &["params", "requestId"], &known.to_json())
        }
    }

    /// The host reports progress for a token that a server chose. Gives the line that this child is to have; `None` if
    /// the token is a dead child's.
    pub(super) fn progress(child: Gen, token: &Id, line: &Bytes) -> Option<Bytes> {
        match edit::unsplice(token) {
            Some((generation, own)) if generation == child.0 => {
                Some(edit::replace(line, &["params", "progressToken"], &own.to_json()))
            }
            Some(_) => None,
            None => (child.0 <= 1).then(|| line.clone()),
        }
    }

    /// Whether a task that the host reports on belongs to a dead child.
    pub(super) fn is_dead_task(&self, child: Gen, line: &[u8]) -> bool {
        let task = task_id(line, &["params", "taskId"]);
        task.is_some_and(|task| self.tasks.iter().any(|(known, owner)| *known == task && *owner != child))
    }

    /// The child is dead: the ids of what it had asked, as the host knows them, in the order of asking.
    pub(super) fn abandon(&mut self) -> Vec<Id> {
        self.live.clear();
        std::mem::take(&mut self.order).into_values().collect()
    }

    /// Whether this child waits for the answer to a request with this id.
    pub(super) fn is_live(&self, child: Gen, id: &Id) -> bool {
        self.live.contains_key(&known_as(child, id))
    }

    fn close(&mut self, known: &Id) -> Option<Ask> {
        let ask = self.live.remove(known)?;
        self.order.remove(&ask.seq);
        Some(ask)
    }

    /// The id of a request that is not answered, as the host knows it, by that id or its twin.
    fn known(&self, id: &Id) -> Option<Id> {
        let live = |id: &Id| self.live.contains_key(id);
        if live(id) { Some(id.clone()) } else { id.twin().filter(live) }
    }

    fn remember_task(&mut self, child: Gen, line: &[u8]) {
        let Some(task) = task_id(line, &["result", "task", "taskId"]) else { return };
        if self.tasks.len() >= TASKS {
            self.tasks.pop_front();
        }
        self.tasks.push_back((task, child));
    }
}

fn known_as(child: Gen, id: &Id) -> Id {
    if child.0 <= 1 { id.clone() } else { edit::splice(child.0, id) }
}

fn task_id(line: &[u8], path: &[&str]) -> Option<String> {
    serde_json::from_str(edit::find_in(line, path)?).ok()
}
