//! A host made of the official SDK: its client, the process behind it, and what the client was asked and told.
//!
//! Nothing here sleeps: what is waited for is an answer, an event of the client's, or the end of a process.

#![expect(deprecated, reason = "roots and sampling are deprecated in the newest revision only")]

use std::ffi::OsStr;
use std::fs;
use std::future::{Future, pending};
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rmcp::model::{
    CallToolRequest, CallToolRequestParams, CallToolResult, CancelledNotificationParam, ClientCapabilities,
    ClientConfig, CreateMessageRequestParams, CreateMessageResult, ElicitRequestParams, ElicitResult,
    ElicitationAction, Implementation, ListRootsResult, ProgressNotificationParam,
    ResourceUpdatedNotificationParam, Root, SamplingMessage, ServerResult, Tool,
};
use rmcp::service::{
    ClientLifecycleMode, NotificationContext, PeerRequestOptions, RequestContext, RequestHandle,
    RunningService, ServiceError,
};
use rmcp::{ClientHandler, ClientServiceExt as _, ErrorData, RoleClient};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, Command};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// How long a test may take, and with it everything that is awaited in it.
const WATCHDOG: Duration = Duration::from_secs(30);

/// Runs one test. It has failed when it takes too long.
pub(super) fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async { tokio::time::timeout(WATCHDOG, test).await.expect("still waiting after 30 s") });
}

/// The path of a fixture program, which was built with this test.
pub(super) fn fixture(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the test knows where it is");
    let profile = test.ancestors().nth(2).expect("it is in PROFILE/deps");
    profile.join("examples").join(name)
}

/// The supervisor with these options before this server.
pub(super) fn supervised(options: &[&str], server: &[&str]) -> Command {
    let mut command = command(env!("CARGO_BIN_EXE_mcp-supervise"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MCP_SUPERVISE_") {
            command.env_remove(name);
        }
    }
    // Nothing of the user's is read, and nothing is left there.
    command.args(["--no-store"]).args(options).arg("--").args(as_program(server));
    command
}

/// The server with nothing before it.
pub(super) fn alone(server: &[&str]) -> Command {
    let words = as_program(server);
    let mut command = command(&words[0]);
    command.args(&words[1..]);
    command
}

/// The words of a command whose first one may be the name of a fixture program.
fn as_program(server: &[&str]) -> Vec<PathBuf> {
    let mut words: Vec<PathBuf> = server.iter().map(PathBuf::from).collect();
    if server[0].starts_with("fixture-") {
        words[0] = fixture(server[0]);
    }
    words
}

#[expect(clippy::disallowed_methods, reason = "a host starts processes")]
fn command(program: impl AsRef<OsStr>) -> Command {
    Command::new(program)
}

/// What the client was asked or told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Event {
    /// For the roots.
    Roots,
    /// For a message of the model's.
    Sampling,
    /// For words of the person's.
    Elicitation,
    /// How many steps of a call are done.
    Progress(u64),
    /// That the resource at this URI has changed.
    Updated(String),
    /// That it need not answer any more.
    Cancelled,
}

/// The client's handler.
#[derive(Clone, Debug)]
pub(super) struct Handler {
    events: UnboundedSender<Event>,
    /// Whether it answers what it is asked.
    answers: bool,
}

impl Handler {
    pub(super) fn new(answers: bool) -> (Self, UnboundedReceiver<Event>) {
        let (events, heard) = unbounded_channel();
        (Self { events, answers }, heard)
    }

    fn hear(&self, event: Event) {
        // A test that is over hears nothing more.
        let _ = self.events.send(event);
    }

    async fn asked<T>(&self, event: Event, answer: T) -> Result<T, ErrorData> {
        self.hear(event);
        if self.answers { Ok(answer) } else { pending().await }
    }
}

impl ClientHandler for Handler {
    fn get_info(&self) -> ClientConfig {
        let capabilities =
            ClientCapabilities::builder().enable_roots().enable_sampling().enable_elicitation().build();
        ClientConfig::new(capabilities, Implementation::new("real-host", "1"))
    }

    async fn list_roots(&self, _: RequestContext<RoleClient>) -> Result<ListRootsResult, ErrorData> {
        self.asked(Event::Roots, ListRootsResult::new(vec![Root::new("file:///home")])).await
    }

    async fn create_message(
        &self,
        _: CreateMessageRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<CreateMessageResult, ErrorData> {
        let message = SamplingMessage::assistant_text("Hello.");
        self.asked(Event::Sampling, CreateMessageResult::new(message, "parrot".to_owned())).await
    }

    async fn create_elicitation(
        &self,
        _: ElicitRequestParams,
        _: RequestContext<RoleClient>,
    ) -> Result<ElicitResult, ErrorData> {
        let answer = ElicitResult::new(ElicitationAction::Accept).with_content(json!({"name": "Ada"}));
        self.asked(Event::Elicitation, answer).await
    }

    async fn on_cancelled(&self, _: CancelledNotificationParam, _: NotificationContext<RoleClient>) {
        self.hear(Event::Cancelled);
    }

    async fn on_progress(&self, params: ProgressNotificationParam, _: NotificationContext<RoleClient>) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the steps are counted")]
        self.hear(Event::Progress(params.progress as u64));
    }

    async fn on_resource_updated(
        &self,
        params: ResourceUpdatedNotificationParam,
        _: NotificationContext<RoleClient>,
    ) {
        self.hear(Event::Updated(params.uri));
    }
}

