//! The process that started us, and what its end means.
//!
//! It may have been the host: if a sibling of ours has inherited the host's ends of our pipes, no end of input comes.
//! It may also have been a launcher whose host lives on. A host was started before us, and a sibling that inherited its
//! ends was not. So this module finds the process that holds the other end of our stdin, and whether it is older than
//! we are.
//!
//! | stdin is | its other end is held by |
//! |---|---|
//! | a pipe without a name | the processes that have it in `/proc/PID/fd`, open for writing |
//! | a named FIFO | nothing is concluded: any process may open it later |
//! | a socket | the process that made the pair (`SO_PEERCRED`) |
//! | anything else | nothing is concluded: a terminal and a file report their end themselves |
//!
//! If a launcher has gone and an older process holds the other end, that process is the host, and its end is waited for
//! in turn. On systems without `/proc` and pidfds, or with the `/proc` of another pid namespace, nothing is learnt, and
//! nothing is concluded.

use std::task::{Context, Poll};

use crate::engine::io::Holder;

/// The process that started us, or that is known to hold the other end of our stdin.
#[derive(Debug, Default)]
pub(super) struct Starter(system::Starter);

impl Starter {
    /// Must be called inside the runtime.
    pub(super) fn new() -> Self {
        Self(system::Starter::new())
    }

    /// Ready when it has ended, with the present holder of the other end of our stdin. Takes as long as a look at all
    /// processes takes.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Holder> {
        self.0.poll_gone(cx)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::task::{Context, Poll};

    use crate::engine::io::Holder;

    #[derive(Debug, Default)]
    pub(super) struct Starter;

    impl Starter {
        pub(super) fn new() -> Self {
            Self
        }

        #[expect(clippy::unused_self, reason = "the same as where something can be learnt")]
        pub(super) fn poll_gone(&mut self, _cx: &mut Context<'_>) -> Poll<Holder> {
            Poll::Pending
        }
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::ffi::OsString;
    use std::fs;
    use std::io;
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    use std::process;
    use std::task::{Context, Poll, ready};

    use nix::sys::socket::{getsockopt, sockopt};
    use nix::unistd::{Pid, geteuid, getppid};

    use crate::child::{EndWatch, proc_is_ours};
    use crate::engine::io::Holder;

    /// The link to the first namespace of process ids. From another one, processes outside of it are invisible.
    const FIRST_NAMESPACE: &str = "pid:[4026531836]";
    const STDIN: &str = "/proc/self/fd/0";
    /// The beginning of the link to a pipe that can only be inherited. A named FIFO has its path there.
    const ANONYMOUS: &[u8] = b"pipe:[";

    #[derive(Debug, Default)]
    pub(super) struct Starter {
        /// `None` if nothing can be learnt, or nothing is left to learn.
        watched: Option<EndWatch>,
        /// Whether it was gone before it could be watched.
        gone: bool,
    }

    impl Starter {
        pub(super) fn new() -> Self {
            let starter = getppid();
            if starter.as_raw() <= 1 {
                return Self::default();
            }
            let watched = EndWatch::new(starter).ok();
            // Before the watch began, another process may have got its number.
            Self { gone: getppid() != starter, watched }
        }

        pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Holder> {
            if !std::mem::take(&mut self.gone) {
                let Some(watched) = &self.watched else { return Poll::Pending };
                ready!(watched.poll_ended(cx));
            }
            self.watched = None;
            let found = find();
            if let Found::Older(pid) = found {
                self.watched = EndWatch::new(pid).ok();
            }
            Poll::Ready(match found {
                Found::Older(_) | Found::Nothing => Holder::Other,
                Found::Nobody => Holder::Nobody,
                Found::Unknown => Holder::Unknown,
            })
        }
    }

    /// Who holds the other end of our stdin.
    enum Found {
        Older(Pid),
        Nobody,
        Unknown,
        /// Stdin is neither a socket nor a pipe without a name.
        Nothing,
    }

    fn find() -> Found {
        let Ok(stdin) = fs::metadata(STDIN) else { return Found::Unknown };
        let kind = stdin.file_type();
        if !kind.is_socket() && !kind.is_fifo() {
            return Found::Nothing;
        }
        let Some(ours) = birth(process::id()).filter(|_| proc_is_ours()) else { return Found::Unknown };
        if kind.is_socket() {
            return maker_of_socket(ours);
        }
        let Ok(pipe) = fs::read_link(STDIN) else { return Found::Unknown };
        if !pipe.as_os_str().as_bytes().starts_with(ANONYMOUS) {
            return Found::Nothing;
        }
        let Ok(processes) = fs::read_dir("/proc") else { return Found::Unknown };
        // A pipe belongs to the user who made it.
        let maker = stdin.uid();
        let alike = maker == geteuid().as_raw() || geteuid().is_root();
        let seen = fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.as_os_str() == FIRST_NAMESPACE);
        let mut unknown = !alike || !seen;
        for pid in processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok()) {
            // A younger process may only have inherited it.
            if birth(pid).is_none_or(|birth| birth >= ours) {
                continue;
            }
            match writes_to(pid, pipe.as_os_str()) {
                Ok(true) => return Found::Older(Pid::from_raw(pid.cast_signed())),
                Ok(false) => {}
                Err(error) => unknown |= error.kind() == io::ErrorKind::PermissionDenied && is_of(pid, maker),
            }
        }
        if unknown { Found::Unknown } else { Found::Nobody }
    }

    fn maker_of_socket(ours: (u64, u32)) -> Found {
        let Ok(maker) = getsockopt(&io::stdin(), sockopt::PeerCredentials) else { return Found::Unknown };
        let pid = maker.pid();
        match u32::try_from(pid) {
            // The maker is outside of our namespace, or it made the pair for another process before it became us.
            Ok(0) | Err(_) => Found::Unknown,
            Ok(pid) if pid == process::id() => Found::Unknown,
            Ok(number) if birth(number).is_some_and(|birth| birth < ours) => Found::Older(Pid::from_raw(pid)),
            Ok(_) => Found::Nobody,
        }
    }

    /// When a running process was started, in ticks of the system. The number decides between two of the same tick.
    fn birth(pid: u32) -> Option<(u64, u32)> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // `pid (name) state ...`; the name may contain any character. The start is the 22nd field.
        let (_, rest) = stat.rsplit_once(')')?;
        let mut words = rest.split_whitespace();
        let state = words.next()?;
        let ticks = words.nth(18)?.parse().ok()?;
        (!matches!(state, "Z" | "X")).then_some((ticks, pid))
    }

    /// Whether this process holds this pipe open for writing.
    fn writes_to(pid: u32, pipe: &std::ffi::OsStr) -> io::Result<bool> {
        for entry in fs::read_dir(format!("/proc/{pid}/fd"))?.flatten() {
            if fs::read_link(entry.path()).is_ok_and(|link| link.as_os_str() == pipe) {
                let number: OsString = entry.file_name();
                let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{}", number.display()))?;
                let flags = info.lines().find_map(|line| line.strip_prefix("flags:"));
                let flags = flags.and_then(|flags| u32::from_str_radix(flags.trim(), 8).ok());
                // O_WRONLY and O_RDWR.
                if flags.is_some_and(|flags| flags & 0o3 != 0) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Whether this process runs as this user. `true` where that is not known.
    fn is_of(pid: u32, user: u32) -> bool {
        let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { return true };
        let users = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        users.is_none_or(|users| users.split_whitespace().any(|id| id.parse() == Ok(user)))
    }
}
