//! Where secrets are kept, and how each is read. Errors say what is wrong with a source and nothing of a value.

use std::io::Read;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use super::super::files::{Piece, expand, pieces};
use super::value::{KeyError, Shape, Value};
use super::vault::Vault;
use crate::config::SecretSource;
use crate::egress::{Egress, EgressError};
use crate::grant::Holder;
use crate::host::task::joined;
use crate::limits::SECRET_FRESH_MAX;
use crate::private_file::{self, PrivateFileError};
use crate::protect::{SecretValue, ValueError};

/// A secret cannot be read. For the operator.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such file, or it may not be opened.
    #[error("its file cannot be opened")]
    Open(#[source] std::io::Error),
    /// It is a link, a folder or something else.
    #[error("it is not in a plain file; links are not followed")]
    NotAFile,
    /// Somebody else could have written it.
    #[error("its file belongs to somebody else; give it to the user of the server, or to root")]
    Owner,
    /// Somebody else can read it.
    #[error("others than its owner have access to its file; take it from them with `chmod 600`")]
    Mode,
    /// There is no such variable.
    #[error("the variable `{0}` was not set when the server started")]
    NoVariable(String),
    /// What was read is no secret.
    #[error("{0}")]
    Value(#[from] ValueError),
    /// What was read is no access key, or is one no longer.
    #[error("{0}")]
    Key(#[from] KeyError),
    /// It is a secret of one tenant, and no tenant is asked for.
    #[error("it is a different one for each tenant")]
    NoTenant,
    /// Vaults cannot be reached.
    #[error("there is no way to a vault")]
    NoVault,
    /// The token of the vault cannot be read.
    #[error("the token of the vault cannot be read")]
    Token(#[source] Box<ReadError>),
    /// The vault did not answer.
    #[error("the vault cannot be asked")]
    Vault(#[source] EgressError),
    /// The vault has no such secret, or its token does not open it.
    #[error("the vault answers with status {0}")]
    VaultStatus(u16),
    /// The vault answered something else.
    #[error("the vault has no text in that field")]
    VaultAnswer,
    /// A thread of ours ended.
    #[error("reading was given up")]
    GivenUp,
}

impl From<PrivateFileError> for ReadError {
    fn from(error: PrivateFileError) -> Self {
        match error {
            PrivateFileError::Open(source) => Self::Open(source),
            PrivateFileError::NotAFile => Self::NotAFile,
            PrivateFileError::Owner => Self::Owner,
            PrivateFileError::Mode => Self::Mode,
            PrivateFileError::TooLarge(_) => Self::Value(ValueError::Long),
        }
    }
}

/// A secret, where it is kept and in which shape.
pub(super) struct Source {
    place: Place,
    shape: Shape,
}

enum Place {
    File(Arc<FilePath>),
    /// Read once: a process's environment does not change.
    Env(String, Option<Zeroizing<String>>),
    Vault(Box<Vault>),
}

impl Source {
    pub(super) fn new(source: &SecretSource, shape: Shape, vault: Option<&Arc<Egress>>) -> Self {
        let place = match source {
            SecretSource::File(path) => Place::File(Arc::new(FilePath::of(path))),
            SecretSource::Env(name) => {
                let text = std::env::var(name).ok().map(Zeroizing::new);
                Place::Env(name.clone(), text)
            }
            SecretSource::Vault(source) => Place::Vault(Box::new(Vault::new(source, vault))),
        };
        Self { place, shape }
    }

    pub(super) fn is_per_tenant(&self) -> bool {
        match &self.place {
            Place::File(path) => path.is_per_tenant(),
            Place::Env(..) => false,
            Place::Vault(vault) => vault.is_per_tenant(),
        }
    }

    /// How long what was read serves; none is for ever.
    pub(super) fn fresh(&self) -> Option<Duration> {
        match &self.place {
            Place::File(_) => Some(SECRET_FRESH_MAX),
            Place::Env(..) => None,
            Place::Vault(vault) => Some(vault.fresh()),
        }
    }

    /// Reads it, for this holder.
    pub(super) async fn read(&self, holder: Option<&Holder>) -> Result<Arc<Value>, ReadError> {
        let value = match &self.place {
            Place::File(path) => {
                let bytes = path.bytes(holder, self.shape.bytes_max()).await?;
                Value::of(self.shape, &bytes)
            }
            Place::Env(_, Some(text)) => Value::of(self.shape, text.as_bytes()),
            Place::Env(name, None) => Err(ReadError::NoVariable(name.clone())),
            Place::Vault(vault) => vault.read(self.shape, holder).await,
        };
        value.map(Arc::new)
    }
}

/// A file, perhaps one per tenant.
pub(super) struct FilePath {
    /// The operator's own folders, links and all.
    prefix: PathBuf,
    /// From the first segment with a tenant in it to the file: no link is followed there.
    rest: Vec<Vec<Piece>>,
}

impl FilePath {
    /// The configuration has seen to it that the placeholders are known.
    pub(super) fn of(path: &str) -> Self {
        let (mut prefix, mut rest) = (PathBuf::new(), Vec::new());
        let mut components = Path::new(path).components().peekable();
        while let Some(component) = components.next() {
            let text = component.as_os_str().to_string_lossy().into_owned();
            let plain = !text.contains('{') && rest.is_empty() && components.peek().is_some();
            match component {
                Component::Normal(_) if !plain => {
                    let pieces = pieces(&text).unwrap_or_else(|| vec![Piece::Text(text)]);
                    rest.push(pieces);
                }
                other => prefix.push(other),
            }
        }
        if prefix.as_os_str().is_empty() {
            prefix.push(".");
        }
        Self { prefix, rest }
    }

    fn is_per_tenant(&self) -> bool {
        let mut pieces = self.rest.iter().flatten();
        pieces.any(|piece| !matches!(piece, Piece::Text(_)))
    }

    /// Reads a value of one text from the file.
    pub(super) async fn read(
        self: &Arc<Self>,
        holder: Option<&Holder>,
    ) -> Result<SecretValue, ReadError> {
        let bytes = self.bytes(holder, Shape::Text.bytes_max()).await?;
        Ok(SecretValue::of(&bytes)?)
    }

    /// Reads the file, and looks at it anew each time. What is longer than `most` comes with one byte more.
    async fn bytes(
        self: &Arc<Self>,
        holder: Option<&Holder>,
        most: usize,
    ) -> Result<Zeroizing<Vec<u8>>, ReadError> {
        let segments = match holder {
            Some(holder) => self.rest.iter().map(|one| expand(one, holder)).collect(),
            None => self.fixed().ok_or(ReadError::NoTenant)?,
        };
        let path = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || path.read_now(&segments, most));
        joined(read.await).unwrap_or(Err(ReadError::GivenUp))
    }

    fn fixed(&self) -> Option<Vec<String>> {
        let text = |pieces: &Vec<Piece>| {
            let pieces = pieces.iter();
            let texts = pieces.map(|piece| match piece {
                Piece::Text(text) => Some(text.as_str()),
                Piece::Tenant | Piece::Issuer | Piece::Subject => None,
            });
            texts.collect::<Option<String>>()
        };
        self.rest.iter().map(text).collect()
    }

    fn read_now(&self, segments: &[String], most: usize) -> Result<Zeroizing<Vec<u8>>, ReadError> {
        let file = private_file::open_below(&self.prefix, segments)?;
        let most = most + 1;
        let mut bytes = Zeroizing::new(Vec::with_capacity(most));
        file.take(u64::try_from(most).unwrap_or(u64::MAX))
            .read_to_end(&mut bytes)
            .map_err(ReadError::Open)?;
        Ok(bytes)
    }
}
