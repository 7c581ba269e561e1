//! Who comes in, and who does not.

use super::*;

/// Asks with what stands between the request line and the empty line, and hears the answer.
async fn ask(scene: &Scene, line: &str, headers: &[&str]) -> Message {
    let headers = headers.concat().replace("PORT", &scene.port.to_string());
    scene.raw(format!("{} HTTP/1.1\r\n{headers}\r\n", line.replace("PORT", &scene.port.to_string()))).await
}

const HOST: &str = "Host: 127.0.0.1:PORT\r\n";
const KEY: &str = "Authorization: Bearer wai_sess_stand-in\r\n";

#[tokio::test]
async fn the_stand_in_opens_and_nothing_else_does() {
    let mut api = Api::new(|_| ok("in")).await;
    let scene = Scene::new(api.port);
    for key in [
        "",
        "Authorization: Bearer \r\n",
        "Authorization: Bearer\r\n",
        "Authorization: wai_sess_stand-in\r\n",
        "Authorization: Bearerwai_sess_stand-in\r\n",
        "Authorization: Basic wai_sess_stand-in\r\n",
        "Authorization: Bearer wai_sess_stand-i\r\n",
        "Authorization: Bearer wai_sess_stand-inn\r\n",
        "Authorization: Bearer WAI_SESS_STAND-IN\r\n",
        "Authorization: Bearer wai_sess_real-1\r\n",
        "X-Authorization: Bearer wai_sess_stand-in\r\n",
        "Authorization: Bearer wai_sess_stand-in\r\nAuthorization: Bearer wai_sess_stand-in\r\n",
        "Authorization: Bearer x\r\nAuthorization: Bearer wai_sess_stand-in\r\n",
    ] {
        let answer = ask(&scene, "GET /", &[HOST, key]).await;
        assert_eq!((answer.status(), answer.code()), (401, "STAND_IN_REQUIRED".into()), "{key}");
    }
    let answer = ask(&scene, "GET /wai_sess_stand-in?token=wai_sess_stand-in", &[HOST]).await;
    assert_eq!(answer.status(), 401);
    assert!(api.all().await.is_empty(), "nobody reaches the API without the stand-in");
    for key in
        [KEY, "authorization: bearer wai_sess_stand-in\r\n", "AUTHORIZATION:BEARER   wai_sess_stand-in  \r\n"]
    {
        assert_eq!(ask(&scene, "GET /", &[HOST, key]).await.status(), 200, "{key}");
        assert_eq!(api.next().await.token(), "Bearer wai_sess_real-1");
    }
}

#[tokio::test]
async fn the_token_may_stand_alone_and_in_another_header() {
    let mut api = Api::new(|_| ok("in")).await;
    let auth = Auth { header: "x-api-key".parse().unwrap(), scheme: String::new() };
    let scene = Scene::with(Options { auth, ..options(api.port) }, crate::http::client(None).unwrap());
    let other = "Authorization: Basic eDp5\r\n";
    assert_eq!(ask(&scene, "GET /", &[HOST, KEY]).await.status(), 401);
    assert_eq!(ask(&scene, "GET /", &[HOST, "X-Api-Key: Bearer wai_sess_stand-in\r\n"]).await.status(), 401);
    let answer = ask(&scene, "GET /", &[HOST, other, "X-Api-Key: wai_sess_stand-in\r\n"]).await;
    assert_eq!(answer.status(), 200);
    let seen = api.next().await;
    assert_eq!(seen.message.all("x-api-key"), ["wai_sess_real-1"]);
    assert_eq!(seen.token(), "Basic eDp5", "what is no token of ours goes on");
    assert!(api.all().await.is_empty());
}

