//! The configs of hosts: whatever the text is, what is wrapped and unwrapped is what it was, and twice is once.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_supervise::hosts::{Document, New, Server, Shape, State, Veil, with_servers};

/// Hides what has a name of an odd length, and what has a letter.
struct Hidden;

impl Veil for Hidden {
    fn words(&self, words: &[String]) -> Vec<String> {
        words.iter().map(|word| self.text(word)).collect()
    }

    fn text(&self, text: &str) -> String {
        text.replace('a', "***")
    }

    fn is_secret(&self, name: &str) -> bool {
        name.len() % 2 == 1
    }
}

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
    document.wrapped(&plain.iter().collect::<Vec<_>>(), "/usr/bin/mcp-supervise", &|_| &[]).text
}

fn unwrap(text: &str) -> String {
    let document = Document::read(text, Shape::Unknown, &split).expect("what we write can be read");
    let wrapped = all(&document, &State::Wrapped);
    document.unwrapped(&wrapped.iter().collect::<Vec<_>>()).text
}

fuzz_target!(|text: &str| {
    let Ok(document) = Document::read(text, Shape::Unknown, &split) else { return };
    assert_eq!(document.shown(&Hidden).lines().count(), text.lines().count());
    for over in [false, true] {
        let new = New { name: "new".to_owned(), members: vec![("command", "x".into())], over };
        let _ = with_servers(text, Shape::Unknown, &[new]);
    }
    let wrapped = wrap(text);
    assert_eq!(wrap(&wrapped), wrapped);
    // What somebody else has wrapped comes out too, and is read again.
    let unwrapped = unwrap(&wrapped);
    if all(&document, &State::Wrapped).is_empty() {
        assert_eq!(unwrapped, text);
    }
    Document::read(&unwrapped, Shape::Unknown, &split).expect("what we write can be read");
});
