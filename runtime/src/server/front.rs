//! How the server listens: the certificate that it shows.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::clock::SharedClock;
use crate::listen::Tls;
use crate::problem::caused;

/// Keeps the certificate in step with its files.
pub(super) fn follow_certificate(
    tls: Tls,
    clock: SharedClock,
    shutdown: CancellationToken,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(error) = tls.follow(clock, shutdown).await {
            tracing::error!(error = %caused(&error), "the certificate is not replaced when its files change");
        }
    })
}
