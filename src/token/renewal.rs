//! The request that renews a session: made once, and told as it was answered. What follows from that is the engine's.

use std::fmt::Write as _;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, Response, StatusCode};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Credential, Form};
use crate::engine::lease::Answer;
use crate::http;

/// How long a renewal may take, from the first byte to the last.
const LONGEST: Duration = Duration::from_secs(30);
/// The longest answer that is read, in bytes.
const LARGEST: usize = 64 * 1024;

/// How a session is renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Api {
    /// The method.
    pub method: Method,
    /// The address; `{session}` in it stands for the session's id.
    pub url: String,
    /// Where the answer holds the new token: a JSON pointer.
    pub token_at: String,
    /// The header that carries the token.
    pub header: HeaderName,
    /// What stands before the token in it. Empty: nothing.
    pub scheme: String,
}

/// What the API has said to it.
#[derive(Clone)]
pub struct Said {
    /// The HTTP status.
    pub status: u16,
    /// The body, which may hold the new token.
    pub body: Zeroizing<Vec<u8>>,
}

/// How it ended.
pub enum Outcome {
    /// With a new token.
    Granted(Credential, Said),
    /// The API has said no.
    Refused(Answer, Said),
    /// It has said nothing that can be understood; why, as words that fit after "failed to renew:".
    Failed(String),
}

/// Asks for a new token in the place of this one.
pub async fn renew(client: &Client, api: &Api, form: &Form, credential: &Credential) -> Outcome {
    match timeout(LONGEST, ask(client, api, form, credential)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(why)) => Outcome::Failed(why),
        Err(_) => Outcome::Failed(format!("no answer within {} s", LONGEST.as_secs())),
    }
}

async fn ask(client: &Client, api: &Api, form: &Form, credential: &Credential) -> Result<Outcome, String> {
    let url = match (&credential.session, api.url.contains(SESSION)) {
        (Some(session), true) => api.url.replace(SESSION, &in_path(session)),
        (None, true) => return Err("the token does not say which session it is of".to_owned()),
        (_, false) => api.url.clone(),
    };
    let response = client
        .request(api.method.clone(), url)
        .header(api.header.clone(), authorization(&api.scheme, &credential.text)?)
        .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .body("{}")
        .send()
        .await
        .map_err(|error| http::reason(&error))?;
    let status = response.status();
    let retry_after = retry_after(&response);
    if status.is_redirection() {
        return Err(format!("the answer {} leads elsewhere, which is not followed", status.as_u16()));
    }
    let body = http::body(response, LARGEST).await.map_err(|error| http::reason(&error))?;
    let body = body.ok_or_else(|| format!("the answer is longer than {LARGEST} bytes"))?;
    let said = Said { status: status.as_u16(), body };
    if !status.is_success() {
        let code = http::error_code(&said.body);
        return Ok(Outcome::Refused(Answer { status: status.as_u16(), code, retry_after }, said));
    }
    Ok(Outcome::Granted(granted(status, &said.body, api, form)?, said))
}

fn granted(status: StatusCode, body: &[u8], api: &Api, form: &Form) -> Result<Credential, String> {
    let status = status.as_u16();
    let answer: Value =
        serde_json::from_slice(body).map_err(|_| format!("the answer {status} is no JSON"))?;
    let token = answer.pointer(&api.token_at).and_then(Value::as_str);
    let token = token.ok_or_else(|| format!("the answer {status} has no token at {:?}", api.token_at))?;
    form.read(token.as_bytes()).map_err(|why| format!("the answer {status} {why}"))
}

/// What is said to somebody who asks for a renewal and must not see the token: the answer of the API to ours, with a stand-in in
/// the place of the token. `granted` is the new token, if there is one.
pub fn disguised(said: &Said, api: &Api, granted: Option<&Credential>, stand_in: &SecretString) -> Vec<u8> {
    let stand_in = stand_in.expose_secret();
    let mut answer: Value = serde_json::from_slice(&said.body).unwrap_or_default();
    let Some(granted) = granted else { return said.body.to_vec() };
    if let Some(token) = answer.pointer_mut(&api.token_at) {
        *token = stand_in.into();
    }
    Zeroizing::new(answer.to_string()).replace(granted.text.expose_secret(), stand_in).into_bytes()
}

/// The same where somebody else has renewed the session, and the API's answer is not known: what is known of it.
pub fn told(api: &Api, credential: &Credential, stand_in: &SecretString) -> Vec<u8> {
    let mut answer = json!({});
    if let Some(session) = &credential.session {
        answer["id"] = session.as_str().into();
        answer["sessionId"] = session.as_str().into();
    }
    if let Some(expires) = credential.claims.expires {
        answer["expiresAt"] = expires.as_secs().into();
    }
    let mut place = &mut answer;
    for name in api.token_at.split('/').skip(1) {
        place = &mut place[name.replace("~1", "/").replace("~0", "~")];
    }
    *place = stand_in.expose_secret().into();
    answer.to_string().into_bytes()
}

const SESSION: &str = "{session}";

/// The value of the header that carries a token.
fn authorization(scheme: &str, token: &SecretString) -> Result<HeaderValue, String> {
    let token = token.expose_secret();
    let text = if scheme.is_empty() { token.to_owned() } else { format!("{scheme} {token}") };
    let mut value = HeaderValue::from_str(&Zeroizing::new(text))
        .map_err(|_| "the token has characters that no header may have".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// An id as one segment of a path.
fn in_path(id: &str) -> String {
    id.bytes().fold(String::with_capacity(id.len()), |mut path, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~') {
            path.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(path, "%{byte:02X}");
        }
        path
    })
}

/// How long the API asks us to wait. A date is not looked at: it would need a clock, and ours may be another one.
fn retry_after(response: &Response) -> Option<Duration> {
    let seconds = response.headers().get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
