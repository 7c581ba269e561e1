//! `demo`: the whole story on a machine with nothing installed, and a check of every line that it tells.
//!
//! This program plays all parts: a host, which is the code in here, the supervisor, which is the real `run`, a server
//! ([`serve`]), and the API behind it. Host, supervisor and server are three processes that talk over pipes as they would
//! in earnest. However the story ends, nothing of it is left.

mod api;
mod host;
mod server;
mod session;
mod stage;
mod told;

use std::ffi::OsString;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::time::Instant;

use self::host::{Counts, Host, Plan};
use self::stage::Stage;
use self::told::{Unheard, remark, tell, tell_guidance, title};

pub use self::server::serve;

/// How long the server of the last act takes to start, as one whose package is still being downloaded.
const SLOW: Duration = Duration::from_secs(6);
/// How many times an idle server is killed.
const IDLE_KILLS: u32 = 3;

/// Tells the story.
///
/// # Errors
/// If anything is not as told.
pub fn demo() -> Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("failed to start")?;
    match runtime.block_on(story()) {
        // Whoever has seen enough need not wait.
        Err(error) if error.is::<Unheard>() => Ok(()),
        told => told,
    }
}

async fn story() -> Result<()> {
    let mut stage = Stage::new()?;
    remark(
        "The host is what you chat with, such as Claude Desktop or an editor. Here it is a part of this demo, and so is \
         the server. The supervisor between them is the real one. They are three processes, and the host has one \
         connection to each server, whatever happens.",
    )?;
    let mut counts = crashing(&mut stage).await?;
    counts.add(&session::session(&mut stage).await?);
    counts.add(&unstartable(&mut stage).await?);
    counts.add(&slow(&mut stage).await?);
    stage.clear()?;
    title("All in all")?;
    tell(
        "counts",
        &format!(
            "{} requests, {} answers, {} kills, lost {}, doubled {}",
            counts.requests, counts.answers, counts.kills, counts.lost, counts.doubled
        ),
    )?;
    ensure!(counts.lost == 0 && counts.doubled == 0, "an answer was lost or doubled");
    tell("demo", "everything was as told")?;
    remark(
        "\nFor your own server: put the full path of this program, and --, before the server's command in the host's \
         configuration.",
    )
}

/// A server that is killed again and again, and that its host never loses.
async fn crashing(stage: &mut Stage) -> Result<Counts> {
    title("The server crashes")?;
    let host = Host::start(stage, Plan::new("notes", stage.server()))?;
    let (last, code, counts) = stage.play(host, crashes).await?;
    ensure!(code == 0, "the supervisor ended with code {code}");
    ensure!(counts.greetings == 1, "the host has greeted {} times", counts.greetings);
    ensure!(kill(Pid::from_raw(last), None).is_err(), "the server {last} is still there");
    tell("host", "closes the connection: the server and the supervisor are gone, exit code 0")?;
    Ok(counts)
}

/// Gives the process id of the last server.
async fn crashes(host: &mut Host) -> Result<i32> {
    let greeting = host.greet().await?;
    tell("host", &format!("connects to the server {}", greeting["serverInfo"]["name"]))?;
    let tools = host.request("tools/list", json!({})).await?;
    let names: Vec<&str> =
        tools["tools"].as_array().into_iter().flatten().filter_map(|tool| tool["name"].as_str()).collect();
    tell("host", &format!("is offered the tools {}", names.join(", ")))?;
    add(host, 20, 22).await?;

    for number in 1..=IDLE_KILLS {
        let pid = pid(host).await?;
        tell("demo", &format!("kill -9 {pid}: the server is gone ({number} of {IDLE_KILLS})"))?;
        slay(host, pid)?;
        let started = Instant::now();
        add(host, i64::from(number), 1).await?;
        let took = started.elapsed().as_millis();
        tell("host", &format!("had that answer after {took} ms, on the same connection"))?;
    }

    let pid = pid(host).await?;
    tell("host", "calls send_letter, which is not safe to repeat")?;
    let call = host.send("tools/call", json!({"name": "send_letter", "arguments": {"to": "Ada"}})).await?;
    host.notification("notifications/message").await?;
    tell("demo", &format!("kill -9 {pid}: the server is gone with the call in flight"))?;
    slay(host, pid)?;
    let answer = host.answer(call).await?;
    tell_guidance(&guidance(&answer, "server_restarted", Some("unknown"))?)?;
    let letters = text(&host.call("letters", json!({})).await?)?;
    ensure!(letters == "0", "the letter was sent by a second server: {letters}");
    tell("host", "asks the new server, which was not given that call: 0 letters sent")?;
    self::pid(host).await
}

