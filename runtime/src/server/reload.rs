//! Follows the limits of the configuration: what is written there holds without a restart, and what cannot be is refused by name
//! while the limits before hold on.
//!
//! The file is looked at when it changes, every [`RULES_POLL`], and on `SIGHUP`. Two looks have to see the same, for half of a file
//! may bound less than the whole. Nothing but the limits is taken from it.

use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::{RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::StartError;
use crate::audit::{Audit, Event, EventKind};
use crate::config::{Config, ConfigError};
use crate::limits::{RULES_POLL, RULES_QUIET};
use crate::throttle::SharedLimits;

type Watching = Debouncer<RecommendedWatcher, RecommendedCache>;

struct Follower {
    file: PathBuf,
    limits: SharedLimits,
    audit: Audit,
    /// What was judged last.
    judged: Option<String>,
}

/// Follows until the server ends.
pub(super) fn follow(
    file: PathBuf,
    limits: SharedLimits,
    audit: Audit,
    shutdown: CancellationToken,
) -> Result<impl Future<Output = ()> + Send, StartError> {
    let refuse = |source| StartError::Watch {
        file: file.clone(),
        source,
    };
    // One place: a second report before the first was heard says nothing new.
    let (report, reported) = mpsc::channel(1);
    let watching = watch(&file, report).map_err(refuse)?;
    let hangups = signal(SignalKind::hangup()).map_err(|error| refuse(error.into()))?;
    // What the server starts with; the text may have changed since it was read, which the first look shows.
    let follower = Follower {
        judged: None,
        file,
        limits,
        audit,
    };
    Ok(follower.follow(reported, watching, hangups, shutdown))
}

impl Follower {
    async fn follow(
        mut self,
        mut reported: mpsc::Receiver<()>,
        _watching: Watching,
        mut hangups: Signal,
        shutdown: CancellationToken,
    ) {
        let mut poll = interval(RULES_POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                Some(()) = reported.recv() => {}
                Some(()) = hangups.recv() => {
                    tracing::info!("the limits are read again, as asked for");
                    self.judged = None;
                }
                _ = poll.tick() => {}
                () = shutdown.cancelled() => return,
            }
            tokio::select! {
                () = self.look() => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// Reads until two looks see the same, and judges what is new.
    async fn look(&mut self) {
        let mut seen = self.read().await;
        loop {
            if seen.as_ref().ok() == self.judged.as_ref() && seen.is_ok() {
                return;
            }
            sleep(RULES_QUIET).await;
            let again = self.read().await;
            let same = match (&seen, &again) {
                (Ok(before), Ok(now)) => before == now,
                (Err(_), Err(_)) => true,
                (Ok(_), Err(_)) | (Err(_), Ok(_)) => false,
            };
            seen = again;
            if same {
                break;
            }
        }
        match seen {
            Ok(text) => {
                self.judge(&text).await;
                self.judged = Some(text);
            }
            Err(error) => {
                tracing::error!(%error, file = %self.file.display(), "the configuration cannot be read; the limits before hold on");
            }
        }
    }

    async fn read(&self) -> io::Result<String> {
        tokio::fs::read_to_string(&self.file).await
    }

    async fn judge(&self, text: &str) {
        let base = self.file.parent().unwrap_or(Path::new("."));
        match Config::parse(&self.file.display().to_string(), text, base) {
            Ok(config) if config.limits == **self.limits.load() => {}
            Ok(config) => {
                for limit in &config.limits.all {
                    tracing::info!("{limit}");
                }
                let count = config.limits.all.len();
                self.limits.store(Arc::new(config.limits));
                tracing::info!(limits = count, "other limits are in force");
                self.tell(EventKind::LimitsChanged, "limits", count).await;
            }
            Err(ConfigError::Invalid { problems }) => {
                for problem in &problems {
                    tracing::error!(%problem, "the configuration is refused; the limits before hold on");
                }
                self.tell(EventKind::LimitsRefused, "problems", problems.len())
                    .await;
            }
            Err(error @ ConfigError::Read { .. }) => {
                tracing::error!(%error, "the limits before hold on");
            }
        }
    }

    async fn tell(&self, kind: EventKind, what: &str, count: usize) {
        let count = u64::try_from(count).unwrap_or(u64::MAX);
        let event = Event::new(kind).fact(what, count);
        if let Err(error) = self.audit.event_soon(event).await {
            tracing::error!(%error, "a change of the limits could not be recorded");
        }
    }
}

/// Watches the folder, since a file that is replaced is another one.
fn watch(file: &Path, report: mpsc::Sender<()>) -> Result<Watching, notify::Error> {
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = file.file_name().map(ToOwned::to_owned);
    let heard = move |events: DebounceEventResult| {
        let is_ours = |path: &PathBuf| path.file_name().map(ToOwned::to_owned) == name;
        let matters = match events {
            // Reading is what we do.
            Ok(events) => events.iter().any(|event| {
                event.need_rescan() || !event.kind.is_access() && event.paths.iter().any(is_ours)
            }),
            Err(_) => true,
        };
        if matters {
            // Full: a look is due already. Closed: nobody serves any more.
            let _ = report.try_send(());
        }
    };
    let mut debouncer = new_debouncer(RULES_QUIET, None, heard)?;
    debouncer.watch(folder, RecursiveMode::NonRecursive)?;
    Ok(debouncer)
}
