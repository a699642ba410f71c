mod damage;
mod million;
mod outage;
mod rotation;
mod vault;

use std::path::PathBuf;

use super::*;
use crate::clock::SystemClock;
use crate::config::SealConfig;
use crate::limits::{SEALED_KEEP_DEFAULT, SEALED_VALUES_MAX};
use crate::store::seals::{Purpose, SealedValues};
use crate::store::{SharedStore, SqliteSealedValues, SqliteStore};

const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// A key file, a file of values and an audit log, which live as long as they do.
struct Place {
    dir: tempfile::TempDir,
    store: SharedStore,
    audit: Audit,
}

/// Whether others wrote for longer than anybody waits: then nothing was done.
fn is_locked(error: &StoreError) -> bool {
    let text = |error: &sqlx::Error| error.to_string().contains("database is locked");
    matches!(error, StoreError::Database(error) if text(error))
}

impl Place {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        add_version(&dir.path().join("keys")).unwrap();
        let store: SharedStore = Arc::new(SqliteStore::in_memory().await.unwrap());
        let audit = Audit::start(Arc::clone(&store), Arc::new(SystemClock)).await;
        Self {
            audit: audit.unwrap(),
            store,
            dir,
        }
    }

    fn keys(&self) -> PathBuf {
        self.dir.path().join("keys")
    }

    async fn values(&self) -> SqliteSealedValues {
        let file = self.dir.path().join("s.db.sealed");
        // Who begins while others write waits for them, also where they take longer than anybody waits.
        for _ in 0..10 {
            match SqliteSealedValues::open(&file).await {
                Err(error) if is_locked(&error) => {}
                opened => return opened.unwrap(),
            }
        }
        panic!("others write without end");
    }

    /// As a process that begins now.
    async fn seals(&self) -> Seals {
        self.seals_of(SEALED_VALUES_MAX).await
    }

    async fn seals_of(&self, values_max: u64) -> Seals {
        self.seals_with(values_max, values_max).await
    }

    async fn seals_with(&self, values_max: u64, package_values_max: u64) -> Seals {
        let config = SealConfig {
            key_file: Some(self.keys()),
            vault: None,
            keep: SEALED_KEEP_DEFAULT,
            values_max,
            package_values_max,
        };
        let keeping = Keeping {
            span: config.keep,
            most: Most {
                tenant: values_max,
                package: package_values_max,
            },
        };
        let provider = Provider::new(&config, None).unwrap();
        let values = Arc::new(self.values().await);
        Seals::new(values, provider, self.audit.clone(), keeping)
    }

    async fn kinds(&self) -> Vec<String> {
        self.audit.flush().await.unwrap();
        let rows = self.store.audit_from(1, 1_000).await.unwrap();
        let kind = |json: &str| {
            let record: serde_json::Value = serde_json::from_str(json).unwrap();
            record["type"].as_str().unwrap().to_owned()
        };
        rows.iter().map(|row| kind(&row.text)).collect()
    }
}

fn owner(tenant: &str) -> Owner {
    Owner {
        tenant: tenant.parse().unwrap(),
        publisher: "example".parse().unwrap(),
        package: "crm".parse().unwrap(),
    }
}

fn plain(value: &str) -> Plain {
    Plain {
        field: "customer_add:/email".to_owned(),
        class: "email".parse().unwrap(),
        value: Zeroizing::new(value.to_owned()),
        equal: false,
    }
}

fn equal(value: &str) -> Plain {
    Plain {
        equal: true,
        ..plain(value)
    }
}

async fn sealed(seals: &Seals, owner: &Owner, values: Vec<Plain>) -> Vec<Handle> {
    let prepared = seals.prepare(owner, values, NOW).await.unwrap();
    let handles = prepared.handles().to_vec();
    prepared.keep(NOW).await.unwrap();
    handles
}

async fn one(seals: &Seals, owner: &Owner, value: &str) -> Handle {
    sealed(seals, owner, vec![plain(value)]).await[0]
}

async fn opened(seals: &Seals, owner: &Owner, handle: &Handle) -> Result<String, SealError> {
    let sealed = seals.look(owner, handle, NOW).await?;
    Ok(seals.open(sealed).await?.as_str().to_owned())
}

#[tokio::test]
async fn a_value_opens_for_its_owner_and_for_nobody_else() {
    let place = Place::new().await;
    let (seals, acme) = (place.seals().await, owner("acme"));
    let handles = sealed(&seals, &acme, vec![plain("a@a.example"), plain("ü")]).await;
    assert_eq!(handles.len(), 2);
    let looked = seals.look(&acme, &handles[0], NOW).await.unwrap();
    assert_eq!(looked.field, "customer_add:/email");
    assert_eq!(looked.class.as_str(), "email");
    // Also in another process.
    let other = place.seals().await;
    assert_eq!(
        opened(&other, &acme, &handles[0]).await.unwrap(),
        "a@a.example"
    );
    assert_eq!(opened(&other, &acme, &handles[1]).await.unwrap(), "ü");
    for stranger in [
        owner("other"),
        Owner {
            publisher: "other".parse().unwrap(),
            ..acme.clone()
        },
        Owner {
            package: "other".parse().unwrap(),
            ..acme.clone()
        },
    ] {
        let refused = seals.look(&stranger, &handles[0], NOW).await;
        assert!(matches!(refused, Err(SealError::Unknown)), "{stranger:?}");
    }
    let nothing = Handle::new([0; 16], None);
    let refused = seals.look(&acme, &nothing, NOW).await;
    assert!(matches!(refused, Err(SealError::Unknown)));
    let marked = Handle::new(*handles[0].id(), Some([0; 16]));
    let refused = seals.look(&acme, &marked, NOW).await;
    assert!(matches!(refused, Err(SealError::Unknown)));
}

