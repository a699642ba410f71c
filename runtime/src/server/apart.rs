//! The processes in which guests run, where they do not run in this one.

use std::sync::Arc;

use super::StartError;
use crate::config::Hardening;
use crate::sandbox::executor::{Executors, Maker};

/// The first processes for guests. What they could not let go of is told, or ends the start where all of it is required.
pub(super) async fn executors(
    maker: Option<Maker>,
    hardening: Hardening,
) -> Result<Arc<Executors>, StartError> {
    let maker = maker.ok_or(StartError::NoMaker)?;
    let executors = Executors::open(maker).await?;
    let absent = executors.absent();
    if !absent.is_empty() {
        if hardening == Hardening::Require {
            return Err(StartError::Unconfined(absent.join("; ")));
        }
        for one in absent {
            tracing::warn!("a process in which guests run did not give up {one}");
        }
    }
    Ok(executors)
}
