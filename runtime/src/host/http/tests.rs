mod budgets;
mod flow;
mod retries;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ::http::{HeaderName, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::Frame;
use uuid::Uuid;
use wasmtime_wasi_http::Result;

use super::*;
use crate::egress::NoNames;
use crate::egress::testing::{After, Upstream, bound, scope};
use crate::limits::{HTTP_BYTES_IN_MAX, HTTP_BYTES_OUT_MAX, HTTP_REQUESTS_MAX};
use crate::revocation::{RunningCall, RunningCalls};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

struct Call {
    hooks: Hooks,
    meter: Meter,
}

fn call(hosts: &[(&str, SocketAddr)], scopes: &[&str]) -> Call {
    let hosts = hosts
        .iter()
        .map(|(name, address)| bound(name, *address, false));
    let egress = Egress::new(hosts.collect(), Vec::new(), Arc::new(NoNames)).unwrap();
    call_over(egress, scopes)
}

fn call_over(egress: Egress, scopes: &[&str]) -> Call {
    let meter = Meter::default();
    let scopes = scopes
        .iter()
        .map(|text| (scope(text), Live::free()))
        .collect();
    let deadline = Instant::now() + Duration::from_secs(20);
    Call {
        hooks: Hooks::new(
            Arc::new(egress),
            scopes,
            &Whose::of(["ana"]),
            meter.clone(),
            deadline,
        ),
        meter,
    }
}

fn request(method: &str, url: &str, body: impl Into<Bytes>) -> Request<WasiBody> {
    let body = Full::new(body.into()).map_err(Into::into).boxed_unsync();
    Request::builder()
        .method(method)
        .uri(url)
        .body(body)
        .unwrap()
}

impl Call {
    async fn send(&mut self, method: &str, url: &str, body: &[u8]) -> Result<Response<WasiBody>> {
        let request = request(method, url, body.to_vec());
        let answer = self.hooks.send_request(request, None, done());
        Box::into_pin(answer).await.map(|(response, _)| response)
    }

    fn effect(&self, name: &str) -> Effect {
        let effects = self.meter.snapshot();
        *effects
            .get(name)
            .unwrap_or_else(|| panic!("`{name}` is not among {effects:?}"))
    }
}

fn done() -> Processed {
    Box::new(async { Ok(()) })
}

async fn text(response: Response<WasiBody>) -> Result<Bytes> {
    response
        .into_body()
        .collect()
        .await
        .map(|all| all.to_bytes())
}

#[tokio::test]
async fn a_granted_request_is_answered_and_recorded_by_its_sizes() {
    let upstream = Upstream::answering(OK).await;
    let mut call = call(
        &[("api.test", upstream.address)],
        &["http POST api.test /v1/"],
    );
    let answer = call
        .send("POST", "http://api.test/v1/x?secret=1", b"hello")
        .await;
    assert_eq!(text(answer.unwrap()).await.unwrap(), "ok");
    let effect = call.effect("http POST api.test");
    assert_eq!((effect.count, effect.refused), (1, 0));
    assert!((5..200).contains(&effect.bytes_out), "{effect:?}");
    assert!((2..100).contains(&effect.bytes_in), "{effect:?}");
    assert_eq!(call.meter.snapshot().len(), 1);
}

#[tokio::test]
async fn an_ungranted_request_is_refused_and_recorded_without_its_host() {
    let upstream = Upstream::answering(OK).await;
    let mut call = call(
        &[("api.test", upstream.address)],
        &["http GET api.test /v1/"],
    );
    for (method, url) in [
        ("GET", "http://api.test/v2/"),
        ("POST", "http://api.test/v1/"),
        ("GET", "http://other.test/v1/"),
        ("GET", "http://127.0.0.1/v1/"),
        ("EXFILTRATE-THIS", "http://api.test/v1/"),
    ] {
        let refused = call.send(method, url, b"").await;
        assert!(matches!(refused, Err(Error::HttpRequestDenied)), "{url}");
    }
    let effects = call.meter.snapshot();
    let names: Vec<_> = effects.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "http GET (refused)",
            "http OTHER (refused)",
            "http POST (refused)"
        ]
    );
    let effect = call.effect("http GET (refused)");
    assert_eq!((effect.count, effect.refused), (3, 3));
    assert!(upstream.saw_nobody().await);
}

