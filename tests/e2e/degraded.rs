//! Machines that lack what a server gives things up with, or what it needs: what is required and missing keeps it from starting and
//! is named, and what is only preferred is told wherever the operator looks. And the mode in which nothing may be missing.
//!
//! Always the program, as a process of its own: what it gives up is given up for good.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use serde_json::{Map, Value, json};

use crate::apart::{made_by, stat};
use crate::cli::bailiwick;
use crate::harness::{Mounts, Process, Setup, run, skipped, tool, until, until_within};

/// Nothing may be missing, on either side of the wall.
const ALL_REQUIRED: &str = "isolation = \"process\"\nhardening = \"require\"\n";
/// The default of `hardening`.
const PREFERRED: &str = "isolation = \"process\"\n";
/// What a server gives up, as machines read it.
const LAYERS: [&str; 7] = [
    "core-dumps",
    "descriptors",
    "files",
    "new-privileges",
    "ports",
    "signals",
    "system-calls",
];
/// What is given up by Landlock: as machines read it, and as people do.
const BY_LANDLOCK: [(&str, &str); 3] = [
    ("files", "files outside of the configuration (Landlock)"),
    (
        "ports",
        "listening on other TCP ports (Landlock, Linux 6.7)",
    ),
    (
        "signals",
        "signals and abstract sockets to the outside (Landlock, Linux 6.12)",
    ),
];
/// What processes for guests say where they are in the name spaces of the server.
const SHARED: &str = "the namespaces of the server: the kernel refused others";
/// And where they are root and there is nobody else to be.
const ROOT: &str = "being root outside: Invalid argument (os error 22)";
/// What every refusal ends with.
const WAY_OUT: &str = "; use a kernel that can, or `hardening = \"prefer\"`";
/// Longest wait for two packages to be compiled for both sides, on a machine that is busy with others.
const COMPILED_MAX: Duration = Duration::from_secs(180);

/// A server that is not started, with these lines before the tables of its configuration.
async fn server(lines: &str) -> Process {
    let setup = Setup::new().tools(&["hello"]).await.watched();
    let server = setup.start().await.into_process().await;
    begins(&server, lines);
    server
}

/// Puts these lines before the tables of its configuration, in place of those that stand there.
fn begins(server: &Process, lines: &str) {
    server.configure(|text| {
        let (_, tables) = text.split_once("[server]\n").unwrap();
        format!("{lines}[server]\n{tables}")
    });
}

/// Asserts that one that is started so ends at once, with status 1, and says all of this.
async fn refuses(server: &mut Process, spawn: impl Fn(&mut Process), texts: &[&str]) {
    let before = server.log().len();
    spawn(server);
    let status = server.ended().await;
    let said = || server.log().split_off(before);
    assert_eq!(status.code(), Some(1), "{}", said());
    for text in texts {
        // What it said last may come after its end.
        until(text, async || said().contains(text).then_some(())).await;
    }
    assert!(!said().contains("bailiwick serves"), "{}", said());
    assert!(!said().contains("panicked"), "{}", said());
}

/// Starts it, and waits until a tool of it has answered.
async fn serves(server: &mut Process, spawn: impl Fn(&mut Process)) {
    spawn(server);
    until_within(COMPILED_MAX, "the server is ready", async || {
        server.is_ready().await.then_some(())
    })
    .await;
    answers(server).await;
}

async fn answers(server: &Process) {
    let alice = server.caller("alice");
    let answer = alice.call("hello", json!({"name": "Ada"})).await;
    assert_eq!(answer.text(), "Hello, Ada!", "{answer:?}");
}

