//! What is known of a client beside its id: what the operator says of it, or what its metadata document says
//! (draft-ietf-oauth-client-id-metadata-document).
//!
//! A client id is text that a token brought, so its address may be anything that somebody chose. It is read through the one way
//! out, from public hosts and from those that the operator named for this; seldom, briefly and a little at a time. What cannot be
//! read has a name, and allows nothing. Decides nothing about consents, and never loads what a document points to.

mod address;
mod budget;
mod document;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Method, Response};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Semaphore;
use url::Url;

use crate::catalog::manifest::canonical_text;
use crate::clock::Timestamp;
use crate::config::NamedClient;
use crate::egress::{Egress, EgressError};
use crate::ids::{ClientId, Digest};
use crate::limits::{
    CLIENT_DOCUMENT_BYTES_MAX, CLIENT_READ_EVERY_MIN, CLIENT_READ_MAX, CLIENT_READS_AT_ONCE_MAX,
    CLIENTS_KNOWN_MAX, HTTP_FIELDS_BYTES_MAX,
};
use budget::Budget;
pub use document::Document;
pub(crate) use document::name_in;

/// What is known of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Client {
    /// The operator vouches for it by name.
    Named(Arc<Named>),
    /// Its document says what it is.
    Document(Arc<Document>),
    /// Its id names a document that could not be read.
    Unread(Unread),
    /// Its id names no document: whoever issues tokens knows it, and nobody else.
    Registered,
    /// Its document was not looked at yet.
    NotLooked,
}

/// What the operator says of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// What it is called.
    pub name: String,
    /// Canonical JSON (RFC 8785) of id and name.
    pub canonical: String,
    /// SHA-256 of the same.
    pub digest: Digest,
}

/// Why nothing is known of a client whose id is a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unread {
    /// Its id is a URL of plain HTTP, by which anybody on the way could answer.
    PlainText,
    /// Its id is no URL in the one form that is read.
    Address,
    /// The operator reads no documents.
    Off,
    /// Too many were read just now.
    Busy,
    /// Its host is not reached, or must not be.
    Refused,
    /// Its host does not prove who it is.
    Unproven,
    /// Its host does not answer in time.
    TooSlow,
    /// The answer breaks off, or is not HTTP.
    Broken,
    /// The answer is larger than a document may be.
    TooLarge,
    /// The answer leads elsewhere.
    Redirect,
    /// There is nothing at that address.
    Missing,
    /// The answer has another status than 200.
    Status,
    /// The answer is not JSON.
    NotJson,
    /// A member of the document stands there twice.
    Duplicate,
    /// The document is about another client.
    OtherClient,
    /// The document lacks what it must say, or says it otherwise than it must.
    Malformed,
}

impl Unread {
    /// The word for it in the audit log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PlainText => "plain-text",
            Self::Address => "address",
            Self::Off => "off",
            Self::Busy => "busy",
            Self::Refused => "refused",
            Self::Unproven => "unproven",
            Self::TooSlow => "too-slow",
            Self::Broken => "broken",
            Self::TooLarge => "too-large",
            Self::Redirect => "redirect",
            Self::Missing => "missing",
            Self::Status => "status",
            Self::NotJson => "not-json",
            Self::Duplicate => "duplicate",
            Self::OtherClient => "other-client",
            Self::Malformed => "malformed",
        }
    }

    /// Whether somebody looked and found no document: what was not looked at cannot be gone.
    pub fn was_looked_for(self) -> bool {
        match self {
            Self::PlainText | Self::Address | Self::Off | Self::Busy => false,
            Self::Refused
            | Self::Unproven
            | Self::TooSlow
            | Self::Broken
            | Self::TooLarge
            | Self::Redirect
            | Self::Missing
            | Self::Status
            | Self::NotJson
            | Self::Duplicate
            | Self::OtherClient
            | Self::Malformed => true,
        }
    }
}

impl From<&EgressError> for Unread {
    fn from(error: &EgressError) -> Self {
        match error {
            EgressError::Denied(_) | EgressError::Revoked(_) => Self::Refused,
            EgressError::OutOfTime => Self::TooSlow,
            EgressError::ResponseTooLarge | EgressError::HeadersTooLarge => Self::TooLarge,
            EgressError::Tls(_) => Self::Unproven,
            EgressError::Status(_) => Self::Status,
            EgressError::RequestTooLarge
            | EgressError::RequestMalformed(_)
            | EgressError::ResponseMalformed(_)
            | EgressError::SecretUnavailable
            | EgressError::Broken(_) => Self::Broken,
        }
    }
}

