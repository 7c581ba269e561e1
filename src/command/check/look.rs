//! The looking: which processes are started, and what each is asked, in which order.
//!
//! | process | spoken to | sees |
//! |---|---|---|
//! | 1 | with `initialize` | lists, odd requests, calls, junk; the end of input |
//! | 2 | with `server/discover` | whether it speaks 2026-07-28; else whether it survives the probe |
//! | 3, 4 | at the same time | whether two can run; SIGTERM, and the end of input with nothing done |
//! | 5, 6 | under the real supervisor | a crash |
//!
//! A server that only knows the new way is asked in the new way throughout.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::arguments;
use super::drill;
use super::listing::lists;
use super::peer::{LEGACY, Peer, Start};
use super::seen::{Answer, Era, Kind, Life, Question, Seen, Way};

/// A server that leaves as many requests in a row unanswered is not asked any more.
const MOST_SILENCES: usize = 3;
/// How many tools are called with wrong arguments.
const WRONG_CALLS: usize = 3;
/// Ids that clients use: a text, one that looks like a number, one with what JSON escapes, the largest that is exact in a float.
const IDS: [&str; 4] = [r#""check""#, r#""7""#, r#""\u00e9\"\\ id""#, "9007199254740991"];

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
    let main = ask_everything(start, Era::Legacy, calls).await;
    if matches!(main.opening, Answer::NotStarted(_)) {
        return Seen { main, other: None, pair: Vec::new(), drill: None };
    }
    tell("the revision of 2026-07-28");
    let greeted = main.greeting().is_some();
    let modern = probe(start, greeted).await;
    let (main, other) = if !greeted && modern.greeting().is_some() {
        (ask_everything(start, Era::Modern, calls).await, main)
    } else {
        (main, modern)
    };
    let mut seen = Seen { main, other: Some(other), pair: Vec::new(), drill: None };
    if seen.greeted() {
        tell("two at once, and how they leave");
        seen.pair = pair(start, seen.main.era).await;
        tell("a crash");
        let lists: Vec<Kind> = seen.main.listings.iter().map(|listing| listing.kind).collect();
        seen.drill = Some(drill::drill(start, folder, seen.main.era, &lists).await);
    }
    seen
}

async fn ask_everything(start: &Start<'_>, era: Era, calls: &[Call]) -> Life {
    let mut peer = match Peer::start(start, era) {
        Ok(peer) => peer,
        Err(why) => return Life::opened(era, Answer::NotStarted(why)),
    };
    let opening = peer.open(LEGACY).await;
    let mut life = Life::opened(era, opening);
    if let Some(greeting) = life.greeting() {
        let kinds = offered(greeting);
        life.listings = lists(&mut peer, &kinds).await;
        life.asked = question(&mut peer, life.entries(Kind::Tools).unwrap_or_default(), &kinds, calls).await;
        let made =
            life.asked.iter().filter(|(question, _)| matches!(question, Question::Call { .. })).count();
        life.asked.extend(calls.iter().skip(made).map(|(tool, arguments)| {
            let why =
                Answer::NotStarted("it was not made: the server was gone, or silent, before".to_owned());
            (Question::Call { tool: tool.clone(), arguments: arguments.clone() }, why)
        }));
    }
    let way = if life.greeting().is_some() { Way::EndOfInput } else { Way::Unasked };
    let (output, ending) = peer.leave(way).await;
    Life { output, ending: Some(ending), ..life }
}

/// What the greeting promises lists of.
fn offered(greeting: &Value) -> Vec<Kind> {
    let capabilities = &greeting["capabilities"];
    Kind::ALL
        .into_iter()
        .filter(|kind| capabilities.get(kind.capability()).is_some_and(Value::is_object))
        .collect()
}

/// Everything that is asked of a server besides its lists, until it is gone.
async fn question(
    peer: &mut Peer,
    tools: &[Value],
    kinds: &[Kind],
    calls: &[Call],
) -> Vec<(Question, Answer)> {
    let mut asked = Vec::new();
    let mut silent = 0;
    macro_rules! ask {
        ($question:expr, $answer:expr) => {{
            let answer = $answer;
            silent = if matches!(answer, Answer::Silence(_)) { silent + 1 } else { 0 };
            let gone = matches!(answer, Answer::Gone(_));
            asked.push(($question, answer));
            if gone || silent == MOST_SILENCES {
                return asked;
            }
        }};
    }
    if peer.has_ended() {
        return asked;
    }
    ask!(Question::Ping, peer.ping().await);
    let mut pings = true;
    if matches!(asked.last(), Some((_, Answer::Silence(_)))) {
        match kinds.first() {
            Some(kind) => peer.ping_by(kind.method()),
            None => pings = false,
        }
    }
    ask!(Question::UnknownMethod, peer.ask("mcp-supervise/unknown", json!({})).await);
    if kinds.contains(&Kind::Tools) {
        ask!(Question::NoTool, peer.ask("tools/call", json!({})).await);
        let nobody = json!({"name": "mcp-supervise-unknown-tool", "arguments": {}});
        ask!(Question::UnknownTool, peer.ask("tools/call", nobody).await);
        let called: Vec<&str> = calls.iter().map(|(tool, _)| &**tool).collect();
        for (tool, arguments) in arguments::wrong(tools, &called, WRONG_CALLS) {
            let params = json!({"name": tool, "arguments": arguments});
            let answer = peer.ask("tools/call", params).await;
            ask!(Question::Arguments { tool, arguments }, answer);
        }
    }
    for id in IDS.into_iter().filter(|_| pings) {
        let before = (peer.output.unasked.count, peer.output.twice.count);
        let answer = peer.ping_as(id).await;
        // What came instead belongs to this question; a number that was used before is among it.
        let mut got = peer.output.unasked.take_from(before.0);
        if matches!(answer, Answer::Silence(_)) {
            got.extend(peer.output.twice.take_from(before.1));
        }
        ask!(Question::Id { sent: id.to_owned(), got }, answer);
    }
    for (tool, arguments) in calls {
        let answer = peer.ask("tools/call", json!({"name": tool, "arguments": arguments})).await;
        ask!(Question::Call { tool: tool.clone(), arguments: arguments.clone() }, answer);
    }
    for (what, line) in STRAYS.into_iter().filter(|_| pings) {
        peer.tell(line);
        ask!(Question::Stray(what), peer.ping().await);
    }
    for (what, line) in JUNK.into_iter().filter(|_| pings) {
        peer.tell(line);
        ask!(Question::Junk(what), peer.ping().await);
    }
    asked
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
