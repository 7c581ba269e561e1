//! The tests of the program and of the source tree, in one binary.

mod bad_input;
mod check;
mod cli;
mod conversation;
mod daemon;
mod degraded;
mod demo;
mod hang;
mod kept;
mod limits;
mod lookup;
mod man;
mod monitor;
mod noise;
mod orders;
#[cfg(target_os = "linux")]
mod orphans;
mod real_sdk;
mod record;
mod relay;
mod restart;
mod said;
mod second_copy;
mod session;
mod setup;
mod slow_start;
mod soak;
mod stopping;
mod support;
mod terminal;
mod tidy;
mod told;
mod traps;
mod twice;
mod watching;
mod wrap;
