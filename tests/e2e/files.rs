//! Files: nothing outside a mount is reached, and nothing inside is changed that may only be read.

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::json;

use crate::harness::{Server, Setup, run};

/// All that could tell that a folder was touched: of each entry its contents and when it was changed.
type State = BTreeMap<PathBuf, (Option<Vec<u8>>, SystemTime)>;

fn state(folder: &Path) -> State {
    let entries = std::fs::read_dir(folder).unwrap();
    let entries = entries.map(|entry| {
        let path = entry.unwrap().path();
        let changed = path.symlink_metadata().unwrap().modified().unwrap();
        let contents = std::fs::read(&path).ok();
        (path, (contents, changed))
    });
    let own = folder.metadata().unwrap().modified().unwrap();
    entries.chain([(folder.to_owned(), (None, own))]).collect()
}

/// The mount of alice with a file and a link out of it, and the folder outside to which the link leads.
fn bait(server: &Server) -> (PathBuf, PathBuf) {
    let (inside, outside) = (server.notes_of("alice"), server.dir().join("outside"));
    std::fs::create_dir_all(&inside).unwrap();
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("passwd"), "canary").unwrap();
    std::fs::write(inside.join("file"), "mine").unwrap();
    symlink(&outside, inside.join("outside")).unwrap();
    (inside, outside)
}

#[test]
fn no_path_and_no_link_leads_out_of_a_mount() {
    run(async {
        for guest in ["fs_dotdot", "fs_proc_fd", "fs_symlink", "fs_trailing_slash"] {
            let server = Setup::new().guests(&[guest]).await.start().await;
            let (_, outside) = bait(&server);
            let before = state(&outside);
            let alice = server.caller("alice");
            let answer = alice.call_allowed(&server, guest, json!({})).await;
            let report = answer.structured();
            assert_eq!(report["mounts"], 1, "{guest}: {report}");
            assert_eq!(report["escaped"], json!([]), "{guest}");
            assert!(!report["refused"].as_array().unwrap().is_empty());
            assert!(!answer.body.contains("canary"), "{guest}");
            assert_eq!(state(&outside), before, "{guest}");
            server.stop().await;
        }
    });
}

#[test]
fn what_is_granted_for_reading_is_not_changed() {
    run(async {
        for guest in ["fs_readonly", "fs_set_times", "fs_truncate_readonly"] {
            let server = Setup::new().guests(&[guest]).await.start().await;
            let (inside, _) = bait(&server);
            let before = state(&inside);
            let alice = server.caller("alice");
            let answer = alice.call_allowed(&server, guest, json!({})).await;
            let report = answer.structured();
            assert_eq!(report["mounts"], 1, "{guest}: {report}");
            assert_eq!(report["escaped"], json!([]), "{guest}");
            assert!(!report["refused"].as_array().unwrap().is_empty());
            assert_eq!(state(&inside), before, "{guest}");
            server.stop().await;
        }
    });
}

/// The names in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let name = |entry: std::fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut names: Vec<_> = entries.map(|entry| name(entry.unwrap())).collect();
    names.sort();
    names
}

#[test]
fn what_is_no_plain_use_of_files_is_refused_and_leaves_nothing_behind() {
    run(async {
        for (guest, mounts, left) in [
            ("fs_hardlink", 1, &["file", "folder", "outside", "own"][..]),
            ("fs_names", 1, &["file", "outside"]),
            ("fs_rename_across", 2, &["file", "one", "outside", "two"]),
            (
                "fs_special",
                1,
                &["file", "outside", "pipe", "socket", "to-pipe"],
            ),
            (
                "fs_sparse",
                1,
                &["file", "half", "one", "other", "outside", "three", "two"],
            ),
        ] {
            let server = Setup::new().guests(&[guest]).await.start().await;
            let (inside, outside) = bait(&server);
            let _listening = (guest == "fs_special").then(|| special(&inside));
            let before = state(&outside);
            let alice = server.caller("alice");
            let answer = alice.call_allowed(&server, guest, json!({})).await;
            let report = answer.structured();
            assert_eq!(report["mounts"], mounts, "{guest}: {report}");
            assert_eq!(report["escaped"], json!([]), "{guest}");
            assert!(!report["refused"].as_array().unwrap().is_empty());
            assert_eq!(names(&inside), left, "{guest}");
            assert_eq!(std::fs::read(inside.join("file")).unwrap(), b"mine");
            assert_eq!(state(&outside), before, "{guest}");
            if guest == "fs_rename_across" {
                for part in ["one", "two"] {
                    assert_eq!(names(&inside.join(part)), ["own"]);
                }
            }
            server.stop().await;
        }
    });
}

