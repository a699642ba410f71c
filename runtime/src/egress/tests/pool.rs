//! Which requests share a connection, and which never do.

use http_body_util::Full;

use super::*;
use crate::egress::testing::After;
use crate::revocation::RunningCalls;

const NOT_KEPT: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok";

async fn send_as(
    egress: &Egress,
    who: &str,
    method: Method,
    body: &'static str,
    bounds: Bounds,
) -> Result<Response<AnswerBody>, EgressError> {
    let granted = [scope("http GET,HEAD,POST api.test /")];
    let admitted = egress.admit(&granted, &method, "http://api.test/x")?;
    let body = Full::new(Bytes::from_static(body.as_bytes()));
    let whose = Whose::of([who]);
    let sent = egress.send(&whose, admitted, HeaderMap::new(), body, bounds);
    sent.await
}

async fn read_as(egress: &Egress, who: &str) -> String {
    let answer = send_as(egress, who, Method::GET, "", wide()).await;
    text(answer.unwrap()).await.unwrap()
}

#[tokio::test]
async fn requests_of_one_grant_share_a_connection_one_after_the_other() {
    let upstream = Upstream::keeping(&[OK]).await;
    let egress = bound_to(&upstream);
    for _ in 0..5 {
        assert_eq!(read_as(&egress, "ana").await, "ok");
    }
    assert_eq!((upstream.seen().len(), upstream.connections()), (5, 1));
}

#[tokio::test]
async fn nobody_gets_a_connection_of_somebody_else() {
    let upstream = Upstream::keeping(&[OK]).await;
    let egress = bound_to(&upstream);
    for who in ["ana", "ben", "ana", "ben"] {
        read_as(&egress, who).await;
    }
    assert_eq!(upstream.connections(), 2);
    // Parts are told apart, wherever a border could be moved to.
    let parts = [&["ab", "c"][..], &["a", "bc"], &["abc"], &["ab", "c", ""]];
    for (place, a) in parts.iter().enumerate() {
        for b in &parts[place + 1..] {
            assert_ne!(Whose::of(a.iter().copied()), Whose::of(b.iter().copied()));
        }
    }
    assert_ne!(Whose::of(["a"]).and("b"), Whose::of(["a", "b"]).and(""));
}

#[tokio::test]
async fn what_has_a_body_neither_takes_nor_leaves_a_connection() {
    let upstream = Upstream::keeping(&[OK]).await;
    let egress = bound_to(&upstream);
    read_as(&egress, "ana").await;
    let posted = send_as(&egress, "ana", Method::POST, "hello", wide()).await;
    text(posted.unwrap()).await.unwrap();
    let empty = send_as(&egress, "ana", Method::POST, "", wide()).await;
    text(empty.unwrap()).await.unwrap();
    assert_eq!(upstream.connections(), 3);
    read_as(&egress, "ana").await;
    assert_eq!(upstream.connections(), 3, "the first one was still there");
}

#[tokio::test]
async fn an_answer_that_is_not_read_to_its_end_costs_its_connection() {
    let long = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n{}",
        "x".repeat(300_000)
    );
    let upstream = Upstream::keeping(&[&long, OK]).await;
    let egress = bound_to(&upstream);
    let unread = send_as(&egress, "ana", Method::GET, "", wide()).await;
    drop(unread.unwrap());
    assert_eq!(read_as(&egress, "ana").await, "ok");
    assert_eq!(upstream.connections(), 2);
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_not_missed() {
    for answer in [OK, NOT_KEPT] {
        // Closes after each answer, with and without saying so.
        let upstream = Upstream::answering(answer).await;
        let egress = bound_to(&upstream);
        for _ in 0..20 {
            assert_eq!(read_as(&egress, "ana").await, "ok");
        }
        assert_eq!(upstream.seen().len(), 20);
    }
}

#[tokio::test]
async fn what_a_server_says_unasked_reaches_nobody() {
    let forged = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nforged";
    let both = format!("{OK}{forged}");
    let upstream = Upstream::keeping(&[&both, OK]).await;
    let egress = bound_to(&upstream);
    for _ in 0..5 {
        assert_eq!(read_as(&egress, "ana").await, "ok");
    }
    assert!(upstream.connections() > 1);
}

#[tokio::test]
async fn a_connection_serves_under_the_consent_of_whoever_uses_it() {
    let upstream = Upstream::keeping(&[OK]).await;
    let egress = bound_to(&upstream);
    let running = RunningCalls::default();
    let entered = running.enter();
    assert!(entered.hold(entered.look(), [uuid::Uuid::nil()]));
    let capability: crate::capability::Capability = "http GET api.test /".parse().unwrap();
    let standing = entered.stand([(capability.clone(), vec![uuid::Uuid::nil()])]);
    let bounds = || Bounds {
        live: standing.of(&capability),
        ..wide()
    };
    let first = send_as(&egress, "ana", Method::GET, "", bounds()).await;
    text(first.unwrap()).await.unwrap();
    let ids = [uuid::Uuid::nil()];
    tokio::join!(running.revoke(&ids), async { drop(entered) });
    let refused = send_as(&egress, "ana", Method::GET, "", bounds()).await;
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(upstream.seen().len(), 1, "nothing was written");
    assert_eq!(read_as(&egress, "ana").await, "ok");
}

#[tokio::test]
async fn only_so_many_connections_wait_for_one_grant() {
    let upstream = Upstream::keeping(&[OK]).await;
    let egress = bound_to(&upstream);
    let at_once = (0..6).map(|_| read_as(&egress, "ana"));
    futures_util::future::join_all(at_once).await;
    let made = upstream.connections();
    let at_once = (0..6).map(|_| read_as(&egress, "ana"));
    futures_util::future::join_all(at_once).await;
    assert!(upstream.connections() >= made + 4, "two waited at most");
}

#[tokio::test]
async fn a_waiting_connection_that_answers_nothing_is_no_reason_to_wait_twice() {
    let upstream = Upstream::then(OK, After::Hold).await;
    let egress = bound_to(&upstream);
    read_as(&egress, "ana").await;
    let bounds = Bounds {
        deadline: Instant::now() + Duration::from_millis(300),
        ..wide()
    };
    let late = send_as(&egress, "ana", Method::GET, "", bounds).await;
    assert!(matches!(late, Err(EgressError::OutOfTime)), "{late:?}");
}
