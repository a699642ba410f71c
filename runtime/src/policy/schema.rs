//! The Cedar schema, made from the admitted tools.
//!
//! One action `call:NAME` per tool stands in the group `call`, because Cedar types the context per action and arguments
//! differ per tool. `list` and `use` are one action each. The administrators' actions have a schema of their own, so that no
//! rule about tools is ever asked about them.

use std::collections::HashMap;
use std::sync::LazyLock;

use cedar_policy::{EntityId, EntityTypeName, EntityUid, Schema};
use serde_json::{Map, Value, json};

use super::Vocabulary;
use super::admin::AdminAction;
use super::anonymous::ANONYMOUS;
use super::shape::{Shape, cedar_type, shape};
use crate::catalog::Tool;
use crate::identity::ClaimType;
use crate::ids::ToolName;

/// The uid of an action.
pub(super) fn action(name: &str) -> Result<EntityUid, String> {
    uid("Action", name)
}

/// The uid of the action that calls this tool.
pub(super) fn call_action(tool: &ToolName) -> Result<EntityUid, String> {
    action(&format!("call:{tool}"))
}

/// The names of the types of entities: every decision needs them, and reading one costs as much as a hundred uses.
static KINDS: LazyLock<HashMap<&str, EntityTypeName>> = LazyLock::new(|| {
    let kinds = [
        "Action",
        ANONYMOUS,
        "Capability",
        "Group",
        "Package",
        "Role",
        "Server",
        "Tenant",
        "Tool",
        "User",
    ];
    let read = kinds.map(|kind| Some((kind, kind.parse().ok()?)));
    read.into_iter().flatten().collect()
});

