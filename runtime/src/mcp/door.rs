//! Another door of the same server: the checks of `/mcp` for requests that are no MCP.
//!
//! Host, origin, size and token are judged by the same code in the same order. What stands behind the door asks for a scope
//! of its own, so that a token for tools opens nothing there. Decides nothing else.

use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use uuid::Uuid;

use super::edge::Edge;
use super::handler::implementation;
use super::line::{EdgeRefusal, Line, NotScoped, RequestFacts};
use super::metadata;
use super::respond::{self, Wire};
use super::router::Settings;
use crate::identity::Caller;

/// The door.
pub struct Door {
    edge: Edge,
    wire: Wire,
    scope: String,
    line: Arc<dyn Line>,
}

/// Whoever was let in, and what they brought: the token is gone.
pub struct Visitor {
    /// Who asks.
    pub caller: Arc<Caller>,
    /// The request without its body, its token and its cookies.
    pub parts: Parts,
    /// Its body.
    pub body: Bytes,
}

impl Door {
    /// A door that needs this scope, beside those of every token.
    pub fn new(line: Arc<dyn Line>, settings: &Settings, scope: &str) -> Self {
        let mut scopes = settings.scopes.clone();
        scopes.push(scope.to_owned());
        let document = metadata::document(&settings.public_url);
        Self {
            edge: Edge::new(Arc::clone(&line), None, settings),
            wire: Wire::new(&document, scopes, &implementation()).taking(settings.dpop),
            line,
            scope: scope.to_owned(),
        }
    }

    /// What is known of a request before anything in it is believed.
    pub fn facts(request: &Request) -> RequestFacts {
        Edge::facts(request)
    }

    /// The checks, in order. The scope is not among them: whoever lacks it is known, and the refusal can say who it was.
    pub async fn admit(
        &self,
        request: Request,
        facts: &RequestFacts,
    ) -> Result<Visitor, EdgeRefusal> {
        let admitted = self.edge.admit_other(request, facts).await;
        let (parts, body, caller) = admitted.map_err(|refusal| match refusal {
            // What the issuer's tokens always need does not suffice here.
            EdgeRefusal::NotScoped(NotScoped { needed }) => self.not_scoped(needed),
            other => other,
        })?;
        Ok(Visitor {
            caller,
            parts,
            body,
        })
    }

    /// Whether the token is for this door.
    pub fn check_scope(&self, caller: &Caller) -> Result<(), EdgeRefusal> {
        if caller.scopes().contains(&self.scope) {
            return Ok(());
        }
        Err(self.not_scoped(caller.scopes_always().to_vec()))
    }

    fn not_scoped(&self, mut needed: Vec<String>) -> EdgeRefusal {
        needed.push(self.scope.clone());
        EdgeRefusal::NotScoped(NotScoped { needed })
    }

    /// A refusal as an answer without a body.
    pub fn refuse(&self, refusal: &EdgeRefusal, request: Uuid) -> Response {
        let mut response = self.wire.refuse(refusal, None, request);
        respond::offer(&mut response, self.line.proof_nonce());
        response
    }

    /// The refusal of whoever has a good token and may not do this.
    pub fn forbid(&self, request: Uuid) -> Response {
        self.wire.forbid(request)
    }

    /// Headers that every answer carries.
    pub fn mark(response: &mut Response, request: Uuid) {
        respond::mark(response, request);
    }
}
