//! What goes over a connection, and where it ends.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::StreamExt;
use http_body_util::{Full, StreamBody};
use hyper::body::Frame;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::testing::After;
use super::*;

const HEAD: &str = "HTTP/1.1 200 OK\r\n";

async fn send<B>(
    upstream: &Upstream,
    headers: &[(&'static str, &'static str)],
    body: B,
    bounds: Bounds,
) -> Result<Response<AnswerBody>, EgressError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let egress = bound_to(upstream);
    let granted = [scope("http GET,POST api.test /")];
    let admitted = egress.admit(&granted, &Method::POST, "http://api.test/x")?;
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().unwrap());
    }
    let whose = Whose::of(["anybody"]);
    egress.send(&whose, admitted, map, body, bounds).await
}

async fn ask(answer: impl Into<Vec<u8>>) -> Result<String, EgressError> {
    let upstream = Upstream::answering(answer).await;
    let sent = send(&upstream, &[], Empty::<Bytes>::new(), wide()).await?;
    text(sent).await
}

fn chunks(
    frames: Vec<Frame<Bytes>>,
) -> impl Body<Data = Bytes, Error = std::io::Error> + Send + 'static {
    StreamBody::new(futures_util::stream::iter(
        frames.into_iter().map(Ok::<_, std::io::Error>),
    ))
}

#[tokio::test]
async fn a_forged_host_and_fields_of_the_connection_are_ours() {
    let upstream = Upstream::answering(OK).await;
    let forged = [
        ("host", "other.test"),
        ("connection", "keep-alive, x-hop"),
        ("x-hop", "1"),
        ("proxy-authorization", "Basic x"),
        ("upgrade", "h2c"),
        ("expect", "100-continue"),
        ("te", "trailers"),
        ("alt-used", "other.test"),
        ("accept", "text/plain"),
    ];
    send(&upstream, &forged, Empty::<Bytes>::new(), wide())
        .await
        .unwrap();
    let seen = &upstream.seen()[0];
    let fields: Vec<_> = seen
        .lines()
        .skip(1)
        .filter(|line| !line.is_empty())
        .collect();
    assert_eq!(fields.len(), 4, "{seen}");
    for ours in [
        "host: api.test",
        "accept: text/plain",
        "accept-encoding: gzip",
        "content-length: 0",
    ] {
        assert!(fields.contains(&ours), "{seen}");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let other = Upstream::answering(OK).await;
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{}/\r\ncontent-length: 0\r\n\r\n",
        other.address
    );
    let upstream = Upstream::answering(redirect).await;
    let answer = send(&upstream, &[], Empty::<Bytes>::new(), wide()).await;
    assert_eq!(answer.unwrap().status(), 307);
    assert!(other.saw_nobody().await);
}

#[tokio::test]
async fn fields_of_the_connection_do_not_come_back() {
    let answer = format!(
        "{HEAD}content-length: 2\r\nconnection: close, x-hop\r\nx-hop: 1\r\nkeep-alive: 1\r\n\
         proxy-authenticate: x\r\nalt-svc: h3=\":443\"\r\nx-kept: 1\r\n\r\nok"
    );
    let upstream = Upstream::answering(answer).await;
    let answer = send(&upstream, &[], Empty::<Bytes>::new(), wide()).await;
    let answer = answer.unwrap();
    let names: Vec<_> = answer.headers().keys().map(|name| name.as_str()).collect();
    assert_eq!(names, ["content-length", "x-kept"]);
}

