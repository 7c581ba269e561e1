//! One host with its supervisor: how it is started, asks, answers, waits and ends.
//!
//! Whatever it waits for it waits for an event. The first thing in its book that must not be ends it, with the last lines
//! of the wire.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::book::{self, Book, Owed, Right};
use super::traffic::{Ask, Known};
use super::trouble::Trouble;
use crate::support::dice::Dice;
use crate::support::message::{INITIALIZED, shortened};
use crate::support::plan::example;
use crate::support::process::{self, Since, WATCHDOG};
use crate::support::reader::{Intake, Reader};
use crate::support::{Kind, Plan};

/// How long a server may be silent before it counts as hung, in all: three times this.
const PING: &str = "100ms";
/// The longest line that the first host takes, in bytes.
pub(super) const MOST: u64 = 2 * 1024 * 1024;
/// How long a call of the host on sockets may take.
pub(super) const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a request waits for a server: the documented default.
pub(super) const HOLD: Duration = Duration::from_secs(10);
/// Heaps give back what they no longer need only in pieces of this size, and take blocks above it one by one. The system's
/// own thresholds grow with what a process has freed: they would say more about its past than about what it holds.
const HEAP: &str = "glibc.malloc.trim_threshold=131072:glibc.malloc.mmap_threshold=131072";

/// Whom a host stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// A host on pipes, with a limit for lines that is often reached.
    Pipes,
    /// A host that speaks the one revision with batches.
    Batches,
    /// A host made with Node, on pairs of sockets, with a limit for calls.
    Sockets,
    /// A host of the era without a greeting, and the official SDK for its server.
    Modern,
}

impl Role {
    pub(super) const ALL: [Self; 4] = [Self::Pipes, Self::Batches, Self::Sockets, Self::Modern];

    fn version(self) -> &'static str {
        match self {
            Self::Pipes => "2025-06-18",
            Self::Batches => "2025-03-26",
            Self::Sockets => "2025-11-25",
            Self::Modern => "2026-07-28",
        }
    }

    fn plan(self) -> Plan {
        let options = match self {
            Self::Pipes => format!("--max-answer {MOST}"),
            Self::Sockets => format!("--call-timeout {}s", CALL_TIMEOUT.as_secs()),
            Self::Batches | Self::Modern => String::new(),
        };
        let plan = Plan::new()
            .tireless()
            .options(&format!("--ping-interval {PING} --stop-grace 50ms --term-grace 50ms {options}"));
        let plan = plan.variable("GLIBC_TUNABLES", HEAP).on(if self == Self::Sockets {
            &Kind::Socket
        } else {
            &Kind::Pipe
        });
        let path = |name: &str| plan.path(name).display().to_string();
        let words = if self == Self::Modern {
            let server = example("fixture-rmcp-server").display().to_string();
            // It tells that it is there, and does what it finds written down, before it is a server.
            let script = format!(
                "echo $$ >>'{}'; [ ! -f '{}' ] || . '{}'; exec \"$@\"",
                path("pids"),
                path("mood"),
                path("mood")
            );
            ["sh".to_owned(), "-c".to_owned(), script, "sh".to_owned(), server, path("none"), path("journal")]
                .to_vec()
        } else {
            let server = example("fixture-server").display().to_string();
            let mut words = vec![server];
            for (option, name) in
                [("--pid-file", "pids"), ("--state", "state"), ("--journal", "journal"), ("--more", "mood")]
            {
                words.extend([option.to_owned(), path(name)]);
            }
            words
        };
        plan.command(words)
    }
}

/// What has come on stderr: how often a server hung, and the last lines but for the noise that is passed on.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) hangs: u64,
    last: VecDeque<String>,
    rest: Vec<u8>,
}

impl Intake for Words {
    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        while let Some(feed) = memchr::memchr(b'\n', &self.rest) {
            let line: Vec<u8> = self.rest.drain(..=feed).collect();
            let line = String::from_utf8_lossy(&line);
            let hang = line.contains("gave no sign of life") || line.contains("was stopped (SIGSTOP)");
            self.hangs += u64::from(hang);
            if line.contains("mcp-supervise:") && !line.contains("printed to stdout") {
                self.last.push_back(line.trim_end().to_owned());
            }
            if self.last.len() > 30 {
                self.last.pop_front();
            }
        }
    }

    fn end(&mut self) {}
}

