//! How far the clock is believed by which the server deletes, noted beside the state: a restart is the first thing that somebody tries
//! where a clock is wrong.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::OFlags;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::pause;
use crate::audit::{self, Audit, Event, EventKind};
use crate::clock::{Believed, Doubt, Mark, SharedClock, Timestamp};
use crate::problem::caused;
use crate::store::{Store, StoreError};

/// How often the clock is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often it is noted how far it is believed: how long a server that was killed seems to have been off, at least.
const NOTE_EVERY: Duration = Duration::from_secs(60);
/// Most of what is read of a note, in bytes: one takes some hundred.
const NOTE_BYTES_MAX: u64 = 4_096;

/// The clock, how far it is believed, and where that is noted.
pub(super) struct Watch {
    pub clock: Arc<Believed>,
    file: PathBuf,
    /// What was told of it last.
    told: Option<Told>,
}

/// A leap that was told.
struct Told {
    since: Timestamp,
    /// A downtime alone is no event.
    is_ordinary: bool,
}

impl Watch {
    /// Goes on from what was noted beside this state, or from its newest record.
    pub async fn open(
        clock: SharedClock,
        state: &Path,
        store: &dyn Store,
    ) -> Result<Self, StoreError> {
        // Beside the state itself, also where the configuration names a link to it.
        let file = beside(&state.canonicalize().unwrap_or_else(|_| state.to_owned()));
        let last = match noted(&file) {
            Ok(Some(mark)) => Some(mark),
            other => {
                if let Err(error) = other {
                    tracing::warn!(%error, file = %file.display(), "how far the clock was believed cannot be read; the newest audit record says it");
                }
                let newest = audit::newest(store).await?;
                newest.map(|at| Mark {
                    shown: at,
                    believed: at,
                    leap: None,
                })
            }
        };
        let told = last.and_then(|last| last.leap).map(|leap| Told {
            since: Timestamp(i64::MIN),
            is_ordinary: leap.is_ordinary(),
        });
        let clock = Arc::new(Believed::resume(clock, last));
        Ok(Self { clock, file, told })
    }

    /// Looks at the clock, tells of its leaps and notes how far it is believed, until the server stops.
    pub async fn follow(mut self, audit: Audit, shutdown: CancellationToken) {
        let mut noted: Option<Instant> = None;
        let mut failed = false;
        loop {
            let doubt = self.clock.doubt();
            let told = self.tell(doubt, &audit).await;
            if told || noted.is_none_or(|at| at.elapsed() >= NOTE_EVERY) {
                failed = self.note(failed).await;
                noted = Some(Instant::now());
            }
            if !pause(LOOK_EVERY, &shutdown).await {
                self.note(failed).await;
                return;
            }
        }
    }

    /// Tells what is new of it; whether something was.
    async fn tell(&mut self, doubt: Option<Doubt>, audit: &Audit) -> bool {
        let event = match (&self.told, doubt) {
            (None, None) => return false,
            (Some(told), Some(doubt)) if told.since == doubt.since => return false,
            (_, Some(doubt)) => {
                self.told = Some(Told {
                    since: doubt.since,
                    is_ordinary: doubt.is_ordinary(),
                });
                doubted(&doubt)
            }
            (Some(told), None) => {
                let is_ordinary = told.is_ordinary;
                self.told = None;
                believed(self.clock.stood(), is_ordinary)
            }
        };
        if let Some(event) = event
            && let Err(error) = audit.event_soon(event).await
        {
            tracing::error!(error = %caused(&error), "a leap of the clock could not be recorded");
        }
        true
    }

    /// Notes how far the clock is believed. Whether it could not be, which is said once.
    async fn note(&self, failed: bool) -> bool {
        let (file, mark) = (self.file.clone(), self.clock.mark());
        let written = tokio::task::spawn_blocking(move || write(&file, &mark)).await;
        match written.map_err(io::Error::from).flatten() {
            Ok(()) => false,
            Err(error) => {
                if !failed {
                    tracing::warn!(%error, file = %self.file.display(), "how far the clock is believed cannot be noted; the next start waits longer before it deletes");
                }
                true
            }
        }
    }
}

/// Says in the log that the clock is not believed; what is recorded of it.
fn doubted(doubt: &Doubt) -> Option<Event> {
    let (ahead, wait) = (doubt.ahead.as_secs(), doubt.wait.as_secs());
    if doubt.is_ordinary() {
        tracing::info!(
            away_seconds = ahead,
            wait_seconds = wait,
            "the server was off for a while; what has ended meanwhile is deleted once the clock has run steadily"
        );
        return None;
    }
    tracing::warn!(
        ahead_seconds = ahead,
        wait_seconds = wait,
        under_way = doubt.seen,
        "the clock is further ahead than is believed; until it is back, or has run steadily for that long, nothing is deleted for good that had not ended before"
    );
    let event = Event::new(EventKind::ClockDoubted)
        .fact("ahead_seconds", ahead)
        .fact("wait_seconds", wait)
        .fact("when", if doubt.seen { "running" } else { "start" });
    Some(event)
}

fn believed(stood: bool, is_ordinary: bool) -> Option<Event> {
    let why = if stood { "steady" } else { "back" };
    tracing::info!(why, "the clock is believed again");
    (!is_ordinary).then(|| Event::new(EventKind::ClockBelieved).fact("why", why))
}

