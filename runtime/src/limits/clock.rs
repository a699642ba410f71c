//! How far the clock of the machine is believed before something is deleted for good.

use std::time::Duration;

/// How far the clock may get ahead, within an hour, of one that nobody sets, and be believed. What keeps a clock right corrects
/// less in one step; and what is deleted five minutes before its time was hardly wanted for longer.
pub const CLOCK_LEAP_MAX: Duration = Duration::from_secs(5 * 60);
/// Shortest time for which a clock that is further ahead must run steadily before it is believed. What sets a clock wrong for
/// a moment, such as a start without the network, is mended within minutes.
pub const CLOCK_STEADY_MIN: Duration = Duration::from_secs(3_600);
/// Longest time for which it must: somebody looks at a server once a week, and what is to be deleted has to go some day.
pub const CLOCK_STEADY_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Longest time for which a server can have been off without that being odd: weekends and a week's holiday.
pub const CLOCK_AWAY_MAX: Duration = Duration::from_secs(7 * 24 * 3_600);
