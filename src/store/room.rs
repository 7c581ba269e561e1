//! The room's thread: writes what the ledger has to say, and tells what goes wrong, each kind once.
//!
//! Whatever happens on it, a panic included, ends in a fault that is told, and never goes further.

use std::mem::{Discriminant, discriminant};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};

use super::fault::Fault;
use super::file::Pauses;
use super::{Place, bus, file, write};
use crate::ledger::{Batch, Shared, millis};
use crate::threads;

/// How long an event waits for others to be written with it: a crash and the restart after it are one batch.
const SETTLE: Duration = Duration::from_millis(200);
/// How often counts are written that change all the time.
const PAUSE: Duration = Duration::from_secs(5);
/// How often it is written that the supervisor lives.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// How long after a batch that could not be written the next one is tried.
const RETRY: Duration = Duration::from_secs(10);
/// How often what is old is forgotten.
const FORGET: u32 = 24 * 60;
/// The thread's stack, in bytes. A batch asks for some tens of KiB at most, and is given no deep expressions.
const STACK: usize = 256 * 1024;

/// Tells each kind of fault once.
struct Teller {
    tell: mpsc::UnboundedSender<Fault>,
    told: Vec<Discriminant<Fault>>,
    /// Whether any was told.
    any: Arc<AtomicBool>,
}

impl Teller {
    fn tell(&mut self, fault: Fault) {
        let kind = discriminant(&fault);
        if !self.told.contains(&kind) {
            self.told.push(kind);
            self.any.store(true, Ordering::Relaxed);
            // Whether anybody still listens is not our concern.
            let _ = self.tell.send(fault);
        }
    }
}

/// Who writes.
pub(super) struct Room {
    place: Place,
    shared: Arc<Shared>,
    teller: Teller,
    rest: fn(),
    /// How many batches until what is old is forgotten, and what is lost is closed.
    until_forget: u32,
}

impl Room {
    pub(super) fn new(
        place: Place,
        shared: Arc<Shared>,
        tell: mpsc::UnboundedSender<Fault>,
        any: Arc<AtomicBool>,
        rest: fn(),
    ) -> Self {
        let teller = Teller { tell, told: Vec::new(), any };
        Self { place, shared, teller, rest, until_forget: 0 }
    }

    /// Starts the thread as soon as one is available. `end` is dropped when the thread has ended.
    pub(super) fn start(mut self, end: oneshot::Sender<()>) {
        let tell = self.teller.tell.clone();
        let started = threads::start_service("store", STACK, move || {
            if catch_unwind(AssertUnwindSafe(|| self.live())).is_err() {
                self.teller.tell(Fault::Panicked);
            }
            drop(end);
        });
        if let Err(error) = started {
            let _ = tell.send(Fault::Thread(error));
        }
    }

    /// Writes until the end.
    fn live(&mut self) {
        bus::survive();
        // Whoever is killed soon is to be known.
        let mut settle = Duration::ZERO;
        loop {
            let mut batch = self.shared.next(settle, PAUSE, KEEPALIVE);
            settle = SETTLE;
            self.shared.alive(now());
            batch.session.alive_at = batch.session.alive_at.max(millis(now()));
            let written = self.write(&batch);
            let failed = written.map_err(|fault| self.teller.tell(fault)).is_err();
            if batch.last {
                return;
            }
            (self.rest)();
            if failed {
                self.shared.give_back(batch.events);
                self.shared.rest(RETRY);
            }
        }
    }

    fn write(&mut self, batch: &Batch) -> Result<(), Fault> {
        let path = file::path(self.place.data_dir.as_deref())?;
        // The end must not wait for what can be done by the next one.
        let is_due = self.until_forget == 0 && !batch.last;
        let (now, keep) = (millis(now()), self.place.keep);
        let mut tidied = Ok(());
        let pauses = if batch.last { Pauses::TO_END } else { Pauses::TO_WRITE };
        file::write(&path, pauses, &mut |fault| self.teller.tell(fault), |db| {
            write::batch(db, batch)?;
            if is_due {
                tidied = match write::close_lost(db, now).and_then(|_| write::forget(db, now, keep)) {
                    // What the batch has not touched may be damaged all the same: all of it goes to a new file.
                    Err(damage) if Fault::is_damage(&damage) => return Err(damage),
                    done => done,
                };
            }
            Ok(())
        })?;
        // What fails of it is tried again a day later: the batch itself is written.
        tidied.unwrap_or_else(|error| self.teller.tell(Fault::of(&path, error)));
        self.until_forget = if is_due { FORGET } else { self.until_forget.saturating_sub(1) };
        Ok(())
    }
}

/// Wall-clock time since the Unix epoch.
pub(super) fn now() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "a keepalive is written when nothing else happens")]
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
