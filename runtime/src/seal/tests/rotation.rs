//! Rotation, encrypting anew, erasure: while others are at work, broken off, and gone on with.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::store::seals::{KeyState, TenantKey};

async fn standing(seals: &Seals) -> Vec<(u32, KeyState, bool, u64)> {
    let mut all = Vec::new();
    seals
        .standing(|one| {
            if one.key.purpose == Purpose::Value {
                let there = one.key.wrapped.is_some();
                all.push((one.key.version, one.key.state, there, one.values));
            }
        })
        .await
        .unwrap();
    all
}

pub(super) async fn many(seals: &Seals, owner: &Owner, number: usize) -> Vec<(Handle, String)> {
    let values: Vec<String> = (0..number).map(|n| format!("value {n}")).collect();
    let plain = values.iter().map(|value| plain(value)).collect();
    let handles = sealed(seals, owner, plain).await;
    handles.into_iter().zip(values).collect()
}

pub(super) async fn all_open(seals: &Seals, owner: &Owner, all: &[(Handle, String)]) {
    for (handle, value) in all {
        assert_eq!(opened(seals, owner, handle).await.unwrap(), *value);
    }
}

#[tokio::test]
async fn a_rotation_moves_everything_and_destroys_the_old_key() {
    let place = Place::new().await;
    let (seals, acme) = (place.seals().await, owner("acme"));
    let all = many(&seals, &acme, 2_500).await;
    let rival = many(&seals, &owner("rival"), 3).await;
    let mut told = Vec::new();
    let rotated = seals
        .rotate(&acme.tenant, NOW, |done, of| told.push((done, of)))
        .await
        .unwrap();
    assert_eq!(told, [(1_000, 2_500), (2_000, 2_500), (2_500, 2_500)]);
    assert_eq!(
        rotated,
        Rotated {
            resumed: false,
            to: 2,
            moved: 2_500,
            unopened: 0,
            destroyed: vec![1],
            left: vec![],
            settled: true,
        }
    );
    all_open(&seals, &acme, &all).await;
    all_open(&seals, &owner("rival"), &rival).await;
    assert_eq!(
        standing(&seals).await,
        [
            (1, KeyState::Retired, false, 0),
            (1, KeyState::Active, true, 3),
            (2, KeyState::Active, true, 2_500),
        ]
    );
    let kinds = place.kinds().await;
    assert_eq!(
        kinds,
        [
            "keys.made",
            "keys.made",
            "keys.rotating",
            "keys.made",
            "keys.rotated"
        ]
    );
    let nobody = "nobody".parse().unwrap();
    let nobody = seals.rotate(&nobody, NOW, |_, _| {}).await;
    assert!(matches!(nobody, Err(SealError::NoTenant)));
}

