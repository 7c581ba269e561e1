//! One process, as a host has it: starts it, asks it, hears it, and sees it leave.
//!
//! Hears whatever comes on stdout and writes down what should not have come (`hear`). Decides nothing about it.

mod hear;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, sleep, sleep_until};

use super::nearly::Pieces;
use super::seen::{Answer, Death, Ending, Era, Output, Tally, Way};
use crate::child::{Guardian, Left, Process, Spec, Tail, end, left_of, spawn};
use crate::engine::io::{Exit, GroupSignal};
use crate::mask::Mask;
use crate::stream::{Sink, Source};
use crate::wire::{Id, LineCodec};

/// The newest revision of each era.
pub(super) const LEGACY: &str = "2025-11-25";
pub(super) const MODERN: &str = "2026-07-28";
/// How long hosts wait after each step of their ladder.
const HOSTS_WAIT: Duration = Ending::HOSTS_WAIT;
/// How long what a process has started may take to follow it: as long as servers save, and longer.
const FOLLOWING: Duration = Duration::from_secs(10);
/// What was written before the end is read for this long after it.
const DRAIN: Duration = Duration::from_millis(150);
/// Between two looks at that.
const LOOK: Duration = Duration::from_millis(10);
/// Of answers to its own requests no more than this waits for a process that does not read, in bytes.
const OUTBOX: usize = 1024 * 1024;
/// The longest line that is read, in bytes.
const MAX_LINE: usize = 64 * 1024 * 1024;
/// How much is read at once, in bytes.
const ROOM: usize = 64 * 1024;
/// The variable by which what a server has started is known again.
const MARK: &str = "CHECKED_BY_MCP_SUPERVISE";

/// What is started, and how.
#[derive(Debug)]
pub(super) struct Start<'s> {
    pub(super) argv: Vec<OsString>,
    /// Variables to set, or to leave out.
    pub(super) env: Vec<(OsString, Option<OsString>)>,
    pub(super) guardian: Option<&'s Guardian>,
    /// How long an answer may take.
    pub(super) patience: Duration,
    /// What is shown of it is shown in pieces, and a piece of a secret is not known for one.
    pub(super) mask: Mask,
    /// Whether something has stayed behind already, for as long as that is waited for. It is not waited for so long again.
    pub(super) stays: Rc<Cell<bool>>,
}

/// A running process.
#[derive(Debug)]
pub(super) struct Peer {
    process: Process,
    born: Instant,
    mark: String,
    era: Era,
    patience: Duration,
    mask: Mask,
    stdin: Option<Sink>,
    stdout: Source,
    stderr: Source,
    stdout_open: bool,
    stderr_open: bool,
    exit: Option<Exit>,
    /// When that was seen.
    ended: Option<Instant>,
    /// When the end of its stdout was seen.
    closed: Option<Instant>,
    stays: Rc<Cell<bool>>,
    codec: LineCodec,
    /// Lines that may belong to a message over several, and how they count if they do not.
    pieces: Pieces,
    held: Tally,
    heard: BytesMut,
    errors: BytesMut,
    tail: Tail,
    /// What is still to be written.
    outbox: BytesMut,
    next_id: u64,
    /// What is asked to see whether it is there. `None` for `ping`.
    pings: Option<&'static str>,
    /// The ids of all requests, and those that wait for no answer any more.
    asked: BTreeSet<Id>,
    answers: BTreeMap<Id, Value>,
    answered: BTreeSet<Id>,
    /// Those that progress was asked for.
    tracked: BTreeSet<Id>,
    /// An answer that fits no request, as its id and what it says, which came since the last request.
    instead: Option<(String, Value, Instant)>,
    /// Its input has ended.
    closing: bool,
    /// It was sent SIGTERM.
    terminated: bool,
    greeted: bool,
    pub(super) output: Output,
}

