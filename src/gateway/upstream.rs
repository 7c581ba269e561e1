//! The API behind the gateway: its address, what is asked of it, and where its redirects lead.
//!
//! There is one origin, and nothing that comes in chooses another. It must never change what is asked for: a path that
//! cannot be written down as it came is refused.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use reqwest::Url;

/// How an address is written.
const FORM: &str = "write it as http://127.0.0.1:3100 or https://api.example.com/base";

/// Why a text is no address of an API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnUpstream {
    /// It is no URL at all.
    #[error("it is not a URL ({why}); {}", FORM)]
    Malformed {
        /// What is wrong, in the parser's words.
        why: String,
    },
    /// Another scheme, or none.
    #[error("it does not begin with http:// or https://; {}", FORM)]
    Scheme,
    /// A user or a password.
    #[error("it must not hold a user or a password; {}", FORM)]
    User,
    /// A query or a fragment.
    #[error("it must not hold `?` or `#`; {}", FORM)]
    Tail,
}

/// The address of an API: `http` or `https`, a host, perhaps a port and a path that all its paths begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upstream {
    url: Url,
    /// `https://api.example.com`, with the port if it is not the usual one.
    origin: String,
    /// `/base`, or nothing.
    base: String,
}

impl FromStr for Upstream {
    type Err = NotAnUpstream;

    fn from_str(text: &str) -> Result<Self, NotAnUpstream> {
        let lower = text.trim().to_ascii_lowercase();
        // The parser would also take `http:host` and `http:\\host`, which are more likely slips.
        if !lower.starts_with("http://") && !lower.starts_with("https://") {
            return Err(NotAnUpstream::Scheme);
        }
        let url = Url::parse(text).map_err(|error| NotAnUpstream::Malformed { why: error.to_string() })?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(NotAnUpstream::User);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(NotAnUpstream::Tail);
        }
        let origin = url.origin().ascii_serialization();
        let base = url.path().trim_end_matches('/').to_owned();
        Ok(Self { url, origin, base })
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}{}", self.origin, self.base)
    }
}

impl Upstream {
    /// Its scheme, host and port, as they begin a URL.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The path that all its paths begin with, without a slash at the end. Empty if there is none.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Whether what is sent to it can be read on its way through a network.
    pub fn is_open(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let here = host.eq_ignore_ascii_case("localhost")
            || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
        self.url.scheme() == "http" && !here
    }

    /// The URL of a path and query of this API. `None` if it would not be the same any more: dot segments and backslashes
    /// are names for other paths, and it is not known for which.
    pub(super) fn target(&self, wanted: &str) -> Option<Url> {
        let url = Url::parse(&format!("{}{wanted}", self.origin)).ok()?;
        let written = url.as_str().get(self.origin.len()..)?;
        (written == wanted || decoded(written) == decoded(wanted)).then_some(url)
    }

    /// A `Location` as the gateway's clients need it: what leads to this API leads through the gateway, at `address`, which
    /// ends with `prefix`. `None` if it is right as it is.
    pub(super) fn relocated(&self, location: &str, address: &str, prefix: &str) -> Option<String> {
        let absolute = match location.strip_prefix("//") {
            Some(rest) => Url::parse(&format!("{}://{rest}", self.url.scheme())),
            None => Url::parse(location),
        };
        let Ok(url) = absolute else {
            let from_the_root =
                location.starts_with('/') && !location.starts_with("//") && !prefix.is_empty();
            return from_the_root.then(|| format!("{prefix}{location}"));
        };
        let ours = url.origin() == self.url.origin() && url.username().is_empty() && url.password().is_none();
        let rest = url.as_str().get(self.origin.len()..).filter(|_| ours)?;
        Some(format!("{address}{rest}"))
    }
}

/// The bytes that a text with percent signs stands for.
fn decoded(text: &str) -> Vec<u8> {
    let mut rest = text.as_bytes();
    let mut bytes = Vec::with_capacity(rest.len());
    while let [first, tail @ ..] = rest {
        let digit = |at: usize| tail.get(at).and_then(|byte| char::from(*byte).to_digit(16));
        let (byte, taken) = match (first, digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => (u8::try_from(high * 16 + low).unwrap_or(b'%'), 2),
            _ => (*first, 0),
        };
        bytes.push(byte);
        rest = &tail[taken..];
    }
    bytes
}
