//! What is worth remembering of a session: one line each, in the words of the logs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::session::words;

/// What has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The first server was started.
    Started,
    /// A server has greeted.
    Greeted,
    /// A server ended although nobody had asked it to, or could not be started.
    Crashed,
    /// Another server was started.
    Restarted,
    /// The server is not available: the host is answered with guidance.
    Degraded,
    /// It is available again, or the session token is accepted again.
    Recovered,
    /// The session token was renewed.
    Renewed,
    /// Another session token was found, and is used.
    Rotated,
    /// The session token is over.
    Expired,
    /// The supervisor ends.
    Stopped,
}

words!(
    Kind: Started = "started", Greeted = "greeted", Crashed = "crashed", Restarted = "restarted", Degraded = "degraded",
    Recovered = "recovered", Renewed = "renewed", Rotated = "rotated", Expired = "expired", Stopped = "stopped",
);

/// Something that has happened to a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The session's id.
    pub session: String,
    /// When, in milliseconds since the Unix epoch.
    pub at: i64,
    /// What kind of thing.
    pub kind: Kind,
    /// What exactly, in words without a secret.
    pub text: String,
}

/// The words of events.
pub(super) mod tale {
    use super::Kind;
    use crate::engine::guidance::exit_words;
    use crate::engine::lease::io::{Cause, Fact};
    use crate::engine::note::{Note, StopCause};
    use crate::engine::process::SpawnFault;

    pub(in crate::ledger) const DEGRADED: &str =
        "the server is not available; the host is answered with guidance";
    pub(in crate::ledger) const RECOVERED: &str = "the server serves again";

    /// A later start, in place of a server that was replaced for this reason, or that had crashed.
    pub(in crate::ledger) fn restarted(number: u32, pid: u32, why: Option<&str>) -> String {
        let why = why.unwrap_or("it had ended");
        format!("restart {number}, process {pid}: {why}")
    }

    /// The event of a note that tells one by itself.
    #[expect(clippy::wildcard_enum_match_arm, reason = "most notes make no event, and so will new ones")]
    pub(in crate::ledger) fn of(note: &Note) -> Option<(Kind, String)> {
        match note {
            Note::Spawned { pid, .. } => Some((Kind::Started, format!("process {pid}"))),
            Note::Greeted { version, after, .. } => {
                let after = after.as_millis();
                let version: String = version.replace(char::is_control, " ").chars().take(32).collect();
                Some((Kind::Greeted, format!("protocol {version}, {after} ms after its start")))
            }
            Note::Exited { exit, crash: true, by_us, .. } => Some((Kind::Crashed, exit_words(*exit, *by_us))),
            Note::SpawnFailed { fault, .. } => Some((Kind::Crashed, unstarted(*fault).to_owned())),
            Note::Session { fact, .. } => session(fact),
            Note::Stopping { cause } => Some((Kind::Stopped, stopped(*cause).to_owned())),
            _ => None,
        }
    }

    /// The system's own words may quote the command, so these stand in their place.
    fn unstarted(fault: SpawnFault) -> &'static str {
        match fault {
            SpawnFault::NotFound | SpawnFault::WholeLine(_) => {
                "could not be started: its command was not found"
            }
            SpawnFault::NotExecutable => "could not be started: its command cannot be executed",
            SpawnFault::Busy => "could not be started yet: its file is being written",
            SpawnFault::Stopping => "could not be started yet: its previous container is still being stopped",
            SpawnFault::ProcessLimit => "could not be started: the process limit is reached",
            SpawnFault::System => "could not be started: the system refused",
        }
    }

    fn session(fact: &Fact) -> Option<(Kind, String)> {
        let (kind, text) = match fact {
            Fact::Adopted(token) => (Kind::Rotated, format!("token {} is used", token.0)),
            Fact::Renewed(token) => (Kind::Renewed, format!("token {} is used", token.0)),
            Fact::Revived(token) => (Kind::Recovered, format!("token {} is accepted again", token.0)),
            Fact::Expired(Cause::Time) => (Kind::Expired, "the time of the session token is over".to_owned()),
            Fact::Expired(Cause::Request) => (Kind::Expired, "a request was refused".to_owned()),
            Fact::Expired(Cause::Renewal) => (Kind::Expired, "the renewal was refused".to_owned()),
            Fact::NotRenewed(_)
            | Fact::NoMoreRenewals(_)
            | Fact::NotWritten(_)
            | Fact::Absent
            | Fact::NotUsable(_) => return None,
        };
        Some((kind, text))
    }

    fn stopped(cause: StopCause) -> &'static str {
        match cause {
            StopCause::HostEof => "the host has ended its side",
            StopCause::HostGone => "the host no longer reads",
            StopCause::Signal => "a signal",
            StopCause::Asked => "it was asked to",
        }
    }
}
