//! The audit log, and what administrators read.

use std::time::Duration;

/// Records that may wait for the audit writer; beyond it callers wait for [`AUDIT_WAIT_MAX`], nothing is dropped.
pub const AUDIT_QUEUE_MAX: usize = 1_024;
/// How long a call waits for room among them, and for the disk to have a record of it. The store itself gives up after ten
/// seconds; a disk that hangs says nothing at all.
pub const AUDIT_WAIT_MAX: Duration = Duration::from_secs(8);
/// Records of one kind a minute about what anybody can cause, such as a bad token; beyond it they are counted.
pub const AUDIT_SAMPLED_MAX: usize = 60;
/// The same of one user, about calls that are made too often: enough to see what for, and nobody else's become a number.
pub const AUDIT_SAMPLED_OF_USER_MAX: usize = 10;
/// Users who are told apart for that at once. Beyond them they share one count, so that it takes no more than some hundred KiB.
pub const AUDIT_SAMPLED_USERS_MAX: usize = 1_024;
/// Records that one commit holds at most. A commit waits for the disk, so this over its time bounds the calls per second.
pub const AUDIT_BATCH_MAX: usize = 512;
/// Records after which there is a checkpoint, when the configuration says nothing.
pub const CHECKPOINT_RECORDS_DEFAULT: u64 = 1_000;
/// Most records that an operator lets go by without a checkpoint: what is behind the last one can be cut off unseen.
pub const CHECKPOINT_RECORDS_MAX: u64 = 100_000;
/// Time after which there is a checkpoint of what is new, when the configuration says nothing.
pub const CHECKPOINT_EVERY_DEFAULT: Duration = Duration::from_secs(60);
/// Longest time that an operator lets go by without one.
pub const CHECKPOINT_EVERY_MAX: Duration = Duration::from_secs(24 * 3600);
/// After how many records it is noted how far every call is closed: a server that was killed looks through as many, and those of
/// its oldest open call, before it takes calls again. That is some ten milliseconds.
pub const AUDIT_CLOSED_NOTED_EVERY: u64 = 1_000;
/// Places that checkpoints are copied to; each has a task of its own.
pub const AUDIT_COPIES_MAX: usize = 8;
/// How long one checkpoint may take to a place outside, until it answered.
pub const AUDIT_COPY_WAIT_MAX: Duration = Duration::from_secs(10);
/// How far a copy may be behind before the server counts as not ready: long enough for a restart of the other side.
pub const AUDIT_COPY_LAG_MAX: Duration = Duration::from_secs(300);
/// Shortest time for which records can be kept: what happened must be found before it is gone.
pub const AUDIT_KEEP_MIN: Duration = Duration::from_secs(30 * 24 * 3600);
/// Longest time for which records can be kept, when it shall have an end: a hundred years.
pub const AUDIT_KEEP_MAX: Duration = Duration::from_secs(36_500 * 24 * 3600);
/// Records that are pruned in one transaction: some ten milliseconds, in which no other record is written.
pub const AUDIT_PRUNE_MAX: u32 = 1_000;

/// Things on one page of an administrator's answer, when the request says nothing.
pub const ADMIN_PAGE_DEFAULT: usize = 100;
/// Things on one page of an administrator's answer: some hundred KiB.
pub const ADMIN_PAGE_MAX: usize = 500;
/// Consents that one request of an administrator names, or takes back by what they have in common. Each waits for the disk.
pub const ADMIN_REVOKED_MAX: usize = 500;
/// Problems, warnings and refused files that the state of the server names; the log has all of them.
pub const ADMIN_PROBLEMS_MAX: usize = 100;
