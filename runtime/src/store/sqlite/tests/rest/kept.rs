//! Values that guests keep, under encryption.

use super::*;
use crate::store::kv::{KeyValues, Space, Swapped, Writing};

fn space(tenant: &str) -> Space {
    Space {
        store: "memory".parse().unwrap(),
        tenant: tenant.parse().unwrap(),
        user: Some(user("alice")),
    }
}

const WRITING: Writing = Writing {
    bytes_max: 40,
    keys_max: 3,
    now: NOW,
    sure: NOW,
    expires_at: None,
};

async fn value(values: &SqliteKeyValues, tenant: &str, key: &str) -> Option<Vec<u8>> {
    let found = values
        .get(&space(tenant), &[key], 1_000, NOW)
        .await
        .unwrap();
    found.into_iter().next().unwrap()
}

#[tokio::test]
async fn kept_values_are_encrypted_and_counted_as_they_are() {
    for sealed in [false, true] {
        let home = Home::new();
        let file = SqliteKeyValues::beside(&home.state());
        let clear = SqliteKeyValues::open(&file).await.unwrap();
        let early: &[(&str, &[u8])] = &[("early", CANARY.as_bytes())];
        clear.set(&space("acme"), early, &WRITING).await.unwrap();
        clear.close().await;
        let values = match sealed {
            true => home.values().await,
            false => SqliteKeyValues::open(&file).await.unwrap(),
        };
        assert_eq!(
            value(&values, "acme", "early").await.unwrap(),
            CANARY.as_bytes()
        );
        let acme = space("acme");
        // 5 + 11 bytes are there; 1 + 23 fit, and no more.
        let long = [b'x'; 23];
        let too_long = values.set(&acme, &[("k", &[b'x'; 24])], &WRITING).await;
        assert!(too_long.is_err());
        values.set(&acme, &[("k", &long)], &WRITING).await.unwrap();
        assert!(values.set(&acme, &[("l", b"")], &WRITING).await.is_err());
        let one = values.get(&acme, &["k"], 23, NOW).await.unwrap();
        assert_eq!(one, [Some(long.to_vec())]);
        assert!(values.get(&acme, &["k"], 22, NOW).await.is_err());
        values.delete(&acme, &["k"], NOW).await.unwrap();
        assert_eq!(
            values.increment(&acme, "n", 41, &WRITING).await.unwrap(),
            41
        );
        assert_eq!(values.increment(&acme, "n", 1, &WRITING).await.unwrap(), 42);
        let seen = values.version(&acme, "n", NOW).await.unwrap();
        let swapped = values
            .swap(&acme, "n", seen, b"43", &WRITING)
            .await
            .unwrap();
        assert_eq!(swapped, Swapped::Done);
        assert_eq!(value(&values, "acme", "n").await.unwrap(), b"43");
        values
            .set(&acme, &[("empty", b"")], &WRITING)
            .await
            .unwrap();
        assert_eq!(value(&values, "acme", "empty").await.unwrap(), b"");
        values.set(&space("rival"), early, &WRITING).await.unwrap();
        assert_eq!(home.found(CANARY) == 0, sealed);
        if !sealed {
            continue;
        }
        let refused = SqliteKeyValues::open(&file).await.unwrap_err();
        assert!(matches!(refused, StoreError::Sealed(_)), "{refused}");
        values
            .rest_file()
            .rotate(Some(&acme.tenant), NOW)
            .await
            .unwrap();
        assert_eq!(
            value(&home.values().await, "acme", "early").await.unwrap(),
            CANARY.as_bytes()
        );
        let (keys, rows) = values.rest_file().erase(&acme.tenant, NOW).await.unwrap();
        assert!(keys == 1 && rows >= 3, "{keys} {rows}");
        values.rest_file().rewrite().await.unwrap();
        assert_eq!(value(&values, "acme", "early").await, None);
        assert_eq!(
            value(&values, "rival", "early").await.unwrap(),
            CANARY.as_bytes()
        );
        let spaces = "SELECT COUNT(*) FROM kv_space WHERE tenant = 'acme'";
        let spaces: i64 = sqlx::query_scalar(spaces)
            .fetch_one(values.writer())
            .await
            .unwrap();
        assert_eq!(spaces, 0);
        // No version comes a second time.
        for n in 0..20 {
            values.increment(&acme, "n", n, &WRITING).await.unwrap();
            let swapped = values.swap(&acme, "n", seen, b"1", &WRITING).await;
            assert_ne!(swapped.unwrap(), Swapped::Done);
        }
        values.delete(&acme, &["n"], NOW).await.unwrap();
        // An empty quota, under a new key.
        values.set(&acme, &[("k", &long)], &WRITING).await.unwrap();
        assert_eq!(value(&values, "acme", "k").await.unwrap(), long);
        // A space in which nothing was ever kept goes as well.
        let other = space("other");
        values.delete(&other, &["k"], NOW).await.unwrap();
        let erased = values.rest_file().erase(&other.tenant, NOW).await.unwrap();
        assert_eq!(erased, (0, 1));
    }
}

#[tokio::test]
async fn a_kept_value_is_read_under_its_own_name_and_from_its_own_writing() {
    let home = Home::new();
    let values = home.values().await;
    let acme = space("acme");
    let pairs: &[(&str, &[u8])] = &[("a", b"first"), ("b", b"other")];
    values.set(&acme, pairs, &WRITING).await.unwrap();
    let before: Vec<u8> = sqlx::query_scalar("SELECT body FROM kv_entry WHERE key = 'a'")
        .fetch_one(values.writer())
        .await
        .unwrap();
    let pairs: &[(&str, &[u8])] = &[("a", b"newer")];
    values.set(&acme, pairs, &WRITING).await.unwrap();
    assert_eq!(value(&values, "acme", "a").await.unwrap(), b"newer");
    let swap =
        "UPDATE kv_entry SET body = (SELECT body FROM kv_entry WHERE key = 'b') WHERE key = 'a'";
    for statement in [
        sqlx::query(swap),
        sqlx::query("UPDATE kv_entry SET body = ? WHERE key = 'a'").bind(before),
        sqlx::query("UPDATE kv_entry SET expires_at = 99999999 WHERE key = 'b'"),
    ] {
        statement.execute(values.writer()).await.unwrap();
        let read = values.get(&acme, &["a"], 1_000, NOW).await;
        assert!(read.is_err());
    }
    assert!(values.get(&acme, &["b"], 1_000, NOW).await.is_err());
}
