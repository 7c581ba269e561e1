//! Lines out of a byte stream, whatever the stream does: split anywhere, no line feed at the end, lines without end.
//!
//! A line within its limit comes out whole, with its line feed. A longer one is thrown away as it arrives, and only its
//! two ends are kept, so that an id can be sought in them: no stream can make the codec hold more than its limit.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio_util::codec::Decoder;

/// How much of each end of an oversize line is kept, in bytes: enough for the members around a large payload.
pub const ENDS: usize = 4096;

/// The longest line, in bytes, that is kept if it does not start as JSON does and no object begins within it: endless
/// noise without a line feed costs no more memory than this. If the first brace comes after more noise than that, only
/// the head of the noise is kept, so that a message glued behind it is found.
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
    /// The same for noise before its first brace.
    max_noise: usize,
    /// How far the buffer has been searched for a line feed already.
    scanned: usize,
    /// `Some` while a line that is too long is skipped, or a line whose first brace comes after too much noise.
    skipping: Option<Skipped>,
    /// Whether the noise before the first brace was skipped. The buffer then holds the line from that brace on.
    resumed: bool,
    /// How many bytes at the start of the line are known to be white space, a byte order mark included.
    blank: usize,
    /// Whether an object has begun, or an array as the first thing.
    begun: bool,
}

#[derive(Debug)]
struct Skipped {
    head: BytesMut,
    tail: BytesMut,
    len: u64,
    /// Whether all of it is noise in which no object has begun.
    noise: bool,
}

impl Skipped {
    fn start(noise: bool) -> Self {
        Self { head: BytesMut::with_capacity(ENDS), tail: BytesMut::with_capacity(2 * ENDS), len: 0, noise }
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
        Self {
            max_line,
            max_noise: max_line.min(NOISE_LIMIT),
            scanned: 0,
            skipping: None,
            resumed: false,
            blank: 0,
            begun: false,
        }
    }

    /// Whether `content`, the beginning of a line, is noise: no object begins in as much of it as is kept of noise.
    /// White space that was examined is not examined again when more of the line arrives.
    fn is_noise(&mut self, content: &[u8]) -> bool {
        if self.begun {
            return false;
        }
        let first = &content[..content.len().min(self.max_noise.saturating_add(1))];
        if self.blank == 0 && first.starts_with("\u{feff}".as_bytes()) {
            self.blank = 3;
        }
        let is_blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\r');
        self.blank += first[self.blank..].iter().take_while(is_blank).count();
        // What is all white space so far may still become JSON.
        self.begun = first.get(self.blank).is_some_and(|byte| matches!(byte, b'{' | b'['))
            || memchr::memchr(b'{', &first[self.blank..]).is_some();
        !self.begun && self.blank < first.len()
    }

    /// Whether `content`, a line or its beginning, is longer than is kept. `Some(true)` if that is because it is noise.
    fn exceeds(&mut self, content: &[u8]) -> Option<bool> {
        if content.len() > self.max_noise && self.max_noise < self.max_line && self.is_noise(content) {
            return Some(true);
        }
        (content.len() > self.max_line).then_some(false)
    }

    /// Ends the skipping of noise where an object begins: the line is kept from there on.
    fn resume(&mut self, src: &mut BytesMut) {
        let Some(skipped) = self.skipping.as_mut().filter(|skipped| skipped.noise && !self.resumed) else {
            return;
        };
        let Some(brace) = memchr::memchr2(b'{', b'\n', src).filter(|at| src[*at] == b'{') else { return };
        skipped.pass(&src.split_to(brace));
        skipped.noise = false;
        (self.resumed, self.begun) = (true, true);
        self.scanned = 0;
    }

