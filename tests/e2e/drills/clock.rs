//! The clock jumps back: what was recorded stays in its order, what was agreed to still holds, tokens from what is now the future are
//! refused, and nothing that was spent comes back. The clock jumps ahead: nothing is deleted for good until it has run steadily for
//! long, and all is there where it comes back.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bailiwick::audit;
use bailiwick::clock::{Clock, ManualClock, SystemClock, Timestamp};
use bailiwick::ids::TenantUser;
use bailiwick::store::SqliteKeyValues;
use bailiwick::store::kv::{KeyValues, Space};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::*;
use crate::harness::{Server, Setup, http, root, skipped};
use crate::sealed::sealing;

/// How far: more than any leeway, less than a day.
const JUMP: Duration = Duration::from_secs(2 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
/// Further than anything of the drill is kept.
const AHEAD: Duration = Duration::from_secs(400 * 24 * 3600);
/// What whoever watches the server is told.
const DOUBTED: &str = "the clock is further ahead than is believed; nothing is deleted for good that had not ended before";

/// A clock that shows what it was set to.
#[derive(Clone)]
struct Set(Arc<AtomicI64>);

impl Set {
    fn to(&self, time: Timestamp) {
        self.0.store(time.0, Ordering::Release);
    }
}

impl Clock for Set {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Acquire))
    }
}

#[test]
fn when_the_clock_jumps_back_the_log_stays_whole_and_nothing_is_granted_by_it() {
    run(async {
        let setup = Setup::new().tools(&["hello", "notes"]).await;
        // It stands from here on, and tokens are of the time of the machine.
        let clock = Set(Arc::new(AtomicI64::new(SystemClock.now().0)));
        let setup = setup
            .clock(clock.clone())
            .config("[audit]\ncheckpoint_records = 4\ncheckpoint_seconds = 1\n");
        let day = "[[limit]]\nname = \"day\"\nper = \"user\"\ntool = \"hello\"\ndaily_calls = 2\n";
        let server = setup.limits(day).start().await;
        let alice = server.caller("alice");
        let write = |text: &'static str| note("milk", text);
        assert!(
            alice
                .call_allowed(&server, "notes_write", write("old"))
                .await
                .is_reply()
        );
        let hello = || alice.call("hello", json!({"name": "Ada"}));
        assert!(hello().await.is_reply() && hello().await.is_reply());
        assert!(
            hello().await.is_tool_error(),
            "the budget of the day is spent"
        );

        let then = clock.now();
        clock.to(Timestamp(then.0 - i64::try_from(JUMP.as_millis()).unwrap()));
        // A token that was not seen before says that it was issued two hours from now.
        let early = server
            .caller("alice")
            .call("notes_write", write("new"))
            .await;
        assert_eq!(early.status, 401, "{early:?}");
        let iat = clock.now().secs();
        let now = server
            .caller("alice")
            .with(&server, json!({"iat": iat, "exp": iat + 600}));
        // What was agreed to for the hour after the old time is not agreed to for longer, and nobody is asked anew for less.
        let again = now.call("notes_write", write("new")).await;
        assert!(again.is_reply(), "{again:?}");
        assert!(
            now.call("hello", json!({"name": "Ada"}))
                .await
                .is_tool_error(),
            "what is spent stays spent"
        );

        // Checkpoints are made on, and records keep their order whatever their time says.
        let records = server.records().await;
        let jumped = records
            .windows(2)
            .any(|two| two[1].record.at < two[0].record.at);
        assert!(jumped, "the drill has moved the clock");
        assert!(records.windows(2).all(|two| two[1].seq == two[0].seq + 1));
        let records: Vec<Record> = records.into_iter().map(|one| one.record).collect();
        assert_closed(&records);
        until("a checkpoint of it", async || {
            let verified = audit::verify(server.running.store.as_ref()).await.unwrap();
            (verified.checkpoints >= 1).then_some(())
        })
        .await;

        // A start in the past is a start.
        let server = server.restart("").await;
        let again = server
            .caller("alice")
            .with(&server, json!({"iat": iat, "exp": iat + 600}));
        assert!(again.call("notes_write", write("newer")).await.is_reply());
        assert!(
            again
                .call("hello", json!({"name": "Ada"}))
                .await
                .is_tool_error()
        );
        clock.to(then);
        assert!(
            server
                .caller("alice")
                .call("notes_write", write("newest"))
                .await
                .is_reply()
        );
        audit::verify(server.running.store.as_ref()).await.unwrap();
        server.stop().await;
    });
}

