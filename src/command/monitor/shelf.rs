//! The store, as the monitor reads it: never on the thread that answers, by few at once, and never waited for for long.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::store::{Fault, Reader};

/// The most that read at once: each has a thread of its own meanwhile.
const AT_ONCE: usize = 4;
/// How long a reading may take, its turn included.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where sessions are read that were recorded.
#[derive(Clone, Debug)]
pub(super) struct Shelf {
    data_dir: Option<PathBuf>,
    turns: Arc<Semaphore>,
}

impl Shelf {
    /// The store in this directory for everything that we store, `None` for the platform's.
    pub(super) fn new(data_dir: Option<PathBuf>) -> Self {
        Self { data_dir, turns: Arc::new(Semaphore::new(AT_ONCE)) }
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
