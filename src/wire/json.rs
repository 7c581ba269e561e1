//! A walk over a JSON text that checks its grammar and keeps nothing: where each value begins and ends, and no more.
//!
//! It is what every relayed byte passes, so it allocates nothing and looks at each byte once. What a string or a number
//! means is left to `serde_json`, which also takes over where values are nested deeper than [`DEPTH`]. A law of
//! `laws.rs` holds it against `serde_json`: what one takes for JSON the other does.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// How deep values may be nested before a reader without recursion takes over.
const DEPTH: u32 = 64;
/// After how many words of eight bytes a string is a long one.
const WORDS: usize = 4;
/// How many bytes of a long string are looked at in one step.
const STEP: usize = 128;

/// The text is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoJson;

/// The JSON text of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text<'t> {
    /// As it came, without white space around it.
    pub(super) json: &'t str,
    /// It is a string in which something is written by an escape.
    escaped: bool,
}

impl<'t> Text<'t> {
    /// The string that it stands for. `None` if it is no string, or one that no text has (half of a surrogate pair).
    pub(super) fn string(self) -> Option<Cow<'t, str>> {
        if self.escaped {
            return serde_json::from_str(self.json).ok().map(Cow::Owned);
        }
        let quoted = self.json.len() >= 2 && self.json.as_bytes()[0] == b'"';
        quoted.then(|| Cow::Borrowed(&self.json[1..self.json.len() - 1]))
    }
}

