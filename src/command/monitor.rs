//! `monitor`: what runs and what ran, on a web page, as an API, as metrics, and as it happens over a WebSocket.
//!
//! ```text
//!  supervisors --sockets--> watch --> board (hub) --> web: page, API, health, metrics
//!                             |                   \-> socket: what is news
//!  store <------- shelf ------+-----------------------^        ^
//!                                 connections --> listen --> guard
//! ```
//!
//! It looks and changes nothing, but that a person can have a server restarted, which is asked of its supervisor; so there
//! may be several of it. It holds nothing up: supervisors do not wait for it, and it waits for nobody who listens to it.
//! It shows what the ledger has, in which there are no payloads, arguments or tokens.

mod board;
mod guard;
mod health;
mod hub;
mod listen;
mod listing;
mod metrics;
mod patience;
mod secret;
mod shelf;
mod socket;
mod watch;
mod web;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use self::guard::Guard;
use self::hub::Hub;
use self::shelf::Shelf;
use self::web::Desk;
use super::failure::Failure;
use super::recorded;
use crate::cli::monitor::Monitor;
use crate::control::client::Supervisors;
use crate::{exit_code, report};

/// Does it, until a signal ends it. Gives the exit code; everything else is told already.
pub fn monitor(options: &Monitor) -> i32 {
    match recorded::block_on(run(options)).unwrap_or_else(|error| Err(Failure::start(error))) {
        Ok(()) => exit_code::DONE,
        Err(failure) => {
            failure.tell();
            failure.code
        }
    }
}

/// There is no listening there.
fn cannot_listen(at: SocketAddr, error: &io::Error) -> Failure {
    let hint = if error.kind() == io::ErrorKind::AddrInUse {
        "another program has it, perhaps another monitor: choose another with --listen, as 127.0.0.1:0 for any"
    } else if error.kind() == io::ErrorKind::PermissionDenied {
        "choose a port from 1024 on with --listen"
    } else {
        "choose an address of this machine with --listen"
    };
    let message = format!("failed to listen at {at}: {error}");
    Failure { code: exit_code::CANNOT_LISTEN, message, hint: Some(hint.to_owned()) }
}

async fn run(options: &Monitor) -> Result<(), Failure> {
    let secret = match &options.auth_token_file {
        Some(path) => Some(secret::read(path).map_err(|fault| {
            let message = format!("failed to use the file {} for --auth-token-file: {fault}", path.display());
            Failure::usage(message, fault.hint())
        })?),
        None if !options.listen.ip().is_loopback() => {
            return Err(Failure::usage(
                format!("whoever reaches {} could look and restart servers", options.listen),
                "name a file with a secret with --auth-token-file, or listen at 127.0.0.1",
            ));
        }
        None => None,
    };
    let mut interrupted = signal(SignalKind::interrupt()).map_err(Failure::start)?;
    let mut terminated = signal(SignalKind::terminate()).map_err(Failure::start)?;
    let bound = TcpListener::bind(options.listen).await;
    let listener = bound.map_err(|error| cannot_listen(options.listen, &error))?;
    let at = listener.local_addr().map_err(Failure::start)?;
    let guard = Guard::new(at, secret.as_deref().map(Vec::as_slice)).map_err(Failure::start)?;
    drop(secret);

    let (hub, shelf) = (Arc::new(Hub::new()), Shelf::new(options.places.data_dir.clone()));
    if !at.ip().is_loopback() {
        report::warning(format!(
            "{at} can be reached from other machines, and what is said there, the secret too, can be read on the way; hint: \
             listen at 127.0.0.1 and let a proxy with TLS, or ssh -L, lead there"
        ));
    }
    let supervisors =
        Supervisors::of(options.places.runtime_dir.as_deref(), options.places.data_dir.as_deref());
    let desk = Desk::new(Arc::clone(&hub), shelf.clone(), supervisors.clone(), guard);
    report::text(format!("monitor: http://{at}/\n")).map_err(Failure::start)?;
    tokio::select! {
        _ = interrupted.recv() => {}
        _ = terminated.recv() => {}
        never = listen::listen(listener, desk.router()) => match never {},
        () = watch::watch(Arc::clone(&hub), supervisors, shelf.clone()) => {}
        () = watch::tell(hub, shelf) => {}
    }
    Ok(())
}
