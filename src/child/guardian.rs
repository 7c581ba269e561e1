//! The process that ends what we leave behind when we are killed.
//!
//! A supervisor that gets SIGKILL can do nothing any more, and orphaned servers are what people complain of most. So a
//! second process is forked before anything else happens. It holds the reading end of a pipe whose writing end only the
//! supervisor has, and keeps a list of families, that is, of children with all that belongs to them:
//!
//! - a child announces itself on the pipe before it executes its command, so that no moment is left in which it runs and
//!   is not on the list. The record carries a number that the supervisor chose, because the process id of a child whose
//!   command could not be executed is never learnt. A child that cannot announce itself, because the guardian is gone,
//!   asks the system for SIGTERM at our end instead;
//! - the supervisor strikes the family off by that number before it reaps the child, so that the list never holds a process
//!   id that could have become a stranger's while the supervisor lives. When it is dead, the system reaps what has ended.
//!   So processes are then signalled one by one, and only those of the announced session, or of the one that the leader
//!   began: whether the number of a group has become a stranger's cannot be told, and a session's is taken as long as it
//!   has members;
//! - the supervisor sends its grace, a note of each SIGTERM, and how to kill a container. The guardian therefore
//!   signals nothing twice, and finishes what the supervisor was about to do;
//! - the pipe ends when the supervisor does, however that happens. Each family still on the list then gets SIGTERM, the
//!   leader first and the others when it has gone or after 200 ms, and after the grace SIGKILL. A child that hangs
//!   before it has executed its command, as on a file system that does not answer, holds the pipe as well. An orderly
//!   end is therefore a record of its own; only after a supervisor that was killed do such a child and the guardian
//!   stay until the hang ends.
//!
//! The guardian belongs to a session of its own and ignores what asks others to stop. It holds no descriptor but its pipe:
//! neither the host's pipes, which would never end then, nor the writing end of its own. It is forked before the first
//! thread, takes no lock that a thread could hold, and reads `/proc` only once the supervisor is gone.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::{Arc, Weak};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
use nix::sys::signal::{SigHandler, Signal, kill, signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, chdir, fork, read, setsid, write};

use super::family::Family;
use super::{container, reaper, sys};
use crate::engine::io::Whom;

/// Time between SIGTERM and SIGKILL if the supervisor has not sent its grace.
const GRACE: Duration = Duration::from_millis(500);
/// Delay before the others of a group are signalled while its leader lives.
const REST: Duration = Duration::from_millis(200);
/// Interval at which the guardian checks whether the leaders are gone.
const STEP: Duration = Duration::from_millis(10);
/// Every how many of these checks it looks whether anything is left, which means going through all of `/proc`.
const THOROUGH: u32 = 5;
/// The longest description of a container, in bytes: a pipe takes no more in one piece.
const LONGEST: usize = 4096 - Record::SIZE;
/// How long we wait for the guardian to exit: the number of steps, and their length.
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

    /// Sets the time that groups have between SIGTERM and SIGKILL.
    pub fn set_grace(&self, term: Duration) {
        let millis = u32::try_from(term.as_millis()).unwrap_or(u32::MAX);
        send(self.pipe.as_fd(), Record::Grace { millis });
    }

    /// Ends the guardian in an orderly way, and waits until it is gone. It exits at once if every child was forgotten.
    /// Otherwise it ends their families first, for which we wait a second or so at most. Processes that we have started
    /// and that are about to end are waited for as well, 50 ms at most.
    pub fn dismiss(self) {
        send(self.pipe.as_fd(), Record::End);
        drop(self.pipe);
        // One that somebody has stopped would not go.
        let _ = kill(self.process, Signal::SIGCONT);
        let (steps, step) = DISMISSAL;
        for _ in 0..steps {
            match waitpid(self.process, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => std::thread::sleep(step),
                Ok(_) | Err(_) => break,
            }
        }
        reaper::finish();
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
    /// Called in the new child, once it is in its session and its group. `false` if the guardian does not hear it.
    /// Makes system calls only.
    pub(super) fn make(&self, family: Family) -> bool {
        #[expect(
            unsafe_code,
            reason = "Rust has set SIGPIPE back by now, and a guardian that is gone would raise it"
        )]
        // SAFETY: both dispositions run no code of ours, and the child has one thread.
        unsafe {
            let _ = signal(Signal::SIGPIPE, SigHandler::SigIgn);
            let heard = self.tell(family);
            let _ = signal(Signal::SIGPIPE, SigHandler::SigDfl);
            heard
        }
    }

    /// The same in a process that ignores SIGPIPE.
    pub(super) fn tell(&self, family: Family) -> bool {
        send(self.pipe.as_fd(), Record::Add { number: self.number, family })
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

    /// Notes that SIGTERM was sent to these processes of the group.
    pub(super) fn told(&self, whom: Whom) {
        if let Some(pipe) = self.pipe.upgrade() {
            send(pipe.as_fd(), Record::Told { number: self.number, whom });
        }
    }

    /// Sends how to kill the container that the child is the client of. A description that is too long is not sent.
    pub(super) fn prepare(&self, container: &[u8]) {
        if let (Some(pipe), true) = (self.pipe.upgrade(), container.len() <= LONGEST) {
            let record = Record::Container { number: self.number, length: container.len() };
            send_bytes(pipe.as_fd(), &[&record.to_bytes(), container].concat());
        }
    }

    /// Takes the group off the list.
    pub(super) fn strike(self) {
        if let Some(pipe) = self.pipe.upgrade() {
            send(pipe.as_fd(), Record::Strike { number: self.number });
        }
    }
}

