//! Searches by the index: that they find what a look at every record finds, whatever became of the log and the index.

mod forged;

use uuid::Uuid;

use super::super::record::Record;
use super::super::words;
use super::checkpoints::World;
use super::outages::{block, unblock};
use super::*;
use crate::store::block::{BLOCK_RECORDS, Block, LogBlocks as _, Places};
use crate::store::tree::{LogTree as _, Pruned};
use crate::store::{AuditRow, Chained, Draft};

/// Chance without chance: the same for every run.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        // Knuth's numbers.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

const BEGAN: i64 = 1_800_000_000_000;

/// A record about something of everything, by users and with consents who come and go.
fn made(nth: u64, dice: &mut Dice) -> Record {
    // The clock goes back now and then.
    let at = BEGAN + i64::try_from(nth).unwrap() * 1_000 - i64::from(dice.throw(20) == 0) * 90_000;
    let id = |kind: u128, number: u64| Uuid::from_u128((kind << 64) + u128::from(number));
    let mut record = Record::empty(id(1, nth / 2), Timestamp(at), Phase::Event);
    let age = nth / 100;
    record.kind = match dice.throw(30) {
        0 => "consent.given".to_owned(),
        1 => "consent.tool-changed".to_owned(),
        2 => format!("rare.kind-{age}"),
        _ => "tool.call".to_owned(),
    };
    record.subject = match dice.throw(10) {
        0 => None,
        _ => Some(Digest::of(
            format!("user {}", age * 5 + dice.throw(9)).as_bytes(),
        )),
    };
    record.client_id = format!("client-{}", age + dice.throw(3)).parse().ok();
    match dice.throw(8) {
        0 => record.asked_tool = format!("tool-{}", dice.throw(9)).parse().ok(),
        _ => record.tool = Some(tool(&format!("tool-{}", dice.throw(9)))),
    }
    if dice.throw(4) == 0 {
        record.consents = vec![
            id(2, age * 3 + dice.throw(5)).to_string(),
            id(2, 0).to_string(),
        ];
    }
    if dice.throw(5) == 0 {
        (record.parent, record.root) = (Some(id(1, nth / 4)), Some(id(1, nth / 8)));
    }
    let decision = DecisionFacts::by(&[&format!("rule \"{age}\"")], Digest::of(b"rules"));
    record.decision = Some(DecisionFacts {
        erred: (0..dice.throw(2)).map(|_| "erred".to_owned()).collect(),
        ..decision
    });
    if dice.throw(3) == 0 {
        record.end(replied());
    } else if dice.throw(40) == 0 {
        record.end(End::Refused {
            stage: Stage::Policy,
            reason: "no".to_owned(),
        });
    }
    record
}

/// Appends so many records, in batches of uneven size.
async fn grow(store: &SqliteStore, records: u64, dice: &mut Dice) {
    let mut nth = store.head().await.unwrap().seq;
    let end = nth + records;
    while nth < end {
        let batch = (1 + dice.throw(150)).min(end - nth);
        let mut all: Vec<Record> = (nth..nth + batch).map(|nth| made(nth, dice)).collect();
        let records = all.iter_mut().map(|one| one as &mut dyn Chained).collect();
        let draft = Draft {
            change: None,
            records,
        };
        store.append(&mut [draft]).await.unwrap();
        nth += batch;
    }
}

/// A log of so many records.
async fn grown(records: u64) -> Arc<SqliteStore> {
    let store = store().await;
    grow(&store, records, &mut Dice(7)).await;
    store
}

/// A filter for each thing that this record can be found by.
fn filters(record: &Record) -> Vec<Filter> {
    let mut all = super::super::sieve::tests::filters(record);
    // Windows of time: narrow, from the middle on, and up to it.
    let none = Filter::default;
    all.push(Filter {
        since: Some(record.at),
        ..none()
    });
    all.push(Filter {
        until: Some(record.at),
        ..none()
    });
    all.push(Filter {
        since: Some(record.at),
        until: record.at.0.checked_add(60_000).map(Timestamp),
        ..none()
    });
    all
}

/// Both at once.
fn both(one: &Filter, other: &Filter) -> Filter {
    let (a, b) = (one.clone(), other.clone());
    Filter {
        tool: a.tool.or(b.tool),
        subject: a.subject.or(b.subject),
        kind: a.kind.or(b.kind),
        rule: a.rule.or(b.rule),
        call: a.call.or(b.call),
        since: a.since.or(b.since),
        until: a.until.or(b.until),
        client: a.client.or(b.client),
        consent: a.consent.or(b.consent),
        decision: a.decision.or(b.decision),
        unindexed: false,
    }
}

async fn found(store: &Arc<SqliteStore>, filter: &Filter) -> Vec<u64> {
    let found = records(store, filter).await;
    found.iter().map(|stored| stored.seq).collect()
}

