//! What becomes of consents when their client is not what it was.
//!
//! A consent is through one client, which is an id in a token. What that id stands for can change: whoever holds its address may
//! let sign-ins lead back to another host, and from then on tokens for that id reach somebody else. So what was known of the
//! client stands in the record, and is compared with what is known now.

use serde::{Deserialize, Serialize};

use super::suspend::Cause;
use super::{ConsentError, Consents, TicketError, UsedRecord};
use crate::audit::{Event, EventKind};
use crate::capability::Tier;
use crate::clients::{Client, Purpose, Unread, name_in};
use crate::clock::Timestamp;
use crate::ids::{ClientId, Digest};
use crate::limits::CLIENT_GONE_AFTER;
use crate::policy::Permit;
use crate::problem::caused;
use crate::store::{
    Applied, Change, ClientFacts, ClientKind, ClientText, ConsentRow, ConsentState, Ender,
    SeenClient, StoreError,
};

/// The client of a question as its page shows it; kept as it was when the question was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskingClient {
    /// How well it is known.
    pub kind: ClientKind,
    /// What it is called: by itself, or by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where its sign-ins lead back to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redirect_hosts: Vec<String>,
    /// Why what it says of itself could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<Unread>,
    /// What is different about it since its user last agreed to something of this tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<ClientChanged>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<Digest>,
}

/// What changed about a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientChanged {
    /// When the user agreed to something through it.
    pub agreed_at: Timestamp,
    /// What it was then.
    pub before: ClientSaid,
    /// What it is now.
    pub after: ClientSaid,
}

/// What was known of a client, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSaid {
    /// How well it was known.
    pub kind: ClientKind,
    /// What it was called, where that is on record.
    pub name: Option<String>,
    /// Where its sign-ins led back to.
    pub redirect_hosts: Vec<String>,
}

impl AskingClient {
    pub(super) fn of(client: &Client) -> Self {
        let facts = facts(client);
        let text = text(client);
        Self {
            kind: facts
                .as_ref()
                .map_or(ClientKind::Registered, |facts| facts.kind),
            name: match client {
                Client::Named(named) => Some(named.name.clone()),
                Client::Document(document) => Some(document.name().to_owned()),
                Client::Unread(_) | Client::Registered | Client::NotLooked => None,
            },
            metadata: facts.as_ref().and_then(|facts| facts.metadata),
            redirect_hosts: facts.map(|facts| facts.redirect_hosts).unwrap_or_default(),
            unread: match client {
                Client::Unread(why) => Some(*why),
                Client::Named(_) | Client::Document(_) | Client::Registered | Client::NotLooked => {
                    None
                }
            },
            changed: None,
            text: text.map(|text| text.text),
        }
    }

    /// What a record keeps of it.
    pub(super) fn facts(&self) -> ClientFacts {
        ClientFacts {
            kind: self.kind,
            redirect_hosts: self.redirect_hosts.clone(),
            metadata: self.metadata,
        }
    }

    /// What is kept beside records.
    pub(super) fn text(&self) -> Option<ClientText> {
        Some(ClientText {
            digest: self.metadata?,
            text: self.text.clone()?,
        })
    }

    /// What makes a question another one.
    pub(super) fn identity(&self) -> (ClientKind, Option<Digest>, bool) {
        (self.kind, self.metadata, self.unread.is_some())
    }
}

/// What a record would keep of a client; nothing where nobody looked.
pub(super) fn facts(client: &Client) -> Option<ClientFacts> {
    let of = |kind, redirect_hosts: &[String], metadata| ClientFacts {
        kind,
        redirect_hosts: redirect_hosts.to_vec(),
        metadata,
    };
    match client {
        Client::Named(named) => Some(of(ClientKind::PreRegistered, &[], Some(named.digest))),
        Client::Document(document) => Some(of(
            ClientKind::MetadataDocument,
            document.hosts(),
            Some(document.digest()),
        )),
        Client::Unread(_) | Client::Registered => Some(of(ClientKind::Registered, &[], None)),
        Client::NotLooked => None,
    }
}

