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

/// A page that is full is the last one, until there is one more.
async fn fills(size: usize, page: impl AsyncFn(&World, Option<Uuid>) -> (Vec<Uuid>, bool)) {
    let world = World::new().await;
    allowed(&world, "first", size).await;
    let (rows, more) = page(&world, None).await;
    assert_eq!((rows.len(), more), (size, false));
    allowed(&world, "second", 1).await;
    let (rows, more) = page(&world, None).await;
    assert_eq!((rows.len(), more), (size, true));
    let (rest, more) = page(&world, rows.last().copied()).await;
    assert_eq!((rest.len(), more), (1, false));
}

#[tokio::test]
async fn a_full_page_of_what_holds_is_the_last_until_there_is_one_more() {
    fills(CONSENTS_PAGE, async |world, before| {
        let held = world.consents.held(&alice(), before, world.now()).await;
        let (rows, more) = held.unwrap();
        (rows.iter().map(|row| row.id).collect(), more)
    })
    .await;
}

#[tokio::test]
async fn a_full_page_of_the_past_is_the_last_until_there_is_one_more() {
    fills(HISTORY_PAGE, async |world, before| {
        let (rows, more) = world.consents.history(&alice(), before).await.unwrap();
        (rows.iter().map(|row| row.id).collect(), more)
    })
    .await;
}
