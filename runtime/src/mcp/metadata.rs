//! Protected resource metadata (RFC 9728) and the two health answers.
//!
//! All of it is public: no token is asked for and nothing of a caller is told.

use axum::Json;
use axum::http::StatusCode;
use serde::Serialize;
use url::Url;

use super::respond;
use super::router::Settings;
use crate::config::Dpop;

/// Path under which RFC 9728 §3 looks for the metadata of a resource at the root.
pub(super) const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The document, made once.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Metadata {
    resource: String,
    authorization_servers: Vec<String>,
    /// RFC 9728 §2: empty where no plain bearer token is taken.
    bearer_methods_supported: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    dpop_signing_alg_values_supported: Vec<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dpop_bound_access_tokens_required: bool,
    /// RFC 9728 §2: whether tokens bound to a certificate (RFC 8705) are taken, which takes a client's certificate.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tls_client_certificate_bound_access_tokens: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    scopes_supported: Vec<String>,
    resource_name: &'static str,
}

impl Metadata {
    /// The document of these settings.
    pub fn new(settings: &Settings) -> Self {
        Self {
            resource: resource(&settings.public_url).to_string(),
            authorization_servers: settings.authorization_servers.clone(),
            bearer_methods_supported: match settings.dpop {
                Dpop::Off | Dpop::Allowed => vec!["header"],
                Dpop::Required => Vec::new(),
            },
            dpop_signing_alg_values_supported: match settings.dpop {
                Dpop::Off => Vec::new(),
                Dpop::Allowed | Dpop::Required => respond::proof_algorithms().collect(),
            },
            dpop_bound_access_tokens_required: settings.dpop == Dpop::Required,
            tls_client_certificate_bound_access_tokens: settings.client_certificates,
            scopes_supported: settings.scopes.clone(),
            resource_name: "Bailiwick",
        }
    }

    /// The document as an answer. RFC 9728 §2 and MCP want at least one issuer; without one there is no document.
    pub fn answer(&self) -> Result<Json<Self>, StatusCode> {
        if self.authorization_servers.is_empty() {
            return Err(StatusCode::NOT_FOUND);
        }
        Ok(Json(self.clone()))
    }
}

/// The resource identifier: the URL of the endpoint, as clients use it (A3, A4).
pub(super) fn resource(public_url: &Url) -> Url {
    let mut resource = public_url.clone();
    resource.set_path(&format!("{}/mcp", public_url.path().trim_end_matches('/')));
    resource.set_query(None);
    resource.set_fragment(None);
    resource
}

/// Where the document of the resource lies: RFC 9728 §3.1 puts the well-known part between host and path.
pub(super) fn document(public_url: &Url) -> Url {
    let mut document = resource(public_url);
    document.set_path(&format!("{WELL_KNOWN}{}", document.path()));
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a4_the_resource_is_canonical() {
        let of = |url: &str| {
            let url = Url::parse(url).unwrap();
            (resource(&url).to_string(), document(&url).to_string())
        };
        assert_eq!(
            of("https://MCP.example"),
            (
                "https://mcp.example/mcp".to_owned(),
                "https://mcp.example/.well-known/oauth-protected-resource/mcp".to_owned()
            )
        );
        assert_eq!(
            of("https://mcp.example/base/#x"),
            (
                "https://mcp.example/base/mcp".to_owned(),
                "https://mcp.example/.well-known/oauth-protected-resource/base/mcp".to_owned()
            )
        );
    }
}
