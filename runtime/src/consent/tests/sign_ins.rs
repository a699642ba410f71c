//! Consents that hold for as long as a sign-in goes on.

use super::*;
use crate::limits::SIGN_IN_TTL;
use crate::store::{ConsentRow, Ender, Session};

impl World {
    /// A browser in which this user signs in, or again where a sign-in is named.
    async fn browser(&self, name: &str, user: &str, sign_in: &str) -> Session {
        let session = Session {
            id_hash: Digest::of(name.as_bytes()),
            sign_in: Digest::of(sign_in.as_bytes()),
            who: super::user(user),
            auth_time: Some(self.now()),
            acr: None,
            amr: Vec::new(),
            created_at: self.now(),
            seen_at: self.now(),
            expires_at: self.now().plus(SIGN_IN_TTL),
        };
        self.store.insert_session(&session).await.unwrap();
        session
    }

    async fn rows(&self) -> Vec<ConsentRow> {
        self.consents.list(&alice()).await.unwrap()
    }
}

fn until_sign_out(session: &Session) -> Choice {
    Choice::Session {
        sign_in: session.sign_in,
        end: session.expires_at,
    }
}

#[tokio::test]
async fn it_holds_until_its_user_signs_out_there_and_ends_with_its_record() {
    let world = World::new().await;
    let (here, there) = (
        world.browser("here", "alice", "one").await,
        world.browser("there", "alice", "two").await,
    );
    let decided = world
        .given(&notes(), &[(WRITE, until_sign_out(&here))])
        .await;
    let row = &world.rows().await[0];
    assert_eq!(
        (row.scope, row.sign_in),
        (Scope::Session, Some(here.sign_in))
    );
    assert_eq!(row.expires_at, here.expires_at);
    for _ in 0..3 {
        assert!(world.confirm(json!({}), &notes()).await.is_ok());
    }
    // The end of another sign-in, of the same user or of another, ends nothing of it.
    let bob = world.browser("bobs", "bob", "one").await;
    for other in [&there, &bob] {
        let out = world.consents.sign_out(other, false, world.now()).await;
        assert!(out.unwrap());
        assert!(world.confirm(json!({}), &notes()).await.is_ok());
    }
    let now = world.now();
    assert!(world.consents.sign_out(&here, false, now).await.unwrap());
    asked(world.confirm(json!({}), &notes()).await);
    let row = &world.rows().await[0];
    assert_eq!(row.state, ConsentState::Revoked);
    assert_eq!(row.evidence.ended_by, Some(Ender::SignOut));
    let told = world.log("consent.revoked").await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].record.facts["by"], "sign-out");
    assert_eq!(told[0].record.consents, [decided.records[0].to_string()]);
    assert_eq!(row.evidence.ended_seq, Some(told[0].seq));
    assert_eq!(as_json(row, now)["ended_by"], "sign-out");
    // Nobody is signed out twice.
    assert!(!world.consents.sign_out(&here, false, now).await.unwrap());
    assert_eq!(world.log("sign-in.ended").await.len(), 3);
    verify(world.store.as_ref()).await.unwrap();
}

#[tokio::test]
async fn whoever_cannot_be_signed_out_is_not_told_to_have_been_before() {
    let world = World::new().await;
    let here = world.browser("here", "alice", "one").await;
    sqlx::query(
        "CREATE TRIGGER stays BEFORE DELETE ON browser_session BEGIN SELECT RAISE(IGNORE); END",
    )
    .execute(world.store.writer())
    .await
    .unwrap();
    let now = world.now();
    let refused = world.consents.sign_out(&here, false, now).await;
    assert!(matches!(refused, Err(TicketError::Unknown)), "{refused:?}");
    let session = world.store.session(here.id_hash, now).await.unwrap();
    assert!(session.is_some());
}

#[tokio::test]
async fn signing_out_everywhere_ends_those_of_all_browsers_and_nothing_else() {
    let world = World::new().await;
    let here = world.browser("here", "alice", "one").await;
    let there = world.browser("there", "alice", "two").await;
    let other = |name: &str, capability: &str| tool(name, &[("need", &[capability], false)]);
    let (reads, page) = (other("reads", READ), other("page", GET));
    world
        .given(&notes(), &[(WRITE, until_sign_out(&here))])
        .await;
    world.given(&reads, &[(READ, until_sign_out(&there))]).await;
    world.given(&page, &[(GET, long())]).await;
    let now = world.now();
    assert!(world.consents.sign_out(&here, true, now).await.unwrap());
    asked(world.confirm(json!({}), &notes()).await);
    asked(world.confirm(json!({}), &reads).await);
    assert!(world.confirm(json!({}), &page).await.is_ok());
    let session = world.store.session(there.id_hash, now).await.unwrap();
    assert!(session.is_none());
}

