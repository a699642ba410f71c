//! A certificate chain and its private key, read and judged as one.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig, client, version};
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::config::TlsConfig;
use crate::ids::Digest;
use crate::limits::{CERTIFICATE_WARN, CERTIFICATES_BYTES_MAX, TLS_KEY_BYTES_MAX};
use crate::private_file::{self, PrivateFileError};

/// Why a certificate and its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file of certificates cannot be read.
    #[error("the certificates in `{}` cannot be read", .file.display())]
    Read {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// A file is larger than any chain.
    #[error("`{}` is larger than {CERTIFICATES_BYTES_MAX} bytes", .0.display())]
    TooLarge(PathBuf),
    /// A file does not hold what it should.
    #[error("`{}` is no PEM", .file.display())]
    Pem {
        file: PathBuf,
        #[source]
        source: pem::Error,
    },
    /// There is no certificate in it.
    #[error("there is no certificate in `{}`", .0.display())]
    None(PathBuf),
    /// One of the certificates is none.
    #[error("a certificate in `{}` cannot be read", .0.display())]
    Malformed(PathBuf),
    /// The file of the key cannot be used.
    #[error("the private key in `{}` cannot be read", .file.display())]
    Key {
        file: PathBuf,
        #[source]
        source: PrivateFileError,
    },
    /// The key is none, or of another certificate.
    #[error("the private key in `{}` does not belong to the certificate in `{}`, or is of a kind that is not served", .key.display(), .certificate.display())]
    Mismatch {
        certificate: PathBuf,
        key: PathBuf,
        #[source]
        source: rustls::Error,
    },
    /// The authorities of clients cannot be used.
    #[error("the authorities in `{}` cannot be used", .file.display())]
    Authorities {
        file: PathBuf,
        #[source]
        source: VerifierBuilderError,
    },
    /// TLS cannot be set up with it.
    #[error("TLS cannot be served with it")]
    Setup(#[source] rustls::Error),
    /// It is no use to anybody.
    #[error("the certificate in `{}` ended at {}", .file.display(), .at.rfc3339())]
    Over { file: PathBuf, at: Timestamp },
    /// Nobody accepts it yet.
    #[error("the certificate in `{}` begins at {}", .file.display(), .at.rfc3339())]
    NotYet { file: PathBuf, at: Timestamp },
}

/// Whether a certificate is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Good,
    /// It ends soon, and nobody has replaced it yet.
    EndsSoon,
    /// It begins later.
    NotYet,
    /// It has ended.
    Over,
}

/// The bytes of all files together, as they were at one moment.
pub(super) struct Files {
    chain: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    authorities: Option<Vec<u8>>,
}

impl Files {
    pub fn read(config: &TlsConfig) -> Result<Self, CertificateError> {
        // The ways to the key are the operator's own, links and all: programs that renew certificates lay them. The file at the
        // end is private.
        let key = |source| CertificateError::Key {
            file: config.key_file.clone(),
            source,
        };
        let at = config.key_file.canonicalize();
        let at = at.map_err(|source| key(PrivateFileError::Open(source)))?;
        let clients = config.clients.as_ref();
        Ok(Self {
            chain: certificates(&config.certificate_file)?,
            key: private_file::read(&at, TLS_KEY_BYTES_MAX).map_err(key)?,
            authorities: clients.map(|one| certificates(&one.ca_file)).transpose()?,
        })
    }

    /// What tells them from others. The key is told by its certificate, which it must fit.
    pub fn digest(&self) -> Digest {
        let key = Digest::of(&self.key);
        let parts = [
            Digest::of(&self.chain),
            key,
            Digest::of(self.authorities.as_deref().unwrap_or_default()),
        ];
        Digest::of(&parts.map(|one| *one.as_bytes()).concat())
    }
}

