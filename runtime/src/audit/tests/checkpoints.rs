//! Checkpoints, what they find, proofs, retention, erasure and export.

use super::super::retention;
use super::*;
use crate::clock::Clock;
use crate::store::SharedStore;

pub(super) struct World {
    pub(super) store: Arc<SqliteStore>,
    pub(super) clock: ManualClock,
    pub(super) audit: Audit,
    pub(super) checkpoints: Checkpoints,
}

impl World {
    pub(super) async fn new() -> Self {
        let store = store().await;
        let clock = ManualClock::new(Timestamp::from_secs(1_800_000_000));
        let shared: SharedStore = store.clone();
        let audit = Audit::start(shared.clone(), Arc::new(clock.clone()));
        let audit = audit.await.unwrap();
        let checkpoints = Checkpoints::open(shared, Arc::new(clock.clone())).await;
        Self {
            checkpoints: checkpoints.unwrap(),
            store,
            clock,
            audit,
        }
    }

    /// Two records each.
    pub(super) async fn calls(&self, number: usize) {
        for _ in 0..number {
            call(&self.audit, replied()).await;
        }
    }

    pub(super) async fn checkpoint(&self) -> Note {
        self.checkpoints.make().await.unwrap().unwrap()
    }

    pub(super) async fn against(&self, notes: &[&Note]) -> Result<Verified, Broken> {
        let anchors = Anchors {
            notes: notes.iter().map(|note| (*note).clone()).collect(),
            key: Some(self.checkpoints.key().clone()),
        };
        match verify_against(self.store.as_ref(), &anchors).await {
            Ok(verified) => Ok(verified),
            Err(VerifyError::Broken(broken)) => Err(broken),
            Err(error) => panic!("{error}"),
        }
    }

    pub(super) async fn do_damage(&self, statement: &'static str) {
        for guard in ["update", "delete"] {
            let drop = format!("DROP TRIGGER IF EXISTS audit_checkpoint_is_append_only_{guard}");
            let drop = sqlx::query(sqlx::AssertSqlSafe(drop));
            drop.execute(self.store.writer()).await.unwrap();
        }
        damage(&self.store, statement).await;
    }

    /// What whoever owns the file can do: a new chain from this record on, with a new head.
    pub(super) async fn rewrite_from(&self, seq: u64) {
        self.do_damage("UPDATE audit_head SET id = id").await;
        let mut previous = Digest::from([0; 32]);
        for row in self.store.audit_from(1, 1_000).await.unwrap() {
            let mut record: serde_json::Value = serde_json::from_str(&row.text).unwrap();
            if row.seq >= seq {
                record["tenant"] = "evil".into();
                record["prev_hash"] = previous.to_string().into();
            }
            let text = serde_json_canonicalizer::to_string(&record).unwrap();
            previous = Digest::of(text.as_bytes());
            for statement in [
                "UPDATE audit SET record = ?, hash = ? WHERE seq = ?",
                "UPDATE audit_head SET seq = max(seq, ?3), hash = ?2 WHERE ?1 <> ''",
            ] {
                sqlx::query(statement)
                    .bind(&text)
                    .bind(previous.to_string())
                    .bind(i64::try_from(row.seq).unwrap())
                    .execute(self.store.writer())
                    .await
                    .unwrap();
            }
        }
    }
}

#[tokio::test]
async fn a_checkpoint_covers_what_there_is_and_every_record_can_be_proven() {
    let world = World::new().await;
    assert!(world.checkpoints.make().await.unwrap().is_none());
    world.calls(3).await;
    let first = world.checkpoint().await;
    assert_eq!(first.checkpoint().size, 6);
    assert_eq!(
        first.checkpoint().head,
        world.store.head().await.unwrap().hash
    );
    assert_eq!(world.checkpoint().await, first);
    world.calls(4).await;
    let second = world.checkpoint().await;
    assert_eq!(second.checkpoint().size, 14);
    world.calls(1).await;

    let store = world.store.as_ref();
    let key = world.checkpoints.key();
    for seq in 1..=14 {
        let proof = inclusion(store, seq).await.unwrap();
        let text = serde_json::to_string(&proof).unwrap();
        let read: Proof = serde_json::from_str(&text).unwrap();
        assert_eq!(
            check(&read, key),
            Ok(Shown::Included {
                seq,
                size: 14,
                whole: true
            })
        );
        let other = text.replace(
            &format!("\"seq\":{seq}}}"),
            &format!("\"seq\":{}}}", seq + 1),
        );
        assert_ne!(other, text);
        assert!(check(&serde_json::from_str(&other).unwrap(), key).is_err());
        let other = text.replace("acme", "evil");
        assert_eq!(
            check(&serde_json::from_str(&other).unwrap(), key),
            Err(ProofError::Record)
        );
    }
    for seq in [0, 15, 16, u64::MAX] {
        let error = inclusion(store, seq).await.unwrap_err();
        assert!(matches!(error, ProveError::NotCovered(found) if found == seq));
    }
    for to in [None, Some(14)] {
        let proof = consistency(store, 6, to).await.unwrap();
        assert_eq!(check(&proof, key), Ok(Shown::Grew { from: 6, to: 14 }));
        let stranger = "bailiwick/audit/01a20444-b10c-7dd8-9bac-a4c3f0620f99";
        let other = world
            .store
            .secret(None, "other", [1; 32].into())
            .await
            .unwrap();
        let other = super::super::note::Signer::new(stranger[16..].parse().unwrap(), &other);
        assert_eq!(
            check(&proof, other.unwrap().key()),
            Err(ProofError::Unsigned)
        );
    }
    for (from, to) in [(7, None), (6, Some(13)), (3, Some(6))] {
        let error = consistency(store, from, to).await.unwrap_err();
        assert!(matches!(error, ProveError::NoCheckpoint { .. }), "{error}");
    }
    let error = consistency(store, 14, Some(6)).await.unwrap_err();
    assert!(matches!(error, ProveError::Backwards), "{error}");

    let verified = world.against(&[&first, &second, &first]).await.unwrap();
    let counts = (verified.records, verified.checkpoints, verified.copies);
    assert_eq!(counts, (16, 2, 3));
}

