//! The official Rust SDK on both ends: its client before the supervisor, and behind that the strict fixture server or a
//! server on the same SDK.
//!
//! What is shown here is what a host sees that knows nothing of us. The engine's own behaviour is in `conversation`.

#![expect(deprecated, reason = "what the newest revision deprecates is what most servers speak")]

mod eras;
mod host;

use std::fs;
use std::sync::Arc;

use rmcp::ServiceExt as _;
use rmcp::model::{
    ErrorCode, GetPromptRequestParams, LoggingLevel, ReadResourceRequestParams, SetLevelRequestParams,
    SubscribeRequestParams,
};
use rmcp::service::ServiceError;
use rmcp::transport::TokioChildProcess;
use serde_json::{Value, json};

use host::{Event, Handler, Host, alone, answer, guidance, is_gone, kill_now, params, run, supervised, text};

const STRICT: &str = "fixture-server";
const REAL: &str = "fixture-rmcp-server";
/// More crashes than the default allows in a minute, and none of them waited for.
const PATIENT: [&str; 4] = ["--max-restarts", "100", "--backoff-initial", "0ms"];
const URI: &str = "fixture://greeting";

/// Everything that a client can list, read and call at this server, as it came out of the SDK.
async fn everything(host: &Host) -> Value {
    let peer = &host.client;
    json!({
        "server": peer.peer_info().as_deref(),
        "tools": host.tools,
        "resources": told(peer.list_all_resources().await),
        "templates": told(peer.list_all_resource_templates().await),
        "prompts": told(peer.list_all_prompts().await),
        "resource": told(peer.read_resource(ReadResourceRequestParams::new(URI)).await),
        "no such resource": told(peer.read_resource(ReadResourceRequestParams::new("fixture://none")).await),
        "prompt": told(peer.get_prompt(GetPromptRequestParams::new("hello")).await),
        "echo": told(host.try_call("echo", json!({"text": "\u{1f980} \u{2028} \"x\""})).await),
        "no such tool": told(host.try_call("none", json!({})).await),
    })
}

/// The one thing that a host sees otherwise: it will be told of a list that has changed.
fn as_greeted_by_us(mut seen: Value) -> Value {
    for kind in ["tools", "prompts", "resources"] {
        if let Some(capability) = seen["server"]["capabilities"].get_mut(kind) {
            capability["listChanged"] = json!(true);
        }
    }
    seen
}

fn told<T: serde::Serialize>(answer: Result<T, ServiceError>) -> Value {
    match answer {
        Ok(result) => json!(result),
        Err(ServiceError::McpError(error)) => json!(error),
        Err(error) => panic!("neither a result nor the server's error: {error}"),
    }
}

#[test]
fn a_client_sees_what_it_sees_without_us() {
    run(async {
        for server in [STRICT, REAL] {
            let direct = Host::connect(alone(&[server])).await;
            let host = Host::connect(supervised(&[], &[server])).await;
            let seen = everything(&host).await;
            let expected = as_greeted_by_us(everything(&direct).await);
            assert_eq!(seen, expected);
            assert!(seen["tools"].as_array().is_some_and(|tools| tools.len() >= 4), "{seen}");
            direct.close().await;
            let pid = host.pid().await;
            let (status, stderr) = host.close().await;
            assert_eq!((status.code(), stderr.as_str()), (Some(0), ""), "{server}");
            assert!(is_gone(pid), "{server}");
        }
    });
}

#[test]
fn a_client_does_not_notice_ten_kills() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        let log_option = format!("--log={}", log.display());
        for (server, count) in [(&[STRICT, &log_option][..], "count"), (&[REAL], "add")] {
            let host = Host::connect(supervised(&PATIENT, server)).await;
            let greeting = host.client.peer_info().unwrap();
            let mut pid = host.pid().await;
            for round in 0..10 {
                kill_now(pid);
                // The death may not have been noticed yet: what only reads is then asked again.
                let word = format!("round {round}");
                assert_eq!(host.text("echo", json!({"text": word})).await, word);
                let next = host.pid().await;
                assert_ne!(next, pid);
                pid = next;
                assert_eq!(host.text(count, json!({"left": 0, "right": 1})).await, "1");
            }
            assert_eq!(host.client.list_all_tools().await.unwrap(), host.tools);
            assert!(Arc::ptr_eq(&greeting, &host.client.peer_info().unwrap()), "it was greeted again");
            assert!(!host.client.is_closed());
            host.close_well().await;
        }
        let log = fs::read_to_string(log).unwrap();
        let greetings: Vec<_> = log.lines().filter(|line| line.contains("\"initialize\"")).collect();
        let of_host = greetings.iter().filter(|line| line.contains("\"id\":0,")).count();
        assert_eq!((of_host, greetings.len()), (1, 11), "{greetings:#?}");
    });
}

