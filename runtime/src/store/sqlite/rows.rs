//! Rows to values and back. A row that does not hold what we wrote is an error, never a default.

use std::str::FromStr;

use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use sqlx::types::Json;

use super::super::{
    ClientFacts, ConsentKey, ConsentRow, Evidence, Pinned, Seen, SeenClient, StoreError, TicketRow,
};
use super::bodies::Agreed;
use crate::capability::Capability;
use crate::clock::Timestamp;
use crate::ids::User;

/// A number as SQLite keeps it.
pub(super) fn number(value: u64) -> Result<i64, StoreError> {
    i64::try_from(value).map_err(|_| StoreError::Corrupt {
        table: "audit",
        column: "seq",
    })
}

/// A number that is not negative.
pub(super) fn count(
    row: &SqliteRow,
    table: &'static str,
    column: &'static str,
) -> Result<u64, StoreError> {
    u64::try_from(row.try_get::<i64, _>(column)?).map_err(|_| StoreError::Corrupt { table, column })
}

/// A text that means something.
pub(super) fn parsed<T: FromStr>(
    row: &SqliteRow,
    table: &'static str,
    column: &'static str,
) -> Result<T, StoreError> {
    row.try_get::<&str, _>(column)?
        .parse()
        .map_err(|_| StoreError::Corrupt { table, column })
}

/// The same where there may be none.
pub(super) fn parsed_if_any<T: FromStr>(
    row: &SqliteRow,
    table: &'static str,
    column: &'static str,
) -> Result<Option<T>, StoreError> {
    row.try_get::<Option<&str>, _>(column)?
        .map(str::parse)
        .transpose()
        .map_err(|_| StoreError::Corrupt { table, column })
}

fn count_if_any(
    row: &SqliteRow,
    table: &'static str,
    column: &'static str,
) -> Result<Option<u64>, StoreError> {
    row.try_get::<Option<i64>, _>(column)?
        .map(u64::try_from)
        .transpose()
        .map_err(|_| StoreError::Corrupt { table, column })
}

pub(super) fn time(row: &SqliteRow, column: &str) -> Result<Timestamp, StoreError> {
    Ok(Timestamp(row.try_get(column)?))
}

pub(super) fn time_if_any(row: &SqliteRow, column: &str) -> Result<Option<Timestamp>, StoreError> {
    Ok(row.try_get::<Option<i64>, _>(column)?.map(Timestamp))
}

pub(super) fn user(row: &SqliteRow, table: &'static str) -> Result<User, StoreError> {
    Ok(User {
        issuer: parsed(row, table, "iss")?,
        subject: parsed(row, table, "sub")?,
    })
}

fn key(row: &SqliteRow, table: &'static str) -> Result<ConsentKey, StoreError> {
    Ok(ConsentKey {
        tenant: parsed(row, table, "tenant")?,
        user: user(row, table)?,
        client: parsed(row, table, "client_id")?,
        tool: parsed(row, table, "tool")?,
        publisher: parsed(row, table, "publisher")?,
    })
}

fn pinned(row: &SqliteRow, table: &'static str) -> Result<Pinned, StoreError> {
    Ok(Pinned {
        component: parsed(row, table, "component")?,
        definition: parsed(row, table, "definition")?,
        manifest: parsed(row, table, "manifest")?,
    })
}

/// A text of a body that means something.
fn part<T: FromStr>(text: &str, column: &'static str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Corrupt {
        table: "consent",
        column,
    })
}

fn evidence(row: &SqliteRow, table: &'static str, agreed: Agreed) -> Result<Evidence, StoreError> {
    let by = match agreed.by_iss {
        Some(issuer) => Some(User {
            issuer: part(&issuer, "by_iss")?,
            subject: part(&agreed.by_sub.unwrap_or_default(), "by_sub")?,
        }),
        None => None,
    };
    Ok(Evidence {
        by,
        amr: agreed.amr,
        locale: agreed.locale,
        version: agreed.version,
        actors: agreed.actors,
        policy: agreed.policy,
        rules: agreed.rules,
        supersedes: parsed_if_any(row, table, "supersedes")?,
        audit_seq: count_if_any(row, table, "audit_seq")?,
        ended_by: parsed_if_any(row, table, "ended_by")?,
        end_reason: agreed.end_reason,
        ended_seq: count_if_any(row, table, "ended_seq")?,
        refused: row.try_get("refused")?,
        client: client(
            row,
            table,
            ["client_kind", "client_hosts", "client_metadata"],
        )?,
        client_seen: client_seen(row, table)?,
    })
}

