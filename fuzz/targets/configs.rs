//! The configs of hosts: whatever the text is, what is wrapped and unwrapped is what it was, and twice is once.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_supervise::hosts::{Document, Server, Shape, State, with_servers};

fn split(words: &[String]) -> Option<usize> {
    let at = words.iter().position(|word| word == "--")? + 1;
    (at < words.len()).then_some(at)
}

fn all(document: &Document<'_>, state: &State) -> Vec<Server> {
    document.servers().iter().filter(|server| server.state == *state).cloned().collect()
}

fn wrap(text: &str) -> String {
    let document = Document::read(text, Shape::Unknown, &split).expect("it was read before");
    let plain = all(&document, &State::Plain);
    document.wrapped(&plain.iter().collect::<Vec<_>>(), "/usr/bin/mcp-supervise", &|_| &[])
}

fn unwrap(text: &str) -> String {
    let document = Document::read(text, Shape::Unknown, &split).expect("what we write can be read");
    let wrapped = all(&document, &State::Wrapped);
    document.unwrapped(&wrapped.iter().collect::<Vec<_>>())
}

fuzz_target!(|text: &str| {
    let Ok(document) = Document::read(text, Shape::Unknown, &split) else { return };
    let _ = document.shown(&|words| words.to_vec());
    let _ = with_servers(text, Shape::Unknown, &[("new".to_owned(), vec![("command", "x".into())])]);
    let wrapped = wrap(text);
    assert_eq!(wrap(&wrapped), wrapped);
    // What somebody else has wrapped comes out too, and is read again.
    let unwrapped = unwrap(&wrapped);
    if all(&document, &State::Wrapped).is_empty() {
        assert_eq!(unwrapped, text);
    }
    Document::read(&unwrapped, Shape::Unknown, &split).expect("what we write can be read");
});
