//! Children that are real processes.

mod containers;
mod families;

use std::fs;
use std::future::poll_fn;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::signal::{SigHandler, SigSet, Signal, kill};
use nix::unistd::{Pid, getpgid, getsid};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::task::yield_now;

use super::{Child, Guardian, SpawnError, Spec, executable, fault, spawn, sys};
use crate::engine::io::{Exit, GroupSignal, SpawnFault, StoppedBy};
use crate::stream::Source;
use crate::threads;

fn spec(argv: &[&str]) -> Spec {
    Spec { argv: argv.iter().map(Into::into).collect(), env: Vec::new() }
}

fn shell(script: &str) -> Child {
    spawn(&spec(&["/bin/sh", "-c", script]), None).unwrap()
}

fn refused(argv: &[&str]) -> SpawnError {
    spawn(&spec(argv), None).expect_err("it cannot be started")
}

fn pid_of(child: &Child) -> Pid {
    Pid::from_raw(i32::try_from(child.process.pid()).unwrap())
}

async fn all_of(source: &mut Source) -> String {
    let mut text = String::new();
    source.read_to_string(&mut text).await.unwrap();
    text
}

/// A file that may be executed. Another process writes it: while a descriptor to it is open for writing, and be it in a
/// child that another test is about to start, the system refuses to execute it.
pub(super) async fn program(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    let mut child =
        spawn(&spec(&["/bin/sh", "-c", "cat > \"$1\"", "sh", path.to_str().unwrap()]), None).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).await.unwrap();
    drop(stdin);
    assert_eq!(child.process.exited().await, Exit::Code(0));
    child.process.forget(false);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn a_child_is_talked_to_in_one_select_until_it_has_exited() {
    let mut child = shell("read line; echo \"got $line\"; echo oops >&2; exit 3");
    let mut stdin = child.stdin.take();
    let (mut out, mut err, mut exit) = (Vec::new(), Vec::new(), None);
    let (mut out_open, mut err_open) = (true, true);
    while out_open || err_open || exit.is_none() {
        tokio::select! {
            written = async { stdin.as_mut().unwrap().write_all(b"hello\n").await }, if stdin.is_some() => {
                written.unwrap();
                stdin = None;
            }
            count = child.stdout.read_buf(&mut out), if out_open => out_open = count.unwrap() > 0,
            count = child.stderr.read_buf(&mut err), if err_open => err_open = count.unwrap() > 0,
            code = child.process.exited(), if exit.is_none() => exit = Some(code),
        }
    }
    assert_eq!((out.as_slice(), err.as_slice()), (&b"got hello\n"[..], &b"oops\n"[..]));
    assert_eq!(exit, Some(Exit::Code(3)));
    assert_eq!(child.process.exited().await, Exit::Code(3), "it may be asked again");
    child.process.forget(false);
}

#[tokio::test]
async fn a_child_gets_the_environment_asked_for() {
    let spec = Spec {
        argv: ["/bin/sh", "-c", "echo \"$ADDED ${HOME-none}\""].map(Into::into).into(),
        env: vec![("ADDED".into(), Some("yes".into())), ("HOME".into(), None)],
    };
    let mut child = spawn(&spec, None).unwrap();
    assert_eq!(all_of(&mut child.stdout).await, "yes none\n");
    child.process.exited().await;
    child.process.forget(false);
}

