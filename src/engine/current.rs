//! The current child: what is known of it, and what is to become of it. Data only.

use std::collections::BTreeSet;
use std::time::Duration;

use super::embedded::HeldBack;
use super::io::{Exit, Gen};
use super::ladder::Ladder;
use super::lease::io::TokenId;
use super::own::Debts;
use super::pulse::Pulse;
use super::strays::Strays;
use super::upstream::{Ends, State};
use crate::wire::Id;

/// How far the greeting of a child has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// Nothing was sent to it.
    Unsent,
    /// The greeting was sent under this id.
    Sent(Id),
    /// It may be spoken to.
    Done,
}

/// What becomes of a child that cannot be used, once it is gone.
#[derive(Clone, Debug)]
pub(super) enum Doom {
    /// Its end counts as a crash, for this reason.
    Crash(String),
    /// Trying again at once would lead to the same: degraded, for this reason.
    Degrade(String),
    /// Another one takes its place at once, for this reason; nothing is counted.
    Replace(&'static str),
}

impl Doom {
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Crash(reason) | Self::Degrade(reason) => reason,
            Self::Replace(reason) => reason,
        }
    }
}

/// How far the engine knows what a child has printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quote {
    /// The engine has not asked.
    Unasked,
    /// The engine has asked, and the report comes at once. An answer that quotes it waits for it, until this time at
    /// most.
    Asked(Duration),
    /// The engine knows it as of this moment.
    Known,
}

/// The current child.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) generation: Gen,
    pub(super) spawned: Duration,
    /// Whether it is known to run: until then it may turn out that nobody reads what is written to it.
    pub(super) runs: bool,
    pub(super) greeting: Greeting,
    /// Whether it has come as far as serving the host.
    pub(super) served: bool,
    /// Requests of ours that it has not answered, and of the host that we have answered in its place.
    pub(super) own: Debts,
    /// The progress tokens of requests that were given up: the child may still report progress under them.
    pub(super) owed_tokens: BTreeSet<Id>,
    /// Its answers that are not believed yet.
    pub(super) held_back: HeldBack,
    /// What it may still say about lines of the host that we could not read.
    pub(super) strays: Strays,
    /// How many ids of ours it has been given.
    pub(super) next_own: u64,
    /// It has answered something.
    pub(super) spoke: bool,
    /// Whether it has answered a request of the host that only a server can answer.
    pub(super) worked: bool,
    /// Whether the engine knows what it has printed so far, while it does not serve.
    pub(super) quote: Quote,
    /// What it has printed, masked.
    pub(super) printed: String,
    /// It has heard `server/discover` from a host that had not decided on an era, and has not answered it in time.
    pub(super) probed: bool,
    /// Whether it has read its first request and was silent for a moment after it.
    pub(super) reads: bool,
    pub(super) pulse: Pulse,
    /// How many lines were written to it.
    pub(super) lines: u64,
    /// When the first line was written to it. `None` if none was.
    pub(super) asked_at: Option<Duration>,
    pub(super) exited: Option<Exit>,
    /// What it last wrote to stderr, once its output has ended.
    pub(super) silent: Option<String>,
    /// How far its stop has come. `None` while it is not being stopped.
    pub(super) ladder: Option<Ladder>,
    /// What it can no longer do. `None` while it reads and writes.
    pub(super) useless: Option<&'static str>,
    pub(super) doom: Option<Doom>,
    /// Why it is drained. `None` while nobody wants to replace it.
    pub(super) leaving: Option<&'static str>,
    /// Whether its successor is urgent.
    pub(super) hurried: bool,
    /// How requests to the API had ended when it was started.
    pub(super) ends: Ends,
    /// What kept it from its API before it served. `None` if nothing did.
    pub(super) missed: Option<State>,
    /// The token in its environment. `None` if we have put none there.
    pub(super) token: Option<TokenId>,
}

impl Child {
    pub(super) fn new(generation: Gen, spawned: Duration, token: Option<TokenId>, ends: Ends) -> Self {
        Self {
            generation,
            spawned,
            runs: false,
            greeting: Greeting::Unsent,
            served: false,
            own: Debts::default(),
            owed_tokens: BTreeSet::new(),
            held_back: HeldBack::default(),
            strays: Strays::default(),
            next_own: 0,
            spoke: false,
            worked: false,
            quote: Quote::Unasked,
            printed: String::new(),
            probed: false,
            reads: false,
            pulse: Pulse::default(),
            lines: 0,
            asked_at: None,
            exited: None,
            silent: None,
            ladder: None,
            useless: None,
            doom: None,
            leaving: None,
            hurried: false,
            ends,
            missed: None,
            token,
        }
    }

    /// Whether what is written to it can still be read.
    pub(super) fn listens(&self) -> bool {
        self.exited.is_none() && self.ladder.is_none()
    }

    /// Whether it has exited, and its group is no longer waited for.
    pub(super) fn has_ended(&self) -> bool {
        self.exited.is_some() && self.ladder.as_ref().is_none_or(Ladder::is_over)
    }

    /// Whether it runs, reads and writes.
    pub(super) fn is_ready(&self) -> bool {
        self.runs && self.listens() && self.useless.is_none()
    }
}
