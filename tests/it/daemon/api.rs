//! What the daemon answers when nothing is wrong: sessions, the rules of renewal, administration, and the shape of it all.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::daemon::{Daemon, OTHER_WALLET, WALLET, fingerprint};

const YEAR: u64 = 31_536_000;

/// What a token says of itself.
fn claims(token: &str) -> Value {
    let jwt = token.strip_prefix("wai_sess_").expect("it has the prefix");
    let parts: Vec<&str> = jwt.split('.').collect();
    assert_eq!(parts.len(), 3, "{jwt}");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(parts[1]).expect("it is base64")).expect("it is JSON")
}

#[test]
fn it_ends_with_its_stdin_and_says_one_line() {
    let daemon = Daemon::start();
    assert_eq!(daemon.send("GET", "/health", &[], None).unwrap().body["status"], "ok");
    assert_eq!(daemon.finish(), (String::new(), true));
}

#[test]
fn a_renewal_swaps_the_tokens_at_once() {
    let daemon = Daemon::start();
    let old = daemon.ripe();
    assert_eq!(daemon.balance(&old.token).status, 200);
    let renewed = daemon.renew(&old.id, &old.token);
    assert_eq!(renewed.status, 200, "{}", renewed.body);
    assert_eq!((&renewed.body["id"], &renewed.body["renewalCount"]), (&json!(old.id), &json!(1)));
    let new = renewed.body["token"].as_str().expect("it has a token");
    assert_eq!(daemon.balance(new).status, 200);
    assert_eq!(daemon.balance(&old.token).refusal(), (401, "INVALID_TOKEN"));
    assert_eq!(daemon.renew(&old.id, &old.token).refusal(), (403, "SESSION_RENEWAL_MISMATCH"));
    // The new one lives as long as the old one did, from now on.
    let (before, after) = (claims(&old.token), claims(new));
    let life = |claims: &Value| claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
    assert_eq!((life(&before), life(&after)), (3600, 3600));
    assert!(after["iat"].as_u64() >= before["iat"].as_u64().map(|at| at + 2400), "{before} {after}");
    assert_eq!((&before["sub"], &after["sub"]), (&json!(old.id), &json!(old.id)));
    assert_eq!(renewed.body["expiresAt"], after["exp"]);
}

#[test]
fn the_rules_of_renewal_hold_in_their_order() {
    let daemon = Daemon::start();
    // Each session breaks the rule that it is named for and, where it can, all later ones.
    let young = daemon.session(&json!({"ttl_ms": 3_600_000, "age_ms": 1_700_000}));
    assert_eq!(daemon.renew(&young.id, &young.token).refusal(), (403, "RENEWAL_TOO_EARLY"));
    let over = daemon.session(&json!({"ttl_ms": 3_600_000, "lifetime_ms": 0}));
    assert_eq!(daemon.renew(&over.id, &over.token).refusal(), (403, "SESSION_ABSOLUTE_LIFETIME_EXCEEDED"));
    let spent = daemon.session(&json!({"ttl_ms": 3_600_000, "lifetime_ms": 0, "max_renewals": 0}));
    assert_eq!(daemon.renew(&spent.id, &spent.token).refusal(), (403, "RENEWAL_LIMIT_REACHED"));
    let endless = daemon.session(&json!({"max_renewals": 0, "lifetime_ms": 0}));
    assert_eq!(daemon.renew(&endless.id, &endless.token).refusal(), (400, "RENEWAL_NOT_REQUIRED"));
    assert_eq!(claims(&endless.token).get("exp"), None);
    assert_eq!(daemon.renew(&young.id, &endless.token).refusal(), (403, "SESSION_RENEWAL_MISMATCH"));
    assert_eq!(daemon.renew("nobody", &endless.token).refusal(), (404, "SESSION_NOT_FOUND"));
    let rotated = daemon.rotate(&endless.id, false);
    assert_eq!(daemon.renew(&endless.id, &endless.token).refusal(), (403, "SESSION_RENEWAL_MISMATCH"));
    daemon.revoke(&endless.id);
    assert_eq!(daemon.renew("nobody", &rotated.token).refusal(), (401, "SESSION_REVOKED"));
    daemon.forget(&young.id);
    assert_eq!(daemon.renew(&young.id, &young.token).refusal(), (404, "SESSION_NOT_FOUND"));
    let expired = daemon.session(&json!({"ttl_ms": 3_600_000, "age_ms": 3_700_000}));
    daemon.revoke(&expired.id);
    assert_eq!(daemon.renew(&expired.id, &expired.token).refusal(), (401, "TOKEN_EXPIRED"));
    let (signed, _) = expired.token.rsplit_once('.').expect("it has three parts");
    let (_, signature) = young.token.rsplit_once('.').expect("it has three parts");
    let forged = format!("{signed}.{signature}");
    for junk in [forged.as_str(), "wai_sess_", "wai_sess_a.b.c", "", &young.token["wai_sess_".len()..]] {
        assert_eq!(daemon.renew(&young.id, junk).refusal(), (401, "INVALID_TOKEN"), "{junk}");
    }
    // None of that has made a token: the one there was is the test's own.
    let state = daemon.state();
    let renewals = state["sessions"].as_array().expect("there are some").iter();
    assert_eq!(renewals.filter_map(|session| session["renewals"].as_u64()).sum::<u64>(), 1);
}

