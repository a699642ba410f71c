//! What becomes of keys at rest: replaced, encrypted anew, destroyed, told of.

use std::time::Duration;

use super::*;
use crate::store::SharedStore;
use crate::store::rest::RestKeys;
use crate::store::tree::LogTree;

#[tokio::test]
async fn a_rotation_loses_nothing_and_what_is_put_back_after_it_does_not_open() {
    let home = Home::new();
    let store = Arc::new(home.open().await);
    let record = filled(&store).await;
    let old: (Vec<u8>, i64) = sqlx::query_as("SELECT body, body_key FROM consent")
        .fetch_one(store.writer())
        .await
        .unwrap();
    let other = home.open().await;
    let acme = key().tenant;
    let writing = tokio::spawn({
        let store = Arc::clone(&store);
        async move {
            for n in 0..150_u8 {
                let name = format!("while-{n}");
                store
                    .secret(Some(&key().tenant), &name, [n; 32].into())
                    .await
                    .unwrap();
            }
        }
    });
    for to in 2..=4 {
        let rotated = other
            .rest_file()
            .rotate(Some(&acme), NOW)
            .await
            .unwrap()
            .unwrap();
        assert_eq!((rotated.to, rotated.unopened), (to, 0));
        assert_eq!(rotated.destroyed, [to - 1]);
    }
    writing.await.unwrap();
    for n in 0..150_u8 {
        let name = format!("while-{n}");
        let kept = store
            .secret(Some(&acme), &name, [0; 32].into())
            .await
            .unwrap();
        assert_eq!(*kept, [n; 32]);
    }
    let own = other.rest_file().rotate(None, NOW).await.unwrap().unwrap();
    assert_eq!((own.to, own.moved), (2, 2));
    is_whole(&store, &record).await;
    is_whole(&home.open().await, &record).await;
    sqlx::query("UPDATE consent SET body = ?, body_key = ?")
        .bind(old.0)
        .bind(old.1)
        .execute(store.writer())
        .await
        .unwrap();
    let refused = store.live_consents(&key(), NOW).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::Damaged("consent")),
        "{refused}"
    );
    // What does not open keeps nothing else from being moved.
    let again = other
        .rest_file()
        .rotate(Some(&acme), NOW)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((again.to, again.destroyed), (5, vec![4]));
    let nobody: Tenant = "nobody".parse().unwrap();
    assert_eq!(
        other.rest_file().rotate(Some(&nobody), NOW).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn another_key_of_the_provider_takes_over_and_the_old_one_can_go() {
    let home = Home::new();
    let store = home.open().await;
    let record = filled(&store).await;
    let file = home.0.path().join("keys");
    seal::add_version(&file).unwrap();
    let rest = store.rest_file();
    let mut done = 0;
    for key in rest.standing().await.unwrap() {
        done += usize::from(rest.rewrap(&key).await.unwrap());
        assert!(key.rows > 0, "{key:?}");
    }
    assert_eq!(done, 2);
    let text = std::fs::read_to_string(&file).unwrap();
    let new: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with("1 "))
        .collect();
    std::fs::write(&file, new.join("\n")).unwrap();
    is_whole(&home.open().await, &record).await;
}

#[tokio::test]
async fn an_erased_tenant_has_agreed_to_nothing_and_can_agree_anew() {
    let home = Home::new();
    let store = home.open().await;
    let record = filled(&store).await;
    // Another process that holds the key in memory.
    let server = home.open().await;
    is_whole(&server, &record).await;
    let rival: Tenant = "rival".parse().unwrap();
    server
        .secret(Some(&rival), "own", [7; 32].into())
        .await
        .unwrap();
    let acme = key().tenant;
    let (keys, rows) = store.rest_file().erase(&acme, NOW).await.unwrap();
    assert_eq!((keys, rows), (1, 1 + 2 + 1 + 1));
    assert!(store.rest_file().settle().await.unwrap());
    for store in [&store, &server, &home.open().await] {
        assert!(store.live_consents(&key(), NOW).await.unwrap().is_empty());
        assert_eq!(store.consent(&who("alice"), record.id).await.unwrap(), None);
        let all = ConsentFilter::default();
        assert!(store.consents(&all).await.unwrap().is_empty());
        assert_eq!(store.ticket(Digest::of(b"open")).await.unwrap(), None);
        assert_eq!(store.session(session().id_hash, NOW).await.unwrap(), None);
        let ended = store.ended_consents(&[record.id], NOW).await.unwrap();
        assert_eq!(ended, [record.id]);
    }
    // The server's own and those of others are untouched.
    let own = server.secret(None, "own", [1; 32].into()).await.unwrap();
    assert_eq!(*own, OWN);
    let theirs = server
        .secret(Some(&rival), "own", [1; 32].into())
        .await
        .unwrap();
    assert_eq!(*theirs, [7; 32]);
    // Asked anew, under a new key.
    assert!(matches!(ask(&server, b"anew").await, Applied::Done));
    let anew = agreed();
    let decided = decide(&server, b"anew", vec![anew.clone()]).await;
    assert!(matches!(decided, Applied::Done));
    assert_eq!(server.live_consents(&key(), NOW).await.unwrap(), [anew]);
    let own = server
        .secret(Some(&acme), "own", [2; 32].into())
        .await
        .unwrap();
    assert_eq!(*own, [2; 32]);
    let keys = server.rest_file().standing().await.unwrap();
    let of_acme = keys
        .iter()
        .filter(|key| key.place.tenant.as_ref() == Some(&acme));
    let of_acme: Vec<_> = of_acme
        .map(|key| (key.place.version, key.state.as_str()))
        .collect();
    assert_eq!(of_acme, [(1, "erased"), (2, "active")]);
}

