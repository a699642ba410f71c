//! Builds tools and guests once per run, and packs what a test asks for.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex};

use bailiwick::author::build::{build_examples, build_many};
use bailiwick::author::{PackError, Packer, TOOL_TOML, ToolToml};
use bailiwick::capability::Kind;
use bailiwick::catalog::manifest::Manifest;
use bailiwick::catalog::{Compiler, package};
use bailiwick::engine::{Pool, WasmEngine};
use serde::Deserialize;
use tokio::sync::{OnceCell, Semaphore};

/// The tools that are shipped.
const TOOLS: [&str; 9] = [
    "hello",
    "notes",
    "fetch",
    "whoami-admin",
    "memory",
    "issues",
    "digest",
    "analyst",
    "customers",
];
/// Shipped tools by which many tests try consent, and which may be given personal data besides.
const PLAIN: [&str; 2] = ["notes", "memory"];
/// Components that are packed at once; each is compiled in a process with threads of its own.
const PACKING_MAX: usize = 2;
/// How long an attacker may run: an attack that must run out of time shall not take ten seconds.
pub const GUEST_WALL_MS: u64 = 1_000;

/// A guest of `guests.toml`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guest {
    /// The endings that are right.
    pub outcome: Vec<String>,
    /// The arguments of its call.
    #[serde(default)]
    arguments: Option<String>,
    /// What it asks for.
    #[serde(default)]
    pub needs: Vec<toml::Table>,
    /// What must be there for it; for people to read.
    setup: Option<String>,
}

impl Guest {
    /// The arguments of its call.
    pub fn arguments(&self) -> serde_json::Value {
        let text = self.arguments.as_deref().unwrap_or("{}");
        serde_json::from_str(text).unwrap()
    }

    /// Whether it never becomes a package that is served.
    pub fn is_refused(&self) -> bool {
        self.outcome == ["refused"]
    }

    /// Whether something must be there for it to do what it tries.
    pub fn is_prepared(&self) -> bool {
        self.setup.is_some()
    }
}

static GUESTS: LazyLock<BTreeMap<String, Guest>> = LazyLock::new(|| {
    let text = std::fs::read_to_string(root().join("tests/guests/guests.toml")).unwrap();
    toml::from_str(&text).unwrap()
});

/// Paths of the components, by name.
static COMPONENTS: LazyLock<BTreeMap<String, PathBuf>> = LazyLock::new(|| {
    let tell = |line: &str| eprintln!("  {line}");
    tell("building the tools and the guests");
    let tools = TOOLS.map(|name| {
        let dir = root().join("tools").join(name);
        let toml = ToolToml::read(&dir.join(TOOL_TOML)).unwrap();
        (dir, toml)
    });
    let built = build_many(&tools, &tell).unwrap();
    let mut all = build_examples(&root().join("tests/guests"), &[], &tell).unwrap();
    all.extend(TOOLS.iter().map(|name| (*name).to_owned()).zip(built));
    all
});

static PACKER: LazyLock<(Packer, Semaphore)> = LazyLock::new(|| {
    let pool = Pool {
        calls_in_flight_max: 4,
        ..Pool::default()
    };
    let engine = WasmEngine::new(pool).unwrap();
    let compiler = Compiler::new(program().to_owned());
    (
        Packer::new(Arc::new(engine), compiler),
        Semaphore::new(PACKING_MAX),
    )
});

type Package = Arc<Vec<u8>>;

static PACKED: LazyLock<Mutex<HashMap<String, Arc<OnceCell<Package>>>>> =
    LazyLock::new(Mutex::default);

/// The workspace.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The program under test.
pub fn program() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_bailiwick"))
}

/// Every guest, by name.
pub fn guests() -> &'static BTreeMap<String, Guest> {
    &GUESTS
}

/// A shipped tool. Those of [`PLAIN`] come without personal data, so that a test about something else is asked about one thing.
pub async fn tool(name: &str) -> Package {
    packed(name, &plain_toml(name)).await
}

