//! What is told to the relay and waits to be heard: at most one change of each kind, and a few faults.
//!
//! Written by the keeper's thread, read by the relay's. Nothing in here waits for a thread.

use std::collections::{BTreeSet, VecDeque};
use std::future::pending;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::Fault;
use crate::engine::io::Changed;

/// See the module.
#[derive(Debug)]
pub(super) struct Told {
    unheard: Mutex<Unheard>,
    change: Notify,
    fault: Notify,
    /// How many paths are watched, or cannot be. The largest number once nothing will be watched any more.
    ready: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Unheard {
    changes: BTreeSet<Changed>,
    faults: VecDeque<Fault>,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            unheard: Mutex::default(),
            change: Notify::new(),
            fault: Notify::new(),
            ready: watch::Sender::new(0),
        }
    }
}

impl Told {
    fn unheard(&self) -> MutexGuard<'_, Unheard> {
        // Whoever panicked while holding it had not got far: every change of it is one call.
        self.unheard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn changed(&self, kinds: &BTreeSet<Changed>) {
        if !kinds.is_empty() {
            self.unheard().changes.extend(kinds);
            self.change.notify_one();
        }
    }

    pub(super) fn fault(&self, fault: Fault) {
        self.unheard().faults.push_back(fault);
        self.fault.notify_one();
    }

    /// This many more paths are taken care of.
    pub(super) fn ready(&self, more: u64) {
        self.ready.send_modify(|count| *count = count.saturating_add(more));
    }

    pub(super) async fn next_change(&self) -> Changed {
        loop {
            let change = self.unheard().changes.pop_first();
            match change {
                Some(change) => return change,
                None => self.change.notified().await,
            }
        }
    }

    pub(super) async fn next_fault(&self) -> Fault {
        loop {
            let fault = self.unheard().faults.pop_front();
            match fault {
                Some(fault) => return fault,
                None => self.fault.notified().await,
            }
        }
    }

    pub(super) async fn until_ready(&self, count: u64) {
        if self.ready.subscribe().wait_for(|ready| *ready >= count).await.is_err() {
            // The sender is ours.
            pending::<()>().await;
        }
    }
}
