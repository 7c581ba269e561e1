//! Conversations as text: `fixtures/session/*.txt`, one behaviour a file, its first line says which.
//!
//! A file is a list of inputs, each followed by what the engine puts out, indented. The test plays the inputs to the
//! engine in virtual time and compares the whole file; `SNAPSHOTS=overwrite cargo test --test it conversation` writes
//! the outputs anew when behaviour changes on purpose.
//!
//! The inputs about the session token are in `session`. The others: `config KEY=VALUE...`, `host LINE`, `server [GEN]
//! LINE`, `answer ID RESULT` (the server answers), `greet [VERSION] [CAPABILITIES]` (the whole handshake), `regreet
//! [VERSION]` (the server answers a replayed greeting), `runs WORDS` (the command line, `\s` for a blank in a word),
//! `stderr TEXT`, `unsent N` (the last N lines for the server never left us), `exit code N`, `exit signal N` (with
//! all its output read), `exited ...` and `silent` (the two apart), `modern ID METHOD [MEMBERS]` (a host's request in
//! the envelope of the modern era, `MEMBERS` of its params before it), `acknowledge ID FILTER` (the server accepts a
//! listening stream), `last-good ERA VERSION METHOD CURSOR RESULT` (`recall` hands all of them to the engine together;
//! `-` for no cursor), `login-path PATH`, `login-fails REASON`, `changed watched`, `changed executable`, `stopped
//! SIGTTIN` (or another signal, or `behind` for another process of its group) and `running` (the child's process is
//! inspected), `changing DURATION` (the watched files change every 100 ms), `spawn-fails KIND TEXT` (the next spawn; a number says how much of the command is a program),
//! `times N DIRECTIVE`, `unseen DIRECTIVE` (without what the engine puts out), `mute`, `deaf`, `eof`, `gone`, `stop
//! [TERM|INT|HUP]`, `orphaned nobody|other|unknown` (the process that started us is gone; the word says which process
//! holds the other end of our stdin), `restart [now]`, `helpers on` and `helpers off` (whether the server's group has
//! other processes; looks at it are not shown), `unread on` and `unread off` (whether the server leaves its input unread;
//! likewise), `wait DURATION`. In a line, `\xNN` is a byte, and `LINE*N` repeats its last character. Comments start with `#`.

mod session;

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mcp_supervise::engine::io::{
    Changed, Era, Exit, Gen, Good, GroupSignal, Holder, Input, LoginPath, Now, Order, Origin, Output,
    SpawnFault, StopSignal, StoppedBy, Whom,
};
use mcp_supervise::engine::note::Note;
use mcp_supervise::engine::{Config, Engine, Repeat};
use mcp_supervise::wire::{Line, LineCodec};
use tokio_util::codec::Decoder as _;

/// The capabilities of the server in `greet`.
const CAPABILITIES: &str = r#"{"tools":{"listChanged":true},"resources":{"listChanged":true,"subscribe":true},"prompts":{"listChanged":true},"logging":{},"completions":{},"tasks":{}}"#;
/// The envelope of the modern requests of the host in `modern` and `listen`.
const ENVELOPE: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"h","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;

/// What goes in and out at one moment of a conversation.
#[derive(Debug)]
pub(crate) enum Event {
    /// The host says this line.
    Host(Vec<u8>),
    /// The host is told this, and by whom.
    ToHost(Bytes, Origin),
    /// A child is told this.
    ToChild(Gen, Bytes),
    /// A server has given this result in an earlier run.
    Recalled(Bytes),
}

struct Stage {
    config: Config,
    engine: Option<Engine>,
    now: Duration,
    max_line: usize,
    spawn_fault: VecDeque<(SpawnFault, String)>,
    stderr: String,
    /// What the living child was sent, and how many of the last of it will turn out not to have left us.
    sent: Vec<Bytes>,
    unsent: usize,
    child: Gen,
    /// The id of the last greeting that the living child was sent.
    greeting_id: String,
    last_good: Vec<Good>,
    /// The look at the token file that was asked for and is not answered.
    look: Option<u64>,
    /// Whether the child's group has processes beside its leader.
    helpers: bool,
    /// Whether the living child leaves its input unread.
    unread: bool,
    /// Whether what is to be kept on disk is shown.
    remembers: bool,
    /// Whether notes that a server is back are shown.
    tells_back: bool,
    text: String,
    events: Vec<Event>,
}

