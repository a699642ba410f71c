mod model;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use super::*;

const NOW: Timestamp = Timestamp(1_000_000);

/// Values in a file of their own, which lives as long as they do.
struct Place {
    dir: tempfile::TempDir,
    values: SqliteKeyValues,
}

impl Place {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("s.db.kv");
        Self {
            values: SqliteKeyValues::open(&file).await.unwrap(),
            dir,
        }
    }
}

fn space(store: &str, tenant: &str, user: Option<(&str, &str)>) -> Space {
    Space {
        store: store.parse().unwrap(),
        tenant: tenant.parse().unwrap(),
        user: user.map(|(issuer, subject)| User {
            issuer: issuer.parse().unwrap(),
            subject: subject.parse().unwrap(),
        }),
    }
}

fn of_alice() -> Space {
    space("memory", "acme", Some(("https://as.test", "alice")))
}

const WRITING: Writing = Writing {
    bytes_max: 1_000,
    keys_max: 10,
    now: NOW,
    sure: NOW,
    expires_at: None,
};

async fn get(values: &SqliteKeyValues, space: &Space, key: &str) -> Option<Vec<u8>> {
    let found = values.get(space, &[key], u64::MAX, NOW).await.unwrap();
    found.into_iter().next().unwrap()
}

async fn all(values: &SqliteKeyValues, space: &Space) -> Vec<String> {
    values.keys(space, "", "", 1_000, NOW).await.unwrap()
}

/// What the space says that it holds, and what it does.
async fn counted(values: &SqliteKeyValues, space: &Space) -> [(i64, i64); 2] {
    let said = of(
        "SELECT keys, bytes FROM kv_space WHERE tenant = ? AND iss = ? AND sub = ? AND store = ?",
        space,
    );
    let held = of(
        "SELECT COUNT(*) AS keys, COALESCE(SUM(length(CAST(key AS BLOB)) + length(value)), 0) AS bytes FROM kv_entry \
         WHERE tenant = ? AND iss = ? AND sub = ? AND store = ?",
        space,
    );
    let said = said.fetch_one(&values.side.readers).await.unwrap();
    let held = held.fetch_one(&values.side.readers).await.unwrap();
    [said, held].map(|row| (row.get("keys"), row.get("bytes")))
}

#[tokio::test]
async fn what_was_written_is_there_after_a_restart_and_what_was_deleted_is_not() {
    let place = Place::new().await;
    let space = of_alice();
    let pairs: [(&str, &[u8]); 2] = [("a", b"1"), ("ä b", b"")];
    place.values.set(&space, &pairs, &WRITING).await.unwrap();
    place
        .values
        .set(&space, &[("a", b"2")], &WRITING)
        .await
        .unwrap();
    place
        .values
        .set(&space, &[("c", b"3")], &WRITING)
        .await
        .unwrap();
    place
        .values
        .delete(&space, &["c", "none"], NOW)
        .await
        .unwrap();
    place.values.close().await;
    let file = place.dir.path().join("s.db.kv");
    let again = SqliteKeyValues::open(&file).await.unwrap();
    assert_eq!(get(&again, &space, "a").await.unwrap(), b"2");
    assert_eq!(get(&again, &space, "ä b").await.unwrap(), b"");
    assert_eq!(get(&again, &space, "c").await, None);
    assert_eq!(all(&again, &space).await, ["a", "ä b"]);
    assert_eq!(counted(&again, &space).await, [(2, 6); 2]);
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new().await;
    for file in ["s.db.kv", "s.db.kv-wal", "s.db.kv-shm"] {
        let mode = place
            .dir
            .path()
            .join(file)
            .metadata()
            .unwrap()
            .permissions();
        assert_eq!(mode.mode() & 0o777, 0o600, "{file}");
    }
    let beside = SqliteKeyValues::beside(Path::new("/srv/s.db"));
    assert_eq!(beside, Path::new("/srv/s.db.kv"));
}

