//! Builds every stage once, from a checked configuration, and serves.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::admin;
use crate::audit::{Audit, AuditError, Event, EventKind};
use crate::call::Stages;
use crate::catalog::{Catalog, CatalogError, Change, Compiler};
use crate::clients::Clients;
use crate::clock::{SharedClock, SystemClock};
use crate::config::{Config, KeySource};
use crate::consent::{Consents, ReceiptError, RequestStates};
use crate::egress::{DnsResolver, Egress, EgressSetupError, NoNames, Resolve};
use crate::engine::{EngineError, Pool, WasmEngine};
use crate::follow::{FollowError, Follower, Parts};
use crate::host::config::Settings;
use crate::host::files::{MountError, Mounts};
use crate::host::kv::Stores;
use crate::identity::{FetchError, FetchKeys, Identity, IssuerError};
use crate::limits::{JWKS_BYTES_MAX, JWKS_FETCH_MAX};
use crate::mcp;
use crate::policy::{Rules, Vocabulary};
use crate::problem::Problem;
use crate::rate::Rates;
use crate::sandbox::{Sandbox, Services};
use crate::store::kv::SharedKeyValues;
use crate::store::{SharedStore, SqliteKeyValues, SqliteStore, StoreError};
use crate::web::{self, WebParts, WebState};

