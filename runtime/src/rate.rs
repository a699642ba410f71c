//! How often a user may call, by the classes that deciding rules name with `@rate`.
//!
//! The generic cell rate algorithm (ITU-T I.371 annex A): of each user and class one point in time is kept, the one at which
//! the next call would be due if calls came evenly. It is written out here, since a call may fall under several classes, and
//! then all of them count or none: a library's limiter cannot be asked without being charged.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::RateClass;
use crate::ids::{Tenant, User};
use crate::limits::RATE_KEYS_MAX;

/// A call would be one too many.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "too many calls: the limit `{class}` allows {calls} in {} s; wait {} s, then call again",
    .period.as_secs(),
    .again_in.as_secs_f64().ceil()
)]
pub struct Throttled {
    /// The class that is used up.
    pub class: String,
    /// What it allows in its period.
    pub calls: u32,
    /// Its period.
    pub period: Duration,
    /// When a call would go through.
    pub again_in: Duration,
}

/// Whose calls, of which class.
type Key = (Tenant, User, String);

/// The classes of the configuration, and what was used of them.
pub struct Rates {
    classes: BTreeMap<String, RateClass>,
    /// When the next call would be due. What lies in the past says nothing and may be forgotten.
    due: Mutex<HashMap<Key, Instant>>,
}

impl Rates {
    /// Nothing is used up yet.
    pub fn new(classes: BTreeMap<String, RateClass>) -> Self {
        Self {
            classes,
            due: Mutex::new(HashMap::new()),
        }
    }

    /// Whether a call now would go through. Counts nothing.
    pub fn look(
        &self,
        tenant: &Tenant,
        user: &User,
        classes: &BTreeSet<String>,
        now: Instant,
    ) -> Result<(), Throttled> {
        let due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        self.after(&due, tenant, user, classes, now).map(drop)
    }

    /// Counts a call for every class, or for none.
    pub fn take(
        &self,
        tenant: &Tenant,
        user: &User,
        classes: &BTreeSet<String>,
        now: Instant,
    ) -> Result<(), Throttled> {
        if classes.is_empty() {
            return Ok(());
        }
        let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
        if due.len() >= RATE_KEYS_MAX {
            due.retain(|_, next| *next > now);
        }
        let after = self.after(&due, tenant, user, classes, now)?;
        due.extend(after);
        Ok(())
    }

    /// When the next call of each class would be due after one now.
    fn after(
        &self,
        due: &HashMap<Key, Instant>,
        tenant: &Tenant,
        user: &User,
        classes: &BTreeSet<String>,
        now: Instant,
    ) -> Result<Vec<(Key, Instant)>, Throttled> {
        let next = |name: &String| {
            let Some(class) = self.classes.get(name) else {
                // Rules that name other classes are refused when they are loaded.
                return Err(throttled(name, 0, Duration::ZERO, Duration::ZERO));
            };
            let key = (tenant.clone(), user.clone(), name.clone());
            let known = due.get(&key).copied();
            if known.is_none() && due.len() >= RATE_KEYS_MAX {
                return Err(throttled(name, class.calls, class.period, class.period));
            }
            let from = known.unwrap_or(now).max(now);
            let each = class.period / class.calls.max(1);
            // So many calls may come at once; then they come evenly.
            let ahead = class.period.saturating_sub(each);
            match from.duration_since(now).saturating_sub(ahead) {
                Duration::ZERO => Ok((key, from + each)),
                wait => Err(throttled(name, class.calls, class.period, wait)),
            }
        };
        classes.iter().map(next).collect()
    }
}

