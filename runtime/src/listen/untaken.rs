//! How much of answers waits in memory until clients take it, in bytes: in all and for each address.
//!
//! Only counts. An answer that was made is never refused for it: what is full keeps the next request from being begun.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::places::network;

/// What is not taken yet.
#[derive(Debug)]
pub(super) struct Untaken {
    all_max: usize,
    each_max: usize,
    sums: Mutex<Sums>,
}

#[derive(Debug, Default)]
struct Sums {
    all: usize,
    each: HashMap<IpAddr, usize>,
}

impl Untaken {
    pub fn new(all_max: usize, each_max: usize) -> Arc<Self> {
        Arc::new(Self {
            all_max,
            each_max,
            sums: Mutex::default(),
        })
    }

    /// Whether nothing more shall be made for this address. One that is counted for nobody is held against all alone.
    pub fn is_full(&self, address: Option<IpAddr>) -> bool {
        let sums = self.sums();
        let each = address.and_then(|address| sums.each.get(&network(address)));
        sums.all >= self.all_max || each.is_some_and(|each| *each >= self.each_max)
    }

    pub fn add(&self, address: Option<IpAddr>, bytes: usize) {
        let mut sums = self.sums();
        sums.all = sums.all.saturating_add(bytes);
        if let Some(address) = address {
            let each = sums.each.entry(network(address)).or_default();
            *each = each.saturating_add(bytes);
        }
    }

    pub fn remove(&self, address: Option<IpAddr>, bytes: usize) {
        let mut sums = self.sums();
        sums.all = sums.all.saturating_sub(bytes);
        let Some(address) = address.map(network) else {
            return;
        };
        if let Some(each) = sums.each.get_mut(&address) {
            *each = each.saturating_sub(bytes);
            if *each == 0 {
                sums.each.remove(&address);
            }
        }
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes in all.
    #[cfg(test)]
    pub fn all(&self) -> usize {
        self.sums().all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn one_address_does_not_fill_the_memory_of_the_others() {
        let untaken = Untaken::new(100, 25);
        let (a, b) = (ip("2001:db8::1"), ip("2001:db8:0:1::1"));
        untaken.add(a, 24);
        assert!(!untaken.is_full(a));
        untaken.add(ip("2001:db8::2"), 1);
        assert!(untaken.is_full(a), "a network of 64 bits is one address");
        assert!(!untaken.is_full(b) && !untaken.is_full(None));
        untaken.remove(a, 24);
        assert!(!untaken.is_full(a));
        untaken.remove(a, 1);
        assert!(untaken.sums().each.is_empty(), "nobody is remembered");
        assert_eq!(untaken.all(), 0);
    }

    #[test]
    fn all_together_are_bounded_and_who_is_not_counted_is_counted_in_all() {
        let untaken = Untaken::new(100, 25);
        untaken.add(None, 99);
        assert!(!untaken.is_full(None));
        // What was begun is answered, also beyond the bound.
        untaken.add(ip("192.0.2.1"), 10);
        assert!(untaken.is_full(None) && untaken.is_full(ip("192.0.2.2")));
        untaken.remove(None, 99);
        assert!(!untaken.is_full(None));
    }
}
