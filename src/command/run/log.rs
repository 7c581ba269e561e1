//! What the relay tells whoever reads the log: the engine's notes as events, and the server's noise within bounds.
//!
//! WARN is worth a person's attention, INFO is one line per event in a server's life, DEBUG one per request, TRACE one
//! per message that was not handed on. Lines are collected here and written by the relay, for stderr can block.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tracing::{debug, error, info, trace, warn};
use tracing_subscriber::fmt::MakeWriter;

use super::clock::Clock;
use crate::cli::LogFormat;
use crate::engine::guidance::exit_words;
use crate::engine::io::{Changed, Gen, GroupSignal};
use crate::engine::lease::io::{Cause, Fact};
use crate::engine::note::Note;
use crate::engine::phase::Phase;
use crate::mask::Mask;
use crate::report;

/// The most log lines that wait to be written; more are lost, for a log that nobody reads must not cost memory.
const LINES: usize = 1024;
/// How much noise goes to stderr in one second, in lines and in bytes.
const NOISE_LINES: u32 = 200;
const NOISE_BYTES: usize = 64 * 1024;
/// How much of the name of a tool or prompt goes into a line, in characters.
const NAME: usize = 128;
/// How much of one line of noise goes to stderr, in bytes.
const NOISE_LINE: usize = 4096;

/// What may be written of a line: servers, hosts and files have said some of it, and whoever reads it may do so on a terminal.
fn harmless(line: &[u8], format: LogFormat) -> Bytes {
    let plays = |byte: &u8| !matches!(byte, b' '..=b'~');
    let (line, end) = line.strip_suffix(b"\n").map_or((line, ""), |line| (line, "\n"));
    let text = String::from_utf8_lossy(line);
    let text = match format {
        LogFormat::Text if line.iter().any(plays) => report::line(&text),
        LogFormat::Json if line.iter().any(plays) => report::json(&text),
        LogFormat::Text | LogFormat::Json => text.into_owned(),
    };
    (text + end).into()
}

/// A log file.
#[derive(Debug)]
pub(super) struct LogFile {
    pub(super) file: File,
    pub(super) format: LogFormat,
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.file.write_all(&harmless(line, self.format))?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Log lines on their way to stderr.
#[derive(Clone, Debug)]
pub(super) struct LogLines {
    pile: Arc<Pile>,
    format: LogFormat,
}

#[derive(Debug, Default)]
struct Pile {
    lines: Mutex<VecDeque<Bytes>>,
    /// There may be some: looked at after every message.
    some: AtomicBool,
}

impl LogLines {
    pub(super) fn new(format: LogFormat) -> Self {
        Self { pile: Arc::default(), format }
    }

    fn pop(&self) -> Option<Bytes> {
        if !self.pile.some.load(Ordering::Acquire) {
            return None;
        }
        let mut lines = self.pile.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let line = lines.pop_front();
        self.pile.some.store(!lines.is_empty(), Ordering::Release);
        line
    }
}

impl Write for LogLines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut lines = self.pile.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() < LINES {
            lines.push_back(harmless(line, self.format));
        }
        self.pile.some.store(true, Ordering::Release);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for LogLines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The log of one relay.
#[derive(Debug)]
pub(super) struct Log {
    server: String,
    lines: LogLines,
    /// Why the server could last not be started. `None` once it has been. The same again, a minute later, is no news.
    failure: Option<String>,
    /// It was told that the server is not available, and it has not served since.
    unavailable: bool,
}

impl Log {
    pub(super) fn new(server: String, lines: LogLines) -> Self {
        Self { server, lines, failure: None, unavailable: false }
    }

    pub(super) fn next_line(&self) -> Option<Bytes> {
        self.lines.pop()
    }

    pub(super) fn signal_failed(&self, child: Gen, signal: GroupSignal, error: &io::Error) {
        let server = &self.server;
        error!(target: "mcp-supervise:child", server, child = child.0, ?signal, %error, "signal not delivered");
    }

    pub(super) fn output_lost(&self, error: &io::Error) {
        let server = &self.server;
        error!(target: "mcp-supervise", server, "failed to write to stdout: {error}; messages for the host are lost");
    }

    /// Logs what is done without.
    pub(super) fn fault(&self, fault: &str) {
        let server = &self.server;
        warn!(target: "mcp-supervise:beside", server, "failed to {fault}; going on without");
    }

