//! Requests that we make for ourselves: keys, metadata, tokens of a sign-in.
//!
//! They pass the same filter as a guest's. Beside public https only origins that the operator trusted by name are reached, and
//! these must lie on this machine or be bound.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;
use tokio_rustls::rustls::pki_types::ServerName;
use url::{Host, Position, Url};

use super::Egress;
use super::body::Budget;
use super::client::{Bounds, Head, boxed};
use super::connect::Route;
use super::error::{EgressError, EgressSetupError, Reason};
use super::target::{Target, is_special_name};
use crate::limits::HTTP_BYTES_OUT_MAX;
use crate::revocation::Live;

impl Egress {
    /// Reads a document of at most `max_bytes`. Any status but 200 is an error; a redirect is not followed.
    pub async fn fetch(
        &self,
        url: &Url,
        max_bytes: usize,
        timeout: Duration,
    ) -> Result<Bytes, EgressError> {
        let answer = self
            .send_own(
                Method::GET,
                url,
                HeaderMap::new(),
                Bytes::new(),
                max_bytes,
                timeout,
            )
            .await?;
        match answer.status() {
            StatusCode::OK => Ok(answer.into_body()),
            other => Err(EgressError::Status(other.as_u16())),
        }
    }

    /// Sends one request of our own and reads the whole answer, of at most `max_bytes` with its head.
    pub async fn send_own(
        &self,
        method: Method,
        url: &Url,
        headers: HeaderMap,
        body: Bytes,
        max_bytes: usize,
        timeout: Duration,
    ) -> Result<Response<Bytes>, EgressError> {
        let (route, name) = self.own_route(url)?;
        let head = Head {
            method,
            origin_form: url[Position::BeforePath..Position::AfterQuery].to_owned(),
            host: url[Position::BeforeHost..Position::AfterPort].to_owned(),
            headers,
        };
        let bounds = Bounds {
            deadline: super::connect::sooner(Instant::now() + OWN_TIMEOUT_MAX, timeout),
            connect: None,
            first_byte: None,
            between_bytes: None,
            sent: Budget::of(HTTP_BYTES_OUT_MAX),
            received: Budget::of(u64::try_from(max_bytes).unwrap_or(u64::MAX)),
            live: Live::free(),
        };
        let answer = self
            .exchange(&route, name, head, boxed(Full::new(body)), bounds, None)
            .await?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Response::from_parts(parts, body))
    }

    fn own_route(&self, url: &Url) -> Result<(Route, Option<ServerName<'static>>), EgressError> {
        let refused = || Reason::OwnOrigin(url.clone());
        let secure = url.scheme() == "https";
        let name = match secure {
            true => Some(server_name(url).ok_or_else(refused)?),
            false => None,
        };
        let clean =
            url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        if let (true, Some((_, addresses))) = (
            clean,
            self.trusted
                .iter()
                .find(|(origin, _)| *origin == url.origin()),
        ) {
            return Ok((Route::Named(addresses.clone()), name));
        }
        let target = Target::from_url(url.clone())?;
        if !secure || is_special_name(target.host()) {
            return Err(refused().into());
        }
        Ok((Route::Public(target.host().clone(), target.port()), name))
    }

    /// The addresses of an origin that the operator trusts, which must be on this machine or bound.
    pub(super) fn local(&self, origin: &url::Origin) -> Result<Vec<SocketAddr>, EgressSetupError> {
        let refused = || EgressSetupError::NotLocal(origin.ascii_serialization());
        let url::Origin::Tuple(scheme, host, port) = origin else {
            return Err(refused());
        };
        if scheme != "http" && scheme != "https" {
            return Err(refused());
        }
        let addresses: Vec<IpAddr> = match host {
            Host::Ipv4(address) => vec![IpAddr::V4(*address)],
            Host::Ipv6(address) => vec![IpAddr::V6(*address)],
            Host::Domain(name) if name == "localhost" => vec![
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(Ipv6Addr::LOCALHOST),
            ],
            Host::Domain(name) => {
                let name = name.parse().map_err(|_| refused())?;
                let bound = self.hosts.get(&name).ok_or_else(refused)?;
                return Ok(vec![bound.address]);
            }
        };
        if !addresses.iter().all(IpAddr::is_loopback) {
            return Err(refused());
        }
        Ok(addresses
            .into_iter()
            .map(|address| SocketAddr::new(address, *port))
            .collect())
    }
}

/// Longest that a request of our own may take, whatever its caller says.
const OWN_TIMEOUT_MAX: Duration = Duration::from_secs(60);

fn server_name(url: &Url) -> Option<ServerName<'static>> {
    match url.host()? {
        Host::Domain(name) => {
            let name = name.strip_suffix('.').unwrap_or(name);
            ServerName::try_from(name.to_owned()).ok()
        }
        Host::Ipv4(address) => Some(ServerName::from(IpAddr::V4(address))),
        Host::Ipv6(address) => Some(ServerName::from(IpAddr::V6(address))),
    }
}