impl Stage {
    fn new() -> Self {
        Self {
            config: Config {
                name: "demo".to_owned(),
                command: "npx demo-server".to_owned(),
                // Only what is about pings shows them.
                ping_interval: Duration::ZERO,
                bare_command: false,
                ..Config::default()
            },
            engine: None,
            now: Duration::ZERO,
            max_line: 64 * 1024 * 1024,
            spawn_fault: VecDeque::new(),
            stderr: String::new(),
            sent: Vec::new(),
            unsent: 0,
            child: Gen(0),
            greeting_id: String::new(),
            last_good: Vec::new(),
            look: None,
            helpers: false,
            unread: false,
            remembers: false,
            tells_back: false,
            text: String::new(),
            events: Vec::new(),
        }
    }

    fn now(&self) -> Now {
        Now { mono: self.now, wall: Duration::from_secs(1_700_000_000) + self.now }
    }

    fn start(&mut self) {
        if self.engine.is_none() {
            self.engine = Some(Engine::new(self.config.clone(), self.now()));
            self.drain();
        }
    }

    fn input(&mut self, input: Input) {
        self.start();
        let now = self.now();
        self.engine.as_mut().expect("started").handle(now, input);
        self.drain();
    }

    /// Shows what the engine puts out, and answers it. As in the relay: all outputs of a step first, then the next input.
    fn drain(&mut self) {
        let mut replies = VecDeque::new();
        loop {
            while let Some(output) = self.engine.as_mut().expect("started").poll() {
                self.show(&output);
                replies.extend(self.reply(&output));
            }
            let Some(reply) = replies.pop_front() else { return };
            let now = self.now();
            self.engine.as_mut().expect("started").handle(now, reply);
        }
    }

    /// What the engine learns at once from what it has put out.
    fn reply(&mut self, output: &Output) -> Option<Input> {
        if let Output::Quote(from) = *output {
            return Some(Input::Quoted { from, text: self.stderr.clone() });
        }
        if let Output::LookAtStdin(child) = *output {
            return Some(Input::Stdin { child, read: !self.unread });
        }
        if let Output::LookAtGroup(child) = *output {
            return Some(Input::Group { child, empty: !self.helpers });
        }
        let Output::Spawn(child) = *output else { return None };
        self.child = child;
        Some(match self.spawn_fault.pop_front() {
            Some((fault, reason)) => Input::SpawnFailed(child, fault, reason),
            None => Input::Spawned(child, 1000 + child.0),
        })
    }

