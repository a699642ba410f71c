//! What one grant may use of a call.

use super::*;

const FIFTY: &str = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n\
                     01234567890123456789012345678901234567890123456789";

#[tokio::test]
async fn a_grant_has_so_many_requests_and_another_grant_its_own() {
    let upstream = Upstream::answering(OK).await;
    let mut call = call(
        &[("api.test", upstream.address)],
        &[
            "http GET api.test /a/ requests=2",
            "http GET api.test /b/ requests=1",
        ],
    );
    for (path, granted) in [
        ("a/", true),
        ("a/", true),
        ("a/", false),
        ("b/", true),
        ("b/", false),
    ] {
        let url = format!("http://api.test/{path}");
        let sent = call.send("GET", &url, b"").await;
        match granted {
            true => drop(sent.unwrap()),
            false => assert!(matches!(sent, Err(Error::ConnectionLimitReached)), "{path}"),
        }
    }
    assert_eq!(call.effect("http GET api.test").count, 3);
    assert_eq!(call.effect("http GET (refused)").refused, 2);
}

#[tokio::test]
async fn a_request_goes_under_another_grant_that_allows_it_when_one_is_used_up() {
    let upstream = Upstream::answering(OK).await;
    let mut call = call(
        &[("api.test", upstream.address)],
        &[
            "http GET api.test / requests=1",
            "http GET,HEAD api.test /a/ requests=2",
        ],
    );
    for _ in 0..3 {
        call.send("GET", "http://api.test/a/", b"").await.unwrap();
    }
    let spent = call.send("GET", "http://api.test/a/", b"").await;
    assert!(matches!(spent, Err(Error::ConnectionLimitReached)));
}

#[tokio::test]
async fn the_bytes_of_a_grant_are_its_own_and_count_for_the_call() {
    let upstream = Upstream::answering(FIFTY).await;
    let mut call = call(
        &[("api.test", upstream.address)],
        &[
            "http GET,POST api.test /a/ send=200 receive=130",
            "http GET,POST api.test /b/",
        ],
    );
    let first = call.send("GET", "http://api.test/a/", b"").await;
    assert_eq!(text(first.unwrap()).await.unwrap().len(), 50);
    let second = call.send("GET", "http://api.test/a/", b"").await;
    let second = match second {
        Ok(answer) => text(answer).await.map(drop),
        Err(error) => Err(error),
    };
    assert!(matches!(second, Err(Error::HttpResponseBodySize(None))));
    let large = call.send("POST", "http://api.test/a/", &[0; 300]).await;
    assert!(matches!(large, Err(Error::HttpRequestBodySize(None))));
    let other = call.send("POST", "http://api.test/b/", &[0; 300]).await;
    assert_eq!(text(other.unwrap()).await.unwrap().len(), 50);
}

#[tokio::test]
async fn one_request_takes_no_longer_than_its_grant_says() {
    let upstream = Upstream::then("", After::Hold).await;
    let mut call = call(
        &[("api.test", upstream.address)],
        &["http GET api.test / ms=200"],
    );
    let began = Instant::now();
    let late = call.send("GET", "http://api.test/", b"").await;
    assert!(matches!(late, Err(Error::HttpResponseTimeout)));
    assert!(began.elapsed() >= Duration::from_millis(200));
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn so_many_answers_are_open_at_once_and_one_more_when_one_is_let_go() {
    let upstream = Upstream::answering(OK).await;
    let mut call = call(
        &[("api.test", upstream.address)],
        &["http GET api.test /a/ parallel=2", "http GET api.test /b/"],
    );
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(call.send("GET", "http://api.test/a/", b"").await.unwrap());
    }
    let third = call.send("GET", "http://api.test/a/", b"").await;
    assert!(matches!(third, Err(Error::ConnectionLimitReached)));
    open.pop();
    open.push(call.send("GET", "http://api.test/a/", b"").await.unwrap());
    // The call as a whole has eight places.
    for _ in 0..6 {
        open.push(call.send("GET", "http://api.test/b/", b"").await.unwrap());
    }
    let ninth = call.send("GET", "http://api.test/b/", b"").await;
    assert!(matches!(ninth, Err(Error::ConnectionLimitReached)));
    open.clear();
    call.send("GET", "http://api.test/b/", b"").await.unwrap();
}

/// A call with what is left of this.
fn with_allowance(upstream: &Upstream, scopes: &[&str], allowance: &Allowance) -> Call {
    let alone = call(&[("api.test", upstream.address)], scopes);
    let scopes = scopes.iter().map(|text| (scope(text), Live::free()));
    let hooks = Hooks::within(
        Arc::clone(&alone.hooks.egress),
        scopes.collect(),
        &Whose::of(["ana"]),
        alone.meter.clone(),
        alone.hooks.deadline,
        allowance,
    );
    Call { hooks, ..alone }
}

#[tokio::test]
async fn calls_within_a_call_use_up_the_budget_of_its_grant_together() {
    let upstream = Upstream::answering(OK).await;
    let allowance = Allowance::default();
    let mut outer = with_allowance(
        &upstream,
        &["http GET api.test / requests=3", "http POST api.test /"],
        &allowance,
    );
    let url = "http://api.test/a";
    outer.send("GET", url, b"").await.unwrap();
    for granted in [true, true, false] {
        let scopes = ["http GET api.test /a requests=2"];
        let mut inner = with_allowance(&upstream, &scopes, &allowance.inner());
        let sent = inner.send("GET", url, b"").await;
        assert_eq!(sent.is_ok(), granted, "{:?}", sent.err());
    }
    let spent = outer.send("GET", url, b"").await;
    assert!(matches!(spent, Err(Error::ConnectionLimitReached)));
    // What lies in no grant of the call around is not there, whoever says that it was granted.
    let scopes = ["http DELETE api.test /"];
    let mut inner = with_allowance(&upstream, &scopes, &allowance.inner());
    let denied = inner.send("DELETE", url, b"").await;
    assert!(
        matches!(denied, Err(Error::HttpRequestDenied)),
        "{denied:?}"
    );
}

#[tokio::test]
async fn answers_that_a_call_within_does_not_read_count_for_the_grant_around_it() {
    let upstream = Upstream::answering(OK).await;
    let allowance = Allowance::default();
    let scopes = ["http GET api.test / parallel=1"];
    let mut outer = with_allowance(&upstream, &scopes, &allowance);
    let url = "http://api.test/";
    let unread = outer.send("GET", url, b"").await.unwrap();
    let mut inner = with_allowance(&upstream, &scopes, &allowance.inner());
    let second = inner.send("GET", url, b"").await;
    assert!(matches!(second, Err(Error::ConnectionLimitReached)));
    drop(unread);
    inner.send("GET", url, b"").await.unwrap();
}
