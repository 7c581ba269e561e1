//! Both eras of the protocol with the official SDK on both ends: every way to open a conversation, and what outlives a
//! server in each.

use std::fs::{self, File};
use std::process::Stdio;

use rmcp::ClientServiceExt as _;
use rmcp::model::{CallToolResponse, ProtocolVersion, ServerNotification, SubscriptionFilter};
use rmcp::service::{ClientLifecycleMode, Subscription};
use serde_json::json;

use super::host::{Event, Handler, Host, alone, kill_now, params, run, supervised, text};
use super::{PATIENT, REAL, STRICT, URI, as_greeted_by_us, everything};

/// The era without a greeting, and no other.
fn modern() -> ClientLifecycleMode {
    ClientLifecycleMode::Discover { preferred_versions: vec![ProtocolVersion::V_2026_07_28] }
}

/// The modern era if the server knows it, else the legacy one.
fn auto() -> ClientLifecycleMode {
    ClientLifecycleMode::Auto {
        preferred_versions: vec![ProtocolVersion::V_2026_07_28],
        legacy_version: None,
    }
}

#[test]
fn however_a_client_opens_it_sees_what_it_sees_without_us_before_and_after_a_kill() {
    run(async {
        let newest = ProtocolVersion::LATEST_WITH_INITIALIZE;
        for (server, mode, version) in [
            (REAL, modern(), ProtocolVersion::V_2026_07_28),
            (REAL, auto(), ProtocolVersion::V_2026_07_28),
            (REAL, ClientLifecycleMode::Initialize, newest.clone()),
            (STRICT, auto(), newest.clone()),
            (STRICT, ClientLifecycleMode::Initialize, newest),
        ] {
            let direct = Host::connect_as(alone(&[server]), true, mode.clone()).await;
            let host = Host::connect_as(supervised(&PATIENT, &[server]), true, mode.clone()).await;
            let mut expected = everything(&direct).await;
            if version != ProtocolVersion::V_2026_07_28 {
                expected = as_greeted_by_us(expected);
            }
            assert_eq!(expected["server"]["protocolVersion"], json!(version), "{server} {mode:?}");
            assert_eq!(everything(&host).await, expected, "{server} {mode:?}");
            host.kill().await;
            assert_eq!(everything(&host).await, expected, "{server} {mode:?} after a kill");
            direct.close().await;
            host.close_well().await;
        }
    });
}

#[test]
fn a_modern_client_does_not_notice_ten_kills() {
    run(async {
        let host = Host::connect_as(supervised(&PATIENT, &[REAL]), true, modern()).await;
        let mut pid = host.pid().await;
        for round in 0..10 {
            kill_now(pid);
            // The death may not have been noticed yet: what only reads is then asked again.
            let word = format!("round {round}");
            assert_eq!(host.text("echo", json!({"text": word})).await, word);
            let next = host.pid().await;
            assert_ne!(next, pid);
            assert_eq!(host.text("add", json!({"left": round, "right": 1})).await, (round + 1).to_string());
            kill_now(next);
            assert_eq!(host.client.list_all_tools().await.unwrap(), host.tools);
            pid = host.pid().await;
            assert_ne!(pid, next);
        }
        let told = host.guidance("crash", json!({})).await;
        assert_eq!((&told["status"], &told["exit"]), (&json!("server_restarted"), &json!("signal 6")));
        assert!(!host.client.is_closed());
        host.close_well().await;
    });
}

/// The next thing that a stream tells. The SDK refuses what is not tagged with the stream's id, or not asked for.
async fn next(stream: &mut Subscription) -> String {
    match stream.next().await.expect("it is for this stream") {
        Some(ServerNotification::ResourceUpdatedNotification(updated)) => {
            format!("updated {}", updated.params.uri)
        }
        Some(ServerNotification::ToolListChangedNotification(_)) => "tools".to_owned(),
        other => panic!("{other:?}, and the stream has ended: {:?}", stream.end()),
    }
}

