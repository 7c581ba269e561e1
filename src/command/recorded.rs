//! What is recorded, for commands that show it: read on a thread of its own, and not waited for for long. Others may have the
//! file, and a disk may not answer at all.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::runtime;
use tokio::time::timeout;

use crate::store::{Fault, Reader};
use crate::threads;

/// How long a reading may take, beyond the wait for others.
const READING: Duration = Duration::from_secs(1);

/// Runs a command that reads, and leaves behind at its end whatever still waits for a disk.
pub(super) fn block_on<T>(command: impl Future<Output = T>) -> io::Result<T> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let done = runtime.block_on(command);
    runtime.shutdown_background();
    Ok(done)
}

/// Reads in this directory for everything that we store, `None` for the platform's, and waits for those who have it for so
/// long. `None` where nothing was recorded yet; an error as a text that fits after "failed to".
pub(super) async fn read<T: Send + 'static>(
    data_dir: Option<PathBuf>,
    patience: Duration,
    read: impl FnOnce(&Reader) -> Result<T, Fault> + Send + 'static,
) -> Result<Option<T>, String> {
    let reading = threads::blocking(move || read(&Reader::open(data_dir.as_deref(), patience)?));
    match timeout(patience + READING, reading).await {
        Ok(Ok(Ok(found))) => Ok(Some(found)),
        Ok(Ok(Err(Fault::Absent(_)))) => Ok(None),
        Ok(Ok(Err(fault))) => Err(fault.to_string()),
        Ok(Err(error)) => Err(format!("read what was recorded: {error}")),
        Err(_) => Err("read what was recorded: it takes too long".to_owned()),
    }
}
