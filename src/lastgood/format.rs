//! The text of a file: JSON with one entry a line, so that a person can read and search it.
//!
//! ```text
//! {"format":1,"entries":[
//! {"era":"legacy","version":"2025-06-18","method":"tools/list","cursor":"\"next\"","result":{...}},
//! ...
//! ]}
//! ```
//!
//! `result` is the server's own text, byte for byte. `cursor` is JSON text inside a string, and is not there for a first
//! page: a cursor that is `null` is another thing. What is not exactly of this shape is refused as a whole, and the words
//! for it quote nothing of it. No I/O but what the caller's writer does.

use std::borrow::Cow;
use std::io::{self, Write};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::entries::{Entries, Entry};
use super::fault::{Misfit, Unusable};
use crate::engine::io::{Era, Good};

/// The longest file that is written, in bytes.
pub(super) const LONGEST_WRITTEN: usize = 16 * 1024 * 1024;

const FORMAT: u64 = 1;
const HEAD: &str = "{\"format\":1,\"entries\":[\n";
const BETWEEN: &str = ",\n";
const FOOT: &str = "\n]}\n";

#[derive(Deserialize)]
struct Head {
    format: u64,
}

#[derive(Deserialize)]
struct Body<'a> {
    #[serde(borrow)]
    entries: Vec<&'a RawValue>,
}

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    era: Age,
    #[serde(borrow)]
    version: Cow<'a, str>,
    #[serde(borrow)]
    method: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    cursor: Option<Cow<'a, str>>,
    #[serde(borrow)]
    result: &'a RawValue,
}

/// An [`Era`] under the name that it has in files.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Age {
    Legacy,
    Modern,
}

/// What the engine hands out, as it will be in the file. Fails where it cannot be there.
pub(super) fn entry(good: Good) -> Result<Entry, Misfit> {
    let entry = Entry::try_from(good)?;
    if weight(&entry) > room() { Err(Misfit::TooLarge) } else { Ok(entry) }
}

/// Reads a whole file. An entry that comes twice is merged as if it had been learned twice.
pub(super) fn read(text: &[u8]) -> Result<Entries, Unusable> {
    // A struct can be made of an array too, and that is not what we write.
    if text.first() != Some(&b'{') {
        return Err(Unusable::NotJson { line: 1, column: 1 });
    }
    let head: Head = serde_json::from_slice(text).map_err(|error| refusal(&error))?;
    if head.format != FORMAT {
        return Err(Unusable::Format(head.format));
    }
    let body: Body<'_> = serde_json::from_slice(text).map_err(|error| refusal(&error))?;
    let mut entries = Entries::default();
    for line in body.entries {
        if !line.get().starts_with('{') {
            return Err(Unusable::Shape);
        }
        let line: Line<'_> = serde_json::from_str(line.get()).map_err(|_| Unusable::Shape)?;
        let era = match line.era {
            Age::Legacy => Era::Legacy,
            Age::Modern => Era::Modern,
        };
        let cursor = line.cursor.map(Cow::into_owned);
        let (version, method) = (line.version.into_owned(), line.method.into_owned());
        let entry = Entry::new(era, version, method, cursor, line.result.to_owned());
        entries.merge(entry.map_err(|_| Unusable::Shape)?);
    }
    Ok(entries)
}

/// Removes what does not fit a file.
pub(super) fn trim(entries: &mut Entries) {
    entries.trim(room(), weight);
}

/// Writes a whole file.
pub(super) fn write(entries: &Entries, mut to: impl Write) -> io::Result<()> {
    to.write_all(HEAD.as_bytes())?;
    for (at, entry) in entries.iter().enumerate() {
        if at > 0 {
            to.write_all(BETWEEN.as_bytes())?;
        }
        serde_json::to_writer(&mut to, &line(entry))?;
    }
    to.write_all(FOOT.as_bytes())
}

fn line(entry: &Entry) -> Line<'_> {
    Line {
        era: match entry.era {
            Era::Legacy => Age::Legacy,
            Era::Modern => Age::Modern,
        },
        version: Cow::Borrowed(&entry.version),
        method: Cow::Borrowed(&entry.method),
        cursor: entry.cursor.as_deref().map(Cow::Borrowed),
        result: &entry.result,
    }
}

/// How many bytes there are for entries.
fn room() -> usize {
    LONGEST_WRITTEN - HEAD.len() - FOOT.len()
}

/// How many bytes an entry takes in a file.
pub(super) fn weight(entry: &Entry) -> usize {
    let mut counter = Counter(BETWEEN.len());
    // Neither the counter nor an entry can fail to be written.
    let _ = serde_json::to_writer(&mut counter, &line(entry));
    counter.0
}

struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Only where it is wrong: the parser's own words quote what it found.
fn refusal(error: &serde_json::Error) -> Unusable {
    if error.is_data() {
        Unusable::Shape
    } else {
        Unusable::NotJson { line: error.line(), column: error.column() }
    }
}
