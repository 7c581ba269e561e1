//! Lines out of a byte stream, whatever the stream does: split anywhere, no line feed at the end, lines without end.
//!
//! A line within its limit comes out whole, with its line feed. A longer one is thrown away as it arrives, and only its
//! two ends are kept, so that an id can be sought in them: no stream can make the codec hold more than its limit.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio_util::codec::Decoder;

/// How much of each end of an oversize line is kept, in bytes: enough for the members around a large payload.
pub const ENDS: usize = 4096;

/// The longest line, in bytes, that is kept when it does not start as JSON does. A message glued behind more noise than
/// this is lost; endless noise without a line feed costs no more memory than this.
pub const NOISE_LIMIT: usize = 1024 * 1024;

/// An empty buffer that holds more capacity than this, in bytes, is given back: one huge line must not be paid for ever.
const IDLE_CAPACITY: usize = 4 * 1024 * 1024;

/// One line of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A line within the limit, its line feed included. A last line without one has been given one.
    Whole(Bytes),
    /// A line beyond the limit, of which only the ends are left.
    Oversize(Oversize),
}

/// What is left of a line that was too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oversize {
    /// The first [`ENDS`] bytes.
    pub head: Bytes,
    /// The last [`ENDS`] bytes, without the line feed.
    pub tail: Bytes,
    /// The whole length in bytes, without the line feed.
    pub len: u64,
}

/// Splits a byte stream into [`Line`]s. The outcome does not depend on how the stream was cut into reads.
#[derive(Debug)]
pub struct LineCodec {
    /// The longest line in bytes, without its line feed.
    max_line: usize,
    /// How far the buffer has been searched for a line feed already.
    scanned: usize,
    /// `Some` while a line that is too long passes by.
    skipping: Option<Skipped>,
}

#[derive(Debug)]
struct Skipped {
    head: BytesMut,
    tail: BytesMut,
    len: u64,
}

impl Skipped {
    fn start(content: &[u8]) -> Self {
        let mut skipped =
            Self { head: BytesMut::with_capacity(ENDS), tail: BytesMut::with_capacity(2 * ENDS), len: 0 };
        skipped.pass(content);
        skipped
    }

    fn pass(&mut self, content: &[u8]) {
        self.len += content.len() as u64;
        let room = ENDS - self.head.len();
        self.head.extend_from_slice(&content[..content.len().min(room)]);
        if content.len() >= ENDS {
            self.tail.clear();
            self.tail.extend_from_slice(&content[content.len() - ENDS..]);
            return;
        }
        let excess = (self.tail.len() + content.len()).saturating_sub(ENDS);
        let kept = self.tail.len() - excess;
        self.tail.copy_within(excess.., 0);
        self.tail.truncate(kept);
        self.tail.extend_from_slice(content);
    }

    fn finish(self) -> Line {
        Line::Oversize(Oversize { head: self.head.freeze(), tail: self.tail.freeze(), len: self.len })
    }
}

impl LineCodec {
    /// A codec whose lines are `max_line` bytes long at most, the line feed not counted.
    pub fn new(max_line: usize) -> Self {
        Self { max_line, scanned: 0, skipping: None }
    }

    fn limit(&self, content: &[u8]) -> usize {
        if starts_as_json(content) { self.max_line } else { self.max_line.min(NOISE_LIMIT) }
    }

    /// A complete line's content has come, `content.len()` bytes of `src` and perhaps a line feed behind it.
    fn complete(&mut self, src: &mut BytesMut, len: usize, with_feed: bool) -> Line {
        self.scanned = 0;
        let mut line = src.split_to(len + usize::from(with_feed));
        if src.is_empty() && src.capacity() > IDLE_CAPACITY {
            *src = BytesMut::new();
        }
        if let Some(mut skipped) = self.skipping.take() {
            skipped.pass(&line[..len]);
            return skipped.finish();
        }
        if len > self.limit(&line[..len]) {
            return Skipped::start(&line[..len]).finish();
        }
        if !with_feed {
            line.extend_from_slice(b"\n");
        }
        Line::Whole(line.freeze())
    }
}

/// Whether the first byte that is neither a byte order mark nor white space opens an object or an array.
fn starts_as_json(content: &[u8]) -> bool {
    let content = content.strip_prefix("\u{feff}".as_bytes()).unwrap_or(content);
    let first = content.iter().find(|byte| !matches!(byte, b' ' | b'\t' | b'\r'));
    // All white space so far: it may still become JSON.
    first.is_none_or(|byte| matches!(byte, b'{' | b'['))
}

impl Decoder for LineCodec {
    type Item = Line;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<Line>> {
        if let Some(feed) = memchr::memchr(b'\n', &src[self.scanned..]) {
            let len = self.scanned + feed;
            return Ok(Some(self.complete(src, len, true)));
        }
        if let Some(skipped) = &mut self.skipping {
            skipped.pass(src);
            src.clear();
        } else if src.len() > self.limit(src) {
            self.skipping = Some(Skipped::start(src));
            src.clear();
        }
        self.scanned = src.len();
        Ok(None)
    }

    fn decode_eof(&mut self, src: &mut BytesMut) -> io::Result<Option<Line>> {
        if let Some(line) = self.decode(src)? {
            return Ok(Some(line));
        }
        if src.is_empty() && self.skipping.is_none() {
            return Ok(None);
        }
        let len = src.len();
        Ok(Some(self.complete(src, len, false)))
    }
}
