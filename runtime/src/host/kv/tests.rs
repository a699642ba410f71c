mod revoked;

use std::time::Duration;

use uuid::Uuid;

use super::*;
use crate::capability::Capability;
use crate::clock::{Believed, Clock, ManualClock, Timestamp};
use crate::config::{KvStore, Share};
use crate::grant::Holder;
use crate::ids::User;
use crate::limits::{KV_BYTES_IN_MAX, KV_BYTES_OUT_MAX, KV_OPERATIONS_MAX};
use crate::revocation::{RunningCall, RunningCalls};
use crate::store::SqliteKeyValues;
use crate::store::kv::SharedKeyValues;

/// Stores over a file of their own.
struct Place {
    _dir: tempfile::TempDir,
    values: Arc<SqliteKeyValues>,
    stores: Stores,
    clock: ManualClock,
}

fn bound(name: &str, share: Share) -> KvStore {
    KvStore {
        name: name.parse().unwrap(),
        share,
        bytes_max: 1_000_000,
        keys_max: 600,
        ttl: (name == "brief").then_some(Duration::from_secs(60)),
    }
}

async fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s.db.kv");
    let values = Arc::new(SqliteKeyValues::open(&file).await.unwrap());
    let shared: SharedKeyValues = values.clone();
    let all = [
        bound("memory", Share::User),
        bound("board", Share::Tenant),
        bound("brief", Share::User),
    ];
    Place {
        stores: Stores::new(&all, &shared),
        values,
        clock: ManualClock::new(Timestamp(1_000)),
        _dir: dir,
    }
}

fn holder(tenant: &str, user: &str, client: &str) -> Holder {
    Holder {
        tenant: tenant.parse().unwrap(),
        user: User {
            issuer: "https://as.test".parse().unwrap(),
            subject: user.parse().unwrap(),
        },
        client: client.parse().unwrap(),
    }
}

fn scope(text: &str) -> Kv {
    match text.parse().unwrap() {
        Capability::Kv(kv) => kv,
        other => panic!("{other}"),
    }
}

impl Place {
    fn session_of(&self, holder: &Holder, scopes: &[&str], meter: &Meter) -> Session {
        let scopes = scopes.iter().map(|text| (scope(text), Live::free()));
        let clock: SharedClock = Arc::new(self.clock.clone());
        self.stores
            .session(scopes.collect(), holder, meter.clone(), clock)
    }

    fn session(&self, scopes: &[&str]) -> Session {
        let alice = holder("acme", "alice", "client-1");
        self.session_of(&alice, scopes, &Meter::default())
    }
}

fn effect(meter: &Meter, name: &str) -> Effect {
    let effects = meter.snapshot();
    let found = effects.get(name).copied();
    found.unwrap_or_else(|| panic!("{name} in {effects:?}"))
}

#[tokio::test]
async fn what_is_written_while_the_clock_is_ahead_takes_nothing_with_it() {
    let place = place().await;
    let clock: SharedClock = Arc::new(Believed::resume(Arc::new(place.clock.clone()), None));
    let alice = holder("acme", "alice", "client-1");
    let scopes = vec![(scope("kv write brief"), Live::free())];
    let meter = Meter::default();
    let mut session = place.stores.session(scopes, &alice, meter, clock);
    let bucket = session.open("brief").unwrap();
    session.set(&bucket, "a", b"1").await.unwrap();
    let then = place.clock.now();
    place.clock.set(then.plus(Duration::from_secs(3600)));
    assert_eq!(session.get(&bucket, "a").await.unwrap(), None);
    session.set(&bucket, "b", b"2").await.unwrap();
    session.delete(&bucket, &["b"]).await.unwrap();
    place.clock.set(then);
    assert_eq!(session.get(&bucket, "a").await.unwrap().unwrap(), b"1");
    place.clock.advance(Duration::from_secs(61));
    session.set(&bucket, "b", b"2").await.unwrap();
    place.clock.set(then);
    assert_eq!(session.get(&bucket, "a").await.unwrap(), None);
}

