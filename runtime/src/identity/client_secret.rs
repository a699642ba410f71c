//! Our secret as a client of an issuer: read where it is kept, each time it is needed, and shown by HTTP Basic.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use url::form_urlencoded;
use zeroize::Zeroizing;

use crate::config::ClientSecret;
use crate::limits::SECRET_BYTES_MAX;
use crate::private_file::{self, PrivateFileError};

/// The secret cannot be had. Says nothing of it.
#[derive(Debug, thiserror::Error)]
pub enum ClientSecretError {
    /// Its file cannot be read, or others have a hand in it.
    #[error("{0}")]
    File(#[from] PrivateFileError),
    /// There is no such variable.
    #[error("the variable `{0}` is not set")]
    NoVariable(String),
    /// It is empty, too long or no text.
    #[error("it is not 1 to {SECRET_BYTES_MAX} bytes of text without control characters")]
    Value,
    /// It is a key of another kind, or none.
    #[error("it is no private key in PEM (PKCS#8, or PKCS#1 for RSA) that signs with {0:?}")]
    Key(jsonwebtoken::Algorithm),
    /// The machine gives no random numbers.
    #[error("the operating system gives no random numbers")]
    Random,
    /// A thread of ours ended.
    #[error("reading was given up")]
    GivenUp,
}

/// Reads a client secret. What renews it writes it where it was.
pub async fn client_secret(from: &ClientSecret) -> Result<Zeroizing<String>, ClientSecretError> {
    match from {
        ClientSecret::File(file) => client_secret_file(Path::new(file)).await,
        ClientSecret::Env(name) => {
            let text = std::env::var(name).map(Zeroizing::new);
            checked(&text.map_err(|_| ClientSecretError::NoVariable(name.clone()))?)
        }
    }
}

/// Reads one from a file that nobody else can read.
pub async fn client_secret_file(file: &Path) -> Result<Zeroizing<String>, ClientSecretError> {
    let file = PathBuf::from(file);
    let read = move || -> Result<Zeroizing<String>, ClientSecretError> {
        // With room for the end of a line.
        let bytes = private_file::read(&file, SECRET_BYTES_MAX + 2)?;
        checked(std::str::from_utf8(&bytes).map_err(|_| ClientSecretError::Value)?)
    };
    let read = tokio::task::spawn_blocking(read).await;
    read.unwrap_or(Err(ClientSecretError::GivenUp))
}

fn checked(text: &str) -> Result<Zeroizing<String>, ClientSecretError> {
    let secret = text.trim_end_matches(['\r', '\n']);
    let fits = (1..=SECRET_BYTES_MAX).contains(&secret.len());
    if !fits || secret.chars().any(char::is_control) {
        return Err(ClientSecretError::Value);
    }
    Ok(Zeroizing::new(secret.to_owned()))
}

/// RFC 6749 §2.3.1: id and secret by HTTP Basic, each encoded as in a form.
pub(crate) fn basic(client_id: &str, secret: &str) -> Option<HeaderValue> {
    let encoded = |text: &str| {
        let encoded = form_urlencoded::byte_serialize(text.as_bytes());
        Zeroizing::new(encoded.collect::<String>())
    };
    let pair = Zeroizing::new(format!("{}:{}", *encoded(client_id), *encoded(secret)));
    let line = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
    let mut value = HeaderValue::from_str(&line).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_secret_that_others_can_read_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        let write = |text: &str, mode| {
            std::fs::write(&file, text).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        write("s3cret\r\n", 0o600);
        let from = ClientSecret::File(file.display().to_string());
        assert_eq!(*client_secret(&from).await.unwrap(), "s3cret");
        for (text, mode) in [
            ("s3cret", 0o644),
            ("s3cret", 0o640),
            ("", 0o600),
            ("\n", 0o600),
            ("a\nb", 0o600),
            (&"x".repeat(SECRET_BYTES_MAX + 1), 0o600),
        ] {
            write(text, mode);
            let error = client_secret(&from).await.unwrap_err();
            assert!(!error.to_string().contains("s3cret"));
        }
        write(&"x".repeat(SECRET_BYTES_MAX), 0o600);
        assert!(client_secret(&from).await.is_ok());
        let unset = ClientSecret::Env("BAILIWICK_TEST_NO_SUCH_SECRET".to_owned());
        assert!(matches!(
            client_secret(&unset).await,
            Err(ClientSecretError::NoVariable(_))
        ));
    }

    #[test]
    fn id_and_secret_are_encoded_and_never_printed() {
        let value = basic("a:b", "p:ä s").unwrap();
        let text = STANDARD.decode(value.to_str().unwrap().strip_prefix("Basic ").unwrap());
        assert_eq!(text.unwrap(), b"a%3Ab:p%3A%C3%A4+s");
        assert_eq!(format!("{value:?}"), "Sensitive");
    }
}
