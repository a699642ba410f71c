//! What calls are held against, and a model of it.

mod days;
mod model;
mod rates;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;

use super::*;
use crate::capability::Tier;
use crate::config::{Config, RateClass};
use crate::ids::{ClientId, Digest, Tenant, ToolName, User};
use crate::store::StoreError;
use crate::store::budgets::{Budgets, Spent};

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Who calls what.
#[derive(Clone)]
pub(super) struct Who {
    pub tenant: Tenant,
    pub user: User,
    pub client: ClientId,
    pub tool: ToolName,
    pub tier: Tier,
    pub classes: BTreeSet<String>,
    pub goes_on: bool,
}

impl Who {
    pub fn new(tenant: &str, user: &str, client: &str, tool: &str) -> Self {
        Self {
            tenant: tenant.parse().unwrap(),
            user: User {
                issuer: "https://as.example".parse().unwrap(),
                subject: user.parse().unwrap(),
            },
            client: client.parse().unwrap(),
            tool: tool.parse().unwrap(),
            tier: Tier::T0,
            classes: BTreeSet::new(),
            goes_on: false,
        }
    }

    pub fn alice() -> Self {
        Self::new("acme", "alice", "desk", "hello")
    }

    pub fn of(mut self, classes: &[&str]) -> Self {
        self.classes = classes.iter().map(|&name| name.to_owned()).collect();
        self
    }

    pub fn whose(&self) -> Whose<'_> {
        Whose {
            tenant: &self.tenant,
            user: &self.user,
            client: &self.client,
            tool: &self.tool,
            tier: self.tier,
            classes: &self.classes,
            goes_on: self.goes_on,
        }
    }
}

/// The limits of a configuration that has these alone.
pub(super) fn limits(toml: &str) -> Limits {
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:1\"\npublic_url = \"https://mcp.example\"\n[tools]\ndir = \"t\"\n\
         [state]\nurl = \"sqlite://a.db\"\n[limits]\ndefaults = false\n{toml}"
    );
    let config = Config::parse("bailiwick.toml", &text, std::path::Path::new("/srv"));
    config.unwrap().limits
}

pub(super) async fn calls(limits: Limits, budgets: &Arc<Memory>) -> Calls {
    let class = |calls, secs| RateClass {
        calls,
        period: Duration::from_secs(secs),
    };
    let classes = [("writes", class(3, 60)), ("daily", class(5, 86_400))];
    let classes: BTreeMap<_, _> = classes.map(|(name, class)| (name.to_owned(), class)).into();
    let limits = Arc::new(ArcSwap::from_pointee(limits));
    Calls::open(classes, limits, Arc::clone(budgets) as Arc<dyn Budgets>)
        .await
        .unwrap()
}

/// Budgets that end with the test, and can fail.
#[derive(Default)]
pub(super) struct Memory {
    rows: Mutex<HashMap<Digest, Spent>>,
    pub writes: std::sync::atomic::AtomicUsize,
    pub fails: std::sync::atomic::AtomicBool,
}

impl Memory {
    fn check(&self) -> Result<(), StoreError> {
        match self.fails.load(std::sync::atomic::Ordering::SeqCst) {
            true => Err(StoreError::Corrupt {
                table: "budget",
                column: "amount",
            }),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl Budgets for Memory {
    async fn latest_day(&self) -> Result<Option<i64>, StoreError> {
        Ok(self.rows.lock().unwrap().values().map(|row| row.day).max())
    }

    async fn spent(&self, keys: &[Digest]) -> Result<Vec<Spent>, StoreError> {
        self.check()?;
        // So that others can be faster.
        tokio::task::yield_now().await;
        let rows = self.rows.lock().unwrap();
        Ok(keys
            .iter()
            .filter_map(|key| rows.get(key).copied())
            .collect())
    }

    async fn reserve(&self, all: &[Spent]) -> Result<(), StoreError> {
        self.check()?;
        tokio::task::yield_now().await;
        self.writes
            .fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let mut rows = self.rows.lock().unwrap();
        for spent in all {
            let row = rows.entry(spent.key).or_insert(*spent);
            if (spent.day, spent.amount) > (row.day, row.amount) {
                *row = *spent;
            }
        }
        Ok(())
    }

    async fn settle(&self, all: &[Spent]) -> Result<(), StoreError> {
        self.check()?;
        let mut rows = self.rows.lock().unwrap();
        rows.extend(all.iter().map(|spent| (spent.key, *spent)));
        Ok(())
    }

    async fn forget_before(&self, day: i64) -> Result<(), StoreError> {
        self.rows.lock().unwrap().retain(|_, row| row.day >= day);
        Ok(())
    }
}

pub(super) fn refused(refusal: Refusal) -> crate::rate::Throttled {
    match refusal {
        Refusal::Throttled(throttled) => throttled,
        other => panic!("{other}"),
    }
}
