//! The keys with which values are encrypted: the commands, while a server runs, and what a server does without its keys.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bailiwick::clock::{Clock, SystemClock};
use bailiwick::config::Config;
use bailiwick::protect::Handle;
use bailiwick::seal::{Owner, Plain, SealError, Seals};
use bailiwick::server;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::cli::{bailiwick, folder};
use crate::harness::{program, run};

const SEAL: &str = "[seal]\nkey_file = \"seal.keys\"\n";
const CONFIG: [&str; 2] = ["--config", "bailiwick.toml"];

/// A folder with a configuration that encrypts, and its key file.
async fn sealing() -> tempfile::TempDir {
    let folder = folder(&[], "").await;
    let file = folder.path().join("bailiwick.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}{SEAL}")).unwrap();
    let made = bailiwick(folder.path(), &["keys", "new", "seal.keys"]).ends(0);
    assert!(
        made.starts_with("made `seal.keys`: version 1, fingerprint "),
        "{made}"
    );
    folder
}

/// What a server with this configuration encrypts and opens with.
async fn seals(folder: &Path) -> Seals {
    let config = Config::read(&folder.join("bailiwick.toml")).unwrap();
    let state = server::State::open(&config, server::resolver(None)).await;
    let state = state.unwrap();
    let audit = state.audit(Arc::new(SystemClock)).await.unwrap();
    state.seals(&audit)
}

fn owner(tenant: &str) -> Owner {
    Owner {
        tenant: tenant.parse().unwrap(),
        publisher: "example".parse().unwrap(),
        package: "crm".parse().unwrap(),
    }
}

async fn sealed(seals: &Seals, owner: &Owner, number: usize) -> Vec<Handle> {
    let plain = |n: usize| Plain {
        field: "add:/email".to_owned(),
        class: "email".parse().unwrap(),
        value: Zeroizing::new(format!("canary {n}")),
        equal: n.is_multiple_of(2),
    };
    let now = SystemClock.now();
    let prepared = seals.prepare(owner, (0..number).map(plain).collect(), now);
    let prepared = prepared.await.unwrap();
    let handles = prepared.handles().to_vec();
    prepared.keep(now).await.unwrap();
    handles
}

async fn opens(seals: &Seals, owner: &Owner, handles: &[Handle]) {
    for (n, handle) in handles.iter().enumerate() {
        let sealed = seals.look(owner, handle, SystemClock.now()).await.unwrap();
        let open = seals.open(sealed).await.unwrap();
        assert_eq!(open.as_str(), format!("canary {n}"));
    }
}

fn keys(folder: &Path, arguments: &[&str]) -> crate::cli::Ran {
    let (verb, rest) = arguments.split_first().unwrap();
    bailiwick(folder, &[&["keys", *verb], &CONFIG[..], rest].concat())
}

fn status(folder: &Path) -> Vec<(String, String, u64, String, u64)> {
    let text = keys(folder, &["status", "--json"]).ends(0);
    let status: Value = serde_json::from_str(&text).unwrap();
    let all = status["keys"].as_array().unwrap().iter();
    // Those of what else is kept are in `at_rest`.
    let all = all.filter(|key| key["purpose"] != "rest");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    all.map(|key| {
        (
            text(&key["tenant"]),
            text(&key["purpose"]),
            key["version"].as_u64().unwrap(),
            text(&key["state"]),
            key["values"].as_u64().unwrap(),
        )
    })
    .collect()
}

fn key(
    tenant: &str,
    purpose: &str,
    version: u64,
    state: &str,
    values: u64,
) -> (String, String, u64, String, u64) {
    (
        tenant.to_owned(),
        purpose.to_owned(),
        version,
        state.to_owned(),
        values,
    )
}

