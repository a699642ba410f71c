use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::AtomicUsize;

use futures_util::future::{BoxFuture, join_all};
use serde_json::json;
use tokio::sync::Semaphore;

use super::*;
use crate::identity::FetchError;
use crate::identity::testing::{self, ISSUER, Mint, NOW, jwks};

const KEYS_URL: &str = "https://as.test/keys";

/// Documents from memory, counted, and held back while the gate is shut.
struct Web {
    documents: std::sync::Mutex<BTreeMap<String, Vec<u8>>>,
    fetches: AtomicUsize,
    gate: Semaphore,
}

impl Web {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            documents: std::sync::Mutex::default(),
            fetches: AtomicUsize::new(0),
            gate: Semaphore::new(1_000),
        })
    }

    fn serve(&self, url: &str, document: impl Into<Vec<u8>>) {
        self.documents
            .lock()
            .unwrap()
            .insert(url.to_owned(), document.into());
    }

    fn fail(&self) {
        self.documents.lock().unwrap().clear();
    }

    fn fetches(&self) -> usize {
        self.fetches.load(Ordering::SeqCst)
    }
}

impl FetchKeys for Web {
    fn get<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Result<Bytes, FetchError>> {
        Box::pin(async move {
            self.fetches.fetch_add(1, Ordering::SeqCst);
            let _open = self.gate.acquire().await.unwrap();
            let document = self.documents.lock().unwrap().get(url.as_str()).cloned();
            document
                .map(Bytes::from)
                .ok_or_else(|| FetchError::new("no such document"))
        })
    }
}

fn issuer(keys: KeySource, web: &Arc<Web>) -> Arc<IssuerKeys> {
    let config = IssuerConfig {
        keys,
        ..testing::issuer()
    };
    let fetch: Arc<dyn FetchKeys> = web.clone();
    Arc::new(IssuerKeys::new(config, fetch))
}

fn from_url(web: &Arc<Web>) -> Arc<IssuerKeys> {
    issuer(KeySource::Url(KEYS_URL.parse().unwrap()), web)
}

fn later(span: Duration) -> Timestamp {
    NOW.plus(span)
}

/// The set has this key at this time.
async fn has(keys: &Arc<IssuerKeys>, id: &str, now: Timestamp) -> Option<bool> {
    let loaded = keys.current(Some(id), now).await.ok()?;
    Some(loaded.set.find(id).is_some())
}

#[tokio::test]
async fn j2_a_set_is_fetched_once_and_again_when_its_time_is_up() {
    let (web, a) = (Web::new(), Mint::es256("a"));
    web.serve(KEYS_URL, jwks(&[&a]));
    let keys = from_url(&web);
    assert!(!keys.ready());
    for seconds in [0, 1, 300, 599] {
        assert_eq!(
            has(&keys, "a", later(Duration::from_secs(seconds))).await,
            Some(true)
        );
    }
    assert!(keys.ready());
    assert_eq!(web.fetches(), 1);
    assert_eq!(has(&keys, "a", later(JWKS_TTL)).await, Some(true));
    assert_eq!(web.fetches(), 2);
}

