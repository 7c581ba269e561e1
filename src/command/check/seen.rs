//! What was seen of a server: plain data, which looking fills and judging reads.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

/// How a server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Era {
    /// With `initialize`: 2024-11-05 to 2025-11-25.
    Legacy,
    /// Without: 2026-07-28.
    Modern,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Seen {
    /// The life in which most was asked.
    pub(super) main: Life,
    /// Processes that went on with what was to be asked after one had ended, or was silent, before its time.
    pub(super) again: Vec<Life>,
    /// The other way in which it was spoken to first. `None` if the first way was tried alone.
    pub(super) other: Option<Life>,
    /// Two that ran at the same time. Empty if there was nothing to greet.
    pub(super) pair: Vec<Life>,
    /// Under a supervisor. `None` if there was nothing to greet.
    pub(super) drill: Option<Drill>,
}

impl Seen {
    /// The processes in which most was asked.
    pub(super) fn questioned(&self) -> impl Iterator<Item = &Life> {
        [&self.main].into_iter().chain(&self.again)
    }

    /// All processes that ran without a supervisor.
    pub(super) fn lives(&self) -> impl Iterator<Item = &Life> {
        self.questioned().chain(&self.other).chain(&self.pair)
    }

    /// Whether there is a server at all.
    pub(super) fn greeted(&self) -> bool {
        self.main.greeting().is_some()
    }
}

/// One process, from its start to its end.
#[derive(Debug)]
pub(super) struct Life {
    pub(super) era: Era,
    /// The answer to what opened the conversation.
    pub(super) opening: Answer,
    pub(super) listings: Vec<Listing>,
    pub(super) asked: Vec<(Question, Answer)>,
    pub(super) output: Output,
    /// The last that it had written to stderr when it left its opening unanswered. Empty if it answered.
    pub(super) stderr: String,
    /// `None` if it never started.
    pub(super) ending: Option<Ending>,
}

impl Life {
    /// One of which nothing more is known yet.
    pub(super) fn opened(era: Era, opening: Answer) -> Self {
        let (listings, asked) = (Vec::new(), Vec::new());
        Self { era, opening, listings, asked, output: Output::default(), stderr: String::new(), ending: None }
    }

    /// What it greeted with. `None` if it did not.
    pub(super) fn greeting(&self) -> Option<&Value> {
        match &self.opening {
            // Some answer whatever they do not know with a result.
            Answer::Result { value, .. }
                if self.era == Era::Modern && value.get("supportedVersions").is_none() =>
            {
                None
            }
            Answer::Result { value, .. } => Some(value),
            Answer::Error { .. } | Answer::Silence(_) | Answer::Gone(_) | Answer::NotStarted(_) => None,
        }
    }

    /// The entries of a list. `None` if it was not listed.
    pub(super) fn entries(&self, kind: Kind) -> Option<&[Value]> {
        self.listings.iter().find(|listing| listing.kind == kind).map(|listing| &*listing.entries)
    }
}

/// What came of a request.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// A result, this long after the request.
    Result { value: Value, after: Duration },
    /// An error. No code if it has none that is an integer.
    Error { code: Option<i64>, message: String },
    /// Nothing for this long.
    Silence(Duration),
    /// The process ended first.
    Gone(Death),
    /// The process could not be started, and why.
    NotStarted(String),
}

/// How a process ended, or ended the conversation, that was not asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Death {
    /// A clause, as `it ended with code 1`.
    pub(super) how: String,
    /// The last that it wrote to stderr.
    pub(super) stderr: String,
}

/// What can be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Tools,
    Prompts,
    Resources,
    Templates,
}

impl Kind {
    /// Entries by what they are known by, without `_meta`, which may differ from answer to answer.
    pub(super) fn definitions(self, entries: &[Value]) -> BTreeMap<String, Value> {
        let pairs = entries.iter().map(|entry| {
            let mut entry = entry.clone();
            if let Some(members) = entry.as_object_mut() {
                members.remove("_meta");
            }
            (entry[self.key()].as_str().unwrap_or_default().to_owned(), entry)
        });
        pairs.collect()
    }

    pub(super) const ALL: [Self; 4] = [Self::Tools, Self::Prompts, Self::Resources, Self::Templates];

    /// The capability that promises it.
    pub(super) fn capability(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources | Self::Templates => "resources",
        }
    }

    pub(super) fn method(self) -> &'static str {
        match self {
            Self::Tools => "tools/list",
            Self::Prompts => "prompts/list",
            Self::Resources => "resources/list",
            Self::Templates => "resources/templates/list",
        }
    }

    /// The member of the result that has the entries.
    pub(super) fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Prompts => "prompts",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
        }
    }

    /// One entry.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Tools => "tool",
            Self::Prompts => "prompt",
            Self::Resources => "resource",
            Self::Templates => "template",
        }
    }

    /// The member by which an entry is known.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts => "name",
            Self::Resources => "uri",
            Self::Templates => "uriTemplate",
        }
    }
}

/// A list, all pages together.
#[derive(Debug)]
pub(super) struct Listing {
    pub(super) kind: Kind,
    pub(super) entries: Vec<Value>,
    /// The results of its pages, without the entries.
    pub(super) pages: Vec<Value>,
    /// What kept it from being read to its end.
    pub(super) fault: Option<ListFault>,
}

/// Why a list was not read to its end.
#[derive(Clone, Debug)]
pub(super) enum ListFault {
    /// A page, from 1, was not answered with a result.
    Failed(usize, Answer),
    /// A page, from 1, has no array of entries.
    NoEntries(usize),
    /// After this many pages a cursor came again, or there still was one.
    Endless { pages: usize, again: bool },
}

