//! What a refusal asks of a token: `WWW-Authenticate`, from our own words alone.

use http::HeaderValue;

use super::{Wire, proof_algorithms};
use crate::config::Dpop;
use crate::mcp::line::{EdgeRefusal, NotScoped, WeakSignIn};

impl Wire {
    /// `WWW-Authenticate` for each scheme that is taken and would help, from our own words alone (A15–A22).
    pub(super) fn challenges(&self, refusal: &EdgeRefusal) -> impl Iterator<Item = HeaderValue> {
        let (bearer, dpop) = match (refusal, self.dpop) {
            // RFC 9449 §7.1: what is wrong with a proof is no matter of the other scheme.
            (EdgeRefusal::BadProof | EdgeRefusal::NoNonce, _) | (_, Dpop::Required) => {
                (false, true)
            }
            (_, Dpop::Allowed) => (true, true),
            (_, Dpop::Off) => (true, false),
        };
        let said = self.said(refusal);
        let bearer = bearer.then(|| said.as_ref().map(|said| format!("Bearer {said}")));
        let dpop = dpop.then(|| {
            let algorithms = proof_algorithms().collect::<Vec<_>>().join(" ");
            let said = said.as_ref()?;
            Some(format!("DPoP {said}, algs=\"{algorithms}\""))
        });
        let challenges = [bearer.flatten(), dpop.flatten()].into_iter().flatten();
        challenges.filter_map(|text| HeaderValue::try_from(text).ok())
    }

    /// What a challenge says, whatever its scheme.
    fn said(&self, refusal: &EdgeRefusal) -> Option<String> {
        let least = scope_list(&self.scopes);
        let (error, scope) = match refusal {
            // RFC 6750 §3.1: a request without a token gets no error code.
            EdgeRefusal::NoToken => (None, least),
            EdgeRefusal::InvalidToken => (Some("invalid_token"), least),
            EdgeRefusal::BadProof => (Some("invalid_dpop_proof"), String::new()),
            EdgeRefusal::NoNonce => (Some("use_dpop_nonce"), String::new()),
            EdgeRefusal::MalformedAuthorization => (Some("invalid_request"), String::new()),
            EdgeRefusal::NotScoped(NotScoped { needed }) => {
                (Some("insufficient_scope"), scope_list(needed))
            }
            EdgeRefusal::WeakSignIn(WeakSignIn { needed, .. }) => {
                (Some("insufficient_user_authentication"), scope_list(needed))
            }
            EdgeRefusal::Host
            | EdgeRefusal::Origin
            | EdgeRefusal::Method
            | EdgeRefusal::Session
            | EdgeRefusal::IdentityBusy
            | EdgeRefusal::IdentityUnavailable
            | EdgeRefusal::ContentType
            | EdgeRefusal::BodyTooLarge
            | EdgeRefusal::BodyLost
            | EdgeRefusal::NotJson
            | EdgeRefusal::NotARequest
            | EdgeRefusal::VersionHeader(_)
            | EdgeRefusal::Version { .. }
            | EdgeRefusal::RemovedMethod
            | EdgeRefusal::ToolName
            | EdgeRefusal::Busy
            | EdgeRefusal::Unavailable { .. }
            | EdgeRefusal::Fault { .. } => return None,
        };
        let error = error.map(|error| format!("error=\"{error}\", "));
        let scope = (!scope.is_empty()).then(|| format!("scope=\"{scope}\", "));
        Some(format!(
            "{}{}{}resource_metadata={}",
            error.unwrap_or_default(),
            sign_in(refusal).unwrap_or_default(),
            scope.unwrap_or_default(),
            self.resource_metadata
        ))
    }
}

/// RFC 9470 §3: which sign-in would do.
fn sign_in(refusal: &EdgeRefusal) -> Option<String> {
    let EdgeRefusal::WeakSignIn(weak) = refusal else {
        return None;
    };
    let values = scope_list(&weak.acr_values);
    let acr = (!values.is_empty()).then(|| format!("acr_values=\"{values}\", "));
    let age = weak.max_age_secs;
    let age = age.map(|secs| format!("max_age=\"{secs}\", "));
    Some(acr.unwrap_or_default() + &age.unwrap_or_default())
}

/// RFC 6749 §3.3 `scope`, and likewise `acr_values`: anything outside the alphabet of a scope token is left out.
pub(super) fn scope_list(scopes: &[String]) -> String {
    let is_token = |scope: &&String| {
        !scope.is_empty()
            && scope
                .bytes()
                .all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    let mut scopes: Vec<&str> = scopes.iter().filter(is_token).map(String::as_str).collect();
    scopes.dedup();
    scopes.join(" ")
}
