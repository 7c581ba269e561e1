//! What outlives a run: good answers that are handed to the disk, and what earlier runs have left there.
//!
//! Answers are kept by the era and the version that the host asked for, so nothing is recalled before it has opened. What
//! this run has seen is better than what is recalled.

use bytes::Bytes;

use super::era::{DISCOVER, Opening};
use super::good::{Era, Good};
use super::inflight::Pending;
use super::io::{Gen, Output};
use super::phase::Phase;
use super::replay::{Replay, is_greeted_revision, string_at};
use super::{Engine, book, planted};
use crate::wire::{ListPage, edit};

impl Engine {
    /// What earlier runs have left has been read.
    pub(super) fn remember_earlier(&mut self, good: Vec<Good>) {
        self.last_good = good;
        self.recall();
    }

    /// Takes what earlier runs have left for this era and version.
    pub(super) fn recall(&mut self) {
        let Some((era, version)) = self.kept_as() else { return };
        self.book.forget_recalled();
        let good = std::mem::take(&mut self.last_good);
        // First pages begin their lists.
        let fits = |good: &&Good| good.era == era && good.version == version;
        let (first, later): (Vec<&Good>, Vec<&Good>) =
            good.iter().filter(fits).partition(|good| good.cursor.is_none());
        for Good { method, cursor, result, .. } in first.into_iter().chain(later) {
            match (method.as_str(), era) {
                ("initialize", Era::Legacy) if is_greeting(result) => {
                    self.replay.good_greeting.get_or_insert_with(|| result.clone());
                }
                // An answer that the server has refused since is no longer valid.
                (DISCOVER, Era::Modern) if self.replay.discover_refused => {}
                (DISCOVER, Era::Modern) if edit::find_in(result, &["supportedVersions"]).is_some() => {
                    self.replay.discovered.get_or_insert_with(|| result.clone());
                }
                (method, _) => self.recall_list(method, cursor.as_deref(), result),
            }
        }
        self.last_good = good;
        self.let_greeting_wait();
        self.let_lists_wait();
    }

    fn recall_list(&mut self, method: &str, cursor: Option<&str>, result: &[u8]) {
        let Some(list) = book::list_named(method) else { return };
        let text = std::str::from_utf8(result).ok();
        let Some(page) = text.and_then(|text| ListPage::of_result(text, book::member_of(list))) else {
            return;
        };
        self.book.recall(list, cursor, &page);
        #[cfg(test)]
        if planted!(self, TrustDisk) {
            self.book.tools.trust(&page);
        }
    }

    /// What waits since before it was known what earlier runs have left waits no longer than others, also where a child
    /// that has not said anything yet has it.
    fn let_lists_wait(&mut self) {
        let unproven = self.phase == Phase::Starting;
        let waits = |pending: &Pending| match pending.written {
            None => pending.times_written == 0,
            // A call has its limit, however long it waits for a server.
            Some(_) => unproven && pending.times_written == 1 && &*pending.method != "tools/call",
        };
        for id in self.inflight.ids(|pending| pending.deadline.is_some() && waits(pending)) {
            let Some(pending) = self.inflight.get(&id) else { continue };
            let deadline = pending.arrived + self.patience(pending);
            if pending.deadline.is_some_and(|at| deadline < at) {
                self.inflight.wait_until(&id, deadline);
            }
        }
    }

    /// Keeps a good answer beyond this run.
    pub(super) fn remember(&mut self, method: &str, cursor: Option<&str>, result: Bytes) {
        let Some((era, version)) = self.kept_as() else { return };
        let (method, cursor) = (method.to_owned(), cursor.map(str::to_owned));
        self.outputs.push_back(Output::Remember(Good { era, version, method, cursor, result }));
    }

    /// A child has answered a list request well.
    pub(super) fn learn_page(
        &mut self,
        child: Gen,
        method: &'static str,
        cursor: Option<&str>,
        page: &ListPage<'_>,
    ) {
        match self.book.learn(child, method, cursor, page) {
            Some(page) => self.remember(method, cursor, page),
            None if planted!(self, RememberEmptyList) => {
                self.remember(method, cursor, Bytes::copy_from_slice(page.result.as_bytes()));
            }
            None => {}
        }
    }

    /// A child has answered a list request that we have already answered in its place.
    pub(super) fn learn_late_page(&mut self, child: Gen, method: &str, cursor: Option<&str>, line: &[u8]) {
        let Some(list) = book::list_named(method) else { return };
        if let Some(page) = ListPage::in_line(line, book::member_of(list)) {
            self.learn_page(child, list, cursor, &page);
        }
    }

    /// A child has answered `server/discover` well. What it says late, to a host that has greeted since, is of the other era.
    pub(super) fn learn_discovered(&mut self, line: &Bytes) {
        if let Some(result) = Replay::discovered_in(line).filter(|_| self.opening != Opening::Greeting) {
            self.name_server(line);
            self.remember(DISCOVER, None, result.clone());
            self.replay.discovered = Some(result);
            self.replay.discover_refused = false;
        }
    }

    /// A child has refused `server/discover`, so what an earlier run has kept of it is no longer valid. If the server
    /// now speaks the legacy era, later runs greet it in that one.
    pub(super) fn unlearn_discovered(&mut self) {
        self.replay.discovered = None;
        self.erase_discovered();
    }

    /// Children have ended before they said anything, perhaps because of `server/discover`. What is known of it still
    /// serves this host, which has opened with it. It is erased for later runs, so that they do not fail in the same
    /// way again.
    pub(super) fn may_have_died_of_probe(&mut self, dead: Gen, answered_for: bool) {
        let had = |pending: &Pending| &*pending.method == DISCOVER && pending.written == Some(dead);
        if answered_for || self.inflight.any(had) {
            self.erase_discovered();
        }
    }

    /// What is kept of `server/discover` is not for later runs: this server does not answer it.
    pub(super) fn erase_discovered(&mut self) {
        let Some(version) = self.envelope.as_ref().map(|envelope| envelope.version.clone()) else { return };
        if std::mem::replace(&mut self.replay.discover_refused, true) || planted!(self, KeepRefused) {
            return;
        }
        let (era, method) = (Era::Modern, DISCOVER.to_owned());
        self.outputs.push_back(Output::Remember(Good {
            era,
            version,
            method,
            cursor: None,
            result: Bytes::new(),
        }));
    }
}

/// Whether this is a result of `initialize` that a host can be given: whoever edits the file may err.
fn is_greeting(result: &[u8]) -> bool {
    let version = string_at(result, &["protocolVersion"]);
    version.is_some_and(|version| is_greeted_revision(&version))
        && edit::find_in(result, &["capabilities"]).is_some_and(|capabilities| capabilities.starts_with('{'))
}
