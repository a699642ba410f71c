//! Traces and durations for a collector, by OTLP over HTTP, in the words of the semantic conventions for MCP.
//!
//! A span has names from closed sets and names of admitted tools; no value of an argument, no user, no text of a caller. What
//! a client says of its own trace is believed as far as one id of a parent goes: whether a call is traced is decided here.
//! Spans wait in a queue with a bound, are sent by a thread of their own, and are dropped when there is no room, so a
//! collector that is slow, dead or hostile costs a call nothing.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use opentelemetry::metrics::{Histogram, MeterProvider as _};
use opentelemetry::trace::{
    Span as _, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags, TraceId,
    TraceState, Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, Protocol, SpanExporter, WithExportConfig, WithHttpConfig,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SdkTracer, SdkTracerProvider, Span,
};
use tokio::runtime::Handle;
use url::Url;
use uuid::Uuid;

use super::count::Words;
use crate::config::Otlp;
use crate::egress::Egress;
use crate::limits::{
    OTLP_ANSWER_BYTES_MAX, OTLP_BATCH_MAX, OTLP_EVERY, OTLP_METRICS_EVERY, OTLP_QUEUE_MAX,
    OTLP_TIMEOUT,
};

/// How long a call took, as the semantic conventions for MCP name it.
const DURATION: &str = "mcp.server.operation.duration";
/// The buckets that the semantic conventions advise, in seconds.
const DURATION_BOUNDS: [f64; 14] = [
    0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
];

/// Who is told of calls.
pub struct Tracer {
    spans: SdkTracer,
    provider: SdkTracerProvider,
    durations: Histogram<f64>,
    meters: SdkMeterProvider,
    ratio: f64,
}

impl Tracer {
    /// Sends to this collector, by this way out; what became of it is counted there. Must be called on a runtime.
    pub fn to(
        otlp: &Otlp,
        egress: Arc<Egress>,
        sent: Arc<Words>,
    ) -> Result<Self, ExporterBuildError> {
        let client: Arc<dyn HttpClient> = Arc::new(Collector {
            egress,
            runtime: Handle::current(),
            sent,
        });
        let below = |path: &str| {
            let endpoint = otlp.endpoint.as_str();
            format!("{}{path}", endpoint.trim_end_matches('/'))
        };
        let spans = SpanExporter::builder()
            .with_http()
            .with_shared_http_client(Arc::clone(&client))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(below("/v1/traces"))
            .with_timeout(OTLP_TIMEOUT)
            .build()?;
        let numbers = MetricExporter::builder()
            .with_http()
            .with_shared_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(below("/v1/metrics"))
            .with_timeout(OTLP_TIMEOUT)
            .build()?;
        let queue = BatchConfigBuilder::default()
            .with_max_queue_size(OTLP_QUEUE_MAX)
            .with_max_export_batch_size(OTLP_BATCH_MAX)
            .with_scheduled_delay(OTLP_EVERY)
            .build();
        // Nothing is read of the machine and its environment.
        let resource = Resource::builder_empty()
            .with_service_name("bailiwick")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let processor = BatchSpanProcessor::builder(spans)
            .with_batch_config(queue)
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(processor)
            .with_resource(resource.clone())
            .build();
        let reader = PeriodicReader::builder(numbers)
            .with_interval(OTLP_METRICS_EVERY)
            .build();
        let meters = SdkMeterProvider::builder()
            .with_reader(reader)
            .with_resource(resource)
            .build();
        let durations = meters
            .meter("bailiwick")
            .f64_histogram(DURATION)
            .with_unit("s")
            .with_description("Time that a request took at the server")
            .with_boundaries(DURATION_BOUNDS.to_vec())
            .build();
        Ok(Self {
            spans: provider.tracer("bailiwick"),
            provider,
            durations,
            meters,
            ratio: otlp.sample_ratio,
        })
    }

    /// Begins the span of a call that belongs to this root, under the parent that the client names; none where the root is not
    /// traced. All calls of one tree are traced, or none.
    pub fn begin(&self, root: Uuid, traceparent: Option<&str>) -> Option<Trace> {
        if !is_chosen(root, self.ratio) {
            return None;
        }
        let parent = match traceparent.and_then(parent) {
            Some(parent) => Context::new().with_remote_span_context(parent),
            None => Context::new(),
        };
        let span = self
            .spans
            .span_builder("tools/call")
            .with_kind(SpanKind::Server)
            .start_with_context(&self.spans, &parent);
        Some(Trace {
            spans: self.spans.clone(),
            whole: Context::new().with_span(span),
            stage: None,
        })
    }

    /// A call ended so.
    pub fn took(&self, tool: Option<&str>, error: Option<&str>, time: Duration) {
        let all = attributes(tool, error);
        self.durations.record(time.as_secs_f64(), &all);
    }

    /// Sends what waits, as long as that takes no longer than [`OTLP_TIMEOUT`] each. Blocks.
    pub fn end(&self) {
        // What is lost at the end is lost: a collector that does not answer keeps no server from stopping.
        let _ = self.provider.shutdown_with_timeout(OTLP_TIMEOUT);
        let _ = self.meters.shutdown_with_timeout(OTLP_TIMEOUT);
    }
}

