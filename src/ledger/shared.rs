//! The ledger between threads: the relay enters notes, others look and write down.
//!
//! Entering never waits for anything but the lock, which nobody holds for longer than it takes to copy a row, and wakes
//! a sleeper at most once until that one has looked.

use std::collections::VecDeque;
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast;

use super::{Event, Gauges, Ledger, Session};
use crate::engine::note::Note;

/// The most events that wait to be written; of more, the oldest are forgotten, for a disk that is full may stay so.
const UNWRITTEN: usize = 1024;
/// The most events that a listener may be behind.
const BEHIND: usize = 256;

/// A ledger that several threads know.
#[derive(Debug)]
pub struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    events: broadcast::Sender<Event>,
}

#[derive(Debug)]
struct State {
    ledger: Ledger,
    unwritten: VecDeque<Event>,
    /// The ledger's version when it was last written.
    taken: u64,
    /// Whoever writes sleeps until something is entered.
    asleep: bool,
    /// Nothing more is entered.
    over: bool,
}

/// What is to be written down.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The row as it is now.
    pub session: Session,
    /// What has happened since the last batch, oldest first.
    pub events: Vec<Event>,
    /// It is the last batch.
    pub last: bool,
}

impl Shared {
    /// Begins with this ledger.
    pub fn new(ledger: Ledger) -> Self {
        let state = State { ledger, unwritten: VecDeque::new(), taken: 0, asleep: false, over: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), events: broadcast::channel(BEHIND).0 }
    }

    /// Enters a note of this time: monotonic, and on the wall.
    pub fn note(&self, mono: Duration, wall: Duration, note: &Note) {
        let mut state = self.lock();
        let event = state.ledger.note(mono, wall, note);
        // Also that it has ended, of which there is no event.
        let urgent = event.is_some() || !state.ledger.session().is_open();
        if let Some(event) = event {
            if state.unwritten.len() == UNWRITTEN {
                state.unwritten.pop_front();
            }
            // Nobody may be listening.
            let _ = self.events.send(event.clone());
            state.unwritten.push_back(event);
        }
        if mem::take(&mut state.asleep) || urgent {
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Nothing more is entered: what is not written yet is written now.
    pub fn end(&self) {
        self.lock().over = true;
        self.changed.notify_all();
    }

    /// The row, what is shown beside it, and a number that grows with each change of the two.
    pub fn look(&self) -> (Session, Gauges, u64) {
        let state = self.lock();
        (state.ledger.session().clone(), state.ledger.gauges().clone(), state.ledger.version())
    }

    /// The number alone.
    pub fn version(&self) -> u64 {
        self.lock().ledger.version()
    }

    /// How much of its end is told: whether it begins to end, whether it has ended, and whether nothing more is entered.
    pub fn ending(&self) -> (bool, bool, bool) {
        let state = self.lock();
        let session = state.ledger.session();
        (session.close_reason.is_some(), session.closed_at.is_some(), state.over)
    }

    /// Whether there are events that nobody has taken to write them.
    #[cfg(test)]
    pub(crate) fn has_unwritten(&self) -> bool {
        !self.lock().unwritten.is_empty()
    }

    /// What happens from now on, as it happens.
    pub fn listen(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// The next batch: `settle` after an event, `pause` after anything else, or after `keepalive` without anything; at once
    /// where it tells an end. It is to be given back if it could not be written.
    pub fn next(&self, settle: Duration, pause: Duration, keepalive: Duration) -> Batch {
        let mut state = self.lock();
        let quiet = |state: &mut State| !state.over && state.unwritten.is_empty();
        let idle = |state: &mut State| quiet(state) && state.ledger.version() == state.taken;
        state.asleep = true;
        let waited = self.changed.wait_timeout_while(state, keepalive, idle);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.asleep = false;
        if state.unwritten.is_empty() && state.ledger.version() != state.taken {
            let still = |state: &mut State| quiet(state) && state.ledger.session().is_open();
            let waited = self.changed.wait_timeout_while(state, pause, still);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        if !state.unwritten.is_empty() {
            let settles = |state: &mut State| !state.over && state.ledger.session().close_reason.is_none();
            let waited = self.changed.wait_timeout_while(state, settle, settles);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
        let events = mem::take(&mut state.unwritten).into();
        state.taken = state.ledger.version();
        Batch { session: state.ledger.session().clone(), events, last: state.over }
    }

    /// Waits this long, but not beyond the end.
    pub fn rest(&self, pause: Duration) {
        let _ = self.changed.wait_timeout_while(self.lock(), pause, |state| !state.over);
    }

    /// The supervisor lives, whether or not anything has happened.
    pub fn alive(&self, wall: Duration) {
        self.lock().ledger.alive(wall);
    }

    /// Takes back events that could not be written.
    pub fn give_back(&self, events: Vec<Event>) {
        let mut state = self.lock();
        for event in events.into_iter().rev() {
            if state.unwritten.len() < UNWRITTEN {
                state.unwritten.push_front(event);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
