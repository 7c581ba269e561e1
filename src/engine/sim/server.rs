//! The model of a server: one for each child. It knows the protocol, and breaks it in the ways that servers do.

mod eras;
mod lines;

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

pub(super) use self::eras::Kind;
use self::lines::noise;
use super::check_child::OURS;
use super::check_inject::REFUSED;
use super::parse::{self, Message};
use super::rng::Rng;
use super::world::{Event, Said, Sched};
use crate::engine::io::{Era, Exit, GroupSignal, Whom};

/// What a line of a server looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One message.
    Plain,
    /// A message with noise before it.
    Glued,
    /// An array of messages.
    Batch,
    /// No message.
    Noise,
    /// Longer than we read: only its ends arrive.
    TooMuch,
}

/// How a server greets.
#[derive(Clone, Copy, Debug)]
enum Greets {
    After(Duration),
    Never,
    WithError,
    Dies,
    TooLong,
}

/// The tools that each server has. What they declare of themselves changes from child to child.
pub(super) const TOOLS: [&str; 6] = ["reads", "same", "odd", "plain", "typed", "shifty"];

/// A server.
#[derive(Debug)]
pub(super) struct Server {
    pub generation: u32,
    pub alive: bool,
    pub born: bool,
    pub silent: bool,
    /// Its output has ended, though it runs.
    pub mute: bool,
    /// Its input is full: what is written to it now never leaves us.
    pub stuck: bool,
    pub unsent: Vec<Bytes>,
    pub forgotten: bool,
    /// It runs and says nothing any more.
    pub hung: bool,
    /// It is stopped, as by SIGSTOP.
    pub frozen: bool,
    kind: Kind,
    /// The era that it is locked to.
    locked: Option<Era>,
    streams: Vec<String>,
    /// When it answers anything but a greeting.
    awake: Duration,
    dying: bool,
    greets: Greets,
    speaks: Option<&'static str>,
    /// What was written to it before it ran.
    unread: Vec<String>,
    next_ask: u64,
    asks: Vec<String>,
    batches: bool,
    /// How it answers the end of its input, and SIGTERM.
    heeds_close: bool,
    heeds_term: bool,
    /// Its group has other processes; whether they heed SIGTERM.
    pub helpers: bool,
    helpers_heed: bool,
    told: u64,
    /// Its ids come back in the other spelling.
    twins: bool,
    /// The token in its environment; `None` inside if it got none.
    pub token: Injected,
}

/// What a server gets of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Injected {
    /// Nothing that concerns it.
    Nothing,
    /// There was none.
    None,
    Token(u32),
}

impl Server {
    pub(super) fn new(generation: u32, sched: &mut Sched) -> Self {
        let (rng, profile) = (&mut sched.rng, &sched.profile);
        let greets = match () {
            () if rng.percent(profile.dies_young) => Greets::Dies,
            () if rng.percent(profile.never_greets) => Greets::Never,
            () if rng.percent(profile.refuses) => Greets::WithError,
            () if rng.percent(1) => Greets::TooLong,
            () if rng.percent(profile.greets_slowly) => Greets::After(rng.millis(2000, 70_000)),
            () => Greets::After(rng.millis(0, 40)),
        };
        let drifted = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28", "1.0"];
        let speaks =
            if generation > 1 && rng.percent(profile.drifts) { Some(*rng.pick(&drifted)) } else { None };
        Self {
            generation,
            alive: true,
            born: false,
            silent: false,
            mute: false,
            stuck: false,
            unsent: Vec::new(),
            forgotten: false,
            hung: false,
            frozen: false,
            kind: profile.kind,
            locked: None,
            streams: Vec::new(),
            awake: sched.now,
            dying: false,
            greets,
            speaks,
            unread: Vec::new(),
            next_ask: 0,
            asks: Vec::new(),
            batches: false,
            heeds_close: !rng.percent(profile.stubborn),
            heeds_term: !rng.percent(profile.stubborn),
            helpers: rng.percent(25),
            helpers_heed: rng.percent(70),
            told: 0,
            twins: profile.twins,
            token: Injected::Nothing,
        }
    }

