//! What the host sends, and what may reach a child of it: nothing before the greeting, each request once, the state of
//! its predecessor first, and only what the host wrote.

use std::time::Duration;

use bytes::Bytes;

use super::Violation;
use super::books::{Expected, Greeted, Request};
use super::check::{Checked, Checker, Seen, violated};
use super::check_era::{Opened, Stream};
use super::check_match::twin;
use super::check_session::Window;
use super::parse::{self, Message};
use crate::engine::answers::STATUS_TOOL;
use crate::engine::phase::Phase;

/// How long a child may be silent, if an earlier one has served, before it gets all requests.
const SILENCE: Duration = Duration::from_millis(250);
/// How our own ids begin.
pub(super) const OURS: &str = "\"mcp-supervise:";

impl Checker {
    pub(super) fn host_sends(&mut self, message: Message, line: &str) {
        match (&message.id, &message.method) {
            (Some(id), Some(_)) if self.open.get(id).is_some_and(|request| !request.cancelled) => {
                self.cover.hit("id in flight used again");
                self.doubled.insert(id.clone());
                self.may_pass(line, None);
            }
            (Some(id), Some(_)) => {
                if let Some(request) = self.open.remove(id) {
                    self.is_owed(id, request.at);
                    self.cover.hit("id of a cancelled request used again");
                    self.streams.remove(id);
                }
                self.host_asks(message, line);
            }
            (None, Some(method)) => match method.as_str() {
                "notifications/initialized" => {
                    self.initialized = Some(line.to_owned());
                    self.may_pass(line, None);
                }
                "notifications/cancelled" => self.host_cancels(&message, line),
                "notifications/progress" => {
                    let token = message.params["progressToken"].to_string();
                    match self.tokens.get(&token).cloned() {
                        Some((child, own)) => {
                            let line = parse::with_value(line, &["params", "progressToken"], &own);
                            self.may_pass(&line, Some(child));
                        }
                        None => self.may_pass(line, None),
                    }
                }
                _ => self.may_pass(line, None),
            },
            (Some(id), None) => {
                let listens = |child: u32| {
                    self.kids.get(&child).is_some_and(|kid| !kid.gone && kid.exit.is_none() && !kid.laddered)
                };
                let Some(ask) = self.asks.get(id).filter(|ask| !ask.done && listens(ask.child)) else {
                    return;
                };
                let spliced = *id != ask.own;
                self.due = Some((ask.child, parse::with_value(line, &["id"], &ask.own)));
                if spliced {
                    self.cover.hit("spliced id answered");
                }
                self.asks.get_mut(id).unwrap().done = true;
            }
            (None, None) => self.may_pass(line, None),
        }
    }

    pub(super) fn may_pass(&mut self, line: &str, only: Option<u32>) {
        self.passing.entry(line.trim().to_owned()).or_default().push(only);
    }

    fn host_asks(&mut self, message: Message, line: &str) {
        let opens =
            message.method() == "initialize" && self.greeting.is_none() && self.opened != Opened::Modern;
        if opens {
            self.greeting = Some(line.to_owned());
            self.client = message.params["clientInfo"]["name"].as_str().unwrap_or_default().to_owned();
        }
        self.opens(&message);
        let stream = message.method() == "subscriptions/listen" && self.opened == Opened::Modern;
        self.next_request += 1;
        self.account.asked(&message);
        let request = Request {
            number: self.next_request,
            line: line.trim().to_owned(),
            greets: opens,
            waits_since: self.now,
            cancelled: false,
            at: None,
            at_since: self.now,
            stream,
            written: Vec::new(),
            came_back: false,
            progress: None,
            doubted: self.doubt(),
            window: Window::default(),
            safe: false,
            refused: 0,
            refused_with: None,
            withheld: None,
            message,
        };
        let id = request.message.id.clone().unwrap();
        self.closed.remove(&id);
        if stream {
            self.cover.hit("stream opened");
            self.streams.insert(id.clone(), Stream::default());
        }
        self.open.insert(id, request);
    }

    fn host_cancels(&mut self, message: &Message, line: &str) {
        let id = message.params["requestId"].to_string();
        let said = raw_id(line).unwrap_or(id);
        let meant = [said.clone(), twin(&said)].into_iter().find(|id| self.open.contains_key(id));
        let id = meant.unwrap_or_else(|| said.clone());
        self.streams.remove(&id);
        match self.open.get_mut(&id) {
            Some(request) if request.at.is_some() => {
                let first = !std::mem::replace(&mut request.cancelled, true);
                self.cover.hit("request cancelled in flight");
                let (only, stream) = (request.at, request.stream);
                let known = only.and_then(|child| self.alias_of(child, &id)).unwrap_or_else(|| id.clone());
                let line = if known == said {
                    line.to_owned()
                } else {
                    parse::with_value(line, &["params", "requestId"], &known)
                };
                if first && !stream {
                    self.is_told_to_leave(only);
                }
                self.may_pass(&line, only);
            }
            Some(_) => {
                self.cover.hit("request cancelled while it waited");
                self.open.remove(&id);
                self.closed.insert(id);
            }
            // Of a request that is not known, or was answered meanwhile.
            None => self.may_pass(line, None),
        }
    }