fn text(client: &Client) -> Option<ClientText> {
    let (digest, text) = match client {
        Client::Named(named) => (named.digest, named.canonical.as_str()),
        Client::Document(document) => (document.digest(), document.canonical()),
        Client::Unread(_) | Client::Registered | Client::NotLooked => return None,
    };
    let text = text.to_owned();
    Some(ClientText { digest, text })
}

/// What it means for a consent what its client is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bearing {
    /// Nothing.
    Same,
    /// It goes on, and its user can see it.
    Noticed,
    /// It serves nothing, until the client is again what it was.
    Again,
    /// Sign-ins lead back to other hosts: it is suspended.
    Suspended,
}

/// What it means for a consent of this tier, through what was known of a client then, what is known of it now. Pure.
pub(super) fn bearing(then: Option<&ClientFacts>, now: &Client, tier: Tier) -> Bearing {
    let Some(is) = facts(now) else {
        return Bearing::Same;
    };
    let was_document = then.is_some_and(|then| then.kind == ClientKind::MetadataDocument);
    match now {
        // The last word of a document counts until it is gone; of what nobody knew, nothing new is known.
        Client::Unread(_) if was_document || then.is_none() => return Bearing::Same,
        // The operator's word now is at least what anybody's was then.
        Client::Named(_) if then != Some(&is) => return Bearing::Noticed,
        Client::Document(_)
            if then
                .is_some_and(|then| was_document && then.redirect_hosts != is.redirect_hosts) =>
        {
            return Bearing::Suspended;
        }
        Client::Named(_)
        | Client::Document(_)
        | Client::Unread(_)
        | Client::Registered
        | Client::NotLooked => {}
    }
    match then {
        Some(then) if *then == is => Bearing::Same,
        // What was not recorded is recorded from now on.
        None => Bearing::Noticed,
        Some(_) if tier <= Tier::T1 => Bearing::Noticed,
        Some(_) => Bearing::Again,
    }
}

/// What it means for this record. A denial is not through a client that somebody trusted: it holds.
/// `tier` is that of its capability under the rules in force.
fn bearing_on(row: &ConsentRow, client: &Client, tier: Tier) -> Bearing {
    match row.state {
        ConsentState::Active => bearing(row.evidence.client_now(), client, tier.max(row.tier)),
        ConsentState::Denied
        | ConsentState::Consumed
        | ConsentState::Revoked
        | ConsentState::Superseded
        | ConsentState::Suspended => Bearing::Same,
    }
}

/// Whether a record counts, as its client is known now.
pub(super) fn counts(row: &ConsentRow, client: &Client, tier: Tier) -> bool {
    match bearing_on(row, client, tier) {
        Bearing::Same | Bearing::Noticed => true,
        Bearing::Again | Bearing::Suspended => false,
    }
}

impl Consents {
    /// What is known of a client now. Where that is stale its document is read beside the call, for those that follow.
    pub(super) fn known_client(&self, id: &ClientId, now: Timestamp) -> Client {
        let (client, due) = self.clients.known(id, now);
        if due {
            let (consents, id) = (self.clone(), id.clone());
            tokio::spawn(async move { consents.look_at_client(&id, Purpose::Use, now).await });
        }
        client
    }

    /// Looks at a client, and acts on what is found.
    pub(super) async fn look_at_client(
        &self,
        id: &ClientId,
        purpose: Purpose,
        now: Timestamp,
    ) -> Client {
        let look = self.clients.look(id, purpose, now).await;
        if look.read
            && let Err(error) = self.settle_client(id, &look.client, now).await
        {
            // What it may not serve it does not serve either way: each call compares.
            tracing::error!(client = %id, error = %caused(&error),
                "it could not be recorded what became of a client");
        }
        look.client
    }