impl fmt::Debug for Tracer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Tracer({})", self.ratio)
    }
}

/// The span of one call, and that of the stage in which it is.
pub struct Trace {
    spans: SdkTracer,
    whole: Context,
    stage: Option<Span>,
}

impl Trace {
    /// The call is in this stage now.
    pub fn stage(&mut self, name: &'static str) {
        if let Some(mut before) = self.stage.take() {
            before.end();
        }
        let span = self.spans.span_builder(name);
        self.stage = Some(span.start_with_context(&self.spans, &self.whole));
    }

    /// What a call within this one has as its parent.
    pub fn traceparent(&self) -> String {
        let span = self.whole.span();
        let context = span.span_context();
        format!("00-{}-{}-01", context.trace_id(), context.span_id())
    }

    /// The call ended so. The tool is one that was admitted.
    pub fn end(mut self, tool: Option<&str>, outcome: &'static str, error: Option<&str>, id: Uuid) {
        if let Some(mut last) = self.stage.take() {
            last.end();
        }
        let span = self.whole.span();
        if let Some(tool) = tool {
            span.update_name(format!("tools/call {tool}"));
        }
        span.set_attributes(attributes(tool, error));
        span.set_attribute(KeyValue::new("gen_ai.operation.name", "execute_tool"));
        span.set_attribute(KeyValue::new("bailiwick.outcome", outcome));
        span.set_attribute(KeyValue::new("bailiwick.event_id", id.to_string()));
        if error.is_some() {
            span.set_status(Status::error(""));
        }
        span.end();
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Trace({})", self.traceparent())
    }
}

fn attributes(tool: Option<&str>, error: Option<&str>) -> Vec<KeyValue> {
    let mut all = vec![KeyValue::new("mcp.method.name", "tools/call")];
    all.extend(tool.map(|tool| KeyValue::new("gen_ai.tool.name", tool.to_owned())));
    all.extend(error.map(|error| KeyValue::new("error.type", error.to_owned())));
    all
}

/// Whether the calls of this root are traced. The last 62 bits of our own id are chance, and no client chooses them.
fn is_chosen(root: Uuid, ratio: f64) -> bool {
    let (_, low) = root.as_u64_pair();
    let chance = u32::try_from((low >> 16) & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    ratio >= 1.0 || f64::from(chance) < ratio * f64::from(u32::MAX)
}

/// A parent, from a text that was checked to be a `traceparent` of version 00 (W3C Trace Context §3.2).
fn parent(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-').skip(1);
    let trace = TraceId::from_hex(parts.next()?).ok()?;
    let span = SpanId::from_hex(parts.next()?).ok()?;
    // The flag for sampling is the client's wish, and `tracestate` and baggage are its texts: neither is kept.
    let context = SpanContext::new(trace, span, TraceFlags::SAMPLED, true, TraceState::NONE);
    context.is_valid().then_some(context)
}

/// The way to the collector: the one way out that everything takes, with a bound to what is read of the answer.
struct Collector {
    egress: Arc<Egress>,
    runtime: Handle,
    sent: Arc<Words>,
}

impl HttpClient for Collector {
    fn send_bytes<'life0, 'async_trait>(
        &'life0 self,
        request: Request<Bytes>,
    ) -> BoxFuture<'async_trait, Result<Response<Bytes>, HttpError>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            let answer = self.send(request).await;
            let well = answer
                .as_ref()
                .is_ok_and(|answer| answer.status().is_success());
            self.sent.one(if well { "sent" } else { "failed" });
            answer
        })
    }
}

impl Collector {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let url: Url = parts.uri.to_string().parse()?;
        let egress = Arc::clone(&self.egress);
        // The thread that sends has no runtime of its own.
        let answer = self.runtime.spawn(async move {
            let most = OTLP_ANSWER_BYTES_MAX;
            let answer =
                egress.send_own(parts.method, &url, parts.headers, body, most, OTLP_TIMEOUT);
            answer.await
        });
        Ok(answer.await??)
    }
}

impl fmt::Debug for Collector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Collector")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_roots_is_chosen_by_our_own_chance() {
        let roots: Vec<Uuid> = (0..2_000).map(|_| Uuid::new_v4()).collect();
        let chosen = |ratio: f64| roots.iter().filter(|root| is_chosen(**root, ratio)).count();
        assert_eq!(chosen(0.0), 0);
        assert_eq!(chosen(1.0), 2_000);
        let half = chosen(0.5);
        assert!((800..1_200).contains(&half), "{half}");
    }

    #[test]
    fn a_parent_is_two_ids_and_nothing_else() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let context = parent(text).unwrap();
        assert_eq!(
            context.trace_id().to_string(),
            "0af7651916cd43dd8448eb211c80319c"
        );
        assert_eq!(context.span_id().to_string(), "b7ad6b7169203331");
        assert!(context.is_remote());
        assert_eq!(context.trace_state().header(), "");
        for odd in [
            "",
            "00",
            "00-x-y-01",
            "00-00000000000000000000000000000000-0000000000000000-01",
        ] {
            assert_eq!(parent(odd), None, "{odd}");
        }
    }
}