#[test]
fn calls_are_refused_as_renewals_are() {
    let daemon = Daemon::start();
    let session = daemon.session(&json!({}));
    assert_eq!(daemon.balance(&session.token).body["walletId"], WALLET);
    assert_eq!(daemon.balance("junk").refusal(), (401, "INVALID_TOKEN"));
    assert_eq!(daemon.send("GET", "/v1/events", &[], None).unwrap().refusal(), (401, "INVALID_TOKEN"));
    let expired = daemon.session(&json!({"ttl_ms": 1000, "age_ms": 1000}));
    assert_eq!(daemon.balance(&expired.token).refusal(), (401, "TOKEN_EXPIRED"));
    let new = daemon.rotate(&session.id, false);
    assert_eq!(daemon.balance(&session.token).refusal(), (401, "INVALID_TOKEN"));
    assert_eq!(daemon.balance(&new.token).status, 200);
    daemon.revoke(&session.id);
    assert_eq!(daemon.balance(&new.token).refusal(), (401, "SESSION_REVOKED"));
    daemon.forget(&session.id);
    assert_eq!(daemon.balance(&new.token).refusal(), (404, "SESSION_NOT_FOUND"));
}

#[test]
fn a_limit_of_renewals_and_a_last_day_are_kept() {
    let daemon = Daemon::start();
    let session = daemon.session(
        &json!({"ttl_ms": 3_600_000, "age_ms": 2_400_000, "max_renewals": 1, "lifetime_ms": 600_000}),
    );
    let renewed = daemon.renew(&session.id, &session.token).body;
    assert_eq!(renewed["maxRenewals"], 1);
    // It would live for an hour, and ends with its session.
    assert_eq!(renewed["expiresAt"], renewed["absoluteExpiresAt"]);
    let token = renewed["token"].as_str().expect("it has a token");
    assert_eq!(claims(token)["exp"], renewed["expiresAt"]);
    let opened = claims(&session.token)["iat"].as_u64().expect("it is a number") + 2400;
    assert_eq!(renewed["expiresAt"], opened + 600);
    assert_eq!(daemon.renew(&session.id, token).refusal(), (403, "RENEWAL_LIMIT_REACHED"));
}

#[test]
fn no_two_tokens_of_a_session_are_alike() {
    let daemon = Daemon::start();
    let session = daemon.session(&json!({}));
    let mut tokens: Vec<String> = (0..5).map(|_| daemon.rotate(&session.id, false).token).collect();
    tokens.push(session.token);
    tokens.sort();
    tokens.dedup();
    assert_eq!(tokens.len(), 6);
}

