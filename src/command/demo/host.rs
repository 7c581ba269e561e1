//! The demo's host: speaks MCP to a supervisor that it has started, and counts what it asks and what it gets.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::BytesMut;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_util::codec::Decoder as _;

use super::server::{API_TOKEN, API_URL, STARTS_AFTER};
use super::stage::Stage;
use crate::child::{Process, Spec, spawn};
use crate::engine::io::{Exit, GroupSignal};
use crate::stream::{Sink, Source};
use crate::wire::{Line, LineCodec};

/// The longest line that the demo's server writes is far shorter than this, in bytes.
const MAX_LINE: usize = 1024 * 1024;
/// How much is read at once, in bytes.
const ROOM: usize = 8 * 1024;
/// How long a supervisor may take to end that was told to: twice what it promises, and a little more.
const SOON: Duration = Duration::from_secs(5);

/// What was asked, and what came back.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) greetings: u64,
    pub(super) requests: u64,
    pub(super) answers: u64,
    pub(super) kills: u64,
    /// Requests without an answer.
    pub(super) lost: u64,
    /// Answers beyond the first to one request.
    pub(super) doubled: u64,
}

impl Counts {
    pub(super) fn add(&mut self, other: &Self) {
        self.greetings += other.greetings;
        self.requests += other.requests;
        self.answers += other.answers;
        self.kills += other.kills;
        self.lost += other.lost;
        self.doubled += other.doubled;
    }
}

/// A server, and how it is supervised.
#[derive(Debug)]
pub(super) struct Plan {
    /// What the supervisor calls it.
    pub(super) name: &'static str,
    /// The options besides.
    pub(super) options: Vec<OsString>,
    pub(super) command: Vec<OsString>,
    /// How long the demo's own server takes to start. `None` for as long as it takes.
    pub(super) starts_after: Option<Duration>,
}

impl Plan {
    /// With the defaults.
    pub(super) fn new(name: &'static str, command: impl Into<Vec<OsString>>) -> Self {
        Self { name, options: Vec::new(), command: command.into(), starts_after: None }
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Host {
    process: Process,
    stdin: Option<Sink>,
    stdout: Source,
    stderr: Source,
    codec: LineCodec,
    buffer: BytesMut,
    /// What the supervisor wrote to stderr: shown when something goes wrong.
    log: BytesMut,
    answers: BTreeMap<u64, Vec<Value>>,
    notifications: Vec<String>,
    pub(super) counts: Counts,
}

impl Host {
    /// Starts the supervisor with this server.
    pub(super) fn start(stage: &Stage, plan: Plan) -> Result<Self> {
        let mut argv: Vec<OsString> =
            vec![stage.myself.clone(), "run".into(), "--name".into(), plan.name.into()];
        argv.extend(["--data-dir".into(), stage.folder().into()]);
        argv.extend(["--runtime-dir".into(), stage.folder().join("run").into()]);
        argv.extend(plan.options);
        argv.push("--".into());
        argv.extend(plan.command);
        // The story is that of the defaults, whatever the environment says.
        let options =
            std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"MCP_SUPERVISE_"));
        let mut env: Vec<_> = options.map(|(name, _)| (name, None)).collect();
        env.extend([API_URL, API_TOKEN].map(|name| (name.into(), None)));
        let delay = plan.starts_after.map(|delay| delay.as_millis().to_string().into());
        env.push((STARTS_AFTER.into(), delay));
        let child = spawn(&Spec { argv, env }, None).context("failed to start the supervisor")?;
        Ok(Self {
            process: child.process,
            stdin: child.stdin,
            stdout: child.stdout,
            stderr: child.stderr,
            codec: LineCodec::new(MAX_LINE),
            buffer: BytesMut::new(),
            log: BytesMut::new(),
            answers: BTreeMap::new(),
            notifications: Vec::new(),
            counts: Counts::default(),
        })
    }