/// What a document is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A question is to be asked, and waits for it.
    Question,
    /// Consents are used, and nobody waits.
    Use,
}

/// What came of looking at a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// What is known now.
    pub client: Client,
    /// Whether its document was read for this, and not remembered.
    pub read: bool,
}

/// Carries documents of clients: over the judged way out in production, from memory in tests.
pub trait FetchDocument: Send + Sync + 'static {
    /// The answer at this address, whatever its status.
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Response<Bytes>, EgressError>>;
}

impl FetchDocument for Egress {
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Response<Bytes>, EgressError>> {
        const MOST: usize = CLIENT_DOCUMENT_BYTES_MAX + HTTP_FIELDS_BYTES_MAX;
        Box::pin(async move {
            let began = tokio::time::Instant::now();
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
            let (get, nothing) = (Method::GET, Bytes::new());
            let sent = self
                .send_own(get, url, headers, nothing, MOST, CLIENT_READ_MAX)
                .await;
            if sent.as_ref().is_err_and(EgressError::is_denied) {
                // As for guests: whoever chose the id must not learn by the time what names lead to in here.
                self.settle(began, began + CLIENT_READ_MAX).await;
            }
            sent
        })
    }
}

/// What is known of clients.
pub struct Clients {
    named: HashMap<ClientId, Arc<Named>>,
    fetch: Option<Arc<dyn FetchDocument>>,
    known: Mutex<HashMap<ClientId, Arc<Entry>>>,
    budget: Mutex<Budget>,
    places: Arc<Semaphore>,
}

/// The document of one client, as it was last read.
#[derive(Default)]
struct Entry {
    state: Mutex<State>,
    /// Held by the one reader.
    reading: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug, Clone, Default)]
struct State {
    last: Option<Result<Arc<Document>, Unread>>,
    tried_at: Option<Timestamp>,
    fresh_for: Duration,
}

impl State {
    fn client(&self) -> Client {
        match &self.last {
            None => Client::NotLooked,
            Some(Ok(document)) => Client::Document(Arc::clone(document)),
            Some(Err(why)) => Client::Unread(*why),
        }
    }

    fn is_within(&self, now: Timestamp, span: Duration) -> bool {
        self.tried_at.is_some_and(|at| within(at, now, span))
    }
}

/// Whether `now` is less than `span` away from `at`. A clock that was set back makes nothing fresh for longer.
fn within(at: Timestamp, now: Timestamp, span: Duration) -> bool {
    now.since(at) < span && at.since(now) < span
}

impl Clients {
    /// What is known of clients by the operator's word, and by documents that `fetch` carries.
    pub fn new(named: &[NamedClient], fetch: Option<Arc<dyn FetchDocument>>) -> Self {
        let named = named.iter().map(|one| {
            let canonical = canonical_text(&json!({"client_id": one.id, "client_name": one.name}));
            let (name, digest) = (one.name.clone(), Digest::of(canonical.as_bytes()));
            let named = Named {
                name,
                canonical,
                digest,
            };
            (one.id.clone(), Arc::new(named))
        });
        Self {
            named: named.collect(),
            fetch,
            known: Mutex::default(),
            budget: Mutex::new(Budget::new()),
            places: Arc::new(Semaphore::new(CLIENT_READS_AT_ONCE_MAX)),
        }
    }

    /// Nothing is known of any: for commands that only look at the state.
    pub fn none() -> Self {
        Self::new(&[], None)
    }

    /// What is known of a client without looking, and whether it is time to look again.
    pub fn known(&self, id: &ClientId, now: Timestamp) -> (Client, bool) {
        if let Err(client) = self.address(id) {
            return (client, false);
        }
        let Some(entry) = lock(&self.known).get(id).cloned() else {
            return (Client::NotLooked, true);
        };
        let state = lock(&entry.state).clone();
        let due = !state.is_within(now, state.fresh_for)
            && !state.is_within(now, CLIENT_READ_EVERY_MIN)
            && entry.reading.try_lock().is_ok();
        (state.client(), due)
    }

