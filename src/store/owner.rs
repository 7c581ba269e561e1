//! Whose session it is: a process, and when it started, for process ids are used again.

use std::process;

use crate::ledger::Session;

/// After this time without a keepalive, in milliseconds, a supervisor of another machine or another container, which
/// cannot be looked at, is taken for dead: five keepalives were missed.
const SILENCE: i64 = 5 * 60 * 1000;

/// A process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its id.
    pub pid: u32,
    /// `SYSTEM:START`: the system whose process ids these are (this boot of this machine, and this container), and when the
    /// process started there. Empty where the system does not tell.
    pub started: String,
}

impl Owner {
    /// This process.
    pub fn ourselves() -> Self {
        let pid = process::id();
        Self { pid, started: started(pid).unwrap_or_default() }
    }
}

/// Whether the supervisor of this open session is gone, at this time in milliseconds since the Unix epoch.
pub fn is_lost(session: &Session, now: i64) -> bool {
    let comparable =
        system().is_some() && session.pid_started.split_once(':').map(|(there, _)| there) == system();
    if comparable { !runs_here(session) } else { now.saturating_sub(session.alive_at) > SILENCE }
}

/// Whether the supervisor of this session is a process that can be seen from here.
pub fn runs_here(session: &Session) -> bool {
    !session.pid_started.is_empty() && started(session.pid).as_deref() == Some(&*session.pid_started)
}

/// The system whose process ids those are that we see. `None` where it does not tell. Asked for once: it does not change, and
/// many sessions are compared with it.
#[cfg(target_os = "linux")]
fn system() -> Option<&'static str> {
    use std::fs;
    use std::sync::OnceLock;

    static SYSTEM: OnceLock<Option<String>> = OnceLock::new();
    let look = || {
        // A `/proc` that is another container's has others under our numbers.
        let own = fs::read_to_string("/proc/self/stat").ok()?;
        if own.split_whitespace().next()?.parse() != Ok(process::id()) {
            return None;
        }
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
        let space = fs::read_link("/proc/self/ns/pid").ok()?;
        let space: String = space.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        Some(format!("{}/{space}", boot.trim()))
    };
    SYSTEM.get_or_init(look).as_deref()
}

#[cfg(target_os = "macos")]
fn system() -> Option<&'static str> {
    Some("macos")
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn system() -> Option<&'static str> {
    None
}

/// When a process started. `None` if there is none, or it is a dead one that was not reaped.
#[cfg(target_os = "linux")]
fn started(pid: u32) -> Option<String> {
    let system = system()?;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name is in parentheses and may hold anything.
    let rest = &stat[stat.rfind(')')? + 1..];
    let mut fields = rest.split_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    // The 22nd field of all, in ticks since the boot; the state was the third.
    let ticks = fields.nth(18)?;
    Some(format!("{system}:{ticks}"))
}

/// When a process started. `None` if there is none, or it is a dead one that was not reaped.
#[cfg(target_os = "macos")]
fn started(pid: u32) -> Option<String> {
    use nix::libc;

    let mut info = std::mem::MaybeUninit::<libc::proc_bsdinfo>::uninit();
    let size = i32::try_from(size_of::<libc::proc_bsdinfo>()).ok()?;
    #[expect(unsafe_code, reason = "the call has no wrapper in a library that we use")]
    // SAFETY: the system writes at most `size` bytes, and what it has written is read only if that was all of them.
    let info = unsafe {
        let pid = i32::try_from(pid).ok()?;
        let told = libc::proc_pidinfo(pid, libc::PROC_PIDTBSDINFO, 0, info.as_mut_ptr().cast(), size);
        (told == size).then(|| info.assume_init())?
    };
    // Zombies do not answer. The time is that of the clock, and so of every boot.
    Some(format!("macos:{}.{}", info.pbi_start_tvsec, info.pbi_start_tvusec))
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn started(_: u32) -> Option<String> {
    None
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn of(pid: u32, started: &str) -> Session {
        Session { pid, pid_started: started.to_owned(), ..Session::begins("a".to_owned(), 0) }
    }

    #[test]
    fn who_lives_is_not_lost_and_who_has_the_same_number_is_somebody_else() {
        let here = Owner::ourselves();
        assert!(!here.started.is_empty());
        assert!(!is_lost(&of(here.pid, &here.started), i64::MAX), "we live, however long ago it was told");
        let earlier = format!("{}0", here.started);
        assert!(is_lost(&of(here.pid, &earlier), 0), "the number was somebody else's");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a process that is looked at from outside")]
    fn who_has_died_is_lost_also_before_it_is_reaped() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let started = started(child.id()).unwrap();
        let session = of(child.id(), &started);
        assert!(!is_lost(&session, i64::MAX));
        drop(child.stdin.take());
        // Its output ends with it, and it stays a zombie until it is waited for.
        std::io::copy(&mut child.stdout.take().unwrap(), &mut std::io::sink()).unwrap();
        while !is_lost(&session, 0) {
            std::thread::yield_now();
        }
        child.wait().unwrap();
        assert!(is_lost(&session, 0));
    }

    #[test]
    fn who_cannot_be_looked_at_is_lost_when_it_is_silent() {
        for started in ["another boot/1:5", ""] {
            let session = Session { alive_at: 1000, ..of(1, started) };
            assert!(!is_lost(&session, 1000 + SILENCE));
            assert!(is_lost(&session, 1001 + SILENCE));
        }
    }
}
