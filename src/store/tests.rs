//! The store on a real disk: many writers, and everything that can be wrong with a file.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use super::{
    FILE, Fault, Faults, Page, Place, Reader, Store, Totals, Which, begin, file, lock, schema, write,
};
use crate::engine::io::{Exit, Gen};
use crate::engine::note::{Note, StopCause};
use crate::ledger::{ApiState, Batch, CloseReason, Event, Kind, Ledger, Session, Shared, TokenState};
use crate::wire::{Id, Method};

/// How long readers wait for writers.
const PATIENCE: Duration = Duration::from_secs(5);

/// A directory of a test's own.
struct Disk(TempDir);

impl Disk {
    fn new() -> Self {
        let private = Permissions::from_mode(0o700);
        Self(tempfile::Builder::new().permissions(private).tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self) -> PathBuf {
        self.0.path().join(FILE)
    }

    fn place(&self) -> Place {
        Place { data_dir: Some(self.0.path().to_owned()), keep: Duration::from_secs(90 * 24 * 60 * 60) }
    }

    /// The store of a fresh session.
    fn open(&self) -> (Store, Faults, Arc<Shared>) {
        let shared = Arc::new(Shared::new(Ledger::new(begin(super::room::now()))));
        let (store, faults) = Store::open(self.place(), Arc::clone(&shared), || ());
        (store, faults, shared)
    }

    fn reader(&self) -> Reader {
        Reader::open(Some(self.path()), PATIENCE).unwrap()
    }

    fn sessions(&self, which: Which) -> Vec<Session> {
        self.reader().page(which, None, 1000).unwrap().sessions
    }

    fn put(&self, sessions: &[Session]) {
        self.write(|db| {
            sessions.iter().try_for_each(|session| {
                write::batch(db, &Batch { session: session.clone(), events: Vec::new(), last: false })
            })
        });
    }

    fn write<T>(&self, work: impl FnMut(&mut Connection) -> rusqlite::Result<T>) -> T {
        let tell = &mut |fault| panic!("{fault}");
        file::write(&self.file(), lock::Pauses::TO_WRITE, &|| false, tell, work).unwrap()
    }

    /// The file, open for tests that write more than once.
    fn db(&self) -> Connection {
        self.put(&[]);
        Connection::open(self.file()).unwrap()
    }
}

fn note(shared: &Shared, note: &Note) {
    shared.note(Duration::ZERO, super::room::now(), note);
}

fn stop(shared: &Shared) {
    note(shared, &Note::Stopping { cause: StopCause::HostEof });
    note(shared, &Note::Stopped { code: 0 });
}

/// Lets the store write the rest. What went wrong by then.
fn finish(store: Store, mut faults: Faults) -> Vec<Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(store.finish(std::future::pending())).unwrap();
    std::iter::from_fn(|| faults.try_next()).collect()
}

/// What goes wrong first.
fn first(faults: &mut Faults) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(faults.next()).to_string()
}

/// An id as of this time.
fn id(at: i64) -> String {
    let seconds = u64::try_from(at / 1000).unwrap();
    uuid::Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0)).to_string()
}

#[test]
fn a_row_comes_back_as_it_was_written_in_each_of_its_columns() {
    let disk = Disk::new();
    let full = Session {
        id: id(1000),
        name: "n\u{e4}me".to_owned(),
        command: "npx server".to_owned(),
        transport: "stdio".to_owned(),
        client_name: Some("host".to_owned()),
        client_version: Some("1".to_owned()),
        protocol_version: Some("2025-06-18".to_owned()),
        server_name: Some("server".to_owned()),
        server_version: Some("2".to_owned()),
        pid: u32::MAX,
        pid_started: "boot/1:2".to_owned(),
        created_at: 3,
        last_active: Some(4),
        alive_at: 5,
        phase: "degraded".to_owned(),
        tool_calls: 6,
        requests: 7,
        errors: 8,
        guidance_answers: 9,
        restarts: 10,
        noise_lines: 11,
        bytes_to_server: 12,
        bytes_to_host: 1 << 60,
        token_state: TokenState::Expired,
        token_expires_at: Some(13),
        closed_at: Some(14),
        close_reason: Some(CloseReason::HostGone),
        api_state: ApiState::Locked,
    };
    let empty = Session { closed_at: Some(1), ..Session::begins(id(2000), 0) };
    disk.put(&[full.clone(), empty.clone()]);
    assert_eq!(disk.sessions(Which::All), [empty, full]);
}

