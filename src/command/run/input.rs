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
/// A line is taken to become as long as the last one when this part of it is there.
const LIKELY: usize = 6;

/// A stream of lines.
#[derive(Debug)]
pub(super) struct Lines {
    source: Source,
    codec: LineCodec,
    buffer: BytesMut,
    open: bool,
    /// How long the last line was that was more than one read: such lines come in bursts, and each would be moved as it
    /// grows.
    expected: usize,
    /// A long line was there.
    long_line: bool,
    /// How much may still be read. `None` while there is no limit.
    left: Option<usize>,
}

impl Lines {
    pub(super) fn new(source: Source, max_line: usize) -> Self {
        let codec = LineCodec::new(max_line);
        Self { source, codec, buffer: BytesMut::new(), open: true, expected: 0, long_line: false, left: None }
    }

    /// Reads once. An error is the end of it. Must not be called when it is no longer open.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.buffer.capacity() - self.buffer.len() < ROOM / 4 {
            self.buffer.reserve(self.room());
            self.long_line |= self.buffer.len() > LARGE;
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

    /// How much room is made behind what is there. Twice as much each time that a line turns out to be longer, for what there
    /// is of it may have to be moved; and all at once where it is likely to be as long as the last one.
    fn room(&self) -> usize {
        let len = self.buffer.len();
        let expected = if len < self.expected / LIKELY { 0 } else { self.expected.saturating_sub(len) };
        len.max(ROOM).max(expected)
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
        let len = match &line {
            Some(Line::Whole(line)) => line.len(),
            Some(Line::Oversize(_)) => EXPECTED,
            None => return line,
        };
        if len >= ROOM {
            self.expected = (len + ROOM).min(EXPECTED);
        }
        if len > LARGE {
            self.long_line = true;
            // What comes next would keep all of this line's memory for as long as it is kept itself.
            let mut fresh = BytesMut::with_capacity(self.buffer.len() + self.room());
            fresh.extend_from_slice(&self.buffer);
            self.buffer = fresh;
        }
        line
    }

    /// Whether a long line was there, or is on its way, since this was last asked.
    pub(super) fn had_long_line(&mut self) -> bool {
        std::mem::take(&mut self.long_line)
    }

    /// Gives back the memory of lines that were long, but for what is on its way.
    pub(super) fn shrink(&mut self) {
        if self.buffer.is_empty() || self.buffer.capacity() > 2 * self.buffer.len() + LARGE {
            self.buffer = BytesMut::from(&self.buffer[..]);
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

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::future::poll_fn;
    use std::io::{self, Write as _};
    use std::os::fd::OwnedFd;
    use std::thread;

    use bytes::Bytes;

    use super::{EXPECTED, LARGE, LIKELY, Lines, ROOM};
    use crate::stream::Source;
    use crate::wire::Line;

    const MIB: usize = 1024 * 1024;

    /// Writes this on a thread of its own, and reads all of it.
    async fn read(text: Vec<u8>) -> (Lines, Vec<Bytes>) {
        let (reader, writer) = io::pipe().unwrap();
        let len = text.len();
        let writing = thread::spawn(move || {
            let mut writer = File::from(OwnedFd::from(writer));
            writer.write_all(&text).map(|()| writer)
        });
        let mut lines = Lines::new(Source::owned(reader.into()).unwrap(), 64 * MIB);
        let mut found: Vec<Bytes> = Vec::new();
        while found.iter().map(Bytes::len).sum::<usize>() + lines.buffer.len() < len {
            poll_fn(|cx| lines.poll_read(cx)).await;
            while let Some(line) = lines.next() {
                let Line::Whole(line) = line else { panic!("{line:?}") };
                found.push(line);
            }
        }
        drop(writing.join().unwrap().unwrap());
        (lines, found)
    }

    fn line(len: usize) -> Vec<u8> {
        let mut line = vec![b'x'; len];
        line[0] = b'{';
        line[len - 1] = b'\n';
        line
    }

    #[tokio::test]
    async fn what_comes_after_a_long_line_does_not_keep_its_memory() {
        let (mut lines, found) = read([line(10 * MIB), line(5000)].concat()).await;
        assert_eq!(found.iter().map(Bytes::len).collect::<Vec<_>>(), [10 * MIB, 5000]);
        assert!(lines.had_long_line() && !lines.had_long_line());
        assert!(lines.buffer.capacity() <= LARGE, "{}", lines.buffer.capacity());
        let [long, short] = found.try_into().unwrap();
        assert!(long.try_into_mut().is_ok(), "nobody else holds any of it");
        drop(short);
    }

    #[tokio::test]
    async fn a_line_that_stalls_keeps_no_more_than_it_needs() {
        let (mut lines, found) = read([line(10 * MIB), vec![b'{'; 3 * MIB]].concat()).await;
        assert_eq!(found.len(), 1);
        assert!(lines.buffer.capacity() >= 10 * MIB, "it is likely to be as long");
        lines.shrink();
        assert_eq!((lines.buffer.len(), lines.expected), (3 * MIB, 0));
        assert!(lines.buffer.capacity() < 4 * MIB);
    }

    #[tokio::test]
    async fn no_more_is_made_ready_than_the_last_line_needed() {
        let (lines, _) = read([line(20 * MIB), line(100)].concat()).await;
        assert_eq!(lines.expected, EXPECTED);
        let (mut lines, _) = read([line(20 * MIB), line(2 * ROOM)].concat()).await;
        assert_eq!(lines.expected, 3 * ROOM);
        lines.buffer.resize(3 * ROOM / LIKELY - 1, b'x');
        assert_eq!(lines.room(), ROOM);
        lines.buffer.resize(ROOM, b'x');
        assert_eq!(lines.room(), 2 * ROOM);
        let (mut lines, _) = read(line(100)).await;
        assert!(!lines.had_long_line());
        lines.shrink();
        assert_eq!(lines.buffer.capacity(), 0);
    }
}
