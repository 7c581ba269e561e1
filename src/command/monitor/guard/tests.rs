//! Who is let in, and who is not.

use axum::http::Request;
use base64::prelude::BASE64_STANDARD as BASE64;

use super::*;

const LOOPBACK: &str = "127.0.0.1:7420";
const SECRET: &[u8] = b"correct horse battery";

fn guard(at: &str, secret: Option<&[u8]>) -> Guard {
    Guard::new(at.parse().unwrap(), secret).unwrap()
}

/// `GET /api/sessions HTTP/1.1` with these headers, if no other method and target are in front: `POST /x`.
fn head(target: &str, headers: &[(&str, &str)]) -> Parts {
    let (method, uri) = target.split_once(' ').unwrap_or(("GET", target));
    let request = Request::builder().method(method).uri(uri);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(()).unwrap().into_parts().0
}

fn get(guard: &Guard, headers: &[(&str, &str)]) -> Result<(), Refusal> {
    guard.admit(&head("/api/sessions", headers), false)
}

#[test]
fn only_names_of_this_machine_with_the_right_port_are_ours() {
    let guard = guard(LOOPBACK, None);
    for host in ["127.0.0.1:7420", "localhost:7420", "LocalHost:7420", "[::1]:7420"] {
        assert_eq!(get(&guard, &[("host", host)]), Ok(()), "{host}");
    }
    for host in [
        "evil.example:7420",
        "localhost.evil.example:7420",
        "localhost.:7420",
        "localhost",
        "localhost:7421",
        "localhost:07420",
        "127.0.0.1",
        "127.0.0.2:7420",
        "127.1:7420",
        "::1:7420",
        "[::1%25lo]:7420",
        "me@localhost:7420",
        "localhost:7420 ",
        "localhost:7420,evil.example",
        "",
    ] {
        assert_eq!(get(&guard, &[("host", host)]), Err(Refusal::HOST), "{host:?}");
    }
    assert_eq!(get(&guard, &[]), Err(Refusal::HOST));
    assert_eq!(get(&guard, &[("host", LOOPBACK), ("host", LOOPBACK)]), Err(Refusal::HOST));
    assert!(guard.admit(&head("/health", &[("host", "evil.example:7420")]), false).is_err());
}

#[test]
fn the_address_itself_is_a_name_and_the_port_of_http_is_left_out() {
    assert_eq!(get(&guard("127.0.0.2:7420", None), &[("host", "127.0.0.2:7420")]), Ok(()));
    let guard = guard("[::1]:80", None);
    for host in ["[::1]", "localhost", "localhost:80", "127.0.0.1"] {
        assert_eq!(get(&guard, &[("host", host), ("origin", &format!("http://{host}"))]), Ok(()), "{host}");
    }
}

#[test]
fn a_page_of_another_origin_is_turned_away_whatever_it_asks_for() {
    let guard = guard(LOOPBACK, None);
    let ask = |target: &str, origin: &str| {
        guard.admit(&head(target, &[("host", LOOPBACK), ("origin", origin)]), false)
    };
    for origin in ["http://127.0.0.1:7420", "http://localhost:7420", "http://[::1]:7420"] {
        assert_eq!(ask("/ws/sessions", origin), Ok(()), "{origin}");
    }
    for origin in [
        "http://evil.example",
        "https://localhost:7420",
        "http://localhost:3000",
        "http://localhost",
        "http://localhost:7420.evil.example",
        "http://localhost:7420/",
        "null",
        "",
        "localhost:7420",
        "chrome-extension://localhost:7420",
    ] {
        for target in ["/", "/ws/sessions", "/health", "POST /api/sessions/a/restart"] {
            assert_eq!(ask(target, origin), Err(Refusal::ORIGIN), "{origin} {target}");
        }
    }
    let twice =
        [("host", LOOPBACK), ("origin", "http://localhost:7420"), ("origin", "http://localhost:7420")];
    assert_eq!(get(&guard, &twice), Err(Refusal::ORIGIN));
}

