//! Opaque tokens, through the running server: whoever their issuer says is the caller, and nobody else.

use std::time::Duration;

use bailiwick::config::{About, ClientProof, ClientSecret, IntrospectionConfig};
use bailiwick::limits::INTROSPECTION_MAX;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::harness::{Answer, Caller, Issuer, Server, Setup, http, log, played, run, until};

const SECRET: &str = "kumquat-of-the-client";

async fn serve(issuer: &Issuer, about: About, cache: Duration) -> Server {
    prepared(issuer, about, cache).await.start().await
}

async fn prepared(issuer: &Issuer, about: About, cache: Duration) -> Setup {
    let endpoint = format!("{}/introspect", issuer.url);
    let setup = Setup::new().tools(&["hello", "whoami-admin"]).await;
    let dir = setup.dir().to_owned();
    let setup = setup.secret_file("client-secret", SECRET);
    setup.issuer(move |config| {
        config.introspection = Some(IntrospectionConfig {
            url: endpoint.parse().unwrap(),
            client_id: "bailiwick".to_owned(),
            proof: ClientProof::Secret(ClientSecret::File(
                dir.join("client-secret").display().to_string(),
            )),
            about,
            ttl: cache,
        });
    })
}

/// What the issuer says of a good token.
fn active(server: &Server, user: &str, changes: Value) -> Value {
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let roles: &[&str] = match user {
        "root" => &["user", "admin"],
        _ => &["user"],
    };
    let mut claims = json!({
        "active": true,
        "sub": user,
        "aud": format!("{}/mcp", server.url),
        "client_id": "dev-client",
        "scope": "tools:call",
        "roles": roles,
        "exp": now + 3600,
        "token_type": "Bearer",
    });
    let changes = changes.as_object().unwrap().clone();
    claims.as_object_mut().unwrap().extend(changes);
    claims
}

async fn status(caller: &Caller) -> StatusCode {
    let answer = caller.call("hello", json!({"name": "Ada"})).await;
    if answer.status == StatusCode::OK {
        assert!(answer.is_reply(), "{answer:?}");
    }
    answer.status
}

#[test]
fn an_opaque_token_is_whoever_its_issuer_says_and_is_asked_about_once() {
    run(async {
        let issuer = Issuer::start().await;
        let server = serve(&issuer, About::Opaque, Duration::from_secs(30)).await;
        let alice = server.caller("alice").bearing("opaque-of-alice_1");
        issuer.says(Some(active(&server, "alice", json!({}))));
        assert_eq!(status(&alice).await, StatusCode::OK);
        assert_eq!(alice.list().await, ["hello"]);
        issuer.says(Some(active(&server, "root", json!({}))));
        let root = server.caller("root").bearing("opaque-of-root");
        assert_eq!(root.list().await.len(), 2);
        // Each answer served for more than one request, to its own token alone.
        assert_eq!(alice.list().await, ["hello"]);
        let asked = issuer.asked();
        assert_eq!(asked.len(), 2);
        assert_eq!(
            asked[0].1,
            "token=opaque-of-alice_1&token_type_hint=access_token"
        );
        assert!(asked[0].0.starts_with("Basic "));
        // The records name the caller as ever, and say how it is known.
        let intent = server.intents("hello").await.pop().unwrap();
        assert_eq!(intent.iss.unwrap().as_str(), server.issuer);
        assert_eq!(intent.token.unwrap().alg, "introspection");
        // A JWT is judged by its signature, and nobody is asked about it.
        assert_eq!(status(&server.caller("alice")).await, StatusCode::OK);
        let forged = server.caller("alice").token.replace(".ey", ".fy");
        assert_eq!(
            status(&server.caller("alice").bearing(&forged)).await,
            StatusCode::UNAUTHORIZED
        );
        assert_eq!(issuer.asked().len(), 2);
        // Neither our secret nor a token is in the log.
        let log = log::text();
        assert!(!log.contains(SECRET) && !log.contains("opaque-of-alice_1"));
        server.stop().await;
    });
}

#[test]
fn what_an_issuer_does_not_stand_by_is_refused() {
    run(async {
        let issuer = Issuer::start().await;
        let server = serve(&issuer, About::Opaque, Duration::ZERO).await;
        // That one does not count is remembered for a moment, so each is another.
        let alice = |n: usize| server.caller("alice").bearing(&format!("opaque-2-{n}"));
        for (n, refused) in [
            json!({"active": false}),
            active(
                &server,
                "alice",
                json!({"aud": "https://other.example/mcp"}),
            ),
            active(&server, "alice", json!({"iss": "https://other.example"})),
            active(&server, "alice", json!({"exp": 1_500_000_000})),
            active(&server, "alice", json!({"cnf": {"jkt": "A".repeat(43)}})),
            active(
                &server,
                "alice",
                json!({"cnf": {"x5t#S256": "A".repeat(43)}}),
            ),
        ]
        .into_iter()
        .enumerate()
        {
            issuer.says(Some(refused.clone()));
            let answer = status(&alice(n)).await;
            assert_eq!(answer, StatusCode::UNAUTHORIZED, "{refused}");
        }
        issuer.says(Some(active(&server, "alice", json!({}))));
        let alice = alice(9);
        assert_eq!(status(&alice).await, StatusCode::OK);
        // A scope that its issuer must give is asked for as ever.
        issuer.says(Some(active(&server, "alice", json!({"scope": "other"}))));
        assert_eq!(status(&alice).await, StatusCode::FORBIDDEN);
        assert_eq!(server.outcomes("hello").await.len(), 1);
        server.stop().await;
    });
}

