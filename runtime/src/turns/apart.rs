//! A call that computes in a process of its own, which is halted while it has no turn.
//!
//! Nothing is asked of that process: whoever took it over waits for its turn as all others do.

use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::{Seat, Turns, Whose};
use crate::limits::{EXECUTOR_TURN, FIRST_SLICE};

/// What holds a process.
pub trait Reins {
    /// For how long it has computed since it began; none where that is not known, and then all time counts.
    fn computed(&self) -> Option<Duration>;
    /// It stops where it is.
    fn halt(&self);
    /// It goes on.
    fn release(&self) -> impl Future<Output = ()> + Send;
}

/// How a process computes for a call.
pub struct Apart<'a> {
    turns: &'a Turns,
    whose: Whose<'a>,
    /// For how long it has computed for this call.
    used: Duration,
    /// What it had computed when it was looked at last.
    seen: Option<Duration>,
    /// Once it takes turns.
    seat: Option<Seat>,
}

impl<'a> Apart<'a> {
    pub(super) fn new(turns: &'a Turns, whose: Whose<'a>) -> Self {
        Self {
            turns,
            whose,
            used: Duration::ZERO,
            seen: None,
            seat: None,
        }
    }

    /// What comes of the process, which computes until then.
    pub async fn until<F: Future>(&mut self, reins: &impl Reins, comes: F) -> F::Output {
        let mut comes = pin!(comes);
        if self.seen.is_none() {
            self.seen = reins.computed();
        }
        self.turn(reins, None).await;
        loop {
            let slice = match &self.seat {
                Some(_) => EXECUTOR_TURN,
                None => FIRST_SLICE.saturating_sub(self.used),
            };
            let began = Instant::now();
            let came = tokio::time::timeout(slice, comes.as_mut()).await;
            let took = self.took(reins, began);
            self.used = self.used.saturating_add(took);
            if let Ok(came) = came {
                if let Some(seat) = &self.seat {
                    seat.end(took, None);
                }
                return came;
            }
            let turn = match &self.seat {
                Some(_) => Some(took),
                // It was not its turn among all that the system runs.
                None if self.used < FIRST_SLICE => continue,
                None => {
                    self.seat = Some(self.turns.join(self.whose, self.used));
                    None
                }
            };
            self.turn(reins, turn).await;
        }
    }

    /// What it has computed since it was looked at last, also while it should have waited for us.
    fn took(&mut self, reins: &impl Reins, began: Instant) -> Duration {
        let before = std::mem::replace(&mut self.seen, reins.computed());
        match before.zip(self.seen) {
            Some((before, now)) => now.saturating_sub(before),
            None => began.elapsed(),
        }
    }

    /// Waits for the next turn, where the process takes turns. The one before is over, which took so long.
    async fn turn(&self, reins: &impl Reins, mut took: Option<Duration>) {
        let Some(seat) = &self.seat else {
            return;
        };
        let mut is_halted = false;
        std::future::poll_fn(|context| {
            if let Some(took) = took.take() {
                seat.end(took, Some(context.waker()));
            }
            if seat.want(context.waker()) {
                return Poll::Ready(());
            }
            if !std::mem::replace(&mut is_halted, true) {
                reins.halt();
            }
            Poll::Pending
        })
        .await;
        if is_halted {
            reins.release().await;
        }
    }
}
