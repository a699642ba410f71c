//! The formats of the state, oldest first. A published one never changes; a new one is added behind it.

use std::cmp::Ordering;

use sqlx::sqlite::SqlitePool;

use super::super::StoreError;

/// Each format and the statements that lead to it from the one before.
pub(super) type Formats = [(i64, &'static str)];

/// Those of the state.
const MIGRATIONS: &Formats = &[
    (1, include_str!("0001_state.sql")),
    (2, include_str!("0002_uses.sql")),
    (3, include_str!("0003_sessions.sql")),
    (4, include_str!("0004_evidence.sql")),
    (5, include_str!("0005_history.sql")),
    (6, include_str!("0006_sign_ins.sql")),
    (7, include_str!("0007_client.sql")),
    (8, include_str!("0008_tree.sql")),
    (9, include_str!("0009_rest.sql")),
    (10, include_str!("0010_open.sql")),
    (11, include_str!("0011_blocks.sql")),
];

/// Brings the state to the newest format, in one transaction.
pub(super) async fn run(writer: &SqlitePool) -> Result<(), StoreError> {
    run_of(writer, MIGRATIONS).await
}

/// The same for a database of other contents.
pub(super) async fn run_of(writer: &SqlitePool, formats: &Formats) -> Result<(), StoreError> {
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS state_format (version INTEGER PRIMARY KEY) STRICT")
        .execute(&mut *tx)
        .await?;
    let found: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM state_format")
        .fetch_one(&mut *tx)
        .await?;
    let known = formats.last().map_or(0, |(version, _)| *version);
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (version, statements) in formats.iter().filter(|(version, _)| *version > found) {
        sqlx::raw_sql(*statements).execute(&mut *tx).await?;
        sqlx::query("INSERT INTO state_format (version) VALUES (?)")
            .bind(version)
            .execute(&mut *tx)
            .await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Whether the state has the newest format. Changes nothing.
pub(super) async fn check(readers: &SqlitePool) -> Result<(), StoreError> {
    let known = MIGRATIONS.last().map_or(0, |(version, _)| *version);
    let is_state: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'state_format')",
    )
    .fetch_one(readers)
    .await?;
    let found: i64 = match is_state {
        true => {
            sqlx::query_scalar("SELECT COALESCE(MAX(version), 0) FROM state_format")
                .fetch_one(readers)
                .await?
        }
        false => 0,
    };
    match found.cmp(&known) {
        Ordering::Less => Err(StoreError::Older { found, known }),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(StoreError::Newer { found, known }),
    }
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqlitePoolOptions;

    use super::super::super::{Channel, ConsentRow, ConsentState, Scope, SqliteStore, Store};
    use super::*;
    use crate::clock::Timestamp;
    use crate::ids::{Digest, TenantUser, User};

    /// A state as version 3 left it.
    async fn of_format_3(path: &std::path::Path) {
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true);
        let pool = SqlitePoolOptions::new()
            .connect_with(options)
            .await
            .unwrap();
        sqlx::raw_sql("CREATE TABLE state_format (version INTEGER PRIMARY KEY) STRICT")
            .execute(&pool)
            .await
            .unwrap();
        for (version, statements) in MIGRATIONS.iter().take(3) {
            sqlx::raw_sql(*statements).execute(&pool).await.unwrap();
            sqlx::query("INSERT INTO state_format (version) VALUES (?)")
                .bind(version)
                .execute(&pool)
                .await
                .unwrap();
        }
        let hash = Digest::of(b"x").to_string();
        for (id, state, channel) in [
            ("01a20444-b10c-7dd8-9bac-a4c3f0620f99", "active", "page"),
            (
                "01a20444-b10c-7dd8-9bac-a4c3f0620f98",
                "revoked",
                "operator",
            ),
        ] {
            sqlx::query(
                "INSERT INTO consent (id, tenant, iss, sub, client_id, tool, publisher, component, definition, manifest, \
                 capability, scope, state, arguments, ticket, ui, acr, auth_time, decided_at, expires_at, ended_at, uses_max, \
                 uses, last_used_at, idle_expires_at, channel) VALUES (?1, 'acme', 'https://as.test', 'alice', 'client-1', \
                 'notes', 'example', ?2, ?2, ?2, 'files read notes', 'until', ?3, '', ?2, ?2, 'pwd', 5, 7, 900, NULL, 3, 1, 8, \
                 800, ?4)",
            )
            .bind(id)
            .bind(&hash)
            .bind(state)
            .bind(channel)
            .execute(&pool)
            .await
            .unwrap();
        }
        sqlx::query(
            "INSERT INTO browser_session (id_hash, iss, sub, created_at, expires_at, seen_at) \
             VALUES (?, 'https://as.test', 'alice', 1, 900, 1)",
        )
        .bind(&hash)
        .execute(&pool)
        .await
        .unwrap();
        pool.close().await;
    }

    #[tokio::test]
    async fn a_state_of_format_3_keeps_its_consents_and_ends_its_sessions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        of_format_3(&path).await;
        let store = SqliteStore::open(&path).await.unwrap();
        let alice = TenantUser {
            tenant: "acme".parse().unwrap(),
            user: User {
                issuer: "https://as.test".parse().unwrap(),
                subject: "alice".parse().unwrap(),
            },
        };
        let rows: Vec<ConsentRow> = store.consents_before(&alice, None, 10).await.unwrap();
        assert_eq!(rows.len(), 2);
        let kept = &rows[0];
        assert_eq!(
            (kept.state, kept.scope),
            (ConsentState::Active, Scope::Until)
        );
        assert_eq!(kept.channel, Channel::Page);
        assert_eq!((kept.uses_max, kept.uses), (Some(3), 1));
        assert_eq!(kept.last_used_at, Some(Timestamp(8)));
        assert_eq!(kept.idle_expires_at, Some(Timestamp(800)));
        assert_eq!(
            (kept.acr.as_deref(), kept.auth_time),
            (Some("pwd"), Some(Timestamp(5)))
        );
        // What was not recorded then stays unknown, and who decided is known.
        assert_eq!(kept.evidence.by.as_ref(), Some(&alice.user));
        assert_eq!(
            (kept.evidence.version.as_ref(), kept.evidence.audit_seq),
            (None, None)
        );
        assert!(kept.seen.is_none());
        // As which tier it was asked about was not recorded; it holds from the start, and with no sign-in.
        assert_eq!(kept.tier, kept.capability.tier());
        assert_eq!((kept.not_before, kept.sign_in), (None, None));
        assert_eq!(rows[1].evidence.by, None);
        let live = store.live_consents(&kept.key, Timestamp(10)).await.unwrap();
        assert_eq!(live, std::slice::from_ref(kept));
        // Whose session it was in which tenant was not recorded.
        let session = store
            .session(Digest::of(b"x"), Timestamp(10))
            .await
            .unwrap();
        assert!(session.is_none());
        // Nor what was known of the client.
        assert_eq!(
            (&kept.evidence.client, &kept.evidence.client_seen),
            (&None, &None)
        );
        // Still one decision at a time about the same.
        let second = sqlx::query(
            "INSERT INTO consent SELECT 'another', tenant, iss, sub, client_id, tool, publisher, component, definition, manifest, \
             version, capability, tier, scope, sign_in, state, arguments, ticket, ui, locale, channel, by_iss, by_sub, acr, \
             amr, auth_time, actors, policy, rules, supersedes, audit_seq, decided_at, not_before, expires_at, \
             idle_expires_at, uses_max, uses, \
             last_used_at, ended_at, ended_by, end_reason, ended_seq, seen_at, seen_component, seen_definition, \
             seen_manifest, seen_version, refused, client_kind, client_hosts, client_metadata, client_seen_at, client_seen_kind, \
             client_seen_hosts, client_seen_metadata, NULL, NULL FROM consent WHERE state = 'active'",
        )
        .execute(store.writer())
        .await;
        assert!(second.unwrap_err().to_string().contains("UNIQUE"));
    }

    #[tokio::test]
    async fn a_state_of_format_6_keeps_its_records_and_can_suspend_for_a_client() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        of_format_3(&path).await;
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path);
        let pool = SqlitePoolOptions::new()
            .connect_with(options)
            .await
            .unwrap();
        for (version, statements) in MIGRATIONS
            .iter()
            .filter(|(version, _)| (4..7).contains(version))
        {
            sqlx::raw_sql(*statements).execute(&pool).await.unwrap();
            sqlx::query("INSERT INTO state_format (version) VALUES (?)")
                .bind(version)
                .execute(&pool)
                .await
                .unwrap();
        }
        let told = "UPDATE consent SET refused = 1, tier = 'T2', not_before = 3, end_reason = 'r', ended_by = 'publisher', ended_seq = 4, audit_seq = 2, \
                    locale = 'ja', amr = '[\"pwd\"]', seen_at = 6, seen_component = component, seen_definition = definition, \
                    seen_manifest = manifest, seen_version = '2' WHERE state = 'active'";
        sqlx::query(told).execute(&pool).await.unwrap();
        let columns = "id, tenant, iss, sub, client_id, tool, publisher, component, definition, manifest, version, capability, \
                       tier, scope, sign_in, state, arguments, ticket, ui, locale, channel, by_iss, by_sub, acr, amr, auth_time, \
                       actors, policy, rules, supersedes, audit_seq, decided_at, not_before, expires_at, idle_expires_at, \
                       uses_max, uses, last_used_at, ended_at, ended_by, end_reason, ended_seq, seen_at, seen_component, \
                       seen_definition, seen_manifest, seen_version, refused";
        let all = format!("SELECT json_array({columns}) FROM consent ORDER BY id");
        let before: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(all.clone()))
            .fetch_all(&pool)
            .await
            .unwrap();
        pool.close().await;
        let store = SqliteStore::open(&path).await.unwrap();
        let after: Vec<String> = sqlx::query_scalar(sqlx::AssertSqlSafe(all))
            .fetch_all(store.writer())
            .await
            .unwrap();
        assert_eq!((before.len(), &before), (2, &after));
        for ender in ["client", "client-gone"] {
            let suspended = format!("UPDATE consent SET ended_by = '{ender}'");
            sqlx::query(sqlx::AssertSqlSafe(suspended))
                .execute(store.writer())
                .await
                .unwrap();
        }
        let nobody = sqlx::query("UPDATE consent SET ended_by = 'somebody'");
        assert!(nobody.execute(store.writer()).await.is_err());
    }
}
