//! APIs that do not answer.

use tokio::net::TcpSocket;

use super::*;

/// Asks an API that is not there, and makes sure that this is told and answered.
async fn is_unreachable(scene: &mut Scene, what: &str) -> String {
    is_told(scene, what, End::Unreachable).await
}

async fn is_told(scene: &mut Scene, what: &str, end: End) -> String {
    let answer = scene.get("/secret-of-the-path?or=of-the-query").await;
    assert_eq!((answer.status(), answer.code()), (502, "daemon_unavailable".into()), "{what}");
    assert_eq!(scene.events(), [ended(1, end)], "{what}");
    let text = answer.text();
    assert!(text.contains(r#""retryable":true"#), "{text}");
    for secret in ["wai_sess", "secret-of-the-path", "of-the-query"] {
        assert!(!text.contains(secret), "{what}: {text}");
    }
    text
}

/// A port on which nobody listens, for as long as it is held: one that is given back may be taken by another test's gateway.
fn held() -> (TcpSocket, u16) {
    let held = TcpSocket::new_v4().unwrap();
    held.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = held.local_addr().unwrap().port();
    (held, port)
}

#[tokio::test]
async fn nobody_listens_there() {
    let (_held, port) = held();
    let text = is_told(&mut Scene::new(port), "closed port", End::Unsent).await;
    assert!(text.contains("refused") && text.contains(&format!("127.0.0.1:{port}")), "{text}");
}

#[tokio::test]
async fn nobody_has_that_name() {
    let upstream = "http://nobody.invalid:9".parse().unwrap();
    let client = crate::http::client(None).unwrap();
    let mut scene = Scene::with(Options { upstream, ..options(9) }, client);
    is_told(&mut scene, "no such host", End::Unsent).await;
}

#[tokio::test]
async fn it_hangs_up_before_its_answers_head_is_complete() {
    for text in ["", "H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n"] {
        let mut api = Api::new(move |_| Reaction::Last(text.into())).await;
        let mut scene = Scene::new(api.port);
        is_unreachable(&mut scene, text).await;
        assert_eq!(api.all().await.len(), 1, "it may have been carried out: it is not repeated");
    }
}

#[tokio::test]
async fn it_resets_the_connection() {
    let (listener, port) = listen().await;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut wire = Wire::new(stream);
            wire.until("\r\n\r\n").await;
            wire.stream.set_zero_linger().unwrap();
        }
    });
    is_unreachable(&mut Scene::new(port), "reset").await;
}

#[tokio::test]
async fn it_does_not_speak_http() {
    for text in ["SSH-2.0-OpenSSH_9.6\r\n", "HTTP/3.0 200 OK\r\n\r\n", "HTTP/1.1 20 OK\r\n\r\n", "{}\r\n\r\n"]
    {
        let api = Api::new(move |_| Reaction::Last(text.into())).await;
        is_unreachable(&mut Scene::new(api.port), text).await;
    }
    for headers in ["content-length: x", "content-length: 1\r\ncontent-length: 2", "bad header\r\n: x"] {
        let text = format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\nx");
        let api = Api::new(move |_| Reaction::Last(text.clone())).await;
        is_unreachable(&mut Scene::new(api.port), headers).await;
    }
}

#[tokio::test]
async fn it_changes_the_protocol_unasked() {
    let api = Api::new(|_| Reaction::Answer("HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n".into())).await;
    is_unreachable(&mut Scene::new(api.port), "101").await;
}

#[tokio::test]
async fn it_is_heard_again_when_it_is_back() {
    let (held, port) = held();
    let mut scene = Scene::new(port);
    is_told(&mut scene, "away", End::Unsent).await;
    let listener = held.listen(8).unwrap();
    tokio::spawn(async move {
        let mut wire = Wire::new(listener.accept().await.unwrap().0);
        wire.message(true).await.unwrap();
        wire.write("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nup").await;
        wire.rest().await;
    });
    assert_eq!(scene.get("/").await.text(), "up");
    assert_eq!(scene.events(), [ended(1, End::Heard)]);
}

#[tokio::test]
async fn a_request_that_was_written_is_never_sent_again_by_the_library() {
    // The first answer keeps the connection; then every request is read and its connection closed.
    let mut api = Api::new(|seen| {
        if seen.message.line().starts_with("GET /warm") { ok("") } else { Reaction::Last(String::new()) }
    })
    .await;
    let mut scene = Scene::new(api.port);
    for method in ["POST", "GET", "PUT", "DELETE"] {
        assert_eq!(scene.get("/warm").await.status(), 200);
        let warm = api.next().await.connection;
        let request = scene.head(&format!("{method} /x"), "Content-Length: 2\r\n") + "{}";
        assert_eq!(scene.raw(request).await.status(), 502, "{method}");
        let seen = api.all().await;
        assert_eq!(seen.len(), 1, "{method}");
        assert_eq!(
            seen[0].connection, warm,
            "on the kept connection, where a library might think of repeating"
        );
        assert_eq!(scene.events(), [ended(1, End::Heard), ended(1, End::Unreachable)]);
    }
}

