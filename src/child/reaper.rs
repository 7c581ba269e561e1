//! Collects ended processes: those that we have started, and those that we have inherited.
//!
//! A process that has ended keeps its number until it is collected, so a child is first removed from the guardian's
//! list. As process 1 of a container or namespace we inherit the orphans of all other processes, and as a subreaper
//! those of our descendants; nothing else collects them. A child of ours must not be collected as an orphan, because
//! its exit would be lost. This module therefore lists the children that are not collected yet.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::family;
use super::family::Family;
use super::guardian::Entry;
#[cfg(target_os = "linux")]
use super::terminal::Wanted;
use crate::threads;

/// How many threads wait for a process that has not ended yet.
static WAITING: AtomicUsize = AtomicUsize::new(0);
/// How long we wait for them when we exit: the number of steps, and their length.
const PATIENCE: (u32, Duration) = (50, Duration::from_millis(1));

/// The children that are not collected yet: a few at a time.
static KNOWN: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// A process that is not collected yet.
#[derive(Debug)]
pub(super) struct Living {
    pub(super) family: Family,
    /// The process that leads the session in which it was started, and keeps its number taken also when the process
    /// leaves it (`setsid`). It ends by itself. `None` if the process leads its session.
    pub(super) keeper: Option<Pid>,
    /// `None` where the session has no terminal, or no longer.
    pub(super) wanted: Option<Wanted>,
    /// `None` where no guardian knows it.
    pub(super) entry: Option<Entry>,
}

/// The locked list of our children.
pub(super) struct Known(MutexGuard<'static, Vec<Pid>>);

/// Locks the list. Waits while another thread starts a child.
pub(super) fn known() -> Known {
    Known(KNOWN.lock().unwrap_or_else(PoisonError::into_inner))
}

impl Known {
    pub(super) fn add(&mut self, pid: Pid) {
        self.0.push(pid);
    }

    fn remove(&mut self, pid: Pid) {
        self.0.retain(|known| *known != pid);
    }
}

/// Removes the process from the guardian's list, then collects it and its keeper: from then on the numbers can be another
/// process's.
pub(super) fn reap(living: Living) {
    if let Some(entry) = living.entry {
        entry.strike();
    }
    for pid in living.keeper.into_iter().chain([living.family.leader]) {
        reap_later(pid);
    }
}

/// Collects a process now if it has ended, otherwise on a thread when it ends. Without a thread it stays a zombie until
/// we exit.
pub(super) fn reap_later(pid: Pid) {
    known().remove(pid);
    if waitpid(pid, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive) {
        WAITING.fetch_add(1, Ordering::Relaxed);
        let started = threads::start("reaper", threads::SMALL, move || {
            collect(pid);
            WAITING.fetch_sub(1, Ordering::Release);
        });
        if started.is_err() {
            WAITING.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Waits for what is about to end to be collected, 50 ms at most: the keeper of a session ends right after the last
/// process of it. After our exit it would be a zombie for ever where process 1 collects none.
pub(super) fn finish() {
    let (steps, step) = PATIENCE;
    for _ in 0..steps {
        if WAITING.load(Ordering::Acquire) == 0 {
            break;
        }
        std::thread::sleep(step);
    }
}

/// Waits for a process that is about to end, and collects it.
pub(super) fn collect(pid: Pid) {
    while waitpid(pid, None) == Err(Errno::EINTR) {}
}

/// Whether we inherit orphans: we are process 1, or what ran before us in this process has made it a subreaper.
#[cfg(target_os = "linux")]
pub fn inherits_orphans() -> bool {
    Pid::this().as_raw() == 1 || nix::sys::prctl::get_child_subreaper().unwrap_or(false)
}

/// Whether we inherit orphans: never, where there are no namespaces.
#[cfg(not(target_os = "linux"))]
pub fn inherits_orphans() -> bool {
    false
}

/// Collects our children that have ended and were started by others.
pub fn reap_orphans() {
    #[cfg(target_os = "linux")]
    {
        let known = known();
        for pid in ended_children() {
            if !known.0.contains(&pid) {
                let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
            }
        }
    }
}

/// Our children that have ended. A wait for any child would stop at the first, even if that is a listed one.
#[cfg(target_os = "linux")]
fn ended_children() -> Vec<Pid> {
    let pids = family::processes().into_iter().flatten();
    let ended = format!(" Z {} ", Pid::this());
    pids.filter(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // `pid (name) state parent ...`; the name may contain any character.
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(&ended))
    })
    .map(|pid| Pid::from_raw(pid.cast_signed()))
    .collect()
}
