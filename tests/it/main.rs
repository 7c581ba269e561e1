//! The tests of the program and of the source tree, in one binary.

mod cli;
mod conversation;
mod demo;