#[test]
fn sessions_are_opened_and_revoked_with_the_master_password() {
    let daemon = Daemon::with("--max-sessions 2");
    let wallets = daemon.admin("GET", "/v1/wallets", None).body;
    let (one, other) = (
        json!({"id": WALLET, "name": "My Wallet", "status": "ACTIVE"}),
        json!({"id": OTHER_WALLET, "status": "ACTIVE"}),
    );
    assert_eq!(wallets, json!({"items": [one, other]}));
    for (method, path) in [
        ("GET", "/v1/wallets"),
        ("POST", "/v1/sessions"),
        ("POST", "/v1/mcp/tokens"),
        ("DELETE", "/v1/sessions/a"),
    ] {
        for headers in [&[][..], &[("X-Master-Password", "wrong")]] {
            let answer = daemon.send(method, path, headers, Some(b"{}")).unwrap();
            assert_eq!(answer.refusal(), (401, "INVALID_MASTER_PASSWORD"), "{path}");
        }
    }
    let open = |body: Value| daemon.admin("POST", "/v1/sessions", Some(&body));
    let opened = open(json!({"walletId": WALLET, "ttl": 300, "maxRenewals": 3, "absoluteLifetime": 900}));
    assert_eq!(opened.status, 201, "{}", opened.body);
    let token = opened.body["token"].as_str().expect("it has a token");
    assert_eq!(daemon.balance(token).status, 200);
    let claims = claims(token);
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 300);
    assert_eq!((&claims["sub"], &claims["exp"]), (&opened.body["id"], &opened.body["expiresAt"]));
    for ttl in [json!(299), json!(YEAR + 1), json!(-1), json!("300"), json!(0)] {
        let answer = open(json!({"walletId": WALLET, "ttl": ttl}));
        assert_eq!(answer.refusal(), (400, "ACTION_VALIDATION_FAILED"), "{ttl}");
    }
    assert_eq!(open(json!({"walletId": "nobody"})).refusal(), (404, "WALLET_NOT_FOUND"));
    assert_eq!(open(json!({"walletId": WALLET, "ttl": YEAR})).status, 201);
    assert_eq!(open(json!({"walletId": WALLET})).refusal(), (403, "SESSION_LIMIT_EXCEEDED"));
    let unlimited = open(json!({"walletId": OTHER_WALLET})).body;
    assert_eq!(unlimited["expiresAt"], 0);
    let session = format!("/v1/sessions/{}", opened.body["id"].as_str().unwrap());
    for _ in 0..2 {
        let answer = daemon.admin("DELETE", &session, None);
        assert_eq!((answer.status, &answer.body["status"]), (200, &json!("REVOKED")));
    }
    assert_eq!(daemon.balance(token).refusal(), (401, "SESSION_REVOKED"));
    assert_eq!(open(json!({"walletId": WALLET})).status, 201, "a revoked session counts no more");
    let nobody = daemon.admin("DELETE", "/v1/sessions/nobody", None);
    assert_eq!(nobody.refusal(), (404, "SESSION_NOT_FOUND"));
}

#[test]
fn the_token_file_is_written_and_the_token_not_told() {
    let daemon = Daemon::start();
    let body = json!({"walletId": WALLET, "expiresIn": 86_400});
    let told = daemon.admin("POST", "/v1/mcp/tokens", Some(&body));
    assert_eq!(told.status, 201, "{}", told.body);
    let file = daemon.token_file(WALLET);
    let token = fs::read_to_string(&file).expect("the daemon has written it");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    assert_eq!(daemon.balance(&token).status, 200);
    assert!(!told.body.to_string().contains("wai_sess_"), "{}", told.body);
    assert_eq!((&told.body["walletId"], &told.body["walletName"]), (&json!(WALLET), &json!("My Wallet")));
    assert_eq!(told.body["tokenPath"], json!(file));
    assert_eq!(told.body["expiresAt"], claims(&token)["exp"]);
    let entry = &told.body["claudeDesktopConfig"]["waiaas-my-wallet"];
    assert_eq!(entry["env"]["WAIAAS_BASE_URL"], daemon.base());
    assert_eq!(entry["env"]["WAIAAS_DATA_DIR"], json!(daemon.data_dir()));
    // A rotation behind everybody's back can write it too, or not.
    let session = claims(&token)["sub"].as_str().unwrap().to_owned();
    let unwritten = daemon.rotate(&session, false);
    assert_eq!(fs::read_to_string(&file).unwrap(), token);
    let written = daemon.rotate(&session, true);
    assert_eq!(fs::read_to_string(&file).unwrap(), written.token);
    assert_eq!(daemon.balance(&unwritten.token).status, 401);
    let nothing_else: Vec<_> = fs::read_dir(file.parent().unwrap()).unwrap().collect();
    assert_eq!(nothing_else.len(), 1, "{nothing_else:?}");
}

