//! The caller, the tool and the arguments as Cedar sees them: typed facts, all of our own making.

use std::collections::{BTreeSet, HashMap, HashSet};

use cedar_policy::{Context, Entities, Entity, EntityUid, RestrictedExpression, Schema};
use serde_json::{Map, Value};

use super::ask::Bearing;
use super::schema::{CALL, SERVER, action, call_action, uid};
use super::shape::{Shape, shape};
use super::{Asking, Vocabulary, circumstances};
use crate::capability::{Capability, Tier};
use crate::catalog::Tool;
use crate::clock::Timestamp;
use crate::identity::{Caller, ClaimType, ClaimValue};
use crate::ids::{Tenant, ToolName};

/// A number that is never so large; if it were, the largest that rules know.
fn count(number: u64) -> RestrictedExpression {
    RestrictedExpression::new_long(i64::try_from(number).unwrap_or(i64::MAX))
}

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

/// The entities of one request. The schema has the actions of all tools together; the tool's own is put beside them.
pub(super) fn entities(
    asking: &Asking<'_>,
    capability: Option<&Capability>,
    schema: &Schema,
) -> Result<Entities, String> {
    let mut all = user(asking.caller, asking.bearing, asking.vocabulary)?;
    all.extend(served(asking.tool, asking.vocabulary)?);
    if let Some(capability) = capability {
        all.push(wanted(asking.tool, capability)?);
    }
    let own = call_action(asking.tool.name())?;
    let own = Entity::new_no_attrs(own, HashSet::from([action(CALL)?]));
    let all = Entities::from_entities(all, Some(schema)).map_err(|error| error.to_string())?;
    all.add_entities([own], None)
        .map_err(|error| error.to_string())
}

/// The user, and everything that the user is in.
fn user(
    caller: &Caller,
    bearing: Bearing<'_>,
    vocabulary: &Vocabulary,
) -> Result<Vec<Entity>, String> {
    let named = |kind: &'static str, names: &BTreeSet<String>| {
        let uids = names.iter().map(|name| uid(kind, name));
        uids.collect::<Result<Vec<_>, _>>()
    };
    let mut parents = named("Role", caller.roles())?;
    parents.extend(named("Group", caller.groups())?);
    parents.push(uid("Tenant", caller.tenant().as_str())?);
    let mut all: Vec<Entity> = parents
        .iter()
        .map(|parent| Entity::new_no_attrs(parent.clone(), HashSet::new()))
        .collect();
    let attributes = [
        ("issuer", text(caller.user().issuer.as_str())),
        ("subject", text(caller.user().subject.as_str())),
        ("tenant", text(caller.tenant().as_str())),
        ("roles", texts(caller.roles().iter().map(String::as_str))),
        ("groups", texts(caller.groups().iter().map(String::as_str))),
        ("scopes", texts(bearing.scopes.iter().map(String::as_str))),
        (
            "has_user",
            RestrictedExpression::new_bool(caller.has_user()),
        ),
        ("claims", claims(caller, vocabulary)?),
    ];
    all.push(entity(user_uid(caller)?, attributes, parents)?);
    Ok(all)
}

/// The further claims that rules know of, as far as the caller has them.
fn claims(caller: &Caller, vocabulary: &Vocabulary) -> Result<RestrictedExpression, String> {
    let mut pairs = Vec::new();
    for (name, (kind, _)) in &vocabulary.claims {
        let value = match (caller.claims().get(name), kind) {
            (Some(ClaimValue::String(one)), ClaimType::String) => text(one.clone()),
            (Some(ClaimValue::Integer(one)), ClaimType::Integer) => {
                RestrictedExpression::new_long(*one)
            }
            (Some(ClaimValue::Boolean(one)), ClaimType::Boolean) => {
                RestrictedExpression::new_bool(*one)
            }
            (Some(ClaimValue::Strings(all)), ClaimType::Strings) => {
                texts(all.iter().map(String::as_str))
            }
            (None, _) => continue,
            // The caller was verified under another configuration than the rules were checked for.
            (Some(_), _) => return Err(format!("the claim `{name}` is of another type")),
        };
        pairs.push((name.clone(), value));
    }
    RestrictedExpression::new_record(pairs).map_err(|error| error.to_string())
}

