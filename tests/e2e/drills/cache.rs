//! A disk for native code that is full, or that nobody may write to: what was compiled serves on, and what has to be compiled is
//! refused for a reason that says so, until it can be.

use std::time::Duration;

use bailiwick::limits::TOOLS_POLL;
use rustix::process::Signal;

use super::*;
use crate::harness::{Mounts, Setup, http, tool, until, until_within};

/// Bytes of the disk: room for the code of the few tools of a test, and soon none.
const SMALL: &str = "16m";
/// Bytes that are left to a compiler besides the package: it has room to begin, and none for what it made.
const BESIDE: usize = 64 * 1024;
/// Longest wait for a package that nobody touches to be served: until the folder is looked at again, and it is compiled beside all
/// that a busy machine does.
const AGAIN_MAX: Duration = TOOLS_POLL.saturating_mul(4);

/// A running server that keeps the code of its tool `hello` on a small disk of its own.
async fn set_up(mounts: &mut Mounts) -> Process {
    let setup = Setup::new().tools(&["hello"]).await.more_rules(ADMINS);
    let mut server = setup.start().await.into_process().await;
    server.keeps_code_in("small");
    let small = server.dir().join("small").display().to_string();
    let mount = format!("mkdir {small} && mount -t tmpfs -o size={SMALL},mode=700 tmpfs {small}");
    assert!(mounts.run(&mount), "{mount}");
    server.within = mounts.within(server.dir());
    server.spawn();
    until_within(AGAIN_MAX, "the first tool is compiled", async || {
        server.is_ready().await.then_some(())
    })
    .await;
    goes_on(&server).await;
    server
}

/// Asserts that what was compiled is served.
async fn goes_on(server: &Process) {
    let answer = server.caller("alice");
    let answer = answer.call("hello", json!({"name": "Ada"})).await;
    assert_eq!(answer.text(), "Hello, Ada!", "{answer:?}");
    assert!(server.is_ready().await);
}

/// Why a file of the tools folder is not served, as administrators are told.
async fn refusal(server: &Process, file: &str) -> Option<String> {
    let root = server.token("root", json!({"scope": "tools:call admin"}));
    let status = http().get(format!("{}/admin/status", server.url));
    let status = Answer::read(status.bearer_auth(root)).await.json();
    let refused = status["tools"]["refused"].as_array().unwrap();
    let one = refused.iter().find(|one| one["file"] == file)?;
    Some(one["reason"].as_str().unwrap().to_owned())
}

/// Puts a package into the tools folder and waits until it is refused. Answers why.
async fn refused(server: &Process, name: &str) -> String {
    server.put(name, &tool(name).await);
    let file = format!("{name}.wasm");
    until_within(AGAIN_MAX, "it is refused", async || {
        refusal(server, &file).await
    })
    .await
}

/// Waits until a package is served for which nobody does anything any more.
async fn admitted(server: &Process, name: &str) {
    let alice = server.caller("alice");
    until_within(AGAIN_MAX, &format!("`{name}` is served"), async || {
        let all = alice.list().await;
        all.iter().any(|one| one.starts_with(name)).then_some(())
    })
    .await;
    assert_eq!(refusal(server, &format!("{name}.wasm")).await, None);
}

/// Ends it in order.
async fn stops(server: &mut Process) {
    server.signal(Signal::TERM);
    assert_eq!(server.ended().await.code(), Some(0));
    assert_whole(server, &[]);
}

#[test]
fn on_a_full_disk_for_code_what_is_new_waits_for_room_and_the_rest_goes_on() {
    run(async {
        let Some(mut mounts) = Mounts::of_users() else {
            return;
        };
        let mut server = set_up(&mut mounts).await;
        let fill = server.dir().join("small/fill").display().to_string();
        assert!(mounts.run(&format!("! cat /dev/zero > {fill}")));
        // It is the compiler that finds no room.
        let room = tool("notes").await.len() + BESIDE;
        assert!(mounts.run(&format!("truncate -s -{room} {fill}")));
        let why = refused(&server, "notes").await;
        assert!(why.contains("space") && why.contains("cache"), "{why}");
        goes_on(&server).await;
        // It is the server.
        assert!(mounts.run(&format!("! cat /dev/zero >> {fill}")));
        let why = refused(&server, "memory").await;
        assert!(why.contains("space") && why.contains("cache"), "{why}");
        goes_on(&server).await;
        assert!(mounts.run(&format!("rm {fill}")));
        admitted(&server, "notes").await;
        admitted(&server, "memory").await;
        goes_on(&server).await;
        // Nothing half made stays there.
        let small = server.dir().join("small").display().to_string();
        assert!(mounts.run(&format!(
            "! ls -A {small} | grep -v 'native$\\|json$\\|key$'"
        )));
        stops(&mut server).await;
    });
}

#[test]
fn on_a_disk_for_code_that_nobody_may_write_to_what_was_compiled_goes_on_and_also_starts() {
    run(async {
        let Some(mut mounts) = Mounts::of_users() else {
            return;
        };
        let mut server = set_up(&mut mounts).await;
        let small = server.dir().join("small").display().to_string();
        // It is busy for as long as a file in it is open for writing.
        until("it can be made read-only", async || {
            mounts
                .run(&format!("mount -o remount,ro {small}"))
                .then_some(())
        })
        .await;
        goes_on(&server).await;
        let why = refused(&server, "notes").await;
        assert!(
            why.contains("permissions") && why.contains("cache"),
            "{why}"
        );
        goes_on(&server).await;
        stops(&mut server).await;
        server.start().await;
        goes_on(&server).await;
        let still = refusal(&server, "notes.wasm").await;
        assert_eq!(still.as_deref(), Some(&*why));
        assert!(mounts.run(&format!("mount -o remount,rw {small}")));
        admitted(&server, "notes").await;
        goes_on(&server).await;
        stops(&mut server).await;
    });
}
