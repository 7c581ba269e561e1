//! What the system's events are worth: hints for the keeper, gathered until it has time for them.
//!
//! The [`Ear`] hears events on the watcher's own thread, drops those that cannot matter, and leaves a hint on the
//! [`Desk`]; the bell wakes the keeper. Whatever happens meanwhile, what lies on the desk stays small: hints of one kind
//! are one hint, and too many new directories become the hint to walk the whole tree again.
//!
//! Opening and reading matter to nobody, and the keeper does both, so these events are dropped first of all. Nothing in
//! here touches a file.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode, CreateKind, ModifyKind};
use notify::{Event, EventHandler, EventKind};

use super::trace::Identity;
use crate::engine::io::Changed;

/// How many new directories are remembered one by one.
const FRESH: usize = 256;

/// How many ended watchers are remembered.
const GONE: usize = 8;

/// What is watched, and which events matter. Two plans are equal when the same watches serve both.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    /// The directories on the way to a watched path, and which ones they were.
    pub(super) dirs: BTreeMap<PathBuf, Way>,
    /// The names in them that are on the way.
    pub(super) names: BTreeSet<PathBuf>,
    /// The watched directories, by the number of the target.
    pub(super) trees: BTreeMap<usize, PathBuf>,
}

/// A directory on the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) identity: Identity,
    /// The target that cannot be watched without it. `None` where it is only passed through.
    pub(super) near: Option<usize>,
}

impl Plan {
    fn is_dir(&self, path: &Path) -> bool {
        self.dirs.contains_key(path) || self.trees.values().any(|root| root == path)
    }
}

/// What lies on the desk.
#[derive(Debug, Default)]
pub(super) struct Hints {
    /// Something happened to a name on the way.
    pub(super) look: bool,
    /// A watched directory was moved, removed or made: its watch may be gone.
    pub(super) broken: bool,
    /// Events were lost: anything may have happened.
    pub(super) lost: bool,
    /// The watched directories below which something has changed, by the number of the target.
    pub(super) hit: BTreeSet<usize>,
    /// What may be new directories below watched ones.
    pub(super) fresh: BTreeSet<PathBuf>,
    /// There were too many of these.
    pub(super) crowded: bool,
    /// What else is to be watched.
    pub(super) asked: Vec<(Changed, PathBuf)>,
    /// The watcher has ended without being told to.
    pub(super) died: bool,
    /// Nobody wants to know any more.
    pub(super) closed: bool,
}

impl Hints {
    fn is_empty(&self) -> bool {
        let Self { look, broken, lost, hit, fresh, crowded, asked, died, closed } = self;
        let flags = [look, broken, lost, crowded, died, closed];
        !flags.into_iter().any(|flag| *flag) && hit.is_empty() && fresh.is_empty() && asked.is_empty()
    }

    /// What an event is worth under this plan.
    fn hear(&mut self, plan: &Plan, event: &Event) {
        if event.need_rescan() {
            self.lost = true;
            return;
        }
        // What was written through a mapping shows in no other event.
        let written = event.kind == EventKind::Access(AccessKind::Close(AccessMode::Write));
        if event.kind.is_access() && !written {
            return;
        }
        for path in &event.paths {
            if plan.names.contains(path) || plan.is_dir(path) {
                self.look = true;
                self.broken |= is_of_names(event.kind) && plan.is_dir(path);
            }
            if written {
                continue;
            }
            for (target, root) in &plan.trees {
                if path != root && path.starts_with(root) {
                    self.hit.insert(*target);
                    if may_bring_directory(event.kind) && !self.crowded {
                        self.fresh.insert(path.clone());
                    }
                }
            }
        }
        if self.fresh.len() > FRESH {
            self.fresh.clear();
            self.crowded = true;
        }
    }
}

/// Whether the event says that a name has come, gone or been moved, or does not say what it says.
fn is_of_names(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(_) => false,
        EventKind::Modify(kind) => matches!(kind, ModifyKind::Any | ModifyKind::Name(_) | ModifyKind::Other),
        EventKind::Any | EventKind::Create(_) | EventKind::Remove(_) | EventKind::Other => true,
    }
}