/// The file beside this state file.
fn beside(state: &Path) -> PathBuf {
    with(state, ".clock")
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(end);
    path.into()
}

fn noted(file: &Path) -> io::Result<Option<Mark>> {
    let mut options = OpenOptions::new();
    // No link is followed, and nothing is waited for that is no file.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    options.read(true).custom_flags(flags.bits().cast_signed());
    let opened = match options.open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = Vec::new();
    opened.take(NOTE_BYTES_MAX).read_to_end(&mut text)?;
    Ok(Some(serde_json::from_slice(&text)?))
}

/// In the place of what is there, whole or not at all.
fn write(file: &Path, mark: &Mark) -> io::Result<()> {
    let new = with(file, ".new");
    // What a server left that was killed here; nothing that stands there is written to.
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut opened = options.open(&new)?;
    opened.write_all(&serde_json::to_vec(mark)?)?;
    // Else a loss of power could leave the new name without what was written.
    opened.sync_data()?;
    std::fs::rename(new, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock, ManualClock};
    use crate::store::SharedStore;
    use crate::store::testing::store;

    const HOUR: Duration = Duration::from_secs(3600);
    const DAY: Duration = Duration::from_secs(24 * 3600);
    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    async fn open(clock: &ManualClock, state: &Path, store: &SharedStore) -> Watch {
        let clock = Arc::new(clock.clone());
        Watch::open(clock, state, store.as_ref()).await.unwrap()
    }

    async fn kinds(audit: &Audit, store: &SharedStore) -> Vec<String> {
        audit.flush().await.unwrap();
        let mut kinds = Vec::new();
        let each = |stored: &audit::Stored| kinds.push(stored.record.kind.clone());
        audit::show(store.as_ref(), 1, &audit::Filter::default(), each)
            .await
            .unwrap();
        kinds
    }

    #[tokio::test]
    async fn what_is_noted_of_the_clock_is_where_the_next_start_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (state, store) = (folder.path().join("s.db"), store().await as SharedStore);
        let clock = ManualClock::new(NOW);
        let watch = open(&clock, &state, &store).await;
        clock.advance(HOUR);
        assert!(!watch.note(true).await);
        assert!(watch.clock.doubt().is_none());
        // What we did not write says nothing, and neither does a log without a record.
        for (text, doubted) in [(None, true), (Some("{}"), false), (Some(""), false)] {
            if let Some(text) = text {
                std::fs::write(beside(&state), text).unwrap();
            }
            clock.set(NOW.plus(2 * DAY));
            let watch = open(&clock, &state, &store).await;
            assert_eq!(watch.clock.doubt().is_some(), doubted, "{text:?}");
        }
        std::fs::remove_file(beside(&state)).unwrap();
        let nowhere = folder.path().join("none/s.db");
        assert!(open(&clock, &nowhere, &store).await.note(false).await);

        // Without it the newest record does.
        let audit = Audit::start(Arc::clone(&store), Arc::new(ManualClock::new(NOW))).await;
        let audit = audit.unwrap();
        let stopped = Event::new(EventKind::ServerStopped);
        audit.event(stopped).await.unwrap();
        let watch = open(&clock, &state, &store).await;
        assert_eq!(watch.clock.doubt().unwrap().ahead, 2 * DAY);
        assert_eq!(watch.clock.sure(), NOW);
    }

    #[tokio::test]
    async fn a_leap_and_its_end_are_recorded_once_and_a_downtime_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (state, store) = (folder.path().join("s.db"), store().await as SharedStore);
        let clock = ManualClock::new(NOW);
        let audit = Audit::start(Arc::clone(&store), Arc::new(clock.clone())).await;
        let audit = audit.unwrap();
        let mut watch = open(&clock, &state, &store).await;
        let look = async |watch: &mut Watch, new: bool| {
            for new in [new, false] {
                let doubt = watch.clock.doubt();
                assert_eq!(watch.tell(doubt, &audit).await, new, "{doubt:?}");
            }
            watch.note(false).await;
            kinds(&audit, &store).await
        };
        assert!(look(&mut watch, false).await.is_empty());
        clock.set(NOW.plus(40 * DAY));
        assert_eq!(look(&mut watch, true).await, ["clock.doubted"]);
        // Another start knows of it.
        let mut watch = open(&clock, &state, &store).await;
        let told = look(&mut watch, true).await;
        assert_eq!(told, ["clock.doubted", "clock.doubted"]);
        clock.set(NOW);
        let told = look(&mut watch, true).await;
        assert_eq!(told.last().unwrap(), "clock.believed");
        assert_eq!(told.len(), 3);
        // One that finds the clock back says so.
        clock.set(NOW.plus(40 * DAY));
        assert_eq!(look(&mut watch, true).await.len(), 4);
        clock.set(NOW);
        let mut watch = open(&clock, &state, &store).await;
        let told = look(&mut watch, true).await;
        assert_eq!(told.last().unwrap(), "clock.believed");
        assert_eq!(told.len(), 5);
        // A weekend.
        clock.set(NOW.plus(2 * DAY));
        let mut watch = open(&clock, &state, &store).await;
        assert_eq!(look(&mut watch, true).await.len(), 5);
        clock.advance(HOUR);
        assert_eq!(look(&mut watch, true).await.len(), 5);
        assert!(watch.clock.doubt().is_none() && watch.clock.stood());
    }
}
