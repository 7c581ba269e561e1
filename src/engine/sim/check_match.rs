//! Which answer belongs to which request, by the checker's own reading: other spellings of an id, ids of ours in the
//! place of the host's, answers behind noise, and answers to unreadable lines.

use std::time::Duration;

use super::Violation;
use super::books::Greeted;
use super::check::{Checked, Checker, Seen, violated};
use super::check_child::OURS;
use super::parse::{self, Message};
use super::server::Shape;
use super::world::Said;

/// How long an answer behind noise waits for a line of its own.
const EMBEDDED: Duration = Duration::from_millis(250);
/// How many answers of a child are remembered, so that a second one is known.
const RECENT: usize = 64;
/// Stands for an id under which a child answers an older request than the one that has the id now.
pub(super) const OLDER: &str = "\"to an older request\"";
const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// Whether an answer is behind noise.
pub(super) fn is_doubtful(said: &Said) -> bool {
    said.shape == Shape::Glued
        && said.inner.iter().filter_map(|line| parse::message(line)).any(|it| is_answer(&it))
}

fn is_answer(message: &Message) -> bool {
    message.id.is_some() && message.method.is_none()
}

pub(super) fn twin(id: &str) -> String {
    match id.strip_prefix('"').and_then(|id| id.strip_suffix('"')) {
        Some(text) => text.to_owned(),
        None => format!("\"{id}\""),
    }
}

impl Checker {
    /// What a child says, with the ids by which the host knows what it speaks of.
    pub(super) fn in_the_hosts_words(&self, seen: Seen) -> Seen {
        let Seen::Child(child, mut said) = seen else { return seen };
        if child == self.living && !self.kids[&child].gone {
            for inner in &mut said.inner {
                if let Some(line) = self.translated(child, inner) {
                    *inner = line;
                }
            }
        }
        Seen::Child(child, said)
    }

    /// The requests that a child answers now, after they were answered or given up.
    pub(super) fn owed_answers(&self, seen: &Seen) -> Vec<String> {
        let Seen::Child(child, said) = seen else { return Vec::new() };
        if *child != self.living || is_doubtful(said) || said.shape == Shape::Noise {
            return Vec::new();
        }
        let answers = said.inner.iter().filter_map(|line| parse::message(line)).filter(is_answer);
        let owed = &self.kids[child].owed;
        let ids = answers.filter_map(|message| message.id);
        ids.map(|id| if owed.contains(&id) { id } else { twin(&id) }).filter(|id| owed.contains(id)).collect()
    }

    /// An answer that is longer than a host takes completes a request that the host has cancelled.
    pub(super) fn forgets_what_was_too_long(&mut self, seen: &Seen) {
        let Seen::Child(child, said) = seen else { return };
        for line in &said.inner {
            let too_long = said.shape == Shape::TooMuch || line.len() > self.rules.max_answer;
            let Some(id) = parse::message(line).filter(is_answer).and_then(|message| message.id) else {
                continue;
            };
            if too_long && self.open.get(&id).is_some_and(|it| it.cancelled && it.at == Some(*child)) {
                self.open.remove(&id);
                self.closed.insert(id);
            }
        }
    }

    fn translated(&self, child: u32, line: &str) -> Option<String> {
        let message = parse::message(line)?;
        let kid = &self.kids[&child];
        if is_answer(&message) {
            let id = message.id.as_ref()?;
            // What was written under its own id is answered under it: nothing older under that id is owed any more.
            let is_its_own = |id: &String| {
                self.open.get(id).is_some_and(|request| request.at == Some(child))
                    && !kid.aliases.values().any(|own| own == id)
            };
            let known = match self.known_as(child, id) {
                Some(known)
                    if !self.rules.twins
                        && !is_its_own(&known)
                        && kid.owed.contains(&known)
                        && !kid.aliases.contains_key(id)
                        && !kid.late.contains_key(&known) =>
                {
                    OLDER.to_owned()
                }
                Some(known) => known,
                None if kid.aliases.values().any(|own| own == id) => OLDER.to_owned(),
                None => return None,
            };
            let line = parse::with_value(line, &["id"], &known);
            return Some(parse::with_value(&line, &["result", "_meta", SUBSCRIPTION], &known));
        }
        let mut line = line.to_owned();
        for path in
            [&["params", "progressToken"][..], &["params", "_meta", SUBSCRIPTION], &["params", "requestId"]]
        {
            let Some(said) = value_at(&message, path) else { continue };
            if let Some(own) = kid.aliases.get(&said) {
                line = parse::with_value(&line, path, own);
            } else if path.len() == 3 && kid.aliases.values().any(|own| *own == said) {
                line = parse::with_value(&line, path, OLDER);
            } else if path.last() != Some(&"progressToken")
                && self.opened == super::check_era::Opened::Modern
                && let Some(known) = self.known_as(child, &said)
            {
                line = parse::with_value(&line, path, &known);
            }
        }
        Some(line)
    }

