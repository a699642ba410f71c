//! Opens a connection to an address that was judged, and to no other.
//!
//! A name is resolved once. Every address of the answer is judged before the first packet is sent, the connection goes to one
//! of exactly these, and where it ends is looked at again. TLS proves the name; the address never does.

use std::collections::BTreeSet;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};

use super::address::judge;
use super::error::{EgressError, Reason};
use super::resolve::{Resolve, ResolveError};
use crate::capability::HostName;

/// Addresses of one name that are tried, one after the other. Large sites give eight or so; two of each family suffice.
const ADDRESSES_TRIED_MAX: usize = 4;

/// A connection on its way.
pub type Dialling<'a> = Pin<Box<dyn Future<Output = io::Result<Dialled>> + Send + 'a>>;

/// Who opens connections. A parameter, so that tests see every address that would have been reached.
pub trait Dial: Send + Sync + 'static {
    /// Connects to exactly this address.
    fn dial(&self, address: SocketAddr) -> Dialling<'_>;
}

/// An open connection.
#[derive(Debug)]
pub struct Dialled {
    /// The connection.
    pub stream: TcpStream,
    /// Where it ends.
    pub peer: SocketAddr,
}

/// Connects by TCP.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpDial;

impl Dial for TcpDial {
    fn dial(&self, address: SocketAddr) -> Dialling<'_> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let peer = stream.peer_addr()?;
            Ok(Dialled { stream, peer })
        })
    }
}

/// Bytes both ways, plain or over TLS.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Where a connection may end.
#[derive(Debug, Clone)]
pub(super) enum Route {
    /// At a public address of this name.
    Public(HostName, u16),
    /// At one of these addresses, which the operator named.
    Named(Vec<SocketAddr>),
}

/// Says whether an address is our own.
pub(super) type Own = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

pub(super) struct Connector {
    pub(super) resolver: Arc<dyn Resolve>,
    pub(super) dial: Arc<dyn Dial>,
    pub(super) own: Own,
    pub(super) tls: TlsConnector,
}

impl Connector {
    /// A TCP connection along the route before `limit`. Every failure is a denial.
    pub(super) async fn reach(&self, route: &Route, limit: Instant) -> Result<TcpStream, Reason> {
        let reach = async {
            let addresses = match route {
                Route::Public(name, port) => self.judged(name, *port).await?,
                Route::Named(addresses) => addresses.clone(),
            };
            self.first(&addresses, limit).await
        };
        timeout_at(limit, reach)
            .await
            .unwrap_or(Err(Reason::Silent))
    }

    /// The addresses of a name, all of them judged.
    async fn judged(&self, name: &HostName, port: u16) -> Result<Vec<SocketAddr>, Reason> {
        let unresolved = |source| Reason::Unresolved {
            name: name.clone(),
            source,
        };
        let addresses: BTreeSet<IpAddr> = match self.resolver.resolve(name).await {
            Ok(addresses) => addresses.into_iter().collect(),
            Err(error) => return Err(unresolved(error)),
        };
        // One special address among many is how a rebinding answer looks: the whole name is refused.
        for address in &addresses {
            judge(*address, &*self.own).map_err(|source| Reason::Special {
                name: name.clone(),
                source,
            })?;
        }
        if addresses.is_empty() {
            return Err(unresolved(ResolveError::NoAddress));
        }
        Ok(interleaved(&addresses)
            .map(|address| SocketAddr::new(address, port))
            .collect())
    }

    /// The first of these addresses that answers.
    async fn first(&self, addresses: &[SocketAddr], limit: Instant) -> Result<TcpStream, Reason> {
        let mut last = Reason::Silent;
        for (place, address) in addresses.iter().take(ADDRESSES_TRIED_MAX).enumerate() {
            let after = addresses.len().min(ADDRESSES_TRIED_MAX) - place;
            let share = limit.saturating_duration_since(Instant::now())
                / u32::try_from(after).unwrap_or(u32::MAX);
            match timeout_at(Instant::now() + share, self.dial.dial(*address)).await {
                Ok(Ok(Dialled { stream, peer })) => {
                    let canonical =
                        |address: SocketAddr| (address.ip().to_canonical(), address.port());
                    if canonical(peer) != canonical(*address) {
                        return Err(Reason::OtherPeer {
                            wanted: *address,
                            found: peer,
                        });
                    }
                    return Ok(stream);
                }
                Ok(Err(source)) => {
                    last = Reason::Unreachable {
                        address: *address,
                        source,
                    };
                }
                Err(_) => last = Reason::Silent,
            }
        }
        Err(last)
    }

    /// TLS over a connection, for exactly this name.
    pub(super) async fn secure(
        &self,
        stream: TcpStream,
        name: ServerName<'static>,
    ) -> Result<Box<dyn Stream>, EgressError> {
        match self.tls.connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(EgressError::Tls(error)),
        }
    }
}

/// IPv4 and IPv6 by turns, so that a network without one of them costs one attempt.
fn interleaved(addresses: &BTreeSet<IpAddr>) -> impl Iterator<Item = IpAddr> {
    let (v4, v6): (Vec<IpAddr>, Vec<IpAddr>) = addresses.iter().partition(|one| one.is_ipv4());
    let pairs = v4.len().max(v6.len());
    (0..pairs)
        .flat_map(move |place| [v4.get(place).copied(), v6.get(place).copied()])
        .flatten()
}

/// TLS for outgoing connections: the roots of the web and `more`, HTTP/1.1, no session that could tell two calls apart.
pub(super) fn tls(
    more: impl IntoIterator<Item = CertificateDer<'static>>,
) -> Result<TlsConnector, rustls::Error> {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    for certificate in more {
        roots.add(certificate)?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The shorter of two limits.
pub(super) fn sooner(limit: Instant, from_now: Duration) -> Instant {
    Instant::now()
        .checked_add(from_now)
        .map_or(limit, |at| at.min(limit))
}
