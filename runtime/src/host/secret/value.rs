//! What was read of a secret, in the shape that its form has: one text, or an access key. Errors say nothing of a value.

use std::sync::Arc;

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use zeroize::Zeroizing;

use crate::capability::SecretForm;
use crate::clock::Timestamp;
use crate::limits::{ACCESS_KEY_BYTES_MAX, SECRET_BYTES_MAX};
use crate::protect::{SecretValue, ValueError};

/// Longest id of an access key, in bytes: what AWS gives at most.
const ID_BYTES_MAX: usize = 128;
/// What may surround a value in its file: one line end.
const LINE_END_BYTES_MAX: usize = 2;

/// A text that is no access key. Says nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is larger than any.
    #[error("it is longer than {ACCESS_KEY_BYTES_MAX} bytes, and no access key is")]
    Long,
    /// It is no JSON object, or a value in it is no text.
    #[error(
        "it is no access key; write a JSON object with the texts `AccessKeyId` and `SecretAccessKey`, and `SessionToken` where there is one"
    )]
    Shape,
    /// A part is not there.
    #[error(
        "it has no text `{0}`; an access key has `AccessKeyId` and `SecretAccessKey`, and `SessionToken` where there is one"
    )]
    Missing(&'static str),
    /// A part cannot be a secret.
    #[error("`{0}`: {1}")]
    Part(&'static str, ValueError),
    /// The id would be read as something else in the field that carries it.
    #[error("`AccessKeyId` is not 1 to {ID_BYTES_MAX} letters, digits, `-`, `_` and `.`")]
    Id,
    /// No moment.
    #[error("`Expiration` is no time such as `2026-11-29T12:00:00Z`")]
    Expiration,
    /// It was good until a moment that is over.
    #[error("it was good until its `Expiration`, which is over; put a new one in its place")]
    Over,
}

/// In which shape a form has its secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    Text,
    AccessKey,
}

impl Shape {
    pub(super) fn of(form: &SecretForm) -> Self {
        match form.signs() {
            true => Self::AccessKey,
            false => Self::Text,
        }
    }

    /// How many bytes of a file are read: one more, and it is too long.
    pub(super) fn bytes_max(self) -> usize {
        match self {
            Self::Text => SECRET_BYTES_MAX + LINE_END_BYTES_MAX,
            Self::AccessKey => ACCESS_KEY_BYTES_MAX,
        }
    }
}

/// A secret as it was read.
#[derive(PartialEq, Eq)]
pub(super) enum Value {
    Text(Arc<SecretValue>),
    Key(AccessKey),
}

impl Value {
    pub(super) fn of(shape: Shape, bytes: &[u8]) -> Result<Self, super::ReadError> {
        Ok(match shape {
            Shape::Text => Self::Text(Arc::new(SecretValue::of(bytes)?)),
            Shape::AccessKey => Self::Key(AccessKey::of(bytes)?),
        })
    }

    /// What nobody may see of it. The id of an access key is none of it: it is no secret, stands in every signed request, and
    /// in the errors by which an operator finds out which key was used.
    pub(super) fn hidden(&self) -> impl Iterator<Item = &Arc<SecretValue>> {
        let (one, more) = match self {
            Self::Text(value) => (value, None),
            Self::Key(key) => (&key.secret, key.session.as_ref()),
        };
        [one].into_iter().chain(more)
    }

    /// Whether it is good no longer.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        match self {
            Self::Text(_) => false,
            Self::Key(key) => key.until.is_some_and(|until| until <= now),
        }
    }
}

/// An access key, perhaps a temporary one.
#[derive(PartialEq, Eq)]
pub(super) struct AccessKey {
    pub(super) id: String,
    pub(super) secret: Arc<SecretValue>,
    pub(super) session: Option<Arc<SecretValue>>,
    until: Option<Timestamp>,
}

/// Its parts, by the names that AWS has for them. What stands beside them is left alone.
#[derive(Deserialize)]
pub(super) struct Parts<T> {
    #[serde(rename = "AccessKeyId")]
    pub(super) id: Option<T>,
    #[serde(rename = "SecretAccessKey")]
    pub(super) secret: Option<T>,
    #[serde(rename = "SessionToken")]
    pub(super) session: Option<T>,
    #[serde(rename = "Expiration")]
    pub(super) until: Option<T>,
}

impl AccessKey {
    fn of(bytes: &[u8]) -> Result<Self, KeyError> {
        if bytes.len() > ACCESS_KEY_BYTES_MAX {
            return Err(KeyError::Long);
        }
        // No error of the parser goes on: it could quote what it read.
        let parts: Parts<String> = serde_json::from_slice(bytes).map_err(|_| KeyError::Shape)?;
        let wiped = |part: Option<String>| part.map(Zeroizing::new);
        Self::from_parts(&Parts {
            id: wiped(parts.id),
            secret: wiped(parts.secret),
            session: wiped(parts.session),
            until: wiped(parts.until),
        })
    }