/// The uid `kind::"id"`.
pub(super) fn uid(kind: &str, id: &str) -> Result<EntityUid, String> {
    let known = KINDS.get(kind).cloned();
    let kind = known.ok_or_else(|| format!("there is no entity type `{kind}`"))?;
    Ok(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

fn strings() -> Value {
    json!({"type": "Set", "element": {"type": "String"}})
}

fn optional(kind: &str) -> Value {
    json!({"type": kind, "required": false})
}

/// What `context` says of the caller, and of the time where the question knows it.
fn of_caller(timed: bool) -> Map<String, Value> {
    let pairs = [
        ("client", json!({"type": "String"})),
        ("acr", optional("String")),
        ("amr", strings()),
        ("auth_time", optional("Long")),
        (
            "actor",
            json!({"type": "Record", "required": false, "attributes": {
                "issuer": {"type": "String"},
                "subject": {"type": "String"},
                "client": optional("String"),
            }}),
        ),
        ("actors", json!({"type": "Long"})),
    ];
    let times = ["now", "hour", "weekday"].into_iter().filter(|_| timed);
    let times = times.map(|name| (name, json!({"type": "Long"})));
    let pairs = pairs.into_iter().chain(times);
    pairs.map(|(name, kind)| (name.to_owned(), kind)).collect()
}

fn user(vocabulary: &Vocabulary) -> Value {
    json!({
        "memberOfTypes": ["Role", "Group", "Tenant"],
        "shape": {"type": "Record", "attributes": {
            "issuer": {"type": "String"},
            "subject": {"type": "String"},
            "tenant": {"type": "String"},
            "roles": strings(),
            "groups": strings(),
            "scopes": strings(),
            "has_user": {"type": "Boolean"},
            "claims": claims(vocabulary),
        }},
    })
}

/// The schema for these tools, as Cedar's JSON form.
fn document(tools: &[Tool], vocabulary: &Vocabulary, principals: &[&str]) -> Value {
    // Listing knows neither arguments nor the time: a list that changed by the clock would change without a word to clients.
    let context = |arguments: Option<Shape>, timed: bool| {
        let mut attributes = of_caller(timed);
        attributes.insert("tier".to_owned(), json!({"type": "Long"}));
        let tool = json!({"type": "Entity", "name": "Tool"});
        attributes.insert("tool".to_owned(), tool);
        if let Some(shape) = arguments {
            attributes.insert("args".to_owned(), Value::Object(cedar_type(&shape)));
        }
        json!({"type": "Record", "attributes": attributes})
    };
    let applies = |resource: &str, context: Value| json!({"principalTypes": ["User"], "resourceTypes": [resource], "context": context});

    let mut actions = Map::new();
    actions.insert(
        "list".to_owned(),
        json!({"appliesTo": {"principalTypes": principals, "resourceTypes": ["Tool"], "context": context(None, false)}}),
    );
    actions.insert(
        "use".to_owned(),
        json!({"appliesTo": applies("Capability", context(None, true))}),
    );
    actions.insert("call".to_owned(), json!({}));
    // The group has a member even when no tool is admitted, so that rules about it stay valid. No tool has this name.
    let group = json!([{"id": "call"}]);
    actions.insert(
        "call:".to_owned(),
        json!({"memberOf": group, "appliesTo": applies("Tool", context(Some(Shape::Record(Vec::new())), true))}),
    );
    for tool in tools {
        let shape = shape(&tool.definition().input_schema);
        let shape = shape.unwrap_or(Shape::Record(Vec::new()));
        let entry =
            json!({"memberOf": group, "appliesTo": applies("Tool", context(Some(shape), true))});
        actions.insert(format!("call:{}", tool.name()), entry);
    }
    json!({"": {
        "entityTypes": {
            "Anonymous": {},
            "Role": {},
            "Group": {},
            "Tenant": {},
            "Package": {"shape": {"type": "Record", "attributes": {"publisher": {"type": "String"}}}},
            "User": user(vocabulary),
            "Tool": {
                "memberOfTypes": ["Package"],
                "shape": {"type": "Record", "attributes": {
                    "name": {"type": "String"},
                    "package": {"type": "String"},
                    "publisher": {"type": "String"},
                    "tier": {"type": "Long"},
                    "kinds": strings(),
                    "digest": {"type": "String"},
                    "tags": strings(),
                    "read_only": {"type": "Boolean"},
                    "destructive": {"type": "Boolean"},
                    "idempotent": {"type": "Boolean"},
                    "open_world": {"type": "Boolean"},
                }},
            },
            "Capability": {
                "memberOfTypes": ["Tool"],
                "shape": {"type": "Record", "attributes": {
                    "kind": {"type": "String"},
                    "text": {"type": "String"},
                    "tier": {"type": "Long"},
                    "host": optional("String"),
                    "port": optional("Long"),
                    "methods": {"type": "Set", "element": {"type": "String"}, "required": false},
                    "path": optional("String"),
                    "requests": optional("Long"),
                    "send_bytes": optional("Long"),
                    "receive_bytes": optional("Long"),
                    "mount": optional("String"),
                    "access": optional("String"),
                    "folder": optional("String"),
                    "class": optional("String"),
                    "store": optional("String"),
                    "prefix": optional("String"),
                    "key": optional("String"),
                    "secret": optional("String"),
                    "form": optional("String"),
                    "callee": optional("String"),
                    "claim": optional("String"),
                    "field": optional("String"),
                }},
            },
        },
        "actions": actions,
    }})
}

/// The further claims, as one record.
fn claims(vocabulary: &Vocabulary) -> Value {
    let claims = vocabulary.claims.iter().map(|(name, (kind, always))| {
        let mut claim = match kind {
            ClaimType::String => json!({"type": "String"}),
            ClaimType::Integer => json!({"type": "Long"}),
            ClaimType::Boolean => json!({"type": "Boolean"}),
            ClaimType::Strings => json!({"type": "Set", "element": {"type": "String"}}),
        };
        if let Some(claim) = claim.as_object_mut() {
            claim.insert("required".to_owned(), json!(always));
        }
        (name.clone(), claim)
    });
    json!({"type": "Record", "attributes": Map::from_iter(claims)})
}

/// What rules and questions are checked against.
pub(super) struct Schemas {
    /// Every action, for rules and requests.
    pub(super) requests: Schema,
    /// The same without the tools' own actions, for entities: Cedar puts all actions of a schema beside the entities of every
    /// question, which would then cost more with each tool.
    pub(super) entities: Schema,
}

impl Schemas {
    /// The schemas for these tools and words.
    pub(super) fn new(tools: &[Tool], vocabulary: &Vocabulary) -> Result<Self, String> {
        Self::of(tools, vocabulary, &["User"])
    }

    /// The schemas in which whoever lists may have no token.
    pub(super) fn anonymous(tools: &[Tool], vocabulary: &Vocabulary) -> Result<Self, String> {
        Self::of(tools, vocabulary, &["User", ANONYMOUS])
    }

    fn of(tools: &[Tool], vocabulary: &Vocabulary, principals: &[&str]) -> Result<Self, String> {
        let of = |tools| {
            let document = document(tools, vocabulary, principals);
            Schema::from_json_value(document).map_err(|error| error.to_string())
        };
        Ok(Self {
            requests: of(tools)?,
            entities: of(&[])?,
        })
    }
}

/// The schema of the administrators' door.
pub(super) fn admin(vocabulary: &Vocabulary) -> Result<Schema, String> {
    let context = json!({"type": "Record", "attributes": of_caller(true)});
    let action = |resources: &[&str]| {
        json!({
            "memberOf": [{"id": ADMIN}],
            "appliesTo": {"principalTypes": ["User"], "resourceTypes": resources, "context": context},
        })
    };
    let document = json!({"": {
        "entityTypes": {
            "Role": {},
            "Group": {},
            "Server": {"enum": [SERVER]},
            "Tenant": {"memberOfTypes": ["Server"]},
            "User": user(vocabulary),
        },
        "actions": {
            ADMIN: {},
            AdminAction::Read.as_str(): action(&["Server", "Tenant"]),
            AdminAction::Revoke.as_str(): action(&["Tenant"]),
            AdminAction::Log.as_str(): action(&["Server"]),
        },
    }});
    Schema::from_json_value(document).map_err(|error| error.to_string())
}

/// The group of all that administrators do.
pub(super) const ADMIN: &str = "admin";

/// The one server of the administrators' rules, in which every tenant is.
pub(super) const SERVER: &str = "bailiwick";

/// The group in which every tool has an action of its own.
pub(super) const CALL: &str = "call";

/// What the name of such an action begins with, before the tool's name.
pub(super) const CALL_ONE: &str = "call:";

/// The name of an action.
pub(super) fn action_name(action: &EntityUid) -> Option<&str> {
    (action.type_name().to_string() == "Action").then(|| action.id().as_ref())
}

/// All that `context` can have.
pub(super) const CONTEXT: [&str; 12] = [
    "client",
    "tier",
    "acr",
    "amr",
    "auth_time",
    "actor",
    "actors",
    "tool",
    "now",
    "hour",
    "weekday",
    "args",
];

/// All that `context` can have where an administrator acts.
pub(super) const ADMIN_CONTEXT: [&str; 9] = [
    "client",
    "acr",
    "amr",
    "auth_time",
    "actor",
    "actors",
    "now",
    "hour",
    "weekday",
];
