//! Sixty-four clients at once, against a model that counts tokens one by one.
//!
//! Time stands still while they call, so within one step nothing is given back and what is used up stays so. Whatever the order was
//! in which the calls came: at the end of a step, what went through must fit the model, and every limit that refused somebody
//! must be one of his and have nothing left.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::*;
use crate::clock::Timestamp;
use crate::rate::Over;

const CLIENTS: usize = 64;
/// From which the steps are drawn: always the same, so that what fails fails again.
const SEED: [u8; 32] = [64; 32];
const AT: Timestamp = Timestamp(1_800_000_000_000);

const LIMITS: &str = "\
[[limit]]\nname = \"tenant\"\nper = \"tenant\"\ncalls = 60\nseconds = 60\nat_once = 24\n\
[[limit]]\nname = \"user\"\nper = \"user\"\ncalls = 12\nseconds = 30\nat_once = 5\ndaily_calls = 40\n\
[[limit]]\nname = \"client\"\nper = \"client\"\ncalls = 30\nseconds = 20\n\
[[limit]]\nname = \"pair\"\nper = \"user-tool\"\ncalls = 5\nseconds = 10\n\
[[limit]]\nname = \"heavy\"\nper = \"tool\"\ntier = \"T2\"\ncalls = 7\nseconds = 14\ndaily_calls = 90\n";

/// A bucket in which each token comes back after a fixed time.
struct Bucket {
    most: u64,
    each: Duration,
    /// When every token was taken that is not back yet, or will be: the naive way, one by one.
    taken: Vec<Duration>,
}

impl Bucket {
    /// Tokens that are there: one comes back after the other.
    fn left(&self, now: Duration) -> u64 {
        let mut free = Duration::ZERO;
        for at in &self.taken {
            free = free.max(*at) + self.each;
        }
        // A token is out until it would have come back in its turn.
        let out = free
            .saturating_sub(now)
            .as_nanos()
            .div_ceil(self.each.as_nanos());
        self.most - u64::try_from(out).unwrap().min(self.most)
    }
}

