//! Daily budgets: what is spent today, and what of that a crash could not forget.
//!
//! More is written down as spent than is, one part in [`DAILY_PARTS`] of the budget ahead, and nothing is spent that is not
//! written down. So most calls wait for no disk, and a server that is killed comes back with less of its budgets and never with
//! more. A day is over when the clock says so, and none begins twice: a clock that goes back leaves the latest day standing.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::config::Measure;
use crate::ids::Digest;
use crate::limits::{BUDGET_KEYS_MAX, DAILY_PARTS};
use crate::rate::Throttled;
use crate::store::budgets::Spent;

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// A budget that a call draws on.
pub(super) struct Draw {
    pub key: Digest,
    pub limit: String,
    pub of: Measure,
    pub most: u64,
}

/// What is spent of one budget today.
#[derive(Debug, Clone, Copy, Default)]
struct Budget {
    spent: u64,
    /// What is written down as spent; never less than is, but for what ran when the budget ended.
    written: u64,
}

/// All budgets of which something is spent.
pub(super) struct Days {
    latest: i64,
    /// The day before which nothing is kept.
    forgotten: i64,
    budgets: HashMap<Digest, Budget>,
}

/// What has to be done before a call can be counted.
pub(super) enum Before {
    /// Nothing.
    Nothing,
    /// Look what is written down of these.
    Read(Vec<Digest>),
    /// Write down that so much will have been spent.
    Write(Vec<Spent>),
}

impl Days {
    pub fn new(latest: i64) -> Self {
        Self {
            latest,
            forgotten: i64::MIN,
            budgets: HashMap::new(),
        }
    }

    /// Moves to the day of this time, unless a later one has begun.
    pub fn move_to(&mut self, at: Timestamp) {
        let day = at.0.div_euclid(DAY_MS);
        if day > self.latest {
            self.latest = day;
            self.budgets.clear();
        }
    }

    /// The day before which everything can be forgotten, once a day.
    pub fn forget(&mut self) -> Option<i64> {
        let new = self.latest > self.forgotten;
        self.forgotten = self.latest;
        new.then_some(self.latest)
    }

    /// Whether every budget has something left; those that were not read yet are named first.
    pub fn look(&self, draws: &[Draw], at: Timestamp) -> Result<Before, Throttled> {
        let unread: Vec<_> = draws
            .iter()
            .map(|draw| draw.key)
            .filter(|key| !self.budgets.contains_key(key))
            .collect();
        for draw in draws {
            let full = unread.contains(&draw.key) && self.budgets.len() >= BUDGET_KEYS_MAX;
            let budget = self.budgets.get(&draw.key).copied().unwrap_or_default();
            if full || budget.spent >= draw.most {
                return Err(Throttled::daily(&draw.limit, draw.of, self.left(at)));
            }
        }
        Ok(match unread.is_empty() {
            true => Before::Nothing,
            false => Before::Read(unread),
        })
    }

    /// What has to be written down before a call draws on these.
    pub fn before(&self, draws: &[Draw]) -> Before {
        self.ahead(draws, |draw, part| match draw.of {
            Measure::Calls => 1,
            // How much a call will take shows when it has ended.
            Measure::Milliseconds | Measure::ReplyBytes => part.div_ceil(2),
        })
    }

    /// What has to be written down after a call, which may have taken more than was.
    pub fn after(&self, draws: &[Draw]) -> Before {
        self.ahead(draws, |_, _| 0)
    }

    /// What has to be written down for so much to be spent of each.
    fn ahead(&self, draws: &[Draw], least: impl Fn(&Draw, u64) -> u64) -> Before {
        let ahead = |draw: &Draw| {
            let budget = self.budgets.get(&draw.key).copied().unwrap_or_default();
            let part = draw.most.div_ceil(DAILY_PARTS);
            let least = least(draw, part);
            let short = budget.spent.saturating_add(least) > budget.written;
            let amount = budget.spent.saturating_add(part).min(draw.most);
            (short && amount > budget.written).then_some(Spent {
                key: draw.key,
                day: self.latest,
                amount,
            })
        };
        let all: Vec<_> = draws.iter().filter_map(ahead).collect();
        match all.is_empty() {
            true => Before::Nothing,
            false => Before::Write(all),
        }
    }

    /// What was written down of these, before this server began to count.
    pub fn read(&mut self, keys: &[Digest], known: &[Spent]) {
        for key in keys {
            let today = known
                .iter()
                .find(|spent| spent.key == *key && spent.day >= self.latest);
            let amount = today.map_or(0, |spent| spent.amount);
            // Whoever was faster may have spent something already.
            self.budgets.entry(*key).or_insert(Budget {
                spent: amount,
                written: amount,
            });
        }
    }

    /// These are written down.
    pub fn written(&mut self, all: &[Spent]) {
        for spent in all.iter().filter(|spent| spent.day == self.latest) {
            let budget = self.budgets.entry(spent.key).or_default();
            budget.written = budget.written.max(spent.amount);
        }
    }

    /// Spends. A call that began yesterday and ends today counts today.
    pub fn spend(&mut self, key: Digest, amount: u64) {
        let budget = self.budgets.entry(key).or_default();
        budget.spent = budget.spent.saturating_add(amount);
    }

    /// What was really spent, where that is not what is written down.
    pub fn unsettled(&self) -> Vec<Spent> {
        let budgets = self.budgets.iter();
        let all = budgets.filter(|(_, budget)| budget.spent != budget.written);
        all.map(|(key, budget)| Spent {
            key: *key,
            day: self.latest,
            amount: budget.spent,
        })
        .collect()
    }

    /// How long the day still is.
    fn left(&self, at: Timestamp) -> Duration {
        let end = self.latest.saturating_add(1).saturating_mul(DAY_MS);
        Timestamp(end).since(at)
    }
}
