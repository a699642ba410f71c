//! The drill of an issuer that changes its keys, with calls running: no good token is refused but in the times that are
//! documented, a retired key is dead after them, and nobody makes us storm the issuer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bailiwick::clock::{Clock, ManualClock, SystemClock};
use bailiwick::config::KeySource;
use bailiwick::idp::SigningKey;
use bailiwick::limits::{JWKS_REFETCH_MIN, JWKS_STALE_MAX, JWKS_TTL};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::harness::{Caller, Issuer, Server, Setup, run, until};

/// Longer than the drill takes on its clock.
const TOKEN: Duration = Duration::from_secs(7 * 24 * 3600);
/// Callers at once, while keys change.
const CALLERS: usize = 8;

struct Drill {
    server: Server,
    issuer: Issuer,
    clock: ManualClock,
}

impl Drill {
    async fn start(first: &SigningKey) -> Self {
        let issuer = Issuer::start().await;
        issuer.publish(&[first.key_set()]);
        let clock = ManualClock::new(SystemClock.now());
        let url = format!("{}/keys", issuer.url);
        let setup = Setup::new().clock(clock.clone()).tools(&["hello"]).await;
        let setup = setup.issuer(move |config| {
            config.keys = KeySource::Url(url.parse().unwrap());
        });
        let server = setup.start().await;
        Self {
            server,
            issuer,
            clock,
        }
    }

    fn caller(&self, key: &SigningKey) -> Caller {
        self.signed(key, "at+jwt", json!({}))
    }

    fn signed(&self, key: &SigningKey, kind: &str, changes: Value) -> Caller {
        let now = self.clock.now();
        let mut claims = json!({
            "iss": self.server.issuer,
            "sub": "alice",
            "aud": format!("{}/mcp", self.server.url),
            "client_id": "dev-client",
            "scope": "tools:call",
            "roles": ["user"],
            "iat": now.secs(),
            "exp": now.plus(TOKEN).secs(),
            "jti": uuid::Uuid::now_v7(),
        });
        let changes = changes.as_object().unwrap().clone();
        claims.as_object_mut().unwrap().extend(changes);
        let token = key.sign(kind, &claims).unwrap();
        self.server.caller("alice").bearing(&token)
    }

    async fn status(&self, key: &SigningKey) -> StatusCode {
        status(&self.caller(key)).await
    }
}

async fn status(caller: &Caller) -> StatusCode {
    caller.call("hello", json!({"name": "Ada"})).await.status
}

/// Callers who go on calling, each with its own token, until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    made: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<Vec<StatusCode>>>,
}

impl Load {
    fn of(drill: &Drill, key: &SigningKey) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let made = Arc::new(AtomicUsize::new(0));
        let one = |_| {
            let (stop, made) = (Arc::clone(&stop), Arc::clone(&made));
            let caller = drill.caller(key);
            tokio::spawn(async move {
                let mut refused = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let status = status(&caller).await;
                    made.fetch_add(1, Ordering::SeqCst);
                    if status != StatusCode::OK {
                        refused.push(status);
                    }
                }
                refused
            })
        };
        let tasks = (0..CALLERS).map(one).collect();
        Self { stop, made, tasks }
    }

    /// Waits until each caller has called again.
    async fn goes_on(&self) {
        let before = self.made.load(Ordering::SeqCst);
        until("calls go on", async || {
            let made = self.made.load(Ordering::SeqCst);
            (made >= before + 2 * CALLERS).then_some(())
        })
        .await;
    }

    /// What was refused in the meantime, of how many.
    async fn end(self) -> (Vec<StatusCode>, usize) {
        self.stop.store(true, Ordering::SeqCst);
        let mut refused = Vec::new();
        for task in self.tasks {
            refused.extend(task.await.unwrap());
        }
        (refused, self.made.load(Ordering::SeqCst))
    }
}

