//! Whether a guest finds anything of an earlier one in a recycled slot of the pool.
//!
//! Calls run in the sandbox of the library, under grants that were made as in the server, by callers of three tenants. The pool has
//! far fewer slots than there are packages, so a slot passes from tenant to tenant and from package to package. Meanwhile the
//! process asks the kernel again and again to take its pages away, those of the slots among them. The run fails where a single
//! block is not empty, and before it begins it shows that the search finds what is there, and lets all tenants call in a pool of fewer
//! slots than there are tenants: there, a slot has passed from one to another for certain.
//!
//! A stack is filled and not searched: Wasm has no way to read what it did not write there.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use bailiwick::catalog::{Catalog, Compiler, Tool};
use bailiwick::config::Config;
use bailiwick::consent::Arguments;
use bailiwick::dev;
use bailiwick::engine::{Pool, WasmEngine};
use bailiwick::grant::GrantSet;
use bailiwick::identity::{BearerToken, Caller, Credentials};
use bailiwick::policy::Circumstances;
use bailiwick::sandbox::{Content, Ending, RunContext, Sandbox, Services};
use bailiwick::server::Running;
use serde_json::{Map, Value};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wasmtime::Store;
use wasmtime::component::{Component, Linker, Val};

use super::canary::{self, LARGE, MARK_BYTES, SMALL};
use super::common;
use super::pressure;
use super::servers;
use super::soak::TENANTS;

/// The pool: four calls at once, and two slots more that stay warm.
const POOL: Pool = Pool {
    calls_in_flight_max: 4,
    hot_tools_max: 2,
};
/// Two slots for memory: fewer than there are tenants.
const NARROW: Pool = Pool::ONE;
const _: () = assert!((memory_slots(NARROW) as usize) < TENANTS.len());
/// Calls in the narrow pool.
const NARROW_CALLS: u64 = 1_000;
/// Packages. The last one is large.
const PACKAGES: usize = 8;
/// One call in so many is of the large package: it takes some milliseconds.
const LARGE_EVERY: u64 = 64;
/// Longest call: far longer than any takes, also on a busy machine.
const CALL_MAX: Duration = Duration::from_secs(60);
/// How often it is said how far the run is.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// What a whole run should come to.
const GOAL: u64 = 10_000_000;

/// The child: measures and prints.
pub async fn run(dir: &Path, count: u64) -> anyhow::Result<()> {
    servers::log();
    let tools = common::tools_dir(dir);
    std::fs::create_dir_all(&tools)?;
    for nth in 0..PACKAGES {
        let size = if nth + 1 == PACKAGES { LARGE } else { SMALL };
        let component = canary::component(&name(nth), size)?;
        std::fs::write(
            tools.join(format!("{}.wasm", name(nth))),
            common::pack(&component, &toml(&name(nth))).await?,
        )?;
    }
    let (running, tokens) = common::start_tenants(dir, false, &TENANTS).await?;
    let engine = Arc::new(WasmEngine::new(POOL)?);
    control(&engine).await?;
    let mut callers = Vec::new();
    for (tenant, token) in TENANTS.iter().zip(tokens) {
        let shown = Credentials::bearer(BearerToken::new(token));
        let now = running.stages.clock.now();
        let caller = running.stages.identity.verify(shown, now).await?;
        ensure!(
            caller.tenant().as_str() == *tenant,
            "the caller is of another tenant"
        );
        callers.push((caller, mark(tenant)));
    }
    let running = Arc::new(running);
    let narrow = Arc::new(WasmEngine::new(NARROW)?);
    let narrow = Slots::open(narrow, dir, &running, callers.clone()).await?;
    Arc::clone(&narrow).recycle(NARROW_CALLS).await?;
    let called = narrow.called.iter().map(|one| one.load(Ordering::Relaxed));
    ensure!(
        called.clone().count() == TENANTS.len() && called.clone().all(|calls| calls > 0),
        "a tenant made no call in the narrow pool"
    );
    ensure!(
        narrow.found.load(Ordering::Relaxed) == 0,
        "a guest found what another one left in the narrow pool"
    );
    println!(
        "  {NARROW_CALLS} calls of {} tenants in {} slots: one passed from one to another, and nothing was found",
        TENANTS.len(),
        memory_slots(NARROW)
    );
    drop(narrow);
    let slots = Slots::open(engine, dir, &running, callers).await?;
    let stop = Arc::new(AtomicBool::new(false));
    let pressing = pressure::press(Arc::clone(&stop))?;
    println!(
        "\nresidue: {count} calls of {PACKAGES} packages of {} tenants in a pool of {} slots; load before: {}",
        TENANTS.len(),
        memory_slots(POOL),
        servers::load_average()
    );
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..POOL.calls_in_flight_max {
        tasks.spawn(Arc::clone(&slots).recycle(count));
    }
    let mut tell = tokio::time::interval(TELL_EVERY);
    tell.tick().await;
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(ended) => ended??,
                None => break,
            },
            _ = tell.tick() => println!("  {} after {} s", slots.next.load(Ordering::Relaxed), began.elapsed().as_secs()),
        }
    }
    let took = began.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    let pressed = pressing
        .join()
        .map_err(|_| anyhow::anyhow!("what takes pages away panicked"))??;
    let rate = count as f64 / took;
    println!("  load after: {}", servers::load_average());
    println!(
        "  slots recycled a second {rate:>14.0}; {GOAL} take {:.0} s",
        GOAL as f64 / rate
    );
    println!(
        "  pages were taken away {} times: {} faults of which {} read a file or swap; {}",
        pressed.times, pressed.faults, pressed.read, pressed.swap
    );
    let found = slots.found.load(Ordering::Relaxed);
    println!("  places that were not empty {found:>11}");
    ensure!(
        pressed.times > 0 && pressed.heard > 0,
        "the kernel took no pages away"
    );
    drop(slots);
    let running = Arc::into_inner(running).context("all tasks have ended")?;
    running.stop().await;
    ensure!(found == 0, "a guest found what another one left");
    Ok(())
}