#[test]
fn what_is_stored_is_for_its_owner_only() {
    let disk = Disk::new();
    let dir = disk.path().join("made");
    let place = Place { data_dir: Some(dir.clone()), ..disk.place() };
    let shared = Arc::new(Shared::new(Ledger::new(begin(super::room::now()))));
    let (store, faults) = Store::open(place, Arc::clone(&shared), || ());
    stop(&shared);
    assert!(finish(store, faults).is_empty());
    assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o7777, 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().mode() & 0o7777, 0o600);
    }
}

#[test]
fn twenty_writers_at_once_lose_nothing() {
    const WRITERS: usize = 20;
    const CRASHES: usize = 50;
    let disk = Disk::new();
    thread::scope(|scope| {
        for _ in 0..WRITERS {
            scope.spawn(|| {
                let (store, faults, shared) = disk.open();
                for _ in 0..CRASHES {
                    note(
                        &shared,
                        &Note::Requested { id: Id::text("1"), method: Method::new("tools/call"), name: None },
                    );
                    let exit = Exit::Signal(9);
                    note(&shared, &Note::Exited { child: Gen(1), exit, crash: true, by_us: false });
                }
                stop(&shared);
                assert!(finish(store, faults).is_empty());
            });
        }
    });
    let sessions = disk.sessions(Which::Closed);
    assert_eq!(sessions.len(), WRITERS);
    for session in sessions {
        assert_eq!((session.tool_calls, session.requests), (CRASHES as u64, CRASHES as u64));
        let events = disk.reader().events(Some(&session.id), usize::MAX).unwrap();
        assert_eq!(events.iter().filter(|event| event.kind == Kind::Crashed).count(), CRASHES);
        assert_eq!(events.last().map(|event| event.kind), Some(Kind::Stopped));
    }
    let totals = disk.reader().totals().unwrap();
    let tool_calls = (WRITERS * CRASHES) as u64;
    assert_eq!(totals, Totals { total: 20, open: 0, tool_calls, closed_millis: totals.closed_millis });
}

#[test]
fn a_file_that_is_none_is_set_aside_and_told_once() {
    let disk = Disk::new();
    fs::write(disk.file(), "this is no database, but somebody's diary".repeat(100)).unwrap();
    let (store, mut faults, shared) = disk.open();
    note(&shared, &Note::Heard);
    stop(&shared);
    let told = first(&mut faults);
    assert!(told.contains("is damaged; it was set aside as"), "{told}");
    assert!(finish(store, faults).is_empty(), "nothing else, and nothing twice");
    assert_eq!(disk.sessions(Which::Closed).len(), 1);
    let aside: Vec<PathBuf> = fs::read_dir(disk.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains(".damaged-"))
        .collect();
    let [aside] = &aside[..] else { panic!("{aside:?}") };
    assert!(fs::read_to_string(aside).unwrap().starts_with("this is no database"), "it is kept as it was");
}

#[test]
fn a_file_that_is_damaged_in_its_middle_is_set_aside_once_whoever_finds_it() {
    let disk = Disk::new();
    let old: Vec<Session> =
        (0..200).map(|at| Session { closed_at: Some(at), ..Session::begins(id(at), at) }).collect();
    disk.put(&old);
    // Into the file itself, so that there is something in its middle.
    let db = Connection::open(disk.file()).unwrap();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(db);
    let mut bytes = fs::read(disk.file()).unwrap();
    for byte in &mut bytes[4096..] {
        *byte = 0xaa;
    }
    fs::write(disk.file(), &bytes).unwrap();
    let told: Vec<String> = thread::scope(|scope| {
        let writers: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let (store, faults, shared) = disk.open();
                    stop(&shared);
                    finish(store, faults).iter().map(ToString::to_string).collect::<Vec<_>>()
                })
            })
            .collect();
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect()
    });
    let set_aside = told.iter().filter(|told| told.contains("set aside")).count();
    assert_eq!((told.len(), set_aside), (1, 1), "{told:?}");
    assert_eq!(disk.sessions(Which::Closed).len(), 8, "whoever came second has found a sound one");
}

