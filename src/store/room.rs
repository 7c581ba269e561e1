//! The room's thread: writes what the ledger has to say, and tells what goes wrong, each kind once.
//!
//! Whatever happens on it, a panic included, ends in a fault that is told, and never goes further.

use std::mem::{Discriminant, discriminant, replace};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{mpsc, oneshot};

use super::ends::Ends;
use super::fault::Fault;
use super::lock::Pauses;
use super::{Place, file, forget, write};
use crate::ledger::{Batch, Session, Shared, millis};
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
    /// Set when one was told, or the end is beside the file: then it is no news that the end comes too late.
    settled: Arc<AtomicBool>,
}

impl Teller {
    fn tell(&mut self, fault: Fault) {
        let kind = discriminant(&fault);
        if !self.told.contains(&kind) {
            self.told.push(kind);
            self.settled.store(true, Ordering::Relaxed);
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
    /// The row as it is on disk. `None` before it is.
    on_disk: Option<Session>,
    /// How many ends were put beside the file.
    put: u32,
}

impl Room {
    pub(super) fn new(
        place: Place,
        shared: Arc<Shared>,
        tell: mpsc::UnboundedSender<Fault>,
        settled: Arc<AtomicBool>,
        rest: fn(),
    ) -> Self {
        let teller = Teller { tell, told: Vec::new(), settled };
        Self { place, shared, teller, rest, until_forget: 0, on_disk: None, put: 0 }
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
        // Whoever is killed soon is to be known.
        let mut settle = Duration::ZERO;
        loop {
            let mut batch = self.shared.next(settle, PAUSE, KEEPALIVE);
            settle = SETTLE;
            if batch.last && batch.events.is_empty() && self.is_on_disk(&batch.session) {
                return;
            }
            // Of one moment: an end that is told meanwhile is not to look older than this batch.
            let now = now();
            self.shared.alive(now);
            batch.session.alive_at = batch.session.alive_at.max(millis(now));
            let (done, written) = self.write(&batch);
            let put_off = matches!(written, Err(Fault::Locked(_))) && self.is_outdated(&batch);
            if let Err(fault) = written
                && !put_off
            {
                self.teller.tell(fault);
            }
            if batch.last {
                return;
            }
            (self.rest)();
            if done {
                self.on_disk = Some(batch.session);
                continue;
            }
            self.shared.give_back(batch.events);
            if !put_off {
                self.shared.rest(RETRY);
            }
        }
    }

    /// Whether nothing has changed since, but that we live.
    fn is_on_disk(&self, session: &Session) -> bool {
        let alive_at = session.alive_at;
        self.on_disk.as_ref().is_some_and(|known| Session { alive_at, ..known.clone() } == *session)
    }

    /// Whether more is told of the end by now than in this batch: that must not wait for it.
    fn is_outdated(&self, batch: &Batch) -> bool {
        self.shared.ending() != told_end(batch)
    }

    /// Writes a batch. Whether it is on disk, in the file or beside it, and what went wrong.
    fn write(&mut self, batch: &Batch) -> (bool, Result<(), Fault>) {
        let path = match file::path(self.place.data_dir.as_deref()) {
            Ok(path) => path,
            Err(fault) => return (false, Err(fault)),
        };
        let ends = Ends::beside(&path);
        let told = told_end(batch);
        let ending = told.0;
        // Whoever ends may not live to see its turn.
        let put = if ending {
            file::prepare(&path).ok().and_then(|()| ends.put(batch, self.put).ok())
        } else {
            None
        };
        if put.is_some() {
            self.put += 1;
            self.teller.settled.store(true, Ordering::Relaxed);
        }
        // The end must not wait for what can be done by the next one.
        let is_due = self.until_forget == 0 && !ending;
        let (now, keep) = (millis(now()), self.place.keep);
        let mut tidied = Ok(());
        let mut again = false;
        let pauses = if ending { Pauses::TO_END } else { Pauses::TO_WRITE };
        let shared = Arc::clone(&self.shared);
        let outdated = || shared.ending() != told;
        let tell = &mut |fault| self.teller.tell(fault);
        let written = file::write(&path, pauses, &outdated, tell, |db| {
            ends.take(db)?;
            // What was put beside the file has been taken from there, now or by somebody else before; but into no file that is
            // begun anew.
            if put.is_none() || replace(&mut again, true) {
                write::batch(db, batch)?;
            }
            if is_due {
                tidied = match write::close_lost(db, &ends, now).and_then(|_| forget::forget(db, now, keep)) {
                    // What the batch has not touched may be damaged all the same: all of it goes to a new file.
                    Err(damage) if Fault::is_damage(&damage) => return Err(damage),
                    done => done,
                };
            }
            Ok(())
        });
        match &written {
            Ok(()) => {
                // What fails of it is tried again a day later: the batch itself is written.
                tidied.unwrap_or_else(|error| self.teller.tell(Fault::of(&path, error)));
                self.until_forget = if is_due { FORGET } else { self.until_forget.saturating_sub(1) };
                (true, written)
            }
            // Whoever has the lock next writes it down.
            Err(Fault::Locked(_) | Fault::Full(_)) => (put.is_some(), written),
            Err(_) => {
                if let Some(file) = &put {
                    ends.remove(file);
                }
                (false, written)
            }
        }
    }
}

/// How much a batch tells of the end, in the order of [`Shared::ending`].
fn told_end(batch: &Batch) -> (bool, bool, bool) {
    (batch.session.close_reason.is_some(), batch.session.closed_at.is_some(), batch.last)
}

/// Wall-clock time since the Unix epoch.
pub(super) fn now() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "a keepalive is written when nothing else happens")]
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