#[tokio::test]
async fn a_rotation_that_was_broken_off_is_gone_on_with() {
    let place = Place::new().await;
    let (seals, acme) = (place.seals().await, owner("acme"));
    let all = many(&seals, &acme, 3_000).await;
    // Broken off after each batch in turn, as if the process had been killed there.
    for batch in 1..=2 {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let tenant = acme.tenant.clone();
        let work = place.seals().await;
        let task = tokio::spawn(async move {
            work.rotate(&tenant, NOW, move |done, _| tell.send(done).unwrap())
                .await
        });
        told.recv().await.unwrap();
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        let now = standing(&seals).await;
        assert_eq!(now.len(), 2, "{now:?}");
        assert_eq!((now[0].1, now[0].2), (KeyState::Retired, true));
        assert!(now[1].3 >= batch * 1_000 && now[0].3 + now[1].3 == 3_000);
        all_open(&place.seals().await, &acme, &all[..50]).await;
    }
    let rotated = seals.rotate(&acme.tenant, NOW, |_, _| {}).await.unwrap();
    assert!(rotated.resumed && rotated.destroyed == [1] && rotated.to == 2);
    all_open(&seals, &acme, &all).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_erased_while_it_is_rotated_stays_erased() {
    let place = Place::new().await;
    let (seals, acme) = (place.seals().await, owner("acme"));
    let all = many(&seals, &acme, 2_500).await;
    let other = place.seals().await;
    let mut erased = false;
    let ended = seals
        .rotate(&acme.tenant, NOW, |_, _| {
            if !std::mem::replace(&mut erased, true) {
                tokio::task::block_in_place(|| {
                    tokio::runtime::Handle::current().block_on(async {
                        other.erase(&acme.tenant, NOW).await.unwrap();
                        // The tenant goes on, and so there is a new key to which something could be moved.
                        many(&other, &acme, 1).await;
                    });
                });
            }
        })
        .await;
    drop(ended);
    for (handle, _) in &all {
        let refused = seals.look(&acme, handle, NOW).await;
        assert!(matches!(refused, Err(SealError::Erased)));
    }
    // What had been moved and what had not both end.
    let late = Timestamp(NOW.0 + 400 * 24 * 3_600_000);
    assert!(seals.prune(late).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rotation_under_load_loses_nothing() {
    let place = Place::new().await;
    let acme = owner("acme");
    let before = many(&place.seals().await, &acme, 1_500).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for writer in 0..3 {
        let (seals, acme, stop) = (place.seals().await, acme.clone(), Arc::clone(&stop));
        writers.push(tokio::spawn(async move {
            let mut all = Vec::new();
            while !stop.load(Ordering::Acquire) {
                let values: Vec<String> = (0..5)
                    .map(|n| format!("{writer} {} {n}", all.len()))
                    .collect();
                let plain = values.iter().map(|value| plain(value)).collect();
                let prepared = match seals.prepare(&acme, plain, NOW).await {
                    Err(SealError::Store(error)) if is_locked(&error) => continue,
                    prepared => prepared.unwrap(),
                };
                let handles = prepared.handles().to_vec();
                tokio::task::yield_now().await;
                match prepared.keep(NOW).await {
                    Ok(()) => {
                        all_open(&seals, &acme, &[(handles[0], values[0].clone())]).await;
                        all.extend(handles.into_iter().zip(values));
                    }
                    Err(SealError::Store(error)) if is_locked(&error) => {}
                    Err(error) => assert!(matches!(error, SealError::Changing), "{error}"),
                }
            }
            all
        }));
    }
    for _ in 0..4 {
        let (one, other) = (place.seals().await, place.seals().await);
        // Two at a time, as two operators would.
        let (one, other) = tokio::join!(
            one.rotate(&acme.tenant, NOW, |_, _| {}),
            other.rotate(&acme.tenant, NOW, |_, _| {})
        );
        for rotated in [one, other] {
            match rotated {
                Ok(_) | Err(SealError::Changing) => {}
                Err(SealError::Store(error)) => assert!(is_locked(&error), "{error:?}"),
                Err(error) => panic!("{error:?}"),
            }
        }
    }
    stop.store(true, Ordering::Release);
    let mut all = before;
    for writer in writers {
        all.extend(writer.await.unwrap());
    }
    assert!(all.len() > 1_500);
    let seals = place.seals().await;
    seals.rotate(&acme.tenant, NOW, |_, _| {}).await.unwrap();
    all_open(&seals, &acme, &all).await;
    let standing = standing(&seals).await;
    let (last, old) = standing.split_last().unwrap();
    assert_eq!((last.1, last.3), (KeyState::Active, all.len() as u64));
    assert!(
        old.iter()
            .all(|one| one.1 == KeyState::Retired && !one.2 && one.3 == 0)
    );
}

#[tokio::test]
async fn a_value_that_does_not_open_keeps_its_key_and_stops_no_rotation() {
    let place = Place::new().await;
    let (seals, acme) = (place.seals().await, owner("acme"));
    let all = many(&seals, &acme, 5).await;
    let values = place.values().await;
    let damage = sqlx::query("UPDATE seal_value SET data_key = zeroblob(60) WHERE place = 2");
    damage.execute(values.writer()).await.unwrap();
    let rotated = seals.rotate(&acme.tenant, NOW, |_, _| {}).await.unwrap();
    assert_eq!((rotated.moved, rotated.unopened), (4, 1));
    assert_eq!((rotated.left, rotated.destroyed), (vec![1], vec![]));
    all_open(&seals, &acme, &all[2..]).await;
    let refused = opened(&seals, &acme, &all[1].0).await;
    assert!(matches!(refused, Err(SealError::Damaged)));
    // The key that the others hang on can be replaced all the same.
    let again = seals.rotate(&acme.tenant, NOW, |_, _| {}).await.unwrap();
    assert_eq!((again.to, again.moved, again.unopened), (3, 4, 1));
    assert_eq!((again.left, again.destroyed), (vec![1], vec![2]));
    all_open(&seals, &acme, &all[2..]).await;
    // It goes with its value.
    seals.prune(NOW.plus(SEALED_KEEP_DEFAULT)).await.unwrap();
    let rotated = seals.rotate(&acme.tenant, NOW, |_, _| {}).await.unwrap();
    assert_eq!((rotated.resumed, rotated.destroyed), (true, vec![1]));
}

#[tokio::test]
async fn what_was_prepared_before_a_rotation_is_kept_after_it_and_before_an_erasure_it_is_not() {
    let place = Place::new().await;
    let (seals, acme) = (place.seals().await, owner("acme"));
    let prepared = seals.prepare(&acme, vec![equal("a"), plain("b")], NOW);
    let prepared = prepared.await.unwrap();
    let handles = prepared.handles().to_vec();
    seals.rotate(&acme.tenant, NOW, |_, _| {}).await.unwrap();
    prepared.keep(NOW).await.unwrap();
    assert_eq!(opened(&seals, &acme, &handles[0]).await.unwrap(), "a");
    assert_eq!(opened(&seals, &acme, &handles[1]).await.unwrap(), "b");
    assert_eq!(standing(&seals).await[1], (2, KeyState::Active, true, 2));
    let prepared = seals.prepare(&acme, vec![plain("c")], NOW).await.unwrap();
    let handle = prepared.handles()[0];
    seals.erase(&acme.tenant, NOW).await.unwrap();
    assert!(matches!(prepared.keep(NOW).await, Err(SealError::Erased)));
    let refused = seals.look(&acme, &handle, NOW).await;
    assert!(matches!(refused, Err(SealError::Unknown)));
    // Neither where a rotation had destroyed its key before, which then had nothing to lose.
    let prepared = seals.prepare(&acme, vec![plain("d")], NOW).await.unwrap();
    let handle = prepared.handles()[0];
    let rotated = seals.rotate(&acme.tenant, NOW, |_, _| {}).await.unwrap();
    assert!(!rotated.destroyed.is_empty());
    seals.erase(&acme.tenant, NOW).await.unwrap();
    many(&seals, &acme, 1).await;
    assert!(matches!(prepared.keep(NOW).await, Err(SealError::Erased)));
    let refused = seals.look(&acme, &handle, NOW).await;
    assert!(matches!(refused, Err(SealError::Unknown)));
}

#[tokio::test]
async fn an_erasure_holds_at_once_everywhere_and_for_ever_and_the_tenant_goes_on() {
    let place = Place::new().await;
    let (seals, server) = (place.seals().await, place.seals().await);
    let (acme, rival) = (owner("acme"), owner("rival"));
    let all = many(&server, &acme, 3).await;
    let marked = sealed(&server, &acme, vec![equal("a")]).await[0];
    let others = many(&server, &rival, 2).await;
    let looked = server.look(&acme, &all[0].0, NOW).await.unwrap();
    let wrapped = wrapped_keys(&place, &acme).await;
    assert_eq!(wrapped.len(), 2);
    let erasure = seals.erase(&acme.tenant, NOW).await.unwrap();
    assert_eq!(
        erasure,
        Erasure {
            erased: crate::store::seals::Erased { keys: 2, values: 4 },
            rest: (0, 0),
            settled: true,
        }
    );
    // The process that holds the key as it is, between look and open.
    assert!(matches!(server.open(looked).await, Err(SealError::Erased)));
    for seals in [&seals, &server, &place.seals().await] {
        for handle in all.iter().map(|(handle, _)| handle).chain([&marked]) {
            let refused = seals.look(&acme, handle, NOW).await;
            assert!(matches!(refused, Err(SealError::Erased)));
        }
        all_open(seals, &rival, &others).await;
        // Whose it was not does not learn that it was.
        let refused = seals.look(&rival, &all[0].0, NOW).await;
        assert!(matches!(refused, Err(SealError::Unknown)));
    }
    // Not a byte of the keys is left in the files.
    for file in ["s.db.sealed", "s.db.sealed-wal"] {
        let bytes = std::fs::read(place.dir.path().join(file)).unwrap_or_default();
        for key in &wrapped {
            assert!(
                !bytes.windows(key.len()).any(|window| window == key),
                "{file}"
            );
        }
    }
    let kinds = place.kinds().await;
    assert_eq!(kinds[kinds.len() - 2..], ["keys.erasing", "keys.erased"]);
    // The tenant goes on under a new key, with its whole quota.
    let after = many(&server, &acme, 2).await;
    let mark = sealed(&server, &acme, vec![equal("a")]).await[0];
    assert_ne!(mark.equal(), marked.equal());
    all_open(&place.seals().await, &acme, &after).await;
    assert_eq!(
        standing(&seals).await,
        [
            (1, KeyState::Erased, false, 4),
            (1, KeyState::Active, true, 2),
            (2, KeyState::Active, true, 3),
        ]
    );
    assert_eq!(kept(&place).await["acme"], 3);
    // What cannot be opened is forgotten in its time and counted once.
    seals.prune(NOW.plus(SEALED_KEEP_DEFAULT)).await.unwrap();
    assert_eq!(kept(&place).await["acme"], 0);
    let nobody = seals.erase(&"nobody".parse().unwrap(), NOW).await;
    assert!(matches!(nobody, Err(SealError::NoTenant)));
}

async fn wrapped_keys(place: &Place, owner: &Owner) -> Vec<Vec<u8>> {
    let keys = place.values().await.keys_of(&owner.tenant).await.unwrap();
    let wrapped = |key: TenantKey| key.wrapped.map(|one| one.bytes);
    keys.into_iter().filter_map(wrapped).collect()
}

async fn kept(place: &Place) -> BTreeMap<String, i64> {
    let values = place.values().await;
    let rows = sqlx::query_as("SELECT tenant, kept FROM seal_tenant");
    let rows: Vec<(String, i64)> = rows.fetch_all(values.writer()).await.unwrap();
    rows.into_iter().collect()
}

#[tokio::test]
async fn keys_are_encrypted_under_the_newest_key_of_their_provider_and_the_old_one_can_go() {
    let place = Place::new().await;
    let (seals, acme) = (place.seals().await, owner("acme"));
    let all = many(&seals, &acme, 3).await;
    let marked = sealed(&seals, &acme, vec![equal("a")]).await[0];
    let rival = many(&seals, &owner("rival"), 1).await;
    let old = wrapped_keys(&place, &acme).await;
    let first = seals.rewrap().await.unwrap();
    assert_eq!(
        (first.rewrapped, &first.in_use),
        (0, &vec![first.newest.clone()])
    );
    assert!(first.removable.is_empty());
    add_version(&place.keys()).unwrap();
    let second = seals.rewrap().await.unwrap();
    assert_eq!((second.rewrapped, second.settled), (3, true));
    assert_eq!(second.in_use, std::slice::from_ref(&second.newest));
    assert_eq!(second.removable, std::slice::from_ref(&first.newest));
    let text = std::fs::read_to_string(place.keys()).unwrap();
    let rest: Vec<&str> = text
        .lines()
        .filter(|line| !line.starts_with("1 "))
        .collect();
    std::fs::write(place.keys(), rest.join("\n")).unwrap();
    let seals = place.seals().await;
    seals.try_keys().await.unwrap();
    all_open(&seals, &acme, &all).await;
    all_open(&seals, &owner("rival"), &rival).await;
    assert_eq!(opened(&seals, &acme, &marked).await.unwrap(), "a");
    let bytes = std::fs::read(place.dir.path().join("s.db.sealed")).unwrap();
    for key in &old {
        assert!(!bytes.windows(key.len()).any(|window| window == key));
    }
}

#[tokio::test]
async fn encrypting_anew_skips_what_does_not_open_and_says_so() {
    let place = Place::new().await;
    let (seals, acme) = (place.seals().await, owner("acme"));
    many(&seals, &acme, 1).await;
    let rival = many(&seals, &owner("rival"), 1).await;
    let values = place.values().await;
    let damage = sqlx::query("UPDATE seal_key SET wrapped = zeroblob(60) WHERE id = 1");
    damage.execute(values.writer()).await.unwrap();
    add_version(&place.keys()).unwrap();
    let seals = place.seals().await;
    let done = seals.rewrap().await.unwrap();
    assert_eq!(done.rewrapped, 1);
    let [said] = done.unopened.as_slice() else {
        panic!("{:?}", done.unopened)
    };
    assert!(said.starts_with("acme value 1: "), "{said}");
    assert_eq!((done.in_use.len(), done.removable.len()), (2, 0));
    all_open(&seals, &owner("rival"), &rival).await;
}
