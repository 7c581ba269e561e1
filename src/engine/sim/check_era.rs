//! The eras: what the host opened with, what each era has of its own, lists that are compared, answers from the disk.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::Violation;
use super::books::{Request, Rules};
use super::check::{Checked, Checker, Seen, violated};
use super::parse::{self, Message};
use super::server::Shape;
use super::world::Said;
use crate::engine::answers::STATUS_TOOL;
use crate::engine::io::{Era, Good};

/// What the host opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opened {
    Nothing,
    Probe,
    Legacy,
    Modern,
    Bare,
}

/// A stream of the host.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream {
    pub acknowledged: Option<Value>,
    /// A later child was asked, and has not acknowledged.
    pub again: bool,
}

/// What a list looked like to the host.
#[derive(Clone, Debug)]
struct Shown {
    of: u32,
    pages: Vec<(Value, Option<Value>)>,
}

/// What is known from before, and what the host was shown.
#[derive(Debug, Default)]
pub(super) struct Memory {
    disk: Vec<Good>,
    /// The era and the version by which answers are kept; those of an opening that was refused hold until the next.
    kept_as: Option<(Era, String)>,
    /// When the disk was read.
    read_at: Option<Duration>,
    good_greeting: bool,
    pub discovered: Option<Value>,
    /// Whether what was known of `server/discover` was erased, and nothing was learned of it since.
    refused: bool,
    /// Whether a child has refused it in this step.
    refuses: bool,
    shown: BTreeMap<String, Shown>,
    /// The lists that this step's answer of a child shows to differ from what the host has seen.
    differ: Option<String>,
    told: Vec<(String, Option<Value>)>,
    /// What the host must be told in this step: the stream and the URI.
    updates: Vec<(Value, Value)>,
    /// The acknowledgement in this step, and whether the host is to hear it.
    pub acknowledged: Option<(String, bool)>,
    /// The late answer in this step.
    pub late: Option<String>,
}

impl Memory {
    pub(super) fn greeting_bound(
        &self,
        rules: &Rules,
        waits: Duration,
        init: Duration,
    ) -> (Duration, Duration) {
        let known_since = waits.max(self.read_at.unwrap_or_default());
        match (self.good_greeting, rules.instant) {
            (true, true) => (known_since, Duration::ZERO),
            (true, false) => (known_since, rules.init_grace.min(init)),
            (false, _) => (waits, init),
        }
    }
}

/// What a page says, without what may differ.
fn content(result: &Value) -> Value {
    let mut result = result.clone();
    if let Some(members) = result.as_object_mut() {
        for name in ["_meta", "ttlMs", "nextCursor"] {
            members.remove(name);
        }
    }
    result
}

fn kind_of(method: &str) -> &str {
    method.split('/').next().unwrap_or_default()
}

impl Checker {
    pub(super) fn begins_step(&mut self) {
        self.memory.differ = None;
        self.memory.told.clear();
        self.memory.updates.clear();
        self.memory.acknowledged = None;
        self.memory.late = None;
        self.memory.refuses = false;
    }

    /// A child has answered `server/discover`.
    pub(super) fn discovers(&mut self, result: Option<&Value>) {
        match result.filter(|result| result["supportedVersions"].is_array()) {
            Some(result) => {
                self.memory.discovered = Some(result.clone());
                self.memory.refused &= self.opened == Opened::Legacy;
            }
            None if result.is_none() => {
                self.memory.discovered = None;
                self.memory.refuses = true;
            }
            None => {}
        }
    }

