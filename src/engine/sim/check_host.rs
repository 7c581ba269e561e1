//! What a child says, and what may reach the host: answers that it waits for, once, from the living child or from us.

use bytes::Bytes;
use serde_json::Value;

use super::Violation;
use super::books::{Ask, Expected, Greeted, Pages, Request, Tool};
use super::check::{Checked, Checker, Seen, violated};
use super::check_child::OURS;
use super::check_era::Opened;
use super::check_match::{OLDER, is_doubtful, twin};
use super::parse::{self, Message};
use super::server::Shape;
use super::world::Said;
use crate::engine::io::Origin;
use crate::engine::phase::Phase;

/// The revisions that are greeted with `initialize`, the oldest first.
const REVISIONS: [&str; 4] = ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"];

/// What marks an answer that the model server gives to any id.
const STRAY: &str = "\"stray\":true";

impl Checker {
    /// A child is about to be heard: its greeting's answer changes what it may be told.
    pub(super) fn child_says(&mut self, child: u32, said: &Said) {
        if child != self.living || self.kid().gone {
            return self.cover.hit("a dead child speaks");
        }
        if self.kid().exit.is_some() {
            self.cover.hit("an exited child's line is read");
        }
        self.child_says_of_eras(child, said);
        if said.shape == Shape::Batch && self.told.as_deref() != Some("2025-03-26") {
            // An array is no message there.
            return;
        }
        for line in &said.inner {
            let Greeted::Sent(greeting) = self.kid().greeted.clone() else { return };
            let Some(message) = parse::message(line) else { continue };
            // No greeting is answered in a batch before it is known that there may be batches.
            let batch = said.shape == Shape::Batch && self.told.as_deref() != Some("2025-03-26");
            if message.id.as_ref() != Some(&greeting) || message.method.is_some() || batch {
                continue;
            }
            if self.open.get(&greeting).is_some_and(|request| request.message.method() != "initialize") {
                // The host was greeted by us, and has given the id to another request since.
                self.memory.late = Some(greeting.clone());
            }
            self.is_greeted(&message, line.len() + 1 > self.rules.max_answer);
        }
    }

    fn is_greeted(&mut self, message: &Message, too_long: bool) {
        if too_long {
            return self.cover.hit("greeting too long");
        }
        let Some(result) = &message.result else {
            self.cover.hit("greeting refused");
            let id = message.id.clone().unwrap();
            if self.open.get(&id).is_some_and(|request| request.greets) {
                self.kid().greeted = Greeted::No;
                self.opened = Opened::Nothing;
                self.greeting = None;
                for request in self.open.values_mut() {
                    request.greets = false;
                }
            }
            return;
        };
        let version = result["protocolVersion"].as_str().unwrap_or_default().to_owned();
        let rank = |version: &str| REVISIONS.iter().position(|known| *known == version);
        let ours = message.id.as_ref().is_some_and(|id| !self.open.contains_key(id));
        let usable = match &self.told {
            Some(told) if ours => {
                *told == version
                    || matches!((rank(&version), rank(told)), (Some(now), Some(told)) if now < told)
            }
            _ => true,
        };
        let mut expected = std::collections::VecDeque::new();
        expected.extend(self.initialized.clone().map(Expected::Initialized));
        expected.extend(self.level.clone().map(Expected::Level));
        expected.extend(self.subscribed.iter().cloned().map(Expected::Subscribed));
        let starting = self.phase == Phase::Starting;
        let kid = self.kid();
        kid.greeted = Greeted::Done;
        kid.unusable = !usable;
        if usable && starting && !kid.laddered {
            kid.expected = expected;
        }
    }

    pub(super) fn noise(&mut self, child: u32, bytes: &Bytes) -> Checked {
        let Seen::Child(from, said) = &self.current else {
            violated!("noise is what a child said", "{bytes:?}")
        };
        if *from != child
            || !said.line.as_bytes().windows(bytes.len().max(1)).any(|part| part == bytes.trim_ascii_end())
                && !bytes.trim_ascii().is_empty()
                && !format!("{}\n", said.line).contains(&*String::from_utf8_lossy(bytes))
                && !self.kids[&child]
                    .glued
                    .iter()
                    .any(|(_, said)| said.line.contains(String::from_utf8_lossy(bytes).trim()))
        {
            violated!("noise is what a child said", "child {child}: {bytes:?}");
        }
        Ok(())
    }

