//! What is done under a consent that ends meanwhile: nothing more.

use super::*;

/// A call that stands on a consent for each of its scopes, which can be revoked by its number.
fn standing(running: &RunningCalls, scopes: &[&str]) -> (RunningCall, Vec<(Kv, Live)>) {
    let entered = running.enter();
    let ids: Vec<_> = (1_u128..).map(Uuid::from_u128).take(scopes.len()).collect();
    assert!(entered.hold(entered.look(), ids.iter().copied()));
    let capabilities = scopes
        .iter()
        .map(|text| text.parse::<Capability>().unwrap());
    let all: Vec<_> = capabilities.zip(ids.iter().map(|id| vec![*id])).collect();
    let standing = entered.stand(all.clone());
    let live = all.iter().zip(scopes);
    let live = live.map(|((capability, _), text)| (scope(text), standing.of(capability)));
    let live = live.collect();
    (entered, live)
}

#[tokio::test]
async fn after_a_revocation_nothing_more_is_done_under_it_and_the_rest_is() {
    let place = place().await;
    let running = RunningCalls::default();
    let scopes = ["kv read memory", "kv write memory a/"];
    let (_entered, live) = standing(&running, &scopes);
    let clock: SharedClock = Arc::new(place.clock.clone());
    let alice = holder("acme", "alice", "client-1");
    let mut session = place.stores.session(live, &alice, Meter::default(), clock);
    let bucket = session.open("memory").unwrap();
    session.set(&bucket, "a/1", b"1").await.unwrap();
    let cas = session.cas(&bucket, "a/1").await.unwrap();

    running.revoke_soon(&[Uuid::from_u128(2)]);
    assert_eq!(
        session.set(&bucket, "a/1", b"2").await,
        Err(KvError::Denied)
    );
    assert_eq!(session.swap(&cas, b"2").await.err(), Some(KvError::Denied));
    assert_eq!(
        session.delete(&bucket, &["a/1"]).await,
        Err(KvError::Denied)
    );
    assert_eq!(session.get(&bucket, "a/1").await.unwrap().unwrap(), b"1");

    running.revoke_soon(&[Uuid::from_u128(1)]);
    assert_eq!(session.get(&bucket, "a/1").await, Err(KvError::Denied));
    assert_eq!(session.list(&bucket, None).await, Err(KvError::Denied));
    assert_eq!(session.current(&cas).await, Err(KvError::Denied));
    assert_eq!(session.open("memory").err(), Some(KvError::Denied));
}

#[tokio::test]
async fn a_write_that_waits_when_its_consent_ends_is_not_done() {
    let place = place().await;
    let running = RunningCalls::default();
    let (_entered, live) = standing(&running, &["kv write memory"]);
    let clock: SharedClock = Arc::new(place.clock.clone());
    let alice = holder("acme", "alice", "client-1");
    let meter = Meter::default();
    let mut session = place.stores.session(live, &alice, meter.clone(), clock);
    let bucket = session.open("memory").unwrap();
    session.set(&bucket, "a", b"1").await.unwrap();
    // Somebody else holds the one connection that writes.
    let busy = place.values.writer().begin().await.unwrap();
    let write = session.set(&bucket, "a", b"2");
    let revoke = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        running.revoke_soon(&[Uuid::from_u128(1)]);
    };
    let (written, ()) = tokio::join!(write, revoke);
    assert_eq!(written, Err(KvError::Denied));
    busy.rollback().await.unwrap();
    let mut reader = place.session(&["kv read memory"]);
    assert_eq!(reader.get(&bucket, "a").await.unwrap().unwrap(), b"1");
    let refused = effect(&meter, "kv write memory");
    assert_eq!((refused.count, refused.refused), (2, 1));
}
