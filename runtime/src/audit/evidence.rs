//! Evidence that stands beside the log and is proven by it.
//!
//! A record holds a digest of it, under the key of the user whom the record is about. Who has the evidence and that key can say that it
//! is what was recorded; nobody learns anything of it from the record, and once the key is destroyed nobody can even guess.

use aws_lc_rs::hmac;
use serde_json::Value;

use super::record::Record;
use super::{kept_key_of, mac, pseudonym_under};
use crate::ids::{Digest, TenantUser};
use crate::store::{Store, StoreError};

/// The fact that holds the digest.
pub(super) const FACT: &str = "evidence";

/// What the log says of evidence that stands beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidenced {
    /// It is what was recorded.
    Recorded,
    /// Something else was recorded.
    Differs,
    /// There is nothing to compare it with: no such record, none with a digest, or the key of its user was destroyed.
    Unknown,
}

impl Evidenced {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Differs => "differs",
            Self::Unknown => "unknown",
        }
    }
}

/// What a record about this user says of evidence. Names stand in the order of canonical JSON.
pub(super) fn under(key: &hmac::Key, evidence: &Value) -> Digest {
    // An issuer is a URL, so no pseudonym is made of these parts.
    mac(key, &[b"evidence", evidence.to_string().as_bytes()])
}

/// Whether the record of this number says the same of this user.
pub async fn evidenced(
    store: &dyn Store,
    seq: Option<u64>,
    who: &TenantUser,
    evidence: &Value,
) -> Result<Evidenced, StoreError> {
    let Some(seq) = seq else {
        return Ok(Evidenced::Unknown);
    };
    let found = store.audit_from(seq, 1).await?.pop();
    let Some(row) = found.filter(|row| row.seq == seq) else {
        return Ok(Evidenced::Unknown);
    };
    let record: Record = serde_json::from_str(&row.text).map_err(StoreError::Record)?;
    let Some(key) = kept_key_of(store, &who.tenant, &who.user).await? else {
        return Ok(Evidenced::Unknown);
    };
    let is_theirs = record.subject == Some(pseudonym_under(&key, &who.user));
    let told = record.facts.get(FACT).and_then(Value::as_str);
    Ok(match told.filter(|_| is_theirs) {
        Some(told) if told == under(&key, evidence).to_string() => Evidenced::Recorded,
        Some(_) => Evidenced::Differs,
        None => Evidenced::Unknown,
    })
}
