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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};
    use std::thread;

    use super::*;
    use crate::lastgood::laws::good;

    /// What is taken, with a settling that no test outlasts, while `fill` runs.
    fn taken(queue: &Arc<Queue>, fill: impl FnOnce(&Queue)) -> (Vec<String>, bool) {
        let (give, get) = mpsc::channel();
        let taker = Arc::clone(queue);
        thread::spawn(move || give.send(taker.take(Duration::from_secs(3600))));
        fill(queue);
        let (goods, last) =
            get.recv_timeout(Duration::from_secs(60)).expect("nothing waits for the settling");
        (goods.into_iter().map(|good| good.version).collect(), last)
    }

    fn push(queue: &Queue, version: &str) {
        assert!(queue.push(good(version, "initialize", None, "{}")));
    }

    #[test]
    fn what_comes_while_it_settles_is_taken_along_and_a_close_ends_the_waiting() {
        let queue = Arc::new(Queue::default());
        push(&queue, "a");
        let rest = |queue: &Queue| {
            // The taker is given every chance to leave too early.
            for _ in 0..1000 {
                thread::yield_now();
            }
            push(queue, "b");
            queue.close();
        };
        assert_eq!(taken(&queue, rest), (vec!["a".to_owned(), "b".to_owned()], true));
        push(&queue, "too late");
        assert_eq!(taken(&queue, |_| ()), (Vec::new(), true));
    }

    #[test]
    fn a_full_queue_does_not_settle_and_has_room_again() {
        let queue = Arc::new(Queue::default());
        let fill = |queue: &Queue| (0..MOST).for_each(|at| push(queue, &at.to_string()));
        let (versions, last) = taken(&queue, fill);
        assert_eq!((versions.len(), last), (MOST, false));
        push(&queue, "a");
        assert_eq!(taken(&queue, Queue::close), (vec!["a".to_owned()], true));
    }

    #[test]
    fn an_abandoned_queue_forgets_what_it_has() {
        let queue = Arc::new(Queue::default());
        push(&queue, "a");
        queue.abandon();
        push(&queue, "b");
        assert_eq!(taken(&queue, |_| ()), (Vec::new(), true));
    }
}
