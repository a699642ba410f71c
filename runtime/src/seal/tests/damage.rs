//! Rows that somebody else wrote, and key files that are lost, wrong or older.

use proptest::prelude::*;
use sqlx::Row;
use sqlx::sqlite::SqlitePool;

use super::*;

/// Two values of one owner, one of another field, one of another package, one of another tenant.
async fn filled(seals: &Seals) -> Vec<(Owner, Handle, &'static str)> {
    let acme = owner("acme");
    let package = Owner {
        package: "other".parse().unwrap(),
        ..acme.clone()
    };
    let field = Plain {
        field: "customer_add:/phone".to_owned(),
        ..plain("field")
    };
    let mut all = Vec::new();
    for (owner, value, plain) in [
        (&acme, "first", plain("first")),
        (&acme, "other", plain("other")),
        (&acme, "field", field),
        (&package, "package", plain("package")),
        (&owner("rival"), "tenant", plain("tenant")),
    ] {
        let handle = sealed(seals, owner, vec![plain]).await[0];
        all.push((owner.clone(), handle, value));
    }
    all
}

async fn run(pool: &SqlitePool, sql: String) {
    let done = sqlx::query(sqlx::AssertSqlSafe(sql)).execute(pool).await;
    done.unwrap();
}

/// Every value, in the order of its making, opens for whoever stands in its row or gives an error; never another value.
async fn none_opens_as_another(seals: &Seals, all: &[(Owner, Handle, &str)], changed: usize) {
    for (at, (owner, handle, value)) in all.iter().enumerate() {
        match opened(seals, owner, handle).await {
            Ok(open) => assert_eq!(open, **value),
            Err(error) => assert!(
                at == changed
                    && matches!(
                        error,
                        SealError::Damaged | SealError::Unknown | SealError::Provider(_)
                    ),
                "{at}: {error}"
            ),
        }
    }
    let (owner, handle, _) = &all[changed];
    assert!(opened(seals, owner, handle).await.is_err());
}

#[tokio::test]
async fn no_part_of_a_row_serves_in_another() {
    let columns = [
        "data_key",
        "value",
        "data_key, value",
        "data_key, value, expires_at",
        "tenant, data_key, value",
        "publisher, package, field, class, data_key, value",
    ];
    for columns in columns {
        for other in 1..5 {
            let place = Place::new().await;
            let seals = place.seals().await;
            let all = filled(&seals).await;
            let values = place.values().await;
            run(
                values.writer(),
                format!(
                    "UPDATE seal_value SET ({columns}) = (SELECT {columns} FROM seal_value WHERE place = {}) WHERE place = 1",
                    other + 1
                ),
            )
            .await;
            none_opens_as_another(&place.seals().await, &all, 0).await;
        }
    }
}

#[tokio::test]
async fn a_row_given_to_somebody_else_does_not_open_for_them() {
    let rival = owner("rival");
    for change in [
        "tenant = (SELECT id FROM seal_tenant WHERE tenant = 'rival')",
        "package = 'other'",
        "publisher = 'other'",
    ] {
        let place = Place::new().await;
        let seals = place.seals().await;
        let all = filled(&seals).await;
        let values = place.values().await;
        run(
            values.writer(),
            format!("UPDATE seal_value SET {change} WHERE place = 1"),
        )
        .await;
        let acme = owner("acme");
        for stranger in [
            rival.clone(),
            Owner {
                package: "other".parse().unwrap(),
                ..acme.clone()
            },
            Owner {
                publisher: "other".parse().unwrap(),
                ..acme.clone()
            },
        ] {
            let refused = opened(&seals, &stranger, &all[0].1).await;
            assert!(matches!(
                refused,
                Err(SealError::Unknown | SealError::Damaged)
            ));
        }
    }
}

#[tokio::test]
async fn what_is_said_of_a_value_cannot_be_changed() {
    for change in [
        "field = 'customer_add:/name'",
        "class = 'phone'",
        "expires_at = expires_at + 1",
        "expires_at = 9000000000000",
        "equal = 1",
        "id = x'00000000000000000000000000000000'",
        "data_key = x''",
        "value = x''",
        "value = substr(value, 1, length(value) - 1)",
        "value = zeroblob(length(value))",
        "data_key = substr(data_key, 2)",
    ] {
        let place = Place::new().await;
        let seals = place.seals().await;
        let all = filled(&seals).await;
        let values = place.values().await;
        run(
            values.writer(),
            format!("UPDATE seal_value SET {change} WHERE place = 1"),
        )
        .await;
        none_opens_as_another(&seals, &all, 0).await;
    }
    // What says when it was made decides nothing.
}

