//! The session of a child: the process that keeps it, and its terminal, which answers every question with the end of input.
//!
//! The process that leads the session keeps it: the keeper. It keeps the session's number taken, also when the child leaves
//! the session (`setsid`), so that no stranger can get it and pass for a member. It ends when the session's last other process
//! has ended, and not before, also when we are killed.
//!
//! A terminal exists only where our own session has one. There a server, or a program that it starts, may open `/dev/tty`
//! and expect somebody at it:
//!
//! - one that asks for a passphrase reads the end of input at once, as if a person had typed Ctrl-D, and goes on;
//! - one that changes the terminal's mode (`stty -echo`) changes that of this terminal, and not the host's;
//! - an interactive shell (`bash -ic "npx server"`) finds the terminal that it looks for.
//!
//! The terminal is there while the server starts. Once it serves, the terminal is taken away: whatever opens one gets an
//! error at once then, as under a host that has none. Otherwise a process in a group of its own would be stopped at it, and
//! one that reads single keys would never see the input end.
//!
//! The keeper holds one end of input ready whenever nothing is queued, and discards what is printed. The system tells it
//! when something was read, printed or flushed, so it sleeps until then. It must not end early: the system hangs up the
//! session when its leader exits, and SIGHUP would cut short what a process does with its grace.
//!
//! ```text
//! supervisor -+- keeper    leads the session; with a terminal, it is in a group of its own, which no signal reaches
//!             +- child     leads nothing; with a terminal, in its foreground group, whose creator has ended
//! ```
//!
//! No process of the child's group has its parent in another group of the session, so the system never stops it for
//! using the terminal, even while a shell has the foreground.
//!
//! The keeper is a copy of a process with threads: it makes system calls only, takes no lock and allocates nothing.

#[cfg(target_os = "linux")]
use std::os::fd::OwnedFd;

/// Both ends of the terminal, before the fork and in the new process.
#[cfg(target_os = "linux")]
#[derive(Debug)]
pub(super) struct Terminal {
    master: OwnedFd,
    slave: OwnedFd,
    /// Ends when [`Wanted`] is dropped.
    wanted: OwnedFd,
}

/// The terminal stays for as long as this lives: a pipe in which nothing is written.
#[derive(Debug)]
pub(super) struct Wanted {
    #[cfg(target_os = "linux")]
    _pipe: OwnedFd,
}

/// Elsewhere a process cannot have a sibling forked, and no child has a terminal.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(super) enum Terminal {}

#[cfg(target_os = "linux")]
pub(super) use keeper::continue_as_sibling;

/// Elsewhere the leader continues.
#[cfg(not(target_os = "linux"))]
pub(super) fn continue_as_sibling() {}

#[cfg(not(target_os = "linux"))]
impl Terminal {
    pub(super) fn new() -> Option<(Self, Wanted)> {
        None
    }

    pub(super) fn enter(&self, _place: super::sys::PlaceWriter) -> std::io::Result<nix::unistd::Pid> {
        match *self {}
    }
}

#[cfg(target_os = "linux")]
mod keeper {
    use std::io;
    use std::mem;
    use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
    use std::ptr;

    use nix::errno::Errno;
    use nix::fcntl::OFlag;
    use nix::libc;
    use nix::pty::{posix_openpt, unlockpt};
    use nix::unistd::{Pid, getpid, getsid, setpgid};

    use super::super::copied;
    use super::super::family::proc_is_ours;
    use super::super::sys::{self, PlaceWriter, exit_now, fork_sibling};
    use super::{Terminal, Wanted};

    /// The keeper's descriptors: both ends of the terminal, the process whose end it waits for, and the pipe that ends
    /// when the terminal is no longer wanted.
    const MASTER: RawFd = 0;
    const SLAVE: RawFd = 1;
    const WATCHED: RawFd = 2;
    const WANTED: RawFd = 3;
    /// Between two looks at the terminal where nothing has told that something happened, in milliseconds: the first, and
    /// the last of those that get longer.
    const LOOKS: (libc::c_int, libc::c_int) = (20, 4000);
    /// How long the keeper rests after it has answered, in milliseconds: the first time, and the most that it comes to
    /// with a program that asks again and again.
    const RESTS: (libc::c_int, libc::c_int) = (1, 1000);
    /// How long a group other than the child's may have the foreground, in milliseconds. A second interactive shell
    /// spins until the first gives it back.
    const FOREGROUND: i64 = 1000;
    /// The end of input where keys are read one by one: what Ctrl-D sends.
    const CTRL_D: u8 = 4;