    /// The host's request decides what it has opened with.
    pub(super) fn opens(&mut self, message: &Message) {
        let enveloped = message.params["_meta"]["io.modelcontextprotocol/protocolVersion"].is_string();
        let before = self.opened;
        self.opened = match (self.opened, message.method()) {
            (known @ (Opened::Legacy | Opened::Modern), _) => known,
            (_, "initialize") => Opened::Legacy,
            (Opened::Bare, "server/discover") => Opened::Bare,
            (_, "server/discover") => Opened::Probe,
            _ if enveloped => Opened::Modern,
            (open @ (Opened::Nothing | Opened::Probe), "ping") => open,
            _ => Opened::Bare,
        };
        if self.opened != before {
            self.cover.hit(match self.opened {
                Opened::Nothing => "opened with nothing",
                Opened::Probe => "opened with a probe",
                Opened::Legacy => "opened with a greeting",
                Opened::Modern => "opened in the modern era",
                Opened::Bare => "opened with something else",
            });
            self.fits();
        }
    }

    pub(super) fn recalls(&mut self, good: &[Good]) {
        self.memory.disk = good.to_vec();
        self.memory.read_at = Some(self.now);
        if matches!(self.opened, Opened::Nothing | Opened::Bare) {
            // What comes when an opening was refused is for the next one.
            self.memory.kept_as = None;
        }
        self.fits();
    }

    /// What of the disk is for this conversation.
    fn fits(&mut self) {
        self.memory.kept_as = match self.opened {
            Opened::Legacy => self.greeting.as_deref().and_then(parse::message).and_then(|greeting| {
                Some((Era::Legacy, greeting.params["protocolVersion"].as_str()?.to_owned()))
            }),
            Opened::Modern | Opened::Probe => Some((Era::Modern, "2026-07-28".to_owned())),
            Opened::Nothing | Opened::Bare => self.memory.kept_as.take(),
        };
        if self.disk_has("initialize", None).is_some() {
            self.memory.good_greeting = true;
        }
        if let Some(discovered) = self.disk_has("server/discover", None).filter(|_| !self.memory.refused) {
            self.memory.discovered.get_or_insert(discovered);
        }
    }

    /// An answer of an earlier run.
    pub(super) fn disk_has(&self, method: &str, cursor: Option<&str>) -> Option<Value> {
        let (era, version) = self.memory.kept_as.clone()?;
        let good = self.memory.disk.iter().find(|good| {
            good.era == era
                && good.version == version
                && good.method == method
                && good.cursor.as_deref() == cursor
        })?;
        serde_json::from_slice(&good.result).ok()
    }

    /// What is to be kept on disk.
    pub(super) fn remembers(&mut self, good: &Good) -> Checked {
        if good.result.is_empty() && good.method == "server/discover" && good.era == Era::Modern {
            self.cover.hit("refused answer erased");
            self.memory.refused = true;
            return Ok(());
        }
        let result: Value = serde_json::from_slice(&good.result).unwrap_or_default();
        let empty = ["tools", "prompts", "resources", "resourceTemplates"]
            .iter()
            .any(|member| result[*member].as_array().is_some_and(Vec::is_empty));
        if !result.is_object() || empty {
            violated!("only good answers are kept", "{}: {result}", good.method);
        }
        let era = if self.opened == Opened::Legacy { Era::Legacy } else { Era::Modern };
        if good.era != era {
            violated!("answers are kept by their era", "{good:?}");
        }
        self.cover.hit("answer kept for later runs");
        Ok(())
    }

    /// The host has been given a page of a list.
    pub(super) fn is_shown(&mut self, of: u32, request: &Request, result: &Value) {
        let method = request.message.method();
        let cursor = request.message.params.get("cursor").cloned().filter(|cursor| !cursor.is_null());
        let page = (content(result), result.get("nextCursor").cloned());
        match (cursor, self.memory.shown.get_mut(method)) {
            (None, _) => {
                self.memory.shown.insert(method.to_owned(), Shown { of, pages: vec![page] });
            }
            (cursor, Some(shown)) if shown.pages.last().is_some_and(|(_, next)| *next == cursor) => {
                shown.of = shown.of.min(of);
                shown.pages.push(page);
            }
            (Some(_), _) => {}
        }
    }