    fn show(&mut self, output: &Output) {
        if let Output::ToHost(bytes, origin) = output {
            self.events.push(Event::ToHost(bytes.clone(), *origin));
        } else if let Output::ToChild(child, bytes) = output {
            self.events.push(Event::ToChild(*child, bytes.clone()));
        }
        self.notes_look(output);
        let line = match output {
            Output::ToHost(bytes, Origin::Server) => format!("host <- {}", printable(bytes)),
            Output::ToHost(bytes, Origin::Supervisor) => format!("host <= {}", printable(bytes)),
            Output::ToChild(child, bytes) => {
                self.sent.push(bytes.clone());
                if bytes.windows(12).any(|window| window == b"\"initialize\"") {
                    let line = std::str::from_utf8(bytes).expect("UTF-8");
                    let id = mcp_supervise::wire::edit::find(line, &["id"]).expect("an id");
                    id.clone_into(&mut self.greeting_id);
                }
                format!("server {child} <- {}", printable(bytes))
            }
            Output::Noise(child, bytes) => format!("noise of {child}: {}", printable(bytes)),
            Output::Spawn(child) => format!("spawn {child}"),
            Output::UsePath(path) => format!("use PATH {}", path.display()),
            Output::AskLoginShell => "ask the login shell".to_owned(),
            Output::Inspect(child) => format!("inspect {child}"),
            Output::Quote(child) => format!("quote {child}"),
            Output::Remember(_) if !self.remembers => return,
            Output::Remember(good) => {
                let cursor = good.cursor.as_deref().map_or_else(String::new, |cursor| format!(" {cursor}"));
                let (era, version, method) = (good.era, &good.version, &good.method);
                if good.result.is_empty() {
                    format!("erase {era:?} {version} {method}{cursor}")
                } else {
                    format!("remember {era:?} {version} {method}{cursor}: {}", printable(&good.result))
                }
            }
            Output::CloseStdin(child) => format!("close stdin of {child}"),
            Output::Signal(child, signal, whom) => {
                let signal = match signal {
                    GroupSignal::Int => "INT",
                    GroupSignal::Term => "TERM",
                    GroupSignal::Hup => "HUP",
                    GroupSignal::Kill => "KILL",
                };
                let whom = match whom {
                    Whom::Leader => ", its leader",
                    Whom::Rest => ", the rest of its group",
                    Whom::Group => "",
                };
                format!("signal {child} {signal}{whom}")
            }
            Output::Forget { child, group_left: true } => format!("forget {child}, its group left alone"),
            Output::Forget { child, group_left: false } => format!("forget {child}"),
            Output::Exit { code, .. } => format!("exit {code}"),
            Output::Note(Note::Phase { from, to }) => format!("{from} -> {to}"),
            Output::Note(Note::Dropped { cause, .. }) => format!("dropped: {cause:?}"),
            Output::Note(Note::Unusable { reason, .. }) => format!("unusable: {reason}"),
            Output::Note(Note::VersionLowered { told, now }) => {
                format!("version lowered from {told} to {now}")
            }
            Output::Note(Note::ReplayRefused { method }) => format!("refused: {method}"),
            Output::Note(Note::Back { .. }) if !self.tells_back => return,
            Output::Note(Note::Back { away, again, restart, .. }) => {
                let restart = restart.map(|(number, most, _)| format!(", restart {number} of {most}"));
                let again = if *again { " again" } else { "" };
                format!("serving{again} after {away:?}{}", restart.unwrap_or_default())
            }
            Output::Note(Note::Replaced { reason, .. }) => format!("replaced: {reason}"),
            Output::Note(Note::Suspect { child }) => format!("suspect: {child}"),
            Output::Note(Note::Changed { what }) => format!("changed: {what:?}"),
            Output::Session(act) => session::shown(act),
            Output::Note(Note::Session { fact, .. }) => format!("session: {fact:?}"),
            Output::Note(Note::Api { state }) => format!("API: {state}"),
            Output::Note(Note::IdRespelled { asked, said, .. }) => format!("{asked} was answered as {said}"),
            Output::Note(Note::NumbersMended { .. }) => "numbers mended".to_owned(),
            Output::Note(Note::ChangesByItself) => "changes by itself".to_owned(),
            Output::LookAtGroup(_) | Output::LookAtStdin(_) | Output::Note(_) => return,
        };
        writeln!(self.text, "    {line}").expect("writing to a string");
    }

    fn line(&mut self, text: &str, from: impl Fn(Line) -> Input) {
        let mut bytes = BytesMut::from(&unescape(text)[..]);
        bytes.extend_from_slice(b"\n");
        let mut codec = LineCodec::new(self.max_line);
        while let Some(line) = codec.decode_eof(&mut bytes).expect("the codec has no errors") {
            self.input(from(line));
        }
    }