#[test]
fn a_file_of_a_newer_release_is_left_alone() {
    let disk = Disk::new();
    disk.put(&[]);
    let db = Connection::open(disk.file()).unwrap();
    db.pragma_update(None, "user_version", schema::VERSION + 1).unwrap();
    drop(db);
    let (store, faults, shared) = disk.open();
    stop(&shared);
    let faults = finish(store, faults);
    assert!(matches!(faults[..], [Fault::Newer { .. }]), "{faults:?}");
    let told = Reader::open(Some(disk.path()), PATIENCE).unwrap_err().to_string();
    assert!(told.contains("newer release") && told.contains("hint: update"), "{told}");
    let db = Connection::open(disk.file()).unwrap();
    assert_eq!(schema::version(&db).unwrap(), schema::VERSION + 1);
    assert_eq!(db.query_row("SELECT count(*) FROM sessions", [], |row| row.get::<_, i64>(0)).unwrap(), 0);
}

#[test]
fn what_is_locked_is_told_and_written_when_it_is_free() {
    let disk = Disk::new();
    disk.put(&[]);
    let locker = Connection::open(disk.file()).unwrap();
    locker.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let (store, mut faults, shared) = disk.open();
    note(&shared, &Note::Spawned { child: Gen(1), pid: 7 });
    let told = first(&mut faults);
    assert!(told.contains("has it locked"), "{told}");
    drop(locker);
    stop(&shared);
    assert!(finish(store, faults).is_empty());
    let [session] = &disk.sessions(Which::Closed)[..] else { panic!("one session") };
    let events = disk.reader().events(Some(&session.id), 10).unwrap();
    let kinds: Vec<Kind> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [Kind::Started, Kind::Stopped], "what could not be written is written later");
}

#[test]
fn a_file_that_is_deleted_or_moved_is_begun_anew() {
    let disk = Disk::new();
    let (store, faults, shared) = disk.open();
    note(&shared, &Note::Spawned { child: Gen(1), pid: 7 });
    // The last that is made with it is its log.
    while !fs::metadata(disk.path().join(format!("{FILE}-wal"))).is_ok_and(|found| found.len() > 0) {
        thread::yield_now();
    }
    for part in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(disk.path().join(format!("{FILE}{part}")));
    }
    stop(&shared);
    assert!(finish(store, faults).is_empty());
    assert_eq!(disk.sessions(Which::Closed).len(), 1);
}

#[test]
fn what_others_could_have_put_there_is_not_used() {
    type Make = fn(&Disk);
    let rows: [(&str, Make); 4] = [
        ("it is not a regular file", |disk| fs::create_dir(disk.file()).unwrap()),
        ("it is not a regular file", |disk| {
            fs::write(disk.path().join("other"), "").unwrap();
            symlink(disk.path().join("other"), disk.file()).unwrap();
        }),
        ("others may write to it", |disk| {
            fs::write(disk.file(), "").unwrap();
            fs::set_permissions(disk.file(), Permissions::from_mode(0o666)).unwrap();
        }),
        ("others may write to it", |disk| {
            fs::set_permissions(disk.path(), Permissions::from_mode(0o777)).unwrap();
        }),
    ];
    for (why, make) in rows {
        let disk = Disk::new();
        make(&disk);
        let (store, mut faults, shared) = disk.open();
        note(&shared, &Note::Spawned { child: Gen(1), pid: 7 });
        let told = first(&mut faults);
        assert!(told.contains(why), "{why}: {told}");
        stop(&shared);
        assert!(finish(store, faults).is_empty(), "it is told once");
        assert!(Reader::open(Some(disk.path()), PATIENCE).is_err());
    }
}

