//! What goes on as it came, and what does not.

use super::*;

#[tokio::test]
async fn a_request_goes_on_as_it_came_but_for_the_connections_own_and_the_token() {
    let mut api = Api::new(|_| ok("")).await;
    let scene = Scene::new(api.port);
    let headers = "Accept: text/plain\r\nX-Many: one\r\nx-other: a,b , c\r\nX-Many: two\r\nX-MANY: three\r\n\
        Cookie: a=b\r\nUser-Agent: test/1\r\nX-Empty:\r\nX-Bytes: caf\u{e9}\r\nX-API-Key: k\r\nReferer: http://x/\r\n\
        Accept-Encoding: br\r\nContent-Type: application/json\r\nX-Forwarded-For: 10.0.0.1\r\n\
        Connection: keep-alive, X-Named ,x-named-too\r\nX-Named: 1\r\nX-Named-Too: 1\r\nX-Named-Too: 2\r\n\
        Connection: X-Third\r\nX-Third: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
        Proxy-Authorization: Basic eDp5\r\nProxy-Anything: 1\r\nTE: gzip\r\nTrailer: X-Sum\r\nExpect: 100-continue\r\n\
        Content-Length: 2\r\n";
    scene.raw(scene.head("PATCH /v1/x?y=z", headers) + "{}").await;
    let seen = api.next().await.message;
    assert_eq!(seen.line(), "PATCH /v1/x?y=z HTTP/1.1");
    assert_eq!(seen.text(), "{}");
    let expected = [
        "accept: text/plain",
        "accept-encoding: identity",
        "authorization: Bearer wai_sess_real-1",
        "content-length: 2",
        "content-type: application/json",
        "cookie: a=b",
        &format!("host: 127.0.0.1:{}", api.port),
        "referer: http://x/",
        "user-agent: test/1",
        "x-api-key: k",
        "x-bytes: caf\u{e9}",
        "x-empty: ",
        "x-forwarded-for: 10.0.0.1",
        "x-many: one",
        "x-many: two",
        "x-many: three",
        "x-other: a,b , c",
    ];
    assert_eq!(seen.headers(), expected);
}

#[tokio::test]
async fn nothing_is_added_but_what_an_answer_may_be_like() {
    let mut api = Api::new(|_| ok("")).await;
    let scene = Scene::new(api.port);
    scene.get("/").await;
    let host = format!("host: 127.0.0.1:{}", api.port);
    let (any, plain) = ("accept: */*", "accept-encoding: identity");
    let expected = [any, plain, "authorization: Bearer wai_sess_real-1", &host];
    assert_eq!(api.next().await.message.headers(), expected);
    scene.raw(scene.head("POST /", "Content-Length: 0\r\n")).await;
    let expected = [any, plain, "authorization: Bearer wai_sess_real-1", "content-length: 0", &host];
    assert_eq!(api.next().await.message.headers(), expected);
}

#[tokio::test]
async fn what_connection_names_cannot_take_the_token_away() {
    let mut api = Api::new(|_| ok("")).await;
    let scene = Scene::new(api.port);
    let named = "Connection: authorization, host, content-length, close\r\nContent-Length: 2\r\n";
    scene.raw(scene.head("POST /", named) + "{}").await;
    let seen = api.next().await;
    assert_eq!(seen.token(), "Bearer wai_sess_real-1");
    assert_eq!(seen.message.all("host"), [format!("127.0.0.1:{}", api.port)]);
    assert_eq!(seen.message.text(), "{}");
}

#[tokio::test]
async fn an_answer_goes_on_as_it_came_but_for_the_connections_own() {
    let api = Api::new(|_| {
        let headers = "Set-Cookie: a=1\r\nX-One: 1\r\nSet-Cookie: b=2\r\nContent-Type: text/plain\r\nETag: \"x\"\r\n\
            Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nWWW-Authenticate: Basic\r\nServer: test\r\nVary: a\r\nSet-Cookie: c=3\r\n\
            Connection: keep-alive, X-Named\r\nX-Named: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n\
            Upgrade: h2c\r\nTrailer: X-Sum\r\nTE: trailers\r\n";
        answer("299 Rather Good", headers, "body")
    })
    .await;
    let scene = Scene::new(api.port);
    let answer = scene.get("/").await;
    assert_eq!((answer.line(), answer.text().as_str()), ("HTTP/1.1 299 Rather Good", "body"));
    let expected = [
        "content-length: 4",
        "content-type: text/plain",
        "date: Thu, 01 Jan 1970 00:00:00 GMT",
        "etag: \"x\"",
        "server: test",
        "set-cookie: a=1",
        "set-cookie: b=2",
        "set-cookie: c=3",
        "vary: a",
        "www-authenticate: Basic",
        "x-one: 1",
    ];
    assert_eq!(answer.headers(), expected);
}

