//! Lists of sessions and events, from what is stored and what is known of those that live. No I/O.
//!
//! The store is complete for those who record there, and a little late; the board is up to date, and knows also those who
//! record nothing. Ids begin with the time, so that the newest session is the one with the greatest id.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::Serialize;

use super::board::Board;
use crate::ledger::{Event, Session};
use crate::store::{self, Which};

/// Some sessions, the newest first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Page {
    pub(super) sessions: Vec<Session>,
    /// There are older ones, after this one.
    pub(super) next_cursor: Option<String>,
}

/// The sessions that the board knows, as far as they belong on a page.
#[derive(Debug, Default)]
pub(super) struct Known {
    live: BTreeMap<String, Session>,
    ended: BTreeMap<String, Session>,
}

impl Known {
    /// What this board knows.
    pub(super) fn of(board: &Board) -> Self {
        let row = |session: &Session| (session.id.clone(), session.clone());
        Self {
            live: board.live().map(row).collect(),
            ended: board.ended().map(|ended| row(&ended.session)).collect(),
        }
    }

    /// A page of this kind: `stored` is that of the store, of the same kind and size, after the same session.
    pub(super) fn page(
        mut self,
        which: Which,
        before: Option<&str>,
        limit: usize,
        stored: store::Page,
    ) -> Page {
        let last = stored.next.clone();
        let mut rows: BTreeMap<String, Session> = BTreeMap::new();
        for session in stored.sessions {
            if session.is_open() {
                if which == Which::Open && self.ended.contains_key(&session.id) {
                    continue;
                }
                let newer = self.live.remove(&session.id).or_else(|| self.ended.remove(&session.id));
                let session = newer.unwrap_or(session);
                rows.insert(session.id.clone(), session);
            } else {
                // It has written its end before it was heard of.
                self.live.remove(&session.id);
                // One that was killed has not written all that was heard of it.
                let session = self.ended.remove(&session.id).unwrap_or(session);
                rows.insert(session.id.clone(), session);
            }
        }
        let fits = |id: &str| {
            before.is_none_or(|before| id < before) && last.as_deref().is_none_or(|last| id > last)
        };
        let live = self.live.into_iter().filter(|_| which != Which::Closed);
        let ended = self.ended.into_iter().filter(|_| which != Which::Open);
        for (id, session) in live.chain(ended).filter(|(id, _)| fits(id)) {
            rows.entry(id).or_insert(session);
        }
        let mut sessions: Vec<Session> = rows.into_values().rev().collect();
        let more = sessions.len() > limit;
        sessions.truncate(limit);
        let next_cursor = if more { sessions.last().map(|session| session.id.clone()) } else { last };
        Page { sessions, next_cursor }
    }
}

/// The newest events of both, each once, the newest last.
pub(super) fn events(stored: Vec<Event>, known: Vec<Event>, limit: usize) -> Vec<Event> {
    let mut known = newest(known, limit);
    known.retain(|event| !stored.contains(event));
    newest([stored, known].concat(), limit)
}

fn newest(mut events: Vec<Event>, limit: usize) -> Vec<Event> {
    events.sort_by_key(|event| event.at);
    events.split_off(events.len().saturating_sub(limit))
}
