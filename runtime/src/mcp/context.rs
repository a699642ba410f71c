//! What a request says beside its method: who sent it, in which revision, and what its client can do.

use std::sync::Arc;

use rmcp::RoleServer;
use rmcp::model::{ElicitationCapability, ErrorData, ProtocolVersion};
use rmcp::service::RequestContext;

use super::edge::Admitted;
use super::line::{Era, Said};
use super::respond;
use crate::dialogue::Reply;
use crate::identity::Caller;

/// What the edge found out. A request without it did not pass the edge and is refused.
pub(super) fn admitted(context: &RequestContext<RoleServer>) -> Result<&Admitted, ErrorData> {
    context
        .extensions
        .get::<http::request::Parts>()
        .and_then(|parts| parts.extensions.get::<Admitted>())
        .ok_or_else(|| respond::internal("the request was not verified", None))
}

/// The caller, where only a caller is served. The edge lets nobody else come this far.
pub(super) fn verified(admitted: &Admitted) -> Result<Arc<Caller>, ErrorData> {
    let caller = admitted.caller.clone();
    caller.ok_or_else(|| respond::internal("the request was not verified", None))
}

pub(super) fn era(context: &RequestContext<RoleServer>) -> Era {
    match context.protocol_version() {
        Some(version) if version.as_str() >= ProtocolVersion::V_2026_07_28.as_str() => Era::Modern,
        Some(_) | None => Era::Legacy,
    }
}

/// Whether this very request says that its client can show links; form mode alone does not (P21).
pub(super) fn opens_urls(context: &RequestContext<RoleServer>) -> bool {
    context
        .client_capabilities()
        .and_then(|capabilities| capabilities.elicitation)
        .is_some_and(|elicitation| elicitation.url.is_some())
}

/// Whether this very request says that its client can show forms (P21).
pub(super) fn shows_forms(context: &RequestContext<RoleServer>) -> bool {
    context
        .client_capabilities()
        .and_then(|capabilities| capabilities.elicitation)
        .is_some_and(|elicitation| has_forms(&elicitation))
}

/// MCP 2025-11-25, client features, elicitation: an empty declaration means forms, as it did before there were links.
pub(super) fn has_forms(elicitation: &ElicitationCapability) -> bool {
    elicitation.form.is_some() || elicitation.url.is_none()
}

/// What a client says that its user answered to a form.
pub(super) fn replied(answer: &serde_json::Value) -> Option<Reply> {
    Some(match said(answer)? {
        Said::Accepted => Reply::Submitted(answer.get("content")?.clone()),
        Said::Declined => Reply::Declined,
        Said::Cancelled => Reply::Cancelled,
    })
}

/// What a client says that its user did with a question.
pub(super) fn said(answer: &serde_json::Value) -> Option<Said> {
    match answer.get("action")?.as_str()? {
        "accept" => Some(Said::Accepted),
        "decline" => Some(Said::Declined),
        "cancel" => Some(Said::Cancelled),
        _ => None,
    }
}

/// Bytes of a `traceparent` of version 00, no more and no less.
const TRACEPARENT_BYTES: usize = 55;

/// W3C Trace Context §3.2, version 00.
pub(super) fn is_traceparent(text: &str) -> bool {
    if text.len() != TRACEPARENT_BYTES {
        return false;
    }
    let hex = |part: &str, len: usize| {
        part.len() == len
            && part
                .bytes()
                .all(|byte| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f'))
    };
    let set = |part: &str| part.bytes().any(|byte| byte != b'0');
    let parts: Vec<&str> = text.split('-').collect();
    matches!(
        parts.as_slice(),
        ["00", trace, span, flags]
            if hex(trace, 32) && set(trace) && hex(span, 16) && set(span) && hex(flags, 2)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p45_a_traceparent_is_checked() {
        let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_traceparent(good));
        for bad in [
            "",
            "00",
            "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x",
        ] {
            assert!(!is_traceparent(bad), "{bad}");
        }
        for bad in [
            "-".repeat(1024 * 1024),
            format!("{good}\n"),
            format!("{good}{}", "0".repeat(64 * 1024)),
            "é".repeat(TRACEPARENT_BYTES),
        ] {
            assert!(!is_traceparent(&bad), "{} bytes", bad.len());
        }
    }
}
