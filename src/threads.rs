//! The one place where threads are started: it can fail, and never panics.
//!
//! A user's processes and threads are limited together (`ulimit -u`, `TasksMax=` of systemd, `--pids-limit` of containers),
//! and a thread that cannot be had is a fault of what wanted it: told once and tried again, while messages go on. What would
//! panic there is never called: [`std::thread::spawn`] and tokio's `spawn_blocking`.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use nix::errno::Errno;
use tokio::sync::oneshot;

/// The stack of a thread that makes a system call or two, in bytes.
pub const SMALL: usize = 64 * 1024;
/// The stack of a thread that runs code of others, in bytes: what Rust gives.
pub const ORDINARY: usize = 2 * 1024 * 1024;
/// What the system's refusal means. It says only "Resource temporarily unavailable".
pub const LIMIT: &str = "the process limit is reached";

/// Starts a thread with a stack of this many bytes.
///
/// # Errors
/// If the system has no thread to give; the text fits after "failed to start NAME: ".
pub fn start<T: Send + 'static>(
    name: &str,
    stack: usize,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.to_owned()).stack_size(stack).spawn(body).map_err(named)
}

/// Runs what blocks on a thread of its own. Dropping the future lets it run on without anybody to hear of it.
///
/// # Errors
/// If the system has no thread to give, or if the work panicked.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (tell, told) = oneshot::channel();
    let body = move || {
        // Nobody may want to know any more.
        let _ = tell.send(work());
    };
    start("blocking", ORDINARY, body)?;
    told.await.map_err(|_| io::Error::other("it panicked"))
}

/// The life of a service, that waits for a thread.
struct Waiting {
    name: &'static str,
    stack: usize,
    body: Box<dyn FnOnce() + Send>,
}

static WAITING: Mutex<Vec<Waiting>> = Mutex::new(Vec::new());
static WAITERS: AtomicUsize = AtomicUsize::new(0);

/// Starts the thread of a service, now or as soon as one can be had: [`retry`] tries again.
///
/// # Errors
/// If the system has no thread to give now. It is to be told once.
pub fn start_service(
    name: &'static str,
    stack: usize,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    try_service(Waiting { name, stack, body: Box::new(body) })
}

fn try_service(service: Waiting) -> io::Result<()> {
    let (name, stack) = (service.name, service.stack);
    let place = Arc::new(Mutex::new(Some(service)));
    let take = |place: &Mutex<Option<Waiting>>| place.lock().unwrap_or_else(PoisonError::into_inner).take();
    let started = start(name, stack, {
        let place = Arc::clone(&place);
        move || {
            if let Some(service) = take(&place) {
                (service.body)();
            }
        }
    });
    if started.is_err()
        && let Some(service) = take(&place)
    {
        WAITING.lock().unwrap_or_else(PoisonError::into_inner).push(service);
        WAITERS.fetch_add(1, Ordering::Relaxed);
    }
    started.map(drop)
}

/// Whether a service waits for a thread.
pub fn is_awaited() -> bool {
    WAITERS.load(Ordering::Relaxed) > 0
}

/// Starts the services that wait for a thread, as far as there are threads now.
pub fn retry() {
    let waiting = std::mem::take(&mut *WAITING.lock().unwrap_or_else(PoisonError::into_inner));
    WAITERS.fetch_sub(waiting.len(), Ordering::Relaxed);
    for service in waiting {
        // It was told when it was first tried.
        let _ = try_service(service);
    }
}

fn named(error: io::Error) -> io::Error {
    match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EAGAIN) => io::Error::new(io::ErrorKind::WouldBlock, LIMIT),
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use nix::errno::Errno;

    use super::{blocking, named};

    #[tokio::test]
    async fn what_blocks_gives_its_value_and_a_panic_is_an_error() {
        assert_eq!(blocking(|| 6 * 7).await.unwrap(), 42);
        assert_eq!(blocking(|| panic!("of the work")).await.unwrap_err().to_string(), "it panicked");
    }

    #[test]
    fn a_refusal_is_told_as_the_limit_that_it_is() {
        let refused = |errno: Errno| named(io::Error::from(errno)).to_string();
        assert_eq!(refused(Errno::EAGAIN), "the process limit is reached");
        assert!(refused(Errno::ENOMEM).starts_with("Cannot allocate memory"));
    }
}