#[tokio::test]
async fn an_answer_with_two_ends_is_refused() {
    for framing in [
        "content-length: 2\r\ncontent-length: 2\r\n",
        "content-length: 2\r\ncontent-length: 3\r\n",
        "content-length: 2, 2\r\n",
        "content-length: +2\r\n",
        "content-length: 2\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: gzip, chunked\r\n",
        "transfer-encoding: identity\r\n",
    ] {
        let answer = ask(format!("{HEAD}{framing}\r\nok")).await;
        assert!(
            matches!(answer, Err(EgressError::ResponseMalformed(_))),
            "{framing}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn a_request_with_two_ends_is_not_sent() {
    for framing in [
        &[("content-length", "2"), ("content-length", "2")][..],
        &[("content-length", "2"), ("transfer-encoding", "chunked")],
        &[("content-length", "+2")],
    ] {
        let upstream = Upstream::answering(OK).await;
        let body = Full::new(Bytes::from_static(b"ok"));
        let sent = send(&upstream, framing, body, wide()).await;
        assert!(matches!(sent, Err(EgressError::RequestMalformed(_))));
        assert!(upstream.seen().is_empty());
    }
}

#[tokio::test]
async fn a_body_of_another_length_than_declared_is_cut() {
    for body in ["longer than that", "x"] {
        let upstream = Upstream::answering(OK).await;
        let body = chunks(vec![Frame::data(Bytes::from_static(body.as_bytes()))]);
        let sent = send(&upstream, &[("content-length", "5")], body, wide()).await;
        assert!(
            matches!(sent, Err(EgressError::RequestMalformed(_))),
            "{sent:?}"
        );
    }
}

#[tokio::test]
async fn a_flood_of_fields_is_refused() {
    let many = (0..40_000).fold(HEAD.to_owned(), |head, place| {
        head + &format!("x-{place}: 1\r\n")
    });
    let large = format!("{HEAD}x: {}\r\n", "a".repeat(1 << 20));
    for head in [many, large] {
        let answer = ask(format!("{head}content-length: 2\r\n\r\nok")).await;
        assert!(
            matches!(answer, Err(EgressError::HeadersTooLarge)),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_by_its_announcement_or_at_the_limit() {
    let bounds = || Bounds {
        received: Budget::of(10_000),
        ..wide()
    };
    let announced = Upstream::answering(format!("{HEAD}content-length: 10001\r\n\r\n")).await;
    let refused = send(&announced, &[], Empty::<Bytes>::new(), bounds()).await;
    assert!(matches!(refused, Err(EgressError::ResponseTooLarge)));
    const CHUNK: &[u8] = b"10\r\n0123456789abcdef\r\n";
    let endless = Upstream::then(
        format!("{HEAD}transfer-encoding: chunked\r\n\r\n"),
        After::Repeat(CHUNK, Duration::ZERO),
    )
    .await;
    let answer = send(&endless, &[], Empty::<Bytes>::new(), bounds()).await;
    let mut body = answer.unwrap().into_body();
    let mut received = 0;
    let end = loop {
        match body.frame().await.unwrap() {
            Ok(frame) => received += frame.into_data().unwrap().len(),
            Err(error) => break error,
        }
    };
    assert!(matches!(end, EgressError::ResponseTooLarge));
    assert!((9_000..10_000).contains(&received), "{received}");
    assert!(body.frame().await.is_none(), "an error ends the body");
}

#[tokio::test]
async fn more_than_may_be_sent_is_not_sent() {
    let bounds = || Bounds {
        sent: Budget::of(1_000),
        ..wide()
    };
    let upstream = Upstream::answering(OK).await;
    let body = chunks(vec![Frame::data(Bytes::from(vec![b'x'; 600]))]);
    send(&upstream, &[], body, bounds()).await.unwrap();
    let twice = || {
        vec![600, 600]
            .into_iter()
            .map(|size| Frame::data(Bytes::from(vec![b'x'; size])))
    };
    let refused = send(&upstream, &[], chunks(twice().collect()), bounds()).await;
    assert!(
        matches!(refused, Err(EgressError::RequestTooLarge)),
        "{refused:?}"
    );
    let declared = [("content-length", "1200")];
    let refused = send(&upstream, &declared, chunks(twice().collect()), bounds()).await;
    assert!(matches!(refused, Err(EgressError::RequestTooLarge)));
}

#[tokio::test]
async fn budgets_hold_over_all_requests_and_count_heads() {
    let upstream = Upstream::answering(OK).await;
    let (sent, received) = (Budget::of(1_000), Budget::of(50));
    let bounds = || Bounds {
        sent: sent.clone(),
        received: received.clone(),
        ..wide()
    };
    let answer = send(&upstream, &[], Empty::<Bytes>::new(), bounds()).await;
    text(answer.unwrap()).await.unwrap();
    assert!(sent.left() < 1_000);
    assert!(received.left() < 48, "two bytes and their head");
    loop {
        match send(&upstream, &[], Empty::<Bytes>::new(), bounds()).await {
            Ok(answer) => {
                text(answer).await.ok();
            }
            Err(error) => {
                assert!(matches!(error, EgressError::ResponseTooLarge), "{error}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_never_ends_is_cut_at_the_deadline() {
    let began = Instant::now();
    for after in [
        After::Hold,
        After::Repeat(b"1\r\nx\r\n", Duration::from_millis(20)),
    ] {
        let upstream =
            Upstream::then(format!("{HEAD}transfer-encoding: chunked\r\n\r\n"), after).await;
        let bounds = Bounds {
            deadline: Instant::now() + Duration::from_millis(300),
            ..wide()
        };
        let answer = send(&upstream, &[], Empty::<Bytes>::new(), bounds).await;
        let cut = text(answer.unwrap()).await;
        assert!(matches!(cut, Err(EgressError::OutOfTime)), "{cut:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_guests_own_timeouts_hold_and_zero_is_one_of_them() {
    let silent = Upstream::then("", After::Hold).await;
    for wait in [Duration::ZERO, Duration::from_millis(50)] {
        let bounds = Bounds {
            first_byte: Some(wait),
            ..wide()
        };
        let late = send(&silent, &[], Empty::<Bytes>::new(), bounds).await;
        assert!(matches!(late, Err(EgressError::OutOfTime)));
    }
    let slow = Upstream::then(format!("{HEAD}content-length: 9\r\n\r\nx"), After::Hold).await;
    for wait in [Duration::ZERO, Duration::from_millis(50), Duration::MAX] {
        let bounds = Bounds {
            between_bytes: Some(wait),
            deadline: Instant::now() + Duration::from_millis(500),
            ..wide()
        };
        let answer = send(&slow, &[], Empty::<Bytes>::new(), bounds).await;
        let late = text(answer.unwrap()).await;
        assert!(matches!(late, Err(EgressError::OutOfTime)), "{late:?}");
    }
    let bounds = Bounds {
        connect: Some(Duration::ZERO),
        ..wide()
    };
    let upstream = Upstream::answering(OK).await;
    if let Err(error) = send(&upstream, &[], Empty::<Bytes>::new(), bounds).await {
        assert!(error.is_denied(), "{error}");
    }
}

#[tokio::test]
async fn a_request_body_that_never_ends_is_given_up_at_the_deadline() {
    let upstream = Upstream::answering(OK).await;
    let body = StreamBody::new(futures_util::stream::pending::<
        Result<Frame<Bytes>, std::io::Error>,
    >());
    let bounds = Bounds {
        deadline: Instant::now() + Duration::from_millis(200),
        ..wide()
    };
    let late = send(&upstream, &[], body, bounds).await;
    assert!(matches!(late, Err(EgressError::OutOfTime)), "{late:?}");
}

#[tokio::test]
async fn trailers_are_filtered_both_ways() {
    let answer = format!(
        "{HEAD}transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-sum: 1\r\nhost: evil\r\n\
         connection: x\r\nproxy-a: x\r\nset-cookie: x\r\ncontent-length: 9\r\n\r\n"
    );
    let upstream = Upstream::answering(answer).await;
    let mut trailers = HeaderMap::new();
    for name in ["x-sum", "host", "authorization", "transfer-encoding"] {
        trailers.insert(name, "1".parse().unwrap());
    }
    let body = chunks(vec![
        Frame::data(Bytes::from_static(b"ok")),
        Frame::trailers(trailers),
    ]);
    let announced = [("trailer", "x-sum, host, authorization, transfer-encoding")];
    let answer = send(&upstream, &announced, body, wide()).await.unwrap();
    let collected = answer.into_body().collect().await.unwrap();
    let back: Vec<_> = collected
        .trailers()
        .unwrap()
        .keys()
        .map(|name| name.as_str())
        .collect();
    assert_eq!(back, ["x-sum"]);
    let seen = &upstream.seen()[0];
    assert!(seen.ends_with("\r\n0\r\nx-sum: 1\r\n\r\n"), "{seen}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_an_error() {
    let short = ask(format!("{HEAD}content-length: 9\r\n\r\nok")).await;
    assert!(matches!(short, Err(EgressError::Broken(_))), "{short:?}");
    let nothing = ask("").await;
    assert!(
        matches!(nothing, Err(EgressError::Broken(_))),
        "{nothing:?}"
    );
}

#[tokio::test]
async fn what_is_not_http_is_no_answer() {
    for strange in [
        "SSH-2.0-OpenSSH_9.6\r\n\r\n",
        "HTTP/0.9 hello\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\r\n folded\r\ncontent-length: 0\r\n\r\n",
    ] {
        let answer = ask(strange).await;
        assert!(
            matches!(answer, Err(EgressError::ResponseMalformed(_))),
            "{strange:?}: {answer:?}"
        );
    }
}

#[tokio::test]
async fn an_interim_answer_is_passed_over_and_a_change_of_protocol_is_refused() {
    let interim = ask(format!("HTTP/1.1 103 Early Hints\r\n\r\n{OK}")).await;
    assert_eq!(interim.unwrap(), "ok");
    let change = ask("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n").await;
    assert!(
        matches!(change, Err(EgressError::ResponseMalformed(_))),
        "{change:?}"
    );
}

#[tokio::test]
async fn the_reading_of_an_error_reveals_no_address() {
    let upstream = Upstream::answering("nonsense\r\n\r\n").await;
    let error = send(&upstream, &[], Empty::<Bytes>::new(), wide()).await;
    let closed = Egress::new(
        vec![bound("api.test", "127.0.0.1:1".parse().unwrap(), false)],
        Vec::new(),
        Arc::new(NoNames),
    )
    .unwrap();
    let denied = get(&closed, "http GET api.test /", "http://api.test/").await;
    for error in [error.unwrap_err(), denied.unwrap_err()] {
        assert!(!error.to_string().contains("127"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_reads_slowly_slows_whoever_sends() {
    const PIECE: usize = 16 * 1024;
    // More than all sockets on the way hold.
    const PIECES: usize = 4_096;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (go, wait) = tokio::sync::oneshot::channel::<()>();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        wait.await.unwrap();
        let (mut buffer, mut sent, mut last) = (vec![0; 256 * 1024], 0, Vec::new());
        while !last.ends_with(b"0\r\n\r\n") {
            let read = stream.read(&mut buffer).await.unwrap();
            sent += buffer[..read]
                .iter()
                .filter(|byte| **byte == b'\x07')
                .count();
            last.extend_from_slice(&buffer[..read]);
            last.drain(..last.len().saturating_sub(8));
        }
        stream.write_all(OK.as_bytes()).await.unwrap();
        sent
    });
    let taken = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&taken);
    let pieces = futures_util::stream::iter(0..PIECES).map(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok::<_, std::io::Error>(Frame::data(Bytes::from(vec![b'\x07'; PIECE])))
    });
    let egress = Egress::new(
        vec![bound("api.test", address, false)],
        Vec::new(),
        Arc::new(NoNames),
    );
    let egress = egress.unwrap();
    let admitted = egress.admit(
        &[scope("http POST api.test /")],
        &Method::POST,
        "http://api.test/",
    );
    let bounds = Bounds {
        sent: Budget::of(1 << 30),
        ..wide()
    };
    let whose = Whose::of(["anybody"]);
    let sent = egress.send(
        &whose,
        admitted.unwrap(),
        HeaderMap::new(),
        StreamBody::new(pieces),
        bounds,
    );
    let watched = async {
        let mut before = usize::MAX;
        // Until nothing moves any more.
        while taken.load(Ordering::SeqCst) != before || before == 0 {
            before = taken.load(Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        go.send(()).unwrap();
        before
    };
    let (answer, while_blocked) = tokio::join!(sent, watched);
    assert!(answer.is_ok());
    assert_eq!(server.await.unwrap(), PIECES * PIECE, "all of it came");
    assert!(
        while_blocked < PIECES,
        "{while_blocked} pieces were taken that nobody read"
    );
}
