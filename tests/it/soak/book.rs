//! What one host has asked, what it is owed, and whether what comes is right.
//!
//! The book takes in the supervisor's stdout as it comes and keeps nothing of it but the last lines, so that a run can be
//! as long as it likes. It never waits and never guesses: the first thing that must not be is written down, and whoever
//! drives the host looks for that. Guidance is collected, because only the end of a round tells what was to be expected.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::message::is_whole;
use crate::support::process::Since;
use crate::support::reader::Intake;
use crate::support::{guidance, text_of};

/// How many lines of both directions are kept for a report, and how many bytes of each.
const LAST: (usize, usize) = (40, 240);
/// What numbers that no double can hold are made of.
const HUGE: u64 = 9_007_199_254_740_993;

/// What the server's own answer to a request must be.
#[derive(Debug)]
pub(super) enum Right {
    /// A tool's text.
    Text(String),
    /// A tool's text that is a number.
    Number,
    /// A tool's text that starts so.
    Start(&'static str),
    /// A line of so many bytes, its end not counted.
    Line(usize),
    /// Exactly this result.
    Result(Value),
    /// An error with this code.
    Error(i64),
    /// A tool's text that is an answer of ours, which no other call was given.
    OurAnswer,
    /// Whatever it is, for whoever waits for it.
    Kept,
    /// There is none: the server never answers it.
    None,
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct Owed {
    /// For reports.
    pub(super) what: String,
    pub(super) right: Right,
    /// Its server, or its method, says that it may be repeated.
    pub(super) safe: bool,
    /// Its execution is in the server's journal.
    pub(super) journaled: bool,
    /// Nothing answers it unless it is cancelled or its server dies.
    pub(super) endless: bool,
    /// It may be answered once more, or not at all.
    pub(super) cancelled: bool,
    pub(super) since: Since,
    /// Its progress so far. `None` if it asked for none.
    pub(super) progress: Option<f64>,
}

/// A request that was answered by the supervisor.
#[derive(Debug)]
pub(super) struct Guided {
    pub(super) id: String,
    pub(super) owed: Owed,
    pub(super) after: Duration,
    pub(super) status: String,
    pub(super) outcome: String,
}

/// How much of everything there was.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    pub(super) asked: u64,
    pub(super) cancelled: u64,
    /// Answers of the server.
    pub(super) served: u64,
    /// Answers of the supervisor, by status.
    pub(super) guided: BTreeMap<String, u64>,
    /// Messages of the server that are no answers.
    pub(super) told: u64,
    /// Requests of the server.
    pub(super) asked_by_server: u64,
    pub(super) updates: u64,
    pub(super) lines: u64,
    pub(super) bytes: u64,
}

/// The book of one host. Ids are JSON texts.
#[derive(Debug, Default)]
pub(super) struct Book {
    pub(super) counts: Counts,
    /// The longest line that the host takes, its end not counted. 0 for no limit.
    pub(super) longest: usize,
    pub(super) ended: bool,
    /// The first thing that must not be.
    pub(super) wrong: Option<String>,
    /// Requests of the server that the host has not answered yet: id and method.
    pub(super) to_answer: VecDeque<(Value, String)>,
    /// Since the last look.
    pub(super) guided: Vec<Guided>,
    /// The journaled requests that the server has answered since the last look.
    pub(super) executed: Vec<String>,
    owed: BTreeMap<String, Owed>,
    /// The numbers of those for which the host's own supervisor has lost its patience.
    late: BTreeSet<u64>,
    /// The highest number that an id was made of.
    last_asked: u64,
    kept: BTreeMap<String, Value>,
    server_ids: BTreeSet<String>,
    our_answers: BTreeSet<String>,
    last: VecDeque<String>,
    rest: Vec<u8>,
    searched: usize,
}

/// The id made of a number. All kinds of ids are in use, and no two are the same number.
pub(super) fn id(number: u64, huge: bool) -> Value {
    match number % 3 {
        0 => json!(number),
        1 => json!(format!("s-{number}")),
        _ if huge => json!(HUGE + number),
        _ => json!(number),
    }
}

/// The progress token of the request with this number.
pub(super) fn token(number: u64) -> String {
    format!("t-{number}")
}

/// The number that an id or a token was made of.
fn number_of(text: &str) -> Option<u64> {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let number: u64 = digits.parse().ok()?;
    Some(if number > HUGE { number - HUGE } else { number })
}

impl Book {
    /// Enters a request, before it is sent.
    pub(super) fn ask(&mut self, number: u64, id: &Value, owed: Owed) {
        self.counts.asked += 1;
        self.last_asked = number;
        self.owed.insert(id.to_string(), owed);
    }

    /// Notes a line that is sent, for reports.
    pub(super) fn sent(&mut self, line: &[u8]) {
        self.note("host ->", line);
    }

    /// The host does not wait any more.
    pub(super) fn cancel(&mut self, id: &str) {
        self.expect_nothing(id);
        self.counts.cancelled += 1;
    }

