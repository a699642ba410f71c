//! The state under encryption: what its files show, and that nothing is lost by restarts, rotations and missing keys.

use bailiwick::ids::Digest;
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};

use crate::cli::{Ran, bailiwick};
use crate::harness::{Browser, Caller, Server, Setup, http, run};
use crate::sealed::sealing;

const REMEMBERED: &str = "canary-7e01 is at home";
const ACTOR: &str = "canary-7e02";
const ALICE: &str = "alice";

async fn keeper(sealed: bool) -> Server {
    let setup = if sealed {
        sealing(Setup::new())
    } else {
        Setup::new()
    };
    let server = setup.tools(&["memory"]).await.start().await;
    server.write_config();
    server
}

fn alice(server: &Server) -> Caller {
    server
        .caller("alice")
        .with(server, json!({"act": {"sub": ACTOR}}))
}

fn remember(text: &str) -> Value {
    json!({"name": "milk", "text": text})
}

async fn recalls(caller: &Caller, text: &str) {
    let answer = caller.call("memory_recall", json!({"name": "milk"})).await;
    assert!(
        answer.is_reply() && answer.body.contains(text),
        "{answer:?}"
    );
}

/// Alice agrees on the page, and what she says is kept.
async fn filled(server: &Server) -> Caller {
    filled_by(alice(server), ALICE).await
}

/// The same of this user.
async fn filled_by(caller: Caller, name: &str) -> Caller {
    for (tool, arguments) in [
        ("memory_remember", remember(REMEMBERED)),
        ("memory_recall", json!({"name": "milk"})),
    ] {
        let asked = caller.call(tool, arguments.clone()).await;
        if let Some(link) = asked.link() {
            let page = Browser::default().decide(&link, name, "allow-until").await;
            assert_eq!(page.status, 200, "{page:?}");
            let answer = caller.call(tool, arguments).await;
            assert!(answer.is_reply(), "{answer:?}");
        }
    }
    recalls(&caller, REMEMBERED).await;
    caller
}

/// Follows a link until it leads to the identity provider, and no further.
async fn begin_sign_in(server: &Server, link: String) {
    let mut next = url::Url::parse(&link).unwrap();
    while next.as_str().starts_with(&server.url) {
        let answer = http().get(next.clone()).send().await.unwrap();
        let location = answer.headers().get("location").expect("a sign-in");
        next = next.join(location.to_str().unwrap()).unwrap();
    }
    assert!(next.as_str().starts_with(&server.issuer), "{next}");
}

async fn sql(server: &Server, text: &'static str) -> String {
    let url = format!("sqlite://{}", server.dir().join("state.db").display());
    let mut state = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query_scalar(text)
        .fetch_one(&mut state)
        .await
        .unwrap()
}

/// How often these bytes stand in a file of the state, its write-ahead logs included.
fn found(server: &Server, wanted: &[u8]) -> usize {
    let mut all = 0;
    let mut files = 0;
    for file in std::fs::read_dir(server.dir()).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if !name.starts_with("state.db") {
            continue;
        }
        files += 1;
        let bytes = std::fs::read(&path).unwrap();
        let windows = bytes.windows(wanted.len());
        all += windows.filter(|window| *window == wanted).count();
    }
    assert!(
        files >= 4,
        "the state, its values and their logs are {files} files"
    );
    all
}

fn keys(server: &Server, arguments: &[&str]) -> Ran {
    let (verb, rest) = arguments.split_first().unwrap();
    let config = ["--config", "bailiwick.toml"];
    bailiwick(
        server.dir(),
        &[&["keys", *verb], &config[..], rest].concat(),
    )
}

fn consents(server: &Server) -> Ran {
    bailiwick(
        server.dir(),
        &["consent", "list", "--config", "bailiwick.toml"],
    )
}

