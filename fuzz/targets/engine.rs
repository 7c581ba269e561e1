//! The engine by a script of inputs, one a line; its first letter says what happens:
//!
//! `h` a line of the host, `c` one of the server, `p` the server was started, `f` it could not be, `e` it has ended, `s` and
//! its output with it, `m` its stdout has ended, `d` it reads no more, `t` the next deadline, `w` a second passes, `r` and `q`
//! restart and stop are asked for, `x` SIGTERM, `E` the end of the host's input.
//!
//! Only what a doer could tell is told: a server that was never started does not end. Held against it: what the host gets is
//! JSON, no request is answered twice, one server at a time, and nothing comes after the exit. A line that is no request may
//! be answered too, under whatever id the server finds in it.

#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use mcp_supervise::engine::io::{Exit, Gen, Input, Now, Order, Output, SpawnFault, StopSignal};
use mcp_supervise::engine::{Config, Engine};
use mcp_supervise::wire::Line;
use serde_json::Value;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Child {
    None,
    Asked(Gen),
    Runs(Gen),
    Ended(Gen),
}

struct World {
    engine: Engine,
    now: Now,
    child: Child,
    /// How often the host has asked with each id, and how often it was answered.
    asked: BTreeMap<String, (u32, u32)>,
    /// How many answers there may be to lines that are no requests.
    strays: usize,
    exited: bool,
}

impl World {
    fn new() -> Self {
        let now = Now { mono: Duration::ZERO, wall: Duration::from_secs(1_700_000_000) };
        let mut world = Self {
            engine: Engine::new(Config::default(), now),
            now,
            child: Child::None,
            asked: BTreeMap::new(),
            strays: 0,
            exited: false,
        };
        world.drain();
        world
    }

    fn tell(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.engine.poll() {
            assert!(!self.exited, "{output:?} comes after the exit");
            match output {
                Output::ToHost(bytes, _) => self.heard(&bytes),
                Output::Spawn(generation) => {
                    assert!(matches!(self.child, Child::None), "two servers at a time");
                    self.child = Child::Asked(generation);
                }
                // It is done with, whether or not its output has ended.
                Output::Forget { child, .. } => {
                    if matches!(self.child, Child::Asked(its) | Child::Runs(its) | Child::Ended(its) if its == child)
                    {
                        self.child = Child::None;
                    }
                }
                Output::Exit { .. } => self.exited = true,
                _ => {}
            }
        }
    }

    fn heard(&mut self, bytes: &[u8]) {
        let value: Value = serde_json::from_slice(bytes).expect("the host gets JSON");
        let is_answer = value.get("method").is_none() && value.get("id").is_some();
        if let Some((asked, answered)) = self.asked.get_mut(&value["id"].to_string()).filter(|_| is_answer) {
            if answered < asked {
                *answered += 1;
                return;
            }
            assert!(self.strays > 0, "{} is answered twice", value["id"]);
            self.strays -= 1;
        }
    }

    fn step(&mut self, what: u8, rest: &[u8]) {
        let line = || Line::Whole(Bytes::from([rest, b"\n"].concat()));
        match (what, self.child) {
            (b'h', _) => {
                match serde_json::from_slice(rest) {
                    Ok(Value::Object(message)) => match (message.get("id"), message.get("method")) {
                        (Some(id), Some(Value::String(_))) => {
                            self.asked.entry(id.to_string()).or_default().0 += 1;
                        }
                        _ => self.strays += 1,
                    },
                    Ok(Value::Array(elements)) => self.strays += elements.len().max(1),
                    Ok(_) | Err(_) => self.strays += 1,
                }
                self.tell(Input::Host(line()));
            }
            (b'c', Child::Runs(child) | Child::Ended(child)) => self.tell(Input::Child(child, line())),
            (b'p', Child::Asked(child)) => {
                self.child = Child::Runs(child);
                self.tell(Input::Spawned(child, 7));
            }
            (b'f', Child::Asked(child)) => {
                self.child = Child::None;
                self.tell(Input::SpawnFailed(child, SpawnFault::NotFound, "no such file".to_owned()));
            }
            (b'e', Child::Runs(child)) => {
                self.child = Child::Ended(child);
                let code = i32::from(rest.first().copied().unwrap_or(0) & 127);
                self.tell(Input::Exited(child, Exit::Code(code)));
            }
            (b's', Child::Ended(child)) => {
                self.child = Child::None;
                let stderr_tail = String::from_utf8_lossy(rest).into_owned();
                self.tell(Input::Silent { from: child, stderr_tail, unsent: Vec::new() });
            }
            (b'm', Child::Runs(child)) => self.tell(Input::Mute(child)),
            (b'd', Child::Runs(child)) => self.tell(Input::Deaf(child)),
            (b't', _) => {
                if let Some(at) = self.engine.deadline() {
                    self.pass(at.saturating_sub(self.now.mono));
                    self.tell(Input::Timer);
                }
            }
            (b'w', _) => self.pass(Duration::from_secs(1)),
            (b'r', _) => self.tell(Input::Order(Order::Restart)),
            (b'q', _) => self.tell(Input::Order(Order::Stop)),
            (b'x', _) => self.tell(Input::Stop(StopSignal::Term)),
            (b'E', _) => self.tell(Input::HostEof),
            _ => {}
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now.mono += time;
        self.now.wall += time;
    }
}

fuzz_target!(|script: &[u8]| {
    let mut world = World::new();
    let mut ended = false;
    for line in script.split(|byte| *byte == b'\n') {
        let Some((what, rest)) = line.split_first() else { continue };
        // After its end the host says nothing more.
        if world.exited || (ended && matches!(what, b'h' | b'E')) {
            continue;
        }
        ended |= *what == b'E';
        world.step(*what, rest);
    }
});
