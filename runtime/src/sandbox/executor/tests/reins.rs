//! Processes that compute for long, halted by the server whatever they do.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::super::pool::Executors;
use super::super::wire::{Channel, How, Kind, Message};
use super::lies::{Fate, Lie, SOON, liars_that, stream};
use super::{Guest, maker_of};
use crate::limits::FIRST_SLICE;
use crate::sandbox::Ending;
use crate::sandbox::testing::{context, sandbox};
use crate::turns::Reins;

/// Says nothing for many slices, as one that computes.
fn computes(channel: &mut Channel) -> io::Result<()> {
    std::thread::sleep(FIRST_SLICE * 12);
    channel.send(Message::new(Kind::Broke).u64(0).u8(How::Trapped as u8))
}

/// So many calls at once in one sandbox, whose executors tell this lie: how they ended, and what became of the executors.
async fn calls(count: usize, lie: Lie) -> (Vec<Ending>, Fate) {
    let (maker, fate) = liars_that(Arc::default(), lie);
    let executors = Executors::open(maker).await.unwrap();
    let guest = Arc::new(Guest::made().await);
    let sandbox = Arc::new(sandbox().with_executors(Some(executors)));
    let calls = (0..count).map(|_| {
        let (guest, sandbox) = (Arc::clone(&guest), Arc::clone(&sandbox));
        tokio::spawn(async move { guest.call_in(&sandbox, context()).await })
    });
    let calls: Vec<_> = calls.collect();
    let mut endings = Vec::new();
    for call in calls {
        endings.push(call.await.unwrap().ending);
    }
    assert_eq!(sandbox.turns(), (0, 0));
    (endings, fate)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_those_that_compute_for_long_all_but_some_are_halted() {
    // More than there are turns in the sandbox, on any machine.
    let cores = std::thread::available_parallelism().unwrap().get();
    let (_, fate) = calls(cores + 1, computes).await;
    let mut held: BTreeMap<u64, bool> = BTreeMap::new();
    let mut halts = 0;
    while let Ok((halted, number)) = fate.reined.try_recv() {
        let before = held.insert(number, halted).unwrap_or_default();
        assert_ne!(before, halted, "halted and let go in turn");
        halts += usize::from(halted);
    }
    assert!(halts > 0);
    // Those whose calls ended in time went on; these are what is kept for the next call.
    assert!(held.values().all(|halted| !halted), "{held:?}");
}

/// Computes for long, and then asks for so much that our own threads compute for long as well.
fn asks(channel: &mut Channel) -> io::Result<()> {
    std::thread::sleep(FIRST_SLICE * 2);
    for _ in 0..ASKED {
        stream(channel)?;
    }
    channel.send(Message::new(Kind::Broke).u64(0).u8(How::Trapped as u8))
}

/// How often: each takes some tenth of a millisecond here.
const ASKED: usize = 800;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_has_a_turn_there_comes_to_its_turn_here() {
    let (endings, _) = calls(4, asks).await;
    for ending in endings {
        assert!(matches!(ending, Ending::Trapped), "{ending:?}");
    }
}

/// What the kernel says of the children of a process, by their numbers: `R`, `S`, `T`, …
fn states(of: u32) -> BTreeMap<u32, char> {
    // The one who made them is some thread of it: here the one of a test.
    let tasks = std::fs::read_dir(format!("/proc/{of}/task")).unwrap();
    let children = tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("children")));
    let children: String = children.map(|some| some.unwrap_or_default()).collect();
    let state = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.chars().next()
    };
    let pids = children.split_whitespace().map(|pid| pid.parse().unwrap());
    pids.filter_map(|pid| Some((pid, state(pid)?))).collect()
}

#[tokio::test]
async fn the_kernel_halts_an_executor_and_lets_it_go_on() {
    let maker = maker_of("guest");
    let executors = Executors::open(maker).await.unwrap();
    let guest = Guest::made().await;
    let of = executors.maker().unwrap();
    let tenant = crate::sandbox::testing::holder().tenant;
    let lease = executors.lease(&tenant, guest.digest, &guest.apart.code);
    let lease = lease.await.unwrap();
    let until = async |count: usize| {
        let seen = async {
            while states(of).values().filter(|state| **state == 'T').count() != count {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let seen = tokio::time::timeout(SOON, seen).await;
        assert!(seen.is_ok(), "{count} should be halted: {:?}", states(of));
    };
    let reins = lease.executor.reins();
    // It let go of what it does not need, and read its code; it does nothing since.
    let computed = reins.computed().unwrap();
    assert!(computed > Duration::ZERO);
    until(0).await;
    let since = reins.computed().unwrap() - computed;
    assert!(since < FIRST_SLICE, "{since:?}");
    reins.halt();
    until(1).await;
    reins.release().await;
    until(0).await;
    // What is halted ends all the same.
    let before = states(of).len();
    reins.halt();
    until(1).await;
    drop(lease);
    until(0).await;
    assert!(states(of).len() < before + 1);
    let outcome = guest.call(Arc::clone(&executors), context()).await;
    let is_reply = matches!(outcome.ending, Ending::Replied(_));
    assert!(is_reply, "{:?}", outcome.ending);
}
