//! Clients that describe themselves: what their users are shown, and what becomes of consents when the description changes.

mod places;

use std::net::IpAddr;
use std::time::Duration;

use bailiwick::capability::HostName;
use bailiwick::clock::Clock;
use bailiwick::egress::{Resolve, Resolving};
use bailiwick::store::{ConsentFilter, ConsentRow, ConsentState, Ender};
use serde_json::{Value, json};

use crate::cli::bailiwick;
use crate::harness::described::http;
use crate::harness::{
    Ahead, Browser, Caller, Canary, Described, Server, Setup, Upstream, run, until,
};

/// Longer than the least time for which a document is kept.
const STALE: Duration = Duration::from_secs(6 * 60);
/// Longer than a question stays open.
const EXPIRED: Duration = Duration::from_secs(11 * 60);
const PATH: &str = "/meta.json";

/// A server that reads descriptions at `clients.test`, with guests that ask web hosts.
async fn server(described: &Described, upstream: &Upstream, clock: &Ahead) -> Server {
    let more =
        "[client_metadata]\nprivate_origins = [\"https://clients.test\"]\nca_file = \"ca.pem\"\n";
    Setup::new()
        .guests(&["http_any", "http_flood"])
        .await
        .host("example.com", upstream.port, true)
        .host("clients.test", described.port, false)
        .host("other.test", described.port, false)
        .config(more)
        .file("ca.pem", described.root())
        .resolver(Inside)
        .clock(clock.clone())
        .start()
        .await
}

/// Says of every name that it is in here.
struct Inside;

impl Resolve for Inside {
    fn resolve<'a>(&'a self, _name: &'a HostName) -> Resolving<'a> {
        Box::pin(async { Ok(vec![IpAddr::from([127, 0, 0, 1])]) })
    }
}

fn page() -> Value {
    json!({"url": "http://example.com/"})
}

/// The link to the question that a call raises.
async fn asked(caller: &Caller, tool: &str) -> String {
    let answer = caller.call(tool, page()).await;
    answer.link().unwrap_or_else(|| panic!("{answer:?}"))
}

async fn rows(server: &Server) -> Vec<ConsentRow> {
    let consents = &server.running.stages.consents;
    consents.find(&ConsentFilter::default()).await.unwrap()
}

/// What the log says of events of this kind, the first first.
async fn facts(server: &Server, kind: &str) -> Vec<Value> {
    let records = server.records().await.into_iter();
    let of_kind = records.filter(|stored| stored.record.kind == kind);
    of_kind.map(|stored| json!(stored.record.facts)).collect()
}

/// Calls until what a reading beside a call found has taken effect.
async fn until_suspended(server: &Server, caller: &Caller) {
    until("the consents are suspended", async || {
        caller.call("http_any", page()).await;
        let rows = rows(server).await;
        rows.iter()
            .any(|row| row.state == ConsentState::Suspended)
            .then_some(())
    })
    .await;
}

