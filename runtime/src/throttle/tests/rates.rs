//! Rates and calls at once.

use std::time::Instant;

use super::*;
use crate::clock::Timestamp;
use crate::limits::RATE_KEYS_MAX;

const AT: Timestamp = Timestamp(1_800_000_000_000);

struct World {
    calls: Calls,
    now: Instant,
}

impl World {
    async fn new(toml: &str) -> Self {
        Self {
            calls: calls(limits(toml), &Arc::default()).await,
            now: Instant::now(),
        }
    }

    /// Whether a call goes through that ends at once; and if not, for which limit.
    async fn call(&self, who: &Who) -> Result<(), String> {
        let looked = self.calls.look(who.whose(), self.now, AT).await;
        let taken = self.calls.take(who.whose(), self.now, AT).await;
        assert_eq!(looked.is_ok(), taken.is_ok());
        match taken {
            Ok(taken) => taken
                .ended(SECOND, 10)
                .await
                .map_err(|error| error.to_string()),
            Err(refusal) => Err(refused(refusal).limit),
        }
    }

    async fn passed(&self, who: &Who, tries: usize) -> usize {
        let mut passed = 0;
        for _ in 0..tries {
            passed += usize::from(self.call(who).await.is_ok());
        }
        passed
    }
}

#[tokio::test]
async fn one_users_calls_are_counted_for_nobody_else() {
    let world = World::new("").await;
    let alice = Who::alice().of(&["writes"]);
    assert_eq!(world.passed(&alice, 9).await, 3);
    let bob = Who::new("acme", "bob", "desk", "hello").of(&["writes"]);
    assert_eq!(world.passed(&bob, 9).await, 3);
    let elsewhere = Who::new("other", "alice", "desk", "hello").of(&["writes"]);
    assert_eq!(world.passed(&elsewhere, 9).await, 3);
    assert_eq!(world.passed(&Who::alice().of(&["daily"]), 9).await, 5);
    assert_eq!(world.passed(&Who::alice().of(&["ghost"]), 1).await, 0);
}

#[tokio::test]
async fn each_limit_is_counted_for_whom_it_is_and_a_throttled_call_uses_up_no_other() {
    let toml = |name: &str, per: &str, calls: u32| {
        format!("[[limit]]\nname = \"{name}\"\nper = \"{per}\"\ncalls = {calls}\nseconds = 60\n")
    };
    let text =
        toml("tenant", "tenant", 20) + &toml("client", "client", 12) + &toml("user", "user", 6);
    let text = text + &toml("tool", "tool", 9) + &toml("pair", "user-tool", 3);
    let world = World::new(&text).await;
    let alice = Who::alice();
    assert_eq!(world.passed(&alice, 3).await, 3);
    for _ in 0..100 {
        assert_eq!(world.call(&alice).await, Err("pair".to_owned()));
    }
    // A hundred refusals took nothing of what alice has with other tools, nor of what others have.
    let other_tool = Who::new("acme", "alice", "desk", "notes");
    assert_eq!(world.passed(&other_tool, 9).await, 3);
    assert_eq!(world.call(&other_tool).await, Err("user".to_owned()));
    assert_eq!(
        world
            .passed(&Who::new("acme", "bob", "desk", "hello"), 9)
            .await,
        3
    );
    assert_eq!(
        world
            .passed(&Who::new("acme", "carol", "desk", "hello"), 9)
            .await,
        3
    );
    let dave = Who::new("acme", "dave", "desk", "hello");
    assert_eq!(world.call(&dave).await, Err("client".to_owned()));
    let dave = Who::new("acme", "dave", "web", "hello");
    assert_eq!(world.call(&dave).await, Err("tool".to_owned()));
    assert_eq!(
        world.passed(&Who::new("acme", "dave", "web", "a"), 9).await,
        3
    );
    assert_eq!(
        world.passed(&Who::new("acme", "dave", "web", "b"), 9).await,
        3
    );
    let erin = Who::new("acme", "erin", "web", "c");
    assert_eq!(world.passed(&erin, 9).await, 2);
    assert_eq!(world.call(&erin).await, Err("tenant".to_owned()));
    assert_eq!(
        world
            .passed(&Who::new("other", "erin", "web", "c"), 9)
            .await,
        3
    );
}

