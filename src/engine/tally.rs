//! Counts over the requests in flight, so that no message costs a look at all of them.
//!
//! All counts follow from the requests: one is taken out before it changes, and put in again after.

use std::collections::BTreeMap;
use std::time::Duration;

use super::inflight::Pending;
use crate::wire::Id;

/// The counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// How many answers the host waits for.
    pub(super) owed: usize,
    /// How many requests a child has whose answers are owed.
    pub(super) working: usize,
    /// How many requests a child has that a running server answers soon.
    pub(super) soon: usize,
    /// How many bytes are kept of requests that a child has, or had, to write them again.
    pub(super) kept: usize,
    /// When the wait for each answer ends, with the order of arrival.
    pub(super) deadlines: BTreeMap<(Duration, u64), Id>,
    /// Requests that the host has cancelled and no server has answered. The key of this map and the next ones is the
    /// order of arrival.
    pub(super) cancelled: BTreeMap<u64, Id>,
    /// The results of these are withheld.
    pub(super) withheld: BTreeMap<u64, Id>,
    /// These wait for what their tools declare.
    pub(super) doubted: BTreeMap<u64, Id>,
    /// These were refused, and wait for a child with another token.
    pub(super) made_again: BTreeMap<u64, Id>,
}

impl Tally {
    /// Counts a request.
    pub(super) fn enter(&mut self, pending: &Pending) {
        self.owed += usize::from(pending.is_owed());
        self.working += usize::from(pending.is_worked_on());
        self.soon += usize::from(pending.is_soon_answered());
        self.kept += pending.kept_bytes();
        if let Some(deadline) = pending.deadline {
            self.deadlines.insert((deadline, pending.seq), pending.id.clone());
        }
        for (belongs, ids) in self.lists(pending) {
            if belongs {
                ids.insert(pending.seq, pending.id.clone());
            }
        }
    }

    /// Removes a request from the counts. It must be as it was when it was counted.
    pub(super) fn leave(&mut self, pending: &Pending) {
        self.owed -= usize::from(pending.is_owed());
        self.working -= usize::from(pending.is_worked_on());
        self.soon -= usize::from(pending.is_soon_answered());
        self.kept -= pending.kept_bytes();
        if let Some(deadline) = pending.deadline {
            self.deadlines.remove(&(deadline, pending.seq));
        }
        for (belongs, ids) in self.lists(pending) {
            if belongs {
                ids.remove(&pending.seq);
            }
        }
    }

    /// The lists, and whether a request belongs to each.
    fn lists(&mut self, pending: &Pending) -> [(bool, &mut BTreeMap<u64, Id>); 4] {
        [
            (pending.cancelled, &mut self.cancelled),
            (pending.withheld, &mut self.withheld),
            (pending.doubted, &mut self.doubted),
            (pending.is_made_again(), &mut self.made_again),
        ]
    }
}
