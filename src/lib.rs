//! `mcp-supervise`: the process supervisor for MCP servers.

