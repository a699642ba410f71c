//! Why a server does not start.

use std::net::SocketAddr;
use std::path::PathBuf;

use tokio_rustls::rustls::pki_types::pem;

use crate::audit::{AuditError, CheckpointError};
use crate::catalog::CatalogError;
use crate::consent::ReceiptError;
use crate::egress::EgressSetupError;
use crate::engine::EngineError;
use crate::follow::FollowError;
use crate::host::files::MountError;
use crate::identity::IssuerError;
use crate::listen::CertificateError;
use crate::sandbox::executor::ExecutorError;
use crate::seal::SealError;
use crate::store::StoreError;

/// The server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A folder cannot be made.
    #[error("the folder `{}` cannot be made", dir.display())]
    Folder {
        dir: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The file that is locked cannot be.
    #[error("`{}` cannot be locked, which keeps other servers from the same state", file.display())]
    Lock {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Another server works there.
    #[error(
        "another server works on `{}`; end it, or give this one a state of its own with `state.url`", state.display()
    )]
    InUse { state: PathBuf },
    /// The address is taken, or not ours.
    #[error("cannot listen on {address}; choose another port with `{option}`")]
    Listen {
        address: SocketAddr,
        option: &'static str,
        #[source]
        source: std::io::Error,
    },
    /// The cryptographic library does not work as it must.
    #[error("the self-test of token verification failed")]
    SelfTest(#[source] crate::identity::SelfTestError),
    /// State cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key of receipts cannot be used.
    #[error(transparent)]
    Receipts(#[from] ReceiptError),
    /// The audit log cannot be written.
    #[error("the audit log cannot be written, and without it nothing runs")]
    Audit(#[from] AuditError),
    /// Checkpoints of the audit log cannot be made.
    #[error(transparent)]
    Checkpoints(#[from] CheckpointError),
    /// An issuer cannot be used.
    #[error(transparent)]
    Issuer(#[from] IssuerError),
    /// The engine cannot start.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Guests cannot run in processes of their own.
    #[error("the processes in which guests run cannot be made")]
    Executors(#[from] ExecutorError),
    /// They keep what is required to be given up.
    #[error(
        "`hardening = \"require\"`, and a process in which guests run cannot give up {0}; use a kernel that can, or `hardening = \"prefer\"`"
    )]
    Unconfined(String),
    /// Nothing makes them.
    #[error(
        "`isolation = \"process\"`, and nothing was started that makes processes; start it by `bailiwick serve`"
    )]
    NoMaker,
    /// The tools folder cannot be followed.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    /// A mount cannot be used.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// What is looked for in calls cannot be.
    #[error(transparent)]
    Data(#[from] crate::protect::RuleError),
    /// The way out cannot be built.
    #[error(transparent)]
    Egress(#[from] EgressSetupError),
    /// Certificates of authorities cannot be read.
    #[error("the certificates in `{}` cannot be read; write them in PEM", file.display())]
    Authorities {
        file: PathBuf,
        #[source]
        source: pem::Error,
    },
    /// The keys to encrypt with cannot be used.
    #[error("values cannot be encrypted, and those that are cannot be opened")]
    Seal(#[source] SealError),
    /// The rules cannot be read or followed.
    #[error(transparent)]
    Rules(#[from] FollowError),
    /// TLS cannot be served.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The file of the configuration cannot be watched.
    #[error("changes of the configuration `{}` cannot be followed", file.display())]
    Watch {
        file: PathBuf,
        #[source]
        source: notify::Error,
    },
    /// The collector of traces cannot be used.
    #[error("traces cannot be sent to `telemetry.otlp`")]
    Collector(#[source] opentelemetry_otlp::ExporterBuildError),
    /// Our own program cannot be found, which compiles packages.
    #[error("our own program cannot be found")]
    Program(#[source] std::io::Error),
}
