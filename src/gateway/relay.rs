//! One request, from the server to the API and back.
//!
//! ```text
//! admitted -> body read, if short -> token -> sent -> answer -> told, handed on
//!                                               ^        |
//!                                               |        | the session is over, and the body is still there
//!                                               |        v
//!                                               +---- told, verdict       once at most
//! ```
//!
//! What an attempt came to is told before the first byte of it is handed on, so that whoever hears of the answer can know
//! what it was. It must never ask the API a third time, or twice without a verdict that says so.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body::Body as _;
use hyper::body::Incoming;
use hyper::ext::ReasonPhrase;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HeaderValue, LOCATION};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use reqwest::{Client, Url};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::entrance::{Admitted, Auth, Porter};
use super::outcome::{self, Outcome};
use super::payload::{self, Payload, Upload};
use super::pending::Pending;
use super::renewal::Renewals;
use super::reply::Reply;
use super::scrub::{Disguise, Scrub};
use super::{Ears, Options, Published, Upstream, Word, headers};
use crate::engine::lease::io::{End, Event, RequestId, TokenId};
use crate::http;

/// How long a request waits until it is known whether there is a token.
const TOKEN: Duration = Duration::from_secs(5);
/// How long a request for a renewal waits for it: longer than that takes, with the wait for the file's lock.
const RENEWAL: Duration = Duration::from_secs(90);
/// How long the API must have been silent for a server that gives up a request to mean that it does not answer.
const GIVEN_UP: Duration = Duration::from_secs(1);
/// How long a refused request waits for its verdict.
const VERDICT: Duration = Duration::from_secs(10);

/// The path at which a program that is built for tests panics, with the token in its message.
#[cfg(test)]
pub(crate) const PLANTED: &str = "/planted";

/// What all requests share.
#[derive(Debug)]
pub(super) struct Relay {
    porter: Porter,
    auth: Auth,
    upstream: Upstream,
    client: Client,
    renewals: Option<Renewals>,
    disguise: Disguise,
    timeout: Option<Duration>,
    probe: String,
    forgets_sessions: bool,
    tokens: watch::Receiver<Published>,
    ears: Ears,
    pending: Pending,
    /// The number of the next request that waits for a verdict.
    next: AtomicU64,
}

/// A token to ask with.
type Held = (TokenId, SecretString);

/// A request for which the API is asked: that it begins is told, and once how it has ended.
struct Asked<'r> {
    relay: &'r Relay,
    /// The token of the attempt.
    token: TokenId,
    /// Since when the API is silent. `None` while it is not waited for.
    silent: Option<Instant>,
}

impl Asked<'_> {
    fn ended(self, end: End) {
        self.relay.tell(Event::Ended(self.token, end));
        std::mem::forget(self);
    }
}

impl Drop for Asked<'_> {
    /// The server did not want to wait any longer, or has not sent all of it.
    fn drop(&mut self) {
        // Who gives up at once does not do so because of the API.
        let gave_up = self.silent.is_some_and(|since| since.elapsed() >= GIVEN_UP);
        let end = if gave_up { End::Unreachable } else { End::Left };
        self.relay.tell(Event::Ended(self.token, end));
    }
}

/// What an attempt sends, but for the token.
struct Sending {
    method: Method,
    url: Url,
    headers: HeaderMap,
    location: Admitted,
    /// It would renew the session.
    renews: bool,
}

/// What an attempt came to.
enum Attempt {
    /// An answer, and what it means.
    Answer(Box<Response<Payload>>, Outcome),
    /// None; and why, and whether nothing was sent.
    Unreachable(String, bool),
    /// None in time.
    Silent(Duration),
    /// None, because the request's body broke off.
    BrokeOff,
}

impl Relay {
    pub(super) fn new(
        port: u16,
        options: Options,
        client: Client,
        tokens: watch::Receiver<Published>,
        ears: Ears,
    ) -> Self {
        let Options { upstream, auth, entrance, renewals, disguise, probe, forgets_sessions, timeout } =
            options;
        let porter = Porter::new(port, auth.clone(), entrance);
        Self {
            porter,
            auth,
            upstream,
            client,
            renewals,
            disguise,
            timeout,
            probe,
            forgets_sessions,
            tokens,
            ears,
            pending: Pending::default(),
            next: AtomicU64::new(0),
        }
    }

