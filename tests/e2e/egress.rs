//! Requests of guests: only what is granted, only public addresses and hosts that the operator bound, and never a
//! header that says otherwise.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bailiwick::capability::HostName;
use bailiwick::egress::{Resolve, Resolving};
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};

use crate::harness::{Canary, Server, Setup, Upstream, packed, run, toml_of};

/// Requests at once: each refusal takes a tenth of a second on purpose.
const AT_ONCE: usize = 8;

/// A server with the guest that asks for whatever it is told to, and may do so at any public host on this port.
async fn on_port(port: u16) -> Setup {
    let need = format!(
        "id = \"web\"\nkind = \"http\"\nhosts = [\"*:{port}\"]\nmethods = [\"GET\"]\npath = \"/\"\nreason = \"Probes.\"\n"
    );
    let required = format!("{need}optional = false");
    let toml = toml_of("http_any", &[toml::from_str(&required).unwrap()]);
    let package = packed("http_any", &toml).await;
    Setup::new().package("http_any", &package)
}

fn statuses(report: &Value) -> Vec<&Value> {
    let probes = report["probes"].as_array().unwrap();
    probes.iter().map(|probe| &probe["status"]).collect()
}

#[test]
fn no_written_form_of_a_special_address_is_reached() {
    run(async {
        let guests = [
            "http_embedded_v4",
            "http_ip_literal",
            "http_loopback",
            "http_metadata",
            "http_odd_encodings",
            "http_special_name",
            "http_userinfo",
        ];
        let server = Setup::new().guests(&guests).await.start().await;
        let alice = server.caller("alice");
        for guest in guests {
            let answer = alice.call_allowed(&server, guest, json!({})).await;
            let report = answer.structured();
            assert!(statuses(&report).len() > 10, "{report}");
            assert!(
                statuses(&report).iter().all(|status| status.is_null()),
                "{report}"
            );
        }
        server.stop().await;
    });
}

#[test]
fn a_listener_of_this_machine_sees_no_connection_whatever_it_is_called() {
    run(async {
        let canary = Canary::start().await;
        let setup = on_port(canary.port).await;
        let server = setup
            .resolver(Always(vec![[127, 0, 0, 1].into()]))
            .start()
            .await;
        let alice = server.caller("alice");
        let anything = json!({"url": "https://name.test/"});
        alice.call_allowed(&server, "http_any", anything).await;

        let hosts = [
            "127.0.0.1",
            "127.1",
            "127.1.2.3",
            "localhost",
            "LOCALHOST.",
            "a.localhost",
            "0.0.0.0",
            "0",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "2130706433",
            "0x7f000001",
            "017700000001",
            "0x7f.1",
            "name.test",
            "public.example.org",
            "user@127.0.0.1",
            "%31%32%37.0.0.1",
        ];
        let urls = hosts.iter().flat_map(|host| {
            ["http", "https"].map(|scheme| format!("{scheme}://{host}:{}/", canary.port))
        });
        let answers: Vec<_> = stream::iter(urls)
            .map(|url| alice.call("http_any", json!({"url": url})))
            .buffered(AT_ONCE)
            .collect()
            .await;
        assert_eq!(answers.len(), 2 * hosts.len());
        for answer in answers {
            let probe = answer.structured();
            assert!(probe["status"].is_null(), "{probe}");
            assert!(probe["error"].is_string(), "{probe}");
        }
        assert_eq!(canary.touched(), 0);
        server.stop().await;
    });
}

/// Gives every name the same addresses.
struct Always(Vec<IpAddr>);

impl Resolve for Always {
    fn resolve<'a>(&'a self, _name: &'a HostName) -> Resolving<'a> {
        let addresses = self.0.clone();
        Box::pin(async move { Ok(addresses) })
    }
}

/// Gives a public address that leads nowhere at first, and this machine ever after.
struct Rebinding(Arc<AtomicUsize>);

impl Resolve for Rebinding {
    fn resolve<'a>(&'a self, _name: &'a HostName) -> Resolving<'a> {
        let asked = self.0.fetch_add(1, Ordering::SeqCst);
        // Within the addresses for public use, in a part of them that nobody has been given.
        let nowhere: IpAddr = "2e00::1".parse().unwrap();
        let address = if asked == 0 {
            nowhere
        } else {
            [127, 0, 0, 1].into()
        };
        Box::pin(async move { Ok(vec![address]) })
    }
}

async fn probe(server: &Server, url: String) -> Value {
    let alice = server.caller("alice");
    let answer = alice
        .call_allowed(server, "http_any", json!({"url": url}))
        .await;
    answer.structured()
}

#[test]
fn a_name_that_changes_its_address_reaches_nothing() {
    run(async {
        let canary = Canary::start().await;
        let asked = Arc::new(AtomicUsize::new(0));
        let setup = on_port(canary.port).await;
        let server = setup.resolver(Rebinding(Arc::clone(&asked))).start().await;
        let url = format!("https://rebinding.example.org:{}/", canary.port);
        for round in 1..=3 {
            let probe = probe(&server, url.clone()).await;
            assert!(probe["status"].is_null(), "{probe}");
            assert_eq!(
                asked.load(Ordering::SeqCst),
                round,
                "a name is resolved once"
            );
        }
        assert_eq!(canary.touched(), 0);
        server.stop().await;
    });
}