#[test]
fn a_call_in_flight_at_a_crash_gets_guidance_as_its_result() {
    run(async {
        let mut host = Host::connect_mute(supervised(&[], &[STRICT])).await;
        let pid = host.pid().await;
        let call = host.send("ask", json!({"method": "roots/list"})).await;
        assert_eq!(host.heard().await, Event::Roots);
        kill_now(pid);
        let told = guidance(&answer(call).await);
        assert_eq!(told["status"], "server_restarted");
        assert_eq!(told["outcome"], "unknown");
        assert_eq!(told["retryable"], false);
        assert_eq!(told["exit"], "signal 9");
        assert_eq!(told["server"], STRICT);
        assert!(told["message"].as_str().unwrap().contains("SIGKILL"), "{told}");
        assert!(told["hint"].is_string(), "{told}");
        assert_eq!(host.heard().await, Event::Cancelled, "the dead server's question is taken back");
        assert_ne!(host.pid().await, pid);
        host.close_well().await;

        let host = Host::connect(supervised(&[], &[REAL])).await;
        let told = host.guidance("crash", json!({})).await;
        assert_eq!((&told["status"], &told["exit"]), (&json!("server_restarted"), &json!("signal 6")));
        assert_eq!(host.text("add", json!({"left": 40, "right": 2})).await, "42");
        host.close_well().await;
    });
}

#[test]
fn a_typed_call_in_flight_at_a_crash_gets_an_error_with_the_guidance_as_data() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let died = dir.path().join("died");
        let server = [STRICT, "--die-at-method=tools/call", "--die-once", died.to_str().unwrap()];
        let host = Host::connect(supervised(&["--replay", "none"], &server)).await;
        let Err(ServiceError::McpError(error)) = host.try_call("typed", json!({})).await else {
            panic!("the call was answered with a result")
        };
        assert_eq!(error.code, ErrorCode::INTERNAL_ERROR);
        let told = error.data.unwrap();
        assert_eq!((&told["status"], &told["outcome"]), (&json!("server_restarted"), &json!("unknown")));
        let sentence = format!("{} {}", told["message"].as_str().unwrap(), told["hint"].as_str().unwrap());
        assert_eq!(error.message, sentence);
        let typed = host.call("typed", json!({})).await;
        assert_eq!(typed.structured_content, Some(json!({"pid": host.pid().await})));
        host.close_well().await;

        // It only reads: unless that is turned off, it is asked again.
        fs::remove_file(&died).unwrap();
        let host = Host::connect(supervised(&[], &server)).await;
        let typed = host.call("typed", json!({})).await;
        assert_eq!(typed.structured_content, Some(json!({"pid": host.pid().await})));
        assert!(died.exists());
        host.close_well().await;
    });
}

#[test]
fn a_server_that_does_not_start_is_told_by_a_tool() {
    run(async {
        let never = ["--max-restarts", "1", "--backoff-initial", "0ms"];
        let dies = [STRICT, "--die-on-start", "--last-words", "no licence"];
        for (server, detail, exit) in [
            (&["/nonexistent/server"][..], "detail", Value::Null),
            (&dies[..], "stderr_tail", json!("code 1")),
        ] {
            let host = Host::connect(supervised(&never, server)).await;
            let names: Vec<_> = host.tools.iter().map(|tool| &*tool.name).collect();
            assert_eq!(names, ["supervisor_status"]);
            let told = host.guidance("supervisor_status", json!({})).await;
            assert_eq!(told["status"], "server_unavailable", "{told}");
            assert_eq!(told.get("outcome"), None, "our own tool is no call of the server's: {told}");
            assert_eq!(told["exit"], exit, "{told}");
            assert!(told[detail].is_string(), "{told}");
            let told = host.guidance("its own tool", json!({})).await;
            assert_eq!(told["status"], "server_unavailable", "{told}");
            assert!(!host.client.is_closed());
            let (status, _) = host.close().await;
            assert!(!status.success(), "{status}");
        }
    });
}