#[test]
fn the_operator_rotates_rewraps_and_erases_while_a_server_encrypts() {
    run(async {
        let folder = sealing().await;
        let dir = folder.path();
        let early = keys(dir, &["status"]);
        assert!(
            early
                .complaints
                .contains("there are no encrypted values yet")
        );
        early.ends(1);
        let server = seals(dir).await;
        let (acme, rival) = (owner("acme"), owner("rival"));
        let ours = sealed(&server, &acme, 30).await;
        let theirs = sealed(&server, &rival, 3).await;

        let told = keys(dir, &["rotate", "--tenant", "acme"]).ends(0);
        assert_eq!(
            told,
            "acme: 30 values moved to version 2\nacme: version 1 is destroyed\n"
        );
        opens(&server, &acme, &ours).await;
        let all = keys(dir, &["rotate"]).ends(0);
        assert!(
            all.contains("acme: 30 values moved to version 3\n"),
            "{all}"
        );
        assert!(
            all.contains("rival: 3 values moved to version 2\n"),
            "{all}"
        );
        let mut now = status(dir);
        now.sort();
        assert_eq!(
            now,
            [
                key("acme", "equality", 1, "active", 0),
                key("acme", "value", 1, "retired", 0),
                key("acme", "value", 2, "retired", 0),
                key("acme", "value", 3, "active", 30),
                key("rival", "equality", 1, "active", 0),
                key("rival", "value", 1, "retired", 0),
                key("rival", "value", 2, "active", 3),
            ]
        );

        let added = bailiwick(dir, &["keys", "new", "seal.keys"]).ends(0);
        assert!(
            added.starts_with("added to `seal.keys`: version 2, "),
            "{added}"
        );
        let told = keys(dir, &["rewrap"]).ends(0);
        assert!(
            told.contains("5 keys are encrypted anew under `file:2:"),
            "{told}"
        );
        assert!(told.contains("nothing needs `file:1:"), "{told}");
        let text = std::fs::read_to_string(dir.join("seal.keys")).unwrap();
        let rest: Vec<_> = text
            .lines()
            .filter(|line| !line.starts_with("1 "))
            .collect();
        std::fs::write(dir.join("seal.keys"), rest.join("\n")).unwrap();
        opens(&seals(dir).await, &acme, &ours).await;
        opens(&server, &rival, &theirs).await;

        let wrong = keys(
            dir,
            &["erase", "--tenant", "acme", "--yes-destroy", "rival"],
        );
        assert!(wrong.complaints.contains("nothing was destroyed"));
        wrong.ends(1);
        keys(dir, &["erase", "--tenant", "acme"]).ends(2);
        opens(&server, &acme, &ours).await;
        let told = keys(dir, &["erase", "--tenant", "acme", "--yes-destroy", "acme"]).ends(0);
        assert!(
            told.starts_with(
                "2 keys of `acme` are destroyed; 30 values cannot be opened any more\n"
            ),
            "{told}"
        );
        assert!(told.contains("backups of"), "{told}");
        let refused = server.look(&acme, &ours[0], SystemClock.now()).await;
        assert!(matches!(refused, Err(SealError::Erased)));
        opens(&server, &rival, &theirs).await;
        let nobody = keys(
            dir,
            &["erase", "--tenant", "nobody", "--yes-destroy", "nobody"],
        );
        assert!(nobody.complaints.contains("there is no key of this tenant"));
        nobody.ends(1);
        opens(&server, &acme, &sealed(&server, &acme, 2).await).await;

        let log = bailiwick(
            dir,
            &["audit", "show", "--config", "bailiwick.toml", "--json"],
        )
        .ends(0);
        let kind = |line: &str| {
            let record: Value = serde_json::from_str(line).unwrap();
            assert!(!line.contains("canary"));
            record["type"].as_str().unwrap().to_owned()
        };
        let kinds: Vec<_> = log.lines().map(kind).collect();
        let count = |wanted: &str| kinds.iter().filter(|kind| *kind == wanted).count();
        // With those of the server, in the second rotation.
        assert_eq!(count("keys.made"), 4 + 3 + 1 + 1 + 2);
        assert_eq!((count("keys.rotating"), count("keys.rotated")), (4, 4));
        assert_eq!(count("keys.rewrapped"), 1);
        let erasing = kinds
            .iter()
            .position(|kind| kind == "keys.erasing")
            .unwrap();
        assert_eq!(kinds[erasing + 1], "keys.erased");
        bailiwick(dir, &["audit", "verify", "--config", "bailiwick.toml"]).ends(0);
        let key = text.lines().find(|line| line.starts_with("2 ")).unwrap();
        for said in [&log, &added, &told] {
            assert!(!said.contains(&key[2..]));
        }
    });
}

