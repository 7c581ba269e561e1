//! Renewals that the server asks for, and tokens in what an API answers: the server never sees one.

use bytes::Bytes;
use secrecy::ExposeSecret as _;

use super::*;

const RENEW: &str = "PUT /v1/sessions/s-1/renew";
/// A token as the API makes them, which nobody knows.
const UNKNOWN: &str = "wai_sess_aGVhZA.Y2xhaW1z.c2ln";

impl Scene {
    async fn wanted(&mut self) -> RequestId {
        let event = self.event().await;
        let Event::Wanted(request) = event else { panic!("{event:?}") };
        request
    }
}

#[tokio::test]
async fn a_renewal_is_not_passed_on_and_is_answered_without_the_token() {
    let mut api = Api::new(|_| ok("")).await;
    let mut scene = Scene::new(api.port);
    for line in [RENEW, "PUT //v1/sessions/x/%72enew/?a=b", "PUT /v1/sessions/x/RENEW"] {
        let mut wire = Wire::connect(scene.port).await;
        wire.write(scene.head(line, "Content-Length: 2\r\n") + "{}").await;
        let request = scene.wanted().await;
        let body = format!(r#"{{"token":"{UNKNOWN}","was":"wai_sess_real-1"}}"#);
        scene.say(request, Word::Answer(200, Bytes::from(body)));
        let answer = wire.message(true).await.unwrap();
        assert_eq!(answer.text(), format!(r#"{{"token":"{STAND_IN}","was":"{STAND_IN}"}}"#));
        assert_eq!((answer.status(), answer.all("content-type")), (200, vec!["application/json"]));
        assert_eq!(scene.event().await, ended(1, End::Heard));
    }
    assert!(api.all().await.is_empty());
}

#[tokio::test]
async fn a_renewal_that_comes_to_nothing_is_answered_with_why() {
    let mut api = Api::new(|_| ok("")).await;
    let mut scene = Scene::new(api.port);
    let early = r#"{"code":"RENEWAL_TOO_EARLY","message":"no","retryable":true}"#;
    for (word, status, code, end) in [
        (Word::Answer(403, Bytes::from(early)), 403, "RENEWAL_TOO_EARLY", Some(End::Heard)),
        (Word::Failed("reset".to_owned()), 502, "daemon_unavailable", Some(End::Unreachable)),
        (Word::AsItIs, 503, "RENEWAL_UNAVAILABLE", None),
    ] {
        let mut wire = Wire::connect(scene.port).await;
        wire.write(scene.head(RENEW, "")).await;
        let request = scene.wanted().await;
        scene.say(request, word);
        let answer = wire.message(true).await.unwrap();
        assert_eq!((answer.status(), answer.code().as_str()), (status, code));
        assert_eq!(scene.events(), end.map(|end| ended(1, end)).into_iter().collect::<Vec<_>>());
    }
    scene.tokens.send_replace(Published::Nothing);
    let answer = scene.raw(scene.head(RENEW, "")).await;
    assert_eq!((answer.status(), answer.code().as_str()), (401, "INVALID_TOKEN"));
    assert!(api.all().await.is_empty());
}

#[tokio::test]
async fn a_token_in_an_answer_is_replaced_and_told() {
    let answered = format!(r#"{{"a":"{UNKNOWN}","b":"wai_sess_real-1","c":"wai_sess_"}}"#);
    let body = answered.clone();
    let api = Api::new(move |_| answer("201 Created", &format!("X-Token: {UNKNOWN}\r\n"), &body)).await;
    let mut scene = Scene::new(api.port);
    let answer = scene.get("/").await;
    assert_eq!(answer.text(), format!(r#"{{"a":"{STAND_IN}","b":"{STAND_IN}","c":"wai_sess_"}}"#));
    assert_eq!(answer.all("x-token"), [STAND_IN]);
    for _ in 0..2 {
        assert_eq!(within(scene.seen.recv()).await.unwrap().expose_secret(), UNKNOWN);
    }
    assert!(scene.seen.try_recv().is_err(), "the token that is used is no news");
}

#[tokio::test]
async fn a_token_in_a_stream_is_replaced_however_it_is_cut() {
    let (listener, port) = listen().await;
    let mut scene = Scene::new(port);
    let mut client = Wire::connect(scene.port).await;
    client.write(scene.head("GET /events", "Accept-Encoding: gzip, br\r\n")).await;
    let mut api = Wire::new(within(listener.accept()).await.unwrap().0);
    assert_eq!(api.message(true).await.unwrap().all("accept-encoding"), ["identity"]);
    api.write("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
    client.until("\r\n\r\n").await.unwrap();
    let text = format!("data: {UNKNOWN}, wai_sess_real-1\n\ndata: wai_sess");
    for byte in text.bytes() {
        api.write([b"1\r\n", &[byte][..], b"\r\n"].concat()).await;
        quiet().await;
    }
    api.write("0\r\nX-Sum: wai_sess_real-1\r\n\r\n").await;
    let mut body = String::new();
    loop {
        let line = client.until("\r\n").await.unwrap();
        let length = usize::from_str_radix(line.trim(), 16).unwrap();
        if length == 0 {
            break;
        }
        body += &String::from_utf8(client.exactly(length).await).unwrap();
        client.until("\r\n").await.unwrap();
    }
    assert_eq!(body, format!("data: {STAND_IN}, {STAND_IN}\n\ndata: wai_sess"));
    assert_eq!(within(scene.seen.recv()).await.unwrap().expose_secret(), UNKNOWN);
}

#[tokio::test]
async fn a_long_text_stays_as_long_as_its_head_says() {
    let body = format!("{UNKNOWN} {}", "x".repeat(100_000));
    let length = body.len();
    let api = Api::new(move |_| ok(&body)).await;
    let scene = Scene::new(api.port);
    let answer = scene.get("/").await;
    assert_eq!(answer.all("content-length"), [length.to_string()]);
    assert!(answer.text().starts_with("wai_sess_stand-inxxxxxx") && !answer.text().contains(UNKNOWN));
}

#[tokio::test]
async fn what_nobody_can_look_through_is_not_passed_on() {
    let mut api = Api::new(|_| answer("200 OK", "Content-Encoding: gzip\r\n", "squeezed")).await;
    let mut scene = Scene::new(api.port);
    // Also where the server says nothing of what it takes, or wants a part only.
    let answer = scene.raw(scene.head("GET /", "Range: bytes=0-3\r\n")).await;
    assert_eq!((answer.status(), answer.code().as_str()), (502, "ANSWER_ENCODED"));
    assert!(!answer.text().contains("squeezed"), "{}", answer.text());
    assert_eq!(scene.event().await, ended(1, End::Heard), "it was carried out");
    let [asked] = &api.all().await[..] else { panic!("one request") };
    assert_eq!(
        (asked.message.all("accept-encoding"), asked.message.all("range")),
        (vec!["identity"], vec![])
    );
}

#[tokio::test]
async fn a_token_without_its_prefix_and_in_the_reason_is_seen_too() {
    let bare = "real-1-real-1-real-1";
    let status = format!("200 wai_sess_{bare}");
    let body = format!("of {bare}");
    let api = Api::new(move |_| answer(&status, "", &body)).await;
    let mut scene = Scene::new(api.port);
    scene.tokens.send_replace(Published::Token(TokenId(1), format!("wai_sess_{bare}").into()));
    let answer = scene.get("/").await;
    assert!(!answer.head.contains(bare), "{}", answer.head);
    assert_eq!(answer.text(), format!("of {STAND_IN}"));
    assert_eq!(scene.event().await, ended(1, End::Heard));
}