    /// Looks at a client. Its document is read unless that was done just now; for consents that are used, also unless somebody
    /// reads it already.
    pub async fn look(self: &Arc<Self>, id: &ClientId, purpose: Purpose, now: Timestamp) -> Look {
        let url = match self.address(id) {
            Ok(url) => url,
            Err(client) => {
                return Look {
                    client,
                    read: false,
                };
            }
        };
        let entry = self.entry(id);
        let recent = |entry: &Entry| {
            let state = lock(&entry.state);
            state
                .is_within(now, CLIENT_READ_EVERY_MIN)
                .then(|| state.client())
        };
        let known = |client| Look {
            client,
            read: false,
        };
        if let Some(client) = recent(&entry) {
            return known(client);
        }
        let reading = match purpose {
            Purpose::Question => Arc::clone(&entry.reading).lock_owned().await,
            Purpose::Use => match Arc::clone(&entry.reading).try_lock_owned() {
                Ok(reading) => reading,
                Err(_) => return known(lock(&entry.state).client()),
            },
        };
        // Whoever held the lock may have read what we came for.
        if let Some(client) = recent(&entry) {
            return known(client);
        }
        let (clients, task_entry) = (Arc::clone(self), Arc::clone(&entry));
        // A task of its own: a caller who hangs up must not undo the reading that others wait for.
        let read = tokio::spawn(async move {
            let read = clients.read(&task_entry, &url, purpose, now).await;
            drop(reading);
            read
        });
        let read = read.await.unwrap_or_else(|error| {
            tracing::error!(%error, "reading the document of a client broke off");
            false
        });
        let client = match lock(&entry.state).client() {
            // It was not read, and never before. Who is only named takes no place from those that are known.
            Client::NotLooked => {
                lock(&self.known).remove(id);
                Client::Unread(Unread::Busy)
            }
            client => client,
        };
        Look { client, read }
    }

    /// Reads the document, if there is room. Only the holder of `reading` calls this.
    async fn read(&self, entry: &Entry, url: &Url, purpose: Purpose, now: Timestamp) -> bool {
        let Some(fetch) = &self.fetch else {
            return false;
        };
        let host = url.host_str().unwrap_or_default();
        // A place or none: whoever waits here would wait for strangers.
        let Ok(_place) = self.places.try_acquire() else {
            tracing::warn!(client = %url, "too many documents of clients are being read; this one was not");
            return false;
        };
        if !lock(&self.budget).take(purpose, host, now) {
            tracing::warn!(client = %url, "too many documents of clients were read within a minute; this one was not");
            return false;
        }
        let (last, fresh_for) = match fetch.get(url).await {
            Ok(answer) => (
                Document::judge(url, &answer).map(Arc::new),
                document::fresh_for(answer.headers()),
            ),
            Err(error) => {
                error.log_refusal();
                (Err(Unread::from(&error)), Duration::ZERO)
            }
        };
        if let Err(why) = last {
            tracing::info!(client = %url, why = why.as_str(), "the document of a client could not be read");
        }
        let fresh_for = if last.is_ok() {
            fresh_for
        } else {
            Duration::ZERO
        };
        *lock(&entry.state) = State {
            last: Some(last),
            tried_at: Some(now),
            fresh_for,
        };
        true
    }

    /// Where the document of a client is, or what is known without any.
    fn address(&self, id: &ClientId) -> Result<Url, Client> {
        if let Some(named) = self.named.get(id) {
            return Err(Client::Named(Arc::clone(named)));
        }
        match address::document_of(id) {
            None => Err(Client::Registered),
            Some(Err(why)) => Err(Client::Unread(why)),
            Some(Ok(_)) if self.fetch.is_none() => Err(Client::Unread(Unread::Off)),
            Some(Ok(url)) => Ok(url),
        }
    }

    /// The place of a client among those that are remembered. The one that was looked at longest ago makes room.
    fn entry(&self, id: &ClientId) -> Arc<Entry> {
        let mut known = lock(&self.known);
        if let Some(entry) = known.get(id) {
            return Arc::clone(entry);
        }
        if known.len() >= CLIENTS_KNOWN_MAX {
            let oldest = known
                .iter()
                .min_by_key(|(_, entry)| lock(&entry.state).tried_at)
                .map(|(id, _)| id.clone());
            if let Some(oldest) = oldest {
                known.remove(&oldest);
            }
        }
        let entry = Arc::<Entry>::default();
        known.insert(id.clone(), Arc::clone(&entry));
        entry
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