    /// An answer may come, and nobody waits for it.
    pub(super) fn expect_nothing(&mut self, id: &str) {
        if let Some(owed) = self.owed.get_mut(id) {
            owed.cancelled = true;
        }
    }

    /// The host answers its server with this word.
    pub(super) fn answers(&mut self, word: String) {
        self.our_answers.insert(word);
    }

    /// The requests that the host waits for.
    pub(super) fn open(&self) -> impl Iterator<Item = (&String, &Owed)> {
        self.owed.iter().filter(|(_, owed)| !owed.cancelled)
    }

    /// Takes out an answer that was kept.
    pub(super) fn take_kept(&mut self, id: &str) -> Option<Value> {
        self.kept.remove(id)
    }

    /// Whether the host waits for this one.
    pub(super) fn is_open(&self, id: &str) -> bool {
        self.owed.get(id).is_some_and(|owed| !owed.cancelled)
    }

    /// The last lines of both directions.
    pub(super) fn last_lines(&self) -> String {
        self.last.iter().flat_map(|line| [line, "\n"]).collect()
    }

    fn complain(&mut self, what: impl Into<String>) {
        self.wrong.get_or_insert(what.into());
    }

    fn note(&mut self, direction: &str, line: &[u8]) {
        if self.last.len() == LAST.0 {
            self.last.pop_front();
        }
        let shown = String::from_utf8_lossy(&line[..line.len().min(LAST.1)]);
        self.last.push_back(format!("{direction} {} ({} bytes)", shown.trim_end(), line.len()));
    }

    fn line(&mut self, line: &[u8]) {
        if self.wrong.is_none() {
            self.note("host <-", line);
        }
        self.counts.lines += 1;
        self.counts.bytes += line.len() as u64;
        let bare = line.trim_ascii_end();
        if self.longest > 0 && bare.len() > self.longest {
            self.complain("a line that is longer than the host takes");
        }
        match serde_json::from_slice::<Value>(bare) {
            Ok(Value::Array(elements)) if !elements.is_empty() => {
                for element in &elements {
                    self.message(element, None);
                }
            }
            Ok(message) => self.message(&message, Some(bare.len())),
            Err(error) => self.complain(format!("a line that is not JSON: {error}")),
        }
    }

    fn message(&mut self, message: &Value, length: Option<usize>) {
        if !is_whole(message) {
            return self.complain("a line that is no message");
        }
        match message["method"].as_str() {
            Some(method) => self.told(method, message),
            None => self.answer(message, length),
        }
    }

    fn told(&mut self, method: &str, message: &Value) {
        let params = &message["params"];
        if let Some(id) = message.get("id") {
            self.counts.asked_by_server += 1;
            if !self.server_ids.insert(id.to_string()) {
                self.complain(format!("a second request of the server with the id {id}"));
            }
            return self.to_answer.push_back((id.clone(), method.to_owned()));
        }
        self.counts.told += 1;
        match method {
            "notifications/message" | "notifications/subscriptions/acknowledged" => {}
            "notifications/resources/updated" => self.counts.updates += 1,
            "notifications/cancelled" => {
                let id = &params["requestId"];
                // What a server asks with its last words is dropped, and what it takes back with them is not.
                let last_words = params["reason"] == "no longer needed";
                if !self.server_ids.contains(&id.to_string()) && !last_words {
                    self.complain(format!("the server takes back what it has not asked: {id}"));
                }
                self.to_answer.retain(|(asked, _)| asked != id);
            }
            "notifications/progress" => {
                let token = params["progressToken"].as_str().unwrap_or_default();
                let now = params["progress"].as_f64().unwrap_or_default();
                let asked = number_of(token).and_then(|number| {
                    let ids = [id(number, true), id(number, false)].map(|id| id.to_string());
                    ids.into_iter().find(|id| self.owed.contains_key(id))
                });
                let before = asked.and_then(|id| self.owed.get_mut(&id)?.progress.as_mut());
                match before {
                    Some(before) if *before < now => *before = now,
                    Some(before) => {
                        let what = format!("the progress of {token} goes from {before} to {now}");
                        self.complain(what);
                    }
                    // It was told to leave the call, and need not have heard that yet.
                    None if number_of(token).is_some_and(|number| self.late.contains(&number)) => {}
                    None => self.complain(format!("progress of what nobody waits for: {token}")),
                }
            }
            // No server of a run has other lists than the one before it.
            other => self.complain(format!("the host is told {other}")),
        }
    }