#[test]
fn a_second_server_can_ask_the_host() {
    run(async {
        let mut host = Host::connect(supervised(&[], &[STRICT])).await;
        for generation in 1..=2 {
            for (method, event, member, answer) in [
                ("roots/list", Event::Roots, "roots", json!([{"uri": "file:///home"}])),
                ("sampling/createMessage", Event::Sampling, "model", json!("parrot")),
                ("elicitation/create", Event::Elicitation, "content", json!({"name": "Ada"})),
            ] {
                let told = host.text("ask", json!({"method": method})).await;
                assert_eq!(host.heard().await, event);
                let told: Value = serde_json::from_str(&told).unwrap();
                assert_eq!(told[member], answer, "{generation}: {told}");
            }
            assert_eq!(host.state().await["complaints"], json!([]), "{generation}");
            host.kill().await;
        }
        host.close_well().await;
    });
}

#[test]
fn progress_and_cancellation_reach_whom_they_are_meant_for() {
    run(async {
        let mut host = Host::connect_mute(supervised(&[], &[STRICT])).await;
        for generation in 1..=2 {
            assert_eq!(host.text("progress", json!({"n": 3})).await, "reported 3");
            // The SDK hands notifications on in any order.
            let mut steps = [host.heard().await, host.heard().await, host.heard().await];
            steps.sort();
            assert_eq!(steps, [Event::Progress(1), Event::Progress(2), Event::Progress(3)], "{generation}");

            let call = host.send("ask", json!({"method": "roots/list"})).await;
            assert_eq!(host.heard().await, Event::Roots, "{generation}");
            call.cancel(None).await.unwrap();
            assert_eq!(host.heard().await, Event::Cancelled, "the server no longer wants to know");
            assert_eq!(host.state().await["complaints"], json!([]), "{generation}");
            host.kill().await;
        }
        host.close_well().await;
    });
}

#[test]
fn a_second_server_knows_the_level_and_the_subscriptions() {
    run(async {
        let mut host = Host::connect(supervised(&[], &[STRICT])).await;
        host.client.set_level(SetLevelRequestParams::new(LoggingLevel::Warning)).await.unwrap();
        host.client.subscribe(SubscribeRequestParams::new(URI)).await.unwrap();
        let first = host.state().await;
        assert_ne!(json!(host.kill().await), first["pid"]);
        let second = host.state().await;
        for known in ["level", "subscriptions", "version", "client"] {
            assert_eq!(second[known], first[known], "{known}");
        }
        assert_eq!((&second["level"], &second["subscriptions"]), (&json!("warning"), &json!([URI])));
        assert_eq!(second["complaints"], json!([]));
        let updated = Event::Updated(URI.to_owned());
        assert_eq!(host.heard().await, updated, "what may have been missed");
        assert_eq!(host.text("touch", json!({"uri": URI})).await, "subscribed: true");
        assert_eq!(host.heard().await, updated, "what the second server says");
        host.close_well().await;
    });
}

#[test]
fn the_shutdown_of_the_sdks_own_transport_leaves_nothing() {
    run(async {
        for server in [&[STRICT][..], &[STRICT, "--ignore-eof", "--ignore-term"], &[REAL]] {
            let (handler, _) = Handler::new(true);
            let transport = TokioChildProcess::new(supervised(&[], server)).unwrap();
            let supervisor = i32::try_from(transport.id().unwrap()).unwrap();
            let client = handler.serve(transport).await.unwrap();
            let pid = text(&client.call_tool(params("pid", json!({}))).await.unwrap());
            let pid = pid.split(' ').next().unwrap().parse().unwrap();
            assert!(!is_gone(pid) && !is_gone(supervisor), "{server:?}");
            client.cancel().await.unwrap();
            assert!(is_gone(supervisor), "{server:?}");
            assert!(is_gone(pid), "{server:?}");
        }
    });
}