#[tokio::test]
async fn a_child_leads_nothing_and_is_not_stopped_by_a_terminal() {
    let mut child = shell("(read line </dev/tty) 2>/dev/null && echo a line; echo none; read never");
    let (pid, group) = (pid_of(&child), Pid::from_raw(child.process.group().cast_signed()));
    let session = getsid(Some(pid)).unwrap();
    assert_eq!(getpgid(Some(pid)), Ok(group));
    assert!(group != pid && Ok(group) != getpgid(None));
    assert!(session != pid && Ok(session) != getsid(None));
    let mut line = String::new();
    BufReader::new(&mut child.stdout).read_line(&mut line).await.unwrap();
    assert_eq!(line, "none\n");
    drop(child.stdin.take());
    child.process.exited().await;
    child.process.forget(false);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_child_may_become_the_leader_of_a_session_and_is_still_ours() {
    // This command forks where it leads a group, and its first process ends at once.
    let guardian = Guardian::fork().unwrap();
    let script = "trap 'exit 7' TERM; echo $$; while :; do sleep 0.05; done";
    let start = || spawn(&spec(&["setsid", "/bin/sh", "-c", script]), Some(&guardian)).unwrap();
    let (mut first, mut second) = (start(), start());
    for child in [&mut first, &mut second] {
        let mut line = String::new();
        BufReader::new(&mut child.stdout).read_line(&mut line).await.unwrap();
        assert_eq!(line.trim_end(), child.process.pid().to_string());
        assert_eq!(
            (child.process.group(), getsid(Some(pid_of(child)))),
            (child.process.pid(), Ok(pid_of(child)))
        );
    }
    first.process.signal(GroupSignal::Term).unwrap();
    assert_eq!(first.process.exited().await, Exit::Code(7));
    first.process.forget(false);
    threads::blocking(move || guardian.dismiss()).await.unwrap();
    assert_eq!(second.process.exited().await, Exit::Code(7), "by the guardian");
    second.process.forget(false);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_child_gets_no_signal_blocked_or_ignored() {
    let ignore = |signal| {
        #[expect(unsafe_code, reason = "signal dispositions have no safe interface")]
        // SAFETY: it runs no code. The signals mean nothing to the other tests.
        unsafe { nix::sys::signal::signal(signal, SigHandler::SigIgn) }.unwrap();
    };
    ignore(Signal::SIGXFSZ);
    ignore(Signal::SIGUSR2);
    SigSet::from(Signal::SIGTERM).thread_block().unwrap();
    let mut child = spawn(&spec(&["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"]), None).unwrap();
    SigSet::from(Signal::SIGTERM).thread_unblock().unwrap();
    let masks = all_of(&mut child.stdout).await;
    let masks: Vec<u64> =
        masks.split_whitespace().filter_map(|word| u64::from_str_radix(word, 16).ok()).collect();
    // The signals from 32 on are the C library's own.
    assert_eq!(masks.iter().map(|mask| mask & 0x7fff_ffff).collect::<Vec<_>>(), [0, 0]);
    child.process.exited().await;
    child.process.forget(false);
}

#[tokio::test]
async fn the_thread_sees_the_same_exits_as_the_pidfd() {
    for (script, exit) in
        [("exit 0", Exit::Code(0)), ("exit 255", Exit::Code(255)), ("kill -9 $$", Exit::Signal(9))]
    {
        let child = shell(&format!("read go; {script}"));
        let watch = sys::ExitWatch::by_thread(pid_of(&child)).unwrap();
        let mut child = child;
        drop(child.stdin.take());
        assert_eq!(poll_fn(|cx| watch.poll_exited(cx)).await, exit, "{script}");
        assert_eq!(child.process.exited().await, exit, "{script}");
        child.process.forget(false);
    }
}

#[tokio::test]
async fn a_forgotten_child_leaves_no_zombie() {
    let child = shell("exit 0");
    let pid = pid_of(&child);
    child.process.exited().await;
    assert_eq!(kill(pid, None), Ok(()), "not reaped before");
    child.process.forget(true);
    assert_eq!(kill(pid, None), Err(Errno::ESRCH));
}

#[tokio::test]
async fn what_a_dead_child_wrote_can_be_counted_though_a_grandchild_holds_the_pipe() {
    let mut child = shell("sleep 1000 & printf 12345; printf 123 >&2; exit 0");
    assert_eq!(child.process.exited().await, Exit::Code(0));
    assert_eq!((child.stdout.unread().unwrap(), child.stderr.unread().unwrap()), (5, 3));
    let mut text = [0; 5];
    child.stdout.read_exact(&mut text).await.unwrap();
    assert_eq!(child.stdout.unread().unwrap(), 0);
    // The whole group goes, so the pipe ends.
    child.process.signal(GroupSignal::Kill).unwrap();
    assert_eq!(all_of(&mut child.stdout).await, "");
    child.process.forget(false);
}

#[tokio::test]
async fn helpers_that_are_left_live_on_and_others_do_not() {
    let mut child = shell("sleep 1000 & echo $!; exec 1>&-; exit 0");
    let mut lines = BufReader::new(&mut child.stdout).lines();
    let helper = Pid::from_raw(lines.next_line().await.unwrap().unwrap().parse().unwrap());
    child.process.exited().await;
    child.process.forget(true);
    assert_eq!(kill(helper, None), Ok(()));
    kill(helper, nix::sys::signal::Signal::SIGKILL).unwrap();

    let mut child = shell("sleep 1000 & exit 0");
    child.process.exited().await;
    child.process.forget(false);
    assert_eq!(all_of(&mut child.stdout).await, "", "ended because the helper is gone");
}

#[tokio::test]
async fn signals_reach_the_group_and_a_group_that_is_gone_is_no_error() {
    let mut child = shell("trap 'echo asked; exit 7' TERM; echo ready; read never");
    let mut lines = BufReader::new(&mut child.stdout).lines();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("ready"));
    child.process.signal(GroupSignal::Term).unwrap();
    assert_eq!(lines.next_line().await.unwrap().as_deref(), Some("asked"));
    assert_eq!(child.process.exited().await, Exit::Code(7));
    child.process.signal(GroupSignal::Kill).unwrap();
    child.process.signal(GroupSignal::Kill).unwrap();
    child.process.forget(false);
}

#[tokio::test]
async fn writing_to_a_child_that_does_not_read_is_an_error_and_nothing_more() {
    let mut child = shell("exec <&-; echo closed; read never <&1");
    let mut line = String::new();
    BufReader::new(&mut child.stdout).read_line(&mut line).await.unwrap();
    let mut stdin = child.stdin.take().unwrap();
    poll_fn(|cx| stdin.poll_reader_lost(cx)).await;
    assert_eq!(stdin.write(b"x").await.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
    child.process.signal(GroupSignal::Kill).unwrap();
    child.process.exited().await;
    child.process.forget(false);
}

#[tokio::test]
async fn a_child_does_not_hold_the_pipes_of_another() {
    let first = shell("read never");
    let mut second = shell("read never");
    // While the second one runs.
    drop(first.stdin);
    assert_eq!(first.process.exited().await, Exit::Code(1));
    first.process.forget(false);
    drop(second.stdin.take());
    second.process.exited().await;
    second.process.forget(false);
}

#[tokio::test]
async fn a_command_that_cannot_be_started_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();

    let error = refused(&["no-such-command-anywhere"]);
    assert_eq!(error.fault, SpawnFault::NotFound);
    let searched = std::env::var("PATH").unwrap();
    assert_eq!(error.to_string(), format!("no-such-command-anywhere: not found in PATH ({searched})"));
    let error = refused(&[&path("absent")]);
    assert_eq!(error.fault, SpawnFault::NotFound);
    assert_eq!(error.to_string(), format!("{}: No such file or directory", path("absent")));
    assert_eq!(refused(&[]).fault, SpawnFault::NotFound);
    assert_eq!(refused(&[""]).fault, SpawnFault::NotFound);

    let error = refused(&[dir.path().to_str().unwrap()]);
    assert_eq!(error.fault, SpawnFault::NotExecutable);
    assert!(error.message.ends_with(": Is a directory"), "{error}");

    fs::write(path("plain"), "exit 0").unwrap();
    let error = refused(&[&path("plain")]);
    assert_eq!(error.fault, SpawnFault::NotExecutable);
    assert!(error.message.ends_with("plain: Permission denied"), "{error}");
    assert_eq!(refused(&[&path("plain/below")]).fault, SpawnFault::NotExecutable);
    assert_eq!(refused(&["/bin/sh", "a\0b"]).fault, SpawnFault::NotExecutable);

    program(dir.path(), "script", "#!/no/such/python3 -u\nprint()\n").await;
    let error = refused(&[&path("script")]);
    assert_eq!(error.fault, SpawnFault::NotExecutable);
    assert!(error.message.ends_with("script: its interpreter /no/such/python3 does not exist"), "{error}");

    program(dir.path(), "dos", "#!/bin/sh\r\nexit 0\r\n").await;
    let error = refused(&[&path("dos")]);
    assert!(error.message.ends_with("its interpreter /bin/sh\\r does not exist"), "{error}");

    // A whole command line in one word, with blanks in the path.
    fs::create_dir(path("My App")).unwrap();
    let server = path("My App/server");
    let error = refused(&[&format!("{server} --x /y")]);
    assert_eq!(error.to_string(), format!("{server} --x /y: No such file or directory"));
    program(&dir.path().join("My App"), "server", "#!/bin/sh\n").await;
    let error = refused(&[&format!("{server} --x /y")]);
    assert_eq!(error.fault, SpawnFault::WholeLine(server.len()));
    let said = format!("{server} --x /y: No such file or directory, but {server} is an executable file");
    assert_eq!(error.to_string(), said);

    // Found in the child's PATH and not in ours.
    let mut spec = spec(&["script"]);
    spec.env.push(("PATH".into(), Some(dir.path().into())));
    let error = spawn(&spec, None).unwrap_err();
    assert_eq!(error.fault, SpawnFault::NotExecutable);
    assert!(error.message.starts_with("script: its interpreter"), "{error}");
}

#[test]
fn a_process_limit_is_told_as_the_limit() {
    let error = fault::explain(&spec(&["server"]), &Errno::EAGAIN.into());
    assert_eq!(error.fault, SpawnFault::ProcessLimit);
    assert_eq!(error.to_string(), "server: the process limit is reached");
}

#[tokio::test]
async fn a_command_is_found_in_the_path_that_the_child_gets() {
    let dir = tempfile::tempdir().unwrap();
    program(dir.path(), "only-here", "#!/bin/sh\necho found\n").await;
    let mut spec = spec(&["only-here"]);
    assert_eq!(spawn(&spec, None).unwrap_err().fault, SpawnFault::NotFound);
    assert_eq!(executable(&spec), None);
    spec.env.push(("PATH".into(), Some("/no/such/folder:/nor/this".into())));
    let error = spawn(&spec, None).unwrap_err();
    assert_eq!(error.to_string(), "only-here: not found in PATH (/no/such/folder:/nor/this)");
    // What is said last counts.
    spec.env.push(("PATH".into(), Some(dir.path().into())));
    assert_eq!(executable(&spec), Some(dir.path().join("only-here")));
    let mut child = spawn(&spec, None).unwrap();
    assert_eq!(all_of(&mut child.stdout).await, "found\n");
    child.process.exited().await;
    child.process.forget(false);
}

#[tokio::test]
async fn the_file_behind_a_command_is_told_as_an_absolute_path() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let server = program(dir.path(), "server", "#!/bin/sh\n").await;
    std::os::unix::fs::symlink(&server, path("link")).unwrap();
    fs::write(path("plain"), "").unwrap();
    fs::create_dir(path("folder")).unwrap();
    let behind = |argv: &str| executable(&spec(&[argv]));
    assert_eq!(behind(server.to_str().unwrap()), Some(server.clone()));
    assert_eq!(behind(path("link").to_str().unwrap()), Some(path("link")), "whoever replaces it is noticed");
    for not_yet in ["absent", "plain", "no/folder/either"] {
        assert_eq!(behind(path(not_yet).to_str().unwrap()), Some(path(not_yet)), "it may come to be");
    }
    assert_eq!(behind(path("folder").to_str().unwrap()), None, "of a folder, all below it would count");
    assert_eq!((behind(""), executable(&Spec::default())), (None, None));

    // Cargo runs tests in the folder of the crate.
    let ours = std::env::current_dir().unwrap();
    let relative =
        Path::new("../".repeat(ours.components().count()).as_str()).join(&server.to_str().unwrap()[1..]);
    let told = behind(relative.to_str().unwrap()).unwrap();
    assert!(told.is_absolute() && told.starts_with(&ours), "{told:?}");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_program_that_is_being_written_is_busy() {
    let dir = tempfile::tempdir().unwrap();
    let server = program(dir.path(), "server", "#!/bin/sh\n").await;
    let _upgrade = fs::File::options().append(true).open(&server).unwrap();
    let error = refused(&[server.to_str().unwrap()]);
    assert_eq!(error.fault, SpawnFault::Busy);
    assert!(error.message.ends_with("server: Text file busy"), "{error}");
}

#[tokio::test]
async fn a_child_is_seen_stopped_as_long_as_it_is() {
    let mut child = shell("read line; exit 3");
    let pid = pid_of(&child);
    assert_eq!(child.process.stopped_by(), None);
    kill(pid, Signal::SIGSTOP).unwrap();
    // Nothing reports that a process was stopped, so it has to be queried.
    while child.process.stopped_by().is_none() {
        yield_now().await;
    }
    assert_eq!(child.process.stopped_by(), Some(StoppedBy::Stop), "it may be asked again");
    kill(pid, Signal::SIGCONT).unwrap();
    while child.process.stopped_by().is_some() {
        yield_now().await;
    }
    drop(child.stdin.take());
    assert_eq!(child.process.exited().await, Exit::Code(3));
    assert_eq!(child.process.stopped_by(), None);
    assert_eq!(child.process.exited().await, Exit::Code(3));
    child.process.forget(false);
}

#[test]
fn a_stop_is_named_with_its_signal() {
    // The child stays in our session: without a parent in its own session, the system would let these signals stop
    // nothing.
    let sleep = ["/bin/sleep".into(), "1000".into()];
    let mut sleeper = super::command(&sleep, &[]).unwrap().process_group(0).spawn().unwrap();
    let pid = super::pid_of(&sleeper);
    for (signal, name) in [
        (Signal::SIGSTOP, "SIGSTOP"),
        (Signal::SIGTSTP, "SIGTSTP"),
        (Signal::SIGTTIN, "SIGTTIN"),
        (Signal::SIGTTOU, "SIGTTOU"),
    ] {
        kill(pid, signal).unwrap();
        let stop = loop {
            if let Some(stop) = sys::stopped_by(pid) {
                break stop;
            }
        };
        assert_eq!(stop.to_string(), name);
        kill(pid, Signal::SIGCONT).unwrap();
        while sys::stopped_by(pid).is_some() {}
    }
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_stopped_server_is_seen_behind_its_wrapper() {
    let mut child = shell("sleep 1000 & echo $!; read line; kill $!");
    let mut pid = String::new();
    BufReader::new(&mut child.stdout).read_line(&mut pid).await.unwrap();
    let behind = Pid::from_raw(pid.trim_end().parse().unwrap());
    assert_eq!(child.process.stopped_by(), None);
    kill(behind, Signal::SIGSTOP).unwrap();
    while child.process.stopped_by().is_none() {
        yield_now().await;
    }
    assert_eq!(child.process.stopped_by(), Some(StoppedBy::Member), "it may be asked again");
    kill(pid_of(&child), Signal::SIGSTOP).unwrap();
    while child.process.stopped_by() != Some(StoppedBy::Stop) {
        yield_now().await;
    }
    for pid in [pid_of(&child), behind] {
        kill(pid, Signal::SIGCONT).unwrap();
    }
    while child.process.stopped_by().is_some() {
        yield_now().await;
    }
    drop(child.stdin.take());
    child.process.exited().await;
    child.process.forget(false);
}

#[tokio::test]
async fn the_guardian_ends_what_was_not_forgotten_and_nothing_else() {
    let guardian = Guardian::fork().unwrap();
    let start = |script: &str| spawn(&spec(&["/bin/sh", "-c", script]), Some(&guardian)).unwrap();
    let mut left = start("sleep 1000 & echo $!; exit 0");
    let mut lines = BufReader::new(&mut left.stdout).lines();
    let helper = Pid::from_raw(lines.next_line().await.unwrap().unwrap().parse().unwrap());
    left.process.exited().await;
    left.process.forget(true);
    assert!(spawn(&spec(&["no-such-command-anywhere"]), Some(&guardian)).is_err());

    let mut polite = start("trap 'exit 7' TERM; echo ready; read never");
    let mut stubborn = start("trap '' TERM; echo ready; sleep 1000");
    for child in [&mut polite, &mut stubborn] {
        let mut line = String::new();
        BufReader::new(&mut child.stdout).read_line(&mut line).await.unwrap();
    }

    threads::blocking(move || guardian.dismiss()).await.unwrap();
    assert_eq!(polite.process.exited().await, Exit::Code(7));
    assert_eq!(stubborn.process.exited().await, Exit::Signal(9));
    assert_eq!(kill(helper, None), Ok(()), "it was left on purpose");
    kill(helper, nix::sys::signal::Signal::SIGKILL).unwrap();
    polite.process.forget(false);
    stubborn.process.forget(false);
}

/// As a child that hangs before it has executed its command does, which nobody can end.
#[tokio::test]
async fn a_guardian_does_not_wait_for_who_else_holds_its_pipe() {
    let guardian = Guardian::fork().unwrap();
    let entry = guardian.entry();
    let held = entry.announcement().unwrap();
    let child = spawn(&spec(&["/bin/sleep", "1000"]), Some(&guardian)).unwrap();
    threads::blocking(move || guardian.dismiss()).await.unwrap();
    assert_eq!(child.process.exited().await, Exit::Signal(15), "by the guardian");
    child.process.forget(false);
    drop(held);
}

#[test]
fn a_guardian_without_groups_goes_at_once() {
    Guardian::fork().unwrap().dismiss();
}

#[tokio::test]
async fn a_guardian_that_is_gone_harms_no_child() {
    let guardian = Guardian::fork().unwrap();
    kill(guardian.process, nix::sys::signal::Signal::SIGKILL).unwrap();
    let mut child = spawn(&spec(&["/bin/sh", "-c", "echo fine"]), Some(&guardian)).unwrap();
    assert_eq!(all_of(&mut child.stdout).await, "fine\n");
    assert_eq!(child.process.exited().await, Exit::Code(0));
    child.process.forget(false);
    guardian.dismiss();
}
