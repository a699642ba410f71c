//! The stores that an operator bound, and which part of each is a caller's.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Session;
use crate::capability::Kv;
use crate::clock::SharedClock;
use crate::config::{KvStore, Share};
use crate::grant::Holder;
use crate::host::meter::Meter;
use crate::ids::StoreName;
use crate::limits::{KV_BYTES_IN_MAX, KV_BYTES_OUT_MAX, KV_OPERATIONS_MAX};
use crate::revocation::Live;
use crate::store::kv::{SharedKeyValues, Space};

/// The stores that an operator bound, by name.
#[derive(Clone, Default)]
pub struct Stores(BTreeMap<StoreName, (KvStore, SharedKeyValues)>);

impl Stores {
    /// Takes the operator's stores, all of them kept in `values`.
    pub fn new(stores: &[KvStore], values: &SharedKeyValues) -> Self {
        let all = stores.iter();
        let all = all.map(|one| (one.name.clone(), (one.clone(), Arc::clone(values))));
        Self(all.collect())
    }

    /// What one call may do in them, each scope with the consent behind it.
    pub fn session(
        &self,
        scopes: Vec<(Kv, Live)>,
        holder: &Holder,
        meter: Meter,
        clock: SharedClock,
    ) -> Session {
        let mut parts = BTreeMap::new();
        for (scope, _) in &scopes {
            let Some((store, values)) = self.0.get(&scope.store) else {
                tracing::warn!(store = %scope.store, "a tool may use a store that is not bound; bind it with `[[kv]]`");
                continue;
            };
            let space = Space {
                store: store.name.clone(),
                tenant: holder.tenant.clone(),
                user: match store.share {
                    Share::User => Some(holder.user.clone()),
                    Share::Tenant => None,
                },
            };
            let (bound, values) = (store.clone(), Arc::clone(values));
            let part = Part {
                space,
                bound,
                values,
            };
            parts.insert(store.name.clone(), Bucket(Arc::new(part)));
        }
        Session {
            scopes,
            parts,
            meter,
            clock,
            operations_left: KV_OPERATIONS_MAX,
            out_left: KV_BYTES_OUT_MAX,
            in_left: KV_BYTES_IN_MAX,
        }
    }
}

/// An open store.
#[derive(Clone)]
pub struct Bucket(pub(super) Arc<Part>);

/// The part of a store that is the caller's.
pub(super) struct Part {
    pub(super) space: Space,
    pub(super) bound: KvStore,
    pub(super) values: SharedKeyValues,
}
