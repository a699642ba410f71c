//! Finds the IPv4 addresses that an IPv6 address carries.
//!
//! Pure. A gateway, a tunnel or the kernel may unwrap any of these forms, so whoever judges an address judges what it
//! carries as well.

use std::net::{IpAddr, Ipv4Addr};

/// The IPv4 addresses inside `address`, in every form that is known; none for an IPv4 address.
pub(super) fn ipv4_in(address: IpAddr) -> impl Iterator<Item = Ipv4Addr> {
    let forms = match address {
        IpAddr::V4(_) => [None; 4],
        IpAddr::V6(address) => forms(address.segments()),
    };
    forms.into_iter().flatten()
}

fn forms(segments: [u16; 8]) -> [Option<Ipv4Addr>; 4] {
    match segments {
        // RFC 4291 §2.5.3, §2.5.2: they look compatible and are not.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None; 4],
        // Compatible (RFC 4291 §2.5.5.1), mapped (§2.5.5.2), translated (RFC 2765 §2.1), NAT64 (RFC 6052 §2.1).
        [0, 0, 0, 0, 0, 0, high, low]
        | [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => [Some(v4(high, low)), None, None, None],
        // RFC 8215: a local NAT64 prefix may be of any length from 48 to 96 bits; RFC 6052 §2.2 says where the bits lie.
        [0x64, 0xff9b, 1, third, fourth, fifth, high, low] => {
            let at_48 = v4(third, (fourth << 8) | (fifth >> 8));
            let at_56 = v4((third << 8) | (fourth & 0xff), fifth);
            let at_64 = v4((fourth << 8) | (fifth >> 8), (fifth << 8) | (high >> 8));
            [Some(v4(high, low)), Some(at_48), Some(at_56), Some(at_64)]
        }
        // 6to4 (RFC 3056 §2).
        [0x2002, high, low, ..] => [Some(v4(high, low)), isatap(segments), None, None],
        // Teredo (RFC 4380 §4): the server, and the client with every bit inverted.
        [0x2001, 0, high, low, _, _, client_high, client_low] => [
            Some(v4(high, low)),
            Some(v4(!client_high, !client_low)),
            isatap(segments),
            None,
        ],
        _ => [isatap(segments), None, None, None],
    }
}

/// ISATAP (RFC 5214 §6.1): an interface identifier `0000:5efe` or, with the universal bit, `0200:5efe`, in any prefix.
fn isatap(segments: [u16; 8]) -> Option<Ipv4Addr> {
    match segments {
        [
            _,
            _,
            _,
            _,
            0x0000 | 0x0100 | 0x0200 | 0x0300,
            0x5efe,
            high,
            low,
        ] => Some(v4(high, low)),
        _ => None,
    }
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::super::address::judge;
    use super::*;

    #[test]
    fn every_form_is_unwrapped() {
        let inner = Ipv4Addr::new(127, 0, 0, 1);
        for form in [
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::127.0.0.1",
            "64:ff9b:1::127.0.0.1",
            "64:ff9b:1:7f00:0:100::",
            "64:ff9b:1:7f:0:1::",
            "64:ff9b:1::7f:0:100:0",
            "2002:7f00:1::",
            "2002:7f00:1:1:2:3:4:5",
            "2001:0:7f00:1::",
            "2001:0:102:304:0:0:80ff:fffe",
            "2a00::5efe:7f00:1",
            "2a00::200:5efe:7f00:1",
            "fe80::5efe:7f00:1",
        ] {
            let address: IpAddr = form.parse().unwrap();
            assert!(ipv4_in(address).any(|carried| carried == inner), "{form}");
            assert!(judge(address, |_| false).is_err(), "{form}");
        }
    }

    #[test]
    fn an_address_without_an_ipv4_address_carries_none() {
        for plain in ["::", "::1", "2606:4700:4700::1111", "127.0.0.1"] {
            assert_eq!(ipv4_in(plain.parse().unwrap()).count(), 0, "{plain}");
        }
    }

    proptest! {
        #[test]
        fn an_address_is_never_better_than_what_it_carries(bits: u32, prefix in 0x2003_u16..0x3ffe, form in 0_usize..6) {
            let inner = Ipv4Addr::from(bits);
            let [a, b, c, d] = inner.octets().map(u16::from);
            let (high, low) = ((a << 8) | b, (c << 8) | d);
            let outer = Ipv6Addr::from([
                [0, 0, 0, 0, 0, 0xffff, high, low],
                [0x64, 0xff9b, 0, 0, 0, 0, high, low],
                [0x2002, high, low, 0, 0, 0, 0, 1],
                [0x2001, 0, high, low, 0, 0, 0xfefe, 0xfefe],
                [prefix, 0, 0, 0, 0, 0x5efe, high, low],
                [prefix, 0, 0, 0, 0x200, 0x5efe, high, low],
            ][form]);
            prop_assert!(ipv4_in(IpAddr::V6(outer)).any(|carried| carried == inner));
            if judge(IpAddr::V4(inner), |_| false).is_err() {
                prop_assert!(judge(IpAddr::V6(outer), |_| false).is_err());
            }
        }
    }
}
