use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::dialogue::{Answer, Answered, Dialogue};
use crate::limits::{ASK_ANSWER_BYTES_MAX, ASK_CALL_MAX, ASK_QUESTIONS_MAX, NEEDS_PER_PACKAGE_MAX};

fn facts(name: &str) -> StateFacts {
    StateFacts {
        tenant: "acme".parse().unwrap(),
        user: user(name).user,
        client: "client-1".parse().unwrap(),
        tool: "notes".parse().unwrap(),
        component: Digest::of(b"component"),
        arguments: canonical_digest(&json!({"text": "x"})),
    }
}

async fn states() -> (World, RequestStates, TicketId) {
    let world = World::new().await;
    let states = RequestStates::open_key(world.store.clone()).await.unwrap();
    let ticket = TicketId::derive(&world.consents.tickets, &[1; 16]);
    (world, states, ticket)
}

#[tokio::test]
async fn p22_p23_h5_a_state_comes_back_once_and_in_time() {
    let (_world, states, ticket) = states().await;
    let text = states.seal(&facts("alice"), &ticket, NOW).unwrap();
    assert!(!text.contains("alice") && !text.contains(ticket.as_str()));
    let opened = states.open(&text, &facts("alice"), NOW).await.unwrap();
    assert_eq!(opened, Waits::Consent(ticket.clone()));
    let again = states.open(&text, &facts("alice"), NOW).await;
    assert!(matches!(again, Err(StateError::Replayed)), "{again:?}");
    let text = states.seal(&facts("alice"), &ticket, NOW).unwrap();
    let late = NOW.plus(REQUEST_STATE_TTL);
    let late = states.open(&text, &facts("alice"), late).await;
    assert!(matches!(late, Err(StateError::Expired)), "{late:?}");
}

#[tokio::test]
async fn p22_p31_h5_a_state_belongs_to_one_call() {
    let (_world, states, ticket) = states().await;
    let mine = facts("alice");
    let text = states.seal(&mine, &ticket, NOW).unwrap();
    let others = [
        facts("bob"),
        StateFacts {
            tenant: "other".parse().unwrap(),
            ..mine.clone()
        },
        StateFacts {
            client: "client-2".parse().unwrap(),
            ..mine.clone()
        },
        StateFacts {
            tool: "other".parse().unwrap(),
            ..mine.clone()
        },
        StateFacts {
            component: Digest::of(b"other"),
            ..mine.clone()
        },
        StateFacts {
            arguments: Digest::of(b"other"),
            ..mine.clone()
        },
    ];
    for other in others {
        let foreign = states.open(&text, &other, NOW).await;
        assert!(matches!(foreign, Err(StateError::Foreign)), "{foreign:?}");
    }
    // Whoever tried in vain has not used it up.
    assert!(states.open(&text, &mine, NOW).await.is_ok());
}

#[tokio::test]
async fn p22_p31_a_changed_state_is_refused() {
    let (_world, states, ticket) = states().await;
    let text = states.seal(&facts("alice"), &ticket, NOW).unwrap();
    for at in 0..text.len() {
        let mut changed = text.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        let refused = states.open(&changed, &facts("alice"), NOW).await;
        assert!(
            matches!(refused, Err(StateError::Invalid)),
            "{at}: {refused:?}"
        );
    }
    for bad in [
        "",
        "x",
        "AAAA",
        &text[..text.len() - 4],
        &"A".repeat(100_000),
    ] {
        let refused = states.open(bad, &facts("alice"), NOW).await;
        assert!(matches!(refused, Err(StateError::Invalid)), "{refused:?}");
    }
    let (_world, others, _) = super::states::states().await;
    let elsewhere = others.open(&text, &facts("alice"), NOW).await;
    assert!(
        matches!(elsewhere, Err(StateError::Invalid)),
        "{elsewhere:?}"
    );
}

fn dialogue(answer: &str) -> Dialogue {
    Dialogue {
        answered: vec![Answered {
            question: Digest::of(b"question"),
            answer: Answer::Submitted(answer.to_owned()),
        }],
        waits: Some(Digest::of(b"another")),
        began: NOW,
        runs: 2,
        used: vec![Uuid::now_v7()],
    }
}

#[tokio::test]
async fn p22_p23_answers_travel_sealed_and_come_back_once_to_the_same_call() {
    let (_world, states, _) = states().await;
    let form = Waits::Form(Box::new(dialogue("hush-hush")));
    let seal = || states.seal_waiting(&facts("alice"), &form, NOW).unwrap();
    let text = seal();
    let readable = URL_SAFE_NO_PAD.decode(&text).unwrap();
    assert!(!String::from_utf8_lossy(&readable).contains("hush"));
    let foreign = states.open(&text, &facts("bob"), NOW).await;
    assert!(matches!(foreign, Err(StateError::Foreign)), "{foreign:?}");
    let opened = states.open(&text, &facts("alice"), NOW).await.unwrap();
    assert_eq!(opened, form);
    let again = states.open(&text, &facts("alice"), NOW).await;
    assert!(matches!(again, Err(StateError::Replayed)), "{again:?}");
}

#[tokio::test]
async fn a_call_that_asks_ends_however_often_its_client_comes_back() {
    let (_world, states, _) = states().await;
    let form = Waits::Form(Box::new(dialogue("x")));
    // Sealed a second before the call must have ended.
    let last = Timestamp(NOW.plus(ASK_CALL_MAX).0 - 1_000);
    let text = states.seal_waiting(&facts("alice"), &form, last).unwrap();
    assert!(states.read(&text, &facts("alice"), last).is_ok());
    let late = states.read(&text, &facts("alice"), NOW.plus(ASK_CALL_MAX));
    assert!(matches!(late, Err(StateError::Expired)), "{late:?}");
}

#[tokio::test]
async fn the_largest_answers_of_a_call_fit_into_a_state() {
    let (_world, states, _) = states().await;
    // Every byte of it is escaped once more in the state.
    let worst = "\"".repeat(ASK_ANSWER_BYTES_MAX);
    let mut largest = dialogue(&worst);
    largest.answered = vec![largest.answered[0].clone(); ASK_QUESTIONS_MAX];
    largest.used = vec![Uuid::now_v7(); NEEDS_PER_PACKAGE_MAX];
    let form = Waits::Form(Box::new(largest));
    let text = states.seal_waiting(&facts("alice"), &form, NOW).unwrap();
    assert_eq!(
        states.open(&text, &facts("alice"), NOW).await.unwrap(),
        form
    );
}

#[tokio::test]
async fn a_call_that_waits_for_a_decision_about_another_tool_is_bound_and_bounded_alike() {
    let (_world, states, ticket) = states().await;
    let waits = Waits::Callee(ticket, Box::new(dialogue("hush-hush")));
    let text = states.seal_waiting(&facts("alice"), &waits, NOW).unwrap();
    let foreign = states.open(&text, &facts("bob"), NOW).await;
    assert!(matches!(foreign, Err(StateError::Foreign)), "{foreign:?}");
    let late = states.read(&text, &facts("alice"), NOW.plus(ASK_CALL_MAX));
    assert!(matches!(late, Err(StateError::Expired)), "{late:?}");
    let opened = states.open(&text, &facts("alice"), NOW).await.unwrap();
    assert_eq!(opened, waits);
    let again = states.open(&text, &facts("alice"), NOW).await;
    assert!(matches!(again, Err(StateError::Replayed)), "{again:?}");
}
