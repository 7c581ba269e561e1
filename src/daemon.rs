//! The HTTP API of a `WAIaaS` daemon, as far as sessions are obtained from it: one function for each request.
//!
//! What it answers is read with care: bodies up to a limit, times and errors in both of the forms that there are, and
//! what cannot be understood is an error that says what is wrong with it. The master password is in one header, which
//! is marked as sensitive, and in no error; neither is a token.
//!
//! It must never follow an answer elsewhere, make a request twice, or know what becomes of its answers: files, choices
//! and everything that a person sees are somebody else's. The texts of the daemon in here are as it sent them, but for
//! what a terminal would take for orders.

mod answer;
mod expiry;
mod fault;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

pub use expiry::Expiry;
pub use fault::{Fault, Why};

use crate::http;

/// How long the daemon may take to say how it is.
const HEALTH: Duration = Duration::from_secs(5);
/// How long it may take for anything else: it derives a key from the password each time, which is slow on purpose.
const ANSWER: Duration = Duration::from_secs(30);
/// The longest answer that is read, in bytes.
const LARGEST: usize = 1024 * 1024;
/// The header that carries the master password.
const PASSWORD: HeaderName = HeaderName::from_static("x-master-password");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A daemon.
#[derive(Clone, Debug)]
pub struct Daemon {
    client: Client,
    base: Url,
}

/// What the daemon takes for proof of who asks. It has no `Debug` that would show it.
#[derive(Clone)]
pub struct Password(HeaderValue);

/// A wallet that the daemon has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wallet {
    /// Its id, as the daemon has it.
    pub id: String,
    /// What people call it. `None` where it has no name.
    pub name: Option<String>,
    /// It has come to its end, and gets no session any more.
    pub terminated: bool,
}

/// Whom a new session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose<'a> {
    /// The wallet with this id.
    One(&'a str),
    /// All wallets with these ids together.
    All(&'a [&'a str]),
}

/// What a new session is to be like. `None`: as the daemon has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// How long a token lasts, in whole seconds.
    pub ttl: Option<Duration>,
    /// How often it may be renewed.
    pub max_renewals: Option<u32>,
    /// When it ends for good, in whole seconds from now.
    pub absolute_lifetime: Option<Duration>,
}

/// A new session.
pub struct Issued {
    /// Its id. `None` where the daemon does not say.
    pub session: Option<String>,
    /// Its token, as the daemon gave it.
    pub token: SecretString,
    /// When it ends. `None` where the daemon does not say.
    pub expires: Option<Expiry>,
}

/// A new session whose token the daemon has written to a file itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provisioned {
    /// The wallet's name. `None` where the daemon does not say.
    pub name: Option<String>,
    /// The file, where the daemon sees it.
    pub file: PathBuf,
    /// When it ends. `None` where the daemon does not say.
    pub expires: Option<Expiry>,
}

/// Why an address is none of a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    /// It is not `http` or `https`.
    #[error("use the daemon's address: it begins with neither http:// nor https://")]
    Scheme,
    /// It cannot be read.
    #[error("use the daemon's address: it is no URL")]
    Malformed,
    /// It has a name or a password in it.
    #[error("use the daemon's address: it must not have a name or a password in it")]
    User,
    /// It goes on behind the path.
    #[error("use the daemon's address: it must end with the path, without `?` and `#`")]
    Tail,
}

impl Password {
    /// This password. `None` if no request can carry it: it has control characters.
    pub fn new(text: &SecretString) -> Option<Self> {
        let mut value = HeaderValue::from_bytes(text.expose_secret().as_bytes()).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }
}

impl Daemon {
    /// The daemon at this address.
    ///
    /// # Errors
    /// If it is no address of one.
    pub fn new(client: Client, base: &str) -> Result<Self, BadAddress> {
        let lower = base.trim().to_ascii_lowercase();
        // The parser would also take `http:host`, which is more likely a slip.
        if !lower.starts_with("http://") && !lower.starts_with("https://") {
            return Err(BadAddress::Scheme);
        }
        let base = Url::parse(base.trim()).map_err(|_| BadAddress::Malformed)?;
        if !base.username().is_empty() || base.password().is_some() {
            return Err(BadAddress::User);
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(BadAddress::Tail);
        }
        Ok(Self { client, base })
    }

