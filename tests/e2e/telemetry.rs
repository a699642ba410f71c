//! What the server tells of itself: to whom, and that it is true.

mod files;
mod traces;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use bailiwick::capability::Kind;
use bailiwick::config::LogLevel;
use bailiwick::store::{ConsentFilter, ConsentState};
use bailiwick::telemetry::log::LogControl;
use serde_json::{Value, json};

use crate::harness::{Answer, Browser, Era, Server, Setup, Upstream, http, run, until};
use crate::outage::{FREE, FULL, behind};

const RULES: &str = r#"
@rate("few") permit (principal, action in Action::"call", resource in Package::"hello");
@id("no-secret-names") forbid (principal, action == Action::"call:notes_write", resource)
when { context.args.name == "forbidden" };
"#;

/// Every number of a page, by its name and labels as they are printed.
struct Page(BTreeMap<String, f64>);

impl Page {
    async fn of(server: &Server) -> Self {
        let answer = Answer::read(http().get(server.watched("/metrics"))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let kind = answer.header("content-type");
        assert_eq!(kind, Some("text/plain; version=0.0.4; charset=utf-8"));
        let lines = answer.body.lines().filter(|line| !line.starts_with('#'));
        let numbers = lines.map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        });
        Self(numbers.collect())
    }

    /// The number of this series, which there must be.
    fn number(&self, series: &str) -> f64 {
        let number = self.0.get(series);
        *number.unwrap_or_else(|| panic!("no {series} among {:#?}", self.0.keys()))
    }

    fn is(&self, series: &str, value: u32) {
        assert_eq!(self.number(series), f64::from(value), "{series}");
    }

    /// The names of all series, without labels.
    fn names(&self) -> Vec<&str> {
        let names = self.0.keys().map(|one| one.split('{').next().unwrap());
        names.collect()
    }
}

async fn served(upstream: &Upstream) -> Server {
    let setup = Setup::new().tools(&["hello", "notes", "fetch"]).await;
    let setup = setup
        .watched()
        .more_rules(RULES)
        .server("sessions = true\n")
        .config("[rate.few]\ncalls = 2\nseconds = 86400\n")
        .host("example.com", upstream.port, true);
    setup.start().await
}

/// Makes everything happen that the dashboard shows.
async fn drive(server: &Server) {
    let alice = server.caller("alice");
    for (expected, name) in [(true, "Ada"), (true, "Bob"), (false, "Eve")] {
        let answer = alice.call("hello", json!({"name": name})).await;
        assert_eq!(answer.is_reply(), expected, "{answer:?}");
    }
    let note = |name: &str| json!({"name": name, "text": "milk"});
    let written = alice.call_allowed(server, "notes_write", note("a")).await;
    assert!(written.is_reply(), "{written:?}");
    alice.call("notes_write", note("forbidden")).await;
    alice.call("no tool at all", json!({})).await;
    alice.call("no_such_tool", json!({})).await;
    alice.call("hello", json!({"name": [1]})).await;
    let url = json!({"url": "http://example.com/"});
    let fetched = alice.call_allowed(server, "fetch", url).await;
    assert!(fetched.is_reply() || fetched.is_tool_error(), "{fetched:?}");
    // A refusal of a user, and a token that counts for nothing.
    let root = server.caller("root");
    let asked = root.call("notes_write", note("b")).await;
    let link = asked.link().unwrap();
    Browser::default().decide(&link, "root", "deny").await;
    let expired = server.token("alice", json!({"exp": 1_000_000_000}));
    let forged = alice
        .clone()
        .bearing(&expired)
        .send("tools/list", json!({}))
        .await;
    assert_eq!(forged.status, 401, "{forged:?}");
    // A session, and consents that are taken back.
    let hello = json!({
        "protocolVersion": "2025-11-25", "capabilities": {"elicitation": {"url": {}}},
        "clientInfo": {"name": "e2e", "version": "1"},
    });
    let session = alice.clone().in_era(Era::Legacy);
    let began = session.send("initialize", hello).await;
    assert!(began.header("mcp-session-id").is_some(), "{began:?}");
    let taken = server.running.stages.consents.clone();
    let rows = taken.find(&ConsentFilter::default()).await;
    let row = rows
        .unwrap()
        .into_iter()
        .find(|row| row.key.tool.as_str() == "notes_write" && row.state == ConsentState::Active);
    let now = server.running.stages.clock.now();
    taken
        .revoke_for_admin(&row.unwrap(), uuid::Uuid::now_v7(), now)
        .await
        .unwrap();
}

