//! A thread that reads one stream of the supervisor, and what has come on it so far.
//!
//! It can be told to read nothing for a while, and to close its end. Both work while it waits for something to read.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::Value;

use super::ends;
use super::message::{fault, shortened};
use super::process::{Since, WATCHDOG};

/// What takes in the bytes of a stream.
pub(crate) trait Intake: Default + Send + 'static {
    fn take(&mut self, bytes: &[u8]);
    fn end(&mut self);
}

/// A stream of messages.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    /// The lines, each with its line feed.
    pub(crate) bytes: Vec<Vec<u8>>,
    pub(crate) ended: bool,
    rest: Vec<u8>,
    searched: usize,
    /// Where the answers to an id (as JSON) are.
    answers: BTreeMap<String, Vec<usize>>,
    /// Where the messages with a method are.
    methods: BTreeMap<String, Vec<usize>>,
}

impl Lines {
    pub(crate) fn answer(&self, id: &str) -> Option<Value> {
        serde_json::from_slice(&self.bytes[*self.answers.get(id)?.first()?]).ok()
    }

    pub(crate) fn answer_bytes(&self, id: &str) -> Option<Vec<u8>> {
        Some(self.bytes[*self.answers.get(id)?.first()?].clone())
    }

    pub(crate) fn answers(&self, id: &str) -> usize {
        self.answers.get(id).map_or(0, Vec::len)
    }

    pub(crate) fn message(&self, method: &str, n: usize) -> Option<Value> {
        serde_json::from_slice(&self.bytes[*self.methods.get(method)?.get(n - 1)?]).ok()
    }

    pub(crate) fn messages(&self, method: &str) -> usize {
        self.methods.get(method).map_or(0, Vec::len)
    }

    /// The first thing that must not be.
    pub(crate) fn wrong(&self) -> Option<String> {
        let twice = self.answers.iter().find(|(_, places)| places.len() > 1);
        if let Some((id, places)) = twice {
            return Some(format!("{} answers to {id}", places.len()));
        }
        if self.ended && !self.rest.is_empty() {
            return Some("stdout ends inside a line".to_owned());
        }
        self.bytes.iter().find_map(|line| fault(line))
    }

    pub(crate) fn shown(&self) -> String {
        let mut text: String = self.bytes.iter().map(|line| String::from_utf8_lossy(line)).collect();
        if !self.rest.is_empty() {
            text.push_str(&String::from_utf8_lossy(&self.rest));
        }
        let end = if self.ended { "(the end)" } else { "(not the end)" };
        shortened(&text) + end
    }

    fn index(&mut self, line: &[u8]) {
        let place = self.bytes.len();
        let Ok(message) = serde_json::from_slice::<Value>(line) else { return };
        if let Some(method) = message["method"].as_str() {
            self.methods.entry(method.to_owned()).or_default().push(place);
        } else if let Some(id) = message.get("id") {
            self.answers.entry(id.to_string()).or_default().push(place);
        }
    }
}

impl Intake for Lines {
    fn take(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        while let Some(feed) = memchr::memchr(b'\n', &self.rest[self.searched..]) {
            let line: Vec<u8> = self.rest.drain(..=self.searched + feed).collect();
            self.searched = 0;
            self.index(&line);
            self.bytes.push(line);
        }
        self.searched = self.rest.len();
    }

    fn end(&mut self) {
        self.ended = true;
    }
}

/// A stream of text.
#[derive(Debug, Default)]
pub(crate) struct Text {
    pub(crate) bytes: Vec<u8>,
    pub(crate) ended: bool,
}

impl Text {
    /// The rest of the first complete line that starts so.
    pub(crate) fn line(&self, start: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.bytes);
        let complete = &text[..=text.rfind('\n')?];
        complete.lines().find_map(|line| line.strip_prefix(start)).map(str::to_owned)
    }
}

impl Text {
    /// How many complete lines contain this.
    pub(crate) fn lines_with(&self, part: &str) -> usize {
        let text = String::from_utf8_lossy(&self.bytes);
        let complete = &text[..text.rfind('\n').map_or(0, |end| end + 1)];
        complete.lines().filter(|line| line.contains(part)).count()
    }
}