#[tokio::test]
async fn what_the_chain_does_not_show_a_checkpoint_outside_does() {
    let forget = "DELETE FROM audit_checkpoint";
    let cut = "DELETE FROM audit WHERE seq > 8; UPDATE audit_head SET seq = 8, \
               hash = (SELECT hash FROM audit WHERE seq = 8)";
    let build = || async {
        let world = World::new().await;
        world.calls(3).await;
        let first = world.checkpoint().await;
        world.calls(3).await;
        let second = world.checkpoint().await;
        (world, first, second)
    };
    // Rewritten: found by the checkpoint beside it, and when that goes too, by the one outside alone.
    for (from, seq, size) in [(3, 1, 6), (9, 7, 12)] {
        let (world, first, second) = build().await;
        world.rewrite_from(from).await;
        let forked = Broken {
            seq,
            what: Damage::Forked { seq, size },
        };
        assert_eq!(world.against(&[]).await, Err(forked.clone()));
        world.do_damage(forget).await;
        assert_eq!(world.against(&[]).await.unwrap().records, 12);
        assert_eq!(world.against(&[&first, &second]).await, Err(forked));
    }
    // Cut off, with a head that fits.
    let (world, first, second) = build().await;
    world.do_damage(cut).await;
    let what = Damage::CutOff { size: 12 };
    let cut_off = Broken { seq: 9, what };
    assert_eq!(world.against(&[]).await, Err(cut_off.clone()));
    world.do_damage(forget).await;
    assert_eq!(world.against(&[&first]).await.unwrap().copies, 1);
    assert_eq!(world.against(&[&second]).await, Err(cut_off));
    // And gone on from there: another log with the same beginning.
    world.calls(5).await;
    let what = Damage::Forked { seq: 7, size: 12 };
    let forked = Broken { seq: 7, what };
    assert_eq!(world.against(&[&first, &second]).await, Err(forked));
    // A checkpoint that somebody else signed, and one of another log.
    let (other, foreign, _) = build().await;
    let what = Damage::OtherLog;
    let expected = Err(Broken { seq: 6, what });
    assert_eq!(world.against(&[&foreign]).await, expected);
    let text = foreign.to_string().replace("\n6\n", "\n5\n");
    let forged: Note = text.parse().unwrap();
    let what = Damage::Unsigned { seq: 5 };
    assert_eq!(
        other.against(&[&forged]).await,
        Err(Broken { seq: 5, what })
    );
}

#[tokio::test]
async fn no_checkpoint_is_made_of_damage_and_none_that_was_changed_counts() {
    let world = World::new().await;
    world.calls(3).await;
    world.checkpoint().await;
    world.calls(1).await;
    world
        .do_damage("UPDATE audit SET record = replace(record, 'acme', 'evil') WHERE seq = 7")
        .await;
    let error = world.checkpoints.make().await.unwrap_err();
    assert!(matches!(error, CheckpointError::Damaged(_)), "{error}");
    for statement in [
        "UPDATE audit_checkpoint SET peaks = zeroblob(64)",
        "UPDATE audit_checkpoint SET peaks = zeroblob(32)",
        "UPDATE audit_checkpoint SET note = replace(note, 'at 1', 'at 2')",
        "UPDATE audit_checkpoint SET size = 5",
        "UPDATE audit_checkpoint SET note = 'x'",
    ] {
        let world = World::new().await;
        world.calls(3).await;
        world.checkpoint().await;
        world.calls(1).await;
        world.do_damage(statement).await;
        let error = world.checkpoints.make().await.unwrap_err();
        assert!(
            matches!(error, CheckpointError::Last),
            "{statement}: {error}"
        );
        let is_found = world.against(&[]).await.is_err();
        // The peaks are no statement to anybody: only the next checkpoint grows from them.
        assert_eq!(is_found, !statement.contains("peaks"), "{statement}");
    }
}