#[test]
fn what_is_kept_at_rest_is_in_no_byte_of_the_state() {
    run(async {
        for sealed in [false, true] {
            let server = keeper(sealed).await;
            let alice = filled(&server).await;
            // A sign-in that is begun and not finished, and a question that is open.
            let asked = alice.call("memory_forget", json!({"name": "milk"})).await;
            let bob = server
                .caller("bob")
                .call("memory_remember", remember("x"))
                .await;
            let link = asked.link().or(bob.link()).unwrap();
            begin_sign_in(&server, link).await;
            let store = &server.running.store;
            let hash: Digest = sql(&server, "SELECT id_hash FROM ticket WHERE state = 'open'")
                .await
                .parse()
                .unwrap();
            let question = store.ticket(hash).await.unwrap().unwrap();
            let own = store
                .secret(None, "audit.arguments", [0; 32].into())
                .await
                .unwrap();
            for (what, wanted) in [
                ("a kept value", REMEMBERED.as_bytes()),
                ("who acted when it was agreed", ACTOR.as_bytes()),
                ("a sign-in", b"\"verifier\":\""),
                ("a question", question.shown.as_bytes()),
                ("a key of the server's own", own.as_slice()),
            ] {
                let times = found(&server, wanted);
                assert_eq!(times == 0, sealed, "{what} is found {times} times");
            }
            // Nor after the logs were written into their files.
            server.running.stages.audit.flush().await.unwrap();
            let server = server.restart("").await;
            recalls(&self::alice(&server), REMEMBERED).await;
            assert_eq!(found(&server, REMEMBERED.as_bytes()) == 0, sealed);
        }
    });
}

#[test]
fn nothing_is_lost_by_restarts_and_by_rotations_under_load() {
    run(async {
        let server = keeper(true).await;
        let alice = filled(&server).await;
        let load = tokio::spawn(async move {
            for n in 0..40 {
                let answer = alice
                    .call("memory_remember", remember(&format!("note {n}")))
                    .await;
                assert!(answer.is_reply(), "{answer:?}");
                recalls(&alice, &format!("note {n}")).await;
            }
            alice
        });
        let dir = server.dir().to_owned();
        let rotated = tokio::task::spawn_blocking(move || {
            let rotate = ["keys", "rotate", "--config", "bailiwick.toml"];
            let mut said = String::new();
            for _ in 0..3 {
                said = bailiwick(&dir, &rotate).out;
            }
            said
        });
        let said = rotated.await.unwrap();
        let alice = load.await.unwrap();
        assert!(said.contains("the server: "), "{said}");
        assert!(
            said.contains("rows of the state encrypted anew under version 4"),
            "{said}"
        );
        assert!(
            said.contains("rows of kept values encrypted anew under version"),
            "{said}"
        );
        recalls(&alice, "note 39").await;
        let status = keys(&server, &["status"]).ends(0);
        assert!(
            status.contains("the server  rest        4  active"),
            "{status}"
        );
        let added = bailiwick(server.dir(), &["keys", "new", "seal.key"]).ends(0);
        assert!(added.contains("version 2"), "{added}");
        let told = keys(&server, &["rewrap"]);
        assert!(told.out.contains("nothing needs `file:1:"), "{}", told.out);
        let listed = consents(&server).ends(0);
        assert!(listed.contains("memory_remember"), "{listed}");
        let server = server.restart("").await;
        recalls(&self::alice(&server), "note 39").await;
        let log = ["audit", "verify", "--config", "bailiwick.toml"];
        bailiwick(server.dir(), &log).ends(0);
    });
}

#[test]
fn an_erased_tenant_is_asked_anew_and_has_an_empty_store() {
    run(async {
        let server = keeper(true).await;
        let alice = filled(&server).await;
        let told = keys(
            &server,
            &["erase", "--tenant", "dev", "--yes-destroy", "dev"],
        );
        assert!(
            told.out.contains("keys of its state are destroyed"),
            "{}",
            told.out
        );
        let asked = alice.call("memory_recall", json!({"name": "milk"})).await;
        assert!(asked.link().is_some(), "{asked:?}");
        let listed = consents(&server).ends(0);
        assert!(listed.contains("there is no such consent"), "{listed}");
        let link = asked.link().unwrap();
        Browser::default()
            .decide(&link, "alice", "allow-until")
            .await;
        let empty = alice.call("memory_recall", json!({"name": "milk"})).await;
        assert!(!empty.body.contains("canary"), "{empty:?}");
        let records = server.records().await;
        let erased = records
            .iter()
            .find(|one| one.json.contains("\"keys.erased\""));
        assert!(erased.unwrap().json.contains("\"rest_keys\":2"));
        let server = server.restart("").await;
        let answer = self::alice(&server)
            .call("memory_recall", json!({"name": "milk"}))
            .await;
        assert!(!answer.body.contains("canary"), "{answer:?}");
    });
}

