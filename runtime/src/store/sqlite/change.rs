//! Changes that are made together with their audit record. Each is made whole or not at all.

use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Sqlite, Transaction};
use uuid::Uuid;

use super::super::{Applied, Change, Ender, Seen, StoreError, TicketRow};
use super::bodies::{self, Agreed, CONSENT, TICKET};
use super::rest::Rest;
use super::{browser, client, consent_rows, consents, decide, rows, sign_out, tree};
use crate::clock::Timestamp;
use crate::ids::{Digest, Tenant, TenantUser};
use crate::limits::LAST_CALL_MAX;
use crate::problem::caused;

/// Sees to it that there are keys for what the change writes.
pub(super) async fn ready(rest: &Rest, change: &Change) -> Result<(), StoreError> {
    let tenant = match change {
        Change::OpenTicket { ticket, .. } => &ticket.key.tenant,
        Change::Decide(decision) => &decision.who.tenant,
        Change::PreConsent { record, .. } => &record.key.tenant,
        Change::Revoke { who, reason, .. } if reason.is_some() => &who.tenant,
        Change::Revoke { .. }
        | Change::SignOut { .. }
        | Change::Suspend { .. }
        | Change::Resume { .. }
        | Change::See { .. }
        | Change::SeeClient { .. }
        | Change::Consume { .. }
        | Change::PruneLog { .. }
        | Change::Closed { .. }
        | Change::ExpireSession { .. }
        | Change::ForgetSessions { .. } => return Ok(()),
    };
    rest.ready(Some(tenant)).await
}

/// Makes the change inside a savepoint. A constraint that speaks against it refuses this change and no other.
pub(super) async fn apply(
    rest: &Rest,
    tx: &mut Transaction<'_, Sqlite>,
    change: &Change,
) -> Result<Applied, StoreError> {
    let mut inner = Connection::begin(&mut **tx).await?;
    let result = match change {
        Change::OpenTicket {
            ticket,
            definition,
            open_max,
        } => open(rest, &mut inner, ticket, definition, *open_max).await,
        Change::Decide(decision) => decide::decide(rest, &mut inner, decision).await,
        Change::SignOut {
            who,
            sign_in,
            consents,
            at,
        } => sign_out::sign_out(&mut inner, who, *sign_in, consents, *at).await,
        Change::Revoke {
            who,
            id,
            at,
            by,
            reason,
        } => revoke(rest, &mut inner, who, *id, *at, *by, reason.as_deref()).await,
        Change::PreConsent { record, definition } => {
            decide::pre_consent(rest, &mut inner, record, definition).await
        }
        Change::Suspend { ids, at, by } => suspend(&mut inner, ids, *at, *by).await,
        Change::Resume { id, at } => resume(&mut inner, *id, *at).await,
        Change::See {
            tenant,
            ids,
            seen,
            definition,
        } => see(&mut inner, tenant, ids, seen, definition).await,
        Change::SeeClient {
            tenant,
            ids,
            seen,
            client,
        } => client::see(&mut inner, tenant, ids, seen, client.as_ref()).await,
        Change::Consume {
            tenant,
            ids,
            at,
            idle_until,
        } => consume(&mut inner, tenant, ids, *at, *idle_until).await,
        Change::PruneLog { leaves, last } => tree::prune(&mut inner, leaves, last).await,
        Change::Closed { before } => tree::note_closed(&mut inner, *before).await,
        Change::ExpireSession { id } => browser::expire(&mut inner, *id).await,
        Change::ForgetSessions { ids, at } => browser::forget_over(&mut inner, ids, *at).await,
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
        // They were there when it was asked for. Records that stand beside it in the same batch are not held up by that.
        Err(error) if error.is_of_one_owner() => {
            inner.rollback().await?;
            tracing::error!(error = %caused(&error), "a change of state was refused, for what it is about cannot be read");
            Ok(Applied::Refused)
        }
        Err(error) => Err(error),
    }
}

