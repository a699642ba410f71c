//! A tool that comes from another publisher while the server runs.

use std::path::Path;

use tokio_util::sync::CancellationToken;

use super::*;
use crate::catalog::{Catalog, compile, package};
use crate::config;
use crate::engine::testing::engine;

const SERVES: &str =
    r#"(component (instance $i) (export "bailiwick:tool/handler@0.1.0" (instance $i)))"#;

/// Puts a package of this publisher in the place of the one before.
fn put(dir: &Path, publisher: &str) {
    let mut manifest = manifest("notes", &[]);
    manifest.publisher = publisher.parse().unwrap();
    let bytes = package::write(&wat::parse_str(SERVES).unwrap(), &manifest).unwrap();
    std::fs::write(dir.join("aside"), bytes).unwrap();
    std::fs::rename(dir.join("aside"), dir.join("tools/notes.wasm")).unwrap();
}

#[tokio::test]
async fn a_tool_that_is_served_by_another_publisher_suspends_what_was_agreed_to_before() {
    let world = World::new().await;
    let id = world.given(&notes(), &[(WRITE, long())]).await.records[0];
    let state = async || {
        let row = world.store.consent(&alice(), id).await;
        row.unwrap().unwrap().state
    };
    let dir = tempfile::tempdir().unwrap();
    let tools = config::Tools {
        dir: dir.path().join("tools"),
        cache_dir: dir.path().join("cache"),
        tags: Default::default(),
        config: Default::default(),
        prefix: Vec::new(),
    };
    std::fs::create_dir(&tools.dir).unwrap();
    put(dir.path(), "example.test");
    let catalog = Catalog::open(tools, engine(), compile::testing::compiler(), |_| ()).await;
    let catalog = Arc::new(catalog.unwrap());
    let stop = CancellationToken::new();
    let follow = world.consents.clone().follow_publishers(
        Arc::clone(&catalog),
        Arc::new(world.clock.clone()),
        stop.clone(),
    );
    let follow = tokio::spawn(follow);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(state().await, ConsentState::Active);
    put(dir.path(), "evil.test");
    catalog.rescan().await.unwrap();
    let suspended = async {
        while state().await == ConsentState::Active {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let seen = tokio::time::timeout(Duration::from_secs(20), suspended).await;
    seen.expect("it is looked for");
    assert_eq!(state().await, ConsentState::Suspended);
    stop.cancel();
    follow.await.unwrap();
}

#[tokio::test]
async fn what_cannot_be_suspended_is_not_tried_for_ever() {
    let world = World::new().await;
    let id = world.given(&notes(), &[(WRITE, long())]).await.records[0];
    // As if what was found had ended each time before that.
    sqlx::query(
        "CREATE TRIGGER ended BEFORE UPDATE OF state ON consent BEGIN SELECT RAISE(IGNORE); END",
    )
    .execute(world.store.writer())
    .await
    .unwrap();
    let (name, other) = (notes().name().clone(), "evil.test".parse().unwrap());
    let suspends = world.consents.suspend_others(&name, &other, world.now());
    let suspended = tokio::time::timeout(Duration::from_secs(20), suspends).await;
    assert_eq!(suspended.expect("it ends").unwrap(), 0);
    let row = world.store.consent(&alice(), id).await.unwrap().unwrap();
    assert_eq!(row.state, ConsentState::Active);
    assert!(world.log("consent.suspended").await.is_empty());
}
