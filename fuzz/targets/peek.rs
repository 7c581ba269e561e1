//! A line to a message: whatever it is, it is read without harm, and what is found in it is what a parser finds.

#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use mcp_supervise::wire::{Frame, Message, Parsed, edit, mend, peek, salvage};
use serde_json::Value;
use serde_json::value::RawValue;

fuzz_target!(|bytes: &[u8]| {
    let line = Bytes::copy_from_slice(bytes);
    let _ = Frame::read(line.clone());
    for salvaged in salvage(&line, true) {
        assert!(matches!(Frame::read(salvaged.bytes).parsed, Parsed::One(_)), "what is cut out is a message");
    }
    if let Some(mended) = mend(&line) {
        serde_json::from_slice::<&RawValue>(&mended.frame.bytes).expect("what is mended is JSON");
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
            Message::Response(response) => {
                let other = if response.is_error { "result" } else { "error" };
                assert!(parsed.get(other).is_none_or(Value::is_null), "there is one of the two");
            }
        }
        if edit::find(text, &["params", "_meta"]).is_some() {
            let changed = edit::replace(&line, &["params", "_meta"], "null");
            let changed: Value = serde_json::from_slice(&changed).expect("it is JSON still");
            assert_eq!(changed["params"]["_meta"], Value::Null);
        }
    }
});
