//! The wire against a line that plays every answer: real tokens, real HTTP, no tools.

mod auth;
mod calls;
mod cancel;
mod clients;
mod edge;
mod elicitation;
mod eras;
mod forms;
mod sessions;
mod sockets;
mod subscriptions;
mod traps;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use url::Url;
use uuid::Uuid;

use super::line::{Pending, Progress};
use super::{
    Answer, Call, EdgeRefusal, Era, Line, Listed, NotScoped, NotVerified, Operation, RequestFacts,
    Said, Settings, WeakSignIn, router,
};
use crate::catalog::Annotations;
use crate::clock::ManualClock;
use crate::consent::TicketId;
use crate::dialogue::Reply;
use crate::identity::{BearerToken, Caller, testing, token};
use crate::sandbox::{self, Content};

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

/// What the line was asked to run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ran {
    tool: String,
    user: String,
    era: Era,
    can_open_urls: bool,
    can_show_forms: bool,
    request_state: Option<String>,
    said: Option<Said>,
    replied: Option<Reply>,
    traceparent: Option<String>,
    has_progress: bool,
}

/// A line whose tools are named after what they answer.
pub(super) struct FakeLine {
    pub tools: Mutex<Vec<Listed>>,
    pub changed: watch::Sender<u64>,
    pub ran: Mutex<Vec<Ran>>,
    pub edge: Mutex<Vec<&'static str>>,
    pub keys_are_gone: AtomicBool,
    pub consented: AtomicBool,
    pub started: Notify,
    pub cancelled: Notify,
    pub flooded: Notify,
    pub breaks: AtomicBool,
}

impl FakeLine {
    pub fn new() -> Arc<Self> {
        let names = ["echo", "structured", "list", "ask", "progress", "admin"];
        Arc::new(Self {
            tools: Mutex::new(names.iter().map(|name| listed(name)).collect()),
            changed: watch::channel(0).0,
            ran: Mutex::default(),
            edge: Mutex::default(),
            keys_are_gone: AtomicBool::new(false),
            consented: AtomicBool::new(false),
            started: Notify::new(),
            cancelled: Notify::new(),
            flooded: Notify::new(),
            breaks: AtomicBool::new(false),
        })
    }

    pub fn ran(&self) -> Vec<Ran> {
        self.ran.lock().unwrap().clone()
    }

    pub fn edge(&self) -> Vec<&'static str> {
        self.edge.lock().unwrap().clone()
    }

    pub fn add(&self, tool: Listed) {
        self.tools.lock().unwrap().push(tool);
        self.changed.send_modify(|count| *count += 1);
    }

    async fn answer(&self, call: Call) -> Answer {
        let text = |text: &str| {
            Answer::Reply(sandbox::Reply {
                content: vec![Content::Text(text.to_owned())],
                structured: None,
                masked: Default::default(),
            })
        };
        let structured = |value: Value| {
            Answer::Reply(sandbox::Reply {
                content: vec![],
                structured: Some(value),
                masked: Default::default(),
            })
        };
        let needed = vec!["tools:call".to_owned(), "late:write".to_owned()];
        match call.tool.as_str() {
            "echo" => text(&Value::Object(call.arguments).to_string()),
            "structured" => structured(json!({"n": 1})),
            "list" => structured(json!([1, 2])),
            "fails" => Answer::ToolError("`city` is missing\u{1b}[31m".to_owned()),
            "denied" => Answer::Denied,
            "late" => Answer::NotScoped(NotScoped { needed }),
            "late_stream" => {
                step(&call, 1.0).await;
                Answer::NotScoped(NotScoped { needed })
            }
            "weak" => Answer::WeakSignIn(WeakSignIn {
                acr_values: ["silver", "gold", "two words", "a\"b"]
                    .map(str::to_owned)
                    .to_vec(),
                max_age_secs: Some(300),
                needed,
            }),
            "stale_stream" => {
                step(&call, 1.0).await;
                Answer::WeakSignIn(WeakSignIn {
                    acr_values: Vec::new(),
                    max_age_secs: Some(300),
                    needed,
                })
            }
            "busy" => Answer::Busy,
            "unavailable" => Answer::Unavailable { id: Uuid::nil() },
            "fault" => Answer::Fault { id: Uuid::nil() },
            "panics" => panic!("the line broke"),
            "progress" => {
                for at in [1.0, 3.0, 2.0, 3.0, 4.0] {
                    step(&call, at).await;
                }
                text("done")
            }
            "flood" => {
                // Far more than any stream holds: only a reader lets this end, or the end of the call.
                for at in 0..10_000 {
                    if let Some(progress) = &call.progress {
                        let _ = progress.try_send(Progress {
                            progress: f64::from(at),
                            total: None,
                            message: Some("x".repeat(64 * 1024)),
                        });
                    }
                    tokio::task::yield_now().await;
                }
                self.flooded.notify_one();
                text("flooded")
            }
            "waits" => {
                self.started.notify_one();
                call.cancel.cancelled().await;
                self.cancelled.notify_one();
                Answer::Cancelled
            }
            "ask" => match call.request_state.as_deref() {
                _ if matches!(call.said, Some(Said::Declined | Said::Cancelled)) => {
                    Answer::ToolError("the user declined".to_owned())
                }
                Some("sealed") if self.consented.load(Ordering::SeqCst) => text("agreed"),
                _ => Answer::ConsentNeeded {
                    url: Url::parse("https://mcp.test/consent/t1").unwrap(),
                    message: "Notes wants to write".to_owned(),
                    state: "sealed".to_owned(),
                    ticket: "A".repeat(43).parse().unwrap(),
                },
            },
            // Asks twice, and tells what it was answered.
            "form" => {
                step(&call, 1.0).await;
                let form = |state: &str| Answer::FormNeeded {
                    message: format!("“Notes” (form) asks: {state}\u{1b}[31m?"),
                    schema: FORM.to_owned(),
                    state: state.to_owned(),
                };
                match (call.request_state.as_deref(), &call.replied) {
                    (None, _) => form("first"),
                    (Some("first"), Some(_)) => form("second"),
                    (Some("second"), Some(reply)) => {
                        step(&call, 2.0).await;
                        text(match reply {
                            Reply::Submitted(_) => "submitted",
                            Reply::Declined => "declined",
                            Reply::Cancelled => "cancelled",
                        })
                    }
                    (Some(state), _) => form(state),
                }
            }
            _ => Answer::UnknownTool,
        }
    }
}

