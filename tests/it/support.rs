//! The program as its host sees it: real processes, real pipes, sockets and signals.
//!
//! A test plans a supervisor ([`Plan`]), starts it, and talks to it through [`Host`]. Nothing here is timed: a test waits
//! for an event (a line, an exit, a file, a process that is gone), and a watchdog fails it with everything seen so far when
//! the event does not come. Dropping the host ends every process that the test has started.

pub(crate) mod daemon;
pub(crate) mod dice;
#[cfg(target_os = "linux")]
pub(crate) mod disk;
pub(crate) mod ends;
#[cfg(target_os = "linux")]
pub(crate) mod lease;
pub(crate) mod message;
pub(crate) mod outside;
pub(crate) mod plan;
pub(crate) mod process;
pub(crate) mod reader;
#[cfg(target_os = "linux")]
pub(crate) mod tenant;
pub(crate) mod terminal;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::sync::Arc;
use std::thread;

use nix::fcntl::OFlag;
use nix::pty::PtyMaster;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) use ends::Kind;
pub(crate) use message::{call, guidance, request, text_of};
pub(crate) use plan::Plan;
use process::eventually;
use reader::{Lines, Reader, Text};

/// A running supervisor, seen from its host.
pub(crate) struct Host {
    child: Child,
    dir: Arc<TempDir>,
    /// The writing end of its stdin. `None` once closed, or where stdin is no pipe or socket.
    stdin: Option<File>,
    /// The reading end of its stdout. `None` where stdout is a file.
    stdout: Option<Reader<Lines>>,
    stderr: Reader<Text>,
    _terminal: Option<PtyMaster>,
    status: Option<ExitStatus>,
}

impl Host {
    /// The supervisor's process id.
    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// A file that lives as long as the host, or another one of the same plan.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What a file of that name holds. Empty if there is none.
    pub(crate) fn file(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// Writes one line. Waits while the pipe is full. A supervisor that no longer reads is none of our errors.
    pub(crate) fn send(&mut self, line: impl AsRef<[u8]>) {
        let line = [line.as_ref(), b"\n"].concat();
        self.send_raw(&line);
    }

    /// Writes these bytes.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        let _ = self.stdin.as_mut().expect("stdin is open").write_all(bytes);
    }

    /// The writing end of stdin.
    pub(crate) fn stdin(&self) -> &File {
        self.stdin.as_ref().expect("stdin is open")
    }

    /// Takes the writing end out, to write from another thread.
    pub(crate) fn take_stdin(&mut self) -> File {
        self.stdin.take().expect("stdin is open")
    }

    /// Ends the input.
    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The flags of the host's own ends of stdin and stdout.
    pub(crate) fn flags(&self) -> Vec<OFlag> {
        let stdin = self.stdin.as_ref().map(ends::flags);
        stdin.into_iter().chain(self.stdout().flags()).collect()
    }

    /// Greets as hosts do, and gives the answer.
    pub(crate) fn greet(&mut self) -> Value {
        self.greet_with("2025-06-18")
    }

    /// Greets with this version of the protocol.
    pub(crate) fn greet_with(&mut self, version: &str) -> Value {
        self.send(message::initialize(version));
        let greeting = self.answer("greet");
        self.send(message::INITIALIZED);
        greeting
    }

    /// Asks for the tools, so that the supervisor knows which of them are safe to repeat. Gives the answer.
    pub(crate) fn list(&mut self) -> Value {
        self.send(request("list", "tools/list", &json!({})));
        self.answer("list")
    }

    /// Calls a tool and gives the answer.
    pub(crate) fn ask(&mut self, id: impl Into<Value>, tool: &str, arguments: &Value) -> Value {
        let id = id.into();
        self.send(call(id.clone(), tool, arguments));
        self.answer(id)
    }

    /// What the server says that it was told, as the tool `state` has it.
    pub(crate) fn state(&mut self, id: impl Into<Value>) -> Value {
        let answer = self.ask(id, "state", &json!({}));
        serde_json::from_str(text_of(&answer)).unwrap_or_else(|_| self.fail("the state is no JSON"))
    }

