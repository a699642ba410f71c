//! Checkpoints of what a server wrote, whatever became of the file meanwhile.

use super::super::tail::KEPT_MAX;
use super::checkpoints::World;
use super::*;

impl World {
    /// A checkpoint as the server that writes the log makes it.
    async fn own(&self) -> Result<Option<Note>, CheckpointError> {
        Checkpoints::of(&self.audit).await.unwrap().make().await
    }

    async fn own_note(&self) -> Note {
        self.own().await.unwrap().unwrap()
    }

    async fn own_damage(&self) -> Broken {
        match self.own().await {
            Err(CheckpointError::Damaged(VerifyError::Broken(broken))) => broken,
            other => panic!("{other:?}"),
        }
    }
}

const CUT: &str = "DELETE FROM audit WHERE seq > 8; UPDATE audit_head SET seq = 8, \
                   hash = (SELECT hash FROM audit WHERE seq = 8)";

#[tokio::test]
async fn it_is_the_one_that_is_made_of_the_file() {
    for sizes in [[6, 12], [12, 6]] {
        let [one, other] = [World::new().await, World::new().await];
        for size in sizes {
            one.calls(size).await;
            let own = one.own_note().await;
            // Covered, so that nothing is kept.
            assert!(one.audit.shared.tail.behind(0).is_empty());
            assert_eq!(one.checkpoint().await, own);
            other.calls(size).await;
            assert_eq!(other.checkpoint().await, other.own_note().await);
        }
        assert_eq!(one.against(&[]).await.unwrap().checkpoints, 2);
    }
}

#[tokio::test]
async fn what_another_process_wrote_in_between_is_read() {
    let world = World::new().await;
    world.calls(1).await;
    let other = audit(&world.store).await;
    call(&other, replied()).await;
    world.calls(1).await;
    call(&other, replied()).await;
    let seqs = world.audit.shared.tail.behind(0);
    let seqs: Vec<_> = seqs.iter().map(|one| one.seq).collect();
    assert_eq!(seqs, [1, 2, 5, 6]);
    let note = world.own_note().await;
    assert_eq!(note.checkpoint().size, 8);
    assert_eq!(world.against(&[&note]).await.unwrap().copies, 1);
    // Nothing of its own, and then again.
    call(&other, replied()).await;
    assert_eq!(world.own_note().await.checkpoint().size, 10);
    world.calls(1).await;
    assert_eq!(world.own_note().await.checkpoint().size, 12);
    assert_eq!(world.against(&[]).await.unwrap().checkpoints, 3);
}

#[tokio::test]
async fn a_record_that_was_altered_since_is_named_by_the_checkpoint_and_not_signed() {
    let world = World::new().await;
    world.calls(3).await;
    world
        .do_damage("UPDATE audit SET record = replace(record, 'acme', 'evil') WHERE seq = 3")
        .await;
    let note = world.own_note().await;
    let what = Damage::Altered;
    let found = Err(Broken { seq: 3, what });
    assert_eq!(world.against(&[&note]).await, found);
}

#[tokio::test]
async fn what_was_rewritten_so_that_it_fits_is_never_signed() {
    // From the file alone it would be: this is what the test of the file shows.
    let world = World::new().await;
    world.calls(3).await;
    world.rewrite_from(3).await;
    assert_eq!(world.checkpoint().await.checkpoint().size, 6);

    let replaced = |seq| Broken {
        seq,
        what: Damage::Replaced,
    };
    for after in [0, 2] {
        let world = World::new().await;
        world.calls(2).await;
        world.own_note().await;
        world.calls(2).await;
        world.rewrite_from(7).await;
        world.calls(after).await;
        assert_eq!(world.own_damage().await, replaced(8), "{after}");
        // Nor later.
        world.calls(1).await;
        assert_eq!(world.own_damage().await, replaced(8), "{after}");
    }
}

#[tokio::test]
async fn what_was_cut_off_is_found_before_it_is_signed() {
    for (after, seq, head) in [(0, 9, 12), (1, 11, 12), (2, 9, 12), (5, 9, 12)] {
        let world = World::new().await;
        world.calls(6).await;
        world.do_damage(CUT).await;
        world.calls(after).await;
        let what = Damage::Truncated { head };
        assert_eq!(world.own_damage().await, Broken { seq, what }, "{after}");
    }
    // What a checkpoint covers too.
    let world = World::new().await;
    world.calls(5).await;
    world.own_note().await;
    world.calls(1).await;
    world.do_damage(CUT).await;
    assert!(matches!(world.own().await, Err(CheckpointError::Last)));
    for _ in 0..3 {
        world.calls(1).await;
        let what = Damage::Truncated { head: 12 };
        assert_eq!(world.own_damage().await, Broken { seq: 11, what });
    }
    // The same, found by who wrote nothing of it.
    let world = World::new().await;
    world.calls(5).await;
    world.checkpoint().await;
    world.do_damage(CUT).await;
    world.calls(1).await;
    let error = world.checkpoints.make().await.unwrap_err();
    assert!(matches!(error, CheckpointError::Damaged(_)), "{error}");
    // A record in the middle, which the one who reads meets, and not a loop.
    let world = World::new().await;
    world.calls(1).await;
    let other = audit(&world.store).await;
    call(&other, replied()).await;
    world.calls(1).await;
    world
        .do_damage("DELETE FROM audit WHERE seq IN (3, 4)")
        .await;
    let what = Damage::Missing;
    assert_eq!(world.own_damage().await, Broken { seq: 3, what });
}

#[tokio::test]
async fn damage_that_was_found_stays_when_what_shows_it_is_forgotten() {
    let world = World::new().await;
    world.calls(3).await;
    world.rewrite_from(3).await;
    let what = Damage::Replaced;
    let found = Broken { seq: 6, what };
    assert_eq!(world.own_damage().await, found);
    // As where so much was written since that the oldest had to go.
    world.audit.shared.tail.covered(u64::MAX);
    world.calls(2).await;
    assert_eq!(world.own_damage().await, found);
    // The next process reads the file, which fits itself.
    assert_eq!(world.checkpoint().await.checkpoint().size, 10);
}

#[tokio::test]
async fn what_is_kept_has_a_bound_and_what_is_beyond_it_is_read() {
    let world = World::new().await;
    world.calls(4).await;
    let tail = &world.audit.shared.tail;
    let before = tail.behind(0);
    let (first, last) = (before[0], before[7]);
    let far = (0..=KEPT_MAX).map(|_| last);
    tail.wrote(far);
    assert_eq!(tail.behind(0).len(), KEPT_MAX);
    assert_ne!(tail.behind(0)[0], first);
    tail.covered(8);
    assert!(tail.behind(0).is_empty());
    tail.wrote([last]);
    assert_eq!(world.own_note().await.checkpoint().size, 8);
}
