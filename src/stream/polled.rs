//! Reading and writing a descriptor that reports readiness, with as few system calls as the system allows.
//!
//! Readiness is edge-triggered: it is remembered until a call finds nothing more to do, and then reported anew only after
//! a change. Nothing here may forget a change that came between a call and the clearing; tokio's guards take care of that
//! with a counter, which is why readiness is only ever cleared through the guard under which the call was made.

use std::cell::OnceCell;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use nix::errno::Errno;
use nix::libc;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use tokio::io::unix::AsyncFd;
use tokio::io::{Interest, ReadBuf};

use super::inherited::Fd;

/// The most slices that one call takes (`IOV_MAX` on Linux and macOS).
const MAX_SLICES: usize = 1024;

/// The reading side.
#[derive(Debug)]
pub(super) struct Incoming {
    io: AsyncFd<Fd>,
    /// Whether reads do not wait for readiness yet: a FIFO whose writers were gone when we opened it reports none. This
    /// ends when nothing is left to read.
    eager: bool,
    /// Asks for the loss of the writer. Registered only when somebody asks, with a descriptor of its own.
    lost: OnceCell<AsyncFd<OwnedFd>>,
}

impl Incoming {
    pub(super) fn new(fd: Fd) -> io::Result<Self> {
        Ok(Self { io: register(fd, Interest::READABLE)?, eager: true, lost: OnceCell::new() })
    }

    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let room = buf.remaining();
        if room == 0 {
            return Poll::Ready(Ok(()));
        }
        if self.eager {
            match uninterrupted(|| read(self.io.get_ref(), buf)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.eager = false,
                done => return Poll::Ready(done.map(drop)),
            }
        }
        loop {
            let mut guard = ready!(self.io.poll_read_ready(cx))?;
            match guard.try_io(|io| uninterrupted(|| read(io.get_ref(), buf))) {
                Ok(done) => {
                    // A short read has emptied the pipe, which saves the read that would find that out. In packet mode
                    // it proves nothing. At the end of input the readiness stays.
                    let in_packets = self.io.get_ref().in_packets;
                    if !in_packets && done.as_ref().is_ok_and(|&count| 0 < count && count < room) {
                        guard.clear_ready();
                    }
                    return Poll::Ready(done.map(drop));
                }
                Err(_would_block) => {}
            }
        }
    }

    pub(super) fn poll_writer_lost(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.lost.get().is_none() {
            let registered = self
                .io
                .get_ref()
                .as_fd()
                .try_clone_to_owned()
                .and_then(|fd| register(fd, Interest::READABLE));
            // Without a descriptor to spare the loss shows when the next read is made.
            let Ok(registered) = registered else { return Poll::Pending };
            let _ = self.lost.set(registered);
        }
        let Some(lost) = self.lost.get() else { return Poll::Pending };
        loop {
            // It fails only when the runtime is going down; whoever asks is going down with it.
            let Ok(mut guard) = ready!(lost.poll_read_ready(cx)) else { return Poll::Ready(()) };
            if guard.ready().is_read_closed() {
                return Poll::Ready(());
            }
            // Only data; whoever asks is not going to read it now.
            guard.clear_ready();
        }
    }

    pub(super) fn unread(&self) -> io::Result<usize> {
        unread(&self.io)
    }
}

/// The writing side.
#[derive(Debug)]
pub(super) struct Outgoing {
    fd: Arc<Fd>,
    /// Asks for room. Registered only while there is none.
    room: Option<AsyncFd<Arc<Fd>>>,
    /// Asks for the loss of the reader and for nothing else. A descriptor of its own, because one can be registered once.
    lost: AsyncFd<OwnedFd>,
}

impl Outgoing {
    /// For a socket the system counts the bytes that it has received, which is something else.
    pub(super) fn unread(&self) -> io::Result<usize> {
        if self.fd.is_socket { Ok(0) } else { unread(&*self.fd) }
    }

