//! Streams over real pipes, sockets, files and a terminal.

use std::fs::File;
use std::io::{self, IoSlice, PipeReader, PipeWriter, Read as _, Seek as _, Write as _, pipe};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::stat::Mode;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _, AsyncWriteExt as _};

use super::polled::{Incoming, Outgoing};
use super::{Reading, Sink, Source, Writing, inherited, restore_flags};

fn is_blocking(fd: impl AsFd) -> bool {
    !OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).unwrap()).contains(OFlag::O_NONBLOCK)
}

/// Whether a future is pending when the system has been asked once more what is ready.
async fn is_pending(future: impl Future<Output = ()>) -> bool {
    let mut future = std::pin::pin!(future);
    for _ in 0..8 {
        if std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx).is_ready())).await {
            return false;
        }
        // The runtime's own queue is served first; after some rounds it looks at epoll.
        for _ in 0..64 {
            tokio::task::yield_now().await;
        }
    }
    true
}

async fn reader_lost(sink: &Sink) {
    std::future::poll_fn(|cx| sink.poll_reader_lost(cx)).await;
}

async fn writer_lost(source: &Source) {
    std::future::poll_fn(|cx| source.poll_writer_lost(cx)).await;
}

/// Fills what is behind the sink until it takes no more, and returns how much that was.
async fn fill(sink: &mut Sink) -> usize {
    let chunk = vec![b'x'; 100_000];
    let mut total = 0;
    loop {
        let mut count = 0;
        if is_pending(async { count = sink.write(&chunk).await.unwrap() }).await {
            return total;
        }
        total += count;
    }
}

fn inherited_pipe() -> (PipeReader, PipeWriter, Source, Sink) {
    let (reader, writer) = pipe().unwrap();
    let source = Source::inherited(reader.as_fd()).unwrap();
    let sink = Sink::inherited(writer.as_fd()).unwrap();
    (reader, writer, source, sink)
}

#[tokio::test]
async fn an_inherited_pipe_keeps_its_flags_and_carries_bytes_until_the_end() {
    let (reader, writer, mut source, mut sink) = inherited_pipe();
    assert!(is_blocking(&reader) && is_blocking(&writer));

    sink.write_all(b"one\n").await.unwrap();
    assert_eq!(source.unread().unwrap(), 4);
    let mut buf = [0; 16];
    assert_eq!(source.read(&mut buf).await.unwrap(), 4);
    assert_eq!(&buf[..4], b"one\n");
    assert_eq!(source.unread().unwrap(), 0);

    sink.write_all(b"two\n").await.unwrap();
    drop((sink, writer));
    let mut rest = String::new();
    source.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "two\n");
    assert_eq!(source.read(&mut buf).await.unwrap(), 0);
}

#[tokio::test]
async fn a_reader_wakes_for_bytes_and_for_the_end_that_come_later() {
    let (reader, mut writer) = pipe().unwrap();
    let mut source = Source::owned(OwnedFd::from(reader)).unwrap();
    let mut buf = Vec::with_capacity(64);
    assert!(is_pending(async { drop(source.read_buf(&mut buf).await) }).await);
    assert!(buf.is_empty());

    let writing = thread::spawn(move || writer.write_all(b"late").unwrap());
    assert_eq!(source.read_buf(&mut buf).await.unwrap(), 4);
    assert_eq!(source.read_buf(&mut buf).await.unwrap(), 0);
    assert_eq!(buf, b"late");
    writing.join().unwrap();
}

#[tokio::test]
async fn a_full_pipe_is_pending_and_goes_on_when_it_is_read() {
    let (_reader, _writer, source, sink) = inherited_pipe();
    goes_on_when_read(source, sink).await;
}

#[tokio::test]
async fn a_full_socket_is_pending_and_goes_on_when_it_is_read() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let sink = Sink::inherited(ours.as_fd()).unwrap();
    let source = Source::inherited(theirs.as_fd()).unwrap();
    goes_on_when_read(source, sink).await;
    assert!(is_blocking(&ours) && is_blocking(&theirs), "the flags of a socket are never touched");
}

/// Fills what is between the two, then moves more than that through it, in many short writes.
async fn goes_on_when_read(mut source: Source, mut sink: Sink) {
    for _ in 0..2 {
        let filled = fill(&mut sink).await;
        assert!(filled >= 4096);
        assert!(is_pending(async { drop(sink.write(b"y").await) }).await);
        let mut before = vec![0; filled];
        source.read_exact(&mut before).await.unwrap();
        assert!(before.iter().all(|&byte| byte == b'x'));

        let long = vec![b'z'; 1_000_000];
        let mut after = vec![0; long.len()];
        let (written, read) = tokio::join!(sink.write_all(&long), source.read_exact(&mut after));
        written.unwrap();
        read.unwrap();
        assert!(after == long);
    }
}

