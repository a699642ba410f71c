//! A server in this process, on loopback, with the embedded identity provider beside it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bailiwick::audit::{self, Filter, Phase, Record, Stored};
use bailiwick::clock::{Clock, SharedClock, SystemClock};
use bailiwick::idp;
use bailiwick::ids::{TenantUser, User};
use bailiwick::server::Running;
use serde_json::json;

use super::client::Caller;
use super::process::Process;
use super::setup::Setup;
use super::until;

/// The text of a configuration for the folder in which it stands.
pub fn config_text(url: &str, port: u16, more: &str) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\npublic_url = \"{url}\"\ncalls_in_flight_max = 32\n\
         [tools]\ndir = \"tools.d\"\n[policy]\ndir = \"policy.d\"\n[state]\nurl = \"sqlite://state.db\"\n{more}"
    )
}

/// Where native code is kept between servers and between runs.
pub(super) fn cache() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("e2e-native")
}

pub(super) fn clock() -> SharedClock {
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
    pub(super) port: u16,
    pub(super) key: idp::SigningKey,
    pub(super) setup: Setup,
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
        signed(&self.key, (&self.issuer, &self.url), kind, user, changes)
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

    /// The URL of a path for whoever watches it.
    pub fn watched(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.setup.watched.unwrap())
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

    /// Where it listens.
    pub fn address(&self) -> std::net::SocketAddr {
        self.running.address
    }

    /// Replaces the limits in its configuration, whole or not at all.
    pub fn write_limits(&self, toml: &str) {
        let text = self.setup.config_text(&self.url, self.port);
        let text = text.replacen(&self.setup.limits, toml, 1);
        let file = self.dir().join("bailiwick.toml");
        let new = file.with_extension("new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, file).unwrap();
    }

    /// Ends in order; nothing is left behind.
    pub async fn stop(self) {
        self.running.stop().await;
    }

    /// Ends, and hands its folder and its address to the program, as a process of its own that is not started yet.
    pub async fn into_process(self) -> Process {
        let text = self.setup.config_text(&self.url, self.port);
        // Native code is the same for every server of this build.
        let tools = format!("[tools]\ncache_dir = \"{}\"\n", cache().display());
        let text = text.replacen("[tools]\n", &tools, 1);
        std::fs::write(self.dir().join("bailiwick.toml"), text).unwrap();
        self.running.stop().await;
        // In place of those that `--dev` would write beside them, which have the same names.
        let rules = self.setup.dir.path().join("policy.d");
        std::fs::rename(rules.join("rules.cedar"), rules.join("dev.cedar")).unwrap();
        Process::new(self.setup.dir, self.url, self.setup.watched, self.key)
    }

    /// Ends and starts again at the same address, with more rules than it was set up with.
    pub async fn restart(self, more_rules: &str) -> Self {
        self.running.stop().await;
        let rules = format!("{}{more_rules}", self.setup.rules);
        std::fs::write(self.setup.dir.path().join("policy.d/rules.cedar"), rules).unwrap();
        // Meanwhile a connection of another test may have been given one of its ports.
        until("its ports are free", async || {
            let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
            (free(self.port) && free(self.port + 1)).then_some(())
        })
        .await;
        let running = self.setup.try_start(self.port).await;
        let running = running.unwrap_or_else(|error| panic!("no second start: {error}"));
        self.setup.started(running, self.port)
    }
}

/// A token of this kind by an issuer for a server, with these claims over those of a good one.
pub(super) fn signed(
    key: &idp::SigningKey,
    (issuer, url): (&str, &str),
    kind: &str,
    user: &str,
    changes: serde_json::Value,
) -> String {
    let now = SystemClock.now().secs();
    let roles: &[&str] = match user {
        "root" => &["user", "admin"],
        _ => &["user"],
    };
    let mut claims = json!({
        "iss": issuer,
        "sub": user,
        "aud": format!("{}/mcp", url),
        "client_id": "dev-client",
        "scope": "tools:call",
        "roles": roles,
        "iat": now,
        "exp": now + 3600,
        "jti": uuid::Uuid::now_v7(),
    });
    let changes = changes.as_object().unwrap().clone();
    claims.as_object_mut().unwrap().extend(changes);
    key.sign(kind, &claims).unwrap()
}

/// Writes a file that nobody else can read, in place of the one that was there.
pub fn private_file(file: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    let new = file.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::set_permissions(&new, PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::rename(new, file).unwrap();
}
