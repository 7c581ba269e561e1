//! Login shells that are scripts of the tests' own, and two real ones in a home of their own.

use std::fs::{self, File};
use std::os::fd::FromRawFd as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::sys::signal::kill;
use nix::unistd::{Pid, getpgid, getsid, mkfifo};
use tempfile::TempDir;
use tokio::task::yield_now;
use tokio::time;

use super::*;
use crate::child::tests::program;

/// A folder with a script that is taken for a shell. It is called as `shell -ilc COMMAND`.
struct Fake {
    dir: TempDir,
    shell: PathBuf,
}

impl Fake {
    async fn new(script: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        mkfifo(&dir.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let shell = program(dir.path(), "shell", &format!("#!/bin/sh\ncd {:?}\n{script}", dir.path())).await;
        Self { dir, shell }
    }

    fn ask(&self) -> Question {
        self.ask_guarded(None)
    }

    fn ask_guarded(&self, guardian: Option<&Guardian>) -> Question {
        Question::start(self.shell.clone(), Env::new(), guardian.map(Guardian::entry))
    }

    /// The other end of `fifo`: a script that opened it tells when it is there, and its end is the end of all who hold it.
    fn witness(&self) -> Witness {
        let path = self.dir.path().join("fifo");
        // For writing too, so that it has not ended before it is opened by others.
        let file = File::options().read(true).write(true).open(&path).unwrap();
        Witness { path, source: Source::owned(file.into()).unwrap() }
    }
}

struct Witness {
    path: PathBuf,
    source: Source,
}

impl Witness {
    /// Waits for the process id that the script tells, in a line of ten bytes.
    async fn ready(&mut self, shell: &mut Question) -> Pid {
        let mut line = [0; 10];
        tokio::select! {
            told = shell.answer() => panic!("{told:?}"),
            read = self.source.read_exact(&mut line) => read.unwrap(),
        };
        self.source = Source::owned(open_to_read(&self.path).into()).unwrap();
        Pid::from_raw(str::from_utf8(&line).unwrap().trim().parse().unwrap())
    }

    /// Waits until nobody holds it any more.
    async fn gone(mut self) {
        let mut rest = String::new();
        self.source.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "");
    }
}

fn open_to_read(fifo: &Path) -> File {
    File::options().read(true).custom_flags(libc::O_NONBLOCK).open(fifo).unwrap()
}

/// Leaves a process in the background that holds the output, and makes both known to the [`Witness`].
const READY: &str = "trap '' TERM HUP; exec 3>fifo; sleep 1000 & printf '%9d\\n' $$ >&3\n";
const HANG: &str = "sleep 1000; sleep 1000\n";

/// The answer, with a future of its own for each time that it is polled.
async fn answer_of(shell: &mut Question) -> LoginPath {
    loop {
        tokio::select! {
            biased;
            told = shell.answer() => return told,
            () = yield_now() => {}
        }
    }
}

async fn told_by(script: &str) -> Result<OsString, String> {
    let fake = Fake::new(script).await;
    let mut shell = fake.ask();
    let told = answer_of(&mut shell).await;
    assert_eq!(told.shell, fake.shell.to_str().unwrap());
    assert_eq!(shell.answer().await, told, "it may be asked again");
    told.path
}

#[tokio::test]
async fn what_the_shell_prints_besides_is_noise() {
    let script = "echo Welcome; PATH=/only/here:$PATH; /bin/sh -c \"$2\"; echo Bye; cat";
    let mut expected = OsString::from("/only/here:");
    expected.push(env::var_os("PATH").unwrap());
    assert_eq!(told_by(script).await, Ok(expected));
    // Far more than a pipe holds, and no line feed at its end.
    let script = "head -c 500000 /dev/zero; PATH=/a:/b; eval \"$2\"";
    assert_eq!(told_by(script).await, Ok("/a:/b".into()));
}

#[tokio::test]
async fn a_shell_that_shows_its_commands_does_not_fool_us() {
    let script = "exec 2>&1; set -x; echo \"$2\"; PATH=/traced; eval \"$2\"";
    assert_eq!(told_by(script).await, Ok("/traced".into()));
    let script = "echo \"$2\"; PATH=/traced /bin/sh -xc \"$2\" 2>&1";
    assert_eq!(told_by(script).await, Ok("/traced".into()));
}