#[tokio::test]
async fn one_socket_serves_as_stdin_and_as_stdout() {
    let (host, ours) = UnixStream::pair().unwrap();
    // As a host does it: the same description as 0 and as 1.
    let (zero, one) = (ours.try_clone().unwrap(), ours);
    let mut source = Source::inherited(zero.as_fd()).unwrap();
    let mut sink = Sink::inherited(one.as_fd()).unwrap();
    let talk = thread::spawn(move || {
        let mut host = host;
        host.write_all(b"ping").unwrap();
        let mut answer = [0; 4];
        host.read_exact(&mut answer).unwrap();
        host.shutdown(std::net::Shutdown::Write).unwrap();
        (host, answer)
    });
    let mut asked = [0; 4];
    source.read_exact(&mut asked).await.unwrap();
    sink.write_all(b"pong").await.unwrap();
    assert_eq!(source.read(&mut asked).await.unwrap(), 0);
    let (host, answer) = talk.join().unwrap();
    assert_eq!((&asked, &answer), (b"ping", b"pong"));
    // The host has only ended its own side: it still reads.
    assert!(is_pending(reader_lost(&sink)).await);
    drop(host);
    reader_lost(&sink).await;
    assert!(is_blocking(&zero) && is_blocking(&one));
}

#[tokio::test]
async fn the_loss_of_the_reader_is_noticed_without_a_write() {
    let (reader, _writer, source, mut sink) = inherited_pipe();
    assert!(is_pending(reader_lost(&sink)).await);
    fill(&mut sink).await;
    assert!(is_pending(reader_lost(&sink)).await);
    drop((reader, source));
    reader_lost(&sink).await;
    reader_lost(&sink).await;
    assert_eq!(sink.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);

    let (host, ours) = UnixStream::pair().unwrap();
    let mut sink = Sink::inherited(ours.as_fd()).unwrap();
    fill(&mut sink).await;
    assert!(is_pending(reader_lost(&sink)).await);
    drop(host);
    reader_lost(&sink).await;
    assert_eq!(sink.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn the_loss_of_the_writer_is_noticed_although_nothing_is_read() {
    let (reader, mut writer) = pipe().unwrap();
    let mut source = Source::inherited(reader.as_fd()).unwrap();
    writer.write_all(b"unread").unwrap();
    assert!(is_pending(writer_lost(&source)).await);
    writer.write_all(b" and more").unwrap();
    assert!(is_pending(writer_lost(&source)).await);
    drop(writer);
    writer_lost(&source).await;
    let mut rest = String::new();
    source.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "unread and more");
    writer_lost(&source).await;

    // A host on node ends its side of a socket and keeps the other one open.
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let source = Source::inherited(ours.as_fd()).unwrap();
    theirs.write_all(b"unread").unwrap();
    assert!(is_pending(writer_lost(&source)).await);
    theirs.shutdown(std::net::Shutdown::Write).unwrap();
    writer_lost(&source).await;
}

#[tokio::test]
async fn a_lost_reader_wakes_a_writer_that_waits_for_room() {
    let (reader, _writer, source, mut sink) = inherited_pipe();
    fill(&mut sink).await;
    let dropping = thread::spawn(move || drop((reader, source)));
    assert_eq!(sink.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    dropping.join().unwrap();
}

#[tokio::test]
async fn slices_arrive_in_order_through_every_kind() {
    let (reader, writer) = pipe().unwrap();
    let sink = Sink::owned(OwnedFd::from(writer)).unwrap();
    assert_eq!(three_slices(sink, reader).await, "onetwothree");

    let (host, ours) = UnixStream::pair().unwrap();
    let sink = Sink::inherited(ours.as_fd()).unwrap();
    drop(ours);
    assert_eq!(three_slices(sink, host).await, "onetwothree");

    let file = tempfile::tempfile().unwrap();
    let sink = Sink::inherited(file.as_fd()).unwrap();
    let mut again = file.try_clone().unwrap();
    assert_eq!(three_slices(sink, io::empty()).await, "");
    again.rewind().unwrap();
    assert_eq!(io::read_to_string(again).unwrap(), "onetwothree");
}

async fn three_slices(mut sink: Sink, reader: impl io::Read) -> String {
    assert!(sink.is_write_vectored());
    let slices = [&b"one"[..], b"", b"two", b"three"].map(IoSlice::new);
    assert_eq!(sink.write_vectored(&slices).await.unwrap(), 11);
    sink.flush().await.unwrap();
    drop(sink);
    io::read_to_string(reader).unwrap()
}

#[tokio::test]
async fn more_slices_than_one_call_takes_are_cut_and_not_refused() {
    let (reader, writer) = pipe().unwrap();
    let mut sink = Sink::owned(OwnedFd::from(writer)).unwrap();
    let slices = vec![IoSlice::new(b"ab"); 3000];
    assert_eq!(sink.write_vectored(&slices).await.unwrap(), 2048);
    drop(sink);
    assert_eq!(io::read_to_string(reader).unwrap().len(), 2048);
}

#[tokio::test]
async fn a_file_is_read_to_its_end_and_has_no_reader_to_lose() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"from a file").unwrap();
    file.rewind().unwrap();
    let mut source = Source::inherited(file.as_fd()).unwrap();
    let mut text = String::new();
    source.read_to_string(&mut text).await.unwrap();
    assert_eq!(text, "from a file");
    let sink = Sink::inherited(file.as_fd()).unwrap();
    assert!(is_pending(reader_lost(&sink)).await);

    let null = File::options().read(true).write(true).open("/dev/null").unwrap();
    let mut source = Source::inherited(null.as_fd()).unwrap();
    assert_eq!(source.read(&mut [0; 8]).await.unwrap(), 0);
    Sink::inherited(null.as_fd()).unwrap().write_all(b"gone").await.unwrap();
}

