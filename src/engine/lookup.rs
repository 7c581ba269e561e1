//! A command that is not found: hosts give a bare `PATH`, and the user's login shell knows a better one.
//!
//! The shell is asked only after a lookup has failed: the command itself was not found, or a child exited as a shell does
//! that did not find a command, before it ever served. Later it is asked again when a call or a change has led to the
//! attempt, and not by routine. What waits for the server goes on waiting meanwhile.

use std::ffi::OsString;
use std::time::Duration;

use super::io::{Exit, LoginPath, Output, SpawnFault};
use super::note::Note;
use super::phase::Phase;
use super::story::{Trouble, whole_line};
use super::timers::Timer;
use super::{Engine, planted};

/// How long the shell is waited for; whoever asks it gives up after 5 s.
const PATIENCE: Duration = Duration::from_secs(6);
/// How often it is asked again, at most.
const AGAIN: Duration = Duration::from_secs(60);
/// What a shell exits with when it does not find a command.
const NOT_FOUND: Exit = Exit::Code(127);

/// What is known of the shell's `PATH`.
#[derive(Debug, Default)]
pub(super) struct Lookup {
    /// What is to be done if the shell does not help. `None` while it is not asked.
    under_way: Option<Fallback>,
    asked_at: Option<Duration>,
    answer: Option<LoginPath>,
    /// The `PATH` that the command is started with. `None` for our own.
    using: Option<OsString>,
}

/// What follows when the shell knows no other `PATH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fallback {
    /// The command does not exist: degraded.
    NotFound,
    /// The child that exited has crashed.
    Crash,
}

impl Lookup {
    /// Whether the shell is being asked.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// One sentence on what was tried. `None` if the shell was not asked.
    pub(super) fn story(&self) -> Option<String> {
        let LoginPath { shell, path } = self.answer.as_ref()?;
        Some(match path {
            Ok(path) => format!("The login shell {shell} was asked too; its PATH is {}", path.display()),
            Err(reason) => format!("The login shell {shell} was asked too, but it {reason}"),
        })
    }
}

impl Engine {
    /// The command was not found. Whether that is to be looked into first.
    pub(super) fn look_up_command(&mut self) -> bool {
        self.config.bare_command
            && whole_line(&self.config.words).is_none()
            && self.ask_login_shell(Fallback::NotFound)
    }

    /// A child that never served has exited. Whether its exit is to be looked into first.
    pub(super) fn look_up_interpreter(&mut self, exit: Option<Exit>) -> bool {
        exit == Some(NOT_FOUND)
            && self.trouble.as_ref().is_some_and(Trouble::lacks_command)
            && self.lookup.using.is_none()
            && self.ask_login_shell(Fallback::Crash)
    }

    fn ask_login_shell(&mut self, fallback: Fallback) -> bool {
        let now = self.now.mono;
        let lately = self.lookup.asked_at.is_some_and(|at| now < at + AGAIN);
        // A shell's files may start what stays: nobody who waits for nothing asks it again and again.
        if self.trying && self.by_routine {
            return false;
        }
        if lately && !planted!(self, AskShellAlways) {
            return false;
        }
        self.lookup.asked_at = Some(now);
        self.lookup.under_way = Some(fallback);
        self.set_phase(Phase::Waiting);
        self.outputs.push_back(Output::AskLoginShell);
        self.timers.arm(Timer::Lookup, now + PATIENCE);
        true
    }

    /// The shell has answered.
    pub(super) fn login_path(&mut self, answer: LoginPath) {
        let path = answer.path.as_ref().ok().cloned();
        self.note(Note::LoginShellAnswered {
            shell: answer.shell.clone(),
            reason: answer.path.as_ref().err().cloned(),
        });
        self.lookup.answer = Some(answer);
        let Some(fallback) = self.lookup.under_way else { return };
        self.timers.disarm(Timer::Lookup);
        self.lookup.under_way = None;
        if self.phase != Phase::Waiting {
            return;
        }
        let current = self.lookup.using.as_ref().or(self.config.path.as_ref());
        match path.filter(|path| Some(path) != current) {
            Some(path) => {
                self.lookup.using = Some(path.clone());
                self.book.tools.outdate();
                self.outputs.push_back(Output::UsePath(path));
                self.start();
            }
            None => self.fall_back(fallback),
        }
    }

    /// The shell has not answered.
    pub(super) fn lookup_overdue(&mut self) {
        let Some(fallback) = self.lookup.under_way.take() else { return };
        if self.phase == Phase::Waiting {
            self.fall_back(fallback);
        }
    }

    fn fall_back(&mut self, fallback: Fallback) {
        match fallback {
            Fallback::Crash if !self.trying => self.restart_or_degrade(),
            Fallback::Crash | Fallback::NotFound => self.degrade(),
        }
    }

    /// What there is to tell of the last trouble besides its clause: the system's words, and what else was tried where a
    /// command was not found. `None` if there is nothing.
    pub(super) fn detail(&self, fault: Option<&(SpawnFault, String)>, exit: Option<Exit>) -> Option<String> {
        let not_found =
            exit == Some(NOT_FOUND) || fault.is_some_and(|(fault, _)| *fault == SpawnFault::NotFound);
        let story = self.lookup.story().filter(|_| not_found);
        let story = story.map(|story| self.config.mask.apply(&story).into_owned());
        match (fault, story) {
            (Some((_, reason)), Some(story)) => Some(format!("{reason}. {story}")),
            (Some((_, reason)), None) => Some(reason.clone()),
            (None, story) => story,
        }
    }
}
