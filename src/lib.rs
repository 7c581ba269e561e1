//! `mcp-supervise`: the process supervisor for MCP servers.

pub mod child;
pub mod cli;
pub mod command;
pub mod engine;
pub mod exit_code;
pub mod mask;
pub mod report;
pub mod stream;
pub mod wire;
