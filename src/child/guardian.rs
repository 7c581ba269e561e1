//! The process that ends what we leave behind when we are killed.
//!
//! A supervisor that gets SIGKILL can do nothing any more, and orphaned servers are what people complain of most. So a
//! second process is forked before anything else happens. It holds the reading end of a pipe whose writing end only the
//! supervisor has, and keeps a list of process groups:
//!
//! - a child announces itself on the pipe before it executes its command, so that no moment is left in which it runs and
//!   is not on the list. The record carries a number that the supervisor chose, because the process id of a child whose
//!   command could not be executed is never learnt;
//! - the supervisor strikes the group off by that number before it reaps the child, so that the list never holds a process
//!   id that could have become a stranger's;
//! - the pipe ends when the supervisor does, however that happens. What is still on the list then gets SIGTERM, 0.5 s and
//!   SIGKILL. A child that hangs before it has executed its command, as on a file system that does not answer, holds the pipe
//!   as well: an orderly end is told, and only a supervisor that was killed leaves such a child and the guardian until then.
//!
//! The guardian belongs to a session of its own and ignores what asks others to stop. It holds no descriptor but its pipe:
//! neither the host's pipes, which would never end then, nor the writing end of its own. It makes system calls only, so
//! that it can be forked from any process.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, Weak};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::signal::{SigHandler, Signal, kill, killpg, signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, chdir, fork, read, setsid, write};

use super::sys;

/// Between SIGTERM and SIGKILL, in steps: it ends early when the groups are gone.
const GRACE: (u32, Duration) = (50, Duration::from_millis(10));
/// How long we wait for the guardian's own end, in steps: twice what it takes at most.
const DISMISSAL: (u32, Duration) = (1000, Duration::from_millis(1));
/// The most groups on the list. One server runs at a time, and one login shell, so more than a few are never there; the
/// oldest would go.
const CAPACITY: usize = 16;
/// The guardian's end of the pipe, in the guardian.
const PIPE: RawFd = 3;

/// The supervisor's side of the guardian process. Dropping it without [`Guardian::dismiss`] ends the guardian too, but
/// nobody waits for that.
#[derive(Debug)]
pub struct Guardian {
    pipe: Arc<OwnedFd>,
    /// The guardian's process id.
    pub(super) process: Pid,
    next: Cell<u32>,
}

impl Guardian {
    /// Forks the guardian. Call it from a plain `main`, before the first thread and before the runtime: whatever the
    /// process holds then, the guardian shares in memory. An error means that the system refuses another process or pipe;
    /// everything works without a guardian, except that nobody ends the server if the supervisor is killed.
    pub fn fork() -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        let pipe = OwnedFd::from(writer);
        // A guardian that has been stopped must never hold up a child.
        let flags = OFlag::from_bits_retain(fcntl(&pipe, FcntlArg::F_GETFL)?);
        fcntl(&pipe, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        #[expect(
            unsafe_code,
            reason = "there is no other way to a process that needs no file of ours to exist"
        )]
        // SAFETY: the forked process makes system calls only and never returns from `stand_guard`.
        match unsafe { fork() }? {
            ForkResult::Parent { child } => {
                Ok(Self { pipe: Arc::new(pipe), process: child, next: Cell::new(0) })
            }
            ForkResult::Child => stand_guard(reader.as_raw_fd()),
        }
    }

    /// The orderly end: waits until the guardian is gone. It goes at once if every child was forgotten; else it ends their
    /// groups first, which takes 0.5 s at most.
    pub fn dismiss(self) {
        send(self.pipe.as_fd(), Record::End);
        drop(self.pipe);
        // One that somebody has stopped would not go.
        let _ = kill(self.process, Signal::SIGCONT);
        let (steps, step) = DISMISSAL;
        for _ in 0..steps {
            match waitpid(self.process, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => std::thread::sleep(step),
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// The place on the list for the next child. It is taken by the child's announcement.
    pub(super) fn entry(&self) -> Entry {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        Entry { pipe: Arc::downgrade(&self.pipe), number }
    }
}

/// What a child says to the guardian before it executes its command.
#[derive(Debug)]
pub(super) struct Announcement {
    pipe: Arc<OwnedFd>,
    number: u32,
}

impl Announcement {
    /// Called in the fresh child, after it got its group. It may make another one for itself later, whose number is its own,
    /// so both are told; one that never comes to be cannot be signalled. System calls only. A guardian that is gone is none of
    /// the child's concern.
    pub(super) fn make(&self, group: Pid) {
        #[expect(
            unsafe_code,
            reason = "Rust has set SIGPIPE back by now, and a guardian that is gone would raise it"
        )]
        // SAFETY: both dispositions run no code of ours, and the child has one thread.
        unsafe {
            let _ = signal(Signal::SIGPIPE, SigHandler::SigIgn);
            send(self.pipe.as_fd(), Record::Add { number: self.number, group: group.as_raw() });
            if group != Pid::this() {
                send(self.pipe.as_fd(), Record::Add { number: self.number, group: Pid::this().as_raw() });
            }
            let _ = signal(Signal::SIGPIPE, SigHandler::SigDfl);
        }
    }
}