#[tokio::test]
async fn a_terminal_is_used_as_it_is() {
    let pty = nix::pty::openpty(None, None).unwrap();
    let (mut screen, slave) = (File::from(pty.master), pty.slave);
    let mut sink = Sink::inherited(slave.as_fd()).unwrap();
    let mut source = Source::inherited(slave.as_fd()).unwrap();
    assert!(is_blocking(&slave));
    sink.write_all(b"shown").await.unwrap();
    sink.flush().await.unwrap();
    let mut shown = [0; 5];
    screen.read_exact(&mut shown).unwrap();
    assert_eq!(&shown, b"shown");
    // The line is there before it is asked for: a thread that waits for a terminal cannot be interrupted.
    screen.write_all(b"typed\n").unwrap();
    let mut typed = [0; 16];
    assert_eq!(source.read(&mut typed).await.unwrap(), 6);
    assert_eq!(&typed[..6], b"typed\n");
    assert!(is_blocking(&slave));
}

#[tokio::test]
async fn a_fifo_that_has_lost_its_writers_before_us_has_ended() {
    let room = tempfile::tempdir().unwrap();
    let path = room.path().join("fifo");
    nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
    let both = File::options().read(true).write(true).open(&path).unwrap();
    let stdin = File::open(&path).unwrap();
    drop(both);
    let mut source = Source::inherited(stdin.as_fd()).unwrap();
    assert_eq!(source.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_closed_descriptor_is_an_ended_stdin_and_a_stdout_without_reader() {
    #[expect(unsafe_code, reason = "a number beyond every limit stands for a closed descriptor")]
    let closed = unsafe { BorrowedFd::borrow_raw(i32::MAX - 1) };
    let mut source = Source::inherited(closed).unwrap();
    assert!(matches!(source.0, Reading::Closed));
    assert_eq!(source.read(&mut [0; 8]).await.unwrap(), 0);
    let mut sink = Sink::inherited(closed).unwrap();
    reader_lost(&sink).await;
    assert_eq!(sink.write(b"x").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn the_last_resort_is_taken_back() {
    let (reader, writer) = pipe().unwrap();
    let lend = |fd: &dyn AsFd| inherited::lend(fd.as_fd(), false).unwrap();
    let mut source = Source(Reading::Polled(Incoming::new(lend(&reader)).unwrap()));
    let mut sink = Sink(Writing::Polled(Outgoing::new(lend(&writer)).unwrap()));
    assert!(!is_blocking(&reader) && !is_blocking(&writer));
    sink.write_all(b"through").await.unwrap();
    let mut text = [0; 7];
    source.read_exact(&mut text).await.unwrap();
    assert_eq!(&text, b"through");
    // Another user of the same description, as with 2>&1: it must not lose the flag when the first one goes.
    let second = Sink(Writing::Polled(Outgoing::new(lend(&writer)).unwrap()));
    drop(sink);
    assert!(!is_blocking(&writer));
    drop((second, source));
    assert!(is_blocking(&reader) && is_blocking(&writer));

    let kept = Source(Reading::Polled(Incoming::new(lend(&reader)).unwrap()));
    assert!(!is_blocking(&reader));
    restore_flags();
    assert!(is_blocking(&reader));
    drop(kept);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_was_written_in_packets_is_all_read_without_another_event() {
    let (reader, writer) = nix::unistd::pipe2(nix::fcntl::OFlag::O_DIRECT).unwrap();
    let mut source = Source::owned(reader).unwrap();
    let mut buffer = [0; 64];
    for packets in [["one\n", "two\n", "three\n"], ["four\n", "five\n", "six\n"]] {
        for packet in packets {
            nix::unistd::write(&writer, packet.as_bytes()).unwrap();
        }
        for packet in packets {
            let count = source.read(&mut buffer).await.unwrap();
            assert_eq!(&buffer[..count], packet.as_bytes());
        }
    }
    drop(writer);
    assert_eq!(source.read(&mut buffer).await.unwrap(), 0);
}
