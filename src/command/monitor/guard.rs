//! Who may ask what. Pure: a request's head in, a refusal out.
//!
//! On loopback anybody on this machine can connect, and so can any web page in a browser, under a name that it has made
//! to mean 127.0.0.1. So the `Host` must be one of our own names, an `Origin` one of our own pages, what a browser says
//! comes from another site is turned away, and who is known to be another user is too. Beyond loopback, and wherever
//! there is a secret, whoever asks must know it; only `/health` is for all. What changes something takes the token of
//! this run besides, which only our own page can read.
//!
//! Secrets are compared by digest, in a time that says nothing of how much was right, and are never shown.

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::SocketAddr;

use axum::http::header::{AUTHORIZATION, HOST, HeaderName, ORIGIN};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// Where the token of this run is.
const TOKEN: HeaderName = HeaderName::from_static("x-monitor-token");
/// The one path that needs no secret.
const OPEN: &str = "/health";

/// Who looks at each request first.
pub(super) struct Guard {
    /// What a `Host` may be, in lower case. `None` beyond loopback: there it is whatever leads here.
    names: Option<Vec<String>>,
    /// The digest of the secret. `None` where there is none.
    secret: Option<[u8; 32]>,
    token: String,
}

/// Why a request is turned away, and what to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// One clause.
    pub(super) error: &'static str,
    pub(super) hint: &'static str,
}

impl Guard {
    /// Of a monitor that listens here. `secret`: what whoever asks must know.
    ///
    /// # Errors
    /// If the system has no random bytes.
    pub(super) fn new(at: SocketAddr, secret: Option<&[u8]>) -> Result<Self, getrandom::Error> {
        let names = at.ip().is_loopback().then(|| {
            let port = at.port();
            let hosts = ["localhost", "127.0.0.1", "[::1]"].map(str::to_owned);
            // With the port of HTTP a browser leaves it out.
            let alone = hosts.iter().filter(|_| port == 80).cloned();
            let with_port = hosts.iter().map(|host| format!("{host}:{port}"));
            with_port.chain([at.to_string()]).chain(alone).collect()
        });
        Ok(Self { names, secret: secret.map(digest), token: random::<32>()? })
    }

    /// The token of this run.
    pub(super) fn token(&self) -> &str {
        &self.token
    }

    /// Whether it may come in. `stranger`: it comes from another user of this machine.
    ///
    /// # Errors
    /// Why not.
    pub(super) fn admit(&self, request: &Parts, stranger: bool) -> Result<(), Refusal> {
        let headers = &request.headers;
        let host = host(headers).filter(|host| self.is_name(host)).ok_or(Refusal::HOST)?;
        if request.uri.authority().is_some() || !request.uri.path().starts_with('/') {
            return Err(Refusal::TARGET);
        }
        if headers.contains_key(ORIGIN)
            && !only(headers, &ORIGIN).is_some_and(|origin| self.is_ours(origin, host))
        {
            return Err(Refusal::ORIGIN);
        }
        if is_elsewhere(headers) && !is_a_link(request) {
            return Err(Refusal::SITE);
        }
        if request.uri.path() != OPEN {
            match &self.secret {
                Some(secret) if !knows(headers, secret) => return Err(Refusal::SECRET),
                None if stranger => return Err(Refusal::USER),
                Some(_) | None => {}
            }
        }
        let harmless = [Method::GET, Method::HEAD, Method::OPTIONS].contains(&request.method);
        let given = only(headers, &TOKEN).map(HeaderValue::as_bytes).unwrap_or_default();
        if !harmless && !is_same(given, &digest(self.token.as_bytes())) {
            return Err(Refusal::TOKEN);
        }
        Ok(())
    }

    fn is_name(&self, host: &str) -> bool {
        match &self.names {
            Some(names) => names.iter().any(|name| name.eq_ignore_ascii_case(host)),
            None => true,
        }
    }

