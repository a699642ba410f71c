//! `bailiwick check`: configuration, packages and rules, every problem at once.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::ConfigArgs;
use crate::catalog::{Catalog, Compiler, Snapshot};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, KeySource};
use crate::dev;
use crate::egress::NoNames;
use crate::engine::{Pool, WasmEngine};
use crate::follow;
use crate::host::files::Mounts;
use crate::identity::Identity;
use crate::ids::ToolName;
use crate::policy::{Rules, Unreadable};
use crate::problem::{Problem, by_line};
use crate::server;
use crate::web;

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
    problems.extend(key_files(&config).await);
    if let Err(error) = server::keys_over_egress(&config) {
        problems.push(error.to_string());
    }
    if let Err(error) = server::clients(&config, Arc::new(NoNames)) {
        problems.push(caused(&error));
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

/// What is wrong with the issuers, and with the files of keys and secrets. Nothing is fetched.
async fn key_files(config: &Config) -> Vec<String> {
    let no_keys = || Arc::new(server::NoKeys);
    let mut problems = Vec::new();
    if let Err(error) = Identity::new(config.issuers.clone(), no_keys()) {
        problems.push(error.to_string());
    }
    for issuer in &config.issuers {
        let KeySource::File(file) = &issuer.keys else {
            continue;
        };
        // What is wrong with the issuer itself was told above.
        let Ok(identity) = Identity::new(vec![issuer.clone()], no_keys()) else {
            continue;
        };
        let unread = identity.load(SystemClock.now()).await;
        problems.extend(unread.iter().map(|error| told(file, error)));
        if unread.is_empty() && !identity.ready() {
            problems.push(format!("{}: there is no key in it", file.display()));
        }
    }
    let sign_in = config.sign_in.as_ref();
    if let Some(file) = sign_in.and_then(|sign_in| sign_in.client_secret_file.as_deref())
        && let Err(error) = web::client_secret(file).await
    {
        let text = format!(
            "{}: the client secret cannot be used: {error}",
            file.display()
        );
        problems.push(text);
    }
    problems
}

/// An error about a file, with its causes.
fn told(file: &Path, error: &dyn std::error::Error) -> String {
    format!("{}: {}", file.display(), caused(error))
}

/// An error with its causes.
fn caused(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}

/// Problems of rules as they are told: those of one rule together, for they are mended together.
fn mended_together(problems: &[Problem]) -> Vec<String> {
    let groups = by_line(problems).into_iter();
    groups
        .map(|group| {
            let texts: Vec<_> = group.iter().map(ToString::to_string).collect();
            texts.join("\n  and ")
        })
        .collect()
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
            problems.extend(mended_together(&error.problems));
            return 0;
        }
    };
    let tools: Vec<_> = snapshot.tools.values().cloned().collect();
    match Rules::load_with(&sources, &tools, server::vocabulary(config)) {
        Ok(rules) => {
            for warning in rules.warnings() {
                println!("warning: {warning}");
            }
            for tool in &tools {
                let hidden = rules
                    .unreadable()
                    .iter()
                    .filter(|one| one.tool == *tool.name());
                tell_hidden(tool.name(), hidden);
            }
            if rules.is_empty() {
                println!("note: there are no rules, so nothing is allowed");
            }
            rules.len()
        }
        Err(error) => {
            problems.extend(mended_together(&error.problems));
            0
        }
    }
}

/// The arguments of a tool that rules cannot read, on one line.
fn tell_hidden<'a>(tool: &ToolName, hidden: impl Iterator<Item = &'a Unreadable>) {
    let named = hidden.map(|one| format!("`{}` ({})", one.argument, one.why));
    let named: Vec<_> = named.collect();
    if !named.is_empty() {
        println!("note: rules cannot read of `{tool}`: {}", named.join(", "));
    }
}
