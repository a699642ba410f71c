//! Who finds a place to be asked about, and what is remembered of those who do not count.

use std::panic::{AssertUnwindSafe, resume_unwind};

use futures_util::FutureExt;

use super::*;

/// How often a scene is played in which questions were held for too long.
const PLAYS_MAX: usize = 4;

impl World {
    fn hold(&self, held: bool) {
        self.endpoint.held.send_replace(held);
    }

    async fn verify_from(
        &self,
        token: &str,
        from: Option<&str>,
        now: Timestamp,
    ) -> Result<Arc<Caller>, IdentityError> {
        let token = BearerToken::new(token.to_owned());
        let from = from.map(|from| from.parse().unwrap());
        let shown = Credentials::bearer(token).sent_from(from);
        self.identity.verify(shown, now).await
    }
}

/// Shows a token and does not wait for what comes of it.
fn show(
    world: &Arc<World>,
    token: &str,
    from: Option<&'static str>,
    now: Timestamp,
) -> tokio::task::JoinHandle<Result<Arc<Caller>, IdentityError>> {
    let (world, token) = (Arc::clone(world), token.to_owned());
    tokio::spawn(async move { world.verify_from(&token, from, now).await })
}

/// Plays a scene in which questions are held. After [`INTROSPECTION_MAX`] they are given up, so where it fails and took as long, as on a
/// machine that is busy with others, it shows nothing, and is played again.
async fn played(scene: impl AsyncFn()) {
    for play in 1.. {
        let began = std::time::Instant::now();
        match AssertUnwindSafe(scene()).catch_unwind().await {
            Ok(()) => return,
            Err(_) if play < PLAYS_MAX && began.elapsed() >= INTROSPECTION_MAX => {}
            Err(failed) => resume_unwind(failed),
        }
    }
}

