//! What a tool wishes for and does not need: its user is asked once, and no call waits for an answer that may never come.

use serde_json::{Value, json};

use crate::harness::{Answer, Browser, Caller, Era, Server, Setup, Upstream, packed, run, toml_of};

const PROBE: &str = "reach_all";

fn arguments() -> Value {
    json!({"url": "http://upstream.test/"})
}

/// A server with a probe that wishes to read from the upstream.
async fn serve(upstream: &Upstream) -> Server {
    let need = "id = \"web\"\nkind = \"http\"\nhosts = [\"upstream.test\"]\nmethods = [\"GET\"]\npath = \"/\"\noptional = true\nreason = \"The probe uses it.\"\n";
    let needs = [toml::from_str(need).unwrap()];
    Setup::new()
        .host("upstream.test", upstream.port, false)
        .package(PROBE, &packed(PROBE, &toml_of(PROBE, &needs)).await)
        .start()
        .await
}

/// Asserts that the probe ran, and whether it reached the upstream.
fn check(answer: &Answer, reached: bool) {
    assert!(answer.is_reply(), "{answer:?}");
    assert_eq!(answer.structured()["http"], reached, "{answer:?}");
}

async fn call(caller: &Caller) -> Answer {
    caller.call(PROBE, arguments()).await
}

#[test]
fn an_optional_capability_is_asked_once_and_a_repeated_call_goes_on_without_it() {
    run(async {
        let upstream = Upstream::start().await;
        let server = serve(&upstream).await;
        for (n, (user, era)) in [("alice", Era::Modern), ("root", Era::Legacy)]
            .into_iter()
            .enumerate()
        {
            let caller = server.caller(user).in_era(era);
            let asked = call(&caller).await;
            let link = asked.link().unwrap_or_else(|| panic!("{asked:?}"));
            assert!(asked.body.contains("also runs without"), "{asked:?}");
            // Nobody has decided: a client, or a model, that simply calls again gets its reply.
            for _ in 0..2 {
                check(&call(&caller).await, false);
            }
            assert_eq!(upstream.seen().len(), n);
            // The question stays open, and its answer serves the calls after it.
            let page = Browser::default().decide(&link, user, "allow-until").await;
            assert_eq!(page.status, 200, "{page:?}");
            check(&call(&caller).await, true);
            assert_eq!(upstream.seen().len(), n + 1);
        }
        let intents = server.intents(PROBE).await.into_iter();
        let granted: Vec<_> = intents.map(|intent| intent.granted.len()).collect();
        assert_eq!(granted, [0, 0, 1, 0, 0, 1]);
        server.stop().await;
    });
}

#[test]
fn what_its_user_denied_is_not_asked_again_and_the_tool_runs_without() {
    run(async {
        let upstream = Upstream::start().await;
        let server = serve(&upstream).await;
        let alice = server.caller("alice");
        let link = call(&alice).await.link().unwrap();
        let page = Browser::default().decide(&link, "alice", "deny").await;
        assert_eq!(page.status, 200, "{page:?}");
        assert!(page.html.contains("the tool may go on"), "{page:?}");
        for _ in 0..2 {
            check(&call(&alice).await, false);
        }
        assert_eq!(upstream.seen(), [""; 0]);
        server.stop().await;
    });
}

#[test]
fn a_client_that_repeats_the_call_waits_while_its_user_is_on_the_page() {
    run(async {
        let upstream = Upstream::start().await;
        let server = serve(&upstream).await;
        let alice = server.caller("alice");
        let asked = call(&alice).await;
        let link = asked.link().unwrap();
        let again = alice.retry(PROBE, arguments(), &asked, "accept").await;
        assert_eq!(again.link(), Some(link.clone()), "{again:?}");
        Browser::default()
            .decide(&link, "alice", "allow-until")
            .await;
        let done = alice.retry(PROBE, arguments(), &again, "accept").await;
        check(&done, true);
        server.stop().await;
    });
}

#[test]
fn who_says_no_to_the_question_gets_the_tool_without_and_who_closes_it_gets_it_at_the_next_call() {
    run(async {
        let upstream = Upstream::start().await;
        let server = serve(&upstream).await;
        let alice = server.caller("alice");
        let asked = call(&alice).await;
        check(
            &alice.retry(PROBE, arguments(), &asked, "decline").await,
            false,
        );

        let bob = server.caller("bob");
        let asked = call(&bob).await;
        let closed = bob.retry(PROBE, arguments(), &asked, "cancel").await;
        assert!(closed.is_tool_error(), "{closed:?}");
        assert!(closed.text().contains("called again"), "{closed:?}");
        check(&call(&bob).await, false);
        assert_eq!(upstream.seen(), [""; 0]);
        server.stop().await;
    });
}
