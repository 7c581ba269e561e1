//! What a child has left behind: processes of its group, and, on Linux, those that carry a mark in their environment, also
//! in sessions of their own.
//!
//! A process that has ended and is not reaped is none.

#[cfg(target_os = "linux")]
use std::fs;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
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
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut left: Vec<Left> = pids
        .filter(|pid| *pid != process)
        .filter_map(|pid| {
            let (name, its_group) = living(pid)?;
            let ours = || its_group == group || fs::read(format!("/proc/{pid}/environ")).is_ok_and(is_marked);
            ours().then_some(Left { pid: Some(pid), name })
        })
        .collect();
    left.sort_by_key(|it| it.pid);
    left
}

/// Whether a process of this group runs. A zombie does not count.
#[cfg(target_os = "linux")]
pub(super) fn runs(group: Pid) -> bool {
    let Ok(entries) = fs::read_dir("/proc") else { return true };
    let mut pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.any(|pid| living(pid).is_some_and(|(_, its_group)| its_group == group.as_raw().cast_unsigned()))
}

/// The name and the group of a process. `None` if it has ended.
#[cfg(target_os = "linux")]
fn living(pid: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // `pid (name) state parent group ...`; the name may contain any character.
    let (head, rest) = stat.rsplit_once(')')?;
    let mut words = rest.split_whitespace();
    let (state, group) = (words.next()?, words.nth(1)?.parse::<u32>().ok()?);
    let name = head.split_once('(')?.1.to_owned();
    (!matches!(state, "Z" | "X")).then_some((name, group))
}

/// The same where the system itself reports a group of zombies as gone.
#[cfg(not(target_os = "linux"))]
pub(super) fn runs(group: Pid) -> bool {
    nix::sys::signal::killpg(group, None).is_ok()
}

/// Sends a signal to the processes of this group except `but`. Each is signalled right after it was found.
#[cfg(target_os = "linux")]
pub(super) fn tell_others(group: Pid, but: Pid, signal: Signal) -> Result<(), Errno> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut told = Ok(());
    for pid in pids.filter(|pid| Pid::from_raw(pid.cast_signed()) != but) {
        if living(pid).is_none_or(|(_, its_group)| its_group != group.as_raw().cast_unsigned()) {
            continue;
        }
        match kill(Pid::from_raw(pid.cast_signed()), signal) {
            Ok(()) | Err(Errno::ESRCH) => {}
            Err(errno) => told = Err(errno),
        }
    }
    told
}

/// The same where members cannot be told apart: the others are signalled only once `but` has gone.
#[cfg(not(target_os = "linux"))]
pub(super) fn tell_others(group: Pid, but: Pid, signal: Signal) -> Result<(), Errno> {
    if kill(but, None) == Err(Errno::ESRCH) { nix::sys::signal::killpg(group, signal) } else { Ok(()) }
}

/// The same, as far as the system tells it: whether the group has a process that runs.
#[cfg(not(target_os = "linux"))]
pub fn left_of(_process: u32, group: u32, _mark: (&str, &str)) -> Vec<Left> {
    use nix::sys::signal::killpg;

    let is_there = killpg(Pid::from_raw(group.cast_signed()), None).is_ok();
    is_there.then(|| Left { pid: None, name: String::new() }).into_iter().collect()
}

/// Ends them. Call it right after they were looked for: their numbers are others' some time later.
pub fn end(left: &[Left]) {
    for pid in left.iter().filter_map(|it| it.pid) {
        let _ = kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
    }
}
