//! What is read from texts, and what is written to them.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::ExposeSecret as _;

use super::*;
use crate::gateway::{random_path, stand_in};

#[test]
fn an_upstream_is_an_origin_and_perhaps_a_base() {
    for (text, origin, base) in [
        ("http://127.0.0.1:3100", "http://127.0.0.1:3100", ""),
        ("http://127.0.0.1:3100/", "http://127.0.0.1:3100", ""),
        ("HTTP://LocalHost:80/a/b/", "http://localhost", "/a/b"),
        ("https://api.example.com:8443/base", "https://api.example.com:8443", "/base"),
        ("https://[::1]:1", "https://[::1]:1", ""),
    ] {
        let upstream: Upstream = text.parse().unwrap();
        assert_eq!((upstream.origin(), upstream.base()), (origin, base), "{text}");
        assert_eq!(upstream.to_string(), format!("{origin}{base}"));
    }
}

#[test]
fn what_is_no_upstream_is_refused_with_words_that_say_what_is_one() {
    for (text, word) in [
        ("", "http://"),
        ("127.0.0.1:3100", "http://"),
        ("localhost:3100", "http://"),
        ("ftp://example.com", "http://"),
        ("http:example.com", "http://"),
        ("http://", "not a URL"),
        ("http://:80", "not a URL"),
        ("http://exa mple.com", "not a URL"),
        ("http://example.com:99999", "not a URL"),
        ("http://user@example.com", "user"),
        ("http://:pass@example.com", "user"),
        ("http://example.com?a", "`?`"),
        ("http://example.com/#a", "`?`"),
    ] {
        let error = text.parse::<Upstream>().unwrap_err().to_string();
        assert!(error.contains(word) && error.ends_with("https://api.example.com/base"), "{text}: {error}");
    }
}

#[test]
fn the_server_is_told_the_door_with_the_base_of_the_api() {
    let door = Door::open().unwrap();
    let upstream: Upstream = "https://api.example.com/base/".parse().unwrap();
    for (entrance, path) in
        [(Entrance::StandIn("x".into()), ""), (Entrance::Path("open-sesame".into()), "/open-sesame")]
    {
        let options = Options { upstream: upstream.clone(), entrance, ..options(1) };
        let expected = format!("http://127.0.0.1:{}{path}/base", door.port());
        assert_eq!(door.url(&options).expose_secret(), expected);
    }
}

#[test]
fn a_stand_in_is_shaped_like_a_token_without_an_end() {
    let now = Duration::from_millis(1_700_000_000_900);
    let made = stand_in("wai_sess_", now).unwrap();
    let jwt = made.expose_secret().strip_prefix("wai_sess_").unwrap();
    let parts: Vec<_> = jwt.split('.').map(|part| BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).collect();
    let [header, claims, signature] = &parts[..] else { panic!("{} parts", parts.len()) };
    let header: serde_json::Value = serde_json::from_slice(header).unwrap();
    assert_eq!(header, serde_json::json!({ "alg": "HS256", "typ": "JWT" }));
    let claims: serde_json::Value = serde_json::from_slice(claims).unwrap();
    let mut names: Vec<_> = claims.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["iat", "sessionId", "sub"], "no `exp`: it does not end");
    assert_eq!(claims["iat"], 1_700_000_000);
    assert!(claims["sub"].as_str().unwrap().len() == 32 && claims["sub"] == claims["sessionId"]);
    assert_eq!(signature.len(), 32);
    let other = stand_in("wai_sess_", now).unwrap();
    assert_ne!(made.expose_secret(), other.expose_secret());
    Auth::default().value(&made).expect("it can be written in a header");
}

#[test]
fn a_random_path_has_more_than_128_bit_and_needs_no_quoting() {
    let (one, other) = (random_path().unwrap(), random_path().unwrap());
    assert_ne!(one.expose_secret(), other.expose_secret());
    assert_eq!(BASE64_URL_SAFE_NO_PAD.decode(one.expose_secret()).unwrap().len(), 32);
}

#[tokio::test]
async fn no_secret_is_shown_by_debug() {
    let (id, secret) = token(7);
    let published = Published::Token(id, secret);
    let verdict = Verdict { request: RequestId(0), word: Word::Again(token(7).0, token(7).1) };
    let (_tokens, tokens) = watch::channel(published.clone());
    let (tell, _told) = mpsc::unbounded_channel();
    let (_verdicts, verdicts) = mpsc::unbounded_channel();
    let by_path = Options { entrance: Entrance::Path("open-sesame".into()), ..options(1) };
    let client = crate::http::client(None).unwrap();
    let (seen, _see) = mpsc::unbounded_channel();
    let ears = crate::gateway::Ears { tell: tell.clone(), seen: seen.clone() };
    let relay = crate::gateway::relay::Relay::new(1, by_path.clone(), client, tokens.clone(), ears);
    let (_probe, probes) = mpsc::unbounded_channel();
    let side = Side { tokens, tell, verdicts, seen, probes };
    let value = Auth::default().value(&token(7).1);
    let text = format!("{published:?} {verdict:?} {side:?} {by_path:?} {:?} {relay:?} {value:?}", options(1));
    for secret in ["real-7", "open-sesame", STAND_IN] {
        assert!(!text.contains(secret), "{text}");
    }
}
