//! Who connects to us on this machine: taken one by one, each served in a task of its own, and never too many at once.
//!
//! ```text
//!  accept --> whose is it? --- ours ------------------> a place of its own user's     (the most: Places::own)
//!                          '-- another user's --------> a place of strangers          (the most: Places::strangers)
//!                                                         |  none left: cut
//!                                                         '-- admitted: a place of its own user's, if there is one
//! ```
//!
//! Anybody on the machine can connect. So that another user cannot keep the owner out, whose a connection is is looked up
//! before it is served, where the system tells, and one of another user never holds a place that the owner may need. A
//! panic in one connection ends that one. When this is dropped, all of them are.

mod peer;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep;

use self::peer::is_stranger;
use crate::threads;

/// Of how many connections it is looked up at once whose they are.
const LOOKUPS: usize = 4;
/// How long a system that has nothing left is left alone.
const PAUSE: Duration = Duration::from_millis(100);

/// How many connections there are at once. The owner's wait until one ends, others are cut.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    /// Of the user that we run as, and of those that were admitted.
    pub own: usize,
    /// Of other users.
    pub strangers: usize,
}

/// Whose a connection is, and the place that it has.
#[derive(Debug)]
pub struct Guest {
    stranger: bool,
    own: Arc<Semaphore>,
    /// Given back when the connection ends.
    place: Mutex<Option<OwnedSemaphorePermit>>,
}

impl Guest {
    /// Whether it is known to be another user's.
    pub fn is_stranger(&self) -> bool {
        self.stranger
    }

    /// It has shown that it may be here, whoever it is: from now on it has a place of the owner's, if there is one.
    pub fn admit(&self) {
        if self.stranger
            && let Ok(place) = Arc::clone(&self.own).try_acquire_owned()
        {
            *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Some(place);
        }
    }
}

/// Serves every connection, until dropped.
pub async fn listen<F>(
    listener: TcpListener,
    places: Places,
    serve: impl FnMut(TcpStream, Arc<Guest>) -> F + Clone + Send + 'static,
) -> Infallible
where
    F: Future<Output = ()> + Send + 'static,
{
    listen_by(listener, places, serve, is_stranger).await
}

/// The same, where this says whose a connection is, by the addresses of both ends.
async fn listen_by<F>(
    listener: TcpListener,
    places: Places,
    serve: impl FnMut(TcpStream, Arc<Guest>) -> F + Clone + Send + 'static,
    is_stranger: fn(SocketAddr, SocketAddr) -> bool,
) -> Infallible
where
    F: Future<Output = ()> + Send + 'static,
{
    let own = Arc::new(Semaphore::new(places.own));
    let strangers = Arc::new(Semaphore::new(places.strangers));
    let lookups = Arc::new(Semaphore::new(LOOKUPS));
    let mut connections = JoinSet::new();
    loop {
        // Nobody closes the semaphores; without a place there would still be a connection to serve.
        let place = Arc::clone(&own).acquire_owned().await.ok();
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
        let (mut serve, lookups) = (serve.clone(), Arc::clone(&lookups));
        let (own, strangers) = (Arc::clone(&own), Arc::clone(&strangers));
        connections.spawn(async move {
            let Ok(ours) = stream.local_addr() else { return };
            // Who it is can be looked up only while it is there.
            let stranger = if cfg!(test) {
                // The clock of a test must not run on while a thread is at work.
                is_stranger(peer, ours)
            } else {
                // Each look-up has a thread meanwhile, and anybody can make one necessary.
                let _turn = lookups.acquire().await;
                threads::blocking(move || is_stranger(peer, ours)).await.unwrap_or(true)
            };
            let place = if stranger {
                drop(place);
                let Ok(place) = strangers.try_acquire_owned() else { return };
                Some(place)
            } else {
                place
            };
            let guest = Arc::new(Guest { stranger, own, place: Mutex::new(place) });
            serve(stream, Arc::clone(&guest)).await;
            // Whoever serves need not hold it.
            drop(guest);
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    async fn bound() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// Whether somebody answers before the connection ends.
    async fn is_served(stream: &mut TcpStream) -> bool {
        timeout(LONG, stream.read(&mut [0; 1])).await.unwrap().is_ok_and(|read| read == 1)
    }

    #[tokio::test]
    async fn strangers_take_no_place_of_the_owner_until_they_are_admitted() {
        // The first five are another user's.
        static CONNECTIONS: AtomicUsize = AtomicUsize::new(0);
        fn is_stranger(_: SocketAddr, _: SocketAddr) -> bool {
            CONNECTIONS.fetch_add(1, Ordering::SeqCst) < 5
        }
        let (listener, address) = bound().await;
        let (tell, mut guests) = mpsc::unbounded_channel();
        let serve = move |mut stream: TcpStream, guest: Arc<Guest>| {
            let tell = tell.clone();
            async move {
                let _ = stream.write_all(b"x").await;
                let _ = tell.send(Arc::downgrade(&guest));
                let _ = stream.read(&mut [0; 1]).await;
                drop(guest);
            }
        };
        let places = Places { own: 2, strangers: 2 };
        let task = tokio::spawn(listen_by(listener, places, serve, is_stranger));
        let mut strangers = Vec::new();
        let mut served = 0;
        for _ in 0..5 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            served += usize::from(is_served(&mut stream).await);
            strangers.push(stream);
        }
        assert_eq!(served, 2, "the others are cut");
        let first = guests.recv().await.unwrap().upgrade().unwrap();
        assert!(first.is_stranger());
        let mut owner = TcpStream::connect(address).await.unwrap();
        assert!(is_served(&mut owner).await, "its place is free all the same");
        drop((owner, guests.recv().await));
        let mut owner = TcpStream::connect(address).await.unwrap();
        assert!(is_served(&mut owner).await);
        drop(owner);
        // One that is admitted is like the owner, and leaves its place to another stranger. One place is the next one's.
        while first.own.available_permits() == 0 {
            tokio::task::yield_now().await;
        }
        first.admit();
        assert_eq!(first.own.available_permits(), 0);
        task.abort();
    }
}
