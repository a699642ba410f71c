//! A disk that is full, a limit on the size of files, and a disk that nobody may write to any more: calls with effects fail closed,
//! the rest goes on, nothing is dropped unsaid, and the server goes on by itself when there is room again.

use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Resource, Signal};

use super::*;
use crate::harness::{Mounts, Setup, http, records_of};

/// The limit on the size of what a process writes, by the name that the kernel has for it.
const FILE_SIZE: (Resource, &str) = (Resource::Fsize, "Max file size");
/// Bytes of the small disk: room for the state, and soon none.
const SMALL: &str = "8m";

/// A server whose user agreed to notes.
async fn set_up() -> Process {
    let setup = Setup::new().tools(&["hello", "notes"]).await.watched();
    let server = setup.more_rules(ADMINS).start().await;
    let alice = server.caller("alice");
    let first = alice
        .call_allowed(&server, "notes_write", note("milk", "old"))
        .await;
    assert!(first.is_reply(), "{first:?}");
    server.into_process().await
}

/// The same with its state on a disk of its own, which this command mounts at `small`.
async fn on_small(mounts: &mut Mounts, mount: &str) -> Process {
    let mut server = set_up().await;
    let dir = server.dir().display().to_string();
    server.configure(|text| text.replace("sqlite://state.db", "sqlite://small/state.db"));
    let ready = format!("cd {dir} && mkdir small && {mount} && chmod 700 small");
    assert!(mounts.run(&ready), "{ready}");
    // The server that set it up writes no more; when its last connection is closed, and takes files away, is its own affair.
    let moved =
        format!("cd {dir} && rm -f small/* && cp -p state.db* idp-key.pkcs8 small/ && sync small");
    until(&moved, async || mounts.run(&moved).then_some(())).await;
    server.within = mounts.within(server.dir());
    server
}

/// What must be so while nothing can be written, whatever the cause. Answers the ids of the calls that were refused.
async fn starved(server: &Process) -> String {
    let alice = server.caller("alice");
    // What is left of the last block still takes some.
    until("there is no room", async || {
        let answer = alice.call("notes_write", note("probe", "more")).await;
        (answer.status == 503).then_some(())
    })
    .await;
    let id = unavailable(&alice.call("notes_write", note("milk", "new")).await);
    let kept = std::fs::read_to_string(server.dir().join("notes/dev/alice/milk.md"));
    assert_eq!(kept.unwrap(), "old");
    assert!(!server.is_ready().await);
    let why = server.watched("/readyz").await;
    assert_eq!(why.status, 503);
    assert!(
        why.body.contains("the audit log cannot be written"),
        "{why:?}"
    );
    assert_eq!(server.metric("bailiwick_audit_open").await.to_string(), "0");
    assert!(server.metric("bailiwick_audit_waiting_records").await > 0.0);
    // What has no effect goes on, and so does what tells of the server.
    assert!(alice.call("hello", json!({"name": "Ada"})).await.is_reply());
    let alive = Answer::read(http().get(format!("{}/healthz", server.url))).await;
    assert_eq!(alive.status, 200);
    assert_eq!(server.watched("/healthz").await.status, 200);
    // Nothing is shown to administrators that is not recorded, and they are told so.
    let root = server.token("root", json!({"scope": "tools:call admin"}));
    let status = http()
        .get(format!("{}/admin/status", server.url))
        .bearer_auth(root);
    assert_eq!(Answer::read(status).await.status, 503);
    assert!(server.log().contains(&id), "{}", server.log());
    id
}

/// What must be so once it can be again.
async fn relieved(server: &Process) {
    until("the log is written again", async || {
        server.is_ready().await.then_some(())
    })
    .await;
    assert_eq!(server.metric("bailiwick_audit_open").await.to_string(), "1");
    made(&server.caller("alice"), "milk").await;
}

/// What the log says of it afterwards.
async fn told(id: &str, state: &Path) {
    let records: Vec<Record> = records_of(state, 1)
        .await
        .into_iter()
        .map(|(_, one)| one)
        .collect();
    let recovered = records
        .iter()
        .find(|record| record.kind == "audit.recovered");
    assert_eq!(recovered.unwrap().facts["lost"], 0, "{recovered:?}");
    let failed = |record: &&Record| record.event_id.to_string() == id;
    let failed: Vec<_> = records.iter().filter(failed).collect();
    let [failed] = failed.as_slice() else {
        panic!("{failed:?}")
    };
    assert_eq!(failed.result.as_ref().unwrap().status, "failed");
    assert_eq!(endings(&records, "hello"), ["replied"]);
    assert_closed(&records);
}

#[test]
fn a_limit_on_the_size_of_files_is_as_a_full_disk_and_kills_nobody() {
    run(async {
        let mut server = set_up().await;
        server.start().await;
        let before = server.limit(FILE_SIZE, Some(0));
        let id = starved(&server).await;
        server.limit(FILE_SIZE, before);
        relieved(&server).await;
        told(&id, &server.dir().join("state.db")).await;
        server.signal(Signal::TERM);
        assert_eq!(server.ended().await.code(), Some(0));
        assert_whole(&server, &[]);
    });
}

