//! One checked, immutable configuration.
//!
//! Parsed once from TOML; an unknown key is refused and nothing defaults to a grant.

mod audit;
mod clients;
mod data;
mod egress;
mod front;
mod introspection;
mod issuer;
mod kv;
mod limit;
mod mounts;
mod parse;
mod proof;
mod rates;
mod scopes;
mod seal;
mod secrets;
mod settings;
mod shares;
mod telemetry;
#[cfg(test)]
mod testing;
mod vault;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use crate::ids::{ConfigKey, Issuer, MountName, Tenant, ToolName};
use crate::limits::{CALL_DEPTH_MAX, CALL_TREE_MAX, FILES_BYTES_MAX, FILES_COUNT_MAX};
use crate::problem::Problem;

pub use audit::{AuditConfig, AuditCopy, SyslogAddress};
pub use clients::{ClientMetadata, NamedClient};
pub use data::DataConfig;
pub use egress::{EgressHost, Retry};
pub use front::{ClientCertificates, ConnectionBounds, Front, ProxyHeaders, TlsConfig};
pub use introspection::{About, ClientKey, ClientProof, ClientSecret, IntrospectionConfig};
pub use kv::{KvStore, Share};
pub use limit::{Limit, Limits, Measure, Per};
pub use proof::{Dpop, ProofConfig};
pub use rates::RateClass;
pub use scopes::ScopeMap;
pub use seal::{SealConfig, TransitSource};
pub use secrets::{AwsScope, SecretBinding, SecretSource, VaultSource};
pub use telemetry::{LogConfig, LogFormat, LogLevel, Otlp, Telemetry};
pub use vault::VaultToken;

/// A configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration `{}` cannot be read; `bailiwick serve --dev` needs none", file.display())]
    Read {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The file says something that we cannot do.
    #[error("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Invalid { problems: Vec<Problem> },
}

/// Everything that an operator decides, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where we listen and how we are called.
    pub server: Server,
    /// Whose tokens we accept; none means that nobody can call.
    pub issuers: Vec<IssuerConfig>,
    /// How a browser signs in for the consent page; none means that nobody can consent.
    pub sign_in: Option<SignIn>,
    /// Where packages lie.
    pub tools: Tools,
    /// Folder of the Cedar rules; none means that nothing is allowed.
    pub policy_dir: Option<PathBuf>,
    /// Whether whoever has no token may list the tools that rules open to everybody. Nobody without a token calls one.
    pub anonymous_discovery: bool,
    /// The scope that a token needs for `/admin`, beside those of its issuer and a rule.
    pub admin_scope: String,
    /// Where state is kept: the file of the SQLite database.
    pub state_file: PathBuf,
    /// Directories that tools may ask for by name.
    pub mounts: Vec<Mount>,
    /// Stores of keys and values that tools may ask for by name.
    pub kv_stores: Vec<KvStore>,
    /// Secrets that tools may have attached by name.
    pub secrets: Vec<SecretBinding>,
    /// Private hosts that tools may reach by name.
    pub egress_hosts: Vec<EgressHost>,
    /// When requests of tools are made again.
    pub retry: Retry,
    /// The classes of rate limits that rules name.
    pub rates: BTreeMap<String, RateClass>,
    /// How often, how many at once and how much a day everybody may.
    pub limits: Limits,
    /// Which data is looked for in calls, and what becomes of it.
    pub data: DataConfig,
    /// Clients that the operator vouches for by name.
    pub clients: Vec<NamedClient>,
    /// How metadata documents of clients are read.
    pub client_metadata: ClientMetadata,
    /// How values are encrypted; none means that nothing is.
    pub seal: Option<SealConfig>,
    /// Whether the server lets go of what it does not need.
    pub hardening: Hardening,
    /// Where guests run.
    pub isolation: Isolation,
    /// Where the server tells of itself.
    pub telemetry: Telemetry,
    /// How its log looks.
    pub log: LogConfig,
    /// What becomes of the audit log.
    pub audit: AuditConfig,
}

/// Where guests run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// In the process that serves, each call in a sandbox of its own.
    #[default]
    InProcess,
    /// The same, in processes that have nothing but that sandbox, each for one tenant and one package.
    Process,
}

/// Whether the server lets go of what it does not need before it serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hardening {
    /// It does not.
    Off,
    /// As far as the kernel has what it takes; what it has not is told.
    #[default]
    Prefer,
    /// Of all of it, or it does not start.
    Require,
}

impl Config {
    /// Reads and checks a file; relative paths start at its folder.
    pub fn read(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|source| ConfigError::Read {
            file: file.to_owned(),
            source,
        })?;
        let base = file.parent().unwrap_or(Path::new("."));
        Self::parse(&file.display().to_string(), &text, base)
    }

    /// Checks a configuration that was read elsewhere; relative paths start at `base`.
    pub fn parse(file: &str, text: &str, base: &Path) -> Result<Self, ConfigError> {
        parse::parse(file, text, base).map_err(|problems| ConfigError::Invalid { problems })
    }
}

impl Server {
    /// Our canonical resource URI (RFC 8707 §2): the audience of tokens for us.
    pub fn resource(&self) -> String {
        self.url("/mcp")
    }

    /// The public URL of one of our paths.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.public_url.as_str().trim_end_matches('/'))
    }
}

