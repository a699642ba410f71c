mod cost;
mod rest;

use std::sync::Arc;

use super::super::block::Word;
use super::super::{
    Chained, Change, ConsentState, Decision, Ender, Evidence, Linked, Pinned, Scope, TicketState,
    row_id, testing::store,
};
use super::*;
use crate::capability::Tier;
use crate::ids::User;

const NOW: Timestamp = Timestamp(1_000_000);
const LATER: Timestamp = Timestamp(2_000_000);

/// A record that says only where it stands, and of which consents it tells.
#[derive(Default)]
struct Mark(Vec<String>);

impl Chained for Mark {
    fn behind(&mut self, head: &Head) -> Result<Linked, serde_json::Error> {
        let text = serde_json::to_string(&(head.seq + 1, head.hash))?;
        Ok(Linked {
            head: Head {
                log_id: head.log_id,
                seq: head.seq + 1,
                hash: Digest::of(text.as_bytes()),
            },
            text,
        })
    }

    fn consents(&self) -> &[String] {
        &self.0
    }

    fn at(&self) -> Timestamp {
        NOW
    }

    fn words(&self, each: &mut dyn FnMut(Word<'_>)) {
        self.0.iter().for_each(|id| each(Word::Consent(id)));
    }
}

fn key() -> ConsentKey {
    ConsentKey {
        tenant: "acme".parse().unwrap(),
        user: user("alice"),
        client: "client-1".parse().unwrap(),
        tool: "notes".parse().unwrap(),
        publisher: "example".parse().unwrap(),
    }
}

fn user(name: &str) -> User {
    User {
        issuer: "https://as.test".parse().unwrap(),
        subject: name.parse().unwrap(),
    }
}

fn who(name: &str) -> TenantUser {
    TenantUser {
        tenant: "acme".parse().unwrap(),
        user: user(name),
    }
}

fn pinned() -> Pinned {
    Pinned {
        component: Digest::of(b"component"),
        definition: Digest::of(b"definition"),
        manifest: Digest::of(b"manifest"),
    }
}

fn consent(scope: Scope) -> ConsentRow {
    ConsentRow {
        id: row_id(NOW),
        key: key(),
        pinned: pinned(),
        capability: "files write notes".parse().unwrap(),
        tier: Tier::T2,
        scope,
        sign_in: None,
        state: ConsentState::Active,
        arguments: None,
        ticket: Digest::of(b"ticket"),
        ui: Digest::of(b"page"),
        acr: Some("pwd".to_owned()),
        auth_time: Some(NOW),
        decided_at: NOW,
        not_before: None,
        expires_at: LATER,
        uses_max: None,
        uses: 0,
        last_used_at: None,
        idle_expires_at: None,
        channel: super::super::Channel::Page,
        ended_at: None,
        evidence: Evidence::default(),
        seen: None,
    }
}

fn ticket(id: &[u8]) -> TicketRow {
    let id_hash = Digest::of(id);
    let mut nonce = [0; 16];
    nonce.copy_from_slice(&id_hash.as_bytes()[..16]);
    TicketRow {
        id_hash,
        nonce,
        key: key(),
        pinned: pinned(),
        question: Digest::of(b"question"),
        arguments: Digest::of(b"{}"),
        shown: "{}".to_owned(),
        state: TicketState::Open,
        created_at: NOW,
        expires_at: LATER,
    }
}

/// Appends one mark for each of these.
async fn append(
    store: &SqliteStore,
    changes: impl IntoIterator<Item = Option<Change>>,
) -> Vec<Applied> {
    let changes: Vec<_> = changes.into_iter().collect();
    for change in changes.iter().flatten() {
        store.ready(change).await.unwrap();
    }
    let (mut marks, mut drafts): (Vec<Mark>, Vec<_>) = changes
        .into_iter()
        .map(|change| (Mark::default(), change))
        .unzip();
    let mut drafts: Vec<Draft<'_>> = marks
        .iter_mut()
        .zip(drafts.drain(..))
        .map(|(mark, change)| Draft {
            change,
            records: vec![mark as &mut dyn Chained],
        })
        .collect();
    store.append(&mut drafts).await.unwrap()
}

async fn change(store: &SqliteStore, change: Change) -> Applied {
    append(store, [Some(change)]).await.remove(0)
}

async fn ask(store: &SqliteStore, id: &[u8]) -> Applied {
    let ticket = Box::new(ticket(id));
    change(
        store,
        Change::OpenTicket {
            ticket,
            definition: "{}".to_owned(),
            open_max: 3,
        },
    )
    .await
}

async fn decide(store: &SqliteStore, id: &[u8], records: Vec<ConsentRow>) -> Applied {
    let decision = Decision {
        ticket: Digest::of(id),
        who: who("alice"),
        at: NOW,
        allowed: true,
        records,
        client: None,
    };
    change(store, Change::Decide(decision)).await
}

#[tokio::test]
async fn a_question_is_answered_once_and_only_by_its_user() {
    let store = store().await;
    assert!(matches!(ask(&store, b"t").await, Applied::Done));
    let foreign = Decision {
        ticket: Digest::of(b"t"),
        who: who("bob"),
        at: NOW,
        allowed: true,
        records: vec![consent(Scope::Until)],
        client: None,
    };
    let late = Decision {
        who: who("alice"),
        at: LATER,
        ..foreign.clone()
    };
    for refused in [foreign, late] {
        let refused = change(&store, Change::Decide(refused)).await;
        assert!(matches!(refused, Applied::Refused));
    }
    assert!(store.live_consents(&key(), NOW).await.unwrap().is_empty());

    let record = consent(Scope::Until);
    let first = decide(&store, b"t", vec![record.clone()]).await;
    assert!(matches!(first, Applied::Done));
    let second = decide(&store, b"t", vec![consent(Scope::Until)]).await;
    assert!(matches!(second, Applied::Refused));
    let id = record.id;
    assert_eq!(store.live_consents(&key(), NOW).await.unwrap(), [record]);
    assert!(store.consent(&who("alice"), id).await.unwrap().is_some());
    assert!(store.consent(&who("bob"), id).await.unwrap().is_none());
    assert!(store.live_consents(&key(), LATER).await.unwrap().is_empty());
    // The question, the answer; nothing of what was refused.
    assert_eq!(store.head().await.unwrap().seq, 2);
}

#[tokio::test]
async fn the_same_question_is_asked_once_and_a_user_has_few_open() {
    let store = store().await;
    assert!(matches!(ask(&store, b"t").await, Applied::Done));
    let Applied::Existing(same) = ask(&store, b"other").await else {
        panic!("the question is open");
    };
    assert_eq!(*same, ticket(b"t"));
    for (n, expected) in [(0_u8, true), (1, true), (2, false)] {
        let mut ticket = Box::new(ticket(&[n]));
        ticket.question = Digest::of(&[n]);
        let asked = change(
            &store,
            Change::OpenTicket {
                ticket,
                definition: "{}".to_owned(),
                open_max: 3,
            },
        )
        .await;
        assert_eq!(matches!(asked, Applied::Done), expected);
    }
}

#[tokio::test]
async fn a_later_decision_takes_the_place_of_an_earlier_one() {
    let store = store().await;
    ask(&store, b"t").await;
    let first = consent(Scope::Until);
    decide(&store, b"t", vec![first.clone()]).await;
    ask(&store, b"u").await;
    let mut denial = consent(Scope::Until);
    denial.state = ConsentState::Denied;
    decide(&store, b"u", vec![denial.clone()]).await;
    denial.evidence.supersedes = Some(first.id);
    assert_eq!(store.live_consents(&key(), NOW).await.unwrap(), [denial]);
    let all = store
        .consents_before(&who("alice"), None, 10)
        .await
        .unwrap();
    assert!(all.iter().any(|one| one.state == ConsentState::Superseded));
    assert!(
        store
            .consents_before(&who("bob"), None, 10)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn consents_for_one_call_are_consumed_all_or_none() {
    let store = store().await;
    ask(&store, b"t").await;
    let once = consent(Scope::Once);
    decide(&store, b"t", vec![once.clone()]).await;
    let consume = |tenant: &str, ids: Vec<Uuid>| Change::Consume {
        tenant: tenant.parse().unwrap(),
        ids,
        at: NOW,
        idle_until: LATER,
    };
    for refused in [
        consume("other", vec![once.id]),
        consume("acme", vec![once.id, row_id(NOW)]),
    ] {
        assert!(matches!(change(&store, refused).await, Applied::Refused));
    }
    assert_eq!(store.live_consents(&key(), NOW).await.unwrap().len(), 1);
    let used = change(&store, consume("acme", vec![once.id])).await;
    assert!(matches!(used, Applied::Done));
    let again = change(&store, consume("acme", vec![once.id])).await;
    assert!(matches!(again, Applied::Refused));
}

#[tokio::test]
async fn only_its_user_revokes_a_consent() {
    let store = store().await;
    ask(&store, b"t").await;
    let record = consent(Scope::Until);
    decide(&store, b"t", vec![record.clone()]).await;
    let revoke = |name: &str| Change::Revoke {
        who: who(name),
        id: record.id,
        at: NOW,
        by: Ender::User,
        reason: None,
    };
    assert!(matches!(
        change(&store, revoke("bob")).await,
        Applied::Refused
    ));
    assert!(matches!(
        change(&store, revoke("alice")).await,
        Applied::Done
    ));
    assert!(matches!(
        change(&store, revoke("alice")).await,
        Applied::Refused
    ));
    assert!(store.live_consents(&key(), NOW).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_sign_in_is_taken_once_and_in_time() {
    let store = store().await;
    let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
    store.insert_flow(a, "data", LATER).await.unwrap();
    store.insert_flow(b, "data", LATER).await.unwrap();
    assert_eq!(
        store.take_flow(a, NOW).await.unwrap().as_deref(),
        Some("data")
    );
    assert_eq!(store.take_flow(a, NOW).await.unwrap(), None);
    assert_eq!(store.take_flow(b, LATER).await.unwrap(), None);
}

#[tokio::test]
async fn a_session_lives_until_it_expires_or_ends() {
    let store = store().await;
    let session = Session {
        id_hash: Digest::of(b"cookie"),
        sign_in: Digest::of(b"sign-in"),
        who: who("alice"),
        auth_time: Some(NOW),
        acr: None,
        amr: vec!["otp".to_owned(), "pwd".to_owned()],
        created_at: NOW,
        seen_at: NOW,
        expires_at: LATER,
    };
    store.insert_session(&session).await.unwrap();
    let hash = session.id_hash;
    assert_eq!(store.session(hash, NOW).await.unwrap(), Some(session));
    assert_eq!(store.session(hash, LATER).await.unwrap(), None);
    store.see_session(hash, LATER).await.unwrap();
    let seen = store.session(hash, NOW).await.unwrap().unwrap();
    assert_eq!(seen.seen_at, LATER);
    assert!(store.delete_session(hash).await.unwrap());
    assert!(!store.delete_session(hash).await.unwrap());
    assert_eq!(store.session(hash, NOW).await.unwrap(), None);
}

#[tokio::test]
async fn a_nonce_is_used_once_per_tenant_however_many_try() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(
        SqliteStore::open(&folder.path().join("s.db"))
            .await
            .unwrap(),
    );
    let nonce = Digest::of(b"nonce");
    let tries = (0..32).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let tenant = "acme".parse().unwrap();
            store.consume_nonce(&tenant, nonce, LATER).await.unwrap()
        })
    });
    let mut won = 0;
    for one in tries.collect::<Vec<_>>() {
        won += u32::from(one.await.unwrap());
    }
    assert_eq!(won, 1);
    let other = "other".parse().unwrap();
    assert!(store.consume_nonce(&other, nonce, LATER).await.unwrap());
    assert_eq!(store.prune(LATER).await.unwrap(), 2);
}

