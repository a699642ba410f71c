mod checkpoints;
mod copies;
mod evidence;
mod outages;
mod searches;
mod subjects;
mod tail;

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::clock::{ManualClock, Timestamp};
use crate::ids::TenantUser;
use crate::store::testing::store;
use crate::store::{Ender, SqliteStore};

async fn audit(store: &Arc<SqliteStore>) -> Audit {
    let clock = Arc::new(ManualClock::new(Timestamp::from_secs(1_800_000_000)));
    Audit::start(store.clone(), clock).await.unwrap()
}

fn caller(tenant: &str, subject: &str) -> CallerFacts {
    CallerFacts {
        tenant: tenant.parse().unwrap(),
        user: User {
            issuer: "https://as.test".parse().unwrap(),
            subject: subject.parse().unwrap(),
        },
        client: "client-1".parse().unwrap(),
        jti_hash: Digest::of(b"jti"),
        algorithm: "ES256".to_owned(),
        key_id: "key-1".to_owned(),
        expires: Timestamp::from_secs(1_800_000_300),
    }
}

fn tool(name: &str) -> ToolFacts {
    ToolFacts {
        name: name.parse().unwrap(),
        version: "1.0.0".to_owned(),
        publisher: "example".parse().unwrap(),
        component_digest: Digest::of(b"component"),
        definition_digest: Digest::of(b"definition"),
        manifest_digest: Digest::of(b"manifest"),
    }
}

fn replied() -> End {
    let effect = EffectUse {
        count: 2,
        refused: 1,
        ..EffectUse::default()
    };
    End::Ran {
        ending: "replied".to_owned(),
        used: Used {
            wall_ms: 3,
            reply_bytes: 120,
            effects: [("http GET a.example".to_owned(), effect)].into(),
            ..Used::default()
        },
    }
}

async fn call(audit: &Audit, end: End) {
    let mut entry = audit.open("tools/call");
    entry.caller(caller("acme", "alice"));
    entry.tool(tool("notes"));
    entry.decision(DecisionFacts::by(&["allow-notes"], Digest::of(b"rules")));
    entry.granted(&["files read notes".parse().unwrap()].into_iter().collect());
    let schema = json!({"properties": {"text": {}, "tags": {}}});
    let Value::Object(arguments) = json!({"text": "hunter2", "tags": [1], "made-up": true}) else {
        unreachable!()
    };
    entry.arguments(&arguments, &schema);
    entry.intent().await.unwrap();
    entry.close(end).await.unwrap();
}

async fn records(store: &Arc<SqliteStore>, filter: &Filter) -> Vec<Stored> {
    let mut all = Vec::new();
    show(store.as_ref(), 1, filter, |stored| all.push(stored.clone()))
        .await
        .unwrap();
    all
}

async fn damage(store: &Arc<SqliteStore>, statement: &'static str) {
    for guard in ["update", "delete"] {
        let drop = format!("DROP TRIGGER IF EXISTS audit_is_append_only_{guard}");
        sqlx::query(sqlx::AssertSqlSafe(drop))
            .execute(store.writer())
            .await
            .unwrap();
    }
    let done = sqlx::raw_sql(statement).execute(store.writer()).await;
    assert!(done.unwrap().rows_affected() > 0);
}

