//! The last of what a child wrote to stderr, for the person who has to find out why it died.
//!
//! It keeps bytes and makes text of them only when asked. It never grows beyond [`Tail::LIMIT`] and masks nothing: that
//! is for whoever shows the text.

use std::collections::VecDeque;

/// A bounded memory of the newest bytes.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    bytes: VecDeque<u8>,
    /// Older bytes were dropped, so the first line may be the rest of one.
    cut: bool,
}

impl Tail {
    /// The most that is kept, in bytes.
    pub const LIMIT: usize = 64 * 1024;

    /// Adds what was written last.
    pub fn push(&mut self, bytes: &[u8]) {
        let over = (self.bytes.len() + bytes.len()).saturating_sub(Self::LIMIT);
        if over > 0 {
            self.cut = true;
            self.bytes.drain(..over.min(self.bytes.len()));
        }
        self.bytes.extend(&bytes[bytes.len().saturating_sub(Self::LIMIT)..]);
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is kept, as plain text: from the start of a line if a line had to be cut, invalid UTF-8 replaced, without
    /// terminal colours and other control sequences. A carriage return counts as the end of a line.
    pub fn text(&self) -> String {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        let mut kept = &bytes[..];
        if self.cut
            && let Some(end) = memchr::memchr(b'\n', kept)
            && end + 1 < kept.len()
        {
            kept = &kept[end + 1..];
        }
        plain(&String::from_utf8_lossy(kept))
    }
}

/// Leaves out escape sequences as ECMA-48 has them, and control characters other than tab and line feed.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\x1b' => match chars.peek() {
                // CSI: parameters, intermediates, one final character.
                Some('[') => {
                    chars.next();
                    while chars.next_if(|char| matches!(char, ' '..='?')).is_some() {}
                    chars.next_if(|char| matches!(char, '@'..='~'));
                }
                // OSC and the other strings: to BEL or ESC \. One that is not closed ends with its line.
                Some(']' | 'P' | 'X' | '^' | '_') => {
                    while chars.next_if(|char| !matches!(char, '\x07' | '\x1b' | '\n')).is_some() {}
                    if chars.next_if_eq(&'\x1b').is_some() {
                        chars.next_if_eq(&'\\');
                    }
                }
                // The two-character sequences, some with intermediates.
                _ => {
                    while chars.next_if(|char| matches!(char, ' '..='/')).is_some() {}
                    chars.next_if(|char| matches!(char, '0'..='~'));
                }
            },
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' => plain.push('\n'),
            '\n' | '\t' => plain.push(char),
            other if other.is_control() => {}
            other => plain.push(other),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::{Tail, plain};

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
    fn terminal_sequences_are_left_out() {
        assert_eq!(plain("\x1b[1;31merror\x1b[0m: bad \x1b[38;5;1mx\x1b[K"), "error: bad x");
        assert_eq!(plain("\x1b]0;title\x07a\x1b]8;;http://x\x1b\\b"), "ab");
        assert_eq!(plain("\x1b(Ba\x1b7b\x1b="), "ab");
        assert_eq!(plain("\x1b]never closed\nnext"), "\nnext");
        assert_eq!(plain("10%\r20%\r\ndone\x08\x07\tok\x1b"), "10%\n20%\ndone\tok");
    }
}
