//! Connections: taken one by one, each served in a task of its own, and never too many at once.
//!
//! A panic in one of them ends that one. When this is dropped, all of them are.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// How many connections there are at once. Others wait until one ends.
pub(super) const MOST: usize = 512;
/// How long a system that has nothing left is left alone.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves every connection, until dropped.
pub(super) async fn listen<F>(
    listener: TcpListener,
    most: usize,
    mut serve: impl FnMut(TcpStream) -> F,
) -> Infallible
where
    F: Future<Output = ()> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(most));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            (stream, place) = next(&listener, &room) => {
                let serving = serve(stream);
                connections.spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            // How one ended concerns nobody else, even if it was by a panic.
            Some(_) = connections.join_next() => {}
        }
    }
}

/// The next connection for which there is room. Cancel-safe.
async fn next(listener: &TcpListener, room: &Arc<Semaphore>) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // Nobody closes the semaphore; without a place there would still be a connection to serve.
    let place = Arc::clone(room).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            // Too many open files, or a connection that is gone already.
            Err(_) => sleep(PAUSE).await,
        }
    }
}