async fn until_asked(world: &World, times: usize) {
    for _ in 0..10_000 {
        if world.asked() == times {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("asked {} times and not {times}", world.asked());
}

fn busy(shown: Result<Arc<Caller>, IdentityError>) {
    let error = shown.map(drop).unwrap_err();
    assert_eq!(error.public(), PublicError::Busy, "{error:?}");
    assert_eq!(error.name(), "introspection-busy");
}

#[tokio::test]
async fn made_up_tokens_are_refused_at_once_where_there_is_no_place_and_take_none_from_others() {
    played(async || {
        let world = Arc::new(World::new(|config| config.about = About::All));
        let known = "counted-before";
        assert!(world.verify(known, NOW).await.is_ok());
        world.hold(true);
        let made_up: Vec<_> = (0..32)
            .map(|n| show(&world, &format!("made-up-{n}"), None, NOW))
            .collect();
        until_asked(&world, 33).await;
        busy(world.verify("made-up-too", NOW).await);
        let held = made_up.iter().all(|shown| !shown.is_finished());
        assert!(held, "it waited until there was a place");
        assert_eq!(world.asked(), 33);
        // What nobody can make up has places of its own: a signature that held, and a token that counted a moment ago.
        let signed = show(&world, &testing::token(json!({})), None, NOW);
        until_asked(&world, 34).await;
        let again = show(&world, known, None, later(31));
        until_asked(&world, 35).await;
        // A JWT whose signature does not hold is none of these, and is not asked about.
        let forged = testing::token(json!({"aud": "https://other.test/mcp"}));
        assert_eq!(world.refused(&forged, NOW).await, PublicError::InvalidToken);
        assert_eq!(world.asked(), 35);
        world.hold(false);
        for shown in made_up.into_iter().chain([signed, again]) {
            assert!(shown.await.unwrap().is_ok());
        }
        // Places come back.
        assert!(world.verify("made-up-too", NOW).await.is_ok());

        // The places of those are bounded as well.
        let world = Arc::new(World::new(|config| config.about = About::All));
        world.hold(true);
        let jwt = |n: usize| testing::token(json!({"jti": format!("{n}")}));
        let all: Vec<_> = (0..32).map(|n| show(&world, &jwt(n), None, NOW)).collect();
        until_asked(&world, 32).await;
        busy(world.verify(&jwt(32), NOW).await);
        let opaque = show(&world, "opaque", None, NOW);
        until_asked(&world, 33).await;
        world.hold(false);
        for shown in all.into_iter().chain([opaque]) {
            assert!(shown.await.unwrap().is_ok());
        }
    })
    .await;
}

#[tokio::test]
async fn one_address_leaves_places_to_others() {
    played(async || {
        let world = Arc::new(World::new(|_| {}));
        world.hold(true);
        let greedy = Some("192.0.2.1");
        let held: Vec<_> = (0..8)
            .map(|n| show(&world, &format!("a{n}"), greedy, NOW))
            .collect();
        until_asked(&world, 8).await;
        busy(world.verify_from("a8", greedy, NOW).await);
        let mapped = Some("::ffff:192.0.2.1");
        busy(world.verify_from("a9", mapped, NOW).await);
        assert_eq!(world.asked(), 8);
        let other = show(&world, "b", Some("192.0.2.2"), NOW);
        until_asked(&world, 9).await;
        // For an answer that is on its way no place is needed.
        let same = show(&world, "a0", greedy, NOW);
        world.hold(false);
        for shown in held.into_iter().chain([other, same]) {
            assert!(shown.await.unwrap().is_ok());
        }
        assert_eq!(world.asked(), 9);
        assert!(world.verify_from("a8", greedy, NOW).await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn that_a_token_does_not_count_is_remembered_for_a_moment_whatever_else_is_kept() {
    let inactive = json!({"active": false}).to_string();
    for (status, body, public) in [
        (200, inactive.as_str(), PublicError::InvalidToken),
        (400, "{}", PublicError::Unavailable),
        (401, "{}", PublicError::Unavailable),
        (403, "{}", PublicError::Unavailable),
        (404, "{}", PublicError::Unavailable),
    ] {
        let world = World::new(|config| config.ttl = Duration::ZERO);
        world.answers(answered(status, "application/json", body));
        let all = join_all((0..50).map(|_| world.refused("t", NOW))).await;
        assert!(all.iter().all(|one| *one == public), "{status}: {all:?}");
        assert_eq!(world.refused("t", later(4)).await, public, "{status}");
        assert_eq!(world.asked(), 1, "{status}");
        // Of this token alone, and no longer: then it may count.
        world.says(&active(json!({})));
        assert!(world.verify("u", later(4)).await.is_ok());
        assert!(world.verify("t", later(5)).await.is_ok());
        assert_eq!(world.asked(), 3, "{status}");
    }
    // What says nothing of the token is not remembered of it: it is refused, and asked about again.
    for status in [408, 425, 429, 500, 502, 503, 302] {
        let world = World::new(|_| {});
        world.answers(answered(status, "application/json", "{}"));
        for asked in 1..4 {
            assert_eq!(world.refused("t", NOW).await, PublicError::Unavailable);
            assert_eq!(world.asked(), asked, "{status}");
        }
        world.says(&active(json!({})));
        assert!(world.verify("t", NOW).await.is_ok(), "{status}");
    }
}

#[tokio::test]
async fn a_flood_of_made_up_tokens_is_remembered_within_bounds_and_forgets_nobody_who_counts() {
    let world = World::new(|config| {
        config.proof = ClientProof::Secret(ClientSecret::Env("PATH".to_owned()));
    });
    assert!(world.verify("good", NOW).await.is_ok());
    world.says(&json!({"active": false}));
    let flood = usize::try_from(INTROSPECTION_REFUSALS_MAX).unwrap() + 3_000;
    for n in 0..flood {
        let refused = world.refused(&format!("made-up-{n}"), NOW).await;
        assert_eq!(refused, PublicError::InvalidToken);
    }
    let introspector = world.identity.asked.as_ref().unwrap();
    introspector.refusals.run_pending_tasks();
    introspector.answers.run_pending_tasks().await;
    assert!(introspector.refusals.entry_count() <= INTROSPECTION_REFUSALS_MAX);
    assert_eq!(introspector.answers.entry_count(), 1);
    let asked = world.asked();
    assert!(world.verify("good", NOW).await.is_ok());
    assert_eq!(world.asked(), asked, "its answer is still there");
}

#[tokio::test]
async fn whoever_waits_for_an_answer_of_another_does_not_wait_for_ever() {
    played(async || {
        let world = Arc::new(World::new(|config| config.ttl = Duration::ZERO));
        *world.endpoint.takes.lock().unwrap() = Duration::from_secs(4);
        let began = tokio::time::Instant::now();
        let all: Vec<_> = (0..5).map(|_| show(&world, "t", None, NOW)).collect();
        let mut counted = 0;
        for shown in all {
            match shown.await.unwrap() {
                Ok(_) => counted += 1,
                refused => busy(refused),
            }
        }
        assert_eq!(counted, 1);
        // Five such questions one after the other would take 20 s.
        assert!(began.elapsed() <= INTROSPECTION_WAIT_MAX * 2);
    })
    .await;
}