    pub(super) fn child_hears(&mut self, child: u32, bytes: &Bytes) -> Checked {
        let Ok(line) = std::str::from_utf8(bytes) else {
            violated!("lines are lines", "not UTF-8: {bytes:?}")
        };
        let Some(line) = line.strip_suffix('\n').filter(|line| !line.contains('\n')) else {
            violated!("lines are lines", "{line:?}");
        };
        let line = line.trim();
        self.speaks_of(child)?;
        if self.kid().laddered {
            violated!("nothing is written to a child that is being stopped", "{line}");
        }
        match parse::message(line) {
            Some(message) if message.is_request() => {
                self.is_written_under(child, message.id.as_deref());
                self.child_is_asked(child, &message, line)
            }
            Some(message) if message.method.is_some() => self.child_is_notified(child, &message, line),
            Some(message) if message.id.is_some() => self.child_is_answered(child, &message, line),
            _ => self.child_hears_other(child, line),
        }
    }

    /// A batch, or what is no message and was passed on.
    fn child_hears_other(&mut self, child: u32, line: &str) -> Checked {
        self.must_be_greeted(child, line)?;
        if self.passing.contains_key(line) {
            return self.passes(child, line);
        }
        let Some(elements) = parse::elements(line) else { return self.passes(child, line) };
        for element in elements {
            match parse::message(&element) {
                Some(message) if message.is_request() => self.child_is_asked(child, &message, &element)?,
                _ => self.passes(child, &element)?,
            }
        }
        Ok(())
    }

    /// Nothing but its greeting comes before its greeting.
    fn must_be_greeted(&mut self, child: u32, line: &str) -> Checked {
        let headless = self.opened == Opened::Bare && self.greeting.is_none();
        let now = self.now;
        let opening = matches!(self.opened, Opened::Modern | Opened::Probe);
        if opening && matches!(self.phase, Phase::Starting | Phase::Draining) {
            return self.may_open(child, line);
        }
        let kid = self.kid();
        if headless && kid.greeted == Greeted::No {
            kid.greeted = Greeted::Done;
            kid.serving_since.get_or_insert(now);
        }
        let kid = self.kid();
        if kid.serving_since.is_none() {
            violated!("a child hears nothing before its greeting is done", "child {child}: {line}");
        }
        if !kid.expected.is_empty() {
            let expected = kid.expected.clone();
            violated!(
                "a greeted child is told what its predecessor knew",
                "before {line} it must hear {expected:?}"
            );
        }
        Ok(())
    }

    /// A child of the modern era is given one request after the other until it has answered something, first a request.
    fn may_open(&mut self, child: u32, line: &str) -> Checked {
        let Some(message) = parse::message(line).filter(Message::is_request) else {
            let cancels =
                parse::message(line).is_some_and(|message| message.method() == "notifications/cancelled");
            // One that drains has heard requests, and what is for it cannot wait for the next one.
            let drains = self.phase == Phase::Draining;
            if !self.kid().heard || !cancels && !drains {
                violated!("the first that a child hears is a request", "child {child}: {line}");
            }
            return Ok(());
        };
        let asked = message.id.as_deref().and_then(|id| self.open.get(id));
        let soon = asked.is_some_and(|request| request.is_soon() || request.stream);
        if self.is_held_up(message.id.as_deref(), soon) {
            violated!("a child that may still be starting gets one request after the other", "{line}");
        }
        if !self.kid().heard {
            self.cover.hit("child opened in the modern era");
        }
        self.kid().heard = true;
        Ok(())
    }

    /// Whether a child that has said nothing so far may not be given this request yet, which a server that is up answers
    /// `soon`, or keeps open.
    fn is_held_up(&self, request: Option<&str>, soon: bool) -> bool {
        let kid = &self.kids[&self.living];
        let silent = kid.reads && kid.asked_first.is_some_and(|at| self.now >= at + SILENCE);
        if silent && (soon || self.kids.values().any(|kid| kid.serving_since.is_some())) {
            return false;
        }
        let holds_up = |(id, pending): (&String, &Request)| {
            pending.at == Some(self.living)
                && pending.is_soon()
                && !pending.cancelled
                && request != Some(id.as_str())
        };
        !kid.late.is_empty() || self.open.iter().any(holds_up)
    }

