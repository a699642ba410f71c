//! The same server with its log and without, in turn: what the log costs a call, by what the called tool may do.
//!
//! Without means that [`forgetful`] stands before its state. No configuration makes such a server.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use bailiwick::identity::{BearerToken, Credentials};

use super::client::What;
use super::common::{self, agree::agree};
use super::forgetful;
use super::rounds::{self, Column, ratios, told};
use super::servers::{self, Ready, Server};

/// What is called, and how it is printed.
const CALLED: [(What, &str); 4] = [
    (What::Echo, "T0, `echo`: no capability"),
    (What::Tool("whoami", "{}"), "T1, `whoami`: reads two claims"),
    (
        What::Tool("memory_list", "{}"),
        "T2, `memory_list`: may write keys, and lists them",
    ),
    (
        What::Tool(
            "memory_remember",
            r#"{"name": "a", "text": "the quick brown fox"}"#,
        ),
        "T2, `memory_remember`: writes a key",
    ),
];

/// Measures and prints.
pub async fn run(
    scratch: &Path,
    rounds: usize,
    span: Duration,
    connections: &[usize],
) -> anyhow::Result<()> {
    let servers = [
        start(scratch, "with-log").await?,
        start(scratch, "without-log").await?,
    ];
    rounds::pair(servers, &CALLED, rounds, span, connections, print).await
}

fn print(connections: usize, name: &str, [with, without]: &mut [Column; 2]) {
    println!(
        "\n{name}; connections: {connections}; medians of {} rounds",
        with.rate.len()
    );
    println!("                requests/s     p50 µs     p99 µs     µs of processor per call");
    let ratio = told(ratios(&with.rate, &without.rate));
    with.print("with the log");
    without.print("without it");
    println!("  throughput with : without: median {ratio}");
}

async fn start(scratch: &Path, child: &str) -> anyhow::Result<Server> {
    let dir = scratch.join(child);
    packages(&dir).await?;
    Server::start(&[child, &dir.display().to_string()]).await
}

/// The packages with the tools that are called.
async fn packages(dir: &Path) -> anyhow::Result<()> {
    let tools = common::tools_dir(dir);
    common::echo(&tools.join("echo.wasm")).await?;
    common::whoami(&tools.join("whoami.wasm")).await?;
    common::shipped("memory", &tools).await
}

/// The child: serves what [`packages`] made, after its user has agreed to all of it.
pub async fn serve(dir: &Path, is_logged: bool) -> anyhow::Result<()> {
    servers::log();
    let before = (!is_logged).then_some(forgetful::before as fn(_) -> _);
    let (running, token) = common::start_before(dir, "", before).await?;
    let stages = &running.stages;
    let shown = Credentials::bearer(BearerToken::new(token.clone()));
    let caller = stages.identity.verify(shown, stages.clock.now()).await?;
    for (what, _) in CALLED {
        if let What::Tool(tool, arguments) = what {
            let arguments = serde_json::from_str(arguments)?;
            agree(&running, &caller, tool, &arguments)
                .await
                .with_context(|| format!("nobody agreed to `{tool}`"))?;
        }
    }
    servers::serve(Ready {
        address: running.address,
        token: Some(token),
        others: Vec::new(),
    })
    .await?;
    running.stop().await;
    Ok(())
}