/// Places for memory in a pool.
const fn memory_slots(pool: Pool) -> u32 {
    pool.calls_in_flight_max + pool.hot_tools_max
}

fn name(nth: usize) -> String {
    format!("canary-{nth}")
}

fn toml(name: &str) -> String {
    format!(
        "name = \"{name}\"\nversion = \"0.1.0\"\ntitle = \"Canary\"\ndescription = \"Searches, and leaves a canary.\"\npublisher = \"tests\"\n"
    )
}

/// The canary of a tenant.
fn mark(tenant: &str) -> String {
    format!("{tenant:#<MARK_BYTES$}")
}

struct Slots {
    sandbox: Sandbox,
    running: Arc<Running>,
    /// What its tools are from.
    _catalog: Catalog,
    tools: Vec<Tool>,
    callers: Vec<(Arc<Caller>, String)>,
    next: AtomicU64,
    found: AtomicU64,
    /// Calls of each tenant.
    called: Vec<AtomicU64>,
    /// The sum of each package's own constants, from its first call.
    sums: Vec<AtomicU64>,
}

impl Slots {
    /// The pool of this engine, with all packages of the folder.
    async fn open(
        engine: Arc<WasmEngine>,
        dir: &Path,
        running: &Arc<Running>,
        callers: Vec<(Arc<Caller>, String)>,
    ) -> anyhow::Result<Arc<Self>> {
        let config = Config::read(&dev::config_file(dir))?;
        let compiler = Compiler::new(common::program());
        let catalog = Catalog::open(config.tools, Arc::clone(&engine), compiler, |_| {}).await?;
        let found = |nth| {
            let name = name(nth);
            catalog
                .find(&name)
                .with_context(|| format!("`{name}` is not served"))
        };
        let tools = (0..PACKAGES).map(found).collect::<Result<_, _>>()?;
        Ok(Arc::new(Self {
            sandbox: Sandbox::new(engine, Services::none()),
            running: Arc::clone(running),
            _catalog: catalog,
            tools,
            called: callers.iter().map(|_| AtomicU64::new(0)).collect(),
            callers,
            next: AtomicU64::new(0),
            found: AtomicU64::new(0),
            sums: (0..PACKAGES).map(|_| AtomicU64::new(0)).collect(),
        }))
    }

