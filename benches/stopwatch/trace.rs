//! System calls of a running process, counted by `strace` where that is installed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How often each system call was made while `work` ran. `None` without `strace`, or where it may not look.
pub(crate) fn calls(pid: u32, folder: &Path, work: impl FnOnce()) -> Option<BTreeMap<String, u64>> {
    let table = folder.join("calls");
    #[expect(clippy::disallowed_methods, reason = "a tool of the measurement")]
    let mut strace = Command::new("strace")
        .args(["-f", "-c", "-o"])
        .arg(&table)
        .args(["-p", &pid.to_string()])
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let mut said = BufReader::new(strace.stderr.take()?).lines();
    // It says so for each thread; the main thread's comes in the first line.
    let attached = said.next().and_then(Result::ok).is_some_and(|line| line.contains("attached"));
    if attached {
        work();
        let _ = kill(Pid::from_raw(i32::try_from(strace.id()).ok()?), Signal::SIGINT);
    }
    strace.wait().ok()?;
    let table = fs::read_to_string(table).ok().filter(|_| attached)?;
    Some(parse(&table))
}

/// Columns: share of the time, seconds, microseconds a call, calls, errors (may be empty), name.
fn parse(table: &str) -> BTreeMap<String, u64> {
    let mut calls = BTreeMap::new();
    for line in table.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [_, _, _, count, .., name] = words[..]
            && name != "total"
            && let Ok(count) = count.parse()
        {
            calls.insert(name.to_owned(), count);
        }
    }
    calls
}
