//! How far a clock is believed: what it shows, held against a clock that nobody sets.
//!
//! A clock that gets ahead of the other is not believed before it has run steadily for long. Until then the time that is believed is
//! the one that it would show had it not been set. A clock that goes back is believed at once: by an earlier time less is
//! deleted. Readings in, verdict out; no clock is asked here, and nothing is written.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Timestamp;
use crate::limits::{CLOCK_AWAY_MAX, CLOCK_LEAP_MAX, CLOCK_STEADY_MAX, CLOCK_STEADY_MIN};

/// What both clocks show at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    /// The one that is set.
    pub wall: Timestamp,
    /// The one that nobody sets, in milliseconds since some moment.
    pub steady_ms: i64,
}

/// How far the clock is believed.
#[derive(Debug, Clone)]
pub(super) struct Course {
    /// From here on the clock is believed, for as long as it keeps to the other.
    believed: Reading,
    /// Where it shows another time, and since when.
    other: Option<Other>,
    /// Whether the last time that was doubted came to be believed.
    stood: bool,
}

/// A time that the clock shows in place of the one that is believed.
#[derive(Debug, Clone, Copy)]
struct Other {
    first: Reading,
    /// For how long it must run steadily to be believed.
    wait: Duration,
    /// Whether the clock was set under a server that ran.
    seen: bool,
}

/// Why the clock is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doubt {
    /// What it showed when it was first not believed, which tells one leap from the next.
    pub since: Timestamp,
    /// How far it is ahead.
    pub ahead: Duration,
    /// For how long it has to run steadily.
    pub wait: Duration,
    /// Whether it was set under a server that ran. Else the server was off meanwhile, which can be all there is to it.
    pub seen: bool,
}

/// What is noted of a clock for the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    /// What it showed.
    pub shown: Timestamp,
    /// What was believed.
    pub believed: Timestamp,
    /// Of a clock that is not believed, how long it has run steadily.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leap: Option<Leap>,
}

/// A leap that was not believed when it was noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leap {
    /// For how long the clock has run steadily since.
    pub stood_ms: i64,
    /// For how long it must.
    pub wait_ms: i64,
    /// Whether it was set under a server that ran.
    pub seen: bool,
}

impl Reading {
    /// What the clock shows by then, if nobody sets it.
    fn by(self, then: Self) -> Timestamp {
        Timestamp(self.wall.0.saturating_add(then.since(self)))
    }

    /// What has passed since, in milliseconds.
    fn since(self, earlier: Self) -> i64 {
        self.steady_ms.saturating_sub(earlier.steady_ms)
    }

    /// How far the clock is ahead of what it would show if nobody had set it, in milliseconds.
    fn ahead_of(self, earlier: Self) -> i64 {
        self.wall.0.saturating_sub(earlier.by(self).0)
    }

    /// Whether nobody has set it, or by no more than does no harm.
    fn follows(self, earlier: Self) -> bool {
        self.ahead_of(earlier).unsigned_abs() <= ms(CLOCK_LEAP_MAX).unsigned_abs()
    }
}

impl Course {
    /// Goes on from what was noted last. Where nothing was, there is nothing that could have ended before its time.
    pub fn resume(last: Option<Mark>, now: Reading) -> Self {
        let Some(last) = last else {
            return Self {
                believed: now,
                other: None,
                stood: false,
            };
        };
        let away = now.wall.0.saturating_sub(last.shown.0);
        // How long the server was off does not count, and does not begin the wait anew.
        let ordinary = -ms(CLOCK_LEAP_MAX)..=ms(CLOCK_AWAY_MAX);
        let other = last.leap.filter(|_| ordinary.contains(&away));
        let other = other.map(|leap| {
            // Whatever a file says: no wait is longer than the longest, and none is over before its time.
            let wait = span(leap.wait_ms).clamp(CLOCK_STEADY_MIN, CLOCK_STEADY_MAX);
            let stood = leap.stood_ms.clamp(0, ms(wait));
            Other {
                first: Reading {
                    wall: Timestamp(now.wall.0.saturating_sub(stood)),
                    steady_ms: now.steady_ms.saturating_sub(stood),
                },
                wait,
                seen: leap.seen,
            }
        });
        let mut course = Self {
            believed: Reading {
                wall: last.believed,
                ..now
            },
            other,
            stood: false,
        };
        course.see(now, false);
        course
    }

