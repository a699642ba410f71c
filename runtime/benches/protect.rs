//! What it costs to look for personal data: `cargo bench -p bailiwick --bench protect`.
//!
//! Throughput is of JSON text: the values are parsed before.

#![expect(clippy::expect_used, reason = "a bench that cannot measure ends")]

use std::hint::black_box;

use bailiwick::protect::Detector;
use criterion::{Criterion, Throughput};
use serde_json::{Value, json};

/// What tools send and return: prose, ids, times, paths; nothing that is found.
fn clean(nth: usize) -> Value {
    json!({
        "id": format!("7f9c24e8-3b12-4d5f-9c1a-{nth:012x}"),
        "title": "Quarterly review of the build pipeline",
        "createdAt": "2026-03-14T09:26:53.589Z",
        "size": 48_213 + nth,
        "score": 0.937,
        "tags": ["release", "pipeline", "v1.22.3"],
        "path": "services/api/src/handlers/session_store.rs",
        "body": "The nightly job fails when the cache is cold. We moved the lookup behind the queue, and it now takes 40 ms \
                 instead of 900. Nothing else in the pipeline depends on it, so the change can go out with the next release \
                 once the dashboards have been looked at for a day or two.",
        "本文": "夜間のジョブはキャッシュが空のときに失敗します。参照をキューの後ろに移したところ、40ミリ秒で終わるようになりました。",
    })
}

/// What a customer record holds.
fn personal(nth: usize) -> Value {
    json!({
        "name": "Yamada Taro",
        "email": format!("taro{nth}@example.com"),
        "phone": "090-1234-5678",
        "card": "4111 1111 1111 1111",
        "birthDate": "1990-01-02",
        "note": "Call +81 3-1234-5678 before noon, or write to desk@example.co.jp.",
    })
}

fn of_size(bytes: usize, one: fn(usize) -> Value) -> (Value, u64) {
    let mut all = Vec::new();
    let mut size = 2;
    while all.is_empty() || size < bytes {
        let one = one(all.len());
        size += one.to_string().len() + 1;
        all.push(one);
    }
    (Value::Array(all), size as u64)
}

fn main() {
    let detector = Detector::built_in();
    let schema = json!({"type": "array", "items": {"type": "object", "properties": {
        "title": {"type": "string", "description": "One line"},
        "body": {"type": "string", "description": "The text"},
    }}});
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("protect");
    type Make = fn(usize) -> Value;
    let kinds: [(&str, Make); 2] = [("clean", clean), ("personal", personal)];
    for (kind, one) in kinds {
        for kib in [1, 64] {
            let (value, size) = of_size(kib * 1024, one);
            let scan = detector.scan(&value, &schema);
            assert_eq!(scan.is_clean(), kind == "clean", "{scan:?}");
            group.throughput(Throughput::Bytes(size));
            group.bench_function(format!("{kind}, {kib} KiB of JSON"), |bencher| {
                bencher.iter(|| black_box(detector.scan(black_box(&value), &schema)));
            });
        }
    }
    let text = clean(0)
        .get("body")
        .and_then(Value::as_str)
        .expect("a text")
        .repeat(220);
    group.throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("clean, 64 KiB of prose", |bencher| {
        bencher.iter(|| black_box(detector.scan_text(black_box(&text), "")));
    });
    group.finish();
    criterion.final_summary();
}