#[test]
fn an_issuer_out_of_reach_closes_and_does_not_open() {
    run(async {
        let issuer = Issuer::start().await;
        let server = serve(&issuer, About::Opaque, Duration::from_secs(30)).await;
        let alice = server.caller("alice").bearing("opaque-3");
        issuer.says(None);
        let answer = alice.call("hello", json!({"name": "Ada"})).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
        assert!(answer.header("retry-after").is_some());
        assert!(answer.header("www-authenticate").is_none());
        issuer.says(Some(json!({"active": "yes"})));
        assert_eq!(status(&alice).await, StatusCode::SERVICE_UNAVAILABLE);
        issuer.says(Some(active(&server, "alice", json!({}))));
        assert_eq!(status(&alice).await, StatusCode::OK);
        // Nobody answers there any more. What was said serves on; who is new is refused.
        drop(issuer);
        assert_eq!(status(&alice).await, StatusCode::OK);
        let bob = server.caller("bob").bearing("opaque-4");
        assert_eq!(status(&bob).await, StatusCode::SERVICE_UNAVAILABLE);
        server.stop().await;
    });
}

#[test]
fn a_jwt_that_was_taken_back_is_refused_where_all_tokens_are_asked_about() {
    run(async {
        let issuer = Issuer::start().await;
        let server = serve(&issuer, About::All, Duration::ZERO).await;
        let alice = server.caller("alice");
        issuer.says(Some(json!({"active": true})));
        assert_eq!(status(&alice).await, StatusCode::OK);
        issuer.says(Some(json!({"active": false})));
        assert_eq!(status(&alice).await, StatusCode::UNAUTHORIZED);
        let another = server.token("alice", json!({"jti": "another"}));
        let alice = alice.bearing(&another);
        issuer.says(Some(active(&server, "bob", json!({}))));
        assert_eq!(status(&alice).await, StatusCode::UNAUTHORIZED);
        issuer.says(Some(active(&server, "alice", json!({}))));
        assert_eq!(status(&alice).await, StatusCode::OK);
        let asked = issuer.asked().len();
        let expired = server.token("alice", json!({"exp": 1_500_000_000}));
        assert_eq!(
            status(&alice.clone().bearing(&expired)).await,
            StatusCode::UNAUTHORIZED
        );
        assert_eq!(issuer.asked().len(), asked);
        server.stop().await;
    });
}

#[test]
fn who_leaves_before_the_verdict_has_failed_as_who_stays() {
    run(played(INTROSPECTION_MAX, async || {
        let issuer = Issuer::start().await;
        let limits = "count_loopback = true\n[[limit]]\nname = \"failures\"\nper = \"failures\"\ncalls = 3\nseconds = 60\n";
        let setup = prepared(&issuer, About::Opaque, Duration::from_secs(30)).await;
        let server = setup.limits(limits).start().await;
        issuer.says(Some(json!({"active": false})));
        for (path, address) in [("mcp", "127.0.0.2"), ("admin/status", "127.0.0.3")] {
            let client = reqwest::Client::builder().no_proxy();
            let client = client.local_address(address.parse::<std::net::IpAddr>().unwrap());
            let client = client.build().unwrap();
            let url = format!("{}/{path}", server.url);
            let before = issuer.asked().len();
            issuer.hold(true);
            for n in 1..5 {
                let request = client.post(&url).bearer_auth(format!("guess-{n}-{before}"));
                let leaves = tokio::spawn(request.send());
                until("its issuer is asked", async || {
                    (issuer.asked().len() == before + n).then_some(())
                })
                .await;
                leaves.abort();
                assert!(leaves.await.unwrap_err().is_cancelled());
            }
            issuer.hold(false);
            let answer = until("the address pauses", async || {
                let answer = client.post(&url).send().await.unwrap();
                (answer.status() == StatusCode::TOO_MANY_REQUESTS).then_some(answer)
            });
            let limit = answer.await.json::<Value>().await.unwrap();
            assert_eq!(limit["limit"], "failures", "{path}");
            // Nobody else does.
            let other = Answer::read(http().post(&url)).await;
            assert_eq!(other.status, StatusCode::UNAUTHORIZED, "{path}");
        }
        server.stop().await;
    }));
}

#[test]
fn who_finds_no_place_to_be_asked_about_is_told_to_come_again() {
    run(played(INTROSPECTION_MAX, async || {
        let issuer = Issuer::start().await;
        let server = serve(&issuer, About::Opaque, Duration::from_secs(30)).await;
        issuer.says(Some(active(&server, "alice", json!({}))));
        issuer.hold(true);
        let waiting: Vec<_> = (0..32)
            .map(|n| {
                let alice = server.caller("alice").bearing(&format!("waiting-{n}"));
                tokio::spawn(async move { status(&alice).await })
            })
            .collect();
        until("every place is taken", async || {
            (issuer.asked().len() == 32).then_some(())
        })
        .await;
        let late = server.caller("alice").bearing("late");
        let answer = late.call("hello", json!({"name": "Ada"})).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
        assert_eq!(answer.header("retry-after"), Some("1"));
        assert!(answer.header("www-authenticate").is_none());
        // A JWT is judged beside them.
        assert_eq!(status(&server.caller("alice")).await, StatusCode::OK);
        issuer.hold(false);
        for one in waiting {
            assert_eq!(one.await.unwrap(), StatusCode::OK);
        }
        assert_eq!(status(&late).await, StatusCode::OK);
        server.stop().await;
    }));
}
