//! Asking: the same question once, however often it is raised.

use std::sync::Arc;

use serde_json::json;

use super::confirm::{key, pinned};
use super::plan::Wanted;
use super::question::Shown;
use super::{
    Arguments, AskingClient, Changed, ConsentError, Consents, Needed, OPEN_QUESTIONS_MAX, TicketId,
};
use crate::audit::{Event, EventKind};
use crate::clients::{Client, Purpose};
use crate::clock::Timestamp;
use crate::ids::ToolName;
use crate::policy::Permit;
use crate::store::{Applied, Change, TicketRow, TicketState, random};

/// What came of asking.
pub(super) enum Asking {
    /// A question is open.
    At(AskedAt),
    /// The client is not what it was known to be, so that something else may have to be asked.
    Otherwise(Client),
}

/// A question that is open.
pub(super) struct AskedAt {
    /// What the caller is told.
    pub(super) needed: Box<Needed>,
    /// Whether this call raised it.
    pub(super) is_new: bool,
}

impl Consents {
    /// Asks the user, or finds the same question open. Before a question is asked, its client is looked at.
    pub(super) async fn ask(
        &self,
        permit: &Permit,
        wanted: &[Wanted],
        path: &[ToolName],
        client: &Client,
        arguments: &Arguments<'_>,
        now: Timestamp,
    ) -> Result<Asking, ConsentError> {
        let mut asking = AskingClient::of(client);
        let shown = Shown::of(permit, wanted, path, &asking);
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
            return Ok(Asking::At(known(&row, false)));
        }
        let read = self
            .look_at_client(&key.client, Purpose::Question, now)
            .await;
        if read != *client {
            return Ok(Asking::Otherwise(read));
        }
        let definition = permit.tool().definition().canonical();
        let changed = match self.store.last_agreed(&key).await? {
            Some(last) => {
                asking.changed = self.client_changed_since(&last, &asking).await?;
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
            .fact("capabilities", shown.capabilities())
            .fact("client_kind", asking.kind.as_str());
        let event = match asking.unread {
            Some(why) => event.fact("client_unread", why.as_str()),
            None => event,
        };
        let event = match path {
            [] => event,
            path => event.fact("called_by", json!(path)),
        };
        let row = TicketRow {
            id_hash: ticket.hash(),
            nonce,
            key,
            pinned,
            question,
            arguments: arguments.digest(),
            shown: shown.clone().changed(changed, asking).to_json(),
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
        match self.audit.commit_in_time(change, vec![event]).await? {
            Applied::Done => Ok(Asking::At(asked)),
            Applied::Existing(same) => Ok(Asking::At(known(&same, false))),
            Applied::Refused => Err(ConsentError::TooManyQuestions),
        }
    }
}