#[tokio::test]
async fn a_key_of_a_tenant_serves_no_other_tenant_purpose_or_version() {
    let place = Place::new().await;
    let seals = place.seals().await;
    let all = filled(&seals).await;
    let acme = all[0].0.clone();
    let marked = sealed(&seals, &acme, vec![equal("a")]).await[0];
    let values = place.values().await;
    // The rival's key in our place, with what hangs on it. The process that moved it holds both keys as they are.
    let moved = "UPDATE seal_key SET (provider_key, wrapped) = (SELECT k.provider_key, k.wrapped FROM seal_key k \
                 JOIN seal_tenant t ON t.id = k.tenant WHERE t.tenant = 'rival') \
                 WHERE purpose = 'value' AND tenant = (SELECT id FROM seal_tenant WHERE tenant = 'acme')";
    run(values.writer(), moved.to_owned()).await;
    for seals in [&seals, &place.seals().await] {
        let refused = opened(seals, &acme, &all[0].1).await;
        assert!(matches!(
            refused,
            Err(SealError::Provider(ProviderError::DoesNotOpen { .. }))
        ));
        let refused = seals.prepare(&acme, vec![plain("a")], NOW).await;
        assert!(matches!(refused, Err(SealError::Provider(_))));
    }
    // The key of marks in the place of the one of values.
    let moved = "UPDATE seal_key SET (provider_key, wrapped) = (SELECT provider_key, wrapped FROM seal_key WHERE purpose = 'equality') \
                 WHERE purpose = 'value'";
    run(values.writer(), moved.to_owned()).await;
    let refused = opened(&seals, &acme, &marked).await;
    assert!(matches!(refused, Err(SealError::Provider(_))));
}

#[tokio::test]
async fn an_older_state_of_a_value_does_not_open_once_its_key_is_gone() {
    let place = Place::new().await;
    let (seals, acme) = (place.seals().await, owner("acme"));
    let handle = one(&seals, &acme, "a").await;
    let values = place.values().await;
    let row = sqlx::query("SELECT data_key FROM seal_value");
    let row = row.fetch_one(values.writer()).await.unwrap();
    let old: Vec<u8> = row.get("data_key");
    seals.rotate(&acme.tenant, NOW, |_, _| {}).await.unwrap();
    assert_eq!(opened(&seals, &acme, &handle).await.unwrap(), "a");
    for version in [1, 2] {
        let put_back = sqlx::query("UPDATE seal_value SET data_key = ?, key_version = ?");
        let put_back = put_back.bind(&old).bind(version);
        put_back.execute(values.writer()).await.unwrap();
        let refused = opened(&seals, &acme, &handle).await;
        assert!(matches!(
            refused,
            Err(SealError::Retired | SealError::Damaged)
        ));
    }
}

#[tokio::test]
async fn a_lost_wrong_or_older_key_file_is_an_error_and_destroys_nothing() {
    let place = Place::new().await;
    let acme = owner("acme");
    let first = std::fs::read(place.keys()).unwrap();
    add_version(&place.keys()).unwrap();
    let good = std::fs::read(place.keys()).unwrap();
    let handle = one(&place.seals().await, &acme, "a").await;
    let stale = place.seals().await;
    for (bad, says) in [
        (Some(first.as_slice()), "is not in the key file"),
        (Some(&b"# none\n"[..]), "holds no key"),
        (None, "cannot be used"),
    ] {
        match bad {
            Some(bad) => std::fs::write(place.keys(), bad).unwrap(),
            None => std::fs::remove_file(place.keys()).unwrap(),
        }
        let seals = place.seals().await;
        let error = seals.try_keys().await.unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains(says) && !error.is_passing(), "{cause}");
        assert!(opened(&seals, &acme, &handle).await.is_err());
        assert!(seals.rotate(&acme.tenant, NOW, |_, _| {}).await.is_err());
        assert!(seals.prepare(&acme, vec![plain("b")], NOW).await.is_err());
        let rewrapped = seals.rewrap().await;
        assert!(rewrapped.is_err() || !rewrapped.unwrap().unopened.is_empty());
    }
    // Another key under the same number.
    add_version(&place.keys()).unwrap();
    add_version(&place.keys()).unwrap();
    let error = place.seals().await.try_keys().await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("is another key"), "{cause}");
    std::fs::write(place.keys(), &good).unwrap();
    place.seals().await.try_keys().await.unwrap();
    for seals in [stale, place.seals().await] {
        assert_eq!(opened(&seals, &acme, &handle).await.unwrap(), "a");
    }
    // What was begun under it is gone on with.
    let rotated = place
        .seals()
        .await
        .rotate(&acme.tenant, NOW, |_, _| {})
        .await;
    assert_eq!(rotated.unwrap().left, Vec::<u32>::new());
    assert_eq!(
        opened(&place.seals().await, &acme, &handle).await.unwrap(),
        "a"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn no_bit_of_a_row_or_a_key_can_be_changed(
        column in 0..3_usize,
        at in any::<proptest::sample::Index>(),
        flip in 1..=u8::MAX,
        cut in any::<bool>(),
        value in "[a-z@.]{0,40}",
    ) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let place = Place::new().await;
            let acme = owner("acme");
            let handle = one(&place.seals().await, &acme, &value).await;
            let values = place.values().await;
            let (table, column) = [("seal_value", "data_key"), ("seal_value", "value"), ("seal_key", "wrapped")][column];
            let read = sqlx::query(sqlx::AssertSqlSafe(format!("SELECT {column} FROM {table}")));
            let mut bytes: Vec<u8> = read.fetch_one(values.writer()).await.unwrap().get(0);
            let at = at.index(bytes.len());
            match cut {
                true => bytes.truncate(at),
                false => bytes[at] ^= flip,
            }
            let written = sqlx::query(sqlx::AssertSqlSafe(format!("UPDATE {table} SET {column} = ?")));
            written.bind(bytes).execute(values.writer()).await.unwrap();
            let refused = opened(&place.seals().await, &acme, &handle).await;
            assert!(matches!(refused, Err(SealError::Damaged | SealError::Provider(ProviderError::DoesNotOpen { .. }))));
        });
    }
}
