use super::*;

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
    assert_eq!(opened, ticket);
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
    for bad in ["", "x", "AAAA", &text[..text.len() - 4], &"A".repeat(5_000)] {
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
