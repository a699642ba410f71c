//! What is spent of daily budgets, apart from the state of the server: a write of the one waits for none of the other.
//!
//! Whose budget it is stands here as a digest alone. Days are numbers, counted from 1970-01-01 UTC.

use std::sync::Arc;

use async_trait::async_trait;

use super::StoreError;
use crate::ids::Digest;

/// Budgets that every call can share.
pub type SharedBudgets = Arc<dyn Budgets>;

/// What of a budget counts as spent on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spent {
    /// Whose, and of which limit.
    pub key: Digest,
    /// The day.
    pub day: i64,
    /// How much.
    pub amount: u64,
}

/// What is spent of daily budgets.
#[async_trait]
pub trait Budgets: Send + Sync + 'static {
    /// The latest day on which anything was spent.
    async fn latest_day(&self) -> Result<Option<i64>, StoreError>;

    /// What is known of these budgets, each on the last day on which something was spent of it.
    async fn spent(&self, keys: &[Digest]) -> Result<Vec<Spent>, StoreError>;

    /// Writes down what may be spent from now on; durable when it returns. Never less than there was on that day.
    async fn reserve(&self, all: &[Spent]) -> Result<(), StoreError>;

    /// Writes down what was really spent, in place of what was reserved on that day.
    async fn settle(&self, all: &[Spent]) -> Result<(), StoreError>;

    /// Forgets what was spent before this day.
    async fn forget_before(&self, day: i64) -> Result<(), StoreError>;
}
