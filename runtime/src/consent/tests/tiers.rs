//! What rules have asked about more strictly than what it does calls for.

use super::*;

const T3: &str = "@min_tier(\"T3\")";
const T2: &str = "@min_tier(\"T2\")";

async fn call(
    world: &World,
    bounds: &str,
    tool: &Tool,
    values: Value,
) -> Result<Consent, ConsentError> {
    let permit = bounded_permit(bounds, &caller(json!({})), tool);
    let values = values.as_object().unwrap().clone();
    world
        .consents
        .confirm(permit, &Arguments::of(&values), world.now())
        .await
}

async fn ticket(world: &World, bounds: &str, tool: &Tool, values: Value) -> TicketId {
    match call(world, bounds, tool, values).await {
        Err(ConsentError::Needed(needed)) => needed.ticket,
        other => panic!("{other:?}"),
    }
}

/// Answers after a sign-in of this age that states how it was done.
async fn allow(
    world: &World,
    ticket: &TicketId,
    choice: Choice,
    age: Duration,
) -> Result<Decided, TicketError> {
    let sign_in = SignInFacts {
        acr: Some("mfa".to_owned()),
        amr: Vec::new(),
        auth_time: Some(Timestamp(
            world.now().0 - i64::try_from(age.as_millis()).unwrap(),
        )),
    };
    let who = alice();
    let asked = world.consents.question(ticket, &who, world.now());
    let answers: Vec<_> = asked
        .await?
        .asked
        .into_iter()
        .map(|asked| Answer {
            capability: asked.capability,
            choice,
        })
        .collect();
    world
        .consents
        .decide(ticket, &alice(), &answers, page(), &sign_in, world.now())
        .await
}

#[tokio::test]
async fn what_is_raised_to_t3_is_allowed_once_with_exactly_the_arguments_that_were_shown() {
    let world = World::new().await;
    let (one, other) = (json!({"to": "a", "sum": 1}), json!({"to": "a", "sum": 100}));
    let ticket_one = ticket(&world, T3, &notes(), one.clone()).await;
    let question = world
        .consents
        .question(&ticket_one, &alice(), world.now())
        .await
        .unwrap();
    let shown = question.arguments.as_deref();
    assert_eq!(shown, Some("{\n  \"sum\": 1,\n  \"to\": \"a\"\n}"));
    assert_eq!(
        (question.asked[0].tier, question.asked[0].longest),
        (Tier::T3, None)
    );
    // The same call has the same question, another has another.
    assert!(ticket(&world, T3, &notes(), one.clone()).await == ticket_one);
    assert!(ticket(&world, T3, &notes(), other.clone()).await != ticket_one);

    allow(&world, &ticket_one, Choice::Once, Duration::ZERO)
        .await
        .unwrap();
    ticket(&world, T3, &notes(), other).await;
    let consent = call(&world, T3, &notes(), one.clone()).await.unwrap();
    assert_eq!(texts(consent.agreed()), [WRITE]);
    let used = &world.consents.list(&alice()).await.unwrap()[0];
    assert_eq!((used.tier, used.scope), (Tier::T3, Scope::Once));
    assert_eq!(as_json(used, world.now())["tier"], "T3");
    // Again is another call.
    ticket(&world, T3, &notes(), one).await;
}

#[tokio::test]
async fn what_is_raised_to_t3_needs_a_fresh_sign_in_that_says_how_and_lasts_for_no_second_call() {
    let world = World::new().await;
    let values = json!({"sum": 1});
    let asked = ticket(&world, T3, &notes(), values.clone()).await;
    let stale = allow(
        &world,
        &asked,
        Choice::Once,
        T3_TTL + Duration::from_millis(1),
    )
    .await;
    assert!(matches!(stale, Err(TicketError::FreshSignIn)), "{stale:?}");
    let unsaid = world.answer(&asked, &[(WRITE, Choice::Once)]).await;
    assert!(matches!(unsaid, Err(TicketError::NoAcr)), "{unsaid:?}");
    let always = allow(&world, &asked, long(), Duration::ZERO).await;
    assert!(
        matches!(always, Err(TicketError::OnceOnly { .. })),
        "{always:?}"
    );
    allow(&world, &asked, Choice::Once, T3_TTL).await.unwrap();
    world.clock.advance(T3_TTL);
    ticket(&world, T3, &notes(), values).await;
}

#[tokio::test]
async fn a_refusal_of_a_t3_call_is_one_of_no_other() {
    let world = World::new().await;
    let asked = ticket(&world, T3, &notes(), json!({"sum": 1})).await;
    allow(&world, &asked, Choice::Deny, Duration::ZERO)
        .await
        .unwrap();
    let again = call(&world, T3, &notes(), json!({"sum": 1})).await;
    assert!(
        matches!(again, Err(ConsentError::Denied { .. })),
        "{again:?}"
    );
    ticket(&world, T3, &notes(), json!({"sum": 2})).await;
}

#[tokio::test]
async fn a_consent_from_before_the_rules_were_raised_does_not_serve_and_serves_again_after() {
    let world = World::new().await;
    world.given(&notes(), &[(WRITE, long())]).await;
    assert!(call(&world, "", &notes(), json!({})).await.is_ok());
    ticket(&world, T3, &notes(), json!({})).await;
    assert!(call(&world, "", &notes(), json!({})).await.is_ok());
}

