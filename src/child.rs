//! The server's process: starting it, talking to it, signalling it, learning of its end, reaping it.
//!
//! A child runs in a session and a process group of its own, and a signal reaches its whole family (`npx` -> `sh` ->
//! `node`). Where the host has a terminal, the session has a `Terminal` too: one of ours, which answers every question
//! with the end of input. On the host's terminal the child would be a background job, which the system stops as soon as
//! it, or a shell that it starts, uses the terminal; and without any terminal, many programs read a passphrase from
//! their stdin instead, and would take the first message for it. As under a host, the child leads neither its session
//! nor its group: it may call `setsid` itself, and the command `setsid` runs its program in place instead of forking.
//! The end of a child is learned from the system and not from the end of its output, which a grandchild can hold open
//! indefinitely. The exit is observed without reaping: until [`Process::forget`] the process id and the ids of the
//! session and the group stay taken, so that a signal can never reach an unrelated process that was given the same
//! number.
//!
//! ```text
//! spawn -> Child { process, stdin, stdout, stderr }      four values, so that all of them can be polled
//!            process.exited()                             does not reap
//!            process.send(signal, whom)                   to the leader, the rest or all; Kill ends a container as well
//!            process.group_runs()                         whether a helper is left
//!            process.forget(group_left)                   off the guardian's list, then reaped
//! ```
//!
//! Where a command is not found, the user's [`LoginShell`] may know more of the `PATH`.
//!
//! Should the supervisor be killed, the [`Guardian`] ends the group. Nothing in here decides when a child is started,
//! stopped or given up, and nothing in here waits for a child on the caller's thread.

mod container;
#[cfg(target_os = "linux")]
mod copied;
mod family;
mod fault;
mod guardian;
mod login_shell;
mod reaper;
mod screen;
mod sys;
mod tail;
mod terminal;
#[cfg(test)]
mod tests;

use std::ffi::OsString;
use std::fmt;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{self, Command, Stdio};
use std::task::{Context, Poll};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, setsid};

use crate::engine::io::{Exit, GroupSignal, SpawnFault, StoppedBy, Whom};
use crate::stream::{Sink, Source};
use container::Container;
use family::Family;
#[cfg(target_os = "linux")]
pub use family::proc_is_ours;
pub use family::{Left, end, left_of};
pub use fault::{executable, script_line};
use guardian::Entry;
pub use guardian::Guardian;
pub use login_shell::LoginShell;
use reaper::{Living, reap};
pub use reaper::{inherits_orphans, reap_orphans};
pub use sys::{EndWatch, take_signals};
pub use tail::Tail;
use terminal::Terminal;

/// What to start.
#[derive(Clone, Default)]
pub struct Spec {
    /// The command and its arguments. A command without a slash is looked for in the child's `PATH`.
    pub argv: Vec<OsString>,
    /// What is different in the child's environment: a new value, or `None` to leave the variable out. Everything else
    /// is inherited.
    pub env: Vec<(OsString, Option<OsString>)>,
}

impl fmt::Debug for Spec {
    /// Without the values: a token may be among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.env.iter().map(|(name, _)| name).collect();
        f.debug_struct("Spec").field("argv", &self.argv).field("env", &names).finish()
    }
}

/// Why a child could not be started. It reads like the system's own words, for example
/// `./server: No such file or directory`; where a name was looked for in vain it tells where: `npx: not found in PATH
/// (/usr/bin:/bin)`.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct SpawnError {
    /// Whether trying again makes sense, and what a shell would call it.
    pub fault: SpawnFault,
    /// The command and what the system says about it.
    pub message: String,
}

/// A running child with our ends of its pipes.
#[derive(Debug)]
pub struct Child {
    /// The process itself.
    pub process: Process,
    /// Its stdin. Take it and drop it to close it.
    pub stdin: Option<Sink>,
    /// Its stdout; it can outlive the process.
    pub stdout: Source,
    /// Its stderr; it can outlive the process.
    pub stderr: Source,
}

/// Starts a child. Must be called on the main thread and inside the runtime: on Linux the child gets SIGTERM when the
/// *thread* that started it ends. Takes as long as the system takes to fork and execute.
pub fn spawn(spec: &Spec, guardian: Option<&Guardian>) -> Result<Child, SpawnError> {
    if container::is_busy(spec) {
        let name = spec.argv.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let message = format!("{name}: the previous container is still being stopped");
        return Err(SpawnError { fault: SpawnFault::Stopping, message });
    }
    let container = Container::plan(spec);
    let argv = container.as_ref().map_or(&spec.argv, |container| &container.argv);
    let Some(mut command) = command(argv, &spec.env) else {
        let message = "the command is empty".to_owned();
        return Err(SpawnError { fault: SpawnFault::NotFound, message });
    };
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let entry = guardian.map(Guardian::entry);
    if let (Some(entry), Some(container)) = (&entry, &container) {
        entry.prepare(&container.prepared());
    }
    let started = start(command, Leads::Nothing, entry).map_err(|error| fault::explain(spec, &error))?;
    let Started { mut pipes, living } = started;
    match ends_of(&mut pipes, &living) {
        Ok((exit, stdin, stdout, stderr)) => {
            let process = Process { living, exit, container };
            Ok(Child { process, stdin: Some(stdin), stdout, stderr })
        }
        Err(error) => {
            abandon(living);
            Err(fault::explain(spec, &error))
        }
    }
}

