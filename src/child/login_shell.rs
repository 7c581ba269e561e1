//! What the user's login shell says of the `PATH`: where the commands are that a host's bare environment does not know.
//!
//! nvm, Homebrew, pyenv and cargo put their folders into the `PATH` in the files of an interactive login shell, so that is
//! what is started, `$SHELL -ilc`, to run one command that prints the `PATH` between two markers. What else it prints is
//! noise. No syntax for variables is needed that not all shells share: the shell only has to execute `/bin/sh` with one
//! quoted word, and `/bin/sh` prints what it was given. The markers come to be only there, out of two halves, and carry our
//! process id: a shell that shows its commands (`set -x`) or the list of processes does not show a marker, and neither does
//! a log of another time.
//!
//! What is kept from the server is kept from it too: it runs whatever is in those files.
//!
//! Files that are made for a terminal can do anything. So the shell leads a session of its own, which has no terminal to
//! stop it or to be taken; it reads `/dev/null`, inherits no descriptors, has [`LIMIT`] for everything, and is killed with
//! its whole group as soon as it has answered, or need not answer any more. Its process is guarded like a server's.
//!
//! It never holds up the thread on which it is asked. It does not decide when to ask, nor what is done with the answer.

#[cfg(test)]
mod tests;

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{self, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use memchr::memmem;
use nix::unistd::{Uid, User};
use tokio::io::AsyncReadExt as _;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep};

use super::guardian::Entry;
use super::reaper::Living;
use super::{Guardian, Leads, Process, Spec, Started, abandon, command, fault, start, sys};
use crate::engine::io::{Exit, LoginPath};
use crate::stream::Source;
use crate::threads;

/// How long everything may take: more than what a person puts up with at each new terminal.
const LIMIT: Duration = Duration::from_secs(5);
/// How long the system's user database may take of it; on a network, it can hang.
const LOOKUP: Duration = Duration::from_secs(1);
/// The most that the shell may print, in bytes: far more than a greeting, and than the 128 KiB to which Linux limits a
/// variable.
const MOST: usize = 1024 * 1024;
/// How much room a read is given, in bytes.
const ROOM: usize = 16 * 1024;
/// The shell that everybody has.
const FALLBACK: &str = "/bin/sh";

type Env = Vec<(OsString, Option<OsString>)>;

/// How long killing it may take. It takes no time, but a shell on a file system that hangs cannot be killed; the guardian
/// ends that one, once it can.
const KILL: Duration = Duration::from_millis(300);

/// The user's login shell, asked on a thread of its own. Dropping it kills the shell, and waits 300 ms at most for that.
#[derive(Debug)]
pub struct LoginShell {
    told: oneshot::Receiver<LoginPath>,
    /// Gone as soon as nobody wants to know any more.
    wanted: Option<oneshot::Sender<()>>,
    /// Nothing comes: it is closed when the thread has ended.
    ended: mpsc::Receiver<()>,
}

impl LoginShell {
    /// Starts the shell: `$SHELL`, if that is the absolute path of a file that can be executed; else the one in the user
    /// database; else `/bin/sh`. It gets our environment but for the variables that `spec` leaves out or sets, which are
    /// the server's alone. A shell that cannot
    /// be started is told by [`LoginShell::answer`].
    pub fn ask(spec: &Spec, guardian: Option<&Guardian>) -> Self {
        let ours = spec.env.iter().filter(|(name, _)| name != "PATH");
        let hidden: Env = ours.map(|(name, _)| (name.clone(), None)).collect();
        let entry = guardian.map(Guardian::entry);
        let (tell, told) = oneshot::channel();
        let (wanted, unwanted) = oneshot::channel::<()>();
        let (end, ended) = mpsc::channel();
        let asking = move || {
            let _end: mpsc::Sender<()> = end;
            // The shell is the child of this thread, which therefore ends after it.
            let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
                return;
            };
            runtime.block_on(async {
                let mut question = Question::ask(hidden, entry);
                tokio::select! {
                    // Nobody may want to know any more.
                    answer = question.answer() => drop(tell.send(answer)),
                    _ = unwanted => {}
                }
            });
        };
        // Without a thread there is no answer, and nothing to wait for.
        let _ = threads::start("login-shell", threads::ORDINARY, asking);
        Self { told, wanted: Some(wanted), ended }
    }

    /// Resolves when the shell has answered, cannot answer any more, or 5 s have passed since it was asked; by then it is
    /// killed. Cancel-safe; answers once.
    pub async fn answer(&mut self) -> LoginPath {
        let nobody = |_| LoginPath { shell: "it".to_owned(), path: Err("could not be asked".to_owned()) };
        (&mut self.told).await.unwrap_or_else(nobody)
    }
}

