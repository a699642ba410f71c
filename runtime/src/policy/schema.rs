//! The Cedar schema, made from the admitted tools.
//!
//! One action `call:NAME` per tool stands in the group `call`, because Cedar types the context per action and arguments
//! differ per tool. `list` and `use` are one action each.

use cedar_policy::{EntityId, EntityTypeName, EntityUid, Schema};
use serde_json::{Map, Value, json};

use crate::catalog::Tool;
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

/// The shape of a JSON Schema in Cedar's types; none for what they cannot express (numbers with fractions, unions, maps
/// with free keys), which rules then cannot read.
pub(super) fn shape(schema: &Value, depth: usize) -> Option<Shape> {
    if depth > ARGUMENT_DEPTH_MAX {
        return None;
    }
    match schema.get("type")?.as_str()? {
        "string" => Some(Shape::String),
        "integer" => Some(Shape::Long),
        "boolean" => Some(Shape::Bool),
        "array" => Some(Shape::Set(Box::new(shape(
            schema.get("items")?,
            depth + 1,
        )?))),
        "object" => {
            let required: Vec<&str> = schema
                .get("required")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
                .collect();
            let fields = schema
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flatten();
            let fields = fields.filter_map(|(name, field)| {
                Some((
                    name.clone(),
                    shape(field, depth + 1)?,
                    required.contains(&name.as_str()),
                ))
            });
            Some(Shape::Record(fields.collect()))
        }
        _ => None,
    }
}

fn cedar_type(shape: &Shape) -> Map<String, Value> {
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

/// The uid of an action.
pub(super) fn action(name: &str) -> Result<EntityUid, String> {
    uid("Action", name)
}

/// The uid of the action that calls this tool.
pub(super) fn call_action(tool: &ToolName) -> Result<EntityUid, String> {
    action(&format!("call:{tool}"))
}

/// The uid `kind::"id"`.
pub(super) fn uid(kind: &str, id: &str) -> Result<EntityUid, String> {
    let kind: EntityTypeName = kind
        .parse()
        .map_err(|error| format!("entity type `{kind}`: {error}"))?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

/// The schema for these tools, as Cedar's JSON form.
pub(super) fn document(tools: &[Tool]) -> Value {
    let strings = json!({"type": "Set", "element": {"type": "String"}});
    let optional = |kind: &str| json!({"type": kind, "required": false});
    let context = |arguments: Option<&Tool>| {
        let mut attributes = json!({
            "client": {"type": "String"},
            "tier": {"type": "Long"},
            "acr": optional("String"),
            "auth_time": optional("Long"),
            "tool": {"type": "Entity", "name": "Tool"},
        });
        if let (Some(tool), Some(attributes)) = (arguments, attributes.as_object_mut()) {
            let shape =
                shape(&tool.definition().input_schema, 0).unwrap_or(Shape::Record(Vec::new()));
            attributes.insert("args".to_owned(), Value::Object(cedar_type(&shape)));
        }
        json!({"type": "Record", "attributes": attributes})
    };
    let applies = |resource: &str, context: Value| json!({"principalTypes": ["User"], "resourceTypes": [resource], "context": context});

    let mut actions = Map::new();
    actions.insert(
        "list".to_owned(),
        json!({"appliesTo": applies("Tool", context(None))}),
    );
    actions.insert(
        "use".to_owned(),
        json!({"appliesTo": applies("Capability", context(None))}),
    );
    actions.insert("call".to_owned(), json!({}));
    // The group has a member even when no tool is admitted, so that rules about it stay valid. No tool has this name.
    let group = json!([{"id": "call"}]);
    actions.insert(
        "call:".to_owned(),
        json!({"memberOf": group, "appliesTo": applies("Tool", context(None))}),
    );
    for tool in tools {
        let entry = json!({"memberOf": group, "appliesTo": applies("Tool", context(Some(tool)))});
        actions.insert(format!("call:{}", tool.name()), entry);
    }
    json!({"": {
        "entityTypes": {
            "Role": {},
            "Tenant": {},
            "Package": {"shape": {"type": "Record", "attributes": {"publisher": {"type": "String"}}}},
            "User": {
                "memberOfTypes": ["Role", "Tenant"],
                "shape": {"type": "Record", "attributes": {
                    "issuer": {"type": "String"},
                    "subject": {"type": "String"},
                    "tenant": {"type": "String"},
                    "roles": strings,
                    "groups": strings,
                    "scopes": strings,
                    "has_user": {"type": "Boolean"},
                }},
            },
            "Tool": {
                "memberOfTypes": ["Package"],
                "shape": {"type": "Record", "attributes": {
                    "name": {"type": "String"},
                    "package": {"type": "String"},
                    "publisher": {"type": "String"},
                    "tier": {"type": "Long"},
                    "kinds": strings,
                }},
            },
            "Capability": {
                "memberOfTypes": ["Tool"],
                "shape": {"type": "Record", "attributes": {
                    "kind": {"type": "String"},
                    "text": {"type": "String"},
                    "tier": {"type": "Long"},
                    "host": optional("String"),
                    "methods": {"type": "Set", "element": {"type": "String"}, "required": false},
                    "path": optional("String"),
                    "mount": optional("String"),
                    "access": optional("String"),
                }},
            },
        },
        "actions": actions,
    }})
}

/// The schema for these tools.
pub(super) fn schema(tools: &[Tool]) -> Result<Schema, String> {
    Schema::from_json_value(document(tools)).map_err(|error| error.to_string())
}
