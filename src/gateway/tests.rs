//! The gateway between clients and APIs that speak in raw bytes, so that nothing is polite by accident.
//!
//! What comes is waited for. What must not come is followed by quiet: the clock is stopped, and runs on only when nothing
//! in the program can go on by itself.

mod answers;
mod bodies;
mod connections;
mod entrance;
mod headers;
mod refused;
mod renewals;
mod smuggling;
mod streams;
mod texts;
mod tls;
mod unreachable;

use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{
    Auth, Disguise, Door, Entrance, Options, Published, Renewals, Side, Upstream, Verdict, Word, serve,
};
use crate::engine::lease::io::{End, Event, RequestId, TokenId};

/// Far longer than anything takes: a test that waits so long has failed.
const WATCHDOG: Duration = Duration::from_secs(120);

async fn within<T>(event: impl Future<Output = T>) -> T {
    timeout(WATCHDOG, event).await.expect("nothing came")
}

/// Waits until nothing in the program can go on without something from outside.
async fn quiet() {
    tokio::time::pause();
    tokio::time::sleep(Duration::from_millis(1)).await;
    tokio::time::resume();
}

/// One end of a connection.
struct Wire {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Wire {
    fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    async fn connect(port: u16) -> Self {
        Self::new(within(TcpStream::connect(("127.0.0.1", port))).await.unwrap())
    }

    async fn write(&mut self, bytes: impl AsRef<[u8]>) {
        within(self.stream.write_all(bytes.as_ref())).await.unwrap();
    }

    /// Reads more. False at the end, or when the connection has broken.
    async fn fill(&mut self) -> bool {
        let read = within(self.stream.read_buf(&mut self.buffer)).await;
        read.is_ok_and(|count| count > 0)
    }

    /// Reads up to and with these bytes. `None` if the connection ends before.
    async fn until(&mut self, end: &str) -> Option<String> {
        loop {
            let found = self.buffer.windows(end.len()).position(|window| window == end.as_bytes());
            if let Some(at) = found {
                let rest = self.buffer.split_off(at + end.len());
                let text = std::mem::replace(&mut self.buffer, rest);
                return Some(String::from_utf8(text).unwrap());
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Reads so many bytes, fewer if the connection ends before.
    async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count && self.fill().await {}
        let rest = self.buffer.split_off(count.min(self.buffer.len()));
        std::mem::replace(&mut self.buffer, rest)
    }

    /// Reads to the end of the connection.
    async fn rest(&mut self) -> Vec<u8> {
        while self.fill().await {}
        std::mem::take(&mut self.buffer)
    }

    /// Reads a message: its head, and its body as the head says. `None` if the connection ends before.
    async fn message(&mut self, has_body: bool) -> Option<Message> {
        let mut head = self.until("\r\n\r\n").await?;
        if head.starts_with("HTTP/1.1 100 ") {
            head = self.until("\r\n\r\n").await?;
        }
        let mut message = Message { head, body: Vec::new(), trailers: String::new() };
        let is_answer = message.head.starts_with("HTTP/");
        if message.all("transfer-encoding").contains(&"chunked") {
            loop {
                let line = self.until("\r\n").await?;
                let length = usize::from_str_radix(line.trim().split(';').next()?, 16).unwrap();
                if length == 0 {
                    break;
                }
                message.body.append(&mut self.exactly(length).await);
                self.until("\r\n").await?;
            }
            loop {
                let line = self.until("\r\n").await?;
                if line == "\r\n" {
                    break;
                }
                message.trailers.push_str(&line);
            }
        } else if let Some(length) = message.all("content-length").first().filter(|_| has_body) {
            let length = length.parse().unwrap();
            message.body = self.exactly(length).await;
            if message.body.len() < length {
                return None;
            }
        } else if is_answer && has_body {
            message.body = self.rest().await;
        }
        Some(message)
    }
}

/// What one side has said.
#[derive(Clone, Debug)]
struct Message {
    head: String,
    body: Vec<u8>,
    trailers: String,
}

impl Message {
    fn line(&self) -> &str {
        self.head.lines().next().unwrap()
    }

    fn status(&self) -> u16 {
        self.line().split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// The values of a header, in their order.
    fn all(&self, name: &str) -> Vec<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines.filter(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).collect()
    }

    /// All headers, as `name: value`, names in lower case and sorted, values of one name in their order.
    fn headers(&self) -> Vec<String> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        let mut headers: Vec<_> =
            lines.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned())).collect();
        headers.sort_by(|(one, _), (other, _)| one.cmp(other));
        headers.into_iter().map(|(name, value)| format!("{name}: {value}")).collect()
    }

    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The code of an error.
    fn code(&self) -> String {
        let error: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert!(error["message"].is_string() && error["retryable"].is_boolean(), "{error}");
        assert_eq!(self.all("content-type"), ["application/json"]);
        error["code"].as_str().unwrap().to_owned()
    }
}

/// What an API does with a request.
enum Reaction {
    /// Answers so, and reads on.
    Answer(String),
    /// Answers so, and closes the connection.
    Last(String),
}

/// An answer with a body of known length.
fn answer(status: &str, headers: &str, body: &str) -> Reaction {
    Reaction::Answer(format!("HTTP/1.1 {status}\r\n{headers}content-length: {}\r\n\r\n{body}", body.len()))
}

fn ok(body: &str) -> Reaction {
    answer("200 OK", "", body)
}

