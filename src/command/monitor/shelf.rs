//! The store, as the monitor reads it: never on the thread that answers, by few at once, and never waited for for long.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::command::recorded;
use crate::store::{Fault, Reader, Totals};

/// The most that read at once: each has a thread of its own meanwhile.
const AT_ONCE: usize = 4;
/// How long a turn is waited for, and then those who write.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where sessions are read that were recorded.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    data_dir: Option<PathBuf>,
    turns: Arc<Semaphore>,
    /// What was last counted there.
    counted: Arc<Mutex<Counted>>,
}

/// What the store adds up to, and what it has of sessions that were known then: whether each is open there, and its calls.
#[derive(Clone, Debug, Default)]
pub(super) struct Counted {
    pub(super) totals: Totals,
    pub(super) stored: BTreeMap<String, (bool, u64)>,
}

impl Shelf {
    /// The store in this directory for everything that we store, `None` for the platform's.
    pub(super) fn new(data_dir: Option<PathBuf>) -> Self {
        Self { data_dir, turns: Arc::new(Semaphore::new(AT_ONCE)), counted: Arc::default() }
    }

    /// What was counted now; where that cannot be known, what was counted last: a total does not fall because nobody can read.
    pub(super) fn count(&self, now: Option<Counted>) -> Counted {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(now) = now {
            *counted = now;
        }
        counted.clone()
    }

    /// Reads. `None` where nothing was recorded yet; an error as a sentence for a person.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Reader) -> Result<T, Fault> + Send + 'static,
    ) -> Result<Option<T>, String> {
        let Ok(place) = timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await else {
            return Err("failed to read what was recorded: others who read take too long".to_owned());
        };
        let read = move |reader: &Reader| {
            // Nobody closes the semaphore. The place is kept until the thread is done, however long that takes.
            let _place = place;
            read(reader)
        };
        recorded::read(self.data_dir.clone(), PATIENCE, read).await.map_err(|why| format!("failed to {why}"))
    }
}
