//! What makes checkpoints of the audit log and copies them outside, as the configuration says.

use std::sync::Arc;

use super::StartError;
use super::own::authorities;
use crate::audit::{Audit, Due, Place, Witness};
use crate::config::{AuditCopy, Config};
use crate::egress::{Egress, Resolve};

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
