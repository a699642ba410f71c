//! From where a request comes, once it is known which proxies are believed.

use std::net::IpAddr;

/// The address of the client that sent a request: the peer of its connection, or what a declared proxy says of it. Every
/// request that is served has one among its extensions.
///
/// ```compile_fail,E0423
/// let forged = bailiwick::listen::ClientAddress("192.0.2.1".parse().unwrap());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddress(IpAddr);

impl ClientAddress {
    /// An address that was told by who is believed. An IPv4 address in the clothes of an IPv6 one is the IPv4 address.
    pub(super) fn new(address: IpAddr) -> Self {
        Self(address.to_canonical())
    }

    /// The address.
    pub fn ip(self) -> IpAddr {
        self.0
    }
}