/// The first row of a table once more for each of so many users of a tenant. In no order, so that pages are split everywhere.
async fn multiply(store: &SqliteStore, table: &str, tenant: &str) {
    let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info(?)")
        .bind(table)
        .fetch_all(store.writer())
        .await
        .unwrap();
    let other = |column: &String| match (table, column.as_str()) {
        (_, "tenant") => format!("'{tenant}'"),
        (_, "sub") => format!("'{tenant}-{CANARY}-' || n"),
        (_, "nonce") => "randomblob(16)".to_owned(),
        (_, "id" | "id_hash" | "question") | ("foreign_visit", "ticket") => "word".to_owned(),
        (_, same) => same.to_owned(),
    };
    let values: Vec<_> = columns.iter().map(other).collect();
    let text = format!(
        "INSERT INTO {table} ({}) WITH RECURSIVE many (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 700), \
         words AS (SELECT n, lower(hex(randomblob(16))) AS word FROM many) \
         SELECT {} FROM (SELECT * FROM {table} LIMIT 1) CROSS JOIN words ORDER BY word",
        columns.join(", "),
        values.join(", ")
    );
    let statement = sqlx::query(sqlx::AssertSqlSafe(text));
    statement.execute(store.writer()).await.unwrap();
}

/// Every row that `rival` has, with its number, as SQLite writes it.
async fn theirs(store: &SqliteStore) -> Vec<(i64, String)> {
    let mut all = Vec::new();
    for table in ["consent", "ticket", "foreign_visit", "browser_session"] {
        let columns: Vec<String> =
            sqlx::query_scalar("SELECT 'quote(' || name || ')' FROM pragma_table_info(?)")
                .bind(table)
                .fetch_all(store.writer())
                .await
                .unwrap();
        let text = format!(
            "SELECT rowid, {} FROM {table} WHERE tenant = 'rival' ORDER BY rowid",
            columns.join(" || ',' || ")
        );
        let rows: Vec<(i64, String)> = sqlx::query_as(sqlx::AssertSqlSafe(text))
            .fetch_all(store.writer())
            .await
            .unwrap();
        assert!(rows.len() > 100, "{table}");
        all.extend(rows);
    }
    all
}

#[tokio::test]
async fn no_file_names_a_user_of_an_erased_tenant() {
    let home = Home::new();
    let store = home.open().await;
    filled(&store).await;
    let asked = Digest::of(b"open");
    let noted = store.note_foreign_visit(asked, &key(), NOW).await;
    noted.unwrap();
    for tenant in ["acme", "rival"] {
        for table in ["consent", "ticket", "foreign_visit", "browser_session"] {
            multiply(&store, table, tenant).await;
        }
    }
    // As the server does in the meantime.
    for text in [
        "UPDATE consent SET last_used_at = 1000000, idle_expires_at = 1900000 WHERE id > '8'",
        "DELETE FROM ticket WHERE id_hash > 'a'",
        "DELETE FROM browser_session WHERE id_hash < '4'",
    ] {
        sqlx::query(text).execute(store.writer()).await.unwrap();
    }
    let (of_acme, of_rival) = (format!("acme-{CANARY}"), format!("rival-{CANARY}"));
    assert!(home.found(&of_acme) > 700 && home.found("alice") > 4);
    let before = home.found(&of_rival);
    let others = theirs(&store).await;
    let erased = store.rest_file().erase(&key().tenant, NOW).await.unwrap();
    assert!(erased.1 > 4 * 350, "{erased:?}");
    store.rest_file().rewrite().await.unwrap();
    assert!(store.rest_file().settle().await.unwrap());
    for name in [&of_acme, "alice"] {
        assert_eq!(home.found(name), 0, "{name}");
    }
    assert!(home.found(&of_rival) > 700 && before > 700);
    assert_eq!(theirs(&store).await, others);
    let whole: String = sqlx::query_scalar("PRAGMA integrity_check")
        .fetch_one(store.writer())
        .await
        .unwrap();
    assert_eq!(whole, "ok");
    for table in ["consent", "ticket", "foreign_visit", "browser_session"] {
        let left = format!("SELECT COUNT(*) FROM {table} WHERE tenant = 'acme'");
        let left: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(left))
            .fetch_one(store.writer())
            .await
            .unwrap();
        assert_eq!(left, 0, "{table}");
    }
}

