//! Whether the time of an answer tells a tool that one may not see from one that does not exist.

use std::path::Path;
use std::time::Instant;

use anyhow::ensure;
use serde_json::json;

use super::client::Connection;
use super::common;
use super::rounds::median;
use super::servers::Server;

/// Calls of each name after the first.
const AGAIN: usize = 20;

/// The caller sees none of these.
const HIDE: &str = "@id(\"hide\") forbid (principal, action, resource);\n";

/// Measures and prints.
pub async fn run(scratch: &Path, tools: usize) -> anyhow::Result<()> {
    let dir = scratch.join("hidden");
    let folder = common::tools_dir(&dir);
    common::copies(&folder, tools).await?;
    // The first start writes the rules of `--dev` and compiles.
    Server::whole(&dir).await?.stop().await?;
    std::fs::write(common::rules_dir(&dir).join("hide.cedar"), HIDE)?;
    let server = Server::whole(&dir).await?;
    let mut connection = Connection::open(&server.ready).await?;
    let (mut hidden, mut unknown) = (Times::default(), Times::default());
    for copy in 1..tools {
        let mut both = [
            (&mut hidden, format!("echo-{copy}")),
            (&mut unknown, format!("none-{copy}")),
        ];
        if copy % 2 == 0 {
            both.reverse();
        }
        for (times, name) in both {
            times.first.push(time(&mut connection, &name).await?);
            for _ in 0..AGAIN {
                times.again.push(time(&mut connection, &name).await?);
            }
        }
    }
    server.stop().await?;
    println!(
        "\n{} hidden tools and as many names of none; 1 connection",
        tools - 1
    );
    println!(
        "                    median µs: hidden    unknown    hidden is the slower one, share of pairs"
    );
    for (name, hidden, unknown) in [
        ("a name's first call", &mut hidden.first, &mut unknown.first),
        ("its further calls", &mut hidden.again, &mut unknown.again),
    ] {
        let share = slower(hidden, unknown);
        println!(
            "  {name:<24}{:>12.0} {:>10.0} {share:>15.3}",
            median(hidden),
            median(unknown),
        );
    }
    Ok(())
}

#[derive(Default)]
struct Times {
    first: Vec<f64>,
    again: Vec<f64>,
}

async fn time(connection: &mut Connection, name: &str) -> anyhow::Result<f64> {
    let began = Instant::now();
    let reply = connection.call(name, json!({"text": "a"})).await?;
    let took = began.elapsed().as_secs_f64() * 1e6;
    ensure!(reply.get("error").is_some(), "`{name}` answered: {reply}");
    Ok(took)
}

/// In which share of all pairs the first is the slower one: 0.5 if nobody can tell them apart.
fn slower(these: &[f64], those: &[f64]) -> f64 {
    let mut those = those.to_vec();
    those.sort_by(f64::total_cmp);
    let below = these
        .iter()
        .map(|this| those.partition_point(|that| that < this));
    below.sum::<usize>() as f64 / (these.len() * those.len()).max(1) as f64
}
