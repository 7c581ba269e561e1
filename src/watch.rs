//! Files that change: the paths that `--watch` names, and the server's executable.
//!
//! A path is watched by its name: it may be a file or a directory, may lead over links, and need not exist yet. What
//! counts is that something else can be read there than before: written, replaced by a rename, removed, back again, its
//! mode changed, a link on the way pointed elsewhere. In a directory everything below it counts, however deep, but for
//! what lies behind links. Reading never counts, and neither do a file's neighbours.
//!
//! ```text
//!   inotify, FSEvents             the thread `watch`                            the relay
//!  +----------------+  hints   +------------------------+   changes, faults   +-----------+
//!  | Ear, on notify's| ------> | Keeper: follow, compare,| -----------------> | changed() |
//!  | own thread      |  Desk   | place watches, tell     |       Told         | fault()   |
//!  +----------------+          +------------------------+                     +-----------+
//! ```
//!
//! The shapes of events differ between systems, editors and ways of installing, so an event is a hint and no proof: it
//! makes the keeper follow the paths again and compare fingerprints (real path, inode, size, mode, times). All names on
//! the way are watched through the real directories that hold them, so that a missing parent that is made, or a link that
//! is pointed elsewhere, is seen like the file itself. Events from below a watched directory are believed as they are,
//! because a fingerprint of a whole tree costs too much; one is taken only while the first watches are placed. A change
//! is told after the watches that it made necessary are in place, so that nothing that follows the telling is missed.
//! Fingerprints are taken again after watches were placed: what happened in between is no secret either.
//!
//! A user's watches are limited. While the system refuses some, the paths are followed and the fingerprints of trees taken
//! every [`RETRY`], and the watches are requested again.
//!
//! All that may be slow, and it may fail: it happens on threads of its own, and whatever fails in there is told once by
//! [`Watch::fault`] and never ends or delays the relay. Not seen are changes that another machine makes on a network file
//! system, mounts, writes to a watched file through another hard link, writes through a mapping into files of a watched
//! directory, and a second write of the same length within one tick of the file system's clock. Nothing in here reads
//! what is in a file, waits for a change to be over, or decides what follows from it.

mod held;
mod hints;
mod keeper;
#[cfg(test)]
mod tests;
mod told;
mod trace;
mod tree;

use std::any::Any;
use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use notify::RecommendedWatcher;

use crate::engine::io::Changed;
use crate::threads;
use hints::Desk;
use keeper::Keeper;
pub use keeper::RETRY;
use told::Told;

/// The stack of the thread, in bytes: nothing on it recurses, but a panic's backtrace needs room.
const STACK: usize = 256 * 1024;

/// What cannot be watched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// This path, or a part of what is below it. The rest of it, and all other paths, are watched.
    #[error("watch `{}`: {reason}", path.display())]
    Path {
        /// The path, made absolute.
        path: PathBuf,
        /// Why, in the system's words where it has some.
        reason: String,
        /// Whether changes are found by looking, [`RETRY`] apart, until the system grants the watches.
        looking: bool,
    },
    /// The system's watcher is not available, and why. Until it is, changes are found by looking, [`RETRY`] apart.
    #[error("watch for changes: {0}")]
    Unheard(String),
    /// Nothing is watched, or nothing any more; and why.
    #[error("watch for changes: {0}")]
    All(String),
}

impl Fault {
    /// Whether changes are found all the same, only later.
    pub fn is_looked_at(&self) -> bool {
        match self {
            Self::Path { looking, .. } => *looking,
            Self::Unheard(_) => true,
            Self::All(_) => false,
        }
    }
}

/// Watches paths until it is dropped. Without a path it has no thread.
#[derive(Debug)]
pub struct Watch {
    desk: Arc<Desk>,
    told: Arc<Told>,
    /// What relative paths are relative to. `None` if the system could not say.
    cwd: Option<PathBuf>,
    /// How long the first watches are put off.
    quiet: Duration,
    /// How many paths the thread was asked to watch.
    asked: u64,
    started: bool,
}

impl Watch {
    /// Begins to watch these paths, relative ones from the working directory of this moment on. Returns at once: changes
    /// are told against the state in which the thread finds the paths, soon after. What changes in the first `quiet` is
    /// told when that is over, because it is no time for placing watches: Linux walks all names that it remembers of a
    /// directory, which are tens of thousands in a busy one, and nobody finds a file there meanwhile.
    pub fn start(paths: Vec<(Changed, PathBuf)>, quiet: Duration) -> Self {
        let (desk, told) = <(Arc<Desk>, Arc<Told>)>::default();
        let mut watch = Self { desk, told, cwd: env::current_dir().ok(), quiet, asked: 0, started: false };
        watch.ask(paths);
        watch
    }

    /// Watches one more path, like [`Watch::start`]. One that is watched as this kind already stays as it is.
    pub fn add(&mut self, kind: Changed, path: PathBuf) {
        self.ask(vec![(kind, path)]);
    }

    /// Resolves when something has changed since it last resolved for this kind. Many changes in a row are told as one,
    /// or as several a few milliseconds apart. Stays pending as long as nothing changes, also where nothing is or can be
    /// watched. Cancel-safe; for one caller at a time, who may wait for [`Watch::fault`] as well.
    pub async fn changed(&self) -> Changed {
        self.told.next_change().await
    }

    /// Resolves when there is something that cannot be watched: once for each path, and once for everything. Stays
    /// pending as long as all is well. Cancel-safe; for one caller at a time, who may wait for [`Watch::changed`] as well.
    pub async fn fault(&self) -> Fault {
        self.told.next_fault().await
    }

    /// Resolves when every path asked for so far is watched, or cannot be. May take as long as the file system does.
    /// Cancel-safe.
    pub async fn ready(&self) {
        self.told.until_ready(self.asked).await;
    }

    fn ask(&mut self, paths: Vec<(Changed, PathBuf)>) {
        let mut absolute = Vec::new();
        for (kind, path) in paths {
            match &self.cwd {
                Some(cwd) => absolute.push((kind, cwd.join(path))),
                None if path.is_absolute() => absolute.push((kind, path)),
                None => {
                    let reason = "the working directory is unknown".to_owned();
                    self.told.fault(Fault::Path { path, reason, looking: false });
                }
            }
        }
        if absolute.is_empty() {
            return;
        }
        self.asked += absolute.len() as u64;
        self.desk.ask(absolute);
        if !std::mem::replace(&mut self.started, true) {
            let (desk, told) = (Arc::clone(&self.desk), Arc::clone(&self.told));
            let quiet = self.quiet;
            let keep = move || Keeper::<RecommendedWatcher>::new(desk, told, quiet).run();
            on_thread(&self.told, keep);
        }
    }
}

impl Drop for Watch {
    /// The thread ends as soon as the file system lets it; nobody waits for that.
    fn drop(&mut self) {
        self.desk.close();
    }
}

/// Runs this on a thread of its own, as soon as one is available. However it ends, nothing is watched from then on.
fn on_thread(told: &Arc<Told>, keep: impl FnOnce() + Send + 'static) {
    let dark = Arc::clone(told);
    let body = move || {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(keep)) {
            dark.fault(Fault::All(format!("it panicked: {}", message(&*panic))));
        }
        dark.ready(u64::MAX);
    };
    if let Err(error) = threads::start_service("watch", STACK, body) {
        told.fault(Fault::All(error.to_string()));
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a word")
}