impl Peer {
    /// Starts it. An error is why it cannot be started, in the system's words.
    pub(super) fn start(start: &Start<'_>, era: Era) -> Result<Self, String> {
        let mark = uuid::Uuid::now_v7().to_string();
        let mut env = start.env.clone();
        env.push((MARK.into(), Some((&mark).into())));
        let spec = Spec { argv: start.argv.clone(), env };
        let child = spawn(&spec, start.guardian).map_err(|error| error.message)?;
        Ok(Self {
            process: child.process,
            born: Instant::now(),
            mark,
            era,
            patience: start.patience,
            mask: start.mask.clone(),
            stdin: child.stdin,
            stdout: child.stdout,
            stderr: child.stderr,
            stdout_open: true,
            stderr_open: true,
            exit: None,
            ended: None,
            closed: None,
            stays: Rc::clone(&start.stays),
            codec: LineCodec::new(MAX_LINE),
            pieces: Pieces::default(),
            held: Tally::default(),
            heard: BytesMut::new(),
            errors: BytesMut::new(),
            tail: Tail::default(),
            outbox: BytesMut::new(),
            next_id: 0,
            pings: None,
            asked: BTreeSet::new(),
            answers: BTreeMap::new(),
            answered: BTreeSet::new(),
            tracked: BTreeSet::new(),
            instead: None,
            closing: false,
            terminated: false,
            greeted: false,
            output: Output::default(),
        })
    }

    /// Whether it has ended, as far as is known.
    pub(super) fn has_ended(&self) -> bool {
        self.exit.is_some()
    }

    /// Opens the conversation, in the era's way and with this version. The time of the answer is that since the start of the
    /// process, if nothing was asked before.
    pub(super) async fn open(&mut self, version: &str) -> Answer {
        let began = if self.next_id == 0 { self.born } else { Instant::now() };
        let id = self.next();
        match self.era {
            Era::Legacy => {
                let params = json!({"protocolVersion": version, "capabilities": {}, "clientInfo": client()});
                self.send(&id, "initialize", params);
            }
            Era::Modern => self.send(&id, "server/discover", json!({})),
        }
        let answer = self.answer(&id, began, self.patience).await;
        if matches!(answer, Answer::Result { .. }) && self.era == Era::Legacy {
            self.tell(json!({"jsonrpc": "2.0", "method": "notifications/initialized"}).to_string());
        }
        answer
    }

    /// What shows that it is there.
    pub(super) async fn ping(&mut self) -> Answer {
        self.ask(self.pinging(), json!({})).await
    }

