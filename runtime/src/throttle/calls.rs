//! What a permitted call is held against: rates, calls at once and daily budgets, of rules and of the configuration.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::SharedLimits;
use super::days::{Before, Days, Draw};
use crate::capability::Tier;
use crate::clock::Timestamp;
use crate::config::{Limit, Limits, Measure, Per, RateClass};
use crate::ids::{ClientId, Digest, Tenant, ToolName, User};
use crate::limits::RATE_KEYS_MAX;
use crate::rate::{Throttled, next_due};
use crate::store::StoreError;
use crate::store::budgets::{SharedBudgets, Spent};

/// How often a call is tried for which budgets have to be read or written first: each time another call may have been faster.
const TRIES_MAX: usize = 16;
/// How often what is used up is gone through for what may be forgotten.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// Counts calls.
#[derive(Clone)]
pub struct Calls {
    classes: Arc<BTreeMap<String, RateClass>>,
    limits: SharedLimits,
    budgets: SharedBudgets,
    state: Arc<Mutex<State>>,
}

/// Whose call it is, and of what.
#[derive(Debug, Clone, Copy)]
pub struct Whose<'a> {
    pub tenant: &'a Tenant,
    pub user: &'a User,
    pub client: &'a ClientId,
    pub tool: &'a ToolName,
    /// The highest tier of what the call may do.
    pub tier: Tier,
    /// The classes of rates that the deciding rules name.
    pub classes: &'a BTreeSet<String>,
    /// Whether it is a further run of a call that was counted when it began.
    pub goes_on: bool,
}

