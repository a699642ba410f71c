//! One checked, immutable configuration.
//!
//! Parsed once from TOML; an unknown key is refused and nothing defaults to a grant.

mod clients;
mod data;
mod issuer;
mod kv;
mod parse;
mod rates;
mod scopes;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use crate::capability::HostName;
use crate::ids::{ConfigKey, Issuer, MountName, Tenant, ToolName};
use crate::problem::Problem;

pub use clients::{ClientMetadata, NamedClient};
pub use data::DataConfig;
pub use kv::{KvStore, Share};
pub use rates::RateClass;
pub use scopes::ScopeMap;

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
    /// Private hosts that tools may reach by name.
    pub egress_hosts: Vec<EgressHost>,
    /// The classes of rate limits that rules name.
    pub rates: BTreeMap<String, RateClass>,
    /// Which data is looked for in calls, and what becomes of it.
    pub data: DataConfig,
    /// Clients that the operator vouches for by name.
    pub clients: Vec<NamedClient>,
    /// How metadata documents of clients are read.
    pub client_metadata: ClientMetadata,
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

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [server]
        listen = "127.0.0.1:8137"
        public_url = "https://mcp.example"
        [[issuer]]
        issuer = "https://as.example"
        jwks_file = "keys.json"
        algorithms = ["ES256", "EdDSA", "RS256"]
        required_scopes = ["tools:call"]
        [tools]
        dir = "tools.d"
        [policy]
        dir = "policy.d"
        [state]
        url = "sqlite://bailiwick.db"
        [[mount]]
        name = "notes"
        path = "notes/{tenant}/{sub}"
        [[egress.host]]
        name = "api.example.test"
        address = "127.0.0.1:9000"
    "#;

    fn parse(text: &str) -> Result<Config, ConfigError> {
        Config::parse("bailiwick.toml", text, Path::new("/srv"))
    }

    #[test]
    fn the_documented_configuration_is_accepted() {
        let config = parse(GOOD).unwrap();
        assert_eq!(config.issuers[0].audience, ["https://mcp.example/mcp"]);
        assert_eq!(config.mounts[0].path, "/srv/notes/{tenant}/{sub}");
        assert!(config.sign_in.is_none());
        assert!(!config.egress_hosts[0].any);
    }

    #[test]
    fn what_would_open_a_door_is_refused_with_its_line() {
        for (from, to, line, says) in [
            (
                r#"algorithms = ["ES256", "EdDSA", "RS256"]"#,
                "algorithms = []",
                8,
                "empty",
            ),
            (
                r#"["ES256", "EdDSA", "RS256"]"#,
                r#"["HS256", "RS256"]"#,
                8,
                "HMAC",
            ),
            (r#"["ES256", "EdDSA", "RS256"]"#, r#"["none"]"#, 8, "none"),
            ("https://mcp.example", "http://mcp.example", 4, "https"),
            ("127.0.0.1:8137", "0.0.0.0:8137", 3, "loopback"),
            ("{tenant}/{sub}", "{sub}", 18, "share"),
            ("{tenant}/{sub}", "{home}", 18, "placeholder"),
            ("{tenant}/{sub}", "{tenant}-{sub}", 18, "run together"),
            ("{tenant}/{sub}", "{tenant}{sub}", 18, "run together"),
            (
                r#"name = "api.example.test""#,
                r#"name = "127.0.0.1""#,
                20,
                "not a host",
            ),
            // A token for tools would be one for administrators.
            (
                r#"required_scopes = ["tools:call"]"#,
                r#"required_scopes = ["admin"]"#,
                6,
                "administer",
            ),
            (
                r#"required_scopes = ["tools:call"]"#,
                "required_scopes = [\"tools:call\"]\n[issuer.scopes]\n\"tools:call\" = [\"admin\"]",
                6,
                "administer",
            ),
            (
                "[tools]",
                "[admin]\nscope = \"a b\"\n[tools]",
                11,
                "no scope",
            ),
            ("[tools]", "[admin]\nscope = \"\"\n[tools]", 11, "no scope"),
            (
                "[tools]",
                "[admin]\nrole = \"x\"\n[tools]",
                11,
                "unknown field",
            ),
            (
                r#"jwks_file = "keys.json""#,
                "audience = []",
                7,
                "audiences",
            ),
            (
                r#"jwks_file = "keys.json""#,
                "strict = false",
                7,
                "unknown field",
            ),
        ] {
            assert!(GOOD.contains(from), "{from}");
            let ConfigError::Invalid { problems } = parse(&GOOD.replace(from, to)).unwrap_err()
            else {
                panic!("{to}")
            };
            assert!(
                problems
                    .iter()
                    .any(|p| p.line == Some(line) && p.message.contains(says)),
                "{to}: {problems:?}"
            );
        }
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let text = GOOD
            .replace("https://mcp.example", "http://mcp.example")
            .replace("sqlite://", "mysql://");
        let ConfigError::Invalid { problems } = parse(&text).unwrap_err() else {
            panic!()
        };
        assert_eq!(problems.len(), 2, "{problems:?}");
    }
}
