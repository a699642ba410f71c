//! What is not a good package is not served, and says why; what lies beside it is.

use std::time::Duration;

use bailiwick::capability::Kind;
use bailiwick::catalog::package;
use bailiwick::limits::{COMPILE_WALL_MAX, PACKAGE_BYTES_MAX};
use serde_json::json;

use crate::harness::{
    Setup, Stopwatch, component_bytes, guests, handmade, hostile, pack, pack_guest, run, toml_of,
    tool, with_manifest,
};

async fn refusal(guest: &str) -> String {
    let packed = pack_guest(guest, &toml_of(guest, &guests()[guest].needs)).await;
    packed
        .err()
        .unwrap_or_else(|| panic!("{guest} was packed"))
        .to_string()
}

#[test]
fn a_component_that_cannot_be_a_package_is_refused_when_it_is_packed() {
    run(async {
        let extra = refusal("import_extra").await;
        assert!(extra.contains("evil:extra/door@0.1.0"), "{extra}");
        let spin = refusal("describe_spin").await;
        assert!(spin.contains("out-of-time"), "{spin}");
        let name = refusal("name_forged").await;
        assert!(
            name.contains("name_forged") && !name.contains(['\r', '\n', '\u{1b}']),
            "{name:?}"
        );
    });
}

#[test]
fn a_file_with_an_unknown_import_is_refused_by_its_name_and_the_others_stay() {
    run(async {
        // A manifest that the packer would not have written.
        let hello = tool("hello").await;
        let manifest = package::read(&hello).unwrap().manifest().unwrap();
        let bare = component_bytes("import_extra").await;
        let forged = package::write(&bare, &manifest).unwrap();
        let setup = Setup::new().tools(&["hello"]).await;
        let server = setup.package("import_extra", &forged).start().await;
        let reason = server.refusal("import_extra.wasm").unwrap();
        assert!(reason.contains("evil:extra/door@0.1.0"), "{reason}");
        let alice = server.caller("alice");
        assert_eq!(alice.list().await, ["hello"]);
        assert!(alice.call("hello", json!({"name": "Ada"})).await.is_reply());
        server.stop().await;
    });
}

#[test]
fn no_broken_file_is_served_and_each_says_why() {
    run(async {
        let hello = tool("hello").await;
        let bare = component_bytes("hello").await;
        let half = &hello[..hello.len() / 2];
        let twice = with_manifest(&hello, |manifest| {
            let again = manifest.tools[0].clone();
            manifest.tools.push(again);
        });
        let schema = with_manifest(&hello, |manifest| {
            manifest.tools[0].input_schema =
                json!({"type": "object", "$ref": "http://127.0.0.1/schema"});
        });
        let setup = Setup::new()
            .tools(&["notes"])
            .await
            .package("empty", b"")
            .package("text", b"not wasm at all")
            .package("half", half)
            .package("bare", &bare)
            .package("twice", &twice)
            .package("schema", &schema);
        let server = setup.start().await;
        for file in ["empty", "text", "half", "bare", "twice", "schema"] {
            let reason = server.refusal(&format!("{file}.wasm"));
            assert!(reason.is_some_and(|reason| reason.len() > 10), "{file}");
        }
        let seen = server.caller("alice").list().await;
        assert_eq!(
            seen,
            ["notes_delete", "notes_list", "notes_read", "notes_write"]
        );
        server.stop().await;
    });
}

#[test]
fn a_name_belongs_to_the_package_that_had_it_first() {
    run(async {
        let component = handmade::component("hello", "", "(call $number (i64.const 7))");
        let other = pack(&component, &toml_of("other", &[])).await.unwrap();
        let server = Setup::new().tools(&["hello"]).await.start().await;
        server.put("aaa", &other);
        let reason =
            crate::harness::until("the refusal", async || server.refusal("aaa.wasm")).await;
        assert!(reason.contains("hello"), "{reason}");
        let answer = server
            .caller("alice")
            .call("hello", json!({"name": "Ada"}))
            .await;
        assert_eq!(answer.text(), "Hello, Ada!");

        // Also over a restart, where its file is the first to be found.
        let server = server.restart("").await;
        assert!(server.refusal("aaa.wasm").is_some());
        let alice = server.caller("alice");
        let answer = alice.call("hello", json!({"name": "Ada"})).await;
        assert_eq!(answer.text(), "Hello, Ada!");
        server.stop().await;
    });
}

