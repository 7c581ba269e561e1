//! A child that is only the client of a container: killing it does not end the container.
//!
//! `docker run` (or podman's) asks a daemon to run the container, and a client that is killed with SIGKILL tells nobody.
//! So the client is made to write the container's id to a file (`--cidfile`), and when the group is killed the same
//! client is started once more with `kill ID`. Only what can be told reliably from the command line is used: an option
//! before `run` that is not known here means that nothing is added. An id is only taken from a file that this child
//! wrote, never from one that was there before.
//!
//! The end of the client is not the end of its container, whatever the client's exit code: it may only have lost the
//! daemon. The kill is therefore always sent, and a container that is gone or does not run counts as killed.
//!
//! The client does not remove a cidfile that the person has named, and refuses to start while it exists. The process
//! that kills the container, which outlives us, removes the file once the container is dead. Until then the command
//! counts as busy and is started a little later. A kill that has failed, for instance because the daemon was away, is
//! started again by the next attempt to start the command. The guardian kills in the same way.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

use super::reaper::collect;
use super::{Spec, command, pid_of};
use crate::threads;

/// Options that come before the subcommand and take the next word as their value, of docker and of podman.
const WITH_VALUE: [&str; 20] = [
    "--config",
    "--connection",
    "--context",
    "--host",
    "--identity",
    "--log-level",
    "--module",
    "--root",
    "--runroot",
    "--runtime",
    "--storage-driver",
    "--tlscacert",
    "--tlscert",
    "--tlskey",
    "--tmpdir",
    "--url",
    "-H",
    "-c",
    "-l",
    "--cgroup-manager",
];
/// Options that come before the subcommand and stand alone.
const ALONE: [&str; 6] = ["--debug", "-D", "--tls", "--tlsverify", "--remote", "-r"];

/// Kills a container and removes its cidfile. Arguments: the cidfile, the id, the [`PAUSE`], and the words of the kill
/// command. The file is removed only if the id is still in it. If the client reports that the container does not exist
/// or does not run, the container is dead as well. Any other failure is tried again a few times, because we may be gone
/// by then; after the last one the file stays.
const KILL_AND_REMOVE: &str = r#"cidfile=$1 id=$2 pause=$3 tries=0
shift 3
until said=$("$@" 2>&1); do
    case $said in
    *[Nn]"o such container"*|*"not running"*|*"only kill running"*|*"no container with"*) break ;;
    esac
    tries=$((tries + 1))
    [ $tries -lt 5 ] || exit 1
    sleep "$pause"
done
[ "$(cat "$cidfile")" != "$id" ] || rm -f "$cidfile""#;

/// Seconds between two attempts to kill a container.
const PAUSE: &str = if cfg!(test) { "0.01" } else { "1" };

/// How to end the container that a child is the client of.
#[derive(Debug)]
pub(super) struct Container {
    /// The child's command, with `--cidfile` in it.
    pub(super) argv: Vec<OsString>,
    /// The words before `run`.
    client: Vec<OsString>,
    env: Vec<(OsString, Option<OsString>)>,
    cidfile: PathBuf,
    /// Where our own cidfile is. `None` if the person named one. Removed when this is dropped.
    dir: Option<TempDir>,
    killed: bool,
}

/// A cidfile that the person has named in a command of one of our children.
#[derive(Debug)]
struct Named {
    cidfile: PathBuf,
    /// `None` until the container of the last child is to be killed.
    kill: Option<Kill>,
}

/// The kill of a container.
#[derive(Debug)]
struct Kill {
    id: String,
    /// Whether the process that kills it still runs.
    runs: Arc<AtomicBool>,
}

static NAMED: Mutex<Vec<Named>> = Mutex::new(Vec::new());

/// Whether the cidfile of an earlier container is still there: that container is being killed, and the command cannot
/// start yet. If the kill has failed, it is started again.
pub(super) fn is_busy(spec: &Spec) -> bool {
    let Some(run) = position_of_run(&spec.argv) else { return false };
    let Some(path) = named_cidfile(&spec.argv[run + 1..]).filter(|path| path.exists()) else { return false };
    let mut named = named_by_persons();
    let Some(named) = named.iter_mut().find(|named| named.cidfile == path) else { return false };
    let Some(kill) = &mut named.kill else { return true };
    if read_id(&path).is_some_and(|id| id != kill.id) {
        // The container of another program, which is not to be killed: the client says that the file is there.
        return false;
    }
    if !kill.runs.load(Ordering::Acquire)
        && let Ok(runs) = start_kill(&path, &spec.argv[..run], &spec.env, &kill.id)
    {
        kill.runs = runs;
    }
    true
}