    /// Whether the host can hear that a list has changed.
    fn may_hear(&self, kind: &str) -> bool {
        match self.opened {
            Opened::Modern => !self.streams_with(kind).is_empty(),
            // A bare host may have greeted in between, and been told.
            Opened::Legacy | Opened::Bare => {
                self.told.is_some() && self.told_result["capabilities"][kind]["listChanged"] == true
            }
            Opened::Nothing | Opened::Probe => false,
        }
    }

    fn streams_with(&self, kind: &str) -> Vec<Value> {
        let flag = format!("{kind}ListChanged");
        let accepts =
            |stream: &Stream| stream.acknowledged.as_ref().is_some_and(|filter| filter[&flag] == true);
        let streams = self.streams.iter().filter(|(_, stream)| accepts(stream));
        streams.map(|(id, _)| serde_json::from_str(id).unwrap()).collect()
    }

    /// We have asked a child for a list, or whether it lives.
    pub(super) fn asks_for_itself(&mut self, child: u32, message: &Message, line: &str) -> Checked {
        let (method, id) = (message.method().to_owned(), message.id.clone().unwrap());
        let modern = self.opened == Opened::Modern;
        if !self.kid().expected.is_empty() {
            violated!("a greeted child is told what its predecessor knew", "not before {line}");
        }
        let doubted = method == "tools/list" && self.open.values().any(|request| self.is_doubted(request));
        let opens = modern && doubted;
        if self.kid().serving_since.is_none() && !opens {
            violated!("a child hears nothing of ours before it serves", "{line}");
        }
        let envelope = message.params["_meta"]["io.modelcontextprotocol/clientInfo"]["name"] == "model-host";
        if envelope != modern || (modern && method == "ping") || (!modern && method == "server/discover") {
            violated!("our own requests are of the host's era", "{line}");
        }
        if method == "ping" || method == "server/discover" {
            self.cover.hit("asked whether it lives");
            return self.pings(child, &id);
        }
        if doubted {
            self.kid().heard = true;
            self.cover.hit("asked what may be repeated");
            let asked = self.kid().compares.values().filter(|(other, _)| *other == method).count();
            // It may be asked for the first page again.
            let page = if message.params.get("cursor").is_some() { asked } else { 0 };
            self.kid().compares.insert(id, (method, page));
            return Ok(());
        }
        let Some(shown) = self.memory.shown.get(&method).filter(|shown| shown.of != child) else {
            violated!("only lists that the host knows from elsewhere are compared", "{line}");
        };
        let known = shown.pages.len();
        let page = self.kid().compares.values().filter(|(other, _)| *other == method).count();
        if page >= known {
            violated!("only what the host has seen is compared", "page {page} of {known}: {line}");
        }
        self.kid().compares.insert(id, (method, page));
        Ok(())
    }

    /// A child speaks: what it says to our own requests, and whether it has answered anything.
    pub(super) fn child_says_of_eras(&mut self, child: u32, said: &Said) {
        let batch = said.shape == Shape::Batch && self.told.as_deref() != Some("2025-03-26");
        if said.shape == Shape::TooMuch {
            self.kid().spoke |= said.inner.iter().any(|line| line.contains("\"result\":"));
            for message in said.inner.iter().filter_map(|line| parse::message(line)) {
                // Nobody is given it, and nobody waits for it any more.
                let Some(id) = message.id.filter(|_| message.method.is_none()) else { continue };
                self.is_answered_by(&id, false);
                self.kid().compares.remove(&id);
            }
        }
        self.is_felt();
        if batch || matches!(said.shape, Shape::Noise | Shape::TooMuch) {
            return;
        }
        if said.line.len() + 1 > self.rules.max_answer.max(20_000) {
            return;
        }
        for line in &said.inner {
            let Some(message) = parse::message(line) else { continue };
            if message.method.is_none() {
                message.id.as_ref().inspect(|id| self.is_answered_by(id, said.shape == Shape::Plain));
            }
            let acknowledges = message.method() == "notifications/subscriptions/acknowledged";
            let large = line.len() > self.rules.max_answer;
            if message.id.is_some() && !message.is_request() || acknowledges && self.opened == Opened::Modern
            {
                self.kid().spoke = true;
            }
            if acknowledges && self.opened == Opened::Modern {
                let hears = self.is_acknowledged(&message);
                self.memory.acknowledged = Some((line.trim().to_owned(), hears));
            }
            let Some(id) = message.id.clone().filter(|_| message.method.is_none()) else { continue };
            let result = message.result.as_ref().filter(|_| !large);
            if large {
                self.kid().compares.remove(&id);
            }
            let alias = self.alias_of(child, &id).filter(|alias| said.line.contains(alias));
            if let Some(request) = self.late_answer(&id, alias.as_deref()).filter(|_| !large) {
                self.cover.hit("late answer kept");
                self.memory.late = Some(id.clone());
                if request.message.method() == "server/discover" {
                    self.discovers(message.result.as_ref());
                }
                if let Some(result) = result.filter(|_| request.message.method().ends_with("/list")) {
                    let cursor = request.message.params["cursor"].as_str().unwrap_or_default().to_owned();
                    self.learns_list(child, request.message.method(), cursor, result);
                }
            }
            let Some((method, page)) = self.kid().compares.get(&id).cloned() else { continue };
            let first = self.kid().compared.insert(id);
            if let Some(result) = result.filter(|_| first) {
                self.compares(child, &method, page, result);
            }
        }
    }

