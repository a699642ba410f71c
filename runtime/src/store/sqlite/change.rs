//! Changes that are made together with their audit record. Each is made whole or not at all.

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Sqlite, Transaction};
use uuid::Uuid;

use super::super::{Applied, Change, ConsentRow, Decision, StoreError, TicketRow};
use super::consents;
use crate::clock::Timestamp;
use crate::ids::{Tenant, User};
use crate::limits::CALL_WALL_MAX;

/// Makes the change inside a savepoint. A constraint that speaks against it refuses this change and no other.
pub(super) async fn apply(
    tx: &mut Transaction<'_, Sqlite>,
    change: &Change,
) -> Result<Applied, StoreError> {
    let mut inner = Connection::begin(&mut **tx).await?;
    let result = match change {
        Change::OpenTicket { ticket, open_max } => open(&mut inner, ticket, *open_max).await,
        Change::Decide(decision) => decide(&mut inner, decision).await,
        Change::Revoke { user, id, at } => revoke(&mut inner, user, *id, *at).await,
        Change::PreConsent(record) => pre_consent(&mut inner, record).await,
        Change::Consume {
            tenant,
            ids,
            at,
            idle_until,
        } => consume(&mut inner, tenant, ids, *at, *idle_until).await,
    };
    match result {
        Ok(Applied::Refused) => {
            inner.rollback().await?;
            Ok(Applied::Refused)
        }
        Ok(applied) => {
            inner.commit().await?;
            Ok(applied)
        }
        Err(StoreError::Database(sqlx::Error::Database(error)))
            if error.is_unique_violation() || error.is_check_violation() =>
        {
            inner.rollback().await?;
            tracing::warn!(%error, "a constraint refused a change of state");
            Ok(Applied::Refused)
        }
        Err(error) => Err(error),
    }
}

async fn open(
    connection: &mut SqliteConnection,
    ticket: &TicketRow,
    open_max: u32,
) -> Result<Applied, StoreError> {
    let key = &ticket.key;
    sqlx::query(
        "UPDATE ticket SET state = 'expired' \
         WHERE tenant = ? AND iss = ? AND sub = ? AND state = 'open' AND expires_at <= ?",
    )
    .bind(key.tenant.as_str())
    .bind(key.user.issuer.as_str())
    .bind(key.user.subject.as_str())
    .bind(ticket.created_at.0)
    .execute(&mut *connection)
    .await?;
    let same =
        consents::open_ticket(connection, &key.tenant, ticket.question, ticket.created_at).await?;
    if let Some(same) = same {
        return Ok(Applied::Existing(Box::new(same)));
    }
    let open: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM ticket WHERE tenant = ? AND iss = ? AND sub = ? AND state = 'open'",
    )
    .bind(key.tenant.as_str())
    .bind(key.user.issuer.as_str())
    .bind(key.user.subject.as_str())
    .fetch_one(&mut *connection)
    .await?;
    if open >= i64::from(open_max) {
        return Ok(Applied::Refused);
    }
    sqlx::query(
        "INSERT INTO ticket (id_hash, nonce, tenant, iss, sub, client_id, tool, publisher, component, definition, \
         manifest, question, arguments, shown, state, created_at, expires_at) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(ticket.id_hash.to_string())
    .bind(ticket.nonce.as_slice())
    .bind(key.tenant.as_str())
    .bind(key.user.issuer.as_str())
    .bind(key.user.subject.as_str())
    .bind(key.client.as_str())
    .bind(key.tool.as_str())
    .bind(key.publisher.as_str())
    .bind(ticket.pinned.component.to_string())
    .bind(ticket.pinned.definition.to_string())
    .bind(ticket.pinned.manifest.to_string())
    .bind(ticket.question.to_string())
    .bind(ticket.arguments.to_string())
    .bind(&ticket.shown)
    .bind(ticket.state.as_str())
    .bind(ticket.created_at.0)
    .bind(ticket.expires_at.0)
    .execute(connection)
    .await?;
    Ok(Applied::Done)
}

async fn decide(
    connection: &mut SqliteConnection,
    decision: &Decision,
) -> Result<Applied, StoreError> {
    let answered = sqlx::query(
        "UPDATE ticket SET state = ?, decided_at = ? \
         WHERE id_hash = ? AND iss = ? AND sub = ? AND state = 'open' AND expires_at > ?",
    )
    .bind(if decision.allowed {
        "allowed"
    } else {
        "denied"
    })
    .bind(decision.at.0)
    .bind(decision.ticket.to_string())
    .bind(decision.user.issuer.as_str())
    .bind(decision.user.subject.as_str())
    .bind(decision.at.0)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if answered != 1 {
        return Ok(Applied::Refused);
    }
    for record in &decision.records {
        supersede(connection, record, decision.at).await?;
        insert(connection, record).await?;
    }
    Ok(Applied::Done)
}

