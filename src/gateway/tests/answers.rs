//! Answers of all shapes.

use super::*;

#[tokio::test]
async fn answers_without_a_body_have_none_and_leave_the_connection_usable() {
    let mut api = Api::new(|seen| match seen.message.line().split(' ').next().unwrap() {
        "HEAD" => Reaction::Answer("HTTP/1.1 200 OK\r\ncontent-length: 1234\r\netag: x\r\n\r\n".into()),
        "DELETE" => Reaction::Answer("HTTP/1.1 204 No Content\r\nx-a: b\r\n\r\n".into()),
        "PUT" => Reaction::Answer("HTTP/1.1 304 Not Modified\r\netag: x\r\n\r\n".into()),
        "PATCH" => Reaction::Answer("HTTP/1.1 304 Not Modified\r\ncontent-length: 99\r\n\r\n".into()),
        _ => ok("end"),
    })
    .await;
    let mut scene = Scene::new(api.port);
    let mut wire = Wire::connect(scene.port).await;
    let port = scene.port;
    for (method, status, header) in [
        ("HEAD", 200, ("content-length", vec!["1234"])),
        ("DELETE", 204, ("x-a", vec!["b"])),
        ("PUT", 304, ("etag", vec!["x"])),
        ("PATCH", 304, ("content-type", vec![])),
        ("HEAD", 200, ("etag", vec!["x"])),
    ] {
        wire.write(scene.head(&format!("{method} /"), "")).await;
        let answer = wire.message(false).await.unwrap();
        assert_eq!((answer.status(), answer.all(header.0)), (status, header.1), "{method}");
        assert!(answer.all("transfer-encoding").is_empty(), "{}", answer.head);
    }
    let last = format!(
        "GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {STAND_IN}\r\nConnection: close\r\n\r\n"
    );
    wire.write(last).await;
    let rest = String::from_utf8(wire.rest().await).unwrap();
    assert!(rest.starts_with("HTTP/1.1 200 OK\r\n") && rest.ends_with("\r\n\r\nend"), "{rest}");
    assert_eq!(scene.events().len(), 6);
    let connections: Vec<_> = api.all().await.iter().map(|seen| seen.connection).collect();
    assert_eq!(connections, [0; 6], "the API's connection is kept, too");
}

#[tokio::test]
async fn the_connection_to_the_api_is_kept_from_one_client_to_the_next() {
    let mut api = Api::new(|_| ok("x")).await;
    let scene = Scene::new(api.port);
    for _ in 0..5 {
        scene.get("/").await;
        assert_eq!(api.next().await.connection, 0);
        quiet().await;
    }
}

#[tokio::test]
async fn bodies_arrive_whole_however_they_are_framed() {
    let body = "0123456789".repeat(5000);
    let length = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let closed = format!("HTTP/1.1 200 OK\r\n\r\n{body}");
    let old = format!("HTTP/1.0 200 OK\r\n\r\n{body}");
    let chunks = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x};ext=1\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let both = chunks.replace("\r\ntransfer", "\r\ncontent-length: 3\r\ntransfer");
    let informed = format!("HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n{length}");
    for (text, last) in
        [(length, false), (closed, true), (old, true), (chunks, false), (both, false), (informed, false)]
    {
        let head = text[..60].to_owned();
        let reaction =
            move |_: &Seen| if last { Reaction::Last(text.clone()) } else { Reaction::Answer(text.clone()) };
        let api = Api::new(reaction).await;
        let scene = Scene::new(api.port);
        let answer = scene.get("/").await;
        assert_eq!((answer.line(), answer.text() == body), ("HTTP/1.1 200 OK", true), "{head}");
        assert!(answer.all("content-length").len() + answer.all("transfer-encoding").len() == 1);
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_breaks_off_on_the_other_side() {
    for head in ["content-length: 99\r\n\r\nhalf", "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n"] {
        let api = Api::new(move |_| Reaction::Last(format!("HTTP/1.1 200 OK\r\n{head}"))).await;
        let mut scene = Scene::new(api.port);
        let mut wire = Wire::connect(scene.port).await;
        wire.write(scene.head("GET /", "")).await;
        let text = String::from_utf8(wire.rest().await).unwrap();
        assert!(text.contains("half") && !text.contains("0\r\n\r\n"), "it must not look complete: {text}");
        assert_eq!(scene.events(), [ended(1, End::Heard)], "its head was complete");
    }
}

#[tokio::test]
async fn a_client_of_http_1_0_is_served() {
    let api = Api::new(|_| {
        Reaction::Answer("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n".into())
    })
    .await;
    let scene = Scene::new(api.port);
    let request = scene.head("GET /", "").replace("HTTP/1.1", "HTTP/1.0");
    let mut wire = Wire::connect(scene.port).await;
    wire.write(request).await;
    let text = String::from_utf8(wire.rest().await).unwrap();
    assert!(text.starts_with("HTTP/1.0 200 OK") && text.ends_with("\r\n\r\nhi"), "{text}");
}

#[tokio::test]
async fn an_api_that_says_yes_and_no_in_turn_is_passed_on_each_time() {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let api = Api::new(move |_| {
        let count = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        if count.is_multiple_of(2) { ok("yes") } else { error("401 Unauthorized", "SESSION_REVOKED") }
    })
    .await;
    let mut scene = Scene::new(api.port);
    for round in 0..4 {
        let mut wire = Wire::connect(scene.port).await;
        wire.write(scene.head("GET /", "")).await;
        if round % 2 == 1 {
            let request = scene.refused().await;
            scene.settle(request, None);
        }
        let status = wire.message(true).await.unwrap().status();
        let expected = if round % 2 == 1 { (401, End::Refused) } else { (200, End::Heard) };
        assert_eq!((status, scene.events()), (expected.0, vec![ended(1, expected.1)]));
    }
}

#[tokio::test]
async fn other_errors_are_passed_on() {
    for status in
        ["400 Bad Request", "403 Forbidden", "404 Not Found", "429 Too Many Requests", "502 Bad Gateway"]
    {
        let api = Api::new(move |_| error(status, "THEIRS")).await;
        let mut scene = Scene::new(api.port);
        let answer = scene.post("/", "{}").await;
        assert_eq!(answer.line(), format!("HTTP/1.1 {status}"));
        assert!(answer.text().contains("THEIRS"));
        assert_eq!(scene.events(), [ended(1, End::Heard)]);
    }
}
