//! From a package whose native code is in the cache to the first reply of its tool, and from one that has to be compiled.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use bailiwick::catalog::admit::Admitter;
use bailiwick::catalog::cache::Cache;
use bailiwick::catalog::{Compiler, Part};
use bailiwick::config::Config;
use bailiwick::dev;
use bailiwick::engine::{Pool, WasmEngine};
use bailiwick::identity::{BearerToken, Credentials};
use bailiwick::mcp::{Answer, Line};
use serde_json::{Map, Value};

use super::common::{self, agree};
use super::many;
use super::rounds::median;
use super::servers;

/// Longest time from the cache to the first reply, in milliseconds.
const GOAL_MS: f64 = 1.0;
/// Compilations; the median counts.
const COMPILATIONS: usize = 5;

/// The child: measures and prints.
pub async fn run(dir: &Path) -> anyhow::Result<()> {
    servers::log();
    let tools = common::tools_dir(dir);
    let config = Config::read(&dev::config_file(dir))?;
    let engine = Arc::new(WasmEngine::new(Pool::default())?);
    let compiler = Compiler::new(common::program());
    let cache = Cache::open(&config.tools.cache_dir)?;
    let admitter = Admitter::new(Arc::clone(&engine), compiler.clone(), cache);
    let (running, token) = common::start(dir).await?;
    let stages = &running.stages;
    let shown = Credentials::bearer(BearerToken::new(token));
    let caller = stages.identity.verify(shown, stages.clock.now()).await?;
    let text = Map::from_iter([("text".to_owned(), Value::from("a"))]);
    let (mut loads, mut firsts, mut seconds, mut sums) = (vec![], vec![], vec![], vec![]);
    let mut count = 0;
    for package in std::fs::read_dir(&tools)? {
        let package = package?.path();
        let name = package
            .file_stem()
            .and_then(|name| name.to_str())
            .context("a package has a name")?;
        let name = format!("{}-0", name.replace("package", "tool"));
        let began = Instant::now();
        // Read, judged, its native code found, checked and mapped.
        let admitted = admitter.admit(std::fs::read(&package)?).await?;
        let load = began.elapsed().as_secs_f64() * 1e3;
        drop(admitted);
        // The server has it loaded since its start, and nobody has called it: linked, instantiated, called.
        let mut both = [0.0; 2];
        for took in &mut both {
            let call = agree::call(&name, &text)?;
            let began = Instant::now();
            let answer = stages.call(call, Arc::clone(&caller)).await;
            *took = began.elapsed().as_secs_f64() * 1e3;
            ensure!(
                matches!(answer, Answer::Reply(_)),
                "`{name}` answered otherwise: {answer:?}"
            );
        }
        let [first, second] = both;
        loads.push(load);
        firsts.push(first);
        seconds.push(second);
        sums.push(load + first);
        count += 1;
    }
    let mut compiled = Vec::new();
    let bytes = std::fs::read(tools.join("package-0.wasm"))?;
    for _ in 0..COMPILATIONS {
        let began = Instant::now();
        compiler.compile(&bytes, Part::Guest, dir).await?;
        compiled.push(began.elapsed().as_secs_f64() * 1e3);
    }
    running.stop().await;
    println!(
        "\nfrom cached native code to the first reply; medians of {count} tools, ms; load: {}",
        servers::load_average()
    );
    let sum = median(&mut sums);
    for (name, took) in [
        (
            "package read and judged, its code found, checked and mapped",
            median(&mut loads),
        ),
        (
            "first call, all of the line: decided, linked, instantiated",
            median(&mut firsts),
        ),
        ("both", sum),
        ("second call, all of the line", median(&mut seconds)),
        ("compiled, in a process of its own", median(&mut compiled)),
    ] {
        println!("  {name:<62}{took:>9.3}");
    }
    println!(
        "  goal: {GOAL_MS} at most; compiling takes {:.0} times as long",
        median(&mut compiled) / sum
    );
    Ok(())
}

/// Makes the packages, and measures in a child.
pub async fn measure(scratch: &Path, copies: usize) -> anyhow::Result<()> {
    let dir = scratch.join("first");
    many::copies(&dir, copies, 1).await?;
    servers::run("first", &dir, None).await
}