/// A record is shorter than what a pipe writes in one piece. It fails when the guardian is gone, and when it has not read
/// for 3,000 records: then somebody has stopped it. `false` if it failed.
fn send(pipe: BorrowedFd<'_>, record: Record) -> bool {
    send_bytes(pipe, &record.to_bytes())
}

fn send_bytes(pipe: BorrowedFd<'_>, bytes: &[u8]) -> bool {
    loop {
        match write(pipe, bytes) {
            Err(Errno::EINTR) => {}
            written => return written.is_ok(),
        }
    }
}

/// What travels on the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Record {
    Add {
        number: u32,
        family: Family,
    },
    Strike {
        number: u32,
    },
    /// Nothing comes after it, whoever else may hold the pipe.
    End,
    Grace {
        millis: u32,
    },
    /// SIGTERM was sent.
    Told {
        number: u32,
        whom: Whom,
    },
    /// The description of a container follows, with this many bytes.
    Container {
        number: u32,
        length: usize,
    },
}

impl Record {
    const SIZE: usize = 20;

    fn to_bytes(self) -> [u8; Self::SIZE] {
        let words = match self {
            Self::Add { number, family: Family { leader, group, session } } => {
                let [leader, group, session] = [leader, group, session].map(|id| id.as_raw().cast_unsigned());
                [1, number, leader, group, session]
            }
            Self::Strike { number } => [2, number, 0, 0, 0],
            Self::End => [3, 0, 0, 0, 0],
            Self::Grace { millis } => [4, millis, 0, 0, 0],
            Self::Told { number, whom } => {
                let whom = match whom {
                    Whom::Leader => 0,
                    Whom::Rest => 1,
                    Whom::Group => 2,
                };
                [5, number, whom, 0, 0]
            }
            Self::Container { number, length } => {
                [6, number, u32::try_from(length).unwrap_or_default(), 0, 0]
            }
        };
        let mut bytes = [0; Self::SIZE];
        bytes.copy_from_slice(words.map(u32::to_ne_bytes).as_flattened());
        bytes
    }

    /// `None` for what cannot be a record. 1 and below name no process of a child; for kill they mean everybody.
    fn from_bytes(bytes: [u8; Self::SIZE]) -> Option<Self> {
        let (words, _) = bytes.as_chunks::<4>();
        let &[kind, number, third, group, session] = words else {
            return None;
        };
        let number = u32::from_ne_bytes(number);
        let last = u32::from_ne_bytes(third);
        match u32::from_ne_bytes(kind) {
            1 => {
                let ids = [third, group, session].map(i32::from_ne_bytes);
                let [leader, group, session] = ids.map(Pid::from_raw);
                let family = Family { leader, group, session };
                ids.iter().all(|id| *id > 1).then_some(Self::Add { number, family })
            }
            2 => Some(Self::Strike { number }),
            3 => Some(Self::End),
            4 => Some(Self::Grace { millis: number }),
            5 => {
                let whom = *[Whom::Leader, Whom::Rest, Whom::Group].get(last as usize)?;
                Some(Self::Told { number, whom })
            }
            6 if last as usize <= LONGEST => Some(Self::Container { number, length: last as usize }),
            _ => None,
        }
    }
}

