//! The model of a host: it greets, lists, calls, cancels, answers, and does what hosts do that should not.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::parse::{self, Message};
use super::profile::Profile;
use super::rng::Rng;
use super::server::TOOLS;
use super::world::{Event, Sched};
use crate::engine::io::{Order, StopSignal};

/// How the host opens the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    /// It greets, and waits for the answer.
    Waits,
    /// It greets, and sends everything else behind it.
    Pipelines,
    /// It greets, and takes it back.
    Cancels,
    /// It sends something else first and greets later.
    Late,
    /// It never greets.
    Never,
    /// It speaks the modern era at once.
    Modern,
    /// It asks what the server speaks, and goes on accordingly; in the legacy era if it is not told in time.
    Probes,
    /// It asks what the server speaks, and greets in any case.
    ProbesAndGreets,
}

/// How it writes ids.
#[derive(Clone, Copy, Debug)]
enum Ids {
    Numbers,
    Texts,
    Both,
    Big,
}

/// A host.
#[derive(Debug)]
pub(super) struct Host {
    opening: Opening,
    ids: Ids,
    pub version: &'static str,
    client: &'static str,
    /// It has turned to the modern era.
    modern: bool,
    /// The probe that it waits for.
    probe: Option<String>,
    /// The streams that it has opened.
    streams: Vec<String>,
    next: u64,
    acts_left: u64,
    greeting: Option<String>,
    told: Option<String>,
    open: BTreeMap<String, bool>,
    answered: Vec<String>,
    /// Ids and tokens of servers, to be answered late or again.
    asked: Vec<(String, Option<String>)>,
    /// Whether it will not write any more.
    pub ended: bool,
}

const URIS: [&str; 3] = ["file:///a", "file:///b", "file:///c \\u00e9"];

impl Host {
    pub(super) fn new(rng: &mut Rng, profile: &Profile) -> Self {
        let opening = match rng.below(100) {
            0..35 => Opening::Waits,
            35..55 => Opening::Pipelines,
            55..60 => Opening::Cancels,
            60..65 => Opening::Late,
            65..70 => Opening::Never,
            70..84 => Opening::Modern,
            84..96 => Opening::Probes,
            _ => Opening::ProbesAndGreets,
        };
        Self {
            opening,
            ids: *rng.pick(&[Ids::Numbers, Ids::Numbers, Ids::Texts, Ids::Both, Ids::Both, Ids::Big]),
            version: *rng.pick(&[
                "2025-11-25",
                "2025-11-25",
                "2025-06-18",
                "2025-03-26",
                "2025-03-26",
                "2024-11-05",
            ]),
            client: if rng.percent(20) { "claude-ai" } else { profile.client },
            modern: opening == Opening::Modern,
            probe: None,
            streams: Vec::new(),
            next: 0,
            acts_left: profile.acts,
            greeting: None,
            told: None,
            open: BTreeMap::new(),
            answered: Vec::new(),
            asked: Vec::new(),
            ended: false,
        }
    }

    /// Whether ids of it differ in their type only.
    pub(super) fn has_twins(&self) -> bool {
        matches!(self.ids, Ids::Both)
    }

    pub(super) fn starts(&mut self, sched: &mut Sched) {
        let soon = sched.rng.millis(0, 5);
        match self.opening {
            Opening::Late | Opening::Never | Opening::Modern => sched.after(soon, Event::HostActs),
            Opening::Probes | Opening::ProbesAndGreets => {
                let id = self.id(&mut sched.rng);
                let line = request(&id, "server/discover", &format!("{{\"_meta\":{{{ENVELOPE}}}}}"));
                self.open.insert(id.clone(), false);
                self.probe = Some(id);
                sched.after(soon, Event::HostSays(line));
                sched.after(soon + Duration::from_secs(10), Event::HostLosesPatience);
            }
            Opening::Waits | Opening::Pipelines | Opening::Cancels => {
                self.greet(soon, sched);
                if self.opening == Opening::Pipelines {
                    let late = soon + sched.rng.millis(0, 3);
                    sched.after(late, Event::HostSays(INITIALIZED.to_owned()));
                    sched.after(late, Event::HostActs);
                }
                if self.opening == Opening::Cancels {
                    let greeting = self.greeting.clone().unwrap();
                    let late = soon + sched.rng.mostly(50, 50, 60_000);
                    sched.after(late, Event::HostSays(cancel(&greeting)));
                    sched.after(late, Event::HostActs);
                }
            }
        }
        let probes = matches!(self.opening, Opening::Probes | Opening::ProbesAndGreets);
        if sched.profile.burst && !probes {
            let at = sched.rng.millis(0, 3000);
            for number in 0..1100 {
                let line = format!(
                    "{{\"jsonrpc\":\"2.0\",\"id\":\"burst {number}\",\"method\":\"resources/read\",\"params\":{{}}}}"
                );
                sched.after(at, Event::HostSays(line));
            }
        }
        // Whatever happens, the run ends.
        sched.after(Duration::from_secs(900), Event::Stop(StopSignal::Term));
    }

