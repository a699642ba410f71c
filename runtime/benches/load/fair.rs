//! What calls that compute for long leave to others, and what comes of calls when far more are asked for than can be made.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::json;
use tokio::sync::Mutex;
use tokio::task::JoinSet;

use super::client::{self, Connection, Measured};
use super::common;
use super::halves::Halves;
use super::rounds::{median, ratios, told};
use super::servers::{Ready, Server};

/// Spinners for each processor.
const SPINNERS_PER_CORE: usize = 2;
/// How long spinners compute before anything is measured beside them: by then they are known as long.
const SETTLE: Duration = Duration::from_millis(300);
/// Rounds that no spinner reaches before its time is over. A number of more digits may be taken for that of a card, and refused.
const ENDLESS: u64 = 100_000_000_000;
/// What the slowest hundredth of a good tool's calls may take beside spinners, as a multiple of what it takes alone.
const BESIDE_GOAL: f64 = 3.0;
/// What of the most calls a second is still answered when there are too many.
const TOO_MANY_GOAL: f64 = 0.95;
/// What one call of the tool computes for in the run with too many calls.
const WORK: Duration = Duration::from_millis(10);
/// How often the rounds are doubled until they take that.
const DOUBLED_MAX: usize = 20;
/// Connections at which the most calls a second are looked for.
const PEAK_AT: [usize; 3] = [2, 4, 8];
/// How much more is asked for than can be made.
const TOO_MANY: f64 = 5.0;
/// How often calls that are due are sent.
const BEAT: Duration = Duration::from_millis(2);
/// How long it may take until the places of the sandbox are taken.
const FILL_MAX: Duration = Duration::from_secs(60);
/// Connections over which too many calls are sent: more than the sandbox has places.
const CONNECTIONS_MAX: u64 = 600;

/// Measures and prints.
pub async fn run(scratch: &Path, rounds: usize, span: Duration) -> anyhow::Result<()> {
    let dir = scratch.join("fair");
    let tools = common::tools_dir(&dir);
    common::echo(&tools.join("echo.wasm")).await?;
    common::work(&tools.join("work.wasm")).await?;
    let server = Server::whole(&dir).await?;
    client::load(&server.ready, 4, Duration::from_secs(1)).await?;
    for connections in [1, 8] {
        beside_spinners(&server.ready, connections, rounds, span).await?;
    }
    server.stop().await?;
    let (halves, server) = Halves::start(Server::whole(&dir)).await?;
    too_many(&server, &halves, rounds, span).await?;
    server.stop().await?;
    halves.join()
}

#[derive(Default)]
struct Column {
    rate: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
}

impl Column {
    fn add(&mut self, measured: &Measured) {
        self.rate.push(measured.rate());
        self.p50.push(measured.quantile(0.50));
        self.p99.push(measured.quantile(0.99));
    }
}

/// A good tool alone and beside spinners, in turn.
async fn beside_spinners(
    ready: &Ready,
    connections: usize,
    rounds: usize,
    span: Duration,
) -> anyhow::Result<()> {
    let spinners = SPINNERS_PER_CORE * std::thread::available_parallelism()?.get();
    let (mut quiet, mut beside) = (Column::default(), Column::default());
    for round in 0..rounds {
        for with in [round % 2 == 1, round % 2 == 0] {
            let spinning = match with {
                true => Some(spin(ready, spinners).await?),
                false => None,
            };
            tokio::time::sleep(SETTLE).await;
            let measured = client::load(ready, connections, span).await?;
            if let Some(mut spinning) = spinning {
                if let Some(ended) = spinning.try_join_next() {
                    let answer = ended??;
                    bail!("a spinner ended: {}", String::from_utf8_lossy(&answer));
                }
                spinning.shutdown().await;
                beside.add(&measured);
            } else {
                quiet.add(&measured);
            }
        }
    }
    let p99 = told(ratios(&beside.p99, &quiet.p99));
    println!(
        "\n`echo` alone and beside {spinners} spinners; connections: {connections}; medians of {rounds} rounds"
    );
    println!("            requests/s     p50 µs     p99 µs");
    for (name, column) in [("alone", &mut quiet), ("beside", &mut beside)] {
        println!(
            "  {name:<10}{:>10.0} {:>10.0} {:>10.0}",
            median(&mut column.rate),
            median(&mut column.p50),
            median(&mut column.p99),
        );
    }
    println!("  ratio of p99 (goal: {BESIDE_GOAL} at most): median {p99}");
    Ok(())
}