#[test]
fn no_byte_of_the_state_names_a_user_of_an_erased_tenant() {
    run(async {
        let server = keeper(true).await;
        let alice = server.caller(ALICE);
        // A question that somebody else opens; then it is answered, and one of the answers is taken back.
        let asked = alice.call("memory_remember", remember("x")).await;
        let page = Browser::default()
            .open(&asked.link().unwrap(), "root")
            .await;
        assert!(!page.html.contains("memory_remember"), "{page:?}");
        let alice = filled_by(alice, ALICE).await;
        let by_tool = ["consent", "revoke", "--config", "bailiwick.toml", "--tool"];
        let revoke = [&by_tool[..], &["memory_recall"]].concat();
        bailiwick(server.dir(), &revoke).ends(0);
        let asked = alice.call("memory_recall", json!({"name": "milk"})).await;
        assert!(asked.link().is_some(), "{asked:?}");
        server.running.stages.audit.flush().await.unwrap();
        let named = "SELECT COUNT(audit_seq) || ' ' || COUNT(ended_seq) FROM consent";
        assert_eq!(sql(&server, named).await, "2 1");
        assert_eq!(sql(&server, "SELECT sub FROM foreign_visit").await, ALICE);
        assert!(found(&server, ALICE.as_bytes()) > 4);
        let erase = ["erase", "--tenant", "dev", "--yes-destroy", "dev"];
        let told = keys(&server, &erase).ends(0);
        assert!(told.contains("keys of its state"), "{told}");
        assert_eq!(found(&server, ALICE.as_bytes()), 0);
        let left = "SELECT CAST(COUNT(*) AS TEXT) FROM consent";
        assert_eq!(sql(&server, left).await, "0");
        assert!(consents(&server).ends(0).contains("no such consent"));
        // Nor once the server has begun anew and written more.
        let server = server.restart("").await;
        filled_by(server.caller("root"), "root").await;
        assert_eq!(found(&server, ALICE.as_bytes()), 0);
        let listed = consents(&server).ends(0);
        assert!(
            listed.contains("root") && !listed.contains(ALICE),
            "{listed}"
        );
        let log = ["audit", "verify", "--config", "bailiwick.toml"];
        bailiwick(server.dir(), &log).ends(0);
    });
}

#[test]
fn nothing_is_erased_of_a_state_in_the_clear() {
    run(async {
        let server = keeper(false).await;
        filled(&server).await;
        // In the clear there is no key to destroy, and nothing goes.
        let refused = keys(
            &server,
            &["erase", "--tenant", "dev", "--yes-destroy", "dev"],
        );
        assert!(
            refused.complaints.contains("has no `[seal]`"),
            "{}",
            refused.complaints
        );
        refused.ends(1);
        let left = "SELECT CAST(COUNT(*) AS TEXT) FROM consent WHERE sub = 'alice'";
        assert_eq!(sql(&server, left).await, "2");
    });
}

