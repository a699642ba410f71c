//! `bailiwick keys`: what the operator does about the keys with which values are encrypted, also while a server runs.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Subcommand;
use serde_json::json;

use super::ConfigArgs;
use crate::audit::Audit;
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::ids::Tenant;
use crate::problem::caused;
use crate::seal::{self, KeyStanding, Rotated, Seals};
use crate::server;
use crate::store::SqliteSealedValues;
use crate::store::rest::{RestRotated, RestStanding};
use crate::store::seals::{KeyState, WrappedKey};

/// How often a line about progress is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

#[derive(Subcommand)]
pub(super) enum KeysCommand {
    /// Make a key file that its owner alone reads, or add the next version to one
    ///
    /// Prints the version and its fingerprint, never the key. What is new is encrypted under the highest version at once; `rewrap`
    /// does the rest.
    New {
        /// The key file, as `key_file` of `[seal]` names it
        file: PathBuf,
    },
    /// Print the keys of all tenants and of the server, what hangs on each, and under which key of the provider it is encrypted
    Status {
        #[command(flatten)]
        config: ConfigArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Give tenants and the server a new key, move to it what hangs on the old one, and destroy that
    ///
    /// The server may run. What was broken off is gone on with when the command runs again.
    Rotate {
        #[command(flatten)]
        config: ConfigArgs,
        /// Only this tenant
        #[arg(long, value_name = "TENANT")]
        tenant: Option<Tenant>,
    },
    /// Encrypt the keys of all tenants and of the server under the newest key of the provider, and say which of its keys nothing needs any more
    Rewrap {
        #[command(flatten)]
        config: ConfigArgs,
    },
    /// Destroy every key of a tenant: nothing that was encrypted for it opens ever again
    ///
    /// Where the state is encrypted, consents, sign-ins and what tools kept of the tenant end with them. It is recorded before it is
    /// done. Backups from before still hold the keys.
    Erase {
        #[command(flatten)]
        config: ConfigArgs,
        /// The tenant
        #[arg(long, value_name = "TENANT")]
        tenant: Tenant,
        /// The tenant again, so that nothing is destroyed by mistake
        #[arg(long, value_name = "TENANT")]
        yes_destroy: Tenant,
    },
}

pub(super) async fn run(command: &KeysCommand) -> anyhow::Result<ExitCode> {
    match command {
        KeysCommand::New { file } => new(file),
        KeysCommand::Status { config, json } => status(config, *json).await,
        KeysCommand::Rotate { config, tenant } => rotate(config, tenant.as_ref()).await,
        KeysCommand::Rewrap { config } => rewrap(config).await,
        KeysCommand::Erase {
            config,
            tenant,
            yes_destroy,
        } => erase(config, tenant, yes_destroy).await,
    }
}

/// The values of this server, for one command.
struct State {
    seals: Seals,
    audit: Audit,
    file: PathBuf,
    /// Why no key can be used, for commands that need none.
    unusable: Option<String>,
}

impl State {
    async fn open(args: &ConfigArgs, needs_keys: bool) -> anyhow::Result<Self> {
        let (config, _) = args.read()?;
        let seal = config.seal.as_ref();
        seal.context("the configuration has no `[seal]`, so nothing is encrypted; see docs/keys.md to set one")?;
        let file = SqliteSealedValues::beside(&config.state_file);
        anyhow::ensure!(
            file.exists(),
            "there are no encrypted values yet at `{}`; start the server once",
            file.display()
        );
        let (state, unusable) = match server::State::open(&config, server::resolver(None)).await {
            Ok(state) => (state, None),
            Err(error) if needs_keys => return Err(error.into()),
            // What is wrong with keys must not keep anybody from destroying some.
            Err(error) => (
                server::State::open_locked(&config).await?,
                Some(caused(&error)),
            ),
        };
        let audit = state.audit(Arc::new(SystemClock)).await?;
        Ok(Self {
            seals: state.seals_of_all(&config, &audit).await?,
            audit,
            file,
            unusable,
        })
    }
}

fn new(file: &std::path::Path) -> anyhow::Result<ExitCode> {
    let added = seal::add_version(file)?;
    println!(
        "{} `{}`: version {}, fingerprint {}",
        if added.made { "made" } else { "added to" },
        file.display(),
        added.version,
        added.fingerprint
    );
    match added.made {
        true => println!("keep a copy of it elsewhere: without it no encrypted value opens"),
        false => println!(
            "copy the file anew; `bailiwick keys rewrap` then encrypts the keys of tenants under this version"
        ),
    }
    Ok(ExitCode::SUCCESS)
}

async fn status(args: &ConfigArgs, json: bool) -> anyhow::Result<ExitCode> {
    let state = State::open(args, false).await?;
    let mut all = Vec::new();
    state.seals.standing(|one| all.push(one)).await?;
    let rest = state.seals.rest_standing().await?;
    let newest = match &state.unusable {
        Some(why) => Err(why.clone()),
        None => state
            .seals
            .newest()
            .await
            .map_err(|error| format!("{:#}", anyhow::Error::new(error))),
    };
    if json {
        let rest = rest.iter().map(rest_as_json);
        let keys: Vec<_> = all.iter().map(as_json).chain(rest).collect();
        let status = json!({"keys": keys, "newest": newest.as_ref().ok(), "unusable": newest.as_ref().err()});
        println!("{}", serde_json::to_string_pretty(&status)?);
    } else {
        for one in &all {
            println!("{}", line(one));
        }
        for one in &rest {
            println!("{}", rest_line(one));
        }
        match &newest {
            Ok(name) => println!("the newest key of the provider is `{name}`"),
            Err(why) => println!("the provider's keys cannot be used: {why}"),
        }
    }
    Ok(match newest {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    })
}

fn as_json(one: &KeyStanding) -> serde_json::Value {
    let key = &one.key;
    let time = |at: Option<Timestamp>| at.map(Timestamp::rfc3339);
    json!({
        "tenant": key.tenant,
        "purpose": key.purpose.as_str(),
        "version": key.version,
        "state": key.state.as_str(),
        "values": one.values,
        "provider_key": key.wrapped.as_ref().map(|wrapped| &wrapped.provider_key),
        "made_at": time(Some(key.made_at)),
        "retired_at": time(key.retired_at),
        "destroyed_at": time(key.destroyed_at),
    })
}

/// The same of what else is kept; the server has no tenant.
fn rest_as_json(one: &RestStanding) -> serde_json::Value {
    let time = |at: Option<Timestamp>| at.map(Timestamp::rfc3339);
    json!({
        "tenant": one.place.tenant,
        "purpose": seal::REST,
        "file": one.place.file,
        "version": one.place.version,
        "state": one.state.as_str(),
        "rows": one.rows,
        "provider_key": one.wrapped.as_ref().map(|wrapped| &wrapped.provider_key),
        "made_at": time(Some(one.made_at)),
        "retired_at": time(one.retired_at),
        "destroyed_at": time(one.destroyed_at),
    })
}

fn rest_line(one: &RestStanding) -> String {
    let rest = under(&one.wrapped, one.state, one.destroyed_at);
    format!(
        "{}  {:<8} {:>4}  {:<7}  {:>9} rows of {}  {rest}",
        owner(one.place.tenant.as_ref()),
        seal::REST,
        one.place.version,
        one.state.as_str(),
        one.rows,
        one.place.file
    )
}

/// An owner of what else is kept, in words.
fn owner(tenant: Option<&Tenant>) -> &str {
    tenant.map_or("the server", Tenant::as_str)
}

fn line(one: &KeyStanding) -> String {
    let key = &one.key;
    let rest = under(&key.wrapped, key.state, key.destroyed_at);
    format!(
        "{}  {:<8} {:>4}  {:<7}  {:>9} values  {rest}",
        key.tenant,
        key.purpose.as_str(),
        key.version,
        key.state.as_str(),
        one.values
    )
}

/// Under which key of the provider a key is, or since when it is none.
fn under(wrapped: &Option<WrappedKey>, state: KeyState, destroyed_at: Option<Timestamp>) -> String {
    match (wrapped, state, destroyed_at) {
        (Some(wrapped), KeyState::Retired, _) => format!(
            "under {}; `bailiwick keys rotate` moves what is left",
            wrapped.provider_key
        ),
        (Some(wrapped), _, _) => format!("under {}", wrapped.provider_key),
        (None, _, Some(at)) => format!("destroyed {}", at.rfc3339()),
        (None, _, None) => "destroyed".to_owned(),
    }
}

async fn rotate(args: &ConfigArgs, tenant: Option<&Tenant>) -> anyhow::Result<ExitCode> {
    let state = State::open(args, true).await?;
    let tenants = match tenant {
        Some(tenant) => vec![tenant.clone()],
        None => state.seals.tenants().await?,
    };
    let mut whole = true;
    for tenant in &tenants {
        let progress = Progress::of(tenant);
        let rotated = state
            .seals
            .rotate(tenant, SystemClock.now(), progress.told());
        match rotated.await {
            Ok(rotated) => whole &= told(tenant, &rotated),
            // Others are not held up by one.
            Err(error) => {
                whole = false;
                println!("{tenant}: {:#}", anyhow::Error::new(error));
                println!("{tenant}: nothing is lost; run the command again when that is mended");
            }
        }
    }
    let owners = match tenant {
        Some(tenant) => vec![Some(tenant.clone())],
        None => state.seals.rest_owners().await?,
    };
    for one in &owners {
        let name = owner(one.as_ref());
        match state
            .seals
            .rotate_rest(one.as_ref(), SystemClock.now())
            .await
        {
            Ok(rotated) => {
                for (file, rotated) in &rotated {
                    whole &= told_of_rest(name, file, rotated);
                }
            }
            Err(error) => {
                whole = false;
                println!("{name}: {:#}", anyhow::Error::new(error));
                println!("{name}: nothing is lost; run the command again when that is mended");
            }
        }
    }
    if !state.seals.settle_rest().await? {
        whole = false;
        println!(
            "old keys of the state are not overwritten in the file yet, for others read it; run `bailiwick keys rewrap` when they have ended, which overwrites them"
        );
    }
    state.audit.flush().await?;
    if tenants.is_empty() && owners.is_empty() {
        println!("no tenant has a key");
    }
    Ok(if whole {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Says what became of it, and whether that is what was wanted.
fn told(tenant: &Tenant, rotated: &Rotated) -> bool {
    if rotated.resumed {
        println!("{tenant}: went on with a rotation that was broken off");
    }
    println!(
        "{tenant}: {} values moved to version {}",
        rotated.moved, rotated.to
    );
    for version in &rotated.destroyed {
        println!("{tenant}: version {version} is destroyed");
    }
    for version in &rotated.left {
        println!(
            "{tenant}: version {version} stays, since {} values do not open under it; restore them from a backup, or wait for their end, and run this again",
            rotated.unopened
        );
    }
    if !rotated.settled {
        println!(
            "{tenant}: old keys are not overwritten in the file yet, for others read it; run `bailiwick keys rewrap` when they have ended, which overwrites them"
        );
    }
    rotated.left.is_empty() && rotated.settled
}

/// The same of what else is kept.
fn told_of_rest(name: &str, file: &str, rotated: &RestRotated) -> bool {
    if rotated.resumed {
        println!("{name}: went on with a rotation of {file} that was broken off");
    }
    println!(
        "{name}: {} rows of {file} encrypted anew under version {}",
        rotated.moved, rotated.to
    );
    for version in &rotated.destroyed {
        println!("{name}: version {version} of {file} is destroyed");
    }
    for version in &rotated.left {
        println!(
            "{name}: version {version} of {file} stays, since {} rows do not open under it; restore them from a backup, and run this again",
            rotated.unopened
        );
    }
    rotated.left.is_empty()
}

/// Tells how far it is: on a terminal in one line, else now and then in a line of its own.
struct Progress {
    name: String,
    terminal: bool,
}

impl Progress {
    fn of(tenant: &Tenant) -> Self {
        Self {
            name: tenant.to_string(),
            terminal: std::io::stderr().is_terminal(),
        }
    }

    fn told(self) -> impl FnMut(u64, u64) + Send {
        let mut last = Instant::now();
        move |done, all| {
            let mut out = std::io::stderr();
            // Progress that nobody can read is no reason to stop.
            let _ = if self.terminal {
                let end = if done >= all { "\n" } else { "" };
                write!(out, "\r{}: {done} of {all} values{end}", self.name)
                    .and_then(|()| out.flush())
            } else if last.elapsed() >= LINE_EVERY {
                last = Instant::now();
                writeln!(out, "{}: {done} of {all} values", self.name)
            } else {
                Ok(())
            };
        }
    }
}

async fn rewrap(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let state = State::open(args, true).await?;
    let done = state.seals.rewrap().await?;
    state.audit.flush().await?;
    println!(
        "{} keys are encrypted anew under `{}`",
        done.rewrapped, done.newest
    );
    for why in &done.unopened {
        println!("not {why}");
    }
    for name in &done.in_use {
        println!("in use: {name}");
    }
    for name in &done.removable {
        println!(
            "nothing needs `{name}` any more: remove it from the key file; keep a copy for as long as you may restore a backup from before"
        );
    }
    if !done.settled {
        println!(
            "what was there before is not overwritten in the file yet, for others read it; run this again"
        );
    }
    Ok(if done.unopened.is_empty() && done.settled {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn erase(
    args: &ConfigArgs,
    tenant: &Tenant,
    yes_destroy: &Tenant,
) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        tenant == yes_destroy,
        "`--tenant` and `--yes-destroy` name two tenants; nothing was destroyed"
    );
    let state = State::open(args, false).await?;
    let erasure = state.seals.erase(tenant, SystemClock.now()).await?;
    state.audit.flush().await?;
    println!(
        "{} keys of `{tenant}` are destroyed; {} values cannot be opened any more",
        erasure.erased.keys, erasure.erased.values
    );
    if erasure.rest.0 > 0 {
        println!(
            "{} keys of its state are destroyed; {} consents, questions, sign-ins and kept values are ended or gone",
            erasure.rest.0, erasure.rest.1
        );
    }
    println!(
        "backups of `{}` from before still hold the keys, encrypted under the provider's: destroy them, or run `bailiwick keys new` and \
         `bailiwick keys rewrap` and then destroy every copy of the provider's old key",
        state.file.display()
    );
    if !erasure.settled {
        println!(
            "what is destroyed is not overwritten in the files yet, for others are at work on them or the disk is full; run this again, which \
             destroys what `{tenant}` made since then as well"
        );
    }
    Ok(if erasure.settled {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
