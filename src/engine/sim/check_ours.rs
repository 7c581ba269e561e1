//! What we write to the host ourselves: guidance, lists, greetings, and a few notifications.

use serde_json::Value;

use super::Violation;
use super::books::Request;
use super::check::{Checked, Checker, Seen, violated};
use super::parse::Message;
use crate::engine::answers::STATUS_TOOL;
use crate::engine::phase::Phase;

const STATES: [&str; 5] =
    ["server_unavailable", "server_restarted", "server_timeout", "answer_too_large", "session_expired"];

impl Checker {
    /// A message that we have written.
    pub(super) fn we_tell(&mut self, message: &Message, line: &str) -> Checked {
        if line.contains("isError") && !line.contains("isError\\\"") && message.error.is_none() {
            violated!("what we write says nothing of isError", "{line}");
        }
        match (message.method.as_deref(), &message.id) {
            (Some("notifications/cancelled"), None) => {
                let id = message.params["requestId"].to_string();
                let Some(ask) = self.asks.get_mut(&id) else {
                    violated!("we take back what a dead child asked", "{line}");
                };
                if ask.done || !self.kids[&ask.child].gone {
                    violated!("we take back what a dead child asked", "{line}");
                }
                ask.done = true;
                self.cover.hit("request of a dead child taken back");
                Ok(())
            }
            (Some("notifications/resources/updated"), None) => self.tells_updated(message, line),
            (
                Some(
                    "notifications/tools/list_changed"
                    | "notifications/prompts/list_changed"
                    | "notifications/resources/list_changed",
                ),
                None,
            ) => self.tells_list_changed(message, line),
            (None, Some(id)) => self.we_answer(id, message, line),
            _ => violated!("only messages reach the host", "{line}"),
        }
    }

    fn we_answer(&mut self, id: &str, message: &Message, line: &str) -> Checked {
        let code = message.error.as_ref().and_then(|error| error["code"].as_i64());
        if matches!(&self.current, Seen::HostTooMuch(long) if long == id) && code == Some(-32600) {
            self.closed.insert(id.to_owned());
            self.current = Seen::Nothing;
            return Ok(());
        }
        let Some(request) = self.open.remove(id) else {
            if self.closed.contains(id) {
                violated!("no request is answered twice", "{line}");
            }
            violated!("only answers that it waits for reach the host", "{line}");
        };
        self.closed.insert(id.to_owned());
        self.streams.remove(id);
        if !matches!(self.current, Seen::Child(..)) {
            self.is_owed(id, request.at);
        }
        let alias = self.alias_of(self.living, id);
        if let Some(kid) = request.at.filter(|at| *at == self.living).and_then(|at| self.kids.get_mut(&at))
            && !kid.gone
            && !matches!(self.current, Seen::Child(..))
            && request.is_soon()
            && kid.serving_since.is_none()
        {
            kid.late.insert(id.to_owned(), (request.clone(), alias));
        }
        if request.cancelled {
            violated!("what the host has cancelled gets no answer of ours", "{line}");
        }
        self.cover.hit("answered by us");
        match (&message.result, code) {
            (Some(result), _) => {
                self.has_form(&request, result, line)?;
                self.our_result(&request, result, line)
            }
            (None, Some(-32601)) if request.message.method() == "server/discover" => {
                if self.memory.discovered.is_some() {
                    violated!("a probe gets the last good answer", "{line}");
                }
                self.cover.hit("probe refused by us");
                Ok(())
            }
            (None, Some(-32601)) => {
                let all = self.told_result["capabilities"].as_object().map_or(0, serde_json::Map::len) > 5;
                if all {
                    violated!("we refuse only what was never offered", "{line}");
                }
                self.cover.hit("refused what was never offered");
                Ok(())
            }
            (None, Some(-32603)) => {
                let data = message.error.as_ref().map(|error| error["data"].clone()).unwrap_or_default();
                if request.message.method() == "tools/call" && !self.wants_error(&request) {
                    violated!("guidance comes as the method wants it", "an error: {line}");
                }
                self.guidance(&request, &data, line)
            }
            _ => violated!("guidance comes as the method wants it", "{line}"),
        }
    }

    /// Whether an ordinary result would not be valid for this call.
    pub(super) fn wants_error(&self, request: &Request) -> bool {
        request.message.params.get("task").is_some()
            || self.tools.get(request.name()).is_some_and(|tool| tool.typed)
    }

