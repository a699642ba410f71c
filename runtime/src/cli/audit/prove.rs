//! Proving what the log holds: `bailiwick audit verify`, `key`, `checkpoint`, `prove` and `check-proof`.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::super::ConfigArgs;
use super::{DAMAGED, index, opened, read_log};
use crate::audit::{
    self, Anchors, Checkpoints, LogKey, PROOF_BYTES_MAX, Proof, Shown, VerifyError,
};
use crate::clock::SystemClock;
use crate::store::SharedStore;

/// Bytes of a file of checkpoints: those of some ten years, one a minute.
const CHECKPOINTS_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;

#[derive(Args)]
pub(in crate::cli) struct VerifyArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// A file with checkpoints that were kept outside; may be given several times
    #[arg(long = "checkpoint", value_name = "FILE")]
    checkpoints: Vec<PathBuf>,
    /// The public key that was kept outside, as `bailiwick audit key` printed it
    #[arg(long, value_name = "KEY")]
    key: Option<LogKey>,
}

#[derive(Args)]
pub(in crate::cli) struct CheckpointArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Make one of all records that there are, and print that
    #[arg(long)]
    now: bool,
}

#[derive(Subcommand)]
pub(in crate::cli) enum ProveCommand {
    /// That a record is in the log of the last checkpoint
    Inclusion {
        #[command(flatten)]
        config: ConfigArgs,
        /// The number of the record
        seq: u64,
    },
    /// That the log of one checkpoint begins with that of another
    Consistency {
        #[command(flatten)]
        config: ConfigArgs,
        /// How many records the older checkpoint covers
        from: u64,
        /// How many the newer one covers; the last when left out
        to: Option<u64>,
    },
}

#[derive(Args)]
pub(in crate::cli) struct CheckProofArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// The file with the proof, `-` for standard input
    file: PathBuf,
    /// The public key; the one in the state when left out
    #[arg(long, value_name = "KEY")]
    key: Option<LogKey>,
}

pub(super) async fn key(config: &ConfigArgs) -> anyhow::Result<ExitCode> {
    println!("{}", log_key(config).await?);
    Ok(ExitCode::SUCCESS)
}

/// The public key of the log.
async fn log_key(args: &ConfigArgs) -> anyhow::Result<LogKey> {
    let (_, store) = read_log(args, true).await?;
    let (key, _) = audit::standing(&store).await?;
    key.context("there is no key yet; a server makes it when it starts for the first time")
}

pub(super) async fn verify(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let mut notes = Vec::new();
    for file in &args.checkpoints {
        let name = file.display();
        let text = read(file, CHECKPOINTS_BYTES_MAX)?;
        let (found, torn) = audit::notes(&text);
        anyhow::ensure!(!found.is_empty(), "there is no checkpoint in `{name}`");
        if torn > 0 {
            eprintln!("{torn} entries of `{name}` are no checkpoints and were passed over");
        }
        notes.extend(found);
    }
    let key = args.key.clone();
    let (_, store) = read_log(&args.config, key.is_none())
        .await
        .context("the key that checks checkpoints cannot be read; name it by `--key`")?;
    match audit::verify_against(&store, &Anchors { notes, key }).await {
        Ok(verified) => {
            println!(
                "the log is whole: {} records, the last has hash {}",
                verified.records, verified.head.hash
            );
            if verified.pruned > 0 {
                println!(
                    "records 1 to {} were pruned; their leaves are in the tree",
                    verified.pruned
                );
            }
            println!(
                "it fits {} checkpoints beside it and {} from outside",
                verified.checkpoints, verified.copies
            );
            Ok(index::told(verified.misindexed))
        }
        Err(error @ VerifyError::Broken(_)) => {
            println!("the log is NOT whole: {error}");
            Ok(ExitCode::from(DAMAGED))
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn checkpoint(args: &CheckpointArgs) -> anyhow::Result<ExitCode> {
    let note = match args.now {
        true => {
            let store: SharedStore = opened(&args.config).await?.1.store;
            let checkpoints = Checkpoints::open(store, Arc::new(SystemClock)).await?;
            checkpoints.make().await?
        }
        false => {
            let (_, store) = read_log(&args.config, true).await?;
            audit::standing(&store).await?.1
        }
    };
    match note {
        Some(note) => {
            print!("{note}");
            Ok(ExitCode::SUCCESS)
        }
        None => anyhow::bail!(
            "there is no checkpoint yet; `--now` makes one of the records that there are"
        ),
    }
}

pub(super) async fn prove(command: &ProveCommand) -> anyhow::Result<ExitCode> {
    let proof = match command {
        ProveCommand::Inclusion { config, seq } => {
            audit::inclusion(&read_log(config, false).await?.1, *seq).await?
        }
        ProveCommand::Consistency { config, from, to } => {
            audit::consistency(&read_log(config, false).await?.1, *from, *to).await?
        }
    };
    println!("{}", serde_json::to_string_pretty(&proof)?);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn check_proof(args: &CheckProofArgs) -> anyhow::Result<ExitCode> {
    let most = u64::try_from(PROOF_BYTES_MAX).unwrap_or(u64::MAX);
    let text = read(&args.file, most)?;
    let proof: Proof = serde_json::from_str(&text)
        .with_context(|| format!("`{}` holds no proof", args.file.display()))?;
    let key = match &args.key {
        Some(key) => key.clone(),
        None => log_key(&args.config).await?,
    };
    match audit::check(&proof, &key) {
        Ok(Shown::Included { seq, size, whole }) => {
            match whole {
                true => println!("record {seq} is in the log of {size} records"),
                // Whoever has the record can compare it with its leaf; the proof says nothing of its text.
                false => println!(
                    "a record {seq} with this leaf is in the log of {size} records; the proof does not hold the record itself"
                ),
            }
            Ok(ExitCode::SUCCESS)
        }
        Ok(Shown::Grew { from, to }) => {
            println!("the log of {to} records begins with that of {from}");
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            println!("this proves NOTHING: {error}");
            Ok(ExitCode::from(DAMAGED))
        }
    }
}

/// A file as text, `-` for standard input.
fn read(file: &Path, bytes_max: u64) -> anyhow::Result<String> {
    let name = file.display();
    let reader: Box<dyn Read> = match file.as_os_str() == "-" {
        true => Box::new(std::io::stdin()),
        false => {
            Box::new(std::fs::File::open(file).with_context(|| format!("`{name}` cannot be read"))?)
        }
    };
    let mut text = String::new();
    let read = reader
        .take(bytes_max.saturating_add(1))
        .read_to_string(&mut text)
        .with_context(|| format!("`{name}` cannot be read as text"))?;
    anyhow::ensure!(
        u64::try_from(read).is_ok_and(|read| read <= bytes_max),
        "`{name}` is larger than {bytes_max} bytes"
    );
    Ok(text)
}
