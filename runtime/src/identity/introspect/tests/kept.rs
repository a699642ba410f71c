//! How long an answer is kept, for whom, and how many are.

use super::*;

#[tokio::test]
async fn x2_an_answer_serves_for_its_time_and_no_longer_than_the_token() {
    let world = World::new(|_| {});
    assert!(world.verify("t", NOW).await.is_ok());
    assert!(world.verify("t", later(29)).await.is_ok());
    assert_eq!(world.asked(), 1);
    // It was taken back meanwhile; that is heard when the time is up.
    world.says(&json!({"active": false}));
    assert!(world.verify("t", later(29)).await.is_ok());
    assert_eq!(
        world.refused("t", later(30)).await,
        PublicError::InvalidToken
    );
    assert_eq!(world.asked(), 2);
    // That it does not count is believed for a shorter while.
    world.says(&active(json!({})));
    assert_eq!(
        world.refused("t", later(34)).await,
        PublicError::InvalidToken
    );
    assert!(world.verify("t", later(35)).await.is_ok());
    assert_eq!(world.asked(), 3);
    // Each token has its own answer.
    world.says(&json!({"active": false}));
    assert_eq!(
        world.refused("u", later(35)).await,
        PublicError::InvalidToken
    );
    assert!(world.verify("t", later(35)).await.is_ok());
    // A clock that is set back keeps nothing.
    assert_eq!(world.refused("t", NOW).await, PublicError::InvalidToken);

    let world = World::new(|_| {});
    world.says(&active(json!({"exp": NOW.secs() + 10})));
    assert!(world.verify("t", NOW).await.is_ok());
    assert!(world.verify("t", later(9)).await.is_ok());
    assert_eq!(world.asked(), 1);
    world.says(&json!({"active": false}));
    assert!(world.verify("t", later(10)).await.is_err());
    assert_eq!(world.asked(), 2);

    let never = World::new(|config| config.ttl = Duration::ZERO);
    for asked in 1..4 {
        assert!(never.verify("t", NOW).await.is_ok());
        assert_eq!(never.asked(), asked);
    }
}

#[tokio::test]
async fn x2_one_asks_for_all_who_show_the_same_token_at_once() {
    let world = World::new(|_| {});
    let all = join_all((0..100).map(|_| world.verify("t", NOW))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(world.asked(), 1);
    let all = join_all((0..20).map(|n| {
        let world = &world;
        async move { world.verify(&format!("t{n}"), NOW).await }
    }));
    assert!(all.await.iter().all(Result::is_ok));
    assert_eq!(world.asked(), 21);
}

#[tokio::test]
async fn answers_are_kept_by_what_they_take_in_memory() {
    let world = World::new(|_| {});
    let asked = world.identity.asked.as_ref().unwrap();
    // Two bytes for each number, and many more where it is kept.
    let long = active(json!({"numbers": vec![1; 30_000]}));
    let one = u64::try_from(weight(&long)).unwrap();
    assert!(one > 10 * 60_000, "{one}");
    world.says(&long);
    let many = INTROSPECTION_ANSWERS_BYTES_MAX / one + 20;
    for at in 0..many {
        world.verify(&format!("opaque-{at}"), NOW).await.unwrap();
    }
    asked.answers.run_pending_tasks().await;
    let kept = asked.answers.weighted_size();
    assert!(kept > INTROSPECTION_ANSWERS_BYTES_MAX / 2, "{kept}");
    assert!(kept <= INTROSPECTION_ANSWERS_BYTES_MAX, "{kept}");
    assert!(asked.answers.entry_count() < many);
}
