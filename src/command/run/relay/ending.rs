//! The end of the relay: what is still to be written is written, as long as somebody takes it, and not for ever.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::io::AsyncWrite as _;

use super::Relay;
use crate::engine::io::Origin;

/// How long what is kept for later runs may take to be written before we leave.
const LAST_WRITES: Duration = Duration::from_millis(200);

impl Relay {
    /// Writes the rest for the host and the log, side by side; then what is kept for later runs; then the log lines
    /// about that. Slow readers are waited for until `until`; a reader that keeps up gets everything. What the host has
    /// not taken by then is reported as lost.
    pub(super) async fn last_words(&mut self, until: Duration) {
        if let Some(beside) = &mut self.beside {
            // A shell that is still asked need not answer any more.
            beside.forget_login_shell();
        }
        self.write_out(until).await;
        // Nothing more is asked of the keeper, which ends it.
        self.acts = None;
        if let Some(beside) = self.beside.take() {
            for fault in beside.end(&mut self.alarm, LAST_WRITES).await {
                self.log.fault(&fault);
            }
        }
        if let Some(line) = self.noise.summary() {
            self.to_log.push(line, Origin::Supervisor);
        }
        self.write_out(until).await;
    }

    async fn write_out(&mut self, until: Duration) {
        loop {
            self.absorb_log();
            let patience = until.saturating_sub(self.clock.elapsed());
            let (mut told, mut logged) = (self.host_gone, self.log_gone);
            let mut lost = None;
            let written = self.alarm.within(patience, |cx| {
                // A file or a terminal has the bytes only once they are flushed. A lost reader is not waited for.
                told = told
                    || match self.to_host.poll_write_all(cx, &mut self.stdout) {
                        Poll::Ready(Ok(())) => match Pin::new(&mut self.stdout).poll_flush(cx) {
                            Poll::Ready(flushed) => {
                                lost = flushed.err();
                                true
                            }
                            Poll::Pending => false,
                        },
                        Poll::Ready(Err(error)) => {
                            lost = Some(error);
                            true
                        }
                        Poll::Pending => false,
                    };
                logged = logged
                    || match self.to_log.poll_write_all(cx, &mut self.stderr) {
                        Poll::Ready(Ok(())) => Pin::new(&mut self.stderr).poll_flush(cx).is_ready(),
                        Poll::Ready(Err(_)) => true,
                        Poll::Pending => false,
                    };
                if told && logged { Poll::Ready(()) } else { Poll::Pending }
            });
            let in_time = written.await.is_some();
            if !in_time && !told {
                lost = Some(io::Error::new(ErrorKind::TimedOut, "it was not read in time"));
            }
            if let Some(error) = lost.filter(|error| error.kind() != ErrorKind::BrokenPipe) {
                self.lose_output(&error);
            }
            if !in_time || !self.absorb_log() {
                return;
            }
        }
    }
}
