//! Answers that speak of the session: told, and repeated only by a verdict.

use std::fmt::Write as _;

use super::*;
use crate::engine::io::Now;
use crate::engine::lease::io::{Act, Cause, Claims, Found, Standing, Token};
use crate::engine::lease::{Lease, Options as LeaseOptions};

/// An API for which only this token is good.
async fn api_of(good: u32) -> Api {
    Api::new(move |seen| {
        if seen.token() == format!("Bearer wai_sess_real-{good}") {
            ok("done")
        } else {
            error("401 Unauthorized", "TOKEN_EXPIRED")
        }
    })
    .await
}

#[tokio::test]
async fn a_refused_request_is_repeated_once_with_the_token_of_its_verdict() {
    let mut api = api_of(2).await;
    let mut scene = Scene::new(api.port);
    let body = r#"{"to":"0x1"}"#;
    let headers = format!("X-Many: 1\r\nX-Many: 2\r\nContent-Length: {}\r\n", body.len());
    let request = scene.head("PUT /v1/send?a=b", &headers) + body;
    let mut wire = Wire::connect(scene.port).await;
    wire.write(request).await;
    let first = api.next().await.message;
    let event = scene.event().await;
    let Event::Refused { request, token: TokenId(1), certain: true } = event else { panic!("{event:?}") };
    assert!(api.all().await.is_empty(), "it waits for its verdict");
    assert!(wire.buffer.is_empty());
    scene.settle(request, Some(2));
    let answer = wire.message(true).await.unwrap();
    assert_eq!((answer.status(), answer.text().as_str()), (200, "done"));
    let second = api.next().await.message;
    assert_eq!((first.line(), &first.body), (second.line(), &second.body));
    let changed = |message: &Message| message.head.replace("real-1", "real-2");
    assert_eq!(changed(&first), second.head, "nothing but the token differs");
    // The first attempt is told by its refusal alone.
    assert_eq!(scene.events(), [ended(2, End::Heard)]);
    assert!(api.all().await.is_empty());
}

#[tokio::test]
async fn without_another_token_the_401_goes_back_as_it_is() {
    let mut api = api_of(2).await;
    let mut scene = Scene::new(api.port);
    let mut wire = Wire::connect(scene.port).await;
    wire.write(scene.head("GET /", "")).await;
    let request = scene.refused().await;
    assert!(scene.events().is_empty());
    scene.settle(request, None);
    let answer = wire.message(true).await.unwrap();
    assert_eq!((answer.status(), answer.text().contains("TOKEN_EXPIRED")), (401, true));
    assert_eq!(scene.events(), [ended(1, End::Refused)]);
    assert_eq!(api.all().await.len(), 1);
}

#[tokio::test]
async fn a_second_401_goes_back_as_it_is_and_there_is_never_a_third_request() {
    let mut api = api_of(9).await;
    let mut scene = Scene::new(api.port);
    for round in 0..3 {
        let mut wire = Wire::connect(scene.port).await;
        wire.write(scene.head("GET /", "")).await;
        let request = scene.refused().await;
        assert_eq!(request, RequestId(round), "each has a number of its own");
        scene.settle(request, Some(2));
        // One too many, which nobody waits for.
        scene.settle(request, Some(9));
        assert_eq!(wire.message(true).await.unwrap().status(), 401);
        assert_eq!(scene.events(), [ended(2, End::Refused)]);
        assert_eq!(api.all().await.len(), 2);
    }
}

#[tokio::test]
async fn what_a_repetition_comes_to_is_told_whatever_it_is() {
    for (second, status, end) in [
        (error("401 Unauthorized", "INVALID_MASTER_PASSWORD"), 401, End::Unrelated),
        (error("503 Service Unavailable", "SYSTEM_LOCKED"), 503, End::Locked),
        (error("500 Internal Server Error", "X"), 500, End::Heard),
        (Reaction::Last(String::new()), 502, End::Unreachable),
    ] {
        let second = std::sync::Mutex::new(Some(second));
        let mut api = Api::new(move |seen| {
            if seen.token().ends_with('1') {
                error("401 Unauthorized", "INVALID_TOKEN")
            } else {
                second.lock().unwrap().take().unwrap()
            }
        })
        .await;
        let mut scene = Scene::new(api.port);
        let mut wire = Wire::connect(scene.port).await;
        wire.write(scene.head("GET /", "")).await;
        let request = scene.refused().await;
        scene.settle(request, Some(2));
        assert_eq!(wire.message(true).await.unwrap().status(), status);
        assert_eq!(scene.events(), [ended(2, end)]);
        assert_eq!(api.all().await.len(), 2);
    }
}

