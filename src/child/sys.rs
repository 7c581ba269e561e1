//! What differs between Linux and macOS about processes, and nothing else.
//!
//! | | Linux | elsewhere |
//! |---|---|---|
//! | the exit is seen by | a pidfd; where the system refuses one, as elsewhere | a thread in `waitid`, and a pipe that it closes |
//! | the parent dies, and no guardian knows the child | the child gets SIGTERM | nothing happens |
//! | a child that leads nothing | the leader of its session forks a sibling and keeps the session | it leads its session |
//! | closing what a fork inherited, at once or on exec | `close_range`; under an old kernel, as elsewhere | one by one |

use std::io;
use std::mem;
use std::num::NonZeroUsize;
use std::os::fd::{OwnedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI32, Ordering};
use std::task::{Context, Poll, ready};

use nix::errno::Errno;
use nix::libc;
use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use nix::unistd::{Pid, SysconfVar, getppid, sysconf};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::engine::io::{Exit, StoppedBy};
use crate::stream::register;
use crate::threads;

/// What an exit is called that somebody else has collected before us.
const UNKNOWN: Exit = Exit::Code(255);

/// Learns of the exit of one child of ours and does not reap it.
#[derive(Debug)]
pub(super) struct ExitWatch {
    pid: Pid,
    /// Can be read when the process has ended.
    ended: AsyncFd<OwnedFd>,
}

impl ExitWatch {
    pub(super) fn new(pid: Pid) -> io::Result<Self> {
        match pidfd(pid) {
            Ok(ended) => Ok(Self { pid, ended: register(ended, Interest::READABLE)? }),
            // An old kernel, a sandbox, or no Linux.
            Err(_) => Self::by_thread(pid),
        }
    }

    pub(super) fn by_thread(pid: Pid) -> io::Result<Self> {
        let (ended, end) = io::pipe()?;
        threads::start("waiter", threads::SMALL, move || {
            let _ = peek(pid, 0);
            drop(end);
        })?;
        Ok(Self { pid, ended: register(OwnedFd::from(ended), Interest::READABLE)? })
    }

    /// Ready when the process has ended. The last who asked is woken.
    pub(super) fn poll_exited(&self, cx: &mut Context<'_>) -> Poll<Exit> {
        loop {
            // It fails only when the runtime is going down; whoever asks is going down with it.
            let Ok(mut guard) = ready!(self.ended.poll_read_ready(cx)) else { return Poll::Ready(UNKNOWN) };
            match peek(self.pid, libc::WNOHANG) {
                Ok(Some(exit)) => return Poll::Ready(exit),
                Ok(None) => guard.clear_ready(),
                Err(_) => return Poll::Ready(UNKNOWN),
            }
        }
    }
}

/// Reports the end of any process, not only of a child.
#[derive(Debug)]
pub struct EndWatch(AsyncFd<OwnedFd>);

impl EndWatch {
    /// Must be called inside the runtime. Fails if the system has no pidfds, or no such process exists.
    pub fn new(pid: Pid) -> io::Result<Self> {
        register(pidfd(pid)?, Interest::READABLE).map(Self)
    }

    /// Ready once the process has ended. Only the last caller is woken.
    pub fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_read_ready(cx).map(|_| ())
    }
}

/// How the child ended, without reaping it. `None` while it runs, if `options` has WNOHANG.
fn peek(pid: Pid, options: libc::c_int) -> Result<Option<Exit>, Errno> {
    Ok(wait(pid, libc::WEXITED | options)?.map(|(code, status)| match code {
        libc::CLD_EXITED => Exit::Code(status & 0xff),
        _ => Exit::Signal(status),
    }))
}

/// The signal that has stopped the child, if it is stopped now. `None` for one that has ended. Leaves the event in
/// place.
pub(super) fn stopped_by(pid: Pid) -> Option<StoppedBy> {
    let (code, signal) = wait(pid, libc::WSTOPPED | libc::WNOHANG).ok()??;
    if code != libc::CLD_STOPPED {
        return None;
    }
    Some(match Signal::try_from(signal) {
        Ok(Signal::SIGTSTP) => StoppedBy::Suspend,
        Ok(Signal::SIGTTIN) => StoppedBy::TerminalInput,
        Ok(Signal::SIGTTOU) => StoppedBy::TerminalOutput,
        Ok(_) | Err(_) => StoppedBy::Stop,
    })
}

/// Whether the child has ended. Also `true` if something else has collected it.
pub(super) fn has_ended(pid: Pid) -> bool {
    !matches!(peek(pid, libc::WNOHANG), Ok(None))
}

