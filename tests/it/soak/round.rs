//! One round: a burst of requests, a trouble in the midst of it, silence again, and what is then looked at.
//!
//! A round ends only when every request is answered or taken back, the troubles have had their effect, and the server that
//! was started last says that it was told all it must know. So what guidance there was can be judged by the deaths of the
//! round alone: without one there is none, and one is no reason not to answer what is safe to repeat.

use std::collections::BTreeSet;
use std::time::Duration;
use std::{fs, mem};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::book::{Guided, Right};
use super::player::{CALL_TIMEOUT, HOLD, MOST, Player, Role};
use super::traffic::{self, Ask};
use super::trouble::Trouble;
use crate::support::process::{self, Since};
use crate::support::text_of;

/// How many requests a round has, at most: less than may wait for a server.
const BURST: u64 = 120;
/// How long nothing must come for a host to give up waiting.
const SILENCE: Duration = Duration::from_millis(300);
/// What a round's last guidance may be younger than it should be, by the clock of the host.
const CLOCKS: Duration = Duration::from_millis(50);

impl Player {
    /// Plays one round.
    pub(super) fn play(&mut self, trouble: Trouble) {
        self.round += 1;
        self.trouble = trouble;
        let before = self.servers().len();
        let burst = self.dice.between(1, BURST);
        let strike = self.dice.below(burst);
        let mut bytes = 0;
        let mut vital = BTreeSet::new();
        for at in 0..burst {
            if at == strike && trouble != Trouble::StopIdle {
                self.strike(trouble, &mut vital);
            }
            if self.role == Role::Batches && self.dice.percent(8) {
                self.send_batch();
                continue;
            }
            let ask = self.choose(&mut bytes);
            self.post(ask);
            if self.dice.percent(6) {
                self.cancel_one(&vital);
            }
            if self.dice.percent(30) {
                self.answer_server();
            }
        }
        self.change_state();
        self.settle(trouble, &vital);
        if trouble == Trouble::StopIdle {
            self.signal_server(self.server(), Signal::SIGSTOP);
        }
        let deaths = trouble.deaths();
        self.tend("the next server starts", |player| player.servers().len() >= before + deaths);
        self.ask_for_state();
        self.read_journal();
        self.judge(before);
        if trouble.lasts() {
            self.rest();
        }
    }

    /// Brings the supervisor into the state in which it is measured: with a new server, which owes no answer to anything
    /// that was taken back.
    pub(super) fn rest(&mut self) {
        let before = self.servers().len();
        self.signal_server(self.server(), Signal::SIGKILL);
        self.tend("the next server starts", |player| player.servers().len() > before);
        self.ask_for_state();
    }

    fn choose(&mut self, bytes: &mut u64) -> Ask {
        let number = self.next();
        let known = mem::take(&mut self.known);
        let (largest, all) = self.trouble.largest();
        let ask = loop {
            let ask = match self.role {
                Role::Modern => traffic::modern(&mut self.dice, number, &known),
                Role::Pipes => traffic::legacy(&mut self.dice, number, &known, MOST),
                Role::Batches | Role::Sockets => traffic::legacy(&mut self.dice, number, &known, 2 * MOST),
            };
            if ask.bytes <= largest && *bytes + ask.bytes <= all {
                break ask;
            }
        };
        self.known = known;
        *bytes += ask.bytes;
        ask
    }

    /// Some requests in one line, of those that are answered at once.
    fn send_batch(&mut self) {
        let asks = (0..self.dice.between(1, 5)).map(|_| match self.dice.below(4) {
            0 => Ask::method("ping", json!({}), Right::Result(json!({}))),
            1 => Ask::once("count", &json!({}), Right::Number),
            2 => Ask::tool("put", &json!({"key": "a", "value": "b"}), Right::Text("a is b".to_owned())),
            _ => {
                let word = self.dice.text(40);
                Ask::tool("echo", &json!({"text": word}), Right::Text(word))
            }
        });
        let asks = asks.collect();
        self.post_batch(asks);
    }

    /// Takes back a request that is still open, whatever it is.
    fn cancel_one(&mut self, vital: &BTreeSet<String>) {
        let open: Vec<String> = self.book(|book| book.open().map(|(id, _)| id.clone()).collect());
        let open: Vec<String> = open.into_iter().filter(|id| !vital.contains(id)).collect();
        if !open.is_empty() {
            let id = self.dice.pick(&open).clone();
            self.cancel(&id);
        }
    }

