//! Bodies of rows under encryption: what the file shows, what serves where, and what becomes of states, keys and tenants.

mod kept;
mod keys;
mod reading;

use std::path::{Path, PathBuf};

use super::super::super::rest::SharedRestKeys;
use super::super::bodies::STATE;
use super::*;
use crate::config::SealConfig;
use crate::limits::{SEALED_KEEP_DEFAULT, SEALED_VALUES_MAX};
use crate::seal::{self, Provider};
use crate::store::Channel;

const CANARY: &str = "canary-7d1f";

/// A folder with a key file.
struct Home(tempfile::TempDir);

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        seal::add_version(&dir.path().join("keys")).unwrap();
        Self(dir)
    }

    fn state(&self) -> PathBuf {
        self.0.path().join("s.db")
    }

    /// As a process that begins now.
    fn keys(&self) -> SharedRestKeys {
        keys_in(&self.0.path().join("keys"))
    }

    async fn open(&self) -> SqliteStore {
        let opened = SqliteStore::open_sealed(&self.state(), self.keys()).await;
        opened.unwrap()
    }

    async fn values(&self) -> SqliteKeyValues {
        let file = SqliteKeyValues::beside(&self.state());
        let opened = SqliteKeyValues::open_sealed(&file, self.keys()).await;
        opened.unwrap()
    }

    /// How often the word stands in the bytes of any file but the one with keys.
    fn found(&self, word: &str) -> usize {
        self.found_bytes(word.as_bytes())
    }

    fn found_bytes(&self, word: &[u8]) -> usize {
        let files = std::fs::read_dir(self.0.path()).unwrap();
        let bytes = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
        let finder = |bytes: Vec<u8>| {
            let windows = bytes.windows(word.len());
            windows.filter(|window| *window == word).count()
        };
        bytes.map(finder).sum()
    }
}

pub(super) fn keys_in(file: &Path) -> SharedRestKeys {
    let config = SealConfig {
        key_file: Some(file.to_owned()),
        vault: None,
        keep: SEALED_KEEP_DEFAULT,
        values_max: SEALED_VALUES_MAX,
        package_values_max: SEALED_VALUES_MAX,
    };
    let provider = Provider::new(&config, None).unwrap();
    Arc::new(seal::Rest::new(Arc::new(provider)))
}

fn agreed() -> ConsentRow {
    let word = |of: &str| Some(format!("{CANARY} {of}"));
    ConsentRow {
        acr: word("acr"),
        evidence: Evidence {
            by: Some(user(CANARY)),
            amr: vec![format!("{CANARY} amr")],
            locale: word("locale"),
            version: word("version"),
            actors: vec![user(&format!("{CANARY}-actor"))],
            policy: Some(Digest::of(b"policy")),
            rules: vec![format!("{CANARY} rule")],
            ..Evidence::default()
        },
        ..consent(Scope::Until)
    }
}

fn session() -> Session {
    Session {
        id_hash: Digest::of(b"cookie"),
        sign_in: Digest::of(b"sign-in"),
        who: who("alice"),
        auth_time: Some(NOW),
        acr: Some(format!("{CANARY} acr")),
        amr: vec![format!("{CANARY} amr")],
        created_at: NOW,
        seen_at: NOW,
        expires_at: LATER,
    }
}

const OWN: [u8; 32] = *b"canary-7d1f canary-7d1f canary-7";

/// One row of every table, with the word in everything that is encrypted.
async fn filled(store: &SqliteStore) -> ConsentRow {
    let shown = format!("\"{CANARY} shown\"");
    let mut open = ticket(b"open");
    open.shown = shown;
    open.question = Digest::of(b"other");
    for ticket in [ticket(b"t"), open] {
        let asked = Change::OpenTicket {
            ticket: Box::new(ticket),
            definition: "{}".to_owned(),
            open_max: 3,
        };
        assert!(matches!(change(store, asked).await, Applied::Done));
    }
    let record = agreed();
    let decided = decide(store, b"t", vec![record.clone()]).await;
    assert!(matches!(decided, Applied::Done));
    let state = Digest::of(b"state");
    let flow = format!("{CANARY} flow");
    store.insert_flow(state, &flow, LATER).await.unwrap();
    store.insert_session(&session()).await.unwrap();
    for tenant in [None, Some(&key().tenant)] {
        let kept = store.secret(tenant, "own", OWN.into()).await.unwrap();
        assert_eq!(*kept, OWN);
    }
    record
}

/// All that was kept is what it was.
async fn is_whole(store: &SqliteStore, record: &ConsentRow) {
    let live = store.live_consents(&key(), NOW).await.unwrap();
    assert_eq!(live, std::slice::from_ref(record));
    let open = store.ticket(Digest::of(b"open")).await.unwrap().unwrap();
    assert_eq!(open.shown, format!("\"{CANARY} shown\""));
    let kept = store.session(session().id_hash, NOW).await.unwrap();
    assert_eq!(kept, Some(session()));
    for tenant in [None, Some(&key().tenant)] {
        let kept = store.secret(tenant, "own", [1; 32].into()).await.unwrap();
        assert_eq!(*kept, OWN);
    }
}

