//! Listening streams of the modern era: requests that stay open, and are answered when they end.
//!
//! A stream outlives the child that serves it: each later child is asked again in the same bytes. An acknowledgement
//! that tells the host nothing new is dropped. What the host may have missed meanwhile is reported under the stream's
//! id, as far as its acknowledged filter allows. A stream that the server ends is over: by its result, by
//! `notifications/cancelled` with its id, or by both. What a child says of a stream while we end that child is only a
//! goodbye to us, and the stream goes on. A stream owes no answer at the end of input, and is completed when we end.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::Value;

use super::inflight::{Inflight, Pending};
use super::io::Gen;
use super::phase::Phase;
use super::{Engine, answers, planted};
use crate::wire::{Id, Response, edit};

/// The method.
pub(super) const LISTEN: &str = "subscriptions/listen";
/// The notification by which a server accepts a stream.
pub(super) const ACKNOWLEDGED: &str = "notifications/subscriptions/acknowledged";
/// The member of `_meta` that says which stream a notification belongs to.
const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

#[derive(Debug)]
struct Stream {
    id: Id,
    /// The filter as the server accepted it, as JSON text. `None` before that.
    acknowledged: Option<Bytes>,
    /// A later child has been asked, and its acknowledgement is awaited.
    asked_again: bool,
}

/// The open streams. The host opens them in this order, counted from 0.
#[derive(Debug, Default)]
pub(super) struct Listens {
    streams: BTreeMap<u64, Stream>,
    places: BTreeMap<Id, u64>,
    /// Those that no child may have been asked for.
    unasked: BTreeSet<u64>,
    next_place: u64,
}

impl Listens {
    /// The host has opened a stream.
    pub(super) fn open(&mut self, id: &Id) {
        let place = self.next_place;
        self.next_place += 1;
        self.streams.insert(place, Stream { id: id.clone(), acknowledged: None, asked_again: false });
        self.places.insert(id.clone(), place);
        self.unasked.insert(place);
    }

    /// A stream has ended.
    pub(super) fn close(&mut self, id: &Id) {
        if let Some(place) = self.places.remove(id) {
            self.streams.remove(&place);
            self.unasked.remove(&place);
        }
    }

    /// The child that served the streams is gone: the next one is asked again.
    pub(super) fn lose_child(&mut self) {
        for stream in self.streams.values_mut() {
            stream.asked_again = stream.acknowledged.is_some();
        }
        self.unasked = self.streams.keys().copied().collect();
    }

    /// The first stream that no child has been asked for.
    pub(super) fn unwritten(&mut self, inflight: &Inflight) -> Option<Id> {
        while let Some(stream) = self.unasked.first().map(|place| &self.streams[place]) {
            if inflight.get(&stream.id).is_some_and(|pending| pending.written.is_none()) {
                return Some(stream.id.clone());
            }
            self.unasked.pop_first();
        }
        None
    }

    /// The stream that an acknowledgement names, or else the first one that waits for one.
    fn acknowledged_by(&mut self, named: Option<&Id>) -> Option<&mut Stream> {
        match named {
            Some(id) => self.streams.get_mut(self.places.get(id)?),
            None => {
                self.streams.values_mut().find(|stream| stream.asked_again || stream.acknowledged.is_none())
            }
        }
    }

    /// The streams whose acknowledged filter has this flag.
    fn with_flag(&self, flag: &str) -> impl Iterator<Item = &Id> {
        let has = move |stream: &&Stream| {
            stream.acknowledged.as_ref().is_some_and(|filter| edit::find_in(filter, &[flag]) == Some("true"))
        };
        self.streams.values().filter(has).map(|stream| &stream.id)
    }
}

impl Engine {
    /// Whether this child ends a stream only because we are ending the child. The next child then goes on with the
    /// stream. At our own end the host gets such a message.
    pub(super) fn is_goodbye(&self, child: Gen, id: &Id) -> bool {
        let stream =
            |pending: &Pending| pending.stream && !pending.cancelled && pending.written == Some(child);
        self.inflight.get(id).is_some_and(stream)
            && self.phase != Phase::Stopping
            && (self.phase == Phase::Draining
                || self.child.as_ref().is_some_and(|child| child.ladder.is_some()))
    }

    /// A child says that the stream with this id is over. Returns whether the host gets the message.
    pub(super) fn ends_stream(&mut self, child: Gen, id: &Id, line: &Bytes) -> bool {
        let Some(pending) = self.inflight.get(id).filter(|pending| pending.stream) else { return true };
        if pending.written != Some(child) || self.is_goodbye(child, id) && !planted!(self, TellGoodbye) {
            return false;
        }
        if planted!(self, AskEndedStreams) {
            return true;
        }
        self.listens.close(id);
        if let Some(pending) = self.inflight.take(id) {
            // Its result may follow, when the host has given the id to another request.
            self.owe(&pending);
            if !pending.cancelled {
                let response = Response { id: Some(id.clone()), has_odd_id: false, is_error: false };
                self.note_done(&pending, &response, line);
            }
        }
        true
    }

