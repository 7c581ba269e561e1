//! Panics that are planted: in the gateway of a program that is whole, and where the relay is.
//!
//! Only a program that is built for tests has them, and only one of its own may panic so: each test starts itself once
//! more, alone, in another process.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::OpenOptionsExt as _;
use std::panic::catch_unwind;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tempfile::TempDir;

use super::Panics;
use crate::cli;
use crate::gateway::PLANTED;
use crate::mask::Mask;

/// Far longer than anything takes.
const WATCHDOG: Duration = Duration::from_secs(60);
/// Which folder a test has that was started by itself. Not there in the one that starts it.
const FOLDER: &str = "FOLDER_OF_THE_TEST";

/// The test of this name once more, in a process of its own.
fn alone(name: &str, folder: &Path) -> Command {
    #[expect(clippy::disallowed_methods, reason = "a test of a whole program")]
    let mut command = Command::new(env::current_exe().unwrap());
    let name = format!("{}::{name}", module_path!().split_once("::").unwrap().1);
    command.args(["--exact", &name, "--nocapture"]).env_clear();
    command.env("PATH", env::var_os("PATH").unwrap_or_default()).env("HOME", folder).env(FOLDER, folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A server that writes down how it gets to its API, and gives one answer to all that it is asked.
const SERVER: &str = r#"
    printf '%s\n%s\n' "$WAIAAS_BASE_URL" "$WAIAAS_SESSION_TOKEN" > "$1"
    while read -r line; do
        id=${line#*\"id\":}
        [ "$id" = "$line" ] || echo '{"jsonrpc":"2.0","id":'"${id%%,*}"',"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"s","version":"1"},"tools":[]}}'
    done"#;

#[test]
fn a_panic_in_the_gateway_is_told_without_the_token_and_all_else_goes_on() {
    if let Some(folder) = env::var_os(FOLDER) {
        let access = Path::new(&folder).join("access").into_os_string();
        let words =
            ["mcp-supervise", "--profile", "waiaas", "--no-store", "--name", "demo", "--", "sh", "-c"];
        let words = words.map(Into::into).into_iter().chain([SERVER.into(), "sh".into(), access]);
        let Ok(cli::Command::Run(options)) = cli::parse(words, false) else { panic!("it can be read") };
        assert_eq!(crate::command::run::run(options, None).unwrap(), 0);
        return;
    }
    let folder = TempDir::new().unwrap();
    let token = format!("wai_sess_e30.{}.c2lnbmF0dXJlLW9mLWl0", URL_SAFE_NO_PAD.encode(r#"{"sub":"a"}"#));
    let mut kept = OpenOptions::new();
    let mut kept =
        kept.write(true).create_new(true).mode(0o600).open(folder.path().join("mcp-token")).unwrap();
    kept.write_all(token.as_bytes()).unwrap();
    let api = api();
    let mut command =
        alone("a_panic_in_the_gateway_is_told_without_the_token_and_all_else_goes_on", folder.path());
    command.env("WAIAAS_BASE_URL", &api).env("WAIAAS_DATA_DIR", folder.path());
    let mut program = command.spawn().unwrap();
    let mut host = program.stdin.take().unwrap();
    let answers = messages(program.stdout.take().unwrap());
    ask(
        &mut host,
        &answers,
        1,
        r#""initialize","params":{"protocolVersion":"2025-06-18","capabilities":{},"clientInfo":{"name":"h","version":"1"}}"#,
    );
    host.write_all(
        b"{\"jsonrpc\":\"2.0\",\"method\":\"notifications/initialized\",\"id\":0,\"params\":{}}\n",
    )
    .unwrap();

    let access = fs::read_to_string(folder.path().join("access")).unwrap();
    let (url, stand_in) = access.trim_end().split_once('\n').unwrap();
    let address = url.strip_prefix("http://").unwrap();
    let get = |path: &str| {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(WATCHDOG)).unwrap();
        let head = format!(
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {stand_in}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        // A connection that breaks off is what a panic leaves.
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    assert!(get("/before").ends_with("fine"));
    assert_eq!(get(PLANTED), "", "it has panicked");
    assert!(get("/after").ends_with("fine"));
    ask(&mut host, &answers, 2, r#""tools/list""#);

    drop(host);
    let output = program.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{stderr}");
    let [line] = &stderr.lines().collect::<Vec<_>>()[..] else { panic!("not one line: {stderr}") };
    for part in
        ["Z ERROR mcp-supervise: panicked: planted, with *** in it", "src/gateway/", "thread=\"session\""]
    {
        assert!(line.contains(part), "no {part}: {line}");
    }
    assert!(!stderr.contains("e30") && !stderr.contains("c2lnbmF0dXJl"), "{stderr}");
}

#[test]
fn a_panic_that_ends_the_relay_is_told_on_stderr_without_the_secret() {
    if env::var_os(FOLDER).is_some() {
        let panics = Panics::default();
        let environment = [("A_TOKEN".to_owned(), "sesame-open-wide".to_owned())];
        panics.mask_all("demo".to_owned(), Mask::new(environment.into_iter()));
        let elsewhere = thread::spawn(|| panic!("somebody else's"));
        assert!(elsewhere.join().is_err());
        let panic = catch_unwind(|| panic!("with sesame-open-wide\nin it")).unwrap_err();
        panics.resume(panic);
    }
    let folder = TempDir::new().unwrap();
    let mut command =
        alone("a_panic_that_ends_the_relay_is_told_on_stderr_without_the_secret", folder.path());
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(101), "as of any program in Rust: {stderr}");
    let (error, hint) = stderr.split_once('\n').unwrap();
    assert!(
        error.starts_with("error: mcp-supervise has panicked at src/command/run/panics/tests.rs:"),
        "{stderr}"
    );
    assert!(error.ends_with(": with *** in it") && hint.starts_with("hint: "), "{stderr}");
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
}

/// An API to which everything is fine. Gives its address.
fn api() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let head = BufReader::new(&stream).lines();
            let asked = head.map_while(Result::ok).take_while(|line| !line.is_empty()).count();
            let answer: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfine";
            if asked > 0 {
                stream.write_all(answer).unwrap();
            }
        }
    });
    format!("http://{address}")
}

/// The messages on a stream on which tests tell of themselves too.
fn messages(stdout: impl std::io::Read + Send + 'static) -> Receiver<String> {
    let (tell, told) = channel();
    thread::spawn(move || {
        let lines = BufReader::new(stdout).lines().map_while(Result::ok);
        lines.filter(|line| line.starts_with('{')).try_for_each(|line| tell.send(line))
    });
    told
}

/// Asks, and waits for the answer.
fn ask(host: &mut ChildStdin, answers: &Receiver<String>, id: u32, rest: &str) {
    writeln!(host, r#"{{"jsonrpc":"2.0","id":{id},"method":{rest}}}"#).unwrap();
    let sign = format!(r#""id":{id},"#);
    while !answers.recv_timeout(WATCHDOG).expect("there is an answer").contains(&sign) {}
}