    /// Tells the server what it must know, and the one after it too.
    fn change_state(&mut self) {
        // What a host has taken back may have been heard, or not.
        if self.role == Role::Modern || self.trouble == Trouble::Deaf {
            return;
        }
        if self.dice.percent(40) {
            let level = (*self.dice.pick(&["debug", "info", "warning", "error"])).to_owned();
            self.post(Ask::method("logging/setLevel", json!({"level": level}), Right::Result(json!({}))));
            self.level = level;
        }
        if self.dice.percent(40) {
            let uri = format!("fixture://item/{}", self.dice.below(5));
            let method = if self.subscriptions.remove(&uri) {
                "resources/unsubscribe"
            } else {
                self.subscriptions.insert(uri.clone());
                "resources/subscribe"
            };
            self.post(Ask::method(method, json!({ "uri": uri }), Right::Result(json!({}))));
        }
    }

    /// Brings the trouble over the server. What must not be taken back is `vital`.
    fn strike(&mut self, trouble: Trouble, vital: &mut BTreeSet<String>) {
        let server = self.server();
        let once = self.path(&format!("once-{}", self.round));
        if let Some(mood) = trouble.mood(self.role, &mut self.dice, &once) {
            fs::write(self.path("mood"), mood).expect("the folder is ours");
            let before = self.servers().len();
            self.signal_server(server, Signal::SIGKILL);
            self.tend("the next server starts", |player| player.servers().len() > before);
            // Whoever tells that it has started knows its mood.
            return fs::remove_file(self.path("mood")).expect("it is ours");
        }
        let (tool, arguments, right) = match trouble {
            Trouble::Kill => return self.signal_server(server, Signal::SIGKILL),
            Trouble::KillTwice => {
                let before = self.servers().len();
                self.signal_server(server, Signal::SIGKILL);
                self.tend("the next server starts", |player| player.servers().len() > before);
                let moment = self.dice.duration(Duration::from_millis(10));
                process::pause(moment);
                return self.signal_server(self.server(), Signal::SIGKILL);
            }
            Trouble::Stop => return self.signal_server(server, Signal::SIGSTOP),
            Trouble::Blink => {
                self.signal_server(server, Signal::SIGSTOP);
                let moment = self.dice.duration(Duration::from_millis(250));
                process::pause(moment);
                return self.signal_server(server, Signal::SIGCONT);
            }
            Trouble::HandOff if self.role == Role::Modern => ("leave", json!({"code": 75}), Right::None),
            Trouble::Crash if self.role == Role::Modern => ("crash", json!({}), Right::None),
            Trouble::HandOff => ("crash", json!({"code": 75}), Right::None),
            Trouble::LastAnswer => ("crash", json!({"code": 0, "when": "after"}), Right::Start("alive: ")),
            Trouble::Crash => {
                let signal = *self.dice.pick(&["SEGV", "ABRT", "TERM", "KILL"]);
                ("crash", json!({"signal": signal}), Right::None)
            }
            Trouble::Poison => ("crash-safe", json!({}), Right::None),
            Trouble::TimeOut => ("hang", json!({}), Right::None),
            Trouble::Calm
            | Trouble::StopIdle
            | Trouble::SlowStart
            | Trouble::DieOnStart
            | Trouble::Noise
            | Trouble::Endless
            | Trouble::MidLine
            | Trouble::CloseStdout
            | Trouble::Deaf => return,
        };
        let safe = trouble == Trouble::Poison;
        let journaled = !safe && self.role != Role::Modern;
        let ask = Ask { safe, journaled, ..Ask::tool(tool, &arguments, right) };
        vital.insert(self.post(ask));
    }