#[tokio::test]
async fn what_is_pruned_leaves_its_place_in_the_tree() {
    let world = World::new().await;
    let store = world.store.as_ref();
    world.calls(5).await;
    let first = world.checkpoint().await;
    world.calls(1).await;
    let later = world.clock.now().plus(Duration::from_secs(60));
    world.clock.advance(Duration::from_secs(60));
    world.calls(1).await;
    // Nothing that is too new, and nothing that no checkpoint covers.
    assert_eq!(prune(&world.audit, store, Timestamp(0)).await.unwrap(), 0);
    assert_eq!(prune(&world.audit, store, later).await.unwrap(), 10);
    assert_eq!(prune(&world.audit, store, later).await.unwrap(), 0);
    let left = store.audit_from(1, 100).await.unwrap();
    assert_eq!(left[0].seq, 11);
    let verified = world.against(&[&first]).await.unwrap();
    assert_eq!(
        (verified.records, verified.pruned, verified.copies),
        (15, 10, 1)
    );
    let told = records(
        &world.store,
        &Filter {
            kind: Some("audit.pruned".to_owned()),
            ..Filter::default()
        },
    )
    .await;
    assert_eq!(
        (
            &told[0].record.facts["from"],
            &told[0].record.facts["through"]
        ),
        (&1.into(), &10.into())
    );
    let second = world.checkpoint().await;
    let proof = inclusion(store, 3).await.unwrap();
    assert!(matches!(proof, Proof::Inclusion { record: None, .. }));
    assert!(check(&proof, world.checkpoints.key()).is_ok());
    let proof = consistency(store, 10, None).await.unwrap();
    assert!(check(&proof, world.checkpoints.key()).is_ok());
    let end = world.clock.now().plus(Duration::from_secs(1));
    assert_eq!(retention::prune(&world.audit, store, end).await.unwrap(), 5);
    assert_eq!(world.against(&[&first, &second]).await.unwrap().pruned, 15);
    // The guard lets nothing else go.
    let gone = sqlx::query("DELETE FROM audit WHERE seq = 16");
    assert!(gone.execute(world.store.writer()).await.is_err());
    // A leaf that is changed or missing, and more that is gone than a checkpoint covers.
    for (statement, seq, what) in [
        (
            "UPDATE audit_leaf SET leaf = zeroblob(32) WHERE seq = 4",
            1,
            Damage::Forked { seq: 1, size: 10 },
        ),
        ("DELETE FROM audit_leaf WHERE seq = 4", 4, Damage::Missing),
    ] {
        world.do_damage(statement).await;
        assert_eq!(
            world.against(&[]).await,
            Err(Broken { seq, what }),
            "{statement}"
        );
    }
}

#[tokio::test]
async fn what_is_pruned_between_two_checkpoints_is_covered_by_the_next() {
    let world = World::new().await;
    let store = world.store.as_ref();
    world.calls(3).await;
    world.clock.advance(Duration::from_secs(60));
    let later = world.clock.now();
    world.calls(2).await;
    let note = world.checkpoint().await;
    assert_eq!(prune(&world.audit, store, later).await.unwrap(), 6);
    let verified = world.against(&[&note]).await.unwrap();
    assert_eq!((verified.pruned, verified.copies), (6, 1));
    // A record that is gone does not come back under its number.
    world
        .do_damage("INSERT INTO audit SELECT 3, hash, record FROM audit WHERE seq = 7")
        .await;
    let what = Damage::Altered;
    assert_eq!(world.against(&[]).await, Err(Broken { seq: 3, what }));
}

#[tokio::test]
async fn what_is_not_what_the_chain_says_is_not_pruned() {
    let world = World::new().await;
    let store = world.store.as_ref();
    world.calls(3).await;
    world.checkpoint().await;
    world.clock.advance(Duration::from_secs(60));
    world
        .do_damage(
            "UPDATE audit SET record = replace(record, '\"seq\":4', '\"seq\":5') WHERE seq = 4",
        )
        .await;
    let later = world.clock.now();
    let refused = prune(&world.audit, store, later).await;
    assert!(
        matches!(refused, Err(retention::PruneError::Damaged(4))),
        "{refused:?}"
    );
    assert_eq!(store.audit_from(1, 10).await.unwrap().len(), 6);
}

