//! A running child and what is on its way to and from it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};

use super::input::Lines;
use super::outbox::Outbox;
use crate::child::{Child, Process, Tail};
use crate::engine::io::{Gen, Origin};
use crate::stream::{Sink, Source};

/// How much of a child's stderr is read at once, in bytes.
const STDERR_ROOM: usize = 16 * 1024;

/// A child with its pipes.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) generation: Gen,
    pub(super) process: Process,
    pub(super) stdout: Lines,
    pub(super) stderr: Stderr,
    pub(super) stdin: Stdin,
    pub(super) tail: Tail,
    pub(super) exited: bool,
    /// Only what was there to read at its exit is still read.
    pub(super) draining: bool,
    /// The end of all its output was told.
    pub(super) silent_told: bool,
    /// The end of its stdout was told.
    pub(super) mute_told: bool,
}

impl Running {
    pub(super) fn new(generation: Gen, child: Child, max_line: usize) -> Self {
        Self {
            generation,
            process: child.process,
            stdout: Lines::new(child.stdout, max_line),
            stderr: Stderr { source: child.stderr, buffer: BytesMut::new(), open: true, left: None },
            stdin: Stdin { sink: child.stdin, outbox: Outbox::default(), closing: false },
            tail: Tail::default(),
            exited: false,
            draining: false,
            silent_told: false,
            mute_told: false,
        }
    }

    /// It has exited: from now on only what is there to read counts.
    pub(super) fn drain(&mut self) {
        self.stdout.drain();
        self.stderr.drain();
    }

    /// Whether it has exited and all it had written is read.
    pub(super) fn is_silent(&self) -> bool {
        self.draining && !self.stdout.is_open() && !self.stderr.open
    }
}

/// The way to a child.
#[derive(Debug)]
pub(super) struct Stdin {
    sink: Option<Sink>,
    outbox: Outbox,
    closing: bool,
}

impl Stdin {
    pub(super) fn push(&mut self, line: Bytes) {
        self.outbox.push(line, Origin::Server);
    }

    pub(super) fn is_full(&self) -> bool {
        self.outbox.is_full()
    }

    /// Whether nothing is left to write.
    pub(super) fn is_empty(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Whether the child has read everything that there was for it. `true` where the system does not tell.
    pub(super) fn is_read(&self) -> bool {
        self.outbox.is_empty() && self.sink.as_ref().is_none_or(|sink| sink.unread().unwrap_or_default() == 0)
    }

    /// Closes it once all is written.
    pub(super) fn close(&mut self) {
        self.closing = true;
        self.close_if_done();
    }

    fn close_if_done(&mut self) {
        if self.closing && self.outbox.is_empty() {
            self.sink = None;
        }
    }

    /// What cannot have been read.
    pub(super) fn unsent(&mut self) -> Vec<Bytes> {
        self.outbox.unsent()
    }

    /// Writes what there is, as far as there is room. An error means that the child no longer reads; it is told once.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(sink) = &mut self.sink else { return Poll::Pending };
        let written = self.outbox.poll_write_all(cx, sink);
        if matches!(written, Poll::Ready(Err(_))) {
            self.sink = None;
        }
        self.close_if_done();
        written
    }

    /// Ready when the child no longer reads, which also shows while there is nothing to write; it is told once.
    pub(super) fn poll_deaf(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(sink) = &self.sink else { return Poll::Pending };
        ready!(sink.poll_reader_lost(cx));
        self.sink = None;
        Poll::Ready(())
    }
}

/// A child's stderr.
#[derive(Debug)]
pub(super) struct Stderr {
    source: Source,
    buffer: BytesMut,
    open: bool,
    left: Option<usize>,
}

impl Stderr {
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    fn drain(&mut self) {
        let left = self.source.unread().unwrap_or_default();
        self.left = Some(left);
        self.open &= left > 0;
    }

    /// Reads once. Empty at the end.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        if self.buffer.capacity() < STDERR_ROOM / 4 {
            self.buffer.reserve(STDERR_ROOM);
        }
        let read = ready!(tokio_util::io::poll_read_buf(Pin::new(&mut self.source), cx, &mut self.buffer))
            .unwrap_or(0);
        if read == 0 {
            self.open = false;
        }
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(read);
            self.open &= *left > 0;
        }
        Poll::Ready(self.buffer.split().freeze())
    }
}
