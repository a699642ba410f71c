//! How often an address may ask, and fail to show who asks, before anything of its requests is read.
//!
//! Whoever is too fast pauses, and each further offence within [`OFFENCES_KEPT`] doubles the pause, up to [`PAUSE_MAX`]. The table
//! is bounded: it forgets an address when that is as if it had never been there, that is when it has recovered by every measure
//! and its offences lie back long enough, and never sooner. While there is nobody to forget, addresses that are new share
//! entries, so that a flood of them slows itself down and costs no memory.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::config::{Limits, Per, RateClass};
use crate::limits::{ADDRESSES_MAX, ADDRESSES_SHARED, OFFENCES_KEPT, PAUSE_MAX, PAUSE_MIN};
use crate::rate::{Throttled, next_due};

/// How often the table is gone through for what it may forget.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// What is remembered of addresses.
pub struct Addresses {
    table: Mutex<Table>,
    max: usize,
    places: RandomState,
}

struct Table {
    known: HashMap<u128, Entry>,
    shared: Vec<Entry>,
    swept: Option<Instant>,
}

/// What is remembered of one address, or of those that share the entry.
#[derive(Clone, Default)]
struct Entry {
    /// When its next request is due.
    asks: Option<Instant>,
    /// When its next failure is due.
    fails: Option<Instant>,
    pause: Option<Pause>,
}

/// The last pause, over or not.
#[derive(Clone, Copy)]
struct Pause {
    until: Instant,
    /// How often one followed another.
    offences: u32,
    per: Per,
}

impl Default for Addresses {
    fn default() -> Self {
        Self::with_room(ADDRESSES_MAX)
    }
}

impl Addresses {
    fn with_room(max: usize) -> Self {
        let shared = vec![Entry::default(); ADDRESSES_SHARED];
        Self {
            table: Mutex::new(Table {
                known: HashMap::new(),
                shared,
                swept: None,
            }),
            max,
            places: RandomState::new(),
        }
    }

    /// Counts a request; refuses one that comes in a pause, or too soon.
    pub fn ask(&self, address: IpAddr, limits: &Limits, now: Instant) -> Result<(), Throttled> {
        if !counts(address, limits) {
            return Ok(());
        }
        let asks = limits.before_token(Per::Address);
        let fails = limits.before_token(Per::Failures);
        if asks.is_none() && fails.is_none() {
            return Ok(());
        }
        self.with(address, now, |entry| {
            if let Some(pause) = entry.pause.filter(|pause| pause.until > now) {
                // In a pause nothing counts, so that a client that asks on does not stay out for ever.
                let limit = if pause.per == Per::Failures {
                    fails
                } else {
                    asks
                };
                if let Some((name, pace)) = limit {
                    return Err(Throttled::rate(name, pace, pause.until - now));
                }
            }
            let Some((name, pace)) = asks else {
                return Ok(());
            };
            entry.count(Per::Address, name, pace, now)
        })
    }

    /// Counts a token that was refused. The pause that may follow begins with the next request.
    pub fn failed(&self, address: IpAddr, limits: &Limits, now: Instant) -> Result<(), Throttled> {
        let fails = limits.before_token(Per::Failures);
        let Some((name, pace)) = fails.filter(|_| counts(address, limits)) else {
            return Ok(());
        };
        self.with(address, now, |entry| {
            entry.count(Per::Failures, name, pace, now)
        })
    }

    fn with<T>(&self, address: IpAddr, now: Instant, act: impl FnOnce(&mut Entry) -> T) -> T {
        let key = network(address);
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if !table.known.contains_key(&key) && table.known.len() >= self.max {
            table.sweep(now);
            if table.known.len() >= self.max {
                let entries = table.shared.len().max(1);
                let place = usize::try_from(self.places.hash_one(key)).unwrap_or(usize::MAX);
                if let Some(entry) = table.shared.get_mut(place % entries) {
                    return act(entry);
                }
            }
        }
        act(table.known.entry(key).or_default())
    }
}

