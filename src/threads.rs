//! Starts all threads. A start can fail, and never panics.
//!
//! A user's processes and threads share one limit (`ulimit -u`, `TasksMax=` of systemd, `--pids-limit` of containers).
//! A thread that is not available is a fault of the service that wanted it: the fault is reported once, the start is
//! tried again, and messages go on. Calls that would panic then are not used: [`std::thread::spawn`] and tokio's
//! `spawn_blocking`.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use nix::errno::Errno;
use tokio::sync::oneshot;

/// The stack of a thread that makes a system call or two, in bytes.
pub const SMALL: usize = 64 * 1024;
/// The stack of a thread that runs code of others, in bytes: Rust's default.
pub const ORDINARY: usize = 2 * 1024 * 1024;
/// The meaning of the system's refusal, whose own message is only "Resource temporarily unavailable".
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

/// Runs blocking work on a thread of its own. If the future is dropped, the work runs on, and its result is discarded.
///
/// # Errors
/// If the system has no thread to give, or if the work panicked.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    let (tell, told) = oneshot::channel();
    let body = move || {
        // The receiver may be gone.
        let _ = tell.send(work());
    };
    start("blocking", ORDINARY, body)?;
    told.await.map_err(|_| io::Error::other("it panicked"))
}

/// A service that waits for a thread.
struct Waiting {
    name: &'static str,
    stack: usize,
    body: Box<dyn FnOnce() + Send>,
}

static WAITING: Mutex<Vec<Waiting>> = Mutex::new(Vec::new());
static WAITERS: AtomicUsize = AtomicUsize::new(0);

/// Starts the thread of a service now, or as soon as one is available: [`retry`] tries again.
///
/// # Errors
/// If the system has no thread to give now. The caller is to report that once.
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

/// Starts the services that wait for a thread, as far as threads are available.
pub fn retry() {
    let waiting = std::mem::take(&mut *WAITING.lock().unwrap_or_else(PoisonError::into_inner));
    WAITERS.fetch_sub(waiting.len(), Ordering::Relaxed);
    for service in waiting {
        // The first failure was reported already.
        let _ = try_service(service);
    }
}

/// The same error, in words that name the limit where the system refuses a process or thread.
pub fn named(error: io::Error) -> io::Error {
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
