//! Keeps checkpoints coming and copies them outside; tells what is wrong with either.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::Audit;
use super::checkpoint::{CheckpointError, Checkpoints};
use super::copy::{CopyError, Place};
use super::note::Note;
use crate::clock::{SharedClock, Timestamp};
use crate::limits::AUDIT_COPY_LAG_MAX;
use crate::store::{SharedStore, StoreError};

/// How often it is looked whether a checkpoint is due, and whether one is to be copied.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// First pause after a failure; each further one lasts twice as long.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// Longest pause after a failure.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Checkpoints that are copied between two looks at whether the server stops.
const COPIED_AT_ONCE: u32 = 64;
/// How long the last checkpoint may take to be copied when the server stops.
const LAST_COPY_MAX: Duration = Duration::from_secs(3);

/// What makes and copies checkpoints. Cheap to clone.
#[derive(Clone)]
pub struct Witness {
    shared: Arc<Shared>,
}

struct Shared {
    checkpoints: Checkpoints,
    store: SharedStore,
    clock: SharedClock,
    due: Due,
    places: Vec<(String, Place)>,
    /// What went wrong, by what it is about: the making, or the name of a copy.
    troubles: Mutex<Vec<Trouble>>,
}

/// When a checkpoint is due.
#[derive(Debug, Clone, Copy)]
pub struct Due {
    /// After so many records.
    pub records: u64,
    /// After this time, if there are new ones.
    pub every: Duration,
}

struct Trouble {
    about: String,
    since: Timestamp,
    /// Whether waiting does not help.
    is_final: bool,
}

