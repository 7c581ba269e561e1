//! The server that is measured with: it does as little as a server can, so that what is in between shows.
//!
//! One thread, blocking reads. It answers each request with a result of about the request's length, by the shape that
//! [`host`](crate::host) gives its lines and without parsing them. Several requests of one read are answered in one write.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::process;

/// What every request begins with; its id follows.
pub(crate) const HEAD: &[u8] = br#"{"jsonrpc":"2.0","id":"#;
/// What comes before the filling of a call.
pub(crate) const PAD: &[u8] = br#""pad":""#;
/// What comes after it.
pub(crate) const TAIL: &[u8] = br#""}}}"#;

/// Serves until the end of stdin.
pub(crate) fn serve() {
    let mut stdin = File::from(io::stdin().as_fd().try_clone_to_owned().expect("stdin is open"));
    let mut stdout = File::from(io::stdout().as_fd().try_clone_to_owned().expect("stdout is open"));
    let mut buffer = vec![0; 64 * 1024];
    let (mut filled, mut seen) = (0, 0);
    let mut answers = Vec::new();
    loop {
        if filled == buffer.len() {
            buffer.resize(buffer.len() * 2, 0);
        }
        let Ok(count @ 1..) = stdin.read(&mut buffer[filled..]) else { return };
        filled += count;
        let mut begin = 0;
        while let Some(end) = memchr::memchr(b'\n', &buffer[seen..filled]) {
            answer(&buffer[begin..seen + end], &mut answers);
            begin = seen + end + 1;
            seen = begin;
        }
        buffer.copy_within(begin..filled, 0);
        filled -= begin;
        seen = filled;
        if stdout.write_all(&answers).is_err() {
            return;
        }
        answers.clear();
    }
}

fn answer(line: &[u8], answers: &mut Vec<u8>) {
    // Notifications, and the answers to requests that this server does not make.
    let Some(rest) = line.strip_prefix(HEAD) else { return };
    let digits = rest.iter().position(|byte| *byte == b',').unwrap_or(rest.len());
    answers.extend_from_slice(HEAD);
    answers.extend_from_slice(&rest[..digits]);
    let begin = &rest[..rest.len().min(200)];
    if has(begin, b"\"tools/call\"") {
        let pad = memchr::memmem::find(begin, PAD).map_or(rest.len(), |at| at + PAD.len());
        let pad = rest[pad..].strip_suffix(TAIL).unwrap_or_default();
        answers.extend_from_slice(br#","result":{"content":[{"type":"text","text":""#);
        answers.extend_from_slice(pad);
        answers.extend_from_slice(br#""}]}}"#);
    } else if has(begin, b"\"initialize\"") {
        answers.extend_from_slice(
            br#","result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"bench","version":"1"}}}"#,
        );
    } else if has(begin, b"\"tools/list\"") {
        // Who answers, for those who are to be killed.
        let pid = process::id();
        answers.extend_from_slice(
            format!(r#","result":{{"tools":[{{"name":"echo","title":"{pid}","inputSchema":{{"type":"object"}}}}]}}}}"#).as_bytes(),
        );
    } else {
        answers.extend_from_slice(br#","result":{}}"#);
    }
    answers.push(b'\n');
}

fn has(line: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(line, word).is_some()
}
