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
        for guest in ["fs_dotdot", "fs_symlink", "fs_trailing_slash"] {
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
        let server = Setup::new().guests(&["fs_readonly"]).await.start().await;
        let (inside, _) = bait(&server);
        let before = state(&inside);
        let alice = server.caller("alice");
        let answer = alice.call_allowed(&server, "fs_readonly", json!({})).await;
        let report = answer.structured();
        assert_eq!(report["mounts"], 1, "{report}");
        assert_eq!(report["escaped"], json!([]));
        assert_eq!(state(&inside), before);
        server.stop().await;
    });
}
