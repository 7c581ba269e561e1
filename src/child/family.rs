//! What a child has left behind: processes of its group, and, on Linux, those that carry a mark in their environment, also
//! in sessions of their own.
//!
//! A process that has ended and is not reaped is none. A `/proc` of another pid namespace (`unshare --pid --fork` without
//! `--mount-proc`) lists other processes by our numbers: it is used as little as one that is not there.

#[cfg(target_os = "linux")]
use std::fs;
#[cfg(target_os = "linux")]
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

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

/// Whether a process of this group runs. A zombie does not count; without a `/proc` of ours it does.
#[cfg(target_os = "linux")]
pub(super) fn runs(group: Pid) -> bool {
    let Some(pids) = processes() else { return without_proc::runs(group) };
    pids.into_iter().any(|pid| living(pid).is_some_and(|found| found.is_of(group)))
}

/// Whether a process of this group is stopped, other than by a debugger. `false` without a `/proc` of ours.
#[cfg(target_os = "linux")]
pub(super) fn is_stopped(group: Pid) -> bool {
    let stopped = |pid| living(pid).is_some_and(|found| found.is_of(group) && found.stopped);
    processes().is_some_and(|pids| pids.into_iter().any(stopped))
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

/// Sends a signal to the processes of this group except `but`. Each is signalled right after it was found.
#[cfg(target_os = "linux")]
pub(super) fn tell_others(group: Pid, but: Pid, signal: Signal) -> Result<(), Errno> {
    let Some(pids) = processes() else { return without_proc::tell_others(group, but, signal) };
    let mut told = Ok(());
    for pid in pids.into_iter().filter(|pid| Pid::from_raw(pid.cast_signed()) != but) {
        if !living(pid).is_some_and(|found| found.is_of(group)) {
            continue;
        }
        match kill(Pid::from_raw(pid.cast_signed()), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => told = Err(errno),
        }
    }
    told
}

#[cfg(not(target_os = "linux"))]
pub(super) use without_proc::{is_stopped, runs, tell_others};

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

/// The same where members of a group cannot be told apart.
mod without_proc {
    use super::{Errno, Left, Pid, Signal, kill, killpg};

    /// On Linux a zombie counts; elsewhere the system itself reports a group of zombies as gone.
    pub(super) fn runs(group: Pid) -> bool {
        killpg(group, None) != Err(Errno::ESRCH)
    }

    /// The others are signalled only once `but` has gone.
    pub(super) fn tell_others(group: Pid, but: Pid, signal: Signal) -> Result<(), Errno> {
        if kill(but, None) == Err(Errno::ESRCH) { killpg(group, signal) } else { Ok(()) }
    }

    pub(super) fn left_of(group: u32) -> Vec<Left> {
        let is_there = killpg(Pid::from_raw(group.cast_signed()), None).is_ok();
        is_there.then(|| Left { pid: None, name: String::new() }).into_iter().collect()
    }

    #[cfg(not(target_os = "linux"))]
    pub(super) fn is_stopped(_group: Pid) -> bool {
        false
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
