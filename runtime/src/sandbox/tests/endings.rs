//! Every way in which a call ends has its name, and none of them is a neighbour's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use wasmtime::component::Component;

use super::super::testing::{BEGIN, context, echo, granted, guest, run, run_on, sandbox};
use super::super::{Ending, RunContext};
use super::{BLOCK, LOG, SUBSCRIBE, number, once, text, within};
use crate::clock::{Clock, Timestamp};
use crate::limits::{LOG_LINES_MAX, REPLY_BYTES_MAX};
use crate::revocation::RunningCalls;

/// Longest until a guest of a short deadline has ended, on a machine that is busy with others: one that nothing ends never does.
const ENDED_MAX: Duration = Duration::from_secs(30);
/// What no guest takes that somebody ends, in milliseconds.
const LONG_MS: u64 = 60_000;

/// The guest is ended at its deadline, and a neighbour on the same threads answers meanwhile.
async fn ends_at_the_deadline(guest: Component) {
    let sandbox = Arc::new(sandbox());
    let hostile = {
        let (sandbox, guest) = (sandbox.clone(), guest.clone());
        tokio::spawn(async move { run(&sandbox, &guest, &[], "{}", within(200)).await })
    };
    let neighbour = echo();
    for _ in 0..5 {
        let outcome = run(&sandbox, &neighbour, &[], "hello", within(LONG_MS)).await;
        assert_eq!(text(&outcome), "hello");
    }
    let outcome = hostile.await.unwrap();
    assert!(
        matches!(outcome.ending, Ending::OutOfTime),
        "{:?}",
        outcome.ending
    );
    assert!(outcome.usage.wall >= Duration::from_millis(200));
    assert!(outcome.usage.wall < ENDED_MAX, "{:?}", outcome.usage.wall);
}

