//! The listener for whoever watches the server: `/metrics`, `/info`, and `/readyz` with its reasons.
//!
//! It is on loopback and nowhere else, apart from the door for clients: what is told here is for the operator. No tenant, user,
//! path or rule is among it. A page of a browser that was led here under another name is refused.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};
use url::{Host, Url};

use crate::admin::Standing;
use crate::call::Stages;
use crate::capability::Kind;
use crate::hardening::Report;
use crate::limits;
use crate::telemetry::{Family, Samples, number, print, process};

/// What Prometheus calls this form of text.
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What there is to tell of.
pub(super) struct Watched {
    pub(super) stages: Arc<Stages>,
    pub(super) standing: Arc<dyn Fn() -> Standing + Send + Sync>,
    /// Whether older clients get sessions.
    pub(super) sessions: bool,
    /// What the process gave up before it served.
    pub(super) hardening: Report,
}

/// The router of that listener.
pub(super) fn router(watched: Watched) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/info", get(info))
        .route("/readyz", get(readyz))
        .route("/healthz", get(|| async { "ok\n" }))
        .with_state(Arc::new(watched))
        .layer(middleware::from_fn(local))
}

/// A browser that was led to this address by a name of its page says that name (DNS rebinding).
async fn local(request: Request, next: Next) -> Response {
    let host = request.headers().get(HOST);
    let host = host.and_then(|host| host.to_str().ok());
    let url = host.and_then(|host| format!("http://{host}/").parse::<Url>().ok());
    let is_local = url.is_some_and(|url| match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    });
    if !is_local {
        return StatusCode::FORBIDDEN.into_response();
    }
    let mut response = next.run(request).await;
    let fresh = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, fresh);
    response
}

async fn metrics(State(watched): State<Arc<Watched>>) -> Response {
    match print(watched.families()) {
        Ok(page) => ([(CONTENT_TYPE, TEXT)], page).into_response(),
        Err(error) => {
            tracing::error!(%error, "the numbers of the server cannot be printed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

async fn info(State(watched): State<Arc<Watched>>) -> Response {
    axum::Json(watched.info()).into_response()
}

async fn readyz(State(watched): State<Arc<Watched>>) -> Response {
    let standing = (watched.standing)();
    let reasons = standing.reasons();
    if reasons.is_empty() {
        let warnings = standing.warnings().into_iter();
        return std::iter::once("ready")
            .chain(warnings)
            .map(|line| format!("{line}\n"))
            .collect::<String>()
            .into_response();
    }
    let text = format!("not ready\n{}\n", reasons.join("\n"));
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}

fn flag(is: bool) -> f64 {
    f64::from(u8::from(is))
}

impl Watched {
    /// Everything that is counted, and how things stand now.
    fn families(&self) -> Vec<Family> {
        let standing = (self.standing)();
        let (taken, places) = self.stages.sandbox.places();
        let snapshot = self.stages.catalog.snapshot();
        let mut all = self.stages.audit.meters().families();
        let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
        let mut build = Family::gauge("bailiwick_build_info", "The build that runs", 1.0);
        if let Samples::Gauges(gauges) = &mut build.samples {
            gauges.iter_mut().for_each(|one| one.0.clone_from(&version));
        }
        all.extend([
            build,
            Family::gauge("bailiwick_ready", "Whether the server can take calls", flag(standing.reasons().is_empty())),
            Family::gauge("bailiwick_issuer_keys_ready", "Whether the keys of every issuer are there", flag(standing.keys)),
            Family::gauge("bailiwick_rules_in_force", "Whether the rules in force are those of the folder", flag(standing.rules)),
            Family::gauge("bailiwick_clock_believed", "Whether the clock is believed; while it is not, nothing is deleted for good that had not ended before", flag(standing.clock)),
            Family::gauge("bailiwick_audit_open", "Whether the store takes records; while it does not, calls with effects are refused", flag(standing.log)),
            Family::gauge("bailiwick_audit_waiting_records", "Records that wait for the store", number(self.stages.audit.waiting())),
            Family::gauge("bailiwick_pool_places", "Places in the sandbox", number(places)),
            Family::gauge("bailiwick_pool_places_taken", "Places in the sandbox that are taken", number(taken)),
            Family::counts("bailiwick_host_panics", "Host functions that panicked, each of which ended one call", [(Vec::new(), self.stages.sandbox.panics())]),
            Family::gauge("bailiwick_executors", "Processes in which guests run, and those that wait for one", number(self.stages.sandbox.executors().map_or(0, |all| all.count()))),
            Family::gauge("bailiwick_tools", "Tools that are served", number(snapshot.tools.len())),
            Family::gauge("bailiwick_packages_refused", "Packages of the folder that are not served", number(snapshot.refused.len())),
        ]);
        all.extend(process());
        all
    }

    /// What runs here, within which bounds, and how far apart from the rest of the machine.
    fn info(&self) -> Value {
        let executors = self.stages.sandbox.executors();
        let snapshot = self.stages.catalog.snapshot();
        let (_, places) = self.stages.sandbox.places();
        let profile = match cfg!(debug_assertions) {
            true => "debug",
            false => "release",
        };
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "build": {
                "profile": profile,
                "arch": std::env::consts::ARCH,
                "os": std::env::consts::OS,
            },
            "kinds": Kind::ALL.map(Kind::as_str),
            "limits": {
                "calls_in_flight": places,
                "call_timeout_ms": u64::try_from(self.stages.call_timeout.as_millis()).unwrap_or(u64::MAX),
                "call_depth": self.stages.call_bounds.depth,
                "call_tree": self.stages.call_bounds.tree,
                "request_body_bytes": limits::REQUEST_BODY_BYTES_MAX,
                "token_bytes": limits::TOKEN_BYTES_MAX,
                "audit_queue_records": limits::AUDIT_QUEUE_MAX,
            },
            "sessions": self.sessions,
            // What is not there is said to be not there.
            "isolation": {
                "guests": executors.map_or("in-process", |_| "process"),
                "guests_kept": executors.map_or(&[][..], |all| all.absent()),
                "compiler": "process",
            },
            "given_up": self.hardening.named(),
            "counts": {
                "tools": snapshot.tools.len(),
                "packages_refused": snapshot.refused.len(),
                "rules": self.stages.rules.load().len(),
                "calls_in_flight": self.stages.audit.meters().in_flight(),
                "executors": executors.map_or(0, |all| all.count()),
            },
        })
    }
}

/// Counts every answer of the public listener.
pub(super) fn counted(router: Router, stages: &Arc<Stages>) -> Router {
    let meters = Arc::clone(stages.audit.meters());
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let meters = Arc::clone(&meters);
        async move {
            let path = request.uri().clone();
            let response = next.run(request).await;
            meters.request(path.path(), response.status().as_u16());
            response
        }
    }))
}
