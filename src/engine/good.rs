//! Good answers that outlive a run: what is handed to the disk and comes back at the next start. Plain data.

use bytes::Bytes;

/// The two ways in which the protocol is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Era {
    /// Revisions 2024-11-05 to 2025-11-25: a handshake by `initialize`, and a session.
    Legacy,
    /// Revision 2026-07-28: no handshake, an envelope in each request.
    Modern,
}

/// The result of one request, worth to be given again while the server is away. An answer is looked up by everything
/// but `result`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Good {
    /// The era of the conversation.
    pub era: Era,
    /// The protocol version that the host asked for.
    pub version: String,
    /// `initialize`, `server/discover`, or the method of a list.
    pub method: String,
    /// The JSON text of the cursor of a list's page. `None` for the first page, and for what has no pages.
    pub cursor: Option<String>,
    /// The result, as JSON text. Empty if the server now refuses what it once answered: what is kept is then erased.
    pub result: Bytes,
}