/// Asserts what a running server says of itself, to whoever watches it and to whoever asks by the command: which layers are missing
/// and why, where guests run, and what was not given up there.
async fn tells(server: &Process, (absent, why): (&[&str], &str), guests: &str, kept: &[String]) {
    let state = |layer: &str| match absent.contains(&layer) {
        true => format!("absent: {why}"),
        false => "active".to_owned(),
    };
    let states = LAYERS.map(|layer| (layer.to_owned(), Value::from(state(layer))));
    let info = server.watched("/info").await.json();
    assert_eq!(info["given_up"], Value::from(Map::from_iter(states)));
    assert_eq!(info["isolation"]["guests"], guests);
    assert_eq!(info["isolation"]["guests_kept"], json!(kept));
    let told = bailiwick(server.dir(), &["check", "--dir", ".", "--live"]).ends(0);
    let mut lines = vec![format!("its guests run: {guests}")];
    lines.extend(LAYERS.map(|layer| format!("  {layer}: {}", state(layer))));
    let not_there = |one: &String| format!("  not given up there: {one}");
    lines.extend(kept.iter().map(not_there));
    for line in &lines {
        assert!(told.lines().any(|one| one == line), "{line}\n{told}");
    }
    let note = "note: the running server did not give up all that it could";
    let all = absent.is_empty() && kept.is_empty();
    assert_eq!(told.lines().any(|one| one == note), !all, "{told}");
}

/// Ends it while it does nothing: in order, with its log whole, and with none of its processes left.
async fn stops(server: &mut Process) {
    let own = made_by(server.pid().as_raw_nonzero().get());
    let guests: Vec<_> = own.iter().flat_map(|pid| made_by(*pid)).collect();
    server.signal(Signal::TERM);
    let status = server.ended().await;
    assert_eq!(status.code(), Some(0), "{}", server.log());
    until("the end of all of them", async || {
        let mut all = own.iter().chain(&guests);
        all.all(|pid| stat(*pid).is_none()).then_some(())
    })
    .await;
    bailiwick(server.dir(), &["audit", "verify", "--dir", "."]).ends(0);
    let last = server.records(1).await.pop().unwrap();
    assert_eq!(last.kind, "server.stopped");
    let faults = server.log();
    let faults = faults
        .lines()
        .filter(|line| line.contains("\"level\":\"ERROR\""));
    assert_eq!(faults.collect::<Vec<_>>(), [""; 0]);
}

/// System calls that there are not, each with the arguments of which that is so; always, where none are given.
type Calls = BTreeMap<i64, Vec<SeccompRule>>;

fn always(calls: &[i64]) -> Calls {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

/// Starts it where those end in an error, for whatever it starts itself as well, as on a kernel or in a container that is so.
fn without(server: &mut Process, calls: &Calls, error: i32) {
    let refuse = SeccompAction::Errno(error.unsigned_abs());
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(calls.clone(), SeccompAction::Allow, refuse, arch);
    let filter: BpfProgram = filter.unwrap().try_into().unwrap();
    // It holds for the thread that asks for it and for what that starts, for good: no other test has it.
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            seccompiler::apply_filter(&filter).unwrap();
            server.spawn();
        });
        thread.join().unwrap();
    });
}

#[test]
fn with_everything_required_the_program_compiles_calls_tells_and_ends() {
    run(async {
        // What it takes, asked for by a program that is not ours.
        if Mounts::of_users().is_none() {
            return;
        }
        let setup = Setup::new().tools(&["hello", "notes"]).await.watched();
        let server = setup.start().await;
        let note = json!({"name": "milk", "text": "one"});
        let alice = server.caller("alice");
        let first = alice
            .call_allowed(&server, "notes_write", note.clone())
            .await;
        assert!(first.is_reply(), "{first:?}");
        let mut server = server.into_process().await;
        begins(&server, ALL_REQUIRED);
        // So that it has nothing which another one compiled.
        server.keeps_code_in("code");
        serves(&mut server, Process::spawn).await;
        let alice = server.caller("alice");
        let written = alice.call("notes_write", note).await;
        assert!(written.is_reply(), "{written:?}");
        // Also what comes while it runs.
        server.put("memory", &tool("memory").await);
        until_within(COMPILED_MAX, "it is served", async || {
            let all = alice.list().await;
            all.iter()
                .any(|one| one.starts_with("memory"))
                .then_some(())
        })
        .await;
        assert_eq!(parts(&server.dir().join("code")), (3, 3));
        tells(&server, (&[], ""), "process", &[]).await;
        let log = server.log();
        assert!(!log.contains("did not give up"), "{log}");
        stops(&mut server).await;
    });
}

