//! Keeps the rules in step with their folder and with the tools, and tells the log of both.
//!
//! What is in force is one value that is swapped whole: a call ends under the rules with which it began. Rules that cannot
//! be read, or that do not fit the tools, change nothing; the server says that it is not ready until they do.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use notify_debouncer_full::notify::{EventKind as FileEvent, RecommendedWatcher, RecursiveMode};
use notify_debouncer_full::{DebounceEventResult, Debouncer, RecommendedCache, new_debouncer};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::audit::{Audit, Event, EventKind};
use crate::catalog::{Catalog, Change, ChangeKind};
use crate::ids::Digest;
use crate::limits::{RULES_BYTES_MAX, RULES_POLL, RULES_QUIET, RULES_SETTLE_MAX};
use crate::policy::{PolicyError, Rules, Vocabulary};
use crate::problem::{Problem, by_line};

/// The rules of a folder: `(file name, text)`, in the order of their names.
pub type Sources = Vec<(String, String)>;

/// Files of rules cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the rules cannot be read: {}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Unread {
    /// Everything that is wrong, in the order of the files.
    pub problems: Vec<Problem>,
}

/// The rules cannot be followed.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// They cannot be read.
    #[error(transparent)]
    Unread(#[from] Unread),
    /// Their folder cannot be watched.
    #[error("the rules folder `{}` cannot be watched; look at `fs.inotify.max_user_watches`", .dir.display())]
    Watch {
        dir: PathBuf,
        #[source]
        source: notify_debouncer_full::notify::Error,
    },
}

/// Reads the rules of a folder. One file that cannot be read makes all of them unread: it may be the one that forbids.
pub fn rule_sources(dir: Option<&Path>) -> Result<Sources, Unread> {
    let Some(dir) = dir else {
        return Ok(Vec::new());
    };
    let mut problems = Vec::new();
    let mut sources = Vec::new();
    for path in files(dir).map_err(|error| unread_folder(dir, &error))? {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        match text(&path) {
            Ok(text) => sources.push((file.into_owned(), text)),
            Err(error) => problems.push(Problem {
                file: file.into_owned(),
                line: None,
                message: format!("cannot be read: {error}"),
                help: None,
            }),
        }
    }
    sources.sort();
    problems.sort_by(|a, b| a.file.cmp(&b.file));
    if problems.is_empty() {
        Ok(sources)
    } else {
        Err(Unread { problems })
    }
}

fn unread_folder(dir: &Path, error: &std::io::Error) -> Unread {
    Unread {
        problems: vec![Problem {
            file: dir.display().to_string(),
            line: None,
            message: format!("the folder of the rules cannot be read: {error}"),
            help: Some("make it, or change `policy.dir`".to_owned()),
        }],
    }
}

fn files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let all = std::fs::read_dir(dir)?.map(|entry| Ok(entry?.path()));
    let is_ours = |path: &PathBuf| path.extension().is_some_and(|ext| ext == "cedar");
    all.filter(|path| path.as_ref().map_or(true, is_ours))
        .collect()
}

fn text(path: &Path) -> std::io::Result<String> {
    // Opening a pipe would wait for whoever writes into it.
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(RULES_BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > RULES_BYTES_MAX {
        return Err(std::io::Error::other(format!(
            "it is larger than {RULES_BYTES_MAX} bytes"
        )));
    }
    Ok(text)
}

/// What the follower works on.
pub(crate) struct Parts {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) rules: Arc<ArcSwap<Rules>>,
    /// The words of the configuration that rules may use.
    pub(crate) vocabulary: Vocabulary,
    /// Whether the rules in force are those of the folder.
    pub(crate) in_force: Arc<AtomicBool>,
    /// What is wrong with the folder while they are not.
    pub(crate) problems: Arc<ArcSwap<Vec<Problem>>>,
    pub(crate) audit: Audit,
    /// Counts up when what callers may see may have changed.
    pub(crate) epoch: watch::Sender<u64>,
}

