//! What one call has begun on the disk. What has begun there cannot be stopped, so the call waits for it before it ends: nothing
//! outlives a call, and its record holds all that was done.

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::space::FileError;

/// What one call has begun. Copies are the same.
#[derive(Debug, Clone, Default)]
pub struct Begun {
    tasks: TaskTracker,
    over: CancellationToken,
}

/// One thing that was begun: the call waits until it is dropped.
#[derive(Debug)]
pub struct Beginning(#[expect(dead_code, reason = "held until it is dropped")] TaskTrackerToken);

impl Begun {
    /// Begins something, unless the call is over.
    pub fn begin(&self) -> Result<Beginning, FileError> {
        // In this order: whoever ends the call after our look finds the token, and waits for it.
        let beginning = Beginning(self.tasks.token());
        self.still()?;
        Ok(beginning)
    }

    /// Whether the call is not over yet.
    pub fn still(&self) -> Result<(), FileError> {
        match self.over.is_cancelled() {
            true => Err(FileError::Over),
            false => Ok(()),
        }
    }

    /// Nothing begins any more, and a walk ends where it is.
    pub fn close(&self) {
        self.over.cancel();
    }

    /// Likewise, and waits for what has begun. A disk that does not answer keeps it waiting, and with it the place of the call.
    pub async fn end(&self) {
        self.close();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_end_waits_for_what_has_begun_and_nothing_begins_after_it() {
        let begun = Begun::default();
        let one = begun.begin().unwrap();
        let early = tokio::time::timeout(Duration::from_millis(20), begun.end()).await;
        assert!(early.is_err(), "it has begun");
        assert!(matches!(begun.begin(), Err(FileError::Over)));
        drop(one);
        begun.end().await;
        assert!(matches!(begun.clone().still(), Err(FileError::Over)));
    }
}
