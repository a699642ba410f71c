//! What becomes of a consent when its client changes: one test for each row of the table in `docs/consent.md`.

mod documents;
mod notices;

use super::*;
use crate::clients::testing::Shelf;
use crate::clients::{Clients, Unread};
use crate::consent::{AskingClient, ClientChanged};
use crate::limits::{CLIENT_GONE_AFTER, CLIENT_READ_EVERY_MIN, CLIENT_TTL_MAX};
use crate::store::{ClientKind, Ender};

const ID: &str = "https://client.example/meta.json";
const HOME: &str = "https://client.example/back";
const READS: &[(&str, &[&str], bool)] = &[("notes", &[READ], false)];

/// A world in which clients describe themselves.
async fn described() -> (World, Arc<Shelf>) {
    let shelf = Arc::new(Shelf::default());
    shelf.describe(ID, "Example", &[HOME]);
    let mut world = World::new().await;
    world.consents = world.consents.with_clients(shelf.clients(&[]));
    (world, shelf)
}

fn by(sub: &str, tenant: &str) -> Value {
    json!({"sub": sub, "tenant": tenant, "client_id": ID})
}

fn of_alice() -> Value {
    by("alice", "default")
}

fn reads() -> Tool {
    tool("notes", READS)
}

/// The question that a call with these claims raises, as its user sees it.
async fn asked_of(world: &World, claims: &Value, tool: &Tool) -> (TicketId, Question) {
    let ticket = match world.confirm(claims.clone(), tool).await {
        Err(ConsentError::Needed(needed)) => needed.ticket,
        other => panic!("{other:?}"),
    };
    let who = caller(claims.clone()).who();
    let question = world.consents.question(&ticket, &who, world.now()).await;
    (ticket, question.unwrap())
}

/// Asks and allows for long. The record of the first capability.
async fn allowed(world: &World, claims: &Value, tool: &Tool) -> Uuid {
    let (ticket, question) = asked_of(world, claims, tool).await;
    let answers: Vec<_> = question
        .asked
        .iter()
        .map(|asked| Answer {
            capability: asked.capability.clone(),
            choice: long(),
        })
        .collect();
    let (who, sign_in) = (caller(claims.clone()).who(), SignInFacts::default());
    let decided = world
        .consents
        .decide(&ticket, &who, &answers, page(), &sign_in, world.now());
    decided.await.unwrap().records[0]
}

async fn record(world: &World, claims: &Value, id: Uuid) -> ConsentRow {
    let who = caller(claims.clone()).who();
    world.store.consent(&who, id).await.unwrap().unwrap()
}