#[tokio::test]
async fn a_limit_of_a_tier_or_a_tool_counts_those_calls_alone() {
    let world = World::new(
        "[[limit]]\nname = \"writes2\"\nper = \"user\"\ntier = \"T2\"\ncalls = 2\nseconds = 60\n\
         [[limit]]\nname = \"fetch\"\nper = \"user\"\ntool = \"fetch\"\ncalls = 1\nseconds = 60\n",
    )
    .await;
    let of = |tier| Who {
        tier,
        ..Who::alice()
    };
    assert_eq!(world.passed(&of(Tier::T1), 9).await, 9);
    assert_eq!(world.passed(&of(Tier::T3), 1).await, 1);
    assert_eq!(world.passed(&of(Tier::T2), 9).await, 1);
    assert_eq!(
        world
            .passed(&Who::new("acme", "alice", "desk", "fetch"), 9)
            .await,
        1
    );
}

#[tokio::test]
async fn calls_at_once_are_bounded_until_they_end_however_they_end() {
    let world = World::new(
        "[[limit]]\nname = \"user-share\"\nper = \"user\"\nat_once = 2\n[[limit]]\nname = \"share\"\nper = \"tenant\"\nat_once = 3\n",
    )
    .await;
    let (alice, bob) = (Who::alice(), Who::new("acme", "bob", "desk", "hello"));
    let take = async |who: &Who| world.calls.take(who.whose(), world.now, AT).await;
    let first = take(&alice).await.unwrap();
    let second = take(&alice).await.unwrap();
    let throttled = refused(take(&alice).await.err().unwrap());
    assert_eq!(throttled.reason(), "at-once:user-share");
    let third = take(&bob).await.unwrap();
    assert_eq!(refused(take(&bob).await.err().unwrap()).limit, "share");
    first.ended(SECOND, 1).await.unwrap();
    let fourth = take(&bob).await.unwrap();
    // Gone without a word.
    drop((second, third, fourth));
    let again = (take(&alice).await.unwrap(), take(&alice).await.unwrap());
    assert!(take(&alice).await.is_err());
    drop(again);
}

#[tokio::test]
async fn a_call_that_goes_on_is_counted_once_and_has_a_place_each_time() {
    let world = World::new(
        "[[limit]]\nname = \"user\"\nper = \"user\"\ncalls = 1\nseconds = 60\nat_once = 1\ndaily_calls = 1\n",
    )
    .await;
    let on = Who {
        goes_on: true,
        ..Who::alice().of(&["writes"])
    };
    assert_eq!(world.call(&Who::alice()).await, Ok(()));
    assert_eq!(world.call(&Who::alice()).await, Err("user".to_owned()));
    assert_eq!(world.passed(&on, 5).await, 5);
    let taken = world.calls.take(on.whose(), world.now, AT).await.unwrap();
    assert_eq!(world.call(&on).await, Err("user".to_owned()));
    drop(taken);
}

#[tokio::test]
async fn what_is_kept_is_bounded_and_forgets_nobody_who_has_used_something() {
    let mut world = World::new("").await;
    for n in 0..RATE_KEYS_MAX {
        let one = Who::new("acme", &format!("u{n}"), "desk", "hello").of(&["writes"]);
        drop(world.calls.take(one.whose(), world.now, AT).await.unwrap());
    }
    let late = Who::new("acme", "late", "desk", "hello").of(&["writes"]);
    assert!(world.call(&late).await.is_err());
    let first = Who::new("acme", "u0", "desk", "hello").of(&["writes"]);
    assert!(world.call(&first).await.is_ok());
    // When the others are as if they had never called, there is room again.
    world.now += 20 * SECOND;
    assert!(world.call(&late).await.is_ok());
}