/// A shipped tool, as it is shipped.
pub async fn shipped(name: &str) -> Package {
    packed(name, &tool_toml(name)).await
}

/// The text of the `tool.toml` of such a tool.
pub fn plain_toml(name: &str) -> String {
    let text = tool_toml(name);
    if !PLAIN.contains(&name) {
        return text;
    }
    let (before, data) = text.split_once("[[needs]]\nid = \"contacts\"").unwrap();
    let (_, after) = data.split_once("[limits]").unwrap();
    format!("{before}[limits]{after}")
}

fn tool_toml(name: &str) -> String {
    std::fs::read_to_string(root().join("tools").join(name).join(TOOL_TOML)).unwrap()
}

/// A guest with the needs that `guests.toml` gives it, and as much time as the server gives.
pub async fn guest(name: &str) -> Package {
    packed(name, &toml_of(name, &guests()[name].needs)).await
}

/// The same guest, which wishes for little time.
pub async fn hurried(name: &str) -> Package {
    packed(name, &hurried_toml_of(name, &guests()[name].needs)).await
}

/// The text of a `tool.toml` for a guest that wishes for little time.
pub fn hurried_toml_of(name: &str, needs: &[toml::Table]) -> String {
    let limits = format!("[limits]\ntimeout_ms = {GUEST_WALL_MS}\n");
    toml_of(name, needs) + &limits
}

/// The text of a `tool.toml` for a guest with these needs.
pub fn toml_of(name: &str, needs: &[toml::Table]) -> String {
    let head = format!(
        "name = \"{name}\"\nversion = \"0.1.0\"\ntitle = \"The guest {name}\"\ndescription = \"A guest of the tests.\"\npublisher = \"tests\"\n"
    );
    let needs = toml::Value::from(needs.to_vec());
    let rest = toml::Table::from_iter([("needs".to_owned(), needs)]);
    format!("{head}{}", toml::to_string(&rest).unwrap())
}

/// Packs a component with this `tool.toml`, once per run.
pub async fn packed(component: &str, toml: &str) -> Package {
    let key = format!("{component}\n{toml}");
    let cell = Arc::clone(PACKED.lock().unwrap().entry(key).or_default());
    let package = cell.get_or_init(|| async {
        let packed = pack_guest(component, toml).await;
        Arc::new(packed.unwrap_or_else(|error| panic!("{component}: {error}")))
    });
    Arc::clone(package.await)
}

/// Packs a component that may be refused.
pub async fn pack_guest(component: &str, toml: &str) -> Result<Vec<u8>, PackError> {
    pack(&component_bytes(component).await, toml).await
}

/// A component as its compiler left it.
pub async fn component_bytes(component: &str) -> Vec<u8> {
    let components = tokio::task::spawn_blocking(|| &*COMPONENTS).await.unwrap();
    std::fs::read(&components[component]).unwrap()
}

/// Packs these bytes.
pub async fn pack(component: &[u8], toml: &str) -> Result<Vec<u8>, PackError> {
    let toml = ToolToml::parse("tool.toml", toml).unwrap();
    let (packer, places) = &*PACKER;
    let _place = places.acquire().await.unwrap();
    let packed = packer.pack(component, &toml).await?;
    Ok(packed.bytes)
}

/// The same package, in which each tool takes what is asked about only for tools that take it, as far as the package needs it.
pub fn taking(package: &[u8]) -> Vec<u8> {
    with_manifest(package, |manifest| {
        for kind in [Kind::Reveal, Kind::Deliver] {
            if manifest.needs.iter().any(|need| need.kind == kind) {
                for tool in &mut manifest.tools {
                    tool.capabilities.push(kind);
                }
            }
        }
    })
}

/// The same package, with another manifest.
pub fn with_manifest(package: &[u8], change: impl FnOnce(&mut Manifest)) -> Vec<u8> {
    let mut manifest = package::read(package).unwrap().manifest().unwrap();
    change(&mut manifest);
    package::write(&package::strip(package).unwrap(), &manifest).unwrap()
}
