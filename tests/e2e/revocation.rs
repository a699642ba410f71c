//! Revocation at once: after its answer nothing more is done under the consent, whoever revoked it and whatever was running.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use bailiwick::audit::Record;
use bailiwick::clock::{Clock, SystemClock};
use bailiwick::ids::TenantUser;
use bailiwick::limits::CALL_WALL_MAX;
use bailiwick::store::ConsentState;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::cli::bailiwick;
use crate::harness::{Answer, Browser, Caller, Server, Setup, Upstream, run, settled, until};

/// How long the upstream thinks, so that calls go on for longer than a test looks at them.
const THINKS: Duration = Duration::from_millis(80);
/// Several times as long as a call takes from one request to the next: whoever did nothing for so long does nothing more.
const LONG: Duration = Duration::from_millis(300);

/// The consents of a user that hold, by id.
async fn live(server: &Server, who: &TenantUser) -> Vec<uuid::Uuid> {
    let rows = server.decisions(who).await;
    let live = rows.iter().filter(|row| row.state == ConsentState::Active);
    live.map(|row| row.id).collect()
}

fn running(
    caller: &Caller,
    tool: &str,
    arguments: &Value,
    count: usize,
) -> Vec<JoinHandle<Answer>> {
    let calls = (0..count).map(|_| {
        let (caller, tool, arguments) = (caller.clone(), tool.to_owned(), arguments.clone());
        tokio::spawn(async move { caller.call(&tool, arguments).await })
    });
    calls.collect()
}

async fn flood_server(upstream: &Upstream, calls: u32) -> Server {
    let setup = Setup::new().guests(&["http_flood"]).await.calls(calls);
    // Nothing but a revocation is to end them before their last request, however slow the machine is.
    let setup = setup.call_timeout(CALL_WALL_MAX);
    setup.host("example.com", upstream.port, true).start().await
}

fn address() -> Value {
    json!({"url": "http://example.com/"})
}

fn place(number: usize) -> Value {
    json!({"url": format!("http://example.com/{number}")})
}

/// Lets `user` consent, without a call that goes on for long.
async fn consented(server: &Server, caller: &Caller, user: &str, tool: &str, arguments: Value) {
    let asked = caller.call(tool, arguments).await;
    let link = asked.link().unwrap_or_else(|| panic!("{asked:?}"));
    assert!(
        server
            .decide(&link, user, crate::harness::for_an_hour())
            .await
    );
}

fn status(record: &Record) -> &str {
    record.result.as_ref().map_or("", |result| &result.status)
}

/// What was done when a revocation was answered, and what is seen in the end: each call had one thing in the kernel at most.
async fn sent_no_more(by_then: usize, calls: usize, look: impl Fn() -> usize) {
    let after = settled(LONG, async || look()).await;
    assert!(
        after - by_then <= calls,
        "{by_then} by the answer, and then {after}"
    );
}

/// One round: so many calls run, their user revokes, and the upstream hears of nothing more.
async fn round(server: &Server, upstream: &Upstream, user: &str, calls: usize) {
    let caller = server.caller(user);
    consented(server, &caller, user, "http_flood", address()).await;
    let before = upstream.count();
    // An address for each: many requests need not come from as many calls.
    let one = |number: usize| running(&caller, "http_flood", &place(number), 1);
    let all: Vec<_> = (0..calls).flat_map(one).collect();
    until("every call has begun", async || {
        let seen = upstream.seen_since(before);
        let places: BTreeSet<_> = seen.iter().map(|head| head.split(' ').nth(1)).collect();
        (places.len() == calls).then_some(())
    })
    .await;
    server.take_back(user, "http").await;
    let by_then = upstream.count();
    for call in all {
        let answer = call.await.unwrap();
        assert!(answer.is_tool_error(), "{answer:?}");
        assert!(answer.text().contains("revoked"), "{answer:?}");
    }
    sent_no_more(by_then, calls, || upstream.count()).await;
    assert!(
        caller.call("http_flood", address()).await.link().is_some(),
        "it is asked about again"
    );
}

