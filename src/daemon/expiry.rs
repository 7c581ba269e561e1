//! When a session ends: read in both of the forms that daemons write it in, and shown in one.

use std::fmt;

use serde_json::Value;
use time::format_description::well_known::{Iso8601, Rfc3339};
use time::{OffsetDateTime, PrimitiveDateTime};

/// When a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// Not by itself.
    Never,
    /// At this time.
    At(OffsetDateTime),
}

impl Expiry {
    /// Reads seconds since the Unix epoch, where 0 is never, or ISO 8601, which is UTC if it does not say. `None` if it is
    /// neither.
    pub(super) fn read(value: &Value) -> Option<Self> {
        match value {
            Value::Number(seconds) => match seconds.as_f64()? {
                0.0 => Some(Self::Never),
                // Whole seconds are enough, and a time beyond what can be written is none: the cast does not wrap.
                #[expect(clippy::cast_possible_truncation, reason = "see above")]
                seconds if seconds > 0.0 => {
                    OffsetDateTime::from_unix_timestamp(seconds as i64).ok().map(Self::At)
                }
                _ => None,
            },
            Value::String(text) => OffsetDateTime::parse(text, &Rfc3339)
                .or_else(|_| OffsetDateTime::parse(text, &Iso8601::DEFAULT))
                .or_else(|_| {
                    PrimitiveDateTime::parse(text, &Iso8601::DEFAULT).map(PrimitiveDateTime::assume_utc)
                })
                .ok()
                .map(Self::At),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// Seconds since the Unix epoch. `None` for never.
    pub fn seconds(self) -> Option<i64> {
        match self {
            Self::Never => None,
            Self::At(time) => Some(time.unix_timestamp()),
        }
    }

    /// A time as tokens have it, since the Unix epoch. One that cannot be written is never.
    pub fn from_epoch(time: std::time::Duration) -> Self {
        let seconds = i64::try_from(time.as_secs()).ok();
        seconds
            .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
            .map_or(Self::Never, Self::At)
    }
}

impl fmt::Display for Expiry {
    /// As words that fit after "lasts".
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::At(time) = self else { return formatter.write_str("until it is revoked") };
        // The same moment everywhere; only a year that no four digits hold could fail, and it stays as it is then.
        let time = time.checked_to_offset(time::UtcOffset::UTC).unwrap_or(*time);
        let ((hour, minute, second), month) = (time.to_hms(), u8::from(time.month()));
        let (year, day) = (time.year(), time.day());
        write!(formatter, "until {year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
    }
}