#[tokio::test]
async fn more_than_a_checkpoint_covers_is_not_said_to_be_pruned() {
    let world = World::new().await;
    world.calls(2).await;
    world.checkpoint().await;
    world.calls(1).await;
    for row in world.store.audit_from(1, 6).await.unwrap() {
        sqlx::query("INSERT INTO audit_leaf VALUES (?, ?)")
            .bind(i64::try_from(row.seq).unwrap())
            .bind(tree::leaf(row.text.as_bytes()).as_bytes().as_slice())
            .execute(world.store.writer())
            .await
            .unwrap();
    }
    world
        .do_damage(
            "INSERT INTO audit_pruned SELECT 1, seq, hash FROM audit_head; DELETE FROM audit",
        )
        .await;
    let what = Damage::Missing;
    assert_eq!(world.against(&[]).await, Err(Broken { seq: 5, what }));
}

#[tokio::test]
async fn who_is_erased_cannot_be_found_and_chain_and_tree_stay() {
    let world = World::new().await;
    world.calls(1).await;
    let note = world.checkpoint().await;
    let facts = caller("acme", "alice");
    let (tenant, user) = (&facts.tenant, &facts.user);
    let store = world.store.as_ref();
    let before = pseudonym(store, tenant, user).await.unwrap();
    let of = |subject| Filter {
        subject: Some(subject),
        ..Filter::default()
    };
    assert_eq!(records(&world.store, &of(before)).await.len(), 2);
    assert!(erase(&world.audit, store, tenant, user).await.unwrap());
    assert!(!erase(&world.audit, store, tenant, user).await.unwrap());
    let after = pseudonym(store, tenant, user).await.unwrap();
    assert_ne!(before, after);
    assert_eq!(records(&world.store, &of(after)).await.len(), 0);
    // The writer forgets it too, within its time.
    world.calls(1).await;
    assert_eq!(records(&world.store, &of(after)).await.len(), 0);
    world.clock.advance(super::super::writer::SUBJECT_KEPT);
    world.calls(1).await;
    assert_eq!(records(&world.store, &of(after)).await.len(), 2);
    assert_eq!(world.against(&[&note]).await.unwrap().copies, 1);
    let told = Filter {
        kind: Some("audit.erased".to_owned()),
        ..Filter::default()
    };
    let told = records(&world.store, &told).await;
    assert_eq!((told.len(), told[0].record.subject), (2, None));
}

#[tokio::test]
async fn records_are_handed_on_in_forms_that_others_read() {
    let world = World::new().await;
    world.calls(1).await;
    let mut entry = world.audit.open("tools/call");
    entry.caller(caller("acme", "alice"));
    entry.asked("notes");
    let (stage, reason) = (Stage::Policy, "not-permitted".to_owned());
    entry.close(End::Refused { stage, reason }).await.unwrap();
    world.audit.sampled(EventKind::AuthFailed, "shape");
    world.audit.flush().await.unwrap();
    let all = records(&world.store, &Filter::default()).await;
    let read = |format: Format| -> Vec<serde_json::Value> {
        let lines = all.iter().map(|one| format.line(one));
        lines
            .map(|line| serde_json::from_str(&line).unwrap())
            .collect()
    };
    let whole = read(Format::Records);
    let events = read(Format::CloudEvents);
    let ocsf = read(Format::Ocsf);
    for (at, one) in all.iter().enumerate() {
        assert_eq!(Format::Records.line(one), one.json);
        assert_eq!(
            (&events[at]["data"], &ocsf[at]["unmapped"]),
            (&whole[at], &whole[at])
        );
        assert_eq!(events[at]["specversion"], "1.0");
        let class = ocsf[at]["class_uid"].as_u64().unwrap();
        let activity = ocsf[at]["activity_id"].as_u64().unwrap();
        assert_eq!(ocsf[at]["type_uid"], class * 100 + activity);
        assert_eq!(ocsf[at]["category_uid"], class / 1000);
        assert!(!ocsf[at].to_string().contains("null"), "{}", ocsf[at]);
    }
    let ids: std::collections::HashSet<_> =
        events.iter().map(|one| one["id"].to_string()).collect();
    assert_eq!(ids.len(), all.len());
    assert_eq!(
        (&events[0]["type"], &events[0]["subject"]),
        (&"bailiwick.tool.call".into(), &"notes".into())
    );
    let told = |at: usize| {
        (
            ocsf[at]["class_uid"].as_u64(),
            ocsf[at]["status_id"].as_u64(),
        )
    };
    assert_eq!(told(0), (Some(6003), Some(0)));
    assert_eq!(told(1), (Some(6003), Some(1)));
    assert_eq!(told(2), (Some(6003), Some(2)));
    assert_eq!(told(3), (Some(3002), Some(2)));
    assert_eq!(ocsf[2]["status_detail"], "not-permitted");
}
