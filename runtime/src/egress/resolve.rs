//! Turns a name into addresses, without judging them.
//!
//! The resolver is a parameter: tests answer what they like. The real one asks the name servers of the machine and nothing
//! else: no search domain completes a name, no hosts file answers for one, and no address is ever taken for a name.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::Name;
use hickory_resolver::system_conf::read_system_conf;

use crate::capability::HostName;

/// One question to one name server, before the next is asked. The connection as a whole has its own limit.
const QUESTION_MAX: Duration = Duration::from_secs(2);
/// Longest that an answer is kept: an operator who moves a host waits no longer.
const ANSWER_TTL_MAX: Duration = Duration::from_secs(60);

/// A name has no addresses that we know.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The answer is empty.
    #[error("it has no address")]
    NoAddress,
    /// There is no answer.
    #[error("the name servers do not say")]
    Failed(#[source] NetError),
    /// There is nobody to ask.
    #[error("names cannot be resolved here")]
    Setup(#[source] NetError),
    /// A test or another resolver gives its own cause.
    #[error("{0}")]
    Other(&'static str),
}

/// The addresses of a name, later.
pub type Resolving<'a> =
    Pin<Box<dyn Future<Output = Result<Vec<IpAddr>, ResolveError>> + Send + 'a>>;

/// Who turns a name into addresses. Every address of an answer is judged, whoever gives it.
pub trait Resolve: Send + Sync + 'static {
    /// All addresses of `name`.
    fn resolve<'a>(&'a self, name: &'a HostName) -> Resolving<'a>;
}

/// Asks the name servers of `/etc/resolv.conf`.
#[derive(Debug, Clone)]
pub struct DnsResolver(TokioResolver);

impl DnsResolver {
    /// A resolver with the name servers of the machine, and none of its search domains or hosts.
    pub fn from_system() -> Result<Self, ResolveError> {
        let (system, options) = read_system_conf().map_err(ResolveError::Setup)?;
        Self::new(system.name_servers().to_vec(), options)
    }

    fn new(
        name_servers: Vec<NameServerConfig>,
        mut options: ResolverOpts,
    ) -> Result<Self, ResolveError> {
        let config = ResolverConfig::from_parts(None, Vec::new(), name_servers);
        options.use_hosts_file = ResolveHosts::Never;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.timeout = QUESTION_MAX;
        options.positive_max_ttl = Some(ANSWER_TTL_MAX);
        options.negative_max_ttl = Some(ANSWER_TTL_MAX);
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
            .map(Self)
            .map_err(ResolveError::Setup)
    }
}

impl Resolve for DnsResolver {
    fn resolve<'a>(&'a self, name: &'a HostName) -> Resolving<'a> {
        Box::pin(async move {
            // The final dot says that nothing may be appended; as a `Name` it is never read as an address.
            let absolute = Name::from_ascii(format!("{name}."))
                .map_err(|error| ResolveError::Failed(error.into()))?;
            let found = self
                .0
                .lookup_ip(absolute)
                .await
                .map_err(ResolveError::Failed)?;
            let addresses: Vec<_> = found.iter().collect();
            if addresses.is_empty() {
                return Err(ResolveError::NoAddress);
            }
            Ok(addresses)
        })
    }
}

/// Knows no name: only hosts that the operator bound can be reached.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoNames;

impl Resolve for NoNames {
    fn resolve<'a>(&'a self, _name: &'a HostName) -> Resolving<'a> {
        Box::pin(async { Err(ResolveError::NoAddress) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::net::UdpSocket;
    use tokio_util::task::AbortOnDropHandle;

    use super::*;

    /// A name server that knows one IPv4 address for every name below `known.example.com`, and the names it was asked for.
    struct NameServer {
        resolver: DnsResolver,
        asked: Arc<Mutex<Vec<String>>>,
        _task: AbortOnDropHandle<()>,
    }

    async fn name_server(options: ResolverOpts) -> NameServer {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let names = asked.clone();
        let task = tokio::spawn(async move {
            let mut packet = [0; 1500];
            while let Ok((length, peer)) = socket.recv_from(&mut packet).await {
                let (name, answer) = answer(&packet[..length]);
                names.lock().unwrap().push(name);
                socket.send_to(&answer, peer).await.unwrap();
            }
        });
        let mut server = NameServerConfig::udp(address.ip());
        server.connections[0].port = address.port();
        NameServer {
            resolver: DnsResolver::new(vec![server], options).unwrap(),
            asked,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// RFC 1035 §4.1: the header, the question and, for an A question to a known name, one record.
    fn answer(packet: &[u8]) -> (String, Vec<u8>) {
        let (mut place, mut labels) = (12, Vec::new());
        while packet[place] != 0 {
            let end = place + 1 + usize::from(packet[place]);
            let label = String::from_utf8_lossy(&packet[place + 1..end]).to_ascii_lowercase();
            labels.push(label);
            place = end;
        }
        let name = labels.join(".");
        let question = &packet[12..place + 5];
        let known = name.ends_with("known.example.com");
        let found = known && packet[place + 2] == 1;
        let mut answer = packet[..2].to_vec();
        answer.extend([0x81, if known { 0x80 } else { 0x83 }]);
        answer.extend([0, 1, 0, u8::from(found), 0, 0, 0, 0]);
        answer.extend(question);
        if found {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 93, 184, 216, 34]);
        }
        (name, answer)
    }

    #[tokio::test]
    async fn a_name_is_asked_as_it_stands_with_nothing_appended() {
        let mut options = ResolverOpts::default();
        options.ndots = 5;
        options.use_hosts_file = ResolveHosts::Always;
        let server = name_server(options).await;
        let known = "a.known.example.com".parse().unwrap();
        let found = server.resolver.resolve(&known).await.unwrap();
        assert_eq!(found, ["93.184.216.34".parse::<IpAddr>().unwrap()]);
        let other = "other.example.com".parse().unwrap();
        assert!(server.resolver.resolve(&other).await.is_err());
        let asked = server.asked.lock().unwrap().clone();
        assert!(
            asked
                .iter()
                .all(|name| name == known.as_str() || name == other.as_str()),
            "{asked:?}"
        );
    }

    #[tokio::test]
    async fn the_hosts_file_answers_for_nobody() {
        let server = name_server(ResolverOpts::default()).await;
        assert_eq!(
            server.resolver.0.options().use_hosts_file,
            ResolveHosts::Never
        );
        let local = "localhost.known.example.com".parse().unwrap();
        server.resolver.resolve(&local).await.unwrap();
        assert!(!server.asked.lock().unwrap().is_empty());
        let none = NoNames.resolve(&local).await;
        assert!(matches!(none, Err(ResolveError::NoAddress)));
    }
}
