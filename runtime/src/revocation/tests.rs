//! A revocation waits for what has begun, and nothing begins after it.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

fn http() -> Capability {
    "http GET a.example /".parse().unwrap()
}

fn files() -> Capability {
    "files read notes".parse().unwrap()
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// What nobody had to agree to.
const FREE: u128 = 0;

fn running(calls: &RunningCalls, on: &[(Capability, u128)]) -> (RunningCall, Standing) {
    let call = calls.enter();
    let behind = |number: u128| (number != FREE).then(|| id(number));
    let all = on.iter().filter_map(|(_, number)| behind(*number));
    assert!(call.hold(call.look(), all));
    let with = |(capability, number): &(Capability, u128)| {
        let behind: Vec<_> = behind(*number).into_iter().collect();
        (capability.clone(), behind)
    };
    let standing = call.stand(on.iter().map(with));
    (call, standing)
}

#[tokio::test]
async fn what_is_revoked_is_not_passed_again_and_the_rest_is() {
    let calls = RunningCalls::default();
    let (_call, standing) = running(&calls, &[(http(), 1), (http_b(), 2)]);
    assert_eq!(standing.of(&http()).pass(|| 7), Ok(7));
    calls.revoke(&[id(1)]).await;
    assert_eq!(standing.of(&http()).pass(|| 7), Err(Revoked));
    assert_eq!(standing.of(&http_b()).pass(|| 7), Ok(7));
    assert!(!standing.is_lost());
    assert_eq!(calls.held(), [id(2)], "nobody looks again for what is gone");
    assert!(
        standing.of(&files()).is_revoked(),
        "what was never granted is not live"
    );
}

fn http_b() -> Capability {
    "http GET b.example /".parse().unwrap()
}

#[tokio::test]
async fn a_call_that_holds_nothing_more_is_lost_and_one_that_needs_no_consent_never_is() {
    let calls = RunningCalls::default();
    let (call, standing) = running(&calls, &[(http(), 1), (Capability::Clock, FREE)]);
    let waits = tokio::spawn({
        let standing = standing.clone();
        async move { standing.lost().await }
    });
    let ends = tokio::spawn({
        let standing = standing.clone();
        async move {
            standing.lost().await;
            drop(call);
        }
    });
    calls.revoke(&[id(1)]).await;
    assert!(standing.is_lost());
    assert!(
        calls.lock().running.is_empty(),
        "it waits for the call to end"
    );
    ends.await.unwrap();
    waits.await.unwrap();

    let (_free, standing) = running(&calls, &[(Capability::Clock, FREE)]);
    calls.revoke(&[id(FREE)]).await;
    assert!(!standing.is_lost());
    assert_eq!(standing.of(&Capability::Clock).pass(|| ()), Ok(()));
    // What rules have asked about stands on its consent, of whatever effect it is.
    let (_asked, standing) = running(&calls, &[(Capability::Clock, 9)]);
    calls.revoke(&[id(9)]).await;
    assert!(standing.is_lost());
    assert_eq!(standing.of(&Capability::Clock).pass(|| ()), Err(Revoked));
}

#[tokio::test]
async fn a_call_that_loses_a_folder_is_lost_whatever_else_it_holds() {
    let calls = RunningCalls::default();
    let (call, standing) = running(&calls, &[(http(), 1), (files(), 2)]);
    let ended = tokio::spawn({
        let standing = standing.clone();
        async move {
            standing.lost().await;
            drop(call);
        }
    });
    calls.revoke(&[id(2)]).await;
    ended.await.unwrap();
    assert!(standing.is_lost());
    assert!(!standing.of(&http()).is_revoked());
}

#[tokio::test]
async fn two_consents_for_one_thing_end_with_the_last() {
    let calls = RunningCalls::default();
    let call = calls.enter();
    assert!(call.hold(call.look(), [id(1), id(2)]));
    let standing = call.stand([(http(), vec![id(1), id(2)])]);
    calls.revoke(&[id(1)]).await;
    assert!(!standing.of(&http()).is_revoked());
    drop(call);
    calls.revoke(&[id(2)]).await;
    assert!(!standing.is_lost(), "a call that has ended hears no more");
}

#[tokio::test]
async fn whoever_looked_before_a_revocation_looks_again() {
    let calls = RunningCalls::default();
    let call = calls.enter();
    let early = call.look();
    calls.revoke(&[id(1)]).await;
    assert!(!call.hold(early, [id(1)]));
    assert!(calls.held().is_empty());
    assert!(
        call.hold(call.look(), [id(2)]),
        "beside it: a later look counts"
    );
    assert_eq!(calls.held(), [id(2)]);
}

#[tokio::test]
async fn what_ends_of_others_makes_nobody_look_again() {
    let who = |name: &str| TenantUser {
        tenant: "acme".parse().unwrap(),
        user: crate::ids::User {
            issuer: "https://as.test".parse().unwrap(),
            subject: name.parse().unwrap(),
        },
    };
    let calls = RunningCalls::default();
    let call = calls.enter_for(who("alice"));
    let looked = call.look();
    calls.look_again(&who("bob"));
    calls.revoke(&[id(1)]).await;
    assert!(call.hold(looked, [id(2)]));
    assert!(
        !call.hold(looked, [id(1), id(2)]),
        "a consent that it found"
    );
    assert!(!calls.enter().hold(looked, [id(2)]), "whose, is not known");
    let mut other_tenant = who("alice");
    other_tenant.tenant = "other".parse().unwrap();
    calls.look_again(&other_tenant);
    assert!(call.hold(looked, [id(2)]));
    calls.look_again(&who("alice"));
    assert!(!call.hold(looked, [id(2)]));

    // What is forgotten may have been anything.
    let looked = call.look();
    for _ in 0..RECENT_REVOCATIONS_MAX {
        calls.look_again(&who("bob"));
    }
    assert!(call.hold(looked, [id(2)]));
    calls.look_again(&who("bob"));
    assert!(!call.hold(looked, [id(2)]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn after_a_revocation_returns_no_step_is_done() {
    for _ in 0..50 {
        let calls = RunningCalls::default();
        let done = Arc::new(AtomicUsize::new(0));
        let steps: Vec<_> = (0..8)
            .map(|_| {
                let (call, standing) = running(&calls, &[(http(), 1)]);
                let done = Arc::clone(&done);
                tokio::spawn(async move {
                    let endless = async {
                        loop {
                            done.fetch_add(1, Ordering::SeqCst);
                            tokio::task::yield_now().await;
                        }
                    };
                    let live = standing.of(&http());
                    let ended: Result<(), Revoked> = live.guard(endless).await;
                    drop(call);
                    ended
                })
            })
            .collect();
        while done.load(Ordering::SeqCst) < 100 {
            tokio::task::yield_now().await;
        }
        calls.revoke(&[id(1)]).await;
        let after = done.load(Ordering::SeqCst);
        for step in steps {
            assert_eq!(step.await.unwrap(), Err(Revoked));
        }
        assert_eq!(done.load(Ordering::SeqCst), after);
    }
}

#[test]
fn what_stands_on_two_consents_ends_with_the_first_of_them() {
    let running = RunningCalls::default();
    let [one, two]: [Capability; 2] =
        ["http GET a.example /", "secret t a.example bearer"].map(|text| text.parse().unwrap());
    let ids = [Uuid::from_u128(1), Uuid::from_u128(2)];
    for taken in ids {
        let call = running.enter();
        assert!(call.hold(call.look(), ids));
        let standing = call.stand([(one.clone(), vec![ids[0]]), (two.clone(), vec![ids[1]])]);
        let both = Live::both(standing.of(&one), standing.of(&two));
        assert_eq!(both.pass(|| 7), Ok(7));
        assert!(!both.is_revoked());
        running.revoke_soon(&[taken]);
        assert_eq!(both.pass(|| 7), Err(Revoked));
        assert!(both.is_revoked());
        let told = futures_util::FutureExt::now_or_never(both.revoked());
        assert_eq!(told, Some(()));
    }
    assert_eq!(Live::both(Live::free(), Live::free()).pass(|| 7), Ok(7));
}

/// A call that stands on consent 2, within one that stands on consent 1.
fn one_within_another(calls: &RunningCalls) -> (RunningCall, RunningCall, Standing) {
    let (outer, around) = running(calls, &[(http(), 1), (files(), 3)]);
    let (inner, own) = running(calls, &[(http(), 2), (Capability::Clock, FREE)]);
    let shared = |one: &Capability| *one != Capability::Clock;
    let both = [http(), Capability::Clock];
    let standing = own.narrowed(&both, (&around, &files()), shared);
    inner.stand_on(standing.clone());
    (outer, inner, standing)
}

#[tokio::test]
async fn what_two_calls_stand_on_ends_with_either_of_them() {
    for ended in [1, 2] {
        let calls = RunningCalls::default();
        let (_outer, inner, standing) = one_within_another(&calls);
        let live = standing.of(&http());
        assert_eq!(live.pass(|| 7), Ok(7));
        assert!(!live.is_revoked() && !standing.is_lost());
        let waits = tokio::spawn({
            let live = live.clone();
            async move { live.revoked().await }
        });
        // The inner call is lost with it, and ends.
        let ids = [id(ended)];
        tokio::join!(calls.revoke(&ids), async { drop(inner) });
        waits.await.unwrap();
        assert_eq!(live.pass(|| 7), Err(Revoked));
        assert!(live.is_revoked() && standing.is_lost());
        assert_eq!(standing.of(&Capability::Clock).pass(|| 7), Ok(7));
    }
}

#[tokio::test]
async fn a_revocation_waits_for_the_step_of_a_call_within_whichever_consent_it_takes() {
    for ended in [1, 2] {
        let calls = RunningCalls::default();
        let (outer, inner, standing) = one_within_another(&calls);
        let (begun, revoked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let step = std::thread::spawn({
            let (begun, revoked, live) = (begun.clone(), revoked.clone(), standing.of(&http()));
            move || {
                live.pass(|| {
                    begun.store(1, Ordering::Release);
                    std::thread::sleep(Duration::from_millis(100));
                    revoked.load(Ordering::Acquire)
                })
            }
        });
        while begun.load(Ordering::Acquire) == 0 {
            std::thread::yield_now();
        }
        tokio::task::spawn_blocking({
            let calls = calls.clone();
            move || calls.revoke_soon(&[id(ended)])
        })
        .await
        .unwrap();
        revoked.store(1, Ordering::Release);
        assert_eq!(step.join().unwrap(), Ok(0), "it was revoked within a step");
        drop((outer, inner));
    }
}

#[test]
fn what_lies_in_neither_call_is_not_live() {
    let calls = RunningCalls::default();
    let (_outer, around) = running(&calls, &[(files(), 1)]);
    let (_inner, own) = running(&calls, &[(http(), 2)]);
    let wider: Capability = "http GET,POST a.example /".parse().unwrap();
    for capability in [http(), wider] {
        let standing = own.narrowed([&capability], (&around, &files()), |_| true);
        assert!(standing.of(&capability).is_revoked(), "{capability}");
    }
}

#[test]
#[should_panic(expected = "a gate is passed within itself")]
fn a_step_that_passes_its_own_gate_again_is_seen_in_tests() {
    let calls = RunningCalls::default();
    let (_call, standing) = running(&calls, &[(http(), 1)]);
    let live = standing.of(&http());
    let _ = live.pass(|| live.is_revoked());
}
