//! The order in steps of one tick, without threads and without a clock.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use proptest::prelude::*;

use super::order::{Id, Order, Party, TURN_NS};
use crate::ids::Digest;

fn digest(of: usize) -> Digest {
    Digest::of(&of.to_le_bytes())
}

/// Calls that want to go on at every tick, and how often each had a turn. A call is told by its place in the list.
struct World {
    order: Order<usize>,
    calls: Vec<(usize, usize, Id)>,
    running: Vec<usize>,
    had: Vec<u64>,
    /// How long each one has waited, and the longest that it did.
    waits: Vec<(u64, u64)>,
}

impl World {
    fn new(at_once: usize) -> Self {
        Self {
            order: Order::new(at_once),
            calls: Vec::new(),
            running: Vec::new(),
            had: Vec::new(),
            waits: Vec::new(),
        }
    }

    fn join(&mut self, tenant: usize, user: usize, weight: u32, used_ticks: u64) -> usize {
        let party = Party {
            tenant: digest(tenant),
            user: digest(user),
        };
        let weight = NonZeroU32::new(weight).unwrap();
        let id = self.order.join(party, weight, used_ticks * TURN_NS);
        let call = self.calls.len();
        self.calls.push((tenant, user, id));
        self.had.push(0);
        self.waits.push((0, 0));
        if self.order.want(id, call) {
            self.running.push(call);
        }
        call
    }

    /// One tick of everybody who has a turn.
    fn tick(&mut self) {
        for call in std::mem::take(&mut self.running) {
            self.had[call] += 1;
            self.waits[call].0 = 0;
            let id = self.calls[call].2;
            let told = self.order.end(id, TURN_NS, Some(call));
            assert!(!told.contains(&call), "whoever asks needs not be told");
            self.running.extend(told);
            if self.order.want(id, call) {
                self.running.push(call);
            }
        }
        for (call, (waited, longest)) in self.waits.iter_mut().enumerate() {
            if !self.running.contains(&call) {
                *waited += 1;
                *longest = (*longest).max(*waited);
            }
        }
    }

    fn ticks(&mut self, ticks: u64) {
        for _ in 0..ticks {
            self.tick();
        }
    }

    fn of_tenant(&self, tenant: usize) -> u64 {
        self.sum(|call| call.0 == tenant)
    }

    fn sum(&self, which: impl Fn(&(usize, usize, Id)) -> bool) -> u64 {
        let had = self.calls.iter().zip(&self.had);
        had.filter(|(call, _)| which(call))
            .map(|(_, had)| had)
            .sum()
    }

    fn leave(&mut self, call: usize) {
        self.running.retain(|running| *running != call);
        let told = self.order.leave(self.calls[call].2);
        self.running.extend(told);
    }
}

#[test]
fn a_tenant_with_fifty_calls_gets_what_one_with_one_call_gets() {
    let mut world = World::new(1);
    for call in 0..50 {
        world.join(0, call % 5, 1, 0);
    }
    world.join(1, 0, 1, 0);
    world.ticks(1_001);
    assert!(world.of_tenant(0).abs_diff(world.of_tenant(1)) <= 1);
    // Its users have the same, and so have the calls of each.
    for user in 0..5 {
        let had = world.sum(|call| call.0 == 0 && call.1 == user);
        assert!(had.abs_diff(100) <= 1, "{had}");
    }
    assert!(world.had[..50].iter().all(|had| had.abs_diff(10) <= 1));
}

#[test]
fn a_user_with_many_calls_gets_what_one_with_one_call_gets() {
    let mut world = World::new(1);
    for _ in 0..9 {
        world.join(0, 0, 1, 0);
    }
    world.join(0, 1, 1, 0);
    world.ticks(200);
    assert!(world.had[9].abs_diff(100) <= 1, "{:?}", world.had);
}

#[test]
fn a_share_of_three_is_three_times_that_of_one() {
    let mut world = World::new(1);
    world.join(0, 0, 3, 0);
    for user in 0..7 {
        world.join(1, user, 1, 0);
    }
    world.ticks(400);
    assert!(world.of_tenant(0).abs_diff(300) <= 1, "{:?}", world.had);
}

