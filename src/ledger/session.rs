//! The row of a session. The names of its fields are the columns of the store and the members of each JSON object that
//! shows a session.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::engine::lease::io::Fact;
use crate::engine::upstream::ApiState;

/// How it stands with the session token of the API behind the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenState {
    /// The server gets no token from us.
    #[default]
    None,
    /// Nobody has looked for it yet.
    Unknown,
    /// There is no token.
    Absent,
    /// It is used.
    Active,
    /// It is over.
    Expired,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CloseReason {
    /// The host ended its side of the connection.
    HostEof,
    /// The host no longer read.
    HostGone,
    /// A signal.
    Signal,
    /// `mcp-supervise stop`, or the page of the monitor.
    Asked,
    /// The supervisor is gone and has not said why: it was killed, or the machine was.
    Lost,
}

/// One run of one supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// A UUID of version 7.
    pub id: String,
    /// What the server is called everywhere.
    pub name: String,
    /// The server's command line, secrets masked.
    pub command: String,
    /// How the host is connected: `stdio`.
    pub transport: String,
    /// What the host calls itself. `None` before it has greeted.
    pub client_name: Option<String>,
    /// The host's version. `None` where it says none.
    pub client_version: Option<String>,
    /// The protocol version that the last server has greeted with. `None` before the first has.
    pub protocol_version: Option<String>,
    /// What the server calls itself. `None` before it has greeted, or where it says nothing.
    pub server_name: Option<String>,
    /// The server's version, likewise.
    pub server_version: Option<String>,
    /// The supervisor's process id.
    pub pid: u32,
    /// When that process started, in a form that only its own system can compare: see the store.
    pub pid_started: String,
    /// When the session began. All times are milliseconds since the Unix epoch.
    pub created_at: i64,
    /// When the host last said anything. `None` if it never has.
    pub last_active: Option<i64>,
    /// When the supervisor was last known to live: a keepalive each minute, or a change.
    pub alive_at: i64,
    /// The phase of the server: `starting`, `serving`, `draining`, `crashed`, `waiting`, `degraded`, `stopping`, `stopped`.
    pub phase: String,
    /// Requests with the method `tools/call`.
    pub tool_calls: u64,
    /// All requests of the host.
    pub requests: u64,
    /// Answers of the server that were JSON-RPC errors.
    pub errors: u64,
    /// Requests that we answered with guidance.
    pub guidance_answers: u64,
    /// How many servers were started after the first.
    pub restarts: u64,
    /// Lines on the server's stdout that were no messages.
    pub noise_lines: u64,
    /// What was written to all servers together, in bytes.
    pub bytes_to_server: u64,
    /// What was written to the host, in bytes.
    pub bytes_to_host: u64,
    /// How it stands with the session token.
    pub token_state: TokenState,
    /// When the token that is used ends. `None` if it does not end, or none is used.
    pub token_expires_at: Option<i64>,
    /// What is known of the API behind the server; of a session that is over, what was known last. Supervisors of earlier
    /// releases do not tell it.
    #[serde(default)]
    pub api_state: ApiState,
    /// When the session ended. `None` while it has not.
    pub closed_at: Option<i64>,
    /// Why. `None` until it begins to end.
    pub close_reason: Option<CloseReason>,
}

impl Session {
    /// The row of a session that begins now, in milliseconds since the Unix epoch; nothing is counted yet.
    pub fn begins(id: String, created_at: i64) -> Self {
        Self {
            id,
            name: String::new(),
            command: String::new(),
            transport: "stdio".to_owned(),
            client_name: None,
            client_version: None,
            protocol_version: None,
            server_name: None,
            server_version: None,
            pid: 0,
            pid_started: String::new(),
            created_at,
            last_active: None,
            alive_at: created_at,
            phase: "starting".to_owned(),
            tool_calls: 0,
            requests: 0,
            errors: 0,
            guidance_answers: 0,
            restarts: 0,
            noise_lines: 0,
            bytes_to_server: 0,
            bytes_to_host: 0,
            token_state: TokenState::None,
            token_expires_at: None,
            api_state: ApiState::Unknown,
            closed_at: None,
            close_reason: None,
        }
    }

    /// Whether it has not ended, as far as is known.
    pub fn is_open(&self) -> bool {
        self.closed_at.is_none()
    }
}

impl TokenState {
    /// What follows from a fact. `None` if nothing.
    pub(super) fn after(fact: &Fact) -> Option<Self> {
        match fact {
            Fact::Adopted(_) | Fact::Renewed(_) | Fact::Revived(_) => Some(Self::Active),
            Fact::Absent => Some(Self::Absent),
            Fact::Expired(_) => Some(Self::Expired),
            Fact::NotRenewed(_) | Fact::NoMoreRenewals(_) | Fact::NotWritten(_) | Fact::NotUsable(_) => None,
        }
    }
}

/// A text that is none of the words of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an unknown word")]
pub struct UnknownWord;

/// Words that are written and read again.
macro_rules! words {
    ($type:ident: $($variant:ident = $word:literal),+ $(,)?) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(match self { $(Self::$variant => $word),+ })
            }
        }

        impl FromStr for $type {
            type Err = $crate::ledger::session::UnknownWord;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err($crate::ledger::session::UnknownWord),
                }
            }
        }
    };
}
pub(super) use words;

words!(TokenState: None = "none", Unknown = "unknown", Absent = "absent", Active = "active", Expired = "expired");
words!(ApiState: Unknown = "unknown", Ok = "ok", Locked = "locked", Unreachable = "unreachable");
words!(
    CloseReason: HostEof = "host_eof", HostGone = "host_gone", Signal = "signal", Asked = "asked", Lost = "lost"
);
