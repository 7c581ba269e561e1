//! What the checker writes down of a run: its limits, requests, children, lists. Data only.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde_json::Value;

use super::check_pulse::Pulse;
use super::check_session::Window;
use super::check_stop::Stop;
use super::parse::Message;
use super::world::Said;
use crate::engine::backoff::Limits;
use crate::engine::io::Exit;
use crate::engine::{Config, Repeat};

/// The limits that a run must keep to.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub hold: Duration,
    pub init_timeout: Option<Duration>,
    pub repeats: bool,
    pub restarts: Limits,
    pub max_answer: usize,
    pub init_grace: Duration,
    pub instant: bool,
    pub ping: Duration,
    pub call_timeout: Option<Duration>,
    pub bare_command: bool,
    /// Whether the host uses ids that differ in their type only.
    pub twins: bool,
}

impl Rules {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            hold: config.hold,
            init_timeout: config.init_timeout,
            repeats: config.repeat == Repeat::Safe,
            restarts: config.restarts,
            max_answer: config.max_answer,
            init_grace: config.init_grace,
            instant: config.instant_start,
            ping: config.ping_interval,
            call_timeout: config.call_timeout,
            bare_command: config.bare_command,
            twins: false,
        }
    }
}

/// A request of the host that has no answer.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// The order of arrival.
    pub number: u64,
    pub message: Message,
    pub line: String,
    /// Whether it is the greeting by which the conversation was opened.
    pub greets: bool,
    pub waits_since: Duration,
    pub cancelled: bool,
    /// The child that has it.
    pub at: Option<u32>,
    pub at_since: Duration,
    pub written: Vec<u32>,
    /// It stays open until it ends, and is owed no answer.
    pub stream: bool,
    /// It was written once and never left us.
    pub came_back: bool,
    pub progress: Option<f64>,
    /// How much longer it may wait, because it came while the server was suspect.
    pub doubted: Duration,
    /// How requests to the API had ended when it was written.
    pub window: Window,
    /// Whether it was known to be safe to repeat when it was written.
    pub safe: bool,
    /// How often the token was refused with which it was made; the last one.
    pub refused: u32,
    pub refused_with: Option<u32>,
    /// Since when its result is withheld for that.
    pub withheld: Option<Duration>,
}

impl Request {
    /// Whether it carries the envelope of the modern era.
    pub(super) fn enveloped(&self) -> bool {
        self.message.params["_meta"]["io.modelcontextprotocol/protocolVersion"].is_string()
    }

    /// Whether a server that is there answers it soon.
    pub(super) fn is_soon(&self) -> bool {
        let method = self.message.method();
        method.ends_with("/list") && method != "tasks/list"
            || ["server/discover", "resources/read", "prompts/get", "completion/complete"].contains(&method)
    }

    pub(super) fn name(&self) -> &str {
        self.message.params["name"].as_str().unwrap_or_default()
    }
}

/// What a child must hear after its greeting, before anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Initialized(String),
    Level(String),
    Subscribed(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Greeted {
    No,
    /// The greeting was written under this id.
    Sent(String),
    Done,
}

/// A child.
#[derive(Clone, Debug)]
pub(super) struct Kid {
    pub spawned: Duration,
    /// It was to show whether the degraded phase can be left.
    pub trying: bool,
    pub greeted: Greeted,
    /// When the greeting was written.
    pub greeted_at: Duration,
    pub serving_since: Option<Duration>,
    pub expected: VecDeque<Expected>,
    pub own: BTreeSet<String>,
    /// The lists that we have asked it for: which, and which page.
    pub compares: BTreeMap<String, (String, usize)>,
    /// Those of them that it has answered: what it says to one again is no answer.
    pub compared: BTreeSet<String>,
    /// Requests that we have answered in its place, and the name under which it knows each, if that is another one.
    pub late: BTreeMap<String, (Request, Option<String>)>,
    /// It has been written a request of the host.
    pub heard: bool,
    /// It has answered something.
    pub spoke: bool,
    /// It has the probe of a host that has not decided, and has not answered it in time.
    pub probed: bool,
    /// When it got the first request that is answered soon.
    pub asked_first: Option<Duration>,
    /// Whether it has read that request, as far as the engine has looked.
    pub reads: bool,
    /// Whether it is known to run.
    pub born: bool,
    pub pulse: Pulse,
    /// It is to be replaced, which is no crash.
    pub replaced: bool,
    pub exit: Option<Exit>,
    pub silent: bool,
    /// The ladder has begun.
    pub laddered: bool,
    pub stop: Stop,
    /// Its version cannot be used.
    pub unusable: bool,
    /// Forgotten, or never born.
    pub gone: bool,
    /// The token in its environment.
    pub token: Option<u32>,
    /// Increases whenever the executable may be another one.
    pub edition: u32,
    /// The requests of the host that it has under ids of ours, by those ids.
    pub aliases: BTreeMap<String, String>,
    /// Requests that were answered or given up, and that it may still answer.
    pub owed: BTreeSet<String>,
    /// How many answers to unreadable lines may come.
    pub strays: usize,
    /// The unreadable lines that it has got.
    pub unreadable: Vec<String>,
    /// What of the host's it has answered, the last ones.
    pub answered: VecDeque<String>,
    /// Its answers behind noise, and from when on each may be believed.
    pub glued: Vec<(Duration, Said)>,
    /// The tokens of its tasks.
    pub tasks: BTreeSet<String>,
}

impl Kid {
    /// One that is started now.
    pub(super) fn new(spawned: Duration, trying: bool, token: Option<u32>) -> Self {
        Self {
            spawned,
            trying,
            greeted: Greeted::No,
            greeted_at: spawned,
            serving_since: None,
            expected: VecDeque::new(),
            own: BTreeSet::new(),
            compares: BTreeMap::new(),
            compared: BTreeSet::new(),
            late: BTreeMap::new(),
            heard: false,
            spoke: false,
            probed: false,
            asked_first: None,
            reads: false,
            born: false,
            pulse: Pulse::default(),
            replaced: false,
            exit: None,
            silent: false,
            laddered: false,
            stop: Stop::default(),
            unusable: false,
            gone: false,
            token,
            edition: 0,
            aliases: BTreeMap::new(),
            owed: BTreeSet::new(),
            strays: 0,
            unreadable: Vec::new(),
            answered: VecDeque::new(),
            glued: Vec::new(),
            tasks: BTreeSet::new(),
        }
    }
}

/// A request of a server.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub child: u32,
    pub own: String,
    pub done: bool,
}

/// What a tool was last seen to declare.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tool {
    pub safe: bool,
    pub typed: bool,
    /// The edition of the child that declared it.
    pub edition: u32,
}

/// The last good pages of a list.
#[derive(Clone, Debug, Default)]
pub(super) struct Pages {
    pub from: u32,
    pub by_cursor: BTreeMap<String, Value>,
    /// Whatever was seen of it.
    pub seen: Vec<Value>,
}