#[tokio::test]
async fn a_guest_answers_its_arguments() {
    let outcome = run(&sandbox(), &echo(), &[], r#"{"a":1}"#, context()).await;
    assert_eq!(text(&outcome), r#"{"a":1}"#);
    assert_eq!(outcome.usage.reply_bytes, 7);
    assert_eq!(outcome.usage.memory_bytes_peak, 2 * 65_536);
    assert!(outcome.usage.effects.is_empty());
}

#[tokio::test]
async fn a_guest_describes_itself_in_an_empty_world() {
    assert_eq!(sandbox().describe(&echo()).await.unwrap(), []);
}

#[tokio::test]
async fn an_endless_loop_ends_at_the_deadline() {
    ends_at_the_deadline(guest("", "(loop $l (br $l)) unreachable")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn spinners_leave_a_thread_to_the_others() {
    let sandbox = Arc::new(sandbox());
    let spin = guest("", "(loop $l (br $l)) unreachable");
    let enough = CancellationToken::new();
    let spinners: Vec<_> = (0..6)
        .map(|_| {
            let (sandbox, spin) = (sandbox.clone(), spin.clone());
            let context = RunContext {
                cancel: enough.clone(),
                ..within(LONG_MS)
            };
            tokio::spawn(async move { run(&sandbox, &spin, &[], "{}", context).await })
        })
        .collect();
    // Until then they are as short as the others.
    while sandbox.turns().1 < spinners.len() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let others = tokio::spawn(async move {
        let good = echo();
        for _ in 0..50 {
            let outcome = run(&sandbox, &good, &[], "x", within(LONG_MS)).await;
            assert_eq!(text(&outcome), "x");
        }
        // Whoever waits for a turn ends at its deadline all the same.
        let late = run(&sandbox, &spin, &[], "{}", within(200)).await;
        assert!(matches!(late.ending, Ending::OutOfTime));
    });
    others.await.unwrap();
    // No spinner had to end for one of them, which has no turn that it would wait for.
    assert!(spinners.iter().all(|spinner| !spinner.is_finished()));
    enough.cancel();
    for spinner in spinners {
        assert!(matches!(spinner.await.unwrap().ending, Ending::Cancelled));
    }
}

#[tokio::test]
async fn a_loop_of_bulk_instructions_ends_at_the_deadline() {
    ends_at_the_deadline(guest(
        "",
        "(drop (memory.grow (i32.const 128)))
         (loop $l
            (memory.fill (i32.const 131072) (i32.const 1) (i32.const 8000000))
            (memory.copy (i32.const 131072) (i32.const 140000) (i32.const 7000000))
            (br $l))
         unreachable",
    ))
    .await;
}

#[tokio::test]
async fn a_loop_of_host_calls_ends_at_the_deadline() {
    ends_at_the_deadline(guest(
        LOG,
        "(loop $l (call $log (i32.const 2) (i32.const 0) (i32.const 1)) (br $l)) unreachable",
    ))
    .await;
}

#[tokio::test]
async fn a_loop_at_instantiation_ends_at_the_deadline() {
    ends_at_the_deadline(guest(
        "(func $spin (loop $l (br $l))) (start $spin)",
        "unreachable",
    ))
    .await;
}

#[tokio::test]
async fn a_wait_ends_at_the_deadline() {
    ends_at_the_deadline(guest(
        &format!("{SUBSCRIBE} {BLOCK}"),
        "(call $block (call $subscribe (i64.const 3600000000000))) unreachable",
    ))
    .await;
}

#[tokio::test]
async fn recursion_ends_in_a_trap() {
    let outcome = once(&guest(
        "(func $deep (call $deep))",
        "(call $deep) unreachable",
    ))
    .await;
    assert!(matches!(outcome.ending, Ending::Trapped));
}

#[tokio::test]
async fn memory_is_bounded_by_the_wish() {
    let grows = "(local $pages i32)
        (loop $l (br_if $l (i32.ne (i32.const -1) (memory.grow (i32.const 1)))))
        (call $hex (i64.extend_i32_u (memory.size)))";
    let outcome = once(&guest("", grows)).await;
    assert_eq!(number(&outcome), 16 * 16);
    assert_eq!(outcome.usage.memory_bytes_peak, 16 << 20);
}

#[tokio::test]
async fn a_guest_that_cannot_go_on_without_memory_is_out_of_bounds() {
    let outcome = once(&guest(
        "",
        "(loop $l (br_if $l (i32.ne (i32.const -1) (memory.grow (i32.const 1))))) unreachable",
    ))
    .await;
    assert!(matches!(outcome.ending, Ending::OutOfBounds));
}

#[tokio::test]
async fn tables_are_bounded() {
    let outcome = once(&guest(
        "(table $t 1 funcref)",
        "(loop $l (br_if $l (i32.ne (i32.const -1) (table.grow $t (ref.null func) (i32.const 1000)))))
         (call $hex (i64.extend_i32_u (table.size $t)))",
    ))
    .await;
    assert!(number(&outcome) <= 20_000);
}

#[tokio::test]
async fn resources_are_bounded() {
    let outcome = once(&guest(
        SUBSCRIBE,
        "(loop $l (drop (call $subscribe (i64.const 1))) (br $l)) unreachable",
    ))
    .await;
    assert!(
        matches!(outcome.ending, Ending::OutOfBounds),
        "{:?}",
        outcome.ending
    );
}

#[tokio::test]
async fn handles_without_a_resource_are_bounded() {
    let network = r#"(import "wasi:sockets/instance-network@0.2.9" "instance-network"
        (func $network (result i32)))"#;
    let outcome = once(&guest(
        network,
        "(loop $l (drop (call $network)) (br $l)) unreachable",
    ))
    .await;
    assert!(
        matches!(outcome.ending, Ending::OutOfBounds),
        "{:?}",
        outcome.ending
    );
}

#[tokio::test]
async fn a_log_flood_is_dropped_and_counted() {
    let outcome = once(&guest(
        &format!("{LOG} (global $n (mut i32) (i32.const 0))"),
        "(loop $l
            (call $log (i32.const 2) (i32.const 0) (i32.const 65536))
            (global.set $n (i32.add (global.get $n) (i32.const 1)))
            (br_if $l (i32.lt_u (global.get $n) (i32.const 1000))))
         (call $text (local.get $at) (local.get $len))",
    ))
    .await;
    assert_eq!(text(&outcome), "{}");
    assert_eq!(outcome.usage.log_lines, 1_000);
    const { assert!(LOG_LINES_MAX < 1_000) };
}

#[tokio::test]
async fn one_message_cannot_copy_more_than_the_bound() {
    let outcome = once(&guest(
        LOG,
        "(drop (memory.grow (i32.const 64)))
         (call $log (i32.const 2) (i32.const 0) (i32.const 4000000)) unreachable",
    ))
    .await;
    assert!(
        matches!(outcome.ending, Ending::OutOfBounds),
        "{:?}",
        outcome.ending
    );
}

#[tokio::test]
async fn a_reply_over_its_bound_is_not_a_reply() {
    for bytes in [REPLY_BYTES_MAX + 1, 4_000_000] {
        let outcome = once(&guest(
            "",
            &format!(
                "(drop (memory.grow (i32.const 64))) (call $text (i32.const 65536) (i32.const {bytes}))"
            ),
        ))
        .await;
        assert!(
            matches!(outcome.ending, Ending::ReplyTooLarge),
            "{:?}",
            outcome.ending
        );
    }
}

#[tokio::test]
async fn a_reply_that_points_nowhere_is_a_trap() {
    let outcome = once(&guest(
        "",
        "(call $text (i32.const -1) (i32.const 1073741824))",
    ))
    .await;
    assert!(matches!(
        outcome.ending,
        Ending::Trapped | Ending::ReplyTooLarge
    ));
    assert!(matches!(
        once(&guest("", "(i32.const -4)")).await.ending,
        Ending::Trapped
    ));
}

#[tokio::test]
async fn a_trap_and_an_exit_have_their_names() {
    assert!(matches!(
        once(&guest("", "unreachable")).await.ending,
        Ending::Trapped
    ));
    let exit = r#"(import "wasi:cli/exit@0.2.6" "exit" (func $exit (param i32)))"#;
    for status in [0, 1] {
        let body = format!("(call $exit (i32.const {status})) unreachable");
        assert!(matches!(
            once(&guest(exit, &body)).await.ending,
            Ending::Exited
        ));
    }
}

#[tokio::test]
async fn a_flood_of_random_bytes_ends_the_call() {
    let random = r#"(import "wasi:random/random@0.2.6" "get-random-bytes"
        (func $random (param i64 i32)))"#;
    let outcome = once(&guest(
        random,
        "(call $random (i64.const -1) (i32.const 16)) unreachable",
    ))
    .await;
    assert!(matches!(outcome.ending, Ending::Trapped));
}

#[tokio::test]
async fn nothing_of_a_call_is_seen_by_the_next() {
    // Counts the bytes that are not zero where nothing was ever put, then fills them.
    let component = guest(
        "(global $sum (mut i64) (i64.const 0)) (global $i (mut i32) (i32.const 200000))",
        "(drop (memory.grow (i32.const 32)))
         (loop $l
            (global.set $sum (i64.add (global.get $sum)
                (i64.extend_i32_u (i32.load8_u (global.get $i)))))
            (i32.store8 (global.get $i) (i32.const 0xa5))
            (global.set $i (i32.add (global.get $i) (i32.const 1)))
            (br_if $l (i32.lt_u (global.get $i) (i32.const 2000000))))
         (call $hex (global.get $sum))",
    );
    let sandbox = sandbox();
    for _ in 0..100 {
        let outcome = run(&sandbox, &component, &[], "{}", context()).await;
        assert_eq!(number(&outcome), 0);
    }
}

/// A clock that panics when it is read a second time: by the guest, not by us.
struct Broken(AtomicUsize);

impl Clock for Broken {
    fn now(&self) -> Timestamp {
        let reads = self.0.fetch_add(1, Ordering::SeqCst);
        assert!(reads == 0, "a broken clock");
        BEGIN
    }
}

#[tokio::test]
async fn a_panic_of_a_host_function_is_a_fault_of_one_call() {
    let wall = r#"(import "wasi:clocks/wall-clock@0.2.6" "now" (func $wall (param i32)))"#;
    let component = guest(wall, "(call $wall (i32.const 3072)) unreachable");
    let sandbox = sandbox();
    let broken = RunContext {
        clock: Arc::new(Broken(0.into())),
        ..context()
    };
    let outcome = run(&sandbox, &component, &["clock"], "{}", broken).await;
    assert!(
        matches!(&outcome.ending, Ending::Fault(text) if text.contains("a broken clock")),
        "{:?}",
        outcome.ending
    );
    assert_eq!(
        text(&run(&sandbox, &echo(), &[], "next", context()).await),
        "next"
    );
}

#[tokio::test]
async fn a_cancelled_call_ends_and_leaves_its_place() {
    let sandbox = sandbox();
    let component = guest(
        &format!("{SUBSCRIBE} {BLOCK}"),
        "(call $block (call $subscribe (i64.const 3600000000000))) unreachable",
    );
    for _ in 0..70 {
        let context = context();
        context.cancel.cancel();
        let outcome = run(&sandbox, &component, &[], "{}", context).await;
        assert!(matches!(outcome.ending, Ending::Cancelled));
    }
    assert_eq!(
        text(&run(&sandbox, &echo(), &[], "x", context()).await),
        "x"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_whose_consent_is_revoked_is_stopped_whether_it_waits_or_computes() {
    let sandbox = Arc::new(sandbox());
    let waits = guest(
        &format!("{SUBSCRIBE} {BLOCK}"),
        "(call $block (call $subscribe (i64.const 3600000000000))) unreachable",
    );
    let computes = guest("", "(loop $again (br $again)) unreachable");
    for component in [waits, computes] {
        for revoked in [true, false] {
            let granted = granted(&["http GET a.example /"]);
            let calls = RunningCalls::default();
            let entered = calls.enter();
            assert!(entered.hold(entered.look(), [Uuid::nil()]));
            let standing = granted.iter().map(|one| (one.clone(), vec![Uuid::nil()]));
            let standing = entered.stand(standing);
            let (sandbox, component) = (Arc::clone(&sandbox), component.clone());
            let call = tokio::spawn(async move {
                // Revoked, it ends long before its time is over.
                let context = within(if revoked { 20_000 } else { 400 });
                let outcome = run_on(&sandbox, &component, &granted, &standing, "{}", context);
                let outcome = outcome.await;
                drop(entered);
                outcome
            });
            tokio::time::sleep(Duration::from_millis(50)).await;
            if revoked {
                calls.revoke(&[Uuid::nil()]).await;
            }
            let name = call.await.unwrap().ending.name();
            assert_eq!(name, if revoked { "revoked" } else { "out-of-time" });
        }
    }
}

#[tokio::test]
async fn one_call_too_many_is_refused_at_once() {
    let sandbox = sandbox();
    let all = sandbox.places.available_permits();
    let taken = sandbox
        .places
        .acquire_many(u32::try_from(all).unwrap())
        .await
        .unwrap();
    // At once: nothing ever gives a place back here.
    let outcome = run(&sandbox, &echo(), &[], "x", context()).await;
    assert!(matches!(outcome.ending, Ending::Overloaded));
    drop(taken);
    assert_eq!(
        text(&run(&sandbox, &echo(), &[], "x", context()).await),
        "x"
    );
}

#[tokio::test]
async fn a_component_is_linked_once_for_each_set_of_kinds() {
    let (sandbox, component) = (sandbox(), echo());
    for granted in [&[][..], &["clock"], &[], &["clock"]] {
        run(&sandbox, &component, granted, "x", context()).await;
    }
    sandbox.linked.run_pending_tasks();
    assert_eq!(sandbox.linked.entry_count(), 2);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a component of a test")]
async fn an_import_that_is_not_known_does_not_link() {
    let bytes = wat::parse_str(
        r#"(component (import "evil:host/a@1.0.0" (instance (export "f" (func)))))"#,
    )
    .unwrap();
    let component = Component::new(crate::engine::testing::engine().engine(), bytes).unwrap();
    let outcome = once(&component).await;
    assert!(matches!(&outcome.ending, Ending::Fault(text) if text.contains("evil:host/a@1.0.0")));
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "a component of a test")]
async fn a_component_of_another_engine_is_refused() {
    let other = wasmtime::Engine::default();
    let component = Component::new(&other, wat::parse_str("(component)").unwrap()).unwrap();
    let outcome = once(&component).await;
    assert!(matches!(&outcome.ending, Ending::Fault(text) if text.contains("another engine")));
}
