//! Sessions of clients on 2025-11-25 and 2025-06-18, for operators who turn them on (`server.sessions`).
//!
//! A session is where the server may ask its client something in the middle of a call, and where it tells of changes. Its id
//! authenticates nobody: the token of each request is verified first, and the id is then looked up among the sessions of that
//! very user and client alone. So the id of anybody else is as unknown as one that never was. Kept in memory, by hash; after
//! a restart every id is unknown and clients begin anew. Never holds a token, and its end touches no consent.

mod door;
mod question;
mod reply;
mod stream;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rmcp::model::ProtocolVersion;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

use crate::clock::{SharedClock, Timestamp};
use crate::identity::Caller;
use crate::ids::{ClientId, Digest, TenantUser};
use crate::limits::{
    SESSION_AGE_MAX, SESSION_IDLE_MAX, SESSION_QUESTIONS_WAITING_MAX, SESSION_STREAMS_MAX,
    SESSIONS_MAX, SESSIONS_PER_USER_MAX,
};
use crate::mcp::line::{SessionTurn, SessionTurned};
use crate::store::{StoreError, random};

pub(super) use door::{Entrance, HEADER, OfSession};
pub(super) use question::{Ask, Asked, Filled, Within};
pub(super) use reply::ClientReply;
pub(super) use stream::{interleaved, listening};

/// Bytes of chance in an id.
const ID_BYTES: usize = 32;
/// How often what has expired is looked for among all sessions, at most; each one is looked at when it is used anyway.
const PRUNE_EVERY: std::time::Duration = std::time::Duration::from_secs(60);

/// The name of a session: 256 random bits, told to its client alone.
pub(super) struct SessionId(String);

impl SessionId {
    fn make() -> Result<Self, StoreError> {
        let bytes: [u8; ID_BYTES] = random()?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// As it stands in a header.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn hash(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "SessionId({}…)", self.hash().short())
    }
}

/// What a client can do, as it said when its session began.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Negotiated {
    /// The revision of every message of the session.
    pub version: ProtocolVersion,
    /// Whether the client can show its user a link.
    pub opens_urls: bool,
    /// Whether it can show its user a form.
    pub shows_forms: bool,
}

/// Hears of every session that begins or ends. Must not block.
pub(super) type Told = Box<dyn Fn(SessionTurned) + Send + Sync>;

/// Every session that lives.
pub(super) struct Sessions {
    clock: SharedClock,
    told: Told,
    table: Mutex<Table>,
    /// Places for calls that wait for their users.
    waiting: Arc<Semaphore>,
    /// Places for open GET streams.
    streams: Arc<Semaphore>,
}

struct Table {
    of: HashMap<TenantUser, HashMap<Digest, Arc<Session>>>,
    count: usize,
    pruned: Timestamp,
}

impl Sessions {
    /// None yet.
    pub fn new(clock: SharedClock, told: Told) -> Self {
        let pruned = clock.now();
        Self {
            clock,
            told,
            table: Mutex::new(Table {
                of: HashMap::new(),
                count: 0,
                pruned,
            }),
            waiting: Arc::new(Semaphore::new(SESSION_QUESTIONS_WAITING_MAX)),
            streams: Arc::new(Semaphore::new(SESSION_STREAMS_MAX)),
        }
    }

    /// Begins a session of this caller, under a new id. None where the server has as many as it may, or no chance is to be
    /// had: then the client is served without.
    ///
    /// A user who has as many as one may lose the one that was used longest ago: programs that are killed never say goodbye,
    /// and they must not lock their user out.
    pub fn begin(&self, caller: &Caller, negotiated: Negotiated) -> Option<SessionId> {
        let id = SessionId::make()
            .map_err(|error| tracing::error!(%error, "a session could not be named"))
            .ok()?;
        let now = self.clock.now();
        let mut table = self.table();
        if now.since(table.pruned) >= PRUNE_EVERY || table.count >= SESSIONS_MAX {
            for (owner, session, turn) in table.prune(now) {
                self.tell(&owner, &session, turn);
            }
        }
        let owner = caller.who();
        while let Some(oldest) = table.one_too_many(&owner) {
            tracing::info!(session = %oldest.short(), "a session gives way to a newer one of its user");
            match table.remove(&owner, &oldest) {
                Some(gone) => self.tell(&owner, &gone, SessionTurn::GaveWay),
                None => break,
            }
        }
        if table.count >= SESSIONS_MAX {
            tracing::warn!(
                most = SESSIONS_MAX,
                "no more sessions; a client is served without"
            );
            return None;
        }
        let name = id.hash();
        let session = Arc::new(Session {
            name,
            client: caller.client().clone(),
            negotiated,
            began: now,
            ended: CancellationToken::new(),
            clock: Arc::clone(&self.clock),
            state: Mutex::new(State {
                used: now,
                in_use: 0,
                questions: HashMap::new(),
                stream: CancellationToken::new(),
            }),
        });
        self.tell(&owner, &session, SessionTurn::Began);
        table.of.entry(owner).or_default().insert(name, session);
        table.count += 1;
        tracing::info!(session = %name.short(), "a session began");
        Some(id)
    }

