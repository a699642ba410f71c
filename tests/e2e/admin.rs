//! The administrators' door: a token for here, its scope, and a rule about it; without any of the three nobody comes in.

mod door;

use bailiwick::audit::Record;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{Answer, Server, Setup, Upstream, http, run, until};
use crate::outage::{FREE, FULL, behind};

const ADMINS: &str = r#"
@id("admins-administer")
permit (principal in Role::"admin", action in Action::"admin", resource);
"#;

/// Every path that there is, and some that there are not.
const PATHS: [(&str, &str); 9] = [
    ("GET", "/admin/status"),
    ("GET", "/admin/tools"),
    ("GET", "/admin/rules"),
    ("GET", "/admin/consents?user=alice"),
    ("POST", "/admin/consents/revoke"),
    ("GET", "/admin"),
    ("GET", "/admin/nothing/here"),
    ("DELETE", "/admin/status"),
    ("GET", "/admin/tools?limit=none"),
];

fn scoped(server: &Server, user: &str) -> String {
    server.token(user, json!({"scope": "tools:call admin"}))
}

async fn ask(server: &Server, method: &str, path: &str, token: Option<&str>) -> Answer {
    let method: Method = method.parse().unwrap();
    let is_post = method == Method::POST;
    let mut request = http().request(method, format!("{}{path}", server.url));
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if is_post {
        request = request.json(&json!({"user": "alice"}));
    }
    Answer::read(request).await
}

async fn get(server: &Server, path: &str, token: &str) -> Value {
    let answer = ask(server, "GET", path, Some(token)).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    answer.json()
}

async fn revoke(server: &Server, token: &str, body: Value) -> Answer {
    let request = http().post(format!("{}/admin/consents/revoke", server.url));
    Answer::read(request.bearer_auth(token).json(&body)).await
}

/// Whether it is a problem of this status, as RFC 9457 says it.
fn is_problem(answer: &Answer, status: u16) -> bool {
    let body = answer.json();
    answer.status.as_u16() == status
        && answer.header("content-type") == Some("application/problem+json")
        && body["status"] == status
        && body["type"] == "about:blank"
        && body["detail"].is_string()
}

async fn records(server: &Server, kind: &str) -> Vec<Record> {
    let all = server.records().await.into_iter();
    all.map(|stored| stored.record)
        .filter(|record| record.kind == kind)
        .collect()
}

fn reason(record: &Record) -> &str {
    let result = record.result.as_ref();
    result
        .and_then(|result| result.reason.as_deref())
        .unwrap_or_default()
}

#[test]
fn an_administrator_sees_state_tools_and_rules_in_pages() {
    run(async {
        let setup = Setup::new().tools(&["hello", "notes"]).await;
        let setup = setup.config("[tools.tags]\nhello = [\"greeting\"]\n");
        let server = setup.more_rules(ADMINS).start().await;
        let root = scoped(&server, "root");

        let status = get(&server, "/admin/status", &root).await;
        assert_eq!(status["reasons"], json!([]));
        assert_eq!(status["rules"]["count"], 3);
        assert_eq!(status["tools"]["served"], 5, "{status}");

        let all = get(&server, "/admin/tools", &root).await;
        assert_eq!(all["next"], Value::Null);
        let names: Vec<_> = all["items"].as_array().unwrap().iter().collect();
        let names: Vec<_> = names.iter().map(|one| &one["name"]).collect();
        assert_eq!(
            names,
            [
                "hello",
                "notes_delete",
                "notes_list",
                "notes_read",
                "notes_write"
            ],
            "{all}"
        );
        assert_eq!(all["items"][0]["tags"], json!(["greeting"]));
        assert_eq!(all["items"][0]["tier"], "T0");
        assert_eq!(
            all["items"][4]["needs"][0]["capabilities"],
            json!(["files write notes"])
        );
        let digest = all["items"][0]["component_digest"].as_str().unwrap();
        assert_eq!(digest.trim_start_matches("sha256:").len(), 64, "{digest}");

        let mut after = String::new();
        let mut seen = Vec::new();
        loop {
            let page = get(&server, &format!("/admin/tools?limit=1{after}"), &root).await;
            seen.extend(page["items"].as_array().unwrap().clone());
            let Some(next) = page["next"].as_str() else {
                break;
            };
            after = format!("&after={next}");
        }
        assert_eq!(Value::Array(seen), all["items"]);

        let rules = get(&server, "/admin/rules", &root).await;
        assert_eq!(rules["digest"], status["rules"]["digest"]);
        assert_eq!(rules["items"].as_array().unwrap().len(), 3);
        assert_eq!(rules["items"][0]["id"], "admins-administer");
        assert_eq!(rules["items"][0]["about"], "admin");
        assert_eq!(rules["items"][0]["file"], "rules.cedar");
        assert!(rules["items"][0]["line"].is_number());

        for (path, status) in [
            ("/admin/nothing", 404),
            ("/admin/status/", 404),
            ("/admin/tools?limit=0", 400),
            ("/admin/tools?limit=501", 400),
            ("/admin/tools?secret=1", 400),
            ("/admin/consents?tenant=%00", 400),
            ("/admin/consents/revoke", 405),
        ] {
            let answer = ask(&server, "GET", path, Some(&root)).await;
            assert!(is_problem(&answer, status), "{path}: {answer:?}");
        }
        for (body, status) in [
            (json!({}), 400),
            (json!({"ids": []}), 400),
            (json!({"ids": ["no id"]}), 400),
            (
                json!({"ids": ["01a20444-b10c-7dd8-9bac-a4c3f0620f99"], "user": "alice"}),
                400,
            ),
            (json!({"all": true}), 400),
        ] {
            let answer = revoke(&server, &root, body.clone()).await;
            assert!(is_problem(&answer, status), "{body}: {answer:?}");
        }
        server.stop().await;
    });
}

