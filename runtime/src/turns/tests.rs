//! Calls that take turns on real threads. Computing is played by a thread that sleeps: the processors are others' as well.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::sync::{Barrier, oneshot};

use super::{Turns, Whose};
use crate::ids::{Tenant, User};
use crate::limits::{EPOCH_TICK, FIRST_SLICE};

fn user(name: &str) -> User {
    User {
        issuer: "https://as.test".parse().unwrap(),
        subject: name.parse().unwrap(),
    }
}

fn tenant(name: &str) -> Tenant {
    name.parse().unwrap()
}

/// Stops at a tick, as a guest does: it could go on.
async fn tick() {
    let mut stopped = false;
    std::future::poll_fn(|context| {
        if stopped {
            return Poll::Ready(());
        }
        stopped = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Computes for so long in one go, then stops.
async fn compute(time: Duration) {
    std::thread::sleep(time);
    tick().await;
}

async fn pace<T>(turns: &Turns, tenant_name: &str, guest: impl Future<Output = T>) -> T {
    let (tenant, user) = (tenant(tenant_name), user("alice"));
    turns.pace(Whose::User(&tenant, &user), guest).await
}

#[tokio::test]
async fn a_call_that_ends_within_its_first_slice_takes_no_turn() {
    let turns = Turns::new(4);
    let most = pace(&turns, "acme", async {
        let mut most = 0;
        for _ in 0..3 {
            compute(EPOCH_TICK).await;
            most = most.max(turns.counts().1);
        }
        most
    });
    assert_eq!(most.await, 0);
}

#[tokio::test]
async fn a_call_that_computes_for_longer_takes_turns_until_it_ends() {
    let turns = Turns::new(1);
    let seen = pace(&turns, "acme", async {
        compute(FIRST_SLICE).await;
        let within = turns.counts();
        tick().await;
        (within, turns.counts())
    });
    assert_eq!(seen.await, ((1, 1), (1, 1)));
    assert_eq!(turns.counts(), (0, 0));
}

#[tokio::test]
async fn a_long_call_that_waits_for_something_else_has_no_turn() {
    let turns = Turns::new(1);
    let (go_on, waits) = oneshot::channel();
    let first = pace(&turns, "acme", async {
        compute(FIRST_SLICE).await;
        waits.await.unwrap();
        turns.counts().0
    });
    let second = pace(&turns, "other", async {
        compute(FIRST_SLICE).await;
        while turns.counts() != (1, 2) {
            compute(EPOCH_TICK).await;
        }
        let seen = turns.counts();
        go_on.send(()).unwrap();
        seen
    });
    let both = async { tokio::join!(first, second) };
    let (first, second) = tokio::time::timeout(Duration::from_secs(10), both)
        .await
        .unwrap();
    assert_eq!((first, second), (1, (1, 2)));
    assert_eq!(turns.counts(), (0, 0));
}

#[tokio::test]
async fn a_guest_is_left_alone_until_it_is_woken() {
    let turns = Turns::new(1);
    let (go_on, mut waits) = oneshot::channel::<()>();
    let polls = AtomicUsize::new(0);
    let guest = async {
        compute(FIRST_SLICE).await;
        std::future::poll_fn(|context| {
            polls.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut waits).poll(context)
        })
        .await
        .unwrap();
    };
    // The same task is woken for what goes on beside it, as for a call within a call.
    let beside = async {
        for _ in 0..50 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        go_on.send(()).unwrap();
    };
    tokio::join!(pace(&turns, "acme", guest), beside);
    assert_eq!(polls.load(Ordering::Relaxed), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn long_calls_leave_a_thread_to_the_others() {
    let turns = Turns::new(4);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let spinners: Vec<_> = (0..12)
        .map(|number| {
            let (turns, now, most) = (turns.clone(), now.clone(), most.clone());
            tokio::spawn(async move {
                let guest = async {
                    compute(FIRST_SLICE).await;
                    for _ in 0..25 {
                        let count = now.fetch_add(1, Ordering::SeqCst) + 1;
                        most.fetch_max(count, Ordering::SeqCst);
                        std::thread::sleep(EPOCH_TICK);
                        now.fetch_sub(1, Ordering::SeqCst);
                        tick().await;
                    }
                };
                pace(&turns, &format!("tenant-{}", number % 5), guest).await;
            })
        })
        .collect();
    for spinner in spinners {
        spinner.await.unwrap();
    }
    // And not fewer than they may: the others use all but one.
    assert_eq!(most.load(Ordering::SeqCst), 3);
    assert_eq!(turns.counts(), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_with_twenty_calls_computes_for_as_long_as_one_with_one_call() {
    // Ticks, not time: a machine that is busy with others makes all of them slow.
    const TICKS: u64 = 300;
    let turns = Turns::new(2);
    let (ended, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(Barrier::new(21)));
    let spin = |name: &'static str, most: u64| {
        let (turns, ended, begun) = (turns.clone(), ended.clone(), begun.clone());
        tokio::spawn(async move {
            let guest = async {
                compute(FIRST_SLICE).await;
                begun.wait().await;
                let mut ticks = 0_u64;
                while ticks < most && !ended.load(Ordering::Relaxed) {
                    compute(EPOCH_TICK).await;
                    ticks += 1;
                }
                ticks
            };
            pace(&turns, name, guest).await
        })
    };
    let many: Vec<_> = (0..20).map(|_| spin("many", u64::MAX)).collect();
    assert_eq!(spin("one", TICKS).await.unwrap(), TICKS);
    ended.store(true, Ordering::Relaxed);
    let mut sum = 0;
    for call in many {
        sum += call.await.unwrap();
    }
    // By calls it would be 20 times as much. A turn is paid by what it really took, so ticks differ a little.
    assert!(
        (TICKS / 3..TICKS * 3).contains(&sum),
        "{sum} against {TICKS}"
    );
}

#[tokio::test]
async fn a_panic_gives_its_turn_back() {
    let turns = Turns::new(1);
    let (theirs, name) = (turns.clone(), "acme");
    let breaks = tokio::spawn(async move {
        let guest = async {
            compute(FIRST_SLICE).await;
            panic!("it breaks within its turn");
        };
        pace(&theirs, name, guest).await;
    });
    assert!(breaks.await.unwrap_err().is_panic());
    assert_eq!(turns.counts(), (0, 0));
}

/// A call that goes through all that one can wait for, and then ends.
async fn whole(turns: &Turns, name: &str, mut wait: oneshot::Receiver<()>) {
    let guest = async {
        tick().await;
        compute(FIRST_SLICE).await;
        tick().await;
        // Another that was woken for nothing.
        let mut looked = false;
        std::future::poll_fn(|context| {
            let came = Pin::new(&mut wait).poll(context);
            if came.is_pending() && !std::mem::replace(&mut looked, true) {
                context.waker().wake_by_ref();
            }
            came.map(drop)
        })
        .await;
        tick().await;
        tick().await;
    };
    pace(turns, name, guest).await;
}

#[test]
fn a_call_that_is_dropped_wherever_it_waits_leaves_nothing_behind() {
    // As many polls as both take to their end, and more.
    const POLLS: usize = 14;
    let mut context = Context::from_waker(Waker::noop());
    for first in 0..POLLS {
        for second in [0, 1, 2, 3, 4, 5, 6, 7, 8, 9] {
            let turns = Turns::new(1);
            let ((send_one, one), (send_two, two)) = (oneshot::channel(), oneshot::channel());
            {
                let mut dropped = Box::pin(whole(&turns, "one", one));
                let mut stays = pin!(whole(&turns, "two", two));
                let (mut ended, mut stays_ended) = (false, false);
                let mut sent = Some(send_one);
                for poll in 0..first.max(second) {
                    if poll < first && !ended {
                        ended = dropped.as_mut().poll(&mut context).is_ready();
                    }
                    if poll < second && !stays_ended {
                        stays_ended = stays.as_mut().poll(&mut context).is_ready();
                    }
                    if poll == 7
                        && let Some(sent) = sent.take()
                    {
                        sent.send(()).ok();
                    }
                }
                drop(dropped);
                assert!(turns.counts().1 <= 1, "{first} {second}");
                send_two.send(()).ok();
                // Whoever is left is hindered by nothing.
                for _ in 0..POLLS {
                    stays_ended = stays_ended || stays.as_mut().poll(&mut context).is_ready();
                }
                assert!(stays_ended, "{first} {second}");
            }
            assert_eq!(turns.counts(), (0, 0), "{first} {second}");
        }
    }
}