#[test]
fn what_was_never_written_is_absent() {
    let disk = Disk::new();
    assert!(matches!(Reader::open(Some(disk.path()), PATIENCE), Err(Fault::Absent(_))));
    assert!(!disk.file().exists(), "to look makes nothing");
}

#[test]
fn a_supervisor_that_has_died_without_a_word_is_lost_and_one_that_lives_is_not() {
    let disk = Disk::new();
    let living = begin(super::room::now());
    let dead = Session {
        alive_at: 70,
        last_active: Some(60),
        pid_started: "x".to_owned(),
        ..Session::begins(id(50), 50)
    };
    disk.put(&[living.clone(), dead.clone()]);
    assert_eq!(disk.sessions(Which::Open), [living]);
    let [lost] = &disk.sessions(Which::Closed)[..] else { panic!("one is over") };
    let closed = Session {
        closed_at: Some(70),
        close_reason: Some(CloseReason::Lost),
        phase: "stopped".to_owned(),
        ..dead
    };
    assert_eq!(*lost, closed);
}

#[test]
fn words_of_a_newer_release_hide_no_session_and_keep_nothing_from_being_written() {
    static RESTED: AtomicBool = AtomicBool::new(false);
    let disk = Disk::new();
    let now = crate::ledger::millis(super::room::now());
    let known = Session { closed_at: Some(now), ..Session::begins(id(now - 9000), now - 9000) };
    // Of a process that is nowhere: it is lost.
    let started = format!("{}0", begin(super::room::now()).pid_started);
    let odd = Session { pid_started: started, ..Session::begins(id(now - 5000), now) };
    disk.put(&[known, odd.clone()]);
    let db = disk.db();
    let sql = "UPDATE sessions SET token_state = 'refreshing', close_reason = 'bored', api_state = 'asleep' WHERE id = ?1";
    db.execute(sql, [&odd.id]).unwrap();
    db.execute("INSERT INTO events (session, at, kind, text) VALUES (?1, 1, 'sang', '')", [&odd.id]).unwrap();
    drop(db);
    let shared = Arc::new(Shared::new(Ledger::new(begin(super::room::now()))));
    let (store, faults) =
        Store::open(disk.place(), Arc::clone(&shared), || RESTED.store(true, Ordering::Release));
    note(&shared, &Note::Spawned { child: Gen(1), pid: 7 });
    // Until the first batch is written, and what is lost and old was looked for.
    while !RESTED.load(Ordering::Acquire) {
        thread::yield_now();
    }
    stop(&shared);
    assert!(finish(store, faults).is_empty());
    let [session, odd, _] = &disk.sessions(Which::Closed)[..] else { panic!("three are over") };
    let known = (odd.token_state, odd.api_state, odd.close_reason);
    assert_eq!(known, (TokenState::Unknown, ApiState::Unknown, None));
    let events = disk.reader().events(None, 10).unwrap();
    let kinds: Vec<Kind> = events.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [Kind::Started, Kind::Stopped], "each once");
    assert_eq!(events[0].session, session.id);
}