    /// Waits until nothing is owed. What would be owed for ever is taken back.
    fn settle(&mut self, trouble: Trouble, vital: &BTreeSet<String>) {
        let mut silent = (0, Since::now());
        self.tend("all requests are answered", |player| {
            let (lines, open) = player.book(|book| {
                let open: Vec<_> = book.open().map(|(id, owed)| (id.clone(), owed.endless)).collect();
                (book.counts.lines, open)
            });
            if lines != silent.0 {
                silent = (lines, Since::now());
            }
            // The supervisor leaves a deaf server alone while requests are or may be in flight, so the test has to end
            // it.
            if trouble == Trouble::Deaf && silent.1.elapsed() > SILENCE {
                player.signal_server(player.server(), Signal::SIGKILL);
                silent.1 = Since::now();
            }
            let only_endless = open.iter().all(|(id, endless)| *endless || vital.contains(id));
            for (id, _) in &open {
                if only_endless && !vital.contains(id) {
                    player.cancel(id);
                }
            }
            open.is_empty()
        });
    }

    /// Asks until the server that was started last says what it knows, and compares it.
    fn ask_for_state(&mut self) {
        loop {
            let started = self.servers();
            let last = started.last().copied();
            if self.role == Role::Modern {
                let answer = self.get(Ask::tool("pid", &json!({}), Right::Kept)).unwrap_or_default();
                if text_of(&answer).parse().ok() == last && self.servers() == started {
                    return self.listen();
                }
                continue;
            }
            let answer = self.get(Ask::tool("state", &json!({}), Right::Kept)).unwrap_or_default();
            let state: Value = serde_json::from_str(text_of(&answer)).unwrap_or_default();
            if state["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok()) != last
                || self.servers() != started
            {
                continue;
            }
            let level = if self.level.is_empty() { Value::Null } else { json!(self.level) };
            for (what, right) in
                [("complaints", json!([])), ("level", level), ("subscriptions", json!(self.subscriptions))]
            {
                if state[what] != right {
                    self.fail(&format!("the server has {what} {}, and not {right}", state[what]));
                }
            }
            return;
        }
    }

    /// The stream that was opened in the beginning is still there: what changes is told.
    fn listen(&mut self) {
        let before = self.book(|book| book.counts.updates);
        let ask = Ask { safe: false, ..Ask::tool("touch", &json!({}), Right::Kept) };
        // A server that dies now is none of this round's: the next one tells what may have been missed.
        self.get(ask);
        self.tend("the stream tells what has changed", |player| {
            player.book(|book| book.counts.updates) > before
        });
    }

    /// Whether there was a reason for each guidance.
    fn judge(&mut self, before: usize) {
        let deaths = self.servers().len() - before;
        for id in self.book(|book| mem::take(&mut book.executed)) {
            if !self.journal.contains_key(&id) {
                self.fail(&format!("{id} was answered and not executed"));
            }
        }
        for guided in self.book(|book| mem::take(&mut book.guided)) {
            if let Some(why) = self.misguided(&guided, deaths) {
                let Guided { id, owed, status, outcome, after, .. } = guided;
                self.fail(&format!(
                    "{id} ({}) is answered with {status}, {outcome}, after {after:?} and {deaths} deaths: {why}",
                    owed.what
                ));
            }
        }
    }

    /// Why a guidance must not be. `None` if it may.
    fn misguided(&self, guided: &Guided, deaths: usize) -> Option<&'static str> {
        let owed = &guided.owed;
        let executed = self.journal.contains_key(&guided.id);
        if guided.outcome == "not_executed" && executed {
            return Some("it was executed");
        }
        let bytes = if let Right::Line(bytes) = &owed.right {
            *bytes
        } else if let Right::Text(text) = &owed.right {
            // What is around it has no more than that.
            text.len() + 100
        } else {
            0
        };
        let too_large = self.role == Role::Pipes && bytes as u64 > MOST;
        let limit = if self.role == Role::Sockets { CALL_TIMEOUT } else { HOLD };
        match guided.status.as_str() {
            "answer_too_large" if too_large => None,
            "answer_too_large" => Some("it is not too large"),
            "server_restarted" if deaths == 0 => Some("no server has died"),
            "server_restarted" if owed.safe && deaths == 1 => Some("it can be repeated"),
            "server_restarted" if matches!(owed.right, Right::Start("alive: ")) && deaths == 1 => {
                Some("it was answered before the server died")
            }
            "server_timeout" if guided.after + CLOCKS < limit => Some("nobody has waited that long"),
            "server_restarted" | "server_timeout" => None,
            _ => Some("there is no reason for it"),
        }
    }
}
