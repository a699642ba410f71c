//! One server with its probes, the web hosts and folders around it, and what was seen there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bailiwick::clock::{Clock, SystemClock};
use bailiwick::config::Config;
use bailiwick::server::{State, resolver};
use bailiwick::store::SqliteKeyValues;
use bailiwick::store::kv::{KeyValues, Space, Writing};

use super::atom::{
    self, ADDRESSEES, CALLEES, FIELDS, FOLDERS, HOSTS, KEYS, MOUNTS, Need, Point, SEALED, SECRETS,
    SETTINGS, STORES, TENANTS, UNSET, sealed, tool_name,
};
use super::case::{Case, KINDS, Rule};
use crate::harness::{Browser, Server, Setup, Upstream, handles, log, packed, taking, toml_of};
use crate::sealed::sealing;

/// How long a call may take, and the server to follow: the machine may do much else besides.
const FOLLOWED_MAX: Duration = Duration::from_secs(60);

/// More keys than one round writes.
const KEYS_MAX: usize = 100_000;

/// Everything that a case meets.
pub struct World {
    pub server: Server,
    /// The stores, as another process would open them.
    values: SqliteKeyValues,
    upstream: Upstream,
    pub tools: Vec<Vec<Need>>,
    /// What stands for everything that was encrypted, by tool, tenant, class and field.
    sealed: BTreeMap<(usize, &'static str, &'static str, &'static str), String>,
    /// Every visit has a number, which is in its requests and files.
    pub visits: AtomicUsize,
    /// What is reached outside, by the model.
    pub expected: Mutex<BTreeSet<(usize, Point)>>,
    /// Visits by how they ended.
    pub tally: [AtomicUsize; 6],
    /// Attempts of each kind that were to be refused, and to reach something.
    pub kinds: Mutex<BTreeMap<&'static str, [usize; 2]>>,
    /// One for each user of the embedded identity provider, who signs in once.
    pub browsers: [tokio::sync::Mutex<Browser>; 2],
}

/// For [`World::tally`].
pub const ENDS: [&str; 6] = [
    "refused",
    "reached something",
    "reached nothing",
    "asked",
    "on the page",
    "ran within another",
];

/// What guests keep, opened as another process would, with the keys under which it is.
async fn key_values(server: &Server) -> SqliteKeyValues {
    server.write_config();
    let config = Config::read(&server.dir().join("bailiwick.toml")).unwrap();
    let state = State::open(&config, resolver(None)).await.unwrap();
    state.key_values(&config).await.unwrap()
}

impl World {
    pub async fn new(tools: Vec<Vec<Need>>) -> Self {
        let upstream = Upstream::start().await;
        let mut setup =
            sealing(Setup::new().only_rules("").machines().calls(256)).call_timeout(FOLLOWED_MAX);
        let mut prefixes = "[tools.prefix]\n".to_owned();
        for (number, needs) in tools.iter().enumerate() {
            let needs: Vec<_> = (0..).zip(needs).map(|(n, need)| need.toml(n)).collect();
            let name = format!("p{number}");
            prefixes.push_str(&format!("{name} = \"{name}-\"\n"));
            let package = packed("reach_each", &toml_of(&name, &needs)).await;
            setup = match number < CALLEES {
                true => setup.package(&name, &package),
                false => setup.package(&name, &taking(&package)),
            };
        }
        for host in HOSTS {
            setup = setup.host(host, upstream.port, true);
        }
        for mount in MOUNTS {
            setup = setup.config(&format!(
                "[[mount]]\nname = \"{mount}\"\npath = \"{mount}/{{tenant}}\"\n"
            ));
        }
        for store in STORES {
            setup = setup.config(&format!("[[kv]]\nname = \"{store}\"\nshare = \"tenant\"\n"));
        }
        for tool in 0..tools.len() {
            setup = setup.config(&format!("[tools.config.p{tool}]\n"));
            for key in SETTINGS.into_iter().filter(|key| *key != UNSET) {
                setup = setup.config(&format!("{key} = \"{}\"\n", set(tool, key)));
            }
        }
        for (name, hosts, form, value) in SECRETS {
            setup = setup.secret_file(name, value).config(&format!(
                "[[secret]]\nname = \"{name}\"\nfile = \"{name}\"\nhosts = {hosts:?}\nform = \"{form}\"\n"
            ));
        }
        let server = setup.config(&prefixes).start().await;
        let mut world = Self {
            values: key_values(&server).await,
            server,
            upstream,
            sealed: BTreeMap::new(),
            tools,
            visits: AtomicUsize::new(0),
            expected: Mutex::default(),
            tally: Default::default(),
            kinds: Mutex::new(KINDS.map(|kind| (kind, [0; 2])).into()),
            browsers: Default::default(),
        };
        for tool in 0..world.tools.len() {
            for tenant in TENANTS {
                let what = SEALED.into_iter();
                let what: Vec<_> = what
                    .flat_map(|class| FIELDS.map(|field| (class, field)))
                    .collect();
                let values = what
                    .iter()
                    .map(|(class, field)| (*class, *field, sealed(tool, tenant, class, field)));
                let values: Vec<_> = values.collect();
                let kept = handles(&world.server, &tool_name(tool), tenant, &values).await;
                let kept = what.into_iter().zip(kept);
                let kept =
                    kept.map(|((class, field), handle)| ((tool, tenant, class, field), handle));
                world.sealed.extend(kept);
            }
        }
        for (tenant, mount, folder) in places() {
            let dir = world.folder(tenant, mount, folder);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("seed"), told(tenant, mount, folder)).unwrap();
        }
        for (tenant, store) in spaces() {
            let values = KEYS.map(|key| (key, kept(tenant, store, key)));
            let pairs: Vec<_> = values
                .iter()
                .map(|(key, value)| (*key, value.as_bytes()))
                .collect();
            let writing = Writing {
                bytes_max: u64::MAX,
                keys_max: u64::MAX,
                now: SystemClock.now(),
                sure: SystemClock.now(),
                expires_at: None,
            };
            let space = space(tenant, store);
            let set = world.values.set(&space, &pairs, &writing);
            set.await.unwrap();
        }
        world
    }