#[tokio::test]
async fn a_banner_that_quotes_the_markers_does_not_fool_us() {
    let Markers { begin, end, .. } = Markers::of(process::id());
    let script = format!("echo '{end} between {begin}/wrong'; PATH=/right; eval \"$2\"");
    assert_eq!(told_by(&script).await, Ok("/right".into()));
    // As in a log of another time.
    let Markers { begin, end, .. } = Markers::of(1);
    let script = format!("echo '{begin}/wrong{end}'; PATH=/right; eval \"$2\"");
    assert_eq!(told_by(&script).await, Ok("/right".into()));
}

#[test]
fn an_answer_is_found_however_it_is_cut() {
    let markers = Markers::of(7);
    let Markers { begin, end, .. } = &markers;
    let said = format!("{end}{begin}x{begin}/usr/bin{end}{begin}");
    for first in 0..said.len() {
        let mut searched = 0;
        let early = markers.find(&said.as_bytes()[..first], &mut searched);
        let whole = first >= said.len() - begin.len();
        assert_eq!(early, whole.then_some(&b"/usr/bin"[..]), "{first}");
        if !whole {
            let path = markers.find(said.as_bytes(), &mut searched);
            assert_eq!(path, Some(&b"/usr/bin"[..]), "{first}");
        }
    }
}

#[tokio::test]
async fn a_path_is_handed_back_as_it_is_or_refused() {
    let script = r#"PATH="/caf$(printf '\351'):relative: /with space"; eval "$2""#;
    assert_eq!(told_by(script).await, Ok(OsString::from_vec(b"/caf\xe9:relative: /with space".into())));
    assert_eq!(told_by("PATH=; eval \"$2\"").await, Err("told an empty PATH".to_owned()));
    assert_eq!(
        told_by("PATH=bin::.; eval \"$2\"").await,
        Err("told a PATH without any absolute folder (bin::.)".to_owned())
    );
}

#[tokio::test]
async fn a_shell_that_ends_without_an_answer_is_told_with_its_exit() {
    assert_eq!(
        told_by("echo Welcome; exit 3").await,
        Err("exited with code 3 before it told its PATH".to_owned())
    );
    assert_eq!(told_by("kill -9 $$").await, Err("was killed by signal 9 before it told its PATH".to_owned()));
    // Others hold its output, or it has none.
    assert_eq!(
        told_by("sleep 1000 & exit 3").await,
        Err("exited with code 3 before it told its PATH".to_owned())
    );
    assert_eq!(
        told_by("exec >&-; exit 3").await,
        Err("exited with code 3 before it told its PATH".to_owned())
    );
    let unknown = "[ \"$1\" = -c ] || { echo \"bad option $1\"; exit 2; }";
    assert_eq!(told_by(unknown).await, Err("exited with code 2 before it told its PATH".to_owned()));
}

#[tokio::test]
async fn what_a_dead_shell_has_printed_is_read_to_the_end() {
    let script = "head -c 40000 /dev/zero; PATH=/late /bin/sh -c \"$2\"; kill -9 $$";
    let fake = Fake::new(&format!("PATH=/usr/bin:/bin\n{script}")).await;
    let mut shell = fake.ask();
    let State::Asked(asked) = &mut shell.state else { panic!("{shell:?}") };
    // The news of the end can come before the news that there is something to read.
    asked.exit = Some(asked.process.exited().await);
    assert_eq!(shell.answer().await.path, Ok("/late".into()));
}

#[tokio::test]
async fn a_shell_that_does_not_stop_printing_is_refused() {
    assert_eq!(
        told_by("exec yes 'and so on'").await,
        Err("printed more than 1024 KiB without telling its PATH".to_owned())
    );
}

#[tokio::test]
async fn a_shell_that_cannot_be_started_is_told_at_once() {
    let missing = |shell: &str| Question::start(shell.into(), Env::new(), None);
    let told = missing("/no/such/shell").answer().await;
    assert_eq!(told.shell, "/no/such/shell");
    assert_eq!(told.path, Err("could not be started: /no/such/shell: No such file or directory".to_owned()));
}

