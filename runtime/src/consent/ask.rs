//! Asking: the same question once, however often it is raised.

use std::sync::Arc;

use super::confirm::{key, pinned};
use super::plan::Wanted;
use super::question::Shown;
use super::{Arguments, Changed, ConsentError, Consents, Needed, OPEN_QUESTIONS_MAX, TicketId};
use crate::audit::{Event, EventKind};
use crate::clock::Timestamp;
use crate::policy::Permit;
use crate::store::{Applied, Change, TicketRow, TicketState, random};

/// A question that is open.
pub(super) struct AskedAt {
    /// What the caller is told.
    pub(super) needed: Box<Needed>,
    /// Whether this call raised it.
    pub(super) is_new: bool,
}

impl Consents {
    /// Asks the user, or finds the same question open.
    pub(super) async fn ask(
        &self,
        permit: &Permit,
        wanted: &[Wanted],
        arguments: &Arguments<'_>,
        now: Timestamp,
    ) -> Result<AskedAt, ConsentError> {
        let shown = Shown::of(permit, wanted);
        let text = match shown.binds() {
            true => Some(arguments.shown().ok_or(ConsentError::NotShowable)?),
            false => None,
        };
        let (key, pinned) = (key(permit), pinned(permit));
        let question = shown.digest(&key, &pinned, arguments.digest());
        let known = |row: &TicketRow, is_new: bool| {
            if let Some(text) = &text {
                self.arguments.keep(row.id_hash, Arc::clone(text));
            }
            AskedAt {
                needed: shown.needed(TicketId::derive(&self.tickets, &row.nonce), row.expires_at),
                is_new,
            }
        };
        if let Some(row) = self.store.open_ticket(&key.tenant, question, now).await? {
            return Ok(known(&row, false));
        }
        let definition = permit.tool().definition().canonical();
        let changed = match self.store.last_agreed(&key).await? {
            Some(last) => {
                let before = self.store.definition(&key.tenant, last.pinned.definition);
                Changed::since(&last, &key, &pinned, before.await?.as_deref(), &definition)
            }
            None => None,
        };
        let nonce = random()?;
        let ticket = TicketId::derive(&self.tickets, &nonce);
        let event = Event::new(EventKind::ConsentAsked)
            .user(&key.tenant, &key.user)
            .client(&key.client)
            .tool(&key.tool)
            .ticket(ticket.hash())
            .fact("capabilities", shown.capabilities());
        let row = TicketRow {
            id_hash: ticket.hash(),
            nonce,
            key,
            pinned,
            question,
            arguments: arguments.digest(),
            shown: shown.clone().changed(changed).to_json(),
            state: TicketState::Open,
            created_at: now,
            expires_at: now.plus(shown.open_for()),
        };
        let asked = known(&row, true);
        let change = Change::OpenTicket {
            ticket: Box::new(row),
            definition,
            open_max: OPEN_QUESTIONS_MAX,
        };
        match self.audit.commit(change, vec![event]).await? {
            Applied::Done => Ok(asked),
            Applied::Existing(same) => Ok(known(&same, false)),
            Applied::Refused => Err(ConsentError::TooManyQuestions),
        }
    }
}
