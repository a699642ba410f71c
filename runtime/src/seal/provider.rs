//! Who holds the keys under which the keys of tenants are encrypted.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;

use super::cipher::{Bound, Key};
use super::key_file::KeyFile;
use super::transit::Transit;
use crate::config::SealConfig;
use crate::egress::{Egress, EgressError};
use crate::private_file::PrivateFileError;
use crate::protect::ValueError;
use crate::store::StoreError;
use crate::store::seals::WrappedKey;

/// A provider of keys did not do what it was asked to. Says nothing of a key.
#[derive(Debug, thiserror::Error)]
pub enum ProviderError {
    /// The key file cannot be read, or somebody else has a hand in it.
    #[error("the key file `{}` cannot be used", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: PrivateFileError,
    },
    /// A line of the key file is none of ours.
    #[error(
        "line {line} of the key file `{}` is not a new version and its key in base64; restore the file from a backup", path.display()
    )]
    Line {
        /// The file.
        path: PathBuf,
        /// Which line, from 1 on.
        line: usize,
    },
    /// The key file has no key.
    #[error("the key file `{}` holds no key; restore it, or add one with `bailiwick keys new`", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The key file has not the version that is needed.
    #[error(
        "version {version} (fingerprint {fingerprint}) is not in the key file `{}`; what was encrypted under it opens with nothing else: restore it from a backup",
        path.display()
    )]
    NoVersion {
        /// The file.
        path: PathBuf,
        /// The version.
        version: u32,
        /// What its key must have.
        fingerprint: String,
    },
    /// The key file has another key as this version.
    #[error(
        "version {version} in the key file `{}` is another key (fingerprint {found}) than the one that was used ({fingerprint}); restore that one from a backup",
        path.display()
    )]
    OtherKey {
        /// The file.
        path: PathBuf,
        /// The version.
        version: u32,
        /// What its key must have.
        fingerprint: String,
        /// What its key has.
        found: String,
    },
    /// A key was encrypted by a provider that is not configured.
    #[error(
        "a key was encrypted under `{wanted}`, and `[seal]` names nothing that holds that key; name that one again beside the new, and run `bailiwick keys rewrap`"
    )]
    OtherProvider {
        /// Under which key.
        wanted: String,
    },
    /// The provider's key does not open what was encrypted under it.
    #[error(
        "`{wanted}` does not open a key that was encrypted under it: the row was changed or moved, so restore it from a backup; or the key of that name is another, so bring back the one that it was"
    )]
    DoesNotOpen {
        /// Under which key.
        wanted: String,
    },
    /// There is no random number.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The token of the vault cannot be read.
    #[error("the token of the vault cannot be read")]
    TokenFile(#[source] PrivateFileError),
    /// What was read is no token.
    #[error("the token of the vault cannot be used")]
    Token(#[source] ValueError),
    /// There is no token.
    #[error("the variable `{0}` held no token of the vault when the program started")]
    TokenVariable(String),
    /// The vault did not answer.
    #[error("the vault cannot be asked")]
    Vault(#[source] EgressError),
    /// The vault answers something else than what it was asked.
    #[error("the vault answers with status {status}: {}", said(*status))]
    VaultStatus {
        /// The status.
        status: u16,
    },
    /// The vault does not encrypt with that key.
    #[error(
        "the vault does not encrypt with its key; it must be of a type that takes associated data, such as `aes256-gcm96`, and not derived"
    )]
    VaultEncrypts,
    /// The vault's answer is none that we know.
    #[error("the vault's answer is none of its transit engine")]
    VaultAnswer,
    /// A thread of ours ended.
    #[error("reading the key file was given up")]
    GivenUp,
    /// There is no provider here.
    #[error("no key of a provider can be used here")]
    NoProvider,
}

impl ProviderError {
    /// Whether it may do what it was asked to at another time, without anybody mending anything here.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::GivenUp
            | Self::TokenFile(_)
            | Self::Token(_)
            | Self::Vault(_)
            | Self::VaultStatus {
                status: 403 | 429 | 500..,
            } => true,
            Self::File { .. }
            | Self::Line { .. }
            | Self::Empty { .. }
            | Self::NoVersion { .. }
            | Self::OtherKey { .. }
            | Self::OtherProvider { .. }
            | Self::DoesNotOpen { .. }
            | Self::NoProvider
            | Self::TokenVariable(_)
            | Self::VaultStatus { .. }
            | Self::VaultEncrypts
            | Self::VaultAnswer
            | Self::Store(_) => false,
        }
    }
}