    /// Calls until there were so many calls.
    async fn recycle(self: Arc<Self>, count: u64) -> anyhow::Result<()> {
        loop {
            let nth = self.next.fetch_add(1, Ordering::Relaxed);
            if nth >= count {
                return Ok(());
            }
            // Neither the tenant nor the package follows from the other.
            let small = PACKAGES - 1;
            let at = match nth % LARGE_EVERY {
                0 => small,
                _ => usize::try_from(nth.wrapping_mul(2_654_435_761) >> 7)? % small,
            };
            let tenant = usize::try_from(nth)? % self.callers.len();
            let (tool, (caller, mark), sum) = match (
                self.tools.get(at),
                self.callers.get(tenant),
                self.sums.get(at),
            ) {
                (Some(tool), Some(caller), Some(sum)) => (tool, caller, sum),
                _ => bail!("there is no such package or tenant"),
            };
            let text = self.call(tool, caller, mark).await?;
            if let Some(called) = self.called.get(tenant) {
                called.fetch_add(1, Ordering::Relaxed);
            }
            let (found, constants) = canary::numbers(&text)?;
            self.found.fetch_add(found, Ordering::Relaxed);
            let first = sum.compare_exchange(0, constants, Ordering::Relaxed, Ordering::Relaxed);
            if first.is_err_and(|first| first != constants) {
                self.found.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    async fn call(&self, tool: &Tool, caller: &Arc<Caller>, mark: &str) -> anyhow::Result<String> {
        let stages = &self.running.stages;
        let now = stages.clock.now();
        let arguments = Map::from_iter([("mark".to_owned(), Value::from(mark))]);
        let circumstances = Circumstances {
            arguments: &arguments,
            now,
        };
        let permit = stages.rules.load().permit(caller, tool, circumstances)?;
        let consent = stages
            .consents
            .confirm(permit, &Arguments::of(&arguments), now)
            .await?;
        let context = RunContext {
            deadline: CALL_MAX,
            progress: None,
            asking: Default::default(),
            cancel: CancellationToken::new(),
            clock: Arc::clone(&stages.clock),
            given: Default::default(),
        };
        let outcome = self
            .sandbox
            .run(GrantSet::from(consent), canary::arguments(mark), context)
            .await;
        match outcome.ending {
            Ending::Replied(reply) => match reply.content.into_iter().next() {
                Some(Content::Text(text)) => Ok(text),
                _ => bail!("the guest answered otherwise"),
            },
            other => bail!("the guest ended: {}", other.name()),
        }
    }
}

/// Shows that the search finds what is there: one instance is called by two tenants, as a host does that reuses instances. Nothing
/// may be found in the first call, and all of it in the second.
async fn control(engine: &WasmEngine) -> anyhow::Result<()> {
    let engine = engine.engine();
    for size in [SMALL, LARGE] {
        #[expect(clippy::disallowed_methods, reason = "a component of ours")]
        let component = Component::new(engine, canary::component("canary", size)?)?;
        let mut linker = Linker::<()>::new(engine);
        linker.define_unknown_imports_as_traps(&component)?;
        let mut store = Store::new(engine, ());
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = linker.instantiate_async(&mut store, &component).await?;
        let handler = instance.get_export_index(&mut store, None, "bailiwick:tool/handler@0.1.0");
        let call = instance.get_export_index(&mut store, handler.as_ref(), "call");
        let call = call.context("the guest has a call")?;
        let call = instance
            .get_func(&mut store, call)
            .context("the call is a function")?;
        let mut found = Vec::new();
        for tenant in [0, 1] {
            let mark = mark(TENANTS.get(tenant).context("there are tenants")?);
            let given = [
                Val::String("canary".to_owned()),
                Val::String(canary::arguments(&mark)),
            ];
            let mut replied = [Val::Bool(false)];
            call.call_async(&mut store, &given, &mut replied).await?;
            let [replied] = replied;
            found.push(canary::numbers(text(&replied).context("the guest answered otherwise")?)?.0);
        }
        // Memory beyond what it is called with, in blocks of 64 bytes, the table, and both globals.
        let blocks = (u64::from(size.pages + size.grows) - 1) * 65_536 / 64 - 64;
        let filled = blocks + u64::from(size.elements) + 2;
        println!(
            "  an instance that two tenants share: {found:?} places not empty, of {filled} that were filled"
        );
        ensure!(
            found == [0, filled],
            "the search does not find what is there"
        );
    }
    Ok(())
}

/// The text of a reply.
fn text(replied: &Val) -> Option<&str> {
    let Val::Result(Ok(Some(reply))) = replied else {
        return None;
    };
    let Val::Record(fields) = &**reply else {
        return None;
    };
    let (_, Val::List(content)) = fields.first()? else {
        return None;
    };
    let Val::Variant(_, Some(text)) = content.first()? else {
        return None;
    };
    match &**text {
        Val::String(text) => Some(text),
        _ => None,
    }
}