#[test]
fn the_log_shows_that_the_evidence_of_a_consent_was_changed() {
    run(async {
        let server = keeper(false).await;
        filled(&server).await;
        let id = sql(&server, "SELECT id FROM consent LIMIT 1").await;
        let show = ["consent", "show", id.as_str(), "--config", "bailiwick.toml"];
        let json = [&show[..], &["--json"]].concat();
        let shown = bailiwick(server.dir(), &json).ends(0);
        assert!(shown.contains(r#""evidence": "recorded""#), "{shown}");
        sql(&server, "UPDATE consent SET acr = 'gold' RETURNING id").await;
        let shown = bailiwick(server.dir(), &show).ends(3);
        assert!(shown.contains("differs"), "{shown}");
        let whose = ["--user", ALICE, "--tenant", "dev", "--issuer"];
        let erase = ["audit", "erase", "--config", "bailiwick.toml"];
        let erase = [&erase[..], &whose, &[server.issuer.as_str()]].concat();
        bailiwick(server.dir(), &erase).ends(0);
        let shown = bailiwick(server.dir(), &json).ends(0);
        assert!(shown.contains(r#""evidence": "unknown""#), "{shown}");
    });
}

#[test]
fn a_state_is_opened_with_its_keys_alone() {
    run(async {
        // One that was kept in the clear is taken over.
        let server = keeper(false).await;
        filled(&server).await;
        let issuer = server.issuer.clone();
        let config = std::fs::read_to_string(server.dir().join("bailiwick.toml")).unwrap();
        let dir = tempfile::tempdir().unwrap();
        server.running.stages.audit.flush().await.unwrap();
        for file in std::fs::read_dir(server.dir()).unwrap() {
            let path = file.unwrap().path();
            if path.is_file() {
                std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
            }
        }
        server.stop().await;
        let sealed = format!("{config}\n[seal]\nkey_file = \"seal.keys\"\n");
        let file = dir.path().join("bailiwick.toml");
        let list = ["consent", "list", "--dir", ".", "--all"];
        let verify = ["audit", "verify", "--config", "bailiwick.toml"];
        let run = |arguments: &[&str]| bailiwick(dir.path(), arguments);
        run(&["keys", "new", "seal.keys"]).ends(0);
        std::fs::write(&file, &sealed).unwrap();
        // Not by what only reads the log: that changes nothing.
        let standing = async || {
            let url = format!("sqlite://{}", dir.path().join("state.db").display());
            let mut state = SqliteConnection::connect(&url).await.unwrap();
            let rows = "SELECT (SELECT COUNT(*) FROM rest_state) || ' ' || (SELECT COUNT(*) FROM rest_key) || ' ' || \
                (SELECT COUNT(*) FROM secret) || ' ' || (SELECT MAX(seq) FROM audit)";
            let rows: String = sqlx::query_scalar(rows)
                .fetch_one(&mut state)
                .await
                .unwrap();
            rows
        };
        let before = standing().await;
        assert!(before.starts_with("0 0 "), "{before}");
        let whole = run(&verify).ends(0);
        assert!(whole.contains("checkpoints beside it"), "{whole}");
        let shown = [
            "audit",
            "show",
            "--user",
            "alice",
            "--issuer",
            issuer.as_str(),
            "--tenant",
            "dev",
            "--config",
            "bailiwick.toml",
        ];
        assert!(run(&shown).ends(0).contains("memory_remember"));
        for reads in ["key", "export"] {
            run(&["audit", reads, "--config", "bailiwick.toml"]).ends(0);
        }
        assert_eq!(standing().await, before);
        assert!(run(&list).ends(0).contains("memory_remember"));
        let key = run(&["audit", "key", "--config", "bailiwick.toml"]).ends(0);
        let with_key = [&verify[..], &["--key", key.trim()]].concat();
        // Without a word of keys it is refused, and loses nothing.
        std::fs::write(&file, &config).unwrap();
        let refused = run(&list);
        assert!(
            refused.complaints.contains("write the one that it had"),
            "{}",
            refused.complaints
        );
        refused.ends(1);
        // Checkpoints are checked by a key that is encrypted as well, unless it is named. The log itself is not.
        let refused = run(&verify);
        assert!(
            refused.complaints.contains("name it by `--key`"),
            "{}",
            refused.complaints
        );
        refused.ends(1);
        run(&with_key).ends(0);
        std::fs::write(&file, &sealed).unwrap();
        let key = std::fs::read(dir.path().join("seal.keys")).unwrap();
        std::fs::remove_file(dir.path().join("seal.keys")).unwrap();
        let refused = run(&list);
        assert!(
            refused.complaints.contains("its file cannot be opened"),
            "{}",
            refused.complaints
        );
        refused.ends(1);
        run(&["keys", "new", "seal.keys"]).ends(0);
        let refused = run(&list);
        assert!(
            refused.complaints.contains("is another key"),
            "{}",
            refused.complaints
        );
        refused.ends(1);
        // What needs nothing that is encrypted needs no key.
        run(&with_key).ends(0);
        std::fs::write(dir.path().join("seal.keys"), key).unwrap();
        assert!(run(&list).ends(0).contains("memory_remember"));
    });
}
