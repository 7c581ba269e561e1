//! Requests that two parsers could read in two ways: at most one comes of them, and never the hidden one.

use super::*;

/// Sends these bytes and hears all that comes back. What reached the API.
async fn send(bytes: &str) -> (String, Vec<Seen>) {
    let mut api = Api::new(|_| ok("in")).await;
    let scene = Scene::new(api.port);
    let mut wire = Wire::connect(scene.port).await;
    let bytes = bytes.replace("PORT", &scene.port.to_string()).replace(
        "\r\nKEY",
        &format!("\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {STAND_IN}", scene.port),
    );
    wire.write(bytes).await;
    quiet().await;
    wire.stream.shutdown().await.unwrap();
    let heard = wire.rest().await;
    (String::from_utf8(heard).unwrap(), api.all().await)
}

const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nKEY\r\n\r\n";

#[tokio::test]
async fn two_ideas_of_a_length_make_one_request_at_most() {
    for headers in [
        "Content-Length: 6\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 6",
        "Content-Length: 6\r\nTransfer-Encoding:\tchunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\nContent-Length: 6",
    ] {
        let (heard, seen) =
            send(&format!("POST /a HTTP/1.1\r\nKEY\r\n{headers}\r\n\r\n0\r\n\r\n{HIDDEN}")).await;
        assert!(seen.len() <= 1, "{headers}: {seen:?}");
        for seen in &seen {
            assert_eq!(seen.message.line(), "POST /a HTTP/1.1", "{headers}");
            assert_eq!(
                seen.message.all("content-length").len(),
                0,
                "one idea goes on: {}",
                seen.message.head
            );
        }
        assert!(heard.matches("HTTP/1.1 ").count() <= 1, "{headers}: {heard}");
    }
}

#[tokio::test]
async fn what_no_parser_should_read_is_refused() {
    for headers in [
        "Content-Length: 6\r\nContent-Length: 7",
        "Content-Length: 7\r\nContent-Length: 6",
        "Content-Length: 6, 7",
        "Content-Length: +6",
        "Content-Length: -1",
        "Content-Length: 0x6",
        "Content-Length: 6 6",
        "Content-Length: 99999999999999999999",
        "Content-Length : 6",
        "Content-Length\t: 6",
        " Content-Length: 6",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip",
        "X-Folded: a\r\n b",
        "X-Folded: a\r\n\tTransfer-Encoding: chunked",
        "X-Bare: a\rContent-Length: 6",
        "X-Null: a\0b",
        "X Space: a",
        ": nameless",
        "no colon",
        "X-(: a",
    ] {
        let (heard, seen) =
            send(&format!("POST /a HTTP/1.1\r\nKEY\r\n{headers}\r\n\r\n0\r\n\r\n{HIDDEN}")).await;
        assert!(seen.is_empty(), "{headers}: {seen:?}");
        assert!(!heard.contains(" 200 "), "{headers}: {heard}");
    }
}

#[tokio::test]
async fn request_lines_that_no_parser_should_read_are_refused() {
    for line in [
        "GET  /a HTTP/1.1",
        "GET /a  HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /a",
        "GET /a HTTP/1.2",
        "GET /a HTTP/2.0",
        " GET /a HTTP/1.1",
        "GE\tT /a HTTP/1.1",
        "GET\r/a HTTP/1.1",
    ] {
        let (heard, seen) = send(&format!("{line}\r\nKEY\r\n\r\n{HIDDEN}")).await;
        assert!(seen.is_empty(), "{line}: {seen:?}");
        assert!(!heard.contains(" 200 "), "{line}: {heard}");
    }
}

#[tokio::test]
async fn chunks_that_no_parser_should_read_end_the_request() {
    for chunk in ["-1\r\nx", "x\r\nx", "1 1\r\nx", "fffffffffffffffff\r\nx", "1\r\nxx\r\n0", "1\nx\n0\n"] {
        let request = format!(
            "POST /a HTTP/1.1\r\nKEY\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}\r\n\r\n0\r\n\r\n{HIDDEN}"
        );
        let (heard, seen) = send(&request).await;
        assert!(seen.is_empty(), "no complete request comes of it: {chunk:?}: {seen:?}");
        assert!(!heard.contains(" 200 "), "{chunk:?}: {heard}");
    }
}

#[tokio::test]
async fn what_follows_a_request_is_the_next_one_and_is_looked_at_like_the_first() {
    let first = "POST /a HTTP/1.1\r\nKEY\r\nContent-Length: 2\r\n\r\n{}";
    let (heard, seen) = send(&format!("{first}{HIDDEN}")).await;
    let lines: Vec<_> = seen.iter().map(|seen| seen.message.line()).collect();
    assert_eq!(lines, ["POST /a HTTP/1.1", "GET /hidden HTTP/1.1"], "two honest requests, in their order");
    assert_eq!(heard.matches("HTTP/1.1 200 OK").count(), 2);
    let strange = "GET /b HTTP/1.1\r\nHost: evil.example\r\n\r\n";
    let (heard, seen) = send(&format!("{first}{strange}{HIDDEN}")).await;
    assert_eq!(seen.len(), 2);
    assert!(heard.contains("FOREIGN_HOST"));
}

#[tokio::test]
async fn a_header_value_cannot_end_its_line_toward_the_api() {
    let (_, seen) = send("GET /a HTTP/1.1\r\nKEY\r\nX-A: a%0d%0aX-B: b\\r\\n\r\n\r\n").await;
    assert_eq!(seen[0].message.all("x-a"), ["a%0d%0aX-B: b\\r\\n"]);
    assert!(seen[0].message.all("x-b").is_empty());
}
