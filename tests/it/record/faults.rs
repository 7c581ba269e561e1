//! A record that cannot be kept, with calls running: it is told once, and nothing else is any different.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};

use nix::fcntl::{Flock, FlockArg};
use rusqlite::Connection;
use serde_json::json;

use super::slay;
use crate::support::outside::status;
use crate::support::{Host, Plan};

#[test]
fn where_nothing_can_be_recorded_calls_go_on_and_it_is_told_once() {
    for (what, words) in [
        ("a directory", "it is not a regular file"),
        ("open to all", "others may write to it"),
        ("newer", "is that of a newer release"),
        ("garbage", "is damaged; it was set aside"),
    ] {
        let plan = Plan::new();
        let file = plan.path("data").join("sessions.db");
        make_data_dir(&plan);
        match what {
            "a directory" => fs::create_dir(&file).expect("it can be made"),
            "open to all" => {
                fs::write(&file, "").expect("it can be made");
                fs::set_permissions(&file, Permissions::from_mode(0o666)).expect("it is ours");
            }
            "newer" => {
                let db = Connection::open(&file).expect("it can be made");
                db.pragma_update(None, "user_version", 99).expect("it can be written");
            }
            _ => fs::write(&file, "garbage".repeat(1000)).expect("it can be made"),
        }
        let mut host = plan.clone().start();
        calls(&mut host, words);
        let stderr = host.all_stderr();
        let told: Vec<&str> = stderr.lines().filter(|line| line.contains("WARN")).collect();
        assert!(matches!(told[..], [one] if one.contains(words)), "{what}: {stderr}");
    }
}

fn make_data_dir(plan: &Plan) {
    DirBuilder::new().mode(0o700).create(plan.path("data")).expect("it can be made");
}

/// Calls go on before and after this is told.
fn calls(host: &mut Host, words: &str) {
    host.greet();
    for number in 0..50 {
        host.ask(number, "pid", &json!({}));
    }
    host.stderr_line_with(words);
    for number in 50..100 {
        host.ask(number, "pid", &json!({}));
    }
    assert_eq!(host.finish(), 0);
}

#[test]
fn a_record_that_is_locked_holds_nothing_up() {
    let plan = Plan::new();
    let mut first = plan.clone().start();
    first.greet();
    first.finish();
    let locker = Connection::open(plan.path("data").join("sessions.db")).expect("it is there");
    locker.execute_batch("BEGIN EXCLUSIVE").expect("nobody else has it");
    let mut host = plan.clone().start();
    calls(&mut host, "another program has it locked");
}

