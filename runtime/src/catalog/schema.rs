//! The JSON Schemas of a tool: judged and compiled once at admission, applied at every call.
//!
//! A schema comes from an author nobody trusts and is applied to arguments nobody trusts, so its cost is bounded: by its
//! size, by its references and patterns, and by the steps of each check. Nothing is ever fetched, and no message repeats a value.

use jsonschema::error::ValidationErrorKind;
use serde_json::Value;

use super::pattern::Weights;
use super::schema_walk;
use crate::limits::{ARGUMENTS_DEPTH_MAX, SCHEMA_BYTES_MAX, SCHEMA_PATTERN_BYTES_MAX};

/// The one dialect: MCP 2026-07-28 names JSON Schema 2020-12 as its default.
pub const DIALECT: &str = "https://json-schema.org/draft/2020-12/schema";

/// Stack of the thread that compiles a schema, in bytes. The compiler follows references by recursion.
const COMPILE_STACK_BYTES: usize = 64 * 1024 * 1024;

/// A JSON Schema that was judged and compiled.
pub struct Schema {
    value: Value,
    weights: Weights,
    validator: jsonschema::Validator,
}

/// Why a schema is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// The root is not an object schema.
    #[error("its root has no `\"type\": \"object\"`; add it")]
    Root,
    /// It is written in another dialect.
    #[error(
        "its `$schema` is `{0}`; write it in JSON Schema 2020-12 (`{DIALECT}`), or leave `$schema` out"
    )]
    Dialect(String),
    /// It is too large.
    #[error("it has {found} bytes as canonical JSON; at most {SCHEMA_BYTES_MAX} are allowed")]
    Bytes { found: usize },
    /// It nests too deeply.
    #[error("it is nested or refers deeper than {max} levels at `{at}`; flatten it")]
    Depth { at: String, max: usize },
    /// It has too many subschemas.
    #[error(
        "it has more than {max} subschemas, references followed; split the tool or simplify the schema"
    )]
    Nodes { max: usize },
    /// A keyword would load or rebind something.
    #[error("`{keyword}` at `{at}` is not supported; refer to `#/$defs/NAME` instead")]
    Keyword { keyword: &'static str, at: String },
    /// A reference leaves the schema.
    #[error("`$ref` at `{at}` is `{found}`; only `#` and `#/…` are followed, nothing is fetched")]
    Reference { at: String, found: String },
    /// A reference names no subschema.
    #[error("`$ref` at `{at}` names no subschema of this schema; write it as `#/$defs/NAME`")]
    Dangling { at: String },
    /// A reference comes back to itself on the same value.
    #[error("`$ref` at `{at}` leads back to itself without going into a property or an item")]
    Cycle { at: String },
    /// It is no valid schema.
    #[error("it is no valid JSON Schema at `{at}`: {what}")]
    Invalid { at: String, what: String },
}

/// A value does not fit its schema. The text names the field and what would be right; it never repeats the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", prefix(.field))]
pub struct SchemaMismatch {
    /// JSON pointer of the field; empty for the whole value.
    pub field: String,
    /// What is wrong with it, or what would be right.
    pub message: String,
}

fn prefix(field: &str) -> String {
    if field.is_empty() {
        String::new()
    } else {
        format!("`{field}` ")
    }
}

impl Schema {
    /// Judges and compiles a schema.
    pub fn compile(schema: &Value) -> Result<Self, SchemaError> {
        judge(schema)?;
        let owned = schema.clone();
        let build = move || {
            let validator = jsonschema::options()
                .with_draft(jsonschema::Draft::Draft202012)
                .offline()
                // The linear engine: a backtracking one would let an author and a caller together spend our time.
                .with_pattern_options(
                    jsonschema::PatternOptions::regex()
                        .size_limit(SCHEMA_PATTERN_BYTES_MAX)
                        .dfa_size_limit(SCHEMA_PATTERN_BYTES_MAX),
                )
                .build(&owned)
                .map_err(|error| invalid(&error))?;
            Ok(Self {
                weights: Weights::of(schema_walk::patterns(&owned)),
                value: owned,
                validator,
            })
        };
        let stopped = |what: &str| SchemaError::Invalid {
            at: String::new(),
            what: what.to_owned(),
        };
        std::thread::Builder::new()
            .name("schema".to_owned())
            .stack_size(COMPILE_STACK_BYTES)
            .spawn(build)
            .map_err(|_| stopped("no thread could be started to compile it"))?
            .join()
            .map_err(|_| stopped("it cannot be compiled"))?
    }

    /// The schema as it was written.
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// Whether a value fits.
    pub fn check(&self, value: &Value) -> Result<(), SchemaMismatch> {
        if deeper_than(value, ARGUMENTS_DEPTH_MAX) {
            return Err(SchemaMismatch {
                field: String::new(),
                message: format!("nests deeper than {ARGUMENTS_DEPTH_MAX} levels; flatten it"),
            });
        }
        schema_walk::affordable(&self.value, &self.weights, value)?;
        self.validator
            .validate(value)
            .map_err(|error| super::mismatch::describe(&error))
    }
}

impl std::fmt::Debug for Schema {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_tuple("Schema").field(&self.value).finish()
    }
}

fn invalid(error: &jsonschema::ValidationError<'_>) -> SchemaError {
    match error.kind() {
        // All that is ever said of a pattern, whatever is wrong with it.
        ValidationErrorKind::Format { format } if format == "regex" => SchemaError::Invalid {
            at: text(error.schema_path().as_str()),
            what: format!(
                "the pattern cannot be read, looks around, or takes more than {SCHEMA_PATTERN_BYTES_MAX} bytes once \
                 compiled; repeat less often, and ASCII classes such as `[a-z]` rather than `.` or `[^a]`"
            ),
        },
        _ => SchemaError::Invalid {
            at: error.instance_path().to_string(),
            what: text(&error.masked().to_string()),
        },
    }
}

fn judge(schema: &Value) -> Result<(), SchemaError> {
    let bytes = serde_json_canonicalizer::to_vec(schema).map_or(usize::MAX, |bytes| bytes.len());
    if bytes > SCHEMA_BYTES_MAX {
        return Err(SchemaError::Bytes { found: bytes });
    }
    match schema.get("$schema") {
        None => {}
        Some(Value::String(found)) if found.trim_end_matches('#') == DIALECT => {}
        Some(Value::String(found)) => return Err(SchemaError::Dialect(text(found))),
        Some(_) => return Err(SchemaError::Dialect("not a text".to_owned())),
    }
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return Err(SchemaError::Root);
    }
    schema_walk::judge(schema)
}

/// Whether a value has more than `levels` levels of arrays and objects.
fn deeper_than(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => match levels.checked_sub(1) {
            None => true,
            Some(rest) => items.iter().any(|item| deeper_than(item, rest)),
        },
        Value::Object(fields) => match levels.checked_sub(1) {
            None => true,
            Some(rest) => fields.values().any(|field| deeper_than(field, rest)),
        },
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Text of an author, cut and without control characters, so that it can stand in a log line.
pub(super) fn text(of: &str) -> String {
    let mut clean: String = of.chars().filter(|c| !c.is_control()).take(200).collect();
    if of.chars().count() > 200 {
        clean.push('…');
    }
    clean
}

#[cfg(test)]
#[path = "schema_tests.rs"]
mod tests;