/// The tool and its package.
fn served(tool: &Tool, vocabulary: &Vocabulary) -> Result<[Entity; 2], String> {
    let manifest = tool.package().manifest();
    let needs = tool.wants();
    let kinds: Vec<_> = needs.kinds().into_iter().collect();
    let hints = tool.annotations();
    let truth = RestrictedExpression::new_bool;
    let package = uid("Package", manifest.name.as_str())?;
    let attributes = [
        ("name", text(tool.name().as_str())),
        ("package", text(manifest.name.as_str())),
        ("publisher", text(manifest.publisher.as_str())),
        ("tier", tier(needs.tier())),
        ("kinds", texts(kinds.iter().map(|kind| kind.as_str()))),
        (
            "digest",
            text(tool.package().component_digest().to_string()),
        ),
        ("tags", texts(vocabulary.tags_of(tool.name()))),
        ("read_only", truth(hints.read_only)),
        ("destructive", truth(hints.destructive)),
        ("idempotent", truth(hints.idempotent)),
        ("open_world", truth(hints.open_world)),
    ];
    let served = entity(tool_uid(tool.name())?, attributes, [package.clone()])?;
    let publisher = [("publisher", text(manifest.publisher.as_str()))];
    Ok([served, entity(package, publisher, [])?])
}

/// The entities of a request without a token.
pub(super) fn anonymous_entities(
    principal: EntityUid,
    tool: &Tool,
    vocabulary: &Vocabulary,
    schema: &Schema,
) -> Result<Entities, String> {
    let anonymous = Entity::new_no_attrs(principal, HashSet::new());
    let all = [anonymous].into_iter().chain(served(tool, vocabulary)?);
    Entities::from_entities(all, Some(schema)).map_err(|error| error.to_string())
}

/// The context of a request without a token: no client, no sign-in, no actor.
pub(super) fn anonymous_context(tool: &Tool) -> Result<Context, String> {
    let served = RestrictedExpression::new_entity_uid(tool_uid(tool.name())?);
    let pairs = [
        ("client", text("")),
        ("tier", tier(tool.wants().tier())),
        ("amr", texts([])),
        ("actors", RestrictedExpression::new_long(0)),
        ("tool", served),
    ];
    named(pairs)
}

/// The capability that is to be used.
fn wanted(tool: &Tool, capability: &Capability) -> Result<Entity, String> {
    let mut fields = vec![
        ("kind", text(capability.kind().as_str())),
        ("text", text(capability.to_string())),
        ("tier", tier(capability.tier())),
    ];
    match capability {
        Capability::Http(http) => {
            fields.extend([
                ("host", text(http.host.to_string())),
                ("methods", texts(http.methods.iter())),
                ("path", text(http.path.as_str())),
                ("requests", count(http.budget.requests())),
                ("send_bytes", count(http.budget.send())),
                ("receive_bytes", count(http.budget.receive())),
            ]);
            let port = http.port.map(i64::from).map(RestrictedExpression::new_long);
            fields.extend(port.map(|port| ("port", port)));
        }
        Capability::Files(files) => fields.extend([
            ("mount", text(files.mount.as_str())),
            ("access", text(files.access.to_string())),
            ("folder", text(files.path.to_string())),
        ]),
        Capability::Data(class) => fields.push(("class", text(class.as_str()))),
        Capability::Clock | Capability::Progress | Capability::Ask => {}
        Capability::Kv(kv) => fields.extend([
            ("store", text(kv.store.as_str())),
            ("access", text(kv.access.to_string())),
            ("prefix", text(kv.prefix.as_str())),
        ]),
        Capability::Config(key) => fields.push(("key", text(key.as_str()))),
        Capability::Secret(secret) => {
            fields.extend([
                ("secret", text(secret.name.as_str())),
                ("host", text(secret.at.host.as_str())),
                ("form", text(secret.form.to_string())),
            ]);
            let port = secret.at.port.map(i64::from);
            fields.extend(port.map(|port| ("port", RestrictedExpression::new_long(port))));
        }
        Capability::Call(callee) => fields.push(("callee", text(callee.as_str()))),
        Capability::Claims(claim) => fields.push(("claim", text(claim.as_str()))),
        Capability::Reveal(reveal) => {
            fields.push(("class", text(reveal.class.as_str())));
            let field = reveal.field.as_ref().map(|field| text(field.as_str()));
            fields.extend(field.map(|field| ("field", field)));
        }
        Capability::Deliver(deliver) => {
            fields.extend([
                ("class", text(deliver.what.class.as_str())),
                ("host", text(deliver.at.host.as_str())),
            ]);
            let field = deliver.what.field.as_ref();
            fields.extend(field.map(|field| ("field", text(field.as_str()))));
            let port = deliver.at.port.map(i64::from);
            fields.extend(port.map(|port| ("port", RestrictedExpression::new_long(port))));
        }
    }
    entity(
        capability_uid(capability)?,
        fields,
        [tool_uid(tool.name())?],
    )
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
    asking: &Asking<'_>,
    arguments: Option<RestrictedExpression>,
) -> Result<Context, String> {
    let tool = asking.tool;
    let served = RestrictedExpression::new_entity_uid(tool_uid(tool.name())?);
    let mut pairs = of_caller(asking.caller, asking.bearing, asking.now)?;
    pairs.extend([("tier", tier(tool.wants().tier())), ("tool", served)]);
    pairs.extend(arguments.map(|arguments| ("args", arguments)));
    named(pairs)
}

