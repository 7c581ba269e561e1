//! The control socket: what runs is asked, told to restart, told to stop, and listened to, from outside.
//!
//! Each supervisor has one Unix socket in the user's runtime directory, or where that cannot be used beside what is stored, and
//! answers HTTP on it. At rest that is a
//! descriptor in the relay's own waiting and nothing else: the thread that answers is started by the first connection,
//! and ends with the last.
//!
//! | request | answer |
//! |---|---|
//! | `GET /status` | a [`Status`] |
//! | `GET /events` | one [`Told`] a line: a status at once and after each change, each event as it happens, a sign of life each 5 s |
//! | `POST /restart` | 202; the server is started anew once it has done what it does |
//! | `POST /restart-now` | 202; the same, and a server that does not end with its input gets SIGTERM after 1 s |
//! | `POST /stop` | 202; the supervisor ends, and its server with it |
//!
//! The socket's directory is 0700, the socket 0600, and whoever connects must be the same user. Nothing that is told
//! here holds a payload, an argument or a token: all of it is the ledger's. Nobody who listens can hold up the relay:
//! who is too slow misses events.

pub mod client;
mod door;
mod serve;

use serde::{Deserialize, Serialize};

pub use self::door::{Door, Fault};
pub use self::serve::Service;
use crate::ledger::{Event, Gauges, Session};

/// What a supervisor says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Its row.
    pub session: Session,
    /// What the row has no room for.
    pub gauges: Gauges,
    /// The release of `mcp-supervise` that it is.
    pub release: String,
    /// The options that it was started with, as on a command line, secrets masked. Empty for a release that does not tell.
    #[serde(default)]
    pub options: String,
}

/// One line of `GET /events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// How it stands now.
    Status(Box<Status>),
    /// What has happened.
    Event(Event),
    /// It is still there.
    Alive,
}

/// What is said where something is not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Complaint {
    /// What is wrong, as one clause.
    pub error: String,
    /// What to do about it.
    pub hint: String,
}
