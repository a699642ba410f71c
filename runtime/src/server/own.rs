//! The ways out that the server has for itself: to keys, to documents of clients, to vaults. Each is a filter of its own.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Response};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use url::Url;

use super::StartError;
use crate::clients::Clients;
use crate::clock::SharedClock;
use crate::config::{Config, KeySource, SealConfig, SecretSource, Share, VaultSource};
use crate::egress::{DnsResolver, Egress, NoNames, Resolve};
use crate::host::secret::Secrets;
use crate::identity::{FetchError, FetchKeys};
use crate::limits::{INTROSPECTION_BYTES_MAX, INTROSPECTION_MAX, JWKS_BYTES_MAX, JWKS_FETCH_MAX};
use crate::seal::{Provider, SealError};
use crate::telemetry::{Meters, Tracer};
use crate::web::{Among, Shared};

/// How names are resolved: as given, or by the system's name servers.
pub fn resolver(given: Option<Arc<dyn Resolve>>) -> Arc<dyn Resolve> {
    given.unwrap_or_else(|| match DnsResolver::from_system() {
        Ok(resolver) => Arc::new(resolver),
        Err(error) => {
            tracing::warn!(%error, "no name servers are configured; tools reach bound hosts alone");
            Arc::new(NoNames)
        }
    })
}

/// Origins on this machine that the operator named for keys. Everything else that we fetch is public https.
pub(super) fn trusted_origins(config: &Config) -> Vec<url::Origin> {
    let urls = config.issuers.iter().flat_map(|issuer| {
        let keys = match &issuer.keys {
            KeySource::Url(url) => Some(url.clone()),
            KeySource::File(_) | KeySource::Discovery => None,
        };
        let asked = issuer.introspection.as_ref().map(|one| one.url.clone());
        [keys, asked, issuer.issuer.as_str().parse::<Url>().ok()]
            .into_iter()
            .flatten()
    });
    let local = |url: &Url| match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(_)) | None => false,
    };
    let mut origins: Vec<_> = urls.filter(local).map(|url| url.origin()).collect();
    origins.sort_by_key(url::Origin::ascii_serialization);
    origins.dedup();
    origins
}

/// The way in which a server with this configuration reads keys.
pub fn keys_over_egress(config: &Config) -> Result<Arc<dyn FetchKeys>, StartError> {
    let egress = Egress::new(
        config.egress_hosts.clone(),
        trusted_origins(config),
        resolver(None),
    )?;
    Ok(Arc::new(KeysOverEgress(Arc::new(egress))))
}

/// What a server with this configuration knows of clients, by documents that it reads where `resolver` says.
pub fn clients(config: &Config, resolver: Arc<dyn Resolve>) -> Result<Clients, StartError> {
    let metadata = &config.client_metadata;
    if !metadata.read {
        return Ok(Clients::new(&config.clients, None));
    }
    // A filter of its own: a client id is text of a stranger, and must not lead to where only keys are read.
    let egress = Egress::new(
        config.egress_hosts.clone(),
        metadata.private_origins.clone(),
        resolver,
    )?;
    let egress = match &metadata.ca_file {
        Some(file) => egress.with_roots(authorities(file)?)?,
        None => egress,
    };
    Ok(Clients::new(&config.clients, Some(Arc::new(egress))))
}

/// The secrets of this configuration, those in vaults as `resolver` finds them.
pub fn secrets(
    config: &Config,
    resolver: Arc<dyn Resolve>,
    clock: &SharedClock,
) -> Result<Secrets, StartError> {
    let vault = |source: &SecretSource| match source {
        SecretSource::Vault(vault) => Some(VaultSource::clone(vault)),
        SecretSource::File(_) | SecretSource::Env(_) => None,
    };
    let vaults = config.secrets.iter().map(|secret| &secret.source);
    let vaults: Vec<VaultSource> = vaults.filter_map(vault).collect();
    if vaults.is_empty() {
        return Ok(Secrets::new(&config.secrets, None, clock));
    }
    // A filter of its own: nobody else is led to where secrets are kept.
    let local = vaults.iter().filter(|vault| vault.local);
    let mut origins: Vec<_> = local.map(|vault| vault.address.origin()).collect();
    origins.sort_by_key(url::Origin::ascii_serialization);
    origins.dedup();
    let mut roots = Vec::new();
    for file in vaults.iter().filter_map(|vault| vault.ca_file.as_deref()) {
        roots.extend(authorities(file)?);
    }
    let egress = Egress::new(config.egress_hosts.clone(), origins, resolver)?;
    let egress = Arc::new(egress.with_roots(roots)?);
    Ok(Secrets::new(&config.secrets, Some(&egress), clock))
}

