//! Where descriptions of clients are read, and what stands there instead.

use super::*;

#[test]
fn whatever_stands_in_the_place_of_a_description_has_a_name_and_allows_nothing() {
    run(async {
        let described = Described::start("clients.test").await;
        let (upstream, clock) = (Upstream::start().await, Ahead::default());
        let server = server(&described, &upstream, &clock).await;
        let good = described
            .document("/x", "Paint", &["https://paint.example/cb"])
            .to_string();
        let elsewhere = described.document("/elsewhere", "Paint", &["https://paint.example/cb"]);
        let now = Duration::ZERO;
        let answers = [
            (
                "other-client",
                now,
                http("200 OK", "", &elsewhere.to_string()),
            ),
            (
                "redirect",
                now,
                http(
                    "302 Found",
                    "location: https://clients.test/good\r\n",
                    &good,
                ),
            ),
            (
                "too-large",
                now,
                http("200 OK", "", &"x".repeat(5 * 1024 * 1024)),
            ),
            (
                "too-slow",
                Duration::from_secs(20),
                http("200 OK", "", &good),
            ),
            ("not-json", now, http("200 OK", "", "<html>")),
            (
                "duplicate",
                now,
                http(
                    "200 OK",
                    "",
                    &format!("{{\"client_id\":\"x\",{}", &good[1..]),
                ),
            ),
            (
                "malformed",
                now,
                http("200 OK", "", &good.replace("redirect_uris", "uris")),
            ),
            ("missing", now, http("404 Not Found", "", &good)),
            ("status", now, http("503 Service Unavailable", "", &good)),
            ("broken", now, b"nothing of HTTP\r\n\r\n".to_vec()),
        ];
        let mut browser = Browser::default();
        let mut expected = Vec::new();
        for (n, (why, thinks, answer)) in answers.into_iter().enumerate() {
            // Each under its own address, and the same document everywhere: all but one are about `/x`.
            let path = if why == "other-client" {
                "/x".to_owned()
            } else {
                format!("/{n}")
            };
            let answer = match why {
                "duplicate" | "malformed" => {
                    let text = String::from_utf8(answer).unwrap();
                    let (_, body) = text.split_once("\r\n\r\n").unwrap();
                    http("200 OK", "", &body.replace("/x\"", &format!("{path}\"")))
                }
                _ => answer,
            };
            described.put(&path, thinks, answer);
            let alice = server.caller("alice").via(&server, &described.id(&path));
            let link = asked(&alice, "http_any").await;
            let page = browser.open(&link, "alice").await;
            for told in [
                "<p class=\"alert\">",
                "Only the address is known",
                "clients.test",
            ] {
                assert!(page.html.contains(told), "{why}, {told}: {}", page.html);
            }
            assert!(!page.html.contains("Paint"), "{why}: {}", page.html);
            expected.push(why);
        }
        let asked = facts(&server, "consent.asked").await;
        let found: Vec<_> = asked
            .iter()
            .map(|one| one["client_unread"].as_str().unwrap())
            .collect();
        assert_eq!(found, expected);
        assert_eq!(upstream.count(), 0);
        // What is refused can be allowed by nobody but its user: then the call goes on.
        let alice = server.caller("alice").via(&server, &described.id("/x"));
        assert!(
            alice
                .call_allowed(&server, "http_any", page())
                .await
                .is_reply()
        );
        server.stop().await;
    });
}

#[test]
fn a_client_id_leads_to_no_host_in_here_that_the_operator_did_not_name_for_it() {
    run(async {
        let described = Described::start("clients.test").await;
        let (upstream, clock) = (Upstream::start().await, Ahead::default());
        let canary = Canary::start().await;
        let server = server(&described, &upstream, &clock).await;
        let port = canary.port;
        let mut expected = Vec::new();
        for (id, why) in [
            (format!("https://127.0.0.1:{port}/"), "refused"),
            (format!("https://[::1]:{port}/"), "refused"),
            (format!("https://localhost:{port}/"), "refused"),
            (format!("https://inside.example.com:{port}/"), "refused"),
            (format!("https://service.internal:{port}/"), "refused"),
            // Bound for tools, and not named for this.
            ("https://other.test/".to_owned(), "refused"),
            // The issuer's own origin is trusted for its keys alone.
            (
                format!("{}/", server.issuer.replace("http:", "https:")),
                "refused",
            ),
            (format!("http://127.0.0.1:{port}/"), "plain-text"),
            (format!("{}/jwks", server.issuer), "plain-text"),
            ("http://clients.test/meta.json".to_owned(), "plain-text"),
            (format!("https://user@localhost:{port}/"), "address"),
            (format!("https://LOCALHOST:{port}/"), "address"),
            (format!("https://0x7f000001:{port}/"), "address"),
        ] {
            let alice = server.caller("alice").via(&server, &id);
            asked(&alice, "http_any").await;
            expected.push(why);
        }
        let asked = facts(&server, "consent.asked").await;
        let found: Vec<_> = asked
            .iter()
            .map(|one| one["client_unread"].as_str().unwrap())
            .collect();
        assert_eq!(found, expected);
        assert_eq!((canary.touched(), described.seen().len()), (0, 0));
        server.stop().await;
    });
}

#[test]
fn a_client_that_the_operator_names_is_not_looked_for_and_one_that_may_not_be_read_neither() {
    run(async {
        let described = Described::start("clients.test").await;
        described.describe(PATH, "Paint", &["https://paint.example/cb"]);
        let upstream = Upstream::start().await;
        let named = format!(
            "[[client]]\nid = \"{}\"\nname = \"Our own paint\"\n",
            described.id("/named")
        );
        let setup = Setup::new().guests(&["http_any"]).await;
        let server = setup
            .host("example.com", upstream.port, true)
            .host("clients.test", described.port, false)
            .config(&format!("{named}[client_metadata]\nread = false\nprivate_origins = [\"https://clients.test\"]\n"))
            .start()
            .await;
        let mut browser = Browser::default();
        for (path, told) in [
            (
                "/named",
                "the operator of this server knows it by this name",
            ),
            (
                PATH,
                "this server does not read what clients say of themselves",
            ),
        ] {
            let alice = server.caller("alice").via(&server, &described.id(path));
            let page = browser
                .open(&asked(&alice, "http_any").await, "alice")
                .await;
            assert!(page.html.contains(told), "{}", page.html);
        }
        assert!(described.seen().is_empty());
        server.stop().await;
    });
}

#[test]
fn check_tells_what_is_wrong_with_named_clients_and_authorities() {
    run(async {
        let folder = crate::cli::folder(&["hello"], "").await;
        let check = |more: &str| {
            let file = folder.path().join("bailiwick.toml");
            let text = std::fs::read_to_string(&file).unwrap();
            let other = folder.path().join("other.toml");
            std::fs::write(&other, format!("{text}{more}")).unwrap();
            bailiwick(folder.path(), &["check", "--config", "other.toml"])
        };
        let good = "[[client]]\nid = \"cli\"\nname = \"Ours\"\n";
        assert!(check(good).ends(0).contains("all is well"));
        let twice = check(&format!("{good}{good}")).ends(1);
        assert!(twice.contains("the client `cli` is named twice"), "{twice}");
        let missing = check("[client_metadata]\nca_file = \"none.pem\"\n").ends(1);
        assert!(missing.contains("none.pem` cannot be read"), "{missing}");
        std::fs::write(folder.path().join("empty.pem"), "no certificate").unwrap();
        let empty = check("[client_metadata]\nca_file = \"empty.pem\"\n").ends(1);
        assert!(empty.contains("empty.pem` cannot be read"), "{empty}");
    });
}
