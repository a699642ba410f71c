//! Records in the forms that other programs read. `docs/audit.md` has the mapping.

use serde_json::{Map, Value, json};

use super::record::{Phase, Record};
use super::show::Stored;

/// The version of the schema (OCSF) that events name.
const OCSF: &str = "1.4.0";

/// A form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The records as they stand in the log.
    Records,
    /// Events of the Open Cybersecurity Schema Framework.
    Ocsf,
    /// CloudEvents 1.0 in JSON.
    CloudEvents,
}

impl Format {
    /// One record on one line.
    pub fn line(self, stored: &Stored) -> String {
        match self {
            Self::Records => stored.json.clone(),
            Self::Ocsf => ocsf(stored).to_string(),
            Self::CloudEvents => cloud_event(stored).to_string(),
        }
    }
}

/// The record as it stands.
fn whole(stored: &Stored) -> Value {
    // It was parsed as a record before, so it is an object.
    serde_json::from_str(&stored.json).unwrap_or(Value::Null)
}

fn tool(record: &Record) -> Option<&str> {
    let found = record.tool.as_ref().map(|tool| tool.name.as_str());
    found.or(record.asked_tool.as_ref().map(|name| name.as_str()))
}

fn log_id(record: &Record) -> String {
    record.log_id.map(|id| id.to_string()).unwrap_or_default()
}

fn cloud_event(stored: &Stored) -> Value {
    let record = &stored.record;
    let mut event = Map::new();
    let mut put = |name: &str, value: Value| event.insert(name.to_owned(), value);
    put("specversion", "1.0".into());
    // An intent and its outcome have one event id; the number of the record keeps them apart.
    put("id", format!("{}/{}", record.event_id, stored.seq).into());
    put("source", format!("urn:uuid:{}", log_id(record)).into());
    put("type", format!("bailiwick.{}", record.kind).into());
    put("time", record.at.rfc3339().into());
    put("datacontenttype", "application/json".into());
    if let Some(tool) = tool(record) {
        put("subject", tool.into());
    }
    put("data", whole(stored));
    Value::Object(event)
}

/// Class, category and activity of an event.
struct Class {
    uid: u64,
    category: u64,
    activity: u64,
}

const fn class(uid: u64, activity: u64) -> Class {
    Class {
        uid,
        category: uid / 1000,
        activity,
    }
}

/// What a record is in that schema: API Activity (6003), Authentication (3002), User Access Management (3005), Entity
/// Management (3004), Application Lifecycle (6002).
fn class_of(kind: &str) -> Class {
    match kind {
        "auth.failed" | "sign-in.failed" | "sign-in.done" => class(3002, 1),
        "sign-in.ended" | "sign-in.expired" => class(3002, 2),
        "consent.given" | "consent.resumed" => class(3005, 1),
        "consent.denied" | "consent.revoked" | "consent.suspended" => class(3005, 2),
        "tool.admitted" => class(6002, 1),
        "tool.retired" => class(6002, 2),
        "server.started" => class(6002, 3),
        "server.stopped" => class(6002, 4),
        "policy.changed" | "tool.changed" | "keys.rotated" | "keys.rewrapped" => class(3004, 3),
        "keys.made" => class(3004, 1),
        "keys.erased" | "audit.erased" | "audit.pruned" => class(3004, 4),
        "tool.call" | "tool.denied" | "mcp.request" | "mcp.denied" | "admin.request"
        | "admin.denied" => class(6003, 99),
        // The others of these families, and kinds that come later.
        other if other.starts_with("consent.") => class(3005, 99),
        other if other.starts_with("sign-in.") => class(3002, 99),
        other if other.starts_with("tool.") => class(6002, 99),
        _ => class(3004, 99),
    }
}

fn ocsf(stored: &Stored) -> Value {
    let record = &stored.record;
    let Class {
        uid,
        category,
        activity,
    } = class_of(&record.kind);
    let failed = failed(record);
    let mut event = json!({
        "activity_id": activity,
        "category_uid": category,
        "class_uid": uid,
        "type_uid": uid * 100 + activity,
        "time": record.at.0,
        "severity_id": if failed { 2 } else { 1 },
        "status_id": match (record.phase, failed) {
            (Phase::Intent, _) => 0,
            (Phase::Outcome | Phase::Event, false) => 1,
            (Phase::Outcome | Phase::Event, true) => 2,
        },
        "metadata": {
            "version": OCSF,
            "product": { "name": "bailiwick", "vendor_name": "bailiwick", "version": env!("CARGO_PKG_VERSION") },
            "uid": format!("{}/{}", record.event_id, stored.seq),
            "correlation_uid": record.root.unwrap_or(record.event_id).to_string(),
            "sequence": stored.seq,
            "log_name": log_id(record),
            "tenant_uid": record.tenant.as_ref().map(ToString::to_string),
            "event_code": record.kind,
        },
    });
    if let Some(more) = event.as_object_mut() {
        describe(record, uid, more);
        leave_out_nulls(more);
        more.insert("unmapped".into(), whole(stored));
    }
    event
}

/// What is not known is absent: the schema has types, and null is of none of them.
fn leave_out_nulls(object: &mut Map<String, Value>) {
    object.retain(|_, value| !value.is_null());
    for value in object.values_mut() {
        if let Value::Object(inner) = value {
            leave_out_nulls(inner);
        }
    }
}

fn describe(record: &Record, uid: u64, event: &mut Map<String, Value>) {
    let user = record
        .subject
        .map(|subject| json!({ "uid": subject.to_string(), "type_id": 1 }));
    let client = record.client_id.as_ref().map(ToString::to_string);
    match uid {
        6003 => {
            let operation = record.method.clone().unwrap_or_else(|| record.kind.clone());
            event.insert("api".into(), json!({ "operation": operation }));
            let actor = json!({ "user": user, "app_uid": client });
            event.insert("actor".into(), actor);
            event.insert("src_endpoint".into(), json!({ "uid": client }));
            if let Some(tool) = tool(record) {
                event.insert(
                    "resources".into(),
                    json!([{ "name": tool, "type": "tool" }]),
                );
            }
        }
        3002 | 3005 => {
            // A token that does not count names nobody.
            let nobody = json!({ "type_id": 0 });
            event.insert("user".into(), user.unwrap_or(nobody));
            if uid == 3005 {
                event.insert("privileges".into(), json!(record.consents));
            }
        }
        6002 => {
            let name = tool(record).unwrap_or("bailiwick");
            event.insert("app".into(), json!({ "name": name }));
        }
        _ => {
            let entity = json!({ "name": record.kind, "type": "configuration" });
            event.insert("entity".into(), entity);
        }
    }
    if let Some(reason) = record
        .result
        .as_ref()
        .and_then(|result| result.reason.as_ref())
    {
        event.insert("status_detail".into(), json!(reason));
    }
}

fn failed(record: &Record) -> bool {
    let by_kind = [".failed", ".denied", ".refused"].iter();
    let by_kind = by_kind.clone().any(|end| record.kind.ends_with(end));
    let result = record.result.as_ref();
    let ended = result.is_some_and(|result| !matches!(&*result.status, "replied" | "answered"));
    by_kind || ended
}