    /// Takes notice of what the clocks show now.
    pub fn look(&mut self, now: Reading) {
        self.see(now, true);
    }

    fn see(&mut self, now: Reading, seen: bool) {
        if now.follows(self.believed) {
            if self.other.take().is_some() {
                self.stood = false;
            }
            // What it loses or gains slowly is followed.
            if now.since(self.believed) >= ms(CLOCK_STEADY_MIN) {
                self.believed = now;
            }
            return;
        }
        let other = self.other.filter(|other| now.follows(other.first));
        let other = other.unwrap_or_else(|| Other {
            first: now,
            wait: wait(now.ahead_of(self.believed), seen),
            seen,
        });
        if now.since(other.first) >= ms(other.wait) {
            self.believed = now;
            self.other = None;
            self.stood = true;
        } else {
            self.other = Some(other);
        }
    }

    /// The time by which something is deleted for good.
    pub fn sure(&self, now: Reading) -> Timestamp {
        match self.other {
            Some(_) => now.wall.min(self.believed.by(now)),
            None => now.wall,
        }
    }

    /// The time whose day it is. After a downtime that is the time now, or the day before would stand for hours.
    pub fn day(&self, now: Reading) -> Timestamp {
        match self.other {
            Some(other) if other.seen => self.sure(now),
            Some(_) | None => now.wall,
        }
    }

    /// Why the clock is not believed, if it is not.
    pub fn doubt(&self, now: Reading) -> Option<Doubt> {
        let ahead = u64::try_from(now.ahead_of(self.believed)).ok()?;
        self.other.map(|other| Doubt {
            since: other.first.wall,
            ahead: Duration::from_millis(ahead),
            wait: other.wait,
            seen: other.seen,
        })
    }

    /// Whether the last time that was doubted came to be believed. Else the clock went back.
    pub fn stood(&self) -> bool {
        self.stood
    }

    /// What is noted for the next start.
    pub fn mark(&self, now: Reading) -> Mark {
        Mark {
            shown: now.wall,
            // Of a clock that went back the later time: that it comes forth again shall be no leap.
            believed: match self.other {
                Some(_) => self.believed.by(now),
                None => now.wall,
            },
            leap: self
                .other
                .filter(|_| self.doubt(now).is_some())
                .map(|other| Leap {
                    stood_ms: now.since(other.first),
                    wait_ms: ms(other.wait),
                    seen: other.seen,
                }),
        }
    }
}

impl Doubt {
    /// Whether a downtime of ordinary length explains it.
    pub fn is_ordinary(&self) -> bool {
        is_ordinary(self.seen, self.wait)
    }
}

impl Leap {
    /// The same of one that was noted.
    pub fn is_ordinary(&self) -> bool {
        is_ordinary(self.seen, span(self.wait_ms))
    }
}

fn is_ordinary(seen: bool, wait: Duration) -> bool {
    !seen && wait <= CLOCK_STEADY_MIN
}

/// For how long a clock that is so far ahead must run steadily. A server that was off is an ordinary thing; else it is as long as the
/// clock is ahead, within bounds: what a false time could end is as much.
fn wait(ahead_ms: i64, seen: bool) -> Duration {
    match span(ahead_ms) {
        ahead if !seen && ahead <= CLOCK_AWAY_MAX => CLOCK_STEADY_MIN,
        ahead => ahead.clamp(CLOCK_STEADY_MIN, CLOCK_STEADY_MAX),
    }
}