    /// The request that is answered late under this alias. A later one under the same id is known to the child by another.
    fn late_answer(&mut self, id: &str, alias: Option<&str>) -> Option<Request> {
        let late = &mut self.kid().late;
        late.get(id).filter(|(_, known)| known.as_deref() == alias)?;
        late.remove(id).map(|(request, _)| request)
    }

    fn compares(&mut self, child: u32, method: &str, page: usize, result: &Value) {
        self.cover.hit("list compared");
        self.learns_list(child, method, if page == 0 { "" } else { "more" }.to_owned(), result);
        let hears = self.may_hear(kind_of(method));
        let Some(shown) = self.memory.shown.get_mut(method).filter(|shown| shown.of != child) else { return };
        let Some((seen, next)) = shown.pages.get(page) else { return };
        let now = result.get("nextCursor");
        let last = page + 1 == shown.pages.len();
        let differs =
            *seen != content(result) || (!last && now.is_none()) || (last && next.is_none() != now.is_none());
        if differs || last {
            shown.of = child;
        }
        if differs && hears {
            self.memory.differ = Some(method.to_owned());
        }
    }

    /// We have told the host that a list is another one.
    pub(super) fn tells_list_changed(&mut self, message: &Message, line: &str) -> Checked {
        let kind = message.method().split('/').nth(1).unwrap_or_default().to_owned();
        let stream = message.params["_meta"].get("io.modelcontextprotocol/subscriptionId").cloned();
        if self.memory.differ.as_ref().is_none_or(|method| kind_of(method) != kind) {
            violated!("a list is told to have changed only if it has", "{line}");
        }
        match (&stream, self.opened) {
            (None, Opened::Legacy | Opened::Bare) => {}
            (Some(stream), Opened::Modern) if self.streams_with(&kind).contains(stream) => {}
            _ => violated!("a change is told in the way of the era", "{line}"),
        }
        self.cover.hit("list told to have changed");
        self.memory.told.push((kind, stream));
        Ok(())
    }