    fn our_result(&mut self, request: &Request, result: &Value, line: &str) -> Checked {
        let method = request.message.method();
        match method {
            "initialize" => {
                let version = result["protocolVersion"].as_str().unwrap_or_default().to_owned();
                if self.told.as_ref().is_some_and(|told| *told != version) {
                    violated!(
                        "the version that the host was told does not change",
                        "{:?}: {line}",
                        self.told
                    );
                }
                if result["capabilities"].as_object().is_none_or(serde_json::Map::is_empty) {
                    violated!("we greet as a server would", "{line}");
                }
                self.cover.hit("greeting answered by us");
                self.told = Some(version);
                self.told_result = result.clone();
                Ok(())
            }
            "server/discover" => {
                let good = self.memory.discovered.clone().map(|mut good| {
                    good["ttlMs"] = serde_json::json!(0);
                    good
                });
                if good.as_ref() != Some(result) {
                    violated!("a probe gets the last good answer", "{line} is not {good:?}");
                }
                self.cover.hit("probe answered by us");
                Ok(())
            }
            "subscriptions/listen" if self.phase == Phase::Stopping => {
                self.cover.hit("stream ended by us");
                Ok(())
            }
            "ping" => Ok(()),
            "completion/complete" if result["completion"]["values"].is_array() => Ok(()),
            "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe" => {
                // In the order of asking, whatever the order of the answers: those of a batch come together.
                self.learned.insert(request.number, request.clone());
                Ok(())
            }
            "tools/list" | "prompts/list" | "resources/list" | "resources/templates/list" => {
                self.our_list(request, result, line)
            }
            "tools/call" => {
                let text = result["content"][0]["text"].as_str().unwrap_or_default();
                if request.name() == STATUS_TOOL && !text.starts_with('{') {
                    self.cover.hit("status tool answered");
                    return Ok(());
                }
                if self.wants_error(request) && request.name() != STATUS_TOOL {
                    violated!("guidance comes as the method wants it", "a result: {line}");
                }
                let guidance = serde_json::from_str(text).unwrap_or_default();
                self.guidance(request, &guidance, line)
            }
            _ => violated!("guidance comes as the method wants it", "{line}"),
        }
    }

    fn our_list(&mut self, request: &Request, result: &Value, line: &str) -> Checked {
        self.cover.hit("list answered by us");
        let cursor = request.message.params["cursor"].as_str().unwrap_or_default();
        let method = request.message.method();
        let pages = self.lists.get(method);
        let of_this_run = pages.is_some_and(|pages| !pages.by_cursor.is_empty());
        let has_first = pages.is_some_and(|pages| pages.by_cursor.contains_key(""));
        let disk = self.disk_has(method, None).filter(|_| cursor.is_empty() && !has_first);
        let known = of_this_run || disk.is_some();
        let stale = |page: &Value| {
            let mut page = page.clone();
            if page.get("ttlMs").is_some() {
                page["ttlMs"] = serde_json::json!(0);
            }
            page
        };
        let from_disk = disk.as_ref().is_some_and(|page| stale(page) == *result);
        let of = if of_this_run && !from_disk { pages.map_or(0, |pages| pages.from) } else { 0 };
        let good = match (pages.and_then(|pages| pages.by_cursor.get(cursor)), &disk) {
            (Some(page), _) => stale(page) == *result,
            (None, Some(page)) if stale(page) == *result => true,
            // The disk may have come when there was a second page of this run already.
            (None, Some(_)) if !of_this_run => false,
            (None, _) if result["tools"][0]["name"] == STATUS_TOOL => !known && cursor.is_empty(),
            // Nothing but empty lists has ever been seen, or a server has a second page and says that its first is empty.
            (None, _) => pages.is_some_and(|pages| {
                let empty = result
                    .as_object()
                    .is_some_and(|result| result.values().filter_map(Value::as_array).any(Vec::is_empty));
                (!known || of_this_run && cursor.is_empty() && !has_first && empty)
                    && pages.seen.iter().any(|page| stale(page) == *result)
            }),
        };
        if !good {
            violated!("a list that we serve is the last good one and never empty", "{line}");
        }
        if disk.is_some() {
            self.cover.hit("list from an earlier run");
        }
        self.is_shown(of, request, result);
        Ok(())
    }

    fn guidance(&mut self, request: &Request, guidance: &Value, line: &str) -> Checked {
        self.account.guided();
        let text = |name: &str| guidance[name].as_str().unwrap_or_default();
        let whole = STATES.contains(&text("status"))
            && !text("message").is_empty()
            && !text("hint").is_empty()
            && !text("server").is_empty()
            && guidance["retryable"].is_boolean();
        if !whole {
            violated!("guidance has its fields", "{line}");
        }
        let outcome = if request.written.is_empty() { "not_executed" } else { "unknown" };
        // A call of our own tool executes nothing.
        let ours = request.name() == STATUS_TOOL && guidance.get("outcome").is_none();
        if text("outcome") != outcome && !ours {
            violated!("guidance tells the outcome", "{outcome}: {line}");
        }
        if text("message").contains("Too many requests") {
            self.cover.hit("queue full");
        }
        if request.refused > 0 && text("status") == "session_expired" {
            self.tells_refused(request, line)?;
        } else {
            self.session_answers(text("status"), line)?;
        }
        match text("status") {
            "server_timeout" if request.at.is_some() && request.message.method() == "tools/call" => {
                self.cover.hit("call that took too long");
                self.timed_out.extend(request.message.id.clone());
                self.is_told_to_leave(request.at);
            }
            "server_restarted" => {
                if request.written.is_empty() {
                    violated!("guidance tells the outcome", "no child had it: {line}");
                }
                self.cover.hit("answered with server_restarted");
            }
            "server_unavailable" => self.cover.hit("answered with server_unavailable"),
            "answer_too_large" if !matches!(self.current, Seen::Child(..)) => {
                violated!("guidance tells the outcome", "no answer came: {line}");
            }
            _ => {}
        }
        Ok(())
    }
}
