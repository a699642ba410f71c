//! `bailiwick audit`.

use std::io::{BufWriter, ErrorKind, Write};
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
        rule: args.rule.clone(),
        ..Filter::default()
    };
    let mut out = BufWriter::new(std::io::stdout());
    let mut written = Ok(());
    audit::show(&store, 1, &filter, |stored| {
        if written.is_ok() {
            written = match args.json {
                true => writeln!(out, "{}", stored.json),
                false => writeln!(out, "{}", Line(stored)),
            };
        }
    })
    .await?;
    match written.and_then(|()| out.flush()) {
        // Whoever reads has seen enough: `bailiwick audit show | head`.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        Ok(()) | Err(_) => Ok(ExitCode::SUCCESS),
    }
}