fn named(
    pairs: impl IntoIterator<Item = (&'static str, RestrictedExpression)>,
) -> Result<Context, String> {
    let pairs = pairs
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value));
    Context::from_pairs(pairs).map_err(|error| error.to_string())
}

/// What `context` says of the caller, and of the time where it is asked for one.
fn of_caller(
    caller: &Caller,
    bearing: Bearing<'_>,
    now: Option<Timestamp>,
) -> Result<Vec<(&'static str, RestrictedExpression)>, String> {
    let token = caller.token();
    let long =
        |number: usize| RestrictedExpression::new_long(i64::try_from(number).unwrap_or(i64::MAX));
    let mut pairs = vec![
        ("client", text(caller.client().as_str())),
        ("amr", texts(token.amr.iter().map(String::as_str))),
        ("actors", long(caller.actors().len())),
    ];
    pairs.extend(bearing.acr.map(|acr| ("acr", text(acr))));
    let signed_in = bearing
        .auth_time
        .map(|at| RestrictedExpression::new_long(at.secs()));
    pairs.extend(signed_in.map(|at| ("auth_time", at)));
    if let Some(actor) = caller.actor() {
        let client = actor.client.as_ref().map(|client| text(client.as_str()));
        let fields = [
            ("issuer", Some(text(actor.who.issuer.as_str()))),
            ("subject", Some(text(actor.who.subject.as_str()))),
            ("client", client),
        ];
        let fields = fields.into_iter();
        let fields = fields.filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let actor = RestrictedExpression::new_record(fields).map_err(|error| error.to_string())?;
        pairs.push(("actor", actor));
    }
    let timed = now.into_iter().flat_map(circumstances::facts);
    pairs.extend(timed.map(|(name, value)| (name, RestrictedExpression::new_long(value))));
    Ok(pairs)
}

/// The context of what an administrator does: no tool, no arguments.
pub(super) fn admin_context(caller: &Caller, now: Timestamp) -> Result<Context, String> {
    named(of_caller(caller, Bearing::of(caller), Some(now))?)
}

/// The entities of what an administrator does: the user, the server, and the tenants concerned, each in the server.
pub(super) fn admin_entities(
    caller: &Caller,
    tenant: Option<&Tenant>,
    vocabulary: &Vocabulary,
    schema: &Schema,
) -> Result<Entities, String> {
    let server = server_uid()?;
    let mut all = user(caller, Bearing::of(caller), vocabulary)?;
    all.retain(|entity| entity.uid().type_name().to_string() != "Tenant");
    let tenants: BTreeSet<&str> = [Some(caller.tenant()), tenant]
        .into_iter()
        .flatten()
        .map(Tenant::as_str)
        .collect();
    for tenant in tenants {
        let uid = uid("Tenant", tenant)?;
        all.push(Entity::new_no_attrs(uid, HashSet::from([server.clone()])));
    }
    all.push(Entity::new_no_attrs(server, HashSet::new()));
    Entities::from_entities(all, Some(schema)).map_err(|error| error.to_string())
}

/// What all tenants are in.
pub(super) fn server_uid() -> Result<EntityUid, String> {
    uid("Server", SERVER)
}

/// The arguments, as far as the tool's input schema types them for Cedar.
pub(super) fn arguments(schema: &Value, arguments: &Map<String, Value>) -> RestrictedExpression {
    let typed = match shape(schema) {
        Ok(Shape::Record(fields)) => record(&fields, arguments),
        Ok(Shape::String | Shape::Long | Shape::Bool | Shape::Set(_)) | Err(_) => None,
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
            (None | Some(Value::Null), false) => {}
            (Some(value), _) => pairs.push((name.clone(), typed(shape, value)?)),
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
            None | Some(Value::Null) if !required => true,
            Some(value) => value_fits(shape, value),
            None => false,
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
