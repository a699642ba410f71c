//! SIGKILL at random moments under load: whatever the moment was, the log is whole, no effect happened without a durable intent, no
//! reply was given without a durable outcome, and the next start says of every call that was cut off that it was.
//!
//! The kernel keeps what was handed to it, so this is about the order of things; that they are on the disk is `synchronous=FULL`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bailiwick::ids::Digest;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::*;
use crate::harness::{Setup, records_of};

/// Clients that call at the same time.
const CLIENTS: usize = 6;
/// The load goes on for so many milliseconds at most before the kill.
const LOAD_MS_MAX: u64 = 350;
/// A start is cut off within so many milliseconds, where it is.
const START_MS_MAX: u64 = 400;
/// One round of so many kills the server once more while it starts.
const STARTS_CUT: u64 = 6;
/// After so many rounds the log is verified from its beginning by the program; each round by its last records.
const VERIFIED_EVERY: u64 = 25;
/// After so many rounds a new day of the budget begins: each crash costs one of its hundred parts.
const DAY_ROUNDS: u64 = 80;
/// The daily budget, and what is written down of it as spent before it is.
const DAILY: u64 = 1_000_000;

/// Numbers that look random and are the same for one seed (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// What a call has an effect on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum On {
    Files,
    Web,
    Store,
}

const ALL: [On; 3] = [On::Files, On::Web, On::Store];

/// A call that was made, told apart by its token.
#[derive(Debug, Clone)]
struct Made {
    on: On,
    jti: String,
    replied: bool,
}

impl Made {
    fn hash(&self) -> Digest {
        Digest::of(self.jti.as_bytes())
    }
}

/// What came of all rounds.
#[derive(Debug, Default)]
struct Tally {
    rounds: u64,
    starts_cut: u64,
    calls: u64,
    replied: u64,
    without_intent: u64,
    interrupted: u64,
    interrupted_with_effect: u64,
    /// Their outcome was durable, and the reply lost.
    unheard: u64,
    slowest_start_ms: u128,
}

/// A web host that looks, at every request, whether the intent of its call is in the file of the state already.
struct Witness {
    port: u16,
    seen: Arc<Mutex<HashMap<String, bool>>>,
    serving: JoinHandle<()>,
}

