//! Changes that are made together with their audit record. Each is made whole or not at all.

use sqlx::sqlite::SqliteConnection;
use sqlx::types::Json;
use sqlx::{Connection, Sqlite, Transaction};
use uuid::Uuid;

use super::super::{Applied, Change, ConsentRow, Decision, Ender, Seen, StoreError, TicketRow};
use super::{client, consents, rows, sign_out};
use crate::clock::Timestamp;
use crate::ids::{Digest, Tenant, TenantUser};
use crate::limits::LAST_CALL_MAX;

/// Makes the change inside a savepoint. A constraint that speaks against it refuses this change and no other.
pub(super) async fn apply(
    tx: &mut Transaction<'_, Sqlite>,
    change: &Change,
) -> Result<Applied, StoreError> {
    let mut inner = Connection::begin(&mut **tx).await?;
    let result = match change {
        Change::OpenTicket {
            ticket,
            definition,
            open_max,
        } => open(&mut inner, ticket, definition, *open_max).await,
        Change::Decide(decision) => decide(&mut inner, decision).await,
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
        } => revoke(&mut inner, who, *id, *at, *by, reason.as_deref()).await,
        Change::PreConsent { record, definition } => {
            pre_consent(&mut inner, record, definition).await
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
        | Change::Consume { .. } => return Ok(()),
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
async fn keep_definition(
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
    keep_definition(
        connection,
        &key.tenant,
        ticket.pinned.definition,
        definition,
    )
    .await?;
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
         WHERE id_hash = ? AND tenant = ? AND iss = ? AND sub = ? AND state = 'open' AND expires_at > ?",
    )
    .bind(if decision.allowed {
        "allowed"
    } else {
        "denied"
    })
    .bind(decision.at.0)
    .bind(decision.ticket.to_string())
    .bind(decision.who.tenant.as_str())
    .bind(decision.who.user.issuer.as_str())
    .bind(decision.who.user.subject.as_str())
    .bind(decision.at.0)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if answered != 1 {
        return Ok(Applied::Refused);
    }
    client::keep(connection, &decision.who.tenant, decision.client.as_ref()).await?;
    for record in &decision.records {
        if let Some(sign_in) = record.sign_in
            && !sign_out::goes_on(connection, &decision.who, sign_in, decision.at).await?
        {
            // Its user signed out meanwhile. What holds until then would hold without an end.
            return Ok(Applied::Refused);
        }
        let before = supersede(connection, record, decision.at).await?;
        insert(connection, record, before).await?;
    }
    Ok(Applied::Done)
}

async fn pre_consent(
    connection: &mut SqliteConnection,
    record: &ConsentRow,
    definition: &str,
) -> Result<Applied, StoreError> {
    let key = &record.key;
    keep_definition(
        connection,
        &key.tenant,
        record.pinned.definition,
        definition,
    )
    .await?;
    // A decision that has run out makes room; one that holds is in the way of the unique index, which refuses this.
    let before: Option<Uuid> = sqlx::query(
        "UPDATE consent SET state = 'superseded', ended_at = ?1, ended_by = 'operator' \
         WHERE tenant = ?2 AND iss = ?3 AND sub = ?4 AND client_id = ?5 AND tool = ?6 AND publisher = ?7 AND capability = ?8 \
         AND state IN ('active', 'denied') AND (expires_at <= ?1 OR idle_expires_at <= ?1) RETURNING id",
    )
    .bind(record.decided_at.0)
    .bind(key.tenant.as_str())
    .bind(key.user.issuer.as_str())
    .bind(key.user.subject.as_str())
    .bind(key.client.as_str())
    .bind(key.tool.as_str())
    .bind(key.publisher.as_str())
    .bind(record.capability.to_string())
    .fetch_all(&mut *connection)
    .await?
    .first()
    .map(|row| rows::parsed(row, "consent", "id"))
    .transpose()?;
    insert(connection, record, before).await?;
    Ok(Applied::Done)
}

async fn supersede(
    connection: &mut SqliteConnection,
    record: &ConsentRow,
    at: Timestamp,
) -> Result<Option<Uuid>, StoreError> {
    let key = &record.key;
    sqlx::query(
        "UPDATE consent SET state = 'superseded', ended_at = ?, ended_by = 'user' \
         WHERE tenant = ? AND iss = ? AND sub = ? AND client_id = ? AND tool = ? AND publisher = ? \
         AND capability = ? AND arguments = ? AND state IN ('active', 'denied') RETURNING id",
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
    // All rows, so that the statement is run to its end; the unique index lets there be one.
    .fetch_all(connection)
    .await?
    .first()
    .map(|row| rows::parsed(row, "consent", "id"))
    .transpose()
}

/// Inserts a decision in the place of `before`.
async fn insert(
    connection: &mut SqliteConnection,
    record: &ConsentRow,
    before: Option<Uuid>,
) -> Result<(), StoreError> {
    let (key, evidence) = (&record.key, &record.evidence);
    sqlx::query(
        "INSERT INTO consent (id, tenant, iss, sub, client_id, tool, publisher, component, definition, manifest, \
         capability, tier, scope, sign_in, state, arguments, ticket, ui, acr, auth_time, decided_at, not_before, \
         expires_at, uses_max, idle_expires_at, channel, by_iss, by_sub, amr, locale, version, actors, policy, rules, \
         supersedes, refused, client_kind, client_hosts, client_metadata) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
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
    .bind(record.tier.as_str())
    .bind(record.scope.as_str())
    .bind(record.sign_in.map(|digest| digest.to_string()))
    .bind(record.state.as_str())
    .bind(bound(record))
    .bind(record.ticket.to_string())
    .bind(record.ui.to_string())
    .bind(record.acr.as_deref())
    .bind(record.auth_time.map(|at| at.0))
    .bind(record.decided_at.0)
    .bind(record.not_before.map(|at| at.0))
    .bind(record.expires_at.0)
    .bind(record.uses_max)
    .bind(record.idle_expires_at.map(|at| at.0))
    .bind(record.channel.as_str())
    .bind(evidence.by.as_ref().map(|by| by.issuer.as_str()))
    .bind(evidence.by.as_ref().map(|by| by.subject.as_str()))
    .bind(Json(&evidence.amr))
    .bind(evidence.locale.as_deref())
    .bind(evidence.version.as_deref())
    .bind(Json(&evidence.actors))
    .bind(evidence.policy.map(|digest| digest.to_string()))
    .bind(Json(&evidence.rules))
    .bind(before.map(|id| id.to_string()))
    .bind(evidence.refused)
    .bind(evidence.client.as_ref().map(|client| client.kind.as_str()))
    .bind(evidence.client.as_ref().map(|client| Json(&client.redirect_hosts)))
    .bind(client::digest(evidence.client.as_ref()))
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
    who: &TenantUser,
    id: Uuid,
    at: Timestamp,
    by: Ender,
    reason: Option<&str>,
) -> Result<Applied, StoreError> {
    // The one call for which a consent was used up may still run.
    let running_since =
        at.0.saturating_sub(i64::try_from(LAST_CALL_MAX.as_millis()).unwrap_or(0));
    let ended = sqlx::query(
        "UPDATE consent SET state = 'revoked', ended_at = ?, ended_by = ?, end_reason = ? \
         WHERE id = ? AND tenant = ? AND iss = ? AND sub = ? \
         AND (state IN ('active', 'denied', 'suspended') OR (state = 'consumed' AND ended_at > ?))",
    )
    .bind(at.0)
    .bind(by.as_str())
    .bind(reason)
    .bind(id.to_string())
    .bind(who.tenant.as_str())
    .bind(who.user.issuer.as_str())
    .bind(who.user.subject.as_str())
    .bind(running_since)
    .execute(connection)
    .await?
    .rows_affected();
    Ok(done_if(ended == 1))
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
