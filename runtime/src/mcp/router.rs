//! Puts the edge, the SDK and the public documents on one router.
//!
//! Never sees a token or a tool; it only says what stands at which path.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    CONTENT_TYPE, ORIGIN, VARY,
};
use http::{HeaderValue, Method, StatusCode};
use rmcp::transport::streamable_http_server::session::never::NeverSessionManager;
use rmcp::transport::{StreamableHttpServerConfig, StreamableHttpService};
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use url::Url;
use uuid::Uuid;

use super::edge::{Edge, Entry, Ready as Admission};
use super::handler::{Handler, implementation, on_behalf_of};
use super::line::{EdgeRefusal, Line};
use super::metadata::{self, Metadata};
use super::respond::{self, Wire};
use super::running::Running;
use super::sessions::{self, OfSession, Sessions};
use crate::clock::SharedClock;
use crate::config::Dpop;
use crate::limits::REQUEST_BODY_BYTES_MAX;
use crate::telemetry::Meters;

/// Whether the server can take calls.
pub type Ready = Arc<dyn Fn() -> bool + Send + Sync>;

/// What the wire needs to know of its surroundings.
#[derive(Clone)]
pub struct Settings {
    /// The URL under which clients reach us; the endpoint is its `/mcp`.
    pub public_url: Url,
    /// The address that is listened on, with its real port. On loopback, loopback names are accepted as hosts.
    pub listen: SocketAddr,
    /// Origins other than our own from which browsers may call.
    pub allowed_origins: Vec<String>,
    /// Issuers, for the metadata document.
    pub authorization_servers: Vec<String>,
    /// The least scopes that any use needs.
    pub scopes: Vec<String>,
    /// Whether tokens are taken that are bound to a key, at some issuer or at all.
    pub dpop: Dpop,
    /// Whether clients are asked for a certificate.
    pub client_certificates: bool,
    /// What `/readyz` answers.
    pub ready: Ready,
    /// When a subscription ends: with its token.
    pub clock: SharedClock,
    /// Whether clients on older revisions get sessions.
    pub sessions: bool,
    /// Ends open subscriptions, so that connections can drain.
    pub shutdown: CancellationToken,
    /// Where sessions are counted.
    pub meters: Arc<Meters>,
}

type Sdk = StreamableHttpService<Handler, NeverSessionManager>;

struct Endpoint {
    line: Arc<dyn Line>,
    edge: Edge,
    wire: Wire,
    sdk: Sdk,
    running: Arc<Running>,
    sessions: Option<Arc<Sessions>>,
    shutdown: CancellationToken,
    metadata: Metadata,
}

/// The router of the endpoint, its metadata and its health.
pub fn router(line: Arc<dyn Line>, settings: Settings) -> Router {
    let document = metadata::document(&settings.public_url);
    let resource = metadata::resource(&settings.public_url);
    let wire = Wire::new(&document, settings.scopes.clone(), &implementation());
    let wire = wire.taking(settings.dpop);
    let sessions = settings.sessions.then(|| {
        let line = Arc::clone(&line);
        let told = Box::new(move |turned| line.session_turned(turned));
        Arc::new(Sessions::new(settings.clock.clone(), told))
    });
    if let Some(sessions) = sessions.clone() {
        settings
            .meters
            .look_for_sessions(Box::new(move || sessions.count()));
    }
    let edge = Edge::new(Arc::clone(&line), sessions.clone(), &settings);
    let running = Arc::new(Running::default());
    let handler = Handler::new(
        Arc::clone(&line),
        wire.clone(),
        Arc::clone(&running),
        sessions.clone(),
        settings.clock.clone(),
        settings.shutdown.clone(),
    );
    let endpoint = Arc::new(Endpoint {
        line,
        edge,
        wire,
        sdk: sdk(handler),
        running,
        sessions,
        shutdown: settings.shutdown.clone(),
        metadata: Metadata::new(&settings),
    });
    let mut paths = vec!["/mcp".to_owned()];
    let mut documents = vec![metadata::WELL_KNOWN.to_owned(), document.path().to_owned()];
    if resource.path() != "/mcp" {
        paths.push(resource.path().to_owned());
        documents.push(format!("{}/mcp", metadata::WELL_KNOWN));
    }
    let mut router = Router::new();
    for path in paths {
        router = router.route(&path, any(serve_mcp));
    }
    for path in documents {
        router = router.route(&path, get(serve_metadata));
    }
    let ready = settings.ready;
    router
        .with_state(endpoint)
        .layer(CatchPanicLayer::custom(respond::panicked))
        .route("/healthz", get(|| async { "ok\n" }))
        .route(
            "/readyz",
            get(move || async move {
                match ready() {
                    true => (StatusCode::OK, "ready\n"),
                    false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
                }
            }),
        )
}

fn sdk(handler: Handler) -> Sdk {
    let config = StreamableHttpServerConfig::default()
        // A session of the SDK is not bound to a user (trap R1); ours are, and it knows nothing of them.
        .with_legacy_session_mode(false)
        // One JSON answer; a stream only where a handler sends something before its answer.
        .with_json_response(true)
        .with_sse_retry(None)
        .with_max_request_body_bytes(REQUEST_BODY_BYTES_MAX)
        // Judged by the edge, in one place.
        .disable_allowed_hosts()
        .disable_allowed_origins();
    let sessions = Arc::new(NeverSessionManager::default());
    StreamableHttpService::new(move || Ok(handler.clone()), sessions, config)
}

