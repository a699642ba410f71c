//! What each stage of one call costs, by itself: `cargo bench -p bailiwick --bench stages`.

#![expect(clippy::expect_used, reason = "a bench that cannot measure ends")]

use std::hint::black_box;
use std::time::Instant;

use criterion::Criterion;

mod common;

use common::stages::OneCall;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let dir = tempfile::tempdir().expect("a folder");
    let call = runtime.block_on(async {
        common::echo(&common::tools_dir(dir.path()).join("echo.wasm"))
            .await
            .expect("a package");
        let (running, token) = common::start(dir.path()).await.expect("a server");
        OneCall::new(running, token).await.expect("a call")
    });

    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("stage");
    macro_rules! stage {
        ($name:literal, $call:ident, $before:expr, $given:pat, $body:expr) => {
            group.bench_function($name, |bencher| {
                bencher.iter_custom(|times| {
                    runtime.block_on(async {
                        let $call = &call;
                        let mut all = Vec::new();
                        for _ in 0..times {
                            all.push($before);
                        }
                        let began = Instant::now();
                        for $given in all {
                            let _ = black_box($body);
                        }
                        began.elapsed()
                    })
                })
            });
        };
    }
    stage!(
        "verify (remembered)",
        call,
        (),
        (),
        call.verify().await.expect("a caller")
    );
    stage!("find", call, (), (), call.find().expect("a tool"));
    stage!("permit", call, (), (), call.permit().expect("a permit"));
    stage!(
        "schema",
        call,
        (),
        (),
        call.schema().expect("arguments that fit")
    );
    stage!("digest", call, (), (), call.digest());
    stage!(
        "confirm",
        call,
        call.permit().expect("a permit"),
        permit,
        call.confirm(permit).await.expect("a consent")
    );
    stage!(
        "sandbox",
        call,
        call.grants().await.expect("grants"),
        grants,
        call.run(grants).await.expect("a reply")
    );
    for (name, flushed) in [("audit (queue)", false), ("audit (written)", true)] {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                runtime.block_on(async {
                    call.flush().await.expect("a log");
                    let began = Instant::now();
                    for _ in 0..times {
                        call.record().await.expect("a record");
                    }
                    if flushed {
                        call.flush().await.expect("a log");
                    }
                    began.elapsed()
                })
            })
        });
    }
    stage!("line", call, (), (), call.line().await.expect("a reply"));
    group.finish();
    criterion.final_summary();
    runtime.block_on(call.running.stop());
}