/// A place cannot be brought up to date.
#[derive(Debug, thiserror::Error)]
enum CatchUpError {
    #[error("the state cannot be read")]
    Store(#[from] StoreError),
    #[error("a checkpoint in the state is none")]
    Note(#[from] super::note::NoteError),
    #[error(transparent)]
    Copy(#[from] CopyError),
}

/// What troubles with the making of checkpoints are about.
const MAKING: &str = "checkpoints";

impl Witness {
    /// For this log, to these places by name.
    pub async fn open(
        audit: &Audit,
        due: Due,
        places: Vec<(String, Place)>,
    ) -> Result<Self, CheckpointError> {
        let shared = Shared {
            checkpoints: Checkpoints::of(audit).await?,
            store: Arc::clone(&audit.shared.store),
            clock: Arc::clone(&audit.shared.clock),
            due,
            places,
            troubles: Mutex::default(),
        };
        let shared = Arc::new(shared);
        Ok(Self { shared })
    }

    /// Begins: one task makes checkpoints, one for each place copies them.
    pub fn start(&self, shutdown: &CancellationToken) -> Vec<JoinHandle<()>> {
        let (one, stop) = (self.clone(), shutdown.clone());
        let mut tasks = vec![tokio::spawn(async move { one.make_always(stop).await })];
        for at in 0..self.shared.places.len() {
            let (one, stop) = (self.clone(), shutdown.clone());
            tasks.push(tokio::spawn(async move { one.copy_always(at, stop).await }));
        }
        tasks
    }

    /// A last checkpoint, for what was recorded until the end, and its copies as far as they can be made soon.
    pub async fn finish(&self) {
        if let Err(error) = self.shared.checkpoints.make().await {
            self.trouble(MAKING, &error, false);
            return;
        }
        let all = (0..self.shared.places.len()).map(|at| async move {
            let caught_up = tokio::time::timeout(LAST_COPY_MAX, self.catch_up(at)).await;
            if !matches!(caught_up, Ok(Ok(()))) {
                let name = self.name(at);
                tracing::warn!(
                    copy = name,
                    "the last checkpoint is copied after the next start"
                );
            }
        });
        futures_util::future::join_all(all).await;
    }

    /// Whether checkpoints are made, and no copy is further behind than it may be.
    pub fn is_well(&self) -> bool {
        let now = self.shared.clock.now();
        let troubles = self.troubles();
        let is_old = |one: &Trouble| one.is_final || now.since(one.since) >= AUDIT_COPY_LAG_MAX;
        !troubles.iter().any(is_old)
    }

    /// What is wrong now, by name, also what may pass.
    pub fn wrong(&self) -> Vec<String> {
        let troubles = self.troubles();
        troubles.iter().map(|one| one.about.clone()).collect()
    }

    async fn make_always(&self, stop: CancellationToken) {
        while !is_over(&stop, LOOK_EVERY).await {
            match self.make_if_due().await {
                Ok(()) => self.well(MAKING),
                Err(error) => {
                    // What is damaged does not mend itself.
                    let is_final = match error {
                        CheckpointError::Store(_) => false,
                        CheckpointError::Damaged(_)
                        | CheckpointError::Key
                        | CheckpointError::KeyGone
                        | CheckpointError::Last => true,
                    };
                    self.trouble(MAKING, &error, is_final);
                    if is_over(&stop, PAUSE_MAX).await {
                        return;
                    }
                }
            }
        }
    }

    async fn make_if_due(&self) -> Result<(), CheckpointError> {
        let shared = &self.shared;
        let head = shared.store.head().await?;
        let last = shared.store.checkpoint_before(u64::MAX).await?;
        let (size, at) = last.map_or((0, None), |row| (row.size, Some(row.at)));
        let new = head.seq.saturating_sub(size);
        let now = shared.clock.now();
        // A clock that was set back makes one due: it would else be long until the time is over.
        let is_time = at.is_none_or(|at| now < at || now.since(at) >= shared.due.every);
        if new >= shared.due.records || new > 0 && is_time {
            shared.checkpoints.make().await?;
        }
        Ok(())
    }

    async fn copy_always(&self, at: usize, stop: CancellationToken) {
        let mut pause = PAUSE_MIN;
        let mut wait = LOOK_EVERY;
        while !is_over(&stop, wait).await {
            let caught_up = tokio::select! {
                caught_up = self.catch_up(at) => caught_up,
                // What is under way is copied again: at least once is promised, and no end is waited for.
                () = stop.cancelled() => return,
            };
            match caught_up {
                Ok(()) => {
                    self.well(self.name(at));
                    (pause, wait) = (PAUSE_MIN, LOOK_EVERY);
                }
                Err(error) => {
                    self.trouble(self.name(at), &error, false);
                    wait = pause;
                    pause = PAUSE_MAX.min(pause.saturating_mul(2));
                }
            }
        }
    }

    /// Copies what the place does not have yet, in order.
    async fn catch_up(&self, at: usize) -> Result<(), CatchUpError> {
        let Some((name, place)) = self.shared.places.get(at) else {
            return Ok(());
        };
        let store = &self.shared.store;
        let mut has = store.copied(name).await?;
        for row in store.checkpoints_after(has, COPIED_AT_ONCE).await? {
            let note: Note = row.note.parse()?;
            place.put(&note).await?;
            has = row.size;
            store.note_copied(name, has).await?;
        }
        Ok(())
    }

    fn name(&self, at: usize) -> &str {
        let place = self.shared.places.get(at);
        place.map_or("", |(name, _)| name.as_str())
    }

    fn troubles(&self) -> std::sync::MutexGuard<'_, Vec<Trouble>> {
        // A panic while it is held leaves at worst a trouble too many.
        let troubles = self.shared.troubles.lock();
        troubles.unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a trouble; its beginning is told to the operator, and that it goes on at each longest pause.
    fn trouble(&self, about: &str, error: &dyn std::error::Error, is_final: bool) {
        let now = self.shared.clock.now();
        let mut troubles = self.troubles();
        let known = troubles.iter_mut().find(|one| one.about == about);
        match known {
            Some(one) => one.is_final = is_final,
            None => troubles.push(Trouble {
                about: about.to_owned(),
                since: now,
                is_final,
            }),
        }
        drop(troubles);
        let error = crate::problem::caused(error);
        tracing::error!(about, %error, "the audit log has no witness: a checkpoint could not be made or copied");
    }

    fn well(&self, about: &str) {
        let mut troubles = self.troubles();
        let before = troubles.len();
        troubles.retain(|one| one.about != about);
        if troubles.len() < before {
            tracing::info!(
                about,
                "checkpoints of the audit log are made and copied again"
            );
        }
    }
}

/// Waits this long; whether the server stops.
async fn is_over(stop: &CancellationToken, wait: Duration) -> bool {
    tokio::select! {
        () = stop.cancelled() => true,
        () = tokio::time::sleep(wait) => false,
    }
}