#[test]
fn on_a_full_disk_calls_with_effects_are_refused_and_afterwards_nothing_is_missing() {
    run(async {
        let Some(mut mounts) = Mounts::of_users() else {
            return;
        };
        let mut server = on_small(
            &mut mounts,
            &format!("mount -t tmpfs -o size={SMALL} tmpfs small"),
        )
        .await;
        server.start().await;
        let fill = server.dir().join("small/fill").display().to_string();
        assert!(mounts.run(&format!("! cat /dev/zero > {fill}")));
        let id = starved(&server).await;
        assert!(mounts.run(&format!("rm {fill}")));
        relieved(&server).await;
        server.signal(Signal::TERM);
        assert_eq!(server.ended().await.code(), Some(0));
        told(&id, &taken_out(&mut mounts, &server)).await;
        assert_whole_there(&mut mounts, &server);
    });
}

#[test]
fn on_a_disk_that_turns_read_only_it_is_the_same() {
    run(async {
        let mut server = set_up().await;
        let (library, turned) = (
            server.dir().join("readonly.so"),
            server.dir().join("turned"),
        );
        let source = crate::harness::root().join("tests/e2e/drills/readonly.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-D_LARGEFILE64_SOURCE", "-o"])
            .args([library.as_path(), source.as_path()])
            .arg("-ldl")
            .status();
        assert!(built.unwrap().success());
        let state = server.dir().canonicalize().unwrap().join("state.db");
        server.within = vec![
            "env".to_owned(),
            format!("LD_PRELOAD={}", library.display()),
            format!("READONLY_FOLDER={}", state.display()),
            format!("READONLY_WHILE={}", turned.display()),
        ];
        server.start().await;
        std::fs::write(&turned, "").unwrap();
        let id = starved(&server).await;
        assert!(server.log().contains("disk I/O error"), "{}", server.log());
        std::fs::remove_file(&turned).unwrap();
        relieved(&server).await;
        told(&id, &server.dir().join("state.db")).await;
        server.signal(Signal::TERM);
        assert_eq!(server.ended().await.code(), Some(0));
        assert_whole(&server, &[]);
    });
}

#[test]
fn a_state_that_nobody_may_write_to_keeps_a_server_from_starting_and_loses_nothing() {
    run(async {
        let Some(mut mounts) = Mounts::of_users() else {
            return;
        };
        let mut server = on_small(&mut mounts, "mount -t tmpfs tmpfs small").await;
        server.start().await;
        made(&server.caller("alice"), "before").await;
        server.signal(Signal::TERM);
        assert_eq!(server.ended().await.code(), Some(0));
        let small = server.dir().join("small").display().to_string();
        assert!(mounts.run(&format!("mount -o remount,ro {small}")));
        server.spawn();
        assert_eq!(server.ended().await.code(), Some(1));
        let said = server.log();
        assert!(
            said.contains("state.db") && said.contains("Read-only file system"),
            "{said}"
        );
        assert!(mounts.run(&format!("mount -o remount,rw {small}")));
        server.start().await;
        made(&server.caller("alice"), "after").await;
        server.signal(Signal::TERM);
        assert_eq!(server.ended().await.code(), Some(0));
        assert_whole_there(&mut mounts, &server);
    });
}

#[test]
fn a_folder_of_notes_that_turns_read_only_is_told_to_the_tool_alone() {
    run(async {
        let Some(mut mounts) = Mounts::of_users() else {
            return;
        };
        let mut server = set_up().await;
        let notes = server.dir().join("notes").display().to_string();
        assert!(mounts.run(&format!("mount -t tmpfs tmpfs {notes}")));
        server.within = mounts.within(server.dir());
        server.start().await;
        let alice = server.caller("alice");
        made(&alice, "before").await;
        assert!(mounts.run(&format!("mount -o remount,ro {notes}")));
        let refused = alice.call("notes_write", note("while", "x")).await;
        assert!(refused.is_tool_error(), "{refused:?}");
        assert!(server.is_ready().await);
        assert!(mounts.run(&format!("mount -o remount,rw {notes}")));
        made(&alice, "after").await;
        let records = server.records(1).await;
        assert_eq!(
            endings(&records, "notes_write").last_chunk(),
            Some(&["replied", "failed", "replied"].map(str::to_owned))
        );
        assert_closed(&records);
        server.signal(Signal::TERM);
        assert_eq!(server.ended().await.code(), Some(0));
        assert_whole(&server, &[]);
    });
}

/// The same as [`assert_whole`] where the log lies on a disk that only they see.
#[track_caller]
fn assert_whole_there(mounts: &mut Mounts, server: &Process) {
    let program = crate::harness::program().display();
    let verify = format!(
        "cd {} && {program} audit verify --dir .",
        server.dir().display()
    );
    assert!(mounts.run(&verify), "the log is not whole");
}

/// The state as a file that is seen from outside. The server has ended.
fn taken_out(mounts: &mut Mounts, server: &Process) -> PathBuf {
    let out = server.dir().join("taken-out.db");
    let state = server.dir().join("small/state.db");
    assert!(mounts.run(&format!("cp {} {}", state.display(), out.display())));
    out
}