/// A host.
pub(super) struct Player {
    pub(super) role: Role,
    pub(super) dice: Dice,
    pub(super) known: Known,
    /// The level and the subscriptions that the host has asked for.
    pub(super) level: String,
    pub(super) subscriptions: BTreeSet<String>,
    /// Which server has executed what is not safe to repeat.
    pub(super) journal: BTreeMap<String, String>,
    pub(super) round: usize,
    pub(super) trouble: Trouble,
    child: Child,
    stdin: Option<File>,
    book: Reader<Book>,
    words: Reader<Words>,
    dir: Arc<TempDir>,
    next: u64,
    journal_read: usize,
}

impl Player {
    pub(super) fn start(role: Role, seed: u64) -> Self {
        let started = role.plan().launch();
        let stdin = started.stdin.expect("stdin is no file");
        // So that a supervisor that no longer reads fails the test and does not stop it.
        let flags = OFlag::from_bits_retain(fcntl(&stdin, FcntlArg::F_GETFL).expect("it is open"));
        fcntl(&stdin, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).expect("it is open");
        let book = Reader::<Book>::new(started.stdout.expect("stdout is no file"), false);
        if role == Role::Pipes {
            book.with(|book| book.longest = usize::try_from(MOST).expect("it fits into memory"));
        }
        Self {
            role,
            dice: Dice::new(seed),
            known: Known::new(),
            level: String::new(),
            subscriptions: BTreeSet::new(),
            journal: BTreeMap::new(),
            round: 0,
            trouble: Trouble::Calm,
            child: started.child,
            stdin: Some(stdin),
            book,
            words: Reader::new(started.stderr, false),
            dir: started.dir,
            next: 0,
            journal_read: 0,
        }
    }

    pub(super) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    pub(super) fn path(&self, name: &str) -> String {
        self.dir.path().join(name).display().to_string()
    }

    /// Looks at the book, and ends everything if something in it is wrong.
    pub(super) fn book<R>(&self, look: impl FnOnce(&mut Book) -> R) -> R {
        let (found, wrong) = self.book.with(|book| (look(book), book.wrong.clone()));
        match wrong {
            Some(wrong) => self.fail(&wrong),
            None => found,
        }
    }

    pub(super) fn hangs(&self) -> u64 {
        self.words.now(|words| words.hangs)
    }

    /// The servers that have started so far.
    pub(super) fn servers(&self) -> Vec<i32> {
        let pids = fs::read_to_string(self.path("pids")).unwrap_or_default();
        let complete = pids.rfind('\n').map_or("", |end| &pids[..end]);
        complete.lines().filter_map(|pid| pid.parse().ok()).collect()
    }

    /// The server that was started last.
    pub(super) fn server(&self) -> i32 {
        *self.servers().last().unwrap_or_else(|| self.fail("no server has started"))
    }

    /// Sends the server a signal, if it is still the one that was started last.
    pub(super) fn signal_server(&self, server: i32, signal: Signal) {
        let command = fs::read(format!("/proc/{server}/cmdline")).unwrap_or_default();
        if !Path::new("/proc/self").exists() || String::from_utf8_lossy(&command).contains(&self.path("")) {
            let _ = kill(Pid::from_raw(server), signal);
        }
    }

    /// Writes a line.
    fn send(&mut self, line: &str) {
        self.book(|book| book.sent(line.as_bytes()));
        let line = [line, "\n"].concat();
        let mut since = Since::now();
        let mut rest = line.as_bytes();
        while !rest.is_empty() {
            let mut stdin = self.stdin.as_ref().expect("stdin is open");
            match stdin.write(rest) {
                Ok(count) => {
                    rest = &rest[count..];
                    since = Since::now();
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut room = [PollFd::new(stdin.as_fd(), PollFlags::POLLOUT)];
                    let _ = poll(&mut room, PollTimeout::from(50_u8));
                    if since.elapsed() > WATCHDOG {
                        self.fail("the supervisor does not read");
                    }
                }
                Err(error) => self.fail(&format!("the supervisor cannot be written to: {error}")),
            }
        }
    }

    pub(super) fn notify(&mut self, method: &str, params: &Value) {
        let mut message = json!({"jsonrpc": "2.0", "method": method, "params": params});
        if self.role == Role::Modern {
            message["params"]["_meta"] = envelope();
        }
        self.send(&message.to_string());
    }

