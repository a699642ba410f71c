//! A state that takes every record of the log and forgets it: what a server then costs it would cost without the log.

use std::sync::Arc;

use async_trait::async_trait;
use bailiwick::clock::Timestamp;
use bailiwick::ids::{ClientId, Digest, Publisher, Tenant, TenantUser, ToolName};
use bailiwick::store::block::{Block, LogBlocks, Places, Sought};
use bailiwick::store::tree::{CheckpointRow, LogTree, Pruned};
use bailiwick::store::{
    Applied, AuditRow, Change, ConsentFilter, ConsentKey, ConsentRow, Draft, ForeignVisit, Head,
    Holding, OverSession, SecretBytes, Session, SharedStore, Store, StoreError, TicketRow,
};
use uuid::Uuid;

struct Forgetful {
    state: SharedStore,
}

/// What stands before this state and forgets.
pub fn before(state: SharedStore) -> SharedStore {
    Arc::new(Forgetful { state })
}

/// The operations that the state itself does.
macro_rules! passed_on {
    ($trait:ident { $($own:tt)* } $(fn $name:ident($($given:ident: $type:ty),*) -> $out:ty;)*) => {
        #[async_trait]
        impl $trait for Forgetful {
            $($own)*
            $(async fn $name(&self, $($given: $type),*) -> Result<$out, StoreError> {
                self.state.$name($($given),*).await
            })*
        }
    };
}

passed_on! {
    Store {
        /// A change is made, with its records; what is no change is forgotten.
        async fn append(&self, drafts: &mut [Draft<'_>]) -> Result<Vec<Applied>, StoreError> {
            let mut all = Vec::with_capacity(drafts.len());
            for draft in drafts {
                match draft.change {
                    None => all.push(Applied::Done),
                    Some(_) => all.extend(self.state.append(std::slice::from_mut(draft)).await?),
                }
            }
            Ok(all)
        }
    }
    fn ready(change: &Change) -> ();
    fn head() -> Head;
    fn audit_next(seq: u64) -> Option<u64>;
    fn audit_from(seq: u64, max: u32) -> Vec<AuditRow>;
    fn live_consents(key: &ConsentKey, now: Timestamp) -> Vec<ConsentRow>;
    fn consents_before(who: &TenantUser, before: Option<Uuid>, max: u32) -> Vec<ConsentRow>;
    fn held_before(who: &TenantUser, before: Option<Uuid>, max: u32, now: Timestamp) -> Vec<ConsentRow>;
    fn ended_of(who: &TenantUser, max: u32, now: Timestamp) -> Vec<ConsentRow>;
    fn holdings(who: &TenantUser, now: Timestamp) -> Vec<Holding>;
    fn decided(who: &TenantUser, ticket: Digest) -> Vec<ConsentRow>;
    fn consents_of_sign_in(who: &TenantUser, sign_in: Option<Digest>, now: Timestamp) -> Vec<ConsentRow>;
    fn note_foreign_visit(ticket: Digest, key: &ConsentKey, at: Timestamp) -> ();
    fn foreign_visits(who: &TenantUser, max: u32) -> Vec<ForeignVisit>;
    fn consents(filter: &ConsentFilter) -> Vec<ConsentRow>;
    fn consent(who: &TenantUser, id: Uuid) -> Option<ConsentRow>;
    fn last_agreed(key: &ConsentKey) -> Option<ConsentRow>;
    fn active_of_others(tool: &ToolName, publisher: &Publisher, max: u32) -> Vec<ConsentRow>;
    fn active_of_client(client: &ClientId, other_than: Option<&[String]>, max: u32) -> Vec<ConsentRow>;
    fn note_client_unread(client: &ClientId, at: Timestamp) -> Option<Timestamp>;
    fn note_client_read(client: &ClientId) -> ();
    fn client_text(tenant: &Tenant, digest: Digest) -> Option<String>;
    fn definition(tenant: &Tenant, digest: Digest) -> Option<String>;
    fn touch_consents(ids: &[Uuid], now: Timestamp, idle_until: Timestamp) -> ();
    fn refusals(key: &ConsentKey, since: Timestamp) -> u32;
    fn ended_consents(ids: &[Uuid], now: Timestamp) -> Vec<Uuid>;
    fn open_ticket(tenant: &Tenant, question: Digest, now: Timestamp) -> Option<TicketRow>;
    fn ticket(id_hash: Digest) -> Option<TicketRow>;
    fn insert_flow(state_hash: Digest, data: &str, expires_at: Timestamp) -> ();
    fn take_flow(state_hash: Digest, now: Timestamp) -> Option<String>;
    fn insert_session(session: &Session) -> ();
    fn session(id_hash: Digest, now: Timestamp) -> Option<Session>;
    fn see_session(id_hash: Digest, now: Timestamp) -> ();
    fn delete_session(id_hash: Digest) -> bool;
    fn consume_nonce(tenant: &Tenant, nonce: Digest, expires_at: Timestamp) -> bool;
    fn secret(tenant: Option<&Tenant>, name: &str, candidate: SecretBytes) -> SecretBytes;
    fn kept_secret(tenant: Option<&Tenant>, name: &str) -> Option<SecretBytes>;
    fn over_sessions(now: Timestamp, max: u32) -> Vec<OverSession>;
    fn prune(now: Timestamp) -> u64;
}

passed_on! {
    LogTree {}
    fn insert_checkpoint(row: &CheckpointRow) -> bool;
    fn checkpoint_before(size: u64) -> Option<CheckpointRow>;
    fn checkpoints_after(size: u64, max: u32) -> Vec<CheckpointRow>;
    fn copied(copy: &str) -> u64;
    fn note_copied(copy: &str, size: u64) -> ();
    fn pruned() -> Option<Pruned>;
    fn pruned_leaves(seq: u64, max: u32) -> Vec<(u64, Digest)>;
    fn closed_before() -> u64;
    fn forget_secret(tenant: &Tenant, name: &str) -> bool;
}

passed_on! {
    LogBlocks {}
    fn blocks(number: u64, max: u32) -> Vec<Block>;
    fn places(from: u64, sought: &Sought) -> Places;
    fn index_anew() -> u64;
}
