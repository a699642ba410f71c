//! What a tool with the web in its grant gets of it, and what comes of whoever wants more; and what of a reply reaches a model.

use std::io::Write;

use bailiwick::store::ConsentFilter;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::harness::{Answer, Browser, Canary, Server, Setup, Upstream, packed, run, toml_of};

const URL: &str = "http://example.com/";

/// A server with this guest, for which `example.com` is this upstream.
async fn serving(guest: &str, upstream: &Upstream) -> Server {
    let setup = Setup::new().guests(&[guest]).await;
    setup.host("example.com", upstream.port, true).start().await
}

async fn asked(server: &Server, guest: &str, arguments: Value) -> Answer {
    let alice = server.caller("alice");
    let answer = alice.call_allowed(server, guest, arguments).await;
    assert!(answer.is_reply(), "{answer:?}");
    answer
}

#[test]
fn a_path_is_a_path_whatever_is_written_into_it() {
    run(async {
        let upstream = Upstream::start().await;
        let server = serving("http_absolute_form", &upstream).await;
        let both = json!({"host": "example.com", "other": "other.example"});
        asked(&server, "http_absolute_form", both).await;
        let seen = upstream.seen();
        assert!(!seen.is_empty());
        for head in seen {
            let line = head.lines().next().unwrap_or_default();
            assert!(line.starts_with("GET /"), "{head}");
            let hosts: Vec<_> = head
                .lines()
                .filter(|line| line.to_ascii_lowercase().starts_with("host:"))
                .collect();
            assert_eq!(hosts, ["host: example.com"], "{head}");
        }
        server.stop().await;
    });
}

#[test]
fn where_a_redirect_leads_is_checked_like_any_other_address() {
    run(async {
        let canary = Canary::start().await;
        let targets = [
            format!("http://127.0.0.1:{}/", canary.port),
            format!("http://localhost:{}/", canary.port),
            format!("http://closed.test:{}/", canary.port),
            format!("https://example.com:{}/", canary.port),
            "file:///etc/passwd".to_owned(),
            URL.to_owned(),
        ];
        let body = targets.join("\n");
        let upstream = Upstream::answering(format!(
            "HTTP/1.1 302 Found\r\nlocation: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            targets[0],
            body.len()
        ))
        .await;
        let setup = Setup::new().guests(&["http_redirect"]).await;
        let setup = setup.host("example.com", upstream.port, true);
        let server = setup.host("closed.test", canary.port, false).start().await;
        let report = asked(&server, "http_redirect", json!({"url": URL})).await;
        let report = report.structured();
        let statuses: Vec<_> = report["probes"].as_array().unwrap().iter().collect();
        let statuses: Vec<_> = statuses.iter().map(|probe| &probe["status"]).collect();
        let (first, rest) = statuses.split_first().unwrap();
        let (last, refused) = rest.split_last().unwrap();
        assert_eq!((*first, *last), (&json!(302), &json!(302)));
        assert!(refused.iter().all(|status| status.is_null()), "{report}");
        assert_eq!(refused.len(), 5);
        assert_eq!(canary.touched(), 0);
        server.stop().await;
    });
}

#[test]
fn errors_do_not_tell_which_ports_are_open() {
    run(async {
        let (upstream, canary) = (Upstream::start().await, Canary::start().await);
        let server = serving("http_port_scan", &upstream).await;
        let ports = json!({"ports": [canary.port, 1, 22, 443, 8080]});
        let told = asked(&server, "http_port_scan", ports).await;
        assert_eq!(told.text(), "http-request-denied");
        assert_eq!(canary.touched(), 0);
        server.stop().await;
    });
}

#[test]
fn no_length_hides_a_request_in_another() {
    run(async {
        let upstream = Upstream::start().await;
        let server = serving("http_content_length", &upstream).await;
        let report = asked(&server, "http_content_length", json!({"url": URL})).await;
        let report = report.structured();
        for probe in report["probes"].as_array().unwrap() {
            // A request of no length is whole, and may be answered before more is written and refused.
            let is_whole = probe["url"] == "0" && probe["status"] == 200;
            assert!(is_whole || probe["status"].is_null(), "{probe}");
            assert!(is_whole || probe["error"].is_string(), "{probe}");
        }
        let smuggled = |head: &String| head.starts_with("GET /smuggled");
        assert!(!upstream.seen().iter().any(smuggled));
        server.stop().await;
    });
}

