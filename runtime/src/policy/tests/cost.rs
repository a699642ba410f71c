//! What a decision and a reload cost. Measured by `cargo test --release -p bailiwick --lib policy::tests::cost -- --ignored
//! --nocapture`; never a condition of a test.

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion};

use super::*;

fn tool_number(n: usize) -> Tool {
    let mut manifest = manifest(
        &format!("tool-{n}"),
        &[("web", &["http GET a.example /"], false)],
    );
    manifest.tools[0].input_schema = json!({
        "type": "object",
        "properties": {"customer": {"type": "string"}, "amount": {"type": "integer"}},
        "required": ["customer"],
    });
    tool_of(manifest)
}

/// Ten rules about every tool; the rest about one tool each, in turn.
fn set(rules: usize, tools: usize) -> String {
    let general = (0..rules.min(10)).map(|n| {
        format!(
            "@id(\"general-{n}\") permit (principal in Role::\"role-{n}\", action, resource);\n"
        )
    });
    let own = (10..rules).map(|n| {
        let tool = n % tools;
        format!(
            "@id(\"own-{n}\") permit (principal in Role::\"user\", action == Action::\"call:tool-{tool}\", resource) when {{ context.client != \"client-{n}\" }};\n"
        )
    });
    let users = "@id(\"users\") permit (principal in Role::\"user\", action in [Action::\"list\", Action::\"use\"], resource);\n";
    std::iter::once(users.to_owned())
        .chain(general)
        .chain(own)
        .collect()
}

#[test]
#[ignore = "a measurement, of docs/performance.md; `tests/long/run what_a_decision_costs` runs it"]
fn what_a_decision_costs() {
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .sample_size(20);
    for tools in [10, 1_000] {
        let all: Vec<Tool> = (0..tools).map(tool_number).collect();
        for count in [10, 100, 1_000] {
            let text = set(count, tools);
            let began = Instant::now();
            let rules = rules(&text, &all).unwrap();
            println!(
                "load: {count} rules, {tools} tools: {} ms",
                began.elapsed().as_millis()
            );
            let alice = caller(json!({"roles": ["user", "role-1"]}));
            let arguments = map(json!({"customer": "acme"}));
            let mut group = criterion.benchmark_group("decision");
            let name = format!("{count} rules, {tools} tools");
            group.bench_function(BenchmarkId::new("cached", &name), |bencher| {
                bencher.iter(|| rules.permit(&alice, &all[0], &arguments).is_ok());
            });
            group.bench_function(BenchmarkId::new("made", &name), |bencher| {
                bencher.iter(|| rules.decided(&alice, &all[0], (&arguments).into()).is_ok());
            });
            group.finish();
        }
    }
}
