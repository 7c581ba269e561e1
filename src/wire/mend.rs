//! Turns lines that are nearly JSON into JSON: those with invalid UTF-8, and those with numbers that JSON does not
//! have.
//!
//! Python, JavaScript and C programs print `NaN`, `Infinity` and `-Infinity` for numbers that JSON cannot express. They
//! also print text that was cut or has another encoding in the middle of a string. Some clients read such lines, and
//! others lose the answer in them.

use bytes::{Bytes, BytesMut};

use super::message::{Frame, Malformed, Parsed};

/// A line that was mended, and how.
#[derive(Clone, Debug)]
pub struct Mended {
    /// What the line is now.
    pub frame: Frame,
    /// How many numbers that JSON does not have became `null`.
    pub numbers: usize,
}

/// Mends a line: invalid UTF-8 becomes U+FFFD, and outside of strings `NaN`, `Infinity` and `-Infinity` become `null`.
/// `None` if the line needs no mending, or is not JSON even then.
pub fn mend(line: &Bytes) -> Option<Mended> {
    let text = String::from_utf8_lossy(line);
    let (numbers, mended) = with_nulls(text.as_bytes());
    let frame = match (mended, text) {
        (Some(mended), _) => Frame::read(mended),
        (None, std::borrow::Cow::Owned(text)) => Frame::read(text.into()),
        (None, std::borrow::Cow::Borrowed(_)) => return None,
    };
    (!matches!(frame.parsed, Parsed::Malformed(Malformed::NotJson))).then_some(Mended { frame, numbers })
}

/// How many such numbers the bytes contain, and the bytes with `null` in their places. `None` where there are none.
fn with_nulls(bytes: &[u8]) -> (usize, Option<Bytes>) {
    memchr::memchr2(b'N', b'I', bytes).map_or((0, None), |_| replaced(bytes))
}

fn replaced(bytes: &[u8]) -> (usize, Option<Bytes>) {
    let mut mended = BytesMut::new();
    let (mut numbers, mut kept, mut at) = (0, 0, 0);
    while at < bytes.len() {
        let Some(next) = memchr::memchr3(b'"', b'N', b'I', &bytes[at..]) else { break };
        at += next;
        if bytes[at] == b'"' {
            at = end_of_string(bytes, at);
            continue;
        }
        let word: &[u8] = if bytes[at] == b'N' { b"NaN" } else { b"Infinity" };
        let from = at - usize::from(bytes[at] == b'I' && at > 0 && bytes[at - 1] == b'-');
        at += 1;
        let to = at - 1 + word.len();
        let is_value = bytes[at - 1..].starts_with(word)
            && from.checked_sub(1).and_then(|before| bytes.get(before)).is_none_or(|byte| may_precede(*byte))
            && bytes.get(to).is_none_or(|byte| may_follow(*byte));
        if is_value {
            mended.extend_from_slice(&bytes[kept..from]);
            mended.extend_from_slice(b"null");
            (numbers, kept, at) = (numbers + 1, to, to);
        }
    }
    if numbers == 0 {
        return (0, None);
    }
    mended.extend_from_slice(&bytes[kept..]);
    (numbers, Some(mended.freeze()))
}

/// The position behind the string that begins at `quote`.
fn end_of_string(bytes: &[u8], quote: usize) -> usize {
    let mut at = quote + 1;
    while let Some(next) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += next;
        if bytes[at] == b'"' {
            return at + 1;
        }
        at += 2;
    }
    bytes.len()
}

fn may_precede(byte: u8) -> bool {
    matches!(byte, b':' | b',' | b'[' | b' ' | b'\t')
}

fn may_follow(byte: u8) -> bool {
    matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\r' | b'\n')
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::mend;

    fn mended(line: &[u8]) -> Option<(Bytes, usize)> {
        mend(&Bytes::copy_from_slice(line)).map(|mended| (mended.frame.bytes, mended.numbers))
    }

    #[test]
    fn numbers_that_json_does_not_have_become_null() {
        for (line, expected, numbers) in [
            (r#"{"a":NaN}"#, r#"{"a":null}"#, 1),
            (r#"{"a": -Infinity , "b":[Infinity,NaN,1]}"#, r#"{"a": null , "b":[null,null,1]}"#, 3),
            (r#"{"NaN":NaN,"b":"Infinity \" NaN,"}"#, r#"{"NaN":null,"b":"Infinity \" NaN,"}"#, 1),
        ] {
            assert_eq!(mended(line.as_bytes()), Some((expected.into(), numbers)), "{line}");
        }
    }

    #[test]
    fn what_is_not_only_that_is_let_be() {
        for line in [
            r#"{"a":NaNs}"#,
            r#"{"a":xNaN}"#,
            r#"{"a":--Infinity}"#,
            r#"{"a":NaN"#,
            r#"{"a":nan}"#,
            r#"{"a":1}"#,
            "NaN",
            "",
        ] {
            assert_eq!(mended(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn what_is_no_utf_8_becomes_the_replacement_character() {
        assert_eq!(
            mended(b"{\"a\":\"\xff\",\"b\":NaN}"),
            Some(("{\"a\":\"\u{fffd}\",\"b\":null}".into(), 1))
        );
        assert_eq!(mended(b"{\"a\":\"\xff\"}"), Some(("{\"a\":\"\u{fffd}\"}".into(), 0)));
    }
}