#[tokio::test]
async fn nobody_waits_for_what_the_files_have_started() {
    let script = format!("{READY}read go <go; PATH=/a; eval \"$2\"");
    let fake = Fake::new(&script).await;
    mkfifo(&fake.dir.path().join("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let go = File::options().read(true).write(true).open(fake.dir.path().join("go")).unwrap();
    let mut witness = fake.witness();
    let mut shell = fake.ask();
    witness.ready(&mut shell).await;
    nix::unistd::write(&go, b"\n").unwrap();
    assert_eq!(answer_of(&mut shell).await.path, Ok("/a".into()));
    // Though the answer is still there.
    witness.gone().await;
    drop(shell);
}

#[tokio::test]
async fn a_shell_that_hangs_is_killed_with_all_it_has_started() {
    let fake = Fake::new(&format!("{READY}{HANG}")).await;
    let mut witness = fake.witness();
    let mut shell = fake.ask();
    let pid = witness.ready(&mut shell).await;
    assert_eq!((getsid(Some(pid)), getpgid(Some(pid))), (Ok(pid), Ok(pid)), "a session of its own");
    time::pause();
    time::advance(LIMIT).await;
    assert_eq!(answer_of(&mut shell).await.path, Err("did not answer within 5 s".to_owned()));
    time::resume();
    witness.gone().await;
    reaped(pid).await;
}

#[tokio::test]
async fn a_shell_that_nobody_asks_any_more_is_killed_and_reaped() {
    let fake = Fake::new(&format!("{READY}{HANG}")).await;
    let mut witness = fake.witness();
    let mut shell = fake.ask();
    let pid = witness.ready(&mut shell).await;
    drop(shell);
    witness.gone().await;
    reaped(pid).await;
}

/// The reaper is another thread, and nothing else tells when it is done.
async fn reaped(pid: Pid) {
    while kill(pid, None).is_ok() {
        yield_now().await;
    }
}

#[tokio::test]
async fn the_guardian_ends_a_shell_that_we_cannot_end() {
    let guardian = Guardian::fork().unwrap();
    let fake = Fake::new(&format!("{READY}{HANG}")).await;
    let mut witness = fake.witness();
    let mut shell = fake.ask_guarded(Some(&guardian));
    witness.ready(&mut shell).await;
    // An interactive shell ignores SIGTERM, so this takes as long as the guardian has patience.
    tokio::task::spawn_blocking(move || guardian.dismiss()).await.unwrap();
    assert_eq!(shell.answer().await.path, Err("was killed by signal 9 before it told its PATH".to_owned()));
    witness.gone().await;
}

#[test]
fn a_thread_that_hangs_in_the_system_holds_nobody_up_for_ever() {
    let ((_tell, told), (end, ended)) = (oneshot::channel(), mpsc::channel());
    let (wanted, mut unwanted) = oneshot::channel();
    drop(LoginShell { told, wanted: Some(wanted), ended });
    assert_eq!(unwanted.try_recv(), Err(oneshot::error::TryRecvError::Closed), "it was told");
    drop(end);
}

#[tokio::test]
async fn an_answer_in_pieces_is_put_together() {
    let script = "printf '</mcp'; /bin/sh -c \"$2\" | { dd bs=1 count=30 2>/dev/null; exec 3>fifo; printf '%9d\\n' $$ >&3; cat; }";
    let fake = Fake::new(&format!("PATH=/usr/bin:/bin\n{script}")).await;
    let mut witness = fake.witness();
    let mut shell = fake.ask();
    let mut line = [0; 10];
    tokio::select! {
        biased;
        read = witness.source.read_exact(&mut line) => drop(read.unwrap()),
        told = shell.answer() => assert_eq!(told.path, Ok("/usr/bin:/bin".into())),
    }
    assert_eq!(answer_of(&mut shell).await.path, Ok("/usr/bin:/bin".into()));
}

#[tokio::test]
async fn a_shell_has_no_input_and_none_of_our_descriptors() {
    // Above the numbers that shells use themselves, and inherited by whatever is executed.
    let number = fcntl(File::open("/dev/null").unwrap(), FcntlArg::F_DUPFD(100)).unwrap();
    #[expect(unsafe_code, reason = "the call returns a bare number")]
    // SAFETY: the descriptor is new and has no other owner.
    let _held = unsafe { OwnedFd::from_raw_fd(number) };
    let script = format!(
        "if [ -e /dev/fd/{number} ]; then PATH=/held; else PATH=/clean; fi\n\
         read line && PATH=$PATH:/input; eval \"$2\""
    );
    assert_eq!(told_by(&script).await, Ok("/clean".into()));
}

/// A home with these files.
fn home(files: &[(&str, &str)]) -> (TempDir, Env) {
    let home = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(home.path().join(name), text).unwrap();
    }
    let env = vec![("HOME".into(), Some(home.path().into())), ("ENV".into(), None)];
    (home, env)
}

fn begins_with(told: &LoginPath, folder: &Path) -> bool {
    told.path.as_ref().is_ok_and(|path| env::split_paths(path).next().as_deref() == Some(folder))
}

#[tokio::test]
async fn bash_tells_what_nvm_has_put_into_its_interactive_file() {
    let profile = "echo 'Last login: today'\n. \"$HOME/.bashrc\"\n";
    let bashrc = "case $- in *i*) ;; *) return;; esac\n\
                  export NVM_DIR=\"$HOME/.nvm\"\n\
                  PATH=\"$NVM_DIR/versions/node/v20/bin:$PATH\"\n";
    let (home, env) = home(&[(".bash_profile", profile), (".bashrc", bashrc)]);
    let mut shell = Question::start("/bin/bash".into(), env, None);
    let told = answer_of(&mut shell).await;
    assert_eq!(told.shell, "/bin/bash");
    assert!(begins_with(&told, &home.path().join(".nvm/versions/node/v20/bin")), "{told:?}");
}

#[tokio::test]
async fn where_no_shell_can_be_looked_up_sh_is_asked() {
    for late in [false, true] {
        let (home, env) = home(&[(".profile", "PATH=\"$HOME/bin:$PATH\"\n")]);
        let (tell, told) = oneshot::channel();
        let mut tell = Some(tell);
        let mut shell = Question::choose(told, env, None);
        tokio::select! {
            biased;
            told = shell.answer() => panic!("{told:?}"),
            () = yield_now() => {}
        }
        if late {
            time::pause();
            time::advance(LOOKUP).await;
            time::resume();
        } else {
            tell = None;
        }
        let told = answer_of(&mut shell).await;
        assert_eq!(told.shell, "/bin/sh");
        assert!(begins_with(&told, &home.path().join("bin")), "{told:?}");
        drop(tell);
    }
}

#[tokio::test]
async fn the_shell_that_was_looked_up_is_asked() {
    let fake = Fake::new("PATH=/a; eval \"$2\"").await;
    let (tell, told) = oneshot::channel();
    let mut shell = Question::choose(told, Env::new(), None);
    tell.send(fake.shell.clone()).unwrap();
    let told = answer_of(&mut shell).await;
    assert_eq!((told.shell.as_str(), told.path), (fake.shell.to_str().unwrap(), Ok("/a".into())));
}

#[tokio::test]
async fn only_a_file_that_can_be_executed_is_taken_for_a_shell() {
    let fake = Fake::new("").await;
    let plain = fake.dir.path().join("plain");
    fs::write(&plain, "").unwrap();
    assert_eq!(usable(Some(&fake.shell)), Some(fake.shell.clone()));
    for bad in [None, Some(""), Some("sh"), Some("/no/such/shell"), plain.to_str(), fake.dir.path().to_str()]
    {
        assert_eq!(usable(bad), None, "{bad:?}");
    }
    // The same file, but only as seen from the folder in which the tests run.
    let up = "../".repeat(env::current_dir().unwrap().components().count());
    let relative = Path::new(&up).join(fake.shell.strip_prefix("/").unwrap());
    assert!(fault::is_executable(&relative));
    assert_eq!(usable(Some(relative)), None);
    let looked_up = look_up().await.ok();
    assert!(looked_up.is_none_or(|shell| usable(Some(&shell)) == Some(shell.clone())));
}

#[test]
fn a_c_shell_is_a_login_shell_by_its_name() {
    assert_eq!(manner(Path::new("/bin/tcsh")), (Some("-csh"), "-ic"));
    assert_eq!(manner(Path::new("/usr/local/bin/fish")), (None, "-ilc"));
}
