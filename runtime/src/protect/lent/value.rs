//! The value of a secret: never printed, wiped when it goes, and long enough to be looked for.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

use crate::limits::{DELIVERED_BYTES_MIN, SECRET_BYTES_MAX, SECRET_BYTES_MIN};

/// A text that cannot be a secret. Says nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// It would be found in ordinary text.
    #[error(
        "it is shorter than {SECRET_BYTES_MIN} bytes; a shorter secret cannot be kept out of what tools see"
    )]
    Short,
    /// It is no secret any more.
    #[error("it is longer than {SECRET_BYTES_MAX} bytes")]
    Long,
    /// It cannot stand in a header field.
    #[error("it holds something else than visible ASCII; only one line end after it is left out")]
    Characters,
}

/// The value of a secret.
pub struct SecretValue(Zeroizing<String>);

impl SecretValue {
    /// Takes the bytes of a file or an answer, of which one line end is left out.
    pub fn of(bytes: &[u8]) -> Result<Self, ValueError> {
        let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.len() > SECRET_BYTES_MAX {
            return Err(ValueError::Long);
        }
        if !text.iter().all(u8::is_ascii_graphic) {
            return Err(ValueError::Characters);
        }
        if text.len() < SECRET_BYTES_MIN {
            return Err(ValueError::Short);
        }
        let text = std::str::from_utf8(text).map_err(|_| ValueError::Characters)?;
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// A value that the host puts into a request, whatever its characters are.
    pub fn delivered(text: &str) -> Result<Self, ValueError> {
        match text.len() {
            0..DELIVERED_BYTES_MIN => Err(ValueError::Short),
            DELIVERED_BYTES_MIN..=SECRET_BYTES_MAX => Ok(Self(Zeroizing::new(text.to_owned()))),
            _ => Err(ValueError::Long),
        }
    }

    /// The value itself: for requests, and for looking for it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for SecretValue {
    fn eq(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.0.as_bytes(), other.0.as_bytes()).is_ok()
    }
}

impl Eq for SecretValue {}

impl fmt::Debug for SecretValue {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_visible_and_neither_short_nor_long() {
        for (bytes, value) in [
            (&b"12345678"[..], "12345678"),
            (b"12345678\n", "12345678"),
            (b"12345678\r\n", "12345678"),
            (&[b'x'; SECRET_BYTES_MAX], &"x".repeat(SECRET_BYTES_MAX)),
        ] {
            assert_eq!(SecretValue::of(bytes).unwrap().expose(), value);
        }
        for (bytes, why) in [
            (&b""[..], ValueError::Short),
            (b"1234567\n", ValueError::Short),
            (b"12345678\n\n", ValueError::Characters),
            (b"1234 5678", ValueError::Characters),
            (b"12345678\0", ValueError::Characters),
            ("pässwörter".as_bytes(), ValueError::Characters),
            (&[b'x'; SECRET_BYTES_MAX + 1], ValueError::Long),
        ] {
            assert_eq!(SecretValue::of(bytes).unwrap_err(), why);
        }
    }

    #[test]
    fn a_delivered_value_is_any_text_that_is_neither_short_nor_long() {
        let text = "Ö \"q\"\n1";
        assert_eq!(SecretValue::delivered(text).unwrap().expose(), text);
        for (length, why) in [
            (DELIVERED_BYTES_MIN - 1, ValueError::Short),
            (SECRET_BYTES_MAX + 1, ValueError::Long),
        ] {
            assert_eq!(
                SecretValue::delivered(&"x".repeat(length)).unwrap_err(),
                why
            );
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        let value = SecretValue::of(b"canary-value").unwrap();
        assert_eq!(format!("{value:?}"), "Secret(…)");
        assert!(!format!("{:?}", SecretValue::of(b"canary\xff")).contains("canary"));
    }
}
