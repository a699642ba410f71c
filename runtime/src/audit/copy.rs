//! Copies of checkpoints outside: to a file, an address on the web, or a collector of syslog messages.
//!
//! A copy is delivered at least once and in order. How far it came is in the state, so that nothing is left out after a
//! failure or a restart; the same checkpoint may stand there twice.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, StatusCode};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket, UnixDatagram};
use url::Url;

use super::note::Note;
use crate::config::SyslogAddress;
use crate::egress::{Egress, EgressError};
use crate::limits::AUDIT_COPY_WAIT_MAX;
use crate::private_file::{self, PrivateFileError};

/// Bytes of an answer that is read: only its status counts.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Bytes of a token.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// `log audit` (13) and `notice` (5), as RFC 5424 §6.2.1 counts.
const PRIORITY: u8 = 13 * 8 + 5;

/// A copy could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The file cannot be written.
    #[error("its file cannot be written")]
    File(#[source] std::io::Error),
    /// Somebody else has a hand in the file.
    #[error(
        "its file is no plain file of ours that others cannot write; `chmod go-w` it, or choose another"
    )]
    NotOurs,
    /// The token cannot be read.
    #[error("the file of its token cannot be used")]
    Token(#[source] PrivateFileError),
    /// The token is none.
    #[error("the file of its token holds no token")]
    NoToken,
    /// The address cannot be reached.
    #[error("its address cannot be reached")]
    Reach(#[from] EgressError),
    /// The address answered otherwise.
    #[error("its address answers with status {0}, and not with one from 200 to 299")]
    Status(u16),
    /// The collector does not take it.
    #[error("its collector cannot be reached")]
    Collector(#[source] std::io::Error),
    /// It took too long.
    #[error("it does not take a checkpoint within {} s", AUDIT_COPY_WAIT_MAX.as_secs())]
    Slow,
}

/// A place outside that gets every checkpoint.
pub enum Place {
    /// A file that is only appended to.
    File(PathBuf),
    /// An address that takes them by POST.
    Http {
        /// The address.
        url: Url,
        /// A file with a bearer token for it, read at each request.
        token_file: Option<PathBuf>,
        /// The way there.
        egress: Arc<Egress>,
    },
    /// A collector of syslog messages.
    Syslog(SyslogAddress),
}

impl Place {
    /// Copies one checkpoint. When it returns, the other side has it, as far as it can say.
    pub(super) async fn put(&self, note: &Note) -> Result<(), CopyError> {
        let put = async {
            match self {
                Self::File(path) => {
                    let (path, text) = (path.clone(), note.to_string());
                    let done = tokio::task::spawn_blocking(move || append(&path, &text)).await;
                    done.unwrap_or_else(|error| Err(CopyError::File(std::io::Error::other(error))))
                }
                Self::Http {
                    url,
                    token_file,
                    egress,
                } => post(egress, url, token_file.as_deref(), note).await,
                Self::Syslog(address) => {
                    let sent = send(address, message(note).as_bytes()).await;
                    sent.map_err(CopyError::Collector)
                }
            }
        };
        let bounded = tokio::time::timeout(AUDIT_COPY_WAIT_MAX, put).await;
        bounded.unwrap_or(Err(CopyError::Slow))
    }
}

/// Writes behind what is there, and waits for the disk.
fn append(path: &Path, text: &str) -> Result<(), CopyError> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let opened = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or_default())
        .open(path);
    let mut file = opened.map_err(CopyError::File)?;
    let found = file.metadata().map_err(CopyError::File)?;
    // What others can write says nothing of what we wrote.
    if !found.is_file()
        || found.uid() != rustix::process::geteuid().as_raw()
        || found.mode() & 0o022 != 0
    {
        return Err(CopyError::NotOurs);
    }
    // An entry that lost its end to a power failure is closed before the next one.
    let seam = match is_torn(&mut file).map_err(CopyError::File)? {
        true => "\n\n",
        false => "",
    };
    file.write_all(format!("{seam}{text}\n").as_bytes())
        .and_then(|()| file.sync_data())
        .map_err(CopyError::File)
}

fn is_torn(file: &mut File) -> std::io::Result<bool> {
    let length = file.seek(SeekFrom::End(0))?;
    if length == 0 {
        return Ok(false);
    }
    let mut end = Vec::new();
    file.seek(SeekFrom::Start(length.saturating_sub(2)))?;
    file.take(2).read_to_end(&mut end)?;
    Ok(end != b"\n\n")
}

async fn post(
    egress: &Egress,
    url: &Url,
    token_file: Option<&Path>,
    note: &Note,
) -> Result<(), CopyError> {
    let mut headers = HeaderMap::new();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(CONTENT_TYPE, plain);
    if let Some(file) = token_file {
        let bytes = private_file::read(file, TOKEN_BYTES_MAX).map_err(CopyError::Token)?;
        let token = std::str::from_utf8(&bytes).map_err(|_| CopyError::NoToken)?;
        let value = zeroize::Zeroizing::new(format!("Bearer {}", token.trim()));
        let mut value = HeaderValue::from_str(&value).map_err(|_| CopyError::NoToken)?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let answer = egress
        .send_own(
            Method::POST,
            url,
            headers,
            Bytes::from(note.to_string()),
            ANSWER_BYTES_MAX,
            AUDIT_COPY_WAIT_MAX,
        )
        .await?;
    match answer.status() {
        status if status.is_success() => Ok(()),
        // Who has it already need not take it again.
        StatusCode::CONFLICT => Ok(()),
        status => Err(CopyError::Status(status.as_u16())),
    }
}

/// RFC 5424: the checkpoint stands in the message in base64, since it has lines.
fn message(note: &Note) -> String {
    let said = note.checkpoint();
    format!(
        "<{PRIORITY}>1 {} - bailiwick {} CHECKPOINT - log={} size={} root={} note={}",
        said.at.rfc3339(),
        std::process::id(),
        said.log_id,
        said.size,
        said.root,
        STANDARD.encode(note.to_string())
    )
}

async fn send(address: &SyslogAddress, message: &[u8]) -> std::io::Result<()> {
    match address {
        SyslogAddress::Unix(path) => {
            UnixDatagram::unbound()?.send_to(message, path).await?;
        }
        SyslogAddress::Udp(to) => {
            let any: SocketAddr = match to {
                SocketAddr::V4(_) => (std::net::Ipv4Addr::UNSPECIFIED, 0).into(),
                SocketAddr::V6(_) => (std::net::Ipv6Addr::UNSPECIFIED, 0).into(),
            };
            let socket = UdpSocket::bind(any).await?;
            // Connected, so that a closed port is told to us where the machine can.
            socket.connect(to).await?;
            socket.send(message).await?;
        }
        SyslogAddress::Tcp(to) => {
            let mut stream = TcpStream::connect(to).await?;
            let length = format!("{} ", message.len());
            stream
                .write_all(&[length.as_bytes(), message].concat())
                .await?;
            stream.shutdown().await?;
        }
    }
    Ok(())
}
