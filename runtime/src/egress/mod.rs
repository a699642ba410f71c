//! The one way out: every request of a guest and every fetch of our own passes here.
//!
//! A request is admitted by the capabilities of its call ([`Egress::admit`]), then sent ([`Egress::send`]): its name is resolved
//! once, every address is judged, the connection goes to a judged address and is looked at again, and the request is written
//! from the parts that were judged. Redirects are answers like others, no proxy is asked, nothing is decompressed, and no
//! connection serves two requests. Whatever goes wrong before a connection stands has one error and one time class, so that
//! nobody learns what lies behind us.

mod address;
mod body;
mod client;
mod connect;
mod embedded;
mod error;
mod headers;
mod interfaces;
mod own;
mod resolve;
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
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Body;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};

pub use address::{Special, judge};
pub use body::{Budget, ResponseBody};
pub use client::Bounds;
pub use connect::{Dial, Dialled, Dialling, TcpDial};
pub use error::{EgressError, EgressSetupError, Reason};
pub use headers::is_forbidden;
pub use resolve::{DnsResolver, NoNames, Resolve, ResolveError, Resolving};
pub use target::{Target, is_special_name};

use crate::capability::{HostName, HostSelector, Http};
use crate::config::EgressHost;
use body::BoxError;
use client::{Head, boxed};
use connect::{Connector, Route, sooner};

/// Longest wait for a connection: resolving, and every address that is tried.
const CONNECT_MAX: Duration = Duration::from_secs(3);
/// Every refusal comes at a multiple of this: what is denied by a rule, by the resolver or by a closed port looks the same.
const REFUSAL_STEP: Duration = Duration::from_millis(100);

/// The filter between us and every other host.
pub struct Egress {
    hosts: BTreeMap<HostName, EgressHost>,
    trusted: Vec<(url::Origin, Vec<SocketAddr>)>,
    connector: Connector,
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
}

impl Admitted {
    /// The host that was granted.
    pub fn host(&self) -> &HostName {
        self.target.host()
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
        })
    }

    /// Sends an admitted request. The body of the answer is streamed and stays under the same bounds.
    pub async fn send<B>(
        &self,
        admitted: Admitted,
        headers: HeaderMap,
        body: B,
        bounds: Bounds,
    ) -> Result<Response<ResponseBody>, EgressError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (began, deadline) = (Instant::now(), bounds.deadline);
        let Admitted {
            target,
            method,
            route,
        } = admitted;
        let sent = async {
            let name = match target.is_secure() {
                true => Some(
                    ServerName::try_from(target.host().as_str().to_owned())
                        .map_err(|_| Reason::Url("its host has no certificate name"))?,
                ),
                false => None,
            };
            let head = Head {
                method,
                origin_form: target.origin_form().to_owned(),
                host: target.host_field(),
                headers,
            };
            self.exchange(&route, name, head, boxed(body), bounds).await
        }
        .await;
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

    async fn exchange(
        &self,
        route: &Route,
        name: Option<ServerName<'static>>,
        head: Head,
        body: UnsyncBoxBody<Bytes, BoxError>,
        bounds: Bounds,
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
        client::exchange(stream, head, body, bounds).await
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
