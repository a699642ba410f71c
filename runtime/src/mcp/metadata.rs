//! Protected resource metadata (RFC 9728) and the two health answers.
//!
//! All of it is public: no token is asked for and nothing of a caller is told.

use axum::Json;
use axum::http::StatusCode;
use serde::Serialize;
use url::Url;

use super::router::Settings;

/// Path under which RFC 9728 §3 looks for the metadata of a resource at the root.
pub(super) const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The document, made once.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Metadata {
    resource: String,
    authorization_servers: Vec<String>,
    bearer_methods_supported: [&'static str; 1],
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
            bearer_methods_supported: ["header"],
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