fn may_bring_directory(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(_) | EventKind::Remove(_) | EventKind::Create(CreateKind::File) => false,
        EventKind::Modify(kind) => matches!(kind, ModifyKind::Any | ModifyKind::Name(_) | ModifyKind::Other),
        EventKind::Any | EventKind::Create(_) | EventKind::Other => true,
    }
}

/// Where hints wait for the keeper.
#[derive(Debug, Default)]
pub(super) struct Desk {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Debug, Default)]
struct State {
    plan: Arc<Plan>,
    /// The watcher that must not end.
    watcher: u64,
    /// The last watcher that has ended.
    ended: u64,
    /// The last few that have ended. Two exist at the same time, at most.
    gone: BTreeSet<u64>,
    hints: Hints,
}

impl Desk {
    fn state(&self) -> MutexGuard<'_, State> {
        // Whoever panicked while holding it had not got far: every change of it is one assignment.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for hints, for this long at most, and takes them all.
    pub(super) fn wait(&self, time: Duration) -> Hints {
        let waited = self.bell.wait_timeout_while(self.state(), time, |state| state.hints.is_empty());
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        mem::take(&mut state.hints)
    }

    /// Lets hints gather for this long, unless the watched paths change or the receiver is dropped.
    pub(super) fn gather(&self, time: Duration) {
        let gathers = |state: &mut State| !state.hints.closed && state.hints.asked.is_empty();
        drop(self.bell.wait_timeout_while(self.state(), time, gathers));
    }

    /// Waits for this long, unless the watched paths change or the receiver is dropped. What else is to be watched.
    pub(super) fn quiet(&self, time: Duration) -> Vec<(Changed, PathBuf)> {
        let quiet = |state: &mut State| !state.hints.closed && state.hints.asked.is_empty();
        let waited = self.bell.wait_timeout_while(self.state(), time, quiet);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        mem::take(&mut state.hints.asked)
    }

    /// Waits until this watcher has ended, but for no longer than this.
    pub(super) fn until_ended(&self, watcher: u64, time: Duration) {
        drop(self.bell.wait_timeout_while(self.state(), time, |state| state.ended < watcher));
    }

    /// Whether this watcher has ended.
    pub(super) fn has_ended(&self, watcher: u64) -> bool {
        self.state().gone.contains(&watcher)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state().hints.closed
    }

    pub(super) fn close(&self) {
        self.state().hints.closed = true;
        self.bell.notify_all();
    }

    pub(super) fn ask(&self, what: Vec<(Changed, PathBuf)>) {
        self.state().hints.asked.extend(what);
        self.bell.notify_all();
    }

    /// From now on events matter as this plan has it.
    pub(super) fn follow(&self, plan: Arc<Plan>) {
        self.state().plan = plan;
    }

    /// From now on this watcher must not end, and the one before it may: its number.
    pub(super) fn rely_on(&self, watcher: u64) -> u64 {
        let mut state = self.state();
        if state.ended >= watcher {
            state.hints.died = true;
            self.bell.notify_all();
        }
        mem::replace(&mut state.watcher, watcher)
    }
}

/// Hears the events of one watcher.
#[derive(Debug)]
pub(super) struct Ear {
    pub(super) desk: Arc<Desk>,
    /// The number of the watcher.
    pub(super) watcher: u64,
}

impl EventHandler for Ear {
    fn handle_event(&mut self, event: notify::Result<Event>) {
        let mut state = self.desk.state();
        let State { plan, hints, .. } = &mut *state;
        match event {
            Ok(event) => hints.hear(plan, &event),
            // Events could not be read.
            Err(_) => hints.lost = true,
        }
        if !hints.is_empty() {
            self.desk.bell.notify_all();
        }
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        let mut state = self.desk.state();
        state.ended = self.watcher;
        state.gone.insert(self.watcher);
        if state.gone.len() > GONE {
            state.gone.pop_first();
        }
        state.hints.died |= state.watcher == self.watcher;
        self.desk.bell.notify_all();
    }
}
