//! The whole server under load beside the same handler native in rmcp: `cargo bench -p bailiwick --bench load`.
//!
//! Each server is a child process of this one, so that neither shares a heap, a runtime or an engine's tick with the other
//! or with the client, and so that memory and processor time can be read for each alone. Both are this very program: same
//! compiler, same allocator, same versions of everything below. Rounds are interleaved, since the machine drifts.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};

#[path = "load/client.rs"]
mod client;
mod common;
#[path = "load/hidden.rs"]
mod hidden;
#[path = "load/memory.rs"]
mod memory;
#[path = "load/native.rs"]
mod native;
#[path = "load/reload.rs"]
mod reload;
#[path = "load/servers.rs"]
mod servers;
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
    /// Only these parts
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "load,stages,memory,reload,hidden"
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
            None => run(&arguments).await,
        }
    })
}

async fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let scratch = tempfile::tempdir_in(scratch()?)?;
    let dir = scratch.path().join("whole");
    common::echo(&common::tools_dir(&dir).join("echo.wasm")).await?;
    let wants = |part| arguments.only.contains(&part);
    println!("{}", machine());
    if wants(Part::Load) {
        let span = Duration::from_secs_f64(arguments.seconds);
        whole::run(&dir, arguments.rounds, span, &arguments.connections).await?;
    }
    if wants(Part::Stages) {
        servers::print_stages(&dir).await?;
    }
    if wants(Part::Memory) {
        memory::run(scratch.path(), arguments.copies).await?;
    }
    if wants(Part::Hidden) {
        hidden::run(scratch.path(), arguments.copies).await?;
    }
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
