//! The end of a sign-in: its sessions, and with them the consents that hold for as long as it goes on.
//!
//! First in the state, in one transaction with its records, then from the calls that run: as a revocation.

use super::{Consents, TicketError};
use crate::audit::{Event, EventKind};
use crate::clock::Timestamp;
use crate::store::{Applied, Change, ConsentRow, Ender, Session};

/// How often it is tried again where a consent was given or ended meanwhile. Each time, somebody else got on.
const TRIES_MAX: u32 = 8;

impl Consents {
    /// Signs the user of this session out: of this sign-in, or `everywhere`. `false` when they were signed out before.
    ///
    /// When it returns, no call of this process has an effect under a consent that ended with it.
    pub async fn sign_out(
        &self,
        session: &Session,
        everywhere: bool,
        now: Timestamp,
    ) -> Result<bool, TicketError> {
        let who = &session.who;
        let sign_in = (!everywhere).then_some(session.sign_in);
        for _ in 0..TRIES_MAX {
            let rows = self.store.consents_of_sign_in(who, sign_in, now).await?;
            let ended = Event::new(EventKind::SignedOut)
                .user(&who.tenant, &who.user)
                .fact("session", session.id_hash.to_string())
                .fact("everywhere", everywhere)
                .fact("consents_ended", rows.len());
            let events = std::iter::once(ended).chain(rows.iter().map(revoked));
            let ids: Vec<_> = rows.iter().map(|row| row.id).collect();
            let change = Change::SignOut {
                who: who.clone(),
                sign_in,
                consents: ids.clone(),
                at: now,
            };
            let applied = self.audit.commit(change, events.collect()).await?;
            if let Applied::Done = applied {
                self.running.revoke(&ids).await;
                return Ok(true);
            }
            // A consent came or went, or the sign-in is over.
            if self.store.session(session.id_hash, now).await?.is_none() {
                return Ok(false);
            }
        }
        Err(TicketError::Unknown)
    }
}

fn revoked(row: &ConsentRow) -> Event {
    Event::new(EventKind::ConsentRevoked)
        .user(&row.key.tenant, &row.key.user)
        .client(&row.key.client)
        .tool(&row.key.tool)
        .consents(vec![row.id.to_string()])
        .fact("capability", row.capability.to_string())
        .fact("by", Ender::SignOut.as_str())
}