#[tokio::test]
async fn without_a_key_nothing_is_encrypted_and_nothing_opens() {
    let (seals, acme) = (Seals::default(), owner("acme"));
    assert!(!seals.is_there());
    let refused = seals.prepare(&acme, vec![plain("a")], NOW).await;
    assert!(matches!(refused, Err(SealError::NoKey)));
    let refused = seals.look(&acme, &Handle::new([0; 16], None), NOW).await;
    assert!(matches!(refused, Err(SealError::NoKey)));
    assert_eq!(seals.prune(NOW).await.unwrap(), 0);
}

#[tokio::test]
async fn a_package_fills_its_own_share_and_leaves_that_of_others() {
    let place = Place::new().await;
    let (seals, acme) = (place.seals_with(4, 2).await, owner("acme"));
    let other = Owner {
        package: "other".parse().unwrap(),
        ..acme.clone()
    };
    let keep = async |owner: &Owner, number: usize| {
        let values = (0..number).map(|_| plain("a")).collect();
        let prepared = seals.prepare(owner, values, NOW).await.unwrap();
        prepared.keep(NOW).await
    };
    assert!(matches!(keep(&acme, 3).await, Err(SealError::PackageFull)));
    keep(&acme, 2).await.unwrap();
    assert!(matches!(keep(&acme, 1).await, Err(SealError::PackageFull)));
    // What was refused is counted nowhere, and another tenant's share is its own.
    keep(&other, 2).await.unwrap();
    assert!(matches!(keep(&other, 1).await, Err(SealError::Full)));
    keep(&owner("rival"), 2).await.unwrap();
    // What has ended, and what was erased, leaves room.
    let later = NOW.plus(SEALED_KEEP_DEFAULT);
    assert_eq!(seals.prune(later).await.unwrap(), 6);
    keep(&acme, 2).await.unwrap();
    assert!(matches!(keep(&acme, 1).await, Err(SealError::PackageFull)));
    seals.erase(&acme.tenant, NOW).await.unwrap();
    keep(&acme, 2).await.unwrap();
}

#[tokio::test]
async fn what_is_prepared_is_kept_whole_or_not_at_all() {
    let place = Place::new().await;
    let (seals, acme) = (place.seals_of(3).await, owner("acme"));
    let prepared = seals.prepare(&acme, vec![plain("a")], NOW).await.unwrap();
    let dropped = prepared.handles()[0];
    drop(prepared);
    let refused = seals.look(&acme, &dropped, NOW).await;
    assert!(matches!(refused, Err(SealError::Unknown)));
    sealed(&seals, &acme, vec![plain("a"), plain("b")]).await;
    let two = vec![plain("c"), plain("d")];
    let prepared = seals.prepare(&acme, two, NOW).await.unwrap();
    let handles = prepared.handles().to_vec();
    assert!(matches!(prepared.keep(NOW).await, Err(SealError::Full)));
    for handle in &handles {
        let refused = seals.look(&acme, handle, NOW).await;
        assert!(matches!(refused, Err(SealError::Unknown)));
    }
    // The last place is still free, and another tenant has its own.
    one(&seals, &acme, "c").await;
    one(&seals, &owner("other"), "c").await;
    let prepared = seals.prepare(&acme, vec![plain("d")], NOW).await.unwrap();
    assert!(matches!(prepared.keep(NOW).await, Err(SealError::Full)));
    let nothing = seals.prepare(&acme, Vec::new(), NOW).await.unwrap();
    assert!(nothing.handles().is_empty());
    nothing.keep(NOW).await.unwrap();
}

#[tokio::test]
async fn what_is_too_large_or_too_much_is_refused() {
    let place = Place::new().await;
    let (seals, acme) = (place.seals().await, owner("acme"));
    let most = "x".repeat(SEALED_VALUE_BYTES_MAX);
    let handle = one(&seals, &acme, &most).await;
    assert_eq!(opened(&seals, &acme, &handle).await.unwrap(), most);
    let more = vec![plain(&format!("{most}x"))];
    let refused = seals.prepare(&acme, more, NOW).await;
    assert!(matches!(refused, Err(SealError::TooLarge)));
    let far = Plain {
        field: "x".repeat(SEALED_FIELD_BYTES_MAX + 1),
        ..plain("a")
    };
    let refused = seals.prepare(&acme, vec![far], NOW).await;
    assert!(matches!(refused, Err(SealError::TooLarge)));
    let many = (0..=SEALED_BATCH_MAX).map(|_| plain("a")).collect();
    let refused = seals.prepare(&acme, many, NOW).await;
    assert!(matches!(refused, Err(SealError::TooMany)));
}

