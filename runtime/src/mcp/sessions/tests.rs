use std::sync::{Arc, Mutex};
use std::time::Duration;

use rmcp::model::ProtocolVersion;
use serde_json::json;

use super::{Negotiated, SessionId, SessionTurn, SessionTurned, Sessions};
use crate::clock::ManualClock;
use crate::identity::testing;
use crate::limits::{SESSION_AGE_MAX, SESSION_IDLE_MAX, SESSIONS_MAX, SESSIONS_PER_USER_MAX};

fn sessions() -> (Sessions, ManualClock) {
    let clock = ManualClock::new(testing::NOW);
    (
        Sessions::new(Arc::new(clock.clone()), Box::new(drop)),
        clock,
    )
}

fn negotiated() -> Negotiated {
    Negotiated {
        version: ProtocolVersion::V_2025_11_25,
        opens_urls: true,
        shows_forms: true,
    }
}

#[test]
fn an_id_is_never_printed_and_is_kept_as_its_hash() {
    let (sessions, _) = sessions();
    let alice = testing::caller(json!({}));
    let id = sessions.begin(&alice, negotiated()).unwrap();
    let session = sessions.find(&alice, id.as_str()).unwrap();
    for printed in [format!("{id:?}"), format!("{session:?}")] {
        assert!(!printed.contains(id.as_str()), "{printed}");
        assert!(printed.contains(&session.name().short()), "{printed}");
    }
    // The name that stands in the log opens nothing.
    assert!(sessions.find(&alice, &session.name().to_string()).is_none());
    assert_ne!(
        SessionId::make().unwrap().as_str(),
        SessionId::make().unwrap().as_str()
    );
}

#[test]
fn the_server_has_so_many_sessions_and_forgets_those_that_ended() {
    let (sessions, clock) = sessions();
    let of = |n: usize| testing::caller(json!({"sub": format!("user-{n}")}));
    let mut last = None;
    for user in 0..SESSIONS_MAX / SESSIONS_PER_USER_MAX + 1 {
        let caller = of(user);
        for _ in 0..SESSIONS_PER_USER_MAX {
            last = sessions
                .begin(&caller, negotiated())
                .map(|id| (caller.clone(), id));
        }
    }
    assert!(last.is_none(), "nobody's session gives way to a stranger's");
    assert_eq!(sessions.table().count, SESSIONS_MAX);
    // A user with sessions may still change them.
    assert!(sessions.begin(&of(0), negotiated()).is_some());
    assert_eq!(sessions.table().count, SESSIONS_MAX);
    clock.advance(SESSION_IDLE_MAX);
    assert!(sessions.begin(&of(9999), negotiated()).is_some());
    let table = sessions.table();
    assert_eq!((table.count, table.of.len()), (1, 1));
}

#[test]
fn a_session_in_use_is_not_idle() {
    let (sessions, clock) = sessions();
    let alice = testing::caller(json!({}));
    let id = sessions.begin(&alice, negotiated()).unwrap();
    let in_use = sessions.find(&alice, id.as_str()).unwrap();
    clock.advance(SESSION_IDLE_MAX * 2);
    drop(sessions.find(&alice, id.as_str()).unwrap());
    drop(in_use);
    clock.advance(SESSION_IDLE_MAX - Duration::from_secs(1));
    assert!(sessions.find(&alice, id.as_str()).is_some());
    clock.advance(SESSION_IDLE_MAX);
    assert!(sessions.find(&alice, id.as_str()).is_none());
    assert_eq!(sessions.table().count, 0, "and it is forgotten");
}

#[test]
fn every_beginning_and_every_end_of_a_session_is_told_once_with_its_reason() {
    let clock = ManualClock::new(testing::NOW);
    let heard: Arc<Mutex<Vec<SessionTurned>>> = Arc::default();
    let told = Arc::clone(&heard);
    let told = Box::new(move |turned| told.lock().unwrap().push(turned));
    let sessions = Sessions::new(Arc::new(clock.clone()), told);
    let alice = testing::caller(json!({}));
    let turns = || -> Vec<SessionTurn> {
        heard
            .lock()
            .unwrap()
            .drain(..)
            .map(|one| one.turn)
            .collect()
    };

    let id = sessions.begin(&alice, negotiated()).unwrap();
    let name = heard.lock().unwrap()[0].name;
    assert!(!id.as_str().contains(&name.to_string()));
    let session = sessions.find(&alice, id.as_str()).unwrap();
    sessions.end(&alice, &session);
    sessions.end(&alice, &session);
    assert_eq!(turns(), [SessionTurn::Began, SessionTurn::EndedByClient]);

    // Noticed when it is asked for, and then forgotten.
    let id = sessions.begin(&alice, negotiated()).unwrap();
    clock.advance(SESSION_IDLE_MAX);
    assert!(sessions.find(&alice, id.as_str()).is_none());
    assert!(sessions.find(&alice, id.as_str()).is_none());
    assert_eq!(turns(), [SessionTurn::Began, SessionTurn::Idle]);

    // Noticed when another begins, in use as it is.
    let id = sessions.begin(&alice, negotiated()).unwrap();
    let in_use = sessions.find(&alice, id.as_str()).unwrap();
    clock.advance(SESSION_AGE_MAX);
    sessions.begin(&alice, negotiated()).unwrap();
    drop(in_use);
    let expected = [SessionTurn::Began, SessionTurn::Old, SessionTurn::Began];
    assert_eq!(turns(), expected);

    for _ in 0..SESSIONS_PER_USER_MAX {
        sessions.begin(&alice, negotiated()).unwrap();
    }
    let gave_way = turns();
    let count = |turn| gave_way.iter().filter(|one| **one == turn).count();
    assert_eq!(count(SessionTurn::Began), SESSIONS_PER_USER_MAX);
    assert_eq!(count(SessionTurn::GaveWay), 1);
}