    fn greet(&mut self, delay: Duration, sched: &mut Sched) {
        let id = self.id(&mut sched.rng);
        let params = json!({"protocolVersion": self.version, "capabilities": {"roots": {"listChanged": true}},
            "clientInfo": {"name": self.client, "version": "1"}});
        let line = if sched.rng.percent(50) {
            format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"initialize\",\"params\":{params}}}")
        } else {
            format!("{{\"method\":\"initialize\",\"params\": {params},\"jsonrpc\":\"2.0\",\"id\" : {id}}}")
        };
        self.greeting = Some(id);
        sched.after(delay, Event::HostSays(line));
    }

    fn id(&mut self, rng: &mut Rng) -> String {
        let number = self.next;
        self.next += 1;
        match self.ids {
            Ids::Numbers => number.to_string(),
            Ids::Texts => format!("\"{number}\""),
            // 0 and "0" are different ids.
            Ids::Both if number.is_multiple_of(2) => (number / 2).to_string(),
            Ids::Both => format!("\"{}\"", number / 2),
            Ids::Big if rng.percent(50) => format!("9007199254740{}", 993 + number),
            Ids::Big => format!("9999999999999999{}", 1000 + number),
        }
    }

    /// It has waited for its probe long enough.
    pub(super) fn loses_patience(&mut self, sched: &mut Sched) {
        if let Some(id) = self.probe.take() {
            if sched.rng.percent(50) {
                self.open.insert(id.clone(), true);
                sched.after(Duration::ZERO, Event::HostSays(cancel(&id)));
            }
            self.goes_on(false, sched);
        }
    }

    /// It has its answer to the probe, or goes on without.
    fn goes_on(&mut self, modern: bool, sched: &mut Sched) {
        let soon = sched.rng.millis(0, 5);
        self.modern = modern && self.opening == Opening::Probes;
        if self.modern {
            return sched.after(soon, Event::HostActs);
        }
        self.opening = Opening::Waits;
        self.greet(soon, sched);
    }

    /// A line of the supervisor.
    pub(super) fn hears(&mut self, line: &str, sched: &mut Sched) {
        let messages = match parse::message(line) {
            Some(message) => vec![message],
            None => parse::elements(line)
                .unwrap_or_default()
                .iter()
                .filter_map(|element| parse::message(element))
                .collect(),
        };
        for message in messages {
            if message.is_request() {
                self.is_asked(&message, sched);
            } else if let Some(id) = &message.id {
                self.open.remove(id);
                self.answered.push(id.clone());
                self.streams.retain(|stream| stream != id);
                if self.probe.as_ref() == Some(id) {
                    self.probe = None;
                    let modern =
                        message.result.as_ref().is_some_and(|result| result["supportedVersions"].is_array());
                    self.goes_on(modern, sched);
                }
                if self.greeting.as_ref() == Some(id) && self.told.is_none() {
                    self.is_greeted(&message, sched);
                }
            }
        }
    }

    fn is_greeted(&mut self, message: &Message, sched: &mut Sched) {
        let soon = sched.rng.millis(0, 5);
        let Some(result) = &message.result else {
            if sched.rng.percent(50) {
                return self.greet(soon, sched);
            }
            return sched.after(soon, Event::HostEof);
        };
        self.told = result["protocolVersion"].as_str().map(str::to_owned);
        if self.opening == Opening::Waits {
            sched.after(soon, Event::HostSays(INITIALIZED.to_owned()));
            sched.after(soon, Event::HostActs);
        }
    }

    /// A server asks something: the answer comes soon, late, twice or never.
    fn is_asked(&mut self, message: &Message, sched: &mut Sched) {
        let id = message.id.clone().unwrap();
        let token = message.params["_meta"].get("progressToken").map(ToString::to_string);
        if let Some(token) = &token {
            let soon = sched.rng.millis(0, 200);
            sched.after(soon, Event::HostSays(progress(token)));
        }
        let delay = match sched.rng.below(10) {
            0 => Duration::from_secs(3600),
            1..4 => sched.rng.millis(100, 9000),
            _ => sched.rng.millis(0, 30),
        };
        let answer = format!("{{\"jsonrpc\":\"2.0\",\"id\": {id},\"result\":{{\"roots\":[]}}}}");
        sched.after(delay, Event::HostSays(answer.clone()));
        if sched.rng.percent(10) {
            let again = delay + sched.rng.millis(0, 3000);
            sched.after(again, Event::HostSays(answer));
        }
        self.asked.push((id, token));
    }

    /// The next thing that it does of its own accord.
    pub(super) fn acts(&mut self, sched: &mut Sched) {
        if self.ended {
            return;
        }
        if self.acts_left == 0 {
            return ends(sched);
        }
        self.acts_left -= 1;
        if let Some(line) = self.line(sched) {
            sched.after(Duration::ZERO, Event::HostSays(line));
        }
        let leisurely = sched.profile.leisurely && sched.rng.percent(40);
        let pause = match sched.rng.below(100) {
            _ if leisurely => sched.rng.millis(30_000, 90_000),
            0..40 => Duration::ZERO,
            40..70 => sched.rng.millis(0, 20),
            70..90 => sched.rng.millis(100, 2000),
            90..98 => sched.rng.millis(5000, 15_000),
            _ => sched.rng.millis(60_000, 90_000),
        };
        sched.after(pause, Event::HostActs);
    }

    fn line(&mut self, sched: &mut Sched) -> Option<String> {
        if self.modern && sched.rng.percent(6) {
            return Some(self.listen(&mut sched.rng));
        }
        let greets_late = self.opening == Opening::Late || self.opening == Opening::Cancels;
        if greets_late && self.told.is_none() && sched.rng.percent(10) {
            self.opening = Opening::Pipelines;
            self.greet(Duration::ZERO, sched);
            return Some(INITIALIZED.to_owned());
        }
        let (rng, open) = (&mut sched.rng, &self.open);
        let some_open = |rng: &mut Rng| {
            let ids: Vec<&String> =
                open.iter().filter(|(_, cancelled)| !**cancelled).map(|(id, _)| id).collect();
            (!ids.is_empty()).then(|| (*rng.pick(&ids)).clone())
        };
        let envelope = if self.modern { format!(",\"_meta\":{{{ENVELOPE}}}") } else { String::new() };
        let again = format!("{{\"uri\":\"again\"{envelope}}}");
        let reused = format!("{{\"uri\":\"reused\"{envelope}}}");
        match rng.below(100) {
            0..70 => {
                let batches = self.told.as_deref() == Some("2025-03-26") && rng.percent(20);
                if batches {
                    let count = 1 + rng.below(3);
                    let mut parts: Vec<String> = (0..count).map(|_| self.request(rng)).collect();
                    if rng.percent(30) {
                        parts.push(CHANGED_ROOTS.to_owned());
                    }
                    return Some(format!("[{}]", parts.join(", ")));
                }
                Some(self.request(rng))
            }
            70..80 => {
                let id =
                    some_open(rng).filter(|_| rng.percent(90)).unwrap_or_else(|| "\"nothing\"".to_owned());
                if let Some(cancelled) = self.open.get_mut(&id) {
                    *cancelled = true;
                }
                Some(cancel(&id))
            }
            80..83 => Some((*rng.pick(&JUNK)).to_owned()),
            // An id that is in flight, was, or whose request it has cancelled.
            83 => some_open(rng).map(|id| request(&id, "resources/read", &again)),
            84 => {
                let cancelled: Vec<&String> =
                    self.open.iter().filter(|(_, cancelled)| **cancelled).map(|(id, _)| id).collect();
                if cancelled.is_empty() {
                    return None;
                }
                let id = (*rng.pick(&cancelled)).clone();
                self.open.insert(id.clone(), false);
                self.streams.retain(|stream| *stream != id);
                Some(request(&id, "resources/read", &reused))
            }
            85..87 if !self.answered.is_empty() => {
                let id = rng.pick(&self.answered).clone();
                if self.open.contains_key(&id) || self.greeting.as_ref() == Some(&id) {
                    return None;
                }
                self.open.insert(id.clone(), false);
                Some(request(&id, "resources/read", &reused))
            }
            87 if !self.modern => {
                let id = self.id(rng);
                let params = format!("{{\"protocolVersion\":\"{}\",\"capabilities\":{{}}}}", self.version);
                Some(request(&id, "initialize", &params))
            }
            88..90 => Some(CHANGED_ROOTS.to_owned()),
            90 => Some(
                json!({"jsonrpc": "2.0", "method": "notifications/tasks/status", "params": {"taskId": "t"}})
                    .to_string(),
            ),
            91..93 => Some("{\"jsonrpc\":\"2.0\",\"id\":\"never asked\",\"result\":{}}".to_owned()),
            93..95 if !self.asked.is_empty() => {
                // About something that a server asked, perhaps long ago.
                let (id, token) = rng.pick(&self.asked).clone();
                Some(match token {
                    Some(token) if rng.percent(50) => progress(&token),
                    _ => format!(
                        "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":-32601,\"message\":\"late\"}}}}"
                    ),
                })
            }
            95 => {
                let id = self.id(rng);
                sched.after(Duration::ZERO, Event::HostSaysTooMuch(id));
                None
            }
            _ => None,
        }
    }

    fn listen(&mut self, rng: &mut Rng) -> String {
        // The checker cannot read numbers as big as the others may be out of the middle of a message.
        let id = Some(self.id(rng)).filter(|id| id.len() < 12).unwrap_or(format!("\"stream {}\"", self.next));
        self.open.insert(id.clone(), false);
        self.streams.push(id.clone());
        let filter = *rng.pick(&[
            "{\"toolsListChanged\":true,\"promptsListChanged\":true,\"resourcesListChanged\":true}",
            "{\"toolsListChanged\":true,\"resourceSubscriptions\":[\"file:///a\"]}",
            "{\"resourceSubscriptions\":[\"file:///a\",\"file:///b\"]}",
        ]);
        let params = format!("{{\"notifications\":{filter},\"_meta\":{{{ENVELOPE}}}}}");
        request(&id, "subscriptions/listen", &params)
    }

    fn request(&mut self, rng: &mut Rng) -> String {
        let id = self.id(rng);
        self.open.insert(id.clone(), false);
        let uri = *rng.pick(&URIS);
        let token =
            if id.len() > 16 { format!("\"token {number}\"", number = self.next) } else { id.clone() };
        let token = rng.percent(40).then(|| format!("\"progressToken\":{token}"));
        let members: Vec<String> =
            token.into_iter().chain(self.modern.then(|| ENVELOPE.to_owned())).collect();
        let alone = if self.modern { format!("\"_meta\":{{{ENVELOPE}}}") } else { String::new() };
        let meta =
            if members.is_empty() { String::new() } else { format!(",\"_meta\":{{{}}}", members.join(",")) };
        let modern = if self.modern { format!(",{alone}") } else { String::new() };
        if self.modern && rng.percent(5) {
            return request(&id, "server/discover", &format!("{{{alone}}}"));
        }
        // What only the legacy era has comes last.
        let (method, params) = match rng.below(if self.modern { 57 } else { 70 }) {
            0..28 => {
                let tool = *rng.pick(&TOOLS);
                let tool = if rng.percent(6) { "supervisor_status" } else { tool };
                let task = if rng.percent(8) { ",\"task\":{}" } else { "" };
                ("tools/call", format!("{{\"name\":\"{tool}\",\"arguments\":{{\"n\":1.0}}{task}{meta}}}"))
            }
            28..38 if rng.percent(20) => ("tools/list", format!("{{\"cursor\":\"more\"{modern}}}")),
            28..38 => ("tools/list", format!("{{{alone}}}")),
            38..43 => {
                let lists = ["prompts/list", "resources/list", "resources/templates/list"];
                (*rng.pick(&lists), format!("{{{alone}}}"))
            }
            43..48 => ("resources/read", format!("{{\"uri\":\"{uri}\"{meta}}}")),
            48..50 => ("prompts/get", format!("{{\"name\":\"p\"{modern}}}")),
            50..52 => (
                "completion/complete",
                format!("{{\"argument\":{{\"name\":\"a\",\"value\":\"b\"}}{modern}}}"),
            ),
            52..54 if !self.modern => ("vendor/unheard_of", "[1]".to_owned()),
            52..57 => (*rng.pick(&["tasks/get", "tasks/cancel"]), format!("{{\"taskId\":\"t\"{modern}}}")),
            57..61 => {
                ("logging/setLevel", format!("{{\"level\":\"{}\"}}", rng.pick(&["debug", "info", "error"])))
            }
            61..65 => ("resources/subscribe", format!("{{\"uri\":\"{uri}\"}}")),
            65..67 => ("resources/unsubscribe", format!("{{\"uri\":\"{uri}\"}}")),
            _ => ("ping", "{}".to_owned()),
        };
        if rng.percent(20) {
            return format!(
                "{{\"params\":{params},\"method\" : \"{method}\", \"id\":{id},\"jsonrpc\":\"2.0\" }}"
            );
        }
        request(&id, method, &params)
    }
}