#[tokio::test]
async fn a_path_opens_and_is_taken_off_before_the_api_sees_it() {
    let mut api = Api::new(|_| ok("in")).await;
    let entrance = Entrance::Path("open-sesame".into());
    let scene = Scene::with(Options { entrance, ..options(api.port) }, crate::http::client(None).unwrap());
    for (path, seen) in [
        ("/open-sesame", "/"),
        ("/open-sesame/", "/"),
        ("/open-sesame?a=b", "/?a=b"),
        ("/open-sesame/v1/wallets?a=open-sesame", "/v1/wallets?a=open-sesame"),
        ("/open-sesame//x/", "//x/"),
    ] {
        let header = "Authorization: Bearer its-own\r\nAuthorization: Bearer two\r\n";
        assert_eq!(ask(&scene, &format!("GET {path}"), &[HOST, header]).await.status(), 200, "{path}");
        let request = api.next().await;
        assert_eq!(request.message.line(), format!("GET {seen} HTTP/1.1"));
        assert_eq!(request.token(), "Bearer wai_sess_real-1");
    }
    for path in [
        "/",
        "/open-sesam",
        "/open-sesamee",
        "/OPEN-SESAME/",
        "//open-sesame",
        "/x/open-sesame",
        "/?open-sesame",
    ] {
        let answer = ask(&scene, &format!("GET {path}"), &[HOST, KEY]).await;
        assert_eq!((answer.status(), answer.code()), (404, "NOT_FOUND".into()), "{path}");
        assert!(!answer.text().contains("sesame"));
    }
    assert!(api.all().await.is_empty());
}

#[tokio::test]
async fn a_foreign_host_is_refused() {
    let mut api = Api::new(|_| ok("in")).await;
    let scene = Scene::new(api.port);
    for host in [
        "",
        "Host: evil.example\r\n",
        "Host: evil.example:PORT\r\n",
        "Host: 127.0.0.1\r\n",
        "Host: 127.0.0.1:1\r\n",
        "Host: 127.0.0.1:PORT.evil.example\r\n",
        "Host: 127.0.0.2:PORT\r\n",
        "Host: [::1]:PORT\r\n",
        "Host: user@127.0.0.1:PORT\r\n",
        "Host: \r\n",
        "Host: 127.0.0.1:PORT\r\nHost: 127.0.0.1:PORT\r\n",
        "Host: 127.0.0.1:PORT, evil.example\r\n",
        "X-Forwarded-Host: 127.0.0.1:PORT\r\nHost: evil.example\r\n",
    ] {
        let answer = ask(&scene, "GET /", &[host, KEY]).await;
        assert_eq!((answer.status(), answer.code()), (403, "FOREIGN_HOST".into()), "{host}");
    }
    assert!(api.all().await.is_empty());
    for host in [HOST, "Host: localhost:PORT\r\n", "Host: LocalHost:PORT\r\n"] {
        assert_eq!(ask(&scene, "GET /", &[host, KEY]).await.status(), 200, "{host}");
    }
}

#[tokio::test]
async fn a_foreign_origin_is_refused() {
    let mut api = Api::new(|_| ok("in")).await;
    let scene = Scene::new(api.port);
    for origin in [
        "Origin: http://evil.example\r\n",
        "Origin: https://127.0.0.1:PORT\r\n",
        "Origin: 127.0.0.1:PORT\r\n",
        "Origin: http://127.0.0.1\r\n",
        "Origin: null\r\n",
        "Origin: \r\n",
        "Origin: http://127.0.0.1:PORT\r\nOrigin: http://evil.example\r\n",
    ] {
        let answer = ask(&scene, "GET /", &[HOST, KEY, origin]).await;
        assert_eq!((answer.status(), answer.code()), (403, "FOREIGN_ORIGIN".into()), "{origin}");
    }
    assert!(api.all().await.is_empty());
    for origin in ["Origin: http://127.0.0.1:PORT\r\n", "Origin: http://localhost:PORT\r\n"] {
        assert_eq!(ask(&scene, "GET /", &[HOST, KEY, origin]).await.status(), 200, "{origin}");
        assert_eq!(api.next().await.message.all("origin").len(), 1);
    }
}

