//! What a server is started with.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bailiwick::clock::{Clock, SharedClock};
use bailiwick::config::{Config, Isolation, IssuerConfig};
use bailiwick::egress::Resolve;
use bailiwick::limits::CALL_WALL_DEFAULT;
use bailiwick::sandbox::executor;
use bailiwick::server::{Options, Running, StartError};
use bailiwick::telemetry::log::LogControl;
use bailiwick::{dev, idp, server};
use tempfile::TempDir;

use super::packages::{self, program};
use super::server::{Server, cache, clock, config_text, free_ports, private_file};

/// Users do what they consent to, administrators as well, and the administrators' own tool is theirs.
const RULES: &str = r#"
@id("users-use-tools")
permit (principal in Role::"user", action, resource)
unless { resource in Package::"whoami-admin" };
@id("admins-use-all-tools")
permit (principal in Role::"admin", action, resource);
"#;

/// What a test makes of the configuration of its issuer.
type ChangeIssuer = Box<dyn Fn(&mut IssuerConfig) + Send + Sync>;

/// A server that is not yet started.
pub struct Setup {
    pub(super) dir: TempDir,
    pub(super) rules: String,
    pub(super) config: String,
    pub(super) server: String,
    pub(super) resolver: Option<Arc<dyn Resolve>>,
    pub(super) issuer: Option<ChangeIssuer>,
    pub(super) calls_max: u32,
    call_timeout: Duration,
    pub(super) machines: bool,
    pub(super) clock: Option<SharedClock>,
    pub(super) https: bool,
    pub(super) limits: String,
    pub(super) follows: bool,
    pub(super) log: Option<LogControl>,
    pub(super) watched: Option<u16>,
    pub(super) apart: bool,
}

/// Whether every server of this run has its guests in processes of their own.
pub fn everywhere_apart() -> bool {
    std::env::var_os("BAILIWICK_TEST_APART").is_some()
}

