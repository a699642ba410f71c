//! What every request passes before anything of it is read: a place among those that are answered at once, and what its address
//! may still ask.
//!
//! Reads no header and no body, so nothing that a stranger writes counts here. Refuses at once and never waits.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use uuid::Uuid;

use super::respond;
use crate::audit::{Audit, EventKind};
use crate::listen::{Behind, ClientAddress};
use crate::throttle::{Addresses, Place, Places, SharedLimits, Way, counts};

/// What requests are held against.
pub struct Front {
    limits: SharedLimits,
    addresses: Addresses,
    places: Places,
    audit: Audit,
}

impl Front {
    /// Nobody has asked anything yet.
    pub fn new(limits: SharedLimits, audit: Audit) -> Self {
        Self {
            limits,
            addresses: Addresses::default(),
            places: Places::default(),
            audit,
        }
    }
}

/// Puts it before everything that a router serves.
pub fn guarded(router: Router, front: Front) -> Router {
    router.layer(middleware::from_fn_with_state(Arc::new(front), pass))
}

/// From where a request comes.
pub(super) fn address(request: &Request) -> Option<IpAddr> {
    let address = request.extensions().get::<ClientAddress>();
    address.map(|address| address.ip())
}

async fn pass(State(front): State<Arc<Front>>, mut request: Request, next: Next) -> Response {
    let limits = front.limits.load_full();
    let way = way(request.uri().path());
    // Whose address is not known all count as one.
    let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let address = address(&request).unwrap_or(unknown);
    let counted = counts(address, &limits).then_some(address);
    // Who leaves answers lying is given no others, and what waits for all clients is bounded as well. Answers to probes are small,
    // and administrators must get in.
    let behind =
        matches!(way, Way::Call | Way::Page) && request.extensions().get::<Behind>().is_some();
    let enter = || {
        let most = limits.requests_in_flight_max;
        front.places.enter(way, most, counted)
    };
    let place = (!behind).then(enter).flatten();
    let Some(place) = place else {
        tracing::debug!(?way, behind, "a request found no place");
        let reason = if behind { "answers" } else { "overload" };
        front.audit.sampled(EventKind::LimitHit, reason);
        return respond::overloaded(Uuid::now_v7());
    };
    let place = Arc::new(place);
    if way == Way::Admin {
        // What an administrator began is worked on after its client is gone, and keeps its place.
        request.extensions_mut().insert(Arc::clone(&place));
    }
    if way == Way::Probe {
        return next.run(request).await;
    }
    if let Err(throttled) = front.addresses.ask(address, &limits, Instant::now()) {
        tracing::debug!(limit = throttled.limit, "a request came too soon");
        front.audit.sampled_with(EventKind::LimitHit, |event| {
            event.fact("reason", throttled.reason())
        });
        return respond::throttled(&throttled, Uuid::now_v7());
    }
    request.extensions_mut().insert(Attempt {
        front: Arc::clone(&front),
        address,
        _place: Arc::clone(&place),
    });
    let response = next.run(request).await;
    // A place is for what is worked on: a stranger who leaves small refusals lying shall not hold all of them. What of an answer
    // waits for its client is counted by `listen`, in bytes.
    drop(place);
    response
}

/// From which address a token comes; goes with its request to where it is judged. That is done to its end also when its client is
/// gone, and keeps the place of the request for as long.
#[derive(Clone)]
pub(super) struct Attempt {
    front: Arc<Front>,
    address: IpAddr,
    _place: Arc<Place>,
}

impl Attempt {
    /// Counts the token as refused, whatever becomes of the answer.
    pub(super) fn failed(&self) {
        let limits = self.front.limits.load();
        let failed = (self.front.addresses).failed(self.address, &limits, Instant::now());
        if let Err(throttled) = failed {
            tracing::info!(
                limit = throttled.limit,
                pause_secs = throttled.again_in_secs(),
                "an address pauses for its refused tokens"
            );
        }
    }