#[test]
fn the_file_shares_no_memory_and_is_written_also_while_others_have_it_open() {
    let disk = Disk::new();
    let shm = disk.path().join(format!("{FILE}-shm"));
    let mut session = begin(super::room::now());
    disk.put(std::slice::from_ref(&session));
    assert_eq!(disk.sessions(Which::Open), [session.clone()]);
    assert!(!shm.exists(), "somebody could truncate it");
    // Somebody who looks at it by hand, and has not closed it again.
    let looks = Connection::open(disk.file()).unwrap();
    let calls = |db: &Connection| {
        db.query_row("SELECT tool_calls FROM sessions", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(calls(&looks), 0);
    session.tool_calls = 7;
    disk.put(std::slice::from_ref(&session));
    assert_eq!(calls(&looks), 7);
    assert_eq!(disk.sessions(Which::Open), [session.clone()]);
    // Of those that are shared for its sake, none is missed.
    fs::OpenOptions::new().write(true).open(&shm).unwrap().set_len(0).unwrap();
    drop(looks);
    assert_eq!(disk.sessions(Which::Open), [session]);
}

#[test]
fn what_can_only_be_read_is_read_from_a_copy_that_is_private_and_goes_again() {
    let disk = Disk::new();
    let session = begin(super::room::now());
    disk.put(std::slice::from_ref(&session));
    let copy = file::copy(&disk.file()).unwrap();
    let dir = copy.path().to_owned();
    assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o7777, 0o700);
    fs::set_permissions(disk.file(), Permissions::from_mode(0o400)).unwrap();
    assert_eq!(disk.sessions(Which::Open), std::slice::from_ref(&session));
    fs::remove_file(disk.file()).unwrap();
    let found = Reader::open(Some(&dir), PATIENCE).unwrap().page(Which::Open, None, 10).unwrap().sessions;
    assert_eq!(found, [session], "with what was in the log only");
    drop(copy);
    assert!(!dir.exists());
}

#[test]
fn those_that_end_while_another_has_the_file_have_told_their_end() {
    let disk = Disk::new();
    disk.put(&[]);
    let lock = lock::Lock::take(&disk.file(), PATIENCE, lock::Pauses::TO_WRITE, &|| false).unwrap();
    let ends = disk.path().join("sessions.ends");
    let put = || -> usize {
        let names = fs::read_dir(&ends).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let sessions = names
            .filter_map(|name| Some(name.to_str()?.strip_suffix(".json")?.split_once('.')?.0.to_owned()));
        sessions.collect::<BTreeSet<String>>().len()
    };
    let stores: Vec<_> = (0..40)
        .map(|_| {
            let (store, faults, shared) = disk.open();
            note(&shared, &Note::Spawned { child: Gen(1), pid: 7 });
            // Some of them wait for their turn already.
            while shared.has_unwritten() {
                thread::yield_now();
            }
            stop(&shared);
            (store, faults)
        })
        .collect();
    while put() < 40 {
        thread::yield_now();
    }
    // None of them waits for its turn, as if its host had ended it.
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for (store, mut faults) in stores {
        // That it was put there is known a moment later.
        let finished = runtime.block_on(store.finish(std::future::ready(())));
        assert!(matches!(finished, Ok(()) | Err(Fault::Late)), "{finished:?}");
        assert!(faults.try_next().is_none());
    }
    drop(lock);
    let sessions = disk.sessions(Which::All);
    assert_eq!(sessions.len(), 40);
    assert!(
        sessions.iter().all(|session| session.close_reason == Some(CloseReason::HostEof)),
        "{sessions:?}"
    );
}

#[test]
fn one_that_ends_while_it_waits_in_the_middle_of_a_batch_has_told_its_end() {
    let disk = Disk::new();
    disk.put(&[]);
    let locker = Connection::open(disk.file()).unwrap();
    locker.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let (store, mut faults, shared) = disk.open();
    note(&shared, &Note::Spawned { child: Gen(1), pid: 7 });
    // It has the lock, and the library waits for the other one.
    while lock::Lock::to_look(&disk.file(), Duration::ZERO).is_ok() {
        thread::yield_now();
    }
    stop(&shared);
    let ends = disk.path().join("sessions.ends");
    let late = async {
        let is_put = |entry: fs::DirEntry| entry.path().extension().is_some_and(|end| end == "json");
        while !fs::read_dir(&ends).into_iter().flatten().flatten().any(is_put) {
            thread::yield_now();
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let finished = runtime.block_on(store.finish(late));
    assert!(matches!(finished, Ok(()) | Err(Fault::Late)), "{finished:?}");
    assert!(faults.try_next().is_none());
    drop(locker);
    let [session] = &disk.sessions(Which::All)[..] else { panic!("one session") };
    assert_eq!((session.close_reason, session.is_open()), (Some(CloseReason::HostEof), false));
}

#[test]
fn an_end_that_was_told_and_not_written_to_the_end_is_that_end_and_not_lost() {
    let disk = Disk::new();
    // Of a process that is nowhere.
    let gone = |at: i64| Session {
        pid_started: format!("{}0", begin(super::room::now()).pid_started),
        ..Session::begins(id(at), at)
    };
    let recorded = Session { alive_at: 9000, close_reason: Some(CloseReason::Signal), ..gone(1000) };
    let beside = Session { alive_at: 9000, close_reason: Some(CloseReason::HostGone), ..gone(2000) };
    let open = Session { alive_at: 2000, close_reason: None, ..beside.clone() };
    disk.put(&[recorded, open, gone(3000)]);
    let batch = Batch { session: beside, events: Vec::new(), last: false };
    super::ends::Ends::beside(&disk.file()).put(&batch, 0).unwrap();
    let reasons: Vec<_> = disk.sessions(Which::Closed).iter().map(|session| session.close_reason).collect();
    assert_eq!(reasons, [Some(CloseReason::Lost), Some(CloseReason::HostGone), Some(CloseReason::Signal)]);
}

#[test]
fn of_too_many_events_of_one_session_the_last_are_kept() {
    let disk = Disk::new();
    let session = begin(super::room::now());
    let mut db = disk.db();
    for round in 0..8 {
        let events = (0..100)
            .map(|at| Event {
                session: session.id.clone(),
                at: round * 100 + at,
                kind: Kind::Crashed,
                text: String::new(),
            })
            .collect();
        write::batch(&mut db, &Batch { session: session.clone(), events, last: false }).unwrap();
    }
    let events = disk.reader().events(Some(&session.id), usize::MAX).unwrap();
    assert_eq!(i64::try_from(events.len()).unwrap(), write::MOST_EVENTS);
    assert_eq!((events[0].at, events.last().unwrap().at), (300, 799));
}

#[test]
fn what_ended_last_comes_first_however_long_it_ran() {
    let disk = Disk::new();
    let over =
        |began: i64, ended: i64| Session { closed_at: Some(ended), ..Session::begins(id(began), began) };
    disk.put(&[over(1000, 9000), over(2000, 3000), over(4000, 5000), begin(super::room::now())]);
    let ended = disk.reader().ended(2).unwrap();
    assert_eq!(ended.iter().map(|session| session.created_at).collect::<Vec<_>>(), [1000, 4000]);
}

#[test]
fn pages_follow_each_other_without_a_gap() {
    let disk = Disk::new();
    let all: Vec<Session> =
        (0..25).map(|at| Session { closed_at: Some(at), ..Session::begins(id(at * 1000), at) }).collect();
    disk.put(&all);
    let reader = disk.reader();
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let Page { sessions, next } = reader.page(Which::All, before.as_deref(), 10).unwrap();
        seen.extend(sessions);
        before = next;
        if before.is_none() {
            break;
        }
    }
    seen.reverse();
    assert_eq!(seen, all);
}

/// What the simulator's hosts, servers and faults have told is what can be read later.
#[test]
fn for_every_seed_the_store_has_what_the_notes_have_told() {
    let disk = Disk::new();
    let mut db = disk.db();
    let mut told = Vec::new();
    for seed in 0..crate::engine::SIMULATED {
        let (session, events) = crate::engine::simulated(seed);
        let batch = Batch { session: session.clone(), events: events.clone(), last: true };
        write::batch(&mut db, &batch).unwrap();
        told.push((session, events));
    }
    drop(db);
    let reader = disk.reader();
    for (session, events) in told {
        assert_eq!(reader.session(&session.id).unwrap().as_ref(), Some(&session));
        let most = usize::try_from(write::MOST_EVENTS).unwrap();
        let last = &events[events.len().saturating_sub(most)..];
        assert_eq!(reader.events(Some(&session.id), usize::MAX).unwrap(), last);
    }
}
