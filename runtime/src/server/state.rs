//! The state of a server, opened with its keys first: without them nothing is read, and nothing is encrypted under others.

use std::sync::Arc;

use super::own::key_provider;
use super::{StartError, folder};
use crate::audit::{Audit, AuditError};
use crate::clock::SharedClock;
use crate::config::{Config, SealConfig};
use crate::egress::Resolve;
use crate::seal::{Keeping, Provider, Rest, Seals, try_provider};
use crate::store::rest::{RestFile, SharedRestKeys};
use crate::store::seals::{Most, SharedSealedValues};
use crate::store::{SharedStore, SqliteKeyValues, SqliteSealedValues, SqliteStore};

/// The state, and the keys that it is encrypted under where the operator set some.
pub struct State {
    /// Consents, questions, sign-ins, the audit log and the server's own keys.
    pub store: Arc<SqliteStore>,
    sealing: Option<Sealing>,
}

/// What encrypts.
struct Sealing {
    provider: Arc<Provider>,
    values: SharedSealedValues,
    keeping: Keeping,
    /// None where no key can be used, for what needs none.
    rest: Option<Arc<Rest>>,
}

impl State {
    /// Opens the state of this configuration, a vault as `resolver` finds it. What is in the clear is encrypted where it has a `[seal]`.
    pub async fn open(config: &Config, resolver: Arc<dyn Resolve>) -> Result<Self, StartError> {
        let Some(seal) = &config.seal else {
            let store = SqliteStore::open(&config.state_file).await?;
            return Ok(Self {
                store: Arc::new(store),
                sealing: None,
            });
        };
        if let Some(dir) = config.state_file.parent() {
            folder(dir)?;
        }
        let provider = Arc::new(key_provider(config, seal, resolver)?);
        let values = values(config).await?;
        // Nothing is encrypted under keys that do not open what was encrypted before.
        try_provider(values.as_ref(), &provider)
            .await
            .map_err(StartError::Seal)?;
        let rest = Arc::new(Rest::new(Arc::clone(&provider)));
        let keys: SharedRestKeys = Arc::clone(&rest) as _;
        let store = SqliteStore::open_sealed(&config.state_file, keys).await?;
        Ok(Self {
            store: Arc::new(store),
            sealing: Some(Sealing {
                provider,
                values,
                keeping: keeping(seal),
                rest: Some(rest),
            }),
        })
    }

    /// The state of this configuration as it is, to be read: nothing is made, changed or encrypted.
    pub async fn read(
        config: &Config,
        resolver: Arc<dyn Resolve>,
    ) -> Result<SqliteStore, StartError> {
        let keys = match &config.seal {
            Some(seal) => {
                let provider = Arc::new(key_provider(config, seal, resolver)?);
                Some(Arc::new(Rest::new(provider)) as SharedRestKeys)
            }
            None => None,
        };
        Ok(SqliteStore::read(&config.state_file, keys).await?)
    }

    /// The same without any key, for what is about keys and needs none.
    pub async fn open_locked(config: &Config) -> Result<Self, StartError> {
        let store = SqliteStore::open_locked(&config.state_file).await?;
        let sealing = match &config.seal {
            Some(seal) => Some(Sealing {
                provider: Arc::new(Provider::none()),
                values: values(config).await?,
                keeping: keeping(seal),
                rest: None,
            }),
            None => None,
        };
        Ok(Self {
            store: Arc::new(store),
            sealing,
        })
    }

    /// The log, which is told of the keys that were made until now.
    pub async fn audit(&self, clock: SharedClock) -> Result<Audit, AuditError> {
        let store = Arc::clone(&self.store) as SharedStore;
        self.audit_on(&store, clock).await
    }

    /// The same where something stands before the state.
    pub(super) async fn audit_on(
        &self,
        store: &SharedStore,
        clock: SharedClock,
    ) -> Result<Audit, AuditError> {
        let store = Arc::clone(store);
        match &self.sealing {
            Some(Sealing { rest: None, .. }) => Audit::start_for_acts(store, clock),
            Some(Sealing {
                rest: Some(rest), ..
            }) => {
                let audit = Audit::start(store, clock).await?;
                rest.tell(&audit).await?;
                Ok(audit)
            }
            None => Audit::start(store, clock).await,
        }
    }

    /// What encrypts values and opens them; nothing does without `[seal]`.
    pub fn seals(&self, audit: &Audit) -> Seals {
        self.seals_with(audit, Vec::new())
    }

    /// The same for commands about keys, with every file that has some.
    pub async fn seals_of_all(&self, config: &Config, audit: &Audit) -> Result<Seals, StartError> {
        let mut files = vec![self.store.rest_file()];
        // Also where no store is bound any more: what was kept is there still.
        if SqliteKeyValues::beside(&config.state_file).exists() {
            files.push(self.key_values(config).await?.rest_file());
        }
        Ok(self.seals_with(audit, files))
    }

    fn seals_with(&self, audit: &Audit, files: Vec<Arc<dyn RestFile>>) -> Seals {
        let Some(sealing) = &self.sealing else {
            return Seals::default();
        };
        Seals::with_rest(
            Arc::clone(&sealing.values),
            Arc::clone(&sealing.provider),
            audit.clone(),
            sealing.keeping,
            files,
        )
    }

    /// What guests keep.
    pub async fn key_values(&self, config: &Config) -> Result<SqliteKeyValues, StartError> {
        let file = SqliteKeyValues::beside(&config.state_file);
        let opened = match &self.sealing {
            None => SqliteKeyValues::open(&file).await?,
            Some(Sealing {
                rest: Some(rest), ..
            }) => SqliteKeyValues::open_sealed(&file, Arc::clone(rest) as _).await?,
            Some(Sealing { rest: None, .. }) => SqliteKeyValues::open_locked(&file).await?,
        };
        Ok(opened)
    }
}

async fn values(config: &Config) -> Result<SharedSealedValues, StartError> {
    let file = SqliteSealedValues::beside(&config.state_file);
    Ok(Arc::new(SqliteSealedValues::open(&file).await?))
}

fn keeping(seal: &SealConfig) -> Keeping {
    Keeping {
        span: seal.keep,
        most: Most {
            tenant: seal.values_max,
            package: seal.package_values_max,
        },
    }
}
