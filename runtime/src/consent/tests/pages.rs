//! What a user can take back, and what was decided, in pages.

use super::*;

/// Allows so many things to one tool, in one answer.
async fn allowed(world: &World, name: &str, count: usize) {
    let all: Vec<String> = (0..count)
        .map(|n| format!("files read notes a{n}"))
        .collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let tool = tool(name, &[("notes", all.as_slice(), false)]);
    let answers: Vec<_> = all.iter().map(|one| (*one, long())).collect();
    let decided = world.given(&tool, &answers).await;
    assert_eq!(decided.records.len(), count);
}

#[tokio::test]
async fn a_full_page_of_what_holds_is_the_last_until_there_is_one_more() {
    let world = World::new().await;
    let page = async |before: Option<Uuid>| {
        let held = world.consents.held(&alice(), before, world.now()).await;
        held.unwrap()
    };
    allowed(&world, "first", CONSENTS_PAGE).await;
    let (rows, more) = page(None).await;
    assert_eq!((rows.len(), more), (CONSENTS_PAGE, false));
    allowed(&world, "second", 1).await;
    let (rows, more) = page(None).await;
    assert_eq!((rows.len(), more), (CONSENTS_PAGE, true));
    let (rest, more) = page(Some(rows[CONSENTS_PAGE - 1].id)).await;
    assert_eq!((rest.len(), more), (1, false));
}

#[tokio::test]
async fn a_full_page_of_the_past_is_the_last_until_there_is_one_more() {
    let world = World::new().await;
    let page = async |before: Option<Uuid>| {
        let past = world.consents.history(&alice(), before).await;
        past.unwrap()
    };
    allowed(&world, "first", HISTORY_PAGE).await;
    let (rows, more) = page(None).await;
    assert_eq!((rows.len(), more), (HISTORY_PAGE, false));
    allowed(&world, "second", 1).await;
    let (rows, more) = page(None).await;
    assert_eq!((rows.len(), more), (HISTORY_PAGE, true));
    let (rest, more) = page(Some(rows[HISTORY_PAGE - 1].id)).await;
    assert_eq!((rest.len(), more), (1, false));
}
