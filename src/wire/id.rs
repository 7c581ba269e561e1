//! JSON-RPC ids: compared by value, written as they came.

use std::cmp::Ordering;
use std::fmt;

/// The id of a request: a string or an integer. `1` and `"1"` differ; `"a"` and `"\u0061"` are the same, and so are `10`
/// and `1e1`; integers of any size are kept exactly.
#[derive(Clone)]
pub struct Id {
    key: Key,
    /// The JSON text as it came. `None` when it is the plain spelling of the key.
    raw: Option<Box<str>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Key {
    Int(i64),
    /// An integer that no `i64` holds, as its decimal digits.
    Big(Box<str>),
    Text(Box<str>),
}

impl Id {
    /// The id that this JSON text stands for. `None` if it is neither a string nor an integer.
    pub fn from_json(raw: &str) -> Option<Self> {
        let key = match raw.as_bytes().first()? {
            b'"' => Key::Text(match raw.get(1..)?.strip_suffix('"') {
                Some(inner) if inner.bytes().all(|byte| byte >= 0x20 && !matches!(byte, b'"' | b'\\')) => {
                    inner.into()
                }
                _ => serde_json::from_str::<Box<str>>(raw).ok()?,
            }),
            b'-' | b'0'..=b'9' => integer(raw)?,
            _ => return None,
        };
        let plain = match &key {
            Key::Int(_) => {
                let digits = raw.strip_prefix('-').unwrap_or(raw);
                raw == "0" || !digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit())
            }
            Key::Big(digits) => **digits == *raw,
            Key::Text(text) => raw.len() == text.len() + 2 && memchr::memchr(b'\\', raw.as_bytes()).is_none(),
        };
        Some(Self { key, raw: (!plain).then(|| raw.into()) })
    }

    /// The string id with this value.
    pub fn text(value: &str) -> Self {
        Self { key: Key::Text(value.into()), raw: None }
    }

    /// The value if it is a string.
    pub fn as_text(&self) -> Option<&str> {
        match &self.key {
            Key::Text(text) => Some(text),
            Key::Int(_) | Key::Big(_) => None,
        }
    }

    /// The other spelling that lenient programs use: the decimal text of an integer, or the integer of such a text.
    /// `None` for any other text. SDK clients take one for the other, so servers get away with it.
    pub fn twin(&self) -> Option<Self> {
        let key = match &self.key {
            Key::Int(number) => Key::Text(number.to_string().into()),
            Key::Big(digits) => Key::Text(digits.clone()),
            Key::Text(text) => match text.as_bytes().first() {
                Some(b'-' | b'0'..=b'9') => integer(text)?,
                _ => return None,
            },
        };
        Some(Self { key, raw: None })
    }

    /// Whether every reader takes the two spellings for the same id. A strict reader distinguishes `1` from `1.0`, and
    /// none distinguishes `"a"` from `"\u0061"`.
    pub fn is_spelled_like(&self, other: &Self) -> bool {
        self.key == other.key && (self.raw == other.raw || matches!(self.key, Key::Text(_)))
    }

    /// How many bytes it holds besides itself.
    pub fn size(&self) -> usize {
        let key = match &self.key {
            Key::Int(_) => 0,
            Key::Big(text) | Key::Text(text) => text.len(),
        };
        key + self.raw.as_ref().map_or(0, |raw| raw.len())
    }

    /// The JSON text to write: the one that came, where one came.
    pub fn to_json(&self) -> String {
        if let Some(raw) = &self.raw {
            return raw.to_string();
        }
        match &self.key {
            Key::Int(number) => number.to_string(),
            Key::Big(digits) => digits.to_string(),
            Key::Text(text) => serde_json::Value::from(&**text).to_string(),
        }
    }
}

fn integer(raw: &str) -> Option<Key> {
    if let Ok(number) = raw.parse::<i64>() {
        return Some(Key::Int(number));
    }
    let digits = raw.strip_prefix('-').unwrap_or(raw);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Key::Big(raw.into()));
    }
    // `1.0` and `1e3` are integers to JSON Schema and to every server that reads numbers as floats.
    let float = raw.parse::<f64>().ok()?;
    // Beyond 2^53 a float no longer says which integer was meant.
    let exact = float.fract() == 0.0 && float.abs() <= 9_007_199_254_740_992.0;
    exact.then(|| format!("{float:.0}").parse().ok().map(Key::Int))?
}

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Id {}

impl PartialOrd for Id {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Id {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.key, &other.key) {
            // What nearly all of them are.
            (Key::Int(this), Key::Int(other)) => this.cmp(other),
            (this, other) => this.cmp(other),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::Id;

    fn id(raw: &str) -> Id {
        Id::from_json(raw).unwrap()
    }

    #[test]
    fn ids_are_compared_by_value_and_type() {
        assert_ne!(id("0"), id("\"0\""));
        assert_eq!(id("\"a\""), id("\"\\u0061\""));
        assert_eq!(id("10"), id("1e1"));
        assert_eq!(id("1"), id("1.0"));
        assert_ne!(id("9007199254740993"), id("9007199254740992"));
        assert_ne!(id("123456789012345678901"), id("123456789012345678902"));
    }

    #[test]
    fn ids_are_written_as_they_came() {
        for raw in ["0", "-0", "1.0", "1e1", "\"\\u0061\"", "\"a/b\"", "123456789012345678901", "\"\u{e4}\""]
        {
            assert_eq!(id(raw).to_json(), raw);
        }
    }

    #[test]
    fn an_integer_and_its_decimal_text_are_twins() {
        for (one, other) in
            [("0", "\"0\""), ("-7", "\"-7\""), ("123456789012345678901", "\"123456789012345678901\"")]
        {
            assert_eq!(id(one).twin(), Some(id(other)));
            assert_eq!(id(other).twin(), Some(id(one)));
        }
        assert_eq!(id("1.0").twin(), Some(id("\"1\"")));
        assert_eq!(id("\"1.0\"").twin(), Some(id("1")), "as JavaScript reads it");
        for alone in ["\"\"", "\"a\"", "\"1a\"", "\"-\"", "\"1.5\"", "\" 1\"", "\"mcp-supervise:2:ping:1\""] {
            assert_eq!(id(alone).twin(), None, "{alone}");
        }
    }

    #[test]
    fn spellings_are_told_apart_where_a_strict_reader_does() {
        assert!(id("1").is_spelled_like(&id("1")) && id("\"a\"").is_spelled_like(&id("\"\\u0061\"")));
        for (one, other) in [("1", "1.0"), ("0", "-0"), ("10", "1e1"), ("1", "\"1\"")] {
            assert!(!id(one).is_spelled_like(&id(other)), "{one} {other}");
        }
    }

    #[test]
    fn what_is_no_id_is_none() {
        for raw in ["null", "1.5", "true", "{}", "[1]", "", "-", "1e400", "\"open"] {
            assert!(Id::from_json(raw).is_none(), "{raw}");
        }
    }
}
