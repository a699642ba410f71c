//! What single host functions cost, and what it costs that they are there: `cargo bench -p bailiwick --bench host`.
//!
//! A guest calls one host function so often, and not at all: the difference is the price of the calls. Everything that is
//! compared runs in turn within each round, since the machine drifts; what is printed are medians over the rounds.

use std::path::Path;

use clap::Parser;

mod common;
#[path = "host/world.rs"]
mod world;

use world::{Way, World};

#[derive(Parser)]
struct Arguments {
    /// Rounds; medians are over these
    #[arg(long, default_value_t = 101)]
    rounds: usize,
    /// What cargo says to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

/// What the guest calls, how often in one run, and what has to run for it.
const CALLS: [(&str, u32, Way); 16] = [
    ("clock", 1_000, Way::Sandbox),
    ("config", 1_000, Way::Sandbox),
    ("secret", 1_000, Way::Sandbox),
    ("claims", 1_000, Way::Line),
    ("log", 200, Way::Sandbox),
    ("progress", 100, Way::Sandbox),
    ("kv get", 200, Way::Sandbox),
    ("kv set", 200, Way::Sandbox),
    ("kv cas", 200, Way::Sandbox),
    ("files stat", 200, Way::Sandbox),
    ("files read", 200, Way::Sandbox),
    ("files write", 200, Way::Sandbox),
    ("http://plain.test/", 16, Way::Sandbox),
    ("http://bearer.test/", 16, Way::Sandbox),
    ("http://signed.test/", 16, Way::Sandbox),
    ("call", 8, Way::Line),
];

/// What is granted beside the whole: so many kinds of capabilities, in the order of [`world::NEEDS`].
const GRANTED: [usize; 4] = [0, 1, 4, 8];
/// Calls of one package in a round: a single one is shorter than the machine's hiccups.
const CALLS_IN_A_ROUND: u32 = 20;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(run(arguments.rounds))
}

async fn run(rounds: usize) -> anyhow::Result<()> {
    let program = std::env::current_exe()?;
    // On a real disk: `/tmp` may be memory, where a commit costs nothing.
    let folder = program.parent().unwrap_or(Path::new("."));
    let dir = tempfile::tempdir_in(folder)?;
    let load = || std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load average before: {}", load().trim());
    let world = World::start(dir.path(), &GRANTED).await?;
    calls(&world, rounds).await?;
    granted(&world, rounds).await?;
    println!("\nload average after: {}", load().trim());
    world.stop().await;
    Ok(())
}

/// Each host function: so many calls of it less none.
async fn calls(world: &World, rounds: usize) -> anyhow::Result<()> {
    let mut all: Vec<Vec<f64>> = vec![Vec::new(); CALLS.len()];
    for round in 0..=rounds {
        for ((what, times, way), measured) in CALLS.iter().zip(&mut all) {
            let most = world.whole(what, *times, *way).await?;
            let none = world.whole(what, 0, *way).await?;
            // The first round makes things ready.
            if round > 0 {
                measured.push((most - none) / f64::from(*times));
            }
        }
    }
    println!("\none call of a host function          calls a run    µs, median    µs, middle half");
    for ((what, times, _), measured) in CALLS.iter().zip(&mut all) {
        let [low, middle, high] = quartiles(measured);
        println!("  {what:<34}{times:>12}{middle:>14.2}    {low:.2} to {high:.2}");
    }
    Ok(())
}

/// The same guest under packages that ask for more and more, none of which it uses.
async fn granted(world: &World, rounds: usize) -> anyhow::Result<()> {
    for way in [Way::Sandbox, Way::Line] {
        let mut all: Vec<Vec<f64>> = vec![Vec::new(); GRANTED.len()];
        for round in 0..=rounds {
            for (kinds, measured) in GRANTED.iter().zip(&mut all) {
                let mut sum = 0.0;
                for _ in 0..CALLS_IN_A_ROUND {
                    sum += world.with(*kinds, way).await?;
                }
                if round > 0 {
                    measured.push(sum / f64::from(CALLS_IN_A_ROUND));
                }
            }
        }
        let none = all.first().cloned().unwrap_or_default();
        println!("\na whole call, {way}    µs, median    to none granted, median of rounds");
        for (kinds, measured) in GRANTED.iter().zip(&mut all) {
            let mut ratios: Vec<_> = measured.iter().zip(&none).map(|(a, b)| a / b).collect();
            let [_, ratio, _] = quartiles(&mut ratios);
            let [low, middle, high] = quartiles(measured);
            println!("  {kinds} kinds {middle:>14.1} ({low:.1} to {high:.1}){ratio:>10.2}");
        }
    }
    Ok(())
}

/// The first quartile, the median and the third.
fn quartiles(values: &mut [f64]) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| {
        let at = values.len() * quarter / 4;
        values.get(at).copied().unwrap_or(f64::NAN)
    })
}