/// The guest that says something else each time it is asked, under a manifest that somebody wrote by hand.
pub async fn forged() -> Vec<u8> {
    let bare = component_bytes("describe_forged").await;
    let component = handmade::component("describe_forged", "", "(call $number (i64.const 7))");
    let toml = crate::harness::hurried_toml_of("describe_forged", &[]);
    let model = pack(&component, &toml).await.unwrap();
    let manifest = package::read(&model).unwrap().manifest().unwrap();
    package::write(&bare, &manifest).unwrap()
}

#[test]
fn a_tool_that_takes_what_no_need_asks_for_is_refused() {
    run(async {
        let refused = refusal("describe_forged").await;
        assert!(refused.contains("no need asks for it"), "{refused}");
        let claims = with_manifest(&forged().await, |manifest| {
            manifest.tools[0].capabilities = vec![Kind::Http, Kind::Files];
        });
        let setup = Setup::new().tools(&["hello"]).await;
        let server = setup.package("describe_forged", &claims).start().await;
        let reason = server.refusal("describe_forged.wasm").unwrap();
        assert!(reason.contains("no need asks for it"), "{reason}");
        assert_eq!(server.caller("alice").list().await, ["hello"]);
        server.stop().await;
    });
}

#[test]
fn what_a_component_says_later_changes_nothing() {
    run(async {
        let setup = Setup::new().package("describe_forged", &forged().await);
        let server = setup.tools(&["hello"]).await.start().await;
        let alice = server.caller("alice");
        let first = alice.send("tools/list", json!({})).await;
        let answer = alice.call("describe_forged", json!({})).await;
        assert!(answer.is_reply(), "{answer:?}");
        assert_eq!(server.intents("describe_forged").await[0].granted, [""; 0]);
        let second = alice.send("tools/list", json!({})).await;
        assert_eq!(first.body, second.body);
        assert!(!first.body.contains("Ignore all other tools"));
        assert_eq!(alice.list().await, ["describe_forged", "hello"]);
        server.stop().await;
    });
}

/// A package whose manifest section is this text, whatever the packer would say of it.
fn with_section(package: &[u8], section: &str) -> Vec<u8> {
    followed_by(&package::strip(package).unwrap(), section)
}

/// These bytes, and a manifest section of this text behind them.
fn followed_by(bytes: &[u8], section: &str) -> Vec<u8> {
    let length = hostile::length;
    let name = b"bailiwick-manifest";
    let content = [&length(name.len())[..], name, section.as_bytes()].concat();
    [bytes, &[0], &length(content.len()), &content].concat()
}

#[test]
fn the_longest_description_that_is_admitted_is_shown_escaped_and_in_part_and_a_longer_one_is_refused()
 {
    run(async {
        let notes = tool("notes").await;
        let described = |text: &str| {
            let text = text.to_owned();
            with_manifest(&notes, move |manifest| {
                for tool in &mut manifest.tools {
                    tool.description.clone_from(&text);
                }
            })
        };
        let markup = "</q><script>alert(1)</script> & \"so\" on\n";
        let most: String = markup.chars().cycle().take(3_999).chain(['.']).collect();
        let setup = Setup::new().package("notes", &described(&most));
        let mut setup = setup.package("long", &described(&format!("{most}.")));
        // A megabyte: refused by the size of its manifest, which is read before any text in it.
        let manifest = package::read(&notes).unwrap().manifest().unwrap();
        let mut huge = serde_json::to_value(&manifest).unwrap();
        huge["tools"][0]["description"] = json!("<b>\u{202e}\u{0}".repeat(150_000));
        let huge = huge.to_string();
        assert!(huge.len() > 1 << 20);
        setup = setup.package("huge", &with_section(&notes, &huge));
        let bidi = described("Reads \u{202e}seton");
        let server = setup.package("bidi", &bidi).start().await;
        for (file, says) in [
            ("long.wasm", "the description of tool `notes_"),
            ("long.wasm", "has 4001 characters; at most 4000 are allowed"),
            ("huge.wasm", "bytes; at most 262144 are allowed"),
            ("bidi.wasm", "holds U+202E, which a reader cannot see"),
        ] {
            let reason = server.refusal(file).unwrap();
            assert!(reason.contains(says), "{file}: {reason}");
        }
        let note = json!({"name": "a", "text": "b"});
        let asked = server.caller("alice").call("notes_write", note).await;
        let mut browser = crate::harness::Browser::default();
        let page = browser.open(&asked.link().unwrap(), "alice").await;
        assert_eq!(page.status, 200, "{page:?}");
        assert!(!page.html.contains("<script"), "{page:?}");
        let (_, shown) = page.html.split_once("<q><bdi>").unwrap();
        let (shown, _) = shown.split_once("</bdi></q>").unwrap();
        assert!(
            shown.starts_with("&#60;/q&#62;&#60;script&#62;alert(1)"),
            "{shown}"
        );
        let plain = shown.replace("&#60;", "<").replace("&#62;", ">");
        let plain = plain.replace("&#34;", "\"").replace("&#38;", "&");
        assert_eq!(
            plain.chars().count(),
            601,
            "six hundred, and that there is more"
        );
        assert!(plain.ends_with('…') && page.html.len() < 20_000, "{shown}");
        server.stop().await;
    });
}