/// What was known of a client, in columns of these names.
fn client(
    row: &SqliteRow,
    table: &'static str,
    columns: [&'static str; 3],
) -> Result<Option<ClientFacts>, StoreError> {
    let [kind, hosts, metadata] = columns;
    let Some(kind) = parsed_if_any(row, table, kind)? else {
        return Ok(None);
    };
    Ok(Some(ClientFacts {
        kind,
        redirect_hosts: row.try_get::<Json<_>, _>(hosts)?.0,
        metadata: parsed_if_any(row, table, metadata)?,
    }))
}

fn client_seen(row: &SqliteRow, table: &'static str) -> Result<Option<SeenClient>, StoreError> {
    let Some(at) = time_if_any(row, "client_seen_at")? else {
        return Ok(None);
    };
    let columns = [
        "client_seen_kind",
        "client_seen_hosts",
        "client_seen_metadata",
    ];
    let facts = client(row, table, columns)?.ok_or(StoreError::Corrupt {
        table,
        column: "client_seen_kind",
    })?;
    Ok(Some(SeenClient { at, facts }))
}

fn seen(row: &SqliteRow, table: &'static str) -> Result<Option<Seen>, StoreError> {
    let Some(at) = time_if_any(row, "seen_at")? else {
        return Ok(None);
    };
    Ok(Some(Seen {
        at,
        pinned: Pinned {
            component: parsed(row, table, "seen_component")?,
            definition: parsed(row, table, "seen_definition")?,
            manifest: parsed(row, table, "seen_manifest")?,
        },
        version: row.try_get("seen_version")?,
    }))
}

/// A record of consent, with what its body holds.
pub(super) fn consent(row: &SqliteRow, agreed: Agreed) -> Result<ConsentRow, StoreError> {
    const TABLE: &str = "consent";
    let bound = match row.try_get::<&str, _>("arguments")? {
        "" => None,
        _ => Some(parsed(row, TABLE, "arguments")?),
    };
    let capability: Capability = parsed(row, TABLE, "capability")?;
    Ok(ConsentRow {
        id: parsed(row, TABLE, "id")?,
        key: key(row, TABLE)?,
        pinned: Pinned {
            component: part(&agreed.component, "component")?,
            definition: part(&agreed.definition, "definition")?,
            manifest: part(&agreed.manifest, "manifest")?,
        },
        tier: parsed_if_any(row, TABLE, "tier")?.unwrap_or(capability.tier()),
        capability,
        scope: parsed(row, TABLE, "scope")?,
        sign_in: parsed_if_any(row, TABLE, "sign_in")?,
        state: parsed(row, TABLE, "state")?,
        arguments: bound,
        ticket: parsed(row, TABLE, "ticket")?,
        ui: part(&agreed.ui, "ui")?,
        acr: agreed.acr.clone(),
        auth_time: agreed.auth_time.map(Timestamp),
        decided_at: time(row, "decided_at")?,
        not_before: time_if_any(row, "not_before")?,
        expires_at: time(row, "expires_at")?,
        uses_max: row.try_get("uses_max")?,
        uses: row.try_get("uses")?,
        last_used_at: time_if_any(row, "last_used_at")?,
        idle_expires_at: time_if_any(row, "idle_expires_at")?,
        channel: parsed(row, TABLE, "channel")?,
        ended_at: time_if_any(row, "ended_at")?,
        evidence: evidence(row, TABLE, agreed)?,
        seen: seen(row, TABLE)?,
    })
}

/// A question, with what its body holds.
pub(super) fn ticket(row: &SqliteRow, shown: String) -> Result<TicketRow, StoreError> {
    const TABLE: &str = "ticket";
    let nonce = row
        .try_get::<&[u8], _>("nonce")?
        .try_into()
        .map_err(|_| StoreError::Corrupt {
            table: TABLE,
            column: "nonce",
        })?;
    Ok(TicketRow {
        id_hash: parsed(row, TABLE, "id_hash")?,
        nonce,
        key: key(row, TABLE)?,
        pinned: pinned(row, TABLE)?,
        question: parsed(row, TABLE, "question")?,
        arguments: parsed(row, TABLE, "arguments")?,
        shown,
        state: parsed(row, TABLE, "state")?,
        created_at: time(row, "created_at")?,
        expires_at: time(row, "expires_at")?,
    })
}