#[test]
fn the_first_question_says_who_asks_and_the_record_keeps_it() {
    run(async {
        let described = Described::start("clients.test").await;
        described.describe(
            PATH,
            "Paint <b>& co",
            &["https://paint.example/cb", "http://127.0.0.1/cb"],
        );
        let (upstream, clock) = (Upstream::start().await, Ahead::default());
        let server = server(&described, &upstream, &clock).await;
        server.write_config();
        let id = described.id(PATH);
        let alice = server.caller("alice").via(&server, &id);
        let link = asked(&alice, "http_any").await;
        let mut browser = Browser::default();
        let page = browser.open(&link, "alice").await;
        for shown in [
            "<b><bdi>clients.test</bdi></b>",
            "this address is verified",
            "It calls itself “<bdi>Paint &#60;b&#62;&#38; co</bdi>”",
            "<bdi>http://127.0.0.1, paint.example</bdi>",
            id.as_str(),
        ] {
            assert!(page.html.contains(shown), "{shown}: {}", page.html);
        }
        let done = browser.decide(&link, "alice", "allow-until").await;
        assert!(done.html.contains("the tool may go on"), "{}", done.html);
        assert!(alice.call("http_any", self::page()).await.is_reply());
        let head = &described.seen()[0];
        assert!(head.starts_with("GET /meta.json HTTP/1.1\r\n"), "{head}");
        for never in ["authorization", "cookie", "referer", &alice.token] {
            assert!(
                !head.to_lowercase().contains(&never.to_lowercase()),
                "{head}"
            );
        }
        assert_eq!(described.seen().len(), 1);
        let row = rows(&server).await[0].id.to_string();
        let shown = bailiwick(
            server.dir(),
            &["consent", "show", &row, "--json", "--dir", "."],
        )
        .ends(0);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let known = &shown["client"]["known"];
        assert_eq!(known["kind"], "metadata-document");
        assert_eq!(
            known["redirect_hosts"],
            json!(["http://127.0.0.1", "paint.example"])
        );
        // Another client is asked about anew, and a client that nobody describes is shown as that.
        let other = server.caller("alice").via(&server, "plain-client");
        let page = browser
            .open(&asked(&other, "http_any").await, "alice")
            .await;
        assert!(
            page.html.contains("what it is cannot be verified here"),
            "{}",
            page.html
        );
        assert!(
            !page.html.contains("this address is verified"),
            "{}",
            page.html
        );
        server.stop().await;
    });
}

#[test]
fn other_redirect_hosts_suspend_what_all_users_agreed_to_until_the_client_is_what_it_was() {
    run(async {
        let described = Described::start("clients.test").await;
        described.describe(PATH, "Paint", &["https://paint.example/cb"]);
        let (upstream, clock) = (
            Upstream::slow(Duration::from_millis(80)).await,
            Ahead::default(),
        );
        let server = server(&described, &upstream, &clock).await;
        server.write_config();
        let id = described.id(PATH);
        let [alice, bob] = ["alice", "bob"].map(|user| server.caller(user).via(&server, &id));
        let mut browser = Browser::default();
        browser
            .open(&format!("{}/consents", server.url), "alice")
            .await;
        for (caller, user) in [(&alice, "alice"), (&bob, "bob")] {
            for tool in ["http_any", "http_flood"] {
                let link = asked(caller, tool).await;
                server
                    .decide(&link, user, crate::harness::for_an_hour())
                    .await;
            }
        }
        let other = server.caller("alice").via(&server, "plain-client");
        assert!(
            other
                .call_allowed(&server, "http_any", page())
                .await
                .is_reply()
        );
        assert!(alice.call("http_any", page()).await.is_reply());

        // Nothing is different, so nothing ends.
        clock.advance(STALE);
        assert!(alice.call("http_any", page()).await.is_reply());
        until("it was looked at again", async || {
            (described.seen().len() > 1).then_some(())
        })
        .await;
        assert!(alice.call("http_any", page()).await.is_reply());

        let before = upstream.count();
        let floods = alice.clone();
        let running = tokio::spawn(async move { floods.call("http_flood", page()).await });
        until("the call runs", async || {
            (upstream.count() > before).then_some(())
        })
        .await;
        described.describe(PATH, "Paint", &["https://evil.example/cb"]);
        clock.advance(STALE);
        until_suspended(&server, &bob).await;
        let ended = running.await.unwrap();
        assert!(
            ended.is_tool_error() && ended.text().contains("revoked"),
            "{ended:?}"
        );
        for row in rows(&server).await {
            let through = row.key.client.as_str() == id;
            let state = if through {
                ConsentState::Suspended
            } else {
                ConsentState::Active
            };
            assert_eq!(row.state, state, "{row:?}");
            assert!(!through || row.evidence.ended_by == Some(Ender::Client));
        }
        let suspended = facts(&server, "consent.suspended").await;
        assert_eq!(suspended.len(), 4);
        assert_eq!(suspended[0]["reason"], "redirect-hosts");
        assert_eq!(
            suspended[0]["redirect_hosts_before"],
            json!(["paint.example"])
        );
        assert_eq!(suspended[0]["redirect_hosts"], json!(["evil.example"]));
        assert!(other.call("http_any", page()).await.is_reply());

        // Users see it, and are asked anew with what is different.
        for at in ["/consents", "/consents/history"] {
            let page = browser.open(&format!("{}{at}", server.url), "alice").await;
            let told = "sign-ins of the client lead back to other hosts than before";
            assert!(page.html.contains(told), "{}", page.html);
        }
        let page = browser
            .open(&asked(&alice, "http_any").await, "alice")
            .await;
        let told =
            "Its sign-ins led back to paint.example then, and lead back to evil.example now.";
        assert!(page.html.contains(told), "{}", page.html);

        // The operator cannot let it hold again while sign-ins lead elsewhere.
        let resume = || {
            bailiwick(
                server.dir(),
                &["consent", "resume", "--client", &id, "--dir", "."],
            )
        };
        let refused = resume().ends(1);
        assert!(refused.contains("is not what it was"), "{refused}");
        described.describe(PATH, "Paint", &["https://paint.example/cb"]);
        assert!(resume().ends(0).contains("4 resumed"));
        clock.advance(STALE);
        until("bob is not asked any more", async || {
            bob.call("http_any", self::page())
                .await
                .link()
                .is_none()
                .then_some(())
        })
        .await;
        assert!(bob.call("http_any", self::page()).await.is_reply());
        let verified = bailiwick(server.dir(), &["audit", "verify", "--dir", "."]);
        verified.ends(0);
        server.stop().await;
    });
}