#[tokio::test]
async fn a_granted_host_that_is_closed_looks_like_one_that_is_not_granted() {
    let closed = "127.0.0.1:1".parse().unwrap();
    let mut call = call(&[("api.test", closed)], &["http GET api.test /"]);
    let closed = call.send("GET", "http://api.test/", b"").await;
    let ungranted = call.send("GET", "http://other.test/", b"").await;
    let text = |answer: Result<Response<WasiBody>>| answer.unwrap_err().to_string();
    assert_eq!(text(closed), text(ungranted));
    let effect = call.effect("http GET api.test");
    assert_eq!((effect.count, effect.refused), (1, 1));
}

#[tokio::test]
async fn without_a_scope_everything_is_refused() {
    let upstream = Upstream::answering(OK).await;
    let mut call = call(&[("api.test", upstream.address)], &[]);
    let refused = call.send("GET", "http://api.test/", b"").await;
    assert!(matches!(refused, Err(Error::HttpRequestDenied)));
    let answer = Denied.send_request(request("GET", "http://api.test/", ""), None, done());
    let refused = Box::into_pin(answer).await.map(|_| ());
    assert!(matches!(refused, Err(Error::HttpRequestDenied)));
    assert!(upstream.saw_nobody().await);
}

#[tokio::test]
async fn a_call_makes_so_many_requests_and_no_more() {
    let upstream = Upstream::answering(OK).await;
    let mut call = call(&[("api.test", upstream.address)], &["http GET api.test /"]);
    for _ in 0..HTTP_REQUESTS_MAX {
        call.send("GET", "http://api.test/", b"").await.unwrap();
    }
    let refused = call.send("GET", "http://api.test/", b"").await;
    assert!(matches!(refused, Err(Error::ConnectionLimitReached)));
    assert_eq!(call.effect("http GET api.test").count, HTTP_REQUESTS_MAX);
    assert_eq!(call.effect("http GET (refused)").refused, 1);
}

#[tokio::test]
async fn the_bytes_of_a_call_are_counted_over_all_its_requests() {
    let size = usize::try_from(HTTP_BYTES_IN_MAX / 2).unwrap();
    let half = format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n") + &"x".repeat(size);
    let upstream = Upstream::answering(half).await;
    let mut call = call(
        &[("api.test", upstream.address)],
        &["http GET,POST api.test /"],
    );
    let first = call.send("GET", "http://api.test/", b"").await;
    assert_eq!(text(first.unwrap()).await.unwrap().len(), size);
    let second = call.send("GET", "http://api.test/", b"").await;
    assert!(matches!(second, Err(Error::HttpResponseBodySize(None))));
    let size = usize::try_from(HTTP_BYTES_OUT_MAX).unwrap();
    let large = call.send("POST", "http://api.test/", &vec![0; size]).await;
    assert!(matches!(large, Err(Error::HttpRequestBodySize(None))));
}

#[tokio::test]
async fn an_answer_that_never_ends_is_cut_at_the_deadline_of_the_call() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let upstream = Upstream::then(
        head,
        After::Repeat(b"1\r\nx\r\n", Duration::from_millis(20)),
    )
    .await;
    let mut call = call(&[("api.test", upstream.address)], &["http GET api.test /"]);
    call.hooks.deadline = Instant::now() + Duration::from_millis(300);
    let answer = call.send("GET", "http://api.test/", b"").await.unwrap();
    let cut = text(answer).await;
    assert!(matches!(cut, Err(Error::HttpResponseTimeout)), "{cut:?}");
    assert!(call.effect("http GET api.test").bytes_in > 0);
}

#[tokio::test]
async fn a_guest_can_set_no_field_that_belongs_to_the_connection() {
    let mut call = call(&[], &[]);
    let both: [&mut dyn WasiHttpHooks; 2] = [&mut call.hooks, &mut Denied];
    for hooks in both {
        let filter = hooks.forbidden_header_filter();
        for name in [
            "host",
            "connection",
            "keep-alive",
            "proxy-authorization",
            "proxy-anything",
            "transfer-encoding",
            "te",
            "upgrade",
            "expect",
            "http2-settings",
            "alt-svc",
        ] {
            assert!(filter(&HeaderName::from_static(name)), "{name}");
        }
        for name in ["accept", "authorization", "content-length", "x-any"] {
            assert!(!filter(&HeaderName::from_static(name)), "{name}");
        }
    }
}

