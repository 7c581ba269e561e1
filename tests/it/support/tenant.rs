//! Another user, whom limits on processes bind: none binds the superuser.
//!
//! Where the tests are run by somebody else, that one is bound already, and stays who they are.

#![expect(unsafe_code, reason = "the library has no limits, and only a child may be somebody else")]

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::geteuid;

use super::Plan;
use super::plan::fixture;

/// The user who runs a supervisor.
#[derive(Clone, Debug)]
pub(crate) struct Tenant {
    /// `None` for the user who runs the tests.
    user: Option<u32>,
    pub(crate) program: PathBuf,
    fixture: PathBuf,
    /// No further process or thread can be had.
    confined: bool,
}

impl Tenant {
    /// One to whom the plan's folder belongs from now on. `user`: who that is where it can be chosen.
    pub(crate) fn of(plan: &Plan, user: u32) -> Self {
        let program = PathBuf::from(env!("CARGO_BIN_EXE_mcp-supervise"));
        if !geteuid().is_root() {
            return Self { user: None, program, fixture: fixture(), confined: false };
        }
        let tenant = Self {
            user: Some(user),
            program: copy(&program, &plan.path("mcp-supervise")),
            fixture: copy(&fixture(), &plan.path("fixture-server")),
            confined: false,
        };
        tenant.own(&plan.path(""));
        tenant
    }

    /// From the beginning no further process or thread can be had.
    pub(crate) fn confined(mut self) -> Self {
        self.confined = true;
        self
    }

    /// The fixture server's command line, where this one can reach it.
    pub(crate) fn server(&self, plan: &Plan) -> Plan {
        let words = [vec![self.fixture.clone().into_os_string()], plan.fixture()[1..].to_vec()].concat();
        plan.clone().command(words)
    }

    /// The same of a server that has become another user, whom this one may send no signals. `None` where only one user can
    /// be had, or programs cannot be had that make another user of who runs them.
    pub(crate) fn server_of_another(&self, plan: &Plan, other: u32) -> Option<Plan> {
        let becomes = plan.path("becomes");
        self.user?;
        // Both work in there.
        fs::set_permissions(plan.path(""), fs::Permissions::from_mode(0o777)).expect("the superuser may");
        let ids = [format!("--reuid={other}"), format!("--regid={other}"), "--clear-groups".to_owned()];
        #[expect(clippy::disallowed_methods, reason = "another process writes it, as below")]
        let mut sh = Command::new("sh");
        let script = "cp \"$(command -v setpriv)\" \"$1\" && chmod 4755 \"$1\"";
        assert!(sh.args(["-c", script, "sh"]).arg(&becomes).status().expect("there is a shell").success());
        #[expect(clippy::disallowed_methods, reason = "a trial")]
        let mut trial = Command::new(&becomes);
        self.run(&mut trial);
        let told = trial.args(&ids).args(["id", "-ru"]).output().expect("it was made");
        if String::from_utf8_lossy(&told.stdout).trim_end() != other.to_string() {
            let _ = writeln!(
                io::stderr(),
                "the system lets no process become another user here ({told:?}): not tested"
            );
            return None;
        }
        let words = [vec![becomes.into_os_string()], ids.map(OsString::from).to_vec()].concat();
        let server = [vec![self.fixture.clone().into_os_string()], plan.fixture()[1..].to_vec()].concat();
        Some(plan.clone().command(words.into_iter().chain(server)))
    }

    /// What is there belongs to this one.
    pub(crate) fn own(&self, path: &Path) {
        if let Some(user) = self.user {
            chown(path, Some(user), Some(user)).expect("the superuser may");
        }
    }

    /// Has the command run by this one.
    pub(crate) fn run(&self, command: &mut Command) {
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
    }

    /// Has the supervisor run by this one.
    pub(super) fn supervise(&self, command: &mut Command) {
        self.run(command);
        if self.confined {
            let limit = libc::rlimit { rlim_cur: 1, ..limit() };
            // SAFETY: between fork and exec only a system call is made, with what is ready by then.
            unsafe {
                command.pre_exec(move || match libc::setrlimit(libc::RLIMIT_NPROC, &raw const limit) {
                    0 => Ok(()),
                    _ => Err(io::Error::last_os_error()),
                });
            }
        }
    }

    /// From now on the process, which this one runs, can have no further process or thread.
    pub(crate) fn confine(&self, pid: i32) {
        self.limit(pid, 1);
    }

    /// It can have as many as before.
    pub(crate) fn release(&self, pid: i32) {
        self.limit(pid, limit().rlim_cur);
    }

    fn limit(&self, pid: i32, most: libc::rlim_t) {
        let most = if most == libc::RLIM_INFINITY { "unlimited".to_owned() } else { most.to_string() };
        #[expect(clippy::disallowed_methods, reason = "only one of the same user may")]
        let mut command = Command::new("prlimit");
        self.run(&mut command);
        command.args([format!("--pid={pid}"), format!("--nproc={most}:")]);
        assert!(command.status().expect("it is a part of every Linux").success(), "{pid} is not limited");
    }
}

/// What the tests have themselves.
fn limit() -> libc::rlimit {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: it is written to, and nothing else.
    let told = unsafe { libc::getrlimit(libc::RLIMIT_NPROC, &raw mut limit) };
    assert_eq!(told, 0, "{}", Errno::last());
    limit
}

/// Copies a program, by another process: a descriptor of ours, open for writing, could be inherited by what another test
/// starts, and until that is closed the system would not execute the copy.
fn copy(program: &Path, to: &Path) -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "see above")]
    let mut cp = Command::new("cp");
    assert!(cp.arg(program).arg(to).status().expect("there is one").success(), "{}", to.display());
    fs::set_permissions(to, fs::Permissions::from_mode(0o755)).expect("it is ours");
    to.to_owned()
}
