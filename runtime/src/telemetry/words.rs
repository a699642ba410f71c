//! The sets of words that labels are taken from. `other` in a metric says that one is missing here.

/// Classes of HTTP statuses.
pub(super) const STATUS: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];
/// The doors of the server.
pub(super) const DOORS: [&str; 5] = ["mcp", "admin", "pages", "documents", "health"];
/// Stages that refuse.
pub(super) const STAGES: [&str; 10] = [
    "request",
    "identity",
    "catalog",
    "policy",
    "consent",
    "grant",
    "arguments",
    "data",
    "limits",
    "audit",
];
/// How calls end: a guest that ran, and before one runs.
pub(super) const ENDS: [&str; 23] = [
    "replied",
    "invalid-arguments",
    "denied",
    "failed",
    "trapped",
    "lost",
    "exited",
    "out-of-time",
    "out-of-bounds",
    "reply-too-large",
    "reply-invalid",
    "reply-withheld",
    "asked-user",
    "asked-otherwise",
    "callee-asks",
    "cancelled",
    "revoked",
    "overloaded",
    "fault",
    // no guest ran
    "refused",
    "asked",
    "unavailable",
    "aborted",
];
/// Of these, those that are a fault of the server.
pub(super) const FAULTS: [&str; 2] = ["fault", "aborted"];
/// Why a token gives no caller.
pub(super) const TOKENS: [&str; 33] = [
    "missing-token",
    "other-scheme",
    "invalid-request",
    "too-long",
    "shape",
    "part",
    "header",
    "wrong-type",
    "unknown-issuer",
    "unknown-key",
    "algorithm",
    "signature",
    "claim",
    "claim-name",
    "disagreement",
    "wrong-audience",
    "expired",
    "not-yet-valid",
    "sender-constrained",
    "too-many-actors",
    "without-user",
    "insufficient-scope",
    "wrong-nonce",
    "keys-unavailable",
    "other-certificate",
    "unbound",
    "proof-used",
    "proof-nonce",
    "proofs-full",
    "proof",
    "inactive",
    "introspection-unavailable",
    "introspection-busy",
];
/// Why a request ends before any call.
pub(super) const EDGE: [&str; 25] = [
    "host",
    "origin",
    "method",
    "session",
    "no-token",
    "malformed-authorization",
    "invalid-token",
    "insufficient-scope",
    "weak-sign-in",
    "identity-unavailable",
    "identity-busy",
    "content-type",
    "body-too-large",
    "body-lost",
    "not-json",
    "not-a-request",
    "version-header",
    "version",
    "removed-method",
    "tool-name",
    "busy",
    "unavailable",
    "fault",
    "bad-proof",
    "no-nonce",
];
/// Kinds of capability, in the order of [`Kind::ALL`](crate::capability::Kind::ALL).
pub(super) const KINDS: [&str; 13] = [
    "http", "files", "clock", "progress", "data", "ask", "kv", "config", "secret", "call",
    "claims", "reveal", "deliver",
];
/// What becomes of a request of a guest to a web host.
pub(super) const EGRESS: [&str; 12] = [
    "answered",
    "denied",
    "revoked",
    "out-of-time",
    "request-too-large",
    "response-too-large",
    "headers-too-large",
    "tls",
    "malformed",
    "broken",
    "secret-unavailable",
    "status",
];
/// What is recorded that is no call, as [`EventKind`](crate::audit::EventKind) names it.
pub(super) const EVENTS: [&str; 44] = [
    "auth.failed",
    "admin.denied",
    "consent.asked",
    "consent.given",
    "consent.denied",
    "consent.revoked",
    "consent.used",
    "consent.tool-changed",
    "consent.client-changed",
    "consent.suspended",
    "consent.resumed",
    "consent.foreign-user",
    "policy.changed",
    "policy.refused",
    "tool.admitted",
    "tool.changed",
    "tool.refused",
    "tool.retired",
    "sign-in.done",
    "sign-in.ended",
    "sign-in.failed",
    "server.started",
    "server.stopped",
    "audit.recovered",
    "keys.made",
    "keys.rotating",
    "keys.rotated",
    "keys.rewrapped",
    "keys.erasing",
    "keys.erased",
    "limit.hit",
    "call.throttled",
    "call.overloaded",
    "limits.changed",
    "limits.refused",
    "audit.pruned",
    "audit.erased",
    "audit.reindexed",
    "mcp.denied",
    "sign-in.expired",
    "session.began",
    "session.ended",
    "clock.doubted",
    "clock.believed",
];
/// Which bound a call met that was refused for its haste.
pub(super) const THROTTLES: [&str; 4] = ["rate", "busy", "at-once", "daily"];

/// What becomes of what is sent to a collector.
pub(super) const EXPORTS: [&str; 2] = ["sent", "failed"];

#[cfg(test)]
mod tests {
    use crate::audit::Stage;
    use crate::capability::Kind;

    #[test]
    fn every_kind_and_stage_has_its_word() {
        assert_eq!(super::KINDS, Kind::ALL.map(Kind::as_str));
        for stage in [
            Stage::Request,
            Stage::Identity,
            Stage::Catalog,
            Stage::Policy,
            Stage::Consent,
            Stage::Grant,
            Stage::Arguments,
            Stage::Data,
            Stage::Limits,
            Stage::Audit,
        ] {
            assert!(super::STAGES.contains(&stage.as_str()));
        }
    }

    /// The words of the arms of a source, which stand nowhere else in it.
    fn arms(source: &str) -> Vec<&str> {
        let code = source.split("#[cfg(test)]").next().unwrap();
        let arms = code.split("=> \"").skip(1);
        arms.filter_map(|rest| rest.split('"').next()).collect()
    }

    #[test]
    fn whatever_is_named_elsewhere_has_its_word_here() {
        for (source, words) in [
            (include_str!("../identity/error.rs"), &super::TOKENS[..]),
            (include_str!("../egress/error.rs"), &super::EGRESS),
            (include_str!("../mcp/line.rs"), &super::EDGE),
            (include_str!("../sandbox/outcome.rs"), &super::ENDS),
            (include_str!("../audit/event.rs"), &super::EVENTS),
        ] {
            let named = arms(source);
            assert!(named.len() > 10, "{named:?}");
            for word in named {
                assert!(words.contains(&word), "`{word}` among {words:?}");
            }
        }
    }
}
