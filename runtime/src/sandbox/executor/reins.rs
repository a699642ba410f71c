//! What halts an executor that has no turn, and knows what it has computed.

use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;

use super::maker::Maker;
use crate::turns::Reins;

/// How often it is tried to let one go on whose maker has no room for the order.
const RELEASE_EVERY: Duration = Duration::from_millis(1);

/// An executor by its number.
pub(super) struct Held {
    pub(super) maker: Arc<Maker>,
    pub(super) number: u64,
    /// The number of its process.
    pub(super) pid: u32,
}

/// What a process has computed, whoever it is.
fn computed(pid: u32) -> Option<Duration> {
    /// What it was scheduled for, all of its threads: the last bits of such a clock (`clock_getcpuclockid(3)`).
    const SCHEDULED: libc::clockid_t = 2;
    // The number 0 would be this very process.
    let pid = libc::clockid_t::try_from(pid).ok().filter(|pid| *pid > 0)?;
    let clock = (!pid << 3) | SCHEDULED;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `clock_gettime(2)` writes a time to where it is told, which is ours; a clock that there is not is an error.
    #[allow(unsafe_code, reason = "no crate at hand has clocks of other processes")]
    let done = unsafe { libc::clock_gettime(clock, &raw mut time) };
    if done != 0 {
        return None;
    }
    let seconds = u64::try_from(time.tv_sec).ok()?;
    Some(Duration::new(seconds, u32::try_from(time.tv_nsec).ok()?))
}

impl Reins for Held {
    fn computed(&self) -> Option<Duration> {
        computed(self.pid)
    }

    fn halt(&self) {
        // Where so many orders wait, it computes on beside the others for one turn more.
        if let Err(error) = self.maker.halt(self.number) {
            tracing::debug!(%error, "an executor was not halted");
        }
    }

    async fn release(&self) {
        // Where the maker is gone, so is the executor, and its socket says so.
        while let Err(Errno::AGAIN) = self.maker.release(self.number) {
            tokio::time::sleep(RELEASE_EVERY).await;
        }
    }
}
