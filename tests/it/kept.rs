//! What is kept on disk of a server: who can read it, who finds it again, and what happens where it cannot be kept.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::{Value, json};

use crate::support::plan::fixture;
use crate::support::{Host, Plan, join};

/// Runs a server until its greeting and its tools are on disk.
pub(crate) fn fill(plan: &Plan) -> Value {
    let mut host = plan.clone().start();
    host.greet();
    let list = host.list();
    host.until("both answers are on disk", || {
        kept(&host.path("data"))
            .iter()
            .any(|(_, text)| text.contains("serverInfo") && text.contains("inputSchema"))
    });
    host.finish();
    list
}

/// The files of servers below a data directory, and what is in them.
fn kept(data: &Path) -> Vec<(PathBuf, String)> {
    let Ok(entries) = fs::read_dir(data.join("last-good")) else { return Vec::new() };
    let files = entries.filter_map(|entry| Some(entry.ok()?.path()));
    files.filter_map(|path| fs::read_to_string(&path).ok().map(|text| (path, text))).collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it was made").permissions().mode() & 0o7777
}

/// A supervisor that gives its server no time to greet, so that the host is given what is known.
fn impatient(plan: &Plan) -> Host {
    plan.clone().options("--init-timeout 150ms --stop-grace 20ms --term-grace 20ms").start()
}

/// A server that greets in its first life only.
fn forgetful() -> Plan {
    Plan::new().server_with("--later", "--never-greet")
}

/// Whose greeting the host is given.
fn greeted_by(host: &mut Host) -> Value {
    let name = host.greet()["result"]["serverInfo"]["name"].clone();
    host.finish();
    name
}

#[test]
fn what_is_kept_is_for_its_owner_only_and_does_not_show_the_command() {
    let plan = Plan::new().server_with("--last-words", "hunter2hunter2");
    fill(&plan);
    let data = plan.path("data");
    assert_eq!((mode(&data), mode(&data.join("last-good"))), (0o700, 0o700));
    let files = kept(&data);
    let [(path, text)] = &files[..] else { panic!("not one file: {files:?}") };
    assert_eq!(mode(path), 0o600);
    let folder = plan.path("").display().to_string();
    for secret in ["hunter2", "--last-words", "--pid-file", &folder] {
        assert!(!text.contains(secret), "{secret} is in the file");
    }
    let name = path.file_name().and_then(|name| name.to_str()).expect("it is plain");
    assert!(!name.contains("fixture"), "{name}");
}

#[test]
fn a_server_is_known_again_by_its_command_its_name_and_its_folder() {
    let plan = forgetful();
    fill(&plan);
    assert_eq!(greeted_by(&mut impatient(&plan)), "fixture-server");
    assert_eq!(greeted_by(&mut impatient(&plan.clone().options("--name other"))), "other");
    let folder = plan.path("elsewhere");
    fs::create_dir(&folder).unwrap();
    // The name of the command, as everything else that we call a server that we know nothing of.
    let mut host = impatient(&plan.clone().within(folder));
    let greeting = host.greet();
    assert_eq!(greeting["result"]["capabilities"], json!({"tools": {"listChanged": true}}), "{greeting}");
    assert_eq!(host.list()["result"]["tools"][0]["name"], "supervisor_status");
    host.finish();
    // Nothing of this has taken from what is known.
    let mut host = impatient(&plan);
    assert_eq!(host.greet()["result"]["capabilities"]["logging"], json!({}));
    host.finish();
}

#[test]
fn without_the_store_nothing_is_read_and_nothing_is_written() {
    let plan = forgetful().options("--no-store");
    let mut host = plan.clone().start();
    host.greet();
    host.list();
    assert_eq!(host.finish(), 0);
    assert!(!plan.path("data").exists(), "something was written");

    let plan = forgetful();
    fill(&plan);
    let before = kept(&plan.path("data"));
    let mut host = impatient(&plan.clone().options("--no-store"));
    let greeting = host.greet();
    assert_eq!(greeting["result"]["capabilities"], json!({"tools": {"listChanged": true}}), "{greeting}");
    host.finish();
    assert_eq!(kept(&plan.path("data")), before);
}

