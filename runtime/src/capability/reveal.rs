//! Values that were encrypted for a package and that a tool of it may open: of which class, and where they stood.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::ids::ToolName;
use crate::protect::Class;

/// Longest name of a field, in bytes: it stands in rules, consents and audit records.
const FIELD_BYTES_MAX: usize = 200;

/// Encrypted values that a tool may open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reveal {
    /// What they are.
    pub class: Class,
    /// Where they stood when they were encrypted; none is anywhere.
    pub field: Option<SealedField>,
}

/// Where a value stood: a tool of the package and a place in its arguments (`customer_add:/phones/*`) or in its reply
/// (`customer_find:reply/email`). It means that place and all below it; `*` is every place in an array, and every name that the
/// schema does not list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SealedField(Arc<str>);

/// A text names no place of encrypted values.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no place of encrypted values; write the tool and a JSON Pointer without spaces, such as `customer_add:/email` or `customer_find:reply/email`"
)]
pub struct NotAField(String);

impl Reveal {
    pub(super) fn meet(&self, other: &Self) -> Option<Self> {
        if self.class != other.class {
            return None;
        }
        let field = match (&self.field, &other.field) {
            (None, field) | (field, None) => field.clone(),
            (Some(a), Some(b)) if b.contains(a.as_str()) => Some(a.clone()),
            (Some(a), Some(b)) if a.contains(b.as_str()) => Some(b.clone()),
            (Some(_), Some(_)) => return None,
        };
        Some(Self {
            class: self.class.clone(),
            field,
        })
    }

    /// Whether a value of this class that stood there may be opened.
    pub fn allows(&self, class: &Class, field: &str) -> bool {
        let within = self.field.as_ref();
        self.class == *class && within.is_none_or(|within| within.contains(field))
    }
}

impl SealedField {
    /// The place as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The tool whose value stood there.
    pub fn tool(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }

    /// Whether `field` is this place or lies below it.
    fn contains(&self, field: &str) -> bool {
        field
            .strip_prefix(&*self.0)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

impl FromStr for SealedField {
    type Err = NotAField;

    fn from_str(text: &str) -> Result<Self, NotAField> {
        let place = |place: &str| {
            let pointer = place.strip_prefix("reply").unwrap_or(place);
            let segments = pointer.strip_prefix('/');
            let named = segments.is_some_and(|rest| rest.split('/').all(|one| !one.is_empty()));
            place == "reply" || named
        };
        let plain = |c: char| !c.is_whitespace() && !c.is_control();
        let fits = text.len() <= FIELD_BYTES_MAX && text.chars().all(plain);
        let parts = text.split_once(':').filter(|_| fits);
        match parts {
            Some((tool, rest)) if tool.parse::<ToolName>().is_ok() && place(rest) => {
                Ok(Self(text.into()))
            }
            _ => Err(NotAField(text.chars().take(FIELD_BYTES_MAX).collect())),
        }
    }
}

impl fmt::Display for SealedField {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl fmt::Display for Reveal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.class)?;
        match &self.field {
            Some(field) => write!(out, " {field}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_means_its_place_and_all_below_and_no_other() {
        let field: SealedField = "customer_add:/phones".parse().unwrap();
        for inside in ["customer_add:/phones", "customer_add:/phones/*"] {
            assert!(field.contains(inside), "{inside}");
        }
        for outside in [
            "customer_add:/phones2",
            "customer_add:/phone",
            "customer_add:",
            "other:/phones",
            "customer_add:reply/phones",
        ] {
            assert!(!field.contains(outside), "{outside}");
        }
        for wrong in [
            "",
            "/email",
            "customer_add",
            "customer_add:",
            "customer_add:email",
            "customer_add:/",
            "customer_add:/a//b",
            "customer_add:/a b",
            "customer_add:/a\0b",
            "a b:/x",
            "a/b:/x",
            ":/x",
            "customer_add:replyx",
            &format!("a:/{}", "x".repeat(200)),
        ] {
            assert!(wrong.parse::<SealedField>().is_err(), "{wrong}");
        }
        assert!("a:reply".parse::<SealedField>().is_ok());
    }

    #[test]
    fn what_may_be_opened_is_of_the_class_and_from_the_field() {
        let reveal = Reveal {
            class: "email".parse().unwrap(),
            field: Some("a:/to".parse().unwrap()),
        };
        let (email, phone): (Class, Class) = ("email".parse().unwrap(), "phone".parse().unwrap());
        assert!(reveal.allows(&email, "a:/to/*"));
        assert!(!reveal.allows(&phone, "a:/to"));
        assert!(!reveal.allows(&email, "a:/from"));
        let whole = Reveal {
            field: None,
            ..reveal
        };
        assert!(whole.allows(&email, "b:/from") && !whole.allows(&phone, "b:/from"));
    }

    #[test]
    fn a_field_has_at_most_200_bytes() {
        let of = |length: usize| format!("a:/{}", "x".repeat(length - 3));
        assert_eq!(of(200).parse::<SealedField>().unwrap().as_str(), of(200));
        assert_eq!(of(201).parse::<SealedField>(), Err(NotAField(of(200))));
    }
}
