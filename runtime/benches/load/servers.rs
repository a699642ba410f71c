//! The child processes, seen from both sides.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tracing_subscriber::EnvFilter;

use super::common::{self, stages::OneCall};

/// What a child says when it serves.
#[derive(Clone, Serialize, Deserialize)]
pub struct Ready {
    /// Where.
    pub address: SocketAddr,
    /// The token to call with.
    pub token: Option<String>,
    /// Tokens of somebody else, through a client each.
    #[serde(default)]
    pub others: Vec<String>,
}

/// A server in a process of its own; it ends when this is dropped.
pub struct Server {
    /// Where it listens and what it wants to see.
    pub ready: Ready,
    process: Child,
    stdin: Option<ChildStdin>,
}

impl Server {
    /// Starts this program as one of its children and waits until it serves.
    pub async fn start(child: &[&str]) -> anyhow::Result<Self> {
        Self::start_in(child, &[]).await
    }

    async fn start_in(child: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(child)
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = process.stdin.take();
        let stdout = process.stdout.take().context("the child has an output")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).await?;
        let ready = serde_json::from_str(&line).context("the child did not start")?;
        Ok(Self {
            ready,
            process,
            stdin,
        })
    }

    /// The whole server on a folder.
    pub async fn whole(dir: &Path) -> anyhow::Result<Self> {
        Self::start(&["whole", &dir.display().to_string()]).await
    }

    /// The same, with an allocator that gives back at once what is freed: what is left is what is held.
    pub async fn whole_and_frugal(dir: &Path) -> anyhow::Result<Self> {
        let dir = dir.display().to_string();
        Self::start_in(&["whole", &dir], &[("MIMALLOC_PURGE_DELAY", "0")]).await
    }

    /// The whole server for callers of every tenant of the soak, with guests where `apart` says.
    pub async fn tenants(dir: &Path, apart: bool) -> anyhow::Result<Self> {
        let dir = dir.display().to_string();
        let more = apart.then_some("--apart");
        let child: Vec<&str> = ["tenants", &dir].into_iter().chain(more).collect();
        Self::start(&child).await
    }

    /// Its process.
    pub fn pid(&self) -> anyhow::Result<u32> {
        self.process.id().context("the child has ended")
    }

    /// Ends it in order.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        drop(self.stdin.take());
        let status = self.process.wait().await?;
        ensure!(status.success(), "a server ended with {status}");
        Ok(())
    }
}

/// Tells the parent that we serve, and waits until it has had enough.
pub async fn serve(ready: Ready) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(&ready)?);
    let mut rest = Vec::new();
    tokio::io::stdin().read_to_end(&mut rest).await?;
    Ok(())
}

/// The whole server, with the program's own log.
pub async fn serve_whole(dir: &Path) -> anyhow::Result<()> {
    log();
    let (running, token) = common::start(dir).await?;
    serve(Ready {
        address: running.address,
        token: Some(token),
        others: Vec::new(),
    })
    .await?;
    running.stop().await;
    Ok(())
}

/// How busy the machine is.
pub fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.trim().to_owned()
}

/// What the program logs.
pub fn log() {
    log_by("warn,rmcp=error,rmcp::service=off,bailiwick=warn");
}

/// The same without what guests say, and without what becomes of answers to clients that left.
pub fn log_without_guests() {
    log_by("warn,rmcp=off,bailiwick=warn,bailiwick::guest=off");
}

fn log_by(filter: &str) {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(std::io::stderr)
        .init();
}

/// Runs this program as one of its children to its end.
pub async fn run(child: &str, dir: &Path, count: Option<u64>) -> anyhow::Result<()> {
    let status = Command::new(std::env::current_exe()?)
        .arg(child)
        .arg(dir)
        .args(count.map(|count| count.to_string()))
        .status()
        .await?;
    ensure!(status.success(), "`{child}` ended with {status}");
    Ok(())
}

/// Runs of one stage in one measurement.
const RUNS: u32 = 5_000;
/// Measurements of one stage; the median counts.
const MEASUREMENTS: usize = 7;

/// Prints what each stage takes: by the clock, and of all processors together.
pub async fn stages(dir: &Path) -> anyhow::Result<()> {
    log();
    let (running, token) = common::start(dir).await?;
    let call = OneCall::new(running, token).await?;
    println!("\nstage of one call, called directly    µs by the clock    µs of processor");
    macro_rules! stage {
        ($name:literal, $before:expr, $given:pat, $body:expr) => {{
            let (mut clock, mut processor) = (Vec::new(), Vec::new());
            for _ in 0..MEASUREMENTS {
                let mut all = Vec::new();
                for _ in 0..RUNS {
                    all.push($before);
                }
                call.flush().await?;
                let (began, used) = (Instant::now(), common::cpu_ns(std::process::id())?);
                for $given in all {
                    let _ = std::hint::black_box($body);
                }
                clock.push(began.elapsed().as_secs_f64() * 1e6 / f64::from(RUNS));
                call.flush().await?;
                let used = common::cpu_ns(std::process::id())? - used;
                processor.push(used as f64 / 1e3 / f64::from(RUNS));
            }
            println!(
                "  {:<34}{:>17.1}{:>19.1}",
                $name,
                super::rounds::median(&mut clock),
                super::rounds::median(&mut processor)
            );
        }};
    }
    stage!("token, remembered", (), (), call.verify().await?);
    stage!("tool, by name", (), (), call.find()?);
    stage!("policy", (), (), call.permit()?);
    stage!("input schema", (), (), call.schema()?);
    stage!("digest of the arguments", (), (), call.digest());
    stage!(
        "consent, nothing to ask",
        call.permit()?,
        permit,
        call.confirm(permit).await?
    );
    stage!(
        "sandbox",
        call.grants().await?,
        grants,
        call.run(grants).await?
    );
    stage!(
        "audit, two records, until written",
        (),
        (),
        call.record().await?
    );
    stage!("all of the line", (), (), call.line().await?);
    call.running.stop().await;
    Ok(())
}