impl Drop for LoginShell {
    fn drop(&mut self) {
        self.wanted = None;
        // Whatever became of the thread, its shell is no longer ours.
        let _ = self.ended.recv_timeout(KILL);
    }
}

/// A question to a shell, and its answer. Dropping it kills the shell.
#[derive(Debug)]
struct Question {
    limit: Pin<Box<Sleep>>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The user database is asked which shell it is.
    Choosing {
        shell: oneshot::Receiver<PathBuf>,
        patience: Pin<Box<Sleep>>,
        env: Env,
        entry: Option<Entry>,
    },
    Asked(Box<Asked>),
    Told(LoginPath),
}

impl Question {
    /// Must be called inside a runtime, on a thread that lives longer than it.
    fn ask(env: Env, entry: Option<Entry>) -> Self {
        match usable(env::var_os("SHELL")) {
            Some(shell) => Self::start(shell, env, entry),
            None => Self::choose(look_up(), env, entry),
        }
    }

    fn start(shell: PathBuf, env: Env, entry: Option<Entry>) -> Self {
        Self { limit: Box::pin(sleep(LIMIT)), state: State::asked(shell, env, entry) }
    }

    fn choose(shell: oneshot::Receiver<PathBuf>, env: Env, entry: Option<Entry>) -> Self {
        let patience = Box::pin(sleep(LOOKUP));
        Self { limit: Box::pin(sleep(LIMIT)), state: State::Choosing { shell, patience, env, entry } }
    }

    /// Resolves when there is an answer, or none can come any more. Cancel-safe, and may be asked again. Must be awaited on the
    /// thread that it was asked on.
    async fn answer(&mut self) -> LoginPath {
        loop {
            self.state = match &mut self.state {
                State::Choosing { shell, patience, env, entry } => {
                    let shell = tokio::select! {
                        biased;
                        shell = shell => shell.ok(),
                        () = patience => None,
                    };
                    State::asked(shell.unwrap_or_else(|| FALLBACK.into()), std::mem::take(env), entry.take())
                }
                State::Asked(asked) => {
                    let path = tokio::select! {
                        biased;
                        path = asked.path() => path,
                        () = &mut self.limit => Err(format!("did not answer within {} s", LIMIT.as_secs())),
                    };
                    State::Told(LoginPath { shell: std::mem::take(&mut asked.shell), path })
                }
                State::Told(told) => return told.clone(),
            };
        }
    }
}

impl State {
    fn asked(shell: PathBuf, env: Env, entry: Option<Entry>) -> Self {
        let name = shell.to_string_lossy().into_owned();
        match Asked::new(shell, env, entry) {
            Ok(asked) => Self::Asked(Box::new(asked)),
            Err(why) => {
                Self::Told(LoginPath { shell: name, path: Err(format!("could not be started: {why}")) })
            }
        }
    }
}

/// A shell that runs.
#[derive(Debug)]
struct Asked {
    shell: String,
    process: Killed,
    exit: Option<Exit>,
    stdout: Source,
    open: bool,
    said: Vec<u8>,
    /// Up to here no end marker is in it that counts.
    searched: usize,
    markers: Markers,
}