/// A connected client, which has asked for the tools as every host does.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) client: RunningService<RoleClient, Handler>,
    pub(super) tools: Vec<Tool>,
    process: Child,
    heard: UnboundedReceiver<Event>,
    stderr: JoinHandle<String>,
}

impl Host {
    /// Starts a process and greets it, as the SDK does by default.
    pub(super) async fn connect(command: Command) -> Self {
        Self::connect_as(command, true, ClientLifecycleMode::Initialize).await
    }

    /// The same with a person and a model that never answer.
    pub(super) async fn connect_mute(command: Command) -> Self {
        Self::connect_as(command, false, ClientLifecycleMode::Initialize).await
    }

    pub(super) async fn connect_as(mut command: Command, answers: bool, mode: ClientLifecycleMode) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut process = command.spawn().expect("the program was built with this test");
        let (Some(stdin), Some(stdout), Some(mut stderr)) =
            (process.stdin.take(), process.stdout.take(), process.stderr.take())
        else {
            unreachable!("all three are pipes")
        };
        let stderr = tokio::spawn(async move {
            let mut text = String::new();
            stderr.read_to_string(&mut text).await.expect("stderr is text");
            text
        });
        let (handler, heard) = Handler::new(answers);
        let client = handler.serve_with_lifecycle((stdout, stdin), mode).await.expect("it is greeted");
        let tools = client.list_all_tools().await.expect("tools are listed");
        Self { client, tools, process, heard, stderr }
    }

    /// The result of a call, or its error.
    pub(super) async fn try_call(
        &self,
        tool: &'static str,
        arguments: Value,
    ) -> Result<CallToolResult, ServiceError> {
        self.client.call_tool(params(tool, arguments)).await
    }

    pub(super) async fn call(&self, tool: &'static str, arguments: Value) -> CallToolResult {
        self.try_call(tool, arguments).await.expect("the call is answered with a result")
    }

    /// The one text in the result of a call.
    pub(super) async fn text(&self, tool: &'static str, arguments: Value) -> String {
        text(&self.call(tool, arguments).await)
    }

    /// The guidance in the result of a call: an ordinary result that does not say whether it is an error.
    pub(super) async fn guidance(&self, tool: &'static str, arguments: Value) -> Value {
        guidance(&self.call(tool, arguments).await)
    }

    /// Sends a call without waiting for its answer.
    pub(super) async fn send(&self, tool: &'static str, arguments: Value) -> RequestHandle<RoleClient> {
        let request = CallToolRequest::new(params(tool, arguments));
        let options = PeerRequestOptions::no_options();
        let sent = self.client.send_cancellable_request(request.into(), options).await;
        sent.expect("the connection is open")
    }

    /// What the strict server was told so far.
    pub(super) async fn state(&self) -> Value {
        serde_json::from_str(&self.text("state", json!({})).await).expect("the state is JSON")
    }

    /// The pid of the living server.
    pub(super) async fn pid(&self) -> i32 {
        let text = self.text("pid", json!({})).await;
        let first = text.split(' ').next().and_then(|word| word.parse().ok());
        first.expect("the first word is a pid")
    }

    /// Kills the server, and waits until another one answers. Gives the pid of that.
    pub(super) async fn kill(&self) -> i32 {
        let old = self.pid().await;
        kill_now(old);
        loop {
            let new = self.pid().await;
            if new != old {
                return new;
            }
        }
    }

    /// The next thing that the client was asked or told.
    pub(super) async fn heard(&mut self) -> Event {
        self.heard.recv().await.expect("the client holds the other end")
    }

    /// Ends the connection. Gives how the process ended, and all of its stderr.
    pub(super) async fn close(mut self) -> (ExitStatus, String) {
        self.client.close().await.expect("the client ends");
        let status = self.process.wait().await.expect("it is our child");
        (status, self.stderr.await.expect("stderr was read"))
    }

    /// Ends the connection, after which nothing may be left.
    pub(super) async fn close_well(self) {
        let server = self.pid().await;
        let (status, _) = self.close().await;
        assert!(status.success(), "{status}");
        assert!(is_gone(server), "the server was left behind");
    }
}

/// The result of a call that was sent.
pub(super) async fn answer(call: RequestHandle<RoleClient>) -> CallToolResult {
    let answer = call.await_response().await;
    let Ok(ServerResult::CallToolResult(result)) = answer else { panic!("not a call's result: {answer:?}") };
    result
}

pub(super) fn params(tool: &'static str, arguments: Value) -> CallToolRequestParams {
    let Value::Object(arguments) = arguments else { unreachable!("arguments are an object") };
    CallToolRequestParams::new(tool).with_arguments(arguments)
}

pub(super) fn text(result: &CallToolResult) -> String {
    let [content] = &result.content[..] else { panic!("not one content: {result:?}") };
    content.as_text().unwrap_or_else(|| panic!("no text: {result:?}")).text.clone()
}

pub(super) fn guidance(result: &CallToolResult) -> Value {
    assert_eq!((result.is_error, &result.structured_content), (None, &None), "{result:?}");
    serde_json::from_str(&text(result)).unwrap_or_else(|error| panic!("no guidance: {error}: {result:?}"))
}

/// Kills a process. It may not have ended yet.
pub(super) fn kill_now(pid: i32) {
    kill(Pid::from_raw(pid), Signal::SIGKILL).expect("the server lives");
}

/// Whether a process has ended. One that nobody has asked about yet has, too.
pub(super) fn is_gone(pid: i32) -> bool {
    let state = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let zombie = state.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('Z'));
    zombie || kill(Pid::from_raw(pid), None).is_err()
}
