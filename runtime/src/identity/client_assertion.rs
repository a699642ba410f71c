//! Who we are as a client of an issuer, by a signature (RFC 7523 §2.2, `private_key_jwt`): for that issuer alone, for a minute, and each
//! time another. The key stays in its file, which is read each time it is needed.

use aws_lc_rs::rand;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;
use zeroize::Zeroizing;

use super::client_secret::ClientSecretError;
use crate::clock::Timestamp;
use crate::config::ClientKey;
use crate::limits::{CLIENT_ASSERTION_TTL, CLIENT_KEY_BYTES_MAX};
use crate::private_file;

/// What a form calls such a text (RFC 7523 §2.2).
pub(super) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A text that shows at `audience` that we are this client.
pub async fn client_assertion(
    key: &ClientKey,
    client_id: &str,
    audience: &str,
    now: Timestamp,
) -> Result<Zeroizing<String>, ClientSecretError> {
    let mut id = [0; 16];
    rand::fill(&mut id).map_err(|_| ClientSecretError::Random)?;
    let mut header = Header::new(key.algorithm);
    header.kid = key.id.clone();
    // RFC 7523 §3. `sub` is the client, and so is `iss`.
    let claims = json!({
        "iss": client_id,
        "sub": client_id,
        "aud": key.audience.as_deref().unwrap_or(audience),
        "jti": hex::encode(id),
        "iat": now.secs(),
        "exp": now.plus(CLIENT_ASSERTION_TTL).secs(),
    });
    let (file, algorithm) = (key.file.clone(), key.algorithm);
    // A file and, with RSA, a millisecond of counting.
    let sign = move || -> Result<Zeroizing<String>, ClientSecretError> {
        let pem = private_file::read(&file, CLIENT_KEY_BYTES_MAX)?;
        let wrong = |_| ClientSecretError::Key(algorithm);
        let key = match algorithm {
            Algorithm::ES256 => EncodingKey::from_ec_pem(&pem),
            Algorithm::EdDSA => EncodingKey::from_ed_pem(&pem),
            Algorithm::RS256 => EncodingKey::from_rsa_pem(&pem),
            _ => return Err(ClientSecretError::Key(algorithm)),
        };
        let signed = encode(&header, &claims, &key.map_err(wrong)?);
        signed.map(Zeroizing::new).map_err(wrong)
    };
    let signed = tokio::task::spawn_blocking(sign).await;
    signed.unwrap_or(Err(ClientSecretError::GivenUp))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair as RsaKeys, KeySize};
    use aws_lc_rs::signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
        ED25519, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair,
        RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
    };
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use serde_json::Value;

    use super::*;
    use crate::identity::testing::NOW;

    /// How something signs: by which key, and how it is verified.
    type Signs = (
        Algorithm,
        Vec<u8>,
        Vec<u8>,
        &'static dyn VerificationAlgorithm,
    );

    fn write(dir: &Path, der: &[u8], mode: u32) -> std::path::PathBuf {
        let file = dir.join("key.pem");
        let body = STANDARD.encode(der);
        let lines: Vec<&str> = body
            .as_bytes()
            .chunks(64)
            .map(|line| std::str::from_utf8(line).unwrap())
            .collect();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            lines.join("\n")
        );
        let _ = std::fs::remove_file(&file);
        std::fs::write(&file, pem).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(mode)).unwrap();
        file
    }

    fn ec(kind: &'static EcdsaSigningAlgorithm) -> (Vec<u8>, Vec<u8>) {
        let der = EcdsaKeyPair::generate_pkcs8(kind, &SystemRandom::new()).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(kind, der.as_ref()).unwrap();
        (der.as_ref().to_vec(), pair.public_key().as_ref().to_vec())
    }

    fn es256() -> (Vec<u8>, Vec<u8>) {
        ec(&ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    fn key(file: &Path, algorithm: Algorithm) -> ClientKey {
        ClientKey {
            file: file.to_owned(),
            algorithm,
            id: Some("2027".to_owned()),
            audience: None,
        }
    }

    fn part(text: &str) -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn an_assertion_is_signed_for_its_issuer_for_a_minute_and_is_another_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let ed = Ed25519KeyPair::generate().unwrap();
        let rsa = RsaKeys::generate(KeySize::Rsa2048).unwrap();
        let rsa_der: Pkcs8V1Der<'_> = rsa.as_der().unwrap();
        let (ec_der, ec_public) = es256();
        let all: [Signs; 3] = [
            (
                Algorithm::ES256,
                ec_der,
                ec_public,
                &ECDSA_P256_SHA256_FIXED,
            ),
            (
                Algorithm::EdDSA,
                ed.to_pkcs8().unwrap().as_ref().to_vec(),
                ed.public_key().as_ref().to_vec(),
                &ED25519,
            ),
            (
                Algorithm::RS256,
                rsa_der.as_ref().to_vec(),
                rsa.public_key().as_ref().to_vec(),
                &RSA_PKCS1_2048_8192_SHA256,
            ),
        ];
        for (algorithm, der, public, verifies) in all {
            let file = write(dir.path(), &der, 0o600);
            let mut key = key(&file, algorithm);
            let mut seen = Vec::new();
            for audience in [None, Some("https://as.test/token".to_owned())] {
                key.audience = audience.clone();
                let text = client_assertion(&key, "us", "https://as.test", NOW).await;
                let text = text.unwrap();
                let (signed, signature) = text.rsplit_once('.').unwrap();
                let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
                let public = UnparsedPublicKey::new(verifies, &public);
                public.verify(signed.as_bytes(), &signature).unwrap();
                let (header, claims) = signed.split_once('.').unwrap();
                let (header, claims) = (part(header), part(claims));
                assert_eq!(header["alg"], format!("{algorithm:?}"));
                assert_eq!(header["kid"], "2027");
                assert_eq!(header["typ"], "JWT");
                let aud = audience.as_deref().unwrap_or("https://as.test");
                assert_eq!(claims["aud"], aud);
                assert_eq!(claims["iss"], "us");
                assert_eq!(claims["sub"], "us");
                assert_eq!(claims["iat"], NOW.secs());
                assert_eq!(claims["exp"], NOW.secs() + 60);
                seen.push(claims["jti"].as_str().unwrap().to_owned());
            }
            assert_eq!(seen[0].len(), 32);
            assert_ne!(seen[0], seen[1]);
        }
    }

    #[tokio::test]
    async fn a_key_that_others_can_read_or_that_is_another_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let (der, _) = es256();
        let sign = async |file: &Path, algorithm| {
            let key = key(file, algorithm);
            client_assertion(&key, "us", "https://as.test", NOW).await
        };
        for mode in [0o644, 0o640, 0o606] {
            let file = write(dir.path(), &der, mode);
            let refused = sign(&file, Algorithm::ES256).await;
            assert!(matches!(refused, Err(ClientSecretError::File(_))));
        }
        let file = write(dir.path(), &der, 0o600);
        assert!(sign(&file, Algorithm::ES256).await.is_ok());
        // Another kind than was said, and kinds that are not taken whatever is said.
        for algorithm in [
            Algorithm::EdDSA,
            Algorithm::RS256,
            Algorithm::HS256,
            Algorithm::ES384,
        ] {
            let refused = sign(&file, algorithm).await.unwrap_err();
            assert!(
                matches!(refused, ClientSecretError::Key(_)),
                "{algorithm:?}"
            );
            assert!(!refused.to_string().contains(&STANDARD.encode(&der)));
        }
        let (other, _) = ec(&ECDSA_P384_SHA384_FIXED_SIGNING);
        for bytes in [other.as_slice(), b"no key", b""] {
            let file = write(dir.path(), bytes, 0o600);
            assert!(sign(&file, Algorithm::ES256).await.is_err());
        }
        let missing = dir.path().join("missing");
        let refused = sign(&missing, Algorithm::ES256).await;
        assert!(matches!(refused, Err(ClientSecretError::File(_))));
    }
}
