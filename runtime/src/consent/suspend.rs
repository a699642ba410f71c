//! Suspending: what users agreed to stops to hold, for all of them and in every tenant, since what they agreed to is not there
//! any more. Nothing comes back by itself; the operator can say that it is what it was (`consent resume`).

use super::{Consents, TicketError};
use crate::audit::{Event, EventKind};
use crate::clients::Unread;
use crate::clock::Timestamp;
use crate::ids::{ClientId, Publisher, ToolName};
use crate::store::{Applied, Change, ConsentRow, Ender, StoreError};

/// Records that one transaction suspends.
const AT_ONCE: u32 = 200;
/// How often the same records are tried again that changed meanwhile.
const TRIES_MAX: u32 = 8;

/// What is not what it was.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cause<'a> {
    /// A tool of this name has this publisher now.
    Publisher {
        tool: &'a ToolName,
        publisher: &'a Publisher,
    },
    /// Sign-ins of this client lead back to these hosts now.
    ClientHosts {
        client: &'a ClientId,
        hosts: &'a [String],
    },
    /// The document of this client cannot be read since then.
    ClientGone {
        client: &'a ClientId,
        why: Unread,
        since: Timestamp,
    },
}

impl Cause<'_> {
    fn ender(self) -> Ender {
        match self {
            Self::Publisher { .. } => Ender::Publisher,
            Self::ClientHosts { .. } => Ender::Client,
            Self::ClientGone { .. } => Ender::ClientGone,
        }
    }

    /// What the log says of one record.
    fn told(self, row: &ConsentRow) -> Event {
        let event = about(EventKind::ConsentSuspended, row);
        match self {
            Self::Publisher { publisher, .. } => event
                .fact("publisher_before", row.key.publisher.as_str())
                .fact("publisher", publisher.as_str()),
            Self::ClientHosts { hosts, .. } => {
                let before = row.evidence.client_now().map(|then| &then.redirect_hosts);
                event
                    .fact("reason", "redirect-hosts")
                    .fact("redirect_hosts_before", before.cloned().unwrap_or_default())
                    .fact("redirect_hosts", hosts.to_vec())
            }
            Self::ClientGone { why, since, .. } => event
                .fact("reason", "document-gone")
                .fact("unread", why.as_str())
                .fact("unread_since", since.rfc3339()),
        }
    }
}

impl Consents {
    /// Suspends what was agreed to of what is not there any more, and takes it from calls that run. How many records that were.
    pub(super) async fn suspend(
        &self,
        cause: Cause<'_>,
        now: Timestamp,
    ) -> Result<u64, TicketError> {
        let (mut suspended, mut tries) = (0, 0);
        loop {
            let rows = self.concerned(cause).await?;
            if rows.is_empty() || tries == TRIES_MAX {
                return Ok(suspended);
            }
            let events = rows.iter().map(|row| cause.told(row)).collect();
            let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
            let change = Change::Suspend {
                ids: ids.clone(),
                at: now,
                by: cause.ender(),
            };
            match self.audit.commit(change, events).await? {
                Applied::Done => {
                    self.running.revoke(&ids).await;
                    suspended += u64::try_from(ids.len()).unwrap_or(u64::MAX);
                    tries = 0;
                }
                // One of them ended meanwhile.
                Applied::Refused | Applied::Existing(_) => tries += 1,
            }
        }
    }

    async fn concerned(&self, cause: Cause<'_>) -> Result<Vec<ConsentRow>, StoreError> {
        match cause {
            Cause::Publisher { tool, publisher } => {
                self.store.active_of_others(tool, publisher, AT_ONCE).await
            }
            Cause::ClientHosts { client, hosts } => {
                let other_than = Some(hosts);
                self.store
                    .active_of_client(client, other_than, AT_ONCE)
                    .await
            }
            Cause::ClientGone { client, .. } => {
                self.store.active_of_client(client, None, AT_ONCE).await
            }
        }
    }

    /// Lets a suspended record hold again, by the word of the operator. `false` when it is not suspended, has run out, or
    /// its user has decided anew.
    pub async fn resume(&self, row: &ConsentRow, now: Timestamp) -> Result<bool, TicketError> {
        let change = Change::Resume {
            id: row.id,
            at: now,
        };
        let event = about(EventKind::ConsentResumed, row)
            .fact("publisher", row.key.publisher.as_str())
            .fact("by", "operator");
        let applied = self.audit.commit(change, vec![event]).await?;
        Ok(matches!(applied, Applied::Done))
    }
}

fn about(kind: EventKind, row: &ConsentRow) -> Event {
    Event::new(kind)
        .user(&row.key.tenant, &row.key.user)
        .client(&row.key.client)
        .tool(&row.key.tool)
        .consents(vec![row.id.to_string()])
        .fact("capability", row.capability.to_string())
}
