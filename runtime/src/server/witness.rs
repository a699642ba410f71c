//! What makes checkpoints of the audit log and copies them outside, as the configuration says.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::StartError;
use super::own::authorities;
use crate::audit::{self, Audit, Due, Place, Witness};
use crate::clock::{SharedClock, Timestamp};
use crate::config::{AuditCopy, Config};
use crate::egress::{Egress, Resolve};
use crate::problem::caused;
use crate::store::SharedStore;

/// How often records are looked for that are older than they are kept.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// What this configuration says of checkpoints; names are resolved by `resolver`.
pub(super) async fn witness(
    config: &Config,
    resolver: &Arc<dyn Resolve>,
    audit: &Audit,
) -> Result<Witness, StartError> {
    let due = Due {
        records: config.audit.records,
        every: config.audit.every,
    };
    let places = config.audit.copies.iter().map(|copy| {
        let place = place(config, copy, resolver)?;
        Ok((copy.to_string(), place))
    });
    let places = places.collect::<Result<Vec<_>, StartError>>()?;
    Ok(Witness::open(audit, due, places).await?)
}

fn place(
    config: &Config,
    copy: &AuditCopy,
    resolver: &Arc<dyn Resolve>,
) -> Result<Place, StartError> {
    Ok(match copy {
        AuditCopy::File(path) => Place::File(path.clone()),
        AuditCopy::Syslog(address) => Place::Syslog(address.clone()),
        AuditCopy::Http {
            url,
            token_file,
            ca_file,
            local,
        } => {
            // A filter of its own: nobody else is led to where evidence is kept.
            let origins = local.then(|| url.origin()).into_iter().collect();
            let egress = Egress::new(config.egress_hosts.clone(), origins, Arc::clone(resolver))?;
            let roots = ca_file.as_deref().map(authorities).transpose()?;
            Place::Http {
                url: url.clone(),
                token_file: token_file.clone(),
                egress: Arc::new(egress.with_roots(roots.unwrap_or_default())?),
            }
        }
    })
}

/// Prunes what is older than records are kept, until the server stops.
pub(super) async fn retain(
    keep: Duration,
    audit: Audit,
    store: SharedStore,
    clock: SharedClock,
    shutdown: CancellationToken,
) {
    loop {
        let now = clock.now();
        let kept = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let before = Timestamp(now.0.saturating_sub(kept));
        match audit::prune(&audit, store.as_ref(), before).await {
            Ok(0) => {}
            Ok(gone) => tracing::info!(gone, "old audit records were pruned; their leaves stay"),
            Err(error) => {
                tracing::error!(error = %caused(&error), "old audit records could not be pruned")
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PRUNE_EVERY) => {}
            () = shutdown.cancelled() => return,
        }
    }
}