/// What the guardian knows of one child.
#[derive(Debug, Default)]
struct Place {
    number: u32,
    /// `None` until it has announced itself.
    family: Option<Family>,
    /// Whether SIGTERM was sent to the leader, and to the others.
    leader_told: bool,
    rest_told: bool,
    /// The description of its container. Empty if it has none.
    container: Vec<u8>,
}

/// The families to end, the oldest first.
#[derive(Debug)]
struct Groups {
    places: [Option<Place>; CAPACITY],
    grace: Duration,
}

impl Default for Groups {
    fn default() -> Self {
        Self { places: [const { None }; CAPACITY], grace: GRACE }
    }
}

impl Groups {
    fn apply(&mut self, record: Record) {
        match record {
            Record::Add { number, family } => {
                if let Some(place) = self.place(number) {
                    place.family = Some(family);
                }
            }
            Record::Strike { number } => {
                for place in &mut self.places {
                    if place.as_ref().is_some_and(|taken| taken.number == number) {
                        *place = None;
                    }
                }
            }
            Record::Told { number, whom } => {
                if let Some(place) = self.place(number) {
                    place.leader_told |= whom != Whom::Rest;
                    place.rest_told |= whom != Whom::Leader;
                }
            }
            Record::Grace { millis } => self.grace = Duration::from_millis(millis.into()),
            Record::End | Record::Container { .. } => {}
        }
    }

    /// The place of this child; a new one if it has none.
    fn place(&mut self, number: u32) -> Option<&mut Place> {
        let known = self.places.iter().position(|it| it.as_ref().is_some_and(|it| it.number == number));
        if let Some(known) = known {
            return self.places[known].as_mut();
        }
        if self.places.iter().all(Option::is_some) {
            self.places.rotate_left(1);
            self.places[CAPACITY - 1] = None;
        }
        let free = self.places.iter_mut().find(|place| place.is_none())?;
        Some(free.insert(Place { number, ..Place::default() }))
    }

    /// Each family, and what else is known of its child.
    fn each(&self) -> impl Iterator<Item = (Family, &Place)> {
        self.places.iter().flatten().filter_map(|place| Some((place.family?, place)))
    }
}

