//! How long something took, without what a busy machine withheld from all who wanted to run meanwhile.
//!
//! A thread on which nothing of ours runs sleeps for a moment, again and again. By as much as it wakes too late, a server was made
//! to wait as well, and that is no fault of it. A server that leaves no thread of its own to a caller makes that thread wake no later,
//! so what it does wrong still counts.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long the thread sleeps each time.
const BEAT: Duration = Duration::from_millis(10);

struct Beats {
    woke: Instant,
    withheld: Duration,
}

static BEATS: LazyLock<Mutex<Beats>> = LazyLock::new(|| {
    std::thread::spawn(|| {
        loop {
            std::thread::sleep(BEAT);
            let mut beats = beats();
            beats.withheld = beats.until_now();
            beats.woke = Instant::now();
        }
    });
    Mutex::new(Beats {
        woke: Instant::now(),
        withheld: Duration::ZERO,
    })
});

fn beats() -> MutexGuard<'static, Beats> {
    BEATS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Beats {
    /// With what the thread waits for at this moment.
    fn until_now(&self) -> Duration {
        self.withheld + self.woke.elapsed().saturating_sub(BEAT)
    }
}

/// Runs from its start on.
pub struct Stopwatch {
    began: Instant,
    withheld: Duration,
}

impl Stopwatch {
    pub fn start() -> Self {
        let withheld = beats().until_now();
        Self {
            began: Instant::now(),
            withheld,
        }
    }

    /// How long it took by the clock.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// What the machine withheld of it.
    pub fn withheld(&self) -> Duration {
        beats().until_now().saturating_sub(self.withheld)
    }

    /// How long it took without that.
    pub fn took(&self) -> Duration {
        self.elapsed().saturating_sub(self.withheld())
    }
}
