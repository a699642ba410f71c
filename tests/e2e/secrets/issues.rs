//! The tool `issues` against a double of its API.

use std::time::Duration;

use bailiwick::limits::SECRET_FRESH_MAX;
use serde_json::json;

use super::host::{Host, answer, bearer};
use super::{is_clean, said};
use crate::harness::{Setup, for_an_hour, private_file, run};

const ISSUE: &str = r#"{"id":1,"number":7,"title":"The page is broken","state":"open","user":{"login":"ada","id":1},"labels":[{"id":2,"name":"bug","color":"f00"}],"comments":1,"updated_at":"2026-01-02T03:04:05Z","html_url":"https://github.com/acme/site/issues/7","body":"It shows nothing."}"#;

/// As GitHub answers, as far as the tool asks: nothing without the key.
fn github(path: &str, request: &str) -> Vec<String> {
    let json = "content-type: application/json; charset=utf-8\r\n";
    if bearer(request) != "canary-gh-5512-key" {
        let body = r#"{"message":"Bad credentials","documentation_url":"https://docs.github.com/rest","status":"401"}"#;
        return answer("401 Unauthorized", json, body);
    }
    let method = request.split(' ').next().unwrap_or_default();
    let comment = r#"{"id":9,"user":{"login":"grace"},"created_at":"2026-01-03T00:00:00Z","html_url":"https://github.com/acme/site/issues/7#issuecomment-9","body":"Here too."}"#;
    match (method, path) {
        ("GET", "/repos/acme/site/issues?state=open&per_page=30&page=1") => {
            answer("200 OK", json, &format!("[{ISSUE}]"))
        }
        ("GET", "/repos/acme/site/issues/7") => answer("200 OK", json, ISSUE),
        ("GET", "/repos/acme/site/issues/7/comments?per_page=20") => {
            answer("200 OK", json, &format!("[{comment}]"))
        }
        ("POST", "/repos/acme/site/issues") => answer("201 Created", json, ISSUE),
        ("POST", "/repos/acme/site/issues/7/comments") => answer("201 Created", json, comment),
        _ => answer("404 Not Found", json, r#"{"message":"Not Found"}"#),
    }
}

#[test]
fn issues_are_read_and_written_with_a_key_that_the_tool_never_has() {
    run(async {
        let value = "canary-gh-5512-key";
        let host = Host::start(github).await;
        let secret = "[[secret]]\nname = \"tracker\"\nfile = \"tracker\"\nhosts = [\"api.github.com\"]\nform = \"bearer\"\n\
                      [tools.config.issues]\napi = \"http://api.github.com\"\n";
        let setup = Setup::new()
            .tools(&["issues"])
            .await
            .secret_file("tracker", value);
        let setup = setup
            .host("api.github.com", host.port, false)
            .config(secret);
        let server = setup.start().await;
        let alice = server.caller("alice");
        let site = json!({"repository": "acme/site"});
        let asked = alice.call("issues_list", site.clone()).await;
        let link = asked.link().unwrap();
        let all = server.asked(&link, "alice").await;
        assert_eq!(
            all,
            [
                "http GET,POST api.github.com /repos/",
                "secret tracker api.github.com bearer"
            ]
        );
        server.decide(&link, "alice", for_an_hour()).await;
        let listed = alice.call("issues_list", site).await;
        assert_eq!(
            listed.structured()["issues"][0]["title"],
            "The page is broken",
            "{listed:?}"
        );
        let one = json!({"repository": "acme/site", "number": 7});
        let shown = alice
            .call_allowed(&server, "issues_show", one)
            .await
            .structured();
        assert_eq!(
            (&shown["text"], &shown["discussion"][0]["author"]),
            (&json!("It shows nothing."), &json!("grace"))
        );
        let new =
            json!({"repository": "acme/site", "title": "The page is broken", "labels": ["bug"]});
        let made = alice
            .call_allowed(&server, "issues_create", new)
            .await
            .structured();
        assert_eq!(made["number"], 7);
        let text = json!({"repository": "acme/site", "number": 7, "text": "Here too."});
        let made = alice
            .call_allowed(&server, "issues_comment", text)
            .await
            .structured();
        assert!(made["url"].as_str().unwrap().ends_with("#issuecomment-9"));
        let missing = json!({"repository": "acme/gone", "number": 7});
        let missing = alice.call("issues_show", missing).await;
        assert!(
            missing.text().contains("no such repository or issue"),
            "{missing:?}"
        );
        let seen = host.seen();
        assert!(
            seen.iter().all(|request| bearer(request) == value),
            "{seen:?}"
        );
        assert!(
            seen.iter()
                .any(|request| request.contains(r#"{"body":"Here too."}"#)),
            "{seen:?}"
        );
        is_clean("what was said", &said(&server).await, value);

        // Another key, and the tracker refuses it.
        private_file(&server.dir().join("tracker"), "another-key-altogether");
        tokio::time::sleep(SECRET_FRESH_MAX + Duration::from_millis(200)).await;
        let refused = alice
            .call("issues_list", json!({"repository": "acme/site"}))
            .await;
        assert!(
            refused.text().contains("does not take the server's key"),
            "{refused:?}"
        );
        server.stop().await;
    });
}