#[tokio::test]
async fn a_raised_capability_of_no_effect_is_asked_about() {
    let world = World::new().await;
    let clock = tool("clock", &[("time", &["clock"], false)]);
    let free = call(&world, "", &clock, json!({})).await.unwrap();
    assert!(free.records().is_empty());
    let asked = ticket(&world, T2, &clock, json!({})).await;
    let question = world.consents.question(&asked, &alice(), world.now()).await;
    assert_eq!(question.unwrap().asked[0].longest, Some(CONSENT_T2_MAX));
    world.answer(&asked, &[("clock", long())]).await.unwrap();
    let consent = call(&world, T2, &clock, json!({})).await.unwrap();
    assert_eq!(texts(consent.agreed()), ["clock"]);
    // And what was agreed to can be taken back from a call that runs.
    let id = consent.records()[0].id;
    let grants = crate::grant::GrantSet::from(consent);
    let live = grants.standing().of(&"clock".parse().unwrap());
    assert!(!live.is_revoked());
    let now = world.now();
    assert!(world.consents.revoke(&alice(), id, now).await.unwrap());
    assert!(live.is_revoked());
}

#[tokio::test]
async fn what_is_raised_to_t2_is_asked_again_of_another_build_and_the_operator_does_not_stand_in() {
    let world = World::new().await;
    let reads = tool("notes", &[("notes", &[READ], false)]);
    let asked = ticket(&world, T2, &reads, json!({})).await;
    world.answer(&asked, &[(READ, long())]).await.unwrap();
    assert!(call(&world, T2, &reads, json!({})).await.is_ok());
    let other = changed(&[("notes", &[READ], false)], |manifest| {
        manifest.version = "2.0.0".to_owned();
    });
    assert!(call(&world, "", &other, json!({})).await.is_ok());
    ticket(&world, T2, &other, json!({})).await;

    let world = World::new().await;
    let wish = PreConsent {
        tenant: alice().tenant,
        user: alice().user,
        client: caller(json!({})).client().clone(),
        tool: &reads,
        capability: READ.parse().unwrap(),
        from: None,
        until: NOW.plus(CONSENT_T1_MAX),
    };
    world.consents.pre_consent(wish, NOW).await.unwrap();
    assert!(call(&world, "", &reads, json!({})).await.is_ok());
    ticket(&world, T2, &reads, json!({})).await;
}

#[tokio::test]
async fn arguments_that_nobody_could_read_whole_are_not_asked_about() {
    let world = World::new().await;
    let long = json!({"text": "x".repeat(ARGUMENTS_SHOWN_CHARS_MAX)});
    let refused = call(&world, T3, &notes(), long.clone()).await;
    assert!(
        matches!(refused, Err(ConsentError::NotShowable)),
        "{refused:?}"
    );
    // Where no answer is bound to them, they do not matter; and what a tool need not have, it does without.
    ticket(&world, "", &notes(), long.clone()).await;
    let wishing = tool("notes", &[("notes", &[WRITE], true)]);
    let without = call(&world, T3, &wishing, long).await.unwrap();
    assert!(without.agreed().is_empty());
}

#[tokio::test]
async fn a_question_whose_arguments_were_forgotten_is_over_until_the_call_is_made_again() {
    let world = World::new().await;
    let values = json!({"sum": 1});
    let asked = ticket(&world, T3, &notes(), values.clone()).await;
    let restarted = World::on(Arc::clone(&world.store)).await;
    let shown = restarted.consents.question(&asked, &alice(), NOW).await;
    assert!(matches!(shown, Err(TicketError::Expired)), "{shown:?}");
    let answered = allow(&restarted, &asked, Choice::Once, Duration::ZERO).await;
    assert!(
        matches!(answered, Err(TicketError::Expired)),
        "{answered:?}"
    );
    assert!(ticket(&restarted, T3, &notes(), values).await == asked);
    assert!(
        restarted
            .consents
            .question(&asked, &alice(), NOW)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn no_value_of_an_argument_is_kept_in_the_state() {
    let world = World::new().await;
    let asked = ticket(&world, T3, &notes(), json!({"secret": "hunter2"})).await;
    let row = world.store.ticket(asked.hash()).await.unwrap().unwrap();
    assert!(!format!("{row:?}").contains("hunter2"));
    allow(&world, &asked, Choice::Once, Duration::ZERO)
        .await
        .unwrap();
    let rows = world.consents.list(&alice()).await.unwrap();
    assert!(!format!("{rows:?}").contains("hunter2"));
    for kind in ["consent.asked", "consent.given"] {
        let said = format!("{:?}", world.log(kind).await);
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[tokio::test]
async fn a_second_refusal_of_t3_calls_is_quiet_for_no_longer_than_the_first() {
    let world = World::new().await;
    for sum in [1, 2] {
        let asked = ticket(&world, T3, &notes(), json!({"sum": sum})).await;
        allow(&world, &asked, Choice::Deny, Duration::ZERO)
            .await
            .unwrap();
        let again = call(&world, T3, &notes(), json!({"sum": sum})).await;
        let Err(ConsentError::Denied { again_from }) = again else {
            panic!("{again:?}");
        };
        assert_eq!(again_from, NOW.plus(DENIAL_TTL), "{sum}");
    }
}

#[tokio::test]
async fn the_arguments_of_a_question_are_forgotten_when_it_is_answered() {
    let world = World::new().await;
    let asked = ticket(&world, T3, &notes(), json!({"sum": 1})).await;
    let kept = || world.consents.arguments.of(asked.hash());
    assert_eq!(kept().as_deref(), Some("{\n  \"sum\": 1\n}"));
    allow(&world, &asked, Choice::Once, Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(kept(), None);
}