#[tokio::test]
async fn a_secret_is_made_once_per_tenant_and_outlives_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let acme = "acme".parse().unwrap();
    let first = SqliteStore::open(&path).await.unwrap();
    let own = first.secret(None, "seal", [1; 32].into()).await.unwrap();
    assert_eq!(*own, [1; 32]);
    let of_acme = first
        .secret(Some(&acme), "seal", [2; 32].into())
        .await
        .unwrap();
    assert_eq!(*of_acme, [2; 32]);
    first.close().await;
    let second = SqliteStore::open(&path).await.unwrap();
    let own = second.secret(None, "seal", [3; 32].into()).await.unwrap();
    assert_eq!(*own, [1; 32]);
}

#[tokio::test]
async fn two_processes_share_one_log_without_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let stores = [
        SqliteStore::open(&path).await.unwrap(),
        SqliteStore::open(&path).await.unwrap(),
    ];
    let mut tasks = Vec::new();
    for store in stores.clone() {
        tasks.push(tokio::spawn(async move {
            for _ in 0..20 {
                append(&store, [None, None]).await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let rows = stores[0].audit_from(1, 1000).await.unwrap();
    assert_eq!(rows.len(), 80);
    assert!(rows.iter().zip(1..).all(|(row, seq)| row.seq == seq));
    assert_eq!(stores[1].head().await.unwrap().seq, 80);
}

#[tokio::test]
async fn what_is_appended_behind_a_head_that_moved_is_appended_behind_the_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let one = SqliteStore::open(&path).await.unwrap();
    let other = SqliteStore::open(&path).await.unwrap();
    let mut expected = 0;
    for count in [1_u64, 64, 130] {
        append(&one, [None]).await;
        append(&other, (0..count).map(|_| None)).await;
        let noted = change(&one, Change::Closed { before: 1 }).await;
        assert!(matches!(noted, Applied::Done), "{noted:?}");
        expected += count + 2;
        assert_eq!(one.head().await.unwrap().seq, expected);
    }
    // The same number, another record: the head that this process left is not there any more.
    let text = "UPDATE audit_head SET hash = ?";
    let altered = Digest::of(b"altered").to_string();
    let altered = sqlx::query(text).bind(altered).execute(one.writer());
    altered.await.unwrap();
    append(&one, [None, None]).await;
    let rows = one.audit_from(1, 1000).await.unwrap();
    assert!(
        rows.iter()
            .zip(1..=expected + 2)
            .all(|(row, seq)| row.seq == seq)
    );
    assert_eq!(rows.len() as u64, expected + 2);
    assert_eq!(one.head().await.unwrap().hash, rows.last().unwrap().hash);
}

#[cfg(unix)]
#[tokio::test]
async fn only_its_owner_reads_the_state() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("s.db"))
        .await
        .unwrap();
    append(&store, [None]).await;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}", entry.file_name());
    }
}

#[tokio::test]
async fn a_later_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let store = SqliteStore::open(&path).await.unwrap();
    sqlx::query("INSERT INTO state_format (version) VALUES (99)")
        .execute(store.writer())
        .await
        .unwrap();
    store.close().await;
    let later = SqliteStore::open(&path).await;
    assert!(matches!(later, Err(StoreError::Newer { found: 99, .. })));
}

#[tokio::test]
async fn the_log_is_only_appended_to() {
    let store = store().await;
    append(&store, [None]).await;
    for statement in ["DELETE FROM audit", "UPDATE audit SET record = ''"] {
        let refused = sqlx::query(statement).execute(store.writer()).await;
        assert!(refused.unwrap_err().to_string().contains("append-only"));
    }
}