/// So many calls without an end, until they are dropped.
async fn spin(ready: &Ready, count: usize) -> anyhow::Result<JoinSet<anyhow::Result<Vec<u8>>>> {
    let mut all = JoinSet::new();
    for _ in 0..count {
        let mut connection = Connection::open(ready).await?;
        all.spawn(async move {
            let answer = connection.offer("work", json!({"rounds": ENDLESS})).await?;
            answer.context("there was no place for a spinner")
        });
    }
    Ok(all)
}

/// Calls that can be made, and what is made of them when five times as many are asked for. The client has processors of its own: what
/// it computes to ask for too much is not what a server can help.
async fn too_many(
    server: &Server,
    halves: &Halves,
    rounds: usize,
    span: Duration,
) -> anyhow::Result<()> {
    let ready = &server.ready;
    let work = calibrated(ready).await?;
    let (mut peaks, mut goods, mut refusals) = (Vec::new(), Vec::new(), Vec::new());
    let (mut offers, mut spent) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let mut peak = 0.0_f64;
        for connections in PEAK_AT {
            peak = peak.max(closed(ready, connections, work, span).await?);
        }
        let came = open(server, peak * TOO_MANY, work, span).await?;
        let for_good = came.good * WORK.as_secs_f64();
        spent.push((came.busy - for_good) * 1e6 / came.refused.max(1.0));
        peaks.push(peak);
        offers.push(came.sent);
        goods.push(came.good);
        refusals.push(came.refused);
    }
    let goodput = told(ratios(&goods, &peaks));
    println!(
        "\ncalls that compute for {} ms, on a server with {} of the processors and a client with the others; medians of {rounds} rounds",
        WORK.as_millis(),
        halves.of_server()
    );
    println!(
        "  most calls/s, closed loop            {:>10.0}",
        median(&mut peaks)
    );
    println!(
        "  asked for {TOO_MANY} times as often: answered/s {:>8.0}",
        median(&mut goods)
    );
    println!(
        "     sent/s, as far as {CONNECTIONS_MAX} connections go {:>8.0}",
        median(&mut offers)
    );
    println!(
        "                             refused/s  {:>8.0}",
        median(&mut refusals)
    );
    println!(
        "  µs of processor beside {} ms for each answer, by refusals {:>8.0}",
        WORK.as_millis(),
        median(&mut spent)
    );
    println!("  goodput (goal: {TOO_MANY_GOAL} at least): median {goodput}");
    Ok(())
}

/// Rounds of the tool that take [`WORK`].
async fn calibrated(ready: &Ready) -> anyhow::Result<u64> {
    let mut connection = Connection::open(ready).await?;
    let mut rounds = 100_000_u64;
    for _ in 0..DOUBLED_MAX {
        // The best of some: the first call of a tool takes longer than what it computes.
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let began = Instant::now();
            connection.done("work", json!({"rounds": rounds})).await?;
            best = best.min(began.elapsed());
        }
        if best >= WORK {
            return Ok((rounds as f64 * WORK.as_secs_f64() / best.as_secs_f64()) as u64);
        }
        rounds *= 2;
    }
    bail!("{rounds} rounds of the tool take less than {WORK:?}")
}