fn named_by_persons() -> MutexGuard<'static, Vec<Named>> {
    NAMED.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Container {
    /// `None` if the command starts no container, or none that could be ended.
    pub(super) fn plan(spec: &Spec) -> Option<Self> {
        let run = position_of_run(&spec.argv)?;
        let mut argv = spec.argv.clone();
        let (cidfile, dir) = match named_cidfile(&argv[run + 1..]) {
            // The client refuses to overwrite it, so what is in it is another container's id.
            Some(path) if path.exists() => return None,
            Some(path) => {
                let mut named = named_by_persons();
                named.retain(|named| named.cidfile != path);
                named.push(Named { cidfile: path.clone(), kill: None });
                (path, None)
            }
            None => {
                let dir = tempfile::Builder::new().prefix("mcp-supervise-").tempdir().ok()?;
                let path = dir.path().join("cid");
                argv.splice(run + 1..=run, ["--cidfile".into(), path.clone().into_os_string()]);
                (path, Some(dir))
            }
        };
        let client = argv[..run].to_vec();
        Some(Self { argv, client, env: spec.env.clone(), cidfile, dir, killed: false })
    }

    /// Starts the end of the container if its id is known by now, once. Does not wait for it.
    pub(super) fn kill(&mut self) {
        if !self.killed
            && let Some(id) = read_id(&self.cidfile)
            && let Ok(runs) = start_kill(&self.cidfile, &self.client, &self.env, &id)
        {
            self.killed = true;
            if let Some(named) = named_by_persons().iter_mut().find(|named| named.cidfile == self.cidfile) {
                named.kill = Some(Kill { id, runs });
            }
        }
    }

    /// Cleans up after the client has ended.
    pub(super) fn clear(&mut self) {
        self.kill();
        if !self.killed && self.dir.is_none() && read_id(&self.cidfile).is_none() {
            // A client that was killed before its container had an id leaves an empty file. If it cannot be removed,
            // the client reports that at its next start.
            let _ = fs::remove_file(&self.cidfile);
        }
    }

    /// The record by which [`end_prepared`] kills the container, with NUL after each word: the cidfile, `own` if its
    /// folder is ours, the client's `PATH`, and the words before `run`.
    pub(super) fn prepared(&self) -> Vec<u8> {
        let set = |(name, value): &(OsString, Option<OsString>)| (name == "PATH").then(|| value.clone())?;
        let path = self.env.iter().rev().find_map(set).unwrap_or_default();
        let mut client = self.client.clone();
        if let Some(program) = client.first_mut().filter(|it| it.as_bytes().contains(&b'/')) {
            // The guardian starts the client in another folder.
            *program =
                std::path::absolute(&*program).map_or_else(|_| program.clone(), PathBuf::into_os_string);
        }
        let cidfile = std::path::absolute(&self.cidfile).unwrap_or_else(|_| self.cidfile.clone());
        let own = if self.dir.is_some() { "own" } else { "" };
        let words = [cidfile.into_os_string(), own.into(), path].into_iter().chain(client);
        words.flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect()
    }
}

impl Drop for Container {
    /// Without a kill under way, what is in the cidfile later is another container's.
    fn drop(&mut self) {
        if !self.killed && self.dir.is_none() {
            named_by_persons().retain(|named| named.cidfile != self.cidfile);
        }
    }
}

/// Starts the process that kills this container and removes this file. Returns a flag that is set as long as it runs.
fn start_kill(
    cidfile: &Path,
    client: &[OsString],
    env: &[(OsString, Option<OsString>)],
    id: &str,
) -> io::Result<Arc<AtomicBool>> {
    let Some(mut command) = command(&kill_and_remove(cidfile, client, id), env) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    #[expect(
        unsafe_code,
        reason = "a session of its own, so that it outlives us, can only be had before exec"
    )]
    // SAFETY: one system call and nothing else.
    unsafe {
        command.pre_exec(|| Ok(nix::unistd::setsid().map(drop)?));
    }
    let pid = pid_of(&command.spawn()?);
    let runs = Arc::new(AtomicBool::new(true));
    let over = Arc::clone(&runs);
    let collected = threads::start("reaper", threads::SMALL, move || {
        collect(pid);
        over.store(false, Ordering::Release);
    });
    if collected.is_err() {
        // Nothing will tell when it ends: the next attempt may start another one.
        runs.store(false, Ordering::Release);
    }
    Ok(runs)
}

fn kill_and_remove(cidfile: &Path, client: &[OsString], id: &str) -> Vec<OsString> {
    let mut argv: Vec<OsString> = ["/bin/sh", "-c", KILL_AND_REMOVE, "sh"].map(OsString::from).into();
    argv.extend([cidfile.as_os_str().to_owned(), id.into(), PAUSE.into()]);
    argv.extend(client.iter().cloned());
    argv.extend(["kill".into(), id.into()]);
    argv
}

/// Kills a container as [`Container::prepared`] says, if its id is known by now. Does not wait for the client.
pub(super) fn end_prepared(prepared: &[u8]) {
    let words = prepared.strip_suffix(b"\0").unwrap_or(prepared).split(|byte| *byte == 0);
    let mut words = words.map(|word| OsStr::from_bytes(word).to_owned());
    let (Some(cidfile), Some(own), Some(path)) = (words.next(), words.next(), words.next()) else { return };
    let cidfile = PathBuf::from(cidfile);
    if let Some(id) = read_id(&cidfile) {
        let argv = kill_and_remove(&cidfile, &words.collect::<Vec<_>>(), &id);
        let env = if path.is_empty() { Vec::new() } else { vec![("PATH".into(), Some(path))] };
        if let Some(mut command) = command(&argv, &env) {
            // There is nothing else that could be tried.
            let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        }
    }
    if own == "own" {
        let _ = cidfile.parent().map(fs::remove_dir_all);
    }
}

