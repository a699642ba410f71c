//! What the operator binds under names, as users are told of it and as `bailiwick check` looks for it.

use crate::cli::bailiwick;
use crate::harness::{Browser, Setup, http, packed, run, toml_of};

const SHARED: &str = "This store is not yours alone";
const SHARED_JA: &str = "このストアはあなた専用ではありません";

fn need(id: &str, text: &str) -> toml::Table {
    toml::from_str(&format!(
        "id = \"{id}\"\nreason = \"The test needs it.\"\n{text}"
    ))
    .unwrap()
}

fn store(name: &str) -> toml::Table {
    need(
        name,
        &format!("kind = \"kv\"\nstore = \"{name}\"\naccess = \"write\"\n"),
    )
}

/// The page of its question in English and in Japanese.
async fn pages(setup: Setup, needs: &[toml::Table]) -> [String; 2] {
    let package = packed("hello", &toml_of("hello", needs)).await;
    let server = setup.package("hello", &package).start().await;
    let alice = server.caller("alice");
    let asked = alice
        .call("hello", serde_json::json!({"name": "Ada"}))
        .await;
    let link = asked.link().unwrap();
    let mut browser = Browser::default();
    let english = browser.open(&link, "alice").await.html;
    let japanese = http()
        .get(&link)
        .header("cookie", browser.cookie_header())
        .header("accept-language", "ja")
        .send();
    let japanese = japanese.await.unwrap().text().await.unwrap();
    server.stop().await;
    [english, japanese]
}

#[test]
fn the_page_says_of_a_store_that_others_share_it_and_of_no_other() {
    run(async {
        let board = "[[kv]]\nname = \"board\"\nshare = \"tenant\"\n";
        let both = [store("board"), store("memory")];
        let [english, japanese] = pages(Setup::new().config(board), &both).await;
        assert_eq!(english.matches(SHARED).count(), 1, "{english}");
        assert_eq!(japanese.matches(SHARED_JA).count(), 1, "{japanese}");
        // It stands with the shared one.
        let (first, second) = english.split_once("kv write memory").unwrap();
        assert!(
            first.contains(SHARED) || second.contains("kv write board"),
            "{english}"
        );

        let own = "[[kv]]\nname = \"board\"\n";
        let [english, japanese] = pages(Setup::new().config(own), &both).await;
        assert!(english.contains("kv write board"), "{english}");
        assert!(!english.contains(SHARED) && !japanese.contains(SHARED_JA));
    });
}

#[test]
fn the_page_says_of_a_folder_who_finds_what_lies_there() {
    run(async {
        let mounts = ["own/{tenant}/{sub}", "desk/{tenant}", "hall"];
        let mounts = mounts.map(|path| {
            let name = path.split('/').next().unwrap();
            (
                name,
                format!("[[mount]]\nname = \"{name}\"\npath = \"{path}\"\n"),
            )
        });
        for ((name, mount), said) in mounts.iter().zip([
            None,
            Some("shared by all users of your organization."),
            Some("shared by all users of this server, also those of other organizations."),
        ]) {
            let text = format!("kind = \"files\"\nmount = \"{name}\"\naccess = \"read\"\n");
            let [english, japanese] = pages(Setup::new().config(mount), &[need(name, &text)]).await;
            let folder = "This folder is not yours alone";
            assert_eq!(english.contains(folder), said.is_some(), "{english}");
            assert!(
                english.contains(said.unwrap_or("files read own")),
                "{english}"
            );
            let folder = "このフォルダーはあなた専用ではありません";
            assert_eq!(japanese.contains(folder), said.is_some(), "{japanese}");
        }
    });
}

#[test]
fn check_finds_what_an_installed_tool_needs_and_nobody_bound() {
    run(async {
        let desk = need(
            "desk",
            "kind = \"files\"\nmount = \"desk\"\naccess = \"read\"\n",
        );
        let key =
            "kind = \"secret\"\nsecret = \"key\"\nhosts = [\"api.test\"]\nform = \"bearer\"\n";
        let needs = [store("board"), store("memory"), desk, need("key", key)];
        let package = packed("hello", &toml_of("hello", &needs)).await;
        let unbound = [
            "note: the package `hello` needs `kv write board`, and no `[[kv]]` binds it",
            "note: the package `hello` needs `files read desk`, and no `[[mount]]` binds it",
            "note: the package `hello` needs `secret key api.test bearer`, and no `[[secret]]` binds it",
        ];
        let bound = "[[kv]]\nname = \"board\"\n[[mount]]\nname = \"desk\"\npath = \"desk/{tenant}/{sub}\"\n\
                     [[secret]]\nname = \"key\"\nfile = \"key\"\nhosts = [\"api.test\"]\nform = \"bearer\"\n";
        for (more, notes) in [("", true), (bound, false)] {
            let setup = Setup::new()
                .secret_file("key", "canary-9d-key")
                .config(more);
            let server = setup.package("hello", &package).start().await;
            server.write_config();
            let text = bailiwick(server.dir(), &["check", "--config", "bailiwick.toml"]).ends(0);
            for note in unbound {
                assert_eq!(text.contains(note), notes, "{note}: {text}");
            }
            // What is bound in either is not told.
            assert!(!text.contains("`kv write memory`"), "{text}");
            server.stop().await;
        }
    });
}
