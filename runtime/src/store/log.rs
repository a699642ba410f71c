//! The audit log as it is kept, and what is appended to it.

use uuid::Uuid;

use super::block::Word;
use super::records::{Change, TicketRow};
use crate::clock::Timestamp;
use crate::ids::Digest;

/// The end of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Which log this is.
    pub log_id: Uuid,
    /// Number of the last record; 0 when there is none.
    pub seq: u64,
    /// Digest of the last record; of an empty log 32 zero bytes.
    pub hash: Digest,
}

/// One record of the audit log as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Where it stands.
    pub seq: u64,
    /// Its digest, as kept beside it.
    pub hash: Digest,
    /// Its canonical JSON.
    pub text: String,
}

/// A record that knows its place.
#[derive(Debug, Clone)]
pub struct Linked {
    /// The log after this record.
    pub head: Head,
    /// Its canonical JSON.
    pub text: String,
}

/// Something that can stand in the log.
pub trait Chained: Send {
    /// Itself, behind the head.
    fn behind(&mut self, head: &Head) -> Result<Linked, serde_json::Error>;

    /// The consents of whose making or end it tells, by id.
    fn consents(&self) -> &[String];

    /// When it was.
    fn at(&self) -> Timestamp;

    /// Hands on each word by which it can be found.
    fn words(&self, each: &mut dyn FnMut(Word<'_>));
}

/// Records to be chained and the change that they tell of, if it is one.
#[derive(Default)]
pub struct Draft<'a> {
    /// The change; the records are written only if it is made.
    pub change: Option<Change>,
    /// The records.
    pub records: Vec<&'a mut dyn Chained>,
}

/// What became of a draft.
#[derive(Debug, Clone)]
pub enum Applied {
    /// The change, if there was one, is made and the records are in the log.
    Done,
    /// The same question is open already.
    Existing(Box<TicketRow>),
    /// The change could not be made: it was made before, is too late, or names nothing of this user.
    Refused,
}
