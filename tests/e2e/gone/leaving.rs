//! Clients that leave over HTTP, and what calls wait for meanwhile: hosts that do not answer, and locks of others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bailiwick::audit::Record;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::harness::{Answer, Caller, Server, Stopwatch, allowed, until};
use crate::secrets::host::whole;

/// Longest until nothing is left of a call whose client left. Whatever the calls here wait for takes longer to be given up.
const SOON: Duration = Duration::from_millis(1_500);
/// How long a connection waits for the lock of another, before its call hears that the store cannot be used: a scene that took as long
/// has shown nothing, and is played again.
pub const LOCK_WAIT: Duration = Duration::from_secs(2);
/// One request and one call at once, so that whatever a call keeps that was left refuses the next one.
pub const ONE: &str =
    "requests_in_flight_max = 1\n[[limit]]\nname = \"one\"\nper = \"tenant\"\nat_once = 1\n";
/// Consents that one call may take before it goes through.
const QUESTIONS_MAX: usize = 8;
/// Bytes of a body that trickled before it counts as one that does.
const TRICKLED: usize = 5;
/// How far they are apart.
const TRICKLES_EVERY: Duration = Duration::from_millis(20);

/// Whether nothing of any call is left.
pub fn is_idle(server: &Server) -> bool {
    let stages = &server.running.stages;
    let places = stages.sandbox.places().0;
    (places, stages.sandbox.turns(), stages.running.len()) == (0, (0, 0), 0)
}

/// Calls a tool, and leaves when its call waits where it should. Gives the one record that says how the call ended.
pub async fn left(
    server: &Server,
    caller: &Caller,
    (tool, arguments): (&str, &Value),
    waits: impl AsyncFnMut() -> bool,
) -> Record {
    let leaving = Leaving::of(server, tool).await;
    let params = json!({"name": tool, "arguments": arguments});
    let request = caller.request("tools/call", params);
    leaving.leave(request, waits).await;
    leaving.record().await
}

/// A call of a tool whose client leaves.
pub struct Leaving<'a> {
    server: &'a Server,
    tool: &'a str,
    known: usize,
}

impl<'a> Leaving<'a> {
    /// Before anything is locked by which the log can be read.
    pub async fn of(server: &'a Server, tool: &'a str) -> Self {
        let known = server.outcomes(tool).await.len();
        Self {
            server,
            tool,
            known,
        }
    }

    /// Sends the request, leaves when the call waits, and sees that nothing is left of it.
    pub async fn leave(
        &self,
        request: reqwest::RequestBuilder,
        mut waits: impl AsyncFnMut() -> bool,
    ) {
        // Dropped with the task, and its connection with it.
        let called = tokio::spawn(Answer::read(request));
        let ended = until("the call waits", async || {
            let waits = waits().await;
            let ended = called.is_finished();
            (waits || ended).then_some(ended)
        })
        .await;
        if ended {
            panic!("{} has ended by itself: {:?}", self.tool, called.await);
        }
        let since = Stopwatch::start();
        called.abort();
        until("nothing of the call is left", async || {
            is_idle(self.server).then_some(())
        })
        .await;
        let took = since.took();
        assert!(took < SOON, "{} went on for {took:?}", self.tool);
    }

    /// The one record that says how it ended.
    pub async fn record(self) -> Record {
        let mut outcomes = self.server.outcomes(self.tool).await;
        assert_eq!(outcomes.len(), self.known + 1, "one call, one outcome");
        outcomes.pop().unwrap()
    }
}

/// Has a user agree to all that a call asks about, and makes it. What it answers.
pub async fn agreed(server: &Server, caller: &Caller, tool: &str, arguments: &Value) -> Answer {
    for _ in 0..QUESTIONS_MAX {
        let answer = caller.call(tool, arguments.clone()).await;
        let Some(link) = answer.link() else {
            return answer;
        };
        server.decide_each(&link, "alice", allowed).await;
    }
    panic!("{tool} asks for ever")
}

/// Has a user agree to what a call asks about, and does not make it.
pub async fn asked(server: &Server, caller: &Caller, tool: &str, arguments: &Value) -> Answer {
    let asked = caller.call(tool, arguments.clone()).await;
    let link = asked.link().unwrap_or_else(|| panic!("{asked:?}"));
    server.decide_each(&link, "alice", allowed).await;
    asked
}

fn result(record: &Record) -> Value {
    serde_json::to_value(record.result.as_ref().unwrap()).unwrap()
}

/// What the guest of a call did that was cancelled while it ran.
#[track_caller]
pub fn cancelled(record: &Record) -> Value {
    let result = result(record);
    assert_eq!(result["status"], "cancelled", "{record:?}");
    result["used"]["effects"].clone()
}

/// Asserts that a call ended before its intent.
#[track_caller]
pub fn never_began(record: &Record) {
    let expected = json!({"status": "refused", "stage": "request", "reason": "caller-gone"});
    assert_eq!(result(record), expected, "{record:?}");
    assert_eq!(record.kind, "tool.denied");
}

/// Asserts that a call ended when its intent might stand in the log, and before its guest began.
#[track_caller]
pub fn never_ran(record: &Record) {
    let nothing = json!({"memory_bytes_peak": 0, "reply_bytes": 0, "wall_ms": 0});
    let expected = json!({"status": "cancelled", "used": nothing});
    assert_eq!(result(record), expected, "{record:?}");
    assert_eq!(record.kind, "tool.call");
}

