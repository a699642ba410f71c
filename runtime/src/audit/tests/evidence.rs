//! What reading a log and pruning it rest on: a log that grows meanwhile, a key that is gone, a checkpoint that is not ours.

use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::super::chain::{In, Reads, verify_log};
use super::super::retention::{self, PruneError};
use super::checkpoints::World;
use super::*;
use crate::clock::Clock;
use crate::store::block::Block;
use crate::store::tree::{CheckpointRow, LogTree, Pruned};
use crate::store::{AuditRow, Head};

/// A log to which the server writes right after its head was read, so many times.
struct Growing<'a> {
    world: &'a World,
    times: AtomicUsize,
}

#[async_trait]
impl Reads for Growing<'_> {
    async fn head(&self) -> Result<Head, StoreError> {
        let head = self.world.store.head().await?;
        let left = self.times.load(Ordering::SeqCst);
        if left > 0 {
            self.times.store(left - 1, Ordering::SeqCst);
            self.world.calls(3).await;
        }
        Ok(head)
    }

    async fn audit_from(&self, seq: u64, max: u32) -> Result<Vec<AuditRow>, StoreError> {
        In(self.world.store.as_ref()).audit_from(seq, max).await
    }

    async fn checkpoints_after(
        &self,
        size: u64,
        max: u32,
    ) -> Result<Vec<CheckpointRow>, StoreError> {
        In(self.world.store.as_ref())
            .checkpoints_after(size, max)
            .await
    }

    async fn pruned(&self) -> Result<Option<Pruned>, StoreError> {
        In(self.world.store.as_ref()).pruned().await
    }

    async fn pruned_leaves(&self, seq: u64, max: u32) -> Result<Vec<(u64, Digest)>, StoreError> {
        In(self.world.store.as_ref()).pruned_leaves(seq, max).await
    }

    async fn blocks(&self, number: u64, max: u32) -> Result<Vec<Block>, StoreError> {
        In(self.world.store.as_ref()).blocks(number, max).await
    }
}

async fn while_it_grows(
    world: &World,
    times: usize,
    notes: &[Note],
) -> Result<Verified, VerifyError> {
    let log = Growing {
        world,
        times: AtomicUsize::new(times),
    };
    verify_log(&log, Some(world.checkpoints.key()), notes).await
}

#[tokio::test]
async fn a_fork_is_found_also_where_the_log_grows_past_its_checkpoint_meanwhile() {
    // Whole: what is written meanwhile does not matter, and a checkpoint of it is compared as well.
    for times in 1..4 {
        let world = World::new().await;
        world.calls(3).await;
        let first = world.checkpoint().await;
        let notes = [first];
        let verified = while_it_grows(&world, times, &notes).await.unwrap();
        assert_eq!((verified.checkpoints, verified.copies), (1, 1), "{times}");
    }
    // Cut off behind record 8 and gone on from there: another log than that of the checkpoint of 12 records.
    let cut = "DELETE FROM audit WHERE seq > 8; UPDATE audit_head SET seq = 8, \
               hash = (SELECT hash FROM audit WHERE seq = 8)";
    for (times, forget) in [(1, false), (1, true), (2, false), (3, true)] {
        let world = World::new().await;
        world.calls(3).await;
        let first = world.checkpoint().await;
        world.calls(3).await;
        let second = world.checkpoint().await;
        world.do_damage(cut).await;
        if forget {
            world.do_damage("DELETE FROM audit_checkpoint").await;
        }
        let notes = match forget {
            true => vec![first, second],
            false => Vec::new(),
        };
        let shown = while_it_grows(&world, times, &notes).await;
        let Err(VerifyError::Broken(found)) = shown else {
            panic!("{times} {forget}: {shown:?}");
        };
        let what = Damage::Forked { seq: 7, size: 12 };
        assert_eq!(found, Broken { seq: 7, what }, "{times} {forget}");
    }
}

