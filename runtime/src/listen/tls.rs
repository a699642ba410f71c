//! TLS with a certificate that may be replaced while connections are open.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinError;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

use super::certificate::{CertificateError, Files, Pair, Standing};
use crate::clock::{SharedClock, Timestamp};
use crate::config::TlsConfig;
use crate::ids::Digest;
use crate::limits::CERTIFICATE_WARN_EVERY;
use crate::problem::caused;

/// TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificate or its key cannot be used.
    #[error("TLS cannot be served; `bailiwick check` says more")]
    Certificate(#[from] CertificateError),
    /// The signal to read the files again cannot be listened for.
    #[error("SIGHUP cannot be listened for")]
    Signal(#[source] io::Error),
}

/// The certificate that is served. Connections keep the one they began with.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

struct Inner {
    config: TlsConfig,
    current: ArcSwap<Pair>,
}

impl Tls {
    /// Reads the files. A certificate that is not in force is served all the same, and [`Tls::ready`] says so: nothing is served
    /// more safely without it.
    pub fn open(config: TlsConfig) -> Result<Self, CertificateError> {
        let pair = Pair::read(&config)?;
        Ok(Self(Arc::new(Inner {
            config,
            current: ArcSwap::from_pointee(pair),
        })))
    }

    /// Whether clients accept the certificate at this time.
    pub fn ready(&self, now: Timestamp) -> bool {
        match self.0.current.load().standing(now) {
            Standing::Good | Standing::EndsSoon => true,
            Standing::NotYet | Standing::Over => false,
        }
    }

    /// Makes a handshake.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(self.0.current.load().served());
        acceptor.accept(stream).await
    }

    /// Replaces the certificate whenever its files change, or SIGHUP says so. What cannot be used is refused and said, and the one
    /// before goes on.
    pub async fn follow(
        self,
        clock: SharedClock,
        shutdown: CancellationToken,
    ) -> Result<(), TlsError> {
        let mut asked = signal(SignalKind::hangup()).map_err(TlsError::Signal)?;
        let mut poll = tokio::time::interval(self.0.config.poll);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut follower = Follower {
            seen: *self.0.current.load().digest(),
            refused: None,
            unread: None,
            warned: None,
        };
        loop {
            let at_once = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                _ = poll.tick() => false,
                told = asked.recv() => told.is_some(),
            };
            self.look(&mut follower, at_once, clock.now()).await;
            self.warn(&mut follower, clock.now());
        }
    }

    async fn look(&self, follower: &mut Follower, at_once: bool, now: Timestamp) {
        let inner = Arc::clone(&self.0);
        let read = tokio::task::spawn_blocking(move || Files::read(&inner.config)).await;
        let files = match flattened(read) {
            Ok(files) => files,
            Err(error) => return follower.unread(&*error),
        };
        follower.unread = None;
        let digest = files.digest();
        let same = std::mem::replace(&mut follower.seen, digest) == digest;
        // Of two files one may be written before the other: what has just changed is looked at once more.
        if !same && !at_once {
            return;
        }
        if digest == *self.0.current.load().digest() {
            follower.refused = None;
            return;
        }
        if follower.refused.as_ref() == Some(&digest) && !at_once {
            return;
        }
        let pair = Pair::of(&self.0.config, &files);
        let usable = pair.and_then(|pair| {
            pair.in_force(&self.0.config, now)?;
            Ok(pair)
        });
        match usable {
            Ok(pair) => {
                tracing::info!(ends = %pair.ends().rfc3339(), "the certificate was replaced");
                self.0.current.store(Arc::new(pair));
                follower.refused = None;
                follower.warned = None;
            }
            Err(error) => {
                tracing::error!(error = %caused(&error), "a new certificate cannot be used; the one before goes on");
                follower.refused = Some(digest);
            }
        }
    }

    fn warn(&self, follower: &mut Follower, now: Timestamp) {
        let current = self.0.current.load();
        let standing = current.standing(now);
        let said = follower.warned.is_some_and(|(what, when)| {
            what == standing && when.elapsed() < CERTIFICATE_WARN_EVERY
        });
        if said {
            return;
        }
        let ends = current.ends().rfc3339();
        match standing {
            Standing::Good => return,
            Standing::EndsSoon => tracing::warn!(ends, "the certificate ends soon; renew it"),
            Standing::NotYet => tracing::error!("the certificate is not in force yet"),
            Standing::Over => tracing::error!(ends, "the certificate has ended; clients refuse it"),
        }
        follower.warned = Some((standing, Instant::now()));
    }
}

type Unread = Box<dyn std::error::Error + Send + Sync>;

fn flattened(read: Result<Result<Files, CertificateError>, JoinError>) -> Result<Files, Unread> {
    Ok(read??)
}

/// What the one who follows the files has seen and said.
struct Follower {
    /// What the files held when they were last looked at.
    seen: Digest,
    /// What was refused, so that it is said once.
    refused: Option<Digest>,
    /// Why they could not be read, so that it is said once.
    unread: Option<String>,
    /// What was last said of the end of the certificate.
    warned: Option<(Standing, Instant)>,
}

impl Follower {
    fn unread(&mut self, error: &(dyn std::error::Error + 'static)) {
        let text = caused(error);
        if self.unread.as_ref() != Some(&text) {
            tracing::error!(
                error = text,
                "the files of TLS cannot be read; what was read before goes on"
            );
            self.unread = Some(text);
        }
    }
}