/// A pipe and a socket that nobody else has open.
fn special(folder: &Path) -> std::os::unix::net::UnixListener {
    let made = std::process::Command::new("mkfifo")
        .arg(folder.join("pipe"))
        .status();
    assert!(made.unwrap().success());
    std::os::unix::net::UnixListener::bind(folder.join("socket")).unwrap()
}

#[test]
fn names_without_contents_are_counted() {
    run(async {
        let server = Setup::new().guests(&["fs_inodes"]).await.start().await;
        let (inside, _) = bait(&server);
        let most = bailiwick::limits::FILES_COUNT_MAX;
        // A file and a link are there as well.
        for number in 0..most - 2 - 20 {
            std::fs::write(inside.join(format!("before-{number}")), "").unwrap();
        }
        let alice = server.caller("alice");
        let answer = alice.call_allowed(&server, "fs_inodes", json!({})).await;
        let made = answer.structured();
        assert_eq!(made["names"], 20);
        assert_eq!(made["refused"], "quota");
        assert_eq!(u64::try_from(names(&inside).len()).unwrap(), most);
        server.stop().await;
    });
}

#[test]
fn what_a_call_wrote_is_in_its_record_and_nothing_after_its_end() {
    run(async {
        let server = Setup::new().guests(&["fs_streams"]).await.start().await;
        let (inside, _) = bait(&server);
        let alice = server.caller("alice");
        for round in 0..5 {
            let answer = alice.call_allowed(&server, "fs_streams", json!({})).await;
            assert_eq!(answer.text(), "16 streams");
            let length = || inside.join("own").metadata().unwrap().len();
            let written = length();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            assert_eq!(length(), written, "round {round}: it went on");
            let recorded: u64 = server
                .outcomes("fs_streams")
                .await
                .iter()
                .filter_map(|record| record.result.as_ref()?.used.as_ref())
                .filter_map(|used| used.effects.get("files writes notes"))
                .map(|effect| effect.bytes_out)
                .sum();
            assert_eq!(recorded, written, "round {round}");
        }
        server.stop().await;
    });
}

#[test]
fn no_race_with_a_link_leads_a_guest_out_of_its_mount() {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    run(async {
        let server = Setup::new().guests(&["fs_race"]).await.start().await;
        let (inside, outside) = (server.notes_of("alice"), server.dir().join("outside"));
        std::fs::create_dir_all(inside.join("now/sub")).unwrap();
        std::fs::create_dir_all(outside.join("sub")).unwrap();
        std::fs::write(inside.join("now/file"), "mine").unwrap();
        std::fs::write(outside.join("file"), "canary").unwrap();
        symlink(&outside, inside.join("then")).unwrap();
        let before = state(&outside);
        let stop = Arc::new(AtomicBool::new(false));
        let (until, now, then) = (stop.clone(), inside.join("now"), inside.join("then"));
        let swapping = std::thread::spawn(move || {
            let mut swaps = 0_u64;
            while !until.load(Ordering::Relaxed) {
                renameat_with(CWD, &now, CWD, &then, RenameFlags::EXCHANGE).unwrap();
                swaps += 1;
            }
            swaps
        });
        let alice = server.caller("alice");
        let answer = alice.call_allowed(&server, "fs_race", json!({})).await;
        stop.store(true, Ordering::Relaxed);
        let swaps = swapping.join().unwrap();
        let report = answer.structured();
        assert_eq!(report["escaped"], json!([]), "{swaps} swaps");
        // It met both.
        for met in ["opened", "refused"] {
            assert!(
                report[met].as_u64().unwrap() > 20,
                "{report}, {swaps} swaps"
            );
        }
        assert!(swaps > 100, "{swaps}");
        assert_eq!(state(&outside), before, "{swaps} swaps");
        server.stop().await;
    });
}
