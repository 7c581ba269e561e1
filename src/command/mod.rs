//! The commands, one file each: they bring the doers together.

pub mod completions;
pub mod manual;
pub mod name;
