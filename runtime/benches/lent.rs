//! What it costs to look for lent secrets in an answer: `cargo bench -p bailiwick --bench lent`.

#![expect(clippy::expect_used, reason = "a bench that cannot measure ends")]

use std::hint::black_box;
use std::sync::Arc;

use bailiwick::ids::SecretName;
use bailiwick::protect::{Lent, SecretValue};
use criterion::{Criterion, Throughput};

/// Bytes of one answer.
const BYTES: usize = 1024 * 1024;
/// Bytes that come at once from a connection.
const PIECE: usize = 16 * 1024;

/// A call that has lent so many secrets of 40 bytes.
fn lent(count: usize) -> Lent {
    let lent = Lent::default();
    for nth in 0..count {
        let value = format!(
            "ghp_{:036x}",
            (nth as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        );
        let value = SecretValue::of(value.as_bytes()).expect("a secret");
        let name: SecretName = format!("s{nth}").parse().expect("a name");
        lent.add(&name, &Arc::new(value));
    }
    lent
}

/// What an API answers, with an escape in every sixth line or in none.
fn answer(escapes: bool) -> Vec<u8> {
    let mut text = String::new();
    let mut nth = 0;
    while text.len() < BYTES {
        let quoted = match escapes && nth % 6 == 0 {
            true => "say \\\"so\\\" at https:\\/\\/a.example\\/x%20y\\n",
            false => "say so at https://a.example/x/y as before",
        };
        text.push_str(&format!("{{\"id\":{nth},\"title\":\"Nightly job {nth:08x} fails\",\"body\":\"{quoted}\",\"sha\":\"7f9c24e83b124d5f9c1a{nth:012x}\"}},\n"));
        nth += 1;
    }
    text.truncate(BYTES);
    text.into_bytes()
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("lent");
    for (kind, escapes) in [("plain", false), ("with escapes", true)] {
        let answer = answer(escapes);
        group.throughput(Throughput::Bytes(answer.len() as u64));
        for count in [1, 8, 32] {
            let lent = lent(count);
            assert!(lent.bytes(&answer).is_none(), "nothing is to be found");
            group.bench_function(format!("{kind}, {count} secrets"), |bencher| {
                bencher.iter(|| {
                    let mut stream = lent.stream();
                    for piece in answer.chunks(PIECE) {
                        black_box(stream.push(piece));
                    }
                    black_box(stream.finish())
                });
            });
        }
    }
    group.finish();
    let mut group = criterion.benchmark_group("lent, made ready");
    for count in [1, 8, 32] {
        group.bench_function(format!("{count} secrets"), |bencher| {
            bencher.iter(|| black_box(lent(count).bytes(b"x")));
        });
    }
    group.finish();
    criterion.final_summary();
}
