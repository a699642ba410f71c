//! The index of the log: what `bailiwick audit verify` says of it, and `bailiwick audit reindex`.

use std::process::ExitCode;
use std::sync::Arc;

use super::{DAMAGED, opened};
use crate::audit::{Event, EventKind, Misindexed};
use crate::cli::ConfigArgs;
use crate::clock::SystemClock;
use crate::store::block::LogBlocks as _;

/// Tells whether the index of a log that is whole is that of its records.
pub(super) fn told(misindexed: Option<Misindexed>) -> ExitCode {
    match misindexed {
        None => ExitCode::SUCCESS,
        Some(found) => {
            println!("{found}");
            ExitCode::from(DAMAGED)
        }
    }
}

pub(super) async fn reindex(args: &ConfigArgs) -> anyhow::Result<ExitCode> {
    let (_, state) = opened(args).await?;
    let records = state.store.index_anew().await?;
    let log = state.audit(Arc::new(SystemClock)).await?;
    let event = Event::new(EventKind::AuditReindexed).fact("records", records);
    log.event(event).await?;
    println!("the index is made anew: {records} records");
    Ok(ExitCode::SUCCESS)
}
