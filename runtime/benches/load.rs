//! The whole server under load beside the same handler native in rmcp: `cargo bench -p bailiwick --bench load`.
//!
//! Each server is a child process of this one, so that neither shares a heap, a runtime or an engine's tick with the other
//! or with the client, and so that memory and processor time can be read for each alone. Both are this very program: same
//! compiler, same allocator, same versions of everything below. Rounds are interleaved, since the machine drifts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};

#[path = "load/apart.rs"]
mod apart;
#[path = "load/attacks.rs"]
mod attacks;
#[path = "load/audited.rs"]
mod audited;
#[path = "load/canary.rs"]
mod canary;
#[path = "load/client.rs"]
mod client;
mod common;
#[path = "load/fair.rs"]
mod fair;
#[path = "load/first.rs"]
mod first;
#[path = "load/flood.rs"]
mod flood;
#[path = "load/forgetful.rs"]
mod forgetful;
#[path = "load/halves.rs"]
mod halves;
#[path = "load/hidden.rs"]
mod hidden;
#[path = "load/log.rs"]
mod log;
#[path = "load/many.rs"]
mod many;
#[path = "load/memory.rs"]
mod memory;
#[path = "load/native.rs"]
mod native;
#[path = "load/pressure.rs"]
mod pressure;
#[path = "load/reload.rs"]
mod reload;
#[path = "load/residue.rs"]
mod residue;
#[path = "load/rounds.rs"]
mod rounds;
#[path = "load/servers.rs"]
mod servers;
#[path = "load/soak.rs"]
mod soak;
#[path = "load/watch.rs"]
mod watch;
#[path = "load/whole.rs"]
mod whole;

#[derive(Parser)]
struct Arguments {
    /// Rounds of the load run; medians are over these
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Length of one measurement
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Connections, one measurement each
    #[arg(long, value_delimiter = ',', default_value = "1,16")]
    connections: Vec<usize>,
    /// Copies of the tool in the memory, reload and hidden runs
    #[arg(long, default_value_t = 200)]
    copies: usize,
    /// Rules in the reload run
    #[arg(long, default_value_t = 1_000)]
    rules: usize,
    /// Records in the log run
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Tools in the many run
    #[arg(long, default_value_t = 10_000)]
    tools: usize,
    /// Length of the soak run
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Recycled slots in the residue run
    #[arg(long, default_value_t = 100_000)]
    slots: u64,
    /// Only these parts; those that are not named here have to be named
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "load,stages,memory,reload,hidden,fair"
    )]
    only: Vec<Part>,
    /// What cargo says to every bench
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    child: Option<Child>,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Load,
    Stages,
    Memory,
    Reload,
    Hidden,
    Audited,
    Log,
    Flood,
    Fair,
    Apart,
    Many,
    First,
    Soak,
    Residue,
}

