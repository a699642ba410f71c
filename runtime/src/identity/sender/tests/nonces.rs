//! A proof counts once, for a minute, and where it is asked for with a fresh nonce of ours.

use super::*;

#[tokio::test]
async fn x1_a_proof_counts_once_and_for_a_minute() {
    let world = World::new(ALLOWED);
    let key = Mint::es256("p");
    let tried = good(&key);
    assert!(world.show(&tried, NOW).await.is_ok());
    for later in [0, 1, 60] {
        let now = NOW.plus(Duration::from_secs(later));
        let error = world.show(&tried, now).await.map(drop).unwrap_err();
        assert!(matches!(error, IdentityError::Proof(ProofError::Used)));
    }
    // The same `jti` by another key is another proof.
    let id = json!({"jti": "one"});
    assert!(world.show(&claiming(&key, id.clone()), NOW).await.is_ok());
    assert!(world.show(&claiming(&key, id.clone()), NOW).await.is_err());
    let other = Mint::es256("q");
    assert!(world.show(&claiming(&other, id), NOW).await.is_ok());

    let at = |secs: i64| claiming(&key, json!({"iat": NOW.secs() + secs}));
    let (age, ahead) = (
        i64::try_from(DPOP_AGE_MAX.as_secs()).unwrap(),
        i64::try_from(DPOP_AHEAD_MAX.as_secs()).unwrap(),
    );
    for good in [-age, 0, ahead] {
        assert!(world.show(&at(good), NOW).await.is_ok(), "{good}");
    }
    for bad in [-age - 1, ahead + 1, -100_000, 100_000] {
        assert_eq!(
            refused(world.show(&at(bad), NOW).await),
            PublicError::InvalidProof,
            "{bad}"
        );
    }
}

#[tokio::test]
async fn what_could_have_been_used_before_the_start_needs_a_nonce_that_was_made_since() {
    let (age, ahead) = (DPOP_AGE_MAX.as_secs(), DPOP_AHEAD_MAX.as_secs());
    let after = |secs: u64| NOW.plus(Duration::from_secs(secs));
    for config in [ALLOWED, REQUIRED] {
        let key = Mint::es256("p");
        let at = |secs: u64| {
            claiming(
                &key,
                json!({"iat": NOW.secs() + i64::try_from(secs).unwrap()}),
            )
        };
        // Dated ahead as far as may be, and used just before the process ended.
        let before = World::new(config);
        before.identity.load(after(0)).await;
        let nonce = before.identity.nonce(NOW).unwrap();
        let more = json!({"iat": NOW.secs() + i64::try_from(ahead).unwrap(), "nonce": nonce});
        let used = claiming(&key, more);
        assert!(before.show(&used, NOW).await.is_ok());

        let world = World::new(config);
        world.identity.load(NOW).await;
        for secs in [0, 1, ahead, ahead + age] {
            assert_eq!(
                refused(world.show(&used, after(secs)).await),
                PublicError::UseNonce,
                "{secs}"
            );
            // Every answer brings one until then.
            assert!(world.identity.nonce(after(secs)).is_some());
        }
        assert_eq!(
            refused(world.show(&used, after(ahead + age + 1)).await),
            PublicError::InvalidProof
        );
        assert_eq!(world.identity.nonce(after(ahead + age + 1)), None);
        // With a nonce of this process a proof counts from the first moment on, also by a clock that is behind; once.
        for iat in [-10, 0, 29] {
            let nonce = world.identity.nonce(NOW).unwrap();
            let fresh = claiming(&key, json!({"iat": NOW.secs() + iat, "nonce": nonce}));
            assert!(world.show(&fresh, NOW).await.is_ok(), "{iat}");
            assert_eq!(
                refused(world.show(&fresh, NOW).await),
                PublicError::InvalidProof
            );
        }
        // What bears a later time than any could have had before needs none.
        assert_eq!(
            refused(world.show(&at(ahead), after(ahead)).await),
            PublicError::UseNonce
        );
        assert!(world.show(&at(ahead + 1), after(ahead + 1)).await.is_ok());
    }
    // Where no proof is looked at there is nothing to ask for.
    let off = World::new(OFF);
    off.identity.load(NOW).await;
    assert_eq!(off.identity.nonce(NOW), None);
}

#[tokio::test]
async fn x1_where_a_nonce_is_needed_it_must_be_ours_and_fresh() {
    let world = World::new(WITH_NONCE);
    let key = Mint::es256("p");
    assert_eq!(
        refused(world.show(&good(&key), NOW).await),
        PublicError::UseNonce
    );
    let nonce = world.identity.nonce(NOW).unwrap();
    let with = |nonce: &str| claiming(&key, json!({ "nonce": nonce }));
    assert!(world.show(&with(&nonce), NOW).await.is_ok());
    // It serves for several proofs, each of which counts once.
    let again = with(&nonce);
    assert!(world.show(&again, NOW).await.is_ok());
    assert_eq!(
        refused(world.show(&again, NOW).await),
        PublicError::InvalidProof
    );
    let foreign = World::new(WITH_NONCE).identity.nonce(NOW).unwrap();
    for other in [foreign.as_str(), "", "x"] {
        assert_eq!(
            refused(world.show(&with(other), NOW).await),
            PublicError::UseNonce
        );
    }
    let later = NOW.plus(DPOP_NONCE_TTL);
    let old = claiming(&key, json!({"nonce": nonce, "iat": later.secs()}));
    assert_eq!(
        refused(world.show(&old, later).await),
        PublicError::UseNonce
    );
    // Where none is needed, one that is there is none of our business.
    let free = World::new(ALLOWED);
    assert_eq!(free.identity.nonce(NOW), None);
    assert!(free.show(&with("any"), NOW).await.is_ok());
}