#[test]
fn what_is_wrong_with_the_rules_is_told_and_what_was_in_force_stays() {
    run(async {
        let server = Setup::new().more_rules(ADMINS).start().await;
        let root = scoped(&server, "root");
        let file = server.dir().join("policy.d/more.cedar");
        std::fs::write(&file, "\npermit(principal, action, resource) when { 1 };").unwrap();
        let status = until("the rules are refused", async || {
            let status = get(&server, "/admin/status", &root).await;
            (status["ready"] == false).then_some(status)
        })
        .await;
        assert_eq!(
            status["reasons"],
            json!(["the rules in force are not those of the folder"])
        );
        let problem = &status["rules"]["problems"][0];
        assert_eq!(
            (&problem["file"], &problem["line"]),
            (&json!("more.cedar"), &json!(2))
        );
        std::fs::remove_file(&file).unwrap();
        let status = until("they are in force again", async || {
            let status = get(&server, "/admin/status", &root).await;
            (status["ready"] == true).then_some(status)
        })
        .await;
        assert_eq!(status["rules"]["problems"], json!([]));
        server.stop().await;
    });
}

#[test]
fn an_administrator_takes_a_consent_back_and_the_calls_of_its_user_end() {
    run(async {
        let upstream = Upstream::slow(std::time::Duration::from_millis(40)).await;
        let setup = Setup::new().guests(&["http_flood"]).await.calls(8);
        let setup = setup.host("example.com", upstream.port, true);
        let server = setup.more_rules(ADMINS).start().await;
        let (alice, root) = (server.caller("alice"), scoped(&server, "root"));
        let address = json!({"url": "http://example.com/"});
        let link = alice.call("http_flood", address.clone()).await.link();
        let hour = crate::harness::for_an_hour();
        assert!(server.decide(&link.unwrap(), "alice", hour).await);
        let calls: Vec<_> = (0..4)
            .map(|_| {
                let (alice, address) = (alice.clone(), address.clone());
                tokio::spawn(async move { alice.call("http_flood", address).await })
            })
            .collect();
        until("every call has begun", async || {
            (upstream.seen().len() >= 4).then_some(())
        })
        .await;

        let listed = get(&server, "/admin/consents?user=alice", &root).await;
        let id = listed["items"][0]["id"].clone();
        assert_eq!(listed["items"][0]["standing"], "active");
        assert_eq!(listed["items"][0]["tenant"], "dev");

        // Without the role nothing happens to it.
        let hers = scoped(&server, "alice");
        let refused = revoke(&server, &hers, json!({"ids": [id]})).await;
        assert!(is_problem(&refused, 403), "{refused:?}");
        let still = get(&server, "/admin/consents?user=alice", &root).await;
        assert_eq!(still["items"][0]["standing"], "active");

        let done = revoke(&server, &root, json!({"ids": [id]})).await;
        assert_eq!(done.json()["revoked"], json!([id]), "{done:?}");
        for call in calls {
            let answer = call.await.unwrap();
            assert!(answer.text().contains("revoked"), "{answer:?}");
        }
        assert!(alice.call("http_flood", address).await.link().is_some());
        let again = revoke(&server, &root, json!({"ids": [id]})).await;
        assert_eq!(again.json()["ended_before"], json!([id]), "{again:?}");
        let live = get(&server, "/admin/consents?user=alice", &root).await;
        assert_eq!(live["items"], json!([]));
        let all = get(&server, "/admin/consents?user=alice&all=true", &root).await;
        assert_eq!(all["items"][0]["standing"], "revoked");

        // The record of the change leads to the record of who asked for it, which was durable before.
        let change = records(&server, "consent.revoked").await.pop().unwrap();
        assert_eq!(change.facts["by"], "admin");
        let asked = records(&server, "admin.request").await;
        let intent = asked.iter().find(|one| {
            json!(one.event_id.to_string()) == change.facts["request"] && one.decision.is_some()
        });
        let intent = intent.unwrap_or_else(|| panic!("{asked:?}"));
        assert_eq!(intent.facts["action"], "admin:revoke");
        assert_ne!(intent.subject, change.subject, "one asked about another");
        server.stop().await;
    });
}