#[test]
fn errors_and_times_come_in_both_shapes() {
    let daemon = Daemon::with("--errors nested --times iso");
    let session =
        daemon.session(&json!({"ttl_ms": 3_600_000, "age_ms": 2_400_000, "lifetime_ms": 9_000_000}));
    let iso = session.expires_at.as_str().expect("it is a text").to_owned();
    assert_eq!((iso.len(), &iso[4..5], &iso[10..11], &iso[19..]), (24, "-", "T", ".000Z"), "{iso}");
    let refused = daemon.balance("junk").body;
    assert_eq!((&refused["error"]["code"], refused.get("code")), (&json!("INVALID_TOKEN"), None));
    let renewed = daemon.renew(&session.id, &session.token).body;
    assert!(renewed["expiresAt"].is_string() && renewed["absoluteExpiresAt"].is_string(), "{renewed}");
    daemon.order("shape", &json!({"errors": "flat", "times": "unix", "id": "sessionId"}));
    let refused = daemon.balance("junk").body;
    assert_eq!((&refused["code"], &refused["retryable"]), (&json!("INVALID_TOKEN"), &json!(false)));
    assert!(refused["message"].is_string() && refused["requestId"].is_string(), "{refused}");
    let ripe = daemon.ripe();
    let renewed = daemon.renew(&ripe.id, &ripe.token).body;
    assert!(renewed["expiresAt"].is_u64(), "{renewed}");
    assert_eq!((&renewed["sessionId"], renewed.get("id")), (&json!(ripe.id), None));
}

