//! What rules can see of a tool's arguments: its JSON Schema in Cedar's types, and what those cannot say.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::ids::ToolName;

/// Deepest nesting of arguments that rules can read.
const ARGUMENT_DEPTH_MAX: usize = 4;

/// What rules can see of one JSON Schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    String,
    Long,
    Bool,
    Set(Box<Shape>),
    Record(Vec<(String, Shape, /* required */ bool)>),
}

/// Why rules cannot read a part of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// Cedar has no numbers with fractions.
    Fraction,
    /// A value of several types, other than one type or null.
    Several,
    /// A reference to another schema.
    Reference,
    /// An object whose members have no names of their own.
    FreeKeys,
    /// A list of objects, of which rules could see a part only.
    Objects,
    /// Below the depth that rules can read.
    Deep,
    /// The schema names no type.
    Untyped,
}

impl fmt::Display for Why {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Fraction => "a number with a fraction",
            Self::Several => "of several types",
            Self::Reference => "a reference",
            Self::FreeKeys => "free keys",
            Self::Objects => "a list of objects",
            Self::Deep => "nested too deeply",
            Self::Untyped => "without a type",
        })
    }
}

/// A part of a tool's arguments that rules cannot read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The tool.
    pub tool: ToolName,
    /// The argument, with dots between names.
    pub argument: String,
    /// Why.
    pub why: Why,
}

/// The shape of a JSON Schema, or why it has none.
pub(super) fn shape(schema: &Value) -> Result<Shape, Why> {
    shape_at(schema, 0)
}

fn shape_at(schema: &Value, depth: usize) -> Result<Shape, Why> {
    if depth > ARGUMENT_DEPTH_MAX {
        return Err(Why::Deep);
    }
    match kind(schema)?.0 {
        "string" => Ok(Shape::String),
        "integer" => Ok(Shape::Long),
        "boolean" => Ok(Shape::Bool),
        "number" => Err(Why::Fraction),
        "array" => {
            let element = shape_at(schema.get("items").ok_or(Why::Untyped)?, depth + 1)?;
            // Whole records are compared there, and a part of one that rules cannot see would count as equal.
            if holds_records(&element) {
                return Err(Why::Objects);
            }
            Ok(Shape::Set(Box::new(element)))
        }
        "object" => {
            if depth > 0 && fields(schema).next().is_none() {
                return Err(Why::FreeKeys);
            }
            let readable = fields(schema).filter_map(|(name, field)| {
                let shape = shape_at(field, depth + 1).ok()?;
                // Null counts as absent, so that an optional argument may be spelled either way.
                let required =
                    is_required(schema, name) && !kind(field).is_ok_and(|(_, null)| null);
                Some((name.clone(), shape, required))
            });
            Ok(Shape::Record(readable.collect()))
        }
        _ => Err(Why::Untyped),
    }
}

/// The one type of a schema, and whether it may be null instead.
fn kind(schema: &Value) -> Result<(&str, bool), Why> {
    match schema.get("type") {
        Some(Value::String(one)) => Ok((one, false)),
        Some(Value::Array(several)) => {
            let named: Vec<&str> = several.iter().filter_map(Value::as_str).collect();
            match named.as_slice() {
                [one] | [one, "null"] | ["null", one] => Ok((one, named.len() > 1)),
                _ => Err(Why::Several),
            }
        }
        _ if schema.get("$ref").is_some() => Err(Why::Reference),
        _ if ["anyOf", "oneOf"]
            .iter()
            .any(|key| schema.get(key).is_some()) =>
        {
            Err(Why::Several)
        }
        _ => Err(Why::Untyped),
    }
}

fn fields(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten()
}

fn is_required(schema: &Value, name: &str) -> bool {
    let required = schema.get("required").and_then(Value::as_array);
    required.is_some_and(|all| all.iter().any(|one| one == name))
}

fn holds_records(shape: &Shape) -> bool {
    match shape {
        Shape::Record(_) => true,
        Shape::Set(element) => holds_records(element),
        Shape::String | Shape::Long | Shape::Bool => false,
    }
}

/// How a path of names stands in a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    /// Rules read it.
    Value,
    /// Rules read its members.
    Members,
    /// It is there and rules cannot read it.
    Hidden(Why),
    /// The schema names no such argument.
    Absent,
}

/// How a path of names stands in a schema.
pub(super) fn sight(schema: &Value, path: &[String]) -> Sight {
    let (mut schema, mut depth) = (schema, 0);
    for name in path {
        let Some((_, field)) = fields(schema).find(|(known, _)| *known == name) else {
            return Sight::Absent;
        };
        depth += 1;
        if let Err(why) = shape_at(field, depth) {
            return Sight::Hidden(why);
        }
        schema = field;
    }
    match shape_at(schema, depth) {
        Ok(Shape::Record(_)) => Sight::Members,
        Ok(Shape::String | Shape::Long | Shape::Bool | Shape::Set(_)) => Sight::Value,
        Err(why) => Sight::Hidden(why),
    }
}

/// The parts of a tool's arguments that rules cannot read.
pub(super) fn unreadable(tool: &ToolName, schema: &Value) -> Vec<Unreadable> {
    let mut all = Vec::new();
    collect(tool, schema, "", 0, &mut all);
    all
}

fn collect(tool: &ToolName, schema: &Value, path: &str, depth: usize, all: &mut Vec<Unreadable>) {
    for (name, field) in fields(schema) {
        let argument = format!("{path}{name}");
        match shape_at(field, depth + 1) {
            Ok(Shape::Record(_)) => collect(tool, field, &format!("{argument}."), depth + 1, all),
            Ok(Shape::String | Shape::Long | Shape::Bool | Shape::Set(_)) => {}
            Err(why) => all.push(Unreadable {
                tool: tool.clone(),
                argument,
                why,
            }),
        }
    }
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    if !closed {
        all.push(Unreadable {
            tool: tool.clone(),
            argument: format!("{path}*"),
            why: Why::FreeKeys,
        });
    }
}

/// The shape in the JSON form of Cedar's types.
pub(super) fn cedar_type(shape: &Shape) -> Map<String, Value> {
    let named = |name: &str| Map::from_iter([("type".to_owned(), json!(name))]);
    match shape {
        Shape::String => named("String"),
        Shape::Long => named("Long"),
        Shape::Bool => named("Boolean"),
        Shape::Set(element) => {
            let mut set = named("Set");
            set.insert("element".to_owned(), Value::Object(cedar_type(element)));
            set
        }
        Shape::Record(fields) => {
            let attributes = fields.iter().map(|(name, shape, required)| {
                let mut field = cedar_type(shape);
                field.insert("required".to_owned(), json!(required));
                (name.clone(), Value::Object(field))
            });
            let mut record = named("Record");
            record.insert("attributes".to_owned(), Value::Object(attributes.collect()));
            record
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_read_so_deep_and_no_deeper() {
        let nested = |levels: usize| {
            (0..levels).fold(
                json!({"type": "integer"}),
                |inner, _| json!({"type": "object", "properties": {"a": inner}}),
            )
        };
        let seen = |schema: usize, path: usize| sight(&nested(schema), &vec!["a".to_owned(); path]);
        let deepest = ARGUMENT_DEPTH_MAX;
        assert_eq!(seen(deepest, deepest), Sight::Value);
        assert_eq!(seen(deepest + 1, deepest), Sight::Members);
        assert_eq!(seen(deepest + 1, deepest + 1), Sight::Hidden(Why::Deep));
        assert_eq!(seen(deepest, deepest + 1), Sight::Absent);
    }
}
