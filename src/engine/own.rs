//! The answers that a child owes to us: to requests of ours, and to those of the host that we have answered in its place.

use std::collections::BTreeMap;

use crate::wire::{Id, Method};

/// A request of ours to a child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Own {
    /// `logging/setLevel`.
    Level,
    /// `resources/subscribe` to this URI (JSON text).
    Subscribe(Box<str>),
    /// Whether it lives.
    Ping,
    /// A list, to learn whether it lives. The content does not matter.
    Sign,
    /// A page of a list, to be compared with what the host has seen.
    Compare {
        /// The list.
        method: &'static str,
        /// Which page, counted from 0.
        page: usize,
        /// Its cursor, as JSON text. `None` for the first page.
        cursor: Option<String>,
    },
    /// A page of a list that the host has asked for, and that we have answered meanwhile.
    Page {
        /// The list.
        method: Method,
        /// Its cursor, as JSON text. `None` for the first page.
        cursor: Option<Box<str>>,
    },
    /// `server/discover`, likewise.
    Discover,
    /// Another request of the host, likewise.
    Late {
        /// The token of its progress.
        token: Option<Id>,
        /// Whether a running server answers it soon. A cancelled request need not be answered.
        soon: bool,
    },
}

impl Own {
    /// The method that is asked.
    pub(super) fn method(&self) -> &'static str {
        match self {
            Self::Level => "logging/setLevel",
            Self::Subscribe(_) => "resources/subscribe",
            Self::Ping
            | Self::Sign
            | Self::Compare { .. }
            | Self::Page { .. }
            | Self::Discover
            | Self::Late { .. } => "",
        }
    }

    /// Whether a running server answers it soon, so that silence means that it is not running yet.
    fn is_soon(&self) -> bool {
        !matches!(self, Self::Compare { .. } | Self::Late { soon: false, .. })
    }
}

/// What one child owes, by the ids under which it was asked.
#[derive(Debug, Default)]
pub(super) struct Debts {
    by_id: BTreeMap<Id, Own>,
    /// How many of them a running server answers soon.
    soon: usize,
}

impl Debts {
    /// Enters an answer that is owed.
    pub(super) fn insert(&mut self, id: Id, own: Own) {
        self.soon += usize::from(own.is_soon());
        if let Some(before) = self.by_id.insert(id, own) {
            self.soon -= usize::from(before.is_soon());
        }
    }

    /// Takes out what is owed under this id.
    pub(super) fn remove(&mut self, id: &Id) -> Option<Own> {
        let own = self.by_id.remove(id)?;
        self.soon -= usize::from(own.is_soon());
        Some(own)
    }

    /// Forgets the pings if there are this many or more.
    pub(super) fn forgive_pings(&mut self, many: usize) {
        let pings = |own: &Own| *own == Own::Ping;
        let count = self.by_id.values().filter(|own| pings(own)).count();
        if count >= many {
            self.by_id.retain(|_, own| !pings(own));
            self.soon -= count;
        }
    }

    pub(super) fn get(&self, id: &Id) -> Option<&Own> {
        self.by_id.get(id)
    }

    pub(super) fn contains(&self, id: &Id) -> bool {
        self.by_id.contains_key(id)
    }

    pub(super) fn any(&self, wanted: impl Fn(&Own) -> bool) -> bool {
        self.by_id.values().any(wanted)
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether it owes anything that a running server answers soon.
    pub(super) fn any_soon(&self) -> bool {
        self.soon > 0
    }
}

#[cfg(test)]
mod tests {
    use super::{Debts, Own};
    use crate::wire::Id;

    #[test]
    fn what_is_soon_is_counted_as_it_comes_and_goes() {
        let mut debts = Debts::default();
        let late = |soon| Own::Late { token: None, soon };
        let ids: Vec<Id> = (0..4).map(|id| Id::text(&format!("{id}"))).collect();
        debts.insert(ids[0].clone(), late(false));
        assert!(!debts.any_soon());
        debts.insert(ids[0].clone(), late(true));
        debts.insert(ids[1].clone(), Own::Ping);
        debts.insert(ids[2].clone(), Own::Ping);
        debts.forgive_pings(3);
        assert_eq!((debts.len(), debts.soon), (3, 3));
        debts.forgive_pings(2);
        assert_eq!((debts.len(), debts.soon), (1, 1));
        assert_eq!(debts.remove(&ids[3]), None);
        assert_eq!(debts.remove(&ids[0]), Some(late(true)));
        assert!(!debts.any_soon());
    }
}