/// How many packages have native code there: for guests, and for the server.
fn parts(folder: &Path) -> (usize, usize) {
    let names = std::fs::read_dir(folder).unwrap();
    let names: Vec<_> = names
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let of = |part: &str| names.iter().filter(|name| name.ends_with(part)).count();
    (of("_guest.native"), of("_mirror.native"))
}

/// What must be so where nobody is given name spaces, whoever it is that refuses them, and for that lacks this.
async fn without_name_spaces(lacks: &[&str], spawn: impl Fn(&mut Process)) {
    let mut server = server(ALL_REQUIRED).await;
    let all = lacks.join("; ");
    let why = format!(
        "bailiwick: `hardening = \"require\"`, and a process in which guests run cannot give up {all}{WAY_OUT}\n"
    );
    refuses(&mut server, &spawn, &[&why]).await;
    begins(&server, PREFERRED);
    serves(&mut server, &spawn).await;
    for one in lacks {
        let warned = format!("a process in which guests run did not give up {one}");
        assert!(server.log().contains(&warned), "{}", server.log());
    }
    let lacks: Vec<_> = lacks.iter().map(ToString::to_string).collect();
    tells(&server, (&[], ""), "process", &lacks).await;
    stops(&mut server).await;
}

#[test]
fn where_a_user_may_have_no_name_spaces_that_is_refused_or_told() {
    run(async {
        // Inside of one: what is outside is everybody's.
        let none = "echo 0 > /proc/sys/user/max_user_namespaces && exec \"$@\"";
        let within = [
            "unshare",
            "--user",
            "--map-root-user",
            "sh",
            "-c",
            none,
            "sh",
        ];
        let mut tried = Command::new(within[0]);
        match tried.args(&within[1..]).arg("true").output() {
            Ok(tried) if tried.status.success() => {}
            Ok(tried) => {
                let why = String::from_utf8_lossy(&tried.stderr);
                return skipped(&format!("nobody may make a name space of users: {why}"));
            }
            Err(error) => return skipped(&format!("`unshare` cannot be run: {error}")),
        }
        // Its one user is who runs the test.
        let lacks = match rustix::process::geteuid().is_root() {
            true => &[SHARED, ROOT][..],
            false => &[SHARED],
        };
        without_name_spaces(lacks, |server| {
            server.within = within.map(str::to_owned).to_vec();
            server.spawn();
        })
        .await;
    });
}

#[test]
fn where_a_container_refuses_name_spaces_that_is_refused_or_told() {
    run(async {
        let flag = u64::from(libc::CLONE_NEWUSER.unsigned_abs());
        let length = SeccompCmpArgLen::Dword;
        let new = SeccompCondition::new(0, length, SeccompCmpOp::MaskedEq(flag), flag).unwrap();
        let calls = Calls::from([(libc::SYS_clone, vec![SeccompRule::new(vec![new]).unwrap()])]);
        without_name_spaces(&[SHARED], |server| without(server, &calls, libc::EPERM)).await;
    });
}

