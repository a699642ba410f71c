//! 256 random bits that name something: whoever knows them is the one who was given them.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::ids::Digest;
use crate::store::{StoreError, random};

/// Bytes of a secret.
const BYTES: usize = 32;

/// 256 random bits in base64url. Never printed; what is kept of it is its hash.
pub(super) struct Secret(Zeroizing<String>);

impl Secret {
    /// A new one.
    pub(super) fn make() -> Result<Self, StoreError> {
        let bytes: [u8; BYTES] = random()?;
        Ok(Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// One that came back; nothing else has this form.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; BYTES]);
        match URL_SAFE_NO_PAD.decode_slice(text, bytes.as_mut_slice()) {
            Ok(BYTES) => Some(Self(Zeroizing::new(text.to_owned()))),
            Ok(_) | Err(_) => None,
        }
    }

    /// What is kept of it.
    pub(super) fn hash(&self) -> Digest {
        Digest::of(self.0.as_bytes())
    }

    /// As it stands in a cookie or a URL.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this text is it, in a time that does not tell how much of it fits.
    pub(super) fn is(&self, text: &str) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), text.as_bytes()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_has_256_bits_and_one_spelling() {
        let secret = Secret::make().unwrap();
        assert_eq!(secret.as_str().len(), 43);
        assert!(Secret::parse(secret.as_str()).unwrap().is(secret.as_str()));
        assert!(!secret.is(Secret::make().unwrap().as_str()));
        for bad in [
            "",
            "x",
            &"A".repeat(42),
            &"A".repeat(44),
            &format!("{}=", "A".repeat(43)),
        ] {
            assert!(Secret::parse(bad).is_none(), "{bad}");
        }
        // 43 characters hold two bits more than 32 bytes: they must be zero.
        assert!(Secret::parse(&format!("{}B", "A".repeat(42))).is_none());
    }
}
