//! How long executors live, and who finds one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::pool::{ExecutorError, Executors, Lease};
use super::super::wire::{Channel, How, Kind, Message};
use super::Guest;
use super::lies::{Manner, SOON, liars_that};
use crate::limits::{EXECUTOR_AGE_MAX, EXECUTOR_CALLS_MAX, EXECUTORS_MAX, EXECUTORS_WARM};
use crate::sandbox::Ending;
use crate::sandbox::testing::{context, holder};

/// The truth, of a guest that was stopped.
fn stopped(channel: &mut Channel) -> io::Result<()> {
    channel.send(Message::new(Kind::Broke).u64(0).u8(How::Trapped as u8))
}

async fn lease(executors: &Arc<Executors>, guest: &Guest) -> Result<Lease, ExecutorError> {
    let tenant = holder().tenant;
    executors
        .lease(&tenant, guest.digest, &guest.apart.code)
        .await
}

/// Waits for something to be so.
async fn until(what: &str, is_so: impl Fn() -> bool) {
    let look = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let seen = tokio::time::timeout(SOON, look).await;
    assert!(seen.is_ok(), "waited in vain: {what}");
}

#[tokio::test]
async fn an_executor_makes_so_many_calls_and_no_more() {
    let (maker, fate) = liars_that(Arc::default(), stopped);
    let executors = Executors::open(maker).await.unwrap();
    let guest = Guest::made().await;
    for _ in 0..EXECUTOR_CALLS_MAX {
        assert!(fate.ended.try_recv().is_err());
        let outcome = guest.call(Arc::clone(&executors), context()).await;
        assert!(matches!(outcome.ending, Ending::Trapped));
    }
    let first = fate.lied.recv_timeout(SOON).unwrap();
    assert!(fate.lied.try_recv().is_err(), "one made them all");
    assert_eq!(fate.ended.recv_timeout(SOON), Ok(first));
    let outcome = guest.call(Arc::clone(&executors), context()).await;
    assert!(matches!(outcome.ending, Ending::Trapped));
    assert!(fate.lied.recv_timeout(SOON).is_ok(), "another makes this");
}

#[tokio::test]
async fn an_executor_lives_for_so_long_and_no_longer() {
    let (maker, fate) = liars_that(Arc::default(), stopped);
    let executors = Executors::open(maker).await.unwrap();
    let guest = Guest::made().await;
    let mut leased = lease(&executors, &guest).await.unwrap();
    let number = leased.executor.number();
    leased.executor.aged(EXECUTOR_AGE_MAX / 2);
    leased.keep();
    let mut leased = lease(&executors, &guest).await.unwrap();
    assert_eq!(leased.executor.number(), number);
    assert!(fate.ended.try_recv().is_err());
    leased.executor.aged(EXECUTOR_AGE_MAX / 2);
    leased.keep();
    assert_eq!(fate.ended.recv_timeout(SOON), Ok(number));
    let leased = lease(&executors, &guest).await.unwrap();
    assert_ne!(leased.executor.number(), number);
}

#[tokio::test]
async fn whoever_comes_while_the_last_one_is_made_waits_for_it_and_whoever_comes_after_is_refused()
{
    let manner = Arc::new(Manner::default());
    let (maker, _fate) = liars_that(Arc::clone(&manner), stopped);
    let executors = Executors::open(maker).await.unwrap();
    let guest = Guest::made().await;
    let mut leases = Vec::new();
    // Until all but one place are taken.
    while leases.len() + EXECUTORS_WARM < EXECUTORS_MAX - 1 {
        leases.push(lease(&executors, &guest).await.unwrap());
        until("those that are made ahead", || !executors.are_few()).await;
    }
    assert_eq!(executors.count(), EXECUTORS_MAX - 1);
    manner.wait.store(true, Ordering::Release);
    leases.push(lease(&executors, &guest).await.unwrap());
    let all = || executors.count() == EXECUTORS_MAX;
    until("one that begins in the last place", all).await;
    leases.push(lease(&executors, &guest).await.unwrap());
    assert_eq!(leases.len(), EXECUTORS_MAX - 1);
    let mut last = std::pin::pin!(lease(&executors, &guest));
    let early = tokio::time::timeout(Duration::from_millis(50), last.as_mut()).await;
    assert!(early.is_err(), "it waits");
    manner.wait.store(false, Ordering::Release);
    leases.push(last.await.unwrap());
    assert_eq!(leases.len(), EXECUTORS_MAX);
    let none = lease(&executors, &guest).await;
    assert!(matches!(none, Err(ExecutorError::Taken)));
}