async fn found_in_all(store: &Arc<SqliteStore>, filter: &Filter) -> Vec<u64> {
    let all = Filter {
        unindexed: true,
        ..filter.clone()
    };
    found(store, &all).await
}

/// Asserts that filters of some records find by the index what they find in all of the log.
async fn finds_the_same(store: &Arc<SqliteStore>) -> usize {
    let all = records(store, &Filter::default()).await;
    let mut some = 0;
    for stored in all.iter().step_by(211) {
        let filters = filters(&stored.record);
        for (nth, one) in filters.iter().enumerate() {
            // Each with itself, and with some of the others.
            for other in filters.iter().skip(nth).step_by(5) {
                let filter = both(one, other);
                let expected = found_in_all(store, &filter).await;
                assert_eq!(found(store, &filter).await, expected, "{filter:?}");
                some += usize::from(!expected.is_empty());
            }
        }
    }
    assert!(some > 0, "nothing was looked for that is there");
    some
}

/// How many records a search reads.
async fn read(store: &SqliteStore, filter: &Filter) -> u64 {
    let sought = words::sought(filter);
    let mut from = Some(1);
    let mut read = 0;
    let end = store.head().await.unwrap().seq;
    while let Some(begin) = from {
        let Places { ranges, next } = store.places(begin, &sought).await.unwrap();
        let lengths = ranges.iter().map(|range| {
            (end + 1).min(range.end().saturating_add(1)) - range.start().min(&(end + 1))
        });
        read += lengths.sum::<u64>();
        from = next;
    }
    read
}

async fn misindexed(store: &Arc<SqliteStore>) -> Option<Misindexed> {
    verdict(store).await.unwrap().misindexed
}

async fn blocks(store: &SqliteStore) -> Vec<Block> {
    store.blocks(0, 1_000).await.unwrap()
}

#[tokio::test]
async fn what_is_found_by_the_index_is_what_is_found_in_all_of_the_log() {
    let store = grown(1_000).await;
    assert_eq!(blocks(&store).await.len(), 15);
    assert_eq!(misindexed(&store).await, None);
    assert!(finds_the_same(&store).await > 100);
    // It is worth something: who came for a while is found in the blocks of that time.
    let one = records(&store, &Filter::default()).await.remove(300).record;
    for filter in filters(&one) {
        let read = read(&store, &filter).await;
        let is_narrow = filter.call.is_some() || filter.client.is_some() || filter.rule.is_some();
        if is_narrow {
            assert!(read <= 500, "{read} {filter:?}");
        }
    }
    let nobody = Filter {
        client: "nobody".parse().ok(),
        ..Filter::default()
    };
    assert!(read(&store, &nobody).await < 3 * BLOCK_RECORDS);
}

#[tokio::test]
async fn a_search_goes_on_where_it_ended() {
    let store = grown(130).await;
    let filter = Filter {
        kind: Some("consent.given".to_owned()),
        ..Filter::default()
    };
    let mut next = 1;
    let mut seen = Vec::new();
    let mut dice = Dice(9);
    for _ in 0..8 {
        next = show(store.as_ref(), next, &filter, |stored| {
            seen.push(stored.seq);
        })
        .await
        .unwrap();
        assert_eq!(next, store.head().await.unwrap().seq + 1);
        grow(&store, 1 + dice.throw(100), &mut dice).await;
    }
    show(store.as_ref(), next, &filter, |stored| {
        seen.push(stored.seq)
    })
    .await
    .unwrap();
    assert_eq!(seen, found_in_all(&store, &filter).await);
}

#[tokio::test]
async fn two_processes_note_the_same_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let first = Arc::new(SqliteStore::open(&path).await.unwrap());
    let second = Arc::new(SqliteStore::open(&path).await.unwrap());
    let mut dice = Dice(3);
    for _ in 0..6 {
        grow(&first, 1 + dice.throw(60), &mut dice).await;
        grow(&second, 1 + dice.throw(60), &mut dice).await;
    }
    let whole = Block::whole(first.head().await.unwrap().seq);
    assert_eq!(blocks(&first).await.len() as u64, whole);
    assert_eq!(misindexed(&second).await, None);
    finds_the_same(&second).await;
}

#[tokio::test]
async fn what_could_not_be_written_is_not_noted() {
    let store = grown(60).await;
    block(&store).await;
    let mut dice = Dice(5);
    for _ in 0..3 {
        let mut one = made(900, &mut dice);
        let draft = Draft {
            change: None,
            records: vec![&mut one as &mut dyn Chained],
        };
        assert!(store.append(&mut [draft]).await.is_err());
    }
    unblock(&store).await;
    grow(&store, 80, &mut dice).await;
    assert_eq!(blocks(&store).await.len(), 2);
    assert_eq!(misindexed(&store).await, None);
    finds_the_same(&store).await;
}

