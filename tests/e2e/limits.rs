//! Limits on everybody: each permission beside its refusal, through the running server.

use std::cell::Cell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

use bailiwick::audit::Stored;
use bailiwick::clock::{Clock, ManualClock, SystemClock};
use bailiwick::consent::Choice;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Answer, Caller, Server, Setup, http, run, until};

fn limit(name: &str, per: &str, bound: &str) -> String {
    format!("[[limit]]\nname = \"{name}\"\nper = \"{per}\"\n{bound}\n")
}

async fn hello(caller: &Caller) -> Answer {
    caller.call("hello", json!({"name": "Ada"})).await
}

fn passed(answer: &Answer) -> bool {
    answer.status == 200 && answer.is_reply()
}

/// What a program reads of a call that a limit refused.
fn advice(answer: &Answer) -> Value {
    assert!(answer.is_tool_error(), "{answer:?}");
    answer.result()["_meta"]["bailiwick/throttled"].clone()
}

/// A browser, say, with an address of its own on this machine.
fn from(address: &str) -> reqwest::Client {
    let client = reqwest::Client::builder().no_proxy();
    let client = client.local_address(address.parse::<std::net::IpAddr>().unwrap());
    client.build().unwrap()
}

async fn answer_from(client: &reqwest::Client, request: reqwest::RequestBuilder) -> Answer {
    let response = client.execute(request.build().unwrap()).await.unwrap();
    Answer {
        status: response.status(),
        headers: response.headers().clone(),
        body: response.text().await.unwrap(),
    }
}

async fn count(server: &Server, kind: &str) -> usize {
    let all = server.records().await.into_iter();
    all.filter(|stored| stored.record.kind == kind).count()
}

async fn probe(server: &Server, path: &str) -> u16 {
    let answer = Answer::read(http().get(format!("{}{path}", server.url))).await;
    answer.status.as_u16()
}

#[test]
fn who_is_too_fast_is_told_when_to_try_again_and_nobody_else_is_slower() {
    run(async {
        let limits = limit("user", "user", "calls = 3\nseconds = 60");
        let setup = Setup::new().tools(&["hello"]).await;
        let server = setup.limits(&limits).start().await;
        let (alice, bob) = (server.caller("alice"), server.caller("bob"));
        for _ in 0..3 {
            assert!(passed(&hello(&alice).await));
        }
        let refused = hello(&alice).await;
        let told = advice(&refused);
        assert_eq!(
            (&told["limit"], &told["reason"]),
            (&json!("user"), &json!("rate:user"))
        );
        let wait = told["retryAfterMs"].as_u64().unwrap();
        assert!((1..=20_000).contains(&wait), "{told}");
        assert!(
            refused
                .text()
                .contains("the limit `user` allows 3 in 60 s; wait ")
        );
        assert!(!refused.body.contains("alice"), "{refused:?}");
        assert!(passed(&hello(&bob).await));
        // By another client it is the same user.
        assert!(!passed(
            &hello(&server.caller("alice").via(&server, "web")).await
        ));
        let ends: Vec<_> = server.outcomes("hello").await;
        let refusal = serde_json::to_string(&ends[3]).unwrap();
        assert!(
            refusal.contains("\"limits\"") && refusal.contains("rate:user"),
            "{refusal}"
        );
        server.stop().await;
    });
}

#[test]
fn calls_at_once_are_bounded_for_one_user_and_another_finds_a_place() {
    run(async {
        let limits = limit("user-share", "user", "at_once = 1");
        let setup = Setup::new()
            .tools(&["hello"])
            .await
            .hurried(&["sleep_poll"])
            .await;
        let server = setup.limits(&limits).start().await;
        let (alice, bob) = (server.caller("alice"), server.caller("bob"));
        alice.call_allowed(&server, "sleep_poll", json!({})).await;
        let seen = Cell::new(false);
        // Again and again, for whichever of the two comes first has the place.
        let slow = async {
            while !seen.get() {
                alice.call("sleep_poll", json!({})).await;
            }
        };
        let meanwhile = async {
            let refused = until("a second call at once", async || {
                let answer = hello(&alice).await;
                (!passed(&answer)).then_some(answer)
            });
            let refused = refused.await;
            assert_eq!(advice(&refused)["reason"], "at-once:user-share");
            assert!(passed(&hello(&bob).await));
            seen.set(true);
        };
        tokio::join!(slow, meanwhile);
        assert!(passed(&hello(&alice).await));
        server.stop().await;
    });
}