/// A group's place on the list. It does not keep the pipe open: a child that was never forgotten must not keep the
/// guardian from seeing the end.
#[derive(Debug)]
pub(super) struct Entry {
    pipe: Weak<OwnedFd>,
    number: u32,
}

impl Entry {
    /// What the child has to announce. It keeps the pipe open, so it must not outlive the start of the child. `None` when
    /// the guardian was dismissed.
    pub(super) fn announcement(&self) -> Option<Announcement> {
        Some(Announcement { pipe: self.pipe.upgrade()?, number: self.number })
    }

    /// Takes the group off the list.
    pub(super) fn strike(self) {
        if let Some(pipe) = self.pipe.upgrade() {
            send(pipe.as_fd(), Record::Strike { number: self.number });
        }
    }
}

/// A record is shorter than what a pipe writes in one piece. It fails when the guardian is gone, and when it has not read
/// for 5,000 records: then somebody has stopped it.
fn send(pipe: BorrowedFd<'_>, record: Record) {
    let bytes = record.to_bytes();
    while write(pipe, &bytes) == Err(Errno::EINTR) {}
}

/// What travels on the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Record {
    Add {
        number: u32,
        group: i32,
    },
    Strike {
        number: u32,
    },
    /// Nothing comes after it, whoever else may hold the pipe.
    End,
}

impl Record {
    const SIZE: usize = 12;

    fn to_bytes(self) -> [u8; Self::SIZE] {
        let words = match self {
            Self::Add { number, group } => [1, number, group.cast_unsigned()],
            Self::Strike { number } => [2, number, 0],
            Self::End => [3, 0, 0],
        };
        let mut bytes = [0; Self::SIZE];
        bytes.copy_from_slice(words.map(u32::to_ne_bytes).as_flattened());
        bytes
    }

    /// `None` for what cannot be a record. 1 and below name no group of a child; for kill they mean everybody.
    fn from_bytes(bytes: [u8; Self::SIZE]) -> Option<Self> {
        let (words, _) = bytes.as_chunks::<4>();
        let &[kind, number, group] = words else {
            return None;
        };
        let number = u32::from_ne_bytes(number);
        let group = i32::from_ne_bytes(group);
        match u32::from_ne_bytes(kind) {
            1 if group > 1 => Some(Self::Add { number, group }),
            2 => Some(Self::Strike { number }),
            3 => Some(Self::End),
            _ => None,
        }
    }
}

/// The groups to end, oldest first. It has its size from the start and allocates nothing.
#[derive(Debug, Default)]
struct Groups([Option<(u32, i32)>; CAPACITY]);

impl Groups {
    fn apply(&mut self, record: Record) {
        match record {
            Record::Add { number, group } => {
                if self.0.iter().all(Option::is_some) {
                    self.0.rotate_left(1);
                    self.0[CAPACITY - 1] = None;
                }
                if let Some(free) = self.0.iter_mut().find(|place| place.is_none()) {
                    *free = Some((number, group));
                }
            }
            Record::Strike { number } => {
                for place in &mut self.0 {
                    if place.is_some_and(|(taken, _)| taken == number) {
                        *place = None;
                    }
                }
            }
            Record::End => {}
        }
    }

    fn each(&self) -> impl Iterator<Item = Pid> {
        self.0.iter().flatten().map(|&(_, group)| Pid::from_raw(group))
    }

    /// Whether the system still knows one of them, be it only as zombies.
    fn any_left(&self) -> bool {
        self.each().any(|group| killpg(group, None) != Err(Errno::ESRCH))
    }
}