impl Witness {
    /// It learns of the file when there is one.
    async fn start(state: Arc<Mutex<PathBuf>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<HashMap<String, bool>>> = Arc::default();
        let kept = Arc::clone(&seen);
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (kept, state) = (Arc::clone(&kept), Arc::clone(&state));
                tokio::spawn(async move {
                    let mut head = vec![0; 4096];
                    let read = stream.read(&mut head).await.unwrap_or_default();
                    let head = String::from_utf8_lossy(&head[..read]).into_owned();
                    let path = head.split(' ').nth(1).unwrap_or_default();
                    let jti = path.trim_start_matches('/').to_owned();
                    if jti.is_empty() {
                        return;
                    }
                    let file = state.lock().unwrap().clone();
                    let is_there = has_intent(&file, &jti).await;
                    kept.lock().unwrap().insert(jti, is_there);
                    let answer = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 4\r\nconnection: close\r\n\r\nseen";
                    // Whoever asked may be gone.
                    let _ = stream.write_all(answer).await;
                });
            }
        });
        Self {
            port,
            seen,
            serving,
        }
    }

    /// Whether it was asked by this call, and whether the intent was there by then.
    fn saw(&self, jti: &str) -> Option<bool> {
        self.seen.lock().unwrap().get(jti).copied()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Whether another process finds the intent of the call with this token among the last records of the log.
async fn has_intent(file: &Path, jti: &str) -> bool {
    // While a server that was killed begins anew, nobody else may read.
    for _ in 0..20 {
        match intents(file, jti).await {
            Ok(found) => return found == 1,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    false
}

async fn intents(file: &Path, jti: &str) -> Result<i64, sqlx::Error> {
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    let mut connection = options.connect().await?;
    let found = sqlx::query_scalar(
        "SELECT COUNT(*) FROM audit WHERE seq > (SELECT MAX(seq) FROM audit) - 5000 AND instr(record, ?) > 0 \
         AND instr(record, '\"phase\":\"intent\"') > 0",
    )
    .bind(Digest::of(jti.as_bytes()).to_string())
    .fetch_one(&mut connection)
    .await?;
    connection.close().await?;
    Ok(found)
}

/// What is spent of the daily budget, as it is written down.
async fn written_down(state: &Path) -> u64 {
    let file = PathBuf::from(format!("{}.budgets", state.display()));
    let options = SqliteConnectOptions::new().filename(file).read_only(true);
    let mut connection = options.connect().await.unwrap();
    let spent: i64 = sqlx::query_scalar("SELECT COALESCE(MAX(amount), 0) FROM budget")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
    u64::try_from(spent).unwrap()
}

fn arguments(on: On, jti: &str) -> (&'static str, Value) {
    match on {
        On::Files => ("notes_write", note(jti, jti)),
        On::Web => (
            "fetch",
            json!({"url": format!("http://witness.test/{jti}")}),
        ),
        On::Store => ("memory_remember", json!({"name": jti, "text": jti})),
    }
}

/// Calls until the server is gone.
async fn client(server: &Process, number: usize, stop: &AtomicBool) -> Vec<Made> {
    let mut all = Vec::new();
    while !stop.load(Ordering::Acquire) {
        let on = ALL[(number + all.len()) % ALL.len()];
        let jti = Uuid::new_v4().simple().to_string();
        let alice = Caller::at(&server.url, &server.token("alice", json!({"jti": jti})));
        let (tool, arguments) = arguments(on, &jti);
        let request = alice.request("tools/call", json!({"name": tool, "arguments": arguments}));
        let answer = async {
            let response = request.send().await.ok()?;
            Some((response.status(), response.text().await.ok()?))
        };
        let answer = answer.await;
        let mut made = Made {
            on,
            jti,
            replied: false,
        };
        let Some((status, body)) = answer else {
            all.push(made);
            break;
        };
        assert_eq!(status, 200, "{body}");
        let body: Value = serde_json::from_str(&body).unwrap();
        let result = &body["result"];
        // A consent that was given is not asked for again, whatever became of the server.
        assert!(result["inputRequests"].is_null(), "{body}");
        assert!(
            result["content"].is_array() && result["isError"] != true,
            "{body}"
        );
        made.replied = true;
        all.push(made);
    }
    all
}

/// Whether a call had its effect.
async fn has_effect(server: &Process, witness: &Witness, made: &Made) -> bool {
    match made.on {
        On::Files => {
            let file = server
                .dir()
                .join(format!("notes/dev/alice/{}.md", made.jti));
            let found = std::fs::read_to_string(&file).ok();
            // A folder of thousands of notes is another drill.
            let _ = std::fs::remove_file(&file);
            if made.replied {
                assert_eq!(
                    found.as_deref(),
                    Some(&*made.jti),
                    "a note is whole before its reply"
                );
            }
            found.is_some()
        }
        On::Web => witness.saw(&made.jti).is_some(),
        On::Store => {
            let alice = server.caller("alice");
            let recalled = alice.call("memory_recall", json!({"name": made.jti})).await;
            let forgot = alice.call("memory_forget", json!({"name": made.jti})).await;
            assert!(recalled.link().is_none() && forgot.link().is_none());
            assert_eq!(
                recalled.is_tool_error(),
                forgot.is_tool_error(),
                "{recalled:?} {forgot:?}"
            );
            !recalled.is_tool_error()
        }
    }
}

/// The log up to now: what was read of it, and that each record is chained to the one before it.
#[derive(Default)]
struct Read {
    next: u64,
    hash: Option<Digest>,
    /// By the hash of the token.
    intents: HashMap<Digest, Uuid>,
    endings: HashMap<Uuid, Vec<String>>,
    stopped: u64,
}

impl Read {
    async fn go_on(&mut self, state: &Path) {
        for (text, record) in records_of(state, self.next.max(1)).await {
            assert_eq!(record.seq, Some(self.next.max(1)), "no record is missing");
            if let Some(before) = self.hash {
                assert_eq!(record.prev_hash, Some(before), "record {:?}", record.seq);
            }
            self.hash = Some(Digest::of(text.as_bytes()));
            self.next = self.next.max(1) + 1;
            match (record.phase, record.token) {
                // What is looked with has one token for all.
                (Phase::Intent, Some(token))
                    if record.tool.is_some_and(|tool| {
                        ALL.iter()
                            .any(|on| tool.name.as_str() == arguments(*on, "").0)
                    }) =>
                {
                    let before = self.intents.insert(token.jti_hash, record.event_id);
                    assert!(before.is_none(), "one intent for one call");
                }
                (Phase::Outcome, _) => {
                    let ending = record
                        .result
                        .map(|result| result.status)
                        .unwrap_or_default();
                    self.endings
                        .entry(record.event_id)
                        .or_default()
                        .push(ending);
                }
                (Phase::Intent | Phase::Event, _) => {}
            }
            self.stopped += u64::from(record.kind == "server.stopped");
        }
    }
}

/// So many rounds, with what chance this seed gives.
async fn drill(rounds: u64, seed: u64) -> Tally {
    println!("the seed is {seed}");
    let mut chance = Chance(seed);
    let state_file = Arc::new(Mutex::new(PathBuf::new()));
    let witness = Witness::start(Arc::clone(&state_file)).await;
    let outside = tempfile::tempdir().unwrap();
    let outside = outside.path().join("outside.txt");
    let setup = Setup::new().tools(&["notes", "fetch", "memory"]).await;
    let setup = setup
        .host("witness.test", witness.port, true)
        .config(&format!(
            "[audit]\ncheckpoint_records = 64\ncheckpoint_seconds = 1\n[[audit.copy]]\nfile = \"{}\"\n",
            outside.display()
        ))
        .limits(&format!("[[limit]]\nname = \"day\"\nper = \"user\"\ndaily_calls = {DAILY}\n"));
    let server = setup.start().await;
    for on in ALL {
        let (tool, arguments) = arguments(on, "0");
        let answer = server
            .caller("alice")
            .call_allowed(&server, tool, arguments)
            .await;
        assert!(answer.is_reply(), "{answer:?}");
    }
    // What looks whether there was an effect is asked about as well.
    for tool in ["memory_recall", "memory_forget"] {
        let alice = server.caller("alice");
        let answer = alice
            .call_allowed(&server, tool, json!({"name": "0"}))
            .await;
        assert!(answer.is_reply(), "{answer:?}");
    }
    let mut server = server.into_process().await;
    let state = server.dir().join("state.db");
    state.clone_into(&mut state_file.lock().unwrap());
    let key = bailiwick(server.dir(), &["audit", "key", "--dir", "."]).ends(0);
    let outside = outside.display().to_string();
    let anchors = ["--checkpoint", &*outside, "--key", key.trim()];

    let mut read = Read::default();
    read.go_on(&state).await;
    let mut tally = Tally::default();
    let mut spent_of_day = 0;
    server.start().await;
    for round in 1..=rounds {
        let stop = AtomicBool::new(false);
        let load = async {
            let clients = (0..CLIENTS).map(|number| client(&server, number, &stop));
            futures_util::future::join_all(clients).await
        };
        let moment = Duration::from_millis(chance.below(LOAD_MS_MAX));
        let kill = async {
            tokio::time::sleep(moment).await;
            server.signal(rustix::process::Signal::KILL);
            stop.store(true, Ordering::Release);
        };
        let (made, ()) = tokio::join!(load, kill);
        let made: Vec<Made> = made.into_iter().flatten().collect();
        server.kill();
        if round % DAY_ROUNDS == 0 {
            for end in ["", "-wal", "-shm"] {
                let _ = std::fs::remove_file(format!("{}.budgets{end}", state.display()));
            }
            spent_of_day = 0;
        }
        if chance.below(STARTS_CUT) == 0 {
            server.spawn();
            tokio::time::sleep(Duration::from_millis(chance.below(START_MS_MAX))).await;
            server.kill();
            tally.starts_cut += 1;
        }
        let began = Instant::now();
        server.start().await;
        tally.slowest_start_ms = tally.slowest_start_ms.max(began.elapsed().as_millis());
        read.go_on(&state).await;
        for one in &made {
            judge(&server, &witness, &read, one, &mut tally).await;
        }
        let charged = made
            .iter()
            .filter(|one| read.intents.contains_key(&one.hash()))
            .count();
        if round % DAY_ROUNDS != 0 {
            spent_of_day += u64::try_from(charged).unwrap();
        }
        assert!(
            written_down(&state).await >= spent_of_day,
            "no less is written down as spent than was"
        );
        if round % VERIFIED_EVERY == 0 || round == rounds {
            assert_whole(&server, &anchors);
            println!("{round}: {tally:?}, {} records", read.next - 1);
        }
        tally.rounds += 1;
    }
    assert_eq!(
        read.stopped, 1,
        "it never ended in order but when it was set up"
    );
    server.signal(rustix::process::Signal::TERM);
    assert_eq!(server.ended().await.code(), Some(0));
    read.go_on(&state).await;
    for (token, event) in &read.intents {
        assert_eq!(read.endings[event].len(), 1, "{token} {event}");
    }
    assert_whole(&server, &anchors);
    assert!(tally.replied > 0 && tally.interrupted > 0, "{tally:?}");
    tally
}

/// What the log says of a call is what happened.
async fn judge(server: &Process, witness: &Witness, read: &Read, made: &Made, tally: &mut Tally) {
    let has_effect = has_effect(server, witness, made).await;
    let intent = read.intents.get(&made.hash());
    let endings = intent
        .and_then(|event| read.endings.get(event))
        .cloned()
        .unwrap_or_default();
    tally.calls += 1;
    tally.replied += u64::from(made.replied);
    let Some(event) = intent else {
        assert!(
            !has_effect && !made.replied,
            "an effect without an intent: {made:?}"
        );
        tally.without_intent += 1;
        return;
    };
    if let Some(was_durable) = witness.saw(&made.jti) {
        assert!(was_durable, "the effect came before its intent: {made:?}");
    }
    let [ending] = endings.as_slice() else {
        panic!("{event} has the outcomes {endings:?}: {made:?}");
    };
    match (ending.as_str(), made.replied) {
        ("replied", replied) => {
            assert!(has_effect, "an outcome without its effect: {made:?}");
            tally.unheard += u64::from(!replied);
        }
        ("interrupted", false) => {
            tally.interrupted += 1;
            tally.interrupted_with_effect += u64::from(has_effect);
        }
        (other, _) => panic!("it is said to have ended as {other}: {made:?}"),
    }
}

/// The seed of `BAILIWICK_DRILL_SEED`, or another one each time.
fn seed() -> u64 {
    let given = std::env::var("BAILIWICK_DRILL_SEED").ok();
    let given = given.map(|text| text.parse().unwrap());
    given.unwrap_or_else(|| Uuid::new_v4().as_u64_pair().0)
}

#[test]
fn killed_at_random_moments_the_log_says_what_happened() {
    run(async {
        println!("{:?}", drill(10, seed()).await);
    });
}

#[test]
#[ignore = "takes half an hour; `tests/long/run a_thousand_kills` runs it"]
fn a_thousand_kills() {
    run(async {
        println!("{:?}", drill(1_000, seed()).await);
    });
}
