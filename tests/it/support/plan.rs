//! How a supervisor is to be started, and for which server.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Once};

use nix::fcntl::OFlag;
use nix::pty::PtyMaster;
use nix::sys::signal::{SigHandler, Signal};
use tempfile::TempDir;

#[cfg(target_os = "linux")]
use super::disk::Disk;
use super::reader::Reader;
#[cfg(target_os = "linux")]
use super::tenant::Tenant;
use super::{Host, Kind, ends};

/// A supervisor that was just started, and the host's ends of its streams.
pub(crate) struct Started {
    pub(crate) child: Child,
    /// `None` where stdin is a file.
    pub(crate) stdin: Option<File>,
    /// `None` where stdout is a file.
    pub(crate) stdout: Option<File>,
    pub(crate) stderr: File,
    /// Where the person sits at whose terminal it runs. `None` where it was not to have one.
    pub(crate) terminal: Option<PtyMaster>,
    /// What the plan shares with its clones.
    pub(crate) dir: Arc<TempDir>,
}

/// A plan, to be changed word by word and then started. The clones of a plan share its folder, so that supervisors that
/// are started from them have the same server, with the same records.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    dir: Arc<TempDir>,
    options: Vec<OsString>,
    /// The server's command. Empty for the fixture server.
    command: Vec<OsString>,
    /// A script that gets the fixture's command line as its arguments.
    script: Option<String>,
    fixture: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    stdin: Kind,
    stdout: Kind,
    stderr: Kind,
    stderr_unread: bool,
    /// What starts the supervisor, given its command line. Empty where the test does.
    starter: Vec<OsString>,
    /// Orphans of other processes become the supervisor's children.
    #[cfg(target_os = "linux")]
    heir: bool,
    /// As whom, and with how few processes, the supervisor is run.
    #[cfg(target_os = "linux")]
    tenant: Option<Tenant>,
    at_terminal: bool,
    /// The working directory. `None` for that of the test.
    folder: Option<PathBuf>,
    /// What only the supervisor sees, and what it starts. `None` where it sees what the test sees.
    #[cfg(target_os = "linux")]
    disk: Option<Disk>,
}

impl Plan {
    /// The fixture server behind the supervisor, everything on pipes.
    pub(crate) fn new() -> Self {
        Self {
            dir: Arc::new(TempDir::new().expect("the system has a folder for temporary files")),
            options: Vec::new(),
            command: Vec::new(),
            script: None,
            fixture: Vec::new(),
            environment: Vec::new(),
            stdin: Kind::Pipe,
            stdout: Kind::Pipe,
            stderr: Kind::Pipe,
            stderr_unread: false,
            starter: Vec::new(),
            #[cfg(target_os = "linux")]
            heir: false,
            #[cfg(target_os = "linux")]
            tenant: None,
            at_terminal: false,
            folder: None,
            #[cfg(target_os = "linux")]
            disk: None,
        }
    }

    /// Options of the supervisor, separated by blanks.
    pub(crate) fn options(mut self, options: &str) -> Self {
        self.options.extend(options.split_whitespace().map(OsString::from));
        self
    }

    /// No waiting between restarts, and as many as it takes.
    pub(crate) fn tireless(self) -> Self {
        self.options("--max-restarts 1000 --backoff-max 0s")
    }

    /// Options of the fixture server, separated by blanks.
    pub(crate) fn server(mut self, options: &str) -> Self {
        self.fixture.extend(options.split_whitespace().map(OsString::from));
        self
    }

    /// One option of the fixture server with a value that may hold blanks.
    pub(crate) fn server_with(mut self, option: &str, value: impl Into<OsString>) -> Self {
        self.fixture.extend([option.into(), value.into()]);
        self
    }

