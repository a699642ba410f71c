//! A server in this process, on loopback, with the embedded identity provider beside it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bailiwick::audit::{self, Filter, Phase, Record, Stored};
use bailiwick::clock::{Clock, SharedClock, SystemClock, Timestamp};
use bailiwick::config::{Config, IssuerConfig};
use bailiwick::consent::{Answer as Decision, Choice, PageFacts, Question, SignInFacts, TicketId};
use bailiwick::egress::Resolve;
use bailiwick::ids::{Digest, TenantUser, User};
use bailiwick::server::{Options, Running, StartError};
use bailiwick::store::ConsentRow;
use bailiwick::{dev, idp, server};
use serde_json::json;
use tempfile::TempDir;

use super::client::Caller;
use super::packages::{self, program};

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
    dir: TempDir,
    rules: String,
    config: String,
    server: String,
    resolver: Option<Arc<dyn Resolve>>,
    issuer: Option<ChangeIssuer>,
    calls_max: u32,
    machines: bool,
    clock: Option<SharedClock>,
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
            machines: false,
            clock: None,
        }
    }

    /// With shipped tools.
    pub async fn tools(self, names: &[&str]) -> Self {
        for name in names {
            self.put(name, &packages::tool(name).await);
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

    /// With this file beside its configuration.
    pub fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.dir.path().join(name), text).unwrap();
        self
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

    fn started(self, running: Running, port: u16) -> Server {
        Server {
            running,
            key: idp::key_in(self.dir.path()).unwrap(),
            issuer: format!("http://127.0.0.1:{}", port + 1),
            url: url(port),
            port,
            setup: self,
        }
    }

    fn config_text(&self, url: &str, port: u16) -> String {
        let lines = format!("[server]\n{}", self.server);
        config_text(url, port, &self.config).replacen("[server]\n", &lines, 1)
    }

    async fn try_start(&self, port: u16) -> Result<Running, StartError> {
        let url = url(port);
        let text = self.config_text(&url, port);
        let mut config = Config::parse("bailiwick.toml", &text, self.dir.path()).unwrap();
        // Native code is the same for every server of this build.
        config.tools.cache_dir = cache();
        config.server.calls_in_flight_max = self.calls_max;
        let (address, provider) = dev::add_idp(&mut config, clock()).unwrap();
        if let Some(change) = &self.issuer {
            change(&mut config.issuers[0]);
        }
        for issuer in &mut config.issuers {
            issuer.allow_without_user = self.machines;
        }
        let options = Options {
            compiler: Some(program().to_owned()),
            resolver: Some(
                self.resolver
                    .clone()
                    .unwrap_or_else(|| Arc::new(bailiwick::egress::NoNames)),
            ),
            clock: self.clock.clone(),
            idp: Some((address, idp::router(provider))),
        };
        server::start(config, options).await
    }
}

/// The text of a configuration for the folder in which it stands.
pub fn config_text(url: &str, port: u16, more: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\npublic_url = \"{url}\"\ncalls_in_flight_max = 32\n\
         [tools]\ndir = \"tools.d\"\n[policy]\ndir = \"policy.d\"\n[state]\nurl = \"sqlite://state.db\"\n{more}"
    )
}

fn url(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// Where native code is kept between servers and between runs.
fn cache() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("e2e-native")
}

fn clock() -> SharedClock {
    Arc::new(SystemClock)
}

/// A port with a free one behind it. No port is given out twice.
pub fn free_ports() -> u16 {
    static GIVEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    let mut given = GIVEN.lock().unwrap();
    loop {
        let first = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = first.local_addr().unwrap().port();
        let Some(next) = port.checked_add(1) else {
            continue;
        };
        let taken = given.contains(&port) || given.contains(&next);
        if !taken && TcpListener::bind(("127.0.0.1", next)).is_ok() {
            given.extend([port, next]);
            return port;
        }
    }
}

/// A server that runs.
pub struct Server {
    pub running: Running,
    pub url: String,
    pub issuer: String,
    port: u16,
    key: idp::SigningKey,
    setup: Setup,
}

impl Server {
    /// A caller with a good token for this user, by the usual client, in revision 2026-07-28.
    pub fn caller(&self, user: &str) -> Caller {
        Caller::new(self, user)
    }

    /// A token with these claims over those of a good token for this user.
    pub fn token(&self, user: &str, changes: serde_json::Value) -> String {
        self.token_of_kind("at+jwt", user, changes)
    }

    /// A token of another type.
    pub fn token_of_kind(&self, kind: &str, user: &str, changes: serde_json::Value) -> String {
        let now = SystemClock.now().secs();
        let roles: &[&str] = match user {
            "root" => &["user", "admin"],
            _ => &["user"],
        };
        let mut claims = json!({
            "iss": self.issuer,
            "sub": user,
            "aud": format!("{}/mcp", self.url),
            "client_id": "dev-client",
            "scope": "tools:call",
            "roles": roles,
            "iat": now,
            "exp": now + 3600,
            "jti": uuid::Uuid::now_v7(),
        });
        let changes = changes.as_object().unwrap().clone();
        claims.as_object_mut().unwrap().extend(changes);
        self.key.sign(kind, &claims).unwrap()
    }

    /// The user of that name, in the tenant of the embedded identity provider.
    pub fn user(&self, name: &str) -> TenantUser {
        TenantUser {
            tenant: "dev".parse().unwrap(),
            user: User {
                issuer: self.issuer.parse().unwrap(),
                subject: name.parse().unwrap(),
            },
        }
    }