#[tokio::test]
async fn a_path_and_query_go_on_as_they_came_or_not_at_all() {
    let mut api = Api::new(|_| ok("")).await;
    let scene = Scene::new(api.port);
    for path in [
        "/",
        "//",
        "//evil.example/x",
        "/a//b/",
        "/a%2Fb%2e%2E%zz%",
        "/a;b=c,d:@e!$&()*+",
        "/?",
        "/?a=b&a=c+%20/?",
        "/...",
        "/a/..b/.c",
        "/@evil.example",
        "/http://evil.example/",
    ] {
        assert_eq!(scene.get(path).await.status(), 200, "{path}");
        assert_eq!(api.next().await.message.line(), format!("GET {path} HTTP/1.1"));
    }
    // Written in another way, and the same.
    assert_eq!(scene.get("/{a}?'b'").await.status(), 200);
    assert_eq!(api.next().await.message.line(), "GET /%7Ba%7D?%27b%27 HTTP/1.1");
    for path in ["/a/../b", "/a/./b", "/%2e%2e/b", "/a/.", "/..", "/a\\b", "/a/%2E%2e", "/a/.%2e/b"] {
        let answer = scene.get(path).await;
        assert_eq!((answer.status(), answer.code()), (400, "BAD_TARGET".into()), "{path}");
    }
    assert!(api.all().await.is_empty());
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_leads_back_here_only_if_it_leads_to_the_api() {
    let mut api = Api::new(|seen| {
        let location = seen.message.line().split(' ').nth(1).unwrap().split_once("to=").unwrap().1;
        answer("307 Temporary Redirect", &format!("Location: {location}\r\n"), "")
    })
    .await;
    let entrance = Entrance::Path("open-sesame".into());
    let by_path = Scene::with(Options { entrance, ..options(api.port) }, crate::http::client(None).unwrap());
    let by_token = Scene::new(api.port);
    let origin = format!("http://127.0.0.1:{}", api.port);
    for (location, token, path) in [
        ("ORIGIN/a?b=c", "HERE/a?b=c", "HERE/open-sesame/a?b=c"),
        ("ORIGIN", "HERE/", "HERE/open-sesame/"),
        ("/a?b", "/a?b", "/open-sesame/a?b"),
        ("a/b", "a/b", "a/b"),
        ("?b", "?b", "?b"),
        ("http://evil.example/a", "http://evil.example/a", "http://evil.example/a"),
        ("http://127.0.0.1:1/a", "http://127.0.0.1:1/a", "http://127.0.0.1:1/a"),
        ("//evil.example/a", "//evil.example/a", "//evil.example/a"),
        ("mailto:a@example.com", "mailto:a@example.com", "mailto:a@example.com"),
    ] {
        let location = location.replace("ORIGIN", &origin);
        for (scene, prefix, expected) in [(&by_token, "", token), (&by_path, "/open-sesame", path)] {
            for host in ["127.0.0.1", "localhost"] {
                let here = format!("http://{host}:{}", scene.port);
                let expected = expected.replace("HERE", &here);
                let target = format!("GET {prefix}/x?to={location}");
                let request = format!(
                    "{target} HTTP/1.1\r\nHost: {host}:{}\r\nAuthorization: Bearer {STAND_IN}\r\n\r\n",
                    scene.port
                );
                let answer = scene.raw(request).await;
                assert_eq!((answer.status(), answer.all("location")), (307, vec![&*expected]), "{location}");
                api.next().await;
            }
        }
    }
    assert!(api.all().await.is_empty(), "it follows nothing");
}

#[test]
fn redirects_are_understood_in_all_forms() {
    let upstream: Upstream = "https://api.example.com/base".parse().unwrap();
    let relocated = |location: &str| upstream.relocated(location, "http://localhost:7/p", "/p");
    for (location, expected) in [
        ("https://api.example.com/base/x#y", Some("http://localhost:7/p/base/x#y")),
        ("HTTPS://API.example.com:443/x", Some("http://localhost:7/p/x")),
        ("//api.example.com/x", Some("http://localhost:7/p/x")),
        ("http://api.example.com/x", None),
        ("https://api.example.com:444/x", None),
        ("https://user@api.example.com/x", None),
        ("https://api.example.com.evil.example/x", None),
        ("//", None),
        ("/x", Some("/p/x")),
        ("", None),
    ] {
        assert_eq!(relocated(location).as_deref(), expected, "{location}");
    }
    assert_eq!(upstream.relocated("/x", "http://localhost:7", ""), None);
}
