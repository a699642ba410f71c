//! A million values: measured, not guessed. `cargo test -p bailiwick --lib seal::tests::million -- --ignored --nocapture` prints
//! what `docs/keys.md` says; `BAILIWICK_SEALED_VALUES=10000` takes so many instead.

use std::time::Instant;

use futures_util::stream::{self, StreamExt};

use super::*;

const NUMBER: usize = 1_000_000;
const BATCH: usize = 1_000;
/// How many are opened at once where calls run beside each other.
const BESIDE: usize = 16;

#[tokio::test]
#[ignore = "takes minutes and a gigabyte; `tests/long/run seal::tests::million` runs it"]
async fn a_million_values_are_sealed_opened_rotated_and_erased() {
    let place = Place::new().await;
    let (seals, acme) = (place.seals().await, owner("acme"));
    let value = |n: usize| format!("customer.{n:07}@mail.example");
    let number = std::env::var("BAILIWICK_SEALED_VALUES")
        .map_or(NUMBER, |text| text.parse().unwrap())
        .next_multiple_of(BATCH);
    let rate = |what: &str, number: usize, began: Instant| {
        let seconds = began.elapsed().as_secs_f64();
        println!(
            "{what}: {number} in {seconds:.1} s, {:.0} a second",
            number as f64 / seconds
        );
    };
    let began = Instant::now();
    let mut handles = Vec::with_capacity(number);
    for from in (0..number).step_by(BATCH) {
        let all = (from..from + BATCH).map(|n| plain(&value(n))).collect();
        handles.extend(sealed(&seals, &acme, all).await);
    }
    rate("sealed, 1 000 at once", number, began);
    let began = Instant::now();
    for n in 0..1_000 {
        one(&seals, &acme, &value(n)).await;
    }
    rate("sealed, one at once", 1_000, began);
    let file = place.dir.path().join("s.db.sealed");
    place.values().await.settle().await.unwrap();
    let bytes = std::fs::metadata(&file).unwrap().len();
    println!("bytes a value: {}", bytes / (number as u64 + 1_000));
    let began = Instant::now();
    for (n, handle) in handles.iter().enumerate().step_by(10) {
        assert_eq!(opened(&seals, &acme, handle).await.unwrap(), value(n));
    }
    rate("opened, one after another", number / 10, began);
    let began = Instant::now();
    let rotated = seals.rotate(&acme.tenant, NOW, |_, _| {}).await.unwrap();
    assert_eq!(
        (rotated.moved, rotated.unopened),
        (number as u64 + 1_000, 0)
    );
    assert_eq!(rotated.destroyed, [1]);
    rate("moved to another key", number, began);
    let began = Instant::now();
    stream::iter(handles.iter().enumerate())
        .for_each_concurrent(BESIDE, |(n, handle)| {
            let (seals, acme, value) = (&seals, &acme, &value);
            async move { assert_eq!(opened(seals, acme, handle).await.unwrap(), value(n)) }
        })
        .await;
    rate("opened, 16 beside each other", number, began);
    let began = Instant::now();
    let erasure = seals.erase(&acme.tenant, NOW).await.unwrap();
    assert_eq!(erasure.erased.values, number as u64 + 1_000);
    rate("erased", number, began);
    for handle in handles.iter().step_by(1_000) {
        let refused = seals.look(&acme, handle, NOW).await;
        assert!(matches!(refused, Err(SealError::Erased)));
    }
    let began = Instant::now();
    let gone = seals.prune(NOW.plus(SEALED_KEEP_DEFAULT)).await.unwrap();
    assert_eq!(gone, number as u64 + 1_000);
    rate("forgotten", number, began);
}
