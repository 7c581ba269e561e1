//! Words in, exit code out. Plain on purpose: the guardian is forked here, before any thread or runtime exists.

use std::env;
use std::ffi::OsString;
use std::fmt::Display;
use std::process;

use mcp_supervise::child::{Guardian, take_signals};
use mcp_supervise::cli::{self, Command, Refusal, UsageError};
use mcp_supervise::command::{check, completions, demo, manual, monitor, order, run, setup, status, wrap};
use mcp_supervise::engine::io::Order;
use mcp_supervise::{exit_code, report, threads, token};

fn main() {
    take_signals();
    let any_setting = forget_empty_settings();
    let code = match cli::parse(env::args_os(), any_setting) {
        Ok(Command::Run(options)) => {
            if options.session.names_a_token() {
                token::keep_private();
            }
            match run::run(options, guardian()) {
                Ok(code) => code,
                Err(error) => match error.downcast_ref::<UsageError>() {
                    Some(usage) => misused(usage),
                    None => failed(format_args!("{error:#}")),
                },
            }
        }
        Ok(Command::Setup(options)) => {
            token::keep_private();
            setup::setup(&options)
        }
        Ok(Command::Status(options)) => status::status(&options),
        Ok(Command::Restart(restart)) => {
            let order = if restart.now { Order::RestartSoon } else { Order::Restart };
            order::order(&restart.target, order)
        }
        Ok(Command::Stop(target)) => order::order(&target, Order::Stop),
        Ok(Command::Monitor(options)) => monitor::monitor(&options),
        Ok(Command::Check(options)) => check::check(&options, guardian()),
        Ok(Command::Wrap(options)) => wrap::wrap(&options),
        Ok(Command::Unwrap(options)) => wrap::unwrap(&options),
        Ok(Command::Demo { serve: true }) => ended(demo::serve()),
        Ok(Command::Demo { serve: false }) => ended(demo::demo()),
        Ok(Command::Man) => printed(manual::render()),
        Ok(Command::Completions { shell }) => printed(completions::render(shell)),
        Err(Refusal::Show(text)) => printed(text),
        Err(Refusal::Usage(error)) => misused(&error),
    };
    // Not by returning: a read of a terminal may still occupy a thread.
    process::exit(code);
}

/// A setting that is there and empty is none: hosts write `"X": ""`, or `${X}` of a variable that is not set. Whether one is
/// left.
fn forget_empty_settings() -> bool {
    let words: Vec<_> = env::args_os().take(2).collect();
    let mut any_left = false;
    let is_ours = |name: &OsString| cli::is_setting(name) || cli::is_setting_of_setup(name, &words);
    for (name, value) in env::vars_os().filter(|(name, _)| is_ours(name)) {
        any_left |= !value.is_empty();
        if value.is_empty() {
            #[expect(
                unsafe_code,
                reason = "the options are read from the environment wherever they are declared"
            )]
            // SAFETY: this is the only thread.
            unsafe {
                env::remove_var(&name);
            }
        }
    }
    any_left
}

/// Without a guardian the server outlives us if we are killed; everything else works all the same.
fn guardian() -> Option<Guardian> {
    match Guardian::fork() {
        Ok(guardian) => Some(guardian),
        Err(error) => {
            report::error(
                format_args!("failed to start the guardian: {}", threads::named(error)),
                Some("if mcp-supervise is killed with SIGKILL now, the server may go on running"),
            );
            None
        }
    }
}

fn ended(outcome: anyhow::Result<()>) -> i32 {
    match outcome {
        Ok(()) => exit_code::DONE,
        Err(error) => failed(format_args!("{error:#}")),
    }
}

fn printed(text: impl AsRef<[u8]>) -> i32 {
    match report::text(text) {
        Ok(()) => exit_code::DONE,
        Err(error) => failed(format_args!("failed to write to stdout: {error}")),
    }
}

fn misused(error: &UsageError) -> i32 {
    report::usage(&error.text, &error.hint);
    exit_code::USAGE
}

fn failed(message: impl Display) -> i32 {
    report::error(message, None);
    exit_code::UNEXPECTED
}
