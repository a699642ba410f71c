//! The chain: every record holds the digest of the one before it.
//!
//! [`verify`] finds a record that was changed, moved or taken out, and records cut off behind the head that the store
//! keeps apart. Whoever can write the whole file can also write a new chain and a new head, or restore an old copy of
//! both: only a head that is kept outside, where the owner of the file cannot change it, shows that. The `head` of
//! [`Verified`] is what to keep there.

use serde::Deserialize;
use uuid::Uuid;

use super::canonical;
use super::record::Record;
use crate::ids::Digest;
use crate::store::{AuditRow, Chained, Head, Linked, Store, StoreError};

/// Records that are read at once.
pub(super) const PAGE: u32 = 500;

/// What a record says of its place.
#[derive(Deserialize)]
struct Place {
    log_id: Uuid,
    seq: u64,
    prev_hash: Digest,
}

impl Chained for Record {
    /// Canonical JSON (RFC 8785) with the digest of the record before it.
    fn behind(&mut self, head: &Head) -> Result<Linked, serde_json::Error> {
        let seq = head.seq.saturating_add(1);
        self.log_id = Some(head.log_id);
        self.prev_hash = Some(head.hash);
        self.seq = Some(seq);
        let text = canonical::text(self)?;
        Ok(Linked {
            head: Head {
                log_id: head.log_id,
                seq,
                hash: Digest::of(text.as_bytes()),
            },
            text,
        })
    }

    fn consents(&self) -> &[String] {
        &self.consents
    }
}

/// A chain without damage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many records there are.
    pub records: u64,
    /// The last one. Kept outside, it shows later whether the log was rewritten.
    pub head: Head,
}

/// What is wrong with a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// The record is not what its digest says.
    #[error("the record was altered")]
    Altered,
    /// The record is not what the one behind it was chained to.
    #[error("the record was replaced: the record behind it is chained to another")]
    Replaced,
    /// A record says that it belongs elsewhere.
    #[error("a record stands here that says it is number {says}")]
    Moved {
        /// The number that the record gives itself.
        says: u64,
    },
    /// There is no such record, though there are later ones.
    #[error("the record is missing")]
    Missing,
    /// The log ends before its head.
    #[error("the log ends here, but its head is number {head}: records were cut off")]
    Truncated {
        /// Number of the head.
        head: u64,
    },
    /// The record stands behind the head.
    #[error("the record stands behind the head of the log")]
    BehindHead,
    /// The record belongs to another log.
    #[error("the record belongs to another log")]
    OtherLog,
    /// The record is no record.
    #[error("the record cannot be read")]
    Unreadable,
}

/// A chain is damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("audit record {seq}: {what}")]
pub struct Broken {
    /// The record, or the place where one is missing.
    pub seq: u64,
    /// What is wrong with it.
    pub what: Damage,
}

/// A chain could not be shown to be whole.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It is not.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// It cannot be read.
    #[error("the audit log cannot be read")]
    Store(#[from] StoreError),
}

/// Reads the whole log and checks every record against the one before it and the last against the head. Records that
/// are written meanwhile do not matter.
pub async fn verify(store: &dyn Store) -> Result<Verified, VerifyError> {
    let head = store.head().await?;
    let mut walk = Walk::new(head.log_id);
    loop {
        let page = store.audit_from(walk.next, PAGE).await?;
        if page.is_empty() {
            break;
        }
        for row in &page {
            // What stands behind the head was written after we read it, or by somebody else: told apart below.
            if row.seq > head.seq {
                break;
            }
            walk.step(row)?;
        }
        if page.last().is_none_or(|last| last.seq >= head.seq) {
            break;
        }
    }
    walk.end(&head)?;
    let later = store.audit_from(head.seq.saturating_add(1), PAGE).await?;
    let now = store.head().await?;
    if let Some(row) = later.iter().find(|row| row.seq > now.seq) {
        return Err(broken(row.seq, Damage::BehindHead).into());
    }
    Ok(Verified {
        records: head.seq,
        head,
    })
}

/// Where a walk along the chain stands.
struct Walk {
    log_id: Uuid,
    next: u64,
    /// Digest of the record before, computed from its text; none before the first.
    previous: Option<Digest>,
}

impl Walk {
    fn new(log_id: Uuid) -> Self {
        Self {
            log_id,
            next: 1,
            previous: None,
        }
    }

    fn step(&mut self, row: &AuditRow) -> Result<(), Broken> {
        let seq = self.next;
        if row.seq != seq {
            return Err(broken(seq, Damage::Missing));
        }
        let hash = Digest::of(row.text.as_bytes());
        if hash != row.hash {
            return Err(broken(seq, Damage::Altered));
        }
        let place: Place =
            serde_json::from_str(&row.text).map_err(|_| broken(seq, Damage::Unreadable))?;
        if place.log_id != self.log_id {
            return Err(broken(seq, Damage::OtherLog));
        }
        if place.seq != seq {
            return Err(broken(seq, Damage::Moved { says: place.seq }));
        }
        match self.previous {
            Some(previous) if place.prev_hash != previous => {
                return Err(broken(seq - 1, Damage::Replaced));
            }
            None if place.prev_hash.as_bytes() != &[0; 32] => {
                return Err(broken(seq, Damage::Altered));
            }
            Some(_) | None => {}
        }
        self.previous = Some(hash);
        self.next += 1;
        Ok(())
    }

    fn end(&self, head: &Head) -> Result<(), Broken> {
        let last = self.next - 1;
        if last < head.seq {
            return Err(broken(self.next, Damage::Truncated { head: head.seq }));
        }
        match self.previous {
            Some(hash) if hash != head.hash => Err(broken(last, Damage::Replaced)),
            Some(_) | None => Ok(()),
        }
    }
}

fn broken(seq: u64, what: Damage) -> Broken {
    Broken { seq, what }
}