impl Intake for Text {
    fn take(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    fn end(&mut self) {
        self.ended = true;
    }
}

/// What the thread is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Read,
    Pause,
    Close,
}

#[derive(Debug)]
struct State<T> {
    order: Order,
    /// Our end. `None` once it is closed.
    end: Option<Arc<File>>,
    seen: T,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

/// The reading end of a stream.
#[derive(Debug)]
pub(crate) struct Reader<T> {
    shared: Arc<Shared<T>>,
    wake: UnixStream,
}

impl<T: Intake> Reader<T> {
    pub(crate) fn new(end: File, paused: bool) -> Self {
        let order = if paused { Order::Pause } else { Order::Read };
        let state = State { order, end: Some(Arc::new(end)), seen: T::default() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let (wake, woken) = UnixStream::pair().expect("the system has sockets");
        let theirs = Arc::clone(&shared);
        thread::spawn(move || theirs.read(&woken));
        Self { shared, wake }
    }

    /// Looks at what has come.
    pub(crate) fn now<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.shared.lock().seen)
    }

    /// Looks at what has come, and may change what is made of it.
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        change(&mut self.shared.lock().seen)
    }

    /// Looks again whenever something has come, until there is something. `None` if that takes longer than `limit`.
    pub(crate) fn wait_within<R>(&self, limit: Duration, mut look: impl FnMut(&T) -> Option<R>) -> Option<R> {
        self.shared.wait(limit, |state| look(&state.seen))
    }

    /// Looks again whenever something has come, until there is something. `None` if the watchdog has to end it.
    pub(crate) fn wait<R>(&self, look: impl FnMut(&T) -> Option<R>) -> Option<R> {
        self.wait_within(WATCHDOG, look)
    }

    pub(crate) fn pause(&self, pause: bool) {
        self.order(if pause { Order::Pause } else { Order::Read });
    }

    /// Closes our end, and waits until it is closed.
    pub(crate) fn close(&self) {
        self.order(Order::Close);
        self.shared
            .wait(WATCHDOG, |state| state.end.is_none().then_some(()))
            .expect("the thread does as it is told");
    }

    /// The flags of our end. `None` once it is closed.
    pub(crate) fn flags(&self) -> Option<OFlag> {
        self.shared.lock().end.as_ref().map(ends::flags)
    }

    fn order(&self, order: Order) {
        self.shared.lock().order = order;
        self.shared.changed.notify_all();
        let _ = (&self.wake).write_all(b"!");
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        self.shared.lock().order = Order::Close;
        self.shared.changed.notify_all();
        let _ = (&self.wake).write_all(b"!");
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<R>(&self, limit: Duration, mut look: impl FnMut(&State<T>) -> Option<R>) -> Option<R> {
        let since = Since::now();
        let mut state = self.lock();
        loop {
            if let Some(found) = look(&state) {
                return Some(found);
            }
            let left = limit.checked_sub(since.elapsed())?;
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl<T: Intake> Shared<T> {
    fn read(&self, mut woken: &UnixStream) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let mut state = self.lock();
            while state.order == Order::Pause {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            let Some(end) = state.end.clone().filter(|_| state.order == Order::Read) else {
                state.end = None;
                self.changed.notify_all();
                return;
            };
            drop(state);
            let mut ready =
                [PollFd::new(end.as_fd(), PollFlags::POLLIN), PollFd::new(woken.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut ready, PollTimeout::NONE);
            if ready[1].any() == Some(true) {
                let _ = woken.read(&mut buffer);
                continue;
            }
            let count = (&*end).read(&mut buffer).unwrap_or(0);
            let mut state = self.lock();
            if count == 0 {
                // The reading end of a terminal has an error for its end. Ours is kept open until we are told.
                state.seen.end();
                state.order = Order::Pause;
            } else {
                state.seen.take(&buffer[..count]);
            }
            self.changed.notify_all();
        }
    }
}