/// Calls a second when each connection waits for its answer.
async fn closed(
    ready: &Ready,
    connections: usize,
    work: u64,
    span: Duration,
) -> anyhow::Result<f64> {
    let mut all = JoinSet::new();
    let began = Instant::now();
    for _ in 0..connections {
        let mut connection = Connection::open(ready).await?;
        all.spawn(async move {
            let mut made = 0_u64;
            while began.elapsed() < span {
                connection.done("work", json!({"rounds": work})).await?;
                made += 1;
            }
            Ok::<_, anyhow::Error>(made)
        });
    }
    let mut sum = 0;
    while let Some(made) = all.join_next().await {
        sum += made??;
    }
    Ok(sum as f64 / began.elapsed().as_secs_f64())
}

/// What came of calls that were sent whatever came of them, each a second.
struct Came {
    /// Really sent: what is due while every connection waits for its answer is not.
    sent: f64,
    good: f64,
    refused: f64,
    /// How many processors the server kept busy.
    busy: f64,
}

/// Calls when so many a second are asked for. Counted from the moment on in which the places of the sandbox are taken.
async fn open(server: &Server, rate: f64, work: u64, span: Duration) -> anyhow::Result<Came> {
    let idle = Arc::new(Mutex::new(Vec::<Connection>::new()));
    let counts = Arc::new([AtomicU64::new(0), AtomicU64::new(0)]);
    let counting = Arc::new(AtomicBool::new(false));
    let full = Arc::new(AtomicBool::new(false));
    let ready = Arc::new(server.ready.clone());
    let (mut opened, mut due_by_now, mut sending) = (0, 0.0, JoinSet::new());
    let mut sent = 0_u64;
    let began = Instant::now();
    let (mut since, mut busy_before) = (None, 0);
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let counted = loop {
        beat.tick().await;
        if since.is_none() && full.load(Ordering::Relaxed) {
            since = Some(Instant::now());
            busy_before = common::cpu_ns(server.pid()?)?;
            counting.store(true, Ordering::Relaxed);
        }
        match since.map(|since| since.elapsed()) {
            Some(counted) if counted >= span => break counted.as_secs_f64(),
            None if began.elapsed() >= FILL_MAX => bail!("nothing was refused within {FILL_MAX:?}"),
            _ => {}
        }
        let due = began.elapsed().as_secs_f64() * rate;
        while due_by_now < due {
            due_by_now += 1.0;
            let kept = idle.lock().await.pop();
            if kept.is_none() {
                if opened >= CONNECTIONS_MAX {
                    continue;
                }
                opened += 1;
            }
            sent += u64::from(since.is_some());
            let (idle, counts) = (idle.clone(), counts.clone());
            let (counting, full) = (counting.clone(), full.clone());
            let ready = ready.clone();
            sending.spawn(async move {
                let mut connection = match kept {
                    Some(connection) => connection,
                    None => Connection::open(&ready).await?,
                };
                let answer = connection.offer("work", json!({"rounds": work})).await?;
                match &answer {
                    None => full.store(true, Ordering::Relaxed),
                    Some(answer) => client::ensure_done(&serde_json::from_slice(answer)?)?,
                }
                if counting.load(Ordering::Relaxed) {
                    let [good, refused] = &*counts;
                    let count = if answer.is_some() { good } else { refused };
                    count.fetch_add(1, Ordering::Relaxed);
                }
                idle.lock().await.push(connection);
                Ok::<_, anyhow::Error>(())
            });
        }
        while let Some(one) = sending.try_join_next() {
            one??;
        }
    };
    let busy = common::cpu_ns(server.pid()?)? - busy_before;
    counting.store(false, Ordering::Relaxed);
    sending.shutdown().await;
    let [good, refused] = &*counts;
    let per_second = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64 / counted;
    Ok(Came {
        sent: sent as f64 / counted,
        good: per_second(good),
        refused: per_second(refused),
        busy: busy as f64 / 1e9 / counted,
    })
}