#[test]
fn an_address_is_slowed_down_before_its_token_is_read_and_no_header_helps() {
    run(async {
        let limits = "count_loopback = true\n".to_owned()
            + &limit("address", "address", "calls = 4\nseconds = 60");
        let setup = Setup::new().tools(&["hello"]).await;
        let server = setup.limits(&limits).start().await;
        let alice = server.caller("alice");
        for _ in 0..4 {
            assert!(passed(&hello(&alice).await));
        }
        for forged in [
            ("x-request-note", "none"),
            ("x-forwarded-for", "203.0.113.7"),
            ("x-real-ip", "203.0.113.7"),
            ("forwarded", "for=203.0.113.7"),
            ("true-client-ip", "203.0.113.7"),
            ("cf-connecting-ip", "203.0.113.7"),
        ] {
            let request = alice
                .request("tools/list", json!({}))
                .header(forged.0, forged.1);
            let refused = Answer::read(request).await;
            assert_eq!(refused.status, 429, "{forged:?}");
            let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=15).contains(&wait), "{wait}");
            assert_eq!(
                refused.header("ratelimit-policy"),
                Some("\"address\";q=4;w=60")
            );
            let now = refused.header("ratelimit").unwrap();
            assert_eq!(now, format!("\"address\";r=0;t={wait}"));
            assert_eq!(refused.json()["limit"], "address");
            assert!(refused.header("www-authenticate").is_none());
        }
        let other = from("127.0.0.2");
        let answer = answer_from(&other, alice.request("tools/list", json!({}))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(probe(&server, "/healthz").await, 200);
        assert_eq!(probe(&server, "/readyz").await, 200);
        assert!(count(&server, "limit.hit").await >= 6);
        server.stop().await;
    });
}

#[test]
fn refused_tokens_slow_their_address_down_and_no_other() {
    run(async {
        let limits = "count_loopback = true\n".to_owned()
            + &limit("failures", "failures", "calls = 3\nseconds = 60");
        let setup = Setup::new().tools(&["hello"]).await;
        let server = setup.limits(&limits).start().await;
        let alice = server.caller("alice");
        let guess = server.caller("alice").bearing("guess");
        for _ in 0..20 {
            assert!(passed(&hello(&alice).await), "good tokens are no failures");
        }
        for _ in 0..4 {
            assert_eq!(hello(&guess).await.status, 401);
        }
        for one in [&guess, &alice] {
            let refused = hello(one).await;
            assert_eq!(refused.status, 429);
            assert_eq!(
                refused.header("ratelimit-policy"),
                Some("\"failures\";q=3;w=60")
            );
        }
        let other = from("127.0.0.3");
        let answer = answer_from(&other, alice.request("tools/list", json!({}))).await;
        assert_eq!(answer.status, 200);
        server.stop().await;
    });
}

#[test]
fn limits_are_followed_without_a_restart_and_a_bad_table_changes_nothing() {
    run(async {
        let limits = limit("user", "user", "calls = 1\nseconds = 3600");
        let setup = Setup::new().tools(&["hello"]).await;
        let server = setup.limits(&limits).follows().start().await;
        let alice = server.caller("alice");
        assert!(passed(&hello(&alice).await));
        assert_eq!(advice(&hello(&alice).await)["limit"], "user");

        let more = limit("other", "user", "calls = 3\nseconds = 3600");
        server.write_limits(&format!("[limits]\ndefaults = false\n{more}"));
        until("the new limit", async || {
            passed(&hello(&alice).await).then_some(())
        })
        .await;
        assert_eq!(count(&server, "limits.changed").await, 1);

        server.write_limits(
            "[limits]\ndefaults = false\n[[limit]]\nname = \"none\"\nper = \"user\"\n",
        );
        until("the refusal", async || {
            (count(&server, "limits.refused").await == 1).then_some(())
        })
        .await;
        assert!(passed(&hello(&alice).await));
        assert!(passed(&hello(&alice).await));
        assert_eq!(advice(&hello(&alice).await)["limit"], "other");
        assert_eq!(count(&server, "limits.changed").await, 1);
        server.stop().await;
    });
}