#[test]
fn after_the_answer_to_a_revocation_64_running_calls_send_nothing_more() {
    run(async {
        let upstream = Upstream::slow(THINKS).await;
        let server = flood_server(&upstream, 64).await;
        for number in 0..3 {
            round(&server, &upstream, &format!("user-{number}"), 64).await;
        }
        let outcomes = server.outcomes("http_flood").await;
        let revoked = outcomes.iter().filter(|record| status(record) == "revoked");
        assert_eq!(revoked.count(), 3 * 64, "each is recorded with its end");
        server.stop().await;
    });
}

/// Takes twenty minutes: `cargo test -p bailiwick --test e2e -- --ignored a_thousand_rounds`.
#[test]
#[ignore = "takes twenty minutes; `tests/long/run a_thousand_rounds` runs it"]
fn a_thousand_rounds_of_64_running_calls_send_nothing_after_the_answer() {
    run(async {
        let upstream = Upstream::slow(THINKS).await;
        let server = flood_server(&upstream, 64).await;
        for number in 0..1_000 {
            round(&server, &upstream, &format!("user-{number}"), 64).await;
            if number % 25 == 24 {
                println!("{} rounds", number + 1);
            }
        }
        server.stop().await;
    });
}

#[test]
fn a_revocation_on_the_page_stops_the_calls_of_that_user_and_of_no_other() {
    run(async {
        let upstream = Upstream::slow(THINKS).await;
        let server = flood_server(&upstream, 8).await;
        let (alice, root) = (server.caller("alice"), server.caller("root"));
        consented(&server, &alice, "alice", "http_flood", address()).await;
        consented(&server, &root, "root", "http_flood", address()).await;
        let hers = running(&alice, "http_flood", &address(), 2);
        let others = running(&root, "http_flood", &address(), 2);
        until("every call has begun", async || {
            (upstream.seen().len() >= 4).then_some(())
        })
        .await;

        let mut browser = Browser::default();
        let page = browser
            .open(&format!("{}/consents", server.url), "alice")
            .await;
        let form = page.form_actions();
        let take_back = form
            .iter()
            .position(|action| action.ends_with("/revoke"))
            .unwrap();
        let page = browser.fill(&page, take_back, &[]).await;
        assert!(page.html.contains("Ended"), "{page:?}");
        for call in hers {
            assert!(call.await.unwrap().text().contains("revoked"));
        }
        for call in others {
            let answer = call.await.unwrap();
            assert!(answer.is_reply(), "{answer:?}");
        }
        server.stop().await;
    });
}

#[test]
fn open_files_are_not_written_any_more_after_a_revocation() {
    run(async {
        let server = Setup::new().guests(&["revoked_write"]).await.start().await;
        let alice = server.caller("alice");
        consented(&server, &alice, "alice", "revoked_write", json!({})).await;
        let calls = running(&alice, "revoked_write", &json!({}), 4);
        let file = server.notes_of("alice").join("grows");
        let size = |file: &Path| file.metadata().map_or(0, |metadata| metadata.len());
        let bytes = || usize::try_from(size(&file)).unwrap();
        until("the file grows", async || (size(&file) > 64).then_some(())).await;

        let (who, now) = (server.user("alice"), SystemClock.now());
        let id = live(&server, &who).await[0];
        assert!(
            server
                .running
                .stages
                .consents
                .revoke(&who, id, now)
                .await
                .unwrap()
        );
        let by_then = bytes();
        for call in calls {
            assert!(call.await.unwrap().text().contains("revoked"));
        }
        // One operation per call that the kernel had begun may end after it, and each writes one byte.
        sent_no_more(by_then, 4, bytes).await;
        let outcomes = server.outcomes("revoked_write").await;
        assert!(
            outcomes
                .iter()
                .filter(|one| status(one) == "revoked")
                .count()
                == 4
        );
        server.stop().await;
    });
}

#[test]
fn after_the_command_of_the_operator_a_running_server_does_nothing_more() {
    run(async {
        let upstream = Upstream::slow(THINKS).await;
        let server = flood_server(&upstream, 16).await;
        server.write_config();
        let alice = server.caller("alice");
        consented(&server, &alice, "alice", "http_flood", address()).await;
        let calls = running(&alice, "http_flood", &address(), 16);
        until("every call has begun", async || {
            (upstream.seen().len() >= 16).then_some(())
        })
        .await;
        let arguments = ["consent", "revoke", "--dir", ".", "--tool", "http_flood"];
        let out = bailiwick(server.dir(), &arguments).ends(0);
        let by_then = upstream.seen().len();
        assert!(out.contains("1 revoked"), "{out}");
        for call in calls {
            assert!(call.await.unwrap().text().contains("revoked"));
        }
        // What each call had sent by then may be read after it, by a host that has much to do.
        sent_no_more(by_then, 16, || upstream.count()).await;
        assert!(alice.call("http_flood", address()).await.link().is_some());
        server.stop().await;
    });
}