    /// The address, where it is told apart from others.
    pub(super) fn counted(&self) -> Option<IpAddr> {
        counts(self.address, &self.front.limits.load()).then_some(self.address)
    }
}

fn way(path: &str) -> Way {
    let below = |root: &str| {
        path.strip_prefix(root)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if matches!(path, "/healthz" | "/readyz") {
        Way::Probe
    } else if below("/admin") {
        Way::Admin
    } else if ["/consent", "/consents", "/sign-in", "/sign-out"]
        .into_iter()
        .any(below)
    {
        Way::Page
    } else {
        Way::Call
    }
}

#[cfg(test)]
mod tests {
    use arc_swap::ArcSwap;
    use axum::Extension;
    use axum::body::Body;
    use axum::routing::post;
    use http::StatusCode;
    use tower::ServiceExt;

    use super::*;
    use crate::clock::SystemClock;
    use crate::config::Limits;
    use crate::store::testing::store;

    #[tokio::test]
    async fn a_token_that_is_judged_after_its_client_is_gone_keeps_its_place() {
        let limits = Limits {
            requests_in_flight_max: 1,
            ..Limits::defaults(1)
        };
        let audit = Audit::start(store().await, Arc::new(SystemClock)).await;
        let front = Front::new(Arc::new(ArcSwap::from_pointee(limits)), audit.unwrap());
        let judged: Arc<std::sync::Mutex<Option<Attempt>>> = Arc::default();
        let kept = Arc::clone(&judged);
        let judge = move |Extension(attempt): Extension<Attempt>| async move {
            *kept.lock().unwrap() = Some(attempt);
            std::future::pending::<()>().await;
        };
        let router = Router::new()
            .route("/mcp", post(judge))
            .route("/other", post(|| async {}));
        let router = guarded(router, front);
        let ask = |path| {
            let request = Request::post(path).body(Body::empty()).unwrap();
            router.clone().oneshot(request)
        };
        let gone = tokio::spawn(ask("/mcp"));
        while judged.lock().unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        gone.abort();
        assert!(gone.await.unwrap_err().is_cancelled());
        let refused = ask("/other").await.unwrap();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        drop(judged.lock().unwrap().take());
        assert_eq!(ask("/other").await.unwrap().status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn who_leaves_answers_lying_gets_no_others_but_those_of_probes_and_administrators() {
        let audit = Audit::start(store().await, Arc::new(SystemClock)).await;
        let limits = Arc::new(ArcSwap::from_pointee(Limits::defaults(1)));
        let front = Front::new(limits, audit.unwrap());
        let router = Router::new().fallback(|| async {});
        let router = guarded(router, front);
        for (path, status) in [
            ("/mcp", StatusCode::SERVICE_UNAVAILABLE),
            ("/consents", StatusCode::SERVICE_UNAVAILABLE),
            ("/admin/tools", StatusCode::OK),
            ("/readyz", StatusCode::OK),
        ] {
            for behind in [true, false] {
                let mut request = Request::get(path).body(Body::empty()).unwrap();
                if behind {
                    request.extensions_mut().insert(Behind);
                }
                let answer = router.clone().oneshot(request).await.unwrap();
                let status = if behind { status } else { StatusCode::OK };
                assert_eq!(answer.status(), status, "{path}");
                let again = answer.headers().contains_key("retry-after");
                assert_eq!(again, status != StatusCode::OK, "{path}");
            }
        }
    }

    #[test]
    fn a_path_has_the_places_of_what_it_is_for() {
        for (path, expected) in [
            ("/healthz", Way::Probe),
            ("/readyz", Way::Probe),
            ("/healthz/x", Way::Call),
            ("/admin", Way::Admin),
            ("/admin/tools", Way::Admin),
            ("/administrator", Way::Call),
            ("/consent/x", Way::Page),
            ("/consents", Way::Page),
            ("/sign-in/callback", Way::Page),
            ("/mcp", Way::Call),
            ("/", Way::Call),
        ] {
            assert_eq!(way(path), expected, "{path}");
        }
    }
}