    pub(super) fn host_hears(&mut self, bytes: &Bytes, origin: Origin) -> Checked {
        let Ok(line) = std::str::from_utf8(bytes) else {
            violated!("lines are lines", "not UTF-8: {bytes:?}")
        };
        let Some(line) = line.strip_suffix('\n').filter(|line| !line.contains('\n')) else {
            violated!("lines are lines", "{line:?}");
        };
        if bytes.len() > self.rules.max_answer.max(20_000) {
            violated!("no line is longer than a host takes", "{} bytes", bytes.len());
        }
        let line = line.trim();
        let one = parse::message(line);
        let is_batch = one.is_none();
        let messages: Option<Vec<_>> = if let Some(message) = one {
            Some(vec![(message, line.to_owned())])
        } else {
            let batches = self.told.as_deref() == Some("2025-03-26");
            let elements = parse::elements(line).filter(|elements| batches && !elements.is_empty());
            elements.and_then(|elements| {
                elements.into_iter().map(|line| Some((parse::message(&line)?, line))).collect()
            })
        };
        let Some(messages) = messages else {
            if origin == Origin::Server && self.may_stray(line) {
                return self.strays(line);
            }
            violated!("only messages reach the host", "{line}")
        };
        if is_batch && origin == Origin::Supervisor {
            self.cover.hit("batch lost and answered");
        }
        for (message, line) in messages {
            match origin {
                Origin::Server => self.server_tells(&message, &line)?,
                Origin::Supervisor => self.we_tell(&message, &line)?,
            }
        }
        Ok(())
    }

    /// A message that the server is said to have written.
    fn server_tells(&mut self, message: &Message, line: &str) -> Checked {
        let doubtful = message.method.is_none() && message.id.is_some();
        let (child, said) = match self.current.clone() {
            Seen::Child(child, said) if !doubtful || !is_doubtful(&said) => (child, said),
            Seen::Nothing
            | Seen::Host(_)
            | Seen::HostTooMuch(_)
            | Seen::Child(..)
            | Seen::Exit(..)
            | Seen::Silence(_)
                if doubtful =>
            {
                self.believed(message, line)?
            }
            Seen::Nothing
            | Seen::Host(_)
            | Seen::HostTooMuch(_)
            | Seen::Child(..)
            | Seen::Exit(..)
            | Seen::Silence(_) => {
                violated!("nothing from a dead child reaches the host", "no child has said {line}")
            }
        };
        if child != self.living || self.kid().gone {
            violated!("nothing from a dead child reaches the host", "child {child}: {line}");
        }
        self.forwarded.push(line.to_owned());
        let is_said = |told: &str| said.inner.iter().any(|inner| inner.trim() == told);
        if message.is_request() {
            return self.server_asks(child, &said, message, line);
        }
        match (message.method.as_deref(), &message.id) {
            (Some("notifications/cancelled"), _) if self.opened == Opened::Modern => {
                // What names a stream that the server does not have any more passes as it came.
                if !is_said(line) && said.line.trim() != line {
                    violated!("forwarded bytes are the bytes received", "{line}");
                }
                let known = message.params["requestId"].to_string();
                if self.open.get(&known).is_some_and(|request| request.stream) {
                    self.is_over(child, &known, line)?;
                    self.cover.hit("stream ended by a notification");
                    self.is_owed(&known, Some(child));
                    self.open.remove(&known);
                    self.has_answered(child, &known);
                    self.streams.remove(&known);
                    self.closed.insert(known);
                    self.account.served(message);
                }
                Ok(())
            }
            (Some("notifications/cancelled"), _) => {
                let known = message.params["requestId"].to_string();
                let ask = self.asks.get_mut(&known).filter(|ask| ask.child == child);
                let own = ask.map(|ask| {
                    ask.done = true;
                    ask.own.clone()
                });
                let back = own
                    .map_or(line.to_owned(), |own| parse::with_value(line, &["params", "requestId"], &own));
                let never_asked = known.starts_with(OURS) && child > 1;
                if !is_said(&back) && !never_asked {
                    violated!("forwarded bytes are the bytes received", "{line}");
                }
                Ok(())
            }
            (Some("notifications/progress"), _) if self.rules.twins && !is_said(line) => Ok(()),
            (Some(method), _) => {
                // What names a stream that is over passes as it came.
                let subscription =
                    message.params["_meta"]["io.modelcontextprotocol/subscriptionId"].to_string();
                let mut either = [twin(&subscription), subscription].into_iter();
                let is_over = !either.any(|id| self.open.get(&id).is_some_and(|request| request.stream));
                let acknowledges = method == "notifications/subscriptions/acknowledged";
                let as_it_came = acknowledges && is_over && said.line.trim() == line;
                if !is_said(line) && !as_it_came {
                    violated!("forwarded bytes are the bytes received", "{line}");
                }
                if self.memory.acknowledged.as_ref().is_some_and(|(told, hears)| told == line && !hears) {
                    violated!("an acknowledgement that the host knows stays with us", "{line}");
                }
                if method == "notifications/progress" {
                    self.progresses(child, message, line)
                } else {
                    Ok(())
                }
            }
            (None, Some(id)) => {
                if let Some((own, said)) =
                    self.stands_for(&said, message).filter(|(_, said)| said.trim() != line)
                {
                    self.replaces_result(id, &own, message, line)?;
                    self.forwarded.push(said.trim().to_owned());
                    return self.server_answers(child, id, &own, line);
                }
                self.keeps_result(id, message, line)?;
                let asked = self.open.get(id).map(|request| request.greets);
                let spliced = || asked == Some(true) && Self::is_spliced(&said, message, line);
                if asked.is_some() && !is_said(line) && !spliced() {
                    violated!("forwarded bytes are the bytes received", "{line}");
                }
                self.server_answers(child, id, message, line)
            }
            (None, None) => {
                if self.kids[&child].strays > 0 {
                    return self.strays_or_may_lack(line);
                }
                if self.told.as_deref().is_none_or(|told| told < "2025-11-25")
                    && self.opened != Opened::Modern
                {
                    violated!("an error without id needs a revision that allows it", "{line}");
                }
                self.cover.hit("error without id");
                Ok(())
            }
        }
    }

