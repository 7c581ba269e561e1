//! Calls that may or may not be safe to repeat. The child that had them is gone, and no child of the same executable
//! has listed its tools in this run: hosts call tools that they know from an earlier one.
//!
//! Such a call is set aside, and the next child is asked for its list of tools under ids of ours, page by page, after
//! the requests that wait for that child. A call whose tool is declared safe is sent again. A call whose tool is not
//! declared safe, or is in no page, is answered, and its outcome is unknown. So is a call whose `--hold` is over,
//! whatever the reason: a child that does not start, does not answer, or refuses.

use super::Engine;
use super::book::TOOLS;
use super::era::Gate;
use super::own::Own;
use super::phase::Phase;
use super::story::Why;
use super::tools::Safety;
use super::upstream::State;
use crate::wire::Id;

impl Engine {
    /// Sets these calls aside.
    pub(super) fn doubt(&mut self, ids: &[Id]) {
        for id in ids {
            self.inflight.doubt(id, self.now.mono + self.config.hold);
        }
    }

    /// Whether the living child can be asked something that the host has not asked for. A serving child can. So can a
    /// child of the modern era that has nothing to answer yet, because its first answer makes it serve.
    pub(super) fn may_be_asked(&self) -> bool {
        self.phase == Phase::Serving || self.is_modern() && self.gate() == Gate::Open
    }

    /// Whether pages of this list are read for calls that are set aside.
    pub(super) fn asks_of_doubted(&self, method: &str) -> bool {
        method == TOOLS && self.inflight.doubted().len() > 0
    }

    /// Asks the child for its tools, for calls that are set aside.
    pub(super) fn ask_of_doubted(&mut self) {
        if self.asks_of_doubted(TOOLS) && self.may_be_asked() && !self.is_asked_for(TOOLS) {
            self.ask_for_page(TOOLS, 0, None);
        }
    }

    /// Sends a call that was set aside again, or answers it, if there is news about its tool or about the child to ask.
    pub(super) fn judge_doubted(&mut self) {
        if !self.book.tools.has_news() {
            return;
        }
        let (mut again, mut lost) = (Vec::new(), Vec::new());
        for id in self.inflight.doubted() {
            match self.inflight.get(id).map(|pending| self.repeatable(pending, pending.edition)) {
                Some(Safety::Safe) => again.push(id.clone()),
                Some(Safety::Unsafe) => lost.push(id.clone()),
                Some(Safety::Unknown) | None => {}
            }
        }
        self.give_up_on(&lost);
        self.requeue(&again);
    }

    /// The living child gives no further page of this list.
    pub(super) fn has_no_more_pages(&mut self, method: &str) {
        // A child that is being stopped leaves the calls to the next one.
        if self.asks_of_doubted(method) && matches!(self.phase, Phase::Starting | Phase::Serving) {
            self.abandon_doubted();
        }
    }

    /// A request of ours was answered, but the answer is not read.
    pub(super) fn own_answer_is_lost(&mut self, own: &Own) {
        if let Own::Compare { method, .. } = own {
            self.has_no_more_pages(method);
        }
    }

    /// Answers the calls that were set aside, because what they wait for will not come.
    pub(super) fn abandon_doubted(&mut self) {
        let lost: Vec<Id> = self.inflight.doubted().cloned().collect();
        self.give_up_on(&lost);
    }

    fn give_up_on(&mut self, ids: &[Id]) {
        let is_refused = |id: &&Id| self.inflight.get(id).is_some_and(|pending| pending.refused.is_some());
        let (refused, lost): (Vec<&Id>, Vec<&Id>) = ids.iter().partition(is_refused);
        let lost: Vec<Id> = lost.into_iter().cloned().collect();
        self.answer_ourselves(&lost, Why::Restarted);
        for id in refused {
            self.tell_refused(id, State::Expired);
        }
    }
}
