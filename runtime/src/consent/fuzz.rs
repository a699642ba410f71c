//! What a client carries back: whatever was changed of a sealed state is refused, and so is whatever we never sealed.

#![expect(clippy::expect_used, reason = "a target ends by a panic")]

use std::sync::{Arc, LazyLock};

use super::state::{RequestStates, StateError, StateFacts, Waits};
use super::ticket::TicketId;
use crate::dialogue::Dialogue;
use crate::fuzzing::choices::{Choices, altered};
use crate::identity::testing::NOW;
use crate::ids::{Digest, User};
use crate::limits::REQUEST_STATE_TTL;
use crate::store::{SharedStore, SqliteStore};

struct World {
    states: RequestStates,
    facts: StateFacts,
    sealed: Vec<(String, Waits)>,
}

static WORLD: LazyLock<World> = LazyLock::new(|| {
    // Sealing needs the store for its key alone.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let states = runtime.expect("a runtime").block_on(async {
        let store: SharedStore = Arc::new(SqliteStore::in_memory().await.expect("a store"));
        RequestStates::open_key(store).await.expect("a key")
    });
    let facts = StateFacts {
        tenant: "acme".parse().expect("a tenant"),
        user: User {
            issuer: "https://as.test".parse().expect("an issuer"),
            subject: "alice".parse().expect("a subject"),
        },
        client: "client-1".parse().expect("a client"),
        tool: "notes".parse().expect("a name"),
        component: Digest::of(b"component"),
        arguments: Digest::of(b"arguments"),
    };
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[3; 32]);
    let ticket = TicketId::derive(&key, &[1; 16]);
    let dialogue = Box::new(Dialogue {
        answered: Vec::new(),
        waits: None,
        began: NOW,
        runs: 1,
        used: Vec::new(),
    });
    let all = [
        Waits::Consent(ticket.clone()),
        Waits::Form(dialogue.clone()),
        Waits::Callee(ticket, dialogue),
    ];
    let sealed = all.map(|waits| {
        let text = states.seal_waiting(&facts, &waits, NOW);
        (text.expect("a sealed state"), waits)
    });
    World {
        states,
        facts,
        sealed: sealed.to_vec(),
    }
});

/// A byte that chooses a sealed state, and what to change of it, of the call that brings it, or of the time; or a text by itself.
pub(crate) fn state(bytes: &[u8]) {
    is_read(bytes);
}

/// The same; says whether the state was taken.
fn is_read(bytes: &[u8]) -> bool {
    let world = &*WORLD;
    let mut choices = Choices::of(bytes);
    let place = usize::from(choices.byte());
    let Some((sealed, waits)) = world.sealed.get(place) else {
        // Nobody who has not the key can make one.
        let text = String::from_utf8_lossy(choices.rest());
        let read = world.states.read(&text, &world.facts, NOW);
        let sealed = world.sealed.iter().any(|(sealed, _)| *sealed == text);
        assert!(
            sealed || matches!(read, Err(StateError::Invalid)),
            "a state that nobody sealed"
        );
        let ticket = text.parse::<TicketId>();
        assert!(
            ticket.is_err() || text.len() == 43,
            "a ticket of another length"
        );
        return read.is_ok();
    };
    let facts = match choices.below(4) {
        0 => changed(&world.facts, &mut choices),
        _ => world.facts.clone(),
    };
    let late = choices.below(8) == 1;
    let now = if late {
        NOW.plus(REQUEST_STATE_TTL)
    } else {
        NOW
    };
    let text = match choices.below(3) {
        0 => sealed.clone(),
        1 => String::from_utf8_lossy(&altered(sealed.as_bytes(), &mut choices)).into_owned(),
        // The end of one behind the beginning of another.
        _ => {
            let other = world.sealed.get(choices.below(3)).map(|(other, _)| other);
            let at = choices.below(sealed.len());
            let (head, tail) = (sealed.get(..at), other.and_then(|other| other.get(at..)));
            [head.unwrap_or_default(), tail.unwrap_or_default()].concat()
        }
    };
    let read = world.states.read(&text, &facts, now);
    let taken = read.is_ok();
    let whole = world.sealed.iter().find(|(sealed, _)| *sealed == text);
    match whole {
        None => assert!(
            matches!(read, Err(StateError::Invalid)),
            "a state that was changed"
        ),
        Some(_) if facts != world.facts => {
            assert!(
                matches!(read, Err(StateError::Foreign)),
                "a state of another call"
            );
        }
        Some(_) if late => assert!(
            matches!(read, Err(StateError::Expired)),
            "a state past its time"
        ),
        Some((_, of)) => {
            let found = read.expect("a state that nobody changed");
            assert_eq!(found.waits(), of);
            assert!(of == waits || text != *sealed);
        }
    }
    taken
}

/// The same call but for one thing, or the same call.
fn changed(facts: &StateFacts, choices: &mut Choices<'_>) -> StateFacts {
    let mut facts = facts.clone();
    let which = choices.below(7);
    let name = format!("x{}", choices.byte());
    match which {
        0 => facts.tenant = name.parse().expect("a tenant"),
        1 => facts.user.subject = name.parse().expect("a subject"),
        2 => facts.user.issuer = name.parse().expect("an issuer"),
        3 => facts.client = name.parse().expect("a client"),
        4 => facts.tool = name.parse().expect("a name"),
        5 => facts.component = Digest::of(name.as_bytes()),
        _ => facts.arguments = Digest::of(name.as_bytes()),
    }
    facts
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    for which in 0..3 {
        all.push(vec![which, 1, 0, 0, 0, 0, 0]);
        all.push(vec![which, 0, 0, 4, 0, 7, 0, 0, 0, 0]);
        all.push(vec![which, 1, 0, 1, 0, 0, 0]);
        all.push(vec![which, 1, 0, 0, 0, 1, 0, 1, 0, 20, 0, 0, 0, 1]);
        all.push(vec![which, 1, 0, 0, 0, 2, 0, 2, 0, 60, 0]);
    }
    all.push([&[9], [b'A'; 43].as_slice()].concat());
    all.push([&[9], [b'A'; 250].as_slice()].concat());
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_among_the_seeds_that_nobody_changed_are_taken_and_no_others() {
        let taken: Vec<bool> = seeds().iter().map(|seed| is_read(seed)).collect();
        // Of each state: as it is, of another call, too late, changed, and with the end of the last one, which is its own in the end.
        let (other, last) = (
            [true, false, false, false, false],
            [true, false, false, false, true],
        );
        let made_up = [false, false];
        assert_eq!(taken, [&other[..], &other, &last, &made_up].concat());
    }
}
