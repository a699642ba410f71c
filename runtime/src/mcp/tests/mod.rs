//! The wire against a line that plays every answer: real tokens, real HTTP, no tools.

mod auth;
mod calls;
mod cancel;
mod clients;
mod edge;
mod elicitation;
mod eras;
mod fake;
mod forms;
mod proofs;
mod sessions;
mod sockets;
mod subscriptions;
mod traps;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use url::Url;
use uuid::Uuid;

use super::{Era, Line, Listed, Said, Settings, router};
use crate::catalog::Annotations;
use crate::clock::ManualClock;
use crate::config::Dpop;
use crate::consent::TicketId;
use crate::dialogue::Reply;
use crate::identity::testing;

pub(super) use fake::{FORM, FakeLine};

pub(super) const MODERN: &str = "2026-07-28";
pub(super) const LEGACY: &str = "2025-11-25";
pub(super) const METADATA: &str =
    r#"resource_metadata="https://mcp.test/.well-known/oauth-protected-resource/mcp""#;

/// A tool that takes any object.
pub(super) fn listed(name: &str) -> Listed {
    Listed {
        name: name.parse().unwrap(),
        title: None,
        description: format!("Does {name}"),
        input_schema: Arc::new(Map::from_iter([("type".to_owned(), json!("object"))])),
        output_schema: None,
        hints: Annotations {
            read_only: true,
            destructive: false,
            idempotent: true,
            open_world: false,
        },
    }
}

/// A line and its router.
pub(super) struct Rig {
    pub line: Arc<FakeLine>,
    pub router: Router,
    pub shutdown: CancellationToken,
}

impl Rig {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let line = FakeLine::new();
        let shutdown = CancellationToken::new();
        let mut settings = Settings {
            public_url: Url::parse("https://mcp.test").unwrap(),
            listen: "127.0.0.1:8137".parse().unwrap(),
            allowed_origins: vec!["https://app.test".to_owned()],
            authorization_servers: vec![testing::ISSUER.to_owned()],
            scopes: vec!["tools:call".to_owned()],
            dpop: Dpop::Off,
            client_certificates: false,
            ready: Arc::new(|| true),
            clock: Arc::new(ManualClock::new(testing::NOW)),
            sessions: false,
            meters: Arc::default(),
            shutdown: shutdown.clone(),
        };
        change(&mut settings);
        let router = router(Arc::clone(&line) as Arc<dyn Line>, settings);
        Self {
            line,
            router,
            shutdown,
        }
    }

    pub async fn send(&self, request: Request<Body>) -> Shown {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = tokio::time::timeout(Duration::from_secs(20), body.collect())
            .await
            .expect("the answer ends")
            .unwrap()
            .to_bytes();
        Shown {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// A request of the modern era, as a good client sends it.
    pub async fn modern(&self, method: &str, params: Value) -> Shown {
        self.send(modern(method, params)).await
    }

    /// A request of the legacy era, as a good client sends it.
    pub async fn legacy(&self, method: &str, params: Value) -> Shown {
        self.send(legacy(method, params)).await
    }

    /// Serves on loopback until the rig is dropped or shut down.
    pub async fn serve(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let inlet = crate::listen::Inlet::plain();
        let serving =
            crate::listen::serve(listener, self.router.clone(), inlet, self.shutdown.clone());
        tokio::spawn(serving);
        address
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub(super) struct Shown {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: String,
}

impl Shown {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub fn result(&self) -> Value {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        assert_eq!(self.header("content-type"), Some("application/json"));
        self.json()["result"].clone()
    }

    /// The status and the JSON-RPC code.
    pub fn code(&self) -> (u16, i64) {
        let code = self.json()["error"]["code"].as_i64().unwrap();
        (self.status.as_u16(), code)
    }

    /// The messages of an event stream.
    pub fn events(&self) -> Vec<Value> {
        assert_eq!(self.header("content-type"), Some("text/event-stream"));
        self.body
            .lines()
            .filter_map(|line| line.strip_prefix("data:"))
            .map(|data| serde_json::from_str(data.trim()).unwrap())
            .collect()
    }
}

pub(super) fn bearer(changes: Value) -> String {
    format!("Bearer {}", testing::token(changes))
}

/// A POST with everything but the body and the headers of an era.
pub(super) fn post(body: impl Into<Body>) -> Request<Body> {
    Request::builder()
        .method(Method::POST)
        .uri("/mcp")
        .header("host", "mcp.test")
        .header("authorization", bearer(json!({})))
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .body(body.into())
        .unwrap()
}

pub(super) fn meta() -> Value {
    json!({
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}, "form": {}}},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    })
}

pub(super) fn modern(method: &str, params: Value) -> Request<Body> {
    let mut params = params;
    let name = params["name"].as_str().map(str::to_owned);
    let members = params.as_object_mut().unwrap();
    let mut all = meta();
    if let Some(Value::Object(own)) = members.remove("_meta") {
        all.as_object_mut().unwrap().extend(own);
    }
    members.insert("_meta".to_owned(), all);
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let mut request = post(body.to_string());
    let headers = request.headers_mut();
    headers.insert("mcp-protocol-version", MODERN.parse().unwrap());
    headers.insert("mcp-method", method.parse().unwrap());
    if let Some(name) = name {
        headers.insert("mcp-name", name.parse().unwrap());
    }
    request
}

pub(super) fn legacy(method: &str, params: Value) -> Request<Body> {
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
    let mut request = post(body.to_string());
    let headers = request.headers_mut();
    headers.insert("mcp-protocol-version", LEGACY.parse().unwrap());
    request
}

pub(super) fn with(mut request: Request<Body>, name: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

pub(super) fn without(mut request: Request<Body>, name: &str) -> Request<Body> {
    request.headers_mut().remove(name);
    request
}