/// A place in a JSON text. Every method that fails leaves it anywhere.
#[derive(Clone, Debug)]
pub(super) struct Walk<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Walk<'t> {
    /// At the beginning of this text.
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    /// Over white space, to the next byte. 0, which is no part of any JSON, at the end.
    #[inline]
    pub(super) fn peek(&mut self) -> u8 {
        loop {
            let byte = self.byte();
            // Nothing else that is up to a space is JSON, and most texts have no white space.
            if byte > b' ' || !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return byte;
            }
            self.at += 1;
        }
    }

    /// Over the members of the object that begins here: for each, `member` gets its name and must go over its value. The name
    /// comes as bytes because a `match` of texts calls a function for each of its arms.
    #[inline]
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, &[u8]) -> Result<(), NoJson>,
    ) -> Result<(), NoJson> {
        self.expect(b'{')?;
        if self.ends(b'}') {
            return Ok(());
        }
        loop {
            self.peek();
            let from = self.at;
            let escaped = self.string()?;
            if escaped {
                let json = &self.text[from..self.at];
                let name = Text { json, escaped }.string().ok_or(NoJson)?;
                self.expect(b':')?;
                member(self, name.as_bytes())?;
            } else {
                let name = &self.text.as_bytes()[from + 1..self.at - 1];
                self.expect(b':')?;
                member(self, name)?;
            }
            if self.is_over(b'}')? {
                return Ok(());
            }
        }
    }

    /// Walks over the elements of the array that begins here. `element` must walk over each.
    #[inline]
    pub(super) fn array(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), NoJson>,
    ) -> Result<(), NoJson> {
        self.expect(b'[')?;
        if self.ends(b']') {
            return Ok(());
        }
        loop {
            element(self)?;
            if self.is_over(b']')? {
                return Ok(());
            }
        }
    }

    /// The position, in bytes.
    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// The text between this position and the present one.
    pub(super) fn since(&self, place: usize) -> &'t str {
        &self.text[place..self.at]
    }

    /// Over the value that begins here, of whatever type it is.
    pub(super) fn value(&mut self) -> Result<Text<'t>, NoJson> {
        let string = self.peek() == b'"';
        let from = self.at;
        let escaped = if string { self.string()? } else { self.skip(DEPTH).map(|()| false)? };
        Ok(Text { json: &self.text[from..self.at], escaped })
    }

    /// Over the value that begins here, of whatever type and whatever it says.
    pub(super) fn pass(&mut self) -> Result<(), NoJson> {
        self.skip(DEPTH)
    }

    /// Nothing but white space may follow.
    pub(super) fn end(mut self) -> Result<(), NoJson> {
        self.peek();
        if self.at == self.text.len() { Ok(()) } else { Err(NoJson) }
    }

    /// The byte that is next. 0 at the end.
    #[inline]
    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// Over white space and this byte.
    #[inline]
    fn expect(&mut self, wanted: u8) -> Result<(), NoJson> {
        if self.ends(wanted) { Ok(()) } else { Err(NoJson) }
    }

    /// Over white space, and over this byte if it is next.
    #[inline]
    fn ends(&mut self, wanted: u8) -> bool {
        let is_next = self.peek() == wanted;
        self.at += usize::from(is_next);
        is_next
    }

    /// Over what comes after a member or an element: whether it was the last.
    #[inline]
    fn is_over(&mut self, end: u8) -> Result<bool, NoJson> {
        let byte = self.peek();
        self.at += 1;
        if byte == end || byte == b',' { Ok(byte == end) } else { Err(NoJson) }
    }

    fn skip(&mut self, depth: u32) -> Result<(), NoJson> {
        match self.peek() {
            b'"' => self.string().map(drop),
            b'{' | b'[' if depth == 0 => self.skip_deep(),
            b'{' => self.members(depth),
            b'[' => self.elements(depth),
            b'-' | b'0'..=b'9' => self.number(),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => Err(NoJson),
        }
    }

    fn members(&mut self, depth: u32) -> Result<(), NoJson> {
        self.at += 1;
        if self.ends(b'}') {
            return Ok(());
        }
        loop {
            self.peek();
            self.string()?;
            self.expect(b':')?;
            self.skip(depth - 1)?;
            if self.is_over(b'}')? {
                return Ok(());
            }
        }
    }

    fn elements(&mut self, depth: u32) -> Result<(), NoJson> {
        self.at += 1;
        if self.ends(b']') {
            return Ok(());
        }
        loop {
            self.skip(depth - 1)?;
            if self.is_over(b']')? {
                return Ok(());
            }
        }
    }

    /// The same for what is nested too deep for the stack.
    #[cold]
    fn skip_deep(&mut self) -> Result<(), NoJson> {
        let mut rest = serde_json::Deserializer::from_str(&self.text[self.at..]).into_iter::<IgnoredAny>();
        rest.next().and_then(Result::ok).ok_or(NoJson)?;
        self.at += rest.byte_offset();
        Ok(())
    }

    /// Over the string that begins here. Whether something in it is written by an escape.
    #[inline]
    fn string(&mut self) -> Result<bool, NoJson> {
        if self.byte() != b'"' {
            return Err(NoJson);
        }
        self.at += 1;
        let mut escaped = false;
        loop {
            self.at += plain(&self.text.as_bytes()[self.at..]);
            match self.byte() {
                b'"' => {
                    self.at += 1;
                    return Ok(escaped);
                }
                b'\\' => {
                    escaped = true;
                    self.escape()?;
                }
                _ => return Err(NoJson),
            }
        }
    }

    fn escape(&mut self) -> Result<(), NoJson> {
        let rest = &self.text.as_bytes()[self.at + 1..];
        let len = match rest.first().ok_or(NoJson)? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 1,
            b'u' if rest.get(1..5).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) => 5,
            _ => return Err(NoJson),
        };
        self.at += 1 + len;
        Ok(())
    }

    /// A digit after a leading zero is caught by whoever looks for what may follow a value.
    fn number(&mut self) -> Result<(), NoJson> {
        self.at += usize::from(self.byte() == b'-');
        if self.byte() == b'0' {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == b'.' {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), b'e' | b'E') {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), b'+' | b'-'));
            self.digits()?;
        }
        Ok(())
    }

    /// Over at least one digit.
    fn digits(&mut self) -> Result<(), NoJson> {
        let from = self.at;
        while self.byte().is_ascii_digit() {
            self.at += 1;
        }
        if self.at > from { Ok(()) } else { Err(NoJson) }
    }

    fn word(&mut self, word: &str) -> Result<(), NoJson> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(NoJson);
        }
        self.at += word.len();
        Ok(())
    }
}

/// How many of these bytes stand for themselves in a string, up to the first that does not.
#[inline]
fn plain(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    // Names are short, payloads are long: after so many words without an end it is one of those.
    for _ in 0..WORDS {
        let Some((word, behind)) = rest.split_first_chunk::<8>() else { break };
        let special = special_in(u64::from_le_bytes(*word));
        if special != 0 {
            return bytes.len() - rest.len() + special.trailing_zeros() as usize / 8;
        }
        rest = behind;
    }
    bytes.len() - rest.len() + plain_of_many(rest)
}

