//! Connections to the monitor. Nobody has for ever: a request's head has its time, and so has whoever is to read an answer.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::patience::Patient;
use crate::listener::{self, Guest, Places};

/// How many connections there are at once, those of a WebSocket not counted.
const PLACES: Places = Places { own: 512, strangers: 32 };
/// How long a request's head may take, and how long a connection may be at rest.
const HEAD: Duration = Duration::from_secs(10);
/// The same for another user of this machine.
const HEAD_OF_STRANGERS: Duration = Duration::from_secs(1);
/// The longest head, in bytes, and the most headers in it.
const HEAD_SIZE: usize = 16 * 1024;
const HEADERS: usize = 64;
/// How long a write may wait for the other side to read.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// What the system keeps of what the other side has not read yet, in bytes: a page that no longer reads is to be noticed.
const UNREAD: usize = 64 * 1024;
/// How long another user of this machine is served, whatever he asks.
const STAY_OF_STRANGERS: Duration = Duration::from_secs(2);

/// A request comes from another user of this machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stranger(pub(super) bool);

/// Serves every connection, until dropped.
pub(super) async fn listen(listener: TcpListener, router: Router) -> Infallible {
    listener::listen(listener, PLACES, move |stream, guest| serve(stream, router.clone(), guest)).await
}

async fn serve(stream: TcpStream, router: Router, guest: Arc<Guest>) {
    // Both are about speed alone.
    let _ = (stream.set_nodelay(true), setsockopt(&stream, sockopt::SndBuf, &UNREAD));
    let stranger = guest.is_stranger();
    // They may ask whether it is well, and hold no place for long.
    let head = if stranger { HEAD_OF_STRANGERS } else { HEAD };
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(Stranger(stranger));
        hyper::service::Service::call(&router, request)
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head).max_buf_size(HEAD_SIZE).max_headers(HEADERS);
    let stream = TokioIo::new(Patient::new(stream, PATIENCE));
    let serving = http.serve_connection(stream, service).with_upgrades();
    let stay = async {
        if stranger {
            sleep(STAY_OF_STRANGERS).await;
        } else {
            pending::<()>().await;
        }
    };
    // Whoever goes away in the middle is no concern of ours.
    tokio::select! {
        _ = serving => {}
        () = stay => {}
    }
}