/// The end of the run: of the input, of the reader, or by a signal; sometimes more than one of them.
fn ends(sched: &mut Sched) {
    let soon = sched.rng.millis(0, 100);
    let term = *sched.rng.pick(&[StopSignal::Term, StopSignal::Int, StopSignal::Hup]);
    match sched.rng.below(10) {
        0..6 => {
            sched.after(soon, Event::HostEof);
            let later = sched.rng.millis(100, 4000);
            match sched.rng.below(4) {
                0 => sched.after(later, Event::Stop(term)),
                1 => sched.after(later, Event::HostGone),
                _ => {}
            }
        }
        6..9 => {
            let asked = sched.rng.percent(25);
            sched.after(soon, if asked { Event::Order(Order::Stop) } else { Event::Stop(term) });
            if sched.rng.percent(30) {
                let later = sched.rng.millis(0, 1000);
                let next = *sched.rng.pick(&[StopSignal::Term, StopSignal::Term, StopSignal::Int]);
                sched.after(later, Event::Stop(next));
            }
        }
        _ => sched.after(soon, Event::HostGone),
    }
}

/// The host's envelope, the members of `_meta`.
pub(super) const ENVELOPE: &str = "\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\",\"io.modelcontextprotocol/clientInfo\":{\"name\":\"model-host\",\"version\":\"1\"},\"io.modelcontextprotocol/clientCapabilities\":{}";
const INITIALIZED: &str = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\"}";
const CHANGED_ROOTS: &str = "{\"jsonrpc\":\"2.0\",\"method\":\"notifications/roots/list_changed\"}";
const JUNK: [&str; 7] = [
    "hello",
    "",
    "{\"x\":1}",
    "{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"tools/list\"}",
    "{\"jsonrpc\":\"1.0\",\"id\":77,\"method\":\"tools/list\"}",
    "{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"tools/list\"}",
    "[]",
];

fn request(id: &str, method: &str, params: &str) -> String {
    format!("{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\",\"params\":{params}}}")
}

fn cancel(id: &str) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{id}}}}}"
    )
}

fn progress(token: &str) -> String {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{{\"progressToken\":{token},\"progress\":1}}}}"
    )
}
