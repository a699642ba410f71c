//! Calls where guests run in the server's process and where they run in executors, in turn.

use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use bailiwick::identity::{BearerToken, Credentials};
use serde_json::Value;

use super::client::What;
use super::common::{self, agree::agree};
use super::rounds::{self, Column, ratios, told};
use super::servers::{self, Ready, Server};

/// How much longer a call may take in an executor.
const GOAL: f64 = 3.0;
/// Whose user calls.
const TENANT: &str = "dev";
/// What is called, and how it is printed.
const CALLED: [(What, &str); 2] = [
    (
        What::Tool("hello", r#"{"name": "Ada"}"#),
        "`hello`: no capability",
    ),
    (
        What::Tool("notes_read", r#"{"name": "shopping"}"#),
        "`notes_read`: a folder and a file",
    ),
];
/// What is written before it is read.
const NOTE: (&str, &str) = ("notes_write", r#"{"name": "shopping", "text": "milk"}"#);

/// Measures and prints.
pub async fn run(
    scratch: &Path,
    rounds: usize,
    span: Duration,
    connections: &[usize],
) -> anyhow::Result<()> {
    let servers = [
        start(scratch, "here", None).await?,
        start(scratch, "apart", Some("--apart")).await?,
    ];
    // Processor time is of the server alone: executors come and go.
    rounds::pair(servers, &CALLED, rounds, span, connections, print).await
}

async fn start(scratch: &Path, name: &str, more: Option<&str>) -> anyhow::Result<Server> {
    let dir = scratch.join(format!("isolation-{name}"));
    let tools = common::tools_dir(&dir);
    common::shipped("hello", &tools).await?;
    common::shipped("notes", &tools).await?;
    let dir = dir.display().to_string();
    let child: Vec<&str> = ["notes", &dir].into_iter().chain(more).collect();
    Server::start(&child).await
}

fn print(connections: usize, name: &str, [here, apart]: &mut [Column; 2]) {
    println!(
        "\n{name}; connections: {connections}; medians of {} rounds",
        here.rate.len()
    );
    println!(
        "                requests/s     p50 µs     p99 µs     µs of the server's processor per call"
    );
    let compared = [
        ("p50", told(ratios(&apart.p50, &here.p50))),
        ("p99", told(ratios(&apart.p99, &here.p99))),
        ("throughput", told(ratios(&apart.rate, &here.rate))),
    ];
    here.print("in process");
    apart.print("executors");
    for (what, ratio) in compared {
        println!("  executors : in process, {what}: median {ratio}");
    }
    println!("  goal for p50: {GOAL} at most");
}

/// The child: serves what is called, after its user has agreed to all of it and written the note.
pub async fn serve(dir: &Path, apart: bool) -> anyhow::Result<()> {
    servers::log();
    let (running, tokens) = common::start_tenants(dir, apart, &[TENANT]).await?;
    let token = tokens.into_iter().next().context("there is a token")?;
    let stages = &running.stages;
    let shown = Credentials::bearer(BearerToken::new(token.clone()));
    let caller = stages.identity.verify(shown, stages.clock.now()).await?;
    let called = CALLED.iter().filter_map(|(what, _)| match what {
        What::Tool(tool, arguments) => Some((*tool, *arguments)),
        _ => None,
    });
    // Once to be asked, and once more to have it done.
    for (tool, arguments) in [NOTE, NOTE].into_iter().chain(called) {
        let arguments: Value = serde_json::from_str(arguments)?;
        agree(&running, &caller, tool, &arguments)
            .await
            .with_context(|| format!("nobody agreed to `{tool}`"))?;
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
