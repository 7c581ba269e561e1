//! Bodies on the way to the API.

use super::*;

/// A client that has sent a head, and the API's end of the connection that came of it.
async fn begun(scene: &Scene, listener: &TcpListener, head: String) -> (Wire, Wire) {
    let mut client = Wire::connect(scene.port).await;
    client.write(head).await;
    let api = Wire::new(within(listener.accept()).await.unwrap().0);
    (client, api)
}

#[tokio::test]
async fn whoever_asks_for_leave_to_send_a_body_gets_it_from_us() {
    for length in [5, 2 << 20] {
        let mut api = Api::new(|_| ok("in")).await;
        let scene = Scene::new(api.port);
        let mut wire = Wire::connect(scene.port).await;
        let headers = format!("Expect: 100-continue\r\nContent-Length: {length}\r\n");
        wire.write(scene.head("POST /", &headers)).await;
        assert_eq!(wire.until("\r\n\r\n").await.unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
        wire.write(vec![b'x'; length]).await;
        assert_eq!(wire.message(true).await.unwrap().status(), 200);
        let seen = api.next().await.message;
        assert_eq!((seen.all("expect"), seen.body.len()), (vec![], length));
    }
}

#[tokio::test]
async fn whoever_is_refused_need_not_send_the_body() {
    let mut api = Api::new(|_| ok("in")).await;
    let scene = Scene::new(api.port);
    let request =
        scene.head("POST /", "Expect: 100-continue\r\nContent-Length: 5\r\n").replace(STAND_IN, "x");
    let answer = scene.raw(request).await;
    assert_eq!(answer.status(), 401, "at once, and without 100");
    assert!(api.all().await.is_empty());
}

#[tokio::test]
async fn a_chunked_body_is_passed_on_piece_by_piece() {
    for method in ["POST", "GET", "DELETE"] {
        let (listener, port) = listen().await;
        let scene = Scene::new(port);
        let head = scene.head(&format!("{method} /"), "Transfer-Encoding: chunked\r\n");
        let (mut client, mut api) = begun(&scene, &listener, head + "3\r\none\r\n").await;
        let head = api.until("\r\n\r\n").await.unwrap();
        assert!(head.contains("transfer-encoding: chunked") && !head.contains("content-length"), "{head}");
        assert_eq!(api.until("3\r\none\r\n").await.unwrap(), "3\r\none\r\n", "before the next one is there");
        client.write("3\r\ntwo\r\n").await;
        assert_eq!(api.until("two\r\n").await.unwrap(), "3\r\ntwo\r\n");
        client.write("0\r\n\r\n").await;
        assert_eq!(api.until("0\r\n\r\n").await.unwrap(), "0\r\n\r\n");
        api.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(client.message(true).await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn trailers_go_on_in_both_directions() {
    let (listener, port) = listen().await;
    let scene = Scene::new(port);
    let headers = "Transfer-Encoding: chunked\r\nTrailer: X-Sum, Authorization\r\nTE: trailers, gzip\r\n";
    let (mut client, mut api) = begun(&scene, &listener, scene.head("POST /", headers)).await;
    client.write("3\r\none\r\n0\r\nX-Sum: 1\r\nAuthorization: Bearer evil\r\nX-Else: 1\r\n\r\n").await;
    let request = api.message(true).await.unwrap();
    assert_eq!(request.all("te"), ["trailers"]);
    assert_eq!(request.all("trailer"), ["X-Sum, Authorization"]);
    assert_eq!((request.text().as_str(), request.trailers.as_str()), ("one", "x-sum: 1\r\n"));
    api.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: X-Sum\r\n\r\n").await;
    api.write("3\r\ntwo\r\n0\r\nX-Sum: 2\r\n\r\n").await;
    let answer = client.message(true).await.unwrap();
    assert_eq!(answer.all("trailer"), ["X-Sum"]);
    assert_eq!((answer.text().as_str(), answer.trailers.as_str()), ("two", "x-sum: 2\r\n"));
}

#[tokio::test]
async fn what_breaks_off_never_looks_complete_to_the_api() {
    for (headers, part) in [
        ("Transfer-Encoding: chunked\r\n", "3\r\none\r\n"),
        ("Transfer-Encoding: chunked\r\n", "9\r\none"),
        ("Transfer-Encoding: chunked\r\n", "3\r\none\r\nNO CHUNK\r\n"),
        ("Content-Length: 2000000\r\n", "one"),
    ] {
        let (listener, port) = listen().await;
        let mut scene = Scene::new(port);
        let head = scene.head("POST /", headers);
        let (mut client, mut api) = begun(&scene, &listener, head).await;
        client.write(part).await;
        api.until("one").await.unwrap();
        drop(client);
        let rest = String::from_utf8(api.rest().await).unwrap();
        assert!(!rest.contains("0\r\n\r\n"), "{part:?}: {rest:?}");
        assert_eq!(scene.event().await, ended(1, End::Left), "the API is not to blame");
        assert!(scene.events().is_empty());
    }
}

#[tokio::test]
async fn what_is_under_way_when_the_gateway_ends_never_looks_complete_to_the_api() {
    // The body may go on after the answer has begun, and even after it is complete.
    for headers in ["", "transfer-encoding: chunked", "content-length: 0"] {
        let (listener, port) = listen().await;
        let scene = Scene::new(port);
        let head = scene.head("POST /", "Transfer-Encoding: chunked\r\n");
        let (mut client, mut api) = begun(&scene, &listener, head + "3\r\none\r\n").await;
        api.until("one\r\n").await.unwrap();
        if !headers.is_empty() {
            api.write(format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n")).await;
            client.until("\r\n\r\n").await.unwrap();
        }
        client.write("3\r\ntwo\r\n").await;
        assert!(api.until("two\r\n").await.is_some(), "{headers}: it goes on");
        scene.task.abort();
        assert_eq!(String::from_utf8(api.rest().await).unwrap(), "", "{headers}");
    }
}

#[tokio::test]
async fn a_short_body_that_breaks_off_is_not_sent_at_all() {
    let mut api = Api::new(|_| ok("in")).await;
    let mut scene = Scene::new(api.port);
    let mut wire = Wire::connect(scene.port).await;
    wire.write(scene.head("POST /", "Content-Length: 9\r\n") + "half").await;
    drop(wire);
    assert!(api.all().await.is_empty() && scene.events().is_empty());
}

#[tokio::test]
async fn an_answer_may_come_before_the_body_is_there() {
    let (listener, port) = listen().await;
    let mut scene = Scene::new(port);
    let head = scene.head("POST /", "Content-Length: 3000000\r\n");
    let (mut client, mut api) = begun(&scene, &listener, head).await;
    api.until("\r\n\r\n").await.unwrap();
    api.write("HTTP/1.1 413 Content Too Large\r\ncontent-length: 2\r\n\r\nno").await;
    let answer = client.message(true).await.unwrap();
    assert_eq!((answer.status(), answer.text().as_str()), (413, "no"));
    assert_eq!(scene.events(), [ended(1, End::Heard)]);
}

#[tokio::test]
async fn whoever_leaves_takes_the_request_along() {
    let (listener, port) = listen().await;
    let mut scene = Scene::new(port);
    let (client, mut api) = begun(&scene, &listener, scene.head("GET /", "")).await;
    api.message(true).await.unwrap();
    drop(client);
    assert_eq!(api.rest().await, b"", "the connection to the API ends");
    assert_eq!(scene.event().await, ended(1, End::Left));
    assert!(scene.events().is_empty());
}