#[test]
fn what_was_revoked_stays_revoked_over_a_restart() {
    run(async {
        let upstream = Upstream::start().await;
        let setup = Setup::new().guests(&["http_any"]).await;
        let server = setup.host("example.com", upstream.port, true).start().await;
        let alice = server.caller("alice");
        assert!(
            alice
                .call_allowed(&server, "http_any", address())
                .await
                .is_reply()
        );
        let (who, now) = (server.user("alice"), SystemClock.now());
        let id = live(&server, &who).await[0];
        let server = server.restart("").await;
        let alice = server.caller("alice");
        assert!(
            alice.call("http_any", address()).await.is_reply(),
            "it held over a restart"
        );
        assert!(
            server
                .running
                .stages
                .consents
                .revoke(&who, id, now)
                .await
                .unwrap()
        );
        let server = server.restart("").await;
        let alice = server.caller("alice");
        assert!(alice.call("http_any", address()).await.link().is_some());
        assert_eq!(upstream.seen().len(), 2);
        server.stop().await;
    });
}

#[test]
fn a_sign_out_stops_the_calls_that_run_until_then_and_no_other() {
    run(async {
        let upstream = Upstream::slow(THINKS).await;
        let server = flood_server(&upstream, 8).await;
        let (alice, root) = (server.caller("alice"), server.caller("root"));
        consented(&server, &root, "root", "http_flood", address()).await;
        let link = alice.call("http_flood", address()).await.link().unwrap();
        let mut browser = Browser::default();
        let done = browser.decide(&link, "alice", "allow-session").await;
        assert!(done.html.contains("until you sign out"), "{done:?}");
        let before = upstream.count();
        let stopped = running(&alice, "http_flood", &place(1), 2);
        let others = running(&root, "http_flood", &place(2), 1);
        until("every call has begun", async || {
            let seen = upstream.seen_since(before);
            let of = |path: &str| seen.iter().filter(|head| head.contains(path)).count();
            (of("/1 ") >= 2 && of("/2 ") >= 1).then_some(())
        })
        .await;
        // A page of another browser of the same user ends nothing here.
        let mut elsewhere = Browser::default();
        sign_out(&server, &mut elsewhere).await;
        assert!(stopped.iter().all(|call| !call.is_finished()));
        sign_out(&server, &mut browser).await;
        // With the space: every head ends its first line with `HTTP/1.1`.
        let of_alice = || {
            let seen = upstream.seen_since(before);
            seen.iter().filter(|head| head.contains("/1 ")).count()
        };
        let by_then = of_alice();
        for call in stopped {
            let answer = call.await.unwrap();
            assert!(answer.text().contains("revoked"), "{answer:?}");
        }
        sent_no_more(by_then, 2, of_alice).await;
        assert!(alice.call("http_flood", address()).await.link().is_some());
        for call in others {
            let answer = call.await.unwrap();
            assert!(!answer.text().contains("revoked"), "{answer:?}");
        }
        let ended = server.records().await.into_iter();
        let ended = ended.filter(|one| one.record.kind == "consent.revoked");
        let by: Vec<_> = ended.map(|one| one.record.facts["by"].clone()).collect();
        assert_eq!(by, ["sign-out"]);
        server.stop().await;
    });
}

/// Signs alice out of this browser, in which she signs in where she is not.
async fn sign_out(server: &Server, browser: &mut Browser) {
    let page = browser
        .open(&format!("{}/consents", server.url), "alice")
        .await;
    let forms = page.form_actions();
    let form = forms.iter().position(|action| action == "/sign-out");
    let out = browser.fill(&page, form.unwrap(), &[]).await;
    assert!(out.html.contains("Signed out"), "{out:?}");
}
