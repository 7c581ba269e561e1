//! The gateway: stands between a server and its API on this machine, and puts the token on what the server asks.
//!
//! The server never has the real token. It is told the gateway's address in place of the API's, and gets a stand-in that is
//! worth something here and nowhere else. Whoever knows it may ask the one API behind the gateway, and nothing besides.
//!
//! ```text
//!             stand-in              +---------+   token    +-----+
//!   server  ------------>  Door --> | Porter  | ---------> | API |     one origin; with TLS, proxies, kept connections
//!                                   |  Relay  |            +-----+
//!           <---------------------  |         | <---------
//!                                   +---------+
//!                        Event        |     ^      Verdict: once more, with this token, or not
//!              what came of it        v     |      Published: what is asked with from now on
//!                                    the lease
//! ```
//!
//! A server may ask for a renewal itself, and would get the next token, and void ours. So such a request is not passed on:
//! the session is renewed in its place ([`Event::Wanted`]), and it gets the API's answer with the stand-in in it. Tokens in
//! other answers are replaced too.
//!
//! It does and decides nothing: of an answer that says that the session is over it tells ([`Event::Refused`]), and waits for
//! the [`Verdict`]. Of what came of every other attempt it tells too ([`Event::Ended`]), before the first byte of the answer
//! is handed on. A request is sent at most twice, and the second time only by a verdict, after an answer that proves that
//! the first had no effect.
//!
//! Bodies are streamed in both directions, and held only where a repetition may need them (1 MiB) or where the answer
//! must be understood (64 KiB). Headers go on as they came, but for those of one connection, the token, and redirects to
//! the API itself, which are led back here. It must never follow a redirect, show the token to the server, show the
//! stand-in to the API, or let anybody in by a name that is not its own.

mod door;
mod entrance;
mod headers;
mod outcome;
mod payload;
mod pending;
mod relay;
mod renewal;
mod reply;
mod scrub;
mod stand_in;
#[cfg(test)]
mod tests;
mod upstream;

use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::SecretString;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::engine::lease::io::{Event, RequestId, TokenId};
use crate::listener::{self, Guest, Places};
pub use door::Door;
pub use entrance::{Auth, Entrance};
#[cfg(test)]
pub(crate) use relay::PLANTED;
use relay::Relay;
pub use renewal::Renewals;
pub use scrub::Disguise;
pub use stand_in::{random_path, stand_in};
pub use upstream::{NotAnUpstream, Upstream};

/// How long the head of a request may take, from the end of the request before it or the beginning of the connection.
const HEAD: Duration = Duration::from_secs(10);
/// How long another user of the machine may take to show that he may come in.
const STRANGER: Duration = Duration::from_secs(1);
/// How many connections there are at once.
const PLACES: Places = Places { own: 512, strangers: 32 };
/// The longest head of a request, in bytes.
const LONGEST_HEAD: usize = 64 << 10;

/// Where a gateway leads, and how one gets in.
#[derive(Clone, Debug)]
pub struct Options {
    /// The API.
    pub upstream: Upstream,
    /// Where the token is put, and where the stand-in is looked for.
    pub auth: Auth,
    /// How the server shows that it may come in.
    pub entrance: Entrance,
    /// Which requests are renewals. `None` where that is not known.
    pub renewals: Option<Renewals>,
    /// What the server sees in the place of a token.
    pub disguise: Disguise,
    /// The path for which the API is asked to see whether it answers.
    pub probe: String,
    /// Whether the API says of a session that is over that it is not found.
    pub forgets_sessions: bool,
    /// How long the API has to begin its answer once it has the request. `None`: for ever.
    pub timeout: Option<Duration>,
}

/// What is asked with.
#[derive(Clone, Debug)]
pub enum Published {
    /// Nobody has looked yet: requests wait, for 5 s.
    Unknown,
    /// There is no token: requests are answered here.
    Nothing,
    /// This one.
    Token(TokenId, SecretString),
}