/// How often what has expired is forgotten.
const PRUNE_EVERY: Duration = Duration::from_secs(300);

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A folder cannot be made.
    #[error("the folder `{}` cannot be made", dir.display())]
    Folder {
        dir: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}; choose another port with `server.listen`")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    /// The cryptographic library does not work as it must.
    #[error("the self-test of token verification failed")]
    SelfTest(#[source] crate::identity::SelfTestError),
    /// State cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key of receipts cannot be used.
    #[error(transparent)]
    Receipts(#[from] ReceiptError),
    /// The audit log cannot be written.
    #[error("the audit log cannot be written, and without it nothing runs")]
    Audit(#[from] AuditError),
    /// An issuer cannot be used.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// The engine cannot start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The tools folder cannot be followed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A mount cannot be used.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// What is looked for in calls cannot be.
    #[error(transparent)]
    Data(#[from] crate::protect::RuleError),
    /// The way out cannot be built.
    #[error(transparent)]
    Egress(#[from] EgressSetupError),
    /// Certificates of authorities cannot be read.
    #[error("the certificates in `{}` cannot be read; write them in PEM", file.display())]
    Authorities {
        file: PathBuf,
        #[source]
        source: pem::Error,
    },
    /// The rules cannot be read or followed.
    #[error(transparent)]
    Rules(#[from] FollowError),
    /// Our own program cannot be found, which compiles packages.
    #[error("our own program cannot be found")]
    Program(#[source] std::io::Error),
}

/// What the caller of [`start`] decides, beside the configuration.
#[derive(Default)]
pub struct Options {
    /// The program that compiles packages; our own when none is given.
    pub compiler: Option<PathBuf>,
    /// How names are resolved; by the system's name servers when none is given.
    pub resolver: Option<Arc<dyn Resolve>>,
    /// The time; the machine's when none is given.
    pub clock: Option<SharedClock>,
    /// Routes of the embedded identity provider, and where it listens.
    pub idp: Option<(SocketAddr, Router)>,
}

/// A server that runs.
pub struct Running {
    /// The address that is listened on.
    pub address: SocketAddr,
    /// Everything that is served, for commands that share the process.
    pub stages: Arc<Stages>,
    /// The state.
    pub store: SharedStore,
    shutdown: CancellationToken,
    serving: Vec<JoinHandle<()>>,
    audit: Audit,
}

impl Running {
    /// Ends in order: no new calls, calls in flight finish, the log is written.
    pub async fn stop(self) {
        self.shutdown.cancel();
        for task in self.serving {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the server panicked");
            }
        }
        // What was only counted is told before the end.
        if let Err(error) = self.audit.flush().await {
            tracing::error!(%error, "the log could not be written to its end");
        }
        if let Err(error) = self.audit.event(Event::new(EventKind::ServerStopped)).await {
            tracing::error!(%error, "the end could not be recorded");
        }
    }
}

/// Starts everything. When it returns, calls are taken.
pub async fn start(config: Config, options: Options) -> Result<Running, StartError> {
    crate::identity::self_test().map_err(StartError::SelfTest)?;
    let clock = options.clock.unwrap_or_else(|| Arc::new(SystemClock));
    for dir in [Some(config.tools.dir.as_path()), config.state_file.parent()]
        .into_iter()
        .flatten()
    {
        folder(dir)?;
    }
    let shutdown = CancellationToken::new();
    let mut serving = Vec::new();
    if let Some((address, router)) = options.idp {
        let listener = listen(address).await?;
        serving.push(spawn_serve(listener, router, shutdown.clone()));
    }
    let listener = listen(config.server.listen).await?;
    let address = listener.local_addr().map_err(|source| StartError::Listen {
        address: config.server.listen,
        source,
    })?;

    let store: SharedStore = Arc::new(SqliteStore::open(&config.state_file).await?);
    let audit = Audit::start(Arc::clone(&store), Arc::clone(&clock)).await?;
    audit
        .event(Event::new(EventKind::ServerStarted).fact("version", env!("CARGO_PKG_VERSION")))
        .await?;

    let resolver = resolver(options.resolver);
    let egress = Arc::new(Egress::new(
        config.egress_hosts.clone(),
        trusted_origins(&config),
        Arc::clone(&resolver),
    )?);
    let fetch: Arc<dyn FetchKeys> = Arc::new(KeysOverEgress(Arc::clone(&egress)));
    let identity = Arc::new(Identity::new(config.issuers.clone(), Arc::clone(&fetch))?);
    for error in identity.load(clock.now()).await {
        tracing::error!(%error, "the keys of an issuer could not be read; its tokens are refused until they can");
    }

    let engine = Arc::new(WasmEngine::new(Pool {
        calls_in_flight_max: config.server.calls_in_flight_max,
        ..Pool::default()
    })?);
    let mounts = Mounts::new(&config.mounts, config.issuers.len())?;
    let safeguard = config.data.safeguard()?;
    // Without a store there is no file for them.
    let values: Option<SharedKeyValues> = match config.kv_stores.is_empty() {
        true => None,
        false => {
            let file = SqliteKeyValues::beside(&config.state_file);
            Some(Arc::new(SqliteKeyValues::open(&file).await?))
        }
    };
    let stores = values
        .as_ref()
        .map(|values| Stores::new(&config.kv_stores, values));
    let sandbox = Sandbox::new(
        Arc::clone(&engine),
        Services {
            http: Arc::new(Arc::clone(&egress)),
            mounts,
            safeguard: safeguard.clone(),
            stores: stores.unwrap_or_default(),
            settings: Settings::new(config.tools.config.clone()),
        },
    );

    let program = match options.compiler {
        Some(program) => program,
        None => std::env::current_exe().map_err(StartError::Program)?,
    };
    let (changes, changed) = mpsc::unbounded_channel();
    let tell = move |all: &[Change]| {
        // The receiver ends with the server; nobody is left to tell then.
        let _ = changes.send(all.to_vec());
    };
    let catalog =
        Arc::new(Catalog::open(config.tools.clone(), engine, Compiler::new(program), tell).await?);
    let rules = Arc::new(ArcSwap::from_pointee(Rules::none()));
    let in_force = Arc::new(AtomicBool::new(false));
    let problems = Arc::new(ArcSwap::<Vec<Problem>>::default());
    let (epoch, epochs) = watch::channel(0);
    let follower = Follower::open(
        config.policy_dir.clone(),
        Parts {
            catalog: Arc::clone(&catalog),
            rules: Arc::clone(&rules),
            vocabulary: vocabulary(&config),
            in_force: Arc::clone(&in_force),
            problems: Arc::clone(&problems),
            audit: audit.clone(),
            epoch,
        },
    )
    .await?;
    serving.push(tokio::spawn(follower.follow(changed, shutdown.clone())));
    serving.push(tokio::spawn(prune(
        Arc::clone(&store),
        values,
        Arc::clone(&clock),
        shutdown.clone(),
    )));

    let known = Arc::new(clients(&config, resolver)?);
    let consents = Consents::open(Arc::clone(&store), audit.clone())
        .await?
        .with_clients(known);
    let follow = consents
        .clone()
        .follow(Arc::clone(&clock), shutdown.clone());
    serving.push(tokio::spawn(follow));
    let follow = consents.clone().follow_publishers(
        Arc::clone(&catalog),
        Arc::clone(&clock),
        shutdown.clone(),
    );
    serving.push(tokio::spawn(follow));
    let pages = WebState::open(WebParts {
        store: Arc::clone(&store),
        audit: audit.clone(),
        consents: consents.clone(),
        identity: Arc::clone(&identity),
        sign_in: config.sign_in.clone(),
        fetch,
        exchange: Arc::clone(&egress) as Arc<dyn web::Exchange>,
        clock: Arc::clone(&clock),
        public_url: config.server.public_url.clone(),
    })
    .await?;
    let stages = Arc::new(Stages {
        identity: Arc::clone(&identity),
        catalog,
        rules,
        consents,
        states: RequestStates::open_key(Arc::clone(&store)).await?,
        sandbox,
        safeguard,
        rates: Rates::new(config.rates.clone()),
        audit: audit.clone(),
        clock: Arc::clone(&clock),
        public_url: config.server.public_url.clone(),
        call_timeout: config.server.call_timeout,
        anonymous_discovery: config.anonymous_discovery,
        changed: epochs,
    });
    let (known, log, force) = (Arc::clone(&identity), audit.clone(), Arc::clone(&in_force));
    let standing = move || admin::Standing {
        keys: known.ready(),
        log: log.healthy(),
        rules: force.load(Ordering::Acquire),
        problems: problems.load_full(),
    };
    let (known, log) = (Arc::clone(&identity), audit.clone());
    let settings = mcp::Settings {
        public_url: config.server.public_url.clone(),
        listen: address,
        allowed_origins: config.server.allowed_origins.clone(),
        authorization_servers: config
            .issuers
            .iter()
            .map(|issuer| issuer.issuer.to_string())
            .collect(),
        scopes: identity
            .required_scopes()
            .into_iter()
            .map(str::to_owned)
            .collect(),
        ready: Arc::new(move || known.ready() && log.healthy() && in_force.load(Ordering::Acquire)),
        clock,
        sessions: config.server.sessions,
        shutdown: shutdown.clone(),
    };
    let line = Arc::clone(&stages) as Arc<dyn mcp::Line>;
    let administrators = admin::router(admin::AdminParts {
        door: mcp::Door::new(Arc::clone(&line), &settings, &config.admin_scope),
        rules: Arc::clone(&stages.rules),
        catalog: Arc::clone(&stages.catalog),
        tags: config.tools.tags.clone(),
        consents: stages.consents.clone(),
        audit: audit.clone(),
        clock: Arc::clone(&stages.clock),
        standing: Arc::new(standing),
    });
    let router = mcp::router(line, settings)
        .merge(web::router(pages))
        .merge(administrators);
    serving.push(spawn_serve(listener, router, shutdown.clone()));
    Ok(Running {
        address,
        stages,
        store,
        shutdown,
        serving,
        audit,
    })
}

fn spawn_serve(
    listener: TcpListener,
    router: Router,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(error) = mcp::serve(listener, router, shutdown).await {
            tracing::error!(%error, "a listener ended");
        }
    })
}

async fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address, source })
}