/// Lets a reading that was begun beside a call come to its end.
async fn read_beside(shelf: &Shelf, before: usize) {
    for _ in 0..500 {
        if shelf.asked() > before {
            // Not only asked, but also acted upon.
            tokio::time::sleep(Duration::from_millis(50)).await;
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("nobody read the document");
}

fn asking(question: &Question) -> &AskingClient {
    question.asking.as_ref().unwrap()
}

#[tokio::test]
async fn the_record_says_how_well_its_client_was_known_and_where_sign_ins_led_back_to() {
    let (mut world, shelf) = described().await;
    let clients = shelf.clients(&[("cli", "Our own")]);
    world.consents = world.consents.with_clients(clients);
    let claims = |client: &str| json!({"client_id": client});
    for (client, kind, hosts, known) in [
        (
            ID,
            ClientKind::MetadataDocument,
            &["client.example"][..],
            true,
        ),
        ("cli", ClientKind::PreRegistered, &[], true),
        ("other", ClientKind::Registered, &[], false),
        ("https://gone.example/", ClientKind::Registered, &[], false),
    ] {
        let id = allowed(&world, &claims(client), &reads()).await;
        let row = record(&world, &claims(client), id).await;
        let facts = row.evidence.client.unwrap();
        assert_eq!(facts.kind, kind, "{client}");
        assert_eq!(facts.redirect_hosts, hosts, "{client}");
        assert_eq!(facts.metadata.is_some(), known, "{client}");
    }
    let asked = world.log("consent.asked").await;
    let unread: Vec<_> = asked
        .iter()
        .filter_map(|one| one.record.facts.get("client_unread"))
        .collect();
    assert_eq!(unread, ["too-slow"]);
    let given = &world.log("consent.given").await[0].record.facts;
    assert_eq!(given["client_kind"], "metadata-document");
    assert_eq!(given["client_metadata"].as_str().unwrap().len(), 64);
}

#[tokio::test]
async fn other_redirect_hosts_suspend_the_consents_of_all_users_in_every_tenant_also_for_running_calls()
 {
    let (world, shelf) = described().await;
    let mut ids = Vec::new();
    for (sub, tenant) in [("alice", "default"), ("bob", "default"), ("alice", "other")] {
        let claims = by(sub, tenant);
        ids.push((claims.clone(), allowed(&world, &claims, &reads()).await));
    }
    let other = json!({"client_id": "other-client"});
    let spared = allowed(&world, &other, &reads()).await;
    let running = world.confirm(of_alice(), &reads()).await.unwrap();
    let grants = crate::grant::GrantSet::from(running);
    let standing = grants.standing().clone();
    let ends = tokio::spawn(async move {
        grants.standing().lost().await;
        drop(grants);
    });
    shelf.describe(ID, "Example", &["https://evil.example/back"]);
    world.clock.advance(CLIENT_TTL_MAX);
    // What is stale is read beside the call, which goes on with what was known.
    let before = shelf.asked();
    assert!(world.confirm(by("bob", "default"), &reads()).await.is_ok());
    read_beside(&shelf, before).await;
    assert!(standing.is_lost());
    ends.await.unwrap();
    for (claims, id) in ids {
        let row = record(&world, &claims, id).await;
        assert_eq!(row.state, ConsentState::Suspended);
        assert_eq!(row.evidence.ended_by, Some(Ender::Client));
        assert!(row.evidence.ended_seq.is_some());
        let (_, question) = asked_of(&world, &claims, &reads()).await;
        let ClientChanged { before, after, .. } = asking(&question).changed.clone().unwrap();
        assert_eq!(before.redirect_hosts, ["client.example"]);
        assert_eq!(before.name.as_deref(), Some("Example"));
        assert_eq!(after.redirect_hosts, ["evil.example"]);
    }
    assert_eq!(
        record(&world, &other, spared).await.state,
        ConsentState::Active
    );
    let log = world.log("consent.suspended").await;
    assert_eq!(log.len(), 3);
    assert_eq!(log[0].record.facts["reason"], "redirect-hosts");
    assert_eq!(
        log[0].record.facts["redirect_hosts"],
        json!(["evil.example"])
    );
    verify(world.store.as_ref()).await.unwrap();
}

#[tokio::test]
async fn the_same_redirect_hosts_suspend_nothing() {
    let (world, shelf) = described().await;
    let id = allowed(&world, &of_alice(), &reads()).await;
    world.clock.advance(CLIENT_TTL_MAX);
    let before = shelf.asked();
    assert!(world.confirm(of_alice(), &reads()).await.is_ok());
    read_beside(&shelf, before).await;
    assert!(world.confirm(of_alice(), &reads()).await.is_ok());
    let row = record(&world, &of_alice(), id).await;
    assert_eq!(
        (row.state, row.evidence.client_seen),
        (ConsentState::Active, None)
    );
}

#[tokio::test]
async fn other_hosts_that_a_question_finds_suspend_at_once_and_a_call_between_is_asked() {
    let (world, shelf) = described().await;
    let id = allowed(&world, &of_alice(), &reads()).await;
    shelf.describe(ID, "Example", &["https://evil.example/back"]);
    world.clock.advance(CLIENT_READ_EVERY_MIN);
    // A question about another tool reads the document.
    asked_of(&world, &of_alice(), &tool("other", READS)).await;
    assert_eq!(
        record(&world, &of_alice(), id).await.state,
        ConsentState::Suspended
    );
    asked_of(&world, &of_alice(), &reads()).await;
}

#[tokio::test]
async fn another_name_goes_on_for_what_reads_with_a_notice_and_asks_again_for_what_writes() {
    let (world, shelf) = described().await;
    let tools = [reads(), tool("writes", &[("notes", &[WRITE], false)])];
    let mut ids = Vec::new();
    for tool in &tools {
        ids.push(allowed(&world, &of_alice(), tool).await);
    }
    shelf.describe(ID, "Another", &[HOME]);
    world.clock.advance(CLIENT_TTL_MAX);
    let before = shelf.asked();
    assert!(world.confirm(of_alice(), &tools[0]).await.is_ok());
    read_beside(&shelf, before).await;
    for _ in 0..2 {
        assert!(world.confirm(of_alice(), &tools[0]).await.is_ok());
    }
    let row = record(&world, &of_alice(), ids[0]).await;
    let changed = world.consents.client_changed(&row).await.unwrap().unwrap();
    assert_eq!(changed.before.name.as_deref(), Some("Example"));
    assert_eq!(changed.after.name.as_deref(), Some("Another"));
    assert_eq!(world.log("consent.client-changed").await.len(), 1);
    let (_, question) = asked_of(&world, &of_alice(), &tools[1]).await;
    let changed = asking(&question).changed.clone().unwrap();
    assert_eq!(changed.after.name.as_deref(), Some("Another"));
    // It is not suspended: when the client is what it was, it holds again.
    assert_eq!(
        record(&world, &of_alice(), ids[1]).await.state,
        ConsentState::Active
    );
    shelf.describe(ID, "Example", &[HOME]);
    world.clock.advance(TICKET_TTL);
    assert!(world.confirm(of_alice(), &tools[1]).await.is_ok());
}

#[tokio::test]
async fn what_was_allowed_while_nothing_could_be_read_is_asked_again_to_write_when_it_can_be() {
    let (world, shelf) = described().await;
    shelf.put(ID, 404, "");
    let writes = tool("writes", &[("notes", &[WRITE], false)]);
    allowed(&world, &of_alice(), &writes).await;
    allowed(&world, &of_alice(), &reads()).await;
    // As long as nothing can be read, nothing is different.
    world.clock.advance(CLIENT_READ_EVERY_MIN);
    let before = shelf.asked();
    assert!(world.confirm(of_alice(), &writes).await.is_ok());
    read_beside(&shelf, before).await;
    shelf.describe(ID, "Example", &[HOME]);
    world.clock.advance(CLIENT_READ_EVERY_MIN);
    let before = shelf.asked();
    assert!(world.confirm(of_alice(), &reads()).await.is_ok());
    read_beside(&shelf, before).await;
    assert!(world.confirm(of_alice(), &reads()).await.is_ok());
    let (_, question) = asked_of(&world, &of_alice(), &writes).await;
    assert_eq!(asking(&question).name.as_deref(), Some("Example"));
    let changed = asking(&question).changed.clone().unwrap();
    assert_eq!(changed.before.kind, ClientKind::Registered);
}

#[tokio::test]
async fn a_call_that_raises_no_question_waits_for_no_document() {
    let (world, shelf) = described().await;
    allowed(&world, &of_alice(), &reads()).await;
    world.clock.advance(CLIENT_TTL_MAX);
    shelf.think(Duration::from_secs(30));
    let calls = async {
        for _ in 0..5 {
            assert!(world.confirm(of_alice(), &reads()).await.is_ok());
        }
    };
    tokio::time::timeout(Duration::from_secs(10), calls)
        .await
        .unwrap();
    // The same question once more waits for none either.
    let (world, shelf) = described().await;
    asked_of(&world, &of_alice(), &reads()).await;
    world.clock.advance(CLIENT_READ_EVERY_MIN);
    shelf.think(Duration::from_secs(30));
    let (claims, tool) = (of_alice(), reads());
    let again = asked_of(&world, &claims, &tool);
    tokio::time::timeout(Duration::from_secs(10), again)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_denial_holds_whatever_becomes_of_the_client() {
    let (world, shelf) = described().await;
    let (ticket, _) = asked_of(&world, &of_alice(), &reads()).await;
    let (who, sign_in) = (caller(of_alice()).who(), SignInFacts::default());
    let decided = world
        .consents
        .decide(&ticket, &who, &[], page(), &sign_in, world.now());
    decided.await.unwrap();
    shelf.describe(ID, "Example", &["https://evil.example/back"]);
    world.clock.advance(CLIENT_READ_EVERY_MIN);
    asked_of(&world, &of_alice(), &tool("other", READS)).await;
    assert!(matches!(
        world.confirm(of_alice(), &reads()).await,
        Err(ConsentError::Denied { .. })
    ));
}

#[tokio::test]
async fn the_operators_word_holds_without_a_document_and_without_it_what_writes_is_asked_again() {
    let (mut world, shelf) = described().await;
    let named = |name: &str| shelf.clients(&[(ID, name)]);
    world.consents = world.consents.with_clients(named("Ours"));
    let writes = tool("writes", &[("notes", &[WRITE], false)]);
    let id = allowed(&world, &of_alice(), &writes).await;
    world.consents = world.consents.with_clients(named("Ours, renamed"));
    assert!(world.confirm(of_alice(), &writes).await.is_ok());
    let row = record(&world, &of_alice(), id).await;
    let changed = world.consents.client_changed(&row).await.unwrap().unwrap();
    assert_eq!(changed.after.name.as_deref(), Some("Ours, renamed"));
    assert_eq!(shelf.asked(), 0);
    world.consents = world.consents.with_clients(shelf.clients(&[]));
    assert!(
        world.confirm(of_alice(), &writes).await.is_ok(),
        "nobody looked yet"
    );
    read_beside(&shelf, 0).await;
    asked_of(&world, &of_alice(), &writes).await;
    world.consents = world.consents.with_clients(Arc::new(Clients::none()));
    asked_of(&world, &of_alice(), &writes).await;
}

#[tokio::test]
async fn what_was_not_recorded_is_recorded_when_it_is_used_and_counts_from_then_on() {
    let (world, shelf) = described().await;
    let id = allowed(&world, &of_alice(), &reads()).await;
    sqlx::query(
        "UPDATE consent SET client_kind = NULL, client_hosts = NULL, client_metadata = NULL",
    )
    .execute(world.store.writer())
    .await
    .unwrap();
    assert!(world.confirm(of_alice(), &reads()).await.is_ok());
    let row = record(&world, &of_alice(), id).await;
    assert_eq!(row.evidence.client, None);
    assert_eq!(
        row.evidence.client_now().unwrap().redirect_hosts,
        ["client.example"]
    );
    // Nothing is known to be different.
    assert_eq!(world.consents.client_changed(&row).await.unwrap(), None);
    shelf.describe(ID, "Example", &["https://evil.example/back"]);
    world.clock.advance(CLIENT_TTL_MAX);
    let before = shelf.asked();
    assert!(world.confirm(of_alice(), &reads()).await.is_ok());
    read_beside(&shelf, before).await;
    assert_eq!(
        record(&world, &of_alice(), id).await.state,
        ConsentState::Suspended
    );
}

#[tokio::test]
async fn a_suspended_consent_is_resumed_only_when_its_client_is_what_it_was() {
    let (world, shelf) = described().await;
    let id = allowed(&world, &of_alice(), &reads()).await;
    shelf.describe(ID, "Example", &["https://evil.example/back"]);
    world.clock.advance(CLIENT_READ_EVERY_MIN);
    asked_of(&world, &of_alice(), &tool("other", READS)).await;
    let row = record(&world, &of_alice(), id).await;
    assert_eq!(row.state, ConsentState::Suspended);
    let is_back = async || {
        world.clock.advance(CLIENT_READ_EVERY_MIN);
        world.consents.client_is_back(&row, world.now()).await
    };
    assert!(!is_back().await);
    shelf.put(ID, 404, "");
    assert!(!is_back().await);
    shelf.describe(ID, "Example", &[HOME]);
    assert!(is_back().await);
    assert!(world.consents.resume(&row, world.now()).await.unwrap());
    assert!(world.confirm(of_alice(), &reads()).await.is_ok());
    // It does not come back by itself.
    let again = allowed(&world, &of_alice(), &tool("third", READS)).await;
    shelf.describe(ID, "Example", &["https://evil.example/back"]);
    world.clock.advance(CLIENT_READ_EVERY_MIN);
    asked_of(&world, &of_alice(), &tool("other", READS)).await;
    shelf.describe(ID, "Example", &[HOME]);
    world.clock.advance(CLIENT_READ_EVERY_MIN);
    asked_of(&world, &of_alice(), &tool("third", READS)).await;
    assert_eq!(
        record(&world, &of_alice(), again).await.state,
        ConsentState::Suspended
    );
}

#[tokio::test]
async fn whoever_programs_against_records_and_receipts_sees_the_client() {
    let (world, _) = described().await;
    let id = allowed(&world, &of_alice(), &reads()).await;
    let row = record(&world, &of_alice(), id).await;
    let client = &as_json(&row, world.now())["client"];
    assert_eq!(client["known"]["kind"], "metadata-document");
    assert_eq!(client["known"]["redirect_hosts"], json!(["client.example"]));
    assert_eq!(
        client["known"]["metadata_digest"].as_str().unwrap().len(),
        64
    );
    assert!(client["since"].is_null());
    let url = "https://mcp.example".parse().unwrap();
    let receipts = Receipts::open(world.store.clone(), &url).await.unwrap();
    let receipt = serde_json::to_value(receipts.of(&row, world.now()).await.unwrap()).unwrap();
    let payload = receipt["payload"].as_str().unwrap();
    use base64::Engine as _;
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(payload)
        .unwrap();
    let said: Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(
        said["consent"]["client"]["redirect_hosts"],
        json!(["client.example"])
    );
}
