//! The fixture daemon as a test uses it: it issues session tokens as the real one does, and fails when it is told to.
//!
//! Everything waits for an event, with a watchdog. Dropping it ends it.

#[path = "../../../fixtures/http.rs"]
pub(crate) mod http;

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::plan::example;
use super::process::{WATCHDOG, eventually};

/// The wallets that there are. The first has a name.
pub(crate) const WALLET: &str = "0190a3b2-7c1d-7e4f-8a5b-1c2d3e4f5a6b";
pub(crate) const OTHER_WALLET: &str = "0190a3b2-7c1d-7e4f-8a5b-1c2d3e4f5a6c";
pub(crate) const PASSWORD: &str = "correct horse";
/// Where sessions are renewed.
pub(crate) const RENEWALS: &str = "/v1/sessions/*/renew";
/// Where the balance is.
pub(crate) const BALANCE: &str = "/v1/wallet/balance";

/// The daemon.
pub(crate) struct Daemon {
    child: Child,
    stdout: BufReader<ChildStdout>,
    dir: TempDir,
    base: String,
}

/// A session, and the token with which it was opened or rotated last.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) token: String,
    /// As the daemon has written it.
    pub(crate) expires_at: Value,
}

/// An answer.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Null where it is no JSON.
    pub(crate) body: Value,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

impl Answer {
    /// The error's code, flat or nested. Empty where there is none.
    pub(crate) fn code(&self) -> &str {
        let error = self.body.get("error").unwrap_or(&self.body);
        error["code"].as_str().unwrap_or_default()
    }

    /// Status and code of an error.
    pub(crate) fn refusal(&self) -> (u16, &str) {
        (self.status, self.code())
    }

    /// The value of a header. `None` if it is not there.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(ours, _)| ours == name).map(|(_, value)| value.as_str())
    }
}

impl Daemon {
    /// Starts it with two wallets.
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// The same with more options, separated by blanks.
    pub(crate) fn with(options: &str) -> Self {
        Self::of(&[&format!("{WALLET}=My Wallet"), OTHER_WALLET], options)
    }