#[cfg(target_os = "linux")]
#[test]
fn a_record_on_a_full_disk_holds_nothing_up() {
    use crate::support::disk::{Disk, fill, seen_by};

    let plan = Plan::new();
    let Some(disk) = Disk::new(&plan.path("data"), 512, "there", "x") else { return };
    let mut host = plan.clone().disk(disk).start();
    let folder = seen_by(host.pid(), &plan.path("data"));
    host.greet();
    host.until("the record is there", || folder.join("sessions.db").exists());
    fill(&folder.join("filler"));
    // Each crash is an event, and wants to be written.
    for generation in 1..4 {
        slay(host.server(generation));
        host.server(generation + 1);
        host.ask(format!("after {generation}"), "pid", &json!({}));
    }
    host.stderr_line_with("the disk is full");
    fs::remove_file(folder.join("filler")).expect("it is there");
    for number in 0..50 {
        host.ask(number, "pid", &json!({}));
    }
    assert_eq!(host.finish(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_record_that_can_only_be_read_holds_nothing_up() {
    use crate::support::disk::Disk;

    // One that is there, and one that would have to be made.
    for file in ["sessions.db", "there"] {
        let plan = Plan::new();
        let Some(disk) = Disk::new(&plan.path("data"), 512, file, "") else { return };
        let mut host = plan.disk(disk.read_only()).start();
        calls(&mut host, "sessions.db: it is read-only");
        let stderr = host.all_stderr();
        let told = stderr.lines().filter(|line| line.contains("WARN") && line.contains("sessions.db"));
        assert_eq!(told.count(), 1, "{file}: {stderr}");
    }
}

/// Another one that has the record and never goes on, as one that was stopped in the middle of a batch.
#[test]
fn a_record_that_somebody_holds_for_ever_holds_nothing_up() {
    let plan = Plan::new();
    make_data_dir(&plan);
    let path = plan.path("data").join("sessions.lock");
    let file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).expect("it can be made");
    let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error);
    let _lock = lock.expect("nobody else has it");
    let mut host = plan.start();
    calls(&mut host, "another program has it locked");
}

/// Another user can lock what all can open, and never give it back.
#[test]
fn a_lock_on_a_directory_that_all_can_open_keeps_nothing_from_being_recorded() {
    let plan = Plan::new();
    make_data_dir(&plan);
    fs::set_permissions(plan.path("data"), Permissions::from_mode(0o755)).expect("it is ours");
    let folder = File::open(plan.path("data")).expect("it is there");
    let lock = Flock::lock(folder, FlockArg::LockExclusive).map_err(|(_, error)| error);
    let _lock = lock.expect("nobody else has it");
    let mut host = plan.clone().start();
    host.greet();
    assert_eq!(host.finish(), 0);
    let found = status(&plan);
    assert_eq!((&found["recent"][0]["close_reason"], &found["warnings"]), (&json!("host_eof"), &json!([])));
    assert!(!host.all_stderr().contains("WARN"), "{}", host.stderr());
}

/// A file that is mapped into memory ends whoever has it there when it is truncated.
#[test]
fn files_of_the_record_that_somebody_truncates_end_neither_a_supervisor_nor_who_looks() {
    use std::sync::atomic::{AtomicBool, Ordering};

    let plan = Plan::new();
    let mut host = plan.clone().start();
    host.greet();
    host.until("it is on disk", || !super::rows(&plan).is_empty());
    let over = AtomicBool::new(false);
    let shm = plan.path("data").join("sessions.db-shm");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&shm);
                drop(file);
                std::thread::yield_now();
            }
        });
        for generation in 1..4 {
            slay(host.server(generation));
            host.server(generation + 1);
            host.ask(format!("after {generation}"), "pid", &json!({}));
            for _ in 0..5 {
                let (code, told, _) = crate::support::outside::ours(&plan, &["status"]);
                assert_eq!(code, 0, "{told}");
                assert!(!told.contains("warning: "), "{told}");
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(host.finish(), 0);
    assert!(!host.all_stderr().contains("damaged"), "{}", host.stderr());
    assert_eq!(status(&plan)["recent"][0]["close_reason"], "host_eof");
}

/// A disk that does not answer: what opens the file waits in the system, where nothing can call it back. The system keeps
/// who opens a file waiting for as long as another has a lease on it.
#[cfg(target_os = "linux")]
#[test]
fn a_record_that_does_not_answer_holds_nothing_up() {
    use crate::support::lease::Lease;

    let plan = Plan::new();
    make_data_dir(&plan);
    let path = plan.path("data").join("sessions.db");
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let Some(lease) = Lease::on(file.expect("it can be made")) else { return };
    let mut host = plan.clone().start();
    host.greet();
    host.until("somebody waits for the record", || lease.is_wanted());
    for number in 0..50 {
        host.ask(number, "pid", &json!({}));
    }
    let found = status(&plan);
    assert_eq!(found["running"][0]["pid"], host.pid(), "{found}");
    assert!(
        found["warnings"][0].as_str().is_some_and(|told| told.contains("another program has it locked")),
        "{found}"
    );
    assert_eq!(host.finish(), 0);
    let stderr = host.all_stderr();
    assert!(!stderr.contains("WARN"), "its end is beside the record: {stderr}");
    drop(lease);
    let found = status(&plan);
    assert_eq!(found["recent"][0]["close_reason"], "host_eof", "{found}");
}
