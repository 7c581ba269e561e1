//! Growth of costs: eight times as much of something must cost about eight times as much.
//!
//! Everything runs in this process, through the engine or the line codec alone, so that nothing else is timed.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mcp_supervise::engine::io::{Exit, Gen, Input, Now};
use mcp_supervise::engine::{Config, Engine};
use mcp_supervise::wire::{Line, LineCodec};
use tokio_util::codec::Decoder as _;

use super::timed;
use crate::statistics::Rounds;
use crate::table::Row;

const ROUNDS: usize = 5;
/// The factor between the two amounts that are compared.
const TIMES: u16 = 8;

/// A measurement: its name, the smaller amount, and the function that returns the seconds spent on an amount.
type Figure = (&'static str, usize, fn(usize) -> f64);

pub(super) fn rows() -> Vec<Row> {
    let figures: [Figure; 9] = [
        ("answering requests that wait", 4000, answering),
        ("cancelling requests in flight", 4000, cancelling),
        ("cancelling requests that wait", 100, cancelling_waiting),
        ("calling a modern server that is silent", 2000, calling_modern),
        ("ending listening streams", 2000, ending_streams),
        ("answering requests of the server", 2000, answering_server),
        ("reading a list of tools", 1000, listing),
        ("comparing a list of tools", 1000, comparing),
        ("reading blanks before a message", 64, blanks),
    ];
    figures.iter().map(|(what, count, cost)| row(what, *count, *cost)).collect()
}

fn row(what: &str, count: usize, cost: fn(usize) -> f64) -> Row {
    let (mut few, mut many) = (Rounds::default(), Rounds::default());
    cost(count);
    for _ in 0..ROUNDS {
        few.0.push(cost(count) * 1e3 * f64::from(TIMES));
        many.0.push(cost(count * usize::from(TIMES)) * 1e3);
    }
    Row {
        figure: format!("{what}, {TIMES} times as many"),
        copy: few.told(1, " ms for as many in parts"),
        supervisor: many.told(1, " ms"),
        judged: many.per(&few).told(2, " x in proportion"),
        budget: "2".into(),
        ..Row::default()
    }
}

struct Stage {
    engine: Engine,
    now: Duration,
}

impl Stage {
    /// An engine whose host and server have greeted each other.
    fn greeted() -> Self {
        let mut stage = Self { engine: Engine::new(Config::default(), Now::default()), now: Duration::ZERO };
        stage.tell(Input::Spawned(Gen(1), 1));
        stage.host(r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{}}}"#.into());
        stage.server(r#"{"jsonrpc":"2.0","id":0,"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{"listChanged":true},"resources":{}}}}"#.into());
        stage
    }

    fn tell(&mut self, input: Input) {
        self.engine.handle(Now { mono: self.now, wall: self.now }, input);
        while self.engine.poll().is_some() {}
    }

    fn host(&mut self, line: String) {
        self.tell(Input::Host(Line::Whole((line + "\n").into())));
    }

    fn server(&mut self, line: String) {
        let child = self.engine.snapshot().generation;
        self.tell(Input::Child(child, Line::Whole((line + "\n").into())));
    }

    fn ask(&mut self, count: usize) {
        for id in 1..=count {
            self.host(format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"resources/read","params":{{"uri":"x:{id}"}}}}"#
            ));
        }
    }

    fn cancel(&mut self, count: usize) {
        for id in 1..=count {
            self.host(format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
            ));
        }
    }

    fn crash(&mut self) {
        let from = self.engine.snapshot().generation;
        self.tell(Input::Exited(from, Exit::Code(1)));
        self.tell(Input::Silent { from, stderr_tail: String::new(), unsent: Vec::new() });
    }
}

fn answering(count: usize) -> f64 {
    let mut stage = Stage::greeted();
    stage.ask(count);
    timed(|| {
        stage.crash();
        stage.now = Duration::from_secs(3600);
        stage.tell(Input::Timer);
        assert_eq!(stage.engine.snapshot().owed, 0, "all are answered");
    })
}

fn cancelling(count: usize) -> f64 {
    let mut stage = Stage::greeted();
    stage.ask(count);
    timed(|| stage.cancel(count))
}

fn cancelling_waiting(count: usize) -> f64 {
    let mut stage = Stage::greeted();
    stage.crash();
    stage.ask(count);
    timed(|| stage.cancel(count))
}

/// The members of a request of the modern era after its method.
const ENVELOPED: &str = r#""params":{"name":"a","notifications":{"toolsListChanged":true},"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}"#;

fn calling_modern(count: usize) -> f64 {
    let mut stage = Stage { engine: Engine::new(Config::default(), Now::default()), now: Duration::ZERO };
    stage.tell(Input::Spawned(Gen(1), 1));
    timed(|| {
        for id in 1..=count {
            stage.host(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call",{ENVELOPED}}}"#));
        }
        assert_eq!(stage.engine.snapshot().owed, count, "none is answered by us");
    })
}

fn ending_streams(count: usize) -> f64 {
    let mut stage = Stage { engine: Engine::new(Config::default(), Now::default()), now: Duration::ZERO };
    stage.tell(Input::Spawned(Gen(1), 1));
    for id in 1..=count {
        stage.host(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"subscriptions/listen",{ENVELOPED}}}"#));
    }
    timed(|| stage.cancel(count))
}

fn answering_server(count: usize) -> f64 {
    let mut stage = Stage::greeted();
    timed(|| {
        for id in 1..=count {
            stage.server(format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"roots/list"}}"#));
        }
        for id in 1..=count {
            stage.host(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"roots":[]}}}}"#));
        }
    })
}

fn tools(count: usize) -> String {
    let mut list = String::new();
    for number in 0..count {
        let comma = if number > 0 { "," } else { "" };
        write!(
            list,
            r#"{comma}{{"name":"tool {number}","description":"Does something with the number {number}.","inputSchema":{{"type":"object","properties":{{"a":{{"type":"string"}},"b":{{"type":"number","minimum":0.5}}}},"required":["a"]}},"annotations":{{"readOnlyHint":true}}}}"#
        )
        .expect("a string takes what is written to it");
    }
    list
}

fn listing(count: usize) -> f64 {
    let mut stage = Stage::greeted();
    stage.host(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#.into());
    let answer = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{}]}}}}"#, tools(count));
    timed(|| stage.server(answer))
}

fn comparing(count: usize) -> f64 {
    let mut stage = Stage::greeted();
    let list = tools(count);
    stage.host(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#.into());
    stage.server(format!(r#"{{"jsonrpc":"2.0","id":1,"result":{{"tools":[{list}]}}}}"#));
    stage.crash();
    stage.tell(Input::Spawned(Gen(2), 2));
    stage.server(r#"{"jsonrpc":"2.0","id":"mcp-supervise:2:initialize","result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}}}}"#.into());
    let answer =
        format!(r#"{{"jsonrpc":"2.0","id":"mcp-supervise:2:tools/list:1","result":{{"tools":[{list}]}}}}"#);
    timed(|| stage.server(answer))
}

fn blanks(count: usize) -> f64 {
    let read = Bytes::from(vec![b' '; 64 * 1024]);
    let mut codec = LineCodec::new(usize::MAX);
    let mut buffer = BytesMut::new();
    timed(|| {
        for _ in 0..count {
            buffer.extend_from_slice(&read);
            assert!(codec.decode(&mut buffer).is_ok_and(|line| line.is_none()), "no line ends here");
        }
    })
}
