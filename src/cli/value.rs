//! The texts of options: durations and sizes. Pure functions; their errors are whole sentences that name the forms
//! which would have been accepted, because clap shows nothing else.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// No wait is longer than this: the engine adds durations to points in time, and must never overflow.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What a daemon gives at least, by its own rules.
const SHORTEST_SESSION: Duration = Duration::from_secs(300);

/// Largest accepted size: lines are held in memory, twice this can still be counted in a `usize` of 32 bits.
const LARGEST: u64 = 1 << 30;

/// A duration: digits and a unit, `250ms`, `10s`, `5m` or `1h`; `0` needs no unit. At most a year.
pub fn duration(text: &str) -> Result<Duration, String> {
    const FORMS: &str = "write it as 250ms, 10s, 5m or 1h";
    let (count, unit) = number(text, FORMS)?;
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        "" if count == Some(0) => 1,
        "" => return Err(format!("the unit is missing; {FORMS}")),
        other => return Err(format!("`{other}` is no unit of time; {FORMS}")),
    };
    count
        .and_then(|count| count.checked_mul(millis))
        .map(Duration::from_millis)
        .filter(|duration| *duration <= LONGEST)
        .ok_or_else(|| format!("longer than a year; {FORMS}"))
}

/// An age: as a duration, or in days, `90d`. At most a year.
pub fn age(text: &str) -> Result<Duration, String> {
    const FORMS: &str = "write it as 90d, 12h or 30m";
    let days = text.strip_suffix('d').map(|count| number(count, FORMS));
    match days {
        Some(Ok((count, ""))) => count
            .and_then(|count| count.checked_mul(24 * 60 * 60))
            .map(Duration::from_secs)
            .filter(|age| *age <= LONGEST)
            .ok_or_else(|| format!("longer than a year; {FORMS}")),
        Some(Err(why)) => Err(why),
        Some(Ok(_)) | None => {
            duration(text).map_err(|why| why.replace("250ms, 10s, 5m or 1h", "90d, 12h or 30m"))
        }
    }
}

/// A tool, and its arguments as a JSON object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its name.
    pub tool: String,
    /// The JSON text of an object.
    pub arguments: String,
}

/// A call: the name of a tool, and its arguments as a JSON object, which may be left out. The JSON is read later.
pub fn call(text: &str) -> Result<Call, String> {
    const FORM: &str = r#"write it as 'add {"a": 1, "b": 2}'"#;
    let text = text.trim();
    let (tool, arguments) = text.split_once(char::is_whitespace).unwrap_or((text, "{}"));
    let arguments = arguments.trim();
    if tool.is_empty() || tool.starts_with('{') {
        return Err(format!("the tool's name is missing; {FORM}"));
    }
    if !arguments.starts_with('{') || !arguments.ends_with('}') {
        return Err(format!("the arguments are no JSON object; {FORM}"));
    }
    Ok(Call { tool: tool.to_owned(), arguments: arguments.to_owned() })
}

/// A duration of whole seconds, for those who count in them.
pub fn seconds(text: &str) -> Result<Duration, String> {
    let duration = duration(text)?;
    if duration.subsec_nanos() == 0 {
        Ok(duration)
    } else {
        Err("write it in whole seconds, as 300s".to_owned())
    }
}

/// How long a session of the daemon may last: whole seconds, from five minutes to a year.
pub fn session_life(text: &str) -> Result<Duration, String> {
    let life = seconds(text)?;
    if life >= SHORTEST_SESSION { Ok(life) } else { Err("a session lasts from 300s to 8760h".to_owned()) }
}

/// A size in bytes: digits, alone or with a unit, `65536`, `64KiB` or `10MiB`. At least one byte, at most 1 GiB.
pub fn size(text: &str) -> Result<usize, String> {
    const FORMS: &str = "write it as 65536, 64KiB or 10MiB";
    let (count, unit) = number(text, FORMS)?;
    let bytes: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        other => return Err(format!("`{other}` is no unit of size; {FORMS}")),
    };
    let size = count
        .and_then(|count| count.checked_mul(bytes))
        .filter(|size| *size <= LARGEST)
        .and_then(|size| usize::try_from(size).ok())
        .ok_or_else(|| format!("larger than 1 GiB; {FORMS}"))?;
    if size == 0 { Err(format!("must not be 0; {FORMS}")) } else { Ok(size) }
}

/// A path that no shell has looked at: hosts hand on what is written, and `~` is a shell's word for the home directory.
pub fn full_path(path: PathBuf) -> Result<PathBuf, String> {
    if path.starts_with("~") {
        return Err("write the path in full; only a shell knows what `~` stands for".to_owned());
    }
    Ok(path)
}