impl Setup {
    /// A server with the rules of most tests, the mount `notes`, the store `memory`, and no tool.
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["tools.d", "policy.d"] {
            std::fs::create_dir(dir.path().join(sub)).unwrap();
        }
        Self {
            dir,
            rules: RULES.to_owned(),
            config: "[[mount]]\nname = \"notes\"\npath = \"notes/{tenant}/{sub}\"\n[[kv]]\nname = \"memory\"\n"
                .to_owned(),
            server: String::new(),
            resolver: None,
            issuer: None,
            calls_max: 32,
            call_timeout: CALL_WALL_DEFAULT,
            machines: false,
            clock: None,
            https: false,
            limits: "[limits]\ndefaults = false\n".to_owned(),
            follows: false,
            log: None,
            watched: None,
            apart: everywhere_apart(),
        }
    }

    /// With shipped tools.
    pub async fn tools(self, names: &[&str]) -> Self {
        for name in names {
            self.put(name, &packages::tool(name).await);
        }
        self
    }

    /// With shipped tools, as they are shipped: notes and memory may be given personal data as well.
    pub async fn shipped(self, names: &[&str]) -> Self {
        for name in names {
            self.put(name, &packages::shipped(name).await);
        }
        self
    }

    /// With guests, as `guests.toml` has them.
    pub async fn guests(self, names: &[&str]) -> Self {
        for name in names {
            self.put(name, &packages::guest(name).await);
        }
        self
    }

    /// With guests that wish for little time.
    pub async fn hurried(self, names: &[&str]) -> Self {
        for name in names {
            self.put(name, &packages::hurried(name).await);
        }
        self
    }

    /// With a package.
    pub fn package(self, name: &str, bytes: &[u8]) -> Self {
        self.put(name, bytes);
        self
    }

    /// With these rules beside the usual ones.
    pub fn more_rules(mut self, rules: &str) -> Self {
        self.rules.push_str(rules);
        self
    }

    /// With these rules and no others.
    pub fn only_rules(mut self, rules: &str) -> Self {
        rules.clone_into(&mut self.rules);
        self
    }

    /// With an identity provider of which the configuration says this.
    pub fn issuer(mut self, change: impl Fn(&mut IssuerConfig) + Send + Sync + 'static) -> Self {
        self.issuer = Some(Box::new(change));
        self
    }

    /// With more configuration.
    pub fn config(mut self, toml: &str) -> Self {
        self.config.push_str(toml);
        self
    }

    /// With these lines in the table `[server]`.
    pub fn server(mut self, lines: &str) -> Self {
        self.server.push_str(lines);
        self
    }

    /// With a web host of that name at this port of ours.
    pub fn host(self, name: &str, port: u16, any: bool) -> Self {
        self.config(&format!(
            "[[egress.host]]\nname = \"{name}\"\naddress = \"127.0.0.1:{port}\"\nany = {any}\n"
        ))
    }

    /// With callers behind whom nobody stands.
    pub fn machines(mut self) -> Self {
        self.machines = true;
        self
    }

    /// With room for so many calls at once.
    pub fn calls(mut self, max: u32) -> Self {
        self.calls_max = max;
        self
    }

    /// With so much time for calls of tools that wish for none.
    pub fn call_timeout(mut self, most: Duration) -> Self {
        self.call_timeout = most;
        self
    }

    /// With these answers for names.
    pub fn resolver(mut self, resolver: impl Resolve) -> Self {
        self.resolver = Some(Arc::new(resolver));
        self
    }

    /// With this clock; the embedded identity provider keeps that of the machine.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    /// Over TLS, with this certificate and its key in PEM. More of `[server.tls]` may follow.
    pub fn tls(mut self, chain: &str, key: &str) -> Self {
        self.https = true;
        self.file("chain.pem", chain)
            .secret_file("key.pem", key)
            .config("[server.tls]\ncertificate_file = \"chain.pem\"\nkey_file = \"key.pem\"\n")
    }

    /// With these limits. Without a word there are none: one user of a test calls more than a person does.
    pub fn limits(mut self, toml: &str) -> Self {
        self.limits = format!("[limits]\ndefaults = false\n{toml}");
        self
    }

    /// Whose configuration is a file that is followed.
    pub fn follows(mut self) -> Self {
        self.follows = true;
        self
    }

    /// With a log that is changed so.
    pub fn log(mut self, control: LogControl) -> Self {
        self.log = Some(control);
        self
    }

    /// With a listener for whoever watches it.
    pub fn watched(mut self) -> Self {
        let port = free_ports();
        self.watched = Some(port);
        self.config(&format!("[telemetry]\nlisten = \"127.0.0.1:{port}\"\n"))
    }

    /// With this file beside its configuration.
    pub fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.dir.path().join(name), text).unwrap();
        self
    }

    /// With this secret beside its configuration, which nobody else can read.
    pub fn secret_file(self, name: &str, value: &str) -> Self {
        private_file(&self.dir.path().join(name), value);
        self
    }

    /// The folder in which it will be.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let file = self.dir.path().join(format!("tools.d/{name}.wasm"));
        std::fs::write(file, bytes).unwrap();
    }

    /// Starts it.
    pub async fn start(self) -> Server {
        std::fs::write(self.dir.path().join("policy.d/rules.cedar"), &self.rules).unwrap();
        for _ in 0..20 {
            let port = free_ports();
            match self.try_start(port).await {
                Ok(running) => return self.started(running, port),
                // Another program was faster.
                Err(StartError::Listen { .. }) => {}
                Err(error) => panic!("the server does not start: {error}"),
            }
        }
        panic!("no two free ports in a row")
    }

    pub(super) fn started(self, running: Running, port: u16) -> Server {
        Server {
            running,
            key: idp::key_in(self.dir.path()).unwrap(),
            issuer: format!("http://127.0.0.1:{}", port + 1),
            url: self.url(port),
            port,
            setup: self,
        }
    }

    /// With guests in processes of their own. `BAILIWICK_TEST_APART` says so for every server there is.
    pub fn apart(self) -> Self {
        Self {
            apart: true,
            ..self
        }
    }

    pub(super) fn config_text(&self, url: &str, port: u16) -> String {
        let lines = format!("[server]\n{}", self.server);
        let more = format!("{}{}", self.config, self.limits);
        config_text(url, port, &more).replacen("[server]\n", &lines, 1)
    }

    fn url(&self, port: u16) -> String {
        let scheme = if self.https { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{port}")
    }

    pub(super) async fn try_start(&self, port: u16) -> Result<Running, StartError> {
        let url = self.url(port);
        let text = self.config_text(&url, port);
        let mut config = Config::parse("bailiwick.toml", &text, self.dir.path()).unwrap();
        // Native code is the same for every server of this build.
        config.tools.cache_dir = cache();
        config.server.calls_in_flight_max = self.calls_max;
        config.server.call_timeout = self.call_timeout;
        if self.apart {
            config.isolation = Isolation::Process;
        }
        let (address, provider) = dev::add_idp(&mut config, clock()).unwrap();
        if let Some(change) = &self.issuer {
            change(&mut config.issuers[0]);
        }
        for issuer in &mut config.issuers {
            issuer.allow_without_user = self.machines;
        }
        let file = self.dir.path().join("bailiwick.toml");
        if self.follows {
            std::fs::write(&file, &text).unwrap();
        }
        let options = Options {
            executors: self.apart.then(|| executor::maker(program()).unwrap()),
            hardening: bailiwick::hardening::Report::default(),
            config_file: self.follows.then_some(file),
            compiler: Some(program().to_owned()),
            resolver: Some(
                self.resolver
                    .clone()
                    .unwrap_or_else(|| Arc::new(bailiwick::egress::NoNames)),
            ),
            clock: self.clock.clone(),
            log: self.log.clone(),
            idp: Some((address, idp::router(provider))),
            before_state: None,
        };
        server::start(config, options).await
    }
}