/// The keys that the file of the stores has of alice, also where they have ended.
async fn kept(server: &Server) -> Vec<String> {
    let file = SqliteKeyValues::beside(&server.dir().join("state.db"));
    let values = SqliteKeyValues::open_locked(&file).await.unwrap();
    let TenantUser { tenant, user } = server.user("alice");
    let space = Space {
        store: "memory".parse().unwrap(),
        tenant,
        user: Some(user),
    };
    let keys = values.keys(&space, "", "", 9, Timestamp(0)).await.unwrap();
    values.close().await;
    keys
}

/// How many records are gone from a log that is whole.
async fn pruned(server: &Server) -> u64 {
    let verified = audit::verify(server.running.store.as_ref()).await;
    verified.unwrap().pruned
}

/// Waits until so many events of this kind are recorded.
async fn recorded(server: &Server, kind: &str, count: usize) {
    until(kind, async || {
        let records = server.records().await;
        let of_kind = records.iter().filter(|one| one.record.kind == kind);
        (of_kind.count() == count).then_some(())
    })
    .await;
}

async fn watched(server: &Server, path: &str) -> String {
    let answer = Answer::read(http().get(server.watched(path))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// Asserts that a verifier in Python, which was written from the documentation alone, finds the same in a log whose begin was pruned.
async fn agrees(server: &Server) {
    let state = server.dir().join("state.db");
    let whole = audit::verify(server.running.store.as_ref()).await.unwrap();
    let Some((status, said)) = said_otherwise(&state) else {
        return;
    };
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(said["records"], whole.records, "{said}");
    // It reads what is left of those that are gone.
    let copy = server.dir().join("copy.db");
    let mut state = SqliteConnectOptions::new()
        .filename(state)
        .connect()
        .await
        .unwrap();
    let into = sqlx::query("VACUUM INTO ?").bind(copy.to_str().unwrap());
    into.execute(&mut state).await.unwrap();
    state.close().await.unwrap();
    let mut altered = SqliteConnectOptions::new()
        .filename(&copy)
        .connect()
        .await
        .unwrap();
    sqlx::query("DELETE FROM audit_leaf WHERE seq = 2")
        .execute(&mut altered)
        .await
        .unwrap();
    altered.close().await.unwrap();
    let (status, said) = said_otherwise(&copy).unwrap();
    assert_eq!(status, Some(3), "{said}");
    assert_eq!(said, json!({"seq": 2, "what": "missing"}));
}

/// What it ends with and says of this state; nothing where there is no Python.
fn said_otherwise(state: &Path) -> Option<(Option<i32>, Value)> {
    let verifier = root().join("tests/audit/verify.py");
    let done = Command::new("python3")
        .arg(verifier)
        .arg("log")
        .arg(state)
        .output();
    match done {
        Ok(done) => {
            let said = String::from_utf8_lossy(&done.stdout);
            let said = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{done:?}"));
            Some((done.status.code(), said))
        }
        Err(error) => {
            skipped(&format!("`python3` cannot be run: {error}"));
            None
        }
    }
}

#[test]
fn when_the_clock_jumps_ahead_nothing_is_deleted_for_good_and_all_is_there_once_it_is_back() {
    run(async {
        let setup = Setup::new().config("ttl_seconds = 3600\n").watched();
        let setup = sealing(setup)
            .config("[audit]\ncheckpoint_records = 4\ncheckpoint_seconds = 1\nkeep_days = 30\n");
        let setup = setup.tools(&["hello", "memory"]).await;
        let setup = setup.guests(&["reveal_probe"]).await;
        let day = "[[limit]]\nname = \"day\"\nper = \"user\"\ntool = \"hello\"\ndaily_calls = 2\n";
        // It stands from here on.
        let clock = ManualClock::new(SystemClock.now());
        let mut server = setup.limits(day).clock(clock.clone()).start().await;
        let alice = server.caller("alice");
        let (milk, hello) = (json!({"name": "milk"}), json!({"name": "Ada"}));
        let write = alice.call_allowed(&server, "memory_remember", note("milk", "two bottles"));
        assert!(write.await.is_reply());
        let read = alice.call_allowed(&server, "memory_recall", milk.clone());
        assert_eq!(read.await.text(), "two bottles");
        let given = json!({"email": "ahead.canary@example.com"});
        let held = alice.call("reveal_keep", given).await;
        let handle = held.structured()["held"][0].clone();
        for passes in [true, true, false] {
            let answer = alice.call("hello", hello.clone()).await;
            assert_eq!(answer.is_reply(), passes, "{answer:?}");
        }
        until("a checkpoint of it", async || {
            let verified = audit::verify(server.running.store.as_ref()).await.unwrap();
            (verified.checkpoints >= 1).then_some(())
        })
        .await;
        assert_eq!(watched(&server, "/readyz").await, "ready\n");
        let by_the_clock = |server: &Server| {
            let (iat, exp) = (clock.now().secs(), clock.now().plus(JUMP).secs());
            let alice = server.caller("alice");
            alice.with(server, json!({"iat": iat, "exp": exp}))
        };

        let then = clock.now();
        clock.set(then.plus(AHEAD));
        // A restart is the first thing that somebody tries.
        for starts in 1..=2 {
            server.running.forget().await;
            assert_eq!(pruned(&server).await, 0);
            assert_eq!(kept(&server).await, ["milk"]);
            // Calls are taken. The day of their budgets is not over.
            let spent = by_the_clock(&server).call("hello", hello.clone()).await;
            assert!(spent.is_tool_error(), "{spent:?}");
            let ready = watched(&server, "/readyz").await;
            assert_eq!(ready, format!("ready\n{DOUBTED}\n"));
            let metrics = watched(&server, "/metrics").await;
            assert!(metrics.contains("\nbailiwick_clock_believed 0"));
            recorded(&server, "clock.doubted", starts).await;
            if starts == 1 {
                server = server.restart("").await;
            }
        }

        clock.set(then);
        server.running.forget().await;
        assert_eq!(watched(&server, "/readyz").await, "ready\n");
        recorded(&server, "clock.believed", 1).await;
        assert_eq!(pruned(&server).await, 0);
        let read = alice.call("memory_recall", milk).await;
        assert_eq!(read.text(), "two bottles", "{read:?}");
        let open = alice.call_allowed(&server, "reveal_probe", json!({"handles": [handle]}));
        let opened = open.await.structured()["opened"].clone();
        assert_eq!(opened, json!(["ahead.canary@example.com"]));
        let spent = alice.call("hello", hello.clone()).await;
        assert!(spent.is_tool_error(), "what is spent stays spent");

        // What has really ended goes, and a day that has really begun is one.
        clock.advance(DAY);
        server.running.forget().await;
        assert_eq!(kept(&server).await, [""; 0]);
        let anew = by_the_clock(&server).call("hello", hello).await;
        assert!(anew.is_reply(), "{anew:?}");
        assert_eq!(pruned(&server).await, 0);

        // One that stays ahead is believed in the end.
        clock.set(clock.now().plus(AHEAD));
        server.running.forget().await;
        assert_eq!(pruned(&server).await, 0);
        clock.advance(7 * DAY);
        server.running.forget().await;
        assert!(pruned(&server).await > 0);
        agrees(&server).await;
        server.stop().await;
    });
}
