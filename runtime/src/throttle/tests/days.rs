//! Daily budgets: over restarts, crashes, days and clocks that go back.

use std::sync::atomic::Ordering;
use std::time::Instant;

use super::*;
use crate::clock::Timestamp;

const DAY: i64 = 24 * 60 * 60 * 1_000;
/// Ten in the evening of some day.
const EVENING: Timestamp = Timestamp(20_000 * DAY + 22 * 60 * 60 * 1_000);

fn day(toml: &str) -> Limits {
    limits(&format!(
        "[[limit]]\nname = \"day\"\nper = \"user\"\n{toml}\n"
    ))
}

/// How many calls go through, each of which takes a second and answers with ten bytes.
async fn passed(calls: &Calls, at: Timestamp, tries: usize) -> usize {
    let alice = Who::alice();
    let mut passed = 0;
    for _ in 0..tries {
        let looked = calls.look(alice.whose(), Instant::now(), at).await;
        let taken = calls.take(alice.whose(), Instant::now(), at).await;
        assert_eq!(looked.is_ok(), taken.is_ok());
        if let Ok(taken) = taken {
            taken.ended(SECOND, 10).await.unwrap();
            passed += 1;
        }
    }
    passed
}

#[tokio::test]
async fn a_budget_lasts_a_day_and_says_when_the_next_begins() {
    let calls = calls(day("daily_calls = 3"), &Arc::default()).await;
    assert_eq!(passed(&calls, EVENING, 9).await, 3);
    let alice = Who::alice();
    let refusal = calls
        .take(alice.whose(), Instant::now(), EVENING)
        .await
        .err();
    let throttled = refused(refusal.unwrap());
    assert_eq!(throttled.reason(), "daily:day");
    assert_eq!(throttled.again_in, 2 * 3600 * SECOND);
    let midnight = EVENING.plus(throttled.again_in);
    assert_eq!(passed(&calls, Timestamp(midnight.0 - 1), 1).await, 0);
    assert_eq!(passed(&calls, midnight, 9).await, 3);
    // Another user's is another.
    let bob = Who::new("acme", "bob", "desk", "hello");
    assert!(
        calls
            .take(bob.whose(), Instant::now(), EVENING)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn time_and_replies_have_budgets_that_end_with_the_call_that_uses_them_up() {
    for (toml, most) in [("daily_ms = 2500", 3), ("daily_reply_bytes = 40", 4)] {
        let calls = calls(day(toml), &Arc::default()).await;
        assert_eq!(passed(&calls, EVENING, 9).await, most, "{toml}");
    }
}

#[tokio::test]
async fn neither_a_restart_nor_a_crash_gives_a_new_budget() {
    for (toml, most) in [
        ("daily_calls = 3", 3),
        ("daily_calls = 1000", 1_000),
        ("daily_ms = 900000", 900),
    ] {
        let budgets = Arc::default();
        let first = calls(day(toml), &budgets).await;
        assert_eq!(passed(&first, EVENING, 2).await, 2);
        first.settle().await.unwrap();
        drop(first);
        // In order: to the call.
        let second = calls(day(toml), &budgets).await;
        let one = passed(&second, EVENING, 1).await;
        drop(second);
        // Killed: less by a hundredth at most, and never more.
        let third = calls(day(toml), &budgets).await;
        let left = passed(&third, EVENING, 2_000).await;
        let all = 2 + one + left;
        assert!(all <= most && all + most / 100 + 1 >= most, "{toml}: {all}");
        assert_eq!(one, 1);
    }
}

#[tokio::test]
async fn most_calls_wait_for_no_disk() {
    let budgets: Arc<Memory> = Arc::default();
    let calls = calls(day("daily_calls = 10000\ndaily_ms = 100000000"), &budgets).await;
    assert_eq!(passed(&calls, EVENING, 1_000).await, 1_000);
    assert!(budgets.writes.load(Ordering::SeqCst) <= 15);
}

#[tokio::test]
async fn a_clock_that_goes_back_gives_nothing_and_one_that_goes_forth_a_day() {
    let budgets = Arc::default();
    let first = calls(day("daily_calls = 3"), &budgets).await;
    assert_eq!(passed(&first, EVENING, 9).await, 3);
    for back in [1, DAY, 400 * DAY, 30_000 * DAY] {
        assert_eq!(passed(&first, Timestamp(EVENING.0 - back), 9).await, 0);
    }
    drop(first);
    let second = calls(day("daily_calls = 3"), &budgets).await;
    assert_eq!(passed(&second, Timestamp(EVENING.0 - 3 * DAY), 9).await, 0);
    let bob = Who::new("acme", "bob", "desk", "hello");
    // Who has not called yet has the budget of the latest day, and no other one before it.
    for (back, expected) in [(DAY, true), (0, true), (2 * DAY, true), (0, false)] {
        let at = Timestamp(EVENING.0 - back);
        let taken = second.take(bob.whose(), Instant::now(), at).await;
        assert_eq!(taken.is_ok(), expected);
    }
    assert_eq!(
        passed(&second, EVENING.plus(24 * 3600 * SECOND), 9).await,
        3
    );
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_spent() {
    let budgets: Arc<Memory> = Arc::default();
    let calls = calls(day("daily_calls = 200"), &budgets).await;
    assert_eq!(passed(&calls, EVENING, 2).await, 2);
    budgets.fails.store(true, Ordering::SeqCst);
    let alice = Who::alice();
    let refusal = calls
        .take(alice.whose(), Instant::now(), EVENING)
        .await
        .err();
    assert!(matches!(refusal, Some(Refusal::Unavailable(_))));
    let bob = Who::new("acme", "bob", "desk", "hello");
    assert!(
        calls
            .look(bob.whose(), Instant::now(), EVENING)
            .await
            .is_err()
    );
    budgets.fails.store(false, Ordering::SeqCst);
    assert_eq!(passed(&calls, EVENING, 300).await, 198);
}

#[tokio::test]
async fn a_budget_that_the_operator_changes_counts_what_was_spent() {
    let budgets = Arc::default();
    let calls = calls(day("daily_calls = 3"), &budgets).await;
    assert_eq!(passed(&calls, EVENING, 9).await, 3);
    calls.set(day("daily_calls = 5"));
    assert_eq!(passed(&calls, EVENING, 9).await, 2);
    calls.set(day("daily_calls = 2"));
    assert_eq!(passed(&calls, EVENING, 9).await, 0);
}
