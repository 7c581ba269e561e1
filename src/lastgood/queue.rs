//! What waits to be written: bounded, and never waited for by whoever fills it.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::engine::io::Good;

/// The most answers that wait.
const MOST: usize = 1024;
/// The most bytes of results that wait: as many as a file holds.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// Between the relay and the room's thread.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    goods: Vec<Good>,
    bytes: usize,
    closed: bool,
}

impl State {
    fn is_full(&self) -> bool {
        self.goods.len() >= MOST || self.bytes >= MOST_BYTES
    }
}

impl Queue {
    /// Enters an answer. False if there was no room for it. A closed queue takes what comes and forgets it.
    pub(super) fn push(&self, good: Good) -> bool {
        let mut state = self.lock();
        if state.closed {
            return true;
        }
        // The first one always fits: whether it is too large at all is for others to say.
        if state.is_full() || (!state.goods.is_empty() && state.bytes + good.result.len() > MOST_BYTES) {
            return false;
        }
        state.bytes += good.result.len();
        state.goods.push(good);
        drop(state);
        self.changed.notify_all();
        true
    }

    /// Nothing more will come.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Nothing more will be taken either.
    pub(super) fn abandon(&self) {
        *self.lock() = State { closed: true, ..State::default() };
        self.changed.notify_all();
    }

    /// Waits for an answer, then `settle` for more, and takes them all, in their order. At a close, or when it is full,
    /// it waits no longer. The second value is true after the close: these were the last.
    pub(super) fn take(&self, settle: Duration) -> (Vec<Good>, bool) {
        let idle = |state: &mut State| state.goods.is_empty() && !state.closed;
        let state = self.changed.wait_while(self.lock(), idle).unwrap_or_else(PoisonError::into_inner);
        let unsettled = |state: &mut State| !state.is_full() && !state.closed;
        let waited = self.changed.wait_timeout_while(state, settle, unsettled);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.bytes = 0;
        (mem::take(&mut state.goods), state.closed)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
