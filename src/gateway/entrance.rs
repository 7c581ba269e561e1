//! Who may come in, and what of their request is for the API.
//!
//! Two things are asked. That the request was meant for this gateway: its `Host`, and its `Origin` if it comes from a web
//! page, are the gateway's own, so that no page reaches it under another name. And that whoever sends it was told the
//! secret of this run: a stand-in token, or the first segment of the path. Secrets are compared by digest, in a time that
//! says nothing of how much was right.
//!
//! Nothing gets past this with the gateway as its goal only in part: no other target, no tunnel, no other protocol. `TRACE`
//! is refused as well, because its answer would show the server the real token.

use hyper::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, ORIGIN, UPGRADE};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::reply::Reply;

/// Where a token is put, in requests to the gateway and to the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    /// The header.
    pub header: HeaderName,
    /// The word in front of the token. Empty: the token stands alone.
    pub scheme: String,
}

impl Default for Auth {
    fn default() -> Self {
        Self { header: AUTHORIZATION, scheme: "Bearer".to_owned() }
    }
}

impl Auth {
    /// The header's value for a token. `None` if the token cannot be written in a header.
    pub(super) fn value(&self, token: &SecretString) -> Option<HeaderValue> {
        let token = token.expose_secret();
        let text = if self.scheme.is_empty() { token.to_owned() } else { format!("{} {token}", self.scheme) };
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// The token of a request. `None` if there is none, another scheme, or more than one header.
    fn token<'a>(&self, headers: &'a HeaderMap) -> Option<&'a [u8]> {
        let value = only(headers, &self.header)?.as_bytes();
        if self.scheme.is_empty() {
            return Some(value);
        }
        let (scheme, rest) = value.split_at_checked(self.scheme.len())?;
        let token = rest.trim_ascii_start();
        let is_a_word = token.len() < rest.len();
        (is_a_word && scheme.eq_ignore_ascii_case(self.scheme.as_bytes())).then_some(token)
    }
}

/// How a server shows that it may use the gateway.
#[derive(Clone, Debug)]
pub enum Entrance {
    /// It sends this token where the real one belongs.
    StandIn(SecretString),
    /// It sends no token, and the path begins with this segment.
    Path(SecretString),
}

/// A request that may come in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    /// The path and query for the API.
    pub(super) target: String,
    /// The gateway's address, by the name that was used.
    pub(super) address: String,
    /// What the path began with, and the API does not see: `/` and the segment, or nothing.
    pub(super) prefix: String,
}

/// Who looks at each request first.
#[derive(Debug)]
pub(super) struct Porter {
    /// The gateway's names, as a `Host` has them.
    names: [String; 2],
    auth: Auth,
    entrance: Entrance,
    digest: [u8; 32],
}

impl Porter {
    pub(super) fn new(port: u16, auth: Auth, entrance: Entrance) -> Self {
        let (Entrance::StandIn(secret) | Entrance::Path(secret)) = &entrance;
        let digest = digest(secret.expose_secret().as_bytes());
        Self { names: [format!("127.0.0.1:{port}"), format!("localhost:{port}")], auth, entrance, digest }
    }

    /// Lets a request in, or says what is wrong with it.
    pub(super) fn admit(&self, request: &Parts) -> Result<Admitted, Reply> {
        self.is_of_our_kind(request)?;
        let host = only(&request.headers, &HOST).and_then(|host| host.to_str().ok());
        let Some(host) = host.filter(|host| self.is_ours(host)) else {
            let message = "the Host header does not name this gateway, by which its address was given";
            return Err(Reply::refusal(StatusCode::FORBIDDEN, "FOREIGN_HOST", message));
        };
        if request.headers.contains_key(ORIGIN) {
            let origin = only(&request.headers, &ORIGIN).and_then(|origin| origin.to_str().ok());
            let from = origin.and_then(|origin| origin.strip_prefix("http://"));
            if !from.is_some_and(|host| self.is_ours(host)) {
                let message = "the Origin header names another site";
                return Err(Reply::refusal(StatusCode::FORBIDDEN, "FOREIGN_ORIGIN", message));
            }
        }
        let (target, prefix) = self.open(request)?;
        Ok(Admitted { target, address: format!("http://{host}{prefix}"), prefix })
    }

    /// What no gateway for one API has to do with.
    fn is_of_our_kind(&self, request: &Parts) -> Result<(), Reply> {
        let refusal = |message| Err(Reply::refusal(StatusCode::NOT_IMPLEMENTED, "NOT_SUPPORTED", message));
        // In letters of either case: some APIs read them so.
        let method = request.method.as_str();
        if [Method::CONNECT, Method::TRACE].iter().any(|no| method.eq_ignore_ascii_case(no.as_str())) {
            return refusal("this gateway knows neither CONNECT nor TRACE");
        }
        if request.headers.contains_key(UPGRADE) {
            return refusal("this gateway does not change the protocol");
        }
        let foreign = request.uri.authority().is_some_and(|authority| !self.is_ours(authority.as_str()));
        if foreign || request.uri.scheme_str().is_some_and(|scheme| scheme != "http") {
            return refusal("this gateway leads to one API, and is no proxy for others");
        }
        if !request.uri.path().starts_with('/') {
            return refusal("this gateway wants a path that begins with a slash");
        }
        Ok(())
    }

    fn is_ours(&self, host: &str) -> bool {
        self.names.iter().any(|name| name.eq_ignore_ascii_case(host))
    }

    /// Compares the secret. What is left of the path, and what was taken off it.
    fn open(&self, request: &Parts) -> Result<(String, String), Reply> {
        let path = request.uri.path();
        let target = |path: &str| match request.uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        match &self.entrance {
            Entrance::StandIn(_) => {
                let token = self.auth.token(&request.headers).unwrap_or_default();
                if self.is_secret(token) {
                    return Ok((target(path), String::new()));
                }
                let message = "this gateway wants the token that was given to the server, in one header";
                Err(Reply::refusal(StatusCode::UNAUTHORIZED, "STAND_IN_REQUIRED", message))
            }
            Entrance::Path(_) => {
                let whole = path.strip_prefix('/').unwrap_or(path);
                let (segment, rest) = whole.find('/').map_or((whole, "/"), |slash| whole.split_at(slash));
                if self.is_secret(segment.as_bytes()) {
                    return Ok((target(rest), format!("/{segment}")));
                }
                // Not 401: there are no credentials that a client could be asked for, and no more is said than that
                // nothing is here.
                let message = "there is nothing here";
                Err(Reply::refusal(StatusCode::NOT_FOUND, "NOT_FOUND", message))
            }
        }
    }

    fn is_secret(&self, given: &[u8]) -> bool {
        digest(given).ct_eq(&self.digest).into()
    }
}

fn digest(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// The value of a header that is there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).into_iter();
    values.next().filter(|_| values.next().is_none())
}