async fn verdict(store: &Arc<SqliteStore>) -> Result<Verified, Broken> {
    match verify(store.as_ref()).await {
        Ok(verified) => Ok(verified),
        Err(VerifyError::Broken(broken)) => Err(broken),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn an_intent_is_durable_before_the_effect() {
    let store = store().await;
    let audit = audit(&store).await;
    let mut entry = audit.open("tools/call");
    entry.caller(caller("acme", "alice"));
    entry.tool(tool("notes"));
    entry.intent().await.unwrap();
    let before = records(&store, &Filter::default()).await;
    assert_eq!(before.len(), 1);
    assert_eq!(before[0].record.phase, Phase::Intent);
    let id = entry.id();
    entry.close(replied()).await.unwrap();
    let after = records(&store, &Filter::default()).await;
    assert_eq!(after[1].record.phase, Phase::Outcome);
    assert!(after.iter().all(|stored| stored.record.event_id == id));
    assert_eq!(verdict(&store).await.unwrap().records, 2);
}

#[tokio::test]
async fn no_value_and_no_name_of_a_user_is_in_the_log() {
    let store = store().await;
    let audit = audit(&store).await;
    call(&audit, replied()).await;
    let all = records(&store, &Filter::default()).await;
    for stored in &all {
        for hidden in ["hunter2", "made-up", "alice"] {
            assert!(!stored.json.contains(hidden), "{}", stored.json);
        }
    }
    let facts = all[0].record.arguments.clone().unwrap();
    assert_eq!(facts.kinds["text"], "string(7)");
    assert_eq!(facts.kinds["tags"], "array(1)");
    assert_eq!((facts.unlisted, facts.kinds.len()), (1, 2));
    assert!(all[1].record.arguments.is_none());
}

#[tokio::test]
async fn a_user_has_one_pseudonym_per_tenant() {
    let store = store().await;
    let audit = audit(&store).await;
    for (tenant, name) in [
        ("acme", "alice"),
        ("acme", "alice"),
        ("acme", "bob"),
        ("other", "alice"),
    ] {
        let mut entry = audit.open("tools/list");
        entry.caller(caller(tenant, name));
        entry.close(End::Answered).await.unwrap();
    }
    let all = records(&store, &Filter::default()).await;
    let subjects: Vec<_> = all
        .iter()
        .map(|stored| stored.record.subject.unwrap())
        .collect();
    assert_eq!(subjects[0], subjects[1]);
    assert_ne!(subjects[0], subjects[2]);
    assert_ne!(subjects[0], subjects[3]);
    let facts = caller("acme", "alice");
    let known = audit.pseudonym(&facts.tenant, &facts.user).await.unwrap();
    assert_eq!(known, subjects[0]);
}

#[tokio::test]
async fn a_call_that_is_dropped_leaves_an_aborted_record() {
    let store = store().await;
    let audit = audit(&store).await;
    let mut entry = audit.open("tools/call");
    entry.caller(caller("acme", "alice"));
    entry.intent().await.unwrap();
    drop(entry);
    audit.flush().await.unwrap();
    let all = records(&store, &Filter::default()).await;
    assert_eq!(all.len(), 2);
    assert_eq!(all[1].record.result.as_ref().unwrap().status, "aborted");
}

#[tokio::test]
async fn many_calls_at_once_make_one_chain() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(
        SqliteStore::open(&folder.path().join("s.db"))
            .await
            .unwrap(),
    );
    let audit = audit(&store).await;
    let calls = (0..500).map(|_| {
        let audit = audit.clone();
        tokio::spawn(async move { call(&audit, replied()).await })
    });
    for one in calls.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    assert_eq!(verdict(&store).await.unwrap().records, 1_000);
}

#[tokio::test]
async fn the_chain_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    for records in [2, 4] {
        let store = Arc::new(SqliteStore::open(&path).await.unwrap());
        call(&audit(&store).await, replied()).await;
        assert_eq!(verdict(&store).await.unwrap().records, records);
        store.close().await;
    }
}

#[test]
fn a_process_that_ends_at_any_point_leaves_a_whole_chain_with_every_intent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.db");
    let effects = Arc::new(AtomicUsize::new(0));
    let runtime = || {
        tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
    };
    let first = runtime().unwrap();
    for _ in 0..4 {
        let (path, effects) = (path.clone(), Arc::clone(&effects));
        first.spawn(async move {
            let store = Arc::new(SqliteStore::open(&path).await.unwrap());
            let audit = audit(&store).await;
            loop {
                let mut entry = audit.open("tools/call");
                entry.caller(caller("acme", "alice"));
                if entry.intent().await.is_ok() {
                    effects.fetch_add(1, Ordering::SeqCst);
                }
                let _ = entry.close(replied()).await;
            }
        });
    }
    while effects.load(Ordering::SeqCst) < 20 {
        std::thread::yield_now();
    }
    first.shutdown_background();
    runtime().unwrap().block_on(async {
        let store = Arc::new(SqliteStore::open(&path).await.unwrap());
        let verified = verdict(&store).await.unwrap();
        // Counted first: what still ends in the background has its intent before it counts.
        let effects = effects.load(Ordering::SeqCst);
        let all = records(&store, &Filter::default()).await;
        let intents = all.iter().filter(|one| one.record.phase == Phase::Intent);
        assert!(intents.count() >= effects);
        assert!(verified.records >= 20);
    });
}

#[tokio::test]
async fn damage_is_found_and_named() {
    let swap = "UPDATE audit SET seq = 100 WHERE seq = 2; UPDATE audit SET seq = 2 WHERE seq = 3; \
                UPDATE audit SET seq = 3 WHERE seq = 100";
    for (statement, seq, what) in [
        (
            "UPDATE audit SET record = replace(record, 'replied', 'trapped') WHERE seq = 4",
            4,
            Damage::Altered,
        ),
        ("DELETE FROM audit WHERE seq = 3", 3, Damage::Missing),
        (swap, 2, Damage::Moved { says: 3 }),
        (
            "DELETE FROM audit WHERE seq > 4",
            5,
            Damage::Truncated { head: 6 },
        ),
        ("DELETE FROM audit", 1, Damage::Truncated { head: 6 }),
        ("UPDATE audit_head SET seq = 5", 5, Damage::Replaced),
        (
            "UPDATE audit SET record = 'x', hash = '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881' WHERE seq = 4",
            4,
            Damage::Unreadable,
        ),
    ] {
        let store = store().await;
        let audit = audit(&store).await;
        for _ in 0..3 {
            call(&audit, replied()).await;
        }
        assert_eq!(verdict(&store).await.unwrap().records, 6);
        damage(&store, statement).await;
        assert_eq!(
            verdict(&store).await,
            Err(Broken { seq, what }),
            "{statement}"
        );
    }
}