    fn play(&mut self, directive: &str) {
        let (word, rest) = directive.split_once(' ').unwrap_or((directive, ""));
        if !["config", "spawn-fails", "last-good", "times", "unseen", "runs", "stderr"].contains(&word) {
            self.start();
        }
        if self.play_session(word, rest) {
            return;
        }
        match word {
            "config" => rest.split(' ').for_each(|pair| self.configure(pair)),
            "host" => {
                self.events.push(Event::Host(unescape(rest)));
                self.line(rest, Input::Host);
            }
            "server" => {
                let (child, line) = match rest.split_once(' ').map(|(child, line)| (child.parse(), line)) {
                    Some((Ok(child), line)) => (Gen(child), line),
                    _ => (self.child, rest),
                };
                self.line(line, |line| Input::Child(child, line));
            }
            "answer" => {
                let (id, result) = rest.split_once(' ').expect("an id and a result");
                let line = format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#);
                let child = self.child;
                self.line(&line, |line| Input::Child(child, line));
            }
            "greet" => self.greet(rest),
            "regreet" => {
                let version = if rest.is_empty() { "2025-06-18" } else { rest };
                let id = self.greeting_id.clone();
                self.play(&format!("answer {id} {}", greeting(version, CAPABILITIES)));
            }
            "stderr" => self.stderr = rest.replace("\\n", "\n"),
            "runs" => self.config.words = rest.split(' ').map(|word| word.replace("\\s", " ")).collect(),
            "exit" => {
                self.play(&format!("exited {rest}"));
                self.play("silent");
            }
            "exited" => {
                let (kind, number) = rest.split_once(' ').expect("a kind and a number");
                let number = number.parse().expect("a number");
                let exit = if kind == "code" { Exit::Code(number) } else { Exit::Signal(number) };
                self.input(Input::Exited(self.child, exit));
            }
            "silent" => {
                let stderr_tail = std::mem::take(&mut self.stderr);
                let unsent = self.sent.split_off(self.sent.len() - std::mem::take(&mut self.unsent));
                self.sent.clear();
                self.input(Input::Silent { from: self.child, stderr_tail, unsent });
            }
            "spawn-fails" => {
                let (kind, reason) = rest.split_once(' ').expect("a kind and a reason");
                let fault = match kind {
                    "not-found" => SpawnFault::NotFound,
                    "not-executable" => SpawnFault::NotExecutable,
                    "system" => SpawnFault::System,
                    "process-limit" => SpawnFault::ProcessLimit,
                    "busy" => SpawnFault::Busy,
                    "stopping" => SpawnFault::Stopping,
                    other => SpawnFault::WholeLine(other.parse().expect("a fault, or a number of bytes")),
                };
                self.spawn_fault.push_back((fault, reason.to_owned()));
            }
            "unsent" => self.unsent = rest.parse().expect("a number"),
            "modern" => {
                let mut words = rest.splitn(3, ' ');
                let (id, method) = (words.next().expect("an id"), words.next().expect("a method"));
                let members = words.next().map_or_else(String::new, |members| format!("{members},"));
                self.play(&format!(
                    r#"host {{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{members}{ENVELOPE}}}}}"#
                ));
            }
            "acknowledge" => {
                let (id, filter) = rest.split_once(' ').expect("an id and a filter");
                self.play(&format!(
                    r#"server {{"jsonrpc":"2.0","method":"notifications/subscriptions/acknowledged","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{id}}},"notifications":{filter}}}}}"#
                ));
            }
            "last-good" => {
                let words: Vec<&str> = rest.splitn(5, ' ').collect();
                let [era, version, method, cursor, result] = words[..] else { panic!("five words: {rest}") };
                self.last_good.push(Good {
                    era: if era == "legacy" { Era::Legacy } else { Era::Modern },
                    version: version.to_owned(),
                    method: method.to_owned(),
                    cursor: Some(cursor.to_owned()).filter(|cursor| cursor != "-"),
                    result: Bytes::copy_from_slice(result.as_bytes()),
                });
            }
            "recall" => {
                let good = std::mem::take(&mut self.last_good);
                self.events.extend(good.iter().map(|good| Event::Recalled(good.result.clone())));
                self.input(Input::LastGood(good));
            }
            "login-path" => self.login(Ok(rest.into())),
            "login-fails" => self.login(Err(rest.to_owned())),
            "changed" => {
                let watched = rest == "watched";
                self.input(Input::Changed(if watched { Changed::Watched } else { Changed::Executable }));
            }
            "changing" => {
                let end = self.now + duration(rest);
                while self.now < end {
                    self.input(Input::Changed(Changed::Watched));
                    self.wait(Duration::from_millis(100));
                }
            }
            "times" => {
                let (times, directive) = rest.split_once(' ').expect("a number and a directive");
                for _ in 0..times.parse().expect("a number") {
                    self.play(directive);
                }
            }
            "unseen" => {
                let seen = self.text.len();
                self.play(rest);
                self.text.truncate(seen);
            }
            "stopped" | "running" => {
                let stopped = match rest {
                    _ if word == "running" => None,
                    "" | "SIGSTOP" => Some(StoppedBy::Stop),
                    "SIGTSTP" => Some(StoppedBy::Suspend),
                    "SIGTTIN" => Some(StoppedBy::TerminalInput),
                    "SIGTTOU" => Some(StoppedBy::TerminalOutput),
                    "behind" => Some(StoppedBy::Member),
                    other => panic!("no such signal: {other}"),
                };
                let child = self.child;
                self.input(Input::Inspected { child, stopped });
            }
            "mute" => self.input(Input::Mute(self.child)),
            "deaf" => self.input(Input::Deaf(self.child)),
            "eof" => self.input(Input::HostEof),
            "gone" => self.input(Input::HostGone),
            "stop" => self.input(Input::Stop(match rest {
                "" | "TERM" => StopSignal::Term,
                "INT" => StopSignal::Int,
                "HUP" => StopSignal::Hup,
                other => panic!("no such signal: {other}"),
            })),
            "orphaned" => self.input(Input::StarterGone(match rest {
                "nobody" => Holder::Nobody,
                "other" => Holder::Other,
                "unknown" => Holder::Unknown,
                other => panic!("no such holder: {other}"),
            })),
            "restart" => {
                self.input(Input::Order(if rest == "now" { Order::RestartSoon } else { Order::Restart }));
            }
            "helpers" => self.helpers = rest == "on",
            "unread" => self.unread = rest == "on",
            "wait" => self.wait(duration(rest)),
            other => panic!("no such directive: {other}"),
        }
    }