#[test]
fn a_daily_budget_outlives_a_restart_and_ends_with_its_day_whatever_the_clock_does() {
    run(async {
        let day = Duration::from_secs(24 * 3600);
        let limits = limit("day", "user", "daily_calls = 3");
        let setup = Setup::new().tools(&["hello"]).await;
        let clock = ManualClock::new(SystemClock.now());
        let server = setup.limits(&limits).clock(clock.clone()).start().await;
        let now = clock.now();
        let by_that_clock = json!({"iat": now.secs(), "exp": now.plus(3 * day).secs()});
        let caller = |user| server.caller(user).with(&server, by_that_clock.clone());
        let (alice, bob) = (caller("alice"), caller("bob"));
        assert!(passed(&hello(&alice).await));
        assert!(passed(&hello(&alice).await));
        let server = server.restart("").await;
        assert!(passed(&hello(&alice).await));
        let refused = hello(&alice).await;
        assert_eq!(advice(&refused)["reason"], "daily:day");
        assert!(passed(&hello(&bob).await));
        let server = server.restart("").await;
        assert!(!passed(&hello(&alice).await));
        clock.advance(day);
        assert!(passed(&hello(&alice).await));
        server.stop().await;
    });
}

#[test]
fn what_finds_no_place_is_refused_early_and_health_and_administrators_get_in() {
    run(async {
        let administrators = r#"@id("roots") permit (principal in Role::"admin", action in Action::"admin", resource);"#;
        let setup = Setup::new()
            .tools(&["hello"])
            .await
            .more_rules(administrators);
        let server = setup.limits("requests_in_flight_max = 2\n").start().await;
        let alice = server.caller("alice");
        assert!(passed(&hello(&alice).await));
        // Those whose bodies never come: as many as it takes, for one that comes while another call is answered finds no place.
        let address = server.url.trim_start_matches("http://");
        let head = format!(
            "POST /mcp HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n",
            alice.token
        );
        let mut held = Vec::new();
        let began = Instant::now();
        let refused = until("the places are taken", async || {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            held.push(stream);
            let answer = hello(&alice).await;
            (answer.status == 503).then_some(answer)
        })
        .await;
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert!(began.elapsed() < Duration::from_secs(10));
        for path in ["/healthz", "/readyz"] {
            assert_eq!(probe(&server, path).await, 200);
        }
        let root = server.token("root", json!({"scope": "tools:call admin"}));
        let status = http()
            .get(format!("{}/admin/status", server.url))
            .bearer_auth(root);
        assert_eq!(Answer::read(status).await.status, 200);
        assert_ne!(probe(&server, "/consents").await, 503);
        for mut stream in held {
            stream.shutdown().await.unwrap();
            let _ = stream.read(&mut [0; 64]).await;
        }
        until("a place is free", async || {
            passed(&hello(&alice).await).then_some(())
        })
        .await;
        assert!(count(&server, "limit.hit").await >= 1);
        server.stop().await;
    });
}

