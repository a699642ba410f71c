//! AES-256-GCM-SIV (RFC 8452) under keys of 256 bits, and what each ciphertext is bound to.
//!
//! A nonce is random. Where one comes twice by chance, this cipher tells that the same was encrypted twice, and nothing else.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::store::{StoreError, random};

/// Bytes of a key.
pub(super) const KEY_BYTES: usize = 32;
/// Bytes of the tag that authenticates.
const TAG_BYTES: usize = 16;
/// By how much a ciphertext is longer than what it holds: its nonce before, its tag behind.
pub(super) const OVERHEAD_BYTES: usize = NONCE_LEN + TAG_BYTES;

/// What was read was not encrypted under this key for this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct DoesNotOpen;

/// A key. Never printed, and wiped when it goes.
pub(super) struct Key(Zeroizing<[u8; KEY_BYTES]>);

impl Key {
    /// One that nobody can guess.
    pub(super) fn random() -> Result<Self, StoreError> {
        Ok(Self(Zeroizing::new(random()?)))
    }

    /// One that was kept; none when the length is wrong.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if bytes.len() != KEY_BYTES {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self(key))
    }

    /// Its bytes, to be encrypted under another.
    pub(super) fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// Encrypts, for the place that `bound` names: nonce, ciphertext, tag.
    pub(super) fn seal(&self, plain: &[u8], bound: &Bound) -> Result<Vec<u8>, StoreError> {
        self.seal_with(random()?, plain, bound.as_bytes())
    }

    fn seal_with(
        &self,
        nonce: [u8; NONCE_LEN],
        plain: &[u8],
        bound: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        // Room for all of it at once: a vector that grows leaves what it held behind.
        let mut all = Vec::with_capacity(plain.len().saturating_add(OVERHEAD_BYTES));
        all.extend_from_slice(&nonce);
        all.extend_from_slice(plain);
        let (_, text) = all.split_at_mut(NONCE_LEN);
        let nonce = Nonce::assume_unique_for_key(nonce);
        // Fails for texts alone that are longer than any of ours (RFC 8452 §6: 2^36 bytes).
        let tag = self
            .cipher()
            .and_then(|key| key.seal_in_place_separate_tag(nonce, Aad::from(bound), text));
        let tag = tag.map_err(|_| StoreError::Random)?;
        all.extend_from_slice(tag.as_ref());
        Ok(all)
    }

    /// Opens what was encrypted under this key for the same place, and nothing else.
    pub(super) fn open(
        &self,
        sealed: &[u8],
        bound: &Bound,
    ) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        self.open_bytes(sealed, bound.as_bytes())
    }

    fn open_bytes(&self, sealed: &[u8], bound: &[u8]) -> Result<Zeroizing<Vec<u8>>, DoesNotOpen> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN).ok_or(DoesNotOpen)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| DoesNotOpen)?;
        let mut text = Zeroizing::new(text.to_vec());
        let key = self.cipher().map_err(|_| DoesNotOpen)?;
        let plain = key.open_in_place(nonce, Aad::from(bound), &mut text);
        let bytes = plain.map_err(|_| DoesNotOpen)?.len();
        text.truncate(bytes);
        Ok(text)
    }

    fn cipher(&self) -> Result<LessSafeKey, aws_lc_rs::error::Unspecified> {
        UnboundKey::new(&AES_256_GCM_SIV, self.0.as_slice()).map(LessSafeKey::new)
    }

    /// The same for the same text in the same place, and of no use to whoever has not this key: HMAC-SHA-256, its first half.
    pub(super) fn mark(&self, text: &[u8], bound: &Bound) -> [u8; 16] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice());
        let mut context = hmac::Context::with_key(&key);
        context.update(bound.as_bytes());
        context.update(text);
        let mut mark = [0; 16];
        for (to, from) in mark.iter_mut().zip(context.sign().as_ref()) {
            *to = *from;
        }
        mark
    }
}

