//! The program's one HTTP client, and how APIs say what is wrong. All that speaks to an API does it by these rules.
//!
//! HTTP/1.1 with TLS by rustls. Whoever the platform trusts is trusted, and whoever a file of certificates names besides.
//! Proxies are those of the environment (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, in capitals or not), with
//! `http` or `https`. Connections are kept, but not for long: the usual servers close theirs after 5 s without a word,
//! and whoever writes to a connection that is being closed cannot know whether it was heard.
//!
//! It must never follow a redirect, make a request a second time on its own, name itself, or send what is meant for this
//! machine to a proxy. The one header that comes from here is `Accept: */*` where the request has none, which means the same.

#[cfg(test)]
mod tests;

use std::net::ToSocketAddrs as _;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs, io};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, ClientBuilder, NoProxy, Proxy, Response, Url, redirect, retry};
use secrecy::zeroize::Zeroizing;
use serde_json::Value;

use crate::threads;

/// How long a connection may take to be made, TLS included.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an unused connection is kept.
const KEEP: Duration = Duration::from_secs(4);
/// Where no proxy is ever asked to go.
const THIS_MACHINE: &str = "localhost,127.0.0.0/8,::1,::ffff:127.0.0.0/104";

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The file with certificates cannot be read.
    #[error("read the certificates in {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file holds no certificates, or not as PEM.
    #[error("read the certificates in {}: it holds none in PEM", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
    },
    /// The TLS library refuses the certificates or the machine.
    #[error("prepare for HTTP: {0}")]
    Tls(String),
}

/// Makes the client. `ca` is a file of certificates in PEM that are trusted besides the platform's.
pub fn client(ca: Option<&Path>) -> Result<Client, Fault> {
    with(ca, |name| env::var(name).ok())
}

fn with(ca: Option<&Path>, variable: impl Fn(&str) -> Option<String>) -> Result<Client, Fault> {
    // Fails only where one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificates = ca.map(certificates).transpose()?.unwrap_or_default();
    let proxies = proxies(variable);
    let builder = || proxies.iter().cloned().fold(plain(), ClientBuilder::proxy);
    let built = match builder().tls_certs_merge(certificates).build() {
        // A machine that trusts nobody can speak to those who need no trust: HTTP without TLS.
        Err(_) if ca.is_none() => builder().tls_certs_only([]).build(),
        built => built,
    };
    built.map_err(|error| Fault::Tls(reason(&error)))
}

/// What is the same for every client.
fn plain() -> ClientBuilder {
    let builder = Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .referer(false)
        .connect_timeout(CONNECT)
        .pool_idle_timeout(KEEP)
        .tcp_nodelay(true)
        .dns_resolver(Lookup);
    // Whoever reads slowly is not dead: how long an API may leave what was sent unread is for it to decide.
    #[cfg(target_os = "linux")]
    let builder = builder.tcp_user_timeout(None);
    builder
}

/// Resolves names on threads of ours, which the system may refuse: the client's own resolver panics then.
#[derive(Debug)]
struct Lookup;

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let find = move || (name.as_str(), 0).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
            let found = threads::blocking(find).await.and_then(|found| found)?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The certificates in a file, which must be a regular one: nobody waits for the writer of a pipe.
pub fn certificates(path: &Path) -> Result<Vec<Certificate>, Fault> {
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(Fault::NotPem { path: path.to_owned() });
    }
    let pem = fs::read(path).map_err(|source| Fault::Read { path: path.to_owned(), source })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(Fault::NotPem { path: path.to_owned() }),
    }
}

/// The proxies that the environment names. What cannot be understood there is passed over, as other programs do.
fn proxies(variable: impl Fn(&str) -> Option<String>) -> Vec<Proxy> {
    // In a CGI program it is the one who asks who sets HTTP_PROXY.
    if variable("REQUEST_METHOD").is_some() {
        return Vec::new();
    }
    let first = |names: [&str; 2]| names.into_iter().find_map(&variable);
    let direct = format!("{},{THIS_MACHINE}", first(["NO_PROXY", "no_proxy"]).unwrap_or_default());
    let named = |names| first(names).and_then(|text| proxy_url(&text));
    let all = named(["ALL_PROXY", "all_proxy"]);
    let http = named(["HTTP_PROXY", "http_proxy"]).or(all.clone()).map(Proxy::http);
    let https = named(["HTTPS_PROXY", "https_proxy"]).or(all).map(Proxy::https);
    let proxies = [http, https].into_iter().flatten().filter_map(Result::ok);
    proxies.map(|proxy| proxy.no_proxy(NoProxy::from_string(&direct))).collect()
}

fn proxy_url(text: &str) -> Option<Url> {
    let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
    url.ok().filter(|url| matches!(url.scheme(), "http" | "https"))
}

/// The `code` of an API's error, flat or nested under `error`. It is shown: where it is more than a short word it is `?`.
/// `None` where there is none.
pub fn error_code(body: &[u8]) -> Option<String> {
    let error: Value = serde_json::from_slice(body).ok()?;
    let code = [error.get("code"), error.get("error").and_then(|error| error.get("code"))];
    let code = code.into_iter().flatten().find_map(Value::as_str)?;
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let is_word = code.len() <= 64 && code.bytes().all(is_part);
    Some(if is_word { code } else { "?" }.to_owned())
}

/// The body of an answer. `None` if it is longer than `most` bytes.
///
/// # Errors
/// If the answer breaks off.
pub async fn body(mut answer: Response, most: usize) -> Result<Option<Zeroizing<Vec<u8>>>, reqwest::Error> {
    // Held from the beginning, for a buffer that grows leaves copies of a token behind.
    let mut body = Zeroizing::new(Vec::with_capacity(most));
    while let Some(part) = answer.chunk().await? {
        if body.len() + part.len() > most {
            return Ok(None);
        }
        body.extend_from_slice(&part);
    }
    Ok(Some(body))
}

/// Whether nobody who is trusted vouches for the other side's certificate, or for its use.
pub fn is_untrusted(error: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if matches!(error.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        // An error that came as one of the system's does not call it its source.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    false
}

/// What lies at the bottom of an error: what is above it says only that something went wrong, or names the address.
pub fn reason(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    if std::ptr::addr_eq(cause, error) {
        "the request could not be made".to_owned()
    } else {
        cause.to_string()
    }
}