/// What there is to say of the child, its `CLD_` code and what belongs to it, without collecting it. `None` if there is
/// nothing and `options` has WNOHANG.
fn wait(pid: Pid, options: libc::c_int) -> Result<Option<(libc::c_int, libc::c_int)>, Errno> {
    let id = libc::id_t::try_from(pid.as_raw()).map_err(|_| Errno::ECHILD)?;
    loop {
        #[expect(unsafe_code, reason = "nix has waitid on Linux only")]
        // SAFETY: siginfo_t is plain data for which zero is valid, waitid fills it, and what it says of a child fills the
        // fields that are read.
        let (result, pid, status, code) = unsafe {
            let mut info: libc::siginfo_t = mem::zeroed();
            let result = libc::waitid(libc::P_PID, id, &raw mut info, libc::WNOWAIT | options);
            (Errno::result(result), info.si_pid(), info.si_status(), info.si_code)
        };
        match result {
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
            Ok(_) if pid == 0 => return Ok(None),
            Ok(_) => return Ok(Some((code, status))),
        }
    }
}

#[cfg(target_os = "linux")]
pub(super) fn pidfd(pid: Pid) -> io::Result<OwnedFd> {
    use std::os::fd::FromRawFd as _;
    #[expect(unsafe_code, reason = "the call has no wrapper in a library that we use")]
    // SAFETY: the call takes two numbers and returns a new descriptor, close-on-exec, which is ours alone.
    unsafe {
        let fd = Errno::result(libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0))?;
        Ok(OwnedFd::from_raw_fd(RawFd::try_from(fd).map_err(io::Error::other)?))
    }
}

#[cfg(not(target_os = "linux"))]
fn pidfd(_pid: Pid) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Makes the system keep ended children until they are reaped. A host that ignores SIGCHLD hands that on to us, and then
/// an exit could not be seen and the number of a dead child could be a stranger's at once.
pub(super) fn keep_zombies() {
    #[expect(unsafe_code, reason = "signal dispositions have no safe interface")]
    // SAFETY: both calls only read or set the disposition; a handler of somebody else is left alone.
    unsafe {
        let mut now: libc::sigaction = mem::zeroed();
        if libc::sigaction(libc::SIGCHLD, std::ptr::null(), &raw mut now) == 0
            && now.sa_sigaction == libc::SIG_IGN
        {
            libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        }
    }
}

/// Takes over the signals, whatever the process that started us has set: none is blocked, and exceeding the file size
/// limit is an error of the write instead of ending us. Children do not inherit this. Call it before the first thread.
pub fn take_signals() {
    // The calls fail only for an invalid signal.
    let _ = SigSet::empty().thread_set_mask();
    #[expect(unsafe_code, reason = "signal dispositions have no safe interface")]
    // SAFETY: ignoring a signal runs no code of ours.
    unsafe {
        let _ = signal(Signal::SIGXFSZ, SigHandler::SigIgn);
    }
}

/// In a new child: unblocks all signals and restores all default actions. System calls only.
pub(super) fn reset_signals() {
    // It fails only for an invalid set.
    let _ = SigSet::empty().thread_set_mask();
    #[cfg(target_os = "linux")]
    let last = libc::SIGRTMAX();
    #[cfg(not(target_os = "linux"))]
    let last = 31;
    for number in 1..=last {
        #[expect(unsafe_code, reason = "signal dispositions have no safe interface")]
        // SAFETY: the default action runs no code of ours. For signals that cannot be changed the call is an error
        // without effect.
        unsafe {
            libc::signal(number, libc::SIG_DFL);
        }
    }
}

/// In a new child: forks a process that is a child of our own parent, in the same session and group. Gives its id, and
/// `None` in it. With `CLONE_PIDFD` among the flags, `handle` becomes its pidfd. System calls only.
#[cfg(target_os = "linux")]
pub(super) fn fork_sibling(flags: libc::c_int, handle: &mut RawFd) -> Result<Option<Pid>, Errno> {
    let flags = libc::c_long::from(libc::CLONE_PARENT | libc::SIGCHLD | flags);
    #[expect(unsafe_code, reason = "no library knows a fork whose child has our parent")]
    // SAFETY: without a stack of its own and without shared memory it is a fork. Both copies make system calls only. The
    // third argument is written to only with CLONE_PIDFD.
    let forked = unsafe { Errno::result(libc::syscall(libc::SYS_clone, flags, 0, &raw mut *handle, 0, 0))? };
    // The system's ids have 22 bits at most.
    Ok(i32::try_from(forked).ok().filter(|id| *id > 0).map(Pid::from_raw))
}

