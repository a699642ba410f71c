//! One checked, immutable configuration.
//!
//! Parsed once from TOML; an unknown key is refused and nothing defaults to a grant.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

use crate::capability::HostName;
use crate::ids::{Issuer, MountName, Tenant};

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
    /// Where state is kept: the file of the SQLite database.
    pub state_file: PathBuf,
    /// Directories that tools may ask for by name.
    pub mounts: Vec<Mount>,
    /// Private hosts that tools may reach by name.
    pub egress_hosts: Vec<EgressHost>,
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
    /// Whether a token without a user (client credentials) is accepted.
    pub allow_without_user: bool,
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
    /// An array of strings, or one space-separated string.
    pub roles: Vec<String>,
    /// An array of strings, or one space-separated string.
    pub groups: Vec<String>,
    /// A string; without it every caller of the issuer is in `default_tenant`.
    pub tenant: Vec<String>,
    /// The tenant of a token that names none.
    pub default_tenant: Tenant,
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
}

/// A directory under a name.
#[derive(Debug, Clone)]
pub struct Mount {
    /// The name that a manifest asks for.
    pub name: MountName,
    /// The directory, with `{tenant}` and `{sub}` standing for the caller's, escaped.
    pub path: String,
}

/// A private host that tools may reach by name.
#[derive(Debug, Clone)]
pub struct EgressHost {
    /// The name that a capability must name exactly.
    pub name: HostName,
    /// The one address behind it.
    pub address: SocketAddr,
    /// Whether a grant of `*` reaches it as well.
    pub any: bool,
}