#[tokio::test]
async fn it_is_no_proxy_for_others_and_no_tunnel_and_does_not_change_the_protocol() {
    let mut api = Api::new(|_| ok("in")).await;
    let scene = Scene::new(api.port);
    for (line, header) in [
        ("CONNECT 127.0.0.1:PORT", ""),
        ("CONNECT evil.example:443", ""),
        ("TRACE /", ""),
        ("GET http://evil.example/", ""),
        ("GET http://127.0.0.1:1/", ""),
        ("GET https://127.0.0.1:PORT/", ""),
        ("GET http://user@127.0.0.1:PORT/", ""),
        ("OPTIONS *", ""),
        ("GET a", ""),
        ("GET /", "Connection: Upgrade\r\nUpgrade: websocket\r\n"),
        ("GET /", "Upgrade: h2c\r\n"),
    ] {
        let answer = ask(&scene, line, &[HOST, KEY, header]).await;
        assert_eq!((answer.status(), answer.code()), (501, "NOT_SUPPORTED".into()), "{line}");
    }
    assert!(api.all().await.is_empty());
    let answer = ask(&scene, "GET http://localhost:PORT/a?b", &[HOST, KEY]).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(api.next().await.message.line(), "GET /a?b HTTP/1.1");
}

#[tokio::test]
async fn a_preflight_is_a_request_like_others() {
    let mut api = Api::new(|_| ok("in")).await;
    let scene = Scene::new(api.port);
    let asks = "Origin: http://localhost:PORT\r\nAccess-Control-Request-Method: POST\r\n";
    let answer = ask(&scene, "OPTIONS /x", &[HOST, asks]).await;
    assert_eq!(answer.status(), 401);
    assert!(!answer.head.to_lowercase().contains("access-control"));
    assert_eq!(ask(&scene, "OPTIONS /x", &[HOST, KEY, asks]).await.status(), 200);
    assert_eq!(api.next().await.message.line(), "OPTIONS /x HTTP/1.1");
}

#[tokio::test]
async fn the_door_is_open_before_somebody_serves_and_only_on_this_machine() {
    let mut api = Api::new(|_| ok("in")).await;
    let door = Door::open().unwrap();
    let mut early = Wire::connect(door.port()).await;
    let request = format!("GET / HTTP/1.1\r\nHost: localhost:{}\r\n{KEY}\r\n", door.port());
    early.write(request).await;
    let listener = door.into_listener();
    assert!(listener.local_addr().unwrap().ip().is_loopback());
    assert_eq!(listener.local_addr().unwrap().ip().to_string(), "127.0.0.1");
    drop((listener, early));

    let (tell, _told) = mpsc::unbounded_channel();
    let (_verdicts, settled) = mpsc::unbounded_channel();
    let (id, secret) = token(1);
    let (_tokens, published) = watch::channel(Published::Token(id, secret));
    let door = Door::open().unwrap();
    let mut early = Wire::connect(door.port()).await;
    early.write(format!("GET / HTTP/1.1\r\nHost: localhost:{}\r\n{KEY}\r\n", door.port())).await;
    let (seen, _see) = mpsc::unbounded_channel();
    let (_probe, probes) = mpsc::unbounded_channel();
    let side = Side { tokens: published, tell, verdicts: settled, seen, probes };
    let task = tokio::spawn(serve(door, options(api.port), crate::http::client(None).unwrap(), side));
    assert_eq!(early.message(true).await.unwrap().status(), 200);
    api.next().await;
    task.abort();
}

#[tokio::test]
async fn a_refusal_is_heard_also_when_the_body_comes_after_it() {
    let api = Api::new(|_| ok("in")).await;
    let scene = Scene::new(api.port);
    let mut wire = Wire::connect(scene.port).await;
    let head = format!("POST / HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: 900000\r\n\r\n", scene.port);
    wire.write(head).await;
    quiet_without_clock().await;
    wire.write(vec![b'x'; 900_000]).await;
    assert_eq!(wire.message(true).await.unwrap().status(), 401);
}

/// Lets the gateway read what was written, without running its clock.
async fn quiet_without_clock() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}
