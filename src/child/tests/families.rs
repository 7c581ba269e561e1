//! Children that leave the session and the group in which they were started, and numbers that get to be a stranger's.

#![cfg(target_os = "linux")]

use nix::errno::Errno;
use nix::sys::signal::kill;
use nix::unistd::getsid;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::task::yield_now;

use super::{all_of, pid_of, shell, spec};
use crate::child::family::Family;
use crate::child::{Child, Guardian, spawn, sys};
use crate::engine::io::{Exit, GroupSignal, Whom};
use crate::threads;

/// A child that has left a helper in its first group. It is asked for its helper's end by its stdout.
async fn deserter() -> Child {
    let script = "sleep 1000 & exec setsid sh -c 'echo ready; read never'";
    let mut child = shell(script);
    let mut line = String::new();
    BufReader::new(&mut child.stdout).read_line(&mut line).await.unwrap();
    assert_eq!(line, "ready\n");
    assert_eq!(getsid(Some(pid_of(&child))), Ok(pid_of(&child)));
    child
}

#[tokio::test]
async fn what_a_child_has_left_in_its_first_group_is_signalled_and_seen() {
    for whom in [Whom::Group, Whom::Rest] {
        let mut child = deserter().await;
        drop(child.stdin.take());
        assert_eq!(child.process.exited().await, Exit::Code(1));
        assert!(child.process.group_runs(), "the helper is left");
        child.process.send(GroupSignal::Term, whom).unwrap();
        assert_eq!(all_of(&mut child.stdout).await, "", "ended because the helper is gone");
        while child.process.group_runs() {
            yield_now().await;
        }
        child.process.forget(false);
    }

    let mut child = deserter().await;
    child.process.send(GroupSignal::Term, Whom::Rest).unwrap();
    assert!(!sys::has_ended(pid_of(&child)), "the leader is not of the rest");
    drop(child.stdin.take());
    assert_eq!(all_of(&mut child.stdout).await, "");
    child.process.forget(false);

    let mut child = deserter().await;
    child.process.forget(false);
    assert_eq!(all_of(&mut child.stdout).await, "", "all are killed");
}

#[tokio::test]
async fn the_number_of_a_session_that_was_left_stays_taken() {
    let mut child = spawn(&spec(&["setsid", "sh", "-c", "echo ready; read never"]), None).unwrap();
    let mut line = String::new();
    BufReader::new(&mut child.stdout).read_line(&mut line).await.unwrap();
    let Family { leader, session, .. } = child.process.living.family;
    assert!(leader != session && getsid(Some(leader)) == Ok(leader), "it has left it");
    assert_eq!(getsid(Some(session)), Ok(session));
    drop(child.stdin.take());
    child.process.exited().await;
    child.process.forget(false);
    while kill(session, None) != Err(Errno::ESRCH) {
        yield_now().await;
    }
    assert_eq!(kill(leader, None), Err(Errno::ESRCH), "nothing is left");
}

#[tokio::test]
async fn who_keeps_the_session_keeps_no_copy_of_our_memory() {
    let held = vec![1_u8; 32 << 20];
    let mut child = shell("read never");
    let keeper = child.process.living.family.session;
    let anonymous = || {
        let status = std::fs::read_to_string(format!("/proc/{keeper}/status")).unwrap_or_default();
        let line =
            status.lines().find_map(|line| line.strip_prefix("RssAnon:").map(str::trim).map(String::from));
        line.and_then(|line| line.strip_suffix(" kB")?.parse::<u64>().ok()).expect("it is known")
    };
    while anonymous() > 8 << 10 {
        yield_now().await;
    }
    assert!(held.iter().all(|byte| *byte == 1), "ours is as it was");
    drop(child.stdin.take());
    child.process.exited().await;
    child.process.forget(false);
}

#[tokio::test]
async fn the_guardian_leaves_a_stranger_alone_that_has_the_number_of_a_group() {
    let gone = {
        let child = shell("exit 0");
        child.process.exited().await;
        let gone = pid_of(&child);
        child.process.forget(false);
        gone
    };
    let stranger = spawn(&spec(&["sleep", "1000"]), None).unwrap();
    let Family { leader, group, .. } = stranger.process.living.family;
    let guardian = Guardian::fork().unwrap();
    let entries = [gone, leader].map(|leader| {
        let entry = guardian.entry();
        // The group was once that of a session which is gone.
        assert!(entry.announcement().unwrap().tell(Family { leader, group, session: gone }));
        entry
    });
    threads::blocking(move || guardian.dismiss()).await.unwrap();
    drop(entries);
    assert!(!sys::has_ended(leader));
    stranger.process.forget(false);
}