#[test]
fn a_listening_stream_outlives_the_server_and_tells_what_was_missed() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let late = dir.path().join("late");
        let server = [REAL, late.to_str().unwrap()];
        // The stream is open to the end. It owes no answer then, for which the end would be held up.
        let options = [&PATIENT[..], &["--hold", "1m"]].concat();
        let host = Host::connect_as(supervised(&options, &server), true, modern()).await;
        let filter = SubscriptionFilter::builder().tools_list_changed().resource_subscription(URI).build();
        let mut stream = host.client.listen(filter.clone()).await.unwrap();
        assert_eq!(stream.acknowledged(), &filter);
        let updated = format!("updated {URI}");
        assert_eq!(host.text("touch", json!({})).await, "touched");
        assert_eq!(next(&mut stream).await, updated, "what the first server tells");

        // The next server has the same tools: only the resource may have changed meanwhile.
        host.kill().await;
        assert_eq!(next(&mut stream).await, updated, "what may have been missed");
        assert_eq!(host.text("touch", json!({})).await, "touched");
        assert_eq!(next(&mut stream).await, updated, "what the second server tells");

        File::create(&late).unwrap();
        host.kill().await;
        let mut told = [next(&mut stream).await, next(&mut stream).await];
        told.sort();
        assert_eq!(told, ["tools", &updated]);
        let tools = host.client.list_all_tools().await.unwrap();
        assert_eq!(tools.len(), host.tools.len() + 1);
        assert_eq!(host.text("late", json!({})).await, "late");
        assert_eq!(host.text("touch", json!({})).await, "touched");
        assert_eq!(next(&mut stream).await, updated, "what the third server tells");
        assert!(stream.end().is_none());
        host.close_well().await;
    });
}

#[test]
fn a_call_that_needs_input_goes_on_at_the_next_server() {
    run(async {
        let mut host = Host::connect_as(supervised(&PATIENT, &[REAL]), true, modern()).await;
        assert_eq!(host.text("who", json!({})).await, "Ada");
        assert_eq!(host.heard().await, Event::Elicitation);

        // The same by hand, with a server each for question and answer.
        let CallToolResponse::InputRequired(asked) =
            host.client.call_tool_once(params("who", json!({}))).await.unwrap()
        else {
            panic!("nothing was asked")
        };
        assert!(asked.input_requests.is_some_and(|asks| asks.contains_key("who")));
        host.kill().await;
        let mut answered = params("who", json!({}));
        answered.request_state = asked.request_state;
        let grace = json!({"action": "accept", "content": {"name": "Grace"}});
        answered.input_responses = Some([("who".to_owned(), grace)].into());
        let CallToolResponse::Complete(result) = host.client.call_tool_once(answered).await.unwrap() else {
            panic!("it is asked again")
        };
        assert_eq!(text(&result), "Grace");
        host.close_well().await;
    });
}

#[test]
fn a_client_falls_back_to_a_legacy_server_that_dies_of_its_question() {
    run(async {
        let dir = tempfile::tempdir().unwrap();
        let pids = dir.path().join("pids");
        let strict = [STRICT, "--picky", "--pid-file", pids.to_str().unwrap()];
        // Without us there is no server left to fall back to.
        let mut command = alone(&strict);
        let mut process =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (Some(stdin), Some(stdout)) = (process.stdin.take(), process.stdout.take()) else {
            unreachable!("both are pipes")
        };
        let (handler, _heard) = Handler::new(true);
        assert!(handler.serve_with_lifecycle((stdout, stdin), auto()).await.is_err());
        process.wait().await.unwrap();
        fs::remove_file(&pids).unwrap();

        let direct = Host::connect(alone(&[STRICT])).await;
        let host = Host::connect_as(supervised(&PATIENT, &strict), true, auto()).await;
        let expected = as_greeted_by_us(everything(&direct).await);
        assert_eq!(everything(&host).await, expected);
        let started = fs::read_to_string(&pids).unwrap().lines().count();
        assert_eq!(started, 2, "one dies of the question, and no other is asked it");
        host.kill().await;
        assert_eq!(everything(&host).await, expected);
        assert_eq!(host.state().await["complaints"], json!([]));
        direct.close().await;
        host.close_well().await;
    });
}
