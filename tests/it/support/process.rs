//! Processes from outside: whether they are gone, what they hold, and how long a test waits for anything.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How long a test waits for an event that must come. No figure of the program: only a failing test waits as long.
pub(crate) const WATCHDOG: Duration = Duration::from_secs(30);
/// Between two looks at what cannot be waited for.
const LOOK: Duration = Duration::from_millis(2);

/// The end of the watchdog's patience.
pub(crate) fn deadline() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "a watchdog for tests that hang")]
    let now = Instant::now();
    now + WATCHDOG
}

/// The time that is left. `None` if none is.
pub(crate) fn left(deadline: Instant) -> Option<Duration> {
    #[expect(clippy::disallowed_methods, reason = "a watchdog for tests that hang")]
    let left = deadline.checked_duration_since(Instant::now());
    left.filter(|left| !left.is_zero())
}

/// A moment from which time is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Since(Instant);

impl Since {
    pub(crate) fn now() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "tests have watchdogs, and tell how long something took"
        )]
        Self(Instant::now())
    }

    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// Waits a moment between two things that a test does, so that they are no single one. Gives how long it became: on a
/// busy machine, more than it should be.
pub(crate) fn pause(moment: Duration) -> Duration {
    let until = deadline();
    thread::sleep(moment);
    deadline() - until
}

/// Looks until there is something. `None` if the watchdog has to end it.
pub(crate) fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = deadline();
    loop {
        match look() {
            None if left(deadline).is_none() => return None,
            None => thread::sleep(LOOK),
            found => return found,
        }
    }
}

/// Whether the process has ended; one that only waits to be reaped has. Containers reap late.
pub(crate) fn is_gone(pid: i32) -> bool {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => stat
            .rsplit(')')
            .next()
            .is_some_and(|rest| matches!(rest.trim_start().chars().next(), Some('Z' | 'X'))),
        Err(_) if Path::new("/proc/self/stat").exists() => true,
        Err(_) => kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH),
    }
}

/// Whether the process is stopped, which it is only some time after the signal was sent.
#[cfg(target_os = "linux")]
pub(crate) fn is_stopped(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('T'))
}

/// Kills a process with SIGKILL.
pub(crate) fn kill_hard(pid: i32) {
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
}

/// Kills a process if it is one of the fixture's.
pub(crate) fn kill_fixture(pid: i32) {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    if String::from_utf8_lossy(&command).contains("fixture-") {
        kill_hard(pid);
    }
}

/// Whether the process has this name.
pub(crate) fn is_called(pid: i32, name: &str) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|found| found.trim_end() == name)
}

/// The processes whose parent is this one and whose name is that.
pub(crate) fn children(parent: i32, name: &str) -> Vec<i32> {
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    let mine = |pid: &i32| {
        let told = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let Some((start, more)) = told.rsplit_once(')') else { return false };
        more.split_whitespace().nth(1) == Some(&parent.to_string()) && start.ends_with(&format!("({name}"))
    };
    all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter(mine).collect()
}

/// The living processes whose command line or environment, or that of the process that they are copies of, contains
/// this. None where the system does not tell.
pub(crate) fn mentioning(part: &str) -> Vec<i32> {
    telling(&["cmdline", "environ"], part)
}

/// The living processes whose command line contains this, as `pkill -f` finds them. None where the system does not tell.
pub(crate) fn called_with(part: &str) -> Vec<i32> {
    telling(&["cmdline"], part)
}

/// The living processes of which the system tells this in one of these files.
fn telling(files: &[&str], part: &str) -> Vec<i32> {
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    let mentions = |pid: &i32| {
        let tells = |file: &&str| {
            let words = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            String::from_utf8_lossy(&words).contains(part)
        };
        files.iter().any(tells) && !is_gone(*pid)
    };
    all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).filter(mentions).collect()
}

/// What a process has open: numbers and what they are.
pub(crate) fn descriptors(pid: i32) -> Vec<(i32, PathBuf)> {
    let Ok(all) = fs::read_dir(format!("/proc/{pid}/fd")) else { return Vec::new() };
    let mut open: Vec<(i32, PathBuf)> = all
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let number = path.file_name()?.to_str()?.parse().ok()?;
            Some((number, fs::read_link(&path).ok()?))
        })
        .collect();
    open.sort();
    open
}

/// The inodes of the sockets that a process has open.
#[cfg(target_os = "linux")]
pub(crate) fn sockets(pid: i32) -> Vec<u64> {
    let inode = |path: PathBuf| path.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok();
    descriptors(pid).into_iter().filter_map(|(_, path)| inode(path)).collect()
}

/// The inodes of all sockets of this kind that the process could have: `tcp`, `udp6`...
#[cfg(target_os = "linux")]
pub(crate) fn inodes(pid: i32, network: &str) -> Vec<u64> {
    let table = fs::read_to_string(format!("/proc/{pid}/net/{network}")).unwrap_or_default();
    table.lines().skip(1).filter_map(|line| line.split_whitespace().nth(9)?.parse().ok()).collect()
}

/// A number from `/proc/PID/<file>`, on the line that starts so.
pub(crate) fn figure(pid: i32, file: &str, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let word = line.split_whitespace().next()?;
    if word.len() == 16 { u64::from_str_radix(word, 16).ok() } else { word.parse().ok() }
}

/// The memory that a process holds, in KiB. `None` where the system does not tell.
pub(crate) fn memory(pid: i32) -> Option<u64> {
    figure(pid, "status", "VmRSS")
}

/// How many bytes a process has read. `None` where the system does not tell.
pub(crate) fn bytes_read(pid: i32) -> Option<u64> {
    figure(pid, "io", "rchar")
}

/// How many bytes a process has written, and with how many calls. `None` where the system does not tell.
pub(crate) fn written(pid: i32) -> Option<(u64, u64)> {
    Some((figure(pid, "io", "wchar")?, figure(pid, "io", "syscw")?))
}

/// Whether a thread of the process waits inside a write to its stdout. `None` where the system does not tell.
#[cfg(target_os = "linux")]
pub(crate) fn writes_in_vain(pid: i32) -> Option<bool> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let mut known = None;
    for thread in threads.filter_map(Result::ok) {
        let Ok(call) = fs::read_to_string(thread.path().join("syscall")) else { continue };
        let mut words = call.split_whitespace();
        let (number, first) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let write = nix::libc::SYS_write.to_string();
        *known.get_or_insert(false) |= number == write && first == "0x1";
    }
    known
}

/// How many bytes are in the pipe that is the process's stdout. `None` where the system does not tell.
#[cfg(target_os = "linux")]
pub(crate) fn unread_output(pid: i32) -> Option<i32> {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = format!("/proc/{pid}/fd/1");
    let pipe = fs::File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path).ok()?;
    let mut count = 0;
    #[expect(unsafe_code, reason = "the call has no wrapper in a library that we use")]
    // SAFETY: it fills the number, and the descriptor is open.
    let told = unsafe { nix::libc::ioctl(pipe.as_raw_fd(), nix::libc::FIONREAD, &raw mut count) };
    (told == 0).then_some(count)
}

/// How many bytes are in the pipe that is the process's stdout. `None` where the system does not tell.
#[cfg(not(target_os = "linux"))]
pub(crate) fn unread_output(_pid: i32) -> Option<i32> {
    None
}

/// Whether a thread of the process waits inside a write to its stdout. `None` where the system does not tell.
#[cfg(not(target_os = "linux"))]
pub(crate) fn writes_in_vain(_pid: i32) -> Option<bool> {
    None
}
