//! What a guest reaches equals its grant: beside each permission stands its refusal.

use tokio::sync::mpsc;
use wasmtime::component::Component;

use super::super::testing::{BEGIN, context, guest, run, sandbox, with_mounts};
use super::super::{Ending, RunContext};
use super::{MONOTONIC, PROGRESS, number, once};
use crate::config::{Mount, Quota};
use crate::dialogue::{Asking, Reply};
use crate::host::files::Mounts;
use crate::ids::Digest;

#[tokio::test]
async fn time_stands_still_without_a_grant() {
    let reads_twice = "(local $first i64) (local $i i32)
        (local.set $first (call $now))
        (loop $l
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $l (i32.lt_u (local.get $i) (i32.const 3000000))))
        (call $hex (i64.sub (call $now) (local.get $first)))";
    let component = guest(MONOTONIC, reads_twice);
    assert_eq!(number(&once(&component).await), 0);
    let granted = run(&sandbox(), &component, &["clock"], "{}", context()).await;
    assert_eq!(number(&granted) % 1_000_000, 0, "in steps of 1 ms");
}

#[tokio::test]
async fn the_time_of_day_is_that_of_the_call() {
    let wall = r#"(import "wasi:clocks/wall-clock@0.2.6" "now" (func $wall (param i32)))"#;
    let component = guest(
        wall,
        "(call $wall (i32.const 3072)) (call $hex (i64.load (i32.const 3072)))",
    );
    for granted in [&[][..], &["clock"]] {
        let outcome = run(&sandbox(), &component, granted, "{}", context()).await;
        assert_eq!(i64::try_from(number(&outcome)).unwrap(), BEGIN.secs());
    }
}

#[tokio::test]
async fn environment_and_arguments_are_empty() {
    let environment = r#"
        (import "wasi:cli/environment@0.2.0" "get-environment" (func $env (param i32)))
        (import "wasi:cli/environment@0.2.0" "get-arguments" (func $args (param i32)))"#;
    let outcome = once(&guest(
        environment,
        "(call $env (i32.const 3072)) (call $args (i32.const 3080))
         (call $hex (i64.extend_i32_u (i32.add
            (i32.load (i32.const 3076)) (i32.load (i32.const 3084)))))",
    ))
    .await;
    assert_eq!(number(&outcome), 0);
}

#[tokio::test]
async fn progress_is_told_where_it_is_granted() {
    // Answers 0 for a success, and the error's number plus one otherwise.
    let component = guest(
        PROGRESS,
        "(call $report (f64.const 1) (i32.const 0) (f64.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 3072))
         (call $hex (i64.extend_i32_u (select
            (i32.add (i32.const 1) (i32.load8_u (i32.const 3076))) (i32.const 0)
            (i32.load8_u (i32.const 3072)))))",
    );
    let (listener, mut reports) = mpsc::channel(4);
    let listening = |listener: &mpsc::Sender<_>| RunContext {
        progress: Some(listener.clone()),
        ..context()
    };
    let sandbox = sandbox();
    let denied = run(&sandbox, &component, &[], "{}", listening(&listener)).await;
    assert_eq!(number(&denied), 1, "denied");
    assert!(reports.try_recv().is_err());
    assert!(denied.usage.effects.is_empty());
    let told = run(
        &sandbox,
        &component,
        &["progress"],
        "{}",
        listening(&listener),
    )
    .await;
    assert_eq!(number(&told), 0);
    assert_eq!(reports.try_recv().unwrap().progress, 1.0);
    assert_eq!(told.usage.effects["progress"].count, 1);
}

