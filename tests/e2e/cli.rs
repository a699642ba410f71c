//! The commands about configuration, packages and rules, as an operator or an author runs them.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::harness::{Setup, config_text, free_ports, private_file, program, run, tool};

/// What a command said and how it ended.
pub struct Ran {
    pub status: Option<i32>,
    pub out: String,
    pub complaints: String,
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
pub async fn folder(tools: &[&str], rules: &str) -> tempfile::TempDir {
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
        private_file(&folder.path().join("secret"), "s3cret\n");
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
