//! Lines on their way to a descriptor: bounded, and written many at a time.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::io::AsyncWrite;

use crate::engine::io::Origin;
use crate::stream::Sink;

/// From how many bytes on nothing more is read that would end up here: enough for the next long line to come in while one
/// is written.
const FULL: usize = 1024 * 1024;
/// How many lines one system call takes at most.
const SLICES: usize = 64;

/// What is still to be written, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    lines: VecDeque<(Bytes, Origin)>,
    /// How much of the first line is written.
    written: usize,
    bytes: usize,
    /// How many of the bytes are our own words.
    own: usize,
}

impl Outbox {
    /// Appends a line.
    pub(super) fn push(&mut self, line: Bytes, origin: Origin) {
        self.bytes += line.len();
        if origin == Origin::Supervisor {
            self.own += line.len();
        }
        self.lines.push_back((line, origin));
    }

    /// Whether nothing is left to write.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether whoever fills it should wait.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= FULL
    }

    /// Whether our own words alone fill it.
    pub(super) fn is_full_of_own(&self) -> bool {
        self.own >= FULL
    }

    /// Forgets what is left.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes out what the reader cannot have acted on: the lines whose JSON is not written to its last byte, since a
    /// reader need not wait for a line feed. Of a batch that is partly written, these are the unwritten elements.
    pub(super) fn unsent(&mut self) -> Vec<Bytes> {
        let Self { lines, written, .. } = std::mem::take(self);
        let mut lines = lines.into_iter().map(|(line, _)| line);
        let first = lines.next().and_then(|line| unwritten(line, written));
        first.into_iter().chain(lines).collect()
    }

    /// Writes what can be written now. Ready when at least some of it was, or the reader is lost; pending for ever while
    /// there is nothing to write.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>, sink: &mut Sink) -> Poll<io::Result<()>> {
        if self.lines.is_empty() {
            return Poll::Pending;
        }
        let written = ready!(match (self.lines.front(), self.lines.len()) {
            // The most frequent by far: somebody waits for this one.
            (Some((line, _)), 1) => Pin::new(sink).poll_write(cx, &line[self.written..]),
            _ => self.poll_write_many(cx, sink),
        })?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(written);
        Poll::Ready(Ok(()))
    }

    fn poll_write_many(&self, cx: &mut Context<'_>, sink: &mut Sink) -> Poll<io::Result<usize>> {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for (slice, (line, _)) in slices.iter_mut().zip(&self.lines) {
            let skip = if count == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&line[skip..]);
            count += 1;
        }
        Pin::new(sink).poll_write_vectored(cx, &slices[..count])
    }

    /// Writes until nothing is left. Pending while the reader has no room, ready at once while there is nothing to write.
    pub(super) fn poll_write_all(&mut self, cx: &mut Context<'_>, sink: &mut Sink) -> Poll<io::Result<()>> {
        while !self.lines.is_empty() {
            ready!(self.poll_write(cx, sink))?;
        }
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize) {
        self.bytes -= written;
        while let Some((line, origin)) = self.lines.front() {
            let left = line.len() - self.written;
            let taken = left.min(written);
            if *origin == Origin::Supervisor {
                self.own -= taken;
            }
            written -= taken;
            if taken < left {
                self.written += taken;
                return;
            }
            self.written = 0;
            self.lines.pop_front();
        }
    }
}

/// The rest of a line of which `written` bytes are written. `None` if only white space or the end of a batch is
/// missing.
fn unwritten(line: Bytes, written: usize) -> Option<Bytes> {
    if written == 0 {
        return Some(line);
    }
    let json = line.trim_ascii_end();
    if written >= json.len() {
        return None;
    }
    let batch = json.trim_ascii_start().starts_with(b"[");
    let Some(elements) = batch.then(|| serde_json::from_slice::<Vec<&RawValue>>(json).ok()).flatten() else {
        return Some(line);
    };
    let end = |element: &RawValue| element.get().as_ptr().addr() + element.get().len() - line.as_ptr().addr();
    let left: Vec<&RawValue> = elements.into_iter().filter(|element| end(element) > written).collect();
    if left.is_empty() {
        return None;
    }
    let mut rest = serde_json::to_vec(&left).ok()?;
    rest.push(b'\n');
    Some(rest.into())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{Outbox, unwritten};
    use crate::engine::io::Origin;

    #[test]
    fn a_line_is_unsent_until_its_last_byte_that_is_no_white_space_is_written() {
        let left = |line: &'static str, written| unwritten(Bytes::from_static(line.as_bytes()), written);
        assert_eq!(left("{\"id\":1} \r\n", 0).unwrap(), "{\"id\":1} \r\n");
        assert_eq!(left("{\"id\":1} \r\n", 7).unwrap(), "{\"id\":1} \r\n");
        assert_eq!(left("{\"id\":1} \r\n", 8), None);
        assert_eq!(left("{\"id\":1}\n", 8), None);
    }

    #[test]
    fn each_element_of_a_batch_counts_by_itself() {
        let line = " [{\"id\":1} , {\"id\":2},{\"id\":3} ]\n";
        for (written, rest) in [
            (0, Some(line)),
            (9, Some("[{\"id\":1},{\"id\":2},{\"id\":3}]\n")),
            (10, Some("[{\"id\":2},{\"id\":3}]\n")),
            (20, Some("[{\"id\":2},{\"id\":3}]\n")),
            (21, Some("[{\"id\":3}]\n")),
            (30, None),
            (32, None),
        ] {
            let left = unwritten(Bytes::from_static(line.as_bytes()), written);
            assert_eq!(left.as_deref(), rest.map(str::as_bytes), "{written}");
        }
    }

    #[test]
    fn what_is_unsent_is_told_in_its_order() {
        let mut outbox = Outbox::default();
        outbox.push(Bytes::from_static(b"one\n"), Origin::Server);
        outbox.push(Bytes::from_static(b"two\n"), Origin::Supervisor);
        outbox.push(Bytes::from_static(b"three\n"), Origin::Server);
        assert_eq!((outbox.bytes, outbox.own), (14, 4));
        outbox.advance(6);
        assert_eq!((outbox.bytes, outbox.own), (8, 2));
        assert_eq!(outbox.unsent(), ["two\n", "three\n"]);
        assert!(outbox.is_empty() && outbox.bytes == 0);
    }
}
