//! The stopwatch: what the supervisor costs, beside the same without it and beside the least that a relay can cost.
//!
//! `cargo bench` measures every figure three ways in the same run: the server alone (*direct*), behind a two-thread
//! blocking byte copy (*copy*, see [`byte_copy`]), and behind the supervisor with everything that is on by default. The
//! three take turns, round by round, so that whatever else the machine does meets all of them; a figure is the median of
//! its rounds, a ratio is the median of the ratios of each round, with the middle half of the rounds behind it. Nothing here fails on
//! a number: a machine that does other things as well is not a mistake in the program.
//!
//! `cargo bench -- NAME...` measures only the figures whose names contain one of the words. The table is Markdown.

mod byte_copy;
mod counted;
mod figures;
mod host;
mod release;
mod sdk;
mod server;
mod statistics;
mod table;
mod trace;

use std::env;
use std::ffi::OsString;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut words = env::args_os().skip(1);
    let first = words.next().unwrap_or_default();
    let rest: Vec<OsString> = words.collect();
    // The parts of the measured chains are this same program under other names.
    match first.to_str() {
        Some("--serve") => server::serve(),
        Some("--serve-sdk") => sdk::serve(),
        Some("--copy") => byte_copy::copy(&rest),
        Some("--counted") => counted::supervise(&rest),
        _ => {
            // cargo adds `--bench`.
            let chosen: Vec<String> = env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
            figures::print(&chosen);
        }
    }
    ExitCode::SUCCESS
}