    /// The id that we or the host use for what this child answers under this one.
    fn known_as(&self, child: u32, id: &str) -> Option<String> {
        let kid = &self.kids[&child];
        if let Some(own) = kid.aliases.get(id) {
            return Some(own.clone());
        }
        let awaited = |id: &str| {
            let renamed = kid.aliases.values().any(|own| own == id);
            kid.own.contains(id)
                || kid.owed.contains(id)
                || kid.late.contains_key(id)
                || kid.greeted == Greeted::Sent(id.to_owned())
                || !renamed && self.open.get(id).is_some_and(|request| request.at == Some(child))
        };
        if awaited(id) { Some(id.to_owned()) } else { Some(twin(id)).filter(|twin| awaited(twin)) }
    }

    /// An answer behind noise has come.
    pub(super) fn is_embedded(&mut self, child: u32, said: &Said) {
        if child != self.living || self.kid().gone {
            return;
        }
        let ids: Vec<String> =
            said.inner.iter().filter_map(|line| parse::message(line)).filter_map(|it| it.id).collect();
        let known = ids.iter().any(|id| id == OLDER || self.known_as(child, id).is_some());
        self.is_felt();
        for id in &ids {
            self.is_answered_by(id, false);
        }
        let at = self.now + EMBEDDED;
        let kid = self.kid();
        kid.spoke |= known;
        if known {
            kid.glued.push((at, said.clone()));
        }
    }

    /// The child and the message behind this answer, if the answer may be believed now.
    pub(super) fn believed(&mut self, message: &Message, line: &str) -> Result<(u32, Said), Violation> {
        let (now, child) = (self.now, self.living);
        let over = self.kid().exit.is_some();
        let is_it =
            |said: &Said| said.inner.iter().filter_map(|it| parse::message(it)).any(|it| it.id == message.id);
        let twins = self.rules.twins;
        let kid = self.kid();
        let due = kid.glued.iter().any(|(at, said)| (*at <= now || over) && is_it(said));
        // The first of several decides when, and the last one what.
        // Under twins nobody can tell which of two requests an answer is for.
        let verbatim = |said: &Said| twins && said.inner.iter().any(|it| it.trim() == line);
        let found = kid.glued.iter().rposition(|(_, said)| is_it(said) && verbatim(said));
        let found = found.or_else(|| kid.glued.iter().rposition(|(_, said)| is_it(said)));
        let Some(found) = found.filter(|_| due) else {
            violated!("an answer behind noise waits for its own line", "{line}");
        };
        self.cover.hit("answer behind noise believed");
        self.kid().pulse.works_no_more();
        Ok((child, self.kid().glued.remove(found).1))
    }