#[tokio::test]
async fn a_log_of_an_earlier_version_is_indexed_when_it_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let store = SqliteStore::open(&path).await.unwrap();
    grow(&store, 400, &mut Dice(7)).await;
    let before = blocks(&store).await;
    store.close().await;
    for statement in [
        // As format 10 left it.
        "DROP TABLE audit_block; DELETE FROM state_format WHERE version = 11",
        // Some are missing: the first, the last, and some between.
        "DELETE FROM audit_block WHERE number IN (0, 2, 5)",
        "DELETE FROM audit_block WHERE number NOT IN (2, 3)",
    ] {
        let store = SqliteStore::open(&path).await.unwrap();
        sqlx::raw_sql(statement)
            .execute(store.writer())
            .await
            .unwrap();
        if statement.starts_with("DELETE") {
            let store = Arc::new(SqliteStore::read_locked(&path).await.unwrap());
            // Nothing is mended by reading, nothing is missed, and what is not there says nothing that is not so.
            assert_eq!(misindexed(&store).await, None);
            finds_the_same(&store).await;
        }
        store.close().await;
        let store = SqliteStore::open(&path).await.unwrap();
        assert_eq!(blocks(&store).await, before, "{statement}");
        store.close().await;
    }
}

#[tokio::test]
async fn records_that_cannot_be_read_are_met_by_every_search() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let store = Arc::new(SqliteStore::open(&path).await.unwrap());
    grow(&store, 300, &mut Dice(7)).await;
    damage(&store, "UPDATE audit SET record = '{}' WHERE seq = 70").await;
    store.index_anew().await.unwrap();
    assert_eq!(blocks(&store).await[1], Block::unknown(1));
    let everything = Filter {
        kind: Some("tool".to_owned()),
        ..Filter::default()
    };
    assert_eq!(
        found(&store, &everything).await,
        found_in_all(&store, &everything).await
    );
    // Not even text.
    damage(
        &store,
        "UPDATE audit SET record = CAST(x'ff' AS TEXT) WHERE seq = 300",
    )
    .await;
    let reopened = SqliteStore::open(&path).await.unwrap();
    grow(&reopened, 20, &mut Dice(2)).await;
    assert_eq!(blocks(&store).await[4], Block::unknown(4));
}

#[tokio::test]
async fn what_is_pruned_leaves_nothing_in_the_index() {
    let world = World::new().await;
    let store = &world.store;
    world.calls(100).await;
    world.checkpoint().await;
    let bare = |blocks: &[Block]| blocks.iter().map(|block| block.number).collect::<Vec<_>>();
    assert_eq!(bare(&blocks(store).await), [0, 1, 2]);
    // Up to the middle of a block: of the rest of it nothing is noted any more.
    let prune_to = async |through: u64| {
        let before = store.pruned().await.unwrap().map_or(0, |one| one.through);
        let rows = store.audit_from(before + 1, 500).await.unwrap();
        let rows: Vec<_> = rows.into_iter().filter(|row| row.seq <= through).collect();
        let leaf = |row: &AuditRow| (row.seq, tree::leaf(row.text.as_bytes()));
        let last = rows.last().unwrap();
        let change = Change::PruneLog {
            leaves: rows.iter().map(leaf).collect(),
            last: Pruned {
                through,
                hash: last.hash,
            },
        };
        let event = Event::new(EventKind::AuditPruned);
        world.audit.commit(change, vec![event]).await.unwrap()
    };
    assert!(matches!(prune_to(100).await, Applied::Done));
    assert_eq!(bare(&blocks(store).await), [2]);
    assert_eq!(world.against(&[]).await.unwrap().misindexed, None);
    finds_the_same(store).await;
    // Into the block at the end, which becomes whole afterwards.
    assert!(matches!(prune_to(196).await, Applied::Done));
    world.calls(40).await;
    assert_eq!(bare(&blocks(store).await), [] as [u64; 0]);
    store.index_anew().await.unwrap();
    assert_eq!(bare(&blocks(store).await), [] as [u64; 0]);
    world.calls(40).await;
    assert_eq!(bare(&blocks(store).await), [4]);
    world.checkpoint().await;
    assert_eq!(world.against(&[]).await.unwrap().misindexed, None);
    finds_the_same(store).await;
    // What is noted of records that are gone, in whole or in part.
    for (number, first) in [(1, 65), (3, 193)] {
        let plant = format!("INSERT INTO audit_block VALUES ({number}, 0, 0, x'')");
        sqlx::raw_sql(sqlx::AssertSqlSafe(plant))
            .execute(store.writer())
            .await
            .unwrap();
        let found = world.against(&[]).await.unwrap().misindexed.unwrap();
        assert_eq!(found.first, first);
        store.index_anew().await.unwrap();
    }
}