    /// Logs what has become of the session token, which it does not know.
    fn session(&self, fact: &Fact) {
        let server = &self.server;
        match fact {
            Fact::Adopted(token) => {
                info!(target: "mcp-supervise:token", server, token = token.0, "using another session token");
            }
            Fact::Renewed(token) => {
                info!(target: "mcp-supervise:token", server, token = token.0, "the session token was renewed");
            }
            Fact::Revived(token) => info!(
                target: "mcp-supervise:token", server, token = token.0, "the session token is accepted again"
            ),
            Fact::NotRenewed(why) => warn!(
                target: "mcp-supervise:token", server, why, "failed to renew the session token; it serves on and is tried again"
            ),
            Fact::NoMoreRenewals(why) => warn!(
                target: "mcp-supervise:token", server, why, "the session is not renewed any more; it ends when its time is over"
            ),
            Fact::NotWritten(why) => warn!(
                target: "mcp-supervise:token", server,
                "the token file {why}; the new token is used all the same, and writing it is tried again"
            ),
            Fact::Absent => warn!(
                target: "mcp-supervise:token", server,
                "there is no session token: tool calls are answered with guidance until there is one"
            ),
            Fact::NotUsable(why) => {
                warn!(target: "mcp-supervise:token", server, "the token file {why}; it is not used");
            }
            Fact::Expired(cause) => {
                let why = match cause {
                    Cause::Time => "its time is over",
                    Cause::Request => "a request was refused",
                    Cause::Renewal => "its renewal was refused",
                };
                warn!(target: "mcp-supervise:token", server, why, "the session has expired");
            }
        }
    }

    /// Logs something of these rooms that is worth a person's attention.
    pub(super) fn warning(&self, text: &str) {
        warn!(target: "mcp-supervise:beside", server = self.server, "{text}");
    }

    /// Logs that changes on disk are seen from now on.
    pub(super) fn watching(&self) {
        debug!(target: "mcp-supervise:beside", server = self.server, "watching for changes");
    }

    /// Whether a fact is worth a person's attention again: what is tried every minute may fail every minute. Logs it
    /// quietly if it is not.
    fn is_news(&mut self, note: &Note) -> bool {
        let server = &self.server;
        if let Note::SpawnFailed { reason, .. } = note {
            if self.failure.as_ref() == Some(reason) {
                info!(target: "mcp-supervise:child", server, reason, "failed to start, as before");
                return false;
            }
            self.failure = Some(reason.clone());
        }
        if let Note::Phase { to, .. } = note {
            if *to == Phase::Degraded && self.unavailable {
                info!(target: "mcp-supervise:session", server, "the server is still not available");
                return false;
            }
            self.unavailable |= *to == Phase::Degraded;
            if *to == Phase::Serving {
                self.failure = None;
                self.unavailable = false;
            }
        }
        true
    }

