//! The end of processes: collecting those that we have started, and those that we have inherited.
//!
//! A process that has ended keeps its number until it is collected, so a child is struck off the guardian's list first. As
//! process 1 of a container or namespace we are given the orphans of all others, and as a subreaper those of our children;
//! nothing else collects them. A child of ours must never be collected as one of these: its exit would be lost. So those
//! that live are known here.

use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, getpgid};

use super::guardian::Entry;
use crate::threads;

/// The children that are not collected yet. A few at a time.
static KNOWN: Mutex<Vec<Pid>> = Mutex::new(Vec::new());

/// A process that is not collected yet.
#[derive(Debug)]
pub(super) struct Living {
    pub(super) pid: Pid,
    /// The group that it was started in. Its number is nobody else's as long as the process is in it and not collected.
    pub(super) group: Pid,
    /// `None` where no guardian knows it.
    pub(super) entry: Option<Entry>,
}

impl Living {
    /// The group that it is in: where it has made itself the leader of a session, its own.
    pub(super) fn group_now(&self) -> Pid {
        match getpgid(Some(self.pid)) {
            Ok(group) if group == self.pid => group,
            // A group of somebody else's is not signalled, whatever it has joined.
            Ok(_) | Err(_) => self.group,
        }
    }
}

/// The known children, for one who changes or reads them.
pub(super) struct Known(MutexGuard<'static, Vec<Pid>>);

/// Waits for whoever starts a child at this moment.
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

/// Off the guardian's list first: as soon as the process is collected, its number can be somebody else's.
pub(super) fn reap(living: Living) {
    if let Some(entry) = living.entry {
        entry.strike();
    }
    reap_later(living.pid);
}

/// Collects a process now if it has ended, else when it has, on a thread. Without a thread it stays a zombie, which goes when
/// we go.
pub(super) fn reap_later(pid: Pid) {
    known().remove(pid);
    if waitpid(pid, Some(WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive) {
        let _ = threads::start("reaper", threads::SMALL, move || collect(pid));
    }
}

/// Waits for a process that ends at once.
pub(super) fn collect(pid: Pid) {
    while waitpid(pid, None) == Err(Errno::EINTR) {}
}

/// Whether the orphans of others become our children: we are process 1, or what we were before has made us a subreaper.
#[cfg(target_os = "linux")]
pub fn inherits_orphans() -> bool {
    Pid::this().as_raw() == 1 || nix::sys::prctl::get_child_subreaper().unwrap_or(false)
}

/// The same: where there are no namespaces, nothing is ever inherited.
#[cfg(not(target_os = "linux"))]
pub fn inherits_orphans() -> bool {
    false
}

/// Collects the children of ours that have ended and were started by others.
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

/// Our children that have ended. A wait for any of them would stop at the first, be it a known one.
#[cfg(target_os = "linux")]
fn ended_children() -> Vec<Pid> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let ended = format!(" Z {} ", Pid::this());
    pids.filter(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // `pid (name) state parent ...`, and a name may hold anything.
        stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(&ended))
    })
    .map(Pid::from_raw)
    .collect()
}