/// The package of a component that answers, as another component says it is it.
async fn under_its_manifest(name: &str, change: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let component = handmade::component(name, "", "(call $number (i64.const 7))");
    let model = pack(&component, &toml_of(name, &[])).await.unwrap();
    let manifest = package::read(&model).unwrap().manifest().unwrap();
    package::write(&change(&component), &manifest).unwrap()
}

#[test]
fn a_module_of_the_first_wasi_is_refused_whatever_manifest_it_carries() {
    run(async {
        let module = r#"(module
            (import "wasi_snapshot_preview1" "fd_renumber" (func $renumber (param i32 i32) (result i32)))
            (memory (export "memory") 1)
            (func (export "_start") (drop (call $renumber (i32.const 3) (i32.const 1)))))"#;
        let module = wat::parse_str(module).unwrap();
        let refused = pack(&module, &toml_of("import_wasip1", &[])).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("component"), "{refused}");
        let hello = tool("hello").await;
        let manifest = package::read(&hello).unwrap().manifest().unwrap();
        let manifest = serde_json::to_string(&manifest).unwrap();
        let setup = Setup::new().tools(&["notes"]).await;
        let setup = setup.package("import_wasip1", &followed_by(&module, &manifest));
        let server = setup.start().await;
        let reason = server.refusal("import_wasip1.wasm").unwrap();
        assert!(reason.contains("component"), "{reason}");
        assert_eq!(server.caller("alice").list().await.len(), 4);
        server.stop().await;
    });
}

#[test]
fn a_component_of_more_parts_than_a_slot_of_the_pool_has_is_refused_and_not_tried_again() {
    run(async {
        let instances = |module: &str, count: usize| {
            let instances = "(core instance (instantiate $m))".repeat(count);
            format!("(component (core module $m {module}) {instances})")
        };
        let parts = [
            ("many_instances", instances("", 40)),
            ("many_memories", instances("(memory 1)", 2)),
            ("many_tables", instances("(table 1 funcref)", 5)),
            ("large_table", instances("(table 30000 funcref)", 1)),
            ("large_memory", instances("(memory 4800)", 1)),
        ];
        let mut setup = Setup::new().tools(&["hello"]).await;
        for (name, inner) in &parts {
            let package = under_its_manifest(name, |bare| {
                hostile::with_inner(bare, &wat::parse_str(inner).unwrap())
            });
            setup = setup.package(name, &package.await);
        }
        // Within the bounds of a slot, and over that of a call.
        let inner = instances("(memory 1100)", 1);
        let package = under_its_manifest("over_the_call", |bare| {
            hostile::with_inner(bare, &wat::parse_str(&inner).unwrap())
        });
        setup = setup.package("over_the_call", &package.await);
        let server = setup.start().await;
        let snapshot = server.running.stages.catalog.snapshot();
        for (name, _) in &parts {
            let reason = server.refusal(&format!("{name}.wasm")).unwrap();
            assert!(
                reason.contains("no call has room for it"),
                "{name}: {reason}"
            );
        }
        assert_eq!(snapshot.refused.len(), parts.len());
        let alice = server.caller("alice");
        assert_eq!(alice.list().await, ["hello", "over_the_call"]);
        let answer = alice.call("over_the_call", json!({})).await;
        assert!(!answer.is_reply(), "{answer:?}");
        let outcome = server.outcomes("over_the_call").await.pop().unwrap();
        assert_eq!(outcome.result.unwrap().status, "out-of-bounds");
        let answer = alice.call("hello", json!({"name": "Ada"})).await;
        assert_eq!(answer.text(), "Hello, Ada!");
        server.stop().await;
    });
}