#[test]
fn a_call_without_a_place_in_the_sandbox_uses_up_nothing_and_is_refused_before_its_consent() {
    run(async {
        let setup = Setup::new().tools(&["memory"]).await.calls(1);
        let setup = setup.guests(&["spin"]).await;
        let server = setup
            .limits(&limit("writes", "user-tool", "calls = 2\nseconds = 3600"))
            .start()
            .await;
        let (alice, bob) = (server.caller("alice"), server.caller("bob"));
        let remember = async || {
            let milk = json!({"name": "milk", "text": "two litres"});
            alice.call("memory_remember", milk).await
        };
        let link = remember().await.link().unwrap();
        server.decide(&link, "alice", Choice::Once).await;
        let spinning = tokio::spawn(async move { bob.call("spin", json!({})).await });
        until("the place is taken", async || {
            let begun = server.intents("spin").await;
            (!begun.is_empty()).then_some(())
        })
        .await;
        // More often than the limit allows.
        for _ in 0..3 {
            let refused = remember().await;
            assert_eq!(refused.status, 503, "{refused:?}");
            assert_eq!(refused.header("retry-after"), Some("1"));
        }
        let ends = server.outcomes("memory_remember").await;
        let full = ends.iter().filter(|end| {
            let result = end.result.as_ref().unwrap();
            result.status == "overloaded"
        });
        assert_eq!(full.count(), 3, "{ends:?}");
        assert!(server.intents("memory_remember").await.is_empty());
        spinning.abort();
        let answer = until("the place is free", async || {
            let answer = remember().await;
            (answer.status != 503).then_some(answer)
        })
        .await;
        assert!(answer.is_reply(), "{answer:?}");
        let next = remember().await;
        assert!(next.link().is_some(), "{next:?}");
        server.stop().await;
    });
}

#[test]
fn a_flood_of_throttled_calls_leaves_few_records_that_count_them_all() {
    run(async {
        let limits = limit("user", "user", "calls = 1\nseconds = 3600");
        let setup = Setup::new().tools(&["hello"]).await;
        let server = setup.limits(&limits).start().await;
        let alice = server.caller("alice");
        for _ in 0..100 {
            hello(&alice).await;
        }
        let each = server.outcomes("hello").await.len() - 1;
        let all = server.records().await;
        let counted = all.iter().filter(|one| one.record.kind == "call.throttled");
        let counted = counted.filter_map(|one| one.record.facts["count"].as_u64());
        let counted: u64 = counted.sum();
        assert_eq!(counted + u64::try_from(each).unwrap(), 99);
        assert!(each < 99, "{each}");
        server.stop().await;
    });
}

#[test]
fn a_flood_of_calls_without_a_place_leaves_few_records_that_count_them_all() {
    run(async {
        let setup = Setup::new().tools(&["hello"]).await.calls(1);
        let server = setup.guests(&["spin"]).await.start().await;
        let (alice, bob) = (server.caller("alice"), server.caller("bob"));
        let spinning = tokio::spawn(async move { bob.call("spin", json!({})).await });
        until("the place is taken", async || {
            let begun = server.intents("spin").await;
            (!begun.is_empty()).then_some(())
        })
        .await;
        for n in 0..100 {
            // Whoever floods may as well ask for what there is not: the answer is the same.
            let tool = if n < 50 { "hello" } else { "nothing" };
            let refused = alice.call(tool, json!({"name": "Ada"})).await;
            assert_eq!(refused.status, 503, "{n}: {refused:?}");
            assert_eq!(refused.header("retry-after"), Some("1"), "{n}");
        }
        // What needs no place is answered, and nobody else became a number.
        let listed = alice.list().await;
        assert!(listed.contains(&"hello".to_owned()), "{listed:?}");
        let carol = server.caller("carol");
        assert_eq!(hello(&carol).await.status, 503);
        let all = server.records().await;
        let mut full = HashMap::<_, usize>::new();
        for Stored { record, .. } in &all {
            let result = record.result.as_ref();
            if result.is_some_and(|result| result.status == "overloaded") {
                *full.entry(record.subject).or_default() += 1;
            }
        }
        let mut full: Vec<_> = full.into_values().collect();
        full.sort_unstable();
        assert_eq!(full, [1, 10], "of carol and of alice");
        let counted = all
            .iter()
            .filter(|one| one.record.kind == "call.overloaded");
        let counted = counted.filter_map(|one| one.record.facts["count"].as_u64());
        assert_eq!(counted.sum::<u64>(), 90);
        spinning.abort();
        until("the place is free", async || {
            passed(&hello(&alice).await).then_some(())
        })
        .await;
        server.stop().await;
    });
}
