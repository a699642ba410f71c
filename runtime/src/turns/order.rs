//! The order itself: tenants by their weight, the users of a tenant evenly, the calls of a user one after the other.
//!
//! Start-time fair queueing in two levels. Who has used least, for its weight, is next. Whoever comes, or comes back, stands where
//! the others are: nobody saves up turns. Pure: what a turn took is told by whoever took it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::num::NonZeroU32;

use crate::ids::Digest;

/// For whom a call computes: known by digests alone, as by the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Party {
    pub tenant: Digest,
    pub user: Digest,
}

/// What a turn counts for until it is known what it took, in nanoseconds: a tick.
pub(super) const TURN_NS: u64 = 1_000_000;

/// One call that computes for long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Id(u64);

/// Who has a turn and who waits for one. `W` is how somebody who waits is told.
pub(super) struct Order<W> {
    at_once: usize,
    taken: usize,
    made: u64,
    given: u64,
    /// Where the tenant of the last turn stood when it was given.
    reached: u64,
    tenants: BTreeMap<Digest, Lane>,
    calls: HashMap<Id, Call<W>>,
}

/// A tenant.
struct Lane {
    stand: Stand,
    weight: u64,
    /// The same among its users.
    reached: u64,
    users: BTreeMap<Digest, Queue>,
}

/// A user.
struct Queue {
    stand: Stand,
    calls: usize,
    waiting: VecDeque<Id>,
}

/// How far somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Stand {
    /// What was used, over the weight.
    used: u64,
    /// When the last turn was: of those who used as much, whoever waits for longest is next.
    last: u64,
}

struct Call<W> {
    party: Party,
    state: State<W>,
}

enum State<W> {
    /// It waits for something else.
    Away,
    Waits(W),
    HasTurn,
}

impl<W> Order<W> {
    /// With so many turns at once.
    pub fn new(at_once: usize) -> Self {
        Self {
            at_once: at_once.max(1),
            taken: 0,
            made: 0,
            given: 0,
            reached: 0,
            tenants: BTreeMap::new(),
            calls: HashMap::new(),
        }
    }

    /// Turns that are taken, and calls that take turns.
    pub fn counts(&self) -> (usize, usize) {
        (self.taken, self.calls.len())
    }

    /// A call that has computed for so long before it takes turns. The newest weight of a tenant counts.
    pub fn join(&mut self, party: Party, weight: NonZeroU32, used_ns: u64) -> Id {
        let id = Id(self.made);
        self.made = self.made.saturating_add(1);
        let reached = self.reached;
        let lane = self.tenants.entry(party.tenant).or_insert_with(|| Lane {
            stand: Stand::at(reached),
            weight: 1,
            reached: 0,
            users: BTreeMap::new(),
        });
        lane.weight = u64::from(weight.get());
        lane.stand.charge(used_ns, lane.weight);
        let reached = lane.reached;
        let queue = lane.users.entry(party.user).or_insert_with(|| Queue {
            stand: Stand::at(reached),
            calls: 0,
            waiting: VecDeque::new(),
        });
        queue.calls = queue.calls.saturating_add(1);
        queue.stand.charge(used_ns, 1);
        let state = State::Away;
        self.calls.insert(id, Call { party, state });
        id
    }

    /// Whether the call has a turn. If not, it waits for one, and `told` is handed back when it comes.
    pub fn want(&mut self, id: Id, told: W) -> bool {
        match self.calls.get_mut(&id).map(|call| &mut call.state) {
            Some(State::HasTurn) => return true,
            Some(State::Waits(before)) => {
                *before = told;
                return false;
            }
            Some(State::Away) => self.wait(id, told),
            None => return false,
        }
        // A turn that is free is one that nobody waits for, so that it is for this call or for none.
        let others = self.give(id);
        debug_assert!(others.is_empty(), "somebody waited beside a free turn");
        self.has_turn(id)
    }

    /// The turn is over, which took so long. Where the call can go on at once, it waits for the next one. Hands back how the
    /// others are told who have a turn now.
    pub fn end(&mut self, id: Id, took_ns: u64, goes_on: Option<W>) -> Vec<W> {
        self.give_back(id, took_ns);
        if let Some(told) = goes_on {
            self.wait(id, told);
        }
        self.give(id)
    }

