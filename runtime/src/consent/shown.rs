//! Records as those who run the server see them, and as the log proves them.

use serde_json::{Value, json};

use super::{has_begun, is_live};
use crate::clock::Timestamp;
use crate::store::{ClientFacts, ConsentRow, ConsentState, Ender, Evidence};

/// Where it stands, in a word.
pub fn standing(row: &ConsentRow, now: Timestamp) -> &'static str {
    match row.state {
        ConsentState::Active | ConsentState::Denied if !is_live(row, now) => "expired",
        ConsentState::Active if !has_begun(row, now) => "not-yet",
        state => state.as_str(),
    }
}

/// A record as programs read it, for the operator and for administrators.
pub fn as_json(row: &ConsentRow, now: Timestamp) -> Value {
    let time = |at: Option<Timestamp>| at.map(Timestamp::rfc3339);
    let evidence = &row.evidence;
    json!({
        "id": row.id,
        "standing": standing(row, now),
        "tenant": row.key.tenant,
        "iss": row.key.user.issuer,
        "sub": row.key.user.subject,
        "client_id": row.key.client,
        "tool": row.key.tool,
        "publisher": row.key.publisher,
        "capability": row.capability.to_string(),
        "tier": row.tier.as_str(),
        "scope": row.scope.as_str(),
        "sign_in": row.sign_in,
        "decided_by": row.channel.decided_by(),
        "decided_at": row.decided_at.rfc3339(),
        "not_before": time(row.not_before),
        "expires_at": row.expires_at.rfc3339(),
        "lapses_at": time(row.idle_expires_at),
        "calls_max": row.uses_max,
        "calls": row.uses,
        "last_used_at": time(row.last_used_at),
        "ended_at": time(row.ended_at),
        "ended_by": evidence.ended_by.map(Ender::as_str),
        "end_reason": evidence.end_reason,
        "version": evidence.version,
        "component": row.pinned.component,
        "definition": row.pinned.definition,
        "manifest": row.pinned.manifest,
        "used_with": row.seen.as_ref().map(|seen| json!({
            "since": seen.at.rfc3339(),
            "version": seen.version,
            "component": seen.pinned.component,
        })),
        "client": client(evidence),
        "bound_to_arguments": row.arguments.is_some(),
        "acr": row.acr,
        "amr": evidence.amr,
        "auth_time": time(row.auth_time),
        "actors": evidence.actors,
        "locale": evidence.locale,
        "ui_digest": row.ui,
        "policy_digest": evidence.policy,
        "rules": evidence.rules,
        "supersedes": evidence.supersedes,
        "audit_seq": evidence.audit_seq,
        "ended_seq": evidence.ended_seq,
    })
}

/// What of a decision stands in its record alone, and is proven by the log: how and by whom it was made, in front of which page, and why
/// it could be asked.
pub fn proven(row: &ConsentRow) -> Value {
    let evidence = &row.evidence;
    json!({
        "acr": row.acr,
        "actors": evidence.actors,
        "amr": evidence.amr,
        "auth_time": row.auth_time,
        "by": evidence.by,
        "locale": evidence.locale,
        "policy_digest": evidence.policy,
        "rules": evidence.rules,
        "ui_digest": row.ui,
        "version": evidence.version,
    })
}

/// What was known of the client, and what it is since.
fn client(evidence: &Evidence) -> Value {
    let known = |facts: &ClientFacts| {
        json!({
            "kind": facts.kind,
            "redirect_hosts": facts.redirect_hosts,
            "metadata_digest": facts.metadata,
        })
    };
    json!({
        "known": evidence.client.as_ref().map(known),
        "since": evidence.client_seen.as_ref().map(|seen| json!({
            "at": seen.at.rfc3339(),
            "known": known(&seen.facts),
        })),
    })
}
