//! Bodies on their way through: streamed piece by piece, held by nobody longer than it takes to pass them on.
//!
//! Two things are more than a pipe. The beginning of an answer can be read ahead and still be passed on whole. And a
//! body that breaks off must break off on the other side too: what was cut short must never look complete.

use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use secrecy::SecretString;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};

use super::headers;
use super::scrub::Scrub;

/// The longest body that is read whole before it is sent, and the most that is read to no end, in bytes.
pub(super) const WHOLE: u64 = 1 << 20;
/// How long a body is read to no end.
const PATIENCE: Duration = Duration::from_secs(1);

/// The body of an answer: what was read ahead, then the rest.
pub(super) struct Payload {
    ahead: VecDeque<Result<Frame<Bytes>, reqwest::Error>>,
    /// `None` if there is no more.
    rest: Option<reqwest::Body>,
    /// How many bytes are still to come. `None` if nobody has said.
    length: Option<u64>,
    /// What takes tokens out of it, and who hears of them. `None` if there are none in it.
    scrub: Option<(Scrub, mpsc::UnboundedSender<SecretString>)>,
    /// What came before an error was given the time to be written: whoever hears of the error writes no more.
    written: bool,
}

impl Payload {
    /// A body of the gateway's own.
    pub(super) fn own(bytes: Bytes) -> Self {
        let length = Some(bytes.len() as u64);
        Self {
            ahead: VecDeque::from([Ok(Frame::data(bytes))]),
            rest: None,
            length,
            scrub: None,
            written: false,
        }
    }

    /// The body of an API's answer.
    pub(super) fn passed(body: reqwest::Body) -> Self {
        let length = body.size_hint().exact();
        Self { ahead: VecDeque::new(), rest: Some(body), length, scrub: None, written: false }
    }

    /// The same without tokens. Those that are known by their form are told.
    pub(super) fn without_tokens(
        mut self,
        mut scrub: Scrub,
        seen: mpsc::UnboundedSender<SecretString>,
    ) -> Self {
        if self.length.is_some() {
            scrub.keep_length();
        }
        self.scrub = Some((scrub, seen));
        self
    }

    /// A copy of the whole text. `None` if there is more to come, or more than text.
    pub(super) fn whole(&self) -> Option<Vec<u8>> {
        let mut whole = Vec::new();
        for frame in &self.ahead {
            whole.extend_from_slice(frame.as_ref().ok()?.data_ref()?);
        }
        self.rest.is_none().then_some(whole)
    }

    /// Reads the beginning, until there is this much or this time has passed, and returns a copy of so much of it.
    pub(super) async fn read_ahead(&mut self, most: usize, time: Duration) -> Vec<u8> {
        let mut text = Vec::new();
        let reading = async {
            while let Some(body) = self.rest.as_mut().filter(|_| text.len() < most) {
                let frame = body.frame().await;
                if let Some(Ok(frame)) = &frame {
                    text.extend_from_slice(frame.data_ref().map_or(&[], |data| data.as_ref()));
                }
                if !matches!(frame, Some(Ok(_))) {
                    self.rest = None;
                }
                self.ahead.extend(frame);
            }
        };
        // What comes too late is passed on unread.
        let _ = timeout(time, reading).await;
        text.truncate(most);
        text
    }
}

/// What comes of a body at once.
type Next = Option<Result<Frame<Bytes>, reqwest::Error>>;

impl Payload {
    /// What came, without tokens.
    fn scrubbed(&mut self, next: Next) -> Next {
        let Some((scrub, seen)) = &mut self.scrub else { return next };
        let scrubbed = match next {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => Some(Ok(Frame::data(scrub.pass(data)))),
                Err(frame) => {
                    let held = scrub.finish();
                    let mut trailers = frame.into_trailers().unwrap_or_default();
                    headers::without_tokens(&mut trailers, scrub);
                    after(held, Some(Ok(Frame::trailers(trailers))), &mut self.ahead)
                }
            },
            end => after(scrub.finish(), end, &mut self.ahead),
        };
        for token in scrub.found() {
            // Nobody may want to know any more.
            let _ = seen.send(token);
        }
        scrubbed
    }
}

