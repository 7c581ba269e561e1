//! Descriptors as byte streams that never block the relay: our own stdin, stdout and stderr, and our ends of a child's
//! pipes.
//!
//! The relay runs on one thread, so a read or write that blocks would stop everything. Making a descriptor non-blocking
//! is simple where nobody else uses it ([`Source::owned`], [`Sink::owned`]). Inherited ones share their flags with
//! whoever else holds them, and a host or a shell does not expect its own end to change; each kind is therefore handled
//! in its own way, see `inherited.rs`:
//!
//! | what it is | how it is used |
//! |---|---|
//! | socket (Node hosts) | calls that do not wait (`MSG_DONTWAIT`); elsewhere than on Linux like the last resort for pipes |
//! | pipe, FIFO (shells, most hosts) | opened anew through `/proc/self/fd`; else `O_NONBLOCK`, taken back at exit |
//! | terminal, file, `/dev/null` | a blocking thread, see `threaded.rs` |
//! | closed | stdin has ended, stdout has no reader |
//!
//! On the hot path a message costs one system call in each direction. A read that did not fill its buffer has emptied
//! the pipe, and a write that was cut short has filled it, so neither is tried again before the system reports a change.
//! Writing asks for room only when there is none: on a socket every message that the peer takes out would wake us else.
//!
//! Nothing in here splits, parses or keeps bytes, and nothing in here changes the flags of a socket on Linux.

mod inherited;
mod polled;
#[cfg(test)]
mod tests;
mod threaded;

use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

pub use inherited::restore_flags;
use inherited::{Access, Inherited};
pub(crate) use polled::register;
use polled::{Incoming, Outgoing};
use threaded::Threaded;

/// A byte stream to read from. Reading is cancel-safe: a read that was dropped has taken nothing.
#[derive(Debug)]
pub struct Source(Reading);

#[derive(Debug)]
enum Reading {
    Polled(Incoming),
    File(Box<Threaded>),
    Closed,
}

impl Source {
    /// Our own stdin. Fails where the descriptor cannot be registered with the system (no memory, no descriptor left).
    ///
    /// Must be called inside the runtime. Where stdin is a terminal or a file, a read in progress occupies a thread that
    /// cannot be interrupted: leave by [`std::process::exit`] and do not wait for the runtime to shut down.
    pub fn stdin() -> io::Result<Self> {
        Self::inherited(io::stdin().as_fd())
    }

    /// An end that nobody else holds. It is made non-blocking. Must be called inside the runtime.
    pub fn owned(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self(Reading::Polled(Incoming::new(inherited::own(fd)?)?)))
    }

    /// The same for long lines: if it is a pipe, it is made to hold more.
    pub fn owned_for_long(fd: OwnedFd) -> io::Result<Self> {
        inherited::enlarge(fd.as_fd());
        Self::owned(fd)
    }

    /// How many bytes can be read right now. 0 for terminals and files, which are not asked.
    pub fn unread(&self) -> io::Result<usize> {
        match &self.0 {
            Reading::Polled(polled) => polled.unread(),
            Reading::File(_) | Reading::Closed => Ok(0),
        }
    }

    /// Ready when nothing more can come than what can be read already: the last writer of a pipe is gone, or the peer of
    /// a socket has ended its side. Never for terminals and files. May be asked again; the last who asked is woken.
    pub fn poll_writer_lost(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.0 {
            Reading::Polled(polled) => polled.poll_writer_lost(cx),
            Reading::File(_) => Poll::Pending,
            Reading::Closed => Poll::Ready(()),
        }
    }

    fn inherited(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self(match inherited::adopt(fd, Access::Read)? {
            Inherited::Polled(fd) => Reading::Polled(Incoming::new(fd)?),
            Inherited::File(file) => Reading::File(Box::new(Threaded::new(file))),
            Inherited::Closed => Reading::Closed,
        }))
    }
}

impl AsyncRead for Source {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Reading::Polled(polled) => polled.poll_read(cx, buf),
            Reading::File(file) => file.poll_read(cx, buf),
            Reading::Closed => Poll::Ready(Ok(())),
        }
    }
}

/// A byte stream to write to. Dropping it closes an owned end; nothing closes an inherited one.
///
/// A write to a pipe or socket is done when it returns. A file or terminal keeps what it was given until its thread has
/// written it, so flush before the process exits. A lost reader is the error [`io::ErrorKind::BrokenPipe`].
#[derive(Debug)]
pub struct Sink(Writing);

#[derive(Debug)]
enum Writing {
    Polled(Outgoing),
    File(Box<Threaded>),
    Closed,
}

impl Sink {
    /// Our own stdout; errors and conditions as for [`Source::stdin`].
    pub fn stdout() -> io::Result<Self> {
        if inherited::stdout_was_closed() {
            return Ok(Self(Writing::Closed));
        }
        Self::inherited(io::stdout().as_fd())
    }

    /// Our own stderr; errors and conditions as for [`Source::stdin`].
    pub fn stderr() -> io::Result<Self> {
        Self::inherited(io::stderr().as_fd())
    }

    /// An end that nobody else holds. It is made non-blocking. Must be called inside the runtime.
    pub fn owned(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self(Writing::Polled(Outgoing::new(inherited::own(fd)?)?)))
    }

    /// Whether there was no descriptor from the start.
    pub fn is_closed(&self) -> bool {
        matches!(self.0, Writing::Closed)
    }

    /// Ready when nobody can read any more what is written here, also while nothing is being written: the last reader of
    /// a pipe is gone, or the peer of a socket has closed it. A peer that only ended its own writing still reads. Never
    /// for terminals and files. May be asked again and again; the last who asked is woken.
    pub fn poll_reader_lost(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.0 {
            Writing::Polled(polled) => polled.poll_reader_lost(cx),
            Writing::File(_) => Poll::Pending,
            Writing::Closed => Poll::Ready(()),
        }
    }

    /// How many bytes written to a pipe its reader has not read. 0 for anything but a pipe.
    pub fn unread(&self) -> io::Result<usize> {
        match &self.0 {
            Writing::Polled(polled) => polled.unread(),
            Writing::File(_) | Writing::Closed => Ok(0),
        }
    }

    fn inherited(fd: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self(match inherited::adopt(fd, Access::Write)? {
            Inherited::Polled(fd) => Writing::Polled(Outgoing::new(fd)?),
            Inherited::File(file) => Writing::File(Box::new(Threaded::new(file))),
            Inherited::Closed => Writing::Closed,
        }))
    }
}

impl AsyncWrite for Sink {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Writing::Polled(polled) => polled.poll_write(cx, &[IoSlice::new(bytes)]),
            Writing::File(file) => file.poll_write(cx, &[IoSlice::new(bytes)]),
            Writing::Closed => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            Writing::Polled(polled) => polled.poll_write(cx, slices),
            Writing::File(file) => file.poll_write(cx, slices),
            Writing::Closed => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            Writing::File(file) => file.poll_flush(cx),
            Writing::Polled(_) | Writing::Closed => Poll::Ready(Ok(())),
        }
    }

    /// Flushes. It closes nothing, because a socket that we inherited is not ours to shut down: drop the sink instead.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