    /// Its address, without a slash at the end.
    pub fn address(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Whether others on the network could read what it is asked, the password included.
    pub fn is_overheard(&self) -> bool {
        let host = self.base.host_str().unwrap_or_default();
        let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let here =
            ip.map_or_else(|_| host == "localhost" || host.ends_with(".localhost"), |ip| ip.is_loopback());
        self.base.scheme() == "http" && !here
    }

    /// Asks how it is. Gives the status of its answer.
    ///
    /// # Errors
    /// If there is no answer.
    pub async fn health(&self) -> Result<u16, Fault> {
        let (what, path) = ("ask the daemon how it is", &["health"][..]);
        let ask = Ask { what, method: Method::GET, path, query: None, body: None };
        let (status, _) = self.answer(&ask, None, HEALTH).await?;
        Ok(status)
    }

    /// Its wallets, each id once.
    ///
    /// # Errors
    /// If the daemon is not there, or refuses, or says what cannot be understood.
    pub async fn wallets(&self, password: &Password) -> Result<Vec<Wallet>, Fault> {
        let path = &["v1", "wallets"];
        let ask = Ask { what: "list the wallets", method: Method::GET, path, query: None, body: None };
        let body = self.body(&ask, password).await?;
        answer::wallets(&body).map_err(|why| ask.misunderstood(why))
    }

    /// The ids of a wallet's sessions, as far as they are not revoked. `None` where this daemon does not list them.
    ///
    /// # Errors
    /// As for [`Daemon::wallets`], but for an answer that can only be that of a daemon without such a list.
    pub async fn sessions(&self, password: &Password, wallet: &str) -> Result<Option<Vec<String>>, Fault> {
        let path = &["v1", "sessions"];
        let query = Some(("walletId", wallet));
        let ask = Ask { what: "list the sessions", method: Method::GET, path, query, body: None };
        match self.body(&ask, password).await {
            Ok(body) => Ok(answer::sessions(&body)),
            Err(fault) if fault.is_unknown() => Ok(None),
            Err(fault) => Err(fault),
        }
    }

    /// Opens a session.
    ///
    /// # Errors
    /// As for [`Daemon::wallets`]. A session may have been opened all the same: [`Fault::left`] names it where it is known.
    pub async fn open_session(
        &self,
        password: &Password,
        whose: Whose<'_>,
        terms: Terms,
    ) -> Result<Issued, Fault> {
        let seconds = |time: Option<Duration>| time.map(|time| time.as_secs().into());
        let (one, all) = match whose {
            Whose::One(wallet) => (Some(wallet.into()), None),
            Whose::All(wallets) => (None, Some(wallets.into())),
        };
        let body = members([
            ("walletId", one),
            ("walletIds", all),
            ("ttl", seconds(terms.ttl)),
            ("maxRenewals", terms.max_renewals.map(Value::from)),
            ("absoluteLifetime", seconds(terms.absolute_lifetime)),
        ]);
        let path = &["v1", "sessions"];
        let ask = Ask { what: "open a session", method: Method::POST, path, query: None, body: Some(body) };
        let body = self.body(&ask, password).await?;
        answer::issued(&body).map_err(|(why, session)| Fault { left: session, ..ask.misunderstood(why) })
    }

    /// Lets the daemon open a session for a wallet and write its token to the file.
    ///
    /// # Errors
    /// As for [`Daemon::wallets`].
    pub async fn provision(
        &self,
        password: &Password,
        wallet: &str,
        ttl: Option<Duration>,
    ) -> Result<Provisioned, Fault> {
        let body =
            members([("walletId", Some(wallet.into())), ("expiresIn", ttl.map(|ttl| ttl.as_secs().into()))]);
        let path = &["v1", "mcp", "tokens"];
        let ask = Ask {
            what: "have the token file written",
            method: Method::POST,
            path,
            query: None,
            body: Some(body),
        };
        let body = self.body(&ask, password).await?;
        answer::provisioned(&body).map_err(|why| ask.misunderstood(why))
    }

    /// Revokes a session. One that is not there any more is as good as revoked.
    ///
    /// # Errors
    /// If the daemon is not there, or refuses.
    pub async fn revoke(&self, password: &Password, session: &str) -> Result<(), Fault> {
        let path = &["v1", "sessions", session];
        let ask = Ask { what: "revoke the session", method: Method::DELETE, path, query: None, body: None };
        if matches!(session, "" | "." | "..") {
            return Err(ask.misunderstood("its id is none that an address can have"));
        }
        match self.body(&ask, password).await {
            Ok(_) => Ok(()),
            Err(fault) if fault.is_gone() => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// The body of an answer that is a yes.
    async fn body(&self, ask: &Ask<'_>, password: &Password) -> Result<Zeroizing<Vec<u8>>, Fault> {
        match self.answer(ask, Some(password), ANSWER).await? {
            (200..=299, body) => Ok(body),
            (status @ 300..=399, _) => {
                Err(ask.misunderstood(format!("the answer {status} leads elsewhere, which is not followed")))
            }
            (status, body) => Err(ask.fault(answer::refusal(status, &body))),
        }
    }

    /// Asks, and gives status and body of the answer, whatever they are.
    async fn answer(
        &self,
        ask: &Ask<'_>,
        password: Option<&Password>,
        within: Duration,
    ) -> Result<(u16, Zeroizing<Vec<u8>>), Fault> {
        let mut url = self.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(ask.path);
        }
        if let Some((name, value)) = ask.query {
            url.query_pairs_mut().append_pair(name, value);
        }
        let mut request = self.client.request(ask.method.clone(), url).timeout(within).header(ACCEPT, JSON);
        if let Some(Password(value)) = password {
            request = request.header(PASSWORD, value.clone());
        }
        if let Some(body) = &ask.body {
            request = request.header(CONTENT_TYPE, JSON).body(body.to_string());
        }
        let unreachable = |error: reqwest::Error| {
            ask.fault(Why::Unreachable {
                done: ask.body.is_some() && !error.is_connect(),
                untrusted: http::is_untrusted(&error),
                reason: reason(&error, within),
            })
        };
        let response = request.send().await.map_err(unreachable)?;
        let status = response.status().as_u16();
        let body = http::body(response, LARGEST).await.map_err(unreachable)?;
        body.map(|body| (status, body))
            .ok_or_else(|| ask.misunderstood(format!("the answer {status} is longer than {LARGEST} bytes")))
    }
}

/// A request.
struct Ask<'a> {
    /// What it is for, as words that fit after "failed to".
    what: &'static str,
    method: Method,
    path: &'a [&'a str],
    /// A name and its value.
    query: Option<(&'a str, &'a str)>,
    /// `None` for a request without a body.
    body: Option<Value>,
}

impl Ask<'_> {
    fn fault(&self, why: Why) -> Fault {
        Fault { what: self.what, why, left: None }
    }

    fn misunderstood(&self, why: impl Into<String>) -> Fault {
        self.fault(Why::NotUnderstood(why.into()))
    }
}

/// An object of those members that there are.
fn members<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let there = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect::<Map<_, _>>())
}

/// Why there is no answer.
fn reason(error: &reqwest::Error, within: Duration) -> String {
    if error.is_timeout() && error.is_connect() {
        return "the connection could not be made in time".to_owned();
    }
    if error.is_timeout() {
        return format!("no answer within {} s", within.as_secs());
    }
    if http::is_untrusted(error) {
        return format!("its certificate cannot be verified: {}", http::reason(error));
    }
    http::reason(error)
}
