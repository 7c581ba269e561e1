//! Lines from a descriptor: one read at a time, all its lines at once.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio_util::codec::Decoder as _;

use crate::stream::Source;
use crate::wire::{Line, LineCodec};

/// How much room a read is given, in bytes: what a pipe holds.
const ROOM: usize = 64 * 1024;
/// What is more than this, in bytes, is not held for longer than it takes: several times what lines usually need.
const LARGE: usize = 4 * ROOM;
/// The most that is made ready, in bytes, because a line before was as long: what hosts take in one line.
const EXPECTED: usize = 10 * 1024 * 1024;

/// A stream of lines.
#[derive(Debug)]
pub(super) struct Lines {
    source: Source,
    codec: LineCodec,
    buffer: BytesMut,
    open: bool,
    /// How long the last long line was: where there was one there are more, and each would be moved as it grows.
    expected: usize,
    /// How much may still be read. `None` while there is no limit.
    left: Option<usize>,
}

impl Lines {
    pub(super) fn new(source: Source, max_line: usize) -> Self {
        let codec = LineCodec::new(max_line);
        Self { source, codec, buffer: BytesMut::new(), open: true, expected: 0, left: None }
    }

    /// Reads once. An error is the end of it. Must not be called when it is no longer open.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.buffer.capacity() - self.buffer.len() < ROOM / 4 {
            // Twice as much each time that a line turns out to be longer, for what there is of it may have to be moved.
            let len = self.buffer.len();
            let expected = if len < ROOM { 0 } else { self.expected.saturating_sub(len) };
            self.buffer.reserve(len.max(ROOM).max(expected));
        }
        let read: io::Result<usize> =
            ready!(tokio_util::io::poll_read_buf(Pin::new(&mut self.source), cx, &mut self.buffer));
        match read {
            Ok(0) | Err(_) => self.open = false,
            Ok(count) => {
                if let Some(left) = &mut self.left {
                    *left = left.saturating_sub(count);
                    self.open = *left > 0;
                }
            }
        }
        Poll::Ready(())
    }

    /// Ready when nothing more will be written to it.
    pub(super) fn poll_writer_lost(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.source.poll_writer_lost(cx)
    }

    /// The next line of what was read; at the end also one without line feed.
    pub(super) fn next(&mut self) -> Option<Line> {
        let line = if self.open {
            self.codec.decode(&mut self.buffer)
        } else {
            self.codec.decode_eof(&mut self.buffer)
        };
        // The codec has no errors of its own.
        let line = line.ok().flatten();
        if let Some(Line::Whole(line)) = &line
            && line.len() > LARGE
        {
            self.expected = (line.len() + ROOM).min(EXPECTED);
        }
        line
    }

    /// Whether it holds the memory of a line that was long.
    pub(super) fn is_large(&self) -> bool {
        self.buffer.capacity() > LARGE
    }

    /// Gives back the memory of lines that were long, if none is on its way.
    pub(super) fn shrink(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
            self.expected = 0;
        }
    }

    /// Whether more may come.
    pub(super) fn is_open(&self) -> bool {
        self.open
    }

    /// Only what is there to read now still counts: whoever wrote it is dead.
    pub(super) fn drain(&mut self) {
        let left = self.source.unread().unwrap_or_default();
        self.left = Some(left);
        self.open &= left > 0;
    }
}
