//! What the gateway adds to a request to an API, on connections that are kept: one request after the other, of a few hundred
//! bytes each way, to an API that answers at once.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use mcp_supervise::engine::lease::io::TokenId;
use mcp_supervise::gateway::{Auth, Disguise, Door, Entrance, Options, Published, Side, serve};
use mcp_supervise::http;
use reqwest::header::AUTHORIZATION;
use tokio::runtime;
use tokio::sync::{mpsc, watch};

use super::timed;
use crate::statistics::{Rounds, quantile};
use crate::table::Row;

const ROUNDS: usize = 25;
const REQUESTS: usize = 500;
const BODY: &str = "{\"balance\":\"1500000000\",\"decimals\":9,\"symbol\":\"SOL\"}";

pub(super) fn rows() -> Vec<Row> {
    let api = api();
    let mut clients = [client(api), client(gateway(api))];
    for client in &mut clients {
        (0..REQUESTS).for_each(|_| client.ask());
    }
    let mut rounds = [const { Rounds(Vec::new()) }; 2];
    for round in 0..ROUNDS {
        for turn in 0..clients.len() {
            let who = (round + turn) % clients.len();
            let times: Vec<f64> = (0..REQUESTS).map(|_| timed(|| clients[who].ask()) * 1e6).collect();
            rounds[who].0.push(quantile(&times, 0.5));
        }
    }
    let [direct, through] = &rounds;
    vec![Row {
        figure: "request to an API through the gateway, p50".into(),
        direct: direct.told(0, " us"),
        supervisor: through.told(0, " us"),
        judged: through.less(direct).told(0, " us more than direct"),
        budget: "<= 150 us".into(),
        ..Row::default()
    }]
}

/// An API on loopback. Its port.
fn api() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let port = listener.local_addr().expect("it has a port").port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client has come");
            stream.set_nodelay(true).expect("it is a socket");
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{BODY}",
                BODY.len()
            );
            thread::spawn(move || {
                while head(&mut stream) {
                    stream.write_all(answer.as_bytes()).expect("the client reads");
                }
            });
        }
    });
    port
}

/// A gateway to it, as a supervisor has one: on a thread and a runtime of its own. Its port.
fn gateway(api: u16) -> u16 {
    let door = Door::open().expect("there is a free port");
    let port = door.port();
    let options = Options {
        upstream: format!("http://127.0.0.1:{api}").parse().expect("it is an address"),
        auth: Auth { header: AUTHORIZATION, scheme: "Bearer".into() },
        entrance: Entrance::StandIn("stand-in".into()),
        renewals: None,
        disguise: Disguise { stand_in: "stand-in".into(), prefix: String::new() },
        probe: "/".into(),
        forgets_sessions: false,
        timeout: None,
    };
    thread::spawn(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let client = http::client(None).expect("a client can be made");
        let (_publish, tokens) = watch::channel(Published::Token(TokenId(1), "token".into()));
        let (tell, mut told) = mpsc::unbounded_channel();
        let (_judge, verdicts) = mpsc::unbounded_channel();
        let (_probe, probes) = mpsc::unbounded_channel();
        let (seen, _see) = mpsc::unbounded_channel();
        runtime.expect("a runtime can be made").block_on(async {
            tokio::spawn(serve(door, options, client, Side { tokens, tell, verdicts, seen, probes }));
            while told.recv().await.is_some() {}
        });
    });
    port
}

/// A client with one connection.
struct Client {
    stream: TcpStream,
    request: String,
}

fn client(port: u16) -> Client {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_nodelay(true).expect("it is a socket");
    let request = format!(
        "GET /v1/wallet/balance HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer stand-in\r\nAccept: */*\r\n\r\n"
    );
    Client { stream, request }
}

impl Client {
    fn ask(&mut self) {
        self.stream.write_all(self.request.as_bytes()).expect("it reads");
        assert!(head(&mut self.stream), "it answers");
        let mut body = [0; BODY.len()];
        self.stream.read_exact(&mut body).expect("it answers whole");
        assert_eq!(body, BODY.as_bytes());
    }
}

/// Reads to the end of a head, and no further. `false` at the end of the connection.
fn head(stream: &mut TcpStream) -> bool {
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        // What has come is looked at before it is taken: the body is not to be read with the head.
        let there = stream.peek(&mut buffer).unwrap_or(0);
        if there == 0 {
            return false;
        }
        let before = seen.len();
        seen.extend_from_slice(&buffer[..there]);
        let end = memchr::memmem::find(&seen, b"\r\n\r\n").map(|at| at + 4);
        let take = end.unwrap_or(seen.len()) - before;
        stream.read_exact(&mut buffer[..take]).expect("it is there");
        if end.is_some() {
            return true;
        }
    }
}
