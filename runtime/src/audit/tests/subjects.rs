//! Users whose key cannot be read: what needs a whole record is refused to them, and to nobody else.

use super::*;

fn entry(audit: &Audit, user: &str) -> Entry {
    let mut entry = audit.open("tools/call");
    entry.caller(caller("acme", user));
    entry.tool(tool("notes"));
    entry
}

#[tokio::test]
async fn a_call_with_effects_needs_a_record_with_its_user() {
    let store = store().await;
    let before = audit(&store).await;
    entry(&before, "alice").close(End::Answered).await.unwrap();
    before.flush().await.unwrap();
    damage(
        &store,
        "UPDATE secret SET value = x'00' WHERE name LIKE 'audit.subject.%'",
    )
    .await;

    // A process that has no pseudonym at hand.
    let audit = audit(&store).await;
    let (mut alice, mut bob) = (entry(&audit, "alice"), entry(&audit, "bob"));
    // Both come into one batch.
    let (of_alice, of_bob) = tokio::join!(alice.intent(), bob.intent());
    assert!(
        matches!(of_alice, Err(AuditError::Unavailable(_))),
        "{of_alice:?}"
    );
    of_bob.unwrap();
    assert!(audit.healthy(), "the store takes records");
    bob.close(replied()).await.unwrap();
    // That it was refused is recorded, without a name.
    let end = End::Failed {
        reason: "audit".to_owned(),
    };
    alice.close(end).await.unwrap();
    // A change about the user is not made either.
    let event = Event::new(EventKind::ConsentGiven).user(
        &caller("acme", "alice").tenant,
        &caller("acme", "alice").user,
    );
    let change = Change::Suspend {
        ids: Vec::new(),
        at: Timestamp(0),
        by: Ender::Publisher,
    };
    let refused = audit.commit(change, vec![event]).await;
    assert!(
        matches!(refused, Err(AuditError::Unavailable(_))),
        "{refused:?}"
    );
    // What can do nothing outside runs, and its records say that their user is missing.
    let mut pure = entry(&audit, "alice");
    pure.intent_soon().await.unwrap();
    pure.close_soon(replied()).await.unwrap();
    audit.flush().await.unwrap();

    let all = records(&store, &Filter::default()).await;
    let named = |stored: &&Stored| stored.record.subject.is_some();
    let intents = all
        .iter()
        .filter(|stored| stored.record.phase == Phase::Intent);
    let intents: Vec<bool> = intents.map(|stored| named(&stored)).collect();
    assert_eq!(intents, [true, false], "bob, and the call without effects");
    let nameless = all.iter().filter(|stored| !named(stored));
    for stored in nameless.clone() {
        assert!(stored.record.iss.is_some(), "{}", stored.json);
        assert!(!stored.json.contains("alice"), "{}", stored.json);
    }
    assert_eq!(nameless.count(), 3);
    assert!(
        !all.iter()
            .any(|stored| stored.record.kind == "consent.given")
    );
    assert_eq!(verdict(&store).await.unwrap().records, 6);
}