    /// Enters a request, and gives its line and its id.
    fn enter(&mut self, ask: Ask) -> (String, Value) {
        self.next += 1;
        let number = self.next;
        let id = book::id(number, self.role != Role::Modern);
        let mut params = ask.params;
        if self.role == Role::Modern {
            params["_meta"] = envelope();
        }
        if ask.progress {
            params["_meta"]["progressToken"] = json!(book::token(number));
        }
        let line = json!({"jsonrpc": "2.0", "id": id, "method": ask.method, "params": params}).to_string();
        let owed = Owed {
            what: format!("{} {}", ask.method, params["name"].as_str().unwrap_or_default()),
            right: ask.right,
            safe: ask.safe,
            journaled: ask.journaled,
            endless: ask.endless,
            cancelled: false,
            since: Since::now(),
            progress: ask.progress.then_some(0.0),
        };
        self.book(|book| book.ask(number, &id, owed));
        (line, id)
    }

    /// The number of the next request.
    pub(super) fn next(&self) -> u64 {
        self.next + 1
    }

    /// Sends a request, and gives its id as JSON text.
    pub(super) fn post(&mut self, ask: Ask) -> String {
        let (line, id) = self.enter(ask);
        self.send(&line);
        id.to_string()
    }

    /// Sends these as one batch.
    pub(super) fn post_batch(&mut self, asks: Vec<Ask>) {
        let lines: Vec<String> = asks.into_iter().map(|ask| self.enter(ask).0).collect();
        self.send(&format!("[{}]", lines.join(",")));
    }

    /// Asks, and waits for the answer. `None` if it is not the server's.
    pub(super) fn get(&mut self, ask: Ask) -> Option<Value> {
        let what = format!("{} is answered", ask.method);
        let id = self.post(Ask { right: Right::Kept, ..ask });
        self.tend(&what, |player| player.book(|book| !book.is_open(&id)));
        self.book(|book| book.take_kept(&id))
    }

    /// Takes a request back.
    pub(super) fn cancel(&mut self, id: &str) {
        let value: Value = serde_json::from_str(id).expect("it is ours");
        self.book(|book| book.cancel(id));
        self.notify("notifications/cancelled", &json!({"requestId": value, "reason": "enough"}));
    }

    /// Answers what the server has asked.
    pub(super) fn answer_server(&mut self) {
        while let Some((id, method)) = self.book(|book| book.to_answer.pop_front()) {
            self.next += 1;
            let word = format!("answer {}", self.next);
            self.book(|book| book.answers(word.clone()));
            let answer = match method.as_str() {
                "roots/list" => json!({"roots": [{"uri": "file:///a", "name": word}]}),
                other => self.fail(&format!("the server asks for {other}")),
            };
            self.send(&json!({"jsonrpc": "2.0", "id": id, "result": answer}).to_string());
        }
    }

    /// Answers the server until this holds. A watchdog ends it when nothing comes any more: how long all of it takes is up to
    /// the machine.
    pub(super) fn tend(&mut self, what: &str, holds: impl FnMut(&mut Self) -> bool) {
        if !self.comes_to_hold(holds) {
            self.fail(&format!("it does not come to be that {what}"));
        }
    }

    /// The same. Whether it has come to be, or everything has been silent for too long.
    pub(super) fn comes_to_hold(&mut self, mut holds: impl FnMut(&mut Self) -> bool) -> bool {
        let mut last = (0, Since::now());
        while !holds(self) {
            self.answer_server();
            let lines = self.book(|book| book.counts.lines);
            if lines != last.0 {
                last = (lines, Since::now());
            } else if last.1.elapsed() > WATCHDOG {
                return false;
            }
            let short = Duration::from_millis(5);
            let _ = self.book.wait_within(short, |book| (book.counts.lines > lines).then_some(()));
        }
        true
    }

