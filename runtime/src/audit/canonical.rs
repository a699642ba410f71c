//! Canonical JSON (RFC 8785) of a record, as every record of the log is written.
//!
//! The general writer keeps every value as bytes until it knows its place; a record is sorted and written once, which
//! takes a fraction of the time. Both write the same bytes, and a test holds them to it.

use serde_json::{Map, Value};

/// Largest integer whose canonical form is its plain one: those beyond 2^53 are written as the nearest double.
const INTEGER_MAX: u64 = 1 << 53;

/// Appends the canonical form of an object with these members.
pub(super) fn object<'a>(
    members: impl IntoIterator<Item = (&'a str, &'a Value)>,
    out: &mut Vec<u8>,
) -> Result<(), serde_json::Error> {
    let mut members: Vec<_> = members.into_iter().collect();
    // §3.2.3: by UTF-16 code units, which sort as bytes do where all are ASCII.
    if members.iter().all(|(name, _)| name.is_ascii()) {
        members.sort_unstable_by_key(|(name, _)| *name);
    } else {
        members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    }
    out.push(b'{');
    for (n, (name, member)) in members.into_iter().enumerate() {
        if n > 0 {
            out.push(b',');
        }
        serde_json::to_writer(&mut *out, name)?;
        out.push(b':');
        value(member, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// The members of a map, as [`object`] takes them.
pub(super) fn members(map: &Map<String, Value>) -> impl Iterator<Item = (&str, &Value)> {
    map.iter().map(|(name, value)| (name.as_str(), value))
}

fn value(value: &Value, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    match value {
        Value::Object(map) => object(members(map), out),
        Value::Array(all) => {
            out.push(b'[');
            for (n, one) in all.iter().enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                self::value(one, out)?;
            }
            out.push(b']');
            Ok(())
        }
        Value::Number(number) if !is_plain(number) => {
            out.extend(serde_json_canonicalizer::to_vec(number)?);
            Ok(())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            serde_json::to_writer(out, value)
        }
    }
}

fn is_plain(number: &serde_json::Number) -> bool {
    number
        .as_i64()
        .is_some_and(|n| n.unsigned_abs() <= INTEGER_MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            (-9_007_199_254_740_994_i64..=9_007_199_254_740_994).prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                proptest::collection::hash_map(any::<String>(), inner, 0..6)
                    .prop_map(|all| Value::Object(all.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_bytes_are_those_of_the_general_writer(value in json()) {
            let mut out = Vec::new();
            super::value(&value, &mut out).unwrap();
            let expected = serde_json_canonicalizer::to_vec(&value).unwrap();
            prop_assert_eq!(String::from_utf8(out), String::from_utf8(expected));
        }
    }

    #[test]
    fn names_are_sorted_by_utf16_and_numbers_written_as_doubles() {
        let value = serde_json::json!({
            "\u{20ac}": "Euro", "\r": "CR", "\u{fb33}": "Dalet", "1": 1e30, "\u{1f600}": 0.000_001,
            "\u{80}": [9_007_199_254_740_993_u64, -0.0, 1.0, "\u{1}\u{7f}\"\\/"], "\u{f6}": 1e-27,
        });
        let mut out = Vec::new();
        super::value(&value, &mut out).unwrap();
        let expected = serde_json_canonicalizer::to_vec(&value).unwrap();
        assert_eq!(String::from_utf8(out), String::from_utf8(expected));
    }
}