#[test]
fn nobody_saves_up_turns() {
    let mut world = World::new(1);
    let first = world.join(0, 0, 1, 0);
    world.ticks(100);
    let second = world.join(1, 0, 1, 0);
    world.ticks(20);
    assert!(world.had[second].abs_diff(10) <= 1, "{:?}", world.had);
    // The same of one that waits for something else meanwhile.
    while !world.running.contains(&second) {
        world.tick();
    }
    let id = world.calls[second].2;
    world.running.retain(|running| *running != second);
    let told = world.order.end(id, TURN_NS, None);
    world.running.extend(told);
    let before = (world.had[first], world.had[second]);
    world.ticks(100);
    assert!(world.had[first] - before.0 >= 99);
    if world.order.want(id, second) {
        world.running.push(second);
    }
    let before = (world.had[first], world.had[second]);
    world.ticks(20);
    let had = (world.had[first] - before.0, world.had[second] - before.1);
    assert!(had.0.abs_diff(had.1) <= 1, "{had:?}");
}

#[test]
fn what_was_computed_before_counts() {
    let mut world = World::new(1);
    world.join(0, 0, 1, 0);
    world.ticks(10);
    // Ten calls of sixteen ticks each, which the other tenant has in turns before they get any.
    for _ in 0..10 {
        world.join(1, 0, 1, 16);
    }
    world.ticks(160);
    assert!(world.of_tenant(1) <= 1, "{:?}", world.had);
    world.ticks(100);
    assert!(world.of_tenant(1).abs_diff(50) <= 1, "{:?}", world.had);
}

#[test]
fn a_turn_counts_for_what_it_took() {
    let mut order = Order::new(1);
    let party = |tenant| Party {
        tenant: digest(tenant),
        user: digest(0),
    };
    let one = NonZeroU32::MIN;
    let (long, brief) = (order.join(party(0), one, 0), order.join(party(1), one, 0));
    assert!(order.want(long, 0));
    assert!(!order.want(brief, 1));
    // Ten ticks in one turn, as a large `memory.copy` takes: the other has ten.
    assert_eq!(order.end(long, 10 * TURN_NS, Some(0)), [1]);
    for _ in 0..9 {
        assert_eq!(order.end(brief, TURN_NS, Some(1)), [0; 0]);
    }
    let mut turns = 0;
    while order.want(brief, 1) {
        assert!(turns <= 1, "it goes on and on");
        turns += 1;
        order.end(brief, TURN_NS, Some(1));
    }
    assert!(order.want(long, 0));
}

#[test]
fn a_call_that_leaves_gives_its_turn_and_its_place_in_the_row() {
    let mut world = World::new(1);
    let calls: Vec<_> = (0..4).map(|tenant| world.join(tenant, 0, 1, 0)).collect();
    assert_eq!(world.running, [calls[0]]);
    // One that waits, then one that has a turn.
    world.leave(calls[1]);
    assert_eq!(world.running, [calls[0]]);
    world.leave(calls[0]);
    assert_eq!(world.running.len(), 1);
    world.ticks(10);
    assert_eq!(world.had[calls[1]], 0);
    assert_eq!(world.had[calls[2]] + world.had[calls[3]], 10);
    world.leave(calls[2]);
    world.leave(calls[3]);
    assert_eq!(world.order.counts(), (0, 0));
}

/// Some tenants, each with a weight and the calls of its users.
fn tenants() -> impl Strategy<Value = Vec<(u32, Vec<usize>)>> {
    let users = prop::collection::vec(1..5_usize, 1..4);
    prop::collection::vec((1..5_u32, users), 1..6)
}

#[derive(Debug, Clone)]
enum Act {
    Join(usize, usize, u32),
    Want(usize),
    End(usize, u64, bool),
    Leave(usize),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        (0..4_usize, 0..3_usize, 1..4_u32).prop_map(|(t, u, w)| Act::Join(t, u, w)),
        any::<usize>().prop_map(Act::Want),
        any::<usize>().prop_map(Act::Want),
        (any::<usize>(), 0..5 * TURN_NS, any::<bool>()).prop_map(|(c, ns, on)| Act::End(c, ns, on)),
        any::<usize>().prop_map(Act::Leave),
    ];
    prop::collection::vec(act, 0..120)
}