fn throttled(class: &str, calls: u32, period: Duration, again_in: Duration) -> Throttled {
    Throttled {
        class: class.to_owned(),
        calls,
        period,
        again_in,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rates() -> Rates {
        let class = |calls, secs| RateClass {
            calls,
            period: Duration::from_secs(secs),
        };
        let classes = [("writes", class(3, 60)), ("daily", class(5, 86_400))];
        Rates::new(classes.map(|(name, class)| (name.to_owned(), class)).into())
    }

    fn user(name: &str) -> (Tenant, User) {
        let user = User {
            issuer: "https://as.example".parse().unwrap(),
            subject: name.parse().unwrap(),
        };
        ("acme".parse().unwrap(), user)
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn so_many_calls_come_at_once_and_then_evenly() {
        let (rates, (tenant, alice), now) = (rates(), user("alice"), Instant::now());
        let take = |at| rates.take(&tenant, &alice, &set(&["writes"]), at);
        for _ in 0..3 {
            assert_eq!(take(now), Ok(()));
        }
        let refused = take(now).unwrap_err();
        assert_eq!(refused.again_in, 20 * SECOND);
        assert_eq!(
            refused.to_string(),
            "too many calls: the limit `writes` allows 3 in 60 s; wait 20 s, then call again"
        );
        assert!(take(now + 19 * SECOND).is_err());
        assert_eq!(take(now + 20 * SECOND), Ok(()));
        assert!(take(now + 20 * SECOND).is_err());
        // A pause gives back no more than there was.
        let later = now + 86_400 * SECOND;
        assert_eq!((0..9).filter(|_| take(later).is_ok()).count(), 3);
    }

    #[test]
    fn one_users_calls_are_counted_for_nobody_else() {
        let (rates, now) = (rates(), Instant::now());
        let (tenant, alice) = user("alice");
        let writes = set(&["writes"]);
        while rates.take(&tenant, &alice, &writes, now).is_ok() {}
        let (_, bob) = user("bob");
        assert!(rates.look(&tenant, &bob, &writes, now).is_ok());
        let other = "other".parse().unwrap();
        assert!(rates.look(&other, &alice, &writes, now).is_ok());
        assert!(rates.look(&tenant, &alice, &set(&["daily"]), now).is_ok());
        assert!(rates.look(&tenant, &alice, &writes, now).is_err());
    }

    #[test]
    fn a_call_of_several_classes_counts_for_all_or_for_none() {
        let (rates, (tenant, alice), now) = (rates(), user("alice"), Instant::now());
        let both = set(&["daily", "writes"]);
        for _ in 0..3 {
            assert!(rates.take(&tenant, &alice, &both, now).is_ok());
        }
        for _ in 0..10 {
            assert_eq!(
                rates.take(&tenant, &alice, &both, now).unwrap_err().class,
                "writes"
            );
        }
        let daily = set(&["daily"]);
        assert_eq!(
            (0..9)
                .filter(|_| rates.take(&tenant, &alice, &daily, now).is_ok())
                .count(),
            2
        );
    }

    #[test]
    fn a_class_that_is_not_configured_lets_nothing_through() {
        let (rates, (tenant, alice)) = (rates(), user("alice"));
        assert!(
            rates
                .take(&tenant, &alice, &set(&["ghost"]), Instant::now())
                .is_err()
        );
    }

    #[test]
    fn what_is_kept_is_bounded_and_forgets_nobody_who_has_used_something() {
        let (rates, now) = (rates(), Instant::now());
        let (tenant, _) = user("x");
        let writes = set(&["writes"]);
        for n in 0..RATE_KEYS_MAX {
            let (_, one) = user(&format!("u{n}"));
            assert!(rates.take(&tenant, &one, &writes, now).is_ok());
        }
        let (_, late) = user("late");
        assert!(rates.take(&tenant, &late, &writes, now).is_err());
        let (_, first) = user("u0");
        assert!(rates.take(&tenant, &first, &writes, now).is_ok());
        // When the others are as if they had never called, there is room again.
        assert!(
            rates
                .take(&tenant, &late, &writes, now + 20 * SECOND)
                .is_ok()
        );
        assert_eq!(rates.due.lock().unwrap().len(), 2);
    }

    proptest! {
        /// In no window of one period go more than twice the calls through, and in the long run no more than the rate.
        #[test]
        fn no_window_holds_more_than_burst_and_rate(gaps in prop::collection::vec(0_u64..30_000, 1..200)) {
            let (rates, (tenant, alice), start) = (rates(), user("alice"), Instant::now());
            let (mut now, mut passed) = (start, Vec::new());
            for gap in gaps {
                now += Duration::from_millis(gap);
                let free = rates.look(&tenant, &alice, &set(&["writes"]), now);
                let taken = rates.take(&tenant, &alice, &set(&["writes"]), now);
                prop_assert_eq!(&free, &taken);
                match taken {
                    Ok(()) => passed.push(now),
                    Err(wait) => {
                        let again = now + wait.again_in;
                        prop_assert!(rates.look(&tenant, &alice, &set(&["writes"]), again).is_ok());
                        prop_assert!(rates.look(&tenant, &alice, &set(&["writes"]), again - Duration::from_millis(1)).is_err());
                    }
                }
            }
            for (i, first) in passed.iter().enumerate() {
                for (j, last) in passed.iter().enumerate().skip(i) {
                    // Independent of how it is counted: a bucket of three that a call refills every 20 s.
                    let refilled = last.duration_since(*first).as_secs_f64() / 20.0;
                    prop_assert!(((j - i + 1) as f64) <= 3.0 + refilled + 1e-6);
                }
            }
        }
    }
}