#[derive(Subcommand)]
enum Child {
    /// Serves `echo` as a handler of rmcp
    #[command(hide = true)]
    Native,
    /// Serves everything in a folder, as `bailiwick serve --dev` does
    #[command(hide = true)]
    Whole { dir: PathBuf },
    /// Times the stages of one call
    #[command(hide = true)]
    Stages { dir: PathBuf },
    /// Serves what the audited run calls
    #[command(hide = true)]
    WithLog { dir: PathBuf },
    /// The same, with what forgets every record before its state
    #[command(hide = true)]
    WithoutLog { dir: PathBuf },
    /// Serves what the flood run calls
    #[command(hide = true)]
    Limited { dir: PathBuf },
    /// Writes, verifies, searches and exports a log
    #[command(hide = true)]
    Log { dir: PathBuf, records: u64 },
    /// Serves what the apart run calls
    #[command(hide = true)]
    Notes {
        dir: PathBuf,
        #[arg(long)]
        apart: bool,
    },
    /// Serves callers of every tenant of the soak run
    #[command(hide = true)]
    Tenants {
        dir: PathBuf,
        #[arg(long)]
        apart: bool,
    },
    /// From cached native code to the first reply
    #[command(hide = true)]
    First { dir: PathBuf },
    /// Recycles slots
    #[command(hide = true)]
    Residue { dir: PathBuf, slots: u64 },
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut runtime = match &arguments.child {
        // As the program's own.
        Some(_) => tokio::runtime::Builder::new_multi_thread(),
        None => tokio::runtime::Builder::new_current_thread(),
    };
    runtime.enable_all().build()?.block_on(async {
        match &arguments.child {
            Some(Child::Native) => servers::serve(native::start().await?).await,
            Some(Child::Whole { dir }) => servers::serve_whole(dir).await,
            Some(Child::Stages { dir }) => servers::stages(dir).await,
            Some(Child::WithLog { dir }) => audited::serve(dir, true).await,
            Some(Child::WithoutLog { dir }) => audited::serve(dir, false).await,
            Some(Child::Limited { dir }) => flood::serve(dir).await,
            Some(Child::Log { dir, records }) => log::run(dir, *records).await,
            Some(Child::Notes { dir, apart }) => apart::serve(dir, *apart).await,
            Some(Child::Tenants { dir, apart }) => soak::serve(dir, *apart).await,
            Some(Child::First { dir }) => first::run(dir).await,
            Some(Child::Residue { dir, slots }) => residue::run(dir, *slots).await,
            None => run(&arguments).await,
        }
    })
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let scratch = tempfile::tempdir_in(scratch()?)?;
    let dir = scratch.path().join("whole");
    let wants = |part| arguments.only.contains(&part);
    if wants(Part::Load) || wants(Part::Stages) {
        common::echo(&common::tools_dir(&dir).join("echo.wasm")).await?;
    }
    println!("{}", machine());
    if wants(Part::Load) {
        let span = Duration::from_secs_f64(arguments.seconds);
        whole::run(&dir, arguments.rounds, span, &arguments.connections).await?;
    }
    if wants(Part::Stages) {
        servers::run("stages", &dir, None).await?;
    }
    if wants(Part::Audited) {
        let span = Duration::from_secs_f64(arguments.seconds);
        let connections = &arguments.connections;
        audited::run(scratch.path(), arguments.rounds, span, connections).await?;
    }
    if wants(Part::Log) {
        let dir = scratch.path().join("log");
        servers::run("log", &dir, Some(arguments.records)).await?;
    }
    if wants(Part::Flood) {
        flood::run(&scratch.path().join("flood"), arguments.rounds).await?;
    }
    if wants(Part::Memory) {
        memory::run(scratch.path(), arguments.copies).await?;
    }
    if wants(Part::Hidden) {
        hidden::run(scratch.path(), arguments.copies).await?;
    }
    if wants(Part::Fair) {
        let span = Duration::from_secs_f64(arguments.seconds);
        fair::run(scratch.path(), arguments.rounds, span).await?;
    }
    contained(arguments, scratch.path()).await?;
    if wants(Part::Reload) {
        reload::run(
            scratch.path(),
            arguments.copies,
            arguments.rules,
            arguments.rounds,
        )
        .await?;
    }
    Ok(())
}

/// How calls, tools and tenants are kept apart.
async fn contained(arguments: &Arguments, scratch: &Path) -> anyhow::Result<()> {
    let wants = |part| arguments.only.contains(&part);
    let span = Duration::from_secs_f64(arguments.seconds);
    if wants(Part::Apart) {
        apart::run(scratch, arguments.rounds, span, &arguments.connections).await?;
    }
    if wants(Part::Many) {
        many::run(scratch, arguments.rounds, span, arguments.tools).await?;
    }
    if wants(Part::First) {
        first::measure(scratch, arguments.copies).await?;
    }
    if wants(Part::Residue) {
        let dir = scratch.join("residue");
        servers::run("residue", &dir, Some(arguments.slots)).await?;
    }
    if wants(Part::Soak) {
        soak::run(scratch, Duration::from_secs_f64(arguments.minutes * 60.0)).await?;
    }
    Ok(())
}

/// A folder on a real disk: `/tmp` may be memory, where a commit costs nothing.
fn scratch() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    Ok(program
        .parent()
        .context("a program lies in a folder")?
        .to_owned())
}

fn machine() -> String {
    let processor = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name\t: "));
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel =
        std::fs::read_to_string(Path::new("/proc/sys/kernel/osrelease")).unwrap_or_default();
    format!(
        "{} × {cores}, Linux {}, load average {} before the run",
        model.unwrap_or("processor"),
        kernel.trim(),
        load.split_whitespace().next().unwrap_or("?"),
    )
}
