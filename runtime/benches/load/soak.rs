//! Good and hostile callers for a long time, where guests run in the server's process and where they run in their own: does any
//! process hold more in the end than before?
//!
//! Both servers run at once, each with callers of several tenants. Some call `echo` and check what comes back, some call one attack
//! after the other, some leave in the middle of a call, and now and then far more call at once than there are places. The run
//! fails where something grows, where a good call or an attack is answered otherwise, and where a server does not end in order.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bailiwick::limits::EXECUTORS_WARM;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::attacks::{ATTACKS, Attack, End};
use super::client::Connection;
use super::common;
use super::rounds::median;
use super::servers::{self, Ready, Server};
use super::watch::{self, Looks};

/// Whose users call.
pub const TENANTS: [&str; 3] = ["north", "south", "east"];
/// How long an attack may take, in milliseconds: those that never end shall end often.
const ATTACK_MS: u32 = 200;
/// How often an attack is made before the run until it ends as it should: on a busy machine its time may be over before.
const TRIES: usize = 5;
/// Callers of `echo` of each tenant, and the pause before each of their calls: the processors are to have time for the attacks.
const GOOD: usize = 2;
const PAUSE: Duration = Duration::from_millis(10);
/// Calls over one connection: as every client, a caller comes anew before a server has had enough of it.
const CALLS_MAX: u64 = bailiwick::limits::CONNECTION_REQUESTS_MAX / 10;
/// Callers of attacks of each tenant.
const HOSTILE: usize = 1;
/// When a caller leaves who leaves, after the call was sent.
const LEAVES: Duration = Duration::from_millis(30);
/// Calls at once when there are too many, and the pause before each such flood.
const FLOOD: usize = 300;
const FLOOD_EVERY: Duration = Duration::from_secs(5);
/// How long after a flood nothing is looked at: the server is to have seen that its clients have left.
const FLOOD_OVER: Duration = Duration::from_secs(1);
/// How long an answer may take, so that a server that hangs is found.
const PATIENCE: Duration = Duration::from_secs(30);
/// Looks at the processes in a run; there are no more than one in [`LOOK_MIN`].
const LOOKS: u32 = 400;
const LOOK_MIN: Duration = Duration::from_millis(100);

/// Measures and prints.
pub async fn run(scratch: &Path, span: Duration) -> anyhow::Result<()> {
    let built = scratch.join("soak-packages");
    std::fs::create_dir_all(&built)?;
    common::echo(&built.join("echo.wasm")).await?;
    let names: Vec<_> = ATTACKS.iter().map(|attack| attack.name).collect();
    common::hostile(&names, ATTACK_MS, &built).await?;
    let mut sides = Vec::new();
    for (name, apart) in [("in process", false), ("executors", true)] {
        let side = Side::start(scratch, &built, name, apart).await?;
        side.each_attack_once().await?;
        sides.push(side);
    }
    println!(
        "\nsoak of {} s, both ways at once; load before: {}",
        span.as_secs(),
        servers::load_average()
    );
    let until = Instant::now() + span;
    let mut calling = JoinSet::new();
    for side in &sides {
        side.call(until, &mut calling);
    }
    let every = (span / LOOKS).max(LOOK_MIN);
    let mut beat = tokio::time::interval(every);
    while Instant::now() < until {
        beat.tick().await;
        for side in &mut sides {
            side.look()?;
        }
        while let Some(one) = calling.try_join_next() {
            one??;
        }
    }
    while let Some(one) = calling.join_next().await {
        one??;
    }
    println!("load after: {}", servers::load_average());
    let mut grew = Vec::new();
    for side in sides {
        grew.extend(side.end().await?);
    }
    ensure!(grew.is_empty(), "it grows: {}", grew.join(", "));
    Ok(())
}

