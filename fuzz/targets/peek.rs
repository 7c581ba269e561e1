//! A line to a message: whatever it is, it is read without harm, and what is found in it is what a parser finds.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use mcp_supervise::wire::{Frame, Message, edit, peek, salvage};
use serde_json::Value;
use serde_json::value::RawValue;

fuzz_target!(|bytes: &[u8]| {
    let _ = Frame::read(Bytes::copy_from_slice(bytes));
    for salvaged in salvage(bytes) {
        drop(salvaged);
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let parsed: Result<Value, _> = serde_json::from_str(text);
    if let Ok(message) = peek(text) {
        // Half of a surrogate pair and a number beyond all others are JSON by its grammar, and hosts read them; this parser has
        // no value for them.
        serde_json::from_str::<&RawValue>(text).expect("what is a message is JSON");
        let Ok(parsed) = parsed else { return };
        assert_eq!(parsed["jsonrpc"], "2.0");
        match message {
            Message::Request(_) => assert!(parsed["method"].is_string() && parsed.get("id").is_some()),
            Message::Notification(_) => assert!(parsed["method"].is_string() && parsed.get("id").is_none()),
            Message::Response(_) => assert!(parsed.get("result").is_some() != parsed.get("error").is_some()),
        }
        let line = Bytes::copy_from_slice(bytes);
        if edit::find(text, &["params", "_meta"]).is_some() {
            let changed = edit::replace(&line, &["params", "_meta"], "null");
            let changed: Value = serde_json::from_slice(&changed).expect("it is JSON still");
            assert_eq!(changed["params"]["_meta"], Value::Null);
        }
    }
});
