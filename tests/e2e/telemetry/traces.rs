//! Traces and durations, at a collector that takes OTLP as the protocol says.

use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::{Value, json};

use super::Page;
use crate::harness::{Answer, Caller, Collector, Setup, Stopwatch, run, until};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attribute(span: &Span, name: &str) -> Option<String> {
    let found = span.attributes.iter().find(|one| one.key == name)?;
    match found.value.clone()?.value? {
        Any::StringValue(text) => Some(text),
        other => panic!("{name}: {other:?}"),
    }
}

/// A call whose `_meta` says this as well.
async fn call_with(caller: &Caller, tool: &str, meta: &Value) -> Answer {
    let params = json!({"name": tool, "arguments": {"name": "Ada"}});
    let request = caller.request("tools/call", params).build().unwrap();
    let body = request.body().unwrap().as_bytes().unwrap();
    let mut body: Value = serde_json::from_slice(body).unwrap();
    let all = body["params"]["_meta"].as_object_mut().unwrap();
    all.extend(meta.as_object().unwrap().clone());
    let request = caller.request("tools/call", json!({"name": tool}));
    Answer::read(request.json(&body)).await
}

#[test]
fn a_call_is_one_span_with_its_stages_under_the_parent_that_its_client_names() {
    run(async {
        let collector = Collector::start().await;
        let setup = Setup::new().tools(&["hello"]).await.watched();
        let server = setup.config(&collector.config()).start().await;
        let alice = server.caller("alice");
        let meta = json!({
            "traceparent": format!("00-{TRACE}-{PARENT}-00"),
            "tracestate": "vendor=tracestate-of-the-client", "baggage": "user=baggage-of-the-client",
        });
        let answer = call_with(&alice, "hello", &meta).await;
        assert!(answer.is_reply(), "{answer:?}");
        let refused = alice.call("no_such_tool", json!({})).await;
        assert_eq!(refused.error().0, -32602, "{refused:?}");
        let spans = collector.received("tools/call hello").await;
        let whole = &spans[0];
        assert_eq!(hex(&whole.trace_id), TRACE);
        assert_eq!(hex(&whole.parent_span_id), PARENT);
        assert_eq!(whole.trace_state, "");
        assert_eq!(
            attribute(whole, "mcp.method.name").as_deref(),
            Some("tools/call")
        );
        assert_eq!(
            attribute(whole, "gen_ai.tool.name").as_deref(),
            Some("hello")
        );
        assert_eq!(
            attribute(whole, "gen_ai.operation.name").as_deref(),
            Some("execute_tool")
        );
        assert_eq!(
            attribute(whole, "bailiwick.outcome").as_deref(),
            Some("replied")
        );
        assert_eq!(attribute(whole, "error.type"), None);
        let event = attribute(whole, "bailiwick.event_id").unwrap();
        let records = server.outcomes("hello").await;
        assert_eq!(records[0].event_id.to_string(), event);
        let stages = until("every stage", async || {
            let all = collector.spans().into_iter();
            let within: Vec<_> = all
                .filter(|span| span.parent_span_id == whole.span_id)
                .collect();
            (within.len() == 9).then_some(within)
        })
        .await;
        let mut names: Vec<_> = stages
            .iter()
            .map(|span| (span.start_time_unix_nano, span.name.as_str()))
            .collect();
        names.sort_unstable();
        let names: Vec<_> = names.into_iter().map(|(_, name)| name).collect();
        assert_eq!(
            names,
            [
                "catalog",
                "policy",
                "arguments",
                "consent",
                "grant",
                "data-in",
                "intent",
                "sandbox",
                "data-out"
            ]
        );
        for stage in &stages {
            assert!(stage.attributes.is_empty(), "{stage:?}");
            assert_eq!(hex(&stage.trace_id), TRACE);
        }
        // What was refused says so, and not what was asked for.
        let refused = collector.received("tools/call").await;
        assert_eq!(
            attribute(&refused[0], "error.type").as_deref(),
            Some("refused")
        );
        assert_eq!(attribute(&refused[0], "gen_ai.tool.name"), None);
        assert!(refused[0].parent_span_id.is_empty());
        // Durations are sent at the end at the latest.
        server.stop().await;
        let metrics = collector.metrics();
        let took = metrics
            .iter()
            .find(|one| one.name == "mcp.server.operation.duration")
            .unwrap();
        assert_eq!(took.unit, "s");
        let Some(Data::Histogram(took)) = &took.data else {
            panic!("{took:?}")
        };
        assert_eq!(took.data_points.iter().map(|one| one.count).sum::<u64>(), 2);
        let resources = collector.resources().join("\n");
        assert!(
            resources.contains("service.name") && resources.contains("bailiwick"),
            "{resources}"
        );
        let sent = collector.bytes();
        for word in [
            "alice",
            "Ada",
            "of-the-client",
            "no_such_tool",
            "dev-client",
        ] {
            assert!(!sent.contains(word), "{word}");
        }
    });
}

