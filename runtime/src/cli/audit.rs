//! `bailiwick audit`.

use std::process::ExitCode;

use super::{AuditShowArgs, ConfigArgs};
use crate::audit::{self, Filter, Line, VerifyError};
use crate::store::SqliteStore;

async fn open(args: &ConfigArgs) -> anyhow::Result<SqliteStore> {
    let (config, _) = args.read()?;
    anyhow::ensure!(
        config.state_file.exists(),
        "there is no log yet at `{}`",
        config.state_file.display()
    );
    Ok(SqliteStore::open(&config.state_file).await?)
}

pub(super) async fn verify(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let store = open(args).await?;
    match audit::verify(&store).await {
        Ok(verified) => {
            println!(
                "the log is whole: {} records, the last has hash {}",
                verified.records, verified.head.hash
            );
            Ok(ExitCode::SUCCESS)
        }
        Err(error @ VerifyError::Broken(_)) => {
            println!("the log is NOT whole: {error}");
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn show(args: &AuditShowArgs) -> anyhow::Result<ExitCode> {
    let store = open(&args.config).await?;
    let tool = args.tool.as_deref().map(str::parse).transpose()?;
    let filter = Filter {
        tool,
        kind: args.kind.clone(),
        ..Filter::default()
    };
    audit::show(&store, 1, &filter, |stored| {
        if args.json {
            println!("{}", stored.json)
        } else {
            println!("{}", Line(stored))
        }
    })
    .await?;
    Ok(ExitCode::SUCCESS)
}
