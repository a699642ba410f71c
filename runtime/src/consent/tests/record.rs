//! What a record holds of the decision: enough to show later who decided what, when, in front of which page and why it could
//! be asked.

use super::*;
use crate::audit::{self, Evidenced, Record};
use crate::store::{Channel, Ender};

const DELEGATED: fn() -> Value = || json!({"act": {"sub": "agent-7"}});

fn signed_in() -> SignInFacts {
    SignInFacts {
        acr: Some("mfa".to_owned()),
        amr: vec!["otp".to_owned(), "pwd".to_owned()],
        auth_time: Some(NOW),
    }
}

/// Asks in the name of alice, for whom an agent acts, and allows writing for long.
async fn given(world: &World, tool: &Tool) -> ConsentRow {
    let ticket = match world.confirm(DELEGATED(), tool).await {
        Err(ConsentError::Needed(needed)) => needed.ticket,
        other => panic!("{other:?}"),
    };
    let answers = [Answer {
        capability: WRITE.parse().unwrap(),
        choice: long(),
    }];
    let decided = world
        .consents
        .decide(
            &ticket,
            &alice(),
            &answers,
            page(),
            &signed_in(),
            world.now(),
        )
        .await
        .unwrap();
    row(world, decided.records[0]).await
}

async fn row(world: &World, id: Uuid) -> ConsentRow {
    world.store.consent(&alice(), id).await.unwrap().unwrap()
}

/// The record at this place of the log.
async fn logged(world: &World, seq: Option<u64>) -> Record {
    world.audit.flush().await.unwrap();
    let row = world
        .store
        .audit_from(seq.unwrap(), 1)
        .await
        .unwrap()
        .remove(0);
    serde_json::from_str(&row.text).unwrap()
}

#[tokio::test]
async fn a_record_says_who_decided_what_about_which_tool_in_front_of_which_page_and_why_it_was_asked()
 {
    let world = World::new().await;
    let (tool, permit) = (notes(), permit(&caller(DELEGATED()), &notes()));
    let row = given(&world, &tool).await;
    assert_eq!(row.key.who(), alice());
    assert_eq!(row.pinned.component, tool.package().component_digest());
    assert_eq!(row.pinned.definition, tool.definition_digest());
    assert_eq!(row.pinned.manifest, tool.package().manifest_digest());
    assert_eq!((row.ui, row.channel), (page().digest, Channel::Page));
    assert_eq!(
        (row.acr.as_deref(), row.auth_time),
        (Some("mfa"), Some(NOW))
    );
    let evidence = &row.evidence;
    assert_eq!(evidence.by, Some(alice().user));
    assert_eq!(evidence.amr, ["otp", "pwd"]);
    assert_eq!(evidence.locale.as_deref(), Some("en"));
    assert_eq!(evidence.version.as_deref(), Some("1.0.0"));
    assert_eq!(evidence.actors.len(), 1);
    assert_eq!(evidence.actors[0].subject.as_str(), "agent-7");
    assert_eq!(evidence.policy, Some(permit.rules_digest()));
    assert_eq!(evidence.rules, permit.rules());
    assert!(!evidence.rules.is_empty());
    assert_eq!((evidence.supersedes, evidence.ended_by), (None, None));
}

#[tokio::test]
async fn a_record_and_the_log_point_at_each_other_from_decision_to_end() {
    let world = World::new().await;
    let first = given(&world, &notes()).await;
    let told = logged(&world, first.evidence.audit_seq).await;
    assert_eq!(told.kind, "consent.given");
    assert_eq!(told.consents, [first.id.to_string()]);

    // What is decided anew says in whose place it stands.
    world
        .consents
        .revoke(&alice(), first.id, world.now())
        .await
        .unwrap();
    let first = row(&world, first.id).await;
    assert_eq!(first.evidence.ended_by, Some(Ender::User));
    let told = logged(&world, first.evidence.ended_seq).await;
    assert_eq!(
        (told.kind.as_str(), &told.consents),
        ("consent.revoked", &vec![first.id.to_string()])
    );
    assert!(first.evidence.ended_seq > first.evidence.audit_seq);

    let denied = {
        let ticket = world.ticket(&notes()).await;
        world.answer(&ticket, &[]).await.unwrap().records[0]
    };
    assert_eq!(
        logged(&world, row(&world, denied).await.evidence.audit_seq)
            .await
            .kind,
        "consent.denied"
    );
    world.clock.advance(DENIAL_TTL);
    let second = given(&world, &notes()).await;
    assert_eq!(second.evidence.supersedes, Some(denied));
}