/// Why a call is not made.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// A limit.
    #[error(transparent)]
    Throttled(#[from] Throttled),
    /// What is spent cannot be read or written, so nothing more is.
    #[error("daily budgets cannot be read or written")]
    Unavailable(#[from] StoreError),
    /// Others were always faster.
    #[error("daily budgets change faster than they can be written")]
    Contended,
}

/// A call that was counted. It counts as running until this is dropped.
#[must_use = "a call counts as running for as long as this is there"]
pub struct Taken {
    calls: Calls,
    running: Vec<Digest>,
    draws: Vec<Draw>,
    began: Instant,
    ended: bool,
}

struct State {
    /// When the next call would be due. What lies in the past says nothing and may be forgotten.
    due: HashMap<Digest, Instant>,
    swept: Option<Instant>,
    running: HashMap<Digest, u32>,
    days: Days,
}

/// Everything that one call is held against.
struct Bounds {
    paces: Vec<(Digest, String, RateClass)>,
    at_once: Vec<(Digest, String, u32)>,
    draws: Vec<Draw>,
}

impl Calls {
    /// With what was spent before.
    pub async fn open(
        classes: BTreeMap<String, RateClass>,
        limits: SharedLimits,
        budgets: SharedBudgets,
    ) -> Result<Self, StoreError> {
        let latest = budgets.latest_day().await?;
        Ok(Self {
            classes: Arc::new(classes),
            limits,
            budgets,
            state: Arc::new(Mutex::new(State {
                due: HashMap::new(),
                swept: None,
                running: HashMap::new(),
                days: Days::new(latest.unwrap_or(i64::MIN)),
            })),
        })
    }

    /// Whether a call now would go through. Counts nothing.
    pub async fn look(&self, whose: Whose<'_>, now: Instant, at: Timestamp) -> Result<(), Refusal> {
        let bounds = self.bounds(&self.limits.load(), whose)?;
        for _ in 0..TRIES_MAX {
            let before = {
                let mut state = self.state();
                state.days.move_to(at);
                state.look(&bounds, now, at)?.0
            };
            match before {
                Before::Nothing | Before::Write(_) => return Ok(()),
                Before::Read(keys) => self.read(&keys).await?,
            }
        }
        Err(Refusal::Contended)
    }

    /// Counts a call for everything that it is held against, or for nothing.
    pub async fn take(
        &self,
        whose: Whose<'_>,
        now: Instant,
        at: Timestamp,
    ) -> Result<Taken, Refusal> {
        let bounds = self.bounds(&self.limits.load(), whose)?;
        for _ in 0..TRIES_MAX {
            let (before, forget) = {
                let mut state = self.state();
                state.days.move_to(at);
                let (before, due) = state.look(&bounds, now, at)?;
                let before = match before {
                    Before::Nothing => state.days.before(&bounds.draws),
                    other => other,
                };
                if let Before::Nothing = before {
                    let running = state.spend(&bounds, due);
                    return Ok(Taken {
                        calls: self.clone(),
                        running,
                        draws: bounds.draws,
                        began: now,
                        ended: false,
                    });
                }
                (before, state.days.forget())
            };
            if let Some(today) = forget {
                self.budgets.forget_before(today).await?;
            }
            match before {
                Before::Nothing => {}
                Before::Read(keys) => self.read(&keys).await?,
                Before::Write(all) => self.write(&all).await?,
            }
        }
        Err(Refusal::Contended)
    }

    /// Writes down what was really spent. Comes last: what was reserved ahead is given back.
    pub async fn settle(&self) -> Result<(), StoreError> {
        let all = self.state().days.unsettled();
        self.budgets.settle(&all).await
    }

    /// Other limits, as when the configuration was changed.
    #[cfg(test)]
    pub(super) fn set(&self, limits: Limits) {
        self.limits.store(Arc::new(limits));
    }

    async fn read(&self, keys: &[Digest]) -> Result<(), StoreError> {
        let known = self.budgets.spent(keys).await?;
        self.state().days.read(keys, &known);
        Ok(())
    }

    async fn write(&self, all: &[Spent]) -> Result<(), StoreError> {
        self.budgets.reserve(all).await?;
        self.state().days.written(all);
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held; a count that is one too high would be the worst.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bounds(&self, limits: &Limits, whose: Whose<'_>) -> Result<Bounds, Throttled> {
        let mut bounds = Bounds {
            paces: Vec::new(),
            at_once: Vec::new(),
            draws: Vec::new(),
        };
        for name in whose.classes.iter().filter(|_| !whose.goes_on) {
            let Some(class) = self.classes.get(name) else {
                // Rules that name other classes are refused when they are loaded.
                let nothing = RateClass {
                    calls: 0,
                    period: Duration::ZERO,
                };
                return Err(Throttled::rate(name, &nothing, Duration::ZERO));
            };
            let key = whose.key(Per::User, "class", name);
            bounds.paces.push((key, name.clone(), class.clone()));
        }
        for limit in limits.all.iter().filter(|limit| whose.falls_under(limit)) {
            let key = |of| whose.key(limit.per, of, &limit.name);
            if let Some(pace) = limit.pace.as_ref().filter(|_| !whose.goes_on) {
                bounds
                    .paces
                    .push((key("rate"), limit.name.clone(), pace.clone()));
            }
            if let Some(most) = limit.at_once {
                bounds
                    .at_once
                    .push((key("at-once"), limit.name.clone(), most));
            }
            for (of, most) in &limit.daily {
                let part = match of {
                    Measure::Calls if whose.goes_on => continue,
                    Measure::Calls => "calls",
                    Measure::Milliseconds => "ms",
                    Measure::ReplyBytes => "bytes",
                };
                bounds.draws.push(Draw {
                    key: key(part),
                    limit: limit.name.clone(),
                    of: *of,
                    most: *most,
                });
            }
        }
        Ok(bounds)
    }
}

impl Whose<'_> {
    fn falls_under(&self, limit: &Limit) -> bool {
        let before_token = matches!(limit.per, Per::Address | Per::Failures);
        let tool = limit.tool.as_ref();
        !before_token
            && tool.is_none_or(|tool| tool == self.tool)
            && limit.tier.is_none_or(|tier| tier <= self.tier)
    }

    /// Whose share of a limit it is. The tenant is always part of it, so that no tenant uses up what another has.
    fn key(&self, per: Per, of: &str, name: &str) -> Digest {
        let (issuer, subject) = (self.user.issuer.as_str(), self.user.subject.as_str());
        let parts: &[&str] = match per {
            Per::Address | Per::Failures | Per::Tenant => &[],
            Per::User => &[issuer, subject],
            Per::Client => &[self.client.as_str()],
            Per::Tool => &[self.tool.as_str()],
            Per::UserTool => &[issuer, subject, self.tool.as_str()],
        };
        let mut text = Vec::new();
        // None of them can hold a zero byte.
        for part in [of, name, self.tenant.as_str()].iter().chain(parts) {
            text.extend_from_slice(part.as_bytes());
            text.push(0);
        }
        Digest::of(&text)
    }
}

impl State {
    /// Whether everything has room, and when the next call of each rate would be due.
    fn look(
        &mut self,
        bounds: &Bounds,
        now: Instant,
        at: Timestamp,
    ) -> Result<(Before, Vec<(Digest, Instant)>), Throttled> {
        if self.due.len() >= RATE_KEYS_MAX
            && self.swept.is_none_or(|swept| now >= swept + SWEEP_EVERY)
        {
            self.swept = Some(now);
            self.due.retain(|_, due| *due > now);
        }
        let mut due = Vec::new();
        for (key, name, pace) in &bounds.paces {
            let known = self.due.get(key).copied();
            if known.is_none() && self.due.len() >= RATE_KEYS_MAX {
                return Err(Throttled::rate(name, pace, pace.period));
            }
            let next = next_due(pace, known, now);
            due.push((
                *key,
                next.map_err(|wait| Throttled::rate(name, pace, wait))?,
            ));
        }
        for (key, name, most) in &bounds.at_once {
            if self.running.get(key).is_some_and(|running| running >= most) {
                return Err(Throttled::at_once(name, *most));
            }
        }
        let before = self.days.look(&bounds.draws, at)?;
        Ok((before, due))
    }

    fn spend(&mut self, bounds: &Bounds, due: Vec<(Digest, Instant)>) -> Vec<Digest> {
        self.due.extend(due);
        for draw in bounds.draws.iter().filter(|draw| draw.of == Measure::Calls) {
            self.days.spend(draw.key, 1);
        }
        let mut running = Vec::new();
        for (key, ..) in &bounds.at_once {
            let count = self.running.entry(*key).or_default();
            *count = count.saturating_add(1);
            running.push(*key);
        }
        running
    }
}

impl Taken {
    /// What the call took. That it is known also after a crash is written down before its caller hears of it.
    pub async fn ended(mut self, wall: Duration, reply_bytes: u64) -> Result<(), StoreError> {
        self.charge(wall, reply_bytes);
        let before = self.calls.state().days.after(&self.draws);
        match before {
            Before::Write(all) => self.calls.write(&all).await,
            Before::Nothing | Before::Read(_) => Ok(()),
        }
    }

    fn charge(&mut self, wall: Duration, reply_bytes: u64) {
        self.ended = true;
        let ms = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        let mut state = self.calls.state();
        for draw in &self.draws {
            match draw.of {
                Measure::Calls => {}
                Measure::Milliseconds => state.days.spend(draw.key, ms),
                Measure::ReplyBytes => state.days.spend(draw.key, reply_bytes),
            }
        }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if !self.ended {
            // Whoever went away, or broke, is charged for the time until then.
            self.charge(self.began.elapsed(), 0);
        }
        let mut state = self.calls.state();
        for key in &self.running {
            let left = state.running.get_mut(key).map(|count| {
                *count = count.saturating_sub(1);
                *count
            });
            if left == Some(0) {
                state.running.remove(key);
            }
        }
    }
}
