use super::*;
use crate::telemetry::Samples;

#[tokio::test]
async fn the_same_question_keeps_its_ticket_until_it_expires() {
    let world = World::new().await;
    let first = world.ticket(&notes()).await;
    assert_eq!(world.ticket(&notes()).await, first);
    // After a restart as well: only the hash is kept.
    let again = World::on(Arc::clone(&world.store)).await;
    assert_eq!(again.ticket(&notes()).await, first);
    let told = world.log("consent.asked").await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].record.facts["capabilities"], json!([WRITE]));
    world.clock.advance(TICKET_TTL);
    let now = world.now();
    let late = world.answer(&first, &[(WRITE, long())]).await;
    assert!(matches!(late, Err(TicketError::Expired)), "{late:?}");
    let state = world.consents.ticket_state(&first, &alice(), now).await;
    assert_eq!(state.unwrap(), Some(TicketState::Expired));
    assert_ne!(world.ticket(&notes()).await, first);
}

#[tokio::test]
async fn a_question_is_shown_to_its_user_and_unknown_to_others() {
    let world = World::new().await;
    let ticket = world.ticket(&notes()).await;
    let now = world.now();
    let question = world
        .consents
        .question(&ticket, &alice(), now)
        .await
        .unwrap();
    assert_eq!(question.tool.as_str(), "notes");
    assert_eq!(question.client.as_str(), "client-1");
    assert_eq!(question.asked[0].sentence, sentences(&[WRITE])[0]);
    assert_eq!(question.asked[0].reason, "for the test of notes");
    assert_eq!(question.asked[0].longest, Some(CONSENT_T2_MAX));

    let foreign = world.consents.question(&ticket, &user("bob"), now).await;
    let made_up = TicketId::derive(&world.consents.tickets, &[7; 16]);
    let unknown = world.consents.question(&made_up, &alice(), now).await;
    assert_eq!(
        foreign.unwrap_err().to_string(),
        unknown.unwrap_err().to_string()
    );
    let state = world
        .consents
        .ticket_state(&ticket, &user("bob"), now)
        .await;
    assert_eq!(state.unwrap(), None);
    let answers = [Answer {
        capability: WRITE.parse().unwrap(),
        choice: long(),
    }];
    let bob = user("bob");
    let decided = world
        .consents
        .decide(
            &ticket,
            &bob,
            &answers,
            page(),
            &SignInFacts::default(),
            now,
        )
        .await;
    assert!(matches!(decided, Err(TicketError::Unknown)), "{decided:?}");
    assert_eq!(world.log("consent.foreign-user").await.len(), 2);
    asked(world.confirm(json!({}), &notes()).await);
}

#[tokio::test]
async fn a_question_is_answered_once() {
    let world = World::new().await;
    let ticket = world.ticket(&notes()).await;
    world.answer(&ticket, &[(WRITE, long())]).await.unwrap();
    let again = world.answer(&ticket, &[(WRITE, Choice::Deny)]).await;
    assert!(
        matches!(again, Err(TicketError::Answered { allowed: true })),
        "{again:?}"
    );
    assert!(world.confirm(json!({}), &notes()).await.is_ok());
    let state = world
        .consents
        .ticket_state(&ticket, &alice(), world.now())
        .await;
    assert_eq!(state.unwrap(), Some(TicketState::Allowed));
    let given = world.log("consent.given").await;
    assert_eq!(given.len(), 1);
    assert_eq!(given[0].record.ticket, Some(ticket.hash()));
}

#[tokio::test]
async fn an_answer_cannot_be_about_more_than_was_asked() {
    let world = World::new().await;
    let ticket = world.ticket(&notes()).await;
    for answers in [
        vec![(GET, long())],
        vec![(WRITE, long()), (WRITE, Choice::Deny)],
        vec![("files write notes a", long())],
    ] {
        let refused = world.answer(&ticket, &answers).await;
        assert!(
            matches!(refused, Err(TicketError::NotAsked { .. })),
            "{refused:?}"
        );
    }
    let past = world.answer(&ticket, &[(WRITE, Choice::Until(NOW))]).await;
    assert!(matches!(past, Err(TicketError::Past)), "{past:?}");
}