/// What becomes of a request that waits.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Which one, by the number in [`Event::Refused`] or [`Event::Wanted`].
    pub request: RequestId,
    /// What becomes of it.
    pub word: Word,
}

/// What becomes of a request that waits.
#[derive(Clone, Debug)]
pub enum Word {
    /// A refused one is answered as the API has answered it. A renewal is not made.
    AsItIs,
    /// A refused one is made once more, with this.
    Again(TokenId, SecretString),
    /// A renewal is answered with this status and body, in which there may be tokens.
    Answer(u16, Bytes),
    /// A renewal was tried, and the API has not answered; why.
    Failed(String),
}

/// The gateway's side of the lease.
#[derive(Debug)]
pub struct Side {
    /// What is asked with from now on.
    pub tokens: watch::Receiver<Published>,
    /// What came of it: [`Event::Refused`], to which a verdict belongs, and [`Event::Ended`].
    pub tell: mpsc::UnboundedSender<Event>,
    /// The verdicts.
    pub verdicts: mpsc::UnboundedReceiver<Verdict>,
    /// Tokens that were in answers of the API.
    pub seen: mpsc::UnboundedSender<SecretString>,
    /// The API is asked for something, for nobody: [`Event::Probed`] tells how that ends.
    pub probes: mpsc::UnboundedReceiver<()>,
}

/// Who hears what comes of requests.
#[derive(Debug)]
struct Ears {
    tell: mpsc::UnboundedSender<Event>,
    seen: mpsc::UnboundedSender<SecretString>,
}

/// Serves those who knock, until dropped; then all that is under way ends. Needs a tokio runtime, and ends at once where
/// the system refuses to wait for the door.
pub async fn serve(door: Door, options: Options, client: reqwest::Client, side: Side) {
    let Side { tokens, tell, mut verdicts, seen, mut probes } = side;
    let relay = Arc::new(Relay::new(door.port(), options, client, tokens, Ears { tell, seen }));
    let Ok(listener) = TcpListener::from_std(door.into_listener()) else { return };
    let serve = {
        let relay = Arc::clone(&relay);
        move |stream, guest| connection(stream, Arc::clone(&relay), guest)
    };
    let mut listening = pin!(listener::listen(listener, PLACES, serve));
    let mut more = true;
    let mut probing = JoinSet::new();
    loop {
        tokio::select! {
            never = &mut listening => match never {},
            Some(()) = probes.recv() => {
                // One at a time is enough.
                if probing.is_empty() {
                    let relay = Arc::clone(&relay);
                    probing.spawn(async move { relay.probe().await });
                }
            }
            Some(_) = probing.join_next() => {}
            verdict = verdicts.recv(), if more => {
                if let Some(verdict) = verdict {
                    relay.pending().settle(verdict);
                } else {
                    more = false;
                    relay.pending().close();
                }
            }
        }
    }
}

/// Serves one connection to its end.
async fn connection(stream: TcpStream, relay: Arc<Relay>, guest: Arc<Guest>) {
    // Small answers must not wait for more; where the system refuses that, they do.
    let _ = stream.set_nodelay(true);
    let is_stranger = guest.is_stranger();
    let (admit, admitted) = watch::channel(!is_stranger);
    let (guest, admit) = (Arc::clone(&guest), Arc::new(admit));
    let service = service_fn(move |request| {
        let (relay, guest, admit) = (Arc::clone(&relay), Arc::clone(&guest), Arc::clone(&admit));
        let admit = move || {
            guest.admit();
            admit.send_replace(true);
        };
        async move { Ok::<_, Infallible>(relay.answer(request, admit).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_header_size(LONGEST_HEAD)
        .max_buf_size(2 * LONGEST_HEAD)
        // An answer has the date that the API gave it.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service);
    let patience = async {
        sleep(STRANGER).await;
        if !*admitted.borrow() {
            return;
        }
        pending::<()>().await;
    };
    // What went wrong with a connection, the other side knows.
    tokio::select! {
        _ = serving => {}
        () = patience, if is_stranger => {}
    }
}