/// The limits once more, by another hand.
#[derive(Default)]
struct Model {
    buckets: BTreeMap<(&'static str, String), Bucket>,
    running: BTreeMap<(&'static str, String), u64>,
    days: BTreeMap<(&'static str, String), u64>,
}

struct Caller {
    who: Who,
    names: [String; 4],
}

impl Caller {
    fn new(n: usize) -> Self {
        let names = [n % 3, n % 10, n % 4, n % 5].map(|part| part.to_string());
        let [tenant, user, client, tool] = &names;
        let mut who = Who::new(
            &format!("t{tenant}"),
            &format!("u{user}"),
            &format!("c{client}"),
            &format!("tool{tool}"),
        );
        who.tier = if n % 5 > 2 { Tier::T2 } else { Tier::T1 };
        Self { who, names }
    }

    fn rates(&self) -> Vec<((&'static str, String), u64, Duration)> {
        let [tenant, user, client, tool] = &self.names;
        let mut all = vec![
            (("tenant", tenant.clone()), 60, SECOND),
            (("user", format!("{tenant} {user}")), 12, SECOND * 30 / 12),
            (
                ("client", format!("{tenant} {client}")),
                30,
                SECOND * 20 / 30,
            ),
            (("pair", format!("{tenant} {user} {tool}")), 5, SECOND * 2),
        ];
        if self.who.tier == Tier::T2 {
            all.push((("heavy", format!("{tenant} {tool}")), 7, SECOND * 2));
        }
        all
    }

    fn at_once(&self) -> [((&'static str, String), u64); 2] {
        let [tenant, user, ..] = &self.names;
        [
            (("tenant", tenant.clone()), 24),
            (("user", format!("{tenant} {user}")), 5),
        ]
    }

    fn days(&self) -> Vec<((&'static str, String), u64)> {
        let [tenant, user, _, tool] = &self.names;
        let mut all = vec![(("user", format!("{tenant} {user}")), 40)];
        if self.who.tier == Tier::T2 {
            all.push((("heavy", format!("{tenant} {tool}")), 90));
        }
        all
    }
}

impl Model {
    fn count(&mut self, caller: &Caller, now: Duration) {
        for (key, most, each) in caller.rates() {
            let bucket = self.buckets.entry(key).or_insert(Bucket {
                most,
                each,
                taken: Vec::new(),
            });
            assert!(bucket.left(now) > 0, "more went through than there was");
            bucket.taken.push(now);
        }
        for (key, most) in caller.at_once() {
            let running = self.running.entry(key).or_default();
            *running += 1;
            assert!(*running <= most, "more run at once than may");
        }
        for (key, most) in caller.days() {
            let spent = self.days.entry(key).or_default();
            *spent += 1;
            assert!(*spent <= most, "more was spent than the day has");
        }
    }

    fn end(&mut self, caller: &Caller) {
        for (key, _) in caller.at_once() {
            *self.running.get_mut(&key).unwrap() -= 1;
        }
    }

    /// Whether a limit that refused this caller has nothing left for them.
    fn is_used_up(
        &self,
        caller: &Caller,
        throttled: &crate::rate::Throttled,
        now: Duration,
    ) -> bool {
        let name = throttled.limit.as_str();
        match throttled.over {
            Over::Rate { .. } => caller.rates().iter().any(|(key, ..)| {
                key.0 == name && self.buckets.get(key).is_some_and(|one| one.left(now) == 0)
            }),
            Over::AtOnce { .. } => caller
                .at_once()
                .iter()
                .any(|(key, most)| key.0 == name && self.running.get(key) == Some(most)),
            Over::Daily { .. } => caller
                .days()
                .iter()
                .any(|(key, most)| key.0 == name && self.days.get(key) == Some(most)),
        }
    }
}

/// What one client does in one step: how often it calls, and whether it lets go of what runs.
type Step = Vec<(u8, bool)>;

async fn step(
    calls: &Calls,
    now: Instant,
    clients: &[Arc<Caller>],
    plan: &Step,
) -> Vec<(usize, Result<Taken, Refusal>)> {
    let barrier = Arc::new(tokio::sync::Barrier::new(CLIENTS));
    let mut tasks = Vec::new();
    for (n, (client, (tries, _))) in clients.iter().zip(plan).enumerate() {
        let (calls, client, barrier, tries) = (
            calls.clone(),
            Arc::clone(client),
            Arc::clone(&barrier),
            *tries,
        );
        tasks.push(tokio::spawn(async move {
            barrier.wait().await;
            let mut all = Vec::new();
            for _ in 0..tries {
                all.push((n, calls.take(client.who.whose(), now, AT).await));
            }
            all
        }));
    }
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all
}

fn hold(runtime: &tokio::runtime::Runtime, plan: &[(u64, Step)]) -> (usize, usize) {
    runtime.block_on(async {
        let clients: Vec<_> = (0..CLIENTS).map(|n| Arc::new(Caller::new(n))).collect();
        let calls = calls(limits(LIMITS), &Arc::default()).await;
        let (began, mut passed) = (Instant::now(), Duration::ZERO);
        let mut model = Model::default();
        let mut running: Vec<Vec<Taken>> = clients.iter().map(|_| Vec::new()).collect();
        let mut counts = (0, 0);
        for (wait, plan) in plan {
            passed += Duration::from_millis(*wait);
            let mut refusals = Vec::new();
            for (n, came) in step(&calls, began + passed, &clients, plan).await {
                match came {
                    Ok(taken) => {
                        model.count(&clients[n], passed);
                        running[n].push(taken);
                        counts.0 += 1;
                    }
                    Err(refusal) => refusals.push((n, refused(refusal))),
                }
            }
            for (n, throttled) in refusals {
                let used_up = model.is_used_up(&clients[n], &throttled, passed);
                assert!(used_up, "{n} was refused for nothing: {throttled:?}");
                counts.1 += 1;
            }
            for (n, _) in plan.iter().enumerate().filter(|(_, (_, ends))| *ends) {
                for taken in running[n].drain(..) {
                    model.end(&clients[n]);
                    taken.ended(SECOND, 1).await.unwrap();
                }
            }
        }
        counts
    })
}

#[test]
fn sixty_four_clients_at_once_get_what_a_naive_model_gives_them() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .build()
        .unwrap();
    let one = prop::collection::vec((0_u8..6, any::<bool>()), CLIENTS);
    let plan = prop::collection::vec((0_u64..8_000, one), 1..10);
    let (went, refused) = (Cell::new(0), Cell::new(0));
    let drawn = TestRng::from_seed(RngAlgorithm::ChaCha, &SEED);
    let mut runner = TestRunner::new_with_rng(Config::with_cases(48), drawn);
    runner
        .run(&plan, |plan| {
            let counts = hold(&runtime, &plan);
            went.set(went.get() + counts.0);
            refused.set(refused.get() + counts.1);
            Ok(())
        })
        .unwrap();
    // Both happened, often.
    assert!(
        went.get() > 1_000 && refused.get() > 1_000,
        "{went:?} {refused:?}"
    );
}
