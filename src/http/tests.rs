//! The client's rules, against ports of this machine.

use std::io::Write as _;

use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;

/// Far longer than anything takes.
const WATCHDOG: Duration = Duration::from_secs(60);

/// Whoever answers each request with this, and returns what the first one was.
async fn once(answer: &'static str) -> (u16, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            stream.read_buf(&mut seen).await.unwrap();
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(seen).unwrap()
    });
    (port, task)
}

const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfine";

/// A client in this environment.
fn client_with(variables: &[(&str, String)]) -> Client {
    with(None, |name| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| value.clone()))
        .unwrap()
}

async fn get(client: &Client, url: &str) -> reqwest::Response {
    timeout(WATCHDOG, client.get(url).send()).await.unwrap().unwrap()
}

#[tokio::test]
async fn it_does_not_name_itself_and_adds_nothing_but_accept() {
    let (port, seen) = once(FINE).await;
    get(&client_with(&[]), &format!("http://127.0.0.1:{port}/x")).await;
    let seen = seen.await.unwrap();
    assert_eq!(seen, format!("GET /x HTTP/1.1\r\naccept: */*\r\nhost: 127.0.0.1:{port}\r\n\r\n"));
}

#[tokio::test]
async fn it_follows_no_redirect() {
    let redirect =
        "HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let (port, seen) = once(redirect).await;
    let answer = get(&client_with(&[]), &format!("http://127.0.0.1:{port}/")).await;
    assert_eq!(answer.status(), 302);
    seen.await.unwrap();
}

#[tokio::test]
async fn what_leads_elsewhere_takes_the_proxy_of_the_environment() {
    for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"] {
        for scheme in ["http://", ""] {
            let (port, seen) = once(FINE).await;
            let client = client_with(&[(name, format!("{scheme}user:pass@127.0.0.1:{port}"))]);
            get(&client, "http://api.invalid/x?y").await;
            let seen = seen.await.unwrap();
            assert!(seen.starts_with("GET http://api.invalid/x?y HTTP/1.1\r\n"), "{name}: {seen}");
            assert!(seen.contains("proxy-authorization: Basic dXNlcjpwYXNz\r\n"), "{name}: {seen}");
        }
    }
}

#[tokio::test]
async fn what_has_tls_goes_through_a_tunnel() {
    let (port, seen) = once("HTTP/1.1 403 Forbidden\r\nconnection: close\r\n\r\n").await;
    let client = client_with(&[("HTTPS_PROXY", format!("http://127.0.0.1:{port}"))]);
    let answer = timeout(WATCHDOG, client.get("https://api.invalid/").send()).await.unwrap();
    assert!(answer.is_err());
    assert!(seen.await.unwrap().starts_with("CONNECT api.invalid:443 HTTP/1.1\r\n"));
}

#[tokio::test]
async fn what_is_on_this_machine_never_takes_a_proxy() {
    let nobody = |name| (name, "http://proxy.invalid:1".to_owned());
    for no_proxy in ["", "example.com"] {
        let environment = [nobody("HTTP_PROXY"), nobody("ALL_PROXY"), ("NO_PROXY", no_proxy.to_owned())];
        for host in ["127.0.0.1", "localhost", "LOCALHOST"] {
            let (port, seen) = once(FINE).await;
            get(&client_with(&environment), &format!("http://{host}:{port}/")).await;
            assert!(seen.await.unwrap().starts_with("GET / HTTP/1.1\r\n"), "{host}");
        }
        for host in ["127.9.9.9", "[::1]", "[::ffff:127.0.0.1]"] {
            let answer = client_with(&environment).get(format!("http://{host}:1/")).send();
            let error = timeout(WATCHDOG, answer).await.unwrap().unwrap_err();
            assert!(!reason(&error).contains("lookup"), "{host}: {error:?}");
        }
    }
}

#[tokio::test]
async fn exceptions_and_cgi_programs_take_no_proxy() {
    let (port, _seen) = once(FINE).await;
    let proxy = ("HTTP_PROXY", format!("http://127.0.0.1:{port}"));
    for other in
        [("NO_PROXY", ".invalid"), ("no_proxy", "api.invalid"), ("NO_PROXY", "*"), ("REQUEST_METHOD", "GET")]
    {
        let client = client_with(&[proxy.clone(), (other.0, other.1.to_owned())]);
        let answer = timeout(WATCHDOG, client.get("http://api.invalid/").send()).await.unwrap();
        assert!(answer.is_err(), "{other:?}: it went to the proxy");
    }
}

#[test]
fn what_is_no_proxy_that_we_know_is_passed_over() {
    for text in ["", "socks5://127.0.0.1:1080", "http://", "://", "ftp://x"] {
        let variable = |name: &str| (name == "ALL_PROXY").then(|| text.to_owned());
        assert!(proxies(variable).is_empty(), "{text}");
    }
    let all = |name: &str| match name {
        "ALL_PROXY" => Some("http://one:1".to_owned()),
        "https_proxy" => Some("https://two:2".to_owned()),
        _ => None,
    };
    assert_eq!(proxies(all).len(), 2);
}

#[test]
fn a_file_without_certificates_is_refused() {
    let missing = Path::new("/nowhere/ca.pem");
    let error = client(Some(missing)).unwrap_err();
    assert!(
        error.to_string().starts_with("read the certificates in /nowhere/ca.pem: No such file"),
        "{error}"
    );
    let broken = "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n";
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for text in ["", "hello", broken, junk] {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let error = client(Some(file.path())).unwrap_err().to_string();
        assert!(error.contains("certificate") || error.starts_with("prepare for HTTP"), "{text}: {error}");
    }
}

/// Where the platform's list of whom to trust is empty: in a process of its own, for the environment says which one it is.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_machine_that_trusts_nobody_speaks_to_those_who_need_no_trust() {
    const NAME: &str = "http::tests::a_machine_that_trusts_nobody_speaks_to_those_who_need_no_trust";
    if env::var_os("SSL_CERT_FILE").is_some_and(|file| file == "/dev/null") {
        let (port, seen) = once(FINE).await;
        let client = client_with(&[]);
        assert!(plain().build().is_err(), "it trusts somebody");
        assert_eq!(get(&client, &format!("http://127.0.0.1:{port}/")).await.status(), 200);
        seen.await.unwrap();
        return;
    }
    #[expect(clippy::disallowed_methods, reason = "a test that starts itself")]
    let mut alone = std::process::Command::new(env::current_exe().unwrap());
    alone.args(["--exact", NAME]).env("SSL_CERT_FILE", "/dev/null").env_remove("SSL_CERT_DIR");
    let output = alone.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && told.contains("1 passed"), "{told}");
}