#[tokio::test]
async fn what_is_granted_is_done_and_counted_by_sizes_alone() {
    let place = place().await;
    let meter = Meter::default();
    let alice = holder("acme", "alice", "client-1");
    let mut session = place.session_of(&alice, &["kv write memory"], &meter);
    let bucket = session.open("memory").unwrap();
    session.set(&bucket, "canary", b"value").await.unwrap();
    assert_eq!(
        session.get(&bucket, "canary").await.unwrap().unwrap(),
        b"value"
    );
    assert!(session.exists(&bucket, "canary").await.unwrap());
    assert!(!session.exists(&bucket, "none").await.unwrap());
    assert_eq!(session.increment(&bucket, "n", 7).await.unwrap(), 7);
    let many = session.get_many(&bucket, &["n", "none"]).await.unwrap();
    assert_eq!(many, [Some(b"7".to_vec()), None]);
    let cas = session.cas(&bucket, "n").await.unwrap();
    assert_eq!(session.current(&cas).await.unwrap().unwrap(), b"7");
    assert!(session.swap(&cas, b"8").await.unwrap().is_none());
    let newer = session.swap(&cas, b"9").await.unwrap().unwrap();
    assert!(session.swap(&newer, b"9").await.unwrap().is_none());
    session.delete(&bucket, &["canary"]).await.unwrap();
    let page = session.list(&bucket, None).await.unwrap();
    assert_eq!((page.keys, page.cursor), (vec!["n".to_owned()], None));

    let effects = meter.snapshot();
    let names: Vec<_> = effects.keys().map(String::as_str).collect();
    assert_eq!(names, ["kv read memory", "kv write memory"]);
    let (read, write) = (effects["kv read memory"], effects["kv write memory"]);
    assert_eq!((read.count, read.refused, read.bytes_out), (6, 0, 0));
    assert_eq!(read.bytes_in, 5 + 1 + 1 + 1);
    assert_eq!((write.count, write.refused, write.bytes_in), (7, 0, 0));
    assert_eq!(write.bytes_out, (6 + 5) + (1 + 1) + 2 + 2);
}

#[tokio::test]
async fn what_is_granted_for_reading_is_not_written() {
    let place = place().await;
    let mut writer = place.session(&["kv write memory"]);
    let own = writer.open("memory").unwrap();
    writer.set(&own, "a", b"1").await.unwrap();

    let meter = Meter::default();
    let alice = holder("acme", "alice", "client-1");
    let mut reader = place.session_of(&alice, &["kv read memory"], &meter);
    let bucket = reader.open("memory").unwrap();
    let denied = Err(KvError::Denied);
    assert_eq!(reader.set(&bucket, "a", b"2").await, denied);
    assert_eq!(reader.set_many(&bucket, &[]).await, denied);
    assert_eq!(reader.delete(&bucket, &["a"]).await, denied);
    assert_eq!(
        reader.increment(&bucket, "n", 1).await,
        Err(KvError::Denied)
    );
    assert!(reader.cas(&bucket, "a").await.is_err());
    // A handle of another call would be of no use either.
    let cas = writer.cas(&own, "a").await.unwrap();
    assert!(reader.swap(&cas, b"2").await.is_err());
    assert_eq!(reader.get(&bucket, "a").await.unwrap().unwrap(), b"1");
    let refused = effect(&meter, "kv write memory");
    assert_eq!((refused.count, refused.refused), (6, 6));
}

#[tokio::test]
async fn a_call_that_only_looked_has_not_acted() {
    let place = place().await;
    let meter = Meter::default();
    let alice = holder("acme", "alice", "client-1");
    let mut session = place.session_of(&alice, &["kv write memory a/"], &meter);
    let bucket = session.open("memory").unwrap();
    session.get(&bucket, "a/1").await.unwrap();
    session.exists(&bucket, "a/1").await.unwrap();
    session.list(&bucket, None).await.unwrap();
    assert!(session.set(&bucket, "b/1", b"1").await.is_err());
    assert!(session.open("other").is_err());
    assert!(!meter.has_acted());
    session.set(&bucket, "a/1", b"1").await.unwrap();
    assert!(meter.has_acted());
}

#[tokio::test]
async fn a_store_that_is_not_granted_is_as_one_that_is_not_there() {
    let place = place().await;
    let meter = Meter::default();
    let alice = holder("acme", "alice", "client-1");
    // `other` is granted and not bound, `board` is bound and not granted.
    let scopes = ["kv read memory", "kv write other"];
    let mut session = place.session_of(&alice, &scopes, &meter);
    let names = [
        "other",
        "board",
        "none",
        "",
        "Memory",
        "memory\0",
        "memory/",
        "../memory",
        "canary",
    ];
    for name in names {
        let refused = session.open(name).err();
        assert_eq!(refused, Some(KvError::Denied), "{name:?}");
    }
    assert!(session.open("memory").is_ok());
    let effects = meter.snapshot();
    assert_eq!(effects.len(), 1, "{effects:?}");
    assert_eq!(effects[NAMELESS].refused, names.len() as u64);
}

