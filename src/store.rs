//! The store: what can be told of sessions later, and by others, in `sessions.db` in the directory for what is stored.
//!
//! ```text
//! relay --note--> ledger <--next batch-- room (a thread) --open, migrate, write, close--> sessions.db (SQLite, WAL)
//!                                                          status, monitor: read -----------^
//! ```
//!
//! Several supervisors write, and none of them for long: one after the other they open the file for each batch, so that one
//! that was deleted, moved or replaced meanwhile is no trouble, and closed again, so that a supervisor at rest holds nothing of
//! it. A batch is the whole row and the events since the last one; one that fails is part of the next.
//!
//! It must never slow, block or end the relay: what cannot be written is done without, and each kind of trouble is told
//! once, as a [`Fault`]. A file that is damaged is set aside under another name, and never deleted; one that a newer
//! release has written is left alone. It counts nothing: that is the ledger's.

mod bus;
mod ends;
mod fault;
mod file;
mod forget;
mod lock;
mod owner;
mod read;
mod room;
mod row;
mod schema;
#[cfg(test)]
mod tests;
mod write;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use self::ends::Ends;
pub use self::fault::Fault;
pub use self::owner::{Owner, is_lost, runs_here};
pub use self::read::{Page, Reader, Totals, Which};
use self::room::Room;
use crate::ledger::{Batch, Session, Shared};
use crate::threads;

/// Where the sessions are, and for how long.
#[derive(Clone, Debug)]
pub struct Place {
    /// The directory for everything that we store. `None` for the platform's.
    pub data_dir: Option<PathBuf>,
    /// For how long sessions that are over are kept.
    pub keep: Duration,
}

/// The file in that directory.
pub const FILE: &str = "sessions.db";

/// The row of a session of this process that begins now, at this wall-clock time since the Unix epoch.
pub fn begin(wall: Duration) -> Session {
    let created_at = crate::ledger::millis(wall);
    let seconds = wall.as_secs();
    let stamp = uuid::Timestamp::from_unix(uuid::NoContext, seconds, wall.subsec_nanos());
    let owner = Owner::ourselves();
    Session {
        pid: owner.pid,
        pid_started: owner.started,
        ..Session::begins(uuid::Uuid::new_v7(stamp).to_string(), created_at)
    }
}

/// The store of one supervisor.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    /// Where the ends are. `None` where there is no place for anything.
    path: Option<PathBuf>,
    /// Whether anything has gone wrong, which was told, or the end is beside the file.
    settled: Arc<AtomicBool>,
    /// Resolves, with an error, when the thread has ended.
    ended: oneshot::Receiver<()>,
}

/// What goes wrong with it, each kind once.
#[derive(Debug)]
pub struct Faults(mpsc::UnboundedReceiver<Fault>);

impl Faults {
    /// The next one. Cancel-safe. Never resolves once nothing more can come.
    pub async fn next(&mut self) -> Fault {
        match self.0.recv().await {
            Some(fault) => fault,
            None => std::future::pending().await,
        }
    }

    /// One that is already there. `None` while there is none.
    pub fn try_next(&mut self) -> Option<Fault> {
        self.0.try_recv().ok()
    }
}

impl Store {
    /// Writes this ledger down from now on, on a thread of its own. `rest` is called on it whenever there is nothing more to
    /// do for a while. Does no I/O itself, and has no errors: they are told.
    pub fn open(place: Place, shared: Arc<Shared>, rest: fn()) -> (Self, Faults) {
        let (tell, told) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let settled = Arc::default();
        let path = file::path(place.data_dir.as_deref()).ok();
        Room::new(place, Arc::clone(&shared), tell, Arc::clone(&settled), rest).start(end);
        (Self { shared, path, settled, ended }, Faults(told))
    }

    /// Writes what is not yet written, and waits for that until `late` resolves.
    ///
    /// # Errors
    /// [`Fault::Late`] if the time was not enough, nothing that was told before says why, and the end is nowhere. The thread
    /// goes on for as long as the process lives.
    pub async fn finish(mut self, late: impl Future<Output = ()>) -> Result<(), Fault> {
        self.shared.end();
        if !self.settled.load(Ordering::Relaxed) {
            self.put_end();
        }
        tokio::select! {
            biased;
            // The thread never sends: that its end of the channel is gone says that it has ended.
            _ = &mut self.ended => Ok(()),
            () = late => if self.settled.load(Ordering::Relaxed) { Ok(()) } else { Err(Fault::Late) },
        }
    }
}

impl Store {
    /// Puts the end beside the file, on another thread: the one that writes may be in the middle of something that takes long.
    /// Of the events, which are still that one's, nothing is put there.
    fn put_end(&self) {
        let Some(path) = self.path.clone() else { return };
        let (settled, (session, ..)) = (Arc::clone(&self.settled), self.shared.look());
        // Without a thread it is as late as it is.
        let _ = threads::start("end", threads::SMALL, move || {
            let end = Batch { session, events: Vec::new(), last: true };
            if file::prepare(&path).is_ok() && Ends::beside(&path).put(&end, Ends::LAST).is_ok() {
                settled.store(true, Ordering::Relaxed);
            }
        });
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.shared.end();
    }
}
