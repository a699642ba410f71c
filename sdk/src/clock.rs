//! The time of day.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::capability::Capability;

/// The real time, in steps of a millisecond. Kind `clock`.
///
/// Without the grant, time stands still at the moment when the call began.
#[derive(Debug)]
pub struct Clock(());

impl Capability for Clock {
    const KIND: &'static str = "clock";

    fn handle() -> Self {
        Self(())
    }
}

impl Clock {
    /// The time now.
    pub fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    /// Milliseconds since the beginning of 1970, or 0 before it.
    pub fn unix_millis(&self) -> u64 {
        let since = self.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Waits. The deadline of the call goes on meanwhile.
    pub fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}