#[tokio::test]
async fn a_prefix_is_the_border_of_reading_writing_and_listing() {
    let place = place().await;
    let mut all = place.session(&["kv write memory"]);
    let own = all.open("memory").unwrap();
    for key in ["a", "a/1", "a/b/1", "ab", "b/1", "c/1"] {
        all.set(&own, key, b"v").await.unwrap();
    }
    let scopes = [
        "kv read memory a/",
        "kv write memory a/b/",
        "kv read memory c/",
    ];
    let mut session = place.session(&scopes);
    let bucket = session.open("memory").unwrap();
    for (key, reads, writes) in [
        ("a/1", true, false),
        ("a/b/1", true, true),
        ("a/b/2", true, true),
        ("c/1", true, false),
        ("a", false, false),
        ("ab", false, false),
        ("b/1", false, false),
        ("none", false, false),
        ("", false, false),
        ("a/\0", false, false),
        (" a/1", false, false),
        ("../a/1", false, false),
    ] {
        assert_eq!(session.get(&bucket, key).await.is_ok(), reads, "{key:?}");
        assert_eq!(session.exists(&bucket, key).await.is_ok(), reads, "{key:?}");
        let written = session.set(&bucket, key, b"w").await;
        assert_eq!(written.is_ok(), writes, "{key:?}");
        let deleted = session.delete(&bucket, &[key]).await;
        assert_eq!(deleted.is_ok(), writes, "{key:?}");
    }
    // What is there and what is not are the same outside of it.
    let (there, not) = (
        session.get(&bucket, "b/1").await,
        session.get(&bucket, "none").await,
    );
    assert_eq!((there, not), (Err(KvError::Denied), Err(KvError::Denied)));
    let page = session.list(&bucket, None).await.unwrap();
    assert_eq!(page.keys, ["a/1", "c/1"]);
    // One key outside, and the batch is denied whole.
    let pairs: [(&str, &[u8]); 2] = [("a/b/9", b"w"), ("b/1", b"w")];
    assert_eq!(
        session.set_many(&bucket, &pairs).await,
        Err(KvError::Denied)
    );
    assert_eq!(session.get(&bucket, "a/b/9").await, Ok(None));
    assert_eq!(all.get(&own, "b/1").await.unwrap().unwrap(), b"v");
}

#[tokio::test]
async fn a_store_is_shared_by_clients_and_by_a_tenant_only_where_the_operator_says_so() {
    let place = place().await;
    let scopes = ["kv write memory", "kv write board"];
    let write = |tenant: &'static str, user: &'static str, client: &'static str| {
        place.session_of(&holder(tenant, user, client), &scopes, &Meter::default())
    };
    for store in ["memory", "board"] {
        let mut alice = write("acme", "alice", "client-1");
        let bucket = alice.open(store).unwrap();
        alice.set(&bucket, "key", b"alice").await.unwrap();
        let shared = store == "board";
        for (tenant, user, client, finds) in [
            ("acme", "alice", "client-2", true),
            ("acme", "bob", "client-1", shared),
            ("other", "alice", "client-1", false),
            ("other", "bob", "client-1", false),
        ] {
            let mut session = write(tenant, user, client);
            let bucket = session.open(store).unwrap();
            let found = session.get(&bucket, "key").await.unwrap().is_some();
            assert_eq!(found, finds, "{store} for {user} of {tenant} by {client}");
            let keys = session.list(&bucket, None).await.unwrap().keys;
            assert_eq!(keys.is_empty(), !finds, "{store} for {user} of {tenant}");
        }
    }
}

#[tokio::test]
async fn keys_values_batches_and_cursors_are_bounded() {
    let place = place().await;
    let mut session = place.session(&["kv write memory"]);
    let bucket = session.open("memory").unwrap();
    let longest = "é".repeat(KV_KEY_BYTES_MAX / 2);
    session.set(&bucket, &longest, b"v").await.unwrap();
    for key in [
        "",
        "a\0b",
        "a\nb",
        "\u{85}",
        "\u{7f}",
        &format!("{longest}x"),
    ] {
        assert_eq!(
            session.set(&bucket, key, b"v").await,
            Err(KvError::Key),
            "{key:?}"
        );
        assert_eq!(
            session.get(&bucket, key).await,
            Err(KvError::Key),
            "{key:?}"
        );
    }
    let most = vec![0xff; KV_VALUE_BYTES_MAX];
    session.set(&bucket, "most", &most).await.unwrap();
    let more = vec![0xff; KV_VALUE_BYTES_MAX + 1];
    assert_eq!(
        session.set(&bucket, "more", &more).await,
        Err(KvError::Value)
    );
    let cas = session.cas(&bucket, "more").await.unwrap();
    assert_eq!(session.swap(&cas, &more).await.err(), Some(KvError::Value));
    let keys = vec!["most"; KV_BATCH_MAX + 1];
    assert_eq!(session.get_many(&bucket, &keys).await, Err(KvError::Batch));
    assert_eq!(
        session.get_many(&bucket, &keys[..5]).await,
        Err(KvError::Batch)
    );
    assert_eq!(
        session.get_many(&bucket, &keys[..4]).await.unwrap().len(),
        4
    );
    let pairs: [(&str, &[u8]); 2] = [("x", &most), ("y", &most)];
    let fits = session.set_many(&bucket, &pairs);
    assert_eq!(fits.await, Ok(()));
    assert_eq!(
        session.set(&bucket, "full", &most).await,
        Err(KvError::Full)
    );
    for cursor in [
        "",
        "!",
        "AA",
        "__8",
        &"YQ".repeat(500),
        &encoded("a\0b"),
        "YQ==",
    ] {
        let page = session.list(&bucket, Some(cursor)).await;
        assert_eq!(page, Err(KvError::Cursor), "{cursor}");
    }
    // A cursor that a guest makes up leads nowhere that the list would not.
    let page = session.list(&bucket, Some(&encoded("x"))).await.unwrap();
    assert_eq!(page.keys, ["y", &longest]);
}