/// What the log says of the decision in this record.
async fn evidenced(world: &World, row: &ConsentRow) -> Evidenced {
    let (seq, who) = (row.evidence.audit_seq, row.key.who());
    let (store, evidence) = (world.store.as_ref(), proven(row));
    let found = audit::evidenced(store, seq, &who, &evidence).await;
    found.unwrap()
}

#[tokio::test]
async fn the_log_proves_how_a_user_decided_and_does_not_tell() {
    let world = World::new().await;
    let row = given(&world, &notes()).await;
    let told = logged(&world, row.evidence.audit_seq).await;
    // The page is named by its digest, which nobody guesses: it covers a token of the server's.
    assert_eq!(told.facts["ui_digest"], row.ui.to_string());
    assert_eq!(told.facts["evidence"].as_str().unwrap().len(), 64);
    let text = serde_json::to_string(&told).unwrap();
    let rule = format!("\"{}\"", row.evidence.rules[0]);
    for hidden in [
        "mfa", "otp", "pwd", "\"en\"", "agent-7", "acr", "locale", &rule,
    ] {
        assert!(!text.contains(hidden), "{hidden}: {text}");
    }
    // In the order of canonical JSON, so that others can make the same.
    let canonical = serde_json_canonicalizer::to_string(&proven(&row)).unwrap();
    assert_eq!(proven(&row).to_string(), canonical);
    assert_eq!(evidenced(&world, &row).await, Evidenced::Recorded);
    let change: [fn(&mut ConsentRow); 8] = [
        |row| row.acr = None,
        |row| row.auth_time = Some(Timestamp(NOW.0 + 1)),
        |row| row.ui = Digest::of(b"another page"),
        |row| row.evidence.amr.truncate(1),
        |row| row.evidence.locale = Some("ja".to_owned()),
        |row| row.evidence.by = None,
        |row| row.evidence.actors.clear(),
        |row| row.evidence.rules.clear(),
    ];
    for change in change {
        let mut other = row.clone();
        change(&mut other);
        assert_eq!(evidenced(&world, &other).await, Evidenced::Differs);
    }
    // A record of somebody else, of something else, and none.
    for (seq, expected) in [
        (Some(1), Evidenced::Unknown),
        (Some(1_000), Evidenced::Unknown),
        (None, Evidenced::Unknown),
    ] {
        let mut other = row.clone();
        other.evidence.audit_seq = seq;
        assert_eq!(evidenced(&world, &other).await, expected, "{seq:?}");
    }
    let mut other = row.clone();
    other.key.user.subject = "bob".parse().unwrap();
    assert_eq!(evidenced(&world, &other).await, Evidenced::Unknown);
    // Without its user's key it says nothing more.
    let (store, who) = (world.store.as_ref(), alice());
    let erased = audit::erase(&world.audit, store, &who.tenant, &who.user).await;
    assert!(erased.unwrap());
    assert_eq!(evidenced(&world, &row).await, Evidenced::Unknown);
}

#[tokio::test]
async fn the_operator_says_why_a_consent_ends_and_is_not_taken_for_the_user() {
    let world = World::new().await;
    let given = given(&world, &notes()).await;
    let why = Some("the client was stolen");
    assert!(
        world
            .consents
            .revoke_for_operator(&given, why, world.now())
            .await
            .unwrap()
    );
    let ended = row(&world, given.id).await.evidence;
    assert_eq!(ended.ended_by, Some(Ender::Operator));
    assert_eq!(ended.end_reason.as_deref(), why);
}

#[tokio::test]
async fn the_same_user_in_another_tenant_sees_answers_and_takes_back_nothing() {
    let world = World::new().await;
    let ticket = world.ticket(&notes()).await;
    let other = TenantUser {
        tenant: "other".parse().unwrap(),
        ..alice()
    };
    let now = world.now();
    let shown = world.consents.question(&ticket, &other, now).await;
    assert!(matches!(shown, Err(TicketError::Unknown)), "{shown:?}");
    let state = world.consents.ticket_state(&ticket, &other, now).await;
    assert_eq!(state.unwrap(), None);
    let facts = SignInFacts::default();
    let decided = world
        .consents
        .decide(&ticket, &other, &[], page(), &facts, now)
        .await;
    assert!(matches!(decided, Err(TicketError::Unknown)), "{decided:?}");
    let given = world
        .answer(&ticket, &[(WRITE, long())])
        .await
        .unwrap()
        .records[0];
    assert!(world.consents.list(&other).await.unwrap().is_empty());
    assert!(!world.consents.revoke(&other, given, now).await.unwrap());
    assert!(world.confirm(json!({}), &notes()).await.is_ok());
}