    fn login(&mut self, path: Result<OsString, String>) {
        self.input(Input::LoginPath(LoginPath { shell: "/bin/zsh".to_owned(), path }));
    }

    fn greet(&mut self, rest: &str) {
        let mut words = rest.splitn(2, ' ');
        let version = words.next().filter(|word| !word.is_empty()).unwrap_or("2025-06-18");
        let capabilities = words.next().unwrap_or(CAPABILITIES);
        self.play(&format!(
            r#"host {{"jsonrpc":"2.0","id":0,"method":"initialize","params":{{"protocolVersion":"{version}","capabilities":{{}},"clientInfo":{{"name":"h","version":"1"}}}}}}"#
        ));
        self.play(&format!("answer 0 {}", greeting(version, capabilities)));
        self.play(r#"host {"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    }

    fn wait(&mut self, time: Duration) {
        self.start();
        let end = self.now + time;
        let mut last = None;
        while let Some(at) = self.engine.as_ref().expect("started").deadline().filter(|at| *at <= end) {
            assert_ne!(last, Some(at), "a deadline that stays is a busy loop");
            last = Some(at);
            self.now = self.now.max(at);
            let seen = self.text.len();
            writeln!(self.text, "    at {:?}:", self.now).expect("writing to a string");
            let told = self.text.len();
            self.input(Input::Timer);
            // A look at a group that changes nothing is not shown.
            if self.helpers && self.text.len() == told {
                self.text.truncate(seen);
            }
        }
        self.now = end;
    }

    fn configure(&mut self, pair: &str) {
        let (key, value) = pair.split_once('=').expect("KEY=VALUE");
        let config = &mut self.config;
        match key {
            "hold" => config.hold = duration(value),
            "init-timeout" => config.init_timeout = Some(duration(value)),
            "init-grace" => config.init_grace = duration(value),
            "instant-start" => config.instant_start = value == "on",
            "ping-interval" => config.ping_interval = duration(value),
            "call-timeout" => config.call_timeout = Some(duration(value)),
            "command" => config.bare_command = value == "bare",
            "path" => config.path = Some(value.into()),
            "remember" => self.remembers = value == "shown",
            "back" => self.tells_back = value == "shown",
            "max-restarts" => config.restarts.max_restarts = value.parse().expect("a number"),
            "backoff-initial" => config.restarts.initial = duration(value),
            "backoff-max" => config.restarts.max = duration(value),
            "replay" => config.repeat = if value == "none" { Repeat::Never } else { Repeat::Safe },
            "max-answer" => config.max_answer = value.parse().expect("a number"),
            "session" => config.session = Some(session::configured(value)),
            "max-line" => self.max_line = value.parse().expect("a number"),
            other => panic!("no such setting: {other}"),
        }
    }
}

fn greeting(version: &str, capabilities: &str) -> String {
    format!(
        r#"{{"protocolVersion":"{version}","capabilities":{capabilities},"serverInfo":{{"name":"s","version":"1"}}}}"#
    )
}

fn duration(text: &str) -> Duration {
    let number = |unit| text.strip_suffix(unit).and_then(|number: &str| number.parse::<u64>().ok());
    number("ms")
        .map(Duration::from_millis)
        .or_else(|| number("s").map(Duration::from_secs))
        .expect("a duration")
}

/// `\xNN` is a byte; `X*N` at the end of a quoted run repeats the character before the star N times.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\\x") {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(&after[..2], 16).expect("two hexadecimal digits"));
        rest = &after[2..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    let text = bytes;
    let Some(star) = memchr::memchr(b'*', &text) else { return text };
    let digits = text[star + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let Ok(count) = std::str::from_utf8(&text[star + 1..star + 1 + digits]).expect("digits").parse::<usize>()
    else {
        return text;
    };
    let mut repeated = text[..star].to_vec();
    repeated.extend(std::iter::repeat_n(text[star - 1], count - 1));
    repeated.extend_from_slice(&text[star + 1 + digits..]);
    repeated
}

/// One line of a fixture: long runs shortened, bytes that are no text escaped.
fn printable(bytes: &Bytes) -> String {
    let line = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let mut text = String::new();
    for chunk in line.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character.is_control() {
                write!(text, "\\x{:02x}", u32::from(character)).expect("writing to a string");
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            write!(text, "\\x{byte:02x}").expect("writing to a string");
        }
    }
    if text.len() > 4000 { format!("({} bytes)", line.len()) } else { text }
}

/// All that goes in and out when a conversation is played.
pub(crate) fn events(script: &str) -> Vec<Event> {
    play(script).events
}

/// The conversations in the tree: their names and texts.
pub(crate) fn all() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/session");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the fixtures are there")
        .map(|entry| entry.expect("the fixture can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    files.sort();
    let named = |path: &std::path::PathBuf| path.file_stem().expect("a file").to_string_lossy().into_owned();
    let text = |path| std::fs::read_to_string(path).expect("a fixture is text");
    files.iter().map(|path| (named(path), text(path))).collect()
}

fn play(script: &str) -> Stage {
    let mut stage = Stage::new();
    for line in script.lines() {
        if line.starts_with("    ") {
            continue;
        }
        stage.text.push_str(line);
        stage.text.push('\n');
        if !line.is_empty() && !line.starts_with('#') {
            stage.play(line);
        }
    }
    stage
}

#[test]
fn every_conversation_goes_as_written() {
    let conversations = all();
    assert!(conversations.len() >= 40, "only {} conversations", conversations.len());
    let overwrite = std::env::var("SNAPSHOTS").is_ok_and(|action| action == "overwrite");
    let mut wrong = Vec::new();
    for (name, script) in conversations {
        assert!(script.starts_with("# "), "{name}: the first line says what it shows");
        let played = play(&script).text;
        if overwrite && played != script {
            let file = format!("{}/fixtures/session/{name}.txt", env!("CARGO_MANIFEST_DIR"));
            std::fs::write(file, &played).expect("a fixture can be written");
        } else if played != script {
            let diff = script;
            let at = played.lines().zip(diff.lines()).position(|(now, then)| now != then).unwrap_or_default();
            let line = |text: &str| text.lines().nth(at).unwrap_or("(nothing)").to_owned();
            wrong.push(format!(
                "{name}.txt:{}\n  written: {}\n  now:     {}",
                at + 1,
                line(&diff),
                line(&played)
            ));
        }
    }
    assert!(wrong.is_empty(), "conversations go differently:\n{}", wrong.join("\n"));
}
