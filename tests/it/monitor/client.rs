//! A running monitor, and what it answers: plain sockets, so that a test can send what no client would.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tungstenite::client::IntoClientRequest as _;
use tungstenite::{Message, WebSocket};

use crate::support::Plan;
use crate::support::process::{WATCHDOG, deadline, eventually, left};

/// The program as `monitor`, with the directories of this plan.
pub(crate) fn command(plan: &Plan, options: &[&str]) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the program under test")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_mcp-supervise"));
    for (name, _) in
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MCP_SUPERVISE_"))
    {
        command.env_remove(name);
    }
    command.arg("monitor").args(options);
    command.arg("--data-dir").arg(plan.path("data")).arg("--runtime-dir").arg(plan.path("run"));
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// A monitor over the supervisors of one plan.
pub(crate) struct Monitor {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The head, in lower case.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Monitor {
    /// On a free port of loopback.
    pub(crate) fn of(plan: &Plan) -> Self {
        Self::with(plan, &["--listen", "127.0.0.1:0"])
    }

    pub(crate) fn with(plan: &Plan, options: &[&str]) -> Self {
        let mut child = command(plan, options).spawn().expect("the program was built for this test");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("it is UTF-8");
        let address = line.strip_prefix("monitor: http://").and_then(|rest| rest.strip_suffix("/\n"));
        let mut address: SocketAddr =
            address.unwrap_or_else(|| panic!("it says {line:?}")).parse().expect("an address");
        if address.ip().is_unspecified() {
            address.set_ip([127, 0, 0, 1].into());
        }
        Self { child, address }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("it listens");
        stream.set_read_timeout(Some(WATCHDOG)).expect("it is a socket");
        stream
    }

    /// Sends this, and gives the answer.
    pub(crate) fn raw(&self, request: &[u8]) -> Answer {
        let mut stream = self.connect();
        // It may answer, and close, before it has read everything.
        let _ = stream.write_all(request);
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8(bytes).expect("it is UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    /// Asks with these headers: `POST /path`, or `/path` to get it. The `Host` is the monitor's own unless one is given.
    pub(crate) fn ask(&self, target: &str, headers: &[(&str, &str)]) -> Answer {
        let (method, path) = target.split_once(' ').unwrap_or(("GET", target));
        let host = self.address.to_string();
        let own = headers.iter().all(|(name, _)| !name.eq_ignore_ascii_case("host"));
        let own = own.then_some(("Host", host.as_str()));
        let lines = own.iter().chain(headers).map(|(name, value)| format!("{name}: {value}\r\n"));
        let lines: String = lines.collect::<Vec<_>>().concat();
        self.raw(format!("{method} {path} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n").as_bytes())
    }

    /// What is at this path, which must be there.
    pub(crate) fn get(&self, path: &str) -> String {
        let answer = self.ask(path, &[]);
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.body
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path)).expect("it is JSON")
    }

    /// The rows of the sessions of this status.
    pub(crate) fn sessions(&self, status: &str) -> Vec<Value> {
        let sessions = self.json(&format!("/api/sessions?status={status}"))["sessions"].take();
        sessions.as_array().expect("a list").clone()
    }

    /// The token of this run, as the page has it.
    pub(crate) fn token(&self) -> String {
        let page = self.get("/");
        let rest = page.split("name=\"monitor-token\" content=\"").nth(1).expect("the page has it");
        rest.split('"').next().unwrap_or_default().to_owned()
    }

    /// Orders a restart, with the token.
    pub(crate) fn restart(&self, id: &str) -> Answer {
        self.ask(&format!("POST /api/sessions/{id}/restart"), &[("X-Monitor-Token", &self.token())])
    }

    /// Listens from now on.
    pub(crate) fn listen(&self) -> Ear {
        self.listen_on(self.connect()).unwrap_or_else(|error| panic!("no handshake: {error}"))
    }

    pub(crate) fn listen_on(&self, stream: TcpStream) -> Result<Ear, tungstenite::Error> {
        let request = format!("ws://{}/ws/sessions", self.address).into_client_request()?;
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => Ok(Ear { socket, heard: Vec::new() }),
            Err(tungstenite::HandshakeError::Failure(error)) => Err(error),
            Err(tungstenite::HandshakeError::Interrupted(_)) => panic!("the handshake takes too long"),
        }
    }

    /// Waits until this line is among the metrics.
    pub(crate) fn until_metric(&self, line: &str) {
        let has = || self.get("/metrics").lines().any(|found| found == line).then_some(());
        assert!(eventually(has).is_some(), "{line} is not in {}", self.get("/metrics"));
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().cast_signed()), signal).expect("it runs");
    }

    /// Waits for its exit.
    pub(crate) fn exit(&mut self) -> Option<i32> {
        eventually(|| self.child.try_wait().expect("it is our child")).expect("it does not exit").code()
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Who listens over a WebSocket.
pub(crate) struct Ear {
    socket: WebSocket<TcpStream>,
    /// All that was heard so far.
    pub(crate) heard: Vec<Value>,
}

impl Ear {
    /// The next message.
    pub(crate) fn next(&mut self) -> Value {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    let message: Value = serde_json::from_str(&text).expect("it is JSON");
                    self.heard.push(message.clone());
                    return message;
                }
                Ok(_) => {}
                Err(error) => panic!("{error} after {:#?}", self.heard),
            }
        }
    }

    /// Waits for a message of this type for which this holds.
    pub(crate) fn wait(&mut self, kind: &str, holds: impl Fn(&Value) -> bool) -> Value {
        // Something always comes: the watchdog of the stream is not enough.
        let deadline = deadline();
        while left(deadline).is_some() {
            let message = self.next();
            if message["type"] == kind && holds(&message) {
                return message;
            }
        }
        panic!("no such {kind} in {:#?}", self.heard);
    }

    /// Waits for the row of a session that has changed to this.
    pub(crate) fn updated(&mut self, holds: impl Fn(&Value) -> bool) -> Value {
        self.wait("session_updated", |message| holds(&message["session"]))["session"].take()
    }

    /// Waits for an event of this kind.
    pub(crate) fn event(&mut self, kind: &str) -> Value {
        self.wait("session_event", |message| message["event"]["kind"] == kind)
    }
}