#[test]
fn iso_times_are_right() {
    let daemon = Daemon::with("--times iso");
    for (at, text) in [
        (0_u64, "1970-01-01T00:00:00.000Z"),
        (951_782_400_000, "2000-02-29T00:00:00.000Z"),
        (951_868_800_000, "2000-03-01T00:00:00.000Z"),
        (1_735_689_599_000, "2024-12-31T23:59:59.000Z"),
        (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        (59_999, "1970-01-01T00:00:59.999Z"),
    ] {
        // No token is older than the Unix epoch.
        let session = daemon.session(&json!({"age_ms": u64::MAX, "ttl_ms": at}));
        assert_eq!(session.expires_at, text);
    }
}

#[test]
fn short_sessions_are_exact_to_the_millisecond() {
    let daemon = Daemon::start();
    let session = daemon.session(&json!({"ttl_ms": 1234}));
    let claims = claims(&session.token);
    let life = claims["exp"].as_f64().unwrap() - claims["iat"].as_f64().unwrap();
    assert!((life - 1.234).abs() < 0.0005, "{claims}");
}

#[test]
fn foreign_hosts_are_refused() {
    let daemon = Daemon::start();
    let session = daemon.session(&json!({}));
    let bearer = format!("Bearer {}", session.token);
    let (_, port) = daemon.host().split_once(':').expect("it has a port");
    let ask = |host: &str| {
        let headers = [("Host", host), ("Authorization", bearer.as_str())];
        daemon.send("GET", "/v1/wallet/balance", &headers, None).unwrap()
    };
    assert_eq!(ask(&format!("localhost:{port}")).status, 200);
    for host in ["evil.example", "127.0.0.1", "localhost:1", &format!("evil.example:{port}")] {
        let refused = ask(host);
        assert_eq!(refused.refusal(), (503, "SYSTEM_LOCKED"), "{host}");
        assert!(refused.body["message"].as_str().unwrap().contains("localhost access"), "{}", refused.body);
    }
}

#[test]
fn the_kill_switch_refuses_calls_and_lets_renewals_through() {
    let daemon = Daemon::start();
    let session = daemon.ripe();
    daemon.kill_switch(true);
    let refused = daemon.balance(&session.token);
    assert_eq!(refused.refusal(), (503, "SYSTEM_LOCKED"));
    assert!(!refused.body["message"].as_str().unwrap().contains("localhost access"), "{}", refused.body);
    assert_eq!(daemon.renew(&session.id, &session.token).status, 200);
    let token = daemon.rotate(&session.id, false).token;
    daemon.order("kill-switch", &json!({"on": true, "status": 409, "all": true}));
    assert_eq!(daemon.balance(&token).refusal(), (409, "KILL_SWITCH_ACTIVE"));
    assert_eq!(daemon.renew(&session.id, &token).refusal(), (409, "KILL_SWITCH_ACTIVE"));
    assert_eq!(daemon.send("GET", "/health", &[], None).unwrap().status, 200);
    daemon.kill_switch(false);
    assert_eq!(daemon.balance(&token).status, 200);
}

#[test]
fn transactions_are_counted_and_keys_given_back() {
    let daemon = Daemon::start();
    let session = daemon.session(&json!({}));
    let send = |token: &str, body: Value| daemon.call("POST", "/v1/transactions/send", token, Some(&body));
    let first = send(&session.token, json!({"to": "a", "amount": "1", "idempotencyKey": "k"}));
    assert_eq!((first.status, &first.body["idempotencyKey"]), (201, &json!("k")));
    assert_eq!(send(&session.token, json!({"to": "a", "amount": "1"})).status, 201);
    assert_eq!(send(&session.token, json!({"to": "a"})).refusal(), (400, "ACTION_VALIDATION_FAILED"));
    assert_eq!(send("junk", json!({"to": "a", "amount": "1"})).refusal(), (401, "INVALID_TOKEN"));
    let state = daemon.state();
    assert_eq!((&state["sent"], &state["sent_by_key"]), (&json!(2), &json!({"k": 1})));
    let executed: Vec<bool> = daemon.log().iter().filter_map(|entry| entry["executed"].as_bool()).collect();
    assert_eq!(executed, [true, true, false, false]);
}

#[test]
fn junk_is_refused_and_survived() {
    let daemon = Daemon::start();
    let session = daemon.session(&json!({}));
    let admin = [("X-Master-Password", crate::support::daemon::PASSWORD)];
    for junk in [&b"{"[..], b"", b"[]", b"\xff\xfe", b"null", b"{\"walletId\":7}"] {
        for path in ["/v1/sessions", "/v1/mcp/tokens"] {
            let answer = daemon.send("POST", path, &admin, Some(junk)).unwrap();
            assert_eq!(answer.refusal(), (400, "ACTION_VALIDATION_FAILED"), "{path} {junk:?}");
        }
    }
    for (method, path) in
        [("GET", "/"), ("GET", "/v1/nothing"), ("POST", "/v1/wallets"), ("PUT", "/v1/sessions//renew/")]
    {
        assert_eq!(daemon.call(method, path, &session.token, None).refusal(), (404, "NOT_FOUND"), "{path}");
    }
    let answer = daemon.send("POST", "/fixture/hold", &[], Some(b"{\"at\":\"noon\"}")).unwrap();
    assert_eq!(answer.refusal(), (400, "ACTION_VALIDATION_FAILED"));
    let answer = daemon.send("POST", "/fixture/fault", &[], Some(b"{\"kind\":\"slow\",\"sm\":1}")).unwrap();
    assert_eq!(answer.refusal(), (400, "ACTION_VALIDATION_FAILED"));
    assert_eq!(daemon.balance(&session.token).status, 200);
}

#[test]
fn the_log_tells_requests_without_their_secrets() {
    let daemon = Daemon::start();
    let session = daemon.session(&json!({}));
    daemon.call("GET", "/v1/wallet/balance?a=b", &session.token, None);
    daemon.admin("POST", "/v1/sessions", Some(&json!({"walletId": WALLET})));
    let log = daemon.log();
    assert_eq!(log.len(), 2, "what the test asks for is not in it: {log:?}");
    let first = &log[0];
    assert_eq!(
        (&first["seq"], &first["method"], &first["path"]),
        (&json!(1), &json!("GET"), &json!("/v1/wallet/balance"))
    );
    assert_eq!((&first["query"], &first["token"]), (&json!("a=b"), &json!(fingerprint(&session.token))));
    assert_eq!(
        (&first["status"], &first["executed"], &first["held"]),
        (&json!(200), &json!(true), &Value::Null)
    );
    assert_eq!(first["headers"]["host"], daemon.host());
    assert_eq!((&log[1]["status"], &log[1]["token"]), (&json!(201), &Value::Null));
    assert_eq!(log[1]["bytes"], json!({"walletId": WALLET}).to_string().len());
    assert_ne!(log[0]["connection"], log[1]["connection"]);
    let text = json!(log).to_string();
    assert!(!text.contains("wai_sess_") && !text.contains(crate::support::daemon::PASSWORD), "{text}");
}
