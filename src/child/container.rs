//! A child that is only the client of a container: killing it does not end the container.
//!
//! `docker run` (or podman's) asks a daemon to run the container, and a client that is killed with SIGKILL tells nobody.
//! So the client is made to write the container's id to a file (`--cidfile`), and when the group is killed the same
//! client is started once more with `kill ID`. Only what can be told reliably from the command line is used: an option
//! before `run` that is not known here means that nothing is added. An id is only taken from a file that this child
//! wrote, never from one that was there before.
//!
//! The client does not remove a cidfile that the person has named, and refuses to start while it exists. It is
//! therefore removed once the container that wrote it is dead: at once if the client ended by itself, otherwise by the
//! process that kills the container, which outlives us. Until then the command counts as busy, and is started a little
//! later.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::TempDir;

use super::{Spec, command, pid_of, reap_later};

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

/// Kills a container and removes its cidfile. Arguments: the cidfile, the id, and the words of the kill command. The
/// file is removed only if the id is still in it. If the client reports that the container does not exist or does not
/// run, the container is dead as well; after any other failure the file stays.
const KILL_AND_REMOVE: &str = r#"cidfile=$1 id=$2
shift 2
said=$("$@" 2>&1) || case $said in
*[Nn]"o such container"*|*"not running"*|*"only kill running"*|*"no container with"*) ;;
*) exit 1 ;;
esac
[ "$(cat "$cidfile")" != "$id" ] || rm -f "$cidfile""#;

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

/// The cidfiles that persons have named in commands of our children.
static NAMED: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Whether the cidfile of an earlier container is still there: that container is being killed, and the command cannot
/// start yet.
pub(super) fn is_busy(spec: &Spec) -> bool {
    let named = position_of_run(&spec.argv).and_then(|run| named_cidfile(&spec.argv[run + 1..]));
    named.is_some_and(|path| path.exists() && named_by_persons().contains(&path))
}

fn named_by_persons() -> MutexGuard<'static, Vec<PathBuf>> {
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
                if !named.contains(&path) {
                    named.push(path.clone());
                }
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
        {
            // There is nothing else that could be tried.
            self.killed = self.start_kill(id).is_ok();
        }
    }

    /// Cleans up after the client has ended. `by_itself` is whether no signal ended it: then the container is dead.
    pub(super) fn clear(&mut self, by_itself: bool) {
        if self.dir.is_some() {
            return;
        }
        if !by_itself {
            self.kill();
        } else if read_id(&self.cidfile).is_some() {
            // If the file cannot be removed, the client reports that at its next start.
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

    fn start_kill(&self, id: String) -> io::Result<()> {
        let mut argv: Vec<OsString> = Vec::new();
        if self.dir.is_none() {
            let words = ["/bin/sh", "-c", KILL_AND_REMOVE, "sh"];
            argv.extend(words.map(OsString::from));
            argv.extend([self.cidfile.clone().into_os_string(), id.clone().into()]);
        }
        argv.extend(self.client.iter().cloned());
        argv.extend(["kill".into(), id.into()]);
        let Some(mut command) = command(&argv, &self.env) else {
            return Ok(());
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
        reap_later(pid_of(&command.spawn()?));
        Ok(())
    }
}

/// Kills a container as [`Container::prepared`] says, if its id is known by now. Does not wait for the client.
pub(super) fn end_prepared(prepared: &[u8]) {
    let words = prepared.strip_suffix(b"\0").unwrap_or(prepared).split(|byte| *byte == 0);
    let mut words = words.map(|word| OsStr::from_bytes(word).to_owned());
    let (Some(cidfile), Some(own), Some(path)) = (words.next(), words.next(), words.next()) else { return };
    let cidfile = PathBuf::from(cidfile);
    if let Some(id) = read_id(&cidfile) {
        let argv: Vec<OsString> = words.chain(["kill".into(), id.into()]).collect();
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
