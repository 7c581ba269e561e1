//! The processes of a child: which they are, whether any is left, and how all of them are signalled.
//!
//! On Linux a family is every process of the session in which the child was started, and of the session that the child
//! may have begun itself (`setsid`). It is more than one process group: a child that becomes the leader of a session
//! leaves its group behind, and an interactive shell gives each of its jobs a group. Elsewhere it is the child's group.
//!
//! What [`left_of`] finds besides are processes that carry a mark in their environment, also in other sessions.
//!
//! A process that has ended and is not reaped is none. A `/proc` of another pid namespace (`unshare --pid --fork` without
//! `--mount-proc`) lists other processes by our numbers: it is used as little as one that is not there. Then a family is
//! the group in which the child was started, and the one that it has created.

#[cfg(target_os = "linux")]
use std::fs;
#[cfg(target_os = "linux")]
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
#[cfg(target_os = "linux")]
use nix::unistd::getsid;
use nix::unistd::{Pid, getpgid};

/// A child and what belongs to it. The numbers of the leader and of the session stay taken until the child is reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Family {
    /// The process that executes the command.
    pub(super) leader: Pid,
    /// The group in which it was started.
    pub(super) group: Pid,
    /// The session in which it was started. Its leader is no member, unless it is `leader`: it is the keeper.
    pub(super) session: Pid,
}

impl Family {
    /// Signals all of them. The leader must not be reaped yet.
    pub(super) fn signal(self, signal: Signal) -> Result<(), Errno> {
        // The leader's own group is signalled as a whole: nothing of it escapes by forking. The number of the group that
        // the leader has left may be a stranger's.
        let group = self.group_now();
        let sent = killpg(group, signal);
        #[cfg(target_os = "linux")]
        let sent = {
            let is_other = |pid: &Pid| getpgid(Some(*pid)).is_ok_and(|its_group| its_group != group);
            each(sent, self.members().into_iter().flatten().filter(is_other), signal)
        };
        sent
    }

    /// The group that the leader is in now: its own if it has made itself the leader of one.
    pub(super) fn group_now(self) -> Pid {
        match getpgid(Some(self.leader)) {
            Ok(group) if group == self.leader => group,
            // The group of another process is not its own, even if the leader has joined it.
            Ok(_) | Err(_) => self.group,
        }
    }
}

#[cfg(target_os = "linux")]
impl Family {
    /// Whether one of them runs. Without a `/proc` of ours, zombies count.
    pub(super) fn runs(self) -> bool {
        self.living().map_or_else(|| without_proc::runs(self), |mut living| living.next().is_some())
    }

    /// Whether one of its groups has a process that is stopped, other than by a debugger. A job of an interactive shell
    /// is not of them. `false` without a `/proc` of ours.
    pub(super) fn is_stopped(self) -> bool {
        let is_of = |found: &Living| [self.group, self.leader].iter().any(|group| found.is_of(*group));
        let mut living = self.living().into_iter().flatten();
        living.any(|(_, found)| found.stopped && is_of(&found))
    }

    /// Whether the leader's number is still that of the leader, which may be a zombie.
    pub(super) fn has_leader(self) -> bool {
        getsid(Some(self.leader)).is_ok_and(|session| self.has(session))
    }

    /// Signals all but the leader. Each is signalled right after it was found. Without a `/proc` of ours the others are
    /// signalled only once the leader has gone.
    pub(super) fn tell_others(self, signal: Signal) -> Result<(), Errno> {
        let Some(living) = self.living() else { return without_proc::tell_others(self, signal) };
        let others = living.map(|(pid, _)| pid).filter(|pid| *pid != self.leader);
        each(Ok(()), others, signal)
    }

    /// Kills all of them, where the numbers of the leader and the group may be another's by now. One that forks while
    /// the others are looked for is found in the next round.
    pub(super) fn end(self) {
        for _ in 0..ROUNDS {
            let Some(living) = self.living() else { return without_proc::end(self) };
            let mut living = living.map(|(pid, _)| pid).peekable();
            if living.peek().is_none() {
                break;
            }
            let _ = each(Ok(()), living, Signal::SIGKILL);
        }
    }

    fn has(self, session: Pid) -> bool {
        session == self.session || session == self.leader
    }

    /// Those that have not been reaped. `None` if processes cannot be listed.
    fn members(self) -> Option<impl Iterator<Item = Pid>> {
        let pids = processes()?.into_iter().map(|pid| Pid::from_raw(pid.cast_signed()));
        let pids = pids.filter(move |pid| *pid == self.leader || *pid != self.session);
        Some(pids.filter(move |pid| getsid(Some(*pid)).is_ok_and(|session| self.has(session))))
    }

    fn living(self) -> Option<impl Iterator<Item = (Pid, Living)>> {
        Some(self.members()?.filter_map(|pid| Some((pid, living(pid.as_raw().cast_unsigned())?))))
    }
}

#[cfg(not(target_os = "linux"))]
impl Family {
    pub(super) fn runs(self) -> bool {
        without_proc::runs(self)
    }

    pub(super) fn is_stopped(self) -> bool {
        false
    }

    pub(super) fn has_leader(self) -> bool {
        kill(self.leader, None) != Err(Errno::ESRCH)
    }

    pub(super) fn tell_others(self, signal: Signal) -> Result<(), Errno> {
        without_proc::tell_others(self, signal)
    }

    pub(super) fn end(self) {
        without_proc::end(self);
    }
}

/// How often the last of a family are looked for when they are killed.
#[cfg(target_os = "linux")]
const ROUNDS: u32 = 16;

