//! The system's watcher, which panics if it is used or dropped while its thread is gone.
//!
//! The thread may never have started, if the system refused it, or it may have ended. Its [`Ear`](super::hints::Ear) is
//! dropped with it, which informs the desk. A watcher without a thread is not used, and its memory is leaked: it holds
//! a descriptor or two.

use std::mem::ManuallyDrop;
use std::path::Path;
use std::sync::Arc;

use notify::{RecursiveMode, Watcher};

use super::hints::Desk;

/// A watcher with its number.
#[derive(Debug)]
pub(super) struct Held<W> {
    watcher: ManuallyDrop<W>,
    desk: Arc<Desk>,
    number: u64,
}

impl<W: Watcher> Held<W> {
    pub(super) fn new(watcher: W, desk: Arc<Desk>, number: u64) -> Self {
        Self { watcher: ManuallyDrop::new(watcher), desk, number }
    }

    /// Whether it has a thread.
    pub(super) fn lives(&self) -> bool {
        !self.desk.has_ended(self.number)
    }

    pub(super) fn watch(&mut self, path: &Path, mode: RecursiveMode) -> notify::Result<()> {
        if self.lives() { self.watcher.watch(path, mode) } else { Ok(()) }
    }

    pub(super) fn unwatch(&mut self, path: &Path) -> notify::Result<()> {
        if self.lives() { self.watcher.unwatch(path) } else { Ok(()) }
    }
}

impl<W> Drop for Held<W> {
    fn drop(&mut self) {
        if !self.desk.has_ended(self.number) {
            #[expect(unsafe_code, reason = "a value that must not always be dropped is dropped by hand")]
            // SAFETY: it is dropped here and nowhere else, and not used afterwards.
            unsafe {
                ManuallyDrop::drop(&mut self.watcher);
            }
        }
    }
}