#[test]
fn what_happened_stands_in_the_numbers_and_nothing_of_who_it_was() {
    run(async {
        let upstream = Upstream::start().await;
        let server = served(&upstream).await;
        let before = Page::of(&server).await;
        before.is("bailiwick_calls_in_flight", 0);
        assert!(before.number("bailiwick_tools") >= 3.0);
        before.is("bailiwick_ready", 1);
        drive(&server).await;
        server.records().await;
        let page = Page::of(&server).await;
        page.is(
            r#"bailiwick_calls_total{tool="hello",outcome="replied"}"#,
            2,
        );
        page.is(
            r#"bailiwick_calls_total{tool="hello",outcome="refused"}"#,
            2,
        );
        page.is(
            r#"bailiwick_calls_total{tool="other",outcome="refused"}"#,
            1,
        );
        page.is(
            r#"bailiwick_calls_total{tool="notes_write",outcome="replied"}"#,
            1,
        );
        page.is(
            r#"bailiwick_calls_total{tool="notes_write",outcome="asked"}"#,
            2,
        );
        page.is(r#"bailiwick_refusals_total{stage="limits"}"#, 1);
        page.is(r#"bailiwick_refusals_total{stage="policy"}"#, 1);
        page.is(r#"bailiwick_refusals_total{stage="catalog"}"#, 1);
        page.is(r#"bailiwick_refusals_total{stage="arguments"}"#, 1);
        page.is(r#"bailiwick_throttles_total{bound="rate"}"#, 1);
        page.is(
            r#"bailiwick_authentication_failures_total{reason="expired"}"#,
            1,
        );
        page.is(r#"bailiwick_edge_refusals_total{reason="tool-name"}"#, 1);
        assert!(page.number(r#"bailiwick_host_calls_total{kind="files"}"#) >= 1.0);
        page.is(r#"bailiwick_granted_calls_total{kind="files"}"#, 1);
        page.is(r#"bailiwick_call_duration_seconds_count{tier="T0"}"#, 2);
        page.is(r#"bailiwick_call_duration_seconds_count{tier="T2"}"#, 1);
        page.is("bailiwick_consent_decision_seconds_count", 3);
        page.is(r#"bailiwick_events_total{event="consent.asked"}"#, 3);
        page.is(r#"bailiwick_events_total{event="consent.given"}"#, 2);
        page.is(r#"bailiwick_events_total{event="consent.denied"}"#, 1);
        page.is(r#"bailiwick_events_total{event="consent.revoked"}"#, 1);
        page.is(r#"bailiwick_events_total{event="tool.admitted"}"#, 3);
        page.is("bailiwick_sessions", 1);
        page.is("bailiwick_pool_places", 32);
        page.is("bailiwick_pool_places_taken", 0);
        page.is("bailiwick_host_panics_total", 0);
        page.is("bailiwick_calls_in_flight", 0);
        page.is("bailiwick_audit_open", 1);
        page.is("bailiwick_audit_waiting_records", 0);
        assert!(page.number(r#"bailiwick_egress_requests_total{outcome="answered"}"#) >= 1.0);
        assert!(page.number(r#"bailiwick_http_requests_total{door="mcp",class="2xx"}"#) > 8.0);
        page.is(
            r#"bailiwick_http_requests_total{door="mcp",class="4xx"}"#,
            1,
        );
        assert!(page.number("bailiwick_audit_write_seconds_count") > 3.0);
        // Every label comes from a set of ours, but the names of tools that were admitted.
        for series in page.0.keys() {
            let odd = series.contains("=\"other\"") && !series.contains("tool=\"other\"");
            assert!(!odd, "{series}");
            for word in [
                "alice",
                "root",
                "dev-client",
                "milk",
                "no_such_tool",
                "forbidden",
            ] {
                assert!(!series.contains(word), "{series}");
            }
        }
        server.stop().await;
    });
}

#[test]
fn numbers_are_for_this_machine_and_for_nobody_without_a_word_of_the_operator() {
    run(async {
        let server = Setup::new().watched().start().await;
        for path in ["/metrics", "/info"] {
            let public = Answer::read(http().get(format!("{}{path}", server.url))).await;
            assert_eq!(public.status, 404, "{path}: {public:?}");
            let watched = Answer::read(http().get(server.watched(path))).await;
            assert_eq!(watched.status, 200, "{path}: {watched:?}");
            assert_eq!(watched.header("cache-control"), Some("no-store"));
            // A page that leads its reader's browser here under a name of its own.
            for (host, status) in [
                ("evil.example", 403),
                ("127.0.0.1.evil.example", 403),
                ("192.0.2.1", 403),
                ("a b", 400),
            ] {
                let led = http().get(server.watched(path)).header("host", host);
                let led = Answer::read(led).await;
                assert_eq!(led.status, status, "{path} {host}: {led:?}");
                assert_eq!(led.body.is_empty(), status == 403, "{led:?}");
            }
        }
        server.stop().await;
    });
}

#[test]
fn a_server_says_what_it_is_and_nothing_of_whom_it_serves() {
    run(async {
        let server = Setup::new().tools(&["hello"]).await.watched().start().await;
        let answer = Answer::read(http().get(server.watched("/info"))).await;
        let info = answer.json();
        assert_eq!(info["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(info["kinds"].as_array().unwrap().len(), Kind::ALL.len());
        assert_eq!(info["limits"]["calls_in_flight"], 32);
        assert_eq!(info["counts"]["tools"], 1);
        assert_eq!(info["counts"]["rules"], 2);
        assert_eq!(info["isolation"]["guests"], "in-process");
        let files = info["given_up"]["files"].as_str().unwrap();
        assert!(files.starts_with("absent"), "{files}");
        let here = server.dir().display().to_string();
        for word in [
            here.as_str(),
            "notes",
            "users-use-tools",
            "dev\"",
            "127.0.0.1",
        ] {
            assert!(!answer.body.contains(word), "{word}: {}", answer.body);
        }
        server.stop().await;
    });
}

#[test]
fn why_the_server_takes_no_calls_is_told_to_who_watches_and_the_numbers_say_so() {
    run(async {
        let server = Setup::new().tools(&["notes"]).await.watched().start().await;
        let ready = Answer::read(http().get(server.watched("/readyz"))).await;
        assert_eq!(
            (ready.status.as_u16(), ready.body.as_str()),
            (200, "ready\n")
        );
        behind(&server, FULL).await;
        let alice = server.caller("alice");
        alice
            .call("notes_write", json!({"name": "a", "text": "b"}))
            .await;
        let shut = Answer::read(http().get(server.watched("/readyz"))).await;
        let told = "not ready\nthe audit log cannot be written\n";
        assert_eq!((shut.status.as_u16(), shut.body.as_str()), (503, told));
        let page = Page::of(&server).await;
        page.is("bailiwick_ready", 0);
        page.is("bailiwick_audit_open", 0);
        assert!(page.number("bailiwick_audit_waiting_records") >= 1.0);
        // Strangers learn that it does not, and not why.
        let public = Answer::read(http().get(format!("{}/readyz", server.url))).await;
        assert_eq!(
            (public.status.as_u16(), public.body.as_str()),
            (503, "not ready\n")
        );
        behind(&server, FREE).await;
        until("the log opens again", async || {
            let page = Page::of(&server).await;
            let open = page.number("bailiwick_audit_open") == 1.0;
            (open && page.number("bailiwick_audit_waiting_records") == 0.0).then_some(())
        })
        .await;
        server.stop().await;
    });
}

#[test]
fn an_administrator_changes_what_the_log_says_with_a_rule_and_a_record_or_not_at_all() {
    run(async {
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let control = LogControl::new(LogLevel::Info, move |filter| {
            heard.lock().unwrap().push(filter.to_string());
            true
        });
        let rules = r#"
@id("admins-log") permit (principal in Role::"admin", action == Action::"admin:log", resource);
@id("readers") permit (principal in Role::"user", action == Action::"admin:read", resource);
"#;
        let server = Setup::new().more_rules(rules).log(control).start().await;
        let send = async |user: &str, body: Value| {
            let token = server.token(user, json!({"scope": "tools:call admin"}));
            let request = http().post(format!("{}/admin/log", server.url));
            Answer::read(request.bearer_auth(token).json(&body)).await
        };
        let debug = json!({"level": "debug"});
        let refused = send("alice", debug.clone()).await;
        assert_eq!(refused.status, 403, "{refused:?}");
        for odd in [
            json!({"level": "trace"}),
            json!({"level": "rmcp=trace"}),
            json!({}),
            json!({"level": "info", "x": 1}),
        ] {
            let answer = send("root", odd.clone()).await;
            assert_eq!(answer.status, 400, "{odd}: {answer:?}");
        }
        assert!(said.lock().unwrap().is_empty());
        let changed = send("root", debug).await;
        assert_eq!(changed.json(), json!({"level": "debug", "changed": true}));
        let filters = said.lock().unwrap().clone();
        assert_eq!(filters.len(), 1);
        assert!(filters[0].contains("bailiwick=debug"), "{filters:?}");
        assert!(filters[0].contains("rmcp=error"), "{filters:?}");
        let records = server.records().await;
        let ended = records.iter().find(|one| {
            one.record.method.as_deref() == Some("admin/log")
                && one.record.facts.contains_key("level")
        });
        let ended = &ended.unwrap().record;
        assert_eq!(ended.facts["level"], "debug");
        assert_eq!(ended.facts["action"], "admin:log");
        // No record, no effect.
        behind(&server, FULL).await;
        let unrecorded = send("root", json!({"level": "error"})).await;
        assert_eq!(unrecorded.status, 503, "{unrecorded:?}");
        assert_eq!(said.lock().unwrap().len(), 1);
        behind(&server, FREE).await;
        server.stop().await;
    });
}
