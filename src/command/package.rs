//! Packages that servers come in, as their runners are told them.

/// That of a `WAIaaS` daemon's MCP server.
pub(super) const WAIAAS: &str = "@waiaas/mcp";

/// Whether a word names this package, with a version behind it or without.
pub(super) fn is_of(word: &str, package: &str) -> bool {
    word.strip_prefix(package).is_some_and(|rest| rest.is_empty() || rest.starts_with('@'))
}
