//! Processes that take turns. Computing is played by a task that gets no further while its process is halted.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use super::{Reins, Turns, Whose};
use crate::ids::{Tenant, User};
use crate::limits::{EXECUTOR_TURN, FIRST_SLICE};

/// What a process gets done in one go.
const STEP: Duration = Duration::from_millis(1);

/// What is known of some processes.
#[derive(Default)]
struct World {
    halted: RefCell<BTreeSet<&'static str>>,
    /// Those that were let go.
    free: RefCell<BTreeSet<&'static str>>,
    halts: RefCell<Vec<&'static str>>,
    /// What each has computed, where that is known.
    computed: RefCell<BTreeMap<&'static str, Duration>>,
}

/// A process by its name.
struct Process<'a>(&'a World, &'static str);

impl Reins for Process<'_> {
    fn computed(&self) -> Option<Duration> {
        self.0.computed.borrow().get(self.1).copied()
    }

    fn halt(&self) {
        let Self(world, name) = self;
        assert!(world.halted.borrow_mut().insert(name), "halted twice");
        world.free.borrow_mut().remove(name);
        world.halts.borrow_mut().push(name);
    }

    fn release(&self) -> impl Future<Output = ()> + Send {
        let Self(world, name) = self;
        assert!(world.halted.borrow_mut().remove(name), "was not halted");
        assert!(world.free.borrow_mut().insert(name));
        assert_eq!(world.free.borrow().len(), 1, "two have the one turn");
        async {}
    }
}

impl Process<'_> {
    /// Computes for so long, when it is not halted.
    async fn computes(&self, time: Duration) {
        let mut left = time;
        while !left.is_zero() {
            tokio::time::sleep(STEP).await;
            if !self.0.halted.borrow().contains(self.1) {
                left = left.saturating_sub(STEP);
            }
        }
    }
}

/// Ends a process with its call.
struct Ends<'a>(&'a World, &'static str);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.halted.borrow_mut().remove(self.1);
        self.0.free.borrow_mut().remove(self.1);
    }
}

/// A call of this tenant, whose process computes and then waits for an answer, so often.
async fn call(turns: &Turns, world: &World, name: &'static str, time: Duration, often: usize) {
    let tenant: Tenant = name.parse().unwrap();
    let user = User {
        issuer: "https://as.test".parse().unwrap(),
        subject: "alice".parse().unwrap(),
    };
    let process = Process(world, name);
    let _ends = Ends(world, name);
    let mut pace = turns.apart(Whose::User(&tenant, &user));
    for _ in 0..often {
        pace.until(&process, process.computes(time)).await;
        assert!(!world.halted.borrow().contains(name));
        world.free.borrow_mut().remove(name);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_process_is_never_halted_within_its_first_slice_or_where_nobody_else_computes() {
    let turns = Turns::new(1);
    let world = World::default();
    let short = || call(&turns, &world, "north", FIRST_SLICE / 8, 1);
    tokio::join!(short(), call(&turns, &world, "south", FIRST_SLICE / 8, 1));
    assert_eq!(turns.counts(), (0, 0));
    call(&turns, &world, "north", FIRST_SLICE * 3, 2).await;
    assert_eq!(turns.counts(), (0, 0));
    assert!(world.halts.borrow().is_empty());
}

#[tokio::test]
async fn what_a_process_waits_for_its_processor_is_not_counted() {
    let turns = Turns::new(1);
    let world = World::default();
    for name in ["north", "south"] {
        world.computed.borrow_mut().insert(name, Duration::ZERO);
    }
    tokio::join!(
        call(&turns, &world, "north", FIRST_SLICE * 4, 1),
        call(&turns, &world, "south", FIRST_SLICE * 4, 1)
    );
    assert!(world.halts.borrow().is_empty());
    // Nor is what it computed before.
    world
        .computed
        .borrow_mut()
        .insert("north", FIRST_SLICE * 10);
    let all = async {
        while turns.counts() == (0, 0) {
            tokio::time::sleep(STEP).await;
            *world.computed.borrow_mut().entry("north").or_default() += STEP;
        }
        *world.computed.borrow().get("north").unwrap()
    };
    let call = call(&turns, &world, "north", FIRST_SLICE * 100, 1);
    let computed = tokio::select! {
        () = call => panic!("it takes turns before it ends"),
        computed = all => computed,
    };
    assert!(computed >= FIRST_SLICE * 11);
}

#[tokio::test]
async fn what_it_computes_while_it_should_wait_for_us_is_counted() {
    let turns = Turns::new(1);
    let world = World::default();
    let (tenant, user) = (
        "north".parse::<Tenant>().unwrap(),
        User {
            issuer: "https://as.test".parse().unwrap(),
            subject: "alice".parse().unwrap(),
        },
    );
    let process = Process(&world, "north");
    let mut pace = turns.apart(Whose::User(&tenant, &user));
    world.computed.borrow_mut().insert("north", Duration::ZERO);
    pace.until(&process, async {}).await;
    assert_eq!(turns.counts(), (0, 0));
    // As one that was taken over does, which asks for something that takes long.
    world.computed.borrow_mut().insert("north", FIRST_SLICE * 2);
    pace.until(&process, async {}).await;
    pace.until(&process, tokio::time::sleep(STEP * 2)).await;
    assert_eq!(turns.counts(), (0, 1), "it takes turns from there on");
}

#[tokio::test]
async fn processes_that_compute_for_long_take_turns_and_all_come_to_their_end() {
    let turns = Turns::new(2);
    let world = Rc::new(World::default());
    let long = FIRST_SLICE + EXECUTOR_TURN * 8;
    tokio::join!(
        call(&turns, &world, "north", long, 1),
        call(&turns, &world, "south", long, 1),
        call(&turns, &world, "east", long / 4, 6),
    );
    assert_eq!(turns.counts(), (0, 0));
    assert!(world.halted.borrow().is_empty());
    let halts = world.halts.borrow();
    for name in ["north", "south", "east"] {
        assert!(halts.contains(&name), "{name} was never halted: {halts:?}");
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_leaves_its_turn_to_others() {
    let turns = Turns::new(1);
    let world = World::default();
    let endless = call(&turns, &world, "north", Duration::from_secs(3_600), 1);
    let given_up = tokio::time::timeout(FIRST_SLICE * 6, endless);
    let other = call(&turns, &world, "south", FIRST_SLICE * 4, 1);
    let (given_up, ()) = tokio::join!(given_up, other);
    assert!(given_up.is_err());
    assert_eq!(turns.counts(), (0, 0));
}
