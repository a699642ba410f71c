//! Judges an address: may a stranger's request go there?
//!
//! A pure function over embedded tables; never resolves, connects or reads a file. What is not plainly a public unicast
//! address is special, and a special address is refused. Libraries disagree about the list, so it stands here in full:
//! the IANA IPv4 and IPv6 special-purpose registries (RFC 6890), multicast, and what clouds serve beside them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::embedded;

/// An address that requests may not reach, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("`{address}` is {what}")]
pub struct Special {
    /// The address, or the IPv4 address that it carries.
    pub address: IpAddr,
    /// What it is set aside for.
    pub what: &'static str,
}

/// Judges an address. `own` says whether an address is one of our own interfaces.
///
/// An IPv6 address that carries an IPv4 address is judged by both: it is refused for what it carries, and forms that exist
/// only to carry one are special themselves, since who unwraps them is out of our sight.
pub fn judge(address: IpAddr, own: impl Fn(IpAddr) -> bool) -> Result<(), Special> {
    let refuse = |address, what| Err(Special { address, what });
    for carried in embedded::ipv4_in(address) {
        if let Some(what) = special_v4(carried) {
            return refuse(IpAddr::V4(carried), what);
        }
        if own(IpAddr::V4(carried)) {
            return refuse(IpAddr::V4(carried), OWN);
        }
    }
    let what = match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    };
    match what {
        Some(what) => refuse(address, what),
        None if own(address) => refuse(address, OWN),
        None => Ok(()),
    }
}

const OWN: &str = "an address of this machine";

/// What an IPv4 address is set aside for, if anything.
fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let bits = u32::from(address);
    SPECIAL_V4
        .iter()
        .find(|(network, length, _)| {
            let differing = bits ^ u32::from(Ipv4Addr::from(*network));
            differing.checked_shr(32 - length).unwrap_or(0) == 0
        })
        .map(|(_, _, what)| *what)
}

/// What an IPv6 address is set aside for, if anything.
fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    let bits = u128::from(address);
    let within = |network: [u16; 8], length: u32| {
        let differing = bits ^ u128::from(Ipv6Addr::from(network));
        differing.checked_shr(128 - length).unwrap_or(0) == 0
    };
    SPECIAL_V6
        .iter()
        .find(|(network, length, _)| within(*network, *length))
        .map(|(_, _, what)| *what)
        // RFC 4291 §2.4, IANA IPv6 address space: nothing else is assigned as global unicast.
        .or_else(|| (!within([0x2000, 0, 0, 0, 0, 0, 0, 0], 3)).then_some("not global unicast"))
}

/// Network, prefix length, what it is. The most telling name stands first.
const SPECIAL_V4: [([u8; 4], u32, &str); 26] = [
    ([169, 254, 169, 254], 32, "a cloud metadata service"),
    ([100, 100, 100, 200], 32, "a cloud metadata service"),
    ([192, 0, 0, 192], 32, "a cloud metadata service"),
    ([168, 63, 129, 16], 32, "a cloud metadata service"),
    ([0, 0, 0, 0], 32, "the unspecified address"),
    ([255, 255, 255, 255], 32, "the broadcast address"),
    ([0, 0, 0, 0], 8, "this network (RFC 791)"),
    ([10, 0, 0, 0], 8, "private (RFC 1918)"),
    ([100, 64, 0, 0], 10, "shared by carriers (RFC 6598)"),
    ([127, 0, 0, 0], 8, "loopback (RFC 1122)"),
    ([169, 254, 0, 0], 16, "link-local (RFC 3927)"),
    ([172, 16, 0, 0], 12, "private (RFC 1918)"),
    ([192, 0, 0, 0], 29, "for IPv4 continuity (RFC 7335)"),
    ([192, 0, 0, 170], 31, "for NAT64 discovery (RFC 7050)"),
    ([192, 0, 0, 0], 24, "for protocols (RFC 6890)"),
    ([192, 0, 2, 0], 24, "for documentation (RFC 5737)"),
    ([192, 31, 196, 0], 24, "for AS112 (RFC 7535)"),
    ([192, 52, 193, 0], 24, "for AMT (RFC 7450)"),
    ([192, 88, 99, 0], 24, "a 6to4 relay (RFC 7526)"),
    ([192, 168, 0, 0], 16, "private (RFC 1918)"),
    ([192, 175, 48, 0], 24, "for AS112 (RFC 7534)"),
    ([198, 18, 0, 0], 15, "for benchmarks (RFC 2544)"),
    ([198, 51, 100, 0], 24, "for documentation (RFC 5737)"),
    ([203, 0, 113, 0], 24, "for documentation (RFC 5737)"),
    ([224, 0, 0, 0], 4, "multicast (RFC 5771)"),
    ([240, 0, 0, 0], 4, "reserved (RFC 1112)"),
];