#[tokio::test]
async fn sockets_answer_that_access_is_denied() {
    const ACCESS_DENIED: u64 = 1;
    let create = |interface: &str, function: &str| {
        guest(
            &format!(
                r#"(import "wasi:sockets/{interface}@0.2.9" "{function}" (func $create (param i32 i32)))"#
            ),
            "(call $create (i32.const 0) (i32.const 3072))
             (if (i32.eqz (i32.load8_u (i32.const 3072))) (then unreachable))
             (call $hex (i64.extend_i32_u (i32.load8_u (i32.const 3076))))",
        )
    };
    for (interface, function) in [
        ("tcp-create-socket", "create-tcp-socket"),
        ("udp-create-socket", "create-udp-socket"),
    ] {
        assert_eq!(
            number(&once(&create(interface, function)).await),
            ACCESS_DENIED
        );
    }
    let lookup = guest(
        r#"(import "wasi:sockets/instance-network@0.2.9" "instance-network" (func $network (result i32)))
           (import "wasi:sockets/ip-name-lookup@0.2.9" "resolve-addresses"
               (func $resolve (param i32 i32 i32 i32)))"#,
        "(call $resolve (call $network) (local.get $at) (local.get $len) (i32.const 3072))
         (if (i32.eqz (i32.load8_u (i32.const 3072))) (then unreachable))
         (call $hex (i64.extend_i32_u (i32.load8_u (i32.const 3076))))",
    );
    assert_eq!(number(&once(&lookup).await), ACCESS_DENIED);
}

#[tokio::test]
async fn methods_of_sockets_link_and_are_out_of_reach() {
    let component = guest(
        r#"(import "wasi:sockets/tcp@0.2.9" "[method]tcp-socket.finish-bind" (func $bind (param i32 i32)))
           (import "wasi:sockets/tcp@0.2.9" "[method]tcp-socket.subscribe"
               (func $subscribe (param i32) (result i32)))
           (import "wasi:sockets/udp@0.2.9" "[method]udp-socket.finish-bind" (func $udp (param i32 i32)))"#,
        "(call $bind (i32.const 1) (i32.const 3072)) unreachable",
    );
    assert!(matches!(once(&component).await.ending, Ending::Trapped));
}

const HTTP: &str = r#"
    (import "wasi:http/types@0.2.6" "[constructor]fields" (func $fields (result i32)))
    (import "wasi:http/types@0.2.6" "[constructor]outgoing-request"
        (func $request (param i32) (result i32)))
    (import "wasi:http/outgoing-handler@0.2.6" "handle"
        (func $handle (param i32 i32 i32 i32)))"#;

#[tokio::test]
async fn requests_are_denied_by_their_own_error_without_a_grant() {
    const HTTP_REQUEST_DENIED: u64 = 15;
    let component = guest(
        HTTP,
        "(call $handle (call $request (call $fields)) (i32.const 0) (i32.const 0) (i32.const 3072))
         (if (i32.eqz (i32.load8_u (i32.const 3072))) (then unreachable))
         (call $hex (i64.extend_i32_u (i32.load8_u (i32.const 3080))))",
    );
    let outcome = once(&component).await;
    assert_eq!(number(&outcome), HTTP_REQUEST_DENIED);
    assert!(outcome.usage.effects.is_empty());
}

const FILES: &str = r#"
    (import "wasi:filesystem/preopens@0.2.6" "get-directories" (func $preopens (param i32)))
    (import "wasi:filesystem/types@0.2.6" "[method]descriptor.create-directory-at"
        (func $mkdir (param i32 i32 i32 i32)))
    (data (i32.const 4096) "made") (data (i32.const 4112) "../../out")"#;

/// How many directories there are, and what making one in the first answers: 0, or an error's number plus one.
fn makes(at: u32, len: u32) -> Component {
    guest(
        FILES,
        &format!(
            "(call $preopens (i32.const 3072))
             (if (i32.eqz (i32.load (i32.const 3076))) (then (return (call $hex (i64.const 0xffff)))))
             (call $mkdir (i32.load (i32.load (i32.const 3072))) (i32.const {at}) (i32.const {len})
                (i32.const 3080))
             (call $hex (i64.extend_i32_u (i32.add
                (i32.shl (i32.load (i32.const 3076)) (i32.const 8))
                (select (i32.add (i32.const 1) (i32.load8_u (i32.const 3081))) (i32.const 0)
                    (i32.load8_u (i32.const 3080))))))"
        ),
    )
}