    impl Terminal {
        /// A new terminal. `None` where our own session has none, or where the system refuses a terminal or what its
        /// keeper needs.
        pub(in super::super) fn new() -> Option<(Self, Wanted)> {
            if !has_terminal() || !proc_is_ours() || sys::pidfd(Pid::this()).is_err() {
                return None;
            }
            let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
            let master = posix_openpt(flags).ok()?;
            unlockpt(&master).ok()?;
            let (wanted, pipe) = io::pipe().ok()?;
            #[expect(unsafe_code, reason = "the calls have no wrapper in a library that we use")]
            // SAFETY: the first call returns a new descriptor, which is ours alone; the second reads a plain value.
            unsafe {
                let slave = libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags.bits());
                let slave = OwnedFd::from_raw_fd(Errno::result(slave).ok()?);
                let size = libc::winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
                libc::ioctl(slave.as_raw_fd(), libc::TIOCSWINSZ, &raw const size);
                let terminal = Self { master: OwnedFd::from(master), slave, wanted: wanted.into() };
                Some((terminal, Wanted { _pipe: pipe.into() }))
            }
        }

        /// In a new child that leads a session: makes this the session's terminal, and itself its keeper. A sibling
        /// returns, with the id of its group. Where the system refuses what this takes, the leader returns, without a
        /// terminal, and with the id of its own group. System calls only.
        pub(in super::super) fn enter(&self, place: PlaceWriter) -> io::Result<Pid> {
            let own = getpid();
            let (master, slave) = (self.master.as_raw_fd(), self.slave.as_raw_fd());
            let wanted = self.wanted.as_raw_fd();
            #[expect(unsafe_code, reason = "there is no safe way to a controlling terminal")]
            // SAFETY: it takes two numbers.
            if unsafe { libc::ioctl(slave, libc::TIOCSCTTY, 0) } != 0 {
                continue_as_sibling();
                return Ok(own);
            }
            // The first sibling creates the group. It has ended when the call returns, and is not reaped before the second
            // is in the group.
            let group = match fork_sibling(libc::CLONE_VFORK, &mut -1) {
                Ok(Some(group)) => group,
                Ok(None) => lead_foreground(slave),
                Err(_) => return Ok(leave(slave, own)),
            };
            place.write_led(group);
            let mut handle = -1;
            match fork_sibling(libc::CLONE_PIDFD, &mut handle) {
                Ok(Some(child)) => keep(Some(([master, slave, wanted], group)), handle, child),
                Ok(None) => setpgid(Pid::from_raw(0), group).map(|()| group).map_err(io::Error::from),
                Err(_) => Ok(leave(slave, own)),
            }
        }
    }

    /// In a new child that leads a session without a terminal: a sibling continues from here, and the leader keeps the
    /// session. Where the system refuses a sibling, the leader continues. System calls only.
    pub(in super::super) fn continue_as_sibling() {
        let mut handle = -1;
        let forked = fork_sibling(libc::CLONE_PIDFD, &mut handle).or_else(|_| fork_sibling(0, &mut -1));
        if let Ok(Some(child)) = forked {
            if handle < 0 {
                // An old kernel, or a sandbox: as a zombie it keeps the number taken as well.
                exit_now(libc::EXIT_SUCCESS);
            }
            keep(None, handle, child)
        }
    }

    /// Whether our session has a terminal.
    fn has_terminal() -> bool {
        std::fs::File::options().read(true).write(true).open("/dev/tty").is_ok()
    }

    /// Creates a group, makes it the terminal's foreground, and ends.
    fn lead_foreground(slave: RawFd) -> ! {
        // The system stops a process of the background for this unless it blocks the signal.
        block_signals();
        let _ = setpgid(Pid::from_raw(0), Pid::from_raw(0));
        set_foreground(slave, getpid());
        exit_now(libc::EXIT_SUCCESS)
    }

    /// The leader of the session goes on without the terminal, which has no keeper.
    fn leave(slave: RawFd, own: Pid) -> Pid {
        #[expect(unsafe_code, reason = "there is no safe way to a controlling terminal")]
        // SAFETY: the calls take numbers, and neither action of the signal runs code of ours. The system sends it to
        // the foreground, which this process may be.
        unsafe {
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            libc::ioctl(slave, libc::TIOCNOTTY);
            libc::signal(libc::SIGHUP, libc::SIG_DFL);
        }
        own
    }

    /// The whole life of the keeper: of a session, and of its terminal, if it has one: both ends, the pipe that tells
    /// whether it is wanted, and the group to have the foreground. `watched` tells of the end of `child`.
    fn keep(terminal: Option<([RawFd; 3], Pid)>, watched: RawFd, child: Pid) -> ! {
        block_signals();
        let Some(([master, slave, wanted], group)) = terminal else {
            keep_number(watched, child);
        };
        let events = prepare(master, slave, watched, wanted);
        sys::set_name(c"mcp-sup-tty");
        copied::give_back();
        let mut taken = None;
        let (mut look, mut rest) = (LOOKS.0, RESTS.0);
        loop {
            let woken = wait(events, look);
            if has_ended(WATCHED) && !watch_next(child) {
                exit_now(libc::EXIT_SUCCESS);
            }
            if has_ended(WANTED) {
                take_away();
                keep_number(WATCHED, child);
            }
            let printed = discard();
            let answered = answer();
            taken = regain(group, taken);
            if printed || answered {
                look = LOOKS.0;
                // The end of what is watched interrupts it.
                poll(WATCHED, libc::POLLIN, if answered { rest } else { RESTS.0 });
                rest = if answered { RESTS.1.min(rest * 2) } else { RESTS.0 };
            } else if woken {
                look = LOOKS.0;
            } else {
                look = if taken.is_some() { LOOKS.0 } else { LOOKS.1.min(look * 2) };
                rest = RESTS.0;
            }
        }
    }

    /// Takes the terminal away from the session. The system sends SIGHUP to the foreground then, which is the keeper.
    fn take_away() {
        set_foreground(SLAVE, getpid());
        #[expect(unsafe_code, reason = "there is no safe way to a controlling terminal")]
        // SAFETY: it takes two numbers.
        unsafe {
            libc::ioctl(SLAVE, libc::TIOCNOTTY);
        }
    }

    /// The life of a keeper without a terminal.
    fn keep_number(watched: RawFd, child: Pid) -> ! {
        #[expect(unsafe_code, reason = "the descriptors have no owners in this copy of the process")]
        // SAFETY: what the descriptors belonged to is never used in this process again.
        unsafe {
            libc::chdir(c"/".as_ptr());
            libc::dup2(watched, WATCHED);
            libc::close(MASTER);
            libc::close(SLAVE);
            sys::close_from(WATCHED + 1);
        }
        sys::set_name(c"mcp-sup-session");
        copied::give_back();
        loop {
            poll(WATCHED, libc::POLLIN, -1);
            if has_ended(WATCHED) && !watch_next(child) {
                exit_now(libc::EXIT_SUCCESS);
            }
        }
    }

    /// Cuts every tie to the process of which this is a copy, but the four descriptors. Gives the one that tells when
    /// something has happened at the terminal; -1 if the system refuses it.
    fn prepare(master: RawFd, slave: RawFd, watched: RawFd, wanted: RawFd) -> RawFd {
        #[expect(unsafe_code, reason = "the descriptors have no owners in this copy of the process")]
        // SAFETY: the four are above the standard ones, which are the child's and never used in this process again; the
        // pointers are to values that outlive the calls.
        unsafe {
            libc::chdir(c"/".as_ptr());
            // The last may be there already, or in its place is one that has been copied.
            for (from, to) in [(master, MASTER), (slave, SLAVE), (watched, WATCHED), (wanted, WANTED)] {
                libc::dup2(from, to);
            }
            sys::close_from(WANTED + 1);
            // Tells of a flush, as programs make before they ask: it drops the end of input that is ready.
            let on: libc::c_int = 1;
            libc::ioctl(MASTER, libc::TIOCPKT, &raw const on);
            libc::fcntl(MASTER, libc::F_SETFL, libc::O_RDWR | libc::O_NONBLOCK);
            // The system wakes the writers at one end when something was read at the other. To be woken without being
            // told the whole time that it could write, the keeper has to wait for the edge.
            let events = libc::epoll_create1(libc::EPOLL_CLOEXEC);
            let edge = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLET;
            let mut event = libc::epoll_event { events: edge.cast_unsigned(), u64: 0 };
            libc::epoll_ctl(events, libc::EPOLL_CTL_ADD, MASTER, &raw mut event);
            events
        }
    }

    /// Waits until the terminal, the watched process or the pipe has something to tell, or for this long.
    fn wait(events: RawFd, milliseconds: libc::c_int) -> bool {
        let mut fds =
            [watch(events, libc::POLLIN), watch(WATCHED, libc::POLLIN), watch(WANTED, libc::POLLIN)];
        #[expect(unsafe_code, reason = "descriptors that have no owner in this process")]
        // SAFETY: the array has three members, and the event has room for one.
        unsafe {
            let woken = libc::poll(fds.as_mut_ptr(), 3, milliseconds) > 0;
            let mut event: libc::epoll_event = mem::zeroed();
            libc::epoll_wait(events, &raw mut event, 1, 0);
            woken
        }
    }

    /// Waits for the end of another process of the session. `false` if there is none.
    fn watch_next(child: Pid) -> bool {
        while let Some(other) = other_of_session(child) {
            let handle = match sys::pidfd(other) {
                Ok(handle) => handle,
                Err(error) => {
                    // It has ended since, or the system refuses: there is another look, and not at once.
                    let ended = error.raw_os_error() == Some(libc::ESRCH);
                    poll(-1, 0, if ended { LOOKS.0 } else { LOOKS.1 });
                    return true;
                }
            };
            // The number may have become another's since.
            if getsid(Some(other)) == getsid(None) {
                #[expect(unsafe_code, reason = "descriptors that have no owner in this process")]
                // SAFETY: the first is open here, and the second is the keeper's own.
                unsafe {
                    libc::dup2(handle.as_raw_fd(), WATCHED);
                }
                return true;
            }
        }
        false
    }

    /// A process of the session that runs, except this one and `child`, which has ended.
    fn other_of_session(child: Pid) -> Option<Pid> {
        let session = getpid();
        let mut found = None;
        each_process(|pid| {
            let is_other = pid != session && pid != child;
            if found.is_none() && is_other && getsid(Some(pid)) == Ok(session) && runs(pid) {
                found = Some(pid);
            }
        });
        found
    }

    /// Whether the process has not ended. A zombie has.
    fn runs(pid: Pid) -> bool {
        // "/proc/", ten digits at most, "/stat", and the 0 at its end.
        let mut path = [0; 24];
        let mut digits = [0; 10];
        let mut first = digits.len();
        let mut rest = pid.as_raw();
        while rest > 0 && first > 0 {
            first -= 1;
            digits[first] = b'0' + u8::try_from(rest % 10).unwrap_or(0);
            rest /= 10;
        }
        let name = b"/proc/".iter().chain(&digits[first..]).chain(b"/stat");
        for (place, byte) in path.iter_mut().zip(name) {
            *place = *byte;
        }
        let Ok(path) = std::ffi::CStr::from_bytes_until_nul(&path) else { return false };
        let mut stat = [0; 128];
        let length = sys::read_file(path, &mut stat).unwrap_or(0);
        sys::after_name(&stat[..length]).is_some_and(|rest| !matches!(rest.first(), Some(b'Z' | b'X') | None))
    }

    /// Goes through the process ids in `/proc`.
    fn each_process(mut visit: impl FnMut(Pid)) {
        /// Where the fields of a `linux_dirent64` are: the length of the entry, and its name.
        const LENGTH: usize = 16;
        const NAME: usize = 19;
        let mut entries = [0_u8; 4096];
        #[expect(unsafe_code, reason = "a library would allocate")]
        // SAFETY: the path is a C string, the buffer is as long as is said, and the descriptor is closed here.
        unsafe {
            let folder = libc::open(c"/proc".as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC);
            if folder < 0 {
                return;
            }
            while let Ok(filled @ 1..) = usize::try_from(libc::syscall(
                libc::SYS_getdents64,
                folder,
                entries.as_mut_ptr(),
                entries.len(),
            )) {
                let mut left = entries.get(..filled).unwrap_or_default();
                while let Some(&[low, high]) = left.get(LENGTH..LENGTH + 2) {
                    let (entry, more) =
                        left.split_at(usize::from(u16::from_ne_bytes([low, high])).min(left.len()));
                    let name = entry.get(NAME..).and_then(|name| name.split(|byte| *byte == 0).next());
                    let id = name.and_then(|name| std::str::from_utf8(name).ok()?.parse().ok());
                    if let Some(id) = id {
                        visit(Pid::from_raw(id));
                    }
                    left = if entry.is_empty() { &[] } else { more };
                }
            }
            libc::close(folder);
        }
    }

    /// Reads and forgets what was printed. Also `true` when what was queued was flushed.
    fn discard() -> bool {
        let mut printed = false;
        let mut bytes = [0_u8; 4096];
        for _ in 0..16 {
            #[expect(unsafe_code, reason = "descriptors that have no owner in this process")]
            // SAFETY: the buffer is as long as is said.
            if unsafe { libc::read(MASTER, bytes.as_mut_ptr().cast(), bytes.len()) } <= 0 {
                break;
            }
            printed = true;
        }
        printed
    }

    /// Queues an end of input, if nothing is queued.
    fn answer() -> bool {
        if poll(SLAVE, libc::POLLIN, 0) {
            return false;
        }
        #[expect(unsafe_code, reason = "descriptors that have no owner in this process")]
        // SAFETY: `termios` is plain data for which zero is valid, and the byte outlives the call.
        unsafe {
            let mut modes: libc::termios = mem::zeroed();
            libc::tcgetattr(SLAVE, &raw mut modes);
            let end = match modes.c_cc[libc::VEOF] {
                _ if modes.c_lflag & libc::ICANON == 0 => CTRL_D,
                // No key ends the input; an empty line ends the wait.
                libc::_POSIX_VDISABLE => b'\n',
                key => key,
            };
            libc::write(MASTER, (&raw const end).cast(), 1) == 1
        }
    }

    /// Gives the foreground back to the child's group, where one has had it for too long of which no process is left.
    /// Gives which has it now, and since when; `None` if it is the child's, or if it is in use.
    fn regain(group: Pid, taken: Option<(libc::pid_t, i64)>) -> Option<(libc::pid_t, i64)> {
        #[expect(unsafe_code, reason = "descriptors that have no owner in this process")]
        // SAFETY: it takes a number.
        let now = unsafe { libc::tcgetpgrp(SLAVE) };
        let is_used = |group: libc::pid_t| Errno::result(group_exists(group)).is_ok();
        if now == group.as_raw() || now <= 0 || is_used(now) || !is_used(group.as_raw()) {
            return None;
        }
        let clock = milliseconds();
        match taken {
            Some((before, since)) if before == now && clock - since >= FOREGROUND => {
                set_foreground(SLAVE, group);
                None
            }
            Some((before, since)) if before == now => Some((now, since)),
            _ => Some((now, clock)),
        }
    }

    fn group_exists(group: libc::pid_t) -> libc::c_int {
        #[expect(unsafe_code, reason = "the keeper takes plain numbers")]
        // SAFETY: it sends nothing.
        unsafe {
            libc::killpg(group, 0)
        }
    }

    fn set_foreground(slave: RawFd, group: Pid) {
        #[expect(unsafe_code, reason = "descriptors that have no owner in this process")]
        // SAFETY: it takes two numbers.
        unsafe {
            libc::tcsetpgrp(slave, group.as_raw());
        }
    }

    fn milliseconds() -> i64 {
        #[expect(unsafe_code, reason = "the keeper has no other clock")]
        // SAFETY: it fills the value.
        unsafe {
            let mut now: libc::timespec = mem::zeroed();
            libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now);
            now.tv_sec * 1000 + now.tv_nsec / 1_000_000
        }
    }

    fn has_ended(process: RawFd) -> bool {
        poll(process, libc::POLLIN, 0)
    }

    fn poll(fd: RawFd, events: libc::c_short, milliseconds: libc::c_int) -> bool {
        let mut one = watch(fd, events);
        #[expect(unsafe_code, reason = "descriptors that have no owner in this process")]
        // SAFETY: it is given one.
        unsafe {
            libc::poll(&raw mut one, 1, milliseconds) > 0
        }
    }

    fn watch(fd: RawFd, events: libc::c_short) -> libc::pollfd {
        libc::pollfd { fd, events, revents: 0 }
    }

    fn block_signals() {
        #[expect(unsafe_code, reason = "a library would leave out those of the C library")]
        // SAFETY: the set is plain data, which is filled before it is used.
        unsafe {
            let mut all: libc::sigset_t = mem::zeroed();
            libc::sigfillset(&raw mut all);
            libc::sigprocmask(libc::SIG_SETMASK, &raw const all, ptr::null_mut());
        }
    }
}