    /// Waits for the answer with this id.
    pub(crate) fn answer(&self, id: impl Into<Value>) -> Value {
        let id = id.into();
        let key = id.to_string();
        self.stdout()
            .wait(|lines| lines.answer(&key))
            .unwrap_or_else(|| self.fail(&format!("no answer to {id}")))
    }

    /// The bytes of the answer with this id, with its line feed, after waiting for it.
    pub(crate) fn answer_bytes(&self, id: impl Into<Value>) -> Vec<u8> {
        let id = id.into();
        let key = id.to_string();
        self.stdout()
            .wait(|lines| lines.answer_bytes(&key))
            .unwrap_or_else(|| self.fail(&format!("no answer to {id}")))
    }

    /// How many answers with this id have come so far.
    pub(crate) fn answers(&self, id: impl Into<Value>) -> usize {
        self.stdout().now(|lines| lines.answers(&id.into().to_string()))
    }

    /// Waits for the `n`-th message (from 1) of the server that has this method.
    pub(crate) fn message(&self, method: &str, n: usize) -> Value {
        let found = self.stdout().wait(|lines| lines.message(method, n));
        found.unwrap_or_else(|| self.fail(&format!("message {n} with {method} has not come")))
    }

    /// How many messages of the server with this method have come so far.
    pub(crate) fn messages(&self, method: &str) -> usize {
        self.stdout().now(|lines| lines.messages(method))
    }

    /// All lines that have come so far.
    pub(crate) fn lines(&self) -> Vec<Vec<u8>> {
        self.stdout().now(|lines| lines.bytes.clone())
    }

    /// Waits for the end of stdout, and checks what came: every line one valid message, and no answer twice.
    pub(crate) fn all_lines(&self) -> Vec<Vec<u8>> {
        if self.stdout().wait(|lines| lines.ended.then_some(())).is_none() {
            self.fail("stdout does not end");
        }
        self.check();
        self.lines()
    }

    /// Fails unless every line so far is one valid message and no request was answered twice.
    pub(crate) fn check(&self) {
        if let Some(wrong) = self.stdout().now(Lines::wrong) {
            self.fail(&wrong);
        }
    }

    /// Reads nothing from stdout until [`Host::read_on`].
    pub(crate) fn stop_reading(&self) {
        self.stdout().pause(true);
    }

    /// Reads stdout again.
    pub(crate) fn read_on(&self) {
        self.stdout().pause(false);
    }

    /// Reads stderr, where the plan was not to.
    pub(crate) fn read_stderr(&self) {
        self.stderr.pause(false);
    }

    /// Closes the reading end of stdout.
    pub(crate) fn stop_listening(&self) {
        self.stdout().close();
    }

    /// What has come on stderr so far.
    pub(crate) fn stderr(&self) -> String {
        self.stderr.now(|text| String::from_utf8_lossy(&text.bytes).into_owned())
    }

    /// Waits for the end of stderr, and gives all of it.
    pub(crate) fn all_stderr(&self) -> String {
        if self.stderr.wait(|text| text.ended.then_some(())).is_none() {
            self.fail("stderr does not end");
        }
        self.stderr()
    }

    /// Waits until stderr has a line that starts so, and gives the rest of that line.
    pub(crate) fn stderr_line(&self, start: &str) -> String {
        let found = self.stderr.wait(|text| text.line(start));
        found.unwrap_or_else(|| self.fail(&format!("no line with {start:?} on stderr")))
    }

    /// Waits until stderr has brought this many bytes.
    pub(crate) fn until_stderr(&self, bytes: usize) {
        if self.stderr.wait(|text| (text.bytes.len() >= bytes).then_some(())).is_none() {
            self.fail(&format!("stderr has less than {bytes} bytes"));
        }
    }

    /// Waits until stderr has a line that contains this.
    pub(crate) fn stderr_line_with(&self, part: &str) {
        self.stderr_lines_with(part, 1);
    }

    /// Waits until stderr has this many lines that contain this.
    pub(crate) fn stderr_lines_with(&self, part: &str, count: usize) {
        if self.stderr.wait(|text| (text.lines_with(part) >= count).then_some(())).is_none() {
            self.fail(&format!("stderr has not {count} lines with {part:?}"));
        }
    }

