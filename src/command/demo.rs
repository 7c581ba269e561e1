//! `demo`: the whole story on a machine with nothing installed, and a check of every line that it tells.
//!
//! This program plays all three parts: a host, which is the code in here, the supervisor, which is the real `run`, and a
//! server ([`serve`]). They are three processes that talk over pipes as they would in earnest.

mod host;
mod server;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use self::host::{Counts, Host, Stage};
use crate::report;

pub use self::server::serve;

/// How long the whole story may take: many times what it does take, so that a slow machine is no failure.
const PATIENCE: Duration = Duration::from_secs(60);
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
    let outcome = runtime.block_on(async { timeout(PATIENCE, story()).await });
    // A server or a supervisor that is still there at a failure ends when its pipes do.
    outcome.context("the demo did not come to its end in time")?
}

fn tell(who: &str, what: &str) -> Result<()> {
    report::text(format!("{who:>10}  {what}\n")).context("failed to write to stdout")
}

async fn story() -> Result<()> {
    report::text(
        "A host, the supervisor and a server, as three processes. The host is told nothing of what follows.\n\n",
    )?;
    let mut stage = Stage {
        myself: std::env::current_exe().context("failed to find this program")?.into_os_string(),
        folder: tempfile::tempdir().context("failed to make a temporary folder")?,
        server_starts_after: None,
    };
    let mut counts = serving(&stage).await?;
    report::text("\n")?;
    counts.add(&unstartable(&stage).await?);
    report::text("\n")?;
    stage.server_starts_after = Some(SLOW);
    counts.add(&slow(&stage).await?);
    report::text("\n")?;
    tell(
        "counts",
        &format!(
            "{} requests, {} answers, {} kills, lost {}, doubled {}",
            counts.requests, counts.answers, counts.kills, counts.lost, counts.doubled
        ),
    )?;
    ensure!(counts.lost == 0 && counts.doubled == 0, "an answer was lost or doubled");
    tell("", "everything was as told")
}

/// A server that is killed again and again, and that its host never loses.
async fn serving(stage: &Stage) -> Result<Counts> {
    let command = [stage.myself.clone(), "demo".into(), "--serve".into()];
    let mut host = Host::start(stage, "notes", &[], &command)?;
    let greeting = host.greet().await?;
    let server = greeting["serverInfo"]["name"].as_str().unwrap_or("nobody").to_owned();
    tell("host", &format!("connects to the server {server:?}"))?;
    let tools = host.request("tools/list", json!({})).await?;
    let names: Vec<&str> =
        tools["tools"].as_array().into_iter().flatten().filter_map(|tool| tool["name"].as_str()).collect();
    tell("host", &format!("is offered the tools {}", names.join(", ")))?;
    add(&mut host, 20, 22).await?;

    for number in 1..=IDLE_KILLS {
        let pid = pid(&mut host).await?;
        tell("demo", &format!("kill -9 {pid}: the server is gone ({number} of {IDLE_KILLS})"))?;
        slay(&mut host, pid)?;
        let started = Instant::now();
        add(&mut host, i64::from(number), 1).await?;
        let took = started.elapsed().as_millis();
        tell("host", &format!("had that answer after {took} ms, on the same connection"))?;
    }

    let pid = pid(&mut host).await?;
    tell("host", "calls send_letter, which is not safe to repeat")?;
    let call = host.send("tools/call", json!({"name": "send_letter", "arguments": {"to": "Ada"}})).await?;
    host.notification("notifications/message").await?;
    tell("demo", &format!("kill -9 {pid}: the server is gone with the call in flight"))?;
    slay(&mut host, pid)?;
    let answer = host.answer(call).await?;
    let guidance = guidance(&answer)?;
    ensure!(
        guidance["status"] == "server_restarted" && guidance["outcome"] == "unknown",
        "unexpected: {guidance}"
    );
    tell_guidance(&guidance)?;
    let letters = text(&host.call("letters", json!({})).await?)?;
    ensure!(letters == "0", "the letter was sent by a second server: {letters}");
    tell("host", "asks the new server, which was not given that call: 0 letters sent")?;

    let last = self::pid(&mut host).await?;
    let (code, counts) = host.stop().await?;
    ensure!(code == 0, "the supervisor ended with code {code}");
    ensure!(counts.greetings == 1, "the host has greeted {} times", counts.greetings);
    ensure!(kill(Pid::from_raw(last), None).is_err(), "the server {last} is still there");
    tell("host", "closes the connection: the server and the supervisor are gone, exit code 0")?;
    Ok(counts)
}

/// A server that cannot be started, and what the chat is told of it.
async fn unstartable(stage: &Stage) -> Result<Counts> {
    let mut host = Host::start(stage, "weather", &[], &["weather-server-that-is-not-installed".into()])?;
    host.greet().await?;
    tell("host", "connects to a server whose command does not exist")?;
    let tools = host.request("tools/list", json!({})).await?;
    ensure!(tools["tools"][0]["name"] == "supervisor_status", "unexpected: {tools}");
    tell("host", "is offered the tool supervisor_status, and calls it")?;
    let answer = host.call("supervisor_status", json!({})).await?;
    let guidance = guidance(&answer)?;
    ensure!(
        guidance["status"] == "server_unavailable" && guidance["outcome"] == "not_executed",
        "unexpected: {guidance}"
    );
    tell_guidance(&guidance)?;
    let (code, counts) = host.stop().await?;
    ensure!(code == crate::exit_code::NOT_FOUND, "the supervisor ended with code {code}");
    tell("host", "closes the connection: exit code 127, as of a shell")?;
    Ok(counts)
}

/// The server of the first act again, so slow to start that a host might give it up.
async fn slow(stage: &Stage) -> Result<Counts> {
    let command = [stage.myself.clone(), "demo".into(), "--serve".into()];
    let started = Instant::now();
    let mut host = Host::start(stage, "notes", &["--instant-start"], &command)?;
    host.greet().await?;
    let tools = host.request("tools/list", json!({})).await?;
    let took = started.elapsed();
    ensure!(tools["tools"][0]["name"] == "add", "unexpected: {tools}");
    ensure!(took < SLOW, "the host has waited for the server");
    tell(
        "host",
        &format!("connects to the first server again, which takes {} s to start this time", SLOW.as_secs()),
    )?;
    tell(
        "host",
        &format!("is offered its tools after {} ms, as they were in the earlier run", took.as_millis()),
    )?;
    add(&mut host, 40, 2).await?;
    let took = started.elapsed();
    ensure!(took >= SLOW, "the server cannot have started yet");
    tell("host", &format!("had that answer after {:.1} s, from the server itself", took.as_secs_f64()))?;
    let (code, counts) = host.stop().await?;
    ensure!(code == 0, "the supervisor ended with code {code}");
    Ok(counts)
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

/// The guidance in a tool's result, which must not be marked as a failure of the tool.
fn guidance(result: &Value) -> Result<Value> {
    ensure!(result.get("isError").is_none(), "guidance is no error of the tool: {result}");
    serde_json::from_str(&text(result)?).context("the guidance is no JSON")
}

fn tell_guidance(guidance: &Value) -> Result<()> {
    let field = |name: &str| guidance[name].as_str().unwrap_or_default().to_owned();
    tell("chat", &format!("{}: {}", field("status"), field("message")))?;
    tell("", &field("hint"))
}