/// What a new process leads. It is never a session or group of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leads {
    /// Neither its session nor its group. The process that created the session keeps it, and a sibling of it continues.
    /// Where the system has no means for that, or allows no further process, the first process continues
    /// and leads them.
    Nothing,
    /// A session, without a terminal. The process inherits only the standard descriptors: what it deliberately leaves
    /// running must not hold descriptors that another program has leaked to us.
    Session,
}

/// A process that has executed its command.
struct Started {
    /// Our ends of its pipes. The process id in here is that of the first process, and `living` may have another.
    pipes: process::Child,
    living: Living,
}

/// Starts the command. The guardian knows its group before it runs.
fn start(mut command: Command, leads: Leads, entry: Option<Entry>) -> io::Result<Started> {
    sys::keep_zombies();

    let announcement = entry.as_ref().and_then(Entry::announcement);
    let terminal = if leads == Leads::Nothing { Terminal::new() } else { None };
    let (terminal, wanted) = terminal.unzip();
    let parent = Pid::this();
    let place = sys::Place::new()?;
    let numbers = place.writer();
    #[expect(
        unsafe_code,
        reason = "the guardian must know the child before it runs, and only the child knows in time"
    )]
    // SAFETY: between fork and exec the closure makes system calls only. It takes no lock, allocates nothing and does
    // not panic.
    unsafe {
        command.pre_exec(move || {
            // Until exec, this copy of us would run our signal handlers. Signals that we ignore, or inherited as
            // ignored, would stay ignored in the command.
            sys::reset_signals();
            let session = setsid()?;
            let group = match (leads, &terminal) {
                (Leads::Session, _) => {
                    sys::close_on_exec_from(3);
                    session
                }
                (Leads::Nothing, Some(terminal)) => terminal.enter(numbers)?,
                (Leads::Nothing, None) => {
                    terminal::continue_as_sibling();
                    session
                }
            };
            let leader = Pid::this();
            numbers.write_runs(leader);
            let family = Family { leader, group, session };
            let guarded = announcement.as_ref().is_some_and(|announcement| announcement.make(family));
            sys::die_with(parent, guarded);
            Ok(())
        });
    }
    // The lock keeps orphans from being collected before the child is listed as ours.
    let mut known = reaper::known();
    let spawned = command.spawn();
    // The command owns the announcement, and with it the guardian's pipe, and our ends of the terminal.
    drop(command);
    let (led, runs) = (place.led(), place.runs());
    match spawned {
        Ok(pipes) => {
            let session = pid_of(&pipes);
            let leader = runs.unwrap_or(session);
            let group = led.filter(|_| leader != session).unwrap_or(session);
            let keeper = Some(session).filter(|keeper| *keeper != leader);
            for pid in keeper.iter().chain([&leader]) {
                known.add(*pid);
            }
            if let Some(led) = led {
                reaper::collect(led);
            }
            drop(known);
            let family = Family { leader, group, session };
            Ok(Started { pipes, living: Living { family, keeper, wanted, entry } })
        }
        Err(error) => {
            // The child may have got as far as its announcement. Rust has reaped only the process that it forked
            // itself.
            for pid in [led, runs].into_iter().flatten() {
                reaper::collect(pid);
            }
            if let Some(entry) = entry {
                entry.strike();
            }
            Err(error)
        }
    }
}

/// The end of a child that has started and cannot be used.
fn abandon(living: Living) {
    let _ = living.family.signal(Signal::SIGKILL);
    let _ = kill(living.family.leader, Signal::SIGKILL);
    reap(living);
}

/// The process of a child. It counts as running until [`Process::forget`]; dropping it instead leaves the group to the
/// guardian.
#[derive(Debug)]
pub struct Process {
    living: Living,
    exit: sys::ExitWatch,
    container: Option<Container>,
}

impl Process {
    /// The process id.
    pub fn pid(&self) -> u32 {
        self.living.family.leader.as_raw().cast_unsigned()
    }

    /// The id of its process group.
    pub fn group(&self) -> u32 {
        self.living.family.group_now().as_raw().cast_unsigned()
    }

    /// Resolves when the process has ended. Cancel-safe, and may be asked again. It does not reap.
    pub async fn exited(&self) -> Exit {
        poll_fn(|cx| self.poll_exited(cx)).await
    }

