//! Follows the supervisors: finds their sockets, listens to each, and learns how a session has ended.
//!
//! ```text
//! sockets --each 500 ms--> a follower for each --listen--> status, events, signs of life --> board
//!                                              --silence of a broken line--> store: how has it ended?
//! ```
//!
//! A session is over when its row in the store says so, or when its supervisor is known to be gone: then nothing more
//! is to come. Who merely does not answer is asked again, for ever.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use super::board::{Board, PACE, Trouble};
use super::health::Update;
use super::hub::Hub;
use super::shelf::Shelf;
use crate::control::client::{Ear, Refusal, Supervisor, Supervisors};
use crate::control::{Status, Told};
use crate::ledger::{CloseReason, Event, Session};
use crate::store::is_lost;
use crate::threads;

/// How often it is looked for sockets.
const LOOK: Duration = Duration::from_millis(500);
/// How long a supervisor has to answer, and to say how it stands.
const ANSWER: Duration = Duration::from_secs(3);
/// When one that does not answer is asked again.
const AGAIN: Duration = Duration::from_secs(3);
/// When one that cannot be understood is asked again: it may be another one by then, with the same session.
const STRANGE: Duration = Duration::from_secs(10);
/// How often it is looked whether a session has ended whose supervisor is not to be heard any more.
const ENDING: Duration = Duration::from_millis(100);
/// How many times, before the supervisor is asked again.
const LOOKS: usize = 10;
/// How often all who listen are told how it goes.
const HEALTH: Duration = Duration::from_secs(5);

/// Follows all supervisors, for ever.
pub(super) async fn watch(hub: Arc<Hub>, supervisors: Supervisors, shelf: Shelf) {
    let mut followed = BTreeSet::new();
    let mut followers = JoinSet::new();
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = look.tick() => {
                let supervisors = supervisors.clone();
                let found = threads::blocking(move || supervisors.list()).await;
                let (found, why) = match found {
                    Ok(Ok(found)) => (found, None),
                    Ok(Err(fault)) => (Vec::new(), Some(format!("failed to {fault}"))),
                    Err(error) => (Vec::new(), Some(format!("failed to look for control sockets: {error}"))),
                };
                hub.put(|board, _| { board.sockets = why; None });
                for supervisor in found {
                    if followed.insert(supervisor.session().to_owned()) {
                        let new = Follower { hub: Arc::clone(&hub), shelf: shelf.clone(), supervisor };
                        followers.spawn(new.follow());
                    }
                }
            }
            Some(ended) = followers.join_next() => {
                // One that has panicked is not tried again.
                if let Ok(id) = ended {
                    followed.remove(&id);
                }
            }
        }
    }
}

/// Tells what was held back, and every few seconds how it goes.
pub(super) async fn tell(hub: Arc<Hub>, shelf: Shelf) {
    let mut pace = interval(PACE);
    let mut health = interval(HEALTH);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    health.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = pace.tick() => hub.put(Board::due),
            _ = health.tick() => {
                if hub.is_heard() {
                    let (hub, shelf) = (Arc::clone(&hub), shelf.clone());
                    // A store that does not answer holds up nobody.
                    tokio::spawn(async move { hub.tell(&Update::take(&hub, &shelf).await) });
                }
            }
        }
    }
}

/// Follows one supervisor.
struct Follower {
    hub: Arc<Hub>,
    shelf: Shelf,
    supervisor: Supervisor,
}

impl Follower {
    /// Follows it until it is gone. Gives the id of its session.
    async fn follow(self) -> String {
        let id = self.supervisor.session().to_owned();
        loop {
            let pause = match self.supervisor.listen(ANSWER).await {
                Ok(ear) => match self.hear(ear).await {
                    None if self.end().await => break,
                    pause => pause.unwrap_or_default(),
                },
                Err(Refusal::Gone) if self.end().await => break,
                Err(Refusal::Gone) => Duration::ZERO,
                Err(Refusal::Silent) => self.trouble(Trouble::Silent, AGAIN),
                Err(Refusal::Strange(_) | Refusal::Refused(_)) => self.trouble(Trouble::Strange, STRANGE),
                Err(Refusal::System(_)) => AGAIN,
            };
            sleep(pause).await;
        }
        self.hub.put(|board, _| {
            board.trouble(&id, None);
            None
        });
        id
    }

    /// Listens to the end. How long to wait before it is asked again: `None` if it is over, as far as can be heard.
    async fn hear(&self, mut ear: Ear) -> Option<Duration> {
        // What happens between the first look and the first status is told after it.
        let mut early = Vec::new();
        match timeout(ANSWER, first(&mut ear, &mut early)).await {
            Ok(Some(status)) => self.put(Told::Status(status)),
            Ok(None) => return None,
            Err(_) => return Some(self.trouble(Trouble::Strange, STRANGE)),
        }
        for event in early {
            self.put(Told::Event(event));
        }
        while let Some(told) = ear.next().await {
            self.put(told);
        }
        None
    }

    fn put(&self, told: Told) {
        let id = self.supervisor.session();
        self.hub.put(|board, now| match told {
            // Nobody speaks for others.
            Told::Status(status) if status.session.id == id => board.status(now, *status),
            Told::Event(event) if event.session == id => board.event(now, event),
            Told::Status(_) | Told::Event(_) => None,
            Told::Alive => {
                board.alive(now, id);
                None
            }
        });
    }

    fn trouble(&self, trouble: Trouble, pause: Duration) -> Duration {
        self.hub.put(|board, _| {
            board.trouble(self.supervisor.session(), Some(trouble));
            None
        });
        pause
    }

    /// Learns how the session has ended whose supervisor is not to be heard any more. Whether it has.
    async fn end(&self) -> bool {
        for _ in 0..LOOKS {
            let id = self.supervisor.session();
            let Some(last) = self.hub.look(|board, _| board.live_row(id).cloned()) else { return true };
            // First this: what the store has afterwards is all that it will ever have.
            let now = self.hub.now().wall;
            let gone = threads::blocking({
                let last = last.clone();
                move || is_lost(&last, now)
            });
            let gone = gone.await.unwrap_or(false);
            let id = id.to_owned();
            let stored = self.shelf.read(move |reader| reader.session(&id)).await.ok().flatten().flatten();
            if let Some(row) = stored.filter(|row| !row.is_open()) {
                self.hub.put(|board, now| board.end(now, row, true));
                return true;
            }
            if gone {
                self.hub.put(|board, now| board.end(now, over(last, now.wall), false));
                return true;
            }
            sleep(ENDING).await;
        }
        false
    }
}

/// Waits for the first status.
async fn first(ear: &mut Ear, early: &mut Vec<Event>) -> Option<Box<Status>> {
    loop {
        match ear.next().await? {
            Told::Status(status) => return Some(status),
            Told::Event(event) => early.push(event),
            Told::Alive => {}
        }
    }
}

/// The row of a session whose supervisor is gone, and has not written its end.
fn over(last: Session, wall: i64) -> Session {
    Session {
        closed_at: Some(wall),
        close_reason: last.close_reason.or(Some(CloseReason::Lost)),
        phase: "stopped".to_owned(),
        ..last
    }
}