#[tokio::test]
async fn pages_lead_over_several_prefixes_to_their_end() {
    let place = place().await;
    let mut all = place.session(&["kv write memory"]);
    let own = all.open("memory").unwrap();
    let mut expected: Vec<String> = (0..580)
        .map(|n| format!("{}/{n:03}", ["a", "b"][n % 2]))
        .collect();
    for some in expected.chunks(KV_BATCH_MAX) {
        let pairs: Vec<(&str, &[u8])> = some.iter().map(|key| (key.as_str(), &b"v"[..])).collect();
        all.set_many(&own, &pairs).await.unwrap();
    }
    all.set(&own, "aa", b"v").await.unwrap();
    expected.sort_unstable();
    let mut session = place.session(&["kv read memory a/", "kv read memory b/"]);
    let bucket = session.open("memory").unwrap();
    let (mut found, mut pages, mut cursor) = (Vec::new(), 0, None);
    loop {
        let page = session.list(&bucket, cursor.as_deref()).await.unwrap();
        pages += 1;
        found.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!((found, pages), (expected, 3));
}

#[tokio::test]
async fn a_call_does_no_more_than_its_budgets() {
    let place = place().await;
    let meter = Meter::default();
    let alice = holder("acme", "alice", "client-1");
    let mut session = place.session_of(&alice, &["kv write memory"], &meter);
    let bucket = session.open("memory").unwrap();
    let mut done = 0;
    while session.exists(&bucket, "a").await.is_ok() {
        done += 1;
    }
    assert_eq!(done, KV_OPERATIONS_MAX - 1, "opening counts");
    assert_eq!(session.get(&bucket, "a").await, Err(KvError::UsedUp));
    assert_eq!(session.open("memory").err(), Some(KvError::UsedUp));

    let mut session = place.session_of(&alice, &["kv write memory"], &meter);
    let most = vec![b'x'; KV_VALUE_BYTES_MAX];
    let mut sent = 0;
    while session.set(&bucket, "a", &most).await.is_ok() {
        sent += 1 + KV_VALUE_BYTES_MAX as u64;
    }
    assert!(
        sent <= KV_BYTES_OUT_MAX && sent + 300_000 > KV_BYTES_OUT_MAX,
        "{sent}"
    );
    let mut read = 0;
    while let Ok(found) = session.get(&bucket, "a").await {
        read += found.unwrap().len() as u64;
    }
    assert_eq!(read, KV_BYTES_IN_MAX);
    assert_eq!(session.list(&bucket, None).await, Err(KvError::UsedUp));
    assert!(session.exists(&bucket, "a").await.is_ok());
    assert_eq!(effect(&meter, "kv read memory").bytes_in, KV_BYTES_IN_MAX);
    assert_eq!(effect(&meter, "kv write memory").bytes_out, sent);
}

#[tokio::test]
async fn a_value_ends_when_the_operator_has_it_end() {
    let place = place().await;
    let mut session = place.session(&["kv write brief", "kv write memory"]);
    let (brief, memory) = (
        session.open("brief").unwrap(),
        session.open("memory").unwrap(),
    );
    session.set(&brief, "a", b"1").await.unwrap();
    session.set(&memory, "a", b"1").await.unwrap();
    place.clock.advance(Duration::from_secs(59));
    assert!(session.exists(&brief, "a").await.unwrap());
    place.clock.advance(Duration::from_secs(1));
    assert!(!session.exists(&brief, "a").await.unwrap());
    assert!(session.exists(&memory, "a").await.unwrap());
    assert_eq!(place.clock.now(), Timestamp(61_000));
}
