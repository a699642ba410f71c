//! The catalog: serves the packages of the tools folder and follows its changes.
//!
//! What is served is one value that is swapped whole. A package that cannot be served changes nothing for the others.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use notify_debouncer_full::notify::{EventKind, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinHandle};

use super::admit::{AdmissionError, Admitter};
use super::cache::{Cache, CacheError};
use super::cache_prune;
use super::compile::Compiler;
use super::folder;
use super::names::Names;
use super::state::{Change, ChangeKind, Job, Snapshot, State};
use super::tool::Tool;
use crate::config;
use crate::engine::WasmEngine;
use crate::limits::{COMPILE_AT_ONCE_MAX, TOOLS_POLL, TOOLS_QUIET};

/// Is told of changes.
type OnChange = dyn Fn(&[Change]) + Send + Sync;

/// What becomes of the files that are new.
type Batch = JoinHandle<Vec<Change>>;

/// Why there is no catalog.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    /// The tools folder cannot be read.
    #[error("the tools folder `{}` cannot be read; make it, or change `tools.dir`", .dir.display())]
    Folder {
        dir: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The tools folder cannot be watched.
    #[error("the tools folder `{}` cannot be watched; look at `fs.inotify.max_user_watches`", .dir.display())]
    Watch {
        dir: PathBuf,
        #[source]
        source: notify_debouncer_full::notify::Error,
    },
    /// The cache cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// Who has which names is not known.
    #[error("the names of the tools, in a file `names-*.json` of `{}`, cannot be read; with the file removed, names are given anew in the order of the file names", .dir.display())]
    Names {
        dir: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The task that looked was stopped.
    #[error("the look at the tools folder was stopped")]
    Stopped,
}

/// The admitted tools.
pub struct Catalog {
    inner: Arc<Inner>,
    _watcher: Option<Watcher>,
}

/// Watches while it lives.
struct Watcher {
    _debouncer: Debouncer<RecommendedWatcher, RecommendedCache>,
    follower: AbortHandle,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

struct Inner {
    dir: PathBuf,
    prefixes: Vec<(String, String)>,
    admitter: Admitter,
    compilations: Semaphore,
    /// Held while the folder is looked at, so that an older look never comes after a newer one.
    looking: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    names: Names,
    served: ArcSwap<Snapshot>,
    epoch: watch::Sender<u64>,
    on_change: Box<OnChange>,
}

impl Catalog {
    /// Admits what is in the tools folder, and follows it from then on.
    ///
    /// `on_change` is told of every change after it took effect, in order; it must be quick and must not come back here.
    pub async fn open(
        tools: config::Tools,
        engine: Arc<WasmEngine>,
        compiler: Compiler,
        on_change: impl Fn(&[Change]) + Send + Sync + 'static,
    ) -> Result<Self, CatalogError> {
        let cache_dir = tools.cache_dir.clone();
        let mut catalog = Self::unwatched(tools, engine, compiler, on_change)?;
        // Watched first, then read: nothing falls in between.
        let watcher = watch_folder(&catalog.inner)?;
        catalog.rescan().await?;
        catalog._watcher = Some(watcher);
        catalog.forget_unused(cache_dir).await;
        Ok(catalog)
    }

    fn unwatched(
        tools: config::Tools,
        engine: Arc<WasmEngine>,
        compiler: Compiler,
        on_change: impl Fn(&[Change]) + Send + Sync + 'static,
    ) -> Result<Self, CatalogError> {
        let cache = Cache::open(&tools.cache_dir)?;
        let (names, owned) = Names::open(&tools.cache_dir, &tools.dir).map_err(|source| {
            let dir = tools.cache_dir.clone();
            CatalogError::Names { dir, source }
        })?;
        let inner = Inner {
            dir: tools.dir,
            prefixes: tools.prefix,
            admitter: Admitter::new(engine, compiler, cache),
            compilations: Semaphore::new(COMPILE_AT_ONCE_MAX),
            looking: tokio::sync::Mutex::default(),
            state: Mutex::new(State::remembering(owned)),
            names,
            served: ArcSwap::default(),
            epoch: watch::Sender::new(0),
            on_change: Box::new(on_change),
        };
        Ok(Self {
            inner: Arc::new(inner),
            _watcher: None,
        })
    }

    /// Forgets native code that nobody uses any more. What cannot be removed takes room and does no harm.
    async fn forget_unused(&self, cache_dir: PathBuf) {
        let snapshot = self.snapshot();
        let packages = snapshot.tools.values().map(Tool::package);
        let served: Vec<_> = packages.map(|one| one.component_digest()).collect();
        let now = SystemTime::now();
        let pruned =
            tokio::task::spawn_blocking(move || cache_prune::prune(&cache_dir, &served, now));
        match pruned.await {
            Ok(Ok(forgotten)) if forgotten.entries > 0 => {
                let (entries, bytes) = (forgotten.entries, forgotten.bytes);
                tracing::info!(
                    entries,
                    bytes,
                    "native code that was long unused is forgotten"
                );
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "native code could not be forgotten"),
            Err(error) => tracing::warn!(%error, "native code could not be forgotten"),
        }
    }

    /// The tool that is served under this name.
    pub fn find(&self, name: &str) -> Option<Tool> {
        let name = name.parse().ok()?;
        self.inner.served.load().tools.get(&name).cloned()
    }

    /// All that is served now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.served.load_full()
    }

    /// Counts up after each change of what is served or refused.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.inner.epoch.subscribe()
    }

    /// Looks at the folder now and waits until all that is new was judged.
    pub async fn rescan(&self) -> Result<Vec<Change>, CatalogError> {
        let (mut changes, batch) = look(&self.inner).await?;
        if let Some(batch) = batch {
            changes.extend(batch.await.map_err(|_| CatalogError::Stopped)?);
        }
        Ok(changes)
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        // What panicked held no half-made state: every method leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves what the state says, and tells what is different.
    fn publish(&self, state: &mut State) -> Vec<Change> {
        let Some((snapshot, changes)) = state.publish(&self.prefixes) else {
            return Vec::new();
        };
        // Before it is served: whose name is served keeps it.
        if let Err(error) = self.names.keep(state.owned()) {
            tracing::error!(%error, "who has which names could not be kept; after a start the order of file names may decide");
        }
        self.served.store(Arc::new(snapshot));
        self.epoch
            .send_modify(|epoch| *epoch = epoch.wrapping_add(1));
        changes.iter().for_each(log);
        if !changes.is_empty() {
            (self.on_change)(&changes);
        }
        changes
    }

    async fn admit(&self, job: Job) -> (Job, Result<Arc<super::Package>, AdmissionError>) {
        let Ok(_turn) = self.compilations.acquire().await else {
            return (job, Err(AdmissionError::Stopped));
        };
        let Job {
            file,
            digest,
            bytes,
        } = job;
        let outcome = self.admitter.admit(bytes).await;
        let bytes = Vec::new();
        let job = Job {
            file,
            digest,
            bytes,
        };
        (job, outcome)
    }
}

/// Looks at the folder: what is gone is retired at once, what is new is judged by a task of its own.
async fn look(inner: &Arc<Inner>) -> Result<(Vec<Change>, Option<Batch>), CatalogError> {
    let _one_at_a_time = inner.looking.lock().await;
    let (dir, stamps) = (inner.dir.clone(), inner.state().stamps());
    let found =
        tokio::task::spawn_blocking(move || folder::look(&dir, |file| stamps.get(file).copied()))
            .await
            .map_err(|_| CatalogError::Stopped)?
            .map_err(|source| CatalogError::Folder {
                dir: inner.dir.clone(),
                source,
            })?;
    let mut state = inner.state();
    let jobs = state.found(found);
    let changes = inner.publish(&mut state);
    drop(state);
    if jobs.is_empty() {
        return Ok((changes, None));
    }
    let inner = Arc::clone(inner);
    let batch = tokio::spawn(async move {
        let all = jobs.into_iter().map(|job| inner.admit(job));
        // Judged together, so that their order is that of their names and not of how long each took.
        let judged = futures_util::future::join_all(all).await;
        let mut state = inner.state();
        for (job, outcome) in judged {
            state.judged(&job.file, job.digest, outcome);
        }
        inner.publish(&mut state)
    });
    Ok((changes, Some(batch)))
}

fn watch_folder(inner: &Arc<Inner>) -> Result<Watcher, CatalogError> {
    let refuse = |source| CatalogError::Watch {
        dir: inner.dir.clone(),
        source,
    };
    // One place: a second report before the first was heard says nothing new.
    let (tell, mut told) = mpsc::channel(1);
    let heard = move |events: DebounceEventResult| {
        let matters = match events {
            // Reading a file is reported, too, and reading is what we do.
            Ok(events) => events
                .iter()
                .any(|event| event.need_rescan() || !matches!(event.kind, EventKind::Access(_))),
            Err(_) => true,
        };
        if matters {
            // Full: a look is due already. Closed: nobody serves any more.
            let _ = tell.try_send(());
        }
    };
    let mut debouncer = new_debouncer(TOOLS_QUIET, None, heard).map_err(refuse)?;
    debouncer
        .watch(&inner.dir, RecursiveMode::NonRecursive)
        .map_err(refuse)?;
    let inner = Arc::clone(inner);
    let follower = tokio::spawn(async move {
        let mut poll = tokio::time::interval(TOOLS_POLL);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        poll.tick().await;
        loop {
            tokio::select! {
                heard = told.recv() => if heard.is_none() { return },
                _ = poll.tick() => {}
            }
            if let Err(error) = look(&inner).await {
                tracing::error!(%error, "what is served stays as it is");
            }
        }
    });
    Ok(Watcher {
        _debouncer: debouncer,
        follower: follower.abort_handle(),
    })
}

fn log(change: &Change) {
    let Change { file, name, kind } = change;
    let name = name.as_ref().map(ToString::to_string).unwrap_or_default();
    match kind {
        ChangeKind::Admitted { digest, .. } => {
            tracing::info!(%file, package = %name, component = %digest.short(), "admitted");
        }
        ChangeKind::Retired { digest } => {
            tracing::info!(%file, package = %name, component = %digest.short(), "retired");
        }
        ChangeKind::Refused { reason } => {
            tracing::warn!(%file, package = %name, %reason, "refused");
        }
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