    /// The requests that wait for verdicts.
    pub(super) fn pending(&self) -> &Pending {
        &self.pending
    }

    /// Answers a request; `admit` is called once it may come in.
    pub(super) async fn answer(&self, request: Request<Incoming>, admit: impl FnOnce()) -> Response<Payload> {
        let (parts, body) = request.into_parts();
        // Whoever asks for leave to send a body is told no before it comes.
        let comes_anyway = !parts.headers.contains_key(EXPECT);
        let prepared = self.prepare(parts, body.size_hint().exact().is_none());
        if prepared.is_ok() {
            admit();
        }
        match prepared {
            Ok(sending) if sending.renews => {
                payload::discard(body).await;
                self.renewal().await
            }
            Ok(sending) => self.relay(&sending, body).await,
            Err(reply) => {
                if comes_anyway {
                    payload::discard(body).await;
                }
                reply.into_response()
            }
        }
    }

    /// What is sent for a request, if it may come in. `chunked`: its body has no length.
    fn prepare(&self, mut request: Parts, chunked: bool) -> Result<Sending, Reply> {
        let location = self.porter.admit(&request)?;
        let url = self.upstream.target(&location.target).ok_or_else(|| {
            let message =
                "the path cannot be passed on as it is; write it without dot segments and backslashes";
            Reply::refusal(StatusCode::BAD_REQUEST, "BAD_TARGET", message)
        })?;
        let renews =
            self.renewals.as_ref().is_some_and(|renewals| renewals.include(&request, &location.target));
        headers::toward_upstream(&mut request.headers, chunked);
        Ok(Sending { renews, method: request.method, url, headers: request.headers, location })
    }

    /// Answers a request for a renewal with what one of our own came to.
    async fn renewal(&self) -> Response<Payload> {
        let Some((token, text)) = self.token().await else {
            self.tell(Event::Lacked);
            return Reply::without_token().into_response();
        };
        let request = RequestId(self.next.fetch_add(1, Ordering::Relaxed));
        let Some(mut waiting) = self.pending.wait(request) else {
            return Reply::not_renewed().into_response();
        };
        self.tell(Event::Wanted(request));
        match timeout(RENEWAL, waiting.verdict()).await {
            Ok(Word::Answer(status, body)) => {
                let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
                let body = self.scrub(&text).whole(&body);
                let meaning = outcome::outcome(status, &body, self.forgets_sessions);
                let mut response = Response::new(Payload::own(body.into()));
                *response.status_mut() = status;
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                self.finish(self.begin(token), Attempt::Answer(Box::new(response), meaning))
            }
            Ok(Word::Failed(why)) => self.finish(self.begin(token), Attempt::Unreachable(why, false)),
            Ok(Word::AsItIs | Word::Again(..)) | Err(_) => Reply::not_renewed().into_response(),
        }
    }

    /// What takes tokens out of an answer to a request that was made with this one.
    fn scrub(&self, token: &SecretString) -> Scrub {
        let newest = match &*self.tokens.borrow() {
            Published::Token(_, newest) => Some(newest.clone()),
            Published::Unknown | Published::Nothing => None,
        };
        let other = newest.as_ref().filter(|newest| newest.expose_secret() != token.expose_secret());
        Scrub::new(&self.disguise, std::iter::once(token).chain(other))
    }

