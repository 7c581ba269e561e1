//! What an API's answer says about the session: nothing, that it is over, or that the API is locked.
//!
//! The code in the body decides, and where none can be read, the status. Only answers whose status may speak of the
//! session are looked into; all are passed on as they came, whatever they say.

use std::time::Duration;

use hyper::StatusCode;

use crate::http;

/// How much of a body is read before it is passed on, in bytes, and how long that may take.
pub(super) const AHEAD: usize = 64 << 10;
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// What an answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The API has heard the request, and what it says concerns the server alone.
    Heard,
    /// The session is over, by what the API says of this token.
    SessionOver,
    /// The kill switch is on.
    Locked,
}

/// Whether the body is needed to tell.
pub(super) fn is_in_the_body(status: StatusCode, forgets: bool) -> bool {
    matches!(status, StatusCode::UNAUTHORIZED | StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE)
        || forgets && status == StatusCode::NOT_FOUND
}

/// What an answer means whose body begins with `text`. `forgets`: the API says of a session that is over that it is not found.
pub(super) fn outcome(status: StatusCode, text: &[u8], forgets: bool) -> Outcome {
    let code = http::error_code(text);
    match (status, code.as_deref()) {
        (StatusCode::NOT_FOUND, Some("SESSION_NOT_FOUND")) if forgets => Outcome::SessionOver,
        (StatusCode::UNAUTHORIZED, None | Some("INVALID_TOKEN" | "TOKEN_EXPIRED" | "SESSION_REVOKED")) => {
            Outcome::SessionOver
        }
        (StatusCode::SERVICE_UNAVAILABLE, Some("SYSTEM_LOCKED" | "KILL_SWITCH_ACTIVE"))
        | (StatusCode::CONFLICT, Some("KILL_SWITCH_ACTIVE"))
            if !is_about_the_host(text) =>
        {
            Outcome::Locked
        }
        _ => Outcome::Heard,
    }
}

/// APIs that only want to be used under a local name report that with the same code.
fn is_about_the_host(text: &[u8]) -> bool {
    String::from_utf8_lossy(text).to_lowercase().contains("localhost access")
}