    /// It runs, and reads what was written to it so far.
    pub(super) fn is_born(&mut self, heard: &mut Vec<String>, sched: &mut Sched) {
        self.born = true;
        self.awake = match self.greets {
            Greets::After(delay) => sched.now + delay,
            Greets::Never => Duration::from_secs(100_000),
            Greets::WithError | Greets::Dies | Greets::TooLong => sched.now,
        };
        if sched.rng.percent(8) {
            let wait = sched.rng.millis(0, 3);
            self.says(wait, noise(&mut sched.rng), sched);
        }
        if sched.rng.percent(4) {
            // Some log before they are greeted, some even ask.
            let early = *sched.rng.pick(&["notifications/message", "ping"]);
            let line = if early == "ping" {
                self.ask("ping", sched)
            } else {
                json!({"jsonrpc": "2.0", "method": early, "params": {"level": "info", "data": "up"}})
                    .to_string()
            };
            self.say(Duration::from_micros(10), line, sched);
        }
        for line in std::mem::take(&mut self.unread) {
            self.is_told(line, heard, sched);
        }
    }

    /// A line was written to it.
    pub(super) fn is_told(&mut self, line: String, heard: &mut Vec<String>, sched: &mut Sched) {
        if !self.born {
            self.unread.push(line);
            return;
        }
        if !self.alive {
            return;
        }
        match parse::message(&line) {
            Some(message) => self.reads(&message, heard, sched),
            None => {
                for element in parse::elements(&line).unwrap_or_default() {
                    parse::message(&element).inspect(|message| self.reads(message, heard, sched));
                }
            }
        }
    }