fn certificates(file: &Path) -> Result<Vec<u8>, CertificateError> {
    let read = |source| CertificateError::Read {
        file: file.to_owned(),
        source,
    };
    let most = u64::try_from(CERTIFICATES_BYTES_MAX).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let open = std::fs::File::open(file).map_err(read)?;
    open.take(most.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(read)?;
    if bytes.len() > CERTIFICATES_BYTES_MAX {
        return Err(CertificateError::TooLarge(file.to_owned()));
    }
    Ok(bytes)
}

/// A certificate and its key that fit, and how TLS is served with them.
pub struct Pair {
    leaf: CertificateDer<'static>,
    begins: Timestamp,
    ends: Timestamp,
    digest: Digest,
    served: Arc<ServerConfig>,
}

impl Pair {
    /// Reads and judges what the configuration names.
    pub fn read(config: &TlsConfig) -> Result<Self, CertificateError> {
        Self::of(config, &Files::read(config)?)
    }

    pub(super) fn of(config: &TlsConfig, files: &Files) -> Result<Self, CertificateError> {
        let file = &config.certificate_file;
        let chain = parsed(file, &files.chain)?;
        let leaf = chain
            .first()
            .cloned()
            .ok_or_else(|| CertificateError::None(file.clone()))?;
        for one in &chain {
            X509Certificate::from_der(one)
                .map_err(|_| CertificateError::Malformed(file.clone()))?;
        }
        let (_, read) = X509Certificate::from_der(&leaf)
            .map_err(|_| CertificateError::Malformed(file.clone()))?;
        let (begins, ends) = (read.validity().not_before, read.validity().not_after);
        let (begins, ends) = (begins.timestamp(), ends.timestamp());
        let key =
            PrivateKeyDer::from_pem_slice(&files.key).map_err(|source| CertificateError::Pem {
                file: config.key_file.clone(),
                source,
            })?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let certified = CertifiedKey::from_der(chain, key, &provider);
        let certified = certified.map_err(|source| CertificateError::Mismatch {
            certificate: file.clone(),
            key: config.key_file.clone(),
            source,
        })?;
        Ok(Self {
            leaf,
            begins: Timestamp::from_secs(begins),
            ends: Timestamp::from_secs(ends),
            digest: files.digest(),
            served: Arc::new(served(config, files, certified, provider)?),
        })
    }

    /// Whether it is in force at this time.
    pub fn standing(&self, now: Timestamp) -> Standing {
        if now >= self.ends {
            Standing::Over
        } else if now < self.begins {
            Standing::NotYet
        } else if self.ends.since(now) <= CERTIFICATE_WARN {
            Standing::EndsSoon
        } else {
            Standing::Good
        }
    }

    /// Refuses one that nobody would accept.
    pub fn in_force(&self, config: &TlsConfig, now: Timestamp) -> Result<(), CertificateError> {
        let file = config.certificate_file.clone();
        match self.standing(now) {
            Standing::Good | Standing::EndsSoon => Ok(()),
            Standing::Over => Err(CertificateError::Over {
                file,
                at: self.ends,
            }),
            Standing::NotYet => Err(CertificateError::NotYet {
                file,
                at: self.begins,
            }),
        }
    }

    /// When it ends.
    pub fn ends(&self) -> Timestamp {
        self.ends
    }

    /// Whether it is for this host.
    pub fn names(&self, host: &str) -> bool {
        let Ok(parsed) = ParsedCertificate::try_from(&self.leaf) else {
            return false;
        };
        let name = ServerName::try_from(host.trim_matches(['[', ']']));
        name.is_ok_and(|name| client::verify_server_name(&parsed, &name).is_ok())
    }

    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    pub(super) fn served(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.served)
    }
}

fn parsed(file: &Path, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let all = all.map_err(|source| CertificateError::Pem {
        file: file.to_owned(),
        source,
    })?;
    match all.is_empty() {
        true => Err(CertificateError::None(file.to_owned())),
        false => Ok(all),
    }
}

/// TLS 1.3, and 1.2 with what this library has of it: forward secrecy and authenticated encryption alone.
fn served(
    config: &TlsConfig,
    files: &Files,
    certified: CertifiedKey,
    provider: Arc<CryptoProvider>,
) -> Result<ServerConfig, CertificateError> {
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(CertificateError::Setup)?;
    let resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    let builder = match (&config.clients, &files.authorities) {
        (Some(clients), Some(bytes)) => {
            let file = &clients.ca_file;
            let mut roots = RootCertStore::empty();
            for authority in parsed(file, bytes)? {
                let added = roots.add(authority);
                added.map_err(|_| CertificateError::Malformed(file.clone()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = match clients.required {
                true => verifier,
                false => verifier.allow_unauthenticated(),
            };
            let verifier = verifier.build();
            builder.with_client_cert_verifier(verifier.map_err(|source| {
                CertificateError::Authorities {
                    file: file.clone(),
                    source,
                }
            })?)
        }
        (Some(_) | None, _) => builder.with_no_client_auth(),
    };
    let mut served = builder.with_cert_resolver(resolver);
    served.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // What was sent early may be sent again by others (RFC 8446 §8), and calls have effects.
    served.max_early_data_size = 0;
    // RFC 7627: without it a session of TLS 1.2 can be made to look like another one.
    served.require_ems = true;
    if config.clients.is_some() {
        // A session that is taken up again shows the certificate of before, which nobody looks at anew.
        served.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        served.send_tls13_tickets = 0;
    }
    Ok(served)
}
