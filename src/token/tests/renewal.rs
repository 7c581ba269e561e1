//! The request that renews, against an API of raw bytes.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use reqwest::Method;
use reqwest::header::HeaderName;
use secrecy::ExposeSecret as _;

use super::{form, token};
use crate::engine::lease::Answer;
use crate::token::renewal::{Api, Outcome, renew};

/// Answers one request with these bytes. Gives its address, and the request once it has come.
fn answering(answer: Vec<u8>) -> (String, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("{error}"));
    let address = listener.local_addr().unwrap_or_else(|error| panic!("{error}"));
    let serving = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap_or_else(|error| panic!("{error}"));
        let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
        while !request.ends_with(b"{}") {
            let read = stream.read(&mut buffer).unwrap_or(0);
            assert!(read > 0, "{}", String::from_utf8_lossy(&request));
            request.extend_from_slice(&buffer[..read]);
        }
        // Whoever has heard enough may go before the end.
        let _ = stream.write_all(&answer);
        let _ = stream.shutdown(Shutdown::Write);
        String::from_utf8_lossy(&request).into_owned()
    });
    (format!("http://{address}"), serving)
}

fn api(base: &str) -> Api {
    Api {
        method: Method::PUT,
        url: format!("{base}/v1/sessions/{{session}}/renew"),
        token_at: "/data/token".to_owned(),
        header: HeaderName::from_static("authorization"),
        scheme: "Bearer".to_owned(),
    }
}

/// How it ends when this is the answer, in a few words, and what was asked.
async fn ends(answer: impl Into<Vec<u8>>) -> (String, String) {
    let (base, serving) = answering(answer.into());
    let told = ask(&api(&base)).await;
    (told, serving.join().unwrap_or_default())
}

async fn ask(api: &Api) -> String {
    let client = crate::http::client(None).unwrap_or_else(|fault| panic!("{fault}"));
    let ours =
        form().read(token(r#"{"sub":"a b/c","exp":9}"#).as_bytes()).unwrap_or_else(|why| panic!("{why}"));
    match renew(&client, api, &form(), &ours).await {
        Outcome::Granted(new, _) => format!("granted {}", new.text.expose_secret()),
        Outcome::Refused(Answer { status, code, retry_after }, _) => {
            format!("refused {status} {code:?} {retry_after:?}")
        }
        Outcome::Failed(why) => format!("failed {why}"),
    }
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

#[tokio::test]
async fn the_request_carries_the_token_and_the_answer_brings_another() {
    let new = token(r#"{"sub":"a b/c","exp":99}"#);
    let body = format!("{{\"data\":{{\"token\":\"{new}\",\"expiresAt\":\"2030-01-01T00:00:00Z\"}}}}");
    let (told, request) = ends(http("200 OK", "", &body)).await;
    assert_eq!(told, format!("granted {new}"));
    let ours = token(r#"{"sub":"a b/c","exp":9}"#);
    assert!(request.starts_with("PUT /v1/sessions/a%20b%2Fc/renew HTTP/1.1\r\n"), "{request}");
    let has = |header: &str| request.lines().any(|line| line.eq_ignore_ascii_case(header));
    assert!(
        has(&format!("authorization: Bearer {ours}")) && has("content-type: application/json"),
        "{request}"
    );
}

#[tokio::test]
async fn a_refusal_is_told_by_status_code_and_wait() {
    for (answer, told) in [
        (
            http("403 No", "", r#"{"code":"RENEWAL_TOO_EARLY","message":"m"}"#),
            r#"refused 403 Some("RENEWAL_TOO_EARLY") None"#,
        ),
        (
            http("409 No", "", r#"{"error":{"code":"RENEWAL_CONFLICT"}}"#),
            r#"refused 409 Some("RENEWAL_CONFLICT") None"#,
        ),
        (http("429 No", "Retry-After: 7\r\n", "later"), "refused 429 None Some(7s)"),
        (http("503 No", "Retry-After: soon\r\n", r#"{"code":7}"#), "refused 503 None None"),
        (http("401 No", "", r#"{"code":"secret token here"}"#), "refused 401 Some(\"?\") None"),
        (http("401 No", "", ""), "refused 401 None None"),
    ] {
        assert_eq!(ends(answer).await.0, told);
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_understood_is_none() {
    let endless = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1 << 20));
    for (answer, why) in [
        (http("200 OK", "", "<html>"), "the answer 200 is no JSON"),
        (http("200 OK", "", r#"{"data":[]}"#), r#"the answer 200 has no token at "/data/token""#),
        (http("200 OK", "", r#"{"data":{"token":7}}"#), r#"the answer 200 has no token at "/data/token""#),
        (
            http("200 OK", "", r#"{"data":{"token":"x"}}"#),
            "the answer 200 holds a text that does not begin as a token does",
        ),
        (
            http("302 Found", "Location: http://127.0.0.1:1/\r\n", ""),
            "the answer 302 leads elsewhere, which is not followed",
        ),
        (endless, "the answer is longer than 65536 bytes"),
        // Half an answer, half a head, and none.
        ("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"data\"".to_owned(), ""),
        ("HTTP/1.1 200 O".to_owned(), ""),
        ("not HTTP at all\r\n\r\n".to_owned(), ""),
        (String::new(), ""),
    ] {
        let told = ends(answer).await.0;
        assert!(told.starts_with(&format!("failed {why}")) && !told.contains("wai_sess_"), "{told}");
    }
}

#[tokio::test]
async fn an_api_that_is_not_there_is_told_in_the_systems_words() {
    // Held, and not listened on: nobody else can take it meanwhile.
    let held = tokio::net::TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = held.local_addr().unwrap();
    let told = ask(&api(&format!("http://{address}"))).await;
    assert!(told.contains("refused"), "{told}");
    let Api { url, .. } = api("http://127.0.0.1:1");
    let fixed = Api { url: url.replace("{session}", "x"), ..api("") };
    assert!(ask(&fixed).await.starts_with("failed "));
    let _ = Duration::ZERO;
}
