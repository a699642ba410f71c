//! The clock jumps back: what was recorded stays in its order, what was agreed to still holds, tokens from what is now the future are
//! refused, and nothing that was spent comes back.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bailiwick::audit;
use bailiwick::clock::{Clock, SystemClock, Timestamp};

use super::*;
use crate::harness::Setup;

/// How far: more than any leeway, less than a day.
const JUMP: Duration = Duration::from_secs(2 * 3600);

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