#[tokio::test]
async fn reach_into_files_equals_the_grant() {
    let root = tempfile::tempdir().unwrap();
    let mounts = || {
        let path = root.path().join("notes/{tenant}/{sub}");
        Mounts::new(
            &[Mount {
                name: "notes".parse().unwrap(),
                path: path.display().to_string(),
                quota: Quota::default(),
            }],
            1,
        )
        .unwrap()
    };
    let sandbox = with_mounts(mounts());
    let (inside, outside) = (makes(4096, 4), makes(4112, 9));
    let of = async |component: &Component, granted: &[&str]| {
        run(&sandbox, component, granted, "{}", context()).await
    };
    assert_eq!(number(&of(&inside, &[]).await), 0xffff, "no directory");
    let home = root.path().join("notes/acme/alice");
    let read = of(&inside, &["files read notes"]).await;
    assert_eq!(number(&read) >> 8, 1);
    assert_ne!(number(&read) & 0xff, 0, "reading does not write");
    assert!(!home.join("made").exists());
    let write = of(&inside, &["files write notes"]).await;
    assert_eq!(number(&write), 0x100);
    assert!(home.join("made").is_dir());
    assert_eq!(write.usage.effects["files write notes"].count, 1);
    let escaped = of(&outside, &["files write notes"]).await;
    assert_ne!(number(&escaped) & 0xff, 0, "above the mount is nothing");
    assert!(!root.path().join("notes/out").exists());
    let unbound = of(&inside, &["files read mail"]).await;
    assert!(matches!(unbound.ending, Ending::Denied(_)));
}

#[tokio::test]
async fn a_question_ends_the_run_where_it_is_granted_and_is_denied_elsewhere() {
    // Answers 0 for an answer, and the error's number plus one otherwise.
    const ASK: &str = r#"(import "bailiwick:tool/ask@0.1.0" "form"
        (func $form (param i32 i32 i32 i32 i32)))
        (data (i32.const 4096) "Which?")
        (data (i32.const 4112) "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"}}}")"#;
    let component = guest(
        ASK,
        "(call $form (i32.const 4096) (i32.const 6) (i32.const 4112) (i32.const 54) (i32.const 3072))
         (call $hex (i64.extend_i32_u (select
            (i32.add (i32.const 1) (i32.load8_u (i32.const 3076))) (i32.const 0)
            (i32.load8_u (i32.const 3072)))))",
    );
    let asking = |asking: Asking| RunContext {
        asking,
        ..context()
    };
    let somebody = Asking {
        can_ask: true,
        ..Asking::default()
    };
    let sandbox = sandbox();
    let denied = run(&sandbox, &component, &[], "{}", asking(somebody.clone())).await;
    assert_eq!(number(&denied), 1, "denied");
    assert!(denied.usage.effects.is_empty());
    let nobody = run(&sandbox, &component, &["ask"], "{}", context()).await;
    assert_eq!(number(&nobody), 2, "unavailable");
    let ended = run(&sandbox, &component, &["ask"], "{}", asking(somebody)).await;
    assert_eq!(ended.usage.effects["ask"].count, 1);
    let Ending::Asked(asked) = ended.ending else {
        panic!("{ended:?}");
    };
    assert_eq!(asked.question.message, "Which?");
    let waits = |waits| {
        asking(Asking {
            can_ask: true,
            waits: Some((waits, Some(Reply::Declined))),
            ..Asking::default()
        })
    };
    let answered = waits(asked.question.digest);
    let answered = run(&sandbox, &component, &["ask"], "{}", answered).await;
    assert_eq!(number(&answered), 0);
    let other = waits(Digest::of(b"another question"));
    let other = run(&sandbox, &component, &["ask"], "{}", other).await;
    assert!(matches!(other.ending, Ending::AskedOtherwise), "{other:?}");
}
