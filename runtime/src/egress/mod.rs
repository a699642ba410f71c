//! The one way out: every request of a guest and every fetch of our own passes here.
//!
//! A request is admitted by the capabilities of its call ([`Egress::admit`]), then sent ([`Egress::send`]): its name is resolved
//! once, every address is judged, the connection goes to a judged address and is looked at again, and the request is written
//! from the parts that were judged. Redirects are answers like others and no proxy is asked. A connection may serve the next request
//! of the same grant, and what came compressed is decompressed under the same budget. Whatever goes wrong before a connection stands has one error and one time class, so that
//! nobody learns what lies behind us.

mod address;
mod body;
mod client;
mod connect;
mod embedded;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod gathered;
mod headers;
mod inflate;
mod interfaces;
mod own;
mod pool;
mod resolve;
mod retry;
mod target;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use http_body_util::Empty;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Body;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use zeroize::Zeroizing;

pub use address::{Special, judge};
pub use body::{Budget, ResponseBody};
pub use client::Bounds;
pub use connect::{Dial, Dialled, Dialling, TcpDial};
pub use error::{EgressError, EgressSetupError, Reason};
pub use gathered::gathered;
pub use headers::is_forbidden;
pub use inflate::AnswerBody;
pub use pool::Whose;
pub use resolve::{DnsResolver, NoNames, Resolve, ResolveError, Resolving};
pub use retry::Attempt;
pub use target::{Target, is_special_name};

use crate::capability::{Authority, HostName, HostSelector, Http};
use crate::config::{EgressHost, Retry};
use crate::limits::HTTP_URL_BYTES_MAX;
use crate::telemetry::Meters;
use body::BoxError;
use client::{Connection, Head, boxed};
use connect::{Connector, Route, sooner};
use pool::{Home, Pool};

/// Longest wait for a connection: resolving, and every address that is tried.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Every refusal comes at a multiple of this: what is denied by a rule, by the resolver or by a closed port looks the same.
const REFUSAL_STEP: Duration = Duration::from_millis(100);

/// The filter between us and every other host.
pub struct Egress {
    hosts: BTreeMap<HostName, EgressHost>,
    trusted: Vec<(url::Origin, Vec<SocketAddr>)>,
    connector: Connector,
    pool: Pool,
    retry: Retry,
    meters: Arc<Meters>,
}

/// A request that a capability allows: evidence for [`Egress::send`].
///
/// ```compile_fail,E0451
/// fn forge(target: bailiwick::egress::Target, one: bailiwick::egress::Admitted) -> bailiwick::egress::Admitted {
///     bailiwick::egress::Admitted { target, ..one }
/// }
/// ```
#[derive(Debug)]
pub struct Admitted {
    target: Target,
    method: Method,
    route: Route,
    /// The query where it is not the one of the target.
    filled: Option<SecretQuery>,
    secret: SecretQuery,
}

/// What the query carries beside what the guest wrote: never printed, wiped when it goes.
#[derive(Default)]
struct SecretQuery(Zeroizing<String>);

impl fmt::Debug for SecretQuery {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SecretQuery(…)")
    }
}

/// What a request line and its `Host` will say, for whoever signs the request. The target may hold a secret.
pub struct Line<'a> {
    /// The method.
    pub method: &'a Method,
    /// Scheme and host, with a port where it is not that of the scheme: `Host` has the same.
    pub origin: String,
    /// Path and query as they are written.
    pub target: Zeroizing<String>,
}

impl fmt::Debug for Line<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Line({} {}…)", self.method, self.origin)
    }
}