    /// Opens the conversation, and learns what never changes.
    pub(super) fn greet(&mut self) {
        if self.role == Role::Modern {
            self.get(Ask::method("server/discover", json!({}), Right::Kept));
            self.learn(&["tools/list", "resources/list", "prompts/list"]);
            let filter = json!({"notifications": {"resourceSubscriptions": ["fixture://greeting"]}});
            let listen = Ask::method("subscriptions/listen", filter, Right::Kept);
            let (line, id) = self.enter(listen);
            self.book(|book| book.expect_nothing(&id.to_string()));
            return self.send(&line);
        }
        let version = self.role.version();
        let params = json!({"protocolVersion": version, "capabilities": {"roots": {}}, "clientInfo": {"name": "h", "version": "1"}});
        let greeting = self.get(Ask::method("initialize", params, Right::Kept)).unwrap_or_default();
        if greeting["result"]["protocolVersion"] != version {
            self.fail(&format!("it is greeted with {greeting}"));
        }
        self.send(INITIALIZED);
        self.learn(&["tools/list", "resources/list", "resources/templates/list", "prompts/list"]);
    }

    fn learn(&mut self, methods: &[&'static str]) {
        for method in methods {
            let answer = self.get(Ask::method(method, json!({}), Right::Kept)).unwrap_or_default();
            self.known.push((method, json!({}), answer["result"].clone()));
        }
    }

    /// Reads what was executed since the last time.
    pub(super) fn read_journal(&mut self) {
        let text = fs::read_to_string(self.path("journal")).unwrap_or_default();
        let complete = text.rfind('\n').map_or(0, |end| end + 1);
        let fresh: Vec<(String, String)> = text[self.journal_read..complete]
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(server, id)| (server.to_owned(), id.to_owned()))
            .collect();
        self.journal_read = complete;
        for (server, id) in fresh {
            // The SDK does not give its tools the ids; what they are called with has the number.
            let id = match (self.role, id.parse()) {
                (Role::Modern, Ok(number)) => book::id(number, false).to_string(),
                _ => id,
            };
            if let Some(before) = self.journal.insert(id.clone(), server.clone()) {
                self.fail(&format!("{id} was executed twice, by {before} and by {server}"));
            }
        }
    }

    /// Ends the input, or sends SIGTERM, and gives the exit code as a shell tells it, and how long that took.
    pub(super) fn end(&mut self, by_signal: bool) -> (i32, Duration) {
        let since = Since::now();
        if by_signal {
            let _ = kill(Pid::from_raw(self.pid()), Signal::SIGTERM);
        } else {
            self.stdin = None;
        }
        let status = process::eventually(|| self.child.try_wait().expect("it is our child"));
        let status = status.unwrap_or_else(|| self.fail("the supervisor does not exit"));
        let took = since.elapsed();
        if self.book.wait(|book| book.ended.then_some(())).is_none() {
            self.fail("stdout does not end");
        }
        self.book(|_| ());
        let folder = self.path("");
        if process::eventually(|| process::mentioning(&folder).is_empty().then_some(())).is_none() {
            self.fail(&format!("processes are left: {:?}", process::mentioning(&folder)));
        }
        (status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()), took)
    }

    /// How it went so far.
    pub(super) fn news(&self) -> String {
        let counts = self.book(|book| book.counts.clone());
        let guided: Vec<String> =
            counts.guided.iter().map(|(status, count)| format!("{status} {count}")).collect();
        format!(
            "{:?}: {} rounds, {} starts, {} hangs, {} requests ({} taken back), {} answers of servers, ours: {}; {} requests \
             and {} notifications of servers, {} MiB",
            self.role,
            self.round,
            self.servers().len(),
            self.hangs(),
            counts.asked,
            counts.cancelled,
            counts.served,
            guided.join(", "),
            counts.asked_by_server,
            counts.told,
            counts.bytes >> 20,
        )
    }

    /// Ends the test with the last of everything.
    pub(super) fn fail(&self, what: &str) -> ! {
        let wire = self.book.now(Book::last_lines);
        let open: Vec<String> =
            self.book.now(|book| book.open().map(|(id, owed)| format!("{id} {}", owed.what)).collect());
        let stderr =
            self.words.now(|words| words.last.iter().flat_map(|line| [line, "\n"]).collect::<String>());
        let servers = self.servers();
        let last = &servers[servers.len().saturating_sub(5)..];
        panic!(
            "{:?}, round {}, {:?}: {what}\n--- waits for\n{open:?}\n--- the last lines\n{wire}--- stderr\n{}--- the last servers {last:?}",
            self.role,
            self.round,
            self.trouble,
            shortened(&stderr)
        );
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for server in self.servers() {
            process::kill_fixture(server);
        }
    }
}

/// What each message of the era without a greeting has.
fn envelope() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "h", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    })
}
