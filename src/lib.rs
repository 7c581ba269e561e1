//! `mcp-supervise`: the process supervisor for MCP servers.

pub mod child;
pub mod engine;
pub mod mask;
pub mod stream;
pub mod wire;
