//! Base64url and JSON read in one way only.
//!
//! What two readers could understand differently is refused: members of the same name, also when they are equal only after
//! unescaping, padding, stray tail bits, a byte order mark, anything after the end.

use std::cell::RefCell;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use zeroize::Zeroizing;

use super::error::shown;

/// Deepest nesting of a token, a key set or a metadata document. The actor chain is the deepest thing we read: ten, and its claims.
pub(super) const JSON_DEPTH_MAX: usize = 16;

/// Why bytes are not read.
#[derive(Debug, thiserror::Error)]
pub enum StrictError {
    /// Not canonical base64url without padding.
    #[error("it is not base64url without padding")]
    Base64,
    /// Not UTF-8.
    #[error("it is not UTF-8")]
    Utf8,
    /// Not JSON.
    #[error("it is not JSON")]
    Json(#[source] serde_json::Error),
    /// JSON, but not an object.
    #[error("it is not a JSON object")]
    NotAnObject,
    /// A member that is named twice.
    #[error("it names the member {name} twice")]
    Duplicate { name: String },
    /// Nested too deeply.
    #[error("it is nested deeper than {JSON_DEPTH_MAX} levels")]
    TooDeep,
}

/// Decodes base64url (RFC 7515 §2): no padding, no whitespace, no stray bits in the last character.
pub(super) fn base64url(text: &str) -> Result<Zeroizing<Vec<u8>>, StrictError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map(Zeroizing::new)
        .map_err(|_| StrictError::Base64)
}

/// Reads one JSON object.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, StrictError> {
    let text = std::str::from_utf8(bytes).map_err(|_| StrictError::Utf8)?;
    let fault = RefCell::new(None);
    let mut reader = serde_json::Deserializer::from_str(text);
    let seed = Seed {
        depth: 1,
        fault: &fault,
    };
    let read = seed
        .deserialize(&mut reader)
        .and_then(|value| reader.end().map(|()| value));
    match (fault.into_inner(), read) {
        (Some(fault), _) => Err(fault),
        (None, Ok(Value::Object(members))) => Ok(members),
        (None, Ok(_)) => Err(StrictError::NotAnObject),
        (None, Err(error)) => Err(StrictError::Json(error)),
    }
}

/// Reads one value at a depth; what only we object to is left in `fault`.
#[derive(Clone, Copy)]
struct Seed<'a> {
    depth: usize,
    fault: &'a RefCell<Option<StrictError>>,
}

impl Seed<'_> {
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth >= JSON_DEPTH_MAX {
            return Err(self.refuse(StrictError::TooDeep));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }

    fn refuse<E: Error>(self, fault: StrictError) -> E {
        *self.fault.borrow_mut() = Some(fault);
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("not a number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            // RFC 7519 §4, RFC 8725 §2.4: of two members with one name, two readers may take different ones.
            if object.contains_key(&name) {
                return Err(self.refuse(StrictError::Duplicate { name: shown(&name) }));
            }
            let value = members.next_value_seed(inner)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_one_name_are_refused_also_after_unescaping_and_at_any_depth() {
        assert!(object(br#"{"a":1,"b":{"a":1}}"#).is_ok());
        for twice in [
            r#"{"a":1,"a":1}"#,
            r#"{"scope":"x","sc\u006fpe":"y"}"#,
            r#"{"b":{"a":1,"a":2}}"#,
            r#"{"b":[{"a":1,"\u0061":2}]}"#,
        ] {
            assert!(
                matches!(object(twice.as_bytes()), Err(StrictError::Duplicate { .. })),
                "{twice}"
            );
        }
    }

    #[test]
    fn only_one_object_in_utf8_without_byte_order_mark_is_read() {
        assert!(object(b" {} ").is_ok());
        for bad in [
            &b"\xef\xbb\xbf{}"[..],
            b"{} {}",
            b"{},",
            b"{",
            b"",
            b"[]",
            b"1",
            b"null",
            b"\"{}\"",
            b"{\"a\":\"\xff\"}",
            b"{\"a\":\"\\ud800\"}",
            b"{\"a\":1e999}",
            b"{\"a\":NaN}",
            b"{'a':1}",
            b"{\"a\":1,}",
            b"{}\0",
        ] {
            assert!(object(bad).is_err(), "{}", String::from_utf8_lossy(bad));
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested =
            |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
        assert!(object(nested(JSON_DEPTH_MAX - 1).as_bytes()).is_ok());
        assert!(matches!(
            object(nested(JSON_DEPTH_MAX).as_bytes()),
            Err(StrictError::TooDeep)
        ));
        assert!(object(nested(4_000).as_bytes()).is_err());
    }

    #[test]
    fn base64url_has_no_padding_whitespace_or_stray_bits() {
        assert_eq!(base64url("YQ").unwrap().as_slice(), b"a");
        for bad in ["YQ==", "YR", "Y", "Y Q", "YQ\n", "+/", "Y=Q"] {
            assert!(matches!(base64url(bad), Err(StrictError::Base64)), "{bad}");
        }
    }
}
