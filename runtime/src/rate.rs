//! When the next call is due: the generic cell rate algorithm (ITU-T I.371 annex A), and what is said of a call that came sooner.
//!
//! Of each caller and limit one point in time is kept, the one at which the next call would be due if calls came evenly. It is
//! written out here, since a call may fall under several limits, and then all of them count or none: a library's limiter cannot
//! be asked without being charged. Pure.

use std::fmt;
use std::time::{Duration, Instant};

use crate::config::{Measure, RateClass};

/// When the call after one now would be due, or how long one now comes too soon. What was due in the past says nothing.
pub fn next_due(
    pace: &RateClass,
    known: Option<Instant>,
    now: Instant,
) -> Result<Instant, Duration> {
    // Nobody waits for longer than this pace can ask: a slower one may have been in force before.
    let from = known.unwrap_or(now).clamp(now, now + pace.period);
    let each = pace.period / pace.calls.max(1);
    // So many calls may come at once; then they come evenly.
    let ahead = pace.period.saturating_sub(each);
    match from.duration_since(now).saturating_sub(ahead) {
        Duration::ZERO => Ok(from + each),
        wait => Err(wait),
    }
}

/// A call or a request would be one too many. Says which limit and never whose.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{over}{}", self.advice())]
pub struct Throttled {
    /// The name of the limit.
    pub limit: String,
    /// What it bounds.
    pub over: Over,
    /// When another try may go through.
    pub again_in: Duration,
}

/// What is used up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    /// Calls in a time.
    Rate { limit: String, pace: RateClass },
    /// Calls at once.
    AtOnce { limit: String, most: u32 },
    /// The budget of a day.
    Daily { limit: String, of: Measure },
}

impl Throttled {
    /// Too many calls in a time.
    pub fn rate(limit: &str, pace: &RateClass, again_in: Duration) -> Self {
        let (limit, pace) = (limit.to_owned(), pace.clone());
        let over = Over::Rate {
            limit: limit.clone(),
            pace,
        };
        Self {
            limit,
            over,
            again_in,
        }
    }

    /// Too many calls at once.
    pub fn at_once(limit: &str, most: u32) -> Self {
        /// Calls last for seconds at most, and nobody knows when the next one ends.
        const AGAIN_IN: Duration = Duration::from_secs(1);
        let limit = limit.to_owned();
        let over = Over::AtOnce {
            limit: limit.clone(),
            most,
        };
        Self {
            limit,
            over,
            again_in: AGAIN_IN,
        }
    }

    /// Nothing left of the day.
    pub fn daily(limit: &str, of: Measure, again_in: Duration) -> Self {
        let limit = limit.to_owned();
        let over = Over::Daily {
            limit: limit.clone(),
            of,
        };
        Self {
            limit,
            over,
            again_in,
        }
    }

    /// Its name in the log.
    pub fn reason(&self) -> String {
        let kind = match self.over {
            Over::Rate { .. } => "rate",
            Over::AtOnce { .. } => "at-once",
            Over::Daily { .. } => "daily",
        };
        format!("{kind}:{}", self.limit)
    }

    /// Whole seconds after which another try may go through; never none.
    pub fn again_in_secs(&self) -> u64 {
        let whole = self.again_in.as_secs();
        let part = u64::from(self.again_in.subsec_nanos() > 0);
        whole.saturating_add(part).max(1)
    }

    fn advice(&self) -> String {
        format!("wait {} s, then call again", self.again_in_secs())
    }
}

impl fmt::Display for Over {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate { limit, pace } => write!(
                out,
                "too many calls: the limit `{limit}` allows {} in {} s; ",
                pace.calls,
                pace.period.as_secs()
            ),
            Self::AtOnce { limit, most } => write!(
                out,
                "too many calls at once: the limit `{limit}` allows {most}; let one end, "
            ),
            Self::Daily { limit, of } => write!(
                out,
                "the budget `{limit}` of this day is used up ({of}), so another try fails until it begins anew: "
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn pace() -> RateClass {
        RateClass {
            calls: 3,
            period: 60 * SECOND,
        }
    }

    #[test]
    fn so_many_calls_come_at_once_and_then_evenly() {
        let (pace, now) = (pace(), Instant::now());
        let mut due = None;
        for _ in 0..3 {
            due = Some(next_due(&pace, due, now).unwrap());
        }
        assert_eq!(next_due(&pace, due, now), Err(20 * SECOND));
        assert_eq!(next_due(&pace, due, now + 19 * SECOND), Err(SECOND));
        let mut due = next_due(&pace, due, now + 20 * SECOND).ok();
        assert!(next_due(&pace, due, now + 20 * SECOND).is_err());
        // A pause gives back no more than there was.
        let later = now + 86_400 * SECOND;
        let passed = (0..9).filter(|_| match next_due(&pace, due, later) {
            Ok(next) => due.replace(next).is_some(),
            Err(_) => false,
        });
        assert_eq!(passed.count(), 3);
    }

    #[test]
    fn what_is_said_helps_its_reader_and_names_nobody() {
        let rate = Throttled::rate("writes", &pace(), Duration::from_millis(19_001));
        let daily = Throttled::daily("user-day", Measure::Calls, 7_200 * SECOND);
        for (throttled, reason, text) in [
            (
                rate,
                "rate:writes",
                "too many calls: the limit `writes` allows 3 in 60 s; wait 20 s, then call again",
            ),
            (
                Throttled::at_once("user-share", 4),
                "at-once:user-share",
                "too many calls at once: the limit `user-share` allows 4; let one end, wait 1 s, then call again",
            ),
            (
                daily,
                "daily:user-day",
                "the budget `user-day` of this day is used up (calls), so another try fails until it begins anew: wait 7200 s, then call again",
            ),
        ] {
            assert_eq!(
                (throttled.reason().as_str(), throttled.to_string().as_str()),
                (reason, text)
            );
        }
    }

    proptest! {
        /// In no window go more through than a bucket of three holds that one call refills every 20 s, and whoever is told to
        /// wait gets through then and not a millisecond before.
        #[test]
        fn no_window_holds_more_than_burst_and_rate(gaps in prop::collection::vec(0_u64..30_000, 1..200)) {
            let (pace, mut now, mut due) = (pace(), Instant::now(), None);
            let mut passed = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                match next_due(&pace, due, now) {
                    Ok(next) => {
                        due = Some(next);
                        passed.push(now);
                    }
                    Err(wait) => {
                        prop_assert!(next_due(&pace, due, now + wait).is_ok());
                        let sooner = now + wait - Duration::from_millis(1);
                        prop_assert!(next_due(&pace, due, sooner).is_err());
                    }
                }
            }
            for (i, first) in passed.iter().enumerate() {
                for (j, last) in passed.iter().enumerate().skip(i) {
                    let refilled = last.duration_since(*first).as_secs_f64() / 20.0;
                    prop_assert!(((j - i + 1) as f64) <= 3.0 + refilled + 1e-6);
                }
            }
        }
    }
}
