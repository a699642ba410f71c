//! Nonces for proofs (RFC 9449 §9): a time and its MAC, so that none is kept. The key lives as long as the process.

use std::fmt;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::clock::Timestamp;
use crate::identity::strict;
use crate::limits::DPOP_NONCE_TTL;

/// Bytes of the time in a nonce.
const TIME_BYTES: usize = 8;

pub(super) struct Nonces {
    key: hmac::Key,
}

impl Nonces {
    pub(super) fn new() -> Result<Self, Unspecified> {
        let mut bytes = Zeroizing::new([0; 32]);
        aws_lc_rs::rand::fill(bytes.as_mut())?;
        Ok(Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, bytes.as_ref()),
        })
    }

    pub(super) fn make(&self, now: Timestamp) -> String {
        let time = now.0.to_be_bytes();
        let tag = hmac::sign(&self.key, &time);
        URL_SAFE_NO_PAD.encode([time.as_slice(), tag.as_ref()].concat())
    }

    /// Whether it was made here, and not too long ago.
    pub(super) fn is_ours(&self, nonce: &str, now: Timestamp) -> bool {
        let Ok(bytes) = strict::base64url(nonce) else {
            return false;
        };
        let Some((time, tag)) = bytes.split_first_chunk::<TIME_BYTES>() else {
            return false;
        };
        let made = Timestamp(i64::from_be_bytes(*time));
        // A clock that was set back makes a nonce lie ahead; it is asked for anew.
        hmac::verify(&self.key, time, tag).is_ok()
            && made <= now
            && now.since(made) < DPOP_NONCE_TTL
    }
}

impl fmt::Debug for Nonces {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Nonces(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::identity::testing::NOW;

    #[test]
    fn a_nonce_counts_where_it_was_made_and_for_its_time() {
        let nonces = Nonces::new().unwrap();
        let nonce = nonces.make(NOW);
        let last = NOW.plus(DPOP_NONCE_TTL - Duration::from_millis(1));
        assert!(nonces.is_ours(&nonce, NOW) && nonces.is_ours(&nonce, last));
        assert!(!nonces.is_ours(&nonce, NOW.plus(DPOP_NONCE_TTL)));
        assert!(!nonces.is_ours(&nonce, Timestamp(NOW.0 - 1)));
        assert!(!Nonces::new().unwrap().is_ours(&nonce, NOW));
        let mut changed = nonce.clone();
        changed.replace_range(
            7..8,
            if nonce.as_bytes()[7] == b'A' {
                "B"
            } else {
                "A"
            },
        );
        for bad in [
            "",
            "AAAA",
            "x y",
            &nonce[1..],
            &format!("{nonce}A"),
            &changed,
        ] {
            assert!(!nonces.is_ours(bad, NOW), "{bad}");
        }
    }
}
