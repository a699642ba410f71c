//! How many documents may be read: whoever gets tokens with client ids of their choice must not make us a flood for others.

use std::collections::HashMap;
use std::time::Duration;

use super::{Purpose, within};
use crate::clock::Timestamp;
use crate::limits::{CLIENT_READS_HOST_MAX, CLIENT_READS_QUESTIONS_MAX, CLIENT_READS_USES_MAX};

/// What is counted together.
const WINDOW: Duration = Duration::from_secs(60);

/// What was read in the current minute. Holds no more hosts than documents may be read.
#[derive(Debug)]
pub(super) struct Budget {
    began: Timestamp,
    questions: u32,
    uses: u32,
    hosts: HashMap<String, u32>,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self {
            began: Timestamp(0),
            questions: 0,
            uses: 0,
            hosts: HashMap::new(),
        }
    }

    /// Counts one reading, if it may be.
    pub(super) fn take(&mut self, purpose: Purpose, host: &str, now: Timestamp) -> bool {
        if !within(self.began, now, WINDOW) {
            *self = Self {
                began: now,
                ..Self::new()
            };
        }
        let (read, most) = match purpose {
            Purpose::Question => (&mut self.questions, CLIENT_READS_QUESTIONS_MAX),
            Purpose::Use => (&mut self.uses, CLIENT_READS_USES_MAX),
        };
        let at_host = self.hosts.get(host).copied().unwrap_or_default();
        if *read >= most || at_host >= CLIENT_READS_HOST_MAX {
            return false;
        }
        *read += 1;
        self.hosts.insert(host.to_owned(), at_host + 1);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn taken(budget: &mut Budget, purpose: Purpose, hosts: usize, now: Timestamp) -> usize {
        let mut count = 0;
        for n in 0..500 {
            count += usize::from(budget.take(purpose, &format!("h{}", n % hosts), now));
        }
        count
    }

    #[test]
    fn so_many_in_a_minute_and_of_one_host_fewer() {
        let mut budget = Budget::new();
        assert_eq!(taken(&mut budget, Purpose::Question, 1, NOW), 20);
        assert_eq!(taken(&mut budget, Purpose::Question, 100, NOW), 40);
        // Questions leave room for what consents need.
        assert_eq!(taken(&mut budget, Purpose::Use, 100, NOW), 60);
        assert!(budget.hosts.len() <= 120);
        let later = NOW.plus(WINDOW);
        assert_eq!(taken(&mut budget, Purpose::Question, 100, later), 60);
        // A clock that is set back begins anew, and does not wait for its old time.
        assert_eq!(taken(&mut budget, Purpose::Question, 100, Timestamp(5)), 60);
    }
}