fn ms(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

fn span(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const NOW: i64 = 1_800_000_000_000;

    /// The clocks when `passed` has gone by and the one that is set was moved by `set` in all.
    fn reading(passed: i64, set: i64) -> Reading {
        Reading {
            wall: Timestamp(NOW + passed + set),
            steady_ms: 7 + passed,
        }
    }

    fn course() -> Course {
        Course::resume(None, reading(0, 0))
    }

    /// What is believed, as what has passed until then, and whether the clock is doubted.
    fn seen(course: &mut Course, passed: i64, set: i64) -> (i64, bool) {
        let now = reading(passed, set);
        course.look(now);
        let sure = course.sure(now).0.saturating_sub(NOW);
        (sure, course.doubt(now).is_some())
    }

    #[test]
    fn a_clock_that_nobody_sets_is_believed_and_so_are_small_corrections() {
        let mut course = course();
        for (passed, set) in [
            (0, 0),
            (MINUTE, 0),
            (HOUR, 5 * MINUTE),
            (2 * HOUR, 10 * MINUTE),
            (2 * HOUR, 0),
            (2 * HOUR, -DAY),
            (3 * HOUR, 15 * MINUTE),
        ] {
            assert_eq!(
                seen(&mut course, passed, set),
                (passed + set, false),
                "{passed}"
            );
        }
        // More than five minutes within an hour is a leap, however small the steps.
        assert_eq!(
            seen(&mut course, 3 * HOUR + MINUTE, 19 * MINUTE),
            (3 * HOUR + 20 * MINUTE, false)
        );
        assert!(seen(&mut course, 3 * HOUR + 2 * MINUTE, 23 * MINUTE).1);
    }

    #[test]
    fn a_leap_is_believed_when_it_stood_for_as_long_as_it_is_within_an_hour_and_a_week() {
        for (leap, wait) in [
            (6 * MINUTE, HOUR),
            (HOUR, HOUR),
            (2 * DAY, 2 * DAY),
            (7 * DAY, 7 * DAY),
            (400 * DAY, 7 * DAY),
            (i64::MAX / 2, 7 * DAY),
        ] {
            let mut course = course();
            assert_eq!(seen(&mut course, MINUTE, leap), (MINUTE, true));
            let last = MINUTE + wait - 1;
            assert_eq!(seen(&mut course, last, leap), (last, true), "{leap}");
            let doubt = course.doubt(reading(last, leap)).unwrap();
            assert!(doubt.seen && !doubt.is_ordinary());
            assert_eq!((ms(doubt.ahead), ms(doubt.wait)), (leap, wait));
            let then = MINUTE + wait;
            assert_eq!(seen(&mut course, then, leap), (then + leap, false));
            assert!(course.stood());
            // By then a leap back is one, and believed as any.
            assert_eq!(seen(&mut course, then, 0), (then, false));
        }
    }

    #[test]
    fn a_clock_that_comes_back_is_believed_at_once_and_the_next_leap_begins_anew() {
        let mut course = course();
        assert_eq!(seen(&mut course, 0, DAY), (0, true));
        let almost = DAY - 1;
        assert_eq!(seen(&mut course, almost, DAY), (almost, true));
        assert_eq!(seen(&mut course, almost, 0), (almost, false));
        assert!(!course.stood());
        assert!(seen(&mut course, DAY, DAY).1);
        // One from within a leap as well.
        assert!(seen(&mut course, 2 * DAY - 1, 2 * DAY).1);
        assert!(seen(&mut course, 4 * DAY - 2, 2 * DAY).1);
        assert_eq!(seen(&mut course, 4 * DAY, 2 * DAY), (6 * DAY, false));
    }

    #[test]
    fn the_day_is_the_believed_one_after_a_leap_and_that_of_the_clock_after_a_downtime() {
        let (mut leapt, now) = (course(), reading(MINUTE, 3 * DAY));
        leapt.look(now);
        assert_eq!(leapt.day(now).0, NOW + MINUTE);
        let started = Course::resume(Some(course().mark(reading(0, 0))), now);
        assert_eq!(started.day(now), now.wall);
        assert_eq!(started.sure(now).0, NOW);
    }

    /// Goes on from a mark when the server was off for so long by a clock that was moved by `set`.
    fn started(mark: Mark, passed: i64, set: i64) -> Course {
        let text = serde_json::to_string(&mark).unwrap();
        Course::resume(serde_json::from_str(&text).unwrap(), reading(passed, set))
    }

    #[test]
    fn a_start_soon_after_the_end_is_believed_and_one_after_a_downtime_an_hour_later() {
        let mark = course().mark(reading(0, 0));
        assert_eq!(mark.leap, None);
        assert_eq!(
            seen(&mut started(mark, 5 * MINUTE, 0), 5 * MINUTE, 0),
            (5 * MINUTE, false)
        );
        for (away, wait, ordinary) in [
            (6 * MINUTE, HOUR, true),
            (7 * DAY, HOUR, true),
            (8 * DAY, 7 * DAY, false),
            (900 * DAY, 7 * DAY, false),
        ] {
            let mut course = started(mark, away, 0);
            assert_eq!(seen(&mut course, away, 0), (0, true), "{away}");
            let doubt = course.doubt(reading(away, 0)).unwrap();
            assert_eq!((doubt.is_ordinary(), doubt.seen), (ordinary, false));
            let then = away + wait;
            // What passes meanwhile is believed.
            assert_eq!(seen(&mut course, then - 1, 0), (wait - 1, true));
            assert_eq!(seen(&mut course, then, 0), (then, false));
        }
        // A machine whose clock begins in the past each time, until the network is there.
        let mut course = started(mark, MINUTE, -NOW);
        assert_eq!(seen(&mut course, MINUTE, -NOW), (MINUTE - NOW, false));
        assert_eq!(seen(&mut course, 2 * MINUTE, 0), (2 * MINUTE, false));
    }

    #[test]
    fn a_restart_neither_ends_a_doubt_nor_begins_its_wait_anew() {
        let mut course = course();
        seen(&mut course, 0, 400 * DAY);
        seen(&mut course, 3 * DAY, 400 * DAY);
        let mark = course.mark(reading(3 * DAY, 400 * DAY));
        let leap = mark.leap.unwrap();
        assert_eq!((leap.stood_ms, leap.seen), (3 * DAY, true));
        for away in [MINUTE, 2 * DAY] {
            let on = 3 * DAY + away;
            let mut course = started(mark, on, 400 * DAY);
            assert_eq!(seen(&mut course, on, 400 * DAY), (3 * DAY, true));
            let almost = on + 4 * DAY - 1;
            assert!(seen(&mut course, almost, 400 * DAY).1, "{away}");
            assert!(!seen(&mut course, almost + 1, 400 * DAY).1, "{away}");
        }
        // Back while it was off: as after any downtime.
        assert!(!seen(&mut started(mark, 3 * DAY, 0), 3 * DAY, 0).1);
        // Far ahead once more.
        let mut course = started(mark, 3 * DAY, 800 * DAY);
        assert!(seen(&mut course, 9 * DAY, 800 * DAY).1);
        assert!(!seen(&mut course, 10 * DAY, 800 * DAY).1);
    }

    #[test]
    fn a_server_that_is_off_every_night_comes_to_believe_its_clock() {
        let mut mark = course().mark(reading(0, 0));
        for day in 1..=30 {
            // After a long holiday of seventy days.
            let begins = 70 * DAY + day * DAY;
            let mut course = started(mark, begins, 0);
            let ends = begins + 8 * HOUR;
            let (_, doubted) = seen(&mut course, ends, 0);
            assert_eq!(doubted, day <= 20, "{day}");
            mark = course.mark(reading(ends, 0));
        }
    }

    #[test]
    fn what_a_file_says_that_nobody_wrote_does_no_harm() {
        let extremes = [i64::MIN, -1, 0, NOW, i64::MAX];
        for (shown, believed) in extremes
            .iter()
            .flat_map(|one| extremes.map(|two| (*one, two)))
        {
            for extreme in extremes {
                let leap = Leap {
                    stood_ms: extreme,
                    wait_ms: extreme,
                    seen: true,
                };
                let mark = Mark {
                    shown: Timestamp(shown),
                    believed: Timestamp(believed),
                    leap: Some(leap),
                };
                let mut course = started(mark, 0, 0);
                assert!(seen(&mut course, 0, 0).0 <= 0, "{mark:?}");
                course.mark(reading(0, 0));
                assert!(!seen(&mut course, 7 * DAY, 0).1, "{mark:?}");
            }
        }
    }
}