    pub(super) async fn greet(&mut self) -> Result<Value> {
        let client = json!({"name": "demo-host", "version": env!("CARGO_PKG_VERSION")});
        let params = json!({"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client});
        let greeting = self.request("initialize", params).await?;
        self.counts.greetings += 1;
        self.write(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await?;
        Ok(greeting)
    }

    /// Calls a tool and waits for its result.
    pub(super) async fn call(&mut self, tool: &str, arguments: Value) -> Result<Value> {
        self.request("tools/call", json!({"name": tool, "arguments": arguments})).await
    }

    pub(super) async fn request(&mut self, method: &str, params: Value) -> Result<Value> {
        let id = self.send(method, params).await?;
        self.answer(id).await
    }

    /// Sends a request. Gives its id.
    pub(super) async fn send(&mut self, method: &str, params: Value) -> Result<u64> {
        let id = self.counts.requests;
        self.counts.requests += 1;
        self.answers.insert(id, Vec::new());
        self.write(&json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})).await?;
        Ok(id)
    }

    /// Waits for the result of this request.
    pub(super) async fn answer(&mut self, id: u64) -> Result<Value> {
        loop {
            if let Some(answer) = self.answers.get(&id).and_then(|answers| answers.first()) {
                ensure!(answer.get("error").is_none(), "unexpected error: {answer}");
                return Ok(answer["result"].clone());
            }
            self.read().await?;
        }
    }

    /// Waits for a notification with this method.
    pub(super) async fn notification(&mut self, method: &str) -> Result<()> {
        while !self.notifications.iter().any(|seen| seen == method) {
            self.read().await?;
        }
        Ok(())
    }

    /// Closes the connection, as a host does, and reads to the end. Gives the exit code and the counts.
    pub(super) async fn stop(&mut self) -> Result<(i32, Counts)> {
        self.stdin = None;
        while self.read_some().await? {}
        let exit = self.process.exited().await;
        let answered = |answers: &&Vec<Value>| !answers.is_empty();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        let mut counts = std::mem::take(&mut self.counts);
        counts.answers = count(self.answers.values().map(Vec::len).sum());
        counts.lost = counts.requests - count(self.answers.values().filter(answered).count());
        counts.doubled = counts.answers + counts.lost - counts.requests;
        let code = match exit {
            Exit::Code(code) => code,
            Exit::Signal(signal) => bail!("the supervisor was killed by signal {signal}"),
        };
        Ok((code, counts))
    }

    /// Done with a supervisor that has ended.
    pub(super) fn forget(self) {
        self.process.forget(true);
    }

    /// Ends the supervisor, wherever it is in the story. It ends what it has started.
    pub(super) async fn abandon(mut self) {
        // Nothing can be done about one that cannot be signalled.
        let _ = self.process.signal(GroupSignal::Term);
        if timeout(SOON, self.process.exited()).await.is_err() {
            let _ = self.process.signal(GroupSignal::Kill);
        }
        self.forget();
    }

    async fn write(&mut self, message: &Value) -> Result<()> {
        let stdin = self.stdin.as_mut().context("the connection is closed")?;
        stdin.write_all(format!("{message}\n").as_bytes()).await.context("failed to write to the supervisor")
    }

    async fn read(&mut self) -> Result<()> {
        if self.read_some().await? {
            return Ok(());
        }
        bail!("the connection ended; the supervisor said:\n{}", String::from_utf8_lossy(&self.log));
    }

    /// Reads once, and takes in every message of it. `false` at the end.
    async fn read_some(&mut self) -> Result<bool> {
        self.buffer.reserve(ROOM);
        self.log.reserve(ROOM);
        let mut log_open = true;
        let count = loop {
            tokio::select! {
                read = self.stdout.read_buf(&mut self.buffer) => break read?,
                read = self.stderr.read_buf(&mut self.log), if log_open => log_open = read? > 0,
            }
        };
        while let Some(line) = self.codec.decode(&mut self.buffer)? {
            let Line::Whole(line) = line else { bail!("a line is too long") };
            self.take(&line)?;
        }
        Ok(count > 0)
    }

    fn take(&mut self, line: &[u8]) -> Result<()> {
        let message: Value = serde_json::from_slice(line).context("what came is no JSON")?;
        ensure!(message["jsonrpc"] == "2.0", "what came is no MCP message: {message}");
        if let Some(method) = message["method"].as_str() {
            self.notifications.push(method.to_owned());
            return Ok(());
        }
        let id = message["id"].as_u64().with_context(|| format!("an answer without id: {message}"))?;
        self.answers.get_mut(&id).with_context(|| format!("an answer to nothing: {message}"))?.push(message);
        Ok(())
    }
}
