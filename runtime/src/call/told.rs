//! What a tool is told of the user of its call: exactly the claims that it was granted, and a pseudonym.

use aws_lc_rs::hmac;
use moka::sync::Cache;

use super::Stages;
use super::ended::Ended;
use crate::audit::Entry;
use crate::capability::{Capability, ClaimName};
use crate::catalog::Tool;
use crate::grant::GrantSet;
use crate::host::caller::Told;
use crate::identity::Caller;
use crate::ids::{Tenant, User};
use crate::mcp::Answer;
use crate::store::{SharedStore, StoreError, random_secret};

/// Name of a tenant's key under which its users get the pseudonyms that tools know. Not that of the audit log: what a tool knows
/// and what the log says cannot be put together.
const KEY: &str = "tool.pseudonym";
/// Tenants whose keys are remembered; another one is read again.
const KEYS_MAX: u64 = 1_000;

/// Makes the names under which tools know users.
pub struct Pseudonyms {
    store: SharedStore,
    keys: Cache<Tenant, hmac::Key>,
}

impl Pseudonyms {
    /// With the keys of tenants in this store.
    pub fn new(store: SharedStore) -> Self {
        Self {
            store,
            keys: Cache::new(KEYS_MAX),
        }
    }

    /// The name of a user of a tenant for the tools of one package: the same always, and another one for every other package,
    /// tenant and user.
    async fn of(&self, tenant: &Tenant, user: &User, tool: &Tool) -> Result<String, StoreError> {
        let key = match self.keys.get(tenant) {
            Some(key) => key,
            None => {
                let candidate = random_secret()?;
                let bytes = self.store.secret(Some(tenant), KEY, candidate).await?;
                let key = hmac::Key::new(hmac::HMAC_SHA256, bytes.as_slice());
                self.keys.insert(tenant.clone(), key.clone());
                key
            }
        };
        let mut context = hmac::Context::with_key(&key);
        // None of them can hold a zero byte.
        for part in [
            tool.publisher().as_str(),
            tool.package().manifest().name.as_str(),
            user.issuer.as_str(),
            user.subject.as_str(),
        ] {
            context.update(part.as_bytes());
            context.update(&[0]);
        }
        Ok(hex::encode(context.sign().as_ref()))
    }
}

impl Stages {
    /// What the grant lets the tool be told. Nothing else of the token goes any further.
    pub(super) async fn told(
        &self,
        caller: &Caller,
        grants: &GrantSet,
        entry: &Entry,
    ) -> Result<Told, Box<Ended>> {
        let mut told = Vec::new();
        for claim in granted(grants) {
            if claim.is_pseudonym() {
                let (tenant, user) = (caller.tenant(), caller.user());
                let name = self.pseudonyms.of(tenant, user, grants.tool()).await;
                let name = name.map_err(|error| {
                    tracing::error!(%error, event = %entry.id(), "the pseudonym of a user could not be made");
                    Ended::failed("store", Answer::Unavailable { id: entry.id() })
                })?;
                told.push((claim, name));
            } else if let Some(value) = caller.profile().get(&claim) {
                let value = value.clone();
                told.push((claim, value));
            }
        }
        Ok(Told::new(told))
    }
}

fn granted(grants: &GrantSet) -> Vec<ClaimName> {
    let claims = grants.granted().iter().filter_map(Capability::as_claim);
    claims.cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::testing;

    fn user(subject: &str) -> User {
        User {
            issuer: "https://as.test".parse().unwrap(),
            subject: subject.parse().unwrap(),
        }
    }

    #[tokio::test]
    async fn a_pseudonym_is_the_same_over_restarts_and_another_for_other_tools_tenants_and_users() {
        let store: SharedStore =
            std::sync::Arc::new(crate::store::SqliteStore::in_memory().await.unwrap());
        let (acme, other) = ("acme".parse().unwrap(), "other".parse().unwrap());
        let (one, two) = (testing::tool("one", &[]), testing::tool("two", &[]));
        let alice = user("alice");
        let first = Pseudonyms::new(store.clone());
        let known = first.of(&acme, &alice, &one).await.unwrap();
        assert_eq!(known.len(), 64);
        assert_eq!(first.of(&acme, &alice, &one).await.unwrap(), known);
        let restarted = Pseudonyms::new(store.clone());
        assert_eq!(restarted.of(&acme, &alice, &one).await.unwrap(), known);
        let others = [
            restarted.of(&acme, &alice, &two).await.unwrap(),
            restarted.of(&other, &alice, &one).await.unwrap(),
            restarted.of(&acme, &user("bob"), &one).await.unwrap(),
            crate::audit::pseudonym(store.as_ref(), &acme, &alice)
                .await
                .unwrap()
                .to_string(),
        ];
        for other in others {
            assert_ne!(other, known);
        }
    }
}