#[tokio::test]
async fn a_value_ends_and_then_does_not_open_and_fills_no_quota() {
    let place = Place::new().await;
    let (seals, acme) = (place.seals_of(1).await, owner("acme"));
    let handle = one(&seals, &acme, "a").await;
    let last = NOW.plus(SEALED_KEEP_DEFAULT - Duration::from_millis(1));
    let end = NOW.plus(SEALED_KEEP_DEFAULT);
    seals.look(&acme, &handle, last).await.unwrap();
    let ended = seals.look(&acme, &handle, end).await;
    assert!(matches!(ended, Err(SealError::Unknown)));
    assert_eq!(seals.prune(last).await.unwrap(), 0);
    assert_eq!(seals.prune(end).await.unwrap(), 1);
    one(&seals, &acme, "b").await;
}

#[tokio::test]
async fn equal_values_have_equal_marks_only_within_their_owner_and_class_and_only_if_asked_for() {
    let place = Place::new().await;
    let (seals, acme) = (place.seals().await, owner("acme"));
    let all = sealed(
        &seals,
        &acme,
        vec![equal("a"), equal("a"), equal("b"), plain("a")],
    )
    .await;
    assert_eq!(all[0].equal(), all[1].equal());
    assert!(all[0].equal().is_some() && all[0].id() != all[1].id());
    assert_ne!(all[0].equal(), all[2].equal());
    assert_eq!(all[3].equal(), None);
    let phone = Plain {
        class: "phone".parse().unwrap(),
        ..equal("a")
    };
    let phone = sealed(&seals, &acme, vec![phone]).await[0];
    let package = Owner {
        package: "other".parse().unwrap(),
        ..acme.clone()
    };
    let package = sealed(&seals, &package, vec![equal("a")]).await[0];
    let tenant = sealed(&seals, &owner("other"), vec![equal("a")]).await[0];
    let marks = [all[0], phone, package, tenant].map(|one| one.equal().copied());
    for (at, mark) in marks.iter().enumerate() {
        assert!(!marks[at + 1..].contains(mark));
    }
    for (handle, value) in all.iter().zip(["a", "a", "b", "a"]) {
        assert_eq!(opened(&seals, &acme, handle).await.unwrap(), value);
    }
    // Another mark, or none, is another handle.
    for wrong in [
        Handle::new(*all[0].id(), all[2].equal().copied()),
        Handle::new(*all[0].id(), None),
    ] {
        let refused = opened(&seals, &acme, &wrong).await;
        assert!(matches!(refused, Err(SealError::Unknown)));
    }
    // Marks stay when the key is rotated.
    seals.rotate(&acme.tenant, NOW, |_, _| {}).await.unwrap();
    let again = sealed(&seals, &acme, vec![equal("a")]).await[0];
    assert_eq!(again.equal(), all[0].equal());
    // No mark stands in any file.
    let mark = all[0].equal().unwrap().as_slice();
    for file in std::fs::read_dir(place.dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(16).any(|window| window == mark));
    }
}

#[tokio::test]
async fn tenants_first_keys_are_made_once_however_many_ask() {
    let place = Place::new().await;
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let seals = place.seals().await;
        tasks.push(tokio::spawn(async move {
            let acme = owner("acme");
            (
                one(&seals, &acme, "a").await,
                sealed(&seals, &acme, vec![equal("b")]).await[0],
            )
        }));
    }
    let mut handles = Vec::new();
    for task in tasks {
        handles.push(task.await.unwrap());
    }
    let (seals, acme) = (place.seals().await, owner("acme"));
    for (a, b) in &handles {
        assert_eq!(opened(&seals, &acme, a).await.unwrap(), "a");
        assert_eq!(opened(&seals, &acme, b).await.unwrap(), "b");
    }
    let mut all = Vec::new();
    seals.standing(|one| all.push(one)).await.unwrap();
    let all: Vec<_> = all
        .iter()
        .map(|one| (one.key.purpose, one.key.version, one.values))
        .collect();
    assert_eq!(all.len(), 2);
    assert!(all.contains(&(Purpose::Value, 1, 16)));
    assert!(all.contains(&(Purpose::Equality, 1, 0)));
}

#[tokio::test]
async fn no_plain_value_stands_in_any_file() {
    let place = Place::new().await;
    let (seals, acme) = (place.seals().await, owner("acme"));
    let handle = sealed(&seals, &acme, vec![equal("canary-value@a.example")]).await[0];
    assert!(opened(&seals, &acme, &handle).await.is_ok());
    for file in std::fs::read_dir(place.dir.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(12).any(|window| window == b"canary-value"));
    }
    let rows = place.store.audit_from(1, 1_000).await.unwrap();
    assert!(rows.iter().all(|row| !row.text.contains("canary")));
    assert!(rows.iter().any(|row| row.text.contains("keys.made")));
}
