//! The program as a process of its own, on a folder and at an address that a server of this process was set up at: it can be
//! killed, told by signals to end, and starved of what it needs.

use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bailiwick::audit::Record;
use bailiwick::idp;
use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, Row};
use tempfile::TempDir;

use super::client::{Answer, Caller, http};
use super::packages::program;
use super::server::signed;
use super::until;

/// Longest wait for a process to end: more than a drain of these tests takes.
const END_MAX: Duration = Duration::from_secs(20);

/// A server that is another process, or may become one.
pub struct Process {
    pub url: String,
    dir: TempDir,
    watched: Option<u16>,
    key: idp::SigningKey,
    issuer: String,
    /// The log of all its lives.
    log: Arc<Mutex<Vec<u8>>>,
    /// What the program is started by, such as `nsenter`.
    pub within: Vec<String>,
    child: Option<Child>,
}

impl Process {
    pub(super) fn new(
        dir: TempDir,
        url: String,
        watched: Option<u16>,
        key: idp::SigningKey,
    ) -> Self {
        let port: u16 = url.rsplit(':').next().unwrap().parse().unwrap();
        Self {
            issuer: format!("http://127.0.0.1:{}", port + 1),
            log: Arc::default(),
            within: Vec::new(),
            child: None,
            url,
            dir,
            watched,
            key,
        }
    }

    /// The folder of its configuration.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Changes its configuration, for its next life.
    pub fn configure(&self, change: impl FnOnce(&str) -> String) {
        let file = self.dir().join("bailiwick.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(file, change(&text)).unwrap();
    }

    /// Has it keep native code in this folder of its own, from its next life on.
    pub fn keeps_code_in(&self, folder: &str) {
        self.configure(|text| {
            let (before, rest) = text.split_once("cache_dir = \"").unwrap();
            let (_, after) = rest.split_once('"').unwrap();
            format!("{before}cache_dir = \"{folder}\"{after}")
        });
    }

    /// Puts a package into the tools folder, whole or not at all.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        let new = self.dir().join(format!("{name}.new"));
        std::fs::write(&new, bytes).unwrap();
        let file = self.dir().join(format!("tools.d/{name}.wasm"));
        std::fs::rename(new, file).unwrap();
    }

    /// Starts it, and waits until it takes calls.
    pub async fn start(&mut self) {
        self.spawn();
        until("the server is ready", async || {
            self.is_ready().await.then_some(())
        })
        .await;
    }

    /// Starts it.
    pub fn spawn(&mut self) {
        let mut words = self.within.clone();
        words.push(program().display().to_string());
        words.extend(["serve", "--dev", "--dir", "."].map(str::to_owned));
        let mut child = Command::new(&words[0])
            .args(&words[1..])
            .current_dir(self.dir())
            .env_remove("RUST_LOG")
            .env_remove("BAILIWICK_CONFIG")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // By pipes: what starves the server of files does not silence it.
        self.hear(child.stdout.take().unwrap());
        self.hear(child.stderr.take().unwrap());
        self.child = Some(child);
    }

    fn hear(&self, mut said: impl Read + Send + 'static) {
        let log = Arc::clone(&self.log);
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(read @ 1..) = said.read(&mut piece) {
                log.lock().unwrap().extend_from_slice(&piece[..read]);
            }
        });
    }

    /// Whether it says that it is.
    pub async fn is_ready(&self) -> bool {
        let answer = http().get(format!("{}/readyz", self.url)).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    }

    /// Asks the listener for whoever watches it.
    pub async fn watched(&self, path: &str) -> Answer {
        let port = self.watched.unwrap();
        Answer::read(http().get(format!("http://127.0.0.1:{port}{path}"))).await
    }

    /// The number of a metric.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.watched("/metrics").await.body;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let value = line.unwrap_or_else(|| panic!("no {name} in {text}")).trim();
        value.parse().unwrap_or_else(|_| panic!("{name} {value}"))
    }

    fn child(&mut self) -> &mut Child {
        self.child.as_mut().unwrap()
    }

    /// The number of its process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().unwrap())
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Kills it, so that it does nothing more.
    pub fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Waits until it has ended.
    pub async fn ended(&mut self) -> ExitStatus {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child().try_wait().unwrap() {
                self.child = None;
                return status;
            }
            assert!(
                began.elapsed() < END_MAX,
                "it does not end:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Sets how much it may have of something from now on, by the name that the kernel has for it, and answers how much it was.
    pub fn limit(&self, (resource, name): (Resource, &str), current: Option<u64>) -> Option<u64> {
        let file = format!("/proc/{}/limits", self.pid().as_raw_nonzero());
        let text = std::fs::read_to_string(file).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let numbers: Vec<_> = line.unwrap().split_whitespace().take(2).collect();
        // What can be raised by whoever has no privilege.
        let maximum = numbers[1].parse().ok();
        let before = prlimit(Some(self.pid()), resource, Rlimit { current, maximum });
        before.unwrap().current
    }

    /// All that it said.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.lock().unwrap()).into_owned()
    }

    /// A token with these claims over those of a good token for this user.
    pub fn token(&self, user: &str, changes: Value) -> String {
        signed(
            &self.key,
            (&self.issuer, &self.url),
            "at+jwt",
            user,
            changes,
        )
    }

    /// A caller with such a token.
    pub fn caller(&self, user: &str) -> Caller {
        Caller::at(
            &self.url,
            &self.token(user, Value::Object(Default::default())),
        )
    }

    /// Every record of the log from this one on, in order.
    pub async fn records(&self, from: u64) -> Vec<Record> {
        let all = records_of(&self.dir().join("state.db"), from).await;
        all.into_iter().map(|(_, record)| record).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("the server said:\n{}", self.log());
        }
        if let Some(child) = &mut self.child {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// The text and the meaning of every record from this one on in a state file, read without writing to it.
pub async fn records_of(file: &Path, from: u64) -> Vec<(String, Record)> {
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    let mut connection = options.connect().await.unwrap();
    let rows = sqlx::query("SELECT record FROM audit WHERE seq >= ? ORDER BY seq")
        .bind(i64::try_from(from).unwrap())
        .fetch_all(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    let read = |row: &sqlx::sqlite::SqliteRow| {
        let text: String = row.get("record");
        let record = serde_json::from_str(&text).unwrap();
        (text, record)
    };
    rows.iter().map(read).collect()
}