#[tokio::test]
async fn a_record_that_was_rewritten_with_its_digest_is_named_by_the_next() {
    for (seq, last) in [(3, 6), (6, 6)] {
        let store = store().await;
        let audit = audit(&store).await;
        for _ in 0..3 {
            call(&audit, replied()).await;
        }
        let row = store.audit_from(seq, 1).await.unwrap().remove(0);
        let text = row.text.replace("acme", "evil");
        damage(&store, "UPDATE audit_head SET id = id").await;
        sqlx::query("UPDATE audit SET record = ?, hash = ? WHERE seq = ?")
            .bind(&text)
            .bind(Digest::of(text.as_bytes()).to_string())
            .bind(i64::try_from(seq).unwrap())
            .execute(store.writer())
            .await
            .unwrap();
        let what = Damage::Replaced;
        assert_eq!(verdict(&store).await, Err(Broken { seq, what }), "{last}");
    }
}

#[tokio::test]
async fn a_change_that_is_refused_leaves_no_record() {
    let store = store().await;
    let audit = audit(&store).await;
    let facts = caller("acme", "alice");
    let change = Change::Revoke {
        who: TenantUser {
            tenant: facts.tenant.clone(),
            user: facts.user.clone(),
        },
        id: row_id(Timestamp(0)),
        at: Timestamp(0),
        by: Ender::User,
        reason: None,
    };
    let event = Event::new(EventKind::ConsentRevoked).user(&facts.tenant, &facts.user);
    let applied = audit.commit(change, vec![event]).await.unwrap();
    assert!(matches!(applied, Applied::Refused));
    assert_eq!(store.head().await.unwrap().seq, 0);
}

#[tokio::test]
async fn records_are_shown_one_a_line_and_by_criteria() {
    let store = store().await;
    let audit = audit(&store).await;
    call(&audit, replied()).await;
    let mut entry = audit.open("tools/call");
    entry.caller(caller("acme", "bob"));
    entry.asked("whoami-admin");
    let reason = "not-permitted".to_owned();
    let stage = Stage::Policy;
    entry.close(End::Refused { stage, reason }).await.unwrap();
    let retired = Event::new(EventKind::ToolRetired).tool(&"notes".parse().unwrap());
    audit
        .event(retired.fact("file", "notes.wasm"))
        .await
        .unwrap();

    let all = records(&store, &Filter::default()).await;
    let mut text: String = all.iter().map(|one| format!("{}\n", Line(one))).collect();
    for name in ["alice", "bob"] {
        let facts = caller("acme", name);
        let subject = audit.pseudonym(&facts.tenant, &facts.user).await.unwrap();
        text = text.replace(&subject.short(), name);
    }
    assert_eq!(
        text,
        "2027-01-15T08:00:00Z #1 tool.call intent notes user alice via client-1; may files read notes; by rule allow-notes\n\
         2027-01-15T08:00:00Z #2 tool.call notes user alice via client-1: replied in 3 ms, 120 bytes; http GET a.example ×2 (1 refused)\n\
         2027-01-15T08:00:00Z #3 tool.denied whoami-admin user bob via client-1: refused by policy, not-permitted\n\
         2027-01-15T08:00:00Z #4 tool.retired notes; file notes.wasm\n"
    );
    let alice = caller("acme", "alice");
    for (filter, expected) in [
        (
            Filter {
                tool: Some("notes".parse().unwrap()),
                ..Filter::default()
            },
            vec![1, 2, 4],
        ),
        (
            Filter {
                kind: Some("tool".to_owned()),
                ..Filter::default()
            },
            vec![1, 2, 3, 4],
        ),
        (
            Filter {
                kind: Some("tool.denied".to_owned()),
                ..Filter::default()
            },
            vec![3],
        ),
        (
            Filter {
                kind: Some("too".to_owned()),
                ..Filter::default()
            },
            vec![],
        ),
        (
            Filter {
                since: Some(Timestamp::from_secs(1_900_000_000)),
                ..Filter::default()
            },
            vec![],
        ),
        (
            Filter {
                subject: Some(audit.pseudonym(&alice.tenant, &alice.user).await.unwrap()),
                ..Filter::default()
            },
            vec![1, 2],
        ),
    ] {
        let shown: Vec<_> = records(&store, &filter)
            .await
            .iter()
            .map(|one| one.seq)
            .collect();
        assert_eq!(shown, expected, "{filter:?}");
    }
}
