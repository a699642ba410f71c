//! An index that somebody else wrote: it is told of, made anew, and hides nothing.

use super::*;

#[tokio::test]
async fn an_index_that_is_not_that_of_the_records_is_told_and_made_anew() {
    for (statement, first, blocks_wrong, is_missed) in [
        (
            "UPDATE audit_block SET hints = x'' WHERE number = 2",
            129,
            1,
            true,
        ),
        (
            "UPDATE audit_block SET hints = CAST(x'0000' || hints AS BLOB) WHERE number = 2",
            129,
            1,
            false,
        ),
        ("UPDATE audit_block SET at_max = at_min - 1", 1, 4, true),
        (
            "UPDATE audit_block SET at_min = 9000000000000000 WHERE number = 3",
            193,
            1,
            true,
        ),
        // Of records that are to come.
        (
            "INSERT INTO audit_block VALUES (4, 0, 0, x''), (90000, 0, 0, x'')",
            257,
            1,
            false,
        ),
        (
            "UPDATE audit_block SET at_min = 0 WHERE number = 1; INSERT INTO audit_block VALUES (7, 0, 0, x'')",
            65,
            2,
            false,
        ),
    ] {
        let store = grown(300).await;
        assert_eq!(misindexed(&store).await, None);
        sqlx::raw_sql(statement)
            .execute(store.writer())
            .await
            .unwrap();
        let found_wrong = misindexed(&store).await.unwrap();
        let expected = Misindexed {
            first,
            last: first + BLOCK_RECORDS - 1,
            blocks: blocks_wrong,
        };
        assert_eq!(found_wrong, expected, "{statement}");
        let of_time = Filter {
            tool: "tool-1".parse().ok(),
            since: Some(Timestamp(BEGAN)),
            until: Some(Timestamp(BEGAN + 10_000_000)),
            ..Filter::default()
        };
        let expected = found_in_all(&store, &of_time).await;
        let missed = found(&store, &of_time).await != expected;
        assert_eq!(missed, is_missed, "{statement}");
        assert!(store.index_anew().await.unwrap() >= 256);
        assert_eq!(misindexed(&store).await, None, "{statement}");
        assert_eq!(found(&store, &of_time).await, expected);
        // What is written then stands where somebody had noted something before.
        grow(&store, 300, &mut Dice(1)).await;
        assert_eq!(misindexed(&store).await, None, "{statement}");
    }
}

#[tokio::test]
async fn what_is_planted_ahead_hides_nothing_that_is_written_later() {
    let store = grown(300).await;
    let plant = "INSERT INTO audit_block VALUES (4, 0, 0, x''), (5, 0, 0, x''), (9223372036854775807, 0, 0, x'')";
    sqlx::raw_sql(plant).execute(store.writer()).await.unwrap();
    finds_the_same(&store).await;
    grow(&store, 84, &mut Dice(1)).await;
    // The last is not overwritten, and hides nothing.
    assert_eq!(blocks(&store).await.len(), 7);
    finds_the_same(&store).await;
    assert_eq!(misindexed(&store).await.unwrap().blocks, 1);
}

#[tokio::test]
async fn an_end_that_somebody_wrote_does_not_keep_the_index_from_ending() {
    let store = grown(300).await;
    for statement in [
        "UPDATE audit_head SET seq = 9223372036854775807",
        "INSERT INTO audit SELECT 9000000000000000000, hash, record FROM audit WHERE seq = 1",
        "UPDATE audit SET hash = 'x' WHERE seq = 9000000000000000000",
    ] {
        damage(&store, statement).await;
        store.index_anew().await.unwrap();
        let noted = blocks(&store).await;
        assert!(noted.len() < 24, "{}", noted.len());
        if statement.starts_with("UPDATE audit SET") {
            // A search says itself that it cannot read it.
            continue;
        }
        let everything = Filter {
            kind: Some("tool".to_owned()),
            ..Filter::default()
        };
        assert_eq!(
            found(&store, &everything).await,
            found_in_all(&store, &everything).await
        );
    }
}
