//! What outsiders learn: the ledger is told the notes, and must add up to what the checker has seen happen itself.

use super::Violation;
use super::check::{Checked, Checker, violated};
use super::parse::Message;
use crate::engine::io::Output;
use crate::engine::note::Note;
use crate::engine::phase::Phase;
use crate::ledger::{Event, Kind, Ledger, Session};

/// What the checker has counted, from inputs and outputs and never from notes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    requests: u64,
    tool_calls: u64,
    errors: u64,
    guidance_answers: u64,
    restarts: u64,
    noise_lines: u64,
    bytes_to_server: u64,
    bytes_to_host: u64,
}

/// The books of the two.
#[derive(Debug)]
pub(super) struct Account {
    seen: Counts,
    births: u64,
    ledger: Ledger,
    events: Vec<Event>,
    /// An order to restart was given in this step, and in which phase. `None` if none was.
    ordered: Option<Phase>,
}

impl Default for Account {
    fn default() -> Self {
        let ledger = Ledger::new(Session::begins("a".to_owned(), 0));
        Self { seen: Counts::default(), births: 0, ledger, events: Vec::new(), ordered: None }
    }
}

impl Account {
    /// The row and the events of this run, as those of a session of its own.
    pub(super) fn told(mut self, seed: u64) -> (Session, Vec<Event>) {
        let id = format!("{seed:032x}");
        self.events.iter_mut().for_each(|event| event.session.clone_from(&id));
        (Session { id, ..self.ledger.session().clone() }, self.events)
    }

    pub(super) fn asked(&mut self, message: &Message) {
        self.seen.requests += 1;
        self.seen.tool_calls += u64::from(message.method() == "tools/call");
    }

    pub(super) fn served(&mut self, message: &Message) {
        self.seen.errors += u64::from(message.error.is_some());
    }

    pub(super) fn guided(&mut self) {
        self.seen.guidance_answers += 1;
    }

    pub(super) fn is_born(&mut self) {
        self.births += 1;
        self.seen.restarts = self.births - 1;
    }

    pub(super) fn is_asked_for(&mut self, output: &Output) {
        if let Output::ToHost(line, _) = output {
            self.seen.bytes_to_host += line.len() as u64;
        }
        if let Output::ToChild(_, line) = output {
            self.seen.bytes_to_server += line.len() as u64;
        }
        self.seen.noise_lines += u64::from(matches!(output, Output::Noise(..)));
    }
}

impl Checker {
    /// The ledger is told what everybody is told.
    pub(super) fn enters(&mut self, note: &Note) {
        let wall = self.session.wall;
        if let Some(event) = self.account.ledger.note(self.now, wall, note) {
            if event.kind == Kind::Recovered {
                self.cover.hit("event: recovered");
            }
            if event.kind == Kind::Rotated {
                self.cover.hit("event: rotated");
            }
            self.account.events.push(event);
        }
    }

    pub(super) fn is_ordered(&mut self) {
        self.account.ordered = Some(self.phase);
    }

    /// A restart that is asked for counts as no crash, and forgives those before it.
    pub(super) fn restarts_as_asked(&mut self) {
        self.cover.hit("restart asked for");
        self.plans.changed_at = Some(self.now);
        self.crashes.clear();
        self.in_a_row = 0;
    }

    pub(super) fn order_is_followed(&mut self) -> Checked {
        match (self.account.ordered.take(), self.phase) {
            (Some(Phase::Serving), Phase::Serving) | (Some(Phase::Degraded), Phase::Degraded) => {
                violated!("a restart that is asked for is made", "still {}", self.phase)
            }
            _ => Ok(()),
        }
    }

    /// The books agree when all is over.
    pub(super) fn accounts_agree(&self) -> Checked {
        let row = self.account.ledger.session();
        let told = Counts {
            requests: row.requests,
            tool_calls: row.tool_calls,
            errors: row.errors,
            guidance_answers: row.guidance_answers,
            restarts: row.restarts,
            noise_lines: row.noise_lines,
            bytes_to_server: row.bytes_to_server,
            bytes_to_host: row.bytes_to_host,
        };
        if told != self.account.seen {
            violated!("the notes add up to what has happened", "{told:?} and not {:?}", self.account.seen);
        }
        if row.closed_at.is_none() || row.close_reason.is_none() || row.phase != "stopped" {
            violated!("the notes add up to what has happened", "not closed: {row:?}");
        }
        let told: u64 = self.account.ledger.gauges().guidance.values().sum();
        if told != row.guidance_answers {
            violated!("the notes add up to what has happened", "{told} by status");
        }
        Ok(())
    }
}
