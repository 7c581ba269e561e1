//! The acts of the session token: it is rotated behind everybody's back, and the session is revoked.
//!
//! What decides is made to happen in one order: the API keeps its refusal back until the new token is in the file, so
//! that the request has gone out with the old one and comes back to a supervisor that can find the new one.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, ensure};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::api::{Api, Asked, BALANCE, PATH, PREFIX};
use super::host::{Counts, Host, Plan};
use super::server::{API_TOKEN, API_URL};
use super::stage::Stage;
use super::told::{tell, tell_guidance, title};
use super::{guidance, pid, text};
use crate::http;

const SERVED: u16 = 200;
const REFUSED: u16 = 401;

/// The API and its tokens, one after the other.
struct Session {
    api: Api,
    /// Where the supervisor looks for the token.
    file: PathBuf,
    first: String,
    second: String,
    third: String,
}

impl Session {
    /// Whether this is what came to the API, and all of it.
    fn came(&self, asked: &[Asked], expected: &[(&String, u16)]) -> Result<()> {
        let expected: Vec<Asked> = expected
            .iter()
            .map(|(token, status)| Asked { token: Some((*token).clone()), status: *status })
            .collect();
        let shown = |all: &[Asked]| {
            let all =
                all.iter().map(|asked| format!("{} ({})", self.name(asked.token.as_ref()), asked.status));
            all.collect::<Vec<_>>().join(", ")
        };
        let (was, should) = (shown(asked), shown(&expected));
        ensure!(asked == expected, "the API was asked with: {was}; and should have been with: {should}");
        Ok(())
    }

    /// What a token is called, for it is not to be shown.
    fn name(&self, token: Option<&String>) -> &'static str {
        let names =
            [(&self.first, "the first token"), (&self.second, "the second"), (&self.third, "the third")];
        let name = |token: &String| names.into_iter().find(|(ours, _)| *ours == token).map(|(_, name)| name);
        token.map_or("no token", |token| name(token).unwrap_or("another token"))
    }
}

/// Both acts, with one supervisor and one server.
pub(super) async fn session(stage: &mut Stage) -> Result<Counts> {
    title("The API's session token is replaced")?;
    let session = Session {
        api: Api::open().await?,
        file: stage.folder().join("token"),
        first: token()?,
        second: token()?,
        third: token()?,
    };
    session.api.take(&session.first);
    keep(&session.file, &session.first)?;
    let (url, file) = (session.api.url(), session.file.display());
    tell("api", &format!("listens at {url} and wants a session token; it is kept in {file}"))?;
    tell("host", "connects to a server that asks this API, behind mcp-supervise with the options")?;
    tell("", &format!("--upstream {url} --upstream-env {API_URL}"))?;
    tell("", &format!("--stand-in-env {API_TOKEN} --token-file {file}"))?;
    let mut plan = Plan::new("wallet", stage.server());
    let options =
        ["--upstream", &url, "--upstream-env", API_URL, "--stand-in-env", API_TOKEN, "--token-file"];
    plan.options = options.into_iter().map(Into::into).chain([session.file.clone().into()]).collect();
    let host = Host::start(stage, plan)?;
    let (server, code, counts) = stage
        .play(host, async |host| {
            let (server, stand_in) = rotated(&session, host).await?;
            revoked(&session, host).await?;
            let now = pid(host).await?;
            ensure!(now == server, "the server {server} was restarted, and is {now} now");
            let held = held(host).await?;
            ensure!(held == stand_in, "the server was given another token");
            ensure!(host.counts.greetings == 1, "the host has greeted {} times", host.counts.greetings);
            Ok(server)
        })
        .await?;
    ensure!(code == 0, "the supervisor ended with code {code}");
    ensure!(kill(Pid::from_raw(server), None).is_err(), "the server {server} is still there");
    tell("host", "closes the connection: it was the same one, and the same server process, all the time")?;
    Ok(counts)
}

