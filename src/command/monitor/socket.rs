//! One WebSocket: what is news, as it happens. What the other side says is not listened to.
//!
//! Who does not keep up is let go of, and not waited for: who comes again gets everything anew.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::health::Update;
use super::hub::{Hub, text};
use super::listen::PATIENCE;
use super::shelf::Shelf;

/// The most of them at once.
pub(super) const MOST: usize = 256;
/// The longest message that is read, in bytes: nobody has anything to say here.
pub(super) const LONGEST: usize = 4 * 1024;
/// How often the other side is asked whether it is still there.
const BEAT: Duration = Duration::from_secs(15);
/// Who has said nothing for this long, not even that, is not.
const SILENCE: Duration = Duration::from_secs(40);
/// How long it may take to say why it is over.
const FAREWELL: Duration = Duration::from_secs(1);

/// Tells what is news until one side has enough. `news` is listened to since before the other side knew that it is
/// connected; `place` is given back at the end.
pub(super) async fn serve(
    mut socket: WebSocket,
    mut news: Receiver<Utf8Bytes>,
    hub: Arc<Hub>,
    shelf: Shelf,
    place: OwnedSemaphorePermit,
) {
    let first = text(&Update::take(&hub, &shelf).await);
    if first.is_some() && !send(&mut socket, first.map(Message::Text)).await {
        return;
    }
    let mut beat = interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard = Instant::now();
    loop {
        let message = tokio::select! {
            biased;
            said = socket.recv() => match said {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(Message::Text(_) | Message::Binary(_) | Message::Ping(_) | Message::Pong(_))) => {
                    heard = Instant::now();
                    continue;
                }
            },
            told = news.recv() => match told {
                Ok(text) => Message::Text(text),
                Err(RecvError::Lagged(_) | RecvError::Closed) => break,
            },
            _ = beat.tick() => {
                if heard.elapsed() > SILENCE {
                    break;
                }
                Message::Ping(axum::body::Bytes::new())
            }
        };
        if !send(&mut socket, Some(message)).await {
            return;
        }
    }
    let reason = CloseFrame { code: close_code::AGAIN, reason: Utf8Bytes::from_static("too slow") };
    let _ = timeout(FAREWELL, socket.send(Message::Close(Some(reason)))).await;
    drop(place);
}

/// Whether it could be sent in time.
async fn send(socket: &mut WebSocket, message: Option<Message>) -> bool {
    let Some(message) = message else { return true };
    matches!(timeout(PATIENCE, socket.send(message)).await, Ok(Ok(())))
}
