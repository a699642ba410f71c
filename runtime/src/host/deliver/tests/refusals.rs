//! Requests that are not sent, each with what is recorded of it.

use super::*;

async fn refused(call: &mut Call, fields: &[(&str, &str)], body: &str) -> bool {
    matches!(call.post(fields, body).await, Err(Error::HttpRequestDenied))
}

#[tokio::test]
async fn what_may_not_be_delivered_there_is_refused_with_its_request_whether_it_is_known_or_not() {
    let keep = Keep::new().await;
    let own = owner("acme", "crm");
    let upstream = Upstream::answering(OK).await;
    let mut call = Call::new(upstream.address, &keep.seals, &[GRANT]);
    let others = [
        keep.put(&owner("other", "crm"), "email", "keep:/email", EMAIL)
            .await,
        keep.put(&owner("acme", "other"), "email", "keep:/email", EMAIL)
            .await,
        keep.put(&own, "phone", "keep:/email", EMAIL).await,
        keep.put(&own, "email", "keep:/cc", EMAIL).await,
        Handle::new([3; 16], None).to_string(),
        // It would be found in any text, or could not be looked for.
        keep.email_of("a@b.c").await,
        keep.email_of(&"x".repeat(5_000)).await,
    ];
    for (nth, handle) in others.iter().enumerate() {
        assert!(refused(&mut call, PLAIN, handle).await, "{nth}");
        let refused = call.effect("deliver (refused)");
        assert_eq!(
            (refused.count, refused.refused),
            (size(nth) + 1, size(nth) + 1)
        );
    }
    // Of several values none goes where one may not.
    let both = format!("{} {}", keep.email().await, others[0]);
    assert!(refused(&mut call, PLAIN, &both).await);
    assert!(upstream.saw_nobody().await && !call.courier.has_begun());
}

#[tokio::test]
async fn a_handle_where_no_value_can_stand_or_that_not_everybody_finds_is_refused() {
    let keep = Keep::new().await;
    let email = keep.email().await;
    let escaped = email.replace('s', "\\u0073");
    let percent = email.replace('s', "%73");
    let upstream = Upstream::answering(OK).await;
    let mut call = Call::new(upstream.address, &keep.seals, &[GRANT]);
    for (fields, body) in [
        (PLAIN, escaped.clone()),
        (PLAIN, percent.clone()),
        (JSON, format!("\"{percent}\"")),
        (JSON, format!("{{\"{email}\": 1}}")),
        (JSON, email.clone()),
        (FORM, format!("{email}=1")),
        (&[("content-type", "text/html")], email.clone()),
        (&[], email.clone()),
        (&[PLAIN[0], ("content-encoding", "gzip")], "x".to_owned()),
        (
            &[("content-type", "text/plain; charset=utf-16")],
            "x".to_owned(),
        ),
        (&[("content-type", email.as_str())], "x".to_owned()),
        (&[PLAIN[0], ("x-to", percent.as_str())], "x".to_owned()),
        (&[PLAIN[0], (email.as_str(), "x")], "x".to_owned()),
    ] {
        assert!(refused(&mut call, fields, &body).await, "{fields:?} {body}");
    }
    for url in [
        format!("http://api.test/{email}"),
        format!("http://api.test/{percent}"),
        format!("http://api.test/?{email}"),
        format!("http://api.test/?a={}", percent.replace('%', "%25")),
    ] {
        let sent = call.send(("GET", &url), &[], bytes("")).await;
        assert!(matches!(sent, Err(Error::HttpRequestDenied)), "{url}");
    }
    let trailers = hyper::body::Frame::trailers(HeaderMap::new());
    let body = vec![hyper::body::Frame::data(Bytes::from(email)), trailers];
    let sent = call
        .send(("POST", "http://api.test/"), PLAIN, pieces(body))
        .await;
    assert!(matches!(sent, Err(Error::HttpProtocolError)));
    assert!(upstream.saw_nobody().await && !call.courier.has_begun());
}