/// Where we listen and how we are called.
#[derive(Debug, Clone)]
pub struct Server {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The URL under which clients and browsers reach us, without a trailing slash.
    pub public_url: Url,
    /// Origins other than our own from which browsers may call `/mcp`.
    pub allowed_origins: Vec<String>,
    /// Calls in flight at once.
    pub calls_in_flight_max: u32,
    /// Longest call when a manifest says nothing.
    pub call_timeout: Duration,
    /// Whether older clients get sessions, in which they can be asked for consent.
    pub sessions: bool,
    /// How far calls of tools by tools go.
    pub call_bounds: CallBounds,
    /// How connections come in.
    pub front: Front,
}

/// How far calls of tools by tools go. An operator lowers it and never raises it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CallBounds {
    /// Calls within each other, the first one counted; with 1 no tool calls another.
    pub depth: usize,
    /// Calls that the tools of one tree make.
    pub tree: u32,
}

impl Default for CallBounds {
    fn default() -> Self {
        Self {
            depth: CALL_DEPTH_MAX,
            tree: CALL_TREE_MAX,
        }
    }
}

/// One issuer of access tokens.
#[derive(Debug, Clone)]
pub struct IssuerConfig {
    /// `iss`, byte by byte.
    pub issuer: Issuer,
    /// Where its keys come from.
    pub keys: KeySource,
    /// Accepted `aud` values; never empty.
    pub audience: Vec<String>,
    /// Whether a token may name other audiences beside ours.
    pub other_audiences: bool,
    /// Accepted signature algorithms; never empty, HMAC never beside others.
    pub algorithms: Vec<jsonwebtoken::Algorithm>,
    /// Scopes without which no call is made.
    pub required_scopes: Vec<String>,
    /// Claim that holds the client: `client_id` or `azp`.
    pub client_claim: String,
    /// Where roles, groups and tenant stand in the token.
    pub claims: ClaimMap,
    /// Values of `acr`, the weakest first. A token reaches its own and those before it.
    pub acr: Vec<String>,
    /// What a scope implies.
    pub scopes: ScopeMap,
    /// Whether a token without a user (client credentials) is accepted.
    pub allow_without_user: bool,
    /// What its callers prove beside their token.
    pub proof: ProofConfig,
    /// Where it is asked about tokens; none means that only JWTs count, by their signature.
    pub introspection: Option<IntrospectionConfig>,
}

/// Where the keys of an issuer come from.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// A file with a JWK Set (RFC 7517 §5), read again when it changes.
    File(PathBuf),
    /// A URL of a JWK Set.
    Url(Url),
    /// `jwks_uri` of the issuer's metadata (RFC 8414, then OpenID Connect Discovery).
    Discovery,
}

/// Where claims that decide stand in a token: member names from the root down.
#[derive(Debug, Clone)]
pub struct ClaimMap {
    /// What stands before every role and group of the issuer, so that those of another are others.
    pub role_prefix: String,
    /// An array of strings, or one space-separated string.
    pub roles: Vec<String>,
    /// An array of strings, or one space-separated string.
    pub groups: Vec<String>,
    /// A string; without it every caller of the issuer is in `default_tenant`.
    pub tenant: Vec<String>,
    /// The tenant of a token that names none.
    pub default_tenant: Tenant,
    /// Further claims, by the name under which rules read them.
    pub extra: BTreeMap<String, ExtraClaim>,
}

/// A further claim that rules can read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraClaim {
    /// Member names from the root down.
    pub path: Vec<String>,
    /// What it must be; a token in which it is something else is refused.
    pub kind: ClaimType,
    /// Whether a token without it is refused.
    pub required: bool,
    /// Whether a tool can be told it, where that is granted.
    pub told: bool,
}

/// What a claim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClaimType {
    /// One string.
    String,
    /// A whole number of 64 bits.
    Integer,
    /// True or false.
    Boolean,
    /// An array of strings, or one space-separated string.
    Strings,
}

/// How a browser signs in: OpenID Connect code flow with PKCE.
#[derive(Debug, Clone)]
pub struct SignIn {
    /// The issuer; its metadata names the endpoints. One of the configured issuers.
    pub issuer: Issuer,
    /// Our client id there.
    pub client_id: String,
    /// Our client secret there, if we are a confidential client.
    pub client_secret_file: Option<PathBuf>,
}

/// Where packages lie.
#[derive(Debug, Clone)]
pub struct Tools {
    /// Watched: a file put here is admitted, a file removed is retired.
    pub dir: PathBuf,
    /// Native code of admitted packages; ours alone.
    pub cache_dir: PathBuf,
    /// Prefix for the tools of a package, by package name.
    pub prefix: Vec<(String, String)>,
    /// The operator's tags, by the name under which a tool is served. Rules read them.
    pub tags: BTreeMap<String, BTreeSet<String>>,
    /// What the operator sets for a package, by its name.
    pub config: BTreeMap<ToolName, BTreeMap<ConfigKey, String>>,
}

/// A directory under a name.
#[derive(Debug, Clone)]
pub struct Mount {
    /// The name that a manifest asks for.
    pub name: MountName,
    /// The directory, with `{tenant}`, `{iss}` and `{sub}` standing for the caller's, escaped.
    pub path: String,
    /// How much each directory that it leads to may hold.
    pub quota: Quota,
}

/// How much one directory may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of all files together.
    pub bytes: u64,
    /// Files, directories and links.
    pub files: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            bytes: FILES_BYTES_MAX,
            files: FILES_COUNT_MAX,
        }
    }
}

#[cfg(test)]
mod tests;