    /// What a link asks of this user, each capability by its text and in the order of the page.
    pub async fn asked(&self, link: &str, user: &str) -> Vec<String> {
        let (_, question) = self.question(link, user).await;
        let asked = question.asked.iter();
        asked.map(|asked| asked.capability.to_string()).collect()
    }

    /// The question behind a link, and the user as its tenant knows them.
    async fn question(&self, link: &str, user: &str) -> (TenantUser, Question) {
        let ticket = ticket(link);
        let row = self.running.store.ticket(ticket.hash()).await.unwrap();
        let who = TenantUser {
            tenant: row.unwrap().key.tenant,
            ..self.user(user)
        };
        let consents = &self.running.stages.consents;
        let question = consents.question(&ticket, &who, SystemClock.now());
        let question = question.await.unwrap();
        (who, question)
    }

    /// Decides all that a link asks, as the page would after its user signed in.
    pub async fn decide(&self, link: &str, user: &str, choice: Choice) -> bool {
        let choices = |_: &str| choice;
        self.decide_each(link, user, choices).await
    }

    /// Decides each capability that a link asks for.
    pub async fn decide_each(
        &self,
        link: &str,
        user: &str,
        choice: impl Fn(&str) -> Choice,
    ) -> bool {
        let (user, question) = self.question(link, user).await;
        let (ticket, now) = (ticket(link), SystemClock.now());
        let consents = &self.running.stages.consents;
        let answers: Vec<_> = question
            .asked
            .into_iter()
            .map(|asked| Decision {
                choice: choice(&asked.capability.to_string()),
                capability: asked.capability,
            })
            .collect();
        let signed_in = SignInFacts::default();
        let page = PageFacts {
            digest: Digest::of(b"a page"),
            locale: "en",
        };
        let decided = consents.decide(&ticket, &user, &answers, page, &signed_in, now);
        decided.await.unwrap().allowed
    }

    /// All that a user decided, the newest first.
    pub async fn decisions(&self, who: &TenantUser) -> Vec<ConsentRow> {
        let store = &self.running.store;
        store.consents_before(who, None, u32::MAX).await.unwrap()
    }

    /// Every record of the log, in order.
    pub async fn records(&self) -> Vec<Stored> {
        self.running.stages.audit.flush().await.unwrap();
        let mut all = Vec::new();
        let filter = Filter::default();
        audit::show(self.running.store.as_ref(), 1, &filter, |stored| {
            all.push(stored.clone());
        })
        .await
        .unwrap();
        all
    }

    /// The closing records of the calls of a tool, in order.
    pub async fn outcomes(&self, tool: &str) -> Vec<Record> {
        self.of_call(tool, Phase::Outcome).await
    }

    /// The intents of the calls of a tool, in order.
    pub async fn intents(&self, tool: &str) -> Vec<Record> {
        self.of_call(tool, Phase::Intent).await
    }

    async fn of_call(&self, tool: &str, phase: Phase) -> Vec<Record> {
        let is = |record: &Record| {
            record.phase == phase
                && record.method.as_deref() == Some("tools/call")
                && record
                    .tool
                    .as_ref()
                    .map(|facts| &facts.name)
                    .or(record.asked_tool.as_ref())
                    .is_some_and(|name| name.as_str() == tool)
        };
        let records = self.records().await.into_iter();
        records
            .map(|stored| stored.record)
            .filter(|record| is(record))
            .collect()
    }

    /// Puts a package into the tools folder, whole or not at all.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let file = self.dir().join(format!("{name}.new"));
        std::fs::write(&file, bytes).unwrap();
        let target = self.dir().join(format!("tools.d/{name}.wasm"));
        std::fs::rename(file, target).unwrap();
    }

    /// Takes a package out of the tools folder.
    pub fn take(&self, name: &str) {
        std::fs::remove_file(self.dir().join(format!("tools.d/{name}.wasm"))).unwrap();
    }

    /// The folder of a user below the mount `notes`.
    pub fn notes_of(&self, escaped_user: &str) -> PathBuf {
        self.dir().join("notes/dev").join(escaped_user)
    }

    /// Why a file of the tools folder is not served.
    pub fn refusal(&self, file: &str) -> Option<String> {
        let snapshot = self.running.stages.catalog.snapshot();
        let refused = snapshot.refused.iter().find(|one| one.file == file);
        refused.map(|one| one.reason.clone())
    }

    /// The folder of its configuration and state.
    pub fn dir(&self) -> &Path {
        self.setup.dir.path()
    }

    /// Writes the configuration into its folder, for commands that look for one there.
    pub fn write_config(&self) {
        let text = self.setup.config_text(&self.url, self.port);
        std::fs::write(self.dir().join("bailiwick.toml"), text).unwrap();
    }

    /// Ends in order; nothing is left behind.
    pub async fn stop(self) {
        self.running.stop().await;
    }

    /// Ends and starts again at the same address, with more rules than it was set up with.
    pub async fn restart(self, more_rules: &str) -> Self {
        self.running.stop().await;
        let rules = format!("{}{more_rules}", self.setup.rules);
        std::fs::write(self.setup.dir.path().join("policy.d/rules.cedar"), rules).unwrap();
        let running = self.setup.try_start(self.port).await;
        let running = running.unwrap_or_else(|error| panic!("no second start: {error}"));
        self.setup.started(running, self.port)
    }
}

/// The ticket of a link to the consent page.
pub fn ticket(link: &str) -> TicketId {
    link.rsplit('/').next().unwrap().parse().unwrap()
}

/// Allowed for the next hour.
pub fn for_an_hour() -> Choice {
    Choice::Until(Timestamp(SystemClock.now().0).plus(Duration::from_secs(3600)))
}
