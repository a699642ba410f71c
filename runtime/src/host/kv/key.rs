//! What a key is, and how a page of keys says where the next begins.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::limits::KV_KEY_BYTES_MAX;

/// Whether a store takes it as a key.
pub(super) fn is_key(key: &str) -> bool {
    (1..=KV_KEY_BYTES_MAX).contains(&key.len()) && !key.chars().any(char::is_control)
}

/// Where a list goes on. It says no more than the guest was told: the last key of its page.
pub(super) fn encoded(last: &str) -> String {
    URL_SAFE_NO_PAD.encode(last)
}

/// The key that a cursor holds; none where no list gave it.
pub(super) fn decoded(cursor: &str) -> Option<String> {
    // Four characters for three bytes.
    if cursor.len() > KV_KEY_BYTES_MAX.saturating_mul(4).div_ceil(3) {
        return None;
    }
    let key = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    String::from_utf8(key).ok().filter(|key| is_key(key))
}