impl Admitted {
    /// The line and the host as they will be written.
    pub fn line(&self) -> Line<'_> {
        let scheme = match self.target.is_secure() {
            true => "https",
            false => "http",
        };
        Line {
            method: &self.method,
            origin: format!("{scheme}://{}", self.target.host_field()),
            target: self.written(),
        }
    }

    fn written(&self) -> Zeroizing<String> {
        let secret = &*self.secret.0;
        Zeroizing::new(match &self.filled {
            Some(query) => format!("{}?{}{secret}", self.target.path(), *query.0),
            None => format!("{}{secret}", self.target.origin_form()),
        })
    }

    /// The path as it is written.
    pub fn path(&self) -> &str {
        self.target.path()
    }

    /// The query as the guest wrote it.
    pub fn query(&self) -> Option<&str> {
        self.target.query()
    }

    /// The same request with another query, of the same names, which appears nowhere else.
    pub fn with_whole_query(mut self, query: &str) -> Result<Self, EgressError> {
        self.filled = Some(SecretQuery(Zeroizing::new(query.to_owned())));
        self.bounded()
    }

    fn bounded(self) -> Result<Self, EgressError> {
        match self.written().len() > HTTP_URL_BYTES_MAX {
            true => Err(EgressError::RequestTooLarge),
            false => Ok(self),
        }
    }

    /// The host that was granted.
    pub fn host(&self) -> &HostName {
        self.target.host()
    }

    /// Whether it goes to exactly this host and port. A bound host has the port of its binding, under that number or under none.
    pub fn is_at(&self, at: &Authority) -> bool {
        let port = match (at.port, &self.route) {
            (Some(port), _) => port == self.target.port(),
            (None, Route::Named(addresses)) => {
                let bound = |address: &SocketAddr| address.port() == self.target.port();
                self.target.has_default_port() || addresses.iter().any(bound)
            }
            (None, Route::Public(..)) => self.target.has_default_port(),
        };
        port && at.host == *self.target.host()
    }

    /// Whether nobody on the way can read along: TLS, or a host that the operator bound.
    pub fn is_private(&self) -> bool {
        self.target.is_secure() || matches!(self.route, Route::Named(_))
    }

    /// Whether the query has a parameter of this name, in whatever case: servers differ in what they make of it.
    pub fn has_query(&self, name: &str) -> bool {
        self.target.has_query(name)
    }

    /// The same request with one parameter more in its query, which appears nowhere else.
    pub fn with_query(mut self, name: &str, value: &str) -> Result<Self, EgressError> {
        let query = &mut self.secret.0;
        let first = query.is_empty() && !self.target.has_any_query();
        query.push(if first { '?' } else { '&' });
        query.push_str(name);
        query.push('=');
        for byte in value.bytes() {
            // RFC 3986 §2.3: everything but unreserved characters is escaped.
            match byte {
                b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'-' | b'.' | b'_' | b'~' => {
                    query.push(char::from(byte));
                }
                other => query.push_str(&format!("%{other:02X}")),
            }
        }
        self.bounded()
    }
}

impl Egress {
    /// The filter with the operator's bindings. `trusted_origins` are reached by our own requests alone, and must lie on this
    /// machine or on a bound host.
    pub fn new(
        hosts: Vec<EgressHost>,
        trusted_origins: Vec<url::Origin>,
        resolver: Arc<dyn Resolve>,
    ) -> Result<Self, EgressSetupError> {
        let mut egress = Self {
            hosts: BTreeMap::new(),
            trusted: Vec::new(),
            connector: Connector {
                resolver,
                dial: Arc::new(TcpDial),
                own: Arc::new(interfaces::is_own),
                tls: connect::tls([]).map_err(EgressSetupError::Tls)?,
            },
            pool: Pool::default(),
            retry: Retry::default(),
            meters: Arc::default(),
        };
        for host in hosts {
            if let Some(twice) = egress.hosts.insert(host.name.clone(), host) {
                return Err(EgressSetupError::BoundTwice(twice.name));
            }
        }
        for origin in trusted_origins {
            let addresses = egress.local(&origin)?;
            egress.trusted.push((origin, addresses));
        }
        Ok(egress)
    }

    /// The same filter, which also believes certificates of these roots.
    pub fn with_roots(
        mut self,
        roots: impl IntoIterator<Item = CertificateDer<'static>>,
    ) -> Result<Self, EgressSetupError> {
        self.connector.tls = connect::tls(roots).map_err(EgressSetupError::Tls)?;
        Ok(self)
    }

    /// The same filter, whose guests' requests are made again as this says.
    pub fn with_retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// The same filter, whose guests' requests are counted there.
    pub fn with_meters(mut self, meters: Arc<Meters>) -> Self {
        self.meters = meters;
        self
    }

    /// When requests of guests are made again.
    pub fn retry(&self) -> &Retry {
        &self.retry
    }

    /// Whether one of `scopes` allows `method` at `url`. A refusal is to be told after [`Egress::settle`].
    pub fn admit(
        &self,
        scopes: &[Http],
        method: &Method,
        url: &str,
    ) -> Result<Admitted, EgressError> {
        let target = Target::parse(url)?;
        let bound = self.hosts.get(target.host());
        let port = bound.map(|bound| bound.address.port());
        let granted = scopes.iter().any(|scope| {
            reaches(&scope.host, bound) && target.is_granted(scope, method.as_str(), port)
        });
        if !granted {
            return Err(Reason::NotGranted.into());
        }
        let route = match bound {
            Some(bound) if target.has_default_port() || port == Some(target.port()) => {
                Route::Named(vec![bound.address])
            }
            Some(bound) => return Err(Reason::OtherPort(bound.name.clone()).into()),
            None if is_special_name(target.host()) => {
                return Err(Reason::SpecialName(target.host().clone()).into());
            }
            None if !target.is_secure() => {
                return Err(Reason::PlainText(target.host().clone()).into());
            }
            None => Route::Public(target.host().clone(), target.port()),
        };
        Ok(Admitted {
            target,
            method: method.clone(),
            route,
            filled: None,
            secret: SecretQuery::default(),
        })
    }