/// Signals each of these processes. Gives the last failure, `before` included. That a process is gone is none.
#[cfg(target_os = "linux")]
fn each(before: Result<(), Errno>, pids: impl Iterator<Item = Pid>, signal: Signal) -> Result<(), Errno> {
    let mut sent = before;
    for pid in pids {
        match kill(pid, signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => sent = Err(errno),
        }
    }
    sent
}

/// A process that is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Left {
    /// Its process id. `None` where the system tells only that there is one.
    pub pid: Option<u32>,
    /// Its name, as the system has it. Empty likewise.
    pub name: String,
}

/// The processes of `group`, without `process` itself, and those with the variable and value of `mark` in their
/// environment. `process` must not have been reaped yet, so that no other process can have its number or its group's.
#[cfg(target_os = "linux")]
pub fn left_of(process: u32, group: u32, mark: (&str, &str)) -> Vec<Left> {
    let marked = format!("{}={}", mark.0, mark.1);
    let is_marked =
        |environment: Vec<u8>| environment.split(|byte| *byte == 0).any(|it| it == marked.as_bytes());
    let Some(pids) = processes() else { return without_proc::left_of(group) };
    let mut left: Vec<Left> = pids
        .into_iter()
        .filter(|pid| *pid != process)
        .filter_map(|pid| {
            let found = living(pid)?;
            let ours =
                || found.group == group || fs::read(format!("/proc/{pid}/environ")).is_ok_and(is_marked);
            ours().then_some(Left { pid: Some(pid), name: found.name })
        })
        .collect();
    left.sort_by_key(|it| it.pid);
    left
}

/// Whether `/proc` is there and shows the processes by the numbers that they have for us.
#[cfg(target_os = "linux")]
pub fn proc_is_ours() -> bool {
    is_ours(Path::new("/proc"))
}

#[cfg(target_os = "linux")]
fn is_ours(proc: &Path) -> bool {
    let number = Pid::this().to_string();
    fs::read_link(proc.join("self")).is_ok_and(|link| link.as_os_str() == number.as_str())
}

/// The numbers of all processes. `None` if they cannot be listed, or if they are those of another namespace.
#[cfg(target_os = "linux")]
pub(super) fn processes() -> Option<Vec<u32>> {
    processes_in(Path::new("/proc"))
}

#[cfg(target_os = "linux")]
fn processes_in(proc: &Path) -> Option<Vec<u32>> {
    let entries = fs::read_dir(proc).ok().filter(|_| is_ours(proc))?;
    Some(entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// A process that has not ended.
#[cfg(target_os = "linux")]
struct Living {
    name: String,
    group: u32,
    stopped: bool,
}

#[cfg(target_os = "linux")]
impl Living {
    fn is_of(&self, group: Pid) -> bool {
        self.group == group.as_raw().cast_unsigned()
    }
}

/// What is known of a process. `None` if it has ended.
#[cfg(target_os = "linux")]
fn living(pid: u32) -> Option<Living> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // `pid (name) state parent group ...`; the name may contain any character.
    let (head, rest) = stat.rsplit_once(')')?;
    let mut words = rest.split_whitespace();
    let (state, group) = (words.next()?, words.nth(1)?.parse::<u32>().ok()?);
    let name = head.split_once('(')?.1.to_owned();
    // A process that a debugger has stopped is in the state `t`.
    (!matches!(state, "Z" | "X")).then_some(Living { name, group, stopped: state == "T" })
}

/// Whether the group has a process that runs, as far as the system tells.
#[cfg(not(target_os = "linux"))]
pub fn left_of(_process: u32, group: u32, _mark: (&str, &str)) -> Vec<Left> {
    without_proc::left_of(group)
}

/// Ends them. Call it right after they were looked for: their numbers are others' some time later.
pub fn end(left: &[Left]) {
    for pid in left.iter().filter_map(|it| it.pid) {
        let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
    }
}

/// The same where the members of a group cannot be told apart.
mod without_proc {
    use super::{Errno, Family, Left, Pid, Signal, kill, killpg};

    /// On Linux a zombie counts; elsewhere the system itself reports a group of zombies as gone.
    pub(super) fn runs(family: Family) -> bool {
        [family.group, family.leader].iter().any(|group| killpg(*group, None) != Err(Errno::ESRCH))
    }

    /// The others are signalled only once the leader has gone.
    pub(super) fn tell_others(family: Family, signal: Signal) -> Result<(), Errno> {
        if kill(family.leader, None) == Err(Errno::ESRCH) { family.signal(signal) } else { Ok(()) }
    }

    pub(super) fn end(family: Family) {
        let _ = family.signal(Signal::SIGKILL);
    }

    pub(super) fn left_of(group: u32) -> Vec<Left> {
        let is_there = killpg(Pid::from_raw(group.cast_signed()), None).is_ok();
        is_there.then(|| Left { pid: None, name: String::new() }).into_iter().collect()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::os::unix::fs::symlink;
    use std::process;

    use super::{is_ours, proc_is_ours, processes, processes_in};

    #[test]
    fn the_numbers_of_another_namespace_are_not_used() {
        let proc = tempfile::tempdir().unwrap();
        let path = |name: &str| proc.path().join(name);
        for pid in [1, 4711, process::id()] {
            std::fs::create_dir(path(&pid.to_string())).unwrap();
        }
        assert!(processes_in(proc.path()).is_none(), "a folder without `self` is no /proc");
        symlink("4711", path("self")).unwrap();
        assert!(processes_in(proc.path()).is_none() && !is_ours(proc.path()));
        std::fs::remove_file(path("self")).unwrap();
        symlink(process::id().to_string(), path("self")).unwrap();
        assert_eq!(processes_in(proc.path()).map(|pids| pids.len()), Some(3));
        assert!(proc_is_ours() && processes().unwrap().contains(&process::id()));
    }
}
