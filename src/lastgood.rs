//! Last good greetings and lists on disk: what a server answered in earlier runs, for the times when it is away.
//!
//! The engine names what is good ([`Good`]) and is told once what earlier runs have left. In between lies a folder with
//! one file for each server, and this room reads and writes it on a thread of its own:
//!
//! ```text
//! open ----> read -----> Report::Loaded, once, whatever happens
//! remember -> queue -> settle -> lock, read again, merge, write beside, rename     the thread sleeps in between
//! finish ---> the rest at once, for as long as the caller cares to wait
//! ```
//!
//! Several supervisors of the same server at once are the normal case. Each reads the file again before it writes, so
//! that none undoes what another has learned, and each replaces it in one step, so that nobody ever reads half a file.
//!
//! It must never slow, block or end the relay: what cannot be had is done without, and each kind of trouble is told
//! once, as a [`Report::Fault`]. It decides nothing but what is kept when not everything can be; that is one table of
//! rules, in `entries.rs`. It never follows a link, and never writes over what is not ours.

mod entries;
mod fault;
mod folder;
mod format;
mod key;
#[cfg(test)]
mod laws;
mod place;
mod queue;
mod room;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::engine::io::Good;
pub use fault::{Fault, Misfit, Unusable};
pub use key::Key;
use place::Shelf;
use queue::Queue;
use room::Teller;

/// What the room tells its owner.
#[derive(Debug)]
pub enum Report {
    /// What earlier runs have left of this server, oldest first. Empty where there is nothing or it cannot be read.
    /// Comes exactly once, unless the disk never answers.
    Loaded(Vec<Good>),
    /// Something is done without. Each kind comes once at most, before or after [`Report::Loaded`].
    Fault(Fault),
}

/// The receiving end of the reports.
#[derive(Debug)]
pub struct Reports(mpsc::UnboundedReceiver<Report>);

impl Reports {
    /// The next report. Cancel-safe. Never resolves once nothing more can come.
    pub async fn next(&mut self) -> Report {
        match self.0.recv().await {
            Some(report) => report,
            None => std::future::pending().await,
        }
    }

    /// A report that is already there. `None` while there is none.
    pub fn try_next(&mut self) -> Option<Report> {
        self.0.try_recv().ok()
    }
}

/// The last good answers of one server. Dropping it instead of [`LastGood::finish`] still lets the thread write what
/// was handed in, if the process lives long enough.
#[derive(Debug)]
pub struct LastGood {
    queue: Arc<Queue>,
    teller: Arc<Teller>,
    /// Resolves, with an error, when the thread has ended.
    ended: oneshot::Receiver<()>,
}

impl LastGood {
    /// Starts reading what earlier runs have left of this server. `data_dir` is the directory for everything that we
    /// store, `None` for the platform's (`$XDG_STATE_HOME/mcp-supervise`, `~/.local/state/mcp-supervise`, on macOS
    /// `~/Library/Application Support/mcp-supervise`). Does no I/O itself, and has no errors: they are reported.
    pub fn open(data_dir: Option<PathBuf>, key: Key) -> (Self, Reports) {
        Self::with(Shelf::new(data_dir, key))
    }

    fn with(disk: impl room::Disk) -> (Self, Reports) {
        let (tell, told) = mpsc::unbounded_channel();
        let queue = Arc::new(Queue::default());
        let teller = Arc::new(Teller::new(tell));
        let (end, ended) = oneshot::channel();
        room::start(disk, &queue, &teller, end);
        (Self { queue, teller, ended }, Reports(told))
    }

    /// Keeps this for later runs. Never waits, and never fails for the caller.
    pub fn remember(&self, good: Good) {
        if !self.queue.push(good) {
            self.teller.tell(Fault::Behind);
        }
    }

    /// Writes what is not yet written, and waits for that until `late` resolves. What went wrong with the writing is reported
    /// as always.
    ///
    /// # Errors
    /// [`Fault::Late`] if the time was not enough. The thread goes on for as long as the process lives.
    pub async fn finish(mut self, late: impl Future<Output = ()>) -> Result<(), Fault> {
        self.queue.close();
        tokio::select! {
            biased;
            // The thread never sends: that its end of the channel is gone says that it has ended.
            _ = &mut self.ended => Ok(()),
            () = late => Err(Fault::Late),
        }
    }
}

impl Drop for LastGood {
    fn drop(&mut self) {
        self.queue.close();
    }
}
