//! The tests of the program and of the source tree, in one binary.

mod bad_input;
mod cli;
mod conversation;
mod daemon;
mod degraded;
mod demo;
mod hang;
mod kept;
mod lookup;
mod man;
mod noise;
mod real_sdk;
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
mod tidy;
mod traps;
mod twice;
mod watching;
