//! The eras that a model server speaks: when it is locked to one, what it refuses then, its listening streams, and how it
//! takes pings.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::profile::Pings;
use super::super::world::{Said, Sched};
use super::{Server, Shape};
use crate::engine::io::Era;

/// Which eras a server speaks, and when it is locked to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::sim) enum Kind {
    /// The legacy era only; it refuses what it does not know.
    Legacy,
    /// Both; the first request decides, even if it only asks what the server speaks.
    LocksAtOnce,
    /// Both; the first request decides that does not only ask what the server speaks.
    LocksLater,
    /// The legacy era only; it exits if the first message is no greeting.
    Strict,
}

impl Server {
    /// Whether it refuses a request for its era: the code of the error, or 0 if it exits over it.
    pub(super) fn refuses(&mut self, method: &str, enveloped: bool) -> Option<i32> {
        let discovers = method == "server/discover";
        let era = if method != "initialize" && (enveloped || discovers) { Era::Modern } else { Era::Legacy };
        let locks = match self.kind {
            Kind::Strict if self.locked.is_none() && method != "initialize" && method != "ping" => {
                return Some(0);
            }
            Kind::Legacy | Kind::Strict => {
                self.locked = Some(Era::Legacy);
                return discovers.then_some(-32601);
            }
            Kind::LocksAtOnce => method != "ping",
            Kind::LocksLater => method != "ping" && !discovers,
        };
        if locks {
            self.locked.get_or_insert(era);
        }
        match (self.locked, era) {
            (Some(Era::Modern), Era::Legacy) if method == "initialize" => Some(-32022),
            (Some(Era::Modern), Era::Legacy) => Some(-32602),
            (Some(Era::Legacy), Era::Modern) if !discovers => Some(-32600),
            (Some(Era::Legacy), Era::Modern) => Some(-32601),
            _ => None,
        }
    }

    /// It is asked for a stream.
    pub(super) fn listened(&mut self, lag: Duration, id: &str, params: &Value, sched: &mut Sched) {
        let delay = lag + sched.rng.millis(0, 25);
        match sched.rng.below(20) {
            0 => {
                let line = format!(
                    "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"error\":{{\"code\":-32601,\"message\":\"no streams\"}}}}"
                );
                self.say(delay, line, sched);
            }
            // Some are never answered.
            1 | 2 => {}
            chance => {
                let meta = format!("\"io.modelcontextprotocol/subscriptionId\":{id}");
                let mut filter = params["notifications"].clone();
                if chance == 6 {
                    filter["toolsListChanged"] = json!(false);
                }
                let line = format!(
                    "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{{\"_meta\":{{{meta}}},\"notifications\":{filter}}}}}"
                );
                self.says(delay, Said { line: line.clone(), inner: vec![line], shape: Shape::Plain }, sched);
                self.streams.push(id.to_owned());
                if chance < 6 {
                    let later = delay + sched.rng.millis(100, 20_000);
                    self.ends_stream(later, id, sched);
                }
            }
        }
    }

    /// It ends a stream: by a notification, by the result, or by both.
    pub(super) fn ends_stream(&self, delay: Duration, id: &str, sched: &mut Sched) {
        let how = sched.rng.below(3);
        if how < 2 {
            let line = format!(
                "{{\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{{\"requestId\":{id}}}}}"
            );
            self.says(delay, Said { line: line.clone(), inner: vec![line], shape: Shape::Plain }, sched);
        }
        if how > 0 {
            let meta = format!("\"io.modelcontextprotocol/subscriptionId\":{id}");
            let line = format!(
                "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"result\":{{\"resultType\":\"complete\",\"_meta\":{{{meta}}}}}}}"
            );
            self.say(delay, line, sched);
        }
    }

    /// Whether this ping is taken in another way than by an answer.
    pub(super) fn takes_ping(&mut self, id: &str, sched: &mut Sched) -> bool {
        let soon = Duration::from_millis(20);
        match sched.profile.pings {
            Pings::Answers => return false,
            Pings::Ignores => {}
            Pings::Garbles => {
                let line = match sched.rng.below(3) {
                    0 => format!("{{\"jsonrpc\":\"2.0\",\"id\":{id}}}"),
                    1 => "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32601,\"message\":\"no\"}}"
                        .to_owned(),
                    _ => "unknown method: ping".to_owned(),
                };
                self.says(soon, Said { line, inner: Vec::new(), shape: Shape::Noise }, sched);
            }
            Pings::Dies => self.dies(soon, sched),
        }
        true
    }
}