    /// A child of the modern era that runs gets what waits, except what has to wait for its first sign of life.
    pub(super) fn opens_in_time(&mut self) -> Checked {
        let opening = matches!(self.opened, Opened::Modern | Opened::Probe) && self.phase == Phase::Starting;
        let Some(kid) = self.kids.get(&self.living).filter(|_| opening) else { return Ok(()) };
        let ready = kid.born && !kid.stop.unfit && !kid.gone && !kid.laddered && kid.exit.is_none();
        let waits = |request: &&Request| {
            request.at.is_none()
                && !request.cancelled
                && (request.refused == 0 || request.refused_with != kid.token)
                && request.withheld.is_none()
                && !request.greets
                // An answer of our own may wait for the report of what the child has printed.
                && request.name() != STATUS_TOOL
        };
        let may_be_given = |request: &&Request| {
            !self.is_doubted(request) && !self.is_held_up(None, request.is_soon() || request.stream)
        };
        if let Some(request) = self.open.values().filter(waits).find(may_be_given).filter(|_| ready) {
            violated!(
                "nothing is held up by a stream, or for long by a slow answer",
                "{} waits",
                request.line
            );
        }
        Ok(())
    }

    fn passes(&mut self, child: u32, line: &str) -> Checked {
        let found = self.passing.get_mut(line.trim()).and_then(|entries| {
            let at = entries.iter().position(|only| only.is_none_or(|only| only == child))?;
            Some(entries.remove(at))
        });
        if found.is_none() {
            violated!(
                "forwarded bytes are the bytes received",
                "child {child} hears what no host said: {line}"
            );
        }
        self.may_be_answered(line);
        Ok(())
    }

    fn child_is_asked(&mut self, child: u32, message: &Message, line: &str) -> Checked {
        let id = message.id.as_deref().unwrap();
        if let Some((message, line)) = self.is_renamed(child, message, line) {
            return self.child_is_asked(child, &message, &line);
        }
        if id.starts_with(OURS) {
            return self.child_is_asked_by_us(child, message, line);
        }
        let safe = self.open.get(id).is_some_and(|request| {
            let had = *request.written.last().unwrap_or(&child);
            self.is_safe_in(request, self.kids[&had].edition)
        });
        let kids = &self.kids;
        if let Some(request) =
            self.open.get_mut(id).filter(|request| request.at.is_some_and(|at| kids[&at].gone))
        {
            request.at = None;
        }
        // A host that uses an id in flight again may even repeat the line.
        let is_it = |request: &&Request| {
            request.line == line && !(request.at == Some(child) && self.doubled.contains(id))
        };
        let Some(request) = self.open.get(id).filter(is_it) else {
            self.must_be_greeted(child, line)?;
            if self.closed.contains(id) && !self.passing.contains_key(line) {
                violated!("what nobody waits for is not written", "{line}");
            }
            return self.passes(child, line);
        };
        if self.phase == Phase::Draining {
            violated!("a child that is to be restarted gets nothing new", "{line}");
        }
        if self.kids[&child].pulse.suspect {
            violated!("what is asked of a suspect server waits for a sign of life", "{line}");
        }
        let probes = request.message.method() == "server/discover" && self.opened == Opened::Probe;
        let soon = request.is_soon();
        if request.greets && self.kids[&child].probed {
            violated!("a probed child is replaced before it is greeted", "{line}");
        }
        let stream = request.stream;
        let first_words = request.greets && self.kids[&child].greeted == Greeted::No;
        if !first_words && !request.greets {
            self.must_be_greeted(child, line)?;
        }
        if message.method() == "tools/call" {
            self.session_admits(line)?;
        }
        let window = self.window();
        let request = self.open.get_mut(id).unwrap();
        request.window = window;
        if request.cancelled {
            violated!("what nobody waits for is not written", "{line}");
        }
        if request.at.is_some() {
            violated!("a request is written to one child at a time", "{line}");
        }
        let (now, came_back, refused) = (self.now, request.came_back, request.refused > 0);
        let repeats = self.injection.as_ref().is_some_and(|it| it.repeats);
        if probes && !request.written.is_empty() && !came_back {
            violated!("a child that dies on the probe is not fed it again", "{line}");
        }
        if !request.greets && !stream {
            match request.written.len() {
                0 => {}
                1 if safe => self.cover.hit("safe request written twice"),
                1 if refused && repeats => self.cover.hit("refused call made again though not safe"),
                1 => violated!("only what is safe is written to a second child", "{line}"),
                _ => violated!("nothing is written to a third child", "{line}"),
            }
        }
        request.at = Some(child);
        request.safe = safe;
        request.at_since = now;
        request.written.push(child);
        let written = request.clone();
        self.is_made_again(child, &written)?;
        if written.greets {
            (self.kid().greeted, self.kid().greeted_at) = (Greeted::Sent(id.to_owned()), now);
        }
        if probes {
            self.kid().probed = true;
        }
        if soon && self.kid().serving_since.is_none() {
            self.kid().asked_first.get_or_insert(now);
        }
        if stream && let Some(known) = self.streams.get_mut(id) {
            known.again = known.acknowledged.is_some();
        }
        Ok(())
    }

