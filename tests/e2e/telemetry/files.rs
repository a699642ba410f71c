//! The dashboard and the alert rules that are shipped ask for numbers that there are.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Page, drive, served};
use crate::harness::{Upstream, root, run};

/// What belongs to whoever collects, and to no server.
const OF_PROMETHEUS: [&str; 1] = ["up"];

/// Every metric that a query asks for: a word before a selector, a range or nothing, that is neither function nor label.
fn asked(query: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    for word in query.split(|c| !is_word(c)) {
        let ours = word.starts_with("bailiwick_") || word.starts_with("process_");
        if ours || OF_PROMETHEUS.contains(&word) {
            all.insert(word.to_owned());
        }
    }
    all
}

/// The text below every `expr` of a document.
fn queries(document: &Value, all: &mut Vec<String>) {
    match document {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(query) if name == "expr" => all.push(query.clone()),
                    _ => queries(member, all),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| queries(item, all)),
        _ => {}
    }
}

fn dashboard() -> Value {
    let file = root().join("ops/grafana/bailiwick.json");
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn alerts() -> String {
    std::fs::read_to_string(root().join("ops/prometheus/alerts.yml")).unwrap()
}

#[test]
fn every_number_that_dashboard_and_alerts_ask_for_is_one_that_a_driven_server_tells() {
    run(async {
        let upstream = Upstream::start().await;
        let server = served(&upstream).await;
        drive(&server).await;
        let page = Page::of(&server).await;
        let told: BTreeSet<&str> = page.names().into_iter().collect();
        let mut of_dashboard = Vec::new();
        queries(&dashboard(), &mut of_dashboard);
        assert!(of_dashboard.len() >= 15, "{of_dashboard:?}");
        let text = alerts();
        let lines = text.lines().map(str::trim_start);
        let of_alerts: Vec<String> = lines
            .filter_map(|line| line.strip_prefix("expr: "))
            .map(str::to_owned)
            .collect();
        assert!(of_alerts.len() >= 10, "{of_alerts:?}");
        for query in of_dashboard.iter().chain(&of_alerts) {
            let asked = asked(query);
            assert!(!asked.is_empty(), "{query}");
            for name in asked {
                let known = told.contains(name.as_str()) || OF_PROMETHEUS.contains(&&*name);
                assert!(known, "`{name}` of `{query}`");
            }
        }
        // What a query selects by is a label that some number of that name has.
        for query in of_dashboard.iter().chain(&of_alerts) {
            for (at, _) in query.match_indices('{') {
                let name = query[..at].rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
                let name = name.into_iter().next().unwrap();
                let inside = query[at + 1..].split('}').next().unwrap();
                for selector in inside.split(',').filter(|one| !one.is_empty()) {
                    let (label, wanted) = selector.split_once('=').unwrap();
                    let label = label.trim_end_matches('!');
                    let exact = wanted
                        .strip_prefix('"')
                        .and_then(|one| one.strip_suffix('"'));
                    let fits = |series: &&String| {
                        series.starts_with(&format!("{name}{{"))
                            && match exact {
                                Some(value) => series.contains(&format!("{label}=\"{value}\"")),
                                None => series.contains(&format!("{label}=\"")),
                            }
                    };
                    let exists = page.0.keys().any(|series| fits(&series));
                    let of_job = matches!(label, "job" | "instance");
                    assert!(exists || of_job, "`{selector}` of `{query}`");
                }
            }
        }
        server.stop().await;
    });
}

#[test]
fn the_search_would_see_a_number_that_there_is_not() {
    let query =
        "sum by (tool) (rate(bailiwick_made_up_total{outcome=\"x\"}[5m])) / process_threads";
    let found: Vec<String> = asked(query).into_iter().collect();
    assert_eq!(found, ["bailiwick_made_up_total", "process_threads"]);
}
