//! A provider of keys that lets everybody wait.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::time::Instant;

use super::super::cipher::{Bound, Key};
use super::super::provider::{KeyProvider, ProviderError};
use super::super::rest::Rest;
use super::*;
use crate::store::StoreError;
use crate::store::rest::{RestKeys, RestPlace};
use crate::store::seals::WrappedKey;

const WAIT: Duration = Duration::from_millis(150);

/// Wraps nothing, and answers late or not at all.
#[derive(Default)]
struct Slow {
    is_out: AtomicBool,
    opens_nothing: AtomicBool,
    asked: AtomicUsize,
}

#[async_trait]
impl KeyProvider for Arc<Slow> {
    fn kind(&self) -> &'static str {
        "slow"
    }

    async fn newest(&self) -> Result<String, ProviderError> {
        Ok("slow:1".to_owned())
    }

    async fn known(&self) -> Result<Vec<String>, ProviderError> {
        Ok(vec![self.newest().await?])
    }

    async fn wrap(&self, key: &Key, _bound: &Bound) -> Result<WrappedKey, ProviderError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.is_out.load(Ordering::SeqCst) {
            tokio::time::sleep(WAIT).await;
            return Err(ProviderError::VaultStatus { status: 503 });
        }
        Ok(WrappedKey {
            provider_key: self.newest().await?,
            bytes: key.expose().to_vec(),
        })
    }

    async fn unwrap(&self, wrapped: &WrappedKey, _bound: &Bound) -> Result<Key, ProviderError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.is_out.load(Ordering::SeqCst) {
            tokio::time::sleep(WAIT).await;
            return Err(ProviderError::VaultStatus { status: 503 });
        }
        if self.opens_nothing.load(Ordering::SeqCst) {
            tokio::time::sleep(WAIT).await;
            let wanted = wrapped.provider_key.clone();
            return Err(ProviderError::DoesNotOpen { wanted });
        }
        Ok(Key::of(&wrapped.bytes).unwrap())
    }
}

fn place(tenant: &str) -> RestPlace {
    RestPlace {
        file: "state",
        tenant: tenant.parse().ok(),
        version: 1,
    }
}

struct World {
    slow: Arc<Slow>,
    rest: Rest,
    wrapped: Vec<(RestPlace, WrappedKey)>,
}

impl World {
    async fn new() -> Self {
        let slow = Arc::new(Slow::default());
        let rest = Rest::new(Arc::new(Provider::of(Arc::clone(&slow))));
        let mut wrapped = Vec::new();
        for tenant in ["held", "one", "two", "three"] {
            wrapped.push((place(tenant), rest.make(&place(tenant)).await.unwrap()));
        }
        let world = Self {
            slow,
            rest,
            wrapped,
        };
        world.open(0).await.unwrap();
        world.slow.asked.store(0, Ordering::SeqCst);
        world
    }

    async fn open(&self, nth: usize) -> Result<(), StoreError> {
        let (place, wrapped) = &self.wrapped[nth];
        self.rest.open(place, wrapped).await.map(drop)
    }

    fn asked(&self) -> usize {
        self.slow.asked.load(Ordering::SeqCst)
    }
}

#[tokio::test]
async fn a_provider_that_is_waited_for_in_vain_is_left_alone_for_a_while_whoever_asks() {
    let world = World::new().await;
    world.slow.is_out.store(true, Ordering::SeqCst);
    let began = Instant::now();
    for nth in [1, 2, 3, 1] {
        let refused = world.open(nth).await;
        assert!(matches!(refused, Err(StoreError::Keys(_))), "{refused:?}");
        // Nor is one made for whoever is new.
        let made = world.rest.make(&place("new")).await;
        assert!(matches!(made, Err(StoreError::Keys(_))));
        // What is held needs nobody.
        world.open(0).await.unwrap();
    }
    // A machine that is busy with others may take longer between two of them than the pause is.
    let most = 1 + began.elapsed().as_millis() / (WAIT * 6).as_millis();
    assert!(world.asked() as u128 <= most, "{} of {most}", world.asked());
    world.slow.is_out.store(false, Ordering::SeqCst);
    let again = async {
        while world.open(3).await.is_err() {
            tokio::time::sleep(WAIT).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), again)
        .await
        .unwrap();
    world.open(1).await.unwrap();
}

#[tokio::test]
async fn a_key_that_does_not_open_holds_up_no_other() {
    let world = World::new().await;
    world.slow.opens_nothing.store(true, Ordering::SeqCst);
    world.open(1).await.unwrap_err();
    world.slow.opens_nothing.store(false, Ordering::SeqCst);
    world.open(2).await.unwrap();
}