    /// The same to be polled: the last who asked is woken.
    pub fn poll_exited(&self, cx: &mut Context<'_>) -> Poll<Exit> {
        self.exit.poll_exited(cx)
    }

    /// The signal that has stopped the process, if it is stopped now: SIGSTOP, SIGTSTP, SIGTTIN or SIGTTOU; on Linux
    /// [`StoppedBy::Member`] if another process of its group is stopped, as a server behind a wrapper may be. `None`
    /// once it continues, and once it has ended. The query does not consume what [`Process::exited`] waits for. Unless
    /// the process itself is stopped, it takes as long as a look at all processes takes.
    pub fn stopped_by(&self) -> Option<StoppedBy> {
        let behind = || self.living.family.is_stopped().then_some(StoppedBy::Member);
        sys::stopped_by(self.living.family.leader).or_else(behind)
    }

    /// Sends a signal to the whole family; a family that is gone is none of our errors. With [`GroupSignal::Kill`] a
    /// container that this child is the client of is ended too, by a process that is started and not waited for.
    /// An error means that some process of the family cannot be signalled, because it runs as another user.
    pub fn signal(&mut self, signal: GroupSignal) -> io::Result<()> {
        self.send(signal, Whom::Group)
    }

    /// Sends a signal to these processes of the family, on the terms of [`Process::signal`]. Processes that are gone are
    /// no error. [`Whom::Rest`] works on Linux at any time, and elsewhere once the leader has gone.
    pub fn send(&mut self, signal: GroupSignal, whom: Whom) -> io::Result<()> {
        let family = self.living.family;
        if let (GroupSignal::Kill, Some(container)) = (signal, &mut self.container) {
            container.kill();
        }
        let signal = match signal {
            GroupSignal::Int => Signal::SIGINT,
            GroupSignal::Term => Signal::SIGTERM,
            GroupSignal::Hup => Signal::SIGHUP,
            GroupSignal::Kill => Signal::SIGKILL,
        };
        let sent = match whom {
            Whom::Leader => kill(family.leader, signal),
            // A leader that has ended hears nothing more, so the groups can be signalled as a whole.
            Whom::Rest if sys::has_ended(family.leader) => family.signal(signal),
            Whom::Rest => family.tell_others(signal),
            Whom::Group => family.signal(signal),
        };
        if let (Signal::SIGTERM, Some(entry)) = (signal, &self.living.entry) {
            entry.told(whom);
        }
        match sent {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            // What macOS says of a group that is all zombies.
            Err(Errno::EPERM) if cfg!(target_os = "macos") => Ok(()),
            // Linux returns this where only zombies of another user are left.
            Err(Errno::EPERM) if !family.runs() => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// The server serves: takes the terminal away that it had while it started, where it had one.
    pub fn leave_terminal(&mut self) {
        self.living.wanted = None;
    }

    /// Whether a process of the family still runs, the leader included. A zombie does not count.
    pub fn group_runs(&self) -> bool {
        self.living.family.runs()
    }

    /// Sends SIGTERM to the process alone, as most hosts do. One that is gone is none of our errors.
    pub fn terminate_leader(&self) -> io::Result<()> {
        match kill(self.living.family.leader, Signal::SIGTERM) {
            Ok(()) | Err(Errno::ESRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Done with it: takes the family off the guardian's list, then reaps the process. With `group_left` whatever the
    /// child left behind may live on; else the family is killed once more, so that nothing outlives the list. Does not
    /// wait: a process that has not ended yet is reaped when it has, on a thread.
    pub fn forget(mut self, group_left: bool) {
        if !group_left {
            let _ = self.signal(GroupSignal::Kill);
        }
        if let Some(container) = &mut self.container {
            container.clear();
        }
        reap(self.living);
    }
}

fn pid_of(child: &process::Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// `None` if there is nothing to start.
fn command(argv: &[OsString], env: &[(OsString, Option<OsString>)]) -> Option<Command> {
    let (program, arguments) = argv.split_first()?;
    #[expect(clippy::disallowed_methods, reason = "this is the one place where processes are made")]
    let mut command = Command::new(program);
    command.args(arguments);
    for (name, value) in env {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Some(command)
}

/// Our ends of what the child has, ready to be polled.
fn ends_of(
    pipes: &mut process::Child,
    living: &Living,
) -> io::Result<(sys::ExitWatch, Sink, Source, Source)> {
    let missing = || io::Error::other("a pipe is missing");
    let stdin = Sink::owned(OwnedFd::from(pipes.stdin.take().ok_or_else(missing)?))?;
    let stdout = Source::owned_for_long(OwnedFd::from(pipes.stdout.take().ok_or_else(missing)?))?;
    let stderr = Source::owned(OwnedFd::from(pipes.stderr.take().ok_or_else(missing)?))?;
    Ok((sys::ExitWatch::new(living.family.leader)?, stdin, stdout, stderr))
}