/// Who holds the keys to encrypt with, a vault as `resolver` finds it.
pub fn key_provider(
    config: &Config,
    seal: &SealConfig,
    resolver: Arc<dyn Resolve>,
) -> Result<Provider, StartError> {
    let egress = match &seal.vault {
        None => None,
        Some(vault) => {
            // A filter of its own: nobody else is led to where keys are held.
            let local = vault.local.then(|| vault.address.origin());
            let origins = local.into_iter().collect();
            let egress = Egress::new(config.egress_hosts.clone(), origins, resolver)?;
            let roots = vault.ca_file.as_deref().map(authorities).transpose()?;
            Some(Arc::new(egress.with_roots(roots.unwrap_or_default())?))
        }
    };
    Provider::new(seal, egress).ok_or(StartError::Seal(SealError::NoKey))
}

/// Lets the collector be told of calls that the configuration names, if it names one.
pub(super) fn tell_collector(
    config: &Config,
    resolver: Arc<dyn Resolve>,
    meters: &Meters,
) -> Result<(), StartError> {
    let Some(otlp) = &config.telemetry.otlp else {
        return Ok(());
    };
    // A filter of its own: nobody else is led to the collector.
    let origins = otlp.local.then(|| otlp.endpoint.origin());
    let origins = origins.into_iter().collect();
    let egress = Egress::new(config.egress_hosts.clone(), origins, resolver)?;
    let roots = otlp.ca_file.as_deref().map(authorities).transpose()?;
    let egress = Arc::new(egress.with_roots(roots.unwrap_or_default())?);
    let tracer = Tracer::to(otlp, egress, meters.exports()).map_err(StartError::Collector)?;
    meters.tell(tracer);
    Ok(())
}

/// Certificates in PEM, at least one.
pub(super) fn authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let failed = |source| StartError::Authorities {
        file: file.to_owned(),
        source,
    };
    let read = CertificateDer::pem_file_iter(file).map_err(failed)?;
    let all = read.collect::<Result<Vec<_>, _>>().map_err(failed)?;
    if all.is_empty() {
        return Err(failed(pem::Error::NoItemsFound));
    }
    Ok(all)
}

/// What is not a user's own, for the pages to say so.
pub(super) fn shared(config: &Config) -> Shared {
    let stores = config.kv_stores.iter().filter(|store| match store.share {
        Share::Tenant => true,
        Share::User => false,
    });
    let mounts = config.mounts.iter().filter_map(|mount| {
        let own = |part: &str| mount.path.contains(part);
        let among = match (own("{sub}"), own("{tenant}")) {
            (true, _) => return None,
            (false, true) => Among::Tenant,
            (false, false) => Among::Everybody,
        };
        Some((mount.name.clone(), among))
    });
    Shared {
        stores: stores.map(|store| store.name.clone()).collect(),
        mounts: mounts.collect(),
    }
}

/// Reads no keys: for commands that only look at the configuration.
pub struct NoKeys;

impl FetchKeys for NoKeys {
    fn get<'a>(&'a self, _url: &'a Url) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        Box::pin(std::future::ready(Err(FetchError::new(
            "no keys are read by this command",
        ))))
    }
}

/// Reads keys by way of the filter.
pub(super) struct KeysOverEgress(pub(super) Arc<Egress>);

impl FetchKeys for KeysOverEgress {
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        Box::pin(async move {
            self.0
                .fetch(url, JWKS_BYTES_MAX, JWKS_FETCH_MAX)
                .await
                .map_err(FetchError::new)
        })
    }

    fn post<'a>(
        &'a self,
        url: &'a Url,
        headers: HeaderMap,
        form: Bytes,
    ) -> BoxFuture<'a, Result<Response<Bytes>, FetchError>> {
        Box::pin(async move {
            self.0
                .send_own(
                    Method::POST,
                    url,
                    headers,
                    form,
                    INTROSPECTION_BYTES_MAX,
                    INTROSPECTION_MAX,
                )
                .await
                .map_err(|error| match error.is_of_answer() {
                    true => FetchError::of_answer(error),
                    false => FetchError::new(error),
                })
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::post;

    use super::*;

    #[tokio::test]
    async fn an_issuer_out_of_reach_is_told_from_one_whose_answer_is_of_no_use() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let url: Url = url.parse().unwrap();
        let egress = Egress::new(Vec::new(), vec![url.origin()], Arc::new(NoNames)).unwrap();
        let keys = KeysOverEgress(Arc::new(egress));
        let ask = |path: &str| {
            let url = url.join(path).unwrap();
            let keys = &keys;
            async move { keys.post(&url, HeaderMap::new(), Bytes::new()).await }
        };
        let large = "x".repeat(INTROSPECTION_BYTES_MAX + 1);
        let router = Router::new()
            .route("/small", post(|| async { "{}" }))
            .route("/large", post(|| async { large }));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        assert_eq!(ask("small").await.unwrap().body().as_ref(), b"{}");
        assert!(!ask("large").await.unwrap_err().is_outage());
        server.abort();
        assert!(server.await.unwrap_err().is_cancelled());
        assert!(ask("small").await.unwrap_err().is_outage());
    }
}