#[test]
fn one_special_address_among_many_spoils_the_name() {
    run(async {
        let canary = Canary::start().await;
        for special in [
            "127.0.0.1",
            "::1",
            "169.254.169.254",
            "10.0.0.1",
            "::ffff:127.0.0.1",
        ] {
            let both = vec!["2e00::1".parse().unwrap(), special.parse().unwrap()];
            let setup = on_port(canary.port).await;
            let server = setup.resolver(Always(both)).start().await;
            let url = format!("https://mixed.example.org:{}/", canary.port);
            let probe = probe(&server, url).await;
            assert!(probe["status"].is_null(), "{special}: {probe}");
            server.stop().await;
        }
        assert_eq!(canary.touched(), 0);
    });
}

#[test]
fn a_forged_header_changes_neither_where_a_request_goes_nor_where_it_ends() {
    run(async {
        let upstream = Upstream::start().await;
        let setup = Setup::new().guests(&["http_forge_host"]).await;
        let server = setup.host("example.com", upstream.port, true).start().await;
        let alice = server.caller("alice");
        let url = json!({"url": "http://example.com/"});
        let answer = alice.call_allowed(&server, "http_forge_host", url).await;
        assert!(answer.is_reply(), "{answer:?}");
        // A length that is no lie is a tool's to say. One that is ends its own connection, which serves no other request.
        let mut seen = upstream.seen();
        seen.retain(|head| !head.is_empty());
        assert!(!seen.is_empty());
        for head in seen {
            let head = head.to_ascii_lowercase();
            let hosts: Vec<_> = head
                .lines()
                .filter(|line| line.starts_with("host:"))
                .collect();
            assert_eq!(hosts, ["host: example.com"], "{head}");
            for forged in ["metadata.google", "upgrade:", "proxy-authorization:"] {
                assert!(!head.contains(forged), "{head}");
            }
            assert!(
                !head.contains("\r\n\r\n") || head.ends_with("\r\n\r\n"),
                "one request: {head}"
            );
        }
        server.stop().await;
    });
}

#[test]
fn a_host_that_the_operator_bound_is_reached_by_its_name_alone() {
    run(async {
        let upstream = Upstream::start().await;
        let setup = Setup::new().guests(&["http_any"]).await;
        let setup = setup.host("open.test", upstream.port, true);
        let server = setup
            .host("closed.test", upstream.port, false)
            .start()
            .await;
        let open = probe(&server, "http://open.test/".to_owned()).await;
        assert_eq!(open["status"], 200, "{open}");
        // `*` is any public host; a private one must be asked for by name.
        let closed = probe(&server, "http://closed.test/".to_owned()).await;
        assert!(closed["status"].is_null(), "{closed}");
        assert_eq!(upstream.seen().len(), 1);
        let outcome = server.outcomes("http_any").await.pop().unwrap();
        let used = outcome.result.unwrap().used.unwrap();
        assert!(
            used.effects.values().any(|effect| effect.refused == 1),
            "{used:?}"
        );
        server.stop().await;
    });
}

#[test]
fn a_method_or_a_path_that_is_not_granted_is_refused() {
    run(async {
        let upstream = Upstream::start().await;
        let needs: toml::Table = toml::from_str(
            "id = \"web\"\nkind = \"http\"\nhosts = [\"api.test\"]\nmethods = [\"GET\"]\npath = \"/v1/\"\nreason = \"Reads.\"\noptional = false\n",
        )
        .unwrap();
        let toml = toml_of("http_any", &[needs]);
        let package = packed("http_any", &toml).await;
        let setup = Setup::new().package("http_any", &package);
        let server = setup.host("api.test", upstream.port, false).start().await;
        let alice = server.caller("alice");
        for (method, url, status) in [
            ("GET", "http://api.test/v1/a", json!(200)),
            ("POST", "http://api.test/v1/a", Value::Null),
            ("DELETE", "http://api.test/v1/a", Value::Null),
            ("GET", "http://api.test/v2/a", Value::Null),
            ("GET", "http://api.test/v1", Value::Null),
            ("GET", "http://api.test/v1/../v2/a", Value::Null),
            ("GET", "http://api.test/v1/%2e%2e/v2/a", Value::Null),
            ("GET", "http://other.test/v1/a", Value::Null),
        ] {
            let arguments = json!({"url": url, "method": method});
            let answer = alice.call_allowed(&server, "http_any", arguments).await;
            assert_eq!(
                answer.structured()["status"],
                status,
                "{method} {url}: {answer:?}"
            );
        }
        assert_eq!(upstream.seen().len(), 1);
        server.stop().await;
    });
}

#[test]
fn a_flood_of_requests_ends_at_its_bound() {
    run(async {
        let upstream = Upstream::start().await;
        let setup = Setup::new().hurried(&["http_flood"]).await;
        let server = setup.host("example.com", upstream.port, true).start().await;
        let alice = server.caller("alice");
        let url = json!({"url": "http://example.com/"});
        alice.call_allowed(&server, "http_flood", url).await;
        let most = usize::try_from(bailiwick::limits::HTTP_REQUESTS_MAX).unwrap();
        assert!(
            (1..=most).contains(&upstream.seen().len()),
            "{}",
            upstream.seen().len()
        );
        server.stop().await;
    });
}