/// The place that a ciphertext belongs to: each part with its length before it, so that no two places read alike.
pub(super) struct Bound(Vec<u8>);

impl Bound {
    /// Begins with what is encrypted: of two purposes, no two places are one.
    pub(super) fn to(purpose: &'static str) -> Self {
        Self(Vec::new())
            .and(b"bailiwick seal 1")
            .and(purpose.as_bytes())
    }

    /// One part more.
    pub(super) fn and(mut self, part: &[u8]) -> Self {
        // No part of ours comes near to four gigabytes.
        let bytes = u32::try_from(part.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&bytes.to_be_bytes());
        self.0.extend_from_slice(part);
        self
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    mod vectors;

    use proptest::prelude::*;

    use super::*;
    use vectors::VECTORS;

    fn bytes(hex: &str) -> Vec<u8> {
        hex::decode(hex).unwrap()
    }

    #[test]
    fn the_vectors_of_rfc_8452_come_out_and_go_back() {
        assert_eq!(VECTORS.len(), 26);
        for [key, nonce, plain, bound, sealed] in VECTORS {
            let key = Key::of(&bytes(key)).unwrap();
            let nonce: [u8; NONCE_LEN] = bytes(nonce).try_into().unwrap();
            let ours = key.seal_with(nonce, &bytes(plain), &bytes(bound)).unwrap();
            assert_eq!(hex::encode(&ours[NONCE_LEN..]), *sealed);
            assert_eq!(ours[..NONCE_LEN], nonce);
            let open = key.open_bytes(&ours, &bytes(bound)).unwrap();
            assert_eq!(hex::encode(open.as_slice()), *plain);
        }
    }

    #[test]
    fn equal_texts_are_not_seen_to_be_equal() {
        let key = Key::random().unwrap();
        let bound = Bound::to("value");
        let [one, other] = [(); 2].map(|()| key.seal(b"text", &bound).unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), 4 + OVERHEAD_BYTES);
    }

    #[test]
    fn no_two_places_read_alike() {
        let of = |parts: &[&str]| {
            let start = Bound::to("value");
            let all = parts
                .iter()
                .fold(start, |all, part| all.and(part.as_bytes()));
            all.0
        };
        let all = [
            of(&["ab", "c"]),
            of(&["a", "bc"]),
            of(&["abc"]),
            of(&["abc", ""]),
            of(&["", "abc"]),
            Bound::to("data key").and(b"abc").0,
        ];
        for (at, one) in all.iter().enumerate() {
            for other in &all[at + 1..] {
                assert_ne!(one, other);
            }
        }
    }

    proptest! {
        #[test]
        fn what_was_changed_cut_or_moved_does_not_open(
            text in proptest::collection::vec(any::<u8>(), 0..200),
            place in proptest::collection::vec(any::<u8>(), 0..20),
            other in proptest::collection::vec(any::<u8>(), 0..20),
            at in any::<proptest::sample::Index>(),
            flip in 1..=u8::MAX,
            cut in any::<proptest::sample::Index>(),
        ) {
            let key = Key::random().unwrap();
            let bound = Bound::to("value").and(&place);
            let sealed = key.seal(&text, &bound).unwrap();
            let opened = key.open(&sealed, &bound).unwrap();
            prop_assert_eq!(opened.as_slice(), text.as_slice());
            let mut flipped = sealed.clone();
            flipped[at.index(sealed.len())] ^= flip;
            prop_assert!(key.open(&flipped, &bound).is_err());
            prop_assert!(key.open(&sealed[..cut.index(sealed.len())], &bound).is_err());
            let longer = [sealed.as_slice(), &[0]].concat();
            prop_assert!(key.open(&longer, &bound).is_err());
            prop_assert!(key.open(&sealed, &Bound::to("data key").and(&place)).is_err());
            if other != place {
                prop_assert!(key.open(&sealed, &Bound::to("value").and(&other)).is_err());
            }
            prop_assert!(Key::random().unwrap().open(&sealed, &bound).is_err());
        }
    }
}