#[test]
fn keys_change_under_load_and_no_good_token_is_refused() {
    run(async {
        let (old, new) = (
            SigningKey::generate().unwrap(),
            SigningKey::generate().unwrap(),
        );
        let drill = Drill::start(&old).await;
        let load = Load::of(&drill, &old);
        load.goes_on().await;
        assert_eq!(drill.issuer.fetches(), 1);

        // The new key is there, and its first tokens are out. Within the time between two readings they must wait.
        drill.issuer.publish(&[old.key_set(), new.key_set()]);
        assert_eq!(drill.status(&new).await, StatusCode::UNAUTHORIZED);
        assert_eq!(drill.issuer.fetches(), 1);
        drill.clock.advance(JWKS_REFETCH_MIN);
        assert_eq!(drill.status(&new).await, StatusCode::OK);
        assert_eq!(drill.issuer.fetches(), 2);
        load.goes_on().await;
        let young = Load::of(&drill, &new);
        young.goes_on().await;

        // The old key goes, and with it the last of its tokens. Nobody knew until the set is read again.
        let (refused, made) = load.end().await;
        assert!(refused.is_empty(), "{refused:?} of {made}");
        drill.issuer.publish(&[new.key_set()]);
        let last = drill.caller(&old);
        assert_eq!(status(&last).await, StatusCode::OK);
        drill.clock.advance(JWKS_TTL);
        assert_eq!(status(&last).await, StatusCode::UNAUTHORIZED);
        assert_eq!(drill.status(&old).await, StatusCode::UNAUTHORIZED);
        young.goes_on().await;
        let (refused, made) = young.end().await;
        assert!(refused.is_empty(), "{refused:?} of {made}");
        // Once for the age of the set, and never for the retired key that is asked for in vain.
        assert_eq!(drill.issuer.fetches(), 3);
        drill.server.stop().await;
    });
}

#[test]
fn made_up_keys_make_no_storm() {
    run(async {
        let key = SigningKey::generate().unwrap();
        let drill = Drill::start(&key).await;
        assert_eq!(drill.status(&key).await, StatusCode::OK);
        for interval in 1..=2 {
            drill.clock.advance(JWKS_REFETCH_MIN);
            let made_up = (0..50).map(|_| {
                let caller = drill.caller(&SigningKey::generate().unwrap());
                tokio::spawn(async move { status(&caller).await })
            });
            for answer in made_up.collect::<Vec<_>>() {
                assert_eq!(answer.await.unwrap(), StatusCode::UNAUTHORIZED);
            }
            assert_eq!(drill.issuer.fetches(), 1 + interval);
            assert_eq!(drill.status(&key).await, StatusCode::OK);
        }
        // What is no access token is refused before anybody looks for its key.
        drill.clock.advance(JWKS_REFETCH_MIN);
        let other = drill.signed(&SigningKey::generate().unwrap(), "JWT", json!({}));
        assert_eq!(status(&other).await, StatusCode::UNAUTHORIZED);
        assert_eq!(drill.issuer.fetches(), 3);
        drill.server.stop().await;
    });
}

#[test]
fn the_last_good_keys_serve_for_a_day_and_then_refuse() {
    run(async {
        let key = SigningKey::generate().unwrap();
        let drill = Drill::start(&key).await;
        let caller = drill.caller(&key);
        assert_eq!(status(&caller).await, StatusCode::OK);
        drill.issuer.hide();
        let almost = JWKS_STALE_MAX - Duration::from_secs(1);
        for span in [JWKS_TTL, almost - JWKS_TTL] {
            drill.clock.advance(span);
            let load = Load::of(&drill, &key);
            load.goes_on().await;
            let (refused, made) = load.end().await;
            assert!(refused.is_empty(), "{refused:?} of {made}");
            assert_eq!(status(&caller).await, StatusCode::OK);
        }
        // One try for each time it was due, however many called.
        assert_eq!(drill.issuer.fetches(), 3);
        drill.clock.advance(Duration::from_secs(1));
        let answer = caller.call("hello", json!({"name": "Ada"})).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
        assert!(answer.header("retry-after").is_some());
        assert!(answer.header("www-authenticate").is_none());
        // It is back, and so are they.
        drill.issuer.publish(&[key.key_set()]);
        drill.clock.advance(JWKS_REFETCH_MIN);
        assert_eq!(status(&caller).await, StatusCode::OK);
        drill.server.stop().await;
    });
}
