//! A disk that is full when the new token is to be written.

use std::fs;
use std::path::Path;

use super::{balance, balances, plan, text};
use crate::support::daemon::{Daemon, RENEWALS, WALLET, fingerprint};
use crate::support::disk::{Disk, fill, seen_by};

#[test]
fn a_new_token_that_a_full_disk_has_no_room_for_is_used_and_written_when_there_is() {
    let daemon = Daemon::start();
    let session = daemon.ripe();
    let path = daemon.token_file(WALLET);
    let folder = path.parent().expect("it is in a folder");
    let Some(disk) = Disk::new(folder, 64, WALLET, &session.token) else { return };
    daemon.hold(RENEWALS, "before");
    let mut host = plan(&daemon).disk(disk).start();
    host.greet();
    daemon.wait_until(RENEWALS, "held", 1);
    assert!(!path.exists(), "nobody else sees the disk");
    let folder = seen_by(host.pid(), folder);
    let (file, filler) = (folder.join(WALLET), folder.join("filler"));
    assert_eq!(text(&file), session.token);
    fill(&filler);
    daemon.release();

    let within = path.parent().map(Path::display).expect("it is in a folder");
    host.stderr_line_with(&format!(
        "the token file cannot be written in {within}: No space left on device (os error 28); the new token is used all \
         the same, and writing it is tried again"
    ));
    balance(&mut host, "meanwhile");
    let (used, status) = balances(&daemon).pop().expect("it was asked for");
    assert_eq!(status, 200);
    assert_ne!(used, fingerprint(&session.token), "the new one is in use");
    assert_eq!(text(&file), session.token, "the old one is whole");

    // Each time that it is tried, a file is made and removed.
    let touched = || fs::metadata(&folder).and_then(|folder| folder.modified()).expect("the folder is there");
    let last = touched();
    host.until("it is tried again", || touched() != last);
    let unfinished = || fs::read_dir(&folder).expect("the folder is there").flatten().count() > 3;
    host.until("nothing half is left", || !unfinished());
    balance(&mut host, "in vain");

    fs::remove_file(&filler).expect("it is there");
    host.until("the file holds the new token", || text(&file) != session.token);
    let written = text(&file);
    assert_eq!(fingerprint(&written), used);
    assert_eq!(daemon.balance(&written).status, 200, "it serves");
    balance(&mut host, "after");
    assert_eq!(daemon.wait(RENEWALS, 1).len(), 1, "it was renewed once");
    host.finish();
    let stderr = host.stderr();
    assert_eq!(stderr.matches("writing it is tried again").count(), 1, "it is told once: {stderr}");
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("it can be read");
    assert!(!mounts.contains("mcp-tokens"), "nothing is left mounted");
}