#[test]
fn a_parent_that_is_none_is_nobodys_and_costs_the_call_nothing() {
    run(async {
        let collector = Collector::start().await;
        let setup = Setup::new().tools(&["hello"]).await;
        let server = setup.config(&collector.config()).start().await;
        let alice = server.caller("alice");
        let odd = [
            json!({"traceparent": "x".repeat(500_000)}),
            json!({"traceparent": "-".repeat(500_000), "baggage": "a=b,".repeat(50_000)}),
            json!({"traceparent": format!("00-{TRACE}-{PARENT}-01\n")}),
            json!({"traceparent": format!("00-{TRACE}-{PARENT}-01-more")}),
            json!({"traceparent": format!("00-{}-{PARENT}-01", "0".repeat(32))}),
            json!({"baggage": "k=v\nforged: 1"}),
        ];
        for meta in &odd {
            let answer = call_with(&alice, "hello", meta).await;
            assert!(answer.is_reply(), "{answer:?}");
        }
        // One that is no text is a request that cannot be read, or one without a parent.
        for meta in [
            json!({"traceparent": 7}),
            json!({"traceparent": {"a": ["b"]}, "baggage": [1]}),
        ] {
            let answer = call_with(&alice, "hello", &meta).await;
            assert!(answer.status.as_u16() < 500, "{answer:?}");
        }
        server.stop().await;
        let spans = collector.spans().into_iter();
        let whole: Vec<_> = spans
            .filter(|span| span.name == "tools/call hello")
            .collect();
        assert!(whole.len() >= odd.len(), "{}", whole.len());
        for span in whole {
            assert!(span.parent_span_id.is_empty());
            assert_ne!(hex(&span.trace_id), TRACE);
        }
    });
}

#[test]
fn the_calls_of_one_tree_are_one_trace() {
    run(async {
        let collector = Collector::start().await;
        let setup = Setup::new()
            .tools(&["hello"])
            .await
            .guests(&["call_each"])
            .await;
        let server = setup.config(&collector.config()).start().await;
        let alice = server.caller("alice");
        let step = json!({"tool": "hello", "arguments": "{\"name\": \"Ada\"}"});
        let arguments = json!({"steps": [step]});
        alice.call_allowed(&server, "call_each", arguments).await;
        server.stop().await;
        let spans = collector.spans();
        let outer = spans
            .iter()
            .rfind(|span| span.name == "tools/call call_each")
            .unwrap();
        let inner = spans.iter().find(|span| span.name == "tools/call hello");
        let inner = inner
            .unwrap_or_else(|| panic!("{:?}", spans.iter().map(|s| &s.name).collect::<Vec<_>>()));
        assert_eq!(inner.trace_id, outer.trace_id);
        assert_eq!(inner.parent_span_id, outer.span_id);
    });
}

#[test]
fn a_dead_or_silent_collector_slows_and_fails_no_call() {
    run(async {
        let gone = Collector::start().await;
        let dead = gone.config();
        drop(gone);
        let hanging = Collector::hanging().await;
        for (what, config) in [("dead", dead), ("silent", hanging.config())] {
            let setup = Setup::new().tools(&["hello"]).await.watched();
            let server = setup.config(&config).start().await;
            let alice = server.caller("alice");
            let mut slowest = Duration::ZERO;
            for _ in 0..100 {
                let watch = Stopwatch::start();
                let answer = alice.call("hello", json!({"name": "Ada"})).await;
                assert!(answer.is_reply(), "{what}: {answer:?}");
                slowest = slowest.max(watch.took());
            }
            // Far below the three seconds after which a collector is given up.
            assert!(slowest < Duration::from_secs(2), "{what}: {slowest:?}");
            until("it is told that nothing arrives", async || {
                let page = Page::of(&server).await;
                let failed = page.number(r#"bailiwick_telemetry_exports_total{outcome="failed"}"#);
                (failed >= 1.0).then_some(())
            })
            .await;
            let began = Instant::now();
            server.stop().await;
            assert!(began.elapsed() < Duration::from_secs(15), "{what}");
        }
    });
}

#[test]
fn without_a_share_nothing_is_traced_and_durations_are_told_all_the_same() {
    run(async {
        let collector = Collector::start().await;
        let config = format!("{}sample_ratio = 0.0\n", collector.config());
        let server = Setup::new()
            .tools(&["hello"])
            .await
            .config(&config)
            .start()
            .await;
        let alice = server.caller("alice");
        // Not even where the client wishes it.
        let meta = json!({"traceparent": format!("00-{TRACE}-{PARENT}-01")});
        assert!(call_with(&alice, "hello", &meta).await.is_reply());
        server.stop().await;
        assert!(collector.spans().is_empty());
        assert!(!collector.metrics().is_empty());
    });
}