/// The same for what is long, and for what is left when it is not: apart, so that short strings do not pay for it.
#[inline(never)]
fn plain_of_many(bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Some((step, behind)) = rest.split_first_chunk::<STEP>()
        && !is_special_among(step)
    {
        rest = behind;
    }
    while let Some((word, behind)) = rest.split_first_chunk::<8>() {
        let special = special_in(u64::from_le_bytes(*word));
        if special != 0 {
            return bytes.len() - rest.len() + special.trailing_zeros() as usize / 8;
        }
        rest = behind;
    }
    let plain = rest.iter().position(|byte| is_special(*byte)).unwrap_or(rest.len());
    bytes.len() - rest.len() + plain
}

/// Whether one of them is special. As a whole and without a way out in the middle, by what a processor does to many bytes at
/// once.
fn is_special_among(bytes: &[u8; STEP]) -> bool {
    let (mut least, mut nearest) = (u8::MAX, u8::MAX);
    for byte in bytes {
        least = least.min(*byte);
        nearest = nearest.min(byte ^ b'"').min(byte ^ b'\\');
    }
    least < 0x20 || nearest == 0
}

/// The highest bit of each byte that is special, at least up to the first such byte, the lowest one; 0 if there is none.
fn special_in(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // A subtraction borrows from the byte above only where this one is what is looked for.
    let zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
    control | zero(word ^ (ONES * u64::from(b'"'))) | zero(word ^ (ONES * u64::from(b'\\')))
}

/// Whether a byte cannot stand for itself in a string.
fn is_special(byte: u8) -> bool {
    matches!(byte, 0..0x20 | b'"' | b'\\')
}

#[cfg(test)]
mod tests {
    use serde::de::IgnoredAny;

    use super::{DEPTH, NoJson, STEP, Walk, plain};

    fn walks(text: &str) -> bool {
        let mut walk = Walk::new(text);
        walk.value().is_ok() && walk.end().is_ok()
    }

    #[test]
    fn it_takes_for_json_what_a_parser_does() {
        let strings = [
            "\"\"",
            "\"a\\u00e9\\n\"",
            "\"\\u12\"",
            "\"\\x\"",
            "\"open",
            "\"a\tb\"",
            "\"0123456789abcdef\u{e9}\\\"x\"",
        ];
        let numbers =
            ["0", "-0", "01", "-", "1.", ".5", "1.5e+10", "1e", "1E-7", "12345678901234567890123", "-1.0x"];
        let others = [
            "",
            " ",
            "true",
            "tru",
            "nul",
            "falsey",
            "[]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{}",
            "{\"a\":1,}",
            "{\"a\"}",
            "{a:1}",
        ];
        let nested = [
            "{\"a\":[{\"b\":[1,{}]}],\"c\":null}",
            "[[[]]",
            "{\"a\":{]}",
            " [ 1 , { \"a\" : \"b\" } ] ",
            "[1]]",
        ];
        for text in strings.iter().chain(&numbers).chain(&others).chain(&nested) {
            assert_eq!(walks(text), serde_json::from_str::<IgnoredAny>(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_first_byte_that_is_special_is_found_wherever_it_is() {
        for special in [b'"', b'\\', 0x00, 0x1f] {
            for len in 0..2 * STEP + 70 {
                for around in ["x", "\u{e9}", " ", "#", "\u{7f}", "]"] {
                    let mut text: Vec<u8> = around.bytes().cycle().take(len).collect();
                    assert_eq!(plain(&text), len);
                    text.push(special);
                    text.extend_from_slice(b"\"\\ and more of it");
                    assert_eq!(plain(&text), len, "{special} after {len} times {around}");
                }
            }
        }
    }

    #[test]
    fn nesting_has_no_bound() {
        for depth in [DEPTH as usize - 1, DEPTH as usize, DEPTH as usize + 1, 100_000] {
            let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            assert!(walks(&text), "{depth}");
            assert!(!walks(&text[1..]) && !walks(&text[..text.len() - 1]), "{depth}");
        }
    }

    #[test]
    fn a_value_is_given_as_its_text_and_no_more() {
        let mut members = Vec::new();
        let mut walk = Walk::new(" { \"a\" : [1, 2] , \"b\":\"c\" } ");
        walk.object(|walk, name| {
            members.push((String::from_utf8_lossy(name).into_owned(), walk.value()?.json));
            Ok(())
        })
        .unwrap();
        assert_eq!(members, [("a".to_owned(), "[1, 2]"), ("b".to_owned(), "\"c\"")]);
        assert_eq!(walk.end(), Ok(()));
        assert_eq!(Walk::new("[").object(|_, _| Ok(())), Err(NoJson));
    }
}
