//! `serve --dev`, `demo` and `token`: a folder with everything in it, and the embedded identity provider beside the server.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jsonwebtoken::Algorithm;
use url::Url;

use crate::clock::SharedClock;
use crate::config::{ClaimMap, Config, ConfigError, IssuerConfig, KeySource, SignIn};
use crate::identity::{FetchError, FetchKeys};
use crate::idp::{self, DevIdp, KeyError, WEB_CLIENT};
use crate::ids::{Issuer, NameError, Tenant};
use crate::server::StartError;

/// Where `serve --dev` keeps everything when it is told nothing else.
pub const DEV_DIR: &str = ".bailiwick";

/// The configuration that `serve --dev` writes into an empty folder.
const CONFIG: &str = include_str!("dev/bailiwick.toml");
/// The rules that it writes.
const RULES: &str = include_str!("dev/dev.cedar");

/// The development setup cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum DevError {
    /// It may not be reached from elsewhere.
    #[error(
        "the embedded identity provider guards nothing, so it is served on loopback alone; let `listen` and `public_url` be on 127.0.0.1"
    )]
    NotLoopback,
    /// It would stand beside a real issuer.
    #[error(
        "the embedded identity provider never stands beside another issuer; leave `--dev` or `[[issuer]]` out"
    )]
    OtherIssuers,
    /// Its tokens for tools would be tokens for administrators.
    #[error(
        "every token of the embedded identity provider has the scope `{}`; name another in `[admin]`",
        idp::DEFAULT_SCOPE
    )]
    AdminScope,
    /// The port next to ours does not exist.
    #[error(
        "the embedded identity provider listens on the port after ours; choose a port below 65535 and other than 0"
    )]
    Port,
    /// A folder or file cannot be written.
    #[error("`{}` cannot be written", file.display())]
    Write {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Somebody else made it, or it leads elsewhere.
    #[error("`{}` is not a folder of our own; remove it or choose another with `--dir`", dir.display())]
    NotOurs { dir: PathBuf },
    /// A folder cannot be made.
    #[error(transparent)]
    Folder(#[from] StartError),
    /// The configuration in the folder is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Our own issuer is no issuer.
    #[error(transparent)]
    Name(#[from] NameError),
}

/// Where the configuration of a folder stands.
pub fn config_file(dir: &Path) -> PathBuf {
    dir.join("bailiwick.toml")
}

/// The configuration of a folder; what is missing in it is written first.
pub fn config_in(dir: &Path, listen: Option<SocketAddr>) -> Result<Config, DevError> {
    crate::server::folder(dir)?;
    ours(dir)?;
    let file = config_file(dir);
    let listen = listen.unwrap_or(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8137));
    write_once(
        &file,
        &CONFIG.replace("127.0.0.1:8137", &listen.to_string()),
    )?;
    for sub in ["tools.d", "policy.d"] {
        crate::server::folder(&dir.join(sub))?;
    }
    let rules = dir.join("policy.d/dev.cedar");
    write_once(&rules, RULES)?;
    Ok(Config::read(&file)?)
}

/// Whether this is a folder of our own, not one that somebody else put there or points elsewhere: it holds the key.
pub fn ours(dir: &Path) -> Result<(), DevError> {
    use std::os::unix::fs::MetadataExt;
    let found = std::fs::symlink_metadata(dir).map_err(|source| DevError::Write {
        file: dir.to_owned(),
        source,
    })?;
    if found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(DevError::NotOurs {
        dir: dir.to_owned(),
    })
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn write_once(file: &Path, text: &str) -> Result<(), DevError> {
    if file.exists() {
        return Ok(());
    }
    std::fs::write(file, text).map_err(|source| DevError::Write {
        file: file.to_owned(),
        source,
    })
}

/// Adds the embedded identity provider to a configuration, as an issuer and for signing in.
pub fn add_idp(
    config: &mut Config,
    clock: SharedClock,
) -> Result<(SocketAddr, Arc<DevIdp>), DevError> {
    let listen = config.server.listen;
    // `listen` alone says nothing: behind a proxy it is always loopback. The public URL tells who can reach us.
    if !listen.ip().is_loopback() || !is_local(&config.server.public_url) {
        return Err(DevError::NotLoopback);
    }
    if !config.issuers.is_empty() {
        return Err(DevError::OtherIssuers);
    }
    if config.admin_scope == idp::DEFAULT_SCOPE {
        return Err(DevError::AdminScope);
    }
    let port = listen
        .port()
        .checked_add(1)
        .filter(|port| *port > 1)
        .ok_or(DevError::Port)?;
    let address = SocketAddr::new(listen.ip(), port);
    let issuer = format!("http://{address}");
    let dir = config.state_file.parent().unwrap_or(Path::new("."));
    crate::server::folder(dir)?;
    let resource = config.server.resource();
    let callback = config.server.url("/sign-in/callback");
    let idp = DevIdp::new(
        issuer.clone(),
        resource.clone(),
        callback,
        idp::key_in(dir)?,
        clock,
    );
    let issuer: Issuer = issuer.parse()?;
    let claim = |name: &str| vec![name.to_owned()];
    config.issuers.push(IssuerConfig {
        issuer: issuer.clone(),
        keys: KeySource::Discovery,
        audience: vec![resource],
        other_audiences: false,
        algorithms: vec![Algorithm::ES256],
        required_scopes: vec![idp::DEFAULT_SCOPE.to_owned()],
        client_claim: "client_id".to_owned(),
        claims: ClaimMap {
            role_prefix: String::new(),
            roles: claim("roles"),
            groups: claim("groups"),
            tenant: claim("tenant"),
            default_tenant: "dev".parse::<Tenant>()?,
            extra: Default::default(),
        },
        acr: Vec::new(),
        scopes: Default::default(),
        allow_without_user: false,
        proof: Default::default(),
        introspection: None,
    });
    if config.sign_in.is_none() {
        config.sign_in = Some(SignIn {
            issuer,
            client_id: WEB_CLIENT.to_owned(),
            client_secret_file: None,
        });
    }
    Ok((address, Arc::new(idp)))
}

/// Keys of the embedded identity provider without a request, for commands that run beside no server.
pub struct OwnKeys(pub Arc<DevIdp>);

impl FetchKeys for OwnKeys {
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        let document = self
            .0
            .document(url.path())
            .map(|document| Bytes::from(document.to_string()));
        Box::pin(std::future::ready(
            document.ok_or_else(|| FetchError::new("there is no such document")),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    fn config(public_url: &str, issuer: &str) -> Config {
        let text = format!(
            "[server]\nlisten = \"127.0.0.1:8137\"\npublic_url = \"{public_url}\"\n{issuer}\n[tools]\ndir = \"t\"\n[state]\nurl = \"sqlite://s.db\"\n"
        );
        Config::parse(
            "test.toml",
            &text,
            tempfile::tempdir().unwrap().keep().as_path(),
        )
        .unwrap()
    }

    #[test]
    fn the_embedded_provider_stays_on_loopback_and_alone() {
        let clock: SharedClock = Arc::new(SystemClock);
        let add = |mut config: Config| add_idp(&mut config, Arc::clone(&clock)).map(drop);
        assert!(add(config("http://127.0.0.1:8137", "")).is_ok());
        assert!(matches!(
            add(config("https://mcp.example", "")),
            Err(DevError::NotLoopback)
        ));
        let issuer = "[[issuer]]\nissuer = \"https://as.example\"\nalgorithms = [\"ES256\"]";
        assert!(matches!(
            add(config("http://127.0.0.1:8137", issuer)),
            Err(DevError::OtherIssuers)
        ));
    }

    #[test]
    fn a_folder_that_leads_elsewhere_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(dir.path(), &link).unwrap();
        assert!(ours(dir.path()).is_ok());
        assert!(matches!(ours(&link), Err(DevError::NotOurs { .. })));
    }
}