    /// This command instead of the fixture server.
    pub(crate) fn command<W: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.command = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        self
    }

    /// A shell script that is given the command line of the fixture server as its arguments.
    pub(crate) fn script(mut self, script: &str) -> Self {
        self.script = Some(script.to_owned());
        self
    }

    /// The supervisor is started in this folder.
    pub(crate) fn within(mut self, folder: PathBuf) -> Self {
        self.folder = Some(folder);
        self
    }

    /// The supervisor sees this disk.
    #[cfg(target_os = "linux")]
    pub(crate) fn disk(mut self, disk: Disk) -> Self {
        self.disk = Some(disk);
        self
    }

    /// A variable in the supervisor's environment.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// What stdin and stdout are.
    pub(crate) fn on(mut self, kind: &Kind) -> Self {
        self.stdin = kind.clone();
        self.stdout = kind.clone();
        self
    }

    /// What stdin is.
    pub(crate) fn stdin(mut self, kind: Kind) -> Self {
        self.stdin = kind;
        self
    }

    /// What stdout is.
    pub(crate) fn stdout(mut self, kind: Kind) -> Self {
        self.stdout = kind;
        self
    }

    /// Nobody reads stderr, until the host is told to.
    pub(crate) fn stderr_unread(mut self) -> Self {
        self.stderr_unread = true;
        self
    }

    /// The supervisor is started with SIGHUP ignored, as `nohup` does.
    pub(crate) fn nohup(self) -> Self {
        self.by(["sh", "-c", "trap '' HUP; exec \"$@\"", "sh"])
    }

    /// This command starts the supervisor, whose own command line it is given.
    pub(crate) fn by<W: AsRef<OsStr>>(mut self, words: impl IntoIterator<Item = W>) -> Self {
        self.starter = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        self
    }

    /// Orphans below the supervisor become its children, as they become those of process 1.
    #[cfg(target_os = "linux")]
    pub(crate) fn heir(mut self) -> Self {
        self.heir = true;
        self
    }

    /// The supervisor is run by this one.
    #[cfg(target_os = "linux")]
    pub(crate) fn tenant(mut self, tenant: Tenant) -> Self {
        self.tenant = Some(tenant);
        self
    }

    /// The supervisor leads a session that has a terminal, at which no person types.
    pub(crate) fn at_terminal(mut self) -> Self {
        self.at_terminal = true;
        self
    }

    /// A file in the folder that the host will have.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The command line of the fixture server, with all its records in the host's folder.
    pub(crate) fn fixture(&self) -> Vec<OsString> {
        let mut words = vec![fixture().into_os_string()];
        for (option, name) in
            [("--pid-file", "pids"), ("--log", "log"), ("--journal", "journal"), ("--state", "state")]
        {
            words.extend([option.into(), self.path(name).into_os_string()]);
        }
        words.extend(self.fixture.iter().cloned());
        words
    }

    /// Starts the supervisor.
    pub(crate) fn start(self) -> Host {
        let unread = self.stderr_unread;
        let started = self.launch();
        let reader = |end: File| Reader::new(end, false);
        Host {
            child: started.child,
            stdin: started.stdin,
            stdout: started.stdout.map(reader),
            stderr: Reader::new(started.stderr, unread),
            _terminal: started.terminal,
            dir: started.dir,
            status: None,
        }
    }

    /// Starts the supervisor, and leaves its streams to whoever wants to read them in another way.
    pub(crate) fn launch(self) -> Started {
        let mut command = self.program();
        let (stdin, host_stdin) = ends::stdin(&self.stdin);
        let (stdout, host_stdout) = ends::stdout(&self.stdout);
        let (stderr, host_stderr) = ends::stdout(&self.stderr);
        let terminal = self.at_terminal.then(|| sit_at(&mut command));
        command.stdin(Stdio::from(stdin)).stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
        let child = command.spawn().expect("the program was built for this test");
        // The supervisor's ends must not stay open in here.
        drop(command);
        Started {
            child,
            stdin: host_stdin,
            stdout: host_stdout,
            stderr: host_stderr.expect("stderr is no file"),
            terminal,
            dir: self.dir,
        }
    }

    /// The program, in a place that the user who runs it can reach.
    fn binary(&self) -> PathBuf {
        #[cfg(target_os = "linux")]
        if let Some(tenant) = &self.tenant {
            return tenant.program.clone();
        }
        env!("CARGO_BIN_EXE_mcp-supervise").into()
    }

    /// The program for another command, run by the user who runs the supervisor.
    pub(super) fn beside(&self) -> Command {
        #[expect(clippy::disallowed_methods, reason = "the program under test")]
        let mut command = Command::new(self.binary());
        #[cfg(target_os = "linux")]
        if let Some(tenant) = &self.tenant {
            tenant.run(&mut command);
        }
        command
    }

    fn program(&self) -> Command {
        heed_signals();
        let mut command = match self.starter.split_first() {
            #[expect(clippy::disallowed_methods, reason = "it starts the program under test")]
            Some((starter, words)) => {
                let mut command = Command::new(starter);
                command.args(words).arg(self.binary());
                command
            }
            #[expect(clippy::disallowed_methods, reason = "the program under test")]
            None => Command::new(self.binary()),
        };
        for (name, _) in
            env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MCP_SUPERVISE_"))
        {
            command.env_remove(name);
        }
        // Nothing of the user's: neither what earlier runs have left, nor the files of the login shell.
        command.env("MCP_SUPERVISE_DATA_DIR", self.path("data"));
        command.env("MCP_SUPERVISE_RUNTIME_DIR", self.path("run"));
        command.env("HOME", self.dir.path()).env("SHELL", "/bin/sh");
        command.envs(self.environment.iter().cloned()).args(&self.options).arg("--");
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        if let Some(script) = &self.script {
            command.args(["sh", "-c", script, "sh"]);
        }
        if self.command.is_empty() {
            command.args(self.fixture());
        } else {
            command.args(&self.command);
        }
        #[cfg(target_os = "linux")]
        if let Some(disk) = &self.disk {
            disk.mount_for(&mut command);
        }
        #[cfg(target_os = "linux")]
        if self.heir {
            #[expect(unsafe_code, reason = "only the child may be one")]
            // SAFETY: between fork and exec only a system call is made.
            unsafe {
                command.pre_exec(|| Ok(nix::sys::prctl::set_child_subreaper(true)?));
            }
        }
        #[cfg(target_os = "linux")]
        if let Some(tenant) = &self.tenant {
            tenant.supervise(&mut command);
        }
        command
    }
}