    /// Ends the server and all beside it.
    pub async fn stop(self) {
        self.values.close().await;
        self.server.stop().await;
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

    /// What stands for what was encrypted of a class in a field for the tool and the tenant of a case.
    pub fn handle(&self, case: &Case, class: &'static str, field: &'static str) -> &str {
        &self.sealed[&(case.tool, case.tenant, class, field)]
    }

    pub fn count(&self, end: usize) {
        self.tally[end].fetch_add(1, Ordering::Relaxed);
    }

    pub fn count_point(&self, point: &Point, reached: bool) {
        let mut kinds = self.kinds.lock().unwrap();
        kinds.get_mut(point.kind()).unwrap()[usize::from(reached)] += 1;
    }

    /// What is found outside after this run, if it reaches that.
    pub fn expect(&self, run: usize, case: &Case, reach: &BTreeSet<Point>) {
        let mut expected = self.expected.lock().unwrap();
        for point in case.tried.intersection(reach) {
            match *point {
                Point::Request(_, host, _) => {
                    let lent = SECRETS.map(|(name, ..)| Point::Lent(name, host));
                    let lent = lent.into_iter().filter(|lent| reach.contains(lent));
                    expected.extend(lent.map(|lent| (run, lent)));
                }
                Point::Write(..) | Point::Keep(..) | Point::Delivered(..) => {}
                _ => continue,
            }
            expected.insert((run, point.clone()));
        }
    }
}

fn spaces() -> impl Iterator<Item = (&'static str, &'static str)> {
    let all = TENANTS.into_iter();
    all.flat_map(|tenant| STORES.map(|store| (tenant, store)))
}

fn space(tenant: &str, store: &str) -> Space {
    Space {
        store: store.parse().unwrap(),
        tenant: tenant.parse().unwrap(),
        user: None,
    }
}

/// What is kept under a key that is there to be read.
pub fn kept(tenant: &str, store: &str, key: &str) -> String {
    format!("{store} {key} of {tenant}")
}

/// What the operator set for the package of a tool.
pub fn set(tool: usize, key: &str) -> String {
    format!("{key} of p{tool}")
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

/// What a host was sent in place of a handle, whoever it was encrypted for; none where it got the handle.
fn delivered(fields: &str, sent: &str) -> Option<Point> {
    if bailiwick::protect::Handle::is_one(sent) {
        return None;
    }
    let fields = fields.to_ascii_lowercase();
    let host = fields.lines().find_map(|line| line.strip_prefix("host: "));
    let to = ADDRESSEES.into_iter().find(|is| Some(*is) == host).unwrap();
    for class in SEALED {
        for field in FIELDS {
            for (tool, tenant) in (0..atom::TOOLS).flat_map(|tool| TENANTS.map(|of| (tool, of))) {
                if sealed(tool, tenant, class, field) == sent {
                    return Some(Point::Delivered(to, class, field));
                }
            }
        }
    }
    panic!("{sent} was sent to {to}");
}

/// What hosts heard and which files there are, since the last time.
pub async fn outside(world: &World, heard: &mut usize) -> BTreeSet<(usize, Point)> {
    let points = atom::universe();
    let mut all = BTreeSet::new();
    let seen = world.upstream.seen_since(*heard);
    for head in &seen {
        let (line, fields) = head.split_once("\r\n").unwrap();
        let words: Vec<_> = line.split(' ').collect();
        let (path, run) = words[1].split_once("?run=").unwrap();
        if let Some((run, sent)) = run.split_once("&to=") {
            all.extend(delivered(fields, sent).map(|point| (run.parse().unwrap(), point)));
            continue;
        }
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
        let run = run.parse().unwrap();
        let at = host.as_deref().unwrap();
        let fields = fields.to_ascii_lowercase();
        for (name, _, form, value) in SECRETS {
            let field = form.strip_prefix("header ").unwrap();
            if fields.contains(&format!("{field}: {value}\r\n")) {
                let at = HOSTS.into_iter().find(|host| *host == at).unwrap();
                all.insert((run, Point::Lent(name, at)));
            }
        }
        let strays = fields.matches("canary").count() + fields.matches("authorization").count();
        let lent = all
            .iter()
            .filter(|(of, point)| *of == run && matches!(point, Point::Lent(..)));
        assert!(strays <= lent.count(), "{head}");
        all.insert((run, point.clone()));
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
    for (tenant, store) in spaces() {
        let (space, now) = (space(tenant, store), SystemClock.now());
        let keys = world.values.keys(&space, "", "", KEYS_MAX, now);
        let keys = keys.await.unwrap();
        let written: Vec<_> = keys
            .iter()
            .filter_map(|name| Some((name.as_str(), name.split_once("~run-")?)))
            .collect();
        for (_, (key, run)) in &written {
            let key = KEYS.into_iter().find(|is| is == key).unwrap();
            all.insert((run.parse().unwrap(), Point::Keep(store, key)));
        }
        let names: Vec<_> = written.iter().map(|(name, _)| *name).collect();
        world.values.delete(&space, &names, now).await.unwrap();
    }
    all
}