#[tokio::test]
async fn no_two_spaces_meet_whatever_they_are_called() {
    let place = Place::new().await;
    let spaces = [
        of_alice(),
        space("memory", "acme", Some(("https://as.test", "bob"))),
        space("memory", "acme", Some(("https://other.test", "alice"))),
        space("memory", "acme", None),
        space("memory", "acm", Some(("ehttps://as.test", "alice"))),
        space("memory", "other", Some(("https://as.test", "alice"))),
        space("memory", "other", None),
        space("memory.alice", "acme", Some(("https://as.test", "alice"))),
        space("cache", "acme", Some(("https://as.test", "alice"))),
    ];
    for (n, space) in spaces.iter().enumerate() {
        let value = n.to_string();
        let pairs = [("key", value.as_bytes())];
        place.values.set(space, &pairs, &WRITING).await.unwrap();
    }
    for (n, space) in spaces.iter().enumerate() {
        let value = get(&place.values, space, "key").await.unwrap();
        assert_eq!(value, n.to_string().as_bytes(), "{space:?}");
        assert_eq!(all(&place.values, space).await, ["key"], "{space:?}");
    }
    place
        .values
        .delete(&spaces[0], &["key"], NOW)
        .await
        .unwrap();
    for (n, space) in spaces.iter().enumerate() {
        let there = get(&place.values, space, "key").await.is_some();
        assert_eq!(there, n > 0, "{space:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_writers_at_once_each_swap_counts_once() {
    const WRITERS: usize = 64;
    let place = Arc::new(Place::new().await);
    let writers = (0..WRITERS).map(|_| {
        let place = Arc::clone(&place);
        tokio::spawn(async move {
            let (values, space) = (&place.values, of_alice());
            let mut tries = 0;
            loop {
                tries += 1;
                let seen = values.version(&space, "n", NOW).await.unwrap();
                let held = get(values, &space, "n").await;
                let held = held.map_or(0, |held| String::from_utf8(held).unwrap().parse().unwrap());
                let next = (held + 1_u64).to_string();
                let swap = values.swap(&space, "n", seen, next.as_bytes(), &WRITING);
                match swap.await.unwrap() {
                    Swapped::Done => return tries,
                    Swapped::Changed(newer) => assert_ne!(newer, seen),
                }
            }
        })
    });
    let tries: Vec<usize> = join_all(writers)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(get(&place.values, &of_alice(), "n").await.unwrap(), b"64");
    assert!(
        tries.iter().sum::<usize>() > WRITERS,
        "none of them met another"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn increments_at_once_lose_none() {
    let place = Arc::new(Place::new().await);
    let adding = (1..=64).map(|delta| {
        let place = Arc::clone(&place);
        tokio::spawn(async move {
            let space = of_alice();
            let sum = place.values.increment(&space, "n", delta, &WRITING);
            sum.await.unwrap()
        })
    });
    let mut sums: Vec<i64> = join_all(adding)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    sums.sort_unstable();
    sums.dedup();
    assert_eq!((sums.len(), sums.last()), (64, Some(&2_080)));
    assert_eq!(get(&place.values, &of_alice(), "n").await.unwrap(), b"2080");
}

#[tokio::test]
async fn a_number_stays_within_64_bits_and_what_is_none_is_left_alone() {
    let place = Place::new().await;
    let (values, space) = (&place.values, of_alice());
    let add = |key: &'static str, delta| async move {
        values.increment(&of_alice(), key, delta, &WRITING).await
    };
    assert_eq!(add("n", i64::MAX).await.unwrap(), i64::MAX);
    assert!(matches!(add("n", 1).await, Err(KvError::Number)));
    assert_eq!(add("n", i64::MIN).await.unwrap(), -1);
    for wrong in [
        &b"x"[..],
        b"",
        b"1 ",
        b"1.0",
        b"\xff",
        b"9223372036854775808",
    ] {
        values.set(&space, &[("w", wrong)], &WRITING).await.unwrap();
        assert!(matches!(add("w", 1).await, Err(KvError::Number)));
        assert_eq!(get(values, &space, "w").await.unwrap(), wrong);
    }
}

#[tokio::test]
async fn what_was_written_in_between_is_not_overwritten() {
    let place = Place::new().await;
    let (values, space) = (&place.values, of_alice());
    let none = values.version(&space, "a", NOW).await.unwrap();
    assert_eq!(none, None);
    values.set(&space, &[("a", b"1")], &WRITING).await.unwrap();
    let swap = values.swap(&space, "a", none, b"2", &WRITING);
    let Swapped::Changed(Some(first)) = swap.await.unwrap() else {
        panic!("it was there by then")
    };
    // Gone and written anew with the same bytes: another writing.
    values.delete(&space, &["a"], NOW).await.unwrap();
    values.set(&space, &[("a", b"1")], &WRITING).await.unwrap();
    let swap = values.swap(&space, "a", Some(first), b"2", &WRITING);
    let Swapped::Changed(Some(second)) = swap.await.unwrap() else {
        panic!("it was written anew")
    };
    let swap = values.swap(&space, "a", Some(second), b"2", &WRITING);
    assert_eq!(swap.await.unwrap(), Swapped::Done);
    assert_eq!(get(values, &space, "a").await.unwrap(), b"2");
    values.delete(&space, &["a"], NOW).await.unwrap();
    let swap = values.swap(&space, "a", Some(second), b"3", &WRITING);
    assert_eq!(swap.await.unwrap(), Swapped::Changed(None));
    assert_eq!(get(values, &space, "a").await, None);
}

#[tokio::test]
async fn a_batch_is_done_whole_or_not_at_all_and_a_full_space_can_shrink() {
    let place = Place::new().await;
    let (values, space) = (&place.values, of_alice());
    let keys: Vec<String> = (0..11).map(|n| format!("k{n:02}")).collect();
    let pairs: Vec<(&str, &[u8])> = keys.iter().map(|key| (key.as_str(), &b"v"[..])).collect();
    assert!(matches!(
        values.set(&space, &pairs, &WRITING).await,
        Err(KvError::Full)
    ));
    assert_eq!(all(values, &space).await, [""; 0]);
    values.set(&space, &pairs[..10], &WRITING).await.unwrap();
    assert_eq!(counted(values, &space).await, [(10, 40); 2]);

    // One key more is one too many; bytes up to the bound fit, and not one more.
    assert!(values.set(&space, &pairs[10..], &WRITING).await.is_err());
    let most = vec![b'x'; 961];
    values
        .set(&space, &[("k00", &most)], &WRITING)
        .await
        .unwrap();
    assert_eq!(counted(values, &space).await, [(10, 1_000); 2]);
    let grown = values.swap(&space, "k01", None, b"vv", &WRITING).await;
    assert!(matches!(grown, Ok(Swapped::Changed(_))));
    let seen = values.version(&space, "k01", NOW).await.unwrap();
    let grown = values.swap(&space, "k01", seen, b"vv", &WRITING).await;
    assert!(matches!(grown, Err(KvError::Full)));
    let grown = values.increment(&space, "n", 1, &WRITING).await;
    assert!(matches!(grown, Err(KvError::Full)));

    // The operator lowers the bound: nothing is lost, and what makes it smaller is still done.
    let lower = Writing {
        bytes_max: 10,
        keys_max: 1,
        ..WRITING
    };
    assert!(values.set(&space, &[("k01", b"vv")], &lower).await.is_err());
    values.set(&space, &[("k00", b"v")], &lower).await.unwrap();
    values
        .delete(&space, &["k00", "k00", "k01"], NOW)
        .await
        .unwrap();
    assert_eq!(counted(values, &space).await, [(8, 32); 2]);

    // A full neighbour takes nothing from others.
    let bob = self::space("memory", "acme", Some(("https://as.test", "bob")));
    values.set(&bob, &pairs[..10], &WRITING).await.unwrap();
}

#[tokio::test]
async fn a_batch_reads_no_more_than_it_may() {
    let place = Place::new().await;
    let (values, space) = (&place.values, of_alice());
    let pairs: [(&str, &[u8]); 2] = [("a", b"12345"), ("b", b"12345")];
    values.set(&space, &pairs, &WRITING).await.unwrap();
    let both = values.get(&space, &["a", "none", "b", "a"], 15, NOW).await;
    let found: Vec<bool> = both.unwrap().iter().map(Option::is_some).collect();
    assert_eq!(found, [true, false, true, true]);
    let most = values.get(&space, &["a", "none", "b", "a"], 14, NOW).await;
    assert!(matches!(most, Err(KvError::TooLarge)));
    let one = values.get(&space, &["a"], 4, NOW).await;
    assert!(matches!(one, Err(KvError::TooLarge)));
}

#[tokio::test]
async fn pages_hold_every_key_of_a_prefix_once_and_no_other() {
    let place = Place::new().await;
    let (values, space) = (&place.values, of_alice());
    let keys = [
        "a",
        "a/",
        "a/1",
        "a/2",
        "a/\u{d7ff}x",
        "a/\u{e000}",
        "a/\u{10ffff}\u{10ffff}",
        "a0",
        "b/1",
        "é",
    ];
    let many = Writing {
        keys_max: 100,
        ..WRITING
    };
    let pairs = keys.map(|key| (key, &b"v"[..]));
    values.set(&space, &pairs, &many).await.unwrap();
    let bob = self::space("memory", "acme", Some(("https://as.test", "bob")));
    values.set(&bob, &[("a/bob", b"v")], &many).await.unwrap();
    for prefix in ["", "a", "a/", "a/\u{d7ff}", "a/\u{10ffff}", "b/", "c", "é"] {
        for page in [1, 2, 3, 100] {
            let mut found: Vec<String> = Vec::new();
            loop {
                let after = found.last().cloned().unwrap_or_default();
                let more = values.keys(&space, prefix, &after, page, NOW);
                let more = more.await.unwrap();
                assert!(more.len() <= page);
                if more.is_empty() {
                    break;
                }
                found.extend(more);
                // What goes meanwhile moves no other key.
                values.delete(&space, &["a/1"], NOW).await.unwrap();
                values.set(&space, &[("a/1", b"v")], &many).await.unwrap();
            }
            let expected = keys.iter().filter(|key| key.starts_with(prefix));
            let expected: Vec<_> = expected.copied().collect();
            assert_eq!(found, expected, "{prefix} by {page}");
        }
    }
}

#[tokio::test]
async fn what_has_ended_is_not_there_fills_nothing_and_is_forgotten() {
    let place = Place::new().await;
    let (values, space) = (&place.values, of_alice());
    let after = |ms| NOW.plus(Duration::from_millis(ms));
    let brief = |now: Timestamp| Writing {
        now,
        sure: now,
        expires_at: Some(now.plus(Duration::from_millis(100))),
        keys_max: 2,
        ..WRITING
    };
    let pairs: [(&str, &[u8]); 2] = [("a", b"1"), ("b", b"1")];
    values.set(&space, &pairs, &brief(NOW)).await.unwrap();
    let seen = values.version(&space, "a", after(99)).await.unwrap();
    assert!(seen.is_some());
    let one = values.get(&space, &["a"], 9, after(100)).await.unwrap();
    assert_eq!(one, [None]);
    assert_eq!(values.version(&space, "a", after(100)).await.unwrap(), None);
    let keys = values.keys(&space, "", "", 9, after(100)).await.unwrap();
    assert_eq!(keys, [""; 0]);

    // It fills no quota, is no number, and was not seen.
    values
        .set(&space, &[("c", b"1")], &brief(after(100)))
        .await
        .unwrap();
    assert_eq!(counted(values, &space).await, [(1, 2); 2]);
    let (at_100, at_150) = (brief(after(100)), brief(after(150)));
    let sum = values.increment(&space, "a", 5, &at_100);
    assert_eq!(sum.await.unwrap(), 5);
    let swap = values.swap(&space, "a", seen, b"2", &at_150);
    assert!(matches!(swap.await.unwrap(), Swapped::Changed(Some(_))));

    let shared = self::space("memory", "acme", None);
    values.set(&shared, &pairs, &brief(NOW)).await.unwrap();
    assert_eq!(values.prune(after(150)).await.unwrap(), 2);
    assert_eq!(values.prune(after(200)).await.unwrap(), 2);
    assert_eq!(values.prune(after(200)).await.unwrap(), 0);
    assert_eq!(counted(values, &space).await, [(0, 0); 2]);
    assert_eq!(counted(values, &shared).await, [(0, 0); 2]);
}

#[tokio::test]
async fn what_ended_by_a_time_that_is_not_believed_is_not_there_and_comes_back() {
    let place = Place::new().await;
    let (values, space) = (&place.values, of_alice());
    let ahead = NOW.plus(Duration::from_secs(3600));
    let pairs: [(&str, &[u8]); 3] = [("a", b"1"), ("b", b"2"), ("c", b"3")];
    let brief = Writing {
        keys_max: 4,
        expires_at: Some(NOW.plus(Duration::from_millis(100))),
        ..WRITING
    };
    values.set(&space, &pairs, &brief).await.unwrap();
    let seen = values.version(&space, "b", NOW).await.unwrap();
    let leapt = Writing {
        now: ahead,
        ..brief
    };
    let leapt = Writing {
        expires_at: Some(ahead.plus(Duration::from_millis(100))),
        ..leapt
    };
    // Whoever writes goes by what there is; what is not there for them is kept, and fills the space.
    assert_eq!(values.increment(&space, "b", 7, &leapt).await.unwrap(), 7);
    let swap = values.swap(&space, "c", seen, b"4", &leapt).await;
    assert!(matches!(swap.unwrap(), Swapped::Changed(None)));
    values.set(&space, &[("d", b"5")], &leapt).await.unwrap();
    let more = values.set(&space, &[("e", b"6")], &leapt).await;
    assert!(matches!(more, Err(KvError::Full)));
    values.delete(&space, &["none"], NOW).await.unwrap();
    assert_eq!(values.prune(NOW).await.unwrap(), 0);
    let keys = values.keys(&space, "", "", 9, ahead).await.unwrap();
    assert_eq!(keys, ["b", "d"]);
    assert_eq!(counted(values, &space).await, [(4, 8); 2]);

    assert_eq!(get(values, &space, "a").await.unwrap(), b"1");
    assert_eq!(get(values, &space, "c").await.unwrap(), b"3");
    assert_eq!(get(values, &space, "b").await.unwrap(), b"7");
    // Where the time comes to be believed, what ended by it goes.
    let sure = Writing {
        sure: ahead,
        ..leapt
    };
    values.set(&space, &[("e", b"6")], &sure).await.unwrap();
    assert_eq!(all(values, &space).await, ["b", "d", "e"]);
}

#[test]
fn the_bound_of_a_prefix_is_the_least_above_it() {
    for (prefix, bound) in [
        ("", None),
        ("a", Some("b")),
        ("a/", Some("a0")),
        ("a\u{d7ff}", Some("a\u{e000}")),
        ("a\u{10ffff}", Some("b")),
        ("\u{10ffff}", None),
    ] {
        assert_eq!(beyond(prefix).as_deref(), bound, "{prefix:?}");
    }
}