#[test]
fn a_rotation_that_is_killed_at_any_moment_loses_nothing_and_is_gone_on_with() {
    run(async {
        let folder = sealing().await;
        let dir = folder.path();
        let server = seals(dir).await;
        let acme = owner("acme");
        let mut batches = Vec::new();
        for _ in 0..2 {
            batches.push(sealed(&server, &acme, 8_000).await);
        }
        let mut broken_off = 0;
        for wait in [20, 60, 100, 140, 180, 220] {
            let mut child = Command::new(program())
                .args([
                    "keys",
                    "rotate",
                    "--tenant",
                    "acme",
                    "--config",
                    "bailiwick.toml",
                ])
                .current_dir(dir)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            tokio::time::sleep(Duration::from_millis(wait)).await;
            // SIGKILL: nothing of the process runs any more.
            child.kill().unwrap();
            let ended = child.wait().unwrap();
            broken_off += usize::from(!ended.success());
            opens(&server, &acme, &batches[0][..20]).await;
            let new = sealed(&server, &acme, 3).await;
            opens(&server, &acme, &new).await;
        }
        assert!(broken_off > 0);
        keys(dir, &["rotate", "--tenant", "acme"]).ends(0);
        for batch in &batches {
            opens(&seals(dir).await, &acme, batch).await;
        }
        let now = status(dir);
        let values: Vec<_> = now.iter().filter(|key| key.1 == "value").collect();
        let (last, old) = values.split_last().unwrap();
        assert_eq!((last.3.as_str(), last.4), ("active", 16_018));
        assert!(old.iter().all(|key| key.3 == "retired" && key.4 == 0));
        bailiwick(dir, &["audit", "verify", "--config", "bailiwick.toml"]).ends(0);
    });
}

#[test]
fn a_server_without_its_keys_does_not_start_and_says_what_is_missing() {
    run(async {
        let folder = sealing().await;
        let dir = folder.path();
        let server = seals(dir).await;
        let acme = owner("acme");
        let handles = sealed(&server, &acme, 2).await;
        let file = dir.join("seal.keys");
        let good = std::fs::read(&file).unwrap();
        let refuses = |says: &str| {
            let ran = bailiwick(dir, &["serve", "--config", "bailiwick.toml"]);
            assert!(
                ran.complaints.contains("values cannot be encrypted"),
                "{}",
                ran.complaints
            );
            assert!(ran.complaints.contains(says), "{}", ran.complaints);
            ran.ends(1);
        };
        let is_told = |says: &str| {
            let ran = bailiwick(dir, &["check", "--config", "bailiwick.toml"]);
            assert!(
                ran.out.contains("seal.keys") && ran.out.contains(says),
                "{}",
                ran.out
            );
            ran.ends(1);
        };
        std::fs::remove_file(&file).unwrap();
        refuses("its file cannot be opened");
        is_told("its file cannot be opened");
        bailiwick(dir, &["keys", "new", "seal.keys"]).ends(0);
        refuses("is another key");
        let shown = keys(dir, &["rotate"]);
        assert!(
            shown.complaints.contains("is another key"),
            "{}",
            shown.complaints
        );
        shown.ends(1);
        std::fs::write(&file, "# empty\n").unwrap();
        refuses("holds no key");
        is_told("holds no key");
        std::fs::write(&file, &good).unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o640);
        std::fs::set_permissions(&file, open).unwrap();
        refuses("chmod 600");
        is_told("chmod 600");
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, private).unwrap();
        let ran = bailiwick(dir, &["check", "--config", "bailiwick.toml"]).ends(0);
        assert!(ran.contains("keys to encrypt with: `file:1:"), "{ran}");
        opens(&seals(dir).await, &acme, &handles).await;
        keys(dir, &["rotate"]).ends(0);
    });
}

#[test]
fn without_a_word_of_the_operator_there_are_no_keys() {
    run(async {
        let folder = folder(&[], "").await;
        let ran = keys(folder.path(), &["status"]);
        assert!(
            ran.complaints.contains("has no `[seal]`"),
            "{}",
            ran.complaints
        );
        ran.ends(1);
        assert!(!seals(folder.path()).await.is_there());
    });
}
