//! Requests that are signed. The signatures in here were made by botocore 1.44.8 for the same requests, key and time.

mod anew;

use std::sync::atomic::{AtomicI64, Ordering};

use http::{HeaderMap, Method, Request};
use hyper::body::Frame;

use super::sources::age;
use super::vault::VaultDouble;
use super::*;
use crate::clock::{Clock, ManualClock, Timestamp};
use crate::config::AwsScope;
use crate::limits::SIGNED_BODY_BYTES_MAX;

/// 2026-11-29, 12:00:00 UTC.
const NOON: Timestamp = Timestamp(1_795_953_600_000);
const ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
const SESSION: &str = "canary-session-token/with+signs==";
const GRANT: &str = "secret tracker api.test aws-sigv4";

fn key(secret: &str, more: &str) -> String {
    format!("{{\"AccessKeyId\":\"{ID}\",\"SecretAccessKey\":\"{secret}\"{more}}}\n")
}

fn session() -> String {
    format!(",\"SessionToken\":\"{SESSION}\"")
}

fn signing(file: &str) -> SecretBinding {
    SecretBinding {
        aws: Some(AwsScope {
            region: "eu-central-1".to_owned(),
            service: "execute-api".to_owned(),
        }),
        ..binding("tracker", file, &["api.test"], "aws-sigv4")
    }
}

fn secrets_at(bindings: &[SecretBinding], clock: impl Clock) -> Secrets {
    let clock: SharedClock = Arc::new(clock);
    Secrets::new(bindings, None, &clock)
}

fn at_noon(bindings: &[SecretBinding]) -> Secrets {
    secrets_at(bindings, ManualClock::new(NOON))
}

async fn send(
    call: &mut Call,
    (method, url): (Method, &str),
    fields: &[(&str, &str)],
    body: WasiBody,
) -> Result<Response<WasiBody>, Error> {
    let mut request = Request::builder().method(method).uri(url);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let request = request.body(body).unwrap();
    let answer = call
        .hooks
        .send_request(request, None, Box::new(async { Ok(()) }));
    Box::into_pin(answer).await.map(|(response, _)| response)
}

fn bytes(body: impl Into<Bytes>) -> WasiBody {
    Full::new(body.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A body of which nobody knows beforehand how long it is.
fn pieces(all: Vec<Frame<Bytes>>) -> WasiBody {
    let all = futures_util::stream::iter(all.into_iter().map(Ok));
    http_body_util::StreamBody::new(all).boxed_unsync()
}

fn field<'a>(request: &'a str, name: &str) -> &'a str {
    let start = format!("{name}: ");
    let mut lines = request.lines();
    lines
        .find_map(|line| line.strip_prefix(&*start))
        .unwrap_or("")
}

