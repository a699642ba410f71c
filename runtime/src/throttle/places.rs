//! How many requests are answered at once. Nobody waits here: what finds no place is refused at once, and may come again.
//!
//! Calls, pages, administrators and probes have places of their own, so that a flood of the ones leaves the others alone.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::addresses::network;
use crate::limits::{
    ADMINS_IN_FLIGHT_MAX, INTROSPECTION_IN_FLIGHT_MAX, PAGES_IN_FLIGHT_MAX, PROBES_IN_FLIGHT_MAX,
};

/// What of the places of a way one address may have: one of this many parts. Whoever sends slowly keeps a place for long.
const SHARE: usize = 4;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// Whether the server lives.
    Probe,
    /// The administrators' door.
    Admin,
    /// Pages for browsers.
    Page,
    /// Everything else.
    Call,
    /// A question to an issuer about the token of a request.
    Question,
}

/// Counts the requests of each way, and those of each address among them.
#[derive(Debug, Default)]
pub struct Places(Arc<Mutex<Taken>>);

#[derive(Debug, Default)]
struct Taken {
    all: HashMap<Way, usize>,
    each: HashMap<(Way, u128), usize>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    taken: Arc<Mutex<Taken>>,
    way: Way,
    address: Option<u128>,
}

impl Places {
    /// A place, if one of them is free and this address has not its share yet; one that is not counted may have all. `calls_max` is
    /// for calls; the others do not change.
    pub fn enter(&self, way: Way, calls_max: usize, address: Option<IpAddr>) -> Option<Place> {
        let most = match way {
            Way::Probe => PROBES_IN_FLIGHT_MAX,
            Way::Admin => ADMINS_IN_FLIGHT_MAX,
            Way::Page => PAGES_IN_FLIGHT_MAX,
            Way::Call => calls_max,
            Way::Question => INTROSPECTION_IN_FLIGHT_MAX,
        };
        let address = address.map(network);
        let mut taken = locked(&self.0);
        let all = taken.all.get(&way).copied().unwrap_or(0);
        let each = address.map(|address| {
            let each = taken.each.get(&(way, address));
            each.copied().unwrap_or(0)
        });
        if all >= most || each.is_some_and(|each| each >= (most / SHARE).max(1)) {
            return None;
        }
        taken.all.insert(way, all.saturating_add(1));
        if let (Some(address), Some(each)) = (address, each) {
            taken.each.insert((way, address), each.saturating_add(1));
        }
        Some(Place {
            taken: Arc::clone(&self.0),
            way,
            address,
        })
    }

    /// The same for a question about the token of a request from this address.
    pub fn question(&self, address: Option<IpAddr>) -> Option<Place> {
        self.enter(Way::Question, 0, address)
    }
}

fn locked(taken: &Mutex<Taken>) -> MutexGuard<'_, Taken> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = locked(&self.taken);
        if let Some(all) = taken.all.get_mut(&self.way) {
            *all = all.saturating_sub(1);
        }
        let Some(address) = self.address else { return };
        let key = (self.way, address);
        let left = taken
            .each
            .get(&key)
            .map_or(0, |each| each.saturating_sub(1));
        match left {
            0 => taken.each.remove(&key),
            left => taken.each.insert(key, left),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_calls_leaves_the_others_their_places() {
        let places = Places::default();
        let flood: Vec<_> = (0..10).map(|_| places.enter(Way::Call, 3, None)).collect();
        assert_eq!(flood.iter().flatten().count(), 3);
        for (way, most) in [
            (Way::Probe, PROBES_IN_FLIGHT_MAX),
            (Way::Admin, ADMINS_IN_FLIGHT_MAX),
            (Way::Page, PAGES_IN_FLIGHT_MAX),
        ] {
            let all: Vec<_> = (0..most + 5).map(|_| places.enter(way, 3, None)).collect();
            assert_eq!(all.iter().flatten().count(), most);
        }
        drop(flood);
        let again = places.enter(Way::Call, 3, None);
        assert!(again.is_some());
        // What the operator lowers holds at once.
        assert!(places.enter(Way::Call, 1, None).is_none());
    }

    #[test]
    fn one_address_leaves_the_others_their_places() {
        let places = Places::default();
        let ip = |text: &str| Some(text.parse().unwrap());
        let enter = |from| places.enter(Way::Page, 3, from);
        let slow: Vec<_> = (0..PAGES_IN_FLIGHT_MAX)
            .map(|_| enter(ip("192.0.2.1")))
            .collect();
        assert_eq!(slow.iter().flatten().count(), PAGES_IN_FLIGHT_MAX / SHARE);
        // All of a network of 64 bits is one.
        let network: Vec<_> = (0..PAGES_IN_FLIGHT_MAX)
            .map(|n| enter(ip(&format!("2001:db8::{n:x}"))))
            .collect();
        assert_eq!(
            network.iter().flatten().count(),
            PAGES_IN_FLIGHT_MAX / SHARE
        );
        assert!(enter(ip("192.0.2.2")).is_some());
        drop(slow);
        assert!(enter(ip("192.0.2.1")).is_some());
        drop(network);
        assert!(locked(&places.0).each.is_empty(), "nobody is remembered");
    }
}