    fn server_asks(&mut self, child: u32, said: &Said, message: &Message, line: &str) -> Checked {
        let known = message.id.clone().unwrap();
        if self.opened == Opened::Modern {
            violated!("no server asks anything in the modern era", "{line}");
        }
        if self.kid().exit.is_some() {
            violated!("nothing from a dead child reaches the host", "a request: {line}");
        }
        let token = message.params["_meta"].get("progressToken").map(Value::to_string);
        let found = said.inner.iter().filter_map(|inner| Some((inner, parse::message(inner)?))).find(
            |(inner, own)| {
                let Some(id) = own.id.as_deref().filter(|_| own.is_request()) else { return false };
                let mut back = parse::with_value(line, &["id"], id);
                if let Some(token) = own.params["_meta"].get("progressToken") {
                    back =
                        parse::with_value(&back, &["params", "_meta", "progressToken"], &token.to_string());
                }
                back == inner.trim()
            },
        );
        let Some((_, own)) = found else { violated!("forwarded bytes are the bytes received", "{line}") };
        let own_id = own.id.clone().unwrap();
        if self.asks.contains_key(&known) || (child > 1 && known == own_id) || (child == 1 && known != own_id)
        {
            violated!("ids of servers are distinct for the host", "{line}");
        }
        if let (Some(token), Some(own)) = (token, own.params["_meta"].get("progressToken")) {
            if self.tokens.contains_key(&token) {
                violated!("ids of servers are distinct for the host", "token in {line}");
            }
            self.tokens.insert(token, (child, own.to_string()));
        }
        self.asks.insert(known, Ask { child, own: own_id, done: false });
        Ok(())
    }

    fn progresses(&mut self, child: u32, message: &Message, line: &str) -> Checked {
        let token = &message.params["progressToken"];
        let value = message.params["progress"].as_f64();
        let request = self
            .open
            .values_mut()
            .filter(|request| request.at == Some(child) && !request.cancelled)
            .find(|request| request.message.params["_meta"].get("progressToken") == Some(token));
        let Some(request) = request else {
            let kid = &self.kids[&child];
            if kid.strays == 0 && !kid.tasks.contains(&token.to_string()) {
                violated!("progress is told of what the host waits for", "{line}");
            }
            return Ok(());
        };
        let Some(value) = value else { return Ok(()) };
        if request.progress.is_some_and(|last| value <= last) {
            violated!("progress never goes backwards", "after {:?}: {line}", request.progress);
        }
        request.progress = Some(value);
        Ok(())
    }

