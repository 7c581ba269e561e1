//! What it costs to be looked at: the status with a full record, and the relay while two hundred look on.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use rusqlite::Connection;

use super::throughput::stream;
use super::timed;
use crate::host::{Between, Chain, Through, scratch};
use crate::release;
use crate::statistics::Rounds;
use crate::table::Row;

const SESSIONS: u32 = 100_000;
const LOOKS: usize = 25;
const ROUNDS: usize = 15;
const CALLS: u32 = 10_000;
const CLIENTS: usize = 200;

pub(super) fn rows() -> Vec<Row> {
    vec![status(), watched()]
}

/// The program, with what it keeps in this folder.
fn ours(folder: &Path, words: &[&str]) -> Command {
    #[expect(clippy::disallowed_methods, reason = "the program is measured")]
    let mut command = Command::new(release::binary());
    command.args(words).arg("--data-dir").arg(folder.join("mcp-supervise"));
    command.arg("--runtime-dir").arg(folder.join("run")).stdin(Stdio::null()).stdout(Stdio::piped());
    command
}

/// `status` with one session that is over, and with a hundred thousand.
fn status() -> Row {
    let folders = [scratch(), scratch()];
    for folder in &folders {
        Chain::greeted(Between::Supervisor, Through::Pipes, &[], folder.path()).end();
    }
    multiply(folders[1].path());
    let mut rounds = [const { Rounds(Vec::new()) }; 2];
    for _ in 0..LOOKS {
        for (folder, rounds) in folders.iter().zip(&mut rounds) {
            rounds.0.push(
                1e3 * timed(|| {
                    let shown = ours(folder.path(), &["status"]).output().expect("the program runs");
                    assert!(shown.status.success() && shown.stdout.len() > 80, "nothing is shown: {shown:?}");
                }),
            );
        }
    }
    let [one, many] = &rounds;
    Row {
        figure: "status with 100,000 sessions, and with one (direct)".into(),
        direct: one.told(1, " ms"),
        supervisor: many.told(1, " ms"),
        judged: many.told(1, " ms"),
        budget: "<= 50 ms".into(),
        ..Row::default()
    }
}

/// Makes of the one session in the record as many as it may hold, each with its events.
fn multiply(folder: &Path) {
    let db = Connection::open(folder.join("mcp-supervise/sessions.db")).expect("there is a record");
    let columns: String = db
        .query_row(
            "SELECT group_concat(name) FROM pragma_table_info('sessions') WHERE name <> 'id'",
            [],
            |row| row.get(0),
        )
        .expect("it has columns");
    let sql = format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {SESSIONS})
         INSERT INTO sessions (id, {columns}) SELECT printf('00000000-0000-7000-8000-%012x', i), {columns} FROM n, sessions;
         INSERT INTO events (session, at, kind, text) SELECT id, 1, 'started', 'process 1' FROM sessions;"
    );
    db.execute_batch(&sql).expect("there is room");
}

/// The relay alone, and with a monitor that shows it to two hundred.
fn watched() -> Row {
    let folder = scratch();
    let mut chain = Chain::greeted(Between::Supervisor, Through::Pipes, &[], folder.path());
    stream(&mut chain, CALLS, 64, 200);
    let mut rounds = [const { Rounds(Vec::new()) }; 2];
    let mut measure = |chain: &mut Chain, who: usize| {
        let mut done = 0.0;
        let seconds = timed(|| done = (0..10).map(|_| stream(chain, CALLS, 64, 200)).sum());
        rounds[who].0.push(done / seconds);
    };
    for round in 0..ROUNDS {
        if round % 2 == 0 {
            measure(&mut chain, 0);
        }
        let audience = Audience::gather(folder.path());
        measure(&mut chain, 1);
        audience.leave();
        if round % 2 != 0 {
            measure(&mut chain, 0);
        }
    }
    chain.end();
    let [alone, watched] = &rounds;
    Row {
        figure: "200 B, 64 in flight, pipes, 200 looking on, and nobody (direct)".into(),
        direct: alone.told(0, " k/s"),
        supervisor: watched.told(0, " k/s"),
        judged: watched.per(alone).told(2, " x unwatched"),
        budget: ">= 0.95".into(),
        ..Row::default()
    }
}

/// A monitor, and those whom it tells.
struct Audience {
    monitor: Child,
    readers: thread::JoinHandle<()>,
}

impl Audience {
    /// Starts a monitor and has two hundred listen to it. Each has been told something when this returns.
    fn gather(folder: &Path) -> Self {
        let mut monitor =
            ours(folder, &["monitor", "--listen", "127.0.0.1:0"]).spawn().expect("the program runs");
        let mut told = String::new();
        let stdout = monitor.stdout.take().expect("it has one");
        BufReader::new(stdout).read_line(&mut told).expect("it tells where it is");
        let address = told.trim().rsplit("//").next().unwrap_or_default().trim_end_matches('/').to_owned();
        let streams: Vec<TcpStream> = (0..CLIENTS).map(|_| listener(&address)).collect();
        let readers = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime can be made").block_on(async {
                let mut tasks = tokio::task::JoinSet::new();
                for stream in streams {
                    stream.set_nonblocking(true).expect("it is a socket");
                    let mut stream = tokio::net::TcpStream::from_std(stream).expect("it is a socket");
                    tasks.spawn(async move {
                        // Until the monitor is gone.
                        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                    });
                }
                while tasks.join_next().await.is_some() {}
            });
        });
        Self { monitor, readers }
    }

    fn leave(mut self) {
        self.monitor.kill().expect("it runs");
        self.monitor.wait().expect("it is ours");
        self.readers.join().expect("they read");
    }
}

/// One that listens.
fn listener(address: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("the monitor listens");
    let request = format!(
        "GET /ws/sessions HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("it reads");
    let mut told = [0; 4096];
    let count = stream.read(&mut told).expect("it answers");
    assert!(told[..count].starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&told[..count]));
    stream
}
