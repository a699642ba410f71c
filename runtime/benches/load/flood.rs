//! What one user who calls at a hundred times a limit takes from another, who keeps to it.
//!
//! Rounds with the flood and without it take turns. Nearly all of the flood is refused.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::client::Connection;
use super::common;
use super::servers::{self, Ready, Server};

/// Calls a second that the limit allows a client.
const LIMIT: u32 = 5;
/// How much of it the flood uses.
const TIMES: u32 = 100;
/// Connections over which the flood comes.
const FLOODING: u32 = 10;
/// Clients of the other user, each of which keeps to the limit.
const QUIET: usize = 64;
/// Calls of the other user in one round, and the pause before each.
const CALLS: usize = 200;
const PAUSE: Duration = Duration::from_millis(5);
/// How much slower the slowest hundredth of the other user's calls may become.
const FACTOR_MAX: f64 = 1.5;

/// Measures and prints.
pub async fn run(dir: &Path, rounds: usize) -> anyhow::Result<()> {
    common::echo(&common::tools_dir(dir).join("echo.wasm")).await?;
    let server = Server::start(&["limited", &dir.display().to_string()]).await?;
    println!("load before: {}", servers::load_average());
    let mut other = Connection::open(&server.ready).await?;
    // Every token is verified once before anything is counted.
    for token in &server.ready.others {
        other.bear(token);
        other.echo().await?;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (mut quiet, mut loud) = (Vec::new(), Vec::new());
    let mut flooded = Flooded::default();
    let mut bearers = server.ready.others.iter().cycle();
    for round in 0..rounds * 2 {
        let stop = Arc::new(AtomicBool::new(false));
        let is_loud = round % 2 == 1;
        let flood = match is_loud {
            true => Some(tokio::spawn(flood(server.ready.clone(), Arc::clone(&stop)))),
            false => None,
        };
        let times = if is_loud { &mut loud } else { &mut quiet };
        for _ in 0..CALLS {
            tokio::time::sleep(PAUSE).await;
            other.bear(bearers.next().context("there are tokens")?);
            let called = Instant::now();
            other.echo().await?;
            times.push(called.elapsed().as_secs_f64() * 1e6);
        }
        stop.store(true, Ordering::Relaxed);
        if let Some(flood) = flood {
            flooded.add(&flood.await??);
        }
    }
    println!("load after: {}", servers::load_average());
    server.stop().await?;
    let rate = f64::from(flooded.sent) / flooded.span.as_secs_f64();
    println!(
        "\n{rounds} rounds of {CALLS} calls each way; beside them {rate:.0} calls a second of a client that may make {LIMIT}, \
         of which {} of {} were refused",
        flooded.refused, flooded.sent
    );
    println!("                      p50 µs     p99 µs");
    let [quiet, loud] =
        [("without the flood", quiet), ("beside the flood", loud)].map(|(name, mut times)| {
            let (p50, p99) = (quantile(&mut times, 50), quantile(&mut times, 99));
            println!("  {name:<18}{p50:>8.0} {p99:>10.0}");
            p99
        });
    let factor = loud / quiet;
    println!("  factor of p99: {factor:.2}");
    ensure!(
        rate > f64::from(LIMIT * TIMES) / 2.0,
        "that is no flood: {rate:.0} calls a second"
    );
    ensure!(factor <= FACTOR_MAX, "the other user waits too long");
    Ok(())
}

fn quantile(times: &mut [f64], hundredths: usize) -> f64 {
    times.sort_by(f64::total_cmp);
    let place = times.len() * hundredths / 100;
    times.get(place).copied().unwrap_or(f64::NAN)
}

/// What a flood was.
#[derive(Default)]
struct Flooded {
    sent: u32,
    refused: u32,
    span: Duration,
}

impl Flooded {
    fn add(&mut self, more: &Self) {
        self.sent += more.sent;
        self.refused += more.refused;
        self.span += more.span;
    }
}

/// Calls at the rate of the flood, whatever the answers say, until it is stopped.
async fn flood(ready: Ready, stop: Arc<AtomicBool>) -> anyhow::Result<Flooded> {
    let began = Instant::now();
    let every = Duration::from_secs(1) * FLOODING / (LIMIT * TIMES);
    let mut tasks = JoinSet::new();
    for nth in 0..FLOODING {
        let mut connection = Connection::open(&ready).await?;
        let stop = Arc::clone(&stop);
        tasks.spawn(async move {
            tokio::time::sleep(every * nth / FLOODING).await;
            let mut tick = tokio::time::interval(every);
            let (mut sent, mut refused) = (0, 0);
            while !stop.load(Ordering::Relaxed) {
                tick.tick().await;
                let reply = connection.call("echo", json!({"text": "more"})).await?;
                let result = reply.get("result").context("the flood was not answered")?;
                sent += 1;
                let is_error = result.get("isError").and_then(Value::as_bool);
                refused += u32::from(is_error == Some(true));
            }
            anyhow::Ok((sent, refused))
        });
    }
    let mut all = Flooded::default();
    while let Some(one) = tasks.join_next().await {
        let (sent, refused) = one??;
        all.sent += sent;
        all.refused += refused;
    }
    all.span = began.elapsed();
    Ok(all)
}

/// The child: serves `echo` under the limit to one user through one client, and to another through many.
pub async fn serve(dir: &Path) -> anyhow::Result<()> {
    servers::log();
    let more = format!(
        "\n[limits]\ndefaults = false\n\n[[limit]]\nname = \"flooder\"\nper = \"client\"\ncalls = {LIMIT}\nseconds = 1\n"
    );
    let mut who = vec![("alice", "flood".to_owned())];
    who.extend((0..QUIET).map(|nth| ("root", format!("quiet-{nth}"))));
    let (running, mut others) = common::start_limited(dir, &more, &who).await?;
    let token = Some(others.remove(0));
    let address = running.address;
    servers::serve(Ready {
        address,
        token,
        others,
    })
    .await?;
    running.stop().await;
    Ok(())
}
