//! One server with its probes, the web hosts and folders around it, and what was seen there.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::case::{self, FOLDERS, HOSTS, MOUNTS, Need, Point, Rule, TENANTS};
use crate::harness::{Browser, Server, Setup, Upstream, log, packed, toml_of};

/// How long it may take until changed rules are followed: the server looks every 30 s by itself.
const FOLLOWED_MAX: Duration = Duration::from_secs(60);

/// Everything that a case meets.
pub struct World {
    pub server: Server,
    upstream: Upstream,
    pub tools: Vec<Vec<Need>>,
    /// Every visit has a number, which is in its requests and files.
    pub visits: AtomicUsize,
    /// What is reached outside, by the model.
    pub expected: Mutex<BTreeSet<(usize, Point)>>,
    /// Visits by how they ended.
    pub tally: [AtomicUsize; 5],
    /// One for each user of the embedded identity provider, who signs in once.
    pub browsers: [tokio::sync::Mutex<Browser>; 2],
}

/// For [`World::tally`].
pub const ENDS: [&str; 5] = [
    "refused",
    "reached something",
    "reached nothing",
    "asked",
    "on the page",
];

impl World {
    pub async fn new(tools: Vec<Vec<Need>>) -> Self {
        let upstream = Upstream::start().await;
        let mut setup = Setup::new().only_rules("").machines().calls(128);
        let mut prefixes = "[tools.prefix]\n".to_owned();
        for (number, needs) in tools.iter().enumerate() {
            let needs: Vec<_> = (0..).zip(needs).map(|(n, need)| need.toml(n)).collect();
            let name = format!("p{number}");
            prefixes.push_str(&format!("{name} = \"{name}-\"\n"));
            setup = setup.package(&name, &packed("reach_each", &toml_of(&name, &needs)).await);
        }
        for host in HOSTS {
            setup = setup.host(host, upstream.port, true);
        }
        for mount in MOUNTS {
            setup = setup.config(&format!(
                "[[mount]]\nname = \"{mount}\"\npath = \"{mount}/{{tenant}}\"\n"
            ));
        }
        let world = Self {
            server: setup.config(&prefixes).start().await,
            upstream,
            tools,
            visits: AtomicUsize::new(0),
            expected: Mutex::default(),
            tally: Default::default(),
            browsers: Default::default(),
        };
        for (tenant, mount, folder) in places() {
            let dir = world.folder(tenant, mount, folder);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("seed"), told(tenant, mount, folder)).unwrap();
        }
        world
    }

    fn folder(&self, tenant: &str, mount: &str, folder: &str) -> PathBuf {
        self.server.dir().join(mount).join(tenant).join(folder)
    }

    /// Puts other rules into the folder, and waits until they are followed.
    pub async fn follow(&self, rules: &[Rule], round: usize) {
        let cedar = written(rules, round);
        let before = self.server.running.stages.rules.load().digest();
        fs::write(self.server.dir().join("policy.d/rules.cedar"), &cedar).unwrap();
        let began = Instant::now();
        while self.server.running.stages.rules.load().digest() == before {
            if began.elapsed() > FOLLOWED_MAX {
                let log = log::text();
                let told = log
                    .lines()
                    .rev()
                    .filter(|line| line.contains("rules"))
                    .take(4);
                panic!(
                    "not followed: {cedar}\n{}",
                    told.collect::<Vec<_>>().join("\n")
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn count(&self, end: usize) {
        self.tally[end].fetch_add(1, Ordering::Relaxed);
    }
}

fn places() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let all = TENANTS
        .into_iter()
        .flat_map(|tenant| MOUNTS.map(|mount| (tenant, mount)));
    all.flat_map(|(tenant, mount)| FOLDERS.map(|folder| (tenant, mount, folder)))
}

/// What stands in the file of a folder that is there to be read.
pub fn told(tenant: &str, mount: &str, folder: &str) -> String {
    format!("{mount}/{folder} of {tenant}")
}

pub fn written(rules: &[Rule], round: usize) -> String {
    let rules = rules.iter().enumerate();
    rules
        .map(|(n, rule)| rule.cedar(&format!("r{round}-{n}")))
        .collect()
}

/// What hosts heard and which files there are, since the last time.
pub fn outside(world: &World, heard: &mut usize) -> BTreeSet<(usize, Point)> {
    let points = case::universe();
    let mut all = BTreeSet::new();
    let seen = world.upstream.seen_since(*heard);
    for head in &seen {
        let (line, fields) = head.split_once("\r\n").unwrap();
        let words: Vec<_> = line.split(' ').collect();
        let (path, run) = words[1].split_once("?run=").unwrap();
        let host = fields.to_ascii_lowercase();
        let host = host
            .lines()
            .find_map(|line| line.strip_prefix("host: ").map(str::to_owned));
        let is = |point: &&Point| match **point {
            Point::Request(method, name, of) => {
                method == words[0] && of == path && host.as_deref() == Some(name)
            }
            _ => false,
        };
        let point = points.iter().find(is).unwrap_or_else(|| panic!("{head}"));
        all.insert((run.parse().unwrap(), point.clone()));
    }
    *heard += seen.len();
    for (tenant, mount, folder) in places() {
        for entry in fs::read_dir(world.folder(tenant, mount, folder)).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            if let Some(run) = name.strip_prefix("run-") {
                all.insert((run.parse().unwrap(), Point::Write(mount, folder)));
                fs::remove_file(entry.path()).unwrap();
            }
        }
    }
    all
}
