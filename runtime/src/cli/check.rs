//! `bailiwick check`: configuration, packages and rules, every problem at once.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use super::{CheckArgs, live};
use crate::capability::Capability;
use crate::catalog::{Catalog, Compiler, Snapshot, Tool};
use crate::clock::{Clock, SharedClock, SystemClock};
use crate::config::{ClientProof, Config, KeySource};
use crate::dev;
use crate::egress::NoNames;
use crate::engine::{Pool, WasmEngine};
use crate::follow;
use crate::host::files::Mounts;
use crate::identity::{Identity, client_assertion, client_secret, client_secret_file};
use crate::ids::ToolName;
use crate::listen::{Pair, Standing};
use crate::policy::{Rules, Unreadable};
use crate::problem::{Problem, by_line, caused};
use crate::protect::wants_encryption;
use crate::server;

pub(super) async fn run(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let (mut config, dev) = match args.config.read() {
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
    problems.extend(certificate(&config));
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
    for limit in &config.limits.all {
        println!("{limit}");
    }
    for (tenant, share) in &config.limits.shares {
        println!("processors: `{tenant}` has {share} times what a tenant has that is not named");
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
    problems.extend(secrets(&config, &snapshot).await);
    let unsealed = unsealed(&config, &snapshot);
    for note in unbound(&config, &snapshot).iter().chain(&unsealed) {
        println!("note: {note}");
    }
    problems.extend(seal_keys(&config).await);
    let rules = check_rules(&config, &snapshot, &mut problems);
    if args.live {
        match live::ask(config.telemetry.listen).await {
            Ok(true) => {}
            Ok(false) => println!("note: the running server did not give up all that it could"),
            Err(error) => problems.push(format!("{error:#}")),
        }
    }
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

/// Says of each secret whether it can be read, and which needs ask for one that is not bound. Vaults are asked.
async fn secrets(config: &Config, snapshot: &Snapshot) -> Vec<String> {
    let mut problems = Vec::new();
    let clock: SharedClock = Arc::new(SystemClock);
    let secrets = match server::secrets(config, server::resolver(None), &clock) {
        Ok(secrets) => secrets,
        Err(error) => return vec![caused(&error)],
    };
    for (name, read) in secrets.readable().await {
        match read {
            Some(Ok(())) => println!("secret `{name}`: it can be read"),
            Some(Err(error)) => problems.push(format!(
                "secret `{name}`: it cannot be read: {}",
                caused(&error)
            )),
            None => println!("note: secret `{name}`: each tenant has its own; none was read"),
        }
    }
    let mut told = BTreeSet::new();
    for tool in snapshot.tools.values() {
        let manifest = tool.package().manifest();
        for capability in manifest.needs().iter() {
            let Capability::Secret(secret) = capability else {
                continue;
            };
            if !secrets.binds(secret) && told.insert((manifest.name.clone(), secret.clone())) {
                println!(
                    "note: the package `{}` needs `{capability}`, and no `[[secret]]` binds it: its requests there are refused",
                    manifest.name
                );
            }
        }
    }
    problems
}

/// Which packages need a mount or a store that nobody bound. Without it they are served all the same, and refused there.
fn unbound(config: &Config, snapshot: &Snapshot) -> BTreeSet<String> {
    let mut notes = BTreeSet::new();
    for tool in snapshot.tools.values() {
        let manifest = tool.package().manifest();
        for capability in manifest.needs().iter() {
            let (bound, table) = match capability {
                Capability::Files(files) => {
                    let bound = config.mounts.iter().any(|one| one.name == files.mount);
                    (bound, "mount")
                }
                Capability::Kv(kv) => {
                    let bound = config.kv_stores.iter().any(|one| one.name == kv.store);
                    (bound, "kv")
                }
                // Of secrets it is told with whether they can be read. The rest is not bound by a name.
                _ => continue,
            };
            if !bound {
                notes.insert(format!(
                    "the package `{}` needs `{capability}`, and no `[[{table}]]` binds it: it is refused there",
                    manifest.name
                ));
            }
        }
    }
    notes
}

/// What wants data encrypted where nothing holds a key for it.
fn unsealed(config: &Config, snapshot: &Snapshot) -> Vec<String> {
    const WITHOUT: &str = "encrypted, and there is no `[seal]` to do it with: it is refused";
    if config.seal.is_some() {
        return Vec::new();
    }
    let wants = |tool: &&Tool| {
        let definition = tool.definition();
        let reply = definition.output_schema.as_ref();
        let schemas = [Some(&definition.input_schema), reply];
        schemas.into_iter().flatten().any(wants_encryption)
    };
    let tools = snapshot.tools.values().filter(wants);
    let tools = tools.map(|tool| format!("the tool `{}` wants data {WITHOUT}", tool.name()));
    let encrypts = config.data.safeguard().is_ok_and(|rules| rules.encrypts());
    let rule = encrypts.then(|| format!("a `[[data.rule]]` wants data {WITHOUT}"));
    rule.into_iter().chain(tools).collect()
}

/// Says under which key values would be encrypted. A vault is asked.
async fn seal_keys(config: &Config) -> Vec<String> {
    let Some(seal) = &config.seal else {
        return Vec::new();
    };
    let provider = match server::key_provider(config, seal, server::resolver(None)) {
        Ok(provider) => provider,
        Err(error) => return vec![caused(&error)],
    };
    match provider.newest().await {
        Ok(name) => {
            println!("keys to encrypt with: `{name}`");
            Vec::new()
        }
        Err(error) => vec![format!("keys to encrypt with: {}", caused(&error))],
    }
}

/// Says for whom the certificate is and when it ends, or what is wrong with it or its key.
fn certificate(config: &Config) -> Vec<String> {
    let Some(tls) = &config.server.front.tls else {
        return Vec::new();
    };
    let now = SystemClock.now();
    let pair = match Pair::read(tls).and_then(|pair| pair.in_force(tls, now).map(|()| pair)) {
        Ok(pair) => pair,
        Err(error) => return vec![caused(&error)],
    };
    let ends = pair.ends().rfc3339();
    println!("certificate: it is good until {ends}");
    if pair.standing(now) == Standing::EndsSoon {
        println!("warning: the certificate ends soon; renew it");
    }
    let host = config.server.public_url.host_str().unwrap_or_default();
    let problem = format!(
        "{}: the certificate is not for `{host}`, the host of `public_url`",
        tls.certificate_file.display()
    );
    match pair.names(host) {
        true => Vec::new(),
        false => vec![problem],
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
    for asked in config
        .issuers
        .iter()
        .filter_map(|one| one.introspection.as_ref())
    {
        let usable = match &asked.proof {
            ClientProof::Secret(from) => client_secret(from).await.map(drop),
            ClientProof::Key(key) => {
                let now = SystemClock.now();
                let signed = client_assertion(key, &asked.client_id, "bailiwick check", now);
                signed.await.map(drop)
            }
        };
        if let Err(error) = usable {
            problems.push(format!(
                "our secret at {} cannot be used: {error}",
                asked.url
            ));
        }
    }
    let sign_in = config.sign_in.as_ref();
    if let Some(file) = sign_in.and_then(|sign_in| sign_in.client_secret_file.as_deref())
        && let Err(error) = client_secret_file(file).await
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
