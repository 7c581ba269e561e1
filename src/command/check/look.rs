//! The looking: which processes are started, and what each is asked, in which order.
//!
//! | process | spoken to | sees |
//! |---|---|---|
//! | 1 | with `initialize` | lists, odd requests, calls, junk; the end of input |
//! | 2 | with `server/discover` | whether it speaks 2026-07-28; else whether it survives the probe |
//! | 3, 4 | at the same time | whether two can run; SIGTERM, and the end of input with nothing done |
//! | 5, 6 | under the real supervisor | a crash |
//!
//! Where a question ends the first process, or has no answer there, another goes on with the next: nothing that a person asked
//! for is lost, and no question is blamed for what one before it has done.
//!
//! A server that only knows the new way is asked in the new way throughout.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::arguments;
use super::drill;
use super::listing::lists;
use super::peer::{LEGACY, Peer, Start};
use super::seen::{Answer, Era, Kind, Life, ListFault, Listing, Question, Seen, Way};
use crate::threads;

/// A server that leaves as many requests in a row unanswered is not asked any more.
const MOST_SILENCES: usize = 3;
/// How many tools are called with wrong arguments.
const WRONG_CALLS: usize = 3;
/// Ids that clients use: a text, one that looks like a number, one with what JSON escapes, the largest that is exact in a float.
const IDS: [&str; 4] = [r#""check""#, r#""7""#, r#""\u00e9\"\\ id""#, "9007199254740991"];

/// How many processes go on with what is to be asked, besides those that calls need.
const MOST_AGAIN: usize = 8;
/// When as many processes have ended at their first question, they end by themselves.
const MOST_AT_ONCE: usize = 2;
/// What comes after the last result is heard for this long.
const AFTERWARDS: Duration = Duration::from_millis(300);

/// What hosts send at times.
const STRAYS: [(&str, &str); 3] = [
    ("an unknown notification", r#"{"jsonrpc":"2.0","method":"notifications/mcp-supervise/unknown"}"#),
    (
        "a cancellation of a request that is over",
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1,"reason":"it took too long"}}"#,
    ),
    ("an answer to a request that it has not made", r#"{"jsonrpc":"2.0","id":"nobody-asked","result":{}}"#),
];

/// What is no message.
const JUNK: [(&str, &[u8]); 5] = [
    ("a line of text", b"this is no message"),
    ("an empty line", b""),
    ("half of a message", br#"{"jsonrpc":"2.0","id":99,"meth"#),
    ("an object that is no message", br#"{"hello":"world"}"#),
    ("a line that is not UTF-8", b"caf\xe9 \xff\xfe"),
];

/// A tool, and arguments for it.
pub(super) type Call = (String, Value);

/// Looks at the server that `start` starts. `calls` are made too. `folder` is an empty one. `tell` hears what is looked at now.
pub(super) async fn look(start: &Start<'_>, calls: &[Call], folder: &Path, tell: impl Fn(&str)) -> Seen {
    tell("its start, its lists, its answers");
    let (main, again) = ask_everything(start, Era::Legacy, calls).await;
    if matches!(main.opening, Answer::NotStarted(_)) {
        return Seen { main, again, other: None, pair: Vec::new(), drill: None };
    }
    tell("the revision of 2026-07-28");
    let greeted = main.greeting().is_some();
    let modern = probe(start, greeted).await;
    let ((main, again), other) = if !greeted && modern.greeting().is_some() {
        (ask_everything(start, Era::Modern, calls).await, main)
    } else {
        ((main, again), modern)
    };
    let mut seen = Seen { main, again, other: Some(other), pair: Vec::new(), drill: None };
    if seen.greeted() {
        tell("two at once, and how they leave");
        seen.pair = pair(start, seen.main.era).await;
        tell("a crash");
        let lists: Vec<Kind> = seen.main.listings.iter().map(|listing| listing.kind).collect();
        seen.drill = Some(drill::drill(start, folder, seen.main.era, &lists).await);
    }
    seen
}

/// The process in which it was greeted and listed, and those that went on with the questions.
async fn ask_everything(start: &Start<'_>, era: Era, calls: &[Call]) -> (Life, Vec<Life>) {
    let mut again = Vec::new();
    let mut peer = match Peer::start(start, era) {
        Ok(peer) => peer,
        Err(why) => return (Life::opened(era, Answer::NotStarted(why)), again),
    };
    let opening = peer.open(LEGACY).await;
    let mut life = Life::opened(era, opening);
    let Some(greeting) = life.greeting() else {
        // One that keeps its answers in a buffer writes them when it ends.
        let silent = matches!(life.opening, Answer::Silence(_));
        if silent {
            life.stderr = peer.said();
        }
        return (left(life, peer, if silent { Way::EndOfInput } else { Way::Unasked }).await, again);
    };
    let kinds = offered(greeting);
    life.listings = lists(&mut peer, &kinds).await;
    let tools = life.entries(Kind::Tools).unwrap_or_default();
    let mut plan = Plan::new(tools, &kinds, calls).await;
    // A list without an answer is a question without one.
    if !life.listings.iter().any(is_silent) {
        plan.go(&mut peer, &mut life.asked).await;
    }
    let life = left(life, peer, Way::EndOfInput).await;
    while plan.goes_on(again.len()) {
        let Ok(mut peer) = Peer::start(start, era) else { break };
        let mut life = Life::opened(era, peer.open(LEGACY).await);
        let is_greeted = life.greeting().is_some();
        if is_greeted {
            plan.go(&mut peer, &mut life.asked).await;
        }
        again.push(left(life, peer, if is_greeted { Way::EndOfInput } else { Way::Unasked }).await);
        // One that ends by itself would be started for ever.
        if again.last().is_none_or(|life| life.asked.is_empty()) {
            break;
        }
    }
    let mut life = life;
    life.asked.extend(plan.calls_not_made());
    (life, again)
}

fn is_silent(listing: &Listing) -> bool {
    matches!(listing.fault, Some(ListFault::Failed(_, Answer::Silence(_))))
}

async fn left(life: Life, peer: Peer, way: Way) -> Life {
    let (output, ending) = peer.leave(way).await;
    Life { output, ending: Some(ending), ..life }
}

/// What the greeting promises lists of. A capability of a wrong type is promised all the same.
fn offered(greeting: &Value) -> Vec<Kind> {
    let is_promised = |promise: &Value| !matches!(promise, Value::Null | Value::Bool(false));
    let capabilities = &greeting["capabilities"];
    Kind::ALL
        .into_iter()
        .filter(|kind| capabilities.get(kind.capability()).is_some_and(is_promised))
        .collect()
}

/// Something to ask.
#[derive(Clone, Debug)]
enum Probe {
    Ping,
    UnknownMethod,
    NoTool,
    UnknownTool,
    Arguments(String, Value),
    Id(&'static str),
    Call(Call),
    Stray(&'static str, &'static str),
    Junk(&'static str, &'static [u8]),
}

/// Everything that is still to be asked of a server besides its lists.
#[derive(Debug)]
struct Plan {
    /// The last comes first.
    probes: Vec<Probe>,
    /// What can be listed, and so asked for instead of a `ping` that is not answered.
    kinds: Vec<Kind>,
    /// What is asked to see whether it is there. `None` for `ping`.
    pings: Option<&'static str>,
    /// It has left so many unanswered that it is not asked any more, but for what a person wants.
    given_up: bool,
    /// How many questions in a row had no answer.
    silent: usize,
    /// How many processes have ended at the first question, whichever it was.
    ended_at_once: usize,
}

impl Plan {
    async fn new(tools: &[Value], kinds: &[Kind], calls: &[Call]) -> Self {
        let mut probes = vec![Probe::Ping, Probe::UnknownMethod];
        if kinds.contains(&Kind::Tools) {
            probes.extend([Probe::NoTool, Probe::UnknownTool]);
            // A schema of others can take long, and signals are heard meanwhile.
            let (tools, named) = (tools.to_vec(), calls.to_vec());
            let wrong = move || {
                let named: Vec<&str> = named.iter().map(|(tool, _)| &**tool).collect();
                arguments::wrong(&tools, &named, WRONG_CALLS)
            };
            let wrong = threads::blocking(wrong).await.unwrap_or_default();
            probes.extend(wrong.into_iter().map(|(tool, arguments)| Probe::Arguments(tool, arguments)));
        }
        probes.extend(IDS.map(Probe::Id));
        probes.extend(calls.iter().cloned().map(Probe::Call));
        probes.extend(STRAYS.map(|(what, line)| Probe::Stray(what, line)));
        probes.extend(JUNK.map(|(what, line)| Probe::Junk(what, line)));
        probes.reverse();
        Self { probes, kinds: kinds.to_vec(), pings: None, given_up: false, silent: 0, ended_at_once: 0 }
    }

    /// Whether another process is to be started, after so many.
    fn goes_on(&mut self, processes: usize) -> bool {
        if self.given_up || processes >= MOST_AGAIN {
            self.probes.retain(|probe| matches!(probe, Probe::Call(_)));
        }
        !self.probes.is_empty()
    }

    fn calls_not_made(self) -> impl Iterator<Item = (Question, Answer)> {
        self.probes.into_iter().rev().filter_map(|probe| match probe {
            Probe::Call((tool, arguments)) => {
                let why = "it was not made: the server was gone, or silent, before";
                Some((Question::Call { tool, arguments }, Answer::NotStarted(why.to_owned())))
            }
            Probe::Ping
            | Probe::UnknownMethod
            | Probe::NoTool
            | Probe::UnknownTool
            | Probe::Arguments(..)
            | Probe::Id(_)
            | Probe::Stray(..)
            | Probe::Junk(..) => None,
        })
    }

    /// Asks this process until it is gone, or leaves one unanswered: it may never answer again.
    async fn go(&mut self, peer: &mut Peer, asked: &mut Vec<(Question, Answer)>) {
        if let Some(method) = self.pings {
            peer.ping_by(method);
        }
        let mut called = false;
        while !peer.has_ended()
            && let Some(probe) = self.probes.pop()
        {
            called |= matches!(probe, Probe::Call(_));
            let (question, answer) = ask(peer, probe.clone()).await;
            let (is_gone, is_silent) =
                (matches!(answer, Answer::Gone(_)), matches!(answer, Answer::Silence(_)));
            asked.push((question, answer));
            self.silent = if is_silent { self.silent + 1 } else { 0 };
            if is_gone {
                let at_once = asked.len() == 1 && !matches!(probe, Probe::Call(_));
                self.ended_at_once += usize::from(at_once);
                self.given_up |= self.ended_at_once == MOST_AT_ONCE;
                // Once is enough to know that it does not survive that.
                self.probes.retain(|other| !is_like(other, &probe));
                return;
            }
            if is_silent && matches!(probe, Probe::Ping) {
                match self.kinds.first() {
                    Some(kind) => self.pings = Some(kind.method()),
                    // Nothing shows whether it is there.
                    None => self
                        .probes
                        .retain(|probe| !matches!(probe, Probe::Id(_) | Probe::Stray(..) | Probe::Junk(..))),
                }
            }
            if is_silent {
                self.given_up |= self.silent == MOST_SILENCES;
                break;
            }
        }
        if called {
            peer.listen(AFTERWARDS).await;
        }
    }
}

/// Whether one shows what the other does.
fn is_like(probe: &Probe, other: &Probe) -> bool {
    !matches!(probe, Probe::Call(_)) && std::mem::discriminant(probe) == std::mem::discriminant(other)
}

async fn ask(peer: &mut Peer, probe: Probe) -> (Question, Answer) {
    match probe {
        Probe::Ping => (Question::Ping, peer.ping().await),
        Probe::UnknownMethod => (Question::UnknownMethod, peer.ask("mcp-supervise/unknown", json!({})).await),
        Probe::NoTool => (Question::NoTool, peer.ask("tools/call", json!({})).await),
        Probe::UnknownTool => {
            let nobody = json!({"name": "mcp-supervise-unknown-tool", "arguments": {}});
            (Question::UnknownTool, peer.ask("tools/call", nobody).await)
        }
        Probe::Arguments(tool, arguments) => {
            let answer = peer.ask("tools/call", json!({"name": tool, "arguments": arguments})).await;
            (Question::Arguments { tool, arguments }, answer)
        }
        Probe::Id(id) => (Question::Id(id), peer.ping_as(id).await),
        Probe::Call((tool, arguments)) => {
            let answer = peer.call(&tool, &arguments).await;
            (Question::Call { tool, arguments }, answer)
        }
        Probe::Stray(what, line) => {
            peer.tell(line);
            (Question::Stray(what), peer.ping().await)
        }
        Probe::Junk(what, line) => {
            peer.tell(line);
            (Question::Junk(what), peer.ping().await)
        }
    }
}

/// Speaks to it as clients of the new revision do first, and, where it refuses that, as they go on.
async fn probe(start: &Start<'_>, knows_the_old_way: bool) -> Life {
    // One that knows the new way only may take as long to start as any other.
    let patience = if knows_the_old_way { PROBED } else { start.patience };
    let mut peer = match Peer::start(start, Era::Modern) {
        Ok(peer) => peer,
        Err(why) => return Life::opened(Era::Modern, Answer::NotStarted(why)),
    };
    let opening = peer.probe_opening(patience).await;
    let mut life = Life::opened(Era::Modern, opening);
    if let Some(greeting) = life.greeting() {
        let kinds = offered(greeting);
        life.listings = lists(&mut peer, &kinds).await;
        let unknown = peer.ask("mcp-supervise/unknown", json!({})).await;
        life.asked.push((Question::UnknownMethod, unknown));
    } else if matches!(life.opening, Answer::Error { .. }) && knows_the_old_way {
        peer.speak(Era::Legacy);
        let answer = peer.open(LEGACY).await;
        life.asked.push((Question::Initialize, answer));
    }
    let way = if life.asked.is_empty() { Way::Unasked } else { Way::EndOfInput };
    let (output, ending) = peer.leave(way).await;
    Life { output, ending: Some(ending), ..life }
}

/// How long clients wait for the answer to a probe.
const PROBED: Duration = Duration::from_secs(10);

/// Two at once. The first gets SIGTERM, the second the end of its input.
async fn pair(start: &Start<'_>, era: Era) -> Vec<Life> {
    let mut both = Vec::new();
    for way in [Way::Term, Way::EndOfInput] {
        let peer = Peer::start(start, era);
        both.push((way, peer));
    }
    let mut opened = Vec::new();
    for (way, peer) in both {
        match peer {
            Ok(mut peer) => {
                let opening = peer.open(LEGACY).await;
                opened.push((way, opening, Some(peer)));
            }
            Err(why) => opened.push((way, Answer::NotStarted(why), None)),
        }
    }
    let mut lives = Vec::new();
    for (way, opening, peer) in opened {
        let mut life = Life::opened(era, opening);
        if let Some(peer) = peer {
            let way = if life.greeting().is_some() { way } else { Way::Unasked };
            let (output, ending) = peer.leave(way).await;
            (life.output, life.ending) = (output, Some(ending));
        }
        lives.push(life);
    }
    lives
}