/// Keeps rules and log in step with the two folders.
pub(crate) struct Follower {
    parts: Parts,
    dir: Option<PathBuf>,
    /// The folder as it was when it was last judged.
    judged: Result<Sources, Unread>,
    reported: mpsc::Receiver<()>,
    _watching: Option<Debouncer<RecommendedWatcher, RecommendedCache>>,
}

/// A folder that has changed and may not have been written to its end.
struct Settling {
    since: Instant,
    look_at: Instant,
    seen: Option<Result<Sources, Unread>>,
    /// Whether it was said already that it takes too long.
    overdue: bool,
}

impl Settling {
    fn begin(now: Instant) -> Self {
        Self {
            since: now,
            look_at: now,
            seen: None,
            overdue: false,
        }
    }

    /// Whether the folder says the same as at the look before.
    fn is_quiet(&mut self, read: &Result<Sources, Unread>, now: Instant) -> bool {
        if self.seen.as_ref() == Some(read) {
            return true;
        }
        self.seen = Some(read.clone());
        self.look_at = now + RULES_QUIET;
        false
    }

    fn becomes_overdue(&mut self, now: Instant) -> bool {
        let becomes = !self.overdue && now - self.since > RULES_SETTLE_MAX;
        self.overdue |= becomes;
        becomes
    }
}

impl Follower {
    /// Reads the rules and puts them in force if they fit.
    pub(crate) async fn open(dir: Option<PathBuf>, parts: Parts) -> Result<Self, FollowError> {
        // One place: a second report before the first was heard says nothing new.
        let (report, reported) = mpsc::channel(1);
        // Watched first, then read: nothing falls in between.
        let watching = match &dir {
            Some(dir) => Some(watch_folder(dir, report)?),
            None => None,
        };
        let follower = Self {
            judged: Ok(rule_sources(dir.as_deref())?),
            dir,
            parts,
            reported,
            _watching: watching,
        };
        follower.judge().await;
        Ok(follower)
    }