    /// A message behind noise was taken for one. What a child owed and says like this is given.
    pub(super) fn is_salvaged(&mut self) {
        self.cover.hit("message salvaged from noise");
        let (now, child) = (self.now, self.living);
        let open = &self.open;
        let Some(kid) = self.kids.get_mut(&child) else { return };
        let ids = |said: &Said| -> Vec<String> {
            said.inner.iter().filter_map(|line| parse::message(line)?.id).collect()
        };
        let awaited = |said: &Said| {
            ids(said).iter().any(|id| open.get(id).is_some_and(|request| request.at == Some(child)))
        };
        let mut given = Vec::new();
        for (_, said) in kid.glued.iter().filter(|(at, said)| *at <= now && !awaited(said)) {
            for id in ids(said) {
                kid.late.remove(&id);
            }
            let exact: Vec<String> = kid.owed.iter().filter(|id| names(&said.line, id)).cloned().collect();
            let twins =
                kid.owed.iter().filter(|id| exact.is_empty() && names(&said.line, &twin(id))).cloned();
            given.extend(twins.collect::<Vec<_>>());
            given.extend(exact);
        }
        kid.owed.retain(|id| !given.contains(id));
        // Others of the same id stand for nothing any more.
        let is_over = |said: &Said| {
            given.iter().any(|id| names(&said.line, id) || names(&said.line, &twin(id))) && !awaited(said)
        };
        kid.glued.retain(|(_, said)| !is_over(said));
    }

    /// A request of the host that was written under an id of ours, and its line as the host wrote it.
    pub(super) fn is_renamed(
        &mut self,
        child: u32,
        message: &Message,
        line: &str,
    ) -> Option<(Message, String)> {
        let alias = message.id.clone().filter(|id| id.starts_with(OURS) && id.contains(":again:"))?;
        let own = |request: &&super::books::Request| {
            request.at != Some(child)
                && request.withheld.is_none()
                && Self::as_written(line, request) == request.line
        };
        // Of those that differ in nothing but their ids the oldest is written first that may be.
        let order = |request: &&super::books::Request| (self.is_doubted(request), request.number);
        let request = self.open.values().filter(own).min_by_key(order)?;
        let (message, line) = (request.message.clone(), request.line.clone());
        self.cover.hit("request written under an id of ours");
        let id = message.id.clone()?;
        let aliases = &mut self.kid().aliases;
        // What had the id before is an older request from now on.
        aliases.values_mut().filter(|own| **own == id).for_each(|own| OLDER.clone_into(own));
        aliases.insert(alias, id);
        Some((message, line))
    }

    /// A child gets a request under this id. A name that it already has for the id belongs to an older request.
    pub(super) fn is_written_under(&mut self, child: u32, id: Option<&str>) {
        if let Some(id) = id.filter(|id| self.open.get(*id).is_some_and(|it| it.at != Some(child))) {
            self.has_answered(child, id);
        }
    }

    /// A child has answered this request, so the name under which it had it has no meaning any more.
    pub(super) fn has_answered(&mut self, child: u32, id: &str) {
        if let Some(kid) = self.kids.get_mut(&child) {
            kid.aliases.retain(|_, own| own != id);
        }
    }

    /// Turns a line that was written to a child into the form in which the host would have written this request.
    fn as_written(line: &str, request: &super::books::Request) -> String {
        let id = request.message.id.clone().unwrap_or_default();
        let line = parse::with_value(line, &["id"], &id);
        match request.message.params["_meta"].get("progressToken") {
            Some(token) => {
                parse::with_value(&line, &["params", "_meta", "progressToken"], &token.to_string())
            }
            None => line,
        }
    }

    /// The same for a line that never left us.
    pub(super) fn unrenamed(&self, child: u32, line: &str) -> String {
        if let Some(elements) = parse::elements(line) {
            let own: Vec<String> = elements.iter().map(|element| self.unrenamed(child, element)).collect();
            return format!("[{}]", own.join(","));
        }
        let alias = parse::message(line).and_then(|message| message.id);
        let own = alias.and_then(|alias| self.kids[&child].aliases.get(&alias));
        own.and_then(|own| self.open.get(own))
            .map_or(line.to_owned(), |request| Self::as_written(line, request))
    }

    /// The id by which this child knows a request of the host.
    pub(super) fn alias_of(&self, child: u32, id: &str) -> Option<String> {
        let aliases = &self.kids.get(&child)?.aliases;
        aliases.iter().find(|(_, own)| *own == id).map(|(alias, _)| alias.clone())
    }