    /// Takes a complete line: `len` bytes of `src`, and a line feed behind them if `with_feed`.
    fn complete(&mut self, src: &mut BytesMut, len: usize, with_feed: bool) -> Line {
        self.scanned = 0;
        let mut line = src.split_to(len + usize::from(with_feed));
        if src.is_empty() && src.capacity() > IDLE_CAPACITY {
            *src = BytesMut::new();
        }
        let exceeds = self.exceeds(&line[..len]);
        (self.blank, self.begun) = (0, false);
        match (self.skipping.take(), exceeds) {
            (None, Some(noise)) => {
                // The line has come all at once, and is treated as if it had come in pieces.
                self.skipping = Some(Skipped::start(noise));
                self.resume(&mut line);
                let len = line.len() - usize::from(with_feed);
                self.complete(&mut line, len, with_feed)
            }
            (Some(skipped), None) if std::mem::take(&mut self.resumed) => {
                let mut glued = skipped.head;
                glued.extend_from_slice(&line[..len]);
                glued.extend_from_slice(b"\n");
                Line::Whole(glued.freeze())
            }
            (Some(mut skipped), _) => {
                self.resumed = false;
                skipped.pass(&line[..len]);
                skipped.finish()
            }
            (None, None) => {
                if !with_feed {
                    line.extend_from_slice(b"\n");
                }
                Line::Whole(line.freeze())
            }
        }
    }
}

impl Decoder for LineCodec {
    type Item = Line;
    type Error = io::Error;

    fn decode(&mut self, src: &mut BytesMut) -> io::Result<Option<Line>> {
        self.resume(src);
        if let Some(feed) = memchr::memchr(b'\n', &src[self.scanned..]) {
            let len = self.scanned + feed;
            return Ok(Some(self.complete(src, len, true)));
        }
        match &mut self.skipping {
            // This includes a line that is too long even without the noise before it.
            Some(skipped) if !self.resumed || src.len() > self.max_line => {
                self.resumed = false;
                skipped.pass(src);
                src.clear();
            }
            Some(_) => {}
            None => {
                if let Some(noise) = self.exceeds(src) {
                    self.skipping = Some(Skipped::start(noise));
                    self.resume(src);
                    if !self.resumed {
                        return self.decode(src);
                    }
                }
            }
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

#[cfg(test)]
mod tests {
    use bytes::{Bytes, BytesMut};
    use tokio_util::codec::Decoder as _;

    use super::{ENDS, IDLE_CAPACITY, Line, LineCodec, NOISE_LIMIT};

    fn lines(reads: &[&[u8]]) -> Vec<Line> {
        let mut codec = LineCodec::new(2 * IDLE_CAPACITY);
        let mut buffer = BytesMut::new();
        let mut lines = Vec::new();
        for read in reads {
            buffer.extend_from_slice(read);
            while let Some(line) = codec.decode(&mut buffer).unwrap() {
                lines.push(line);
            }
            assert!(buffer.len() <= NOISE_LIMIT || buffer.contains(&b'{'), "noise is not kept");
        }
        lines
    }

    #[test]
    fn an_object_behind_noise_is_kept_however_long_both_are() {
        let object = format!("{{\"a\":\"{}\"}}", "x".repeat(2 * NOISE_LIMIT));
        for noise in [1, NOISE_LIMIT, NOISE_LIMIT + 1, 3 * NOISE_LIMIT] {
            let stream = format!("{}{object}\nnext\n", "#".repeat(noise));
            let expected = if noise > NOISE_LIMIT { ENDS } else { noise };
            let expected = format!("{}{object}\n", "#".repeat(expected));
            for cut in [1, 8192, noise - 1, noise, noise + 1, noise + 2 * NOISE_LIMIT, stream.len()] {
                let (first, second) = stream.as_bytes().split_at(cut.min(stream.len()));
                let lines = lines(&[first, second]);
                let whole = |text: &str| Line::Whole(Bytes::copy_from_slice(text.as_bytes()));
                assert!(lines == [whole(&expected), whole("next\n")], "{noise} bytes of noise, cut at {cut}");
            }
        }
    }

    #[test]
    fn noise_without_end_is_not_kept() {
        let piece = vec![b'#'; 100_000];
        let mut reads: Vec<&[u8]> = vec![&piece; 100];
        reads.push(b"\n");
        let lines = lines(&reads);
        assert!(matches!(&lines[..], [Line::Oversize(line)] if line.len == 10_000_000));
    }
}
