//! TOML to a checked [`Config`]: every problem at once, each with its line.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;
use url::{Host, Url};

use super::audit::{self, RawAudit};
use super::clients::{self, RawClient, RawClientMetadata};
use super::data::{self, RawData};
use super::egress::{self, RawEgress};
use super::front::{self, ProxyHeaders, RawConnections, RawFront, RawTls};
use super::issuer::{self, RawIssuer};
use super::kv::{self, RawKv};
use super::limit::{self, RawLimit, RawLimits};
use super::mounts::{self, RawMount};
use super::rates::{self, RawRate};
use super::seal::{self, RawSeal};
use super::secrets::{self, RawSecret};
use super::settings::{self, RawSettings};
use super::telemetry::{self, RawLog, RawTelemetry};
use super::{CallBounds, Config, Hardening, Isolation, IssuerConfig, Server, SignIn, Tools};
use crate::ids::{Issuer, ToolName};
use crate::limits;
use crate::problem::{Problem, line_at};

/// The scope for `/admin` when the configuration names none.
const ADMIN_SCOPE: &str = "admin";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    hardening: Hardening,
    #[serde(default)]
    isolation: Isolation,
    server: RawServer,
    #[serde(default)]
    issuer: Vec<RawIssuer>,
    sign_in: Option<RawSignIn>,
    tools: RawTools,
    policy: Option<RawPolicy>,
    #[serde(default)]
    discovery: RawDiscovery,
    #[serde(default)]
    admin: RawAdmin,
    state: RawState,
    #[serde(default)]
    mount: Vec<RawMount>,
    #[serde(default)]
    egress: RawEgress,
    #[serde(default)]
    kv: Vec<RawKv>,
    #[serde(default)]
    secret: Vec<RawSecret>,
    #[serde(default)]
    rate: BTreeMap<Spanned<String>, RawRate>,
    #[serde(default)]
    data: RawData,
    #[serde(default)]
    client: Vec<RawClient>,
    #[serde(default)]
    client_metadata: RawClientMetadata,
    seal: Option<Spanned<RawSeal>>,
    #[serde(default)]
    limits: RawLimits,
    #[serde(default)]
    limit: Vec<RawLimit>,
    #[serde(default)]
    telemetry: RawTelemetry,
    #[serde(default)]
    log: RawLog,
    #[serde(default)]
    audit: RawAudit,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawServer {
    listen: Spanned<SocketAddr>,
    public_url: Spanned<Url>,
    #[serde(default)]
    allowed_origins: Vec<String>,
    calls_in_flight_max: Option<Spanned<u32>>,
    call_timeout_ms: Option<Spanned<u64>>,
    #[serde(default)]
    sessions: bool,
    call_depth_max: Option<Spanned<usize>>,
    call_tree_max: Option<Spanned<u32>>,
    tls: Option<Spanned<RawTls>>,
    #[serde(default)]
    trusted_proxies: Vec<Spanned<IpNet>>,
    proxy_headers: Option<ProxyHeaders>,
    #[serde(default)]
    connections: RawConnections,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSignIn {
    issuer: Spanned<String>,
    client_id: String,
    client_secret_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTools {
    dir: PathBuf,
    cache_dir: Option<PathBuf>,
    #[serde(default)]
    prefix: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    tags: BTreeMap<ToolName, BTreeSet<String>>,
    #[serde(default)]
    config: RawSettings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    dir: PathBuf,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawDiscovery {
    #[serde(default)]
    anonymous: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawAdmin {
    scope: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawState {
    url: Spanned<String>,
}

/// Collects what is wrong while the rest is still checked.
pub(super) struct Checker<'a> {
    file: String,
    text: &'a str,
    base: &'a Path,
    problems: Vec<Problem>,
}

impl Checker<'_> {
    pub(super) fn wrong<T>(&mut self, at: &Spanned<T>, message: impl Into<String>, help: &str) {
        self.problems.push(Problem {
            file: self.file.clone(),
            line: Some(line_at(self.text, at.span().start)),
            message: message.into(),
            help: Some(help.to_owned()),
        });
    }

    pub(super) fn name<T>(&mut self, raw: &Spanned<String>, help: &str) -> Option<T>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        raw.get_ref()
            .parse()
            .map_err(|error: T::Err| self.wrong(raw, error.to_string(), help))
            .ok()
    }

    pub(super) fn path(&self, path: &Path) -> PathBuf {
        self.base.join(path)
    }
}

/// Parses and checks a configuration. Relative paths start at `base`.
pub(super) fn parse(file: &str, text: &str, base: &Path) -> Result<Config, Vec<Problem>> {
    let raw: File = toml::from_str(text).map_err(|error| {
        vec![Problem {
            file: file.to_owned(),
            line: error.span().map(|span| line_at(text, span.start)),
            message: error.message().to_owned(),
            help: None,
        }]
    })?;
    let mut check = Checker {
        file: file.to_owned(),
        text,
        base,
        problems: Vec::new(),
    };
    let mut server = server(&mut check, &raw.server);
    if let (Isolation::Process, Some(server)) = (raw.isolation, &mut server) {
        // A call has a process, so there are no more places than processes, and shares are shares of those.
        let most = u32::try_from(limits::EXECUTORS_MAX).unwrap_or(u32::MAX);
        server.calls_in_flight_max = server.calls_in_flight_max.min(most);
    }
    let audience = server.as_ref().map(Server::resource);
    let issuers: Vec<_> = raw
        .issuer
        .iter()
        .filter_map(|raw| issuer::issuer(&mut check, raw, audience.as_deref()))
        .collect();
    for (at, raw) in raw.issuer.iter().enumerate() {
        if issuers
            .iter()
            .filter(|known| known.issuer.as_str() == raw.issuer.get_ref())
            .count()
            > 1
            && at > 0
        {
            check.wrong(
                &raw.issuer,
                "this issuer is configured twice",
                "keep one `[[issuer]]` for it",
            );
        }
    }
    let admin_scope = admin_scope(&mut check, raw.admin.scope.as_ref());
    issuer::check_admin(&mut check, &raw.issuer, &issuers, &admin_scope);
    issuer::check_types(&mut check, &raw.issuer);
    issuer::check_introspection(&mut check, &raw.issuer);
    let sign_in = raw
        .sign_in
        .as_ref()
        .and_then(|raw| sign_in(&mut check, raw, &issuers));
    let mounts = raw
        .mount
        .iter()
        .filter_map(|raw| mounts::mount(&mut check, raw))
        .collect();
    let egress_hosts = egress::hosts(&mut check, &raw.egress);
    let retry = egress::retry(&mut check, &raw.egress);
    let kv_stores = kv::stores(&mut check, &raw.kv);
    let secrets = secrets::secrets(&mut check, &raw.secret, &egress_hosts);
    let rates = rates::rates(&mut check, &raw.rate);
    let places = server.as_ref();
    let places = places.map_or(limits::CALLS_IN_FLIGHT_MAX, |one| one.calls_in_flight_max);
    let limits = limit::limits(&mut check, &raw.limits, &raw.limit, &rates, places);
    let data = data::data(&mut check, &raw.data);
    let named = clients::named(&mut check, &raw.client);
    let client_metadata = clients::metadata(&mut check, &raw.client_metadata, &egress_hosts);
    let seal = raw
        .seal
        .as_ref()
        .and_then(|raw| seal::seal(&mut check, raw, &egress_hosts));
    let telemetry = telemetry::telemetry(&mut check, &raw.telemetry, &egress_hosts);
    let audit = audit::audit(&mut check, &raw.audit, &egress_hosts);
    let state_file = state(&mut check, &raw.state.url);
    let settings = settings::settings(&mut check, &raw.tools.config);
    let tools = Tools {
        dir: check.path(&raw.tools.dir),
        cache_dir: check.path(raw.tools.cache_dir.as_deref().unwrap_or(Path::new("cache"))),
        prefix: raw
            .tools
            .prefix
            .iter()
            .map(|(name, prefix)| (name.clone(), prefix.get_ref().clone()))
            .collect(),
        tags: raw
            .tools
            .tags
            .iter()
            .map(|(name, tags)| (name.to_string(), tags.clone()))
            .collect(),
        config: settings,
    };
    let policy_dir = raw.policy.as_ref().map(|policy| check.path(&policy.dir));
    match (server, state_file) {
        (Some(server), Some(state_file)) if check.problems.is_empty() => Ok(Config {
            server,
            issuers,
            sign_in,
            tools,
            policy_dir,
            anonymous_discovery: raw.discovery.anonymous,
            admin_scope,
            state_file,
            mounts,
            kv_stores,
            secrets,
            egress_hosts,
            retry,
            rates,
            limits,
            data,
            clients: named,
            client_metadata,
            seal,
            hardening: raw.hardening,
            isolation: raw.isolation,
            telemetry,
            log: (&raw.log).into(),
            audit,
        }),
        _ => Err(check.problems),
    }
}

fn server(check: &mut Checker<'_>, raw: &RawServer) -> Option<Server> {
    let front = front::front(
        check,
        &RawFront {
            listen: &raw.listen,
            public_url: &raw.public_url,
            tls: raw.tls.as_ref(),
            trusted_proxies: &raw.trusted_proxies,
            proxy_headers: raw.proxy_headers,
            connections: &raw.connections,
        },
    );
    let url = raw.public_url.get_ref();
    let loopback = match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    };
    if !(url.scheme() == "https" || url.scheme() == "http" && loopback) {
        check.wrong(
            &raw.public_url,
            "the public URL is not https",
            "use https; http is for loopback alone",
        );
    }
    if url.path() != "/"
        || url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
    {
        check.wrong(
            &raw.public_url,
            "the public URL holds more than scheme, host and port",
            "write `https://mcp.example`",
        );
    }
    let calls_in_flight_max = match &raw.calls_in_flight_max {
        Some(most) if !(1..=limits::CALLS_IN_FLIGHT_MAX).contains(most.get_ref()) => {
            let range = format!("choose 1 to {}", limits::CALLS_IN_FLIGHT_MAX);
            check.wrong(most, "calls in flight are out of range", &range);
            return None;
        }
        Some(most) => *most.get_ref(),
        None => limits::CALLS_IN_FLIGHT_MAX,
    };
    let call_timeout = match &raw.call_timeout_ms {
        None => limits::CALL_WALL_DEFAULT,
        Some(raw) => {
            let wanted = Duration::from_millis(*raw.get_ref());
            if wanted.is_zero() || wanted > limits::CALL_WALL_MAX {
                let range = format!("choose 1 to {} ms", limits::CALL_WALL_MAX.as_millis());
                check.wrong(raw, "the longest call is out of range", &range);
            }
            wanted
        }
    };
    Some(Server {
        listen: *raw.listen.get_ref(),
        public_url: url.clone(),
        allowed_origins: raw.allowed_origins.clone(),
        calls_in_flight_max,
        call_timeout,
        sessions: raw.sessions,
        call_bounds: call_bounds(check, raw),
        front,
    })
}

/// Bounds that an operator may lower, and not raise.
fn call_bounds(check: &mut Checker<'_>, raw: &RawServer) -> CallBounds {
    let most = CallBounds::default();
    let depth = raw.call_depth_max.as_ref().map_or(most.depth, |depth| {
        if !(1..=most.depth).contains(depth.get_ref()) {
            let range = format!("choose 1 to {}", most.depth);
            check.wrong(depth, "the depth of calls is out of range", &range);
        }
        (*depth.get_ref()).min(most.depth)
    });
    let tree = raw.call_tree_max.as_ref().map_or(most.tree, |tree| {
        if !(1..=most.tree).contains(tree.get_ref()) {
            let range = format!("choose 1 to {}", most.tree);
            check.wrong(
                tree,
                "the number of calls in a tree is out of range",
                &range,
            );
        }
        (*tree.get_ref()).min(most.tree)
    });
    CallBounds { depth, tree }
}

fn sign_in(check: &mut Checker<'_>, raw: &RawSignIn, issuers: &[IssuerConfig]) -> Option<SignIn> {
    let issuer: Issuer = check.name(&raw.issuer, "name one of the issuers")?;
    if !issuers.iter().any(|known| known.issuer == issuer) {
        check.wrong(
            &raw.issuer,
            "nobody whom this issuer signs in could hold a token",
            "name one of the issuers",
        );
    }
    Some(SignIn {
        issuer,
        client_id: raw.client_id.clone(),
        client_secret_file: raw
            .client_secret_file
            .as_deref()
            .map(|file| check.path(file)),
    })
}

/// RFC 6749 §3.3 `scope-token`.
fn admin_scope(check: &mut Checker<'_>, raw: Option<&Spanned<String>>) -> String {
    let Some(raw) = raw else {
        return ADMIN_SCOPE.to_owned();
    };
    let scope = raw.get_ref();
    let fits = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    if scope.is_empty() || !scope.bytes().all(fits) {
        let help = "write one word of visible ASCII, such as `admin`";
        check.wrong(raw, format!("`{scope}` is no scope"), help);
    }
    scope.clone()
}

fn state(check: &mut Checker<'_>, url: &Spanned<String>) -> Option<PathBuf> {
    match url
        .get_ref()
        .strip_prefix("sqlite://")
        .filter(|path| !path.is_empty())
    {
        Some(path) => Some(check.path(Path::new(path))),
        None => {
            check.wrong(
                url,
                "the state is not in SQLite",
                "write `sqlite://bailiwick.db`",
            );
            None
        }
    }
}