/// What a status of a vault means, as its interface says.
fn said(status: u16) -> &'static str {
    match status {
        403 => "its token does not open this key",
        404 => "there is no such mount or key",
        429 => "it is asked too often",
        503 => "it is sealed or under maintenance",
        _ => "look into its log",
    }
}

impl ProviderError {
    /// Whether the provider is out of reach or out of order, whatever it is asked for.
    pub(super) fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Vault(_)
                | Self::VaultStatus {
                    status: 429 | 500..
                }
        )
    }
}

/// Holds keys that never leave it.
#[async_trait]
pub(super) trait KeyProvider: Send + Sync + 'static {
    /// What the names of its keys begin with.
    fn kind(&self) -> &'static str;

    /// The name of the key under which it encrypts.
    async fn newest(&self) -> Result<String, ProviderError>;

    /// The names of all its keys, as far as it tells.
    async fn known(&self) -> Result<Vec<String>, ProviderError>;

    /// Encrypts a key for the place that `bound` names.
    async fn wrap(&self, key: &Key, bound: &Bound) -> Result<WrappedKey, ProviderError>;

    /// Opens what it encrypted for the same place.
    async fn unwrap(&self, wrapped: &WrappedKey, bound: &Bound) -> Result<Key, ProviderError>;
}

/// The providers of a configuration: one encrypts, all open.
pub struct Provider {
    first: Box<dyn KeyProvider>,
    others: Vec<Box<dyn KeyProvider>>,
}

impl Provider {
    /// Those of a configuration; `egress` leads to its vault. A vault encrypts, and a key file beside it opens what it encrypted
    /// before.
    pub fn new(config: &SealConfig, egress: Option<Arc<Egress>>) -> Option<Self> {
        let file = config.key_file.as_deref();
        let file = file.map(|path| Box::new(KeyFile::new(path)) as Box<dyn KeyProvider>);
        let vault = config.vault.as_ref().zip(egress);
        let vault = vault
            .map(|(source, egress)| Box::new(Transit::new(source, egress)) as Box<dyn KeyProvider>);
        let mut all = vault.into_iter().chain(file);
        Some(Self {
            first: all.next()?,
            others: all.collect(),
        })
    }

    /// This one alone.
    #[cfg(test)]
    pub(super) fn of(one: impl KeyProvider) -> Self {
        Self {
            first: Box::new(one),
            others: Vec::new(),
        }
    }

    /// None: for what needs no key.
    pub fn none() -> Self {
        Self {
            first: Box::new(NoProvider),
            others: Vec::new(),
        }
    }

    /// The name of the key under which keys of tenants are encrypted.
    pub async fn newest(&self) -> Result<String, ProviderError> {
        self.first.newest().await
    }

    /// The names of all keys, as far as their providers tell.
    pub(super) async fn known(&self) -> Result<Vec<String>, ProviderError> {
        let mut all = self.first.known().await?;
        for other in &self.others {
            all.extend(other.known().await?);
        }
        Ok(all)
    }

    pub(super) async fn wrap(&self, key: &Key, bound: &Bound) -> Result<WrappedKey, ProviderError> {
        self.first.wrap(key, bound).await
    }

    pub(super) async fn unwrap(
        &self,
        wrapped: &WrappedKey,
        bound: &Bound,
    ) -> Result<Key, ProviderError> {
        let kind = wrapped.provider_key.split(':').next().unwrap_or_default();
        let all = std::iter::once(&self.first).chain(&self.others);
        let mut of_kind = all.filter(|one| one.kind() == kind);
        match of_kind.next() {
            Some(one) => one.unwrap(wrapped, bound).await,
            None => Err(ProviderError::OtherProvider {
                wanted: wrapped.provider_key.clone(),
            }),
        }
    }
}

/// Holds no key.
struct NoProvider;

#[async_trait]
impl KeyProvider for NoProvider {
    fn kind(&self) -> &'static str {
        "none"
    }

    async fn newest(&self) -> Result<String, ProviderError> {
        Err(ProviderError::NoProvider)
    }

    async fn known(&self) -> Result<Vec<String>, ProviderError> {
        Err(ProviderError::NoProvider)
    }

    async fn wrap(&self, _key: &Key, _bound: &Bound) -> Result<WrappedKey, ProviderError> {
        Err(ProviderError::NoProvider)
    }

    async fn unwrap(&self, _wrapped: &WrappedKey, _bound: &Bound) -> Result<Key, ProviderError> {
        Err(ProviderError::NoProvider)
    }
}
