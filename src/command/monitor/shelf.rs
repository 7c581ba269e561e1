//! The store, as the monitor reads it: never on the thread that answers, by few at once, and never waited for for long.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::store::{Fault, Reader, Totals};

/// The most that read at once: each has a thread of its own meanwhile.
const AT_ONCE: usize = 4;
/// How long a reading may take, its turn included.
const PATIENCE: Duration = Duration::from_secs(3);

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
        let reading = async {
            // Nobody closes the semaphore. The place is kept until the thread is done, however long that takes.
            let place = Arc::clone(&self.turns).acquire_owned().await;
            let data_dir = self.data_dir.clone();
            spawn_blocking(move || {
                let _place = place;
                read(&Reader::open(data_dir.as_deref())?)
            })
            .await
        };
        match timeout(PATIENCE, reading).await {
            Ok(Ok(Ok(found))) => Ok(Some(found)),
            Ok(Ok(Err(Fault::Absent(_)))) => Ok(None),
            Ok(Ok(Err(fault))) => Err(format!("failed to {fault}")),
            Ok(Err(_)) => Err("failed to read what was recorded: it has panicked".to_owned()),
            Err(_) => Err("failed to read what was recorded: it takes too long".to_owned()),
        }
    }
}
