//! News for the caller while a call is running.

use std::fmt;

use crate::capability::Capability;

/// Tells the caller how far the call has come. Kind `progress`.
///
/// A caller that did not ask for progress is told nothing, and reporting succeeds all the same.
#[derive(Debug)]
pub struct Progress(());

/// Why a report was not sent. A tool can go on without.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProgressError {
    /// The call has no grant for progress.
    Denied,
    /// The numbers are not finite or do not increase, or the message is too long.
    Invalid(String),
    /// The call has made all the reports that it may.
    TooMany,
    /// A case of a later host.
    Other(String),
}

impl Capability for Progress {
    const KIND: &'static str = "progress";

    fn handle() -> Self {
        Self(())
    }
}

impl Progress {
    /// Reports `progress` of an unknown total.
    ///
    /// # Errors
    ///
    /// See [`ProgressError`].
    pub fn report(&self, progress: f64) -> Result<(), ProgressError> {
        send(progress, None, None)
    }

    /// Reports `progress` of `total`.
    ///
    /// # Errors
    ///
    /// See [`ProgressError`].
    pub fn report_of(&self, progress: f64, total: f64) -> Result<(), ProgressError> {
        send(progress, Some(total), None)
    }

    /// Reports `progress`, perhaps of a `total`, and what is being done.
    ///
    /// # Errors
    ///
    /// See [`ProgressError`].
    pub fn report_doing(
        &self,
        progress: f64,
        total: Option<f64>,
        message: &str,
    ) -> Result<(), ProgressError> {
        send(progress, total, Some(message))
    }
}

impl fmt::Display for ProgressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => f.write_str("progress may not be reported in this call"),
            Self::Invalid(what) => write!(f, "the report is not valid: {what}"),
            Self::TooMany => f.write_str("this call has made all the reports that it may"),
            Self::Other(what) => write!(f, "progress could not be reported: {what}"),
        }
    }
}

impl std::error::Error for ProgressError {}

#[cfg(target_family = "wasm")]
use crate::guest::report as send;

#[cfg(not(target_family = "wasm"))]
fn send(_: f64, _: Option<f64>, _: Option<&str>) -> Result<(), ProgressError> {
    Ok(())
}