impl Table {
    fn sweep(&mut self, now: Instant) {
        let due = self.swept.is_none_or(|swept| now >= swept + SWEEP_EVERY);
        if due {
            self.swept = Some(now);
            self.known.retain(|_, entry| !entry.has_recovered(now));
        }
    }
}

impl Entry {
    fn count(
        &mut self,
        per: Per,
        name: &str,
        pace: &RateClass,
        now: Instant,
    ) -> Result<(), Throttled> {
        let due = match per {
            Per::Failures => &mut self.fails,
            _ => &mut self.asks,
        };
        match next_due(pace, *due, now) {
            Ok(next) => {
                *due = Some(next);
                Ok(())
            }
            Err(wait) => {
                let until = self.offend(per, wait, now);
                Err(Throttled::rate(
                    name,
                    pace,
                    until.saturating_duration_since(now),
                ))
            }
        }
    }

    /// Begins a pause, or keeps the one that lasts longer.
    fn offend(&mut self, per: Per, wait: Duration, now: Instant) -> Instant {
        let before = self.pause.filter(|last| now < last.until + OFFENCES_KEPT);
        if let Some(lasting) = before.filter(|last| last.until > now) {
            return lasting.until;
        }
        let offences = before.map_or(0, |last| last.offences.saturating_add(1));
        let times = 1_u32.checked_shl(offences).unwrap_or(u32::MAX);
        let until = now + wait.max(PAUSE_MIN).saturating_mul(times).min(PAUSE_MAX);
        self.pause = Some(Pause {
            until,
            offences,
            per,
        });
        until
    }

    /// Whether it is as if the address had never been there.
    fn has_recovered(&self, now: Instant) -> bool {
        let is_past = |due: Option<Instant>| due.is_none_or(|due| due <= now);
        let forgiven = self
            .pause
            .is_none_or(|pause| pause.until + OFFENCES_KEPT <= now);
        is_past(self.asks) && is_past(self.fails) && forgiven
    }
}

/// A proxy on this machine that was not declared speaks for everybody; to count it as one would let one stranger shut out all.
pub fn counts(address: IpAddr, limits: &Limits) -> bool {
    limits.count_loopback || !address.to_canonical().is_loopback()
}

