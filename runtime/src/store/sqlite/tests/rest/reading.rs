//! What only reads a state changes nothing of it, and what has no keys writes nothing that would have to be encrypted.

use super::*;

impl Home {
    async fn read(&self, keys: Option<SharedRestKeys>) -> Result<SqliteStore, StoreError> {
        SqliteStore::read(&self.state(), keys).await
    }
}

async fn own(store: &SqliteStore) -> Option<[u8; 32]> {
    let kept = store.kept_secret(None, "own").await.unwrap();
    kept.map(|kept| *kept)
}

/// Asserts that nothing can be written by this connection.
async fn writes_nothing(store: &SqliteStore) {
    let secret = store.secret(None, "new", [1; 32].into()).await;
    assert!(secret.is_err(), "{secret:?}");
    let mut mark = Mark::default();
    let drafts = &mut [Draft {
        change: None,
        records: vec![&mut mark as &mut dyn Chained],
    }];
    assert!(store.append(drafts).await.is_err());
    assert!(store.prune(LATER).await.is_err());
    assert_eq!(store.kept_secret(None, "new").await.unwrap(), None);
}

#[tokio::test]
async fn a_state_that_is_only_read_stays_as_it_is() {
    let home = Home::new();
    let missing = home.read(None).await;
    assert!(matches!(missing, Err(StoreError::Database(_))));
    assert!(!home.state().exists(), "reading makes no file");

    let clear = SqliteStore::open(&home.state()).await.unwrap();
    filled(&clear).await;
    clear.close().await;
    let found = home.found(CANARY);
    assert!(found > 0);
    let before = std::fs::read(home.state()).unwrap();
    // A `[seal]` that is new encrypts nothing, and its keys need not even be there.
    for keys in [None, Some(home.keys())] {
        let store = home.read(keys).await.unwrap();
        assert_eq!(own(&store).await, Some(OWN));
        assert_eq!(store.audit_from(1, 10).await.unwrap().len(), 3);
        writes_nothing(&store).await;
        store.close().await;
    }
    assert_eq!(std::fs::read(home.state()).unwrap(), before);

    // One whose takeover was broken off is read as far as it came, and is not gone on with.
    let begun = home.open_lazily().await;
    begun.rest.ready(None).await.unwrap();
    run(&begun, "INSERT INTO rest_state (id, whole) VALUES (1, 0)").await;
    assert_eq!(begun.rest.seal_some(&bodies::SECRET).await.unwrap(), 2);
    begun.close().await;
    let before = std::fs::read(home.state()).unwrap();
    let store = home.read(Some(home.keys())).await.unwrap();
    assert_eq!(own(&store).await, Some(OWN));
    let flow = store.session(Digest::of(b"cookie"), NOW).await.unwrap();
    assert!(flow.is_some(), "what is still in the clear is read as such");
    writes_nothing(&store).await;
    store.close().await;
    assert_eq!(std::fs::read(home.state()).unwrap(), before);
    // Without its keys it is refused, as by a server.
    let refused = home.read(None).await;
    assert!(matches!(refused, Err(StoreError::Sealed(_))));

    // One that is encrypted.
    home.open().await.close().await;
    let store = home.read(Some(home.keys())).await.unwrap();
    assert_eq!(own(&store).await, Some(OWN));
    writes_nothing(&store).await;
    run(
        &home.open_lazily().await,
        "UPDATE secret SET value = zeroblob(32), body = NULL, body_key = NULL WHERE tenant = ''",
    )
    .await;
    let refused = store.kept_secret(None, "own").await;
    assert!(matches!(refused, Err(StoreError::NotSealed("secret"))));
}

#[tokio::test]
async fn a_state_of_an_older_format_is_not_brought_to_a_newer_one_by_reading() {
    let home = Home::new();
    let store = SqliteStore::open(&home.state()).await.unwrap();
    assert!(home.read(None).await.is_ok());
    run(
        &store,
        "DELETE FROM state_format WHERE version = (SELECT MAX(version) FROM state_format)",
    )
    .await;
    let refused = home.read(None).await.unwrap_err();
    assert!(matches!(refused, StoreError::Older { .. }), "{refused}");
    run(&store, "INSERT INTO state_format (version) VALUES (10000)").await;
    let refused = SqliteStore::read_locked(&home.state()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Newer { .. }), "{refused}");
}

#[tokio::test]
async fn without_keys_nothing_is_written_in_the_clear() {
    let home = Home::new();
    for sealed in [false, true] {
        if sealed {
            home.open().await.close().await;
        }
        let locked = SqliteStore::open_locked(&home.state()).await.unwrap();
        let refused = locked.secret(None, "new", OWN.into()).await;
        assert!(matches!(refused, Err(StoreError::Sealed(_))), "{refused:?}");
        let refused = locked
            .insert_flow(Digest::of(b"state"), CANARY, LATER)
            .await;
        assert!(matches!(refused, Err(StoreError::Sealed(_))), "{refused:?}");
        let refused = locked.insert_session(&session()).await;
        assert!(matches!(refused, Err(StoreError::Sealed(_))), "{refused:?}");
        locked.close().await;
        assert_eq!(home.found(CANARY), 0);
    }
    // With them it is written, and found in no byte.
    let store = home.open().await;
    assert!(store.secret(None, "new", OWN.into()).await.is_ok());
    store.close().await;
    assert_eq!(home.found(CANARY), 0);
}
