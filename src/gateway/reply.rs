//! Answers of the gateway's own, in the shape in which APIs report their errors.
//!
//! They say what is wrong and what would be right, and never name a token, a stand-in or a secret path.

use std::time::Duration;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::payload::Payload;

/// The code where the API does not answer: what the chat is told, too.
const UNAVAILABLE: &str = "daemon_unavailable";

/// An answer that the API had no part in.
#[derive(Debug)]
pub(super) struct Reply {
    status: StatusCode,
    code: &'static str,
    message: String,
    retryable: bool,
}

impl Reply {
    /// What was asked is not done.
    pub(super) fn refusal(status: StatusCode, code: &'static str, message: &str) -> Self {
        Self { status, code, message: message.to_owned(), retryable: false }
    }

    /// There is no token to ask with, and so nothing was asked. The code is the one that a session's end has.
    pub(super) fn without_token() -> Self {
        let message = "the session has expired or was never set up: there is no token for this API";
        Self::refusal(StatusCode::UNAUTHORIZED, "INVALID_TOKEN", message)
    }

    /// The API has not answered.
    pub(super) fn unreachable(origin: &str, why: &str) -> Self {
        let message = format!("the API at {origin} did not answer: {why}");
        let (status, code) = (StatusCode::BAD_GATEWAY, UNAVAILABLE);
        Self { status, code, message, retryable: true }
    }

    /// The API has taken the request, and has not begun to answer.
    pub(super) fn silent(origin: &str, waited: Duration) -> Self {
        let message = format!("the API at {origin} has not begun to answer after {} s", waited.as_secs_f32());
        let (status, code) = (StatusCode::GATEWAY_TIMEOUT, UNAVAILABLE);
        Self { status, code, message, retryable: true }
    }

    /// The API has answered in a form in which nobody could see whether a token is in the answer.
    pub(super) fn encoded(origin: &str, encoding: &str) -> Self {
        let message = format!(
            "the API at {origin} has answered in the encoding {encoding:?}, although it was asked for none; the answer is \
             not passed on, because nobody can see whether the session's token is in it"
        );
        let (status, code) = (StatusCode::BAD_GATEWAY, "ANSWER_ENCODED");
        Self { status, code, message, retryable: false }
    }

    /// A renewal that was not made.
    pub(super) fn not_renewed() -> Self {
        let message = "the session is not renewed now; the token goes on serving";
        let (status, code) = (StatusCode::SERVICE_UNAVAILABLE, "RENEWAL_UNAVAILABLE");
        Self { status, code, message: message.to_owned(), retryable: true }
    }

    pub(super) fn into_response(self) -> Response<Payload> {
        let text = json!({ "code": self.code, "message": self.message, "retryable": self.retryable });
        let mut response = Response::new(Payload::own(Bytes::from(text.to_string())));
        *response.status_mut() = self.status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}
