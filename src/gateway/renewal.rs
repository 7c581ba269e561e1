//! Which requests are renewals of the session, however they are written.

use hyper::http::request::Parts;
use hyper::{HeaderMap, Method};
use percent_encoding::percent_decode_str;
use reqwest::Url;

/// What stands for any one segment of a path.
const ANY: &str = "{session}";
/// Headers by which some APIs take another method than that of the request.
const OVERRIDES: [&str; 3] = ["x-http-method-override", "x-http-method", "x-method-override"];

/// How a session is renewed at this API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewals {
    method: Method,
    segments: Vec<String>,
}

impl Renewals {
    /// By this method and URL, in which `{session}` stands for any session. `None` where that is no request to the API at
    /// `origin`.
    pub fn new(method: &Method, url: &str, origin: &str) -> Option<Self> {
        let same = {
            let (url, origin) = (Url::parse(&url.replace(ANY, "id")).ok()?, Url::parse(origin).ok()?);
            host(&url) == host(&origin) && url.port_or_known_default() == origin.port_or_known_default()
        };
        let (_, rest) = url.split_once("://")?;
        let path = rest.find('/').map_or("", |slash| &rest[slash..]);
        let path = path.split(['?', '#']).next().unwrap_or_default();
        same.then(|| Self { method: method.clone(), segments: segments(&decoded(path)) })
    }

    fn is_at(&self, given: &[String]) -> bool {
        let is_it = |(ours, given): (&String, &String)| ours == ANY || ours == given;
        given.len() == self.segments.len() && self.segments.iter().zip(given).all(is_it)
    }

    /// Whether this request, for this path of the API, is one. More than the API would take is: whatever it would take
    /// must not get there.
    pub(super) fn include(&self, request: &Parts, path: &str) -> bool {
        let path = path.split(['?', '#']).next().unwrap_or_default();
        // Some decode a path before they take it apart, and some after.
        (self.is_at(&segments(&decoded(path))) || self.is_at(&raw_segments(path)))
            && (is_same(&self.method, request.method.as_str())
                || is_overridden(&self.method, &request.headers))
    }
}

/// A path without percent-encoding. Some decode it twice.
fn decoded(text: &str) -> String {
    let once = percent_decode_str(text).decode_utf8_lossy();
    percent_decode_str(&once).decode_utf8_lossy().into_owned()
}

/// The segments of a path, each decoded by itself.
fn raw_segments(path: &str) -> Vec<String> {
    let segments = segments(path);
    segments.iter().map(|segment| decoded(segment).to_lowercase()).collect()
}

/// The segments of a path as a lenient router reads them: in lower case, without empty ones, and where dots lead.
fn segments(text: &str) -> Vec<String> {
    let mut segments = Vec::new();
    for segment in text.split(['/', '\\']).map(|segment| segment.split(';').next().unwrap_or_default()) {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            name => segments.push(name.to_lowercase()),
        }
    }
    segments
}

fn is_same(method: &Method, text: &str) -> bool {
    method.as_str().eq_ignore_ascii_case(text.trim())
}

fn is_overridden(method: &Method, headers: &HeaderMap) -> bool {
    let values = OVERRIDES.iter().flat_map(|name| headers.get_all(*name));
    values.filter_map(|value| value.to_str().ok()).any(|text| is_same(method, text))
}

/// The host of a URL; this machine is one, whatever it is called.
fn host(url: &Url) -> Option<String> {
    let host = url.host_str()?.to_ascii_lowercase();
    let is_here = host == "localhost" || host == "[::1]" || host.starts_with("127.");
    Some(if is_here { "localhost".to_owned() } else { host })
}

#[cfg(test)]
mod tests {
    use hyper::{Method, Request};

    use super::Renewals;

    const URL: &str = "http://127.0.0.1:3100/api/v1/sessions/{session}/renew";

    fn is_renewal(method: &str, path: &str, header: Option<(&str, &str)>) -> bool {
        let renewals = Renewals::new(&Method::PUT, URL, "http://localhost:3100").unwrap();
        let mut request = Request::builder().method(method).uri("/");
        if let Some((name, value)) = header {
            request = request.header(name, value);
        }
        renewals.include(&request.body(()).unwrap().into_parts().0, path)
    }

    #[test]
    fn a_renewal_is_known_however_it_is_written() {
        for path in [
            "/api/v1/sessions/s-1/renew",
            "/api/v1/sessions/s-1/renew?x=1",
            "/api/v1/sessions/s-1/renew/",
            "//api/v1//sessions/s-1/renew",
            "/api/v1/sessions/s%2D1/%72enew",
            "/api/v1/sessions/s-1/%2572enew",
            "/API/v1/Sessions/s-1/RENEW",
            "/api/v1/sessions/s-1/renew;x=1",
            "/api/v1/wallets/../sessions/./s-1/renew",
            "/api/v1/wallets/%2e%2E/sessions/s-1/renew",
            "/api/v1/sessions/s-1/renew/x/..",
            "/api/v1/sessions/s%2F1/renew",
            "/api/v1/sessions/..%2Fs-1/%52enew",
        ] {
            assert!(is_renewal("PUT", path, None), "{path}");
            assert!(is_renewal("put", path, None), "{path}");
            assert!(is_renewal("POST", path, Some(("X-HTTP-Method-Override", "put"))), "{path}");
        }
    }

    #[test]
    fn what_is_none_is_passed_on() {
        for (method, path) in [
            ("GET", "/api/v1/sessions/s-1/renew"),
            ("DELETE", "/api/v1/sessions/s-1"),
            ("PUT", "/api/v1/sessions/s-1/renew/more"),
            ("PUT", "/v1/sessions/s-1/renew"),
            ("PUT", "/"),
        ] {
            assert!(!is_renewal(method, path, None), "{method} {path}");
        }
        assert_eq!(Renewals::new(&Method::PUT, URL, "http://127.0.0.1:3101"), None);
        assert_eq!(Renewals::new(&Method::PUT, URL, "https://api.example.com"), None);
        assert!(Renewals::new(&Method::POST, "https://a.example/token", "https://A.example:443").is_some());
    }
}