#[test]
fn another_name_is_noticed_for_what_reads_and_nobody_is_stopped() {
    run(async {
        let described = Described::start("clients.test").await;
        described.describe(PATH, "Paint", &["https://paint.example/cb"]);
        let (upstream, clock) = (Upstream::start().await, Ahead::default());
        let server = server(&described, &upstream, &clock).await;
        let alice = server.caller("alice").via(&server, &described.id(PATH));
        let mut browser = Browser::default();
        let consents = format!("{}/consents", server.url);
        browser.open(&consents, "alice").await;
        assert!(
            alice
                .call_allowed(&server, "http_any", page())
                .await
                .is_reply()
        );
        described.describe(PATH, "Pa\u{200b}int 2", &["https://paint.example/cb"]);
        clock.advance(STALE);
        until("it is on record", async || {
            assert!(alice.call("http_any", page()).await.is_reply());
            let told = facts(&server, "consent.client-changed").await;
            (!told.is_empty()).then_some(())
        })
        .await;
        let page = browser.open(&consents, "alice").await;
        let told = "It was called “Paint” then, and is called “Pa⟨U+200B⟩int 2” now.";
        assert!(page.html.contains(told), "{}", page.html);
        let history = browser.open(&format!("{consents}/history"), "alice").await;
        assert!(
            history.html.contains("Used through a changed client"),
            "{}",
            history.html
        );
        assert!(facts(&server, "consent.suspended").await.is_empty());
        server.stop().await;
    });
}

#[test]
fn a_question_that_expired_looks_at_its_client_anew() {
    run(async {
        let described = Described::start("clients.test").await;
        let (upstream, clock) = (Upstream::start().await, Ahead::default());
        let server = server(&described, &upstream, &clock).await;
        let alice = server.caller("alice").via(&server, &described.id(PATH));
        let first = asked(&alice, "http_any").await;
        described.describe(PATH, "Paint", &["https://paint.example/cb"]);
        assert_eq!(asked(&alice, "http_any").await, first, "the same question");
        clock.advance(EXPIRED);
        let second = asked(&alice, "http_any").await;
        assert_ne!(second, first);
        let row = server
            .running
            .store
            .ticket(crate::harness::ticket(&second).hash())
            .await;
        assert!(row.unwrap().unwrap().shown.contains("paint.example"));
        assert!(clock.now() > bailiwick::clock::SystemClock.now());
        server.stop().await;
    });
}
