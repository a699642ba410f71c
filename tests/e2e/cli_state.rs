//! The commands that work on the state: consents, and the audit log.

use bailiwick::clock::{Clock, SystemClock};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use sqlx::{Connection, SqliteConnection};

use crate::cli::bailiwick;
use crate::harness::{Setup, Upstream, run};

#[test]
fn the_operator_sees_revokes_and_records_consents_while_the_server_runs() {
    run(async {
        let upstream = Upstream::start().await;
        let setup = Setup::new().guests(&["http_any", "revoked_write"]).await;
        let setup = setup.host("example.com", upstream.port, true);
        let server = setup.machines().start().await;
        server.write_config();
        let consent = |more: &[&str]| {
            let all = [&["consent", more[0], "--dir", "."], &more[1..]].concat();
            bailiwick(server.dir(), &all)
        };
        let page = json!({"url": "http://example.com/"});
        assert!(
            consent(&["list"])
                .ends(0)
                .contains("there is no such consent")
        );

        // For a user, and for a service account, which has nobody else to consent.
        let (alice, machine) = (server.caller("alice"), server.caller("dev-client"));
        assert!(alice.call("http_any", page.clone()).await.link().is_some());
        assert!(
            machine
                .call("http_any", page.clone())
                .await
                .text()
                .contains("no user")
        );
        for user in ["alice", "dev-client"] {
            let for_user = [
                "pre-consent",
                "--user",
                user,
                "--client",
                "dev-client",
                "--tool",
                "http_any",
            ];
            assert!(consent(&for_user).ends(0).contains("recorded"));
        }
        assert!(alice.call("http_any", page.clone()).await.is_reply());
        assert!(machine.call("http_any", page.clone()).await.is_reply());
        let bob = server.caller("bob");
        assert!(
            bob.call("http_any", page.clone()).await.link().is_some(),
            "and for nobody else"
        );

        let listed = consent(&["list", "--user", "alice", "--json"]).ends(0);
        let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
        assert_eq!(listed.as_array().unwrap().len(), 1);
        assert_eq!(listed[0]["decided_by"], "operator");
        assert_eq!(listed[0]["standing"], "active");
        let id = listed[0]["id"].as_str().unwrap();
        let shown = consent(&["show", id]).ends(0);
        assert!(
            shown.contains("http GET * /") && shown.contains("operator"),
            "{shown}"
        );
        assert!(consent(&["list"]).ends(0).lines().count() == 2);

        // Signed, and the same that its user downloads.
        let receipt = consent(&["show", id, "--receipt"]).ends(0);
        let receipt: serde_json::Value = serde_json::from_str(&receipt).unwrap();
        let said = receipt["payload"].as_str().unwrap();
        let said = URL_SAFE_NO_PAD.decode(said).unwrap();
        let said: serde_json::Value = serde_json::from_slice(&said).unwrap();
        assert_eq!(said["consent"]["id"], id);
        assert_eq!(said["consent"]["decided"]["by"], "operator");
        assert_eq!(said["iss"], server.url);

        // Nothing is suspended, so nothing is resumed.
        assert!(
            consent(&["resume", "--tool", "http_any"])
                .ends(0)
                .contains("0 resumed")
        );
        assert!(consent(&["resume", id]).ends(1).contains("stays as it is"));
        consent(&["resume"]).ends(1);

        let why = ["revoke", id, "--reason", "No longer needed."];
        assert!(consent(&why).ends(0).contains("1 revoked"));
        consent(&["revoke", id]).ends(1);
        assert!(alice.call("http_any", page.clone()).await.link().is_some());
        assert!(
            machine.call("http_any", page).await.is_reply(),
            "the other stands"
        );
        let log = bailiwick(
            server.dir(),
            &[
                "audit",
                "show",
                "--dir",
                ".",
                "--kind",
                "consent.revoked",
                "--json",
            ],
        );
        assert!(log.ends(0).contains(r#""by":"operator""#));
        bailiwick(server.dir(), &["audit", "verify", "--dir", "."]).ends(0);
        server.stop().await;
    });
}

#[test]
fn the_operator_agrees_for_nobody_to_what_writes() {
    run(async {
        let server = Setup::new().guests(&["revoked_write"]).await.start().await;
        server.write_config();
        let refused = [
            "consent",
            "pre-consent",
            "--dir",
            ".",
            "--user",
            "alice",
            "--client",
            "dev-client",
            "--tool",
            "revoked_write",
        ];
        let refused = bailiwick(server.dir(), &refused);
        assert!(
            refused.complaints.contains("only T0 and T1"),
            "{}",
            refused.complaints
        );
        refused.ends(1);
        let none = bailiwick(server.dir(), &["consent", "revoke", "--dir", "."]);
        assert!(none.complaints.contains("say which"), "{}", none.complaints);
        none.ends(1);
        let unknown = uuid::Uuid::nil().to_string();
        bailiwick(server.dir(), &["consent", "show", "--dir", ".", &unknown]).ends(1);
        let list = bailiwick(server.dir(), &["consent", "list", "--dir", ".", "--all"]);
        assert!(list.ends(0).contains("there is no such consent"));
        server.stop().await;
    });
}

#[test]
fn a_record_that_was_changed_is_named() {
    run(async {
        let server = Setup::new().tools(&["hello"]).await.start().await;
        server.write_config();
        let alice = server.caller("alice");
        for name in ["Ada", "Bob", "Carol"] {
            assert!(alice.call("hello", json!({"name": name})).await.is_reply());
        }
        let records = server.records().await;
        let last = records
            .iter()
            .rev()
            .find(|one| one.record.kind == "tool.call")
            .unwrap()
            .seq;

        // A copy, as whoever has the file could make one.
        let copy = tempfile::tempdir().unwrap();
        for name in ["bailiwick.toml", "state.db", "state.db-wal"] {
            std::fs::copy(server.dir().join(name), copy.path().join(name)).unwrap();
        }
        let verify = ["audit", "verify", "--config", "bailiwick.toml"];
        let whole = bailiwick(copy.path(), &verify).ends(0);
        assert!(whole.contains("the log is whole"), "{whole}");

        let file = format!("sqlite://{}", copy.path().join("state.db").display());
        let mut connection = SqliteConnection::connect(&file).await.unwrap();
        for statement in [
            "DROP TRIGGER audit_is_append_only_update",
            "UPDATE audit SET record = replace(record, 'dev-client', 'dev-cliemt') WHERE seq = (SELECT max(seq) FROM audit WHERE record LIKE '%\"tool.call\"%')",
        ] {
            sqlx::query(statement)
                .execute(&mut connection)
                .await
                .unwrap();
        }
        connection.close().await.unwrap();
        let broken = bailiwick(copy.path(), &verify).ends(3);
        assert!(
            broken.contains("NOT whole") && broken.contains(&last.to_string()),
            "{broken}"
        );
        // The server's own log is untouched.
        bailiwick(server.dir(), &verify).ends(0);
        server.stop().await;
    });
}

#[test]
fn records_are_shown_by_what_they_are_about() {
    run(async {
        let server = Setup::new().tools(&["hello", "notes"]).await.start().await;
        server.write_config();
        let alice = server.caller("alice");
        assert!(alice.call("hello", json!({"name": "Ada"})).await.is_reply());
        let note = json!({"name": "a", "text": "b"});
        assert!(
            alice
                .call_allowed(&server, "notes_write", note)
                .await
                .is_reply()
        );
        server.records().await;
        let show = |more: &[&str]| {
            let arguments = [&["audit", "show", "--config", "bailiwick.toml"], more].concat();
            bailiwick(server.dir(), &arguments).ends(0)
        };
        let hello = show(&["--tool", "hello"]);
        assert!(
            hello.contains("tool.call hello") && hello.contains("replied"),
            "{hello}"
        );
        assert!(!hello.contains("notes"), "{hello}");
        let given = show(&["--kind", "consent.given"]);
        assert!(given.contains("files write notes"), "{given}");
        let json = show(&["--json", "--kind", "tool.call"]);
        for line in json.lines() {
            serde_json::from_str::<serde_json::Value>(line).unwrap();
        }
        // The greeting, the note that waited for its user, and the note.
        std::fs::create_dir(server.dir().join("none")).unwrap();
        let diff = [
            "policy",
            "diff",
            "--config",
            "bailiwick.toml",
            "none",
            "none",
        ];
        let out = bailiwick(server.dir(), &diff).ends(0);
        assert!(
            out.contains("recorded calls: 3 permitted, 0 refused"),
            "{out}"
        );
        server.stop().await;
    });
}

#[test]
fn a_consent_of_the_operator_can_begin_later_and_is_none_before() {
    run(async {
        let upstream = Upstream::start().await;
        let setup = Setup::new().guests(&["http_any"]).await;
        let setup = setup.host("example.com", upstream.port, true);
        let server = setup.start().await;
        server.write_config();
        let pre_consent = |from: &str| {
            let who = ["--user", "alice", "--client", "dev-client"];
            let what = ["--tool", "http_any", "--days", "7", "--from", from];
            let head = ["consent", "pre-consent", "--dir", "."];
            bailiwick(server.dir(), &[&head[..], &who, &what].concat())
        };
        let day = std::time::Duration::from_secs(24 * 3600);
        let tomorrow = SystemClock.now().plus(day).rfc3339();
        let tomorrow = &tomorrow[..10];
        let past = pre_consent("2020-01-01");
        assert!(past.complaints.contains("begins today at the earliest"));
        past.ends(1);
        pre_consent("tomorrow").ends(2);
        let said = pre_consent(tomorrow).ends(0);
        assert!(
            said.contains(&format!("from {tomorrow}T00:00:00")),
            "{said}"
        );
        let list = ["consent", "list", "--dir", "."];
        let listed = bailiwick(server.dir(), &list).ends(0);
        assert!(
            listed.contains("not-yet") && listed.contains("until"),
            "{listed}"
        );
        let page = json!({"url": "http://example.com/"});
        let alice = server.caller("alice");
        assert!(alice.call("http_any", page).await.link().is_some());
        // Her own page says from when on it holds.
        let mut browser = crate::harness::Browser::default();
        let address = format!("{}/consents", server.url);
        let shown = browser.open(&address, "alice").await;
        assert!(shown.html.contains("Allowed from"), "{shown:?}");
        server.stop().await;
    });
}