/// Has the command begin a session with a terminal.
fn sit_at(command: &mut Command) -> PtyMaster {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = nix::pty::posix_openpt(flags).expect("the system has terminals");
    nix::pty::grantpt(&master).expect("it is ours");
    nix::pty::unlockpt(&master).expect("it is ours");
    #[expect(unsafe_code, reason = "the safe way is not on every system")]
    // SAFETY: no other thread asks for a name.
    let path = PathBuf::from(unsafe { nix::pty::ptsname(&master) }.expect("it has a name"));
    #[expect(unsafe_code, reason = "there is no safe way to a controlling terminal")]
    // SAFETY: the calls are safe between fork and exec. The path was made before.
    unsafe {
        command.pre_exec(move || {
            nix::unistd::setsid()?;
            // The first terminal that the leader of a session opens is the session's.
            nix::fcntl::open(&path, OFlag::O_RDWR | OFlag::O_CLOEXEC, nix::sys::stat::Mode::empty())?;
            Ok(())
        });
    }
    master
}

/// Makes a file that can be executed. Another process writes it: a descriptor of ours, open for writing, could for a moment
/// be inherited by what another test starts, and until then the system would refuse to execute the file.
pub(crate) fn executable(path: &Path, text: &str) {
    #[expect(clippy::disallowed_methods, reason = "see above")]
    let mut sh = Command::new("sh");
    sh.args(["-c", "printf %s \"$2\" > \"$1\" && chmod 755 \"$1\"", "sh"]).arg(path).arg(text);
    assert!(sh.status().expect("there is a shell").success(), "{} cannot be written", path.display());
}

/// Whoever runs the tests may have some signals ignored, and what is started inherits that.
fn heed_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for signal in [Signal::SIGHUP, Signal::SIGINT] {
            #[expect(unsafe_code, reason = "there is no safe wrapper")]
            // SAFETY: the default disposition runs no code of ours.
            unsafe { nix::sys::signal::signal(signal, SigHandler::SigDfl) }.expect("signals can be set back");
        }
    });
}

/// The fixture server.
pub(crate) fn fixture() -> PathBuf {
    example("fixture-server")
}

/// A fixture program: an example, which cargo builds next to the folder of this test.
pub(crate) fn example(name: &str) -> PathBuf {
    let test = env::current_exe().expect("the system knows what runs");
    let built = test.parent().and_then(Path::parent).map(|target| target.join("examples").join(name));
    built.filter(|file| file.exists()).unwrap_or_else(|| {
        panic!("{name} is not built: run `cargo build --examples` first, or `cargo test` without `--test`")
    })
}
