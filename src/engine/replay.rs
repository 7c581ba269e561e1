//! What a fresh child must be told again, so that it knows what the dead one knew.
//!
//! In this order: the greeting that the host used, `notifications/initialized`, the last logging level, the live
//! resource subscriptions. The answers to these come to us under ids of ours and never reach the host. In the modern
//! era there is no greeting, and nothing but listening streams is told again.

use bytes::Bytes;

use super::answers;
use super::io::Gen;
use super::own::Own;
use crate::wire::{Id, edit};

/// The most subscriptions that are told again.
const SUBSCRIPTIONS: usize = 4096;

/// The prefix of all ids of ours.
pub(super) const OWN_IDS: &str = "mcp-supervise:";
/// The newest revision of the protocol that greets with `initialize`.
pub(super) const NEWEST_GREETED: &str = "2025-11-25";
/// The revisions that greet with `initialize`, the oldest first.
const GREETED_REVISIONS: [&str; 5] = ["2024-10-07", "2024-11-05", "2025-03-26", "2025-06-18", NEWEST_GREETED];

/// What the host has told its server since it connected, as far as a new one must hear it.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// The host's `initialize`, its line. `None` until it came, or after it was refused.
    pub greeting: Option<Bytes>,
    /// The id that the host gave it. `None` once it has its answer, for a host may use the id again.
    pub greeting_id: Option<Id>,
    /// The protocol version that the host was told. `None` until its greeting was answered.
    pub told: Option<String>,
    /// The result that the host was given for its greeting, as JSON text.
    pub told_result: Option<Bytes>,
    /// The result of the last good greeting, as JSON text.
    pub good_greeting: Option<Bytes>,
    /// The result of the last good `server/discover`, as JSON text.
    pub discovered: Option<Bytes>,
    /// Whether a child has refused `server/discover`, or has ended because of it, and none has answered it since.
    pub discover_refused: bool,
    /// The host's `notifications/initialized`, its line.
    pub initialized: Option<Bytes>,
    /// The last logging level, as JSON text.
    level: Option<Box<str>>,
    /// The URIs that are subscribed to, as JSON texts, in order.
    subscriptions: Vec<Box<str>>,
}

/// How the version of a restarted server compares with what the host was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// The same.
    Same,
    /// Lower, in the same era.
    Lower,
    /// Higher, or none that greets with `initialize`: the host cannot be served with it.
    Unusable,
}

impl Replay {
    /// The greeting for a child when the host has its answer already: the host's own words under an id of ours, with
    /// the version that the host was told.
    pub(super) fn greeting_for(&self, child: Gen) -> Option<(Id, Bytes)> {
        let id = own_greeting_id(child);
        let line = edit::replace(self.greeting.as_ref()?, &["id"], &id.to_json());
        let told = self.told.as_ref().map(|told| serde_json::Value::from(told.as_str()).to_string());
        let line = match told {
            Some(told) => edit::replace(&line, &["params", "protocolVersion"], &told),
            None => line,
        };
        Some((id, line))
    }

    /// The version that the host asked for.
    pub(super) fn requested(&self) -> Option<String> {
        string_at(self.greeting.as_ref()?, &["params", "protocolVersion"])
    }

    /// What the host calls itself.
    pub(super) fn client(&self) -> Option<String> {
        string_at(self.greeting.as_ref()?, &["params", "clientInfo", "name"])
    }

    /// The version in the result of a greeting.
    pub(super) fn version_in(line: &[u8]) -> Option<String> {
        string_at(line, &["result", "protocolVersion"])
    }

    /// Compares what a child answers with what the host was told.
    pub(super) fn compare(&self, version: &str) -> Version {
        let rank = |version: &str| GREETED_REVISIONS.iter().position(|known| *known == version);
        match (&self.told, rank(version)) {
            (Some(told), _) if told == version => Version::Same,
            (None, _) => Version::Same,
            (Some(told), Some(now)) if rank(told).is_some_and(|told| now < told) => Version::Lower,
            (Some(_), _) => Version::Unusable,
        }
    }

    /// Whether the host was told a version of at least this revision.
    pub(super) fn told_at_least(&self, revision: &str) -> bool {
        self.told.as_deref().is_some_and(|told| told >= revision)
    }

    /// The result of `server/discover` in this line, if it is one that could be given again.
    pub(super) fn discovered_in(line: &[u8]) -> Option<Bytes> {
        let result = edit::find_in(line, &["result"])?;
        edit::find(result, &["supportedVersions"])?;
        Some(Bytes::copy_from_slice(result.as_bytes()))
    }

    /// Whether the host was told that the server can do this: a member of `capabilities`, and a flag inside it. `true`
    /// while it has been told nothing.
    pub(super) fn can(&self, capability: &str, flag: Option<&str>) -> bool {
        let Some(result) = self.told_result.as_ref().or(self.discovered.as_ref()) else { return true };
        let Some(found) = edit::find_in(result, &["capabilities", capability]) else { return false };
        flag.is_none_or(|flag| edit::find(found, &[flag]) == Some("true"))
    }

    /// What else a greeted child must be told again, and the ids of ours under which.
    pub(super) fn state_for(&self, child: Gen) -> Vec<(Id, Own, Bytes)> {
        let mut state = Vec::new();
        if let Some(level) = &self.level {
            let id = own_id(child, "level");
            let line = answers::request(&id, "logging/setLevel", &format!("{{\"level\":{level}}}"));
            state.push((id, Own::Level, line));
        }
        for (number, uri) in self.subscriptions.iter().enumerate() {
            let id = own_id(child, &format!("subscribe:{number}"));
            let line = answers::request(&id, "resources/subscribe", &format!("{{\"uri\":{uri}}}"));
            state.push((id, Own::Subscribe(uri.clone()), line));
        }
        state
    }

    /// A request that changes what a fresh child must know was answered well.
    pub(super) fn learn(&mut self, method: &str, detail: Option<&str>) {
        let Some(detail) = detail else { return };
        match method {
            "logging/setLevel" => self.level = Some(detail.into()),
            "resources/subscribe"
                if self.subscriptions.len() < SUBSCRIPTIONS
                    && !self.subscriptions.iter().any(|uri| **uri == *detail) =>
            {
                self.subscriptions.push(detail.into());
            }
            "resources/unsubscribe" => self.subscriptions.retain(|uri| **uri != *detail),
            _ => {}
        }
    }
}

/// Whether this revision greets with `initialize`.
pub(super) fn is_greeted_revision(version: &str) -> bool {
    GREETED_REVISIONS.contains(&version)
}

/// An id of ours: not numeric, because some SDKs take `"7"` for `7`, and different for each child.
pub(super) fn own_id(child: Gen, what: &str) -> Id {
    Id::text(&format!("{OWN_IDS}{child}:{what}"))
}

/// The id of a greeting of ours.
pub(super) fn own_greeting_id(child: Gen) -> Id {
    own_id(child, "initialize")
}

/// The string at this path. `None` if there is none.
pub(super) fn string_at(line: &[u8], path: &[&str]) -> Option<String> {
    serde_json::from_str(edit::find_in(line, path)?).ok()
}
