//! What others may learn of this run: the ledger, the store that writes it down, and the control socket that shows it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

use super::beside::News;
use super::memory;
use crate::control::{Door, Fault, Service};
use crate::engine::io::Order;
use crate::ledger::{Ledger, Session, Shared, TokenState};
use crate::store::{self, Faults, Place, Store};
use crate::threads;

/// How much of a name, and of a command line, is recorded and shown, in characters.
const LONGEST_NAME: usize = 200;
const LONGEST_COMMAND: usize = 4000;
/// After this time connections are taken again that could not be.
const PAUSE: Duration = Duration::from_secs(1);

/// Where this run is recorded and shown.
#[derive(Clone, Debug)]
pub(super) struct Record {
    /// What it adds up to.
    pub(super) shared: Arc<Shared>,
    /// The options of this run, masked.
    pub(super) options: String,
    /// Where that is written. `None` where nothing is stored.
    pub(super) place: Option<Place>,
    /// Where its socket may be: in the first of these that can be used.
    pub(super) socket_dirs: Vec<PathBuf>,
}

impl Record {
    /// Of a run that begins at this time on the wall. `command` and `options` are masked; `token`: the server gets a session token.
    pub(super) fn begin(
        wall: Duration,
        name: &str,
        command: &str,
        options: String,
        token: bool,
        place: Option<Place>,
        socket_dirs: Vec<PathBuf>,
    ) -> Self {
        let token_state = if token { TokenState::Unknown } else { TokenState::None };
        let short = |text: &str, most: usize| text.chars().take(most).collect::<String>();
        let (name, command) = (short(name, LONGEST_NAME), short(command, LONGEST_COMMAND));
        let session = Session { name, command, token_state, ..store::begin(wall) };
        Self { shared: Arc::new(Shared::new(Ledger::new(session))), options, place, socket_dirs }
    }

    /// Writes it down from now on, where it is to be written.
    pub(super) fn store(&self) -> Option<(Store, Faults)> {
        let place = self.place.clone()?;
        Some(Store::open(place, Arc::clone(&self.shared), memory::rest))
    }
}

/// The control socket, from its opening on. Must be used inside the runtime.
pub(super) struct Control {
    service: Service,
    state: Opening,
    /// It was told that connections cannot be taken.
    told: bool,
    /// Until this is over no other connection is taken: the last attempt has failed, and the next would fail as well.
    pause: Option<oneshot::Receiver<()>>,
}

enum Opening {
    /// No thread can be had for it now, which is to be told; it is opened as soon as one can.
    Awaits(io::Error, oneshot::Receiver<Result<Door, Fault>>),
    /// On a thread of its own, for a file system may not answer.
    Opens(oneshot::Receiver<Result<Door, Fault>>),
    Open {
        listener: UnixListener,
        /// Removes it at the end.
        _door: Door,
    },
    Closed,
}

impl Control {
    /// Opens the socket, and hands on what is asked for there.
    pub(super) fn open(record: &Record, orders: mpsc::UnboundedSender<Order>) -> Self {
        let dirs = record.socket_dirs.clone();
        let (session, ..) = record.shared.look();
        let (tell, opened) = oneshot::channel();
        let body = move || {
            // Without a receiver the door is dropped, which removes the socket again.
            let _ = tell.send(Door::open(&dirs, &session.id));
        };
        let state = match threads::start_service("door", threads::ORDINARY, body) {
            Ok(()) => Opening::Opens(opened),
            Err(error) => Opening::Awaits(error, opened),
        };
        Self {
            service: Service::new(Arc::clone(&record.shared), orders, &record.options),
            state,
            told: false,
            pause: None,
        }
    }

    /// Answers the clients of the socket. Resolves with the news when something goes wrong. Cancel-safe.
    pub(super) async fn answer(&mut self) -> News {
        loop {
            if let Some(over) = &mut self.pause {
                let _ = over.await;
                self.pause = None;
            }
            match &mut self.state {
                Opening::Awaits(..) => {
                    let state = std::mem::replace(&mut self.state, Opening::Closed);
                    if let Opening::Awaits(error, opened) = state {
                        self.state = Opening::Opens(opened);
                        let text = format!("failed to open the control socket: {error}; trying again");
                        return News::Warning(text);
                    }
                }
                Opening::Opens(opens) => {
                    let opened = opens.await;
                    self.state = Opening::Closed;
                    match opened.map(|opened| opened.map(listening)) {
                        Ok(Ok(Some(open))) => self.state = open,
                        Ok(Ok(None)) => return News::Fault("listen on the control socket".to_owned()),
                        Ok(Err(fault)) => return News::Fault(fault.to_string()),
                        Err(_) => return News::Fault(Fault::Panicked.to_string()),
                    }
                }
                Opening::Open { listener, .. } => match listener.accept().await {
                    Ok((stream, _)) => self.service.answer(stream),
                    // Who has gone away again is not missed.
                    Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                    Err(error) => {
                        // It would come again at once, such as that no descriptor is left.
                        self.pause = Some(pause());
                        if !std::mem::replace(&mut self.told, true) {
                            let text = format!("take a connection on the control socket: {error}");
                            return News::Fault(text);
                        }
                    }
                },
                Opening::Closed => std::future::pending().await,
            }
        }
    }
}

/// Resolves after a moment, or later if no thread is to be had: the runtime has no timers.
fn pause() -> oneshot::Receiver<()> {
    let (tell, over) = oneshot::channel();
    let body = move || {
        thread::sleep(PAUSE);
        // The supervisor may have ended.
        let _ = tell.send(());
    };
    // A thread that is not available is waited for.
    let _ = threads::start_service("pause", threads::SMALL, body);
    over
}

fn listening(mut door: Door) -> Option<Opening> {
    let listener = UnixListener::from_std(door.listener()?).ok()?;
    Some(Opening::Open { listener, _door: door })
}