    /// The living session of this caller that has this id, and it is now in use.
    pub fn find(&self, caller: &Caller, id: &str) -> Option<InUse> {
        let (owner, name) = (caller.who(), Digest::of(id.as_bytes()));
        let now = self.clock.now();
        let mut table = self.table();
        let session = Arc::clone(table.of.get(&owner)?.get(&name)?);
        if session.client != *caller.client() {
            return None;
        }
        if let Some(over) = session.over(now) {
            if table.remove(&owner, &name).is_some() {
                self.tell(&owner, &session, over);
            }
            return None;
        }
        Some(InUse::of(session))
    }

    /// Ends a session of this caller: what waits in it waits no longer, and its streams end.
    pub fn end(&self, caller: &Caller, session: &Session) {
        let owner = caller.who();
        if let Some(gone) = self.table().remove(&owner, &session.name) {
            self.tell(&owner, &gone, SessionTurn::EndedByClient);
        }
        tracing::info!(session = %session.name.short(), "a session ended");
    }

    /// How many there are, those among them that are over and were not looked at since.
    pub fn count(&self) -> usize {
        self.table().count
    }

    fn tell(&self, who: &TenantUser, session: &Session, turn: SessionTurn) {
        (self.told)(SessionTurned {
            who: who.clone(),
            client: session.client.clone(),
            name: session.name,
            turn,
        });
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// The session that must go before its owner may have another.
    fn one_too_many(&self, owner: &TenantUser) -> Option<Digest> {
        let of = self.of.get(owner)?;
        let oldest = of.values().min_by_key(|session| {
            let state = session.state();
            (state.in_use > 0, state.used)
        });
        oldest
            .filter(|_| of.len() >= SESSIONS_PER_USER_MAX)
            .map(|session| session.name)
    }

    fn remove(&mut self, owner: &TenantUser, name: &Digest) -> Option<Arc<Session>> {
        let of = self.of.get_mut(owner)?;
        let session = of.remove(name)?;
        session.ended.cancel();
        self.count -= 1;
        if of.is_empty() {
            self.of.remove(owner);
        }
        Some(session)
    }

    /// Forgets those that are over, and says which.
    fn prune(&mut self, now: Timestamp) -> Vec<(TenantUser, Arc<Session>, SessionTurn)> {
        self.pruned = now;
        let mut left = 0;
        let mut gone = Vec::new();
        self.of.retain(|owner, of| {
            of.retain(|_, session| {
                let Some(over) = session.over(now) else {
                    return true;
                };
                session.ended.cancel();
                gone.push((owner.clone(), Arc::clone(session), over));
                false
            });
            left += of.len();
            !of.is_empty()
        });
        self.count = left;
        gone
    }
}

/// One session.
pub(super) struct Session {
    /// The hash of its id.
    name: Digest,
    client: ClientId,
    negotiated: Negotiated,
    began: Timestamp,
    ended: CancellationToken,
    clock: SharedClock,
    state: Mutex<State>,
}

struct State {
    /// When it was last of use.
    used: Timestamp,
    /// Requests and streams that are open.
    in_use: usize,
    /// Who waits for the client's answer, by the id of the question.
    questions: HashMap<String, oneshot::Sender<ClientReply>>,
    /// Ends the stream that is open, when another takes its place.
    stream: CancellationToken,
}

impl Session {
    /// What its calls are told apart by.
    pub fn name(&self) -> Digest {
        self.name
    }

    /// The revision that was agreed on.
    pub fn version(&self) -> &str {
        self.negotiated.version.as_str()
    }

    /// Hands a client's answer to whoever asked. Whether somebody did is not told.
    pub fn reply(&self, id: &str, reply: ClientReply) {
        let waiting = self.state().questions.remove(id);
        if let Some(waiting) = waiting {
            // Whoever asked may have gone meanwhile.
            let _ = waiting.send(reply);
        }
    }

    /// Why it lives no longer, if it does not.
    fn over(&self, now: Timestamp) -> Option<SessionTurn> {
        let state = self.state();
        let idle = state.in_use == 0 && now.since(state.used) >= SESSION_IDLE_MAX;
        match (now < self.ends_at(), idle) {
            (false, _) => Some(SessionTurn::Old),
            (true, true) => Some(SessionTurn::Idle),
            (true, false) => None,
        }
    }

    fn ends_at(&self) -> Timestamp {
        self.began.plus(SESSION_AGE_MAX)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Session")
            .field("name", &self.name.short())
            .field("negotiated", &self.negotiated)
            .finish_non_exhaustive()
    }
}

/// A session that is not idle for as long as this is kept.
#[derive(Debug)]
pub(super) struct InUse(Arc<Session>);

impl InUse {
    fn of(session: Arc<Session>) -> Self {
        let now = session.clock.now();
        let mut state = session.state();
        state.used = now;
        state.in_use += 1;
        drop(state);
        Self(session)
    }
}

impl std::ops::Deref for InUse {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        let now = self.0.clock.now();
        let mut state = self.0.state();
        state.used = now;
        state.in_use -= 1;
    }
}

#[cfg(test)]
mod tests;