    /// What a fresh child is told again.
    fn child_is_asked_by_us(&mut self, child: u32, message: &Message, line: &str) -> Checked {
        let id = message.id.clone().unwrap();
        let (now, greeting) = (self.now, self.greeting.clone());
        let told = self.told.clone();
        let kid = self.kid();
        if !kid.own.insert(id.clone()) {
            violated!("our own ids are unique", "{line}");
        }
        if message.method() == "initialize" {
            if self.opened != Opened::Legacy || self.kids[&child].probed {
                violated!("a probed child is replaced before it is greeted", "{line}");
            }
            let kid = self.kid();
            let Some(greeting) = greeting.filter(|_| kid.greeted == Greeted::No) else {
                violated!("a child hears nothing before its greeting is done", "greeted again: {line}");
            };
            let mut expected = parse::with_value(&greeting, &["id"], &id);
            if let Some(told) = told {
                let told = format!("\"{told}\"");
                expected = parse::with_value(&expected, &["params", "protocolVersion"], &told);
            }
            if line != expected {
                violated!("a child is greeted in the host's words", "{line} is not {expected}");
            }
            (kid.greeted, kid.greeted_at) = (Greeted::Sent(id), now);
            return Ok(());
        }
        if id.contains(":sign:") {
            return self.is_examined(message, line);
        }
        let compares = message.method().ends_with("/list");
        if compares || matches!(message.method(), "ping" | "server/discover") {
            return self.asks_for_itself(child, message, line);
        }
        let next = kid.expected.pop_front();
        let told = match (message.method(), &next) {
            ("logging/setLevel", Some(Expected::Level(level))) => message.params["level"] == **level,
            ("resources/subscribe", Some(Expected::Subscribed(uri))) => message.params["uri"] == **uri,
            _ => false,
        };
        if !told {
            violated!(
                "a greeted child is told what its predecessor knew",
                "child {child} is told {line} instead of {next:?}"
            );
        }
        self.cover.hit("level or subscription told again");
        Ok(())
    }

    fn child_is_notified(&mut self, child: u32, message: &Message, line: &str) -> Checked {
        let kid = self.kid();
        if kid.serving_since.is_some()
            && matches!(kid.expected.front(), Some(Expected::Initialized(told)) if told.trim() == line)
        {
            kid.expected.pop_front();
            return Ok(());
        }
        // A call that takes too long is answered, and taken back.
        let id = raw_id(line).unwrap_or_default();
        let id = self.kids[&child].aliases.get(&id).cloned().unwrap_or(id);
        if self.timed_out.remove(&id) {
            return Ok(());
        }
        self.must_be_greeted(child, line)?;
        if message.method() == "notifications/cancelled" && child > 1 {
            let id = raw_id(line).unwrap_or_default();
            let had = self.open.get(&id).is_some_and(|request| request.at == Some(child));
            if !had && self.closed.contains(&id) {
                violated!("nothing meant for a dead child reaches a new one", "{line}");
            }
        }
        self.passes(child, line)
    }

    fn child_is_answered(&mut self, child: u32, message: &Message, line: &str) -> Checked {
        let refusal = message.error.as_ref().is_some_and(|error| error["code"] == -32600);
        if refusal && matches!(&self.current, Seen::Child(from, _) if *from == child) {
            // Its request was longer than a host takes.
            return Ok(());
        }
        match self.due.take() {
            Some((to, expected)) if to == child && expected.trim() == line => Ok(()),
            due => violated!(
                "a host's answer reaches only the child that asked",
                "child {child} hears {line}, due is {due:?}"
            ),
        }
    }

    /// What was due to be written in this step was written.
    pub(super) fn state_is_told(&mut self) -> Checked {
        if let Some((child, line)) = self.due.take() {
            violated!("a host's answer is handed on", "to child {child}: {line}");
        }
        let serving = self.phase == Phase::Serving;
        let kid = self.kid();
        if serving && !kid.gone && !kid.expected.is_empty() {
            violated!(
                "a greeted child is told what its predecessor knew",
                "it was not told {:?}",
                kid.expected
            );
        }
        Ok(())
    }
}

/// The JSON text of the request that a cancellation names.
fn raw_id(line: &str) -> Option<String> {
    let after = line.split_once("\"requestId\":")?.1;
    Some(after[..after.find(['}', ','])?].to_owned())
}
