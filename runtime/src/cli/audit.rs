//! `bailiwick audit`.

mod index;
mod prove;
mod read;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::ConfigArgs;
use crate::audit;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::dev;
use crate::ids::{Tenant, User};
use crate::server::{self, State};
use crate::store::SqliteStore;

/// How the program ends when the log is damaged, or a proof proves nothing: no other end is this one.
pub(super) const DAMAGED: u8 = 3;

#[derive(Subcommand)]
pub(super) enum AuditCommand {
    /// Find any record that was changed, moved or taken away, and say which
    ///
    /// Ends with status 0 if the log is whole, with 3 if it or its index is not, with 1 if it cannot be read.
    Verify(prove::VerifyArgs),
    /// Print the records, the oldest first
    Show(read::ShowArgs),
    /// Print the public key that checks checkpoints and proofs; keep it outside
    Key(ConfigArgs),
    /// Print the last checkpoint: a signed statement of what the log holds; keep it outside
    Checkpoint(prove::CheckpointArgs),
    /// Print a proof for somebody who has the public key
    #[command(subcommand)]
    Prove(prove::ProveCommand),
    /// Check a proof, without the log
    ///
    /// Ends with status 0 if it proves what it says, with 3 if it does not, with 1 if it cannot be read.
    CheckProof(prove::CheckProofArgs),
    /// Print every record in a form that other programs read, the oldest first
    Export(read::ExportArgs),
    /// Destroy the key of a user's pseudonym: nobody can say any more which records are about that user
    ///
    /// The records stay, and so do chain and tree. It cannot be undone. What the user does later is recorded under another
    /// pseudonym; a server that runs takes that within 10 seconds.
    Erase(EraseArgs),
    /// Make the index anew, by which searches are fast, where `verify` says that it is not that of the records
    Reindex(ConfigArgs),
}

#[derive(Args)]
pub(super) struct EraseArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The user, by `sub`
    #[arg(long, value_name = "SUB")]
    user: String,
    /// Who vouches for the user; may be left out where one issuer is configured
    #[arg(long, value_name = "ISSUER")]
    issuer: Option<String>,
    /// The tenant of the user; the issuer's own when left out
    #[arg(long, value_name = "TENANT")]
    tenant: Option<String>,
}

pub(super) async fn run(command: &AuditCommand) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::Verify(args) => prove::verify(args).await,
        AuditCommand::Show(args) => read::show(args).await,
        AuditCommand::Key(config) => prove::key(config).await,
        AuditCommand::Checkpoint(args) => prove::checkpoint(args).await,
        AuditCommand::Prove(command) => prove::prove(command).await,
        AuditCommand::CheckProof(args) => prove::check_proof(args).await,
        AuditCommand::Export(args) => read::export(args).await,
        AuditCommand::Erase(args) => erase(args).await,
        AuditCommand::Reindex(config) => index::reindex(config).await,
    }
}

fn configured(args: &ConfigArgs) -> anyhow::Result<Config> {
    let (mut config, is_dev) = args.read()?;
    if is_dev {
        // Its users are those of the embedded identity provider.
        dev::add_idp(&mut config, Arc::new(SystemClock))?;
    }
    anyhow::ensure!(
        config.state_file.exists(),
        "there is no log yet at `{}`",
        config.state_file.display()
    );
    Ok(config)
}

/// The log with the server's own keys.
async fn opened(args: &ConfigArgs) -> anyhow::Result<(Config, State)> {
    let config = configured(args)?;
    let state = State::open(&config, server::resolver(None)).await?;
    // Keys that were made by opening it are recorded.
    let log = state.audit(Arc::new(SystemClock)).await?;
    log.flush().await?;
    Ok((config, state))
}

/// The log, to be read; with the server's own keys where those are needed. Nothing of the log itself is encrypted.
async fn read_log(args: &ConfigArgs, keys: bool) -> anyhow::Result<(Config, SqliteStore)> {
    let config = configured(args)?;
    let store = match keys {
        true => State::read(&config, server::resolver(None)).await?,
        false => SqliteStore::read_locked(&config.state_file).await?,
    };
    Ok((config, store))
}

/// The user of this `sub`, with what the configuration adds to it.
fn user_of(
    subject: &str,
    issuer: Option<&str>,
    tenant: Option<&str>,
    config: &Config,
) -> anyhow::Result<(Tenant, User)> {
    let known = match (issuer, config.issuers.as_slice()) {
        (Some(name), all) => all.iter().find(|one| one.issuer.as_str() == name),
        (None, [one]) => Some(one),
        (None, _) => None,
    };
    let issuer = match (known, issuer) {
        (Some(known), _) => known.issuer.clone(),
        (None, Some(name)) => name.parse()?,
        (None, None) => anyhow::bail!("say with `--issuer` who vouches for the user"),
    };
    let tenant = match tenant {
        Some(tenant) => tenant.parse()?,
        None => known
            .map(|known| known.claims.default_tenant.clone())
            .context("say with `--tenant` in which tenant the user is")?,
    };
    let subject = subject.parse()?;
    Ok((tenant, User { issuer, subject }))
}

async fn erase(args: &EraseArgs) -> anyhow::Result<ExitCode> {
    let (config, state) = opened(&args.config).await?;
    let (issuer, tenant) = (args.issuer.as_deref(), args.tenant.as_deref());
    let (tenant, user) = user_of(&args.user, issuer, tenant, &config)?;
    let log = state.audit(Arc::new(SystemClock)).await?;
    match audit::erase(&log, state.store.as_ref(), &tenant, &user).await? {
        true => {
            println!("the key is destroyed; the records of this user name nobody any more");
            println!(
                "consents of this user are kept, and lead to the records in which they were given"
            );
        }
        false => {
            println!("there was no key: no record is about this user, or it was destroyed before")
        }
    }
    if !state.store.rest_file().settle().await? {
        println!(
            "the write-ahead log still holds what was there before; run this again when less is going on"
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
