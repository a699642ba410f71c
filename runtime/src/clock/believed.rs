//! A clock whose leaps delete nothing: it shows what it is set to, and what of that is believed.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::course::{Course, Doubt, Mark, Reading};
use super::{Clock, SharedClock, Timestamp};

/// A clock that is held against one that nobody sets, at every look for a time that counts.
pub struct Believed {
    clock: SharedClock,
    course: Mutex<Course>,
}

impl Believed {
    /// Goes on from what was noted of this clock last, if anything was.
    pub fn resume(clock: SharedClock, last: Option<Mark>) -> Self {
        let course = Course::resume(last, reading(&clock));
        Self {
            course: Mutex::new(course),
            clock,
        }
    }

    /// Why it is not believed, if it is not.
    pub fn doubt(&self) -> Option<Doubt> {
        self.looked(Course::doubt)
    }

    /// Whether the last time that was doubted came to be believed. Else the clock went back.
    pub fn stood(&self) -> bool {
        self.looked(|course, _| course.stood())
    }

    /// What is noted for the next start.
    pub fn mark(&self) -> Mark {
        self.looked(Course::mark)
    }

    fn looked<T>(&self, say: impl FnOnce(&Course, Reading) -> T) -> T {
        // Nothing is half done where a clock panics: it is asked before anything is changed.
        let mut course = self.course.lock().unwrap_or_else(PoisonError::into_inner);
        // Within the lock: a reading that waited for it would seem to be a step of the clock.
        let now = reading(&self.clock);
        course.look(now);
        say(&course, now)
    }
}

impl Clock for Believed {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn steady(&self) -> Duration {
        self.clock.steady()
    }

    fn sure(&self) -> Timestamp {
        self.looked(Course::sure)
    }

    fn day(&self) -> Timestamp {
        self.looked(Course::day)
    }
}

fn reading(clock: &SharedClock) -> Reading {
    Reading {
        steady_ms: i64::try_from(clock.steady().as_millis()).unwrap_or(i64::MAX),
        wall: clock.now(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::ManualClock;
    use super::*;
    use crate::clock::SystemClock;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    #[test]
    fn what_is_deleted_goes_by_the_believed_time_and_everything_else_by_the_clock() {
        let manual = ManualClock::new(Timestamp::from_secs(1_800_000_000));
        let clock = Believed::resume(Arc::new(manual.clone()), None);
        let then = clock.now();
        manual.set(then.plus(40 * DAY));
        assert_eq!((clock.now(), clock.sure()), (then.plus(40 * DAY), then));
        assert!(clock.doubt().is_some());
        manual.advance(DAY);
        assert_eq!(
            (clock.sure(), clock.day()),
            (then.plus(DAY), then.plus(DAY))
        );
        let clock = Believed::resume(Arc::new(manual.clone()), Some(clock.mark()));
        assert_eq!(clock.sure(), then.plus(DAY));
        manual.set(then.plus(DAY));
        assert_eq!((clock.sure(), clock.doubt()), (then.plus(DAY), None));
        assert!(!clock.stood());
        manual.set(then.plus(40 * DAY));
        assert_eq!(clock.sure(), then.plus(DAY));
        manual.advance(7 * DAY);
        assert_eq!((clock.sure(), clock.doubt()), (clock.now(), None));
        assert!(clock.stood());
    }

    #[test]
    fn the_clock_of_the_machine_keeps_to_the_one_that_nobody_sets() {
        let clock = Believed::resume(Arc::new(SystemClock), None);
        let began = clock.steady();
        assert!(began > Duration::ZERO);
        std::thread::sleep(Duration::from_millis(20));
        assert!(clock.steady() - began >= Duration::from_millis(20));
        assert!(clock.doubt().is_none());
        assert!(clock.now().since(clock.sure()) < Duration::from_secs(5));
    }
}