#[test]
fn a_place_that_cannot_be_used_is_told_once_and_done_without() {
    for (what, words) in [
        ("a device", "it is not a directory"),
        ("a link", "it is not a directory"),
        ("open to all", "others may write to it"),
    ] {
        let plan = Plan::new();
        let data = plan.path("data");
        let folder = data.join("last-good");
        let mut options = String::new();
        match what {
            "a device" => "--data-dir /dev/null".clone_into(&mut options),
            "a link" => {
                fs::create_dir_all(plan.path("target")).unwrap();
                fs::create_dir(&data).unwrap();
                symlink(plan.path("target"), &folder).unwrap();
            }
            _ => {
                fs::create_dir_all(&folder).unwrap();
                fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
            }
        }
        let mut host = plan.clone().options(&options).start();
        assert_eq!(host.greet()["result"]["serverInfo"]["name"], "fixture-server", "{what}");
        assert!(host.list()["result"]["tools"].is_array(), "{what}");
        host.ask(1, "pid", &json!({}));
        // What is to be written is tried until the end, and is told no second time.
        assert_eq!(host.finish(), 0, "{what}");
        let stderr = host.all_stderr();
        // Nor has the record of sessions a place, where the whole directory is none.
        let told: Vec<&str> =
            stderr.lines().filter(|line| !line.contains("failed to keep a record of sessions")).collect();
        assert!(
            matches!(told[..], [one] if one.contains(" WARN ") && one.contains(words)),
            "{what}: {stderr}"
        );
        assert_eq!(stderr.lines().count(), told.len() + usize::from(what == "a device"), "{what}: {stderr}");
        assert!(kept(&data).is_empty(), "{what}");
    }
}

#[test]
fn two_supervisors_at_once_leave_a_whole_file_whenever_one_looks() {
    // Without its records the two have the same command line, and so the same file.
    let plan = Plan::new().command([fixture()]);
    let runs = |name: &'static str| {
        let plan = plan.clone();
        thread::spawn(move || {
            for round in 0..20 {
                let mut host = plan.clone().start();
                host.greet();
                if round % 2 == 0 {
                    host.list();
                }
                assert_eq!(host.finish(), 0);
                let stderr = host.all_stderr();
                // A disk that is slower than an end is told, and is no fault of the file.
                let late = [
                    "failed to finish writing last good answers in time",
                    "failed to finish recording the session in time",
                ];
                let is_late = |line: &str| late.iter().any(|late| line.contains(late));
                assert!(stderr.lines().all(is_late), "{name} {round}: {stderr}");
            }
        })
    };
    let (one, other) = (runs("one"), runs("other"));
    let data = plan.path("data");
    let mut looks = 0;
    while !(one.is_finished() && other.is_finished()) {
        for (path, text) in kept(&data) {
            // What is being written has a name of its own.
            if path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.')) {
                serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
                looks += 1;
            }
        }
    }
    join(one);
    join(other);
    assert!(looks > 0, "nothing was seen");
    let files = kept(&data);
    assert_eq!(files.len(), 1, "{files:?}");
    let text = &files[0].1;
    assert!(text.contains("serverInfo") && text.contains("inputSchema"), "{text}");
}

#[test]
fn a_list_that_was_the_last_thing_before_the_end_is_kept() {
    let plan = forgetful();
    let mut host = plan.clone().start();
    host.greet();
    let list = host.list();
    // Nothing settles any more: it is written now or never.
    host.finish();
    let late = host.all_stderr();
    if late.is_empty() {
        let mut host = impatient(&plan.clone().options("--hold 0s"));
        host.greet();
        assert_eq!(host.list()["result"]["tools"], list["result"]["tools"]);
        host.finish();
    } else {
        // The disk was slower than an end may be, which must have been told.
        assert!(late.contains("failed to finish writing last good answers in time"), "{late}");
    }
}