#[tokio::test]
async fn a_call_delivers_so_much_and_no_more() {
    let keep = Keep::new().await;
    let email = keep.email().await;
    let upstream = Upstream::answering(OK).await;
    let mut call = Call::new(upstream.address, &keep.seals, &[GRANT]);
    let most = usize::try_from(DELIVERIES_MAX).unwrap();
    let many = format!("{email} ").repeat(most - 1);
    assert!(!refused(&mut call, PLAIN, &many).await);
    assert!(refused(&mut call, PLAIN, &format!("{email} {email}")).await);
    assert!(!refused(&mut call, PLAIN, &email).await);
    assert!(refused(&mut call, PLAIN, &email).await);
    assert!(!refused(&mut call, PLAIN, "nothing").await);

    let long = keep.email_of(&"y".repeat(4_000)).await;
    let mut call = Call::new(upstream.address, &keep.seals, &[GRANT]);
    assert!(!refused(&mut call, PLAIN, &format!("{long} {long}")).await);
    assert!(refused(&mut call, PLAIN, &long).await);
    let large = "x".repeat(DELIVERED_BODY_BYTES_MAX + 1);
    let sent = call.post(PLAIN, &large).await;
    assert!(matches!(sent, Err(Error::HttpRequestBodySize(None))));
}

#[tokio::test]
async fn a_value_whose_key_is_gone_is_not_delivered() {
    let keep = Keep::new().await;
    let email = keep.email().await;
    let upstream = Upstream::answering(OK).await;
    // Another process, which has the key of another file.
    let keys = keep.dir.path().join("keys");
    std::fs::rename(&keys, keep.dir.path().join("before")).unwrap();
    add_version(&keys).unwrap();
    let other = seals(&keep.dir).await;
    let mut call = Call::new(upstream.address, &other, &[GRANT]);
    let sent = call.post(PLAIN, &email).await;
    assert!(matches!(sent, Err(Error::InternalError(Some(_)))));
    assert_eq!(call.effect("deliver (refused)").refused, 1);
    std::fs::rename(keep.dir.path().join("before"), &keys).unwrap();
    let again = seals(&keep.dir).await;
    let mut call = Call::new(upstream.address, &again, &[GRANT]);
    assert!(!refused(&mut call, PLAIN, &email).await);
    let tenant = "acme".parse().unwrap();
    again.erase(&tenant, SystemClock.now()).await.unwrap();
    let mut call = Call::new(upstream.address, &again, &[GRANT]);
    assert!(refused(&mut call, PLAIN, &email).await);
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_consent_that_ends_ends_what_stands_on_it() {
    let keep = Keep::new().await;
    let (email, other) = (
        keep.email().await,
        keep.email_of("second@example.com").await,
    );
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let repeat = After::Repeat(b"1\r\nx\r\n", Duration::from_millis(5));
    let upstream = Upstream::then(head, repeat).await;
    let running = RunningCalls::default();
    // One consent behind both, as one that was given for more.
    let two: [Capability; 2] = [GRANT, NAMES].map(|text| text.parse().unwrap());
    let entered = running.enter();
    assert!(entered.hold(entered.look(), [Uuid::nil()]));
    let standing = entered.stand(two.clone().map(|one| (one, vec![Uuid::nil()])));
    let grants = vec![
        (deliver(GRANT), standing.of(&two[0])),
        (deliver(NAMES), standing.of(&two[1])),
    ];
    let mut call = Call::under(upstream.address, &keep.seals, grants, Lender::default(), 1);
    let sent = call.post(PLAIN, &email).await.unwrap();
    let mut body = sent.into_body();
    assert!(body.frame().await.unwrap().is_ok());
    let ids = [Uuid::nil()];
    tokio::join!(running.revoke(&ids), async { drop(entered) });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let cut = loop {
        match body.frame().await.unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(cut, Error::HttpRequestDenied), "{cut:?}");
    assert!(refused(&mut call, PLAIN, &other).await);
    assert_eq!(upstream.seen().len(), 1);
}