async fn run(store: &SqliteStore, sql: &str) -> u64 {
    let done = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned()));
    done.execute(store.writer()).await.unwrap().rows_affected()
}

#[tokio::test]
async fn nothing_of_a_body_stands_in_a_file_and_everything_comes_back() {
    for sealed in [false, true] {
        let home = Home::new();
        let store = match sealed {
            true => home.open().await,
            false => SqliteStore::open(&home.state()).await.unwrap(),
        };
        let record = filled(&store).await;
        is_whole(&store, &record).await;
        let reason = format!("{CANARY} reason");
        let found = home.found(CANARY);
        assert_eq!(found == 0, sealed, "found {found} times");
        let revoke = Change::Revoke {
            who: who("alice"),
            id: record.id,
            at: NOW,
            by: Ender::Operator,
            reason: Some(reason.clone()),
        };
        assert!(matches!(change(&store, revoke).await, Applied::Done));
        let ended = store
            .consent(&who("alice"), record.id)
            .await
            .unwrap()
            .unwrap();
        assert_eq!(ended.state, ConsentState::Revoked);
        assert_eq!(ended.evidence.end_reason, Some(reason));
        assert_eq!(ended.evidence.rules, record.evidence.rules);
        let taken = store.take_flow(Digest::of(b"state"), NOW).await.unwrap();
        assert_eq!(taken, Some(format!("{CANARY} flow")));
        let again = store.take_flow(Digest::of(b"state"), NOW).await.unwrap();
        assert_eq!(again, None);
        assert_eq!(home.found(CANARY) == 0, sealed);
    }
}

#[tokio::test]
async fn a_body_opens_in_its_own_place_alone() {
    let home = Home::new();
    let store = home.open().await;
    let record = filled(&store).await;
    let mut other = agreed();
    other.key.user = user("bob");
    other.key.client = "client-2".parse().unwrap();
    other.key.publisher = "another".parse().unwrap();
    other.capability = "files read notes".parse().unwrap();
    other.tier = Tier::T1;
    other.channel = Channel::Operator;
    other.ticket = Digest::of(b"open");
    other.arguments = Some(Digest::of(b"arguments"));
    other.not_before = Some(Timestamp(3));
    other.expires_at = Timestamp(LATER.0 + 1);
    other.decided_at = Timestamp(NOW.0 + 1);
    other.uses_max = Some(3);
    other.evidence.refused = true;
    other.evidence.supersedes = Some(record.id);
    let asked = Change::PreConsent {
        record: Box::new(other.clone()),
        definition: "{}".to_owned(),
    };
    assert!(matches!(change(&store, asked).await, Applied::Done));
    let all = ConsentFilter::default();
    assert_eq!(store.consents(&all).await.unwrap().len(), 2);
    let (ours, theirs) = (record.id, other.id);
    for column in [
        "sub",
        "client_id",
        "publisher",
        "capability",
        "tier",
        "channel",
        "ticket",
        "arguments",
        "not_before",
        "expires_at",
        "decided_at",
        "uses_max",
        "refused",
        "body",
        "id",
    ] {
        let mut tx = store.writer().begin().await.unwrap();
        let (from, to) = match column {
            // The other row first: an id is there once.
            "id" => {
                let gone = format!("DELETE FROM consent WHERE id = '{theirs}'");
                sqlx::query(sqlx::AssertSqlSafe(gone))
                    .execute(&mut *tx)
                    .await
                    .unwrap();
                (format!("'{theirs}'"), "id")
            }
            _ => (
                format!("(SELECT {column} FROM consent WHERE id = '{theirs}')"),
                column,
            ),
        };
        let moved = format!("UPDATE consent SET {to} = {from} WHERE id = '{ours}'");
        let done = sqlx::query(sqlx::AssertSqlSafe(moved))
            .execute(&mut *tx)
            .await;
        assert_eq!(done.unwrap().rows_affected(), 1, "{column}");
        let row = sqlx::query(consent_rows!("WHERE id = ? OR id = ?"))
            .bind(ours.to_string())
            .bind(theirs.to_string())
            .fetch_all(&mut *tx)
            .await
            .unwrap();
        let read = store.rest.consents(&row).await;
        assert!(
            matches!(read, Err(StoreError::Damaged("consent"))),
            "{column}"
        );
        tx.rollback().await.unwrap();
    }
    is_whole(&store, &record).await;
    for damage in [
        "body = substr(body, 1, length(body) - 1)",
        "body = x''",
        "body = zeroblob(length(body))",
        "body_key = 7",
        // As if it had never been encrypted.
        "body_key = NULL",
    ] {
        let mut tx = store.writer().begin().await.unwrap();
        let text = format!("UPDATE consent SET {damage} WHERE id = '{ours}'");
        sqlx::query(sqlx::AssertSqlSafe(text))
            .execute(&mut *tx)
            .await
            .unwrap();
        let row = sqlx::query(consent_rows!("WHERE id = ?"))
            .bind(ours.to_string())
            .fetch_all(&mut *tx)
            .await
            .unwrap();
        let refused = store.rest.consents(&row).await.unwrap_err();
        let says = matches!(
            refused,
            StoreError::Damaged("consent") | StoreError::NotSealed("consent")
        );
        assert!(says, "{damage}: {refused}");
        tx.rollback().await.unwrap();
    }
    // A key of one tenant is none of another.
    run(
        &store,
        "UPDATE rest_key SET key_tenant = 'rival' WHERE key_tenant = 'acme'",
    )
    .await;
    run(&store, "UPDATE consent SET tenant = 'rival'").await;
    let mut moved = key();
    moved.tenant = "rival".parse().unwrap();
    for store in [&store, &home.open_lazily().await] {
        assert!(store.live_consents(&moved, NOW).await.is_err());
    }
}

