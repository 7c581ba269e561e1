//! Lines from a descriptor: one read at a time, all its lines at once.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;

use bytes::BytesMut;
use tokio_util::codec::Decoder as _;

use crate::stream::Source;
use crate::wire::{Line, LineCodec};

/// How much room a read is given, in bytes: what a pipe holds.
const ROOM: usize = 64 * 1024;

/// A stream of lines.
#[derive(Debug)]
pub(super) struct Lines {
    source: Source,
    codec: LineCodec,
    buffer: BytesMut,
    open: bool,
    /// How much may still be read. `None` while there is no limit.
    left: Option<usize>,
}

impl Lines {
    pub(super) fn new(source: Source, max_line: usize) -> Self {
        Self { source, codec: LineCodec::new(max_line), buffer: BytesMut::new(), open: true, left: None }
    }

    /// Reads once. Cancel-safe; must not be called when it is no longer open.
    pub(super) async fn read(&mut self) -> io::Result<usize> {
        if self.buffer.capacity() - self.buffer.len() < ROOM / 4 {
            self.buffer.reserve(ROOM);
        }
        let read =
            poll_fn(|cx| tokio_util::io::poll_read_buf(Pin::new(&mut self.source), cx, &mut self.buffer))
                .await;
        match &read {
            Ok(0) | Err(_) => self.open = false,
            Ok(count) => {
                if let Some(left) = &mut self.left {
                    *left = left.saturating_sub(*count);
                    self.open = *left > 0;
                }
            }
        }
        read
    }

    /// Resolves when nothing more will be written to it. Cancel-safe.
    pub(super) async fn writer_lost(&self) {
        self.source.writer_lost().await;
    }

    /// The next line of what was read; at the end also one without line feed.
    pub(super) fn next(&mut self) -> Option<Line> {
        let line = if self.open {
            self.codec.decode(&mut self.buffer)
        } else {
            self.codec.decode_eof(&mut self.buffer)
        };
        // The codec has no errors of its own.
        line.ok().flatten()
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