    fn pinging(&self) -> &'static str {
        match self.era {
            Era::Legacy => self.pings.unwrap_or("ping"),
            Era::Modern => "server/discover",
        }
    }

    /// Asks with this method instead of `ping`, which it does not answer.
    pub(super) fn ping_by(&mut self, method: &'static str) {
        self.pings = Some(method);
    }

    /// Sends a request, and waits for its answer.
    pub(super) async fn ask(&mut self, method: &str, params: Value) -> Answer {
        let id = self.next();
        self.send(&id, method, params);
        self.answer(&id, Instant::now(), self.patience).await
    }

    /// Calls a tool, with progress wanted, as hosts do, and waits for its answer.
    pub(super) async fn call(&mut self, tool: &str, arguments: &Value) -> Answer {
        let id = self.next();
        let token: Value = serde_json::from_str(&id.to_json()).unwrap_or_default();
        let params = json!({"name": tool, "arguments": arguments, "_meta": {"progressToken": token}});
        self.tracked.insert(id.clone());
        self.send(&id, "tools/call", params);
        self.answer(&id, Instant::now(), self.patience).await
    }

    /// Hears for this long what comes unasked.
    pub(super) async fn listen(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while matches!(self.step(until).await, Step::Heard) {}
    }

    /// The answer to what clients of the new revision begin with. It is waited for as long as they do.
    pub(super) async fn probe_opening(&mut self, patience: Duration) -> Answer {
        let id = self.next();
        self.send(&id, "server/discover", json!({}));
        self.answer(&id, self.born, patience.min(self.patience)).await
    }

    /// Goes on in another way.
    pub(super) fn speak(&mut self, era: Era) {
        self.era = era;
    }

    /// A ping with this id, as JSON.
    pub(super) async fn ping_as(&mut self, id: &str) -> Answer {
        let id = Id::from_json(id).unwrap_or_else(|| self.next());
        self.send(&id, self.pinging(), json!({}));
        self.answer(&id, Instant::now(), self.patience).await
    }

    /// Answers one of its requests, unless it does not read.
    fn reply(&mut self, line: &str) {
        if self.outbox.len() < OUTBOX {
            self.tell(line);
        }
    }

    /// Writes a line as it is.
    pub(super) fn tell(&mut self, line: impl AsRef<[u8]>) {
        self.outbox.extend_from_slice(line.as_ref());
        self.outbox.extend_from_slice(b"\n");
    }

    fn next(&mut self) -> Id {
        let id = self.next_id.to_string();
        self.next_id += 1;
        Id::from_json(&id).unwrap_or_else(|| unreachable!("a number is an id"))
    }

    fn send(&mut self, id: &Id, method: &str, mut params: Value) {
        if self.era == Era::Modern {
            let meta = &mut params["_meta"];
            meta["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
            meta["io.modelcontextprotocol/clientInfo"] = client();
            meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
        }
        let method = Value::from(method);
        self.tell(format!(
            r#"{{"jsonrpc":"2.0","id":{},"method":{method},"params":{params}}}"#,
            id.to_json()
        ));
        self.asked.insert(id.clone());
    }

    async fn answer(&mut self, id: &Id, began: Instant, patience: Duration) -> Answer {
        let until = began + patience;
        let before = (self.output.unasked.count, self.output.twice.count);
        self.instead = None;
        loop {
            if let Some(answer) = self.answers.remove(id) {
                return outcome(answer, began.elapsed());
            }
            // One that has closed its stdout answers no more, and may be about to end.
            let closing = self.closed.map(|closed| closed + HOSTS_WAIT);
            let instead = self.instead.as_ref().map(|(_, _, came)| *came + HOSTS_WAIT);
            let until = [closing, instead].into_iter().flatten().fold(until, Instant::min);
            match self.step(until).await {
                Step::Heard => {}
                Step::Late => {
                    if let Some((got, answer, _)) = self.instead.take() {
                        // It belongs to this request; a number that was used before is among such ids.
                        self.output.unasked.take_from(before.0);
                        self.output.twice.take_from(before.1);
                        self.output.renamed.add(|| format!("{}, and one to {got} did", id.to_json()));
                        self.answered.insert(id.clone());
                        self.greeted |= answer.get("result").is_some();
                        return outcome(answer, began.elapsed());
                    }
                    if closing.is_some() {
                        return Answer::Gone(self.death());
                    }
                    return Answer::Silence(patience);
                }
                // The last of it may have been the answer.
                Step::Ended if self.answers.contains_key(id) => {}
                Step::Ended => return Answer::Gone(self.death()),
            }
        }
    }

    fn death(&self) -> Death {
        let how = self.exit.map_or_else(
            || "it closed its stdout, and lives on".to_owned(),
            |exit| format!("it ended with {exit}"),
        );
        Death { how, stderr: self.said() }
    }

    /// The last that it has written to stderr.
    pub(super) fn said(&self) -> String {
        self.mask.apply(self.tail.text().trim_end()).into_owned()
    }

    /// Waits for whatever comes first, and takes it in.
    async fn step(&mut self, until: Instant) -> Step {
        let now = Instant::now();
        // One that has ended can have left its pipes to another process.
        let over = self.ended.map(|ended| ended + DRAIN);
        let read_to_the_end = !self.stdout_open && !self.stderr_open;
        if over.is_some_and(|over| read_to_the_end || now >= over) {
            return Step::Ended;
        }
        if now >= until {
            return Step::Late;
        }
        let until = over.map_or(until, |over| over.min(until));
        self.heard.reserve(ROOM);
        self.errors.reserve(ROOM);
        let read = tokio::select! {
            read = self.stdout.read_buf(&mut self.heard), if self.stdout_open => Some(read.unwrap_or(0)),
            read = self.stderr.read_buf(&mut self.errors), if self.stderr_open => {
                self.stderr_open = read.unwrap_or(0) > 0;
                self.tail.push(&self.errors);
                self.errors.clear();
                None
            }
            written = write(&mut self.stdin, &self.outbox), if !self.outbox.is_empty() => {
                let done = written.unwrap_or(self.outbox.len());
                let _ = self.outbox.split_to(done);
                None
            }
            exit = self.process.exited(), if self.exit.is_none() => {
                self.exit = Some(exit);
                self.ended = Some(Instant::now());
                None
            }
            () = sleep_until(until) => None,
        };
        match read {
            Some(0) => {
                self.stdout_open = false;
                self.closed = Some(Instant::now());
                self.finish();
            }
            Some(_) => self.take_all(),
            None => {}
        }
        Step::Heard
    }

    /// Has it leave in this way, as hosts do, and sees to it that nothing of it is there afterwards.
    pub(super) async fn leave(mut self, way: Way) -> (Output, Ending) {
        let ended_before = self.has_ended();
        let began = Instant::now();
        let (mut took, mut obeyed_term) = (None, None);
        match way {
            Way::EndOfInput if !ended_before => {
                self.write_out().await;
                self.stdin = None;
                self.let_go();
                self.closing = true;
                took = self.gone_within(HOSTS_WAIT).await.then(|| began.elapsed());
                if took.is_none() {
                    self.terminate();
                    obeyed_term = Some(self.gone_within(HOSTS_WAIT).await);
                }
            }
            Way::Term if !ended_before => {
                self.terminate();
                took = self.gone_within(HOSTS_WAIT).await.then(|| began.elapsed());
            }
            Way::EndOfInput | Way::Term | Way::Unasked => {}
        }
        let asked = if ended_before { Way::Unasked } else { way };
        let left_by_itself = self.has_ended();
        let (mut left, mut rest) = (Vec::new(), None);
        if left_by_itself {
            // A host has closed its side by then: what `npx` has started, and does not pass SIGTERM on to, sees that.
            self.stdin = None;
            self.drain().await;
            left = self.left_behind().await;
            rest = (left.is_empty() && asked != Way::Unasked).then(|| began.elapsed());
        }
        let _ = self.process.signal(GroupSignal::Kill);
        if !left_by_itself {
            // Not even a process that cannot be killed holds this up.
            self.gone_within(HOSTS_WAIT).await;
            self.drain().await;
        }
        self.let_go();
        self.process.forget(false);
        (self.output, Ending { asked, took, obeyed_term, rest, left })
    }

    fn terminate(&mut self) {
        // What is held was written before.
        self.let_go();
        self.terminated = true;
        let _ = self.process.terminate_leader();
    }

    /// Gives it what was still to be written, if it reads.
    async fn write_out(&mut self) {
        let until = Instant::now() + DRAIN;
        while !self.outbox.is_empty() && self.stdin.is_some() {
            if !matches!(self.step(until).await, Step::Heard) {
                return;
            }
        }
    }

    async fn gone_within(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        while self.exit.is_none() {
            if matches!(self.step(until).await, Step::Late) {
                return false;
            }
        }
        true
    }

    async fn drain(&mut self) {
        let until = Instant::now() + DRAIN;
        while self.stdout_open && matches!(self.step(until).await, Step::Heard) {}
    }

    async fn left_behind(&self) -> Vec<String> {
        let patience = if self.stays.get() { HOSTS_WAIT } else { FOLLOWING };
        let until = Instant::now() + patience;
        loop {
            let left = left_of(self.process.pid(), self.process.group(), (MARK, &self.mark));
            if left.is_empty() || Instant::now() >= until {
                let told = |it: &Left| match it.pid {
                    Some(pid) => format!("{} ({pid})", it.name),
                    None => "a process of its group".to_owned(),
                };
                self.stays.set(self.stays.get() || !left.is_empty());
                end(&left);
                return left.iter().map(told).collect();
            }
            sleep(LOOK).await;
        }
    }
}

/// What an answer comes to. One with both is a result to clients that take it at all.
fn outcome(mut answer: Value, after: Duration) -> Answer {
    if answer.get("error").is_none_or(Value::is_null) || !answer["result"].is_null() {
        return Answer::Result { value: answer["result"].take(), after };
    }
    let error = &answer["error"];
    Answer::Error {
        code: error["code"].as_i64(),
        message: error["message"].as_str().unwrap_or_default().to_owned(),
    }
}

/// What came of waiting.
enum Step {
    Heard,
    Late,
    Ended,
}

/// How much was written. Whoever has closed its stdin gets no more.
async fn write(stdin: &mut Option<Sink>, bytes: &[u8]) -> std::io::Result<usize> {
    match stdin {
        Some(stdin) => stdin.write(bytes).await,
        None => Ok(bytes.len()),
    }
}

fn client() -> Value {
    json!({"name": "mcp-supervise-check", "version": env!("CARGO_PKG_VERSION")})
}