/// How a host lets wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// It answers.
    Nothing,
    /// It says nothing, until it answers.
    Answer,
    /// It begins to answer and does not come to an end.
    Body,
}

/// What happened at a host up to now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Whole requests.
    pub asked: usize,
    /// Of these, those that had to wait.
    pub waited: usize,
    /// Of these, those whose connection was closed while they waited.
    pub closed: usize,
}

#[derive(Default)]
struct Counts {
    asked: AtomicUsize,
    waited: AtomicUsize,
    closed: AtomicUsize,
}

/// A web host on loopback that answers when it is let, and sees when it is left.
pub struct Slow {
    pub port: u16,
    holds: watch::Sender<Holds>,
    counts: Arc<Counts>,
    serving: JoinHandle<()>,
}

impl Slow {
    /// One whose answers have these bodies, by path and request.
    pub async fn start(body: impl Fn(&str, &str) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let holds = watch::Sender::new(Holds::Nothing);
        let counts = Arc::<Counts>::default();
        let (told, kept, body) = (holds.subscribe(), Arc::clone(&counts), Arc::new(body));
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (told, kept, body) = (told.clone(), Arc::clone(&kept), Arc::clone(&body));
                tokio::spawn(async move { serve(stream, told, &kept, &*body).await });
            }
        });
        Self {
            port,
            holds,
            counts,
            serving,
        }
    }

    /// From now on it lets wait like that; those that wait for an answer get it where it lets nobody wait.
    pub fn hold(&self, holds: Holds) {
        self.holds.send_replace(holds);
    }

    pub fn seen(&self) -> Seen {
        let count = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        Seen {
            asked: count(&self.counts.asked),
            waited: count(&self.counts.waited),
            closed: count(&self.counts.closed),
        }
    }

    /// Waits until all that waited were left. None of them was answered, and no other was asked.
    pub async fn is_left(&self, before: Seen) {
        until("the host sees its connection closed", async || {
            let seen = self.seen();
            (seen.closed == before.closed + 1).then_some(())
        })
        .await;
        let expected = [before.asked, before.waited, before.closed].map(|count| count + 1);
        let seen = self.seen();
        assert_eq!([seen.asked, seen.waited, seen.closed], expected);
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    mut told: watch::Receiver<Holds>,
    counts: &Counts,
    body: &(dyn Fn(&str, &str) -> String + Send + Sync),
) {
    let add = |count: &AtomicUsize| count.fetch_add(1, Ordering::SeqCst);
    let (mut request, mut chunk) = (Vec::new(), [0; 4096]);
    while !whole(&request) {
        match stream.read(&mut chunk).await {
            Ok(0) | Err(_) => return,
            Ok(n) => request.extend_from_slice(&chunk[..n]),
        }
    }
    let request = String::from_utf8_lossy(&request).into_owned();
    add(&counts.asked);
    let holds = *told.borrow_and_update();
    if holds == Holds::Body {
        let begins =
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 100000\r\n\r\n";
        let _ = stream.write_all(begins.as_bytes()).await;
    }
    if holds == Holds::Answer {
        add(&counts.waited);
    }
    let mut trickles = tokio::time::interval(TRICKLES_EVERY);
    let mut trickled = 0;
    while *told.borrow() != Holds::Nothing || holds == Holds::Body {
        tokio::select! {
            // Nobody says anything more but that they leave.
            read = stream.read(&mut chunk) => if matches!(read, Ok(0) | Err(_)) {
                add(&counts.closed);
                return;
            },
            _ = trickles.tick(), if holds == Holds::Body => {
                // Whoever left is seen by reading.
                let _ = stream.write_all(b"x").await;
                trickled += 1;
                if trickled == TRICKLED {
                    add(&counts.waited);
                }
            }
            changed = told.changed() => if changed.is_err() {
                return;
            },
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default();
    let body = body(path, &request);
    let kind = match body.starts_with('{') {
        true => "application/json",
        false => "text/plain",
    };
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    // Whoever asked may be gone.
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// The write lock of an SQLite file, held as another process would.
pub struct Lock(SqliteConnection);

impl Lock {
    /// Of the file of this name behind that of the state; of the state itself where it has none.
    pub async fn of(server: &Server, name: &str) -> Self {
        let file = match name {
            "" => "state.db".to_owned(),
            name => format!("state.db.{name}"),
        };
        let mut connection = SqliteConnectOptions::new()
            .filename(server.dir().join(file))
            .busy_timeout(Duration::from_secs(10))
            .connect()
            .await
            .unwrap();
        sqlx::query("BEGIN IMMEDIATE")
            .execute(&mut connection)
            .await
            .unwrap();
        Self(connection)
    }

    /// How many rows a table of it has.
    pub async fn count(&mut self, statement: &'static str) -> i64 {
        let count = sqlx::query_scalar(statement);
        count.fetch_one(&mut self.0).await.unwrap()
    }

    /// Lets the others go on.
    pub async fn open(mut self) {
        sqlx::query("ROLLBACK").execute(&mut self.0).await.unwrap();
        self.0.close().await.unwrap();
    }
}
