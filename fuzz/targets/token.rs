//! The text of a token file: read or refused, and the same with a line end behind it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_supervise::token::Form;

fuzz_target!(|text: &[u8]| {
    for (prefix, opaque) in [("wai_sess_", false), ("", true)] {
        let form = Form { prefix: prefix.to_owned(), opaque };
        let read = form.read(text).map(|credential| credential.claims);
        // What an editor adds is no part of it.
        let again = form.read(&[text, b" \r\n"].concat()).map(|credential| credential.claims);
        assert_eq!(format!("{read:?}"), format!("{again:?}"));
    }
});