#[test]
fn what_a_browser_says_comes_from_elsewhere_is_turned_away_but_a_link_to_the_page() {
    let guard = guard(LOOPBACK, None);
    let ask = |target: &str, more: &[(&str, &str)]| {
        guard.admit(&head(target, &[&[("host", LOOPBACK)], more].concat()), false)
    };
    for site in ["same-origin", "none"] {
        assert_eq!(ask("/api/sessions", &[("sec-fetch-site", site)]), Ok(()));
    }
    let link = [("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    for site in ["cross-site", "same-site", "x"] {
        assert_eq!(ask("/", &[("sec-fetch-site", site)]), Err(Refusal::SITE));
        let followed = [&[("sec-fetch-site", site)], &link[..]].concat();
        assert_eq!(ask("/", &followed), Ok(()));
        assert_eq!(ask("/api/sessions", &followed), Err(Refusal::SITE));
        assert_eq!(ask("POST /", &followed), Err(Refusal::SITE));
        let framed = [("sec-fetch-site", site), link[0], ("sec-fetch-dest", "iframe")];
        assert_eq!(ask("/", &framed), Err(Refusal::SITE));
    }
}

#[test]
fn it_is_no_proxy() {
    let guard = guard(LOOPBACK, None);
    for target in ["http://localhost:7420/", "http://evil.example/", "CONNECT evil.example:80", "OPTIONS *"] {
        assert_eq!(
            guard.admit(&head(target, &[("host", LOOPBACK)]), false),
            Err(Refusal::TARGET),
            "{target}"
        );
    }
}

#[test]
fn what_changes_something_takes_the_token_of_this_run() {
    let (ours, other) = (guard(LOOPBACK, None), guard(LOOPBACK, None));
    assert_ne!(ours.token(), other.token());
    assert_eq!(ours.token().len(), 43, "32 bytes");
    let post = |tokens: &[&str]| {
        let tokens = tokens.iter().map(|token| ("x-monitor-token", *token));
        let headers: Vec<_> = [("host", LOOPBACK)].into_iter().chain(tokens).collect();
        ours.admit(&head("POST /api/sessions/a/restart", &headers), false)
    };
    assert_eq!(post(&[ours.token()]), Ok(()));
    for wrong in
        [&[][..], &[""], &["x"], &[other.token()], &[&ours.token()[..42]], &[ours.token(), ours.token()]]
    {
        assert_eq!(post(wrong), Err(Refusal::TOKEN), "{wrong:?}");
    }
    for method in ["PUT", "DELETE", "PATCH", "FOO"] {
        let request = head(&format!("{method} /api/sessions"), &[("host", LOOPBACK)]);
        assert_eq!(ours.admit(&request, false), Err(Refusal::TOKEN), "{method}");
    }
}

#[test]
fn another_user_needs_a_secret_for_all_but_whether_it_is_well() {
    let open = guard(LOOPBACK, None);
    let of = |guard: &Guard, path: &str, more: &[(&str, &str)]| {
        guard.admit(&head(path, &[&[("host", LOOPBACK)], more].concat()), true)
    };
    assert_eq!(of(&open, "/", &[]), Err(Refusal::USER));
    assert_eq!(of(&open, "/metrics", &[]), Err(Refusal::USER));
    assert_eq!(of(&open, "/health", &[]), Ok(()));
    let closed = guard(LOOPBACK, Some(SECRET));
    assert_eq!(of(&closed, "/", &[]), Err(Refusal::SECRET));
    assert_eq!(of(&closed, "/", &[("authorization", "Bearer correct horse battery")]), Ok(()));
}

#[test]
fn with_a_secret_everybody_has_to_know_it() {
    let basic = |pair: &str| format!("Basic {}", BASE64.encode(pair));
    for at in [LOOPBACK, "0.0.0.0:7420"] {
        let guard = guard(at, Some(SECRET));
        let ask = |authorization: &str| get(&guard, &[("host", LOOPBACK), ("authorization", authorization)]);
        for right in [
            "Bearer correct horse battery",
            "bearer  correct horse battery",
            &basic("anybody:correct horse battery"),
            &basic(":correct horse battery"),
        ] {
            assert_eq!(ask(right), Ok(()), "{right}");
        }
        for wrong in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer correct horse batter",
            "correct horse battery",
            "Digest correct horse battery",
            &basic("correct horse battery"),
            &basic("correct horse battery:"),
            "Basic !",
        ] {
            assert_eq!(ask(wrong), Err(Refusal::SECRET), "{wrong}");
        }
        let twice =
            [("host", LOOPBACK), ("authorization", "Bearer correct horse battery"), ("authorization", "x")];
        assert_eq!(get(&guard, &twice), Err(Refusal::SECRET));
        assert_eq!(guard.admit(&head("/health", &[("host", LOOPBACK)]), true), Ok(()));
        assert!(guard.admit(&head("/health/deep", &[("host", LOOPBACK)]), true).is_err());
        assert!(!format!("{guard:?}").contains(guard.token()));
    }
}

#[test]
fn beyond_loopback_any_name_leads_here_and_an_origin_must_have_the_same() {
    let guard = guard("0.0.0.0:7420", Some(SECRET));
    let ask = |host: &str, origin: Option<&str>| {
        let mut headers = vec![("host", host), ("authorization", "Bearer correct horse battery")];
        headers.extend(origin.map(|origin| ("origin", origin)));
        get(&guard, &headers)
    };
    assert_eq!(ask("box.lan:7420", None), Ok(()));
    assert_eq!(ask("box.lan:7420", Some("http://BOX.lan:7420")), Ok(()));
    assert_eq!(ask("monitor.example", Some("https://monitor.example")), Ok(()));
    for origin in ["http://box.lan", "http://evil.example:7420", "null", "file://"] {
        assert_eq!(ask("box.lan:7420", Some(origin)), Err(Refusal::ORIGIN), "{origin}");
    }
    for host in ["", "x; script-src *", "a b", "x/y", "x\"y"] {
        assert_eq!(ask(host, None), Err(Refusal::HOST), "{host:?}");
    }
}
