//! What a record may hold: names, kinds, sizes, classes and digests.

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::Timestamp;
use crate::ids::{ClientId, Digest, Publisher, Tenant, ToolName, User};

/// Who calls, as far as the log is concerned.
#[derive(Debug, Clone)]
pub struct CallerFacts {
    /// The isolation key.
    pub tenant: Tenant,
    /// The user, who is recorded under a pseudonym.
    pub user: User,
    /// The client.
    pub client: ClientId,
    /// SHA-256 of the token's `jti`.
    pub jti_hash: Digest,
    /// Signature algorithm of the token.
    pub algorithm: String,
    /// Key that verified the token.
    pub key_id: String,
    /// When the token expires.
    pub expires: Timestamp,
}

/// Which tool, pinned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolFacts {
    /// SHA-256 of the file.
    pub component_digest: Digest,
    /// SHA-256 of name, description and schemas.
    pub definition_digest: Digest,
    /// SHA-256 of the needs.
    pub manifest_digest: Digest,
    /// The name under which it is served.
    pub name: ToolName,
    /// Who publishes it.
    pub publisher: Publisher,
    /// Version, as its author counts.
    pub version: String,
}

/// What is recorded of arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArgumentFacts {
    /// Size of the canonical JSON.
    pub bytes: u64,
    /// Keyed digest of the canonical JSON: small domains could be guessed from a plain one.
    pub hmac: Digest,
    /// Names that the tool's schema lists, each with the kind of its value: `string(11)`.
    pub kinds: BTreeMap<String, String>,
    /// How many names the schema does not list; a name that the caller made up may itself tell something.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unlisted: u64,
}

impl ArgumentFacts {
    /// What may be recorded of these arguments.
    pub(super) fn of(
        arguments: &Map<String, Value>,
        schema: &Value,
        key: &hmac::Key,
        tenant: Option<&Tenant>,
    ) -> Self {
        let listed = schema.get("properties").and_then(Value::as_object);
        let kinds: BTreeMap<_, _> = arguments
            .iter()
            .filter(|(name, _)| listed.is_some_and(|listed| listed.contains_key(*name)))
            .map(|(name, value)| (name.clone(), kind(value)))
            .collect();
        let canonical = serde_json_canonicalizer::to_vec(arguments).unwrap_or_default();
        Self {
            unlisted: size(arguments.len().saturating_sub(kinds.len())),
            kinds,
            bytes: size(canonical.len()),
            hmac: super::mac(
                key,
                &[tenant.map_or("", Tenant::as_str).as_bytes(), &canonical],
            ),
        }
    }
}

/// The kind of a value and its size, never the value.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) => "boolean".to_owned(),
        Value::Number(_) => "number".to_owned(),
        Value::String(text) => format!("string({})", text.chars().count()),
        Value::Array(items) => format!("array({})", items.len()),
        Value::Object(members) => format!("object({})", members.len()),
    }
}

/// The stage that refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// The request is not well formed.
    Request,
    /// The token.
    Identity,
    /// There is no such tool.
    Catalog,
    /// The operator's rules.
    Policy,
    /// The user.
    Consent,
    /// What is left of the grants does not suffice.
    Grant,
    /// The arguments do not fit the schema.
    Arguments,
    /// The arguments hold data that the tool may not be given.
    Data,
    /// Too much at once.
    Limits,
    /// The log cannot be written.
    Audit,
}

impl Stage {
    /// The word for it in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Identity => "identity",
            Self::Catalog => "catalog",
            Self::Policy => "policy",
            Self::Consent => "consent",
            Self::Grant => "grant",
            Self::Arguments => "arguments",
            Self::Data => "data",
            Self::Limits => "limits",
            Self::Audit => "audit",
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone)]
pub enum End {
    /// A guest ran.
    Ran {
        /// The name of its ending: `replied`, `trapped`, …
        ending: String,
        /// What it used.
        used: Used,
    },
    /// A request that runs no guest was answered.
    Answered,
    /// A stage refused.
    Refused {
        /// Which.
        stage: Stage,
        /// Why, as a word of ours: `wrong-audience`. Never a text of the caller's.
        reason: String,
    },
    /// The user is asked.
    Asked {
        /// Hash of the ticket.
        ticket: Digest,
    },
    /// We failed.
    Failed {
        /// Why, as a word of ours.
        reason: String,
    },
}

/// What a guest used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// What each host function did, by effect: `http GET example.com`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub effects: BTreeMap<String, EffectUse>,
    /// Lines that the guest logged.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub log_lines: u64,
    /// Highest linear memory, in bytes.
    pub memory_bytes_peak: u64,
    /// Bytes of the reply.
    pub reply_bytes: u64,
    /// Wall-clock time in the sandbox, in milliseconds.
    pub wall_ms: u64,
}

/// How often an effect happened and how many bytes went through it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EffectUse {
    /// Bytes into the sandbox.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes_in: u64,
    /// Bytes out of the sandbox.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub bytes_out: u64,
    /// How often.
    pub count: u64,
    /// How many of them were refused at the border.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub refused: u64,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

fn size(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
