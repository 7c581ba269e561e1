//! Who answers on the control socket: one router, on a thread that lives as long as somebody is connected.

use std::convert::Infallible;
use std::io::{self, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http_body_util::channel::{Channel, Sender};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use nix::unistd::geteuid;
use tokio::runtime;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::{Complaint, Status, Told};
use crate::engine::io::Order;
use crate::ledger::Shared;
use crate::threads;

/// The most connections at once; more are told so and closed as they come.
const CONNECTIONS: usize = 64;
/// What those are told.
const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(5);
/// How often listeners are told of counts that change all the time.
const PACE: Duration = Duration::from_millis(250);
/// How often listeners are told that the supervisor is still there, in numbers of [`PACE`].
const ALIVE: u32 = 20;
/// The thread's stack, in bytes.
const STACK: usize = 512 * 1024;

/// Who answers. Cloned for each connection.
#[derive(Clone, Debug)]
pub struct Service {
    shared: Arc<Shared>,
    orders: mpsc::UnboundedSender<Order>,
    /// The options of this supervisor, masked.
    options: Arc<str>,
    /// How many are connected.
    connected: Arc<AtomicUsize>,
    /// Where connections are handed over. `None` while nobody answers.
    thread: Arc<Mutex<Option<mpsc::UnboundedSender<UnixStream>>>>,
}

impl Service {
    /// Answers by this ledger, and hands orders on. `options`: those of this supervisor, masked.
    pub fn new(shared: Arc<Shared>, orders: mpsc::UnboundedSender<Order>, options: &str) -> Self {
        Self { shared, orders, options: options.into(), connected: Arc::default(), thread: Arc::default() }
    }

    /// Answers whoever has connected, on another thread. One of another user is turned away.
    pub fn answer(&self, stream: tokio::net::UnixStream) {
        let ours = stream.peer_cred().is_ok_and(|peer| peer.uid() == geteuid().as_raw());
        let Some(mut stream) = stream.into_std().ok().filter(|_| ours) else { return };
        if self.connected.load(Ordering::Relaxed) >= CONNECTIONS {
            // It does not wait: a fresh connection has room for this, and whoever has left does not read it.
            let _ = (&stream).write_all(BUSY);
            return;
        }
        self.connected.fetch_add(1, Ordering::Relaxed);
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(connections) = &*thread {
            match connections.send(stream) {
                Ok(()) => return,
                Err(back) => stream = back.0,
            }
        }
        let (connections, taken) = mpsc::unbounded_channel();
        let service = self.clone();
        let started = threads::start("control", STACK, move || {
            // Without a runtime nobody is answered, and the connections end.
            let _ = service.live(taken);
        });
        // It holds the first connection before it can find that there is none.
        if started.is_ok() && connections.send(stream).is_ok() {
            *thread = Some(connections);
        } else {
            self.connected.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn live(&self, connections: mpsc::UnboundedReceiver<UnixStream>) -> io::Result<()> {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.serve(connections));
        Ok(())
    }

    /// Serves until nobody is connected any more.
    async fn serve(&self, mut connections: mpsc::UnboundedReceiver<UnixStream>) {
        let router = self.router();
        let mut served = JoinSet::new();
        // The first one is on its way.
        let mut begun = false;
        loop {
            if begun && served.is_empty() {
                let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
                // Whoever hands one over holds the lock: now there is none, and there can be none after this.
                if connections.is_empty() {
                    *thread = None;
                    return;
                }
            }
            tokio::select! {
                stream = connections.recv() => {
                    let Some(stream) = stream else { return };
                    begun = true;
                    served.spawn(connection(stream, router.clone()));
                }
                Some(_) = served.join_next() => {
                    self.connected.fetch_sub(1, Ordering::Relaxed);
                }
            }
        }
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/status", get(status))
            .route("/events", get(events))
            .route(
                "/restart",
                post(|State(service): State<Self>| async move { service.order(Order::Restart) }),
            )
            .route(
                "/restart-now",
                post(|State(service): State<Self>| async move { service.order(Order::RestartSoon) }),
            )
            .route("/stop", post(|State(service): State<Self>| async move { service.order(Order::Stop) }))
            .fallback(|| async {
                complain(StatusCode::NOT_FOUND, "there is no such thing here", "ask for /status")
            })
            .with_state(self.clone())
    }

    fn status(&self) -> (Status, u64) {
        let (session, gauges, version) = self.shared.look();
        let (release, options) = (env!("CARGO_PKG_VERSION").to_owned(), self.options.to_string());
        (Status { session, gauges, release, options }, version)
    }

    fn order(&self, order: Order) -> Response {
        let (status, _) = self.status();
        let ending = status.session.phase == "stopping" || !status.session.is_open();
        if ending || self.orders.send(order).is_err() {
            return complain(StatusCode::CONFLICT, "it is already ending", "start it again from its host");
        }
        let word = match order {
            Order::Restart | Order::RestartSoon => "restarting",
            Order::Stop => "stopping",
        };
        (StatusCode::ACCEPTED, Json(serde_json::json!({"status": word}))).into_response()
    }
}

async fn connection(stream: UnixStream, router: Router) {
    let Ok(stream) = tokio::net::UnixStream::from_std(stream) else { return };
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD);
    // Whoever goes away in the middle is no concern of ours.
    let _ = http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
}

fn complain(code: StatusCode, error: &str, hint: &str) -> Response {
    (code, Json(Complaint { error: error.to_owned(), hint: hint.to_owned() })).into_response()
}

async fn status(State(service): State<Service>) -> Json<Status> {
    Json(service.status().0)
}

async fn events(State(service): State<Service>) -> Response {
    let (sender, body) = Channel::new(16);
    tokio::spawn(tell(service, sender));
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (kind, Body::new(body)).into_response()
}

/// Tells one listener until it goes away. One that does not read is waited for, and misses what happens meanwhile.
async fn tell(service: Service, mut sender: Sender<Bytes, Infallible>) {
    let mut happened = service.shared.listen();
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = None;
    let mut quiet = 0;
    loop {
        let event = tokio::select! {
            event = happened.recv() => match event {
                Ok(event) => Some(event),
                Err(RecvError::Lagged(_)) => None,
                Err(RecvError::Closed) => return,
            },
            _ = pace.tick() => None,
        };
        let mut lines = Vec::new();
        if told != Some(service.shared.version()) {
            let (status, version) = service.status();
            told = Some(version);
            lines.push(Told::Status(Box::new(status)));
        }
        // After the status, which has it in already.
        lines.extend(event.map(Told::Event));
        quiet = if lines.is_empty() { quiet + 1 } else { 0 };
        if quiet == ALIVE {
            quiet = 0;
            lines.push(Told::Alive);
        }
        for line in lines {
            let Ok(mut line) = serde_json::to_vec(&line) else { return };
            line.push(b'\n');
            if sender.send_data(line.into()).await.is_err() {
                return;
            }
        }
    }
}