/// Where in the command the word `run` is, if the command is a container client's and nothing before it is unknown.
fn position_of_run(argv: &[OsString]) -> Option<usize> {
    let name = Path::new(argv.first()?).file_name()?;
    if name != "docker" && name != "podman" {
        return None;
    }
    let mut words = argv.iter().enumerate().skip(1);
    let mut in_container = false;
    loop {
        let (index, word) = words.next()?;
        let word = word.to_str()?;
        if word == "run" {
            return Some(index);
        } else if word == "container" && !in_container {
            in_container = true;
        } else if WITH_VALUE.contains(&word) && !in_container {
            words.next()?;
        } else if in_container || !(ALONE.contains(&word) || (word.starts_with("--") && word.contains('='))) {
            return None;
        }
    }
}

/// The file that the person named. Where options end and the image begins cannot be told without knowing all options, so
/// an argument of the program in the container may be taken for it; then no id is found in it, and nothing happens.
fn named_cidfile(args: &[OsString]) -> Option<PathBuf> {
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--cidfile" {
            return args.next().map(PathBuf::from);
        }
        if let Some(path) = arg.as_bytes().strip_prefix(b"--cidfile=") {
            return Some(PathBuf::from(OsStr::from_bytes(path)));
        }
    }
    None
}

/// `None` until the client has written it, and for anything that is no id: it becomes an argument.
fn read_id(cidfile: &Path) -> Option<String> {
    let text = fs::read_to_string(cidfile).ok()?;
    let id = text.trim_end();
    let valid = (12..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    valid.then(|| id.to_owned())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::path::PathBuf;

    use super::{Container, end_prepared, named_cidfile, position_of_run, read_id};
    use crate::child::Spec;

    fn argv(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_word_run_is_found_only_where_it_is_the_subcommand() {
        for (line, position) in [
            ("docker run -i x", Some(1)),
            ("/usr/local/bin/podman run x", Some(1)),
            ("docker --context far -H tcp://h --log-level=debug -D run x", Some(7)),
            ("docker container run x", Some(2)),
            ("docker", None),
            ("docker exec run x", None),
            ("docker compose run x", None),
            ("docker container exec run", None),
            ("docker --unknown run x", None),
            ("docker --context run", None),
            ("npx docker run x", None),
        ] {
            assert_eq!(position_of_run(&argv(line)), position, "{line}");
        }
    }

    #[test]
    fn a_cidfile_is_added_behind_run_and_removed_in_the_end() {
        let spec = Spec { argv: argv("docker --context far run -i image --flag"), env: Vec::new() };
        let container = Container::plan(&spec).unwrap();
        let dir = container.cidfile.parent().unwrap().to_owned();
        assert!(dir.is_dir());
        let mut expected = argv("docker --context far run --cidfile");
        expected.push(container.cidfile.clone().into_os_string());
        expected.extend(argv("-i image --flag"));
        assert_eq!(container.argv, expected);
        assert_eq!(container.client, argv("docker --context far"));
        let prepared = container.prepared();
        let words: Vec<&[u8]> = prepared.split(|byte| *byte == 0).collect();
        assert_eq!(words[1..], [&b"own"[..], b"", b"docker", b"--context", b"far", b""]);
        end_prepared(&prepared);
        assert!(!dir.exists(), "the guardian clears up");
        drop(container);
        assert!(!dir.exists());
    }

    #[test]
    fn a_cidfile_of_the_persons_own_is_used_unless_it_was_there_before() {
        assert_eq!(named_cidfile(&argv("-i --cidfile /x/y image")), Some(PathBuf::from("/x/y")));
        assert_eq!(named_cidfile(&argv("-i --cidfile=/x/y image")), Some(PathBuf::from("/x/y")));
        assert_eq!(named_cidfile(&argv("-i image")), None);

        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cid");
        let spec =
            Spec { argv: argv(&format!("docker run --cidfile {} x", file.display())), env: Vec::new() };
        assert_eq!(Container::plan(&spec).unwrap().argv, spec.argv);
        std::fs::write(&file, "0123456789ab").unwrap();
        assert!(Container::plan(&spec).is_none());
    }

    #[test]
    fn only_an_id_is_taken_for_an_id() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cid");
        assert_eq!(read_id(&file), None);
        for (text, id) in [
            ("", None),
            ("--all", None),
            ("0123456789ab\n", Some("0123456789ab")),
            ("0123456789ab other", None),
            ("0123", None),
        ] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(read_id(&file).as_deref(), id, "{text:?}");
        }
    }
}