/// What counts as one: an address of IPv4, and of IPv6 the network of 64 bits, all of which one host has.
pub(super) fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits() >> 64 << 64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Limit;

    const SECOND: Duration = Duration::from_secs(1);

    fn limits() -> Limits {
        let mut limits = Limits::defaults(4);
        limits
            .all
            .retain(|limit| matches!(limit.per, Per::Address | Per::Failures));
        for Limit { pace, per, .. } in &mut limits.all {
            let calls = if *per == Per::Failures { 3 } else { 5 };
            *pace = Some(RateClass {
                calls,
                period: 10 * SECOND,
            });
        }
        limits
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_is_slowed_down_and_another_is_not() {
        let (addresses, limits, now) = (Addresses::default(), limits(), Instant::now());
        let ask = |address: &str| addresses.ask(ip(address), &limits, now);
        for _ in 0..5 {
            assert_eq!(ask("192.0.2.1"), Ok(()));
        }
        let refused = ask("192.0.2.1").unwrap_err();
        assert_eq!(
            (refused.limit.as_str(), refused.again_in),
            ("address", 2 * SECOND)
        );
        // The same in other clothes.
        assert!(ask("::ffff:192.0.2.1").is_err());
        assert_eq!(ask("192.0.2.2"), Ok(()));
        // One host has a whole network of 64 bits.
        for host in 0..5 {
            assert_eq!(ask(&format!("2001:db8::{host}")), Ok(()));
        }
        assert!(ask("2001:db8::ffff").is_err());
        assert_eq!(ask("2001:db8:0:1::1"), Ok(()));
    }

    #[test]
    fn refused_tokens_slow_their_address_down_and_good_ones_do_not() {
        let (addresses, limits, now) = (Addresses::default(), limits(), Instant::now());
        let one = ip("192.0.2.1");
        for _ in 0..3 {
            assert_eq!(addresses.ask(one, &limits, now), Ok(()));
            assert_eq!(addresses.failed(one, &limits, now), Ok(()));
        }
        assert_eq!(addresses.ask(one, &limits, now), Ok(()));
        assert!(addresses.failed(one, &limits, now).is_err());
        let refused = addresses.ask(one, &limits, now).unwrap_err();
        assert_eq!(refused.limit, "failures");
        assert_eq!(addresses.ask(ip("192.0.2.2"), &limits, now), Ok(()));
        let later = now + refused.again_in;
        assert!(
            addresses
                .ask(one, &limits, later - Duration::from_millis(1))
                .is_err()
        );
        assert_eq!(addresses.ask(one, &limits, later), Ok(()));
    }

    #[test]
    fn each_offence_doubles_the_pause_up_to_its_bound_and_peace_forgives() {
        let (addresses, limits) = (Addresses::default(), limits());
        let one = ip("192.0.2.1");
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for _ in 0..12 {
            let refused = loop {
                match addresses.ask(one, &limits, now) {
                    Ok(()) => {}
                    Err(refused) => break refused,
                }
            };
            // Who asks in the pause makes it no longer.
            let meanwhile = addresses.ask(one, &limits, now + SECOND / 2).unwrap_err();
            assert_eq!(meanwhile.again_in, refused.again_in - SECOND / 2);
            pauses.push(refused.again_in.as_secs());
            now += refused.again_in;
        }
        assert_eq!(pauses[..4], [2, 4, 8, 16]);
        assert_eq!(pauses.last(), Some(&PAUSE_MAX.as_secs()));
        now += OFFENCES_KEPT;
        while addresses.ask(one, &limits, now).is_ok() {}
        let again = addresses.ask(one, &limits, now).unwrap_err();
        assert_eq!(again.again_in, 2 * SECOND);
    }

    #[test]
    fn a_full_table_forgets_nobody_who_would_still_have_to_wait() {
        let (addresses, limits, now) = (Addresses::with_room(100), limits(), Instant::now());
        let attacker = ip("198.51.100.1");
        while addresses.ask(attacker, &limits, now).is_ok() {}
        let host = |n: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(0x0a00_0000 + n));
        let mut at = now;
        for n in 0..50_000 {
            at += Duration::from_millis(1);
            let _ = addresses.ask(host(n), &limits, at);
            assert!(addresses.table.lock().unwrap().known.len() <= 100);
        }
        // What was forgotten in these 50 s had recovered. The attacker's offence is remembered: its next pause is the longer.
        while addresses.ask(attacker, &limits, at).is_ok() {}
        let again = addresses.ask(attacker, &limits, at).unwrap_err();
        assert_eq!(again.again_in, 4 * SECOND);
        // Those who share an entry are slowed down together.
        let full = Addresses::with_room(0);
        let passed = (0..10_000).filter(|n| full.ask(host(*n), &limits, now).is_ok());
        assert!(passed.count() <= 5 * ADDRESSES_SHARED);
    }

    #[test]
    fn loopback_counts_only_where_the_operator_says_so() {
        let (addresses, mut limits, now) = (Addresses::default(), limits(), Instant::now());
        for home in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            for _ in 0..20 {
                assert_eq!(addresses.ask(ip(home), &limits, now), Ok(()));
                assert_eq!(addresses.failed(ip(home), &limits, now), Ok(()));
            }
        }
        limits.count_loopback = true;
        let passed = (0..20).filter(|_| addresses.ask(ip("127.0.0.1"), &limits, now).is_ok());
        assert_eq!(passed.count(), 5);
    }
}