#[test]
fn on_a_kernel_without_landlock_that_is_refused_or_told() {
    run(async {
        let calls = always(&[
            libc::SYS_landlock_create_ruleset,
            libc::SYS_landlock_add_rule,
            libc::SYS_landlock_restrict_self,
        ]);
        let why = "this kernel has no Landlock, or it is not enabled";
        let missing = BY_LANDLOCK.map(|(_, text)| format!("{text}: {why}"));
        let mut server = server(ALL_REQUIRED).await;
        let refusal = format!(
            "bailiwick: `hardening = \"require\"`, and this process cannot give up {}{WAY_OUT}\n",
            missing.join("; nor ")
        );
        // One that was built without it, and one that was started without it.
        for error in [libc::ENOSYS, libc::EOPNOTSUPP] {
            let spawn = |server: &mut Process| without(server, &calls, error);
            refuses(&mut server, spawn, &[&refusal]).await;
        }
        begins(&server, PREFERRED);
        serves(&mut server, |server| without(server, &calls, libc::ENOSYS)).await;
        let log = server.log();
        for one in &missing {
            for who in ["the process", "a process in which guests run"] {
                let warned = format!("{who} did not give up {one}");
                assert!(log.contains(&warned), "{warned}\n{log}");
            }
        }
        let absent = BY_LANDLOCK.map(|(layer, _)| layer);
        tells(&server, (&absent, why), "process", &missing).await;
        stops(&mut server).await;
    });
}

#[test]
fn on_a_kernel_without_filters_of_system_calls_that_is_refused_or_told() {
    run(async {
        let calls = always(&[libc::SYS_seccomp]);
        let spawn = |server: &mut Process| without(server, &calls, libc::ENOSYS);
        let why = "Error calling `seccomp`: Function not implemented (os error 38)";
        let missing = format!("system calls that no server needs (seccomp): {why}");
        let mut server = server("hardening = \"require\"\n").await;
        let refusal = format!(
            "bailiwick: `hardening = \"require\"`, and this process cannot give up {missing}{WAY_OUT}\n"
        );
        refuses(&mut server, spawn, &[&refusal]).await;
        begins(&server, "");
        serves(&mut server, spawn).await;
        let warned = format!("the process did not give up {missing}");
        assert!(server.log().contains(&warned), "{}", server.log());
        tells(&server, (&["system-calls"], why), "in-process", &[]).await;
        stops(&mut server).await;
    });
}

#[test]
fn with_too_little_address_space_it_says_so_and_what_to_change() {
    run(async {
        let mut server = server("hardening = \"require\"\n").await;
        // The pool of these tests reserves more than 500 GiB.
        for (lines, gib) in [
            ("hardening = \"require\"\n", 64),
            ("hardening = \"require\"\n", 4),
            (ALL_REQUIRED, 64),
            (ALL_REQUIRED, 4),
        ] {
            begins(&server, lines);
            let limited = format!("ulimit -v {} && exec \"$@\"", gib << 20);
            server.within = ["sh", "-c", &limited, "sh"].map(str::to_owned).to_vec();
            let texts = [
                "bailiwick: the engine did not start; its pool reserves 4 GiB of address space for each call in flight",
                "`ulimit -v`",
                "`server.calls_in_flight_max`",
                "because: ",
            ];
            refuses(&mut server, Process::spawn, &texts).await;
        }
        server.within.clear();
        serves(&mut server, Process::spawn).await;
        stops(&mut server).await;
    });
}

#[test]
fn with_too_few_mappings_it_says_so_and_what_to_change() {
    run(async {
        let Some(mut mounts) = Mounts::of_users() else {
            return;
        };
        let mut server = server("hardening = \"require\"\n").await;
        let few = server.dir().join("few");
        std::fs::write(&few, "1000\n").unwrap();
        let said = "/proc/sys/vm/max_map_count";
        let mount = format!("mount --bind {} {said}", few.display());
        assert!(mounts.run(&mount), "{mount}");
        server.within = mounts.within(server.dir());
        let texts = [
            "bailiwick: the engine did not start; 32 calls in flight may take ",
            "a process may have 1000 here",
            "`vm.max_map_count`",
            "`server.calls_in_flight_max`",
        ];
        refuses(&mut server, Process::spawn, &texts).await;
    });
}
