//! Time as a value: stages are told what time it is, they never ask.

mod believed;
mod course;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::macros::format_description;

pub use believed::Believed;
pub use course::{Doubt, Leap, Mark};

/// Milliseconds since 1970-01-01 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This many seconds since 1970, as tokens count them.
    pub fn from_secs(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Whole seconds since 1970.
    pub fn secs(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Later by `span`.
    pub fn plus(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// How long ago `earlier` was; zero when it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// As RFC 3339 text in UTC, for people: whole seconds, or three digits more.
    pub fn rfc3339(self) -> String {
        let whole = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
        let finer = format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        );
        let format = if self.0.rem_euclid(1000) == 0 {
            whole
        } else {
            finer
        };
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .ok()
            .and_then(|at| at.format(format).ok())
            .unwrap_or_else(|| format!("{} ms", self.0))
    }
}

/// Where the time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The time now.
    fn now(&self) -> Timestamp;

    /// What has passed since some moment, by a clock that nobody sets.
    fn steady(&self) -> Duration {
        since_boot()
    }

    /// The time by which something is deleted for good: the time now, or the one that is believed where that is earlier.
    fn sure(&self) -> Timestamp {
        self.now()
    }

    /// The time whose day it is for daily budgets: the same, but for a start after a downtime, when the time now counts.
    fn day(&self) -> Timestamp {
        self.now()
    }
}

/// Counts on while the machine sleeps, so that waking up is no leap.
fn since_boot() -> Duration {
    let since = clock_gettime(ClockId::Boottime);
    let part = u32::try_from(since.tv_nsec).unwrap_or_default();
    Duration::new(u64::try_from(since.tv_sec).unwrap_or_default(), part)
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// A clock that stands still until it is told otherwise.
#[derive(Debug, Clone)]
pub struct ManualClock {
    shown: Arc<AtomicI64>,
    /// In milliseconds.
    passed: Arc<AtomicI64>,
}

impl ManualClock {
    /// A clock that shows `at`.
    pub fn new(at: Timestamp) -> Self {
        Self {
            shown: Arc::new(AtomicI64::new(at.0)),
            passed: Arc::default(),
        }
    }

    /// Lets `span` pass.
    pub fn advance(&self, span: Duration) {
        let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        self.passed.fetch_add(span, Ordering::SeqCst);
        self.shown.fetch_add(span, Ordering::SeqCst);
    }

    /// Sets it; no time passes.
    pub fn set(&self, at: Timestamp) {
        self.shown.store(at.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.shown.load(Ordering::SeqCst))
    }

    fn steady(&self) -> Duration {
        let passed = self.passed.load(Ordering::SeqCst);
        Duration::from_millis(u64::try_from(passed).unwrap_or_default())
    }
}

/// A clock that every stage can share.
pub type SharedClock = Arc<dyn Clock>;
