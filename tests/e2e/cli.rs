//! The commands, as an operator or an author runs them.

use std::path::Path;
use std::process::Command;

use serde_json::json;
use sqlx::{Connection, SqliteConnection};

use crate::harness::{Setup, Upstream, config_text, free_ports, program, run, tool};

/// What a command said and how it ended.
pub struct Ran {
    status: Option<i32>,
    out: String,
    complaints: String,
}

impl Ran {
    #[track_caller]
    pub fn ends(self, status: i32) -> String {
        assert_eq!(self.status, Some(status), "{}{}", self.out, self.complaints);
        self.out
    }
}

pub fn bailiwick(folder: &Path, arguments: &[&str]) -> Ran {
    let output = Command::new(program())
        .args(arguments)
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .env_remove("BAILIWICK_CONFIG")
        .env("COLUMNS", "100")
        .output()
        .unwrap();
    Ran {
        status: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        complaints: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A folder with a configuration, some tools and these rules.
async fn folder(tools: &[&str], rules: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for sub in ["tools.d", "policy.d"] {
        std::fs::create_dir(folder.path().join(sub)).unwrap();
    }
    for name in tools {
        let file = folder.path().join(format!("tools.d/{name}.wasm"));
        std::fs::write(file, &*tool(name).await).unwrap();
    }
    std::fs::write(folder.path().join("policy.d/rules.cedar"), rules).unwrap();
    let port = free_ports();
    let config = config_text(&format!("http://127.0.0.1:{port}"), port, "");
    std::fs::write(folder.path().join("bailiwick.toml"), config).unwrap();
    folder
}

const USERS: &str = "@id(\"users\") permit (principal in Role::\"user\", action, resource);\n";

/// A text without what differs from build to build: digests, and the sizes of what was compiled.
fn plain(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_inclusive(' ').map(plain_word).collect();
        out.push_str(&words.concat());
        out.push('\n');
    }
    out
}

fn plain_word(word: &str) -> String {
    let core = word.trim_end().trim_end_matches(',');
    let core = core.trim_start_matches("sha256:");
    let is_digest = core.len() >= 12 && core.chars().all(|c| c.is_ascii_hexdigit());
    let is_size = core.len() >= 5 && core.chars().all(|c| c.is_ascii_digit());
    match (is_digest, is_size) {
        (true, _) => word.replace(core, "[digest]"),
        (false, true) => word.replace(core, "[size]"),
        (false, false) => word.to_owned(),
    }
}

#[test]
fn help_says_what_there_is() {
    let here = tempfile::tempdir().unwrap();
    insta::assert_snapshot!(bailiwick(here.path(), &["--help"]).ends(0));
}

#[test]
fn a_good_configuration_is_said_to_be_good() {
    run(async {
        let folder = folder(&["hello"], USERS).await;
        let out = bailiwick(folder.path(), &["check", "--config", "bailiwick.toml"]).ends(0);
        assert!(out.contains("all is well: 1 tools, 1 rules"), "{out}");
    });
}

#[test]
fn every_problem_is_told_at_once_with_file_and_line() {
    run(async {
        let folder = folder(&["hello"], "").await;
        let config = folder.path().join("bailiwick.toml");
        let good = std::fs::read_to_string(&config).unwrap();
        let bad = good.replace("sqlite://", "mysql://").replace(
            "public_url = \"http://127.0.0.1",
            "public_url = \"http://example.test",
        );
        std::fs::write(&config, bad).unwrap();
        let out = bailiwick(folder.path(), &["check", "--config", "bailiwick.toml"]).ends(1);
        assert!(
            out.contains("bailiwick.toml:3:") && out.contains("bailiwick.toml:10:"),
            "{out}"
        );
        let started = bailiwick(folder.path(), &["serve", "--config", "bailiwick.toml"]);
        assert!(
            started.complaints.contains("bailiwick.toml:3:"),
            "{}",
            started.complaints
        );
        started.ends(1);

        // With a configuration that can be read, packages and rules are looked at together.
        std::fs::write(&config, good).unwrap();
        std::fs::write(folder.path().join("tools.d/bad.wasm"), "not wasm").unwrap();
        let rules =
            format!("{USERS}\npermit (principal, action == Action::\"call:nothing\", resource);\n");
        std::fs::write(folder.path().join("policy.d/rules.cedar"), rules).unwrap();
        let out = bailiwick(folder.path(), &["check", "--config", "bailiwick.toml"]).ends(1);
        assert!(out.contains("bad.wasm: "), "{out}");
        assert!(out.contains("rules.cedar:3"), "{out}");
        assert!(out.contains("problem(s)"), "{out}");
    });
}

#[test]
fn what_the_server_would_stumble_over_is_told_before_it_starts() {
    run(async {
        let folder = folder(&["hello"], USERS).await;
        let check = || bailiwick(folder.path(), &["check", "--config", "bailiwick.toml"]);
        let config = folder.path().join("bailiwick.toml");
        let good = std::fs::read_to_string(&config).unwrap();

        let host = "[[egress.host]]\nname = \"api.test\"\naddress = \"127.0.0.1:9\"\n";
        std::fs::write(&config, format!("{good}{host}{host}")).unwrap();
        let out = check().ends(1);
        assert!(out.contains("`api.test` is bound twice"), "{out}");
        assert!(out.contains("bailiwick.toml:"), "{out}");

        let issuer = "[[issuer]]\nissuer = \"https://as.test\"\njwks_file = \"keys.json\"\nalgorithms = [\"ES256\"]\n[sign_in]\nissuer = \"https://as.test\"\nclient_id = \"b\"\nclient_secret_file = \"secret\"\n";
        std::fs::write(&config, format!("{good}{issuer}")).unwrap();
        let out = check().ends(1);
        assert!(out.contains("keys.json: "), "{out}");
        assert!(
            out.contains("secret: the client secret cannot be used"),
            "{out}"
        );
        assert!(out.contains("2 problem(s)"), "{out}");
        // Keys that are there and are none are told as well.
        std::fs::write(folder.path().join("secret"), "s3cret\n").unwrap();
        for keys in ["{}", "no JSON", "{\"keys\":[]}"] {
            std::fs::write(folder.path().join("keys.json"), keys).unwrap();
            let out = check().ends(1);
            assert!(out.contains("keys.json: "), "{keys}: {out}");
            assert!(out.contains("1 problem(s)"), "{keys}: {out}");
        }

        // One rule that is wrong in several ways is one to mend.
        std::fs::write(&config, good).unwrap();
        let rule = "permit (principal, action == Action::\"call:hello\", resource) when { resource.nothing && context.nothing };\n";
        std::fs::write(folder.path().join("policy.d/rules.cedar"), rule).unwrap();
        let out = check().ends(1);
        assert!(out.contains("1 problem(s)"), "{out}");
    });
}

#[test]
fn the_rule_that_decides_is_named() {
    run(async {
        let rules = format!(
            "{USERS}@id(\"no-mallory\") forbid (principal, action == Action::\"call:hello\", resource) when {{ context.args.name == \"Mallory\" }};\n"
        );
        let folder = folder(&["hello", "whoami-admin"], &rules).await;
        let explain = |user: &str, tool: &str, arguments: &str| {
            let arguments = [
                "explain",
                "--config",
                "bailiwick.toml",
                "--user",
                user,
                "--tool",
                tool,
                "--arguments",
                arguments,
            ];
            bailiwick(folder.path(), &arguments)
        };
        let out = explain("alice", "hello", r#"{"name":"Ada"}"#).ends(0);
        assert!(
            out.contains("by users") && out.contains("the call is permitted"),
            "{out}"
        );
        let out = explain("alice", "hello", r#"{"name":"Mallory"}"#).ends(1);
        assert!(
            out.contains("by no-mallory") && out.contains("forbidden by no-mallory"),
            "{out}"
        );
        let out = explain("alice", "whoami-admin", "{}").ends(1);
        assert!(out.contains("the role `admin`"), "{out}");
        let out = explain("root", "whoami-admin", "{}").ends(0);
        assert!(
            out.contains("roles    admin, user") || out.contains("roles    user, admin"),
            "{out}"
        );
        let out = explain("alice", "nothing", "{}").ends(1);
        assert!(out.contains("there is no tool `nothing`"), "{out}");
    });
}

#[test]
fn inspecting_a_package_says_everything_that_it_asks_for() {
    run(async {
        let folder = folder(&["notes"], USERS).await;
        let out = bailiwick(folder.path(), &["inspect", "tools.d/notes.wasm"]).ends(0);
        insta::assert_snapshot!(plain(&out));
        let json = bailiwick(folder.path(), &["inspect", "--json", "tools.d/notes.wasm"]).ends(0);
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            json["package"]["needs"][0]["capabilities"][0]["capability"],
            "files write notes"
        );
    });
}

#[test]
fn a_printed_token_is_good_for_the_server_of_its_folder() {
    run(async {
        let server = Setup::new().tools(&["hello"]).await.start().await;
        server.write_config();
        let arguments = ["token", "--dir", ".", "--user", "alice"];
        let token = bailiwick(server.dir(), &arguments).ends(0);
        let caller = server.caller("nobody").bearing(token.trim());
        assert!(
            caller
                .call("hello", json!({"name": "Ada"}))
                .await
                .is_reply()
        );
        let unknown = bailiwick(server.dir(), &["token", "--dir", ".", "--user", "mallory"]);
        assert!(
            unknown.complaints.contains("`alice` and `root`"),
            "{}",
            unknown.complaints
        );
        unknown.ends(1);
        server.stop().await;
    });
}

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

        assert!(consent(&["revoke", id]).ends(0).contains("1 revoked"));
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
        let broken = bailiwick(copy.path(), &verify).ends(1);
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

const EXPECT: &str = r#"
[caller.ada]
client = "desk"
claims = { sub = "ada", scope = "tools:call", roles = ["user"] }

[caller.eve]
client = "desk"
claims = { sub = "eve", scope = "tools:call", roles = ["guest"] }

[[case]]
name = "users greet"
caller = "ada"
tool = "hello"
arguments = { name = "Ada" }
expect = "allow"

[[case]]
name = "guests do not"
caller = "eve"
tool = "hello"
arguments = { name = "Ada" }
expect = "deny"
"#;

#[test]
fn rules_are_tested_and_compared_by_their_expectations() {
    run(async {
        let folder = folder(&["hello"], USERS).await;
        let here = folder.path();
        let file = here.join("bailiwick.toml");
        let issuer = "[[issuer]]\nissuer = \"https://as.test\"\njwks_file = \"keys.json\"\nalgorithms = [\"ES256\"]\nrequired_scopes = [\"tools:call\"]\n";
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{text}{issuer}")).unwrap();
        std::fs::write(here.join("expect.toml"), EXPECT).unwrap();
        std::fs::create_dir(here.join("policy.new")).unwrap();
        let everybody = "@id(\"everybody\") permit (principal, action, resource);\n";
        std::fs::write(here.join("policy.new/rules.cedar"), everybody).unwrap();
        let config = ["--config", "bailiwick.toml"];
        let policy = |words: &[&str]| bailiwick(here, &[&["policy"], words, &config].concat());

        let out = policy(&["test", "expect.toml"]).ends(0);
        assert!(out.contains("2 passed, 0 failed"), "{out}");
        let out = policy(&["test", "--rules", "policy.new", "expect.toml"]).ends(1);
        assert!(
            out.contains("expect.toml:18: expected deny, came out allow: by `everybody`"),
            "{out}"
        );
        for (bad, expected) in [
            ("", "there is no case"),
            (
                &*EXPECT.replace("tool = ", "tol = "),
                "expect.toml:13: unknown field `tol`",
            ),
            (
                &*EXPECT.replace("hello", "gone"),
                "expect.toml:18: there is no tool `gone`",
            ),
        ] {
            std::fs::write(here.join("bad.toml"), bad).unwrap();
            let out = policy(&["test", "bad.toml"]).ends(1);
            let expected = expected.replace("expect.toml", "bad.toml");
            assert!(out.contains(&expected), "{out}");
        }

        let diff = |new: &str| policy(&["diff", "--expect", "expect.toml", "policy.d", new]);
        let out = diff("policy.d").ends(0);
        assert!(out.contains("nothing differs"), "{out}");
        let out = diff("policy.new").ends(1);
        let grown = "+ eve may now call `hello`   (permitted by everybody)";
        assert!(out.contains(grown) && !out.contains("ada may"), "{out}");
        diff("policy.gone").ends(2);

        let matrix = ["explain", "--matrix", "expect.toml"];
        let out = bailiwick(here, &[&matrix[..], &config].concat()).ends(0);
        let rows: Vec<_> = out
            .lines()
            .map(|row| row.split_whitespace().collect::<Vec<_>>())
            .collect();
        assert!(
            rows.contains(&vec!["ada", "hello", "yes", "yes", "-", "-"]),
            "{out}"
        );
        assert!(
            rows.contains(&vec!["eve", "hello", "no", "no", "-", "-"]),
            "{out}"
        );

        let claims = r#"{"sub":"eve","scope":"tools:call","roles":["guest"]}"#;
        let explain = [
            "explain",
            "--claims",
            claims,
            "--tool",
            "hello",
            "--arguments",
            r#"{"name":"x"}"#,
        ];
        let out = bailiwick(here, &[&explain[..], &config].concat()).ends(1);
        assert!(
            out.contains(
                "`users` would permit it, but:\n    the caller must be in `Role::\"user\"`"
            ),
            "{out}"
        );
    });
}