#[tokio::test]
async fn a_request_is_signed_as_it_is_written_and_another_host_gets_nothing() {
    let folder = Folder::new();
    let file = folder.put("key.json", &key(SECRET, &session()));
    let upstream = Upstream::answering(OK).await;
    let all = at_noon(&[signing(&file)]);
    let mut call = Call::new(upstream.address, &all, &[GRANT]);
    assert!(call.lender.exists("tracker"));
    let json = [("content-type", "application/json"), ("accept", "a/b")];
    let items = (Method::POST, "http://api.test/items?b=2&a=1");
    for body in [
        bytes(r#"{"n":1}"#),
        pieces(vec![
            Frame::data(Bytes::from_static(br#"{"n""#)),
            Frame::data(Bytes::new()),
            Frame::data(Bytes::from_static(b":1}")),
        ]),
    ] {
        let answer = send(&mut call, items.clone(), &json, body).await;
        assert_eq!(text(answer.unwrap()).await, "ok");
    }
    let wanted = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261129/eu-central-1/execute-api/aws4_request, SignedHeaders=content-type;host;x-amz-date;x-amz-security-token, Signature=fe67992b129386a32a71c0f0de0f154910dd5598dab70e90d1c142f2e8707def";
    for seen in upstream.seen() {
        assert!(seen.starts_with("POST /items?b=2&a=1 HTTP/1.1\r\n"));
        assert_eq!(field(&seen, "authorization"), wanted);
        assert_eq!(field(&seen, "x-amz-date"), "20261129T120000Z");
        assert_eq!(field(&seen, "x-amz-security-token"), SESSION);
        assert_eq!(field(&seen, "content-length"), "7", "{seen}");
        assert!(seen.ends_with("\r\n\r\n{\"n\":1}"), "{seen}");
        assert!(!seen.contains(SECRET) && !seen.contains("chunked"));
    }
    call.get("http://other.test/items?b=2&a=1", &[])
        .await
        .unwrap();
    let other = upstream.seen().pop().unwrap();
    for none in ["authorization", "x-amz-date", "x-amz-security-token"] {
        assert_eq!(field(&other, none), "", "{other}");
    }
    let effects = call.meter.snapshot();
    assert_eq!(effects["secret tracker api.test"].count, 2);
    let told = format!("{effects:?} {:?} {all:?}", call.lender);
    assert!(!told.contains(SECRET) && !told.contains(SESSION));
}

#[tokio::test]
async fn what_opens_anything_is_masked_and_the_id_of_the_key_is_not() {
    let folder = Folder::new();
    let file = folder.put("key.json", &key(SECRET, &session()));
    let signature = "fe67992b129386a32a71c0f0de0f154910dd5598dab70e90d1c142f2e8707def";
    // As services explain that a signature does not match.
    let body = format!(
        "<AWSAccessKeyId>{ID}</AWSAccessKeyId><SignatureProvided>{signature}</SignatureProvided><CanonicalRequest>x-amz-security-token:{SESSION}</CanonicalRequest><Never>{SECRET}</Never>"
    );
    let answer = format!(
        "HTTP/1.1 403 Forbidden\r\nx-echo: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let upstream = Upstream::answering(answer).await;
    let all = at_noon(&[signing(&file)]);
    let mut call = Call::new(upstream.address, &all, &[GRANT]);
    let json = [("content-type", "application/json")];
    let items = (Method::POST, "http://api.test/items?b=2&a=1");
    let answer = send(&mut call, items, &json, bytes(r#"{"n":1}"#)).await;
    let answer = answer.unwrap();
    assert_eq!(answer.headers()["x-echo"], "*".repeat(64));
    let stars = body
        .replace(signature, &"*".repeat(64))
        .replace(SESSION, &"*".repeat(SESSION.len()))
        .replace(SECRET, &"*".repeat(SECRET.len()));
    assert_eq!(text(answer).await, stars);
    assert!(stars.contains(ID));
    // What the guest says afterwards as well.
    assert_eq!(call.lender.lent().text(signature), "*".repeat(64));
}

#[tokio::test]
async fn a_guest_that_sets_a_field_of_the_signature_is_refused_and_its_own_are_signed() {
    let folder = Folder::new();
    let file = folder.put("key.json", &key(SECRET, ""));
    let upstream = Upstream::answering(OK).await;
    let all = at_noon(&[signing(&file)]);
    for name in [
        "Authorization",
        "X-Amz-Date",
        "x-amz-security-token",
        "X-AMZ-CONTENT-SHA256",
    ] {
        let mut call = Call::new(upstream.address, &all, &[GRANT]);
        assert!(
            call.refused("http://api.test/", &[(name, "mine")]).await,
            "{name}"
        );
    }
    for query in [
        "X-Amz-Signature=mine",
        "x-amz-credential=AKIDMINE",
        "a=b&X-AMZ-ALGORITHM",
        "X%2DAmz-Date=x",
        "a;x-amz-expires=1",
        "X-Amz-Security-Token=x",
        "X-Amz-SignedHeaders=host",
        "x-amz-content-sha256=x",
    ] {
        let mut call = Call::new(upstream.address, &all, &[GRANT]);
        let url = format!("http://api.test/?{query}");
        assert!(call.refused(&url, &[]).await, "{query}");
    }
    assert!(upstream.saw_nobody().await);
    let mut call = Call::new(upstream.address, &all, &[GRANT]);
    let own = [("x-amz-target", "Table.Get"), ("x-own", "mine")];
    call.get("http://api.test/", &own).await.unwrap();
    let seen = upstream.seen().pop().unwrap();
    let signed = "SignedHeaders=host;x-amz-date;x-amz-target, ";
    assert!(field(&seen, "authorization").contains(signed), "{seen}");
    // What a service would read otherwise than it was signed is not sent.
    let fields = [("x-amz-meta-note", "ü")];
    let unsigned = call.get("http://api.test/", &fields).await;
    assert!(
        matches!(unsigned, Err(Error::HttpProtocolError)),
        "{unsigned:?}"
    );
    // Nor what the signer reads otherwise than it is written.
    for query in ["a=b+c", "a=%ff", "a=%C3%28"] {
        let unsigned = call.get(&format!("http://api.test/?{query}"), &[]).await;
        assert!(
            matches!(unsigned, Err(Error::HttpProtocolError)),
            "{query}: {unsigned:?}"
        );
    }
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_field_that_names_another_object_is_refused_where_a_path_was_granted() {
    let folder = Folder::new();
    let file = folder.put("key.json", &key(SECRET, ""));
    let upstream = Upstream::answering(OK).await;
    let all = at_noon(&[signing(&file)]);
    let under = |path: &str| {
        let grants = vec![(secret(GRANT), Live::free())];
        let web = format!("http GET api.test {path}");
        Call::reaching(upstream.address, &all, grants, &[&web])
    };
    for name in [
        "X-Amz-Copy-Source",
        "x-amz-copy-source-range",
        "x-amz-rename-source",
    ] {
        let fields = [(name, "/bucket/private/k")];
        let url = "http://api.test/public/x";
        assert!(under("/public/").refused(url, &fields).await, "{name}");
    }
    assert!(upstream.saw_nobody().await);
    // Where all of the host was granted, it leads to nothing more.
    let fields = [("x-amz-copy-source", "/bucket/private/k")];
    under("/")
        .get("http://api.test/public/x", &fields)
        .await
        .unwrap();
    assert_eq!(upstream.seen().len(), 1);
}

#[tokio::test]
async fn a_body_that_could_not_be_sent_is_not_held() {
    let folder = Folder::new();
    let file = folder.put("key.json", &key(SECRET, ""));
    let upstream = Upstream::answering(OK).await;
    let all = at_noon(&[signing(&file)]);
    let grants = vec![(secret(GRANT), Live::free())];
    let web = ["http POST api.test / send=1024"];
    let mut call = Call::reaching(upstream.address, &all, grants, &web);
    let polled = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = Arc::clone(&polled);
    let pieces = (0..100).map(move |_| {
        counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Ok(Frame::data(Bytes::from(vec![b'x'; 512])))
    });
    let body = http_body_util::StreamBody::new(futures_util::stream::iter(pieces));
    let refused = send(
        &mut call,
        (Method::POST, "http://api.test/"),
        &[],
        body.boxed_unsync(),
    );
    let refused = refused.await;
    assert!(
        matches!(refused, Err(Error::HttpRequestBodySize(None))),
        "{refused:?}"
    );
    assert!(polled.load(std::sync::atomic::Ordering::SeqCst) <= 3);
    assert!(upstream.saw_nobody().await);
}

#[tokio::test]
async fn a_body_is_held_up_to_its_bound_and_no_trailers_follow_it() {
    let folder = Folder::new();
    let file = folder.put("key.json", &key(SECRET, ""));
    let upstream = Upstream::answering(OK).await;
    let all = at_noon(&[signing(&file)]);
    let post = (Method::POST, "http://api.test/");
    let piece = || Frame::data(Bytes::from(vec![b'x'; SIGNED_BODY_BYTES_MAX / 4]));
    let mut call = Call::new(upstream.address, &all, &[GRANT]);
    let over = vec![
        piece(),
        piece(),
        piece(),
        piece(),
        Frame::data(Bytes::from_static(b"x")),
    ];
    for body in [pieces(over), bytes(vec![b'x'; SIGNED_BODY_BYTES_MAX + 1])] {
        let refused = send(&mut call, post.clone(), &[], body).await;
        assert!(
            matches!(refused, Err(Error::HttpRequestBodySize(None))),
            "{refused:?}"
        );
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("x-amz-checksum-sha256", "x".parse().unwrap());
    let body = pieces(vec![piece(), Frame::trailers(trailers)]);
    let refused = send(&mut call, post.clone(), &[], body).await;
    assert!(
        matches!(refused, Err(Error::HttpProtocolError)),
        "{refused:?}"
    );
    // A body that its guest gives up is not sent as far as it came.
    let halves = [
        Ok(piece()),
        Err(Error::InternalError(Some("given up".to_owned()))),
    ];
    let halves = futures_util::stream::iter(halves);
    let body = http_body_util::StreamBody::new(halves).boxed_unsync();
    let refused = send(&mut call, post.clone(), &[], body).await;
    assert!(
        matches!(refused, Err(Error::HttpProtocolError)),
        "{refused:?}"
    );
    // Nor is one that is shorter than it says.
    let short = [("content-length", "9")];
    let refused = send(&mut call, post.clone(), &short, bytes("x")).await;
    assert!(refused.is_err(), "{refused:?}");
    let sent = upstream.seen();
    assert!(sent.iter().all(|one| !one.ends_with('x')), "{sent:?}");
    let whole = pieces(vec![piece(), piece(), piece(), piece()]);
    send(&mut call, post, &[], whole).await.unwrap();
    let length = SIGNED_BODY_BYTES_MAX.to_string();
    let seen = upstream.seen().pop().unwrap();
    assert_eq!(field(&seen, "content-length"), length);
}

#[tokio::test]
async fn a_signature_is_put_in_last_and_shares_no_field() {
    let folder = Folder::new();
    let file = folder.put("key.json", &key(SECRET, ""));
    let other = folder.put("other", VALUE);
    let upstream = Upstream::answering(OK).await;
    let all = at_noon(&[
        signing(&file),
        binding("a", &other, &["api.test"], "query key"),
        binding("b", &other, &["api.test"], "bearer"),
        binding("c", &other, &["api.test"], "header x-amz-date"),
        binding("d", &other, &["api.test"], "query X-Amz-Signature"),
        SecretBinding {
            name: "e".parse().unwrap(),
            ..signing(&file)
        },
    ]);
    for two in [
        "secret b api.test bearer",
        "secret c api.test header x-amz-date",
        "secret d api.test query X-Amz-Signature",
        "secret e api.test aws-sigv4",
    ] {
        for grants in [[GRANT, two], [two, GRANT]] {
            let mut call = Call::new(upstream.address, &all, &grants);
            assert!(call.refused("http://api.test/", &[]).await, "{two}");
        }
    }
    assert!(upstream.saw_nobody().await);
    let query = "secret a api.test query key";
    for grants in [[GRANT, query], [query, GRANT]] {
        let mut call = Call::new(upstream.address, &all, &grants);
        call.get("http://api.test/", &[]).await.unwrap();
        let seen = upstream.seen().pop().unwrap();
        assert!(seen.starts_with("GET /?key=canary%2Fvalue%2B71 HTTP/1.1\r\n"));
        let wanted = "Signature=1249b3710fdd3d122c2148605f812dfc4b23be41f6646c262e96335e8d830164";
        assert!(field(&seen, "authorization").ends_with(wanted), "{seen}");
    }
}

#[tokio::test]
async fn in_a_vault_the_parts_of_a_key_are_fields() {
    let folder = Folder::new();
    let token = || VaultToken::File(folder.put("token", "vault-token-1\n"));
    let vault = VaultDouble::start("vault-token-1").await;
    vault.put("/v1/kv/team/data/aws", &key(SECRET, &session()));
    vault.put(
        "/v1/kv/team/data/half",
        r#"{"AccessKeyId":"AKIDEXAMPLE","n":1}"#,
    );
    let all = vault.binding(token(), "aws", None, signing(""));
    let upstream = Upstream::answering(OK).await;
    let mut call = Call::new(upstream.address, &all, &[GRANT]);
    call.get("http://api.test/", &[]).await.unwrap();
    let seen = upstream.seen().pop().unwrap();
    assert_eq!(field(&seen, "x-amz-security-token"), SESSION);
    let half = vault.binding(token(), "half", None, signing(""));
    let told = half.readable().await.remove(0).1.unwrap();
    let missing = KeyError::Missing("SecretAccessKey");
    assert!(matches!(told, Err(ReadError::Key(error)) if error == missing));
    // A text is not taken for a key, nor a key for a text.
    let text = vault.binding(
        token(),
        "aws",
        Some("AccessKeyId"),
        binding("tracker", "", &["api.test"], "bearer"),
    );
    assert!(text.readable().await.remove(0).1.unwrap().is_ok());
    let file = folder.put("text", VALUE);
    let told = at_noon(&[signing(&file)]).readable().await.remove(0).1;
    assert!(matches!(told, Some(Err(ReadError::Key(KeyError::Shape)))));
}

#[tokio::test]
async fn without_its_consent_nothing_is_signed() {
    let folder = Folder::new();
    let file = folder.put("key.json", &key(SECRET, ""));
    let upstream = Upstream::answering(OK).await;
    let all = at_noon(&[signing(&file)]);
    let running = RunningCalls::default();
    let entered = running.enter();
    assert!(entered.hold(entered.look(), [Uuid::nil()]));
    let capability: Capability = GRANT.parse().unwrap();
    let standing = entered.stand([(capability.clone(), vec![Uuid::nil()])]);
    let grants = vec![(secret(GRANT), standing.of(&capability))];
    let mut call = Call::under(upstream.address, &all, grants);
    assert!(call.get("http://api.test/", &[]).await.is_ok());
    running.revoke_soon(&[Uuid::nil()]);
    assert!(call.refused("http://api.test/", &[]).await);
    assert_eq!(upstream.seen().len(), 1);
}