/// One server and what is known of it.
struct Side {
    name: &'static str,
    apart: bool,
    server: Server,
    counts: Arc<Counts>,
    /// The server itself, what makes executors, and those together.
    looks: [(&'static str, Looks); 3],
}

/// What came of calls.
#[derive(Default)]
struct Counts {
    good: AtomicU64,
    busy: AtomicU64,
    attacks: AtomicU64,
    left: AtomicU64,
    /// Whether a flood is not over: then there are as many descriptors as it has connections.
    floods: AtomicBool,
    /// What the good ones waited, in microseconds.
    micros: std::sync::Mutex<Vec<f64>>,
}

impl Side {
    async fn start(
        scratch: &Path,
        built: &Path,
        name: &'static str,
        apart: bool,
    ) -> anyhow::Result<Self> {
        let dir = scratch.join(if apart { "soak-apart" } else { "soak-here" });
        let tools = common::tools_dir(&dir);
        std::fs::create_dir_all(&tools)?;
        for package in std::fs::read_dir(built)? {
            let package = package?;
            std::fs::copy(package.path(), tools.join(package.file_name()))?;
        }
        Ok(Self {
            name,
            apart,
            server: Server::tenants(&dir, apart).await?,
            counts: Arc::default(),
            looks: [
                ("server", Looks::default()),
                ("their maker", Looks::default()),
                ("executors", Looks::default()),
            ],
        })
    }

    /// Makes each attack before the run, so that what is counted later is known to be one.
    async fn each_attack_once(&self) -> anyhow::Result<()> {
        let mut connection = Connection::open(&self.server.ready).await?;
        let mut hurried = Vec::new();
        for attack in ATTACKS {
            let mut answer = Value::Null;
            for _ in 0..TRIES {
                let called = connection.call(attack.name, json!({}));
                answer = tokio::time::timeout(PATIENCE, called).await??;
                if attack.ended_by(&answer) {
                    break;
                }
            }
            if !attack.ended_by(&answer) {
                ensure!(
                    End::OutOfTime.is_of(&answer),
                    "{}: `{}` ended otherwise: {answer}",
                    self.name,
                    attack.name
                );
                hurried.push(attack.name);
            }
        }
        if !hurried.is_empty() {
            println!(
                "  {}: too slow a machine to come to their end in {ATTACK_MS} ms: {}",
                self.name,
                hurried.join(", ")
            );
        }
        Ok(())
    }

    /// Has everybody call until then.
    fn call(&self, until: Instant, calling: &mut JoinSet<anyhow::Result<()>>) {
        for (nth, token) in self.server.ready.others.iter().enumerate() {
            let ready = Ready {
                token: Some(token.clone()),
                others: Vec::new(),
                ..self.server.ready.clone()
            };
            for _ in 0..GOOD {
                calling.spawn(good(ready.clone(), until, self.counts.clone()));
            }
            for _ in 0..HOSTILE {
                calling.spawn(hostile(ready.clone(), until, self.counts.clone(), nth));
            }
            if nth == 0 {
                calling.spawn(leaving(ready.clone(), until, self.counts.clone()));
                calling.spawn(flooding(ready, until, self.counts.clone()));
            }
        }
    }

    fn look(&mut self) -> anyhow::Result<()> {
        if self.counts.floods.load(Ordering::Relaxed) {
            return Ok(());
        }
        let server = self.server.pid()?;
        let makers = if self.apart {
            watch::children(server)
        } else {
            Vec::new()
        };
        let executors: Vec<u32> = makers
            .iter()
            .flat_map(|maker| watch::children(*maker))
            .collect();
        for (pids, (_, looks)) in [&[server][..], &makers, &executors]
            .into_iter()
            .zip(&mut self.looks)
        {
            looks.add(watch::held(pids));
        }
        Ok(())
    }

    /// Ends the server, prints, and returns what grew.
    async fn end(self) -> anyhow::Result<Vec<String>> {
        let mut last = Connection::open(&self.server.ready).await?;
        last.echo()
            .await
            .with_context(|| format!("{}: the last call", self.name))?;
        drop(last);
        self.server.stop().await?;
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let counts = &self.counts;
        let mut micros = counts
            .micros
            .lock()
            .map(|all| all.clone())
            .unwrap_or_default();
        println!(
            "\n{}: {} good calls (p50 {:.0} µs), {} attacks, {} calls left, {} answers that it is busy",
            self.name,
            count(&counts.good),
            median(&mut micros),
            count(&counts.attacks),
            count(&counts.left),
            count(&counts.busy),
        );
        println!(
            "  medians of each quarter                     first    second     third      last  last:second  a minute"
        );
        ensure!(
            count(&counts.attacks) > 0 && count(&counts.left) > 0,
            "{}: no attack was made, or nobody left",
            self.name
        );
        let mut grew = Vec::new();
        for (name, looks) in &self.looks {
            if !looks.is_empty() {
                let some = looks.print(name)?;
                grew.extend(
                    some.into_iter()
                        .map(|what| format!("{what} ({})", self.name)),
                );
            }
        }
        if let (true, Some((_, executors))) = (self.apart, self.looks.last()) {
            ensure!(
                !executors.is_empty(),
                "no executor was seen, of which {EXECUTORS_WARM} are always there"
            );
        }
        Ok(grew)
    }
}

/// Calls `echo` and checks the answer, or is told that the server is busy.
async fn good(ready: Ready, until: Instant, counts: Arc<Counts>) -> anyhow::Result<()> {
    let mut connection = Connection::open(&ready).await?;
    for nth in 0_u64.. {
        if Instant::now() >= until {
            break;
        }
        tokio::time::sleep(PAUSE).await;
        anew(&mut connection, &ready, nth).await?;
        let began = Instant::now();
        let text = format!("it is {began:?}");
        let offered = connection.offer("echo", json!({ "text": text }));
        let answer = tokio::time::timeout(PATIENCE, offered)
            .await
            .context("a good call hangs")??;
        let Some(answer) = answer else {
            counts.busy.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        echoed(&answer, &text)?;
        counts.good.fetch_add(1, Ordering::Relaxed);
        if let Ok(mut micros) = counts.micros.lock() {
            micros.push(began.elapsed().as_secs_f64() * 1e6);
        }
    }
    Ok(())
}

/// Comes anew, now and then.
async fn anew(connection: &mut Connection, ready: &Ready, nth: u64) -> anyhow::Result<()> {
    if nth % CALLS_MAX == CALLS_MAX - 1 {
        *connection = Connection::open(ready).await?;
    }
    Ok(())
}

/// A good call was answered with this text.
fn echoed(answer: &[u8], text: &str) -> anyhow::Result<()> {
    let answer: Value = serde_json::from_slice(answer)?;
    let shown = answer.pointer("/result/content/0/text");
    ensure!(
        End::Replied.is_of(&answer) && shown.and_then(Value::as_str) == Some(text),
        "a good call was answered otherwise: {answer}"
    );
    Ok(())
}

/// Calls one attack after the other; each has an answer, and ends as it should or has no time to.
async fn hostile(
    ready: Ready,
    until: Instant,
    counts: Arc<Counts>,
    first: usize,
) -> anyhow::Result<()> {
    let mut connection = Connection::open(&ready).await?;
    for (nth, attack) in (0_u64..).zip(ATTACKS.iter().cycle().skip(first * 5)) {
        if Instant::now() >= until {
            break;
        }
        anew(&mut connection, &ready, nth).await?;
        let Attack { name, .. } = attack;
        let offered = connection.offer(name, json!({}));
        let answer = tokio::time::timeout(PATIENCE, offered).await;
        let answer = answer.with_context(|| format!("`{name}` hangs"))??;
        let Some(answer) = answer else {
            counts.busy.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let answer: Value = serde_json::from_slice(&answer)?;
        ensure!(
            attack.ended_by(&answer) || End::OutOfTime.is_of(&answer),
            "`{name}` ended otherwise: {answer}"
        );
        counts.attacks.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

/// Calls what does not end, and closes the connection.
async fn leaving(ready: Ready, until: Instant, counts: Arc<Counts>) -> anyhow::Result<()> {
    while Instant::now() < until {
        let mut connection = Connection::open(&ready).await?;
        let called = connection.offer("spin", json!({}));
        if tokio::time::timeout(LEAVES, called).await.is_err() {
            counts.left.fetch_add(1, Ordering::Relaxed);
        }
        drop(connection);
        tokio::time::sleep(LEAVES * 10).await;
    }
    Ok(())
}

/// Far more calls at once than there are places, now and then.
async fn flooding(ready: Ready, until: Instant, counts: Arc<Counts>) -> anyhow::Result<()> {
    while Instant::now() < until {
        tokio::time::sleep(FLOOD_EVERY).await;
        counts.floods.store(true, Ordering::Relaxed);
        let mut all = JoinSet::new();
        for _ in 0..FLOOD {
            let (ready, counts) = (ready.clone(), counts.clone());
            all.spawn(async move {
                let called = async {
                    let mut connection = Connection::open(&ready).await?;
                    connection.offer("echo", json!({"text": "flood"})).await
                };
                let answer = tokio::time::timeout(PATIENCE, called).await;
                let count = match answer.context("a call of a flood hangs")?? {
                    None => &counts.busy,
                    Some(answer) => {
                        echoed(&answer, "flood")?;
                        &counts.good
                    }
                };
                count.fetch_add(1, Ordering::Relaxed);
                anyhow::Ok(())
            });
        }
        while let Some(one) = all.join_next().await {
            one??;
        }
        tokio::time::sleep(FLOOD_OVER).await;
        counts.floods.store(false, Ordering::Relaxed);
    }
    Ok(())
}

/// The child: serves callers of every tenant.
pub async fn serve(dir: &Path, apart: bool) -> anyhow::Result<()> {
    servers::log_without_guests();
    let (running, others) = common::start_tenants(dir, apart, &TENANTS).await?;
    servers::serve(Ready {
        address: running.address,
        token: others.first().cloned(),
        others,
    })
    .await?;
    running.stop().await;
    Ok(())
}
