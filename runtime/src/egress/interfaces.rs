//! Says whether an address is one of this machine's own.

use std::io::ErrorKind;
use std::net::{IpAddr, UdpSocket};

/// Whether a socket can be bound to `address`, which the kernel allows for own addresses alone. Always fresh, and no packet
/// is sent. Any answer but a plain no counts as a yes.
pub fn is_own(address: IpAddr) -> bool {
    match UdpSocket::bind((address, 0)) {
        Ok(_) => true,
        // Without IPv6 the address cannot be reached either; connecting says so.
        Err(error) => !matches!(
            error.kind(),
            ErrorKind::AddrNotAvailable | ErrorKind::Unsupported
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_our_own_and_a_stranger_is_not() {
        assert!(is_own("127.0.0.1".parse().unwrap()));
        assert!(!is_own("93.184.216.34".parse().unwrap()));
    }
}