#[tokio::test]
async fn no_file_holds_a_key_of_an_erased_tenant_or_user() {
    let home = Home::new();
    let store = home.open().await;
    for nth in 0..120 {
        let tenant: Tenant = format!("tenant-{nth}").parse().unwrap();
        for name in ["own", "audit.subject.of-somebody"] {
            let made = store.secret(Some(&tenant), name, [7; 32].into()).await;
            made.unwrap();
        }
    }
    // Keys that are retired and wrapped by another grow in full pages, and move to others.
    let grow = "UPDATE rest_key SET key_retired_at = 1000000000000, key_provider = key_provider || '-of-another' WHERE key_id % 2";
    sqlx::query(grow).execute(store.writer()).await.unwrap();
    let mut kept = Vec::new();
    for (tenant, name) in [
        ("tenant-40", "own"),
        ("tenant-41", "audit.subject.of-somebody"),
    ] {
        let text = "SELECT body FROM secret WHERE tenant = ? AND name = ?";
        let body: Vec<u8> = sqlx::query_scalar(text)
            .bind(tenant)
            .bind(name)
            .fetch_one(store.writer())
            .await
            .unwrap();
        kept.push(body);
    }
    let text = "SELECT key_wrapped FROM rest_key WHERE key_tenant IN ('tenant-40', 'tenant-42')";
    let wrapped: Vec<Vec<u8>> = sqlx::query_scalar(text)
        .fetch_all(store.writer())
        .await
        .unwrap();
    assert_eq!(wrapped.len(), 2);
    for bytes in kept.iter().chain(&wrapped) {
        assert!(home.found_bytes(bytes) > 0);
    }
    let of_user: Tenant = "tenant-41".parse().unwrap();
    for was_there in [true, false] {
        let forgotten = store.forget_secret(&of_user, "audit.subject.of-somebody");
        assert_eq!(forgotten.await.unwrap(), was_there);
    }
    for tenant in ["tenant-40", "tenant-42"] {
        let tenant = tenant.parse().unwrap();
        store.rest_file().erase(&tenant, NOW).await.unwrap();
    }
    store.rest_file().rewrite().await.unwrap();
    assert!(store.rest_file().settle().await.unwrap());
    for bytes in kept.iter().chain(&wrapped) {
        assert_eq!(home.found_bytes(bytes), 0);
    }
    // Those of others are where they were.
    let shrink = "UPDATE rest_key SET key_provider = replace(key_provider, '-of-another', '')";
    sqlx::query(shrink).execute(store.writer()).await.unwrap();
    let own = store.secret(Some(&of_user), "own", [1; 32].into()).await;
    assert_eq!(own.unwrap().as_slice(), [7; 32]);
}

#[tokio::test]
async fn keys_that_are_made_are_told_once_there_is_a_log() {
    let home = Home::new();
    let file = home.0.path().join("keys");
    let config = SealConfig {
        key_file: Some(file),
        vault: None,
        keep: SEALED_KEEP_DEFAULT,
        values_max: SEALED_VALUES_MAX,
        package_values_max: SEALED_VALUES_MAX,
    };
    let provider = Arc::new(Provider::new(&config, None).unwrap());
    let rest = Arc::new(seal::Rest::new(provider));
    let keys: Arc<dyn RestKeys> = Arc::clone(&rest) as _;
    let store = SqliteStore::open_sealed(&home.state(), keys).await.unwrap();
    let store: SharedStore = Arc::new(store);
    let clock = Arc::new(crate::clock::SystemClock);
    let audit = crate::audit::Audit::start(Arc::clone(&store), clock)
        .await
        .unwrap();
    rest.tell(&audit).await.unwrap();
    store
        .secret(Some(&key().tenant), "own", OWN.into())
        .await
        .unwrap();
    // Its record is on its way when the key is used.
    let mut told = Vec::new();
    for _ in 0..100 {
        audit.flush().await.unwrap();
        told = store.audit_from(1, 10).await.unwrap();
        if told.len() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let texts: Vec<_> = told.iter().map(|row| row.text.as_str()).collect();
    assert_eq!(texts.len(), 2, "{texts:?}");
    assert!(
        texts
            .iter()
            .all(|text| text.contains("\"keys.made\"") && text.contains("\"rest\""))
    );
    assert!(
        !texts[0].contains("acme") && texts[1].contains("acme"),
        "{texts:?}"
    );
}
