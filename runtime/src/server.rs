//! Builds every stage once, from a checked configuration, and serves.

mod apart;
mod clock;
mod error;
mod forget;
mod front;
mod own;
mod place;
mod reload;
mod state;
mod telemetry;
mod witness;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin;
use crate::audit::{Audit, Event, EventKind, Witness};
use crate::call::{Pseudonyms, Stages};
use crate::catalog::{Catalog, Change, Compiler};
use crate::clock::{SharedClock, SystemClock};
use crate::config::{Config, Isolation};
use crate::consent::{Consents, RequestStates};
use crate::egress::{Egress, Resolve};
use crate::engine::{Pool, WasmEngine};
use crate::follow::{Follower, Parts};
use crate::hardening::Report;
use crate::host::config::Settings;
use crate::host::files::Mounts;
use crate::host::kv::Stores;
use crate::identity::{FetchKeys, Identity};
use crate::limits::DRAIN_RECORDS_WAIT_MAX;
use crate::listen::{self, Inlet, Tls};
use crate::mcp;
use crate::policy::{Rules, Vocabulary};
use crate::problem::{Problem, caused};
use crate::sandbox::executor::Maker;
use crate::sandbox::{Sandbox, Services};
use crate::store::kv::SharedKeyValues;
use crate::store::{SharedStore, SqliteBudgets};
use crate::telemetry::log::LogControl;
use crate::throttle::{Calls, SharedLimits};
use crate::web::{self, WebParts, WebState};

use clock::Watch;
pub use error::StartError;
use forget::Forgetting;
use own::{KeysOverEgress, shared, trusted_origins};
pub use own::{NoKeys, clients, key_provider, keys_over_egress, resolver, secrets};
use place::Alone;
pub use place::folder;
pub use state::State;

/// What the caller of [`start`] decides, beside the configuration.
#[derive(Default)]
pub struct Options {
    /// The program that compiles packages; our own when none is given.
    pub compiler: Option<PathBuf>,
    /// How names are resolved; by the system's name servers when none is given.
    pub resolver: Option<Arc<dyn Resolve>>,
    /// The time; the machine's when none is given.
    pub clock: Option<SharedClock>,
    /// The file of the configuration, whose limits are followed.
    pub config_file: Option<PathBuf>,
    /// Changes what the log says; without it, the log is not this server's to change.
    pub log: Option<LogControl>,
    /// What makes the processes in which guests run; needed where the configuration says that they run in such.
    pub executors: Option<Maker>,
    /// What the process gave up; nothing when none is given.
    pub hardening: Report,
    /// Routes of the embedded identity provider, and where it listens.
    pub idp: Option<(SocketAddr, Router)>,
    /// What is put before the state by a program that measures the server. No configuration and no command does.
    pub before_state: Option<fn(SharedStore) -> SharedStore>,
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
    witness: Witness,
    forgetting: Arc<Forgetting>,
    /// Held until the log is written to its end.
    _alone: Alone,
}

impl Running {
    /// Deletes at once what it would within the hour: what has expired, and records that are older than they are kept.
    pub async fn forget(&self) {
        self.forgetting.forget().await;
        self.forgetting.prune().await;
    }

    /// Ends in order: no new calls, calls in flight finish, the log is written.
    pub async fn stop(self) {
        self.shutdown.cancel();
        for task in self.serving {
            if let Err(error) = task.await {
                tracing::error!(%error, "a task of the server panicked");
            }
        }
        // Calls whose connections were ended write down that they were.
        self.stages.running.close();
        let ended = tokio::time::timeout(DRAIN_RECORDS_WAIT_MAX, self.stages.running.wait());
        if ended.await.is_err() {
            tracing::error!("calls are still running; the log has no outcome of theirs");
        }
        if let Err(error) = self.stages.limits.settle().await {
            tracing::error!(error = %caused(&error), "what is left of daily budgets could not be written; less of them is there after the next start");
        }
        let meters = Arc::clone(self.audit.meters());
        let ended = tokio::task::spawn_blocking(move || {
            if let Some(tracer) = meters.tracer() {
                tracer.end();
            }
        });
        if let Err(error) = ended.await {
            tracing::error!(%error, "the last traces could not be sent");
        }
        // What was only counted is told before the end.
        if let Err(error) = self.audit.flush().await {
            tracing::error!(error = %caused(&error), "the log could not be written to its end");
        }
        if let Err(error) = self.audit.event(Event::new(EventKind::ServerStopped)).await {
            tracing::error!(error = %caused(&error), "the end could not be recorded");
        }
        self.witness.finish().await;
    }
}