    pub(super) fn new(fd: Fd) -> io::Result<Self> {
        let lost = register(fd.as_fd().try_clone_to_owned()?, lost_interest(fd.is_socket))?;
        Ok(Self { fd: Arc::new(fd), room: None, lost })
    }

    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let slices = &slices[..slices.len().min(MAX_SLICES)];
        let full: usize = slices.iter().map(|slice| slice.len()).sum();
        if full == 0 {
            return Poll::Ready(Ok(0));
        }
        if self.room.is_none() {
            match uninterrupted(|| write(&self.fd, slices)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(count) if count < full => {
                    self.room = Some(ask_for_room(&self.fd)?);
                    return Poll::Ready(Ok(count));
                }
                done => return Poll::Ready(done),
            }
        }
        let room = match &mut self.room {
            Some(room) => room,
            none => none.insert(ask_for_room(&self.fd)?),
        };
        loop {
            let mut guard = ready!(room.poll_write_ready(cx))?;
            match guard.try_io(|io| uninterrupted(|| write(io.get_ref(), slices))) {
                Ok(Ok(count)) if count < full => {
                    guard.clear_ready();
                    return Poll::Ready(Ok(count));
                }
                Ok(done) => {
                    self.room = None;
                    return Poll::Ready(done);
                }
                Err(_would_block) => {}
            }
        }
    }

    pub(super) fn poll_reader_lost(&self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // It fails only when the runtime is going down; whoever asks is going down with it. What both interests lead
            // to is reported as the end of writing: EPOLLERR alone, EPOLLHUP, and kqueue's end of file.
            let Ok(mut guard) = ready!(self.lost.poll_write_ready(cx)) else { return Poll::Ready(()) };
            if guard.ready().is_write_closed() {
                return Poll::Ready(());
            }
            guard.clear_ready();
        }
    }
}

/// Registers a descriptor with the runtime that the caller is in, for good or until the result is dropped. `T` has to own
/// its descriptor and always name the same.
pub(crate) fn register<T: AsFd + AsRawFd + 'static>(fd: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    #[expect(unsafe_code, reason = "the safe constructors of AsyncFd are deprecated in favour of this one")]
    // SAFETY: an `AsFd` that borrows nothing keeps its descriptor open as long as it lives, and the types used in this
    // crate (`OwnedFd`, `Fd`, an `Arc` of it) always return the same one.
    let registered = unsafe { AsyncFd::register_with_interest(fd, interest) };
    Ok(registered?)
}

fn ask_for_room(fd: &Arc<Fd>) -> io::Result<AsyncFd<Arc<Fd>>> {
    register(Arc::clone(fd), Interest::WRITABLE)
}

/// What to register for so that the loss of the reader is reported, and as little else as possible.
#[cfg(target_os = "linux")]
fn lost_interest(is_socket: bool) -> Interest {
    if is_socket {
        // Reports urgent data, which nobody sends, and EPOLLHUP, which comes when both directions are closed. Data, and
        // a peer that only ended its own side, are not reported: the same socket may be our stdin.
        Interest::PRIORITY
    } else {
        // EPOLLERR is how the writing end of a pipe tells that it has no reader.
        Interest::ERROR
    }
}

/// The end of the reader comes with room to write on kqueue.
#[cfg(not(target_os = "linux"))]
fn lost_interest(_is_socket: bool) -> Interest {
    Interest::WRITABLE
}

fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
}

/// One read into the unfilled part, which need not be initialised first: that would cost more than the read.
fn read(fd: &Fd, buf: &mut ReadBuf<'_>) -> io::Result<usize> {
    #[expect(unsafe_code, reason = "the safe wrappers read into initialised memory only")]
    // SAFETY: nothing is taken out of the slice, and exactly the bytes that were read into it are declared initialised.
    unsafe {
        let unfilled = buf.unfilled_mut();
        let count = if fd.dont_wait {
            rustix::net::recv(fd, unfilled, RecvFlags::DONTWAIT)?.1
        } else {
            rustix::io::read(fd, unfilled)?.0.len()
        };
        buf.assume_init(count);
        buf.advance(count);
        Ok(count)
    }
}

/// One write. Rust's runtime ignores SIGPIPE, so a lost reader is an error like any other.
fn write(fd: &Fd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let written = match (slices, fd.dont_wait) {
        ([bytes], true) => rustix::net::send(fd, bytes, flags),
        ([bytes], false) => rustix::io::write(fd, bytes),
        (_, true) => rustix::net::sendmsg(fd, slices, &mut SendAncillaryBuffer::default(), flags),
        (_, false) => rustix::io::writev(fd, slices),
    };
    Ok(written?)
}

/// How many bytes there are to read. A pipe reports the same number at both ends.
fn unread(fd: &impl AsRawFd) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    #[expect(unsafe_code, reason = "FIONREAD has no safe wrapper; it writes one int, which is ours")]
    // SAFETY: the descriptor is open, and the call writes one int.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut count) };
    Errno::result(result)?;
    Ok(usize::try_from(count).unwrap_or(0))
}
