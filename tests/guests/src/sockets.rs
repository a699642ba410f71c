//! Everything of `wasi:sockets` that does not need another socket first.

use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::ip_name_lookup::resolve_addresses;
use wasip2::sockets::network::IpAddressFamily;
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp_create_socket::create_udp_socket;

/// What the sockets answer.
pub struct Sockets {
    /// Whether any of them can be had.
    pub reached: bool,
    /// What each says.
    pub detail: String,
}

/// Asks for a socket of each kind, and for the addresses of a name.
pub fn probe() -> Sockets {
    let network = instance_network();
    let answers = [
        ("tcp", create_tcp_socket(IpAddressFamily::Ipv4).map(drop)),
        ("tcp6", create_tcp_socket(IpAddressFamily::Ipv6).map(drop)),
        ("udp", create_udp_socket(IpAddressFamily::Ipv4).map(drop)),
        (
            "resolve",
            resolve_addresses(&network, "localhost").map(drop),
        ),
    ];
    let says = answers.iter().map(|(what, answer)| match answer {
        Ok(()) => format!("{what}: reached"),
        Err(code) => format!("{what}: {}", code.name()),
    });
    Sockets {
        reached: answers.iter().any(|(_, answer)| answer.is_ok()),
        detail: says.collect::<Vec<_>>().join(", "),
    }
}
