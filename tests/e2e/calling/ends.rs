//! How calls within calls end: by what they are given, by what they answer, and with the consent by which they were made.

use std::time::Duration;

use serde_json::json;

use super::{EACH, WRITE, allowed, calls, done, hello, recall, remember, steps, with};
use crate::harness::{Server, Setup, Upstream, run, settled, until};

/// How many questions about this tool were opened.
async fn questions(server: &Server, tool: &str) -> usize {
    let all = server.records().await;
    let about = all.iter().filter(|stored| {
        stored.json.contains("\"consent.asked\"") && stored.json.contains(&format!("\"{tool}\""))
    });
    about.count()
}

#[test]
fn after_an_effect_nobody_is_asked() {
    run(async {
        let setup = Setup::new().tools(&["memory"]).await;
        let tools = calls(&["memory_remember", "memory_recall"]);
        let server = with(setup, EACH, &[&tools, WRITE]).await.start().await;
        let alice = server.caller("alice");
        let (_, asked) = allowed(&server, &alice, EACH, &steps(&[remember("milk")])).await;
        assert_eq!(asked.len(), 2, "{asked:?}");
        let both = steps(&[remember("milk"), recall("milk")]);
        let answer = alice.call(EACH, both.clone()).await;
        assert_eq!(done(&answer), ["Remembered under `milk`.", "needs-consent"]);
        // Nor is a question left open of which nobody was told.
        assert_eq!(questions(&server, "memory_recall").await, 0);
        // Asked for before, it is there.
        let (answer, _) = allowed(&server, &alice, EACH, &steps(&[recall("milk")])).await;
        assert_eq!(done(&answer), ["canary-51c7"]);
        let answer = alice.call(EACH, both).await;
        assert_eq!(done(&answer), ["Remembered under `milk`.", "canary-51c7"]);
        server.stop().await;
    });
}

#[test]
fn arguments_that_do_not_fit_the_schema_of_a_called_tool_are_refused() {
    run(async {
        let setup = Setup::new().tools(&["hello", "memory"]).await;
        let tools = calls(&["hello", "memory_remember"]);
        let server = with(setup, EACH, &[&tools, WRITE]).await.start().await;
        let alice = server.caller("alice");
        let wrong = steps(&[("hello", json!({"name": 7})), ("hello", json!([1]))]);
        let (answer, _) = allowed(&server, &alice, EACH, &wrong).await;
        for said in done(&answer) {
            assert!(said.starts_with("invalid-arguments: "), "{said}");
        }
        server.stop().await;
    });
}

#[test]
fn a_reply_that_claims_to_be_more_is_inert_data() {
    run(async {
        let setup = Setup::new()
            .tools(&["hello"])
            .await
            .guests(&["reply_redefine"])
            .await;
        let server = with(setup, EACH, &[&calls(&["reply_redefine", "hello"])])
            .await
            .start()
            .await;
        let alice = server.caller("alice");
        let before = alice.send("tools/list", json!({})).await.json()["result"]["tools"].clone();
        let both = steps(&[("reply_redefine", json!({})), hello()]);
        let (answer, _) = allowed(&server, &alice, EACH, &both).await;
        let said = done(&answer);
        assert!(said[0].contains("list_changed"), "{said:?}");
        assert_eq!(said[1], "Hello, Ada!");
        let direct = alice.call("reply_redefine", json!({})).await;
        assert!(direct.is_reply(), "{direct:?}");
        assert_ne!(
            direct.result()["resultType"],
            "input_required",
            "{direct:?}"
        );
        let after = alice.send("tools/list", json!({})).await.json()["result"]["tools"].clone();
        assert_eq!(before, after);
        server.stop().await;
    });
}

#[test]
fn a_call_ends_with_the_consent_by_which_another_tool_makes_it() {
    run(async {
        let upstream = Upstream::slow(Duration::from_millis(80)).await;
        let web = "kind = \"http\"\nhosts = [\"*\"]\nmethods = [\"GET\", \"POST\"]\npath = \"/\"\noptional = false";
        let setup = Setup::new().guests(&["http_flood"]).await;
        let setup = setup.host("example.com", upstream.port, true);
        let setup = with(setup, EACH, &[&calls(&["http_flood"]), web]).await;
        let server = setup.start().await;
        let alice = server.caller("alice");
        let flood = steps(&[("http_flood", json!({"url": "http://example.com/"}))]);
        // Its consents, for which the flood runs once.
        allowed(&server, &alice, EACH, &flood).await;
        let before = upstream.count();
        let call = {
            let (alice, flood) = (alice.clone(), flood.clone());
            tokio::spawn(async move { alice.call(EACH, flood).await })
        };
        until("the flood has begun", async || {
            (upstream.count() > before).then_some(())
        })
        .await;
        server.take_back("alice", "call http_flood").await;
        let by_then = upstream.count();
        call.await.unwrap();
        // What the kernel still held is one request.
        let after = settled(Duration::from_millis(300), async || upstream.count()).await;
        assert!(after <= by_then + 1, "{by_then} and then {after}");
        let inner = server.outcomes("http_flood").await.pop().unwrap();
        assert_eq!(inner.result.unwrap().status, "revoked");
        server.stop().await;
    });
}