/// What is held comes before what ends the text.
fn after(held: Vec<u8>, end: Next, ahead: &mut VecDeque<Result<Frame<Bytes>, reqwest::Error>>) -> Next {
    if held.is_empty() {
        return end;
    }
    if let Some(end) = end {
        ahead.push_front(end);
    }
    Some(Ok(Frame::data(held.into())))
}

impl Body for Payload {
    type Data = Bytes;
    type Error = reqwest::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, reqwest::Error>>> {
        let frame = loop {
            let frame = match (self.ahead.pop_front(), &mut self.rest) {
                (Some(frame), _) => Some(frame),
                (None, Some(rest)) => ready!(Pin::new(rest).poll_frame(context)),
                (None, None) => None,
            };
            let is_over = !matches!(frame, Some(Ok(_)));
            if is_over && frame.is_none() {
                self.rest = None;
            }
            match self.scrubbed(frame) {
                // All of it is held.
                Some(Ok(frame)) if frame.data_ref().is_some_and(Bytes::is_empty) && !is_over => {}
                frame => break frame,
            }
        };
        if let Some(Err(error)) = frame {
            if self.written {
                return Poll::Ready(Some(Err(error)));
            }
            self.written = true;
            self.ahead.push_front(Err(error));
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let (Some(Ok(frame)), Some(length)) = (&frame, &mut self.length) {
            *length = length.saturating_sub(frame.data_ref().map_or(0, Bytes::len) as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let holds = self.scrub.as_ref().is_some_and(|(scrub, _)| scrub.holds());
        self.length == Some(0)
            || self.ahead.is_empty() && !holds && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// What is known of a request's body while it is streamed.
#[derive(Clone, Debug, Default)]
pub(super) struct Upload(Arc<Mutex<Progress>>);

#[derive(Debug, Default)]
struct Progress {
    broke_off: bool,
    /// More of it is waited for: the server has the next word, and not the API.
    waits: bool,
    /// When the API last took some of it. `None` before that.
    last: Option<Instant>,
}

impl Upload {
    /// It broke off on our side: the API is not to blame for what came of it.
    pub(super) fn broke_off(&self) -> bool {
        self.lock().broke_off
    }

    /// What comes of a request, if the API begins to answer within this time after it has the request. `None`: it does not.
    pub(super) async fn in_time<T>(
        &self,
        limit: Option<Duration>,
        answer: impl Future<Output = T>,
    ) -> Option<T> {
        let Some(limit) = limit else { return Some(answer.await) };
        let mut answer = pin!(answer);
        let mut since = Instant::now();
        loop {
            if let Ok(answer) = timeout_at(since + limit, &mut answer).await {
                return Some(answer);
            }
            let progress = self.lock();
            match progress.last.filter(|last| *last > since) {
                _ if progress.waits => since = Instant::now(),
                Some(last) => since = last,
                None => return None,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The body itself.
    pub(super) fn body(&self, incoming: Incoming) -> reqwest::Body {
        reqwest::Body::wrap(Streamed { incoming, upload: self.clone() })
    }
}

/// A request's body that is sent while it comes.
struct Streamed {
    incoming: Incoming,
    upload: Upload,
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.incoming).poll_frame(context);
        let mut progress = self.upload.lock();
        progress.waits = frame.is_pending();
        progress.last = Some(Instant::now());
        progress.broke_off |= matches!(frame, Poll::Ready(Some(Err(_))));
        drop(progress);
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// Reads a body whole. `None` if it breaks off.
pub(super) async fn whole(incoming: Incoming) -> Option<Bytes> {
    let length = incoming.size_hint().exact()?;
    let bytes = incoming.collect().await.ok()?.to_bytes();
    (bytes.len() as u64 == length).then_some(bytes)
}

/// Reads to no end what comes with a request that is refused: a connection that is closed on somebody who still writes
/// takes the answer with it. Not for long, and not without measure.
pub(super) async fn discard(mut incoming: Incoming) {
    let reading = async {
        let mut read = 0;
        while let (Some(Ok(frame)), true) = (incoming.frame().await, read < WHOLE) {
            read += frame.data_ref().map_or(0, Bytes::len) as u64;
        }
    };
    let _ = timeout(PATIENCE, reading).await;
}