async fn serve_mcp(State(endpoint): State<Arc<Endpoint>>, request: Request) -> Response {
    let origin = request.headers().get(ORIGIN).cloned();
    let facts = Edge::facts(&request);
    let mut response = if is_preflight(&endpoint, &request) {
        preflight(endpoint.sessions.is_some())
    } else {
        match endpoint.edge.admit(request, &facts).await {
            Err((refusal, id)) => endpoint.wire.refuse(&refusal, id, facts.id),
            Ok(Entry::OfSession(asked)) => serve_session(&endpoint, asked, facts.id),
            Ok(Entry::Message(mut ready)) => {
                let streams = Arc::new(AtomicBool::new(false));
                let said = ready.said.take();
                let endpoint = Arc::clone(&endpoint);
                let answering = answered(endpoint, *ready, facts.id, Arc::clone(&streams));
                match said {
                    Some(said) => sessions::interleaved(Box::pin(answering), said, streams).await,
                    None => answering.await,
                }
            }
        }
    };
    respond::offer(&mut response, endpoint.line.proof_nonce());
    respond::mark(&mut response, facts.id);
    share(&endpoint, origin, &mut response);
    response
}

/// What the SDK makes of an admitted message. `streams` is whether something was said before, so that a status comes too late.
async fn answered(
    endpoint: Arc<Endpoint>,
    ready: Admission,
    request: Uuid,
    streams: Arc<AtomicBool>,
) -> Response {
    // The SDK keeps nothing between two requests, so it cannot know which call is meant.
    if let (Some(cancelled), Some(whose)) = (&ready.cancels, ready.whose) {
        endpoint.running.cancel(whose, cancelled);
    }
    let handled = on_behalf_of(ready.caller, endpoint.sdk.handle(ready.request));
    let mut response = handled.await.map(Body::new);
    let streams = streams.load(Ordering::Acquire)
        || response
            .headers()
            .get(CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
    let refusal = match ready.verdict.get() {
        Some(refusal) if !streams => Some(refusal.clone()),
        Some(_) | None => respond::rewritten(response.status(), request),
    };
    if let Some(refusal) = refusal {
        return endpoint.wire.refuse(&refusal, ready.id, request);
    }
    if let Some(id) = ready.began.get() {
        // An id of ours is plain text.
        if let Ok(id) = HeaderValue::try_from(id.as_str()) {
            response.headers_mut().insert(sessions::HEADER, id);
        }
    }
    response
}

fn serve_session(endpoint: &Endpoint, asked: OfSession, request: Uuid) -> Response {
    let Some(sessions) = &endpoint.sessions else {
        return endpoint.wire.refuse(&EdgeRefusal::Session, None, request);
    };
    match asked {
        OfSession::Replies(session, id, reply) => {
            session.reply(&id, reply);
            StatusCode::ACCEPTED.into_response()
        }
        OfSession::Ends(caller, session) => {
            sessions.end(&caller, &session);
            StatusCode::NO_CONTENT.into_response()
        }
        OfSession::Listens(caller, session) => {
            let (line, shutdown) = (Arc::clone(&endpoint.line), endpoint.shutdown.clone());
            sessions::listening(sessions, line, caller, session, shutdown)
                .unwrap_or_else(|refusal| endpoint.wire.refuse(&refusal, None, request))
        }
    }
}

async fn serve_metadata(State(endpoint): State<Arc<Endpoint>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    if endpoint.edge.check_host(&parts).is_err() {
        return StatusCode::FORBIDDEN.into_response();
    }
    let mut response = endpoint.metadata.answer().into_response();
    // Public, and read by clients in browsers.
    response
        .headers_mut()
        .insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

/// A browser asking whether a page may call at all; it sends no token with that (Fetch standard, CORS-preflight).
fn is_preflight(endpoint: &Endpoint, request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        && allowed_origin(endpoint, request.headers().get(ORIGIN)).is_some()
}

fn allowed_origin<'a>(
    endpoint: &Endpoint,
    origin: Option<&'a HeaderValue>,
) -> Option<&'a HeaderValue> {
    origin.filter(|origin| {
        origin
            .to_str()
            .is_ok_and(|origin| endpoint.edge.allows_origin(origin))
    })
}

fn preflight(sessions: bool) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static(if sessions {
            "GET, POST, DELETE"
        } else {
            "POST"
        }),
    );
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static(if sessions {
            "authorization, dpop, content-type, mcp-protocol-version, mcp-method, mcp-name, mcp-session-id"
        } else {
            "authorization, dpop, content-type, mcp-protocol-version, mcp-method, mcp-name"
        }),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    response
}

/// Lets a page of an allowed origin read the answer.
fn share(endpoint: &Endpoint, origin: Option<HeaderValue>, response: &mut Response) {
    let headers = response.headers_mut();
    headers.insert(VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = allowed_origin(endpoint, origin.as_ref()) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(if endpoint.sessions.is_some() {
                "www-authenticate, dpop-nonce, x-request-id, mcp-session-id"
            } else {
                "www-authenticate, dpop-nonce, x-request-id"
            }),
        );
    }
}
