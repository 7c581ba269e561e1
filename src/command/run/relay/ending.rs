//! The end of the relay: what is still to be written is written, as long as somebody takes it, and not for ever.

use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWrite as _;

use super::Relay;
use crate::engine::io::Origin;

/// How long the host may take to read the last of what is for it, without reading anything, before we leave.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long what is kept for later runs may take to be written before we leave.
const LAST_WRITES: Duration = Duration::from_millis(200);
/// Both, and the log, once we were told to end at once.
const IN_HASTE: Duration = Duration::from_millis(100);

impl Relay {
    /// Writes to the host, then what is kept for later runs, then the log.
    pub(super) async fn last_words(&mut self) {
        let (patience, writes) = if self.in_haste { (IN_HASTE, IN_HASTE) } else { (LAST_WORDS, LAST_WRITES) };
        if let Some(beside) = &mut self.beside {
            // A shell that is still asked need not answer any more.
            beside.forget_login_shell();
        }
        while !self.to_host.is_empty() && !self.host_gone {
            let written = self.alarm.within(patience, |cx| match self.signals.poll_next(cx) {
                Poll::Ready(_) => Poll::Ready(None),
                Poll::Pending => self.to_host.poll_write(cx, &mut self.stdout).map(Some),
            });
            if !matches!(written.await, Some(Some(Ok(())))) {
                break;
            }
        }
        // A file or a terminal has what it was given only once it is flushed.
        let flushed = self.alarm.within(patience, |cx| Pin::new(&mut self.stdout).poll_flush(cx)).await;
        if let Some(Err(error)) = flushed.filter(|_| !self.host_gone) {
            self.lose_output(&error);
            self.absorb_log();
        }
        // Nothing more is asked of the keeper, which ends it.
        self.acts = None;
        if let Some(beside) = self.beside.take() {
            for fault in beside.end(&mut self.alarm, writes).await {
                self.log.fault(&fault);
            }
            self.absorb_log();
        }
        if let Some(line) = self.noise.summary() {
            self.to_log.push(line, Origin::Supervisor);
        }
        while !self.to_log.is_empty() && !self.log_gone {
            let written = self.alarm.within(IN_HASTE, |cx| self.to_log.poll_write(cx, &mut self.stderr));
            if !matches!(written.await, Some(Ok(()))) {
                break;
            }
            self.absorb_log();
        }
        let _ = self.alarm.within(IN_HASTE, |cx| Pin::new(&mut self.stderr).poll_flush(cx)).await;
    }
}
