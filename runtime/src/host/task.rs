//! Work of a host function that another thread does.

use std::panic::resume_unwind;

use tokio::task::JoinError;

/// What a task came to. Where it panicked, the host function that waits for it does: so the call ends by our fault, and it is
/// counted. To the guest it is neither an error of the disk nor a trap of its own.
pub fn joined<T>(done: Result<T, JoinError>) -> Result<T, JoinError> {
    done.map_err(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        Err(error) => error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[should_panic(expected = "the disk is broken")]
    async fn a_panic_of_a_task_is_one_of_whoever_waits_for_it() {
        let task = tokio::task::spawn_blocking(|| panic!("the disk is broken"));
        let _done: Result<(), _> = joined(task.await);
    }

    #[tokio::test]
    async fn a_task_that_is_ended_is_an_error_and_no_panic() {
        let task = tokio::spawn(std::future::pending::<()>());
        task.abort();
        assert!(joined(task.await).is_err());
    }
}
