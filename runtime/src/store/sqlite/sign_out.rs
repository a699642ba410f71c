//! The end of a sign-in, and whether it goes on.

use sqlx::sqlite::SqliteConnection;
use uuid::Uuid;

use super::super::{Applied, StoreError};
use super::change::done_if;
use super::rows;
use crate::clock::Timestamp;
use crate::ids::{Digest, TenantUser};

/// Whether somebody is signed in under this sign-in.
pub(super) async fn goes_on(
    connection: &mut SqliteConnection,
    who: &TenantUser,
    sign_in: Digest,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let open: i64 = sqlx::query_scalar(
        "SELECT COUNT(*) FROM browser_session WHERE tenant = ? AND iss = ? AND sub = ? AND sign_in = ? AND expires_at > ?",
    )
    .bind(who.tenant.as_str())
    .bind(who.user.issuer.as_str())
    .bind(who.user.subject.as_str())
    .bind(sign_in.to_string())
    .bind(at.0)
    .fetch_one(connection)
    .await?;
    Ok(open > 0)
}

/// Every session of the sign-in goes, and with it every consent that holds for as long: one that is not among those that
/// the records tell of refuses it all.
pub(super) async fn sign_out(
    connection: &mut SqliteConnection,
    who: &TenantUser,
    sign_in: Option<Digest>,
    consents: &[Uuid],
    at: Timestamp,
) -> Result<Applied, StoreError> {
    let sign_in = sign_in.map(|digest| digest.to_string());
    let sessions = sqlx::query(
        "DELETE FROM browser_session WHERE tenant = ?1 AND iss = ?2 AND sub = ?3 AND (?4 IS NULL OR sign_in = ?4)",
    )
    .bind(who.tenant.as_str())
    .bind(who.user.issuer.as_str())
    .bind(who.user.subject.as_str())
    .bind(&sign_in)
    .execute(&mut *connection)
    .await?
    .rows_affected();
    if sessions == 0 {
        return Ok(Applied::Refused);
    }
    let ended = sqlx::query(
        "UPDATE consent SET state = 'revoked', ended_at = ?5, ended_by = 'sign-out' \
         WHERE tenant = ?1 AND iss = ?2 AND sub = ?3 AND scope = 'session' AND (?4 IS NULL OR sign_in = ?4) \
         AND state IN ('active', 'suspended') AND expires_at > ?5 RETURNING id",
    )
    .bind(who.tenant.as_str())
    .bind(who.user.issuer.as_str())
    .bind(who.user.subject.as_str())
    .bind(&sign_in)
    .bind(at.0)
    .fetch_all(connection)
    .await?;
    let mut told = consents.to_vec();
    for row in &ended {
        let id: Uuid = rows::parsed(row, "consent", "id")?;
        let Some(place) = told.iter().position(|one| *one == id) else {
            return Ok(Applied::Refused);
        };
        told.swap_remove(place);
    }
    Ok(done_if(told.is_empty()))
}