#[test]
fn an_administrator_reaches_the_records_of_another_tenant_only_where_a_rule_names_it() {
    run(async {
        let north_of_south = r#"
@id("overseers") permit (principal in Role::"overseer", action in Action::"admin", resource == Tenant::"south");
"#;
        let setup = Setup::new().tools(&["notes"]).await.more_rules(ADMINS);
        let server = setup.more_rules(north_of_south).start().await;
        let note = json!({"name": "milk", "text": "Buy some."});
        let hour = crate::harness::for_an_hour();
        for (user, tenant) in [("alice", "north"), ("bob", "south")] {
            let caller = server.caller(user).with(&server, json!({"tenant": tenant}));
            let link = caller.call("notes_write", note.clone()).await.link();
            assert!(server.decide(&link.unwrap(), user, hour).await);
        }
        let of = |roles: Value| {
            let claims = json!({"scope": "tools:call admin", "tenant": "north", "roles": roles});
            server.token("root", claims)
        };
        let (admin, overseer) = (of(json!(["admin"])), of(json!(["overseer"])));

        // One's own tenant, whether it is named or not, and nothing of another.
        let own = get(&server, "/admin/consents", &admin).await;
        assert_eq!(own["items"].as_array().unwrap().len(), 1, "{own}");
        assert_eq!(own["items"][0]["sub"], "alice");
        assert_eq!(
            get(&server, "/admin/consents?tenant=north", &admin).await,
            own
        );
        let path = "/admin/consents?tenant=south";
        let foreign = ask(&server, "GET", path, Some(&admin)).await;
        assert!(is_problem(&foreign, 403), "{foreign:?}");
        let theirs = get(&server, path, &overseer).await["items"][0].clone();
        assert_eq!(theirs["sub"], "bob");
        let not_own = ask(&server, "GET", "/admin/consents", Some(&overseer)).await;
        assert!(is_problem(&not_own, 403), "{not_own:?}");

        // By id, by filter, or by name of the tenant: it stays.
        let id = theirs["id"].clone();
        let by_id = revoke(&server, &admin, json!({"ids": [id]})).await.json();
        assert_eq!(by_id["unknown"], json!([id]), "{by_id}");
        let by_user = revoke(&server, &admin, json!({"user": "bob"})).await;
        assert_eq!(by_user.json()["revoked"], json!([]));
        let named = revoke(&server, &admin, json!({"tenant": "south", "ids": [id]})).await;
        assert!(is_problem(&named, 403), "{named:?}");
        let still = get(&server, path, &overseer).await;
        assert_eq!(still["items"][0]["standing"], "active");

        let done = revoke(
            &server,
            &overseer,
            json!({"tenant": "south", "user": "bob"}),
        )
        .await;
        assert_eq!(done.json()["revoked"], json!([id]), "{done:?}");
        assert_eq!(
            get(&server, "/admin/consents", &admin).await["items"][0]["standing"],
            "active"
        );
        server.stop().await;
    });
}

#[test]
fn what_cannot_be_recorded_is_not_done() {
    run(async {
        let setup = Setup::new().tools(&["notes"]).await.more_rules(ADMINS);
        let server = setup.start().await;
        let root = scoped(&server, "root");
        let note = json!({"name": "milk", "text": "Buy some."});
        let alice = server.caller("alice");
        let answer = alice.call_allowed(&server, "notes_write", note).await;
        assert!(answer.is_reply(), "{answer:?}");
        behind(&server, FULL).await;
        let refused = revoke(&server, &root, json!({"user": "alice"})).await;
        assert!(is_problem(&refused, 503), "{refused:?}");
        let unseen = ask(&server, "GET", "/admin/consents", Some(&root)).await;
        assert!(
            is_problem(&unseen, 503),
            "nothing is shown without a record: {unseen:?}"
        );
        behind(&server, FREE).await;
        let listed = until("the log can be written again", async || {
            let answer = ask(&server, "GET", "/admin/consents", Some(&root)).await;
            (answer.status == 200).then(|| answer.json())
        })
        .await;
        assert_eq!(listed["items"][0]["standing"], "active");
        server.stop().await;
    });
}
