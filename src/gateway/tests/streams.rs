//! Streams: long ones, and slow ones.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// How long a long body is, in bytes.
const LONG: usize = 100 << 20;
/// More than all that buffers between the two ends may hold: four sockets' and our own.
const HELD: usize = 24 << 20;

/// Writes a long body, and counts how much of it was taken.
async fn pour(wire: &mut Wire, poured: &AtomicUsize) {
    let block = vec![b'x'; 64 << 10];
    for _ in 0..LONG / block.len() {
        wire.write(&block).await;
        poured.fetch_add(block.len(), Ordering::Relaxed);
    }
}

/// Reads a long body, but not before the other side can write no more.
async fn drain(wire: &mut Wire, poured: &AtomicUsize) {
    quiet().await;
    let held = poured.load(Ordering::Relaxed);
    assert!(held < HELD, "{held} bytes are held");
    let mut read = 0;
    while read < LONG {
        assert!(wire.fill().await, "only {read} bytes came");
        assert!(wire.buffer.iter().all(|byte| *byte == b'x'));
        read += wire.buffer.len();
        wire.buffer.clear();
    }
    assert_eq!(read, LONG);
}

#[tokio::test]
async fn a_long_request_goes_through_without_being_held() {
    let (listener, port) = listen().await;
    let scene = Scene::new(port);
    let mut client = Wire::connect(scene.port).await;
    client.write(scene.head("POST /", &format!("Content-Length: {LONG}\r\n"))).await;
    let mut api = Wire::new(within(listener.accept()).await.unwrap().0);
    api.until("\r\n\r\n").await.unwrap();
    let poured = AtomicUsize::new(0);
    tokio::join!(pour(&mut client, &poured), drain(&mut api, &poured));
    api.write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    assert_eq!(client.message(true).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_long_answer_goes_through_without_being_held() {
    let (listener, port) = listen().await;
    let scene = Scene::new(port);
    let mut client = Wire::connect(scene.port).await;
    client.write(scene.head("GET /", "")).await;
    let mut api = Wire::new(within(listener.accept()).await.unwrap().0);
    api.until("\r\n\r\n").await.unwrap();
    api.write(format!("HTTP/1.1 200 OK\r\ncontent-length: {LONG}\r\n\r\n")).await;
    client.until("\r\n\r\n").await.unwrap();
    let poured = AtomicUsize::new(0);
    tokio::join!(pour(&mut api, &poured), drain(&mut client, &poured));
}

#[tokio::test]
async fn an_answer_without_end_ends_when_nobody_reads_it() {
    let (listener, port) = listen().await;
    let scene = Scene::new(port);
    let mut client = Wire::connect(scene.port).await;
    client.write(scene.head("GET /", "")).await;
    let mut api = Wire::new(within(listener.accept()).await.unwrap().0);
    api.until("\r\n\r\n").await.unwrap();
    api.write("HTTP/1.1 200 OK\r\n\r\n").await;
    client.until("\r\n\r\n").await.unwrap();
    drop(client);
    let endless = async {
        let block = vec![b'x'; 64 << 10];
        while api.stream.write_all(&block).await.is_ok() {}
    };
    within(endless).await;
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let (listener, port) = listen().await;
    let scene = Scene::new(port);
    let mut client = Wire::connect(scene.port).await;
    client.write(scene.head("GET /events", "Accept: text/event-stream\r\n")).await;
    let mut api = Wire::new(within(listener.accept()).await.unwrap().0);
    assert_eq!(api.message(true).await.unwrap().all("accept"), ["text/event-stream"]);
    api.write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    let head = client.until("\r\n\r\n").await.unwrap();
    assert!(head.contains("text/event-stream"), "the head comes before the first event");
    for number in 0..20 {
        let event = format!("data: {number}\n\n");
        api.write(format!("{:x}\r\n{event}\r\n", event.len())).await;
        assert!(client.until(&event).await.is_some(), "event {number}, before the next one is there");
    }
    drop(api);
    assert!(!String::from_utf8(client.rest().await).unwrap().contains("0\r\n\r\n"));
}

#[tokio::test]
async fn a_slow_api_is_waited_for() {
    let (listener, port) = listen().await;
    let endless = Options { timeout: None, ..options(port) };
    let mut scene = Scene::with(endless, crate::http::client(None).unwrap());
    let mut client = Wire::connect(scene.port).await;
    client.write(scene.head("GET /", "")).await;
    let mut api = Wire::new(within(listener.accept()).await.unwrap().0);
    api.message(true).await.unwrap();
    // An hour, on a clock that runs when nobody has anything to do.
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    tokio::time::resume();
    api.write("HTTP/1.1 200 OK\r\ncontent-").await;
    quiet().await;
    assert!(scene.events().is_empty());
    api.write("length: 2\r\n\r\no").await;
    client.until("\r\n\r\no").await.unwrap();
    tokio::time::pause();
    tokio::time::sleep(Duration::from_secs(3600)).await;
    tokio::time::resume();
    api.write("k").await;
    assert_eq!(client.exactly(1).await, b"k");
    assert_eq!(scene.events(), [ended(1, End::Heard)]);
}