    /// The call is gone, whatever it waited for or had.
    pub fn leave(&mut self, id: Id) -> Vec<W> {
        self.give_back(id, 0);
        let Some(call) = self.calls.remove(&id) else {
            return Vec::new();
        };
        let Party { tenant, user } = call.party;
        if let Some(lane) = self.tenants.get_mut(&tenant) {
            if let Some(queue) = lane.users.get_mut(&user) {
                queue.waiting.retain(|waiting| *waiting != id);
                queue.calls = queue.calls.saturating_sub(1);
                if queue.calls == 0 {
                    lane.users.remove(&user);
                }
            }
            if lane.users.is_empty() {
                self.tenants.remove(&tenant);
            }
        }
        self.give(id)
    }

    fn has_turn(&self, id: Id) -> bool {
        let state = self.calls.get(&id).map(|call| &call.state);
        matches!(state, Some(State::HasTurn))
    }

    fn wait(&mut self, id: Id, told: W) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.state = State::Waits(told);
        let Party { tenant, user } = call.party;
        if let Some(lane) = self.tenants.get_mut(&tenant) {
            lane.stand.catch_up(self.reached);
            if let Some(queue) = lane.users.get_mut(&user) {
                queue.stand.catch_up(lane.reached);
                queue.waiting.push_back(id);
            }
        }
    }

    fn give_back(&mut self, id: Id, took_ns: u64) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if !matches!(call.state, State::HasTurn) {
            return;
        }
        call.state = State::Away;
        self.taken = self.taken.saturating_sub(1);
        let Party { tenant, user } = call.party;
        if let Some(lane) = self.tenants.get_mut(&tenant) {
            lane.stand.settle(took_ns, lane.weight);
            if let Some(queue) = lane.users.get_mut(&user) {
                queue.stand.settle(took_ns, 1);
            }
        }
    }

    /// Gives turns as long as there are any. Hands back how those are told who have one, but for the one who asks.
    fn give(&mut self, asks: Id) -> Vec<W> {
        let mut told = Vec::new();
        while self.taken < self.at_once {
            let Some(id) = self.next() else { break };
            let Some(call) = self.calls.get_mut(&id) else {
                break;
            };
            self.taken = self.taken.saturating_add(1);
            if let State::Waits(waker) = std::mem::replace(&mut call.state, State::HasTurn)
                && id != asks
            {
                told.push(waker);
            }
        }
        told
    }

    /// Who is next, if anybody waits. There are no more than calls in flight, so all of them are looked at.
    fn next(&mut self) -> Option<Id> {
        let waiting = self.tenants.values_mut().filter(|lane| lane.waits());
        let lane = waiting.min_by_key(|lane| lane.stand)?;
        self.given = self.given.saturating_add(1);
        self.reached = self.reached.max(lane.stand.used);
        lane.stand.charge(TURN_NS, lane.weight);
        lane.stand.last = self.given;
        let waiting = lane.users.values_mut();
        let waiting = waiting.filter(|queue| !queue.waiting.is_empty());
        let queue = waiting.min_by_key(|queue| queue.stand)?;
        lane.reached = lane.reached.max(queue.stand.used);
        queue.stand.charge(TURN_NS, 1);
        queue.stand.last = self.given;
        queue.waiting.pop_front()
    }
}

impl Lane {
    fn waits(&self) -> bool {
        self.users.values().any(|queue| !queue.waiting.is_empty())
    }
}

impl Stand {
    fn at(used: u64) -> Self {
        Self { used, last: 0 }
    }

    fn catch_up(&mut self, reached: u64) {
        self.used = self.used.max(reached);
    }

    fn charge(&mut self, ns: u64, weight: u64) {
        self.used = self.used.saturating_add(share(ns, weight));
    }

    /// What the turn really took, in place of what it was charged with.
    fn settle(&mut self, took_ns: u64, weight: u64) {
        let before = self.used.saturating_sub(share(TURN_NS, weight));
        self.used = before.saturating_add(share(took_ns, weight));
    }
}

fn share(ns: u64, weight: u64) -> u64 {
    ns.checked_div(weight).unwrap_or(ns)
}