proptest! {
    #[test]
    fn shares_are_within_a_tick_of_their_weights(tenants in tenants()) {
        let mut world = World::new(1);
        for (tenant, (weight, users)) in tenants.iter().enumerate() {
            for (user, calls) in users.iter().enumerate() {
                for _ in 0..*calls {
                    world.join(tenant, user, *weight, 0);
                }
            }
        }
        for _ in 0..20 {
            world.ticks(37);
            for (one, (weight, users)) in tenants.iter().enumerate() {
                let share = world.of_tenant(one) as f64 / f64::from(*weight);
                for (other, (other_weight, _)) in tenants.iter().enumerate() {
                    let other = world.of_tenant(other) as f64 / f64::from(*other_weight);
                    let most = 1.0 / f64::from(*weight) + 1.0 / f64::from(*other_weight);
                    prop_assert!((share - other).abs() <= most + 1e-9, "{share} {other}");
                }
                let had: Vec<_> = (0..users.len())
                    .map(|user| world.sum(|call| call.0 == one && call.1 == user))
                    .collect();
                prop_assert!(had.iter().max().unwrap() - had.iter().min().unwrap() <= 2, "{had:?}");
            }
        }
    }

    #[test]
    fn nobody_waits_for_longer_than_one_round(tenants in tenants(), at_once in 1..4_usize) {
        let mut world = World::new(at_once);
        let mut calls_of = Vec::new();
        for (tenant, (_, users)) in tenants.iter().enumerate() {
            for (user, calls) in users.iter().enumerate() {
                for _ in 0..*calls {
                    world.join(tenant, user, 1, 0);
                    calls_of.push((users.len() * calls) as u64);
                }
            }
        }
        world.ticks(1_000);
        let all = tenants.len() as u64;
        for (call, (_, longest)) in world.waits.iter().enumerate() {
            let most = (all + 1) * (calls_of[call] + 1);
            prop_assert!(*longest <= most, "{call}: {longest} > {most}");
        }
    }

    #[test]
    fn a_turn_is_taken_or_nobody_waits_whatever_happens(acts in acts(), at_once in 1..4_usize) {
        let mut order = Order::new(at_once);
        // What is known of each call from outside: whether it has a turn and whether it waits.
        let mut calls = BTreeMap::<usize, (Id, bool, bool)>::new();
        let mut made = 0;
        for act in acts {
            let pick = |number: usize, calls: &BTreeMap<usize, (Id, bool, bool)>| {
                let count = calls.len().max(1);
                calls.iter().nth(number % count).map(|(call, known)| (*call, *known))
            };
            let told = match act {
                Act::Join(tenant, user, weight) => {
                    let party = Party { tenant: digest(tenant), user: digest(user) };
                    let id = order.join(party, NonZeroU32::new(weight).unwrap(), 0);
                    calls.insert(made, (id, false, false));
                    made += 1;
                    Vec::new()
                }
                Act::Want(number) => {
                    if let Some((call, (id, ..))) = pick(number, &calls) {
                        let has = order.want(id, call);
                        calls.insert(call, (id, has, !has));
                    }
                    Vec::new()
                }
                Act::End(number, took, goes_on) => match pick(number, &calls) {
                    Some((call, (id, true, _))) => {
                        let told = order.end(id, took, goes_on.then_some(call));
                        let has = goes_on && order.want(id, call);
                        calls.insert(call, (id, has, goes_on && !has));
                        told
                    }
                    _ => Vec::new(),
                },
                Act::Leave(number) => match pick(number, &calls) {
                    Some((call, (id, ..))) => {
                        calls.remove(&call);
                        order.leave(id)
                    }
                    None => Vec::new(),
                },
            };
            for told in told {
                let known = calls.get_mut(&told).unwrap();
                prop_assert!(known.2, "one is told that did not wait");
                (known.1, known.2) = (true, false);
            }
            let taken = calls.values().filter(|known| known.1).count();
            let waiting = calls.values().filter(|known| known.2).count();
            prop_assert_eq!(order.counts(), (taken, calls.len()));
            prop_assert!(taken <= at_once);
            prop_assert!(waiting == 0 || taken == at_once, "a turn is free and somebody waits");
        }
        for (id, ..) in calls.into_values() {
            order.leave(id);
        }
        prop_assert_eq!(order.counts(), (0, 0));
    }
}