impl Asked {
    /// An error is the reason in words, with the name of the shell.
    fn new(shell: PathBuf, env: Env, entry: Option<Entry>) -> Result<Self, String> {
        let name = shell.to_string_lossy().into_owned();
        let markers = Markers::of(process::id());
        let (login, options) = manner(&shell);
        let spec = Spec { argv: vec![shell.into(), options.into(), markers.command().into()], env };
        let explain = |error: io::Error| fault::explain(&spec, &error).message;

        let mut command = command(&spec.argv, &spec.env).ok_or("the command is empty")?;
        if let Some(login) = login {
            command.arg0(login);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let Started { mut pipes, living } = start(command, Leads::Session, entry).map_err(explain)?;
        match ends_of(&mut pipes, &living) {
            Ok((exit, stdout)) => Ok(Self {
                shell: name,
                process: Killed(Some(Process { living, exit, container: None })),
                exit: None,
                stdout,
                open: true,
                said: Vec::new(),
                searched: 0,
                markers,
            }),
            Err(error) => {
                abandon(living);
                Err(explain(error))
            }
        }
    }

    /// Resolves with the `PATH`, or when it is certain that none comes. Cancel-safe.
    async fn path(&mut self) -> Result<OsString, String> {
        loop {
            if let Some(path) = self.markers.find(&self.said, &mut self.searched) {
                return checked(path);
            }
            if self.said.len() > MOST {
                return Err(format!("printed more than {} KiB without telling its PATH", MOST / 1024));
            }
            // Others may hold the pipe open, so what is in it counts, and not its end.
            if let Some(exit) = self.exit
                && (!self.open || self.stdout.unread().unwrap_or(0) == 0)
            {
                let ended = match exit {
                    Exit::Code(_) => "exited with",
                    Exit::Signal(_) => "was killed by",
                };
                return Err(format!("{ended} {exit} before it told its PATH"));
            }
            self.said.reserve(ROOM);
            tokio::select! {
                biased;
                // An error is the end of it.
                read = self.stdout.read_buf(&mut self.said), if self.open => self.open = read.is_ok_and(|count| count > 0),
                exit = self.process.exited(), if self.exit.is_none() => self.exit = Some(exit),
            }
        }
    }
}

/// A process that is killed with its group when it is dropped, and reaped.
#[derive(Debug)]
struct Killed(Option<Process>);

impl Killed {
    async fn exited(&self) -> Exit {
        match &self.0 {
            Some(process) => process.exited().await,
            None => std::future::pending().await,
        }
    }
}

impl Drop for Killed {
    fn drop(&mut self) {
        if let Some(process) = self.0.take() {
            process.forget(false);
        }
    }
}

/// What the `PATH` is printed between.
#[derive(Debug)]
struct Markers {
    pid: u32,
    begin: String,
    end: String,
}

impl Markers {
    fn of(pid: u32) -> Self {
        Self {
            pid,
            begin: format!("<mcp-supervise-path-{pid}>"),
            end: format!("</mcp-supervise-path-{pid}>"),
        }
    }

    /// For any shell that can execute a program and has single quotes, in which nothing here is special to it. One call
    /// prints it all, so that nobody else's words get in between.
    fn command(&self) -> String {
        let pid = self.pid;
        let halves = format!(r#""<mcp-supervise-" "path-{pid}>" "$PATH" "</mcp-supervise-" "path-{pid}>""#);
        format!(r#"exec /bin/sh -c 'printf "%s%s%s%s%s\n" {halves}'"#)
    }

    /// The `PATH` in what the shell has said so far: what is before the first end that has a beginning, and behind the last
    /// beginning before it. `searched` is where the search goes on when more was said.
    fn find<'a>(&self, said: &'a [u8], searched: &mut usize) -> Option<&'a [u8]> {
        let from = *searched;
        let path = memmem::find_iter(&said[from..], &self.end).find_map(|end| {
            let before = &said[..from + end];
            memmem::rfind(before, self.begin.as_bytes()).map(|begin| &before[begin + self.begin.len()..])
        });
        *searched = from.max((said.len() + 1).saturating_sub(self.end.len()));
        path
    }
}

/// A `PATH` in which something can be found.
fn checked(path: &[u8]) -> Result<OsString, String> {
    let path = OsString::from_vec(path.to_vec());
    if path.is_empty() {
        return Err("told an empty PATH".to_owned());
    }
    if !env::split_paths(&path).any(|folder| folder.is_absolute()) {
        return Err(format!("told a PATH without any absolute folder ({})", path.display()));
    }
    Ok(path)
}

/// How a shell is made an interactive login shell that runs one command: the name that it is given, `None` for its own,
/// and its options.
fn manner(shell: &Path) -> (Option<&'static str>, &'static str) {
    match shell.file_name().and_then(OsStr::to_str) {
        // They know `-l` only alone.
        Some("csh" | "tcsh") => (Some("-csh"), "-ic"),
        _ => (None, "-ilc"),
    }
}

/// The shell, if it can be one.
fn usable(shell: Option<impl Into<PathBuf>>) -> Option<PathBuf> {
    shell.map(Into::into).filter(|shell| shell.is_absolute() && fault::is_executable(shell))
}

/// Asks the user database for the shell, on a thread of its own. Without an answer the sender is dropped.
fn look_up() -> oneshot::Receiver<PathBuf> {
    let (tell, told) = oneshot::channel();
    // Without a thread there is no answer either.
    let _ = threads::start("user", threads::ORDINARY, move || {
        let user = User::from_uid(Uid::current()).ok().flatten();
        if let Some(shell) = usable(user.map(|user| user.shell)) {
            // Nobody waits for it any more.
            let _ = tell.send(shell);
        }
    });
    told
}

/// Our ends of what the shell has, ready to be polled.
fn ends_of(pipes: &mut process::Child, living: &Living) -> io::Result<(sys::ExitWatch, Source)> {
    let stdout = pipes.stdout.take().ok_or_else(|| io::Error::other("a pipe is missing"))?;
    Ok((sys::ExitWatch::new(living.family.leader)?, Source::owned(OwnedFd::from(stdout))?))
}