#[tokio::test]
async fn an_empty_body_is_sent_as_none() {
    let upstream = Upstream::answering(OK).await;
    let mut call = call(&[("api.test", upstream.address)], &["http GET api.test /"]);
    let body = Empty::new().map_err(Into::into).boxed_unsync();
    let request = Request::get("http://api.test/").body(body).unwrap();
    let answer = call.hooks.send_request(request, None, done());
    let _ = Box::into_pin(answer).await.unwrap();
    let seen = &upstream.seen()[0];
    assert!(
        !seen.contains("chunked") && !seen.contains("content-length"),
        "{seen}"
    );
}

/// A call whose one scope stands on a consent that can be revoked.
fn revocable(upstream: &Upstream, running: &RunningCalls) -> (Call, RunningCall) {
    let capability: crate::capability::Capability = "http GET,POST api.test /".parse().unwrap();
    let entered = running.enter();
    assert!(entered.hold(entered.look(), [Uuid::nil()]));
    let standing = entered.stand([(capability.clone(), vec![Uuid::nil()])]);
    let Call { hooks, meter } = call(&[("api.test", upstream.address)], &[]);
    let scopes = vec![(scope("http GET,POST api.test /"), standing.of(&capability))];
    let whose = Whose::of(["ana"]);
    let hooks = Hooks::new(hooks.egress, scopes, &whose, meter.clone(), hooks.deadline);
    (Call { hooks, meter }, entered)
}

/// Revokes, and the call is stopped, which the registry waits for.
async fn revoke(running: &RunningCalls, entered: RunningCall) {
    let ids = [Uuid::nil()];
    tokio::join!(running.revoke(&ids), async { drop(entered) });
}

#[tokio::test]
async fn what_is_revoked_is_not_asked_for_again() {
    let upstream = Upstream::answering(OK).await;
    let running = RunningCalls::default();
    let (mut call, entered) = revocable(&upstream, &running);
    assert!(call.send("GET", "http://api.test/", b"").await.is_ok());
    revoke(&running, entered).await;
    let refused = call.send("GET", "http://api.test/", b"").await;
    assert!(matches!(refused, Err(Error::HttpRequestDenied)));
    assert_eq!(upstream.seen().len(), 1);
    assert_eq!(call.effect("http GET (refused)").refused, 1);
}

#[tokio::test]
async fn an_answer_that_is_on_its_way_ends_with_the_consent() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let repeat = After::Repeat(b"1\r\nx\r\n", Duration::from_millis(5));
    let upstream = Upstream::then(head, repeat).await;
    let running = RunningCalls::default();
    let (mut call, entered) = revocable(&upstream, &running);
    let answer = call.send("GET", "http://api.test/", b"").await.unwrap();
    let mut body = answer.into_body();
    assert!(body.frame().await.unwrap().is_ok());
    tokio::time::sleep(Duration::from_millis(30)).await;
    revoke(&running, entered).await;
    // Also what has come and was not read yet.
    let cut = body.frame().await.unwrap();
    assert!(matches!(cut, Err(Error::HttpRequestDenied)), "{cut:?}");
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn a_request_without_an_answer_yet_ends_with_the_consent() {
    let upstream = Upstream::then("", After::Hold).await;
    let running = RunningCalls::default();
    let (mut call, entered) = revocable(&upstream, &running);
    let sent = call.send("GET", "http://api.test/", b"");
    let revoked = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        revoke(&running, entered).await;
    };
    let (refused, ()) = tokio::join!(sent, revoked);
    assert!(matches!(refused, Err(Error::HttpRequestDenied)));
}

#[tokio::test]
async fn a_body_that_is_being_sent_ends_with_the_consent() {
    let pieces = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&pieces);
    let endless = futures_util::stream::unfold((), move |()| {
        let count = Arc::clone(&count);
        async move {
            tokio::time::sleep(Duration::from_millis(2)).await;
            count.fetch_add(1, Ordering::SeqCst);
            Some((Ok(Frame::data(Bytes::from_static(b"x"))), ()))
        }
    });
    let upstream = Upstream::then("", After::Hold).await;
    let running = RunningCalls::default();
    let (mut call, entered) = revocable(&upstream, &running);
    let request = Request::post("http://api.test/")
        .body(StreamBody::new(endless).boxed_unsync())
        .unwrap();
    let sent = Box::into_pin(call.hooks.send_request(request, None, done()));
    let revoked = async {
        while pieces.load(Ordering::SeqCst) < 10 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        revoke(&running, entered).await;
        let after = pieces.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(pieces.load(Ordering::SeqCst), after);
    };
    let (refused, ()) = tokio::join!(sent, revoked);
    assert!(matches!(refused.map(|_| ()), Err(Error::HttpRequestDenied)));
}
