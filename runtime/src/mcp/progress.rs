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

/// What a client was told of one request so far. A call that asks its user runs again, under the same token.
#[derive(Debug)]
pub(super) struct Reached {
    last: f64,
    sent: usize,
}

impl Default for Reached {
    fn default() -> Self {
        Self {
            last: f64::NEG_INFINITY,
            sent: 0,
        }
    }
}

/// Sends progress on until the call has ended; all that was sent before its end goes out before its answer (P44).
pub(super) async fn forward(
    mut steps: mpsc::Receiver<Progress>,
    peer: &Peer<RoleServer>,
    token: ProgressToken,
    ended: &CancellationToken,
    reached: &mut Reached,
) {
    let unread = async {
        ended.cancelled().await;
        tokio::time::sleep(PROGRESS_DRAIN_MAX).await;
    };
    let mut unread = pin!(unread);
    loop {
        let step = tokio::select! {
            biased;
            step = steps.recv() => step,
            () = ended.cancelled() => None,
        };
        let Some(step) = step else { return };
        if !(step.progress.is_finite() && step.progress > reached.last)
            || reached.sent == PROGRESS_MESSAGES_MAX
        {
            continue;
        }
        reached.last = step.progress;
        reached.sent += 1;
        let mut message = ProgressNotificationParam::new(token.clone(), step.progress);
        message.total = step.total.filter(|total| total.is_finite());
        message.message = step
            .message
            .map(|text| crate::protect::clean(&text).into_owned());
        tokio::select! {
            told = peer.notify_progress(message) => if told.is_err() { return },
            () = &mut unread => return,
        }
    }
}