fn error(status: &str, code: &str) -> Reaction {
    answer(status, "", &format!(r#"{{"code":"{code}","message":"no","retryable":false}}"#))
}

/// What has reached an API.
#[derive(Clone, Debug)]
struct Seen {
    /// On which connection, counted from 0.
    connection: usize,
    message: Message,
}

impl Seen {
    fn token(&self) -> String {
        let values = self.message.all("authorization");
        assert_eq!(values.len(), 1, "{}", self.message.head);
        values[0].to_owned()
    }
}

/// An API on a port of its own.
struct Api {
    port: u16,
    seen: mpsc::UnboundedReceiver<Seen>,
    task: JoinHandle<()>,
}

impl Api {
    async fn new(react: impl Fn(&Seen) -> Reaction + Send + Sync + 'static) -> Self {
        let (listener, port) = listen().await;
        let (tell, seen) = mpsc::unbounded_channel();
        let react = Arc::new(react);
        let task = tokio::spawn(async move {
            for connection in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                let (tell, react) = (tell.clone(), Arc::clone(&react));
                tokio::spawn(async move {
                    let mut wire = Wire::new(stream);
                    while let Some(message) = wire.message(true).await {
                        let seen = Seen { connection, message };
                        let reaction = react(&seen);
                        let _ = tell.send(seen);
                        match reaction {
                            Reaction::Answer(text) => wire.write(text).await,
                            Reaction::Last(text) => return wire.write(text).await,
                        }
                    }
                });
            }
        });
        Self { port, seen, task }
    }

    async fn next(&mut self) -> Seen {
        within(self.seen.recv()).await.unwrap()
    }

    /// What has come and was not looked at, once nothing more can come.
    async fn all(&mut self) -> Vec<Seen> {
        quiet().await;
        std::iter::from_fn(|| self.seen.try_recv().ok()).collect()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

/// A gateway that is served.
struct Scene {
    port: u16,
    tokens: watch::Sender<Published>,
    told: mpsc::UnboundedReceiver<Event>,
    verdicts: Option<mpsc::UnboundedSender<Verdict>>,
    seen: mpsc::UnboundedReceiver<SecretString>,
    probe: mpsc::UnboundedSender<()>,
    task: JoinHandle<()>,
}

/// How long an API has to begin its answer.
const TIMEOUT: Duration = Duration::from_secs(60);
const STAND_IN: &str = "wai_sess_stand-in";

fn token(id: u32) -> (TokenId, SecretString) {
    (TokenId(id), format!("wai_sess_real-{id}").into())
}

fn options(port: u16) -> Options {
    let upstream = format!("http://127.0.0.1:{port}").parse().unwrap();
    let disguise = Disguise { stand_in: STAND_IN.into(), prefix: "wai_sess_".to_owned() };
    let entrance = Entrance::StandIn(STAND_IN.into());
    let url = format!("http://localhost:{port}/v1/sessions/{{session}}/renew");
    let renewals = Renewals::new(&hyper::Method::PUT, &url, &format!("http://127.0.0.1:{port}"));
    Options {
        upstream,
        auth: Auth::default(),
        entrance,
        renewals,
        disguise,
        probe: "/probe".to_owned(),
        forgets_sessions: true,
        timeout: Some(TIMEOUT),
    }
}

impl Scene {
    /// In front of an API on this port, with the token 1.
    fn new(port: u16) -> Self {
        Self::with(options(port), crate::http::client(None).unwrap())
    }

    fn with(options: Options, client: reqwest::Client) -> Self {
        let (id, secret) = token(1);
        let (tokens, published) = watch::channel(Published::Token(id, secret));
        let (tell, told) = mpsc::unbounded_channel();
        let (verdicts, settled) = mpsc::unbounded_channel();
        let door = Door::open().unwrap();
        let port = door.port();
        let (see, seen) = mpsc::unbounded_channel();
        let (probe, probes) = mpsc::unbounded_channel();
        let side = Side { tokens: published, tell, verdicts: settled, seen: see, probes };
        let task = tokio::spawn(serve(door, options, client, side));
        Self { port, tokens, told, verdicts: Some(verdicts), seen, probe, task }
    }

    /// The head of a request that may come in: `line` is its method and path.
    fn head(&self, line: &str, headers: &str) -> String {
        let port = self.port;
        format!(
            "{line} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {STAND_IN}\r\n{headers}\r\n"
        )
    }

    /// Asks with these bytes, and hears the answer.
    async fn raw(&self, request: impl AsRef<[u8]>) -> Message {
        let mut wire = Wire::connect(self.port).await;
        wire.write(&request).await;
        wire.message(true).await.expect("an answer")
    }

    async fn get(&self, path: &str) -> Message {
        self.raw(self.head(&format!("GET {path}"), "")).await
    }

    async fn post(&self, path: &str, body: &str) -> Message {
        let length = format!("Content-Length: {}\r\n", body.len());
        self.raw(self.head(&format!("POST {path}"), &length) + body).await
    }

    /// What is told next, but for requests that begin.
    async fn event(&mut self) -> Event {
        loop {
            let event = within(self.told.recv()).await.unwrap();
            if event != Event::Asked {
                return event;
            }
        }
    }

    /// What was told by now, but for requests that begin.
    fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.told.try_recv().ok()).filter(|event| *event != Event::Asked).collect()
    }

    /// Waits until a request is refused.
    async fn refused(&mut self) -> RequestId {
        let event = self.event().await;
        let Event::Refused { request, .. } = event else { panic!("{event:?}") };
        request
    }

    fn settle(&self, request: RequestId, again: Option<u32>) {
        let word = again.map_or(Word::AsItIs, |again| {
            let (id, text) = token(again);
            Word::Again(id, text)
        });
        self.say(request, word);
    }

    fn say(&self, request: RequestId, word: Word) {
        self.verdicts.as_ref().unwrap().send(Verdict { request, word }).unwrap();
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn ended(token: u32, end: End) -> Event {
    Event::Ended(TokenId(token), end)
}
