//! The time that a guest sees.
//!
//! Without a grant both clocks stand still at the instant at which the call began: a guest cannot measure anything with
//! them. With `clock` they run, in steps of [`CLOCK_STEP`]. Waiting is not reading: a timer set by duration, or to an
//! instant of the frozen clock, waits in real time in either case, and the deadline of the call bounds it.

use std::time::{Duration, Instant};

use crate::clock::{SharedClock, Timestamp};
use crate::limits::CLOCK_STEP;

/// What the monotonic clock shows when a call begins. Not zero: runtimes take that for a broken clock.
const MONOTONIC_START: Duration = Duration::from_secs(1);

/// The clocks of one call.
#[derive(Clone)]
pub struct CallClock {
    at: Timestamp,
    running: Option<(SharedClock, Instant)>,
}

impl CallClock {
    /// Clocks that stand still at `at`.
    pub fn frozen(at: Timestamp) -> Self {
        Self { at, running: None }
    }

    /// Clocks that run: for a call with the grant.
    pub fn running(clock: SharedClock) -> Self {
        Self {
            at: clock.now(),
            running: Some((clock, Instant::now())),
        }
    }

    /// Time since 1970.
    pub fn wall(&self) -> Duration {
        let now = match &self.running {
            Some((clock, _)) => clock.now().max(self.at),
            None => self.at,
        };
        step(Duration::from_millis(u64::try_from(now.0).unwrap_or(0)))
    }

    /// Time on a clock that only moves forward.
    pub fn monotonic(&self) -> Duration {
        let since = self
            .running
            .as_ref()
            .map_or(Duration::ZERO, |(_, began)| began.elapsed());
        MONOTONIC_START.saturating_add(step(since))
    }

    /// The grain of both clocks.
    pub fn resolution(&self) -> Duration {
        CLOCK_STEP
    }
}

fn step(time: Duration) -> Duration {
    let grain = CLOCK_STEP.as_nanos().max(1);
    let nanos = time.as_nanos() / grain * grain;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn without_a_grant_time_stands_still() {
        let clock = CallClock::frozen(Timestamp(1_700_000_000_123));
        let (wall, monotonic) = (clock.wall(), clock.monotonic());
        std::thread::sleep(CLOCK_STEP * 3);
        assert_eq!((clock.wall(), clock.monotonic()), (wall, monotonic));
        assert_eq!(wall, Duration::from_millis(1_700_000_000_123));
    }

    #[test]
    fn with_a_grant_time_runs_in_steps_and_never_back() {
        let manual = ManualClock::new(Timestamp(5_000));
        let clock = CallClock::running(Arc::new(manual.clone()));
        manual.advance(Duration::from_millis(7));
        assert_eq!(clock.wall(), Duration::from_millis(5_007));
        let first = clock.monotonic();
        std::thread::sleep(CLOCK_STEP * 3);
        let second = clock.monotonic();
        assert!(second > first);
        assert_eq!(second.as_nanos() % CLOCK_STEP.as_nanos(), 0);
    }

    #[test]
    fn a_clock_before_1970_shows_1970() {
        assert_eq!(CallClock::frozen(Timestamp(-5)).wall(), Duration::ZERO);
    }
}