#[tokio::test]
async fn a_running_call_is_stopped_by_its_users_sign_out() {
    let world = World::new().await;
    let here = world.browser("here", "alice", "one").await;
    world
        .given(&notes(), &[(WRITE, until_sign_out(&here))])
        .await;
    let consent = world.confirm(json!({}), &notes()).await.unwrap();
    let grants = crate::grant::GrantSet::from(consent);
    let standing = grants.standing().clone();
    assert!(!standing.is_lost());
    let ends = tokio::spawn(async move {
        grants.standing().lost().await;
        drop(grants);
    });
    let now = world.now();
    assert!(world.consents.sign_out(&here, false, now).await.unwrap());
    assert!(standing.is_lost());
    ends.await.unwrap();
}

#[tokio::test]
async fn it_ends_with_the_session_in_which_it_was_given_however_that_goes_on() {
    let world = World::new().await;
    let here = world.browser("here", "alice", "one").await;
    world
        .given(&notes(), &[(WRITE, until_sign_out(&here))])
        .await;
    world.clock.advance(SIGN_IN_TTL / 2);
    // Signed in again in the same browser, which prolongs nothing that was agreed to.
    let again = world.browser("again", "alice", "one").await;
    world
        .clock
        .advance(SIGN_IN_TTL / 2 - Duration::from_millis(1));
    assert!(world.confirm(json!({}), &notes()).await.is_ok());
    world.clock.advance(Duration::from_millis(1));
    asked(world.confirm(json!({}), &notes()).await);
    assert_eq!(standing(&world.rows().await[0], world.now()), "expired");
    // What is over is not told to have ended with the sign-in.
    let now = world.now();
    assert!(world.consents.sign_out(&again, false, now).await.unwrap());
    assert!(world.log("consent.revoked").await.is_empty());
}

#[tokio::test]
async fn whoever_signed_out_meanwhile_has_allowed_nothing() {
    let world = World::new().await;
    let here = world.browser("here", "alice", "one").await;
    let ticket = world.ticket(&notes()).await;
    let now = world.now();
    assert!(world.consents.sign_out(&here, false, now).await.unwrap());
    let late = world
        .answer(&ticket, &[(WRITE, until_sign_out(&here))])
        .await;
    assert!(matches!(late, Err(TicketError::SignedOut)), "{late:?}");
    assert!(world.rows().await.is_empty());
    // Nor does the sign-in of another serve, whatever the form says.
    let bob = world.browser("bobs", "bob", "two").await;
    let foreign = world
        .answer(&ticket, &[(WRITE, until_sign_out(&bob))])
        .await;
    assert!(
        matches!(foreign, Err(TicketError::SignedOut)),
        "{foreign:?}"
    );
    assert!(world.rows().await.is_empty());
}

#[tokio::test]
async fn a_suspended_one_ends_with_its_sign_in_and_does_not_come_back() {
    let world = World::new().await;
    let here = world.browser("here", "alice", "one").await;
    let given = world
        .given(&notes(), &[(WRITE, until_sign_out(&here))])
        .await;
    let other = "other-publisher".parse().unwrap();
    let name = notes().name().clone();
    let now = world.now();
    let suspended = world.consents.suspend_others(&name, &other, now).await;
    assert_eq!(suspended.unwrap(), 1);
    assert!(world.consents.sign_out(&here, false, now).await.unwrap());
    let id = given.records[0];
    let row = world.store.consent(&alice(), id).await.unwrap().unwrap();
    assert_eq!(row.state, ConsentState::Revoked);
    assert!(!world.consents.resume(&row, now).await.unwrap());
}

#[tokio::test]
async fn the_rules_bound_it_as_any_other() {
    let world = World::new().await;
    let here = world.browser("here", "alice", "one").await;
    world
        .given(&notes(), &[(WRITE, until_sign_out(&here))])
        .await;
    let confirm = async |bounds: &str| {
        let permit = bounded_permit(bounds, &caller(json!({})), &notes());
        let now = world.now();
        world.consents.confirm(permit, &arguments(), now).await
    };
    assert!(confirm("@max_consent(\"P1D\")").await.is_ok());
    let Err(ConsentError::Needed(needed)) = confirm("@max_consent(\"once\")").await else {
        panic!("it is asked about");
    };
    let session = until_sign_out(&here);
    let refused = world.answer(&needed.ticket, &[(WRITE, session)]).await;
    assert!(
        matches!(refused, Err(TicketError::OnceOnly { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn it_serves_the_build_that_was_shown_where_it_writes() {
    let world = World::new().await;
    let here = world.browser("here", "alice", "one").await;
    world
        .given(&notes(), &[(WRITE, until_sign_out(&here))])
        .await;
    let other = changed(&[("notes", &[WRITE], false)], |manifest| {
        manifest.version = "2.0.0".to_owned();
    });
    asked(world.confirm(json!({}), &other).await);
    asked(
        world
            .confirm(json!({"client_id": "client-2"}), &notes())
            .await,
    );
    asked(world.confirm(json!({"sub": "bob"}), &notes()).await);
}