/// Starts everything. When it returns, calls are taken.
pub async fn start(config: Config, options: Options) -> Result<Running, StartError> {
    crate::identity::self_test().map_err(StartError::SelfTest)?;
    outlive_limits_of_files();
    let clock = options.clock.unwrap_or_else(|| Arc::new(SystemClock));
    for dir in [Some(config.tools.dir.as_path()), config.state_file.parent()]
        .into_iter()
        .flatten()
    {
        folder(dir)?;
    }
    let alone = Alone::on(&config.state_file).await?;
    let shutdown = CancellationToken::new();
    let mut serving = Vec::new();
    if let Some((address, router)) = options.idp {
        // Its port is the one after that of the server.
        let listener = listen(address, "server.listen").await?;
        serving.push(spawn_serve(
            listener,
            router,
            Inlet::plain(),
            shutdown.clone(),
        ));
    }
    let tls = config.server.front.tls.clone().map(Tls::open).transpose()?;
    let listener = listen(config.server.listen, "server.listen").await?;
    let address = listener.local_addr().map_err(|source| StartError::Listen {
        address: config.server.listen,
        option: "server.listen",
        source,
    })?;
    let watching = match config.telemetry.listen {
        Some(address) => Some(listen(address, "telemetry.listen").await?),
        None => None,
    };

    let resolver = resolver(options.resolver);
    let state = State::open(&config, Arc::clone(&resolver)).await?;
    let mut store: SharedStore = Arc::clone(&state.store) as SharedStore;
    if let Some(before) = options.before_state {
        store = before(store);
    }
    let watch = Watch::open(clock, &config.state_file, store.as_ref()).await?;
    let believed = Arc::clone(&watch.clock);
    let clock = Arc::clone(&believed) as SharedClock;
    let audit = state.audit_on(&store, Arc::clone(&clock)).await?;
    let limits: SharedLimits = Arc::new(ArcSwap::from_pointee(config.limits.clone()));
    if let Some(file) = options.config_file {
        let follow = reload::follow(file, Arc::clone(&limits), audit.clone(), shutdown.clone())?;
        serving.push(tokio::spawn(follow));
    }
    let budgets = SqliteBudgets::open(&SqliteBudgets::beside(&config.state_file)).await?;
    let calls = Calls::open(config.rates.clone(), Arc::clone(&limits), Arc::new(budgets)).await?;
    let mut started =
        Event::new(EventKind::ServerStarted).fact("version", env!("CARGO_PKG_VERSION"));
    // Before the first call, since it tells those of the server before from those of this one.
    let interrupted = audit.close_interrupted().await?;
    if interrupted > 0 {
        started = started.fact("interrupted", interrupted);
    }
    audit.event(started).await?;
    serving.push(tokio::spawn(watch.follow(audit.clone(), shutdown.clone())));

    let witness = witness::witness(&config, &resolver, &audit).await?;
    serving.extend(witness.start(&shutdown));
    let egress = Egress::new(
        config.egress_hosts.clone(),
        trusted_origins(&config),
        Arc::clone(&resolver),
    )?;
    let egress = egress.with_meters(Arc::clone(audit.meters()));
    let egress = Arc::new(egress.with_retry(config.retry));
    let fetch: Arc<dyn FetchKeys> = Arc::new(KeysOverEgress(Arc::clone(&egress)));
    own::tell_collector(&config, Arc::clone(&resolver), audit.meters())?;
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
        false => Some(Arc::new(state.key_values(&config).await?)),
    };
    let seals = state.seals(&audit);
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
            secrets: secrets(&config, Arc::clone(&resolver), &clock)?,
        },
    );
    let apart = config.isolation == Isolation::Process;
    let executors = match apart {
        true => Some(apart::executors(options.executors, config.hardening).await?),
        false => None,
    };
    let sandbox = sandbox.with_executors(executors.clone());
    let sandbox = sandbox.with_limits(Arc::clone(&limits));

    let program = match options.compiler {
        Some(program) => program,
        None => std::env::current_exe().map_err(StartError::Program)?,
    };
    let compiler = Compiler::new(program).with_mirrors(apart);
    let (changes, changed) = mpsc::unbounded_channel();
    let tell = move |all: &[Change]| {
        // The receiver ends with the server; nobody is left to tell then.
        let _ = changes.send(all.to_vec());
    };
    let catalog = Arc::new(Catalog::open(config.tools.clone(), engine, compiler, tell).await?);
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
    let forgetting = Arc::new(Forgetting {
        store: Arc::clone(&store),
        audit: audit.clone(),
        values,
        seals: seals.clone(),
        keep: config.audit.keep,
        clock: Arc::clone(&clock),
    });
    serving.extend(forgetting.start(&shutdown));
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
        shared: shared(&config),
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
        seals,
        limits: calls,
        pseudonyms: Pseudonyms::new(Arc::clone(&store)),
        audit: audit.clone(),
        clock: Arc::clone(&clock),
        public_url: config.server.public_url.clone(),
        call_timeout: config.server.call_timeout,
        call_bounds: config.server.call_bounds,
        anonymous_discovery: config.anonymous_discovery,
        changed: epochs,
        running: TaskTracker::new(),
    });
    let standing: Arc<dyn Fn() -> admin::Standing + Send + Sync> = Arc::new({
        let (known, log, copies) = (Arc::clone(&identity), audit.clone(), witness.clone());
        let (tls, clock, shutdown) = (tls.clone(), Arc::clone(&clock), shutdown.clone());
        let executors = executors.clone();
        move || admin::Standing {
            keys: known.ready(),
            log: log.healthy(),
            rules: in_force.load(Ordering::Acquire),
            witness: copies.is_well(),
            certificate: tls.as_ref().is_none_or(|tls| tls.ready(clock.now())),
            executors: executors.as_ref().is_none_or(|all| all.are_made()),
            open: !shutdown.is_cancelled(),
            clock: believed.doubt().is_none(),
            problems: problems.load_full(),
        }
    });
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
        dpop: identity.dpop(),
        client_certificates: (config.server.front.tls.as_ref())
            .is_some_and(|tls| tls.clients.is_some()),
        ready: Arc::new({
            let standing = Arc::clone(&standing);
            move || standing().reasons().is_empty()
        }),
        clock,
        sessions: config.server.sessions,
        meters: Arc::clone(audit.meters()),
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
        standing: Arc::clone(&standing),
        log: options.log,
    });
    let router = mcp::router(line, settings)
        .merge(web::router(pages))
        .merge(administrators);
    if let Some(tls) = tls.clone() {
        let clock = Arc::clone(&stages.clock);
        serving.push(front::follow_certificate(tls, clock, shutdown.clone()));
    }
    let inlet = Inlet::new(&config.server.front, tls);
    let router = mcp::guarded(router, mcp::Front::new(limits, audit.clone()));
    let router = telemetry::counted(router, &stages);
    serving.push(spawn_serve(listener, router, inlet, shutdown.clone()));
    if let Some(listener) = watching {
        let watched = telemetry::router(telemetry::Watched {
            stages: Arc::clone(&stages),
            standing,
            sessions: config.server.sessions,
            hardening: options.hardening,
        });
        let inlet = Inlet::plain();
        serving.push(spawn_serve(listener, watched, inlet, shutdown.clone()));
    }
    Ok(Running {
        address,
        stages,
        store,
        shutdown,
        serving,
        audit,
        witness,
        forgetting,
        _alone: alone,
    })
}

/// Lets a write beyond a limit on the size of files be an error, as on a full disk, and not the end of the process.
fn outlive_limits_of_files() {
    use tokio::signal::unix::{SignalKind, signal};
    // What was heard once is never again left to end us, also when nobody listens any more.
    let exceeded = rustix::process::Signal::XFSZ.as_raw();
    if let Err(error) = signal(SignalKind::from_raw(exceeded)) {
        tracing::warn!(%error, "a limit on the size of files would end the server");
    }
}

fn spawn_serve(
    listener: TcpListener,
    router: Router,
    inlet: Inlet,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        listen::serve(listener, router, inlet, shutdown).await;
    })
}

/// Takes the address that this option of the configuration names.
async fn listen(address: SocketAddr, option: &'static str) -> Result<TcpListener, StartError> {
    let listener = TcpListener::bind(address).await;
    listener.map_err(|source| StartError::Listen {
        address,
        option,
        source,
    })
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

/// Whether the server still runs after it.
async fn pause(span: Duration, shutdown: &CancellationToken) -> bool {
    tokio::select! {
        () = tokio::time::sleep(span) => true,
        () = shutdown.cancelled() => false,
    }
}
