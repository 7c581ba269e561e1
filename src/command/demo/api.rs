//! The demo's API: one resource on 127.0.0.1, for whoever brings the session token that is good at the moment.
//!
//! It notes with which token it was asked, and what it answered. It answers a refusal only when it is let, so that what
//! happens before that is no accident. It must never take a token that it was not told to take.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// What its tokens begin with.
pub(super) const PREFIX: &str = "demo_session_";
/// Where it tells the balance.
pub(super) const PATH: &str = "/balance";
/// The balance, which nobody else knows.
pub(super) const BALANCE: u64 = 1500;

/// A running API. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Api {
    address: SocketAddr,
    books: Books,
    serving: JoinHandle<()>,
}

/// A request that it got, and how that was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// `None` where there was none.
    pub(super) token: Option<String>,
    pub(super) status: u16,
}

type Books = Arc<watch::Sender<Book>>;

#[derive(Debug, Default)]
struct Book {
    /// The token that is good. `None`: none is.
    good: Option<String>,
    /// Refusals wait.
    holds: bool,
    asked: Vec<Asked>,
}

impl Api {
    /// Opens it, on a port of the system's choice. It takes no token yet.
    pub(super) async fn open() -> Result<Self> {
        let failed = "failed to listen on 127.0.0.1 for the demo's API";
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context(failed)?;
        let address = listener.local_addr().context(failed)?;
        let books = Arc::new(watch::Sender::default());
        let serving = tokio::spawn(serve(listener, Arc::clone(&books)));
        Ok(Self { address, books, serving })
    }

    /// Its address.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Takes this token from now on and refuses every other.
    pub(super) fn take(&self, token: &str) {
        self.books.send_modify(|book| book.good = Some(token.to_owned()));
    }

    /// Refuses every token from now on.
    pub(super) fn revoke(&self) {
        self.books.send_modify(|book| book.good = None);
    }

    /// Answers no refusal until it is let.
    pub(super) fn hold_refusals(&self) {
        self.books.send_modify(|book| book.holds = true);
    }

    /// Answers the refusals that wait, and all further ones at once.
    pub(super) fn let_refusals_go(&self) {
        self.books.send_modify(|book| book.holds = false);
    }

    /// Waits until something was asked, and gives all that was, since this was last called.
    pub(super) async fn next_asked(&self) -> Vec<Asked> {
        // Fails only where there are no books any more, and these are ours.
        let _ = self.books.subscribe().wait_for(|book| !book.asked.is_empty()).await;
        self.asked()
    }

    /// What was asked since this was last called.
    pub(super) fn asked(&self) -> Vec<Asked> {
        let mut asked = Vec::new();
        self.books.send_modify(|book| asked = std::mem::take(&mut book.asked));
        asked
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, books: Books) {
    // They end with this.
    let mut connections = JoinSet::new();
    // A system that lets nobody in any more is noticed by those who ask.
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connection(stream, Arc::clone(&books)));
    }
}

async fn connection(stream: TcpStream, books: Books) {
    let service = service_fn(|request| {
        let books = Arc::clone(&books);
        async move { Ok::<_, Infallible>(answer(&books, &request).await) }
    });
    // What went wrong with a connection, the other side knows.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(books: &watch::Sender<Book>, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    if request.uri().path() != PATH {
        return response(StatusCode::NOT_FOUND, &json!({"code": "NOT_FOUND"}));
    }
    let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);
    let mut good = false;
    books.send_modify(|book| {
        good = token.is_some() && token == book.good;
        let status = if good { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        book.asked.push(Asked { token, status: status.as_u16() });
    });
    if good {
        return response(StatusCode::OK, &json!({ "balance": BALANCE }));
    }
    // Whoever could not let it go any more has ended the demo.
    let _ = books.subscribe().wait_for(|book| !book.holds).await;
    response(StatusCode::UNAUTHORIZED, &json!({"code": "INVALID_TOKEN", "message": "this token is not good"}))
}

fn response(status: StatusCode, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