    /// Starts it with these wallets, `ID` or `ID=NAME`, and more options, separated by blanks.
    pub(crate) fn of(wallets: &[&str], options: &str) -> Self {
        let dir = TempDir::new().expect("the system has a folder for temporary files");
        #[expect(clippy::disallowed_methods, reason = "a fixture")]
        let mut command = Command::new(example("fixture-daemon"));
        command.arg("--data-dir").arg(dir.path());
        command.args(wallets.iter().flat_map(|wallet| ["--wallet", wallet]));
        command.args(["--password", PASSWORD]).args(options.split_whitespace());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the fixture was built for this test");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is a pipe"));
        let mut line = String::new();
        stdout.read_line(&mut line).expect("a pipe can be read");
        let ready: Value = serde_json::from_str(&line).expect("the daemon says where it is");
        let base = ready["base"].as_str().expect("it has a URL").to_owned();
        Self { child, stdout, dir, base }
    }

    /// Its URL, without a slash at its end.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// `HOST:PORT`
    pub(crate) fn host(&self) -> &str {
        self.base.trim_start_matches("http://")
    }

    /// The folder with its token files.
    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// Where it writes the token of a wallet.
    pub(crate) fn token_file(&self, wallet: &str) -> PathBuf {
        self.dir.path().join("mcp-tokens").join(wallet)
    }

    /// A request with these headers.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> std::io::Result<Answer> {
        let url = format!("{}{path}", self.base);
        let request = http::Request { method, url: &url, headers, body, patience: Some(WATCHDOG) };
        let mut response = request.send()?;
        let body = serde_json::from_slice(&response.whole()?).unwrap_or_default();
        Ok(Answer { status: response.status, body, headers: response.headers })
    }

    /// A request with a session token.
    pub(crate) fn call(&self, method: &str, path: &str, token: &str, body: Option<&Value>) -> Answer {
        let body = body.map(Value::to_string);
        let bearer = format!("Bearer {token}");
        let sent = self.send(method, path, &[("Authorization", &bearer)], body.as_deref().map(str::as_bytes));
        sent.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// Asks for the balance: what any call does that only reads.
    pub(crate) fn balance(&self, token: &str) -> Answer {
        self.call("GET", BALANCE, token, None)
    }

    /// Renews a session.
    pub(crate) fn renew(&self, id: &str, token: &str) -> Answer {
        self.call("PUT", &format!("/v1/sessions/{id}/renew"), token, Some(&json!({})))
    }

    /// A request with the master password.
    pub(crate) fn admin(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let body = body.map(Value::to_string);
        let headers = [("X-Master-Password", PASSWORD)];
        let sent = self.send(method, path, &headers, body.as_deref().map(str::as_bytes));
        sent.unwrap_or_else(|error| panic!("{method} {path}: {error}"))
    }

    /// A session of the first wallet on these terms: see `fixtures/daemon/control.rs`.
    pub(crate) fn session(&self, terms: &Value) -> Session {
        let mut asked = json!({ "wallet": WALLET });
        for (name, value) in terms.as_object().expect("terms have names") {
            asked[name] = value.clone();
        }
        session(&self.order("session", &asked))
    }

    /// A session that can be renewed at once, and lives for long: a token of an hour whose first 40 minutes are over.
    pub(crate) fn ripe(&self) -> Session {
        self.session(&json!({"ttl_ms": 3_600_000, "age_ms": 2_400_000}))
    }

    /// Renews a session behind everybody's back; with `write` into the token file too.
    pub(crate) fn rotate(&self, id: &str, write: bool) -> Session {
        session(&self.order("rotate", &json!({"session": id, "write": write})))
    }

    /// Ends a session.
    pub(crate) fn revoke(&self, id: &str) {
        self.order("revoke", &json!({ "session": id }));
    }

    /// Makes the daemon forget a session.
    pub(crate) fn forget(&self, id: &str) {
        self.order("revoke", &json!({"session": id, "forget": true}));
    }

    /// Sets the kill switch.
    pub(crate) fn kill_switch(&self, on: bool) {
        self.order("kill-switch", &json!({ "on": on }));
    }

    /// Makes requests to this path fail: see `fixtures/daemon/fault.rs`.
    pub(crate) fn fault(&self, path: &str, fault: &Value) {
        let mut fault = fault.clone();
        fault["path"] = path.into();
        self.order("fault", &fault);
    }

    /// Takes all failures back.
    pub(crate) fn clear(&self) {
        self.order("clear", &json!({}));
    }

    /// Keeps requests to this path waiting `before` they are carried out, `after` it, or `between` the events of a stream.
    pub(crate) fn hold(&self, path: &str, at: &str) {
        self.order("hold", &json!({"path": path, "at": at}));
    }

    /// Lets all go on that are held.
    pub(crate) fn release(&self) {
        self.order("release", &json!({}));
    }

    /// What tests ask for by `POST /fixture/...`. Gives the answer.
    pub(crate) fn order(&self, what: &str, body: &Value) -> Value {
        let body = body.to_string();
        let answer = self.send("POST", &format!("/fixture/{what}"), &[], Some(body.as_bytes()));
        let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(answer.status, 200, "{what} {body}: {}", answer.body);
        answer.body
    }

    /// All requests that have come so far, but those of the test to `/fixture/`.
    pub(crate) fn log(&self) -> Vec<Value> {
        self.look("log?")
    }

    /// Waits until so many requests to this path have come. Gives them.
    pub(crate) fn wait(&self, path: &str, count: usize) -> Vec<Value> {
        self.look(&format!("wait?path={path}&count={count}"))
    }

    /// Waits until so many requests to this path are `held`, `executed` or `answered`. Gives them.
    pub(crate) fn wait_until(&self, path: &str, until: &str, count: usize) -> Vec<Value> {
        self.look(&format!("wait?path={path}&until={until}&count={count}"))
    }

    /// The sessions, and which transactions were carried out.
    pub(crate) fn state(&self) -> Value {
        self.send("GET", "/fixture/state", &[], None).expect("the daemon lives").body
    }

    /// Ends its stdin, and waits for its end. Gives what else it has said on stdout, and whether it has ended well.
    pub(crate) fn finish(mut self) -> (String, bool) {
        drop(self.child.stdin.take());
        let status = eventually(|| self.child.try_wait().expect("it is our child"));
        let mut said = String::new();
        let status = status.expect("the daemon ends with its stdin");
        self.stdout.read_to_string(&mut said).expect("a pipe can be read");
        (said, status.success())
    }

    fn look(&self, what: &str) -> Vec<Value> {
        let answer = self.send("GET", &format!("/fixture/{what}"), &[], None);
        let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}; so far: {:#?}", self.log()));
        assert_eq!(answer.status, 200, "{what}: {}", answer.body);
        answer.body["requests"].as_array().cloned().unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// How the log calls a token.
pub(crate) fn fingerprint(token: &str) -> String {
    let digest = Sha256::digest(token.as_bytes());
    format!("{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3])
}

fn session(told: &Value) -> Session {
    let text = |name: &str| told[name].as_str().expect("it is told").to_owned();
    Session { id: text("id"), token: text("token"), expires_at: told["expiresAt"].clone() }
}