async fn keys(world: &World) -> i64 {
    sqlx::query_scalar("SELECT COUNT(*) FROM secret WHERE name = 'audit.checkpoint'")
        .fetch_one(world.store.writer())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_key_that_is_gone_is_told_and_no_other_takes_its_place() {
    let world = World::new().await;
    world.calls(2).await;
    assert!(verdict(&world.store).await.is_ok());
    let note = world.checkpoint().await;
    assert_eq!(verdict(&world.store).await.unwrap().checkpoints, 1);
    world
        .do_damage("DELETE FROM secret WHERE name = 'audit.checkpoint'")
        .await;
    let gone = Broken {
        seq: 4,
        what: Damage::KeyGone { size: 4 },
    };
    assert_eq!(verdict(&world.store).await, Err(gone.clone()));
    assert!(gone.to_string().contains("is gone"), "{gone}");
    assert_eq!(keys(&world).await, 0, "verifying makes no key");
    // By the key that was kept outside it is shown.
    assert_eq!(world.against(&[&note]).await.unwrap().copies, 1);
    // Nor does a server make one, which would hide it, or anybody who asks for the key.
    let shared: SharedStore = world.store.clone();
    let opened = Checkpoints::open(shared, Arc::new(world.clock.clone())).await;
    assert!(matches!(opened, Err(CheckpointError::KeyGone)));
    assert!(matches!(
        standing(world.store.as_ref()).await,
        Err(CheckpointError::KeyGone)
    ));
    assert_eq!(keys(&world).await, 0);
}

#[tokio::test]
async fn a_log_without_checkpoints_is_verified_and_asked_for_its_key_without_making_one() {
    let store = store().await;
    let audit = audit(&store).await;
    call(&audit, replied()).await;
    assert_eq!(verdict(&store).await.unwrap().records, 2);
    let facts = caller("acme", "bob");
    let (tenant, user) = (&facts.tenant, &facts.user);
    assert!(matches!(standing(store.as_ref()).await, Ok((None, None))));
    let asked = pseudonym_if_any(store.as_ref(), tenant, user).await;
    assert_eq!(asked.unwrap(), None);
    let alice = caller("acme", "alice").user;
    let asked = pseudonym_if_any(store.as_ref(), tenant, &alice).await;
    let known = audit.pseudonym(tenant, &alice).await.unwrap();
    assert_eq!(asked.unwrap(), Some(known));
    let names: Vec<String> = sqlx::query_scalar("SELECT name FROM secret")
        .fetch_all(store.writer())
        .await
        .unwrap();
    // Of arguments, of the tenant and of the one user who called.
    assert_eq!(names.len(), 3, "{names:?}");
}

#[tokio::test]
async fn nothing_is_pruned_on_the_word_of_a_checkpoint_that_is_not_ours() {
    let forged = "UPDATE audit_checkpoint SET note = replace(note, 'at 1', 'at 2')";
    let grown = "INSERT INTO audit_checkpoint (size, at, peaks, note) SELECT 8, at, peaks, note FROM audit_checkpoint";
    let gone = "DELETE FROM secret WHERE name = 'audit.checkpoint'";
    for damage in [forged, grown, gone] {
        let world = World::new().await;
        let store = world.store.as_ref();
        world.calls(2).await;
        world.checkpoint().await;
        world.calls(2).await;
        world.clock.advance(Duration::from_secs(60));
        let later = world.clock.now();
        world.do_damage(damage).await;
        let refused = retention::prune(&world.audit, store, later).await;
        assert!(
            matches!(refused, Err(PruneError::Checkpoint(_))),
            "{damage}: {refused:?}"
        );
        assert_eq!(store.audit_from(1, 100).await.unwrap().len(), 8, "{damage}");
        assert_eq!(store.pruned().await.unwrap(), None);
    }
    // What is ours vouches for what it covers, and for no more.
    let world = World::new().await;
    let store = world.store.as_ref();
    world.calls(2).await;
    world.checkpoint().await;
    world.calls(2).await;
    world.clock.advance(Duration::from_secs(60));
    let later = world.clock.now();
    let gone = retention::prune(&world.audit, store, later).await;
    assert_eq!(gone.unwrap(), 4);
}

#[tokio::test]
async fn what_was_pruned_is_proven_by_its_leaf_and_not_by_a_row_that_came_back() {
    let world = World::new().await;
    let store = world.store.as_ref();
    let key = world.checkpoints.key();
    world.calls(3).await;
    world.checkpoint().await;
    let kept = store.audit_from(3, 1).await.unwrap().remove(0);
    world.clock.advance(Duration::from_secs(60));
    let later = world.clock.now();
    assert_eq!(
        retention::prune(&world.audit, store, later).await.unwrap(),
        6
    );
    let proof = inclusion(store, 3).await.unwrap();
    let shown = |whole| {
        let (seq, size) = (3, 6);
        Ok(Shown::Included { seq, size, whole })
    };
    assert_eq!(check(&proof, key), shown(false));
    // With the record that somebody kept it is whole.
    let Proof::Inclusion {
        checkpoint,
        hashes,
        leaf,
        seq,
        ..
    } = proof
    else {
        panic!("another proof");
    };
    let with = |record: String| Proof::Inclusion {
        checkpoint: checkpoint.clone(),
        hashes: hashes.clone(),
        leaf,
        seq,
        record: Some(record),
    };
    assert_eq!(check(&with(kept.text.clone()), key), shown(true));
    let other = kept.text.replace("acme", "evil");
    assert_eq!(check(&with(other.clone()), key), Err(ProofError::Record));
    // A row under its number is no record, whatever it says.
    for text in [other, kept.text] {
        sqlx::query("INSERT OR REPLACE INTO audit (seq, hash, record) VALUES (3, ?, ?)")
            .bind(Digest::of(text.as_bytes()).to_string())
            .bind(&text)
            .execute(world.store.writer())
            .await
            .unwrap();
        let refused = inclusion(store, 3).await;
        assert!(matches!(refused, Err(ProveError::Damaged)), "{text}");
        world.do_damage("DELETE FROM audit WHERE seq = 3").await;
    }
}
