//! Answers that come compressed: what the guest gets of them, and what it never gets.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;

fn gzip(contents: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(contents).unwrap();
    encoder.finish().unwrap()
}

fn answer(fields: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\n{fields}content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

async fn fetch(
    answer: Vec<u8>,
    headers: &[(&'static str, &'static str)],
    bounds: Bounds,
) -> (Result<Response<AnswerBody>, EgressError>, String) {
    let upstream = Upstream::answering(answer).await;
    let egress = bound_to(&upstream);
    let granted = [scope("http GET api.test /")];
    let admitted = egress.admit(&granted, &Method::GET, "http://api.test/");
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, value.parse().unwrap());
    }
    let (whose, body) = (Whose::of(["anybody"]), Empty::<Bytes>::new());
    let sent = egress.send(&whose, admitted.unwrap(), map, body, bounds);
    let sent = sent.await;
    (sent, upstream.seen().join(""))
}

#[tokio::test]
async fn what_came_compressed_is_decompressed_and_looks_as_if_it_never_was() {
    let contents = "all work and no play ".repeat(10_000);
    for coding in ["gzip", "GZip", "x-gzip", "identity, gzip"] {
        let fields = format!("content-encoding: {coding}\r\netag: \"a\"\r\n");
        let bytes = answer(&fields, &gzip(contents.as_bytes()));
        let (answer, _) = fetch(bytes, &[], wide()).await;
        let answer = answer.unwrap();
        let names: Vec<_> = answer.headers().keys().map(|name| name.as_str()).collect();
        assert_eq!(names, ["etag"], "{coding}");
        assert_eq!(text(answer).await.unwrap(), contents, "{coding}");
    }
    let parts = [gzip(b"one "), gzip(b"two")].concat();
    let bytes = answer("content-encoding: gzip\r\n", &parts);
    let (answer, _) = fetch(bytes, &[], wide()).await;
    assert_eq!(text(answer.unwrap()).await.unwrap(), "one two");
}

#[tokio::test]
async fn we_say_what_may_be_compressed_whatever_the_guest_says() {
    for (headers, says) in [
        (&[][..], "accept-encoding: gzip"),
        (&[("accept-encoding", "br, zstd")], "accept-encoding: gzip"),
        (&[("range", "bytes=0-9")], "accept-encoding: identity"),
    ] {
        let (_, seen) = fetch(OK.into(), headers, wide()).await;
        let lines: Vec<_> = seen
            .lines()
            .filter(|line| line.starts_with("accept-encoding"))
            .collect();
        assert_eq!(lines, [says]);
    }
}

#[tokio::test]
async fn a_bomb_ends_at_the_budget_for_what_may_be_received() {
    // 64 MiB in 64 KiB.
    let bomb = gzip(&vec![0; 64 << 20]);
    assert!(bomb.len() < 100_000);
    let bounds = Bounds {
        received: Budget::of(1 << 20),
        ..wide()
    };
    let left = bounds.received.clone();
    let bytes = answer("content-encoding: gzip\r\n", &bomb);
    let (answer, _) = fetch(bytes, &[], bounds).await;
    let mut body = answer.unwrap().into_body();
    let mut received = 0;
    let end = loop {
        match body.frame().await.unwrap() {
            Ok(frame) => {
                let data = frame.into_data().unwrap();
                assert!(data.len() <= 16 * 1024, "never more than a chunk at once");
                received += data.len();
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(end, EgressError::ResponseTooLarge), "{end}");
    assert!(received < 1 << 20, "{received}");
    assert!(left.left() < 1 << 20);
    assert!(body.frame().await.is_none(), "an error ends the body");
}

#[tokio::test]
async fn bombs_in_bombs_and_codings_that_nobody_offered_are_refused() {
    let twice = gzip(&gzip(b"x"));
    for coding in ["gzip, gzip", "br", "zstd", "deflate", "compress", "x"] {
        let fields = format!("content-encoding: {coding}\r\n");
        let (refused, _) = fetch(answer(&fields, &twice), &[], wide()).await;
        assert!(
            matches!(refused, Err(EgressError::ResponseMalformed(_))),
            "{coding}"
        );
    }
    let two = "content-encoding: gzip\r\ncontent-encoding: gzip\r\n";
    let (refused, _) = fetch(answer(two, &twice), &[], wide()).await;
    assert!(matches!(refused, Err(EgressError::ResponseMalformed(_))));
}

#[tokio::test]
async fn what_cannot_be_decompressed_is_an_error_and_not_an_end() {
    let whole = gzip("some text that is long enough".repeat(100).as_bytes());
    let mut turned = whole.clone();
    let last = turned.len() - 6;
    turned[last] ^= 1;
    let trailing = [&whole[..], b"trailing"].concat();
    let cases = [
        b"no gzip at all".to_vec(),
        whole[..whole.len() / 2].to_vec(),
        turned,
        trailing,
    ];
    for bytes in cases {
        let bytes = answer("content-encoding: gzip\r\n", &bytes);
        let (answer, _) = fetch(bytes, &[], wide()).await;
        let read = text(answer.unwrap()).await;
        assert!(
            matches!(read, Err(EgressError::ResponseMalformed(_))),
            "{read:?}"
        );
    }
    // A connection that breaks is told as such, also from below.
    let head = "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 999\r\n\r\n";
    let cut = [head.as_bytes(), &whole[..20]].concat();
    let (answer, _) = fetch(cut, &[], wide()).await;
    let read = text(answer.unwrap()).await;
    assert!(matches!(read, Err(EgressError::Broken(_))), "{read:?}");
}

#[tokio::test]
async fn an_answer_without_contents_has_nothing_to_be_undone() {
    let head = "HTTP/1.1 304 Not Modified\r\ncontent-encoding: gzip\r\n\r\n";
    let (answer, _) = fetch(head.into(), &[], wide()).await;
    assert_eq!(text(answer.unwrap()).await.unwrap(), "");
}
