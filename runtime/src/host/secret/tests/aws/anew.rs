//! What is signed anew: a request that is made again, and all with a key that was rotated.

use super::*;

/// A clock that is a second later whenever it is looked at.
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.fetch_add(1_000, Ordering::SeqCst))
    }
}

#[tokio::test]
async fn a_request_that_is_made_again_is_signed_anew() {
    let folder = Folder::new();
    let file = folder.put("key.json", &key(SECRET, ""));
    let busy = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n";
    let upstream = Upstream::answering(busy).await;
    let retry = crate::config::Retry {
        attempts: 3,
        first: Duration::from_millis(1),
        most: Duration::from_millis(1),
    };
    let hosts = vec![bound("api.test", upstream.address, false)];
    let egress = Egress::new(hosts, Vec::new(), Arc::new(NoNames)).unwrap();
    let egress = Arc::new(egress.with_retry(retry));
    let all = secrets_at(&[signing(&file)], Ticking(AtomicI64::new(NOON.0)));
    let mut call = Call::new(upstream.address, &all, &[GRANT]);
    let scopes = vec![(scope("http GET api.test /"), Live::free())];
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    let hooks = Hooks::new(egress, scopes, &whose(), call.meter.clone(), deadline);
    call.hooks = hooks.lending(call.lender.clone());
    // Of an unknown length, and empty.
    let get = (Method::GET, "http://api.test/");
    let last = send(&mut call, get, &[], pieces(Vec::new())).await.unwrap();
    assert_eq!(last.status(), 503);
    let seen = upstream.seen();
    let dates: std::collections::BTreeSet<_> =
        seen.iter().map(|one| field(one, "x-amz-date")).collect();
    let signatures: std::collections::BTreeSet<_> =
        seen.iter().map(|one| field(one, "authorization")).collect();
    assert_eq!(
        (seen.len(), dates.len(), signatures.len()),
        (3, 3, 3),
        "{seen:?}"
    );
    for signature in signatures {
        let (_, signature) = signature.split_once("Signature=").unwrap();
        assert_eq!(call.lender.lent().text(signature), "*".repeat(64));
    }
}

#[tokio::test]
async fn a_key_is_rotated_without_a_restart_and_one_that_has_ended_is_not_used() {
    let folder = Folder::new();
    let until = ",\"Expiration\":\"2026-11-29T12:15:00Z\"";
    let file = folder.put("key.json", &key("old-secret-1", until));
    let body = "old-secret-1 new-secret-2";
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let upstream = Upstream::answering(answer).await;
    let clock = ManualClock::new(NOON);
    let all = secrets_at(&[signing(&file)], clock.clone());
    let mut call = Call::new(upstream.address, &all, &[GRANT]);
    let first = call.get("http://api.test/", &[]).await.unwrap();
    assert_eq!(text(first).await, "************ new-secret-2");
    // It is over before anybody has renewed it: what was read is not used to its end.
    clock.advance(Duration::from_secs(15 * 60));
    let over = call.get("http://api.test/", &[]).await;
    let Err(Error::InternalError(Some(why))) = over else {
        panic!("{over:?}")
    };
    assert_eq!(why, "a secret that this request needs cannot be used now");
    let told = all.readable().await.remove(0).1.unwrap();
    assert!(matches!(told, Err(ReadError::Key(KeyError::Over))));
    folder.put("key.json", &key("new-secret-2", ""));
    let renewed = call.get("http://api.test/", &[]).await.unwrap();
    assert_eq!(text(renewed).await, "************ ************");
    assert!(all.readable().await.remove(0).1.unwrap().is_ok());
    folder.put("key.json", "new-secret-2");
    age(&all, GRANT).await;
    assert!(call.get("http://api.test/", &[]).await.is_err());
    let told = all.readable().await.remove(0).1.unwrap();
    assert!(matches!(told, Err(ReadError::Key(KeyError::Shape))));
    assert_eq!(upstream.seen().len(), 2);
}
