//! How much of the web one call may use: part of what a user agrees to, cut by rules and manifests, and asked about anew where it grows.

use super::*;
use crate::grant::GrantSet;

const TWO: &str = "http GET a.example / requests=2";
const NINE: &str = "http GET a.example / requests=9";

/// A tool that asks one host, so many times in a call.
fn asking_web(capability: &str) -> Tool {
    changed(&[("page", &[capability], false)], |_| ())
}

/// The question that is asked.
fn needed(found: Result<Consent, ConsentError>) -> Box<Needed> {
    match found {
        Err(ConsentError::Needed(needed)) => needed,
        other => panic!("it is not asked about: {other:?}"),
    }
}

/// What a call may do under this consent.
fn granted(consent: Consent) -> Vec<String> {
    texts(GrantSet::from(consent).granted())
}

#[tokio::test]
async fn the_budget_that_a_user_agreed_to_is_in_the_record_and_bounds_every_call_under_it() {
    const FIVE: &str = "http GET a.example / requests=5 receive=65536";
    let world = World::new().await;
    let given = world.given(&asking_web(FIVE), &[(FIVE, long())]).await;
    let row = world.store.consent(&alice(), given.records[0]).await;
    assert_eq!(row.unwrap().unwrap().capability.to_string(), FIVE);
    let consent = world.confirm(json!({}), &asking_web(FIVE)).await.unwrap();
    assert_eq!(texts(consent.agreed()), [FIVE]);
    // A tool that wants less gets less, without a question.
    let less = asking_web("http GET a.example / requests=2 send=9 receive=65536");
    let consent = world.confirm(json!({}), &less).await.unwrap();
    let grants = GrantSet::from(consent);
    assert_eq!(
        texts(grants.granted()),
        ["http GET a.example / requests=2 send=9 receive=65536"]
    );
}

#[tokio::test]
async fn a_tool_that_wants_a_larger_budget_is_asked_about_and_keeps_the_old_one_when_that_is_refused()
 {
    let world = World::new().await;
    let id = world
        .given(&asking_web(TWO), &[(TWO, long())])
        .await
        .records[0];
    let larger = needed(world.confirm(json!({}), &asking_web(NINE)).await);
    assert_eq!(larger.sentences, sentences(&[NINE]));
    // No call runs while it is open, and no second question is raised.
    let again = needed(world.confirm(json!({}), &asking_web(NINE)).await);
    assert_eq!(again.ticket.as_str(), larger.ticket.as_str());
    world.answer(&larger.ticket, &[]).await.unwrap();
    let consent = world.confirm(json!({}), &asking_web(NINE)).await.unwrap();
    assert_eq!(texts(consent.agreed()), [TWO]);
    assert_eq!(ids(&consent), [id]);
    assert_eq!(granted(consent), [TWO]);
}

#[tokio::test]
async fn a_larger_budget_holds_from_when_its_user_agrees() {
    let world = World::new().await;
    world.given(&asking_web(TWO), &[(TWO, long())]).await;
    world.given(&asking_web(NINE), &[(NINE, long())]).await;
    let consent = world.confirm(json!({}), &asking_web(NINE)).await.unwrap();
    assert_eq!(texts(consent.agreed()), [NINE]);
    assert_eq!(granted(consent), [NINE]);
}

#[tokio::test]
async fn a_larger_budget_of_what_a_tool_can_do_without_is_offered_and_the_old_one_goes_on() {
    let optional = |capability: &str| changed(&[("page", &[capability], true)], |_| ());
    let world = World::new().await;
    world.given(&optional(TWO), &[(TWO, long())]).await;
    let offered = needed(world.confirm(json!({}), &optional(NINE)).await);
    assert_eq!(offered.sentences, sentences(&[NINE]));
    let consent = world.confirm(json!({}), &optional(NINE)).await.unwrap();
    assert_eq!(granted(consent), [TWO]);
}

#[tokio::test]
async fn a_budget_of_what_sends_out_is_asked_about_anew_where_its_tool_is_another() {
    const SEND: &str = "http POST a.example / send=1024";
    const MORE: &str = "http POST a.example / send=4096";
    let world = World::new().await;
    world.given(&asking_web(SEND), &[(SEND, long())]).await;
    let consent = world.confirm(json!({}), &asking_web(SEND)).await.unwrap();
    assert_eq!(granted(consent), [SEND]);
    let asked = needed(world.confirm(json!({}), &asking_web(MORE)).await);
    assert_eq!(asked.sentences, sentences(&[MORE]));
    // Refused, nothing of the old one serves: it was of another build.
    world.answer(&asked.ticket, &[]).await.unwrap();
    let refused = world.confirm(json!({}), &asking_web(MORE)).await;
    assert!(matches!(refused, Err(ConsentError::Denied { .. })));
}

#[tokio::test]
async fn rules_cut_the_budget_of_a_consent_and_more_than_it_has_is_asked_about() {
    let world = World::new().await;
    let tool = asking_web(NINE);
    let confirm = async |bounds: &str| {
        let permit = bounded_permit(bounds, &caller(json!({})), &tool);
        let now = world.now();
        world.consents.confirm(permit, &arguments(), now).await
    };
    // What rules do not allow is not asked about.
    let two = needed(confirm("@max_http(\"requests=2\")").await);
    assert_eq!(two.sentences, sentences(&[TWO]));
    let all = [(TWO, long())];
    let decided = world.answer(&two.ticket, &all).await.unwrap();
    let consent = confirm("@max_http(\"requests=2\")").await.unwrap();
    assert_eq!(granted(consent), [TWO]);
    // Narrower rules cut it without a question, and leave the record.
    let consent = confirm("@max_http(\"requests=1\")").await.unwrap();
    assert_eq!(granted(consent), ["http GET a.example / requests=1"]);
    let row = world.store.consent(&alice(), decided.records[0]).await;
    assert_eq!(row.unwrap().unwrap().capability.to_string(), TWO);
    // Wider ones give no more than was agreed to.
    let nine = needed(confirm("").await);
    assert_eq!(nine.sentences, sentences(&[NINE]));
    world.answer(&nine.ticket, &[]).await.unwrap();
    assert_eq!(granted(confirm("").await.unwrap()), [TWO]);
}
