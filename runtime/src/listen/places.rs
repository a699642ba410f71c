//! How many connections there are, in all and of each address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why a connection has no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Full {
    /// There are too many.
    #[error("all places are taken")]
    All,
    /// There are too many of its address.
    #[error("all places of one address are taken")]
    Address,
}

/// The places for connections.
#[derive(Debug)]
pub(super) struct Places {
    all_max: usize,
    each_max: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    each: HashMap<IpAddr, usize>,
}

impl Places {
    pub fn new(all_max: usize, each_max: usize) -> Arc<Self> {
        Arc::new(Self {
            all_max,
            each_max,
            taken: Mutex::default(),
        })
    }

    /// A place for a connection from there, until what is returned is dropped. One that is `counted` for nobody is counted in all
    /// alone.
    pub fn take(self: &Arc<Self>, from: IpAddr, counted: bool) -> Result<Place, Full> {
        let mut taken = self.taken();
        if taken.all >= self.all_max {
            return Err(Full::All);
        }
        let address = counted.then(|| network(from));
        if let Some(address) = address {
            let each = taken.each.entry(address).or_default();
            if *each >= self.each_max {
                return Err(Full::Address);
            }
            *each += 1;
        }
        taken.all += 1;
        Ok(Place {
            places: Arc::clone(self),
            address,
        })
    }

    /// Connections that have a place.
    pub fn taken_now(&self) -> usize {
        self.taken().all
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place that is taken.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    address: Option<IpAddr>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.all = taken.all.saturating_sub(1);
        let Some(address) = self.address else { return };
        if let Some(each) = taken.each.get_mut(&address) {
            *each = each.saturating_sub(1);
            if *each == 0 {
                taken.each.remove(&address);
            }
        }
    }
}

/// Who has one address of an IPv6 network of 64 bits has all of them (RFC 7421 §2).
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let kept = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from(kept))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_address_does_not_take_the_places_of_the_others() {
        let places = Places::new(4, 2);
        let a = ip("192.0.2.1");
        let held = [places.take(a, true).unwrap(), places.take(a, true).unwrap()];
        assert_eq!(places.take(a, true).unwrap_err(), Full::Address);
        let mapped = ip("::ffff:192.0.2.1");
        assert_eq!(places.take(mapped, true).unwrap_err(), Full::Address);
        let other = places.take(ip("192.0.2.2"), true).unwrap();
        drop(held);
        assert_eq!(places.taken_now(), 1);
        assert!(places.take(a, true).is_ok());
        drop(other);
        assert!(places.taken().each.is_empty(), "nobody is remembered");
    }

    #[test]
    fn all_together_are_bounded_and_a_proxy_is_counted_in_all_alone() {
        let places = Places::new(3, 1);
        let proxy = ip("10.0.0.1");
        let held: Vec<_> = (0..3).map(|_| places.take(proxy, false).unwrap()).collect();
        assert_eq!(places.take(ip("192.0.2.1"), true).unwrap_err(), Full::All);
        drop(held);
        assert!(places.take(ip("192.0.2.1"), true).is_ok());
    }

    #[test]
    fn a_network_of_64_bits_is_one_address() {
        let places = Places::new(9, 1);
        let _held = places.take(ip("2001:db8::1"), true).unwrap();
        let same = ip("2001:db8::2:0:0:1");
        assert_eq!(places.take(same, true).unwrap_err(), Full::Address);
        assert!(places.take(ip("2001:db8:0:1::1"), true).is_ok());
    }
}