    fn reads(&mut self, message: &Message, heard: &mut Vec<String>, sched: &mut Sched) {
        let (Some(id), Some(method)) = (message.id.clone(), message.method.as_deref()) else { return };
        heard.push(id.clone());
        let id = self.spelled(id);
        let params = &message.params;
        if self.hung {
            return;
        }
        let enveloped = params["_meta"]["io.modelcontextprotocol/protocolVersion"].is_string();
        if let Some(refusal) = self.refuses(method, enveloped) {
            let soon = sched.rng.millis(0, 5);
            if refusal == 0 {
                return self.dies(soon, sched);
            }
            let line = format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":{refusal},\"message\":\"not here\"}}}}"
            );
            return self.say(soon, line, sched);
        }
        if method == "initialize" {
            return self.greet(&id, params, sched);
        }
        if id.starts_with(OURS) && id.contains(":ping:") && self.takes_ping(&id, sched) {
            return;
        }
        let lag = self.awake.saturating_sub(sched.now);
        if method == "subscriptions/listen" {
            return self.listened(lag, &id, params, sched);
        }
        if self.locked != Some(Era::Legacy) && matches!(self.greets, Greets::Dies) {
            return self.dies(lag, sched);
        }
        if enveloped && self.told == 0 {
            for _ in 0..sched.rng.below(4) + sched.profile.wild / 10 {
                let at = lag + sched.rng.mostly(70, 60, 8000);
                sched.after(at, Event::Acts(self.generation));
            }
        }
        let (never, late, mut delay) = {
            let (rng, profile) = (&mut sched.rng, &sched.profile);
            let late = rng.percent(profile.answers_late);
            let delay = lag + if late { rng.millis(500, 14_000) } else { rng.millis(0, 25) };
            (rng.percent(profile.never_answers), late, delay)
        };
        let dies = sched.rng.percent(sched.profile.fault / 8);
        if let Some(token) = params["_meta"].get("progressToken") {
            for value in 1..=sched.rng.below(4) {
                let line = json!({"jsonrpc": "2.0", "method": "notifications/progress",
                    "params": {"progressToken": token, "progress": value}});
                self.say(
                    delay.mul_f64(f64::from(u32::try_from(value).unwrap()) / 5.0),
                    line.to_string(),
                    sched,
                );
            }
        }
        if dies && sched.rng.percent(60) {
            self.dies(delay, sched);
            delay += sched.rng.millis(0, 2);
        }
        if never {
            return;
        }
        let answer = self.answer(&id, method, params, sched);
        self.say(delay, answer.clone(), sched);
        if sched.rng.percent(sched.profile.wild / 4) {
            let again = delay + sched.rng.millis(0, 300);
            self.say(again, answer, sched);
        }
        if dies {
            self.dies(delay + sched.rng.millis(0, if late { 50 } else { 2 }), sched);
        }
    }

    fn greet(&mut self, id: &str, params: &Value, sched: &mut Sched) {
        let asked = params["protocolVersion"].as_str().unwrap_or("none");
        let version =
            self.speaks.unwrap_or(if asked <= sched.profile.speaks { asked } else { sched.profile.speaks });
        self.batches = version == "2025-03-26";
        let full = if sched.rng.percent(50) {
            json!({"tools": {"listChanged": true}, "resources": {"subscribe": true}, "prompts": {},
                "logging": {}, "completions": {}, "tasks": {}})
        } else {
            json!({"tools": {"listChanged": true}, "resources": {"subscribe": true, "listChanged": true},
                "prompts": {"listChanged": true}, "logging": {}, "completions": {}, "tasks": {}})
        };
        let capabilities = if sched.rng.percent(90) { full } else { json!({"tools": {}}) };
        let result = json!({"protocolVersion": version, "capabilities": capabilities,
            "serverInfo": {"name": "model", "version": self.generation.to_string()}});
        let line = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}");
        let soon = sched.rng.millis(0, 5);
        match self.greets {
            Greets::After(delay) => {
                self.say(delay, line, sched);
                let mut at = delay;
                for _ in 0..sched.rng.below(4) + sched.profile.wild / 10 {
                    at += sched.rng.mostly(70, 60, 8000);
                    sched.after(at, Event::Acts(self.generation));
                }
            }
            Greets::Never => {}
            Greets::WithError => {
                let line = format!(
                    "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":-32602,\"message\":\"no\"}}}}"
                );
                self.say(soon, line, sched);
                // It may think better of it.
                self.greets = Greets::After(soon);
            }
            Greets::Dies => self.dies(soon, sched),
            Greets::TooLong => {
                let line =
                    line.replace("\"model\"", &format!("\"{}\"", "m".repeat(2 * sched.profile.max_answer)));
                self.say(soon, line, sched);
            }
        }
    }

    fn answer(&mut self, id: &str, method: &str, params: &Value, sched: &mut Sched) -> String {
        self.told += 1;
        let wall = sched.wall();
        let rng = &mut sched.rng;
        let text = format!("generation {} answer {} to {method}", self.generation, self.told);
        if rng.percent(5) && !method.ends_with("/list") {
            return format!(
                "{{\"id\":{id},\"jsonrpc\":\"2.0\",\"error\":{{\"code\":-32602,\"message\":\"{text}\"}}}}"
            );
        }
        let empty = rng.percent(8);
        let cursor = params["cursor"].as_str();
        let result = match method {
            _ if method.ends_with("/list") && empty => {
                let member = method.trim_end_matches("/list").rsplit('/').next().unwrap();
                let member = if member == "templates" { "resourceTemplates" } else { member };
                json!({ (member): [] })
            }
            "tools/list" => self.tools(cursor, rng),
            "prompts/list" => json!({"prompts": [{"name": "p", "description": text}]}),
            "resources/list" => json!({"resources": [{"uri": "file:///a", "name": text}]}),
            "resources/templates/list" => {
                json!({"resourceTemplates": [{"uriTemplate": "x:{y}", "name": text}]})
            }
            "completion/complete" => json!({"completion": {"values": [text]}}),
            "ping" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe" => json!({}),
            "tools/call" if self.is_refused(rng, sched.good, wall) => {
                let text = format!("{text}: {REFUSED}");
                json!({"content": [{"type": "text", "text": text}], "isError": true})
            }
            _ => {
                json!({"content": [{"type": "text", "text": text}], "isError": rng.percent(sched.profile.fails)})
            }
        };
        let result = if self.locked == Some(Era::Legacy) {
            result
        } else {
            let mut result = if method == "server/discover" {
                json!({"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}, "resources": {}, "prompts": {}, "completions": {}, "tasks": {}}})
            } else {
                result
            };
            result["resultType"] = json!("complete");
            if method.ends_with("/list") || method == "server/discover" {
                result["ttlMs"] = json!(60_000);
                result["cacheScope"] = json!("private");
            }
            result
        };
        let huge = rng.percent(3);
        let pad = if huge { "h".repeat(2 * sched.profile.max_answer) } else { String::new() };
        match (huge, rng.below(4)) {
            (true, _) => {
                format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"content\":[],\"pad\":\"{pad}\"}}}}")
            }
            (_, 0) => {
                format!("{{ \"result\" : {result}, \"id\": {id} ,\t\"jsonrpc\":\"2.0\",\"extra\":1.50}}")
            }
            _ => format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{result}}}"),
        }
    }

    /// Whether the API refuses what a tool asks of it; sometimes it is not asked, and sometimes something else is refused.
    fn is_refused(&self, rng: &mut Rng, good: Option<(u32, Option<Duration>)>, wall: Duration) -> bool {
        let is_good = match self.token {
            Injected::Nothing => return false,
            Injected::None => false,
            Injected::Token(ours) => {
                good.is_some_and(|(id, end)| id == ours && end.is_none_or(|end| end > wall))
            }
        };
        rng.percent(if is_good { 3 } else { 80 })
    }

    fn tools(&self, cursor: Option<&str>, rng: &mut Rng) -> Value {
        let names = if cursor.is_some() { &TOOLS[3..] } else { &TOOLS[..] };
        let tools: Vec<Value> = names
            .iter()
            .map(|name| {
                let annotations = match *name {
                    "reads" => json!({"readOnlyHint": true}),
                    "same" => json!({"idempotentHint": true, "destructiveHint": true}),
                    "odd" => json!({"readOnlyHint": true, "destructiveHint": true}),
                    "shifty" => json!({"readOnlyHint": self.generation % 2 == 1 && rng.percent(90)}),
                    _ => json!({}),
                };
                let mut tool = json!({"name": name, "inputSchema": {"type": "object"}});
                if *name != "plain" {
                    tool["annotations"] = annotations;
                }
                if *name == "typed" {
                    tool["outputSchema"] = json!({"type": "object"});
                }
                tool
            })
            .collect();
        match cursor {
            None if rng.percent(40) => json!({"tools": tools, "nextCursor": "more"}),
            _ => json!({ "tools": tools }),
        }
    }

    /// It does something of its own accord.
    pub(super) fn acts(&mut self, heard: &[String], sched: &mut Sched) {
        if !self.alive || self.hung {
            return;
        }
        let now = Duration::ZERO;
        let wild = sched.rng.percent(20 + sched.profile.wild);
        match sched.rng.below(if wild { 10 } else { 6 }) {
            0..3 if self.locked != Some(Era::Modern) || wild => {
                let method =
                    *sched.rng.pick(&["roots/list", "sampling/createMessage", "elicitation/create", "ping"]);
                let line = self.ask(method, sched);
                self.say(now, line, sched);
            }
            3 if !self.asks.is_empty() => {
                let id = sched.rng.pick(&self.asks).clone();
                let line = format!(
                    "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{id}}}}}"
                );
                self.say(now, line, sched);
            }
            0..6 => {
                let method = *sched.rng.pick(&[
                    "notifications/message",
                    "notifications/tools/list_changed",
                    "notifications/resources/updated",
                    "notifications/unheard_of",
                ]);
                let line = json!({"jsonrpc": "2.0", "method": method, "params": {"level": "info", "uri": "file:///a",
                    "from": self.generation}});
                self.say(now, line.to_string(), sched);
            }
            6 => self.says(now, noise(&mut sched.rng), sched),
            7 => {
                let id = if heard.is_empty() || sched.rng.percent(30) {
                    "4711".to_owned()
                } else {
                    sched.rng.pick(heard).clone()
                };
                let message = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"stray\":true}}}}");
                // What it answers to us is looked at by the checker when it says so.
                let ours = id.starts_with("\"mcp-supervise");
                match sched.rng.below(4) {
                    0 if !ours => {
                        // The server logs what it has fetched.
                        let said = Said {
                            line: format!("fetched {message}"),
                            inner: vec![message],
                            shape: Shape::Glued,
                        };
                        self.says(now, said, sched);
                    }
                    1 => {
                        let line = format!("fetched {message} in 3 ms");
                        self.says(now, Said { line, inner: Vec::new(), shape: Shape::Noise }, sched);
                    }
                    _ => self.say(now, message, sched),
                }
            }
            8 => {
                let id = if sched.rng.percent(50) { "" } else { "\"id\":null," };
                let line = format!(
                    "{{\"jsonrpc\":\"2.0\",{id}\"error\":{{\"code\":-32700,\"message\":\"what?\"}}}}"
                );
                let shape = if id.is_empty() { Shape::Plain } else { Shape::Noise };
                let inner = if id.is_empty() { vec![line.clone()] } else { Vec::new() };
                self.says(now, Said { line, inner, shape }, sched);
            }
            _ => {
                let ask = self.ask("roots/list", sched);
                let note =
                    json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {}}).to_string();
                let line = format!("[{ask} , {note}]");
                self.says(now, Said { line, inner: vec![ask, note], shape: Shape::Batch }, sched);
            }
        }
    }

    /// A request of its own; the first has the id 0 in each child.
    fn ask(&mut self, method: &str, sched: &mut Sched) -> String {
        let id = self.next_ask;
        self.next_ask += 1;
        let id = if id % 4 == 3 { format!("\"s{id}\"") } else { id.to_string() };
        self.asks.push(id.clone());
        match sched.rng.below(3) {
            0 => format!(
                "{{\"jsonrpc\":\"2.0\",\"id\": {id} ,\"method\":\"{method}\",\"params\":{{\"_meta\":{{\"progressToken\":{id}}}}}}}"
            ),
            1 => format!("{{\"method\":\"{method}\",\"id\":{id},\"jsonrpc\":\"2.0\"}}"),
            _ => {
                format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\",\"params\":{{\"id\":7}}}}")
            }
        }
    }

    /// It is going to die.
    pub(super) fn dies(&mut self, delay: Duration, sched: &mut Sched) {
        if std::mem::replace(&mut self.dying, true) {
            return;
        }
        let exits =
            [Exit::Code(0), Exit::Code(75), Exit::Code(1), Exit::Signal(9), Exit::Signal(11), Exit::Code(75)];
        let exit = *sched.rng.pick(&exits);
        if sched.rng.percent(25) {
            // Its output ends first.
            sched.after(delay, Event::Silence(self.generation));
            let lag = sched.rng.mostly(80, 20, 900);
            return sched.after(delay + lag, Event::Exits(self.generation, exit));
        }
        sched.after(delay, Event::Exits(self.generation, exit));
    }

    pub(super) fn stdin_closes(&mut self, sched: &mut Sched) {
        if self.heeds_close && self.alive && !self.frozen {
            let exit = if sched.rng.percent(80) { Exit::Code(0) } else { Exit::Code(3) };
            let mut delay = sched.rng.mostly(80, 50, 4000);
            for id in std::mem::take(&mut self.streams) {
                self.ends_stream(delay, &id, sched);
                delay += Duration::from_micros(20);
            }
            sched.after(delay, Event::Exits(self.generation, exit));
        }
    }

    pub(super) fn signalled(&mut self, signal: GroupSignal, whom: Whom, sched: &mut Sched) {
        let kill = signal == GroupSignal::Kill;
        if whom != Whom::Leader && (kill || signal == GroupSignal::Term && self.helpers_heed) {
            // Helpers save what they have, some for longer than they may.
            let delay = if kill { Duration::from_micros(300) } else { sched.rng.mostly(60, 900, 6000) };
            sched.after(delay, Event::HelpersEnd(self.generation));
        }
        if !self.alive {
            if whom == Whom::Group {
                // Whoever held its output is gone too.
                sched.after(Duration::from_micros(300), Event::Silence(self.generation));
            }
            return;
        }
        if whom == Whom::Rest {
            return;
        }
        let unkillable = sched.rng.percent(2);
        let delay = sched.rng.mostly(90, 20, 295);
        if kill && !unkillable {
            sched.after(delay, Event::Exits(self.generation, Exit::Signal(9)));
        } else if !kill && self.heeds_term && !self.frozen {
            let number = signal.number();
            let exit = *sched.rng.pick(&[Exit::Signal(number), Exit::Code(128 + number), Exit::Code(0)]);
            let delay = sched.rng.mostly(70, 20, 1400);
            sched.after(delay, Event::Exits(self.generation, exit));
        }
    }
}
