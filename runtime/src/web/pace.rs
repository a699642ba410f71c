//! How many sign-ins may begin: each is a row that anybody can have us write.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Timestamp;

/// Sign-ins that may begin in one minute, all browsers together. More than any office needs at nine in the morning, and with
/// their ten minutes of life at most 12 000 rows.
const BEGUN_PER_MINUTE_MAX: u32 = 1_200;
const MINUTE: Duration = Duration::from_secs(60);

/// Counts what was begun in the current minute.
pub(super) struct Pace(Mutex<(Timestamp, u32)>);

impl Pace {
    pub(super) fn new() -> Self {
        Self(Mutex::new((Timestamp(i64::MIN), 0)))
    }

    /// Counts one more; `false` when it would be one too many.
    pub(super) fn one_more(&self, now: Timestamp) -> bool {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, begun) = *counted;
        // A clock that was set back begins a new minute.
        if now < since || now.since(since) >= MINUTE {
            *counted = (now, 1);
            return true;
        }
        if begun >= BEGUN_PER_MINUTE_MAX {
            return false;
        }
        *counted = (since, begun + 1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_sign_ins_begin_in_a_minute_and_no_more() {
        let pace = Pace::new();
        let now = Timestamp(1_800_000_000_000);
        for _ in 0..BEGUN_PER_MINUTE_MAX {
            assert!(pace.one_more(now));
        }
        assert!(!pace.one_more(now));
        assert!(!pace.one_more(now.plus(MINUTE - Duration::from_millis(1))));
        assert!(pace.one_more(now.plus(MINUTE)));
        assert!(pace.one_more(Timestamp(now.0 - 1)), "a clock set back");
    }
}