/// Memory shared with a forked child, for the ids of processes that it forks.
pub(super) struct Place(NonNull<Numbers>);

/// Each is 0 until it is known.
#[derive(Debug)]
struct Numbers {
    led: AtomicI32,
    runs: AtomicI32,
}

/// The child's view of a [`Place`]. The child writes to it between fork and exec; our own process does not use it.
#[derive(Clone, Copy)]
pub(super) struct PlaceWriter(NonNull<Numbers>);

#[expect(unsafe_code, reason = "a pointer says nothing of threads")]
// SAFETY: it points to atomics, which may be written from anywhere, in memory that outlives the start of the child.
unsafe impl Send for PlaceWriter {}
#[expect(unsafe_code, reason = "a pointer says nothing of threads")]
// SAFETY: as above.
unsafe impl Sync for PlaceWriter {}

impl Place {
    const SIZE: NonZeroUsize = NonZeroUsize::new(size_of::<Numbers>()).expect("it has a size");

    pub(super) fn new() -> io::Result<Self> {
        let readable = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
        #[expect(unsafe_code, reason = "a child shares nothing but what is mapped so")]
        // SAFETY: new memory, at an address that the system chooses. It is all zero, which is valid.
        let memory = unsafe { mmap_anonymous(None, Self::SIZE, readable, MapFlags::MAP_SHARED)? };
        Ok(Self(memory.cast()))
    }

    pub(super) fn writer(&self) -> PlaceWriter {
        PlaceWriter(self.0)
    }

    /// The process that has created a group for the command, and has ended. `None` if there is none.
    pub(super) fn led(&self) -> Option<Pid> {
        read(&self.numbers().led)
    }

    /// The process that executes the command. `None` if the child has not got that far.
    pub(super) fn runs(&self) -> Option<Pid> {
        read(&self.numbers().runs)
    }

    fn numbers(&self) -> &Numbers {
        #[expect(unsafe_code, reason = "the memory is not Rust's")]
        // SAFETY: it is mapped for as long as this value lives.
        unsafe {
            self.0.as_ref()
        }
    }
}

fn read(number: &AtomicI32) -> Option<Pid> {
    let number = number.load(Ordering::Acquire);
    (number > 0).then(|| Pid::from_raw(number))
}

/// In a new child. They make no system call at all.
impl PlaceWriter {
    #[cfg(target_os = "linux")]
    pub(super) fn write_led(self, pid: Pid) {
        self.numbers().led.store(pid.as_raw(), Ordering::Release);
    }

    pub(super) fn write_runs(self, pid: Pid) {
        self.numbers().runs.store(pid.as_raw(), Ordering::Release);
    }

    fn numbers(&self) -> &Numbers {
        #[expect(unsafe_code, reason = "the memory is not Rust's")]
        // SAFETY: the child has a mapping of its own, which nothing undoes before it executes its command.
        unsafe {
            self.0.as_ref()
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        #[expect(unsafe_code, reason = "the memory is not Rust's")]
        // SAFETY: it was mapped with this size, and nothing in this process uses it any more.
        unsafe {
            let _ = munmap(self.0.cast(), Self::SIZE.get());
        }
    }
}

/// In a new child: arranges that it gets SIGTERM when the parent dies, unless a guardian sees to that. The system would
/// send it also to a child that has had its SIGTERM and is saving, and that cannot be undone from outside, so a child
/// that is guarded must not ask for it: the guardian knows what was signalled already. System calls only.
#[cfg(target_os = "linux")]
pub(super) fn die_with(parent: Pid, guarded: bool) {
    if !guarded {
        // A sandbox may refuse the call.
        let _ = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGTERM);
    }
    if getppid() != parent {
        exit_now(libc::EXIT_FAILURE);
    }
}

/// In a fresh child: do not begin when the parent is gone already. System calls only.
#[cfg(not(target_os = "linux"))]
pub(super) fn die_with(parent: Pid, _guarded: bool) {
    if getppid() != parent {
        exit_now(libc::EXIT_FAILURE);
    }
}

/// Ends a forked process without running anything that belongs to the one it was forked from.
pub(super) fn exit_now(code: libc::c_int) -> ! {
    #[expect(unsafe_code, reason = "std::process::exit would run the parent's exit handlers")]
    // SAFETY: it takes a number and does not return.
    unsafe {
        libc::_exit(code)
    }
}