impl Home {
    /// Without trying keys: as a process that was there before somebody changed the file.
    async fn open_lazily(&self) -> SqliteStore {
        let mut store = SqliteStore::open_locked(&self.state()).await.unwrap();
        let pools = (&store.writer, &store.readers);
        store.rest = Rest::untried(&STATE, pools, self.keys());
        store
    }
}

#[tokio::test]
async fn what_was_in_the_clear_is_encrypted_also_after_it_was_broken_off() {
    let home = Home::new();
    let clear = SqliteStore::open(&home.state()).await.unwrap();
    let record = filled(&clear).await;
    let copies = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 1200) \
        INSERT INTO sign_in_flow (state_hash, data, expires_at) SELECT 'x' || n, 'canary-7d1f ' || n, 1 FROM n";
    run(&clear, copies).await;
    // What was removed is still somewhere in the pages of a file.
    clear.close().await;
    assert!(home.found(CANARY) > 1000);

    // One batch, and the process is gone.
    let begun = home.open_lazily().await;
    begun.rest.ready(None).await.unwrap();
    run(&begun, "INSERT INTO rest_state (id, whole) VALUES (1, 0)").await;
    assert_eq!(begun.rest.seal_some(&bodies::FLOW).await.unwrap(), 500);
    begun.close().await;
    let refused = SqliteStore::open(&home.state()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Sealed(_)), "{refused}");
    assert!(refused.to_string().contains("`[seal]`"));

    let store = home.open().await;
    is_whole(&store, &record).await;
    let taken = store.take_flow(Digest::of(b"state"), NOW).await.unwrap();
    assert_eq!(taken, Some(format!("{CANARY} flow")));
    let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM sign_in_flow WHERE body_key IS NULL")
        .fetch_one(store.writer())
        .await
        .unwrap();
    assert_eq!(left, 0);
    assert_eq!(home.found(CANARY), 0);
    // From now on a row in the clear is somebody else's.
    run(
        &store,
        "UPDATE secret SET value = zeroblob(32), body = NULL, body_key = NULL WHERE tenant = ''",
    )
    .await;
    let refused = store.secret(None, "own", [1; 32].into()).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::NotSealed("secret")),
        "{refused}"
    );
    store.close().await;
    let again = home.open().await;
    assert!(again.secret(None, "own", [1; 32].into()).await.is_err());
    // What is not encrypted is read without any key.
    let locked = SqliteStore::open_locked(&home.state()).await.unwrap();
    assert_eq!(locked.audit_from(1, 10).await.unwrap().len(), 3);
    let refused = locked.live_consents(&key(), NOW).await.unwrap_err();
    assert!(matches!(refused, StoreError::Sealed(_)), "{refused}");
}

#[tokio::test]
async fn without_its_key_a_state_does_not_open_and_loses_nothing() {
    let home = Home::new();
    let store = home.open().await;
    let record = filled(&store).await;
    store.close().await;
    let before = std::fs::read(home.state()).unwrap();
    let wrong = home.0.path().join("wrong");
    for make in [false, true] {
        if make {
            seal::add_version(&wrong).unwrap();
        }
        let refused = SqliteStore::open_sealed(&home.state(), keys_in(&wrong)).await;
        let refused = refused.unwrap_err();
        assert!(matches!(refused, StoreError::Keys(_)), "{refused}");
    }
    assert_eq!(std::fs::read(home.state()).unwrap(), before);
    is_whole(&home.open().await, &record).await;
    // Where no key can be made, nothing that is in the clear is touched either.
    let other = Home::new();
    let clear = SqliteStore::open(&other.state()).await.unwrap();
    let record = filled(&clear).await;
    let nowhere = keys_in(&other.0.path().join("nowhere"));
    let refused = SqliteStore::open_sealed(&other.state(), nowhere).await;
    assert!(matches!(refused, Err(StoreError::Keys(_))));
    is_whole(&SqliteStore::open(&other.state()).await.unwrap(), &record).await;
}
