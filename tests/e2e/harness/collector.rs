//! A collector of traces and metrics: it takes OTLP over HTTP in protobuf as the protocol says, and keeps what it was sent.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::until;

const PROTOBUF: &str = "application/x-protobuf";

#[derive(Default)]
struct Kept {
    bytes: Vec<u8>,
    spans: Vec<Span>,
    metrics: Vec<Metric>,
    /// Names and values of resources.
    resources: Vec<String>,
}

#[derive(Clone, Default)]
struct Shared {
    kept: Arc<Mutex<Kept>>,
    hangs: Arc<AtomicBool>,
}

/// A collector on loopback.
pub struct Collector {
    pub port: u16,
    shared: Shared,
    serving: JoinHandle<()>,
}

impl Collector {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Shared::default();
        let router = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/metrics", post(metrics))
            .with_state(shared.clone());
        let serving = tokio::spawn(async move {
            axum::serve(listener, router).await.unwrap();
        });
        Self {
            port,
            shared,
            serving,
        }
    }

    /// One that takes what it is sent and never answers.
    pub async fn hanging() -> Self {
        let collector = Self::start().await;
        collector.shared.hangs.store(true, Ordering::Release);
        collector
    }

    /// The configuration of a server that sends to it.
    pub fn config(&self) -> String {
        let port = self.port;
        format!("[telemetry.otlp]\nendpoint = \"http://127.0.0.1:{port}\"\n")
    }

    /// Every span of that name, of which there is one at some time.
    pub async fn received(&self, name: &str) -> Vec<Span> {
        until(&format!("a span {name}"), async || {
            let spans = self.spans();
            let named: Vec<_> = spans.into_iter().filter(|span| span.name == name).collect();
            (!named.is_empty()).then_some(named)
        })
        .await
    }

    pub fn spans(&self) -> Vec<Span> {
        self.shared.kept.lock().unwrap().spans.clone()
    }

    pub fn metrics(&self) -> Vec<Metric> {
        self.shared.kept.lock().unwrap().metrics.clone()
    }

    pub fn resources(&self) -> Vec<String> {
        self.shared.kept.lock().unwrap().resources.clone()
    }

    /// All that it was sent, as text.
    pub fn bytes(&self) -> String {
        let kept = self.shared.kept.lock().unwrap();
        String::from_utf8_lossy(&kept.bytes).into_owned()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// OTLP/HTTP: a body of another type is answered with 415, one that cannot be read with 400.
async fn read<T: Message + Default>(
    shared: &Shared,
    headers: &HeaderMap,
    body: &Bytes,
) -> Result<T, StatusCode> {
    if headers
        .get(CONTENT_TYPE)
        .is_none_or(|kind| kind != PROTOBUF)
    {
        return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    if shared.hangs.load(Ordering::Acquire) {
        std::future::pending::<()>().await;
    }
    shared.kept.lock().unwrap().bytes.extend_from_slice(body);
    T::decode(body.clone()).map_err(|_| StatusCode::BAD_REQUEST)
}

fn answer(message: &impl Message) -> Response {
    ([(CONTENT_TYPE, PROTOBUF)], message.encode_to_vec()).into_response()
}

async fn traces(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let request = read::<ExportTraceServiceRequest>(&shared, &headers, &body).await;
    let request = match request {
        Ok(request) => request,
        Err(status) => return status.into_response(),
    };
    let mut kept = shared.kept.lock().unwrap();
    for of_resource in request.resource_spans {
        let attributes = of_resource.resource.unwrap_or_default().attributes;
        let named = attributes.into_iter().map(|one| format!("{one:?}"));
        kept.resources.extend(named);
        let scopes = of_resource.scope_spans.into_iter();
        kept.spans.extend(scopes.flat_map(|scope| scope.spans));
    }
    answer(&ExportTraceServiceResponse::default())
}

async fn metrics(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let request = read::<ExportMetricsServiceRequest>(&shared, &headers, &body).await;
    let request = match request {
        Ok(request) => request,
        Err(status) => return status.into_response(),
    };
    let resources = request.resource_metrics.into_iter();
    let scopes = resources.flat_map(|one| one.scope_metrics);
    let all = scopes.flat_map(|scope| scope.metrics);
    shared.kept.lock().unwrap().metrics.extend(all);
    answer(&ExportMetricsServiceResponse::default())
}
