//! What calls feel while the rules are loaded anew.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde_json::json;

use super::client::{self, Connection, Measured};
use super::common;
use super::rounds::median;
use super::servers::{Ready, Server};

/// How often it is asked whether the new rules are in force.
const LOOK: Duration = Duration::from_millis(50);
/// A reload that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(120);
/// The measurement without a reload, beside each one with it.
const QUIET: Duration = Duration::from_secs(4);
/// The tool that a rule hides and shows again, which tells when the rules are in force.
const SIGN: &str = "echo-1";

/// Measures and prints.
pub async fn run(scratch: &Path, tools: usize, rules: usize, rounds: usize) -> anyhow::Result<()> {
    let dir = scratch.join("reload");
    common::copies(&common::tools_dir(&dir), tools).await?;
    // The first start writes the rules of `--dev` and compiles.
    Server::whole(&dir).await?.stop().await?;
    let file = common::rules_dir(&dir).join("many.cedar");
    std::fs::write(&file, many(rules, tools))?;
    let server = Server::whole(&dir).await?;
    println!("\n{rules} rules, {tools} tools; 1 connection; medians of {rounds} rounds");
    let (mut loads, mut quiet, mut during) = (Vec::new(), Column::default(), Column::default());
    for round in 0..rounds {
        quiet.add(&client::load(&server.ready, 1, QUIET).await?);
        let hidden = round % 2 == 0;
        let text = many(rules, tools) + if hidden { HIDE } else { "" };
        let (took, measured) = reloaded(&server.ready, &file, &text, hidden).await?;
        loads.push(took.as_secs_f64() * 1e3);
        during.add(&measured);
    }
    println!(
        "  from the file's change until the rules are in force, ms {:>12.0}",
        median(&mut loads)
    );
    println!("                          p50 µs     p99 µs     slowest µs");
    quiet.print("without a reload");
    during.print("during a reload");
    server.stop().await
}

const HIDE: &str = "@id(\"hide\") forbid (principal, action, resource == Tool::\"echo-1\");\n";

/// Ten rules about every tool, the rest about one tool each.
fn many(rules: usize, tools: usize) -> String {
    let rule = |n: usize| match n < 10 {
        true => format!(
            "@id(\"all-{n}\") permit (principal in Role::\"role-{n}\", action, resource);\n"
        ),
        false => format!(
            "@id(\"own-{n}\") permit (principal in Role::\"role-{n}\", action, resource == Tool::\"echo-{}\") when {{ context.client != \"client-{n}\" }};\n",
            n % (tools - 1) + 1
        ),
    };
    (0..rules).map(rule).collect()
}

/// Calls from the moment in which the file is replaced until the rules in it are in force.
async fn reloaded(
    ready: &Ready,
    file: &Path,
    text: &str,
    hidden: bool,
) -> anyhow::Result<(Duration, Measured)> {
    let mut probe = Connection::open(ready).await?;
    let over = Arc::new(AtomicBool::new(false));
    let began = Instant::now();
    let new = file.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(&new, file)?;
    let watching = async {
        let found = in_force(&mut probe, began, hidden).await;
        over.store(true, Ordering::Relaxed);
        found
    };
    let stop = Arc::clone(&over);
    let loading = client::load_until(ready, 1, move || stop.load(Ordering::Relaxed));
    let (took, measured) = tokio::join!(watching, loading);
    let measured = measured?;
    ensure!(
        !measured.micros.is_empty(),
        "no call was made during the reload"
    );
    Ok((took?, measured))
}

/// How long it took until the sign was hidden, or was shown again.
async fn in_force(
    probe: &mut Connection,
    began: Instant,
    hidden: bool,
) -> anyhow::Result<Duration> {
    loop {
        let reply = probe.call(SIGN, json!({"text": ""})).await?;
        if reply.get("error").is_some() == hidden {
            return Ok(began.elapsed());
        }
        ensure!(
            began.elapsed() < PATIENCE,
            "the rules were not in force after {PATIENCE:?}"
        );
        tokio::time::sleep(LOOK).await;
    }
}

#[derive(Default)]
struct Column {
    p50: Vec<f64>,
    p99: Vec<f64>,
    most: Vec<f64>,
}

impl Column {
    fn add(&mut self, measured: &Measured) {
        self.p50.push(measured.quantile(0.50));
        self.p99.push(measured.quantile(0.99));
        self.most.push(measured.quantile(1.0));
    }

    fn print(&mut self, name: &str) {
        println!(
            "  {name:<20}{:>10.0} {:>10.0} {:>14.0}",
            median(&mut self.p50),
            median(&mut self.p99),
            median(&mut self.most),
        );
    }
}
