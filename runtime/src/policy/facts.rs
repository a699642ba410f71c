//! The caller, the tool and the arguments as Cedar sees them: typed facts, all of our own making.

use std::collections::{HashMap, HashSet};

use cedar_policy::{Context, Entities, Entity, EntityUid, RestrictedExpression, Schema};
use serde_json::{Map, Value};

use super::schema::{Shape, shape, uid};
use crate::capability::{Capability, Tier};
use crate::catalog::Tool;
use crate::identity::Caller;
use crate::ids::ToolName;

fn text(value: impl Into<String>) -> RestrictedExpression {
    RestrictedExpression::new_string(value.into())
}

fn texts<'a>(values: impl IntoIterator<Item = &'a str>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.into_iter().map(text))
}

fn tier(tier: Tier) -> RestrictedExpression {
    RestrictedExpression::new_long(match tier {
        Tier::T0 => 0,
        Tier::T1 => 1,
        Tier::T2 => 2,
        Tier::T3 => 3,
    })
}

/// A user is named by tenant, issuer and subject; a JSON array keeps the three apart whatever they hold.
pub(super) fn user_uid(caller: &Caller) -> Result<EntityUid, String> {
    let user = caller.user();
    let id = Value::from(vec![
        caller.tenant().as_str(),
        user.issuer.as_str(),
        user.subject.as_str(),
    ]);
    uid("User", &id.to_string())
}

pub(super) fn tool_uid(name: &ToolName) -> Result<EntityUid, String> {
    uid("Tool", name.as_str())
}

pub(super) fn capability_uid(capability: &Capability) -> Result<EntityUid, String> {
    uid("Capability", &capability.to_string())
}

/// The entities of one request.
pub(super) fn entities(
    caller: &Caller,
    tool: &Tool,
    capability: Option<&Capability>,
    schema: &Schema,
) -> Result<Entities, String> {
    let manifest = tool.package().manifest();
    let package = uid("Package", manifest.name.as_str())?;
    let tenant = uid("Tenant", caller.tenant().as_str())?;
    let roles = caller
        .roles()
        .iter()
        .map(|role| uid("Role", role))
        .collect::<Result<Vec<_>, _>>()?;
    let needs = manifest.needs();
    let kinds: Vec<_> = needs.kinds().into_iter().collect();

    let mut all: Vec<Entity> = roles
        .iter()
        .map(|role| Entity::new_no_attrs(role.clone(), HashSet::new()))
        .collect();
    all.push(Entity::new_no_attrs(tenant.clone(), HashSet::new()));
    let user = [
        ("issuer", text(caller.user().issuer.as_str())),
        ("subject", text(caller.user().subject.as_str())),
        ("tenant", text(caller.tenant().as_str())),
        ("roles", texts(caller.roles().iter().map(String::as_str))),
        ("groups", texts(caller.groups().iter().map(String::as_str))),
        ("scopes", texts(caller.scopes().iter().map(String::as_str))),
        (
            "has_user",
            RestrictedExpression::new_bool(caller.has_user()),
        ),
    ];
    all.push(entity(
        user_uid(caller)?,
        user,
        roles.into_iter().chain([tenant]),
    )?);
    all.push(entity(
        package.clone(),
        [("publisher", text(manifest.publisher.as_str()))],
        [],
    )?);
    let served = [
        ("name", text(tool.name().as_str())),
        ("package", text(manifest.name.as_str())),
        ("publisher", text(manifest.publisher.as_str())),
        ("tier", tier(needs.tier())),
        ("kinds", texts(kinds.iter().map(|kind| kind.as_str()))),
    ];
    all.push(entity(tool_uid(tool.name())?, served, [package])?);
    if let Some(capability) = capability {
        let mut fields = vec![
            ("kind", text(capability.kind().as_str())),
            ("text", text(capability.to_string())),
            ("tier", tier(capability.tier())),
        ];
        match capability {
            Capability::Http(http) => fields.extend([
                ("host", text(http.host.to_string())),
                ("methods", texts(http.methods.iter())),
                ("path", text(http.path.as_str())),
            ]),
            Capability::Files(files) => {
                fields.extend([
                    ("mount", text(files.mount.as_str())),
                    ("access", text(files.access.to_string())),
                ]);
            }
            Capability::Clock | Capability::Progress => {}
        }
        all.push(entity(
            capability_uid(capability)?,
            fields,
            [tool_uid(tool.name())?],
        )?);
    }
    Entities::from_entities(all, Some(schema)).map_err(|error| error.to_string())
}