    /// What was due in this step has been told.
    pub(super) fn ends_step(&mut self) -> Checked {
        if let Some(method) = self.memory.differ.clone() {
            let kind = kind_of(&method).to_owned();
            let due: Vec<Option<Value>> = match self.opened {
                Opened::Modern => self.streams_with(&kind).into_iter().map(Some).collect(),
                Opened::Legacy | Opened::Nothing | Opened::Probe | Opened::Bare => vec![None],
            };
            for stream in due {
                if !self.memory.told.contains(&(kind.clone(), stream.clone())) {
                    violated!("a list that has changed is told to have", "{method} to {stream:?}");
                }
            }
        }
        if self.memory.refuses && !self.memory.refused {
            violated!("what a server refuses is erased", "{:?}", self.current);
        }
        let timed_out = std::mem::take(&mut self.timed_out);
        let kid = self.kid();
        if !timed_out.is_empty() && kid.exit.is_none() && !kid.laddered && !kid.gone {
            violated!("a call that takes too long is taken back", "{timed_out:?}");
        }
        if !self.memory.updates.is_empty() {
            violated!("what may have been missed is told", "{:?}", self.memory.updates);
        }
        let examined = self.kids[&self.living].pulse.is_examined(self.now);
        if self.phase == crate::engine::phase::Phase::Serving && !examined {
            let lost = self
                .open
                .iter()
                .find(|(_, request)| request.stream && !request.cancelled && request.at != Some(self.living));
            if let Some((id, _)) = lost {
                violated!("streams are asked for again", "stream {id}");
            }
        }
        self.idle_is_asked()
    }

    /// A child has accepted a stream. Whether the host is to hear of it.
    fn is_acknowledged(&mut self, message: &Message) -> bool {
        let id = message.params["_meta"]["io.modelcontextprotocol/subscriptionId"].to_string();
        let filter = message.params["notifications"].clone();
        let Some(stream) = self.streams.get_mut(&id) else { return true };
        let again = std::mem::take(&mut stream.again);
        let equal = stream.acknowledged.as_ref() == Some(&filter);
        stream.acknowledged = Some(filter.clone());
        if again {
            self.cover.hit("stream asked for again");
            let uris = filter["resourceSubscriptions"].as_array().cloned().unwrap_or_default();
            let id: Value = serde_json::from_str(&id).unwrap();
            self.memory.updates.extend(uris.into_iter().map(|uri| (id.clone(), uri)));
        }
        !(again && equal)
    }

    /// We have told the host that a resource may have changed.
    pub(super) fn tells_updated(&mut self, message: &Message, line: &str) -> Checked {
        let uri = message.params["uri"].clone();
        let stream = message.params["_meta"].get("io.modelcontextprotocol/subscriptionId").cloned();
        if !matches!(self.current, Seen::Child(..)) || !uri.is_string() {
            violated!("only messages reach the host", "{line}");
        }
        match (stream, self.opened) {
            (None, Opened::Legacy | Opened::Bare) => {}
            (Some(stream), Opened::Modern) => {
                let due = (stream, uri);
                let Some(at) = self.memory.updates.iter().position(|update| *update == due) else {
                    violated!("a change is told in the way of the era", "{line}");
                };
                self.memory.updates.remove(at);
            }
            _ => violated!("a change is told in the way of the era", "{line}"),
        }
        Ok(())
    }

    /// The form of a result that we have written.
    pub(super) fn has_form(&self, request: &Request, result: &Value, line: &str) -> Checked {
        let modern = request.enveloped() && self.opened != Opened::Legacy;
        let method = request.message.method();
        let cached = method.ends_with("/list") || method == "server/discover";
        let complete = result["resultType"] == "complete";
        let stale = result["ttlMs"] == 0 && result["cacheScope"].is_string();
        // A server may have given its own in another form: that is given again as it was.
        let own = cached && result["tools"][0]["name"] != STATUS_TOOL;
        let formed = modern == complete || (own && modern);
        if !formed || (modern && cached && !stale && result.get("ttlMs").is_some()) {
            violated!("our results have the form of their era", "{line}");
        }
        Ok(())
    }

    /// Whether this is what the child said of itself, with the lists told to change.
    pub(super) fn is_spliced(said: &Said, told: &Message, line: &str) -> bool {
        said.inner.iter().filter_map(|inner| parse::message(inner)).any(|own| {
            let Some(mut result) = own.result.filter(|_| own.id == told.id) else { return false };
            for kind in ["tools", "prompts", "resources"] {
                if result["capabilities"][kind].is_object() {
                    result["capabilities"][kind]["listChanged"] = json!(true);
                }
            }
            Some(&result) == told.result.as_ref() && line.contains("listChanged")
        })
    }
}
