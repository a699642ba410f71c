//! What the operator agrees to in somebody's stead.

use super::*;
use crate::store::{Channel, ConsentFilter};

fn reads() -> Tool {
    tool("notes", &[("notes", &[READ], false)])
}

impl World {
    async fn pre_consent(
        &self,
        who: &TenantUser,
        tool: &Tool,
        capability: &str,
    ) -> Result<ConsentRow, PreConsentError> {
        self.pre_consent_from(who, tool, capability, None).await
    }

    async fn pre_consent_from(
        &self,
        who: &TenantUser,
        tool: &Tool,
        capability: &str,
        from: Option<Timestamp>,
    ) -> Result<ConsentRow, PreConsentError> {
        let caller = caller(json!({}));
        let wish = PreConsent {
            tenant: who.tenant.clone(),
            user: who.user.clone(),
            client: caller.client().clone(),
            tool,
            capability: capability.parse().unwrap(),
            from,
            until: self.now().plus(Duration::from_secs(365 * 24 * 3600)),
        };
        self.consents.pre_consent(wish, self.now()).await
    }
}

#[tokio::test]
async fn the_operator_agrees_to_reading_for_a_user_and_it_is_recorded_as_such() {
    let world = World::new().await;
    let row = world.pre_consent(&alice(), &reads(), READ).await.unwrap();
    assert_eq!(row.expires_at, NOW.plus(CONSENT_T1_MAX));
    let consent = world.confirm(json!({}), &reads()).await.unwrap();
    assert_eq!(ids(&consent), [row.id]);
    let kept = &world.consents.list(&alice()).await.unwrap()[0];
    assert_eq!(kept.channel, Channel::Operator);
    assert_eq!(
        world.log("consent.given").await[0].record.facts["by"],
        "operator"
    );
    // Another user and another client are asked as before, and the user can take it back.
    asked(world.confirm(json!({"sub": "bob"}), &reads()).await);
    asked(
        world
            .confirm(json!({"client_id": "client-2"}), &reads())
            .await,
    );
    assert!(
        world
            .consents
            .revoke(&alice(), row.id, world.now())
            .await
            .unwrap()
    );
    asked(world.confirm(json!({}), &reads()).await);
}

#[tokio::test]
async fn the_operator_agrees_to_nothing_that_writes_and_to_nothing_that_is_not_asked_for() {
    let world = World::new().await;
    let writes = world.pre_consent(&alice(), &notes(), WRITE).await;
    assert!(
        matches!(writes, Err(PreConsentError::Tier { tier: Tier::T2, .. })),
        "{writes:?}"
    );
    let other = world
        .pre_consent(&alice(), &reads(), "files read mail")
        .await;
    assert!(
        matches!(other, Err(PreConsentError::NotNeeded { .. })),
        "{other:?}"
    );
    assert!(world.consents.list(&alice()).await.unwrap().is_empty());
    assert!(world.log("consent.given").await.is_empty());
}

#[tokio::test]
async fn the_operator_does_not_overrule_a_user() {
    let world = World::new().await;
    let denial = world.given(&reads(), &[(READ, Choice::Deny)]).await.records[0];
    let again = world.pre_consent(&alice(), &reads(), READ).await;
    assert!(
        matches!(again, Err(PreConsentError::Decided(_))),
        "{again:?}"
    );
    assert!(matches!(
        world.confirm(json!({}), &reads()).await,
        Err(ConsentError::Denied { .. })
    ));
    // Once it has run out, nothing is in the way.
    world.clock.advance(DENIAL_TTL);
    let row = world.pre_consent(&alice(), &reads(), READ).await.unwrap();
    assert_ne!(row.id, denial);
    assert!(world.confirm(json!({}), &reads()).await.is_ok());
}

#[tokio::test]
async fn a_caller_without_a_user_acts_on_what_the_operator_agreed_to_alone() {
    let world = World::new().await;
    let machine = json!({"sub": "client-1"});
    let both = tool(
        "notes",
        &[
            ("notes", &[READ], false),
            ("web", &["http GET b.example /"], true),
        ],
    );
    let none = world.confirm(machine.clone(), &both).await;
    assert!(matches!(none, Err(ConsentError::NoUser)), "{none:?}");
    world
        .pre_consent(&user("client-1"), &both, READ)
        .await
        .unwrap();
    let consent = world.confirm(machine.clone(), &both).await.unwrap();
    assert_eq!(
        texts(consent.agreed()),
        [READ],
        "what is optional and not agreed to is left out"
    );
    // What writes stays out of reach of it.
    let refused = world
        .confirm(machine, &tool("notes", &[("notes", &[WRITE], false)]))
        .await;
    assert!(matches!(refused, Err(ConsentError::NoUser)), "{refused:?}");
    assert!(
        world.log("consent.asked").await.is_empty(),
        "nobody is asked"
    );
}

