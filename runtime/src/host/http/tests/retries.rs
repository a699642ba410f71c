//! Requests that are made again.

use super::*;
use crate::config::Retry;

const BUSY: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy";
const LATER: &str = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n";
const MUCH_LATER: &str =
    "HTTP/1.1 503 Service Unavailable\r\nretry-after: 3600\r\ncontent-length: 0\r\n\r\n";

fn patient(address: SocketAddr, attempts: u32, scopes: &[&str]) -> Call {
    let hosts = vec![bound("api.test", address, false)];
    let egress = Egress::new(hosts, Vec::new(), Arc::new(NoNames)).unwrap();
    let retry = Retry {
        attempts,
        first: Duration::from_millis(5),
        most: Duration::from_millis(20),
    };
    call_over(egress.with_retry(retry), scopes)
}

const ALL: &[&str] = &["http DELETE,GET,POST,PUT api.test /"];

#[tokio::test]
async fn a_busy_server_is_asked_again_as_often_as_the_operator_says() {
    let upstream = Upstream::keeping(&[BUSY, BUSY, OK]).await;
    let mut call = patient(upstream.address, 3, ALL);
    let answer = call.send("GET", "http://api.test/", b"").await.unwrap();
    assert_eq!((answer.status().as_u16(), upstream.seen().len()), (200, 3));
    assert_eq!(
        call.effect("http GET api.test").count,
        3,
        "each is recorded"
    );
    let upstream = Upstream::keeping(&[BUSY, BUSY, OK]).await;
    let mut call = patient(upstream.address, 2, ALL);
    let answer = call.send("GET", "http://api.test/", b"").await.unwrap();
    assert_eq!((answer.status().as_u16(), upstream.seen().len()), (503, 2));
    assert_eq!(text(answer).await.unwrap(), "busy");
}

#[tokio::test]
async fn without_the_operators_word_nothing_is_made_again() {
    let upstream = Upstream::keeping(&[BUSY, OK]).await;
    let mut call = call(&[("api.test", upstream.address)], ALL);
    let answer = call.send("GET", "http://api.test/", b"").await.unwrap();
    assert_eq!((answer.status().as_u16(), upstream.seen().len()), (503, 1));
}

#[tokio::test]
async fn what_cannot_be_repeated_is_not() {
    for (method, body, times) in [
        ("POST", &b""[..], 1),
        ("PUT", b"contents", 1),
        ("PUT", b"", 2),
        ("DELETE", b"", 2),
    ] {
        let upstream = Upstream::keeping(&[BUSY, OK]).await;
        let mut call = patient(upstream.address, 3, ALL);
        call.send(method, "http://api.test/", body).await.unwrap();
        assert_eq!(upstream.seen().len(), times, "{method}");
    }
}

#[tokio::test]
async fn the_server_is_waited_for_as_it_asks_and_not_beyond_the_deadline() {
    let upstream = Upstream::keeping(&[LATER, OK]).await;
    let mut call = patient(upstream.address, 3, ALL);
    let began = Instant::now();
    let answer = call.send("GET", "http://api.test/", b"").await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(began.elapsed() >= Duration::from_secs(1));
    let upstream = Upstream::keeping(&[MUCH_LATER, OK]).await;
    let mut call = patient(upstream.address, 3, ALL);
    let answer = call.send("GET", "http://api.test/", b"").await.unwrap();
    assert_eq!((answer.status().as_u16(), upstream.seen().len()), (503, 1));
}

#[tokio::test]
async fn attempts_are_requests_of_the_budget() {
    let upstream = Upstream::keeping(&[BUSY]).await;
    let one = &["http GET api.test / requests=2"];
    let mut call = patient(upstream.address, 5, one);
    let answer = call.send("GET", "http://api.test/", b"").await.unwrap();
    assert_eq!((answer.status().as_u16(), upstream.seen().len()), (503, 2));
    let spent = call.send("GET", "http://api.test/", b"").await;
    assert!(matches!(spent, Err(Error::ConnectionLimitReached)));
}

#[tokio::test]
async fn a_connection_that_breaks_is_tried_again_and_a_refusal_is_not() {
    let upstream = Upstream::answering("").await;
    let mut call = patient(upstream.address, 3, ALL);
    let broken = call.send("GET", "http://api.test/", b"").await;
    assert!(matches!(broken, Err(Error::HttpResponseIncomplete)));
    assert_eq!(upstream.seen().len(), 3);
    let mut call = patient("127.0.0.1:1".parse().unwrap(), 3, ALL);
    let closed = call.send("GET", "http://api.test/", b"").await;
    assert!(matches!(closed, Err(Error::HttpRequestDenied)));
    let effect = call.effect("http GET api.test");
    assert_eq!(
        (effect.count, effect.refused),
        (1, 1),
        "a closed port looks like a rule"
    );
}

#[tokio::test]
async fn what_is_revoked_is_not_made_again() {
    let upstream = Upstream::keeping(&[LATER, OK]).await;
    let running = RunningCalls::default();
    let (call, entered) = revocable(&upstream, &running);
    let hosts = vec![bound("api.test", upstream.address, false)];
    let egress = Egress::new(hosts, Vec::new(), Arc::new(NoNames)).unwrap();
    let retry = Retry {
        attempts: 3,
        ..Retry::default()
    };
    let mut call = call;
    call.hooks.egress = Arc::new(egress.with_retry(retry));
    let sent = call.send("GET", "http://api.test/", b"");
    let revoked = async {
        while upstream.seen().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        revoke(&running, entered).await;
    };
    let (refused, ()) = tokio::join!(sent, revoked);
    assert!(matches!(refused, Err(Error::HttpRequestDenied)));
    assert_eq!(upstream.seen().len(), 1);
}