    /// Suspends what was agreed to through a client that is not what it was.
    async fn settle_client(
        &self,
        id: &ClientId,
        client: &Client,
        now: Timestamp,
    ) -> Result<(), TicketError> {
        let cause = match client {
            Client::Document(document) => {
                self.store.note_client_read(id).await?;
                Cause::ClientHosts {
                    client: id,
                    hosts: document.hosts(),
                }
            }
            Client::Unread(why) if why.was_looked_for() => {
                let since = self.store.note_client_unread(id, now).await?;
                let Some(since) = since.filter(|since| now.since(*since) >= CLIENT_GONE_AFTER)
                else {
                    return Ok(());
                };
                Cause::ClientGone {
                    client: id,
                    why: *why,
                    since,
                }
            }
            Client::Unread(_) | Client::Named(_) | Client::Registered | Client::NotLooked => {
                return Ok(());
            }
        };
        let count = self.suspend(cause, now).await?;
        if count > 0 {
            tracing::warn!(client = %id, count, "the client is not what it was; what users agreed to through it is suspended");
        }
        Ok(())
    }

    /// Notes which consents are used through a client that is not what it was, so that their users can see it. `false` when one
    /// of them ended meanwhile.
    pub(super) async fn noticed_client(
        &self,
        permit: &Permit,
        rows: &[ConsentRow],
        used: &[UsedRecord],
        client: &Client,
        now: Timestamp,
    ) -> Result<bool, ConsentError> {
        let Some(facts) = facts(client) else {
            return Ok(true);
        };
        let noticed = |row: &&ConsentRow| {
            used.iter().any(|used| used.id == row.id)
                && bearing_on(row, client, permit.tier(&row.capability)) == Bearing::Noticed
        };
        let rows: Vec<_> = rows.iter().filter(noticed).collect();
        let Some(first) = rows.first() else {
            return Ok(true);
        };
        let event = Event::new(EventKind::ConsentClientChanged)
            .user(&first.key.tenant, &first.key.user)
            .client(&first.key.client)
            .tool(&first.key.tool)
            .consents(rows.iter().map(|row| row.id.to_string()).collect())
            .fact("client_kind", facts.kind.as_str())
            .fact("redirect_hosts", facts.redirect_hosts.clone())
            .fact(
                "client_metadata",
                facts.metadata.map(|digest| digest.to_string()),
            );
        let change = Change::SeeClient {
            tenant: first.key.tenant.clone(),
            ids: rows.iter().map(|row| row.id).collect(),
            seen: SeenClient { at: now, facts },
            client: text(client),
        };
        let applied = self.audit.commit(change, vec![event]).await?;
        Ok(matches!(applied, Applied::Done))
    }

    /// What is different about the client of a record since its user agreed; nothing where it is what it was, or where it was
    /// not recorded.
    pub async fn client_changed(
        &self,
        row: &ConsentRow,
    ) -> Result<Option<ClientChanged>, StoreError> {
        let evidence = &row.evidence;
        let (Some(then), Some(seen)) = (&evidence.client, &evidence.client_seen) else {
            return Ok(None);
        };
        if *then == seen.facts {
            return Ok(None);
        }
        Ok(Some(ClientChanged {
            agreed_at: row.decided_at,
            before: self.said(row, then).await?,
            after: self.said(row, &seen.facts).await?,
        }))
    }

    /// What is different about a client that asks since this decision.
    pub(super) async fn client_changed_since(
        &self,
        row: &ConsentRow,
        client: &AskingClient,
    ) -> Result<Option<ClientChanged>, StoreError> {
        let Some(then) = row
            .evidence
            .client_now()
            .filter(|then| **then != client.facts())
        else {
            return Ok(None);
        };
        Ok(Some(ClientChanged {
            agreed_at: row.decided_at,
            before: self.said(row, then).await?,
            after: ClientSaid {
                kind: client.kind,
                name: client.name.clone(),
                redirect_hosts: client.redirect_hosts.clone(),
            },
        }))
    }

    async fn said(&self, row: &ConsentRow, facts: &ClientFacts) -> Result<ClientSaid, StoreError> {
        let text = match facts.metadata {
            Some(digest) => self.store.client_text(&row.key.tenant, digest).await?,
            None => None,
        };
        Ok(ClientSaid {
            kind: facts.kind,
            name: text.as_deref().and_then(name_in),
            redirect_hosts: facts.redirect_hosts.clone(),
        })
    }