/// A server that cannot be started, and what the chat is told of it.
async fn unstartable(stage: &mut Stage) -> Result<Counts> {
    title("The server cannot be started")?;
    let command = OsString::from("weather-server-that-is-not-installed");
    let host = Host::start(stage, Plan::new("weather", [command]))?;
    let ((), code, counts) = stage.play(host, does_not_start).await?;
    ensure!(code == crate::exit_code::NOT_FOUND, "the supervisor ended with code {code}");
    tell("host", &format!("closes the connection: exit code {code}, as a shell has it"))?;
    Ok(counts)
}

async fn does_not_start(host: &mut Host) -> Result<()> {
    host.greet().await?;
    tell("host", "connects to a server whose command does not exist")?;
    let tools = host.request("tools/list", json!({})).await?;
    ensure!(tools["tools"][0]["name"] == "supervisor_status", "the host is offered other tools: {tools}");
    tell("host", "is offered the tool supervisor_status, and calls it")?;
    let answer = host.call("supervisor_status", json!({})).await?;
    tell_guidance(&guidance(&answer, "server_unavailable", None)?)
}

/// The server of the first act again, so slow to start that a host might give it up.
async fn slow(stage: &mut Stage) -> Result<Counts> {
    title("The server is slow to start")?;
    let mut plan = Plan::new("notes", stage.server());
    plan.options = vec!["--instant-start".into()];
    plan.starts_after = Some(SLOW);
    let started = Instant::now();
    let host = Host::start(stage, plan)?;
    let ((), code, counts) = stage.play(host, async |host| starts_slowly(host, started).await).await?;
    ensure!(code == 0, "the supervisor ended with code {code}");
    Ok(counts)
}

async fn starts_slowly(host: &mut Host, started: Instant) -> Result<()> {
    host.greet().await?;
    let tools = host.request("tools/list", json!({})).await?;
    let took = started.elapsed();
    ensure!(tools["tools"][0]["name"] == "add", "the host is offered other tools: {tools}");
    ensure!(took < SLOW, "the host has waited for the server");
    tell(
        "host",
        &format!("connects to the first server again, which takes {} s to start this time", SLOW.as_secs()),
    )?;
    tell(
        "host",
        &format!("is offered its tools after {} ms, as they were in the earlier run", took.as_millis()),
    )?;
    add(host, 40, 2).await?;
    let took = started.elapsed();
    ensure!(took >= SLOW, "the server cannot have started yet");
    tell("host", &format!("had that answer after {:.1} s, from the server itself", took.as_secs_f64()))
}

async fn add(host: &mut Host, left: i64, right: i64) -> Result<()> {
    let sum = text(&host.call("add", json!({"left": left, "right": right})).await?)?;
    ensure!(sum == (left + right).to_string(), "{left} + {right} is not {sum}");
    tell("host", &format!("calls add: {left} + {right} = {sum}"))
}

async fn pid(host: &mut Host) -> Result<i32> {
    text(&host.call("pid", json!({})).await?)?.parse().context("the server's pid is no number")
}

fn slay(host: &mut Host, pid: i32) -> Result<()> {
    host.counts.kills += 1;
    kill(Pid::from_raw(pid), Signal::SIGKILL).with_context(|| format!("failed to kill the server {pid}"))
}

/// The text of a tool's result.
fn text(result: &Value) -> Result<String> {
    Ok(result["content"][0]["text"].as_str().with_context(|| format!("no text in {result}"))?.to_owned())
}

/// The guidance in a tool's result. It must have this status, and the result must not be marked as an error of the
/// tool. `outcome` is `None` where no tool of the server was called.
fn guidance(result: &Value, status: &str, outcome: Option<&str>) -> Result<Value> {
    ensure!(result.get("isError").is_none(), "the chat is told of an error of the tool: {result}");
    let guidance: Value = serde_json::from_str(&text(result)?).unwrap_or_default();
    let right = guidance["status"] == status && guidance["outcome"].as_str() == outcome;
    ensure!(right, "the chat should be told {status} and {outcome:?}, and is told {result}");
    Ok(guidance)
}
