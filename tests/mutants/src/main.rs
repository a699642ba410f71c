//! Mutation testing by mutant schemata (Untch, Offutt and Harrold, 1993): every mutant is planted in one copy of the source behind a
//! question at run time, so that there is one build for all of them. Which tests reach which mutant is noted first; then each
//! mutant is switched on in turn for those tests alone, those near it first, until one fails.

mod plant;
mod report;
mod source;
mod trial;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use plant::Mutant;

#[derive(Parser)]
#[command(
    about = "Changes the code in small ways, one at a time, and names the changes that no test notices"
)]
struct Arguments {
    /// The project
    #[arg(long, default_value = ".")]
    project: PathBuf,
    /// Where copies, builds and results go
    #[arg(long, default_value = "target/mutants")]
    work: PathBuf,
    /// Files and folders below runtime/src whose code is changed
    #[arg(required = true)]
    paths: Vec<PathBuf>,
    /// Tests that run at once
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Only every Nth mutant, for a sample
    #[arg(long, default_value_t = 1)]
    every: usize,
    /// Only those that the last report lists: what tests that were written since make of them, for `again.md`
    #[arg(long, conflicts_with = "every")]
    again: bool,
    /// Seconds that a mutant may take beyond five times what its tests take without it
    #[arg(long, default_value_t = 20)]
    patience: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let project = arguments.project.canonicalize()?;
    std::fs::create_dir_all(&arguments.work)?;
    let work = arguments.work.canonicalize()?;
    let built = source::build(&project, &work, &arguments.paths)?;
    eprintln!(
        "{} mutants in {} functions",
        built.mutants.len(),
        built.functions()
    );
    let runner = trial::Runner::new(
        &built,
        &project,
        &work,
        arguments.jobs,
        Duration::from_secs(arguments.patience),
    );
    runner.resume()?;
    let chosen: Vec<&Mutant> = match arguments.again {
        true => {
            let last = std::fs::read_to_string(work.join("report.md"))?;
            let left = report::left(&last);
            let is_left = |mutant: &&Mutant| left.contains(&report::name(mutant));
            built.mutants.iter().filter(is_left).collect()
        }
        false => built
            .mutants
            .iter()
            .step_by(arguments.every.max(1))
            .collect(),
    };
    let reached = runner.reached()?;
    let outcomes = runner.each(&reached, &chosen)?;
    let text = report::text(&chosen, &outcomes);
    let report = if arguments.again {
        "again.md"
    } else {
        "report.md"
    };
    std::fs::write(work.join(report), &text)?;
    print!("{text}");
    Ok(())
}
