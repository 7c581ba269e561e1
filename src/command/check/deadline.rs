//! Work whose length others decide, with a limit to its time: a schema can ask for more work than a machine does in years.
//!
//! The work has a thread of its own. A thread cannot be ended from outside, so one that is late runs on until this program
//! ends; its result is dropped.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;

use crate::threads;

/// The stack of such a thread, in bytes: schemas are read by recursion.
const STACK: usize = 16 * 1024 * 1024;

/// What came of the work.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome<T> {
    /// It was done in time.
    Done(T),
    /// It was not.
    Late,
    /// The system has no thread to give, or the work panicked.
    Failed,
}

/// Does the work, and waits for it no longer than this.
pub(super) fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Outcome<T> {
    let (tell, told) = channel();
    let body = move || {
        // Nobody may wait for it any more.
        let _ = tell.send(work());
    };
    if threads::start("schema", STACK, body).is_err() {
        return Outcome::Failed;
    }
    match told.recv_timeout(limit) {
        Ok(done) => Outcome::Done(done),
        Err(RecvTimeoutError::Timeout) => Outcome::Late,
        Err(RecvTimeoutError::Disconnected) => Outcome::Failed,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn work_is_done_or_late_or_failed() {
        assert_eq!(within(Duration::from_secs(60), || 6 * 7), Outcome::Done(42));
        assert_eq!(within(Duration::from_secs(60), || -> u8 { panic!("of the work") }), Outcome::Failed);
        let (end, ended) = channel::<()>();
        // It ends when this test does.
        assert_eq!(within(Duration::from_millis(1), move || ended.recv().is_ok()), Outcome::Late);
        drop(end);
    }
}