    fn answer(&mut self, message: &Value, length: Option<usize>) {
        let id = message["id"].to_string();
        let Some(owed) = self.owed.remove(&id) else {
            let known = number_of(&id).is_some_and(|number| number <= self.last_asked);
            let what = if known { "a second answer to" } else { "an answer to what was never asked:" };
            return self.complain(format!("{what} {id}"));
        };
        if let Some(told) = guidance(message) {
            let word = |name: &str| told[name].as_str().unwrap_or_default().to_owned();
            let (status, outcome) = (word("status"), word("outcome"));
            *self.counts.guided.entry(status.clone()).or_default() += 1;
            let after = owed.since.elapsed();
            if status == "server_timeout" {
                self.late.extend(number_of(&id));
            }
            return self.guided.push(Guided { id, owed, after, status, outcome });
        }
        if message["result"] == json!({"completion": {"values": [], "hasMore": false}}) {
            // What says the same without words: no name has no completions.
            let (status, outcome) = ("server_restarted".to_owned(), String::new());
            *self.counts.guided.entry("no_completions".to_owned()).or_default() += 1;
            let after = owed.since.elapsed();
            return self.guided.push(Guided { id, owed, after, status, outcome });
        }
        self.counts.served += 1;
        if owed.journaled {
            self.executed.push(id.clone());
        }
        let text = text_of(message);
        let is_right = match &owed.right {
            Right::Text(right) => text == right,
            Right::Number => text.parse::<u64>().is_ok_and(|number| number > 0),
            Right::Start(start) => text.starts_with(start),
            Right::Line(bytes) => length == Some(*bytes) && text.bytes().all(|byte| byte == b'x'),
            Right::Result(right) => message["result"] == *right,
            Right::Error(code) => message["error"]["code"] == *code,
            Right::OurAnswer => {
                let answer: Value = serde_json::from_str(text).unwrap_or_default();
                let word = answer["roots"][0]["name"].as_str().unwrap_or_default();
                self.our_answers.remove(word)
            }
            Right::Kept => {
                self.kept.insert(id.clone(), message.clone());
                true
            }
            Right::None => false,
        };
        if !is_right {
            let shown: String = message.to_string().chars().take(LAST.1).collect();
            let mut right = format!("{:?}", owed.right);
            right.truncate(LAST.1);
            self.complain(format!("{id} ({}) is answered with {shown}, and {right} is right", owed.what));
        }
    }
}

impl Intake for Book {
    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        while let Some(feed) = memchr::memchr(b'\n', &self.rest[self.searched..]) {
            let line: Vec<u8> = self.rest.drain(..=self.searched + feed).collect();
            self.searched = 0;
            self.line(&line);
        }
        self.searched = self.rest.len();
    }

    fn end(&mut self) {
        if !self.rest.is_empty() {
            self.complain("stdout ends inside a line");
        }
        self.ended = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::request;

    fn owed(right: Right) -> Owed {
        let what = "tools/call".to_owned();
        let since = Since::now();
        Owed {
            what,
            right,
            safe: true,
            journaled: false,
            endless: false,
            cancelled: false,
            since,
            progress: Some(0.0),
        }
    }

    fn answer(id: u64, text: &str) -> String {
        json!({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": text}]}})
            .to_string()
    }

    fn told(method: &str, params: &Value) -> String {
        json!({"jsonrpc": "2.0", "method": method, "params": params}).to_string()
    }

    /// What is wrong after these lines, in a host that has asked 3 and waits for the text `a`.
    fn wrong(lines: &[String]) -> Option<String> {
        let mut book = Book::default();
        book.ask(3, &json!(3), owed(Right::Text("a".to_owned())));
        for line in lines {
            book.take(line.as_bytes());
            book.take(b"\n");
        }
        book.wrong
    }

    #[test]
    fn what_is_right_is_let_through() {
        let progress =
            |step: u64| told("notifications/progress", &json!({"progressToken": "t-3", "progress": step}));
        assert_eq!(wrong(&[progress(1), progress(2), answer(3, "a")]), None);
        assert_eq!(wrong(&[format!("[{}]", answer(3, "a"))]), None);
        assert_eq!(wrong(&[answer(3, r#"{"status":"server_restarted"}"#)]), None);
    }

    #[test]
    fn what_is_wrong_is_found() {
        let progress =
            |step: u64| told("notifications/progress", &json!({"progressToken": "t-3", "progress": step}));
        let roots = || request(0, "roots/list", &json!({}));
        for (lines, found) in [
            (vec![answer(3, "b")], "is right"),
            (vec![answer(3, "a"), answer(3, "a")], "a second answer to 3"),
            (vec![answer(6, "a")], "never asked: 6"),
            (vec!["noise".to_owned()], "not JSON"),
            (vec!["{}".to_owned()], "no message"),
            (vec![roots(), roots()], "a second request of the server"),
            (vec![told("notifications/cancelled", &json!({"requestId": 0}))], "has not asked"),
            (vec![progress(2), progress(1)], "goes from 2 to 1"),
            (vec![answer(3, "a"), progress(1)], "nobody waits for"),
            (vec![told("notifications/tools/list_changed", &json!({}))], "list_changed"),
        ] {
            let wrong = wrong(&lines).unwrap_or_default();
            assert!(wrong.contains(found), "{lines:?}: {wrong}");
        }
        let mut book = Book::default();
        book.take(b"{\"jsonrpc\"");
        book.end();
        assert!(book.wrong.is_some(), "half a line");
    }
}
