//! What the daemon's answers are read as, and what is no answer of one. How it is asked is tested in `tests/it/setup.rs`.

use std::time::Duration;

use proptest::prelude::*;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use super::answer::{issued, provisioned, refusal, wallets};
use super::{BadAddress, Daemon, Expiry, Fault, Password, Wallet, Why};

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn wallet(id: &str, name: Option<&str>) -> Wallet {
    Wallet { id: id.to_owned(), name: name.map(str::to_owned), terminated: false }
}

#[test]
fn wallets_are_read_once_each_and_nameless_ones_too() {
    let body = json!({"items": [
        {"id": "a", "name": "Main", "chain": "solana"},
        {"id": "b"},
        {"id": "c", "name": ""},
        {"id": "d", "name": null},
        {"id": "a", "name": "Again"},
        {"id": "e", "name": " two\n\u{1b}[31m words\u{202e} "},
    ], "nextCursor": null});
    let read = [
        wallet("a", Some("Main")),
        wallet("b", None),
        wallet("c", None),
        wallet("d", None),
        wallet("e", Some("two [31m words")),
    ];
    assert_eq!(wallets(&bytes(&body)), Ok(read.to_vec()));
    assert_eq!(wallets(br#"{"items":[]}"#), Ok(Vec::new()));
}

#[test]
fn what_is_no_list_of_wallets_is_told() {
    for (body, why) in [
        (&b"<html>"[..], "no JSON"),
        (b"", "no JSON"),
        (b"[]", "no JSON object"),
        (b"null", "no JSON object"),
        (b"{}", "no list `items`"),
        (br#"{"items":{"id":"a"}}"#, "no list `items`"),
        (br#"{"items":["a"]}"#, "without a proper id"),
        (br#"{"items":[{"id":7}]}"#, "without a proper id"),
        (br#"{"items":[{"id":"a"},{"name":"b"}]}"#, "without a proper id"),
        (br#"{"items":[{"id":""}]}"#, "without a proper id"),
        (br#"{"items":[{"id":"a\u001b[2J"}]}"#, "without a proper id"),
    ] {
        let told = wallets(body).unwrap_err();
        assert!(told.contains(why), "{}: {told}", String::from_utf8_lossy(body));
    }
}

#[test]
fn a_session_is_read_in_both_forms() {
    for (body, session, expires) in [
        (json!({"id": "s", "token": "t", "expiresAt": 1_800_000_000}), Some("s"), Some(Some(1_800_000_000))),
        (
            json!({"sessionId": "s", "token": "t", "expiresAt": 1_800_000_000.9}),
            Some("s"),
            Some(Some(1_800_000_000)),
        ),
        (
            json!({"id": "s", "token": "t", "expiresAt": "2027-01-15T08:00:00.000Z"}),
            Some("s"),
            Some(Some(1_800_000_000)),
        ),
        (
            json!({"id": "s", "token": "t", "expiresAt": "2027-01-15T09:00:00+01:00"}),
            Some("s"),
            Some(Some(1_800_000_000)),
        ),
        (
            json!({"id": "s", "token": "t", "expiresAt": "2027-01-15T08:00:00"}),
            Some("s"),
            Some(Some(1_800_000_000)),
        ),
        (
            json!({"id": "s", "token": "t", "expiresAt": "20270115T080000Z"}),
            Some("s"),
            Some(Some(1_800_000_000)),
        ),
        (json!({"id": 7, "token": "t", "expiresAt": 0}), None, Some(None)),
        (json!({"token": "t", "expiresAt": null}), None, Some(None)),
        (json!({"token": "t"}), None, None),
    ] {
        let read = issued(&bytes(&body)).unwrap_or_else(|(why, _)| panic!("{body}: {why}"));
        assert_eq!(read.token.expose_secret(), "t");
        assert_eq!(read.session.as_deref(), session, "{body}");
        assert_eq!(read.expires.map(Expiry::seconds), expires, "{body}");
    }
}

#[test]
fn what_is_no_session_is_told_with_the_session_that_it_names() {
    for (body, why, session) in [
        (&b"<html>"[..], "no JSON", None),
        (br#"["id"]"#, "no JSON object", None),
        (br#"{"id":"s","expiresAt":0}"#, "no `token`", Some("s")),
        (br#"{"id":"s","token":"","expiresAt":0}"#, "no `token`", Some("s")),
        (br#"{"id":7,"token":42}"#, "no `token`", None),
        (br#"{"id":"s","token":"secret","expiresAt":"soon"}"#, "no time", Some("s")),
        (br#"{"id":"s","token":"secret","expiresAt":-1}"#, "no time", Some("s")),
        (br#"{"id":"s","token":"secret","expiresAt":1e300}"#, "no time", Some("s")),
        (br#"{"id":"s","token":"secret","expiresAt":true}"#, "no time", Some("s")),
        (br#"{"id":"s","token":"secret","expiresAt":"2027-02-30T00:00:00Z"}"#, "no time", Some("s")),
    ] {
        let (told, left) = issued(body).err().unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(body)));
        assert!(told.contains(why) && !told.contains("secret"), "{told}");
        assert_eq!(left.as_deref(), session);
    }
}

#[test]
fn what_the_daemon_has_written_is_read() {
    let body = json!({
        "walletId": "w", "walletName": "Main", "tokenPath": "/data/mcp-tokens/w", "expiresAt": 0,
        "claudeDesktopConfig": {}
    });
    let read = provisioned(&bytes(&body)).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!((read.name.as_deref(), read.expires), (Some("Main"), Some(Expiry::Never)));
    assert_eq!(read.file.to_str(), Some("/data/mcp-tokens/w"));
    for (body, why) in [
        (json!({}), "no `tokenPath`"),
        (json!({"tokenPath": 7}), "no `tokenPath`"),
        (json!({"tokenPath": "/a", "expiresAt": []}), "no time"),
    ] {
        assert!(provisioned(&bytes(&body)).unwrap_err().contains(why), "{body}");
    }
}

#[test]
fn a_refusal_is_read_flat_and_nested_and_without_any_form() {
    let limit =
        json!({"code": "SESSION_LIMIT_EXCEEDED", "message": "Too many\n\u{7}sessions", "hint": "revoke one"});
    for body in [limit.clone(), json!({ "error": limit })] {
        let told = Fault { what: "open a session", why: refusal(403, &bytes(&body)), left: None };
        assert_eq!(
            told.to_string(),
            "open a session: the daemon refuses: Too many sessions (403 SESSION_LIMIT_EXCEEDED)"
        );
        assert!(matches!(told.why, Why::Refused { hint: Some(hint), .. } if hint == "revoke one"));
    }
    for (status, body, why) in [
        (401, json!({"code": "INVALID_MASTER_PASSWORD", "message": "no"}), "the master password is wrong"),
        (403, json!({"error": {"code": "INVALID_MASTER_PASSWORD"}}), "the master password is wrong"),
        (401, json!("go away"), "the master password is wrong"),
        (401, json!({"code": "SOMETHING_ELSE"}), "the daemon refuses: SOMETHING_ELSE (401)"),
        (404, json!({"code": "WALLET_NOT_FOUND", "message": "no"}), "no such wallet"),
        (404, json!({"message": "no route"}), "the daemon refuses: no route (404)"),
        (500, json!({"code": 7, "message": []}), "the daemon refuses: 500"),
    ] {
        let told = refusal(status, &bytes(&body)).to_string();
        assert!(told.ends_with(why), "{body}: {told}");
    }
    assert_eq!(refusal(502, b"<html>Bad gateway</html>").to_string(), "the daemon refuses: 502");
    let long = json!({"code": "A", "message": "x".repeat(10_000)});
    assert!(refusal(400, &bytes(&long)).to_string().len() < 600);
}

#[test]
fn a_session_that_is_gone_is_as_good_as_revoked() {
    let fault = |code: &str| {
        let why = refusal(404, &bytes(&json!({ "code": code })));
        Fault { what: "revoke the session", why, left: None }
    };
    assert!(fault("SESSION_NOT_FOUND").is_gone() && fault("SESSION_REVOKED").is_gone());
    assert!(!fault("NOT_FOUND").is_gone());
}

#[test]
fn an_end_is_told_in_words() {
    for (value, told) in [
        (json!(0), "until it is revoked"),
        (json!(1_800_000_000), "until 2027-01-15 08:00:00 UTC"),
        (json!("2027-01-15T09:00:00+01:00"), "until 2027-01-15 08:00:00 UTC"),
    ] {
        assert_eq!(Expiry::read(&value).map(|end| end.to_string()).as_deref(), Some(told), "{value}");
    }
    assert_eq!(Expiry::from_epoch(Duration::from_secs(1_800_000_000)).seconds(), Some(1_800_000_000));
    assert_eq!(Expiry::from_epoch(Duration::MAX), Expiry::Never);
}

fn daemon(address: &str) -> Result<Daemon, BadAddress> {
    let client = crate::http::client(None).unwrap_or_else(|fault| panic!("{fault}"));
    Daemon::new(client, address)
}

#[test]
fn an_address_is_taken_with_its_path_and_without_secrets() {
    for (address, shown, overheard) in [
        ("http://127.0.0.1:3100", "http://127.0.0.1:3100", false),
        (" http://127.0.0.1:3100/ ", "http://127.0.0.1:3100", false),
        ("HTTP://LOCALHOST:3100/api/", "http://localhost:3100/api", false),
        ("http://[::1]:3100", "http://[::1]:3100", false),
        ("http://a.localhost", "http://a.localhost", false),
        ("http://10.0.0.7:3100", "http://10.0.0.7:3100", true),
        ("http://wallet.example", "http://wallet.example", true),
        ("http://localhost.example", "http://localhost.example", true),
        ("https://wallet.example", "https://wallet.example", false),
    ] {
        let daemon = daemon(address).unwrap_or_else(|bad| panic!("{address}: {bad}"));
        assert_eq!((daemon.address(), daemon.is_overheard()), (shown, overheard), "{address}");
    }
    for (address, bad) in [
        ("127.0.0.1:3100", BadAddress::Scheme),
        ("", BadAddress::Scheme),
        ("http:127.0.0.1", BadAddress::Scheme),
        ("unix:///run/daemon", BadAddress::Scheme),
        ("http://", BadAddress::Malformed),
        ("http://127.0.0.1:99999", BadAddress::Malformed),
        ("http://me:sesame@127.0.0.1", BadAddress::User),
        ("http://127.0.0.1/?key=sesame", BadAddress::Tail),
        ("http://127.0.0.1/#a", BadAddress::Tail),
    ] {
        assert_eq!(daemon(address).err(), Some(bad), "{address}");
        assert!(!bad.to_string().contains("sesame"));
    }
}

#[test]
fn a_password_is_what_a_header_can_carry() {
    for (text, fits) in [("a b", true), ("pässwörd", true), ("", true), ("a\nb", false), ("a\0b", false)] {
        assert_eq!(Password::new(&SecretString::from(text)).is_some(), fits, "{text:?}");
    }
}

proptest! {
    #[test]
    fn no_answer_makes_the_readers_panic(body in ".{0,200}", status in 200_u16..600) {
        let _ = (wallets(body.as_bytes()), issued(body.as_bytes()).is_ok(), provisioned(body.as_bytes()));
        let _ = refusal(status, body.as_bytes());
    }

    #[test]
    fn no_time_makes_the_reader_panic(seconds in any::<f64>(), text in "[0-9TZ:+.-]{0,30}") {
        for value in [json!(seconds), json!(text)] {
            let _ = Expiry::read(&value).map(|end| (end.to_string(), end.seconds()));
        }
    }
}