/// A token that the API replaces, and a host that does not notice. Gives the server's process id and the token that it
/// holds.
async fn rotated(session: &Session, host: &mut Host) -> Result<(i32, String)> {
    let Session { api, file, first, second, third } = session;
    host.greet().await?;
    host.request("tools/list", json!({})).await?;
    let server = pid(host).await?;
    balance(host).await?;
    session.came(&api.asked(), &[(first, SERVED)])?;

    let stand_in = held(host).await?;
    ensure!(![first, second, third].contains(&&stand_in), "the server holds the token itself");
    let status = ask(api, &stand_in).await?;
    session.came(&api.asked(), &[(&stand_in, REFUSED)])?;
    ensure!(status == REFUSED, "the API answers {status} to what the server holds");
    tell(
        "demo",
        &format!("asks the API with the only token that the server was given: {status}, it is worthless"),
    )?;

    api.hold_refusals();
    api.take(second);
    tell("demo", "lets the API take a new token and no longer the old one, which is still in the file")?;
    let started = Instant::now();
    let call = host.send("tools/call", json!({"name": "balance", "arguments": {}})).await?;
    tell("host", "calls balance")?;
    session.came(&api.next_asked().await, &[(first, REFUSED)])?;
    tell("api", "gets a request with the old token")?;
    keep(file, second)?;
    tell("demo", "puts the new token into the file")?;
    api.let_refusals_go();
    tell("api", &format!("refuses the request: {REFUSED}"))?;
    is_balance(&host.answer(call).await?)?;
    let took = started.elapsed().as_millis();
    session.came(&api.asked(), &[(second, SERVED)])?;
    tell("api", "gets the request once more, with the new token, and serves it")?;
    tell("host", &format!("had its answer after {took} ms: {BALANCE}. It was a call that just worked"))?;
    Ok((server, stand_in))
}

/// A session that is over, and a new one that is used at once.
async fn revoked(session: &Session, host: &mut Host) -> Result<()> {
    let Session { api, file, second, third, .. } = session;
    title("The session ends")?;
    api.revoke();
    tell("demo", "lets the API refuse every token")?;
    tell("host", "calls balance")?;
    let guidance =
        guidance(&host.call("balance", json!({})).await?, "session_expired", Some("not_executed"))?;
    let hint = guidance["hint"].as_str().unwrap_or_default();
    ensure!(hint.contains(&file.display().to_string()), "the chat is not told of the file: {guidance}");
    session.came(&api.asked(), &[(second, REFUSED)])?;
    tell_guidance(&guidance)?;

    api.take(third);
    keep(file, third)?;
    tell("demo", "does that, with a token that the API takes")?;
    balance(host).await?;
    // Either the supervisor has seen the file in time, or it has tried with the old token and then found the new one.
    let asked = api.asked();
    let asked =
        asked.strip_prefix(&[Asked { token: Some(second.clone()), status: REFUSED }]).unwrap_or(&asked);
    session.came(asked, &[(third, SERVED)])?;
    Ok(())
}

/// The one token that the server was given.
async fn held(host: &mut Host) -> Result<String> {
    let mut held: Vec<String> = serde_json::from_str(&text(&host.call("tokens", json!({})).await?)?)?;
    ensure!(held.len() == 1, "the server was given {} tokens", held.len());
    held.pop().context("the server was given no token")
}

/// Calls the tool, which has to work.
async fn balance(host: &mut Host) -> Result<()> {
    is_balance(&host.call("balance", json!({})).await?)?;
    tell("host", &format!("calls balance: {BALANCE}"))
}

fn is_balance(result: &Value) -> Result<()> {
    ensure!(text(result)? == BALANCE.to_string(), "the call should work: {result}");
    Ok(())
}

/// Asks the API without a gateway. Gives the status.
async fn ask(api: &Api, token: &str) -> Result<u16> {
    let client = http::client(None).map_err(|fault| anyhow!("failed to {fault}"))?;
    let asking = client.get(format!("{}{PATH}", api.url())).bearer_auth(token).send();
    let answer = asking.await.map_err(|error| anyhow!("failed to ask: {}", http::reason(&error)))?;
    Ok(answer.status().as_u16())
}

/// A token that nobody has seen before.
fn token() -> Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).context("failed to get random bytes for a token")?;
    let mut token = PREFIX.to_owned();
    for byte in random {
        write!(token, "{byte:02x}")?;
    }
    Ok(token)
}

/// Puts a token into the file in one step, as careful programs do.
fn keep(file: &Path, token: &str) -> Result<()> {
    let keeping = || {
        let mut beside = tempfile::NamedTempFile::new_in(file.parent().unwrap_or(Path::new(".")))?;
        beside.write_all(token.as_bytes())?;
        beside.persist(file)?;
        anyhow::Ok(())
    };
    keeping().with_context(|| format!("failed to write {}", file.display()))
}