    /// Whether a page from there is ours. Beyond loopback there may be something that speaks TLS in front of us.
    fn is_ours(&self, origin: &HeaderValue, host: &str) -> bool {
        let Some((scheme, authority)) = origin.to_str().ok().and_then(|origin| origin.split_once("://"))
        else {
            return false;
        };
        match &self.names {
            Some(_) => scheme == "http" && self.is_name(authority),
            None => ["http", "https"].contains(&scheme) && authority.eq_ignore_ascii_case(host),
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guard").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Refusal {
    const HOST: Self = Self {
        status: StatusCode::FORBIDDEN,
        error: "this is not a name of the monitor",
        hint: "open it as http://localhost with its port, or as 127.0.0.1 or [::1]",
    };
    const TARGET: Self = Self {
        status: StatusCode::FORBIDDEN,
        error: "the monitor is no proxy",
        hint: "ask for a path that begins with a slash",
    };
    const ORIGIN: Self = Self {
        status: StatusCode::FORBIDDEN,
        error: "this comes from a page of another origin",
        hint: "use the monitor's own page, or a program that sends no Origin",
    };
    const SITE: Self = Self {
        status: StatusCode::FORBIDDEN,
        error: "this comes from a page of another site",
        hint: "use the monitor's own page",
    };
    const USER: Self = Self {
        status: StatusCode::FORBIDDEN,
        error: "this comes from another user of this machine",
        hint: "start the monitor with --auth-token-file to let in whoever knows what is in that file",
    };
    const SECRET: Self = Self {
        status: StatusCode::UNAUTHORIZED,
        error: "whoever asks must know what is in the file of --auth-token-file",
        hint: "send it as a bearer token, or as the password of any user",
    };
    const TOKEN: Self = Self {
        status: StatusCode::FORBIDDEN,
        error: "the token of this run of the monitor is missing, or is that of another run",
        hint: "load the page again: it has the token, to be sent as X-Monitor-Token",
    };
}

/// The `Host` of a request, if there is exactly one and it can be one.
pub(super) fn host(headers: &HeaderMap) -> Option<&str> {
    let host = only(headers, &HOST)?.to_str().ok()?;
    // It becomes a part of the page's policy.
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
    (!host.is_empty() && host.bytes().all(is_part)).then_some(host)
}

/// So many random bytes, as text for a URL.
pub(super) fn random<const LENGTH: usize>() -> Result<String, getrandom::Error> {
    let mut bytes = [0; LENGTH];
    getrandom::fill(&mut bytes)?;
    Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

/// Whether a browser says that something else than our own page, or the person, has asked.
fn is_elsewhere(headers: &HeaderMap) -> bool {
    let sites = headers.get_all("sec-fetch-site");
    sites.iter().any(|site| site != "same-origin" && site != "none")
}

/// Whether a person has followed a link to the page, which nothing can be learned or done by from outside.
fn is_a_link(request: &Parts) -> bool {
    let says = |name: &str, value: &str| request.headers.get(name).is_some_and(|found| found == value);
    request.method == Method::GET
        && request.uri.path() == "/"
        && says("sec-fetch-mode", "navigate")
        && says("sec-fetch-dest", "document")
}

fn knows(headers: &HeaderMap, secret: &[u8; 32]) -> bool {
    let Some((scheme, rest)) = only(headers, &AUTHORIZATION)
        .map(HeaderValue::as_bytes)
        .and_then(|value| Some(value.split_at(value.iter().position(|byte| *byte == b' ')?)))
    else {
        return false;
    };
    let given = rest.trim_ascii();
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return is_same(given, secret);
    }
    let pair = BASE64_STANDARD.decode(given).unwrap_or_default();
    let password = pair.iter().position(|byte| *byte == b':').map(|colon| &pair[colon + 1..]);
    scheme.eq_ignore_ascii_case(b"basic") && password.is_some_and(|password| is_same(password, secret))
}

fn is_same(given: &[u8], wanted: &[u8; 32]) -> bool {
    digest(given).ct_eq(wanted).into()
}

fn digest(secret: &[u8]) -> [u8; 32] {
    Sha256::digest(secret).into()
}

/// The value of a header that is there exactly once.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut values = headers.get_all(name).into_iter();
    values.next().filter(|_| values.next().is_none())
}
