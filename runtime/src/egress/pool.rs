//! Connections that wait for the next request of the same grant.
//!
//! A connection serves requests of one user under one grant of one tool to one host, and nobody else's: what a server left on it
//! can reach only whom it answered before. Only requests without a body leave one behind, and only they take one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::client::Connection;
use super::target::Target;
use crate::capability::HostName;

/// How long a connection waits for a next request. Servers close theirs after some more.
const IDLE_MAX: Duration = Duration::from_secs(15);
/// How old a connection may be when it is used again: so long an address that was judged is believed.
const REUSE_AGE_MAX: Duration = Duration::from_secs(60);
/// Connections that wait for one grant. One call rarely asks more at once.
const IDLE_PER_GRANT_MAX: usize = 2;
/// Connections that wait in all: as many as calls may be in flight, each a descriptor and some 16 KiB.
const IDLE_ALL_MAX: usize = 256;
/// Longest wait for a connection to say that it is ready. It does so when its last answer was read.
const READY_MAX: Duration = Duration::from_millis(20);

/// Whose connections: a user, a tool and a grant, as one text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Whose(Arc<str>);

impl Whose {
    /// From parts, which stay apart whatever is in them.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a str>) -> Self {
        let with_length = |part: &str| format!("{}:{part}", part.len());
        let parts: String = parts.into_iter().map(with_length).collect();
        Self(parts.into())
    }

    /// The same with one more part.
    pub fn and(&self, part: &str) -> Self {
        Self::of([&*self.0, part])
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    whose: Whose,
    secure: bool,
    host: HostName,
    port: u16,
}

/// Connections that wait. Cheap to clone: every clone is the same.
#[derive(Clone, Default)]
pub(super) struct Pool(Arc<Mutex<HashMap<Key, Vec<Idle>>>>);

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Idle {
    fn serves(&self) -> bool {
        self.since.elapsed() < IDLE_MAX
            && self.connection.opened().elapsed() < REUSE_AGE_MAX
            && !self.connection.is_closed()
    }
}

/// Where a connection waits when its answer is read.
#[derive(Clone)]
pub(super) struct Home {
    pool: Pool,
    key: Key,
}

impl Pool {
    pub(super) fn home(&self, whose: &Whose, target: &Target) -> Home {
        Home {
            pool: self.clone(),
            key: Key {
                whose: whose.clone(),
                secure: target.is_secure(),
                host: target.host().clone(),
                port: target.port(),
            },
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Vec<Idle>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Home {
    /// One that waits and is ready.
    pub(super) async fn take(&self) -> Option<Connection> {
        loop {
            let mut idle = self.newest()?;
            let ready = timeout(READY_MAX, idle.connection.ready()).await;
            if idle.serves() && ready == Ok(true) {
                return Some(idle.connection);
            }
        }
    }

    fn newest(&self) -> Option<Idle> {
        let mut all = self.pool.lock();
        let waiting = all.get_mut(&self.key)?;
        let newest = waiting.pop();
        if waiting.is_empty() {
            all.remove(&self.key);
        }
        newest
    }

    /// Lets one wait; it is closed where too many do.
    pub(super) fn give_back(&self, connection: Connection) {
        connection.rest();
        let mut all = self.pool.lock();
        // Few at most, so that this is done each time and nothing waits for longer than the next answer of anybody.
        all.retain(|_, waiting| {
            waiting.retain(Idle::serves);
            !waiting.is_empty()
        });
        if all.values().map(Vec::len).sum::<usize>() >= IDLE_ALL_MAX {
            return;
        }
        let waiting = all.entry(self.key.clone()).or_default();
        if waiting.len() < IDLE_PER_GRANT_MAX {
            let since = Instant::now();
            waiting.push(Idle { connection, since });
        }
    }
}