fn entity(
    uid: EntityUid,
    attributes: impl IntoIterator<Item = (&'static str, RestrictedExpression)>,
    parents: impl IntoIterator<Item = EntityUid>,
) -> Result<Entity, String> {
    let attributes: HashMap<_, _> = attributes
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    Entity::new(uid, attributes, parents.into_iter().collect()).map_err(|error| error.to_string())
}

/// What rules may know beside the entities.
pub(super) fn context(
    caller: &Caller,
    tool: &Tool,
    arguments: Option<RestrictedExpression>,
) -> Result<Context, String> {
    let mut pairs = vec![
        ("client".to_owned(), text(caller.client().as_str())),
        (
            "tier".to_owned(),
            tier(tool.package().manifest().needs().tier()),
        ),
        (
            "tool".to_owned(),
            RestrictedExpression::new_entity_uid(tool_uid(tool.name())?),
        ),
    ];
    if let Some(acr) = &caller.token().acr {
        pairs.push(("acr".to_owned(), text(acr.clone())));
    }
    if let Some(at) = caller.token().auth_time {
        pairs.push((
            "auth_time".to_owned(),
            RestrictedExpression::new_long(at.secs()),
        ));
    }
    if let Some(arguments) = arguments {
        pairs.push(("args".to_owned(), arguments));
    }
    Context::from_pairs(pairs).map_err(|error| error.to_string())
}

/// The arguments, as far as the tool's input schema types them for Cedar.
pub(super) fn arguments(schema: &Value, arguments: &Map<String, Value>) -> RestrictedExpression {
    let typed = match shape(schema, 0) {
        Some(Shape::Record(fields)) => record(&fields, arguments),
        Some(Shape::String | Shape::Long | Shape::Bool | Shape::Set(_)) | None => None,
    };
    // Without a required field the request does not fit the generated schema, and that refuses the call.
    typed.unwrap_or_else(|| {
        RestrictedExpression::new_string("arguments do not fit their schema".to_owned())
    })
}

fn record(
    fields: &[(String, Shape, bool)],
    object: &Map<String, Value>,
) -> Option<RestrictedExpression> {
    let mut pairs = Vec::new();
    for (name, shape, required) in fields {
        match (object.get(name), required) {
            (Some(value), _) => pairs.push((name.clone(), typed(shape, value)?)),
            (None, false) => {}
            (None, true) => return None,
        }
    }
    RestrictedExpression::new_record(pairs).ok()
}

fn typed(shape: &Shape, value: &Value) -> Option<RestrictedExpression> {
    match shape {
        Shape::String => value.as_str().map(text),
        Shape::Bool => value.as_bool().map(RestrictedExpression::new_bool),
        Shape::Long => long(value).map(RestrictedExpression::new_long),
        Shape::Set(element) => {
            let all = value
                .as_array()?
                .iter()
                .map(|one| typed(element, one))
                .collect::<Option<Vec<_>>>()?;
            Some(RestrictedExpression::new_set(all))
        }
        Shape::Record(fields) => record(fields, value.as_object()?),
    }
}

/// Whether arguments have the shape that the generated schema types them by: exactly when [`arguments`] can say them.
pub(super) fn fits(shape: Option<&Shape>, arguments: &Map<String, Value>) -> bool {
    match shape {
        Some(Shape::Record(fields)) => record_fits(fields, arguments),
        Some(Shape::String | Shape::Long | Shape::Bool | Shape::Set(_)) | None => false,
    }
}

fn record_fits(fields: &[(String, Shape, bool)], object: &Map<String, Value>) -> bool {
    fields
        .iter()
        .all(|(name, shape, required)| match object.get(name) {
            Some(value) => value_fits(shape, value),
            None => !required,
        })
}

fn value_fits(shape: &Shape, value: &Value) -> bool {
    match shape {
        Shape::String => value.is_string(),
        Shape::Bool => value.is_boolean(),
        Shape::Long => long(value).is_some(),
        Shape::Set(element) => value
            .as_array()
            .is_some_and(|all| all.iter().all(|one| value_fits(element, one))),
        Shape::Record(fields) => value
            .as_object()
            .is_some_and(|object| record_fits(fields, object)),
    }
}

/// JSON Schema 2020-12 §6.1.1 calls `1.0` an integer as well.
fn long(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| {
        let number = value.as_f64()?;
        let whole = format!("{number:.0}").parse::<i64>().ok()?;
        (number.fract() == 0.0).then_some(whole)
    })
}