    /// Waits until the fixture server has started this many times, and gives the process id of the last of them.
    pub(crate) fn server(&self, generation: usize) -> i32 {
        let nth = || {
            let pids = self.file("pids");
            let complete = pids.rfind('\n').map_or("", |end| &pids[..end]);
            complete.lines().nth(generation - 1).and_then(|pid| pid.parse().ok())
        };
        let found = eventually(nth);
        found.unwrap_or_else(|| self.fail(&format!("server {generation} does not start")))
    }

    /// The process id of the guardian, once it calls itself so.
    pub(crate) fn guardian(&self) -> i32 {
        let found = eventually(|| process::children(self.pid(), "mcp-sup-guard").first().copied());
        found.unwrap_or_else(|| self.fail("there is no guardian"))
    }

    /// The process that keeps the terminal of the server, once it calls itself so.
    pub(crate) fn keeper(&self) -> i32 {
        let kept = |name: &str| process::children(self.pid(), name).first().copied();
        let found = eventually(|| kept("mcp-sup-tty").or_else(|| kept("mcp-sup-session")));
        found.unwrap_or_else(|| self.fail("nothing keeps the session"))
    }

    /// The processes of the servers that have started so far.
    pub(crate) fn servers(&self) -> Vec<i32> {
        self.file("pids").lines().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// What this server was sent, as it was read.
    pub(crate) fn heard(&self, server: i32) -> Vec<String> {
        let start = format!("{server} ");
        let log = fs::read(self.path("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        log.split('\n').filter_map(|line| line.strip_prefix(&start)).map(str::to_owned).collect()
    }

    /// Waits until this server was sent a line that contains this.
    pub(crate) fn until_heard(&self, server: i32, part: &str) {
        self.until(&format!("server {server} has read {part}"), || {
            self.heard(server).iter().any(|line| line.contains(part))
        });
    }

    /// Sends the supervisor a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.pid()), signal);
    }

    /// Waits for the supervisor's exit, and gives its code as a shell tells it.
    pub(crate) fn exit(&mut self) -> i32 {
        let status = match self.status {
            Some(status) => status,
            None => match eventually(|| self.child.try_wait().expect("it is our child")) {
                Some(status) => status,
                None => self.fail("the supervisor does not exit"),
            },
        };
        self.status = Some(status);
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
    }

    /// Ends the input, waits for the exit, and checks all that came. Gives the exit code.
    pub(crate) fn finish(&mut self) -> i32 {
        self.close_stdin();
        let code = self.exit();
        self.all_lines();
        code
    }

    /// Waits until this holds.
    pub(crate) fn until(&self, what: &str, holds: impl Fn() -> bool) {
        if eventually(|| holds().then_some(())).is_none() {
            self.fail(&format!("it does not come to be that {what}"));
        }
    }

    /// Waits until this process is gone.
    pub(crate) fn until_gone(&self, what: &str, pid: i32) {
        self.until(&format!("{what} ({pid}) is gone"), || process::is_gone(pid));
    }

    /// Fails the test with everything seen so far.
    pub(crate) fn fail(&self, what: &str) -> ! {
        let lines = self.stdout.as_ref().map(|stdout| stdout.now(Lines::shown)).unwrap_or_default();
        let log = fs::read(self.path("log")).unwrap_or_default();
        let log = message::shortened(&String::from_utf8_lossy(&log));
        let stderr = message::shortened(&self.stderr());
        panic!(
            "{what}\n--- stdout\n{lines}\n--- stderr\n{stderr}\n--- servers {:?} heard\n{log}\n---",
            self.servers()
        );
    }

    fn stdout(&self) -> &Reader<Lines> {
        self.stdout.as_ref().expect("stdout is no file")
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // The guardian ends the servers' groups; what left its group is known by what it said.
        let family = self.stderr();
        let told = family.lines().filter_map(|line| {
            let (kind, pid) = line.split_once(' ')?;
            matches!(kind, "grandchild" | "helper" | "escaped").then(|| pid.parse().ok()).flatten()
        });
        for pid in self.servers().into_iter().chain(told) {
            process::kill_fixture(pid);
        }
    }
}

/// Runs a thread whose panic is the test's.
pub(crate) fn join<T>(thread: thread::JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