    /// Whether a record that was suspended for its client may hold again: the document can be read, and sign-ins lead back to
    /// where they did. Of records that were suspended for anything else it says yes.
    pub async fn client_is_back(&self, row: &ConsentRow, now: Timestamp) -> bool {
        match row.evidence.ended_by {
            Some(Ender::Client | Ender::ClientGone) => {}
            Some(Ender::User | Ender::Operator | Ender::Publisher | Ender::SignOut) | None => {
                return true;
            }
        }
        let client = self
            .look_at_client(&row.key.client, Purpose::Question, now)
            .await;
        let then = row.evidence.client_now();
        match &client {
            Client::Document(document) => {
                then.is_some_and(|then| then.redirect_hosts == document.hosts())
            }
            Client::Named(_) => true,
            Client::Unread(_) | Client::Registered | Client::NotLooked => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clients::Named;
    use crate::clients::testing::Shelf;

    const ID: &str = "https://client.example/meta.json";

    async fn document(name: &str, redirect: &str) -> Client {
        let shelf = Arc::new(Shelf::default());
        shelf.describe(ID, name, &[redirect]);
        let clients = shelf.clients(&[]);
        let id = ID.parse().unwrap();
        clients
            .look(&id, Purpose::Question, Timestamp(0))
            .await
            .client
    }

    fn named(name: &str) -> Client {
        Client::Named(Arc::new(Named {
            name: name.to_owned(),
            canonical: name.to_owned(),
            digest: Digest::of(name.as_bytes()),
        }))
    }

    #[tokio::test]
    async fn what_it_means_for_a_consent_what_its_client_is_now() {
        use Bearing::{Again, Noticed, Same, Suspended};
        let home = document("Example", "https://client.example/1").await;
        let moved = document("Example", "https://client.example/2").await;
        let evil = document("Example", "https://evil.example/1").await;
        let gone = Client::Unread(Unread::Missing);
        let off = Client::Unread(Unread::Off);
        let (ours, renamed) = (named("a"), named("b"));
        // What was known then, what is known now, and what that means for reading and for writing.
        for (then, now, reads, writes) in [
            (Some(&home), &home, Same, Same),
            (Some(&home), &moved, Noticed, Again),
            (Some(&home), &evil, Suspended, Suspended),
            (Some(&home), &gone, Same, Same),
            (Some(&home), &off, Same, Same),
            (Some(&home), &Client::NotLooked, Same, Same),
            (Some(&home), &ours, Noticed, Noticed),
            (Some(&home), &Client::Registered, Noticed, Again),
            (Some(&gone), &gone, Same, Same),
            (Some(&gone), &off, Same, Same),
            (Some(&gone), &home, Noticed, Again),
            (Some(&ours), &ours, Same, Same),
            (Some(&ours), &renamed, Noticed, Noticed),
            (Some(&ours), &home, Noticed, Again),
            (Some(&ours), &gone, Noticed, Again),
            (Some(&ours), &Client::Registered, Noticed, Again),
            (Some(&ours), &Client::NotLooked, Same, Same),
            (Some(&Client::Registered), &Client::Registered, Same, Same),
            (Some(&Client::Registered), &ours, Noticed, Noticed),
            (None, &home, Noticed, Noticed),
            (None, &ours, Noticed, Noticed),
            (None, &Client::Registered, Noticed, Noticed),
            (None, &gone, Same, Same),
            (None, &Client::NotLooked, Same, Same),
        ] {
            let then = then.and_then(facts);
            let told = format!("{then:?} {now:?}");
            assert_eq!(bearing(then.as_ref(), now, Tier::T1), reads, "{told}");
            assert_eq!(bearing(then.as_ref(), now, Tier::T2), writes, "{told}");
            assert_eq!(bearing(then.as_ref(), now, Tier::T3), writes, "{told}");
        }
    }
}