#[tokio::test]
async fn j2_an_unknown_key_causes_one_refetch_and_then_a_refusal() {
    let (web, a, b) = (Web::new(), Mint::es256("a"), Mint::es256("b"));
    web.serve(KEYS_URL, jwks(&[&a]));
    let keys = from_url(&web);
    assert_eq!(has(&keys, "a", NOW).await, Some(true));
    web.serve(KEYS_URL, jwks(&[&a, &b]));

    let within = later(JWKS_REFETCH_MIN - Duration::from_millis(1));
    assert_eq!(has(&keys, "b", within).await, Some(false));
    assert_eq!(web.fetches(), 1);
    assert_eq!(has(&keys, "b", later(JWKS_REFETCH_MIN)).await, Some(true));
    assert_eq!(web.fetches(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn j2_a_thousand_made_up_keys_give_at_most_one_fetch_per_interval() {
    let (web, a) = (Web::new(), Mint::es256("a"));
    web.serve(KEYS_URL, jwks(&[&a]));
    let keys = from_url(&web);
    for interval in 0..3 {
        let now = later(JWKS_REFETCH_MIN * interval);
        let flood = (0..1_000).map(|n| {
            let keys = Arc::clone(&keys);
            tokio::spawn(async move { has(&keys, &format!("made-up-{n}"), now).await })
        });
        for answer in join_all(flood).await {
            assert_eq!(answer.unwrap(), Some(false));
        }
        assert_eq!(web.fetches(), usize::try_from(interval).unwrap() + 1);
        assert_eq!(has(&keys, "a", now).await, Some(true));
    }
}

#[tokio::test]
async fn j3_the_last_good_set_serves_while_fetches_fail_up_to_a_maximum_age() {
    let (web, a) = (Web::new(), Mint::es256("a"));
    web.serve(KEYS_URL, jwks(&[&a]));
    let keys = from_url(&web);
    assert_eq!(has(&keys, "a", NOW).await, Some(true));
    web.fail();
    let last = later(JWKS_STALE_MAX - Duration::from_secs(1));
    for at in [later(JWKS_TTL), later(JWKS_TTL * 10), last] {
        assert_eq!(has(&keys, "a", at).await, Some(true));
    }
    for at in [later(JWKS_STALE_MAX), later(JWKS_STALE_MAX * 2)] {
        let refused = keys.current(Some("a"), at).await.err().unwrap();
        assert!(matches!(*refused, KeyError::Stale { .. }));
    }
    web.serve(KEYS_URL, jwks(&[&a]));
    assert_eq!(has(&keys, "a", later(JWKS_STALE_MAX * 3)).await, Some(true));
}

#[tokio::test]
async fn j3_a_key_gone_from_a_fresh_set_stops_at_once_and_the_epoch_turns() {
    let (web, a, b) = (Web::new(), Mint::es256("a"), Mint::es256("b"));
    web.serve(KEYS_URL, jwks(&[&a, &b]));
    let keys = from_url(&web);
    let epoch = keys.current(Some("a"), NOW).await.ok().unwrap().epoch;
    // The same set again is no new epoch.
    let same = keys.current(Some("a"), later(JWKS_TTL)).await.ok().unwrap();
    assert_eq!(same.epoch, epoch);
    web.serve(KEYS_URL, jwks(&[&b]));
    let next = keys
        .current(Some("b"), later(JWKS_TTL * 2))
        .await
        .ok()
        .unwrap();
    assert_eq!(next.epoch, epoch + 1);
    assert!(next.set.find("a").is_none());
}

#[tokio::test]
async fn j5_without_a_set_there_is_nothing_to_judge_by() {
    let web = Web::new();
    let keys = from_url(&web);
    assert_eq!(has(&keys, "a", NOW).await, None);
    assert!(!keys.ready());
    // Not before the next interval, however many ask.
    assert_eq!(has(&keys, "a", NOW).await, None);
    assert_eq!(web.fetches(), 1);
    web.serve(KEYS_URL, jwks(&[&Mint::es256("a")]));
    assert_eq!(has(&keys, "a", later(JWKS_REFETCH_MIN)).await, Some(true));
    assert!(keys.ready());
}

#[tokio::test]
async fn j5_a_broken_answer_never_replaces_a_good_set() {
    let (web, a) = (Web::new(), Mint::es256("a"));
    web.serve(KEYS_URL, jwks(&[&a]));
    let keys = from_url(&web);
    assert_eq!(has(&keys, "a", NOW).await, Some(true));
    let too_large = vec![b' '; JWKS_BYTES_MAX + 1];
    let broken: [&[u8]; 4] = [b"<html>", b"{\"keys\":1}", b"", &too_large];
    for (n, answer) in (1u32..).zip(broken) {
        web.serve(KEYS_URL, answer);
        assert_eq!(has(&keys, "a", later(JWKS_TTL * n)).await, Some(true));
    }
    assert_eq!(web.fetches(), 5);
}

#[tokio::test]
async fn a_set_without_any_usable_key_is_believed_and_not_ready() {
    let (web, a) = (Web::new(), Mint::es256("a"));
    web.serve(KEYS_URL, jwks(&[&a]));
    let keys = from_url(&web);
    assert_eq!(has(&keys, "a", NOW).await, Some(true));
    web.serve(KEYS_URL, jwks(&[]));
    assert_eq!(has(&keys, "a", later(JWKS_TTL)).await, Some(false));
    assert!(!keys.ready());
}

#[tokio::test]
async fn j6_readers_share_one_flight_that_outlives_the_caller_who_began_it() {
    let (web, a) = (Web::new(), Mint::es256("a"));
    web.serve(KEYS_URL, jwks(&[&a]));
    let keys = from_url(&web);
    let shut = web.gate.acquire_many(1_000).await.unwrap();
    let ask = || {
        let keys = Arc::clone(&keys);
        tokio::spawn(async move { has(&keys, "a", NOW).await })
    };
    let first = ask();
    while web.fetches() == 0 {
        tokio::task::yield_now().await;
    }
    let others: Vec<_> = (0..10).map(|_| ask()).collect();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    drop(shut);
    for other in others {
        assert_eq!(other.await.unwrap(), Some(true));
    }
    assert_eq!(web.fetches(), 1);
}

#[tokio::test]
async fn a_clock_set_back_does_not_keep_old_keys_fresh() {
    let (web, a, b) = (Web::new(), Mint::es256("a"), Mint::es256("b"));
    web.serve(KEYS_URL, jwks(&[&a]));
    let keys = from_url(&web);
    assert_eq!(has(&keys, "a", later(JWKS_STALE_MAX)).await, Some(true));
    web.serve(KEYS_URL, jwks(&[&b]));
    assert_eq!(has(&keys, "b", NOW).await, Some(true));
}

#[tokio::test]
async fn metadata_leads_to_the_keys_by_either_standard() {
    let a = Mint::es256("a");
    let metadata = json!({"issuer": ISSUER, "jwks_uri": KEYS_URL}).to_string();
    for place in ["oauth-authorization-server", "openid-configuration"] {
        let web = Web::new();
        web.serve(KEYS_URL, jwks(&[&a]));
        web.serve(&format!("{ISSUER}/.well-known/{place}"), metadata.clone());
        let keys = issuer(KeySource::Discovery, &web);
        assert_eq!(has(&keys, "a", NOW).await, Some(true), "{place}");
    }
}

#[tokio::test]
async fn metadata_of_another_issuer_gives_no_keys() {
    let (web, a) = (Web::new(), Mint::es256("a"));
    web.serve(KEYS_URL, jwks(&[&a]));
    let place = |name: &str| format!("{ISSUER}/.well-known/{name}");
    let other = json!({"issuer": "https://evil.test", "jwks_uri": KEYS_URL}).to_string();
    let ours = json!({"issuer": ISSUER, "jwks_uri": KEYS_URL}).to_string();
    web.serve(&place("oauth-authorization-server"), other);
    web.serve(&place("openid-configuration"), ours);
    let keys = issuer(KeySource::Discovery, &web);
    let refused = keys.current(Some("a"), NOW).await.err().unwrap();
    assert!(matches!(*refused, KeyError::OtherIssuer { .. }));
}

/// A folder with a key file in it.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> PathBuf {
        self.0.path().join("keys.json")
    }

    /// Replaces the file as an editor does: written beside it, then renamed.
    fn write(&self, document: &[u8]) {
        let beside = self.0.path().join("new");
        std::fs::write(&beside, document).unwrap();
        std::fs::rename(beside, self.file()).unwrap();
    }

    fn keys(&self) -> Arc<IssuerKeys> {
        issuer(KeySource::File(self.file()), &Web::new())
    }
}

#[tokio::test]
async fn j1_a_file_is_read_again_when_it_changes() {
    let (folder, a, b) = (Folder::new(), Mint::es256("a"), Mint::es256("b"));
    folder.write(&jwks(&[&a]));
    let keys = folder.keys();
    assert_eq!(has(&keys, "a", NOW).await, Some(true));
    assert_eq!(has(&keys, "b", NOW).await, Some(false));
    // As long as before, and within the same tick of the file system's clock.
    folder.write(&jwks(&[&b]));
    assert_eq!(has(&keys, "b", NOW).await, Some(true));
    assert_eq!(has(&keys, "a", NOW).await, Some(false));
}

#[tokio::test]
async fn j3_a_file_that_stays_is_good_for_ever_and_one_that_goes_for_a_day() {
    let (folder, a) = (Folder::new(), Mint::es256("a"));
    folder.write(&jwks(&[&a]));
    let keys = folder.keys();
    let year = JWKS_STALE_MAX * 365;
    assert_eq!(has(&keys, "a", NOW).await, Some(true));
    assert_eq!(has(&keys, "a", later(year)).await, Some(true));
    std::fs::remove_file(folder.file()).unwrap();
    assert_eq!(has(&keys, "a", later(year)).await, Some(true));
    assert_eq!(has(&keys, "a", later(year + JWKS_STALE_MAX)).await, None);
}

#[tokio::test]
async fn j5_a_broken_file_never_replaces_a_good_set() {
    let (folder, a, b) = (Folder::new(), Mint::es256("a"), Mint::es256("b"));
    folder.write(&jwks(&[&a]));
    let keys = folder.keys();
    assert_eq!(has(&keys, "a", NOW).await, Some(true));
    for broken in [&b"{"[..], b"", &vec![b' '; JWKS_BYTES_MAX + 1]] {
        folder.write(broken);
        assert_eq!(has(&keys, "a", NOW).await, Some(true));
    }
    folder.write(&jwks(&[&b]));
    assert_eq!(has(&keys, "b", NOW).await, Some(true));
}

#[tokio::test]
async fn j5_a_missing_file_is_no_set_until_it_comes() {
    let (folder, a) = (Folder::new(), Mint::es256("a"));
    let keys = folder.keys();
    let missing = keys.current(Some("a"), NOW).await.err().unwrap();
    assert!(matches!(*missing, KeyError::File { .. }));
    folder.write(&jwks(&[&a]));
    assert_eq!(has(&keys, "a", NOW).await, Some(true));
}

#[tokio::test]
async fn j5_a_file_is_read_when_it_changes_and_a_failed_reading_waits_for_its_turn() {
    let (folder, a) = (Folder::new(), Mint::es256("a"));
    let keys = folder.keys();
    let stands = |now| keys.standing(Some("a"), now);
    let again = later(JWKS_REFETCH_MIN);
    assert_eq!(stands(NOW), Standing::Due);
    assert_eq!(has(&keys, "a", NOW).await, None);
    assert_eq!(stands(NOW), Standing::Tried);
    assert_eq!(stands(again), Standing::Due);

    folder.write(&jwks(&[&a]));
    assert_eq!(stands(NOW), Standing::Due);
    assert_eq!(has(&keys, "a", NOW).await, Some(true));
    assert_eq!(stands(NOW), Standing::Fresh);
    assert_eq!(stands(later(JWKS_STALE_MAX * 365)), Standing::Fresh);

    folder.write(b"{");
    assert_eq!(stands(NOW), Standing::Due);
    assert_eq!(has(&keys, "a", NOW).await, Some(true));
    assert_eq!(stands(NOW), Standing::Tried);
    assert_eq!(stands(again), Standing::Due);

    std::fs::remove_file(folder.file()).unwrap();
    assert_eq!(stands(NOW), Standing::Tried);
    assert_eq!(stands(again), Standing::Due);
}

#[tokio::test]
async fn a_document_has_at_most_as_many_bytes_as_are_read() {
    let (web, a) = (Web::new(), Mint::es256("a"));
    let mut document = jwks(&[&a]);
    document.resize(JWKS_BYTES_MAX, b' ');
    web.serve(KEYS_URL, document.clone());
    assert_eq!(has(&from_url(&web), "a", NOW).await, Some(true));
    let url: Url = KEYS_URL.parse().unwrap();
    let most = fetch(&*web, &url).await.unwrap();
    assert_eq!(most.len(), JWKS_BYTES_MAX);
    document.push(b' ');
    web.serve(KEYS_URL, document);
    assert!(matches!(
        fetch(&*web, &url).await,
        Err(KeyError::TooLarge {
            max: JWKS_BYTES_MAX
        })
    ));
}
