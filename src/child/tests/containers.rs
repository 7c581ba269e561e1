//! Clients of containers that are killed, end by themselves, or do not reach their daemon.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::task::yield_now;

use super::super::{Guardian, spawn};
use super::{pid_of, program, refused, spec};
use crate::engine::io::{Exit, GroupSignal, SpawnFault};
use crate::stream::Source;
use crate::threads;

/// A container client as far as we can tell: it writes the id to the file that its arguments name, and the arguments
/// of a kill to a FIFO.
const FAKE_DOCKER: &str = r#"#!/bin/sh
dir=$(dirname "$0")
case "$*" in
*" run "*)
    while [ "$1" != --cidfile ]; do shift; done
    printf 0123456789abcdef >"$2"
    echo "$2"
    read never ;;
*)
    if [ -e "$dir/away" ]; then
        echo "$*" >>"$dir/failed"
        echo "Cannot connect to the Docker daemon" >&2
        exit 1
    fi
    echo "$*" >"$dir/calls" ;;
esac
"#;

/// The client in a directory of its own, and the lines that it writes for each kill.
async fn fake_docker() -> (tempfile::TempDir, PathBuf, Lines<BufReader<Source>>) {
    let dir = tempfile::tempdir().unwrap();
    let docker = program(dir.path(), "docker", FAKE_DOCKER).await;
    let calls = dir.path().join("calls");
    nix::unistd::mkfifo(&calls, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let reader = fs::File::options().read(true).write(true).open(&calls).unwrap();
    let lines = BufReader::new(Source::owned(reader.into()).unwrap()).lines();
    (dir, docker, lines)
}

#[tokio::test]
async fn killing_the_client_of_a_container_kills_the_container_once() {
    let (_dir, docker, mut calls) = fake_docker().await;

    let mut child =
        spawn(&spec(&[docker.to_str().unwrap(), "--context", "far", "run", "-i", "image"]), None).unwrap();
    let mut cidfile = String::new();
    BufReader::new(&mut child.stdout).read_line(&mut cidfile).await.unwrap();
    child.process.signal(GroupSignal::Kill).unwrap();
    child.process.signal(GroupSignal::Kill).unwrap();
    assert_eq!(child.process.exited().await, Exit::Signal(9));
    assert_eq!(calls.next_line().await.unwrap().as_deref(), Some("--context far kill 0123456789abcdef"));
    child.process.forget(false);
    assert!(!Path::new(cidfile.trim_end()).parent().unwrap().exists());

    // A second call would have been written before this one.
    let mut last = spawn(&spec(&[docker.to_str().unwrap(), "version"]), None).unwrap();
    drop(last.stdin.take());
    assert_eq!(calls.next_line().await.unwrap().as_deref(), Some("version"));
    last.process.exited().await;
    last.process.forget(false);
}

#[tokio::test]
async fn a_cidfile_of_the_persons_own_goes_with_its_container() {
    let (dir, docker, mut calls) = fake_docker().await;
    let file = dir.path().join("cid");
    let argv = [docker.to_str().unwrap(), "--debug", "run", "--cidfile", file.to_str().unwrap(), "image"];
    let start = || async {
        let mut child = spawn(&spec(&argv), None).unwrap();
        let mut line = String::new();
        BufReader::new(&mut child.stdout).read_line(&mut line).await.unwrap();
        assert!(file.exists());
        child
    };

    // Killing the client leaves the container running. It is killed as well, and only then can the next client start.
    let child = start().await;
    kill(pid_of(&child), Signal::SIGKILL).unwrap();
    child.process.exited().await;
    assert_eq!(refused(&argv).fault, SpawnFault::Stopping);
    child.process.forget(false);
    assert_eq!(calls.next_line().await.unwrap().as_deref(), Some("--debug kill 0123456789abcdef"));
    while file.exists() {
        yield_now().await;
    }

    // A client that ends by itself may have lost the daemon, and its container runs on.
    let mut child = start().await;
    drop(child.stdin.take());
    assert!(matches!(child.process.exited().await, Exit::Code(_)));
    child.process.forget(false);
    assert_eq!(calls.next_line().await.unwrap().as_deref(), Some("--debug kill 0123456789abcdef"));
    while file.exists() {
        yield_now().await;
    }

    // A supervisor that is killed leaves the file to its guardian.
    let guardian = Guardian::fork().unwrap();
    let mut child = spawn(&spec(&argv), Some(&guardian)).unwrap();
    let mut line = String::new();
    BufReader::new(&mut child.stdout).read_line(&mut line).await.unwrap();
    threads::blocking(move || guardian.dismiss()).await.unwrap();
    assert_eq!(calls.next_line().await.unwrap().as_deref(), Some("--debug kill 0123456789abcdef"));
    while file.exists() {
        yield_now().await;
    }
    child.process.exited().await;
    child.process.forget(false);

    // A file that another program has written is left alone.
    let other = dir.path().join("other");
    fs::write(&other, "0123456789abcdef").unwrap();
    let mut child =
        spawn(&spec(&[argv[0], "run", "--cidfile", other.to_str().unwrap(), "image"]), None).unwrap();
    drop(child.stdin.take());
    child.process.exited().await;
    child.process.forget(false);
    assert!(other.exists());
}

#[tokio::test]
async fn a_container_that_could_not_be_killed_is_killed_before_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let docker =
        program(dir.path(), "docker", &FAKE_DOCKER.replace(">\"$dir/calls\"", ">>\"$dir/calls\"")).await;
    let path = |name: &str| dir.path().join(name);
    let lines = |name: &str| fs::read_to_string(path(name)).unwrap_or_default().lines().count();
    let file = path("cid");
    let argv = [docker.to_str().unwrap(), "--debug", "run", "--cidfile", file.to_str().unwrap(), "image"];
    let mut child = spawn(&spec(&argv), None).unwrap();
    let mut line = String::new();
    BufReader::new(&mut child.stdout).read_line(&mut line).await.unwrap();

    // The daemon is away for longer than the process that kills the container tries.
    fs::write(path("away"), "").unwrap();
    kill(pid_of(&child), Signal::SIGKILL).unwrap();
    child.process.exited().await;
    child.process.forget(false);
    while lines("failed") < 5 {
        yield_now().await;
    }
    let error = refused(&argv);
    assert_eq!(error.fault, SpawnFault::Stopping);
    assert!(error.message.ends_with("docker: the previous container is still being stopped"), "{error}");
    fs::remove_file(path("away")).unwrap();
    let again = async {
        loop {
            match spawn(&spec(&argv), None) {
                Ok(child) => return child,
                Err(error) => assert_eq!(error.fault, SpawnFault::Stopping),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let next = tokio::time::timeout(Duration::from_secs(60), again).await.expect("the container is killed");
    assert!(lines("calls") >= 1);
    kill(pid_of(&next), Signal::SIGKILL).unwrap();
    next.process.exited().await;
    next.process.forget(false);

    // A container that another program has started with this file is its own affair.
    while file.exists() {
        yield_now().await;
    }
    fs::write(&file, "fedcba9876543210").unwrap();
    let mut other = spawn(&spec(&argv), None).expect("the client is left to complain");
    drop(other.stdin.take());
    other.process.exited().await;
    other.process.forget(false);
    let calls = fs::read_to_string(path("calls")).unwrap();
    assert!(!calls.contains("fedcba9876543210"), "{calls}");
}
