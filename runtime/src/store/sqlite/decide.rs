//! What was decided is kept: by a user about a question, or by the operator.

use sqlx::sqlite::SqliteConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::super::{Applied, ConsentRow, Decision, StoreError};
use super::bodies::{self, Agreed, CONSENT};
use super::change::keep_definition;
use super::rest::Rest;
use super::{client, rows, sign_out};
use crate::clock::Timestamp;

pub(super) async fn decide(
    rest: &Rest,
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
        insert(rest, connection, record, before).await?;
    }
    Ok(Applied::Done)
}

pub(super) async fn pre_consent(
    rest: &Rest,
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
    insert(rest, connection, record, before).await?;
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
    rest: &Rest,
    connection: &mut SqliteConnection,
    record: &ConsentRow,
    before: Option<Uuid>,
) -> Result<(), StoreError> {
    let (key, evidence) = (&record.key, &record.evidence);
    let agreed = Agreed::of(record);
    let clear = match rest.is_sealed() {
        true => Agreed::default(),
        false => agreed.clone(),
    };
    let inserted = sqlx::query(
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
    .bind(&clear.component)
    .bind(&clear.definition)
    .bind(&clear.manifest)
    .bind(record.capability.to_string())
    .bind(record.tier.as_str())
    .bind(record.scope.as_str())
    .bind(record.sign_in.map(|digest| digest.to_string()))
    .bind(record.state.as_str())
    .bind(bound(record))
    .bind(record.ticket.to_string())
    .bind(&clear.ui)
    .bind(&clear.acr)
    .bind(clear.auth_time)
    .bind(record.decided_at.0)
    .bind(record.not_before.map(|at| at.0))
    .bind(record.expires_at.0)
    .bind(record.uses_max)
    .bind(record.idle_expires_at.map(|at| at.0))
    .bind(record.channel.as_str())
    .bind(&clear.by_iss)
    .bind(&clear.by_sub)
    .bind(Json(&clear.amr))
    .bind(&clear.locale)
    .bind(&clear.version)
    .bind(Json(&clear.actors))
    .bind(clear.policy.map(|digest| digest.to_string()))
    .bind(Json(&clear.rules))
    .bind(before.map(|id| id.to_string()))
    .bind(evidence.refused)
    .bind(evidence.client.as_ref().map(|client| client.kind.as_str()))
    .bind(evidence.client.as_ref().map(|client| Json(&client.redirect_hosts)))
    .bind(client::digest(evidence.client.as_ref()))
    .execute(&mut *connection)
    .await?;
    if rest.is_sealed() {
        let row_id = inserted.last_insert_rowid();
        rest.put(connection, &CONSENT, row_id, &bodies::json(&agreed)?)
            .await?;
    }
    Ok(())
}

fn bound(record: &ConsentRow) -> String {
    record
        .arguments
        .map(|digest| digest.to_string())
        .unwrap_or_default()
}
