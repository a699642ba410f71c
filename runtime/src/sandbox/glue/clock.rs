//! `wasi:clocks` over [`CallClock`].

use std::time::Duration;

use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

use crate::host::clock::CallClock;

impl HostWallClock for CallClock {
    fn resolution(&self) -> Duration {
        CallClock::resolution(self)
    }

    fn now(&self) -> Duration {
        self.wall()
    }
}

impl HostMonotonicClock for CallClock {
    fn resolution(&self) -> u64 {
        nanos(CallClock::resolution(self))
    }

    fn now(&self) -> u64 {
        nanos(self.monotonic())
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