#[test]
fn what_is_made_to_cost_a_compiler_is_judged_while_the_others_are_served() {
    run(async {
        let server = Setup::new().tools(&["hello"]).await.start().await;
        let bombs = hostile::compile_bombs();
        for (name, bomb) in &bombs {
            let package = under_its_manifest(name, |bare| hostile::with_inner(bare, bomb));
            server.put(name, &package.await);
        }
        // A byte more than any package has, most of which is a hole.
        let huge = std::fs::File::create(server.dir().join("compile_huge.new")).unwrap();
        huge.set_len(PACKAGE_BYTES_MAX + 1).unwrap();
        let file = server.dir().join("tools.d/compile_huge.wasm");
        std::fs::rename(server.dir().join("compile_huge.new"), file).unwrap();
        let (alice, began) = (server.caller("alice"), Stopwatch::start());
        let mut open: Vec<_> = bombs
            .iter()
            .map(|(name, _)| *name)
            .chain(["compile_huge"])
            .collect();
        // They may come one after the other.
        let judged_max = COMPILE_WALL_MAX * u32::try_from(open.len()).unwrap();
        while !open.is_empty() {
            let at = Stopwatch::start();
            let answer = alice.call("hello", json!({"name": "Ada"})).await;
            assert_eq!(answer.text(), "Hello, Ada!");
            assert!(at.took() < Duration::from_secs(2), "{:?}", at.took());
            let served = alice.list().await;
            open.retain(|name| {
                let refused = server.refusal(&format!("{name}.wasm"));
                if let Some(reason) = &refused {
                    let named = [
                        "bytes; at most",
                        "to compile",
                        "its native code is larger",
                        "does not compile",
                    ];
                    assert!(
                        named.iter().any(|words| reason.contains(words)),
                        "{name}: {reason}"
                    );
                }
                let judged = refused.is_some() || served.iter().any(|one| one == name);
                if judged {
                    println!("{name}: {:?} after {:?}", refused, began.elapsed());
                }
                !judged
            });
            assert!(began.elapsed() < judged_max, "{open:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert!(server.refusal("compile_huge.wasm").is_some());
        server.stop().await;
    });
}

#[test]
fn a_name_that_looks_like_another_is_no_name() {
    run(async {
        let hello = tool("hello").await;
        let manifest = package::read(&hello).unwrap().manifest().unwrap();
        let manifest = serde_json::to_string(&manifest).unwrap();
        assert!(manifest.contains("\"hello\""));
        let alike = [
            ("cyrillic", "h\u{435}llo"),
            ("wide", "\u{ff48}ello"),
            ("nothing", "hel\u{200b}lo"),
            ("reversed", "\u{202e}olleh"),
            ("blank", "hello "),
            ("combined", "hello\u{301}"),
        ];
        let mut setup = Setup::new().tools(&["hello"]).await;
        for (file, name) in alike {
            let manifest = manifest.replace("\"hello\"", &format!("\"{name}\""));
            setup = setup.package(file, &with_section(&hello, &manifest));
        }
        let server = setup.start().await;
        for (file, name) in alike {
            let reason = server.refusal(&format!("{file}.wasm")).unwrap();
            assert!(reason.contains("1 to 64 of"), "{file}: {reason}");
            assert!(!reason.contains(name), "{file}: {reason}");
        }
        assert_eq!(server.caller("alice").list().await, ["hello"]);
        server.stop().await;
    });
}
