//! Connections: taken one by one, each served in a task of its own, and never too many at once.
//!
//! Nobody has for ever: a request's head has its time, and so has whoever is to read an answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use nix::sys::socket::{setsockopt, sockopt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::patience::Patient;
use super::peer::is_stranger;
use crate::threads;

/// How many connections there are at once, those of a WebSocket not counted. Others wait until one ends.
const MOST: usize = 512;
/// How long a request's head may take, and how long a connection may be at rest.
const HEAD: Duration = Duration::from_secs(10);
/// The same for another user of this machine.
const HEAD_OF_STRANGERS: Duration = Duration::from_secs(1);
/// Of how many connections it is looked up at once whose they are.
const LOOKUPS: usize = 4;
/// The longest head, in bytes, and the most headers in it.
const HEAD_SIZE: usize = 16 * 1024;
const HEADERS: usize = 64;
/// How long a write may wait for the other side to read.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// What the system keeps of what the other side has not read yet, in bytes: a page that no longer reads is to be noticed.
const UNREAD: usize = 64 * 1024;
/// How long a system that has nothing left is left alone.
const PAUSE: Duration = Duration::from_millis(100);

/// A request comes from another user of this machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stranger(pub(super) bool);

/// Serves every connection, until dropped.
pub(super) async fn listen(listener: TcpListener, router: Router) -> Infallible {
    let room = Arc::new(Semaphore::new(MOST));
    let lookups = Arc::new(Semaphore::new(LOOKUPS));
    let mut connections = JoinSet::new();
    loop {
        // Nobody closes the semaphore; without a place there would still be a connection to serve.
        let place = Arc::clone(&room).acquire_owned().await.ok();
        let (stream, peer) = loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => break accepted,
                    // Too many open files, or a connection that is gone already.
                    Err(_) => sleep(PAUSE).await,
                },
                // How one ended concerns nobody else, even if it was by a panic.
                Some(_) = connections.join_next() => {}
            }
        };
        let (router, lookups) = (router.clone(), Arc::clone(&lookups));
        connections.spawn(async move {
            serve(stream, peer, router, lookups).await;
            drop(place);
        });
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, router: Router, lookups: Arc<Semaphore>) {
    // Both are about speed alone.
    let _ = (stream.set_nodelay(true), setsockopt(&stream, sockopt::SndBuf, &UNREAD));
    let Ok(ours) = stream.local_addr() else { return };
    // Who it is can be looked up only while it is there.
    let stranger = {
        // Each look-up has a thread meanwhile, and anybody can make one necessary.
        let _turn = lookups.acquire().await;
        threads::blocking(move || is_stranger(peer, ours)).await.unwrap_or(true)
    };
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
    // Whoever goes away in the middle is no concern of ours.
    let _ = http.serve_connection(stream, service).with_upgrades().await;
}