    /// Logs a fact.
    pub(super) fn note(&mut self, note: &Note) {
        if !self.is_news(note) {
            return;
        }
        let server = self.server.as_str();
        match note {
            Note::Phase { to: Phase::Degraded, .. } => warn!(
                target: "mcp-supervise:session", server,
                "the server is not available; the host is answered with guidance, and the server is tried again"
            ),
            Note::Phase { from, to } => debug!(target: "mcp-supervise:session", server, %from, %to, "phase"),
            Note::Spawned { child, pid } => {
                info!(target: "mcp-supervise:child", server, child = child.0, pid, "started");
            }
            Note::SpawnFailed { child, fault: _, reason } => {
                warn!(target: "mcp-supervise:child", server, child = child.0, reason, "failed to start");
            }
            Note::Greeted { child, version, after } => info!(
                target: "mcp-supervise:session", server, child = child.0, version, after_ms = millis(*after), "serving"
            ),
            Note::VersionLowered { told, now } => warn!(
                target: "mcp-supervise:session", server, told, now,
                "the restarted server speaks a lower protocol version than the host was told"
            ),
            Note::ReplayRefused { method } => warn!(
                target: "mcp-supervise:session", server, method, "the restarted server refused what it was told again"
            ),
            Note::Exited { child, exit, crash: true, by_us } => {
                let how = exit_words(*exit, *by_us);
                warn!(target: "mcp-supervise:child", server, child = child.0, how, "the server ended");
            }
            Note::Exited { child, exit, crash: false, by_us } => {
                let how = exit_words(*exit, *by_us);
                info!(target: "mcp-supervise:child", server, child = child.0, how, "the server ended");
            }
            Note::Unusable { child, reason } => warn!(
                target: "mcp-supervise:child", server, child = child.0, reason, "the server is ended"
            ),
            Note::Back { child, away, again, restart } => {
                let back = back_words(*away, *again, *restart);
                warn!(target: "mcp-supervise:session", server, child = child.0, "{back}");
            }
            Note::Restarting { delay } => {
                info!(target: "mcp-supervise:session", server, delay_ms = millis(*delay), "restarting");
            }
            Note::HandedOff { child } => info!(
                target: "mcp-supervise:session", server, child = child.0, "the server asked for its restart"
            ),
            Note::Replaced { child, reason } => info!(
                target: "mcp-supervise:session", server, child = child.0, reason, "the server is replaced"
            ),
            Note::Suspect { child } => info!(
                target: "mcp-supervise:session", server, child = child.0,
                "the server does not answer pings; it is pinged again before the next request"
            ),
            Note::Hung { child } => warn!(
                target: "mcp-supervise:session", server, child = child.0, "the server hangs"
            ),
            Note::Changed { what: Changed::Watched } => {
                info!(target: "mcp-supervise:session", server, "watched files have changed");
            }
            Note::Changed { what: Changed::Executable } => info!(
                target: "mcp-supervise:session", server,
                "the server's executable has changed; a server that runs goes on as it is"
            ),
            Note::Changed { what: Changed::Token } => {
                debug!(target: "mcp-supervise:token", server, "the token file has changed");
            }
            Note::Session { fact, .. } => self.session(fact),
            Note::Api { state } => {
                info!(target: "mcp-supervise:session", server, %state, "what is known of the API has changed");
            }
            Note::Named { peer, name, version } => {
                debug!(target: "mcp-supervise:session", server, ?peer, name, version, "said who it is");
            }
            Note::RestartAsked => info!(target: "mcp-supervise:session", server, "a restart was asked for"),
            Note::Requested { id, method, name } => debug!(
                target: "mcp-supervise:request", server, %id, method = &**method, name = named(name.as_deref()), "asked"
            ),
            // Told with each request that is done.
            Note::Heard | Note::Carried { .. } => {}
            Note::ChangesByItself => warn!(
                target: "mcp-supervise:session", server,
                "watched files have changed soon after each of the last starts: the server is restarted less often from \
                 now on; if it or its log writes them, let --watch leave them out"
            ),
            Note::LoginShellAnswered { shell, reason: None } => info!(
                target: "mcp-supervise:child", server, shell, "the login shell was asked for its PATH"
            ),
            Note::LoginShellAnswered { shell, reason: Some(reason) } => warn!(
                target: "mcp-supervise:child", server, shell, reason, "the login shell did not tell its PATH"
            ),
            Note::Retrying => info!(target: "mcp-supervise:session", server, "trying the server again"),
            Note::Done { id, method, name, took, is_error, bytes } => debug!(
                target: "mcp-supervise:request", server, %id, method = &**method, name = named(name.as_deref()),
                took_ms = millis(*took), is_error, bytes, "done"
            ),
            Note::Answered { id, method, name, status, took } => {
                let status = status.map_or("", |status| status.as_str());
                debug!(
                    target: "mcp-supervise:request", server, %id, method = &**method, name = named(name.as_deref()), status,
                    took_ms = millis(*took), "answered for the server"
                );
            }
            Note::Refused { id, again } => {
                info!(target: "mcp-supervise:token", server, %id, again, "a tool says that the token was refused");
            }
            Note::Repeated { id, method } => {
                info!(target: "mcp-supervise:request", server, %id, method = &**method, "sent again to the restarted server");
            }
            Note::Dropped { cause, bytes } => {
                trace!(target: "mcp-supervise:session", server, ?cause, bytes, "not handed on");
            }
            Note::Noise { child, bytes } => {
                trace!(target: "mcp-supervise:session", server, child = child.0, bytes, "no message on stdout");
            }
            Note::Mended { child } => {
                debug!(target: "mcp-supervise:session", server, child = child.0, "a text that is no UTF-8 was mended");
            }
            Note::NumbersMended { child } => warn!(
                target: "mcp-supervise:session", server, child = child.0,
                "the server sends numbers that JSON does not allow, such as NaN; the host gets null instead"
            ),
            Note::IdRespelled { child, asked, said } => warn!(
                target: "mcp-supervise:session", server, child = child.0, %asked, %said,
                "the server spells the id of its answer differently from the request; the host gets its own spelling"
            ),
            Note::Salvaged { child } => {
                debug!(target: "mcp-supervise:session", server, child = child.0, "a message was cut out of noise");
            }
            Note::Stopping { cause } => info!(target: "mcp-supervise:session", server, ?cause, "stopping"),
            Note::Stopped { code } => info!(target: "mcp-supervise:session", server, code, "stopped"),
        }
    }
}

/// `serving again after 3.3 s, restart 1 of 5 in 60 s`.
fn back_words(away: Duration, again: bool, restart: Option<(u32, u32, Duration)>) -> String {
    let again = if again { " again" } else { "" };
    let restart = restart.map_or_else(String::new, |(number, most, window)| {
        format!(", restart {number} of {most} in {} s", window.as_secs())
    });
    let seconds = away.as_secs_f64();
    let away = match away.as_millis() {
        0..100 => format!("{seconds:.2}"),
        100..10_000 => format!("{seconds:.1}"),
        _ => away.as_secs().to_string(),
    };
    format!("serving{again} after {away} s{restart}")
}

/// The name of a tool or prompt, cut to the room that a log line has. `None` where a request names none.
fn named(name: Option<&str>) -> Option<&str> {
    let name = name?;
    Some(name.char_indices().nth(NAME).map_or(name, |(end, _)| &name[..end]))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The server's noise on its way to our stderr: masked, marked as what it is, and no more of it than a person can read.
#[derive(Debug)]
pub(super) struct Noise {
    server: String,
    mask: Mask,
    format: LogFormat,
    second: u64,
    lines: u32,
    bytes: usize,
    left_out: u64,
}

impl Noise {
    pub(super) fn new(server: String, mask: Mask, format: LogFormat) -> Self {
        Self { server, mask, format, second: 0, lines: 0, bytes: 0, left_out: 0 }
    }

    /// What to write for a line of noise at this time. `None` if it is one too many.
    pub(super) fn line(&mut self, line: &[u8], now: Duration, full: bool) -> Option<Bytes> {
        if now.as_secs() != self.second {
            self.second = now.as_secs();
            self.lines = 0;
            self.bytes = 0;
        }
        if full || self.lines >= NOISE_LINES || self.bytes >= NOISE_BYTES {
            self.left_out += 1;
            return None;
        }
        let before = self.summary();
        // Masked before it is cut, and a good deal more of it: half a secret would not be known as one.
        let seen = &line[..line.len().min(2 * NOISE_LINE)];
        let text = String::from_utf8_lossy(seen);
        let text = self.mask.apply(text.trim_end_matches(['\r', '\n']));
        let mut end = text.len().min(NOISE_LINE);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let shown = &text[..end];
        let is_cut = end < text.len() || seen.len() < line.len();
        self.lines += 1;
        self.bytes += shown.len();
        let line = match self.format {
            LogFormat::Text => {
                let more = if is_cut { " ..." } else { "" };
                self.words(&format!("printed to stdout: {shown}{more}"))
            }
            LogFormat::Json => self.object("the server printed to stdout what is no message", |object| {
                object["line"] = shown.into();
                object["cut"] = is_cut.into();
            }),
        };
        Some(match before {
            Some(before) => [before, line].concat().into(),
            None => line,
        })
    }

    /// How much was left out, where something was.
    pub(super) fn summary(&mut self) -> Option<Bytes> {
        let left_out = std::mem::take(&mut self.left_out);
        (left_out > 0).then(|| match self.format {
            LogFormat::Text => {
                self.words(&format!("printed {left_out} more lines to stdout that are no messages"))
            }
            LogFormat::Json => {
                self.object("the server printed more lines to stdout that are no messages", |object| {
                    object["lines"] = left_out.into();
                })
            }
        })
    }

    /// A line for a person.
    fn words(&self, what: &str) -> Bytes {
        harmless(format!("mcp-supervise: {} {what}\n", self.server).as_bytes(), LogFormat::Text)
    }

    /// A line for a program, with the members that each line of the log has.
    fn object(&self, message: &str, fill: impl FnOnce(&mut serde_json::Value)) -> Bytes {
        let nanos = i128::try_from(Clock::wall().as_nanos()).unwrap_or_default();
        let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok();
        let mut object = json!({
            "timestamp": time.and_then(|time| time.format(&Rfc3339).ok()),
            "level": "INFO",
            "target": "mcp-supervise:stdout",
            "server": self.server,
            "message": message,
        });
        fill(&mut object);
        harmless(format!("{object}\n").as_bytes(), LogFormat::Json)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use std::io::{Read as _, Seek as _, Write as _};

    use super::{LogFile, LogLines, NOISE_LINE, NOISE_LINES, Noise, back_words};
    use crate::cli::LogFormat;
    use crate::mask::Mask;

    #[test]
    fn words_of_others_do_nothing_to_a_terminal_and_make_no_lines() {
        let odd = "a\u{1b}[2J\u{9b}\u{61c}\u{202e}\u{2028}\u{e0041}\r\nb";
        let (bad, harmless) = (format!("{odd}\n"), format!("a [2J{}b\n", " ".repeat(7)));
        let mut lines = LogLines::new(LogFormat::Text);
        lines.write_all(bad.as_bytes()).unwrap();
        assert_eq!(lines.pop().unwrap(), harmless);
        let mut file = LogFile { file: tempfile::tempfile().unwrap(), format: LogFormat::Text };
        file.write_all(bad.as_bytes()).unwrap();
        let mut text = String::new();
        file.file.rewind().unwrap();
        file.file.read_to_string(&mut text).unwrap();
        assert_eq!(text, harmless);
        let mut noise = Noise::new(odd.to_owned(), Mask::default(), LogFormat::Text);
        let shown = noise.line(bad.as_bytes(), Duration::ZERO, false).unwrap();
        let harmless = harmless.trim_end();
        assert_eq!(shown, format!("mcp-supervise: {harmless} printed to stdout: {harmless}\n"));
    }

    #[test]
    fn a_log_for_programs_has_the_noise_as_json_too() {
        let mut noise = Noise::new("demo".to_owned(), Mask::default(), LogFormat::Json);
        let mut lines = String::new();
        for line in ["hello Bearer abc\r\n", "\u{1b}\u{202e}\u{e0041}\"\n", &"x".repeat(NOISE_LINE + 1)] {
            let line = noise.line(line.as_bytes(), Duration::ZERO, false).unwrap();
            lines.push_str(std::str::from_utf8(&line).unwrap());
        }
        assert!(noise.line(b"y", Duration::ZERO, true).is_none());
        lines.push_str(std::str::from_utf8(&noise.summary().unwrap()).unwrap());
        assert!(lines.bytes().all(|byte| matches!(byte, b' '..=b'~' | b'\n')), "{lines}");
        let told: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(told.iter().all(|line| line["server"] == "demo" && line["timestamp"].is_string()), "{lines}");
        let said: Vec<_> = told.iter().map(|line| &line["line"]).collect();
        let cut = "x".repeat(NOISE_LINE);
        assert_eq!(said[..2], ["hello Bearer ***", "\u{1b}\u{202e}\u{e0041}\""]);
        assert_eq!((said[2], &told[2]["cut"]), (&cut.into(), &true.into()));
        assert_eq!((&told[3]["lines"], told.len()), (&1.into(), 4));
    }

    #[test]
    fn a_server_that_is_back_is_told_in_words() {
        let window = Duration::from_secs(60);
        for (away, again, restart, words) in [
            (3_312, true, Some((1, 5, window)), "serving again after 3.3 s, restart 1 of 5 in 60 s"),
            (40, true, Some((2, 5, window)), "serving again after 0.04 s, restart 2 of 5 in 60 s"),
            (75_900, true, None, "serving again after 75 s"),
            (1_000, false, Some((5, 5, window)), "serving after 1.0 s, restart 5 of 5 in 60 s"),
        ] {
            assert_eq!(back_words(Duration::from_millis(away), again, restart), words);
        }
    }

    #[test]
    fn a_secret_at_the_cut_is_masked_whole() {
        let environment = [("A_TOKEN".to_owned(), "sesame-open-wide".to_owned())];
        let mut noise = Noise::new("demo".to_owned(), Mask::new(environment.into_iter()), LogFormat::Text);
        let line = format!("{}sesame-open-wide\n", "\u{e4}".repeat(NOISE_LINE / 2 - 4));
        let shown =
            String::from_utf8(noise.line(line.as_bytes(), Duration::ZERO, false).unwrap().to_vec()).unwrap();
        assert!(!shown.contains("sesame") && shown.ends_with("***\n"), "{shown}");
    }

    #[test]
    fn noise_is_marked_masked_and_bounded() {
        let mut noise = Noise::new("demo".to_owned(), Mask::default(), LogFormat::Text);
        let first = noise.line(b"hello Bearer abc\r\n", Duration::ZERO, false).unwrap();
        assert_eq!(first, "mcp-supervise: demo printed to stdout: hello Bearer ***\n");
        let shown = (0..1000).filter(|_| noise.line(b"x\n", Duration::ZERO, false).is_some()).count();
        assert_eq!(shown, NOISE_LINES as usize - 1);
        let next = noise.line(b"y\n", Duration::from_secs(1), false).unwrap();
        assert_eq!(
            next,
            "mcp-supervise: demo printed 801 more lines to stdout that are no messages\nmcp-supervise: demo printed to stdout: y\n"
        );
        assert!(noise.line(b"z\n", Duration::from_secs(1), true).is_none());
    }
}
