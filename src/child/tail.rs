//! The last of what a child wrote to stderr, for the person who has to find out why it died.
//!
//! The tail stores bytes, and turns them into text only when asked, or when there are too many. The successive states
//! of one line, such as a progress bar's, are then reduced to the last. The tail never grows beyond one and a half
//! times [`Tail::LIMIT`]. It masks nothing: the code that shows the text masks it.

use std::collections::VecDeque;

use memchr::{memchr, memchr3, memrchr2};

use super::screen::shown;

/// A bounded memory of the newest bytes.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    bytes: VecDeque<u8>,
    /// Older bytes were dropped, so the first line may be the rest of one.
    cut: bool,
}

impl Tail {
    /// The longest text that is returned, in bytes.
    pub const LIMIT: usize = 64 * 1024;
    /// How much more may accumulate before the tail is trimmed, in bytes: trimming reads all of it.
    const SLACK: usize = Self::LIMIT / 2;
    /// The most of an unfinished line that is left alone, in bytes: it may end in the middle of an escape sequence.
    const UNFINISHED: usize = 1024;

    /// Adds what was written last.
    pub fn push(&mut self, bytes: &[u8]) {
        for part in bytes.chunks(Self::SLACK) {
            self.bytes.extend(part);
            if self.bytes.len() > Self::LIMIT + Self::SLACK {
                self.merge_states();
                self.drop_oldest();
            }
        }
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is kept, as plain text: from the start of a line if a line had to be cut, invalid UTF-8 replaced, without
    /// terminal colours and other control sequences. An overwritten line is in its last state.
    pub fn text(&self) -> String {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        let text = shown(&String::from_utf8_lossy(from_line(&bytes, self.cut)));
        let mut start = text.len().saturating_sub(Self::LIMIT);
        while !text.is_char_boundary(start) {
            start += 1;
        }
        String::from_utf8_lossy(from_line(&text.as_bytes()[start..], start > 0)).into_owned()
    }

    /// Reduces each overwritten line to its last state.
    fn merge_states(&mut self) {
        let bytes = self.bytes.make_contiguous();
        if memchr3(b'\r', b'\x1b', b'\x08', bytes).is_none() {
            return;
        }
        let whole = memrchr2(b'\n', b'\r', bytes).map_or(0, |at| at + 1);
        let whole = whole.max(bytes.len().saturating_sub(Self::UNFINISHED));
        let (before, unfinished) = bytes.split_at(whole);
        let mut merged = shown(&String::from_utf8_lossy(before)).into_bytes();
        if before.ends_with(b"\r") {
            // What comes next overwrites the last line.
            merged.push(b'\r');
        }
        merged.extend_from_slice(unfinished);
        self.bytes = merged.into();
    }

    fn drop_oldest(&mut self) {
        let over = self.bytes.len().saturating_sub(Self::LIMIT);
        if over > 0 {
            self.cut = true;
            self.bytes.drain(..over);
        }
    }
}

/// The bytes from the start of a line, if something before them was cut off. If they hold no other line, the cut one
/// stays.
fn from_line(bytes: &[u8], cut: bool) -> &[u8] {
    match memchr(b'\n', bytes) {
        Some(end) if cut && end + 1 < bytes.len() => &bytes[end + 1..],
        _ => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::Tail;

    fn tail_of(chunks: &[&[u8]]) -> Tail {
        let mut tail = Tail::default();
        for chunk in chunks {
            tail.push(chunk);
        }
        tail
    }

    #[test]
    fn short_output_is_kept_as_it_is() {
        assert!(tail_of(&[]).is_empty());
        assert_eq!(tail_of(&[]).text(), "");
        assert_eq!(tail_of(&[b"one\ntw", b"o\n"]).text(), "one\ntwo\n");
        assert_eq!(tail_of(&[b"caf\xc3", b"\xa9 \xff"]).text(), "caf\u{e9} \u{fffd}");
    }

    #[test]
    fn long_output_is_cut_at_the_start_of_a_line() {
        let mut tail = Tail::default();
        for number in 0..20_000 {
            tail.push(format!("line {number}\n").as_bytes());
        }
        let text = tail.text();
        assert!(text.len() <= Tail::LIMIT && text.len() > Tail::LIMIT - 16);
        assert!(text.starts_with("line ") && text.ends_with("line 19999\n"));
    }

    #[test]
    fn one_line_that_is_too_long_keeps_its_end() {
        let text = tail_of(&[b"old\n", &vec![b'x'; Tail::LIMIT * 2], b"end"]).text();
        assert_eq!(text.len(), Tail::LIMIT);
        assert!(text.ends_with("xend"));
        let text = tail_of(&[&vec![b'x'; Tail::LIMIT], b"\n"]).text();
        assert!(text.ends_with("x\n"), "a cut line is better than none");
    }

    #[test]
    fn a_progress_bar_takes_the_room_of_one_line() {
        let mut tail = tail_of(&[b"reading the configuration\n"]);
        for state in 0..100_000 {
            tail.push(format!("\r\x1b[2Kdownloading {state} of 100000").as_bytes());
        }
        tail.push(b"\r\x1b[Kdownloaded\nerror: no space left\n");
        assert_eq!(tail.text(), "reading the configuration\ndownloaded\nerror: no space left\n");
        let mut tail = tail_of(&[b"first\n"]);
        for state in 0..100_000 {
            tail.push(format!("state {state}\r").as_bytes());
        }
        assert_eq!(tail.text(), "first\nstate 99999");
        assert!(tail.bytes.len() <= Tail::LIMIT + Tail::SLACK);
    }
}