#[tokio::test]
async fn the_operator_finds_the_records_of_all_users_and_of_some() {
    let world = World::new().await;
    world.pre_consent(&alice(), &reads(), READ).await.unwrap();
    world
        .pre_consent(&user("bob"), &reads(), READ)
        .await
        .unwrap();
    let all = ConsentFilter::default();
    assert_eq!(world.consents.find(&all).await.unwrap().len(), 2);
    let bobs = ConsentFilter {
        subject: Some("bob".parse().unwrap()),
        ..ConsentFilter::default()
    };
    let found = world.consents.find(&bobs).await.unwrap();
    assert_eq!(found.len(), 1);
    assert!(
        world
            .consents
            .revoke_for_operator(&found[0], None, world.now())
            .await
            .unwrap()
    );
    assert!(
        !world
            .consents
            .revoke_for_operator(&found[0], None, world.now())
            .await
            .unwrap()
    );
    assert_eq!(
        world.log("consent.revoked").await[0].record.facts["by"],
        "operator"
    );
}

#[tokio::test]
async fn what_begins_later_holds_from_then_on_and_can_be_taken_back_before() {
    let world = World::new().await;
    let day = Duration::from_secs(24 * 3600);
    let from = Some(NOW.plus(40 * day));
    let row = world
        .pre_consent_from(&alice(), &reads(), READ, from)
        .await
        .unwrap();
    assert_eq!(row.not_before, from);
    let kept = world
        .store
        .consent(&alice(), row.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        kept,
        ConsentRow {
            evidence: kept.evidence.clone(),
            ..row
        }
    );
    assert_eq!(standing(&kept, world.now()), "not-yet");
    // Nobody is asked less for it until then, and it does not lapse unused before it began.
    asked(world.confirm(json!({}), &reads()).await);
    world.clock.advance(40 * day - Duration::from_millis(1));
    asked(world.confirm(json!({}), &reads()).await);
    world.clock.advance(Duration::from_millis(1));
    let consent = world.confirm(json!({}), &reads()).await.unwrap();
    assert_eq!(ids(&consent), [kept.id]);
    assert_eq!(standing(&kept, world.now()), "active");

    let world = World::new().await;
    let row = world
        .pre_consent_from(&alice(), &reads(), READ, from)
        .await
        .unwrap();
    assert!(is_revocable(&row, world.now()));
    let now = world.now();
    assert!(world.consents.revoke(&alice(), row.id, now).await.unwrap());
    world.clock.advance(41 * day);
    asked(world.confirm(json!({}), &reads()).await);
}

#[tokio::test]
async fn no_consent_begins_in_the_past_or_after_its_end() {
    let world = World::new().await;
    let day = Duration::from_secs(24 * 3600);
    for from in [Timestamp(NOW.0 - 86_400_000), NOW.plus(90 * day)] {
        let refused = world
            .pre_consent_from(&alice(), &reads(), READ, Some(from))
            .await;
        assert!(
            matches!(refused, Err(PreConsentError::Beginning)),
            "{refused:?}"
        );
    }
    // Today has begun, and so does what begins today.
    let today = Some(Timestamp(NOW.0 - 86_399_999));
    let row = world
        .pre_consent_from(&alice(), &reads(), READ, today)
        .await
        .unwrap();
    assert_eq!(row.not_before, None);
    assert!(world.confirm(json!({}), &reads()).await.is_ok());
    let row = world
        .pre_consent_from(&user("bob"), &reads(), READ, Some(NOW))
        .await
        .unwrap();
    assert_eq!(row.not_before, None);
}

#[tokio::test]
async fn the_operator_agrees_to_nothing_that_is_over_already() {
    let world = World::new().await;
    let tool = reads();
    for until in [NOW, Timestamp(NOW.0 - 1)] {
        let wish = PreConsent {
            tenant: alice().tenant,
            user: alice().user,
            client: caller(json!({})).client().clone(),
            tool: &tool,
            capability: READ.parse().unwrap(),
            from: None,
            until,
        };
        let refused = world.consents.pre_consent(wish, NOW).await;
        assert!(matches!(refused, Err(PreConsentError::Past)), "{refused:?}");
    }
    assert!(world.consents.list(&alice()).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_administrator_takes_a_consent_back_once_and_the_log_names_the_request() {
    let world = World::new().await;
    let row = world.pre_consent(&alice(), &reads(), READ).await.unwrap();
    let request = Uuid::now_v7();
    for taken in [true, false] {
        let (consents, now) = (&world.consents, world.now());
        let revoked = consents.revoke_for_admin(&row, request, now).await;
        assert_eq!(revoked.unwrap(), taken);
    }
    asked(world.confirm(json!({}), &reads()).await);
    let log = world.log("consent.revoked").await;
    assert_eq!(log.len(), 1);
    let facts = &log[0].record.facts;
    assert_eq!(facts["by"], "admin");
    assert_eq!(facts["request"], request.to_string());
}

#[tokio::test]
async fn what_a_user_agreed_to_serves_no_token_of_the_client_itself() {
    let world = World::new().await;
    world.given(&reads(), &[(READ, long())]).await;
    assert!(world.confirm(json!({}), &reads()).await.is_ok());
    // The same `sub`, by a token that was issued to nobody but the client.
    let machine = json!({"gty": "client-credentials"});
    let refused = world.confirm(machine, &reads()).await;
    assert!(matches!(refused, Err(ConsentError::NoUser)), "{refused:?}");
}