    pub(super) fn from_parts(parts: &Parts<Zeroizing<String>>) -> Result<Self, KeyError> {
        let value = |name: &'static str, part: &Zeroizing<String>| {
            let value = SecretValue::of(part.as_bytes());
            value
                .map(Arc::new)
                .map_err(|error| KeyError::Part(name, error))
        };
        let id = parts.id.as_ref().ok_or(KeyError::Missing("AccessKeyId"))?;
        let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
        if !(1..=ID_BYTES_MAX).contains(&id.len()) || !id.bytes().all(fits) {
            return Err(KeyError::Id);
        }
        let secret = parts.secret.as_ref();
        let secret = secret.ok_or(KeyError::Missing("SecretAccessKey"))?;
        let session = parts.session.as_ref();
        let until = parts.until.as_ref().map(|text| {
            let until = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| KeyError::Expiration)?;
            Ok(Timestamp::from_secs(until.unix_timestamp()))
        });
        Ok(Self {
            id: id.to_string(),
            secret: value("SecretAccessKey", secret)?,
            session: session
                .map(|token| value("SessionToken", token))
                .transpose()?,
            until: until.transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = r#""AccessKeyId":"AKIDEXAMPLE""#;
    const SECRET: &str = r#""SecretAccessKey":"canary/secret+key""#;

    fn read(text: &str) -> Result<AccessKey, KeyError> {
        AccessKey::of(text.as_bytes())
    }

    #[test]
    fn an_access_key_is_an_object_as_the_command_of_aws_prints_it() {
        let text = format!(
            "{{\n  \"Version\": 1,\n  {ID},\n  {SECRET},\n  \"SessionToken\": \"canary-session\",\n  \"Expiration\": \"2026-11-29T12:00:00+00:00\"\n}}\n"
        );
        let key = read(&text).unwrap();
        assert_eq!(key.id, "AKIDEXAMPLE");
        assert_eq!(key.secret.expose(), "canary/secret+key");
        let session = key.session.clone().unwrap();
        assert_eq!(session.expose(), "canary-session");
        let noon = Timestamp::from_secs(1_795_953_600);
        let key = Value::Key(key);
        assert!(key.is_over(noon) && !key.is_over(Timestamp(noon.0 - 1)));
        let hidden: Vec<_> = key.hidden().map(|one| one.expose()).collect();
        assert_eq!(hidden, ["canary/secret+key", "canary-session"]);
        let lasting = Value::Key(read(&format!("{{{ID},{SECRET}}}")).unwrap());
        assert!(!lasting.is_over(Timestamp(i64::MAX)));
        assert_eq!(lasting.hidden().count(), 1);
    }

    #[test]
    fn what_is_no_access_key_is_told_without_a_word_of_it() {
        let long = format!("{{{ID},{SECRET},\"x\":\"{}\"}}", "x".repeat(16 * 1024));
        for (wrong, why) in [
            ("canary/secret+key".to_owned(), KeyError::Shape),
            (format!("[{{{ID}}}]"), KeyError::Shape),
            (
                format!("{{{ID},\"SecretAccessKey\":12345678}}"),
                KeyError::Shape,
            ),
            (format!("{{{ID},{SECRET}}} x"), KeyError::Shape),
            (format!("{{{ID},{SECRET},{SECRET}}}"), KeyError::Shape),
            (format!("{{{SECRET}}}"), KeyError::Missing("AccessKeyId")),
            (format!("{{{ID}}}"), KeyError::Missing("SecretAccessKey")),
            (
                format!("{{{ID},\"secretaccesskey\":\"canary-secret\"}}"),
                KeyError::Missing("SecretAccessKey"),
            ),
            (format!("{{\"AccessKeyId\":\"\",{SECRET}}}"), KeyError::Id),
            (
                format!("{{\"AccessKeyId\":\"AKID/x\",{SECRET}}}"),
                KeyError::Id,
            ),
            (
                format!("{{\"AccessKeyId\":\"AKID, x\",{SECRET}}}"),
                KeyError::Id,
            ),
            (
                format!("{{{ID},\"SecretAccessKey\":\"canary\"}}"),
                KeyError::Part("SecretAccessKey", ValueError::Short),
            ),
            (
                format!("{{{ID},{SECRET},\"SessionToken\":\"canary token\"}}"),
                KeyError::Part("SessionToken", ValueError::Characters),
            ),
            (
                format!("{{{ID},{SECRET},\"SessionToken\":\"\"}}"),
                KeyError::Part("SessionToken", ValueError::Short),
            ),
            (
                format!("{{{ID},{SECRET},\"Expiration\":\"tomorrow\"}}"),
                KeyError::Expiration,
            ),
            (long, KeyError::Long),
        ] {
            let error = read(&wrong).err().unwrap();
            assert_eq!(error, why, "{wrong}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
    }
}
