//! The requests that wait for their verdicts: refused ones, and those for a renewal.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::{Verdict, Word};
use crate::engine::lease::io::RequestId;

/// Who waits. `None` when nobody will ever be answered again.
#[derive(Debug)]
pub(super) struct Pending(Mutex<Option<BTreeMap<RequestId, oneshot::Sender<Word>>>>);

impl Default for Pending {
    fn default() -> Self {
        Self(Mutex::new(Some(BTreeMap::new())))
    }
}

impl Pending {
    /// Begins to wait. `None` if no verdict can come.
    pub(super) fn wait(&self, request: RequestId) -> Option<Waiting<'_>> {
        let (tell, told) = oneshot::channel();
        self.lock().as_mut()?.insert(request, tell);
        Some(Waiting { pending: self, request, told })
    }

    /// Passes a verdict on. One that nobody waits for any more is dropped.
    pub(super) fn settle(&self, verdict: Verdict) {
        let waiting = self.lock().as_mut().and_then(|waiting| waiting.remove(&verdict.request));
        if let Some(tell) = waiting {
            // Whoever gave up waiting a moment ago needs it no more.
            let _ = tell.send(verdict.word);
        }
    }

    /// No verdicts come any more: whoever waits is let go.
    pub(super) fn close(&self) {
        self.lock().take();
    }

    fn lock(&self) -> MutexGuard<'_, Option<BTreeMap<RequestId, oneshot::Sender<Word>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One that waits, until it is dropped.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    pending: &'a Pending,
    request: RequestId,
    told: oneshot::Receiver<Word>,
}

impl Waiting<'_> {
    /// The verdict. Without one that ever comes, the request is not repeated.
    pub(super) async fn verdict(&mut self) -> Word {
        (&mut self.told).await.unwrap_or(Word::AsItIs)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(waiting) = self.pending.lock().as_mut() {
            waiting.remove(&self.request);
        }
    }
}
