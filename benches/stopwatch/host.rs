//! The host of the measurements: starts a chain of processes and talks to its end, with blocking calls.

use std::env;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use mcp_supervise::cli;

use crate::release;
use crate::server::{HEAD, PAD, TAIL};

/// What is between the host and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Between {
    /// Nothing.
    Direct,
    /// The byte copy.
    Copy,
    /// The supervisor.
    Supervisor,
    /// The supervisor in a program that counts its allocations.
    Counted,
}

/// What the host talks through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Through {
    /// A pipe for each direction, as shells and most SDKs give them.
    Pipes,
    /// A pair of sockets for each direction, as Node gives them.
    Sockets,
}

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// The one that does as little as a server can.
    Least,
    /// The one that is made with an SDK.
    Sdk,
}

/// A running chain: what the host started, and the two ends that it holds.
#[derive(Debug)]
pub(crate) struct Chain {
    pub(crate) process: Child,
    pub(crate) to: Option<File>,
    pub(crate) from: File,
    buffer: Vec<u8>,
    next_id: u64,
    line: Vec<u8>,
}

/// A folder for what the measured supervisors keep. Removed when it is dropped.
pub(crate) fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// The command line of a chain.
pub(crate) fn command(between: Between, server: Server, options: &[&str], counts: &Path) -> Vec<OsString> {
    let this = env::current_exe().expect("the program knows its own path").into_os_string();
    let serve = match server {
        Server::Least => "--serve",
        Server::Sdk => "--serve-sdk",
    };
    let serve = [this.clone(), serve.into()];
    let mut command: Vec<OsString> = match between {
        Between::Direct => Vec::new(),
        Between::Copy => vec![this, "--copy".into()],
        Between::Supervisor => vec![release::binary().into()],
        Between::Counted => vec![this, "--counted".into(), counts.into()],
    };
    if matches!(between, Between::Supervisor | Between::Counted) {
        command.extend(options.iter().map(Into::into));
        command.extend(["--runtime-dir".into(), counts.with_file_name("run").into()]);
        command.push("--".into());
    }
    command.extend(serve);
    command
}

impl Chain {
    /// Starts a chain; nothing is said to it yet.
    pub(crate) fn start(
        between: Between,
        server: Server,
        through: Through,
        options: &[&str],
        folder: &Path,
    ) -> Self {
        let words = command(between, server, options, &folder.join("counts"));
        #[expect(clippy::disallowed_methods, reason = "the host is a program of its own")]
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env("HOME", folder).env("XDG_STATE_HOME", folder);
        // As in most hosts' configs, nothing is set by the environment: reading that costs a little more.
        for (name, _) in env::vars_os().filter(|(name, _)| cli::is_setting(name)) {
            command.env_remove(name);
        }
        let (to, from) = match through {
            Through::Pipes => {
                command.stdin(Stdio::piped()).stdout(Stdio::piped());
                (None, None)
            }
            Through::Sockets => {
                let (to, stdin) = UnixStream::pair().expect("sockets can be made");
                let (from, stdout) = UnixStream::pair().expect("sockets can be made");
                command.stdin(OwnedFd::from(stdin)).stdout(OwnedFd::from(stdout));
                (Some(File::from(OwnedFd::from(to))), Some(File::from(OwnedFd::from(from))))
            }
        };
        let mut process = command.spawn().expect("the chain starts");
        // The ends that went to the chain are closed here with the command.
        drop(command);
        let to = to.or_else(|| process.stdin.take().map(|to| File::from(OwnedFd::from(to))));
        let from = from.or_else(|| process.stdout.take().map(|from| File::from(OwnedFd::from(from))));
        let from = from.expect("one of the two was made");
        Self { process, to, from, buffer: vec![0; 64 * 1024], next_id: 0, line: Vec::new() }
    }

    /// Starts a chain and greets the server.
    pub(crate) fn greeted(between: Between, through: Through, options: &[&str], folder: &Path) -> Self {
        let mut chain = Self::start(between, Server::Least, through, options, folder);
        chain.greet();
        chain
    }

    /// The same with a server that is made with an SDK, through pipes.
    pub(crate) fn greeted_sdk(between: Between, folder: &Path) -> Self {
        let mut chain = Self::start(between, Server::Sdk, Through::Pipes, &[], folder);
        chain.greet();
        chain
    }

    /// Greets, and waits for the answer.
    pub(crate) fn greet(&mut self) {
        self.ask(r#""method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"bench","version":"1"}}"#);
        self.write(b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}\n");
    }

    /// Makes a request of its own with these members, and gives the line of the answer.
    pub(crate) fn ask(&mut self, members: &str) -> String {
        let line = format!("{}{},{members}}}\n", String::from_utf8_lossy(HEAD), self.take_id());
        self.write(line.as_bytes());
        let count = self.read_line();
        String::from_utf8_lossy(&self.buffer[..count]).into_owned()
    }

    /// The pid of the server that answers.
    pub(crate) fn server(&mut self) -> i32 {
        let answer = self.ask(r#""method":"tools/list""#);
        let title = answer.split(r#""title":""#).nth(1).and_then(|rest| rest.split('"').next());
        title.and_then(|pid| pid.parse().ok()).expect("the list tells who answers")
    }

    /// Makes one call whose line is about this long, and waits for its answer.
    pub(crate) fn call(&mut self, size: usize) {
        let mut line = std::mem::take(&mut self.line);
        let id = self.take_id();
        line.clear();
        push_call(&mut line, id, size);
        self.write(&line);
        self.line = line;
        let count = self.read_line();
        assert!(
            self.buffer[..count]
                .strip_prefix(HEAD)
                .is_some_and(|rest| rest.starts_with(id.to_string().as_bytes())),
            "an answer to another request",
        );
    }

    /// A new id.
    pub(crate) fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) {
        self.to.as_mut().expect("the chain was not told to end").write_all(bytes).expect("the chain reads");
    }

    /// Reads one line, which must be all that comes. Gives its length.
    fn read_line(&mut self) -> usize {
        let mut filled = 0;
        loop {
            if filled == self.buffer.len() {
                self.buffer.resize(filled * 2, 0);
            }
            let count = self.from.read(&mut self.buffer[filled..]).expect("the chain answers");
            assert!(count > 0, "the chain has ended");
            filled += count;
            if self.buffer[filled - 1] == b'\n' {
                return filled;
            }
        }
    }

    /// Tells the chain to end and waits until it has.
    pub(crate) fn end(mut self) {
        self.to = None;
        let status = self.process.wait().expect("the chain is ours");
        assert!(status.success(), "the chain has ended with {status}");
    }

    /// A line of /proc/PID/status of what the host started, in KiB. `None` where the system has none.
    pub(crate) fn memory(&self, name: &str) -> Option<u64> {
        let path = PathBuf::from(format!("/proc/{}/status", self.process.id()));
        let status = fs::read_to_string(path).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    }
}

/// Appends the line of a call. It is `size` bytes long, or as short as a call can be.
pub(crate) fn push_call(line: &mut Vec<u8>, id: u64, size: usize) {
    let begin = line.len();
    line.extend_from_slice(HEAD);
    line.extend_from_slice(id.to_string().as_bytes());
    line.extend_from_slice(br#","method":"tools/call","params":{"name":"echo","arguments":{"#);
    line.extend_from_slice(PAD);
    let rest = TAIL.len() + 1;
    line.resize((begin + size).saturating_sub(rest).max(line.len()), b'x');
    line.extend_from_slice(TAIL);
    line.push(b'\n');
}