    /// A stream that ends because we end its server goes on with the next server.
    fn is_over(&self, child: u32, id: &str, line: &str) -> Checked {
        let request = &self.open[id];
        if request.at != Some(child) {
            violated!("only answers that it waits for reach the host", "child {child} was not asked: {line}");
        }
        if self.is_leaving() && !request.cancelled {
            violated!("a goodbye to us is not for the host", "{line}");
        }
        Ok(())
    }

    /// Whether we are ending the child, and not ourselves.
    fn is_leaving(&self) -> bool {
        self.phase != Phase::Stopping && (self.phase == Phase::Draining || self.kids[&self.living].laddered)
    }

    fn server_answers(&mut self, child: u32, id: &str, message: &Message, line: &str) -> Checked {
        if self.open.get(id).is_some_and(|request| request.stream) {
            self.is_over(child, id, line)?;
        }
        let Some(request) = self.open.remove(id) else {
            if self.closed.contains(id) && (self.kid().strays == 0 || self.is_second_answer(child, id)) {
                violated!("no request is answered twice", "{line}");
            }
            return self.strays(line);
        };
        // Of two requests under one id, or under twins, the checker cannot tell which one is answered. Nor can anybody if
        // the host uses an id again that was answered, and the server says that answer a second time, or the right one at last.
        let repeats = self
            .told_before
            .insert(id.to_owned(), line.to_owned())
            .is_some_and(|told| told == line || told.contains(STRAY));
        if !self.doubled.contains(id) && !self.rules.twins && !repeats {
            Self::answers_this(message, request.message.method(), line)?;
        }
        if let Some(token) = request.message.params["_meta"].get("progressToken")
            && request.message.params.get("task").is_some()
        {
            self.kid().tasks.insert(token.to_string());
        }
        if request.at != Some(child) {
            violated!("only answers that it waits for reach the host", "child {child} was not asked: {line}");
        }
        self.account.served(message);
        self.has_answered(child, id);
        self.remembers_answer(child, id);
        self.closed.insert(id.to_owned());
        self.served.push(id.to_owned());
        self.streams.remove(id);
        if request.message.method() == "server/discover" {
            self.kid().probed = false;
            if message.result.is_some() || self.opened != Opened::Legacy {
                self.discovers(message.result.as_ref());
            }
        }
        let Some(result) = &message.result else { return Ok(()) };
        match request.message.method() {
            "initialize" if request.greets => {
                // A server that names no version agrees to the one that it was asked for.
                let asked = request.message.params["protocolVersion"].as_str();
                let version = result["protocolVersion"].as_str().or(asked).unwrap_or_default();
                if self.told.as_ref().is_some_and(|told| told != version) {
                    violated!("the version that the host was told does not change", "{line}");
                }
                self.told = Some(version.to_owned());
                self.told_result = result.clone();
            }
            method if method.ends_with("/list") && !method.starts_with("tasks") => {
                let cursor = request.message.params["cursor"].as_str().unwrap_or_default().to_owned();
                self.learns_list(child, request.message.method(), cursor, result);
                if !request.cancelled {
                    self.is_shown(child, &request, result);
                }
            }
            _ => self.learns_state(&request),
        }
        Ok(())
    }

    pub(super) fn learns_state(&mut self, request: &Request) {
        let text = |name: &str| request.message.params[name].as_str().map(str::to_owned);
        match (request.message.method(), text("uri")) {
            ("logging/setLevel", _) => self.level = text("level"),
            ("resources/subscribe", Some(uri)) if !self.subscribed.contains(&uri) => {
                self.subscribed.push(uri);
            }
            ("resources/unsubscribe", Some(uri)) => self.subscribed.retain(|known| *known != uri),
            _ => {}
        }
    }

