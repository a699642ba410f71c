//! Progress of a running call, on its way to the client.

use std::pin::pin;
use std::time::Duration;

use rmcp::RoleServer;
use rmcp::model::{ProgressNotificationParam, ProgressToken};
use rmcp::service::Peer;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::line::Progress;
use crate::limits::PROGRESS_MESSAGES_MAX;

/// How long an answer waits for progress that a client does not read.
const PROGRESS_DRAIN_MAX: Duration = Duration::from_secs(1);

/// Sends progress on until the call has ended; all that was sent before its end goes out before its answer (P44).
pub(super) async fn forward(
    mut steps: mpsc::Receiver<Progress>,
    peer: &Peer<RoleServer>,
    token: ProgressToken,
    ended: &CancellationToken,
) {
    let unread = async {
        ended.cancelled().await;
        tokio::time::sleep(PROGRESS_DRAIN_MAX).await;
    };
    let mut unread = pin!(unread);
    let mut last = f64::NEG_INFINITY;
    let mut sent = 0;
    loop {
        let step = tokio::select! {
            biased;
            step = steps.recv() => step,
            () = ended.cancelled() => None,
        };
        let Some(step) = step else { return };
        if !(step.progress.is_finite() && step.progress > last) || sent == PROGRESS_MESSAGES_MAX {
            continue;
        }
        last = step.progress;
        sent += 1;
        let mut message = ProgressNotificationParam::new(token.clone(), step.progress);
        message.total = step.total.filter(|total| total.is_finite());
        message.message = step
            .message
            .map(|text| super::content::clean(&text).into_owned());
        tokio::select! {
            told = peer.notify_progress(message) => if told.is_err() { return },
            () = &mut unread => return,
        }
    }
}
