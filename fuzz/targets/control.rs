//! What comes in on the control socket: answered or refused, and never more than one answer to a request that is none.

#![no_main]

use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use mcp_supervise::control::Service;
use mcp_supervise::ledger::{Ledger, Session, Shared};
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made")
});
static SERVICE: LazyLock<Service> = LazyLock::new(|| {
    let ledger = Ledger::new(Session::begins("0198f0c2-0000-7000-8000-000000000001".to_owned(), 0));
    let (orders, taken) = tokio::sync::mpsc::unbounded_channel();
    // Orders are taken by nobody, and are none the less.
    std::mem::forget(taken);
    Service::new(Arc::new(Shared::new(ledger)), orders, "--hold 5s")
});

fuzz_target!(|bytes: &[u8]| {
    // Who listens to events is told of them for ever.
    if bytes.windows(7).any(|part| part.eq_ignore_ascii_case(b"/events")) {
        return;
    }
    let (mut ours, theirs) = UnixStream::pair().expect("a pair can be made");
    theirs.set_nonblocking(true).expect("it can be set");
    ours.set_read_timeout(Some(Duration::from_secs(20))).expect("it can be set");
    RUNTIME.block_on(async {
        SERVICE.answer(tokio::net::UnixStream::from_std(theirs).expect("it is one"));
    });
    let _ = ours.write_all(bytes);
    let _ = ours.shutdown(Shutdown::Write);
    let mut answer = Vec::new();
    ours.read_to_end(&mut answer).expect("the connection is ended");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{:?}", String::from_utf8_lossy(&answer));
});