    /// A child has got a line that cannot be read as a request: counts the answers that may come.
    pub(super) fn may_be_answered(&mut self, line: &str) {
        let count = match (parse::message(line), parse::elements(line)) {
            (Some(_), _) => 0,
            _ if line.trim().is_empty() => 0,
            (None, None) => 1,
            (None, Some(elements)) if elements.is_empty() => 1,
            (None, Some(elements)) => elements
                .iter()
                .filter(|element| parse::message(element).is_none_or(|message| message.is_request()))
                .count(),
        };
        self.kid().strays += count;
        if count > 0 {
            self.kid().unreadable.push(line.to_owned());
        }
    }

    /// A child has answered this request of the host itself.
    pub(super) fn remembers_answer(&mut self, child: u32, id: &str) {
        if let Some(kid) = self.kids.get_mut(&child) {
            kid.answered.push_back(id.to_owned());
            if kid.answered.len() > RECENT {
                kid.answered.pop_front();
            }
        }
    }

    /// Whether this child has just answered this, and no line that could not be read may have the same id.
    pub(super) fn is_second_answer(&self, child: u32, id: &str) -> bool {
        let kid = &self.kids[&child];
        !self.rules.twins
            && kid.answered.iter().any(|known| known == id)
            && !kid.unreadable.iter().any(|line| names(line, id))
    }

    /// An answer that belongs to no request has reached the host, or several in one line.
    pub(super) fn strays(&mut self, line: &str) -> Checked {
        let answers = parse::elements(line).map_or(1, |elements| elements.len());
        let kid = self.kid();
        if kid.strays < answers {
            violated!("only answers that it waits for reach the host", "{line}");
        }
        kid.strays -= answers;
        if kid.strays == 0 {
            kid.unreadable.clear();
        }
        self.cover.hit("answer to what could not be read");
        Ok(())
    }

    /// The host no longer waits for this request, but its child may still answer it.
    pub(super) fn is_owed(&mut self, id: &str, at: Option<u32>) {
        let living = self.living;
        if let Some(kid) = at.filter(|at| *at == living).and_then(|at| self.kids.get_mut(&at))
            && kid.greeted != Greeted::Sent(id.to_owned())
        {
            kid.owed.insert(id.to_owned());
        }
    }

    /// Whether this line, which is no message, may be the answer to an unreadable one.
    pub(super) fn may_stray(&self, line: &str) -> bool {
        let said = matches!(&self.current, Seen::Child(child, said)
            if *child == self.living && said.line.trim() == line);
        let value: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
        let answers = |value: &serde_json::Value| {
            value["jsonrpc"] == "2.0" && (value.get("result").is_some() || value.get("error").is_some())
        };
        // To an array that no revision was agreed for.
        said && value.as_array().map_or_else(|| answers(&value), |all| all.iter().all(answers))
    }

    /// An error without id, which may be the answer to an unreadable line.
    pub(super) fn strays_or_may_lack(&mut self, line: &str) -> Checked {
        let may_lack = self.told.as_deref().is_some_and(|told| told >= "2025-11-25")
            || self.opened == super::check_era::Opened::Modern;
        if may_lack { Ok(()) } else { self.strays(line) }
    }

    /// An answer must be given for the request that its content names.
    pub(super) fn answers_this(message: &Message, method: &str, line: &str) -> Checked {
        let result = message.result.as_ref().and_then(|result| result["content"][0]["text"].as_str());
        let error = message.error.as_ref().and_then(|error| error["message"].as_str());
        let Some((_, to)) = result.or(error).and_then(|text| text.split_once(" to ")) else { return Ok(()) };
        if to.split(':').next() != Some(method) {
            violated!("an answer reaches the request that it answers", "to {method}: {line}");
        }
        Ok(())
    }
}

/// Whether a line, whatever it is, has a member `id` with just this value.
fn names(line: &str, id: &str) -> bool {
    line.match_indices("\"id\"").any(|(at, key)| {
        let value = line[at + key.len()..].trim_start().strip_prefix(':').map(str::trim_start);
        let rest = value.and_then(|value| value.strip_prefix(id));
        rest.is_some_and(|rest| rest.starts_with([',', '}', ' ', '\t']))
    })
}

fn value_at(message: &Message, path: &[&str]) -> Option<String> {
    let mut value = &message.params;
    for name in &path[1..] {
        value = value.get(name)?;
    }
    Some(value.to_string())
}
