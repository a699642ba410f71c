//! What differs from call to call: the arguments, and the time.
//!
//! Rules never ask what time it is. Whoever asks them says it, so that a decision can be made again later.

use serde_json::{Map, Value};

use crate::clock::Timestamp;

/// One call: everything about it that is neither the caller nor the tool.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances<'a> {
    /// The arguments.
    pub arguments: &'a Map<String, Value>,
    /// When it is made.
    pub now: Timestamp,
}

/// Most tests do not care when they are.
#[cfg(test)]
impl<'a> From<&'a Map<String, Value>> for Circumstances<'a> {
    fn from(arguments: &'a Map<String, Value>) -> Self {
        let now = crate::identity::testing::NOW;
        Self { arguments, now }
    }
}

const DAY_SECS: i64 = 24 * 60 * 60;

/// The time as rules read it: seconds since 1970, and hour and weekday in UTC.
pub(super) fn facts(now: Timestamp) -> [(&'static str, i64); 3] {
    let secs = now.secs();
    let hour = secs.rem_euclid(DAY_SECS) / (60 * 60);
    // 1 is Monday (ISO 8601 §4.1.4.4); 1970-01-01 was a Thursday.
    let weekday = (secs.div_euclid(DAY_SECS).saturating_add(3)).rem_euclid(7) + 1;
    [("now", secs), ("hour", hour), ("weekday", weekday)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_read_in_utc() {
        for (secs, hour, weekday) in [
            (0, 0, 4),
            (-1, 23, 3),
            (1_799_031_600, 3, 1), // 2027-01-04T03:00:00Z, a Monday
            (1_799_031_600 - 10_801, 23, 7),
            (951_782_400, 0, 2), // 2000-02-29
        ] {
            let facts = facts(Timestamp::from_secs(secs)).map(|(_, value)| value);
            assert_eq!(facts, [secs, hour, weekday]);
        }
    }
}