async fn pre_consent(
    connection: &mut SqliteConnection,
    record: &ConsentRow,
) -> Result<Applied, StoreError> {
    let key = &record.key;
    // A decision that has run out makes room; one that holds is in the way of the unique index, which refuses this.
    sqlx::query(
        "UPDATE consent SET state = 'superseded', ended_at = ?1 \
         WHERE tenant = ?2 AND iss = ?3 AND sub = ?4 AND client_id = ?5 AND tool = ?6 AND publisher = ?7 AND capability = ?8 \
         AND state IN ('active', 'denied') AND (expires_at <= ?1 OR idle_expires_at <= ?1)",
    )
    .bind(record.decided_at.0)
    .bind(key.tenant.as_str())
    .bind(key.user.issuer.as_str())
    .bind(key.user.subject.as_str())
    .bind(key.client.as_str())
    .bind(key.tool.as_str())
    .bind(key.publisher.as_str())
    .bind(record.capability.to_string())
    .execute(&mut *connection)
    .await?;
    insert(connection, record).await?;
    Ok(Applied::Done)
}

async fn supersede(
    connection: &mut SqliteConnection,
    record: &ConsentRow,
    at: Timestamp,
) -> Result<(), StoreError> {
    let key = &record.key;
    sqlx::query(
        "UPDATE consent SET state = 'superseded', ended_at = ? \
         WHERE tenant = ? AND iss = ? AND sub = ? AND client_id = ? AND tool = ? AND publisher = ? \
         AND capability = ? AND arguments = ? AND state IN ('active', 'denied')",
    )
    .bind(at.0)
    .bind(key.tenant.as_str())
    .bind(key.user.issuer.as_str())
    .bind(key.user.subject.as_str())
    .bind(key.client.as_str())
    .bind(key.tool.as_str())
    .bind(key.publisher.as_str())
    .bind(record.capability.to_string())
    .bind(bound(record))
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert(connection: &mut SqliteConnection, record: &ConsentRow) -> Result<(), StoreError> {
    let key = &record.key;
    sqlx::query(
        "INSERT INTO consent (id, tenant, iss, sub, client_id, tool, publisher, component, definition, manifest, \
         capability, scope, state, arguments, ticket, ui, acr, auth_time, decided_at, expires_at, uses_max, \
         idle_expires_at, channel) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(record.id.to_string())
    .bind(key.tenant.as_str())
    .bind(key.user.issuer.as_str())
    .bind(key.user.subject.as_str())
    .bind(key.client.as_str())
    .bind(key.tool.as_str())
    .bind(key.publisher.as_str())
    .bind(record.pinned.component.to_string())
    .bind(record.pinned.definition.to_string())
    .bind(record.pinned.manifest.to_string())
    .bind(record.capability.to_string())
    .bind(record.scope.as_str())
    .bind(record.state.as_str())
    .bind(bound(record))
    .bind(record.ticket.to_string())
    .bind(record.ui.to_string())
    .bind(record.acr.as_deref())
    .bind(record.auth_time.map(|at| at.0))
    .bind(record.decided_at.0)
    .bind(record.expires_at.0)
    .bind(record.uses_max)
    .bind(record.idle_expires_at.map(|at| at.0))
    .bind(record.channel.as_str())
    .execute(connection)
    .await?;
    Ok(())
}

fn bound(record: &ConsentRow) -> String {
    record
        .arguments
        .map(|digest| digest.to_string())
        .unwrap_or_default()
}

async fn revoke(
    connection: &mut SqliteConnection,
    user: &User,
    id: Uuid,
    at: Timestamp,
) -> Result<Applied, StoreError> {
    // The one call for which a consent was used up may still run.
    let running_since =
        at.0.saturating_sub(i64::try_from(CALL_WALL_MAX.as_millis()).unwrap_or(0));
    let ended = sqlx::query(
        "UPDATE consent SET state = 'revoked', ended_at = ? WHERE id = ? AND iss = ? AND sub = ? \
         AND (state IN ('active', 'denied') OR (state = 'consumed' AND ended_at > ?))",
    )
    .bind(at.0)
    .bind(id.to_string())
    .bind(user.issuer.as_str())
    .bind(user.subject.as_str())
    .bind(running_since)
    .execute(connection)
    .await?
    .rows_affected();
    Ok(done_if(ended == 1))
}

async fn consume(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    ids: &[Uuid],
    at: Timestamp,
    idle_until: Timestamp,
) -> Result<Applied, StoreError> {
    for id in ids {
        let used = sqlx::query(
            "UPDATE consent SET uses = uses + 1, last_used_at = ?1, \
             idle_expires_at = CASE WHEN idle_expires_at IS NULL THEN NULL ELSE ?4 END, \
             state = CASE WHEN scope = 'once' OR uses + 1 >= uses_max THEN 'consumed' ELSE state END, \
             ended_at = CASE WHEN scope = 'once' OR uses + 1 >= uses_max THEN ?1 ELSE ended_at END \
             WHERE id = ?2 AND tenant = ?3 AND (scope = 'once' OR uses < uses_max) AND state = 'active' \
             AND expires_at > ?1 AND (idle_expires_at IS NULL OR idle_expires_at > ?1)",
        )
        .bind(at.0)
        .bind(id.to_string())
        .bind(tenant.as_str())
        .bind(idle_until.0)
        .execute(&mut *connection)
        .await?
        .rows_affected();
        if used != 1 {
            return Ok(Applied::Refused);
        }
    }
    Ok(Applied::Done)
}

fn done_if(made: bool) -> Applied {
    if made {
        Applied::Done
    } else {
        Applied::Refused
    }
}