#[test]
fn a_bomb_ends_at_what_a_call_may_receive() {
    run(async {
        let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
        bomb.write_all(&vec![0; 256 << 20]).unwrap();
        let bomb = bomb.finish().unwrap();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n",
            bomb.len()
        );
        let upstream = Upstream::answering([head.as_bytes(), &bomb].concat()).await;
        let server = serving("http_inflate", &upstream).await;
        let told = asked(&server, "http_inflate", json!({"url": URL})).await;
        let told = told.text();
        let (read, end) = told.split_once(' ').unwrap();
        assert_eq!(end, "http-response-body-size(none)", "{told}");
        let read: u64 = read.parse().unwrap();
        let most = bailiwick::limits::HTTP_BYTES_IN_MAX;
        assert!(read > most / 2 && read <= most, "{told}");
        server.stop().await;
    });
}

#[test]
fn so_many_answers_are_open_at_once_and_no_more() {
    run(async {
        let upstream = Upstream::start().await;
        let server = serving("never_read", &upstream).await;
        let told = asked(&server, "never_read", json!({"url": URL})).await;
        assert_eq!(told.text(), "8 connection-limit-reached");
        assert_eq!(upstream.count(), 8);
        server.stop().await;
    });
}

#[test]
fn a_budget_in_the_manifest_is_shown_kept_and_on_record() {
    run(async {
        let upstream = Upstream::start().await;
        let need: toml::Table = toml::from_str(
            "id = \"web\"\nkind = \"http\"\nhosts = [\"example.com\"]\nmethods = [\"GET\"]\nrequests = 3\nreceive_bytes = 4096\nreason = \"Reads.\"\noptional = false\n",
        )
        .unwrap();
        let package = packed("http_flood", &toml_of("http_flood", &[need])).await;
        let setup = Setup::new().package("http_flood", &package);
        let server = setup.host("example.com", upstream.port, true).start().await;
        let alice = server.caller("alice");
        let first = alice.call("http_flood", json!({"url": URL})).await;
        let link = first.link().expect("a question");
        let asked = server.asked(&link, "alice").await;
        assert_eq!(asked, ["http GET example.com / requests=3 receive=4096"]);
        let page = Browser::default().open(&link, "alice").await;
        let sentence = "; at most 3 requests, 4 KiB received in one call";
        assert!(page.html.contains(sentence), "{}", page.html);
        alice
            .call_allowed(&server, "http_flood", json!({"url": URL}))
            .await;
        assert_eq!(upstream.count(), 3);
        let intent = server.intents("http_flood").await.pop().unwrap();
        assert_eq!(
            intent.granted,
            ["http GET example.com / requests=3 receive=4096"]
        );
        let all = ConsentFilter::default();
        let kept = server.running.store.consents(&all).await.unwrap();
        let [kept] = kept.as_slice() else {
            panic!("one consent: {kept:?}");
        };
        assert_eq!(kept.capability.to_string(), asked[0]);
        // Narrower rules cut it, without a question.
        let rule =
            "@max_http(\"requests=2\") permit(principal, action == Action::\"use\", resource);";
        let server = server.restart(rule).await;
        let alice = server.caller("alice");
        let again = alice.call("http_flood", json!({"url": URL})).await;
        assert!(again.is_reply(), "{again:?}");
        assert_eq!(upstream.count(), 3 + 2);
        let intent = server.intents("http_flood").await.pop().unwrap();
        assert_eq!(
            intent.granted,
            ["http GET example.com / requests=2 receive=4096"]
        );
        server.stop().await;
    });
}

#[test]
fn what_a_person_cannot_see_is_named_for_a_model_as_well() {
    run(async {
        let server = Setup::new().guests(&["reply_invisible"]).await;
        let server = server.start().await;
        let answer = asked(&server, "reply_invisible", json!({})).await;
        let result = answer.result();
        let blocks = result["content"].as_array().unwrap();
        let texts: Vec<_> = blocks
            .iter()
            .map(|one| one["text"].as_str().unwrap())
            .collect();
        assert_eq!(
            texts,
            [
                "sunny⟨U+E0069 and 15 more⟩",
                "sunny⟨U+E0169 and 15 more⟩",
                "sunny⟨U+200D and 127 more⟩",
                "sun⟨U+200B⟩ny ⟨U+202E⟩ecin⟨U+202C⟩",
                "👩\u{200d}🔬 可\u{e0100} می\u{200c}خواهم",
            ]
        );
        assert_eq!(result["_meta"]["bailiwick/marked"], 163, "{result}");
        let outcome = server.outcomes("reply_invisible").await.pop().unwrap();
        assert_eq!(outcome.facts["hidden_out"], json!(163));
        let alice = server.caller("alice");
        let picture = alice
            .call("reply_invisible", json!({"picture": true}))
            .await;
        assert!(picture.is_tool_error(), "{picture:?}");
        assert!(!format!("{picture:?}").contains("script"), "{picture:?}");
        server.stop().await;
    });
}
