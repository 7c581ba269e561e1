//! The board between tasks: whoever hears something puts it on, whoever listens is told what is news.
//!
//! Nobody is waited for: what is told goes into one ring of bounded size, and who is too far behind has lost its place.

use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::extract::ws::Utf8Bytes;
use serde::Serialize;
use tokio::sync::broadcast;
use tokio::time::Instant;

use super::board::{Board, Change, Now};
use crate::ledger::millis;

/// The most messages that a listener may be behind.
const BEHIND: usize = 1024;

/// The board, and who listens to it.
#[derive(Debug)]
pub(super) struct Hub {
    started: Instant,
    board: Mutex<Board>,
    news: broadcast::Sender<Utf8Bytes>,
}

impl Hub {
    /// An empty board. Time is counted from now on.
    pub(super) fn new() -> Self {
        let started = Instant::now();
        let board = Mutex::new(Board::new(now(started)));
        Self { started, board, news: broadcast::channel(BEHIND).0 }
    }

    /// Both clocks.
    pub(super) fn now(&self) -> Now {
        now(self.started)
    }

    /// Looks at the board.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Board, Now) -> T) -> T {
        look(&self.lock(), self.now())
    }

    /// Puts something on the board, and tells what is news because of it, in the order in which it was put there.
    pub(super) fn put<C: IntoIterator<Item = Change>>(&self, put: impl FnOnce(&mut Board, Now) -> C) {
        let mut board = self.lock();
        for change in put(&mut board, self.now()) {
            self.tell(&change);
        }
    }

    /// Tells this to all who listen.
    pub(super) fn tell(&self, message: &impl Serialize) {
        if self.news.receiver_count() > 0
            && let Some(text) = text(message)
        {
            // The last of them may be gone by now.
            let _ = self.news.send(text);
        }
    }

    /// What is news from now on.
    pub(super) fn listen(&self) -> broadcast::Receiver<Utf8Bytes> {
        self.news.subscribe()
    }

    /// Whether anybody listens.
    pub(super) fn is_heard(&self) -> bool {
        self.news.receiver_count() > 0
    }

    fn lock(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A message as it is sent. `None` never: what is sent can be written as JSON.
pub(super) fn text(message: &impl Serialize) -> Option<Utf8Bytes> {
    serde_json::to_string(message).ok().map(Utf8Bytes::from)
}

fn now(started: Instant) -> Now {
    #[expect(clippy::disallowed_methods, reason = "the monitor has no engine, and reads the time here alone")]
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Now { mono: started.elapsed(), wall: millis(wall) }
}