#[tokio::test]
async fn a_consent_lasts_no_longer_than_its_tier_allows() {
    let world = World::new().await;
    let tool = tool(
        "notes",
        &[("notes", &[WRITE], false), ("page", &[GET], false)],
    );
    let forever = Choice::Until(Timestamp(i64::MAX));
    world
        .given(&tool, &[(WRITE, forever), (GET, forever)])
        .await;
    for row in world.consents.list(&alice()).await.unwrap() {
        let longest = match row.capability.tier() {
            Tier::T1 => CONSENT_T1_MAX,
            _ => CONSENT_T2_MAX,
        };
        assert_eq!(row.expires_at, NOW.plus(longest), "{}", row.capability);
        assert_eq!(row.scope, Scope::Until);
    }
}

#[tokio::test]
async fn a_flood_of_questions_ends() {
    let world = World::new().await;
    let most = usize::try_from(OPEN_QUESTIONS_MAX).unwrap();
    for n in 0..most {
        let tool = tool(&format!("tool-{n}"), &[("notes", &[WRITE], false)]);
        asked(world.confirm(json!({}), &tool).await);
    }
    let refused = world.confirm(json!({}), &notes()).await;
    assert!(
        matches!(refused, Err(ConsentError::TooManyQuestions)),
        "{refused:?}"
    );
    asked(world.confirm(json!({"sub": "bob"}), &notes()).await);
    world.clock.advance(TICKET_TTL);
    asked(world.confirm(json!({}), &notes()).await);
}

#[tokio::test]
async fn an_answer_that_is_sent_many_times_at_once_counts_once_and_the_others_hear_of_it() {
    let world = Arc::new(World::new().await);
    let ticket = world.ticket(&notes()).await;
    let answers: Vec<_> = (0..8)
        .map(|_| {
            let (world, ticket) = (Arc::clone(&world), ticket.clone());
            tokio::spawn(async move { world.answer(&ticket, &[(WRITE, long())]).await })
        })
        .collect();
    let mut counted = 0;
    for answer in answers {
        match answer.await.unwrap() {
            Ok(_) => counted += 1,
            Err(late) => assert!(
                matches!(late, TicketError::Answered { allowed: true }),
                "{late:?}"
            ),
        }
    }
    assert_eq!(counted, 1);
    assert_eq!(world.log("consent.given").await.len(), 1);
}

#[tokio::test]
async fn an_answer_that_the_state_refuses_is_not_taken_for_a_sign_out() {
    let world = World::new().await;
    world.given(&notes(), &[(WRITE, long())]).await;
    let other = tool("other", &[("notes", &[WRITE], false)]);
    let ticket = world.ticket(&other).await;
    sqlx::query("CREATE UNIQUE INDEX one_alone ON consent (tenant)")
        .execute(world.store.writer())
        .await
        .unwrap();
    let refused = world.answer(&ticket, &[(WRITE, long())]).await;
    assert!(matches!(refused, Err(TicketError::Unknown)), "{refused:?}");
}

#[tokio::test]
async fn it_is_counted_how_long_a_user_took_to_decide() {
    let world = World::new().await;
    let ticket = world.ticket(&notes()).await;
    world.clock.advance(Duration::from_secs(30));
    world.answer(&ticket, &[(WRITE, long())]).await.unwrap();
    let families = world.audit.meters().families();
    let took = families
        .iter()
        .find(|one| one.name == "bailiwick_consent_decision_seconds")
        .unwrap();
    let Samples::Seconds(all) = &took.samples else {
        panic!("{:?}", took.samples);
    };
    let (_, (seconds, count, _)) = &all[0];
    assert_eq!((seconds.round(), *count), (30.0, 1));
}