/// A form of a tool, whose fields are not in the order of their names.
pub(super) const FORM: &str = r#"{"type":"object","properties":{"note":{"type":"string","title":"Note"},"age":{"type":"integer","minimum":0}},"required":["note"]}"#;

async fn step(call: &Call, progress: f64) {
    if let Some(sender) = &call.progress {
        let step = Progress {
            progress,
            total: Some(4.0),
            message: Some(format!("at {progress}\u{7}")),
        };
        sender.send(step).await.unwrap();
    }
}

impl Line for FakeLine {
    fn verify(
        &self,
        token: BearerToken,
        _request: RequestFacts,
    ) -> Pending<'_, Result<Arc<Caller>, NotVerified>> {
        Box::pin(async move {
            if self.keys_are_gone.load(Ordering::SeqCst) {
                return Err(NotVerified::Unavailable);
            }
            token::verify(&token, &testing::issuer(), &testing::keys(), testing::NOW)
                .map(Arc::new)
                .map_err(|error| error.public().into())
        })
    }

    fn check_scopes(&self, caller: &Caller, operation: &Operation) -> Result<(), NotScoped> {
        assert!(operation.method != "breaks", "the scopes broke");
        let mut needed = vec!["tools:call".to_owned()];
        if operation.tool.as_ref().map(|tool| tool.as_str()) == Some("admin") {
            needed.push("tools:admin".to_owned());
        }
        match needed.iter().all(|scope| caller.scopes().contains(scope)) {
            true => Ok(()),
            false => Err(NotScoped { needed }),
        }
    }

    fn header_schema(&self, caller: &Caller, tool: &str) -> Option<Arc<Map<String, Value>>> {
        let listed = self
            .list(caller)
            .into_iter()
            .find(|listed| listed.name.as_str() == tool)?;
        Some(listed.input_schema)
    }

    fn list(&self, caller: &Caller) -> Vec<Listed> {
        assert!(!self.breaks.load(Ordering::SeqCst), "the list broke");
        let tools = self.tools.lock().unwrap();
        let is_admin = caller.roles().contains("admin");
        tools
            .iter()
            .filter(|tool| is_admin || tool.name.as_str() != "admin")
            .cloned()
            .collect()
    }

    fn call(&self, call: Call, caller: Arc<Caller>) -> Pending<'_, Answer> {
        Box::pin(async move {
            self.ran.lock().unwrap().push(Ran {
                tool: call.tool.to_string(),
                user: caller.user().subject.to_string(),
                era: call.era,
                can_open_urls: call.can_open_urls,
                can_show_forms: call.can_show_forms,
                request_state: call.request_state.clone(),
                said: call.said,
                replied: call.replied.clone(),
                traceparent: call.traceparent.clone(),
                has_progress: call.progress.is_some(),
            });
            self.answer(call).await
        })
    }

    fn is_open_question<'a>(
        &'a self,
        _ticket: &'a TicketId,
        _caller: &'a Caller,
    ) -> Pending<'a, bool> {
        Box::pin(async { !self.consented.load(Ordering::SeqCst) })
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    fn refused_at_edge(&self, _request: &RequestFacts, refusal: &EdgeRefusal) {
        self.edge.lock().unwrap().push(refusal.name());
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
            ready: Arc::new(|| true),
            clock: Arc::new(ManualClock::new(testing::NOW)),
            sessions: false,
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
        let serving = super::serve(listener, self.router.clone(), self.shutdown.clone());
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