/// The whole life of the guardian. A panic would abort it, because it must not unwind into the program of which it is a
/// copy.
extern "C" fn stand_guard(pipe: RawFd) -> ! {
    prepare(pipe);
    let mut groups = Groups::default();
    let mut bytes = [0; Record::SIZE];
    while read_all(&mut bytes) {
        match Record::from_bytes(bytes) {
            Some(Record::End) => break,
            Some(Record::Container { number, length }) => {
                let mut container = vec![0; length];
                if !read_all(&mut container) {
                    break;
                }
                if let Some(place) = groups.place(number) {
                    place.container = container;
                }
            }
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

/// Fills the whole buffer. `false` when the last writer is gone.
fn read_all(bytes: &mut [u8]) -> bool {
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        #[expect(unsafe_code, reason = "the pipe is known by its number only")]
        // SAFETY: `prepare` has put the pipe there, and nothing closes it while the guardian lives.
        let pipe = unsafe { BorrowedFd::borrow_raw(PIPE) };
        match read(pipe, rest) {
            Ok(0) => return false,
            Ok(count) => filled += count,
            Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
    true
}

/// Ends what is still on the list.
fn end(groups: &Groups) {
    for (family, _) in groups.each().filter(|(family, place)| !place.leader_told && family.has_leader()) {
        let _ = kill(family.leader, Signal::SIGTERM);
    }
    let steps = |time: Duration| u32::try_from(time.as_millis() / STEP.as_millis()).unwrap_or(u32::MAX);
    let mut told = [false; CAPACITY];
    for step in 0..steps(groups.grace) {
        for ((family, place), told) in groups.each().zip(&mut told) {
            let is_time = || !family.has_leader() || step >= steps(REST.min(groups.grace / 2));
            if !place.rest_told && !*told && is_time() {
                *told = true;
                let _ = family.tell_others(Signal::SIGTERM);
            }
        }
        if step.is_multiple_of(THOROUGH) && !groups.each().any(|(family, _)| family.runs()) {
            break;
        }
        std::thread::sleep(STEP);
    }
    for (family, _) in groups.each() {
        family.end();
    }
    for (.., place) in groups.each().filter(|(.., place)| !place.container.is_empty()) {
        container::end_prepared(&place.container);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use nix::unistd::Pid;

    use super::{CAPACITY, Groups, Record};
    use crate::child::family::Family;
    use crate::engine::io::Whom;

    fn family(group: i32) -> Family {
        let [leader, group] = [group + 1, group].map(Pid::from_raw);
        Family { leader, group, session: group }
    }

    fn groups_after(records: &[Record]) -> Vec<i32> {
        let mut groups = Groups::default();
        for &record in records {
            groups.apply(record);
        }
        groups.each().map(|(family, _)| family.group.as_raw()).collect()
    }

    #[test]
    fn groups_are_struck_off_by_the_number_they_came_with() {
        let add = |number, group| Record::Add { number, family: family(group) };
        let strike = |number| Record::Strike { number };
        assert_eq!(groups_after(&[add(0, 100), add(1, 200), strike(0)]), [200]);
        assert_eq!(groups_after(&[add(0, 100), strike(0), strike(0), strike(7)]), [0; 0]);
        // The system has given the same process id again: striking the old child keeps the new one.
        assert_eq!(groups_after(&[add(0, 100), add(1, 100), strike(0)]), [100]);
    }

    #[test]
    fn a_full_list_lets_the_oldest_go() {
        let records: Vec<_> = (0..20)
            .map(|number| Record::Add { number, family: family(100 + number.cast_signed()) })
            .collect();
        let left = groups_after(&records);
        assert_eq!(left.len(), CAPACITY);
        assert_eq!((left.first(), left.last()), (Some(&104), Some(&119)));
    }

    #[test]
    fn records_come_back_as_they_were_sent() {
        let add = Record::Add { number: u32::MAX, family: family(4_194_303) };
        let told = [Whom::Leader, Whom::Rest, Whom::Group].map(|whom| Record::Told { number: 7, whom });
        let others = [
            add,
            Record::Strike { number: 7 },
            Record::End,
            Record::Grace { millis: 2000 },
            Record::Container { number: 7, length: 4000 },
        ];
        for record in others.into_iter().chain(told) {
            assert_eq!(Record::from_bytes(record.to_bytes()), Some(record));
        }
    }

    #[test]
    fn what_was_told_belongs_to_its_child_whatever_came_first() {
        let mut groups = Groups::default();
        groups.place(4).unwrap().container = b"how".to_vec();
        for record in [
            Record::Add { number: 4, family: family(100) },
            Record::Add { number: 5, family: family(200) },
            Record::Told { number: 5, whom: Whom::Leader },
            Record::Told { number: 4, whom: Whom::Group },
            Record::Grace { millis: 2000 },
        ] {
            groups.apply(record);
        }
        let told: Vec<_> = groups.each().map(|(.., it)| (it.leader_told, it.rest_told)).collect();
        assert_eq!(told, [(true, true), (true, false)]);
        assert_eq!(groups.grace, Duration::from_secs(2));
        assert_eq!(groups.each().next().unwrap().1.container, b"how");
    }

    #[test]
    fn a_record_that_would_signal_everybody_is_refused() {
        let long = Record::Container { number: 1, length: 1 << 20 };
        assert_eq!(Record::from_bytes(long.to_bytes()), None);
        for id in [-5, -1, 0, 1].map(Pid::from_raw) {
            let fine = family(100);
            for family in
                [Family { leader: id, ..fine }, Family { group: id, ..fine }, Family { session: id, ..fine }]
            {
                assert_eq!(Record::from_bytes(Record::Add { number: 1, family }.to_bytes()), None);
            }
        }
        assert_eq!(Record::from_bytes([0; Record::SIZE]), None);
    }
}