/// Notes in consents where the record that tells of their making, or of their end, stands in the log.
pub(super) async fn place(
    connection: &mut SqliteConnection,
    change: &Change,
    consents: &[String],
    seq: u64,
) -> Result<(), StoreError> {
    let statement = match change {
        Change::Decide(_) | Change::PreConsent { .. } => {
            "UPDATE consent SET audit_seq = ? WHERE id = ?"
        }
        Change::Revoke { .. } | Change::Suspend { .. } | Change::SignOut { .. } => {
            "UPDATE consent SET ended_seq = ? WHERE id = ?"
        }
        Change::OpenTicket { .. }
        | Change::Resume { .. }
        | Change::See { .. }
        | Change::SeeClient { .. }
        | Change::Consume { .. }
        | Change::PruneLog { .. }
        | Change::Closed { .. }
        | Change::ExpireSession { .. }
        | Change::ForgetSessions { .. } => return Ok(()),
    };
    for id in consents {
        sqlx::query(statement)
            .bind(rows::number(seq)?)
            .bind(id)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Keeps what a tool says of itself, once per tenant.
pub(super) async fn keep_definition(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    digest: Digest,
    text: &str,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO definition (tenant, digest, text) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
    )
    .bind(tenant.as_str())
    .bind(digest.to_string())
    .bind(text)
    .execute(connection)
    .await?;
    Ok(())
}

async fn open(
    rest: &Rest,
    connection: &mut SqliteConnection,
    ticket: &TicketRow,
    definition: &str,
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
    let same = consents::open_ticket(
        rest,
        connection,
        &key.tenant,
        ticket.question,
        ticket.created_at,
    )
    .await?;
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
    keep_definition(
        connection,
        &key.tenant,
        ticket.pinned.definition,
        definition,
    )
    .await?;
    let shown = if rest.is_sealed() { "" } else { &ticket.shown };
    let inserted = sqlx::query(
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
    .bind(shown)
    .bind(ticket.state.as_str())
    .bind(ticket.created_at.0)
    .bind(ticket.expires_at.0)
    .execute(&mut *connection)
    .await?;
    if rest.is_sealed() {
        let row_id = inserted.last_insert_rowid();
        rest.put(connection, &TICKET, row_id, ticket.shown.as_bytes())
            .await?;
    }
    Ok(Applied::Done)
}

async fn revoke(
    rest: &Rest,
    connection: &mut SqliteConnection,
    who: &TenantUser,
    id: Uuid,
    at: Timestamp,
    by: Ender,
    reason: Option<&str>,
) -> Result<Applied, StoreError> {
    // The one call for which a consent was used up may still run.
    let running_since =
        at.0.saturating_sub(i64::try_from(LAST_CALL_MAX.as_millis()).unwrap_or(0));
    let clear = reason.filter(|_| !rest.is_sealed());
    let ended = sqlx::query(
        "UPDATE consent SET state = 'revoked', ended_at = ?, ended_by = ?, end_reason = ? \
         WHERE id = ? AND tenant = ? AND iss = ? AND sub = ? \
         AND (state IN ('active', 'denied', 'suspended') OR (state = 'consumed' AND ended_at > ?))",
    )
    .bind(at.0)
    .bind(by.as_str())
    .bind(clear)
    .bind(id.to_string())
    .bind(who.tenant.as_str())
    .bind(who.user.issuer.as_str())
    .bind(who.user.subject.as_str())
    .bind(running_since)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if let Some(reason) = reason
        && rest.is_sealed()
        && ended == 1
    {
        keep_reason(rest, connection, id, reason).await?;
    }
    Ok(done_if(ended == 1))
}

/// Puts the reason of an end into the body of its record. Where that does not open, the end counts without it.
async fn keep_reason(
    rest: &Rest,
    connection: &mut SqliteConnection,
    id: Uuid,
    reason: &str,
) -> Result<(), StoreError> {
    let row = sqlx::query(consent_rows!("WHERE id = ?"))
        .bind(id.to_string())
        .fetch_one(&mut *connection)
        .await?;
    let row_id = sqlx::query_scalar("SELECT rowid FROM consent WHERE id = ?")
        .bind(id.to_string())
        .fetch_one(&mut *connection)
        .await?;
    match rest.agreed(&row).await {
        Ok(Some(agreed)) => {
            let agreed = Agreed {
                end_reason: Some(reason.to_owned()),
                ..agreed
            };
            rest.put(connection, &CONSENT, row_id, &bodies::json(&agreed)?)
                .await
        }
        Ok(None) | Err(StoreError::Damaged(_) | StoreError::NotSealed(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn suspend(
    connection: &mut SqliteConnection,
    ids: &[Uuid],
    at: Timestamp,
    by: Ender,
) -> Result<Applied, StoreError> {
    for id in ids {
        let ended = sqlx::query(
            "UPDATE consent SET state = 'suspended', ended_at = ?, ended_by = ? \
             WHERE id = ? AND state = 'active'",
        )
        .bind(at.0)
        .bind(by.as_str())
        .bind(id.to_string())
        .execute(&mut *connection)
        .await?
        .rows_affected();
        if ended != 1 {
            return Ok(Applied::Refused);
        }
    }
    Ok(Applied::Done)
}

async fn resume(
    connection: &mut SqliteConnection,
    id: Uuid,
    at: Timestamp,
) -> Result<Applied, StoreError> {
    // Where its user decided anew meanwhile, the unique index refuses this.
    let again = sqlx::query(
        "UPDATE consent SET state = 'active', ended_at = NULL, ended_by = NULL, end_reason = NULL, ended_seq = NULL \
         WHERE id = ?1 AND state = 'suspended' AND expires_at > ?2 \
         AND (idle_expires_at IS NULL OR idle_expires_at > ?2)",
    )
    .bind(id.to_string())
    .bind(at.0)
    .execute(connection)
    .await?
    .rows_affected();
    Ok(done_if(again == 1))
}

async fn see(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    ids: &[Uuid],
    seen: &Seen,
    definition: &str,
) -> Result<Applied, StoreError> {
    keep_definition(connection, tenant, seen.pinned.definition, definition).await?;
    for id in ids {
        let noted = sqlx::query(
            "UPDATE consent SET seen_at = ?, seen_component = ?, seen_definition = ?, seen_manifest = ?, seen_version = ? \
             WHERE id = ? AND tenant = ? AND state = 'active'",
        )
        .bind(seen.at.0)
        .bind(seen.pinned.component.to_string())
        .bind(seen.pinned.definition.to_string())
        .bind(seen.pinned.manifest.to_string())
        .bind(&seen.version)
        .bind(id.to_string())
        .bind(tenant.as_str())
        .execute(&mut *connection)
        .await?
        .rows_affected();
        if noted != 1 {
            return Ok(Applied::Refused);
        }
    }
    Ok(Applied::Done)
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
             AND expires_at > ?1 AND (idle_expires_at IS NULL OR idle_expires_at > ?1) \
             AND (not_before IS NULL OR not_before <= ?1)",
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

pub(super) fn done_if(made: bool) -> Applied {
    if made {
        Applied::Done
    } else {
        Applied::Refused
    }
}
