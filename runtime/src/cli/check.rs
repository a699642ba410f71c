//! `bailiwick check`: configuration, packages and rules, every problem at once.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::ConfigArgs;
use crate::catalog::{Catalog, Compiler, Snapshot};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::dev;
use crate::engine::{Pool, WasmEngine};
use crate::follow;
use crate::host::files::Mounts;
use crate::identity::Identity;
use crate::policy::Rules;
use crate::server;

pub(super) async fn run(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let (mut config, dev) = match args.read() {
        Ok(read) => read,
        Err(error) => {
            println!("{error}");
            println!("the configuration has problems; nothing else was checked");
            return Ok(ExitCode::FAILURE);
        }
    };
    if dev {
        dev::add_idp(&mut config, Arc::new(SystemClock))?;
    }
    let mut problems = Vec::new();
    if let Err(error) = Identity::new(config.issuers.clone(), Arc::new(server::NoKeys)) {
        problems.push(error.to_string());
    }
    if config.issuers.is_empty() {
        println!("note: no `[[issuer]]` is configured, so nobody can call a tool");
    }
    if config.sign_in.is_none() {
        println!("note: no `[sign_in]` is configured, so nobody can consent");
    }
    if let Err(error) = Mounts::new(&config.mounts, config.issuers.len()) {
        problems.push(error.to_string());
    }
    let snapshot = packages(&config).await?;
    problems.extend(
        snapshot
            .refused
            .iter()
            .map(|refused| format!("{}: {}", refused.file, refused.reason)),
    );
    let rules = check_rules(&config, &snapshot, &mut problems);
    for problem in &problems {
        println!("{problem}");
    }
    if problems.is_empty() {
        println!(
            "all is well: {} tools, {rules} rules, {} issuers",
            snapshot.tools.len(),
            config.issuers.len()
        );
        Ok(ExitCode::SUCCESS)
    } else {
        println!("{} problem(s)", problems.len());
        Ok(ExitCode::FAILURE)
    }
}

/// Admits what lies in the tools folder, as the server would.
pub(super) async fn packages(config: &Config) -> anyhow::Result<Arc<Snapshot>> {
    if !Path::new(&config.tools.dir).is_dir() {
        println!(
            "note: the tools folder `{}` does not exist yet",
            config.tools.dir.display()
        );
        return Ok(Arc::default());
    }
    let pool = Pool {
        calls_in_flight_max: 1,
        ..Pool::default()
    };
    let engine = Arc::new(WasmEngine::new(pool)?);
    let compiler = Compiler::new(std::env::current_exe()?);
    Ok(
        Catalog::open(config.tools.clone(), engine, compiler, |_| {})
            .await?
            .snapshot(),
    )
}

fn check_rules(config: &Config, snapshot: &Snapshot, problems: &mut Vec<String>) -> usize {
    let sources = match follow::rule_sources(config.policy_dir.as_deref()) {
        Ok(sources) => sources,
        Err(error) => {
            problems.extend(error.problems.iter().map(ToString::to_string));
            return 0;
        }
    };
    let tools: Vec<_> = snapshot.tools.values().cloned().collect();
    match Rules::load(&sources, &tools) {
        Ok(rules) => {
            if rules.is_empty() {
                println!("note: there are no rules, so nothing is allowed");
            }
            rules.len()
        }
        Err(error) => {
            problems.extend(error.problems.iter().map(ToString::to_string));
            0
        }
    }
}