/// The name of an environment variable.
pub fn variable(name: OsString) -> Result<OsString, String> {
    let bytes = name.as_encoded_bytes();
    if bytes.is_empty() || bytes.contains(&b'=') {
        return Err("write the name of a variable, without its value".to_owned());
    }
    Ok(name)
}

/// A part of something: above 0 and below 1.
pub fn fraction(text: &str) -> Result<f64, String> {
    let part = text.parse::<f64>().ok().filter(|part| *part > 0.0 && *part < 1.0);
    part.ok_or_else(|| "write a part as 0.6, above 0 and below 1".to_owned())
}

/// A JSON pointer, by RFC 6901.
pub fn pointer(text: &str) -> Result<String, String> {
    if text.is_empty() || text.starts_with('/') {
        Ok(text.to_owned())
    } else {
        Err(format!("a JSON pointer begins with a slash: /{text}"))
    }
}

/// The digits in front and the unit behind them. The number is `None` when it has too many digits to be counted.
fn number<'a>(text: &'a str, forms: &str) -> Result<(Option<u64>, &'a str), String> {
    if text.is_empty() {
        return Err(format!("it is empty; {forms}"));
    }
    if text.starts_with('-') {
        return Err(format!("it must not be negative; {forms}"));
    }
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Err(format!("it does not start with a number; {forms}"));
    }
    let (digits, unit) = text.split_at(digits);
    Ok((digits.parse().ok(), unit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_are_read() {
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("250ms", 250),
            ("1200ms", 1200),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("007s", 7_000),
            ("8760h", 31_536_000_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn sessions_last_whole_seconds_within_the_daemons_limits() {
        for (text, secs) in
            [("300s", 300), ("5m", 300), ("300000ms", 300), ("24h", 86_400), ("8760h", 31_536_000)]
        {
            assert_eq!(session_life(text), Ok(Duration::from_secs(secs)), "{text}");
        }
        for (text, reason) in [
            ("0", "from 300s to 8760h"),
            ("299s", "from 300s to 8760h"),
            ("300500ms", "whole seconds"),
            ("8761h", "longer than a year"),
            ("300", "the unit is missing"),
        ] {
            let error = session_life(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
        assert_eq!(seconds("0"), Ok(Duration::ZERO));
        assert_eq!(seconds("1s"), Ok(Duration::from_secs(1)));
    }

    #[test]
    fn sizes_are_read() {
        for (text, bytes) in
            [("1", 1), ("65536", 65536), ("10B", 10), ("10176KiB", 10_420_224), ("64MiB", 64 << 20)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_told_with_the_forms() {
        for (text, reason) in [
            ("", "it is empty"),
            ("-5s", "must not be negative"),
            ("s", "does not start with a number"),
            (" 5s", "does not start with a number"),
            ("٣s", "does not start with a number"),
            ("5", "the unit is missing"),
            ("5 s", "` s` is no unit of time"),
            ("1.5s", "`.5s` is no unit of time"),
            ("5S", "`S` is no unit of time"),
            ("10days", "`days` is no unit of time"),
            ("8761h", "longer than a year"),
            ("18446744073709551615h", "longer than a year"),
            ("99999999999999999999ms", "longer than a year"),
        ] {
            let error = duration(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
            assert!(error.ends_with("write it as 250ms, 10s, 5m or 1h"), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_no_size_is_told_with_the_forms() {
        for (text, reason) in [
            ("", "it is empty"),
            ("-1", "must not be negative"),
            ("0", "must not be 0"),
            ("0MiB", "must not be 0"),
            ("MiB", "does not start with a number"),
            ("10MB", "`MB` is no unit of size"),
            ("10kib", "`kib` is no unit of size"),
            ("1.5MiB", "`.5MiB` is no unit of size"),
            ("1025MiB", "larger than 1 GiB"),
            ("18446744073709551615GiB", "larger than 1 GiB"),
            ("99999999999999999999", "larger than 1 GiB"),
        ] {
            let error = size(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
            assert!(error.ends_with("write it as 65536, 64KiB or 10MiB"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn every_duration_written_in_a_unit_is_read_back(count in 0_u64..8760, unit in 0_usize..4) {
            let (name, millis) = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)][unit];
            prop_assert_eq!(duration(&format!("{count}{name}")), Ok(Duration::from_millis(count * millis)));
        }

        #[test]
        fn no_text_is_read_as_more_than_the_limits(text in "[0-9]{0,25}(ms|s|m|h|B|KiB|MiB|GiB|x)?") {
            prop_assert!(duration(&text).is_ok_and(|d| d <= LONGEST) || duration(&text).is_err());
            prop_assert!(size(&text).is_ok_and(|s| (1..=1 << 30).contains(&s)) || size(&text).is_err());
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in any::<String>()) {
            let _ = duration(&text);
            let _ = size(&text);
        }
    }
}