const SPECIAL_V6: [([u16; 8], u32, &str); 31] = [
    (
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254],
        128,
        "a cloud metadata service",
    ),
    (
        [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254],
        128,
        "a cloud metadata service",
    ),
    ([0; 8], 128, "the unspecified address"),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback (RFC 4291)"),
    ([0; 8], 96, "IPv4-compatible (RFC 4291)"),
    ([0, 0, 0, 0, 0, 0xffff, 0, 0], 96, "IPv4-mapped (RFC 4291)"),
    (
        [0, 0, 0, 0, 0xffff, 0, 0, 0],
        96,
        "IPv4-translated (RFC 2765)",
    ),
    ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96, "NAT64 (RFC 6052)"),
    (
        [0x64, 0xff9b, 1, 0, 0, 0, 0, 0],
        48,
        "local NAT64 (RFC 8215)",
    ),
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64, "discarded (RFC 6666)"),
    ([0x100, 0, 0, 1, 0, 0, 0, 0], 64, "a dummy (RFC 9780)"),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 32, "Teredo (RFC 4380)"),
    (
        [0x2001, 1, 0, 0, 0, 0, 0, 1],
        128,
        "for port control (RFC 7723)",
    ),
    ([0x2001, 1, 0, 0, 0, 0, 0, 2], 128, "for TURN (RFC 8155)"),
    ([0x2001, 1, 0, 0, 0, 0, 0, 3], 128, "for DNS-SD (RFC 9665)"),
    (
        [0x2001, 2, 0, 0, 0, 0, 0, 0],
        48,
        "for benchmarks (RFC 5180)",
    ),
    ([0x2001, 3, 0, 0, 0, 0, 0, 0], 32, "for AMT (RFC 7450)"),
    (
        [0x2001, 4, 0x112, 0, 0, 0, 0, 0],
        48,
        "for AS112 (RFC 7535)",
    ),
    ([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28, "ORCHID (RFC 4843)"),
    ([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28, "ORCHIDv2 (RFC 7343)"),
    (
        [0x2001, 0x30, 0, 0, 0, 0, 0, 0],
        28,
        "for drone identities (RFC 9374)",
    ),
    (
        [0x2001, 0, 0, 0, 0, 0, 0, 0],
        23,
        "for protocols (RFC 2928)",
    ),
    (
        [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0],
        32,
        "for documentation (RFC 3849)",
    ),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, "6to4 (RFC 3056)"),
    (
        [0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0],
        48,
        "for AS112 (RFC 7534)",
    ),
    (
        [0x3fff, 0, 0, 0, 0, 0, 0, 0],
        20,
        "for documentation (RFC 9637)",
    ),
    (
        [0x5f00, 0, 0, 0, 0, 0, 0, 0],
        16,
        "for segment routing (RFC 9602)",
    ),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "unique local (RFC 4193)"),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local (RFC 4291)"),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "site-local (RFC 3879)"),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast (RFC 4291)"),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> bool {
        judge(text.parse().unwrap(), |_| false).is_err()
    }

    #[test]
    fn public_addresses_pass() {
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "93.184.216.34",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2001:200::1",
            "2001:4860:4860::8888",
            "2003::1",
            "2a00:1450::1",
            "3ffe::1",
            "2620:4f:7fff::1",
        ] {
            assert!(!refused(public), "{public}");
        }
    }

    #[test]
    fn every_special_range_is_refused_from_its_first_to_its_last_address() {
        for range in [
            "0.0.0.0-0.255.255.255",
            "10.0.0.0-10.255.255.255",
            "100.64.0.0-100.127.255.255",
            "127.0.0.0-127.255.255.255",
            "169.254.0.0-169.254.255.255",
            "172.16.0.0-172.31.255.255",
            "192.0.0.0-192.0.0.255",
            "192.0.2.0-192.0.2.255",
            "192.31.196.0-192.31.196.255",
            "192.52.193.0-192.52.193.255",
            "192.88.99.0-192.88.99.255",
            "192.168.0.0-192.168.255.255",
            "192.175.48.0-192.175.48.255",
            "198.18.0.0-198.19.255.255",
            "198.51.100.0-198.51.100.255",
            "203.0.113.0-203.0.113.255",
            "224.0.0.0-255.255.255.255",
            "168.63.129.16-168.63.129.16",
            "::-1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "64:ff9b::-64:ff9b::ffff:ffff",
            "64:ff9b:1::-64:ff9b:1:ffff:ffff:ffff:ffff:ffff",
            "100::-100::ffff:ffff:ffff:ffff",
            "100:0:0:1::-100:0:0:1:ffff:ffff:ffff:ffff",
            "2001::-2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:2::-2001:2:0:ffff:ffff:ffff:ffff:ffff",
            "2001:db8::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff",
            "2002::-2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "2620:4f:8000::-2620:4f:8000:ffff:ffff:ffff:ffff:ffff",
            "3fff::-3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff",
            "4000::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "5f00::-5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "fc00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "fe80::-febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "fec0::-feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "ff00::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            let (first, last) = range.split_once('-').unwrap();
            assert!(refused(first), "{first}");
            assert!(refused(last), "{last}");
        }
    }

    #[test]
    fn metadata_services_are_refused_by_name() {
        for service in ["169.254.169.254", "100.100.100.200", "fd00:ec2::254"] {
            let refusal = judge(service.parse().unwrap(), |_| false).unwrap_err();
            assert_eq!(refusal.what, "a cloud metadata service");
        }
    }

    #[test]
    fn an_address_of_this_machine_is_refused_however_public() {
        let own: IpAddr = "93.184.216.34".parse().unwrap();
        assert!(judge(own, |_| false).is_ok());
        assert!(judge(own, |address| address == own).is_err());
        let isatap: IpAddr = "2a00::5efe:5db8:d822".parse().unwrap();
        assert!(judge(isatap, |_| false).is_ok());
        assert_eq!(
            judge(isatap, |address| address == own).unwrap_err().address,
            own
        );
    }

    #[test]
    fn no_network_in_the_tables_has_bits_beyond_its_prefix() {
        for (network, length, what) in SPECIAL_V4 {
            let bits = u32::from(Ipv4Addr::from(network));
            assert_eq!(bits.checked_shl(length).unwrap_or(0), 0, "{what}");
        }
        for (network, length, what) in SPECIAL_V6 {
            let bits = u128::from(Ipv6Addr::from(network));
            assert_eq!(bits.checked_shl(length).unwrap_or(0), 0, "{what}");
        }
    }

    proptest! {
        #[test]
        fn the_tables_agree_with_the_standard_library(bits: u32) {
            let address = Ipv4Addr::from(bits);
            let known = address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_broadcast()
                || address.is_documentation()
                || address.is_multicast()
                || address.is_unspecified();
            prop_assert!(!known || judge(IpAddr::V4(address), |_| false).is_err());
        }

        #[test]
        fn nothing_outside_global_unicast_passes(bits: u128) {
            let address = Ipv6Addr::from(bits);
            if judge(IpAddr::V6(address), |_| false).is_ok() {
                prop_assert_eq!(bits >> 125, 1);
                prop_assert!(!address.is_unique_local() && !address.is_unicast_link_local());
            }
        }
    }
}
