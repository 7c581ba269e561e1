//! Input from the host and the child on its way to the engine, and the reading of the child before a deadline is
//! judged.

use std::future::poll_fn;
use std::io;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::yield_now;

use super::{Event, Relay};
use crate::command::run::beside::Beside;
use crate::engine::io::{Input, Now, Origin};

/// How often the child is read at most before a deadline is judged: more than its pipe holds.
const READS: usize = 32;
/// How many lines are taken at most then: as many as a pipe of 64 KiB holds of the shortest. A flood must not pile up.
const LINES: usize = 32 * 1024;

impl Event {
    /// Classifies a failed write to stdout.
    pub(super) fn of_output(error: io::Error) -> Self {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
        let gone = [BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected];
        if gone.contains(&error.kind()) { Self::HostGone } else { Self::OutputLost(error) }
    }
}

impl Relay {
    /// Reads what the child has written before a passed deadline is judged, and counts it as received in time. The
    /// deadline may have passed long ago, because we were stopped or starved.
    pub(super) async fn hear_in_time(&mut self, deadline: Duration) {
        // Yielding lets the runtime ask the system for events.
        yield_now().await;
        self.child_lines();
        poll_fn(|cx| {
            for _ in 0..READS {
                if self.inputs.len() >= LINES || self.poll_child(cx).is_pending() {
                    break;
                }
                self.child_lines();
            }
            Poll::Ready(())
        })
        .await;
        let mono = deadline.saturating_sub(Duration::from_nanos(1));
        self.early = (self.inputs.len(), Now { mono, wall: self.now.wall });
    }

    pub(super) fn lose_output(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.output_lost, true) {
            self.log.output_lost(error);
        }
    }

    /// Takes one line from the host at a time, because its answer may be far longer than the line.
    pub(super) fn host_line(&mut self) {
        let line = self.from_host.next();
        if self.from_host.had_long_line() {
            self.rest.put_off(self.now.mono);
        }
        if let Some(line) = line {
            self.inputs.push_back(Input::Host(line));
            return;
        }
        self.host_unheard = false;
        if !self.from_host.is_open() && !std::mem::replace(&mut self.host_eof_told, true) {
            self.inputs.push_back(Input::HostEof);
        }
    }

    pub(super) fn child_lines(&mut self) {
        // The events of the gateway happened before the server could answer, so the engine gets them first.
        while let Some(event) = self.beside.as_mut().and_then(Beside::next_event) {
            self.inputs.push_back(Input::Session(event));
        }
        let Some(child) = &mut self.child else { return };
        while let Some(line) = child.stdout.next() {
            self.inputs.push_back(Input::Child(child.generation, line));
        }
        if child.stdout.had_long_line() {
            self.rest.put_off(self.now.mono);
        }
        if !child.stdout.is_open() && !child.exited && !std::mem::replace(&mut child.mute_told, true) {
            self.inputs.push_back(Input::Mute(child.generation));
        }
    }

    pub(super) fn child_stderr(&mut self, bytes: Bytes) {
        let Some(child) = &mut self.child else { return };
        if !bytes.is_empty() {
            child.tail.push(&bytes);
            // The stderr of a dead child is read even when our own has no reader, and must not pile up.
            let piles_up = child.draining && self.to_log.is_full();
            if !self.log_gone && !piles_up {
                self.to_log.push(bytes, Origin::Server);
            }
        }
    }
}
