//! Connections to the gateway: how many, how long, and what becomes of one that fails.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::gateway::PLACES;
use crate::listener::{self, Places};

#[tokio::test]
async fn a_panic_ends_its_own_connection_and_gives_its_place_back() {
    let (listener, port) = listen().await;
    let count = Arc::new(AtomicUsize::new(0));
    let places = Places { own: 1, strangers: 0 };
    let task = tokio::spawn(listener::listen(listener, places, move |mut stream, _| {
        let count = count.fetch_add(1, Ordering::Relaxed);
        async move {
            assert!(count >= 2, "a defect in a request");
            stream.write_all(b"fine").await.unwrap();
        }
    }));
    for _ in 0..2 {
        assert_eq!(Wire::connect(port).await.rest().await, b"");
    }
    assert_eq!(Wire::connect(port).await.rest().await, b"fine");
    task.abort();
}

#[tokio::test]
async fn one_too_many_waits_until_another_ends() {
    let (listener, port) = listen().await;
    let places = Places { own: 2, strangers: 0 };
    let task = tokio::spawn(listener::listen(listener, places, |mut stream, _| async move {
        stream.write_all(b"in").await.unwrap();
        drop(Wire::new(stream).rest().await);
    }));
    let (mut first, mut second) = (Wire::connect(port).await, Wire::connect(port).await);
    assert_eq!((first.exactly(2).await, second.exactly(2).await), (b"in".to_vec(), b"in".to_vec()));
    let mut third = Wire::connect(port).await;
    quiet().await;
    let mut byte = [0];
    assert!(third.stream.try_read(&mut byte).is_err(), "it waits");
    drop(first);
    assert_eq!(third.exactly(2).await, b"in");
    task.abort();
    assert_eq!(second.rest().await, b"", "all end with it");
}

#[tokio::test]
async fn there_are_512_at_once_and_more_are_served_later() {
    let (listener, port) = listen().await;
    let endless = Options { timeout: None, ..options(port) };
    let scene = Scene::with(endless, crate::http::client(None).unwrap());
    // An API that takes requests, and answers only the last one.
    let mut held = Vec::new();
    let mut wires = Vec::new();
    for _ in 0..PLACES.own {
        let mut wire = Wire::connect(scene.port).await;
        wire.write(scene.head("GET /", "")).await;
        wires.push(wire);
        let mut api = Wire::new(within(listener.accept()).await.unwrap().0);
        api.message(true).await.unwrap();
        held.push(api);
    }
    let mut last = Wire::connect(scene.port).await;
    last.write(scene.head("GET /last", "")).await;
    quiet().await;
    assert!(timeout(Duration::ZERO, listener.accept()).await.is_err(), "it waits");
    wires.pop();
    let mut api = Wire::new(within(listener.accept()).await.unwrap().0);
    assert_eq!(api.message(true).await.unwrap().line(), "GET /last HTTP/1.1");
    api.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(last.message(true).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_head_that_never_ends_is_given_up_after_10_s() {
    let scene = Scene::new(9);
    for part in ["", "GET", "GET / HTTP/1.1\r\nHost: x\r\n"] {
        let mut wire = Wire::connect(scene.port).await;
        wire.write(part).await;
        quiet().await;
        tokio::time::pause();
        let begun = tokio::time::Instant::now();
        let heard = String::from_utf8(wire.rest().await).unwrap();
        assert!(begun.elapsed() >= Duration::from_secs(9), "{part}");
        assert!(!heard.contains(" 200 "), "{heard}");
        tokio::time::resume();
    }
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let mut api = Api::new(|_| ok("in")).await;
    let scene = Scene::new(api.port);
    let long = format!("X-Long: {}\r\n", "x".repeat(70 << 10));
    let many = "X-Many: x\r\n".repeat(200);
    for headers in [long, many] {
        assert_eq!(scene.raw(scene.head("GET /", &headers)).await.status(), 431);
    }
    let endless = scene.head("GET /", "").replace("GET /", &format!("GET /{}", "x".repeat(300 << 10)));
    let mut wire = Wire::connect(scene.port).await;
    // It may hang up before all of it is written.
    let _ = wire.stream.write_all(endless.as_bytes()).await;
    assert!(!String::from_utf8(wire.rest().await).unwrap().contains(" 200 "));
    assert!(api.all().await.is_empty());
    let fits = format!("X-Long: {}\r\n", "x".repeat(50 << 10));
    assert_eq!(scene.raw(scene.head("GET /", &fits)).await.status(), 200);
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let mut api = Api::new(|seen| ok(seen.message.line())).await;
    let scene = Scene::new(api.port);
    let mut wire = Wire::connect(scene.port).await;
    for number in 0..50 {
        wire.write(scene.head(&format!("POST /{number}"), "Content-Length: 2\r\n") + "{}").await;
        let answer = wire.message(true).await.unwrap();
        assert_eq!(answer.text(), format!("POST /{number} HTTP/1.1"));
        api.next().await;
    }
}

#[tokio::test]
async fn an_open_connection_is_there_after_a_while_without_a_word() {
    let api = Api::new(|_| ok("in")).await;
    let scene = Scene::new(api.port);
    let mut wire = Wire::connect(scene.port).await;
    for _ in 0..3 {
        wire.write(scene.head("GET /", "")).await;
        assert_eq!(wire.message(true).await.unwrap().status(), 200);
        tokio::time::pause();
        tokio::time::sleep(Duration::from_secs(8)).await;
        tokio::time::resume();
    }
}

#[tokio::test]
async fn many_at_once_each_get_their_own_answer() {
    let api = Api::new(|seen| ok(&seen.message.text())).await;
    let mut scene = Scene::new(api.port);
    let mut wires = Vec::new();
    for number in 0..100 {
        let mut wire = Wire::connect(scene.port).await;
        let body = format!("body {number}");
        wire.write(scene.head("POST /", &format!("Content-Length: {}\r\n", body.len())) + &body).await;
        wires.push((body, wire));
    }
    for (body, wire) in &mut wires {
        assert_eq!(wire.message(true).await.unwrap().text(), *body);
    }
    assert_eq!(scene.events().len(), 100);
}

#[tokio::test]
async fn small_pieces_are_not_held_back_on_either_side() {
    let (listener, port) = listen().await;
    let scene = Scene::new(port);
    let mut client = Wire::connect(scene.port).await;
    client.write(scene.head("POST /", "Transfer-Encoding: chunked\r\n")).await;
    let mut api = Wire::new(within(listener.accept()).await.unwrap().0);
    api.until("\r\n\r\n").await.unwrap();
    api.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
    client.until("\r\n\r\n").await.unwrap();
    for _ in 0..200 {
        client.write("1\r\nx\r\n").await;
        api.until("1\r\nx\r\n").await.unwrap();
        api.write("1\r\ny\r\n").await;
        client.until("1\r\ny\r\n").await.unwrap();
    }
}