    pub(super) fn learns_list(&mut self, child: u32, method: &str, cursor: String, result: &Value) {
        for tool in result["tools"].as_array().into_iter().flatten() {
            let hint = |name: &str| tool["annotations"][name] == true;
            let safe = (hint("readOnlyHint") && !hint("destructiveHint"))
                || (hint("idempotentHint") && !(hint("readOnlyHint") && hint("destructiveHint")));
            let typed = tool.get("outputSchema").is_some();
            let edition = self.kids[&child].edition;
            self.tools.insert(tool["name"].as_str().unwrap().to_owned(), Tool { safe, typed, edition });
        }
        let recalled = self.disk_has(method, None).is_some();
        let pages = self.lists.entry(method.to_owned()).or_default();
        pages.seen.push(result.clone());
        let member = match method {
            "tools/list" => "tools",
            "prompts/list" => "prompts",
            "resources/list" => "resources",
            _ => "resourceTemplates",
        };
        let Some(list) = result[member].as_array() else { return };
        if list.is_empty() {
            self.cover.hit("empty list of a server");
            if cursor.is_empty() && pages.by_cursor.is_empty() && !recalled {
                // Other pages of this child belong to it.
                pages.from = child;
            }
            return;
        }
        if cursor.is_empty() {
            let seen = std::mem::take(&mut pages.seen);
            *pages = Pages { from: child, seen, ..Pages::default() };
        }
        if pages.from == child {
            pages.by_cursor.insert(cursor, result.clone());
        }
    }

    /// What a child had to say to the host was handed on.
    pub(super) fn hands_on(&mut self) -> Checked {
        let dead = self.kid().gone;
        if self.gone_at == self.now {
            // What a dead child had and was not answered with its end waits again.
            let kids = &self.kids;
            let is_lost = |request: &&mut Request| request.at.is_some_and(|at| kids[&at].gone);
            for request in self.open.values_mut().filter(is_lost) {
                request.at = None;
                request.waits_since = if request.greets { request.waits_since } else { self.now };
            }
        }
        let Seen::Child(child, said) = self.current.clone() else { return Ok(()) };
        if child != self.living
            || dead
            || matches!(said.shape, Shape::Noise | Shape::TooMuch)
            || is_doubtful(&said)
        {
            return Ok(());
        }
        let batch = said.shape == Shape::Batch && self.told.as_deref() != Some("2025-03-26");
        if batch || said.line.len() + 1 > self.rules.max_answer {
            return Ok(());
        }
        for inner in &said.inner {
            let modern = self.opened == Opened::Modern;
            let told = self.forwarded.iter().any(|line| line == inner.trim());
            let Some(message) = parse::message(inner).filter(|_| !told) else { continue };
            let awaited = |id: &String| {
                // What was written in this step is not answered by what came before.
                let asked = |request: &Request| {
                    request.at == Some(child)
                        && request.at_since < self.now
                        && !(request.stream && self.is_leaving())
                };
                self.open.get(id).is_some_and(|request| asked(request) && !request.cancelled)
                    && !self.kids[&child].unusable
                    && self.alias_of(child, id).is_none()
            };
            match (&message.id, message.method()) {
                (Some(id), "") if awaited(id) && self.memory.late.as_ref() != Some(id) => {
                    violated!("what a child answers reaches the host", "{inner}");
                }
                (None, "notifications/cancelled") if modern => {
                    let known = message.params["requestId"].to_string();
                    let over = |request: &Request| request.stream && request.at == Some(child);
                    if self.open.get(&known).is_some_and(over) && !self.is_leaving() {
                        violated!("what a child says reaches the host", "{inner}");
                    }
                }
                (Some(_), "") | (_, "notifications/progress" | "notifications/cancelled") => {}
                (None, "notifications/subscriptions/acknowledged") if modern => {
                    // Of a stream that is over, or whose id the host has used again.
                    let named = message.params["_meta"]["io.modelcontextprotocol/subscriptionId"].to_string();
                    let is_another =
                        named == OLDER || self.open.get(&named).is_none_or(|request| !request.stream);
                    if self.memory.acknowledged.as_ref().is_some_and(|(_, hears)| *hears) && !is_another {
                        violated!("what a child says reaches the host", "{inner}");
                    }
                }
                (Some(_), _) if modern => self.cover.hit("a request in the modern era"),
                (None, "") => {
                    if self.told.as_deref() == Some("2025-11-25") || modern {
                        violated!("what a child says reaches the host", "{inner}");
                    }
                }
                (None, _) => violated!("what a child says reaches the host", "{inner}"),
                (Some(own), _) => {
                    let asked = self.asks.values().any(|ask| ask.child == child && ask.own == *own);
                    if !asked && self.kids[&child].exit.is_none() {
                        violated!("what a child says reaches the host", "{inner}");
                    }
                }
            }
        }
        Ok(())
    }
}
