//! What stays in memory: for a tool that nobody calls, and for a call in flight.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::json;

use super::client::Connection;
use super::common;
use super::servers::Server;

/// Calls in flight at once.
const CALLS: usize = 64;
/// How often a process is looked at until its memory stands still.
const LOOK: Duration = Duration::from_millis(100);
/// Looks without change after which it does.
const STILL: u32 = 5;
/// Looks after which we no longer wait.
const LOOKS_MAX: u32 = 30;

/// Measures and prints.
pub async fn run(scratch: &Path, copies: usize) -> anyhow::Result<()> {
    println!("\nanonymous memory of the server (RssAnon), KiB");
    idle(scratch, copies).await?;
    in_flight(scratch).await
}

async fn idle(scratch: &Path, copies: usize) -> anyhow::Result<()> {
    let package = {
        let out = scratch.join("echo.wasm");
        common::echo(&out).await?;
        std::fs::read(out)?
    };
    let mut found = Vec::new();
    for count in [1, copies] {
        let dir = scratch.join(format!("idle-{count}"));
        let tools = common::tools_dir(&dir);
        std::fs::create_dir_all(&tools)?;
        for copy in 0..count {
            let name = format!("echo-{copy}");
            std::fs::write(
                tools.join(format!("{name}.wasm")),
                common::renamed(&package, &name)?,
            )?;
        }
        // The first start compiles; what counts is a server that finds native code in its cache.
        Server::whole(&dir).await?.stop().await?;
        let server = Server::whole_and_frugal(&dir).await?;
        let kib = still(server.pid()?).await?;
        println!("  {count:>4} idle tools{kib:>34}");
        found.push((count, kib));
        server.stop().await?;
    }
    if let [(few, least), (many, most)] = found.as_slice() {
        println!(
            "  per idle tool {:>35.1}",
            per(*most, *least, many.saturating_sub(*few))
        );
    }
    Ok(())
}

async fn in_flight(scratch: &Path) -> anyhow::Result<()> {
    let dir = scratch.join("flight");
    let tools = common::tools_dir(&dir);
    common::echo(&tools.join("echo.wasm")).await?;
    common::sleep(&tools.join("sleep.wasm")).await?;
    let server = Server::whole_and_frugal(&dir).await?;
    let pid = server.pid()?;
    let mut idle = Vec::new();
    for _ in 0..CALLS {
        let mut connection = Connection::open(&server.ready).await?;
        connection.echo().await?;
        idle.push(connection);
    }
    // One call that ends, so that what is made once is made.
    asleep(&mut idle, 1)
        .join_all()
        .await
        .into_iter()
        .for_each(|one| idle.extend(one.ok()));
    let base = still(pid).await?;
    println!("  {CALLS} open connections, no call{base:>22}");
    let mut last = base;
    for count in [1, CALLS] {
        let sleeping = asleep(&mut idle, count);
        last = still(pid).await?;
        println!("  {count:>4} calls in flight{last:>30}");
        for one in sleeping.join_all().await {
            idle.push(one?);
        }
    }
    println!("  per call in flight{:>31.1}", per(last, base, CALLS));
    let after = still(pid).await?;
    println!("  after them{after:>39}");
    server.stop().await
}

/// Calls of a tool that waits until its time is over, each over one of these connections.
fn asleep(
    idle: &mut Vec<Connection>,
    count: usize,
) -> tokio::task::JoinSet<anyhow::Result<Connection>> {
    let mut tasks = tokio::task::JoinSet::new();
    for mut connection in idle.drain(..count.min(idle.len())) {
        tasks.spawn(async move {
            let reply = connection.call("sleep_poll", json!({})).await?;
            let text = reply
                .pointer("/result/content/0/text")
                .and_then(|text| text.as_str());
            ensure!(
                text.is_some_and(|text| text.contains("in time")),
                "it did not sleep: {reply}"
            );
            Ok(connection)
        });
    }
    tasks
}

/// Anonymous memory of a process once it no longer changes, in KiB.
async fn still(pid: u32) -> anyhow::Result<u64> {
    let (mut last, mut same) = (anonymous(pid)?, 0);
    for _ in 0..LOOKS_MAX {
        tokio::time::sleep(LOOK).await;
        let now = anonymous(pid)?;
        same = if now == last { same + 1 } else { 0 };
        last = now;
        if same >= STILL {
            break;
        }
    }
    Ok(last)
}

fn anonymous(pid: u32) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = line
        .and_then(|line| line.split_whitespace().next())
        .context("no RssAnon")?;
    Ok(kib.parse()?)
}

fn per(most: u64, least: u64, count: usize) -> f64 {
    most.saturating_sub(least) as f64 / count.max(1) as f64
}