    /// Follows until the server ends.
    pub(crate) async fn follow(
        mut self,
        mut changed: mpsc::UnboundedReceiver<Vec<Change>>,
        shutdown: CancellationToken,
    ) {
        let mut poll = interval(RULES_POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        poll.tick().await;
        let mut settling: Option<Settling> = None;
        loop {
            let look_at = settling.as_ref().map(|settling| settling.look_at);
            tokio::select! {
                changes = changed.recv() => {
                    let Some(changes) = changes else { return };
                    for change in &changes {
                        self.record(change, &changes).await;
                    }
                    self.judge().await;
                    self.told();
                }
                Some(()) = self.reported.recv() => drop(settling.get_or_insert_with(|| Settling::begin(Instant::now()))),
                _ = poll.tick() => drop(settling.get_or_insert_with(|| Settling::begin(Instant::now()))),
                () = sleep_until(look_at.unwrap_or_else(Instant::now)), if look_at.is_some() => {
                    settling = self.look(settling).await;
                }
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// Looks at the folder of the rules. Answers nothing once it is quiet and judged.
    async fn look(&mut self, settling: Option<Settling>) -> Option<Settling> {
        let mut settling = settling?;
        let dir = self.dir.clone();
        let read = tokio::task::spawn_blocking(move || rule_sources(dir.as_deref()));
        let Ok(read) = read.await else {
            tracing::error!("the look at the rules was stopped; those before stay in force");
            return None;
        };
        if read == self.judged && settling.seen.is_none() {
            return None;
        }
        if settling.is_quiet(&read, Instant::now()) {
            self.judged = read;
            self.judge().await;
            self.told();
            return None;
        }
        if settling.becomes_overdue(Instant::now()) {
            let dir = self.dir.clone().unwrap_or_default();
            self.refuse(&[Problem {
                file: dir.display().to_string(),
                line: None,
                message: "the folder of the rules keeps changing".to_owned(),
                help: Some("write a file under another name and rename it".to_owned()),
            }])
            .await;
        }
        Some(settling)
    }

    fn told(&self) {
        self.parts.epoch.send_modify(|epoch| *epoch += 1);
    }

    /// Records a change. Of a package whose file was replaced, another build is told of as such.
    async fn record(&self, change: &Change, all: &[Change]) {
        let event = match &change.kind {
            ChangeKind::Admitted { digest, tools } => {
                tracing::info!(file = change.file, %digest, ?tools, "a package is served");
                let event = match build_before(change, all) {
                    Some(before) => {
                        Event::new(EventKind::ToolChanged).fact("before", before.to_string())
                    }
                    None => Event::new(EventKind::ToolAdmitted),
                };
                event.fact("digest", digest.to_string())
            }
            ChangeKind::Retired { digest } => {
                tracing::info!(file = change.file, %digest, "a package is served no more");
                Event::new(EventKind::ToolRetired).fact("digest", digest.to_string())
            }
            ChangeKind::Refused { reason } => {
                tracing::warn!(file = change.file, reason, "a package was refused");
                Event::new(EventKind::ToolRefused).fact("file", change.file.clone())
            }
        };
        let event = match &change.name {
            Some(name) => event.tool(name),
            None => event,
        };
        if let Err(error) = self.parts.audit.event_soon(event).await {
            tracing::error!(%error, "a change of the tools could not be recorded");
        }
    }

    /// Checks the rules against the tools as they are now. Rules that do not fit leave the old ones in force.
    async fn judge(&self) {
        let sources = match &self.judged {
            Ok(sources) => sources.clone(),
            Err(unread) => return self.refuse(&unread.problems).await,
        };
        let parts = &self.parts;
        let tools: Vec<_> = parts.catalog.snapshot().tools.values().cloned().collect();
        let vocabulary = parts.vocabulary.clone();
        // Many rules about many tools take seconds to check; calls go on meanwhile.
        let loading =
            tokio::task::spawn_blocking(move || Rules::load_with(&sources, &tools, vocabulary));
        let loaded = loading.await.unwrap_or_else(|error| {
            tracing::error!(%error, "checking the rules panicked");
            Err(PolicyError::unreadable())
        });
        match loaded {
            Ok(rules) => {
                for warning in rules.warnings() {
                    tracing::warn!(%warning, "a rule says what has no effect");
                }
                let digest = rules.digest().to_string();
                tracing::info!(digest, rules = rules.len(), "rules are in force");
                let event = Event::new(EventKind::PolicyChanged).fact("digest", digest);
                parts.rules.store(Arc::new(rules));
                parts.problems.store(Arc::default());
                parts.in_force.store(true, Ordering::Release);
                self.tell(event).await;
            }
            Err(error) => self.refuse(&error.problems).await,
        }
    }

    async fn refuse(&self, problems: &[Problem]) {
        self.parts.problems.store(Arc::new(problems.to_vec()));
        self.parts.in_force.store(false, Ordering::Release);
        for problem in problems {
            tracing::error!(%problem, "the rules are refused; those before stay in force");
        }
        let count = u64::try_from(by_line(problems).len()).unwrap_or(u64::MAX);
        let event = Event::new(EventKind::PolicyRefused).fact("problems", count);
        self.tell(event).await;
    }

    async fn tell(&self, event: Event) {
        if let Err(error) = self.parts.audit.event_soon(event).await {
            tracing::error!(%error, "a change of the rules could not be recorded");
        }
    }
}

fn watch_folder(
    dir: &Path,
    report: mpsc::Sender<()>,
) -> Result<Debouncer<RecommendedWatcher, RecommendedCache>, FollowError> {
    let refuse = |source| FollowError::Watch {
        dir: dir.to_owned(),
        source,
    };
    let heard = move |events: DebounceEventResult| {
        let matters = match events {
            // Reading a file is reported, too, and reading is what we do.
            Ok(events) => events
                .iter()
                .any(|event| event.need_rescan() || !matches!(event.kind, FileEvent::Access(_))),
            Err(_) => true,
        };
        if matters {
            // Full: a look is due already. Closed: nobody serves any more.
            let _ = report.try_send(());
        }
    };
    let mut debouncer = new_debouncer(RULES_QUIET, None, heard).map_err(refuse)?;
    debouncer
        .watch(dir, RecursiveMode::NonRecursive)
        .map_err(refuse)?;
    Ok(debouncer)
}

/// The build of the same package that goes as this one comes.
fn build_before(change: &Change, all: &[Change]) -> Option<Digest> {
    let name = change.name.as_ref()?;
    all.iter().find_map(|other| match &other.kind {
        ChangeKind::Retired { digest } if other.name.as_ref() == Some(name) => Some(*digest),
        ChangeKind::Retired { .. } | ChangeKind::Admitted { .. } | ChangeKind::Refused { .. } => {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        dir
    }

    fn refused(dir: &Path) -> Vec<String> {
        let unread = rule_sources(Some(dir)).unwrap_err();
        unread.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn rules_are_read_in_the_order_of_their_names_and_other_files_are_none() {
        let dir = folder(&[("b.cedar", b"2"), ("a.cedar", b"1"), ("a.txt", b"no")]);
        let read = rule_sources(Some(dir.path())).unwrap();
        let expected = [("a.cedar", "1"), ("b.cedar", "2")];
        assert_eq!(
            read,
            expected.map(|(file, text)| (file.to_owned(), text.to_owned()))
        );
        assert_eq!(rule_sources(None).unwrap(), []);
    }

    #[test]
    fn one_file_that_cannot_be_read_makes_all_unread_and_each_is_named() {
        let dir = folder(&[("good.cedar", b""), ("latin.cedar", b"\xff")]);
        std::fs::create_dir(dir.path().join("dir.cedar")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("link.cedar")).unwrap();
        let large = vec![b' '; usize::try_from(RULES_BYTES_MAX).unwrap() + 1];
        std::fs::write(dir.path().join("large.cedar"), large).unwrap();
        let problems = refused(dir.path());
        let names: Vec<_> = problems
            .iter()
            .filter_map(|problem| problem.split(':').next())
            .collect();
        let expected = ["dir.cedar", "large.cedar", "latin.cedar", "link.cedar"];
        assert_eq!(names, expected, "{problems:?}");
    }

    #[test]
    fn a_folder_that_is_not_there_is_no_empty_set_of_rules() {
        let dir = folder(&[]);
        let problems = refused(&dir.path().join("gone"));
        assert!(problems[0].contains("cannot be read"), "{problems:?}");
    }

    #[test]
    fn a_folder_settles_when_two_looks_see_the_same_and_is_overdue_once() {
        let mut now = Instant::now();
        let mut settling = Settling::begin(now);
        let read = |n: usize| Ok(vec![("a.cedar".to_owned(), n.to_string())]);
        let mut overdue = 0;
        for n in 0..100 {
            assert!(!settling.is_quiet(&read(n), now), "it keeps changing");
            now = settling.look_at;
            overdue += usize::from(settling.becomes_overdue(now));
        }
        assert_eq!(overdue, 1);
        assert!(settling.is_quiet(&read(99), now));
    }

    #[test]
    fn another_build_of_a_package_is_told_of_as_one_and_nothing_else_is() {
        let change = |name: &str, kind| Change {
            file: format!("{name}.wasm"),
            name: name.parse().ok(),
            kind,
        };
        let gone = |name: &str| {
            let digest = Digest::of(name.as_bytes());
            change(name, ChangeKind::Retired { digest })
        };
        let came = change(
            "notes",
            ChangeKind::Admitted {
                digest: Digest::of(b"new"),
                tools: Vec::new(),
            },
        );
        let all = [gone("other"), gone("notes"), came.clone()];
        assert_eq!(build_before(&came, &all), Some(Digest::of(b"notes")));
        let all = [gone("other"), came.clone()];
        assert_eq!(build_before(&came, &all), None);
    }
}