    /// Sends an admitted request, over a connection of the same grant if one waits. The body of the answer is streamed and stays
    /// under the same bounds.
    pub async fn send<B>(
        &self,
        whose: &Whose,
        admitted: Admitted,
        mut headers: HeaderMap,
        body: B,
        bounds: Bounds,
    ) -> Result<Response<AnswerBody>, EgressError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (began, deadline) = (Instant::now(), bounds.deadline);
        let written = admitted.written();
        let Admitted {
            target,
            method,
            route,
            filled: _,
            secret: _,
        } = admitted;
        let sent = async {
            let name = match target.is_secure() {
                true => Some(
                    ServerName::try_from(target.host().as_str().to_owned())
                        .map_err(|_| Reason::Url("its host has no certificate name"))?,
                ),
                false => None,
            };
            inflate::offer(&mut headers);
            let head = Head {
                method,
                origin_form: String::clone(&written),
                host: target.host_field(),
                headers,
            };
            let (budget, live) = (bounds.received.clone(), bounds.live.clone());
            let home = self.pool.home(whose, &target);
            let answer = self.reuse(&home, &route, name, head, boxed(body), bounds);
            inflate::inflated(answer.await?, &budget, &live)
        }
        .await;
        let outcome = sent.as_ref().map_or_else(EgressError::name, |_| "answered");
        self.meters.egress(outcome);
        if let Err(error @ EgressError::Denied(_)) = &sent {
            error.log_refusal();
            self.settle(began, deadline).await;
        }
        sent
    }

    /// Waits until a refusal may be told: the next step since `began`, so that time does not tell its reason.
    pub async fn settle(&self, began: Instant, deadline: Instant) {
        let passed = began.elapsed().as_millis() / REFUSAL_STEP.as_millis().max(1);
        let steps = u32::try_from(passed).unwrap_or(u32::MAX).saturating_add(1);
        let at = began.checked_add(REFUSAL_STEP.saturating_mul(steps));
        sleep_until(at.map_or(deadline, |at| at.min(deadline))).await;
    }

    /// Over a connection that waits, or over a new one. What has a body is always sent over a new one, since it could not be sent
    /// again if the old one turned out to be closed.
    async fn reuse(
        &self,
        home: &Home,
        route: &Route,
        name: Option<ServerName<'static>>,
        head: Head,
        body: UnsyncBoxBody<Bytes, BoxError>,
        bounds: Bounds,
    ) -> Result<Response<ResponseBody>, EgressError> {
        if !matches!(head.method, Method::GET | Method::HEAD) || !body.is_end_stream() {
            return self.exchange(route, name, head, body, bounds, None).await;
        }
        if let Some(waiting) = home.take().await {
            let (head, bounds) = (head.clone(), bounds.clone());
            let body = boxed(Empty::new());
            match client::exchange(waiting, head, body, bounds, Some(home.clone())).await {
                // The server closed it meanwhile.
                Err(EgressError::Broken(_)) => {}
                told => return told,
            }
        }
        let home = Some(home.clone());
        self.exchange(route, name, head, body, bounds, home).await
    }

    async fn exchange(
        &self,
        route: &Route,
        name: Option<ServerName<'static>>,
        head: Head,
        body: UnsyncBoxBody<Bytes, BoxError>,
        bounds: Bounds,
        home: Option<Home>,
    ) -> Result<Response<ResponseBody>, EgressError> {
        let wait = bounds
            .connect
            .map_or(CONNECT_MAX, |wait| wait.min(CONNECT_MAX));
        let stream = self
            .connector
            .reach(route, sooner(bounds.deadline, wait))
            .await?;
        let stream = match name {
            Some(name) => {
                let limit = sooner(bounds.deadline, CONNECT_MAX);
                timeout_at(limit, self.connector.secure(stream, name))
                    .await
                    .unwrap_or(Err(EgressError::OutOfTime))?
            }
            None => Box::new(stream),
        };
        let connection = Connection::open(stream, &bounds).await?;
        client::exchange(connection, head, body, bounds, home).await
    }
}

/// Whether a selector reaches a host as it is bound. A private host is reached by its own name; by a pattern only where the
/// operator says so.
fn reaches(selector: &HostSelector, bound: Option<&EgressHost>) -> bool {
    match (bound, selector) {
        (None, _) | (Some(_), HostSelector::Exact(_)) => true,
        (Some(bound), HostSelector::Suffix(_) | HostSelector::Any) => bound.any,
    }
}

impl fmt::Debug for Egress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Egress")
            .field("hosts", &self.hosts)
            .field("trusted", &self.trusted)
            .finish_non_exhaustive()
    }
}
