//! The commands, one file each: they bring the doers together.

pub mod check;
pub mod completions;
mod configs;
pub mod demo;
mod desktop;
mod failure;
pub mod manual;
pub mod monitor;
pub mod name;
pub mod order;
mod package;
mod program;
mod recorded;
pub mod run;
pub mod setup;
pub mod status;
pub mod wrap;