/// Closes every descriptor from this one on. System calls only.
pub(super) fn close_from(first: RawFd) {
    #[cfg(target_os = "linux")]
    {
        #[expect(unsafe_code, reason = "the call has no wrapper in a library that we use")]
        // SAFETY: only called in a process that owns nothing but the descriptors below.
        let closed = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) };
        if closed == 0 {
            return;
        }
    }
    #[expect(unsafe_code, reason = "descriptors that have no owner in this process")]
    // SAFETY: only called in a process that owns nothing but the descriptors below; closing a closed one is an error
    // without effect.
    unsafe {
        for fd in first..descriptor_limit() {
            libc::close(fd);
        }
    }
}

/// Has every descriptor from this one on closed when the calling process executes a program. System calls only.
pub(super) fn close_on_exec_from(first: RawFd) {
    #[cfg(target_os = "linux")]
    {
        #[expect(unsafe_code, reason = "the call has no wrapper in a library that we use")]
        // SAFETY: it sets a flag of descriptors, and closes none.
        let marked = unsafe {
            libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
        };
        if marked == 0 {
            return;
        }
    }
    for fd in first..descriptor_limit() {
        #[expect(unsafe_code, reason = "descriptors of which nobody knows whether they are open")]
        // SAFETY: it sets a flag of a descriptor; for a closed one it is an error without effect.
        unsafe {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
}

/// The number that no descriptor of this process reaches. A limit without bound is taken as what systems allow in practice.
fn descriptor_limit() -> RawFd {
    let limit = sysconf(SysconfVar::OPEN_MAX).ok().flatten();
    limit.and_then(|limit| RawFd::try_from(limit).ok()).unwrap_or(65_536).min(1 << 20)
}

/// Names the calling process in `ps` and `top`, also in place of the command line that it has inherited: a pattern that
/// is to kill us (`pkill -9 -f`) must not match the process that cleans up after us. System calls only.
pub(super) fn set_name(name: &std::ffi::CStr) {
    #[cfg(target_os = "linux")]
    {
        let _ = nix::sys::prctl::set_name(name);
        if let Some(line) = command_line() {
            let name = name.to_bytes();
            line.fill(0);
            // The last byte has to stay 0.
            let length = name.len().min(line.len().saturating_sub(1));
            line[..length].copy_from_slice(&name[..length]);
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = name;
}

#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "no library knows the name")]
unsafe extern "C" {
    /// Our first argument, where the C library has found it.
    static program_invocation_name: *const libc::c_char;
}

/// The memory that the system shows as our command line. `None` where it is not where the C library has found our
/// arguments: under a checker of memory or an emulator it belongs to that. Only a process that never looks at its
/// arguments may call it. System calls only.
#[cfg(target_os = "linux")]
fn command_line() -> Option<&'static mut [u8]> {
    let mut text = [0; 2048];
    let length = read_file(c"/proc/self/stat", &mut text)?;
    let mut words = after_name(&text[..length])?.split(|byte| *byte == b' ');
    let mut number = |nth| std::str::from_utf8(words.nth(nth)?).ok()?.trim().parse::<usize>().ok();
    // The first word is the third of the line; these are the 48th and the 49th, `arg_start` and `arg_end`.
    let (start, end) = (number(45)?, number(0)?);
    #[expect(unsafe_code, reason = "the variable is not Rust's")]
    // SAFETY: it is set before `main`, and nothing changes it.
    let first = unsafe { program_invocation_name }.addr();
    let length = end.checked_sub(start).filter(|length| start == first && *length > 0)?;
    #[expect(unsafe_code, reason = "the memory is not Rust's")]
    // SAFETY: the system has put the arguments there when the program began; they are writable, and nothing in this copy
    // of the process refers to them.
    Some(unsafe { std::slice::from_raw_parts_mut(std::ptr::with_exposed_provenance_mut(start), length) })
}

/// What `/proc/PID/stat` says after the name, which may contain any character: the state, the parent...
#[cfg(target_os = "linux")]
pub(super) fn after_name(stat: &[u8]) -> Option<&[u8]> {
    stat.get(stat.iter().rposition(|byte| *byte == b')')? + 2..)
}

/// Reads the beginning of a file. System calls only.
#[cfg(target_os = "linux")]
pub(super) fn read_file(path: &std::ffi::CStr, into: &mut [u8]) -> Option<usize> {
    #[expect(unsafe_code, reason = "the descriptor needs no owner for so short a time")]
    // SAFETY: the path is a C string, the buffer is as long as is said, and the descriptor is closed here and known to
    // nothing else.
    let length = unsafe {
        let file = libc::open(path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        let length = if file < 0 { -1 } else { libc::read(file, into.as_mut_ptr().cast(), into.len()) };
        if file >= 0 {
            libc::close(file);
        }
        length
    };
    usize::try_from(length).ok()
}
