//! The signing key of the embedded identity provider.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// The key cannot be made, read or used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read or written.
    #[error("the signing key `{}` cannot be used", file.display())]
    File {
        file: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The bytes are no P-256 key.
    #[error("the signing key is not a P-256 key in PKCS #8; delete its file to have a new one")]
    Malformed,
    /// The cryptographic library failed.
    #[error("the cryptographic library could not make random bytes, a key or a signature")]
    Crypto,
}

/// A P-256 key that signs tokens with ES256.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    id: String,
}

impl SigningKey {
    /// A new key that is kept nowhere.
    pub fn generate() -> Result<Self, KeyError> {
        Self::from_pkcs8(&generate()?)
    }

    pub(super) fn open_or_create(file: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File {
            file: file.to_owned(),
            source,
        };
        match std::fs::read(file) {
            Ok(bytes) => Self::from_pkcs8(&Zeroizing::new(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let bytes = generate()?;
                let mut options = std::fs::OpenOptions::new();
                let mut out = options
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(file)
                    .map_err(failed)?;
                out.write_all(&bytes)
                    .and_then(|()| out.sync_all())
                    .map_err(failed)?;
                Self::from_pkcs8(&bytes)
            }
            Err(error) => Err(failed(error)),
        }
    }

    fn from_pkcs8(bytes: &[u8]) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes)
            .map_err(|_| KeyError::Malformed)?;
        let id = super::sha256(&URL_SAFE_NO_PAD.encode(pair.public_key().as_ref()));
        Ok(Self { pair, id })
    }

    /// The public key as a JWK Set (RFC 7517 §5).
    pub fn key_set(&self) -> Value {
        // SEC 1 §2.3.3: an uncompressed point is 0x04, x, y.
        let point = self.pair.public_key().as_ref();
        let half =
            |from: usize| URL_SAFE_NO_PAD.encode(point.get(from..from + 32).unwrap_or_default());
        json!({"keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id, "x": half(1), "y": half(33),
        }]})
    }

    /// A compact JWS (RFC 7515 §3.1) over these claims.
    pub fn sign(&self, kind: &str, claims: &Value) -> Result<String, KeyError> {
        let header = json!({"alg": "ES256", "typ": kind, "kid": self.id});
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(&header), part(claims));
        let signature = self
            .pair
            .sign(&SystemRandom::new(), signed.as_bytes())
            .map_err(|_| KeyError::Crypto)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn generate() -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let document =
        EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
    document
        .map(|bytes| Zeroizing::new(bytes.as_ref().to_vec()))
        .map_err(|_| KeyError::Crypto)
}

/// 256 random bits in base64url.
pub(super) fn random() -> Result<String, KeyError> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| KeyError::Crypto)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}