/// The whole life of the guardian. A panic would abort it, because it must not unwind into the program of which it is a
/// copy.
extern "C" fn stand_guard(pipe: RawFd) -> ! {
    prepare(pipe);
    let mut groups = Groups::default();
    while let Some(bytes) = next_record() {
        match Record::from_bytes(bytes) {
            Some(Record::End) => break,
            Some(record) => groups.apply(record),
            None => {}
        }
    }
    end(&groups);
    sys::exit_now(libc::EXIT_SUCCESS)
}

/// Cuts every tie to whoever started us, except the pipe, which gets the number [`PIPE`].
fn prepare(pipe: RawFd) {
    #[expect(unsafe_code, reason = "the descriptors have no owners in this copy of the process")]
    // SAFETY: SIG_IGN runs no code of ours; whatever the descriptors belonged to is never used in this process again.
    unsafe {
        for ignored in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
            let _ = signal(ignored, SigHandler::SigIgn);
        }
        let _ = setsid();
        let _ = chdir("/");
        sys::set_name(c"mcp-sup-guard");
        if libc::dup2(pipe, PIPE) != PIPE {
            sys::exit_now(libc::EXIT_FAILURE);
        }
        sys::close_from(PIPE + 1);
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        for standard in 0..PIPE {
            if null < 0 {
                libc::close(standard);
            } else {
                libc::dup2(null, standard);
            }
        }
        if null > PIPE {
            libc::close(null);
        }
    }
}

/// `None` when the last writer is gone.
fn next_record() -> Option<[u8; Record::SIZE]> {
    let mut bytes = [0; Record::SIZE];
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        #[expect(unsafe_code, reason = "the pipe is known by its number only")]
        // SAFETY: `prepare` has put the pipe there, and nothing closes it while the guardian lives.
        let pipe = unsafe { BorrowedFd::borrow_raw(PIPE) };
        match read(pipe, rest) {
            Ok(0) => return None,
            Ok(count) => filled += count,
            Err(Errno::EINTR) => {}
            Err(_) => return None,
        }
    }
    Some(bytes)
}

/// Ends what is still on the list.
fn end(groups: &Groups) {
    for group in groups.each() {
        let _ = killpg(group, Signal::SIGTERM);
    }
    let (steps, step) = GRACE;
    for _ in 0..steps {
        if !groups.any_left() {
            return;
        }
        std::thread::sleep(step);
    }
    for group in groups.each() {
        let _ = killpg(group, Signal::SIGKILL);
    }
}

#[cfg(test)]
mod tests {
    use super::{CAPACITY, Groups, Record};

    fn groups_after(records: &[Record]) -> Vec<i32> {
        let mut groups = Groups::default();
        for &record in records {
            groups.apply(record);
        }
        groups.each().map(nix::unistd::Pid::as_raw).collect()
    }

    #[test]
    fn groups_are_struck_off_by_the_number_they_came_with() {
        let add = |number, group| Record::Add { number, group };
        let strike = |number| Record::Strike { number };
        assert_eq!(groups_after(&[add(0, 100), add(1, 200), strike(0)]), [200]);
        assert_eq!(groups_after(&[add(0, 100), strike(0), strike(0), strike(7)]), [0; 0]);
        // The system has given the same process id again: striking the old child keeps the new one.
        assert_eq!(groups_after(&[add(0, 100), add(1, 100), strike(0)]), [100]);
    }

    #[test]
    fn a_full_list_lets_the_oldest_go() {
        let records: Vec<_> =
            (0..20).map(|number| Record::Add { number, group: 100 + number.cast_signed() }).collect();
        let left = groups_after(&records);
        assert_eq!(left.len(), CAPACITY);
        assert_eq!((left.first(), left.last()), (Some(&104), Some(&119)));
    }

    #[test]
    fn records_come_back_as_they_were_sent() {
        let add = Record::Add { number: u32::MAX, group: 4_194_304 };
        for record in [add, Record::Strike { number: 7 }, Record::End] {
            assert_eq!(Record::from_bytes(record.to_bytes()), Some(record));
        }
    }

    #[test]
    fn a_record_that_would_signal_everybody_is_refused() {
        for group in [-5, -1, 0, 1] {
            assert_eq!(Record::from_bytes(Record::Add { number: 1, group }.to_bytes()), None);
        }
        assert_eq!(Record::from_bytes([0; Record::SIZE]), None);
    }
}