/// What was asked besides.
#[derive(Clone, Debug)]
pub(super) enum Question {
    Ping,
    UnknownMethod,
    /// A call that names no tool.
    NoTool,
    /// A call of a tool that is not there.
    UnknownTool,
    /// A call of a tool that only reads, with arguments that do not fit.
    Arguments {
        tool: String,
        arguments: Value,
    },
    /// A ping with this id, as JSON.
    Id(&'static str),
    /// A ping after a message that hosts send at times.
    Stray(&'static str),
    /// A ping after a line that is no message.
    Junk(&'static str),
    /// The `initialize` after a refused probe.
    Initialize,
    /// What `--call` asks for.
    Call {
        tool: String,
        arguments: Value,
    },
}

/// What stdout had that it should not have had.
#[derive(Clone, Debug, Default)]
pub(super) struct Output {
    pub(super) noise: Tally,
    /// What was noise after the end of its input, up to SIGTERM.
    pub(super) noise_at_end: Tally,
    /// And after SIGTERM.
    pub(super) noise_at_term: Tally,
    pub(super) batches: Tally,
    pub(super) unasked: Tally,
    pub(super) twice: Tally,
    pub(super) early: Tally,
    /// Methods of requests that need a capability, and none was offered.
    pub(super) asks: Tally,
    /// Answers whose id is written in another way than that of their request.
    pub(super) respelled: Tally,
    /// Requests that were answered under another id.
    pub(super) renamed: Tally,
    /// Progress of requests that are answered, or are none.
    pub(super) progress: Tally,
    /// Halves of surrogate pairs, with what is around the first in a message.
    pub(super) halves: Tally,
    /// What clients refuse of messages.
    pub(super) refused: Tally,
    /// Messages in a form that hosts do not read.
    pub(super) forms: BTreeMap<Form, Tally>,
    /// How many requests that nothing more was expected for were answered once the input had ended.
    pub(super) at_end: usize,
    pub(super) null_ids: usize,
    pub(super) crlf: usize,
    pub(super) bom: bool,
    /// The line without an end.
    pub(super) unfinished: Option<String>,
    /// The longest line, in bytes.
    pub(super) longest: u64,
}

impl Output {
    /// Where noise counts that comes when its input has ended, or it was sent SIGTERM, or neither.
    pub(super) fn noise_now(&mut self, closing: bool, terminated: bool) -> &mut Tally {
        match (terminated, closing) {
            (true, _) => &mut self.noise_at_term,
            (false, true) => &mut self.noise_at_end,
            (false, false) => &mut self.noise,
        }
    }
}

/// A form of messages that hosts do not read, and from which the message can be told all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// Behind a header with `Content-Length`, as language servers write them.
    Frames,
    /// Over several lines.
    Spread,
    /// In UTF-16.
    Utf16,
    /// With bytes that are no UTF-8.
    Encoding,
    /// With `NaN` or `Infinity`.
    Numbers,
    /// With a result and an error.
    Both,
    /// Without `"jsonrpc":"2.0"`.
    Version,
}

/// How many there were, and the first of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) count: usize,
    pub(super) first: Vec<String>,
}

impl Tally {
    const KEPT: usize = 3;

    pub(super) fn add(&mut self, text: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < Self::KEPT {
            self.first.push(text());
        }
    }

    /// Adds one that is told once, however often it comes.
    pub(super) fn add_once(&mut self, text: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < Self::KEPT {
            let text = text();
            if !self.first.contains(&text) {
                self.first.push(text);
            }
        }
    }

    /// Adds all of these.
    pub(super) fn append(&mut self, other: Self) {
        self.count += other.count;
        self.first.extend(other.first);
        self.first.truncate(Self::KEPT);
    }

    /// Takes out what has come since there were `count`, as far as it was kept.
    pub(super) fn take_from(&mut self, count: usize) -> Vec<String> {
        self.count = count.min(self.count);
        self.first.split_off(count.min(self.first.len()))
    }
}

/// How a process left.
#[derive(Clone, Debug)]
pub(super) struct Ending {
    pub(super) asked: Way,
    /// How long that took. `None` if it did not leave in the time that hosts give.
    pub(super) took: Option<Duration>,
    /// Whether it then left in time after SIGTERM. `None` if it was not needed.
    pub(super) obeyed_term: Option<bool>,
    /// How long it took until nothing was there that it had started. `None` if something stayed, or it was not asked to
    /// leave.
    pub(super) rest: Option<Duration>,
    /// What was there afterwards, for longer than anything needs to leave.
    pub(super) left: Vec<String>,
}

impl Ending {
    /// How long hosts wait after each step of their ladder.
    pub(super) const HOSTS_WAIT: Duration = Duration::from_secs(2);

    /// Whether what it had started needed longer than hosts wait. They look at that more slowly than at the process itself.
    pub(super) fn is_followed_late(&self) -> bool {
        self.rest.is_some_and(|rest| rest > Self::HOSTS_WAIT + Duration::from_millis(500))
    }

    /// Whether it left in time, with all that it had started.
    pub(super) fn in_time(&self) -> bool {
        self.took.is_some() && self.left.is_empty() && !self.is_followed_late()
    }
}

/// What a process is asked to leave by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The end of its input.
    EndOfInput,
    /// SIGTERM.
    Term,
    /// Nothing: it had ended already, or was killed since it did not answer.
    Unasked,
}

/// A crash under a supervisor.
#[derive(Debug)]
pub(super) struct Drill {
    /// Lists before the crash.
    pub(super) before: Vec<Listing>,
    /// What came of it.
    pub(super) outcome: Result<Recovery, String>,
}

/// A server that came back.
#[derive(Debug)]
pub(super) struct Recovery {
    /// From the kill to the next server that serves.
    pub(super) after: Duration,
    pub(super) lists: Vec<Listing>,
}