#[tokio::test]
async fn a_kept_connection_that_was_closed_meanwhile_is_replaced() {
    let (listener, port) = listen().await;
    let mut scene = Scene::new(port);
    for round in 0..3 {
        let mut client = Wire::connect(scene.port).await;
        client.write(scene.head("POST /", "Content-Length: 1\r\n") + "x").await;
        let mut api = Wire::new(within(listener.accept()).await.unwrap().0);
        assert_eq!(api.message(true).await.unwrap().text(), "x", "{round}");
        api.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(client.message(true).await.unwrap().status(), 200);
        // Kept by the gateway, and closed by the API: the next request comes on another one.
        drop(api);
    }
    assert_eq!(scene.events().len(), 3);
}

#[tokio::test]
async fn it_is_told_whether_it_was_asked_at_all() {
    let (listener, port) = listen().await;
    drop(listener);
    let mut scene = Scene::new(port);
    assert_eq!(scene.get("/").await.status(), 502);
    assert_eq!(scene.event().await, ended(1, End::Unsent));
    scene.probe.send(()).unwrap();
    assert_eq!(scene.event().await, Event::Probed(End::Unsent));
}

#[tokio::test]
async fn it_is_asked_for_nobody_to_see_whether_it_is_back() {
    let mut api = Api::new(|seen| {
        assert_eq!(seen.message.line(), "GET /probe HTTP/1.1");
        error("503 Service Unavailable", "SYSTEM_LOCKED")
    })
    .await;
    let mut scene = Scene::new(api.port);
    scene.probe.send(()).unwrap();
    assert_eq!(scene.event().await, Event::Probed(End::Locked));
    assert_eq!(api.next().await.token(), "Bearer wai_sess_real-1");
}

/// The request has reached an API that says nothing.
async fn unanswered(scene: &Scene, listener: &TcpListener, request: &str) -> (Wire, Wire) {
    let mut client = Wire::connect(scene.port).await;
    client.write(request).await;
    let mut api = Wire::new(within(listener.accept()).await.unwrap().0);
    api.until("\r\n\r\n").await.unwrap();
    (client, api)
}

#[tokio::test]
async fn an_api_that_takes_a_request_and_is_silent_is_answered_for_after_a_minute() {
    for said in ["", "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n"] {
        let (listener, port) = listen().await;
        let mut scene = Scene::new(port);
        let (mut client, mut api) = unanswered(&scene, &listener, &scene.head("GET /", "")).await;
        quiet().await;
        tokio::time::pause();
        let begun = tokio::time::Instant::now();
        let hinting = tokio::spawn(async move {
            loop {
                api.stream.write_all(said.as_bytes()).await.ok();
                tokio::time::sleep(Duration::from_secs(7)).await;
            }
        });
        let answer = client.message(true).await.unwrap();
        assert_eq!((answer.status(), answer.code().as_str()), (504, "daemon_unavailable"));
        assert!(answer.text().contains("after 60 s"), "{}", answer.text());
        let waited = begun.elapsed();
        assert!(waited > Duration::from_secs(58) && waited < Duration::from_secs(63), "{waited:?}");
        tokio::time::resume();
        assert_eq!(scene.event().await, ended(1, End::Unreachable));
        hinting.abort();
    }
}

#[tokio::test]
async fn an_api_that_waits_for_the_rest_of_a_request_is_not_silent() {
    let (listener, port) = listen().await;
    let mut scene = Scene::new(port);
    let request = scene.head("POST /", "Transfer-Encoding: chunked\r\n") + "1\r\na\r\n";
    let (mut client, mut api) = unanswered(&scene, &listener, &request).await;
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(200)).await;
    tokio::time::resume();
    client.write("0\r\n\r\n").await;
    api.until("0\r\n\r\n").await.unwrap();
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(50)).await;
    tokio::time::resume();
    assert!(scene.events().is_empty());
    api.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(client.message(true).await.unwrap().status(), 200);
}

#[tokio::test]
async fn what_a_server_no_longer_waits_for_is_told_as_unanswered() {
    for (waited, end) in [(Duration::from_millis(100), End::Left), (Duration::from_secs(5), End::Unreachable)]
    {
        let (listener, port) = listen().await;
        let mut scene = Scene::new(port);
        let (client, _api) = unanswered(&scene, &listener, &scene.head("GET /", "")).await;
        tokio::time::pause();
        tokio::time::sleep(waited).await;
        tokio::time::resume();
        // It was told that it is on its way, and may be carried out whatever becomes of it.
        assert_eq!(within(scene.told.recv()).await, Some(Event::Asked));
        drop(client);
        assert_eq!(scene.event().await, ended(1, end));
    }
}
