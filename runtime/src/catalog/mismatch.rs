//! Says what is wrong with a value, by field, without repeating it.
//!
//! The reader is a model that shall mend its call. Schemas are public to it, values may be private to someone else, so
//! a message quotes the schema and names of fields, never a value.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::Value;

use super::schema::{SchemaMismatch, text};

/// Most names that one message lists.
const NAMES_MAX: usize = 5;

/// The field and the rule that it breaks.
pub(super) fn describe(error: &ValidationError<'_>) -> SchemaMismatch {
    let mut field = error.instance_path().to_string();
    let message = match error.kind() {
        Kind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            field.push('/');
            field.push_str(&name.replace('~', "~0").replace('/', "~1"));
            "is required".to_owned()
        }
        Kind::Type { .. } => match expected_type(error) {
            Some(expected) => format!("must be of type {expected}"),
            None => "is of the wrong type".to_owned(),
        },
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            let mut names: Vec<String> = unexpected
                .iter()
                .take(NAMES_MAX)
                .map(|name| format!("`{}`", text(name)))
                .collect();
            if unexpected.len() > NAMES_MAX {
                names.push("…".to_owned());
            }
            format!("has fields that are not taken: {}", names.join(", "))
        }
        Kind::Enum { options } => format!("must be one of {}", schema(options)),
        Kind::Constant { expected_value } => format!("must be {}", schema(expected_value)),
        Kind::Minimum { limit } => format!("must be at least {limit}"),
        Kind::Maximum { limit } => format!("must be at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::MinLength { limit } => format!("must have at least {limit} characters"),
        Kind::MaxLength { limit } => format!("must have at most {limit} characters"),
        Kind::MinItems { limit } => format!("must have at least {limit} items"),
        Kind::MaxItems { limit } => format!("must have at most {limit} items"),
        Kind::AdditionalItems { limit } => format!("must have at most {limit} items"),
        Kind::MinProperties { limit } => format!("must have at least {limit} fields"),
        Kind::MaxProperties { limit } => format!("must have at most {limit} fields"),
        Kind::Pattern { pattern } => format!("must match the pattern `{}`", text(pattern)),
        Kind::Format { format } => format!("must be a valid `{}`", text(format)),
        Kind::UniqueItems => "must not hold the same item twice".to_owned(),
        Kind::PropertyNames { .. } => "has a field whose name is not allowed".to_owned(),
        Kind::AnyOf { .. } | Kind::OneOfNotValid { .. } => {
            "fits none of the alternatives of its schema".to_owned()
        }
        Kind::OneOfMultipleValid { .. } => {
            "fits more than one of the alternatives of its schema".to_owned()
        }
        Kind::Contains => "holds no item of the kind that is required".to_owned(),
        Kind::FalseSchema => "is not allowed here".to_owned(),
        Kind::UnevaluatedItems { .. } => "has items that are not taken".to_owned(),
        _ => format!(
            "does not fit the rule at `{}` of the schema",
            text(&error.schema_path().to_string())
        ),
    };
    SchemaMismatch {
        field: text(&field),
        message,
    }
}

fn expected_type(error: &ValidationError<'_>) -> Option<String> {
    let Kind::Type { kind } = error.kind() else {
        return None;
    };
    Some(match kind {
        jsonschema::error::TypeKind::Single(one) => format!("`{one}`"),
        jsonschema::error::TypeKind::Multiple(several) => several
            .iter()
            .map(|one| format!("`{one}`"))
            .collect::<Vec<_>>()
            .join(" or "),
    })
}

fn schema(value: &Value) -> String {
    text(&value.to_string())
}
