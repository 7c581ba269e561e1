//! What goes on beside the relay: changes on disk, the login shell, answers that outlive a run.
//!
//! Each of these lives on a thread or in a process of its own and is slow or optional: none of it may hold up a message.
//! What they tell is handed to the engine as it comes, and what goes wrong with them is logged and done without.

use std::ffi::OsString;
use std::future::pending;
use std::path::PathBuf;
use std::time::Duration;

use crate::child::{Guardian, LoginShell, Spec, executable};
use crate::engine::io::{Changed, Good, Input};
use crate::lastgood::{Key, LastGood, Report, Reports};
use crate::watch::Watch;

/// What one of them tells.
#[derive(Debug)]
pub(super) enum News {
    /// The engine is to know.
    Input(Input),
    /// From now on every change of a watched path is seen.
    Watching,
    /// Something is done without; a text that fits after "failed to".
    Fault(String),
}

/// The rooms beside the relay.
#[derive(Debug)]
pub(super) struct Beside {
    watch: Watch,
    /// The watch is to be told of once it is ready.
    watch_awaited: bool,
    login_shell: Option<LoginShell>,
    last_good: Option<LastGood>,
    reports: Option<Reports>,
}

impl Beside {
    /// Starts what is needed from the beginning. `kept` says where answers are kept and under which name; `None` to keep
    /// none.
    pub(super) fn start(spec: &Spec, watched: Vec<PathBuf>, kept: Option<(Option<PathBuf>, Key)>) -> Self {
        let watched = watched.into_iter().map(|path| (Changed::Watched, path));
        let executable = executable(spec).map(|path| (Changed::Executable, path));
        let (last_good, reports) = kept.map(|(folder, key)| LastGood::open(folder, key)).unzip();
        let paths: Vec<_> = watched.chain(executable).collect();
        let watch_awaited = !paths.is_empty();
        let watch = Watch::start(paths);
        Self { watch, watch_awaited, login_shell: None, last_good, reports }
    }

    /// The next thing that one of them tells. Cancel-safe.
    pub(super) async fn next(&mut self) -> News {
        let shell = async {
            match &mut self.login_shell {
                Some(shell) => shell.answer().await,
                None => pending().await,
            }
        };
        let report = async {
            match &mut self.reports {
                Some(reports) => reports.next().await,
                None => pending().await,
            }
        };
        let news = tokio::select! {
            () = self.watch.ready(), if self.watch_awaited => News::Watching,
            report = report => match report {
                Report::Loaded(good) => News::Input(Input::LastGood(good)),
                Report::Fault(fault) => News::Fault(fault.to_string()),
            },
            changed = self.watch.changed() => News::Input(Input::Changed(changed)),
            fault = self.watch.fault() => News::Fault(fault.to_string()),
            answer = shell => News::Input(Input::LoginPath(answer)),
        };
        match news {
            News::Watching => self.watch_awaited = false,
            // It would answer again, and is ended by this.
            News::Input(Input::LoginPath(_)) => self.login_shell = None,
            News::Input(_) | News::Fault(_) => {}
        }
        news
    }

    /// Asks the login shell, unless it is being asked.
    pub(super) fn ask_login_shell(&mut self, guardian: Option<&Guardian>) {
        self.login_shell.get_or_insert_with(|| LoginShell::ask(guardian));
    }

    /// Starts the command with this `PATH` from now on.
    pub(super) fn use_path(&mut self, spec: &mut Spec, path: OsString) {
        spec.env.retain(|(name, _)| name != "PATH");
        spec.env.push(("PATH".into(), Some(path)));
        if let Some(file) = executable(spec) {
            self.watch.add(Changed::Executable, file);
            self.watch_awaited = true;
        }
    }

    /// Keeps an answer for later runs.
    pub(super) fn remember(&self, good: Good) {
        if let Some(last_good) = &self.last_good {
            last_good.remember(good);
        }
    }

    /// Ends a login shell that is being asked.
    pub(super) fn forget_login_shell(&mut self) {
        self.login_shell = None;
    }

    /// Ends all of them, and waits for what is still to be written, but no longer than this. What was not told yet.
    pub(super) async fn end(mut self, within: Duration) -> Vec<String> {
        self.forget_login_shell();
        let mut faults = Vec::new();
        if let Some(last_good) = self.last_good.take()
            && let Err(fault) = last_good.finish(within).await
        {
            faults.push(fault.to_string());
        }
        while let Some(report) = self.reports.as_mut().and_then(Reports::try_next) {
            if let Report::Fault(fault) = report {
                faults.push(fault.to_string());
            }
        }
        faults
    }
}
