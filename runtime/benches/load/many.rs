//! What it costs a call that many tools are there, and that calls go to many of them.
//!
//! The packages are copies of one component under other names. Admission would compile each anew; here it is compiled once, and its
//! native code is kept in the cache under the digest of every copy, as the server itself keeps it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bailiwick::catalog::cache::{Cache, Key};
use bailiwick::catalog::{Compiler, Part, package};
use bailiwick::config::Config;
use bailiwick::dev;
use bailiwick::engine::{Pool, WasmEngine};
use bailiwick::ids::Digest;
use bailiwick::limits::PACKAGES_MAX;

use super::client::{self, What};
use super::common;
use super::rounds::{Column, ratios, round, told};
use super::servers::{self, Server};

/// Length of the run before the first round, which is not counted.
const WARM_UP: Duration = Duration::from_secs(2);
/// Over so many tools calls are spread, each of a package of its own.
const SPREAD: usize = 1_000;
/// How much slower the middle call of a hot tool may be beside others that nobody calls, and a call of one of a thousand.
const HOT_GOAL: f64 = 1.10;
const SPREAD_GOAL: f64 = 3.0;
/// The tool that is called.
const HOT: What = What::Tool("tool-0-0", r#"{"text": "the quick brown fox"}"#);

/// Measures and prints.
pub async fn run(
    scratch: &Path,
    rounds: usize,
    span: Duration,
    tools: usize,
) -> anyhow::Result<()> {
    let packages = tools.min(PACKAGES_MAX);
    let each = tools.div_ceil(packages.max(1));
    let (one, many) = (scratch.join("many-1"), scratch.join("many"));
    copies(&one, 1, 1).await?;
    copies(&many, packages, each).await?;
    let one = Server::whole(&one).await?;
    let many = Server::whole(&many).await?;
    let spread_over = SPREAD.min(packages);
    let spread = What::Spread(spread_over);
    for (server, what) in [(&one, HOT), (&many, HOT), (&many, spread)] {
        client::load_of(&server.ready, what, 1, WARM_UP).await?;
    }
    println!(
        "\n{} tools of {packages} packages; 1 connection; medians of {rounds} rounds; load before: {}",
        packages * each,
        servers::load_average()
    );
    let mut columns: [Column; 3] = Default::default();
    for number in 0..rounds {
        let asked = [(&one, HOT), (&many, HOT), (&many, spread)];
        round(number, asked, &mut columns, 1, span).await?;
    }
    let [alone, hot, spread] = &mut columns;
    let compared = [
        (
            "one of all : the only one",
            told(ratios(&hot.p50, &alone.p50)),
            HOT_GOAL,
        ),
        (
            "spread : one",
            told(ratios(&spread.p50, &hot.p50)),
            SPREAD_GOAL,
        ),
    ];
    println!("                requests/s     p50 µs     p99 µs     µs of processor per call");
    alone.print("the only one");
    hot.print("one of all");
    spread.print(&format!("{spread_over} in turn"));
    for (name, ratio, goal) in compared {
        println!("  p50, {name} (goal: {goal} at most): median {ratio}");
    }
    println!("  load after: {}", servers::load_average());
    one.stop().await?;
    many.stop().await
}

/// So many packages with so many tools each in the folder of a server, and native code for all of them in its cache.
pub async fn copies(dir: &Path, packages: usize, tools: usize) -> anyhow::Result<()> {
    let folder = common::tools_dir(dir);
    let first = folder.join("copied.wasm");
    common::copied(&first).await?;
    let bytes = std::fs::read(&first)?;
    std::fs::remove_file(&first)?;
    // Writes the configuration and the rules.
    Server::whole(dir).await?.stop().await?;
    let cache = Cache::open(&Config::read(&dev::config_file(dir))?.tools.cache_dir)?;
    let engine = Arc::new(WasmEngine::new(Pool::ONE)?);
    let compiler = Compiler::new(common::program());
    let code = compiler.compile(&bytes, Part::Guest, cache.dir()).await?;
    let component = package::strip(&bytes)?;
    let manifest = package::read(&bytes)?.manifest()?;
    for nth in 0..packages {
        let mut manifest = manifest.clone();
        manifest.name = format!("package-{nth}").parse()?;
        let tool = manifest.tools.first().cloned();
        manifest.tools = Vec::new();
        for (number, mut tool) in tool.into_iter().cycle().take(tools).enumerate() {
            tool.name = format!("tool-{nth}-{number}").parse()?;
            manifest.tools.push(tool);
        }
        let bytes = package::write(&component, &manifest)?;
        let key = Key {
            component: Digest::of(&bytes),
            configuration: engine.configuration_digest(),
            part: Part::Guest,
        };
        cache.keep(key, &code)?;
        std::fs::write(folder.join(format!("package-{nth}.wasm")), bytes)?;
    }
    Ok(())
}