    fn begin(&self, token: TokenId) -> Asked<'_> {
        self.tell(Event::Asked);
        Asked { relay: self, token, silent: None }
    }

    fn tell(&self, event: Event) {
        // Nobody listens any more when the program ends.
        let _ = self.ears.tell.send(event);
    }

    async fn relay(&self, sending: &Sending, body: Incoming) -> Response<Payload> {
        let upload = Upload::default();
        let repeatable = if body.size_hint().exact().is_some_and(|length| length <= payload::WHOLE) {
            match payload::whole(body).await {
                Some(bytes) => Ok(bytes),
                None => return broke_off(),
            }
        } else {
            Err(upload.body(body))
        };
        let Some(held) = self.token().await else {
            self.tell(Event::Lacked);
            return Reply::without_token().into_response();
        };
        let mut asked = self.begin(held.0);
        let silent = &mut asked.silent;
        let bytes = match repeatable {
            Ok(bytes) => bytes,
            Err(streamed) => {
                let attempt = self.attempt(sending, &held, streamed, &upload, silent).await;
                return self.finish(asked, attempt);
            }
        };
        let first = self.attempt(sending, &held, bytes.clone().into(), &upload, silent).await;
        if !matches!(first, Attempt::Answer(_, Outcome::SessionOver)) {
            return self.finish(asked, first);
        }
        match self.verdict(held.0).await {
            Some(again) => {
                // By now there may be a newer one than that.
                let newest = self.newest(held.0).unwrap_or(again);
                drop(first);
                asked.token = newest.0;
                let second = self.attempt(sending, &newest, bytes.into(), &upload, &mut asked.silent).await;
                self.finish(asked, second)
            }
            None => self.finish(asked, first),
        }
    }

    /// The token to ask with. `None` if there is none.
    async fn token(&self) -> Option<Held> {
        let mut tokens = self.tokens.clone();
        let known = tokens.wait_for(|published| !matches!(published, Published::Unknown));
        match &*timeout(TOKEN, known).await.ok()?.ok()? {
            Published::Token(id, token) => self.sendable(*id, token),
            Published::Unknown | Published::Nothing => None,
        }
    }

    /// A token, if it can be written in a header.
    fn sendable(&self, id: TokenId, token: &SecretString) -> Option<Held> {
        self.auth.value(token).map(|_| (id, token.clone()))
    }

    /// The token that is used now, if it is another one than this.
    fn newest(&self, refused: TokenId) -> Option<Held> {
        match &*self.tokens.borrow() {
            Published::Token(id, token) if *id != refused => self.sendable(*id, token),
            Published::Token(..) | Published::Unknown | Published::Nothing => None,
        }
    }

    /// What a refused request is repeated with. `None` if it is not.
    async fn verdict(&self, token: TokenId) -> Option<Held> {
        let request = RequestId(self.next.fetch_add(1, Ordering::Relaxed));
        let mut waiting = self.pending.wait(request)?;
        self.tell(Event::Refused { request, token, certain: true });
        match timeout(VERDICT, waiting.verdict()).await {
            Ok(Word::Again(id, token)) => self.sendable(id, &token),
            Ok(Word::AsItIs | Word::Answer(..) | Word::Failed(_)) | Err(_) => None,
        }
    }

    /// Asks the API once. `silent`: since when it is silent.
    async fn attempt(
        &self,
        sending: &Sending,
        (_, token): &Held,
        body: reqwest::Body,
        upload: &Upload,
        silent: &mut Option<Instant>,
    ) -> Attempt {
        #[cfg(test)]
        assert!(sending.url.path() != PLANTED, "planted, with {}\nin it", token.expose_secret());
        let mut request = reqwest::Request::new(sending.method.clone(), sending.url.clone());
        *request.headers_mut() = sending.headers.clone();
        if let Some(value) = self.auth.value(token) {
            request.headers_mut().insert(self.auth.header.clone(), value);
        }
        *request.body_mut() = Some(body);
        *silent = Some(Instant::now());
        let executed = upload.in_time(self.timeout, self.client.execute(request)).await;
        *silent = None;
        let (mut head, body) = match executed {
            Some(Ok(answer)) => Response::<reqwest::Body>::from(answer).into_parts(),
            Some(Err(_)) if upload.broke_off() => return Attempt::BrokeOff,
            Some(Err(error)) => return Attempt::Unreachable(http::reason(&error), error.is_connect()),
            None => return Attempt::Silent(self.timeout.unwrap_or_default()),
        };
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let why = "it changed the protocol, which nobody had asked for";
            return Attempt::Unreachable(why.to_owned(), false);
        }
        let mut body = Payload::passed(body);
        headers::toward_server(&mut head.headers, body.size_hint().exact().is_none());
        self.relocate(&mut head.headers, &sending.location);
        let forgets = self.forgets_sessions && !is_about_sessions(&sending.location.target);
        let tells = outcome::is_in_the_body(head.status, forgets);
        let is_short =
            body.size_hint().exact().is_some_and(|length| (1..=outcome::AHEAD as u64).contains(&length));
        let text = if tells || is_short {
            body.read_ahead(outcome::AHEAD, outcome::PATIENCE).await
        } else {
            Vec::new()
        };
        let meaning = if tells { outcome::outcome(head.status, &text, forgets) } else { Outcome::Heard };
        let reason = head.extensions.remove::<ReasonPhrase>();
        let scrub = self.scrub(token);
        let reason = reason.filter(|reason| scrub.is_clean(reason.as_bytes()));
        let encoding = headers::encoding(&head.headers).filter(|_| !body.is_end_stream());
        if let Some(encoding) = encoding.filter(|_| sending.method != Method::HEAD) {
            let reply = Reply::encoded(self.upstream.origin(), &encoding);
            return Attempt::Answer(Box::new(reply.into_response()), meaning);
        }
        let body = self.without_tokens(body, &mut head.headers, scrub);
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        if let Some(reason) = reason {
            response.extensions_mut().insert(reason);
        }
        Attempt::Answer(Box::new(response), meaning)
    }

    /// An answer in which the server sees no token.
    fn without_tokens(&self, body: Payload, headers: &mut HeaderMap, mut scrub: Scrub) -> Payload {
        headers::without_tokens(headers, &mut scrub);
        match body.whole() {
            Some(text) if scrub.is_clean(&text) => body,
            Some(text) => {
                let text = scrub.whole(&text);
                scrub.found().into_iter().for_each(|token| self.sees(token));
                if headers.contains_key(CONTENT_LENGTH) {
                    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
                }
                Payload::own(text.into())
            }
            None => body.without_tokens(scrub, self.ears.seen.clone()),
        }
    }

    fn sees(&self, token: SecretString) {
        let _ = self.ears.seen.send(token);
    }

    /// Redirects lead back through the gateway if they lead to the API.
    fn relocate(&self, headers: &mut HeaderMap, through: &Admitted) {
        let location = headers.get(LOCATION).and_then(|location| location.to_str().ok());
        let ours = location.and_then(|text| self.upstream.relocated(text, &through.address, &through.prefix));
        if let Some(value) = ours.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(LOCATION, value);
        }
    }

    /// Tells what an attempt came to, and hands it on.
    fn finish(&self, asked: Asked<'_>, attempt: Attempt) -> Response<Payload> {
        let (end, response) = self.concluded(attempt);
        asked.ended(end);
        response
    }

    /// How an attempt has ended, and what is handed on.
    fn concluded(&self, attempt: Attempt) -> (End, Response<Payload>) {
        match attempt {
            Attempt::Answer(response, Outcome::Heard) => {
                let unrelated = response.status() == StatusCode::UNAUTHORIZED;
                (if unrelated { End::Unrelated } else { End::Heard }, *response)
            }
            Attempt::Answer(response, Outcome::SessionOver) => (End::Refused, *response),
            Attempt::Answer(response, Outcome::Locked) => (End::Locked, *response),
            Attempt::Unreachable(why, unsent) => {
                let reply = Reply::unreachable(self.upstream.origin(), &why);
                (if unsent { End::Unsent } else { End::Unreachable }, reply.into_response())
            }
            Attempt::Silent(waited) => {
                let reply = Reply::silent(self.upstream.origin(), waited);
                (End::Unreachable, reply.into_response())
            }
            // The API is not why, and may have heard the beginning.
            Attempt::BrokeOff => (End::Left, broke_off()),
        }
    }

    /// Asks the API for something, to see whether it answers.
    pub(super) async fn probe(&self) {
        let Some(url) = self.upstream.target(&format!("{}{}", self.upstream.base(), self.probe)) else {
            return;
        };
        let Some(held) = self.token().await else { return };
        let location = Admitted { target: self.probe.clone(), address: String::new(), prefix: String::new() };
        let headers = HeaderMap::new();
        let sending = Sending { renews: false, method: Method::GET, url, headers, location };
        let (body, upload) = (reqwest::Body::default(), Upload::default());
        let attempt = self.attempt(&sending, &held, body, &upload, &mut None).await;
        let (end, _) = self.concluded(attempt);
        self.tell(Event::Probed(end));
    }
}

/// Whether what is asked for is a session, which may be one that there is not.
fn is_about_sessions(target: &str) -> bool {
    target.contains("/sessions/")
}

fn broke_off() -> Response<Payload> {
    let message = "the request's body broke off";
    Reply::refusal(StatusCode::BAD_REQUEST, "BODY_INCOMPLETE", message).into_response()
}
