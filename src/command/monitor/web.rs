//! What is answered to whom: the page, the API, health, metrics, and the WebSocket.
//!
//! Each request passes the guard first, and is small; each answer says what browsers may do with it, which is as little as
//! the page needs. Nothing in here changes anything but by the order to restart, which is the supervisor's to carry out.

mod api;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderName, HeaderValue};
use axum::http::{Response, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, response};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Body as _;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::guard::{self, Guard, Refusal};
use super::health::{self, VERSION};
use super::hub::Hub;
use super::listen::Stranger;
use super::metrics::{self, Metrics};
use super::shelf::Shelf;
use super::socket;
use crate::control::Complaint;
use crate::control::client::Supervisors;

/// The page, with places for what only the run knows.
static PAGE: LazyLock<String> = LazyLock::new(|| {
    include_str!("page/page.html")
        .replace("{{style}}", include_str!("page/page.css"))
        .replace("{{script}}", include_str!("page/page.js"))
});
/// The longest body that is read, in bytes: no request needs one.
const BODY: usize = 4 * 1024;
/// How long it may take.
const BODY_TIME: Duration = Duration::from_secs(5);

/// What all answers are made of.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) hub: Arc<Hub>,
    pub(super) shelf: Shelf,
    pub(super) supervisors: Supervisors,
    pub(super) guard: Guard,
    /// The places of those who listen by WebSocket.
    places: Arc<Semaphore>,
}

type Answer = response::Response;

/// What the scripts and styles of one page are known by.
#[derive(Clone, Debug)]
struct Nonce(String);

impl Desk {
    pub(super) fn new(hub: Arc<Hub>, shelf: Shelf, supervisors: Supervisors, guard: Guard) -> Self {
        Self { hub, shelf, supervisors, guard, places: Arc::new(Semaphore::new(socket::MOST)) }
    }

    /// Who answers.
    pub(super) fn router(self) -> Router {
        let desk = Arc::new(self);
        let nothing = || async {
            complain(
                StatusCode::NOT_FOUND,
                "there is no such thing here",
                "open / for the page, or /api/sessions",
            )
        };
        let not_so = || async {
            complain(StatusCode::METHOD_NOT_ALLOWED, "this is not done with it", "see the header Allow")
        };
        Router::new()
            .route("/", get(page))
            .route("/health", get(async || Json(serde_json::json!({"status": "ok", "version": VERSION}))))
            .route("/health/deep", get(deep))
            .route("/metrics", get(figures))
            .route("/ws/sessions", get(listen))
            .route("/api/sessions", get(api::sessions))
            .route("/api/sessions/{id}", get(api::session))
            .route("/api/sessions/{id}/restart", post(api::restart))
            .route("/api/events", get(api::events))
            .route("/api/history", get(api::history))
            .fallback(nothing)
            .method_not_allowed_fallback(not_so)
            .layer(from_fn_with_state(Arc::clone(&desk), gate))
            .with_state(desk)
    }
}

/// An answer that says what is wrong, and what to do about it.
fn complain(status: StatusCode, error: impl Into<String>, hint: impl Into<String>) -> Answer {
    (status, Json(Complaint { error: error.into(), hint: hint.into() })).into_response()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Answer {
        let mut answer = complain(self.status, self.error, self.hint);
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"mcp-supervise\", charset=\"UTF-8\"");
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        answer
    }
}

/// What every request passes, and every answer.
async fn gate(State(desk): State<Arc<Desk>>, request: Request, next: Next) -> Answer {
    let (head, body) = request.into_parts();
    let host = guard::host(&head.headers).unwrap_or_default().to_owned();
    let stranger = head.extensions.get::<Stranger>().is_none_or(|stranger| stranger.0);
    let mut answer = match desk.guard.admit(&head, stranger) {
        Err(refusal) => refusal.into_response(),
        Ok(()) => match read(body).await {
            Ok(()) => next.run(Request::from_parts(head, Body::empty())).await,
            Err(answer) => answer,
        },
    };
    protect(&mut answer, &host);
    answer
}

/// Reads a body that nobody wants, if it is a small one.
async fn read(body: Body) -> Result<(), Answer> {
    if body.is_end_stream() {
        return Ok(());
    }
    let too_large = || complain(StatusCode::PAYLOAD_TOO_LARGE, "the request is too large", "send no body");
    if body.size_hint().lower() > BODY as u64 {
        return Err(too_large());
    }
    match timeout(BODY_TIME, Limited::new(body, BODY).collect()).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(complain(StatusCode::REQUEST_TIMEOUT, "the request takes too long", "send no body")),
    }
}

/// Says what browsers may do with an answer.
fn protect(answer: &mut Answer, host: &str) {
    let nonce = answer.extensions_mut().remove::<Nonce>();
    let more = nonce.map(|Nonce(nonce)| {
        format!(
            "; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; img-src data:; \
             connect-src 'self' ws://{host} wss://{host}"
        )
    });
    let policy = format!(
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'{}",
        more.unwrap_or_default()
    );
    let headers = answer.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

async fn page(State(desk): State<Arc<Desk>>) -> Answer {
    let Ok(nonce) = guard::random::<16>() else {
        let hint = "try again later";
        return complain(StatusCode::INTERNAL_SERVER_ERROR, "the system has no random bytes", hint);
    };
    let page = PAGE
        .replace("{{token}}", desk.guard.token())
        .replace("{{version}}", VERSION)
        .replace("{{nonce}}", &nonce);
    let mut answer = Response::new(Body::from(page));
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    answer.headers_mut().insert(header::CONTENT_TYPE, html);
    answer.extensions_mut().insert(Nonce(nonce));
    answer
}

async fn deep(State(desk): State<Arc<Desk>>) -> Answer {
    Json(health::take(&desk.hub, &desk.shelf).await).into_response()
}

async fn figures(State(desk): State<Arc<Desk>>) -> Answer {
    let websockets = socket::MOST - desk.places.available_permits();
    match desk.hub.look(|board, now| Metrics::of(board, now, websockets)).text() {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => complain(StatusCode::INTERNAL_SERVER_ERROR, error.to_string(), "try again later"),
    }
}

async fn listen(
    State(desk): State<Arc<Desk>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Answer {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => {
            let status = rejection.into_response().status();
            return complain(
                status,
                "this is no handshake of a WebSocket",
                "open it as a WebSocket of version 13",
            );
        }
    };
    let Ok(place) = Arc::clone(&desk.places).try_acquire_owned() else {
        let hint = "close other pages of the monitor, and try again";
        return complain(StatusCode::SERVICE_UNAVAILABLE, "there are too many WebSockets", hint);
    };
    // Before the other side knows that it is connected: what happens from then on is told.
    let news = desk.hub.listen();
    let (hub, shelf) = (Arc::clone(&desk.hub), desk.shelf.clone());
    upgrade
        .max_message_size(socket::LONGEST)
        // Nobody has anything to say here, and the room for it would be the most that each of them takes.
        .read_buffer_size(socket::LONGEST)
        .max_frame_size(socket::LONGEST)
        .on_upgrade(move |socket| socket::serve(socket, news, hub, shelf, place))
}