#[tokio::test]
async fn only_some_codes_speak_of_the_session() {
    let long = format!(r#"{{"code":"OTHER","message":"{}"}}"#, "x".repeat(70_000));
    for (body, speaks) in [
        (r#"{"code":"INVALID_TOKEN"}"#, true),
        (r#"{"code":"TOKEN_EXPIRED"}"#, true),
        (r#"{"code":"SESSION_REVOKED"}"#, true),
        (r#"{"error":{"code":"TOKEN_EXPIRED"}}"#, true),
        ("", true),
        ("Unauthorized", true),
        (r#"{"code":"OTHER""#, true),
        (r#"{"code":7}"#, true),
        (r#"["OTHER"]"#, true),
        (r#"{"error":"unauthorized"}"#, true),
        (&long, true),
        (r#"{"code":"OTHER"}"#, false),
        (r#"{"code":"invalid_token"}"#, false),
        (r#"{"code":"a word, and another"}"#, false),
        (r#"{"error":{"code":"INVALID_MASTER_PASSWORD"}}"#, false),
        (r#"{"code":"","error":{"code":"TOKEN_EXPIRED"}}"#, false),
    ] {
        let text = body.to_owned();
        let api = Api::new(move |_| answer("401 Unauthorized", "X-It: is\r\n", &text)).await;
        let mut scene = Scene::new(api.port);
        let mut wire = Wire::connect(scene.port).await;
        wire.write(scene.head("GET /", "")).await;
        if speaks {
            let request = scene.refused().await;
            scene.settle(request, None);
        }
        let answer = wire.message(true).await.unwrap();
        assert_eq!((answer.status(), answer.all("x-it"), answer.text().as_str()), (401, vec!["is"], body));
        let end = if speaks { End::Refused } else { End::Unrelated };
        assert_eq!(scene.events(), [ended(1, end)], "{body}");
    }
}

#[tokio::test]
async fn the_kill_switch_is_told_but_not_when_the_host_was_wrong() {
    let about_the_host = r#"{"code":"SYSTEM_LOCKED","message":"Only Localhost Access is allowed"}"#;
    for (status, body, end) in [
        ("503 Service Unavailable", r#"{"code":"SYSTEM_LOCKED"}"#, End::Locked),
        ("503 Service Unavailable", r#"{"code":"KILL_SWITCH_ACTIVE"}"#, End::Locked),
        ("503 Service Unavailable", r#"{"error":{"code":"KILL_SWITCH_ACTIVE"}}"#, End::Locked),
        ("409 Conflict", r#"{"code":"KILL_SWITCH_ACTIVE"}"#, End::Locked),
        ("409 Conflict", r#"{"code":"SYSTEM_LOCKED"}"#, End::Heard),
        ("409 Conflict", r#"{"code":"OTHER"}"#, End::Heard),
        ("503 Service Unavailable", about_the_host, End::Heard),
        ("503 Service Unavailable", "SYSTEM_LOCKED", End::Heard),
        ("503 Service Unavailable", r#"{"code":"TOKEN_EXPIRED"}"#, End::Heard),
        ("403 Forbidden", r#"{"code":"TOKEN_EXPIRED"}"#, End::Heard),
        ("200 OK", r#"{"code":"SYSTEM_LOCKED"}"#, End::Heard),
        ("500 Internal Server Error", r#"{"code":"SYSTEM_LOCKED"}"#, End::Heard),
    ] {
        let api = Api::new(move |_| answer(status, "", body)).await;
        let mut scene = Scene::new(api.port);
        let answer = scene.get("/").await;
        assert_eq!((answer.line(), answer.text().as_str()), (&*format!("HTTP/1.1 {status}"), body));
        assert_eq!(scene.events(), [ended(1, end)], "{status} {body}");
    }
}

#[tokio::test]
async fn a_body_of_1_mib_may_be_repeated_and_a_longer_or_chunked_one_is_not() {
    let mib = 1 << 20;
    let whole = |length: usize| (format!("Content-Length: {length}\r\n"), vec![b'x'; length]);
    let chunked = ("Transfer-Encoding: chunked\r\n".to_owned(), b"1\r\nx\r\n0\r\n\r\n".to_vec());
    for ((headers, body), repeatable) in [(whole(mib), true), (whole(mib + 1), false), (chunked, false)] {
        let mut api = api_of(2).await;
        let mut scene = Scene::new(api.port);
        let mut wire = Wire::connect(scene.port).await;
        wire.write(scene.head("POST /", &headers)).await;
        wire.write(&body).await;
        if repeatable {
            let request = scene.refused().await;
            scene.settle(request, Some(2));
        }
        let status = wire.message(true).await.unwrap().status();
        let (expected, events) =
            if repeatable { (200, ended(2, End::Heard)) } else { (401, ended(1, End::Refused)) };
        assert_eq!((status, scene.events()), (expected, vec![events]));
        let seen = api.all().await;
        assert_eq!(seen.len(), if repeatable { 2 } else { 1 });
        let length = if body.len() < 100 { 1 } else { body.len() };
        assert!(seen.iter().all(|seen| seen.message.body.len() == length));
    }
}

#[tokio::test]
async fn a_verdict_is_waited_for_but_not_for_ever() {
    let mut api = api_of(2).await;
    let mut scene = Scene::new(api.port);
    let mut wire = Wire::connect(scene.port).await;
    wire.write(scene.head("GET /", "")).await;
    let request = scene.refused().await;
    tokio::time::pause();
    let asked = tokio::time::Instant::now();
    let answer = wire.message(true).await.unwrap();
    assert_eq!(answer.status(), 401);
    assert!(asked.elapsed() >= Duration::from_secs(9), "{:?}", asked.elapsed());
    tokio::time::resume();
    assert_eq!(scene.events(), [ended(1, End::Refused)]);
    // What comes too late changes nothing, and harms nobody.
    scene.settle(request, Some(2));
    scene.tokens.send_replace(Published::Token(token(2).0, token(2).1));
    assert_eq!(scene.get("/").await.status(), 200);
    assert_eq!(api.all().await.len(), 2);
}

#[tokio::test]
async fn without_anybody_who_could_give_a_verdict_nobody_waits() {
    let api = api_of(2).await;
    let mut scene = Scene::new(api.port);
    let mut wire = Wire::connect(scene.port).await;
    wire.write(scene.head("GET /", "")).await;
    scene.refused().await;
    scene.verdicts = None;
    assert_eq!(wire.message(true).await.unwrap().status(), 401, "who waits is let go");
    assert_eq!(scene.get("/").await.status(), 401, "and nobody begins to");
    assert_eq!(scene.events(), [ended(1, End::Refused), ended(1, End::Refused)]);
    scene.told.close();
    assert_eq!(scene.get("/").await.status(), 401, "nor where nobody listens");
}

#[tokio::test]
async fn many_wait_at_once_and_each_gets_its_own_verdict() {
    let mut api = api_of(2).await;
    let mut scene = Scene::new(api.port);
    let mut wires = Vec::new();
    for number in 0..20 {
        let mut wire = Wire::connect(scene.port).await;
        wire.write(scene.head(&format!("GET /{number}"), "")).await;
        // In their order, so that a request can be told from its number.
        wires.push((scene.refused().await, wire));
    }
    api.all().await;
    for (request, _) in wires.iter().rev() {
        scene.settle(*request, request.0.is_multiple_of(2).then_some(2));
    }
    for (request, wire) in &mut wires {
        let expected = if request.0.is_multiple_of(2) { 200 } else { 401 };
        assert_eq!(wire.message(true).await.unwrap().status(), expected, "{request:?}");
    }
    assert_eq!(api.all().await.len(), 10);
}

#[tokio::test]
async fn whoever_leaves_while_the_verdict_is_awaited_is_not_repeated() {
    let mut api = api_of(2).await;
    let mut scene = Scene::new(api.port);
    let mut wire = Wire::connect(scene.port).await;
    wire.write(scene.head("POST /", "Content-Length: 1\r\n") + "x").await;
    let request = scene.refused().await;
    drop(wire);
    quiet().await;
    scene.settle(request, Some(2));
    assert_eq!(api.all().await.len(), 1);
    assert_eq!(scene.events(), [ended(1, End::Left)]);
}

#[tokio::test]
async fn an_answer_is_told_before_its_first_byte_is_handed_on() {
    let (listener, port) = listen().await;
    let mut scene = Scene::new(port);
    let mut wire = Wire::connect(scene.port).await;
    wire.write(scene.head("GET /", "")).await;
    let mut api = Wire::new(within(listener.accept()).await.unwrap().0);
    api.message(true).await.unwrap();
    // The head alone, and no end of the body.
    api.write("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n").await;
    assert!(wire.fill().await);
    assert_eq!(scene.events(), [ended(1, End::Heard)]);
    assert!(wire.buffer.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn an_answer_that_is_read_ahead_is_passed_on_whole() {
    let long = format!(r#"{{"message":"{}","code":"OTHER"}}"#, "x".repeat(300_000));
    let mut chunks = String::new();
    for chunk in long.as_bytes().chunks(7000) {
        write!(chunks, "{:x}\r\n{}\r\n", chunk.len(), str::from_utf8(chunk).unwrap()).unwrap();
    }
    for headers in ["transfer-encoding: chunked", "content-length"] {
        let text = if headers == "content-length" {
            format!("HTTP/1.1 409 Conflict\r\ncontent-length: {}\r\n\r\n{long}", long.len())
        } else {
            format!("HTTP/1.1 409 Conflict\r\n{headers}\r\n\r\n{chunks}0\r\n\r\n")
        };
        let api = Api::new(move |_| Reaction::Answer(text.clone())).await;
        let mut scene = Scene::new(api.port);
        let answer = scene.get("/").await;
        assert_eq!((answer.status(), answer.text() == long), (409, true));
        assert_eq!(scene.events(), [ended(1, End::Heard)]);
    }
}

#[tokio::test]
async fn a_body_that_is_slow_to_say_what_it_means_is_handed_on_after_5_s() {
    let (listener, port) = listen().await;
    let mut scene = Scene::new(port);
    let mut wire = Wire::connect(scene.port).await;
    wire.write(scene.head("GET /", "")).await;
    let mut api = Wire::new(within(listener.accept()).await.unwrap().0);
    api.message(true).await.unwrap();
    api.write("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 24\r\n\r\n{\"code\":\"").await;
    tokio::time::pause();
    let asked = tokio::time::Instant::now();
    let head = wire.until("{\"code\":\"").await.unwrap();
    assert!(head.starts_with("HTTP/1.1 503") && asked.elapsed() >= Duration::from_secs(4));
    tokio::time::resume();
    assert_eq!(scene.events(), [ended(1, End::Heard)]);
    api.write("SYSTEM_LOCKED\"}").await;
    assert_eq!(wire.exactly(15).await, b"SYSTEM_LOCKED\"}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_while_it_is_read_ahead_breaks_off_on_the_other_side() {
    let half = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 99\r\n\r\n{\"code\":\"OTH";
    let api = Api::new(move |_| Reaction::Last(half.into())).await;
    let mut scene = Scene::new(api.port);
    let mut wire = Wire::connect(scene.port).await;
    wire.write(scene.head("GET /", "")).await;
    // No code can be read in it: it speaks of the session, as far as can be known.
    let request = scene.refused().await;
    scene.settle(request, None);
    let text = String::from_utf8(wire.rest().await).unwrap();
    assert!(text.starts_with("HTTP/1.1 401") && text.ends_with("{\"code\":\"OTH"), "{text}");
}

#[tokio::test]
async fn a_request_waits_until_it_is_known_whether_there_is_a_token() {
    let mut api = Api::new(|_| ok("in")).await;
    let mut scene = Scene::new(api.port);
    scene.tokens.send_replace(Published::Unknown);
    let mut wire = Wire::connect(scene.port).await;
    wire.write(scene.head("GET /", "")).await;
    assert!(api.all().await.is_empty());
    let (id, secret) = token(3);
    scene.tokens.send_replace(Published::Token(id, secret));
    assert_eq!(wire.message(true).await.unwrap().status(), 200);
    assert_eq!(api.next().await.token(), "Bearer wai_sess_real-3");
    assert_eq!(scene.events(), [ended(3, End::Heard)]);

    scene.tokens.send_replace(Published::Unknown);
    tokio::time::pause();
    let asked = tokio::time::Instant::now();
    let answer = scene.get("/").await;
    assert_eq!((answer.status(), answer.code()), (401, "INVALID_TOKEN".into()));
    assert!(asked.elapsed() >= Duration::from_secs(4));
    tokio::time::resume();
    assert!(api.all().await.is_empty());
    assert_eq!(scene.events(), [Event::Lacked]);
}

#[tokio::test]
async fn without_a_token_nothing_is_asked() {
    let mut api = Api::new(|_| ok("in")).await;
    let mut scene = Scene::new(api.port);
    let unusable = Published::Token(TokenId(4), "two\r\nlines: 1".into());
    for published in [Published::Nothing, unusable] {
        scene.tokens.send_replace(published);
        let answer = scene.post("/", "{}").await;
        assert_eq!((answer.status(), answer.code()), (401, "INVALID_TOKEN".into()));
    }
    assert!(api.all().await.is_empty());
    assert_eq!(scene.events(), [Event::Lacked, Event::Lacked]);
    let (id, secret) = token(2);
    scene.tokens.send_replace(Published::Token(id, secret));
    assert_eq!(scene.get("/").await.status(), 200);
    assert_eq!(api.next().await.token(), "Bearer wai_sess_real-2");
}

#[test]
fn a_refusal_that_is_told_once_more_after_its_verdict_changes_nothing() {
    let mut now = Now { mono: Duration::ZERO, wall: Duration::from_secs(1_000_000) };
    let mut lease = Lease::new(LeaseOptions { renew_at: None, seed: 1 }, now);
    let drain = |lease: &mut Lease| std::iter::from_fn(|| lease.poll()).collect::<Vec<_>>();
    let found = Found::Token(Token { id: TokenId(1), claims: Claims::default() });
    drain(&mut lease);
    let look = |look| Event::Found { look: Some(look), file: found.clone(), environment: Found::Nothing };
    lease.handle(now, look(1));
    lease.handle(now, Event::Refused { request: RequestId(0), token: TokenId(1), certain: true });
    drain(&mut lease);
    now.mono = Duration::from_secs(1);
    lease.handle(now, Event::Timer);
    let acts = drain(&mut lease);
    let [Act::Look(number)] = acts[..] else { panic!("{acts:?}") };
    lease.handle(now, look(number));
    assert!(drain(&mut lease).contains(&Act::Verdict(RequestId(0), None)));
    assert_eq!(lease.standing(), Standing::Expired(Cause::Request));
    lease.handle(now, ended(1, End::Refused));
    assert_eq!(drain(&mut lease), []);
    assert_eq!(lease.standing(), Standing::Expired(Cause::Request));
}

#[tokio::test]
async fn where_an_api_forgets_sessions_one_that_is_not_found_is_over() {
    let api = Api::new(|seen| match seen.message.line() {
        "GET /v1/other HTTP/1.1" => error("404 Not Found", "NOT_FOUND"),
        _ => error("404 Not Found", "SESSION_NOT_FOUND"),
    })
    .await;
    let mut scene = Scene::new(api.port);
    let mut wire = Wire::connect(scene.port).await;
    wire.write(scene.head("GET /v1/wallet/balance", "")).await;
    let request = scene.refused().await;
    scene.settle(request, None);
    assert!(wire.message(true).await.unwrap().text().contains("SESSION_NOT_FOUND"));
    assert_eq!(scene.event().await, ended(1, End::Refused));
    // Another thing, or another session, may be what is not found.
    for path in ["/v1/other", "/v1/sessions/s-2/keys"] {
        scene.get(path).await;
        assert_eq!(scene.event().await, ended(1, End::Heard), "{path}");
    }
    let options = Options { forgets_sessions: false, ..options(api.port) };
    let mut scene = Scene::with(options, crate::http::client(None).unwrap());
    scene.get("/v1/wallet/balance").await;
    assert_eq!(scene.event().await, ended(1, End::Heard));
}