/// Makes a folder that only we can read, if there is none.
pub fn folder(dir: &Path) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt;
    if dir.as_os_str().is_empty() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .map_err(|source| StartError::Folder {
            dir: dir.to_owned(),
            source,
        })
}

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
fn trusted_origins(config: &Config) -> Vec<url::Origin> {
    let urls = config.issuers.iter().flat_map(|issuer| {
        let keys = match &issuer.keys {
            KeySource::Url(url) => Some(url.clone()),
            KeySource::File(_) | KeySource::Discovery => None,
        };
        [keys, issuer.issuer.as_str().parse::<Url>().ok()]
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

/// The words of the configuration that rules may use.
pub fn vocabulary(config: &Config) -> Vocabulary {
    Vocabulary::new(
        &config.issuers,
        &config.tools.tags,
        config.anonymous_discovery,
    )
    .with_rates(config.rates.keys())
    .with_data(config.data.names())
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

/// Certificates in PEM, at least one.
fn authorities(file: &Path) -> Result<Vec<CertificateDer<'static>>, StartError> {
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

/// Reads no keys: for commands that only look at the configuration.
pub struct NoKeys;

impl FetchKeys for NoKeys {
    fn get<'a>(&'a self, _url: &'a Url) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        Box::pin(std::future::ready(Err(FetchError::new(
            "no keys are read by this command",
        ))))
    }
}

struct KeysOverEgress(Arc<Egress>);

impl FetchKeys for KeysOverEgress {
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        Box::pin(async move {
            self.0
                .fetch(url, JWKS_BYTES_MAX, JWKS_FETCH_MAX)
                .await
                .map_err(FetchError::new)
        })
    }
}

async fn prune(
    store: SharedStore,
    values: Option<SharedKeyValues>,
    clock: SharedClock,
    shutdown: CancellationToken,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(PRUNE_EVERY) => {}
            () = shutdown.cancelled() => return,
        }
        if let Err(error) = store.prune(clock.now()).await {
            tracing::warn!(%error, "what has expired could not be forgotten");
        }
        if let Some(values) = &values
            && let Err(error) = values.prune(clock.now()).await
        {
            tracing::warn!(%error, "values that have ended could not be forgotten");
        }
    }
}