    /// A child has accepted a stream. Whether the host is to hear it.
    pub(super) fn acknowledged(&mut self, line: &Bytes) -> bool {
        let id = edit::find_in(line, &["params", "_meta", SUBSCRIPTION_ID]).and_then(Id::from_json);
        let filter = edit::find_in(line, &["params", "notifications"]);
        let found = self.listens.acknowledged_by(id.as_ref());
        let (Some(stream), Some(filter)) = (found, filter) else { return true };
        let again = std::mem::take(&mut stream.asked_again);
        let known = stream.acknowledged.replace(Bytes::copy_from_slice(filter.as_bytes()));
        // The host can now be told of a list that it was given in place of the server's own.
        self.compare_due = true;
        if !again {
            return true;
        }
        let id = stream.id.clone();
        let uris: Vec<Value> =
            parsed(filter.as_bytes())["resourceSubscriptions"].as_array().cloned().unwrap_or_default();
        let equal = known.is_some_and(|known| parsed(&known) == parsed(filter.as_bytes()));
        let swallowed = equal && !planted!(self, ForwardAcknowledgement);
        if !swallowed {
            // What follows is told under the filter that the host then knows.
            self.forward_to_host(line.clone());
        }
        for uri in uris {
            self.say_to_host(answers::resource_updated(&uri.to_string(), Some(&id)));
        }
        false
    }

    /// Tells the host that a list is another one, in the way of its era.
    pub(super) fn tell_list_changed(&mut self, method: &str) {
        let Some((kind, flag)) = (match method {
            "tools/list" => Some(("tools", "toolsListChanged")),
            "prompts/list" => Some(("prompts", "promptsListChanged")),
            "resources/list" | "resources/templates/list" => Some(("resources", "resourcesListChanged")),
            _ => None,
        }) else {
            return;
        };
        if self.is_modern() {
            let ids: Vec<Id> = self.listens.with_flag(flag).cloned().collect();
            for id in ids {
                self.say_to_host(answers::list_changed(kind, Some(&id)));
            }
        } else if self.can_tell_list_changed(method) {
            self.say_to_host(answers::list_changed(kind, None));
        }
    }

    /// Whether the host can be told that this list is another one.
    pub(super) fn can_tell_list_changed(&self, method: &str) -> bool {
        let kind = method.split('/').next().unwrap_or_default();
        if self.is_modern() {
            self.listens.with_flag(&format!("{kind}ListChanged")).next().is_some()
        } else {
            // A greeting that names no version promises nothing.
            self.replay.told_result.is_some() && self.replay.can(kind, Some("listChanged"))
        }
    }
}

fn parsed(json: &[u8]) -> Value {
    serde_json::from_slice(json).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Id, Inflight, Listens};
    use crate::engine::inflight::Pending;
    use crate::engine::io::{Gen, Now};
    use crate::engine::upstream::Ends;
    use crate::wire::{Frame, Message, Parsed};

    fn open(listens: &mut Listens, inflight: &mut Inflight, name: &str) -> Id {
        let line = format!(
            "{{\"jsonrpc\":\"2.0\",\"id\":\"{name}\",\"method\":\"subscriptions/listen\",\"params\":{{\"_meta\":{{\"io.modelcontextprotocol/protocolVersion\":\"2026-07-28\"}}}}}}"
        );
        let frame = Frame::read(line.into());
        let Parsed::One(Message::Request(request)) = frame.parsed else { panic!("it is a request") };
        let id = request.id.clone();
        inflight.register(Pending::new(request, Bytes::new(), Now::default().mono, None));
        listens.open(&id);
        id
    }

    #[test]
    fn each_child_is_asked_for_each_stream_once_in_their_order() {
        let (mut listens, mut inflight) = (Listens::default(), Inflight::default());
        let ids = ["a", "b", "c"].map(|name| open(&mut listens, &mut inflight, name));
        for child in [Gen(1), Gen(2)] {
            for id in &ids {
                assert_eq!(listens.unwritten(&inflight).as_ref(), Some(id));
                assert_eq!(listens.unwritten(&inflight).as_ref(), Some(id), "it is still not written");
                inflight.written(id, child, 0, false, Ends::default());
            }
            assert_eq!(listens.unwritten(&inflight), None);
            assert!(listens.unasked.is_empty(), "what was asked for costs no message after it anything");
            listens.lose_child();
            for id in &ids {
                inflight.requeue(id, None);
            }
        }
        listens.close(&ids[0]);
        inflight.take(&ids[0]);
        assert_eq!(listens.unwritten(&inflight).as_ref(), Some(&ids[1]));
    }
}
